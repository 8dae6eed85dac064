"""AuthZEN requests, decided: in time, each item with its record, as far as the semantic of a batch goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import field

from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Asserted, Challenge, Decision, Inquiry
from pdp.transports.authzen import MOST_ITEMS, Batch, Evaluation, Malformed, Semantic
from pdp.transports.authzen_calls import SIDE_BY_SIDE, Asker, AuthzenCalls
from tests.support.deciders import (
    ALLOW,
    ID,
    Behaviour,
    Exiting,
    MemoryDecider,
    allow,
    hang,
    never_give_up,
    raising,
    returning,
)

NOW_US = 1_767_225_600_000_000
ASKER = Asker(Gateway("app", None, subjects=True), "r1", NOW_US)
DENY = Decision("deny", ("todo.never",), "rule", id=ID, authenticated=True)
TRUE, FALSE = {"decision": True}, {"decision": False}
UNAVAILABLE = {"decision": False, "context": {"error": {"status": 503, "message": "no decision can be given now"}}}
WRONG = {"decision": False, "context": {"error": {"status": 400, "message": "`subject` is missing"}}}

deny = returning(DENY)


def evaluation(action: str) -> Evaluation:
    return Evaluation(Asserted("user", "rick"), action, {"type": "todo", "id": "t1", "properties": {}}, {})


YES, NO, NEVER, BROKEN = (evaluation(name) for name in ("yes", "no", "never", "broken"))
MALFORMED = Malformed("`subject` is missing")


class ByAction(MemoryDecider):
    """A decider that behaves as the action says."""

    actions: dict[str, Behaviour] = field(
        default_factory=lambda: {"yes": allow, "no": deny, "never": hang, "broken": raising(Exiting())}
    )

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        self.behaviour = self.actions[inquiry.action or ""]
        return await super().decide(inquiry, now_us, budget_s)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds."""
    for _ in range(100_000):
        if holds():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came to that")


def run(
    decider: MemoryDecider, ask: Callable[[AuthzenCalls], Coroutine[Any, Any, Any]], *, budget_s: float = 5.0
) -> Any:
    calls = AuthzenCalls(decider, metrics=Metrics(), acr_values={}, budget_s=budget_s)
    return asyncio.run(asyncio.wait_for(ask(calls), 10))


def batch(
    *items: Evaluation | Malformed,
    semantic: Semantic = "execute_all",
    decider: MemoryDecider | None = None,
    budget_s: float = 5.0,
    decision_ids: bool = False,
) -> Any:
    asked = Batch(items, semantic, decision_ids)
    return run(decider or ByAction(), lambda calls: calls.batch(ASKER, asked), budget_s=budget_s)


def single(decider: MemoryDecider, *, budget_s: float = 5.0) -> tuple[Decision, dict[str, Any]]:
    decision, answer = run(decider, lambda calls: calls.single(ASKER, YES), budget_s=budget_s)
    return decision, answer


def test_the_service_hears_what_was_asked_by_whom_when_and_how_long_it_may_take() -> None:
    decider = MemoryDecider()
    assert single(decider) == (ALLOW, TRUE)
    ((inquiry, now_us, budget_s),) = decider.asked
    assert (inquiry.gateway, inquiry.action, inquiry.asserted, inquiry.request_id) == (
        "app",
        "yes",
        Asserted("user", "rick"),
        "r1",
    )
    assert now_us == NOW_US
    assert budget_s is not None
    assert 4 < budget_s <= 5


SEMANTICS: dict[str, tuple[Semantic, list[Evaluation | Malformed], list[dict[str, Any]]]] = {
    "all of them": ("execute_all", [YES, NO, MALFORMED, BROKEN, YES], [TRUE, FALSE, WRONG, UNAVAILABLE, TRUE]),
    "to the first denial": ("deny_on_first_deny", [YES, NO, NEVER], [TRUE, FALSE]),
    "a malformed item is a denial": ("deny_on_first_deny", [YES, MALFORMED, NEVER], [TRUE, WRONG]),
    "a failure is a denial": ("deny_on_first_deny", [BROKEN, NEVER], [UNAVAILABLE]),
    "all, where nothing is denied": ("deny_on_first_deny", [YES, YES], [TRUE, TRUE]),
    "to the first permit": ("permit_on_first_permit", [NO, YES, NEVER], [FALSE, TRUE]),
    "neither a failure nor a malformed item is a permit": (
        "permit_on_first_permit",
        [BROKEN, MALFORMED, YES, NEVER],
        [UNAVAILABLE, WRONG, TRUE],
    ),
    "all, where nothing is permitted": ("permit_on_first_permit", [NO, NO], [FALSE, FALSE]),
}


@pytest.mark.parametrize("sentence", SEMANTICS)
def test_a_batch_goes_as_far_as_its_semantic(sentence: str) -> None:
    semantic, items, answers = SEMANTICS[sentence]
    decider = ByAction()
    assert batch(*items, semantic=semantic, decider=decider) == answers
    asked = [inquiry.action for inquiry, _, _ in decider.asked]
    decided = [each.action for each in items[: len(answers)] if isinstance(each, Evaluation)]
    assert asked == decided, "what is not answered is not asked"


def test_items_are_decided_side_by_side_and_answered_in_order() -> None:
    waiting: list[str] = []

    async def both() -> Decision:
        waiting.append("one")
        await until(lambda: len(waiting) == 2)
        return ALLOW

    assert batch(YES, NO, YES, decider=ByAction(actions={"yes": both, "no": deny})) == [TRUE, FALSE, TRUE]


