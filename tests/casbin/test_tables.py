"""Models and policies to tables: the whole text of every mistake in a policy, the order of rows, roles, dead rows."""

from __future__ import annotations

import inspect
from functools import cache
from itertools import pairwise
from typing import cast, get_args

import casbin
import pytest
from casbin.model import Model as TheirModel
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang.casbin.chains import longer_than
from policy_lang.casbin.definitions import Sections, read_model
from policy_lang.casbin.parts import all_in, parts_of
from policy_lang.casbin.ranking import depths
from policy_lang.casbin.rows import Options, read_rows, rows_of
from policy_lang.casbin.tables import MATCHING_FUNCTIONS, table
from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, has_errors, render
from policy_lang.ir import tables
from policy_lang.ir.tables import FunctionName, Link, Mode, Table
from policy_lang.meaning.tables import TableMeaning
from policy_lang.mistakes import casbin_rows
from policy_lang.source import Source
from tests.casbin.golden_cases import Case, cases

# ---------------------------------------------------------------- all that is said

OF_POLICIES = [case for case in cases() if case.source("policy.csv") is not None]
_OURS = frozenset(
    kind
    for _, kind in inspect.getmembers(casbin_rows, inspect.isclass)
    if issubclass(kind, Diagnostic) and kind is not Diagnostic
)


def options_of(case: Case) -> Options:
    zone = next(iter(case._values("zone")), None)
    return Options(case.mode, _functions(case, "matching"), _functions(case, "domain_matching"), zone, case.functions)


def _functions(case: Case, keyword: str) -> dict[str, FunctionName]:
    return {name: cast("FunctionName", to) for name, to in (each.split("=") for each in case._values(keyword))}


@cache
def found_in(case: Case) -> tuple[Table | None, tuple[Diagnostic, ...], str]:
    """What comes out, and what a person reads. Under `records` the policy's lines hold values between `|`, or NULL."""
    of_model, source = case.source("model.conf"), case.source("policy.csv")
    assert of_model is not None
    assert source is not None
    model, options = read_model(of_model, mode=case.mode), options_of(case)
    if "---- records\n" in case.asked:
        lines = [line.split("|") for line in source.text.splitlines()]
        rows = rows_of([[None if each == "NULL" else each for each in line] for line in lines], model, options)
    else:
        rows = read_rows(source, model, options)
    made, found = table(model, rows, case.sections, options)
    return made, found, render(found, {of_model.name: of_model, rows.source.name: rows.source})


def _name(case: Case) -> str:
    return f"{case.code}-{case.file.stem}"


@pytest.mark.parametrize("case", OF_POLICIES, ids=_name)
def test_the_whole_text_of_every_mistake(case: Case, *, update_golden: bool) -> None:
    _, found, said = found_in(case)
    if update_golden:
        case.file.write_text(case.with_said(said), "utf-8")
    else:
        assert said == case.said
    assert case.code in {each.code for each in found}


@pytest.mark.parametrize("case", OF_POLICIES, ids=_name)
def test_a_table_is_made_exactly_where_nothing_is_an_error(case: Case) -> None:
    made, found, _ = found_in(case)
    assert (made is None) == has_errors(found)


def test_every_class_of_the_catalogue_is_reached() -> None:
    reached = {type(each) for case in OF_POLICIES for each in found_in(case)[1]}
    assert _OURS - reached == {casbin_rows.MoreInPolicy, casbin_rows.MoreInPolicyPassed}


def test_many_mistakes_are_counted_in_rows_and_in_tables() -> None:
    """The two classes that no golden file holds, for their length."""
    counts = {casbin_rows.MoreInPolicy, casbin_rows.MoreInPolicyPassed}
    _, refused = compiled(KEYS, "p, alice, /a.b, read\n" * 200)
    _, passed = compiled(KEYS, "".join(f"p, alice, /a.{i}, read\n" for i in range(200)), Options(mode="compat"))
    assert {type(refused[-1]), type(passed[-1])} == counts
    assert len(refused) == len(passed) == MOST_SHOWN


# ---------------------------------------------------------------- tables by name

