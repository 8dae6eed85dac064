"""Draws conditions that are well typed at their place, in every form the language has.

`Expressions.condition` gives the text and the places that it leads to when true and when false, so that whatever is
written behind it may read what it proves (language.md 4.2).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct

from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type
from tests.support.generator.contexts import Place
from tests.support.generator.operands import Operands, input_text, within
from tests.support.generator.pools import LIKE_PATTERNS, NETWORKS, element_of, literal
from tests.support.generator.world import Name

ATOM, NOT, AND, OR = range(4)
"""How tightly a text holds together."""

HAS_ROOTS = frozenset({"token", "subject", "resource", "path", "query", "header", "endpoint", "service"})


class Written(Struct, frozen=True):
    """A condition, and where it leads."""

    text: str
    when_true: Place
    when_false: Place
    binds: int = ATOM

    def within(self, loosest: int) -> str:
        """The text, in parentheses where it holds together too loosely."""
        return f"({self.text})" if self.binds > loosest else self.text


class Expressions:
    """Draws the conditions of one bundle."""

    def __init__(self, rng: random.Random, signals: float = 0.5) -> None:
        self._rng = rng
        self._operands = Operands(rng, signals)

    def condition(self, place: Place, depth: int = 2, conjunctive: float = 0.5) -> Written:
        """A condition of at most `depth` nested connectives, `conjunctive` of them `and`."""
        roll = self._rng.random()
        if depth and roll < 0.4:
            return self._joined(place, depth, conjunctive)
        if depth and roll < 0.48:
            inner = self.condition(place, depth - 1, conjunctive)
            return Written(f"not {inner.within(NOT)}", inner.when_false, inner.when_true, NOT)
        return self._guarded(place) if roll < 0.7 else self.atom(place)

    def _joined(self, place: Place, depth: int, conjunctive: float) -> Written:
        left = self.condition(place, depth - 1, conjunctive)
        both = self._rng.random() < conjunctive
        beside = left.when_true if both else left.when_false
        if not beside.envs:
            return left
        right = self.condition(beside, depth - 1, conjunctive)
        if both:
            text = f"{left.within(AND)} and {right.within(AND)}"
            return Written(text, right.when_true, left.when_false.joined(right.when_false), AND)
        text = f"{left.within(OR)} or {right.within(OR)}"
        return Written(text, left.when_true.joined(right.when_true), right.when_false, OR)

    # ------------------------------------------------------------ presence and kinds

    def _guarded(self, place: Place) -> Written:
        """An input that has to be proved present, and what is asked of it then."""
        names = _provable(place)
        if not names:
            return self.atom(place)
        name = self._operands.one(list(names))
        has = self._has(place, name)
        if self._rng.random() < 0.15:
            return has
        right = self._about(has.when_true, name)
        if self._rng.random() < 0.2:  # said by its opposite
            text = f"not {has.text} or {right.within(OR)}"
            return Written(text, place, right.when_false, OR)
        return Written(f"{has.text} and {right.within(AND)}", right.when_true, place, AND)

    def _has(self, place: Place, name: Name) -> Written:
        return Written(f"{name[0]} has {name[1]}", place.having(name), place)

    def _kind(self, place: Place) -> Written | None:
        kinds = sorted(kind for kind in place.kinds() if kind is not None)
        if not kinds:
            return None
        kind = self._rng.choice(kinds)
        root = place.world.kind(kind).form
        return Written(f"{root} is {kind}", place.of_kinds([kind]), place.of_kinds(place.kinds() - {kind}))

    # ------------------------------------------------------------ atoms

    def atom(self, place: Place) -> Written:
        """A condition without connectives."""
        forms: list[tuple[float, Callable[[Place], Written | None]]] = [
            (6, self._any_input),
            (1, self._time),
            (0.7, self._network),
            (0.6, self._kind),
            (1, self._role),
            (1, self._factor),
            (1.2, self._relation),
            (1.2, self._call),
            (0.15, self._constant),
            (0.15, self._tag_there),
        ]
        while True:
            form = self._rng.choices([form for _, form in forms], [weight for weight, _ in forms])[0]
            written = form(place)
            if written is not None:
                return written

    def _plain(self, place: Place, text: str) -> Written:
        return Written(text, place, place)

    def _any_input(self, place: Place) -> Written:
        return self._about(place, self._operands.one(list(self._operands.inputs(place))))

    def _about(self, place: Place, name: Name) -> Written:
        """Something asked of one input."""
        type_ = self._operands.inputs(place)[name]
        return self._plain(place, self._asked(place, input_text(name), type_))

    def _asked(self, place: Place, of: str, type_: Type) -> str:
        rng, operands = self._rng, self._operands
        match type_:
            case SetType(element):
                word = rng.choice(["overlaps", "overlaps", "covers", "in", "in", "is empty"])
                if word == "is empty":
                    return f"{of} is empty"
                if word == "in":
                    item = operands.scalar(place, element, constant=0.4)
                    return f"{item} {rng.choice(['in', 'in', 'in', 'not in'])} {of}"
                if rng.random() < 0.15:
                    return f"{operands.set_of(place, element)} {word} {of}"
                return f"{of} {word} {operands.set_of(place, element)}"
            case Scalar.BOOL:
                return rng.choice([of, of, of, f"{of} == {literal(rng, type_)}", f"{of} != true"])
            case Scalar.STRING if rng.random() < 0.2:
                return f'{of} like "{rng.choice(LIKE_PATTERNS)}"'
            case Scalar.IP if rng.random() < 0.6:
                return self._in_network(place, of)
            case IntType() | Scalar.TIME | Scalar.DURATION | EnumType(ordered=True) if rng.random() < 0.6:
                other = operands.scalar(place, type_, constant=0.7)
                word = rng.choice(["<", "<=", ">", ">="])
                return f"{of} {word} {other}" if rng.random() < 0.8 else f"{other} {word} {of}"
            case RoleType():
                raise ValueError("a role is no input")
            case _ if rng.random() < 0.35:
                among = operands.set_of(place, type_) if rng.random() < 0.25 else operands.constants(place, type_)
                return f"{of} {rng.choice(['in', 'in', 'in', 'not in'])} {among}"
            case _:
                other = operands.scalar(place, type_, constant=0.65)
                return f"{of} {rng.choice(['==', '==', '==', '!='])} {other}"

    def _in_network(self, place: Place, of: str) -> str:
        rng = self._rng
        network = rng.choice(place.world.networks) if rng.random() < 0.6 else rng.choice(NETWORKS)
        return f"{of} {rng.choice(['in', 'in', 'in', 'not in'])} {network}"

    def _network(self, place: Place) -> Written:
        found = self._operands.typed(place, Scalar.IP)
        return self._plain(place, self._in_network(place, input_text(self._operands.one(found))))

    def _time(self, place: Place) -> Written | None:
        rng, operands = self._rng, self._operands
        word = rng.choice(["<", "<=", ">", ">=", "<", "<=", "==", "!="])
        if rng.random() < 0.5:
            elapsed = operands.elapsed(place)
            return None if elapsed is None else self._plain(place, f"{elapsed} {word} {operands.duration(place)}")
        if rng.random() < 0.1:
            return self._plain(place, f"{operands.instant(place)} in {operands.constants(place, Scalar.TIME)}")
        other = operands.instant(place) if rng.random() < 0.4 else literal(rng, Scalar.TIME)
        return self._plain(place, f"{operands.instant(place)} {word} {other}")

    def _role(self, place: Place) -> Written | None:
        owners = {role: kind.name for kind in place.world.kinds for role in kind.roles if kind.name in place.kinds()}
        if not owners:
            return None
        role = self._rng.choice(list(owners))
        return Written(f"role {role}", place.of_kinds([owners[role]]), place)

    def _factor(self, place: Place) -> Written | None:
        kinds = [kind for kind in place.world.kinds if kind.name in place.kinds() and kind.factors]
        if not kinds:
            return None
        factor = self._rng.choice(self._rng.choice(kinds).factors)
        able = [kind.name for kind in kinds if factor in kind.factors]
        return Written(f"factor {factor}{within(self._rng, place.world)}", place.of_kinds(able), place)

    def _relation(self, place: Place) -> Written:
        relation = self._rng.choice(place.world.relations)
        types = dict(relation.columns)
        arguments = {name: self._operands.value(place, type_, constant=0.2) for name, type_ in types.items()}
        roles = {arguments[name] for name, type_ in types.items() if isinstance(type_, RoleType)}
        own = [name for name in self._operands.typed(place, Scalar.STRING) if name[0] in {"token", "subject"}]
        if roles and own and "user" in types and self._rng.random() < 0.6:  # as people ask
            arguments["user"] = input_text(self._operands.one(own))
        said = [name for name, text in arguments.items() if text not in roles and _may_be_said(place, text)]
        owner = next((kind for kind in place.world.kinds if not roles.isdisjoint(kind.roles)), None)
        if roles and said and owner is None:  # whose role it is, only a call of the condition says
            arguments |= {name: self._operands.value(place, types[name], constant=1) for name in said}
        text = f"{relation.name}({', '.join(arguments.values())})"
        if owner is None or not said or place.kinds() == {owner.name}:
            return self._plain(place, text)
        return Written(f"({owner.form} is {owner.name} and {text})", place.of_kinds([owner.name]), place)

    def _call(self, place: Place) -> Written | None:
        if not place.world.conditions:
            return None
        condition = self._rng.choice(place.world.conditions)
        arguments = [self._operands.value(place, type_, constant=0.25) for _, type_ in condition.parameters]
        return self._plain(place, f"{condition.name}({', '.join(arguments)})" if arguments else condition.name)

    def _constant(self, place: Place) -> Written:
        left, right = self._rng.choice([("1", "2"), ('"a"', '"a"'), ("5m", "250ms"), ("true", "false"), ("eu", "us")])
        return self._plain(place, f"{left} == {right}")

    def _tag_there(self, place: Place) -> Written | None:
        names = [name for name in self._operands.inputs(place) if name[0] in HAS_ROOTS]
        return None if not names else self._has(place, self._operands.one(names))

    # ------------------------------------------------------------ what others need

    def header_value(self, place: Place) -> str:
        """A value that a header may be set to."""
        rng, operands = self._rng, self._operands
        scalars = [name for name, type_ in operands.inputs(place).items() if not isinstance(type_, SetType)]
        roll = rng.random()
        if scalars and roll < 0.6:
            return input_text(operands.one(scalars))
        if roll < 0.8:
            return rng.choice(['"contact"', '"contact"', "limit", "tenant_id", "true", "5m", "2026-03-01", "192.0.2.7"])
        return rng.choice(["now", "now + 5m", f"({operands.instant(place)})"])

    def focus(self, place: Place) -> Name | None:
        """An input by which many rules at a place may be told apart."""
        types = {**place.readable(), **_provable(place)}
        names = [name for name, type_ in types.items() if type_ is not Scalar.BOOL]
        addresses = [name for name in names if types[name] is Scalar.IP]
        if addresses and self._rng.random() < 0.25:
            return self._rng.choice(addresses)
        return self._operands.one(names) if names else None

    def telling(self, place: Place, name: Name) -> str | None:
        """A condition on one input and constants, such as an index tells rules apart by; None where it is not there."""
        type_, proof = place.readable().get(name), ""
        if type_ is None:
            type_, proof = _provable(place).get(name), f"{name[0]} has {name[1]} and "
        return None if type_ is None else proof + self._told(place, input_text(name), type_)

    def _told(self, place: Place, of: str, type_: Type) -> str:
        rng, operands = self._rng, self._operands
        match type_:
            case SetType(element):
                if rng.random() < 0.5:
                    return f"{operands.constant(place, element)} in {of}"
                return f"{of} overlaps {operands.constants(place, element)}"
            case Scalar.IP if rng.random() < 0.7:
                return f"{of} in {rng.choice([*place.world.networks, *NETWORKS])}"
            case _ if rng.random() < 0.3:
                return f"{of} in {operands.constants(place, element_of(type_))}"
            case _ if rng.random() < 0.2:
                one, other = (operands.constant(place, element_of(type_)) for _ in range(2))
                return f"({of} == {one} or {of} == {other})"
            case _:
                return f"{of} == {operands.constant(place, element_of(type_))}"


def _provable(place: Place) -> dict[Name, Type]:
    """The inputs that `has` may be asked of, and that some environment then has."""
    return {
        name: type_ for name, type_ in place.narrowings().items() if name[0] in HAS_ROOTS and place.having(name).envs
    }


def _may_be_said(place: Place, text: str) -> bool:
    """Whether an argument is, or may come to be, what the caller says of itself."""
    return text.startswith(("token.", "subject.")) or text in {name for name, _ in place.parameters}
