"""What Envoy loads: an ASGI application that is the service from its start to its end.

What it is to be stands in the environment (`ENTRY`, as `Entry` in JSON), which `pdp.hosting.envoy_process` writes. At
its start the service is made by a function of ours that stands there by its name; Envoy opens no address before that
has succeeded, and ends when it fails. When the pipe of whoever started the process is closed, or they are gone, no
connection is taken any more, each is asked to go, what is under way has its time, and Envoy ends.

    pyvoy runs the event loop on a thread that is not the main one: signals are Envoy's, none arrives here
    there is one interpreter, one loop, and one lifespan for the one place of the configuration (`envoy_config`)
    a second thread of pyvoy hands over what comes; Envoy's own threads never wait for Python

INVARIANT: a process whose starter is gone does not go on.
Design: architecture.md "Speed"; audit.md 4.

Decision: 2026-11-22. Envoy sends GOAWAY to a connection at its next request, and never cuts one off at once: so what is
asked in the last moments is still answered. LEAST_S is the time that clients have to come by.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from pdp.hosting.envoy_config import INSIDE, Hosting, secrets_of
from pdp.transports.hosted_app import HostedApp, HostedListener
from pdp.transports.tls import LOOK_EVERY_S, Material, watched

ENTRY = "PORTCULLIS_ENTRY"
LEAST_S = 0.3
ADMIN_S = 2.0
FLUSHED_S = 2.0
"""How long Envoy may take to send what was answered."""

LOOK_AGAIN_S = 0.02

_UNSENT = rf"^(http\.{INSIDE}|tcp\..*)\.downstream_(rq_active|cx_tx_bytes_buffered)$"

_OF_THE_HOST = ("LD_PRELOAD", "PYTHONHOME", "PYTHONPATH", ENTRY)
"""What the host itself is started with, and no process that the service starts may have."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)


class Entry(Struct, frozen=True):
    """What is to be served: `service` (`module:function`) is called with `argument` and gives it as a context. `folder`
    is that of `Hosting`; `pipe` the descriptor whose end says that all shall end; `python` the interpreter that
    processes of the service are started with; `environment` what else they are to have.
    """

    service: str
    argument: str
    folder: str
    pipe: int
    python: str
    grace_s: float
    environment: dict[str, str]


class Served(Struct, frozen=True):
    """The application of the service and its listeners."""

    app: HostedApp
    listeners: tuple[HostedListener, ...]


Service = Callable[[str], contextlib.AbstractAsyncContextManager[Served]]
"""What a function that an `Entry` names is. What it raises keeps the process from starting."""


class _Application:
    """One service. It is loaded before anything of the environment is read."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._environment = environment
        self._app: HostedApp | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._serving():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            log.exception("the hosted service failed")
            kind = "startup" if self._app is None else "shutdown"
            await send({"type": f"lifespan.{kind}.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        entry = msgspec.json.decode(self._environment[ENTRY], type=Entry)
        _as_outside(self._environment, entry)
        module, _, name = entry.service.partition(":")
        service: Service = getattr(importlib.import_module(module), name)
        hosting = Hosting(Path(entry.folder), Path())
        async with contextlib.AsyncExitStack() as stack:
            served = await stack.enter_async_context(service(entry.argument))
            certificates = [each.certificates for each in served.listeners if each.certificates is not None]
            await stack.enter_async_context(watched(certificates))
            stack.enter_context(_running(_renewing(served.listeners, hosting)))
            stack.enter_context(_running(_ending(served.app, entry, hosting)))
            self._app = served.app
            yield


def _as_outside(environment: MutableMapping[str, str], entry: Entry) -> None:
    """Processes that the service starts are of the interpreter and the environment that it was started with itself."""
    for name in _OF_THE_HOST:
        environment.pop(name, None)
    environment.update(entry.environment)
    sys.executable = entry.python


@contextlib.contextmanager
def _running(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Do `work` beside the context, and no longer."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()


async def _renewing(listeners: Sequence[HostedListener], hosting: Hosting) -> None:
    """Hand new certificates to Envoy when they are in use here."""
    shown: dict[str, Material] = {each.name: each.certificates.current for each in listeners if each.certificates}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for each in listeners:
            if each.certificates is not None and each.certificates.current is not shown[each.name]:
                shown[each.name] = each.certificates.current
                try:
                    write_secrets(each, each.certificates.current, hosting)
                except OSError:
                    log.exception("cannot hand on the certificate of %s", each.address)


def write_secrets(listener: HostedListener, material: Material, hosting: Hosting) -> None:
    """Put the certificates of a listener where Envoy looks for them, each in one step. Errors: OSError."""
    for name, value in secrets_of(material).items():
        place = hosting.secret(listener, name)
        beside = place.with_suffix(".new")
        beside.unlink(missing_ok=True)
        with open(beside, "x", opener=_for_us) as file:
            file.write(json.dumps(value))
        beside.replace(place)


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unsent(stats: str) -> bool:
    """Whether Envoy still has something to send."""
    return any(not line.endswith(": 0") for line in stats.splitlines())


async def _ending(app: HostedApp, entry: Entry, hosting: Hosting) -> None:
    """Wait for the end of the pipe, and end then."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.add_reader(entry.pipe, lambda: None if over.done() else over.set_result(None))
    await over
    loop.remove_reader(entry.pipe)
    transport = httpx.AsyncHTTPTransport(uds=str(hosting.admin))
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=ADMIN_S) as admin:
        for order in ("/healthcheck/fail", "/drain_listeners"):
            try:
                await admin.post(order)
            except httpx.HTTPError:
                log.exception("Envoy was not told to end its connections (%s)", order)
        await app.close(entry.grace_s, min(LEAST_S, entry.grace_s))
        with contextlib.suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(FLUSHED_S):
                while _unsent((await admin.get("/stats", params={"filter": _UNSENT})).text):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN_S)
    os.kill(os.getpid(), signal.SIGTERM)


app = _Application(os.environ)
