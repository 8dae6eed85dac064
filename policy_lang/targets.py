"""What a rule speaks of: the `on` clause to a set of declared endpoints.

Source: language.md 4.4. A pattern covers an endpoint wholly or not at all; one that cuts through is refused (E405), and
one that covers nothing is (E404), so that no rule silently misses what it names.

Decision: 2026-11-21. Paths that a more specific endpoint takes are no part of a wider one: `GET /a` does not cut
through `/{name}` where `/a` is declared too. They are taken only by methods that the other endpoint declares: a rule on
`ANY /a` beside `GET /a` and `ANY /{name}` cuts through the latter.
Decision: 2026-11-21. HEAD belongs to the endpoint that routing gives it to, which is that of GET where nobody declares
HEAD. A rule that names GET covers that endpoint with its HEAD; one that names HEAD alone cuts through it.
Decision: 2026-11-21. `tagged` that leaves nothing is no mistake but a rule that never applies (W801): a guard rail may
stand before there is anything to guard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, assert_never

from policy_lang import tree
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.endpoints import EndpointEntry, ServiceEntry, read_pattern
from policy_lang.inventory import Inventory, ModuleEntry
from policy_lang.mistakes.names import UnknownEndpoint, UnknownLabel, UnknownService
from policy_lang.mistakes.rules import CoversNothing, CutsEndpoint, MayNotGrant
from policy_lang.pattern_index import PatternIndex
from policy_lang.patterns import Pattern, covers, intersection, more_specific

Reach = Literal["none", "part", "whole"]


class Targets:
    """Resolves targets against one inventory."""

    def __init__(self, inventory: Inventory, found: list[Diagnostic]) -> None:
        self._endpoints = inventory.endpoints
        self._found = found
        self._by_service: dict[str, list[int]] = {service.service.id: [] for service in inventory.services}
        self._index = {service.service.id: PatternIndex() for service in inventory.services}
        self._by_id: dict[str, int] = {}
        for index, entry in enumerate(inventory.endpoints):
            self._by_service[entry.endpoint.service].append(index)
            self._index[entry.endpoint.service].add(index, entry.pattern)
            self._by_id[entry.endpoint.id] = index

    def resolve(self, module: ModuleEntry, rule: tree.Rule, clause: tree.OnClause) -> tuple[int, ...]:
        """The indices of the endpoints that the clause names, ascending."""
        reached: set[int] = set()
        for target in clause.targets:
            named = self._target(module, target)
            if rule.effect == "allow":
                self._refuse_foreign(module, target, named)
            reached.update(named)
        return tuple(sorted(reached))

    def labels_of(self, clause: tree.OnClause) -> frozenset[str]:
        """The labels that the clause mentions."""
        return frozenset(
            label.text for target in clause.targets if target.tagged is not None for label in target.tagged.labels
        )

    def _target(self, module: ModuleEntry, target: tree.Target) -> list[int]:
        if target.tagged is not None:
            unknown = [each for each in target.tagged.labels if each.text not in module.labels]
            self._found += [UnknownLabel(span=each.span, name=each.text) for each in unknown]
            if unknown:
                return []
        base = target.base
        match base:
            case tree.Everything():
                return self._tagged(range(len(self._endpoints)), target.tagged)
            case tree.OfService(service=name):
                service = self._service(module, name)
                return [] if service is None else self._tagged(self._of(service), target.tagged)
            case tree.OfEndpoint(service=name, endpoint=endpoint):
                service = self._service(module, name)
                return [] if service is None else self._tagged(self._endpoint(service, endpoint), target.tagged)
            case tree.OfPattern(service=name):
                service = self._service(module, name)
                return [] if service is None else self._matching(service, base, target.tagged)
            case _:
                assert_never(base)

    def _service(self, module: ModuleEntry, name: tree.Name) -> ServiceEntry | None:
        service = module.services.get(name.text)
        if service is None and name.text not in module.broken:
            hint = hint_for(name.text, module.services, self._found)
            self._found.append(UnknownService(span=name.span, name=name.text, hint=hint))
        return service

    def _of(self, service: ServiceEntry) -> list[int]:
        return self._by_service[service.service.id]

    def _endpoint(self, service: ServiceEntry, name: tree.Name) -> list[int]:
        entry = service.endpoints.get(name.text)
        if entry is not None:
            return [self._by_id[entry.endpoint.id]]
        if name.text not in service.broken_endpoints:
            hint = hint_for(name.text, service.endpoints, self._found)
            service_id = service.service.id
            self._found.append(UnknownEndpoint(span=name.span, service=service_id, name=name.text, hint=hint))
        return []

    def _tagged(self, indices: Iterable[int], tagged: tree.TagFilter | None) -> list[int]:
        if tagged is None:
            return list(indices)
        wanted = {label.text for label in tagged.labels}
        enough = len(wanted) if tagged.every else 1
        return [i for i in indices if len(wanted.intersection(self._endpoints[i].endpoint.labels)) >= enough]

    def _matching(self, service: ServiceEntry, base: tree.OfPattern, tagged: tree.TagFilter | None) -> list[int]:
        pattern = read_pattern(base.pattern, self._found)
        if pattern is None:
            return []
        near = self._index[service.service.id].near(pattern)
        entries = [self._endpoints[index] for index in near]
        wanted = frozenset(base.methods)
        reached = {index: _reach(pattern, wanted, self._endpoints[index], entries) for index in near}
        if all(reach == "none" for reach in reached.values()):
            if not service.broken_endpoints:
                self._found.append(CoversNothing(span=base.span, service=service.service.id))
            return []
        meant = self._tagged(reached, tagged)
        for index in meant:
            if reached[index] == "part":
                self._found.append(_cut(base, self._endpoints[index]))
        return [index for index in meant if reached[index] == "whole"]

    def _refuse_foreign(self, module: ModuleEntry, target: tree.Target, named: list[int]) -> None:
        for index in named:
            entry = self._endpoints[index]
            if entry.module != module.name:
                service = entry.endpoint.service
                self._found.append(MayNotGrant(span=target.span, module=module.name, service=service))
                return


def _cut(base: tree.OfPattern, entry: EndpointEntry) -> CutsEndpoint:
    endpoint = entry.endpoint
    route = f"{'|'.join(endpoint.methods)} {endpoint.route}"
    hint = ""
    if entry.follows and "HEAD" in base.methods and "GET" not in base.methods:
        hint = "HEAD follows GET here: name GET too, or declare an endpoint for HEAD"
    return CutsEndpoint(span=base.span, endpoint=endpoint.id, route=route, hint=hint)


def _reach(pattern: Pattern, wanted: frozenset[str], entry: EndpointEntry, near: list[EndpointEntry]) -> Reach:
    """How much of the endpoint a rule's methods and pattern hold; `near` are those that may share paths with it."""
    shared = _shared_methods(wanted, entry)
    held = intersection(pattern, entry.pattern)
    if not shared or held is None:
        return "none"
    if covers(pattern, entry.pattern) and shared == entry.methods:
        return "whole"
    narrower = [other for other in near if more_specific(other.pattern, entry.pattern) and _holds(other, held)]
    elsewhere = all(any(other.takes(method) for other in narrower) for method in shared)
    return "none" if elsewhere else "part"


def _holds(other: EndpointEntry, held: Pattern) -> bool:
    return other.pattern.trailing_slash == held.trailing_slash and covers(other.pattern, held)


def _shared_methods(wanted: frozenset[str], entry: EndpointEntry) -> frozenset[str]:
    """The methods of an endpoint that are wanted; of one that takes any, those that are. GET brings its HEAD along."""
    if "ANY" in wanted:
        return entry.methods
    if "ANY" in entry.methods:
        return wanted
    shared = wanted & entry.methods
    return shared | {"HEAD"} if entry.follows and "GET" in shared else shared
