"""The five ports of the demo: which they are, and whether they are free.

In: the numbers asked for, 0 for any free one. Out: `Ports`, or a ConfigError that names every port in use, one line
each, with its remedy. A port that was free a moment ago may be taken before its listener starts: the listener's own
error holds then.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import asdict

from pdp.errors import ConfigError

LOOPBACK = "127.0.0.1"

WHO = {
    "gateway": ("the gateway", "GATEWAY_PORT"),
    "grpc": ("ext_authz over gRPC", "GRPC_PORT"),
    "http": ("health and metrics over HTTP", "HTTP_PORT"),
    "upstream": ("the demo upstream", "UPSTREAM_PORT"),
    "issuer": ("the staff's issuer", "ISSUER_PORT"),
}


class Ports(Struct, frozen=True):
    """TCP ports on 127.0.0.1; 0 stands for any free one until `claim` has chosen."""

    gateway: int = 8080
    grpc: int = 9191
    http: int = 8181
    upstream: int = 8282
    issuer: int = 8383


def claim(wanted: Ports) -> Ports:
    """Give `wanted` with each 0 replaced by a free port.

    Errors: ConfigError D101 when a port is in use, may not be taken or is named twice; its detail has a line for
    each.
    """
    held: list[socket.socket] = []
    chosen: dict[str, int] = {}
    complaints: list[str] = []
    try:
        for name, port in asdict(wanted).items():
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(listener)
            # As the listeners themselves do: connections of an earlier run that are still closing take no port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
                listener.listen()
            except OSError as error:
                complaints.append(_complaint(name, port, error))
            else:
                chosen[name] = listener.getsockname()[1]
    finally:
        _close(held)
    if complaints:
        raise ConfigError("D101", "\n".join(complaints))
    return Ports(**chosen)


def _complaint(name: str, port: int, error: OSError) -> str:
    who, variable = WHO[name]
    return (
        f"port {port} ({who}) cannot be taken: {(error.strerror or str(error)).lower()}; "
        f"end what listens there, or choose another with `make serve {variable}={_other(port)}`"
    )


def _other(port: int) -> int:
    return port + 1000 if port + 1000 < 2**16 else port - 1000


def _close(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()
