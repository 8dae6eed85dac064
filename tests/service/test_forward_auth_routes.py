"""The forward-auth endpoint as an application, without a socket: who may ask, what is decided, what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httpx
import pytest
from msgspec import Struct, field
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from pdp.gateways import UNKNOWN, Connection, Gateway
from pdp.metrics import Metrics
from pdp.transports.forward_auth_routes import routes
from tests.support.deciders import ID, Behaviour, MemoryDecider, allow, raising

EDGE = Gateway("edge", frozenset({"orders"}))
OURS = Connection(EDGE, private=True)
FORWARDED = {
    "x-forwarded-method": "DELETE",
    "x-forwarded-uri": "/orders/4711?full=yes",
    "x-forwarded-host": "orders.example",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "203.0.113.7",
}


class Parts(Struct, frozen=True):
    decider: MemoryDecider
    clock_us: Callable[[], int] = lambda: 7
    metrics: Metrics = field(default_factory=Metrics)
    acr_values: Mapping[str, str] = field(default_factory=dict)
    may_record: Callable[[], bool] = lambda: True


def ask(
    decider: MemoryDecider,
    connection: Connection | None = OURS,
    *,
    path: str = "/forward-auth/orders",
    method: str = "GET",
    headers: Mapping[str, str | bytes] = FORWARDED,
    body: bytes = b"",
    parts: Parts | None = None,
) -> httpx.Response:
    """One request by a connection; None is one of which nothing is known."""
    app = Starlette(routes=routes(parts or Parts(decider)))

    async def connected(scope: Scope, receive: Receive, send: Send) -> None:
        if connection is not None:
            scope["portcullis.connection"] = connection
        await app(scope, receive, send)

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=connected)
        async with httpx.AsyncClient(transport=transport, base_url="http://pdp") as client:
            sent = [
                (name.encode(), value if isinstance(value, bytes) else value.encode())
                for name, value in headers.items()
            ]
            return await client.request(method, path, headers=sent, content=body)

    return asyncio.run(once())


def test_a_call_that_may_pass_is_a_200_with_its_decision() -> None:
    decider = MemoryDecider()
    answer = ask(decider)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-portcullis-decision"] == ID
    ((inquiry, now_us, budget_s),) = decider.asked
    assert (inquiry.service, inquiry.gateway, now_us, budget_s) == ("orders", "edge", 7, 1.0)
    assert (inquiry.method, inquiry.path, inquiry.host) == ("DELETE", "/orders/4711?full=yes", "orders.example")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"])
def test_any_method_asks_about_the_one_that_is_forwarded(method: str) -> None:
    decider = MemoryDecider()
    assert ask(decider, method=method, body=b"x" * 100_000).status_code == 200
    assert decider.asked[0][0].method == "DELETE"


NOBODY: dict[str, Connection | None] = {
    "a connection that says nothing": Connection(None, private=True),
    "a certificate that is no gateway's": Connection(UNKNOWN, private=True),
    "a connection of which nothing is known": None,
}


@pytest.mark.parametrize("case", NOBODY)
@pytest.mark.parametrize("more", [{}, {"authorization": "Bearer " + "k" * 40}, {"x-portcullis-gateway": "edge"}])
def test_who_is_no_gateway_is_turned_away_and_that_is_recorded(case: str, more: Mapping[str, str]) -> None:
    decider = MemoryDecider()
    answer = ask(decider, NOBODY[case], headers={**FORWARDED, **more})
    assert answer.status_code == 403  # a 401 would reach the client, as if it were about its token
    assert "www-authenticate" not in answer.headers
    assert answer.headers["content-type"] == "application/problem+json"
    assert decider.asked == []
    assert decider.refused == [("request.gateway", "unknown", 7)]


def test_the_service_is_that_of_the_url_and_its_query_says_nothing() -> None:
    decider = MemoryDecider()
    ask(decider, path="/forward-auth/orders?service=public&x-forwarded-uri=/public")
    assert (decider.asked[0][0].service, decider.asked[0][0].path) == ("orders", "/orders/4711?full=yes")


@pytest.mark.parametrize("path", ["/forward-auth", "/forward-auth/", "/forward-auth/a/b", "/forward-auth/../orders"])
def test_no_other_path_asks(path: str) -> None:
    decider = MemoryDecider()
    assert ask(decider, path=path).status_code == 404
    assert decider.asked == []


@pytest.mark.parametrize("behaviour", [raising(RuntimeError("x")), raising(TimeoutError())], ids=["raised", "late"])
def test_what_fails_is_a_503(behaviour: Behaviour) -> None:
    answer = ask(MemoryDecider(behaviour))
    assert answer.status_code == 503
    assert answer.json() == {"title": "no decision can be given now"}


def test_missing_headers_are_for_the_service_to_refuse() -> None:
    decider = MemoryDecider(allow)
    ask(decider, headers={name: value for name, value in FORWARDED.items() if name != "x-forwarded-host"})
    assert (decider.asked[0][0].path, decider.asked[0][0].host) == (None, None)


def test_bytes_that_are_no_text_are_kept_for_the_record() -> None:
    decider = MemoryDecider()
    ask(decider, headers={**FORWARDED, "x-forwarded-uri": b"/a\xff"})
    assert decider.asked[0][0].path == "/a\udcff"


def test_beyond_so_many_a_second_nobody_is_turned_away_without_a_record() -> None:
    decider = MemoryDecider()
    parts = Parts(decider, may_record=lambda: False)
    assert ask(decider, None, parts=parts).status_code == 403
    assert (decider.asked, decider.refused) == ([], [])
    assert b'portcullis_listener_refusals_total{by="internal"} 1.0' in parts.metrics.exposition()
