"""`casbin` blocks: what they vote on, for whom and where, what is said of a vote; both evaluators say the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.checking.casbin_spellings import MOST_MISSPELT
from policy_lang.compile import Compiled, compile_policy
from policy_lang.cost import LEAST_OF_TABLE, MOST_OF_TABLE, costs
from policy_lang.diagnostics import CompileError
from policy_lang.ir import codec
from policy_lang.meaning.explain import sentence, trace_json
from policy_lang.meaning.reference import Reference
from policy_lang.plan.plans import Plans
from policy_lang.reach import reach
from policy_lang.request import Path, canonical_path
from policy_lang.trials.coverage import Coverage
from policy_lang.trials.runner import run_tests
from policy_lang.verdict import ANONYMOUS, ActionCall, Caller, HttpCall, Json, Origin, Question, Verdict

ACL = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.sub == p.sub && keyMatch2(r.obj, p.obj) && r.act == p.act
"""
ROWS = """p, alice, /wiki/:page, GET, allow
p, bob, /wiki/:page, GET, allow
p, bob, /wiki/secret, GET, deny
p, nobody, /drafts/:page, GET, allow
"""
HEAD = """module m
token user { issuer "https://id.example" claim sub: string }
token robot { issuer "https://robots.example" claim name: string }
service wiki {
  audience "wiki"
  host "wiki.example"
  endpoint page GET|PUT /wiki/{page}
  endpoint draft GET /drafts/{page}
}
"""
BIND = "sub = token.sub, obj = request.path, act = request.method"


def block(bind: str = BIND, on: str = "wiki", reach: str = "full", more: str = "") -> str:
    return f'casbin rbac {{ model "model.conf" policy "policy.csv" bind {bind} on {on} as {reach} {more} }}\n'


def compiled(text: str, model: str = ACL, rows: str = ROWS, head: str = HEAD) -> Compiled:
    files = {"m.pol": (head + text).encode(), "model.conf": model.encode(), "policy.csv": rows.encode()}
    return compile_policy(files)


def refused(text: str, model: str = ACL, rows: str = ROWS, head: str = HEAD) -> set[str]:
    with pytest.raises(CompileError) as error:
        compiled(text, model, rows, head)
    return {each.code for each in error.value.diagnostics}


def user(sub: str, **more: Json) -> Caller:
    return Caller("user", {"aud": "wiki", "sub": sub, **more})


def question(caller: Caller, path: str, method: str = "GET", now_ms: int = 0, origin: Origin | None = None) -> Question:
    place = canonical_path(path)
    assert isinstance(place, Path)
    call = HttpCall(method, place, "wiki.example")
    return Question("wiki", call, caller, now_ms, {}, Origin("192.0.2.1") if origin is None else origin)


def asked(program: ir.Program, of: Question) -> Verdict:
    """The verdict, on which the definition and the plans agree."""
    loaded = codec.load(codec.dump(program))
    assert loaded == program
    reference = Reference.of(loaded)
    said, planned = reference.decide(of), Plans.of(loaded, reference).decide(of)
    assert (planned.outcome, planned.by[:1], planned.reason) == (said.outcome, said.by[:1], said.reason)
    assert planned.valid_until_ms == said.valid_until_ms
    return said


# ---------------------------------------------------------------- who decides

DECIDED: Mapping[str, tuple[str, Caller, str, tuple[str, str]]] = {
    "a row that grants": ("full", user("alice"), "/wiki/home", ("allow", "m.rbac")),
    "a row that denies": ("full", user("bob"), "/wiki/secret", ("deny", "m.rbac")),
    "its deny is kept within the table": ("grants_only", user("bob"), "/wiki/secret", ("deny", "default")),
    "no row": ("full", user("mallory"), "/wiki/home", ("deny", "default")),
    "nobody is asked about without a token": ("full", ANONYMOUS, "/drafts/x", ("deny", "default")),
    "a kind without the claim": (
        "full",
        Caller("robot", {"aud": "wiki", "name": "alice"}),
        "/wiki/home",
        ("deny", "default"),
    ),
    "an empty subject": ("full", user(""), "/wiki/home", ("deny", "default")),
}


@pytest.mark.parametrize(("reach", "caller", "path", "wanted"), DECIDED.values(), ids=DECIDED.keys())
def test_a_block_votes_under_deny_by_default(reach: str, caller: Caller, path: str, wanted: tuple[str, str]) -> None:
    verdict = asked(compiled(block(reach=reach)).program, question(caller, path))
    assert (verdict.outcome, verdict.by[0]) == wanted


