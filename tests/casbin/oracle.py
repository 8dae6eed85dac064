"""Casbin itself, asked: pycasbin 2.8 as an oracle, what it answers and what it says row by row.

In: a kind's settings and a trial. Out: an answer to a request, "yes", "no" or "raised". Where it raises, the rows are
asked one at a time: a row at which it raises is unknown, and the effect is taken over the rows as
policy_lang/ir/tables.py states it, so that there is an expected answer there too.

One enforcer is asked many requests. `fresh` makes another: a role manager remembers the names it was asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import casbin
from casbin import util
from casbin.model import Model
from casbin.persist import Adapter
from casbin.persist.adapter import load_policy_line
from msgspec import Struct

from policy_lang.ir.tables import FunctionName
from tests.casbin.kind import (
    ALLOW_AND_DENY,
    ALLOW_OVERRIDE,
    DENY_OVERRIDE,
    Request,
    Settings,
    Trial,
)

Answer = Literal["yes", "no", "raised"]

_MATCHING: Mapping[FunctionName, Any] = {
    "keyMatch": util.key_match_func,
    "keyMatch2": util.key_match2_func,
    "keyMatch3": util.key_match3_func,
    "keyMatch4": util.key_match4_func,
    "keyMatch5": util.key_match5_func,
    "globMatch": util.glob_match_func,
    "regexMatch": util.regex_match_func,
}

_NOT_REGISTERED: Mapping[str, Any] = {"keyGet": util.key_get, "keyGet2": util.key_get2, "keyGet3": util.key_get3}
"""Functions of its documentation that Casbin leaves to be registered by hand."""


class LoadError(Exception):
    """Casbin does not load this policy."""


class _Lines(Adapter):  # type: ignore[misc]
    """A policy from its lines; none is a policy too."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._lines = lines

    def load_policy(self, model: Model) -> None:
        for line in self._lines:
            load_policy_line(line, model)


@cache
def _parsed(expression: str) -> Any:
    """What Casbin parses a matcher into. Errors: what it raises."""
    return casbin.Enforcer._get_expression(expression, {}).ast_parsed_value


class _Enforcer(casbin.Enforcer):  # type: ignore[misc]
    """Casbin's, but that a matcher is parsed once and not at every request, which is half of what a request takes."""

    @staticmethod
    def _get_expression(expr: str, functions: Any = None) -> Any:
        evaluator = casbin.Enforcer._get_expression("", functions)
        evaluator.expr, evaluator.ast_parsed_value = expr, _parsed(expr)
        return evaluator


class Oracle(Struct, frozen=True):
    """An enforcer with a policy loaded. `effect` is the one it asks, whatever the definitions chosen."""

    trial: Trial
    settings: Settings
    enforcer: Any
    effect: str

    @classmethod
    def of(cls, trial: Trial, settings: Settings) -> Oracle:
        """Load a trial. Errors: LoadError where Casbin does not."""
        try:
            text = Model()
            text.load_model_from_text(trial.model)
            enforcer = _Enforcer(text, _Lines(trial.lines))
        except Exception as raised:
            raise LoadError(repr(raised)) from raised
        for name, function in settings.matching.items():
            enforcer.add_named_matching_func(name, _MATCHING[function])
        for name, function in settings.domain_matching.items():
            enforcer.add_named_domain_matching_func(name, _MATCHING[function])
        for name, function in _NOT_REGISTERED.items():
            enforcer.add_function(name, function)
        if settings.time_conditions:
            _condition(enforcer)
        return cls(trial, settings, enforcer, enforcer.model["e"]["e"].value.replace("p_eft", "p.eft"))

    def fresh(self) -> Oracle:
        """Another enforcer of the same trial."""
        return Oracle.of(self.trial, self.settings)

    def answer(self, request: Request) -> Answer:
        """What Casbin answers."""
        return self.explained(request)[0]

    def explained(self, request: Request) -> tuple[Answer, tuple[str, ...]]:
        """What Casbin answers, and the row at which it stopped; none where it met no row."""
        try:
            allowed, row = self.enforcer.enforce_ex(*self._context(), *request)
        except Exception:  # noqa: BLE001  Whatever it raises is what is asked here.
            return "raised", ()
        return "yes" if allowed else "no", tuple(row)

    @property
    def stops_at_an_allow(self) -> bool:
        """Whether the row at which Casbin stops on a "yes" is the row that decided."""
        return self.effect not in {ALLOW_AND_DENY, DENY_OVERRIDE}

    def by_rows(self, request: Request) -> bool:
        """What the rows say one at a time, a row at which Casbin raises being unknown."""
        definition = self.enforcer.model["p"][f"p{self.settings.suffix}"]
        whole, place = definition.policy, _place_of_effect(definition.tokens)
        said: list[tuple[str, bool | None]] = []
        try:
            for row in whole:
                definition.policy = [row]
                vote = row[place] if place is not None and place < len(row) else "allow"
                said.append((vote, self._met(request)))
        finally:
            definition.policy = whole
        return _combined(self.effect, said)

    @property
    def rows(self) -> int:
        """How many rows there are of the type that is asked."""
        return len(self.enforcer.model["p"][f"p{self.settings.suffix}"].policy)

    def _met(self, request: Request) -> bool | None:
        """Whether the one row that is loaded is met; None where it raises."""
        answer, row = self.explained(request)
        return None if answer == "raised" else bool(row)

    def _context(self) -> tuple[object, ...]:
        suffix = self.settings.suffix
        return (self.enforcer.new_enforce_context(suffix),) if suffix else ()


def _condition(enforcer: Any) -> None:
    """Every link of a conditional graph asks timeMatch, in its domain where it has one."""
    for name in enforcer.cond_rm_map:
        definition = enforcer.model["g"][name]
        for link in definition.policy:
            if len(definition.tokens) > 2:
                enforcer.add_named_domain_link_condition_func(name, *link[:3], util.time_match_func)
            else:
                enforcer.add_named_link_condition_func(name, *link[:2], util.time_match_func)


def _place_of_effect(tokens: list[str]) -> int | None:
    return next((place for place, token in enumerate(tokens) if token.endswith("_eft")), None)


def _combined(effect: str, said: list[tuple[str, bool | None]]) -> bool:
    denied = any(vote == "deny" and met is not False for vote, met in said)
    allowed = any(vote == "allow" and met is True for vote, met in said)
    if effect == ALLOW_OVERRIDE:
        return allowed
    if effect == ALLOW_AND_DENY:
        return allowed and not denied
    if effect == DENY_OVERRIDE:
        return not denied and bool(said)
    for vote, met in said:
        if vote == "allow" and met is True:
            return True
        if vote == "deny" and met is not False:
            return False
    return False
