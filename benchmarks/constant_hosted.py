"""The same constant answer as benchmarks/constant.py, from an ASGI application inside Envoy's HTTP stack.

    PYTHONPATH=. build/venv/bin/pyvoy benchmarks.constant_hosted:app --port PORT

It reads the message as we must, decides nothing and records nothing: beside it the Envoy-hosted listener is measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from benchmarks.constant import ALLOW
from pdp.transports.messages import CheckRequest

Message = MutableMapping[str, Any]

PREFIX = 5
"""Of a message of gRPC: whether it is compressed, and its length."""

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/grpc")],
    "trailers": True,
}
BODY: Message = {"type": "http.response.body", "body": b"\0" + len(ALLOW).to_bytes(4, "big") + ALLOW}
TRAILERS: Message = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """An allow for whatever parses."""
    if scope["type"] != "http":
        return
    data = b""
    is_more = True
    while is_more:
        message = await receive()
        data += message.get("body", b"")
        is_more = message.get("more_body", False)
    CheckRequest.FromString(data[PREFIX:])
    await send(START)
    await send(BODY)
    await send(TRAILERS)