def test_other_denies_and_the_audience_stand_above_a_grant() -> None:
    text = block() + 'deny frozen on wiki when request.path like "*/home" because "-"\n'
    program = compiled(text).program
    assert asked(program, question(user("alice"), "/wiki/home")).by == ("m.frozen",)
    elsewhere = Caller("user", {"aud": "shop", "sub": "alice"})
    assert asked(program, question(elsewhere, "/wiki/home")).by == ("audience",)


def test_a_deny_of_a_table_overrides_a_grant_of_another_rule() -> None:
    text = block() + 'allow readers for any user on wiki because "-"\n'
    program = compiled(text).program
    assert asked(program, question(user("bob"), "/wiki/secret")).outcome == "deny"
    assert asked(program, question(user("carol"), "/wiki/secret")).by == ("m.readers",)


def test_an_empty_policy_grants_nothing() -> None:
    program = compiled(block(), rows="").program
    assert asked(program, question(user(""), "/wiki/home")).by == ("default",)


def test_under_an_effect_that_never_denies_there_is_no_deny_rule() -> None:
    model = ACL.replace(" && !some(where (p.eft == deny))", "")
    assert [rule.effect for rule in compiled(block(), model).program.rules] == ["allow"]
    assert [rule.effect for rule in compiled(block()).program.rules] == ["allow", "deny"]


def test_a_block_grants_only_where_its_module_may() -> None:
    other = "module guard import m (wiki)\n" + block()
    files = {"m.pol": HEAD, "guard.pol": other, "model.conf": ACL, "policy.csv": ROWS}
    with pytest.raises(CompileError) as error:
        compile_policy({name: text.encode() for name, text in files.items()})
    assert {each.code for each in error.value.diagnostics} == {"E506"}


def test_a_name_is_a_rule_s_or_a_block_s() -> None:
    rule = 'deny rbac on wiki because "-"\n'
    assert refused(block() + rule) == {"E205"}
    assert refused(block().replace("rbac", "route")) == {"E110"}


def test_a_closed_endpoint_is_for_no_block() -> None:
    assert refused(block(), head=HEAD.replace("/drafts/{page}", "/drafts/{page} closed")) == {"E505"}


def test_a_block_on_nothing_is_warned_of() -> None:
    found = compiled(block(on="any endpoint tagged money"), head=HEAD + "label money\n").warnings
    assert "W801" in {each.code for each in found}


# ---------------------------------------------------------------- what is asked about

BOUND_HEAD = """module m
enum level = low < high
token user {
  issuer "https://id.example"
  claim sub: string
  claim age: int
  claim groups: set of string
  claim clearance: level
  claim vip: bool
}
service wiki {
  audience "wiki"
  host "wiki.example"
  tag owner = "team"
  endpoint page GET /wiki/{page}
}
"""
CLAIMS: Mapping[str, Json] = {"age": 20, "groups": ["editors"], "clearance": "high", "vip": True}

MATCHED: Mapping[str, tuple[str, str, str, str, Mapping[str, Json], bool]] = {
    "a number": ("age", "age = token.age", "r.age >= 18", "x", {}, True),
    "a number that is too small": ("age", "age = token.age", "r.age >= 21", "x", {}, False),
    "a field of a parameter": ("sub", '"sub.Age" = token.age', "r.sub.Age >= 18", "x", {}, True),
    "a field beside its parameter": (
        "sub",
        'sub = token.sub, "sub.Age" = token.age',
        "r.sub == p.who && r.sub.Age >= 18",
        "alice",
        {},
        True,
    ),
    "a field of a field": (
        "sub",
        '"sub.Org.Team" = service.owner',
        "r.sub.Org.Team == p.who",
        "team",
        {},
        True,
    ),
    "a set": ("groups", "groups = token.groups", "p.who in r.groups", "editors", {}, True),
    "a set without it": ("groups", "groups = token.groups", "p.who in r.groups", "owners", {}, False),
    "an enum": ("level", "level = token.clearance", "r.level == p.who", "high", {}, True),
    "a boolean": ("vip", "vip = token.vip", "r.vip", "x", {}, True),
    "a capture": ("page", "page = path.page", "r.page == p.who", "home", {}, True),
    "a setting of the policy": ("owner", "owner = service.owner", "r.owner == p.who", "team", {}, True),
    "an address": ("ip", "ip = request.ip", "ipMatch(r.ip, p.who)", "192.0.2.0/24", {}, True),
    "a parameter of a reserved name": ("role", "role = token.sub", "r.role == p.who", "alice", {}, True),
    "a parameter in capitals": ("Sub", '"Sub" = token.sub', "r.Sub == p.who", "alice", {}, True),
    "a function of two of them": (
        "sub, page",
        "page = path.page, sub = token.sub",
        "r.sub == p.who && keyMatch(r.page, 'ho*')",
        "alice",
        {},
        True,
    ),
}


