"""What the conditions of one rule came to: always the same, or silent about calls they seem to speak of. Warnings only.

The formula of each condition goes in, environment by environment; warnings come out at the end. Nothing here has a part
in what a rule means: what always comes out one way is evaluated like the rest, since an input may be unknown.
Source: language.md 4.5, point L.

Decision: 2026-11-21. HEAD follows GET to an endpoint, so a condition that asks for GET there lets HEAD by: in a deny or
a require whose clause is then false, in an allow or a need whose clause is then true (W818). A condition that names
HEAD, too, is taken to mean it.
Decision: 2026-11-21. A method that no endpoint of the rule takes is warned of (W819) where it stands alone, or among
others of which none is taken; in a list of which some are taken only where nobody can send it, as `get`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct, field

from policy_lang import ir, tree
from policy_lang.addresses import HIGHEST
from policy_lang.checking.environment import METHOD, Environment
from policy_lang.checking.guards import Every, Formula, Leaf, Some, every, holds, leaves, negate, some
from policy_lang.checking.shape import Condition
from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.walking import walk
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.rules import (
    AlwaysExempts,
    AlwaysFalse,
    AlwaysTrue,
    HeadComesToo,
    MethodNeverComes,
    NeverExempts,
)
from policy_lang.typesystem import INT_MAX, INT_MIN, EnumType, IntType

# RFC 9110 5.6.2, without lower case: methods have a case, and none in use has such a letter.
_METHOD_WORD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]+")


class _Seen(Struct):
    """One condition. `came_to` by environment; `methods`: what comparisons name, and what of it some call may have."""

    expr: tree.Expr
    came_to: set[bool | None] = field(default_factory=set)
    methods: dict[frozenset[str], set[str]] = field(default_factory=dict)
    let_by: str = ""
    negated: bool = False


class Outcomes:
    """Takes down the conditions of one rule. `applies`: in some environment the clauses do not exclude each other."""

    def __init__(self) -> None:
        self._seen: dict[tree.NodeId, _Seen] = {}
        self.applies = False

    def clause(self, condition: Condition, formula: Formula, effect: ir.Effect, environment: Environment) -> Formula:
        """Take down a `when` or an `unless`, as the formula that must hold; what it is when settled comes back."""
        seen = self._seen.setdefault(condition.expr.id, _Seen(condition.expr, negated=condition.negated))
        return _take(seen, formula, environment, grants=effect == "allow")

    def need(self, expr: tree.Expr, formula: Formula, environment: Environment) -> None:
        """Take down the expression of a `needs`: like an allow, it opens where it is true."""
        _take(self._seen.setdefault(expr.id, _Seen(expr)), formula, environment, grants=True)

    def together(self, formulas: tuple[Formula, ...]) -> None:
        """Take down all the clauses of the rule in one environment, settled."""
        self.applies = self.applies or _unless_opposed(every(formulas)) is not False

    def warnings(self) -> list[Diagnostic]:
        """What is hardly meant, condition by condition."""
        found: list[Diagnostic] = []
        for seen in self._seen.values():
            found += always_warnings(seen.expr, seen.came_to, negated=seen.negated)
            literals = _literals(seen.expr) if seen.methods else {}
            if seen.let_by:
                found.append(HeadComesToo(span=literals.get("GET", seen.expr).span, endpoint=seen.let_by))
            never = {
                name
                for named, coming in seen.methods.items()
                for name in named - coming
                if not coming or not _METHOD_WORD.fullmatch(name)
            }
            found += [MethodNeverComes(span=literals.get(name, seen.expr).span, method=name) for name in sorted(never)]
        return found


def _take(seen: _Seen, formula: Formula, environment: Environment, *, grants: bool) -> Formula:
    """Take down what a condition comes to in one environment; what it is when settled comes back."""
    outcome = settled(formula, environment)
    seen.came_to.add(outcome if isinstance(outcome, bool) else None)
    endpoint = environment.endpoint
    asking = [leaf for leaf in leaves(formula) if _atom_at(leaf.atom, "GET") is not None]
    if endpoint is None or not asking:
        return outcome
    for named in (_named(leaf.atom) for leaf in asking):
        seen.methods.setdefault(named, set()).update(name for name in named if _may_come(name, endpoint))
    if endpoint.follows and _lets_head_by(formula, asking, grants=grants):
        seen.let_by = seen.let_by or endpoint.endpoint.id
    return outcome


def always_warnings(expr: tree.Expr, came_to: set[bool | None], *, negated: bool = False) -> list[Diagnostic]:
    """The warning for what came to the same in every environment that reached it, if it did.

    `negated`: the expression stands behind `unless`, and what came of it is that of the clause.
    """
    if came_to == {True}:
        return [NeverExempts(span=expr.span) if negated else AlwaysTrue(span=expr.span)]
    if came_to == {False}:
        return [AlwaysExempts(span=expr.span) if negated else AlwaysFalse(span=expr.span)]
    return []


def _literals(expr: tree.Expr) -> Mapping[str, tree.Expr]:
    """Where each string first stands in an expression; one that came in by a condition does not."""
    found: dict[str, tree.Expr] = {}
    for node in walk(expr):
        if isinstance(node, tree.StringLit):
            found.setdefault(node.value, node)
    return found


# ---------------------------------------------------------------- always the same


def settled(formula: Formula, environment: Environment) -> Formula:
    """The formula without what comes out the same for every value its inputs may have."""
    match formula:
        case bool():
            return formula
        case Leaf(atom, negated):
            truth = _fixed(atom, environment)
            return formula if truth is None else truth != negated
        case Every(parts):
            return _unless_opposed(every(tuple(settled(part, environment) for part in parts)))
        case Some(parts):
            return _unless_opposed(some(tuple(settled(part, environment) for part in parts)))
        case _:
            assert_never(formula)


def _unless_opposed(formula: Formula) -> Formula:
    """False for a conjunction that holds an atom and its negation, true for such a disjunction."""
    if not isinstance(formula, Every | Some):
        return formula
    leaves = {part for part in formula.parts if isinstance(part, Leaf)}
    opposed = any(Leaf(leaf.atom, not leaf.negated) in leaves for leaf in leaves)
    return isinstance(formula, Some) if opposed else formula


def _fixed(atom: ir.Atom, environment: Environment) -> bool | None:
    match atom:
        case ir.Compare(op, left, right) if left == right:
            return op != "lt"
        case ir.Compare(op, left, right):
            return _ordered(op, _bounds(left, environment), _bounds(right, environment))
        case ir.Member(_, ir.Const(among)) if among == frozenset():
            return False
        case ir.Member(ir.Attr() as item, ir.Const(frozenset() as among)):
            return _among_values(item, among, environment)
        case ir.InNetwork(_, _, ranges) if not ranges or ranges == _EVERYWHERE:
            return bool(ranges)
        case ir.Overlap(left, right) if ir.Const(frozenset()) in (left, right):
            return False
        case ir.Cover(left, right) if right in (left, ir.Const(frozenset())):
            return True
        case _:
            return None


def _among_values(item: ir.Attr, among: frozenset[ir.ScalarValue], environment: Environment) -> bool | None:
    """Whether an input is among some values, where those are all the values of its enum."""
    slot = environment.slot(item)
    whole = slot is not None and isinstance(slot.type, EnumType) and among.issuperset(slot.type.values)
    return True if whole else None


_EVERYWHERE = ((0, HIGHEST),)

Bounds = tuple[int, int] | None


def _bounds(operand: ir.Operand, environment: Environment) -> Bounds:
    """The least and the greatest value of an integer; None of anything else."""
    if isinstance(operand, ir.Attr):
        slot = environment.slot(operand)
        if slot is not None and isinstance(slot.type, IntType):
            lowest, highest = slot.type.lowest, slot.type.highest
            return (INT_MIN if lowest is None else lowest, INT_MAX if highest is None else highest)
    if isinstance(operand, ir.Const) and isinstance(operand.value, int):
        return (operand.value, operand.value)
    return None


def _ordered(op: str, left: Bounds, right: Bounds) -> bool | None:
    """The outcome of a comparison that the ranges of its sides decide."""
    if left is None or right is None:
        return None
    match op:
        case "lt":
            return True if left[1] < right[0] else False if left[0] >= right[1] else None
        case "le":
            return True if left[1] <= right[0] else False if left[0] > right[1] else None
        case _:
            return False if left[1] < right[0] or right[1] < left[0] else None


# ---------------------------------------------------------------- methods


def _named(atom: ir.Atom) -> frozenset[str]:
    """The methods that an atom compares the call's with."""
    match atom:
        case ir.Compare("eq", left, ir.Const(str() as value)) if left == METHOD:
            return frozenset((value,))
        case ir.Member(item, ir.Const(frozenset() as among)) if item == METHOD:
            return frozenset(value for value in among if isinstance(value, str))
        case _:
            return frozenset()


