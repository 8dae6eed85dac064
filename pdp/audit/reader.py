"""Reading a log that lives: records by place and by id, from the tree and from the write-ahead logs.

A log folder and a write-ahead folder go in, leaf bytes come out. Nothing is proved here: that is `verify`. A tile that
grew while it was looked for is read in its wider form, whose first hashes or entries are the same.

SECURITY: what stands in a folder in place of a file, and a file larger than ours can be, is an error that names it.
INVARIANT: a record is "not there" only when every file that could hold it was read; a missing or broken one raises.
Design: contracts.md "The log, from the first commit"; C2SP tlog-tiles ("Partial tiles").

Decision: 2026-11-21. A search by id is linear, newest bundle first, with a search for the bytes of the id before any
    parsing. An index is a thing of its own and never evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pdp.audit import frame as frames
from pdp.audit import ids, leaf
from pdp.audit.aggregate import AGGREGATE, stands_for
from pdp.audit.archive import Archived, missing_archive
from pdp.audit.checkpoint import MOST_BYTES, unproved_checkpoint
from pdp.audit.disk import Files, Folder, MemberError
from pdp.audit.frame import Frame
from pdp.audit.merkle import HASH_BYTES, TILE_WIDTH
from pdp.audit.tiles import (
    CHECKPOINT,
    ENTRIES,
    MAX_ENTRY_BYTES,
    TileError,
    TileRef,
    parse_bundle,
    refs_from_the_end,
    refs_of_level,
)

MOST_WAL_BYTES = 1024 * 1024 * 1024
"""A longer write-ahead log is none: a writer goes on in another file at a quarter of it."""

_WAL_NAME = re.compile(r"([0-9a-f]{2})-([0-9a-f]{8})\.wal\Z")
_AGGREGATE = f'"{AGGREGATE}"'.encode()
_ATTEMPTS = 8
_MOST_TILE_BYTES = TILE_WIDTH * HASH_BYTES + 1
_MOST_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES) + 1
"""One more than there can be, so that a file which is too long is told from one that is not."""


class WalName(Struct, frozen=True):
    """What the name of a write-ahead log says: `<writer:02x>-<boot:08x>.wal`."""

    writer: int
    boot: int

    def __str__(self) -> str:
        return f"{self.writer:02x}-{self.boot:08x}.wal"


class Fetched(Struct, frozen=True):
    """The bytes of a tile or bundle; not `exact` when they are of a wider form, of which the first part counts."""

    data: bytes
    path: str
    exact: bool


class Found(Struct, frozen=True):
    """A record: its bytes, its index in the tree or "wal", and there the frame that holds it."""

    leaf: bytes
    where: int | Literal["wal"]
    frame: Frame | None


def log_files(log_dir: Path) -> Files:
    """The files of the log in a folder, archived bundles among them."""
    return Archived(Folder(log_dir))


def entries(log_dir: Path) -> Iterator[tuple[int, bytes]]:
    """Every record of the tree with its index, in order, up to the size that the checkpoint claims.

    Errors: TileError for a missing or broken bundle; CheckpointError for an unreadable checkpoint; OSError.
    """
    files = log_files(log_dir)
    for ref in refs_of_level(ENTRIES, tree_size(files)):
        yield from enumerate(read_bundle(files, ref), ref.records[0])


def find(log_dir: Path, wal_dir: Path | None, record_id: str) -> Found | None:
    """The record of that id, or the aggregate in which it stands (by its number: whoever has the key tells whether such
    an id was given), from the tree where it is there, else from the write-ahead log of its writer.

    Errors: ValueError where `record_id` is not an id; TileError A624 where a damaged file may hold it; as `entries`
        besides.
    """
    place = ids.parse(record_id)
    return _find(log_dir, wal_dir, WalName(place.writer, place.boot), place.seq, record_id)


def start_leaf(log_dir: Path, wal_dir: Path | None, boot: int, writer: int) -> Found | None:
    """The first record of a writer's boot, its `log.start`, which states the salt of its boxes. Errors: as `find`."""
    return _find(log_dir, wal_dir, WalName(writer, boot), 0, f"{boot:08x}{writer:02x}{0:010x}")


def tree_size(files: Files) -> int:
    """The size that the checkpoint claims; 0 where there is no checkpoint yet."""
    data = read_checkpoint(files)
    return 0 if data is None else unproved_checkpoint(data).size


def read_checkpoint(files: Files) -> bytes | None:
    """The checkpoint as it stands there, unread; None where there is none. Errors: MemberError; OSError."""
    return files.read(CHECKPOINT, MOST_BYTES)


