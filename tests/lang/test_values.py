"""Operations on values are exact on their own types and UNKNOWN on all others; Kleene's tables; nothing raises."""

from __future__ import annotations

import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.ir import CLOCK_SKEW_MS, Value
from policy_lang.meaning.values import (
    FALSE,
    TRUE,
    UNKNOWN,
    among_rows,
    boolean,
    compare,
    conjunction,
    covers,
    disjunction,
    empty,
    fits,
    fresh,
    in_network,
    like,
    member,
    negation,
    overlaps,
    shift,
)
from policy_lang.typesystem import INT_MAX, INT_MIN, EnumType, IntType, RoleType, Scalar, SetType, Type
from policy_lang.verdict import Truth3

SCALARS = st.one_of(st.booleans(), st.integers(INT_MIN, INT_MAX), st.text(max_size=5))
VALUES: st.SearchStrategy[Value | None] = st.one_of(st.none(), SCALARS, st.frozensets(SCALARS, max_size=4))
STRINGS = st.frozensets(st.sampled_from("abcd"), max_size=4)

NONE: frozenset[str] = frozenset()


def some(*members: bool | int | str) -> frozenset[bool | int | str]:
    return frozenset(members)


# ---------------------------------------------------------------- Kleene


def test_connectives_follow_the_tables_of_kleene() -> None:
    order = {FALSE: 0, UNKNOWN: 1, TRUE: 2}
    assert (negation(FALSE), negation(UNKNOWN), negation(TRUE)) == (TRUE, UNKNOWN, FALSE)
    for pair in itertools.product(Truth3, repeat=2):
        assert conjunction(pair) is min(pair, key=order.__getitem__)
        assert disjunction(pair) is max(pair, key=order.__getitem__)


def test_of_nothing_and_is_true_and_or_is_false() -> None:
    assert conjunction([]) is TRUE
    assert disjunction([]) is FALSE


@given(st.lists(st.sampled_from(Truth3), max_size=6))
def test_de_morgan(of: list[Truth3]) -> None:
    assert negation(conjunction(of)) is disjunction(negation(each) for each in of)


# ---------------------------------------------------------------- comparisons

COMPARED: dict[str, tuple[Truth3, Truth3]] = {
    "equal strings": (compare("eq", "a", "a"), TRUE),
    "strings differ in case": (compare("eq", "a", "A"), FALSE),
    "equal integers": (compare("eq", 3, 3), TRUE),
    "booleans": (compare("eq", False, True), FALSE),
    "true is not 1": (compare("eq", True, 1), UNKNOWN),
    "0 is not false": (compare("eq", 0, False), UNKNOWN),
    "a string is not an integer": (compare("eq", "1", 1), UNKNOWN),
    "sets are not compared": (compare("eq", some("a"), some("a")), UNKNOWN),
    "an absent side": (compare("eq", None, "a"), UNKNOWN),
    "two absent sides": (compare("eq", None, None), UNKNOWN),
    "less": (compare("lt", 1, 2), TRUE),
    "not less than itself": (compare("lt", 2, 2), FALSE),
    "at most itself": (compare("le", 2, 2), TRUE),
    "more": (compare("le", 3, 2), FALSE),
    "strings have no order": (compare("lt", "a", "b"), UNKNOWN),
    "booleans have no order": (compare("lt", False, True), UNKNOWN),
    "a boolean against an integer": (compare("le", False, 3), UNKNOWN),
    "an absent side has no order": (compare("lt", None, 3), UNKNOWN),
}


@pytest.mark.parametrize("case", COMPARED)
def test_compare(case: str) -> None:
    got, want = COMPARED[case]
    assert got is want


BOOLEANS: dict[str, tuple[Value | None, Truth3]] = {
    "true": (True, TRUE),
    "false": (False, FALSE),
    "1 is no boolean": (1, UNKNOWN),
    "the string true is no boolean": ("true", UNKNOWN),
    "the empty set is no boolean": (NONE, UNKNOWN),
    "absent": (None, UNKNOWN),
}


@pytest.mark.parametrize("case", BOOLEANS)
def test_boolean(case: str) -> None:
    value, want = BOOLEANS[case]
    assert boolean(value) is want


def test_time_arithmetic() -> None:
    assert shift(10, -1, 4) == 6
    assert shift(10, 1, 4) == 14
    assert shift(INT_MAX, 1, 0) == INT_MAX


@pytest.mark.parametrize(
    ("left", "right"),
    [(INT_MAX, 1), (None, 1), (1, None), ("1", 1), (True, 1), (1, frozenset({1}))],
    ids=["past 64 bits", "absent left", "absent right", "string", "boolean", "set"],
)
def test_time_arithmetic_without_a_value(left: Value | None, right: Value | None) -> None:
    assert shift(left, 1, right) is None


def test_time_arithmetic_below_64_bits_has_no_value() -> None:
    assert shift(INT_MIN, -1, 1) is None


