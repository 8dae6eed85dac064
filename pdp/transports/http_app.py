"""Health, readiness and metrics over HTTP, and the server that runs them beside the decisions.

    GET /healthz   200 while the process answers at all
    GET /readyz    200 when decisions can be made and recorded, else 503; `warnings` names what an operator should know:
                   a policy that was refused or waits while another decides, a service that is observed
    GET /metrics   the Prometheus text format

Every other path is 404, every other method 405, anything unforeseen 500, each with a small JSON body. No decision is
made here and nothing of one is shown.
Design: architecture.md "pdp", row `transports`.

Decision: 2026-11-21. The address is the operator's choice: probes and collectors seldom sit on the same host, and
nothing here lets a call pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pdp.errors import ConfigError
from pdp.metrics import CONTENT_TYPE, Metrics
from pdp.transports.readiness import Ready, is_ready

MOST_CONNECTIONS = 1024
"""Idle ones count too, so this stands well above what probes and collectors open."""
STOP_WITHIN_S = 2


def http_app(ready: Ready, metrics: Metrics, warnings: Callable[[], Sequence[str]] = tuple) -> Starlette:
    """The application. `ready` says whether decisions can be made and recorded now; one that fails says no."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        if not is_ready(ready):
            return JSONResponse({"status": "not ready"}, 503)
        found = list(warnings())
        return JSONResponse({"status": "ready", "warnings": found} if found else {"status": "ready"})

    async def exposition(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    app = Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"title": "not found" if status == 404 else "not possible"}, status, headers)


async def _failed(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"title": "failed"}, 500)


class _Server(uvicorn.Server):
    """A server that leaves signals to the process it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve_http(app: Starlette, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` on `host` (an IP address) for as long as the context lasts; it gives the bound port (`port` 0: a
    free one). Errors: ConfigError N101 the address cannot be bound.
    """
    with _bound(host, port) as listening:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=STOP_WITHIN_S,
        )
        server = _Server(config)
        running = asyncio.create_task(server.serve([listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await running


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        detail = f"cannot listen for HTTP on {host} port {port}: {error}; free the port or change [http] address"
        raise ConfigError("N101", detail) from error
    return listening
