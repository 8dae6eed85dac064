"""What the modules of a bundle declare: kinds, relations, conditions, services, rules, with their types and places.

Parsed modules go in; `Inventory` comes out, and every mistake in a declaration. What is wrong is left out, and its name
remembered in `broken`, so that no later phase reports its absence a second time.
INVARIANT: the IR's inventory (`ir.Kind`, `ir.Relation`, `ir.Service`, `ir.Endpoint`) is made here and in `endpoints`
and nowhere else; whatever it lists is sorted by id, so that the order of files and declarations has no meaning.
Source: language.md 4.1, 4.3.

Decision: 2026-11-21. Modules import nothing from each other, but kinds, services and labels are the bundle's: names of
kinds and services are unique in it, and a label that two modules declare is one label, so that a module of guard rails
can say `on any endpoint tagged money`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.endpoints import EndpointEntry, ServiceEntry, service_entry
from policy_lang.fields import IMPLICIT_CLAIMS, Slot, checked_text, declared_type, duplicate, fields_of, scalar_type
from policy_lang.mistakes.names import DuplicateIssuer, DuplicateModule, ShadowedName
from policy_lang.mistakes.rules import ReservedRuleName
from policy_lang.source import Span
from policy_lang.typesystem import Scalar, SetType, Type

ROOTS = ("token", "subject", "resource", "request", "path", "query", "header", "endpoint", "service", "signal", "now")
"""Names that stand for inputs and so for nothing else."""

DECIDERS = (
    *("token", "path", "route", "schema", "audience", "exclusive", "default", "scope"),
    *("conflict", "capability", "internal", "deadline", "audit", "observe"),
)
"""The closed list of what decides where no rule does (contracts.md "Who decided")."""


@dataclass(frozen=True, slots=True)
class KindEntry:
    """A token kind: `slots` are its claims with the implicit ones."""

    kind: ir.Kind
    module: str
    slots: Mapping[str, Slot]
    factors: Mapping[str, tree.FactorDecl]


@dataclass(frozen=True, slots=True)
class RelationEntry:
    relation: ir.Relation
    decl: tree.RelationDecl


@dataclass(frozen=True, slots=True)
class ConditionEntry:
    decl: tree.ConditionDecl
    parameters: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class ModuleEntry:
    """One module. `broken` are names that are declared but not usable."""

    name: str
    module: tree.Module
    labels: Mapping[str, tree.Name]
    kinds: Mapping[str, KindEntry]
    relations: Mapping[str, RelationEntry]
    conditions: Mapping[str, ConditionEntry]
    services: Mapping[str, ServiceEntry]
    rules: Mapping[str, tree.Rule]
    broken: frozenset[str]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole bundle. `endpoints` by their index in the program; `broken` are inputs by root and name."""

    modules: tuple[ModuleEntry, ...]
    kinds: tuple[KindEntry, ...]
    relations: tuple[ir.Relation, ...]
    services: tuple[ServiceEntry, ...]
    endpoints: tuple[EndpointEntry, ...]
    broken: frozenset[tuple[str, str]]


def take_inventory(modules: Iterable[tree.Module], found: list[Diagnostic]) -> Inventory:
    """The inventory of a bundle; mistakes are appended to `found`."""
    bundle = _Bundle(found)
    entries: list[ModuleEntry] = []
    first: dict[str, tree.Text] = {}
    for module in sorted(modules, key=lambda m: (m.name.value, m.source.name)):
        name = module.name.value
        if name in first:
            others = (Label(first[name].span, "the other one"),)
            found.append(DuplicateModule(span=module.name.span, name=name, others=others))
            continue
        first[name] = module.name
        entries.append(bundle.module(module))
    services = sorted((s for m in entries for s in m.services.values()), key=lambda s: s.service.id)
    return Inventory(
        modules=tuple(entries),
        kinds=tuple(sorted((k for m in entries for k in m.kinds.values()), key=lambda k: k.kind.id)),
        relations=tuple(sorted((r.relation for m in entries for r in m.relations.values()), key=lambda r: r.id)),
        services=tuple(services),
        endpoints=tuple(sorted((e for s in services for e in s.endpoints.values()), key=lambda e: e.endpoint.id)),
        broken=frozenset(bundle.broken),
    )


