"""Operations on the values of Casbin tables, which may be any objects of Python; total, whatever the objects do.

In come values: strings, numbers and booleans (scalars), sequences, sets, mappings, and objects of an embedding program;
or None for a value that is missing. Out come a truth of Kleene's three, or a value and None where there is none. An
exception in an object's own code is no value and UNKNOWN, and so is what an operation is not for.

INVARIANT: nothing raises. In `strict` Python's `True == 1` is never seen: bool and number are two types, also within
sequences; objects are data: items, members and fields, never an attribute beside those nor their own `==`. No attribute
that begins with `_` is read in either mode.
INVARIANT: in `compat` what has a truth has the one of pycasbin, and what has a value the value.
Source: language.md 6.4; policy_lang/ir/tables.py, which says what each expression means.

Decision (2026-11-21): equality in `strict` is that of scalars. A scalar and a sequence, set or mapping differ; two of
those, and whatever has an object of another type in it, are compared by no rule that could be stated: UNKNOWN. In
`compat` it is Python's: what the values' own `==` says, and a boolean is 0 or 1, in order too, as in pycasbin. Sums of
booleans have no value in either mode.
Decision (2026-11-21): a mapping in `compat` may have an attribute of the name that is asked for, a method mostly
(`items`), where pycasbin reads that and not the item. Then the part has no value, or that of the attribute.
Decision (2026-11-21): a number that is not finite is a number of which every comparison is UNKNOWN, and no value where
arithmetic would come to it. The remainder has the sign of the divisor, as in Python.
Decision (2026-11-21): what is asked is the type of an object, not what it says of its own class: a proxy that raises
when it is looked at, or passes for a string, is an object of another type.
Decision (2026-11-21): `in` walks lists, tuples and sets of Python's own types, up to `MOST_MEMBERS`; of anything else,
a `range` or a list of somebody's own, it is UNKNOWN. What such an object says of its length, and how long it takes to
say so, is not for a request to choose.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from math import isfinite
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Literal, TypeGuard, cast

from policy_lang.ir.tables import Mode, TableScalar
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN, disjunction, negation, truth
from policy_lang.verdict import Truth3

Sort = Literal["none", "bool", "number", "text", "sequence", "set", "mapping", "other"]

_WIDE: Sequence[tuple[Sort, type, tuple[type, ...]]] = (
    ("mapping", Mapping, ()),
    ("set", AbstractSet, ()),
    ("sequence", Sequence, (str, bytes, bytearray, memoryview)),
)
_SCALARS: frozenset[Sort] = frozenset({"bool", "number", "text"})

_ORDERED: Mapping[str, Callable[[float | str, float | str], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_NUMERIC: Mapping[str, Callable[[float, float], object]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
MOST_MEMBERS = 100_000
"""So many members of a list are looked through."""

_INNARDS = (CodeType, FrameType, ModuleType, TracebackType)


# ---------------------------------------------------------------- sorts


def sort_of(value: object) -> Sort:
    """Which sort of value it is, by its type."""
    kind = type(value)
    if value is None:
        return "none"
    if kind is str:
        return "text"
    if kind is bool:
        return "bool"
    if kind is int or kind is float:
        return "number"
    try:
        return next(
            (sort for sort, wide, but in _WIDE if issubclass(kind, wide) and not issubclass(kind, but)), "other"
        )
    except Exception:  # noqa: BLE001 - a metaclass may do anything
        return "other"


def plain(value: object) -> object:
    """A value as it is; a scalar of a type derived from str, int or float (such as an enum's) as that type has it."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int) and kind is not bool:
        return int.__int__(cast("int", value))
    return float.__float__(cast("float", value)) if issubclass(kind, float) else value


def truth_of(value: object) -> Truth3:
    """A boolean as a truth; anything else is UNKNOWN."""
    return truth(value is True) if type(value) is bool else UNKNOWN


def value_of(of: Truth3) -> bool | None:
    """A truth as a boolean."""
    return None if of is UNKNOWN else of is TRUE


# ---------------------------------------------------------------- comparing


def compare(op: str, left: object, right: object, *, mode: Mode) -> Truth3:
    """`eq`, `ne` of two values; `lt`, `le`, `gt`, `ge` of two numbers or two strings."""
    if op == "eq":
        return same(left, right, mode=mode)
    if op == "ne":
        return negation(same(left, right, mode=mode))
    if type(left) is str and type(right) is str:
        return truth(_ORDERED[op](left, right))
    if mode == "compat":
        left, right = _as_number(left), _as_number(right)
    return truth(_ORDERED[op](left, right)) if _number(left) and _number(right) else UNKNOWN


def same(left: object, right: object, *, mode: Mode) -> Truth3:
    """Whether two values are equal."""
    sorts = sort_of(left), sort_of(right)
    if "none" in sorts or _endless(left) or _endless(right):
        return UNKNOWN
    if mode == "compat":
        return _by_their_own(left, right)
    if sorts[0] == sorts[1] and sorts[0] in _SCALARS:
        return truth(left == right)
    return FALSE if "other" not in sorts and not _SCALARS.isdisjoint(sorts) else UNKNOWN


def _by_their_own(left: object, right: object) -> Truth3:
    try:
        return truth_of(left == right)
    except Exception:  # noqa: BLE001 - the comparison is somebody else's code
        return UNKNOWN


def within(item: object, among: object, *, mode: Mode) -> Truth3:
    """Whether a list, tuple or set has an item that is the same; in `compat` whether a string is part of a string."""
    if mode == "compat" and type(item) is str and type(among) is str:
        return truth(item in among)
    listed = members(among)
    if item is None or listed is None:
        return UNKNOWN
    if type(item) is str:  # which no other string is: of a long list little remains
        listed = [each for each in listed if type(each) is not str or each == item]
    return disjunction(same(item, plain(each), mode=mode) for each in listed)


def members(of: object) -> Collection[object] | None:
    """What a list, a tuple or a set has in it; None for anything else, and beyond `MOST_MEMBERS`."""
    if type(of) is list or type(of) is tuple or type(of) is set or type(of) is frozenset:
        return of if len(of) <= MOST_MEMBERS else None
    return None


def _number(value: object) -> TypeGuard[float]:
    return type(value) is int or (type(value) is float and isfinite(value))


def _as_number(value: object) -> object:
    return int(value) if type(value) is bool else value


def _endless(value: object) -> bool:
    return type(value) is float and not isfinite(value)


# ---------------------------------------------------------------- making values


def arithmetic(op: str, left: object, right: object) -> float | str | None:
    """`+ - * / %` of two numbers, `+` of two strings."""
    if op == "+" and type(left) is str and type(right) is str:
        return left + right
    if not (_number(left) and _number(right)):
        return None
    try:
        made = _NUMERIC[op](left, right)
    except ArithmeticError:
        return None
    return made if _number(made) else None


def part(of: object, name: str, *, mode: Mode) -> object:
    """The part of that name: an item of a mapping, a field of a dataclass; in `compat` an attribute of any object, of a
    mapping too, before its items.

    None where there is none. Functions, modules and what the interpreter runs on are no parts.
    """
    try:
        match sort_of(of):
            case "mapping" if mode == "strict" or not hasattr(of, name):
                return plain(of.get(name))  # type: ignore[attr-defined]
            case "mapping" | "other" if not name.startswith("_") and (mode == "compat" or _has_field(of, name)):
                found = plain(getattr(of, name))
                return None if callable(found) or issubclass(type(found), _INNARDS) else found
            case _:
                return None
    except Exception:  # noqa: BLE001 - a property is somebody else's code
        return None


def _has_field(of: object, name: str) -> bool:
    kind = type(of)
    return is_dataclass(kind) and any(field.name == name for field in fields(kind))


def called(function: Callable[..., object] | None, arguments: Sequence[object]) -> TableScalar | None:
    """What somebody's own function says: a scalar. None where there is none, where it raises, and where an argument has
    no value: it is not asked then.
    """
    if function is None or any(each is None for each in arguments):
        return None
    try:
        said = plain(function(*arguments))
    except Exception:  # noqa: BLE001 - the function is somebody else's code
        return None
    return cast("TableScalar", said) if sort_of(said) in _SCALARS else None


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a string by its type; what an object says of its class may be anything."""
    return issubclass(type(value), str)


def text_of(value: object) -> str | None:
    """A string; None for anything else."""
    return value if type(value) is str else None
