"""`pdp fmt`: a policy file to its canonical layout.

In goes a file's name and content; out comes the text to write, or the mistakes that stop it from being read. Only the
grammar has to accept the file: a name that is not declared stops nothing here.
INVARIANT: the laid-out text holds the same tokens in the same order, and every comment, beside or above the token it
stood with; laid out again it does not change. What would break this is not returned: whatever differs from the file is
read once more and compared.

(0) the same refusals as the parser's: size, encoding, hidden characters, depth;
(1) the grammar reads the file; (2) pieces, with comments and blank lines; (3) lines and cells; (4) text; (5) compared.

Decision: 2026-11-21. Blanks at line ends, CR and a byte order mark go; within a token only the blanks around the colon
of a path's capture change. A file that its layout would make larger than a policy file may be is refused.
Specification: language.md 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy_lang.diagnostics import Diagnostic
from policy_lang.layout.glue import glue
from policy_lang.layout.lines import lines_of
from policy_lang.layout.page import page
from policy_lang.layout.pieces import Piece, pieces_of
from policy_lang.mistakes.syntax import FileTooLarge
from policy_lang.source import Span
from policy_lang.syntax.grammar import Branch, Token, Tree, read, token_of
from policy_lang.syntax.parser import MOST_BYTES, parse, readable


def formatted(name: str, data: bytes) -> str | tuple[Diagnostic, ...]:
    """The canonical layout of the policy file `name`, whose content is `data`; or why it cannot be read.

    Shapes: a text that ends with a line end; or at least one error, sorted by position, places as `parse` gives them.
    Errors: none raised for any bytes; RuntimeError where the layout is not the policy that went in, which is a fault
        of ours.
    """
    source, refused = readable(name, data)
    if refused:
        return refused
    text = source.text
    tree = read(text, "start")
    if not isinstance(tree, Tree):
        return parse(name, data).diagnostics
    pieces = pieces_of(text, tree)
    result = page(pieces, glue(pieces, frozenset(_calls(tree))), list(lines_of(tree, pieces)))
    size = len(result.encode())
    if size > MOST_BYTES:
        return (FileTooLarge(span=Span(name, 0, 0), size=size, most=MOST_BYTES),)
    if result != text and not _same(pieces, result):
        raise RuntimeError(f"the layout of {name} is not the policy that went in; the file was left as it is")
    return result


def _calls(tree: Tree[Token]) -> Iterator[int]:
    """The offsets of the names that are called; no recursion, for a chain of `and` is as deep as it is long."""
    waiting: list[Branch] = [tree]
    while waiting:
        branch = waiting.pop()
        if isinstance(branch, Tree):
            waiting.extend(branch.children)
            if branch.data == "call":
                yield token_of(branch.children[0]).start_pos


def _same(pieces: Sequence[Piece], text: str) -> bool:
    """Whether `text` is read as `pieces`, wherever they stand in it, with the same comments."""
    tree = read(text, "start")
    return isinstance(tree, Tree) and list(map(_essence, pieces)) == list(map(_essence, pieces_of(text, tree)))


def _essence(piece: Piece) -> tuple[str, str, tuple[str, ...], str]:
    return piece.kind, piece.text, tuple(comment.text for comment in piece.above), piece.beside