def test_a_large_batch_leaves_room_for_others() -> None:
    under_way: list[int] = []
    most: list[int] = []

    async def counted() -> Decision:
        under_way.append(1)
        most.append(len(under_way))
        for _ in range(10 * SIDE_BY_SIDE):  # they begin one after the other
            await asyncio.sleep(0)
        under_way.pop()
        return ALLOW

    assert batch(*[YES] * MOST_ITEMS, decider=ByAction(actions={"yes": counted})) == [TRUE] * MOST_ITEMS
    assert max(most) == SIDE_BY_SIDE


def test_each_item_has_a_record_a_malformed_one_too() -> None:
    decider = ByAction()
    batch(YES, MALFORMED, NO, MALFORMED, decider=decider)
    assert len(decider.asked) == 2
    assert decider.refused == [("request.unreadable", "app", NOW_US)] * 2


def test_ids_of_decisions_are_told_where_they_are_asked_for() -> None:
    assert batch(YES, MALFORMED, BROKEN, decision_ids=True) == [
        {"decision": True, "context": {"decision_id": ID}},
        {"decision": False, "context": {**WRONG["context"], "decision_id": ID}},
        UNAVAILABLE,
    ]


def test_what_is_not_decided_in_time_is_not_true_and_holds_up_nothing_else() -> None:
    decider = ByAction()
    assert batch(YES, NEVER, NO, decider=decider, budget_s=0.05) == [TRUE, UNAVAILABLE, FALSE]


def test_the_time_is_that_of_the_whole_batch() -> None:
    decider = ByAction()
    items = [NEVER, YES, YES]
    assert batch(*items, semantic="permit_on_first_permit", decider=decider, budget_s=0.05) == [UNAVAILABLE] * 3
    assert [inquiry.action for inquiry, _, _ in decider.asked] == ["never"], "whose turn comes too late is not asked"


def test_no_time_at_all_is_a_refusal_without_asking() -> None:
    decider = ByAction()
    assert batch(YES, decider=decider, budget_s=0.0) == [UNAVAILABLE]
    assert decider.asked == []


UNDECIDED: dict[str, Behaviour] = {
    "raises": raising(RuntimeError("the disk is gone")),
    "exits": raising(Exiting()),
    "is cancelled": raising(asyncio.CancelledError()),
    "hangs": hang,
}


@pytest.mark.parametrize("sentence", UNDECIDED)
def test_a_service_that_breaks_refuses(sentence: str) -> None:
    decision, answer = single(MemoryDecider(UNDECIDED[sentence]), budget_s=0.05)
    assert decision.by[0] in {"internal", "deadline"}
    assert answer == FALSE


def test_a_decision_that_comes_after_it_was_given_up_is_stated_as_overtaken() -> None:
    decider = MemoryDecider(never_give_up)

    async def late(calls: AuthzenCalls) -> Decision:
        decision, _ = await calls.single(ASKER, YES)
        await until(lambda: bool(decider.late))
        return decision

    assert run(decider, late, budget_s=0.01).by == ("deadline",)
    assert decider.late == [ALLOW]


@pytest.mark.parametrize("semantic", ["execute_all", "deny_on_first_deny"])
def test_when_nobody_waits_any_more_nothing_goes_on(semantic: Semantic) -> None:
    started: list[str] = []
    ended: list[str] = []
    expected = 2 if semantic == "execute_all" else 1

    async def until_cancelled() -> Decision:
        started.append("waits")
        try:
            return await hang()
        finally:
            ended.append("cancelled")

    async def leave(calls: AuthzenCalls) -> None:
        task = asyncio.ensure_future(calls.batch(ASKER, Batch((NEVER, NEVER), semantic)))
        await until(lambda: len(started) == expected)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: len(ended) == expected)

    decider = ByAction(actions={"never": until_cancelled})
    run(decider, leave)
    assert len(decider.asked) == expected


def test_a_request_that_asks_nothing_is_recorded() -> None:
    decider = MemoryDecider()
    decision = run(decider, lambda calls: calls.refused(ASKER, "request.too_large"))
    assert (decision.outcome, decision.id) == ("deny", ID)
    assert decider.refused == [("request.too_large", "app", NOW_US)]


def test_failures_are_logged_once_a_kind(caplog: pytest.LogCaptureFixture) -> None:
    batch(*[BROKEN] * 20)
    assert len([each for each in caplog.records if "AuthZEN" in each.message]) == 1


def test_a_step_up_is_told_in_the_words_of_the_configuration() -> None:
    challenges = (Challenge("mfa", 60),)
    mfa = Decision("step_up", ("todo.mfa",), "rule", id=ID, authenticated=True, challenges=challenges)
    calls = AuthzenCalls(MemoryDecider(returning(mfa)), metrics=Metrics(), acr_values={"mfa": "urn:acr:mfa"})
    _, answer = asyncio.run(calls.single(ASKER, YES))
    assert answer["context"] == {
        "acr_values": "urn:acr:mfa",
        "max_age": 60,
        "obligations": [{"id": "1", "type": "step-up", "properties": {"acr_value": "urn:acr:mfa", "max_age": 60}}],
    }


@pytest.mark.parametrize("semantic", ["execute_all", "deny_on_first_deny"])
def test_other_calls_get_their_turn_between_the_items_of_a_batch(semantic: Semantic) -> None:
    decider, seen = ByAction(), []

    async def beside() -> None:
        while len(decider.asked) < MOST_ITEMS:
            seen.append(len(decider.asked))
            await asyncio.sleep(0)

    async def both(calls: AuthzenCalls) -> None:
        await asyncio.gather(calls.batch(ASKER, Batch((YES,) * MOST_ITEMS, semantic)), beside())

    run(decider, both)
    assert set(seen) == set(range(MOST_ITEMS))
