"""Atoms read as a policy would say them: constants by the type of what they stand beside, names as declared."""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.ir import (
    Age,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    Empty,
    Has,
    InNetwork,
    Like,
    Lookup,
    Member,
    Now,
    Overlap,
    Shift,
    Truth,
)
from policy_lang.meaning.words import Words, atom_text, operand_text, read_types
from policy_lang.typesystem import Scalar
from tests.lang.programs import capture, signal, token

SHARES = Lookup("m.shared", (capture("account"), token("sub")))
OFFICE = InNetwork(Attr("request", "ip"), "office", ())
AT, N = token("auth_time"), Attr("query", "n")

ATOMS: dict[str, tuple[Atom, str]] = {
    "token.suspended": (Truth(token("suspended")), "not token.suspended"),
    'token.sub == "u"': (Compare("eq", token("sub"), Const("u")), 'token.sub != "u"'),
    "query.n < 5": (Compare("lt", N, Const(5)), "query.n >= 5"),
    "query.n <= 5": (Compare("le", N, Const(5)), "query.n > 5"),
    "query.n > 5": (Compare("lt", Const(5), N), "query.n <= 5"),
    "query.n >= 5": (Compare("le", Const(5), N), "query.n < 5"),
    'token.sub == "v"': (Compare("eq", Const("v"), token("sub")), 'token.sub != "v"'),
    'path.a in ["x", "y"]': (Member(capture("a"), Const(frozenset({"y", "x"}))), 'path.a not in ["x", "y"]'),
    "token.a overlaps token.b": (Overlap(token("a"), token("b")), "not (token.a overlaps token.b)"),
    "token.a covers token.b": (Cover(token("a"), token("b")), "not (token.a covers token.b)"),
    "token.a is empty": (Empty(token("a")), "not (token.a is empty)"),
    'request.path like "/a*"': (Like(Attr("request", "path"), "/a*"), 'not (request.path like "/a*")'),
    "token has a": (Has(token("a")), "not (token has a)"),
    "shared(path.account, token.sub)": (SHARES, "not shared(path.account, token.sub)"),
    "token.auth_time within 5m of now": (Age(AT, 300_000), "not (token.auth_time within 5m of now)"),
    "token.auth_time within 1s500ms of now": (Age(AT, 1500), "not (token.auth_time within 1s500ms of now)"),
    "token.auth_time not after now": (Age(AT, None), "not (token.auth_time not after now)"),
    "token.auth_time <= now - (1m + 1ms)": (
        Compare("le", AT, Shift(Now(), -1, Shift(Const(60000), 1, Const(1)))),
        "token.auth_time > now - (1m + 1ms)",
    ),
    "signal.risk < 5": (Compare("lt", signal("risk"), Const(5)), "signal.risk >= 5"),
    "request.ip in office": (OFFICE, "request.ip not in office"),
    "subject has department": (Has(Attr("subject", "department")), "not (subject has department)"),
    "true == false": (Compare("eq", Const(True), Const(False)), "true != false"),
}


@pytest.mark.parametrize("text", ATOMS)
def test_atoms_of_an_unknown_cell(text: str) -> None:
    atom, negated = ATOMS[text]
    assert atom_text(atom) == text
    assert atom_text(atom, negated=True) == negated


SUMS: dict[str, Compare] = {
    "now - token.t < 5m": Compare("lt", Shift(Now(), -1, token("t")), Const(300_000)),
    "now + 5m < 2026-12-20T10:00:00Z": Compare("lt", Shift(Now(), 1, Const(300_000)), Const(1_797_760_800_000)),
    "now - 5m < 2026-12-20T10:00:00Z": Compare("lt", Shift(Now(), -1, Const(300_000)), Const(1_797_760_800_000)),
    "now - 2026-12-20T10:00:00Z < 5m": Compare("lt", Shift(Now(), -1, Const(1_797_760_800_000)), Const(300_000)),
    "now - token.t > 5m": Compare("lt", Const(300_000), Shift(Now(), -1, token("t"))),
    "token.d - 1m <= 1h": Compare("le", Shift(token("d"), -1, Const(60_000)), Const(3_600_000)),
    "token.d + 1m == token.d": Compare("eq", Shift(token("d"), 1, Const(60_000)), token("d")),
    "token.d <= 1h - token.d": Compare("le", token("d"), Shift(Const(3_600_000), -1, token("d"))),
}
TYPES = {token("t"): Scalar.TIME, token("d"): Scalar.DURATION}


