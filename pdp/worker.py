"""One worker: what answers gateways and keeps its own write-ahead log, put together in one place.

The configuration, a writer number, the state folder and what there is once per folder (`Host`) come in, and so does
what answers gateways (`Answering`). Start: writer, policy in force and stated in the log, listeners. What fails
before the listeners ends the start: a worker without policy or log never answers. A policy that was put in force has
decided one call for each of its cells before the first listener opens, as far as its self-test goes
(pdp/runtime/engine.py). End, at any time, also while a policy is compiled or loaded: listeners drain, then the writer
writes `log.stop`.

Decision: 2026-11-22. Each worker looks at the policy's place by itself, compiles what it finds, and states in the log
that it is in force: what one record says is true of the worker that wrote it, and no worker waits for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import orjson
from msgspec import Struct

from pdp import __version__
from pdp.admin import Asker, Stated, Verb
from pdp.audit.files import OpenLogFile, open_log_file
from pdp.audit.inputs import limited_text
from pdp.audit.keys import load_record_keys
from pdp.audit.writer import LogWriter
from pdp.clock import SteadyClock, host_clock_us
from pdp.config import Config
from pdp.errors import AuditError, PolicyError
from pdp.evaluate import Evaluator
from pdp.gateways import Gateways
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Issuer
from pdp.identity.network import trusted
from pdp.identity.trust import Trust
from pdp.issuing import Issuing
from pdp.listening import Drain, Gather, Running
from pdp.metrics import Metrics
from pdp.model import AUTHORIZATION, Decider, Json
from pdp.process import seldom_collected
from pdp.rehearsal import rehearse
from pdp.running import background, unless_stopped
from pdp.runtime.acceptance import loose_headers, misgivings, observations
from pdp.runtime.engine import Engine
from pdp.runtime.reload import Reloader
from pdp.runtime.sources import Source
from pdp.runtime.store import BundleStore, EngineHolder
from pdp.service import NO_TOKENS, DecisionService, Receipts
from pdp.standing import Standing, standing_of
from pdp.state import State
from pdp.transports.readiness import Shown
from pdp.transports.tls import ReadFile, read_file

DRAIN_S = 5.0
FIRST_KEYS_WITHIN_S = 3.0
"""So long a start waits for keys that are asked for over a network; then it goes on without them."""
STATED_WITHIN_S = 5.0
LONGEST_REQUEST = 4_096
"""Bytes of an administrator's request that its record holds."""

log = logging.getLogger(__name__)

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


class Answering(Protocol):
    """What answers gateways, its certificates read; nothing listens yet."""

    def misgivings(self, now_us: int) -> list[str]:
        """What an operator should know of it, at a time in Unix microseconds."""
        ...

    def open(self, running: Running) -> contextlib.AbstractAsyncContextManager[Drain]:
        """Answer while the context lasts; it gives what lets gateways go elsewhere before it ends."""
        ...


class Others(Struct, frozen=True):
    """What is known of the other workers of the service: whether each that takes calls is ready, and a sentence for
    everything that an operator should know of them.
    """

    ready: bool = True
    warnings: Sequence[str] = ()


class Host(Struct, frozen=True):
    """What there is once per state folder, as one worker uses it. `place` is the policy's, `refused` says why the log
    is not extended, None where it is; `sequencer` whether that one runs; `others` and `gather` tell of other workers.
    """

    config: Config
    source: Source
    state: State
    clock: SteadyClock
    refused: Callable[[], str | None]
    sequencer: Callable[[], bool]
    others: Callable[[], Others] = Others
    gather: Callable[[Metrics], Gather] | None = None


class Administration(Struct, frozen=True):
    """What administrators may have done by a worker, and what puts their requests into its log first."""

    verbs: Mapping[str, Verb]
    stated: Stated


class _Parts(Struct, frozen=True):
    """What runs, once the policy is in force."""

    writer: LogWriter
    receipts: Receipts
    reloader: Reloader
    evaluator: Evaluator
    trust: Trust
    standing: Standing
    issuing: Issuing | None


class Prepared:
    """A worker whose policy is in force: who administers may ask it, gateways not yet."""

    def __init__(self, worker: Worker, parts: _Parts, stop: asyncio.Event) -> None:
        self._worker = worker
        self._parts = parts
        self._stop = stop

    @property
    def administration(self) -> Administration:
        """What administrators may have done."""
        return self._worker.administration(self._parts)

    def ready(self) -> bool:
        """Whether this worker decides and records, whatever the others do."""
        return self._worker.ready(self._parts)

    def warnings(self) -> list[str]:
        """A sentence for everything of this worker that an operator should know."""
        return self._worker.warnings(self._parts)

    def policy(self) -> str:
        """The digest of the policy by which it decides; "" for none."""
        return self._worker.policy()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Drain]:
        """Answer gateways while the context lasts; it gives what lets them go elsewhere before it ends."""
        parts, worker, stop = self._parts, self._worker, self._stop
        async with contextlib.AsyncExitStack() as stack:
            drain = await stack.enter_async_context(worker.listening(parts))
            followed = (parts.standing.revoking, parts.standing.file, parts.issuing)
            for part in (each for each in followed if each is not None):
                await stack.enter_async_context(background(part.run(), stop))
            await stack.enter_async_context(background(parts.reloader.run(), stop))
            log.info("ready")
            yield drain
            log.info("ending")


