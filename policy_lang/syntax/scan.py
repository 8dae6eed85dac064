"""What is looked at without the grammar: characters nobody can see, nesting, words, and where declarations begin.

In goes the text of a file; out come mistakes, or offsets (code points from 0). One pass each, linear, no recursion, so
that a hostile megabyte is refused before anything costlier reads it.

Decision: 2026-11-21. Refused everywhere, comments and strings included (E103): Cc but tab, LF and CR before LF; Zl, Zp,
Cf; and what Unicode calls default-ignorable, save the variation selectors FE00-FE0F that emoji need. A lone CR is
refused because a terminal lets it hide the text before it, and an old editor breaks the line there, so that a comment
looks like a rule. The list is spelt out, since Python's tables change with its version. A text with such a character
is not parsed at all: nobody should be told what a text means that he cannot see. (The list stands in
`policy_lang/diagnostics.py`, which must not print these characters either.)
Specification: language.md 3; Unicode TR36 and TR39 for the why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_lang.diagnostics import HIDDEN, MOST_SHOWN, Diagnostic
from policy_lang.mistakes.syntax import HiddenCharacter, TooDeep
from policy_lang.source import Source, Span

DEEPEST = 64
"""Open brackets around any place of a file, and levels of an expression's tree below its root."""

_HIDDEN_RUN = re.compile(rf"(?:[{HIDDEN}]|\r(?!\n))+")
_HEADS = "language|module|import"
_DECLARATIONS = (
    "setting|enum|label|network|workload|token|subject|roles|relation|signal|condition|service|casbin|"
    "allow|deny|require|shadow|test|prove"
)
_NO_ROOT = r"(?![ \t]*(?:\.|has\b|is\b))"
_OPENING = re.compile(rf"[ \t]*(?:{_DECLARATIONS})\b{_NO_ROOT}")
OPENING_WORDS = tuple(f"{_HEADS}|{_DECLARATIONS}".split("|"))
"""The words that a part of a file may begin with."""

_RESERVED = (
    "module import language setting enum label network workload token subject roles relation signal condition service "
    "endpoint casbin allow deny require shadow test prove for on when unless until needs must should because any "
    "anyone role factor and or not in is has like overlaps covers else true false unset unknown empty step_up bool "
    "string int uuid time duration ip set"
)
RESERVED = frozenset(_RESERVED.split())
"""The words that the grammar keeps out of name positions (its terminal NAME lists the same)."""

_ANY_RULE = "`allow`, `deny` or `require`"
FOREIGN_WORDS = {"permit": "`allow`", "forbid": "`deny`", "policy": _ANY_RULE, "rule": _ANY_RULE}
"""Words that begin a rule elsewhere, and what to write for them."""


def _one_less(word: str) -> Iterator[str]:
    """`word` with one letter left out, each in turn."""
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


# What two words one letter apart have in common: the same letters but one, in the same order.
_ONE_LESS = {short: word for word in OPENING_WORDS for short in (word, *_one_less(word))}
_LONGEST_SLIP = 1 + max(map(len, OPENING_WORDS))

_SKIP = r'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?|\#[^\n]*'
_BRACKET = re.compile(rf"(?:{_SKIP})|[()\[\]{{}}]")
_MARK = re.compile(
    rf"(?P<skip>{_SKIP})"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    rf"|^(?P<indent>[ \t]*)(?P<keyword>(?:{_HEADS}|{_DECLARATIONS})\b){_NO_ROOT}"
    r"|^(?P<slip>[A-Za-z]+)(?=[ \t]+(?!(?:and|or|not|in|is|has|like|overlaps|covers)\b)[\w\"])",
    re.MULTILINE,
)


def hidden_characters(source: Source) -> tuple[Diagnostic, ...]:
    """E103 for each run of characters a reader cannot see, the first `MOST_SHOWN` of them."""
    if source.text.isascii() and source.text.replace("\n", "").replace("\t", "").isprintable():
        return ()
    found: list[Diagnostic] = []
    for run in _HIDDEN_RUN.finditer(source.text):
        if len(found) == MOST_SHOWN:
            break
        found.append(HiddenCharacter(span=Span(source.name, *run.span()), named=f"U+{ord(run[0][0]):04X}"))
    return tuple(found)


def nesting(source: Source) -> tuple[Diagnostic, ...]:
    """E104 at the first bracket that stands within `DEEPEST` others, if there is one."""
    depth = 0
    for mark in _BRACKET.finditer(source.text):
        match mark[0]:
            case "(" | "[" | "{":
                depth += 1
                if depth > DEEPEST:
                    return (TooDeep(span=Span(source.name, *mark.span()), most=DEEPEST),)
            case ")" | "]" | "}":
                depth = max(0, depth - 1)
            case _:
                pass
    return ()


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """The text cut where declarations seem to begin: half-open ranges that together are the whole text.

    A declaration seems to begin at a keyword that opens a line outside brackets, or at one in the first column, where
    no bracket may still be open: so a missing `}` costs one declaration and not the rest of the file. A root, as in
    `token.sub` or `token has sub`, is no keyword. Outside brackets a misspelt keyword in the first column is one too,
    so that it costs its own declaration and not the one before. The cut serves messages only; the grammar alone settles
    what is accepted.
    """
    depth = 0
    start = 0
    for mark in _MARK.finditer(text):
        match mark.lastgroup:
            case "open":
                depth += 1
            case "close":
                depth = max(0, depth - 1)
            case "keyword" if depth == 0 or not mark["indent"]:
                depth = 0
            case "slip" if depth == 0 and meant(mark[0]):
                pass
            case _:
                continue
        if mark.lastgroup in ("keyword", "slip"):
            if mark.start() > start:
                yield start, mark.start()
            start = mark.start()
    if start < len(text):
        yield start, len(text)


def declares(text: str, at: int) -> bool:
    """Whether a declaration begins at `at`, as far as its first word tells."""
    return _OPENING.match(text, at) is not None


def meant(word: str) -> str:
    """The opening word, in backticks, that `word` is a slip of: in capitals, one letter off, of another language."""
    low = word.lower()
    if low in OPENING_WORDS:
        return f"`{low}`"
    if low in RESERVED:
        return ""
    shorter = (_ONE_LESS.get(each, "") for each in (low, *_one_less(low))) if len(low) <= _LONGEST_SLIP else ()
    return next((f"`{known}`" for known in shorter if known), "") or FOREIGN_WORDS.get(low, "")
