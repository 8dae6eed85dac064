"""The upstream of the demo: answers every call with the method, the path and the headers it received.

In: a port on 127.0.0.1. Out: 200, `text/plain`, one line each. A body is read and dropped. What stands behind a gateway
sees what the gateway let through: that is what this one is for.

Decision: 2026-11-21. The value of `authorization` is shown by its first characters only. The answer ends on terminals
and in their history, where a token that is good for an hour has no business.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pdp.demo.ports import LOOPBACK
from pdp.errors import ConfigError

SHOWN_OF_CREDENTIALS = 16
MOST_BODY_BYTES = 1_000_000
IDLE_S = 30


def describe(method: str, target: str, headers: Iterable[tuple[str, str]]) -> str:
    """The text of the answer: the request line, then each header as it came, repeats kept."""
    shown = [f"{name.lower()}: {_shown(name, value)}" for name, value in headers]
    return "\n".join(["the upstream received:", f"{method} {target}", *shown]) + "\n"


def _shown(name: str, value: str) -> str:
    if name.lower() != "authorization" or len(value) <= SHOWN_OF_CREDENTIALS:
        return value
    return f"{value[:SHOWN_OF_CREDENTIALS]}... ({len(value)} characters)"


class _Answering(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def answer(self) -> None:
        length = self.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES or "transfer-encoding" in self.headers:
            self.close_connection = True
        else:
            self.rfile.read(int(length))
        body = describe(self.command, self.path, self.headers.items()).encode(errors="replace")
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Nothing: the gateway keeps the access log."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - http.server's names


@contextmanager
def running_upstream(port: int) -> Iterator[int]:
    """Answer on 127.0.0.1:`port` (0: any free one) while the block runs; give the port.

    Errors: ConfigError D120 when the port cannot be taken.
    """
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), _Answering)
    except OSError as error:
        raise ConfigError("D120", f"the demo upstream cannot listen on port {port}: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="upstream", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
