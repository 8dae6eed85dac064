"""Casbin itself, asked: pycasbin, which the extra `pycasbin` installs.

In go the texts and options that `pdp casbin` took, out comes an enforcer of Casbin's with the same policy, and what it
answers. Only `casbin_verify` loads this module, and only where the right distribution is installed.
INVARIANT: Casbin reads the model and the rows as its own adapters do; nothing of ours comes between.
Source: Casbin's documentation, "Management API", "RBAC with conditions"; measured on pycasbin 2.8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import casbin
from casbin import util
from casbin.core_enforcer import EnforceContext
from casbin.model import Model
from casbin.persist import Adapter
from casbin.persist.adapter import load_policy_line
from msgspec import Struct

from pdp.casbin_rule import Record
from pdp.cli.casbin_input import CasbinInputError, Taken
from policy_lang.ir.tables import FunctionName

_Function = Callable[..., object]

_FUNCTIONS: Mapping[FunctionName, _Function] = {
    "keyMatch": util.key_match_func,
    "keyMatch2": util.key_match2_func,
    "keyMatch3": util.key_match3_func,
    "keyMatch4": util.key_match4_func,
    "keyMatch5": util.key_match5_func,
    "regexMatch": util.regex_match_func,
    "globMatch": util.glob_match_func,
    "ipMatch": util.ip_match_func,
}

_LEFT_OUT: Mapping[str, _Function] = {"keyGet": util.key_get, "keyGet2": util.key_get2, "keyGet3": util.key_get3}
"""Functions of its documentation that Casbin leaves to whoever uses it to register."""


class Enforcer(Protocol):
    """What is asked of an enforcer of Casbin's."""

    def enforce(self, *request: object) -> bool: ...

    def add_named_link_condition_func(self, graph: str, member: str, role: str, asks: _Function) -> bool: ...

    def add_named_domain_link_condition_func(
        self, graph: str, member: str, role: str, domain: str, asks: _Function
    ) -> bool: ...


class _Rows(Adapter):  # type: ignore[misc]
    """A policy as it was taken: lines of a text, or records."""

    def __init__(self, policy: str | Sequence[Record]) -> None:
        self._policy = policy

    def load_policy(self, model: Model) -> None:
        if isinstance(self._policy, str):
            for line in self._policy.split("\n"):
                load_policy_line(line.strip(), model)
            return
        for record in self._policy:
            kind, *values = record
            while values and not values[-1]:
                values.pop()
            section = model.model.get((kind or "")[:1], {})
            if kind in section:
                section[kind].policy.append([(value or "").strip() for value in values])


class Original(Struct, frozen=True):
    """An enforcer, and which definitions it is asked by (none: the first ones)."""

    enforcer: Enforcer
    context: tuple[object, ...]

    @classmethod
    def of(cls, found: Taken) -> Original:
        """Casbin with the same model and policy. Errors: CasbinInputError I421 where Casbin takes them not."""
        try:
            model = Model()
            model.load_model_from_text(found.source.text)
            enforcer = casbin.Enforcer(model, _Rows(found.policy))
            for name, function in found.options.matching.items():
                enforcer.add_named_matching_func(name, _FUNCTIONS[function])
            for name, function in found.options.domain_matching.items():
                enforcer.add_named_domain_matching_func(name, _FUNCTIONS[function])
            for name, own in _LEFT_OUT.items():
                enforcer.add_function(name, own)
            _ask_conditions(enforcer, found)
        except Exception as error:
            why = f"Casbin takes neither the model nor the policy: {type(error).__name__}: {error}"
            raise CasbinInputError("I421", f"{found.source.name}, {found.place}: {why}") from error
        sections = found.sections
        chosen = (sections.r, sections.p, sections.e, sections.m)
        return cls(enforcer, () if chosen == ("r", "p", "e", "m") else (EnforceContext(*chosen),))

    def answer(self, request: Sequence[object]) -> bool | str:
        """Whether Casbin allows a request, or what it raises."""
        try:
            return bool(self.enforcer.enforce(*self.context, *request))
        except Exception as error:  # noqa: BLE001 - whatever it raises is what is asked here
            return f"{type(error).__name__}: {error}"


def _ask_conditions(enforcer: Enforcer, found: Taken) -> None:
    """Every link under conditions asks timeMatch, as the program of ours does."""
    for name, role in found.model.roles.items():
        for link in found.rows.links[name] if role.conditions else ():
            named = (name, link.member, link.role)
            if role.domains:
                enforcer.add_named_domain_link_condition_func(*named, link.domain, util.time_match_func)
            else:
                enforcer.add_named_link_condition_func(*named, util.time_match_func)
