"""Loopback ports for servers that have to be told theirs.

A port that was free a moment ago may be another's by now: several tests run at once, and where both are Envoys, which
share a port (SO_REUSEPORT), neither fails, and each answers some of the other's calls. So a port is claimed with a lock
that lasts as long as the process, below those that the kernel hands out by itself.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

_FIRST, _COUNT = 20_000, 12_000
_CLAIMED: list[int] = []
"""The open files that hold the locks, until this process ends."""


def free_port() -> int:
    """A loopback port that nobody uses, and that no other test is given while this process lives."""
    start = os.getpid() * 61
    for number in range(start, start + _COUNT):
        port = _FIRST + number % _COUNT
        if _is_claimed(port):
            return port
    raise OSError(f"no port from {_FIRST} to {_FIRST + _COUNT - 1} is free")


def _is_claimed(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"portcullis-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(descriptor)
        return False
    _CLAIMED.append(descriptor)
    return True
