"""`pdp casbin convert`: the policy that is made says of every call what the rows say, or nothing is made."""

from __future__ import annotations

import csv
import io
import sqlite3
from pathlib import Path
from random import Random

import pytest

from pdp.authoring.casbin_convert import Converted, converted
from pdp.authoring.casbin_entries import Refused
from pdp.authoring.casbin_requests import Drawer
from pdp.authoring.casbin_shapes import EVERYTHING, Shape, common, crossed, shape_of
from pdp.authoring.pol_text import METHODS, quoted
from policy_lang.casbin.definitions import Sections, read_model
from policy_lang.casbin.program import CasbinProgram, compile_casbin
from policy_lang.casbin.rows import STRICT, rows_of
from policy_lang.casbin.tables import table as table_of
from policy_lang.compile import compile_policy
from policy_lang.layout.formatter import formatted
from policy_lang.source import Source
from policy_lang.trials.runner import run_tests
from tests.casbin.conftest import MODEL, POLICY
from tests.support.command import Pdp

ACL = """\
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
"""

ROOT_TOO = ACL.replace("m = ", 'm = r.sub == "root" || ')
BY_PATH = ACL.replace("r.obj == p.obj", "keyMatch2(r.obj, p.obj)")
ANY_OF_THEM = BY_PATH.replace("r.act == p.act", "regexMatch(r.act, p.act)").replace(
    "r.sub == p.sub", '(r.sub == p.sub || p.sub == "*")'
)
NO_USERS = BY_PATH.replace("sub, obj", "obj").replace("r.sub == p.sub && ", "")
PRIORITY = MODEL.replace("some(where (p.eft == allow)) && !some(where (p.eft == deny))", "priority(p.eft) || deny")
BY_PREFIX = ACL.replace("r.obj == p.obj", "keyMatch(r.obj, p.obj)")

NESTED = """\
p, ann, /a/:x/:y, GET
p, bob, /a/b/:y, GET
p, cid, /a/*, PUT
p, dan, /:any, GET
p, eve, /*, DELETE
p, fay, /a/b/c, POST
"""

NAMES = "p, alice, data1, read\np, bob, data2, write\np, alice, data2, read\np, bob, data1, Approve it!\n"

SAME = {
    "roles, and rows that refuse": (MODEL, POLICY),
    "chains of roles": (MODEL, POLICY + "g, carol, alice\ng, dave, carol\ng, editor, reader\n"),
    "roles in a circle": (MODEL, POLICY + "g, editor, alice\n"),
    "names and actions": (ACL, NAMES),
    "a root that no row names": (ROOT_TOO, NAMES),
    "a root over paths": (ROOT_TOO.replace("r.obj == p.obj", "keyMatch2(r.obj, p.obj)"), NESTED),
    "paths within paths": (BY_PATH, NESTED),
    "equal paths": (ACL, "p, ann, /a/b, GET\np, ann, /a, PUT\np, bob, /, GET\n"),
    "paths with odd characters": (ACL, "p, ann, /a b/c~1, GET\np, ann, /é/1, GET\np, bob, /x:y@z/1=2+3, PUT\n"),
    "methods by a regular expression, and everybody": (
        ANY_OF_THEM,
        "p, ann, /a/:x, ^(GET|POST)$\np, *, /a/b, .*\np, bob, /*, ^P\n",
    ),
    "a model without users": (NO_USERS, "p, /a/:x, GET\np, /a/b, PUT\n"),
    "refusals that rank first": (PRIORITY, "p, x, /a/*, GET, deny\np, x, /*, GET, allow\np, y, /*, GET, allow\n"),
    "names that begin so": (BY_PREFIX, "p, ann, doc*, read\np, bob, *, read\np, cid, doc1, write\n"),
    "names in quotes and braces": (ACL, "p, a'b, {x}, read\np, c\\d, $y, read\n"),
    "every action but one": (ACL.replace("r.act == p.act", "!(r.act == p.act)"), NAMES),
    "rows that refuse where grants alone are asked for": (
        MODEL.replace(" && !some(where (p.eft == deny))", ""),
        "p, x, /a/*, GET, deny\np, x, /a/:y, GET, allow\n",
    ),
    "reserved words": (ACL, "p, role, token, allow\np, any, endpoint, deny\n"),
}


