"""What stands on a line of its own: the tree of a file to its lines, each cut into cells.

In go the tree and the pieces; out come lines that together are all pieces but the last, in order. Cells of neighbouring
lines of one shape stand below each other; how wide they are and what does not fit is policy_lang/layout/page.py's.

Decision: 2026-11-21. Layout follows the tokens, comments and blank lines alone, never where a line was broken before:
two people who write the same policy get the same file. An empty line is kept between items of a block and between short
declarations, set between all others, and taken away elsewhere. Only the shapes below are aligned.
Specification: language.md 2.1; grammar.lark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from policy_lang.layout.pieces import Piece
from policy_lang.syntax.grammar import Branch, Token, Tree, trees

INDENT = 2


class Shape(Struct, frozen=True, kw_only=True):
    """How the cells of a line stand.

    `widest`: for each column, the widest cell that the next one is aligned to; wider ones run over. Columns beyond the
    last are not aligned. `gap`: blanks between cells. `across`: alignment runs on over empty lines. `wrap`: the
    first cell that may go to the next line where it does not fit, `hang` columns right of the line's indent, or below
    the cell `below`. `slides`: a cell leaves its column where only that makes it fit. `rigid`: no cell is ever broken.
    """

    widest: tuple[int, ...] = ()
    gaps: tuple[int, ...] = (1,)
    across: bool = False
    wrap: int = 1_000_000
    hang: int = 4
    below: int | None = None
    slides: bool = False
    rigid: bool = False

    def gap(self, column: int) -> int:
        """Blanks before the cell `column`, at least."""
        return self.gaps[min(column, len(self.gaps)) - 1]


PLAIN = Shape()
NAMED = Shape(widest=(40,))
ROLE = Shape(widest=(40,), gaps=(2,), wrap=1)
SIGNAL = Shape(widest=(48, 40, 40, 16), gaps=(2,), wrap=1)
CONDITION = Shape(wrap=1, hang=INDENT)
ENDPOINT = Shape(widest=(48, 24, 64), gaps=(2, 1, 2), across=True, wrap=3, below=2)
CASBIN = Shape(widest=(12,), across=True)
CALL = Shape(widest=(72,), gaps=(2,), wrap=1, hang=5, slides=True)
CALL_PATH = Shape(widest=(40, 8, 60), gaps=(1, 1, 2), wrap=3, hang=5, slides=True)
TABLE = Shape(widest=(96,) * 64, across=True, rigid=True)
PROOF = Shape(wrap=1, hang=0)


class Cell(Struct, frozen=True):
    """The pieces `start` to `end` (exclusive).

    `hang`: how many pieces stand left of the column where its later lines begin. `alone`: has lines of its own where
    the whole does not fit on one.
    """

    start: int
    end: int
    hang: int = 1
    alone: bool = False


class Line(Struct, frozen=True):
    """One line, or several where it does not fit.

    `blank`: an empty line stands above it and its comments; `airy`: empty lines among those comments are kept.
    `comments` is their indent.
    """

    indent: int
    cells: tuple[Cell, ...]
    shape: Shape = PLAIN
    blank: bool = False
    airy: bool = False
    comments: int = 0


_SHORT = frozenset(
    ["setting_decl", "enum_decl", "label_decl", "network_decl", "workload_decl", "relation_decl", "signal_decl"]
)
_NAMED = frozenset(["setting_decl", "enum_decl", "network_decl", "workload_decl"])
_BLOCKS = frozenset(["token_decl", "subject_decl", "roles_decl", "service_decl", "casbin_decl", "test_decl"])
_PARAMETERS = frozenset(["query_param", "header_param", "property"])


class _File(Struct, frozen=True):
    """The pieces of the text, and which of them begins at an offset."""

    pieces: Sequence[Piece]
    numbers: dict[int, int]

    def at(self, branch: Branch) -> int:
        """The number of the first piece of `branch`."""
        return self.numbers[branch.start_pos]

    def find(self, text: str, start: int, end: int) -> int:
        """The first fixed word or mark `text` from `start` on; `end` where there is none before it."""
        return next((i for i in range(start, end) if self.pieces[i].is_mark(text)), end)

    def cells(self, starts: Sequence[int], end: int) -> tuple[Cell, ...]:
        """Cells that begin at `starts`, one after the other up to `end`."""
        return tuple(Cell(start, after) for start, after in pairwise([*starts, end]))

    def parted(self, start: int) -> bool:
        """Whether an empty line stands above the piece `start` and its comments."""
        piece = self.pieces[start]
        return piece.above[0].blank if piece.above else piece.blank


def lines_of(tree: Tree[Token], pieces: Sequence[Piece]) -> Iterator[Line]:
    """The lines of a file, in order; `tree` is the whole file's, `pieces` are its pieces."""
    file = _File(pieces, {piece.start: number for number, piece in enumerate(pieces)})
    parts = trees(tree)
    starts = [*(file.at(part) for part in parts), len(pieces) - 1]
    before = ""
    for part, (start, end) in zip(parts, pairwise(starts), strict=True):
        kind = str(part.data)
        blank = _parted(before, kind, kept=file.parted(start))
        yield from _declaration(file, part, start, end, blank=blank)
        before = kind


def _parted(before: str, kind: str, *, kept: bool) -> bool:
    """Whether an empty line stands between a declaration of the kind `before` and one of `kind`."""
    if not before or kind == "module_decl":
        return False
    if kind == "import_decl" or {before, kind} <= _SHORT:
        return kept
    return True


def _declaration(file: _File, tree: Tree[Token], start: int, end: int, *, blank: bool) -> Iterator[Line]:
    kind = tree.data
    if kind in _BLOCKS:
        yield from _block(file, tree, start, end, blank=blank)
    elif kind == "rule":
        yield from _rule(file, tree, start, end, blank=blank)
    elif kind == "prove_decl":
        yield from _proof(file, tree, start, end, blank=blank)
    else:
        yield _flat(file, kind, start, end, blank=blank)


