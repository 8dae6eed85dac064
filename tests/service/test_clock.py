"""The clock of decisions: it never goes back, whatever is done to the host's."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.clock import LEEWAY_S, SteadyClock

START_US = 1_800_000_000_000_000
US = 1_000_000


class Host:
    """The host's clocks, which a test moves: time passes on both, and one of them is set."""

    def __init__(self) -> None:
        self.wall_us = START_US
        self.monotonic_us = 0

    def passes(self, seconds: float) -> None:
        self.wall_us += int(seconds * US)
        self.monotonic_us += int(seconds * US)

    def is_set_by(self, seconds: float) -> None:
        self.wall_us += int(seconds * US)

    def clock(self, kept: Path | None = None) -> SteadyClock:
        return SteadyClock(lambda: self.wall_us, lambda: self.monotonic_us / US, kept)


def test_a_clock_that_goes_right_is_the_hosts() -> None:
    host = Host()
    clock = host.clock()
    host.passes(10)
    assert (clock.now_us(), clock.behind_s, clock.misgiving()) == (host.wall_us, 0, "")


BACK: dict[str, tuple[float, float, float]] = {
    "a little: it stands still until the host has caught up": (-30, 100, 70),
    "as far as the leeway": (-60, 100, 40),
    "further: it stands still for the leeway, and goes on": (-90, 100, 40),
    "by a year": (-365 * 86_400, 100, 40),
}


@pytest.mark.parametrize(("set_by", "passes_s", "went_on_s"), BACK.values(), ids=BACK.keys())
def test_a_clock_that_is_set_back(set_by: float, passes_s: float, went_on_s: float) -> None:
    host = Host()
    clock = host.clock()
    host.is_set_by(set_by)
    assert clock.now_us() == START_US
    host.passes(passes_s)
    assert clock.now_us() == START_US + int(went_on_s * US)
    is_said = -set_by > LEEWAY_S
    assert bool(clock.misgiving()) is is_said
    assert clock.behind_s == (-set_by if is_said else 0)


def test_a_clock_that_is_set_right_again_is_believed_again() -> None:
    host = Host()
    clock = host.clock()
    host.is_set_by(-3600)
    host.passes(60)
    said = "the clock of this host was set back by 3600 s: correct it, then start the service anew"
    assert clock.misgiving() == said
    host.is_set_by(3600)
    host.passes(1)
    assert (clock.now_us(), clock.misgiving()) == (START_US + 61 * US, "")


def test_a_jump_ahead_is_believed() -> None:
    host = Host()
    clock = host.clock()
    host.is_set_by(86_400)
    assert clock.now_us() == START_US + 86_400 * US


MOVES = st.lists(
    st.tuples(st.sampled_from(["passes", "is_set_by"]), st.floats(-1e6, 1e6, allow_nan=False)), max_size=30
)


@given(MOVES)
def test_it_never_goes_back_and_falls_behind_what_passed_by_the_leeway_at_most(moves: list[tuple[str, float]]) -> None:
    host = Host()
    clock = host.clock()
    told = [(clock.now_us(), host.monotonic_us)]
    for kind, seconds in moves:
        if kind == "passes":
            host.passes(abs(seconds))
        else:
            host.is_set_by(seconds)
        told.append((clock.now_us(), host.monotonic_us))
    for (before, _), (after, _) in pairwise(told):
        assert after >= before
    for number, (early, began) in enumerate(told):
        for late, ended in told[number:]:
            assert late >= early + (ended - began) - int(LEEWAY_S * US) - US


def test_a_start_does_not_believe_a_clock_that_was_set_back_meanwhile(tmp_path: Path) -> None:
    host, kept = Host(), tmp_path / "clock"
    first = host.clock(kept)
    host.passes(10)
    first.keep()
    host.is_set_by(-3000)
    again = host.clock(kept)
    assert again.now_us() == START_US + 10 * US
    assert again.behind_s == 3000
    assert f"or remove {kept} where it was ahead before" in again.misgiving()
    kept.unlink()
    assert host.clock(kept).now_us() == host.wall_us


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-5\n", b"1" * 40, b"12", b"\xff\n"])
def test_a_file_that_holds_no_time_is_none(content: bytes, tmp_path: Path) -> None:
    host, kept = Host(), tmp_path / "clock"
    kept.write_bytes(content)
    assert host.clock(kept).now_us() == host.wall_us


def test_the_time_is_kept_while_it_runs_and_at_the_end(tmp_path: Path) -> None:
    host, kept = Host(), tmp_path / "clock"
    clock = host.clock(kept)

    async def runs() -> None:
        task = asyncio.ensure_future(clock.run())
        while not kept.exists():  # noqa: ASYNC110 - a file says nothing
            await asyncio.sleep(0.01)
        host.passes(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(runs())
    assert kept.read_bytes() == b"%d\n" % (START_US + 5 * US)


def test_a_folder_that_is_gone_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Host().clock(tmp_path / "gone" / "clock")

    async def runs() -> None:
        task = asyncio.ensure_future(clock.run())
        while not caplog.records:  # noqa: ASYNC110 - nor does a log
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(runs())
    assert "the time cannot be kept" in caplog.text
