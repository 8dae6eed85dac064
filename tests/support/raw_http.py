"""HTTP/1.1 by hand: the bytes of a request as the test wants them, and what came back."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Self

PATIENCE_S = 10.0


class RawHttp:
    """A connection to a loopback port, made anew whenever the other side has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def ask(self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes = b"") -> int:
        """The status of the answer to one request; 0 where the connection was closed without one."""
        lines = [b"%s %s HTTP/1.1" % (method, target), *(b"%s: %s" % header for header in headers)]
        request = b"\r\n".join(lines) + b"\r\n\r\n" + body
        for fresh in (False, True):
            kept = self._socket is not None
            status = self._exchange(request)
            if status or fresh or not kept:  # a connection that was kept may have been closed meanwhile
                return status
        return 0

    def _exchange(self, request: bytes) -> int:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)
                self._left = b""
            self._socket.sendall(request)
            return self._answer()
        except OSError:
            self._close()
            return 0

    def _answer(self) -> int:
        while b"\r\n\r\n" not in self._left:
            if not self._more():
                return 0
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        fields = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(b":") for x in head.split(b"\r\n"))
        }
        status = int(head.split(b" ", 2)[1])
        length = fields.get(b"content-length")
        if length is None or fields.get(b"connection", b"").lower() == b"close":
            self._close()
            return status
        while len(self._left) < int(length):
            if not self._more():
                return status
        self._left = self._left[int(length) :]
        return status

    def _more(self) -> bool:
        assert self._socket is not None
        data = self._socket.recv(65_536)
        self._left += data
        if not data:
            self._close()
        return bool(data)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
