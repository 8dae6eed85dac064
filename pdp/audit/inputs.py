"""What is sealed in a record: everything that its decision can be made again from, and what was sent besides.

`Evidence` goes in, the bytes for the box come out, JSON with these members:

    service method path host ip peer rq   the request as it came
    cut       members that do not stand there as they came, being too long, not text, or a number beyond 64 bits (only
              of what policy refuses: see LONGEST_TARGET in pdp/canonical_call.py), or that do not stand there at all,
              since a record could not hold them (`LARGE`)
    who as    id and type of an asserted subject
    ends      the instant from which the caller is proved no more, Unix milliseconds: by its token, its session, or the
              certificate of its connection
    action type id   what was asked to be done to which resource, where it never became a question (else `act`)
    now       the instant, Unix milliseconds
    at        service and host, of a call with a path       act   service, action, type and id of a resource
    kind multi claims unread   the caller: the claims or properties read, as they came, and names of declared ones that
              conformed and were not read
    facts     the rows looked up: [relation, arguments, found]
    headers properties signals origin can   what was read of these, where anything was
    sent      the headers that the gateway is to set, with their values

What a caller sends must not keep the request out of its record: of inputs that are too large the members of `LARGE` are
left out, one after the other, until the rest fits. The members of the request are bounded and always stand there.
Source: policy_lang/meaning/inputs.py. Design: contracts.md "Recorded inputs".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from msgspec import Struct

from pdp.model import Decision, Inquiry, Json, Principal
from policy_lang.ir import Value
from policy_lang.meaning.inputs import Inputs, Looked
from policy_lang.verdict import CAPABILITIES, NOWHERE, ActionCall, Origin, Question

LONGEST = {
    "service": 256, "method": 64, "path": 16_384, "host": 512, "ip": 64, "peer": 2_048, "rq": 256, "who": 1_024,
    "as": 1_024, "action": 1_024, "type": 1_024, "id": 1_024,
}  # fmt: skip
"""Bytes of each member of the request that a record holds; the rest of a longer one is cut, and that is said. With the
claims of the largest token they stay below the 60,000 bytes of a leaf."""

LARGE = ("headers", "properties", "signals", "claims", "facts", "sent")
"""What is left out of inputs that a record cannot hold, in this order: first what a caller chooses freely."""

LONGEST_TEXT = 4_096
DEEPEST = 32
"""Of what could not be written as it came."""

_LENGTHENED = re.compile(r'[\x00-\x1f"\\]')


class Evidence(Struct, frozen=True):
    """What a decision was made of: as far as it came.

    `question` and `inputs` are None where the request never became a question.
    """

    inquiry: Inquiry | None
    principal: Principal | None
    question: Question | None
    inputs: Inputs | None


class Sealable(NamedTuple):
    """The bytes for a box, and the members that were left out of them for their size."""

    data: bytes
    lost: tuple[str, ...] = ()


def sealed_inputs(decision: Decision, evidence: Evidence, most_bytes: int) -> Sealable:
    """The bytes for the box of a decision: no more than `most_bytes`, if that takes leaving out what is large."""
    stated = inputs_of(evidence)
    sent = {header.name: header.value for header in (*decision.advice.headers, *decision.duties.headers)}
    if sent:
        stated["sent"] = dict[str, Json](sent)
    data = _dumped(stated)
    lost: list[str] = []
    for name in LARGE:
        if len(data) <= most_bytes:
            break
        if stated.get(name):
            del stated[name]
            lost.append(name)
            stated["cut"] = list[Json](sorted({*_cut(stated), name}))
            data = _dumped(stated)
    return Sealable(data, tuple(lost))


def _dumped(stated: dict[str, Json]) -> bytes:
    try:
        return orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half a character, or a number beyond 64 bits: it was refused for it
        written = {name: _writable(value, 0) for name, value in stated.items()}
        changed = [name for name, value in stated.items() if written[name] != value]
        written["cut"] = list[Json](sorted({*changed, *_cut(stated)}))
        return orjson.dumps(written, option=orjson.OPT_SORT_KEYS)


def _cut(stated: Mapping[str, Json]) -> list[str]:
    cut = stated.get("cut")
    return [str(name) for name in cut] if isinstance(cut, list) else []


def inputs_of(evidence: Evidence) -> dict[str, Json]:
    """The members that do not depend on what was decided."""
    inquiry, question, inputs, principal = evidence.inquiry, evidence.question, evidence.inputs, evidence.principal
    stated: dict[str, Json] = {}
    if inquiry is not None:
        whole = {
            "service": inquiry.service,
            "method": inquiry.method,
            "path": inquiry.path,
            "host": inquiry.host,
            "ip": inquiry.ip,
            "peer": inquiry.peer,
            "rq": inquiry.request_id,
            **_subject(inquiry, principal),
            **(_action(inquiry) if question is None else {}),
        }
        shown = {name: limited_text(value, LONGEST[name]) for name, value in whole.items() if value is not None}
        stated |= shown
        cut = sorted(name for name, text in shown.items() if text != whole[name])
        if cut:
            stated["cut"] = list[Json](cut)
    if question is not None and inputs is not None:
        stated |= _called(question) | _read(inputs)
        ends = ends_ms(evidence)
        if ends is not None:
            stated["ends"] = ends
    return stated


def ends_ms(evidence: Evidence) -> int | None:
    """The instant from which the caller is proved no more, in Unix milliseconds; None where nothing ends it. The
    certificate of its connection counts where it proved who calls: a peer, or a token that is bound to it.
    """
    principal, inquiry = evidence.principal, evidence.inquiry
    ends_s = None if principal is None else principal.expires_at
    certificate = None if inquiry is None else inquiry.certificate
    if inquiry is not None and certificate is not None:
        bound = principal is not None and "cnf" in principal.claims
        if inquiry.peer is not None or bound:
            ends_s = certificate.ends_s if ends_s is None else min(ends_s, certificate.ends_s)
    return None if ends_s is None else ends_s * 1_000


def _subject(inquiry: Inquiry, principal: Principal | None) -> dict[str, str | None]:
    """Who the subject is said to be."""
    if inquiry.asserted is not None:
        return {"who": inquiry.asserted.id, "as": inquiry.asserted.type}
    said = principal.claims.get("id") if principal is not None and principal.kind == "subject" else None
    return {"who": said if isinstance(said, str) else None}


def _action(inquiry: Inquiry) -> dict[str, str | None]:
    """What is said of an action and its resource, as far as it is text."""
    said = {name: (inquiry.resource or {}).get(name) for name in ("type", "id")}
    return {"action": inquiry.action} | {name: text if isinstance(text, str) else None for name, text in said.items()}


def _called(question: Question) -> dict[str, Json]:
    call = question.call
    if isinstance(call, ActionCall):
        return {"now": question.now_ms, "act": [question.service, call.action, call.resource, call.id]}
    return {"now": question.now_ms, "at": [question.service, call.host]}


def _read(inputs: Inputs) -> dict[str, Json]:
    """What the decision took in; what is as in a call that says nothing is left out."""
    caller = inputs.caller
    stated: dict[str, Json] = {
        "kind": caller.kind,
        "multi": caller.multi_audience,
        "claims": dict(caller.claims),
        "unread": list[Json](sorted(caller.unread)),
        "facts": [_row(each) for each in inputs.lookups],
    }
    if inputs.headers:
        stated["headers"] = {name: list[Json](values) for name, values in inputs.headers.items()}
    if inputs.properties:
        stated["properties"] = dict(inputs.properties)
    if inputs.signals:
        stated["signals"] = {name: json_of(value) for name, value in inputs.signals.items()}
    if inputs.origin != NOWHERE:
        stated["origin"] = _origin(inputs.origin)
    if inputs.capabilities != CAPABILITIES:
        stated["can"] = list[Json](sorted(inputs.capabilities))
    return stated


def _origin(origin: Origin) -> dict[str, Json]:
    said: Mapping[str, Json] = {"ip": origin.ip, "peer": origin.peer, "gateway": origin.gateway, "tls": origin.tls}
    return {name: value for name, value in said.items() if value is not None}


def json_of(value: Value | None) -> Json:
    """A value as JSON: a set as a list in one order, whatever its members are."""
    return sorted(value, key=lambda each: (str(type(each)), each)) if isinstance(value, frozenset) else value


def _row(looked: Looked) -> Json:
    """A row that was asked for; its arguments are scalars by their columns' types."""
    arguments: list[Json] = [None if isinstance(each, frozenset) else each for each in looked.arguments]
    return [looked.relation, arguments, looked.found]


