"""A recorded decision, made again by the very policy that made it.

The opened inputs of a record and the engine of its bundle go in, the verdict comes out, or the reason why the record
alone does not decide: a credential is not kept, so a refusal by `token` cannot be made again, and neither can one that
had no inquiry, whose inputs were cut, or that asked for an action and never became a question. `agrees` says whether
the record and the verdict are the same answer: outcome, primary rule, reason, endpoint, challenges, level, status, what
is to be done and sent, shadow rules and the refusal that was not.
Design: contracts.md "Recorded inputs", `show --why`.

Decision: 2026-11-21. Of `by` the primary rule alone is compared: the evaluators agree on no more.
Decision: 2026-11-21. A call that was refused since the two evaluators differed is decided again by the definition: its
record holds all it takes, and what policy says of the call is what its reader wants to know. There is nothing to agree
with (`undecided`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import orjson
from msgspec import Struct

from pdp.audit.bounds import MOST_NAMED
from pdp.audit.leaf import Leaf
from pdp.audit.record import DISAGREEMENT, DISTRUSTED, duty_words, earliest, observed_words
from pdp.canonical import Refusal, canonical_host, canonical_method
from pdp.identity.asserted import kind_of, stranger_refused
from pdp.model import capabilities_named
from pdp.runtime.engine import Engine
from policy_lang.ir import Value
from policy_lang.meaning.inputs import Inputs, Looked, replay_question
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.verdict import CAPABILITIES, ActionCall, Caller, Capability, HttpCall, Json, Origin, Verdict


class ReplayError(ValueError):
    """The sealed inputs are not in the form that `pdp.audit.inputs.sealed_inputs` writes."""


class Undecidable(Struct, frozen=True):
    """Why a record alone does not decide again."""

    why: str


def replay(leaf: Leaf, opened: bytes, engine: Engine) -> Verdict | Undecidable:
    """Decide the call of `leaf` again. Errors: ReplayError."""
    stated = _Stated(opened)
    by = leaf.clear.get("by")
    if by in (["token"], ["internal"]) and not undecided(leaf):
        return Undecidable("the credential or the fault that decided is not part of the record")
    cut = [name for name in (stated.texts("cut") if stated.has("cut") else ()) if name not in {"rq", "who"}]
    if cut:
        names = ", ".join(cut)
        return Undecidable(f"{names} of the call: in the record in another form or not at all, too large or no text")
    if stated.has("act"):
        service, action, resource, id_ = stated.several("act", 4)
        return _decided(stated, engine, service, ActionCall(action, resource, id_))
    if not stated.has("at"):
        return _before_the_engine(stated)
    path = canonical_path(stated.text("path"))
    if isinstance(path, PathRefusal):
        return Verdict("deny", ("path",), path.reason)
    service, host = stated.several("at", 2)
    return _decided(stated, engine, service, HttpCall(stated.text("method"), path, host))


def undecided(leaf: Leaf) -> bool:
    """Whether the call of `leaf` was refused because nobody could say what the policy says of it."""
    return leaf.clear.get("rc") in (DISAGREEMENT, DISTRUSTED)


def _decided(stated: _Stated, engine: Engine, service: str, call: HttpCall | ActionCall) -> Verdict:
    question = replay_question(stated.inputs(), service=service, call=call, now_ms=stated.whole("now"))
    if stated.has("as") and kind_of(stated.text("as"), engine.kinds.values()) is None:
        return stranger_refused(engine.admit(question))
    return engine.decide(question)


def _before_the_engine(stated: _Stated) -> Verdict | Undecidable:
    """A refusal by `path` or by `route` from before the engine: the path, the host and the method alone."""
    if stated.has("action") or stated.has("as"):
        return Undecidable("what decided lay outside what the record holds of an action and its subject")
    if not (stated.has("path") and stated.has("host") and stated.has("method")):
        return Verdict("deny", ("path",), "request.missing")
    path = canonical_path(stated.text("path"))
    if isinstance(path, PathRefusal):
        return Verdict("deny", ("path",), path.reason)
    for refused in (canonical_host(stated.text("host")), canonical_method(stated.text("method"))):
        if isinstance(refused, Refusal):
            return Verdict("deny", (refused.by,), refused.reason)
    return Undecidable("what decided lay outside path, host and method, and is not part of the record")


def agrees(leaf: Leaf, opened: bytes, verdict: Verdict) -> bool:
    """Whether a verdict is the answer that the record states. Errors: ReplayError."""
    clear, observed, stated = leaf.clear, verdict.observed, _Stated(opened)
    by = clear.get("by")
    sayable = isinstance(was := clear.get("os"), dict) and "sj" in was
    headers = {header.name: header.value for header in (*verdict.advice.headers, *verdict.duties.headers)}
    return (
        clear.get("d") == verdict.outcome
        and (isinstance(by, list) and by[:1] == list(verdict.by[:1]))
        and clear.get("rc") == verdict.reason
        and clear.get("ep") == verdict.endpoint
        and clear.get("ch", []) == [challenge.name for challenge in verdict.challenges]
        and clear.get("ll", "normal") == verdict.log.level
        and clear.get("st") == verdict.status
        and clear.get("vu") == earliest(verdict.valid_until_ms, stated.whole("ends") if stated.has("ends") else None)
        and clear.get("sh", []) == _shown(clear, "sh", verdict.shadow)
        and clear.get("ob", []) == duty_words(verdict.duties)
        and clear.get("ad", []) == duty_words(verdict.advice)
        and clear.get("al", []) == sorted({*verdict.duties.alerts, *verdict.advice.alerts})
        and stated.mapping("sent") == headers
        and was == (None if observed is None else _primary_only(was, observed_words(observed, sayable=sayable)))
    )


def _shown(clear: Mapping[str, Json], name: str, rules: tuple[str, ...]) -> list[str]:
    """The rules of a field, as many as a record shows."""
    cut = clear.get("ct")
    return list(rules[:MOST_NAMED] if isinstance(cut, list) and name in cut else rules)


def _primary_only(was: Json, words: dict[str, Json]) -> Json:
    """The words of an observed refusal with the rules that stand in its record, where the primary one is the same."""
    by = was.get("by") if isinstance(was, dict) else None
    same = isinstance(by, list) and isinstance(words["by"], list) and by[:1] == words["by"][:1]
    return words | {"by": by} if same else words


class _Stated:
    """The members of the opened inputs, each read by its type."""

    def __init__(self, opened: bytes) -> None:
        try:
            stated = orjson.loads(opened)
        except orjson.JSONDecodeError as error:
            raise ReplayError(f"the inputs are not JSON: {error}") from error
        if not isinstance(stated, dict):
            raise ReplayError("the inputs are no object")
        self._stated: Mapping[str, Json] = stated

    def has(self, name: str) -> bool:
        return name in self._stated

    def text(self, name: str) -> str:
        value = self._stated.get(name)
        if not isinstance(value, str):
            raise ReplayError(f"`{name}` of the inputs is no string")
        return value

    def whole(self, name: str) -> int:
        value = self._stated.get(name)
        if not isinstance(value, int):
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
        kind, claims, facts = self._stated.get("kind"), self._stated.get("claims"), self._stated.get("facts")
        if not (kind is None or isinstance(kind, str)) or not isinstance(claims, dict) or not isinstance(facts, list):
            raise ReplayError("kind, claims or facts of the inputs are not what a record holds")
        return Inputs(
            caller=Caller(kind, claims, self._stated.get("multi") is True, frozenset(self.texts("unread"))),
            reads={},
            lookups=tuple(_looked(each) for each in facts),
            headers={name: _values(name, given) for name, given in self.mapping("headers").items()},
            properties=self.mapping("properties"),
            origin=_origin(self.mapping("origin")),
            signals={name: _reading(name, given) for name, given in self.mapping("signals").items()},
            capabilities=self._capabilities(),
        )

    def _capabilities(self) -> frozenset[Capability]:
        return capabilities_named(self.texts("can")) if self.has("can") else CAPABILITIES


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