FRESH: dict[str, tuple[Value | None, int | None, Truth3]] = {
    "just now": (1_000_000, 5_000, TRUE),
    "as old as may be": (995_000, 5_000, TRUE),
    "a millisecond older": (994_999, 5_000, FALSE),
    "in our future, within the skew": (1_000_000 + CLOCK_SKEW_MS, 5_000, TRUE),
    "in our future, past the skew": (1_000_001 + CLOCK_SKEW_MS, 5_000, FALSE),
    "old, without an upper end": (0, None, TRUE),
    "past the skew, without an upper end": (1_000_001 + CLOCK_SKEW_MS, None, FALSE),
    "absent": (None, 5_000, UNKNOWN),
    "a string": ("1000000", 5_000, UNKNOWN),
    "a boolean": (True, None, UNKNOWN),
}


@pytest.mark.parametrize("case", FRESH)
def test_fresh(case: str) -> None:
    at, most_ms, want = FRESH[case]
    assert fresh(at, 1_000_000, most_ms) is want


# ---------------------------------------------------------------- like

LIKE: dict[str, tuple[Value | None, str, Truth3]] = {
    "no star is equality": ("svc", "svc", TRUE),
    "no star, longer": ("svc-a", "svc", FALSE),
    "a start": ("svc-a", "svc-*", TRUE),
    "a start that is the whole": ("svc-", "svc-*", TRUE),
    "another start": ("asvc-", "svc-*", FALSE),
    "an end": ("a.example", "*.example", TRUE),
    "another end": ("a.example.org", "*.example", FALSE),
    "a middle": ("xaby", "*ab*", TRUE),
    "no such middle": ("xay", "*ab*", FALSE),
    "one star takes all": ("", "*", TRUE),
    "the empty pattern takes the empty string": ("", "", TRUE),
    "the empty pattern takes no other": ("a", "", FALSE),
    "a star in the middle means nothing": ("ab", "a*b", UNKNOWN),
    "an integer is no string": (5, "*", UNKNOWN),
    "a set is no string": (some("a"), "*", UNKNOWN),
    "absent": (None, "*", UNKNOWN),
    "a question mark is itself": ("ab", "a?", FALSE),
    "a bracket is itself": ("[a]", "[a]", TRUE),
}


@pytest.mark.parametrize("case", LIKE)
def test_like(case: str) -> None:
    value, pattern, want = LIKE[case]
    assert like(value, pattern) is want


@given(st.text("ab", max_size=6), st.text("ab", max_size=3), st.booleans(), st.booleans())
def test_like_agrees_with_the_shell(value: str, core: str, open_start: bool, open_end: bool) -> None:
    pattern = "*" * open_start + core + "*" * open_end
    assert (like(value, pattern) is TRUE) == fnmatch.fnmatchcase(value, pattern)


# ---------------------------------------------------------------- sets

SETS: dict[str, tuple[Truth3, Truth3]] = {
    "a member": (member("a", some("a", "b")), TRUE),
    "no member": (member("c", some("a", "b")), FALSE),
    "nothing is in the empty set": (member("a", NONE), FALSE),
    "true is not in a set of 1": (member(True, some(1)), UNKNOWN),
    "1 is not in a set of true": (member(1, some(True)), UNKNOWN),
    "a string in a set of integers": (member("1", some(1)), UNKNOWN),
    "absent in a set": (member(None, some("a")), UNKNOWN),
    "in an absent set": (member("a", None), UNKNOWN),
    "in a string": (member("a", "abc"), UNKNOWN),
    "a set in a set": (member(some("a"), some("a")), UNKNOWN),
    "overlap": (overlaps(some("a", "b"), some("b", "c")), TRUE),
    "no overlap": (overlaps(some("a"), some("b")), FALSE),
    "the empty set overlaps nothing": (overlaps(NONE, some("b")), FALSE),
    "the empty set does not overlap itself": (overlaps(NONE, NONE), FALSE),
    "1 does not overlap true": (overlaps(some(1), some(True)), UNKNOWN),
    "overlap with a string": (overlaps(some("a"), "a"), UNKNOWN),
    "overlap with nothing there": (overlaps(some("a"), None), UNKNOWN),
    "covers": (covers(some("a", "b"), some("b")), TRUE),
    "covers itself": (covers(some("a"), some("a")), TRUE),
    "does not cover": (covers(some("a"), some("a", "b")), FALSE),
    "covers the empty set": (covers(NONE, NONE), TRUE),
    "the empty set does not cover": (covers(NONE, some("a")), FALSE),
    "true does not cover 1": (covers(some(True), some(1)), UNKNOWN),
    "an absent set does not cover": (covers(None, NONE), UNKNOWN),
    "a string does not cover": (covers("ab", NONE), UNKNOWN),
    "empty": (empty(NONE), TRUE),
    "not empty": (empty(some("a")), FALSE),
    "the empty string is no set": (empty(""), UNKNOWN),
    "what is absent is not empty": (empty(None), UNKNOWN),
}


@pytest.mark.parametrize("case", SETS)
def test_sets(case: str) -> None:
    got, want = SETS[case]
    assert got is want


