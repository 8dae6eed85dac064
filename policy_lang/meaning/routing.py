"""Which declared endpoint a call is for, and what its captures are; or why it is for none.

In come a service and a call, out goes a `Routed` with the index of the endpoint in `Program.endpoints`, or a
`RouteRefusal`:

    by route, route.service          the service is not declared
    by route, route.host             the host is not one of the service's; a service without hosts is reached by none
    by route, route.endpoint         no pattern of the service fits the path
    by route, route.method           a pattern fits, under other methods only
    by route, route.not_grpc         the path is that of a gRPC method, and the call is no gRPC call
    by route, route.action           the service has no endpoint for the action and the type of the resource
    by path,  path.encoded_literal   a segment equals a declared literal at its place only by escaping a character that
                                     may stand raw: a back end may or may not take the two for one
    by path,  path.encoded_slash     a segment holds `%2F`, and no pattern that fits has an `opaque` capture there

Patterns are compared with decoded segments. Of the patterns that fit and take the method, the most specific one wins,
segment by segment: literal, typed capture, untyped capture, `opaque` capture, `*`, `**`; the compiler refuses
inventories in which that leaves two (E410). A trailing slash is part of the pattern, exact, also after `**`. HEAD
follows GET unless an endpoint of that very pattern declares HEAD. `ANY` is every method; methods are compared with
their case. A gRPC call is POST on `/package.Service/Method`, without a query, and its one content type is
`application/grpc`, alone or followed by `+` or `;`.
Source: contracts.md "Which service…", "Requests"; language.md 4.4, 6.2, points B and L.

Decision (2026-11-21): the place of a literal is every place that the segments before it can lead to, under any method
and however the path goes on: a call is refused rather than asked which of the two readings its back end has.
Decision (2026-11-21): `/x/**` does not take `/x/y/`. Were it to, a rule about `/x/y` would be passed by a slash.
Decision (2026-11-21): the one path without segments, `/`, fits the pattern `/` and any `/**`.
Decision (2026-11-21): the path of a gRPC method is that endpoint's alone, under any method, unless another endpoint
names that very path: a call that is almost gRPC must not fall through to the rules of a wider pattern.
Decision (2026-11-21): `%2F` is told after the method: where an `opaque` endpoint fits, its path is canonical.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from policy_lang.ir import (
    Action,
    AnySegment,
    Capture,
    CaptureType,
    Endpoint,
    Fixed,
    Grpc,
    Http,
    Program,
    Rest,
    Segment,
    Service,
    Value,
)
from policy_lang.meaning.patterns import capture_value
from policy_lang.meaning.route_tree import Node, fitting, has_literal, tree_of
from policy_lang.request import Path
from policy_lang.verdict import ActionCall, HttpCall


class Routed(NamedTuple):
    """`endpoint` is an index of `Program.endpoints`; `captures` are values by name."""

    endpoint: int
    captures: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RouteRefusal:
    """Why a call is for no endpoint; the reasons stand above."""

    by: Literal["route", "path"]
    reason: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """An endpoint with a path. Of a gRPC method the segments are the two literals of its path.

    `special`: a call has more to show than its path, or the value of a capture is not the segment itself.
    """

    index: int
    id: str
    methods: tuple[str, ...]
    segments: tuple[Segment, ...]
    trailing_slash: bool
    grpc: bool
    ranks: tuple[int, ...]
    captures: tuple[tuple[int, str, CaptureType], ...]
    opaque: frozenset[int]
    special: bool


@dataclass(frozen=True, slots=True)
class Router:
    """The inventory of a program, grouped by service once. `actions` are indices by service, action, resource."""

    services: Mapping[str, Service]
    trees: Mapping[str, Node[_Entry]]
    actions: Mapping[tuple[str, str, str], int]

    @classmethod
    def of(cls, program: Program) -> Router:
        """The router of a program."""
        entries: dict[str, list[_Entry]] = {service.id: [] for service in program.services}
        actions: dict[tuple[str, str, str], int] = {}
        for index, endpoint in enumerate(program.endpoints):
            match endpoint.route:
                case Action(action, resource):
                    actions[endpoint.service, action, resource] = index
                case Http(methods, segments, slash):
                    entry = _entry(index, endpoint, methods, segments, slash)
                    entries.setdefault(endpoint.service, []).append(entry)
                case Grpc(service, method):
                    entry = _entry(index, endpoint, ("POST",), (Fixed(service), Fixed(method)), grpc=True)
                    entries.setdefault(endpoint.service, []).append(entry)
                case _:
                    assert_never(endpoint.route)
        services = {each.id: each for each in program.services}
        trees = {name: tree_of((entry.segments, entry) for entry in of) for name, of in entries.items()}
        return cls(services, trees, actions)

    def route(self, service: str, call: HttpCall | ActionCall) -> Routed | RouteRefusal:
        """The endpoint of a call."""
        declared = self.services.get(service)
        if declared is None:
            return RouteRefusal("route", "route.service")
        if isinstance(call, ActionCall):
            index = self.actions.get((service, call.action, call.resource))
            return RouteRefusal("route", "route.action") if index is None else Routed(index, {})
        if not declared.hosts or (call.host and call.host not in declared.hosts):
            return RouteRefusal("route", "route.host")
        path = call.path
        if not (path.escaped or path.slashed):
            found = fitting(self.trees[service], path.segments)
            if len(found) == 1 and not found[0].special and call.method in found[0].methods:
                # What most calls are: one plain pattern fits.
                entry, segments = found[0], path.segments
                if entry.trailing_slash == path.trailing_slash:
                    captures = {}
                    for place, name, _ in entry.captures:
                        captures[name] = segments[place]
                    return Routed(entry.index, captures)
        return _routed(self.trees[service], call)


def route(program: Program, service: str, call: HttpCall | ActionCall) -> Routed | RouteRefusal:
    """The endpoint of one call; whoever routes many keeps a `Router`."""
    return Router.of(program).route(service, call)


def is_grpc(call: HttpCall) -> bool:
    """Whether a call is one of gRPC, whatever its path."""
    types = call.headers.get("content-type", ())
    written = types[0] if len(types) == 1 else ""
    typed = written.startswith(_GRPC) and written[len(_GRPC) :][:1] in {"", "+", ";"}
    return typed and call.method == "POST" and call.path.query is None


_GRPC = "application/grpc"


def _routed(tree: Node[_Entry], call: HttpCall) -> Routed | RouteRefusal:
    path, method = call.path, call.method
    if path.escaped and has_literal(tree, path.segments, path.escaped):
        return RouteRefusal("path", "path.encoded_literal")
    fits = [entry for entry in fitting(tree, path.segments) if _ends_alike(entry, path)]
    taking = [entry for entry in fits if entry.grpc or _takes(entry.methods, method)]
    if not taking:
        if path.slashed and not fits:
            return RouteRefusal("path", "path.encoded_slash")
        return RouteRefusal("route", "route.method" if fits else "route.endpoint")
    grpc = is_grpc(call)
    entry = min(taking, key=lambda each: _precedence(each, method, grpc=grpc))
    return RouteRefusal("route", "route.not_grpc") if entry.grpc and not grpc else _to(entry, path)


def _to(entry: _Entry, path: Path) -> Routed:
    return Routed(entry.index, {name: _value(kind, path.segments[place]) for place, name, kind in entry.captures})


def _entry(
    index: int,
    endpoint: Endpoint,
    methods: tuple[str, ...],
    segments: tuple[Segment, ...],
    slash: bool = False,
    *,
    grpc: bool = False,
) -> _Entry:
    ranks = tuple(_rank(segment) for segment in segments)
    captures = tuple((place, part.name, part.type) for place, part in enumerate(segments) if isinstance(part, Capture))
    special = grpc or any(kind != "string" for _, _, kind in captures)
    opaque = frozenset(place for place, _, kind in captures if kind == "opaque")
    return _Entry(index, endpoint.id, methods, segments, slash, grpc, ranks, captures, opaque, special)


def _precedence(entry: _Entry, method: str, *, grpc: bool) -> tuple[tuple[int, ...], bool, bool, str]:
    follows = not (method in entry.methods or "ANY" in entry.methods)
    return entry.ranks, entry.grpc != grpc, follows, entry.id


def _takes(methods: tuple[str, ...], method: str) -> bool:
    return method in methods or "ANY" in methods or (method == "HEAD" and "GET" in methods)


def _rank(segment: Segment) -> int:
    match segment:
        case Fixed():
            return 0
        case Capture(_, "int" | "uuid"):
            return 1
        case Capture(_, "string"):
            return 2
        case Capture():
            return 3
        case AnySegment():
            return 4
        case Rest():
            return 5
        case _:
            assert_never(segment)


def _ends_alike(entry: _Entry, path: Path) -> bool:
    """Whether a path whose segments fit also ends as the pattern does, with each `%2F` in an `opaque` segment."""
    if path.trailing_slash != entry.trailing_slash:
        return False
    return not path.slashed or path.slashed <= entry.opaque


def _value(kind: CaptureType, segment: str) -> Value:
    """The value of a capture that fits."""
    value = capture_value(kind, segment)
    if value is None:
        raise ValueError(f"a segment that fits no capture of type {kind} was routed to one")
    return value