def _extended(made: Converted, program: CasbinProgram, requests: list[tuple[str, ...]]) -> str:
    """The policy with a test of these requests, each with the answer of the program."""
    text = made.files["policy.pol"]
    facts = []
    for name, rows in made.files.items():
        for person, role in list(csv.reader(io.StringIO(rows)))[1:] if name.startswith("facts/") else ():
            facts.append(f"  given fact {name.split('.')[-2]} ({quoted(person)}, {quoted(role)})")
    paths = "token user" in text
    given = '  given token user { sub: "x", aud: ["svc"] }' if paths else '  given subject user { id: "x" }'
    lines = ['test "drawn" {', given, *facts]
    for request in requests:
        who, what, action = request if len(request) == 3 else ("x", *request)
        call = f"svc {action} {what}" if paths else f"svc.{_endpoint(text, action)} {{ id: {quoted(what)} }}"
        caller = "token.sub" if paths else "subject.id"
        expected = "allow" if program.enforce(*request) else "deny"
        lines.append(f"  call {call} with {caller} = {quoted(who)} expect {expected}")
    return "\n".join((text, *lines, "}", ""))


def _endpoint(text: str, action: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if f"action {quoted(action)} " in line)


def _requests(program: CasbinProgram, *, paths: bool) -> list[tuple[str, ...]]:
    """Requests that a call of the policy can carry: declared actions, paths that end in no slash."""
    drawer, random = Drawer.of(program.table), Random(5)
    acts = {row.values[-1] for row in program.table.rows}
    drawn = [tuple(map(str, drawer.drawn(random))) for _ in range(400)]
    if paths:
        # HEAD follows GET in the language, and not in Casbin: it is asked of every path that is drawn.
        mixed = [(*each[:-1], method) for each in drawn for method in ("HEAD", random.choice(METHODS[2:]))] + drawn
        plain = [each for each in mixed if each[-1] in METHODS and _plain(each[-2])]
        return list(dict.fromkeys(plain))
    return list(dict.fromkeys(each for each in drawn if each[-1] in acts and all(each)))


def _plain(path: str) -> bool:
    return path == "/" or (path.startswith("/") and not path.endswith("/") and " " not in path and path.isascii())


@pytest.mark.parametrize("case", SAME)
def test_the_policy_that_is_made_says_the_same(case: str) -> None:
    program = compile_casbin(*SAME[case])
    made = converted(program.table, "svc", 0)
    assert isinstance(made, Converted), made
    assert made.findings == ()
    assert formatted("policy.pol", made.files["policy.pol"].encode()) == made.files["policy.pol"]
    own = compile_policy({"policy.pol": made.files["policy.pol"].encode()})
    assert not own.warnings
    assert all(each.passed for each in run_tests(own.program, own.tests))
    paths = "token user" in made.files["policy.pol"]
    requests = _requests(program, paths=paths)
    allowed = sum(program.enforce(*request) for request in requests)
    assert len(requests) >= 10
    assert 0 < allowed < len(requests)
    compiled = compile_policy({"policy.pol": _extended(made, program, requests).encode()})
    results = run_tests(compiled.program, compiled.tests)
    assert [(each.case.text, each.got) for each in results if not each.passed] == []
    assert len(own.tests) >= 2


