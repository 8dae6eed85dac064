"""Eight bytes in a file, mapped into every process of a host: whether a shared file has changed, without asking it.

INVARIANT: the number is odd while a write is under way, and stays odd when whoever wrote died of it; an even number
that is the same as before means that nothing was written since. It only grows.

The writer holds the file's lock (flock, which ends with its process), makes the number odd, commits, and makes it even.
A reader that finds it odd asks the shared file at every decision: a crash between the commit and the second step
therefore hides nothing. The next writer, or a reader that gets the lock and so knows that nobody writes, makes it even.

Decision: 2026-11-21. The eight bytes are written when the file is made, not left as a hole: storing into a mapped hole
    on a full disk would end the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_BYTES = 8
_PAUSE_S = 0.005
_MAKING_S = 5.0

Clock = Callable[[], float]
Sleep = Callable[[float], None]


class Generation:
    """The number at `path`, whose file is made where it is missing. Errors: OSError, and ValueError for a file that is
    not ours alone, or not such a file."""

    def __init__(self, path: Path, clock: Clock = time.monotonic, sleep: Sleep = time.sleep) -> None:
        self._path, self._clock, self._sleep = path, clock, sleep
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            self._check(_ours)
            with self._locked(_MAKING_S):
                if os.fstat(self._file).st_size == 0:
                    os.pwrite(self._file, bytes(_BYTES), 0)
            self._check(_whole)
            self._map = mmap.mmap(self._file, _BYTES)
        except BaseException:
            os.close(self._file)
            raise
        self._number = memoryview(self._map).cast("Q")
        self._closed = False

    def current(self) -> int | None:
        """The number; None while a write is under way, or was when its writer died."""
        number = self._number[0]
        return None if number & 1 else number

    @contextlib.contextmanager
    def writing(self, within_s: float) -> Iterator[None]:
        """What is written in the block is found by everyone. Errors: TimeoutError where others write for longer."""
        with self._locked(within_s):
            self._number[0] |= 1
            yield
            self._number[0] += 1

    def settle(self) -> None:
        """Make an odd number even where nobody writes; to be called before the shared file is read."""
        with contextlib.suppress(TimeoutError), self._locked(0.0):
            self._number[0] += self._number[0] & 1

    def is_in_place(self) -> bool:
        """Whether the file at the path is still the one that is mapped."""
        try:
            return os.path.samestat(os.fstat(self._file), self._path.lstat())
        except OSError:
            return False

    def close(self) -> None:
        """Unmap and close. Twice is once."""
        if not self._closed:
            self._closed = True
            self._number.release()
            self._map.close()
            os.close(self._file)

    def _check(self, holds: Callable[[os.stat_result], bool]) -> None:
        if not holds(os.fstat(self._file)):
            raise ValueError(f"{self._path} is no file of {_BYTES} bytes that only we may use: remove it")

    @contextlib.contextmanager
    def _locked(self, within_s: float) -> Iterator[None]:
        end = self._clock() + within_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if self._clock() >= end:
                    raise TimeoutError(f"{self._path} is locked") from None
                self._sleep(_PAUSE_S)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _ours(about: os.stat_result) -> bool:
    return stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077


def _whole(about: os.stat_result) -> bool:
    return about.st_size == _BYTES
