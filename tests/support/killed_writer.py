"""A writer and a sequencer, killed at random instants, again and again: `python -m tests.support.killed_writer`.

One process imports everything once and then forks, for each line it reads, a writer and a sequencer of a state folder;
it kills each after its time, waits for both, and answers with how they ended. The writer appends from several threads
and puts the id of each acknowledged record into a file, which outlives it. `Lives` is that process as a test has it,
`Told` what a test knows of one state folder.

INVARIANT: an id is in the file only after the writer settled its receipt without an error.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct, field

from pdp.audit import ids
from pdp.audit.checkpoint import unproved_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.files import open_log_file
from pdp.audit.frame import read_frames
from pdp.audit.ids import DecisionId
from pdp.audit.keys import create_keys, load_keys
from pdp.audit.leaf import Leaf, parse
from pdp.audit.reader import entries, wal_names
from pdp.audit.sequencer import Sequencer
from pdp.audit.verify import verify_log
from pdp.audit.writer import Limits, LogWriter, Receipt
from pdp.model import Json
from tests.support.logs import ignore

ROOT = Path(__file__).resolve().parent.parent.parent
THREADS = 4
WAITING = 64
"""Records on their way at most: more of them would only wait."""

FAST = 200.0
"""So much faster runs the sequencer's clock: what is quiet for ten seconds is quiet after a twentieth of one."""

KILLED = -signal.SIGKILL


class Life(Struct, frozen=True):
    """One life: from which seed the writer draws, and when each of the two is killed: so many seconds after its fork,
    or after the first record was acknowledged where `loaded`."""

    seed: str
    loaded: bool
    writer_s: float
    sequencer_s: float


def draw_life(draw: random.Random, seed: str) -> Life:
    """Three of four are killed under load, the others wherever a start has come to. The sequencer, which syncs every
    file before it takes from it, is given longer, or it would never come to sign."""
    return Life(seed, draw.random() < 0.75, draw.uniform(0.0, 0.08), draw.uniform(0.0, 0.25))


# ---------------------------------------------------------------- the processes that are killed


def content(seed: str, thread: int, number: int) -> dict[str, Json]:
    """The clear fields of one record, of some length; `sum` is over what tells it from every other."""
    digest = hashlib.sha256(f"{seed} {thread} {number}".encode()).hexdigest()
    outcome = "deny" if number % 4 == 3 else "allow"
    return {"d": outcome, "seed": seed, "th": thread, "n": number, "sum": digest * (1 + number % 7)}


def is_whole(record: Leaf) -> bool:
    """Whether a decision is, to the last byte, one that a writer of ours made."""
    clear = record.clear
    made = content(str(clear.get("seed")), int(str(clear.get("th"))), int(str(clear.get("n"))))
    return {name: clear.get(name) for name in made} == made and record.sealed is not None


