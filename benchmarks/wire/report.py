"""What a run found, as Markdown: a line for each contestant in every table, medians of the rounds, and ratios."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct

from benchmarks.wire.bodies import SIZE
from benchmarks.wire.contestants import CONTESTANTS
from benchmarks.wire.h2load import IN_FLIGHT
from benchmarks.wire.library import Timed
from benchmarks.wire.measuring import AtRate, Measured, Plan

OURS = "Portcullis"


FEWEST_ROUNDS = 5
"""A run of fewer says whether it works."""


class Found(Struct, frozen=True):
    """All of a run. `libraries` is by name and rules, the median of its rounds."""

    date: str
    revision: str
    plan: Plan
    servers: tuple[Measured, ...]
    libraries: Mapping[str, Mapping[int, Timed]]
    left_out: Mapping[str, str]


def markdown(found: Found) -> str:
    """The whole report."""
    parts = [_head(found), *(_size(found, rules) for rules in found.plan.sizes), _growth(found), _libraries(found)]
    if found.left_out:
        rows = [f"- {title}: {' '.join(reason.split())}" for title, reason in found.left_out.items()]
        parts.append("## Left out\n\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _head(found: Found) -> str:
    plan = found.plan
    warning = "\n\n**So few rounds show that it works; the figures are none.**" if plan.rounds < FEWEST_ROUNDS else ""
    return f"""# Beside the peers

{found.date}, revision {found.revision}, {machine()}. How it is measured, and what is fair and what is not, stands in
[benchmarks/README.md](../README.md#beside-the-peers).

A check has {SIZE} bytes, {IN_FLIGHT} are in flight; medians of {plan.rounds} rounds of {plan.seconds:g} s, in each one
contestant after the other. p50 and p99 are milliseconds from the instant at which a call was due. `-` at a rate: it was
not kept.{warning}"""


def machine() -> str:
    """What it ran on."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    system = [line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME")]
    kib = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    words = [models[0] if models else platform.machine(), f"{os.cpu_count()} cores", f"{kib / 2**20:.0f} GiB"]
    return ", ".join([*words, *system, f"Linux {platform.release()}", f"Python {platform.python_version()}"])


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _size(found: Found, rules: int) -> str:
    by_title = {each.title: each for each in found.servers if each.rules == rules}
    rates = found.plan.rates
    head = ["", "checks/s", *(f"{words} at {rate:,}/s" for rate in rates for words in ("p50", "p99"))]
    head += ["CPU s for 100,000", "MiB", "start, s", "counted"]
    rows = [_row(contestant.title, by_title.get(contestant.title), len(head), rates) for contestant in CONTESTANTS]
    return f"## {rules:,} rules\n\n{_table(head, rows)}\n\n{_ratios(by_title)}"


def _row(title: str, measured: Measured | None, columns: int, rates: Sequence[int]) -> list[str]:
    if measured is None:
        return [title, "left out", *[""] * (columns - 2)]
    paced = {each.rate: each for each in measured.paced}
    latencies = [_milliseconds(paced[rate], part) for rate in rates for part in ("p50", "p99")]
    counted = "" if measured.counted is None else f"{measured.counted:.1%}"
    return [
        title,
        f"{median(measured.per_second):,.0f}",
        *latencies,
        f"{median(measured.cpu_s):.1f}",
        f"{measured.memory_mib:.0f}",
        f"{median(measured.start_s):.2f}",
        counted,
    ]


def _milliseconds(paced: AtRate, part: str) -> str:
    return f"{paced.p50 if part == 'p50' else paced.p99:.2f}" if paced.is_kept else "-"


def _ratios(by_title: Mapping[str, Measured]) -> str:
    ours = [each for each in by_title if each.startswith(OURS)]
    if not ours:
        return "None of ours was measured."
    rows = [
        [other, *(f"{_per_second(by_title[each]) / _per_second(by_title[other]):.2f}" for each in ours)]
        for other in by_title
        if other not in ours
    ]
    return "Checks a second of ours, as a multiple of:\n\n" + _table(["", *ours], rows)


def _per_second(measured: Measured) -> float:
    return median(measured.per_second)


def _growth(found: Found) -> str:
    """What more rules cost: each figure at the most rules over that at the fewest."""
    fewest, most = found.plan.sizes[0], found.plan.sizes[-1]
    figures: tuple[tuple[str, Callable[[Measured], float]], ...] = (
        ("checks/s", _per_second),
        ("CPU", lambda each: median(each.cpu_s)),
        ("memory", lambda each: each.memory_mib),
        ("start", lambda each: median(each.start_s)),
    )
    found_of = {(each.title, each.rules): each for each in found.servers}
    rows = [
        [title, *(f"{figure(found_of[title, most]) / figure(found_of[title, fewest]):.2f}" for _, figure in figures)]
        for title in (contestant.title for contestant in CONTESTANTS)
        if (title, most) in found_of
    ]
    title = f"## {most:,} rules, as a multiple of {fewest:,}"
    return f"{title}\n\n{_table(['', *(name for name, _ in figures)], rows)}"


def _libraries(found: Found) -> str:
    head = ["", *(f"{words}, {rules:,}" for rules in found.plan.sizes for words in ("p50", "p99", "load, s", "MiB"))]
    rows = []
    for name, by_rules in found.libraries.items():
        cells = [_timed(by_rules[rules]) for rules in found.plan.sizes if rules in by_rules]
        said = next(iter(by_rules.values())).version if by_rules else ""
        rows.append([f"{name} {said}".strip(), *(cell for row in cells for cell in row)])
    return f"## In process\n\nMicroseconds of a decision, without wire and log.\n\n{_table(head, rows)}"


def _timed(timed: Timed) -> list[str]:
    return [f"{timed.p50:,.1f}", f"{timed.p99:,.1f}", f"{timed.load_s:.2f}", f"{timed.memory_mib:.0f}"]
