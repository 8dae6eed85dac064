"""What an expression may read at its place: the environments it stands for, and the optional inputs proved present.

The judgement of language.md 4.2 for all environments of a rule at once, and never more generous than the checker: an
input may be read where every environment left has it, of one type, and it is not optional anywhere or is proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.typesystem import Scalar, SetType, Type
from tests.support.generator.world import Env, Name, World

STRING_SET = SetType(Scalar.STRING)


class Slot(Struct, frozen=True):
    """An input of one environment."""

    type: Type
    optional: bool


class Place(Struct, frozen=True):
    """A place in an expression. `parameters` are those of the condition in whose body it stands."""

    world: World
    envs: frozenset[Env]
    known: frozenset[Name] = frozenset()
    parameters: tuple[tuple[str, Type], ...] = ()

    def readable(self) -> Mapping[Name, Type]:
        """The inputs that may be read here, with their types."""
        known = self.known
        return {
            name: slot.type
            for name, slot in _shared(self.world, self.envs).items()
            if not slot.optional or name in known
        }

    def narrowings(self) -> Mapping[Name, Type]:
        """The inputs that may be read once `has` holds of them, and not before."""
        readable = self.readable()
        return {name: type_ for name, type_ in _sometimes(self.world, self.envs).items() if name not in readable}

    def having(self, name: Name) -> Place:
        """The place where `has` is true of an input."""
        envs = frozenset(env for env in self.envs if name in slots(self.world, env))
        return replace(self, envs=envs, known=self.known | {name})

    def of_kinds(self, kinds: Iterable[str | None]) -> Place:
        """The place where the caller is of one of these kinds."""
        wanted = frozenset(kinds)
        return replace(self, envs=frozenset(env for env in self.envs if env[0] in wanted))

    def kinds(self) -> frozenset[str | None]:
        """Who may be calling here."""
        return frozenset(kind for kind, _ in self.envs)

    def joined(self, other: Place) -> Place:
        """What holds whichever of two ways led here; a way without environments says nothing."""
        if not self.envs or not other.envs:
            return other if not self.envs else self
        return replace(self, envs=self.envs | other.envs, known=self.known & other.known)


@lru_cache(maxsize=4096)
def slots(world: World, env: Env) -> Mapping[Name, Slot]:
    """The inputs of one environment."""
    kind_name, index = env
    endpoint = world.endpoints[index]
    found: dict[Name, Slot] = {("signal", name): Slot(type_, optional=False) for name, type_ in world.signals.items()}
    for name in ("peer", "gateway"):
        found["request", name] = Slot(Scalar.WORKLOAD, optional=False)
    found["request", "ip"] = Slot(Scalar.IP, optional=False)
    found["request", "tls"] = Slot(Scalar.BOOL, optional=False)
    if endpoint.form != "action":
        for name in ("method", "path", "host"):
            found["request", name] = Slot(Scalar.STRING, optional=False)
    parts = {
        "path": endpoint.captures,
        "query": endpoint.query,
        "header": endpoint.headers,
        "resource": endpoint.properties,
    }
    for root, fields in parts.items():
        for each in fields:
            found[root, each.name] = Slot(each.type, each.optional)
    if endpoint.form == "action":
        found["resource", "id"] = Slot(Scalar.STRING, optional=False)
    for root, tags in (("endpoint", endpoint.tags), ("service", endpoint.service_tags)):
        for name, type_ in tags.items():
            found[root, name] = Slot(type_, optional=False)
    if kind_name is not None:
        kind = world.kind(kind_name)
        implicit: dict[str, Type] = (
            {"id": Scalar.STRING} if kind.form == "subject" else {"aud": STRING_SET, "scope": STRING_SET}
        )
        found |= {(kind.form, name): Slot(type_, optional=False) for name, type_ in implicit.items()}
        found |= {(kind.form, each.name): Slot(each.type, each.optional) for each in kind.fields}
    return found


@lru_cache(maxsize=4096)
def _shared(world: World, envs: frozenset[Env]) -> Mapping[Name, Slot]:
    """The inputs that every environment has, of one type; optional where one of them says so."""
    shared: dict[Name, Slot] | None = None
    for env in sorted(envs, key=repr):
        here = slots(world, env)
        if shared is None:
            shared = dict(here)
            continue
        shared = {
            name: Slot(slot.type, slot.optional or here[name].optional)
            for name, slot in shared.items()
            if name in here and here[name].type == slot.type
        }
    return shared or {}


@lru_cache(maxsize=4096)
def _sometimes(world: World, envs: frozenset[Env]) -> Mapping[Name, Type]:
    """The inputs that some environment has, and all that have it have of one type."""
    types: dict[Name, set[Type]] = {}
    for env in sorted(envs, key=repr):
        for name, slot in slots(world, env).items():
            types.setdefault(name, set()).add(slot.type)
    return {name: next(iter(of)) for name, of in types.items() if len(of) == 1}
