"""A policy text as a row of pieces: every token, with the comments and blank lines that stand by it.

In goes a text and the tree the grammar made of it; out come its tokens in order, those the tree leaves out included,
and last one empty piece for the end of the text. What stands between two tokens of a tree is blanks, comments, fixed
words and marks, so that it needs no grammar to be cut.
INVARIANT: pieces and comments together are the whole text but its blanks; a comment is beside the token whose line it
ends, or above the next one.
Specification: language.md 3, lexical notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.syntax.grammar import Branch, Token, Tree

END = "$END"
"""The kind of the last piece."""

_BETWEEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)|(?P<comment>#[^\n]*)|(?P<word>[a-z0-9_]+)|(?P<mark>\.\.|[{}()\[\]|,.:=<+-])|(?P<other>.)"
)
_CAPTURE = re.compile(r"\{([a-z0-9_]+)[ \t]*:[ \t]*([a-z0-9_]+)\}")


class Comment(Struct, frozen=True):
    """A comment on a line of its own, from its `#` on; `blank`: an empty line stands above it."""

    text: str
    blank: bool


class Piece(Struct, frozen=True):
    """One token.

    `kind` is the name of its terminal, empty for fixed words and marks, `END` for the end. `beside` is the comment that
    ends its line, or empty. `blank`: an empty line stands directly above it, below the comments `above`.
    """

    kind: str
    text: str
    start: int
    above: tuple[Comment, ...] = ()
    beside: str = ""
    blank: bool = False

    def is_mark(self, text: str) -> bool:
        """Whether this is the fixed word or mark `text`."""
        return not self.kind and self.text == text


class _Row(Struct):
    """The pieces cut so far, and what stands since the last of them."""

    pieces: list[Piece] = field(default_factory=list)
    above: list[Comment] = field(default_factory=list)
    line_ends: int = 0

    def add(self, kind: str, text: str, start: int) -> None:
        self.pieces.append(Piece(kind, text, start, tuple(self.above), "", self.line_ends > 1))
        self.above.clear()
        self.line_ends = 0

    def add_comment(self, text: str) -> None:
        if self.pieces and not self.above and not self.line_ends:
            self.pieces[-1] = replace(self.pieces[-1], beside=text)
        else:
            self.above.append(Comment(text, self.line_ends > 1))
        self.line_ends = 0


def pieces_of(text: str, tree: Tree[Token]) -> tuple[Piece, ...]:
    """The pieces of `text`, whose tree is `tree`; spellings are the text's own, but for blanks within a path."""
    row = _Row()
    at = 0
    for token in _tokens(tree):
        start, end = token.start_pos, token.end_pos
        _cut(row, text, at, start)
        written = str(token)
        row.add(token.type, _CAPTURE.sub(r"{\1: \2}", written) if token.type == "PATH" else written, start)
        at = end
    _cut(row, text, at, len(text))
    row.add(END, "", len(text))
    return tuple(row.pieces)


def _tokens(tree: Tree[Token]) -> Iterator[Token]:
    """The tokens of `tree` from left to right; no recursion, for a chain of `and` is as deep as it is long."""
    waiting: list[Branch] = [tree]
    while waiting:
        branch = waiting.pop()
        if isinstance(branch, Tree):
            waiting.extend(reversed(branch.children))
        else:
            yield branch


def _cut(row: _Row, text: str, start: int, end: int) -> None:
    for found in _BETWEEN.finditer(text, start, end):
        match found.lastgroup:
            case "blank":
                row.line_ends += found[0].count("\n")
            case "comment":
                row.add_comment(found[0].rstrip())
            case "word" | "mark":
                row.add("", found[0], found.start())
            case _:
                raise ValueError(f"{found[0]!a} at {found.start()} is in no tree and is no blank")
