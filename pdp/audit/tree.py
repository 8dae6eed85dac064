"""The tree on disk, as the one process that extends it holds it.

Leaves come in, tile files go out: full ones when they fill, the partial ones of the right edge when a checkpoint is
about to cover them. What is on disk beyond the checkpoint is of no account and is written again after a crash.

INVARIANT: a tree is opened only where its own files lead to the root of its checkpoint; a damaged log is not extended.
INVARIANT: when `write_edge` has returned, every record up to `size` and every hash over them survives a power cut.
INVARIANT: a partial form is removed only once a checkpoint that does not need it survives a power cut.
Specification: C2SP tlog-tiles ("Partial tiles"); RFC 6962 2.1. Design: audit.md 4.1, 4.4.

Decision: 2026-11-21. A partial form that cannot be removed stays, and nothing fails for it: readers pass over it. What
    a killed predecessor left is looked for among the last thousand files of each level: it lies between the last two
    checkpoints, one second apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

from pdp.audit.checkpoint import Checkpoint
from pdp.audit.disk import Disk
from pdp.audit.merkle import TILE_WIDTH, Edge, Tile, leaf_hashes, widths
from pdp.audit.reader import fetch, read_bundle
from pdp.audit.tiles import (
    ENTRIES,
    TileError,
    TileRef,
    edge_refs,
    encode_bundle,
    encode_tile,
    parse_tile,
)
from pdp.errors import StateError

_NAMES = 1000
"""Files of one folder, C2SP tlog-tiles."""


class Tree:
    """The growing tree of one log; after an exception it is of no use any more."""

    def __init__(self, disk: Disk, edge: Edge, pending: Iterable[bytes]) -> None:
        """`edge` and `pending` (the entries of the last, not full bundle) are of the tree as it stands on `disk`."""
        self._disk = disk
        self._edge = edge
        self._pending = list(pending)
        self._filled: list[TileRef] = []

    @property
    def size(self) -> int:
        """The records in the tree."""
        return self._edge.size

    def root(self) -> bytes:
        """The RFC 6962 root over them."""
        return self._edge.root()

    def append(self, leaves: Iterable[bytes]) -> None:
        """Add leaves in order and write the tiles and bundles they filled. Errors: OSError."""
        files: dict[str, bytes] = {}
        coming = iter(leaves)
        while added := list(islice(coming, TILE_WIDTH - len(self._pending))):
            self._pending += added
            for tile in self._edge.extend(leaf_hashes(added)):
                self._fill(files, _ref(tile), encode_tile(tile.hashes))
            if len(self._pending) == TILE_WIDTH:
                index = self._edge.size // TILE_WIDTH - 1
                self._fill(files, TileRef(ENTRIES, index, TILE_WIDTH), encode_bundle(self._pending))
                self._pending.clear()
        if files:
            self._disk.replace(files)

    def _fill(self, files: dict[str, bytes], ref: TileRef, data: bytes) -> None:
        files[ref.path] = data
        self._filled.append(ref)

    def write_edge(self) -> None:
        """Write the tiles and the bundle that are not full, so that a checkpoint may cover them. Errors: OSError."""
        files = {_ref(tile).path: encode_tile(tile.hashes) for tile in self._edge.partial_tiles()}
        if self._pending:
            files[self._bundle_ref().path] = encode_bundle(self._pending)
        if files:
            self._disk.replace(files)

    def remove_superseded(self) -> None:
        """Remove partial forms that are not needed by the checkpoint on disk, which is of this size.

        One that cannot be removed stays; see `remove_left`.
        """
        for ref in self._filled:
            self._remove(ref.partial_folder)
        self._filled.clear()
        needed = [_ref(tile) for tile in self._edge.partial_tiles()]
        if self._pending:
            needed.append(self._bundle_ref())
        for ref in needed:
            for name in self._disk.names(ref.partial_folder):
                if name != str(ref.width):
                    self._remove(f"{ref.partial_folder}/{name}")

    def remove_left(self) -> None:
        """Remove the same of what a predecessor left behind that ended before it could: near the edge, where it was.

        The checkpoint on disk, which is of this size, must survive a power cut. Errors: OSError.
        """
        levels: list[tuple[int | str, int]] = [(ENTRIES, self.size // TILE_WIDTH)]
        levels += [(level, self.size // TILE_WIDTH ** (level + 1)) for level in range(len(widths(self.size)))]
        for level, full in levels:
            for first in {max(0, full - _NAMES) // _NAMES * _NAMES, full // _NAMES * _NAMES}:
                folder, _, _ = TileRef(level, first, TILE_WIDTH).full_path.rpartition("/")
                self._remove_partial(folder, range(first, min(full, first + _NAMES)))
        self.remove_superseded()

    def _remove_partial(self, folder: str, filled: range) -> None:
        wanted = {f"{index % _NAMES:03d}.p" for index in filled}
        for name in wanted.intersection(self._disk.names(folder)):
            self._remove(f"{folder}/{name}")

    def _remove(self, path: str) -> None:
        with suppress(OSError):
            self._disk.remove(path)

    def _bundle_ref(self) -> TileRef:
        return TileRef(ENTRIES, self._edge.size // TILE_WIDTH, len(self._pending))


def open_tree(disk: Disk, checkpoint: Checkpoint) -> Tree:
    """The tree of that checkpoint, from its files.

    Errors: StateError A631 where they are missing, broken, or lead to another root; OSError.
    """
    try:
        edge = Edge.of_tiles(checkpoint.size, [_hashes(disk, ref) for ref in edge_refs(checkpoint.size)])
        width = checkpoint.size % TILE_WIDTH
        pending = read_bundle(disk, TileRef(ENTRIES, checkpoint.size // TILE_WIDTH, width)) if width else ()
    except TileError as error:
        raise StateError("A631", f"the log cannot be extended: {error.detail}; run `pdp audit verify`") from error
    last = next((tile.hashes for tile in edge.partial_tiles() if tile.level == 0), ())
    if edge.root() != checkpoint.root or leaf_hashes(pending) != last:
        raise StateError("A631", "the log cannot be extended: it differs from its checkpoint; run `pdp audit verify`")
    return Tree(disk, edge, pending)


def _hashes(disk: Disk, ref: TileRef) -> tuple[bytes, ...]:
    if ref.width == 0:
        return ()
    fetched = fetch(disk, ref)
    if fetched is None:
        raise TileError("A623", f"{ref.path} is missing")
    return parse_tile(fetched.data, ref.width, exact=fetched.exact)


def _ref(tile: Tile) -> TileRef:
    return TileRef(tile.level, tile.index, len(tile.hashes))
