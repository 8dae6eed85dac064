"""The whole service, killed under load, again and again: what clients were told, and how soon it was ready again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import grpc

from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.killed_writer import missing
from tests.support.process import ROOT, ServedPdp

CLIENTS = 4
POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"


class Load:
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


class KilledServer:
    """One state folder and configuration. `told` are the ids that clients were given, `ready_s` how long it took until
    `/readyz` said so, start by start."""

    def __init__(self, folder: Path) -> None:
        issuer = TestIssuer()
        self._token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
        self._served = ServedPdp(folder, POLICY, [issuer])
        self.told: list[str] = []
        self.ready_s: list[float] = []

    def kill_after(self, seconds: float) -> None:
        """Start it, put load on it, and kill it in the midst of that."""
        self._start()
        with Load(self._served.address, self._token) as load:
            time.sleep(seconds)
            self._served.kill()
        self.told += load.ids

    def finish(self) -> None:
        """Start it once more and end it: all that was told is in its log, once, and the log verifies."""
        self._start()
        assert self._served.stop() == 0
        assert len(set(self.told)) == len(self.told)
        assert missing(self._served.state, self.told) == []
        verified = self._served.run("audit", "verify", "--state", str(self._served.state))
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def end(self) -> None:
        """Leave nothing running, whatever happened."""
        self._served.kill()

    def _start(self) -> None:
        began = time.monotonic()
        self._served.start()
        self.ready_s.append(time.monotonic() - began)
