"""The HTTP listeners: one application at several addresses, and what each connection says by itself.

Every request gets the `Connection` that it came by into its scope (`portcullis.connection`), and whether it came to the
address of the operators (`portcullis.operations`). Both are made of the socket and of the certificate that TLS has
verified; nothing that a request says changes them.

    HEAD_S       a request's head must be here so long after the connection or its first byte
    EXCHANGE_S   its body and our answer must be over so long after its head
    IDLE_S       a connection without a request is kept so long: longer than gateways keep theirs
    HEAD_BYTES   the most of a head
    MOST_CONNECTIONS  per listener; one more is closed at once

INVARIANT: what is no HTTP/1.1, or has its length said in two ways, reaches no application: it is answered 400 or not at
all, and the connection ends.
Sources: RFC 9112 6.1 (both `transfer-encoding` and `content-length`: a faulty message), 9.6; RFC 6455 is not spoken.
Design: contracts.md "Which service, which gateway, which caller"; security.md 2.4.

Decision: 2026-11-21. Whether others can read what is said is seen from the ends of each connection, not from the
address in the configuration: loopback at both ends, a Unix socket, or TLS.
Decision: 2026-11-21. `[http] address` may be any, since probes and collectors seldom sit on the same host; there nobody
is known by the connection. A listener without TLS is of this host alone.
Decision: 2026-11-21. Connections are accepted here and not by asyncio's server, which keeps one certificate for as long
as it listens and counts no connection before its handshake is over.
Decision: 2026-11-22. Workers that share an address accept from one socket that was handed down to them: a Unix socket
can be shared so, and a connection that waits to be accepted is lost with no worker. Who leaves accepts no more, and
ends each connection with its next answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

import h11
import uvicorn
from msgspec import Struct
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pdp.gateways import Connection, Gateway, Gateways
from pdp.transports.asking import CONNECTION
from pdp.transports.places import address_of, is_loopback, listening_at
from pdp.transports.tls import LOOK_EVERY_S, Certificates, uri_names, watched

MOST_CONNECTIONS = 512
HEAD_BYTES = 64 * 1024
HEAD_S = 10.0
EXCHANGE_S = 30.0
IDLE_S = 150
STOP_WITHIN_S = 2
ACCEPT_AGAIN_S = 0.1

log = logging.getLogger(__name__)

OPERATIONS = "portcullis.operations"
"""The key of a request's scope that is True where it came to the address of the operators."""

Ends = Callable[[asyncio.BaseTransport], Connection]
"""What a connection says by itself."""


class HttpListener(Struct, frozen=True):
    """An address, and what is known of who asks there: `gateway` by the address, or by the certificates that
    `certificates` demands. `operations`: the address of probes, collectors and operators, which may be any.
    `listening`: the socket that listens there already, where workers share it.
    """

    address: str
    gateway: Gateway | None = None
    certificates: Certificates | None = None
    operations: bool = False
    listening: socket.socket | None = None


class Patience(Struct, frozen=True):
    """How long a client is waited for, in seconds."""

    head_s: float = HEAD_S
    exchange_s: float = EXCHANGE_S
    idle_s: int = IDLE_S


PATIENCE = Patience()


@contextlib.asynccontextmanager
async def serve_http(
    app: ASGIApp,
    listeners: Sequence[HttpListener],
    gateways: Gateways,
    *,
    now_s: Callable[[], float],
    patience: Patience = PATIENCE,
    look_every_s: float = LOOK_EVERY_S,
    leaving: asyncio.Event | None = None,
) -> AsyncIterator[tuple[str, ...]]:
    """Serve `app` at every listener for as long as the context lasts; it gives the bound addresses, in their order.
    `now_s` gives Unix seconds. Once `leaving` is set no connection is accepted, and each ends with its next answer.

    Errors: ConfigError N101 an address that cannot be bound, N102 one that others can reach, without TLS. None runs
    then.
    """
    async with contextlib.AsyncExitStack() as stack:
        bound = [stack.enter_context(_place(each)) for each in listeners]
        left = asyncio.Event() if leaving is None else leaving
        servers = [
            _Server(app, listener, listening, gateways, patience, now_s, left)
            for listener, listening in zip(listeners, bound, strict=True)
        ]
        for server in servers:
            await stack.enter_async_context(server.running())
        stack.callback(_end, servers)  # all at once; then each is waited for
        watching = [each.certificates for each in listeners if each.certificates is not None]
        await stack.enter_async_context(watched(watching, every_s=look_every_s))
        yield tuple(address_of(each.address, listening) for each, listening in zip(listeners, bound, strict=True))


def _end(servers: Sequence[_Server]) -> None:
    for server in servers:
        server.should_exit = True


