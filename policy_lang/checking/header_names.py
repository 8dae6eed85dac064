"""Headers that rules touch under two names that many servers read as one (E519).

The inventory goes in, mistakes come out. Work is linear in the obligations of the bundle.
INVARIANT: of all headers that the rules of a bundle set or remove, no two differ by case or by `_` for `-` alone; so
what merges obligations by name sees every conflict, and removing a header removes what a back end takes for it.
Source: language.md 5.5; contracts.md "Headers at Envoy".

Decision: 2026-11-21. This is looked at over the bundle, not where rules meet: which of them apply to a call is not
known before it, and one header has one spelling in a policy that is read by people.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_lang import tree
from policy_lang.declared.entries import Inventory
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.rules import TwoSpellings


def folded(name: str) -> str:
    """The name of a header as servers read it that tell neither its case nor `_` from `-`."""
    return name.lower().replace("_", "-")


def spelt_twice(inventory: Inventory) -> Iterator[Diagnostic]:
    """A mistake for every header that is spelt otherwise than where it is met first."""
    first: dict[str, tree.Text] = {}
    for text in _headers(inventory):
        before = first.setdefault(folded(text.value), text)
        if before.value.lower() != text.value.lower():
            others = (Label(before.span, f"`{before.value}` here"),)
            yield TwoSpellings(span=text.span, name=text.value, other=before.value, others=others)


def _headers(inventory: Inventory) -> Iterator[tree.Text]:
    for entry in inventory.modules:
        for rule in entry.rules.values():
            for clause in rule.clauses:
                if not isinstance(clause, tree.MustClause | tree.ShouldClause):
                    continue
                if isinstance(clause.obligation, tree.SetHeader | tree.RemoveHeader):
                    yield clause.obligation.name
