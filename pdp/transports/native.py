"""The native API: a message `portcullis.v1.Inquiry` becomes an `Inquiry`, a `Decision` becomes a message.

All is pure. `read` believes nothing and repairs nothing: what was not said is None, and what the gateway may not say is
`NotRead`, never dropped in silence. `write` and `write_explanation` are total.
INVARIANT: `outcome` is `OUTCOME_ALLOW` for an allow with a record, and for nothing else; every other message has an
`answer` with a status of 401, 403 or 503, or what the policy wants.
INVARIANT: a `Decision` message names no rule, no reason and no value that was asked about; an `Explanation` names rules
and shows no value.
Design: contracts.md "Who decided", "Which service, which gateway, which caller", "Headers at Envoy".

Headers that some rule sets are ours, as over ext_authz: of a call over HTTP those that this decision does not set are
to be removed, and so are the client's `x-portcullis-*`, by whoever can remove headers. Obligations go before advice:
what one names is not in the other.

Decision: 2026-11-21. An authorization beside one among the headers is two credentials; a `host` among the headers that
is not the host makes the host None (`request.missing`): nobody can say which of the two will be read.
Decision: 2026-11-21. Values have a message of their own instead of `google.protobuf.Value`, whose numbers are doubles:
an id of 64 bits must not become another one on its way.
Decision: 2026-11-21. A subject, readings, or a word about where a call came from (`peer`, `ip`, `tls`) of a gateway
that is not believed refuse the whole call. Who sends them thinks that they count.
Decision: 2026-11-21. Challenges are told where the answer is that of a step-up: the plain 401 of a caller without a
credential says nothing of what an endpoint asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pdp.answers import DECISION_HEADER, check_code, http_answer, visible
from pdp.gateways import Gateway
from pdp.model import AUTHORIZATION, Asserted, Capability, Decision, Inquiry, Json, Outcome
from pdp.transports.limits import LONGEST_TEXT
from pdp.transports.messages import DecisionMessage, ExplanationMessage, Wire
from policy_lang.verdict import ClauseTrace, RuleTrace, Truth3

OUR_PREFIX = "x-portcullis-"

MOST_DEPTH = 16
"""Nesting of a value that is read."""

MOST_INT64 = 2**63 - 1

_OUTCOMES: Mapping[Outcome, str] = {"allow": "OUTCOME_ALLOW", "deny": "OUTCOME_DENY", "step_up": "OUTCOME_STEP_UP"}


class NotRead(Struct, frozen=True):
    """Why an inquiry is not asked: `reason` for the record, `detail` for who asked, without a word of what it said."""

    kind: Literal["malformed", "not_permitted"]
    reason: str
    detail: str


class _MalformedError(Exception):
    """A value that JSON has not, or too deep or long a one."""


def read(message: Wire, gateway: Gateway) -> Inquiry | NotRead:
    """What a `portcullis.v1.Inquiry` asks, asked by `gateway`."""
    principal = message.WhichOneof("principal")
    if principal == "subject" and not gateway.subjects:
        return _not_permitted("request.subject", "say who the subject is", "subjects")
    if message.readings and not gateway.signals:
        return _not_permitted("request.readings", "give readings", "signals")
    if not gateway.peers and any(message.HasField(name) for name in ("peer", "ip", "tls")):
        return _not_permitted("request.peer", "say who called it, from where or whether encrypted", "peers")
    http = message.http if message.WhichOneof("call") == "http" else None
    action = message.action if message.WhichOneof("call") == "action" else None
    headers = () if http is None else tuple(_header(each) for each in http.headers)
    if principal == "authorization":
        headers = (*headers, ("authorization", message.authorization))
    try:
        return Inquiry(
            service=_said(message, "service"),
            method=None if http is None else _said(http, "method"),
            path=None if http is None else _said(http, "path"),
            host=None if http is None else _host(http, headers),
            headers=headers,
            gateway=gateway.name,
            services=gateway.services,
            identity=gateway.identity,
            capabilities=gateway.listed(message.capabilities),
            ip=_said(message, "ip"),
            peer=_said(message, "peer"),
            tls=bool(message.tls) if message.HasField("tls") else None,
            asserted=_asserted(message.subject) if principal == "subject" else None,
            signals=_map(message.readings, 0),
            action=None if action is None else _bounded(action.name),
            resource=None if action is None else _resource(action),
            request_id=_said(message, "request_id"),
        )
    except _MalformedError as error:
        return NotRead("malformed", "request.unreadable", str(error))


def write(decision: Decision, inquiry: Inquiry | None, acr_values: Mapping[str, str]) -> Wire:
    """The `portcullis.v1.Decision` of `decision`.

    `inquiry` is what was asked (None: it could not be read); its header names say what must not reach the upstream, and
    its capabilities what is told of advice and of another status than 403. `acr_values` as in
    `pdp.answers.http_answer`.
    """
    able = frozenset[Capability]() if inquiry is None else inquiry.capabilities
    message = DecisionMessage(
        outcome=_OUTCOMES[_outcome(decision)],
        decision_id=visible(decision.id or ""),
        policy_revision=visible(decision.policy),
    )
    if check_code(decision) == 0:
        _write_allow(message, decision, inquiry, able)
        return message
    if _outcome(decision) == "step_up":
        for challenge in decision.challenges:
            told = message.challenges.add(name=_text(challenge.name))
            if challenge.within_s is not None:
                told.within_s = _whole(challenge.within_s)
    answer = http_answer(decision if "answer" in able else replace(decision, status=None), acr_values)
    message.answer.status = answer.status
    message.answer.title = answer.title
    for name, value in answer.headers:
        message.answer.headers.add(name=name, value=value)
    return message


def write_explanation(decision: Decision) -> Wire:
    """The `portcullis.v1.Explanation` of `decision`: names, texts of the policy and truths, no values."""
    message = ExplanationMessage(
        by=_texts(decision.by),
        reason=_text(decision.reason),
        subject=_text(decision.subject),
        endpoint=_text(decision.endpoint or ""),
        nearest=_text(decision.nearest or ""),
        shadow=_texts(decision.shadow),
    )
    for rule in decision.rules:
        _write_rule(message.rules.add(), rule)
    observed = decision.observed
    if observed is not None:
        message.observed.outcome = _OUTCOMES[observed.outcome]
        message.observed.by.extend(_texts(observed.by))
        message.observed.reason = _text(observed.reason)
        message.observed.subject = _text(observed.subject)
    return message


# ---------------------------------------------------------------- reading


def _not_permitted(reason: str, what: str, key: str) -> NotRead:
    return NotRead(
        "not_permitted", reason, f"this gateway may not {what}: set `{key}` of its table in the configuration"
    )


def _said(message: Wire, name: str) -> str | None:
    """A text that has presence; None where it was not said."""
    return str(getattr(message, name)) if message.HasField(name) else None


def _header(header: Wire) -> tuple[str, str]:
    """SECURITY: only ASCII is folded, so that no other letter becomes one of a name that is ours."""
    raw = header.raw_value if header.WhichOneof("content") == "raw_value" else None
    value = header.value if raw is None else raw.decode("utf-8", "surrogateescape")
    return (header.name.lower() if header.name.isascii() else header.name), value


def _host(http: Wire, headers: Iterable[tuple[str, str]]) -> str | None:
    host = _said(http, "host")
    return None if any(name == "host" and value != host for name, value in headers) else host


def _asserted(subject: Wire) -> Asserted:
    return Asserted(_bounded(subject.type), _bounded(subject.id), _map(subject.properties, 0))


def _resource(action: Wire) -> dict[str, Json]:
    return {
        "type": _bounded(action.resource_type),
        "id": _bounded(action.resource_id),
        "properties": _map(action.resource_properties, 0),
    }


def _bounded(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise _MalformedError(f"a text has more than {LONGEST_TEXT} characters")
    return text


def _map(fields: Wire, depth: int) -> dict[str, Json]:
    return {name: _json(value, depth + 1) for name, value in fields.items()}


def _json(value: Wire, depth: int) -> Json:
    """The value of a `portcullis.v1.Value`. Errors: _MalformedError."""
    if depth > MOST_DEPTH:
        raise _MalformedError(f"a value is nested more than {MOST_DEPTH} deep")
    match value.WhichOneof("kind"):
        case "boolean":
            return bool(value.boolean)
        case "integer":
            return int(value.integer)
        case "number":
            if not math.isfinite(value.number):
                raise _MalformedError("a number is not finite")
            return float(value.number)
        case "text":
            return _bounded(value.text)
        case "list":
            return [_json(each, depth + 1) for each in value.list.values]
        case "map":
            return _map(value.map.fields, depth)
        case _:
            return None


# ---------------------------------------------------------------- writing


def _outcome(decision: Decision) -> Outcome:
    """What is told: an allow with a record, a step-up that is answered as one, or a refusal."""
    code = check_code(decision)
    if code == 0:
        return "allow"
    asks = decision.outcome == "step_up" and decision.authenticated and decision.by[:1] != ("token",)
    return "step_up" if asks and code == 16 else "deny"


def _write_allow(message: Wire, decision: Decision, inquiry: Inquiry | None, able: frozenset[Capability]) -> None:
    duties, advice = decision.duties, decision.advice
    headers = {each.name: visible(each.value) for each in duties.headers if each.name != DECISION_HEADER}
    if decision.minted is not None:
        headers[AUTHORIZATION] = f"Bearer {decision.minted.token}"
    kept_back = _kept_back(decision, inquiry) if "remove_header" in able else frozenset[str]()
    _write_duties(message.obligations, headers, kept_back.union(duties.removed), duties.redactions)
    named = {DECISION_HEADER, *headers, *duties.removed}
    advised = {each.name: visible(each.value) for each in advice.headers if "set_header" in able}
    removed = frozenset(advice.removed if "remove_header" in able else ()) - {*named, *kept_back}
    redactions = set(advice.redactions if "redact" in able else ()) - set(duties.redactions)
    _write_duties(
        message.advice, {name: value for name, value in advised.items() if name not in named}, removed, redactions
    )
    if decision.valid_until_ms is not None:
        message.valid_until_ms = _whole(decision.valid_until_ms)


def _kept_back(decision: Decision, inquiry: Inquiry | None) -> frozenset[str]:
    """The headers of a call over HTTP that no upstream may see but as this decision sets them."""
    if inquiry is None or inquiry.action is not None:
        return frozenset()
    forged = {name for name, _ in inquiry.headers if name.startswith(OUR_PREFIX) and visible(name) == name}
    return decision.identity_headers.union(forged)


def _write_duties(
    message: Wire, headers: Mapping[str, str], removed: frozenset[str], redactions: Iterable[str]
) -> None:
    for name, value in sorted(headers.items()):
        message.set_headers.add(name=_text(name), value=value)
    message.remove_headers.extend(_texts(sorted(removed.difference(headers))))
    message.redactions.extend(_texts(sorted(redactions)))


def _write_rule(message: Wire, rule: RuleTrace) -> None:
    message.id = _text(rule.id)
    message.effect = f"EFFECT_{rule.effect.upper()}"
    message.because = _text(rule.because)
    message.place = _text(rule.place)
    message.applies = rule.applies
    message.shadow = rule.shadow
    message.row = _text(rule.row)
    for clause in rule.clauses:
        _write_clause(message.clauses.add(), clause)


def _write_clause(message: Wire, clause: ClauseTrace) -> None:
    message.label = _text(clause.label)
    message.text = _text(clause.text)
    message.truth = _truth(clause.truth)
    message.failed = _text(clause.failed)


def _truth(truth: Truth3) -> str:
    return f"TRUTH_{truth.name}"


def _whole(number: int) -> int:
    """`number` as an int64 holds it: an instant or an age beyond it is as good as its end."""
    return max(-MOST_INT64, min(MOST_INT64, number))


def _text(text: str) -> str:
    """`text` as a field of a message can hold it: what no UTF-8 can say is a `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _texts(texts: Iterable[str]) -> list[str]:
    return [_text(each) for each in texts]
