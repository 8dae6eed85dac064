"""SIGKILL under load: what clients were answered, against what is in the log afterwards. Ours, OPA's and Cerbos's.

    build/venv/bin/python -m benchmarks.kills [--kills 10] [--clients 4]

Each server decides one allowed call of the simplest ownership policy, over and over, for some clients with a connection
each; every answer carries an id, which a client notes once the whole answer is there. At a drawn moment the server is
killed, and started again on what it left. At the end every id that a client holds is looked up in the log. `lost` are
answers of which the log knows nothing. All servers get the same moments, one after the other, in one run.

A power cut would show more: only our `strict` syncs before it answers. Kills show what stood in the memory of the
process alone.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

import grpc
from msgspec import Struct

from benchmarks.peers import Cerbos, MissingError, OpaConsole, OpaService
from tests.support.asking import Asker, check_request
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp
from tests.support.records import all_records

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
SEED = 20261121
LEAST_S, MOST_S = 1.0, 4.0
"""So long after its start a server is killed."""


class Client(Protocol):
    """One connection."""

    def ask(self) -> str | None:
        """The id of one answer; None where there was none."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class Contestant(Protocol):
    """One server with its log."""

    name: str
    log: str

    def start(self) -> None:
        """Start it, on what it left."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def client(self) -> Client:
        """A client with a connection of its own."""
        ...

    def found(self) -> set[str]:
        """The ids in its log, once it was killed for the last time."""
        ...

    def close(self) -> None:
        """End what is left."""
        ...


class OurClient:
    """One channel to our listener."""

    def __init__(self, address: str, request: bytes) -> None:
        self._asker, self._request = Asker(address).__enter__(), request

    def ask(self) -> str | None:
        """The id of one answer."""
        try:
            return self._asker.ask(self._request, timeout_s=2.0).decision_id
        except grpc.RpcError:
            return None

    def close(self) -> None:
        """Hang up."""
        self._asker.__exit__()


class Portcullis:
    """Our service, in one of its durabilities."""

    name = "Portcullis"

    def __init__(self, folder: Path, log: str) -> None:
        issuer = TestIssuer()
        token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
        headers = {"authorization": f"Bearer {token}"}
        self._request = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
        extra = '[log]\nstrict_by_default = ["GET"]' if log == "strict" else ""
        self._served = ServedPdp(folder, POLICY, [issuer], extra=extra)
        self.log = f"`{log}`"

    def start(self) -> None:
        """Start it."""
        self._served.start()

    def kill(self) -> None:
        """SIGKILL; the sequencer learns of it by its pipe."""
        self._served.kill()

    def client(self) -> OurClient:
        """A client with a channel of its own."""
        return OurClient(self._served.address, self._request)

    def found(self) -> set[str]:
        """The ids in the log, which must be sound. SystemExit where it is not."""
        self.start()
        self._served.stop()
        verified = self._served.run("audit", "verify", "--state", str(self._served.state))
        if verified.returncode != 0:
            raise SystemExit(f"the log does not verify:\n{verified.stdout}{verified.stderr}")
        return set(all_records(self._served.state))

    def close(self) -> None:
        """Nothing is left to end."""
        self._served.kill()


class Load:
    """Clients that ask until they are told to stop, and the ids they were given."""

    def __init__(self, contestant: Contestant, clients: int) -> None:
        self.ids: list[str] = []
        self._contestant = contestant
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with closing(self._contestant.client()) as client:
            while not self._stop.is_set():
                given = client.ask()
                if given is not None:
                    self.ids.append(given)
                else:
                    self._stop.wait(0.005)


class Outcome(Struct, frozen=True):
    """Ids that clients hold, by kill, and those of them that are in no log."""

    answered: tuple[int, ...]
    lost: tuple[int, ...]


def contest(contestant: Contestant, kills: int, clients: int) -> Outcome:
    """Kill it so often."""
    moments = random.Random(SEED)  # noqa: S311 - no secret is drawn
    told: list[list[str]] = []
    with closing(contestant):
        for _ in range(kills):
            contestant.start()
            load = Load(contestant, clients)
            load.start()
            time.sleep(moments.uniform(LEAST_S, MOST_S))
            contestant.kill()
            load.stop()
            told.append(load.ids)
        found = contestant.found()
    return Outcome(tuple(map(len, told)), tuple(len(set(ids) - found) for ids in told))


CONTESTANTS: Sequence[tuple[str, Callable[[Path], Contestant]]] = (
    ("Portcullis, standard", partial(Portcullis, log="standard")),
    ("Portcullis, strict", partial(Portcullis, log="strict")),
    ("OPA with its log on the console", OpaConsole),
    ("OPA with its log sent to a service", OpaService),
    ("Cerbos with its log in a file", Cerbos),
)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="SIGKILL under load: answered against found in the log")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    print("| server | log | kills | answered | lost | kills with a loss | most lost in one kill |")
    print("|---|---|---|---|---|---|---|")
    left_out = []
    for name, make in CONTESTANTS:
        with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="kills-") as folder:
            try:
                contestant = make(Path(folder))
            except MissingError as error:
                left_out.append(f"{name} is left out: {error}")
                continue
            outcome = contest(contestant, given.kills, given.clients)
        answered, lost = sum(outcome.answered), sum(outcome.lost)
        kills = sum(each > 0 for each in outcome.lost)
        figures = f"{given.kills} | {answered:,} | {lost:,} | {kills} | {max(outcome.lost):,}"
        print(f"| {contestant.name} | {contestant.log} | {figures} |", flush=True)
    print("\n" + "\n".join(left_out or ["None was left out."]))


if __name__ == "__main__":
    main()
