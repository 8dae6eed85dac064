"""The files of a state folder as the log's tree sees them: a small interface to read, a larger one to write.

Paths are relative to a root, with `/`. `Files` is all that verifying and reading need; `Disk` adds what the sequencer
needs, each operation with its promise about power cuts.

INVARIANT: a file written by `replace` is, at every moment and after a power cut, whole (old or new) or absent.
SECURITY: a log folder may be anybody's. Nothing is opened through a link, nothing is waited for, nothing is read that
is not a file or is larger than what the caller can use.
Design: audit.md 4.1 ("temp, fsync, rename, dir fsync").

Decision: 2026-11-21. Only the file itself must not be a link; the folders above it may be, since an operator puts them
    on other disks. What is read through them is judged like anything else.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from pdp.audit.tiles import TileError

TEMPORARY = ".new"
"""Ends the name of a file that is not whole yet; readers pass over it."""

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE_BYTES = 1024 * 1024
_PROBE_BYTES = 4096


class MemberError(TileError):
    """What stands at `path` is not a file that a log has; `text` says what it is.

    Code A623: in place of the file that should be there.
    """

    def __init__(self, path: str, text: str) -> None:
        super().__init__("A623", f"{path}: {text}")
        self.path = path
        self.text = text


class Files(Protocol):
    """Reading. Every operation but `names` raises MemberError for a folder, a link, a pipe, a device or a socket at the
    path, and OSError for any other failure but absence."""

    def read(self, path: str, most: int) -> bytes | None:
        """The whole file; None where there is none. MemberError where it has more than `most` bytes."""
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

    def remove_closed(self, path: str, length: int) -> bool:
        """Remove a file where it has that length and no process holds its lock (flock); whether it was removed.

        The lock is held meanwhile, so that whoever writes only under it writes to no removed file.
        """
        ...


class Folder:
    """`Disk` in a folder of this machine. Files get mode 0600, folders 0700."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str, most: int) -> bytes | None:
        """See `Files`."""
        with self._opened(path) as descriptor:
            if descriptor is None:
                return None
            pieces, left = [], most + 1
            ahead = os.fstat(descriptor).st_size  # what is asked for beyond that costs more than reading does
            while left and (piece := os.read(descriptor, min(left, _PIECE_BYTES, max(ahead, _PROBE_BYTES)))):
                pieces.append(piece)
                left -= len(piece)
                ahead -= len(piece)
        if not left:
            raise MemberError(path, f"it has more than {most} bytes, no file of ours in its place has so many")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `Files`."""
        with self._opened(path) as descriptor:
            if descriptor is None:
                return b""
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                file.seek(offset)
                return file.read(size)

    def length(self, path: str) -> int | None:
        """See `Files`."""
        try:
            about = (self._root / path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        _check_regular(path, about.st_mode)
        return about.st_size

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
        _sync(self._root / path, os.O_NOFOLLOW | os.O_NONBLOCK if path else 0)

    def remove(self, path: str) -> None:
        """See `Disk`."""
        target = self._root / path
        if target.is_dir() and not target.is_symlink():
            for entry in target.iterdir():
                entry.unlink(missing_ok=True)
            target.rmdir()
        else:
            target.unlink(missing_ok=True)

    def remove_closed(self, path: str, length: int) -> bool:
        """See `Disk`."""
        target = self._root / path
        with self._opened(path) as descriptor:
            if descriptor is None:
                return False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # held, or a file system without locks: then nobody can tell, and the file stays
                return False
            about = os.fstat(descriptor)
            if about.st_size != length or not _is_at(target, about):
                return False
            target.unlink()
        return True

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int | None]:
        """The file for reading, None where there is nothing. Errors: as `Files`."""
        descriptor = self._open(path)
        try:
            if descriptor is not None:
                _check_regular(path, os.fstat(descriptor).st_mode)
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _open(self, path: str) -> int | None:
        target = self._root / path
        try:
            return os.open(target, _READING)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise MemberError(path, "it is a link, not a file") from error
            _check_regular(path, target.lstat().st_mode)
            raise

    def _make_folder(self, folder: Path, touched: dict[Path, None]) -> None:
        """Make a folder and those above it; each one made changes the one above it, which needs a sync of its own."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent, touched)
        folder.mkdir(mode=0o700, exist_ok=True)
        touched[folder.parent] = None


def _is_at(path: Path, about: os.stat_result) -> bool:
    try:
        return os.path.samestat(about, path.lstat())
    except FileNotFoundError:
        return False


def _check_regular(path: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    raise MemberError(path, f"it is a {kinds.get(stat.S_IFMT(mode), 'device')}, not a file")


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
