"""The whole service as several processes: what `pdp serve --workers N` runs from two workers on.

    supervisor ── holds the state folder and the addresses; answers administrators; keeps the clock; decides nothing
      ├─ sequencer          one for the log of all workers (pdp/sequencing.py)
      └─ worker 0, 1, …     each answers gateways, and has a write-ahead log of its own (pdp/fleet.py)

SIGINT, SIGTERM: all workers drain and end, then the sequencer. SIGHUP: all look at the policy's place. SIGUSR2: they
are replaced one by one. `pdp admin` asks all of them, but for what they share (revocations), which one of them changes
and the next decision of each knows.
INVARIANT: an address that anybody else listens at is an error at the start, as it is for one worker: it is claimed
before the first worker begins, and as long as the service runs.
INVARIANT: a request to administer is in the log of a worker before it is done at any.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace

from pdp.admin import ANSWER_WITHIN_S, Asker, Verb, admin_server
from pdp.admin_tls import AdminListener
from pdp.channel import Said
from pdp.config import Config
from pdp.errors import AuditError
from pdp.fleet import Charge, Fleet, Start, as_processes
from pdp.gateways import Gateways
from pdp.hosting.envoy_process import Installed
from pdp.hosting.inside_envoy import inside_envoy
from pdp.listening import Listeners
from pdp.model import Json
from pdp.running import background, unless_stopped
from pdp.sequencing import SequencerProcess
from pdp.server import FIRST_WRITER, Held, begin_log, held
from pdp.transports.places import socket_path
from pdp.worker import STATED_WITHIN_S, Others, Seams
from pdp.worker_main import Order, Told, written

MOST_WORKERS = 64

log = logging.getLogger(__name__)


def default_workers(config: Config) -> int:
    """A worker for each core that this process may use; one where an address cannot be shared."""
    grpc = [each for each in config.listeners if each.protocol == "grpc"]
    if any(socket_path(each.address) is not None for each in grpc) or not hasattr(os, "sched_getaffinity"):
        return 1
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


async def supervise(
    config: Config, workers: int, *, development: bool, quiet: bool, envoy: Installed | None = None
) -> None:
    """Serve by so many workers until SIGINT or SIGTERM; with `envoy` each stands inside an Envoy of its own.

    Errors: PdpError for what keeps the service from starting.
    """
    with held(config, Seams()) as folder:
        await _Supervisor(config, folder, workers, envoy, development=development, quiet=quiet).run()


class _Supervisor:
    """The service of one configuration."""

    def __init__(
        self, config: Config, folder: Held, workers: int, envoy: Installed | None, *, development: bool, quiet: bool
    ) -> None:
        self._config = config
        self._envoy = envoy
        self._folder = folder
        self._workers = workers
        self._development = development
        self._quiet = quiet
        clock, read = folder.clock, folder.seams.read_certificate
        self._listeners = Listeners(config, Gateways.of(config.gateways), read)
        self._administrators = AdminListener(config.admin, read, lambda: clock.now_us() / 1_000_000)
        self._sequencer = SequencerProcess(folder.state.root, config.log)

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        for name in (signal.SIGHUP, signal.SIGUSR2):
            loop.add_signal_handler(name, log.warning, "%s came before the service was ready", name.name)
        state, config = self._folder.state, self._config
        begin_log(state, config.log, self._folder.seams.entropy)
        async with contextlib.AsyncExitStack() as stack:
            charge = stack.enter_context(self._charged())
            await stack.enter_async_context(background(self._sequencer.run(), stop))
            fleet = Fleet(charge, self._workers, FIRST_WRITER, self._told)
            stack.push_async_callback(fleet.end)
            if await unless_stopped(_done(fleet.begin()), stop) is None:
                return
            verbs = _Verbs(fleet, self._sequencer, self._own_warnings, self._workers)
            await stack.enter_async_context(admin_server(state.admin_socket, verbs.all(), verbs.stated))
            await stack.enter_async_context(self._administrators.open(verbs.all(), verbs.stated))
            for part in (self._folder.clock.run(), fleet.run()):
                await stack.enter_async_context(background(part, stop))
            signalled = await stack.enter_async_context(_Signalled().waited_for())
            loop.add_signal_handler(signal.SIGHUP, signalled.begin, verbs.look)
            loop.add_signal_handler(signal.SIGUSR2, signalled.begin, fleet.roll)
            log.info("ready: %d workers", self._workers)
            await stop.wait()
            log.info("ending")

    @contextlib.contextmanager
    def _charged(self) -> Iterator[Charge]:
        """What workers are to do, while their addresses are kept. Errors: ConfigError."""
        if self._envoy is None:
            with self._listeners.claimed() as claimed:
                sockets = {address: each.fileno() for address, each in claimed.http.items()}
                start = as_processes(list(claimed.http.values()))
                yield self._charge(self._at(claimed.grpc), sockets, start)
            return
        with self._listeners.ported(alone=self._workers == 1) as ported:
            config = self._at(ported)
            listeners = Listeners(config, Gateways.of(config.gateways), self._folder.seams.read_certificate)
            yield self._charge(config, {}, inside_envoy(listeners.places(), self._envoy))

    def _at(self, addresses: Mapping[str, str]) -> Config:
        """The configuration with what addresses came to."""
        config = self._config
        listeners = [replace(each, address=addresses.get(each.address, each.address)) for each in config.listeners]
        http = replace(config.http, address=addresses.get(config.http.address, config.http.address))
        return replace(config, listeners=tuple(listeners), http=http)

    def _charge(self, config: Config, sockets: Mapping[str, int], start: Start) -> Charge:
        def order(number: int, others: Others) -> Order:
            return Order(config, number, sockets, self._development, self._quiet, self._told(others))

        return Charge(order, start)

    def _told(self, others: Others) -> Told:
        own = self._own_warnings()
        told = Others(others.ready, [*own, *others.warnings])
        return Told(self._sequencer.misgiving(), self._sequencer.running, told)

    def _own_warnings(self) -> list[str]:
        return self._administrators.misgivings(self._folder.clock.now_us())


class _Signalled:
    """What signals began."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Do it beside the rest."""
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("what a signal asked for failed", exc_info=task.exception())

    @contextlib.asynccontextmanager
    async def waited_for(self) -> AsyncIterator[_Signalled]:
        """Break off at the end what is under way."""
        try:
            yield self
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


