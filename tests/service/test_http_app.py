"""What is served over HTTP: health, readiness, metrics and the document; the paths of others; all else is refused."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from pdp.gateways import Connection
from pdp.metrics import Metrics
from pdp.transports.http_app import HttpParts, http_app
from pdp.transports.openapi import document
from pdp.transports.readiness import Published
from tests.support.deciders import MemoryDecider
from tests.support.http_parts import APP, ASKED, EDGE, EVALUATION, FORWARDED, NOW_US, SHOWN, ask, by, parts


def not_ready() -> bool:
    return False


def cannot_say() -> bool:
    raise RuntimeError("the log is gone")


# ---------------------------------------------------------------- health and readiness


def test_a_living_process_is_healthy_ready_or_not() -> None:
    assert ask("/healthz").json() == {"status": "ok"}
    assert ask("/healthz", made_of=parts(ready=not_ready)).status_code == 200


READINESS: dict[str, tuple[Callable[[], bool], int, str]] = {
    "ready is 200": (lambda: True, 200, "ready"),
    "not ready is 503": (not_ready, 503, "not ready"),
    "a check that fails is 503": (cannot_say, 503, "not ready"),
}


@pytest.mark.parametrize("sentence", READINESS)
def test_readiness(sentence: str) -> None:
    readiness, status, said = READINESS[sentence]
    answer = ask("/readyz", made_of=parts(ready=readiness))
    assert (answer.status_code, answer.json()["status"]) == (status, said)
    assert answer.headers["cache-control"] == "no-store"


def test_readiness_names_the_policy_its_age_the_log_and_what_an_operator_should_know() -> None:
    told = replace(SHOWN, log="no space left", observed=("trial",), warnings=("`trial` is observed",))
    assert ask("/readyz", made_of=parts(shown=lambda: told)).json() == {
        "status": "ready",
        "policy": {"revision": "ab" * 32, "since": "2025-12-31T23:58:30Z", "age_s": 90},
        "log": "no space left",
        "observed": ["trial"],
        "warnings": ["`trial` is observed"],
    }


def test_readiness_without_a_policy_names_none() -> None:
    assert ask("/readyz", made_of=parts(shown=lambda: replace(SHOWN, revision=""))).json()["policy"] is None


def test_a_clock_that_was_set_back_makes_no_policy_younger_than_new() -> None:
    later = replace(SHOWN, since_us=NOW_US + 5_000_000)
    assert ask("/readyz", made_of=parts(shown=lambda: later)).json()["policy"]["age_s"] == 0


def test_a_state_that_cannot_be_shown_is_a_failure_that_says_nothing() -> None:
    answer = ask("/readyz", made_of=parts(shown=lambda: 1 // 0))
    assert (answer.status_code, answer.json()) == (500, {"title": "failed"})


ELSEWHERE: dict[str, Connection | None] = {
    "a listener for anybody": Connection(None, private=True),
    "a gateway": Connection(EDGE, private=True),
    "a request without a connection": None,
}


@pytest.mark.parametrize("sentence", ELSEWHERE)
def test_what_is_for_operators_is_told_to_nobody_else(sentence: str) -> None:
    connection = ELSEWHERE[sentence]
    assert ask("/readyz", connection=connection, operations=False).json() == {"status": "ready"}
    refused = ask("/metrics", connection=connection, operations=False)
    assert (refused.status_code, refused.json()) == (404, {"title": "not found"})
    assert ask("/healthz", connection=connection, operations=False).status_code == 200


# ---------------------------------------------------------------- metrics


def test_metrics_are_the_text_format() -> None:
    metrics = Metrics()
    metrics.policy_in_force("abc")
    answer = ask("/metrics", made_of=parts(metrics=metrics))
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'portcullis_policy_info{digest="abc"} 1.0' in answer.text


def test_a_failure_says_nothing_of_itself_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    metrics.watch_pending(lambda: 1 // 0)

    async def twice() -> list[httpx.Response]:
        app = by(http_app(parts(metrics=metrics)), Connection(None, private=True), operations=True)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pdp") as client:
            return [await client.get("/metrics") for _ in range(2)]

    with caplog.at_level(logging.ERROR):
        answers = asyncio.run(twice())
    assert [(each.status_code, each.json()) for each in answers] == [(500, {"title": "failed"})] * 2
    assert [record.name for record in caplog.records] == ["pdp.transports.http_app"]


# ---------------------------------------------------------------- keys


KEY_SET = Published(b'{"keys":[]}', 1800)


@pytest.mark.parametrize("operations", [True, False])
def test_the_keys_of_minted_tokens_are_for_anybody(operations: bool) -> None:
    answer = ask("/.well-known/jwks.json", made_of=parts(published=lambda: KEY_SET), operations=operations)
    assert (answer.status_code, answer.content) == (200, KEY_SET.jwks)
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=1800"


def test_where_no_tokens_are_made_there_are_no_keys() -> None:
    assert ask("/.well-known/jwks.json").status_code == 404


# ---------------------------------------------------------------- the paths of others


def test_an_evaluation_is_answered_to_who_has_proved_to_be_a_gateway() -> None:
    decider = MemoryDecider()
    answer = ask(
        EVALUATION, method="POST", json=ASKED, connection=Connection(APP, private=True), made_of=parts(decider)
    )
    assert (answer.status_code, answer.text) == (200, '{"decision":true}')
    assert [inquiry.gateway for inquiry, _, _ in decider.asked] == ["app"]


def test_a_forwarded_call_is_answered_to_who_has_proved_to_be_a_gateway() -> None:
    decider = MemoryDecider()
    connection = Connection(EDGE, private=True)
    answer = ask("/forward-auth/todo", headers=FORWARDED, connection=connection, made_of=parts(decider))
    assert answer.status_code == 200
    assert [(inquiry.service, inquiry.path) for inquiry, _, _ in decider.asked] == [("todo", "/a")]


def test_without_a_connection_in_its_scope_nobody_asks() -> None:
    decider = MemoryDecider()
    made_of = parts(decider)
    assert ask(EVALUATION, method="POST", json=ASKED, connection=None, made_of=made_of).status_code == 401
    assert ask("/forward-auth/todo", headers=FORWARDED, connection=None, made_of=made_of).status_code == 403
    assert decider.asked == []


# ---------------------------------------------------------------- all else


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz/",
        "/HEALTHZ",
        "//healthz",
        "/metrics/x",
        "/docs",
        "/healthz;x",
        "/%2e%2e/metrics",
        "/forward-auth/%2e%2e/healthz",
        "/%68ealthz",
        "/forward-auth/to%64o",
        "/forward-auth/todo%2fx",
        "/forward-auth/",
        "/forward-auth",
        "/access/v1/evaluation/",
        "/access/v1/search/subject",
        "/access/v1/search/resource",
        "/access/v1/search/action",
        "/.well-known/authzen-configuration",
    ],
)
def test_everything_else_is_404(path: str) -> None:
    decider = MemoryDecider()
    connection = Connection(EDGE, private=True)
    answer = ask(path, headers=FORWARDED, connection=connection, made_of=parts(decider))
    assert (answer.status_code, answer.json()) == (404, {"title": "not found"})
    assert decider.asked == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_405(method: str, path: str) -> None:
    answer = ask(path, method=method)
    assert (answer.status_code, answer.json()) == (405, {"title": "not possible"})
    assert "GET" in answer.headers["allow"]


# ---------------------------------------------------------------- the document


def test_the_document_is_openapi_and_is_what_is_served() -> None:
    OpenAPIV31SpecValidator(document()).validate()
    answer = ask("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document()


def test_the_document_has_the_paths_of_the_application_and_no_other() -> None:
    app = http_app(parts(public_url="https://pdp.example"))
    assert {route.path for route in app.routes if isinstance(route, Route)} == set(document()["paths"])  # type: ignore[arg-type]


def _described(path: str, method: str) -> Any:
    found: Any = document()["paths"]
    return found[path if not path.startswith("/forward-auth") else "/forward-auth/{service}"][method]["responses"]


MET: dict[str, tuple[str, str, dict[str, Any], HttpParts]] = {
    "healthy": ("get", "/healthz", {}, parts()),
    "ready": ("get", "/readyz", {}, parts()),
    "not ready": ("get", "/readyz", {}, parts(ready=not_ready)),
    "measured": ("get", "/metrics", {}, parts()),
    "metrics elsewhere": ("get", "/metrics", {"operations": False}, parts()),
    "the document": ("get", "/openapi.json", {}, parts()),
    "the keys": ("get", "/.well-known/jwks.json", {}, parts(published=lambda: KEY_SET)),
    "no keys": ("get", "/.well-known/jwks.json", {}, parts()),
    "AuthZEN, known": ("get", "/.well-known/authzen-configuration", {}, parts(public_url="https://pdp.example")),
    "AuthZEN, not known": ("get", "/.well-known/authzen-configuration", {}, parts()),
    "an evaluation": ("post", EVALUATION, {"json": ASKED, "connection": Connection(APP, private=True)}, parts()),
    "a bad evaluation": ("post", EVALUATION, {"json": {}, "connection": Connection(APP, private=True)}, parts()),
    "nobody's evaluation": ("post", EVALUATION, {"json": ASKED}, parts()),
    "a rate that is used up": (
        "post",
        EVALUATION,
        {"json": ASKED, "connection": Connection(APP, private=True)},
        parts(may_ask=lambda *_: False),
    ),
    "a call": (
        "get",
        "/forward-auth/todo",
        {"headers": FORWARDED, "connection": Connection(EDGE, private=True)},
        parts(),
    ),
    "nobody's call": ("get", "/forward-auth/todo", {"headers": FORWARDED}, parts()),
}


@pytest.mark.parametrize("sentence", MET)
def test_each_answer_is_described_with_its_type(sentence: str) -> None:
    method, path, more, made_of = MET[sentence]
    answer = ask(path, method=method.upper(), made_of=made_of, **more)
    described = _described(path, method)[str(answer.status_code)]
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert kind in described.get("content", {"": None})


def test_the_document_names_no_gateway_and_no_policy() -> None:
    text = json.dumps(document())
    assert not [word for word in ("edge", "todo", "ab" * 32, "127.0.0.1") if word in text]
