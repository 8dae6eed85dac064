"""One write-ahead log on the disk: its name, its lock, how it is appended to, and what a crash left of it.

    wal/<writer:02x>-<boot:08x>.wal   frames (pdp.audit.frame), from sequence 0
    wal/<writer:02x>.lock             held with flock as long as the writer lives

INVARIANT: after one error nothing is appended to a file again: what stands behind the error is unknown.
INVARIANT: recovery removes nothing but a torn tail (pdp.audit.frame says what is one) and reports how much; a damaged
file is evidence and stays as it is.
Design: audit.md 4.1, 4.6.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdp.audit.files import LogFile, truncate
from pdp.audit.frame import GENESIS, encode_frame, has_frame_after, read_frames
from pdp.errors import StateError

_NAME = re.compile(r"(?P<writer>[0-9a-f]{2})-(?P<boot>[0-9a-f]{8})\.wal\Z")
_LOCK_TRIES = 20
_LOCK_PAUSE_S = 0.05


def wal_name(writer: int, boot: int) -> str:
    """The file name of one run of a writer."""
    return f"{writer:02x}-{boot:08x}.wal"


@dataclass(frozen=True, slots=True)
class Recovered:
    """An earlier file that did not end well. `kept_seq` is its last good record, None when it has none; `discarded`
    counts the bytes behind it: cut off where they were a torn tail, left in place where the file is `damaged`."""

    file: str
    kept_seq: int | None
    discarded: int
    damaged: bool


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

    Tries for up to a second: the sequencer takes the lock for a moment when it asks whether a writer is gone.
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


def recover(wal_dir: Path, writer: int) -> tuple[Recovered, ...]:
    """Look at what earlier runs of `writer` left: torn tails are cut, on the disk, and damage is reported.

    The caller holds the writer number, so nobody appends. Sorted by file name; files that end well are not in it.
    Errors: StateError S122 when a file cannot be read or cut.
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
    damaged = has_frame_after(read_at, good)
    if not damaged:
        truncate(descriptor, good)
    return Recovered(name, kept_seq, size - good, damaged)
