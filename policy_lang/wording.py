"""A piece of policy as a person wrote it, on one line: for traces, tests and step-up answers.

A span goes in, its text comes out with comments dropped and white space folded to single spaces; strings are kept.
"""

from __future__ import annotations

import re

from policy_lang.source import Source, Span

_PIECE = re.compile(r'(?P<blank>(?:[ \t\r\n]++|#[^\n]*+)++)|"(?:[^"\\]|\\.)*"|[^"# \t\r\n]+|.', re.DOTALL)


def as_written(source: Source, span: Span, *keywords: str) -> str:
    """The text at `span` without the first of `keywords` it begins with."""
    pieces = _PIECE.finditer(source.text, span.start, span.end)
    text = "".join(" " if piece["blank"] else piece[0] for piece in pieces).strip()
    for keyword in keywords:
        if text.startswith(f"{keyword} "):
            return text[len(keyword) + 1 :]
    return text
