"""A policy whose compiled form once differed from its definition: the definition alone decides, and that is said."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path

from tests.support.asking import Answer, Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"


def _get(served: ServedPdp, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.http_port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def test_after_one_difference_nothing_passes_that_the_definition_refuses(tmp_path: Path) -> None:
    issuer = TestIssuer()
    served = ServedPdp(tmp_path, POLICY, [issuer], extra="compare_every = 3")
    served.start([sys.executable, "-m", "tests.support.faulty_serve", "differ", str(served.config)])
    try:
        token = issuer.mint({"sub": "u1", "aud": "desk"}, int(time.time()))
        call = check_request(
            "GET", "desk.example", "/hidden", service="desk", headers={"authorization": f"Bearer {token}"}
        )
        with Asker(served.address) as asker:
            answers: list[Answer] = [asker.ask(call) for _ in range(20)]
        assert [answer.http_status for answer in answers] == [200, 200, 503] + [404] * 17
        assert "the definition alone decides" in json.loads(_get(served, "/readyz"))["warnings"][0]
        assert "portcullis_policy_distrusted 1.0" in _get(served, "/metrics")
        assert "portcullis_disagreements_total 1.0" in _get(served, "/metrics")
        refused = answers[2].decision_id or ""
        shown = served.run("audit", "show", refused, "--why", "--state", str(served.state))
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "this is what the definition says" in shown.stdout
        assert "Denied by `desk.conceal`" in shown.stdout
    finally:
        served.stop()
    logged = b"".join(
        path.read_bytes() for path in (served.state / "log" / "tile" / "entries").rglob("*") if path.is_file()
    )
    assert logged.count(b'"k":"policy.distrusted"') == 1
