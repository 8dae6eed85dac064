"""Names and bytes of the files a log is made of; pure.

    checkpoint                        see checkpoint.py
    tile/<level>/<index>              256 hashes; the last tile of a level that is not full: <index>.p/<width>
    tile/entries/<index>              the records themselves, each with its length in two bytes before it

An index is written in groups of three digits, all but the last with an `x` before them: 1234067 is `x001/x234/067`.
Specification: C2SP tlog-tiles, "Merkle tree", "Tile data" and "Log entries".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from pdp.audit.merkle import HASH_BYTES, TILE_WIDTH, widths
from pdp.errors import PdpError

CHECKPOINT = "checkpoint"
WITNESSED = "witnessed"
"""The file beside the checkpoint that holds the newest one which witnesses cosigned."""

ENTRIES = "entries"
"""Stands where the level of a hash tile stands."""

MAX_ENTRY_BYTES = 0xFFFF


class TileError(PdpError):
    """A file of the log that cannot be used.

    Codes: A621 a bad bundle; A622 a bad tile; A623 a missing file; A624 a record or a write-ahead log out of order.
    """


class TileRef(Struct, frozen=True):
    """One file of the tree: `level` counts from 0 or is "entries"; `width` is 256 where it is full."""

    level: int | str
    index: int
    width: int

    @property
    def full_path(self) -> str:
        """The path that the tile has, or will have, when it is full; relative to the log, with `/`."""
        return f"tile/{self.level}/{index_path(self.index)}"

    @property
    def path(self) -> str:
        """The path of these hashes or entries, relative to the log, with `/`."""
        return self.full_path if self.width == TILE_WIDTH else f"{self.partial_folder}/{self.width}"

    @property
    def partial_folder(self) -> str:
        """The folder that holds the partial forms of this tile."""
        return f"{self.full_path}.p"

    @property
    def records(self) -> tuple[int, int]:
        """The records this file covers: first, and one past the last."""
        each = 1 if isinstance(self.level, str) else TILE_WIDTH**self.level
        first = self.index * TILE_WIDTH * each
        return first, first + self.width * each


def index_path(index: int) -> str:
    """`x001/x234/067` for 1234067. ValueError for a negative index."""
    if index < 0:
        raise ValueError(f"no tile {index}")
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def refs_of_level(level: int | str, size: int) -> Iterator[TileRef]:
    """The files of one level of a tree of `size` records, in order."""
    nodes = size if isinstance(level, str) else size // TILE_WIDTH**level
    for index in range(nodes // TILE_WIDTH):
        yield TileRef(level, index, TILE_WIDTH)
    if nodes % TILE_WIDTH:
        yield TileRef(level, nodes // TILE_WIDTH, nodes % TILE_WIDTH)


def refs_from_the_end(level: int | str, size: int) -> Iterator[TileRef]:
    """The same, the newest first; a size that nobody proved costs nothing until its files are looked for."""
    nodes = size if isinstance(level, str) else size // TILE_WIDTH**level
    if nodes % TILE_WIDTH:
        yield TileRef(level, nodes // TILE_WIDTH, nodes % TILE_WIDTH)
    for index in range(nodes // TILE_WIDTH - 1, -1, -1):
        yield TileRef(level, index, TILE_WIDTH)


def edge_refs(size: int) -> list[TileRef]:
    """The partial hash tiles of a tree of `size` records, lowest level first; width 0 where a level has none."""
    found = []
    for level, width in enumerate(widths(size)):
        found.append(TileRef(level, size // TILE_WIDTH ** (level + 1), width))
    return found


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry after its length, two bytes big-endian. ValueError for an entry too long."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry of {len(entry)} bytes does not fit a bundle")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def parse_bundle(data: bytes, width: int, exact: bool = True) -> tuple[bytes, ...]:
    """The first `width` entries of a bundle; where `exact`, there must be no more.

    Errors: TileError A621 where an entry is cut short or bytes remain.
    """
    entries: list[bytes] = []
    at, end = 0, len(data)
    for number in range(width):
        start = at + 2
        at = end + 1 if start > end else start + (data[start - 2] << 8 | data[start - 1])
        if at > end:
            raise TileError("A621", f"entry {number} of {width} is cut short")
        entries.append(data[start:at])
    if exact and at != end:
        raise TileError("A621", f"{len(data) - at} bytes remain after the last of {width} entries")
    return tuple(entries)


def encode_tile(hashes: Sequence[bytes]) -> bytes:
    """The bytes of a hash tile."""
    return b"".join(hashes)


def parse_tile(data: bytes, width: int, exact: bool = True) -> tuple[bytes, ...]:
    """The first `width` hashes of a tile; where `exact`, there must be no more. Errors: TileError A622."""
    wanted = width * HASH_BYTES
    if len(data) < wanted or (exact and len(data) != wanted):
        raise TileError("A622", f"the tile has {len(data)} bytes instead of {wanted}")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, wanted, HASH_BYTES))
