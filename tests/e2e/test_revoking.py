"""`pdp admin revoke` against a running service: the next decision refuses, also after a kill, and it is in the log."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp
from tests.support.records import all_records

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"


def _code(served: ServedPdp, token: str) -> int:
    with Asker(served.address) as asker:
        headers = {"authorization": f"Bearer {token}"}
        data = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
        return asker.ask(data, timeout_s=5.0).code


def _revoke(served: ServedPdp, *arguments: str) -> subprocess.CompletedProcess[str]:
    return served.run("admin", "revoke", *arguments, "--state", str(served.state))


def test_a_session_that_is_revoked_is_over_at_the_next_call_and_stays_so(tmp_path: Path) -> None:
    issuer = TestIssuer()
    claims = {"sub": "u1", "accounts": ["a1"], "aud": "ledger"}
    tokens = [issuer.mint({**claims, "sid": sid}, int(time.time())) for sid in ("s1", "s2")]
    served = ServedPdp(tmp_path, POLICY, [issuer])
    served.start()
    try:
        assert [_code(served, token) for token in tokens] == [0, 0]
        done = _revoke(served, "session", "s1", "--issuer", issuer.url)
        assert (done.returncode, "revoked" in done.stdout) == (0, True), done
        assert [_code(served, token) for token in tokens] == [16, 0]
        served.kill()
        served.start()
        assert [_code(served, token) for token in tokens] == [16, 0]
        assert _revoke(served, "session", "s1", "--issuer", issuer.url, "--withdraw").returncode == 0
        assert [_code(served, token) for token in tokens] == [0, 0]
        unknown = _revoke(served, "session", "s1", "--issuer", "https://other.example")
        assert (unknown.returncode, "is none of the configuration" in unknown.stdout) == (1, True), unknown
        assert _revoke(served, "session", "--issuer", issuer.url).returncode == 2
        assert served.stop() == 0
    finally:
        served.kill()
    leaves = all_records(served.state).values()
    assert [leaf.clear["verb"] for leaf in leaves if leaf.kind == "admin"].count("revoke") == 3
    refused = [leaf for leaf in leaves if leaf.clear.get("rc") == "token.revoked"]
    assert len(refused) == 2
    assert not any("s1" in str(dict(leaf.clear)) for leaf in leaves)
