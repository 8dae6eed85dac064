"""The lines of a policy: a line to its values, and back from values to where they stand.

In goes one line, out come the values between its commas, trimmed; a comma within `()` or `[]` belongs to the value.
INVARIANT: values of one line follow one another in it, with nothing but blanks and one comma between two of them; that
is how their places are found again without being kept for each of a million rows.
Source: Casbin's documentation, "Policy storage"; measured on pycasbin 2.8: brackets are counted and not told apart,
quotes are characters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from msgspec import Struct

from policy_lang.diagnostics import HIDDEN
from policy_lang.source import Source, Span

BYTE_ORDER_MARK = "\ufeff"

ODD = re.compile(rf'["()\[\]\r{HIDDEN}]')
"""Whatever makes a line one to be looked at closely."""

INVISIBLE = re.compile(rf"[\r\n{HIDDEN}]")
"""What nobody sees in a value, or that makes two lines of one."""

_SIGNS = re.compile(r"[,()\[\]]")
_CLOSES = {")": "(", "]": "["}


class Bracket(Struct, frozen=True):
    """A bracket without its other half, at an offset of the line. `fatal`: Casbin itself fails."""

    at: int
    sign: str
    why: str
    fatal: bool


def lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Number from 1, offset, and text of each line that is not blank, trimmed. A byte order mark is left out."""
    number, start = 1, len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    while True:
        end = text.find("\n", start)
        raw = text[start:] if end < 0 else text[start:end]
        line = raw.strip()
        if line:
            yield number, start + (raw.find(line) if raw[0] != line[0] else 0), line
        if end < 0:
            return
        number, start = number + 1, end + 1


def values_of(line: str) -> list[str]:
    """The values of a line without brackets, its type among them."""
    return [value.strip() for value in line.split(",")]


def bracketed_values_of(line: str) -> tuple[list[str], Bracket | None]:
    """The values of any line, and the first bracket that lacks its other half."""
    values: list[str] = []
    opened: list[int] = []
    wrong: Bracket | None = None
    start = 0
    for found in _SIGNS.finditer(line):
        sign, at = found[0], found.start()
        if sign in "([":
            opened.append(at)
        elif sign == ",":
            if not opened:
                values.append(line[start:at].strip())
                start = at + 1
        elif not opened:
            return values, Bracket(at, sign, "closes nothing", fatal=True)
        else:
            other = line[opened.pop()]
            if other != _CLOSES[sign] and wrong is None:
                wrong = Bracket(at, sign, f"closes a `{other}`", fatal=False)
    values.append(line[start:].strip())
    if opened and wrong is None:
        wrong = Bracket(opened[0], line[opened[0]], "is never closed", fatal=False)
    return values, wrong


def line_span(source: Source, line: int) -> Span:
    """Line `line`, from 1, without the blanks around it."""
    text = source.line_text(line)
    start = _line_start(source, line) + len(BYTE_ORDER_MARK) * text.startswith(BYTE_ORDER_MARK)
    text = text.removeprefix(BYTE_ORDER_MARK)
    start += len(text) - len(text.lstrip())
    return Span(source.name, start, start + len(text.strip()))


def span_of(source: Source, line: int, values: Sequence[str], at: int) -> Span:
    """Where `values[at]` stands: `values` are the first ones of the line, its type included. The whole line where they
    do not stand there so.
    """
    whole = line_span(source, line)
    text, place = source.text[whole.start : whole.end], 0
    for value in values[:at]:
        place = text.find(",", _past_blanks(text, place, value) + len(value)) + 1
        if not place:
            return whole
    start = _past_blanks(text, place, values[at])
    end = start + len(values[at])
    return Span(source.name, whole.start + start, whole.start + end) if end <= len(text) else whole


def _line_start(source: Source, line: int) -> int:
    return bisect_left(range(len(source.text) + 1), line, key=lambda offset: source.position(offset).line)


def _past_blanks(text: str, at: int, value: str) -> int:
    """Where `value` begins, behind the blanks at `at`; an empty one begins there."""
    while value and at < len(text) and text[at].isspace():
        at += 1
    return at
