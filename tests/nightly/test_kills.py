"""A slice of the long test of kills: SIGKILL of writer, sequencer and whole service, for as long as it is given.

    make test-nightly PART=kills SECONDS=600 SEED=7

The same as tests/service/test_writer_kills.py and tests/e2e/test_kill.py, from seeds of its own; what it covered is
entered in the ledger, and the total printed. Source: contracts.md "Long tests".
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.support.killed_server import KilledServer
from tests.support.killed_writer import Lives, Told, draw_life
from tools.nightly import LEDGER, add, told

OF_ONE_STATE = 20
"""Kills of a writer before another state folder: a log is verified after each."""

OF_ONE_SERVER = 60
"""Kills of a writer for one of the whole service."""


@pytest.mark.timeout(0)
def test_nothing_acknowledged_is_lost_for_as_long_as_given(tmp_path: Path) -> None:
    """For all kills k, ids i acknowledged before k: i is in the log after k, whole, and the log is sound."""
    if "PORTCULLIS_SECONDS" not in os.environ:
        pytest.skip("a slice of the long tests: make test-nightly PART=kills")
    seconds, seed = float(os.environ["PORTCULLIS_SECONDS"]), int(os.environ["PORTCULLIS_SEED"])
    draw = random.Random(f"nightly {seed}")
    kills = servers = acknowledged = 0
    ready_s: list[float] = []
    end = time.monotonic() + seconds
    with Lives() as lives:
        while kills == 0 or time.monotonic() < end:
            state = Told.begin(tmp_path / f"writer{kills}")
            for _ in range(OF_ONE_STATE):
                lives.live(state.state, draw_life(draw, f"nightly {seed} {kills}"))
                state.check()
                kills += 1
                assert (state.lost, state.torn) == ([], []), f"kill {kills} of seed {seed}"
            acknowledged += state.finish()
            assert (state.lost, state.torn) == ([], []), f"after kill {kills} of seed {seed}"
            if kills % OF_ONE_SERVER == 0:
                server = killed_server(tmp_path / f"server{kills}", draw)
                servers += 1
                acknowledged += len(server.told)
                ready_s += server.ready_s
    slowest = f"the slowest start took {max(ready_s):.2f} s" if ready_s else "no service was started"
    print(f"\n{acknowledged:,} records acknowledged, none lost; {slowest}")
    counts = {"writers": kills, "servers": servers, "acknowledged": acknowledged}
    print(told("kills", add(LEDGER, "kills", seed, counts)))


def killed_server(folder: Path, draw: random.Random) -> KilledServer:
    """One kill of a whole service on a state of its own, and the start after it."""
    folder.mkdir()
    server = KilledServer(folder)
    try:
        server.kill_after(draw.uniform(0.1, 1.5))
        server.finish()
    finally:
        server.end()
    return server
