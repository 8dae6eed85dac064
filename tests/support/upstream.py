"""An upstream that remembers what reached it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class RecordingUpstream:
    """HTTP on a free loopback port; answers 200 to everything. `received` is (method, target as sent, headers)."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, list[tuple[str, str]]]] = []
        received = self.received

        class Recorder(BaseHTTPRequestHandler):
            def _record(self) -> None:
                received.append(
                    (self.command, self.requestline.split(" ")[1], [(k.lower(), v) for k, v in self.headers.items()])
                )
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = do_PUT = do_DELETE = _record

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
