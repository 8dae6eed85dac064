"""A past call decided again under another policy than its own: `pdp audit replay --policy`.

A record with its opened inputs and the engine of its own policy go in, an `Answer` comes out; or UndecidableError, with
the names of the inputs that the candidate reads and the record does not hold. What the candidate reads in the cell of
the call, and what the record holds (pdp/audit/replay_held.py), say what is missing; where something is, the definition
decides with it unknown, and the answer counts where it hangs on none of it (pdp/audit/replay_settled.py).

INVARIANT: an answer is what the candidate would have answered to the very call, whatever the missing inputs were.
Design: contracts.md "Recorded inputs", `replay --policy`.

Decision: 2026-11-21. A refusal that no policy has a say in (a token that is expired, a path that is not canonical, a
gateway that may not ask) stands as it is, and counts as the same.
Decision: 2026-11-21. What a candidate declares, lets be absent and does not read at an endpoint is taken to conform: no
record tells, and else one new claim would make all of history undecidable. What it declares and demands, or declares
with another type, is not: such a call is undecidable unless it is refused anyway.
Decision: 2026-11-21. Where the own policy asked nothing of the gateway, its record does not say what that gateway can
do. A call over HTTP is then taken to have come through one that can do what Envoy can (`assumed`).
Decision: 2026-11-21. Which service a call was for is as its gateway said; where the host or the action said it, they
say it under the candidate's inventory.
Decision: 2026-11-21. Identity headers that a client sent are not part of a record, so that a refusal for one
(`header.alias`) under a candidate that sets more headers is not foreseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pdp.audit.leaf import Leaf
from pdp.audit.replay import Undecidable, answer_again, called_again
from pdp.audit.replay_engines import Asked
from pdp.audit.replay_evidence import BrokenError, UndecidableError
from pdp.audit.replay_held import Held, Key, held_of, key_of, subject_id
from pdp.audit.replay_settled import Missing, settled
from pdp.audit.replay_stated import ReplayError, Stated
from pdp.canonical import canonical_host
from pdp.errors import PolicyError
from pdp.identity.asserted import kind_of, stranger_refused
from pdp.model import EXT_AUTHZ
from pdp.runtime.engine import place_of, same
from policy_lang.ir import Attr, Endpoint, FieldSchema, Kind, Lookup
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.evaluation import Environment, value_of
from policy_lang.meaning.inputs import replay_question
from policy_lang.meaning.schema import fields_of, root_of
from policy_lang.meaning.words import attr_name
from policy_lang.verdict import CAPABILITIES, ActionCall, Caller, HttpCall, Json, Question, Row, Verdict

FactsFrom = Literal["recorded", "current"]
"""Where a row comes from that a record does not hold: nowhere, or the candidate's own facts."""

LACKING = "inputs that the record does not hold"
DEFINED_EVERY = 50
_BY_POLICY = frozenset({"token.issuer", "token.kind"})
"""Refusals by `token` that another policy may not share."""

_ANYWAY = ("address.", "request.", "header.name", "header.value", "header.too_", "route.gateway")
"""Beginnings of reasons that no policy has a say in."""


class Answer(Struct, frozen=True):
    """What the candidate answers; `verdict` None: what the record says stands. `assumed`: for what the gateway can do.
    `asks_hang_on`: the missing inputs that obligations and advice hang on, though the outcome does not.
    """

    verdict: Verdict | None
    assumed: bool = False
    asks_hang_on: tuple[str, ...] = ()


STANDS = Answer(None)


class _Asker(Struct, frozen=True):
    """The caller as the candidate knows it; `doubtful` are fields of which it is not known whether they conform."""

    caller: Caller
    doubtful: frozenset[Attr]