HEAD = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n"
TAIL = "[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\n"
EQUAL = HEAD + TAIL + "m = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"
KEYS = HEAD + TAIL + "m = r.sub == p.sub && keyMatch2(r.obj, p.obj) && r.act == p.act\n"
ROLES = HEAD + "[role_definition]\ng = _, _\n" + TAIL + "m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act\n"
CONDITIONAL = ROLES.replace("g = _, _", "g = _, _, (_, _)")
VOTES = (
    "[request_definition]\nr = sub, obj\n[policy_definition]\np = sub, obj, eft\n[policy_effect]\ne = {effect}\n"
    "[matchers]\nm = {matcher}\n"
)
PRIORITY = "priority(p.eft) || deny"
SUBJECTS = "subjectPriority(p.eft) || deny"


def compiled(
    model: str, policy: str, options: Options | None = None, sections: Sections | None = None
) -> tuple[Table | None, tuple[Diagnostic, ...]]:
    options = options or Options()
    read = read_model(Source("model.conf", model), mode=options.mode)
    rows = read_rows(Source("policy.csv", policy), read, options)
    return table(read, rows, sections or Sections(), options)


def made(model: str, policy: str, options: Options | None = None, sections: Sections | None = None) -> Table:
    result, found = compiled(model, policy, options, sections)
    assert result is not None, render(found, {})
    return result


def test_a_whole_table() -> None:
    result = made(ROLES, "p, admin, data1, read\n\ng, alice, admin\n")
    assert result == Table(
        id="",
        mode="strict",
        effect="allow_override",
        parameters=("sub", "obj", "act"),
        columns=("sub", "obj", "act"),
        matcher=tables.And(
            (
                tables.Linked(0, (tables.Parameter(0), tables.Column(0))),
                tables.Comparison("eq", tables.Parameter(1), tables.Column(1)),
                tables.Comparison("eq", tables.Parameter(2), tables.Column(2)),
            )
        ),
        rows=(tables.Row(("admin", "data1", "read"), "allow", 1),),
        graphs=(tables.RoleGraph("g", domains=False, links=(Link("alice", "admin", line=3),)),),
        file="policy.csv",
    )


def test_an_empty_policy_is_a_table_without_rows() -> None:
    result, found = compiled(EQUAL, "")
    assert result is not None
    assert result.rows == ()
    assert found == ()


def test_options_are_in_the_table() -> None:
    read = read_model(
        Source("model.conf", ROLES.replace("_, _\n", "_, _, _\n").replace("p.sub)", "p.sub, r.obj)")), mode="compat"
    )
    options = Options("compat", {"g": "keyMatch"}, {"g": "globMatch"}, "Europe/Berlin")
    result, _ = table(
        read, read_rows(Source("policy.csv", "g, a, b, c"), read, options), options=options, id="wiki.rbac"
    )
    assert result is not None
    assert (result.id, result.mode, result.zone) == ("wiki.rbac", "compat", "Europe/Berlin")
    assert (result.graphs[0].matching, result.graphs[0].domain_matching) == ("keyMatch", "globMatch")


def test_sections_choose_the_rows_and_leave_the_others_out() -> None:
    model = EQUAL.replace("p = sub, obj, act\n", "p = sub, obj, act\np2 = sub, eft\n") + "m2 = r.sub == p2.sub\n"
    chosen = made(model, "p, a, b, c\np2, a, deny\n", sections=Sections(p="p2", m="m2"))
    assert chosen.columns == ("sub", "eft")
    assert [(row.values, row.vote) for row in chosen.rows] == [(("a", "deny"), "deny")]


LONGEST: dict[str, tuple[str, Mode, int | None]] = {
    "strict follows any number of links": (ROLES, "strict", None),
    "compat follows nine": (ROLES, "compat", 9),
    "with conditions strict follows any number": (CONDITIONAL, "strict", None),
    "with conditions compat follows ten": (CONDITIONAL, "compat", 10),
}


@pytest.mark.parametrize("name", LONGEST)
def test_how_many_links_are_followed(name: str) -> None:
    model, mode, want = LONGEST[name]
    assert made(model, "", Options(mode=mode)).graphs[0].longest == want


