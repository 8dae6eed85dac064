"""A served policy whose issuer is asked for its keys: rotation, an issuer that goes away, a start without it."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp, eventually

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
ISSUER = "https://id.example"
TABLE = """[[issuers]]
url = "https://id.example"
jwks_url = "http://127.0.0.1:{port}/keys"
algorithms = ["ES256"]
refresh_s = 1
cooldown_s = 1
max_stale_s = 3600
"""


class _Keys:
    """An issuer on a port: up or down, with the key set that is published now."""

    def __init__(self) -> None:
        self.port = free_port()
        self.published = b""
        self.asked = 0
        self._server: ThreadingHTTPServer | None = None

    def up(self) -> None:
        keys = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.asked += 1
                self.send_response(200)
                self.send_header("content-length", str(len(keys.published)))
                self.end_headers()
                self.wfile.write(keys.published)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Answers)
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def keys() -> Iterator[_Keys]:
    made = _Keys()
    made.up()
    yield made
    made.down()


def _code(served: ServedPdp, issuer: TestIssuer) -> int:
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
    headers = {"authorization": f"Bearer {token}"}
    with Asker(served.address) as asker:
        data = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
        return asker.ask(data, timeout_s=5.0).code


def _warnings(served: ServedPdp) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.http_port}/readyz", timeout=5) as answer:
        return str(json.load(answer)["warnings"])


def test_keys_turn_over_and_the_issuer_may_go_away(tmp_path: Path, keys: _Keys) -> None:
    first, second = TestIssuer(ISSUER, "first"), TestIssuer(ISSUER, "second")
    keys.published = json.dumps(first.key_set()).encode()
    served = ServedPdp(tmp_path, POLICY, [], extra=TABLE.format(port=keys.port))
    served.start()
    try:
        assert (_code(served, first), _code(served, second)) == (0, 16)
        keys.published = json.dumps({"keys": [*first.key_set()["keys"], *second.key_set()["keys"]]}).encode()
        eventually(lambda: _code(served, second) == 0)
        keys.down()
        eventually(lambda: "the keys of the issuer https://id.example are" in _warnings(served))
        assert (_code(served, first), _code(served, second)) == (0, 0)
        assert served.stop() == 0
        served.start()  # while the issuer is down
        assert (_code(served, first), _code(served, second)) == (0, 0)
        keys.published = json.dumps(second.key_set()).encode()
        keys.up()
        eventually(lambda: _code(served, first) == 16)
        assert _code(served, second) == 0
        assert served.stop() == 0
    finally:
        served.kill()


def test_without_any_keys_it_is_ready_and_says_whose_tokens_are_refused(tmp_path: Path, keys: _Keys) -> None:
    keys.published = b"<html>not found</html>"
    served = ServedPdp(tmp_path, POLICY, [], extra=TABLE.format(port=keys.port))
    served.start()
    try:
        assert _code(served, TestIssuer(ISSUER, "first")) == 16
        assert "no keys of the issuer https://id.example count (set.json)" in _warnings(served)
        assert served.stop() == 0
    finally:
        served.kill()
