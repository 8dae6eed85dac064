"""Draws operands: values of a wanted type at a place, constant or not, and the inputs that may stand in a comparison.

A place and a type go in, the text of an operand comes out. Types go together as `typesystem.same` says.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from policy_lang.typesystem import RoleType, Scalar, ScalarType, SetType, Type, same
from tests.support.generator.contexts import Place
from tests.support.generator.pools import DURATIONS, literal, set_literal
from tests.support.generator.world import Name, World

_WEIGHTS: Mapping[str, float] = {"signal": 0.5, "request": 0.4, "endpoint": 0.35, "service": 0.2}
"""How often inputs of a root are chosen; of the others 1."""


def input_text(name: Name) -> str:
    """An input as a policy writes it; the parameters of a condition have no root."""
    return ".".join(name) if name[0] else name[1]


class Operands:
    """Draws the operands of one bundle. `signals` is how often a signal is taken, beside what weighs 1."""

    def __init__(self, rng: random.Random, signals: float) -> None:
        self._rng = rng
        self._signals = signals

    def inputs(self, place: Place) -> Mapping[Name, Type]:
        """What may be read at a place, parameters included."""
        own = {("", name): type_ for name, type_ in place.parameters if not isinstance(type_, RoleType)}
        return {**place.readable(), **own}

    def one(self, names: Sequence[Name]) -> Name:
        """One of several inputs."""
        return self._rng.choices(names, [self._weight(name) for name in names])[0]

    def _weight(self, name: Name) -> float:
        return self._signals if name[0] == "signal" else _WEIGHTS.get(name[0], 3 if name[0] == "" else 1)

    def typed(self, place: Place, *types: Type) -> list[Name]:
        """The inputs of a place that have one of these types."""
        return [name for name, type_ in self.inputs(place).items() if any(same(type_, wanted) for wanted in types)]

    def scalar(self, place: Place, type_: ScalarType, *, constant: float = 0.6) -> str:
        """An operand of a scalar type, a constant in that share of draws."""
        rng = self._rng
        if isinstance(type_, RoleType):
            return self.role(place)
        found = self.typed(place, type_)
        if found and rng.random() >= constant:
            return input_text(self.one(found))
        return self.constant(place, type_)

    def constant(self, place: Place, type_: ScalarType) -> str:
        """A literal, a setting, or the name of a value."""
        rng = self._rng
        settings = [name for name, of in place.world.settings.items() if same(of, type_)]
        if settings and rng.random() < 0.2:
            return rng.choice(settings)
        return literal(rng, type_, place.world.workloads)

    def role(self, place: Place) -> str:
        """A role, of a kind that may be calling where one of them has any, or a parameter that is one."""
        parameters = [name for name, type_ in place.parameters if isinstance(type_, RoleType)]
        here = [role for kind in place.world.kinds if kind.name in place.kinds() for role in kind.roles]
        roles = here or [role for kind in place.world.kinds for role in kind.roles]
        return self._rng.choice(parameters) if parameters and self._rng.random() < 0.7 else self._rng.choice(roles)

    def value(self, place: Place, type_: Type, *, constant: float = 0.6) -> str:
        """An operand of any type."""
        return (
            self.set_of(place, type_.element)
            if isinstance(type_, SetType)
            else self.scalar(place, type_, constant=constant)
        )

    def set_of(self, place: Place, element: ScalarType) -> str:
        """A set: an input, or constants in brackets."""
        found = self.typed(place, SetType(element))
        if found and self._rng.random() < 0.3:
            return input_text(self.one(found))
        return self.constants(place, element)

    def constants(self, place: Place, element: ScalarType) -> str:
        """Constants in brackets."""
        return set_literal(self._rng, element, place.world.workloads)

    def instant(self, place: Place) -> str:
        """A time that is no constant: now or an input, perhaps moved."""
        rng = self._rng
        found = self.typed(place, Scalar.TIME)
        base = input_text(self.one(found)) if found and rng.random() < 0.6 else "now"
        if rng.random() < 0.4:
            return f"{base} {rng.choice('+-')} {self.duration(place)}"
        return base

    def duration(self, place: Place) -> str:
        """A duration: mostly a constant."""
        found = self.typed(place, Scalar.DURATION)
        if found and self._rng.random() < 0.4:
            return input_text(self.one(found))
        return "freshness" if self._rng.random() < 0.2 else self._rng.choice(list(DURATIONS))

    def elapsed(self, place: Place) -> str | None:
        """A duration that is no constant: the time between two instants, or an input, perhaps more of it."""
        rng = self._rng
        times, lengths = self.typed(place, Scalar.TIME), self.typed(place, Scalar.DURATION)
        if lengths and rng.random() < 0.4:
            base = input_text(self.one(lengths))
            return f"{base} {rng.choice('+-')} {self.duration(place)}" if rng.random() < 0.3 else base
        if not times:
            return None
        at = input_text(self.one(times))
        return f"now - {at}" if rng.random() < 0.8 else f"{at} - now"


def within(rng: random.Random, world: World) -> str:
    """How long ago a factor may have been proved, if that is said: a literal, or the name of a setting."""
    settings = [name for name, of in world.settings.items() if of == Scalar.DURATION]
    return f" within {rng.choice([*DURATIONS, *settings])}" if rng.random() < 0.7 else ""