def _flat(file: _File, kind: str, start: int, end: int, *, blank: bool) -> Line:
    """A declaration of one line."""
    if kind in _NAMED:
        cells, shape = file.cells([start, file.find("=", start, end)], end), NAMED
        if cells[1].start == end:
            cells = cells[:1]
    elif kind == "signal_decl":
        opened = [file.find(word, start, end) for word in ("from", "key", "within", "else")]
        cells, shape = file.cells([start, *opened], end), SIGNAL
    elif kind == "condition_decl":
        body = file.find("=", start, end) + 1
        cells, shape = (Cell(start, body), Cell(body, end, hang=0)), CONDITION
    else:
        cells, shape = (Cell(start, end),), PLAIN
    return Line(0, cells, shape, blank=blank, airy=True)


# ---------------------------------------------------------------- blocks


def _block(file: _File, tree: Tree[Token], start: int, end: int, *, blank: bool) -> Iterator[Line]:
    opened = file.find("{", start, end)
    closing = file.pieces[end - 1]
    if opened + 2 == end and not closing.above and not file.pieces[opened].beside:
        yield Line(0, (Cell(start, end),), blank=blank, airy=True)
        return
    yield Line(0, (Cell(start, opened + 1),), blank=blank, airy=True)
    items = [(file.at(item), item) for item in trees(tree)]
    items = [(place, item) for place, item in items if place > opened]
    places = [*(place for place, _ in items), end - 1]
    for (place, item), after in zip(items, places[1:], strict=True):
        yield from _item(file, item, place, after, blank=place > opened + 1 and file.parted(place))
    yield Line(0, (Cell(end - 1, end),), comments=INDENT)


def _item(file: _File, item: Tree[Token], start: int, end: int, *, blank: bool) -> Iterator[Line]:
    kind = item.data
    if kind == "table":
        yield Line(INDENT, (Cell(start, start + 1),), blank=blank, airy=True, comments=INDENT)
        yield from _rows(file, item, end)
        return
    cells, shape = _item_cells(file, item, start, end)
    yield Line(INDENT, cells, shape, blank=blank, airy=True, comments=INDENT)


def _item_cells(file: _File, item: Tree[Token], start: int, end: int) -> tuple[tuple[Cell, ...], Shape]:
    match item.data:
        case "factor_decl":
            return file.cells([start, start + 2], end), NAMED
        case "role_decl":
            words = [file.find(word, start, end) for word in ("from", "includes")]
            return file.cells([start, *(place for place in words if place < end)], end), ROLE
        case "endpoint":
            return _endpoint_cells(file, item, start, end), ENDPOINT
        case "case":
            return _case_cells(file, item, start, end)
        case str() as kind if kind.startswith("casbin_"):
            return file.cells([start, start + 1], end), CASBIN
        case _:
            return (Cell(start, end),), PLAIN


def _endpoint_cells(file: _File, endpoint: Tree[Token], start: int, end: int) -> tuple[Cell, ...]:
    route, *items = trees(endpoint)
    verb = start + 2
    path = file.at(route.children[-1]) if route.data == "http_route" else verb + 1
    places = [file.at(item) for item in items]
    stop = places[0] if places else end
    cells = (*file.cells([start, verb, path], stop), *file.cells(places, end))
    alone = [False] * 3 + [item.data in _PARAMETERS for item in items]
    return tuple(Cell(cell.start, cell.end, alone=own) for cell, own in zip(cells, alone, strict=True))


def _case_cells(file: _File, case: Tree[Token], start: int, end: int) -> tuple[tuple[Cell, ...], Shape]:
    call, *_, outcome = trees(case)
    expect = file.at(outcome) - 1
    if call.data == "call_endpoint":
        return (Cell(start, expect, hang=1), Cell(expect, end)), CALL
    return file.cells([start, start + 2, start + 3, expect], end), CALL_PATH


def _rows(file: _File, table: Tree[Token], end: int) -> Iterator[Line]:
    """The head of a table and its rows: a bar begins each cell, and the last bar is one by itself."""
    starts = [*(file.at(row) for row in trees(table)), end]
    for number, (start, after) in enumerate(pairwise(starts)):
        bars = [i for i in range(start, after) if file.pieces[i].is_mark("|")]
        blank = number > 0 and file.parted(start)
        yield Line(2 * INDENT, file.cells(bars, after), TABLE, blank=blank, airy=True, comments=2 * INDENT)


# ---------------------------------------------------------------- rules and proofs


def _rule(file: _File, rule: Tree[Token], start: int, end: int, *, blank: bool) -> Iterator[Line]:
    places = [*(file.at(clause) for clause in trees(rule)), end]
    yield Line(0, (Cell(start, places[0]),), blank=blank, airy=True)
    for place, after in pairwise(places):
        yield Line(INDENT, (Cell(place, after),), comments=INDENT)


def _proof(file: _File, proof: Tree[Token], start: int, end: int, *, blank: bool) -> Iterator[Line]:
    """The claim, then all of its clauses on one line, or only those that say who and where beside the quantifier."""
    quantifier, *clauses = trees(proof)
    places = [file.at(quantifier), *(file.at(clause) for clause in clauses)]
    yield Line(0, (Cell(start, places[0]),), blank=blank, airy=True)
    alone = [False, *(clause.data not in {"for_clause", "on_clause"} for clause in clauses)]
    cells = zip(file.cells(places, end), alone, strict=True)
    yield Line(INDENT, tuple(Cell(c.start, c.end, alone=own) for c, own in cells), PROOF, comments=INDENT)
