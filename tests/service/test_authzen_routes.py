"""AuthZEN over HTTP, without a socket: exact statuses, headers and bodies, one record each, and nothing leaked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pdp.gateways import UNKNOWN, Connection, Gateway, Gateways
from pdp.metrics import Metrics
from pdp.model import Decision
from pdp.transports.authzen import MOST_ITEMS, Evaluation, read_evaluation
from pdp.transports.authzen_routes import routes
from pdp.transports.limits import MayAsk, MayRecord, Rates
from policy_lang.verdict import Duties, Header
from tests.support.deciders import ID, Behaviour, Exiting, MemoryDecider, allow, hang, raising, returning

NOW_US = 1_767_225_600_000_000
KEY = "k" * 43
APP = Gateway("app", frozenset({"todo"}), subjects=True)
KNOWN = Gateways({"app": APP}, {}, {hashlib.sha256(KEY.encode()).hexdigest(): APP})
ASKED = {
    "subject": {"type": "user", "id": "rick"},
    "action": {"name": "can_read_todos"},
    "resource": {"type": "todo", "id": "todo-1"},
}
ONE, SEVERAL = "/access/v1/evaluation", "/access/v1/evaluations"
WELL_KNOWN = "/.well-known/authzen-configuration"
JSON = {"content-type": "application/json"}
BODY_BYTES = 4096
DENY = Decision("deny", ("todo.secret_rule",), "rule", id=ID, authenticated=True)


class Parts(Struct, frozen=True):
    """What the endpoints are made of."""

    decider: MemoryDecider = field(default_factory=MemoryDecider)
    gateways: Gateways = KNOWN
    clock_us: Callable[[], int] = lambda: NOW_US
    metrics: Metrics = field(default_factory=Metrics)
    acr_values: Mapping[str, str] = field(default_factory=dict)
    may_ask: MayAsk = lambda _gateway, _amount: True
    may_record: MayRecord = lambda: True
    public_url: str | None = None
    body_bytes: int = BODY_BYTES


def application(parts: Parts, connection: Connection) -> ASGIApp:
    app = Starlette(routes=routes(parts))

    async def connected(scope: Scope, receive: Receive, send: Send) -> None:
        scope["portcullis.connection"] = connection
        await app(scope, receive, send)

    return connected


def ask(
    path: str = ONE,
    *,
    method: str = "POST",
    parts: Parts | None = None,
    form: object = ASKED,
    connection: Connection = Connection(APP, private=True),  # noqa: B008  a frozen value
    headers: Any = JSON,
    **more: Any,
) -> httpx.Response:
    if "content" not in more:
        more["content"] = json.dumps(form)

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(application(parts or Parts(), connection))
        async with httpx.AsyncClient(transport=transport, base_url="http://pdp") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(once())


def _broken(members: Mapping[str, None]) -> bytes:
    """The question without some of its members."""
    return json.dumps({name: value for name, value in ASKED.items() if name not in members}).encode()


# ---------------------------------------------------------------- decisions


def test_an_evaluation_that_is_permitted() -> None:
    parts = Parts()
    answer = ask(parts=parts)
    assert (answer.status_code, answer.text) == (200, '{"decision":true}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-portcullis-decision"] == ID
    assert answer.headers["cache-control"] == "no-store"
    ((inquiry, now_us, budget_s),) = parts.decider.asked
    assert (inquiry.gateway, inquiry.services, inquiry.action, now_us) == ("app", {"todo"}, "can_read_todos", NOW_US)
    assert budget_s is not None
    assert 0 < budget_s <= 1.0


def test_a_denial_is_a_200_that_shows_no_rule() -> None:
    answer = ask(parts=Parts(MemoryDecider(returning(DENY))))
    assert (answer.status_code, answer.text) == (200, '{"decision":false}')
    assert answer.headers["x-portcullis-decision"] == ID
    assert "secret_rule" not in str(answer.headers)


def test_obligations_stand_in_the_context() -> None:
    owing = Decision("allow", ("a",), "rule", id=ID, authenticated=True, duties=Duties((Header("x-user", "u1"),)))
    answer = ask(parts=Parts(MemoryDecider(returning(owing))))
    assert answer.json()["decision"] is True
    assert answer.json()["context"]["obligations"][0]["type"] == "custom"


def test_a_batch_is_decided_item_by_item() -> None:
    parts = Parts()
    answer = ask(SEVERAL, parts=parts, form=ASKED | {"evaluations": [{}, {"action": {"name": 1}}, {}]})
    assert answer.status_code == 200
    assert answer.text == (
        '{"evaluations":[{"decision":true},'
        '{"decision":false,"context":{"error":{"status":400,"message":"`action.name` must be a string"}}},'
        '{"decision":true}]}'
    )
    assert "x-portcullis-decision" not in answer.headers
    assert len(parts.decider.asked) == 2


def test_without_items_the_endpoint_of_batches_decides_one() -> None:
    for form in (ASKED, ASKED | {"evaluations": []}):
        answer = ask(SEVERAL, form=form)
        assert (answer.status_code, answer.text) == (200, '{"decision":true}')
        assert answer.headers["x-portcullis-decision"] == ID


UNDECIDED: dict[str, Behaviour] = {
    "a fault": returning(Decision("deny", ("internal",), "internal.error", id=ID)),
    "want of time": returning(Decision("deny", ("deadline",), "deadline.record")),
    "want of a record": returning(Decision("deny", ("audit",), "audit.full")),
    "an allow without a record": returning(Decision("allow", ("a",), "rule")),
    "a service that raises": raising(RuntimeError("/var/lib/secret")),
    "a service that exits": raising(Exiting()),
    "a service that answers nonsense": returning("yes"),
}


@pytest.mark.parametrize("sentence", UNDECIDED)
def test_what_was_not_decided_is_a_503(sentence: str) -> None:
    parts = Parts(MemoryDecider(UNDECIDED[sentence]))
    answer = ask(parts=parts, headers=JSON | {"x-request-id": "r1"})
    assert (answer.status_code, answer.text) == (503, "no decision can be given now\n")
    assert answer.headers["x-request-id"] == "r1"
    assert answer.headers.get("retry-after") == ("1" if sentence == "want of a record" else None)
    assert answer.headers.get("x-portcullis-decision") == (ID if sentence == "a fault" else None)


def test_in_a_batch_what_was_not_decided_stands_in_its_item() -> None:
    parts = Parts(MemoryDecider(returning(Decision("deny", ("audit",), "audit.full"))))
    answer = ask(SEVERAL, parts=parts, form=ASKED | {"evaluations": [{}]})
    assert answer.status_code == 200
    assert answer.json()["evaluations"] == [
        {"decision": False, "context": {"error": {"status": 503, "message": "no decision can be given now"}}}
    ]


# ---------------------------------------------------------------- what is turned away

STRANGER = Connection(None, private=True)
NOBODY: dict[str, tuple[Connection, dict[str, str]]] = {
    "no key": (STRANGER, {}),
    "an empty key": (STRANGER, {"authorization": "Bearer "}),
    "a key of nobody": (STRANGER, {"authorization": "Bearer " + "x" * 43}),
    "another scheme": (STRANGER, {"authorization": "Basic " + KEY}),
    "a certificate of nobody": (Connection(UNKNOWN, private=True), {}),
}


@pytest.mark.parametrize("sentence", NOBODY)
def test_who_is_nobody_is_told_to_say_who_it_is(sentence: str) -> None:
    connection, headers = NOBODY[sentence]
    parts = Parts()
    answer = ask(parts=parts, connection=connection, headers=JSON | headers | {"x-request-id": "r1"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["x-request-id"] == "r1"
    assert parts.decider.asked == []
    assert parts.decider.refused == [("request.gateway", "unknown", NOW_US)]


def test_a_key_that_others_can_read_is_refused() -> None:
    parts = Parts()
    key = {"authorization": f"Bearer {KEY}"}
    answer = ask(parts=parts, connection=Connection(None, private=False), headers=JSON | key)
    assert answer.status_code == 403
    assert parts.decider.refused == [("request.gateway", "unknown", NOW_US)]


def test_a_key_says_who_asks() -> None:
    parts = Parts()
    answer = ask(parts=parts, connection=STRANGER, headers=JSON | {"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
    assert parts.decider.asked[0][0].gateway == "app"


@pytest.mark.parametrize("path", [ONE, SEVERAL])
def test_who_may_not_assert_subjects_is_told_so(path: str) -> None:
    parts = Parts()
    answer = ask(path, parts=parts, connection=Connection(Gateway("edge", None), private=True))
    assert answer.status_code == 403
    assert "subjects" in answer.text
    assert parts.decider.asked == []
    assert parts.decider.refused == [("request.subject", "edge", NOW_US)]


TURNED_AWAY: dict[str, tuple[str, dict[str, Any]]] = {
    "no body": ("request.unreadable", {"content": b""}),
    "half a body": ("request.unreadable", {"content": json.dumps(ASKED)[:-1]}),
    "a subject missing": ("request.unreadable", {"form": {}}),
    "no content type": ("request.unreadable", {"headers": {}}),
    "text": ("request.unreadable", {"headers": {"content-type": "text/plain"}}),
    "two content types": ("request.unreadable", {"headers": [*JSON.items(), *JSON.items()]}),
    "compressed JSON": ("request.unreadable", {"headers": JSON | {"content-encoding": "gzip"}}),
    "a byte too many": ("request.too_large", {"content": b" " * (BODY_BYTES + 1)}),
    "ten million bytes": ("request.too_large", {"content": b" " * 10_000_000}),
    "too many items": ("request.unreadable", {"form": {"evaluations": [{}] * (MOST_ITEMS + 1)}}),
}


@pytest.mark.parametrize("path", [ONE, SEVERAL])
@pytest.mark.parametrize("sentence", TURNED_AWAY)
def test_what_cannot_be_read_is_a_400_with_one_record(sentence: str, path: str) -> None:
    reason, more = TURNED_AWAY[sentence]
    parts = Parts()
    answer = ask(path, parts=parts, **more)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-portcullis-decision"] == ID
    assert answer.text.count("\n") == 1
    assert parts.decider.asked == []
    assert parts.decider.refused == [(reason, "app", NOW_US)]


def test_a_body_without_an_end_is_not_read_to_its_end() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    answer = ask(content=endless())
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")


def test_the_largest_body_is_read() -> None:
    whole = json.dumps(ASKED).encode()
    assert ask(content=whole + b" " * (BODY_BYTES - len(whole))).status_code == 200


def test_more_decisions_than_a_gateway_may_have_are_refused_each_item_of_a_batch_one() -> None:
    gateway = replace(APP, per_second=5)
    parts = Parts(may_ask=Rates([gateway], lambda: 100.0).may_ask)
    connection = Connection(gateway, private=True)
    four = ASKED | {"evaluations": [{}] * 4}
    statuses = [ask(SEVERAL, parts=parts, connection=connection, form=form).status_code for form in (four, four, ASKED)]
    assert statuses == [200, 429, 200]
    answer = ask(parts=parts, connection=connection, headers=JSON | {"x-request-id": "r1"})
    assert (answer.status_code, answer.headers["retry-after"], answer.headers["x-request-id"]) == (429, "1", "r1")
    assert len(parts.decider.asked) == 5
    assert parts.decider.refused == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_another_method_is_a_405(method: str) -> None:
    parts = Parts()
    answer = ask(method=method, parts=parts, headers=JSON | {"x-request-id": "r1"})
    assert (answer.status_code, answer.headers["allow"], answer.headers["x-request-id"]) == (405, "POST", "r1")
    assert (parts.decider.asked, parts.decider.refused) == ([], [])


@pytest.mark.parametrize(
    "path", ["/access/v1/search/subject", "/access/v1/search/resource", "/access/v1/search/action"]
)
def test_searches_are_not_there(path: str) -> None:
    assert ask(path).status_code == 404


# ---------------------------------------------------------------- the id of the request

REQUEST_IDS: dict[str, tuple[list[tuple[str, str | bytes]], str | None]] = {
    "as it was sent": ([("X-Request-ID", "bfe9eb29-ab87-4ca3 / be83")], "bfe9eb29-ab87-4ca3 / be83"),
    "as long as may be": ([("x-request-id", "r" * 256)], "r" * 256),
    "too long": ([("x-request-id", "r" * 257)], None),
    "empty": ([("x-request-id", "")], None),
    "twice": ([("x-request-id", "a"), ("x-request-id", "b")], None),
    "not printable": ([("x-request-id", b"\xff\xfe")], None),
    "none": ([], None),
}


@pytest.mark.parametrize("sentence", REQUEST_IDS)
def test_the_id_of_the_request_comes_back_on_every_answer(sentence: str) -> None:
    sent, back = REQUEST_IDS[sentence]
    headers = [*JSON.items(), *sent]
    parts = Parts()
    assert ask(parts=parts, headers=headers).headers.get("x-request-id") == back
    assert parts.decider.asked[0][0].request_id == back
    assert ask(form={}, headers=headers).headers.get("x-request-id") == back
    assert ask(connection=STRANGER, headers=headers).headers.get("x-request-id") == back
    url = "https://pdp.example"
    assert (
        ask(WELL_KNOWN, method="GET", parts=Parts(public_url=url), headers=headers).headers.get("x-request-id") == back
    )


# ---------------------------------------------------------------- metadata


def test_the_metadata_is_for_anybody_where_the_service_has_a_public_name() -> None:
    answer = ask(WELL_KNOWN, method="GET", parts=Parts(public_url="https://pdp.example"), connection=STRANGER)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.json()["policy_decision_point"] == "https://pdp.example"
    assert not [name for name in answer.json() if "search" in name]


def test_without_a_public_name_there_is_no_metadata() -> None:
    assert ask(WELL_KNOWN, method="GET").status_code == 404


def test_the_path_of_the_public_name_stands_behind_the_well_known_one() -> None:
    parts = Parts(public_url="https://shop.example/pdp/")
    assert ask(WELL_KNOWN + "/pdp", method="GET", parts=parts).json()["policy_decision_point"] == parts.public_url
    assert ask(WELL_KNOWN, method="GET", parts=parts).status_code == 404


def test_metadata_is_asked_for_by_get() -> None:
    parts = Parts(public_url="https://pdp.example")
    assert ask(WELL_KNOWN, method="HEAD", parts=parts).status_code == 200
    answer = ask(WELL_KNOWN, method="POST", parts=parts)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


# ---------------------------------------------------------------- a client that goes away


class Leaving(Struct):
    """A client that sends messages, and what it was sent."""

    messages: list[Message]
    sent: list[Message] = field(default_factory=list)
    may_leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await self.may_leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": ONE,
    "headers": [(b"content-type", b"application/json")],
    "query_string": b"",
}


@pytest.mark.timeout(20)
def test_a_client_that_goes_away_cancels_what_is_under_way() -> None:
    ended: list[str] = []

    async def once() -> list[Message]:
        client = Leaving([{"type": "http.request", "body": json.dumps(ASKED).encode(), "more_body": False}])

        async def until_cancelled() -> Decision:
            client.may_leave.set()
            try:
                return await hang()
            finally:
                ended.append("cancelled")

        parts = Parts(MemoryDecider(until_cancelled))
        await application(parts, Connection(APP, private=True))(dict(SCOPE), client.receive, client.send)
        return client.sent

    assert asyncio.run(once()) == []
    assert ended == ["cancelled"]


def test_a_client_that_goes_away_in_its_body_asks_nothing() -> None:
    async def once() -> tuple[list[Message], Parts]:
        client = Leaving([{"type": "http.request", "body": b'{"subject":', "more_body": True}])
        client.may_leave.set()
        parts = Parts()
        await application(parts, Connection(APP, private=True))(dict(SCOPE), client.receive, client.send)
        return client.sent, parts

    sent, parts = asyncio.run(once())
    assert (sent, parts.decider.asked, parts.decider.refused) == ([], [], [])


def test_a_server_that_ends_cancels_what_is_under_way() -> None:
    async def once() -> None:
        started = asyncio.Event()

        async def begun() -> Decision:
            started.set()
            return await hang()

        client = Leaving([{"type": "http.request", "body": json.dumps(ASKED).encode(), "more_body": False}])
        app = application(Parts(MemoryDecider(begun)), Connection(APP, private=True))
        task = asyncio.ensure_future(app(dict(SCOPE), client.receive, client.send))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.sent == []

    asyncio.run(once())


def test_an_answer_never_waits_for_the_client_to_leave() -> None:
    async def once() -> list[Message]:
        client = Leaving([{"type": "http.request", "body": json.dumps(ASKED).encode(), "more_body": False}])
        parts = Parts(MemoryDecider(allow))
        await application(parts, Connection(APP, private=True))(dict(SCOPE), client.receive, client.send)
        return client.sent

    assert [each["type"] for each in asyncio.run(once())] == ["http.response.start", "http.response.body"]


@settings(max_examples=50, deadline=None)
@given(st.one_of(st.binary(max_size=100), st.dictionaries(st.sampled_from(sorted(ASKED)), st.none()).map(_broken)))
def test_any_bytes_are_answered_and_only_a_question_is_permitted(data: bytes) -> None:
    """200 <=> the body is an evaluation, where the service allows everything; else 400, and nothing was asked."""
    parts = Parts()
    answer = ask(parts=parts, content=data)
    question = isinstance(read_evaluation(data), Evaluation)
    assert (answer.status_code, len(parts.decider.asked)) == ((200, 1) if question else (400, 0))
    assert ("true" in answer.text) == question


def test_an_allow_with_a_record_is_the_only_true() -> None:
    assert '"decision":true' in ask().text
    for behaviour in (*UNDECIDED.values(), returning(DENY)):
        assert '"decision":true' not in ask(parts=Parts(MemoryDecider(behaviour))).text


@pytest.mark.parametrize("gateway", [None, UNKNOWN], ids=["nobody", "nobody of ours"])
def test_beyond_so_many_a_second_nobody_is_turned_away_without_a_record(gateway: Gateway | None) -> None:
    parts = Parts(may_record=lambda: False)
    answer = ask(parts=parts, connection=Connection(gateway, private=True))
    assert (answer.status_code, answer.headers.get("x-portcullis-decision")) == (401, None)
    assert "www-authenticate" in answer.headers
    assert (parts.decider.asked, parts.decider.refused) == ([], [])
    assert b'portcullis_listener_refusals_total{by="internal"} 1.0' in parts.metrics.exposition()


def test_what_a_gateway_asks_wrongly_is_recorded_however_often_nobody_asks() -> None:
    parts = Parts(may_record=lambda: False)
    assert ask(parts=parts, content=b"").status_code == 400
    assert parts.decider.refused == [("request.unreadable", "app", NOW_US)]
