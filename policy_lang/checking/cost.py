"""Calls that would cost too much: a warning for rules that nothing tells apart, a refusal above the budget.

The inventory and the program go in, diagnostics come out.
Source: language.md 4.6 (W816, E801), 6.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_lang import ir
from policy_lang.cost import costs
from policy_lang.declared.entries import Inventory
from policy_lang.declared.targets import listed
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.rules import ManyGuards, TooCostly

MOST_ATOMS = 512
"""Atoms that one call may have to look at: about a tenth of a millisecond."""

MOST_GUARDS = 64
"""Rules of one endpoint that every call may have to look at."""

_NAMED = 3


def check_cost(inventory: Inventory, program: ir.Program) -> Iterator[Diagnostic]:
    """What is said of the endpoints of a program, whose order is the inventory's."""
    for entry, cost in zip(inventory.endpoints, costs(program), strict=True):
        span, endpoint = entry.decl.name.span, entry.endpoint.id
        if cost.atoms > MOST_ATOMS:
            yield TooCostly(span=span, endpoint=endpoint, atoms=cost.atoms, most=MOST_ATOMS)
        if len(cost.unindexable) > MOST_GUARDS:
            count = len(cost.unindexable)
            rules = listed([program.rules[rule].id for rule in cost.unindexable[:_NAMED]], count - _NAMED)
            yield ManyGuards(span=span, endpoint=endpoint, count=count, hint=f"they are {rules}")
