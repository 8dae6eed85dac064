"""The whole service, put together in one place: what `pdp serve` runs.

Start: state folder held, keys, sequencer, log writer, policy in force and stated in the log, listeners. Anything that
fails before the listeners ends the start: a service without policy or log never answers. A policy that was put in force
has decided one call for each of its cells before the first listener opens, as far as its self-test goes
(pdp/runtime/engine.py). End, at any time, also while a policy is compiled or loaded: listeners drain, the writer writes
`log.stop`, the sequencer signs what there is and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

import orjson
from msgspec import Struct
from msgspec.structs import replace

from pdp import __version__
from pdp.admin import Asker, Verb, admin_server
from pdp.admin_tls import AdminListener
from pdp.audit.files import OpenLogFile, open_log_file
from pdp.audit.inputs import limited_text
from pdp.audit.keys import create_keys, load_record_keys
from pdp.audit.writer import LogWriter
from pdp.clock import SteadyClock, host_clock_us
from pdp.config import Config
from pdp.errors import AuditError, PolicyError, StateError
from pdp.evaluate import Evaluator
from pdp.gateways import Gateways
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Issuer
from pdp.identity.network import trusted
from pdp.identity.trust import Trust
from pdp.issuing import Issuing
from pdp.listening import Listeners, Running
from pdp.metrics import Metrics
from pdp.model import AUTHORIZATION, Decider, Json
from pdp.rehearsal import rehearse
from pdp.runtime.acceptance import Conditions, loose_headers, misgivings, observations
from pdp.runtime.engine import Engine
from pdp.runtime.reload import Reloader
from pdp.runtime.sources import Source, source_of
from pdp.runtime.store import BundleStore, EngineHolder
from pdp.sequencing import SequencerProcess
from pdp.service import NO_TOKENS, DecisionService, Receipts
from pdp.standing import Standing, standing_of
from pdp.state import State, prepare_state, sole_use
from pdp.transports.readiness import Shown
from pdp.transports.tls import ReadFile, read_file

WORKER = 0
"""The writer number of the first (and so far only) worker; 255 is the command line's."""

DRAIN_S = 5.0
FIRST_KEYS_WITHIN_S = 3.0
"""So long a start waits for keys that are asked for over a network; then it goes on without them."""
STATED_WITHIN_S = 5.0
LONGEST_REQUEST = 4_096
"""Bytes of an administrator's request that its record holds."""

log = logging.getLogger(__name__)

Made = TypeVar("Made")


InForce = Callable[[], Engine | None]
"""What asks for the engine in force."""


def _same(decider: Decider) -> Decider:
    return decider


def _as_it_is(in_force: InForce) -> InForce:
    return in_force


class Seams(Struct, frozen=True):
    """Where the outside world comes in; a test puts a failing one in its place."""

    open_file: OpenLogFile = open_log_file
    clock_us: Callable[[], int] = host_clock_us
    monotonic: Callable[[], float] = time.monotonic
    entropy: Callable[[int], bytes] = os.urandom
    read_certificate: ReadFile = read_file
    decider: Callable[[Decider], Decider] = _same
    in_force: Callable[[InForce], InForce] = _as_it_is


