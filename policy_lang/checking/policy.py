"""The whole bundle checked: factors, every rule, every `casbin` block, every proof, and what is legal but hardly meant.

Inventory and bindings go in; `CheckedPolicy` comes out, from which `lower` makes a program if no mistake was found.
Source: language.md 4.2, 4.5, 4.6.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang import tree
from policy_lang.checking.casbin_blocks import check_block
from policy_lang.checking.environment import Bound
from policy_lang.checking.factors import check_factors
from policy_lang.checking.guards import Formula
from policy_lang.checking.header_names import spelt_twice
from policy_lang.checking.lookalikes import lookalikes
from policy_lang.checking.proofs import CheckedProof, check_proof
from policy_lang.checking.rules import CheckedRule, check_rule
from policy_lang.checking.unused import unused
from policy_lang.checking.warnings import warnings
from policy_lang.declared.entries import Inventory, Names
from policy_lang.diagnostics import Diagnostic
from policy_lang.ir.tables import Table

NO_FILES: Mapping[str, bytes] = {}


class CheckedPolicy(Struct, frozen=True):
    """The rules of all modules, sorted by id; proofs in the order of modules and places.

    `tables` are those that `casbin` blocks ask, sorted by id. `challenges` are the names a step-up may carry. `written`
    are the words of formulas that are one condition to whoever wrote them (policy_lang/checking/written.py).
    """

    rules: tuple[CheckedRule, ...]
    proofs: tuple[CheckedProof, ...]
    tables: tuple[Table, ...]
    challenges: frozenset[str]
    written: Mapping[Formula, str] = field(default_factory=dict)


def check(
    inventory: Inventory,
    names: Mapping[str, Names],
    found: list[Diagnostic],
    today_ms: int | None = None,
    written_ms: Mapping[str, int] | None = None,
    files: Mapping[str, bytes] = NO_FILES,
) -> CheckedPolicy:
    """Check every rule, `casbin` block and proof of the bundle; mistakes and warnings are appended to `found`.

    Units: Unix milliseconds. `written_ms` says when rules were written, by id, as far as that is known. `files` are
    those of the bundle, among them the models and policies of its blocks.
    """
    bound = Bound.of(inventory, names)
    bound = replace(bound, factors=check_factors(bound, found))
    rules = [check_rule(entry, rule, bound, found) for entry in inventory.modules for rule in entry.rules.values()]
    blocks = [
        check_block(entry, block, bound, files, found) for entry in inventory.modules for block in entry.blocks.values()
    ]
    rules += [rule for block in blocks for rule in block.rules]
    rules.sort(key=lambda rule: rule.rule.id)
    tables = tuple(sorted((each.table for each in blocks if each.table is not None), key=lambda table: table.id))
    proofs = [
        check_proof(entry, decl, bound, found)
        for entry in inventory.modules
        for decl in entry.module.declarations
        if isinstance(decl, tree.ProveDecl)
    ]
    found += spelt_twice(inventory)
    found += warnings(inventory, rules, today_ms, written_ms or {})
    found += unused(inventory, names)
    found += lookalikes(inventory)
    return CheckedPolicy(tuple(rules), tuple(proofs), tables, _challenges(inventory), bound.memory.written)


def _challenges(inventory: Inventory) -> frozenset[str]:
    needs = [
        clause.need
        for entry in inventory.modules
        for rule in entry.rules.values()
        for clause in rule.clauses
        if isinstance(clause, tree.NeedsClause)
    ]
    return frozenset(need.name.text if isinstance(need, tree.FactorNeed) else need.challenge.value for need in needs)
