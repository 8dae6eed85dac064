"""Envoy's ext_authz v3: a CheckRequest becomes an `Inquiry`, a `Decision` becomes the bytes of a CheckResponse.

Both are pure. `read` believes nothing and repairs nothing: what Envoy did not say is None, and what it says twice in
different words is None too, so that the step that needs it refuses. `write` is total.
INVARIANT: `status.code` is 0 for an allow with a record, and for nothing else; every other answer has a
`denied_response`. `error_response` and the metadata inside `ok_response` are never written (proto/README.md).
SECURITY: every header is set with both forms of "overwrite": one alone is not obeyed by every Envoy, and a header that
is appended stands beside a forged one.
Design: contracts.md "Who decided", "Headers at Envoy"; gateways.md 1; security.md 0.1-0.4, 2.2.

Headers that some rule of the policy sets are ours: each that this decision does not set is removed, whether the client
sent it or not, and under `observe until` that is all of them. Removed are, besides, what rules remove and a client's
`x-portcullis-*`. Advice is followed as far as the gateway can.

Decision: 2026-11-21. A connection of the client is encrypted where Envoy sends a `tls_session`
(`include_tls_session`); without one it is not known, since Envoy may have been told not to say.
Decision: 2026-11-21. Readings in metadata are numbers as protobuf has them, without integers: a whole one below 2^53 is
read as the integer it was. Anything else that does not fit its signal is unknown.
Decision: 2026-11-21. `valid_until` in the metadata is Unix milliseconds in decimal digits: a cache compares it, and
every instant can be said.
Decision: 2026-11-21. `:method`, `:path`, `:authority` or `host` among the headers, where they differ from the
attributes, make that attribute None (`request.missing`): nobody can say which of the two the upstream will read.
Decision: 2026-11-21. A message with both forms of headers is read by its `header_map`; where the two differ about
`authorization`, the values of both stand, an absent one as "", and a repeated credential is refused.
Decision: 2026-11-21. An empty `portcullis.service` is kept as an undeclared service, and never handed to the host to
decide: the route was meant to say something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pdp.answers import DECISION_HEADER, check_code, http_answer, problem, visible
from pdp.gateways import Gateway
from pdp.model import Capability, Decision, Inquiry, Json
from pdp.transports.messages import OVERWRITE, CheckResponse, Wire

SERVICE_EXTENSION = "portcullis.service"

OUR_PREFIX = "x-portcullis-"

SIGNALS = "portcullis.signals"
"""The namespace of dynamic metadata that readings stand in, by the NAME of `context.NAME`."""

MOST_DEPTH = 8
"""Nesting of a reading that is looked at; signals are scalars and sets of them."""

EXACT = 2**53
"""Whole numbers below it are themselves as a double."""

Pairs = tuple[tuple[str, str], ...]


def read(check: Wire, gateway: Gateway) -> Inquiry:
    """What a CheckRequest asks, asked by `gateway`."""
    attributes = check.attributes
    http = attributes.request.http
    sent = _headers(http)
    stated = {
        ":method": http.method or None,
        ":path": http.path or None,
        ":authority": http.host or None,
        "host": http.host or None,
    }
    doubted = {name for name, value in sent if name in stated and value != stated[name]}
    peer = attributes.source.principal
    return Inquiry(
        service=attributes.context_extensions.get(SERVICE_EXTENSION),
        method=None if ":method" in doubted else stated[":method"],
        path=None if ":path" in doubted else stated[":path"],
        host=None if doubted & {":authority", "host"} else stated["host"],
        headers=tuple(pair for pair in sent if not pair[0].startswith(":")),
        gateway=gateway.name,
        services=gateway.services,
        identity=gateway.identity,
        capabilities=gateway.passing_on,
        ip=_address(attributes.source),
        peer=peer if peer.startswith("spiffe://") else None,
        tls=True if attributes.HasField("tls_session") else None,
        signals=_readings(attributes) if gateway.signals else {},
        request_id=_sole(sent, "x-request-id"),
    )


def write(decision: Decision, inquiry: Inquiry | None, acr_values: Mapping[str, str]) -> bytes:
    """The serialised CheckResponse of `decision`.

    `inquiry` is what was asked (None: it could not be read); its header names say what must not reach the upstream, and
    its capabilities what the gateway does with advice and with another status than 403.
    `acr_values` as in `pdp.answers.http_answer`.
    """
    response = CheckResponse()
    response.status.code = code = check_code(decision)
    able = frozenset[Capability]() if inquiry is None else inquiry.capabilities
    if code == 0:
        ok = response.ok_response
        _set(ok.headers, DECISION_HEADER, visible(decision.id or ""))
        headers = _headers_set(decision, able)
        for name, value in sorted(headers.items()):
            _set(ok.headers, name, value)
        ok.headers_to_remove.extend(_removed(decision, inquiry, able, headers))
    else:
        answered = decision if "answer" in able else replace(decision, status=None)
        answer = http_answer(answered, acr_values)
        denied = response.denied_response
        denied.status.code = answer.status
        _set(denied.headers, "content-type", "application/problem+json")
        for name, value in answer.headers:
            _set(denied.headers, name, value)
        denied.body = problem(decision, answer.title)
    metadata = response.dynamic_metadata.fields
    for key, value in _metadata(decision):
        metadata[key].string_value = visible(value)
    serialised: bytes = response.SerializeToString()
    return serialised


def _headers_set(decision: Decision, able: frozenset[Capability]) -> dict[str, str]:
    """The headers to set, by name; a duty goes before advice, and the id of the decision is nobody else's."""
    advised = decision.advice.headers if "set_header" in able else ()
    both = (*advised, *decision.duties.headers)
    return {header.name: visible(header.value) for header in both if header.name != DECISION_HEADER}


