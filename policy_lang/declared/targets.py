"""What a rule speaks of: the `on` clause to a set of declared endpoints.

Source: language.md 4.4. A pattern covers an endpoint wholly or not at all; one that cuts through is refused (E405), and
one that covers nothing is (E404), so that no rule silently misses what it names. Who may grant: 4.3.

Decision: 2026-11-21. Paths that a more specific endpoint takes are no part of a wider one: `GET /a` does not cut
through `/{name}` where `/a` is declared too. They are taken only by methods that the other endpoint declares: a rule on
`ANY /a` beside `GET /a` and `ANY /{name}` cuts through the latter.
Decision: 2026-11-21. HEAD belongs to the endpoint that routing gives it to, which is that of GET where nobody declares
HEAD. A rule that names GET covers that endpoint with its HEAD; one that names HEAD alone cuts through it.
Decision: 2026-11-21. `tagged` that leaves nothing is no mistake but a rule that never applies (W801): a guard rail may
stand before there is anything to guard.
Decision: 2026-11-21. Of the endpoints that one pattern cuts through, the first is named.
Decision: 2026-11-21. No pattern covers an `action` endpoint: it has no path. `on SERVICE` and `on any endpoint` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.declared.covering import MOST_STEPS, STEPS_A_TARGET, Covering
from policy_lang.declared.endpoints import EndpointEntry, ServiceEntry, read_pattern
from policy_lang.declared.entries import Inventory, LabelEntry, ModuleEntry
from policy_lang.declared.foreign_patterns import path_hint
from policy_lang.declared.scopes import NOT_HERE
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.meaning.patterns import Pattern, covers, shape
from policy_lang.mistakes.names import MayNotGrant, UnknownEndpoint, UnknownLabel, UnknownService
from policy_lang.mistakes.rules import CoversNothing, CutsEndpoint, TooManyTogether

Indices = tuple[int, ...]
"""Endpoints of the inventory, ascending. Rules of one target share one tuple: ten thousand may say `any endpoint`."""

MOST_LISTED = 8
"""Modules that a message lists."""

MOST_LOOKED_AT = 100
"""Services that are asked for an endpoint of a name that is no service's."""

_ALL = frozenset(("all", "everything", "anything", "every", "each"))

LISTED_A_STEP = 8
"""Endpoints put into one more list, as steps of finding what clauses cover."""


