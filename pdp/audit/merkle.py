"""The Merkle tree of RFC 6962: hashes in, roots and proofs out; pure.

`Edge` is a tree that only grows, held by its right edge: what a log needs to be extended or to be checked record by
record, at most 255 hashes a level, in tiles of C2SP tlog-tiles (height 8).

INVARIANT: after n calls of `Edge.append`, `Edge.root()` is the Merkle Tree Hash of those n leaf hashes.
Specification: RFC 6962 2.1 (hashes), 2.1.1 (audit paths); RFC 9162 2.1.3.2 (verifying them); C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import count

from msgspec import Struct, field

from pdp.errors import PdpError

HASH_BYTES = 32
TILE_WIDTH = 256
"""Hashes in a full tile, and entries in a full bundle."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree of no records."""


class ProofError(PdpError):
    """A proof that proves nothing. Codes: A611 wrong length; A612 the root it leads to is another."""


class Tile(Struct, frozen=True):
    """The hashes of tile `index` of `level`: 1 to 256, each the root of a full subtree of 256**level records."""

    level: int
    index: int
    hashes: tuple[bytes, ...]


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one record. Source: RFC 6962 2.1."""
    return sha256(b"\x00" + leaf).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> tuple[bytes, ...]:
    """The hash of each of several records."""
    begun = sha256(b"\x00").copy
    hashes: list[bytes] = []
    for leaf in leaves:
        running = begun()
        running.update(leaf)
        hashes.append(running.digest())
    return tuple(hashes)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node. Source: RFC 6962 2.1."""
    return sha256(b"\x01" + left + right).digest()


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """The root over `hashes`, each already a leaf hash or the root of a full subtree of one size."""
    folded = None
    for peak in _peaks(hashes):
        folded = peak if folded is None else node_hash(peak, folded)
    return EMPTY_ROOT if folded is None else folded


def inclusion_proof(hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index` in the tree over the leaf hashes `hashes`, leaf end first.

    Errors: ValueError where there is no such leaf. Source: RFC 6962 2.1.1.
    """
    if not 0 <= index < len(hashes):
        raise ValueError(f"no leaf {index} in a tree of {len(hashes)}")
    path: list[bytes] = []
    while len(hashes) > 1:
        split = 1 << (len(hashes) - 1).bit_length() - 1
        left, right = hashes[:split], hashes[split:]
        if index < split:
            path.append(subtree_root(right))
            hashes = left
        else:
            path.append(subtree_root(left))
            hashes, index = right, index - split
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` is record `index` of the log of `size` records whose root is `root`.

    Shapes: `leaf` any length, hashed here with the 0x00 prefix; `root` 32 bytes; `proof` k hashes of 32 bytes, leaf
        end first, k fixed by `index` and `size` (k = 0 when `size` is 1).
    Units: `index` and `size` count records; 0 <= index < size.
    Errors: ProofError A611 wrong length of `proof` or of a hash; A612 computed root differs. ValueError only for a
        caller's mistake (index out of range). Returns None: silence is proof.
    Source: RFC 6962 2.1.1; the algorithm of RFC 9162 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ValueError(f"no record {index} in a log of {size}")
    if any(len(part) != HASH_BYTES for part in proof):
        raise ProofError("A611", "the proof has a hash that is not 32 bytes long")
    node, last = index, size - 1
    running = leaf_hash(leaf)
    for part in proof:
        if last == 0:
            raise ProofError("A611", f"the proof of {len(proof)} hashes is too long for record {index} of {size}")
        if node & 1 or node == last:
            running = node_hash(part, running)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            running = node_hash(running, part)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofError("A611", f"the proof of {len(proof)} hashes is too short for record {index} of {size}")
    if running != root:
        raise ProofError("A612", f"the proof does not lead from record {index} to the root")


class Edge(Struct):
    """The right edge of a growing tree: for each level the hashes of its last, not yet full tile."""

    size: int = 0
    _levels: list[list[bytes]] = field(default_factory=lambda: [[]])

    @classmethod
    def of_tiles(cls, size: int, levels: Sequence[Sequence[bytes]]) -> Edge:
        """The edge of a tree of `size` records from the partial tiles of its levels (see `widths`), lowest first.

        Errors: ValueError where they are not as many and as wide as the size demands.
        """
        if [len(hashes) for hashes in levels] != widths(size):
            raise ValueError(f"these are not the partial tiles of a tree of {size} records")
        return cls(size, [list(hashes) for hashes in levels] or [[]])

    def copy(self) -> Edge:
        """A second edge of the same tree, which grows by itself."""
        return Edge(self.size, [list(hashes) for hashes in self._levels])

    def append(self, hashed: bytes) -> list[Tile]:
        """Add the hash of the next leaf; the tiles that it filled, lowest first, are given out and forgotten."""
        return self.extend((hashed,))

    def extend(self, hashes: Sequence[bytes]) -> list[Tile]:
        """Add the hashes of the next leaves; the tiles that they filled, as each did, are given out and forgotten."""
        filled: list[Tile] = []
        at = 0
        while at < len(hashes):
            lowest = self._levels[0]
            added = hashes[at : at + TILE_WIDTH - len(lowest)]
            lowest += added
            at += len(added)
            self.size += len(added)
            if len(lowest) == TILE_WIDTH:
                filled += self._take_filled()
        return filled

    def _take_filled(self) -> Iterator[Tile]:
        """Take out the lowest tile, which is full, and each above it that is full now with its root."""
        index = self.size // TILE_WIDTH - 1
        for level in count():
            hashes = self._levels[level]
            if len(hashes) < TILE_WIDTH:
                return
            yield Tile(level, index, tuple(hashes))
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(subtree_root(hashes))
            hashes.clear()
            index //= TILE_WIDTH

    def partial_tiles(self) -> Iterator[Tile]:
        """The tiles that are not full, lowest level first; a level whose last tile is full has none."""
        for level, hashes in enumerate(self._levels):
            if hashes:
                yield Tile(level, self.size // TILE_WIDTH ** (level + 1), tuple(hashes))

    def root(self) -> bytes:
        """The root of the tree as it stands. Source: RFC 6962 2.1."""
        folded = None
        for hashes in self._levels:
            for peak in _peaks(hashes):
                folded = peak if folded is None else node_hash(peak, folded)
        return EMPTY_ROOT if folded is None else folded


def widths(size: int) -> list[int]:
    """How many hashes the last tile of each level has beyond its full ones, lowest level first; [] for size 0."""
    found: list[int] = []
    while size:
        found.append(size % TILE_WIDTH)
        size //= TILE_WIDTH
    return found


def _peaks(hashes: Sequence[bytes]) -> Iterator[bytes]:
    """The roots of the full subtrees that make up `hashes`, from the right (smallest) to the left."""
    end = len(hashes)
    while end:
        width = end & -end
        nodes = list(hashes[end - width : end])
        while len(nodes) > 1:
            each = iter(nodes)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in zip(each, each, strict=True)]
        yield nodes[0]
        end -= width
