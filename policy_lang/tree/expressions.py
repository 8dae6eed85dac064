"""Expressions: literals, references, and what joins them.

Source: language.md 2.1 (Expressions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.tree.nodes import Name, Node, Text


@dataclass(frozen=True, slots=True)
class StringLit(Node):
    value: str


@dataclass(frozen=True, slots=True)
class IntLit(Node):
    value: int


@dataclass(frozen=True, slots=True)
class BoolLit(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class DurationLit(Node):
    milliseconds: int


@dataclass(frozen=True, slots=True)
class TimeLit(Node):
    """A timestamp, or a date (midnight UTC), in Unix milliseconds."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class UnsetLit(Node):
    """`unset`, which only a test may write."""


@dataclass(frozen=True, slots=True)
class UnknownLit(Node):
    """`unknown`: a signal without a value; only a test and a signal's `else` may write it."""


@dataclass(frozen=True, slots=True)
class IpLit(Node):
    """An address, canonical (policy_lang/addresses.py)."""

    address: str


@dataclass(frozen=True, slots=True)
class CidrLit(Node):
    """A range of addresses as written; whether host bits are set is for a later phase."""

    text: str


@dataclass(frozen=True, slots=True)
class SetLit(Node):
    members: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Ref(Node):
    """`token.accounts` is root `token`, parts (`accounts`,). `now`, a parameter of a condition, the name of an enum
    value, a network, a workload, a role or a setting have no parts."""

    root: Name
    parts: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A condition or a relation applied to arguments."""

    name: Name
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class HasRole(Node):
    """`role support`."""

    name: Name


@dataclass(frozen=True, slots=True)
class HasFactor(Node):
    """`factor mfa within 5m`; a name behind `within` is that of a setting."""

    name: Name
    within: DurationLit | Name | None


@dataclass(frozen=True, slots=True)
class Not(Node):
    operand: Expr


@dataclass(frozen=True, slots=True)
class And(Node):
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Or(Node):
    left: Expr
    right: Expr


CompareOp = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    op: CompareOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class In(Node):
    item: Expr
    among: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class SetTest(Node):
    op: Literal["overlaps", "covers"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Like(Node):
    operand: Expr
    pattern: Text


@dataclass(frozen=True, slots=True)
class Has(Node):
    """`token has accounts`: `of` is the root, `attribute` what may be missing."""

    of: Expr
    attribute: Name


@dataclass(frozen=True, slots=True)
class IsEmpty(Node):
    operand: Expr


@dataclass(frozen=True, slots=True)
class IsKind(Node):
    """`token is user`."""

    of: Expr
    kind: Name


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """Time and duration only: `now - 1m`."""

    op: Literal["+", "-"]
    left: Expr
    right: Expr


LiteralExpr = (
    StringLit | IntLit | BoolLit | DurationLit | TimeLit | UnsetLit | UnknownLit | IpLit | CidrLit | SetLit
)  # fmt: skip


Expr = (
    LiteralExpr | Ref | Call | HasRole | HasFactor | Not | And | Or | Compare | In | SetTest | Like | Has | IsEmpty
    | IsKind | Arithmetic
)  # fmt: skip