def read_bundle(files: Files, ref: TileRef) -> tuple[bytes, ...]:
    """The entries of one bundle. Errors: TileError naming the file."""
    fetched = fetch(files, ref)
    if fetched is None:
        first, end = ref.records
        archive = missing_archive(files, ref.path)
        text = "is missing" if archive is None else f"was archived in {archive}, which is missing: bring it back"
        raise TileError("A623", f"{ref.path} with the records {first} to {end - 1} {text}")
    try:
        return parse_bundle(fetched.data, ref.width, exact=fetched.exact)
    except TileError as error:
        raise TileError(error.code, f"{fetched.path}: {error.detail}") from error


def fetch(files: Files, ref: TileRef) -> Fetched | None:
    """A tile or bundle in the width asked for, else in any wider form; None where there is none.

    A sequencer at work removes a narrow form once a wider one is covered by a checkpoint: hence the second looks.
    Errors: MemberError; OSError.
    """
    most = _MOST_BUNDLE_BYTES if isinstance(ref.level, str) else _MOST_TILE_BYTES
    for _ in range(_ATTEMPTS):
        data = files.read(ref.path, most)
        if data is not None:
            return Fetched(data, ref.path, exact=True)
        if ref.width == TILE_WIDTH:
            return None
        wider = [w for w in map(_width, files.names(ref.partial_folder)) if w is not None and w > ref.width]
        paths = [f"{ref.partial_folder}/{w}" for w in wider] + [ref.full_path]
        for path in paths:
            data = files.read(path, most)
            if data is not None:
                return Fetched(data, path, exact=False)
        if not wider:
            return None
    return None


def wal_names(files: Files, folder: str = "") -> list[WalName]:
    """The write-ahead logs of a folder, by writer and boot; other files are passed over."""
    return [found for found in map(wal_name, files.names(folder)) if found is not None]


def wal_name(text: str) -> WalName | None:
    """Read the name of a write-ahead log; None for any other name."""
    match = _WAL_NAME.match(text)
    return None if match is None else WalName(int(match[1], 16), int(match[2], 16))


def wal_length(files: Files, name: str) -> int | None:
    """The bytes of a write-ahead log; None where it is gone. Errors: MemberError, also for one that is too long."""
    length = files.length(name)
    if length is not None and length > MOST_WAL_BYTES:
        raise MemberError(name, f"it has {length} bytes, a write-ahead log of ours has at most {MOST_WAL_BYTES}")
    return length


def _width(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdecimal() and 0 < int(name) < TILE_WIDTH else None


def _find(log_dir: Path, wal_dir: Path | None, name: WalName, seq: int, prefix: str) -> Found | None:
    """The tree, the write-ahead log, and what the tree took over from it in the meantime."""
    files = log_files(log_dir)
    size = tree_size(files)
    found = _find_in_tree(files, 0, size, prefix)
    if found is None and wal_dir is not None:
        found = _find_in_wal(Folder(wal_dir), str(name), seq, prefix)
        if found is None:
            found = _find_in_tree(files, size, tree_size(files), prefix)
    return found


def _find_in_tree(files: Files, first: int, size: int, prefix: str) -> Found | None:
    needle = prefix.encode()
    for ref in refs_from_the_end(ENTRIES, size):
        if ref.records[1] <= first:
            return None
        for offset, entry in enumerate(read_bundle(files, ref)):
            index = ref.records[0] + offset
            if _is_wanted(entry, prefix, needle, f"record {index}"):
                return Found(entry, index, None)
    return None


def _find_in_wal(files: Files, name: str, seq: int, prefix: str) -> Found | None:
    def read_at(offset: int, size: int) -> bytes:
        return files.read_at(name, offset, size)

    wal_length(files, name)
    needle, end = prefix.encode(), 0
    for frame in frames.read_frames(read_at):
        if frame.first_seq > seq:  # no leaf stands in its file beyond its own number
            return None
        end = frame.end
        for at, entry in enumerate(frame.leaves, frame.first_seq):
            if _is_wanted(entry, prefix, needle, f"{name}, leaf {at}"):
                return Found(entry, "wal", frame)
    if frames.has_frame_after(read_at, end):
        raise TileError("A624", f"{name} is damaged after {end} bytes, before the record could be reached")
    return None


def _is_wanted(entry: bytes, prefix: str, needle: bytes, place: str) -> bool:
    """Whether the record's own id begins so (an id that it mentions, `of`, `cx`, is not its own), or the record stands
    for the one of that id.
    """
    if needle not in entry and _AGGREGATE not in entry:
        return False
    try:
        record = leaf.parse(entry)
    except leaf.LeafError as error:
        raise TileError("A624", f"{place} may be what is looked for, and cannot be read: {error}") from error
    if record.id.startswith(prefix):
        return True
    return ids.is_shaped(prefix) and stands_for(record, ids.parse(record.id), ids.parse(prefix))
