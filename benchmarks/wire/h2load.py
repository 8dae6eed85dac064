"""As many checks a second as a server answers: h2load, some of them at once, each with a question of its own.

h2load sends one body again and again and counts whatever comes back as a success: which answers are right is asked
by another client (benchmarks/wire/http2.py) before and after, and at the fixed rates.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from benchmarks.peers import h2load_binary
from benchmarks.wire.http2 import Call
from benchmarks.wire.machine import LOAD_CORE

AT_ONCE = 4
IN_FLIGHT = 64

_RATE = re.compile(r"^finished in [^,]+, ([0-9.]+) req/s", re.MULTILINE)
_REQUESTS = re.compile(
    r"^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", re.MULTILINE
)


class Rate(Struct, frozen=True):
    """Answers a second, and how many answers there were."""

    per_second: float
    answered: int


def saturate(folder: Path, port: int, calls: Sequence[Call], seconds: float) -> Rate:
    """Ask AT_ONCE of the calls for some seconds, IN_FLIGHT together. SystemExit where h2load counts a failure."""
    running = []
    for number, call in enumerate(calls[:AT_ONCE]):
        body = folder / f"body-{number}"
        body.write_bytes(call.body)
        named = [word for name, value in call.headers for word in ("-H", f"{name}: {value}")]
        asked = ["-d", str(body), *named, f"http://127.0.0.1:{port}{call.path}"]
        lasting = ["-D", f"{seconds * 1_000:.0f}ms", "-t", "1", "-c", "1", "-m", str(IN_FLIGHT // AT_ONCE)]
        command = ["taskset", "-c", str(LOAD_CORE), h2load_binary(), *lasting, *asked]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    rates = [_rate(*each.communicate(timeout=seconds + 30)) for each in running]
    return Rate(sum(each.per_second for each in rates), sum(each.answered for each in rates))


def _rate(output: str, errors: str) -> Rate:
    rate, requests = _RATE.search(output), _REQUESTS.search(output)
    if rate is None or requests is None:
        raise SystemExit(f"h2load says nothing that can be read:\n{output}{errors}")
    _, done, succeeded, failed, errored = map(int, requests.groups())
    if failed or errored or done != succeeded:
        raise SystemExit(f"h2load counts failures:\n{output}{errors}")
    return Rate(float(rate[1]), done)
