"""Values of the client to bytes of the native API, and back.

The classes of the messages are made from `descriptors.binpb` (tools/protos.py) in a pool of their own, so that they
stand beside any other stubs.
INVARIANT: for all bytes: what `decision_in`, `decisions_in` and `explained_in` give is allowed only where the message
says `OUTCOME_ALLOW`, has a decision id, and asks nothing that the inquiry did not list among its capabilities. All else
that can be read is a refusal, with its cause where the service did not refuse; what cannot be read is ReplyError.

Decision: 2026-11-21. An allow whose obligations hold a field that this client does not know is a refusal: a duty that
is passed over is an allow that nobody gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, assert_never

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from pdp.client.errors import InquiryError, ReplyError
from pdp.client.model import (
    REFUSED_STATUS,
    REFUSED_TITLE,
    Action,
    Answer,
    Call,
    Challenge,
    Clause,
    Decision,
    Duties,
    Effect,
    Explained,
    Inquiry,
    Json,
    Observed,
    Outcome,
    Rule,
    Truth,
    refused,
)

SERVICE = "portcullis.v1.Decisions"
MOST_DEPTH = 16
MOST_ITEMS = 100
"""What the service reads of one value, and of one batch."""

Wire = Any
"""A message, or the class of one: their fields exist at run time only, out of sight of a type checker."""

Read = TypeVar("Read")

AUTHORIZATION = "authorization"
"""What a token of its own comes in, which takes the place of the subject's."""

_OUTCOMES: Mapping[int, Outcome] = {1: "allow", 2: "deny", 3: "step_up"}
_EFFECTS: Mapping[int, Effect] = {1: "allow", 2: "deny", 3: "require"}
_TRUTHS: Mapping[int, Truth] = {1: "false", 2: "unknown", 3: "true"}


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString((Path(__file__).parent / "descriptors.binpb").read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()


def _message(name: str) -> Wire:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"portcullis.v1.{name}"))


_DecideRequest: Wire = _message("DecideRequest")
_DecideResponse: Wire = _message("DecideResponse")
_DecideBatchRequest: Wire = _message("DecideBatchRequest")
_DecideBatchResponse: Wire = _message("DecideBatchResponse")
_ExplainResponse: Wire = _message("ExplainResponse")


def request(inquiry: Inquiry) -> bytes:
    """The serialised DecideRequest, which reads as an ExplainRequest too. Errors: InquiryError."""
    message = _DecideRequest()
    return _written(lambda: _write_inquiry(message.inquiry, inquiry), message)


def batch_request(inquiries: Sequence[Inquiry]) -> bytes:
    """The serialised DecideBatchRequest. Errors: InquiryError; ValueError for a batch that is empty or too large."""
    if not 1 <= len(inquiries) <= MOST_ITEMS:
        raise ValueError(f"a batch has 1 to {MOST_ITEMS} inquiries, not {len(inquiries)}")
    message = _DecideBatchRequest()

    def write() -> None:
        for inquiry in inquiries:
            _write_inquiry(message.inquiries.add(), inquiry)

    return _written(write, message)


def decision_in(data: bytes, inquiry: Inquiry) -> Decision:
    """The decision of a DecideResponse to `inquiry`. Errors: ReplyError."""
    return _read(_DecideResponse, data, lambda reply: _decision(reply.decision, inquiry))


def decisions_in(data: bytes, inquiries: Sequence[Inquiry]) -> tuple[Decision, ...]:
    """The decisions of a DecideBatchResponse to `inquiries`, one for each, in order. Errors: ReplyError."""
    found = _read(_DecideBatchResponse, data, lambda reply: tuple(reply.decisions))
    if len(found) != len(inquiries):
        raise ReplyError(f"{len(found)} decisions came for {len(inquiries)} inquiries")
    return tuple(_decision(each, inquiry) for each, inquiry in zip(found, inquiries, strict=True))


def explained_in(data: bytes, inquiry: Inquiry) -> Explained:
    """The decision of an ExplainResponse to `inquiry`, and why. Errors: ReplyError."""
    return _read(_ExplainResponse, data, lambda reply: _explained(reply, inquiry))


# ---------------------------------------------------------------- writing


def _written(write: Callable[[], None], message: Wire) -> bytes:
    try:
        write()
        data: bytes = message.SerializeToString()
    except (TypeError, ValueError, AttributeError, AssertionError, EncodeError) as error:
        raise InquiryError(f"the inquiry cannot be sent: {type(error).__name__} in one of its fields") from error
    return data


def _write_inquiry(message: Wire, inquiry: Inquiry) -> None:
    match inquiry:
        case Call():
            _write_call(message.http, inquiry)
        case Action():
            message.action.name = inquiry.name
            message.action.resource_type = inquiry.resource_type
            message.action.resource_id = inquiry.resource_id
            _write_map(message.action.resource_properties, inquiry.resource_properties, 0)
        case _:
            assert_never(inquiry)
    if isinstance(inquiry.capabilities, str):
        raise TypeError
    for name in ("service", "authorization", "ip", "peer", "tls", "request_id"):
        _say(message, name, getattr(inquiry, name))
    if inquiry.subject is not None:
        message.subject.type = inquiry.subject.type
        message.subject.id = inquiry.subject.id
        _write_map(message.subject.properties, inquiry.subject.properties, 0)
    _write_map(message.readings, inquiry.readings, 0)
    message.capabilities.extend(sorted(inquiry.capabilities))