class Candidate:
    """A policy that history is decided again under. Its state is a count: so many-th answers are made by both
    evaluators.
    """

    def __init__(self, asked: Asked, facts: FactsFrom) -> None:
        self._asked = asked
        self._engine = asked.engine
        self._facts = facts
        self._count = 0

    def answer(self, leaf: Leaf, evidence: bytes, own: Asked) -> Answer:
        """The answer to the call of a record, which `own` decided.

        Errors: UndecidableError; BrokenError for inputs that are none; PolicyError P111 where the candidate's compiled
            form is wrong.
        """
        if leaf.clear.get("by") == ["token"] and leaf.clear.get("rc") not in _BY_POLICY:
            return STANDS
        try:
            stated = Stated(evidence, leaf.clear)
            called = called_again(leaf, stated)
            if isinstance(called, Undecidable):
                raise UndecidableError(called.why)
            if isinstance(called, Verdict):
                return Answer(called)
            return self._before(leaf, stated, own) if called is None else self._called(stated, own, *called)
        except ReplayError as error:
            raise BrokenError(str(error)) from error

    def _before(self, leaf: Leaf, stated: Stated, own: Asked) -> Answer:
        """A call that was refused before it became a question."""
        again = answer_again(leaf, stated, own.engine, own.engine.explain)
        if isinstance(again, Verdict):
            return Answer(again)
        reason = str(leaf.clear.get("rc"))
        if reason.startswith(_ANYWAY) or self._is_unknown(reason, stated):
            return STANDS
        raise UndecidableError("refused before it became a question: its record does not hold what the candidate asks")

    def _is_unknown(self, reason: str, stated: Stated) -> bool:
        """Whether the service of such a call is none of the candidate's either."""
        if reason == "route.service" and stated.has("service"):
            return stated.text("service") not in self._engine.services
        if reason == "route.no_service" and stated.has("host") and not stated.has("action"):
            host = canonical_host(stated.text("host"))
            return isinstance(host, str) and len(self._engine.hosts.get(host, ())) != 1
        return False

    def _called(self, stated: Stated, own: Asked, service: str, called: HttpCall | ActionCall) -> Answer:
        inputs = stated.inputs()
        past = replay_question(inputs, service=service, call=called, now_ms=stated.whole("now"))
        held = held_of(own, past, own.engine.admit(past), inputs, stated)
        meant = self._service(stated, service, called)
        if meant is None:
            return Answer(Verdict("deny", ("route",), "route.no_service"))
        asker = self._asker(past.caller, own.engine.kinds.get(past.caller.kind or ""), held, stated)
        if asker is None:
            return Answer(Verdict("deny", ("token",), "token.issuer"))
        question = replace(past, service=meant, caller=asker.caller, facts={}, origin=held.origin)
        call = self._engine.admit(question)
        if stated.has("as") and asker.caller.kind is None:
            return Answer(stranger_refused(call))
        if isinstance(call, Refused):
            self._hold_refusal(question, call, held)
            return Answer(self._engine.judge(question, call))
        return self._judged(question, call, held, asker.doubtful)

    def _service(self, stated: Stated, service: str, called: HttpCall | ActionCall) -> str | None:
        """The service that a call is for; None where nobody says which."""
        if stated.has("service"):
            return service
        if isinstance(called, HttpCall):
            found = self._engine.hosts.get(called.host, ())
        else:
            actions = self._engine.reference.admission.router.actions
            found = tuple(each for each in self._engine.services if (each, called.action, called.resource) in actions)
            found = (service,) if service in found else found
        return found[0] if len(found) == 1 else None

    def _asker(self, caller: Caller, kind: Kind | None, held: Held, stated: Stated) -> _Asker | None:
        """The caller; None where the candidate has no kind for the issuer of the token."""
        claims: dict[str, Json] = dict(caller.claims)
        said = subject_id(stated)
        if stated.has("as"):
            id_ = kind_of(stated.text("as"), self._engine.kinds.values())
            found = None if id_ is None else self._engine.kinds[id_]
        elif kind is None:
            return _Asker(caller, frozenset())
        elif kind.form == "token":
            found = self._engine.issuers.get(kind.name)
            if found is None:
                return None
        else:
            found = self._engine.kinds.get(kind.id)
            if found is None:
                raise UndecidableError(LACKING, ("subject",))
        if found is None:
            return _Asker(Caller(None), frozenset())
        if found.form == "subject" and said is not None:
            claims["id"] = said
        root = root_of(found)
        unread, doubtful = set[str](), set[Attr]()
        for each in fields_of(found):
            if each.source in held.known or (root == "subject" and each.source == ("id",) and said is not None):
                continue
            unread.add(each.name)
            if _may_not_conform(each, held.there.get(each.source)):
                doubtful.add(Attr(root, each.name))
        return _Asker(replace(caller, kind=found.id, claims=claims, unread=frozenset(unread)), frozenset(doubtful))

    def _hold_refusal(self, question: Question, refused: Refused, held: Held) -> None:
        """Errors: UndecidableError where a call is refused for what its record does not hold."""
        if refused.reason == "route.not_grpc" and "content-type" not in held.headers and _may_be_grpc(question.call):
            raise UndecidableError(LACKING, ("header.content-type",))
        endpoint = self._engine.endpoints.get(refused.endpoint or "")
        if endpoint is not None:
            for name, attr in _not_held(endpoint, held):
                if refused.reason in {"schema.header_missing", "schema.resource_missing"} and name == refused.subject:
                    raise UndecidableError(LACKING, (attr_name(attr),))
        service = self._engine.services.get(question.service)
        observed = service is not None and service.observe_until_ms is not None
        if observed and "aud" in question.caller.unread:
            raise UndecidableError(LACKING, ("token.aud",))

    def _judged(self, question: Question, call: Call, held: Held, doubtful: frozenset[Attr]) -> Answer:
        read_set = self._asked.read_set(call)
        missing = Missing(self._attrs_missing(call, held))
        environment = _without(call.environment, missing.attrs)
        facts, unknown = self._rows(read_set.lookups, environment, held)
        missing = Missing(missing.attrs, unknown)
        call = replace(call, environment=replace(environment, facts=facts))
        assumed = read_set.asks and not held.able
        if assumed:
            able = EXT_AUTHZ if isinstance(question.call, HttpCall) else CAPABILITIES
            question = replace(question, capabilities=able)
        asks_hang_on: tuple[str, ...] = ()
        if missing:
            verdict = self._engine.explain(question, call)
            stands = settled(self._engine.program, call, verdict, missing)
            if stands.hangs_on:
                raise UndecidableError(LACKING, stands.hangs_on)
            asks_hang_on = stands.asks_hang_on
            verdict = replace(verdict, by=stands.by) if stands.by and verdict.observed is None else verdict
        else:
            verdict = self._plainly(question, call)
        if doubtful and verdict.outcome != "deny":
            raise UndecidableError(LACKING, tuple(sorted(map(attr_name, doubtful))))
        if assumed and isinstance(question.call, ActionCall) and _asks(verdict):
            raise UndecidableError(LACKING, ("what the caller can do",))
        return Answer(verdict, assumed, asks_hang_on)

    def _plainly(self, question: Question, call: Call) -> Verdict:
        """The verdict on a call of which everything is known."""
        verdict = self._asked.judge(question, call)
        self._count += 1
        if self._count % DEFINED_EVERY == 1 and not same(verdict, self._engine.explain(question, call)):
            detail = f"the compiled policy and its definition differ in a call for `{place_of(call)}`"
            raise PolicyError("P111", f"{detail}: nothing is said of it")
        return verdict

    def _attrs_missing(self, call: Call, held: Held) -> frozenset[Attr]:
        """The inputs that the cell may read and the record does not hold."""
        reads = self._asked.reads(call)
        of_endpoint = {attr for _, attr in _not_held(call.endpoint, held)}
        signals = {each.id: each for each in self._engine.program.signals}
        found: set[Attr] = set()
        for attr in reads:
            match attr.root:
                case "token" | "subject":
                    is_missing = attr in call.environment.unread
                case "header" | "resource":
                    is_missing = attr in of_endpoint
                case "request":
                    is_missing = attr.name in {"ip", "peer", "gateway", "tls"} - held.request
                case "signal":
                    was = held.signals.get(attr.name)
                    is_missing = was is None or was != signals.get(attr.name)
                case "path" | "query":
                    is_missing = False
            if is_missing:
                found.add(attr)
        return frozenset(found)

    def _rows(
        self, lookups: tuple[Lookup, ...], environment: Environment, held: Held
    ) -> tuple[Mapping[str, frozenset[Row]], frozenset[str]]:
        """The rows that the cell asks for, as far as they are there, and the relations of which one is not known."""
        facts: dict[str, set[Row]] = {}
        unknown: set[str] = set()
        for each in lookups:
            arguments = tuple(value_of(argument, environment) for argument in each.arguments)
            rows = facts.setdefault(each.relation, set())
            row = tuple(value for value in arguments if isinstance(value, bool | int | str))
            if len(row) != len(arguments):
                continue  # unknown for want of an input, whatever the facts are
            found = self._is_row(each.relation, key_of(each.relation, arguments), row, held)
            if found is None:
                unknown.add(each.relation)
            elif found:
                rows.add(row)
        known = {relation: frozenset(rows) for relation, rows in facts.items() if relation not in unknown}
        return known, frozenset(unknown)

    def _is_row(self, relation: str, key: Key, row: Row, held: Held) -> bool | None:
        found = held.rows.get(key)
        if found is None and self._facts == "current":
            return row in self._engine.facts.get(relation, frozenset())
        return found


