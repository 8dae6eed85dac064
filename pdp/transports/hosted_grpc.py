"""gRPC calls as an ASGI application hears them: `Check` in the shortest way, every other method by its gRPC handler.

Whatever comes at the path of `Check`, and whatever breaks on the way, is answered by a message with `grpc-status: 0`
(see `pdp.transports.check`): a body that is cut, compressed, too large, not framed or never there as well. Other
methods end in a reply or in a status, as under grpcio; they are the same handlers.
INVARIANT: `check` raises nothing, and answers in the time that the caller has.
Design: contracts.md "Who decided", paragraph on `Check`; security.md 0.1, 0.2, 2.4.

Decision: 2026-11-22. A compressed message is refused, inside the message at `Check` and by UNIMPLEMENTED elsewhere:
Envoy sends none, and what expands to anything is not worth the risk.
Decision: 2026-11-22. A deadline beyond MOST_S counts as MOST_S: the host ends a stream on which nothing moves for
longer, and its end would be an allow.
Decision: 2026-11-22. A caller's time counts from when its call came to the host, whose stamp says so: calls may wait
their turn of the loop before anything of ours runs. A clock of the host that was set ahead meanwhile refuses the call.
Decision: 2026-11-22. Who has gone is not told to the service: pyvoy says so only to who asks it for more, which costs a
turn of two threads for each call. Such a decision has its record, and no correction.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc
from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from pdp.deadlines import Deadlines
from pdp.gateways import Gateway
from pdp.transports.check import INTERNAL, LAST_S, PATIENCE_S, CheckCall
from pdp.transports.grpc_frames import (
    HEAD_BYTES,
    FrameError,
    RawHeaders,
    first_message,
    framed,
    status_headers,
    timeout_s,
    unframed,
)
from pdp.transports.messages import AUTHORIZATION, Wire

ARRIVED_HEADER = "x-portcullis-arrived"
"""When the host has read the head of a call, in Unix seconds, as the host says it and nobody else."""

_ARRIVED = ARRIVED_HEADER.encode("ascii")

CHECK_PATH = f"/{AUTHORIZATION}/Check".encode("ascii")
MOST_S = 50.0
STREAM_BYTES = 64 * 1024
"""The most of a message of a stream: a question of reflection."""

NO_MESSAGE = b"\x07"
"""What parses as no message: it stands for a body that holds none."""

_TYPE = (b"content-type", b"application/grpc")
_START: Message = {"type": "http.response.start", "status": 200, "headers": [_TYPE], "trailers": True}
_OK: Message = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_HTTP_REQUEST = "http.request"

log = logging.getLogger(__name__)


class _GoneError(Exception):
    """Nobody waits for an answer any more."""


class _AbortedError(Exception):
    """A handler has ended its call."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class HostedContext(Struct, frozen=True):
    """What a gRPC handler asks of the context of a call. `ends` on the loop's clock."""

    gateway: Gateway | None
    headers: RawHeaders
    ends: float

    def time_remaining(self) -> float:
        return self.ends - asyncio.get_running_loop().time()

    def invocation_metadata(self) -> list[tuple[str, bytes]]:
        return [(name.decode("ascii"), value) for name, value in self.headers]

    async def abort(self, code: grpc.StatusCode, detail: str) -> None:
        """End the call with this status."""
        raise _AbortedError(code, detail)


