"""The small HTTP servers of the demo, each a thread: what a call asks comes in, what is answered goes out.

On 127.0.0.1 alone, HTTP/1.1, one text for each call; a body is read and dropped. Nothing is logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import BaseServer

from msgspec import Struct

from pdp.demo.ports import LOOPBACK
from pdp.errors import ConfigError

MOST_BODY_BYTES = 1_000_000
IDLE_S = 30


class Asked(Struct, frozen=True):
    """A call: `target` is path and query as they came, `headers` each as it came, repeats kept."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]


class Answered(Struct, frozen=True):
    """What is answered."""

    text: str
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


Answer = Callable[[Asked], Answered]
"""Called from several threads at once."""


class _Answering(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def __init__(self, request: socket, client_address: tuple[str, int], server: BaseServer, *, answer: Answer) -> None:
        self._answer = answer  # before the call: the base class answers within it
        super().__init__(request, client_address, server)

    def answer(self) -> None:
        length = self.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES or "transfer-encoding" in self.headers:
            self.close_connection = True
        else:
            self.rfile.read(int(length))
        answered = self._answer(Asked(self.command, self.path, tuple(self.headers.items())))
        body = answered.text.encode(errors="replace")
        self.send_response(answered.status)
        self.send_header("content-type", answered.content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Nothing: the gateway keeps the access log."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - http.server's names


@contextmanager
def serving(name: str, port: int, answer: Answer) -> Iterator[int]:
    """Answer on 127.0.0.1:`port` (0: any free one) while the block runs; give the port. `name` says who, in errors.

    Errors: ConfigError D120 when the port cannot be taken.
    """
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), partial(_Answering, answer=answer))
    except OSError as error:
        raise ConfigError("D120", f"{name} cannot listen on port {port}: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name=name, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
