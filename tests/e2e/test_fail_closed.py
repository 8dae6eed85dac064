"""Through a real Envoy and over raw gRPC: whatever breaks inside, the answer is a refusal."""

from __future__ import annotations

import random
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support.asking import Asker, check_request
from tests.support.envoy import EnvoyGateway
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
HEALTH = check_request("GET", "ledger.example", "/health", service="ledger")
MODES = pytest.mark.parametrize("failure_mode_allow", [False, True], ids=["fail_closed_envoy", "fail_open_envoy"])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedPdp]:
    pdp = ServedPdp(tmp_path, POLICY, [TestIssuer()])
    try:
        yield pdp
    finally:
        pdp.stop()


def _faulty(served: ServedPdp, fault: str) -> None:
    served.start([sys.executable, "-m", "tests.support.faulty_serve", fault, str(served.config)])


def _through(gateway: EnvoyGateway, path: str = "/health") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}{path}", headers={"Host": "ledger.example"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@MODES
def test_a_call_that_may_pass_passes(served: ServedPdp, tmp_path: Path, *, failure_mode_allow: bool) -> None:
    served.start()
    with EnvoyGateway(tmp_path, served.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 200


def test_with_the_service_stopped_envoy_refuses(served: ServedPdp, tmp_path: Path) -> None:
    with EnvoyGateway(tmp_path, served.grpc_port, failure_mode_allow=False) as gateway:
        assert _through(gateway) == 503


@MODES
def test_with_the_service_raising_envoy_refuses(served: ServedPdp, tmp_path: Path, *, failure_mode_allow: bool) -> None:
    _faulty(served, "raise")
    with EnvoyGateway(tmp_path, served.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 503


@MODES
def test_with_the_log_stalled_envoy_refuses_in_time(
    served: ServedPdp, tmp_path: Path, *, failure_mode_allow: bool
) -> None:
    _faulty(served, "stall")
    with EnvoyGateway(tmp_path, served.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 200
        stall = tmp_path / "stall"
        stall.touch()
        assert _through(gateway) == 503
        stall.unlink()
        assert _through(gateway) == 200


@MODES
def test_with_the_disk_full_envoy_refuses_and_passes_again_once_it_is_not(
    served: ServedPdp, tmp_path: Path, *, failure_mode_allow: bool
) -> None:
    _faulty(served, "full")
    with EnvoyGateway(tmp_path, served.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 200
        full = tmp_path / "full"
        full.touch()
        assert _through(gateway) == 503
        full.unlink()
        deadline = time.monotonic() + 10
        while _through(gateway) != 200:
            assert time.monotonic() < deadline, served.output.read_text()
            time.sleep(0.2)
    served.stop()
    assert served.run("audit", "verify", "--state", str(served.state)).returncode == 0


def test_a_stalled_log_is_answered_as_deadline_inside_the_message(served: ServedPdp, tmp_path: Path) -> None:
    _faulty(served, "stall")
    stall = tmp_path / "stall"
    with Asker(served.address) as asker:
        stall.touch()
        answer = asker.ask(HEALTH, timeout_s=0.1)
        stall.unlink()
    assert (answer.code, answer.http_status) == (13, 503)
    assert answer.decision_id is None
    assert answer.metadata["reason"].startswith("deadline")


def test_random_bytes_and_five_megabytes_are_refused_inside_the_message(served: ServedPdp) -> None:
    served.start()
    noise = random.Random(20261121)
    with Asker(served.address) as asker:
        for size in (1, 7, 64, 763, 4096):
            for _ in range(20):
                assert asker.ask(noise.randbytes(size)).code != 0
        assert asker.ask(noise.randbytes(5_000_000)).code != 0
        assert asker.ask(b"").code != 0


def test_bad_requests_are_refused_by_name_and_recorded(served: ServedPdp) -> None:
    served.start()
    huge = {"authorization": "Bearer " + "a" * 100_000}
    escaped = check_request("GET", "ledger.example", "/a%2fb", service="ledger")
    large = check_request("GET", "ledger.example", "/health", service="ledger", headers=huge)
    cases = {
        "a CheckRequest with nothing in it": (b"", 16, "request.missing"),
        "an encoded slash": (escaped, 16, "path.encoded_slash"),
        "a token of 100 KB": (large, 16, "token.too_large"),
    }
    with Asker(served.address) as asker:
        for name, (data, code, reason) in cases.items():
            answer = asker.ask(data)
            assert (answer.code, answer.metadata["reason"]) == (code, reason), name
            assert answer.decision_id is not None, name
            shown = served.run("audit", "show", answer.decision_id, "--why", "--state", str(served.state))
            assert shown.returncode == 0, name + shown.stderr
            assert reason in shown.stdout, name
    assert "Traceback" not in served.output.read_text()


def test_a_deadline_too_short_to_keep_is_answered_or_expires_but_never_allows(served: ServedPdp) -> None:
    served.start()
    with Asker(served.address) as asker:
        for _ in range(20):
            try:
                assert asker.ask(HEALTH, timeout_s=0.01).code != 0
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
