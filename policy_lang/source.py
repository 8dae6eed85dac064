"""Source text and positions in it.

A span is half-open, in code points from 0, and carries the name of its source, so that it can travel alone.
Line and column are derived, both from 1, only when something is shown to a person.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

_LINE_END = re.compile("\n")


class Span(Struct, frozen=True, order=True):
    """The code points `start` (inclusive) to `end` (exclusive) of the source named `source`."""

    source: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not a span: {self.start}..{self.end}")

    def contains(self, other: Span) -> bool:
        """Whether every code point of `other` lies within this span."""
        return self.source == other.source and self.start <= other.start and other.end <= self.end

    def to(self, other: Span) -> Span:
        """The smallest span that contains both; ValueError when they are of two sources."""
        if self.source != other.source:
            raise ValueError(f"spans of two sources: {self.source} and {other.source}")
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))


class Position(Struct, frozen=True):
    """A place as a person counts it: line and column from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """One policy file: its path relative to the bundle, and its text."""

    name: str
    text: str
    _line_starts: Sequence[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # An array: a policy may have millions of lines, and a number in a tuple takes four times as much.
        starts = array("Q", (0,))
        starts.extend(found.end() for found in _LINE_END.finditer(self.text))
        object.__setattr__(self, "_line_starts", starts)

    def position(self, offset: int) -> Position:
        """Where the code point at `offset` stands; `offset` may be the length of the text (its end)."""
        if not 0 <= offset <= len(self.text):
            raise ValueError(f"offset {offset} is outside {self.name}")
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line_text(self, line: int) -> str:
        """The text of line `line` (from 1), without its line end; empty past the last line."""
        if not 1 <= line <= len(self._line_starts):
            return ""
        start = self._line_starts[line - 1]
        end = self._line_starts[line] - 1 if line < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")
