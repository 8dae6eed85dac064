"""The whole service as one process, put together in one place: what `pdp serve --workers 1` runs.

Start: state folder held, keys, sequencer, the one worker (pdp/worker.py), who administers, listeners. What fails before
the listeners ends the start. End, at any time: listeners drain, the writer writes `log.stop`, the sequencer signs what
there is and ends. Several workers: pdp/supervisor.py.

Decision: 2026-11-22. One worker runs in this very process, beside its sequencer: nothing is supervised where its end is
the end of the service, and what restarts services does that. Without workers there is nothing to replace one by one:
SIGUSR2 is answered by a sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from pdp.admin import admin_server
from pdp.admin_tls import AdminListener
from pdp.audit.keys import create_keys, load_record_keys
from pdp.clock import SteadyClock
from pdp.config import Config
from pdp.config_tables import LogConfig
from pdp.errors import PolicyError, StateError
from pdp.gateways import Gateways
from pdp.listening import Drain, Listeners, Running
from pdp.model import Json
from pdp.running import background
from pdp.runtime.acceptance import Conditions
from pdp.runtime.sources import Source, source_of
from pdp.sequencing import SequencerProcess
from pdp.state import State, prepare_state, sole_use
from pdp.worker import Administration, Host, InForce, Seams, Worker

__all__ = ["FIRST_WRITER", "Held", "InForce", "Seams", "begin_log", "held", "looking", "serve", "source_in"]

FIRST_WRITER = 0
"""The writer number of the first worker; 255 is the command line's."""

log = logging.getLogger(__name__)


class Held(Struct, frozen=True):
    """The state folder of a configuration, held for one service. `seams` have the clock that never goes back."""

    source: Source
    state: State
    clock: SteadyClock
    seams: Seams


def source_in(config: Config) -> Source:
    """Where the policy stands. Errors: PolicyError P100 where the configuration names none, P135."""
    if config.policies is None:
        raise PolicyError("P100", "no policy: name a folder with --policies DIR, or as `policies` in pdp.toml")
    conditions = Conditions(config.service_from_host, config.never_observe)
    return source_of(config.policies, config.bundle_digest, config.settings, conditions)


@contextlib.contextmanager
def held(config: Config, seams: Seams) -> Iterator[Held]:
    """Hold the state folder while the context lasts. Errors: PolicyError P100, P135; StateError S101, S102."""
    source = source_in(config)
    state = prepare_state(config.state)
    with sole_use(state):
        clock = SteadyClock(seams.clock_us, seams.monotonic, state.clock)
        yield Held(source, state, clock, replace(seams, clock_us=clock.now_us))


def begin_log(state: State, logged: LogConfig, entropy: Callable[[int], bytes]) -> None:
    """Make the keys of a log that has none yet. Errors: StateError S131, S132 keys that are not usable, or not its."""
    if not (state.keys / "log.key").exists():
        create_keys(state.keys, logged.origin, entropy, logged.root)
    if logged.root not in (None, load_record_keys(state.keys).vkey):
        place = state.keys / "log.vkey"
        raise StateError("S132", f"`log.root` is not the key in {place}: it is fixed when a log begins")


async def serve(config: Config, *, development: bool = False, seams: Seams | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Errors: PdpError for whatever keeps the service from starting."""
    with held(config, seams or Seams()) as folder:
        await _served(config, folder, development=development)


async def _served(config: Config, folder: Held, *, development: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGUSR2, log.warning, "one worker alone is not replaced: restart the service")
    clock, seams = folder.clock, folder.seams
    gateways = Gateways.of(config.gateways)
    listeners = Listeners(config, gateways, seams.read_certificate)
    administrators = AdminListener(config.admin, seams.read_certificate, lambda: clock.now_us() / 1_000_000)
    sequencer = SequencerProcess(folder.state.root, config.log)
    answering = _Answering(listeners, administrators)
    host = Host(config, folder.source, folder.state, clock, sequencer.misgiving, lambda: sequencer.running)
    worker = Worker(host, FIRST_WRITER, answering, gateways, seams, development=development)
    begin_log(folder.state, config.log, seams.entropy)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(background(sequencer.run(), stop))
        prepared = await stack.enter_async_context(worker.prepared(stop))
        if prepared is None:
            return
        administration = prepared.administration
        verbs, stated = administration.verbs, administration.stated
        await stack.enter_async_context(admin_server(folder.state.admin_socket, verbs, stated))
        await stack.enter_async_context(administrators.open(verbs, stated))
        await stack.enter_async_context(prepared.serving())
        await stack.enter_async_context(background(clock.run(), stop))
        loop.add_signal_handler(signal.SIGHUP, looking(administration))
        await stop.wait()


class _Answering(Struct, frozen=True):
    """The listeners for gateways; with the certificate of the one for administrators, which this process has too."""

    listeners: Listeners
    administrators: AdminListener

    def misgivings(self, now_us: int) -> list[str]:
        return [*self.listeners.misgivings(now_us), *self.administrators.misgivings(now_us)]

    def open(self, running: Running) -> contextlib.AbstractAsyncContextManager[Drain]:
        return self.listeners.open(running)


def looking(administration: Administration) -> Callable[[], None]:
    """What SIGHUP does: look at the policy's place now."""
    tasks: set[asyncio.Task[Mapping[str, Json]]] = set()

    async def look() -> Mapping[str, Json]:
        return await administration.verbs["reload"].do({})

    def begin() -> None:
        task = asyncio.get_running_loop().create_task(look())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return begin
