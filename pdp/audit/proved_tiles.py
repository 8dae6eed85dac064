"""Tiles and bundles of a log that somebody serves, each proved against a signed root before it is used.

Files, a size and a root go in; hashes and records come out that lead to that root, or an error.

INVARIANT: what comes out is what the root stands for: the partial tiles of the right edge lead to it together, and a
    full tile or bundle has the root that the tile above it states. Nothing else of the server is believed.
Specification: RFC 6962 2.1; C2SP tlog-tiles ("Merkle tree", "Partial tiles").
"""

from __future__ import annotations

from pdp.audit.checkpoint import Checkpoint
from pdp.audit.merkle import HASH_BYTES, TILE_WIDTH, Edge, leaf_hash, subtree_root, widths
from pdp.audit.mirror_source import Served
from pdp.audit.tiles import (
    MAX_ENTRY_BYTES,
    TileError,
    TileRef,
    edge_refs,
    parse_bundle,
    parse_tile,
)

_MOST_TILE_BYTES = TILE_WIDTH * HASH_BYTES
_MOST_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)


class MissingError(TileError):
    """There is no such file. Code A623."""

    def __init__(self, path: str) -> None:
        super().__init__("A623", f"{path} is missing")


class ProvedTiles:
    """The tree of one checkpoint, from the files that somebody serves."""

    def __init__(self, served: Served, checkpoint: Checkpoint) -> None:
        """Errors: TileError A622 where the edge does not lead to the root; MissingError; as `Served` besides."""
        self._served = served
        self._size = checkpoint.size
        refs = edge_refs(checkpoint.size)
        self._edge = [self._tile(ref) if ref.width else () for ref in refs]
        if Edge.of_tiles(checkpoint.size, self._edge).root() != checkpoint.root:
            raise TileError("A622", f"its tiles do not lead to the root that is signed for {checkpoint.size} records")
        self._last: dict[int, tuple[int, tuple[bytes, ...]]] = {}

    def root_of_first(self, count: int) -> bytes:
        """The root over the first `count` records. Errors: as the constructor; ValueError for more than there are."""
        if not 0 <= count <= self._size:
            raise ValueError(f"a log of {self._size} records has no first {count}")
        levels = []
        for level, width in enumerate(widths(count)):
            index = count // TILE_WIDTH ** (level + 1)
            levels.append(self._hashes(level, index)[:width] if width else ())
        return Edge.of_tiles(count, levels).root()

    def bundle(self, ref: TileRef, served: Served) -> tuple[bytes, ...]:
        """The entries of a bundle of this tree, from any files, proved.

        Errors: TileError A621 where its records are not those of the tree; MissingError; as the constructor besides.
        """
        data, exact = self._read(ref, served)
        try:
            entries = parse_bundle(data, ref.width, exact)
        except TileError as error:
            raise TileError(error.code, f"{ref.path}: {error.detail}") from error
        hashes = tuple(map(leaf_hash, entries))
        stated = self._edge[0] if ref.width < TILE_WIDTH else (self._node(1, ref.index),)
        if (hashes if ref.width < TILE_WIDTH else (subtree_root(hashes),)) != stated:
            raise TileError("A621", f"{ref.path}: its records are not those that are signed")
        return entries

    def _node(self, level: int, index: int) -> bytes:
        """Hash `index` of a level."""
        return self._hashes(level, index // TILE_WIDTH)[index % TILE_WIDTH]

    def _hashes(self, level: int, index: int) -> tuple[bytes, ...]:
        """The hashes of a tile; of each level the last one is kept, since they are asked for in their order."""
        if index == self._size // TILE_WIDTH ** (level + 1):
            return self._edge[level]
        known = self._last.get(level)
        if known is not None and known[0] == index:
            return known[1]
        ref = TileRef(level, index, TILE_WIDTH)
        hashes = self._tile(ref)
        if subtree_root(hashes) != self._node(level + 1, index):
            raise TileError("A622", f"{ref.path}: its hashes are not those that are signed")
        self._last[level] = (index, hashes)
        return hashes

    def _tile(self, ref: TileRef) -> tuple[bytes, ...]:
        data, exact = self._read(ref, self._served)
        try:
            return parse_tile(data, ref.width, exact)
        except TileError as error:
            raise TileError(error.code, f"{ref.path}: {error.detail}") from error

    def _read(self, ref: TileRef, served: Served) -> tuple[bytes, bool]:
        """A file in the width wanted, or the full one of which it is the beginning; whether it is the former."""
        most = _MOST_BUNDLE_BYTES if isinstance(ref.level, str) else _MOST_TILE_BYTES
        data = served.read(ref.path, most)
        if data is not None:
            return data, True
        data = served.read(ref.full_path, most) if ref.width < TILE_WIDTH else None
        if data is None:
            raise MissingError(ref.path)
        return data, False