class Targets:
    """Resolves targets against one inventory."""

    def __init__(self, inventory: Inventory, found: list[Diagnostic]) -> None:
        self._endpoints = inventory.endpoints
        self._services = {service.service.id: service for service in inventory.services}
        self._found = found
        self._all = tuple(range(len(inventory.endpoints)))
        self._covering = Covering(inventory.endpoints)
        self._steps_left = MOST_STEPS
        self._by_id: dict[str, Indices] = {}
        self._labelled: dict[str, set[int]] = {}
        self._holding: dict[tuple[frozenset[str], bool], frozenset[int]] = {}
        self._covered: dict[tuple[str, tuple[str, ...], frozenset[str], frozenset[str], bool], Indices] = {}
        self._tagged: dict[tuple[str | None, frozenset[str], bool], Indices] = {}
        self._joined: dict[tuple[int, ...], Indices] = {}
        self._foreign: dict[tuple[str, int], ServiceEntry | None] = {}
        by_service: dict[str, list[int]] = {service.service.id: [] for service in inventory.services}
        for index, entry in enumerate(inventory.endpoints):
            by_service[entry.endpoint.service].append(index)
            self._by_id[entry.endpoint.id] = (index,)
            for label in entry.endpoint.labels:
                self._labelled.setdefault(label, set()).add(index)
        self._by_service = {service: tuple(indices) for service, indices in by_service.items()}

    def resolve(
        self, module: ModuleEntry, clause: tree.OnClause, name: tree.Name | tree.Text, *, grants: bool
    ) -> Indices:
        """The indices of the endpoints that a clause of the rule or proof `name` names; `grants` in an allow."""
        if self._steps_left < 0:
            return ()  # as was said: what the clauses say is too much
        before = self._covering.steps
        reached: list[Indices] = []
        for target in clause.targets:
            named = self._target(module, target)
            if grants:
                self._refuse_foreign(module, target, named)
            reached.append(named)
        joined = reached[0] if len(reached) == 1 else self._join(reached)
        self._steps_left += STEPS_A_TARGET * len(clause.targets) - (self._covering.steps - before)
        if self._steps_left < 0:
            self._found.append(_too_much(clause, name))
        return joined

    def _join(self, parts: Sequence[Indices]) -> Indices:
        """Several targets together. Each part is kept for good, so that its id stays its own."""
        key = tuple(dict.fromkeys(id(part) for part in parts))
        known = self._joined.get(key)
        if known is None:
            known = self._joined[key] = tuple(sorted(set().union(*{id(part): part for part in parts}.values())))
            self._covering.steps += sum(len(part) for part in parts) // LISTED_A_STEP
        return known

    def names_of(self, clause: tree.OnClause) -> Iterator[str]:
        """The names that the clause mentions: services and labels."""
        for target in clause.targets:
            if not isinstance(target.base, tree.Everything):
                yield target.base.service.text
            if target.tagged is not None:
                yield from (label.text for label in target.tagged.labels)

    # ------------------------------------------------------------ bases

    def _target(self, module: ModuleEntry, target: tree.Target) -> Indices:
        labels = self._labels(module, target.tagged)
        if labels is None:
            return ()
        every = target.tagged is not None and target.tagged.every
        base = target.base
        match base:
            case tree.Everything():
                return self._everything(labels, every)
            case tree.OfService(service=name):
                service = self._service(module, name)
                return () if service is None else self._of(service, labels, every)
            case tree.OfEndpoint(service=name, endpoint=endpoint):
                service = self._service(module, name)
                named = () if service is None else self._endpoint(service, endpoint)
                return named if not labels or self._holders(labels, every).issuperset(named) else ()
            case tree.OfPattern(service=name):
                service = self._service(module, name)
                return () if service is None else self._matching(service, base, labels, every)
            case _:
                assert_never(base)

    def _service(self, module: ModuleEntry, name: tree.Name) -> ServiceEntry | None:
        entry = module.scope.get(name.text)
        if isinstance(entry, ServiceEntry):
            return entry
        if name.text not in module.broken:
            known = (each for each, entry in module.scope.items() if isinstance(entry, ServiceEntry))
            where = NOT_HERE if entry is None else "this is no service"
            hint = self._meant(module, name.text) or hint_for(name.text, known, self._found)
            self._found.append(UnknownService(span=name.span, name=name.text, where=where, hint=hint))
        return None

    def _meant(self, module: ModuleEntry, name: str) -> str:
        """A hint where a name is that of an endpoint, or a word for all of them."""
        if name in _ALL:
            return "`on any endpoint` reaches all"
        services = islice((each for each in module.scope.values() if isinstance(each, ServiceEntry)), MOST_LOOKED_AT)
        service = next((each for each in services if name in each.endpoints), None)
        return "" if service is None else f"did you mean `{service.service.id.rpartition('.')[2]}.{name}`?"

    def _endpoint(self, service: ServiceEntry, name: tree.Name) -> Indices:
        entry = service.endpoints.get(name.text)
        if entry is not None:
            return self._by_id[entry.endpoint.id]
        if name.text not in service.broken_endpoints:
            hint = hint_for(name.text, service.endpoints, self._found) or it_has(service)
            service_id = service.service.id
            self._found.append(UnknownEndpoint(span=name.span, service=service_id, name=name.text, hint=hint))
        return ()

    # ------------------------------------------------------------ labels

    def _labels(self, module: ModuleEntry, tagged: tree.TagFilter | None) -> frozenset[str] | None:
        """The ids of the labels asked for, none without a filter; None after a mistake."""
        ids: set[str] = set()
        whole = True
        for label in () if tagged is None else tagged.labels:
            entry = module.scope.get(label.text)
            if isinstance(entry, LabelEntry):
                ids.add(entry.id)
                continue
            whole = False
            if label.text not in module.broken:
                known = (each for each, entry in module.scope.items() if isinstance(entry, LabelEntry))
                where = NOT_HERE if entry is None else "this is no label"
                hint = hint_for(label.text, known, self._found)
                self._found.append(UnknownLabel(span=label.span, name=label.text, where=where, hint=hint))
        return frozenset(ids) if whole else None

    def _everything(self, labels: frozenset[str], every: bool) -> Indices:
        return self._all if not labels else self._narrowed(None, self._all, labels, every)

    def _of(self, service: ServiceEntry, labels: frozenset[str], every: bool) -> Indices:
        whole = self._by_service[service.service.id]
        return whole if not labels else self._narrowed(service.service.id, whole, labels, every)

    def _narrowed(self, service: str | None, whole: Indices, labels: frozenset[str], every: bool) -> Indices:
        """The endpoints of a service, or of all, that have the labels."""
        key = (service, labels, every)
        known = self._tagged.get(key)
        if known is None:
            known = self._tagged[key] = tuple(sorted(self._holders(labels, every).intersection(whole)))
            self._covering.steps += len(whole) // LISTED_A_STEP
        return known

    def _holders(self, labels: frozenset[str], every: bool) -> frozenset[int]:
        """The endpoints that have one of the labels, or all of them."""
        key = (labels, every)
        known = self._holding.get(key)
        if known is None:
            sets = [self._labelled.get(label, set()) for label in labels]
            known = frozenset(set.intersection(*sets) if every else set().union(*sets))
            self._holding[key] = known
            self._covering.steps += sum(len(each) for each in sets) // LISTED_A_STEP
        return known

    # ------------------------------------------------------------ patterns

    def _matching(self, service: ServiceEntry, base: tree.OfPattern, labels: frozenset[str], every: bool) -> Indices:
        pattern = read_pattern(base.pattern, self._found)
        if pattern is None:
            return ()
        key = (service.service.id, shape(pattern), frozenset(base.methods), labels, every)
        covered = self._covered.get(key)
        if covered is None:
            covered = self._covered_by(service, base, pattern, labels, every)
            if covered is None:
                return ()
            self._covered[key] = covered
        return covered

    def _covered_by(
        self, service: ServiceEntry, base: tree.OfPattern, pattern: Pattern, labels: frozenset[str], every: bool
    ) -> Indices | None:
        """The endpoints that a pattern covers; None after a mistake."""
        near = self._covering.near(service.service.id, pattern)
        self._covering.steps += len(near)
        meant = self._holders(labels, every) if labels else frozenset(near)
        wanted = frozenset(base.methods)
        covered: list[int] = []
        nothing = True
        for index, reach in self._covering.reaches(pattern, wanted, near):
            nothing = nothing and reach == "none"
            if reach == "whole" and index in meant:
                covered.append(index)
            elif reach == "part" and index in meant:
                # The first is enough: a pattern may cut through every endpoint there is.
                self._found.append(_cut(base, pattern, self._endpoints[index]))
                return None
        if nothing and not service.broken_endpoints:
            self._found.append(
                CoversNothing(span=base.span, service=service.service.id, hint=path_hint(base.pattern.value))
            )
            return None
        return tuple(covered)

    # ------------------------------------------------------------ who may grant

    def _refuse_foreign(self, module: ModuleEntry, target: tree.Target, named: Indices) -> None:
        key = (module.name, id(named))  # what was named is kept for good
        if key not in self._foreign:
            self._foreign[key] = self._first_foreign(module, named)
        service = self._foreign[key]
        if service is None:
            return
        owners = sorted(service.grants_by)
        self._found.append(
            MayNotGrant(
                span=target.span,
                module=module.name,
                service=service.service.id,
                owners=listed(owners[:MOST_LISTED], max(0, len(owners) - MOST_LISTED)),
                wider=", ".join([*owners[:MOST_LISTED], module.name]),
                others=(_granted_by(service),),
            )
        )

    def _first_foreign(self, module: ModuleEntry, named: Iterable[int]) -> ServiceEntry | None:
        """The first service among some endpoints that does not let the module grant."""
        ids = dict.fromkeys(self._endpoints[index].endpoint.service for index in named)
        services = (self._services[id_] for id_ in ids)
        return next((each for each in services if module.name not in each.grants_by), None)


