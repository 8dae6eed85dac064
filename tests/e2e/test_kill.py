"""SIGKILL under load, again and again: what a client was told is in the log, and the log verifies."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Self

import grpc
import pytest

from pdp.audit.reader import entries
from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp

KILLS = 12
CLIENTS = 4

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"


class _Load:
    """Clients that ask until told to stop, and remember every decision id they were given."""

    def __init__(self, address: str, token: str) -> None:
        self.ids: list[str] = []
        self._address = address
        self._requests = [
            check_request("GET", "ledger.example", path, service="ledger", headers={"authorization": f"Bearer {token}"})
            for path in ("/accounts/a1", "/accounts/a3", "/nowhere")
        ]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]

    def _run(self, number: int) -> None:
        with Asker(self._address) as asker:
            turn = number
            while not self._stop.is_set():
                turn += 1
                try:
                    answer = asker.ask(self._requests[turn % len(self._requests)], timeout_s=2.0)
                except grpc.RpcError:
                    continue
                if answer.decision_id is not None:
                    self.ids.append(answer.decision_id)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.timeout(300)
def test_every_id_that_a_client_received_is_in_the_log_after_a_dozen_kills(tmp_path: Path) -> None:
    moments = random.Random(20261121)
    issuer = TestIssuer()
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
    served = ServedPdp(tmp_path, POLICY, [issuer])
    told: list[str] = []
    try:
        for _ in range(KILLS):
            served.start()
            with _Load(served.address, token) as load:
                time.sleep(moments.uniform(0.05, 0.8))
                served.kill()
            told += load.ids
        served.start()
        assert served.stop() == 0
    finally:
        served.kill()
    assert len(told) > KILLS, "the load never ran"
    assert len(set(told)) == len(told)
    logged = b"\n".join(leaf for _, leaf in entries(served.state / "log"))
    assert [one for one in told if one.encode() not in logged] == []
    verified = served.run("audit", "verify", "--state", str(served.state))
    assert verified.returncode == 0, verified.stdout + verified.stderr
