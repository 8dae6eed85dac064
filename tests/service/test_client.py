"""The client against services that answer, hang, lie, break or are not there: never an allow that was not given."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import field
from msgspec.structs import replace

import pdp.client
from pdp.client import (
    Action,
    Answer,
    AsyncClient,
    Call,
    Client,
    ClientError,
    Decision,
    EndedError,
    FailedError,
    InquiryError,
    LateError,
    NotPermittedError,
    RateError,
    ReplyError,
    Retries,
    Tls,
    UnknownCallerError,
    UnreachableError,
)
from pdp.client.connection import was_never_sent
from pdp.client.wire import decision_in, decisions_in
from pdp.model import Challenge
from pdp.model import Decision as Decided
from pdp.transports.messages import (
    DecideBatchRequest,
    DecideBatchResponse,
    DecideRequest,
    DecideResponse,
    DecisionMessage,
    ExplainResponse,
)
from pdp.transports.native import write
from policy_lang.verdict import Duties, Header
from tests.support.certificates import Pair, TestAuthority
from tests.support.deciders import ALLOW, ID, MemoryDecider, hang, returning
from tests.support.native import APP, saying, serving, serving_beside
from tests.support.ports import free_port
from tests.support.process import ROOT

CALL = Call("GET", "/orders/4711", "orders.example", service="orders", capabilities=["step_up", "set_header"])
DENY = Decided("deny", ("default",), "default", id=ID, authenticated=True)
ALLOWED = bytes(DecideResponse(decision=write(ALLOW, None, {})).SerializeToString())

Asking = Callable[..., Any]


def by_threads(address: str, method: str, *arguments: Any, **options: Any) -> Any:
    """What a method of a Client gives."""
    with Client(address, **options) as client:
        return getattr(client, method)(*arguments)


def by_asyncio(address: str, method: str, *arguments: Any, **options: Any) -> Any:
    """What the same method of an AsyncClient gives."""
    pauses = options.pop("sleep", None)

    async def sleep(seconds: float) -> None:
        pauses(seconds)

    async def once() -> Any:
        more: dict[str, Any] = {"sleep": sleep} if pauses else {}
        async with AsyncClient(address, **options, **more) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(once())


EACH = pytest.mark.parametrize("ask", [by_threads, by_asyncio])


# ---------------------------------------------------------------- what is asked and answered


@EACH
def test_an_allow_has_its_record_and_what_it_orders(ask: Asking) -> None:
    decided = replace(ALLOW, policy="ab" * 32, duties=Duties((Header("x-user", "u1"),)), valid_until_ms=7)
    decider = MemoryDecider(returning(decided))
    with serving_beside(decider) as address:
        decision = ask(address, "decide", CALL)
    assert decision.allowed
    assert (decision.id, decision.policy_revision, decision.valid_until_ms) == (ID, "ab" * 32, 7)
    assert decision.obligations.set_headers == (("x-user", "u1"),)
    assert (decision.answer, decision.cause) == (None, None)
    ((inquiry, _, _),) = decider.asked
    assert (inquiry.path, inquiry.service, inquiry.capabilities) == (
        "/orders/4711",
        "orders",
        frozenset({"step_up", "set_header"}),
    )


@EACH
def test_a_refusal_says_what_to_answer(ask: Asking) -> None:
    with serving_beside(MemoryDecider(returning(DENY))) as address:
        decision = ask(address, "decide", CALL)
    assert not decision.allowed
    assert (decision.outcome, decision.id, decision.cause) == ("deny", ID, None)
    assert (decision.answer.status, decision.answer.title) == (403, "the request is not permitted")


@EACH
def test_a_step_up_says_what_it_asks_for(ask: Asking) -> None:
    decided = Decided(
        "step_up", ("orders.fresh",), "rule", id=ID, authenticated=True, challenges=(Challenge("mfa", 300),)
    )
    with serving_beside(MemoryDecider(returning(decided))) as address:
        decision = ask(address, "decide", CALL)
    assert not decision.allowed
    assert [(each.name, each.within_s) for each in decision.challenges] == [("mfa", 300)]
    assert dict(decision.answer.headers)["www-authenticate"].startswith("Bearer ")


@EACH
def test_a_batch_has_a_decision_for_each(ask: Asking) -> None:
    with serving_beside(MemoryDecider()) as address:
        decisions = ask(address, "decide_batch", [CALL, Action("read", "order", "4711")])
    assert [each.allowed for each in decisions] == [True, True]


@EACH
def test_an_explanation_names_who_decided(ask: Asking) -> None:
    with serving_beside(MemoryDecider(returning(DENY))) as address:
        explained = ask(address, "explain", CALL)
    assert (explained.by, explained.reason, explained.decision.id) == (("default",), "default", ID)


@EACH
def test_the_time_a_call_may_take_goes_along(ask: Asking) -> None:
    decider = MemoryDecider()
    with serving_beside(decider) as address:
        ask(address, "decide", CALL)
    budget = decider.asked[0][2]
    assert budget is not None
    assert budget <= 1.0


def test_many_threads_share_a_client_and_each_gets_its_own_reply() -> None:
    def said(method: str, data: bytes, context: Any) -> bytes:
        path = DecideRequest.FromString(data).inquiry.http.path
        return bytes(DecideResponse(decision=DecisionMessage(outcome=1, decision_id=path)).SerializeToString())

    paths = [f"/{number}" for number in range(200)]
    with saying(said) as address, Client(address, timeout_s=10) as client, ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda path: client.decide(Call("GET", path, "h")), paths)
        assert [each.id for each in found] == paths


def test_many_tasks_share_a_client() -> None:
    async def once() -> list[Decision]:
        async with serving(MemoryDecider()) as address, AsyncClient(address, timeout_s=10) as client:
            return list(await asyncio.gather(*(client.decide(CALL) for _ in range(50))))

    assert [each.allowed for each in asyncio.run(once())] == [True] * 50


@EACH
def test_a_unix_socket_is_an_address(ask: Asking, tmp_path: Path) -> None:
    with serving_beside(MemoryDecider(), address=f"unix:{tmp_path}/pdp.sock") as address:
        assert ask(address, "decide", CALL).allowed


# ---------------------------------------------------------------- a decision is not a truth value


@pytest.mark.parametrize(
    "misuse", [bool, lambda thing: not thing, lambda thing: all([thing]), lambda thing: thing or 1]
)
def test_a_decision_is_neither_true_nor_false(misuse: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"decision\.allowed"):
        misuse(Decision("allow", ID))


def test_an_explanation_is_neither_true_nor_false() -> None:
    with saying(lambda *_: b"") as address, pytest.raises(TypeError, match=r"decision\.allowed"):
        bool(by_threads(address, "explain", CALL))


NOT_ALLOWED = {
    "a refusal": Decision("deny", ID),
    "a step-up": Decision("step_up", ID),
    "an allow without a record": Decision("allow"),
    "an allow with a cause against it": Decision("allow", ID, cause=ReplyError("no")),
}


@pytest.mark.parametrize("case", NOT_ALLOWED)
def test_nothing_but_an_allow_is_allowed(case: str) -> None:
    assert not NOT_ALLOWED[case].allowed


def test_an_inquiry_has_one_principal_and_shows_no_credential() -> None:
    subject = pdp.client.Subject("employee", "u1")
    for inquiry in (Call, Action):
        with pytest.raises(ValueError, match="not both"):
            inquiry("GET", "/a", "h", authorization="Bearer t", subject=subject)
    call = Call("GET", "/a", "h", headers=[("cookie", "canary")], authorization="Bearer canary")
    assert "canary" not in repr(call)


# ---------------------------------------------------------------- replies that are none, and those of a newer service


def reply(decision: Any) -> bytes:
    return bytes(DecideResponse(decision=decision).SerializeToString())


def allow_with(**more: Any) -> bytes:
    return reply(DecisionMessage(**{"outcome": 1, "decision_id": ID} | more))


UNKNOWN_DUTY = b"\x9a\x06\x03all"
"""Field 99 of a message: something that this client does not know."""

REFUSALS: dict[str, bytes] = {
    "an empty reply": b"",
    "an empty decision": reply(DecisionMessage()),
    "no outcome": reply(DecisionMessage(decision_id=ID)),
    "an outcome of a newer service": allow_with(outcome=4),
    "an outcome below zero": allow_with(outcome=-1),
    "an allow without a record": allow_with(decision_id=""),
    "an allow that orders what was not listed": allow_with(obligations={"redactions": ["/card"]}),
    "an allow that removes headers though that was not listed": allow_with(obligations={"remove_headers": ["x-a"]}),
    "an allow that orders what this client does not know": reply(
        DecisionMessage.FromString(
            DecisionMessage(outcome=1, decision_id=ID).SerializeToString() + b"\x2a\x06" + UNKNOWN_DUTY
        )
    ),
    "an allow that sets a header to nothing known": allow_with(obligations={"set_headers": [{"name": "x-a"}]}),
    "an allow that is taken back behind it": allow_with() + reply(DecisionMessage(outcome=2)),
}


@EACH
@pytest.mark.parametrize("case", REFUSALS)
def test_a_reply_that_is_not_quite_an_allow_is_a_refusal(ask: Asking, case: str) -> None:
    with saying(lambda *_: REFUSALS[case]) as address:
        decision = ask(address, "decide", CALL)
    assert not decision.allowed
    assert decision.answer is not None
    assert 400 <= decision.answer.status <= 599


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600, 2**32 - 1])
def test_a_refusal_is_never_answered_as_a_success(status: int) -> None:
    message = DecisionMessage(outcome=2, answer={"status": status, "title": "fine"})
    assert decision_in(reply(message), CALL).answer == Answer(503, "no decision can be given now")


GARBAGE = {
    "noise": b"\xff" * 20,
    "a reply cut short": ALLOWED[:-3],
    "a page": b"<html>200 OK</html>",
    "an id that is not UTF-8": ALLOWED.replace(ID.encode(), b"\xff" * 32),
}


@EACH
@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_an_error_or_a_refusal_with_that_cause(ask: Asking, case: str) -> None:
    with saying(lambda *_: GARBAGE[case]) as address:
        with pytest.raises(ReplyError):
            ask(address, "decide", CALL)
        decision = ask(address, "decide_or_refuse", CALL)
    assert not decision.allowed
    assert isinstance(decision.cause, ReplyError)


@EACH
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_batch_with_another_number_of_decisions_is_no_reply(ask: Asking, count: int) -> None:
    decisions = DecideBatchResponse(decisions=[write(ALLOW, None, {})] * count).SerializeToString()
    with saying(lambda *_: decisions) as address:
        with pytest.raises(ReplyError, match=f"{count} decisions came for 2"):
            ask(address, "decide_batch", [CALL, CALL])
        refused = ask(address, "decide_batch_or_refuse", [CALL, CALL])
    assert [each.allowed for each in refused] == [False, False]


@EACH
def test_an_empty_batch_is_a_mistake_whatever_is_asked(ask: Asking) -> None:
    for method in ("decide_batch", "decide_batch_or_refuse"):
        with pytest.raises(ValueError, match="1 to 100"):
            ask("127.0.0.1:9", method, [])


def test_an_explanation_of_a_newer_service_says_unknown() -> None:
    message = ExplainResponse()
    rule = message.explanation.rules.add(id="orders.own", effect=9)
    rule.clauses.add(truth=9)
    message.explanation.observed.outcome = 9
    with saying(lambda *_: bytes(message.SerializeToString())) as address:
        explained = by_threads(address, "explain", CALL)
    assert explained.rules[0].effect == explained.rules[0].clauses[0].truth == "unknown"
    assert explained.observed is not None
    assert explained.observed.outcome == "deny"
    assert not explained.decision.allowed


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.booleans())
def test_no_reply_is_an_allow_that_does_not_say_so(noise: bytes, behind: bool) -> None:
    """For all bytes b: b is no reply, or is allowed only with outcome 1 and an id, and else has an answer."""
    data = (ALLOWED if behind else b"") + noise
    try:
        decision = decision_in(data, CALL)
    except ReplyError:
        return
    message = DecideResponse.FromString(data).decision
    assert not decision.allowed or (message.outcome == 1 and message.decision_id == decision.id != "")
    assert (decision.answer is None) is decision.allowed


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.integers(1, 3))
def test_no_reply_to_a_batch_is_for_another_number(noise: bytes, count: int) -> None:
    """For all bytes b and n inquiries: b is no reply, or has n decisions."""
    try:
        decisions = decisions_in(noise, [CALL] * count)
    except ReplyError:
        return
    assert len(decisions) == count


# ---------------------------------------------------------------- what goes wrong on the way

STATUSES: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InquiryError,
    grpc.StatusCode.UNAUTHENTICATED: UnknownCallerError,
    grpc.StatusCode.PERMISSION_DENIED: NotPermittedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateError,
    grpc.StatusCode.UNAVAILABLE: UnreachableError,
    grpc.StatusCode.CANCELLED: EndedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: LateError,
    grpc.StatusCode.INTERNAL: FailedError,
    grpc.StatusCode.UNIMPLEMENTED: FailedError,
    grpc.StatusCode.UNKNOWN: FailedError,
    grpc.StatusCode.DATA_LOSS: FailedError,
}


@EACH
@pytest.mark.parametrize("code", STATUSES, ids=lambda code: code.name)
def test_each_way_to_fail_has_a_name_and_is_asked_once(ask: Asking, code: grpc.StatusCode) -> None:
    asked = []

    def said(method: str, data: bytes, context: Any) -> bytes:
        asked.append(method)
        context.abort(code, "because\nof this")
        return b""

    with saying(said) as address:
        with pytest.raises(STATUSES[code], match=r"because\?of this"):
            ask(address, "decide", CALL)
        decision = ask(address, "decide_or_refuse", CALL)
    assert not decision.allowed
    assert type(decision.cause) is STATUSES[code]
    assert "\n" not in str(decision.cause)
    assert asked == ["Decide", "Decide"]


@EACH
def test_a_service_that_lacks_the_method_gives_no_decision(ask: Asking) -> None:
    async def once() -> str:
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            with pytest.raises(FailedError):
                await asyncio.to_thread(ask, f"127.0.0.1:{port}", "decide", CALL)
        finally:
            await server.stop(0)
        return "asked"

    assert asyncio.run(once()) == "asked"


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What holds a service back until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def until_nobody_waits(method: str, data: bytes, context: Any) -> bytes:
    """An allow, when it is too late."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()
    return ALLOWED


