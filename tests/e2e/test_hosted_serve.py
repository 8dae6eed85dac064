"""`pdp serve --listener envoy`: the service inside a real Envoy, from its start to its end.

That every decision case has the same answer and the same record there as over grpcio is in test_decision_paths.py.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from pdp.audit.ids import parse
from pdp.hosting.envoy_process import installed
from pdp.transports.messages import CheckRequest, CheckResponse
from tests.support.cases import POLICY
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp, eventually

METHOD = "/envoy.service.auth.v3.Authorization/Check"

needs_envoy = pytest.mark.skipif(isinstance(installed(), str), reason=f"no Envoy with Python here: {installed()}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedPdp]:
    pdp = ServedPdp(tmp_path, POLICY, [TestIssuer()], gateway='services = ["ledger"]', workers=2)
    pdp.listener = "envoy"
    try:
        yield pdp
    finally:
        pdp.stop()


def ask(pdp: ServedPdp) -> str:
    """The id of an allow, asked over a connection of its own."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "GET", "/health", "ledger.example"
    message.attributes.context_extensions["portcullis.service"] = "ledger"
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(pdp.address, options) as channel:
        call = channel.unary_unary(METHOD)
        reply = CheckResponse.FromString(call(message.SerializeToString(), timeout=10.0, wait_for_ready=True))
    assert reply.status.code == 0
    return str(reply.ok_response.headers[0].header.value)


def hosts(pdp: ServedPdp) -> list[int]:
    """The Envoys that the service runs now."""
    children = Path(f"/proc/{pdp.pid}/task/{pdp.pid}/children").read_text().split()
    return [int(each) for each in children if b"--config-path" in Path(f"/proc/{each}/cmdline").read_bytes()]


def sound(pdp: ServedPdp, told: set[str]) -> None:
    """The log verifies, and holds what clients were told."""
    done = pdp.run("audit", "verify", "--state", str(pdp.state))
    assert done.returncode == 0, done.stdout
    shown = pdp.run("audit", "log", "--state", str(pdp.state), "--json").stdout
    assert [each for each in told if each not in shown] == []


@needs_envoy
@pytest.mark.timeout(120)
def test_two_workers_inside_envoy_answer_and_what_they_were_asked_is_in_one_log(served: ServedPdp) -> None:
    served.start()
    told: set[str] = set()

    def both_answered() -> bool:
        told.add(ask(served))
        return len({parse(each).writer for each in told}) == 2

    eventually(both_answered)
    assert len(hosts(served)) == 2
    assert served.stop() == 0
    sound(served, told)


@needs_envoy
@pytest.mark.timeout(120)
def test_an_envoy_that_is_killed_is_replaced_and_nothing_it_acknowledged_is_lost(served: ServedPdp) -> None:
    served.start()
    told = {ask(served) for _ in range(20)}
    before = hosts(served)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(hosts(served)) == 2 and before[0] not in hosts(served))
    eventually(served.ready)
    told |= {ask(served) for _ in range(20)}
    assert served.stop() == 0
    sound(served, told)


@needs_envoy
@pytest.mark.timeout(120)
def test_with_the_service_its_envoys_are_gone(served: ServedPdp) -> None:
    served.start()
    left = hosts(served)
    served.kill()
    deadline = time.monotonic() + 20.0
    while any(Path(f"/proc/{each}").exists() and _runs(each) for each in left):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@needs_envoy
def test_what_keeps_the_service_from_starting_is_said_once(served: ServedPdp) -> None:
    served.config.write_text(served.config.read_text().replace(str(POLICY), str(ROOT / "docs")))
    with pytest.raises(AssertionError, match="not ready"):
        served.start()
    said = served.output.read_text()
    assert said.count("P10") >= 1
    assert said.count("error: ") == 1


def test_without_pyvoy_a_line_says_so_and_grpcio_answers(served: ServedPdp) -> None:
    hidden = "import sys; sys.modules['pyvoy'] = None; from pdp.cli import main; main()"
    served.start([sys.executable, "-c", hidden, *served.command()[3:]])
    assert "pyvoy is not installed (the extra `envoy` installs it): grpcio answers" in served.output.read_text()
    assert ask(served)
    assert served.stop() == 0
