"""The whole bundle checked: factors, every rule, and what is legal but hardly meant.

Inventory and bindings go in; `CheckedPolicy` comes out, from which `lower` makes a program if no mistake was found.
Source: language.md 4.2, 4.5, 4.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policy_lang import ir, tree
from policy_lang.check_expr import Checker, Factor
from policy_lang.check_operands import NOTHING, Environment
from policy_lang.check_outcomes import always_warnings, settled
from policy_lang.check_rules import CheckedRule, check_rule
from policy_lang.diagnostics import Diagnostic
from policy_lang.guards import Formula
from policy_lang.inventory import Inventory, KindEntry
from policy_lang.mistakes.rules import NoAudience, UnreachableEndpoint, UnreachableService, Unused
from policy_lang.mistakes.types import NotAClaim, WrongType
from policy_lang.names import Names
from policy_lang.typesystem import Scalar


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """The rules of all modules, sorted by id. `challenges` are the names a step-up may carry."""

    rules: tuple[CheckedRule, ...]
    challenges: frozenset[str]


def check(inventory: Inventory, names: Mapping[str, Names], found: list[Diagnostic]) -> CheckedPolicy:
    """Check every rule of the bundle; mistakes and warnings are appended to `found`."""
    factors = {
        (kind.kind.id, name): _factor(kind, decl, names[kind.module], found)
        for kind in inventory.kinds
        for name, decl in kind.factors.items()
    }
    rules = [
        check_rule(entry, rule, names[entry.name], inventory, factors, found)
        for entry in inventory.modules
        for rule in entry.rules.values()
    ]
    _warn_of_inventory(inventory, names, rules, found)
    return CheckedPolicy(tuple(sorted(rules, key=lambda rule: rule.rule.id)), _challenges(inventory))


def _factor(kind: KindEntry, decl: tree.FactorDecl, names: Names, found: list[Diagnostic]) -> Factor:
    """A factor of one kind; what it reads is checked against that kind alone."""
    environment = Environment(kind, None)
    checker = Checker(names, environment, {}, found)
    when: Formula = True
    proves = NOTHING
    if decl.when is not None:
        checked = checker.condition(decl.when, NOTHING)
        when, proves = checked.formula, NOTHING if checked.when_true is None else checked.when_true
        came_to = settled(when, environment)
        found += always_warnings(decl.when, {came_to if isinstance(came_to, bool) else None})
    bound = names.inputs.get(decl.at.id)
    if isinstance(bound, ir.Now) or (isinstance(bound, ir.Attr) and bound.root == "request"):
        name = ".".join((decl.at.root.text, *(part.text for part in decl.at.parts)))
        found.append(NotAClaim(span=decl.at.span, name=name))
        return Factor(when, proves, None)
    at = checker.operand(decl.at, Scalar.TIME, proves)
    if at is not None and at.type != Scalar.TIME:
        found.append(WrongType(span=decl.at.span, wanted="`time`", found=f"`{at.type}`"))
        at = None
    return Factor(when, proves, None if at is None or checker.refused else at.operand)


def _challenges(inventory: Inventory) -> frozenset[str]:
    needs = [
        clause.need
        for entry in inventory.modules
        for rule in entry.rules.values()
        for clause in rule.clauses
        if isinstance(clause, tree.NeedsClause)
    ]
    return frozenset(need.name.text if isinstance(need, tree.FactorNeed) else need.challenge.value for need in needs)


# ---------------------------------------------------------------- warnings


def _warn_of_inventory(
    inventory: Inventory, names: Mapping[str, Names], rules: list[CheckedRule], found: list[Diagnostic]
) -> None:
    reached = {index for rule in rules if rule.rule.effect == "allow" for index, _ in rule.variants}
    found += [
        UnreachableEndpoint(span=entry.decl.name.span, endpoint=entry.endpoint.id)
        for index, entry in enumerate(inventory.endpoints)
        if index not in reached
    ]
    for service in inventory.services:
        name = service.decl.name
        if not service.service.audiences:
            found.append(NoAudience(span=name.span, name=name.text))
        if not service.service.hosts:
            found.append(UnreachableService(span=name.span, name=name.text, what="host"))
        if not service.decl.endpoints:
            found.append(UnreachableService(span=name.span, name=name.text, what="endpoint"))
    for entry in inventory.modules:
        declared = [
            *(("label", label) for label in entry.labels.values()),
            *(("condition", condition.decl.name) for condition in entry.conditions.values()),
            *(("relation", relation.decl.name) for relation in entry.relations.values()),
        ]
        own, anywhere = names[entry.name].used, frozenset().union(*(each.used for each in names.values()))
        found += [
            Unused(span=name.span, what=what, name=name.text)
            for what, name in declared
            if name.text not in (anywhere if what == "label" else own)  # labels are the bundle's
        ]
