"""A recorded decision, made again by the very policy that made it.

The opened inputs of a record and the engine of its bundle go in, the verdict comes out, or the reason why the record
alone does not decide: a credential is not kept, so a refusal by `token` cannot be made again, and neither can one that
had no inquiry. `agrees` says whether the record and the verdict are the same answer.
Design: contracts.md "Recorded inputs", `show --why`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import orjson

from pdp.audit.leaf import Leaf
from pdp.canonical import Refusal, canonical_host, canonical_method
from pdp.model import Json
from pdp.runtime.engine import Engine
from policy_lang.inputs import Inputs, Looked, replay_question
from policy_lang.ir import Value
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.verdict import Caller, Verdict


class ReplayError(ValueError):
    """The sealed inputs are not in the form that `pdp.audit.record.inputs_of` writes."""


@dataclass(frozen=True, slots=True)
class Undecidable:
    """Why a record alone does not decide again."""

    why: str


def replay(leaf: Leaf, opened: bytes, engine: Engine) -> Verdict | Undecidable:
    """Decide the call of `leaf` again. Errors: ReplayError."""
    stated = _Stated(opened)
    by = leaf.clear.get("by")
    if by in (["token"], ["internal"]):
        return Undecidable("the credential or the fault that decided is not part of the record")
    if stated.has("cut"):
        return Undecidable("a part of the request is too long, or no text, and stands in the record in another form")
    if not stated.has("at"):
        return _before_the_engine(stated)
    path = canonical_path(stated.text("path"))
    if isinstance(path, PathRefusal):
        return Verdict("deny", ("path",), path.reason)
    service, host = stated.texts("at")
    return engine.decide(
        replay_question(
            stated.inputs(),
            service=service,
            method=stated.text("method"),
            path=path,
            host=host,
            now_ms=stated.whole("now"),
        )
    )


def _before_the_engine(stated: _Stated) -> Verdict | Undecidable:
    """A refusal by `path` or by `route` from before the engine: the path, the host and the method alone."""
    if not (stated.has("path") and stated.has("host") and stated.has("method")):
        return Verdict("deny", ("path",), "request.missing")
    path = canonical_path(stated.text("path"))
    if isinstance(path, PathRefusal):
        return Verdict("deny", ("path",), path.reason)
    for refused in (canonical_host(stated.text("host")), canonical_method(stated.text("method"))):
        if isinstance(refused, Refusal):
            return Verdict("deny", (refused.by,), refused.reason)
    return Undecidable("what decided lay outside path, host and method, and is not part of the record")


def agrees(leaf: Leaf, verdict: Verdict) -> bool:
    """Whether a verdict is the answer that the record states: outcome, by, reason, endpoint, challenges, log level."""
    clear = leaf.clear
    return (
        clear.get("d") == verdict.outcome
        and clear.get("by") == list(verdict.by)
        and clear.get("rc") == verdict.reason
        and clear.get("ep") == verdict.endpoint
        and clear.get("ch", []) == [challenge.name for challenge in verdict.challenges]
        and clear.get("ll", "normal") == verdict.log.level
    )


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

    def inputs(self) -> Inputs:
        kind, claims, facts = self._stated.get("kind"), self._stated.get("claims"), self._stated.get("facts")
        if not (kind is None or isinstance(kind, str)) or not isinstance(claims, dict) or not isinstance(facts, list):
            raise ReplayError("kind, claims or facts of the inputs are not what a record holds")
        return Inputs(
            caller=Caller(kind, claims, self._stated.get("multi") is True, frozenset(self.texts("unread"))),
            reads={},
            lookups=tuple(_looked(each) for each in facts),
        )


def _looked(row: Json) -> Looked:
    match row:
        case [str(relation), list(arguments), (bool() | None) as found]:
            return Looked(relation, tuple(cast("list[Value | None]", arguments)), found)
        case _:
            raise ReplayError("a fact of the inputs is not what a record holds")
