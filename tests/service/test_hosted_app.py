"""The application that Envoy hosts, without Envoy: whatever comes and whatever breaks, and who is taken for whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.transports.check import LATE
from pdp.transports.grpc_frames import framed
from pdp.transports.hosted_app import HostedApp, HostedListener, hosted_app
from pdp.transports.hosted_grpc import MOST_S
from pdp.transports.http_app import http_app
from pdp.transports.messages import CheckResponse
from tests.support.certificates import EDGE_ID, TestAuthority
from tests.support.deciders import Exiting, MemoryDecider, allow, hang, raising, request, returning
from tests.support.http_parts import FORWARDED, KNOWN, parts
from tests.support.http_serving import certificates

CHECK = "/envoy.service.auth.v3.Authorization/Check"
EDGE = Gateway("edge", None, EDGE_ID)
GRPC = HostedListener("grpc-0", "grpc", "127.0.0.1:1", EDGE)
OPERATORS = HostedListener("http-0", "http", "0.0.0.0:2", operations=True)
LOCAL = HostedListener("http-1", "http", "127.0.0.1:3", EDGE)
Event = dict[str, Any]


class Answer(Struct, frozen=True):
    """What an application sent."""

    events: list[Event]

    @property
    def headers(self) -> dict[bytes, bytes]:
        found = [pair for each in self.events for pair in each.get("headers", ())]
        return dict(found)

    @property
    def status(self) -> int:
        return int(self.events[0]["status"])

    @property
    def grpc_status(self) -> bytes | None:
        return self.headers.get(b"grpc-status")

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.events)

    @property
    def code(self) -> int:
        """The code inside the message of an answer to a check, whose call has succeeded."""
        assert (self.status, self.grpc_status) == (200, b"0")
        assert self.body[:5] == b"\0" + (len(self.body) - 5).to_bytes(4, "big")
        return int(CheckResponse.FromString(self.body[5:]).status.code)


def app_of(decider: MemoryDecider, listeners: Sequence[HostedListener] = (GRPC, OPERATORS, LOCAL)) -> HostedApp:
    return hosted_app(
        decider,
        listeners,
        http_app(parts(decider)),
        clock_us=lambda: 0,
        ready=lambda: True,
        metrics=Metrics(),
        acr_values={},
        gateways=KNOWN,
    )


async def asked(
    app: HostedApp,
    path: str = CHECK,
    body: Sequence[bytes] = (),
    *,
    told: Sequence[bytes] = (b"grpc-0",),
    headers: Sequence[tuple[bytes, bytes]] = (),
    version: str = "2",
    query: bytes = b"",
    ending: str = "end",
) -> Answer:
    """One request, whose body comes in these parts; `ending`: it ends, it never ends, or the client goes."""
    sent: list[Event] = []
    left = list(body)

    async def receive() -> Event:
        if left:
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or ending != "end"}
        if ending == "never":
            await asyncio.Event().wait()
        if ending == "gone":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        sent.append(dict(event))

    scope = {
        "type": "http",
        "http_version": version,
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [*headers, *((b"x-portcullis-connection", each) for each in told)],
        "client": None,
        "server": None,
    }
    await app(scope, receive, send)
    return Answer(sent)


def ask(decider: MemoryDecider, *arguments: Any, **more: Any) -> Answer:
    return asyncio.run(asked(app_of(decider), *arguments, **more))


# ---------------------------------------------------------------- checks


def test_a_check_is_answered() -> None:
    decider = MemoryDecider()
    assert ask(decider, CHECK, [framed(request("/a"))]).code == 0
    assert [(inquiry.path, inquiry.gateway) for inquiry, _, _ in decider.asked] == [("/a", "edge")]


def test_a_body_may_come_in_any_parts() -> None:
    decider = MemoryDecider()
    body = framed(request("/a"))
    assert ask(decider, CHECK, [body[:2], body[2:9], b"", body[9:], b""]).code == 0
    assert ask(decider, CHECK, [body[at : at + 1] for at in range(len(body))]).code == 0
    assert len(decider.asked) == 2


BODIES: dict[str, tuple[Sequence[bytes], str]] = {
    "nothing": ([], "request.unreadable"),
    "cut": ([framed(request())[:-1]], "request.unreadable"),
    "not framed": ([request()], "request.unreadable"),
    "compressed": ([b"\1" + framed(request())[1:]], "request.unreadable"),
    "two messages": ([framed(request()), framed(request())], "request.unreadable"),
    "another protocol": ([b"GET / HTTP/1.1\r\n\r\n"], "request.unreadable"),
    "framed noise": ([framed(b"\xff" * 20)], "request.unreadable"),
    "too large": ([framed(b"\0" * (1024 * 1024 + 1))], "request.too_large"),
}


@pytest.mark.parametrize("sentence", BODIES)
def test_what_is_no_message_is_refused_inside_a_message_and_recorded(sentence: str) -> None:
    body, reason = BODIES[sentence]
    decider = MemoryDecider()
    assert ask(decider, CHECK, body).code == 13
    assert decider.refused == [(reason, "edge", 0)]


def test_no_more_is_read_than_is_needed_to_see_that_it_is_too_much() -> None:
    decider = MemoryDecider()
    parts_of_it = [framed(b"\0" * (64 * 1024 * 1024))[: 1024 * 1024 + 6], b"more"]
    assert ask(decider, CHECK, parts_of_it, ending="never").code == 13
    assert decider.refused == [("request.too_large", "edge", 0)]


FAILURES: dict[str, Callable[[], Awaitable[Any]]] = {
    "an error": raising(RuntimeError("broken")),
    "an exit": raising(SystemExit(3)),
    "no exception": raising(Exiting()),
    "a cancellation": raising(asyncio.CancelledError()),
    "no decision": returning(None),
}


@pytest.mark.parametrize("sentence", FAILURES)
def test_a_decider_that_breaks_is_a_refusal(sentence: str) -> None:
    assert ask(MemoryDecider(FAILURES[sentence]), CHECK, [framed(request())]).code == 13


SHORT = [(b"grpc-timeout", b"60m")]


def test_who_never_answers_is_late_inside_the_message() -> None:
    assert ask(MemoryDecider(hang), CHECK, [framed(request())], headers=SHORT).code == 13


def test_a_body_that_never_comes_or_never_ends_is_late_inside_the_message() -> None:
    decider = MemoryDecider()
    assert ask(decider, headers=SHORT, ending="never").code == 13
    assert ask(decider, CHECK, [framed(request())], headers=SHORT, ending="never").code == 13
    assert decider.asked == []


@pytest.mark.parametrize(("said", "most"), [(b"1S", 1.0), (b"99999999H", MOST_S), (b"nonsense", 10.0), (None, 10.0)])
def test_the_deadline_is_what_the_caller_says_within_reason(said: bytes | None, most: float) -> None:
    decider = MemoryDecider()
    ask(decider, CHECK, [framed(request())], headers=[] if said is None else [(b"grpc-timeout", said)])
    budget = decider.asked[0][2]
    assert budget is not None
    assert most - 0.5 < budget < most


def stamped(ago_s: float) -> list[tuple[bytes, bytes]]:
    """A call with a second to be answered, as if it had come to the host so long ago."""
    return [(b"grpc-timeout", b"1S"), (b"x-portcullis-arrived", f"{time.time() - ago_s:.6f}".encode())]


def test_the_time_that_a_call_waited_for_its_turn_is_no_time_of_its_caller() -> None:
    decider = MemoryDecider()
    assert ask(decider, CHECK, [framed(request())], headers=stamped(0.6)).code == 0
    budget = decider.asked[0][2]
    assert budget is not None
    assert 0.0 < budget < 0.4


@pytest.mark.parametrize("stamp", [b"1", b"-", b"", b"nan"], ids=repr)
def test_a_call_that_waited_too_long_or_for_nobody_knows_how_long_is_late(stamp: bytes) -> None:
    decider = MemoryDecider()
    headers = [(b"grpc-timeout", b"1S"), (b"x-portcullis-arrived", stamp)]
    answer = ask(decider, CHECK, [framed(request())], headers=headers)
    assert answer.body == framed(LATE)
    assert decider.asked == []


def test_a_clock_that_was_set_back_gives_nobody_more_time() -> None:
    decider = MemoryDecider()
    assert ask(decider, CHECK, [framed(request())], headers=stamped(-100.0)).code == 0
    budget = decider.asked[0][2]
    assert budget is not None
    assert budget < 1.0


def test_nothing_is_sent_to_who_has_gone() -> None:
    decider = MemoryDecider()
    assert ask(decider, CHECK, [b"\0"], ending="gone").events == []
    assert decider.asked == []


def test_metadata_above_the_limit_is_refused_inside_the_message() -> None:
    decider = MemoryDecider()
    assert ask(decider, CHECK, [framed(request())], headers=[(b"x-much", b"a" * 70_000)]).code == 13
    assert decider.refused == [("request.too_large", "edge", 0)]


# ---------------------------------------------------------------- other methods

UNIMPLEMENTED = {
    "another service": ("/a.B/C", b""),
    "another method": (CHECK + "s", b""),
    "another case": (CHECK.lower(), b""),
    "a slash more": (CHECK + "/", b""),
    "no slash": (CHECK[1:], b""),
    "a query": (CHECK, b"a=b"),
    "nothing": ("/", b""),
}


@pytest.mark.parametrize("sentence", UNIMPLEMENTED)
def test_unknown_methods_are_not_implemented(sentence: str) -> None:
    path, query = UNIMPLEMENTED[sentence]
    decider = MemoryDecider()
    answer = ask(decider, path, [framed(request())], query=query)
    assert (answer.status, answer.grpc_status, answer.body) == (200, b"12", b"")
    assert decider.asked == []


HEALTH = "/grpc.health.v1.Health/Check"


def test_health() -> None:
    assert ask(MemoryDecider(), HEALTH, [framed(b"")]).body == framed(b"\x08\x01")
    assert ask(MemoryDecider(), HEALTH, [framed(b"\x0a\x01x")]).grpc_status == b"5"


def test_other_methods_end_in_a_status_where_there_is_no_message() -> None:
    assert ask(MemoryDecider(), HEALTH, [b"\1\0\0\0\0"]).grpc_status == b"12"
    assert ask(MemoryDecider(), HEALTH, [b"\0\0"]).grpc_status == b"13"
    assert ask(MemoryDecider(), HEALTH, [framed(b"\xff\xff")]).grpc_status == b"13"
    assert ask(MemoryDecider(), HEALTH, headers=SHORT, ending="never").grpc_status == b"4"


# ---------------------------------------------------------------- who asks


def gateways_asked(folder: Path, told: Sequence[bytes]) -> list[str]:
    """Whom a listener with certificates takes a caller for."""
    decider = MemoryDecider()
    mutual = certificates(folder, TestAuthority(), clients=TestAuthority())
    listener = HostedListener("grpc-0", "grpc", "127.0.0.1:1", None, mutual)
    assert asyncio.run(asked(app_of(decider, [listener]), CHECK, [framed(request())], told=told)).code == 0
    return [inquiry.gateway for inquiry, _, _ in decider.asked]


EDGE_TOLD = b"grpc-0 " + EDGE_ID.encode()
TOLD: dict[str, Sequence[bytes]] = {
    "nothing": [],
    "an empty word": [b""],
    "another listener": [b"grpc-1 " + EDGE_ID.encode()],
    "a listener in another case": [b"GRPC-0 " + EDGE_ID.encode()],
    "no identity": [b"grpc-0"],
    "none, as Envoy writes it": [b"grpc-0 -"],
    "two of them": [EDGE_TOLD + b",spiffe://shop.example/inner"],
    "the same twice": [EDGE_TOLD + b"," + EDGE_ID.encode()],
    "with a byte more": [EDGE_TOLD + b"\xff"],
    "with a space": [EDGE_TOLD + b" "],
    "told twice": [EDGE_TOLD, EDGE_TOLD],
}


def test_the_identity_that_the_host_tells_is_the_gateway(tmp_path: Path) -> None:
    assert gateways_asked(tmp_path, [EDGE_TOLD]) == ["edge"]


@pytest.mark.parametrize("sentence", TOLD)
def test_what_is_told_in_another_way_is_nobodys(sentence: str, tmp_path: Path) -> None:
    assert gateways_asked(tmp_path, TOLD[sentence]) == ["unknown"]


# ---------------------------------------------------------------- HTTP


def over_http(path: str, told: bytes, *, version: str = "1.1", headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    return ask(MemoryDecider(), path, told=[told], version=version, headers=headers)


def test_operators_see_more_than_others() -> None:
    assert over_http("/metrics", b"http-0 10.0.0.1 10.0.0.2").status == 200
    assert over_http("/metrics", b"http-1 127.0.0.1 127.0.0.1").status == 404
    assert over_http("/healthz", b"http-1 127.0.0.1 127.0.0.1").status == 200


FAULTY = {
    "HTTP/2": (b"http-0", "2", []),
    "no listener": (b"", "1.1", []),
    "a listener of gRPC": (b"grpc-0", "1.1", []),
    "two lengths": (b"http-0", "1.1", [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]),
}


@pytest.mark.parametrize("sentence", FAULTY)
def test_what_is_no_request_of_this_listener_reaches_no_application(sentence: str) -> None:
    told, version, headers = FAULTY[sentence]
    assert over_http("/healthz", told, version=version, headers=headers).status == 400


KEYED = [(b"authorization", b"Bearer " + b"k" * 43), (b"content-type", b"application/json")]


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (b"http-0 127.0.0.1 127.0.0.1", 400),
        (b"http-0 ::1 ::1", 400),
        (b"http-0 127.0.0.1 10.0.0.2", 403),
        (b"http-0 10.0.0.1 127.0.0.1", 403),
        (b"http-0 - -", 403),
        (b"http-0", 403),
    ],
)
def test_a_key_counts_only_where_nobody_else_can_read_it(told: bytes, status: int) -> None:
    answer = ask(MemoryDecider(), "/access/v1/evaluation", [b"{}"], told=[told], version="1.1", headers=KEYED)
    assert answer.status == status


def test_the_scheme_that_a_gateway_forwards_comes_under_its_own_name() -> None:
    decider = MemoryDecider()
    headers = [(name.encode(), value.encode()) for name, value in FORWARDED.items()]
    renamed = [(b"x-portcullis-forwarded-proto" if name == b"x-forwarded-proto" else name, v) for name, v in headers]
    answer = ask(decider, "/forward-auth/todo", told=[b"http-1 127.0.0.1 127.0.0.1"], version="1.1", headers=renamed)
    assert answer.status == 200
    ((inquiry, _, _),) = decider.asked
    assert (inquiry.tls, inquiry.gateway, inquiry.path) == (True, "edge", "/a")
    assert [name for name, _ in inquiry.headers if name.startswith("x-portcullis")] == []


# ---------------------------------------------------------------- the end


def test_at_the_end_who_still_waits_is_refused() -> None:
    async def ending() -> int:
        app = app_of(MemoryDecider(hang))
        waiting = asyncio.ensure_future(asked(app, CHECK, [framed(request())]))
        await asyncio.sleep(0)
        await app.close(0.5, 0.0)
        return (await waiting).code

    assert asyncio.run(ending()) == 13


def test_at_the_end_who_can_be_answered_is() -> None:
    async def ending() -> int:
        release = asyncio.Event()

        async def behave() -> Any:
            await release.wait()
            return await allow()

        app = app_of(MemoryDecider(behave))
        waiting = asyncio.ensure_future(asked(app, CHECK, [framed(request())]))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(app.close(30.0, 0.0))
        await asyncio.sleep(0)
        release.set()
        await closing
        return (await waiting).code

    assert asyncio.run(ending()) == 0
