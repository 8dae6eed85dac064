"""Proofs from the tiles of a log: that a record is in it, and that it only grew; and the check of the second.

The files of a log, a size and an index go in, hashes come out. Nothing is believed of the files: a proof from damaged
tiles is a wrong proof, and whoever checks it against a signed root finds that.

Specification: RFC 6962 2.1.1 (audit paths), 2.1.2 (consistency); RFC 9162 2.1.4.2 (verifying it); C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

from pdp.audit.disk import Files
from pdp.audit.merkle import EMPTY_ROOT, HASH_BYTES, TILE_WIDTH, ProofError, node_hash, subtree_root
from pdp.audit.reader import fetch
from pdp.audit.tiles import TileError, TileRef, parse_tile

_LEVEL_BITS = 8
"""A tile is so many levels of the tree high."""


def inclusion_path(files: Files, index: int, size: int) -> tuple[bytes, ...]:
    """The audit path of record `index` in the tree of `size` records, leaf end first.

    Errors: ValueError where there is no such record; TileError A622, A623; MemberError; OSError.
    Source: RFC 6962 2.1.1.
    """
    if not 0 <= index < size:
        raise ValueError(f"no record {index} in a log of {size}")
    tree = _Tree(files, size)
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        split = begin + _split(end - begin)
        if index < split:
            path.append(tree.root(split, end))
            end = split
        else:
            path.append(tree.root(begin, split))
            begin = split
    return tuple(reversed(path))


def consistency_path(files: Files, old: int, size: int) -> tuple[bytes, ...]:
    """The proof that the tree of `size` records begins with the tree of `old`; empty where `old` is 0 or `size`.

    Errors: ValueError where `old` is more than `size`; TileError A622, A623; MemberError; OSError.
    Source: RFC 6962 2.1.2.
    """
    if not 0 <= old <= size:
        raise ValueError(f"a log of {size} records does not continue one of {old}")
    if old in {0, size}:
        return ()
    tree = _Tree(files, size)
    path: list[bytes] = []
    begin, end = 0, size
    while end != old:
        split = begin + _split(end - begin)
        if old <= split:
            path.append(tree.root(split, end))
            end = split
        else:
            path.append(tree.root(begin, split))
            begin = split
    if begin:
        path.append(tree.root(begin, end))
    return tuple(reversed(path))


def root_of_first(files: Files, count: int, size: int) -> bytes:
    """The root over the first `count` records, from the tiles of the tree of `size`. Errors: as `consistency_path`."""
    if not 0 <= count <= size:
        raise ValueError(f"a log of {size} records has no first {count}")
    return _Tree(files, size).root(0, count) if count else EMPTY_ROOT


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of `size` records with `root` begins with the tree of `old` records with `old_root`.

    Shapes: both roots 32 bytes; `path` hashes of 32 bytes as RFC 6962 2.1.2 orders them, none where `old` is 0 or
        `size`.
    Units: `old` and `size` count records; 0 <= old <= size.
    Errors: ProofError A611 wrong length; A612 another root. ValueError only for a caller's mistake. Returns None.
    Source: RFC 9162 2.1.4.2.
    """
    if not 0 <= old <= size:
        raise ValueError(f"a log of {size} records does not continue one of {old}")
    if any(len(part) != HASH_BYTES for part in path):
        raise ProofError("A611", "the proof has a hash that is not 32 bytes long")
    if old in {0, size}:
        _verify_trivial(old, old_root, size, root, path)
        return
    parts = list(path) if old & (old - 1) else [old_root, *path]
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if not parts:
        raise ProofError("A611", f"there is no proof that {size} records continue {old}")
    first_root = second_root = parts[0]
    for part in parts[1:]:
        if last == 0:
            raise ProofError("A611", f"the proof of {len(path)} hashes is too long for {old} of {size} records")
        if node & 1 or node == last:
            first_root, second_root = node_hash(part, first_root), node_hash(part, second_root)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            second_root = node_hash(second_root, part)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofError("A611", f"the proof of {len(path)} hashes is too short for {old} of {size} records")
    if (first_root, second_root) != (old_root, root):
        raise ProofError("A612", f"the proof does not lead from {old} records to the root of {size}")


def _verify_trivial(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Nothing continues nothing, and every tree itself: without a hash."""
    if path:
        raise ProofError("A611", f"the proof that {size} records continue {old} has hashes, and needs none")
    if old == 0 and old_root != EMPTY_ROOT:
        raise ProofError("A612", "the root of no records is another")
    if old == size and old_root != root:
        raise ProofError("A612", f"there are two roots of {size} records")


class _Tree:
    """The hashes of a tree of `size` records, by range; each tile is read once."""

    def __init__(self, files: Files, size: int) -> None:
        self._files = files
        self._size = size
        self._tiles: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def root(self, begin: int, end: int) -> bytes:
        """The root over the records from `begin` to before `end`; `begin` is where RFC 6962 would split."""
        folded = None
        while begin < end:
            width = (end - begin) & -(end - begin)
            peak = self._full(end - width, width.bit_length() - 1)
            folded = peak if folded is None else node_hash(peak, folded)
            end -= width
        return EMPTY_ROOT if folded is None else folded

    def _full(self, begin: int, height: int) -> bytes:
        """The root of the full subtree of that height which begins there."""
        level, above = divmod(height, _LEVEL_BITS)
        tile, at = divmod(begin >> (_LEVEL_BITS * level), TILE_WIDTH)
        return subtree_root(self._hashes(level, tile)[at : at + (1 << above)])

    def _hashes(self, level: int, index: int) -> tuple[bytes, ...]:
        known = self._tiles.get((level, index))
        if known is None:
            known = self._tiles[level, index] = self._read(level, index)
        return known

    def _read(self, level: int, index: int) -> tuple[bytes, ...]:
        nodes = self._size >> (_LEVEL_BITS * level)
        ref = TileRef(level, index, min(TILE_WIDTH, nodes - index * TILE_WIDTH))
        fetched = fetch(self._files, ref)
        if fetched is None:
            raise TileError("A623", f"{ref.path} is missing")
        try:
            return parse_tile(fetched.data, ref.width, exact=fetched.exact)
        except TileError as error:
            raise TileError(error.code, f"{fetched.path}: {error.detail}") from error


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1
