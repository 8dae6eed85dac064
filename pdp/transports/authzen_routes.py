"""AuthZEN over HTTP: the two endpoints that decide, and the metadata document.

    POST /access/v1/evaluation               one decision
    POST /access/v1/evaluations              several, or one
    GET  /.well-known/authzen-configuration  what is served, where `public_url` is configured; else 404. The path of
                                             `public_url`, where it has one, stands behind it

A decision is a 200, a denial too. Anything else is an error of the request, its body one line of text that says what to
mend; it repeats nothing of what was sent:

    400  another content type than JSON, a body that is empty, too large, or not of the form of the standard
    401  nobody is known to ask, with `www-authenticate`
    403  who asks may not say who the subject is; a key was said where others can read it
    405  another method than POST
    429  more decisions a second than who asks may have
    503  of a single evaluation: no decision can be given now

Where a record was taken, its id stands in `x-portcullis-decision`: of a single evaluation, and of an error but for 405
and 429, which are not recorded, and what nobody asks beyond so many a second (`limits.Strangers`).
`x-request-id` comes back as it was sent, on every answer.
INVARIANT: `{"decision":true}` leaves only after the service has allowed and recorded that very question. A client that
goes away before cancels what is still under way.
Sources: OpenID AuthZEN Authorization API 1.0, "Transport", "Policy Decision Point Metadata".
Design: gateways.md 2; contracts.md "Which service, which gateway, which caller".

Decision: 2026-11-21. A body that is too large is a 400 like any other that cannot be read, not a 413: so the standard's
certification has it for all that is wrong with a request.
Decision: 2026-11-21. An action of a service that is not its gateway's is decided like one that nobody declares: a 200
with `"decision": false`. A 403 would tell who else asks here, and about what.
Decision: 2026-11-21. An `x-request-id` that is repeated, not printable or over 256 characters is as good as none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from msgspec import Struct, field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pdp.answers import DECISION_HEADER, http_answer, visible
from pdp.gateways import UNKNOWN, Gateway, Gateways
from pdp.metrics import Metrics
from pdp.model import Decider, Decision
from pdp.transports.asking import Refused, asked_by
from pdp.transports.authzen import (
    EVALUATION_PATH,
    EVALUATIONS_PATH,
    METADATA_PATH,
    UNAVAILABLE,
    Batch,
    Evaluation,
    Malformed,
    is_json,
    is_undecided,
    metadata,
    read_evaluation,
    read_evaluations,
    serialised,
)
from pdp.transports.authzen_calls import Asker, AuthzenCalls
from pdp.transports.limits import RETRY_AFTER_S, MayAsk, MayRecord

LONGEST_REQUEST_ID = 256
READ_WITHIN_S = 10.0
MOST_DROPPED = 16 * 1024 * 1024
METADATA_AGE_S = 300

Asked = Evaluation | Batch | Malformed


class AuthzenParts(Protocol):
    """What these endpoints need of the parts of the application."""

    @property
    def decider(self) -> Decider: ...
    @property
    def gateways(self) -> Gateways: ...
    @property
    def clock_us(self) -> Callable[[], int]: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def acr_values(self) -> Mapping[str, str]: ...
    @property
    def may_ask(self) -> MayAsk: ...
    @property
    def may_record(self) -> MayRecord: ...
    @property
    def public_url(self) -> str | None: ...
    @property
    def body_bytes(self) -> int: ...


def routes(parts: AuthzenParts) -> list[Route]:
    """The endpoints. A connection stands in each request's scope, as `portcullis.connection`."""
    calls = AuthzenCalls(parts.decider, metrics=parts.metrics, acr_values=parts.acr_values)
    deciding = [
        Route(EVALUATION_PATH, _Endpoint(parts, calls, read_evaluation)),
        Route(EVALUATIONS_PATH, _Endpoint(parts, calls, read_evaluations)),
    ]
    if parts.public_url is None:
        return deciding
    document = serialised(metadata(parts.public_url))
    place = METADATA_PATH + urlsplit(parts.public_url).path.rstrip("/")
    return [*deciding, Route(place, _Document(document))]


class _Document(Struct, frozen=True):
    """The metadata document, for anybody."""

    data: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method in {"GET", "HEAD"}:
            response = _json(self.data)
            response.headers["cache-control"] = f"public, max-age={METADATA_AGE_S}"
        else:
            response = _error(405, "ask by GET", {"allow": "GET, HEAD"})
        await _sent(response, request, send)


