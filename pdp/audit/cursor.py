"""How far each write-ahead log is in the tree: the sequencer's own memory between two runs.

Positions by file go in, JSON comes out, and back. A position counts leaves, as frames do; the numbers in ids may run
ahead of it. The file holds one entry for the checkpoint on disk and one for the
checkpoint about to be written, so that after a crash between the two the one that counts is there, whichever it is.

INVARIANT: an entry is used only for the checkpoint of its size and root. Where none fits, positions are derived from
the ids of the records in the tree: the cursor is an aid and never evidence.
Design: audit.md 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import orjson
from msgspec import Struct

from pdp.audit import frame as frames
from pdp.audit import ids, leaf
from pdp.audit.reader import WalName
from pdp.errors import StateError

FORMAT = 1

MOST_BYTES = 64 * 1024 * 1024
"""A longer file is no cursor: it would name some 300,000 write-ahead logs."""

_FILE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{8}\.wal\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Position(Struct, frozen=True):
    """A place between two frames: bytes before it, leaves before it, the digest of the frame before it."""

    offset: int
    next_seq: int
    digest: bytes


START = Position(0, 0, frames.GENESIS)


class CursorEntry(Struct, frozen=True):
    """The positions that belong to the tree of `size` records and that `root`."""

    size: int
    root: bytes
    positions: Mapping[str, Position]


def encode_cursor(entries: Iterable[CursorEntry]) -> bytes:
    """The cursor file."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "entries": [
                {
                    "size": entry.size,
                    "root": entry.root.hex(),
                    "files": {name: [p.offset, p.next_seq, p.digest.hex()] for name, p in entry.positions.items()},
                }
                for entry in entries
            ],
        },
        option=orjson.OPT_SORT_KEYS,
    )


def matching_entry(data: bytes, size: int, root: bytes) -> CursorEntry | None:
    """The entry for the checkpoint of that size and root; None where there is none or the file is not a cursor."""
    try:
        stated = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(stated, dict) or stated.get("format") != FORMAT or not isinstance(stated.get("entries"), list):
        return None
    for entry in stated["entries"]:
        if isinstance(entry, dict) and entry.get("size") == size and entry.get("root") == root.hex():
            positions = _positions(entry.get("files"))
            return None if positions is None else CursorEntry(size, root, positions)
    return None


def sequences_of(entries: Iterable[tuple[int, bytes]]) -> dict[WalName, int]:
    """How many leaves of each writer's boot there are, from all records of the tree.

    Errors: StateError A632 where a record has no readable id.
    """
    following: dict[WalName, int] = {}
    for index, entry in entries:
        try:
            place = ids.parse(leaf.parse(entry).id)
        except ValueError as error:
            raise StateError(
                "A632", f"record {index} of the log cannot be read: {error}; run `pdp audit verify`"
            ) from error
        name = WalName(place.writer, place.boot)
        following[name] = following.get(name, 0) + 1
    return following


def position_of(name: str, next_seq: int, read_at: Callable[[int, int], bytes]) -> Position:
    """The position in a write-ahead log before the frame that begins with leaf `next_seq`.

    Errors: StateError A633 where no frame ends there, so that the file is not the one that the tree was made from.
    """
    position = START
    for frame in frames.read_frames(read_at):
        if position.next_seq >= next_seq:
            break
        position = Position(frame.end, frame.next_seq, frame.digest)
    if position.next_seq != next_seq:
        raise StateError(
            "A633", f"wal/{name} does not fit the log, which holds {next_seq} of its records; keep it aside"
        )
    return position


def _positions(files: object) -> dict[str, Position] | None:
    if not isinstance(files, dict):
        return None
    positions: dict[str, Position] = {}
    for name, parts in files.items():
        match parts:
            case [int(offset), int(next_seq), str(digest)] if _FILE.match(name) and _DIGEST.match(digest):
                positions[name] = Position(offset, next_seq, bytes.fromhex(digest))
            case _:
                return None
    return positions
