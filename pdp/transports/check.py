"""The call `Check`, whatever carries it: bytes in, bytes of a CheckResponse out, in time, and never an error.

A gateway under `failure_mode_allow` takes every failure of the call itself for an allow, so each way to fail ends in a
message that refuses (security.md 0.2):
    (1) too little time left            `deadline`, without asking the service
    (2) too large, or not to be parsed  the service records it and refuses (`internal`)
    (3) the service overruns its time   `deadline`
    (4) anything is raised, anywhere    `internal`, from bytes that were made when this module was loaded
INVARIANT: `answer` raises nothing but the cancellation of its own caller, when nobody listens any more.
Design: contracts.md "Who decided", paragraph on `Check`; security.md 0.1, 0.2, 2.4.

Decision: 2026-11-21. A call without a deadline is given PATIENCE_S: gateways always set one, and a call that may stay
for ever would hold one of the connection's streams.
Decision: 2026-11-21. A decision that is late, or that nobody waits for, is left LINGER_S to bring its record in order
before it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from google.protobuf.message import DecodeError
from msgspec import Struct

from pdp.deadlines import Deadlines
from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Decider, Decision
from pdp.transports.coalescing import Coalescing
from pdp.transports.ext_authz import read, write
from pdp.transports.messages import CheckRequest
from pdp.transports.replies import Replies

MARGIN_S = 0.020
"""The service must have answered so long before the caller's deadline; with no more than that left it is not asked."""

LAST_S = 0.015
"""So long before the deadline the answer leaves, whatever is unfinished."""

PATIENCE_S = 10.0
"""The deadline of a call that has none."""

LONGEST_S = 60.0
"""A call with a longer deadline is answered within this time all the same."""

LINGER_S = 1.0
"""What is left to a decision that nobody waits for any more, to bring its record in order."""

MESSAGE_BYTES = 1024 * 1024
METADATA_BYTES = 64 * 1024

INTERNAL = write(Decision(outcome="deny", by=("internal",), reason="internal.error"), None, {})
LATE = write(Decision(outcome="deny", by=("deadline",), reason="deadline.listener"), None, {})

log = logging.getLogger(__name__)


class Answered(Struct, frozen=True):
    """A reply, and the decision it writes (None: it was made here)."""

    reply: bytes
    decision: Decision | None


class CheckCall:
    """Answers the checks of one gateway. The resource it holds: decisions under way."""

    def __init__(
        self,
        decider: Decider,
        gateway: Gateway,
        *,
        clock_us: Callable[[], int],
        metrics: Metrics,
        acr_values: Mapping[str, str],
        message_bytes: int = MESSAGE_BYTES,
        turns: Coalescing | None = None,
    ) -> None:
        """`turns` are the calls that go on together, None: each goes on by itself."""
        self._decider = decider
        self._gateway = gateway
        self._clock_us = clock_us
        self._metrics = metrics
        self._replies = Replies(acr_values)
        self._message_bytes = message_bytes
        self._turns = turns
        self._running: set[asyncio.Task[Answered]] = set()
        self._deadlines: Deadlines | None = None
        self._told: set[str] = set()

    async def answer(
        self, data: bytes, metadata: Iterable[tuple[str, str | bytes]], remaining_s: float | None
    ) -> bytes:
        """The serialised CheckResponse to `data`, a serialised CheckRequest.

        `metadata` is what came beside it; `remaining_s` the time until the caller's deadline, None where it set none.
        """
        left = PATIENCE_S if remaining_s is None else min(remaining_s, LONGEST_S)
        if not left > MARGIN_S:
            self._metrics.listener_refused("deadline")
            return LATE
        loop = asyncio.get_running_loop()
        deadlines = self._deadlines
        if deadlines is None:
            deadlines = self._deadlines = Deadlines(loop)
        ends = loop.time() + left
        task, waiter = loop.create_task(self._decide(data, metadata, ends - MARGIN_S)), loop.create_future()
        self._running.add(task)

        def ended(_: object) -> None:
            self._running.discard(task)
            if not waiter.done():
                waiter.set_result(None)

        task.add_done_callback(ended)
        tick = deadlines.watch(waiter, ends - LAST_S)
        try:
            await waiter
        finally:
            deadlines.forget(waiter, tick)
            is_late = loop.time() >= ends - LAST_S  # the loop was held, and the decision may have come meanwhile
            if not task.done() or is_late:
                task.add_done_callback(self._overtaken)
                loop.call_later(LINGER_S, task.cancel)
        return self._outcome(task, is_late=is_late)

    async def close(self) -> None:
        """Cancel what is still under way, and wait a moment for it to end."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running), timeout=LINGER_S)

    def _overtaken(self, task: asyncio.Task[Answered]) -> None:
        """What came too late was not sent: where it was recorded, the record gets its correction."""
        decision = None if task.cancelled() else task.result().decision
        if decision is not None:
            self._decider.overtaken(decision)

    def _outcome(self, task: asyncio.Task[Answered], *, is_late: bool) -> bytes:
        if not task.done() or is_late:
            self._metrics.listener_refused("deadline")
            return LATE
        if task.cancelled():
            self._metrics.listener_refused("internal")
            return INTERNAL
        return task.result().reply

    async def _decide(self, data: bytes, metadata: Iterable[tuple[str, str | bytes]], ends: float) -> Answered:
        """Steps (2) and (4). Runs as a task of its own, so that a cancellation in here is not one of the caller.

        `ends` is the instant, on the loop's clock, by which the service must have answered.
        """
        try:
            return await self._answered(data, metadata, ends)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  an exit raised in here would end the loop, and every call with it
            self._metrics.listener_refused("internal")
            self._tell(error)
            return Answered(INTERNAL, None)

    async def _answered(self, data: bytes, metadata: Iterable[tuple[str, str | bytes]], ends: float) -> Answered:
        turn = None if self._turns is None else self._turns.turn(ends)
        if turn is not None:
            await turn
        now_us = self._clock_us()
        if len(data) > self._message_bytes or sum(len(k) + len(v) for k, v in metadata) > METADATA_BYTES:
            return await self._refused("request.too_large", now_us, ends)
        try:
            check = CheckRequest.FromString(data)
        except DecodeError:
            return await self._refused("request.unreadable", now_us, ends)
        inquiry = read(check, self._gateway)
        decision = await self._decider.decide(inquiry, now_us, self._until(ends))
        return Answered(self._replies.write(decision, inquiry), decision)

    async def _refused(self, reason: str, now_us: int, ends: float) -> Answered:
        decision = await self._decider.refuse(reason, self._gateway.name, now_us, self._until(ends))
        return Answered(self._replies.write(decision, None), decision)

    def _until(self, ends: float) -> float:
        return ends - asyncio.get_running_loop().time()

    def _tell(self, error: BaseException) -> None:
        """Each kind of failure is logged once, with its trace: a flood of them must not fill the disk."""
        kind = type(error).__qualname__
        if kind not in self._told:
            self._told.add(kind)
            log.error("a check failed and was refused; further %s are only counted", kind, exc_info=error)