@EACH
def test_a_service_that_hangs_is_late(ask: Asking) -> None:
    with saying(until_nobody_waits) as address:
        with pytest.raises(LateError):
            ask(address, "decide", CALL, timeout_s=0.1)
        decision = ask(address, "decide_or_refuse", CALL, timeout_s=0.1)
    assert isinstance(decision.cause, LateError)
    assert not decision.allowed


def test_closing_a_client_ends_its_calls(held: threading.Event) -> None:
    came = threading.Event()

    def said(method: str, data: bytes, context: Any) -> bytes:
        came.set()
        held.wait()
        return ALLOWED

    with saying(said) as address, ThreadPoolExecutor(1) as pool:
        client = Client(address, timeout_s=60)
        asking = pool.submit(client.decide, CALL)
        came.wait()
        client.close()
        with pytest.raises(EndedError):
            asking.result()
        with pytest.raises(EndedError):
            client.decide(CALL)
        assert not client.decide_or_refuse(CALL).allowed
        held.set()


def test_closing_an_async_client_ends_its_calls_and_cancelling_stays_cancelling() -> None:
    async def once() -> None:
        decider = Beginning(hang)
        async with serving(decider) as address:
            client = AsyncClient(address, timeout_s=60)
            cancelled = asyncio.ensure_future(client.decide_or_refuse(CALL))
            await decider.began.wait()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            decider.began.clear()
            asking = asyncio.ensure_future(client.decide(CALL))
            await decider.began.wait()
            await client.close()
            with pytest.raises(EndedError):
                await asking
            with pytest.raises(EndedError):
                await client.decide(CALL)

    asyncio.run(once())


