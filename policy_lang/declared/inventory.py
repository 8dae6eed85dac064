"""What the modules of a bundle declare, with types, values and places: the inventory.

Parsed modules and the settings of one environment go in; `Inventory` comes out, and every mistake in a declaration.
What is wrong is left out, and its name remembered in `broken`, so that no later phase reports its absence again.

(0) names      every module's own, then what it imports
(1) settings, enums, labels        they rest on nothing
(2) networks, workloads            on settings
(3) kinds      on enums and settings
(4) roles      on kinds
(5) relations, conditions, signals on roles and enums
(6) services   on all of these

INVARIANT: the IR's inventory (`ir.Kind` to `ir.Endpoint`) is made here and in what this calls, and nowhere else;
whatever it lists is sorted by id, so that the order of files and declarations has no meaning.
Source: language.md 4.1, 4.3, points B, F, H, I.

Decision: 2026-11-21. Names are a module's, labels too: another module sees what it imports, and two labels of one name
in two modules are two. Names of kinds and of services are unique in the bundle besides, because tokens, gateways and
whoever asks name them without a module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from policy_lang import tree
from policy_lang.declared.endpoints import ServiceEntry
from policy_lang.declared.entries import (
    Entry,
    EnumEntry,
    EnumValue,
    Inventory,
    KindEntry,
    LabelEntry,
    RelationEntry,
    SignalEntry,
    WorkloadEntry,
)
from policy_lang.declared.imports import Imports
from policy_lang.declared.kinds import Kinds, workload_entry
from policy_lang.declared.networks import Networks
from policy_lang.declared.roles import Roles
from policy_lang.declared.scopes import Scope
from policy_lang.declared.services import Services
from policy_lang.declared.settings import Bindings, Settings
from policy_lang.declared.signals_declared import condition_entry, relation_entry, signal_entry
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.names import DuplicateModule
from policy_lang.mistakes.rules import ReservedRuleName
from policy_lang.typesystem import EnumType

DECIDERS = (
    *("token", "path", "route", "schema", "audience", "exclusive", "default", "scope"),
    *("conflict", "capability", "internal", "deadline", "audit", "observe"),
)
"""The closed list of what decides where no rule does (contracts.md "Who decided")."""

Declared = TypeVar(
    "Declared",
    tree.SettingDecl,
    tree.EnumDecl,
    tree.WorkloadDecl,
    tree.TokenDecl,
    tree.SubjectDecl,
    tree.RelationDecl,
    tree.ConditionDecl,
    tree.SignalDecl,
    tree.ServiceDecl,
)
Listed = TypeVar("Listed")
NONE_UNREAD: frozenset[str] = frozenset()


def take_inventory(
    modules: Iterable[tree.Module],
    settings: Settings,
    found: list[Diagnostic],
    unread: frozenset[str] = NONE_UNREAD,
) -> Inventory:
    """The inventory of a bundle; mistakes are appended to `found`.

    `unread` are the names of sources that did not parse whole: what is imported from there and missing was reported
    already, or would have been.
    """
    parsed = tuple(modules)
    scopes = _scopes(parsed, unread, found)
    all_named = unread <= {module.source.name for module in parsed}
    Imports(scopes, all_named=all_named, found=found).resolve()
    bundle = _Bundle(scopes, settings, found)
    bundle.take(whole=not unread)
    return bundle.inventory()


def _scopes(modules: Iterable[tree.Module], unread: frozenset[str], found: list[Diagnostic]) -> dict[str, Scope]:
    scopes: dict[str, Scope] = {}
    for module in sorted(modules, key=lambda m: (m.name.value, m.source.name)):
        name = module.name.value
        if name in scopes:
            others = (Label(scopes[name].module.name.span, "the other one"),)
            found.append(DuplicateModule(span=module.name.span, name=name, others=others))
        else:
            scopes[name] = Scope(module, whole=module.source.name not in unread, found=found)
    return scopes


class _Bundle:
    """What is taken step by step."""

    def __init__(self, scopes: Mapping[str, Scope], settings: Settings, found: list[Diagnostic]) -> None:
        self._scopes = scopes
        self._settings = settings
        self._found = found
        self._kinds = Kinds(found)
        self._services = Services(scopes, found)

    def take(self, *, whole: bool) -> None:
        """Take every declaration, each after what it rests on; `whole` where every file was read whole."""
        bindings = Bindings(self._settings, self._scopes, self._found)
        self._each(tree.SettingDecl, bindings.bind)
        if whole:
            bindings.report_unknown()
        self._each(tree.EnumDecl, _enum_entry)
        self._plain_names()
        Networks(self._scopes, self._found).take()
        self._each(tree.WorkloadDecl, workload_entry)
        self._each(tree.TokenDecl, self._kinds.token, self._kinds.pass_over)
        self._each(tree.SubjectDecl, self._kinds.subject, self._kinds.pass_over)
        Roles(self._scopes, self._kinds.broken, self._found).take()
        self._each(tree.RelationDecl, relation_entry)
        self._each(tree.ConditionDecl, condition_entry)
        self._each(tree.SignalDecl, signal_entry)
        self._each(tree.ServiceDecl, self._services.take, self._services.pass_over)

    def _each(
        self,
        kind: type[Declared],
        make: Callable[[Scope, Declared], Entry | None],
        pass_over: Callable[[Declared], None] | None = None,
    ) -> None:
        """Make the entries of one kind of declarations; `pass_over` hears of second ones of a name."""
        for scope in self._scopes.values():
            for decl in scope.module.declarations:
                if not isinstance(decl, kind):
                    continue
                if scope.first(decl.name):
                    entry = make(scope, decl)
                    if entry is None:
                        scope.broken.add(decl.name.text)
                    else:
                        scope.own[decl.name.text] = entry
                elif pass_over is not None:
                    pass_over(decl)

    def _plain_names(self) -> None:
        """Take what a name says it all: labels, values of enums, rules and `casbin` blocks."""
        for scope in self._scopes.values():
            for text, (name, decl) in scope.declared.items():
                match decl:
                    case tree.LabelDecl():
                        scope.own[text] = LabelEntry(f"{scope.name}.{text}", name)
                    case tree.EnumDecl() if name is not decl.name:
                        enum = scope.own.get(decl.name.text)
                        if isinstance(enum, EnumEntry) and enum.decl is decl:
                            scope.own[text] = EnumValue(enum.type, text, name)
                        else:
                            scope.broken.add(text)
                    case tree.Rule() | tree.CasbinDecl():
                        if text in DECIDERS:
                            self._found.append(ReservedRuleName(span=name.span, name=text))
                        if isinstance(decl, tree.Rule):
                            scope.rules[text] = decl
                        else:
                            scope.blocks[text] = decl
                    case _:
                        pass

    def inventory(self) -> Inventory:
        """What was taken, sorted."""
        services = sorted(self._all(ServiceEntry), key=lambda s: s.service.id)
        endpoints = (entry for service in services for entry in service.endpoints.values())
        return Inventory(
            modules=tuple(scope.entry() for scope in self._scopes.values()),
            kinds=tuple(sorted(self._all(KindEntry), key=lambda k: k.kind.id)),
            relations=tuple(sorted((r.relation for r in self._all(RelationEntry)), key=lambda r: r.id)),
            signals=tuple(sorted((s.signal for s in self._all(SignalEntry)), key=lambda s: s.id)),
            workloads=tuple(sorted((w.workload for w in self._all(WorkloadEntry)), key=lambda w: w.id)),
            services=tuple(services),
            endpoints=tuple(sorted(endpoints, key=lambda e: e.endpoint.id)),
            broken=frozenset(self._kinds.broken | self._services.broken),
        )

    def _all(self, kind: type[Listed]) -> list[Listed]:
        return [entry for scope in self._scopes.values() for entry in scope.own.values() if isinstance(entry, kind)]


def _enum_entry(scope: Scope, decl: tree.EnumDecl) -> EnumEntry:
    """The enum with the values that are its own: one that was declared before is no value of this one."""
    values = tuple(value.text for value in decl.values if scope.first(value))
    return EnumEntry(EnumType(f"{scope.name}.{decl.name.text}", values, decl.ordered), decl)
