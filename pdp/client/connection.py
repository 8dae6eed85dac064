"""How the client reaches the service: which channel, how long it waits, when it asks again.

An address, TLS and options come in, arguments of a gRPC channel come out. Pure but for what a caller gives.
SECURITY: in clear only to this host: an address elsewhere without TLS is the caller's mistake, told at once. No proxy
of the environment and no service configuration of a name server has a say.

Decision: 2026-11-21. A call is made again only when nothing of it can have left: the connection could not be made. What
was sent may have been decided and recorded, and a caller that wants a second record asks itself. The transport's own
words for that are compared, since it has no code for it; where they change, nothing is made again. What the transport
itself makes again is what the other side says it never looked at (RFC 9113 8.7).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from pdp.client.errors import LONGEST_DETAIL

DEFAULT_TIMEOUT_S = 1.0

NEVER_SENT = ("failed to connect to all addresses", "DNS resolution failed", "empty address list")
"""How the details of an UNAVAILABLE begin where no connection could be made."""

MOST_REPLY_BYTES = 16 * 1024 * 1024

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", MOST_REPLY_BYTES),
)

Options = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """An encrypted connection: PEM, as bytes.

    `authorities` sign the certificate of the service (None: those that gRPC brings along). `certificate` (with its
    chain) and `private_key` say who asks; both or neither. `server_name` is what the certificate of the service must
    say where that is not the host of the address. Errors: ValueError for one half of a pair.
    """

    authorities: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("give `certificate` and `private_key`, or neither")

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC calls it."""
        return grpc.ssl_channel_credentials(self.authorities, self.private_key, self.certificate)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call that was never sent is made again (0: not at all), and how long to wait before each time: at
    first `first_s` seconds, then twice as long each time, at most `longest_s`; of that a part between the half and the
    whole, as `jitter` says.
    """

    most: int = 3
    first_s: float = 0.05
    longest_s: float = 0.5

    def pause_s(self, attempt: int, left_s: float, jitter: Callable[[], float]) -> float | None:
        """How long to wait before attempt `attempt` (the second is 1); None where there is to be none.

        `left_s` is the time until the deadline. `jitter` gives a number from 0 to below 1.
        """
        if attempt > self.most:
            return None
        pause_s = min(self.longest_s, self.first_s * 2 ** (attempt - 1)) * (1 + jitter()) / 2
        return pause_s if pause_s < left_s else None


def options_of(address: str, tls: Tls | None) -> Options:
    """The options of a channel to `address`. Errors: ValueError for one in clear that another host could read."""
    if tls is None and not _is_local(address):
        raise ValueError(f"`{address[:LONGEST_DETAIL]}` {_not_local(address)}")
    named = () if tls is None or tls.server_name is None else (("grpc.ssl_target_name_override", tls.server_name),)
    return (*_OPTIONS, *named)


def was_never_sent(code: grpc.StatusCode | None, details: str | None) -> bool:
    """Whether a call that failed so cannot have reached anybody."""
    return code is grpc.StatusCode.UNAVAILABLE and (details or "").startswith(NEVER_SENT)


def checked_timeout(timeout_s: float) -> float:
    """A time that a call may take. Errors: ValueError unless it is positive and finite."""
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError("`timeout_s` must be a positive number of seconds")
    return timeout_s


def _not_local(address: str) -> str:
    """Why an address may not be asked in clear, and what to do."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return "has no port: write HOST:PORT, or unix:PATH"
    if host == "localhost":
        return f"is a name, which may lead elsewhere: write 127.0.0.1:{port}, or give `tls`"
    return "is not an address of this host: give `tls`"


def _is_local(address: str) -> bool:
    """Whether only this host can be meant: a Unix socket, or a loopback address with a port."""
    if address.startswith("unix:"):
        return True
    host, _, port = address.rpartition(":")
    try:
        return port.isdecimal() and ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
