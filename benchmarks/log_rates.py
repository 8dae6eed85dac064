"""What one writer takes: records a second with the sequencer beside it, and decisions a second with calls in flight.

The records of the first table are made anew one after the other, in one process; the sequencer that `serve` starts is
the other. `in the tree` are those that it had integrated at the instant the last one was appended, `behind` how long it
took to bring in the rest. The second table is the decision service with its receipts, called in process by so many at a
time: `strict` answers leave after a sync of the disk. `decided` says whether each call is evaluated, or the decision on
it was made before and only recorded, so that the log alone is what limits the rate.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.usual import CONTEXT, NOW_US, Usual, at, state_folder, writing
from pdp.audit.writer import LogWriter
from pdp.evaluate import Evaluation, Evaluator
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry, Minted
from pdp.service import DecisionService, Receipts
from tests.support.process import ROOT

MOST_WAITING = 8_000
IN_FLIGHT = (64, 256)
BEHIND_S = 60.0


@contextmanager
def sequencing(state: Path) -> Iterator[None]:
    """The sequencer of a state folder, as a process of its own, until the end."""
    reading, ours = os.pipe()
    command = [sys.executable, "-P", "-m", "pdp.audit.sequencer_main", "--state", str(state)]
    process = subprocess.Popen([*command, "--parent-fd", str(reading)], pass_fds=(reading,), cwd=ROOT)
    os.close(reading)
    try:
        yield
    finally:
        os.close(ours)
        process.wait(60)


def tree_size(state: Path) -> int:
    """The records that the newest checkpoint covers."""
    try:
        return int((state / "log" / "checkpoint").read_text().split("\n")[1])
    except FileNotFoundError:
        return 0


def print_sustained(call: Usual, seconds: float) -> None:
    """Records a second from one writer."""
    print("\n| records of one writer | appended/s | processor, µs each | in the tree at the end | behind, s |")
    print("|---|---|---|---|---|")
    for name, makes in (("made anew each", True), ("made before", False)):
        with state_folder() as state, writing(state, lambda _: None) as writer, sequencing(state):
            already = append(writer, call, 1.0, makes)
            began, used = time.perf_counter(), time.process_time()
            appended = append(writer, call, seconds, makes)
            took, used = time.perf_counter() - began, time.process_time() - used
            integrated = tree_size(state)
            behind = wait_for(state, already + appended)
        share = f"{100 * integrated / (already + appended):.0f} %"
        print(f"| {name} | {appended / took:,.0f} | {used / appended * 1e6:.0f} | {share} | {behind:.1f} |")


def append(writer: LogWriter, call: Usual, seconds: float, makes: bool) -> int:
    """Append for so long, as fast as the writer takes it; how many records that were."""
    entry, until, appended = call.entry(), time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        for _ in range(100):
            if makes:
                entry = call.entry()
            writer.append(entry.kind, entry.clear, entry.inputs, strict=False, form=entry.form)
        appended += 100
        while writer.status().pending > MOST_WAITING:
            time.sleep(0.001)
    return appended


def wait_for(state: Path, records: int) -> float:
    """Seconds until so many are under a checkpoint; SystemExit where that takes too long."""
    began = time.perf_counter()
    while tree_size(state) < records:
        if time.perf_counter() - began > BEHIND_S:
            raise SystemExit(f"the sequencer is at {tree_size(state)} of {records} records after {BEHIND_S:.0f} s")
        time.sleep(0.02)
    return time.perf_counter() - began


# ---------------------------------------------------------------- decisions


class Kept:
    """A token that was made before and is handed out again."""

    def __init__(self) -> None:
        self._minted = Minted("token", "jti", "kid", "orders", NOW_US // 1_000_000 + 60, CONTEXT)

    def token(self, decision: Decision, evaluation: Evaluation, now_us: int, /) -> Minted | str:
        """The token."""
        del decision, evaluation, now_us
        return self._minted

    def keep(self, minted: Minted, /) -> None:
        """It is kept."""

    def drop(self, minted: Minted, /) -> None:
        """It stays."""


class Decided(Evaluator):
    """Decides nothing: gives what was decided before."""

    def __init__(self, call: Usual) -> None:
        self._evaluation = call.evaluation

    def evaluate(self, inquiry: Inquiry, now_us: int) -> Evaluation:
        """The same for every call."""
        del inquiry, now_us
        return self._evaluation


def print_decisions(call: Usual, seconds: float) -> None:
    """Decisions a second, in both durabilities."""
    print("\n| decisions in process | decided | in flight | a second | p50, ms | p99, ms | processor, µs each |")
    print("|---|---|---|---|---|---|---|")
    ways = [("anew", call.evaluator, IN_FLIGHT[0]), *(("before", Decided(call), each) for each in IN_FLIGHT)]
    for name, strict in (("standard", frozenset[str]()), ("strict", frozenset({"GET"}))):
        for decided, evaluator, in_flight in ways:
            used = time.process_time()
            taken = asyncio.run(decisions(call.inquiry, evaluator, seconds, in_flight, strict))
            used_us = (time.process_time() - used) / len(taken) * 1e6
            p50, p99 = (at(taken, percent) * 1e3 for percent in (50, 99))
            figures = f"{len(taken) / seconds:,.0f} | {p50:.2f} | {p99:.2f} | {used_us:.0f}"
            print(f"| {name} | {decided} | {in_flight} | {figures} |")


async def decisions(
    inquiry: Inquiry, evaluator: Evaluator, seconds: float, in_flight: int, strict: frozenset[str]
) -> list[float]:
    """Seconds of each decision."""
    receipts = Receipts(asyncio.get_running_loop())
    taken: list[float] = []
    with state_folder() as state, writing(state, receipts.settled) as writer, sequencing(state):
        service = DecisionService(
            evaluator,
            writer,
            receipts,
            Metrics(),
            strict_methods=strict,
            monotonic=time.monotonic,
            tokens=Kept(),
        )
        until = time.perf_counter() + seconds

        async def ask() -> None:
            while (began := time.perf_counter()) < until:
                decision = await service.decide(inquiry, NOW_US, None)
                taken.append(time.perf_counter() - began)
                if decision.outcome != "allow":
                    raise SystemExit(f"refused: {decision.reason}")

        await asyncio.gather(*(ask() for _ in range(in_flight)))
    return taken
