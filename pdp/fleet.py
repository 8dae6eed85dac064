"""The workers of a service as processes: started, watched, started again, replaced one by one, ended.

What each is to do comes in (`Charge`); while a `Fleet` runs, so many workers do it, each under a writer number of its
own (pdp/worker_main.py).
INVARIANT: two processes never have one number at a time: a worker begins under a number when its predecessor is gone.
INVARIANT: a worker has its supervisor's socket, or ends: no worker outlives the service.

Decision: 2026-11-22. The first worker begins alone: what is wrong with the configuration or the policy is then said
once, and ends the service with its own code. Once the service has begun, a worker that ends is started again however it
ended, at first soon and then less and less often.
Decision: 2026-11-22. A worker that is replaced (`roll`) ends when its successor answers, so the successor has a number
that is free: there is one number more than workers. After a crash the successor has the number of the dead, whose log
it recovers. A worker that does not begin ends the round, and the others stay as they are. All have the configuration
with which the service began, since its addresses are held: what a round takes up is new code and new certificates.
Decision: 2026-11-22. A worker that is gone takes no calls, and the service stays ready without it, as long as one is
there: its absence stands in the warnings and the metrics. One that takes calls and cannot decide them makes the service
not ready at every worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from socket import socket, socketpair

import msgspec
from msgspec import Struct

from pdp.channel import Channel, Said
from pdp.errors import PdpError, StateError
from pdp.metrics import Family
from pdp.metrics_sum import Totals
from pdp.worker import Others
from pdp.worker_main import Order, Own, Told, said_of, written

FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 30.0
STEADY_AFTER_S = 20.0
LOOK_EVERY_S = 0.5
LOOK_WITHIN_S = 2.0
END_WITHIN_S = 25.0
"""Longer than listeners and the writer together may take to end."""
DRAIN_WITHIN_S = 45.0
BEGIN_WITHIN_S = 180.0
SILENT_S = 10.0
"""So long a worker may say nothing to its supervisor."""
DIFFER_S = 5.0
"""So long workers may decide by different policies and count as ready."""

log = logging.getLogger(__name__)


class WorkerError(PdpError):
    """What kept a worker from beginning, with the exit code that it had for that."""

    def __init__(self, code: str, detail: str, exit_code: int) -> None:
        super().__init__(code, detail)
        self.exit_code = exit_code


class Started(Struct, frozen=True):
    """A process that was started. `end` has it leave by itself; None: it is asked to over its channel."""

    process: asyncio.subprocess.Process
    end: Callable[[], None] | None = None


Start = Callable[[int], contextlib.AbstractAsyncContextManager[Started]]
"""Starts a process with the descriptor of its channel; what it raises (OSError, PdpError) says why there is none."""


class Charge(Struct, frozen=True):
    """What workers are to do: the order for each number, with what is known now, and what starts their processes."""

    order: Callable[[int, Others], Order]
    start: Start


def as_processes(sockets: Sequence[socket]) -> Start:
    """Workers that are processes of this interpreter, and inherit these sockets."""

    @contextlib.asynccontextmanager
    async def start(channel: int) -> AsyncIterator[Started]:
        yield Started(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the folder that the service was started in
                "-m",
                "pdp.worker_main",
                "--channel",
                str(channel),
                pass_fds=(channel, *(each.fileno() for each in sockets)),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at a terminal is the supervisor's to handle
            )
        )

    return start


class Member:
    """The worker of one number."""

    def __init__(self, number: int, charge: Charge, fleet: Fleet) -> None:
        self.number = number
        self.channel: Channel | None = None
        self.own: Own | None = None
        """What it last said of itself; None while it takes no calls."""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once it takes calls for the first time, or with what kept it from that."""
        self._charge = charge
        self._fleet = fleet
        self._started: Started | None = None
        self.retired = False
        self._silent_since: float | None = None
        self._failure: PdpError | None = None
        self.keeping = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        """Keep it running, until it is retired; one that has not begun once is not started again."""
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                ended = await self._run()
            except (OSError, PdpError) as error:
                ended = f"could not be started: {error}"
            self._fleet.totals.ended(self.number)
            if not self.begun.done():
                detail = f"worker {self.number} {ended} before it was ready: see what it said"
                self.begun.set_exception(self._failure or StateError("S103", detail))
            if self.retired or self.begun.exception() is not None:
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > STEADY_AFTER_S else min(2 * pause_s, MOST_PAUSE_S)
            said = "" if self._failure is None else f": {self._failure}"
            log.error("worker %d %s%s; it is started again in %.1f s", self.number, ended, said, pause_s)
            await asyncio.sleep(pause_s)

    async def _run(self) -> str:
        """One process, to its end; how it ended. Errors: OSError, PdpError it cannot be started."""
        self._failure = None
        ours, theirs = socketpair()
        answers = {
            "begin": self._begin,
            "ready": self._ready,
            "failed": self._failed,
            "metrics": self._metrics,
            "counted": self._counted,
        }
        channel = self.channel = await Channel.over(ours, answers)
        talking = asyncio.get_running_loop().create_task(channel.run())
        try:
            async with contextlib.AsyncExitStack() as stack:
                with theirs:
                    started = await stack.enter_async_context(self._charge.start(theirs.fileno()))
                self._started = started
                self._look_begun()
                return f"ended with {await started.process.wait()}"
        finally:
            self.channel = self.own = self._started = None
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    async def retire(self, *, drain: bool) -> None:
        """End it for good; `drain`: once who is connected to it has gone elsewhere. On return it is gone."""
        self.retired = True
        channel, started = self.channel, self._started
        if channel is None or started is None:
            self.keeping.cancel()
        else:
            process = started.process
            if started.end is not None:
                started.end()
            else:
                with contextlib.suppress(OSError, TimeoutError, PdpError):
                    await channel.ask("end", {"drain": drain}, LOOK_WITHIN_S)
            await asyncio.wait({self.keeping}, timeout=DRAIN_WITHIN_S if drain else END_WITHIN_S)
            if process.returncode is None:
                log.error("worker %d did not end in time, and is killed: its successor recovers its log", self.number)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        await asyncio.gather(self.keeping, return_exceptions=True)
        if self.begun.done() and not self.begun.cancelled():
            self.begun.exception()  # seen, or nobody asks any more

    def note(self, counted: Said) -> None:
        """What it says that it has counted."""
        self._fleet.totals.note(self.number, msgspec.convert(counted["families"], list[Family]))

    async def look(self, told: Told) -> None:
        """Tell it what is known, and see how it is. One that does not answer is not ready."""
        channel = self.channel
        if channel is None or self.own is None:
            return
        try:
            own = msgspec.convert(await channel.ask("state", said_of(told), LOOK_WITHIN_S), Own)
            self._silent_since = None
        except (OSError, TimeoutError, PdpError, msgspec.ValidationError):
            own = Own(ready=False, warnings=(f"worker {self.number} does not answer its supervisor",))
            self._end_silent()
        if self.own is not None and self.channel is channel:
            self.own = own

    def _end_silent(self) -> None:
        """Kill it where it has not answered for too long: it takes calls all the while, and answers none."""
        now_s = time.monotonic()
        self._silent_since = now_s if self._silent_since is None else self._silent_since
        if now_s - self._silent_since >= SILENT_S and self._started is not None:
            log.error(
                "worker %d did not answer for %.0f s, and is killed: its successor recovers its log",
                self.number,
                SILENT_S,
            )
            self._silent_since = None
            with contextlib.suppress(ProcessLookupError):
                self._started.process.kill()

    async def _begin(self, _: Said) -> Said:
        return said_of(self._charge.order(self.number, self._fleet.others(self)))

    async def _ready(self, _: Said) -> Said:
        self.own = Own(ready=True, warnings=())
        self._look_begun()
        return {}

    def _look_begun(self) -> None:
        """It takes calls once it says so and its process stands."""
        if self.own is not None and self._started is not None and not self.begun.done():
            self.begun.set_result(None)

    async def _failed(self, said: Said) -> Said:
        self._failure = WorkerError(str(said["code"]), str(said["detail"]), int(str(said["exit"])))
        return {}

    async def _counted(self, said: Said) -> Said:
        self.note(said)
        return {}

    async def _metrics(self, said: Said) -> Said:
        self.note(said)
        await self._fleet.count(but=self)
        return {"families": written(self._fleet.families())}


