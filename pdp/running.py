"""Parts of a service that run beside the rest, and work that the end of the service breaks off.

INVARIANT: a part that ends by itself ends the service: one that no longer reloads, or no longer keeps its log, must not
look ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import TypeVar

log = logging.getLogger(__name__)

Made = TypeVar("Made")


async def unless_stopped(work: Coroutine[object, object, Made], stop: asyncio.Event) -> Made | None:
    """What `work` comes to; None where the service was asked to end before."""
    loop = asyncio.get_running_loop()
    task, stopped = loop.create_task(work), loop.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        return task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


@contextlib.asynccontextmanager
async def background(work: Coroutine[object, object, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run a part of the service beside the rest; it is cancelled and waited for at the end. Where it ends by itself,
    `stop` is set.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("a part of the service ended by itself; the service ends", exc_info=task.exception())
            stop.set()

    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
