"""One write-ahead log on the disk: its name, its lock, how it is appended to, and what a crash left of it.

    wal/<writer:02x>-<boot:08x>.wal   frames (pdp.audit.frame), from leaf 0
                                      held with flock as long as the writer has it open (pdp.audit.files)
    wal/<writer:02x>.lock             held with flock as long as the writer lives; its text is the last boot number

INVARIANT: after one error nothing is appended to a file again: what stands behind the error is unknown.
INVARIANT: recovery removes nothing but a torn tail (pdp.audit.frame says what is one) and reports how much; a damaged
file is evidence and stays as it is, and so is one of a newer format.
INVARIANT: no boot number is given out twice for a writer: a record's id names one record for ever.
Design: audit.md 3.2, 4.1, 4.6.

Decision: 2026-11-21. Boot numbers grow: Unix seconds, or one more than the last where the clock has not moved on or was
    set back. Random ones repeat by the birthday rule, and one repeated id is a log that verifies never again; files of
    one writer also sort by age. An id may tell when its writer began; that it is ours its mac says, not its boot.
Decision: 2026-11-21. The last number stands in the lock file, which whoever takes a number holds, and is on the disk
    before the file of that number exists. The names in the folder count as well. A text that is no number is refused;
    an empty one, and the zeros that a power cut leaves of the first, come from a number that no file had yet.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from pdp.audit.files import LogFile, sync_directory, truncate
from pdp.audit.frame import GENESIS, encode_frame, has_frame_after, newer_format, read_frames
from pdp.audit.ids import MAX_BOOT
from pdp.audit.reader import MOST_WAL_BYTES
from pdp.errors import StateError
from pdp.model import Json

_NAME = re.compile(r"(?P<writer>[0-9a-f]{2})-(?P<boot>[0-9a-f]{8})\.wal\Z")
_LAST_BOOT = re.compile(rb"[0-9a-f]{8}\n\Z")
_LATEST_S = 0xF000_0000
"""A clock beyond it (the year 2097) is wrong and must not use the numbers up."""

_LOCK_TRIES = 20
_LOCK_PAUSE_S = 0.05


def wal_name(writer: int, boot: int) -> str:
    """The file name of one run of a writer."""
    return f"{writer:02x}-{boot:08x}.wal"


class Recovered(Struct, frozen=True):
    """An earlier file that did not end well. `kept_seq` is its last good leaf, counted from 0 in the file (which is not
    the number in its id), None when it has none; `discarded` counts the bytes behind it: cut off where they were a torn
    tail, left in place where the file is `damaged`.
    """

    file: str
    kept_seq: int | None
    discarded: int
    damaged: bool

    def fields(self, now_us: int) -> dict[str, Json]:
        """The clear fields of the leaf `log.recovered` that states it, written at `now_us`."""
        stated = {"file": self.file, "kept_seq": self.kept_seq, "discarded": self.discarded, "damaged": self.damaged}
        return {"t": now_us, **stated}


class WalFile:
    """The open file of a run: leaves in, frames out. Used by one thread; any OSError ends its use."""

    def __init__(self, file: LogFile, writer: int) -> None:
        self.size = 0
        self._file = file
        self._writer = writer
        self._next_seq = 0
        self._previous = GENESIS

    def append(self, leaves: Sequence[bytes]) -> None:
        """Write one frame; on return the operating system has it, the disk perhaps not. Errors: OSError."""
        frame = encode_frame(self._writer, self._next_seq, leaves, self._previous)
        rest = frame
        while rest:
            written = self._file.write(rest)
            if written <= 0:
                raise OSError(errno.EIO, "nothing was written")
            rest = rest[written:]
        self.size += len(frame)
        self._next_seq += len(leaves)
        self._previous = frame[-32:]

    def sync(self) -> None:
        """Return when everything appended is on the disk. Errors: OSError."""
        self._file.sync()

    def close(self) -> None:
        """Give the file up, without a sync. Errors: OSError."""
        self._file.close()


def hold_writer(wal_dir: Path, writer: int) -> int:
    """Take the writer number for this process; the descriptor returned holds it until it is closed.

    Tries for up to a second: a predecessor may be about to end.
    Errors: StateError S121 when another process has it or the lock file cannot be opened.
    """
    path = wal_dir / f"{writer:02x}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError("S121", f"the lock {path} cannot be opened: {error}") from error
    for _ in range(_LOCK_TRIES):
        if _locked(descriptor):
            return descriptor
        time.sleep(_LOCK_PAUSE_S)
    os.close(descriptor)
    raise StateError("S121", f"writer {writer} is in use, {path} is locked: stop the process that holds it")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def next_boot(lock: int, wal_dir: Path, writer: int, now_us: int) -> int:
    """A boot number above every one before it; on return it is on the disk. `lock` is what `hold_writer` returned.

    Errors: OSError; StateError S121 when the lock file holds no number, or none is left.
    """
    path = wal_dir / f"{writer:02x}.lock"
    text = os.pread(lock, 64, 0)
    used = text.strip(b"\x00")
    if used and _LAST_BOOT.match(text) is None:
        raise StateError("S121", f"{path} does not hold a boot number: write the highest of {writer:02x}-*.wal into it")
    names = [match for match in map(_NAME.match, os.listdir(wal_dir)) if match is not None]  # noqa: PTH208 - names
    last = max([int(used, 16) if used else 0, *(int(m["boot"], 16) for m in names if int(m["writer"], 16) == writer)])
    now_s = now_us // 1_000_000
    boot = now_s if last < now_s < _LATEST_S else last + 1
    if boot > MAX_BOOT:
        raise StateError(
            "S121", f"writer {writer} has no boot number left after {last:08x}: begin another state folder"
        )
    os.pwrite(lock, f"{boot:08x}\n".encode(), 0)
    os.fsync(lock)
    if not used:
        sync_directory(wal_dir)  # the name of the lock file, once
    return boot


def recover(wal_dir: Path, writer: int) -> tuple[Recovered, ...]:
    """Look at what earlier runs of `writer` left: torn tails are cut, on the disk, and damage is reported.

    The caller holds the writer number, so nobody appends. Sorted by file name; files that end well are not in it.
    Errors: StateError S122 when a file cannot be read or cut, or is of a newer format.
    """
    try:
        names = sorted(os.listdir(wal_dir))  # noqa: PTH208 - names are what is wanted
    except OSError as error:
        raise StateError("S122", f"the folder {wal_dir} cannot be read: {error}") from error
    found = []
    for name in names:
        match = _NAME.match(name)
        if match is not None and int(match["writer"], 16) == writer:
            recovered = _recover_file(wal_dir / name, writer)
            if recovered is not None:
                found.append(recovered)
    return tuple(found)


def _recover_file(path: Path, writer: int) -> Recovered | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:  # a running sequencer removed it: all of it is in the tree
        return None
    except OSError as error:
        raise StateError("S122", f"the earlier log {path} cannot be opened: {error}") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise StateError("S122", f"the earlier log {path} is not a file: move it away")
        if about.st_size > MOST_WAL_BYTES:
            raise StateError("S122", f"the earlier log {path} is larger than any of ours: move it away")
        return _recover_open(descriptor, path.name, about.st_size, writer)
    except OSError as error:
        raise StateError("S122", f"the earlier log {path} cannot be recovered: {error}") from error
    finally:
        os.close(descriptor)


def _recover_open(descriptor: int, name: str, size: int, writer: int) -> Recovered | None:
    def read_at(offset: int, length: int) -> bytes:
        return os.pread(descriptor, length, offset)

    good, kept_seq = 0, None
    for frame in read_frames(read_at):
        if frame.writer != writer:
            break
        good, kept_seq = frame.end, frame.next_seq - 1
    if good == size:
        return None
    newer = newer_format(read_at, good)
    if newer is not None:
        raise StateError(
            "S122", f"the earlier log {name} goes on in format {newer}: start the version that wrote it, or a later one"
        )
    damaged = has_frame_after(read_at, good)
    if not damaged:
        truncate(descriptor, good)
    return Recovered(name, kept_seq, size - good, damaged)
