"""Draws what rules speak of: endpoints by name, by service, by pattern, by label.

A module and an effect go in; the text of an `on` clause and the endpoints it reaches come out, such that the clause is
legal: an allow reaches no closed endpoint and no service that the module may not grant on, a pattern cuts none in two.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from msgspec import Struct

from policy_lang.ir import Effect
from policy_lang.meaning.patterns import Pattern, covers, intersection, parse_pattern
from tests.support.generator.world import Endpoint, Service, World


class Target(Struct, frozen=True):
    """An `on` clause and the indices of its endpoints."""

    text: str
    endpoints: frozenset[int]


class Targets:
    """Draws the targets of one bundle. `visible` are the services that a module may name."""

    def __init__(
        self,
        rng: random.Random,
        world: World,
        visible: Mapping[str, Sequence[Service]],
        own_labels: Mapping[str, frozenset[str]],
    ) -> None:
        self._rng = rng
        self._world = world
        self._visible = visible
        self._own_labels = own_labels

    def draw(self, module: str, effect: Effect) -> Target | None:
        """A target that a rule of the module may have; None where there is none."""
        services = [each for each in self._visible[module] if effect != "allow" or module in each.grants_by]
        for _ in range(12):
            count = self._rng.choice([1, 1, 1, 2])
            drawn = [self._single(module, services) for _ in range(count)]
            if any(each is None for each in drawn):
                continue
            parts = sorted((each for each in drawn if each is not None), key=lambda each: " tagged " not in each.text)
            text = ", ".join(dict.fromkeys(each.text for each in parts))
            target = Target(text, frozenset[int]().union(*(each.endpoints for each in parts)))
            if effect != "allow" or self._may_grant(module, target):
                return target
        return None

    def single(self, module: str, endpoint: int) -> Target | None:
        """One endpoint by name, where the module may name and open it."""
        of = self._world.endpoints[endpoint]
        target = Target(f"{of.service}.{of.name}", frozenset([endpoint]))
        seen = any(service.name == of.service for service in self._visible[module])
        return target if seen and self._may_grant(module, target) else None

    def _may_grant(self, module: str, target: Target) -> bool:
        grants = {service.name: service.grants_by for service in self._world.services}
        reached = [self._world.endpoints[index] for index in target.endpoints]
        return bool(reached) and all(not each.closed and module in grants[each.service] for each in reached)

    def _single(self, module: str, services: Sequence[Service]) -> Target | None:
        rng = self._rng
        everything = Target("any endpoint", frozenset(range(len(self._world.endpoints))))
        if not services or rng.random() < 0.12:
            return self._tagged(everything, module, rng.choice([0.3, 0.9]))
        service = rng.choice(services)
        own = [index for index, each in enumerate(self._world.endpoints) if each.service == service.name]
        form = rng.choice(["service", "endpoint", "endpoint", "pattern"])
        if form == "service":
            return self._tagged(Target(service.name, frozenset(own)), module, 0.3)
        if form == "endpoint":
            index = rng.choice(own)
            name = f"{service.name}.{self._world.endpoints[index].name}"
            return self._tagged(Target(name, frozenset([index])), module, 0.05)
        target = self._pattern(service, own)
        return None if target is None else self._tagged(target, module, 0.2)

    def _tagged(self, target: Target, module: str, share: float) -> Target:
        """The target narrowed to endpoints of some labels, in that share of draws."""
        rng = self._rng
        if rng.random() >= share:
            return target
        words = rng.sample(self._world.labels, rng.choice([1, 1, 2]))
        own = self._own_labels.get(module, frozenset())
        ids = {f"{module}.{word}" if word in own else word for word in words}
        joint = rng.choice([" and ", " or "])
        enough = len(ids) if joint == " and " else 1
        held = frozenset(i for i in target.endpoints if len(ids & self._world.endpoints[i].labels) >= enough)
        return Target(f"{target.text} tagged {joint.join(words)}", held)

    # ------------------------------------------------------------ patterns

    def _pattern(self, service: Service, own: Sequence[int]) -> Target | None:
        """A pattern that covers each endpoint wholly or not at all."""
        rng = self._rng
        with_path = [index for index in own if self._world.endpoints[index].form != "action"]
        if not with_path:
            return None
        like = self._world.endpoints[rng.choice(with_path)]
        first = "/" + like.pattern.split("/")[1]
        written = rng.choice([like.pattern, f"{first}/**" if len(first) > 1 else "/**", "/**"])
        pattern = parse_pattern(written)
        if not isinstance(pattern, Pattern):
            return None
        sharing = [index for index in with_path if self._shares(pattern, self._world.endpoints[index])]
        methods = self._closure(set(like.methods), [self._world.endpoints[index] for index in sharing])
        met = [i for i in sharing if "ANY" in methods or methods & _taken(self._world.endpoints[i])]
        if not all(covers(pattern, _pattern_of(self._world.endpoints[index])) for index in met):
            return None
        return Target(f"{service.name} {' | '.join(sorted(methods))} {written}", frozenset(met))

    def _shares(self, pattern: Pattern, endpoint: Endpoint) -> bool:
        return intersection(pattern, _pattern_of(endpoint)) is not None

    def _closure(self, methods: set[str], sharing: Sequence[Endpoint]) -> set[str]:
        """The methods, and those of every endpoint that shares one of them."""
        before: set[str] = set()
        while before != methods:
            before = set(methods)
            for endpoint in sharing:
                if "ANY" in methods or "ANY" in endpoint.methods or methods & _taken(endpoint):
                    methods |= set(endpoint.methods)
        return {"ANY"} if "ANY" in methods else methods


def _pattern_of(endpoint: Endpoint) -> Pattern:
    pattern = parse_pattern(endpoint.pattern)
    if not isinstance(pattern, Pattern):
        raise TypeError(f"the catalogue has no pattern `{endpoint.pattern}`")
    return pattern


def _taken(endpoint: Endpoint) -> set[str]:
    """The methods of an endpoint, with the HEAD that follows GET."""
    return {*endpoint.methods, *(["HEAD"] if "GET" in endpoint.methods else [])}
