"""The call `Check` without a transport: every way to fail, and every way to be late, ends in bytes that refuse."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Decision
from pdp.transports.check import INTERNAL, LATE, LONGEST_S, MARGIN_S, CheckCall
from pdp.transports.messages import CheckResponse
from tests.support.deciders import ALLOW, MemoryDecider, hang, raising, request


def calling(decider: MemoryDecider, metrics: Metrics | None = None) -> CheckCall:
    gateway = Gateway("edge", None)
    return CheckCall(decider, gateway, clock_us=lambda: 0, metrics=metrics or Metrics(), acr_values={})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.binary(max_size=30).map(lambda b: request() + b)), max_size=5))
def test_no_bytes_get_an_error_of_the_call(messages: list[bytes]) -> None:
    """For all bytes b: the reply to b parses and has a response set, whatever the decider is given."""

    async def all_of_them() -> None:
        call = calling(MemoryDecider())
        for data in messages:
            response = CheckResponse.FromString(await call.answer(data, (), 5.0))
            assert response.WhichOneof("http_response") is not None

    asyncio.run(all_of_them())


def test_a_kind_of_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()

    async def thrice() -> None:
        decider = MemoryDecider(raising(RuntimeError("broken")))
        call = calling(decider, metrics)
        for _ in range(3):
            assert await call.answer(request(), (), None) == INTERNAL

    asyncio.run(thrice())
    assert len([record for record in caplog.records if record.name == "pdp.transports.check"]) == 1
    assert b'portcullis_listener_refusals_total{by="internal"} 3.0' in metrics.exposition()


def test_the_prebuilt_answers_refuse() -> None:
    for data in (INTERNAL, LATE):
        response = CheckResponse.FromString(data)
        assert (response.status.code, response.denied_response.status.code) == (13, 503)
        assert response.denied_response.body


@pytest.mark.parametrize("left_s", [0.0, 0.001, MARGIN_S], ids=str)
def test_with_too_little_time_nobody_is_asked(left_s: float) -> None:
    decider, metrics = MemoryDecider(), Metrics()
    call = calling(decider, metrics)
    assert asyncio.run(call.answer(request(), (), left_s)) == LATE
    assert (decider.asked, decider.refused) == ([], [])
    assert b'portcullis_listener_refusals_total{by="deadline"} 1.0' in metrics.exposition()


def test_with_just_enough_time_the_decider_is_asked() -> None:
    decider = MemoryDecider()
    call = calling(decider)
    assert CheckResponse.FromString(asyncio.run(call.answer(request(), (), 60.0))).status.code == 0
    budget = decider.asked[0][2]
    assert budget is not None
    assert 50.0 < budget <= 60.0 - MARGIN_S  # what is left when the decider is asked, not when the call came


def test_a_decision_that_was_overtaken_is_told_so_that_its_record_is_corrected() -> None:
    let_go = asyncio.Event()

    async def slow() -> Decision:
        await let_go.wait()
        return ALLOW

    decider = MemoryDecider(slow)

    async def run() -> bytes:
        answer = await calling(decider).answer(request(), (), 0.05)
        let_go.set()
        await asyncio.sleep(0.05)
        return answer

    assert asyncio.run(run()) == LATE
    assert decider.late == [ALLOW]


def test_an_allow_that_came_while_the_loop_was_held_beyond_the_deadline_leaves_as_a_refusal() -> None:
    async def holding() -> Decision:
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is held on purpose
        return ALLOW

    decider = MemoryDecider(holding)

    async def run() -> bytes:
        answer = await calling(decider).answer(request(), (), 0.05)
        await asyncio.sleep(0.01)
        return answer

    assert asyncio.run(run()) == LATE
    assert decider.late == [ALLOW]


@pytest.mark.parametrize("left_s", [float("nan"), float("inf"), 1e9])
def test_no_deadline_is_so_far_that_somebody_waits_for_it(left_s: float) -> None:
    decider = MemoryDecider()
    answer = asyncio.run(calling(decider).answer(request(), (), left_s))
    assert answer == LATE or 0.0 < (decider.asked[0][2] or 0.0) <= LONGEST_S


def test_a_late_decision_may_bring_its_record_in_order() -> None:
    let_go, finished = asyncio.Event(), []

    async def slow() -> Decision:
        await let_go.wait()
        finished.append("record")
        return ALLOW

    async def once() -> bytes:
        call = calling(MemoryDecider(slow))
        reply = await call.answer(request(), (), 0.03)
        assert finished == []
        let_go.set()
        await asyncio.sleep(0.05)
        return reply

    assert asyncio.run(once()) == LATE
    assert finished == ["record"]


def test_a_caller_that_leaves_stops_nothing_but_its_own_wait() -> None:
    began, let_go, finished = asyncio.Event(), asyncio.Event(), []

    async def slow() -> Decision:
        began.set()
        await let_go.wait()
        finished.append("record")
        return ALLOW

    async def once() -> None:
        call = calling(MemoryDecider(slow))
        waiting = asyncio.ensure_future(call.answer(request(), (), 5.0))
        await began.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        let_go.set()
        await asyncio.sleep(0.05)

    asyncio.run(once())
    assert finished == ["record"]


def test_closing_ends_what_is_under_way() -> None:
    async def once() -> bytes:
        call = calling(MemoryDecider(hang))
        waiting = asyncio.ensure_future(call.answer(request(), (), None))
        await asyncio.sleep(0.01)
        await call.close()
        return await waiting

    assert asyncio.run(once()) == INTERNAL