def test_head_follows_get_where_rows_say_so_and_nowhere_else() -> None:
    policy = "p, ann, /a/*, GET\np, ann, /b, GET\np, bob, /b, HEAD\np, ann, /c, POST\n"
    made = converted(compile_casbin(BY_PATH, policy).table, "svc", 0)
    assert isinstance(made, Converted)
    text = made.files["policy.pol"]
    heads = [" ".join(line.split()) for line in text.splitlines() if line.startswith("  endpoint ") and "HEAD" in line]
    assert heads == ["endpoint head_a_any HEAD /a/{a}/** closed", "endpoint head_b HEAD /b"]
    assert 'test "HEAD where rows name GET"' in text
    assert 'call svc HEAD /a/w2y/tail with token.sub = "ann" expect deny' in " ".join(text.split())
    own = compile_policy({"policy.pol": text.encode()})
    assert [each.code for each in own.warnings] == []
    assert all(each.passed for each in run_tests(own.program, own.tests))


def test_facts_are_all_who_hold_a_role_themselves_included() -> None:
    made = converted(compile_casbin(MODEL, POLICY + 'g, "x", bob\n'.replace('"', "'")).table, "svc", 0)
    assert isinstance(made, Converted)
    rows = made.files["facts/svc.has_role.csv"].splitlines()
    assert rows[0] == "name,role"
    assert sorted(rows[1:]) == [
        "'x',intern",
        "'x',reader",
        "alice,editor",
        "alice,reader",
        "bob,intern",
        "bob,reader",
        "editor,editor",
        "intern,intern",
        "reader,reader",
    ]


REFUSED = {
    "rows that refuse, on paths that no endpoint has": (MODEL, "p, x, /a*, GET, deny\np, y, /b, GET, allow\n"),
    "rows that refuse behind rows that allow": (PRIORITY, "p, x, /a, GET, allow\np, x, /*, GET, deny\n"),
    "domains": (
        ACL.replace("sub, obj", "sub, dom, obj")
        .replace("[policy_effect]", "[role_definition]\ng = _, _, _\n\n[policy_effect]")
        .replace("r.sub == p.sub", "g(r.sub, p.sub, r.dom) && r.dom == p.dom"),
        "p, admin, d1, data1, read\ng, alice, admin, d1\n",
    ),
    "a parameter too many": (
        ACL.replace("sub, obj", "sub, dom, obj").replace("r.sub == p.sub", "r.sub == p.sub && r.dom == p.dom"),
        "p, alice, d1, data1, read\n",
    ),
    "roles of actions": (
        ACL.replace("r.act == p.act", "!g2(r.act, p.act)").replace(
            "[policy_effect]", "[role_definition]\ng = _, _\ng2 = _, _\n\n[policy_effect]"
        ),
        NAMES,
    ),
    "no rows": (ACL, ""),
    "rows that none of them can say": (BY_PATH, "p, x, /a*b, GET\n"),
    "rows that refuse, on paths that cross": (
        MODEL,
        "p, x, /a/:x/c, GET, deny\np, y, /a/b/:y, GET, deny\np, z, /*, GET, allow\n",
    ),
    "too many paths": (BY_PATH, "".join(f"p, u, /p{number}, GET\n" for number in range(2_001))),
}


WHY = {
    "a subject that stands in conditions of rows alone": (
        "eval(p.sub) && r.obj == p.obj && r.act == p.act",
        "p, r.sub.Age > 18, /a, GET\np, r.sub.Age > 21, /b, GET\n",
        "policy.csv:1: a condition stands in the row itself, by `eval(p.sub)`, and 1 more",
    ),
    "a part of the subject": (
        "r.sub.Age > 18 && r.obj == p.obj && r.act == p.act && p.sub != ''",
        "p, x, /a, GET\n",
        "policy.csv:1: a rule cannot ask for `(r.sub.Age > 18)`",
    ),
    "no rows": ("r.sub == p.sub && r.obj == p.obj && r.act == p.act", "", "no row says anything that a rule can say"),
}