def _may_be_grpc(call: HttpCall | ActionCall) -> bool:
    """Whether the content type alone says that a call is none of gRPC."""
    return isinstance(call, HttpCall) and call.method == "POST" and call.path.query is None


def _may_not_conform(declared: FieldSchema, was: FieldSchema | None) -> bool:
    """Whether a field without a value at hand may be one that the candidate refuses a caller for."""
    return not declared.optional if was is None else declared.type != was.type


def _not_held(endpoint: Endpoint, held: Held) -> list[tuple[str, Attr]]:
    """The headers and properties of an endpoint that a record does not hold, by name."""
    headers = [each.name for each in endpoint.headers if each.source[0] not in held.headers]
    properties = [each.name for each in endpoint.properties if each.source not in held.properties]
    found = [(name, Attr("header", name)) for name in headers]
    return found + [(name, Attr("resource", name)) for name in properties]


def _without(environment: Environment, attrs: frozenset[Attr]) -> Environment:
    """The same with these inputs unknown, and no others among what is not at hand."""
    hidden = {attr.name for attr in attrs if attr.root == "request"}
    request = {name: value for name, value in environment.request.items() if name not in hidden}
    return replace(environment, unread=attrs, request=request) if hidden else replace(environment, unread=attrs)


def _asks(verdict: Verdict) -> bool:
    """Whether a verdict asks for anything that a gateway must be able to do, be it while the service is observed."""
    duties, refusal = verdict.duties, verdict.observed
    stepping = verdict.outcome == "step_up" or (refusal is not None and refusal.outcome == "step_up")
    return stepping or bool(duties.headers or duties.removed or duties.redactions or duties.token_scopes is not None)
