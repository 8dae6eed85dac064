"""Real gateways with the configurations of `pdp new --gateway`, in front of recording servers, for one test module."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from pdp.gateway_files.setting import Behind, Setting, Tcp, Way
from tests.support.ports import free_port
from tests.support.process import ROOT
from tests.support.raw_server import Pairs, RawServer

READY_WITHIN_S = 20.0
PATIENCE_S = 15.0
GUARDED = ("x-mask", "x-subject")


def binary(variable: str, *names: str) -> Path | None:
    """The program that the variable names, or one of the names on the path or below build/; None where there is none.

    The variable's word `none` says that there is none.
    """
    named = os.environ.get(variable)
    if named:
        return None if named == "none" else Path(named)
    for name in names:
        file = ROOT / "build" / "gateways" / f"{name}.path"
        if file.exists() and (text := file.read_text().strip()) != "none":
            return Path(text)
        if found := shutil.which(name):
            return Path(found)
    return None


def two_services(listen: int, way: Way, upstreams: Sequence[int], origins: tuple[str, ...] = ()) -> Setting:
    """`ledger` and `other`, each with an upstream of its own."""
    behind = tuple(
        Behind(name, (f"{name}.example",), Tcp("127.0.0.1", port), ("GET", "POST"))
        for name, port in zip(("ledger", "other"), upstreams, strict=True)
    )
    return Setting("edge", Tcp("127.0.0.1", listen), way, behind, GUARDED, ("authorization",), origins)


class Answer(Struct, frozen=True):
    """What a client got; a status of 0 where the connection was closed without an answer."""

    status: int
    headers: Pairs
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key == name]


class Edge(Struct, frozen=True):
    """A running gateway. `asked` is what it asks, `upstreams` what stands behind it, by service."""

    port: int
    asked: RawServer
    upstreams: Mapping[str, RawServer]

    def send(self, request: bytes) -> Answer:
        """One request on a connection of its own, as bytes."""
        return sent(self.port, request)

    def call(
        self, target: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = b"ledger.example", body: bytes = b""
    ) -> Answer:
        """One request, laid out in the usual way; `headers` as whole lines."""
        lines = [b"%s %s HTTP/1.1" % (method, target), b"host: " + host, *headers, b"connection: close"]
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def clear(self) -> None:
        """Forget what was received so far."""
        for each in (self.asked, *self.upstreams.values()):
            each.taken()


def sent(port: int, request: bytes) -> Answer:
    """What a loopback port answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        data = b""
        try:
            connection.sendall(request)
            while more := connection.recv(65_536):
                data += more
                if _is_whole(data, request.startswith(b"HEAD ")):
                    break
        except ConnectionError:
            pass
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if len(lines[0].split(" ")) < 2:
        return Answer(0, (), b"")
    headers = tuple((name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines[1:]))
    return Answer(int(lines[0].split(" ")[1]), headers, body)


def _is_whole(data: bytes, head_only: bool) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found or head_only:
        return bool(found)
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
        if line.startswith(b"transfer-encoding:"):
            return body.endswith(b"0\r\n\r\n")
    return False


@contextmanager
def running(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """A gateway as a process, from when it listens."""
    log = folder / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, start_new_session=True)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"nothing listens:\n{log.read_text()}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Configure = Callable[[Setting, Path], Sequence[str]]
"""Writes a gateway's files into a folder; gives the command that starts it."""


@contextmanager
def edge(
    configure: Configure, folder: Path, asked: RawServer, way: Way | None = None, *, listening: bool = True
) -> Iterator[Edge]:
    """A gateway in front of two upstreams, which asks `asked`, at its port or by `way`."""
    port = free_port()
    with RawServer() as ledger, RawServer() as other, asked if listening else closing(asked):
        setting = two_services(port, way or Tcp("127.0.0.1", asked.port), (ledger.port, other.port))
        with running(configure(setting, folder), port, folder):
            found = Edge(port, asked, {"ledger": ledger, "other": other})
            await_routes(found)
            yield found


def await_routes(found: Edge) -> None:
    """Wait until the gateway knows its routes: Traefik listens earlier."""
    deadline = time.monotonic() + READY_WITHIN_S
    while found.call(b"/ready").status == 404:
        assert time.monotonic() < deadline, "the gateway has no routes"
        time.sleep(0.05)
