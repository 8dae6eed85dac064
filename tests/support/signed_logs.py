"""Logs made by hand: the files of a tree over any leaves at all, under a good signature."""

from __future__ import annotations

from collections.abc import Sequence

from pdp.audit.checkpoint import sign_checkpoint
from pdp.audit.merkle import TILE_WIDTH, Edge, leaf_hashes
from pdp.audit.tiles import ENTRIES, TileRef, encode_bundle, encode_tile
from tests.support.logs import KEY, ORIGIN, Faults, MemoryDisk


def signed_files(leaves: Sequence[bytes]) -> dict[str, bytes]:
    """The checkpoint, tiles and bundles of a log of these leaves, by path."""
    edge = Edge()
    files: dict[str, bytes] = {}
    for tile in (*edge.extend(leaf_hashes(leaves)), *edge.partial_tiles()):
        files[TileRef(tile.level, tile.index, len(tile.hashes)).path] = encode_tile(tile.hashes)
    for first in range(0, len(leaves), TILE_WIDTH):
        part = leaves[first : first + TILE_WIDTH]
        files[TileRef(ENTRIES, first // TILE_WIDTH, len(part)).path] = encode_bundle(part)
    files["checkpoint"] = sign_checkpoint(ORIGIN, len(leaves), edge.root(), KEY)
    return files


def disk_of(files: dict[str, bytes], faults: Faults | None = None) -> MemoryDisk:
    """These files on a disk in memory, all of them durable."""
    disk = MemoryDisk(faults or Faults())
    disk.files = dict(files)
    disk.durable = dict(files)
    return disk
