"""Asks ext_authz as Envoy does: a CheckRequest as bytes, the reply as a parsed message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import grpc
from msgspec import Struct

from pdp.transports.check_attributes import SIGNALS, VERIFIED
from pdp.transports.messages import CheckRequest, CheckResponse

CHECK = "/envoy.service.auth.v3.Authorization/Check"
CLAIMS = "jwt_payload"
"""Where verified claims stand, for a gateway whose `verified_claims` says so."""


def check_request(
    method: str,
    host: str,
    path: str,
    *,
    service: str | None = None,
    headers: Mapping[str, str] | None = None,
    peer: str | None = None,
    signals: Mapping[str, Any] | None = None,
    verified: Mapping[str, Any] | None = None,
    body: bytes = b"",
) -> bytes:
    """The bytes of a CheckRequest; `signals` and `verified` claims stand in the metadata of the gateway."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.host, http.path = method, host, path
    for name, value in (headers or {}).items():
        http.headers[name] = value
    message.attributes.source.principal = peer or ""
    if signals:
        message.attributes.metadata_context.filter_metadata[SIGNALS].update(signals)
    if verified:
        message.attributes.metadata_context.filter_metadata[VERIFIED].update({CLAIMS: verified})
    http.raw_body = body
    message.attributes.source.address.socket_address.address = "203.0.113.7"
    if service is not None:
        message.attributes.context_extensions["portcullis.service"] = service
    return bytes(message.SerializeToString())


class Answer(Struct, frozen=True):
    """What a gateway makes of a reply: a gRPC status that is not OK counts as `transport`."""

    code: int
    http_status: int
    headers: Mapping[str, str]
    removed: tuple[str, ...]
    decision_id: str | None
    metadata: Mapping[str, str]
    body: str


class Asker:
    """One channel to one listener."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", 64 << 20)])
        self._check = self._channel.unary_unary(CHECK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def raw(self, data: bytes, timeout_s: float = 10.0) -> bytes:
        """The reply's bytes; grpc.RpcError when the transport failed."""
        reply: bytes = self._check(data, timeout=timeout_s)
        return reply

    def ask(self, data: bytes, timeout_s: float = 10.0) -> Answer:
        return read_answer(self.raw(data, timeout_s))


def read_answer(data: bytes) -> Answer:
    """A reply as Envoy reads it: `status.code` decides."""
    reply: Any = CheckResponse.FromString(data)
    allowed = reply.status.code == 0
    options = reply.ok_response.headers if allowed else reply.denied_response.headers
    headers = {option.header.key: option.header.value for option in options}
    metadata = {name: value.string_value for name, value in reply.dynamic_metadata.fields.items()}
    return Answer(
        code=reply.status.code,
        http_status=200 if allowed else reply.denied_response.status.code,
        headers=headers,
        removed=tuple(reply.ok_response.headers_to_remove),
        decision_id=headers.get("x-portcullis-decision"),
        metadata=metadata,
        body=reply.denied_response.body,
    )
