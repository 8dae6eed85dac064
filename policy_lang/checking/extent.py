"""How much a program would hold: its cells, and the rules in them. What multiplies is refused before it is built.

The inventory and its checked rules go in, diagnostics come out. A cell is an endpoint with a kind of caller; cells that
hold the same rules share them, so ten thousand rules on any endpoint are as little as one. What counts is what is not
shared: rules that reach many cells, each other ones.
Source: language.md 4.6, 6.1.

Decision: 2026-11-21. The limits stand where a program would take seconds to build, and grow with the policy by more
than what people write: twenty kinds of caller for every endpoint, a hundred cells for every rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from policy_lang.checking.environment import callers_of
from policy_lang.checking.policy import CheckedPolicy
from policy_lang.checking.rules import CheckedRule, Extent
from policy_lang.declared.entries import Inventory
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.names import TooMuch
from policy_lang.mistakes.rules import TooManyTogether

MOST_CELLS, CELLS_AN_ENDPOINT = 100_000, 20
"""Endpoints with kinds of caller: so many, and for each endpoint so many more."""

MOST_REACHED, REACHED_A_RULE = 300_000, 100
"""Cells that rules reach, those of rules that reach the same ones counted once: so many, and for each rule more."""

MOST_HELD, HELD_A_RULE = 100_000, 100
"""Rules that cells hold, cells that hold the same ones counted once: so many, and for each rule so many more."""


def check_extent(inventory: Inventory, policy: CheckedPolicy) -> Iterator[Diagnostic]:
    """The mistake of a policy without others whose program would be too large: the first limit that it is past."""
    callers = callers_of(inventory)
    cells = sum(len(each) for each in callers)
    if cells > MOST_CELLS + CELLS_AN_ENDPOINT * len(callers):
        yield _too_many_cells(inventory, cells)
        return
    if not policy.rules:
        return
    count = len(policy.rules)
    extents = Counter(extent for rule in policy.rules for extent in _extents(rule))
    reached, most = sum(_size(extent) for extent in extents), MOST_REACHED + REACHED_A_RULE * count
    if reached > most:
        yield _too_many(policy, f"rules reach {reached} endpoints and callers as no other rule does, more than {most}")
        return
    most = MOST_HELD + HELD_A_RULE * count
    if sum(_size(extent) * rules for extent, rules in extents.items()) > most and (held := _held(extents)) > most:
        yield _too_many(policy, f"endpoints hold {held} rules, each other ones, more than {most}")


def _extents(rule: CheckedRule) -> set[Extent]:
    return {placed.extent for placed in rule.placed}


def _size(extent: Extent) -> int:
    return len(extent[0]) * len(extent[1])


def _held(extents: Mapping[Extent, int]) -> int:
    """The rules of all cells, those that lie in the same extents counted once."""
    lies_in: dict[tuple[int, str | None], list[int]] = {}
    for number, (endpoints, kinds) in enumerate(extents):
        for endpoint in endpoints:
            for kind in kinds:
                lies_in.setdefault((endpoint, kind), []).append(number)
    rules = tuple(extents.values())
    return sum(rules[number] for found in {tuple(each) for each in lies_in.values()} for number in found)


def _too_many(policy: CheckedPolicy, why: str) -> Diagnostic:
    """The mistake, said of the rule that reaches the most."""
    sizes = {rule.rule.id: sum(_size(extent) for extent in _extents(rule)) for rule in policy.rules}
    widest = max(policy.rules, key=lambda rule: sizes[rule.rule.id])
    name = widest.decl.name
    return TooManyTogether(
        span=name.span,
        name=name.text,
        why=why,
        where=f"reaches {sizes[widest.rule.id]} of them",
        remedy="narrow such rules by `for` and `on`, or let them reach the same endpoints and callers",
    )


def _too_many_cells(inventory: Inventory, cells: int) -> Diagnostic:
    why = f"with {len(inventory.endpoints)} endpoints they make {cells} pairs"
    remedy = "let several issuers' callers be one kind behind a broker, or split the policy"
    return TooMuch(span=inventory.kinds[-1].decl.span, what="kinds of caller", why=why, remedy=remedy)