@pytest.mark.parametrize("case", WHY)
def test_what_is_refused_whole_is_refused_with_its_reason(case: str) -> None:
    matcher, policy, said = WHY[case]
    model = ACL.replace("r.sub == p.sub && r.obj == p.obj && r.act == p.act", matcher)
    refused = converted(compile_casbin(model, policy).table, "svc", 0)
    assert isinstance(refused, Refused)
    assert refused.why.endswith(said)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_said_is_refused_whole(case: str) -> None:
    model, policy = REFUSED[case]
    program = compile_casbin(model, policy, mode="compat")
    assert isinstance(converted(program.table, "svc", 0), Refused)


def test_a_row_that_refuses_where_it_is_unknown_is_converted_as_such() -> None:
    """A level that is no number has no order: the row refuses all the same."""
    model = MODEL.replace("p = sub,", "p = level, sub,").replace("g(r.sub", "p.level > 1 && g(r.sub")
    policy = "p, high, x, /a, GET, deny\np, 2, x, /a, GET, allow\n"
    program = compile_casbin(model, policy, mode="compat")
    made = converted(program.table, "svc", 0)
    assert not program.enforce("x", "/a", "GET")
    assert isinstance(made, Refused) or "deny x_must_not" in made.files["policy.pol"]


def test_a_default_allow_is_never_converted() -> None:
    model = MODEL.replace(
        "some(where (p.eft == allow)) && !some(where (p.eft == deny))", "!some(where (p.eft == deny))"
    )
    said = converted(compile_casbin(model, "p, x, /a, GET, deny\n", mode="compat").table, "svc", 0)
    assert isinstance(said, Refused)
    assert "allows what no row refuses" in said.why


def test_a_chain_of_roles_grants_as_far_as_the_table_follows_it(folder: Path, pdp: Pdp) -> None:
    """Nine links in compat, as in Casbin; whoever is further off holds nothing, and gets nothing of the policy."""
    links = "".join(f"g, r{number}, r{number + 1}\n" for number in range(12))
    (folder / "policy.csv").write_text(f"p, r12, /x, GET, allow\n{links}")
    for mode, furthest in (("compat", 3), ("strict", 0)):
        made = pdp("casbin", "convert", "model.conf", "policy.csv", "--mode", mode, "--output", mode)
        assert made.code == 0, made.err
        (facts,) = (folder / mode / "facts").iterdir()
        held = [f"r{number},r12" for number in range(furthest, 13)]
        assert sorted(facts.read_text().splitlines()[1:]) == sorted(held)
        program = compile_casbin(MODEL, (folder / "policy.csv").read_text(), mode="compat" if furthest else "strict")
        assert [program.enforce(f"r{number}", "/x", "GET") for number in range(13)] == [
            number >= furthest for number in range(13)
        ]


def test_a_role_in_a_circle_is_followed_no_further_in_compat() -> None:
    links = "".join(f"g, r{number}, r{(number + 1) % 12}\n" for number in range(12))
    made = converted(compile_casbin(MODEL, f"p, r0, /x, GET, allow\n{links}", mode="compat").table, "svc", 0)
    assert isinstance(made, Converted)
    rows = made.files["facts/svc.has_role.csv"].splitlines()[1:]
    assert sorted(rows) == sorted(f"r{number % 12},r0" for number in range(3, 13))


SIGNS = "!$&'+=:@~*"


def test_signs_of_paths_stand_raw_in_calls_and_are_text_in_endpoints() -> None:
    rows = [("p", "ann", f"/{sign}/x{sign}y", "GET", None) for sign in SIGNS]
    model = read_model(Source("model.conf", ACL), mode="strict")
    made_of = table_of(model, rows_of([*rows, ("p", "ann", "/(b),", "GET", None)], model), Sections(), STRICT)[0]
    assert made_of is not None
    made = converted(made_of, "svc", 0)
    assert isinstance(made, Converted)
    assert made.findings == ()
    own = compile_policy({"policy.pol": made.files["policy.pol"].encode()})
    results = list(run_tests(own.program, own.tests))
    assert all(each.passed for each in results)
    assert sum("expect allow" in each.case.text for each in results) == len(SIGNS)


