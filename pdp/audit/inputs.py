"""What is sealed in a record: everything that its decision can be made again from, and what was sent besides.

`Evidence` and the clear fields of the leaf go in, the bytes for the box come out. Leaf and box together say each thing
once: what a clear field says is absent from the box, and so is what is as in a call that says nothing. Who puts the two
together is `pdp.audit.replay_stated`. The box is JSON with these members:

    path host ip peer rq   the request as it came
    service   what the gateway said the call is for; absent: `sv` in clear; null: it said nothing
    method    absent: `m` in clear
    cut       members that do not stand there as they came, being too long, not text, or a number beyond 64 bits (only
              of what policy refuses: see LONGEST_TARGET in pdp/canonical_call.py), or that do not stand there at all,
              since a record could not hold them (`LARGE`)
    who as    id and type of an asserted subject
    action type id   what was asked to be done to which resource, where it never became a question (else `act`)
    for       the service asked about; absent: `sv` in clear; null: the call never became a question, though `sv` is
              there. What follows stands only where it became one
    at        the canonical host, of a call with a path; absent: `host`
    act       action, type and id of a resource
    now       the instant, Unix milliseconds; absent: `t` in clear
    ends      the instant from which the caller is proved no more, in seconds from the second of `t`: by its token, its
              session, or the certificate of its connection
    kind      of caller; absent: `pk` in clear; null: none
    multi     true where one token may name several of our services
    claims    the claims or properties read, as they came; absent: none
    unread    names of declared ones that conformed and were not read; absent: none
    facts     the rows looked up: [relation, arguments, found]; absent: none
    headers properties signals origin   what was read of these, where anything was; in `origin`, true is what stands as
              `ip` or `peer`, or in clear as `gw`
    can       what the gateway can do, a letter each (`LETTERS`); absent: what is usual (`usual_abilities`), or nothing
              was asked that takes any
    sent      the headers that the gateway is to set, with their values

What a caller sends must not keep the request out of its record: of inputs that are too large the members of `LARGE` are
left out, one after the other, until the rest fits. The members of the request are bounded and always stand there.
Source: policy_lang/meaning/inputs.py. Design: contracts.md "Recorded inputs".

Decision: 2026-11-21. A record is decided again from itself and its bundle alone. What a box shares with the leaf around
it is said once; what it shares with another leaf (the claims with the context leaf of their token) stays in it: a range
of a log, a mirror or a receipt would else hang on a leaf that is elsewhere or gone.
Decision: 2026-11-21. Nothing is compressed before it is sealed. The length of a box would tell whoever chooses the path
what the sealed claims hold (CRIME, CVE-2012-4929). So a record takes four thirds of its inputs, however it is packed.
Decision: 2026-11-21. What would follow from the policy (the rows asked for, the values of headers) is said all the
same: a record states what was looked up and sent, and deciding again must have something to agree with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from msgspec import Struct

from pdp.model import EXT_AUTHZ, Decision, Inquiry, Json, Principal
from policy_lang.ir import Value
from policy_lang.meaning.inputs import Inputs, Looked
from policy_lang.verdict import CAPABILITIES, NOWHERE, ActionCall, Capability, HttpCall, Origin, Question

LONGEST = {
    "service": 256, "method": 64, "path": 16_384, "host": 512, "ip": 64, "peer": 2_048, "rq": 256, "who": 1_024,
    "as": 1_024, "action": 1_024, "type": 1_024, "id": 1_024,
}  # fmt: skip
"""Bytes of each member of the request that a record holds; the rest of a longer one is cut, and that is said. With the
claims of the largest token they stay below the 60,000 bytes of a leaf."""

USUAL = 256
"""Bytes that every member may have, but for the method and the address."""

LARGE = ("headers", "properties", "signals", "claims", "facts", "sent")
"""What is left out of inputs that a record cannot hold, in this order: first what a caller chooses freely."""

OTHER_METHOD = "other"
"""Stands in clear for a method of the caller's own invention."""

LETTERS: Mapping[Capability, str] = {
    "answer": "a", "issue_token": "i", "redact": "d", "remove_header": "r", "set_header": "s", "step_up": "u",
}  # fmt: skip
"""What a gateway can do, as `can` says it: the letters in their order, each once."""

_CLOCK_US, _CLOCK_MS = 1_000_000, 1_000

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


def usual_abilities(*, is_http: bool) -> frozenset[Capability]:
    """What a gateway can do that a record says nothing of: for a call with a path what one like Envoy can, else all."""
    return EXT_AUTHZ if is_http else CAPABILITIES


def sealed_inputs(decision: Decision, evidence: Evidence, clear: Mapping[str, Json], most_bytes: int) -> Sealable:
    """The bytes for the box of a decision with these clear fields: no more than `most_bytes`, if that takes leaving out
    what is large.
    """
    stated = inputs_of(evidence, clear)
    advised, ordered = decision.advice.headers, decision.duties.headers
    if advised or ordered:
        stated["sent"] = {header.name: header.value for header in (*advised, *ordered)}
    data = _dumped(stated)
    if len(data) <= most_bytes:
        return Sealable(data)
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


