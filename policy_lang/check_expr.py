"""One expression in one environment: its types, what it may read, and the formula it stands for.

An environment is one endpoint with one kind of principal. The judgement is `known |- e : formula > (when_true,
when_false)`: `known` are the optional inputs proved present where e stands, the other two those proved after e came out
true or false, None where it cannot come out so. `and` checks its right side with what its left side proves when true,
`or` when false, `not` swaps. A place that cannot be reached in this environment is not checked there.
INVARIANT: a formula without mistakes reads no input that may be missing where it is read, and compares values of one
type only; so what is unknown at run time comes from data that is not at hand, never from the policy.
Source: language.md 4.1, 4.2.

Decision: 2026-11-21. Checking and building are one walk: what was checked is what is evaluated, and nothing folds in
one phase that does not in the other.
Decision: 2026-11-21. `token has c` is false, no mistake, for kinds without the claim and for anonymous callers; a
factor is false for kinds without it. Both are true statements about such a caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.check_operands import NOTHING, Environment, Facts, Operands
from policy_lang.diagnostics import Diagnostic
from policy_lang.guards import Formula, Leaf, every, holds, negate, some
from policy_lang.inventory import ConditionEntry
from policy_lang.literals_typed import Typed, is_literal
from policy_lang.mistakes.types import (
    BadLike,
    MissingHere,
    WrongType,
)
from policy_lang.names import Names
from policy_lang.typesystem import IntType, Scalar, SetType, Type, same


@dataclass(frozen=True, slots=True)
class Checked:
    """A formula and what it proves present, by its outcome; None: it cannot come out so."""

    formula: Formula
    when_true: Facts | None
    when_false: Facts | None


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of one kind: its condition, what that proves, and when it happened; None where it was refused."""

    when: Formula
    proves: Facts
    at: ir.Operand | None


def unconditional(formula: Formula, known: Facts, gained: Facts = NOTHING) -> Checked:
    """A leaf of the judgement: what it proves when true is `gained`."""
    when_true = None if formula is False else known | gained
    return Checked(formula, when_true, None if formula is True else known)


