"""Whose time is over: futures that wait, by the instant at which they may wait no longer.

Very many calls wait at a time, nearly all end in time, and a timer for each costs as much as a decision: here one timer
stands for all whose time is over within the same `TICK_S`.
INVARIANT: what is watched is told at its instant or less than `TICK_S` before it, never after, as far as the loop is
free to.
Design: contracts.md "The time of one check".
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

TICK_S = 0.005

OVER: Final = object()
"""The result of a future whose time was over."""


class Deadlines:
    """What waits on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ticks: dict[int, set[asyncio.Future[Any]]] = {}

    def watch(self, future: asyncio.Future[Any], ends_s: float) -> int:
        """Give `future` the result `OVER` at `ends_s` on the loop's clock, unless it is done; what `forget` needs."""
        tick = int(ends_s / TICK_S)
        waiting = self._ticks.get(tick)
        if waiting is None:
            waiting = self._ticks[tick] = set()
            self._loop.call_at(tick * TICK_S, self._over, tick)
        waiting.add(future)
        return tick

    def forget(self, future: asyncio.Future[Any], tick: int) -> None:
        """It waits no more."""
        waiting = self._ticks.get(tick)
        if waiting is not None:
            waiting.discard(future)

    def _over(self, tick: int) -> None:
        for future in self._ticks.pop(tick):
            if not future.done():
                future.set_result(OVER)
