"""Which operation of a document is which endpoint of a service.

A service as it stands and an `Imported` go in; out come the endpoints that the document speaks of with their
operations, those whose operations could not be read, those it no longer has, the operations that are new, and findings
for those that cannot be declared.
INVARIANT: no two endpoints of the service as it will be share a path without one being the more specific, unless they
did before (E410).
Specification: language.md 4.4.

Decision: 2026-11-21. An endpoint stands for every method it lists, `ANY` for all: an author who joined two endpoints
gets neither back. By name only endpoints match that no operation has by its route.
"""

from __future__ import annotations

from msgspec import Struct

from pdp.authoring.model import Finding, GrpcRoute, HttpRoute, Imported, Key, Operation, key_of
from pdp.authoring.path_text import pattern_with_names
from pdp.authoring.policy_text import EndpointText, ServiceText
from policy_lang.declared.pattern_index import PatternIndex
from policy_lang.meaning.patterns import Pattern, PatternFault, more_specific, overlap, parse_pattern, same_shape


class Match(Struct, frozen=True):
    """An endpoint and its operations. `pattern` is what its own becomes, None where it has none or keeps it."""

    endpoint: EndpointText
    operations: tuple[Operation, ...]
    by_name: bool
    pattern: str | None


class Matched(Struct, frozen=True):
    matches: tuple[Match, ...]
    unread: tuple[EndpointText, ...]
    vanished: tuple[EndpointText, ...]
    new: tuple[Operation, ...]
    findings: tuple[Finding, ...]


def match_up(service: ServiceText, imported: Imported) -> Matched:
    """Match a document with a service. Endpoints come in the order of the file, operations in that of the document."""
    refused = _Refused(imported)
    claims, named, left = _claims(service, imported, refused)
    grid = _Grid()
    untouched = [endpoint for endpoint in service.endpoints if endpoint.name not in claims]
    for endpoint in untouched:
        _put(grid, endpoint)
    findings: list[Finding] = []
    matches: list[Match] = []
    for endpoint in service.endpoints:
        if endpoint.name in claims:
            match, finding = _settled(grid, endpoint, claims[endpoint.name], by_name=endpoint.name in named)
            matches.append(match)
            findings += finding
    new: list[Operation] = []
    for operation in left:
        other = grid.taken(operation)
        if other is None:
            new.append(operation)
        else:
            findings.append(_ambiguous(operation, other))
    unread = tuple(each for each in untouched if refused.has(each))
    vanished = tuple(each for each in untouched if each.kind in imported.kinds and not refused.has(each))
    return Matched(tuple(matches), unread, vanished, tuple(new), tuple(findings))


def _claims(
    service: ServiceText, imported: Imported, refused: _Refused
) -> tuple[dict[str, list[Operation]], frozenset[str], list[Operation]]:
    """Operations by the endpoint they belong to, the endpoints found by name alone, and the operations left."""
    by_key: dict[Key, EndpointText] = {}
    for endpoint in service.endpoints:
        for key in endpoint.keys:
            by_key.setdefault(key, endpoint)
    claims: dict[str, list[Operation]] = {}
    left: list[Operation] = []
    for operation in imported.operations:
        key = key_of(operation.route)
        found = by_key.get(key) or by_key.get(("ANY", key[1]))
        if found is None:
            left.append(operation)
        else:
            claims.setdefault(found.name, []).append(operation)
    by_name = {endpoint.name: endpoint for endpoint in service.endpoints}
    named: set[str] = set()
    new: list[Operation] = []
    for operation in left:
        kind = "http" if isinstance(operation.route, HttpRoute) else "grpc"
        same = by_name.get(operation.name)
        if same is None or same.name in claims or same.kind != kind or refused.has(same):
            new.append(operation)
        else:
            claims[same.name] = [operation]
            named.add(same.name)
    return claims, frozenset(named), new