def model_of(request: str, matcher: str) -> str:
    return (
        f"[request_definition]\nr = {request}\n[policy_definition]\np = who\n"
        f"[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = {matcher}\n"
    )


@pytest.mark.parametrize(
    ("request_", "bind", "matcher", "row", "claims", "allowed"), MATCHED.values(), ids=MATCHED.keys()
)
def test_what_is_bound_is_what_is_asked_about(
    request_: str, bind: str, matcher: str, row: str, claims: Mapping[str, Json], allowed: bool
) -> None:
    made = compiled(block(bind), model_of(request_, matcher), f"p, {row}\n", BOUND_HEAD)
    verdict = asked(made.program, question(user("alice", **CLAIMS, **claims), "/wiki/home"))
    assert (verdict.outcome == "allow") is allowed


def test_row_expressions_ask_about_what_is_bound() -> None:
    model = model_of("sub", "eval(p.who)")
    program = compiled(block('"sub.Age" = token.age'), model, "p, r.sub.Age > 18\n", BOUND_HEAD).program
    assert asked(program, question(user("alice", **CLAIMS), "/wiki/home")).outcome == "allow"
    assert asked(program, question(user("alice", **{**CLAIMS, "age": 3}), "/wiki/home")).outcome == "deny"


def test_an_address_that_is_not_known_grants_nothing_and_is_denied() -> None:
    model = model_of("ip", "ipMatch(r.ip, p.who)").replace("p = who", "p = who, eft")
    model = model.replace("allow))", "allow)) && !some(where (p.eft == deny))")
    program = compiled(block("ip = request.ip"), model, "p, 192.0.2.0/24, allow\n", BOUND_HEAD).program
    caller = user("alice", **CLAIMS)
    assert asked(program, question(caller, "/wiki/home")).outcome == "allow"
    unknown = asked(program, question(caller, "/wiki/home", origin=Origin()))
    assert (unknown.outcome, unknown.by) == ("deny", ("m.rbac",))
    assert "nothing is known of `request.ip`" in sentence(unknown)


def test_actions_are_asked_about_by_what_they_have() -> None:
    head = BOUND_HEAD.replace("endpoint page GET /wiki/{page}", 'endpoint read action "read" on "page"')
    program = compiled(block("obj = resource.id"), model_of("obj", "r.obj == p.who"), "p, home\n", head).program
    call = ActionCall("read", "page", "home")
    of = Question("wiki", call, user("alice", **CLAIMS), 0, {})
    assert asked(program, of).outcome == "allow"
    assert asked(program, replace(of, call=replace(call, id="other"))).outcome == "deny"
    assert refused(block("obj = request.path"), model_of("obj", "r.obj == p.who"), "p, home\n", head) == {"E601"}


def test_a_claim_that_one_kind_may_lack_is_refused_though_another_has_it() -> None:
    head = HEAD.replace("claim name: string", "claim sub: string optional")
    assert refused(block(), head=head) == {"E601"}


NO_TEXTS = {"an integer": "int", "a truth": "bool", "a set": "set of string"}


@pytest.mark.parametrize("case", NO_TEXTS)
@pytest.mark.parametrize("asks", ["r.sub == p.sub", "p.sub != r.sub", "!(r.sub == p.sub)", "eval(p.sub)"])
def test_what_is_no_text_is_not_compared_with_the_texts_of_rows(case: str, asks: str) -> None:
    """It is equal to none: a row that denies `42` would never hold, and nobody would be told."""
    head = HEAD.replace("claim sub: string", f"claim sub: {NO_TEXTS[case]}")
    rows = f"p, {'r.sub != p.obj' if 'eval' in asks else '42'}, /wiki/secret, GET, deny\n"
    assert refused(block(), ACL.replace("r.sub == p.sub", asks), rows, head) == {"E601"}


