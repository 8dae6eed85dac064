"""The service: an answer leaves only with its record, in time, and otherwise as a refusal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing

import pytest
from msgspec.structs import replace

from pdp.audit.writer import Receipt
from pdp.errors import AuditError
from pdp.evaluate import NOTHING, Evaluation, Evaluator, refusal
from pdp.identity.bearer import Identity
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verifier, session_key
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry, Json, Principal
from pdp.revoking import Revoking
from pdp.runtime.engine import Engine
from pdp.service import SESSION_UNKNOWN, DecisionService, Receipts
from pdp.sessions import Sessions
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.standing import Standing
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question, Verdict
from tests.support.cases import NOW, engine
from tests.support.memory_log import MemoryLog
from tests.support.tokens import ISSUER, key_set, signer, token_of

HEALTH = Inquiry(service="ledger", method="GET", path="/health", host="ledger.example", headers=(), gateway="edge")
OWNER = Principal("token", "user", {"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, credential=b"c" * 32)


def _account(number: int) -> Inquiry:
    return Inquiry(
        service="ledger",
        method="GET",
        path=f"/accounts/a{number}",
        host="ledger.example",
        headers=(),
        gateway="edge",
        ip="203.0.113.7",
        principal=OWNER,
    )


def _evaluator(explained: int) -> Evaluator:
    return Evaluator(engine, Identity(Verifier([])), service_from_host=False, explained_per_second=explained)


def _run(
    ask: Callable[[DecisionService], Awaitable[object]],
    *,
    prepare: Callable[[MemoryLog], None] = lambda _: None,
    strict_methods: frozenset[str] = frozenset(),
    explained: int = 50,
    clock: Callable[[], float] = time.monotonic,
    evaluator: Evaluator | None = None,
) -> tuple[object, MemoryLog]:
    async def run() -> tuple[object, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = MemoryLog(receipts.settled)
        prepare(log)
        service = DecisionService(
            evaluator or _evaluator(explained),
            log,
            receipts,
            Metrics(),
            strict_methods=strict_methods,
            monotonic=clock,
        )
        return await ask(service), log

    return asyncio.run(run())


def _decide(inquiry: Inquiry = HEALTH, budget_s: float | None = 1.0, **options: object) -> tuple[Decision, MemoryLog]:
    decision, log = _run(lambda service: service.decide(inquiry, NOW * 1_000_000, budget_s), **options)  # type: ignore[arg-type]  # options of _run
    assert isinstance(decision, Decision)
    return decision, log


def test_an_allow_carries_the_id_of_its_record() -> None:
    decision, log = _decide()
    assert decision.outcome == "allow"
    assert decision.id == log.decisions()[0].receipt.id


FAULTS: dict[str, Callable[[MemoryLog], None]] = {
    "the log refuses the record": lambda log: setattr(log, "refuses", True),
    "the write of the record fails": lambda log: setattr(log, "fails", True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_without_a_record_an_allow_becomes_a_refusal_by_audit_without_an_id(fault: Callable[[MemoryLog], None]) -> None:
    decision, _ = _decide(prepare=fault)
    assert (decision.outcome, decision.by, decision.id) == ("deny", ("audit",), None)


def test_a_log_that_stalls_is_a_refusal_by_deadline_without_an_id_and_its_record_is_corrected() -> None:
    decision, log = _decide(budget_s=0.05, prepare=lambda log: setattr(log, "stalls", True))
    assert (decision.outcome, decision.by, decision.id) == ("deny", ("deadline",), None)
    corrected = log.leaves[-1]
    assert (corrected.kind, corrected.clear["of"]) == ("answer.changed", log.decisions()[0].receipt.id)


def test_time_spent_before_the_record_counts_too() -> None:
    moments = iter((0.0, 5.0, 5.0, 5.0))
    decision, _ = _decide(budget_s=1.0, clock=lambda: next(moments))
    assert decision.by == ("deadline",)


def test_a_request_that_never_became_an_inquiry_is_recorded_too() -> None:
    decision, log = _run(lambda service: service.refuse("request.unreadable", "edge", NOW * 1_000_000, 1.0))
    assert isinstance(decision, Decision)
    assert (decision.by, decision.reason) == (("internal",), "request.unreadable")
    assert log.decisions()[0].clear["rc"] == "request.unreadable"


def test_a_record_that_cannot_be_made_is_a_refusal_by_audit() -> None:
    broken = Inquiry(
        service="ledger",
        method="GET",
        path="/health",
        host="ledger.example",
        headers=(),
        gateway=object(),  # type: ignore[arg-type]  # on purpose
    )

    def refuse(log: MemoryLog) -> None:
        def append(*_: object, **__: object) -> Receipt:
            raise TypeError("not JSON")

        log.append = append  # type: ignore[method-assign]  # a fault

    decision, _ = _decide(broken, prepare=refuse)
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("audit",), "audit.record")


def test_a_token_and_address_are_described_once_and_again_after_the_log_began_anew() -> None:
    async def thrice(service: DecisionService) -> None:
        for number in (1, 1, 2):
            await service.decide(_account(number), NOW * 1_000_000, 1.0)

    _, log = _run(thrice)
    kinds = [leaf.kind for leaf in log.leaves]
    assert kinds == ["context", "decision", "decision", "decision"]
    assert {leaf.clear["cx"] for leaf in log.decisions()} == {log.leaves[0].receipt.id}
    context = json.loads(log.leaves[0].inputs or b"")
    assert context == {"ip": "203.0.113.7", "peer": None, "sub": "u1"}


def test_a_refusal_that_joins_others_leaves_no_leaf_that_says_who_called() -> None:
    """Else a flood of refusals, each from another address, would fill the log with that."""

    async def flood(service: DecisionService) -> list[Decision]:
        asked = [replace(_account(3), ip=f"203.0.113.{number}") for number in range(50)]
        return [await service.decide(each, NOW * 1_000_000, 1.0) for each in asked]

    decisions, log = _run(flood, prepare=lambda log: setattr(log, "pressed", True))
    assert isinstance(decisions, list)
    assert {(each.outcome, each.by) for each in decisions} == {("deny", ("default",))}
    assert [leaf.kind for leaf in log.leaves] == ["joined"] * 50
    assert [leaf.counted for leaf in log.leaves] == list(range(1, 51))


def test_a_strict_refusal_and_an_allow_join_nothing() -> None:
    async def twice(service: DecisionService) -> None:
        await service.decide(HEALTH, NOW * 1_000_000, 1.0)
        await service.decide(_account(3), NOW * 1_000_000, 1.0)

    _, log = _run(twice, prepare=lambda log: setattr(log, "pressed", True), strict_methods=frozenset({"GET"}))
    assert [leaf.kind for leaf in log.leaves] == ["decision", "context", "decision"]


def test_a_context_of_an_earlier_run_of_the_log_is_not_referred_to() -> None:
    holder: list[MemoryLog] = []

    async def twice(service: DecisionService) -> None:
        await service.decide(_account(1), NOW * 1_000_000, 1.0)
        holder[0].number += 1
        await service.decide(_account(1), NOW * 1_000_000, 1.0)

    _, log = _run(twice, prepare=holder.append)
    assert [leaf.kind for leaf in log.leaves] == ["context", "decision", "context", "decision"]


def test_a_method_that_is_strict_by_default_is_recorded_strictly() -> None:
    _, log = _decide(strict_methods=frozenset({"GET"}))
    assert log.decisions()[0].strict
    _, log = _decide()
    assert not log.decisions()[0].strict


def test_refusals_by_default_are_explained_so_many_times_a_second_and_then_that_is_said() -> None:
    async def thrice(service: DecisionService) -> None:
        for second in (0, 0, 0, 1):
            await service.decide(_account(3), (NOW + second) * 1_000_000, 1.0)

    _, log = _run(thrice, explained=2)
    records = [leaf.clear for leaf in log.decisions()]
    assert ["nr" in record for record in records] == [True, True, False, True]
    assert records[2]["nx"] == 1


def test_an_evaluator_that_raises_is_a_refusal_by_internal() -> None:
    evaluator = Evaluator(engine, None, service_from_host=False)  # type: ignore[arg-type]  # whatever is wrong in there
    evaluation = evaluator.evaluate(HEALTH, NOW * 1_000_000)
    assert (evaluation.decision.outcome, evaluation.decision.by) == ("deny", ("internal",))


def test_without_a_policy_everything_is_refused() -> None:
    evaluation = Evaluator(lambda: None, Identity(Verifier([])), service_from_host=False).evaluate(HEALTH, 0)
    assert (evaluation.decision.outcome, evaluation.decision.reason) == ("deny", "internal.no_policy")


def test_a_receipt_that_settles_on_another_thread_wakes_the_loop() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        receipts = Receipts(loop)
        receipt = Receipt("0" * 32, strict=False)
        settled: Sequence[Receipt] = [receipt]
        loop.run_in_executor(None, receipts.settled, settled)
        assert await receipts.of(receipt, 5.0) is None

    asyncio.run(run())


def test_a_decision_that_was_overtaken_gets_its_correction() -> None:
    async def ask(service: DecisionService) -> Decision:
        decision = await service.decide(HEALTH, NOW * 1_000_000, 1.0)
        service.overtaken(decision)
        return decision

    decision, log = _run(ask)
    assert isinstance(decision, Decision)
    assert (log.leaves[-1].kind, log.leaves[-1].clear["of"]) == ("answer.changed", decision.id)


def test_a_correction_that_the_log_cannot_take_is_stated_once_it_can() -> None:
    """When the log is full is when answers leave otherwise than recorded."""
    holder: list[MemoryLog] = []

    async def ask(service: DecisionService) -> list[Decision]:
        first = [await service.decide(HEALTH, NOW * 1_000_000, 1.0) for _ in range(3)]
        holder[0].refuses = True
        for decision in first:
            service.overtaken(decision)
        await service.decide(HEALTH, NOW * 1_000_000, 1.0)
        assert [leaf.kind for leaf in holder[0].leaves] == ["decision"] * 3
        holder[0].refuses = False
        return [*first, await service.decide(HEALTH, NOW * 1_000_000, 1.0)]

    decisions, log = _run(ask, prepare=holder.append)
    assert isinstance(decisions, list)
    corrected = [leaf.clear["of"] for leaf in log.leaves if leaf.kind == "answer.changed"]
    assert corrected == [decision.id for decision in decisions[:3]]


def test_a_decision_that_nobody_waits_for_any_more_gets_its_correction() -> None:
    async def ask(service: DecisionService) -> None:
        task = asyncio.ensure_future(service.decide(HEALTH, NOW * 1_000_000, None))
        await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    _, log = _run(ask, prepare=lambda log: setattr(log, "stalls", True))
    assert [leaf.kind for leaf in log.leaves] == ["decision", "answer.changed"]


def test_a_refusal_whose_inputs_no_record_can_hold_is_recorded_without_them() -> None:
    def picky(log: MemoryLog) -> None:
        take = log.append

        def append(
            kind: str, clear: Mapping[str, Json], inputs: bytes | None, strict: bool, **_counted: int
        ) -> Receipt:
            if inputs is not None:
                raise AuditError("audit.record", "too large")
            return take(kind, clear, inputs, strict)

        log.append = append  # type: ignore[method-assign, assignment]  # a fault

    refused, log = _decide(_account(3), prepare=picky)
    assert (refused.by, len(log.decisions())) == (("audit",), 0)  # its context cannot be recorded at all
    anonymous = Inquiry(service="ledger", method="GET", path="/x", host="ledger.example", headers=(), gateway="edge")
    refused, log = _decide(anonymous, prepare=picky)
    assert (refused.by, refused.id) == (("route",), log.decisions()[0].receipt.id)
    allowed, _ = _decide(HEALTH, prepare=picky)
    assert allowed.by == ("audit",)


def _hoarder(accounts: int) -> Inquiry:
    claims: Mapping[str, Json] = {"sub": "u1", "aud": "ledger", "accounts": [f"a{n:08}" for n in range(accounts)]}
    return replace(_account(0), path="/accounts/a00000000", principal=Principal("token", "user", claims))


def test_an_allow_whose_inputs_no_record_can_hold_is_refused_and_leaves_what_one_can_hold() -> None:
    decision, log = _decide(_hoarder(3_000))
    assert decision.outcome == "allow"
    assert "ct" not in log.decisions()[0].clear
    decision, log = _decide(_hoarder(6_000))
    assert (decision.outcome, decision.by, decision.reason, decision.id) == ("deny", ("audit",), "audit.record", None)
    (record,) = log.decisions()
    assert (record.clear["d"], record.clear["by"], record.clear["rc"]) == ("deny", ["audit"], "audit.record")
    assert record.clear["ct"] == ["claims"]
    assert record.clear["ep"]
    kept = json.loads(record.inputs or b"")
    assert (kept["path"], kept["cut"]) == ("/accounts/a00000000", ["claims"])


def test_a_refusal_whose_inputs_no_record_can_hold_leaves_with_what_one_can_hold() -> None:
    inquiry = replace(_hoarder(6_000), path="/accounts/nobody")
    decision, log = _decide(inquiry)
    assert (decision.by, decision.id) == (("default",), log.decisions()[0].receipt.id)
    assert json.loads(log.decisions()[0].inputs or b"")["path"] == "/accounts/nobody"
    assert log.decisions()[0].clear["ct"] == ["claims"]


class _Lenient(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow", by=("cases.owner_uses_own_account",))


def _differing() -> Evaluator:
    wrong: Engine = replace(engine(), plans=_Lenient.of(engine().program))
    return Evaluator(lambda: wrong, Identity(Verifier([])), service_from_host=False, compare_every=1)


def test_that_a_policy_is_distrusted_is_stated_once_beside_the_whole_record_of_the_call() -> None:
    async def thrice(service: DecisionService) -> None:
        for _ in range(3):
            await service.decide(_account(3), NOW * 1_000_000, 1.0)

    _, log = _run(thrice, evaluator=_differing())
    assert [leaf.kind for leaf in log.leaves] == ["context", "decision", "policy.distrusted", "decision", "decision"]
    refused, stated = log.leaves[1], log.leaves[2]
    assert refused.clear["rc"] == "internal.disagreement"
    assert json.loads(refused.inputs or b"")["host"] == "ledger.example"
    assert stated.strict
    assert stated.clear == {
        "t": NOW * 1_000_000,
        "pb": engine().digest,
        "ir": engine().ir_digest,
        "ep": refused.clear["ep"],
    }
    assert [leaf.clear["by"] for leaf in log.decisions()[1:]] == [["default"]] * 2


def test_a_log_that_cannot_take_it_is_told_with_the_next_record() -> None:
    holder: list[MemoryLog] = []

    async def later(service: DecisionService) -> None:
        holder[0].refuses = True
        await service.decide(_account(3), NOW * 1_000_000, 1.0)
        holder[0].refuses = False
        await service.decide(_account(3), NOW * 1_000_000, 1.0)

    _, log = _run(later, prepare=holder.append, evaluator=_differing())
    assert [leaf.kind for leaf in log.leaves] == ["context", "decision", "policy.distrusted"]


class _Unknown(Evaluator):
    """Knows nothing of sessions for its first `times` evaluations."""

    def __init__(self, times: int, reason: str = SESSION_UNKNOWN) -> None:
        super().__init__(engine, Identity(Verifier([])), service_from_host=False)
        self._reason = reason
        self._times = times
        self.evaluations = 0

    def evaluate(self, inquiry: Inquiry, now_us: int) -> Evaluation:
        self.evaluations += 1
        if self.evaluations <= self._times:
            return Evaluation(refusal("token", self._reason), replace(NOTHING, inquiry=inquiry), None)
        return super().evaluate(inquiry, now_us)


class _Store:
    """What is known of sessions: `said` after `takes_s` of a clock of its own."""

    def __init__(self, *, said: bool = True, takes_s: float = 0.0) -> None:
        self._said, self._takes_s = said, takes_s
        self.now_s = 0.0
        self.asked: list[float] = []

    async def answered(self, within_s: float, /) -> bool:
        self.asked.append(within_s)
        await asyncio.sleep(0)
        self.now_s += self._takes_s
        return self._said


def _decide_of_session(
    evaluator: _Unknown, store: _Store, budget_s: float | None = 1.0
) -> tuple[Decision, MemoryLog, str]:
    """The decision, the log, and the metrics."""

    async def run() -> tuple[Decision, MemoryLog, str]:
        receipts, metrics = Receipts(asyncio.get_running_loop()), Metrics()
        log = MemoryLog(receipts.settled)
        service = DecisionService(
            evaluator,
            log,
            receipts,
            metrics,
            strict_methods=frozenset(),
            monotonic=lambda: store.now_s,
            sessions=store,
        )
        decision = await service.decide(HEALTH, NOW * 1_000_000, budget_s)
        return decision, log, metrics.exposition().decode()

    return asyncio.run(run())


def test_a_call_whose_session_is_not_known_yet_waits_for_it_and_is_evaluated_once_more() -> None:
    evaluator, store = _Unknown(1), _Store(takes_s=0.05)
    decision, log, metrics = _decide_of_session(evaluator, store)
    assert (decision.outcome, evaluator.evaluations, store.asked) == ("allow", 2, [0.1])
    (record,) = log.decisions()
    assert (record.clear["d"], decision.id) == ("allow", record.receipt.id)
    assert "portcullis_decision_seconds_sum 0.05" in metrics


def test_the_second_look_counts_whatever_it_says() -> None:
    evaluator, store = _Unknown(9), _Store()
    decision, log, _ = _decide_of_session(evaluator, store)
    assert (decision.by, decision.reason) == (("token",), SESSION_UNKNOWN)
    assert (evaluator.evaluations, len(store.asked), len(log.decisions())) == (2, 1, 1)


def test_without_an_answer_the_first_look_counts() -> None:
    evaluator, store = _Unknown(1), _Store(said=False)
    decision, log, _ = _decide_of_session(evaluator, store)
    assert (decision.reason, evaluator.evaluations) == (SESSION_UNKNOWN, 1)
    assert log.decisions()[0].clear["rc"] == SESSION_UNKNOWN


def test_nobody_waits_for_a_session_that_has_ended() -> None:
    evaluator, store = _Unknown(1, "token.idle"), _Store()
    decision, _, _ = _decide_of_session(evaluator, store)
    assert (decision.reason, evaluator.evaluations, store.asked) == ("token.idle", 1, [])


BUDGETS = {"no limit": (None, 0.1), "much": (5.0, 0.1), "less than that": (0.03, 0.03), "nothing": (0.0, 0.0)}


@pytest.mark.parametrize(("budget_s", "within_s"), BUDGETS.values(), ids=BUDGETS)
def test_a_call_waits_no_longer_than_it_may_take(budget_s: float | None, within_s: float) -> None:
    store = _Store()
    _decide_of_session(_Unknown(1), store, budget_s)
    assert store.asked == [within_s]


def test_what_a_call_waited_counts_as_its_time() -> None:
    decision, log, _ = _decide_of_session(_Unknown(1), _Store(takes_s=0.1), 0.1)
    assert (decision.by, decision.reason) == (("deadline",), "deadline.evaluation")
    assert [leaf.clear["d"] for leaf in log.decisions()] == ["allow"]
    assert log.leaves[-1].kind == "answer.changed"


def test_a_call_that_nobody_waits_for_any_more_while_it_waits_leaves_no_record() -> None:
    class Never(_Store):
        async def answered(self, within_s: float, /) -> bool:
            await asyncio.Event().wait()
            return True

    async def run() -> list[str]:
        receipts = Receipts(asyncio.get_running_loop())
        log = MemoryLog(receipts.settled)
        service = DecisionService(
            _Unknown(1),
            log,
            receipts,
            Metrics(),
            strict_methods=frozenset(),
            monotonic=time.monotonic,
            sessions=Never(),
        )
        task = asyncio.ensure_future(service.decide(HEALTH, NOW * 1_000_000, None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [leaf.kind for leaf in log.leaves]

    assert asyncio.run(run()) == []


def test_a_service_whose_sessions_never_end_waits_for_none() -> None:
    decision, _ = _decide(evaluator=_Unknown(1))
    assert decision.reason == SESSION_UNKNOWN


def test_a_token_of_a_session_that_its_store_alone_knows_passes_at_the_first_call() -> None:
    """Everything but the listeners: identity, what it stands on, a store in its thread, and the service."""
    key = signer("ES256")
    keys = read_key_set(key_set(key.jwk()))
    assert isinstance(keys, KeySet)
    issuer = Issuer(ISSUER, keys, frozenset({"ES256"}), frozenset({"at+jwt"}), session_idle_s=600)
    shelf = Shelf(sessions={session_key(ISSUER, "used"): (NOW - 60) * 1_000_000})

    def headers(sid: str) -> tuple[tuple[str, str], ...]:
        token = token_of(key, sub="u1", aud="ledger", sid=sid, iat=NOW - 3_000, exp=NOW + 60)
        return (("authorization", f"Bearer {token}"),)

    async def answers(service: DecisionService) -> list[tuple[str, str]]:
        calls = [replace(HEALTH, headers=headers(sid)) for sid in ("used", "rests")]
        decisions = [await service.decide(call, NOW * 1_000_000, 20.0) for call in calls]
        return [(each.outcome, each.reason) for each in decisions]

    async def run() -> list[tuple[str, str]]:
        receipts = Receipts(asyncio.get_running_loop())
        with closing(Sessions(lambda: MemoryStore(shelf))) as sessions:
            revoking = Revoking(
                lambda: MemoryStore(shelf), [issuer], monotonic=time.monotonic, clock_us=lambda: NOW * 1_000_000
            )
            standing = Standing(revoking, None, sessions)
            identity = Identity(Verifier([issuer]), standing=standing.refused)
            service = DecisionService(
                Evaluator(engine, identity, service_from_host=False),
                MemoryLog(receipts.settled),
                receipts,
                Metrics(),
                strict_methods=frozenset(),
                monotonic=lambda: 0.0,
                sessions=standing,
            )
            return await answers(service)

    used, rests = asyncio.run(run())
    assert used[0] == "allow"
    assert rests == ("deny", "token.idle")