def _removed(
    decision: Decision, inquiry: Inquiry | None, able: frozenset[Capability], headers: Mapping[str, str]
) -> list[str]:
    """The headers to remove, without those that are set: set and removed would be removed."""
    advised = decision.advice.removed if "remove_header" in able else ()
    forged = () if inquiry is None else _forged(inquiry)
    names = {*decision.identity_headers, *decision.duties.removed, *advised, *forged}
    return sorted(names - {DECISION_HEADER, *headers})


def _headers(http: Wire) -> Pairs:
    """Every header as sent, pseudo-headers included: names in lower case, bytes that are not UTF-8 as surrogates."""
    joined = tuple((name.lower(), value) for name, value in http.headers.items())
    raw = tuple(
        (header.key.lower(), value.decode("utf-8", "surrogateescape") if (value := header.raw_value) else header.value)
        for header in http.header_map.headers
    )
    if not raw or not joined:
        return raw or joined
    one, other = _all(raw, "authorization"), _all(joined, "authorization")
    if ",".join(one) == ",".join(other):
        return raw
    doubt = [("authorization", value) for value in (*(one or ("",)), *(other or ("",)))]
    return (*(pair for pair in raw if pair[0] != "authorization"), *doubt)


def _all(pairs: Iterable[tuple[str, str]], name: str) -> tuple[str, ...]:
    return tuple(value for key, value in pairs if key == name)


def _sole(pairs: Iterable[tuple[str, str]], name: str) -> str | None:
    values = _all(pairs, name)
    return values[0] if len(values) == 1 else None


def _address(peer: Wire) -> str | None:
    """The IP address of a peer as it is written; None for a socket without one."""
    return peer.address.socket_address.address or None


def _readings(attributes: Wire) -> dict[str, Json]:
    """The readings that stand in the metadata of a call."""
    metadata = attributes.metadata_context.filter_metadata
    if SIGNALS not in metadata:
        return {}
    return {name: _reading(value, 0) for name, value in metadata[SIGNALS].fields.items()}


def _reading(value: Wire, depth: int) -> Json:
    """A value of protobuf's JSON; null for one that is nested deeper than any signal."""
    match value.WhichOneof("kind"):
        case "bool_value":
            return bool(value.bool_value)
        case "number_value":
            number = float(value.number_value)
            return int(number) if number.is_integer() and abs(number) < EXACT else number
        case "string_value":
            return str(value.string_value)
        case "list_value" if depth < MOST_DEPTH:
            return [_reading(each, depth + 1) for each in value.list_value.values]
        case "struct_value" if depth < MOST_DEPTH:
            return {name: _reading(each, depth + 1) for name, each in value.struct_value.fields.items()}
        case _:
            return None


def _forged(inquiry: Inquiry) -> list[str]:
    """Names of ours that the client sent."""
    return [
        name for name, _ in inquiry.headers if name.startswith(OUR_PREFIX) and name.isascii() and name.isprintable()
    ]


def _set(headers: Wire, name: str, value: str) -> None:
    option = headers.add()
    option.header.key = name
    option.header.value = value
    option.append.value = False
    option.append_action = OVERWRITE


def _metadata(decision: Decision) -> list[tuple[str, str]]:
    """What the access log and later filters may know; what is not known is not there."""
    primary = decision.by[0] if decision.by else ""
    stated = [
        ("decision_id", decision.id or ""),
        ("policy_revision", decision.policy),
        ("rule", primary if "." in primary else ""),
        ("reason", decision.reason),
        ("valid_until", "" if decision.valid_until_ms is None else str(decision.valid_until_ms)),
    ]
    return [(key, value) for key, value in stated if value]
