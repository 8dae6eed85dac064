"""Processes on the cores they are given: started, looked at through /proc, ended.

A server has one core to itself, with all that it starts; on the other runs the load, and the sequencer of our log,
which a service may have anywhere. `PSS` counts a page that several processes share in parts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

SERVER_CORE, LOAD_CORE = 0, 1
READY_S = 120.0
END_S = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


class Used(Struct, frozen=True):
    """Of all processes of a server together."""

    cpu_s: float
    memory_mib: float


class Pinned:
    """One server in a session of its own, on the server's core."""

    def __init__(self, command: Sequence[str], output: Path, environment: Mapping[str, str], cwd: Path) -> None:
        self._command = ["taskset", "-c", str(SERVER_CORE), *command]
        self._output, self._environment, self._cwd = output, environment, cwd
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, is_ready: Callable[[], bool]) -> float:
        """Start it; the seconds until it was ready. SystemExit where it ends before, or never is."""
        began = time.monotonic()
        with self._output.open("ab") as output:
            self._process = process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | self._environment,
                cwd=self._cwd,
                start_new_session=True,
            )
        while not is_ready():
            if process.poll() is not None or time.monotonic() > began + READY_S:
                said = self._output.read_text(errors="replace")[-2_000:]
                self.stop()
                raise SystemExit(f"`{' '.join(self._command)}` is not ready:\n{said}")
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        """SIGTERM, and what is left of its session after that SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def release(self, words: str) -> None:
        """Move its processes that have `words` in their command line to the load's core."""
        for pid in self._pids():
            if words in _command_line(pid):
                _move(pid, LOAD_CORE)

    def used(self, without: str | None = None) -> Used:
        """What its processes used so far, those left out that have `without` in their command line."""
        pids = [pid for pid in self._pids() if without is None or without not in _command_line(pid)]
        return Used(sum(map(_cpu_s, pids)), sum(map(_memory_mib, pids)))

    def _pids(self) -> list[int]:
        if self._process is None:
            return []
        found = [self._process.pid]
        for pid in found:
            found += _children(pid)
        return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (each / "children").read_text().split())
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _move(pid: int, core: int) -> None:
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(each.name), {core})


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
