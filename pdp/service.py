"""The decision service: the only orchestrator. Evaluate, record, and answer within the caller's time.

Station (4) of a request: nothing leaves without a record that is as durable as the rule demands, except three answers
that are refusals and say so: `audit` (the log cannot take the record), `deadline` (the record was not durable in time)
and cancellation, where nobody listens any more. A fourth is an allow whose token could not be made: `internal`.
INVARIANT: an allow or a step-up leaves only after its own record was acknowledged by the log, a record that holds all
its inputs (none under `log minimal`, as the rule orders). Where no record can hold them all, what leaves and stands in
the record is a refusal by `audit`.
INVARIANT: every decision is counted once, before it is handed to the log, and the log is told the count with it, or
that it has no record (pdp.audit.books).
INVARIANT: a token that was made leaves only after a leaf, `minted`, says for which record, and is as durable.
Design: contracts.md "Durability"; architecture.md "The way of a request".

Decision: 2026-11-21. An answer by `deadline` carries no decision id unless its record was acknowledged: a client must
never hold an id that a crash could keep out of the log. The leaf `answer.changed` names the record it stands for.
Decision: 2026-11-21. A call of whose session nothing is known here waits for what the shared store says, and is then
evaluated once more, as if it had come only now: the second result counts, and it alone is recorded.
Decision: 2026-11-21. That the compiled form of a policy is distrusted from now on is a leaf of its own,
`policy.distrusted`, durable like any change of what decides; a log that cannot take it gets it with the next decision.
Decision: 2026-11-21. A refusal that is to stand in an aggregate has no id until the leaf of its aggregate is written.
Where another refusal left in its place before, the correction follows as soon as it has one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from pdp.answers import lacks_token
from pdp.audit.form import Form
from pdp.audit.inputs import Evidence
from pdp.audit.record import DISAGREEMENT, Entry, context_entry, decision_fields
from pdp.audit.usual_record import Records
from pdp.audit.writer import Receipt
from pdp.deadlines import OVER, Deadlines
from pdp.errors import AuditError
from pdp.evaluate import NOTHING, Evaluation, Evaluator, refusal
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry, Json, Minted
from pdp.runtime.engine import Engine

log = logging.getLogger(__name__)

MOST_OWED = 16_384
"""Leaves that the log could not take and that are stated later."""

MOST_CONTEXTS = 20_000
"""Tokens (with their address) whose context leaf is remembered; a forgotten one gets another leaf."""

SESSION_UNKNOWN = "token.session_unknown"
SESSION_WITHIN_S = 0.1
"""So long a call waits for what the shared store knows of its session."""


class Log(Protocol):
    """What the service needs of `pdp.audit.writer.LogWriter`."""

    def append(
        self,
        kind: str,
        clear: Mapping[str, Json],
        inputs: bytes | None,
        strict: bool,
        same_id: str | None = None,
        counted: int | None = None,
        *,
        wakes: bool = True,
        form: Form | None = None,
    ) -> Receipt:
        """Take one leaf; its receipt is settled later. `counted`: with a decision, the decisions so far. `wakes` False:
        `wake` follows soon. `form` writes a leaf of these fields. AuditError when the log cannot take it.
        """
        ...

    def wake(self) -> None:
        """Write what was taken."""
        ...

    def is_pressed(self) -> bool:
        """Whether a refusal should `join` others before anything is appended for it."""
        ...

    def join(self, clear: Mapping[str, Json], counted: int | None = None) -> Receipt | None:
        """Let a refusal that need not be strict stand in one leaf with others; None where it is to have its own.
        AuditError as for `append`.
        """
        ...

    def unrecorded(self, counted: int) -> None:
        """Count a decision that is refused for want of a record; `counted` are the decisions so far."""
        ...

    def boot(self) -> int:
        """Which run of the writer this is; it changes when a file had to be given up."""
        ...


class Receipts:
    """Brings receipts from the writer's thread to whoever waits for them on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._deadlines = Deadlines(loop)
        self._waiting: dict[Receipt, asyncio.Future[object]] = {}
        self._listening: dict[Receipt, Callable[[], None]] = {}

    def settled(self, receipts: Sequence[Receipt]) -> None:
        """Called by the writer, on its thread, once per group."""
        self._loop.call_soon_threadsafe(self._wake, tuple(receipts))

    def _wake(self, receipts: tuple[Receipt, ...]) -> None:
        for receipt in receipts:
            future = self._waiting.pop(receipt, None)
            if future is not None and not future.done():
                future.set_result(None)
        if self._listening:
            for receipt in receipts:
                listener = self._listening.pop(receipt, None)
                if listener is not None:
                    listener()

    def listen(self, receipt: Receipt, listener: Callable[[], None]) -> None:
        """Call `listener` on the loop once `receipt` is settled: now, where it is. To be called on the loop."""
        if receipt.settled:
            listener()
        else:
            self._listening[receipt] = listener

    async def of(self, receipt: Receipt, budget_s: float | None) -> AuditError | None:
        """Wait until `receipt` is settled: its error, or None. TimeoutError after `budget_s`.

        Must be called on the loop, in the same step as the append: the wake-up cannot come in between.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting[receipt] = future
        tick = None if budget_s is None else self._deadlines.watch(future, self._loop.time() + budget_s)
        try:
            if await future is OVER:
                raise TimeoutError
        finally:
            self._waiting.pop(receipt, None)
            if tick is not None:
                self._deadlines.forget(future, tick)
        return receipt.error


class Tokens(Protocol):
    """What the service needs of `pdp.issuing.Issuing`."""

    def token(self, decision: Decision, evaluation: Evaluation, now_us: int, /) -> Minted | str:
        """The token that goes on with a recorded allow at an instant (Unix microseconds), or why there is none. One
        whose `record` is that of another decision was kept.
        """
        ...

    def keep(self, minted: Minted, /) -> None:
        """A new token is on record: hand it out again."""
        ...

    def drop(self, minted: Minted, /) -> None:
        """A new token left with nobody."""
        ...


class NoTokens(Struct, frozen=True):
    """Nobody makes tokens."""

    def token(self, _decision: Decision, _evaluation: Evaluation, _now_us: int, /) -> Minted | str:
        """None, ever."""
        return "mint.no_key"

    def keep(self, _minted: Minted, /) -> None:
        """Nothing is kept."""

    def drop(self, _minted: Minted, /) -> None:
        """Nothing is dropped."""


NO_TOKENS = NoTokens()


class Sessions(Protocol):
    """What the service needs of `pdp.standing.Standing`."""

    async def answered(self, within_s: float, /) -> bool:
        """Whether it is known within so many seconds what the evaluation of just now did not know of a session; the
        call is then to be evaluated again. To be awaited in the same step of the loop.
        """
        ...


class NoSessions(Struct, frozen=True):
    """Nobody learns of sessions."""

    async def answered(self, _within_s: float, /) -> bool:
        """False, ever."""
        return False


NO_SESSIONS = NoSessions()


class DecisionService:
    """Decides and records; a `Decider` for every listener. `tokens` makes those that rules ask for, and `sessions`
    learns of those that are not known here.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        writer: Log,
        receipts: Receipts,
        metrics: Metrics,
        *,
        strict_methods: frozenset[str],
        monotonic: Callable[[], float],
        tokens: Tokens = NO_TOKENS,
        sessions: Sessions = NO_SESSIONS,
    ) -> None:
        self._evaluator = evaluator
        self._writer = writer
        self._receipts = receipts
        self._metrics = metrics
        self._strict_methods = strict_methods
        self._monotonic = monotonic
        self._tokens = tokens
        self._sessions = sessions
        self._contexts: OrderedDict[tuple[int, bytes, str | None], str] = OrderedDict()
        self._owed: deque[_Owed] = deque()
        self._counted = 0
        self._waking = False
        self._records = Records()

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        """Decide and record one inquiry (see `pdp.model.Decider`)."""
        started = self._monotonic()
        evaluation = self._evaluator.evaluate(inquiry, now_us)
        if evaluation.decision.reason == SESSION_UNKNOWN:
            left_s = self._left(started, budget_s)
            if await self._sessions.answered(SESSION_WITHIN_S if left_s is None else min(SESSION_WITHIN_S, left_s)):
                evaluation = self._evaluator.evaluate(inquiry, now_us)
        return await self._record(evaluation, inquiry.gateway, now_us, started, budget_s)

    def overtaken(self, decision: Decision) -> None:
        """State that a refusal left in place of a recorded decision (see `pdp.model.Decider`)."""
        if decision.id is not None:
            self._correct(decision.id, "deadline", "deadline.listener")

    async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
        """Record a request that never became an inquiry (see `pdp.model.Decider`)."""
        evaluation = Evaluation(refusal("internal", reason), NOTHING, None)
        return await self._record(evaluation, gateway, now_us, self._monotonic(), budget_s)

    async def _record(
        self, evaluation: Evaluation, gateway: str, now_us: int, started: float, budget_s: float | None
    ) -> Decision:
        decision, cut = evaluation.decision, False
        strict = self._is_strict(evaluation)
        self._counted += 1  # no other step of the loop comes between here and the log
        if decision.reason == DISAGREEMENT and evaluation.engine is not None:
            self._owed.append(_Owed("policy.distrusted", _distrusted(decision, evaluation.engine, now_us), strict=True))
        try:
            receipt = None if strict else self._joined(evaluation, gateway, now_us)
            if receipt is None:
                entry = self._entry(evaluation, gateway, now_us)
                cut = decision.outcome != "deny" and not entry.whole
                if cut:
                    decision = replace(_unrecorded(decision, "audit.record"), endpoint=decision.endpoint)
                    entry = self._entry(replace(evaluation, decision=decision), gateway, now_us)
                receipt = self._append(entry, strict)
        except AuditError as error:
            self._writer.unrecorded(self._counted)
            answer = _unrecorded(decision, error.code)
        except Exception:  # what cannot be written down cannot be answered
            log.exception("a record could not be made")
            self._writer.unrecorded(self._counted)
            answer = _unrecorded(decision, "audit.record")
        else:
            answer = await self._settled(decision, receipt, self._left(started, budget_s))
            answer = replace(answer, id=None) if cut else answer
            if answer.outcome == "allow" and lacks_token(answer):
                answer = await self._with_token(answer, evaluation, now_us, self._left(started, budget_s))
            self._state_owed()
        self._metrics.decided(answer, self._monotonic() - started)
        return answer

    def _left(self, started: float, budget_s: float | None) -> float | None:
        return None if budget_s is None else budget_s - (self._monotonic() - started)

    async def _settled(self, decision: Decision, receipt: Receipt, left_s: float | None) -> Decision:
        if left_s is not None and left_s <= 0:
            return self._late(decision, receipt, "deadline.evaluation")
        try:
            error = await self._receipts.of(receipt, left_s)
        except TimeoutError:
            return self._late(decision, receipt, "deadline.record")
        except asyncio.CancelledError:  # nobody waits any more; the record may still become durable
            self._correct_later(receipt, "deadline.listener")
            raise
        return replace(decision, id=receipt.id) if error is None else _unrecorded(decision, error.code)

    def _late(self, decision: Decision, receipt: Receipt, reason: str) -> Decision:
        """Refuse by `deadline`; the record, should it still become durable, gets its correction."""
        self._correct_later(receipt, reason)
        return _instead(decision, "deadline", reason)

    def _correct_later(self, receipt: Receipt, reason: str) -> None:
        """State that a refusal by `deadline` left: now where the record has its id, else when it is written."""

        def correct() -> None:
            if receipt.id:
                self._correct(receipt.id, "deadline", reason)

        if receipt.id:
            correct()
        else:
            self._receipts.listen(receipt, correct)

    async def _with_token(
        self, decision: Decision, evaluation: Evaluation, now_us: int, left_s: float | None
    ) -> Decision:
        """A recorded allow with the token that goes on in place of the caller's; a refusal where there is none."""
        minted = self._tokens.token(decision, evaluation, now_us)
        if isinstance(minted, str):
            self._metrics.minted("failed")
            return self._withdrawn(decision, "token" if minted == "mint.over" else "internal", minted)
        is_new = minted.record == decision.id
        if is_new:
            try:
                withdrawn = await self._stated(minted, decision, now_us, left_s)
            except asyncio.CancelledError:
                self._tokens.drop(minted)
                raise
            if withdrawn is not None:
                self._tokens.drop(minted)
                self._metrics.minted("failed")
                return withdrawn
            self._tokens.keep(minted)
        self._metrics.minted("new" if is_new else "kept")
        return replace(decision, minted=minted)

    async def _stated(self, minted: Minted, decision: Decision, now_us: int, left_s: float | None) -> Decision | None:
        """State in the log that a token was made; the refusal that leaves in place of the allow where it is not."""
        stated: dict[str, Json] = {
            "t": now_us,
            "jti": minted.jti,
            "kid": minted.kid,
            "aud": minted.audience,
            "exp": minted.expires_at,
        }
        try:
            receipt = self._writer.append("minted", stated, None, strict=decision.log.strict, same_id=decision.id)
            error = await self._receipts.of(receipt, left_s)
        except TimeoutError:
            return self._withdrawn(decision, "deadline", "deadline.record")
        except AuditError as refused:
            error = refused
        except asyncio.CancelledError:
            self._withdrawn(decision, "deadline", "deadline.listener")
            raise
        return None if error is None else self._withdrawn(decision, "audit", error.code)

    def _withdrawn(self, decision: Decision, by: str, reason: str) -> Decision:
        """A refusal in place of a recorded allow."""
        if decision.id is not None:
            self._correct(decision.id, by, reason)
        return replace(_instead(decision, by, reason), id=None if by == "audit" else decision.id)

    def _correct(self, record_id: str, by: str, reason: str) -> None:
        """Append the leaf that says another refusal left in place of what the record states."""
        changed: dict[str, Json] = {"d": "deny", "by": [by], "rc": reason}
        try:
            self._writer.append("answer.changed", changed, None, strict=False, same_id=record_id)
        except AuditError as error:
            if len(self._owed) >= MOST_OWED:
                log.warning("that another answer left is not stated in the log: %s", error.detail)
            else:
                self._owed.append(_Owed("answer.changed", changed, strict=False, same_id=record_id))

    def _entry(self, evaluation: Evaluation, gateway: str, now_us: int) -> Entry:
        decision, evidence = evaluation.decision, evaluation.evidence
        context = self._context(evidence, now_us)
        return self._records.entry(decision, evidence, evaluation.engine, now_us, gateway, context)

    def _is_strict(self, evaluation: Evaluation) -> bool:
        inquiry = evaluation.evidence.inquiry
        return evaluation.decision.log.strict or (inquiry is not None and inquiry.method in self._strict_methods)

    def _joined(self, evaluation: Evaluation, gateway: str, now_us: int) -> Receipt | None:
        """Let a refusal stand in one leaf with others where the log is pressed: no leaf says first who called."""
        decision = evaluation.decision
        if decision.outcome != "deny" or not self._writer.is_pressed():
            return None
        clear = decision_fields(decision, evaluation.evidence, evaluation.engine, now_us, gateway)
        return self._writer.join(clear, self._counted)

    def _append(self, entry: Entry, strict: bool) -> Receipt:
        if not self._waking:  # once for all that this turn of the loop appends: each waking costs a switch of threads
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake)
        try:
            return self._writer.append(
                entry.kind, entry.clear, entry.inputs, strict, counted=self._counted, wakes=False, form=entry.form
            )
        except AuditError as error:
            if error.code != "audit.record" or entry.clear.get("d") != "deny":
                raise
            # A refusal is recorded, if without inputs.
            return self._writer.append(entry.kind, entry.clear, None, strict, counted=self._counted)

    def _wake(self) -> None:
        self._waking = False
        self._writer.wake()

    def _state_owed(self) -> None:
        """State in the log what it could not take before; called when it has just taken a record."""
        while self._owed:
            owed = self._owed[0]
            try:
                self._writer.append(owed.kind, owed.clear, None, strict=owed.strict, same_id=owed.same_id)
            except AuditError as error:
                log.error("a record of the kind %s is not yet in the log: %s", owed.kind, error.detail)
                return
            self._owed.popleft()

    def _context(self, evidence: Evidence, now_us: int) -> str | None:
        """The id of the leaf that says who this caller is, appended first where it is not known yet."""
        principal, inquiry = evidence.principal, evidence.inquiry
        if principal is None or inquiry is None or not principal.credential:
            return None
        key = (self._writer.boot(), principal.credential, inquiry.ip)
        known = self._contexts.get(key)
        if known is not None:
            self._contexts.move_to_end(key)
            return known
        entry = context_entry(principal, inquiry, now_us)
        identifier = self._writer.append(entry.kind, entry.clear, entry.inputs, strict=False).id
        self._contexts[key] = identifier
        if len(self._contexts) > MOST_CONTEXTS:
            self._contexts.popitem(last=False)
        return identifier


class _Owed(Struct, frozen=True):
    """A leaf that the log could not take yet."""

    kind: str
    clear: Mapping[str, Json]
    strict: bool
    same_id: str | None = None


def _distrusted(decision: Decision, engine: Engine, now_us: int) -> Mapping[str, Json]:
    """The clear fields of `policy.distrusted`: policy, program, and where the evaluators differed."""
    return {"t": now_us, "pb": engine.digest, "ir": engine.ir_digest, "ep": decision.endpoint or ""}


def _unrecorded(decision: Decision, reason: str) -> Decision:
    return _instead(decision, "audit", reason)


def _instead(decision: Decision, by: str, reason: str) -> Decision:
    """The refusal that leaves in place of `decision`: nothing of what was decided is in it."""
    return replace(
        refusal(by, reason), policy=decision.policy, service=decision.service, authenticated=decision.authenticated
    )
