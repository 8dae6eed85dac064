"""One rule in each of its environments: which clauses it has, and what they come to, endpoint by endpoint and kind by
kind.

A bound rule goes in; `CheckedRule` comes out with a variant for each group of environments in which the rule may apply,
and every mistake. Environments in which everything that the rule reads is declared alike share one variant.
INVARIANT: an environment without a variant is one where the rule's own conditions are false for every input.
INVARIANT: the clauses of a variant stand in the order `for`, `until`, then `when` and `unless` as written.
Source: language.md 2.1 (clauses), 4.2, 4.5, 5.2, 5.3; contracts.md "Who decided".

Decision: 2026-11-21. `within_s` of a need is rounded down to a whole second, the stricter side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.duties import Duties, duties_here, duties_of
from policy_lang.checking.environment import Bound, Environment, Facts
from policy_lang.checking.expressions import Checked, Checker
from policy_lang.checking.for_clause import for_clause
from policy_lang.checking.groups import Group, groups, reads_of
from policy_lang.checking.guards import Formula, holds, negate
from policy_lang.checking.memory import Indices, Reads
from policy_lang.checking.missing import Reach
from policy_lang.checking.outcomes import Outcomes
from policy_lang.checking.shape import Condition, Shape, shape_of_rule
from policy_lang.checking.spending import Spending
from policy_lang.declared.endpoints import place_of
from policy_lang.declared.entries import ModuleEntry
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.rules import ClosedEndpoint, NeverApplies, NoTokenToReplace
from policy_lang.source import Source
from policy_lang.wording import as_written


class CheckedClause(Struct, frozen=True):
    label: str
    text: str
    formula: Formula


class CheckedNeed(Struct, frozen=True):
    text: str
    formula: Formula
    challenge: str
    within_s: int | None


class Variant(Struct, frozen=True):
    """A rule as it is in some environments."""

    clauses: tuple[CheckedClause, ...]
    needs: tuple[CheckedNeed, ...]
    must: tuple[ir.Obligation, ...]
    should: tuple[ir.Obligation, ...]


Extent = tuple[Indices, tuple[str | None, ...]]
"""Endpoints and kinds, each with each. Many rules have one, so cells are filled from extents and not from rules."""


class Placed(Struct, frozen=True):
    """A variant and where it holds: each of these endpoints (by index) with each of these kinds (None: nobody)."""

    endpoints: Indices
    kinds: tuple[str | None, ...]
    variant: Variant

    @property
    def extent(self) -> Extent:
        """Where it holds."""
        return self.endpoints, self.kinds


class CheckedRule(Struct, frozen=True):
    """A rule and its variants; no environment is in two. `refused`: some expression had a mistake.

    `signals` are the ids of the signals that it reads.
    """

    rule: ir.Rule
    decl: tree.Rule
    placed: tuple[Placed, ...]
    signals: tuple[str, ...]
    refused: bool


def check_rule(module: ModuleEntry, rule: tree.Rule, bound: Bound, found: list[Diagnostic]) -> CheckedRule:
    """Check one rule; mistakes and warnings are appended to `found`."""
    source = module.module.source
    shape = shape_of_rule(rule, source, found)
    endpoints = () if shape.on is None else bound.names[module.name].targets.get(shape.on.id, ())
    here = _Meeting(rule, shape, duties_of(rule, found), endpoints, source, Outcomes(), set(), {})
    if rule.effect == "allow" and shape.on is not None:
        found += closed_ones(shape.on, endpoints, bound)
    placed: tuple[Placed, ...] = ()
    signals: tuple[str, ...] = ()
    refused = True
    if not bound.memory.stopped:
        factors = [name.text for name in shape.factors()]
        reads = reads_of(module.name, [*shape.exprs(), *here.duties.values()], shape.for_, factors, bound)
        placed, refused = _placed(here, module, reads, bound, found)
        signals = reads.signals
    if not bound.memory.stopped:
        found += _of_the_whole(here, bound)
    because = "" if shape.because is None else shape.because.text.value
    id_ = f"{module.name}.{rule.name.text}"
    checked = ir.Rule(id_, rule.effect, because, place_of(source, rule.name.span), rule.shadow)
    return CheckedRule(checked, rule, placed, signals, refused)


def _placed(
    here: _Meeting, module: ModuleEntry, reads: Reads, bound: Bound, found: list[Diagnostic]
) -> tuple[tuple[Placed, ...], bool]:
    """What the rule is wherever it may apply, and whether an expression of it had a mistake, or it is too much."""
    placed: list[Placed] = []
    refused = False
    reach = Reach(here.shape, here.endpoints, bound.inventory.endpoints, set())
    spending = Spending(here.rule.name, bound.memory)
    for group in groups(here.endpoints, reads, bound):
        passed_over = here.passes_over(group)
        if not spending.meets(found, passed_over=passed_over):
            refused = True
            break
        if passed_over:
            continue
        checker = checker_of(module, group, bound, found)
        before = len(found)
        variant = _variant(here, here.admits(group, checker), checker, found)
        reach.complete(found, before, checker.environment)
        refused = refused or checker.refused
        if variant is not None:
            placed.append(Placed(group.endpoints, _ids(group), variant))
    spending.end()
    return tuple(placed), refused


def checker_of(module: ModuleEntry, group: Group, bound: Bound, found: list[Diagnostic]) -> Checker:
    """A checker for a group of environments, which are alike: in the first of them."""
    environment = Environment(group.kinds[0], bound.inventory.endpoints[group.endpoints[0]], bound.signals)
    return Checker(bound, module.name, environment, found)


def _ids(group: Group) -> tuple[str | None, ...]:
    return tuple(None if kind is None else kind.kind.id for kind in group.kinds)


class _Meeting(Struct, frozen=True):
    """A rule on its way through its environments; its outcomes and the kinds it is for are taken down.

    `for_` is what its `for` clause came to by the tuple of kinds, which lives as long as the bundle: it asks nothing of
    the endpoint.
    """

    rule: tree.Rule
    shape: Shape
    duties: Duties
    endpoints: Indices
    source: Source
    outcomes: Outcomes
    admitted: set[str | None]
    for_: dict[int, Checked]

    def admits(self, group: Group, checker: Checker) -> Checked:
        """What the `for` clause asks of the callers of a group."""
        known = self.for_.get(id(group.kinds))
        if known is None:
            known = self.for_[id(group.kinds)] = for_clause(self.shape.for_, checker)
            if known.when_true is not None:
                self.admitted.update(_ids(group))
        return known

    def passes_over(self, group: Group) -> bool:
        """Whether the callers of a group are known not to be meant."""
        known = self.for_.get(id(group.kinds))
        return known is not None and known.when_true is None


def closed_ones(on: tree.OnClause, endpoints: Indices, bound: Bound) -> Iterator[Diagnostic]:
    """The mistake of granting on an endpoint that is for nobody; the first one is named."""
    first = next((index for index in endpoints if index in bound.closed), None) if bound.closed else None
    if first is not None:
        closed = bound.inventory.endpoints[first]
        others = (Label(closed.decl.name.span, "closed here"),)
        yield ClosedEndpoint(span=on.span, endpoint=closed.endpoint.id, others=others)


def _of_the_whole(here: _Meeting, bound: Bound) -> Iterator[Diagnostic]:
    """What is said of a rule once all its environments are known."""
    name_of = here.rule.name
    if not here.outcomes.applies:
        yield NeverApplies(span=name_of.span, name=name_of.text)
    yield from here.outcomes.warnings()
    if not here.admitted:
        return
    able = [kind for kind in bound.inventory.kinds if kind.kind.id in here.admitted]
    if here.duties.issue_tokens() and not any(kind.kind.form == "token" for kind in able):
        yield NoTokenToReplace(span=name_of.span)


# ---------------------------------------------------------------- one environment


def _variant(here: _Meeting, admitted: Checked, checker: Checker, found: list[Diagnostic]) -> Variant | None:
    """The rule where callers are `admitted` so; None where its conditions cannot all be true."""
    shape = here.shape
    if admitted.when_true is None:
        return None
    clauses = [CheckedClause("for", shape.for_text, admitted.formula)]
    if shape.until is not None:
        end = ir.Const(shape.until.at.milliseconds)
        text = as_written(here.source, shape.until.span, "until")
        clauses.append(CheckedClause("until", text, holds(ir.Compare("lt", ir.Now(), end))))
    settled = [admitted.formula]
    known = admitted.when_true
    for condition in shape.conditions:
        clause, proved = checked_condition(condition, checker, known)
        settled.append(here.outcomes.clause(condition, clause.formula, here.rule.effect, checker.environment))
        if proved is None:
            return None
        known = proved
        clauses.append(clause)
    here.outcomes.together(tuple(settled))
    return Variant(
        tuple(clauses),
        tuple(_need(here, checker, need, known) for need in shape.needs),
        duties_here(here.duties.must, checker, known, found),
        duties_here(here.duties.should, checker, known, found),
    )


def checked_condition(condition: Condition, checker: Checker, known: Facts) -> tuple[CheckedClause, Facts | None]:
    """A `when` or an `unless` as what must hold, and what that proves; None where it cannot hold."""
    checked = checker.condition(condition.expr, known)
    if condition.negated:
        return CheckedClause(condition.label, condition.text, negate(checked.formula)), checked.when_false
    return CheckedClause(condition.label, condition.text, checked.formula), checked.when_true


def _need(here: _Meeting, checker: Checker, clause: tree.NeedsClause, known: Facts) -> CheckedNeed:
    need = clause.need
    text = as_written(here.source, clause.span, "needs")
    match need:
        case tree.FactorNeed(name=name, within=within):
            within_ms = checker.within_ms(within)
            formula = checker.factor(name.text, within_ms, known).formula
            return CheckedNeed(text, formula, name.text, None if within_ms is None else max(1, within_ms // 1000))
        case tree.ConditionNeed(condition=condition, challenge=challenge):
            formula = checker.condition(condition, known).formula
            here.outcomes.need(condition, formula, checker.environment)
            return CheckedNeed(text, formula, challenge.value, None)
        case _:
            assert_never(need)
