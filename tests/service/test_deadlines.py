"""Whose time is over is told in time, and nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdp.deadlines import OVER, TICK_S, Deadlines

ROUNDING_S = 1e-9


class Loop:
    """As much of an event loop as deadlines need; its time passes when told."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._timers: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._timers.append((when, callback, arguments))

    def pass_to(self, now: float) -> None:
        self.now = now
        due = [each for each in self._timers if each[0] <= now]
        self._timers = [each for each in self._timers if each[0] > now]
        for _, callback, arguments in due:
            callback(*arguments)

    @property
    def timers(self) -> int:
        return len(self._timers)


def future() -> asyncio.Future[object]:
    return asyncio.Future(loop=_LOOP)


_LOOP = asyncio.new_event_loop()


@given(st.lists(st.floats(0.0, 0.05), min_size=1, max_size=30), st.floats(0.0, 0.06))
def test_each_is_told_by_its_instant_and_at_most_a_tick_before(lasting: list[float], passed: float) -> None:
    """For all ends e and now n: told if n >= e, and not told if n < e - TICK_S, as far as doubles tell them apart."""
    loop = Loop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]  # as much of one as it needs
    waiting = [(loop.now + each, future()) for each in lasting]
    for ends, each in waiting:
        deadlines.watch(each, ends)
    loop.pass_to(loop.now + passed)
    for ends, each in waiting:
        if loop.now >= ends + ROUNDING_S:
            assert each.done()
            assert each.result() is OVER
        elif loop.now < ends - TICK_S - ROUNDING_S:
            assert not each.done()


def test_one_timer_stands_for_all_of_a_tick_and_who_is_forgotten_is_not_told() -> None:
    loop = Loop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]  # as much of one as it needs
    waiting = [future() for _ in range(100)]
    ticks = [deadlines.watch(each, loop.now + 0.2) for each in waiting]
    assert loop.timers == 1
    deadlines.forget(waiting[0], ticks[0])
    waiting[1].set_result("answered")
    loop.pass_to(loop.now + 1.0)
    assert not waiting[0].done()
    assert waiting[1].result() == "answered"
    assert {each.result() for each in waiting[2:]} == {OVER}
    deadlines.forget(waiting[2], ticks[2])