def test_a_mistake_anywhere_leaves_no_table() -> None:
    """Not of the rows before it, and not of other types of rows."""
    for policy in ("p, a, b, c\np, a\n", "p, a, b, c\nq, a\n"):
        assert compiled(EQUAL, policy)[0] is None
    assert compiled("", "p, a, b, c\n")[0] is None


# ---------------------------------------------------------------- expressions that rows hold

RULES = VOTES.format(effect="some(where (p.eft == allow))", matcher="eval(p.sub) && r.obj == p.obj")


def test_each_expression_is_read_once_and_kept_by_its_text() -> None:
    result = made(RULES, "p, r.sub == 'a', x, allow\np, r.sub == 'b', x, allow\np, r.sub == 'a', y, allow\n")
    assert [text for text, _ in result.expressions] == ["r.sub == 'a'", "r.sub == 'b'"]
    assert result.expressions[0][1] == tables.Comparison("eq", tables.Parameter(0), tables.Constant("a"))


def test_functions_of_the_program_are_named_wherever_they_stand() -> None:
    model = RULES.replace("r.obj == p.obj", "f(r.obj, p.obj)")
    result = made(model, "p, h(r.sub), x, allow\n", Options(functions={"f", "h", "unused"}))
    assert result.own == ("f", "h")


def test_a_mistake_in_a_rule_has_its_place_in_the_policy() -> None:
    result, found = compiled(RULES, "p, r.sub == 'a', x, allow\np, nobody(r.sub), x, allow\n")
    assert result is None
    assert [(each.code, each.span.source) for each in found] == [("E604", "policy.csv")]


# ---------------------------------------------------------------- times

ZONES: dict[str, tuple[str, list[str]]] = {
    "no links": ("", []),
    "links that hold always": ("g, a, b, _, _", []),
    "a link that ends": ("g, a, b, _, 2030-01-01 00:00:00", ["E621"]),
    "a link that begins": ("g, a, b, 2020-01-01 00:00:00, _", ["E621"]),
}


@pytest.mark.parametrize("name", ZONES)
def test_where_a_zone_is_needed(name: str) -> None:
    policy, want = ZONES[name]
    assert [each.code for each in compiled(CONDITIONAL, policy)[1]] == want
    assert compiled(CONDITIONAL, policy, Options(zone="UTC"))[1] == ()


# ---------------------------------------------------------------- patterns

PATTERNS: dict[str, tuple[str, str, list[str]]] = {
    "clean ones": (KEYS, "p, a, /x/:id/y, z\np, a, /x/*, z\np, a.b, /x, z.*", []),
    "a warning stands once for each text": (
        KEYS.replace("keyMatch2", "keyMatch"),
        "p, a, /x*y, z\np, b, /x*y, z\np, c, /x*z, z",
        ["W610", "W610"],
    ),
    "an error stands at each row": (KEYS, "p, a, /x.y, z\np, b, /x.y, z", ["E610", "E610"]),
    "names without a matching function are no patterns": (ROLES, "g, a.*, b+", []),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str) -> None:
    model, policy, want = PATTERNS[name]
    assert [each.code for each in compiled(model, policy)[1]] == want


def test_under_ipmatch_a_name_that_is_no_network_stands_for_itself() -> None:
    options = Options(matching={"g": "ipMatch"})
    assert compiled(ROLES, "g, 10.0.0.0/8, intern\n", options)[1] == ()
    assert [each.code for each in compiled(ROLES, "g, 10.0.0.1/8, intern\n", options)[1]] == ["E610"]