def _writable(value: Json, depth: int) -> Json:
    """The same with everything that JSON cannot hold spelt out, and no deeper than `DEEPEST`."""
    match value:
        case _ if depth > DEEPEST:
            return "too deep"
        case str():
            return value if _is_text(value) else limited_text(value, LONGEST_TEXT)
        case int() if not -(2**63) <= value < 2**63:
            return "a number beyond 64 bits"
        case list():
            return [_writable(each, depth + 1) for each in value]
        case dict():
            return {limited_text(name, LONGEST_TEXT): _writable(each, depth + 1) for name, each in value.items()}
        case _:
            return value


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def limited_text(value: str, most_bytes: int) -> str:
    """A string that can always be written down and takes at most so many bytes of JSON.

    Lone surrogates (bytes that were not UTF-8) stand as escapes. A text with characters that JSON would make longer
    (controls, `"`, backslashes) has every control and every character outside ASCII spelt out, `/` for a backslash.
    """
    if _LENGTHENED.search(value) is None:
        encoded = value[:most_bytes].encode("utf-8", "backslashreplace")
    else:
        encoded = value[:most_bytes].replace("\\", "/").replace('"', "'").encode("unicode_escape").replace(b"\\", b"/")
    return encoded[:most_bytes].decode("utf-8", "ignore")