class _Endpoint(Struct, frozen=True):
    """An endpoint that decides: an application of its own, so that every answer is written here."""

    parts: AuthzenParts
    calls: AuthzenCalls
    read: Callable[[bytes], Asked]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answered(request)
        except Exception as error:  # noqa: BLE001  whatever it is: nothing was decided
            self.calls.tell(error)
            response = _error(503, UNAVAILABLE)
        if response is not None:
            await _sent(response, request, send)

    async def _answered(self, request: Request) -> Response | None:
        """The answer; None where nobody waits for it any more."""
        if request.method != "POST":
            return _error(405, "ask by POST", {"allow": "POST"})
        now_us = self.parts.clock_us()
        gateway = await asked_by(request, self.parts.gateways)
        if isinstance(gateway, Refused):
            refusal = _Refusal(gateway.status, "request.gateway", gateway.message, gateway.headers)
            if not self.parts.may_record():
                self.parts.metrics.listener_refused("internal")
                return _error(refusal.status, refusal.message, refusal.headers)
            return await self._refused(Asker(UNKNOWN, None, now_us), refusal)
        asker = Asker(gateway, _request_id(request), now_us)
        unread = _refusal_unread(request, gateway)
        if unread is not None:
            return await self._refused(asker, unread)
        try:
            data = await _body(request, self.parts.body_bytes)
        except ClientDisconnect:
            return None
        except TimeoutError:
            return await self._refused(asker, _TOO_SLOW)
        if data is None:
            message = f"the body has more than {self.parts.body_bytes} bytes"
            return await self._refused(asker, _Refusal(400, "request.too_large", message, {"connection": "close"}))
        asked = self.read(data)
        if isinstance(asked, Malformed):
            return await self._refused(asker, _Refusal(400, "request.unreadable", asked.message))
        if not self.parts.may_ask(gateway, len(asked.items) if isinstance(asked, Batch) else 1):
            return _error(
                429, "more decisions a second than this gateway may have", {"retry-after": str(RETRY_AFTER_S)}
            )
        return await _unless_gone(request, self._decided(asker, asked))

    async def _refused(self, asker: Asker, refusal: _Refusal) -> Response:
        """Record that a request was turned away, and say why."""
        decision = await self.calls.refused(asker, refusal.reason)
        return _error(refusal.status, refusal.message, {**refusal.headers, **_decision_id(decision)})

    async def _decided(self, asker: Asker, asked: Evaluation | Batch) -> Response:
        if isinstance(asked, Batch):
            return _json(serialised({"evaluations": await self.calls.batch(asker, asked)}))
        decision, answer = await self.calls.single(asker, asked)
        if is_undecided(decision):
            return _error(503, UNAVAILABLE, dict(http_answer(decision, {}).headers))
        response = _json(serialised(answer))
        response.headers.update(_decision_id(decision))
        return response


class _Refusal(Struct, frozen=True):
    """Why a request is turned away: `reason` for its record, `message` for who asked."""

    status: int
    reason: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


_NO_SUBJECTS = _Refusal(
    403,
    "request.subject",
    "this gateway may not say who the subject is: set `subjects` of its table in the configuration",
)
_NO_JSON = _Refusal(400, "request.unreadable", "the content type must be application/json, without a content encoding")
_TOO_SLOW = _Refusal(
    400, "request.unreadable", f"the body did not come within {READ_WITHIN_S:.0f} seconds", {"connection": "close"}
)


def _refusal_unread(request: Request, gateway: Gateway) -> _Refusal | None:
    """Why the body of a request need not be read."""
    if not gateway.subjects:
        return _NO_SUBJECTS
    if not is_json(request.headers.getlist("content-type")) or "content-encoding" in request.headers:
        return _NO_JSON
    return None


async def _body(request: Request, most_bytes: int) -> bytes | None:
    """The body; None where it is larger. Errors: ClientDisconnect, TimeoutError.

    What is too large is read and dropped, as far as that goes: who is still sending would not hear the answer.
    """
    data, size = bytearray(), 0
    async with asyncio.timeout(READ_WITHIN_S):
        async for chunk in request.stream():
            size += len(chunk)
            if size <= most_bytes:
                data += chunk
            elif size > most_bytes + MOST_DROPPED:
                break
    return bytes(data) if size <= most_bytes else None


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response | None:
    """What `work` comes to; None, and `work` cancelled, where the client went away before."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
    if task.done():
        return task.result()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


async def _gone(request: Request) -> None:
    """Returns when the client is gone; nothing else comes after the body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _sent(response: Response, request: Request, send: Send) -> None:
    identifier = _request_id(request)
    if identifier is not None:
        response.headers["x-request-id"] = identifier
    await response(request.scope, request.receive, send)


def _request_id(request: Request) -> str | None:
    """What the client calls its request, where it can be said again."""
    values = request.headers.getlist("x-request-id")
    if len(values) != 1 or not 0 < len(values[0]) <= LONGEST_REQUEST_ID or visible(values[0]) != values[0]:
        return None
    return values[0]


def _decision_id(decision: Decision) -> dict[str, str]:
    return {DECISION_HEADER: visible(decision.id)} if decision.id else {}


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json", headers={"cache-control": "no-store"})


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        f"{message}\n", status, {"cache-control": "no-store", **(headers or {})}, "text/plain; charset=utf-8"
    )
