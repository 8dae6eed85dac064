"""The whole service as one ASGI application, for a host that speaks HTTP for it: every gRPC and every HTTP listener.

The host writes into each request by what connection it came (`CONNECTION_HEADER`), and takes away what a client wrote
there (`pdp.hosting.envoy_config`). Everything else is decided here, by the parts that the other listeners are made of.

    NAME              the listener of that name
    NAME URI          and the URI names that TLS has verified, with a comma between two
    NAME HERE THERE   and the two addresses of a connection that is not encrypted

INVARIANT: a request whose connection is not told, or told in another way, is nobody's: `UNKNOWN` over gRPC, 400 over
HTTP.
INVARIANT: nothing is raised, so that the host never answers in our place.
Design: contracts.md "Which service, which gateway, which caller"; architecture.md "Speed".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pdp.gateways import UNKNOWN, Connection, Gateway, Gateways
from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.check import MESSAGE_BYTES, CheckCall
from pdp.transports.grpc_server import Checks, GrpcService, health_handler, reflect
from pdp.transports.hosted_grpc import ARRIVED_HEADER, CHECK_PATH, Handlers, HostedCalls, HostedContext, noting
from pdp.transports.http_server import FAULTY, Connected
from pdp.transports.messages import AUTHORIZATION
from pdp.transports.places import is_loopback, socket_path
from pdp.transports.readiness import Ready
from pdp.transports.tls import Certificates

CONNECTION_HEADER = "x-portcullis-connection"
PROTO_HEADER = "x-portcullis-forwarded-proto"
"""What a client said in `x-forwarded-proto`, which the host does not pass on under its own name."""

_CONNECTION, _PROTO = CONNECTION_HEADER.encode("ascii"), PROTO_HEADER.encode("ascii")
_OF_THE_HOST = frozenset({_CONNECTION, ARRIVED_HEADER.encode("ascii"), b"te"})
"""What the host wrote into a request, or may have."""

_FAILED = JSONResponse({"title": "failed"}, 500)


class HostedListener(Struct, frozen=True):
    """One listener as `GrpcListener` and `HttpListener` have it, and the name by which the host tells it."""

    name: str
    protocol: Literal["grpc", "http"]
    address: str
    gateway: Gateway | None = None
    certificates: Certificates | None = None
    operations: bool = False


class _Caller(Struct, frozen=True):
    """Who asks, by the connection. `call` None: it is no gRPC."""

    gateway: Gateway | None
    call: CheckCall | None
    private: bool = True
    operations: bool = False


class HostedApp:
    """The application. The resources it holds: calls under way."""

    def __init__(
        self,
        listeners: Sequence[HostedListener],
        gateways: Gateways,
        checks: Checks,
        calls: HostedCalls,
        services: Sequence[GrpcService],
        http: ASGIApp,
    ) -> None:
        self._listeners: Mapping[bytes, HostedListener] = {each.name.encode("ascii"): each for each in listeners}
        self._gateways = gateways
        self._checks = checks
        self._calls = calls
        self._services = services
        self._http = http
        self._known: dict[bytes, _Caller] = {}
        self._under_way = 0
        self._last = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        told = None
        for name, value in scope["headers"]:
            if name == _CONNECTION:
                told = value if told is None else b""
        caller = None if told is None else self._known.get(told)
        if caller is None:
            caller = self._caller(told or b"")
        self._under_way += 1
        try:
            if caller.call is None or scope["http_version"] != "2":
                await self._over_http(caller, scope, receive, send)
            elif scope["raw_path"] == CHECK_PATH and not scope["query_string"]:
                await self._calls.check(caller.call, scope, receive, send)
            else:
                await self._calls.other(caller.gateway, scope, receive, send)
        except Exception:  # noqa: BLE001, S110  nobody is there any more to hear it; what broke was told where it broke
            pass
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._last.set()

    async def close(self, grace_s: float, least_s: float) -> None:
        """Wait until nothing is under way, `least_s` at least; who still waits when most of `grace_s` is over is
        refused.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(least_s)
        await self._idle(begun + grace_s * 0.8)
        await asyncio.gather(self._checks.close(), *(each.close() for each in self._services))
        await self._idle(begun + grace_s)

    async def _idle(self, ends: float) -> None:
        """Wait until nothing is under way, or until `ends` on the loop's clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                while self._under_way:
                    self._last.clear()
                    await self._last.wait()

    def _caller(self, told: bytes) -> _Caller:
        """Whose request it is."""
        name, *said = told.split(b" ", 1)
        listener = self._listeners.get(name)
        if listener is None:
            return _Caller(UNKNOWN, self._checks.of(_asked_by(UNKNOWN)), private=False)
        gateway = listener.gateway
        if listener.certificates is not None and listener.certificates.files.client_ca is not None:
            gateway = self._of_certificate(said) if gateway is None or listener.protocol == "http" else gateway
        if listener.protocol == "http":
            private = listener.certificates is not None or socket_path(listener.address) is not None or _is_local(said)
            return _Caller(gateway, None, private, listener.operations)
        found = _Caller(gateway, self._checks.of(_asked_by(gateway)))
        if gateway is not UNKNOWN:
            self._known[told] = found
        return found

    def _of_certificate(self, said: Sequence[bytes]) -> Gateway:
        """The gateway of the URI names that TLS has verified. One with a comma in it is as good as two."""
        return self._gateways.of_certificate(
            name.decode("utf-8", "replace") for each in said for name in each.split(b",")
        )

    async def _over_http(self, caller: _Caller, scope: Scope, receive: Receive, send: Send) -> None:
        if caller.call is not None:
            await FAULTY(scope, receive, send)
            return
        headers = [
            (b"x-forwarded-proto" if name == _PROTO else name, value)
            for name, value in scope["headers"]
            if name not in _OF_THE_HOST
        ]
        app = Connected(self._http, Connection(caller.gateway, caller.private), caller.operations)
        begun: list[bool] = []
        try:
            await app({**scope, "headers": headers}, receive, noting(send, begun))
        except Exception as error:  # noqa: BLE001  where the application itself fails it answers 500, and tells
            if not begun:
                self._calls.tell(error)
                await _FAILED(scope, receive, send)


def hosted_app(
    decider: Decider,
    listeners: Sequence[HostedListener],
    http: ASGIApp,
    *,
    clock_us: Callable[[], int],
    ready: Ready,
    metrics: Metrics,
    acr_values: Mapping[str, str],
    gateways: Gateways | None = None,
    services: Sequence[GrpcService] = (),
    message_bytes: int = MESSAGE_BYTES,
    reflection: bool = True,
) -> HostedApp:
    """The application of these listeners; the parts are those of `serve_grpc`, `http` is what `serve_http` serves."""
    make = partial(
        CheckCall, decider, clock_us=clock_us, metrics=metrics, acr_values=acr_values, message_bytes=message_bytes
    )
    handlers = Handlers()
    names = (AUTHORIZATION, *(each.name for each in services))
    handlers.add_generic_rpc_handlers((health_handler(ready, names), *(each.handler(_caller_of) for each in services)))
    if reflection:
        reflect(handlers, names)  # type: ignore[arg-type]  # it takes handlers, which is all that a server does here
    calls = HostedCalls(handlers, message_bytes=message_bytes)
    checks = Checks(make, _caller_of)
    return HostedApp(listeners, Gateways() if gateways is None else gateways, checks, calls, services, http)


def _asked_by(gateway: Gateway | None) -> HostedContext:
    return HostedContext(gateway, (), 0.0)


def _caller_of(context: HostedContext) -> Gateway | None:
    return context.gateway


def _is_local(said: Sequence[bytes]) -> bool:
    """Whether both ends of a connection are of this host."""
    ends = said[0].decode("ascii", "replace").split(" ") if said else []
    return len(ends) == 2 and all(is_loopback(end) for end in ends)
