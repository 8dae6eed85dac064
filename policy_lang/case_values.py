"""Values in a test: literals, `now` and arithmetic on it, worked out; and claims as the JSON a token would hold.

An expression, the type wanted and the test's instant go in; a run-time value comes out, or the mistake.
Source: language.md 5.7; RFC 7519 2 (NumericDate).
"""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang import ir, tree, values
from policy_lang.diagnostics import Diagnostic
from policy_lang.literals_typed import literal_operand
from policy_lang.mistakes.cases import CannotSet, NotATestValue
from policy_lang.mistakes.types import LiteralMisfit, TypesDiffer, WrongType
from policy_lang.typesystem import Scalar, ScalarType, SetType, Type, moved, same
from policy_lang.verdict import Json


@dataclass(frozen=True, slots=True)
class _Known:
    value: ir.Value
    type: Type


def value_in_test(expr: tree.Expr, wanted: Type, now_ms: int) -> ir.Value | Diagnostic:
    """The value of `expr`, which must be of type `wanted`."""
    known = _value(expr, wanted, now_ms)
    if isinstance(known, Diagnostic):
        return known
    if not same(known.type, wanted):
        return WrongType(span=expr.span, wanted=f"`{wanted}`", found=f"`{known.type}`")
    return known.value


def _value(expr: tree.Expr, wanted: Type | None, now_ms: int) -> _Known | Diagnostic:
    match expr:
        case tree.StringLit() | tree.IntLit() | tree.BoolLit() | tree.DurationLit() | tree.TimeLit() | tree.SetLit():
            typed = literal_operand(expr, wanted)
            if isinstance(typed, Diagnostic):
                return typed
            return _Known(typed.operand.value, typed.type) if isinstance(typed.operand, ir.Const) else _refused(expr)
        case tree.Ref(root=tree.Name(text="now"), parts=()):
            return _Known(now_ms, Scalar.TIME)
        case tree.Arithmetic():
            return _shifted(expr, now_ms)
        case _:
            return _refused(expr)


def _refused(expr: tree.Expr) -> Diagnostic:
    return NotATestValue(span=expr.span)


def _shifted(expr: tree.Arithmetic, now_ms: int) -> _Known | Diagnostic:
    left, right = _value(expr.left, None, now_ms), _value(expr.right, None, now_ms)
    if isinstance(left, Diagnostic):
        return left
    if isinstance(right, Diagnostic):
        return right
    type_ = moved(left.type, expr.op, right.type)
    if type_ is None:
        return TypesDiffer(span=expr.span, form=expr.op, left=f"`{left.type}`", right=f"`{right.type}`")
    result = values.shift(left.value, 1 if expr.op == "+" else -1, right.value)
    if result is None:
        return LiteralMisfit(span=expr.span, value="the result", wanted=f"`{type_}`")
    return _Known(result, type_)


def claim_json(value: ir.Value, type_: Type, expr: tree.Expr, name: str) -> Json | Diagnostic:
    """A claim's value as a token holds it: instants and durations in seconds, a set as a sorted list."""
    if isinstance(value, frozenset):
        element = type_.element if isinstance(type_, SetType) else Scalar.STRING
        members: list[Json] = []
        for each in sorted(value):
            member = _scalar_json(each, element, expr, name)
            if isinstance(member, Diagnostic):
                return member
            members.append(member)
        return members
    return _scalar_json(value, Scalar.STRING if isinstance(type_, SetType) else type_, expr, name)


def _scalar_json(value: ir.ScalarValue, type_: ScalarType, expr: tree.Expr, name: str) -> Json | Diagnostic:
    if type_ not in {Scalar.TIME, Scalar.DURATION} or not isinstance(value, int):
        return value
    if value % 1000 == 0:
        return value // 1000
    if type_ == Scalar.DURATION:
        return CannotSet(span=expr.span, name=f"token.{name}", why="a token holds whole seconds of a duration")
    return value / 1000
