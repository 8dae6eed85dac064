"""One size of the policy: all contestants started, asked for their answers, and measured in rounds that interleave."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from msgspec import Struct

from benchmarks.peers import MissingError
from benchmarks.wire.contestants import SEQUENCER, Contestant, Server, Work, work_of
from benchmarks.wire.h2load import AT_ONCE, saturate
from benchmarks.wire.http2 import Call, Connection, Paced, at_rate
from benchmarks.wire.questions import asked_first, mix

COUNTED_WITHIN_S = 5.0


class Plan(Struct, frozen=True):
    """How much is measured. `starts` counts starts of each server, `seconds` are those of one server in one round."""

    sizes: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up_s: float
    rates: tuple[int, ...]
    starts: int


class AtRate(Struct, frozen=True):
    """Milliseconds at a fixed rate, from when a call was due; not kept where the server fell behind for good."""

    rate: int
    p50: float
    p99: float
    is_kept: bool

    @classmethod
    def of(cls, rate: int, found: Paced) -> AtRate:
        """Quantiles of the answers of one round."""
        ordered = found.latencies or (math.inf,)
        p50, p99 = (ordered[len(ordered) * share // 100] * 1e3 for share in (50, 99))
        return cls(rate, p50, p99, found.is_kept)


class Measured(Struct, frozen=True):
    """Of one contestant at one size. `counted` is the share of its answers that the server itself counted."""

    title: str
    rules: int
    per_second: tuple[float, ...]
    cpu_s: tuple[float, ...]
    """Seconds of processor for 100,000 checks, by round."""
    paced: tuple[AtRate, ...]
    memory_mib: float
    start_s: tuple[float, ...]
    counted: float | None


class Outcome(Struct, frozen=True):
    """All of one size, and who is left out for what reason."""

    measured: tuple[Measured, ...]
    left_out: tuple[tuple[str, str], ...]


def measure(contestants: Sequence[Contestant], rules: int, plan: Plan, folder: Path) -> Outcome:
    """Measure them all at one size, in a folder that is empty."""
    work = work_of(folder, rules)
    left_out: list[tuple[str, str]] = []
    with ExitStack() as stack:
        runs = []
        for number, contestant in enumerate(contestants):
            place = folder / f"c{number}"
            place.mkdir()
            try:
                server = contestant.make(place, work)
            except MissingError as error:
                left_out.append((contestant.title, str(error)))
                continue
            stack.callback(server.process.stop)
            runs.append(Run(contestant, server, work, place))
        for run in runs:
            _say(f"{rules} rules: {run.title}")
            run.start(plan.starts)
        for number in range(plan.rounds):
            for run in runs if number % 2 else reversed(runs):
                run.saturated(number, plan)
        for number in range(max(1, plan.rounds // 3)):
            for run in runs if number % 2 else reversed(runs):
                run.paced(plan)
        return Outcome(tuple(run.measured() for run in runs), tuple(left_out))


class Run:
    """One server at one size, and what was measured of it so far."""

    def __init__(self, contestant: Contestant, server: Server, work: Work, folder: Path) -> None:
        self.title = contestant.title
        self._server, self._folder, self._rules = server, folder, work.rules
        self._first = [server.call(question) for question in asked_first(work.rules)]
        self._mix = [server.call(question) for question in mix(work.rules)]
        self._rates: list[float] = []
        self._cpu_s: list[float] = []
        self._starts: list[float] = []
        self._paced: dict[int, list[AtRate]] = {}
        self._answered = 0

    def start(self, times: int) -> None:
        """Start it so often, each time until its first right answer; then it must know all the answers."""
        for number in range(times):
            if number:
                self._server.process.stop()
            self._starts.append(self._server.process.start(self._is_ready))
        self._server.process.release(SEQUENCER)
        self._check()

    def saturated(self, number: int, plan: Plan) -> None:
        """One round of as many checks as it answers; four questions of the mix, others in each round."""
        calls = [self._mix[(number * AT_ONCE + each) % len(self._mix)] for each in range(AT_ONCE)]
        process = self._server.process
        self._answered += saturate(self._folder, self._server.port, calls, plan.warm_up_s).answered
        before = process.used(without=SEQUENCER)
        rate = saturate(self._folder, self._server.port, calls, plan.seconds)
        after = process.used(without=SEQUENCER)
        if not rate.answered:
            raise SystemExit(f"{self.title}: no answer in {plan.seconds:g} s")
        self._answered += rate.answered
        self._rates.append(rate.per_second)
        self._cpu_s.append((after.cpu_s - before.cpu_s) * 100_000 / rate.answered)
        self._check()

    def paced(self, plan: Plan) -> None:
        """One round at the fixed rates, every answer looked at. SystemExit for a wrong one."""
        for rate in plan.rates:
            found = at_rate(self._server.port, self._mix, rate, plan.seconds)
            if found.wrong:
                raise SystemExit(f"{self.title}: {found.wrong} wrong answers at {rate} checks/s")
            self._answered += len(found.latencies)
            self._paced.setdefault(rate, []).append(AtRate.of(rate, found))

    def measured(self) -> Measured:
        """All of it. SystemExit where the server itself counted fewer answers than there were."""
        paced = [
            AtRate(
                rate,
                median(each.p50 for each in found),
                median(each.p99 for each in found),
                all(each.is_kept for each in found),
            )
            for rate, found in self._paced.items()
        ]
        memory = self._server.process.used(without=SEQUENCER).memory_mib
        return Measured(
            title=self.title,
            rules=self._rules,
            per_second=tuple(self._rates),
            cpu_s=tuple(self._cpu_s),
            paced=tuple(paced),
            memory_mib=memory,
            start_s=tuple(self._starts),
            counted=self._counted(),
        )

    def _counted(self) -> float | None:
        """The share of the answers that the server counted or logged, once what it has yet to write had its time."""
        if self._server.counted is None:
            return None
        until = time.monotonic() + COUNTED_WITHIN_S
        while (counted := self._server.counted()) < self._answered and time.monotonic() < until:
            time.sleep(0.2)
        return counted / self._answered

    def _is_ready(self) -> bool:
        try:
            return self._is_right(self._first[0])
        except OSError:
            return False

    def _is_right(self, call: Call) -> bool:
        with Connection(self._server.port) as connection:
            return call.is_right(connection.ask(call))

    def _check(self) -> None:
        """Ask everything once. SystemExit for a wrong answer."""
        with Connection(self._server.port) as connection:
            for number, call in enumerate(self._first):
                reply = connection.ask(call)
                self._answered += 1
                if not call.is_right(reply):
                    question = asked_first(self._rules)[number]
                    raise SystemExit(f"{self.title}: wrong answer to {question}: {reply!r}")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
