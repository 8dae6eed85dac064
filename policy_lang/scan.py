"""What is looked at before any parsing: characters nobody can see, nesting, and where declarations begin.

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
_KEYWORDS = (
    "module|import|language|setting|enum|label|network|workload|token|subject|roles|relation|signal|condition|service|"
    "casbin|allow|deny|require|shadow|test|prove"
)
_MARK = re.compile(
    r'(?P<skip>"(?:[^"\\\n]|\\[^\n])*"?|\#[^\n]*)'
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    rf"|^(?P<indent>[ \t]*)(?P<keyword>(?:{_KEYWORDS})\b)(?![ \t]*(?:\.|has\b|is\b))",
    re.MULTILINE,
)


def hidden_characters(source: Source) -> tuple[Diagnostic, ...]:
    """E103 for each run of characters a reader cannot see, the first `MOST_SHOWN` of them."""
    found: list[Diagnostic] = []
    for run in _HIDDEN_RUN.finditer(source.text):
        if len(found) == MOST_SHOWN:
            break
        found.append(HiddenCharacter(span=Span(source.name, *run.span()), named=f"U+{ord(run[0][0]):04X}"))
    return tuple(found)


def nesting(source: Source) -> tuple[Diagnostic, ...]:
    """E104 at the first bracket that stands within `DEEPEST` others, if there is one."""
    depth = 0
    for mark in _MARK.finditer(source.text):
        match mark.lastgroup:
            case "open":
                depth += 1
                if depth > DEEPEST:
                    return (TooDeep(span=Span(source.name, *mark.span()), most=DEEPEST),)
            case "close":
                depth = max(0, depth - 1)
            case _:
                pass
    return ()


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """The text cut where declarations seem to begin: half-open ranges that together are the whole text.

    A declaration seems to begin at a keyword that opens a line outside brackets, or at one in the first column, where
    no bracket may still be open: so a missing `}` costs one declaration and not the rest of the file. A root, as in
    `token.sub` or `token has sub`, is no keyword. The cut serves messages only; the grammar alone settles what is
    accepted.
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
                if mark.start() > start:
                    yield start, mark.start()
                start = mark.start()
            case _:
                pass
    if start < len(text):
        yield start, len(text)