def test_a_number_is_compared_with_numbers_and_a_set_is_looked_into() -> None:
    bind, head = "level = token.level, obj = request.path", HEAD.replace("claim sub: string", "claim level: int")
    made = compiled(
        block(bind), model_of("level, obj", "r.level > 3 && r.level != 7 && r.obj == p.who"), "p, /x\n", head
    )
    assert made.program.tables[0].parameters == ("level", "obj")
    bind, head = "groups = token.groups", HEAD.replace("claim sub: string", "claim groups: set of string")
    assert compiled(block(bind), model_of("groups", "p.who in r.groups"), "p, staff\n", head).program.tables


# ---------------------------------------------------------------- how what is bound is spelt

UUID = "2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11"
SPELT_HEAD = """module m
enum level = low < high
token user {
  issuer "https://id.example"
  claim id: uuid
  claim home: ip
  claim runs_as: workload
  claim level: level
  claim teams: set of uuid
  claim name: string
}
service wiki { audience "wiki" host "wiki.example" endpoint page GET|PUT /wiki/{page} }
"""

MISSPELT: Mapping[str, tuple[str, str, str]] = {
    "a uuid in upper case": ("token.id", "r.x == p.who", UUID.upper()),
    "a uuid that another is not": ("token.id", "r.x != p.who", UUID.upper()),
    "what is no uuid": ("token.id", "r.x == p.who", "alice"),
    "a mapped address": ("token.home", "p.who == r.x", "::FFFF:1.2.3.4"),
    "an address at length": ("request.ip", "r.x == p.who", "2001:db8:0::1"),
    "a network, compared as an address": ("request.ip", "r.x == p.who", "10.0.0.0/8"),
    "a value that the enum lacks": ("token.level", "r.x == p.who", "High"),
    "a trust domain in capitals": ("token.runs_as", "r.x == p.who", "spiffe://Example.org/a"),
    "a host in capitals": ("request.host", "r.x == p.who", "Wiki.example"),
    "a host with its port": ("request.host", "r.x == p.who", "wiki.example:443"),
    "a method in lower case": ("request.method", "r.x == p.who", "get"),
    "a member of a set": ("token.teams", "p.who in r.x", UUID.upper()),
    "one of a list": ("token.id", "r.x in (p.who, '2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a12')", UUID.upper()),
    "a constant": ("token.level", "r.x == 'top' && p.who != ''", "x"),
    "a constant of a list": ("token.level", "r.x in ('low', 'top') && p.who != ''", "x"),
    "a star that nothing takes for any": ("token.id", "r.x == p.who", "*"),
    "the beginning of a uuid": ("token.id", "keyMatch(r.x, p.who)", "2F4A*"),
    "a pattern of a host": ("request.host", "keyMatch(r.x, p.who)", "Wiki.*"),
    "a whole address under a function": ("token.home", "keyMatch(r.x, p.who)", "::ffff:1.2.3.4"),
    "a constant under a function": ("token.id", "keyMatch(r.x, '2F4A*') && p.who != ''", "x"),
    "a rule of a row": ("token.level", "eval(p.who)", "r.x == 'top'"),
    "a row beside a rule of a row": ("token.level", "r.x == p.who || eval(p.rule)", "High, r.x == 'low'"),
}


def spelt(what: str, matcher: str, row: str, more: str = "") -> Compiled:
    columns = "who, rule" if "p.rule" in matcher else "who"
    model = model_of("x", matcher).replace("p = who", f"p = {columns}")
    return compiled(block(f"x = {what}", more=more), model, f"p, {row}\n", SPELT_HEAD)


@pytest.mark.parametrize("case", MISSPELT)
def test_what_nothing_is_equal_to_is_refused(case: str) -> None:
    with pytest.raises(CompileError) as error:
        spelt(*MISSPELT[case])
    assert [each.code for each in error.value.diagnostics] == ["E601"]