def _write_call(message: Wire, call: Call) -> None:
    message.SetInParent()
    for name in ("method", "path", "host"):
        _say(message, name, getattr(call, name))
    for name, value in call.headers:
        if isinstance(value, bytes):
            message.headers.add(name=name, raw_value=value)
        else:
            message.headers.add(name=name, value=value)


def _say(message: Wire, name: str, value: str | bool | None) -> None:
    if value is not None:
        setattr(message, name, value)


def _write_map(fields: Wire, values: Mapping[str, Json], depth: int) -> None:
    for name, value in values.items():
        _write_value(fields[name], value, depth + 1)


def _write_value(message: Wire, value: Json, depth: int) -> None:
    """Write `value`; None leaves the message empty."""
    if depth > MOST_DEPTH:
        raise ValueError
    match value:
        case None:
            message.SetInParent()
        case bool():
            message.boolean = value
        case int():
            message.integer = value
        case float() if math.isfinite(value):
            message.number = value
        case str():
            message.text = value
        case Mapping():
            message.map.SetInParent()
            _write_map(message.map.fields, value, depth)
        case list() | tuple():
            message.list.SetInParent()
            for each in value:
                _write_value(message.list.values.add(), each, depth + 1)
        case _:
            raise TypeError


# ---------------------------------------------------------------- reading


def _read(form: Wire, data: bytes, read: Callable[[Wire], Read]) -> Read:
    try:
        reply = form.FromString(data)
    except DecodeError as error:
        raise ReplyError(f"the reply is no {form.DESCRIPTOR.full_name}") from error
    return read(reply)


def _decision(message: Wire, inquiry: Inquiry) -> Decision:
    outcome = _OUTCOMES.get(message.outcome)
    wrong = f"outcome {message.outcome} is none that this client knows" if outcome is None else ""
    if outcome == "allow":
        wrong = _unsound(message, inquiry)
    if outcome is None or wrong:
        return refused(ReplyError(wrong), message.decision_id, message.policy_revision)
    allowed = outcome == "allow"
    return Decision(
        outcome,
        message.decision_id,
        message.policy_revision,
        challenges=tuple(_challenge(each) for each in message.challenges),
        obligations=_duties(message.obligations) if allowed else Duties(),
        advice=_duties(message.advice) if allowed else Duties(),
        valid_until_ms=message.valid_until_ms if allowed and message.HasField("valid_until_ms") else None,
        answer=None if allowed else _answer(message.answer),
    )


def _unsound(message: Wire, inquiry: Inquiry) -> str:
    """Why an allow is none; "" where it is one."""
    duties = message.obligations
    if not message.decision_id:
        return "an allow came without a decision id"
    if len(UnknownFieldSet(duties)) > 0:
        return "an allow came with an obligation that this client does not know"
    if not all(each.WhichOneof("content") == "value" for each in duties.set_headers):
        return "an allow came with a header to set that has no value"
    asked = {
        "set_header": any(each.name != AUTHORIZATION for each in duties.set_headers),
        "issue_token": any(each.name == AUTHORIZATION for each in duties.set_headers),
        "remove_header": bool(duties.remove_headers),
        "redact": bool(duties.redactions),
    }
    beyond = [word for word, is_asked in asked.items() if is_asked and word not in inquiry.capabilities]
    return f"an allow came with obligations that were not listed: {', '.join(beyond)}" if beyond else ""


def _challenge(message: Wire) -> Challenge:
    return Challenge(message.name, message.within_s if message.HasField("within_s") else None)


def _headers(messages: Wire) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, each.value) for each in messages)


def _duties(message: Wire) -> Duties:
    return Duties(_headers(message.set_headers), tuple(message.remove_headers), tuple(message.redactions))


def _answer(message: Wire) -> Answer:
    """The answer, of which nothing is kept where its status is not that of a refusal."""
    if not 400 <= message.status <= 599:
        return Answer(REFUSED_STATUS, REFUSED_TITLE)
    return Answer(message.status, message.title, _headers(message.headers))


def _explained(reply: Wire, inquiry: Inquiry) -> Explained:
    message = reply.explanation
    return Explained(
        _decision(reply.decision, inquiry),
        by=tuple(message.by),
        reason=message.reason,
        subject=message.subject,
        endpoint=message.endpoint,
        rules=tuple(_rule(each) for each in message.rules),
        nearest=message.nearest,
        observed=_observed(message.observed) if message.HasField("observed") else None,
        shadow=tuple(message.shadow),
    )


def _observed(message: Wire) -> Observed:
    outcome = _OUTCOMES.get(message.outcome, "deny")
    return Observed(outcome, tuple(message.by), message.reason, message.subject)


def _rule(message: Wire) -> Rule:
    return Rule(
        message.id,
        _EFFECTS.get(message.effect, "unknown"),
        message.because,
        message.place,
        message.applies,
        message.shadow,
        message.row,
        tuple(_clause(each) for each in message.clauses),
    )


def _clause(message: Wire) -> Clause:
    return Clause(message.label, message.text, _TRUTHS.get(message.truth, "unknown"), message.failed)
