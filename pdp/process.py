"""How a process that answers is run: its event loop, its turn on the processor, its collector.

`run_loop` is `asyncio.run` on uvloop. `in_turn` is for a process before it starts threads or others, which have it from
there. `seldom_collected` is for a process that answers, once what it decides by is loaded.
Design: architecture.md "Speed"; measured by `benchmarks.wire` and written down in benchmarks/README.md.

Decision: 2026-11-22. Where its cores are its own (`pdp serve --own-cores`), a thread that is woken does not interrupt
the one that runs (SCHED_BATCH, sched(7)): a listener's threads, the loop and the log's writer hand calls to each other,
and on one core each handing over interrupted who had just begun. A quarter more checks a second inside Envoy. Beside
other programs that keep the same core busy it is not for us: they are not interrupted either, and with three of them
some calls that nobody decides in time (1 to 7 of 400, and else 0 or 1) are refused after their deadline, where a
gateway may allow them. Who runs us under another policy than the usual one, or forbids the call, has that.
Decision: 2026-11-22. The collector looks after 10,000 new values and not after 700, which a burst of calls makes: next
to nothing of a call is in cycles.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

_THRESHOLDS = (10_000, 20, 100)

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """What `main` comes to."""
    return uvloop.run(main)


def in_turn() -> None:
    """Let the threads of this process, and of those it starts, end their turn before others of them begin."""
    if not hasattr(os, "SCHED_BATCH"):
        return
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def seldom_collected() -> None:
    """Let the collector look seldom."""
    gc.set_threshold(*_THRESHOLDS)
