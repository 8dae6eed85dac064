"""The sequencer as a process of its own: `python -m pdp.audit.sequencer_main --state DIR --parent-fd N`.

A state folder and the reading end of a pipe come in; the log in `DIR/log` grows. It ends when the other end of the
pipe is closed, however the parent ended, or on SIGTERM; before that it takes in what is there and signs it. SIGINT is
the parent's business.

INVARIANT: one process at a time extends a log: the lock on `log/.lock` is held from the first read to the end.
Exit codes: 0 ended as asked; 2 the state folder or the command line is not usable; 3 the disk failed.
Design: contracts.md "The log, from the first commit".
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from pdp.audit.disk import Folder
from pdp.audit.keys import load_keys
from pdp.audit.sequencer import Sequencer
from pdp.errors import PdpError, StateError

LOOK_S = 0.2
LOCK_WAIT_S = 10.0
END_S = 10.0
"""Takes in what is there for so long when asked to end; writers that are still at work would keep it for ever."""

LEAST_INTERVAL_MS = 10
_LOCK_PAUSE_S = 0.05


class Ending:
    """Whether this process was asked to end."""

    def __init__(self, parent_fd: int) -> None:
        self._parent_fd = parent_fd
        self._asked = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """A signal that asks; the wait that runs ends within `LOOK_S`."""
        self._asked = True

    def wait(self, seconds: float) -> bool:
        """Wait so long, less where the pipe closes; whether to end."""
        if not self._asked:
            readable, _, _ = select.select([self._parent_fd], [], [], seconds)
            if readable and not os.read(self._parent_fd, 4096):
                self._asked = True
        return self._asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until asked to end; the exit code. An error is one line on stderr."""
    parser = argparse.ArgumentParser(prog="pdp.audit.sequencer_main", description="extend and sign the decision log")
    parser.add_argument("--state", type=Path, required=True, help="the state folder")
    parser.add_argument("--parent-fd", type=int, required=True, help="a pipe whose closing ends the process")
    parser.add_argument("--interval-ms", type=int, default=1000, help="at least so long between two checkpoints")
    given = parser.parse_args(arguments)
    if given.interval_ms < LEAST_INTERVAL_MS:
        parser.error(f"--interval-ms is at least {LEAST_INTERVAL_MS}")
    ending = Ending(given.parent_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ending.ask)
    try:
        run(given.state, ending, given.interval_ms / 1000, time.monotonic)
    except PdpError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        _say(f"the log cannot be extended: {error}")
        return 3
    return 0


def run(state: Path, ending: Ending, interval_s: float, clock: Callable[[], float]) -> None:
    """Hold the lock of the log, extend it until `ending` says so, then once more. Errors: PdpError, OSError."""
    keys = load_keys(state / "keys")
    for folder in (state / "log", state / "wal"):
        folder.mkdir(mode=0o700, exist_ok=True)
    lock = hold_log(state / "log" / ".lock", clock)
    try:
        sequencer = Sequencer(Folder(state / "log"), Folder(state / "wal"), keys.origin, keys.sign_key, clock)
        sequencer.start()
        _extend(sequencer, ending, interval_s, clock)
    finally:
        os.close(lock)


def hold_log(path: Path, clock: Callable[[], float]) -> int:
    """The descriptor that holds the lock; a predecessor is given 10 s to end. Errors: StateError S141, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    until = clock() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if clock() >= until:
                os.close(descriptor)
                raise StateError("S141", f"another sequencer holds {path}: end it first") from error
            time.sleep(_LOCK_PAUSE_S)
        else:
            return descriptor


def _extend(sequencer: Sequencer, ending: Ending, interval_s: float, clock: Callable[[], float]) -> None:
    said: set[str] = set()
    due = clock()
    while True:
        sequencer.integrate()
        if clock() >= due:
            sequencer.publish()
            due = clock() + interval_s
        for name, reason in sequencer.stuck.items():
            if name not in said:
                said.add(name)
                _say(f"wal/{name} is not read on: {reason}; run `pdp audit verify`")
        if ending.wait(min(LOOK_S, interval_s)):
            break
    until = clock() + END_S
    while sequencer.integrate() and clock() < until:
        pass
    sequencer.publish()


def _say(line: str) -> None:
    print(f"sequencer: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
