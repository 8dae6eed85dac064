"""Checked rules to a program: atoms and guards hash-consed over the whole bundle, one cell an endpoint and kind.

In comes a bundle without mistakes, out goes the `ir.Program` that means the same.
INVARIANT: two bundles that differ in the order of files and declarations only give programs that differ in places only.
Source: language.md 6.1.

Decision: 2026-11-21. A clause that is true in a cell stays in it with the guard `All(())`, so that a trace shows every
clause as written; a rule one of whose clauses is false there is left out.
"""

from __future__ import annotations

from policy_lang import ir
from policy_lang.check import CheckedPolicy
from policy_lang.check_rules import CheckedRule, Variant
from policy_lang.guards import Interner
from policy_lang.inventory import Inventory


def lower(inventory: Inventory, policy: CheckedPolicy) -> ir.Program:
    """The program of a bundle in which no mistake was found.

    Errors: ValueError for a rule that was refused. SECURITY: a deny that stands for nothing must not come to run, even
        if a fault of ours kept its mistake from being reported.
    """
    refused = [rule.rule.id for rule in policy.rules if rule.refused]
    if refused:
        raise ValueError(f"rules with mistakes cannot be lowered: {', '.join(refused)}")
    interner = Interner()
    lowered: dict[int, tuple[tuple[ir.Clause, ...], tuple[ir.Need, ...]]] = {}
    groups: dict[tuple[int, str | None], dict[ir.Effect, list[ir.CellRule]]] = {}
    for index, rule in enumerate(policy.rules):
        for where, variant in _in_order(rule):
            # Variants are shared by identity and kept alive by `policy`, so their ids are theirs alone.
            if id(variant) not in lowered:
                lowered[id(variant)] = _lowered(variant, interner)
            clauses, needs = lowered[id(variant)]
            cell = groups.setdefault(where, {"deny": [], "allow": [], "require": []})
            cell[rule.rule.effect].append(ir.CellRule(index, clauses, needs))
    kinds: list[str | None] = [*(kind.kind.id for kind in inventory.kinds), None]
    cells = [_cell(groups, endpoint, kind) for endpoint in range(len(inventory.endpoints)) for kind in kinds]
    return ir.Program(
        version=ir.VERSION,
        modules=tuple(entry.name for entry in inventory.modules),
        kinds=tuple(entry.kind for entry in inventory.kinds),
        relations=inventory.relations,
        services=tuple(entry.service for entry in inventory.services),
        endpoints=tuple(entry.endpoint for entry in inventory.endpoints),
        atoms=interner.atoms,
        guards=interner.guards,
        rules=tuple(rule.rule for rule in policy.rules),
        cells=tuple(cells),
    )


def _in_order(rule: CheckedRule) -> list[tuple[tuple[int, str | None], Variant]]:
    """The variants by endpoint, then kind, nobody last: the order of cells, which numbers atoms and guards."""
    return sorted(rule.variants.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or ""))


def _lowered(variant: Variant, interner: Interner) -> tuple[tuple[ir.Clause, ...], tuple[ir.Need, ...]]:
    clauses = [ir.Clause(each.label, each.text, interner.guard(each.formula)) for each in variant.clauses]
    needs = [ir.Need(each.text, interner.guard(each.formula), each.challenge, each.within_s) for each in variant.needs]
    return tuple(clauses), tuple(needs)


def _cell(
    groups: dict[tuple[int, str | None], dict[ir.Effect, list[ir.CellRule]]], endpoint: int, kind: str | None
) -> ir.Cell:
    rules = groups.get((endpoint, kind), {"deny": [], "allow": [], "require": []})
    return ir.Cell(endpoint, kind, tuple(rules["deny"]), tuple(rules["allow"]), tuple(rules["require"]))