class _Refused:
    """The operations that were left out, by what an endpoint for them looks like; `ANY` stands for each method."""

    def __init__(self, imported: Imported) -> None:
        self._keys = imported.refused
        self._shapes = {shape for _, shape in imported.refused}

    def has(self, endpoint: EndpointText) -> bool:
        """Whether an operation of the endpoint was left out."""
        return any(
            key in self._keys or ("ANY", key[1]) in self._keys or (key[0] == "ANY" and key[1] in self._shapes)
            for key in endpoint.keys
        )


def _settled(
    grid: _Grid, endpoint: EndpointText, operations: list[Operation], *, by_name: bool
) -> tuple[Match, list[Finding]]:
    """The match, with the pattern that the endpoint gets, unless another one stands in its way."""
    route = operations[0].route
    if not isinstance(route, HttpRoute):
        _put(grid, endpoint)
        return Match(endpoint, tuple(operations), by_name, None), []
    wanted = endpoint.route
    methods = endpoint.methods
    if by_name:
        wanted, methods = route.pattern, (route.method,)
    elif len(operations) == 1:
        wanted = pattern_with_names(endpoint.route, route.pattern)
    other = None if wanted == endpoint.route else grid.clash(methods, wanted)
    if other is None:
        grid.add(endpoint.name, methods, wanted)
        return Match(endpoint, tuple(operations), by_name, wanted), []
    _put(grid, endpoint)
    finding = _ambiguous(operations[0], other)
    return Match(endpoint, () if by_name else tuple(operations), by_name=False, pattern=None), [finding]


def _put(grid: _Grid, endpoint: EndpointText) -> None:
    """Take an endpoint in as it stands. A gRPC method is a POST of its name; an action has no path."""
    if endpoint.kind == "grpc":
        grid.add(endpoint.name, ("POST",), f"/{endpoint.route}")
    elif endpoint.kind == "http":
        grid.add(endpoint.name, endpoint.methods, endpoint.route)


def _ambiguous(operation: Operation, other: str) -> Finding:
    route = operation.route
    written = f"{route.method} {route.pattern}" if isinstance(route, HttpRoute) else route.method
    why = f"it shares paths with the endpoint `{other}`, and neither is the more specific"
    return Finding(operation.place, f"{written}: {why}: narrow one of the two", left_out=True)


class _Grid:
    """The endpoints of a service as it will be, by the paths they share."""

    def __init__(self) -> None:
        self._index = PatternIndex()
        self._entries: list[tuple[str, tuple[str, ...], Pattern]] = []

    def add(self, name: str, methods: tuple[str, ...], route: str) -> None:
        """Take an endpoint in; one whose pattern is none is passed over."""
        pattern = parse_pattern(route)
        if isinstance(pattern, Pattern):
            self._index.add(len(self._entries), pattern)
            self._entries.append((name, methods, pattern))

    def taken(self, operation: Operation) -> str | None:
        """Take an operation in, or the name of the endpoint that stands in its way."""
        match operation.route:
            case HttpRoute(method, pattern):
                methods, route = (method,), pattern
            case GrpcRoute(full_name):
                methods, route = ("POST",), f"/{full_name}"
        other = self.clash(methods, route)
        if other is None:
            self.add(operation.name, methods, route)
        return other

    def clash(self, methods: tuple[str, ...], route: str) -> str | None:
        """The first endpoint that would share a path ambiguously."""
        pattern = parse_pattern(route)
        if isinstance(pattern, PatternFault):
            return None
        for name, others, other in (self._entries[number] for number in self._index.near(pattern)):
            if _meet(methods, others, alike=_alike(pattern, other)) and _neither(pattern, other):
                return name
        return None


def _neither(one: Pattern, other: Pattern) -> bool:
    return overlap(one, other) and not more_specific(one, other) and not more_specific(other, one)


def _alike(one: Pattern, other: Pattern) -> bool:
    return len(one.segments) == len(other.segments) and same_shape(one, other)


def _meet(one: tuple[str, ...], other: tuple[str, ...], *, alike: bool) -> bool:
    """Whether a call may have a method of both; HEAD follows GET, unless the very pattern declares it."""
    if "ANY" in one or "ANY" in other or set(one) & set(other):
        return True
    return not alike and (("GET" in one and "HEAD" in other) or ("HEAD" in one and "GET" in other))