class _Server(uvicorn.Server):
    """The server of one listener. It leaves signals to the process it is part of."""

    def __init__(
        self,
        app: ASGIApp,
        listener: HttpListener,
        listening: socket.socket,
        gateways: Gateways,
        patience: Patience,
        now_s: Callable[[], float],
        leaving: asyncio.Event,
    ) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=patience.idle_s,
            timeout_graceful_shutdown=STOP_WITHIN_S,
        )
        super().__init__(config)
        self._listener = listener
        self._listening = listening
        self._gateways = gateways
        self._patience = patience
        self._now_s = now_s
        self._leaving = leaving
        self._begun = asyncio.Event()
        self._greeting: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts. Whatever keeps the server from starting is raised."""
        serving = asyncio.ensure_future(self.serve([]))
        begun = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait({serving, begun}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            yield
        finally:
            begun.cancel()
            self.should_exit = True
            await serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  it has its own
        self._listening.settimeout(0)
        self.servers = []
        accepting = self._greet(self._accept())
        self._greet(self._left(accepting))
        self.started = True
        self._begun.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(0)  # whom the door was opened to is inside, and goes by being cancelled
        for task in self._greeting:
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # who has not ended by now is not waited for
            connection.transport.abort()

    def _greet(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)
        return task

    async def _left(self, accepting: asyncio.Task[None]) -> None:
        """Accept nobody once this worker leaves."""
        await self._leaving.wait()
        accepting.cancel()

    async def _accept(self) -> None:
        """Take whoever connects, until cancelled."""
        loop, told = asyncio.get_running_loop(), False
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listening)
            except OSError as error:  # no file descriptor is free
                if not told:
                    log.warning("connections to %s are not accepted for now: %s", self._listener.address, error)
                told = True
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            told = False
            if len(self._greeting) + len(self.server_state.connections) > MOST_CONNECTIONS + 1:  # two greet nobody
                accepted.close()
            else:
                self._greet(self._connect(accepted))
            await asyncio.sleep(0)  # a crowd at the door must not keep the loop from everything else

    async def _connect(self, accepted: socket.socket) -> None:
        """Make a connection of what was accepted, by TLS with what is in use now."""
        certificates = self._listener.certificates
        tls = None if certificates is None else certificates.current.context
        patience = None if tls is None else self._patience.head_s
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=None if tls is None else float(STOP_WITHIN_S),
            )
        except (OSError, ValueError):  # no TLS, or names that are no text: everybody's to cause, so not logged
            accepted.close()

    def _protocol(self) -> asyncio.Protocol:
        return _Protocol(
            self.config,
            self.server_state,
            self._ends,
            self._patience,
            self._leaving,
            operations=self._listener.operations,
        )

    def _ends(self, transport: asyncio.BaseTransport) -> Connection:
        return connection_of(transport, self._listener, self._gateways, self._now_s())


def connection_of(
    transport: asyncio.BaseTransport, listener: HttpListener, gateways: Gateways, now_s: float
) -> Connection:
    """What a connection to `listener` says by itself, at `now_s` (Unix seconds)."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        ends = [transport.get_extra_info(end) for end in ("sockname", "peername")]
        return Connection(listener.gateway, private=all(_is_of_this_host(end) for end in ends))
    if tls.context.verify_mode != ssl.CERT_REQUIRED:
        return Connection(listener.gateway, private=True)
    return Connection(gateways.of_certificate(uri_names(tls.getpeercert(), now_s)), private=True)


def _is_of_this_host(end: object) -> bool:
    """Whether one end of a connection is a Unix socket (a path, which may be empty) or a loopback address."""
    return isinstance(end, str | bytes) or (isinstance(end, tuple) and is_loopback(str(end[0])))


class Connected(Struct, frozen=True):
    """The application as one connection reaches it."""

    app: ASGIApp
    connection: Connection
    operations: bool
    leaving: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = FAULTY if _is_faulty(scope) else self.app
        if self.leaving is not None and self.leaving.is_set():
            send = _last(send)
        await app({**scope, CONNECTION: self.connection, OPERATIONS: self.operations}, receive, send)


def _last(send: Send) -> Send:
    """What sends an answer, and says with it that its connection ends."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing


FAULTY = JSONResponse({"title": "not possible"}, 400, {"connection": "close"})


def _is_faulty(scope: Scope) -> bool:
    """Whether a request is of another version, or has its length said in two ways or in one that its version does not
    have: others may have read another one out of the same bytes.
    """
    names, version = {name for name, _ in scope["headers"]}, scope["http_version"]
    coded = b"transfer-encoding" in names
    return version not in {"1.0", "1.1"} or (coded and (b"content-length" in names or version == "1.0"))


_SILENT = logging.Logger("portcullis.http", logging.CRITICAL + 1)  # noqa: LOG001  no handler is to hear it
"""What the protocol would say of each faulty request, at the pace of whoever sends them."""


class _Protocol(H11Protocol):
    """One connection: the clients are waited for, but not for long. The state: the timer of what is waited for."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        ends: Ends,
        patience: Patience,
        leaving: asyncio.Event,
        *,
        operations: bool,
    ) -> None:
        super().__init__(config, state, {})
        self.logger = _SILENT
        self._ends = ends
        self._patience = patience
        self._operations = operations
        self._leaving = leaving
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = Connected(self.app, self._ends(transport), self._operations, self._leaving)
        self._wait(self._patience.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None:
            self._wait(self._patience.head_s)
        before = self.cycle
        try:
            super().data_received(data)
        except h11.ProtocolError:  # more than one thing was wrong: there is nothing left to say
            self.transport.abort()
        self._begun_since(before)

    def on_response_complete(self) -> None:
        self._wait(None)
        before = self.cycle
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._wait(self._patience.head_s)
        self._begun_since(before)

    def send_400_response(self, msg: str) -> None:
        """What was received is faulty: whoever works at an answer is told that nobody waits for it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _begun_since(self, before: object) -> None:
        """A request whose head is here has its time from now on."""
        if self.cycle is not before and self.cycle is not None and not self.cycle.response_complete:
            self._wait(self._patience.exchange_s)

    def _wait(self, seconds: float | None) -> None:
        """Wait so long for what comes next, and end the connection then; None: do not."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.transport.abort()


def _place(listener: HttpListener) -> contextlib.AbstractContextManager[socket.socket]:
    if listener.listening is not None:
        return listener.listening
    return listening_of(listener)


def listening_of(listener: HttpListener) -> contextlib.AbstractContextManager[socket.socket]:
    """A socket that listens where `listener` says while the context lasts. Errors: ConfigError N101, N102."""
    key = "[http] address" if listener.operations else "the address of the listener"
    anywhere = listener.operations or listener.certificates is not None
    return listening_at(listener.address, anywhere=anywhere, key=key)
