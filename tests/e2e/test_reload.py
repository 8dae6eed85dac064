"""Reload of a running service: what compiles is put in force, what does not is refused, what vanished waits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asking import Asker, check_request
from tests.support.crowded import multiplied
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp, compilers
from tests.support.records import all_records

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
FACTS = Path("facts") / "cases.shared_with.csv"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY, tmp_path / "policies"))


@pytest.fixture
def served(tmp_path: Path, policies: Path) -> Iterator[ServedPdp]:
    pdp = ServedPdp(tmp_path, policies, [TestIssuer()])
    pdp.start()
    try:
        yield pdp
    finally:
        pdp.stop()


def _health(served: ServedPdp) -> int:
    with Asker(served.address) as asker:
        return asker.ask(check_request("GET", "ledger.example", "/health", service="ledger")).code


def _status(served: ServedPdp) -> dict[str, object]:
    done = served.run("admin", "status", "--state", str(served.state), "--json")
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def _until(served: ServedPdp, policy: object) -> dict[str, object]:
    """The status once another policy is in force; the folder is looked at every second."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status = _status(served)
        if status["policy"] != policy:
            return status
        time.sleep(0.2)
    raise AssertionError(f"still {policy}: {served.output.read_text()}")


def test_an_edited_policy_is_put_in_force_by_itself(served: ServedPdp, policies: Path) -> None:
    before = _status(served)["policy"]
    assert _health(served) == 0
    text = (policies / "cases.pol").read_text()
    (policies / "cases.pol").write_text(text.replace("on ledger.health, internal_only.ping", "on internal_only.ping"))
    os.kill(served.pid, signal.SIGHUP)  # a look at once, beside the one every second
    _until(served, before)
    assert _health(served) != 0


def test_a_broken_policy_is_refused_and_the_last_good_one_keeps_deciding(served: ServedPdp, policies: Path) -> None:
    before = _status(served)["policy"]
    (policies / "cases.pol").write_text("module cases\nallow everything")
    done = served.run("admin", "reload", "--state", str(served.state))
    assert done.returncode == 1
    assert "error[E" in done.stdout
    assert "cases.pol:2" in done.stdout
    assert _status(served)["policy"] == before
    assert _health(served) == 0


def test_facts_that_do_not_fit_are_refused(served: ServedPdp, policies: Path) -> None:
    before = _status(served)["policy"]
    (policies / FACTS).write_text("account\na9\n")
    done = served.run("admin", "reload", "--state", str(served.state))
    assert done.returncode == 1
    assert "user" in done.stdout
    assert _status(served)["policy"] == before


def test_a_file_that_vanished_waits_for_confirmation(served: ServedPdp, policies: Path) -> None:
    (policies / "second.pol").write_text(
        'module second\ntoken robot {\n  issuer "https://robots.example"\n  claim sub: string\n}\n'
        'service second {\n  audience "second"\n  host "second.example"\n  endpoint ping GET /ping\n}\n'
        'allow robots_ping\n  for any robot\n  on second.ping\n  because "Robots may ping"\n'
    )
    done = served.run("admin", "reload", "--state", str(served.state))
    assert done.returncode == 0, done.stdout
    with_second = _status(served)["policy"]
    (policies / "second.pol").unlink()
    waiting = served.run("admin", "reload", "--state", str(served.state))
    assert waiting.returncode == 1
    assert "second.pol vanished" in waiting.stdout
    assert _status(served)["policy"] == with_second
    confirmed = served.run("admin", "reload", "--confirm", "--state", str(served.state))
    assert confirmed.returncode == 0, confirmed.stdout
    assert _status(served)["policy"] != with_second
    asked = [leaf.clear["verb"] for leaf in all_records(served.state).values() if leaf.kind == "admin"]
    assert (asked.count("reload"), asked.count("status")) == (3, 3)


def test_the_folder_gone_altogether_changes_nothing(served: ServedPdp, policies: Path) -> None:
    before = _status(served)["policy"]
    shutil.rmtree(policies)
    done = served.run("admin", "reload", "--confirm", "--state", str(served.state))
    assert done.returncode == 1
    assert _status(served)["policy"] == before
    assert _health(served) == 0


def test_the_service_ends_at_once_also_while_it_loads_a_large_policy(served: ServedPdp, policies: Path) -> None:
    (policies / "big.pol").write_bytes(multiplied(900, 4, 450))
    os.kill(served.pid, signal.SIGHUP)
    deadline = time.monotonic() + 60
    for compiling in (True, False):  # it is compiled, and then loaded
        while bool(compilers(served.pid)) is not compiling:
            assert time.monotonic() < deadline, served.output.read_text()
            time.sleep(0.01)
    asked = time.monotonic()
    assert served.stop() == 0
    assert time.monotonic() - asked < 20
    assert "is in force (4 files)" not in served.output.read_text()
