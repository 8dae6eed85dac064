"""What is declared or imported and never mentioned (W806).

The inventory and the bindings go in, warnings come out. Work is linear in the names of the bundle.
Source: language.md 4.5, 4.6.

Decision: 2026-11-21. What another module imports is used; whether that import is needed is asked there. An enum is used
where one of its values is, a kind where it or one of its factors is mentioned, a label where an endpoint carries it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from policy_lang import tree
from policy_lang.declared.endpoints import ServiceEntry
from policy_lang.declared.entries import (
    ConditionEntry,
    Entry,
    EnumEntry,
    EnumValue,
    Inventory,
    KindEntry,
    LabelEntry,
    ModuleEntry,
    Names,
    NetworkEntry,
    RelationEntry,
    RoleEntry,
    SettingEntry,
    SignalEntry,
    WorkloadEntry,
)
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.rules import Unused


def unused(inventory: Inventory, names: Mapping[str, Names]) -> Iterator[Diagnostic]:
    """A warning for every name that nothing mentions."""
    exported = {
        (import_.module.value, name.text)
        for entry in inventory.modules
        for import_ in entry.module.imports
        for name in import_.names
    }
    for entry in inventory.modules:
        used = names[entry.name].used
        for name, declared in entry.own.items():
            what = _kind_of_thing(declared)
            if what is None or (entry.name, name) in exported or _is_used(name, declared, used):
                continue
            yield Unused(span=_place(declared).span, what=what, name=name)
        yield from _unused_imports(entry, used)


def _unused_imports(entry: ModuleEntry, used: frozenset[str]) -> Iterator[Diagnostic]:
    for name, written in entry.imported.items():
        declared = entry.scope.get(name)
        if declared is not None and not _is_used(name, declared, used):
            yield Unused(span=written.span, what="import", name=name)


def _is_used(name: str, declared: Entry, used: frozenset[str]) -> bool:
    if name in used:
        return True
    match declared:
        case EnumEntry(type=type_):
            return not used.isdisjoint(type_.values)
        case KindEntry(factors=factors):
            return not used.isdisjoint(factors)
        case _:
            return False


def _kind_of_thing(declared: Entry) -> str | None:
    """The word for what may be unused; None for what stands for itself, or is named by its whole."""
    match declared:
        case RoleEntry():
            return "role"
        case LabelEntry():
            return "label"
        case NetworkEntry():
            return "network"
        case ConditionEntry():
            return "condition"
        case RelationEntry():
            return "relation"
        case EnumEntry():
            return "enum"
        case SignalEntry():
            return "signal"
        case WorkloadEntry():
            return "workload"
        case SettingEntry():
            return "setting"
        case EnumValue() | KindEntry() | ServiceEntry():
            return None
        case _:
            assert_never(declared)


def _place(declared: Entry) -> tree.Name:
    match declared:
        case LabelEntry(decl=name) | NetworkEntry(decl=name) | EnumValue(decl=name) | KindEntry(decl=name):
            return name
        case _:
            return declared.decl.name
