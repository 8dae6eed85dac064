"""What is checked once for many means the same as checked for each: groups of environments, and conditions met again.

For every rule of a drawn bundle, and every endpoint with every caller: the variant that the rule has in the check of
the whole bundle, where environments that are alike are checked once and conditions are kept, is the variant that it has
when it is checked alone, there alone, with nothing kept.
"""

from __future__ import annotations

import random
from functools import cache

import pytest
from msgspec import Struct
from msgspec.structs import replace

from policy_lang import tree
from policy_lang.checking.environment import Bound
from policy_lang.checking.factors import check_factors
from policy_lang.checking.memory import Memory
from policy_lang.checking.rules import CheckedRule, Variant, check_rule
from policy_lang.declared.entries import KindEntry, ModuleEntry
from policy_lang.declared.inventory import take_inventory
from policy_lang.declared.names import bind_names
from policy_lang.declared.settings import Settings, read_settings
from policy_lang.diagnostics import Diagnostic, has_errors
from policy_lang.syntax.parser import parse
from tests.support.generator.policies import ENVIRONMENT, draw_bundle

SEEDS = range(60)
LEAST_SHARED = 1.2
"""Environments for each that was checked, over all bundles: or the law would compare what is the same by nature."""


class Whole(Struct, frozen=True):
    """A bundle with all its rules checked together."""

    bound: Bound
    rules: tuple[tuple[ModuleEntry, tree.Rule, CheckedRule], ...]


@cache
def whole(seed: int) -> Whole:
    files = draw_bundle(random.Random(f"sharing {seed}")).files()
    found: list[Diagnostic] = []
    parsed = [parse(name, files[name]) for name in sorted(files) if name.endswith(".pol")]
    values = read_settings(files, ENVIRONMENT)
    assert isinstance(values, Settings)
    modules = [each.module for each in parsed if each.module is not None]
    inventory = take_inventory(modules, values, found, frozenset())
    bound = Bound.of(inventory, bind_names(inventory, found))
    bound = replace(bound, factors=check_factors(bound, found))
    rules = tuple(
        (entry, rule, check_rule(entry, rule, bound, found))
        for entry in inventory.modules
        for rule in entry.rules.values()
    )
    assert not has_errors(found), found
    return Whole(bound, rules)


def on_clause(rule: tree.Rule) -> tree.OnClause:
    return next(clause for clause in rule.clauses if isinstance(clause, tree.OnClause))


def alone(bound: Bound, entry: ModuleEntry, rule: tree.Rule, endpoint: int, kind: KindEntry | None) -> Variant | None:
    """The rule in one environment, with nothing kept from elsewhere."""
    names = bound.names[entry.name]
    only = replace(names, targets={on_clause(rule).id: (endpoint,)})
    callers = tuple((kind,) if index == endpoint else each for index, each in enumerate(bound.callers))
    here = replace(bound, names={**bound.names, entry.name: only}, callers=callers, memory=Memory(10**6))
    placed = check_rule(entry, rule, here, []).placed
    return placed[0].variant if placed else None


def held(checked: CheckedRule) -> dict[tuple[int, str | None], Variant]:
    """The variants of a rule by endpoint and kind; no environment is in two."""
    found = {
        (endpoint, kind): placed.variant
        for placed in checked.placed
        for endpoint in placed.endpoints
        for kind in placed.kinds
    }
    assert len(found) == sum(len(placed.endpoints) * len(placed.kinds) for placed in checked.placed)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_shared_is_what_each_would_be_alone(seed: int) -> None:
    """For all rules r, endpoints e, kinds k: whole(r)(e, k) = alone(r, e, k)."""
    bundle = whole(seed)
    for entry, rule, checked in bundle.rules:
        variants = held(checked)
        for endpoint in bundle.bound.names[entry.name].targets[on_clause(rule).id]:
            for kind in bundle.bound.callers[endpoint]:
                where = (endpoint, None if kind is None else kind.kind.id)
                assert variants.get(where) == alone(bundle.bound, entry, rule, endpoint, kind), (rule.name.text, where)


def test_much_is_shared() -> None:
    environments, groups, expansions = 0, 0, 0
    for seed in SEEDS:
        bundle = whole(seed)
        for _, _, checked in bundle.rules:
            environments += len(held(checked))
            groups += len(checked.placed)
        expansions += len(bundle.bound.memory.expansions)
    assert environments >= LEAST_SHARED * groups
    assert expansions > len(SEEDS)
