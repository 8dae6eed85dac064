"""A relation asked about a call: the rows that would say yes.

A call of a relation, its arguments and the operands of the walk go in; a formula comes out, or None after a mistake.
Source: language.md 4.1 (`R(a, …)`), 6.5.

Decision: 2026-11-21. A role that a relation is asked for becomes a disjunction of lookups, one for each name of the
column that is, or includes, the role.
Decision: 2026-11-21. A role belongs to a kind of caller, so a row that gives one speaks of a caller of that kind. Asked
of what a caller of another kind says of itself, the row is somebody else's, whose `sub` may read alike. That is refused
(E312) and not taken for false, since a deny would then be silent; of constants and of the call anybody may ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.checking.environment import Facts
from policy_lang.checking.guards import Formula, holds, some
from policy_lang.checking.operands import Operands
from policy_lang.declared.entries import RelationEntry, RoleEntry
from policy_lang.mistakes.types import RoleOfAnother, WrongType
from policy_lang.typesystem import RoleType

MOST_ROWS = 64
"""Rows that a relation with columns of roles is asked for at once: each is a lookup."""


def lookup(
    operands: Operands, call: tree.Expr, entry: RelationEntry, arguments: Sequence[tree.Expr], known: Facts
) -> Formula | None:
    """Whether the relation holds a row of these arguments, where the inputs of `known` are present."""
    columns: list[tuple[ir.Operand, ...]] = []
    roles: list[RoleEntry] = []
    for expr, (_, type_) in zip(arguments, entry.relation.columns, strict=True):
        if not isinstance(type_, RoleType):
            given = operands.argument(expr, type_, known)
            columns.append(() if given is None else (given.operand,))
        elif (role := operands.role(expr)) is None:
            columns.append(())
        else:
            roles.append(role)
            columns.append(_held_as(operands, role, expr, type_, entry))
    rows = prod(len(column) for column in columns)
    if rows > MOST_ROWS:
        operands.too_large(call, f"the roles that it names stand for {rows} rows")
        return None
    if rows == 0 or (rows > 1 and not operands.spend(call, rows)) or _of_another(operands, call, roles, columns):
        return None
    return some(tuple(holds(ir.Lookup(entry.relation.id, row)) for row in product(*columns)))


def _held_as(
    operands: Operands, role: RoleEntry, expr: tree.Expr, type_: RoleType, entry: RelationEntry
) -> tuple[ir.Operand, ...]:
    """The names that a role column may hold where somebody holds the role; nothing after a mistake."""
    names = [name for name in type_.names if entry.role_ids.get(name) in role.above]
    if not names:
        wanted = f"a role that `{entry.decl.name.text}` may hold"
        operands.report(WrongType(span=expr.span, wanted=wanted, found=f"`{role.name}`"))
    return tuple(ir.Const(name) for name in sorted(names))


def _of_another(
    operands: Operands, call: tree.Expr, roles: Sequence[RoleEntry], columns: Sequence[Sequence[ir.Operand]]
) -> bool:
    """Whether a role of one kind is asked of what a caller of another says of itself, which is reported."""
    kind = operands.environment.kind
    role = None if kind is None else next((each for each in roles if each.kind != kind.kind.id), None)
    if role is None:
        return False
    said = next((attr for column in columns for each in column for attr in _said_by_caller(each)), None)
    if said is None:
        return False
    form = operands.form_of(role.kind)
    asked = f"{said.root}.{said.name}"
    operands.report(RoleOfAnother(span=call.span, role=role.name, kind=role.kind, form=form, asked=asked))
    return True


def _said_by_caller(operand: ir.Operand) -> Iterator[ir.Attr]:
    match operand:
        case ir.Attr(root="token" | "subject"):
            yield operand
        case ir.Shift(left, _, right):
            yield from _said_by_caller(left)
            yield from _said_by_caller(right)
        case ir.Attr() | ir.Now() | ir.Const():
            return
        case _:
            assert_never(operand)
