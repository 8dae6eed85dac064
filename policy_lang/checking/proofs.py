"""`prove` blocks: resolved and typed like rules, and not run.

A proof goes in; `CheckedProof` comes out with what it says in each group of environments, and every mistake in it.
Source: language.md 2.1, 8.2.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.checking.environment import Bound, Facts
from policy_lang.checking.for_clause import for_clause
from policy_lang.checking.groups import groups, reads_of
from policy_lang.checking.rules import CheckedClause, checked_condition, checker_of
from policy_lang.checking.shape import shape_of_proof
from policy_lang.checking.spending import Spending
from policy_lang.declared.endpoints import place_of
from policy_lang.declared.entries import ModuleEntry
from policy_lang.diagnostics import Diagnostic


class PlacedProof(Struct, frozen=True):
    """What a proof speaks of in some environments: where all its clauses hold. `kinds`: None is nobody."""

    endpoints: tuple[int, ...]
    kinds: tuple[str | None, ...]
    clauses: tuple[CheckedClause, ...]


class CheckedProof(Struct, frozen=True):
    """A proof without mistakes, if `refused` is false. What no `placed` names, it does not speak of."""

    title: str
    quantifier: Literal["never", "always"]
    place: ir.Place
    placed: tuple[PlacedProof, ...]
    refused: bool


def check_proof(module: ModuleEntry, proof: tree.ProveDecl, bound: Bound, found: list[Diagnostic]) -> CheckedProof:
    """Check one proof; mistakes are appended to `found`."""
    source = module.module.source
    shape = shape_of_proof(proof, source, found)
    reads = reads_of(module.name, shape.exprs(), shape.for_, (), bound)
    endpoints = bound.everywhere if shape.on is None else bound.names[module.name].targets.get(shape.on.id, ())
    placed: list[PlacedProof] = []
    refused = False
    spending = Spending(proof.title, bound.memory)
    for group in groups(endpoints, reads, bound):
        if not spending.meets(found):
            refused = True
            break
        checker = checker_of(module, group, bound, found)
        admitted = for_clause(shape.for_, checker)
        clauses = [CheckedClause("for", shape.for_text, admitted.formula)]
        known: Facts | None = admitted.when_true
        for condition in shape.conditions:
            if known is None:
                break
            clause, known = checked_condition(condition, checker, known)
            clauses.append(clause)
        refused = refused or checker.refused
        if known is not None:
            kinds = tuple(None if kind is None else kind.kind.id for kind in group.kinds)
            placed.append(PlacedProof(group.endpoints, kinds, tuple(clauses)))
    spending.end()
    return CheckedProof(proof.title.value, proof.quantifier, place_of(source, proof.title.span), tuple(placed), refused)
