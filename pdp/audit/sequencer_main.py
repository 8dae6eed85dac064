"""The sequencer as a process of its own: `python -m pdp.audit.sequencer_main --state DIR --parent-fd N`.

A state folder and the reading end of a pipe come in; the log in `DIR/log` grows, its key changes when that is due, and
its witnesses are asked. It ends when the other end of the pipe is closed, however the parent ended, or on SIGTERM;
before that it takes in what is there and signs it. SIGINT is the parent's business.

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

from msgspec import Struct

from pdp.audit.archiving import Archiving
from pdp.audit.disk import Folder
from pdp.audit.key_turns import KeyTurns
from pdp.audit.keys import LogKeys, load_keys
from pdp.audit.sequencer import Sequencer
from pdp.audit.succession import Turn, UnannouncedError
from pdp.audit.witness_thread import Witnesses, witnessed
from pdp.errors import PdpError, StateError

LOOK_S = 0.2
LOCK_WAIT_S = 10.0
END_S = 10.0
"""Takes in what is there for so long when asked to end; writers that are still at work would keep it for ever."""

LEAST_INTERVAL_MS = 10
_LOCK_PAUSE_S = 0.05
TURN_WITHIN_S = 60.0
"""So long a change of keys is tried before the next look for one."""


class Settings(Struct, frozen=True):
    """How a log is kept: seconds between two checkpoints, days that a key signs (0: for ever), its witnesses, and how
    many sealed segments stay raw while older ones are archived (0: all do).
    """

    interval_s: float = 1.0
    key_days: int = 0
    witnesses: Witnesses | None = None
    raw_segments: int = 0


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
    parser.add_argument("--key-days", type=int, default=0, help="the days that a key signs; 0: for ever")
    parser.add_argument("--raw-segments", type=int, default=0, help="sealed segments that stay raw; 0: all")
    parser.add_argument("--witness-policy", type=Path, help="who witnesses the log: a tlog-policy file")
    parser.add_argument("--witness-host", action="append", default=[], help="a host at which witnesses are asked")
    parser.add_argument("--witness-seconds", type=int, default=10, help="the time between two rounds of witnesses")
    given = parser.parse_args(arguments)
    if given.interval_ms < LEAST_INTERVAL_MS:
        parser.error(f"--interval-ms is at least {LEAST_INTERVAL_MS}")
    witnesses = None
    if given.witness_policy is not None:
        witnesses = Witnesses(given.witness_policy, tuple(given.witness_host), given.witness_seconds)
    ending = Ending(given.parent_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ending.ask)
    try:
        settings = Settings(given.interval_ms / 1000, given.key_days, witnesses, given.raw_segments)
        run(given.state, ending, settings, time.monotonic)
    except PdpError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        _say(f"the log cannot be extended: {error}")
        return 3
    return 0


def run(state: Path, ending: Ending, settings: Settings, clock: Callable[[], float]) -> None:
    """Hold the lock of the log, extend it until `ending` says so, then once more. Errors: PdpError, OSError."""
    anchor = load_keys(state / "keys").anchor
    for folder in (state / "log", state / "wal"):
        folder.mkdir(mode=0o700, exist_ok=True)
    lock = hold_log(state / "log" / ".lock", clock)
    log = Folder(state / "log")
    try:
        turns = KeyTurns(state, log, settings.key_days, now_us=_now_us, clock=clock, entropy=os.urandom)
        archiving = Archiving(log, settings.raw_segments, clock)
        keys: LogKeys | None = (settled := turns.settled())
        sequencer = _started(state, log, settled, clock)  # a log that was emptied says so to its witnesses
        with witnessed(log, settings.witnesses, anchor, lambda: _now_us() // 1_000_000, _say):
            while keys is not None:
                keys = _Extending(sequencer, turns, archiving, settings.interval_s, clock).until_turned(ending)
                if keys is not None:
                    sequencer = _started(state, log, keys, clock)
    finally:
        os.close(lock)


def _started(state: Path, log: Folder, keys: LogKeys, clock: Callable[[], float]) -> Sequencer:
    sequencer = Sequencer(log, Folder(state / "wal"), keys.origin, keys.sign_key, clock)
    sequencer.start()
    return sequencer


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


class _Extending:
    """One sequencer at work, under one key."""

    def __init__(
        self,
        sequencer: Sequencer,
        turns: KeyTurns,
        archiving: Archiving,
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._sequencer, self._turns, self._archiving = sequencer, turns, archiving
        self._interval_s, self._clock = interval_s, clock
        self._said: set[str] = set()
        self._due = clock()

    def until_turned(self, ending: Ending) -> LogKeys | None:
        """Extend the log; the keys to go on with once they changed, None once it ended. Errors: PdpError, OSError."""
        while True:
            turn = self._turn()  # first: an announcement that is old by now is made again before what is new is signed
            keys = None if turn is None else self._turned(turn, ending)
            if keys is not None:
                return keys
            self._step()
            self._archiving.look(self._say_once)
            if ending.wait(min(LOOK_S, self._interval_s)):
                break
        until = self._clock() + END_S
        while self._sequencer.integrate() and self._clock() < until:
            pass
        self._sequencer.publish()
        return None

    def _step(self) -> None:
        self._sequencer.integrate()
        if self._clock() >= self._due:
            self._sequencer.publish()
            self._due = self._clock() + self._interval_s
        for name, reason in self._sequencer.stuck.items():
            self._say_once(f"wal/{name} is not read on: {reason}; run `pdp audit verify`")

    def _turn(self) -> Turn | None:
        """The change of keys that is due; one that cannot be made is said, and the log goes on under its key."""
        try:
            return self._turns.due(self._say_once)
        except PdpError as error:
            self._say_once(f"the key of the log does not change: {error}")
        return None

    def _turned(self, turn: Turn, ending: Ending) -> LogKeys | None:
        """Announce the next key, and change to it once that is signed; None where that took too long."""
        try:
            self._turns.announce(turn)
        except PdpError as error:
            self._say_once(f"the key of the log does not change: its announcement is not in the log: {error}")
            return None
        until = self._clock() + TURN_WITHIN_S
        while True:
            self._sequencer.integrate()
            self._sequencer.publish()
            try:
                return self._turns.hand_over(turn)
            except UnannouncedError as error:
                if self._clock() >= until or ending.wait(LOOK_S):
                    self._say_once(f"the key of the log does not change: {error}")
                    return None

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            _say(line)


def _now_us() -> int:
    return time.time_ns() // 1000


def _say(line: str) -> None:
    print(f"sequencer: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