MEMBERS: dict[str, tuple[FunctionName, str, Mode, list[str]]] = {
    "a plain name": ("keyMatch2", "alice", "strict", []),
    "an address of mail": ("keyMatch2", "j.doe@x.org", "strict", ["W610"]),
    "one with an extension": ("keyMatch3", "j+news@x.org", "strict", ["W610"]),
    "a path with a version": ("keyMatch4", "/api/v1.0/users", "strict", ["W610"]),
    "a dot that is escaped": ("keyMatch5", "j\\.doe", "strict", []),
    "compat warns of the dot, which is any character there": ("keyMatch2", "j.doe@x.org", "compat", ["W610"]),
    "a dot beside a wildcard": ("keyMatch2", "/v1.0/:id", "strict", ["E610"]),
    "a dot beside braces": ("keyMatch3", "/v1.0/{id}", "strict", ["E610"]),
    "a dot beside a star": ("keyMatch2", "/v1.0/*", "strict", ["E610"]),
    "a dot that repeats": ("keyMatch2", "/a/.+", "strict", ["E610"]),
    "a sign that repeats nothing": ("keyMatch2", "+a", "strict", ["E610"]),
    "alternatives": ("keyMatch2", "alice|bob", "strict", ["E610"]),
    "an end": ("keyMatch2", "HOST$", "strict", ["E610"]),
    "a dot under globMatch": ("globMatch", "j.doe@x.org", "strict", []),
    "a dot under keyMatch": ("keyMatch", "j.doe@x.org", "strict", []),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_names_of_people_are_refused_nothing(name: str) -> None:
    function, member, mode, want = MEMBERS[name]
    said = compiled(ROLES, f"g, {member}, admin\n", Options(mode, {"g": function}))[1]
    assert [each.code for each in said] == want


def test_a_name_with_a_dot_is_itself_in_strict_and_warned_of_once() -> None:
    policy = "p, admin, /x, GET\ng, j.doe@x.org, admin\ng, m.roe@x.org, admin\n"
    options = Options(matching={"g": "keyMatch2"})
    said = compiled(ROLES, policy, options)[1]
    here = "here `.` is itself, also in other names; in Casbin it is a sign of regular expressions"
    assert [each.message for each in said] == [f"`j.doe@x.org` under `keyMatch2`: {here}"]
    asked = {"j.doe@x.org": "allow", "m.roe@x.org": "allow", "jxdoe@x.org": None}
    meaning = TableMeaning.of(made(ROLES, policy, options))
    assert {name: meaning.said((name, "/x", "GET"), now_ms=0).vote for name in asked} == asked


def test_a_domain_with_a_dot_is_itself_in_strict() -> None:
    tenants = Options(domain_matching={"g": "keyMatch2"})
    domains = ROLES.replace("g = _, _", "g = _, _, _").replace("g(r.sub, p.sub)", "g(r.sub, p.sub, r.act)")
    policy = "p, admin, /x, a.b\np, admin, /x, axb\ng, alice, admin, a.b\n"
    assert [each.code for each in compiled(domains, policy, tenants)[1]] == ["W610"]
    meaning = TableMeaning.of(made(domains, policy, tenants))
    assert meaning.said(("alice", "/x", "a.b"), now_ms=0).vote == "allow"
    assert meaning.said(("alice", "/x", "axb"), now_ms=0).vote is None


def test_matching_functions_are_functions_that_take_a_pattern() -> None:
    assert set(MATCHING_FUNCTIONS) == set(get_args(FunctionName)) - {"keyGet", "keyGet2", "keyGet3", "timeMatch"}


# ---------------------------------------------------------------- ranks

RANKED = "[request_definition]\nr = sub\n[policy_definition]\np = {columns}\n{roles}[policy_effect]\ne = {effect}\n"


def theirs(model: str, policy: str) -> list[tuple[str, ...]]:
    """The order in which Casbin asks the rows."""
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=model), _adapter(policy))
    return [tuple(row) for row in enforcer.get_policy()]


def _adapter(policy: str) -> casbin.persist.Adapter:
    return casbin.persist.adapters.string_adapter.StringAdapter(policy)


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc")), min_size=1, max_size=12))
def test_rows_rank_by_their_priority_as_in_casbin(of: list[tuple[int, str]]) -> None:
    """Ascending and stable."""
    model = RANKED.format(columns="priority, sub, eft", roles="", effect=PRIORITY) + "[matchers]\nm = r.sub == p.sub\n"
    policy = "\n".join(f"p, {priority}, {name}{at}, allow" for at, (priority, name) in enumerate(of))
    assert [row.values for row in made(model, policy).rows] == theirs(model, policy)


