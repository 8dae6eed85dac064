"""What a test calls: a path as it would come, or an endpoint by name, whose path is built from its pattern.

`call …` goes in, a `Draft` comes out, or None with the mistakes; `set_input` applies a `with` to it, and `finished`
makes the call that is asked. Captures are percent-encoded and nothing more: a value that no path can hold (`a/b`, an
empty one) makes a call that is refused, as that call would be.
Source: language.md 5.7, points B, L; RFC 3986 2.1, 3.3.

Decision (2026-11-21): an argument whose name is a capture's and a parameter's is the capture, one that is a parameter's
and a header's the parameter; the other is set by `with`. An endpoint with several methods is called by the first it
declares, `ANY` by GET. `**` is called with nothing in its place; `*` has no name, so that such a call is by its path.
Decision (2026-11-21): of a call by path, `with query.…` and `with header.…` mean the fields that the service's
endpoints declare; where two declare one differently, the test calls by endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import assert_never
from urllib.parse import quote, unquote_plus

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.declared.endpoints import ServiceEntry
from policy_lang.declared.entries import ModuleEntry
from policy_lang.declared.targets import it_has
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.mistakes.cases import CannotSet, GivenTwice, LackingArgument, NotAMethod
from policy_lang.mistakes.names import UnknownAttribute, UnknownEndpoint, UnknownService
from policy_lang.trials.cases import WireCall
from policy_lang.trials.values import Values, placed
from policy_lang.typesystem import IntType, Scalar, Type
from policy_lang.verdict import ActionCall, Json

_SEGMENT_SAFE = "!$&'()*+,=:@"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_ROOTS = ("query", "header", "resource")
_GRPC_HEADERS = {"content-type": ("application/grpc",)}


class Wire(Struct):
    """A request with a path. `query` are its pieces as they stand between `&`, None without a `?`."""

    method: str
    path: str
    query: list[str] | None
    headers: dict[str, tuple[str, ...]]


class Acted(Struct):
    """An action on a resource; `properties` by the name they are declared by."""

    route: ir.Action
    id: str | None
    properties: dict[str, Json]


class Draft(Struct, frozen=True):
    """A call while `with` changes it. `endpoint` None: the path decides which it is."""

    service: ServiceEntry
    endpoint: ir.Endpoint | None
    call: Wire | Acted

    @property
    def endpoints(self) -> tuple[ir.Endpoint, ...]:
        """Those that may be called, and whose inputs may be set."""
        if self.endpoint is not None:
            return (self.endpoint,)
        return tuple(entry.endpoint for entry in self.service.endpoints.values())

    def fields(self, root: str) -> list[ir.FieldSchema]:
        """The query parameters, headers or properties that may be set, each way of declaring one once."""
        return list(dict.fromkeys(field for endpoint in self.endpoints for field in _fields(endpoint, root)))

    def captures(self) -> Mapping[str, Type]:
        """The captures that the path of the call may have."""
        return {name: type_ for endpoint in self.endpoints for name, type_ in _captures(endpoint).items()}


def _fields(endpoint: ir.Endpoint, root: str) -> tuple[ir.FieldSchema, ...]:
    return {"query": endpoint.query, "header": endpoint.headers}.get(root, endpoint.properties)


def _captures(endpoint: ir.Endpoint) -> dict[str, Type]:
    if not isinstance(endpoint.route, ir.Http):
        return {}
    return {each.name: _capture_type(each.type) for each in endpoint.route.segments if isinstance(each, ir.Capture)}


def _capture_type(written: ir.CaptureType) -> Type:
    return IntType() if written == "int" else Scalar.UUID if written == "uuid" else Scalar.STRING


class Calls:
    """Reads the calls of one test."""

    def __init__(self, entry: ModuleEntry, values: Values, found: list[Diagnostic]) -> None:
        self._entry = entry
        self._values = values
        self._found = found

    def draft(self, spec: tree.CallSpec) -> Draft | None:
        """The call as it is written, before any `with`."""
        service = self._service(spec.service)
        match spec:
            case tree.PathCall(method=method, path=path):
                if method == "ANY":
                    self._found.append(NotAMethod(span=spec.span, method=method))
                text, mark, query = path.value.partition("?")
                call = Wire(method, text, query.split("&") if mark else None, {})
                return None if service is None else Draft(service, None, call)
            case tree.GrpcCall(method=rpc):
                called = Wire("POST", f"/{rpc.value}", None, dict(_GRPC_HEADERS))
                return None if service is None else Draft(service, None, called)
            case tree.EndpointCall():
                return None if service is None else self._by_endpoint(service, spec)
            case _:
                assert_never(spec)

    def _service(self, name: tree.Name) -> ServiceEntry | None:
        entry = self._entry.scope.get(name.text)
        if isinstance(entry, ServiceEntry):
            return entry
        if entry is not None or name.text not in self._entry.broken:
            known = [each for each, what in self._entry.scope.items() if isinstance(what, ServiceEntry)]
            hint = hint_for(name.text, known, self._found)
            self._found.append(UnknownService(span=name.span, name=name.text, hint=hint))
        return None

    # ------------------------------------------------------------ by endpoint

    def _by_endpoint(self, service: ServiceEntry, spec: tree.EndpointCall) -> Draft | None:
        name = spec.endpoint.text
        entry = service.endpoints.get(name)
        if entry is None:
            if name not in service.broken_endpoints:
                hint = hint_for(name, service.endpoints, self._found) or it_has(service)
                own = service.service.id
                self._found.append(UnknownEndpoint(span=spec.endpoint.span, service=own, name=name, hint=hint))
            return None
        endpoint = entry.endpoint
        arguments: dict[str, tuple[tree.Name, tree.Expr]] = {}
        for argument, expr in spec.arguments:
            if argument.text in arguments:
                self._found.append(GivenTwice(span=argument.span, what=f"`{argument.text}`"))
            arguments[argument.text] = (argument, expr)
        before = len(self._found)
        match endpoint.route:
            case ir.Http() as http:
                path = self._path(spec, endpoint, http, arguments)
                call: Wire | Acted = Wire("GET" if "ANY" in http.methods else http.methods[0], path, None, {})
            case ir.Grpc(service=package, method=method):
                call = Wire("POST", f"/{package}/{method}", None, dict(_GRPC_HEADERS))
            case ir.Action() as action:
                call = Acted(action, self._id(spec, endpoint, arguments), {})
            case _:
                assert_never(endpoint.route)
        draft = Draft(service, endpoint, call)
        for argument, expr in arguments.values():
            self._argument(draft, endpoint, argument, expr)
        return draft if len(self._found) == before else None

    def _path(
        self,
        spec: tree.EndpointCall,
        endpoint: ir.Endpoint,
        route: ir.Http,
        arguments: dict[str, tuple[tree.Name, tree.Expr]],
    ) -> str:
        parts: list[str] = []
        for segment in route.segments:
            match segment:
                case ir.Fixed(text=text):
                    parts.append(_encoded(text))
                case ir.Capture(name=name, type=type_):
                    given = arguments.pop(name, None)
                    if given is None or isinstance(given[1], tree.UnsetLit):
                        remedy = f"give it a value: {{ {name}: … }}"
                        self._lacking(spec, endpoint, f"`{name}`", remedy)
                    else:
                        value = self._values.value(given[1], _capture_type(type_))
                        parts.append("" if value is None else _encoded(str(value)))
                case ir.AnySegment():
                    remedy = "a segment of its pattern has no name: write the method and the path"
                    self._lacking(spec, endpoint, "its path", remedy)
                case ir.Rest():
                    pass
                case _:
                    assert_never(segment)
        return f"/{'/'.join(parts)}{'/' if route.trailing_slash and parts else ''}"

    def _id(
        self, spec: tree.EndpointCall, endpoint: ir.Endpoint, arguments: dict[str, tuple[tree.Name, tree.Expr]]
    ) -> str | None:
        given = arguments.pop("id", None)
        if given is None or isinstance(given[1], tree.UnsetLit):
            self._lacking(spec, endpoint, "`id`", 'a resource has an id: { id: "…" }')
            return None
        value = self._values.value(given[1], Scalar.STRING)
        return value if isinstance(value, str) else None

    def _lacking(self, spec: tree.EndpointCall, endpoint: ir.Endpoint, what: str, remedy: str) -> None:
        self._found.append(LackingArgument(span=spec.endpoint.span, endpoint=endpoint.id, what=what, remedy=remedy))

    def _argument(self, draft: Draft, endpoint: ir.Endpoint, name: tree.Name, expr: tree.Expr) -> None:
        for root in _ROOTS:
            if any(field.name == name.text for field in _fields(endpoint, root)):
                self.set_input(draft, root, name, expr)
                return
        known = [*_captures(endpoint), *(field.name for root in _ROOTS for field in draft.fields(root))]
        hint = hint_for(name.text, known, self._found)
        why = f"`{endpoint.id}` takes no such argument"
        self._found.append(UnknownAttribute(span=name.span, name=name.text, why=why, hint=hint))

    # ------------------------------------------------------------ inputs of the call

    def set_input(self, draft: Draft, root: str, name: tree.Name, expr: tree.Expr) -> None:
        """Set a query parameter, a header or a property of the resource; take it away where `expr` is `unset`."""
        written = f"{root}.{name.text}"
        call = draft.call
        if isinstance(call, Acted) and root == "resource" and name.text == "id":
            value = self._values.value(expr, Scalar.STRING)
            call.id = value if isinstance(value, str) else call.id
            return
        field = self._field(draft, root, name)
        if field is None:
            return
        value = None if isinstance(expr, tree.UnsetLit) else self._values.value(expr, field.type)
        if value is None and not isinstance(expr, tree.UnsetLit):
            return
        if isinstance(call, Acted):
            call.properties.pop(field.name, None)
            if value is not None:
                call.properties[field.name] = self._values.claim_json(value, field.type, expr, written)
            return
        texts = () if value is None else self._values.wire_texts(value, field.type, expr, written)
        if root == "query":
            _set_query(call, field.source[0], texts)
        elif any(_CONTROL.search(text) or text != text.strip(" \t") for text in texts):
            why = "a header holds no control character, and no space at its ends"
            self._found.append(CannotSet(span=expr.span, name=written, why=why))
        else:
            call.headers.pop(field.source[0], None)
            if texts:
                call.headers[field.source[0]] = texts

    def _field(self, draft: Draft, root: str, name: tree.Name) -> ir.FieldSchema | None:
        """What the endpoints that may be called declare by this name."""
        known = draft.fields(root)
        named = [field for field in known if field.name == name.text]
        if len({(field.type, field.source) for field in named}) > 1:
            own = draft.service.service.id
            why = f"endpoints of `{own}` declare it differently; call one as `{own}.ENDPOINT`"
            self._found.append(CannotSet(span=name.span, name=f"{root}.{name.text}", why=why))
            return None
        if named:
            return named[0]
        hint = hint_for(name.text, [field.name for field in known], self._found)
        why = "what is called declares no such input"
        self._found.append(UnknownAttribute(span=name.span, name=f"{root}.{name.text}", why=why, hint=hint))
        return None

    def finished(self, draft: Draft, host: str | None, node: tree.Node) -> WireCall | ActionCall | None:
        """The call to be asked; `node` is where a clash of two properties is shown."""
        call = draft.call
        if isinstance(call, Wire):
            query = "" if call.query is None else f"?{'&'.join(call.query)}"
            return WireCall(call.method, f"{call.path}{query}", host, call.headers)
        properties = placed(call.properties, {field.name: field.source for field in draft.fields("resource")})
        if isinstance(properties, str):
            why = "another property stands at its place"
            self._found.append(CannotSet(span=node.span, name=f"resource.{properties}", why=why))
            return None
        return ActionCall(call.route.action, call.route.resource, call.id or "", properties)


def _encoded(text: str) -> str:
    """A segment as a path holds it."""
    return quote(text, safe=_SEGMENT_SAFE)


def _set_query(call: Wire, name: str, texts: Iterable[str]) -> None:
    """Replace what the query says of one parameter, in whatever spelling; the rest of it stays as it is written."""
    kept = [piece for piece in call.query or () if piece and unquote_plus(piece.partition("=")[0]) != name]
    added = [f"{quote(name, safe='')}={quote(text, safe='')}" for text in texts]
    if kept or added or call.query is not None:
        call.query = [*kept, *added]
