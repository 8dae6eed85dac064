"""Comparisons of typed operands as formulas.

Two operands of types that go together go in, a formula comes out. Pure.
Source: language.md 4.1, 6.1.

Decision: 2026-11-21. An ordered enum is compared by membership: with a constant the values that fulfil it, else a
disjunction over halves of its values: one side in the lower half and the other in the upper, or both in order within
one half. The IR knows its values as texts and no order among them, so no atom has to; work is n log n in the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.checking.guards import Formula, every, holds, negate, some
from policy_lang.declared.literals_typed import Typed
from policy_lang.typesystem import EnumType, IntType, Scalar, SetType, Type, same


def comparable(left: Type, op: tree.CompareOp, right: Type) -> bool:
    """Whether two operands may stand beside this operator."""
    if isinstance(left, SetType) or isinstance(right, SetType) or not same(left, right):
        return False
    return op in {"==", "!="} or _ordered(left)


def _ordered(type_: Type) -> bool:
    if isinstance(type_, EnumType):
        return type_.ordered
    return isinstance(type_, IntType) or type_ in {Scalar.TIME, Scalar.DURATION}


def compared(left: Typed, op: tree.CompareOp, right: Typed) -> Formula:
    """`left op right`, of types that are `comparable`."""
    match op:
        case "==":
            return _equal(left, right)
        case "!=":
            return negate(_equal(left, right))
        case "<":
            return _less(left, right, or_equal=False)
        case "<=":
            return _less(left, right, or_equal=True)
        case ">":
            return _less(right, left, or_equal=False)
        case ">=":
            return _less(right, left, or_equal=True)
        case _:
            assert_never(op)


def _equal(left: Typed, right: Typed) -> Formula:
    """`left == right`: a constant stands right; a boolean beside a constant is its own truth."""
    if isinstance(left.operand, ir.Const):
        left, right = right, left
    if isinstance(right.operand, ir.Const) and isinstance(right.operand.value, bool):
        truth = holds(ir.Truth(left.operand))
        return truth if right.operand.value else negate(truth)
    return holds(ir.Compare("eq", left.operand, right.operand))


def _less(left: Typed, right: Typed, *, or_equal: bool) -> Formula:
    if isinstance(left.type, EnumType):
        return _lower_in(left.type.values, left.operand, right.operand, or_equal=or_equal)
    return holds(ir.Compare("le" if or_equal else "lt", left.operand, right.operand))


def _lower_in(values: tuple[str, ...], left: ir.Operand, right: ir.Operand, *, or_equal: bool) -> Formula:
    """Whether `left` stands before `right` in the order of `values`."""
    match left, right:
        case _, ir.Const(value):
            place = values.index(str(value))
            return _among(left, values[: place + or_equal])
        case ir.Const(value), _:
            place = values.index(str(value))
            return _among(right, values[place + (not or_equal) :])
        case _:
            return some(tuple(_halves(values, left, right, or_equal=or_equal)))


def _halves(values: tuple[str, ...], left: ir.Operand, right: ir.Operand, *, or_equal: bool) -> Iterator[Formula]:
    if len(values) == 1:
        if or_equal:
            yield every((_among(left, values), _among(right, values)))
        return
    middle = len(values) // 2
    lower, upper = values[:middle], values[middle:]
    yield every((_among(left, lower), _among(right, upper)))
    yield from _halves(lower, left, right, or_equal=or_equal)
    yield from _halves(upper, left, right, or_equal=or_equal)


def _among(operand: ir.Operand, values: tuple[str, ...]) -> Formula:
    return holds(ir.Member(operand, ir.Const(frozenset(values))))
