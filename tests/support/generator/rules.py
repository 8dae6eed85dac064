"""Draws rules: whom they are for, on what, under which conditions, and what they ask.

`RuleText` is a rule as text in pieces, so that a test may drop it, move it or turn its clauses round.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from policy_lang.ir import Effect
from tests.support.generator.contexts import Place
from tests.support.generator.expressions import Expressions
from tests.support.generator.operands import within
from tests.support.generator.pools import SCOPES, quoted
from tests.support.generator.targets import Target, Targets
from tests.support.generator.world import Name, World


class RuleText(Struct, frozen=True):
    """A rule of a module. The order of `conditions` among each other matters where `chained`."""

    module: str
    effect: Effect
    shadow: bool
    name: str
    clauses: tuple[str, ...]
    conditions: tuple[str, ...]
    chained: bool

    @property
    def id(self) -> str:
        """As verdicts name it."""
        return f"{self.module}.{self.name}"

    def text(self, order: random.Random | None = None) -> str:
        """The rule as a policy writes it; its clauses turned round where an order is given."""
        lines, conditions = list(self.clauses), list(self.conditions)
        if order is None:
            lines[2:2] = conditions
        else:
            order.shuffle(lines)
            if not self.chained:
                order.shuffle(conditions)
            places = sorted(order.randrange(len(lines) + 1) for _ in conditions)
            for place, condition in reversed(list(zip(places, conditions, strict=True))):
                lines.insert(place, condition)
        head = f"{'shadow ' if self.shadow else ''}{self.effect} {self.name}"
        return head + "".join(f"\n  {line}" for line in lines)


_SHARES: Mapping[Effect, tuple[tuple[int, ...], float]] = {
    "allow": ((0, 0, 1, 1, 2), 0.35),
    "deny": ((1, 1, 2, 2, 3), 0.8),
    "require": ((0, 1, 1, 2), 0.5),
}
"""How many conditions a rule has, and how much of what joins them is `and`."""


class Rules:
    """Draws the rules of one bundle."""

    def __init__(self, rng: random.Random, world: World, targets: Targets) -> None:
        self._rng = rng
        self._world = world
        self._targets = targets
        self._calm = Expressions(rng, signals=0.15)
        self._wary = Expressions(rng, signals=0.6)

    def rule(self, effect: Effect, name: str, module: str, *, broad: bool = False) -> RuleText | None:
        """A rule of this effect; None where the module can reach nothing. `broad` ones have few conditions."""
        rng = self._rng
        target = self._targets.draw(module, effect)
        if target is None:
            return None
        on = [f"on {target.text}"]
        who, kinds = self._who(effect, broad=broad)
        place = self._place(target, kinds)
        for _ in range(4):  # a rule that nobody can meet teaches little
            if not place.envs:
                who, kinds = self._who(effect, broad=broad)
                place = self._place(target, kinds)
        counts, conjunctive = _SHARES[effect]
        wanted = rng.choice((0, 0, 0, 1) if broad else counts)
        chained = rng.random() < 0.6
        conditions, proved = self._conditions(place, wanted, conjunctive, effect, chained=chained)
        clauses = [*who, *on]
        if rng.random() < 0.12:
            clauses.append(f"until {rng.choice(['2026-03-02', '2026-03-02', '2027-01-01', '2026-03-01'])}")
        clauses += self._asks(effect, proved)
        if effect != "require" or rng.random() < 0.5:
            clauses.append(f'because "{name} says so"')
        return RuleText(module, effect, rng.random() < 0.08, name, tuple(clauses), tuple(conditions), chained)

    def focus(self, target: Target) -> Name | None:
        """An input by which many rules on one endpoint may be told apart."""
        return self._calm.focus(self._place(target, frozenset([None, *(kind.name for kind in self._world.kinds)])))

    def one_of_many(self, effect: Effect, name: str, module: str, target: Target, focus: Name | None) -> RuleText:
        """One of many rules on one endpoint, told apart from most others by a constant."""
        rng = self._rng
        who, kinds = self._who(effect, broad=rng.random() < 0.5)
        place = self._place(target, kinds)
        told = None if focus is None or rng.random() < 0.1 else self._calm.telling(place, focus)
        conditions = ["when request.peer == edge" if told is None else f"when {told}"]
        proved = place
        if rng.random() < 0.4:
            more, proved = self._conditions(place, 1, 0.6, effect, chained=False)
            conditions += more
        clauses = [*who, f"on {target.text}", *self._asks(effect, proved), f'because "{name}, one of many"']
        return RuleText(module, effect, rng.random() < 0.05, name, tuple(clauses), tuple(conditions), chained=False)

    def _place(self, target: Target, kinds: frozenset[str | None]) -> Place:
        return Place(
            self._world, frozenset(env for env in self._world.envs if env[1] in target.endpoints and env[0] in kinds)
        )

    def _conditions(
        self, place: Place, wanted: int, conjunctive: float, effect: Effect, *, chained: bool
    ) -> tuple[list[str], Place]:
        """`when` and `unless` clauses, and what they prove together; each behind the others only where `chained`."""
        rng = self._rng
        texts: list[str] = []
        proved = place
        for _ in range(wanted):
            at = proved if chained else place
            if not at.envs:
                break
            expressions = self._calm if effect == "allow" else self._wary
            negated = rng.random() < 0.2
            written = expressions.condition(at, rng.choice([0, 1, 2]), 1 - conjunctive if negated else conjunctive)
            texts.append(f"{'unless' if negated else 'when'} {written.text}")
            if chained:
                proved = written.when_false if negated else written.when_true
        return texts, proved

    # ------------------------------------------------------------ who

    def _who(self, effect: Effect, *, broad: bool) -> tuple[list[str], frozenset[str | None]]:
        """The `for` clause, if there is one, and the kinds that it admits."""
        rng = self._rng
        everyone = frozenset([None, *(kind.name for kind in self._world.kinds)])
        if effect != "allow" and rng.random() < 0.45:
            return [], everyone
        subjects = [self._subject(everyone, broad=broad) for _ in range(rng.choice([1, 1, 1, 2]))]
        via = f" via {', '.join(rng.sample(self._world.workloads, rng.choice([1, 2])))}" if rng.random() < 0.12 else ""
        kinds = frozenset[str | None]().union(*(kinds for _, kinds in subjects))
        return [f"for {', '.join(text for text, _ in subjects)}{via}"], kinds

    def _subject(self, everyone: frozenset[str | None], *, broad: bool) -> tuple[str, frozenset[str | None]]:
        rng = self._rng
        roll = rng.random()
        with_roles = [kind for kind in self._world.kinds if kind.roles]
        if roll < (0.35 if broad else 0.12):
            return "anyone", everyone
        if roll < (0.85 if broad else 0.45):
            kind = rng.choice(self._world.kinds)
            return f"any {kind.name}", frozenset([kind.name])
        if roll < 0.9 and with_roles:
            kind = rng.choice(with_roles)
            roles = rng.sample(kind.roles, rng.choice([1, 1, 2]))
            return f"role {' or '.join(roles)}", frozenset([kind.name])
        workloads = rng.sample(self._world.workloads, rng.choice([1, 2]))
        return f"workload {' or '.join(workloads)}", everyone

    # ------------------------------------------------------------ what it asks

    def _asks(self, effect: Effect, proved: Place) -> list[str]:
        match effect:
            case "allow":
                return self._some([lambda: f"should {self._gentle(proved)}"], (0, 0, 1))
            case "deny":
                return self._some([self._on_refusal], (0, 0, 1, 2))
            case "require":
                asked = self._some([lambda: self._need(proved)], (0, 1, 1, 1, 2))
                duties = self._some([lambda: f"must {self._duty(proved)}"], (0, 1, 1, 2) if asked else (1, 2))
                return [*asked, *duties, *self._some([lambda: f"should {self._gentle(proved)}"], (0, 0, 0, 1))]

    def _some(self, of: Sequence[Callable[[], str]], counts: tuple[int, ...]) -> list[str]:
        return [self._rng.choice(of)() for _ in range(self._rng.choice(counts))]

    def _need(self, proved: Place) -> str:
        rng = self._rng
        factors = sorted({factor for kind in self._world.kinds for factor in kind.factors})
        if rng.random() < 0.6 or not proved.envs:
            return f"needs factor {rng.choice(factors)}{within(rng, self._world)}"
        written = self._calm.condition(proved, rng.choice([0, 1]), 0.3)
        return f'needs {written.text} else challenge "{rng.choice(["device", "consent"])}"'

    def _gentle(self, proved: Place) -> str:
        """What an allow or a require may advise."""
        return self._rng.choice([self._set_header, self._remove_header, self._redact, self._alert])(proved)

    def _duty(self, proved: Place) -> str:
        """What a require may ask."""
        choices = [self._set_header, self._set_header, self._remove_header, self._redact, self._alert, self._log]
        tokens = {kind.name for kind in self._world.kinds if kind.form == "token" and kind.held}
        if tokens & proved.kinds():
            choices.append(self._issue_token)
        return self._rng.choice(choices)(proved)

    def _on_refusal(self) -> str:
        rng = self._rng
        nowhere = Place(self._world, frozenset())
        what: Literal["answer", "log", "alert", "advice"] = rng.choice(["answer", "answer", "log", "alert", "advice"])
        match what:
            case "answer":
                return f"must answer {rng.choice([403, 404, 429, 451, 503])}"
            case "log":
                return f"must {self._log(nowhere)}"
            case "alert":
                return f"must {self._alert(nowhere)}"
            case "advice":
                return f"should {self._alert(nowhere)}"

    def _set_header(self, proved: Place) -> str:
        value = self._calm.header_value(proved) if proved.envs else '"contact"'
        return f'set header "{self._header()}" to {value}'

    def _remove_header(self, _: Place) -> str:
        return f'remove header "{self._header()}"'

    def _header(self) -> str:
        return self._rng.choice(["x-subject", "x-subject", "x-subject", "x-mask", "X-Level", "x-trace", "x-until"])

    def _redact(self, _: Place) -> str:
        pointers = self._rng.sample(["/customer/email", "/a~1b", "/items/0/name"], self._rng.choice([1, 2]))
        return f"redact {quoted(pointers)}"

    def _alert(self, _: Place) -> str:
        return f'alert "{self._rng.choice(["soc", "ops", "care"])}"'

    def _log(self, _: Place) -> str:
        return f"log {self._rng.choice(['minimal', 'normal', 'full'])}{self._rng.choice(['', '', ' strict'])}"

    def _issue_token(self, _: Place) -> str:
        scopes = self._rng.sample(SCOPES, self._rng.choice([1, 2]))
        named = f" with scope {quoted(scopes)}"
        return f"issue token{self._rng.choice(['', named])}"
