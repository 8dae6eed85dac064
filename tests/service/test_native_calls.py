"""The native API over real gRPC: what is answered inside a message, and what ends the call."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import field
from msgspec.structs import replace

from pdp.client import Action, Call, Subject
from pdp.client.wire import batch_request, request
from pdp.gateways import UNKNOWN, Gateway
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry
from pdp.transports.check import MARGIN_S, PATIENCE_S
from pdp.transports.messages import DecideBatchResponse, DecideResponse, ExplainResponse
from pdp.transports.native_calls import MOST_ITEMS, CallError
from policy_lang.verdict import ClauseTrace, RuleTrace, Truth3
from tests.support.deciders import (
    ALLOW,
    ID,
    Behaviour,
    Exiting,
    MemoryDecider,
    hang,
    never_give_up,
    raising,
    returning,
)
from tests.support.native import APP, NOW_US, SERVICE, native_calls, serving

CALL = Call("GET", "/a?b", "orders.example", service="orders")
DENY = Decision("deny", ("default",), "default", id=ID, authenticated=True)
REPLIES = {"Decide": DecideResponse, "DecideBatch": DecideBatchResponse, "Explain": ExplainResponse}


class ByPath(MemoryDecider):
    """A decider that behaves as the path of a call says."""

    paths: dict[str, Behaviour] = field(default_factory=dict)

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        self.behaviour = self.paths.get(inquiry.path or "", self.behaviour)
        return await super().decide(inquiry, now_us, budget_s)


def ask(
    decider: MemoryDecider,
    data: bytes,
    method: str = "Decide",
    *,
    gateway: Gateway | None = APP,
    timeout_s: float | None = 5.0,
    **more: Any,
) -> Any:
    """One call of a server that is started for it: the reply; a gRPC status that is not OK raises."""

    async def once() -> Any:
        async with serving(decider, gateway, **more) as address, grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(f"/{SERVICE}/{method}", bytes, bytes)
            return REPLIES[method].FromString(await call(data, timeout=timeout_s))

    return asyncio.run(once())


def refused_with(code: grpc.StatusCode, *arguments: Any, **more: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        ask(*arguments, **more)
    assert caught.value.code() is code
    return caught.value.details() or ""


# ---------------------------------------------------------------- what is asked and told


def test_a_decider_hears_what_was_asked_by_whom_when_and_how_long_it_may_take() -> None:
    decider = MemoryDecider()
    reply = ask(decider, request(CALL), timeout_s=60.0)
    ((inquiry, now_us, budget_s),) = decider.asked
    assert (inquiry.path, inquiry.service, inquiry.gateway, now_us) == ("/a?b", "orders", "app", NOW_US)
    assert budget_s is not None
    assert 10.0 < budget_s <= 61.0 - MARGIN_S  # the wire rounds a deadline up
    assert (reply.decision.outcome, reply.decision.decision_id) == (1, ID)


def test_a_caller_without_a_deadline_is_given_one() -> None:
    decider = MemoryDecider()
    ask(decider, request(CALL), timeout_s=None)
    budget = decider.asked[0][2]
    assert budget is not None
    assert budget < PATIENCE_S


def test_an_empty_message_is_asked_and_decided() -> None:
    decider = MemoryDecider(returning(DENY))
    assert ask(decider, b"").decision.outcome == 2
    assert decider.asked[0][0].path is None


def test_a_batch_is_one_decision_for_each_in_order() -> None:
    decider = ByPath(paths={"/deny": returning(DENY), "/allow": returning(ALLOW)})
    paths = ["/allow", "/deny", "/allow", "/deny", "/deny"]
    reply = ask(decider, batch_request([dataclasses.replace(CALL, path=path) for path in paths]), "DecideBatch")
    assert [each.outcome for each in reply.decisions] == [1, 2, 1, 2, 2]
    assert [inquiry.path for inquiry, _, _ in decider.asked] == paths


def test_the_largest_batch_is_decided() -> None:
    decider = MemoryDecider()
    reply = ask(decider, batch_request([CALL] * MOST_ITEMS), "DecideBatch")
    assert [each.outcome for each in reply.decisions] == [1] * MOST_ITEMS


def test_an_explanation_comes_with_its_decision() -> None:
    clause = ClauseTrace("when 1", "token.sub is path.owner", Truth3.FALSE, "token.sub is path.owner")
    rule = RuleTrace("orders.own", "allow", "owners may", "orders.pol:3", applies=False, clauses=(clause,))
    decider = MemoryDecider(returning(replace(DENY, rules=(rule,), nearest="orders.own")))
    reply = ask(decider, request(CALL), "Explain")
    assert reply.decision.decision_id == ID
    assert (list(reply.explanation.by), reply.explanation.nearest) == (["default"], "orders.own")
    assert reply.explanation.rules[0].clauses[0].truth == 1
    assert len(decider.asked) == 1


# ---------------------------------------------------------------- what is turned away

NO_MESSAGES = {
    "noise": b"\xff" * 20,
    "a message cut short": request(CALL)[:-3],
    "an endless length": b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    "a text that is not UTF-8": request(CALL).replace(b"/a?b", b"/\xff?b"),
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "a value nested without end": b"\x0a\x04" * 200,
}


@pytest.mark.parametrize("case", NO_MESSAGES)
@pytest.mark.parametrize("method", ["Decide", "DecideBatch", "Explain"])
def test_bytes_that_are_no_message_are_turned_away_and_recorded(method: str, case: str) -> None:
    decider = MemoryDecider()
    detail = refused_with(grpc.StatusCode.INVALID_ARGUMENT, decider, NO_MESSAGES[case], method)
    assert detail == f"the request is no portcullis.v1.{method}Request"
    assert (decider.asked, decider.refused) == ([], [("request.unreadable", "app", NOW_US)])


def test_a_message_above_the_limit_is_turned_away_and_recorded() -> None:
    decider = MemoryDecider()
    refused_with(grpc.StatusCode.INVALID_ARGUMENT, decider, b"\x00" * 1025, message_bytes=1024)
    assert decider.refused == [("request.too_large", "app", NOW_US)]


def test_a_batch_of_none_or_too_many_is_turned_away() -> None:
    decider = MemoryDecider()
    for data in (b"", batch_request([CALL] * MOST_ITEMS) + batch_request([CALL])):
        refused_with(grpc.StatusCode.INVALID_ARGUMENT, decider, data, "DecideBatch")
    assert [reason for reason, _, _ in decider.refused] == ["request.unreadable"] * 2


def test_a_batch_with_one_item_that_cannot_be_asked_asks_none() -> None:
    decider = MemoryDecider()
    data = batch_request([CALL, Action("read", "order", "1", subject=Subject("employee", "u1"))])
    detail = refused_with(grpc.StatusCode.PERMISSION_DENIED, decider, data, "DecideBatch", gateway=Gateway("app", None))
    assert "`subjects`" in detail
    assert (decider.asked, decider.refused) == ([], [("request.subject", "app", NOW_US)])


def test_nobody_and_nobody_of_ours_are_turned_away() -> None:
    decider = MemoryDecider()
    refused_with(grpc.StatusCode.UNAUTHENTICATED, decider, request(CALL), gateway=None)
    refused_with(grpc.StatusCode.PERMISSION_DENIED, decider, request(CALL), gateway=UNKNOWN)
    assert decider.asked == []
    assert decider.refused == [("request.gateway", "unknown", NOW_US)] * 2


@pytest.mark.parametrize("gateway", [None, UNKNOWN], ids=["nobody", "nobody of ours"])
def test_beyond_so_many_a_second_nobody_is_turned_away_without_a_record(gateway: Gateway | None) -> None:
    decider, metrics = MemoryDecider(), Metrics()
    calls = native_calls(decider, metrics=metrics, may_record=lambda: False)
    with pytest.raises(CallError):
        asyncio.run(calls.decide(request(CALL), gateway, 5.0))
    assert (decider.asked, decider.refused) == ([], [])
    assert b'portcullis_listener_refusals_total{by="internal"} 1.0' in metrics.exposition()


def test_what_a_gateway_asks_wrongly_is_recorded_however_often_nobody_asks() -> None:
    decider = MemoryDecider()
    refused_with(grpc.StatusCode.INVALID_ARGUMENT, decider, b"\xff", may_record=lambda: False)
    assert decider.refused == [("request.unreadable", "app", NOW_US)]


def test_other_calls_get_their_turn_between_the_items_of_a_batch() -> None:
    decider, seen = MemoryDecider(), []

    async def beside() -> None:
        while len(decider.asked) < MOST_ITEMS:
            seen.append(len(decider.asked))
            await asyncio.sleep(0)

    async def both() -> None:
        calls = native_calls(decider)
        await asyncio.gather(calls.decide_batch(batch_request([CALL] * MOST_ITEMS), APP, 5.0), beside())

    asyncio.run(both())
    assert set(seen) == set(range(MOST_ITEMS))


def test_why_is_for_who_may_ask_it() -> None:
    decider = MemoryDecider()
    gateway = replace(APP, explain=False)
    detail = refused_with(grpc.StatusCode.PERMISSION_DENIED, decider, request(CALL), "Explain", gateway=gateway)
    assert "`explain`" in detail
    assert (decider.asked, decider.refused) == ([], [("request.explain", "app", NOW_US)])


def test_who_asks_too_much_is_turned_away_without_a_record() -> None:
    decider, asked = MemoryDecider(), []

    def may_ask(gateway: Gateway, items: int) -> bool:
        asked.append((gateway.name, items))
        return False

    data = batch_request([CALL] * 3)
    refused_with(grpc.StatusCode.RESOURCE_EXHAUSTED, decider, data, "DecideBatch", may_ask=may_ask)
    assert (asked, decider.asked, decider.refused) == ([("app", 3)], [], [])


def test_what_is_turned_away_is_turned_away_also_when_it_cannot_be_recorded() -> None:
    class Broken(MemoryDecider):
        async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
            raise RuntimeError("broken")

    refused_with(grpc.StatusCode.INVALID_ARGUMENT, Broken(), b"\xff")


# ---------------------------------------------------------------- what breaks


BREAKING: dict[str, Behaviour] = {
    "an error": raising(RuntimeError("broken")),
    "an exit": raising(Exiting()),
    "a system exit": raising(SystemExit(1)),
    "an interrupt": raising(KeyboardInterrupt()),
    "a cancellation of its own": raising(asyncio.CancelledError()),
    "a thing that is no decision": returning("allow"),
    "nothing": returning(None),
}


@pytest.mark.parametrize("case", BREAKING)
@pytest.mark.parametrize("method", ["Decide", "Explain"])
def test_whatever_breaks_is_a_refusal(method: str, case: str) -> None:
    metrics = Metrics()
    reply = ask(MemoryDecider(BREAKING[case]), request(CALL), method, metrics=metrics)
    assert (reply.decision.outcome, reply.decision.decision_id, reply.decision.answer.status) == (2, "", 503)
    assert b'portcullis_listener_refusals_total{by="internal"} 1.0' in metrics.exposition()


def test_what_befalls_one_of_a_batch_changes_no_other() -> None:
    decider = ByPath(paths={"/broken": raising(RuntimeError("broken")), "/hangs": hang, "/a": returning(ALLOW)})
    data = batch_request([dataclasses.replace(CALL, path=path) for path in ("/a", "/broken", "/hangs", "/a")])
    reply = DecideBatchResponse.FromString(asyncio.run(native_calls(decider).decide_batch(data, APP, 0.3)))
    assert [(each.outcome, each.answer.status) for each in reply.decisions] == [(1, 0), (2, 503), (2, 503), (1, 0)]


def test_a_failure_of_ours_ends_the_call() -> None:
    def broken(gateway: Gateway, items: int) -> bool:
        raise RuntimeError("broken")

    detail = refused_with(grpc.StatusCode.INTERNAL, MemoryDecider(), request(CALL), may_ask=broken)
    assert detail == "no decision can be given now"


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("behaviour", [hang, never_give_up], ids=["hangs", "never gives up"])
def test_a_decider_that_hangs_is_answered_for_in_time(behaviour: Behaviour) -> None:
    metrics = Metrics()
    calls = native_calls(MemoryDecider(behaviour), metrics=metrics)
    reply = DecideResponse.FromString(asyncio.run(calls.decide(request(CALL), APP, 0.2)))
    assert (reply.decision.outcome, reply.decision.answer.status) == (2, 503)
    assert b'portcullis_listener_refusals_total{by="deadline"} 1.0' in metrics.exposition()


@pytest.mark.parametrize("left_s", [0.0, 0.001, MARGIN_S], ids=str)
def test_with_too_little_time_nobody_is_asked_and_each_is_refused(left_s: float) -> None:
    decider = MemoryDecider()
    data = batch_request([CALL] * 3)
    reply = asyncio.run(native_calls(decider).decide_batch(data, APP, left_s))
    assert [each.outcome for each in DecideBatchResponse.FromString(reply).decisions] == [2, 2, 2]
    assert decider.asked == []


def test_a_message_that_is_none_is_turned_away_also_when_it_is_late() -> None:
    decider = MemoryDecider()
    with pytest.raises(CallError):
        asyncio.run(native_calls(decider).decide(b"\xff", APP, 0.0))
    assert decider.refused == []


class Slow(MemoryDecider):
    """A decider that allows only once it is let go, and says what has happened to it."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    corrected: asyncio.Event = field(default_factory=asyncio.Event)

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        self.began.set()
        await self.let_go.wait()
        return ALLOW

    def overtaken(self, decision: Decision) -> None:
        super().overtaken(decision)
        self.corrected.set()


