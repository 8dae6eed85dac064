"""One expression in one environment: its types, what it may read, and the formula it stands for.

An environment is one endpoint with one kind of principal. The judgement is `known |- e : formula > (when_true,
when_false)`: `known` are the optional inputs proved present where e stands, the other two those proved after e came out
true or false, None where it cannot come out so. `and` checks its right side with what its left side proves when true,
`or` when false, `not` swaps. A place that cannot be reached in this environment is not checked there.
INVARIANT: a formula without mistakes reads no input that may be missing where it is read, and compares values of one
type only; so what is unknown at run time comes from data that is not at hand, never from the policy.
Source: language.md 4.1, 4.2, 6.5.

Decision: 2026-11-21. Checking and building are one walk: what was checked is what is evaluated, and nothing folds in
one phase that does not in the other.
Decision: 2026-11-21. `token has c` is false, no mistake, for kinds without the claim and for anonymous callers; a
factor and a role are false for kinds without them. All are true statements about such a caller.
Decision: 2026-11-21. `role r` asks whether the role claim overlaps the values that give r or a role that includes it;
it is false where no claim gives roles, and for an optional claim true only where that is present.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.comparisons import comparable, compared
from policy_lang.checking.environment import NOTHING, Bound, Environment, Facts
from policy_lang.checking.expansions import expansion_key
from policy_lang.checking.guards import Formula, Leaf, every, holds, negate, some
from policy_lang.checking.lookups import lookup
from policy_lang.checking.memory import Expansion, ExpansionKey
from policy_lang.checking.operands import Argument, Operands
from policy_lang.checking.written import may_be_one
from policy_lang.declared.entries import ConditionEntry, Fixed, Names, RelationEntry, TagRead
from policy_lang.declared.foreign_patterns import like_hint
from policy_lang.declared.literals_typed import Typed, is_literal
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.types import BadLike, MissingHere, TypesDiffer, WrongType
from policy_lang.typesystem import EnumType, RoleType, Scalar, SetType, Type, same

MOST_ORDERED = 128
"""Values of an enum by whose order two inputs may be compared: half of what one call may look at (check_cost)."""


class Checked(Struct, frozen=True):
    """A formula and what it proves present, by its outcome; None: it cannot come out so."""

    formula: Formula
    when_true: Facts | None
    when_false: Facts | None


def unconditional(formula: Formula, known: Facts, gained: Facts = NOTHING) -> Checked:
    """A leaf of the judgement: what it proves when true is `gained`."""
    when_true = None if formula is False else known | gained
    return Checked(formula, when_true, None if formula is True else known)


def either(parts: Sequence[Checked], known: Facts) -> Checked:
    """One of alternatives, each checked where only `known` is proved."""
    when_true: Facts | None = None
    for part in parts:
        when_true = _both(when_true, part.when_true)
    formula = some(tuple(part.formula for part in parts))
    return Checked(formula, when_true, None if formula is True else known)


class Checker:
    """Checks the expressions of one module in one environment.

    `refused` is set by the first mistake, for good: what came out since stands for nothing.
    """

    def __init__(self, bound: Bound, module: str, environment: Environment, found: list[Diagnostic]) -> None:
        self.environment = environment
        self.refused = False
        self._bound = bound
        self._operands = Operands(bound, module, environment, found)

    @property
    def names(self) -> Names:
        """The bindings of the module in which the walk is."""
        return self._operands.names

    # ------------------------------------------------------------ conditions

    def condition(self, expr: tree.Expr, known: Facts) -> Checked:
        """`expr` as a condition, where the inputs of `known` are present."""
        fits = self._operands.enter(expr)
        try:
            checked = self._condition(expr, known) if fits else self.refuse(known)
        finally:
            self._operands.leave()
        if may_be_one(expr, checked.formula):
            self._operands.wrote(expr, checked.formula)
        return checked

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
            case tree.HasFactor():
                return self._has_factor(expr, known)
            case tree.HasRole(name=name):
                return self.role(name, known)
            case tree.Call():
                return self._call(expr, expr.arguments, known)
            case tree.Ref() if self._operands.callee(expr) is not None:
                return self._call(expr, (), known)
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
        return self.refuse(known) if formula is None else unconditional(formula, known)

    def refuse(self, known: Facts) -> Checked:
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
        asked = self.names.inputs.get(expr.id)
        if isinstance(asked, TagRead):
            return unconditional(self.environment.tag(asked) is not None, known)
        if not isinstance(asked, ir.Attr):
            return self.refuse(known)
        slot = self.environment.slot(asked)
        if slot is None or not slot.optional:
            return unconditional(slot is not None, known)
        return unconditional(Leaf(ir.Has(asked)), known, frozenset((asked,)))

    def _is_kind(self, expr: tree.IsKind, known: Facts) -> Checked:
        wanted = self.names.kinds.get(expr.id)
        if wanted is None:
            return self.refuse(known)
        kind = self.environment.kind
        return unconditional(kind is not None and kind.kind.id == wanted, known)

    # ------------------------------------------------------------ roles and factors

    def role(self, name: tree.Name, known: Facts) -> Checked:
        """Whether a claim of the caller gives the role."""
        role, kind = self.names.roles.get(name.id), self.environment.kind
        if role is None:
            return self.refuse(known)
        if kind is None or kind.kind.id != role.kind or kind.role_source is None:
            return unconditional(formula=False, known=known)
        slot = self.environment.slot(kind.role_source)
        if slot is None:
            return self.refuse(known)
        among = ir.Const(role.values)
        several = isinstance(slot.type, SetType)
        given = holds(ir.Overlap(kind.role_source, among) if several else ir.Member(kind.role_source, among))
        if not slot.optional:
            return unconditional(given, known)
        return unconditional(every((Leaf(ir.Has(kind.role_source)), given)), known, frozenset((kind.role_source,)))

    def _has_factor(self, expr: tree.HasFactor, known: Facts) -> Checked:
        if self.environment.endpoint is not None:
            return self.factor(expr.name.text, self.within_ms(expr.within), known)
        remedy = "say it again in this one's own `when`"
        missing = MissingHere(span=expr.span, name=f"factor {expr.name.text}", where="in a factor", remedy=remedy)
        self._operands.report(missing)
        return self.refuse(known)

    def within_ms(self, written: tree.DurationLit | tree.Name | None) -> int | None:
        """What stands behind the `within` of a factor; None, too, of a setting whose mistake was reported."""
        if not isinstance(written, tree.Name):
            return None if written is None else written.milliseconds
        setting = self.names.inputs.get(written.id)
        if isinstance(setting, Fixed) and isinstance(setting.value, int):
            return setting.value
        self.refused = True
        return None

    def factor(self, name: str, within_ms: int | None, known: Facts) -> Checked:
        """Whether the caller has proved the factor `name`, within `within_ms` where that is given."""
        kind = self.environment.kind
        factor = None if kind is None else self._bound.factors.get((kind.kind.id, name))
        if factor is None:
            return unconditional(formula=False, known=known)
        if factor.at is None:
            return self.refuse(known)
        return unconditional(every((factor.when, Leaf(ir.Age(factor.at, within_ms)))), known, factor.proves)

    # ------------------------------------------------------------ calls

    def _call(self, call: tree.Call | tree.Ref, arguments: tuple[tree.Expr, ...], known: Facts) -> Checked:
        callee = self._operands.callee(call)
        match callee:
            case None:
                return self.refuse(known)
            case ConditionEntry():
                return self._expanded(call, callee, arguments, known)
            case RelationEntry():
                return self._settled(lookup(self._operands, call, callee, arguments, known), known)
            case _:
                assert_never(callee)

    def _expanded(
        self, call: tree.Expr, condition: ConditionEntry, arguments: tuple[tree.Expr, ...], known: Facts
    ) -> Checked:
        if self._operands.known_too_large(condition):
            return self.refuse(known)
        given: dict[str, Argument | None] = {
            name: self._operands.role(expr)
            if isinstance(type_, RoleType)
            else self._operands.argument(expr, type_, known)
            for expr, (name, type_) in zip(arguments, condition.parameters, strict=True)
        }
        self.refused = self.refused or None in given.values()
        with self._operands.expanding(call, condition, given):
            return self._body(
                call, condition, expansion_key(condition, given, known, self.environment, self._bound), known
            )

    def _body(self, call: tree.Expr, condition: ConditionEntry, key: ExpansionKey | None, known: Facts) -> Checked:
        """What a condition stands for, worked out once for all the places that are alike to it."""
        kept = None if key is None else self._bound.memory.expansions.get(key)
        if kept is not None:
            if not self._operands.again(call, kept):
                return self.refuse(known)
            self.refused = self.refused or kept.refused
            return Checked(kept.formula, kept.when_true, kept.when_false)
        refused, self.refused = self.refused, False
        mark = self._operands.mark()
        checked = self.condition(condition.decl.body, known)
        size = self._operands.since(mark)
        if key is not None and size is not None:
            self._bound.memory.expansions[key] = Expansion(
                checked.formula, checked.when_true, checked.when_false, self.refused, *size
            )
        self.refused = self.refused or refused
        return checked

    # ------------------------------------------------------------ atoms

    def operand(self, expr: tree.Expr, expected: Type | None, known: Facts) -> Typed | None:
        """`expr` as a value; a literal takes the type `expected` where it can."""
        return self._operands.operand(expr, expected, known)

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
        if not comparable(left.type, expr.op, right.type):
            self._operands.differ(expr, expr.op, left, right)
            return None
        if isinstance(left.type, EnumType) and expr.op not in {"==", "!="} and not self._fits(expr, left, right):
            return None
        return compared(left, expr.op, right)

    def _fits(self, expr: tree.Expr, left: Typed, right: Typed) -> bool:
        """Whether the order of an enum is asked for within the limits; a mistake is reported where not."""
        size = len(left.type.values) if isinstance(left.type, EnumType) else 0
        if size > MOST_ORDERED and not isinstance(left.operand, ir.Const) and not isinstance(right.operand, ir.Const):
            self._operands.too_large(expr, f"two inputs are compared by the order of {size} values")
            return False
        return self._operands.spend(expr, size // MOST_ORDERED)

    def _in(self, expr: tree.In, known: Facts) -> Formula | None:
        network = self._operands.is_network(expr.among)
        formula = self._in_network(expr, known) if network else self._member(expr, known)
        return negate(formula) if expr.negated and formula is not None else formula

    def _in_network(self, expr: tree.In, known: Facts) -> Formula | None:
        network = self._operands.network(expr.among)
        item = self._operands.operand(expr.item, Scalar.IP, known)
        if item is None or network is None:
            return None
        if item.type != Scalar.IP:
            self._operands.report(TypesDiffer(span=expr.span, form="in", left=f"`{item.type}`", right="a network"))
            return None
        return holds(ir.InNetwork(item.operand, *network))

    def _member(self, expr: tree.In, known: Facts) -> Formula | None:
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
        return holds(ir.Member(item.operand, among.operand))

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
        if not core or "*" in core or core == pattern:
            self._operands.report(BadLike(span=expr.pattern.span, pattern=pattern, hint=like_hint(pattern)))
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


def _set_of(type_: Type) -> Type | None:
    return None if isinstance(type_, SetType) else SetType(type_)


def _element(among: Typed | None) -> Type | None:
    return among.type.element if among is not None and isinstance(among.type, SetType) else None
