"""Lines and cells to text: columns, and what goes on where a line is too long.

In go the lines of a file; out comes its text. Time is linear in it: a place to break a line is looked for within that
line alone, and the padding of a column is bounded by its shape.
INVARIANT: pieces come out in order, each as it is; every comment comes out where policy_lang/layout/pieces.py says it
stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

from msgspec import Struct, field

from policy_lang.layout.glue import NEVER, Glue
from policy_lang.layout.lines import Cell, Line, Shape
from policy_lang.layout.pieces import Piece

WIDTH = 120
"""Columns of a line; what cannot be broken may be longer."""

_DEEPEST_HANG = 72
"""The rightmost column at which a broken line goes on."""


class _Page(Struct):
    """The lines written so far, and the one being written."""

    done: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    column: int = 0
    beside: str = ""

    def put(self, text: str, column: int) -> None:
        """Write `text` at `column`, which is not left of where the line has come to."""
        self.parts.append(" " * (column - self.column) + text)
        self.column = column + len(text)

    def end_line(self) -> None:
        """End the line with the comment beside it, if it has anything on it."""
        if self.beside:
            self.parts.append("  " + self.beside)
        if self.parts:
            self.done.append("".join(self.parts))
        self.parts = []
        self.column = 0
        self.beside = ""

    def blank(self) -> None:
        if self.done:
            self.done.append("")


class _Text(Struct, frozen=True):
    """What is being laid out: the pieces and their tables."""

    pieces: Sequence[Piece]
    glue: Glue
    inner: Sequence[int]
    """How many pieces before this one begin a line because of a comment."""

    def split(self, start: int, end: int) -> bool:
        """Whether a comment stands between two of the pieces `start` to `end` (exclusive)."""
        return self.inner[end] > self.inner[start + 1]

    def torn(self, line: Line) -> bool:
        """Whether a comment stands where the line has no place to break: then it is not aligned with others."""
        cells, wrap = line.cells, line.shape.wrap
        return any(self.split(cell.start, cell.end) for cell in cells) or any(
            self.glue.hard[cell.start] for cell in cells[1:wrap]
        )


def page(pieces: Sequence[Piece], glue: Glue, lines: Sequence[Line]) -> str:
    """The text of `lines`, with a line end after each; empty where there is nothing at all."""
    text = _Text(pieces, glue, [0, *accumulate(glue.hard)])
    out = _Page()
    for section in _sections(lines):
        widths = _widths(text, section)
        for line in section:
            _line(text, out, line, widths)
    _comments(out, pieces[-1], 0, blank=_parted(pieces[-1]), airy=True)
    return "".join(line + "\n" for line in out.done)


def _parted(last: Piece) -> bool:
    return bool(last.above) and last.above[0].blank


def _sections(lines: Sequence[Line]) -> Iterator[tuple[Line, ...]]:
    """Lines that are aligned together: neighbours of one shape, up to the next empty line unless the shape says so."""
    number = 0
    before: Shape | None = None
    keys: list[int] = []
    for line in lines:
        number += line.shape is not before or (line.blank and not line.shape.across)
        keys.append(number)
        before = line.shape
    for _, group in groupby(zip(keys, lines, strict=True), key=lambda pair: pair[0]):
        yield tuple(line for _, line in group)


def _widths(text: _Text, section: Sequence[Line]) -> tuple[int, ...]:
    """The width of each aligned column: that of its widest cell that has another to its right and is not too wide."""
    widest = section[0].shape.widest
    widths = [0] * len(widest)
    for line in section:
        if len(line.cells) > 1 and widest and not text.torn(line):
            for column, cell in enumerate(line.cells[:-1][: len(widest)]):
                width = text.glue.width(cell.start, cell.end)
                if widths[column] < width <= widest[column]:
                    widths[column] = width
    return tuple(widths)


# ---------------------------------------------------------------- one line


def _line(text: _Text, out: _Page, line: Line, widths: Sequence[int]) -> None:
    first = text.pieces[line.cells[0].start]
    _comments(out, first, line.comments, blank=line.blank, airy=line.airy)
    shape = line.shape
    columns = () if text.torn(line) else tuple(_columns(line, widths))
    spread = not _fits_whole(text, line, columns)
    placed: list[int] = []
    for number, cell in enumerate(line.cells):
        column = line.indent
        if number:
            nearest = out.column + shape.gap(number)
            column = max(nearest, columns[number] if number < len(columns) else 0)
            width = text.glue.width(cell.start, cell.end)
            if shape.slides and column + width > WIDTH >= nearest + width:
                column = nearest
            below = None if shape.below is None or shape.below >= number else placed[shape.below]
            hang = line.indent + shape.hang if below is None else min(below, _DEEPEST_HANG)
            alone = cell.alone or line.cells[number - 1].alone
            wide = (alone and spread) or column + width > WIDTH
            if text.glue.hard[cell.start] or (number >= shape.wrap and wide and hang < column):
                column = hang
                _break(text, out, cell.start, column)
        placed.append(column)
        _cell(text, out, cell, column, NEVER if shape.rigid else WIDTH)
    out.end_line()


def _columns(line: Line, widths: Sequence[int]) -> Iterator[int]:
    """Where the cells of a line begin: the first at its indent, then as many as there are aligned columns."""
    column = line.indent
    yield column
    for number, width in enumerate(widths, start=1):
        column += width + line.shape.gap(number)
        yield column


def _fits_whole(text: _Text, line: Line, columns: Sequence[int]) -> bool:
    """Whether all of the line's cells fit on one line, and no comment stands between them."""
    end = line.indent
    for number, cell in enumerate(line.cells):
        if number:
            if text.glue.hard[cell.start]:
                return False
            end = max(end + line.shape.gap(number), columns[number] if number < len(columns) else 0)
        end += text.glue.width(cell.start, cell.end)
    return end <= WIDTH and not text.torn(line)


