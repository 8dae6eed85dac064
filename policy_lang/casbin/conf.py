"""The lines of a `model.conf`: sections, and in each the entries `key = value`.

In goes the source, out come sections in order and a diagnostic for each line that is none of these. A line that opens
with `#` or `;` is a comment; a line that ends in `\\` goes on with the next one; nothing else spans lines. What a
section or a key means is for `definitions`.
INVARIANT: a `Text` knows, for each of its characters, where it stands in the source, across continued lines too.
Source: Casbin's documentation, "Syntax for Models"; how lines are joined as in pycasbin 2.8: trimmed, with one space
between. A comment or an empty line ends what is continued.

Decision (2026-11-21): blanks are space, tab and the CR of CRLF. A byte order mark at the start is passed over in
silence, as it is in `.pol` files: it says nothing about the model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import Struct

from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.casbin_models import StrayLine
from policy_lang.source import Source, Span

_BLANKS = " \t\r"
_LONGEST_QUOTED = 60


class Text(Struct, frozen=True):
    """A piece of a source that may be joined of several; `pieces` say from which offset of `text` on which offset of
    the source is meant, ascending, the first from 0.
    """

    source: str
    text: str
    pieces: tuple[tuple[int, int], ...]

    def span(self, start: int, end: int) -> Span:
        """Where the characters `start` to `end` (exclusive) stand; of none, the place of `start`."""
        first = self._place(start)
        return Span(self.source, first, first if end <= start else self._place(end - 1) + 1)

    def part(self, start: int, end: int) -> Text:
        """The characters `start` to `end` without the blanks around them."""
        inner = self.text[start:end]
        start += len(inner) - len(inner.lstrip(_BLANKS))
        inner = inner.strip(_BLANKS)
        after, until = (bisect_right(self.pieces, at, key=_begins) for at in (start, start + max(0, len(inner) - 1)))
        later = ((at - start, place) for at, place in self.pieces[after:until])
        return Text(self.source, inner, ((0, self._place(start)), *later))

    def exactly(self, span: Span) -> str:
        """What stands at a span that lies within this text."""
        return self.text[self._offset(span.start) : self._offset(max(span.start, span.end - 1)) + 1]

    def written(self, span: Span) -> str:
        """The same for messages, of what is long the beginning."""
        text = self.exactly(span)
        return text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}…"

    @property
    def whole(self) -> Span:
        return self.span(0, len(self.text))

    def _place(self, at: int) -> int:
        if len(self.pieces) == 1:
            return self.pieces[0][1] + at
        begins, place = self.pieces[bisect_right(self.pieces, at, key=_begins) - 1]
        return place + at - begins

    def _offset(self, place: int) -> int:
        at, begins = self.pieces[bisect_right(self.pieces, place, key=lambda piece: piece[1]) - 1]
        return at + place - begins


class Entry(Struct, frozen=True):
    """`key = value`. Both trimmed; either may be empty."""

    key: str
    key_span: Span
    value: Text


class Section(Struct, frozen=True):
    """What follows `[name]`. `name` is empty for entries before any section."""

    name: str
    span: Span
    entries: tuple[Entry, ...]


def read_sections(source: Source) -> tuple[tuple[Section, ...], tuple[Diagnostic, ...]]:
    """The sections of `source` in order, the same name as often as it is written.

    Errors: none raised; E602 for each line that is neither a section nor an entry nor a comment. Linear in the text.
    """
    name, span = "", Span(source.name, 0, 0)
    sections: list[Section] = []
    entries: list[Entry] = []
    found: list[Diagnostic] = []
    for is_section, text in _logical_lines(source):
        if is_section:
            sections += (Section(name, span, tuple(entries)),) if name or entries else ()
            name, span, entries = text.text[1:-1], text.whole, []
            continue
        at = text.text.find("=")
        if at < 0:
            found.append(StrayLine(span=text.whole))
            continue
        key = text.part(0, at)
        entries.append(Entry(key.text, key.whole, text.part(at + 1, len(text.text))))
    sections += (Section(name, span, tuple(entries)),) if name or entries else ()
    return tuple(sections), tuple(found)


def _logical_lines(source: Source) -> Iterator[tuple[bool, Text]]:
    """Each line that says something, joined with those it goes on with, and whether it is a section's."""
    going: list[tuple[int, str]] = []
    for start, line in _lines(source.text):
        says_nothing, is_section = not line or line[0] in "#;", _is_section(line)
        if going and (says_nothing or is_section):
            yield False, _joined(source.name, going)
            going = []
        if says_nothing:
            continue
        if line.endswith("\\"):
            going.append((start, line[:-1].strip(_BLANKS) + " "))
            continue
        yield is_section, _joined(source.name, [*going, (start, line)])
        going = []
    if going:
        yield False, _joined(source.name, going)


def _is_section(line: str) -> bool:
    return line.startswith("[") and line.endswith("]")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line without the blanks around it, and where it then starts."""
    start = 1 if text.startswith("\ufeff") else 0
    for line in text[start:].split("\n"):
        yield start + len(line) - len(line.lstrip(_BLANKS)), line.strip(_BLANKS)
        start += len(line) + 1


def _begins(piece: tuple[int, int]) -> int:
    return piece[0]


def _joined(source: str, lines: list[tuple[int, str]]) -> Text:
    pieces: list[tuple[int, int]] = []
    length = 0
    for start, line in lines:
        pieces.append((length, start))
        length += len(line)
    return Text(source, "".join(line for _, line in lines).rstrip(_BLANKS), tuple(pieces))