class Beginning(MemoryDecider):
    """A decider that says when it is asked."""

    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def decide(self, *arguments: Any) -> Decided:
        self.began.set()
        return await super().decide(*arguments)


# ---------------------------------------------------------------- nobody there, and again


@EACH
def test_with_nobody_there_it_is_tried_again_and_then_said(ask: Asking) -> None:
    pauses: list[float] = []
    options = {"sleep": pauses.append, "jitter": lambda: 0.5, "retries": Retries(3, 0.04, 0.1), "timeout_s": 5}
    with pytest.raises(UnreachableError):
        ask(f"127.0.0.1:{free_port()}", "decide", CALL, **options)
    assert pauses == pytest.approx([0.03, 0.06, 0.075])


@EACH
def test_without_retries_it_is_said_at_once(ask: Asking) -> None:
    pauses: list[float] = []
    decision = ask(
        f"127.0.0.1:{free_port()}", "decide_or_refuse", CALL, sleep=pauses.append, retries=Retries(most=0), timeout_s=5
    )
    assert isinstance(decision.cause, UnreachableError)
    assert pauses == []


def test_a_service_that_comes_meanwhile_is_asked() -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            if not pauses:
                stack.enter_context(serving_beside(MemoryDecider(), address=f"127.0.0.1:{port}"))
            pauses.append(seconds)
            time.sleep(seconds)

        with Client(f"127.0.0.1:{port}", timeout_s=20, retries=Retries(most=40), sleep=sleep) as client:
            assert client.decide(CALL).allowed


