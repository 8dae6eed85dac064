"""A small witness: real HTTP on loopback, one SQLite file, check and record in one transaction.

Written from C2SP tlog-witness and on `tests.support.second_tlog` alone, so that our client talks to a stranger.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support import second_tlog as tlog

Reply = tuple[int, str, bytes]


class Witness:
    """What a witness knows and answers. `logs` are the log keys, as text; `spoil` changes answers of status 200."""

    def __init__(self, database: Path, name: str, seed: bytes, logs: list[str], now_s: Callable[[], int]) -> None:
        self.database = database
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        self.logs = logs
        self.now_s = now_s
        self.asked: list[bytes] = []
        self.spoil: Callable[[Reply], Reply] = lambda reply: reply
        self.url = ""
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("create table if not exists heads (origin blob primary key, size integer, root blob)")

    @property
    def vkey(self) -> str:
        return tlog.vkey(self.name, 4, self.key.public_key().public_bytes_raw())

    def add_checkpoint(self, body: bytes) -> Reply:
        """The answer to one call."""
        self.asked.append(body)
        head, blank, note = body.partition(b"\n\n")
        lines = head.split(b"\n")
        if not blank or not lines[0].startswith(b"old ") or len(lines) > 64:
            return 400, "text/plain", b"malformed\n"
        old, proof = int(lines[0][4:]), [b64decode(line, validate=True) for line in lines[1:]]
        text, _ = tlog.split(note)
        tree = tlog.read_checkpoint(text)
        keys = [key for key in self.logs if key.partition("+")[0].encode() == tree.origin]
        if not keys:
            return 404, "text/plain", b"unknown log\n"
        if not any(tlog.is_signed(note, key) for key in keys):
            return 403, "text/plain", b"unknown key\n"
        if old > tree.size:
            return 400, "text/plain", b"old is larger\n"
        return self._record(old, tree, proof, text)

    def _record(self, old: int, tree: tlog.Tree, proof: list[bytes], text: bytes) -> Reply:
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=10)) as connection:
            connection.execute("begin immediate")
            row = connection.execute("select size, root from heads where origin = ?", (tree.origin,)).fetchone()
            size, root = row or (0, b"")
            if old != size:
                return 409, "text/x.tlog.size", b"%d\n" % size
            if old == tree.size and row and root != tree.root:
                return 409, "text/plain", b"another root\n"
            if (proof and not old) or (old and not tlog.is_consistent(old, root, tree.size, tree.root, proof)):
                return 422, "text/plain", b"no proof\n"
            connection.execute("replace into heads values (?, ?, ?)", (tree.origin, tree.size, tree.root))
            connection.execute("commit")
        return self.spoil((200, "text/plain", tlog.cosignature(text, self.name, self.key, self.now_s())))


class Server(ThreadingHTTPServer):
    """A client that leaves in the middle is nothing to tell of."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(*witnesses: Witness) -> Iterator[None]:
    """The witnesses on one port; each gets its `url`."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            by_path = {f"/{number}/add-checkpoint": witness for number, witness in enumerate(witnesses)}
            status, kind, answer = by_path[self.path].add_checkpoint(body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_request(self, *_: object) -> None:
            """Nothing is printed."""

    server = Server(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for number, witness in enumerate(witnesses):
        witness.url = f"http://127.0.0.1:{server.server_port}/{number}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
