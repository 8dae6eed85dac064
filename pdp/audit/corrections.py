"""Whether another answer left than a record states: the `answer.changed` record that names it.

A log folder, a write-ahead folder and a record's id go in; the id of the correction comes out, or None. Linear, like
every search here: an index is a thing of its own. Nothing is proved: that is `verify`.
Design: contracts.md "An answer that leaves otherwise than recorded".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from pdp.audit.disk import Folder
from pdp.audit.frame import read_frames
from pdp.audit.leaf import LeafError, parse
from pdp.audit.reader import entries

KIND = "answer.changed"


class Correction(Struct, frozen=True):
    """The record that says what left instead: its id, and who decided so and why."""

    id: str
    by: str
    reason: str


def correction_of(log_dir: Path, wal_dir: Path | None, record_id: str) -> Correction | None:
    """What corrects the record `record_id`; `wal_dir` is None for a copy or a mirror, which is its tree.

    Errors: those of `pdp.audit.reader.entries`.
    """
    wanted = f'"of":"{record_id}"'.encode()
    for leaf in _leaves(log_dir, wal_dir):
        if wanted in leaf and (found := _named(leaf, record_id)) is not None:
            return found
    return None


def _leaves(log_dir: Path, wal_dir: Path | None) -> Iterator[bytes]:
    """Every record of the tree, then every whole record of the write-ahead logs; some come twice."""
    for _, leaf in entries(log_dir):
        yield leaf
    if wal_dir is None:
        return
    files = Folder(wal_dir)
    for path in sorted(wal_dir.glob("*.wal")):

        def read_at(offset: int, size: int, name: str = path.name) -> bytes:
            return files.read_at(name, offset, size)

        for frame in read_frames(read_at):
            yield from frame.leaves


def _named(data: bytes, record_id: str) -> Correction | None:
    try:
        leaf = parse(data)
    except LeafError:
        return None
    if leaf.kind != KIND or leaf.clear.get("of") != record_id:
        return None
    by, reason = leaf.clear.get("by"), leaf.clear.get("rc")
    return Correction(leaf.id, str(by[0]) if isinstance(by, list) and by else "", str(reason))
