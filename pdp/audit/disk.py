"""The files of a state folder as the log's tree sees them: a small interface to read, a larger one to write.

Paths are relative to a root, with `/`. `Files` is all that verifying and reading need; `Disk` adds what the sequencer
needs, each operation with its promise about power cuts.

INVARIANT: a file written by `replace` is, at every moment and after a power cut, whole (old or new) or absent.
Design: audit.md 4.1 ("temp, fsync, rename, dir fsync").
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

TEMPORARY = ".new"
"""Ends the name of a file that is not whole yet; readers pass over it."""


class Files(Protocol):
    """Reading. Every operation raises OSError for any failure but absence."""

    def read(self, path: str) -> bytes | None:
        """The whole file; None where there is none."""
        ...

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """The bytes there, fewer only at the end of the file; none where there is no file."""
        ...

    def length(self, path: str) -> int | None:
        """The bytes of the file; None where there is none."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """The names in a folder, sorted; none where there is no folder."""
        ...


class Disk(Files, Protocol):
    """Reading, and writing that lasts."""

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Write each file whole, making its folders; on return all of it survives a power cut.

        When it raises, any of the files may be the new one, the old one, or absent if it was.
        """
        ...

    def sync(self, path: str) -> None:
        """On return what the file (or folder) holds now survives a power cut. Never retry on a file that failed."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with its files; absence is no error. It may come back after a power cut."""
        ...

    def is_free(self, path: str) -> bool:
        """Whether that lock file is there and no process holds its lock (flock)."""
        ...


class Folder:
    """`Disk` in a folder of this machine. Files get mode 0600, folders 0700."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        """See `Files`."""
        try:
            return (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `Files`."""
        try:
            with (self._root / path).open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return b""

    def length(self, path: str) -> int | None:
        """See `Files`."""
        try:
            return (self._root / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, folder: str) -> tuple[str, ...]:
        """See `Files`."""
        try:
            return tuple(sorted(entry.name for entry in (self._root / folder).iterdir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def replace(self, files: Mapping[str, bytes]) -> None:
        """See `Disk`. All are written, then all synced, then all renamed, then each folder synced once."""
        folders: dict[Path, None] = {}
        for path in files:
            self._make_folder((self._root / path).parent, folders)
        temporary = {self._root / path: self._root / f"{path}{TEMPORARY}" for path in files}
        for (target, new), data in zip(temporary.items(), files.values(), strict=True):
            _write_synced(new, data)
            folders[target.parent] = None
        for target, new in temporary.items():
            new.replace(target)
        for folder in folders:
            _sync(folder)

    def sync(self, path: str) -> None:
        """See `Disk`."""
        _sync(self._root / path)

    def remove(self, path: str) -> None:
        """See `Disk`."""
        target = self._root / path
        if target.is_dir():
            for entry in target.iterdir():
                entry.unlink(missing_ok=True)
            target.rmdir()
        else:
            target.unlink(missing_ok=True)

    def is_free(self, path: str) -> bool:
        """See `Disk`. The lock is taken for a moment to find out, so ask only about a writer that seems gone."""
        try:
            descriptor = os.open(self._root / path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _make_folder(self, folder: Path, touched: dict[Path, None]) -> None:
        """Make a folder and those above it; each one made changes the one above it, which needs a sync of its own."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent, touched)
        folder.mkdir(mode=0o700, exist_ok=True)
        touched[folder.parent] = None


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
