"""The questions of one AuthZEN request, decided in time: each a decision of its own, with its record.

Evaluations come in, the JSON of their answers goes out. A single one that was not decided is for the caller of this
module to answer as such; an item of a batch says so itself.
INVARIANT: nothing but the cancellation of its own caller is raised; it cancels what is still under way. An answer is
true only where the service has said so within the time of the whole request.
Design: contracts.md "Who decided"; gateways.md 2.

    execute_all              all items, `SIDE_BY_SIDE` at a time, an answer for each
    deny_on_first_deny       one after the other, to the first that is not true
    permit_on_first_permit   one after the other, to the first that is true

Decision: 2026-11-21. The time is that of a request, not of an item: `BUDGET_S` for all of a batch. An item whose turn
comes later is not asked, and not true.
Decision: 2026-11-21. The items of a batch begin one after the other, each in a turn of the loop of its own: as many as
are decided at a time must not keep other callers waiting together.
Decision: 2026-11-21. A malformed item has a record of its own, as a malformed request has: refused by `internal`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from msgspec import Struct

from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Decider, Decision, Inquiry, Json
from pdp.transports.authzen import Batch, Evaluation, Malformed, inquiry_of, with_decision_id, write, write_error

BUDGET_S = 1.0
"""The time in which the service must have decided all of a request."""

SIDE_BY_SIDE = 16
"""Items of a batch that are decided at a time: what other callers ask comes in between."""

GRACE_S = 0.1
"""What a decision may take beyond its time before it is given up."""

LATE = Decision(outcome="deny", by=("deadline",), reason="deadline.listener")
INTERNAL = Decision(outcome="deny", by=("internal",), reason="internal.error")

log = logging.getLogger(__name__)


class Asker(Struct, frozen=True):
    """Who asks, under which id of its own, and when (Unix microseconds)."""

    gateway: Gateway
    request_id: str | None
    now_us: int


class AuthzenCalls:
    """Decides what is asked. The state it holds: which failures were logged."""

    def __init__(
        self, decider: Decider, *, metrics: Metrics, acr_values: Mapping[str, str], budget_s: float = BUDGET_S
    ) -> None:
        """`acr_values` as in `pdp.answers.http_answer`; `budget_s` for all that one request asks."""
        self._decider = decider
        self._metrics = metrics
        self._acr_values = acr_values
        self._budget_s = budget_s
        self._told: set[str] = set()

    async def single(self, asker: Asker, evaluation: Evaluation) -> tuple[Decision, dict[str, Json]]:
        """The decision on one evaluation, and its answer."""
        inquiry = inquiry_of(evaluation, asker.gateway, asker.request_id)
        decision = await self._decided(asker, inquiry, _now() + self._budget_s)
        return decision, write(decision, inquiry, self._acr_values, item=False)

    async def batch(self, asker: Asker, batch: Batch) -> list[Json]:
        """The answers to the items of a batch, in order, as far as its semantic goes."""
        ends = _now() + self._budget_s
        if batch.semantic == "execute_all":
            return await self._all(asker, batch, ends)
        last = batch.semantic == "permit_on_first_permit"
        answers: list[Json] = []
        for item in batch.items:
            await asyncio.sleep(0)
            answer = await self._item(asker, batch, item, ends)
            answers.append(answer)
            if answer["decision"] is last:
                break
        return answers

    async def refused(self, asker: Asker, reason: str) -> Decision:
        """Record a request that asks nothing that can be decided."""
        return await self._refused(asker, reason, _now() + self._budget_s)

    def tell(self, error: BaseException) -> None:
        """Each kind of failure is logged once, with its trace: a flood of them must not fill the disk."""
        kind = type(error).__qualname__
        if kind not in self._told:
            self._told.add(kind)
            log.error("an AuthZEN request failed and was refused; further %s are only counted", kind, exc_info=error)

    async def _all(self, asker: Asker, batch: Batch, ends: float) -> list[Json]:
        turn, beginning = asyncio.Semaphore(SIDE_BY_SIDE), asyncio.Lock()

        async def in_turn(item: Evaluation | Malformed) -> Json:
            async with turn:
                async with beginning:  # without it all that wait would go on in one turn of the loop
                    await asyncio.sleep(0)
                return await self._item(asker, batch, item, ends)

        return list(await asyncio.gather(*(in_turn(item) for item in batch.items)))

    async def _item(self, asker: Asker, batch: Batch, item: Evaluation | Malformed, ends: float) -> dict[str, Json]:
        if isinstance(item, Malformed):
            decision = await self._refused(asker, "request.unreadable", ends)
            answer = write_error(400, item.message)
        else:
            inquiry = inquiry_of(item, asker.gateway, asker.request_id)
            decision = await self._decided(asker, inquiry, ends)
            answer = write(decision, inquiry, self._acr_values, item=True)
        return with_decision_id(answer, decision) if batch.decision_ids else answer

    async def _decided(self, asker: Asker, inquiry: Inquiry, ends: float) -> Decision:
        return await self._in_time(ends, lambda left_s: self._decider.decide(inquiry, asker.now_us, left_s))

    async def _refused(self, asker: Asker, reason: str, ends: float) -> Decision:
        name = asker.gateway.name
        return await self._in_time(ends, lambda left_s: self._decider.refuse(reason, name, asker.now_us, left_s))

    async def _in_time(self, ends: float, work: Callable[[float], Coroutine[Any, Any, Decision]]) -> Decision:
        """What `work` comes to, or a refusal by `deadline`. `ends` is on the loop's clock."""
        left_s = ends - _now()
        if left_s <= 0:
            return self._failed(LATE)
        task = asyncio.ensure_future(self._guarded(work(left_s)))
        try:
            await asyncio.wait({task}, timeout=left_s + GRACE_S)
        finally:
            if not task.done():
                task.add_done_callback(self._overtaken)
                task.cancel()
        if not task.done():
            return self._failed(LATE)
        return self._failed(INTERNAL) if task.cancelled() else task.result()

    async def _guarded(self, work: Coroutine[Any, Any, Decision]) -> Decision:
        """Runs as a task of its own, so that a cancellation in here is not one of the caller."""
        try:
            return await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  an exit raised in here would end the loop, and every call with it
            self.tell(error)
            return self._failed(INTERNAL)

    def _failed(self, decision: Decision) -> Decision:
        self._metrics.listener_refused("deadline" if decision is LATE else "internal")
        return decision

    def _overtaken(self, task: asyncio.Task[Decision]) -> None:
        """What came too late was not sent: where it was recorded, the record gets its correction."""
        if not task.cancelled() and task.result().id:
            self._decider.overtaken(task.result())


def _now() -> float:
    return asyncio.get_running_loop().time()