PRIORITIES: dict[str, tuple[list[str], list[str]]] = {
    "numbers, not texts": (["10", "9", "100"], ["9", "10", "100"]),
    "below nought": (["0", "-1", "-10", "5"], ["-10", "-1", "0", "5"]),
    "nought in front": (["3", "02", "1"], ["1", "02", "3"]),
    "eighteen digits": (["9" * 18, "-" + "9" * 18], ["-" + "9" * 18, "9" * 18]),
}


@pytest.mark.parametrize("name", PRIORITIES)
def test_priorities(name: str) -> None:
    given_, want = PRIORITIES[name]
    model = RANKED.format(columns="sub, priority", roles="", effect=PRIORITY) + "[matchers]\nm = r.sub == p.sub\n"
    policy = "\n".join(f"p, a{at}, {priority}" for at, priority in enumerate(given_))
    assert [row.values[1] for row in made(model, policy).rows] == want


NO_PRIORITIES = ["", "one", "1.5", "1e3", "+1", "--1", "1_000", "\u0663", "\u00b2", "9" * 19, "0x10", "1 0"]


@pytest.mark.parametrize("value", NO_PRIORITIES)
@pytest.mark.parametrize("mode", get_args(Mode))
def test_what_is_no_priority(value: str, mode: Mode) -> None:
    model = RANKED.format(columns="priority, sub", roles="", effect=PRIORITY) + "[matchers]\nm = r.sub == p.sub\n"
    result, found = compiled(model, f"p, 1, a\np, {value}, b\n", Options(mode=mode))
    assert result is None
    assert [each.code for each in found] == ["E617"]


_NAMES = st.sampled_from("abcdef")
_DOMAINS = st.sampled_from("xy")


@given(st.lists(st.tuples(_NAMES, _NAMES, _DOMAINS), max_size=8), st.lists(st.tuples(_NAMES, _DOMAINS), max_size=8))
def test_rows_rank_by_their_subject_as_in_casbin(links: list[tuple[str, str, str]], of: list[tuple[str, str]]) -> None:
    """Those of users first; and a cycle exactly where Casbin finds one."""
    for domains in (False, True):
        columns, places = ("sub, dom", "_, _, _") if domains else ("sub, obj", "_, _")
        called = "g(r.sub, p.sub, p.dom)" if domains else "g(r.sub, p.sub)"
        roles = f"[role_definition]\ng = {places}\n"
        model = RANKED.format(columns=columns, roles=roles, effect=SUBJECTS) + f"[matchers]\nm = {called}\n"
        lines = [f"p, {name}, {domain}" for name, domain in of]
        lines += [", ".join(("g", *link[: 3 if domains else 2])) for link in links]
        ours, found = compiled(model, "\n".join(lines))
        if not lines:
            assert ours is not None
            continue
        try:
            want = theirs(model, "\n".join(lines))
        except RuntimeError:
            assert ours is None
            assert {each.code for each in found} - {"W627"} == {"E623"}
            continue
        assert ours is not None
        assert [row.values for row in ours.rows] == want


@given(st.lists(st.builds(Link, _NAMES, _NAMES, _DOMAINS), max_size=10))
def test_depths_are_those_of_casbin(links: list[Link]) -> None:
    """depths(links) = Casbin's subject hierarchy, and a cycle leads from each of its links to the next."""
    levels, cycle = depths(links)
    try:
        want = TheirModel().get_subject_hierarchy_map([[each.member, each.role, each.domain] for each in links])
    except RuntimeError:
        following = [*cycle[1:], cycle[0]]
        assert all((a.role, a.domain) == (b.member, b.domain) for a, b in zip(cycle, following, strict=True))
        return
    assert cycle == ()
    assert {f"{domain}::{name}": level for (domain, name), level in levels.items()} == want


