"""This service beside its peers: `python -m benchmarks.wire [--quick] [--only WORDS] [--results FOLDER]`.

Installs what is not there, measures every contestant at every size, and writes a table and pictures into
benchmarks/results/. The peers are installed before anything is timed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.peers import MissingError, h2load_binary, libraries_python
from benchmarks.wire.contestants import CONTESTANTS, Contestant
from benchmarks.wire.library import LIBRARIES, Timed
from benchmarks.wire.machine import SERVER_CORE
from benchmarks.wire.measuring import Measured, Plan, measure
from benchmarks.wire.questions import SIZES
from benchmarks.wire.report import OURS, Found, markdown
from tests.support.process import ROOT

WHOLE = Plan(sizes=SIZES, rounds=9, seconds=5.0, warm_up_s=1.0, rates=(500, 2_000), starts=3)
QUICK = Plan(sizes=(SIZES[0], SIZES[-1]), rounds=2, seconds=1.0, warm_up_s=0.5, rates=(500, 2_000), starts=1)
LIBRARY_S = 120.0
"""Longer than any library takes to load the policy and to answer what is asked first."""


def libraries(plan: Plan) -> tuple[dict[str, dict[int, Timed]], dict[str, str]]:
    """The libraries, each round of each in a process of its own; and who is left out."""
    left_out: dict[str, str] = {}
    pythons = {OURS: Path(sys.executable)}
    try:
        pythons |= {name: libraries_python() for name in LIBRARIES if name != OURS}
    except MissingError as error:
        left_out = {f"{name}, in process": str(error) for name in LIBRARIES if name != OURS}
    found: dict[str, dict[int, Timed]] = {name: {} for name in pythons}
    for rules in plan.sizes:
        rounds: dict[str, list[Timed]] = {name: [] for name in pythons}
        for _ in range(plan.rounds):
            for name, python in pythons.items():
                rounds[name].append(_library(python, name, rules, plan.seconds))
        for name, each in rounds.items():
            found[name][rules] = _middle(each)
    return found, left_out


def _library(python: Path, name: str, rules: int, seconds: float) -> Timed:
    command = ["taskset", "-c", str(SERVER_CORE), str(python), "-m", "benchmarks.wire.library"]
    command += [name, str(rules), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIBRARY_S + seconds)
    if done.returncode != 0:
        raise SystemExit(f"{name} in process, {rules} rules:\n{done.stdout}{done.stderr}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Timed)


def _middle(rounds: Sequence[Timed]) -> Timed:
    return Timed(
        rounds[0].version,
        *(median(getattr(each, part) for each in rounds) for part in ("p50", "p99", "load_s", "memory_mib")),
    )


def servers(contestants: Sequence[Contestant], plan: Plan) -> tuple[list[Measured], dict[str, str]]:
    """The servers at each size; and who is left out."""
    measured: list[Measured] = []
    left_out: dict[str, str] = {}
    for rules in plan.sizes:
        with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as folder:
            outcome = measure([each for each in contestants if each.title not in left_out], rules, plan, Path(folder))
        measured += outcome.measured
        left_out |= dict(outcome.left_out)
    return measured, left_out


def revision() -> str:
    """What was measured; a tree with changes that are not committed says so."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def needs() -> None:
    """SystemExit where the machine has not what a run needs."""
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("one core is for the server and one for the load: this machine has one core")
    if shutil.which("taskset") is None:
        raise SystemExit("no `taskset` on the PATH: install util-linux")
    try:
        h2load_binary()
    except MissingError as error:
        raise SystemExit(str(error)) from error


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description="this service beside its peers")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: whether it works, no figures")
    parser.add_argument("--only", default="", help="only contestants with these words in their line")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    needs()
    plan = QUICK if given.quick else WHOLE
    contestants = [each for each in CONTESTANTS if given.only in each.title]
    began = time.monotonic()
    measured, left_out = servers(contestants, plan)
    left_out |= {each.title: "not asked for (--only)" for each in CONTESTANTS if each not in contestants}
    timed, also_left_out = libraries(plan)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    found = Found(date, revision(), plan, tuple(measured), timed, left_out | also_left_out)
    given.results.mkdir(parents=True, exist_ok=True)
    name = "quick" if given.quick else "peers"
    run, table = given.results / f"{name}.json", given.results / f"{name}.md"
    run.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    table.write_text(markdown(found))
    print(table.read_text())
    if not also_left_out:
        pictures = given.results / name
        pictures.mkdir(exist_ok=True)
        command = [str(libraries_python()), "-m", "benchmarks.wire.plots", str(run), str(pictures)]
        subprocess.run(command, cwd=ROOT, check=True)
    print(f"{table}: {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
