"""The syntax of a matcher: what was written, with the place of each part; names mean nothing yet.

INVARIANT: a `Joined` has two parts or more, a `Compared` one comparison or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.ir.tables import TableScalar
from policy_lang.source import Span

CompareWord = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
ArithmeticSign = Literal["+", "-", "*", "/", "%"]


@dataclass(frozen=True, slots=True)
class Name:
    """A name that stands alone, or the first of a dotted one."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Part:
    """`of.name`, or `of["name"]` (`by_item`)."""

    of: Syntax
    name: str
    by_item: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Literally:
    value: TableScalar
    span: Span


@dataclass(frozen=True, slots=True)
class Listing:
    """`(a, b)` or `[a, b]`."""

    parts: tuple[Syntax, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Negation:
    of: Syntax
    span: Span


@dataclass(frozen=True, slots=True)
class Minus:
    of: Syntax
    span: Span


@dataclass(frozen=True, slots=True)
class Joined:
    """Two parts or more."""

    op: Literal["and", "or"]
    parts: tuple[Syntax, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Compared:
    """`first op operand`; several in `rest` are a chain, of which each two neighbours must hold."""

    first: Syntax
    rest: tuple[tuple[CompareWord, Syntax], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Operation:
    op: ArithmeticSign
    left: Syntax
    right: Syntax
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """`span` is that of the whole call."""

    function: Syntax
    arguments: tuple[Syntax, ...]
    span: Span


Syntax = Name | Part | Literally | Listing | Negation | Minus | Joined | Compared | Operation | Call
