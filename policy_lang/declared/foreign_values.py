"""Hints for values that are written as other languages write them: dates in quotes, durations without a unit.

A literal and the type that is wanted there go in; one line that says what to write instead comes out, or nothing. Hints
decide nothing: whoever asks has found a mistake already.
Source: language.md 4.1 (types and literals).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import assert_never

from policy_lang import addresses, tree
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, ScalarType, SetType, Type

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")
_DURATION = re.compile(r"(?:[0-9]+(?:ms|s|m|h|d))+")
_INT = re.compile(r"-?[0-9]+")
_CIDR = re.compile(r"[0-9A-Fa-f.:]+/[0-9]{1,3}")
_LAST_SECOND = 253_402_300_799
_EARLIEST_MEANT = 100_000_000
"""Seconds since 1970 below which a number is hardly meant as an instant: 1973."""


def value_hint(written: tree.Expr, wanted: Type) -> str:
    """What to write for the literal `written` where a value of type `wanted` belongs; empty where nobody can tell."""
    if isinstance(wanted, SetType):
        text = _as_literal(written, wanted.element)
        return f"a set stands in `[ ]`, also of one member: `[{text}]`" if text else ""
    match written:
        case tree.StringLit(value=text):
            return f"write it without quotes: `{text}`" if _is_bare(text, wanted) else ""
        case tree.IntLit(value=number):
            return _of_number(number, wanted)
        case tree.BoolLit(value=truth) if wanted == Scalar.STRING:
            return f'a text stands in quotes: `"{str(truth).lower()}"`'
        case _:
            return ""


def role_hint(name: str, wanted: Type) -> str:
    """The same for the name of a role where the texts belong that give roles."""
    if wanted == Scalar.STRING:
        return f'a test gives what the token holds, in quotes: `"{name}"`'
    if wanted == SetType(Scalar.STRING):
        return f'a test gives what the token holds: `["{name}"]`'
    return ""


def pair_hint(form: str, left: tree.Expr, right: tree.Expr, left_type: Type, right_type: Type) -> str:
    """What to write where `left` and `right`, of these types, do not go together in `form`."""
    if form == "in":
        return _membership_hint(right, left_type, right_type)
    if form in {"+", "-"} and left_type in {Scalar.TIME, Scalar.DURATION}:
        return value_hint(right, Scalar.DURATION)
    if form in {"==", "!="} and isinstance(left_type, SetType):
        text = _as_literal(right, left_type.element)
        return f"a member is asked for by `in`: `{text} in …`" if text else ""
    return value_hint(right, left_type) or value_hint(left, right_type)


def _membership_hint(among: tree.Expr, item: Type, among_type: Type) -> str:
    if isinstance(item, SetType):
        return "of two sets ask `overlaps`, for one member in common, or `covers`, for all of the right one"
    if item == Scalar.IP and isinstance(among, tree.StringLit):
        return f"write it without quotes: `{among.value}`" if _CIDR.fullmatch(among.value) else _NO_QUOTES
    if isinstance(among_type, SetType):
        return ""
    text = _as_literal(among, item) if isinstance(item, Scalar | IntType | EnumType) else ""
    return f"a set stands in `[ ]`, also of one member: `[{text}]`" if text else ""


_NO_QUOTES = "a network stands without quotes, by its name or as a range such as `10.0.0.0/8`"


def member_hint(written: tree.Expr, element: ScalarType) -> str:
    """The same for a member of a set whose members are of type `element`."""
    if element == Scalar.IP and isinstance(written, tree.StringLit) and _CIDR.fullmatch(written.value):
        return f"a range of addresses stands alone right of `in`: `in {written.value}`"
    return value_hint(written, element)


def _as_literal(written: tree.Expr, wanted: ScalarType) -> str:
    """A literal as it is written where `wanted` belongs; empty where it is none of that type."""
    match written:
        case tree.StringLit(value=text):
            if wanted in {Scalar.STRING, Scalar.UUID}:
                return f'"{text}"'
            return text if _is_bare(text, wanted) else ""
        case tree.IntLit(value=number) if isinstance(wanted, IntType):
            return str(number)
        case _:
            return ""


def _is_bare(text: str, wanted: ScalarType) -> bool:
    """Whether a text would be a literal of a type if it had no quotes."""
    if isinstance(wanted, EnumType):
        return text in wanted.values
    if isinstance(wanted, IntType):
        return _INT.fullmatch(text) is not None
    if isinstance(wanted, RoleType):
        return text in wanted.names
    match wanted:
        case Scalar.TIME:
            return _DATE.fullmatch(text) is not None
        case Scalar.DURATION:
            return _DURATION.fullmatch(text) is not None
        case Scalar.IP:
            return addresses.number(text) is not None
        case Scalar.BOOL:
            return text in {"true", "false"}
        case Scalar.STRING | Scalar.UUID | Scalar.WORKLOAD:
            return False
        case _:
            assert_never(wanted)


def _of_number(number: int, wanted: Type) -> str:
    if wanted == Scalar.DURATION and number >= 0:
        minutes = f", which is `{number // 60}m`" if number and number % 60 == 0 else ""
        return f"a duration says its unit: `{number}s`{minutes}"
    if wanted == Scalar.TIME and _EARLIEST_MEANT <= number <= _LAST_SECOND:
        return f"an instant is written `{datetime.fromtimestamp(number, UTC):%Y-%m-%dT%H:%M:%SZ}`"
    if wanted == Scalar.TIME:
        return "a time is an instant such as `2026-01-31T12:00:00Z`, or `now` and a duration: `now - 5m`"
    return f'a text stands in quotes: `"{number}"`' if wanted == Scalar.STRING else ""
