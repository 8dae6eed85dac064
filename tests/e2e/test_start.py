"""How the service starts: on a built policy, in an environment, on a folder that broke since; and its warnings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.asking import Asker, check_request
from tests.support.crowded import multiplied
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp, compilers

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"


def _health(served: ServedPdp) -> int:
    with Asker(served.address) as asker:
        return asker.ask(check_request("GET", "ledger.example", "/health", service="ledger")).code


def _readiness(served: ServedPdp) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.http_port}/readyz", timeout=5) as answer:
        found = json.loads(answer.read())
    assert isinstance(found, dict)
    return found


def test_a_built_policy_is_served_by_its_digest_and_by_no_other(tmp_path: Path) -> None:
    served = ServedPdp(tmp_path, tmp_path / "built", [TestIssuer()])
    built = served.run("check", str(POLICY), "--build", str(tmp_path / "built"))
    assert built.returncode == 0, built.stderr
    digest = re.search(r'bundle_digest = "([0-9a-f]{64})"', built.stdout)
    assert digest is not None
    text = served.config.read_text()
    served.config.write_text(f'bundle_digest = "{"0" * 64}"\n{text}')
    with pytest.raises(AssertionError, match="asks for 0000"):
        served.start()
    served.config.write_text(text)
    with pytest.raises(AssertionError, match="P135"):
        served.start()
    served.config.write_text(f"{digest[0]}\n{text}")
    served.start()
    try:
        assert _health(served) == 0
        shutil.copy(served.config, tmp_path / "built")  # another file in its place
        done = served.run("admin", "reload", "--state", str(served.state))
        assert done.returncode == 1
        assert "bundle_digest" in done.stdout
        assert _health(served) == 0
    finally:
        served.stop()
    served.start()  # its own policy is the one that is pinned
    served.stop()
    assert "the policy of the last run decides" in served.output.read_text()
    served.config.write_text(f'bundle_digest = "{"0" * 64}"\n{text}')
    with pytest.raises(AssertionError, match="asks for 0000"):
        served.start()


def test_a_folder_that_broke_since_leaves_the_last_good_policy_and_readiness_says_so(tmp_path: Path) -> None:
    policies = Path(shutil.copytree(POLICY, tmp_path / "policies"))
    served = ServedPdp(tmp_path, policies, [TestIssuer()])
    served.start()
    served.stop()
    (policies / "cases.pol").write_text("module cases\nallow everything")
    served.start()
    try:
        assert _health(served) == 0
        warnings = " ".join(map(str, _readiness(served)["warnings"]))  # type: ignore[call-overload]  # a list
        assert "is refused: policy" in warnings
        assert "stays in force" in warnings
        status = json.loads(served.run("admin", "status", "--state", str(served.state), "--json").stdout)
        assert "stays in force" in status["warnings"]
        assert "the policy of the last run decides" in served.output.read_text()
    finally:
        served.stop()


def test_a_start_warns_of_what_does_not_fit_the_configuration(tmp_path: Path) -> None:
    served = ServedPdp(tmp_path, POLICY, [TestIssuer("https://other.example")], gateway='services = ["payroll"]')
    served.start()
    try:
        told = served.output.read_text()
        assert "no token kind for the issuer https://other.example" in told
        assert "the issuer https://id.example of the token kind `user` is not configured" in told
        assert "the gateway edge may ask about `payroll`" in told
        assert "`trial` is observed until 2099-01-01" in told
        assert _readiness(served)["warnings"] == ["`trial` is observed until 2099-01-01T00:00:00Z"]
    finally:
        served.stop()


def test_a_service_that_must_not_be_observed_keeps_the_service_from_starting(tmp_path: Path) -> None:
    policies = Path(shutil.copytree(POLICY, tmp_path / "policies"))
    text = (policies / "desk.pol").read_text()
    text = text.replace("import cases (user)", "import cases (user, money)")
    (policies / "desk.pol").write_text(text.replace("POST /try/{owner}", "POST /try/{owner} tagged money"))
    served = ServedPdp(tmp_path, policies, [TestIssuer()], extra='never_observe = ["money"]')
    with pytest.raises(AssertionError, match="`trial` is observed, and"):
        served.start()


def test_the_environment_of_the_command_line_is_served(tmp_path: Path) -> None:
    (tmp_path / "policies" / "settings").mkdir(parents=True)
    (tmp_path / "policies" / "settings" / "prod.toml").write_text('place = "ledger.example"\n')
    (tmp_path / "policies" / "a.pol").write_text(
        "module a\nsetting place: string\nservice ledger {\n  audience none\n  host place\n"
        '  endpoint health GET /health\n}\nallow anyone_asks\n  for anyone\n  on ledger.health\n  because "health"\n'
    )
    served = ServedPdp(tmp_path, tmp_path / "policies", [TestIssuer()])
    with pytest.raises(AssertionError, match="prod"):
        served.start()
    served.start([*served.command(), "--settings", "prod"])
    try:
        assert _health(served) == 0
    finally:
        served.stop()


def test_a_service_that_is_told_to_end_while_its_first_policy_is_compiled_ends(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "big.pol").write_bytes(multiplied(900, 4, 450))
    served = ServedPdp(tmp_path, tmp_path / "policies", [TestIssuer()])
    with (
        served.output.open("wb") as output,
        subprocess.Popen(served.command(), cwd=ROOT, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        deadline = time.monotonic() + 30
        while not compilers(process.pid):
            assert process.poll() is None, served.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.terminate()
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert "ready" not in served.output.read_text()
    assert (served.state / "log").is_dir()