def test_both_ranks_together_the_priority_comes_first() -> None:
    roles = "[role_definition]\ng = _, _\n"
    model = RANKED.format(columns="sub, priority", roles=roles, effect=SUBJECTS) + "[matchers]\nm = g(r.sub, p.sub)\n"
    policy = "p, role, 2\np, role, 1\np, user, 2\ng, user, role"
    ranked = [row.values for row in made(model, policy).rows]
    assert ranked == theirs(model, policy) == [("role", "1"), ("user", "2"), ("role", "2")]


# ---------------------------------------------------------------- chains

_CHAIN_NAMES = [f"n{number}" for number in range(16)]


def _steps(links: list[Link], start: tuple[str, str]) -> dict[tuple[str, str], int]:
    """How many links lead from a name to each other one, at the least."""
    found, edge = {start: 0}, [start]
    while edge:
        name = edge.pop(0)
        for link in links:
            role = (link.domain, link.role)
            if (link.domain, link.member) == name and role not in found:
                found[role] = found[name] + 1
                edge.append(role)
    return found


@given(st.permutations(_CHAIN_NAMES), st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=6), _DOMAINS)
def test_a_chain_is_told_exactly_where_there_is_one(names: list[str], more: list[tuple[int, int]], domain: str) -> None:
    """longer_than(links, 9) is None exactly where every name is at most 9 links from each other that it reaches."""
    links = [Link(one, other, "x") for one, other in pairwise(names[:12])]
    links += [Link(names[one], names[other], domain) for one, other in more]
    farthest = {(link.domain, link.member): _steps(links, (link.domain, link.member)) for link in links}
    chain = longer_than(links, 9)
    if chain is None:
        assert all(count <= 9 for each in farthest.values() for count in each.values())
    else:
        assert farthest[chain.link.domain, chain.member][chain.link.domain, chain.role] == 10
        assert chain.link.member == chain.member


