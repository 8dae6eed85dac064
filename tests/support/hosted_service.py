"""A service with a decider in memory, as the host loads it: its behaviour is told by the path that is asked about."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from msgspec import Struct

from pdp.gateways import Gateway, Gateways
from pdp.hosting.entry import Served
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry
from pdp.transports.grpc_server import GrpcService
from pdp.transports.hosted_app import HostedListener, hosted_app
from pdp.transports.http_app import http_app
from pdp.transports.messages import DECISIONS
from pdp.transports.native_calls import NativeCalls
from pdp.transports.tls import Certificates, TlsFiles
from tests.support.certificates import EDGE_ID
from tests.support.deciders import ALLOW, ID
from tests.support.http_parts import parts

EDGE = Gateway("edge", None, EDGE_ID, subjects=True)
KNOWN = Gateways({"edge": EDGE}, {EDGE_ID: EDGE})


class Place(Struct, frozen=True):
    """A listener as the argument of the service says it. `tls` names the folder with `server.pem`, `server.key` and
    `clients.pem`.
    """

    name: str
    protocol: str
    address: str
    named: bool = False
    tls: str = ""
    operations: bool = False


class Told(Struct, frozen=True):
    """The argument: the listeners, and the folder in which the service writes what it was asked."""

    places: tuple[Place, ...]
    folder: str


def listeners(told: Told) -> tuple[HostedListener, ...]:
    return tuple(
        HostedListener(
            each.name,
            "grpc" if each.protocol == "grpc" else "http",
            each.address,
            EDGE if each.named else None,
            None if not each.tls else _certificates(Path(each.tls)),
            each.operations,
        )
        for each in told.places
    )


def _certificates(folder: Path) -> Certificates:
    return Certificates(TlsFiles(folder / "server.pem", folder / "server.key", folder / "clients.pem"))


class WritingDecider:
    """Writes each thing that it is asked into a file, and behaves as the path says."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "asked").open("a", buffering=1)

    def _note(self, *words: object) -> None:
        print(*words, file=self._file)

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        self._note("decide", inquiry.gateway, inquiry.path)
        match inquiry.path:
            case "/raise":
                raise RuntimeError("broken on purpose")
            case "/exit":
                raise SystemExit(3)
            case "/hang":
                await asyncio.Event().wait()
            case "/hold":
                time.sleep(0.3)  # noqa: ASYNC251 - the loop is held on purpose
            case "/slow":
                await asyncio.sleep(1.0)
            case "/budget":
                assert budget_s is not None
                self._note("budget", round(budget_s, 1))
            case "/environment":
                self._note("environment", *(name for name in ("LD_PRELOAD", "PYTHONHOME") if name in os.environ))
            case _:
                pass
        return ALLOW

    def overtaken(self, decision: Decision) -> None:
        self._note("overtaken")

    async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
        self._note("refuse", gateway, reason)
        return Decision("deny", ("internal",), reason, id=ID)


class QuietDecider(WritingDecider):
    """Allows, and writes nothing: for measurements."""

    def _note(self, *words: object) -> None:
        pass


@contextlib.asynccontextmanager
async def service(argument: str) -> AsyncIterator[Served]:
    async with _service(argument, WritingDecider) as served:
        yield served


@contextlib.asynccontextmanager
async def quiet(argument: str) -> AsyncIterator[Served]:
    async with _service(argument, QuietDecider) as served:
        yield served


@contextlib.asynccontextmanager
async def failing(argument: str) -> AsyncIterator[Served]:
    raise RuntimeError(f"no service for {argument[:1]}")
    yield


@contextlib.asynccontextmanager
async def _service(argument: str, made: type[WritingDecider]) -> AsyncIterator[Served]:
    told = msgspec.json.decode(argument, type=Told)
    found, folder = listeners(told), Path(told.folder)
    decider, metrics = made(folder), Metrics()

    def clock_us() -> int:
        return time.time_ns() // 1000

    calls = NativeCalls(
        decider,
        clock_us=clock_us,
        metrics=metrics,
        acr_values={},
        may_ask=lambda *_: True,
        may_record=lambda: True,
    )
    app = hosted_app(
        decider,
        found,
        http_app(parts(decider, gateways=KNOWN, metrics=metrics)),  # type: ignore[arg-type]  # a decider all the same
        clock_us=clock_us,
        ready=lambda: True,
        metrics=metrics,
        acr_values={},
        gateways=KNOWN,
        services=[GrpcService(DECISIONS, calls.handler, calls.close)],
    )
    yield Served(app, found)
    (folder / "closed").write_text("the service has closed what it had")
