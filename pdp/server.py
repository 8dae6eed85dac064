"""The whole service, put together in one place: what `pdp serve` runs.

Start: state folder held, keys, sequencer, log writer, policy in force and stated in the log, listeners. Anything that
fails before the listeners ends the start: a service without policy or log never answers. End: listeners drain, the
writer writes `log.stop`, the sequencer signs what there is and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass

from pdp import __version__
from pdp.admin import admin_server
from pdp.audit.files import OpenLogFile, open_log_file
from pdp.audit.keys import create_keys, load_keys
from pdp.audit.writer import LogWriter
from pdp.config import Config
from pdp.errors import AuditError, PolicyError
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.model import Decider, Json
from pdp.runtime.reload import Reloader
from pdp.runtime.store import BundleStore, EngineHolder
from pdp.sequencing import SequencerProcess
from pdp.service import DecisionService, Receipts
from pdp.state import State, prepare_state, sole_use
from pdp.transports.grpc_server import GrpcListener, serve_grpc
from pdp.transports.http_app import http_app, serve_http

WORKER = 0
"""The writer number of the first (and so far only) worker; 255 is the command line's."""

DRAIN_S = 5.0

log = logging.getLogger(__name__)


def _clock_us() -> int:
    return time.time_ns() // 1_000


def _same(decider: Decider) -> Decider:
    return decider


@dataclass(frozen=True, slots=True)
class Seams:
    """Where the outside world comes in; a test puts a failing one in its place."""

    open_file: OpenLogFile = open_log_file
    clock_us: Callable[[], int] = _clock_us
    monotonic: Callable[[], float] = time.monotonic
    entropy: Callable[[int], bytes] = os.urandom
    decider: Callable[[Decider], Decider] = _same


