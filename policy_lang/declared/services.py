"""Services and their endpoints: routes read, texts checked, tags and labels resolved, ambiguous routes refused.

One `tree.ServiceDecl` and the scope of its module go in; `ServiceEntry` comes out with every mistake in it. `Services`
knows what the bundle has already: names of services, actions on resources.
INVARIANT: of two endpoints of a service that may take one call, one is the more specific, or they differ in that one
declares HEAD and the other is GET, which HEAD otherwise follows (ambiguity.py).
INVARIANT: an action on a type of resource is one endpoint of the bundle.
Source: language.md 4.4, points B, J, L; contracts.md "Requests".

Decision: 2026-11-21. An endpoint's tag stands before its service's of the same name; a header that the service declares
is not declared again.
Decision: 2026-11-21. An endpoint that is ambiguous beside several others is reported once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.declared.ambiguity import beside_each_other
from policy_lang.declared.declared_types import Fields, Part, fields_of
from policy_lang.declared.endpoints import EndpointEntry, ServiceEntry, place_of, read_pattern
from policy_lang.declared.entries import EnumEntry, KindEntry, LabelEntry
from policy_lang.declared.fields import Slot, Tag, checked_scope, duplicate, is_canonical_host
from policy_lang.declared.scopes import Scope
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.meaning.patterns import Pattern
from policy_lang.mistakes.names import (
    BadHost,
    BadTag,
    SameAction,
    TooMuch,
    UnknownLabel,
    UnknownModule,
    UnknownName,
    WrongPart,
)
from policy_lang.typesystem import IntType, Scalar, Type

_CAPTURE_NAME = re.compile(r"\{\s*([a-z][a-z0-9_]*)")
Shared = TypeVar("Shared", tree.Field, tree.TagValue)

MOST_FOR_ALL = 256
"""Headers, or tags, that a service declares for all its endpoints."""

_ID = Slot(Scalar.STRING, optional=False, declared=None)


class Services:
    """Takes services one after the other; `broken` are inputs they declare and do not have."""

    def __init__(self, modules: Mapping[str, Scope], found: list[Diagnostic]) -> None:
        self._modules = modules
        self._found = found
        self._names: dict[str, tree.Name] = {}
        self._actions: dict[tuple[str, str], tuple[str, tree.ActionRoute]] = {}
        self.broken: set[tuple[str, str]] = set()

    def take(self, scope: Scope, decl: tree.ServiceDecl) -> ServiceEntry | None:
        """The entry of one service."""
        first = self._names.setdefault(decl.name.text, decl.name)
        if first is not decl.name:
            self._found.append(duplicate(decl.name, first))
            self.pass_over(decl)
            return None
        reader = _Reader(scope, decl)
        entries: dict[str, EndpointEntry] = {}
        broken: set[str] = set()
        names: dict[str, tree.Name] = {}
        for endpoint in decl.endpoints:
            if endpoint.name.text in names:
                self._found.append(duplicate(endpoint.name, names[endpoint.name.text]))
                continue
            names[endpoint.name.text] = endpoint.name
            entry = reader.endpoint(endpoint)
            if entry is None:
                broken.add(endpoint.name.text)
                self._unusable(decl, endpoint)
            else:
                entries[endpoint.name.text] = entry
                self._only_action(entry)
        self.broken |= reader.broken
        service = reader.service(self._accepted(scope, decl))
        return ServiceEntry(
            service,
            decl,
            scope.name,
            {entry.decl.name.text: entry for entry in beside_each_other(entries.values(), self._found)},
            frozenset(broken),
            reader.tags,
            self._grants_by(scope, decl),
        )

    def pass_over(self, decl: tree.ServiceDecl) -> None:
        """Remember what a second service of one name would have had, so that nobody reports it as missing."""
        for endpoint in decl.endpoints:
            self._unusable(decl, endpoint)

    def _unusable(self, service: tree.ServiceDecl, decl: tree.EndpointDecl) -> None:
        """Remember what an endpoint would have had, so that nobody reports it as missing."""
        if isinstance(decl.route, tree.HttpRoute):
            self.broken |= {("path", name) for name in _CAPTURE_NAME.findall(decl.route.pattern.value)}
        self.broken |= {("query", field.name.text) for field in decl.query}
        self.broken |= {("header", field.name.text) for field in (*decl.headers, *service.headers)}
        self.broken |= {("resource", field.name.text) for field in decl.properties}
        self.broken |= {("endpoint", tag.name.text) for tag in (*decl.tags, *service.tags)}
        self.broken |= {("service", tag.name.text) for tag in service.tags}

    def _only_action(self, entry: EndpointEntry) -> None:
        route = entry.decl.route
        if not isinstance(route, tree.ActionRoute):
            return
        other, first = self._actions.setdefault((route.action.value, route.resource.value), (entry.endpoint.id, route))
        if first is not route:
            mistake = SameAction(
                span=route.span,
                one=entry.endpoint.id,
                other=other,
                action=f"`{route.action.value}`",
                resource=f"`{route.resource.value}`",
                others=(Label(first.span, "the other one"),),
            )
            self._found.append(mistake)

    def _accepted(self, scope: Scope, decl: tree.ServiceDecl) -> tuple[str, ...]:
        """The subject kinds that may be asserted, sorted."""
        accepted: dict[str, tree.Name] = {}
        for name in decl.accepts:
            kind = scope.wanted(name, KindEntry, "subject kind")
            if kind is None:
                continue
            if kind.kind.form == "token":
                where = "this is a token kind, which needs no leave"
                self._found.append(UnknownName(span=name.span, what="subject kind", name=name.text, where=where))
            elif kind.kind.id in accepted:
                self._found.append(duplicate(name, accepted[kind.kind.id]))
            else:
                accepted[kind.kind.id] = name
        return tuple(sorted(accepted))

    def _grants_by(self, scope: Scope, decl: tree.ServiceDecl) -> frozenset[str]:
        if decl.grants_by is None:
            return frozenset({scope.name})
        for text in decl.grants_by:
            if text.value not in self._modules:
                hint = hint_for(text.value, self._modules, self._found)
                self._found.append(UnknownModule(span=text.span, name=text.value, hint=hint))
        return frozenset(text.value for text in decl.grants_by)


class _Route(Struct, frozen=True):
    """A route, read. `pattern` is None for an action."""

    route: ir.Route
    written: str
    pattern: Pattern | None


class _Reader:
    """Reads one service and its endpoints."""

    def __init__(self, scope: Scope, decl: tree.ServiceDecl) -> None:
        self._scope = scope
        self._decl = decl
        self._found = scope.found
        self.broken: set[tuple[str, str]] = set()
        self.tags = self._tags(self._few(decl.tags, "tags"), ("endpoint", "service"))
        self._sorted = _sorted(self.tags)
        self._headers = self._fields(self._few(decl.headers, "headers"), "header")

    def service(self, accepts: tuple[str, ...]) -> ir.Service:
        """The service itself."""
        audiences = (self._scope.text(text, "audience") for text in self._decl.audiences)
        observe = self._decl.observe_until
        return ir.Service(
            id=self._decl.name.text,
            audiences=tuple(dict.fromkeys(each for each in audiences if each is not None)),
            hosts=self._hosts(),
            accepts=accepts,
            observe_until_ms=None if observe is None else observe.milliseconds,
            query_strict=self._decl.query_strict,
            tags=self._sorted,
        )

    def _few(self, written: tuple[Shared, ...], what: str) -> tuple[Shared, ...]:
        """What a service declares for all its endpoints, if that is not too much."""
        if len(written) <= MOST_FOR_ALL:
            return written
        why = f"each endpoint of the service has them all, more than {MOST_FOR_ALL}"
        remedy = "declare them at the endpoints that have them"
        self._found.append(TooMuch(span=written[MOST_FOR_ALL].span, what=what, why=why, remedy=remedy))
        return ()

    def _hosts(self) -> tuple[str, ...]:
        hosts: dict[str, None] = {}
        for text in self._decl.hosts:
            host = self._scope.text(text, "host") if isinstance(text, tree.Name) else text.value
            if host is not None and is_canonical_host(host):
                hosts[host] = None
            elif host is not None:
                self._found.append(BadHost(span=text.span, host=host))
        return tuple(hosts)

    def endpoint(self, decl: tree.EndpointDecl) -> EndpointEntry | None:
        """The entry of one endpoint; None where it has no route."""
        self._check_parts(decl)
        route = self._route(decl)
        scopes = (checked_scope(text, self._found) for text in decl.scopes)
        query = self._fields(decl.query, "query")
        headers = self._fields(decl.headers, "header", self._headers.first)
        properties = self._fields(decl.properties, "property")
        labels = self._labels(decl.labels)
        own_tags = self._tags(decl.tags, ("endpoint",))
        if route is None:
            return None
        action = isinstance(route.route, ir.Action)
        tags = {**self.tags, **own_tags} if own_tags else self.tags
        slots = {**self._headers.slots, **headers.slots} if headers.slots else self._headers.slots
        endpoint = ir.Endpoint(
            id=f"{self._decl.name.text}.{decl.name.text}",
            service=self._decl.name.text,
            route=route.route,
            written=route.written,
            scopes=tuple(dict.fromkeys(each for each in scopes if each is not None)),
            labels=labels,
            tags=_sorted(tags) if own_tags else self._sorted,
            query=query.schemas,
            headers=() if action else (*self._headers.schemas, *headers.schemas),
            properties=properties.schemas,
            closed=decl.closed,
            place=place_of(self._scope.module.source, decl.name.span),
        )
        return EndpointEntry(
            endpoint,
            decl,
            self._scope.name,
            route.pattern,
            _captures(decl, route.pattern),
            query.slots,
            {} if action else slots,
            {"id": _ID, **properties.slots} if action else {},
            tags,
            self.tags,
            follows=False,
        )

    def _check_parts(self, decl: tree.EndpointDecl) -> None:
        """Report parts that the form of a route has no place for."""
        match decl.route:
            case tree.ActionRoute():
                form, remedy = "an action", "declare what is known of the resource by `property`"
                wrong: Sequence[tuple[str, Sequence[tree.Field]]] = (("query", decl.query), ("header", decl.headers))
            case tree.GrpcRoute():
                form, remedy = "a gRPC", "a call of a gRPC method has headers and no query"
                wrong = (("query", decl.query), ("property", decl.properties))
            case tree.HttpRoute():
                form, remedy = "an HTTP", "properties are those of the resource of an `action` endpoint"
                wrong = (("property", decl.properties),)
        for part, fields in wrong:
            self._found += [WrongPart(span=each.span, form=form, part=part, remedy=remedy) for each in fields]

    def _route(self, decl: tree.EndpointDecl) -> _Route | None:
        match decl.route:
            case tree.HttpRoute(methods=methods, pattern=text):
                pattern = read_pattern(text, self._found)
                if pattern is None:
                    return None
                route = ir.Http(tuple(dict.fromkeys(methods)), pattern.segments, pattern.trailing_slash)
                return _Route(route, text.value, pattern)
            case tree.GrpcRoute(method=text):
                service, _, method = text.value.rpartition("/")
                pattern = Pattern((ir.Fixed(service), ir.Fixed(method)), trailing_slash=False)
                return _Route(ir.Grpc(service, method), text.value, pattern)
            case tree.ActionRoute(action=action, resource=resource):
                texts = self._scope.text(action, "action"), self._scope.text(resource, "type of resource")
                if texts[0] is None or texts[1] is None:
                    return None
                return _Route(ir.Action(texts[0], texts[1]), f"{texts[0]} on {texts[1]}", None)

    def _labels(self, names: Sequence[tree.Name]) -> tuple[str, ...]:
        labels = [_label(self._scope, name) for name in names]
        return tuple(sorted({label for label in labels if label is not None}))

    def _fields(
        self, written: Sequence[tree.Field], part: Part, before: Mapping[str, tree.Name] | None = None
    ) -> Fields:
        fields = fields_of(self._scope, written, part, before or {})
        root = "resource" if part == "property" else part
        self.broken |= {(root, name) for name in fields.broken}
        return fields

    def _tags(self, written: Sequence[tree.TagValue], roots: Sequence[str]) -> Mapping[str, Tag]:
        tags: dict[str, Tag] = {}
        first: dict[str, tree.Name] = {}
        for each in written:
            name = each.name.text
            if name in first:
                self._found.append(duplicate(each.name, first[name]))
                continue
            first[name] = each.name
            tag = self._tag(each)
            if tag is None:
                self.broken |= {(root, name) for root in roots}
            else:
                tags[name] = tag
        return tags

    def _tag(self, written: tree.TagValue) -> Tag | None:
        name, value = written.name.text, written.value
        if isinstance(value, tree.Text):
            return Tag(value.value, Scalar.STRING, written.span)
        self._scope.mention(name)
        enum = self._scope.find(name)
        if isinstance(enum, EnumEntry) and value.text in enum.type.values:
            return Tag(value.text, enum.type, written.span)
        if not self._scope.is_broken(name):
            known = enum.type.values if isinstance(enum, EnumEntry) else ()
            why = f"the enum `{name}` has no such value" if known else f"there is no enum `{name}`"
            hint = hint_for(value.text, known, self._found)
            self._found.append(BadTag(span=value.span, name=name, value=value.text, why=why, hint=hint))
        return None


def _label(scope: Scope, name: tree.Name) -> str | None:
    """The id of the label that a name means; None with a mistake."""
    scope.mention(name.text)
    entry = scope.find(name.text)
    if isinstance(entry, LabelEntry):
        return entry.id
    if not scope.is_broken(name.text):
        hint = hint_for(name.text, scope.names_of(LabelEntry), scope.found)
        where = scope.instead(name.text)
        scope.found.append(UnknownLabel(span=name.span, name=name.text, where=where, hint=hint))
    return None


def _sorted(tags: Mapping[str, Tag]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, tag.value) for name, tag in tags.items()))


def _captures(decl: tree.EndpointDecl, pattern: Pattern | None) -> Mapping[str, Slot]:
    if pattern is None or not isinstance(decl.route, tree.HttpRoute):
        return {}
    return {
        segment.name: Slot(_capture_type(segment.type), optional=False, declared=decl.route.pattern.span)
        for segment in pattern.segments
        if isinstance(segment, ir.Capture)
    }


def _capture_type(word: ir.CaptureType) -> Type:
    match word:
        case "int":
            return IntType()
        case "uuid":
            return Scalar.UUID
        case "string" | "opaque":
            return Scalar.STRING