SPELT: Mapping[str, tuple[str, str, str]] = {
    "a uuid": ("token.id", "r.x == p.who", UUID),
    "an address": ("token.home", "r.x == p.who", "1.2.3.4"),
    "a network": ("token.home", "ipMatch(r.x, p.who)", "::FFFF:1.2.3.0/120"),
    "a value of the enum": ("token.level", "r.x == p.who", "high"),
    "a method that there is not": ("request.method", "r.x == p.who", "look"),
    "a text": ("token.name", "r.x == p.who", UUID.upper()),
    "a star that the matcher asks for": ("token.id", "r.x == p.who || p.who == '*'", "*"),
    "one of what the matcher asks for": ("token.level", "r.x == p.who || p.who in ('*', 'all')", "all"),
    "what another function asks for": ("token.level", "r.x == p.who || keyMatch(r.x, p.who)", "hi*"),
    "an empty constant": ("token.id", "r.x != '' && r.x == p.who", UUID),
    "a placeholder in capitals": ("token.id", "keyMatch2(r.x, p.who)", ":Id"),
    "what stands behind the star of keyMatch": ("token.id", "keyMatch(r.x, p.who)", "2f4a*X"),
    "a class of characters": ("token.id", "regexMatch(r.x, p.who)", "[0-9A-Fa-f-]+$"),
}


@pytest.mark.parametrize("case", SPELT)
def test_what_may_be_equal_is_let_through(case: str) -> None:
    assert spelt(*SPELT[case]).program.tables


def test_a_network_of_mapped_addresses_meets_none_in_compat() -> None:
    with pytest.raises(CompileError) as error:
        spelt("token.home", "ipMatch(r.x, p.who)", "::ffff:1.2.3.0/120", "mode compat")
    (found,) = error.value.diagnostics
    assert found.helps == ("write `1.2.3.0/24`",)
    assert spelt("token.home", "ipMatch(r.x, p.who)", "2001:db8::/32", "mode compat").program.tables
    assert spelt("token.home", "ipMatch(r.x, p.who)", "::/0", "mode compat").program.tables


def test_names_of_role_definitions_are_spelt_as_the_input_is() -> None:
    model = model_of("id", "g(r.id, p.who)").replace("[policy_effect]", "[role_definition]\ng = _, _\n[policy_effect]")
    for rows, line in ((f"p, editor\ng, {UUID.upper()}, editor\n", 2), (f"p, {UUID.upper()}\n", 1)):
        with pytest.raises(CompileError) as error:
            compiled(block("id = token.id"), model, rows, SPELT_HEAD)
        (found,) = error.value.diagnostics
        assert (found.code, found.span.source, rows[: found.span.start].count("\n") + 1) == ("E601", "policy.csv", line)
        assert rows[found.span.start : found.span.end] == UUID.upper()
    assert compiled(block("id = token.id"), model, f"p, Editor\ng, {UUID}, Editor\n", SPELT_HEAD).program.tables


def test_where_kinds_differ_in_type_a_row_may_be_meant_for_either() -> None:
    head = HEAD.replace("claim name: string", "claim sub: uuid")
    assert compiled(block(), head=head).program.tables


def test_as_many_texts_are_named_as_are_ever_shown() -> None:
    rows = "".join(f"p, V{number}\n" for number in range(300))
    with pytest.raises(CompileError) as error:
        compiled(block("x = token.level"), model_of("x", "r.x == p.who"), rows, SPELT_HEAD)
    assert len(error.value.diagnostics) == MOST_MISSPELT


# ---------------------------------------------------------------- kinds that share names

SHARING = HEAD.replace("claim name: string", "claim sub: string")
ACTIONS = """module m
subject user { type "user" property name: string }
subject robot { type "robot" }
service wiki { audience none accepts user, robot endpoint read action "read" on "page" }
"""
ASKED = model_of("sub", "r.sub == p.who")