CHAINS: dict[str, tuple[list[tuple[str, str]], bool]] = {
    "nothing": ([], False),
    "nine links": ([(f"n{i}", f"n{i + 1}") for i in range(9)], False),
    "ten links": ([(f"n{i}", f"n{i + 1}") for i in range(10)], True),
    "ten links with a shorter way": ([*((f"n{i}", f"n{i + 1}") for i in range(10)), ("n0", "n9")], False),
    "a cycle of ten": ([(f"n{i}", f"n{(i + 1) % 10}") for i in range(10)], False),
    "a cycle of eleven": ([(f"n{i}", f"n{(i + 1) % 11}") for i in range(11)], True),
    "a name that has itself": ([("a", "a")], False),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains(name: str) -> None:
    links, want = CHAINS[name]
    for order in (links, links[::-1]):
        assert (longer_than([Link(*each) for each in order], 9) is not None) == want


# ---------------------------------------------------------------- dead rows

STAR = '(p.sub == "*" || r.sub == p.sub) && (p.obj == "*" || keyMatch(r.obj, p.obj))'
ALLOW, BOTH = "some(where (p.eft == allow))", "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
DEAD: dict[str, tuple[str, str, list[str], list[int]]] = {
    "the same row again": (ALLOW, STAR, ["a, b, allow", "a, c, allow", "a, b, allow"], [3]),
    "three times": (ALLOW, STAR, ["a, b, allow"] * 3, [2, 3]),
    "the same with another vote": (BOTH, STAR, ["a, b, allow", "a, b, deny"], []),
    "behind an allow row, which may be passed over": (PRIORITY, STAR, ["a, b, allow", "a, b, deny"], []),
    "behind a deny row": (PRIORITY, STAR, ["a, b, deny", "a, b, allow"], [2]),
    "behind one that always allows": (PRIORITY, STAR, ["*, *, allow", "a, b, deny", "c, d, allow"], [2, 3]),
    "behind one that always denies": (PRIORITY, STAR, ["a, b, allow", "*, *, deny", "c, d, allow"], [3]),
    "always allowing ranks nothing elsewhere": (BOTH, STAR, ["*, *, allow", "a, b, deny"], []),
    "behind one that nearly always allows": (PRIORITY, STAR, ["*, *x, allow", "a, b, deny"], []),
    "alike in all that the matcher reads": (ALLOW, "r.sub == p.sub", ["a, b, allow", "a, c, allow"], [2]),
    "the matcher reads the vote": (PRIORITY, 'r.sub == p.sub && p.eft == "allow"', ["a, b, deny", "a, b, allow"], []),
    "a role that nobody has": (ALLOW, STAR, ["nobody, b, allow"], []),
    "a rule that always holds": (PRIORITY, "eval(p.sub)", ["true, b, allow", "r.sub == 'a', b, deny"], [2]),
    "a rule that never holds": (PRIORITY, "eval(p.sub)", ["false, b, allow", "r.sub == 'a', b, deny"], []),
    "the contrary of what never holds": (PRIORITY, '!(p.sub != "*")', ["*, b, deny", "a, b, allow"], [2]),
}


def _dead(found: tuple[Diagnostic, ...], policy: str) -> list[int]:
    source = Source("policy.csv", policy)
    return [source.position(each.span.start).line for each in found if each.code == "W627"]


@pytest.mark.parametrize("name", DEAD)
def test_dead_rows(name: str) -> None:
    effect, matcher, rows, want = DEAD[name]
    policy = "\n".join(f"p, {row}" for row in rows)
    result, found = compiled(VOTES.format(effect=effect, matcher=matcher), policy)
    assert result is not None
    assert _dead(found, policy) == want


_REQUEST_VALUES = st.sampled_from(["a", "b", "*", 1, None])


@given(
    st.sampled_from([ALLOW, BOTH, PRIORITY]),
    st.sampled_from([STAR, STAR.replace("&&", "||"), '!(p.sub == "a") && r.obj == p.obj', "r.sub == p.sub"]),
    st.lists(st.tuples(st.sampled_from("ab*"), st.sampled_from("ab*"), st.sampled_from(["allow", "deny"])), max_size=6),
    _REQUEST_VALUES,
    _REQUEST_VALUES,
)
def test_without_its_dead_rows_a_table_says_the_same(
    effect: str, matcher: str, rows: list[tuple[str, str, str]], sub: object, obj: object
) -> None:
    """said(table) = said(table without dead rows), for any request, missing values too."""
    policy = "\n".join(", ".join(("p", *row)) for row in rows)
    whole, found = compiled(VOTES.format(effect=effect, matcher=matcher), policy, Options(mode="compat"))
    assert whole is not None
    dead = _dead(found, policy)
    rest = replace(whole, rows=tuple(row for row in whole.rows if row.line not in dead))
    votes = [TableMeaning.of(each).said((sub, obj), now_ms=0).vote for each in (whole, rest)]
    assert votes[0] == votes[1]


# ---------------------------------------------------------------- parts

PARTS: dict[str, tuple[tables.Expression, int]] = {
    "a column": (tables.Column(0), 1),
    "a rule": (tables.Written(0), 1),
    "a part of a part": (tables.Field(tables.Field(tables.Parameter(0), "a"), "b"), 3),
    "a list": (tables.Within(tables.Column(0), tables.Listed((tables.Constant("a"), tables.Constant(1)))), 5),
    "a sum": (tables.Arithmetic("+", tables.Constant(1), tables.Column(0)), 3),
    "a comparison": (tables.Comparison("lt", tables.Constant(1), tables.Column(0)), 3),
    "calls": (tables.Or((tables.Own("f", (tables.Column(0),)), tables.Linked(0, (tables.Column(0),) * 2))), 6),
    "one of Casbin's functions": (tables.BuiltIn("keyMatch", (tables.Parameter(0), tables.Column(0))), 3),
    "nothing in a call": (tables.Not(tables.Own("f", ())), 2),
}


@pytest.mark.parametrize("name", PARTS)
def test_all_parts_of_an_expression(name: str) -> None:
    expression, want = PARTS[name]
    assert len(list(all_in(expression))) == want
    assert set(parts_of(expression)) <= set(all_in(expression))


def test_no_expression_is_too_deep() -> None:
    expression: tables.Expression = tables.Column(0)
    for _ in range(100_000):
        expression = tables.Not(expression)
    assert sum(1 for _ in all_in(expression)) == 100_001
