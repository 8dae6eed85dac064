"""Calls that come one by one while there is much to do, and go on together.

What carries a call, from the kernel to the listener, and what decides it are each of them more code than a processor
keeps at hand. Taken in turns for each call, either is slow; many calls carried, and then as many decided, take less
than half of the time (benchmarks/README.md). So while the loop is busy, a call waits a moment for others.
INVARIANT: a call waits `WINDOW_S` at most, as far as the loop is free, and not at all while the loop is not busy or
where little time is left to it.
Design: architecture.md "Speed"; contracts.md "The time of one check".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

WINDOW_S = 0.003
MOST = 32
"""Calls that go on at once: with more, as much is at hand as ever will be."""

LOOK_S = 0.02
"""Time over which it is seen whether the loop is busy."""

BUSY, IDLE = 0.6, 0.3
"""Shares of that time for which the loop's thread runs: from the one on calls wait, below the other they do no more.
Calls that go on together take less, so that there is much between the two.
"""

LEAST_LEFT_S = 0.05
"""Who has less time than this does not wait."""


class Coalescing:
    """The calls of one event loop. `cpu_s` says for how many seconds its thread has run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cpu_s: Callable[[], float] = time.thread_time) -> None:
        self._loop = loop
        self._cpu_s = cpu_s
        self._busy = False
        self._looked_s, self._ran_s = loop.time(), cpu_s()
        self._waiting: list[asyncio.Future[None]] = []
        self._ending: asyncio.TimerHandle | None = None

    def turn(self, ends_s: float) -> asyncio.Future[None] | None:
        """What a call has to await before it goes on, which has until `ends_s` on the loop's clock; None: nothing."""
        now_s = self._loop.time()
        if now_s - self._looked_s >= LOOK_S:
            self._look(now_s)
        if not self._busy or ends_s - now_s < LEAST_LEFT_S:
            return None
        turn = self._loop.create_future()
        self._waiting.append(turn)
        if self._ending is None:
            self._ending = self._loop.call_later(WINDOW_S, self._go_on)
        elif len(self._waiting) >= MOST:
            self._ending.cancel()
            self._go_on()
        return turn

    def _look(self, now_s: float) -> None:
        ran_s = self._cpu_s()
        share = (ran_s - self._ran_s) / (now_s - self._looked_s)
        self._busy = share > (IDLE if self._busy else BUSY)
        self._looked_s, self._ran_s = now_s, ran_s

    def _go_on(self) -> None:
        waiting, self._waiting, self._ending = self._waiting, [], None
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)
