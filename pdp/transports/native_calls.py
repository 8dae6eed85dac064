"""The calls of the native API: bytes in, bytes out, in time; what cannot be asked is an error of the call.

    (1) size, form, number of items   INVALID_ARGUMENT
    (2) who asks, and what it may ask UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED
    (3) too little time left          a refusal by `deadline` for each item, without asking the service
    (4) each item                     one decision with its record; late: `deadline`; anything raised: `internal`
    (5) anything else                 INTERNAL

What (1) and (2) turn away is recorded as a refusal by `internal`, but for what is beyond a gateway's rate and what
comes too late for a record, and calls of nobody beyond so many a second (`limits.Strangers`), which are counted.
Messages are parsed here and not by the transport, so that a request that is no message
has a record.
INVARIANT: a call ends in a reply, in `CallError`, or in the cancellation of its own caller. The items of a batch are
decided side by side, and what befalls one of them changes another in one way: it may come too late.
Design: contracts.md "Who decided", paragraph on `Check`; security.md 2.4.

Decision: 2026-11-21. What cannot be asked is an error of the call, other than over ext_authz: no gateway stands in
between that could take one for an allow, and an error tells a programmer more than a refusal.
Decision: 2026-11-21. A batch with one item that cannot be asked is an error of the call, and no item of it is decided:
it is a fault of the program that asks, whichever item shows it.
Decision: 2026-11-21. The items of a batch begin one after the other, each in a turn of the loop of its own, as over
AuthZEN.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from msgspec import Struct, field

from pdp.gateways import UNKNOWN, Gateway
from pdp.metrics import Metrics
from pdp.model import Decider, Decision, Inquiry
from pdp.transports.check import LAST_S, LINGER_S, MARGIN_S, PATIENCE_S
from pdp.transports.limits import MayAsk, MayRecord
from pdp.transports.messages import (
    DECISIONS,
    DecideBatchRequest,
    DecideBatchResponse,
    DecideRequest,
    DecideResponse,
    ExplainRequest,
    ExplainResponse,
    Wire,
)
from pdp.transports.native import NotRead, read, write, write_explanation

MESSAGE_BYTES = 1024 * 1024
MOST_ITEMS = 100
SIDE_BY_SIDE = 16
"""Items of a batch that are decided at a time: what other callers ask comes in between."""


LATE = Decision(outcome="deny", by=("deadline",), reason="deadline.listener")
INTERNAL = Decision(outcome="deny", by=("internal",), reason="internal.error")

log = logging.getLogger(__name__)

CallerOf = Callable[[Wire], Gateway | None]
"""Who makes a call, by its gRPC context; None where the connection does not say."""


_Answering = Callable[[bytes, Gateway | None, float | None], Coroutine[Any, Any, bytes]]


class CallError(Exception):
    """The call ends with this status instead of a reply. The detail is for whoever asked."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Made(Struct, frozen=True):
    """A decision as it is told (`explained` None: it was not asked why), and what is in the log (None: nothing)."""

    told: Wire
    explained: Wire | None
    decision: Decision | None


