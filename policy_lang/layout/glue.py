"""How neighbouring pieces stand to each other: a space or none, and where a line that is too long may be broken.

In go the pieces of a text and the places of its calls; out come side tables by the number of a piece. Nothing here
looks at lines: the same two neighbours stand the same way everywhere.

Decision: 2026-11-21. A long line is broken before the last piece of the lowest rank that fits: outside brackets
first; there before `via`, `except`, `else` and their like, then `or`, then `and`, then after a comma; before an
operator only where there is nothing else. So a line breaks where its sense does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from msgspec import Struct

from policy_lang.layout.pieces import Piece

NEVER = 1 << 30
"""The rank of a place where no line may be broken."""

_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_TIGHT_BEFORE = frozenset([",", ")", "]", ":", ".", ".."])
_TIGHT_AFTER = frozenset(["(", "[", ".", ".."])
_PHRASES = frozenset(["via", "except", "with", "else", "when", "from"])
_TAILS = frozenset(["optional", "private", "within", "key", "to", "+", "-"])
_OPERATORS = frozenset(["in", "overlaps", "covers", "like", "has", "is", "<", "|"])
_RANKS_OF_A_DEPTH = 8


class Glue(Struct, frozen=True):
    """Side tables, one entry for each piece.

    `spaces`: blanks before it when it follows on the same line. `ranks`: how ill a line may be broken before it, lowest
    first. `hard`: it begins a line whatever fits, since a comment stands before it. `places`: where it would begin if
    the whole text were one line. `turns`: 1 where it opens a bracket, -1 where it closes one.
    """

    texts: Sequence[str]
    spaces: Sequence[int]
    ranks: Sequence[int]
    hard: Sequence[bool]
    places: Sequence[int]
    turns: Sequence[int]

    def width(self, start: int, end: int) -> int:
        """Columns of the pieces `start` to `end` (exclusive, at least one) on one line."""
        return self.places[end - 1] + len(self.texts[end - 1]) - self.places[start]


def glue(pieces: Sequence[Piece], calls: frozenset[int]) -> Glue:
    """The tables of `pieces`; `calls` are the offsets of names whose bracket follows them directly."""
    pairs = list(pairwise(pieces))
    spaces = [0, *(_space(left, right, calls) for left, right in pairs)]
    turns = [_turn(piece) for piece in pieces]
    depths = [0, *accumulate(turns)]
    ranks = [NEVER, *(_ranked(_rank(*pair), depth) for pair, depth in zip(pairs, depths[1:], strict=False))]
    hard = [bool(pieces[0].above), *(bool(left.beside or right.above) for left, right in pairs)]
    texts = [piece.text for piece in pieces]
    ends = accumulate(len(text) + space for text, space in zip(texts, spaces, strict=True))
    places = [end - len(text) for end, text in zip(ends, texts, strict=True)]
    return Glue(texts, spaces, ranks, hard, places, turns)


def _turn(piece: Piece) -> int:
    if piece.kind:
        return 0
    return (piece.text in _OPENING) - (piece.text in _CLOSING)


def _space(left: Piece, right: Piece, calls: frozenset[int]) -> int:
    if not right.kind:
        if right.text in _TIGHT_BEFORE:
            return 0
        if right.text == "(" and left.start in calls:
            return 0
        if right.text == "}" and left.is_mark("{"):
            return 0
    return 0 if not left.kind and left.text in _TIGHT_AFTER else 1


def _rank(left: Piece, right: Piece) -> int:
    """How ill a line may be broken between these two, among places within the same brackets."""
    if left.is_mark(",") or (left.kind == "STRING" and right.kind == "STRING"):
        return 4
    if right.kind:
        return 6 if right.kind == "CMP" else NEVER
    if right.text in _PHRASES:
        return 1
    if right.text in {"or", "and"}:
        return 2 if right.text == "or" else 3
    if right.text in _TAILS:
        return 5
    return 6 if right.text in _OPERATORS and left.kind != "METHOD" and not left.is_mark("not") else NEVER


def _ranked(rank: int, depth: int) -> int:
    return NEVER if rank == NEVER else depth * _RANKS_OF_A_DEPTH + rank
