"""Operations on run-time values, total: any values in, one of Kleene's three truths out; nothing here raises.

In come values as `typesystem` describes them, or None for an input that is absent or not at hand. A value of a type the
operation is not for is no mistake of the caller's: the answer is UNKNOWN, which helps no rule to allow (language.md
5.3). What a well-typed policy asks about conforming input that is at hand is therefore never UNKNOWN.

INVARIANT: Python's `True == 1` is never seen: bool and int are different types, alone, in sets and in rows.
Source: language.md 4.1, 5.3, 5.4.

Decision (2026-11-21): time arithmetic that leaves 64 bits has no value, so that whatever compares it is UNKNOWN; an
evaluator with machine integers can then agree with this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeGuard

from policy_lang.addresses import Intervals, holds, number
from policy_lang.ir import CLOCK_SKEW_MS, ScalarValue, Value
from policy_lang.typesystem import INT_MAX, INT_MIN, EnumType, IntType, RoleType, Scalar, SetType, Type
from policy_lang.verdict import Row, Truth3

FALSE, UNKNOWN, TRUE = Truth3.FALSE, Truth3.UNKNOWN, Truth3.TRUE


def truth(of: bool) -> Truth3:
    """TRUE or FALSE."""
    return TRUE if of else FALSE


# ---------------------------------------------------------------- Kleene's connectives


def negation(of: Truth3) -> Truth3:
    """`not`: UNKNOWN stays UNKNOWN."""
    return UNKNOWN if of is UNKNOWN else truth(of is FALSE)


def conjunction(of: Iterable[Truth3]) -> Truth3:
    """`and`: FALSE where one is FALSE, else UNKNOWN where one is UNKNOWN; TRUE of nothing."""
    worst = TRUE
    for each in of:
        if each is FALSE:
            return FALSE
        if each is UNKNOWN:
            worst = UNKNOWN
    return worst


def disjunction(of: Iterable[Truth3]) -> Truth3:
    """`or`: TRUE where one is TRUE, else UNKNOWN where one is UNKNOWN; FALSE of nothing."""
    best = FALSE
    for each in of:
        if each is TRUE:
            return TRUE
        if each is UNKNOWN:
            best = UNKNOWN
    return best


# ---------------------------------------------------------------- scalars


def boolean(value: Value | None) -> Truth3:
    """A boolean as a truth."""
    return truth(value) if isinstance(value, bool) else UNKNOWN


def compare(op: Literal["eq", "lt", "le"], left: Value | None, right: Value | None) -> Truth3:
    """`eq` of two scalars of one type, `lt` and `le` of two integers (times and durations are integers)."""
    if op == "eq":
        return truth(left == right) if _scalar(left) and type(left) is type(right) else UNKNOWN
    if not (_integer(left) and _integer(right)):
        return UNKNOWN
    return truth(left < right if op == "lt" else left <= right)


def shift(left: Value | None, sign: Literal[1, -1], right: Value | None) -> int | None:
    """`left + right` or `left - right` of two integers; None where one is not an integer or 64 bits do not hold it."""
    if not (_integer(left) and _integer(right)):
        return None
    moved = left + sign * right
    return moved if INT_MIN <= moved <= INT_MAX else None


def fresh(at: Value | None, now_ms: int, most_ms: int | None) -> Truth3:
    """Whether `at` lies no further than the platform's skew after `now_ms` and no more than `most_ms` before it."""
    if not _integer(at):
        return UNKNOWN
    age_ms = now_ms - at
    return truth(age_ms >= -CLOCK_SKEW_MS and (most_ms is None or age_ms <= most_ms))


def like(value: Value | None, pattern: str) -> Truth3:
    """Whether a string fits a pattern whose first and/or last character may be `*`; a `*` elsewhere is UNKNOWN."""
    if not isinstance(value, str):
        return UNKNOWN
    core = pattern.removeprefix("*").removesuffix("*")
    if "*" in core:
        return UNKNOWN
    open_start = pattern.startswith("*")
    open_end = pattern.endswith("*")
    if open_start and open_end:
        return truth(core in value)
    if open_start:
        return truth(value.endswith(core))
    return truth(value.startswith(core) if open_end else value == core)


def in_network(value: Value | None, ranges: Intervals) -> Truth3:
    """Whether an address lies in one of the ranges; a text that is no address is UNKNOWN."""
    at = number(value) if isinstance(value, str) else None
    return UNKNOWN if at is None else truth(holds(ranges, at))


# ---------------------------------------------------------------- sets


def member(item: Value | None, among: Value | None) -> Truth3:
    """Whether a scalar is in a set of its own type."""
    if not (_scalar(item) and isinstance(among, frozenset)) or _kinds(among) - {type(item)}:
        return UNKNOWN
    return truth(item in among)


def overlaps(left: Value | None, right: Value | None) -> Truth3:
    """Whether two sets of one type share a member."""
    return truth(not left.isdisjoint(right)) if _sets(left) and _sets(right) and _alike(left, right) else UNKNOWN


def covers(left: Value | None, right: Value | None) -> Truth3:
    """Whether `left` holds every member of `right`; two sets of one type."""
    return truth(left >= right) if _sets(left) and _sets(right) and _alike(left, right) else UNKNOWN


def empty(value: Value | None) -> Truth3:
    """Whether a set has no member."""
    return truth(not value) if isinstance(value, frozenset) else UNKNOWN


def among_rows(arguments: Sequence[Value | None], rows: frozenset[Row] | None, columns: Sequence[Type]) -> Truth3:
    """Whether the arguments are a row of a relation with these columns; UNKNOWN where `rows` is None (not at hand)."""
    if rows is None or len(arguments) != len(columns):
        return UNKNOWN
    if not all(fits(value, column) for value, column in zip(arguments, columns, strict=True)):
        return UNKNOWN
    return truth(tuple(arguments) in rows)


def fits(value: Value | None, declared: Type) -> bool:
    """Whether a value looks as a value of the type does; ranges of int are set aside, as in every comparison."""
    match declared:
        case SetType(element):
            return isinstance(value, frozenset) and all(fits(each, element) for each in value)
        case IntType() | Scalar.TIME | Scalar.DURATION:
            return _integer(value)
        case Scalar.BOOL:
            return isinstance(value, bool)
        case Scalar.STRING | Scalar.UUID | Scalar.IP | Scalar.WORKLOAD | EnumType() | RoleType():
            return isinstance(value, str)


def _integer(value: Value | None) -> TypeGuard[int]:
    return type(value) is int


def _scalar(value: Value | None) -> TypeGuard[ScalarValue]:
    return isinstance(value, bool | int | str)


def _sets(value: Value | None) -> TypeGuard[frozenset[ScalarValue]]:
    return isinstance(value, frozenset)


def _kinds(members: frozenset[ScalarValue]) -> set[type]:
    return {type(each) for each in members}


def _alike(left: frozenset[ScalarValue], right: frozenset[ScalarValue]) -> bool:
    """Whether the members of both are of one type."""
    return len(_kinds(left) | _kinds(right)) <= 1