@EACH
def test_a_service_that_goes_in_the_middle_is_not_asked_again(ask: Asking) -> None:
    came: list[str] = []
    began = threading.Event()

    def said(method: str, data: bytes, context: Any) -> bytes:
        came.append(method)
        began.set()
        return until_nobody_waits(method, data, context)

    with ThreadPoolExecutor(1) as pool:
        with saying(said) as address:
            asking = pool.submit(ask, address, "decide", CALL, timeout_s=20)
            began.wait()
        with pytest.raises((UnreachableError, EndedError, FailedError)):
            asking.result()
    assert came == ["Decide"]


@EACH
def test_what_only_says_that_it_is_a_service_is_none(ask: Asking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stranger = threading.Thread(target=_greet, args=(listener,))
        stranger.start()
        try:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            decision = ask(address, "decide_or_refuse", CALL, timeout_s=0.5)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            stranger.join()
    assert isinstance(decision.cause, UnreachableError | LateError | FailedError)
    assert not decision.allowed


def _greet(listener: socket.socket) -> None:
    """Answer every connection as a web server would, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 8),
    st.floats(0.001, 1),
    st.floats(0.001, 5),
    st.integers(1, 12),
    st.floats(0, 10),
    st.floats(0, 0.999),
)
def test_a_pause_is_bounded_and_ends_before_the_deadline(
    most: int, first_s: float, longest_s: float, attempt: int, left_s: float, jitter: float
) -> None:
    """For all policies and moments: a pause is below what is left, between half and whole of its bound, or none."""
    pause_s = Retries(most, first_s, longest_s).pause_s(attempt, left_s, lambda: jitter)
    if pause_s is None:
        assert attempt > most or left_s <= min(longest_s, first_s * 2 ** (attempt - 1))
    else:
        bound = min(longest_s, first_s * 2 ** (attempt - 1))
        assert bound / 2 <= pause_s <= bound
        assert attempt <= most
        assert pause_s < left_s


SENT = {
    "a socket that was closed": (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
    "no words": (grpc.StatusCode.UNAVAILABLE, None),
    "words of a service": (grpc.StatusCode.UNAVAILABLE, "it failed to connect to all addresses"),
    "another status": (grpc.StatusCode.INTERNAL, "failed to connect to all addresses"),
    "no status": (None, "failed to connect to all addresses"),
}


@pytest.mark.parametrize("case", SENT)
def test_what_may_have_been_sent_is_not_made_again(case: str) -> None:
    assert not was_never_sent(*SENT[case])


# ---------------------------------------------------------------- who is who


@pytest.fixture(scope="module")
def authority() -> TestAuthority:
    return TestAuthority()


def secured(authority: TestAuthority, pair: Pair | None = None) -> grpc.ServerCredentials:
    """The credentials of a service that lets in whom `authority` has signed."""
    own = pair or authority.server()
    return grpc.ssl_server_credentials([(own.key, own.certificate)], authority.pem, require_client_auth=True)


def tls_of(authority: TestAuthority, pair: Pair, **more: Any) -> Tls:
    return Tls(authority.pem, pair.certificate, pair.key, **more)


@EACH
@pytest.mark.parametrize("name", [None, "localhost"])
def test_a_service_and_a_client_that_know_each_other_talk(
    ask: Asking, authority: TestAuthority, name: str | None
) -> None:
    tls = tls_of(authority, authority.gateway(), server_name=name)
    with serving_beside(MemoryDecider(), credentials=secured(authority)) as address:
        assert ask(address, "decide", CALL, tls=tls, timeout_s=10).allowed


STRANGERS: dict[str, Callable[[TestAuthority], Tls]] = {
    "a service of another authority": lambda ours: tls_of(TestAuthority(), ours.gateway()),
    "a service of another name": lambda ours: tls_of(ours, ours.gateway(), server_name="other.example"),
    "a client without a certificate": lambda ours: Tls(ours.pem),
    "a client of another authority": lambda ours: tls_of(ours, TestAuthority().gateway()),
}


@EACH
@pytest.mark.parametrize("case", STRANGERS)
def test_strangers_do_not_talk(ask: Asking, authority: TestAuthority, case: str) -> None:
    decider = MemoryDecider()
    tls = STRANGERS[case](authority)
    with serving_beside(decider, credentials=secured(authority)) as address:
        decision = ask(address, "decide_or_refuse", CALL, tls=tls, timeout_s=5, retries=Retries(most=0))
    assert isinstance(decision.cause, UnreachableError)
    assert not decision.allowed
    assert decider.asked == []


@EACH
def test_a_service_whose_certificate_is_of_yesterday_is_not_believed(ask: Asking, authority: TestAuthority) -> None:
    old = authority.server(valid_for=timedelta(hours=-1))
    tls = tls_of(authority, authority.gateway())
    with serving_beside(MemoryDecider(), credentials=secured(authority, old)) as address:
        decision = ask(address, "decide_or_refuse", CALL, tls=tls, timeout_s=5, retries=Retries(most=0))
    assert isinstance(decision.cause, UnreachableError)


@EACH
def test_clear_text_is_no_answer_to_who_asks_encrypted(ask: Asking, authority: TestAuthority) -> None:
    with serving_beside(MemoryDecider()) as address:
        decision = ask(address, "decide_or_refuse", CALL, tls=Tls(authority.pem), timeout_s=5, retries=Retries(most=0))
    assert isinstance(decision.cause, UnreachableError)


ELSEWHERE = {
    "pdp.example:9191": "give `tls`",
    "localhost:9191": "write 127.0.0.1:9191, or give `tls`",
    "10.0.0.1:9191": "give `tls`",
    "0.0.0.0:9191": "give `tls`",
    "dns:///127.0.0.1:1": "give `tls`",
    "127.0.0.1": "has no port: write HOST:PORT",
    "": "has no port: write HOST:PORT",
}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("address", ELSEWHERE)
def test_nothing_goes_elsewhere_in_clear(kind: type, address: str) -> None:
    with pytest.raises(ValueError, match=ELSEWHERE[address]):
        kind(address)


def test_a_certificate_without_its_key_is_a_mistake_and_a_key_is_not_shown() -> None:
    for certificate, key in ((b"c", None), (None, b"k")):
        with pytest.raises(ValueError, match="or neither"):
            Tls(None, certificate, key)
    assert "canary" not in repr(Tls(certificate=b"c", private_key=b"canary"))


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_a_mistake(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="`timeout_s`"):
        Client("127.0.0.1:9", timeout_s=timeout_s)
    with Client("127.0.0.1:9") as client, pytest.raises(ValueError, match="`timeout_s`"):
        client.decide_or_refuse(CALL, timeout_s=timeout_s)


# ---------------------------------------------------------------- what it is made of


def test_the_client_needs_nothing_else_of_the_service() -> None:
    code = "import sys, pdp.client; print(*sorted(n for n in sys.modules if n.split('.')[0] in {'pdp', 'policy_lang'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pdp", *(f"pdp.client{name}" for name in MODULES)]
    folder = ROOT / "pdp" / "client"
    assert sorted(f".{path.stem}" for path in folder.glob("[!_]*.py")) == MODULES[1:]


MODULES = ["", ".aio", ".connection", ".errors", ".model", ".sync", ".wire"]


def test_the_example_of_the_client_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = pdp.client.__doc__ or ""
    lines = text.splitlines()
    shown = [line for line in lines if line.startswith("    ") or not line]
    code = textwrap.dedent("\n".join(shown))
    with serving_beside(MemoryDecider()) as address:
        exec(compile(code.replace("127.0.0.1:9191", address), "example", "exec"), {})  # noqa: S102  our own text
    assert capsys.readouterr().out == f"allowed by the record {ID}\n"
    with serving_beside(MemoryDecider(returning(DENY)), replace(APP, subjects=False)) as address:
        exec(compile(code.replace("127.0.0.1:9191", address), "example", "exec"), {})  # noqa: S102
    first, second = capsys.readouterr().out.splitlines()
    assert first == "refused: 403 the request is not permitted"
    assert second.startswith("no decision: permission denied")


def test_everything_that_the_client_offers_is_named() -> None:
    tree = ast.parse((ROOT / "pdp" / "client" / "__init__.py").read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(pdp.client.__all__)


def test_the_client_sends_what_the_service_reads() -> None:
    with pytest.raises(InquiryError):
        Client("127.0.0.1:9").decide(Call("GET", "/\ud800", "h"))
    seen: list[Any] = []

    def said(method: str, data: bytes, context: Any) -> bytes:
        seen.append(DecideBatchRequest.FromString(data))
        return b""

    with saying(said) as address, pytest.raises(ReplyError):
        by_threads(address, "decide_batch", [CALL])
    assert seen[0].inquiries[0].http.host == "orders.example"
