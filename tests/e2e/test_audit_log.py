"""The log of a running service: listed and followed while it is written, and mirrored over HTTP to another place."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import click
import pytest

from pdp.audit.verify import verify_log
from pdp.cli import audit_mirror
from pdp.cli.audit_log import log
from pdp.model import Json
from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.logs import ignore
from tests.support.process import ROOT, ServedPdp, eventually
from tests.support.raw_server import RawServer, Received, Reply

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
HEALTH = check_request("GET", "ledger.example", "/health", service="ledger")
UNKNOWN = check_request("GET", "ledger.example", "/nobody/knows", service="ledger")

Lines = list[dict[str, Json]]


def run(command: click.Command, *arguments: str | Path) -> Lines:
    """What a command says, as JSON, in this process; it must end well and have nothing to remark."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = command.main([*map(str, arguments), "--json"], standalone_mode=False)
    assert (code or 0, err.getvalue()) == (0, "")
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ServedPdp]:
    served = ServedPdp(tmp_path, POLICY, [TestIssuer()])
    served.start()
    try:
        yield served
    finally:
        served.stop()


def listed(*arguments: str | Path) -> Lines:
    return run(log, *arguments)


def ids(lines: Lines) -> list[Json]:
    return [each["id"] for each in lines]


@pytest.mark.timeout(180)
def test_what_a_service_answers_is_listed_followed_and_mirrored(running: ServedPdp, tmp_path: Path) -> None:
    key = (running.state / "keys/log.vkey").read_text().strip()
    folder = running.state / "log"

    def files(request: Received) -> Reply:
        try:
            return Reply(200, (), (folder / request.target.decode().removeprefix("/")).read_bytes())
        except OSError:
            return Reply(404)

    followed: Lines = []
    code = "from pdp.cli.audit_log import log; log()"
    following = [sys.executable, "-c", code, "--state", running.state, "--follow", "--kind", "decision", "--json"]
    with subprocess.Popen(following, stdout=subprocess.PIPE, text=True) as process, RawServer(files) as server:
        assert process.stdout is not None
        output = process.stdout
        reader = threading.Thread(target=lambda: followed.extend(map(json.loads, output)), daemon=True)
        reader.start()
        try:
            with Asker(running.address) as asker:
                codes = [asker.ask(UNKNOWN if number % 10 == 0 else HEALTH).code for number in range(200)]
            eventually(lambda: len(followed) >= 200)
            total = len(listed("--state", running.state))
            mirror = tmp_path / "mirror"

            def pulled() -> Json:
                (report,) = run(audit_mirror.mirror, f"http://127.0.0.1:{server.port}/", mirror, "--key", key)
                return report["size"]

            eventually(lambda: int(str(pulled())) >= total, within_s=60)
        finally:
            process.kill()
            process.wait()
            reader.join(10)

    decisions = listed("--state", running.state, "--kind", "decision")
    assert len(decisions) == 200
    assert sorted(map(str, ids(followed))) == sorted(map(str, ids(decisions)))
    refused = listed("--state", running.state, "--decision", "deny")
    assert len(refused) == sum(code != 0 for code in codes) == 20
    assert {each["rc"] for each in refused} == {"route.endpoint"}
    assert ids(listed("--state", running.state, "--kind", "decision", "--limit", "5")) == ids(decisions)[-5:]
    grouped = {each["value"]: each["count"] for each in listed("--state", running.state, "--by", "decision")}
    assert grouped == {"allow": 180, "deny": 20}
    assert verify_log(mirror, None, key, ignore).exit_code == 0
    assert set(map(str, ids(decisions))) <= set(map(str, ids(listed("--log", mirror))))