def inputs_of(evidence: Evidence, clear: Mapping[str, Json]) -> dict[str, Json]:
    """The members that do not depend on what was decided, beside these clear fields."""
    inquiry, question, inputs = evidence.inquiry, evidence.question, evidence.inputs
    stated: dict[str, Json] = {}
    if inquiry is not None:
        texts = _texts(inquiry, evidence.principal, clear, is_question=question is not None)
        stated = {**texts} if _is_usual(texts) else _limited(texts)
    named = clear.get("sv")
    if named is not None and (inquiry is None or inquiry.service is None):
        stated["service"] = None
    if question is None or inputs is None:
        if named is not None:
            stated["for"] = None
        return stated
    if question.service != named:
        stated["for"] = question.service
    _add_called(stated, question, clear)
    _add_read(stated, question, inputs, clear)
    ends = ends_ms(evidence)
    if ends is not None:
        stated["ends"] = ends // _CLOCK_MS - _instant_us(clear) // _CLOCK_US
    return stated


def _instant_us(clear: Mapping[str, Json]) -> int:
    instant = clear["t"]
    if not isinstance(instant, int):
        raise TypeError("the instant of a record is an integer")
    return instant


def _texts(
    inquiry: Inquiry, principal: Principal | None, clear: Mapping[str, Json], *, is_question: bool
) -> dict[str, str]:
    """What the request says in so many words, and the clear part does not."""
    said = {
        "path": inquiry.path,
        "host": inquiry.host,
        "ip": inquiry.ip,
        "peer": inquiry.peer,
        "rq": inquiry.request_id,
    }
    if inquiry.service != clear.get("sv"):
        said["service"] = inquiry.service
    shown = clear.get("m")
    if shown == OTHER_METHOD or inquiry.method != shown:
        said["method"] = inquiry.method
    if inquiry.asserted is not None or (principal is not None and principal.kind == "subject"):
        said |= _subject(inquiry, principal)
    if not is_question:
        said |= _action(inquiry)
    return {name: text for name, text in said.items() if text is not None}


def _is_usual(texts: Mapping[str, str]) -> bool:
    """Whether a look at all of them together shows that each can stand as it is: no more than the least of the bounds,
    and plain characters.
    """
    joined = "".join(texts.values())
    is_plain = joined.isascii() and joined.isprintable() and '"' not in joined and "\\" not in joined
    short = len(texts.get("method", "")) <= LONGEST["method"] and len(texts.get("ip", "")) <= LONGEST["ip"]
    return is_plain and short and len(joined) <= USUAL


def _limited(texts: Mapping[str, str]) -> dict[str, Json]:
    """The same, each within its bound, and the names of those that were changed for it."""
    shown: dict[str, Json] = {name: limited_text(text, LONGEST[name]) for name, text in texts.items()}
    cut = list[Json](sorted(name for name, text in texts.items() if shown[name] != text))
    return shown | {"cut": cut} if cut else shown


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


def _add_called(stated: dict[str, Json], question: Question, clear: Mapping[str, Json]) -> None:
    """Add what was asked, and when."""
    call = question.call
    if isinstance(call, ActionCall):
        stated["act"] = [call.action, call.resource, call.id]
    elif call.host != stated.get("host"):
        stated["at"] = call.host
    if question.now_ms != _instant_us(clear) // _CLOCK_MS:
        stated["now"] = question.now_ms


def _add_read(stated: dict[str, Json], question: Question, inputs: Inputs, clear: Mapping[str, Json]) -> None:
    """Add what the decision took in."""
    caller = inputs.caller
    if caller.kind != clear.get("pk"):
        stated["kind"] = caller.kind
    if caller.multi_audience:
        stated["multi"] = True
    if caller.claims:
        stated["claims"] = {**caller.claims}
    if caller.unread:
        stated["unread"] = [*sorted(caller.unread)]
    if inputs.lookups:
        stated["facts"] = [_row(each) for each in inputs.lookups]
    if inputs.headers:
        stated["headers"] = {name: [*values] for name, values in inputs.headers.items()}
    if inputs.properties:
        stated["properties"] = {**inputs.properties}
    if inputs.signals:
        stated["signals"] = {name: json_of(value) for name, value in inputs.signals.items()}
    if inputs.origin != NOWHERE:
        stated["origin"] = _origin(inputs.origin, stated, clear)
    able = inputs.capabilities
    unasked = able == CAPABILITIES != question.capabilities  # so does `Inputs` say that nothing took any
    if not unasked and able != usual_abilities(is_http=isinstance(question.call, HttpCall)):
        stated["can"] = "".join(sorted([LETTERS[each] for each in able]))


def _origin(origin: Origin, stated: Mapping[str, Json], clear: Mapping[str, Json]) -> dict[str, Json]:
    """What is otherwise than nowhere; true for what stands elsewhere."""
    said: dict[str, Json] = {}
    if origin.ip is not None:
        said["ip"] = True if origin.ip == stated.get("ip") else origin.ip
    if origin.peer:
        said["peer"] = True if origin.peer == stated.get("peer") else origin.peer
    if origin.gateway:
        said["gateway"] = True if origin.gateway == clear.get("gw") else origin.gateway
    if origin.tls is not None:
        said["tls"] = origin.tls
    return said


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