class Fleet:
    """`count` workers. Belongs to one event loop."""

    def __init__(self, charge: Charge, count: int, first: int, told: Callable[[Others], Told]) -> None:
        """Numbers go from `first` on; `told` adds what is known of the log to what is known of the others."""
        self.totals = Totals()
        self.members: list[Member] = []
        self._charge = charge
        self._count = count
        self._numbers = range(first, first + count + 1)
        self._told = told
        self._rolling = asyncio.Lock()
        self._differ_since: float | None = None
        self._begun = False

    async def begin(self) -> None:
        """Start all workers; on return they take calls. Errors: PdpError for what keeps one from that."""
        first = self._start()
        await first.begun
        others = [self._start() for _ in range(self._count - 1)]
        await asyncio.gather(*(each.begun for each in others))

    def _start(self) -> Member:
        used = {each.number for each in self.members}
        member = Member(next(number for number in self._numbers if number not in used), self._charge, self)
        self.members.append(member)
        return member

    async def end(self) -> None:
        """End all workers; on return they are gone."""
        await asyncio.gather(*(each.retire(drain=False) for each in self.members))

    async def roll(self) -> None:
        """Replace one worker after the other, each once its successor takes calls."""
        if self._rolling.locked():
            log.warning("the workers are being replaced already")
            return
        async with self._rolling:
            for member in list(self.members):
                successor = self._start()
                await asyncio.wait({successor.begun}, timeout=BEGIN_WITHIN_S)
                if not successor.begun.done() or successor.begun.exception() is not None:
                    why = successor.begun.exception() if successor.begun.done() else "the new one does not begin"
                    await successor.retire(drain=False)
                    self.members.remove(successor)
                    log.error("the workers are not replaced: %s; those that run go on", why)
                    return
                await member.retire(drain=True)
                self.members.remove(member)
                log.info("worker %d took the place of worker %d", successor.number, member.number)
            log.info("all workers were replaced")

    async def run(self) -> None:
        """Look at all workers, and tell them of each other, again and again, until cancelled. From then on the service
        may be ready.
        """
        self._begun = True
        while True:
            await asyncio.gather(*(each.look(self._told(self.others(each))) for each in self.members))
            self._note_policies()
            await asyncio.sleep(LOOK_EVERY_S)

    def _note_policies(self) -> None:
        """Note since when workers decide by different policies. For a moment they do whenever one is put in force."""
        digests = {each.own.policy for each in self.members if each.own is not None and each.own.policy}
        now_s = time.monotonic()
        self._differ_since = None if len(digests) < 2 else now_s if self._differ_since is None else self._differ_since

    def _differ(self) -> bool:
        """Whether they have done so for too long: who asks again must not have another answer."""
        return self._differ_since is not None and time.monotonic() - self._differ_since >= DIFFER_S

    def up(self) -> list[Member]:
        """The workers that take calls; those that decide them first."""
        found = [each for each in self.members if each.own is not None]
        return sorted(found, key=lambda each: not (each.own is not None and each.own.ready))

    def ready(self) -> int:
        """How many workers take calls and decide them."""
        return sum(each.own is not None and each.own.ready for each in self.members)

    def others(self, but: Member | None = None) -> Others:
        """What is known of all workers but one."""
        others = [each for each in self.members if each is not but]
        missing = [
            f"worker {each.number} is not running: see what it said; it is started again"
            for each in others
            if each.own is None and each.begun.done() and not each.retired
        ]
        said = [warning for each in others if each.own is not None for warning in each.own.warnings]
        ready = self._begun and not self._differ() and all(each.own is None or each.own.ready for each in others)
        differ = ["the workers decide by different policies: see what those said that keep an older one"]
        return Others(ready, [*missing, *(differ if self._differ() else ()), *dict.fromkeys(said)])

    async def ask(self, members: Iterable[Member], what: str, said: Said, within_s: float) -> list[Said | Exception]:
        """What each of `members` answers, in their order, or why it does not."""

        async def asked(member: Member) -> Said:
            if member.channel is None:
                raise ConnectionError("it is gone")
            return await member.channel.ask(what, said, within_s)

        found = await asyncio.gather(*(asked(each) for each in members), return_exceptions=True)
        return [_as_answer(each) for each in found]

    async def count(self, but: Member | None = None) -> None:
        """Ask all workers but one what they have counted. Of one that does not answer, what it said last counts."""
        asked = [each for each in self.up() if each is not but]
        for member, answer in zip(asked, await self.ask(asked, "metrics", {}, LOOK_WITHIN_S), strict=True):
            if isinstance(answer, Mapping) and member.own is not None:
                member.note(answer)

    def families(self) -> list[Family]:
        """What all workers have counted, as they said it last."""
        return self.totals.families(self._count, self.ready())


def _as_answer(found: Said | BaseException) -> Said | Exception:
    if isinstance(found, BaseException) and not isinstance(found, Exception):
        raise found
    return found
