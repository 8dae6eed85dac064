"""`pdp serve --workers 2`: both answer and are one service to look at; the end of one costs no record of a call that
was answered, and its replacement no call at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pdp.audit.ids import parse
from tests.support.asking import CHECK, Answer, check_request, read_answer
from tests.support.issuing import TestIssuer
from tests.support.killed_server import Load
from tests.support.killed_writer import missing
from tests.support.process import ROOT, ServedPdp, compilers, eventually
from tests.support.records import all_records

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
HEALTH = check_request("GET", "ledger.example", "/health", service="ledger")
CONNECTIONS = 40
"""So many connections that all of them reach one of two workers once in 10^11 runs."""


def _fresh(served: ServedPdp, data: bytes = HEALTH) -> Answer:
    """The answer over a connection of its own."""
    with grpc.insecure_channel(served.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return read_answer(channel.unary_unary(CHECK)(data, timeout=10.0))


def _workers(served: ServedPdp) -> list[int]:
    """The processes that answer."""
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()
    return [int(child) for child in children if b"pdp.worker_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _counted(served: ServedPdp) -> dict[str, float]:
    """The value of each series without labels, and the sum of those with some."""
    with urllib.request.urlopen(f"http://127.0.0.1:{served.http_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _verified(served: ServedPdp) -> None:
    done = served.run("audit", "verify", "--state", str(served.state))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY, tmp_path / "policies"))


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture
def served(tmp_path: Path, policies: Path, issuer: TestIssuer) -> Iterator[ServedPdp]:
    pdp = ServedPdp(tmp_path, policies, [issuer], workers=2)
    pdp.start()
    try:
        yield pdp
    finally:
        pdp.stop()


def test_both_workers_answer_and_are_one_service_to_look_at(served: ServedPdp, policies: Path) -> None:
    answers = [_fresh(served) for _ in range(CONNECTIONS)]
    assert {each.code for each in answers} == {0}
    assert {parse(each.decision_id or "").writer for each in answers} == {0, 1}
    counted = _counted(served)
    assert counted["portcullis_decisions_total"] == CONNECTIONS
    assert counted["portcullis_decision_seconds_count"] == CONNECTIONS
    assert (counted["portcullis_workers"], counted["portcullis_workers_ready"]) == (2, 2)
    status = served.run("admin", "status", "--state", str(served.state))
    assert (status.returncode, "2 of 2 ready" in status.stdout) == (0, True), status
    text = (policies / "cases.pol").read_text()
    (policies / "cases.pol").write_text(text.replace("on ledger.health, internal_only.ping", "on internal_only.ping"))
    done = served.run("admin", "reload", "--state", str(served.state))
    assert done.returncode == 0, done
    assert {_fresh(served).code for _ in range(CONNECTIONS)} == {16}
    assert _counted(served)["portcullis_policy_info"] == 1
    assert served.stop() == 0
    records = all_records(served.state)
    activated = [parse(each).writer for each, leaf in records.items() if leaf.kind == "policy.activated"]
    assert sorted(activated) == [0, 0, 1, 1]
    assert [leaf.clear["verb"] for leaf in records.values() if leaf.kind == "admin"].count("reload") == 1
    assert {each.decision_id for each in answers} <= records.keys()
    _verified(served)


def test_what_is_revoked_is_refused_by_every_worker_at_once(served: ServedPdp, issuer: TestIssuer) -> None:
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger", "sid": "s1"}, int(time.time()))
    headers = {"authorization": f"Bearer {token}"}
    data = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
    before = [_fresh(served, data) for _ in range(CONNECTIONS)]
    assert {(each.code, parse(each.decision_id or "").writer) for each in before} == {(0, 0), (0, 1)}
    done = served.run("admin", "revoke", "session", "s1", "--issuer", issuer.url, "--state", str(served.state))
    assert done.returncode == 0, done
    after = [_fresh(served, data) for _ in range(CONNECTIONS)]
    assert {(each.code, parse(each.decision_id or "").writer) for each in after} == {(16, 0), (16, 1)}


@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_under_load_loses_no_record_and_has_a_successor(
    served: ServedPdp, issuer: TestIssuer
) -> None:
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
    killed = _workers(served)[0]
    with Load(served.address, token) as load:
        eventually(lambda: len(load.ids) > 50)
        before = _counted(served)["portcullis_decisions_total"]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: len(_workers(served)) == 2 and killed not in _workers(served))
        eventually(lambda: _counted(served)["portcullis_workers_ready"] == 2)
        assert _counted(served)["portcullis_decisions_total"] >= before
        so_far = len(load.ids)
        eventually(lambda: len(load.ids) > so_far + 50)
    answers = [_fresh(served) for _ in range(CONNECTIONS)]
    assert {parse(each.decision_id or "").writer for each in answers} == {0, 1}
    assert served.stop() == 0
    assert len(set(load.ids)) == len(load.ids)
    assert missing(served.state, load.ids) == []
    _verified(served)
    assert "it is started again" in served.output.read_text()


class _Gateways:
    """Clients that keep their connections and ask all the time, many calls at a time; `failed` is what was not answered
    as it should be.
    """

    def __init__(self, served: ServedPdp) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._served = served
        self._ended = threading.Event()

    async def _asking(self, channel: grpc.aio.Channel) -> None:
        check = channel.unary_unary(CHECK)
        while not self._ended.is_set():
            try:
                answer = read_answer(await check(HEALTH, timeout=10.0))
            except grpc.RpcError as error:
                self.failed.append(str(error))
            else:
                self.answered += 1
                self.failed += [] if answer.code == 0 else [str(answer)]

    async def _all(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with contextlib.AsyncExitStack() as stack:
            opened = [grpc.aio.insecure_channel(self._served.address, options=options) for _ in range(4)]
            channels = [await stack.enter_async_context(each) for each in opened]
            await asyncio.gather(*(self._asking(each) for each in channels for _ in range(8)))

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


@pytest.mark.timeout(180)
def test_workers_are_replaced_one_by_one_and_no_call_is_refused(served: ServedPdp) -> None:
    before = _workers(served)
    gateways, least = _Gateways(served), 2
    with gateways.calling():
        eventually(lambda: gateways.answered > 100)
        os.kill(served.pid, signal.SIGUSR2)
        while "all workers were replaced" not in served.output.read_text():
            assert served.ready()
            least = min(least, len(_workers(served)))
            time.sleep(0.1)
        so_far = gateways.answered
        eventually(lambda: gateways.answered > so_far + 100)
    assert gateways.failed == []
    assert (least, len(_workers(served))) == (2, 2)
    assert not set(before) & set(_workers(served))
    assert _counted(served)["portcullis_decisions_total"] == gateways.answered
    assert served.stop() == 0
    _verified(served)


def test_a_worker_that_cannot_begin_replaces_none(served: ServedPdp) -> None:
    before = _workers(served)
    (served.state / "keys").rename(served.state / "away")
    os.kill(served.pid, signal.SIGUSR2)
    eventually(lambda: "those that run go on" in served.output.read_text())
    (served.state / "away").rename(served.state / "keys")
    assert served.ready()
    assert {_fresh(served).code for _ in range(CONNECTIONS)} == {0}
    assert _workers(served) == before


def test_one_worker_alone_is_not_replaced(tmp_path: Path, policies: Path, issuer: TestIssuer) -> None:
    served = ServedPdp(tmp_path, policies, [issuer])
    served.start()
    try:
        assert _workers(served) == []
        os.kill(served.pid, signal.SIGUSR2)
        eventually(lambda: "one worker alone is not replaced" in served.output.read_text())
        assert _fresh(served).code == 0
    finally:
        assert served.stop() == 0


def test_an_address_that_somebody_has_keeps_the_service_from_starting(
    tmp_path: Path, policies: Path, issuer: TestIssuer
) -> None:
    served = ServedPdp(tmp_path, policies, [issuer], workers=2)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # so that it could be shared with this user's own
        taken.bind(("127.0.0.1", served.grpc_port))
        taken.listen()
        with pytest.raises(AssertionError, match="N202"):
            served.start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", served.http_port))
        taken.listen()
        with pytest.raises(AssertionError, match="N101"):
            served.start()
    served.start()
    assert served.stop() == 0


def test_what_keeps_workers_from_starting_is_said_once(tmp_path: Path, policies: Path, issuer: TestIssuer) -> None:
    (policies / "cases.pol").write_text("module cases\nallow everything")
    served = ServedPdp(tmp_path, policies, [issuer], workers=2)
    with pytest.raises(AssertionError, match="not ready"):
        served.start()
    assert served.stop() == 2
    said = served.output.read_text()
    assert (said.count("P100"), said.count("policy refused")) == (1, 1)


def test_several_workers_share_a_unix_socket_for_http_and_none_for_grpc(
    tmp_path: Path, policies: Path, issuer: TestIssuer
) -> None:
    served = ServedPdp(tmp_path, policies, [issuer], workers=2)
    text = served.config.read_text()
    path = tmp_path / "s"
    served.config.write_text(text.replace(f'address = "{served.address}"', f'address = "unix:{path}"'))
    with pytest.raises(AssertionError, match="N203"):
        served.start()
    served.config.write_text(text + f'\n[[listeners]]\naddress = "unix:{path}"\nprotocol = "http"\ngateway = "edge"\n')
    served.start()
    try:
        for _ in range(8):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                assert client.recv(64).startswith(b"HTTP/1.1 200")
    finally:
        assert served.stop() == 0
    assert not path.exists()


def test_workers_end_with_a_supervisor_that_is_killed_and_the_next_service_begins(served: ServedPdp) -> None:
    told = [_fresh(served).decision_id or "" for _ in range(CONNECTIONS)]
    workers = _workers(served)
    served.kill()
    eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in workers))
    served.start()
    assert {_fresh(served).code for _ in range(CONNECTIONS)} == {0}
    assert served.stop() == 0
    assert missing(served.state, told) == []
    _verified(served)


@pytest.mark.timeout(120)
def test_a_worker_that_hangs_is_killed_and_has_a_successor(served: ServedPdp) -> None:
    hung = _workers(served)[0]
    os.kill(hung, signal.SIGSTOP)
    eventually(lambda: hung not in _workers(served) and len(_workers(served)) == 2, within_s=60)
    eventually(served.ready, within_s=30)
    assert {_fresh(served).code for _ in range(CONNECTIONS)} == {0}
    assert "10 s, and is killed: its successor recovers its log" in served.output.read_text()
    assert served.stop() == 0
    _verified(served)


@pytest.mark.timeout(120)
def test_a_worker_whose_compiler_was_killed_decides_by_the_policy_of_the_others_soon(
    served: ServedPdp, policies: Path
) -> None:
    text = (policies / "cases.pol").read_text()
    (policies / "cases.pol").write_text(text.replace("on ledger.health, internal_only.ping", "on internal_only.ping"))
    behind = _workers(served)[0]
    eventually(lambda: compilers(behind) != [])
    os.kill(compilers(behind)[0], signal.SIGKILL)
    eventually(lambda: "the compiler ended with" in served.output.read_text())
    eventually(lambda: {_fresh(served).code for _ in range(CONNECTIONS)} == {0, 16})
    eventually(lambda: not served.ready(), within_s=30)
    eventually(lambda: {_fresh(served).code for _ in range(CONNECTIONS)} == {16}, within_s=60)
    eventually(served.ready, within_s=30)
