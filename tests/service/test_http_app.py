"""Health, readiness and metrics over real HTTP on loopback; all else is refused, small and as JSON."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

import httpx
import pytest

from pdp.errors import ConfigError
from pdp.metrics import Metrics
from pdp.transports.http_app import http_app, serve_http


def ready() -> bool:
    return True


def not_ready() -> bool:
    return False


def cannot_say() -> bool:
    raise RuntimeError("the log is gone")


def ask(path: str, *, method: str = "GET", readiness: Callable[[], bool] = ready) -> httpx.Response:
    """One request to an app that is served for it."""

    async def once() -> httpx.Response:
        metrics = Metrics()
        metrics.policy_in_force("abc")
        async with serve_http(http_app(readiness, metrics), "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
            return await client.request(method, f"http://127.0.0.1:{port}{path}")

    return asyncio.run(once())


def test_a_living_process_is_healthy_ready_or_not() -> None:
    assert ask("/healthz").status_code == 200
    assert ask("/healthz", readiness=not_ready).status_code == 200


READINESS: dict[str, tuple[Callable[[], bool], int]] = {
    "ready is 200": (ready, 200),
    "not ready is 503": (not_ready, 503),
    "a check that fails is 503": (cannot_say, 503),
}


@pytest.mark.parametrize("sentence", READINESS)
def test_readiness(sentence: str) -> None:
    readiness, status = READINESS[sentence]
    answer = ask("/readyz", readiness=readiness)
    assert answer.status_code == status
    assert answer.json()["status"] == ("ready" if status == 200 else "not ready")


def test_readiness_names_what_an_operator_should_know_and_stays_ready() -> None:
    async def once(found: list[str], readiness: Callable[[], bool]) -> httpx.Response:
        app = http_app(readiness, Metrics(), lambda: found)
        async with serve_http(app, "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{port}/readyz")

    told = asyncio.run(once(["`trial` is observed until 2099-01-01T00:00:00Z"], ready))
    assert (told.status_code, told.json()["warnings"]) == (200, ["`trial` is observed until 2099-01-01T00:00:00Z"])
    assert asyncio.run(once([], ready)).json() == {"status": "ready"}
    assert asyncio.run(once(["a warning"], not_ready)).json() == {"status": "not ready"}


def test_metrics_are_the_text_format() -> None:
    answer = ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'portcullis_policy_info{digest="abc"} 1.0' in answer.text


@pytest.mark.parametrize("path", ["/", "/healthz/", "/HEALTHZ", "//healthz", "/metrics/x", "/docs", "/%2e%2e/metrics"])
def test_everything_else_is_404(path: str) -> None:
    answer = ask(path)
    assert answer.status_code == 404
    assert answer.json() == {"title": "not found"}


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_another_method_is_405(method: str) -> None:
    answer = ask("/metrics", method=method)
    assert answer.status_code == 405
    assert answer.json() == {"title": "not possible"}


def test_a_failure_says_nothing_of_itself() -> None:
    async def once() -> httpx.Response:
        metrics = Metrics()
        metrics.watch_pending(lambda: 1 // 0)
        transport = httpx.ASGITransport(http_app(ready, metrics), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pdp") as client:
            return await client.get("/metrics")

    answer = asyncio.run(once())
    assert (answer.status_code, answer.json()) == (500, {"title": "failed"})


def test_a_port_in_use_names_the_port_and_the_remedy() -> None:
    async def start(port: int) -> None:
        async with serve_http(http_app(ready, Metrics()), "127.0.0.1", port):
            pytest.fail("two servers on one port")

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            asyncio.run(start(port))
    assert caught.value.code == "N101"
    assert str(port) in caught.value.detail
    assert "change" in caught.value.detail


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("not an address", 0), ("127.0.0.1", 70000)])
def test_an_address_that_cannot_be_bound_is_an_error(host: str, port: int) -> None:
    async def start() -> None:
        async with serve_http(http_app(ready, Metrics()), host, port):
            pytest.fail(f"bound {host}")

    with pytest.raises(ConfigError):
        asyncio.run(start())


def test_the_port_is_free_again_afterwards() -> None:
    async def once(port: int) -> int:
        async with serve_http(http_app(ready, Metrics()), "127.0.0.1", port) as bound:
            return bound

    port = asyncio.run(once(0))
    assert asyncio.run(once(port)) == port


def test_ipv6_loopback_is_served() -> None:
    async def once() -> int:
        async with serve_http(http_app(ready, Metrics()), "::1", 0) as port, httpx.AsyncClient() as client:
            return (await client.get(f"http://[::1]:{port}/healthz")).status_code

    assert asyncio.run(once()) == 200


def test_signals_stay_with_the_process() -> None:
    async def during() -> object:
        async with serve_http(http_app(ready, Metrics()), "127.0.0.1", 0):
            await asyncio.sleep(0)
            return signal.getsignal(signal.SIGTERM)

    assert asyncio.run(during()) == signal.getsignal(signal.SIGTERM)


def test_a_client_that_stays_connected_does_not_hold_the_end() -> None:
    async def once() -> None:
        async with serve_http(http_app(ready, Metrics()), "127.0.0.1", 0) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    asyncio.run(asyncio.wait_for(once(), 10))
