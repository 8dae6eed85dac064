"""The opened inputs of a record, member by member: the reading half of `pdp.audit.inputs`.

The bytes of a box and the clear fields around it come in; members come out by name, each read by its type. Here alone
it is said what an absent member means: what the clear part says, or what is as in a call that says nothing. What is not
in the form that `sealed_inputs` writes is an error that names the member, never a default.
Design: contracts.md "Recorded inputs".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import orjson

from pdp.audit.inputs import LETTERS, OTHER_METHOD, usual_abilities
from policy_lang.ir import Value
from policy_lang.meaning.inputs import Inputs, Looked
from policy_lang.verdict import Caller, Capability, Json, Origin

ASKED = frozenset(
    {
        *("act", "at", "can", "claims", "ends", "facts", "headers", "kind", "multi", "now", "origin", "properties"),
        *("signals", "unread"),
    }
)
"""Members of a call that became a question, and of no other."""

_CLOCK_US, _CLOCK_MS = 1_000_000, 1_000
_ACT = 3
_EMPTY: Mapping[str, Json] = {"claims": {}, "facts": [], "multi": False, "unread": []}


class ReplayError(ValueError):
    """The sealed inputs are not in the form that `pdp.audit.inputs.sealed_inputs` writes."""


class Stated:
    """The members of the opened inputs together with what the clear fields of the leaf say, each read by its type."""

    def __init__(self, opened: bytes, clear: Mapping[str, Json]) -> None:
        try:
            stated = orjson.loads(opened)
        except orjson.JSONDecodeError as error:
            raise ReplayError(f"the inputs are not JSON: {error}") from error
        if not isinstance(stated, dict):
            raise ReplayError("the inputs are no object")
        self._stated: Mapping[str, Json] = whole_inputs(stated, clear)

    def has(self, name: str) -> bool:
        return name in self._stated

    def text(self, name: str) -> str:
        value = self._stated.get(name)
        if not isinstance(value, str):
            raise ReplayError(f"`{name}` of the inputs is no string")
        return value

    def whole(self, name: str) -> int:
        value = self._stated.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ReplayError(f"`{name}` of the inputs is no integer")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._stated.get(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ReplayError(f"`{name}` of the inputs is no list of strings")
        return tuple(cast("list[str]", value))

    def several(self, name: str, count: int) -> tuple[str, ...]:
        """So many strings."""
        texts = self.texts(name)
        if len(texts) != count:
            raise ReplayError(f"`{name}` of the inputs has not {count} members")
        return texts

    def mapping(self, name: str) -> Mapping[str, Json]:
        """An object; empty where it is not there."""
        value = self._stated.get(name, {})
        if not isinstance(value, dict):
            raise ReplayError(f"`{name}` of the inputs is no object")
        return value

    def inputs(self) -> Inputs:
        """What the decision took in, of a call that became a question."""
        kind, claims, facts = self._stated.get("kind"), self._stated.get("claims"), self._stated.get("facts")
        if not (kind is None or isinstance(kind, str)) or not isinstance(claims, dict) or not isinstance(facts, list):
            raise ReplayError("kind, claims or facts of the inputs are not what a record holds")
        multi = self._stated.get("multi")
        if not isinstance(multi, bool):
            raise ReplayError("`multi` of the inputs is not what a record holds")
        return Inputs(
            caller=Caller(kind, claims, multi, frozenset(self.texts("unread"))),
            lookups=tuple(_looked(each) for each in facts),
            headers={name: _values(name, given) for name, given in self.mapping("headers").items()},
            properties=self.mapping("properties"),
            origin=_origin(self.mapping("origin")),
            signals={name: _reading(name, given) for name, given in self.mapping("signals").items()},
            capabilities=self._capabilities(),
        )

    def _capabilities(self) -> frozenset[Capability]:
        if not self.has("can"):
            return usual_abilities(is_http=self.has("at"))
        letters = self.text("can")
        if [*letters] != sorted({*letters} & {*LETTERS.values()}):
            raise ReplayError("`can` of the inputs is no row of letters that each stand for an ability")
        return frozenset(name for name, letter in LETTERS.items() if letter in letters)


def whole_inputs(stated: Mapping[str, Json], clear: Mapping[str, Json]) -> dict[str, Json]:
    """The members of a box, and those that are absent from it since the clear part says them, or nobody has to.

    `at` is the service and the canonical host, `act` the service and three more; one of them stands there where the
    call became a question, and neither where it did not. `ends` is in Unix milliseconds, `can` as it was written. What
    is of another type than `sealed_inputs` writes is left as it is, for whoever reads it. Errors: ReplayError where
    what is absent may not be, and where a call that never became a question has a member of one.
    """
    whole = {**stated}
    named, method = clear.get("sv"), clear.get("m")
    if whole.setdefault("service", named) is None:
        del whole["service"]
        if named is None and "service" in stated:
            raise ReplayError("`service` of the inputs says nothing was said, and no service stands in clear either")
    if method is not None and whole.setdefault("method", method) == OTHER_METHOD and "method" not in stated:
        raise ReplayError("`method` of the inputs is absent, and in clear none stands that it could be")
    asked = whole.pop("for", named)
    if asked is None:
        if stray := sorted(ASKED & whole.keys()):
            raise ReplayError(f"`{stray[0]}` of the inputs stands there, of a call that never became a question")
        return whole
    if not isinstance(asked, str):
        raise ReplayError("`for` of the inputs is no string")
    return whole | _asked(asked, whole, clear)


def _asked(service: str, stated: Mapping[str, Json], clear: Mapping[str, Json]) -> dict[str, Json]:
    """The members of a question about a service that are not as they stand in the box."""
    instant_us = clear.get("t")
    if not isinstance(instant_us, int) or isinstance(instant_us, bool):
        raise ReplayError("the record has no instant that its inputs could be of")
    asked: dict[str, Json] = {"now": instant_us // _CLOCK_MS, "kind": clear.get("pk"), **_EMPTY}
    asked = {name: stated.get(name, value) for name, value in asked.items()}
    if "multi" in stated and stated["multi"] is not True:
        raise ReplayError("`multi` of the inputs stands there, and says no more than its absence")
    act, ends, origin = stated.get("act"), stated.get("ends"), stated.get("origin")
    if isinstance(origin, dict):
        beside = {"ip": stated.get("ip"), "peer": stated.get("peer"), "gateway": clear.get("gw")}
        asked["origin"] = {name: _beside(name, given, beside) for name, given in origin.items()}
    if isinstance(ends, int) and not isinstance(ends, bool):
        asked["ends"] = (instant_us // _CLOCK_US + ends) * _CLOCK_MS
    if "act" not in stated:
        host = stated.get("at", stated.get("host"))
        if not isinstance(host, str):
            raise ReplayError("`at` of the inputs is no string, nor is the `host` that would stand for it")
        asked["at"] = [service, host]
    elif isinstance(act, list) and len(act) == _ACT:
        asked["act"] = [service, *act]
    else:
        raise ReplayError(f"`act` of the inputs has not {_ACT} members")
    return asked


def _beside(name: str, given: Json, beside: Mapping[str, Json]) -> Json:
    """A member of the origin; true is what stands beside it under the same name."""
    if given is not True or name not in beside:
        return given
    if not isinstance(beside[name], str):
        raise ReplayError(f"`{name}` of the origin stands for what the record does not say")
    return beside[name]


def _values(name: str, given: Json) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise ReplayError(f"the header `{name}` of the inputs is no list of strings")
    return tuple(cast("list[str]", given))


def _reading(name: str, given: Json) -> Value:
    match given:
        case bool() | int() | str():
            return given
        case list() if all(isinstance(each, bool | int | str) for each in given):
            return frozenset(cast("list[bool | int | str]", given))
        case _:
            raise ReplayError(f"the signal `{name}` of the inputs is no value")


def _origin(given: Mapping[str, Json]) -> Origin:
    ip, tls = given.get("ip"), given.get("tls")
    peer, gateway = given.get("peer", ""), given.get("gateway", "")
    if not isinstance(ip, str | None) or not isinstance(tls, bool | None):
        raise ReplayError("ip or tls of the inputs are not what a record holds")
    if not isinstance(peer, str) or not isinstance(gateway, str):
        raise ReplayError("peer or gateway of the inputs are no strings")
    return Origin(ip, peer, gateway, tls)


def _looked(row: Json) -> Looked:
    match row:
        case [str(relation), list(arguments), (bool() | None) as found]:
            return Looked(relation, tuple(cast("list[Value | None]", arguments)), found)
        case _:
            raise ReplayError("a fact of the inputs is not what a record holds")