def test_tests_expect_nothing_of_rows_that_are_left_out(folder: Path, pdp: Pdp) -> None:
    """The second row allows the calls of the first one's test to everybody, and no rule can ask for it."""
    (folder / "model.conf").write_text(
        ACL.replace("r.obj == p.obj", '(r.obj == p.obj || p.sub == "*" && r.obj != p.obj)')
    )
    (folder / "policy.csv").write_text("p, bob, data1, read\np, *, data2, read\n")
    (folder / "model.conf").write_text(
        (folder / "model.conf").read_text().replace("r.sub == p.sub", '(r.sub == p.sub || p.sub == "*")')
    )
    done = pdp("casbin", "convert", "model.conf", "policy.csv", "--output", "made")
    assert done.code == 1, done.err
    assert "left out policy.csv:2" in done.err
    assert pdp("test", "made").code == 0


def test_facts_that_cannot_be_loaded_are_not_written(folder: Path, pdp: Pdp) -> None:
    """A name with a line end comes from a database alone, and in compat."""
    with sqlite3.connect(folder / "rules.db") as connection:
        columns = ", ".join(f"v{number} TEXT" for number in range(6))
        connection.execute(f"CREATE TABLE casbin_rule (id INTEGER PRIMARY KEY, ptype TEXT, {columns})")
        insert = "INSERT INTO casbin_rule (ptype, v0, v1, v2, v3) VALUES (?, ?, ?, ?, ?)"
        connection.execute(insert, ("p", "editor", "/x", "GET", "allow"))
        connection.execute(insert, ("g", "x\nmallory", "editor", None, None))
    connection.close()
    made = pdp("casbin", "convert", "model.conf", "sqlite:rules.db", "--mode", "compat", "--output", "made")
    assert made.code == 2
    assert "I442" in made.err
    assert not (folder / "made").exists()


