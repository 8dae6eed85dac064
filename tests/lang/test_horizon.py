"""The next instant at which a condition on time changes: exact, and never a moment too late."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang.ir import (
    CLOCK_SKEW_MS,
    Age,
    Atom,
    Compare,
    Const,
    Has,
    Like,
    Lookup,
    Member,
    Now,
    Operand,
    Relation,
    SetHeader,
    Shift,
    Truth,
)
from policy_lang.meaning.admission import Admission, Call
from policy_lang.meaning.evaluation import Environment, truth_of_atom
from policy_lang.meaning.horizon import LAST_INSTANT, Clockwork, reads_time, valid_until
from policy_lang.meaning.voters import Voters
from policy_lang.typesystem import INT_MAX, INT_MIN, Scalar
from tests.lang.programs import (
    NEVER,
    NOW,
    NOW_MS,
    Either,
    No,
    WrittenNeed,
    WrittenRule,
    ago,
    ask,
    build,
    claim,
    endpoint,
    service,
    token,
    token_kind,
)

AT = token("at")
USER = token_kind("user", "https://id.example", [claim("at", Scalar.TIME, optional=True)])
SEEN = Relation("m.seen", (("at", Scalar.TIME),))


def horizon_of(*rules: WrittenRule, at_s: int | None = None) -> int | None:
    program = build([service("s")], [endpoint("s.a", "/a")], rules, [USER], [SEEN])
    call = Admission.of(program).admit(ask("/a", {"aud": "s"} if at_s is None else {"aud": "s", "at": at_s}))
    assert isinstance(call, Call)
    return valid_until(Clockwork.of(program, call.cell), call.environment)


def of_atom(atom: Atom, at_s: int | None = None) -> int | None:
    return horizon_of(WrittenRule("m.a", "allow", (atom,)), at_s=at_s)


NOW_S = NOW_MS // 1000
LATER = Const(NOW_MS + 500)

ATOMS: dict[str, tuple[Atom, int | None, int | None]] = {
    "until an instant to come": (Compare("lt", NOW, LATER), None, NOW_MS + 500),
    "at most an instant to come": (Compare("le", NOW, LATER), None, NOW_MS + 501),
    "from an instant to come": (Compare("le", LATER, NOW), None, NOW_MS + 500),
    "at an instant to come": (Compare("eq", NOW, LATER), None, NOW_MS + 500),
    "at this very instant": (Compare("eq", NOW, Const(NOW_MS)), None, NOW_MS + 1),
    "until an instant past": (Compare("lt", NOW, Const(NOW_MS - 1)), None, None),
    "until this very instant": (Compare("lt", NOW, Const(NOW_MS)), None, None),
    "a claim in the last minute": (Compare("le", ago(60_000), AT), NOW_S - 20, NOW_MS + 40_001),
    "a claim longer ago": (Compare("le", ago(60_000), AT), NOW_S - 90, None),
    "time since a claim": (Compare("lt", Shift(NOW, -1, AT), Const(60_000)), NOW_S - 20, NOW_MS + 40_000),
    "two clocks never part": (Compare("lt", NOW, Shift(NOW, 1, Const(1))), None, None),
    "a clock that runs twice as fast": (
        Compare("lt", Shift(NOW, 1, Shift(NOW, -1, Const(NOW_MS))), Const(NOW_MS + 5)),
        None,
        NOW_MS + 3,
    ),
    "a clock that runs backwards": (
        Compare("lt", Const(0), Shift(Const(NOW_MS + 10), -1, NOW)),
        None,
        NOW_MS + 10,
    ),
    "a last instant": (Compare("le", NOW, Const(LAST_INSTANT - 1)), None, LAST_INSTANT),
    "an instant after the last": (Compare("le", NOW, Const(LAST_INSTANT)), None, None),
    "an absent claim": (Compare("le", ago(60_000), AT), None, None),
    "fresh": (Age(AT, 60_000), NOW_S - 20, NOW_MS + 40_001),
    "fresh no more": (Age(AT, 60_000), NOW_S - 61, None),
    "in our future": (Age(AT, 60_000), NOW_S + 40, NOW_MS + 10_000),
    "in our future, for ever after": (Age(AT, None), NOW_S + 40, NOW_MS + 10_000),
    "past, for ever after": (Age(AT, None), NOW_S - 40, None),
    "the age of nothing": (Age(AT, 60_000), None, None),
    "one of some instants": (Member(NOW, Const(frozenset({NOW_MS - 5, NOW_MS + 7, NOW_MS + 9}))), None, NOW_MS + 7),
    "one of no instants": (Member(NOW, Const(frozenset())), None, None),
    "a lookup of the time": (Lookup("m.seen", (NOW,)), None, NOW_MS + 1),
    "a lookup of something else": (Lookup("m.seen", (AT,)), NOW_S, None),
    "what reads no time": (Has(AT), NOW_S, None),
    "a sum that leaves 64 bits": (
        Compare("lt", Const(0), Shift(NOW, 1, Const(INT_MAX - NOW_MS - 5))),
        None,
        NOW_MS + 6,
    ),
    "a sum that comes into 64 bits": (
        Compare("lt", Shift(Const(INT_MIN), 1, Shift(NOW, -1, Const(NOW_MS + 5))), Const(0)),
        None,
        NOW_MS + 5,
    ),
    "a time where a boolean should be": (Truth(NOW), None, None),
    "a time where a text should be": (Like(NOW, "*"), None, None),
}


@pytest.mark.parametrize("case", ATOMS)
def test_of_one_atom(case: str) -> None:
    atom, at_s, want = ATOMS[case]
    assert of_atom(atom, at_s) == want


SOON, LATE = Compare("lt", NOW, Const(NOW_MS + 5)), Compare("lt", NOW, Const(NOW_MS + 50))

RULES: dict[str, tuple[tuple[WrittenRule, ...], int | None]] = {
    "no rules": ((), None),
    "the first of two": ((WrittenRule("m.a", "allow", (LATE,)), WrittenRule("m.b", "deny", (SOON,))), NOW_MS + 5),
    "within": ((WrittenRule("m.a", "allow", (Either((LATE, No(SOON))),)),), NOW_MS + 5),
    "in a need": ((WrittenRule("m.a", "require", needs=(WrittenNeed(SOON, "mfa"),)),), NOW_MS + 5),
    "in a shadow rule": ((WrittenRule("m.a", "deny", (SOON,), shadow=True),), NOW_MS + 5),
    "behind a clause that is false": ((WrittenRule("m.a", "deny", (NEVER, SOON)),), NOW_MS + 5),
    "of another kind of caller": ((WrittenRule("m.a", "deny", (SOON,), kinds=(None,)),), None),
    "a header with the time": ((WrittenRule("m.a", "require", must=(SetHeader("x", ago(5)),)),), NOW_MS + 1),
    "a header that may have the time": ((WrittenRule("m.a", "allow", should=(SetHeader("x", NOW),)),), NOW_MS + 1),
    "a header with a claim": ((WrittenRule("m.a", "require", must=(SetHeader("x", AT),)),), None),
}


@pytest.mark.parametrize("case", RULES)
def test_of_rules(case: str) -> None:
    rules, want = RULES[case]
    assert horizon_of(*rules) == want


# ---------------------------------------------------------------- the law

_leaves: st.SearchStrategy[Operand] = st.one_of(
    st.just(Now()),
    st.just(AT),
    st.integers(-40, 40).map(Const),
    st.sampled_from([INT_MAX, INT_MIN, INT_MAX - 60]).map(Const),
)
_operands: st.SearchStrategy[Operand] = st.recursive(
    _leaves, lambda below: st.builds(Shift, below, st.sampled_from([1, -1]), below), max_leaves=4
)
_atoms: st.SearchStrategy[Atom] = st.one_of(
    st.builds(Compare, st.sampled_from(["eq", "lt", "le"]), _operands, _operands),
    st.builds(Age, _operands, st.none() | st.integers(0, 40)),
    st.builds(Member, _operands, st.frozensets(st.integers(-40, 40), max_size=3).map(Const)),
)


@settings(max_examples=400, deadline=None)
@given(_atoms, st.none() | st.integers(-40, 40), st.integers(-50, 50), st.integers(0, 1))
def test_an_atom_keeps_its_worth_until_then_and_not_a_moment_longer(
    atom: Atom, at: int | None, now_ms: int, skewed: int
) -> None:
    """For all t in [now, horizon): worth(t) = worth(now); worth(horizon) != worth(now); without one, for 200 ms."""
    now_ms += skewed * CLOCK_SKEW_MS
    claims = {} if at is None else {AT.name: at}
    here = Environment(claims, {}, {}, {}, {}, {}, {}, {}, frozenset(), now_ms, {}, {}, Voters({}, frozenset()))
    until = valid_until(Clockwork((atom,) if reads_time(atom) else (), ticking=False), here)
    worth = truth_of_atom(atom, here)
    ahead = range(now_ms, min(now_ms + 200, until) if until is not None else now_ms + 200)
    assert all(truth_of_atom(atom, replace(here, now_ms=each)) is worth for each in ahead)
    if until is not None:
        assert until > now_ms
        assert truth_of_atom(atom, replace(here, now_ms=until)) is not worth