class Checker:
    """Checks the expressions of one module in one environment. `factors` are by kind and name.

    `refused` is set by the first mistake, for good: what came out since stands for nothing.
    """

    def __init__(
        self,
        names: Names,
        environment: Environment,
        factors: Mapping[tuple[str, str], Factor],
        found: list[Diagnostic],
    ) -> None:
        self._names = names
        self._environment = environment
        self._factors = factors
        self._operands = Operands(names, environment, found)
        self.refused = False

    # ------------------------------------------------------------ conditions

    def condition(self, expr: tree.Expr, known: Facts) -> Checked:
        """`expr` as a condition, where the inputs of `known` are present."""
        with self._operands.counted(expr) as fits:
            return self._condition(expr, known) if fits else self._refused(known)

    def _condition(self, expr: tree.Expr, known: Facts) -> Checked:
        match expr:
            case tree.And():
                return self._conjunction(expr, known)
            case tree.Or():
                return self._disjunction(expr, known)
            case tree.Not(operand=operand):
                inner = self.condition(operand, known)
                return Checked(negate(inner.formula), inner.when_false, inner.when_true)
            case tree.Has():
                return self._has(expr, known)
            case tree.IsKind():
                return self._is_kind(expr, known)
            case tree.HasFactor(name=name) if self._environment.endpoint is None:
                remedy = "say it again in this one's own `when`"
                self._operands.report(
                    MissingHere(span=expr.span, name=f"factor {name.text}", where="in a factor", remedy=remedy)
                )
                return self._refused(known)
            case tree.HasFactor(name=name, within_ms=within_ms):
                return self.factor(name.text, within_ms, known)
            case tree.Call():
                return self._call(expr, known)
            case tree.Compare():
                return self._settled(self._compare(expr, known), known)
            case tree.In():
                return self._settled(self._in(expr, known), known)
            case tree.SetTest():
                return self._settled(self._set_test(expr, known), known)
            case tree.Like():
                return self._settled(self._like(expr, known), known)
            case tree.IsEmpty():
                return self._settled(self._is_empty(expr, known), known)
            case _:
                return self._settled(self._truth(expr, known), known)

    def _settled(self, formula: Formula | None, known: Facts) -> Checked:
        return self._refused(known) if formula is None else unconditional(formula, known)

    def _refused(self, known: Facts) -> Checked:
        """What stands for an expression with a mistake, which has been reported."""
        self.refused = True
        return Checked(formula=False, when_true=known, when_false=known)

    def _conjunction(self, expr: tree.And, known: Facts) -> Checked:
        parts: list[Formula] = []
        so_far: Facts | None = known
        when_false: Facts | None = None
        for part in _chain(expr, tree.And):
            if so_far is None:
                break
            checked = self.condition(part, so_far)
            parts.append(checked.formula)
            when_false = _both(when_false, checked.when_false)
            so_far = checked.when_true
        return Checked(every(tuple(parts)), so_far, when_false)

    def _disjunction(self, expr: tree.Or, known: Facts) -> Checked:
        parts: list[Formula] = []
        so_far: Facts | None = known
        when_true: Facts | None = None
        for part in _chain(expr, tree.Or):
            if so_far is None:
                break
            checked = self.condition(part, so_far)
            parts.append(checked.formula)
            when_true = _both(when_true, checked.when_true)
            so_far = checked.when_false
        return Checked(some(tuple(parts)), when_true, so_far)

    def _has(self, expr: tree.Has, known: Facts) -> Checked:
        attr = self._names.inputs.get(expr.id)
        if not isinstance(attr, ir.Attr):
            return self._refused(known)
        slot = self._environment.slot(attr)
        if slot is None or not slot.optional:
            return unconditional(slot is not None, known)
        return unconditional(Leaf(ir.Has(attr)), known, frozenset((attr,)))

    def _is_kind(self, expr: tree.IsKind, known: Facts) -> Checked:
        wanted = self._names.kinds.get(expr.id)
        if wanted is None:
            return self._refused(known)
        kind = self._environment.kind
        return unconditional(kind is not None and kind.kind.id == wanted, known)

    def factor(self, name: str, within_ms: int | None, known: Facts) -> Checked:
        """Whether the caller has proved the factor `name`, within `within_ms` where that is given."""
        kind = self._environment.kind
        factor = None if kind is None else self._factors.get((kind.kind.id, name))
        if factor is None:
            return unconditional(formula=False, known=known)
        if factor.at is None:
            return self._refused(known)
        return unconditional(every((factor.when, Leaf(ir.Age(factor.at, within_ms)))), known, factor.proves)

    def _call(self, call: tree.Call, known: Facts) -> Checked:
        callee = self._names.calls.get(call.id)
        match callee:
            case None:
                return self._refused(known)
            case ConditionEntry():
                return self._expanded(call, callee, known)
            case ir.Relation(id_, columns):
                arguments = [
                    self._operands.argument(expr, type_, known)
                    for expr, (_, type_) in zip(call.arguments, columns, strict=True)
                ]
                operands = tuple(argument.operand for argument in arguments if argument is not None)
                complete = len(operands) == len(arguments)
                return unconditional(Leaf(ir.Lookup(id_, operands)), known) if complete else self._refused(known)
            case _:
                assert_never(callee)

    def _expanded(self, call: tree.Call, condition: ConditionEntry, known: Facts) -> Checked:
        arguments = {
            name: self._operands.argument(expr, type_, known)
            for expr, (name, type_) in zip(call.arguments, condition.parameters, strict=True)
        }
        with self._operands.expanding(call, arguments):
            return self.condition(condition.decl.body, known)

    def operand(self, expr: tree.Expr, expected: Type, known: Facts) -> Typed | None:
        """`expr` as a value; a literal takes the type `expected` where it can."""
        return self._operands.operand(expr, expected, known)

    # ------------------------------------------------------------ atoms

    def _truth(self, expr: tree.Expr, known: Facts) -> Formula | None:
        value = self._operands.operand(expr, Scalar.BOOL, known)
        if value is None:
            return None
        if value.type != Scalar.BOOL:
            self._operands.report(WrongType(span=expr.span, wanted="a condition", found=f"`{value.type}`"))
            return None
        return holds(ir.Truth(value.operand))

    def _compare(self, expr: tree.Compare, known: Facts) -> Formula | None:
        pair = self._operands.pair(expr.left, expr.right, known)
        if pair is None:
            return None
        left, right = pair
        ordered = expr.op not in {"==", "!="}
        sets = isinstance(left.type, SetType) or isinstance(right.type, SetType)
        unordered = not (isinstance(left.type, IntType) or left.type in {Scalar.TIME, Scalar.DURATION})
        if sets or not same(left.type, right.type) or (ordered and unordered):
            self._operands.differ(expr, expr.op, left, right)
            return None
        match expr.op:
            case "==":
                return _equal(left, right)
            case "!=":
                return negate(_equal(left, right))
            case "<":
                return holds(ir.Compare("lt", left.operand, right.operand))
            case "<=":
                return holds(ir.Compare("le", left.operand, right.operand))
            case ">":
                return holds(ir.Compare("lt", right.operand, left.operand))
            case ">=":
                return holds(ir.Compare("le", right.operand, left.operand))
            case _:
                assert_never(expr.op)

    def _in(self, expr: tree.In, known: Facts) -> Formula | None:
        if is_literal(expr.among):
            item = self._operands.operand(expr.item, None, known)
            among = self._operands.operand(expr.among, None if item is None else _set_of(item.type), known)
        else:
            among = self._operands.operand(expr.among, None, known)
            item = self._operands.operand(expr.item, _element(among), known)
        if item is None or among is None:
            return None
        if not isinstance(among.type, SetType) or not same(item.type, among.type.element):
            self._operands.differ(expr, "in", item, among)
            return None
        formula = holds(ir.Member(item.operand, among.operand))
        return negate(formula) if expr.negated else formula

    def _set_test(self, expr: tree.SetTest, known: Facts) -> Formula | None:
        pair = self._operands.pair(expr.left, expr.right, known)
        if pair is None:
            return None
        left, right = pair
        if not (isinstance(left.type, SetType) and same(left.type, right.type)):
            self._operands.differ(expr, expr.op, left, right)
            return None
        of = ir.Overlap if expr.op == "overlaps" else ir.Cover
        return holds(of(left.operand, right.operand))

    def _like(self, expr: tree.Like, known: Facts) -> Formula | None:
        value = self._operands.operand(expr.operand, None, known)
        pattern = expr.pattern.value
        core = pattern.removeprefix("*").removesuffix("*")
        if not core or "*" in core:
            self._operands.report(BadLike(span=expr.pattern.span, pattern=pattern))
            return None
        if value is None:
            return None
        if value.type != Scalar.STRING:
            self._operands.report(WrongType(span=expr.operand.span, wanted="`string`", found=f"`{value.type}`"))
            return None
        return holds(ir.Like(value.operand, pattern))

    def _is_empty(self, expr: tree.IsEmpty, known: Facts) -> Formula | None:
        value = self._operands.operand(expr.operand, None, known)
        if value is None:
            return None
        if not isinstance(value.type, SetType):
            self._operands.report(WrongType(span=expr.operand.span, wanted="a set", found=f"`{value.type}`"))
            return None
        return holds(ir.Empty(value.operand))


