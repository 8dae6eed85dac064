"""Addresses that several workers listen at, each with a socket of its own (SO_REUSEPORT, Linux).

`claimed` keeps an address for the workers of one service: from then on nobody can listen there who does not say
SO_REUSEPORT too, under the same user; and nobody did before. `close_listening` takes a worker's own socket out of the
group while what it serves goes on.
INVARIANT: of two services that claim one address, whenever they do so, one is refused.
Source: socket(7) SO_REUSEPORT; the order of the steps in `claimed` was tried on Linux 6.18.

Decision: 2026-11-22. Connections that wait to be accepted when a listening socket is shut are reset: this takes some
microseconds, and only who connects in them learns of it. What keeps its connections does not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from pdp.transports.places import split_address


@contextlib.contextmanager
def claimed(address: str) -> Iterator[str]:
    """Keep an address with a port while the context lasts; it gives the address, with the port that 0 came to.

    Errors: OSError somebody listens there or has claimed it, or it is not of this host; ValueError it has no port.
    """
    place = split_address(address)
    if place is None:
        raise ValueError("it is no address with a port")
    host, port = place
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as claim:
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier service may linger
        claim.bind((host, port or _free_port(claim.family, host)))  # a port that was asked for is kept by shutdown
        claim.listen(1)  # fails where another has claimed it
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # from here on nobody binds without SO_REUSEPORT
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        claim.shutdown(socket.SHUT_RD)  # it is given no connections, and stays bound
        yield f"{address.rpartition(':')[0]}:{claim.getsockname()[1]}"


def _free_port(family: socket.AddressFamily, host: str) -> int:
    with socket.socket(family, socket.SOCK_STREAM) as free:
        free.bind((host, 0))
        return int(free.getsockname()[1])


def close_listening(ports: Collection[int], spared: Collection[socket.socket] = ()) -> None:
    """Shut every TCP socket of this process that listens at one of `ports`, whoever made it, but those `spared`: they
    are shared with others, who would lose them too.
    """
    inodes = {os.fstat(each.fileno()).st_ino for each in spared}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are what is wanted
        with contextlib.suppress(OSError):  # what was listed may be gone
            about = Path("/proc/self/fd", name).stat()
            if stat.S_ISSOCK(about.st_mode) and about.st_ino not in inodes:
                _close_listening(int(name), ports)


def _close_listening(descriptor: int, ports: Collection[int]) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as found:
        if found.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and found.getsockname()[1] in ports:
            found.shutdown(socket.SHUT_RD)
