"""Loading a compiled policy while calls are decided: on a thread of its own that nobody has to wait for.

A bundle and its serialised IR come in, an `Engine` comes out; what its self-test did not reach is said. A caller that
is cancelled ends the loading at its next question; amidst a long step, the thread does not keep the process from
ending.

Decision: 2026-11-21. An engine holds a quarter of a million values that live until the next policy and are in no
cycles. The collector rests while they are made, and they are then taken out of its sight (`gc.freeze`): it would walk
them all, for a tenth of a second, with every call waiting. A policy that is replaced is freed by its reference counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading

from pdp.runtime.acceptance import Conditions
from pdp.runtime.bundle import Bundle
from pdp.runtime.engine import Engine, Going, load_compiled, untested
from policy_lang.uncollected import uncollected

log = logging.getLogger(__name__)


async def load_beside(bundle: Bundle, compiled: bytes, conditions: Conditions) -> Engine:
    """The engine of a bundle. Errors: those of `load_compiled`."""
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[Engine] = loop.create_future()
    ended = threading.Event()

    def settle(made: Engine | BaseException) -> None:
        if loaded.done():
            return
        if isinstance(made, BaseException):
            loaded.set_exception(made)
        else:
            loaded.set_result(made)

    def run() -> None:
        made = _loaded(bundle, compiled, conditions, lambda: not ended.is_set())
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, made)

    threading.Thread(target=run, name="policy-loading", daemon=True).start()
    try:
        engine = await loaded
    finally:
        ended.set()
    unreached = untested(engine)
    if unreached:
        log.info("%s", unreached)
    return engine


def _loaded(bundle: Bundle, compiled: bytes, conditions: Conditions, going: Going) -> Engine | BaseException:
    """The engine, or what went wrong, for whoever waits to raise."""
    try:
        with uncollected():
            engine = load_compiled(bundle, compiled, conditions, going)
            gc.freeze()
    except BaseException as error:  # noqa: BLE001 - a thread has nobody else to tell
        return error
    return engine
