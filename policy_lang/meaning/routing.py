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
                                     may stand raw, or a piece of it between `%2F` does: a back end may or may not take
                                     the two for one
    by path,  path.lookalike         a segment is no declared literal at its place, and looks like one (lookalikes.py):
                                     a back end may or may not take the two for one
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
Decision (2026-11-21): a segment that looks like a literal is refused whether or not a wider pattern takes the call: who
means both declares both.
Decision (2026-11-21): `/x/**` does not take `/x/y/`. Were it to, a rule about `/x/y` would be passed by a slash.
Decision (2026-11-21): the one path without segments, `/`, fits the pattern `/` and any `/**`.
Decision (2026-11-21): the path of a gRPC method is that endpoint's alone, under any method, unless another endpoint
names that very path: a call that is almost gRPC must not fall through to the rules of a wider pattern.
Decision (2026-11-21): `%2F` is told after the method: where an `opaque` endpoint fits, its path is canonical.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, assert_never

from msgspec import Struct

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
from policy_lang.meaning.route_tree import Node, fitting, has_literal, has_lookalike, looks_alike, tree_of, unrivalled
from policy_lang.request import Path
from policy_lang.verdict import ActionCall, HttpCall

Routed = tuple[int, Mapping[str, Value]]
"""An index of `Program.endpoints`, and the values of the captures by name."""


class RouteRefusal(Struct, frozen=True):
    """Why a call is for no endpoint; the reasons stand above."""

    by: Literal["route", "path"]
    reason: str


class _Entry(Struct, frozen=True):
    """An endpoint with a path. Of a gRPC method the segments are the two literals of its path. `captures` are their
    values in the segments of a path, None where one does not fit.
    """

    index: int
    id: str
    methods: tuple[str, ...]
    segments: tuple[Segment, ...]
    trailing_slash: bool
    grpc: bool
    ranks: tuple[int, ...]
    captures: Callable[[Sequence[str]], Mapping[str, Value] | None]
    opaque: frozenset[int]


class _Paths(Struct, frozen=True):
    """The patterns of a service. `hosts` holds "" too, the host of a call whose host was matched before."""

    hosts: frozenset[str]
    tree: Node[_Entry]


class Router(Struct, frozen=True):
    """The inventory of a program, grouped by service once. `paths` are those of the services that have hosts, `actions`
    are indices by service, action, resource.
    """

    services: Mapping[str, Service]
    paths: Mapping[str, _Paths]
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
        paths = {
            name: _Paths(frozenset((*services[name].hosts, "")), _tree(of))
            for name, of in entries.items()
            if services[name].hosts
        }
        return cls(services, paths, actions)

    def route(self, service: str, call: HttpCall | ActionCall) -> Routed | RouteRefusal:
        """The endpoint of a call."""
        if isinstance(call, ActionCall):
            return self._acted(service, call)
        paths = self.paths.get(service)
        if paths is None or call.host not in paths.hosts:
            return RouteRefusal("route", "route.host" if service in self.services else "route.service")
        path = call.path
        if not (path.trailing_slash or path.escaped or path.slashed):
            # What most calls are. A literal goes before a capture, so that the first end that takes the method is the
            # most specific; where that leads nowhere, all patterns are asked.
            node, segments = paths.tree, path.segments
            for segment in segments:
                below = node.literals.get(segment)
                if below is None:
                    below = None if looks_alike(node, segment) else node.only
                    if below is None:
                        break
                node = below
            else:
                entry = node.direct.get(call.method)
                if entry is not None:
                    captures = entry.captures(segments)
                    if captures is not None:
                        return entry.index, captures
        return _routed(paths.tree, call)

    def _acted(self, service: str, call: ActionCall) -> Routed | RouteRefusal:
        index = self.actions.get((service, call.action, call.resource))
        if index is None:
            return RouteRefusal("route", "route.action" if service in self.services else "route.service")
        return index, {}


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
    if has_lookalike(tree, path.segments):
        return RouteRefusal("path", "path.lookalike")
    fits = [entry for entry in fitting(tree, path.segments) if _ends_alike(entry, path)]
    taking = [entry for entry in fits if entry.grpc or _takes(entry.methods, method)]
    if not taking:
        if path.slashed and not fits:
            return RouteRefusal("path", "path.encoded_slash")
        return RouteRefusal("route", "route.method" if fits else "route.endpoint")
    if path.slashed and _hides_literal(tree, path):
        return RouteRefusal("path", "path.encoded_literal")
    grpc = is_grpc(call)
    entry = min(taking, key=lambda each: _precedence(each, method, grpc=grpc))
    return RouteRefusal("route", "route.not_grpc") if entry.grpc and not grpc else _to(entry, path)


def _hides_literal(tree: Node[_Entry], path: Path) -> bool:
    """Whether a piece between `%2F` is, or looks like, a literal at its place to a back end that decodes first."""
    pieces: list[str] = []
    places: set[int] = set()
    for index, segment in enumerate(path.segments):
        written = segment.split("/")
        if index in path.slashed:
            places.update(range(len(pieces), len(pieces) + len(written)))
        pieces += written
    return has_literal(tree, pieces, frozenset(places)) or has_lookalike(tree, pieces)


def _to(entry: _Entry, path: Path) -> Routed:
    captures = entry.captures(path.segments)
    if captures is None:
        raise ValueError(f"a path was routed to {entry.id}, whose captures it does not fit")
    return entry.index, captures


def _tree(entries: Iterable[_Entry]) -> Node[_Entry]:
    """The tree of a service's patterns, with what can be said beforehand of those that end at one node."""
    tree = tree_of((entry.segments, entry) for entry in entries)
    for node in unrivalled(tree):
        ends = [entry for entry in node.ends if not entry.trailing_slash]
        taking = Counter(method for entry in ends for method in set(entry.methods))
        if "ANY" not in taking and not any(entry.grpc for entry in ends):
            node.direct = {method: entry for entry in ends for method in entry.methods if taking[method] == 1}
    return tree


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
    opaque = frozenset(place for place, _, kind in captures if kind == "opaque")
    return _Entry(index, endpoint.id, methods, segments, slash, grpc, ranks, _reader(captures), opaque)


def _reader(captures: Sequence[tuple[int, str, CaptureType]]) -> Callable[[Sequence[str]], Mapping[str, Value] | None]:
    """What takes the values of captures from the segments of a path; most patterns have one or none."""
    if not captures:
        return lambda _: {}
    if len(captures) == 1 and captures[0][2] == "string":
        ((only, its, _),) = captures
        return lambda segments: {its: segments[only]}

    def read(segments: Sequence[str]) -> Mapping[str, Value] | None:
        values: dict[str, Value] = {}
        for place, name, kind in captures:
            value = capture_value(kind, segments[place])
            if value is None:
                return None
            values[name] = value
        return values

    return read


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
