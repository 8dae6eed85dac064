"""An HTTP/1.1 server that keeps what it was sent as bytes, and answers as it is told: an upstream, or a double."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

from msgspec import Struct

Pairs = tuple[tuple[str, str], ...]
PATIENCE_S = 20.0


class Received(Struct, frozen=True):
    """A request as it came; names of headers in lower case, bytes that are not UTF-8 as surrogate escapes."""

    method: bytes
    target: bytes
    headers: Pairs
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key == name]


class Reply(Struct, frozen=True):
    """What is answered. A status of 0 is no answer: the connection stays open until the server ends."""

    status: int = 200
    headers: Pairs = ()
    body: bytes = b"ok"


class RawServer:
    """Listens on a free loopback port, or on a Unix socket, while the block runs."""

    def __init__(
        self,
        answer: Callable[[Received], Reply] = lambda _: Reply(),
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.received: list[Received] = []
        self.answer = answer
        self._listening = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self._listening.bind(("127.0.0.1", 0) if path is None else path)
        self.port = 0 if path is not None else int(self._listening.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listening.listen(64)
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, whether or not it listened."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def taken(self) -> list[Received]:
        """What was received since the last time."""
        with self._lock:
            found = list(self.received)
            self.received.clear()
        return found

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE_S)
            with self._lock:
                self._open.add(connection)
            self._run(lambda held=connection: self._serve(held))  # type: ignore[misc]

    def _serve(self, plain: socket.socket) -> None:
        try:
            connection = plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True)
        except OSError:  # a certificate that one side does not believe
            plain.close()
            return
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while (received := _request(stream.readline, stream.read)) is not None:
                with self._lock:
                    self.received.append(received)
                reply = self.answer(received)
                if reply.status == 0:
                    self._ended.wait(PATIENCE_S)
                    return
                connection.sendall(_written(received.method, reply))


def _request(line: Callable[[], bytes], read: Callable[[int], bytes]) -> Received | None:
    first = line().rstrip(b"\r\n").split(b" ")
    if len(first) < 3:
        return None
    headers: list[tuple[str, str]] = []
    while one := line().rstrip(b"\r\n"):
        name, _, value = one.decode("utf-8", "surrogateescape").partition(":")
        headers.append((name.lower(), value.strip(" \t")))
    said = dict(headers)
    if said.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(line().split(b";")[0], 16):
            body += read(size)
            line()
        line()
    else:
        body = read(int(said.get("content-length", "0")))
    return Received(first[0], b" ".join(first[1:-1]), tuple(headers), body)


def _written(method: bytes, reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} said", f"content-length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if method == b"HEAD" else head + reply.body
