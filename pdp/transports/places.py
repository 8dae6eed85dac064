"""Where listeners listen: addresses as the configuration writes them, and what may be bound there.

An address is `127.0.0.1:9191`, `[::1]:9191`, `localhost:9191` or `unix:/run/pdp.sock`; port 0 takes a free one. HTTP is
served at a socket that is made here, gRPC binds its own.
SECURITY: a Unix socket is made for its owner and its group (0660). It replaces one that nobody listens at any more, and
nothing else: a file, a folder or a live socket in its place stays.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from pdp.errors import ConfigError

SOCKET_MODE = 0o660
UNIX = "unix:"


def socket_path(address: str) -> Path | None:
    """The path of a Unix socket; None for another address."""
    return Path(address.removeprefix(UNIX)) if address.startswith(UNIX) else None


def split_address(address: str) -> tuple[str, int] | None:
    """Host (without brackets) and port of an address; None where it has no port."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or len(port) > 5 or int(port) > 65535:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this host can speak from or to `host`, an IP address; a name is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address.is_loopback if mapped is None else mapped.is_loopback


def is_taken(path: Path) -> bool:
    """Whether `path` is anything but free or a socket that nobody listens at any more."""
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


@contextlib.contextmanager
def listening_at(address: str, *, anywhere: bool, key: str) -> Iterator[socket.socket]:
    """A socket that listens at `address` while the context lasts; that of a path is gone afterwards.

    `anywhere`: it may be where other hosts can reach it. `key` is what the configuration calls the address.
    Errors: ConfigError N101 it cannot be bound, N102 other hosts can reach it.
    """
    path = socket_path(address)
    try:
        listening = _listening(address) if path is None else _listening_on(path)
    except (OSError, ValueError) as error:
        detail = f"cannot listen on {address}: {error}; free it or change {key}"
        raise ConfigError("N101", detail) from error
    with listening:
        if path is not None:
            with _removed(path):
                yield listening
        elif anywhere or is_loopback(listening.getsockname()[0]):
            yield listening
        else:
            detail = f"the HTTP listener {address} is not encrypted: give it a certificate, or an address of this host"
            raise ConfigError("N102", f"{detail} alone")


def address_of(address: str, listening: socket.socket) -> str:
    """The address that a listener at `address` has, with its port."""
    return address if socket_path(address) else f"{address.rpartition(':')[0]}:{listening.getsockname()[1]}"


def _listening(address: str) -> socket.socket:
    """Errors: OSError, ValueError (no address with a port)."""
    place = split_address(address)
    if place is None:
        raise ValueError("it is no address with a port")
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where it sees that the protocol is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


def _listening_on(path: Path) -> socket.socket:
    """Errors: OSError, ValueError (something else is there)."""
    if is_taken(path):
        raise ValueError("something else is there")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        path.chmod(SOCKET_MODE)
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Afterwards nothing is at `path`, unless somebody has put something else there meanwhile."""
    ours = path.lstat().st_ino
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.lstat().st_ino == ours:
                path.unlink()
