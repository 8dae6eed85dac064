"""The settings that the conditions of rules mention, with their values: what a reader of `query.amount >= big` asks.

An inventory goes in, with the values of one environment; out comes a table by rule and clause. A condition that a
clause uses mentions what stands in it. Networks are left out: their ranges say nothing that their name does not.
Source: language.md 2.1 (settings), 5.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from policy_lang import tree
from policy_lang.declared.entries import ConditionEntry, Inventory, ModuleEntry, SettingEntry
from policy_lang.declared.walking import walk
from policy_lang.meaning.literals import value_text

Mentioned = Mapping[tuple[str, str], tuple[tuple[str, str], ...]]
"""By the id of a rule and the label of a clause or need (`when 1`, `needs 1`): each setting with its value."""

NOTHING_MENTIONED: Mentioned = {}


def mentioned_settings(inventory: Inventory) -> Mentioned:
    """What the clauses and needs of every rule mention, in the order of reading; who mentions none is left out."""
    modules = {entry.name: entry for entry in inventory.modules}
    table: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
    for entry in inventory.modules:
        for name, rule in entry.rules.items():
            for label, part in _parts(rule):
                found = dict(_settings(part, entry, modules))
                if found:
                    table[f"{entry.name}.{name}", label] = tuple(found.items())
    return table


def _parts(rule: tree.Rule) -> Iterator[tuple[str, tree.Expr | tree.Name]]:
    """The conditions of a rule with their labels; of a need for a factor, the setting that it names."""
    conditions, needs = 0, 0
    for clause in rule.clauses:
        match clause:
            case tree.WhenClause(condition=condition, negated=negated):
                conditions += 1
                yield f"{'unless' if negated else 'when'} {conditions}", condition
            case tree.NeedsClause(need=need):
                needs += 1
                match need:
                    case tree.ConditionNeed(condition=condition):
                        yield f"needs {needs}", condition
                    case tree.FactorNeed(within=tree.Name() as name):
                        yield f"needs {needs}", name
                    case tree.FactorNeed():
                        pass
                    case _:
                        assert_never(need)
            case _:
                pass


def _settings(
    part: tree.Expr | tree.Name, entry: ModuleEntry, modules: Mapping[str, ModuleEntry]
) -> Iterator[tuple[str, str]]:
    """The settings that an expression mentions, and those in the conditions that it uses, each condition once."""
    reading = [(_names(part), entry)]
    known: set[tuple[str, tree.NodeId]] = set()
    while reading:
        names, module = reading[-1]
        name = next(names, None)
        if name is None:
            reading.pop()
            continue
        declared = module.scope.get(name)  # a parameter never hides a name of the module (E205)
        if isinstance(declared, SettingEntry) and isinstance(declared.value, int | str):
            yield name, value_text(declared.value, declared.type)
        elif isinstance(declared, ConditionEntry):
            key = (declared.module, declared.decl.id)
            if key not in known:
                known.add(key)
                reading.append((_names(declared.decl.body), modules[declared.module]))


def _names(part: tree.Expr | tree.Name) -> Iterator[str]:
    """The plain names in an expression."""
    if isinstance(part, tree.Name):
        yield part.text
        return
    for node in walk(part):
        match node:
            case tree.Ref(root=root, parts=()):
                yield root.text
            case tree.Call(name=name) | tree.HasFactor(within=tree.Name() as name):
                yield name.text
            case _:
                pass
