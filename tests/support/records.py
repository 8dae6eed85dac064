"""All the records of a running service, wherever they stand at the moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pdp.audit.disk import Folder
from pdp.audit.frame import read_frames
from pdp.audit.leaf import Leaf, parse
from pdp.audit.reader import entries, wal_names


def all_records(state: Path) -> dict[str, Leaf]:
    """Every record by its id. The write-ahead logs are read first: what is gone from there is in the tree by then."""
    found = {leaf.id: leaf for leaf in map(parse, _waiting(state / "wal"))}
    return found | {leaf.id: leaf for leaf in (parse(entry) for _, entry in entries(state / "log"))}


def _waiting(folder: Path) -> Iterator[bytes]:
    files = Folder(folder)
    for name in wal_names(files):

        def read_at(offset: int, size: int, file: str = str(name)) -> bytes:
            return files.read_at(file, offset, size)

        for frame in read_frames(read_at):
            yield from frame.leaves
