"""Which declared endpoint a call is for, and what its captures are; or why it is for none.

In come a service, a method, a canonical path and a canonical host, out goes a `Routed` with the index of the endpoint
in `Program.endpoints`, or a `RouteRefusal`:

    by route, route.service          the service is not declared
    by route, route.host             the host is not one of the service's; a service without hosts is reached by none
    by route, route.endpoint         no pattern of the service fits the path
    by route, route.method           a pattern fits, under other methods only
    by path,  path.encoded_literal   a segment equals a declared literal at its place only by escaping a character that
                                     may stand raw: a back end may or may not take the two for one

Patterns are compared with decoded segments. Of the patterns that fit and take the method, the most specific one wins,
segment by segment: literal, typed capture, untyped capture, `*`, `**`; the compiler refuses inventories in which that
leaves two (E410). A trailing slash is part of the pattern, exact, also after `**`. HEAD follows GET unless an endpoint
of that very pattern declares HEAD. `ANY` is every method; methods are compared with their case.
Source: contracts.md "Requests"; language.md 4.4, 6.2, point L.

Decision (2026-11-21): the place of a literal is every place that the segments before it can lead to, under any method
and however the path goes on: a call is refused rather than asked which of the two readings its back end has.
Decision (2026-11-21): `/x/**` does not take `/x/y/`. Were it to, a rule about `/x/y` would be passed by a slash.
Decision (2026-11-21): the one path without segments, `/`, fits the pattern `/` and any `/**`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from policy_lang.ir import AnySegment, Capture, Endpoint, Fixed, Program, Rest, Segment, Service, Value
from policy_lang.patterns import capture_value
from policy_lang.request import Path


@dataclass(frozen=True, slots=True)
class Routed:
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
    index: int
    endpoint: Endpoint
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Router:
    """The inventory of a program, grouped by service once."""

    services: Mapping[str, Service]
    entries: Mapping[str, tuple[_Entry, ...]]

    @classmethod
    def of(cls, program: Program) -> Router:
        """The router of a program."""
        entries: dict[str, list[_Entry]] = {service.id: [] for service in program.services}
        for index, endpoint in enumerate(program.endpoints):
            entry = _Entry(index, endpoint, tuple(_rank(segment) for segment in endpoint.segments))
            entries.setdefault(endpoint.service, []).append(entry)
        return cls({each.id: each for each in program.services}, {name: tuple(of) for name, of in entries.items()})

    def route(self, service: str, method: str, path: Path, host: str = "") -> Routed | RouteRefusal:
        """The endpoint of a call. `host` is canonical, or "" where it has been matched before."""
        declared = self.services.get(service)
        if declared is None:
            return RouteRefusal("route", "route.service")
        if not declared.hosts or (host and host not in declared.hosts):
            return RouteRefusal("route", "route.host")
        entries = self.entries[service]
        if any(_only_by_escaping(entry.endpoint.segments, path) for entry in entries):
            return RouteRefusal("path", "path.encoded_literal")
        fitting = [(entry, captures) for entry in entries if (captures := _captures(entry.endpoint, path)) is not None]
        taking = [each for each in fitting if _takes(each[0].endpoint, method)]
        if not taking:
            return RouteRefusal("route", "route.method" if fitting else "route.endpoint")
        entry, captures = min(taking, key=lambda each: _precedence(each[0], method))
        return Routed(entry.index, captures)


def route(program: Program, service: str, method: str, path: Path, host: str = "") -> Routed | RouteRefusal:
    """The endpoint of one call; whoever routes many keeps a `Router`."""
    return Router.of(program).route(service, method, path, host)


def _precedence(entry: _Entry, method: str) -> tuple[tuple[int, ...], bool, str]:
    follows = not (method in entry.endpoint.methods or "ANY" in entry.endpoint.methods)
    return entry.ranks, follows, entry.endpoint.id


def _takes(endpoint: Endpoint, method: str) -> bool:
    methods = endpoint.methods
    return method in methods or "ANY" in methods or (method == "HEAD" and "GET" in methods)


def _rank(segment: Segment) -> int:
    match segment:
        case Fixed():
            return 0
        case Capture(_, kind):
            return 2 if kind == "string" else 1
        case AnySegment():
            return 3
        case Rest():
            return 4
        case _:
            assert_never(segment)


def _captures(endpoint: Endpoint, path: Path) -> dict[str, Value] | None:
    """The captures of a path that fits the whole pattern, or None."""
    pattern = endpoint.segments
    open_end = bool(pattern) and isinstance(pattern[-1], Rest)
    closed = len(pattern) - open_end
    if len(path.segments) < closed or (len(path.segments) > closed and not open_end):
        return None
    if path.trailing_slash != endpoint.trailing_slash:
        return None
    return _start(pattern[:closed], path.segments)


def _start(pattern: tuple[Segment, ...], segments: tuple[str, ...]) -> dict[str, Value] | None:
    """The captures of the first segments, as many as the pattern has, or None; `pattern` has no `**`."""
    captures: dict[str, Value] = {}
    for part, segment in zip(pattern, segments, strict=False):
        match part:
            case Fixed(text):
                if text != segment:
                    return None
            case Capture(name, kind):
                value = capture_value(kind, segment)
                if value is None:
                    return None
                captures[name] = value
            case AnySegment() | Rest():
                pass
            case _:
                assert_never(part)
    return captures


def _only_by_escaping(pattern: tuple[Segment, ...], path: Path) -> bool:
    """Whether a segment of the path is the pattern's literal at its place, spelt with a needless escape."""
    return any(
        index in path.escaped
        and pattern[index] == Fixed(path.segments[index])
        and _start(pattern[:index], path.segments) is not None
        for index in range(min(len(pattern), len(path.segments)))  # patterns are short, a path may be long
    )
