"""How long dispatch and guards take as policy grows: `python -m benchmarks.plans [SIZE ...]`.

For each arrangement of rules (benchmarks/programs.py) and each size, interleaved in rounds in one process:

    route    from path to endpoint
    rules    baselines, index, guards, verdict of an admitted call
    both     the two together: "dispatch and guards"
    whole    `Plans.decide`, admission with its conversion of claims included
    defined  `Reference.decide`, the definition, for comparison, in rounds of its own (up to 1,000 rules)

Each question is timed alone; that it is allowed is checked before. Printed in microseconds, p50 / p99 over all rounds.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from time import perf_counter, perf_counter_ns

from benchmarks.programs import Load, one, spread
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.reference import Reference
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question

SIZES = (10, 1_000, 10_000, 100_000)
ROUNDS = 40
ROUNDS_OF_DEFINITION = 3
MOST_FOR_REFERENCE = 1_000
OVERHEAD_SAMPLES = 1_000


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table."""
    sizes = [int(each) for each in arguments] or SIZES
    loads = [make(max(size, 40) if make is one else size) for size in sizes for make in (spread, one)]
    gauges = [_Gauge(load) for load in loads]
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS):
        for gauge in gauges:
            gauge.round()
    for _ in range(ROUNDS_OF_DEFINITION):
        for gauge in gauges:
            gauge.round_of_definition()
    clock = _overhead()
    print(f"µs, p50 / p99 over {ROUNDS} interleaved rounds of {len(loads[0].questions)} questions each; ", end="")
    print(f"the clock's own {clock / 1000:.2f} µs taken off")
    print(f"{'rules':>8}  {'arranged':13}{'build s':>8}  " + "".join(f"{name:>15}" for name in _Gauge.NAMES))
    for gauge in gauges:
        print(gauge.line(clock))


class _Gauge:
    """The measurements of one load."""

    NAMES = ("route", "rules", "both", "whole", "defined")

    def __init__(self, load: Load) -> None:
        self._load = load
        begin = perf_counter()
        self._plans = Plans.of(load.program)
        self._build_s = perf_counter() - begin
        self._reference = Reference.of(load.program) if load.rules <= MOST_FOR_REFERENCE else None
        self._asked: list[tuple[Question, Call]] = []
        for question in load.questions:
            call = self._plans.admission.admit(question)
            if isinstance(call, Refused) or self._plans.judge(question, call).outcome != "allow":
                raise SystemExit(f"{load.name}, {load.rules} rules: a question is not allowed, nothing is measured")
            self._asked.append((question, call))
        self._samples: dict[str, list[int]] = {name: [] for name in self.NAMES}

    def round(self) -> None:
        """Each question once, by each way: all questions by one way, then by the next."""
        route, judge, decide = self._plans.admission.router.route, self._plans.judge, self._plans.decide
        samples = self._samples
        for question, _ in self._asked:
            begin = perf_counter_ns()
            route(question.service, question.call)
            samples["route"].append(perf_counter_ns() - begin)
        for question, call in self._asked:
            begin = perf_counter_ns()
            judge(question, call)
            samples["rules"].append(perf_counter_ns() - begin)
        for question, call in self._asked:
            begin = perf_counter_ns()
            route(question.service, question.call)
            judge(question, call)
            samples["both"].append(perf_counter_ns() - begin)
        for question, _ in self._asked:
            begin = perf_counter_ns()
            decide(question)
            samples["whole"].append(perf_counter_ns() - begin)

    def round_of_definition(self) -> None:
        """Each question once by the reference evaluator, whose walk over all rules leaves no cache as it was."""
        reference, samples = self._reference, self._samples["defined"]
        if reference is not None:
            for question, _ in self._asked:
                begin = perf_counter_ns()
                reference.decide(question)
                samples.append(perf_counter_ns() - begin)

    def line(self, clock: float) -> str:
        """One line of the table."""
        columns = []
        for name in self.NAMES:
            ordered = sorted(self._samples[name])
            if not ordered:
                columns.append(f"{'-':>15}")
                continue
            p50, p99 = (max(0.0, ordered[int(len(ordered) * share)] - clock) / 1000 for share in (0.5, 0.99))
            columns.append(f"{f'{p50:.2f} / {p99:.2f}':>15}")
        return f"{self._load.rules:>8}  {self._load.name:13}{self._build_s:>8.2f}  " + "".join(columns)


def _overhead() -> float:
    """Nanoseconds between two readings of the clock."""
    samples = []
    for _ in range(OVERHEAD_SAMPLES):
        begin = perf_counter_ns()
        samples.append(perf_counter_ns() - begin)
    return sorted(samples)[len(samples) // 2]


if __name__ == "__main__":
    main(sys.argv[1:])