class NativeCalls:
    """Answers the calls of every gateway. The resource it holds: decisions under way."""

    def __init__(
        self,
        decider: Decider,
        *,
        clock_us: Callable[[], int],
        metrics: Metrics,
        acr_values: Mapping[str, str],
        may_ask: MayAsk,
        may_record: MayRecord,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        self._decider = decider
        self._clock_us = clock_us
        self._metrics = metrics
        self._acr_values = acr_values
        self._may_ask = may_ask
        self._may_record = may_record
        self._message_bytes = message_bytes
        self._running: set[asyncio.Task[Any]] = set()
        self._told: set[str] = set()

    def handler(self, caller_of: CallerOf) -> grpc.GenericRpcHandler[Any, Any]:
        """The service for a gRPC server whose calls `caller_of` tells apart."""
        methods = {"Decide": self.decide, "DecideBatch": self.decide_batch, "Explain": self.explain}

        def method(call: _Answering) -> grpc.RpcMethodHandler[Any, Any]:
            async def answer(data: bytes, context: Wire) -> bytes:
                try:
                    return await call(data, caller_of(context), context.time_remaining())
                except CallError as error:
                    await context.abort(error.code, error.detail)
                    raise

            return grpc.unary_unary_rpc_method_handler(answer)

        return grpc.method_handlers_generic_handler(DECISIONS, {name: method(call) for name, call in methods.items()})

    async def decide(self, data: bytes, gateway: Gateway | None, remaining_s: float | None) -> bytes:
        """The serialised DecideResponse to `data`, a serialised DecideRequest, which `gateway` sent (None: nobody).

        `remaining_s` is the time until the caller's deadline, None where it set none. Errors: CallError.
        """
        call = _Call(gateway, self._ends(remaining_s), explain=False)
        (made,) = await self._guarded(self._answered(call, data, DecideRequest, _one))
        return _serialised(DecideResponse(decision=made.told))

    async def decide_batch(self, data: bytes, gateway: Gateway | None, remaining_s: float | None) -> bytes:
        """The DecideBatchResponse to a DecideBatchRequest; see `decide`."""
        call = _Call(gateway, self._ends(remaining_s), explain=False, batch=True)
        made = await self._guarded(self._answered(call, data, DecideBatchRequest, _all))
        return _serialised(DecideBatchResponse(decisions=[each.told for each in made]))

    async def explain(self, data: bytes, gateway: Gateway | None, remaining_s: float | None) -> bytes:
        """The ExplainResponse to an ExplainRequest; see `decide`."""
        call = _Call(gateway, self._ends(remaining_s), explain=True)
        (made,) = await self._guarded(self._answered(call, data, ExplainRequest, _one))
        return _serialised(ExplainResponse(decision=made.told, explanation=made.explained))

    async def close(self) -> None:
        """Cancel what is still under way, and wait a moment for it to end."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running), timeout=LINGER_S)

    def _ends(self, remaining_s: float | None) -> float:
        """The instant of the caller's deadline on the loop's clock."""
        return asyncio.get_running_loop().time() + (PATIENCE_S if remaining_s is None else remaining_s)

    async def _guarded(self, answering: Coroutine[Any, Any, list[_Made]]) -> list[_Made]:
        """Step (5)."""
        try:
            return await answering
        except CallError:
            raise
        except Exception as error:
            self._metrics.listener_refused("internal")
            self._tell(error)
            raise CallError(grpc.StatusCode.INTERNAL, "no decision can be given now") from error

    async def _answered(
        self, call: _Call, data: bytes, form: Wire, items_of: Callable[[Wire], Sequence[Wire]]
    ) -> list[_Made]:
        """Steps (1) to (4): what is told of each item of a message of this form."""
        now_us = self._clock_us()
        gateway = await self._known(call, now_us)
        if len(data) > self._message_bytes:
            detail = f"the request has more than {self._message_bytes} bytes"
            raise await self._turned_away(call, "request.too_large", grpc.StatusCode.INVALID_ARGUMENT, detail, now_us)
        try:
            items = items_of(form.FromString(data))
        except DecodeError:
            detail = f"the request is no {form.DESCRIPTOR.full_name}"
            raise await self._unreadable(call, detail, now_us) from None
        if not 1 <= len(items) <= MOST_ITEMS:
            raise await self._unreadable(call, f"a batch has 1 to {MOST_ITEMS} inquiries", now_us)
        if not self._may_ask(gateway, len(items)):
            raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, "more decisions a second than this gateway may have")
        inquiries = [read(item, gateway) for item in items]
        for inquiry in inquiries:
            if isinstance(inquiry, NotRead):
                malformed = inquiry.kind == "malformed"
                code = grpc.StatusCode.INVALID_ARGUMENT if malformed else grpc.StatusCode.PERMISSION_DENIED
                raise await self._turned_away(call, inquiry.reason, code, inquiry.detail, now_us)
        asked = [inquiry for inquiry in inquiries if isinstance(inquiry, Inquiry)]
        return await self._decided(call, asked, now_us)

    async def _known(self, call: _Call, now_us: int) -> Gateway:
        """Step (2): the gateway that asks, if it may ask so."""
        if call.gateway is None:
            code, detail = grpc.StatusCode.UNAUTHENTICATED, "this address does not know who asks"
            raise await self._turned_away(call, "request.gateway", code, detail, now_us)
        denied = grpc.StatusCode.PERMISSION_DENIED
        if call.gateway is UNKNOWN:
            detail = "no gateway of the configuration has the identity of this certificate"
            raise await self._turned_away(call, "request.gateway", denied, detail, now_us)
        if call.explain and not call.gateway.explain:
            detail = "this gateway may not ask why: set `explain` of its table in the configuration"
            raise await self._turned_away(call, "request.explain", denied, detail, now_us)
        return call.gateway

    async def _unreadable(self, call: _Call, detail: str, now_us: int) -> CallError:
        code = grpc.StatusCode.INVALID_ARGUMENT
        return await self._turned_away(call, "request.unreadable", code, detail, now_us)

    async def _turned_away(
        self, call: _Call, reason: str, code: grpc.StatusCode, detail: str, now_us: int
    ) -> CallError:
        """Record that a call was turned away, if there is time; the error to end it with."""
        if reason == "request.gateway" and not self._may_record():
            self._metrics.listener_refused("internal")
            return CallError(code, detail)
        name = UNKNOWN.name if call.gateway is None else call.gateway.name
        budget_s = self._until(call.ends)
        if budget_s > 0:
            await self._waited([self._noted(self._decider.refuse(reason, name, now_us, budget_s))], call.ends)
        return CallError(code, detail)

    async def _noted(self, refusing: Coroutine[Any, Any, Decision]) -> _Made:
        """A record that no reply shows, so that there is none to correct when it comes late."""
        try:
            await refusing
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  as in `_one`
            self._tell(error)
        return _Made(None, None, None)

    async def _decided(self, call: _Call, asked: Sequence[Inquiry], now_us: int) -> list[_Made]:
        """Steps (3) and (4)."""
        if self._until(call.ends) <= 0:
            return [self._late(call) for _ in asked]
        tasks = await self._waited([self._one(call, inquiry, now_us) for inquiry in asked], call.ends)
        return [self._outcome(call, task) for task in tasks]

    async def _waited(self, works: Sequence[Coroutine[Any, Any, _Made]], ends: float) -> Sequence[asyncio.Task[_Made]]:
        """Run `works` side by side until all are done or the reply has to leave. What is unfinished then may linger."""
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(work) for work in works]
        for task in tasks:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait(tasks, timeout=max(0.0, ends - LAST_S - loop.time()))
        finally:
            for task in tasks:
                if not task.done():
                    task.add_done_callback(self._overtaken)
                    loop.call_later(LINGER_S, task.cancel)
        return tasks

    def _overtaken(self, task: asyncio.Task[_Made]) -> None:
        """What came too late was not sent: where it was recorded, the record gets its correction."""
        made = None if task.cancelled() else task.result()
        if made is not None and made.decision is not None:
            self._decider.overtaken(made.decision)

    async def _one(self, call: _Call, inquiry: Inquiry, now_us: int) -> _Made:
        """One item. Runs as a task of its own, so that a cancellation in here is not one of the caller."""
        try:
            async with call.turn:
                if call.batch:
                    async with call.beginning:  # without it all that wait would go on in one turn of the loop
                        await asyncio.sleep(0)
                decision = await self._decider.decide(inquiry, now_us, self._until(call.ends))
            return self._made(call, decision, inquiry, decision)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  an exit raised in here would end the loop, and every call with it
            self._tell(error)
            return self._failed(call)

    def _outcome(self, call: _Call, task: asyncio.Task[_Made]) -> _Made:
        if not task.done():
            return self._late(call)
        return self._failed(call) if task.cancelled() else task.result()

    def _late(self, call: _Call) -> _Made:
        self._metrics.listener_refused("deadline")
        return self._made(call, LATE, None, None)

    def _failed(self, call: _Call) -> _Made:
        self._metrics.listener_refused("internal")
        return self._made(call, INTERNAL, None, None)

    def _made(self, call: _Call, decision: Decision, inquiry: Inquiry | None, recorded: Decision | None) -> _Made:
        explained = write_explanation(decision) if call.explain else None
        return _Made(write(decision, inquiry, self._acr_values), explained, recorded)

    def _until(self, ends: float) -> float:
        """The time in which the service must have answered."""
        return ends - MARGIN_S - asyncio.get_running_loop().time()

    def _tell(self, error: BaseException) -> None:
        """Each kind of failure is logged once, with its trace: a flood of them must not fill the disk."""
        kind = type(error).__qualname__
        if kind not in self._told:
            self._told.add(kind)
            log.error("a native call failed and was refused; further %s are only counted", kind, exc_info=error)


class _Call(Struct, frozen=True):
    """Who asks, until when on the loop's clock, whether it asks why, and whether several things; `turn` is what its
    items wait for, and `beginning` what those of a batch have one after the other.
    """

    gateway: Gateway | None
    ends: float
    explain: bool
    batch: bool = False
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SIDE_BY_SIDE))
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)


def _one(message: Wire) -> Sequence[Wire]:
    return (message.inquiry,)


def _all(message: Wire) -> Sequence[Wire]:
    return tuple(message.inquiries)


def _serialised(message: Wire) -> bytes:
    data: bytes = message.SerializeToString()
    return data
