"""The syntax of a matcher: what was written, with the place of each part; names mean nothing yet.

INVARIANT: a `Joined` has two parts or more, a `Compared` one comparison or more.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from policy_lang.ir.tables import TableScalar
from policy_lang.source import Span

CompareWord = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
ArithmeticSign = Literal["+", "-", "*", "/", "%"]


class Name(Struct, frozen=True):
    """A name that stands alone, or the first of a dotted one."""

    name: str
    span: Span


class Part(Struct, frozen=True):
    """`of.name`, or `of["name"]` (`by_item`)."""

    of: Syntax
    name: str
    by_item: bool
    span: Span


class Literally(Struct, frozen=True):
    value: TableScalar
    span: Span


class Listing(Struct, frozen=True):
    """`(a, b)` or `[a, b]`."""

    parts: tuple[Syntax, ...]
    span: Span


class Negation(Struct, frozen=True):
    of: Syntax
    span: Span


class Minus(Struct, frozen=True):
    of: Syntax
    span: Span


class Joined(Struct, frozen=True):
    """Two parts or more."""

    op: Literal["and", "or"]
    parts: tuple[Syntax, ...]
    span: Span


class Compared(Struct, frozen=True):
    """`first op operand`; several in `rest` are a chain, of which each two neighbours must hold."""

    first: Syntax
    rest: tuple[tuple[CompareWord, Syntax], ...]
    span: Span


class Operation(Struct, frozen=True):
    op: ArithmeticSign
    left: Syntax
    right: Syntax
    span: Span


class Call(Struct, frozen=True):
    """`span` is that of the whole call."""

    function: Syntax
    arguments: tuple[Syntax, ...]
    span: Span


Syntax = Name | Part | Literally | Listing | Negation | Minus | Joined | Compared | Operation | Call