def live_writer(state: Path, seed: str) -> None:
    """Append from several threads until killed."""
    draw = random.Random(seed)
    told = os.open(told_file(state, seed), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)

    def on_settled(receipts: Sequence[Receipt]) -> None:
        os.write(told, "".join(f"{each.id}\n" for each in receipts if each.error is None).encode())

    writer = LogWriter(
        state / "wal",
        0,
        load_keys(state / "keys"),
        open_file=open_log_file,
        entropy=os.urandom,
        clock_us=lambda: time.time_ns() // 1000,
        on_settled=on_settled,
        software="test",
        limits=Limits(file_bytes=draw.choice([20_000, 256 * 1024 * 1024])),
    )
    writer.start()

    def append(thread: int) -> None:
        mine = random.Random(f"{seed} {thread}")
        for number in range(1_000_000):
            while writer.status().pending > WAITING:
                time.sleep(0.0002)
            writer.append("decision", content(seed, thread, number), b"inputs", strict=mine.random() < 0.2)

    threads = [threading.Thread(target=append, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def live_sequencer(state: Path) -> None:
    """Take in, sign and remove until killed; under the lock that a sequencer holds."""
    lock = os.open(state / "log" / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    sequencer = sequencer_of(state, lambda: time.monotonic() * FAST)
    while True:
        sequencer.integrate()
        sequencer.publish()
        time.sleep(0.002)


def sequencer_of(state: Path, clock: Callable[[], float]) -> Sequencer:
    """A started sequencer of a state folder."""
    keys = load_keys(state / "keys")
    sequencer = Sequencer(Folder(state / "log"), Folder(state / "wal"), keys.origin, keys.sign_key, clock)
    sequencer.start()
    return sequencer


def fork(live: Callable[[], None]) -> int:
    """Run it in a child; its process id. A child that ends by itself ends with 1."""
    child = os.fork()
    if child:
        return child
    try:
        live()
    finally:
        sys.stderr.flush()
        os._exit(1)


def run(line: str) -> str:
    """One life, as the line says; how the writer and the sequencer ended."""
    state_text, seed, loaded, writer_s, sequencer_s = line.rstrip("\n").split("\t")
    state = Path(state_text)
    writer = fork(lambda: live_writer(state, seed))
    sequencer = fork(lambda: live_sequencer(state))
    until = time.monotonic() + 20
    while loaded == "True" and not anything_told(state, seed) and time.monotonic() < until:
        time.sleep(0.001)
    began = time.monotonic()
    ended = []
    for child, seconds in sorted([(writer, float(writer_s)), (sequencer, float(sequencer_s))], key=lambda one: one[1]):
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        os.kill(child, signal.SIGKILL)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return " ".join(map(str, ended))


def told_file(state: Path, seed: str) -> Path:
    """Where a life puts what it acknowledged; one each, since a kill may cut the last line."""
    return state / f"{seed}.told"


def anything_told(state: Path, seed: str) -> bool:
    """Whether that life has acknowledged a record."""
    path = told_file(state, seed)
    return path.exists() and path.stat().st_size > 0


# ---------------------------------------------------------------- as a test has it


class Lives:
    """The process that forks; ended with the block."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.killed_writer"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(20)

    def live(self, state: Path, life: Life) -> None:
        """One life of a writer and a sequencer; both must have lived until they were killed."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(f"{state}\t{life.seed}\t{life.loaded}\t{life.writer_s}\t{life.sequencer_s}\n")
        asked.flush()
        assert answers.readline().split() == [str(KILLED)] * 2


class Told(Struct):
    """A state folder that goes through lives, and the largest tree that was ever signed in it."""

    state: Path
    size: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, state: Path) -> Told:
        """A new one."""
        for folder in ("wal", "log"):
            (state / folder).mkdir(parents=True)
        create_keys(state / "keys", "test.example/killed", os.urandom)
        return cls(state)

    def acknowledged(self) -> list[str]:
        """The ids that were told; the last line of a life may have been cut by the kill."""
        texts = [path.read_text() for path in self.state.glob("*.told")]
        return [each for text in texts for each in text[: text.rfind("\n") + 1].split()]

    def check(self) -> int:
        """The log is sound, did not go back, holds whole records only, and all that was told; how many were told."""
        vkey = (self.state / "keys" / "log.vkey").read_text()
        if (self.state / "log" / "checkpoint").exists():
            report = verify_log(self.state / "log", self.state / "wal", vkey, ignore)
            assert (report.exit_code, report.findings) == (0, ())
            size = unproved_checkpoint((self.state / "log" / "checkpoint").read_bytes()).size
            assert size >= self.size, "the tree went back"
            self.size = size
        return self._compare()

    def _compare(self) -> int:
        held = [parse(leaf) for leaf in _logged(self.state)]
        self.torn += [each.id for each in held if each.kind == "decision" and not is_whole(each)]
        told = self.acknowledged()
        assert len(set(told)) == len(told)
        self.lost += _without(told, held)
        return len(told)

    def finish(self) -> int:
        """Everything into the tree by a sequencer that nobody kills; what was told must be there. How much that is."""
        sequencer = sequencer_of(self.state, time.monotonic)
        while sequencer.integrate():
            pass
        sequencer.publish()
        assert sequencer.stuck == {}
        return self.check()


def missing(state: Path, told: Sequence[str]) -> list[str]:
    """The ids that no record of the log stands for."""
    return _without(told, [parse(leaf) for leaf in _logged(state)])


def _without(told: Sequence[str], held: Sequence[Leaf]) -> list[str]:
    places = {place for record in held for place in _places(record)}
    return [each for each in told if _place(each) not in places]


def _logged(state: Path) -> Iterator[bytes]:
    """Every record that a reader accepts. The tree is read last: what a sequencer took in meanwhile is there."""
    files = Folder(state / "wal")
    for name in map(str, wal_names(files)):
        for frame in read_frames(partial(files.read_at, name)):
            yield from frame.leaves
    for _, entry in entries(state / "log"):
        yield entry


def _place(record_id: str) -> tuple[int, int, int]:
    at: DecisionId = ids.parse(record_id)
    return at.boot, at.writer, at.seq


def _places(record: Leaf) -> Iterator[tuple[int, int, int]]:
    """The numbers that a record stands for: its own, and those of the refusals that an aggregate lists."""
    boot, writer, seq = _place(record.id)
    yield boot, writer, seq
    if record.kind == "decision.aggregate":
        match record.clear["sq"]:
            case [int(first), int(last)]:
                yield from ((boot, writer, number) for number in range(first, last + 1))


if __name__ == "__main__":
    for asked in sys.stdin:
        print(run(asked), flush=True)
