"""The gRPC listeners: one server for each address, so that a connection says by itself who asks.

A listener without TLS is for one gateway, which is known by the address. A listener with TLS and `client_ca` is for
whoever shows a certificate of these authorities: the one URI in it says which gateway that is, call by call. Who has
none gets no connection; whose certificate is no gateway's is `UNKNOWN`, so that its calls are refused inside the
message, and recorded.
`Check` is registered without deserialiser and serialiser: a message that does not parse, or is too large, must be
answered inside a message, never by the transport (see `pdp.transports.check`). Health (`grpc.health.v1.Health/Check`)
says SERVING while decisions can be made and recorded; reflection shows our own descriptors.
INVARIANT: the transport's own limits stand above ours, and `grpc.max_concurrent_streams` is set: one connection cannot
take the others' calls down (measured, security.md 0.9).
Design: contracts.md "Who decided", paragraph on `Check`; gateways.md 1; security.md 2.4.

Decision: 2026-11-21. Without TLS only loopback addresses and Unix sockets are accepted: what these listeners carry is
not encrypted, and a gateway is known by the address it came to. A Unix socket is open to its owner and its group
(0660), as far as its folder lets them in.
Decision: 2026-11-21. `Health/Watch` is not implemented: a stream of it would stay open for ever and hold one of the
connection's streams; Envoy and the usual probes use `Check`.
Decision: 2026-11-21. Reflection is on, since only gateways and this host can ask; `reflection=False` turns it off.
Decision: 2026-11-21. Of a certificate `peer_uri` is read, not the names of all kinds that gRPC gives as well: there a
DNS name could spell a URI.
Decision: 2026-11-22. Workers that share an address (`Sharing`) have a socket each (SO_REUSEPORT), among which the
kernel deals out connections; `pdp.transports.shared` sees to it that nobody else is among them. A Unix socket cannot be
shared so. Their connections are asked to end after `AGE_S`, while others are taken: so the calls of a gateway that
keeps few connections are dealt anew, and a worker that is replaced waits until none of its own is left. A gRPC server
that is told to stop cancels the calls that come in that very moment (measured, 24 of 12,776), and has no word for
taking no new connections; so its listening socket is shut beneath it first (0 of 58,033 on connections that were kept).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection as grpc_reflection
from grpc_reflection.v1alpha import reflection_pb2
from msgspec import Struct

from pdp.errors import ConfigError
from pdp.gateways import UNKNOWN, Gateway, Gateways
from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.check import MESSAGE_BYTES, CheckCall
from pdp.transports.coalescing import Coalescing
from pdp.transports.messages import AUTHORIZATION, Wire, descriptor_files, new_pool
from pdp.transports.native_calls import CallerOf
from pdp.transports.places import SOCKET_MODE, is_loopback, is_taken, socket_path, split_address
from pdp.transports.readiness import Ready, is_ready
from pdp.transports.shared import claimed, close_listening
from pdp.transports.tls import LOOK_EVERY_S, Certificates, Material, watched

HEALTH = "grpc.health.v1.Health"

AGE_S = 10.0

_JITTER = 1.2
"""gRPC varies the age by a tenth, up or down; and an answer that is under way then is waited for."""

_NOT_BOUND = "the port is in use, or the address is not of this host"

_MIB = 1024 * 1024

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a second server that takes half of the calls
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_receive_message_length", 64 * _MIB),
    ("grpc.max_send_message_length", 64 * _MIB),
    ("grpc.max_metadata_size", 256 * 1024),
    ("grpc.absolute_max_metadata_size", 512 * 1024),
    ("grpc.max_allowed_incoming_connections", 1024),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class GrpcListener(Struct, frozen=True):
    """An address (`127.0.0.1:9191`, `[::1]:9191`, `unix:/run/pdp.sock`; port 0 takes a free one) and who asks there:
    `gateway` (None: whoever shows a certificate that is one's, which `certificates` then must demand).
    """

    address: str
    gateway: Gateway | None = None
    certificates: Certificates | None = None


class GrpcService(Struct, frozen=True):
    """Another service beside ours: its full name, its handler for calls that `CallerOf` tells apart, and how what is
    under way in it ends.
    """

    name: str
    handler: Callable[[CallerOf], grpc.GenericRpcHandler[Any, Any]]
    close: Callable[[], Awaitable[None]]


class Sharing:
    """That addresses are shared with other workers, and how this one leaves them."""

    def __init__(self, spared: Collection[socket.socket] = (), age_s: float = AGE_S) -> None:
        """`spared` are the sockets for HTTP that others have as well. Units: a connection is asked to end after `age_s`
        seconds.
        """
        self._spared = spared
        self._age_s = age_s
        self._ports: set[int] = set()

    def options(self) -> tuple[tuple[str, int], ...]:
        """What a server is told, beside `OPTIONS`."""
        return (("grpc.so_reuseport", 1), ("grpc.max_connection_age_ms", int(self._age_s * 1_000)))

    def bound(self, address: str) -> None:
        """Note where a server listens."""
        self._ports.add(int(address.rpartition(":")[2]))

    async def drained(self) -> None:
        """Take no connection any more; on return, every one that was there was asked to end, and others answer."""
        close_listening(self._ports, self._spared)
        await asyncio.sleep(self._age_s * _JITTER)


class Checks:
    """The checks of one listener: a `CheckCall` for each gateway that asks there."""

    def __init__(self, make: Callable[[Gateway], CheckCall], caller_of: CallerOf) -> None:
        self._make = make
        self._caller_of = caller_of
        self._calls: dict[str, CheckCall] = {}
        self._unknown = make(UNKNOWN)

    def of(self, context: Wire) -> CheckCall:
        gateway = self._caller_of(context)
        if gateway is None or gateway is UNKNOWN:
            return self._unknown
        call = self._calls.get(gateway.name)
        if call is None:
            call = self._calls[gateway.name] = self._make(gateway)
        return call

    async def close(self) -> None:
        await asyncio.gather(self._unknown.close(), *(call.close() for call in self._calls.values()))


@contextlib.asynccontextmanager
async def serve_grpc(
    decider: Decider,
    listeners: Sequence[GrpcListener],
    *,
    clock_us: Callable[[], int],
    ready: Ready,
    metrics: Metrics,
    acr_values: Mapping[str, str],
    gateways: Gateways | None = None,
    services: Sequence[GrpcService] = (),
    message_bytes: int = MESSAGE_BYTES,
    reflection: bool = True,
    grace_s: float = 5.0,
    look_every_s: float = LOOK_EVERY_S,
    sharing: Sharing | None = None,
) -> AsyncIterator[tuple[str, ...]]:
    """Answer on every listener for as long as the context lasts; it gives the bound addresses, in their order.

    `clock_us` gives Unix microseconds. `gateways` are those that certificates may be of. `services` are served beside
    `Check`. `message_bytes` is the largest CheckRequest that is read. `sharing`: the addresses are those of other
    workers, too. At the end no new call is taken, and those under way have `grace_s` seconds.
    Errors: ConfigError N201 a listener without TLS at an address that is not of this host, or with nothing that says
    who asks, N202 an address that cannot be bound. None runs then.
    """

    make = partial(
        CheckCall,
        decider,
        clock_us=clock_us,
        metrics=metrics,
        acr_values=acr_values,
        message_bytes=message_bytes,
        turns=Coalescing(asyncio.get_running_loop()),
    )
    for listener in listeners:
        refuse_open_grpc(listener)
    known = Gateways() if gateways is None else gateways
    running: list[tuple[grpc.aio.Server, Checks]] = []
    addresses: list[str] = []
    try:
        for listener in listeners:
            caller_of = _caller_of(listener, known)
            checks = Checks(make, caller_of)
            server = grpc.aio.server(options=_options(sharing))
            running.append((server, checks))
            others = [each.handler(caller_of) for each in services]
            names = (AUTHORIZATION, *(each.name for each in services))
            server.add_generic_rpc_handlers((_authorization(checks), health_handler(ready, names), *others))
            if reflection:
                reflect(server, names)
            addresses.append(_bind(server, listener))
            if sharing is not None:
                sharing.bound(addresses[-1])
        for server, _ in running:
            await server.start()
        watching = [each.certificates for each in listeners if each.certificates is not None]
        async with watched(watching, every_s=look_every_s):
            yield tuple(addresses)
    finally:
        await asyncio.gather(*(_stop(server, checks, services, grace_s) for server, checks in running))


def _options(sharing: Sharing | None) -> Sequence[tuple[str, int]]:
    shared = () if sharing is None else sharing.options()
    names = {name for name, _ in shared}
    return [*(each for each in OPTIONS if each[0] not in names), *shared]


async def _stop(server: grpc.aio.Server, checks: Checks, services: Sequence[GrpcService], grace_s: float) -> None:
    """End one listener. Who still waits when most of the grace is over is refused, before the transport cuts it off."""
    ending = asyncio.ensure_future(server.stop(grace_s))
    await asyncio.wait({ending}, timeout=grace_s * 0.8)
    await asyncio.gather(checks.close(), *(each.close() for each in services))
    await ending


def _caller_of(listener: GrpcListener, gateways: Gateways) -> CallerOf:
    """Who calls at a listener: its gateway, or the one of the certificate that TLS has verified."""
    if listener.gateway is not None:
        named = listener.gateway
        return lambda _context: named

    def caller_of(context: Wire) -> Gateway:
        names = context.auth_context().get("peer_uri", ())
        return gateways.of_certificate(name.decode("utf-8", "replace") for name in names)

    return caller_of


def refuse_open_grpc(listener: GrpcListener) -> None:
    """Errors: ConfigError N201 for a listener at which anybody could be the gateway."""
    by = "nobody" if listener.gateway is None else f"gateway {listener.gateway.name}"
    place = f"listener {listener.address} of {by}"
    if listener.certificates is not None:
        if listener.gateway is None and listener.certificates.files.client_ca is None:
            raise ConfigError("N201", f"{place}: nothing says who asks there; give it a client_ca")
        return
    local = split_address(listener.address)
    if socket_path(listener.address) is None and (local is None or not is_loopback(local[0])):
        if local is not None and local[0] == "localhost":
            raise ConfigError("N201", f"{place}: `localhost` is a name; write 127.0.0.1:{local[1]}")
        detail = f"{place}: this listener is not encrypted"
        raise ConfigError("N201", f"{detail}; give it a certificate, a loopback address with a port, or unix:PATH")
    if listener.gateway is None:
        raise ConfigError("N201", f"{place}: nothing says who asks there; name its gateway")


def _bind(server: grpc.aio.Server, listener: GrpcListener) -> str:
    """Bind the address of `listener`; the address it then has."""
    path = socket_path(listener.address)
    if path is not None and is_taken(path):
        raise _unusable(listener.address, _by(listener), "something else is there")
    try:
        if listener.certificates is None:
            port = server.add_insecure_port(listener.address)
        else:
            port = server.add_secure_port(listener.address, _credentials(listener.certificates))
        if path is not None:
            path.chmod(SOCKET_MODE)
    except (OSError, RuntimeError) as error:
        raise _unusable(listener.address, _by(listener), _NOT_BOUND) from error
    return listener.address if path is not None else f"{listener.address.rpartition(':')[0]}:{port}"


@contextlib.contextmanager
def claim_grpc(listener: GrpcListener) -> Iterator[str]:
    """Keep the address of a listener for workers that share it, while the context lasts; it gives the address, with its
    port. Errors: ConfigError N201, N202 as `serve_grpc`, N203 it is a Unix socket.
    """
    refuse_open_grpc(listener)
    with claim_port(listener.address, alone=False, by=_by(listener)) as address:
        yield address


@contextlib.contextmanager
def claim_port(address: str, *, alone: bool, by: str = "") -> Iterator[str]:
    """Keep an address for workers that share it, while the context lasts; it gives the address, with its port. A Unix
    socket is not kept, and is for who is `alone`; `by` says whose it is.

    Errors: ConfigError N202 it cannot be had, N203 it is a Unix socket and would be shared.
    """
    if socket_path(address) is not None:
        if not alone:
            detail = f"several workers cannot share {address}: give it a loopback address with a port"
            raise ConfigError("N203", f"{detail}, or say `--workers 1`")
        yield address
        return
    with contextlib.ExitStack() as stack:
        try:
            kept = stack.enter_context(claimed(address))
        except (OSError, ValueError) as error:
            raise _unusable(address, by, _NOT_BOUND) from error
        yield kept


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """What TLS shows and demands: asked for at every handshake, so that new files need no new server."""
    shown = certificates.current

    def newer() -> grpc.ServerCertificateConfiguration:
        """None, which gRPC takes for what was shown last. Called on threads of gRPC."""
        nonlocal shown
        current = certificates.current
        if current is shown:
            return None  # type: ignore[return-value]  # the stubs leave it out
        shown = current
        return _shown(current)

    demands = certificates.files.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(_shown(shown), newer, require_client_authentication=demands)


def _shown(material: Material) -> grpc.ServerCertificateConfiguration:
    pair = (material.private_key, material.certificate)
    return grpc.ssl_server_certificate_configuration([pair], material.client_ca)


def _by(listener: GrpcListener) -> str:
    return "" if listener.gateway is None else f" for gateway {listener.gateway.name}"


def _unusable(address: str, by: str, cause: str) -> ConfigError:
    detail = f"cannot listen on {address}{by}: {cause}"
    return ConfigError("N202", f"{detail}; free it or change the address of the listener")


def _authorization(checks: Checks) -> grpc.GenericRpcHandler[Any, Any]:
    async def check(data: bytes, context: Wire) -> bytes:
        return await checks.of(context).answer(data, context.invocation_metadata() or (), context.time_remaining())

    return grpc.method_handlers_generic_handler(AUTHORIZATION, {"Check": grpc.unary_unary_rpc_method_handler(check)})


def health_handler(ready: Ready, names: Collection[str]) -> grpc.GenericRpcHandler[Any, Any]:
    async def check(request: Wire, context: Wire) -> Wire:
        if request.service and request.service not in names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if is_ready(ready) else status.NOT_SERVING)

    method = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(HEALTH, {"Check": method})


def reflect(server: grpc.aio.Server, services: Sequence[str]) -> None:
    files = (*descriptor_files(), health_pb2.DESCRIPTOR.serialized_pb, reflection_pb2.DESCRIPTOR.serialized_pb)
    names = (*services, HEALTH, grpc_reflection.SERVICE_NAME)
    grpc_reflection.enable_server_reflection(names, server, pool=new_pool(files))
