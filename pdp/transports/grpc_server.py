"""The gRPC listeners: one server for each gateway, so that a connection says by itself who asks.

`Check` is registered without deserialiser and serialiser: a message that does not parse, or is too large, must be
answered inside a message, never by the transport (see `pdp.transports.check`). Health (`grpc.health.v1.Health/Check`)
says SERVING while decisions can be made and recorded; reflection shows our own descriptors.
INVARIANT: the transport's own limits stand above ours, and `grpc.max_concurrent_streams` is set: one connection cannot
take the others' calls down (measured, security.md 0.9).
Design: contracts.md "Who decided", paragraph on `Check`; gateways.md 1; security.md 2.4.

Decision: 2026-11-21. Only loopback addresses and Unix sockets are accepted: what these listeners carry is not
encrypted, and a gateway is known by the address it came to. A Unix socket is open to whom its folder and the umask let
in.
Decision: 2026-11-21. `Health/Watch` is not implemented: a stream of it would stay open for ever and hold one of the
connection's streams; Envoy and the usual probes use `Check`.
Decision: 2026-11-21. Reflection is on, since only this host can ask; `reflection=False` turns it off.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection as grpc_reflection
from grpc_reflection.v1alpha import reflection_pb2

from pdp.errors import ConfigError
from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.check import MESSAGE_BYTES, CheckCall
from pdp.transports.messages import AUTHORIZATION, Wire, descriptor_files, new_pool
from pdp.transports.readiness import Ready, is_ready

HEALTH = "grpc.health.v1.Health"

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


@dataclass(frozen=True, slots=True)
class GrpcListener:
    """An address (`127.0.0.1:9191`, `[::1]:9191`, `unix:/run/pdp.sock`; port 0 takes a free one) and who asks there."""

    address: str
    gateway: Gateway


@contextlib.asynccontextmanager
async def serve_grpc(
    decider: Decider,
    listeners: Sequence[GrpcListener],
    *,
    clock_us: Callable[[], int],
    ready: Ready,
    metrics: Metrics,
    acr_values: Mapping[str, str],
    message_bytes: int = MESSAGE_BYTES,
    reflection: bool = True,
    grace_s: float = 5.0,
) -> AsyncIterator[tuple[str, ...]]:
    """Answer on every listener for as long as the context lasts; it gives the bound addresses, in their order.

    `clock_us` gives Unix microseconds. `message_bytes` is the largest CheckRequest that is read. At the end no new call
    is taken, and those under way have `grace_s` seconds.
    Errors: ConfigError N201 not a loopback or Unix address, N202 an address that cannot be bound. None runs then.
    """
    targets = [_local(listener) for listener in listeners]
    running: list[tuple[grpc.aio.Server, CheckCall]] = []
    addresses: list[str] = []
    try:
        for listener, target in zip(listeners, targets, strict=True):
            call = CheckCall(
                decider,
                listener.gateway,
                clock_us=clock_us,
                metrics=metrics,
                acr_values=acr_values,
                message_bytes=message_bytes,
            )
            server = grpc.aio.server(options=OPTIONS)
            running.append((server, call))
            server.add_generic_rpc_handlers((_authorization(call), _health(ready)))
            if reflection:
                _reflect(server)
            addresses.append(_bind(server, listener, target))
        for server, _ in running:
            await server.start()
        yield tuple(addresses)
    finally:
        await asyncio.gather(*(_stop(server, call, grace_s) for server, call in running))


async def _stop(server: grpc.aio.Server, call: CheckCall, grace_s: float) -> None:
    """End one listener. Who still waits when most of the grace is over is refused, before the transport cuts it off."""
    ending = asyncio.ensure_future(server.stop(grace_s))
    await asyncio.wait({ending}, timeout=grace_s * 0.8)
    await call.close()
    await ending


def _local(listener: GrpcListener) -> str:
    """The address as gRPC wants it; ConfigError N201 unless no other host can reach it."""
    if listener.address.startswith("unix:"):
        return listener.address
    host, _, port = listener.address.rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdecimal() or int(port) > 65535:
        detail = f"listener {listener.address} of gateway {listener.gateway.name}: this listener is not encrypted"
        raise ConfigError("N201", f"{detail}; give it a loopback address with a port, or unix:PATH")
    return listener.address


def _bind(server: grpc.aio.Server, listener: GrpcListener, target: str) -> str:
    """Bind `target`, the address of `listener`; the address it then has."""
    path = Path(target.removeprefix("unix:")) if target.startswith("unix:") else None
    if path is not None and _taken(path):
        raise _unusable(listener, "something else is there")
    try:
        port = server.add_insecure_port(target)
    except RuntimeError as error:
        raise _unusable(listener, "the port is in use, or the address is not of this host") from error
    return target if path is not None else f"{target.rpartition(':')[0]}:{port}"


def _unusable(listener: GrpcListener, cause: str) -> ConfigError:
    detail = f"cannot listen on {listener.address} for gateway {listener.gateway.name}: {cause}"
    return ConfigError("N202", f"{detail}; free it or change the address of the listener")


def _taken(path: Path) -> bool:
    """Whether `path` is anything but free or a socket that nobody listens on any more, which gRPC would replace."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    if not stat.S_ISSOCK(mode):
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True


def _authorization(call: CheckCall) -> grpc.GenericRpcHandler[Any, Any]:
    async def check(data: bytes, context: Wire) -> bytes:
        return await call.answer(data, context.invocation_metadata() or (), context.time_remaining())

    return grpc.method_handlers_generic_handler(AUTHORIZATION, {"Check": grpc.unary_unary_rpc_method_handler(check)})


def _health(ready: Ready) -> grpc.GenericRpcHandler[Any, Any]:
    async def check(request: Wire, context: Wire) -> Wire:
        if request.service not in {"", AUTHORIZATION}:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if is_ready(ready) else status.NOT_SERVING)

    method = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(HEALTH, {"Check": method})


def _reflect(server: grpc.aio.Server) -> None:
    files = (*descriptor_files(), health_pb2.DESCRIPTOR.serialized_pb, reflection_pb2.DESCRIPTOR.serialized_pb)
    names = (AUTHORIZATION, HEALTH, grpc_reflection.SERVICE_NAME)
    grpc_reflection.enable_server_reflection(names, server, pool=new_pool(files))