SHARED: Mapping[str, tuple[str, str, str, bool]] = {
    "two issuers that give one name": (SHARING, "sub = token.sub", "sub", True),
    "one of them has none": (HEAD, "sub = token.sub", "sub", False),
    "one of them calls it otherwise": (
        SHARING.replace("claim sub: string }\nservice", 'claim robot_sub: string from "sub" }\nservice'),
        "sub = token.sub",
        "sub",
        False,
    ),
    "who issued it is asked too": (
        SHARING.replace("claim sub: string", 'claim sub: string claim by: string from "iss"'),
        "sub = token.sub, by = token.by",
        "sub, by",
        False,
    ),
    "what looks like an issuer": (
        SHARING.replace("claim sub: string", "claim sub: string claim by: string"),
        "sub = token.sub, by = token.by",
        "sub, by",
        True,
    ),
    "scopes name nobody": (SHARING, "sub = token.scope", "sub", False),
    "nothing of the caller": (SHARING, "sub = request.method", "sub", False),
    "a claim that one alone has": (
        SHARING.replace("claim sub: string }\ntoken", "claim sub: string claim team: string }\ntoken"),
        "sub = token.sub, team = token.team",
        "sub, team",
        False,
    ),
    "other types of one name": (SHARING.replace("claim sub: string }\nservice", "claim sub: uuid }\nservice"),
        "sub = token.sub", "sub", True),
    "subjects of two types": (ACTIONS, "sub = subject.id", "sub", True),
    "a property that one alone has": (ACTIONS, "sub = subject.name", "sub", False),
    "one is accepted": (ACTIONS.replace("accepts user, robot", "accepts user"), "sub = subject.id", "sub", False),
    "tokens where none is taken": (
        SHARING.replace('audience "wiki"', "audience none"), "sub = token.sub", "sub", False
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SHARED)
def test_a_name_that_several_kinds_have_is_warned_of(case: str) -> None:
    head, bind, request, warned = SHARED[case]
    matcher = "p.who in r.sub" if "scope" in bind else " && ".join(f"r.{each} == p.who" for each in request.split(", "))
    found = compiled(block(bind), model_of(request, matcher), "p, alice\n", head).warnings
    assert ("W628" in {each.code for each in found}) is warned


def test_kinds_that_share_a_name_are_named_with_what_to_write() -> None:
    (found,) = [each for each in compiled(block(), head=SHARING).warnings if each.code == "W628"]
    assert "`robot`, `user`" in found.message
    assert 'claim user_sub: string from "sub"' in found.helps[0]
    renamed = SHARING.replace("claim sub: string", 'claim user_sub: string from "sub"', 1)
    assert "W628" not in {each.code for each in compiled(block(), head=renamed).warnings}


def test_many_kinds_that_share_a_name_are_counted() -> None:
    kinds = "".join(f'token k{n} {{ issuer "https://k{n}.example" claim sub: string }}\n' for n in range(6))
    (found,) = [each for each in compiled(block(), head=HEAD + kinds).warnings if each.code == "W628"]
    assert found.message.endswith("`k0`, `k1`, `k2`, `k3` and 3 more")


# ---------------------------------------------------------------- options


def test_definitions_are_chosen() -> None:
    model = ACL + "m2 = r.sub == p.sub\n"
    program = compiled(block(more="use m2"), model).program
    assert asked(program, question(user("alice"), "/drafts/x")).outcome == "allow"
    assert asked(compiled(block(), model).program, question(user("alice"), "/drafts/x")).outcome == "deny"


def test_names_of_roles_are_matched_by_a_function() -> None:
    model = ACL.replace("[policy_effect]", "[role_definition]\ng = _, _\n[policy_effect]").replace(
        "r.sub == p.sub", "g(r.sub, p.sub)"
    )
    rows = "p, reader, /wiki/:page, GET, allow\ng, user_*, reader\n"
    program = compiled(block(more='match g = "keyMatch"'), model, rows).program
    assert asked(program, question(user("user_7"), "/wiki/home")).outcome == "allow"
    assert asked(compiled(block(), model, rows).program, question(user("user_7"), "/wiki/home")).outcome == "deny"


def test_a_table_that_asks_for_the_time_holds_for_a_moment() -> None:
    model = model_of("sub", "r.sub == p.who && timeMatch('2026-01-01 00:00:00', '2026-01-02 00:00:00')")
    program = compiled(block("sub = token.sub", more='zone "Europe/Berlin"'), model, "p, alice\n").program
    noon_ms = 1_767_265_200_000
    verdict = asked(program, question(user("alice"), "/wiki/home", now_ms=noon_ms))
    assert (verdict.outcome, verdict.valid_until_ms) == ("allow", noon_ms + 1)
    assert asked(program, question(user("alice"), "/wiki/home", now_ms=noon_ms + 86_400_000)).outcome == "deny"
    assert asked(compiled(block()).program, question(user("alice"), "/wiki/home")).valid_until_ms is None


def test_compat_answers_what_strict_refuses() -> None:
    model = ACL.replace("some(where (p.eft == allow)) && ", "")
    assert refused(block(), model) == {"E606"}
    made = compiled(block(more="mode compat"), model)
    assert "W606" in {each.code for each in made.warnings}
    assert asked(made.program, question(user("mallory"), "/wiki/home")).by == ("m.rbac",)
    assert asked(made.program, question(user("bob"), "/wiki/secret")).outcome == "deny"


def test_mistakes_in_a_model_and_its_policy_stand_in_their_files() -> None:
    with pytest.raises(CompileError) as error:
        compiled(block() + "label x, x\n", rows=ROWS + "p, too, few\n")
    found = [(each.code, each.span.source) for each in error.value.diagnostics]
    assert found == [("E205", "m.pol"), ("E617", "policy.csv")]


def test_a_block_with_a_mistake_is_never_lowered() -> None:
    """Were its mistake not reported, its deny must not be left out in silence."""
    assert refused(block(bind="sub = token.nothing, obj = request.path, act = request.method")) == {"E203"}


# ---------------------------------------------------------------- what is said


def test_a_trace_names_the_row_that_decided() -> None:
    program = compiled(block()).program
    granted = asked(program, question(user("bob"), "/wiki/home"))
    assert sentence(granted) == "Allowed by `m.rbac` (policy.csv:2)."
    rows = {trace.effect: trace.row for trace in granted.rules}
    assert rows == {"deny": "", "allow": "policy.csv:2"}
    denied = asked(program, question(user("bob"), "/wiki/secret"))
    assert sentence(denied) == "Denied by `m.rbac` (policy.csv:3)."
    asked_about = "rbac(token.sub, request.path, request.method)"
    assert dict(denied.rules[0].clauses[0].reads)[asked_about] == "policy.csv:3"


def test_a_refusal_by_default_names_the_nearest_allow_of_the_two() -> None:
    verdict = asked(compiled(block()).program, question(user("mallory"), "/wiki/home"))
    told = trace_json(verdict, frozenset(), values=False)
    assert (verdict.nearest, told["distance"]) == ("m.rbac", 1)
    assert sentence(verdict) == (
        "No rule allowed this (default.no_rule). The closest, `m.rbac`, failed because "
        "`rbac(token.sub, request.path, request.method) says allow` is not true."
    )


def test_a_trace_without_values_holds_the_row_and_no_value() -> None:
    verdict = asked(compiled(block()).program, question(user("bob"), "/wiki/secret"))
    told = str(trace_json(verdict, frozenset(), values=False))
    assert "policy.csv:3" in told
    assert "bob" not in told
    assert "secret" not in told


def test_tests_may_name_a_block_and_cover_both_of_its_votes() -> None:
    given = 'given token user { sub: "bob", aud: ["wiki"] }'
    text = (
        block()
        + f'test "t" {{ {given} call wiki GET /wiki/home expect allow by rbac '
        + "call wiki GET /wiki/secret expect deny by m.rbac }\n"
    )
    made = compiled(text)
    results = list(run_tests(made.program, made.tests))
    assert [each.passed for each in results] == [True, True]
    coverage = Coverage.of(made.program, results, made.written)
    assert {(rule.effect, rule.named, rule.applied) for rule in coverage.rules} == {("allow", 1, 1), ("deny", 1, 1)}
    assert refused(text.replace("by rbac", "by rbad")) == {"E704"}


def test_the_inventory_says_by_which_table_an_endpoint_is_reached() -> None:
    (grant,) = reach(compiled(block()).program)[0].allows
    assert (grant.rule, grant.who) == ("m.rbac", '"policy.csv" under "model.conf"')


# ---------------------------------------------------------------- what it costs


def weight(rows: int, model: str = ACL) -> int:
    written = "".join(f"p, u{number}, /wiki/:page, GET, allow\n" for number in range(rows))
    return costs(compiled(block(), model, written).program)[0].atoms


def test_a_table_counts_for_a_hundredth_of_its_rows_once() -> None:
    assert weight(1) == LEAST_OF_TABLE
    assert weight(1000) == 10
    assert MOST_OF_TABLE == 256


def test_a_table_without_an_index_counts_for_each_row() -> None:
    model = ACL.replace("r.sub == p.sub && keyMatch2(r.obj, p.obj) && r.act == p.act", "r.sub < p.sub")
    assert weight(300, model) == 300


def test_too_large_a_table_without_an_index_is_refused() -> None:
    model = ACL.replace("r.sub == p.sub && keyMatch2(r.obj, p.obj) && r.act == p.act", "r.sub < p.sub")
    rows = "".join(f"p, u{number}, /wiki/:page, GET, allow\n" for number in range(600))
    assert refused(block(), model, rows) == {"E801"}