class Worker:
    """One worker under one writer number."""

    def __init__(
        self, host: Host, number: int, answering: Answering, gateways: Gateways, seams: Seams, *, development: bool
    ) -> None:
        """Errors: ConfigError C104 for keys of an issuer that are not usable."""
        self._host = host
        self._config = host.config
        self._clock = host.clock
        self._source = host.source
        self._state = host.state
        self._number = number
        self._answering = answering
        self._gateways = gateways
        self._seams = seams
        self._development = development
        self._holder = EngineHolder()
        self._in_force_us = 0
        self._issuers = read_issuers(host.config.issuers)
        self.metrics = Metrics()

    @contextlib.asynccontextmanager
    async def prepared(self, stop: asyncio.Event) -> AsyncIterator[Prepared | None]:
        """Begin, up to where gateways could be answered; None where `stop` was set before. A part that ends by itself
        sets it. Errors: PdpError for whatever keeps the worker from deciding.
        """
        issuers = self._issuers
        receipts = Receipts(asyncio.get_running_loop())
        async with contextlib.AsyncExitStack() as stack:
            writer = await stack.enter_async_context(self._writer(receipts))
            standing = await stack.enter_async_context(self._standing(issuers, writer, receipts))
            trusting = trusted(self._config.issuers, issuers, self._state.issuers, standing.refused)
            trust = await stack.enter_async_context(trusting)
            reloader = await unless_stopped(self._first_policy(writer, receipts), stop)
            if reloader is None:
                yield None
                return
            await stack.enter_async_context(background(trust.run(), stop))
            await trust.settled(FIRST_KEYS_WITHIN_S)
            evaluator = self._evaluator(trust.identity)
            issuing = self._issuing(stack)
            parts = _Parts(writer, receipts, reloader, evaluator, trust, standing, issuing)
            self._measure(parts)
            seldom_collected()
            yield Prepared(self, parts, stop)

    @contextlib.asynccontextmanager
    async def _writer(self, receipts: Receipts) -> AsyncIterator[LogWriter]:
        seams = self._seams
        writer = LogWriter(
            self._state.wal,
            self._number,
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
            refused=self.metrics.policy_refused,
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
        self.metrics.policy_in_force(engine.digest)
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
        said = [part.misgiving() for part in (parts.reloader, parts.evaluator, self._clock)] + [self._host.refused()]
        if parts.writer.status().is_degraded:
            said.append(f"the disk of the log in {self._state.wal} is nearly full: what it cannot take is refused")
        minting = [] if parts.issuing is None else parts.issuing.misgivings()
        return [*filter(None, said), *parts.standing.misgivings(), *parts.trust.misgivings(), *minting]

    def _measure(self, parts: _Parts) -> None:
        """Let the metrics ask the parts."""
        self.metrics.watch_distrust(lambda: bool(parts.evaluator.misgiving()))
        self.metrics.watch_pending(lambda: parts.writer.status().pending)
        refused = self._host.refused
        self.metrics.watch_log(lambda: parts.writer.status().aggregated, lambda: refused() is None)
        self.metrics.watch_issuers(parts.trust.ages_s)
        self.metrics.watch_shared(parts.standing.known)
        if parts.issuing is not None:
            self.metrics.watch_minting(parts.issuing.seconds_left)

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
            self.metrics,
            strict_methods=frozenset(self._config.log.strict_by_default),
            monotonic=self._seams.monotonic,
            tokens=NO_TOKENS if parts.issuing is None else parts.issuing,
            sessions=parts.standing,
        )
        rehearse(parts.evaluator, self._gateways.by_name.values(), self._seams.clock_us(), self._config.challenges)
        return self._seams.decider(service)

    def ready(self, parts: _Parts) -> bool:
        """Whether this worker decides and records, whatever the others do."""
        decides = self._holder.current() is not None and parts.writer.status().poisoned is None
        return decides and self._clock.behind_s == 0.0 and self._host.refused() is None

    def warnings(self, parts: _Parts) -> list[str]:
        """A sentence for everything of this worker that an operator should know."""
        certificates = dict.fromkeys(self._answering.misgivings(self._seams.clock_us()))
        return [*self._doubts(parts), *certificates, *self._observations(), *self._loose()]

    def policy(self) -> str:
        """The digest of the policy by which it decides; "" for none."""
        engine = self._holder.current()
        return "" if engine is None else engine.digest

    def administration(self, parts: _Parts) -> Administration:
        """What administrators may have done."""

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
        return Administration(verbs, stated)

    def listening(self, parts: _Parts) -> contextlib.AbstractAsyncContextManager[Drain]:
        """Answer gateways while the context lasts."""
        others = self._host.others

        def shown() -> Shown:
            engine, poisoned = self._holder.current(), parts.writer.status().poisoned
            digest = engine.digest if engine else ""
            warnings = list(dict.fromkeys([*self.warnings(parts), *others().warnings]))
            return Shown(digest, self._in_force_us, poisoned or "writable", self._observed(), warnings)

        gather = self._host.gather
        running = Running(
            self._service(parts),
            self._gateways,
            self.metrics,
            lambda: self.ready(parts) and others().ready,
            shown,
            clock_us=self._seams.clock_us,
            monotonic=self._seams.monotonic,
            published=None if parts.issuing is None else parts.issuing.published,
            gather=None if gather is None else gather(self.metrics),
        )
        return self._answering.open(running)

    def _status(self, parts: _Parts) -> Mapping[str, Json]:
        engine, written, last = self._holder.current(), parts.writer.status(), parts.reloader.last
        ready = self.ready(parts)
        return {
            "ok": ready,
            "ready": ready,
            "policy": engine.digest if engine else "",
            "warnings": "; ".join(self.warnings(parts)) or "none",
            "revoked": parts.standing.known()[0],
            "last_reload": f"{last.state}: {last.detail}",
            "log": written.poisoned or "writable",
            "log_pending": written.pending,
            "log_refused": written.refused,
            "log_aggregated": written.aggregated,
            "sequencer": "running" if self._host.sequencer() else "down",
        }