class Handlers:
    """The methods of the services other than ext_authz, by path. It takes handlers as a gRPC server does."""

    def __init__(self) -> None:
        self._handlers: list[grpc.GenericRpcHandler[Any, Any]] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler[Any, Any]]) -> None:
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Servers that look methods up twice take them a second time here."""

    def of(self, path: str) -> Wire:
        """The handler of a method, or None."""
        details: Wire = _Details(path)
        return next((found for each in self._handlers if (found := each.service(details)) is not None), None)


class _Details(Struct, frozen=True):
    method: str
    invocation_metadata: tuple[()] = ()


class HostedCalls:
    """The calls of every gRPC listener. The resource it holds: the timers of those that wait."""

    def __init__(self, handlers: Handlers, *, message_bytes: int, host_s: Callable[[], float] = time.time) -> None:
        """`host_s` is the clock of the host, in Unix seconds."""
        self._handlers = handlers
        self._host_s = host_s
        self._message_bytes = message_bytes
        self._deadlines: Deadlines | None = None
        self._told: set[str] = set()

    async def check(self, call: CheckCall, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call at `CHECK_PATH`."""
        try:
            reply = await self._checked(call, scope["headers"], receive)
        except _GoneError:
            return
        except BaseException as error:  # noqa: BLE001  nothing that is raised here may become an answer of the transport
            self.tell(error)
            reply = INTERNAL
        await _replied(send, reply)

    async def other(self, gateway: Gateway | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call of any other method."""
        path = scope["raw_path"].decode("ascii", "replace")
        handler = None if scope["query_string"] or path.encode() == CHECK_PATH else self._handlers.of(path)
        if handler is None:
            await _ended(send, grpc.StatusCode.UNIMPLEMENTED, "no such method", begun=False)
            return
        headers = scope["headers"]
        context = HostedContext(gateway, headers, asyncio.get_running_loop().time() + self._left(headers))
        answering = self._streamed if handler.request_streaming else self._unary
        begun: list[bool] = []
        code, detail = grpc.StatusCode.INTERNAL, "the call failed"
        try:
            async with asyncio.timeout_at(context.ends):
                await answering(handler, context, receive, noting(send, begun))
                return
        except _GoneError:
            return
        except _AbortedError as error:
            code, detail = error.code, error.detail
        except TimeoutError:
            code, detail = grpc.StatusCode.DEADLINE_EXCEEDED, "too late"
        except FrameError as error:
            if error.compressed:
                code, detail = grpc.StatusCode.UNIMPLEMENTED, "a message that is compressed is not read"
            else:
                detail = "the request is no message of gRPC"
        except Exception as error:  # noqa: BLE001  it is told, and the call ends with a status
            self.tell(error)
        await _ended(send, code, detail, begun=bool(begun))

    async def _checked(self, call: CheckCall, headers: RawHeaders, receive: Receive) -> bytes:
        loop = asyncio.get_running_loop()
        left = self._left(headers)
        if not left > LAST_S:
            return await call.answer(b"", (), left)
        ends = loop.time() + left
        try:
            data = await self._message(receive, ends - LAST_S)
        except FrameError:
            data = NO_MESSAGE
        except TimeoutError:
            return await call.answer(b"", (), 0.0)
        return await call.answer(data, headers, ends - loop.time())  # type: ignore[arg-type]  # it looks at lengths alone

    async def _unary(self, handler: Wire, context: HostedContext, receive: Receive, send: Send) -> None:
        data = await self._message(receive, context.ends)
        reply = await handler.unary_unary(_read(handler, data), context)
        await _replied(send, _written(handler, reply))

    async def _streamed(self, handler: Wire, context: HostedContext, receive: Receive, send: Send) -> None:
        """A stream of questions with an answer to each, as reflection has it."""
        body, more = b"", True
        await send(_START)
        while more:
            event = await receive()
            body, more = body + _part(event), bool(event.get("more_body"))
            message, body = first_message(body, STREAM_BYTES)
            while message is not None:
                for reply in handler.stream_stream(iter([_read(handler, message)]), context):
                    part = framed(_written(handler, reply))
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                message, body = first_message(body, STREAM_BYTES)
        await send({"type": "http.response.body", "body": b""})
        await send(_OK)

    async def _message(self, receive: Receive, ends: float) -> bytes:
        """The message of a unary call. Errors: FrameError, TimeoutError at `ends`, _GoneError."""
        event = await self._received(receive, ends)
        body = _part(event)
        most = self._message_bytes
        if event.get("more_body"):
            parts = bytearray(body)
            while event.get("more_body") and len(parts) <= HEAD_BYTES + most:
                event = await self._received(receive, ends)
                parts += _part(event)
            body = bytes(parts)
        return unframed(body, most)

    async def _received(self, receive: Receive, ends: float) -> Message:
        """What comes next, without the price of a timer for each. Errors: TimeoutError."""
        loop = asyncio.get_running_loop()
        coming: asyncio.Future[Message] = asyncio.ensure_future(receive())
        deadlines = self._deadlines
        if deadlines is None:
            deadlines = self._deadlines = Deadlines(loop)
        waiter = loop.create_future()

        def came(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        coming.add_done_callback(came)
        tick = deadlines.watch(waiter, ends)
        try:
            await waiter
        finally:
            deadlines.forget(waiter, tick)
        if not coming.done():
            raise TimeoutError
        return coming.result()

    def _left(self, headers: RawHeaders) -> float:
        """How long the caller waits yet, no longer than MOST_S; it has waited since its call came to the host."""
        said, waited = None, 0.0
        for name, value in headers:
            if name == b"grpc-timeout":
                said = timeout_s(value)
            elif name == _ARRIVED:
                waited = self._host_s() - _instant_s(value)
        left = PATIENCE_S if said is None else min(said, MOST_S)
        return left if waited <= 0.0 else left - waited  # what is no number leaves no time

    def tell(self, error: BaseException) -> None:
        """Each kind of failure is logged once, with its trace: a flood of them must not fill the disk."""
        kind = type(error).__qualname__
        if kind not in self._told:
            self._told.add(kind)
            log.error("a hosted call failed; further %s are not logged", kind, exc_info=error)


def _instant_s(value: bytes) -> float:
    """What the host's stamp says; what says nothing is as long ago as anything."""
    try:
        return float(value)
    except ValueError:
        return -math.inf


def _part(event: Message) -> bytes:
    """The bytes that an event brings. Errors: _GoneError."""
    if event["type"] != _HTTP_REQUEST:
        raise _GoneError
    part: bytes = event.get("body", b"")
    return part


def _read(handler: Wire, data: bytes) -> Wire:
    return data if handler.request_deserializer is None else handler.request_deserializer(data)


def _written(handler: Wire, reply: Wire) -> bytes:
    data: bytes = reply if handler.response_serializer is None else handler.response_serializer(reply)
    return data


def noting(send: Send, begun: list[bool]) -> Callable[[Message], Awaitable[None]]:
    """`send`, which notes in `begun` that something was sent."""

    async def noting(message: Message) -> None:
        begun[:] = [True]
        await send(message)

    return noting


async def _replied(send: Send, reply: bytes) -> None:
    """One message and the status OK."""
    await send(_START)
    await send({"type": "http.response.body", "body": framed(reply)})
    await send(_OK)


async def _ended(send: Send, code: grpc.StatusCode, detail: str, *, begun: bool) -> None:
    """The end of a call that has no reply."""
    number: int = code.value[0]
    ending: Sequence[tuple[bytes, bytes]] = status_headers(number, detail)
    if begun:
        await send({"type": "http.response.body", "body": b""})
        await send({"type": "http.response.trailers", "headers": ending})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [_TYPE, *ending]})
    await send({"type": "http.response.body", "body": b""})
