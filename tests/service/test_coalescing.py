"""Calls wait for others while the loop is busy, for a moment at most, and never else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pdp.transports.coalescing import BUSY, IDLE, LEAST_LEFT_S, LOOK_S, MOST, WINDOW_S, Coalescing

FAR = 1e9

_LOOP = asyncio.new_event_loop()


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as turns need; its time passes when told, and its thread runs for a share of it."""

    def __init__(self) -> None:
        self.now = self.ran = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return _LOOP.create_future()

    def call_later(self, after: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + after, callback))
        return self.timers[-1]

    def passes(self, seconds: float, share: float) -> None:
        self.now += seconds
        self.ran += seconds * share
        due = [each for each in self.timers if each.when <= self.now]
        self.timers = [each for each in self.timers if each.when > self.now]
        for each in due:
            if not each.cancelled:
                each.callback()


def made() -> tuple[Loop, Coalescing]:
    loop = Loop()
    return loop, Coalescing(loop, lambda: loop.ran)  # type: ignore[arg-type]  # as much of one as it needs


def busy() -> tuple[Loop, Coalescing]:
    loop, turns = made()
    loop.passes(LOOK_S, 1.0)
    assert turns.turn(FAR) is not None
    loop.passes(WINDOW_S, 1.0)
    return loop, turns


def test_a_call_goes_on_at_once_while_there_is_little_to_do() -> None:
    loop, turns = made()
    for _ in range(100):
        loop.passes(LOOK_S / 3, BUSY - 0.01)
        assert turns.turn(FAR) is None


def test_calls_that_come_while_the_loop_is_busy_go_on_together_after_a_moment() -> None:
    loop, turns = busy()
    waiting = [turns.turn(FAR) for _ in range(3)]
    loop.passes(WINDOW_S / 2, 1.0)
    waiting.append(turns.turn(FAR))
    assert not any(each.done() for each in waiting if each is not None)
    loop.passes(WINDOW_S / 2 + 1e-9, 1.0)
    assert [each is not None and each.done() for each in waiting] == [True] * 4


def test_as_many_as_go_on_together_wait_no_longer() -> None:
    loop, turns = busy()
    waiting = [turns.turn(FAR) for _ in range(MOST)]
    assert all(each is not None and each.done() for each in waiting)
    later = turns.turn(FAR)
    loop.passes(WINDOW_S / 2, 1.0)
    assert later is not None
    assert not later.done()  # the moment of those before is not its own
    loop.passes(WINDOW_S / 2 + 1e-9, 1.0)
    assert later.done()


def test_who_waits_no_more_is_left_alone() -> None:
    loop, turns = busy()
    gone, stays = turns.turn(FAR), turns.turn(FAR)
    assert gone is not None
    gone.cancel()
    loop.passes(WINDOW_S + 1e-9, 1.0)
    assert stays is not None
    assert stays.done()


def test_waiting_ends_with_what_there_is_to_do_and_not_before() -> None:
    loop, turns = busy()
    loop.passes(LOOK_S, (BUSY + IDLE) / 2)
    assert turns.turn(FAR) is not None  # together they take less: that is no reason to go on alone
    loop.passes(LOOK_S, IDLE - 0.01)
    assert turns.turn(FAR) is None


def test_a_loop_that_was_idle_for_long_is_not_busy_by_what_it_did_before() -> None:
    loop, turns = made()
    loop.passes(LOOK_S * 0.9, 1.0)
    loop.passes(10.0, 0.0)
    assert turns.turn(FAR) is None


def test_a_call_that_has_little_time_waits_for_nobody() -> None:
    loop, turns = busy()
    assert turns.turn(loop.now + LEAST_LEFT_S * 0.99) is None
    assert turns.turn(loop.now + LEAST_LEFT_S * 1.01) is not None
