"""Expressions: literals, references, and what joins them.

Source: language.md 2.1 (Expressions).
"""

from __future__ import annotations

from typing import Literal

from policy_lang.tree.nodes import Name, Node, Text


class StringLit(Node, frozen=True):
    value: str


class IntLit(Node, frozen=True):
    value: int


class BoolLit(Node, frozen=True):
    value: bool


class DurationLit(Node, frozen=True):
    milliseconds: int


class TimeLit(Node, frozen=True):
    """A timestamp, or a date (midnight UTC), in Unix milliseconds."""

    milliseconds: int


class UnsetLit(Node, frozen=True):
    """`unset`, which only a test may write."""


class UnknownLit(Node, frozen=True):
    """`unknown`: a signal without a value; only a test and a signal's `else` may write it."""


class IpLit(Node, frozen=True):
    """An address, canonical (policy_lang/addresses.py)."""

    address: str


class CidrLit(Node, frozen=True):
    """A range of addresses as written; whether host bits are set is for a later phase."""

    text: str


class SetLit(Node, frozen=True):
    members: tuple[Expr, ...]


class Ref(Node, frozen=True):
    """`token.accounts` is root `token`, parts (`accounts`,). `now`, a parameter of a condition, the name of an enum
    value, a network, a workload, a role or a setting have no parts."""

    root: Name
    parts: tuple[Name, ...]


class Call(Node, frozen=True):
    """A condition or a relation applied to arguments."""

    name: Name
    arguments: tuple[Expr, ...]


class HasRole(Node, frozen=True):
    """`role support`."""

    name: Name


class HasFactor(Node, frozen=True):
    """`factor mfa within 5m`; a name behind `within` is that of a setting."""

    name: Name
    within: DurationLit | Name | None


class Not(Node, frozen=True):
    operand: Expr


class And(Node, frozen=True):
    left: Expr
    right: Expr


class Or(Node, frozen=True):
    left: Expr
    right: Expr


CompareOp = Literal["==", "!=", "<", "<=", ">", ">="]


class Compare(Node, frozen=True):
    op: CompareOp
    left: Expr
    right: Expr


class In(Node, frozen=True):
    item: Expr
    among: Expr
    negated: bool


class SetTest(Node, frozen=True):
    op: Literal["overlaps", "covers"]
    left: Expr
    right: Expr


class Like(Node, frozen=True):
    operand: Expr
    pattern: Text


class Has(Node, frozen=True):
    """`token has accounts`: `of` is the root, `attribute` what may be missing."""

    of: Expr
    attribute: Name


class IsEmpty(Node, frozen=True):
    operand: Expr


class IsKind(Node, frozen=True):
    """`token is user`."""

    of: Expr
    kind: Name


class Arithmetic(Node, frozen=True):
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