async def serve(config: Config, *, development: bool = False, seams: Seams | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Errors: PdpError for whatever keeps the service from starting."""
    policies = config.policies
    if policies is None:
        raise PolicyError("P100", "no policy: name a folder with --policies DIR, or as `policies` in pdp.toml")
    conditions = Conditions(config.service_from_host, config.never_observe)
    source = source_of(policies, config.bundle_digest, config.settings, conditions)
    state = prepare_state(config.state)
    with sole_use(state):
        world = seams or Seams()
        clock = SteadyClock(world.clock_us, world.monotonic, state.clock)
        server = _Server(config, source, state, replace(world, clock_us=clock.now_us), clock, development=development)
        await server.run()


class _Parts(Struct, frozen=True):
    """What runs, once the policy is in force."""

    writer: LogWriter
    receipts: Receipts
    reloader: Reloader
    evaluator: Evaluator
    trust: Trust
    standing: Standing
    issuing: Issuing | None


class _Server:
    """The service of one configuration."""

    def __init__(
        self, config: Config, source: Source, state: State, seams: Seams, clock: SteadyClock, *, development: bool
    ) -> None:
        self._config = config
        self._clock = clock
        self._source = source
        self._state = state
        self._seams = seams
        self._development = development
        self._gateways = Gateways.of(config.gateways)
        self._listeners = Listeners(config, self._gateways, seams.read_certificate)
        self._administrators = AdminListener(config.admin, seams.read_certificate, lambda: clock.now_us() / 1_000_000)
        self._holder = EngineHolder()
        self._in_force_us = 0
        self._metrics = Metrics()
        self._sequencer = SequencerProcess(state.root, config.log)

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        receipts = Receipts(loop)
        async with contextlib.AsyncExitStack() as stack:
            issuers, logged = read_issuers(self._config.issuers), self._config.log
            if not (self._state.keys / "log.key").exists():
                create_keys(self._state.keys, logged.origin, self._seams.entropy, logged.root)
            if logged.root not in (None, load_record_keys(self._state.keys).vkey):
                place = self._state.keys / "log.vkey"
                raise StateError("S132", f"`log.root` is not the key in {place}: it is fixed when a log begins")
            await stack.enter_async_context(_background(self._sequencer.run(), stop))
            writer = await stack.enter_async_context(self._writer(receipts))
            standing = await stack.enter_async_context(self._standing(issuers, writer, receipts))
            trusting = trusted(self._config.issuers, issuers, self._state.issuers, standing.refused)
            trust = await stack.enter_async_context(trusting)
            reloader = await _unless_stopped(self._first_policy(writer, receipts), stop)
            if reloader is None:
                return
            await stack.enter_async_context(_background(trust.run(), stop))
            await trust.settled(FIRST_KEYS_WITHIN_S)
            evaluator = self._evaluator(trust.identity)
            issuing = self._issuing(stack)
            parts = _Parts(writer, receipts, reloader, evaluator, trust, standing, issuing)
            self._measure(parts)
            await self._administer(stack, parts)
            await self._listen(stack, parts)
            followed = (self._clock, standing.revoking, standing.file, issuing)
            for part in (each for each in followed if each is not None):
                await stack.enter_async_context(_background(part.run(), stop))
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
            load_record_keys(self._state.keys),
            open_file=seams.open_file,
            entropy=seams.entropy,
            clock_us=seams.clock_us,
            on_settled=receipts.settled,
            software=f"portcullis {__version__}",
        )
        await asyncio.to_thread(writer.start)
        try:
            yield writer
        finally:
            await asyncio.to_thread(writer.close, DRAIN_S)

    async def _first_policy(self, writer: LogWriter, receipts: Receipts) -> Reloader:
        async def record(kind: str, clear: Mapping[str, Json]) -> None:
            await self._state_in(writer, receipts, kind, clear)

        store = BundleStore(self._state.bundles)
        reloader = Reloader(
            self._source,
            self._holder,
            store,
            record,
            development=self._development,
            in_force=self._in_force,
            refused=self._metrics.policy_refused,
        )
        outcome = await reloader.start()
        if self._holder.current() is None:
            raise PolicyError("P100", f"the policy in {self._source.place} was not put in force: {outcome.detail}")
        return reloader

    async def _state_in(
        self,
        writer: LogWriter,
        receipts: Receipts,
        kind: str,
        clear: Mapping[str, Json],
        inputs: bytes | None = None,
        within_s: float | None = None,
    ) -> str:
        """Put a leaf into the log and wait until it is durable; its id. Errors: AuditError; TimeoutError after
        `within_s`.
        """
        receipt = writer.append(kind, {"t": self._seams.clock_us(), **clear}, inputs, strict=True)
        error = await receipts.of(receipt, within_s)
        if error is not None:
            raise AuditError(error.code, error.detail)
        return receipt.id

    def _in_force(self, engine: Engine) -> None:
        """A policy decides from now on: say what of it fits the configuration badly."""
        self._metrics.policy_in_force(engine.digest)
        self._in_force_us = self._seams.clock_us()
        config = self._config
        gateways = [(each.name, each.services) for each in config.gateways]
        mints = config.minting.url is not None
        urls = {each.url for each in config.issuers}
        for sentence in misgivings(engine.program, urls, gateways, issues_tokens=mints):
            log.warning("%s", sentence)
        for sentence in self._loose():
            log.warning("%s", sentence)
        for sentence in self._observations():
            log.warning("%s: what its policy refuses passes", sentence)

    def _standing(
        self, issuers: Sequence[Issuer], writer: LogWriter, receipts: Receipts
    ) -> contextlib.AbstractAsyncContextManager[Standing]:
        async def state_in(clear: Mapping[str, Json]) -> None:
            await self._state_in(writer, receipts, "revoked", clear, None, STATED_WITHIN_S)

        seams, shared = self._seams, self._config.shared
        root = self._state.root
        return standing_of(shared, issuers, root, state_in, monotonic=seams.monotonic, clock_us=seams.clock_us)

    def _doubts(self, parts: _Parts) -> list[str]:
        """What is to be said of the parts."""
        said = [part.misgiving() for part in (parts.reloader, parts.evaluator, self._clock, self._sequencer)]
        if parts.writer.status().is_degraded:
            said.append(f"the disk of the log in {self._state.wal} is nearly full: what it cannot take is refused")
        minting = [] if parts.issuing is None else parts.issuing.misgivings()
        return [*filter(None, said), *parts.standing.misgivings(), *parts.trust.misgivings(), *minting]

    def _measure(self, parts: _Parts) -> None:
        """Let the metrics ask the parts."""
        self._metrics.watch_distrust(lambda: bool(parts.evaluator.misgiving()))
        self._metrics.watch_pending(lambda: parts.writer.status().pending)
        extended = self._sequencer.misgiving
        self._metrics.watch_log(lambda: parts.writer.status().aggregated, lambda: extended() is None)
        self._metrics.watch_issuers(parts.trust.ages_s)
        self._metrics.watch_shared(parts.standing.known)
        if parts.issuing is not None:
            self._metrics.watch_minting(parts.issuing.seconds_left)

    def _issuing(self, stack: contextlib.AsyncExitStack) -> Issuing | None:
        """Who makes tokens, where the configuration says so. Errors: StateError S132."""
        minting = self._config.minting
        if minting.url is None:
            return None
        seams = self._seams
        if self._config.shared.store is not None:
            log.warning("minting keys and names are this host's own: give each host a `url` in [minting] of its own")
        issuing = Issuing(
            minting.url,
            minting,
            self._state.keys,
            clock_us=seams.clock_us,
            monotonic=seams.monotonic,
            entropy=seams.entropy,
        )
        stack.callback(issuing.close)
        return issuing

    def _loose(self) -> list[str]:
        engine, gateways = self._holder.current(), [(each.name, each.headers) for each in self._config.gateways]
        if engine is None:
            return []
        words = engine.vocabulary
        credential = {AUTHORIZATION} if words.issues_tokens else set()
        return loose_headers(words.guarded_headers | credential, gateways)

    def _observations(self) -> list[str]:
        engine = self._holder.current()
        return [] if engine is None else observations(engine.program, self._seams.clock_us() // 1_000)

    def _observed(self) -> list[str]:
        engine, now_ms = self._holder.current(), self._seams.clock_us() // 1_000
        services = [] if engine is None else engine.program.services
        return [each.id for each in services if now_ms < (each.observe_until_ms or 0)]

    def _evaluator(self, identity: Identity) -> Evaluator:
        return Evaluator(
            self._seams.in_force(self._holder.current),
            identity,
            service_from_host=self._config.service_from_host,
            issues_tokens=self._config.minting.url is not None,
            explained_per_second=self._config.log.explained_refusals_per_second,
            compare_every=self._config.compare_every,
        )

    def _service(self, parts: _Parts) -> Decider:
        service = DecisionService(
            parts.evaluator,
            parts.writer,
            parts.receipts,
            self._metrics,
            strict_methods=frozenset(self._config.log.strict_by_default),
            monotonic=self._seams.monotonic,
            tokens=NO_TOKENS if parts.issuing is None else parts.issuing,
            sessions=parts.standing,
        )
        rehearse(parts.evaluator, self._gateways.by_name.values(), self._seams.clock_us(), self._config.challenges)
        return self._seams.decider(service)

    def _ready(self, parts: _Parts) -> bool:
        decides = self._holder.current() is not None and parts.writer.status().poisoned is None
        return decides and self._clock.behind_s == 0.0 and self._sequencer.misgiving() is None

    def _warnings(self, parts: _Parts) -> list[str]:
        """A sentence for everything that an operator should know."""
        now_us = self._seams.clock_us()
        certificates = [*self._listeners.misgivings(now_us), *self._administrators.misgivings(now_us)]
        return [*self._doubts(parts), *dict.fromkeys(certificates), *self._observations(), *self._loose()]

    async def _administer(self, stack: contextlib.AsyncExitStack, parts: _Parts) -> None:
        """Answer administrators while the stack lasts."""

        async def status(_: Mapping[str, Json]) -> Mapping[str, Json]:
            return self._status(parts)

        async def reload(request: Mapping[str, Json]) -> Mapping[str, Json]:
            outcome = await parts.reloader.look(confirmed=request.get("confirm") is True)
            in_force = outcome.state in {"activated", "unchanged"}
            return {"ok": in_force, "state": outcome.state, "detail": outcome.detail}

        async def stated(verb: str, asker: Asker, request: Mapping[str, Json]) -> str:
            asked = limited_text(json.dumps(request), LONGEST_REQUEST)
            inputs = orjson.dumps({"user": asker.user, "identity": asker.identity, "asked": asked})
            return await self._state_in(parts.writer, parts.receipts, "admin", {"verb": verb}, inputs, STATED_WITHIN_S)

        verbs = {
            "status": Verb(status, changes=False),
            "reload": Verb(reload, changes=True),
            "revoke": Verb(parts.standing.revoking.revoke, changes=True),
        }
        await stack.enter_async_context(admin_server(self._state.admin_socket, verbs, stated))
        await stack.enter_async_context(self._administrators.open(verbs, stated))

    async def _listen(self, stack: contextlib.AsyncExitStack, parts: _Parts) -> None:
        """Answer gateways while the stack lasts."""

        def shown() -> Shown:
            engine, poisoned = self._holder.current(), parts.writer.status().poisoned
            digest = engine.digest if engine else ""
            return Shown(digest, self._in_force_us, poisoned or "writable", self._observed(), self._warnings(parts))

        running = Running(
            self._service(parts),
            self._gateways,
            self._metrics,
            lambda: self._ready(parts),
            shown,
            clock_us=self._seams.clock_us,
            monotonic=self._seams.monotonic,
            published=None if parts.issuing is None else parts.issuing.published,
        )
        await stack.enter_async_context(self._listeners.open(running))

    def _status(self, parts: _Parts) -> Mapping[str, Json]:
        engine, written, last = self._holder.current(), parts.writer.status(), parts.reloader.last
        ready = self._ready(parts)
        return {
            "ok": ready,
            "ready": ready,
            "policy": engine.digest if engine else "",
            "warnings": "; ".join(self._warnings(parts)) or "none",
            "revoked": parts.standing.known()[0],
            "last_reload": f"{last.state}: {last.detail}",
            "log": written.poisoned or "writable",
            "log_pending": written.pending,
            "log_refused": written.refused,
            "log_aggregated": written.aggregated,
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


async def _unless_stopped(work: Coroutine[object, object, Made], stop: asyncio.Event) -> Made | None:
    """What `work` comes to; None where the service was asked to end before."""
    loop = asyncio.get_running_loop()
    task, stopped = loop.create_task(work), loop.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        return task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


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
