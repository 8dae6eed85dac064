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

from collections.abc import Callable, Mapping

from msgspec import Struct

from pdp.audit.bounds import MOST_NAMED
from pdp.audit.leaf import Leaf
from pdp.audit.record import DISAGREEMENT, DISTRUSTED, duty_words, earliest, observed_words
from pdp.audit.replay_stated import ReplayError, Stated
from pdp.canonical import Refusal, canonical_host, canonical_method
from pdp.identity.asserted import kind_of, stranger_refused
from pdp.runtime.engine import Engine
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.inputs import replay_question
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.verdict import ActionCall, HttpCall, Json, Question, Verdict

__all__ = ["Judge", "ReplayError", "Undecidable", "agrees", "answer_again", "called_again", "replay", "undecided"]

Judge = Callable[[Question, Call | Refused], Verdict]
"""Decides a question that was admitted, or not."""


class Undecidable(Struct, frozen=True):
    """Why a record alone does not decide again."""

    why: str


def replay(leaf: Leaf, opened: bytes, engine: Engine, judge: Judge | None = None) -> Verdict | Undecidable:
    """Decide the call of `leaf` again, by the definition or as `judge` does. Errors: ReplayError."""
    return answer_again(leaf, Stated(opened, leaf.clear), engine, judge or engine.explain)


def answer_again(leaf: Leaf, stated: Stated, engine: Engine, judge: Judge) -> Verdict | Undecidable:
    """The same of inputs that were read before. Errors: ReplayError."""
    called = called_again(leaf, stated)
    if called is None:
        return _before_the_engine(stated)
    return called if isinstance(called, Verdict | Undecidable) else _decided(stated, engine, called, judge)


def called_again(leaf: Leaf, stated: Stated) -> tuple[str, HttpCall | ActionCall] | Verdict | Undecidable | None:
    """The service and the call of a record: what can be asked again; or a refusal that needs no policy, or why nothing
    can be. None where it was refused before it became a question. Errors: ReplayError.
    """
    by = leaf.clear.get("by")
    if by in (["token"], ["internal"]) and not undecided(leaf):
        return Undecidable("the credential or the fault that decided is not part of the record")
    cut = [name for name in (stated.texts("cut") if stated.has("cut") else ()) if name not in {"rq", "who"}]
    if cut:
        names = ", ".join(cut)
        return Undecidable(f"{names} of the call: in the record in another form or not at all, too large or no text")
    if stated.has("act"):
        service, action, resource, id_ = stated.several("act", 4)
        return service, ActionCall(action, resource, id_)
    if not stated.has("at"):
        return None
    path = canonical_path(stated.text("path"))
    if isinstance(path, PathRefusal):
        return Verdict("deny", ("path",), path.reason)
    service, host = stated.several("at", 2)
    return service, HttpCall(stated.text("method"), path, host)


def undecided(leaf: Leaf) -> bool:
    """Whether the call of `leaf` was refused because nobody could say what the policy says of it."""
    return leaf.clear.get("rc") in (DISAGREEMENT, DISTRUSTED)


def _decided(stated: Stated, engine: Engine, called: tuple[str, HttpCall | ActionCall], judge: Judge) -> Verdict:
    question = replay_question(stated.inputs(), service=called[0], call=called[1], now_ms=stated.whole("now"))
    call = engine.admit(question)
    if stated.has("as") and kind_of(stated.text("as"), engine.kinds.values()) is None:
        return stranger_refused(call)
    return judge(question, call)


def _before_the_engine(stated: Stated) -> Verdict | Undecidable:
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
    clear, observed, stated = leaf.clear, verdict.observed, Stated(opened, leaf.clear)
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