def test_rows_that_are_left_out_are_named_and_the_others_converted(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(BY_PATH)
    (folder / "policy.csv").write_text("p, ann, /a/:x, GET\np, bob, /b/*/c, GET\n")
    done = pdp("casbin", "convert", "model.conf", "policy.csv")
    assert done.code == 1
    assert "left out policy.csv:2  `/b/*/c`" in done.err
    assert "ann_may" in done.out
    assert "bob" not in done.out


def test_rows_whose_paths_cross_others_are_left_out(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("p, ann, /a/:x/c, GET, allow\np, bob, /a/b/:y, GET, deny\n")
    done = pdp("casbin", "convert", "model.conf", "policy.csv")
    assert done.code == 1
    assert "left out policy.csv:1  its paths /a/{a}/c cross /a/b/{a} of line 2" in done.err
    assert "deny bob_must_not" in done.out
    assert "ann" not in done.out


def test_a_folder_that_is_written_checks_and_its_tests_pass(folder: Path, pdp: Pdp) -> None:
    done = pdp("casbin", "convert", "model.conf", "policy.csv", "--output", "made", "--service", "wiki")
    assert (done.code, done.out, done.err) == (0, "made: 2 files\n", "")
    checked = pdp("check", "made")
    assert checked.code == 0
    assert "0 warnings" in checked.out
    assert pdp("test", "made").code == 0
    assert pdp("fmt", "--check", "made").code == 0
    again = pdp("casbin", "convert", "model.conf", "policy.csv", "--output", "made")
    assert (again.code, "I301" in again.err) == (2, True)


def test_without_a_folder_the_policy_goes_to_standard_output_and_its_facts_are_named(folder: Path, pdp: Pdp) -> None:
    done = pdp("casbin", "convert", "model.conf", "policy.csv")
    assert done.code == 0
    assert done.out.startswith("# What the rows of a Casbin policy say")
    assert done.err == "the policy needs facts/model.has_role.csv: --output DIR writes it\n"


def test_nothing_converted_ends_2_and_writes_nothing(folder: Path, pdp: Pdp) -> None:
    (folder / "policy.csv").write_text("p, x, /a/*/b, GET, deny\n")
    done = pdp("casbin", "convert", "model.conf", "policy.csv", "--output", "made")
    assert done.code == 2
    assert "I441" in done.err
    assert "pdp new --from-casbin" in done.err
    assert not (folder / "made").exists()


def test_what_a_row_holds_says_nothing_in_the_policy(folder: Path, pdp: Pdp) -> None:
    (folder / "model.conf").write_text(ACL)
    for row in ('p, ann" allow x for anyone, /a", GET\n', "p, ann} allow x for anyone on svc # y, /a, GET\n"):
        (folder / "policy.csv").write_text(row)
        made = pdp("casbin", "convert", "model.conf", "policy.csv", "--mode", "compat")
        assert made.code == 0
        assert made.out.count("\nallow ") == 1


# ---------------------------------------------------------------- shapes


SHAPES = {
    ("keyMatch2", "/a/:id"): Shape(("a", None), rest=False),
    ("keyMatch2", "/a/*"): Shape(("a", None), rest=True),
    ("keyMatch", "/a/*"): Shape(("a", None), rest=True),
    ("keyMatch", "/*"): EVERYTHING,
    ("keyMatch2", "/*"): EVERYTHING,
    ("keyMatch", "*"): EVERYTHING,
    ("keyMatch3", "/a/{id}/b"): Shape(("a", None, "b"), rest=False),
    ("keyMatch", "/a/:id"): Shape(("a", ":id"), rest=False),
    (None, "/"): Shape((), rest=False),
    (None, "/a"): Shape(("a",), rest=False),
}


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_a_pattern_of_whole_segments_has_a_shape(case: tuple[str | None, str]) -> None:
    assert shape_of(*case) == SHAPES[case]  # type: ignore[arg-type]


NO_SHAPES = [
    ("keyMatch", "/a*"),
    ("keyMatch", "/a/*/b"),
    ("keyMatch2", "/a/*/b"),
    ("keyMatch2", "/a/v:id"),
    ("keyMatch4", "/a/{id}/{id}"),
    ("keyMatch2", "a/b"),
    ("keyMatch2", "/a/"),
    ("keyMatch2", "/a//b"),
    ("regexMatch", "/a/.*"),
    ("globMatch", "/a/*"),
    (None, "/a/"),
    (None, ""),
    (None, "/a/.."),
]


@pytest.mark.parametrize("case", NO_SHAPES, ids=str)
def test_any_other_pattern_has_none(case: tuple[str | None, str]) -> None:
    assert isinstance(shape_of(*case), str)  # type: ignore[arg-type]


def test_what_two_shapes_share_is_what_both_hold() -> None:
    shapes = [Shape(parts, rest) for parts in [(), ("a",), (None,), ("a", None), (None, "b")] for rest in (True, False)]
    paths = ["/", *(f"/{one}" for one in "ax"), *(f"/{one}/{two}" for one in "ax" for two in "bx"), "/a/b/c"]
    for one in shapes:
        for other in shapes:
            shared = common(one, other)
            both = {path for path in paths if _in(one, path) and _in(other, path)}
            assert both == ({path for path in paths if _in(shared, path)} if shared else set())


def _in(shape: Shape, path: str) -> bool:
    segments = [] if path == "/" else path[1:].split("/")
    fits = all(part in (None, each) for part, each in zip(shape.parts, segments, strict=False))
    longer = len(segments) - len(shape.parts)
    return fits and (longer >= 0 if shape.rest else longer == 0)


def test_two_shapes_cross_where_neither_holds_the_other() -> None:
    left, right = Shape(("a", None), rest=False), Shape((None, "b"), rest=False)
    assert crossed(left, [EVERYTHING, Shape(("a", "b"), rest=False), right]) == right
    assert crossed(left, [left, Shape(("b",), rest=True)]) is None
