"""How much of each endpoint a pattern of a rule covers, each pair asked once, and how many steps all of that took.

The endpoints of a bundle go in; patterns and methods are asked about, one service at a time.
INVARIANT: an endpoint that `near` leaves out shares no path with the pattern.
Source: language.md 4.4.

Decision: 2026-11-21. Patterns multiply with endpoints: a thousand patterns of another form each may all cover three
thousand endpoints. So does `tagged`, in any combination of labels. What that takes is counted in the steps of the index
of patterns, and refused (E802) where it is far more than the targets are many; a pattern for one endpoint takes thirty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.pattern_index import PatternIndex
from policy_lang.meaning.patterns import Pattern, covers, intersection, is_opaque, more_specific, shape

Reach = Literal["none", "part", "whole"]
Indices = tuple[int, ...]

MOST_STEPS, STEPS_A_TARGET = 200_000, 200
"""Steps of finding what the `on` clauses of a bundle cover: so many, and for each target in them so many more."""


STEPS_TO_COMPARE = 5
"""What comparing two patterns costs for each segment."""


class Covering:
    """Asks patterns about the endpoints of a bundle. `steps` are those taken; whoever makes lists adds to them."""

    def __init__(self, endpoints: Sequence[EndpointEntry]) -> None:
        self._endpoints = endpoints
        self._indices: dict[str, PatternIndex] = {}
        self._near: dict[tuple[str, tuple[str, ...]], Indices] = {}
        self._reach: dict[tuple[tuple[str, ...], frozenset[str]], dict[int, Reach]] = {}
        self.steps = 0
        for number, entry in enumerate(endpoints):
            if entry.pattern is not None:
                self._indices.setdefault(entry.endpoint.service, PatternIndex()).add(number, entry.pattern)

    def near(self, service: str, pattern: Pattern) -> Indices:
        """The endpoints of a service that may share a path with a pattern, ascending."""
        key = (service, shape(pattern))
        known = self._near.get(key)
        if known is None:
            known = self._near[key] = self._looked_up(service, pattern)
        return known

    def _looked_up(self, service: str, pattern: Pattern) -> Indices:
        index = self._indices.get(service)
        if index is None:
            return ()
        before = index.steps
        found = tuple(index.near(pattern))
        self.steps += index.steps - before
        return found

    def reaches(self, pattern: Pattern, wanted: frozenset[str], near: Indices) -> Iterator[tuple[int, Reach]]:
        """How much of each of some endpoints the methods `wanted` on a pattern hold."""
        known = self._reach.setdefault((shape(pattern), wanted), {})
        for number in near:
            reach = known.get(number)
            if reach is None:
                reach = known[number] = self._reached(pattern, wanted, self._endpoints[number])
            yield number, reach

    def _reached(self, pattern: Pattern, wanted: frozenset[str], entry: EndpointEntry) -> Reach:
        to_compare = STEPS_TO_COMPARE * (1 + len(pattern.segments))
        self.steps += to_compare
        if entry.pattern is None:
            return "none"
        shared = _shared_methods(wanted, entry)
        held = intersection(pattern, entry.pattern)
        if not shared or held is None:
            return "none"
        if covers(pattern, entry.pattern) and shared == entry.methods:
            return "whole"
        near = [self._endpoints[number] for number in self._looked_up(entry.endpoint.service, held)]
        self.steps += len(near) * to_compare
        narrower = [other for other in near if _takes_from(other, entry.pattern, held)]
        elsewhere = all(any(other.takes(method) for other in narrower) for method in shared)
        return "none" if elsewhere else "part"


def _takes_from(other: EndpointEntry, wide: Pattern, held: Pattern) -> bool:
    """Whether `other` is more specific than the endpoint of pattern `wide`, and takes all of `held`."""
    narrow = other.pattern
    return (
        narrow is not None
        and narrow.trailing_slash == held.trailing_slash
        and more_specific(narrow, wide)
        and covers(narrow, held)
        and all(
            place < len(narrow.segments) and is_opaque(narrow.segments[place])
            for place, segment in enumerate(held.segments)
            if is_opaque(segment)  # as an endpoint, unlike as a rule, only an `opaque` capture takes `%2F`
        )
    )


def _shared_methods(wanted: frozenset[str], entry: EndpointEntry) -> frozenset[str]:
    """The methods of an endpoint that are wanted; of one that takes any, those that are. GET brings its HEAD along."""
    if "ANY" in wanted:
        return entry.methods
    if "ANY" in entry.methods:
        return wanted
    shared = wanted & entry.methods
    return shared | {"HEAD"} if entry.follows and "GET" in shared else shared