def _comments(out: _Page, piece: Piece, indent: int, *, blank: bool, airy: bool) -> None:
    """The comments above a piece that begins a line, and the empty lines around them."""
    if blank:
        out.blank()
    for number, comment in enumerate(piece.above):
        if number and airy and comment.blank:
            out.blank()
        out.done.append(" " * indent + comment.text)
    if piece.above and airy and piece.blank and piece.text:
        out.blank()


def _break(text: _Text, out: _Page, piece: int, column: int) -> None:
    """End the line, and write the comments above `piece` where it goes on."""
    out.end_line()
    _comments(out, text.pieces[piece], column, blank=False, airy=False)


# ---------------------------------------------------------------- one cell


def _cell(text: _Text, out: _Page, cell: Cell, column: int, most: int) -> None:
    """Write a cell at `column`, on further lines where it goes beyond `most` or a comment breaks it.

    What stands within brackets goes on behind the innermost that is open, other pieces behind the cell's first word.
    """
    glue = text.glue
    anchors = [column + 4]
    start = cell.start
    while True:
        end = _line_end(glue, start, cell.end, most - column)
        for piece in range(start, end):
            column = column if piece == start else out.column + glue.spaces[piece]
            if piece == cell.start + cell.hang:
                anchors[0] = min(column, _DEEPEST_HANG)
            out.put(glue.texts[piece], column)
            out.beside = text.pieces[piece].beside
            if glue.turns[piece] > 0:
                inside = out.column + (glue.spaces[piece + 1] if piece + 1 < cell.end else 0)
                anchors.append(inside if inside <= _DEEPEST_HANG else min(anchors[-1] + 4, _DEEPEST_HANG))
            elif glue.turns[piece] < 0 and len(anchors) > 1:
                anchors.pop()
        if end == cell.end:
            return
        column = anchors[-2] if glue.turns[end] < 0 and len(anchors) > 1 else anchors[-1]
        _break(text, out, end, column)
        start = end


def _line_end(glue: Glue, start: int, end: int, most: int) -> int:
    """The first piece that goes to the next line, where `most` columns are left for `start`; `end` where all fit."""
    best, rank = 0, NEVER - 1
    for piece in range(start + 1, end):
        if glue.hard[piece]:
            return piece
        if glue.ranks[piece] <= rank:
            best, rank = piece, glue.ranks[piece]
        if best and glue.width(start, piece + 1) > most:
            return best
    return end