def _both(one: Facts | None, other: Facts | None) -> Facts | None:
    """What holds whichever of two ways was taken; a way that cannot be taken says nothing."""
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _chain(expr: tree.And | tree.Or, of: type[tree.And | tree.Or]) -> list[tree.Expr]:
    """The operands of `a and b and c`, in order; chains lean left and may be long, so no recursion."""
    parts: list[tree.Expr] = []
    left: tree.Expr = expr
    while isinstance(left, tree.And | tree.Or) and type(left) is of:
        parts.append(left.right)
        left = left.left
    parts.append(left)
    return parts[::-1]


def _equal(left: Typed, right: Typed) -> Formula:
    """`left == right`: a constant stands right; a boolean beside a constant is its own truth."""
    if isinstance(left.operand, ir.Const):
        left, right = right, left
    if isinstance(right.operand, ir.Const) and isinstance(right.operand.value, bool):
        truth = holds(ir.Truth(left.operand))
        return truth if right.operand.value else negate(truth)
    return holds(ir.Compare("eq", left.operand, right.operand))


def _set_of(type_: Type) -> Type | None:
    return None if isinstance(type_, SetType) else SetType(type_)


def _element(among: Typed | None) -> Type | None:
    return among.type.element if among is not None and isinstance(among.type, SetType) else None
