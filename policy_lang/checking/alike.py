"""Endpoints and kinds that are alike to a rule: what it reads of them is declared alike.

Endpoints or callers and what a rule reads go in, groups of them come out. Only those that have something of what is
read are looked at one by one, so parting three thousand endpoints costs little where one has it.
INVARIANT: each endpoint and each caller is in one group; the groups stand in the order of their first members.
INVARIANT: of two in one group `Environment.slot` and `Environment.tag` say the same for all that is read.
Source: language.md 4.2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from policy_lang import ir
from policy_lang.checking.environment import METHOD, PLACE_READS, Bound, Environment, endpoint_tag, has_path, kind_slot
from policy_lang.checking.memory import (
    ATTRS_A_STEP,
    CALLERS_A_STEP,
    ENDPOINTS_A_STEP,
    PLACES_A_STEP,
    Callers,
    Indices,
    Reads,
)
from policy_lang.declared.endpoints import EndpointEntry
from policy_lang.declared.entries import KindEntry, TagRead
from policy_lang.declared.fields import Slot
from policy_lang.typesystem import Type

FEW = 16
"""Looking one up costs about as much as asking so many."""

Declared = tuple[Type, bool] | None
"""The type of an input and whether it is optional; None where there is none."""


def alike_endpoints(endpoints: Indices, reads: Reads, bound: Bound) -> tuple[Indices, ...]:
    """Some endpoints, ascending, in groups; rules of one target that read the same of it share them."""
    key = (id(endpoints), reads.of_endpoint, reads.tags)
    known = bound.memory.endpoints.get(key)
    if known is None:
        having = _having(endpoints, reads, bound)
        parts = [part for place in _places(endpoints, reads, bound) for part in _parted(place, having)]
        known = bound.memory.endpoints[key] = endpoints, tuple(sorted(parts, key=_first))
    return known[1]


def _first(part: Indices) -> int:
    return part[0]


def _places(endpoints: Indices, reads: Reads, bound: Bound) -> tuple[Indices, ...]:
    """The endpoints by who can call them, and by what of a request depends on the endpoint, as far as it is read."""
    by_path, by_method = not PLACE_READS.isdisjoint(reads.of_endpoint), METHOD in reads.of_endpoint
    places = _numbered(by_path, by_method, bound)
    if not any(places):
        return (endpoints,) if endpoints else ()
    key = (id(endpoints), by_path, by_method)
    known = bound.memory.places.get(key)
    if known is None:
        bound.memory.steps -= len(endpoints) // PLACES_A_STEP
        alike: dict[int, list[int]] = {}
        for index in endpoints:
            alike.setdefault(places[index], []).append(index)
        known = bound.memory.places[key] = endpoints, tuple(tuple(part) for part in alike.values())
    return known[1]


def _numbered(by_path: bool, by_method: bool, bound: Bound) -> Sequence[int]:
    """A number for every endpoint of the bundle: those that are one place have one."""
    known = bound.memory.numbers.get((by_path, by_method))
    if known is None:
        numbers: dict[object, int] = {}
        known = bound.memory.numbers[by_path, by_method] = []
        for entry, callers in zip(bound.inventory.endpoints, bound.callers, strict=True):
            methods = (entry.methods, entry.follows) if by_method else None
            # Tuples of callers are shared by the endpoints that have the same, and live as long as `bound`.
            place = (id(callers), by_path and has_path(entry), methods)
            known.append(numbers.setdefault(place, len(numbers)))
    return known


def _having(endpoints: Indices, reads: Reads, bound: Bound) -> dict[int, object]:
    """What is read of those endpoints that have any of it, and perhaps of more than were asked for."""
    attrs = [attr for attr in reads.of_endpoint if attr not in PLACE_READS]
    if not attrs and not reads.tags:
        return {}
    named = [*((attr.root, attr.name) for attr in attrs), *((tag.root, tag.name) for tag in reads.tags)]
    lists = [bound.having.get(each, ()) for each in named]
    few = sum(len(each) for each in lists) < len(endpoints)
    looked_at: Iterable[int] = {index for each in lists for index in each} if few else endpoints
    bound.memory.steps -= len(endpoints) // ENDPOINTS_A_STEP
    entries = bound.inventory.endpoints
    found = {index: _signature(entries[index], attrs, reads.tags) for index in looked_at}
    return {index: each for index, each in found.items() if each is not None}


def _signature(entry: EndpointEntry, attrs: Sequence[ir.Attr], tags: Sequence[TagRead]) -> object:
    """What is read of one endpoint, as it is declared there; None where it has nothing of it."""
    environment = Environment(None, entry)
    slots = tuple(_declared(environment.slot(attr)) for attr in attrs)
    consts = tuple(None if (tag := endpoint_tag(entry, read)) is None else (tag.operand, tag.type) for read in tags)
    return None if all(each is None for each in (*slots, *consts)) else (slots, consts)


def _declared(slot: Slot | None) -> Declared:
    return None if slot is None else (slot.type, slot.optional)


def _parted(part: Indices, having: Mapping[int, object]) -> list[Indices]:
    """A group in smaller ones: those that have the same of what is read, and those that have nothing of it."""
    places = _places_of(part, having)
    if not places:
        return [part]
    alike: dict[object, list[int]] = {}
    rest: list[int] = []
    after = 0
    for place in places:
        alike.setdefault(having[part[place]], []).append(part[place])
        rest += part[after:place]
        after = place + 1
    rest += part[after:]
    return [*(tuple(each) for each in alike.values()), *([tuple(rest)] if rest else [])]


def _places_of(part: Indices, having: Mapping[int, object]) -> list[int]:
    """Where in an ascending group those stand that have something; few are looked up, of many each is asked."""
    if len(having) * FEW > len(part):
        return [place for place, index in enumerate(part) if index in having]
    places = ((bisect_left(part, index), index) for index in sorted(having))
    return [place for place, index in places if place < len(part) and part[place] == index]


# ---------------------------------------------------------------- callers


def alike_callers(callers: Callers, reads: Reads, bound: Bound) -> tuple[Callers, ...]:
    """The callers of some endpoints, in groups; nobody is like a kind that has none of what is read."""
    key = (id(callers), reads.of_kind, reads.singled_out)
    known = bound.memory.callers.get(key)
    if known is None:
        bound.memory.steps -= len(callers) // CALLERS_A_STEP
        parts = [each for part in _having_alike(callers, reads, bound) for each in _without(part, reads.singled_out)]
        order = {_id(kind): place for place, kind in enumerate(callers)} if len(parts) > 1 else {}
        known = tuple(sorted(parts, key=lambda part: order[_id(part[0])]) if order else parts)
        bound.memory.callers[key] = known
    return known


def _having_alike(callers: Callers, reads: Reads, bound: Bound) -> tuple[Callers, ...]:
    """The callers by what is read of them, as it is declared."""
    key = (id(callers), reads.of_kind)
    known = bound.memory.kinds.get(key)
    if known is None:
        having = set[str]().union(*(bound.kinds_having.get(attr, ()) for attr in reads.of_kind))
        bound.memory.steps -= len(having) * len(reads.of_kind) // ATTRS_A_STEP
        alike: dict[object, list[KindEntry | None]] = {}
        rest = alike[None] = []
        for kind in callers:
            if kind is None or kind.kind.id not in having:
                rest.append(kind)
            else:
                alike.setdefault(_slots(kind, reads), []).append(kind)
        known = bound.memory.kinds[key] = tuple(tuple(part) for part in alike.values() if part)
    return known


def _without(part: Callers, singled_out: frozenset[str]) -> list[Callers]:
    """A group, with each kind that is asked for by name in one of its own."""
    alone = [kind for kind in part if kind is not None and kind.kind.id in singled_out] if singled_out else []
    if not alone:
        return [part]
    rest = tuple(kind for kind in part if kind is None or kind.kind.id not in singled_out)
    return [*((kind,) for kind in alone), *([rest] if rest else [])]


def _id(kind: KindEntry | None) -> str | None:
    return None if kind is None else kind.kind.id


def kind_signature(kind: KindEntry | None, reads: Reads) -> object:
    """What is read of a caller, as it is declared; None of one that has nothing of it."""
    return kind.kind.id if kind is not None and kind.kind.id in reads.singled_out else _slots(kind, reads)


def _slots(kind: KindEntry | None, reads: Reads) -> object:
    slots = tuple(_declared(kind_slot(kind, attr)) for attr in reads.of_kind)
    return None if all(each is None for each in slots) else slots


def endpoint_signature(entry: EndpointEntry, reads: Reads) -> object:
    """What is read of one endpoint, as it is declared; None of one that has nothing of it."""
    attrs = [attr for attr in reads.of_endpoint if attr not in PLACE_READS]
    by_path = not PLACE_READS.isdisjoint(reads.of_endpoint)
    return by_path and has_path(entry), _signature(entry, attrs, reads.tags)
