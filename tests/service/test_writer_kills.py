"""SIGKILL of the writer and of the sequencer at random instants under load: nothing that was acknowledged is lost.

For every kill: each id that a client was told is in the log, every record there is whole, `verify` finds it sound, and
the signed tree never goes back. The next life recovers what the last one left. Three thousand of them are a part of the
nightly runs (tests/nightly/test_kills.py); kills of the whole server are in tests/e2e/test_kill.py.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.killed_writer import Lives, Told, draw_life

KILLS = 50
OF_ONE_STATE = 10


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_by_fifty_kills(tmp_path: Path) -> None:
    draw = random.Random(20261121)
    acknowledged = 0
    with Lives() as lives:
        for number in range(KILLS):
            if number % OF_ONE_STATE == 0:
                told = Told.begin(tmp_path / f"{number}")
            lives.live(told.state, draw_life(draw, f"kill {number}"))
            told.check()
            assert (told.lost, told.torn) == ([], []), f"kill {number}"
            if number % OF_ONE_STATE == OF_ONE_STATE - 1:
                acknowledged += told.finish()
                assert (told.lost, told.torn) == ([], []), f"after kill {number}"
    assert acknowledged > KILLS * 20, "the load never ran"
