"""The types of the language: scalars and sets of scalars; no null, no union, no conversion.

How a run-time value of each type looks (policy_lang/meaning/values.py holds the operations):
bool -> bool; string -> str; uuid -> str of 36 lower-case characters; int -> int; time -> int, Unix milliseconds;
duration -> int, milliseconds; ip -> str, canonical (policy_lang/addresses.py: one 128-bit space); workload -> str, the
SPIFFE id, "" for no identity; an enum's value and a role -> str, its plain name; set of T -> frozenset of T's values.
Source: language.md 4.1.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from msgspec import Struct


class Scalar(Enum):
    """A type without parameters; the value is the word a policy uses for it."""

    BOOL = "bool"
    STRING = "string"
    UUID = "uuid"
    TIME = "time"
    DURATION = "duration"
    IP = "ip"
    WORKLOAD = "workload"

    def __str__(self) -> str:
        return self.value


class IntType(Struct, frozen=True):
    """Integers, both ends included; `None` is the end of what 64 bits hold."""

    lowest: int | None = None
    highest: int | None = None

    def __str__(self) -> str:
        return "int" if self.lowest is None else f"int {self.lowest}..{self.highest}"


class EnumType(Struct, frozen=True):
    """Named values; `id` is `module.name`. Where `ordered`, `values` stand lowest first, else in the order written."""

    id: str
    values: tuple[str, ...]
    ordered: bool

    def __str__(self) -> str:
        return self.id.rpartition(".")[2]


class RoleType(Struct, frozen=True):
    """The names of roles that a column may hold; only in relations and as a condition's parameter."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "role"


class SetType(Struct, frozen=True):
    """A set of scalars of one type."""

    element: ScalarType

    def __str__(self) -> str:
        return f"set of {self.element}"


ScalarType = Scalar | IntType | EnumType | RoleType
Type = ScalarType | SetType

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def same(left: Type, right: Type) -> bool:
    """Whether values of the two types may be compared: equal types, ranges of int and names of roles set aside."""
    if isinstance(left, IntType) and isinstance(right, IntType):
        return True
    if isinstance(left, SetType) and isinstance(right, SetType):
        return same(left.element, right.element)
    if isinstance(left, RoleType) and isinstance(right, RoleType):
        return True
    return left == right


def moved(left: Type, op: Literal["+", "-"], right: Type) -> Type | None:
    """The type of time arithmetic: time - time, and time or duration +- duration; None for anything else."""
    match left, op, right:
        case Scalar.TIME, "-", Scalar.TIME:
            return Scalar.DURATION
        case ((Scalar.TIME | Scalar.DURATION), _, Scalar.DURATION):
            return left
        case _:
            return None
