"""Everything that is served over HTTP, as one application.

    /access/v1/evaluation, /access/v1/evaluations, /.well-known/authzen-configuration   see authzen_routes
    /forward-auth/{service}                                                             see forward_auth_routes
    GET /healthz        200 while the process answers at all
    GET /readyz         200 when decisions can be made and recorded, else 503
    GET /metrics        the Prometheus text format, for operators
    GET /openapi.json   what is served, as OpenAPI 3.1
    GET /.well-known/jwks.json   the keys of the tokens that are made here, where any are (RFC 7517)

At the address of the operators `/readyz` says more: which policy is in force, since when, whether the log takes
records, which services are observed, and `warnings`. Elsewhere it says yes or no, and `/metrics` is not there.

Every other path is 404, every other method 405, anything unforeseen 500, each with a small JSON body that says nothing
of its cause. No answer of this module lets a call pass.
INVARIANT: a path is served as it is written and in no other spelling: one with a `%` in it is 404, so that a rule of a
proxy about one of our paths holds for that path.
Design: architecture.md "pdp", row `transports`.

Decision: 2026-11-21. What is shown to operators stands at `[http] address` alone. A listener for gateways may be
reached by whoever has a certificate, or by anybody; which service lets everything pass is not theirs to know.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pdp.gateways import Gateways
from pdp.metrics import CONTENT_TYPE, Metrics
from pdp.model import Decider, Json
from pdp.transports import authzen_routes, forward_auth_routes
from pdp.transports.http_server import OPERATIONS
from pdp.transports.limits import MayAsk, MayRecord
from pdp.transports.openapi import document
from pdp.transports.readiness import KEYS_PATH, KEYS_TYPE, Published, Ready, Shown, is_ready

log = logging.getLogger(__name__)


class HttpParts(Struct, frozen=True):
    """What the application is made of. `clock_us` gives Unix microseconds; `acr_values` as in
    `pdp.answers.http_answer`; `public_url` is what the service is known as, None for no metadata document;
    `body_bytes` the most of a body that is read. `published` gives the keys of minted tokens, None where none are made.
    """

    decider: Decider
    gateways: Gateways
    clock_us: Callable[[], int]
    may_ask: MayAsk
    may_record: MayRecord
    ready: Ready
    shown: Callable[[], Shown]
    metrics: Metrics
    acr_values: Mapping[str, str]
    public_url: str | None
    body_bytes: int
    published: Callable[[], Published] | None = None


def http_app(parts: HttpParts) -> Starlette:
    """The application. A request's scope says by what connection it came (`pdp.transports.http_server`)."""
    failures = _Failures(set())
    app = Starlette(
        routes=[
            *authzen_routes.routes(parts),
            *forward_auth_routes.routes(parts),
            *_about_itself(parts),
        ],
        middleware=[Middleware(_Literally)],
        exception_handlers={HTTPException: _refused, Exception: failures},
    )
    app.router.redirect_slashes = False
    return app


def _about_itself(parts: HttpParts) -> list[Route]:
    described = JSONResponse(document())

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        ready = is_ready(parts.ready)
        said: dict[str, Json] = {"status": "ready" if ready else "not ready"}
        if _is_operators(request):
            said |= _shown(parts.shown(), parts.clock_us())
        return JSONResponse(said, 200 if ready else 503, {"cache-control": "no-store"})

    async def exposition(request: Request) -> Response:
        if not _is_operators(request):
            raise HTTPException(404)
        return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE)

    async def openapi(_request: Request) -> Response:
        return described

    async def jwks(_request: Request) -> Response:
        if parts.published is None:
            raise HTTPException(404)
        published = parts.published()
        headers = {"cache-control": f"public, max-age={published.max_age_s}"}
        return Response(published.jwks, media_type=KEYS_TYPE, headers=headers)

    served: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": exposition,
        "/openapi.json": openapi,
        KEYS_PATH: jwks,
    }
    return [Route(path, endpoint) for path, endpoint in served.items()]


def _is_operators(request: Request) -> bool:
    return request.scope.get(OPERATIONS) is True


def _shown(shown: Shown, now_us: int) -> dict[str, Json]:
    since = datetime.fromtimestamp(shown.since_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
    in_force: dict[str, Json] = {
        "revision": shown.revision,
        "since": since,
        "age_s": max(0, (now_us - shown.since_us) // 1_000_000),
    }
    return {
        "policy": in_force if shown.revision else None,
        "log": shown.log,
        "observed": list(shown.observed),
        "warnings": list(shown.warnings),
    }


class _Literally(Struct, frozen=True):
    """Paths as they are written: what has to be decoded first is none of ours."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = _NOT_FOUND if b"%" in scope.get("raw_path", b"%") else self.app
        await app(scope, receive, send)


_NOT_FOUND = JSONResponse({"title": "not found"}, 404)


async def _refused(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"title": "not found" if status == 404 else "not possible"}, status, headers)


class _Failures(Struct, frozen=True):
    """Answers what was unforeseen. `told`: kinds of failures that were logged; a flood must not fill the disk."""

    told: set[str]

    async def __call__(self, _request: Request, error: Exception) -> Response:
        kind = type(error).__qualname__
        if kind not in self.told:
            self.told.add(kind)
            log.error("an HTTP request failed; further %s are not logged", kind, exc_info=error)
        return JSONResponse({"title": "failed"}, 500)
