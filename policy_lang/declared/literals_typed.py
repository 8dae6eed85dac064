"""Literals and the types they take: `"…"` is a string, or a uuid where one is wanted; integers fit the wanted range.

A literal node and the type wanted beside it go in, a typed constant comes out, or the mistake.
Source: language.md 4.1 ("Literals adopt the expected type and are checked").
"""

from __future__ import annotations

from typing import TypeGuard, assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.declared.foreign_values import member_hint
from policy_lang.diagnostics import Diagnostic
from policy_lang.meaning.patterns import capture_value
from policy_lang.mistakes.types import LiteralMisfit, NotLiteral, NotScalar, TypesDiffer
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, Scalar, ScalarType, SetType, Type, same

ScalarLiteral = tree.StringLit | tree.IntLit | tree.BoolLit | tree.DurationLit | tree.TimeLit | tree.IpLit


class Typed(Struct, frozen=True):
    """A value of an expression, and its type."""

    operand: ir.Operand
    type: Type


class _Scalar(Struct, frozen=True):
    value: ir.ScalarValue
    type: ScalarType


def is_literal(expr: tree.Expr) -> TypeGuard[ScalarLiteral | tree.SetLit]:
    """Whether an expression has no type of its own."""
    return isinstance(expr, ScalarLiteral | tree.SetLit)


def literal_operand(expr: ScalarLiteral | tree.SetLit, expected: Type | None) -> Typed | Diagnostic:
    """The constant of a literal, of type `expected` where it can be; whoever asked compares the types."""
    if isinstance(expr, tree.SetLit):
        return _set(expr, expected.element if isinstance(expected, SetType) else None)
    read = _scalar(expr, expected)
    return read if isinstance(read, Diagnostic) else Typed(ir.Const(read.value), read.type)


def _set(expr: tree.SetLit, expected: ScalarType | None) -> Typed | Diagnostic:
    values: set[ir.ScalarValue] = set()
    element = expected
    for member in expr.members:
        if isinstance(member, tree.SetLit):
            return NotScalar(span=member.span, where="a set", found="a set")
        if not isinstance(member, ScalarLiteral):
            return NotLiteral(span=member.span)
        read = _scalar(member, element)
        if isinstance(read, Diagnostic):
            return read
        if element is not None and not same(read.type, element):
            there = (f"`{read.type}`", f"`{element}`")
            hint = member_hint(member, element)
            return TypesDiffer(span=member.span, form="[ ]", left=there[0], right=there[1], hint=hint)
        element = element or read.type
        values.add(read.value)
    return Typed(ir.Const(frozenset(values)), SetType(element or Scalar.STRING))


def _scalar(expr: ScalarLiteral, expected: Type | None) -> _Scalar | Diagnostic:
    match expr:
        case tree.StringLit(value=text):
            if expected != Scalar.UUID:
                return _Scalar(text, Scalar.STRING)
            uuid = capture_value("uuid", text)
            if uuid is None:
                return LiteralMisfit(span=expr.span, value=text, wanted="`uuid`")
            return _Scalar(uuid, Scalar.UUID)
        case tree.IntLit(value=number):
            type_ = expected if isinstance(expected, IntType) else IntType()
            lowest = INT_MIN if type_.lowest is None else type_.lowest
            highest = INT_MAX if type_.highest is None else type_.highest
            if not lowest <= number <= highest:
                return LiteralMisfit(span=expr.span, value=str(number), wanted=f"`{type_}`")
            return _Scalar(number, type_)
        case tree.BoolLit(value=truth):
            return _Scalar(truth, Scalar.BOOL)
        case tree.DurationLit(milliseconds=ms):
            return _Scalar(ms, Scalar.DURATION)
        case tree.TimeLit(milliseconds=ms):
            return _Scalar(ms, Scalar.TIME)
        case tree.IpLit(address=address):
            return _Scalar(address, Scalar.IP)
        case _:
            assert_never(expr)
