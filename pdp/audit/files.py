"""Durable file operations. Each says what has reached the disk when it returns.

`LogFile` is what the log writer needs of an append-only file, `OpenLogFile` how it comes by one: a test hands in files
that fail. A file that is open for appending is locked (flock): who finds the lock free knows that nobody appends.
After an error of `write` or `sync` nothing is known about the bytes of that file any more (a second
fdatasync may report success for pages that were lost), so no operation here is ever tried twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class LogFile(Protocol):
    """One append-only file, used by one thread. Every method may raise OSError; after that only `close` is called."""

    def write(self, data: bytes) -> int:
        """Append a first part of `data`; how many bytes, at least one. Promises nothing about the disk."""
        ...

    def sync(self) -> None:
        """Return when every byte written before the call is on the disk."""
        ...

    def close(self) -> None:
        """Give the file up. Promises nothing about the disk."""
        ...


_MOST_CREATED = 64

OpenLogFile = Callable[[Path], LogFile]
"""Creates a file that must not exist yet; on return its name is on the disk."""


class PosixLogFile:
    """A `LogFile` over a file descriptor, which it owns, with every lock on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """One write(2)."""
        return os.write(self._descriptor, data)

    def sync(self) -> None:
        """One fdatasync(2), which takes the new length along."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """One close(2), without a sync; it gives the lock back."""
        os.close(self._descriptor)


def open_log_file(path: Path) -> LogFile:
    """Create `path` for appending, mode 0600; on return its directory entry is on the disk and it is locked.

    The sequencer removes an empty file that nobody has locked: where it came between, the file is created again.
    Errors: OSError; FileExistsError when anything, a link included, has that name.
    """
    for _ in range(_MOST_CREATED):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # who holds the lock of a file this young is about to remove it
            if os.fstat(descriptor).st_nlink:
                sync_directory(path.parent)
                return PosixLogFile(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.ESTALE, f"{path} was removed {_MOST_CREATED} times before it could be locked")


def atomic_write(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, mode 0600: on return that is on the disk, name and bytes; at no time is it a part of it.

    A crash leaves the old content or the new, and perhaps a file `.NAME.*.tmp` beside it.
    Errors: OSError; then the old content stands, or (if the last sync failed) either may.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def truncate(descriptor: int, size: int) -> None:
    """Cut an open file to `size` bytes; on return the cut is on the disk. Errors: OSError."""
    os.ftruncate(descriptor, size)
    os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Return when the names in `directory` (created, renamed, removed) are on the disk. Errors: OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
