"""The demo's processes: started, waited for, watched, ended; and the signals that ask the demo itself to end.

A child runs in a session of its own, so that Ctrl-C on the terminal reaches the demo alone and the children end in the
demo's order. What a child says goes to its log file; the end of that file is shown when it fails.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from pdp.demo.ports import LOOPBACK
from pdp.errors import PdpError, printable_lines

SHOWN_LINES = 15
POLL_S = 0.05
PROBE_TIMEOUT_S = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(PdpError):
    """A part of the demo did not start, or ended by itself. `said` is the end of what it said, line by line, in which a
    terminal finds nothing to obey.
    """

    exit_code = 1

    def __init__(self, code: str, detail: str, said: Iterable[str] = ()) -> None:
        super().__init__(code, detail)
        self.said = tuple(map(printable_lines, said))


class StoppedError(Exception):
    """The demo was asked to end before everything ran."""


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP, to be waited for instead of interrupting whatever runs."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.settimeout(0)
        self._requested = False

    def __enter__(self) -> Self:
        self._earlier = [signal.signal(number, self._note) for number in SIGNALS]
        self._earlier_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._earlier_fd)
        for number, earlier in zip(SIGNALS, self._earlier, strict=True):
            signal.signal(number, earlier)
        self._read.close()
        self._write.close()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True

    def wait(self, timeout_s: float) -> bool:
        """Whether the demo was asked to end; returns as soon as it is, after `timeout_s` at the latest."""
        if not self._requested:
            select.select([self._read], [], [], timeout_s)
            with contextlib.suppress(BlockingIOError):
                self._read.recv(64)
        return self._requested


class Child:
    """One running process."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - the demo's own command lines
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def failure(self, what: str) -> DemoError:
        """The error that says `what` of this child, with the end of its log."""
        code = self._process.poll()
        status = "" if code is None else f" (exit code {code})"
        lines = self._log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
        return DemoError(
            "D130", f"{self.name} {what}{status}; the end of {self._log}:", lines or ("(it said nothing)",)
        )

    def stop(self, grace_s: float) -> bool:
        """Ask the process to end, and end it by force after `grace_s`; whether force was not needed."""
        if self.has_ended():
            return True
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], log: Path, grace_s: float, say: Callable[[str], None]
) -> Iterator[Child]:
    """Run `command` while the block runs. Errors: DemoError D131 when it cannot be started.

    INVARIANT: the child is gone when this returns, whatever happened, even where `say` cannot write any more.
    """
    try:
        child = Child(name, command, log)
    except OSError as error:
        raise DemoError("D131", f"{name} cannot be started: {command[0]}: {error.strerror}") from error
    try:
        yield child
    finally:
        try:
            if not child.has_ended():
                say(f"ending {name}")
        finally:
            ended = child.stop(grace_s)
        if not ended:
            say(f"{name} did not end within {grace_s:.0f} s and was killed")


def await_ready(child: Child, ready: Callable[[], bool], limit_s: float, stop: StopSignals) -> None:
    """Return once `ready` says so.

    Errors: DemoError D130 when the child ends first or `limit_s` pass; StoppedError when the demo is to end.
    """
    deadline = time.monotonic() + limit_s
    while not ready():
        if child.has_ended():
            raise child.failure("did not start")
        if time.monotonic() >= deadline:
            raise child.failure(f"was not ready after {limit_s:.0f} s")
        if stop.wait(POLL_S):
            raise StoppedError


def answers_ok(port: int, path: str) -> bool:
    """Whether GET `path` on 127.0.0.1:`port` answers 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accepts(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    try:
        socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True
