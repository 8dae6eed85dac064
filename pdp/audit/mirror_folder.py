"""The folder that holds a mirror: whose it is, and who writes into it.

    .mirror   {"format":1,"key":…}: this folder is a mirror, of the log with that verifier key
    .lock     held with flock as long as somebody writes; the same that a sequencer holds
    fork/     checkpoints that do not continue this log: evidence, nothing that is read

INVARIANT: nothing is written into a folder that is neither empty nor a mirror of this very log, nor into one that
    another process extends: a live log is never mistaken for a mirror.
SECURITY: the folder is ours, and nobody else may write into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import orjson
from msgspec import Struct

from pdp.audit.disk import Folder, MemberError
from pdp.audit.files import atomic_write
from pdp.errors import StateError

MARK = ".mirror"
LOCK = ".lock"
FORMAT = 1
_MOST_MARK_BYTES = 4_096


class _Mark(Struct, frozen=True):
    format: int
    key: str


class Sparing:
    """A folder in which a file that holds the right bytes already is not written again, but synced."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.read = folder.read
        self.read_at = folder.read_at
        self.length = folder.length
        self.names = folder.names
        self.sync = folder.sync
        self.remove = folder.remove
        self.remove_closed = folder.remove_closed

    def replace(self, files: Mapping[str, bytes]) -> None:
        """See `pdp.audit.disk.Disk`."""
        there = {path for path, data in files.items() if self._holds(path, data)}
        self._folder.replace({path: data for path, data in files.items() if path not in there})
        for path in sorted(there):
            self._folder.sync(path)
        for folder in sorted({path.rpartition("/")[0] for path in there}):
            self._folder.sync(folder)

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self._folder.read(path, len(data)) == data
        except MemberError:
            return False


@contextlib.contextmanager
def held_mirror(root: Path, vkey: str) -> Iterator[Sparing]:
    """Hold the mirror of the log with the verifier key `vkey` for this process; made where there is none yet.

    Errors: StateError A682; MemberError where something else stands in place of the mark.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = root.stat()
        if about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise StateError("A682", f"others may write into {root}, or it is not ours: name a folder of yours")
        folder = Folder(root)
        _mark(root, folder, vkey)
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError("A682", f"{root} cannot hold a mirror: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateError("A682", f"another process writes into {root}: end it first") from error
    try:
        yield Sparing(folder)
    finally:
        os.close(descriptor)


def _mark(root: Path, folder: Folder, vkey: str) -> None:
    data = folder.read(MARK, _MOST_MARK_BYTES)
    if data is None:
        held = [name for name in folder.names("") if not name.startswith(f".{MARK}.")]
        if held:
            raise StateError("A682", f"{root} holds something that is no mirror: name an empty folder, or a new one")
        atomic_write(root / MARK, orjson.dumps({"format": FORMAT, "key": vkey}) + b"\n")
        return
    try:
        mark = msgspec.json.decode(data, type=_Mark)
    except msgspec.DecodeError as error:
        raise StateError("A682", f"{root / MARK} is not the mark of a mirror: name another folder") from error
    if mark.format != FORMAT:
        raise StateError("A682", f"{root} is a mirror of a later version: use that one")
    if mark.key != vkey:
        raise StateError("A682", f"{root} is a mirror under the key {mark.key}, not {vkey}: name another folder")
