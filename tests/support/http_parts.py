"""The HTTP application around any decider, and requests to it by any connection, with and without sockets."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from pdp.gateways import Connection, Gateway, Gateways
from pdp.metrics import Metrics
from pdp.transports.asking import CONNECTION
from pdp.transports.http_app import HttpParts, http_app
from pdp.transports.http_server import OPERATIONS
from pdp.transports.readiness import Shown
from tests.support.certificates import EDGE_ID
from tests.support.deciders import MemoryDecider

NOW_US = 1_767_225_600_000_000
KEY = "k" * 43
EDGE = Gateway("edge", None, EDGE_ID, subjects=True)
APP = Gateway("app", frozenset({"todo"}), subjects=True)
KNOWN = Gateways({"edge": EDGE, "app": APP}, {EDGE_ID: EDGE}, {hashlib.sha256(KEY.encode()).hexdigest(): APP})
SHOWN = Shown("ab" * 32, NOW_US - 90_000_000, "writable", (), ())
EVALUATION = "/access/v1/evaluation"
ASKED = {
    "subject": {"type": "user", "id": "rick"},
    "action": {"name": "can_read_todos"},
    "resource": {"type": "todo", "id": "todo-1"},
}
FORWARDED = {
    "x-forwarded-method": "GET",
    "x-forwarded-uri": "/a",
    "x-forwarded-host": "todo.example",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "192.0.2.7",
}


def parts(decider: MemoryDecider | None = None, **more: Any) -> HttpParts:
    options: dict[str, Any] = {
        "decider": decider or MemoryDecider(),
        "gateways": KNOWN,
        "clock_us": lambda: NOW_US,
        "may_ask": lambda *_: True,
        "may_record": lambda: True,
        "ready": lambda: True,
        "shown": lambda: SHOWN,
        "metrics": Metrics(),
        "acr_values": {},
        "public_url": None,
        "body_bytes": 65_536,
    }
    return HttpParts(**(options | more))


def by(app: ASGIApp, connection: Connection | None, *, operations: bool) -> ASGIApp:
    """The application as one connection reaches it; None: nothing is said of the connection."""

    async def reached(scope: Scope, receive: Receive, send: Send) -> None:
        said = {} if connection is None else {CONNECTION: connection, OPERATIONS: operations}
        await app({**scope, **said}, receive, send)

    return reached


def ask(
    path: str,
    *,
    method: str = "GET",
    connection: Connection | None = Connection(None, private=True),  # noqa: B008  a frozen value
    operations: bool = True,
    made_of: HttpParts | None = None,
    **more: Any,
) -> httpx.Response:
    """One request to an application that is made for it, without a socket."""

    async def once() -> httpx.Response:
        app = by(http_app(made_of or parts()), connection, operations=operations)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pdp") as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())