def _may_come(method: str, endpoint: EndpointEntry) -> bool:
    taken = endpoint.methods
    return method in taken or ("ANY" in taken and _METHOD_WORD.fullmatch(method) is not None)


def _at(formula: Formula, method: str) -> Formula:
    """What is left of a formula for calls by one method."""
    match formula:
        case bool():
            return formula
        case Leaf(atom, negated):
            at = _atom_at(atom, method)
            return formula if at is None else negate(holds(at)) if negated else holds(at)
        case Every(parts):
            return every(tuple(_at(part, method) for part in parts))
        case Some(parts):
            return some(tuple(_at(part, method) for part in parts))
        case _:
            assert_never(formula)


def _atom_at(atom: ir.Atom, method: str) -> ir.Atom | None:
    """An atom about nothing but the method, with the method in its place; None of any other."""
    match atom:
        case ir.Compare("eq", left, ir.Const() as right) if left == METHOD:
            return ir.Compare("eq", ir.Const(method), right)
        case ir.Member(item, ir.Const() as among) if item == METHOD:
            return ir.Member(ir.Const(method), among)
        case ir.Like(of, pattern) if of == METHOD:
            return ir.Like(ir.Const(method), pattern)
        case _:
            return None


def _lets_head_by(formula: Formula, asking: list[Leaf], *, grants: bool) -> bool:
    """Whether a condition, part of which is `asking` for the method, comes out better for HEAD than for GET."""
    if _at(formula, "GET") == _at(formula, "HEAD"):
        return False
    return any(
        (_at(leaf, "GET"), _at(leaf, "HEAD")) == (not grants, grants)
        for leaf in asking
        if "HEAD" not in _named(leaf.atom)
    )
