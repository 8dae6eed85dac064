"""Envoy's ext_authz v3: a CheckRequest becomes an `Inquiry`, a `Decision` becomes the bytes of a CheckResponse.

Both are pure. `read` believes nothing and repairs nothing: what Envoy did not say is None, and what it says twice in
different words is None too, so that the step that needs it refuses. gRPC's own ext_authz (gRFC A92), which says less,
is read the same way. `write` is total.

| attribute | what is made of it |
|---|---|
| `source.address` | the client's address, with `trusted_hops` the peer that `x-forwarded-for` must end with |
| `source.principal` | the peer, where it is a SPIFFE id; only TLS brings one along |
| `source.certificate` | what proves the peer, and a token bound to it (RFC 8705), and until when; encryption |
| `tls_session.sni` | that the connection is encrypted, and nothing else: it is the client's |
| `source.service`, `.labels` | nothing: a header of the client (`x-envoy-downstream-service-cluster`) is behind it |
| `destination` | nothing: who asks is known by its own connection to us, what is asked for by the extension |
| `request.time` | nothing: decisions are made by our own clock |
| `request.http.method`, `.path`, `.host` | the call, which no header (`host`, pseudo-headers) may contradict |
| `.headers`, `.header_map` | the headers; the request id is the header, since `.id` is Envoy's number of the stream |
| `.scheme`, `.protocol` | nothing: HTTP/2 takes the scheme from the client |
| `.query`, `.fragment` | nothing: Envoy leaves both empty, and the query stands in the path |
| `.raw_body`, `.body`, `.size` | how many bytes there are, and whether there may be more; no content |
| `context_extensions` | `portcullis.service`, the service, as the route says; no other is ours |
| `metadata_context` | readings and verified claims, each where the gateway's configuration believes them |
| its typed form, `route_metadata_context` | nothing: what a route says is said by `context_extensions` |

INVARIANT: `status.code` is 0 for an allow with a record, and for nothing else; every other answer has a
`denied_response`. `error_response` and the metadata inside `ok_response` are never written (proto/README.md).
SECURITY: every header is set with both forms of "overwrite": one alone is not obeyed by every Envoy, and a header that
is appended stands beside a forged one. Names are the policy's, which takes none that carry the call (`host`, pseudo-
headers, `authorization`: E512), and values at most 4,096 characters of what a header may hold (`conflict.value`).
Design: contracts.md "Who decided", "Headers at Envoy"; gateways.md 1; security.md 0.1-0.4, 2.2.

Headers that some rule of the policy sets are ours: each that this decision does not set is removed, whether the client
sent it or not, and under `observe until` that is all of them. Removed are, besides, what rules remove and a client's
`x-portcullis-*`. Advice is followed as far as the gateway can.

Decision: 2026-11-21. Readings and claims in metadata are numbers as protobuf has them, without integers: a whole one
below 2^53 is read as the integer it was. Of readings, anything else that does not fit is unknown; claims with a number
beyond are refused (`token.malformed`), since another one may have been signed.
Decision: 2026-11-21. `valid_until` in the metadata is Unix milliseconds in decimal digits: a cache compares it, and
every instant can be said.
Decision: 2026-11-21. `:method`, `:path`, `:authority` or `host` among the headers, where they differ from the
attributes, make that attribute None (`request.missing`): nobody can say which of the two the upstream will read.
Decision: 2026-11-21. A message with both forms of headers is read by its `header_map`; where the two differ about
`authorization`, the values of both stand, an absent one as "", and a repeated credential is refused.
Decision: 2026-11-21. An empty `portcullis.service` is kept as an undeclared service, and never handed to the host to
decide: the route was meant to say something.
Decision: 2026-11-21. An allow gives the client no header (`response_headers_to_add`): the decision id is for the
upstream and on refusals (contracts.md). No query parameter is written: no rule of version 1 of the language asks for
one.
Decision: 2026-11-21. A caller that speaks gRPC is refused with the title alone, without a content type: Envoy makes
`grpc-message` of the body, and `grpc-status` of the status. `application/grpc` and `application/grpc+…` are gRPC to
Envoy, and so to us; gRPC-Web is HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pdp.answers import DECISION_HEADER, check_code, headers_to_set, http_answer, problem, visible
from pdp.gateways import Gateway
from pdp.identity.confirmation import client_certificate
from pdp.model import Capability, Decision, Inquiry, Json
from pdp.transports.check_attributes import (
    address_of,
    body_of,
    headers_of,
    is_encrypted,
    readings_of,
    verified_claims,
)
from pdp.transports.messages import OVERWRITE, CheckResponse, Wire
from pdp.transports.pairs import sole

SERVICE_EXTENSION = "portcullis.service"

OUR_PREFIX = "x-portcullis-"

GRPC = "application/grpc"

NO_READINGS: Mapping[str, Json] = {}


def read(check: Wire, gateway: Gateway) -> Inquiry:
    """What a CheckRequest asks, asked by `gateway`."""
    attributes = check.attributes
    http, source = attributes.request.http, attributes.source
    sent = headers_of(http)
    method, path, host = http.method or None, http.path or None, http.host or None
    stated = {":method": method, ":path": path, ":authority": host, "host": host}
    doubted = {name for name, value in sent if name in stated and value != stated[name]}
    peer, certificate = source.principal, source.certificate
    return Inquiry(
        service=attributes.context_extensions.get(SERVICE_EXTENSION),
        method=None if ":method" in doubted else method,
        path=None if ":path" in doubted else path,
        host=None if doubted and doubted & {":authority", "host"} else host,
        headers=tuple([pair for pair in sent if pair[0][:1] != ":"]),
        gateway=gateway.name,
        services=gateway.services,
        identity=gateway.identity,
        capabilities=gateway.passing_on,
        carries=gateway.headers,
        ip=address_of(source, sent, gateway.trusted_hops),
        peer=peer if peer.startswith("spiffe://") else None,
        certificate=client_certificate(certificate) if certificate else None,
        tls=is_encrypted(attributes),
        verified=None if gateway.verified_claims is None else verified_claims(attributes, gateway.verified_claims),
        body=body_of(http, sent),
        signals=readings_of(attributes) if gateway.signals else NO_READINGS,
        request_id=sole(sent, "x-request-id"),
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
        headers = headers_to_set(decision, able)
        for name, value in sorted(headers.items()):
            _set(ok.headers, name, value)
        ok.headers_to_remove.extend(_removed(decision, inquiry, able, headers))
    else:
        _refuse(response.denied_response, decision, inquiry, able, acr_values)
    metadata = response.dynamic_metadata.fields
    for key, value in _metadata(decision):
        metadata[key].string_value = visible(value)
    serialised: bytes = response.SerializeToString()
    return serialised


def _refuse(
    denied: Wire,
    decision: Decision,
    inquiry: Inquiry | None,
    able: frozenset[Capability],
    acr_values: Mapping[str, str],
) -> None:
    answer = http_answer(decision if "answer" in able else replace(decision, status=None), acr_values)
    denied.status.code = answer.status
    grpc = inquiry is not None and _speaks_grpc(inquiry)
    if not grpc:
        _set(denied.headers, "content-type", "application/problem+json")
    for name, value in answer.headers:
        _set(denied.headers, name, value)
    denied.body = answer.title if grpc else problem(decision, answer.title)


def _removed(
    decision: Decision, inquiry: Inquiry | None, able: frozenset[Capability], headers: Mapping[str, str]
) -> list[str]:
    """The headers to remove, without those that are set: set and removed would be removed."""
    advised = decision.advice.removed if "remove_header" in able else ()
    client = () if inquiry is None else forged(inquiry)
    names = {*decision.identity_headers, *decision.duties.removed, *advised, *client}
    return sorted(names - {DECISION_HEADER, *headers})


def _speaks_grpc(inquiry: Inquiry) -> bool:
    """Whether Envoy takes the call for gRPC."""
    content_type = sole(inquiry.headers, "content-type") or ""
    return content_type == GRPC or content_type.startswith(f"{GRPC}+")


def forged(inquiry: Inquiry) -> list[str]:
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