class _Bundle:
    """What has been seen so far, while modules are taken one after the other."""

    def __init__(self, found: list[Diagnostic]) -> None:
        self.found = found
        self.broken: set[tuple[str, str]] = set()
        self._kinds: dict[str, tree.Name] = {}
        self._services: dict[str, tree.Name] = {}
        self._issuers: dict[str, Span] = {}

    def module(self, module: tree.Module) -> ModuleEntry:
        """The entry of one module."""
        taken = _Taken({}, {}, {}, {}, {}, {}, set())
        names: dict[str, tree.Name] = {}
        # Labels come first: endpoints name them wherever they are declared.
        for decl in sorted(module.declarations, key=lambda d: not isinstance(d, tree.LabelDecl)):
            for name in _names_of(decl):
                if self._is_free(name, names):
                    self._take(module, decl, name, taken)
        return ModuleEntry(
            name=module.name.value,
            module=module,
            labels=taken.labels,
            kinds=taken.kinds,
            relations=taken.relations,
            conditions=taken.conditions,
            services=taken.services,
            rules=taken.rules,
            broken=frozenset(taken.broken),
        )

    def _is_free(self, name: tree.Name, names: dict[str, tree.Name]) -> bool:
        if name.text in ROOTS:
            self.found.append(ShadowedName(span=name.span, name=name.text, meaning="it is an input of every rule"))
            return False
        if name.text in names:
            self.found.append(duplicate(name, names[name.text]))
            return False
        names[name.text] = name
        return True

    def _take(self, module: tree.Module, decl: tree.Decl, name: tree.Name, taken: _Taken) -> None:
        entry: object = decl
        match decl:
            case tree.LabelDecl():
                taken.labels[name.text] = name
            case tree.TokenDecl():
                kind = entry = self._kind(module, decl)
                if kind is not None:
                    taken.kinds[name.text] = kind
            case tree.RelationDecl():
                relation = entry = self._relation(module, decl)
                if relation is not None:
                    taken.relations[name.text] = relation
            case tree.ConditionDecl():
                condition = entry = self._condition(decl)
                if condition is not None:
                    taken.conditions[name.text] = condition
            case tree.ServiceDecl():
                service = entry = self._service(module, decl, taken.labels)
                if service is not None:
                    taken.services[name.text] = service
            case tree.Rule():
                if name.text in DECIDERS:
                    self.found.append(ReservedRuleName(span=name.span, name=name.text))
                taken.rules[name.text] = decl
            case tree.TestDecl() | tree.ProveDecl():
                pass
            case _:
                assert_never(decl)
        if entry is None:
            taken.broken.add(name.text)

    def _kind(self, module: tree.Module, decl: tree.TokenDecl) -> KindEntry | None:
        issuer = checked_text(decl.issuer, "issuer", self.found)
        if issuer is not None and issuer in self._issuers:
            others = (Label(self._issuers[issuer], "the other one"),)
            self.found.append(DuplicateIssuer(span=decl.issuer.span, issuer=issuer, others=others))
        elif issuer is not None:
            self._issuers[issuer] = decl.issuer.span
        if not self._is_first(decl.name, self._kinds):
            return None
        fields = fields_of(decl.claims, IMPLICIT_CLAIMS, None, self.found)
        self.broken |= {("token", name) for name in fields.broken}
        factors: dict[str, tree.FactorDecl] = {}
        for factor in decl.factors:
            if factor.name.text in factors:
                self.found.append(duplicate(factor.name, factors[factor.name.text].name))
            factors.setdefault(factor.name.text, factor)
        implicit = {name: Slot(SetType(Scalar.STRING), optional=False, declared=None) for name in IMPLICIT_CLAIMS}
        kind = ir.Kind(decl.name.text, issuer or "", fields.schemas)
        return KindEntry(kind, module.name.value, {**implicit, **fields.slots}, factors)

    def _relation(self, module: tree.Module, decl: tree.RelationDecl) -> RelationEntry | None:
        columns = self._columns(decl.columns, scalar=True)
        if columns is None:
            return None
        return RelationEntry(ir.Relation(f"{module.name.value}.{decl.name.text}", columns), decl)

    def _condition(self, decl: tree.ConditionDecl) -> ConditionEntry | None:
        parameters = self._columns(decl.parameters, scalar=False)
        if parameters is None:
            return None
        for parameter in decl.parameters:
            if parameter.name.text in ROOTS:
                meaning = "it is an input of every rule"
                shadowed = ShadowedName(span=parameter.name.span, name=parameter.name.text, meaning=meaning)
                self.found.append(shadowed)
        return ConditionEntry(decl, parameters)

    def _columns(self, written: Sequence[tree.Column], *, scalar: bool) -> tuple[tuple[str, Type], ...] | None:
        types: dict[str, Type] = {}
        first: dict[str, tree.Name] = {}
        for column in written:
            if column.name.text in first:
                self.found.append(duplicate(column.name, first[column.name.text]))
                continue
            first[column.name.text] = column.name
            read = (
                scalar_type(column.type, "a column", self.found) if scalar else declared_type(column.type, self.found)
            )
            if read is not None:
                types[column.name.text] = read
        return tuple(types.items()) if len(types) == len(written) else None

    def _service(
        self, module: tree.Module, decl: tree.ServiceDecl, labels: Mapping[str, tree.Name]
    ) -> ServiceEntry | None:
        entry = service_entry(module, decl, labels, self.found)
        self.broken |= {("path", name) for name in entry.broken_captures}
        self.broken |= {("query", name) for name in entry.broken_parameters}
        return entry if self._is_first(decl.name, self._services) else None

    def _is_first(self, name: tree.Name, seen: dict[str, tree.Name]) -> bool:
        if name.text in seen:
            self.found.append(duplicate(name, seen[name.text]))
            return False
        seen[name.text] = name
        return True


@dataclass(frozen=True, slots=True)
class _Taken:
    """The tables of one module while they fill."""

    labels: dict[str, tree.Name]
    kinds: dict[str, KindEntry]
    relations: dict[str, RelationEntry]
    conditions: dict[str, ConditionEntry]
    services: dict[str, ServiceEntry]
    rules: dict[str, tree.Rule]
    broken: set[str]


def _names_of(decl: tree.Decl) -> tuple[tree.Name, ...]:
    match decl:
        case tree.LabelDecl(names=names):
            return names
        case tree.TestDecl() | tree.ProveDecl():
            return ()
        case _:
            return (decl.name,)
