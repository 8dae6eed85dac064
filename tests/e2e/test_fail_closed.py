"""Through a real Envoy and over raw gRPC: whatever breaks inside, the answer is a refusal."""

from __future__ import annotations

import random
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import grpc
import pytest

from tests.support.asking import Asker, check_request
from tests.support.envoy import EnvoyGateway
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp, eventually

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
HEALTH = check_request("GET", "ledger.example", "/health", service="ledger")
MODES = pytest.mark.parametrize("failure_mode_allow", [False, True], ids=["fail_closed_envoy", "fail_open_envoy"])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ServedPdp]]:
    """A service with a fault ("" for none), which tests share: what is broken by one is whole when it ends."""
    with ExitStack() as stack:

        @cache
        def with_fault(fault: str) -> ServedPdp:
            served = ServedPdp(tmp_path_factory.mktemp("served"), POLICY, [TestIssuer()])
            stack.callback(served.stop)
            faulty = [sys.executable, "-m", "tests.support.faulty_serve", fault, str(served.config)]
            served.start(faulty if fault else None)
            return served

        yield with_fault


@pytest.fixture
def served(started: Callable[[str], ServedPdp]) -> ServedPdp:
    return started("")


def _through(gateway: EnvoyGateway, path: str = "/health") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}{path}", headers={"Host": "ledger.example"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@MODES
def test_a_call_that_may_pass_passes(served: ServedPdp, tmp_path: Path, *, failure_mode_allow: bool) -> None:
    with EnvoyGateway(tmp_path, served.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 200


def test_with_the_service_stopped_envoy_refuses(tmp_path: Path) -> None:
    with EnvoyGateway(tmp_path, free_port(), failure_mode_allow=False) as gateway:
        assert _through(gateway) == 503


@MODES
def test_with_the_service_raising_envoy_refuses(
    started: Callable[[str], ServedPdp], tmp_path: Path, *, failure_mode_allow: bool
) -> None:
    raising = started("raise")
    with EnvoyGateway(tmp_path, raising.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 503


@MODES
def test_with_the_log_stalled_envoy_refuses_in_time(
    started: Callable[[str], ServedPdp], tmp_path: Path, *, failure_mode_allow: bool
) -> None:
    stalling = started("stall")
    with EnvoyGateway(tmp_path, stalling.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
        assert _through(gateway) == 200
        stall = stalling.folder / "stall"
        stall.touch()
        assert _through(gateway) == 503
        stall.unlink()
        assert _through(gateway) == 200


def test_with_the_disk_full_envoy_refuses_and_passes_again_once_it_is_not(
    started: Callable[[str], ServedPdp], tmp_path: Path
) -> None:
    filling = started("full")
    full = filling.folder / "full"
    for failure_mode_allow in (False, True):
        with EnvoyGateway(tmp_path, filling.grpc_port, failure_mode_allow=failure_mode_allow) as gateway:
            assert _through(gateway) == 200
            full.touch()
            assert _through(gateway) == 503, f"failure_mode_allow: {failure_mode_allow}"
            full.unlink()
            eventually(lambda gateway=gateway: _through(gateway) == 200)
    filling.stop()
    assert filling.run("audit", "verify", "--state", str(filling.state)).returncode == 0


def test_a_stalled_log_is_answered_as_deadline_inside_the_message(started: Callable[[str], ServedPdp]) -> None:
    stalling = started("stall")
    stall = stalling.folder / "stall"
    with Asker(stalling.address) as asker:
        stall.touch()
        answer = asker.ask(HEALTH, timeout_s=0.1)
        stall.unlink()
        eventually(lambda: asker.ask(HEALTH).code == 0)
    assert (answer.code, answer.http_status) == (13, 503)
    assert answer.decision_id is None
    assert answer.metadata["reason"].startswith("deadline")


def test_random_bytes_and_five_megabytes_are_refused_inside_the_message(served: ServedPdp) -> None:
    noise = random.Random(20261121)
    with Asker(served.address) as asker:
        for size in (1, 7, 64, 763, 4096):
            for _ in range(20):
                assert asker.ask(noise.randbytes(size)).code != 0
        assert asker.ask(noise.randbytes(5_000_000)).code != 0
        assert asker.ask(b"").code != 0


def test_bad_requests_are_refused_by_name_and_recorded(served: ServedPdp) -> None:
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
    with Asker(served.address) as asker:
        for _ in range(20):
            try:
                assert asker.ask(HEALTH, timeout_s=0.01).code != 0
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