@given(STRINGS, STRINGS)
def test_overlap_and_cover_agree_with_membership(left: frozenset[str], right: frozenset[str]) -> None:
    in_left = [member(each, left) is TRUE for each in right]
    assert (overlaps(left, right) is TRUE) == any(in_left)
    assert (covers(left, right) is TRUE) == all(in_left)


PODS = ((0x0A140000 | 0xFFFF << 32, 0x0A14FFFF | 0xFFFF << 32), (1 << 127, (1 << 127) + 1))
IN_NETWORK: dict[str, tuple[Truth3, Truth3]] = {
    "the first address": (in_network("10.20.0.0", PODS), TRUE),
    "the last address": (in_network("10.20.255.255", PODS), TRUE),
    "in IPv6 notation": (in_network("::ffff:10.20.3.4", PODS), TRUE),
    "one before": (in_network("10.19.255.255", PODS), FALSE),
    "one after": (in_network("10.21.0.0", PODS), FALSE),
    "the same bits without the mark of IPv4": (in_network("::10.20.0.0", PODS), FALSE),
    "in a second range": (in_network("8000::1", PODS), TRUE),
    "the empty network": (in_network("10.20.0.0", ()), FALSE),
    "no address": (in_network("localhost", PODS), UNKNOWN),
    "the empty text": (in_network("", PODS), UNKNOWN),
    "an integer": (in_network(0x0A140000, PODS), UNKNOWN),
    "a set of addresses": (in_network(some("10.20.0.0"), PODS), UNKNOWN),
    "absent from a network": (in_network(None, PODS), UNKNOWN),
}


@pytest.mark.parametrize("case", IN_NETWORK)
def test_in_network(case: str) -> None:
    got, want = IN_NETWORK[case]
    assert got is want


# ---------------------------------------------------------------- rows and types

ROW_COLUMNS: tuple[Type, ...] = (Scalar.STRING, IntType())
ROWS = frozenset({("a", 1), ("b", 2)})


def test_a_row_that_is_there_and_one_that_is_not() -> None:
    assert among_rows(("a", 1), ROWS, ROW_COLUMNS) is TRUE
    assert among_rows(("a", 2), ROWS, ROW_COLUMNS) is FALSE
    assert among_rows(("a", 1), frozenset(), ROW_COLUMNS) is FALSE


UNKNOWN_ROWS: dict[str, Truth3] = {
    "no facts at hand": among_rows(("a", 1), None, ROW_COLUMNS),
    "an absent argument": among_rows(("a", None), ROWS, ROW_COLUMNS),
    "a boolean for an integer": among_rows(("a", True), ROWS, ROW_COLUMNS),
    "too few arguments": among_rows(("a",), ROWS, ROW_COLUMNS),
    "a set for a scalar": among_rows(("a", some(1)), ROWS, ROW_COLUMNS),
    "no columns known": among_rows(("a", 1), ROWS, ()),
}


@pytest.mark.parametrize("case", UNKNOWN_ROWS)
def test_a_row_that_cannot_be_asked_for(case: str) -> None:
    assert UNKNOWN_ROWS[case] is UNKNOWN


FITS: dict[str, tuple[Value | None, Type, bool]] = {
    "true is a bool": (True, Scalar.BOOL, True),
    "true is no int": (True, IntType(), False),
    "1 is no bool": (1, Scalar.BOOL, False),
    "an int outside its range still looks as one": (9, IntType(1, 5), True),
    "a string": ("a", Scalar.STRING, True),
    "a time is an int": (5, Scalar.TIME, True),
    "a time is no string": ("5", Scalar.TIME, False),
    "the empty set is of every element": (NONE, SetType(Scalar.BOOL), True),
    "a mixed set": (some("a", 1), SetType(Scalar.STRING), False),
    "absent": (None, Scalar.STRING, False),
    "an address is a string": ("10.0.0.1", Scalar.IP, True),
    "an address is no number": (5, Scalar.IP, False),
    "a workload": ("", Scalar.WORKLOAD, True),
    "a value of an enum": ("a", EnumType("m.e", ("a",), ordered=False), True),
    "a place in an enum": (0, EnumType("m.e", ("a",), ordered=False), False),
    "a role": ("a", RoleType(("a",)), True),
}


@pytest.mark.parametrize("case", FITS)
def test_fits(case: str) -> None:
    value, declared, want = FITS[case]
    assert fits(value, declared) is want


@given(VALUES, VALUES, st.text("a*", max_size=4))
def test_no_operation_raises(left: Value | None, right: Value | None, pattern: str) -> None:
    got = [compare("eq", left, right), compare("lt", left, right), compare("le", left, right), member(left, right)]
    got += [overlaps(left, right), covers(left, right), empty(left), boolean(left), like(left, pattern)]
    got += [in_network(left, PODS), fresh(left, 0, 5), among_rows((left, right), ROWS, ROW_COLUMNS)]
    assert set(got) <= set(Truth3)
    moved = shift(left, 1, right)
    assert moved is None or INT_MIN <= moved <= INT_MAX
