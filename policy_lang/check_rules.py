"""One rule in each of its environments: which clauses it has, and what they come to, endpoint by endpoint and kind by
kind.

A bound rule goes in; `CheckedRule` comes out with a variant for each environment in which the rule may apply, and every
mistake. Environments in which everything that the rule reads is declared alike share one variant, so the work grows
with the number of differences, not of endpoints.
INVARIANT: an environment without a variant is one where the rule's own conditions are false for every input.
Source: language.md 2.1 (clauses), 4.2, 4.5, 5.3; contracts.md "Who decided".

Decision: 2026-11-21. `for`, `on` and `because` stand at most once in a rule (E509): two of one read like *or* to some
and like *and* to others.
Decision: 2026-11-21. `within_s` of a need is rounded down to a whole second, the stricter side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, assert_never

from policy_lang import ir, tree
from policy_lang.check_expr import Checker, Factor
from policy_lang.check_operands import NOTHING, Environment, Facts
from policy_lang.check_outcomes import METHOD, Outcomes
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.endpoints import EndpointEntry, place_of
from policy_lang.guards import Formula, negate
from policy_lang.inventory import ConditionEntry, Inventory, KindEntry, ModuleEntry
from policy_lang.mistakes.rules import (
    BadChallenge,
    DutyOnAllow,
    FactorOutOfReach,
    NeedsOutsideRequire,
    NeverApplies,
    NoBecause,
    NoFor,
    NoOn,
    RepeatedClause,
    RequiresNothing,
    UnknownLogWord,
)
from policy_lang.names import Names, walk
from policy_lang.typesystem import Type
from policy_lang.wording import as_written

_CHALLENGE = re.compile(r"[!#-\[\]-~]+")
_LEVELS: Mapping[str, ir.LogLevel] = {"minimal": "minimal", "normal": "normal", "full": "full"}
C = TypeVar("C", tree.ForClause, tree.OnClause, tree.BecauseClause)
_STRENGTH = ("minimal", "normal", "full")


@dataclass(frozen=True, slots=True)
class CheckedClause:
    label: str
    text: str
    formula: Formula


@dataclass(frozen=True, slots=True)
class CheckedNeed:
    text: str
    formula: Formula
    challenge: str
    within_s: int | None


@dataclass(frozen=True, slots=True)
class Variant:
    """A rule as it is in some environments."""

    clauses: tuple[CheckedClause, ...]
    needs: tuple[CheckedNeed, ...]


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """`variants` by endpoint index and kind (None: anonymous). `refused`: some expression had a mistake."""

    rule: ir.Rule
    variants: Mapping[tuple[int, str | None], Variant]
    refused: bool


def check_rule(
    module: ModuleEntry,
    rule: tree.Rule,
    names: Names,
    inventory: Inventory,
    factors: Mapping[tuple[str, str], Factor],
    found: list[Diagnostic],
) -> CheckedRule:
    """Check one rule; mistakes and warnings are appended to `found`."""
    shape = _Shape.of(rule, found)
    conditions = shape.conditions(module)
    needs = [need.need for need in shape.needs]
    reads = _endpoint_reads(
        [*(c.expr for c in conditions), *(n.condition for n in needs if isinstance(n, tree.ConditionNeed))], names
    )
    written_for = "anyone" if shape.for_ is None else as_written(module.module.source, shape.for_.span, "for")
    groups: dict[object, Variant | None] = {}
    refused = False
    outcomes = Outcomes()
    variants: dict[tuple[int, str | None], Variant] = {}
    endpoints = () if shape.on is None else names.targets.get(shape.on.id, ())
    kinds = _admitted(shape.for_, names, inventory)
    for index in endpoints:
        endpoint = inventory.endpoints[index]
        signature = _signature(endpoint, reads)
        for kind in kinds:
            kind_id = None if kind is None else kind.kind.id
            key = (kind_id, signature)
            if key not in groups:
                environment = Environment(kind, endpoint)
                checker = Checker(names, environment, factors, found)
                meeting = _Meeting(checker, environment, rule.effect, outcomes)
                groups[key] = _variant(meeting, written_for, conditions, shape.needs, module)
                refused = refused or checker.refused
            variant = groups[key]
            if variant is not None:
                variants[index, kind_id] = variant
    if not outcomes.applies:
        found.append(NeverApplies(span=rule.name.span, name=rule.name.text))
    found += outcomes.warnings()
    found += [
        FactorOutOfReach(span=need.span, name=need.name.text)
        for need in needs
        if isinstance(need, tree.FactorNeed)
        and not any(kind is not None and need.name.text in kind.factors for kind in kinds)
    ]
    because = "" if shape.because is None else shape.because.text.value
    place = place_of(module.module.source, rule.name.span)
    checked = ir.Rule(f"{module.name}.{rule.name.text}", rule.effect, because, place, shape.log)
    return CheckedRule(checked, variants, refused)


# ---------------------------------------------------------------- the clauses of a rule


@dataclass(frozen=True, slots=True)
class _Condition:
    label: str
    text: str
    expr: tree.Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """The clauses of one rule, sorted out, and what was wrong with them reported."""

    for_: tree.ForClause | None
    on: tree.OnClause | None
    when: tuple[tree.WhenClause, ...]
    needs: tuple[tree.NeedsClause, ...]
    because: tree.BecauseClause | None
    log: ir.LogDuty | None

    @classmethod
    def of(cls, rule: tree.Rule, found: list[Diagnostic]) -> _Shape:
        """Sort the clauses of a rule."""
        when = tuple(clause for clause in rule.clauses if isinstance(clause, tree.WhenClause))
        needs = tuple(clause for clause in rule.clauses if isinstance(clause, tree.NeedsClause))
        must = tuple(clause for clause in rule.clauses if isinstance(clause, tree.MustClause))
        for_ = _once([clause for clause in rule.clauses if isinstance(clause, tree.ForClause)], "for", found)
        on = _once([clause for clause in rule.clauses if isinstance(clause, tree.OnClause)], "on", found)
        because = _once([clause for clause in rule.clauses if isinstance(clause, tree.BecauseClause)], "because", found)
        name = rule.name.text
        if on is None:
            found.append(NoOn(span=rule.name.span, name=name))
        if rule.effect == "allow":
            if for_ is None:
                found.append(NoFor(span=rule.name.span))
            found += [DutyOnAllow(span=clause.span, clause="needs") for clause in needs]
            found += [DutyOnAllow(span=clause.span, clause="must") for clause in must]
        if rule.effect != "require" and (because is None or not because.text.value.strip()):
            found.append(NoBecause(span=rule.name.span, name=name))
        if rule.effect == "deny":
            found += [NeedsOutsideRequire(span=clause.span) for clause in needs]
        if rule.effect == "require" and not needs and not must:
            found.append(RequiresNothing(span=rule.name.span, name=name))
        found += [
            BadChallenge(span=clause.need.challenge.span, challenge=clause.need.challenge.value)
            for clause in needs
            if isinstance(clause.need, tree.ConditionNeed) and not _CHALLENGE.fullmatch(clause.need.challenge.value)
        ]
        return cls(for_, on, when, needs, because, _log(must, found))

    def conditions(self, module: ModuleEntry) -> list[_Condition]:
        """The `when` and `unless` clauses, numbered from 1 in one row."""
        source = module.module.source
        return [
            _Condition(
                f"{'unless' if clause.negated else 'when'} {number}",
                as_written(source, clause.span, "when", "unless"),
                clause.condition,
                clause.negated,
            )
            for number, clause in enumerate(self.when, 1)
        ]


def _once(clauses: list[C], word: str, found: list[Diagnostic]) -> C | None:
    found += [
        RepeatedClause(span=again.span, clause=word, others=(Label(clauses[0].span, "the first"),))
        for again in clauses[1:]
    ]
    return clauses[0] if clauses else None


def _log(must: Iterable[tree.MustClause], found: list[Diagnostic]) -> ir.LogDuty | None:
    """The strongest of what the clauses ask for."""
    duties = [duty for clause in must if (duty := log_duty(clause.obligation, found)) is not None]
    if not duties:
        return None
    level = max((duty.level for duty in duties), key=_STRENGTH.index)
    return ir.LogDuty(level, any(duty.strict for duty in duties))


def log_duty(written: tree.LogObligation, found: list[Diagnostic]) -> ir.LogDuty | None:
    """What `log LEVEL [strict]` asks for; None, with a mistake, where it is no such words."""
    level = _LEVELS.get(written.level.text)
    if level is None:
        found.append(UnknownLogWord(span=written.level.span, word=written.level.text))
    if written.mode is not None and written.mode.text != "strict":
        found.append(UnknownLogWord(span=written.mode.span, word=written.mode.text))
        return None
    return None if level is None else ir.LogDuty(level, written.mode is not None)


# ---------------------------------------------------------------- environments


def _admitted(for_: tree.ForClause | None, names: Names, inventory: Inventory) -> list[KindEntry | None]:
    """The kinds of principal that a `for` clause lets in; without one, and with `anyone`, all and none."""
    if for_ is None or any(isinstance(subject, tree.Anyone) for subject in for_.subjects):
        return [*inventory.kinds, None]
    admitted = {names.kinds.get(subject.id) for subject in for_.subjects}
    return [kind for kind in inventory.kinds if kind.kind.id in admitted]


Signature = tuple[tuple[tuple[Type, bool] | None, ...], tuple[frozenset[str], bool] | None]
"""What sets apart endpoints for a rule: the types of what it reads, and the methods where it reads the method."""


def _endpoint_reads(exprs: Iterable[tree.Expr], names: Names) -> tuple[ir.Attr, ...]:
    """What expressions read that differs from endpoint to endpoint, in their conditions too."""
    todo = list(exprs)
    seen: set[tree.NodeId] = set()
    reads: dict[ir.Attr, None] = {}
    while todo:
        for node in walk(todo.pop()):
            bound = names.inputs.get(node.id)
            if isinstance(bound, ir.Attr) and (bound.root in {"path", "query"} or bound == METHOD):
                reads[bound] = None
            callee = names.calls.get(node.id)
            if isinstance(callee, ConditionEntry) and callee.decl.id not in seen:
                seen.add(callee.decl.id)
                todo.append(callee.decl.body)
    return tuple(reads)


def _signature(endpoint: EndpointEntry, reads: tuple[ir.Attr, ...]) -> Signature:
    environment = Environment(None, endpoint)
    slots = (environment.slot(attr) for attr in reads)
    methods = (endpoint.methods, endpoint.follows) if METHOD in reads else None
    return tuple(None if slot is None else (slot.type, slot.optional) for slot in slots), methods


@dataclass(frozen=True, slots=True)
class _Meeting:
    """A rule of this effect in one environment, and where its outcomes are taken down."""

    checker: Checker
    environment: Environment
    effect: ir.Effect
    outcomes: Outcomes


def _variant(
    here: _Meeting,
    written_for: str,
    conditions: list[_Condition],
    needs: tuple[tree.NeedsClause, ...],
    module: ModuleEntry,
) -> Variant | None:
    """The rule in one environment; None where its conditions cannot all be true there."""
    clauses = [CheckedClause("for", written_for, formula=True)]
    known: Facts = NOTHING
    for condition in conditions:
        checked = here.checker.condition(condition.expr, known)
        formula = negate(checked.formula) if condition.negated else checked.formula
        proved = checked.when_false if condition.negated else checked.when_true
        here.outcomes.clause(condition.expr, formula, here.effect, here.environment)
        if proved is None:
            return None
        known = proved
        clauses.append(CheckedClause(condition.label, condition.text, formula))
    here.outcomes.together(tuple(clause.formula for clause in clauses), here.environment)
    return Variant(tuple(clauses), tuple(_need(here, need, known, module) for need in needs))


def _need(here: _Meeting, clause: tree.NeedsClause, known: Facts, module: ModuleEntry) -> CheckedNeed:
    need = clause.need
    text = as_written(module.module.source, clause.span, "needs")
    match need:
        case tree.FactorNeed(name=name, within_ms=within_ms):
            formula = here.checker.factor(name.text, within_ms, known).formula
            return CheckedNeed(text, formula, name.text, None if within_ms is None else within_ms // 1000)
        case tree.ConditionNeed(condition=condition, challenge=challenge):
            formula = here.checker.condition(condition, known).formula
            here.outcomes.need(condition, formula, here.environment)
            return CheckedNeed(text, formula, challenge.value, None)
        case _:
            assert_never(need)