async def serve(config: Config, *, development: bool = False, seams: Seams | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Errors: PdpError for whatever keeps the service from starting."""
    policies = config.policies
    if policies is None:
        raise PolicyError("P100", "no policy: name a folder with --policies DIR, or as `policies` in pdp.toml")
    state = prepare_state(config.state)
    with sole_use(state):
        server = _Server(config, state, seams or Seams(), development=development)
        await server.run()


class _Server:
    """The running parts."""

    def __init__(self, config: Config, state: State, seams: Seams, *, development: bool) -> None:
        self._config = config
        self._state = state
        self._seams = seams
        self._development = development
        self._holder = EngineHolder()
        self._metrics = Metrics()
        self._sequencer = SequencerProcess(state.root, config.log.checkpoint_interval_ms)

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        identity = Identity(Verifier(read_issuers(self._config.issuers)))
        receipts = Receipts(loop)
        async with contextlib.AsyncExitStack() as stack:
            if not (self._state.keys / "log.key").exists():
                create_keys(self._state.keys, self._config.log.origin, self._seams.entropy)
            await stack.enter_async_context(_background(self._sequencer.run(), stop))
            writer = await stack.enter_async_context(self._writer(receipts))
            reloader = await self._first_policy(writer, receipts)
            service = self._service(identity, writer, receipts)
            await self._listen(stack, service, writer, reloader)
            await stack.enter_async_context(_background(reloader.run(), stop))
            loop.add_signal_handler(signal.SIGHUP, _Look(reloader, loop))
            log.info("ready")
            await stop.wait()
            log.info("ending")

    @contextlib.asynccontextmanager
    async def _writer(self, receipts: Receipts) -> AsyncIterator[LogWriter]:
        seams = self._seams
        writer = LogWriter(
            self._state.wal,
            WORKER,
            load_keys(self._state.keys),
            open_file=seams.open_file,
            entropy=seams.entropy,
            clock_us=seams.clock_us,
            on_settled=receipts.settled,
            software=f"portcullis {__version__}",
        )
        await asyncio.to_thread(writer.start)
        self._metrics.watch_pending(lambda: writer.status().pending)
        try:
            yield writer
        finally:
            await asyncio.to_thread(writer.close, DRAIN_S)

    async def _first_policy(self, writer: LogWriter, receipts: Receipts) -> Reloader:
        async def record(kind: str, clear: Mapping[str, Json]) -> None:
            receipt = writer.append(kind, {"t": self._seams.clock_us(), **clear}, None, strict=True)
            error = await receipts.of(receipt, None)
            if error is not None:
                raise AuditError(error.code, error.detail)

        assert self._config.policies is not None  # noqa: S101 - for the type checker: `serve` asked
        store = BundleStore(self._state.bundles)
        reloader = Reloader(
            self._config.policies,
            self._holder,
            store,
            record,
            development=self._development,
            in_force=self._metrics.policy_in_force,
        )
        outcome = await reloader.start()
        if self._holder.current() is None:
            raise PolicyError("P100", f"the policy in {self._config.policies} was not put in force: {outcome.detail}")
        return reloader

    def _service(self, identity: Identity, writer: LogWriter, receipts: Receipts) -> Decider:
        evaluator = Evaluator(self._holder.current, identity, service_from_host=self._config.service_from_host)
        service = DecisionService(
            evaluator,
            writer,
            receipts,
            self._metrics,
            strict_methods=frozenset(self._config.log.strict_by_default),
            explained_per_second=self._config.log.explained_refusals_per_second,
            monotonic=self._seams.monotonic,
        )
        return self._seams.decider(service)

    async def _listen(
        self, stack: contextlib.AsyncExitStack, service: Decider, writer: LogWriter, reloader: Reloader
    ) -> None:
        config = self._config

        def ready() -> bool:
            return self._holder.current() is not None and writer.status().poisoned is None

        async def status(_: Mapping[str, Json]) -> Mapping[str, Json]:
            return self._status(writer, reloader, ready=ready())

        async def reload(request: Mapping[str, Json]) -> Mapping[str, Json]:
            outcome = await reloader.look(confirmed=request.get("confirm") is True)
            in_force = outcome.state in {"activated", "unchanged"}
            return {"ok": in_force, "state": outcome.state, "detail": outcome.detail}

        await stack.enter_async_context(admin_server(self._state.admin_socket, {"status": status, "reload": reload}))
        listeners = [
            GrpcListener(each.address, each.gateway, None if each.services is None else frozenset(each.services))
            for each in config.listeners
        ]
        serving = serve_grpc(
            service,
            listeners,
            clock_us=self._seams.clock_us,
            ready=ready,
            metrics=self._metrics,
            acr_values=config.challenges,
            message_bytes=config.limits.message_bytes,
        )
        for address in await stack.enter_async_context(serving):
            log.info("ext_authz on %s", address)
        host, _, port = config.http.address.rpartition(":")
        await stack.enter_async_context(serve_http(http_app(ready, self._metrics), host.strip("[]"), int(port)))

    def _status(self, writer: LogWriter, reloader: Reloader, *, ready: bool) -> Mapping[str, Json]:
        engine, written = self._holder.current(), writer.status()
        return {
            "ok": ready,
            "ready": ready,
            "policy": engine.digest if engine else "",
            "last_reload": f"{reloader.last.state}: {reloader.last.detail}",
            "log": written.poisoned or "writable",
            "log_pending": written.pending,
            "log_refused": written.refused,
            "sequencer": "running" if self._sequencer.running else "down",
        }


class _Look:
    """SIGHUP: look at the policy folder now."""

    def __init__(self, reloader: Reloader, loop: asyncio.AbstractEventLoop) -> None:
        self._reloader = reloader
        self._loop = loop
        self._task: asyncio.Task[object] | None = None

    def __call__(self) -> None:
        self._task = self._loop.create_task(self._reloader.look(confirmed=False))


@contextlib.asynccontextmanager
async def _background(work: Coroutine[object, object, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run a part of the service beside the rest; cancelled and waited for at the end.

    A part that ends by itself ends the service: one that no longer reloads, or no longer keeps its log, must not look
    ready.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("a part of the service ended by itself; the service ends", exc_info=task.exception())
            stop.set()

    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
