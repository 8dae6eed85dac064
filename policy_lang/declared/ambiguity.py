"""The endpoints of one service beside each other: who takes which call, and where nobody could say.

Endpoints go in as they were read, each alone; they come out with HEAD assigned, and a mistake for each that shares
calls with an earlier one of which neither is the more specific.
Source: language.md 4.4, point L.

Decision: 2026-11-21. Patterns in which captures and literals take turns may each be near all others. Comparing ends,
and the service is refused (E232), where it took far more steps than its endpoints are many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from policy_lang import ir
from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.pattern_index import PatternIndex
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.meaning.patterns import Pattern, more_specific, overlap, shape
from policy_lang.mistakes.names import SameMethod, TooMuch
from policy_lang.mistakes.rules import AmbiguousEndpoints

Shapes = Mapping[tuple[str, ...], Sequence[EndpointEntry]]

MOST_STEPS = 200_000
STEPS_EACH = 100
"""Steps of comparing the endpoints of a service: so many, and for each endpoint so many more."""

STEPS_TO_COMPARE = 10
"""What comparing two patterns costs, in steps of the index."""


def beside_each_other(entries: Iterable[EndpointEntry], found: list[Diagnostic]) -> list[EndpointEntry]:
    """The endpoints of one service with what each takes in view of the others; ambiguous ones are reported."""
    taken = list(entries)
    index = PatternIndex()
    shapes: dict[tuple[str, ...], list[EndpointEntry]] = {}
    for number, entry in enumerate(taken):
        if entry.pattern is None:
            continue
        alike = shapes.setdefault(shape(entry.pattern), [])
        index.steps += len(alike)
        if index.steps > MOST_STEPS + STEPS_EACH * len(taken):
            why = "too many may share paths"
            remedy = "split the service, or let fewer of their segments be captures"
            found.append(TooMuch(span=entry.decl.name.span, what="endpoints", why=why, remedy=remedy))
            return taken
        other = _clash(entry, entry.pattern, alike, taken, index)
        if other is None:
            # Ambiguous ones are left out, or a thousand of one pattern would be compared each with each.
            alike.append(entry)
            index.add(number, entry.pattern)
        else:
            found.append(_mistake(entry, other))
    return [entry if entry.pattern is None else _with_head(entry, shapes[shape(entry.pattern)]) for entry in taken]


def _clash(
    entry: EndpointEntry,
    pattern: Pattern,
    alike: Sequence[EndpointEntry],
    taken: Sequence[EndpointEntry],
    index: PatternIndex,
) -> EndpointEntry | None:
    """An earlier endpoint that shares calls with this one, neither being the more specific."""
    for other in alike:
        if _share_methods(entry, other):
            return other
    for number in reversed(index.near(pattern)):
        other = taken[number]
        if other.pattern is None or not _share_calls(entry, other):
            continue
        index.steps += STEPS_TO_COMPARE
        if _is_beside(pattern, other.pattern):
            return other
    return None


def _is_beside(a: Pattern, b: Pattern) -> bool:
    """Whether two patterns of different shape share paths, and neither is the more specific."""
    return shape(a) != shape(b) and overlap(a, b) and not more_specific(a, b) and not more_specific(b, a)


def _share_methods(one: EndpointEntry, other: EndpointEntry) -> bool:
    ours, theirs = _declared(one), _declared(other)
    return "ANY" in ours or "ANY" in theirs or not ours.isdisjoint(theirs)


def _share_calls(one: EndpointEntry, other: EndpointEntry) -> bool:
    """The same, with the HEAD that follows GET."""
    ours, theirs = _declared(one), _declared(other)
    heads = ("GET" in ours and "HEAD" in theirs) or ("HEAD" in ours and "GET" in theirs)
    return heads or _share_methods(one, other)


def _declared(entry: EndpointEntry) -> frozenset[str]:
    route = entry.endpoint.route
    return frozenset(route.methods) if isinstance(route, ir.Http) else entry.methods


def _with_head(entry: EndpointEntry, alike: Sequence[EndpointEntry]) -> EndpointEntry:
    """The entry, with `follows` said: HEAD follows GET unless an endpoint of that very pattern declares HEAD."""
    declared = _declared(entry)
    if "GET" not in declared or not {"HEAD", "ANY"}.isdisjoint(declared):
        return entry
    return replace(entry, follows=not any("HEAD" in _declared(other) for other in alike))


def _mistake(one: EndpointEntry, other: EndpointEntry) -> Diagnostic:
    names = one.decl.name.text, other.decl.name.text
    others = (Label(other.decl.route.span, "the other one"),)
    if isinstance(one.endpoint.route, ir.Grpc) and isinstance(other.endpoint.route, ir.Grpc):
        method = one.endpoint.written
        return SameMethod(span=one.decl.route.span, one=names[0], other=names[1], method=method, others=others)
    return AmbiguousEndpoints(span=one.decl.route.span, one=names[0], other=names[1], others=others)
