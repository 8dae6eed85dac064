"""The laws of the canonical layout, on real files whose tokens are scattered anew.

The oracle knows no grammar: *ink* is every character of a text that is neither a blank nor in a comment, strings being
ink throughout. Two texts say the same where their ink is the same, words end at the same ink, and each comment stands
behind the same ink, on a line of its own in both or in neither.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from policy_lang.layout.formatter import formatted
from policy_lang.layout.pieces import pieces_of
from policy_lang.syntax.grammar import Tree, read

LAW = settings(max_examples=60, deadline=None)

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("tests/golden/layout/*.pol"), *ROOT.glob("policies/examples/*/*.pol")])

_INK = re.compile(
    r'(?P<string>"(?:[^"\\\n]|\\[^\n])*")|(?P<comment>#[^\n]*)|(?P<line>\n)|(?P<blank>[ \t\r]+)|(?P<ink>.)'
)


class Ink(Struct, frozen=True):
    """`words`: where a blank parts two word characters; `comments`: text, ink before it, whether a line is its own."""

    text: str
    words: tuple[int, ...]
    comments: tuple[tuple[str, int, bool], ...]


def ink_of(text: str) -> Ink:
    ink: list[str] = []
    words: list[int] = []
    comments: list[tuple[str, int, bool]] = []
    fresh, parted, length = True, False, 0
    for found in _INK.finditer(text):
        match found.lastgroup:
            case "comment":
                comments.append((found[0].rstrip(), length, fresh))
            case "line":
                fresh, parted = True, True
            case "blank":
                parted = True
            case _:
                if parted and ink and _is_word(ink[-1][-1]) and _is_word(found[0][0]):
                    words.append(length)
                ink.append(found[0])
                length += len(found[0])
                fresh, parted = False, False
    return Ink("".join(ink), tuple(words), tuple(comments))


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


@cache
def tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a file, without its comments."""
    text = path.read_text("utf-8")
    tree = read(text, "start")
    assert isinstance(tree, Tree)
    return tuple(piece.text for piece in pieces_of(text, tree))[:-1]


def leaves(text: str) -> list[tuple[str, str]]:
    """The shape of a text's tree: names of rules, and kinds and texts of tokens."""
    tree = read(text, "start")
    assert isinstance(tree, Tree)
    found: list[tuple[str, str]] = []
    waiting = [tree]
    while waiting:
        branch = waiting.pop()
        if isinstance(branch, Tree):
            found.append((branch.data, ""))
            waiting += reversed(branch.children)
        else:
            found.append((branch.type, re.sub(r"[ \t]", "", str(branch)) if branch.type == "PATH" else str(branch)))
    return found


def laid_out(text: str) -> str:
    result = formatted("x.pol", text.encode())
    assert isinstance(result, str), result
    return result


BLANKS = st.sampled_from([" ", "  ", "\t", "\n", "\r\n", " \n\t", "\n\n", "\n \n\n\n"])
COMMENT = st.sampled_from(["# c", "#", '# say "this"', "#\ttab ", "## } allow b # é", "#" + "x" * 130])
WITH_COMMENT = st.tuples(st.sampled_from([" ", "\n", "\n\n", "\t\n\n\n  "]), COMMENT, st.sampled_from(["\n", "\n\n"]))
GAPS = st.one_of(BLANKS, WITH_COMMENT.map("".join), st.lists(WITH_COMMENT.map("".join), max_size=3).map("".join))
BASE = st.sampled_from([" ", "\n", "\t \n"])


@st.composite
def scattered(draw: st.DrawFn) -> str:
    """A window of a real file's declarations: its tokens with anything that may stand between them."""
    words = tokens(draw(st.sampled_from(FILES)))
    gaps = [draw(BASE)] * (len(words) + 1)
    for place, gap in draw(st.lists(st.tuples(st.integers(0, len(words)), GAPS), max_size=25)):
        gaps[place] = gap or " "
    return gaps[0] + "".join(word + gap for word, gap in zip(words, gaps[1:], strict=True))


@LAW
@given(scattered())
def test_the_layout_says_what_the_text_says(text: str) -> None:
    """ink(layout(t)) = ink(t), comments in place included, and the trees are equal."""
    result = laid_out(text)
    assert ink_of(result) == ink_of(text)
    assert leaves(result) == leaves(text)


@LAW
@given(scattered())
def test_the_layout_of_a_layout_is_itself(text: str) -> None:
    """layout(layout(t)) = layout(t)."""
    result = laid_out(text)
    assert laid_out(result) == result


@LAW
@given(st.sampled_from(FILES), BASE, st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from([" ", "\n", "\t"]))))
def test_the_layout_does_not_depend_on_where_lines_were_broken(
    path: Path, base: str, changes: list[tuple[int, str]]
) -> None:
    """layout(t) = layout(u) where t and u differ in blanks and single line ends alone."""
    words = tokens(path)
    gaps = [base] * len(words)
    for place, gap in changes:
        gaps[place % len(words)] = gap
    text = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    assert laid_out(text) == laid_out(" ".join(words))


@LAW
@given(scattered())
def test_a_layout_is_clean(text: str) -> None:
    """No tab, CR or blank at a line's end, no two empty lines in a row, one line end at the end."""
    result = laid_out(text)
    outside = re.sub(r'"(?:[^"\\\n]|\\[^\n])*"|#[^\n]*', "", result)
    assert not re.search(r"[\t\r]", outside)
    assert not re.search(r"[ \t]\n|\n\n\n|\n\n\Z|\A\n", result)
    assert result.endswith("\n")


@LAW
@given(scattered(), st.integers(0, 10_000), st.integers(0, 40), st.text(max_size=4))
def test_any_text_is_laid_out_or_refused(text: str, start: int, length: int, inserted: str) -> None:
    """For all t: layout(t) is a text that says what t says, or diagnostics with an error; nothing is raised."""
    changed = text[: start % len(text)] + inserted + text[start % len(text) + length :]
    assume("\r" not in re.sub(r"\r\n", "", changed))
    result = formatted("x.pol", changed.encode("utf-8", "surrogatepass"))
    if isinstance(result, str):
        assert ink_of(result) == ink_of(changed)
    else:
        assert any(diagnostic.severity == "error" for diagnostic in result)