def test_a_decision_that_was_overtaken_is_told_so_that_its_record_is_corrected() -> None:
    async def once() -> None:
        decider = Slow()
        reply = DecideResponse.FromString(await native_calls(decider).decide(request(CALL), APP, 0.05))
        assert reply.decision.outcome == 2
        decider.let_go.set()
        await decider.corrected.wait()
        assert decider.late == [ALLOW]

    asyncio.run(once())


def test_a_caller_that_leaves_stops_nothing_but_its_own_wait() -> None:
    async def once() -> None:
        decider = Slow()
        asking = asyncio.ensure_future(native_calls(decider).decide(request(CALL), APP, 5.0))
        await decider.began.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        decider.let_go.set()
        await decider.corrected.wait()
        assert decider.late == [ALLOW]

    asyncio.run(once())


def test_closing_ends_what_is_under_way() -> None:
    async def once() -> Any:
        decider = Slow()
        calls = native_calls(decider)
        asking = asyncio.ensure_future(calls.decide(request(CALL), APP, None))
        await decider.began.wait()
        await calls.close()
        return DecideResponse.FromString(await asking)

    assert asyncio.run(once()).decision.outcome == 2


# ---------------------------------------------------------------- laws


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(REPLIES)), st.binary(max_size=200), st.integers(0, 2)), max_size=8))
def test_no_bytes_are_an_allow_that_nobody_gave(calls_made: list[tuple[str, bytes, int]]) -> None:
    """For all bytes b and a decider that refuses: the reply to b is a refusal of each item, or a CallError."""

    async def all_of_them() -> None:
        calls = native_calls(MemoryDecider(returning(DENY)))
        by_method = {"Decide": calls.decide, "DecideBatch": calls.decide_batch, "Explain": calls.explain}
        starts = [b"", request(CALL), batch_request([CALL, CALL])]
        for method, noise, start in calls_made:
            try:
                reply = REPLIES[method].FromString(await by_method[method](starts[start] + noise, APP, 5.0))
            except CallError as error:
                assert error.code is grpc.StatusCode.INVALID_ARGUMENT
                continue
            decisions = reply.decisions if method == "DecideBatch" else [reply.decision]
            assert decisions
            assert all(each.outcome in {2, 3} for each in decisions)

    asyncio.run(all_of_them())