@pytest.mark.parametrize("text", SUMS)
def test_sums_of_times_and_durations(text: str) -> None:
    assert atom_text(SUMS[text], Words(TYPES.get, {}, lambda _: None)) == text


POLICY = """module m
enum tier = silver < gold
workload batch = "spiffe://x/batch"
network office = 192.0.2.0/24
token user {
  issuer "https://id.example"
  claim sub: string claim at: time claim tier: tier claim n: int claim groups: set of string claim days: set of time
  claim until: time optional
}
roles for user from none { role viewer role editor includes viewer }
relation holds (who: string, what: role, since: time)
signal idle: duration from "context.idle" key token.sub within 5ms else unknown
service s { audience "s" host "s.example"
  endpoint one GET /one/{n: int} query at: time optional query wait: duration optional
}
"""
CONDITIONS = (
    "token.at < 2026-12-20T10:00:00Z",
    "token.at >= now - 1h30m",
    "now - token.at <= 10m",
    "token.tier == gold",
    "token.tier in [gold, silver]",
    "token.n == 600000",
    "path.n == 600000",
    'token.groups overlaps ["a", "b"]',
    "token.days overlaps [2026-12-20T00:00:00Z]",
    "2026-12-20T00:00:00Z in token.days",
    "holds(token.sub, editor, 2026-12-20T10:00:00Z)",
    "signal.idle < 10m",
    "request.peer == batch",
    "request.ip == 192.0.2.7",
    "request.ip in office",
    "request.ip in 10.0.0.0/8",
    'request.method == "GET"',
)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_was_written_is_what_is_told(condition: str) -> None:
    """The atom that a condition comes to is told as it was written, in the one cell that has it."""
    rule = f'allow a for any user on s.one when {condition} because "-"\n'
    program = compile_policy({"m.pol": (POLICY + rule).encode()}).program
    columns = {each.id: tuple(type_ for _, type_ in each.columns) for each in program.relations}
    words = Words.of(program, program.endpoints[0], program.kinds[0], columns)
    assert [atom_text(atom, words) for atom in program.atoms] == [condition]


def test_a_constant_is_told_by_the_type_it_has_in_its_cell() -> None:
    """One atom, two cells: 300000 is a duration here and a number there."""
    atom = Compare("eq", Attr("query", "x"), Const(300_000))
    here, there = (Words({Attr("query", "x"): each}.get, {}, lambda _: None) for each in (Scalar.DURATION, Scalar.TIME))
    assert atom_text(atom, here) == "query.x == 5m"
    assert atom_text(atom, there) == "query.x == 1970-01-01T00:05:00Z"


def test_identities_without_a_name_are_told_as_such() -> None:
    words = Words({Attr("request", "peer"): Scalar.WORKLOAD}.get, {}, {"spiffe://x/a": "a"}.get)
    peers = Const(frozenset({"spiffe://x/a", "spiffe://x/b"}))
    assert atom_text(Member(Attr("request", "peer"), peers), words) == 'request.peer in ["spiffe://x/b", a]'


def test_a_row_of_an_unknown_relation_is_told() -> None:
    assert atom_text(Lookup("m.gone", (Const(5), Const("x")))) == 'gone(5, "x")'


def test_an_operand_alone() -> None:
    assert operand_text(Const(300_000)) == "300000"
    assert operand_text(Shift(Now(), -1, Const(300_000))) == "now - 5m"


def test_the_types_of_all_that_a_call_may_read() -> None:
    program = compile_policy({"m.pol": (POLICY + 'allow a for any user on s because "-"\n').encode()}).program
    types = read_types(program, "user", "s.one")
    assert {name: str(types[name]) for name in ("now", "token.at", "token.aud", "path.n", "query.wait")} == {
        "now": "time",
        "token.at": "time",
        "token.aud": "set of string",
        "path.n": "int",
        "query.wait": "duration",
    }
    assert (str(types["signal.idle"]), str(types["request.tls"])) == ("duration", "bool")
    assert "token.at" not in read_types(program, None, "s.one")
    assert set(read_types(program, None, None)) == {"now", "signal.idle"}
