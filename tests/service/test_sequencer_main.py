"""The sequencer as a process: it ends with its parent, one at a time extends a log, and a kill loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdp.audit.disk import Folder
from pdp.audit.keys import create_keys
from pdp.audit.reader import tree_size
from pdp.audit.sequencer_main import LOCK_WAIT_S, hold_log
from pdp.audit.verify import verify_log
from pdp.errors import StateError
from tests.support.logs import ORIGIN, add_wal, ignore, records, wal_file


class Child:
    """A sequencer process and the pipe that ends it."""

    def __init__(self, state: Path, *more: str) -> None:
        read_end, self.pipe = os.pipe()
        command = [sys.executable, "-m", "pdp.audit.sequencer_main", "--state", str(state)]
        self.process = subprocess.Popen(
            [*command, "--parent-fd", str(read_end), *more],
            pass_fds=(read_end,),
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(read_end)

    def end(self) -> tuple[int, str]:
        """Close the pipe; the exit code and what it said."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def child_of() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(state: Path, *more: str) -> Child:
        children.append(Child(state, *more))
        return children[-1]

    yield start
    for child in children:
        if child.process.poll() is None:
            child.process.kill()
        child.end()


def state_with_keys(tmp_path: Path) -> tuple[Path, str]:
    keys = create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    return tmp_path, keys.vkey


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_process_ends_with_its_parent_and_leaves_a_log_that_verifies(
    tmp_path: Path, child_of: Callable[..., Child]
) -> None:
    state, vkey = state_with_keys(tmp_path)
    child = child_of(state, "--interval-ms", "20")
    add_wal(state, records(300))
    wait_for(lambda: tree_size(Folder(state / "log")) == 300)
    add_wal(state, records(600))
    assert child.end() == (0, "")
    report = verify_log(state / "log", state / "wal", vkey, ignore)
    assert (report.exit_code, report.size) == (0, 600)


def test_sigterm_ends_it_and_sigint_does_not(tmp_path: Path, child_of: Callable[..., Child]) -> None:
    state, vkey = state_with_keys(tmp_path)
    child = child_of(state, "--interval-ms", "20")
    wait_for((state / "log" / "checkpoint").exists)
    child.process.send_signal(signal.SIGINT)
    add_wal(state, records(10))
    wait_for(lambda: tree_size(Folder(state / "log")) == 10)
    child.process.terminate()
    assert child.process.wait(20) == 0
    assert verify_log(state / "log", None, vkey, ignore).exit_code == 0


def test_a_second_one_waits_for_the_first(tmp_path: Path, child_of: Callable[..., Child]) -> None:
    state, vkey = state_with_keys(tmp_path)
    first = child_of(state)
    wait_for((state / "log" / "checkpoint").exists)
    second = child_of(state, "--interval-ms", "20")
    first.end()
    add_wal(state, records(10))
    wait_for(lambda: tree_size(Folder(state / "log")) == 10)
    assert second.end() == (0, "")
    assert verify_log(state / "log", None, vkey, ignore).exit_code == 0


def test_a_log_that_stays_locked_is_refused(tmp_path: Path) -> None:
    ticks = iter([0.0, 1.0, LOCK_WAIT_S])
    lock = hold_log(tmp_path / ".lock", lambda: 0.0)
    with pytest.raises(StateError, match="S141"):
        hold_log(tmp_path / ".lock", lambda: next(ticks))
    os.close(lock)


def test_killed_at_work_its_successor_finishes(tmp_path: Path, child_of: Callable[..., Child]) -> None:
    state, vkey = state_with_keys(tmp_path)
    add_wal(state, records(2000))
    child = child_of(state)
    wait_for((state / "log" / "tile").exists)
    child.process.kill()
    child.process.wait(20)
    assert child_of(state, "--interval-ms", "20").end()[0] == 0
    report = verify_log(state / "log", state / "wal", vkey, ignore)
    assert (report.exit_code, report.size) == (0, 2000)


def test_what_is_no_write_ahead_log_is_named_once_and_the_rest_goes_on(
    tmp_path: Path, child_of: Callable[..., Child]
) -> None:
    state, vkey = state_with_keys(tmp_path)
    (state / "wal" / wal_file(boot=1)).mkdir(parents=True)
    os.mkfifo(state / "wal" / wal_file(boot=2))
    child = child_of(state, "--interval-ms", "20")
    for count in (100, 200):
        add_wal(state, records(count))
        wait_for(lambda wanted=count: tree_size(Folder(state / "log")) == wanted)  # type: ignore[misc]
    code, said = child.end()
    assert (code, said.splitlines()) == (
        0,
        [
            "sequencer: wal/00-00000001.wal is not read on: it is a folder, not a file; run `pdp audit verify`",
            "sequencer: wal/00-00000002.wal is not read on: it is a pipe, not a file; run `pdp audit verify`",
        ],
    )
    assert verify_log(state / "log", state / "wal", vkey, ignore).exit_code == 40


def test_without_keys_it_says_so_in_one_line(tmp_path: Path, child_of: Callable[..., Child]) -> None:
    code, said = child_of(tmp_path).end()
    assert (code, said.count("\n")) == (2, 1)
    assert "keys" in said