class _Verbs:
    """What administrators may have done, by all workers."""

    def __init__(
        self, fleet: Fleet, sequencer: SequencerProcess, warnings: Callable[[], list[str]], workers: int
    ) -> None:
        self._fleet = fleet
        self._sequencer = sequencer
        self._warnings = warnings
        self._workers = workers

    def all(self) -> Mapping[str, Verb]:
        """The verbs, by their names."""
        return {
            "status": Verb(self._status, changes=False),
            "reload": Verb(self._reload, changes=True),
            "revoke": Verb(self._revoke, changes=True),
        }

    async def stated(self, verb: str, asker: Asker, request: Mapping[str, Json]) -> str:
        """Put a request into the log of one worker. Errors: AuditError."""
        said = {"verb": verb, "asker": written(asker), "request": dict(request)}
        up = self._fleet.up()[:1]
        for answer in await self._fleet.ask(up, "stated", said, 2 * STATED_WITHIN_S):
            if isinstance(answer, Mapping):
                return str(answer["record"])
            raise AuditError("audit.unavailable", str(answer) or "the worker did not answer")
        raise AuditError("audit.unavailable", "no worker runs")

    async def look(self) -> None:
        """Let all workers look at the policy's place."""
        await self._reload({})

    async def _asked(
        self, verb: str, request: Mapping[str, Json], *, most: int | None = None
    ) -> list[Mapping[str, Json]]:
        """What the workers answer; one that does not says why."""
        up = self._fleet.up()[:most]
        found = await self._fleet.ask(up, "verb", {"verb": verb, "request": dict(request)}, ANSWER_WITHIN_S)
        return [_answer(member.number, each) for member, each in zip(up, found, strict=True)]

    async def _status(self, request: Mapping[str, Json]) -> Mapping[str, Json]:
        answers, ready = await self._asked("status", request), self._fleet.ready()
        said = dict.fromkeys([*self._fleet.others().warnings, *self._warnings()])
        is_ready = bool(answers) and all(each.get("ready") is True for each in answers)
        return {
            "ok": is_ready,
            "ready": is_ready,
            "workers": f"{ready} of {self._workers} ready",
            "policy": _distinct(answers, "policy"),
            "warnings": "; ".join(said) or "none",
            "revoked": max((_number(each, "revoked") for each in answers), default=0),
            "last_reload": _distinct(answers, "last_reload"),
            "log": _distinct(answers, "log"),
            **{name: sum(_number(each, name) for each in answers) for name in _COUNTED},
            "sequencer": "running" if self._sequencer.running else "down",
        }

    async def _reload(self, request: Mapping[str, Json]) -> Mapping[str, Json]:
        answers = await self._asked("reload", request)
        if not answers:
            return {"ok": False, "state": "refused", "detail": "no worker runs: see `pdp admin status`"}
        worst = [each for each in answers if not each.get("ok")] or [each for each in answers if each != answers[0]]
        return worst[0] if worst else answers[0]

    async def _revoke(self, request: Mapping[str, Json]) -> Mapping[str, Json]:
        answers = await self._asked("revoke", request, most=1)
        return answers[0] if answers else {"ok": False, "detail": "nothing was changed, since no worker runs"}


_COUNTED = ("log_pending", "log_refused", "log_aggregated")


def _answer(number: int, found: Said | Exception) -> Mapping[str, Json]:
    if isinstance(found, Exception):
        why = str(found) or type(found).__name__
        return {"ok": False, "detail": f"worker {number} did not answer, and may have done it or not: {why}; ask again"}
    return found


def _distinct(answers: Sequence[Mapping[str, Json]], name: str) -> str:
    return "; ".join(dict.fromkeys(str(each[name]) for each in answers if name in each))


def _number(answer: Mapping[str, Json], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0


async def _done(work: Coroutine[object, object, None]) -> bool:
    await work
    return True