def _granted_by(service: ServiceEntry) -> Label:
    """Where a service says who may grant on it; without `grants by`, its declaration says it."""
    named = service.decl.grants_by
    if not named:
        return Label(service.decl.name.span, "declared here, without `grants by`")
    return Label(named[0].span.to(named[-1].span), "`grants by` names these")


def _too_much(clause: tree.OnClause, name: tree.Name | tree.Text) -> TooManyTogether:
    return TooManyTogether(
        span=clause.span,
        name=name.text if isinstance(name, tree.Name) else name.value,
        why=f"finding what `on` covers takes more than {MOST_STEPS} steps, and {STEPS_A_TARGET} for each target",
        where="past the limit here",
        remedy="use fewer forms of patterns and combinations of labels, or name services and endpoints",
    )


def listed(names: Sequence[str], more: int) -> str:
    """Names in quotes, and how many there are besides."""
    return ", ".join(f"`{name}`" for name in names) + (f" and {more} more" if more else "")


def it_has(service: ServiceEntry) -> str:
    """The endpoints of a service, for who named one that it has not."""
    names = list(islice(service.endpoints, MOST_LISTED))
    more = len(service.endpoints) - len(names)
    return f"it has {listed(names, more)}" if names else ""


def _cut(base: tree.OfPattern, pattern: Pattern, entry: EndpointEntry) -> CutsEndpoint:
    endpoint = entry.endpoint
    route = endpoint.written
    if isinstance(entry.decl.route, tree.HttpRoute):
        route = f"{'|'.join(entry.decl.route.methods)} {route}"
    hint = ""
    if entry.follows and "HEAD" in base.methods and "GET" not in base.methods:
        hint = "HEAD follows GET here: name GET too, or declare an endpoint for HEAD"
    hint = hint or path_hint(base.pattern.value)
    others = (Label(entry.decl.name.span, "declared here"),)
    told = _told_apart(pattern, entry)
    return CutsEndpoint(span=base.span, endpoint=endpoint.id, route=route, input=told, hint=hint, others=others)


def _told_apart(pattern: Pattern, entry: EndpointEntry) -> str:
    """The input of an endpoint whose calls a pattern tells apart: the method, a capture, else the path."""
    if entry.pattern is None or covers(pattern, entry.pattern):
        return "`request.method`"
    for wanted, held in zip(pattern.segments, entry.pattern.segments, strict=False):
        if isinstance(held, ir.Capture) and isinstance(wanted, ir.Fixed | ir.Capture) and wanted != held:
            return f"`path.{held.name}`"
    return "`request.path`"
