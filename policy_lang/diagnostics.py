"""Mistakes as values, and the one place that turns them into text or JSON.

A mistake is a frozen value that derives from `Diagnostic` and stands in `policy_lang/mistakes/`, the catalogue. Its
class says what is the same each time (`code`, `title`, `label`, `help`: templates filled from the instance's fields;
`note`: why the language has it so; `about`: what its code stands for, where several classes share one), its fields say
what is not. Phases collect
diagnostics and return them; nobody raises one. `CompileError` carries them over the package edge.

SECURITY: a message holds text of the policy, and of file names, which whoever wrote them chose: what a terminal would
obey or not show (`HIDDEN`, line ends) is printed as its number, in an excerpt as one U+FFFD each.

Wording: lower case, no full stop, user text in backticks, the cause after a colon, the remedy in `help`.
Design: language.md 4.6.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import ClassVar, Literal

from msgspec import Struct

from policy_lang.source import Source, Span

HIDDEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 controls; tab, LF and CR are left out
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Body of a character class: code points nobody can see, or that move others; no source may hold one (E103)."""

_UNPRINTABLE = re.compile(rf"[{HIDDEN}\t\n\r]")
_HIDDEN = re.compile(rf"[{HIDDEN}\r]")

MOST_SHOWN = 100
"""Diagnostics shown in one run; the rest is counted ("n more")."""


class Label(Struct, frozen=True):
    """A second place that matters, with what it has to do with the mistake."""

    span: Span
    text: str


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One mistake (or warning) at one place. Subclasses set the templates and add the fields these name."""

    code: ClassVar[str]
    title: ClassVar[str]
    label: ClassVar[str] = ""
    help: ClassVar[str] = ""
    note: ClassVar[str] = ""
    about: ClassVar[str] = ""
    severity: ClassVar[Literal["error", "warning"]] = "error"

    span: Span
    others: tuple[Label, ...] = ()
    hint: str = ""
    """Advice worked out for this instance; shown beside the class's `help`."""

    def _filled(self, template: str) -> str:
        return template.format_map({name: getattr(self, name) for name in self.__struct_fields__})

    @property
    def message(self) -> str:
        return self._filled(self.title)

    @property
    def label_text(self) -> str:
        return self._filled(self.label)

    @property
    def helps(self) -> tuple[str, ...]:
        return tuple(text for text in (self._filled(self.help), self.hint) if text)


_NO_SOURCES: Mapping[str, Source] = {}


class CompileError(Exception):
    """The policy was refused. `diagnostics` are sorted and hold at least one error.

    Its text is the first error, `E603 model.conf:8: …`, and how many more there are; without the line where the file is
    not among `sources`. Whoever shows all of them renders them.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source] = _NO_SOURCES) -> None:
        super().__init__(_in_short(diagnostics, sources))
        self.diagnostics = tuple(diagnostics)


def _in_short(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> str:
    errors = [each for each in diagnostics if each.severity == "error"]
    if not errors:
        return "the policy was refused"
    first = errors[0]
    source = sources.get(first.span.source)
    line = "" if source is None else f":{source.position(min(first.span.start, len(source.text))).line}"
    more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"{first.code} {printable(first.span.source)}{line}: {printable(first.message)}{more}"


MOST_COMPARED = 128
"""Known names that a misspelt one is compared with; of more, those that begin and end most like it."""

LONGEST_COMPARED = 100
"""Characters of a name that gets a hint. Comparing takes the square of the length."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: "did you mean `x`?", or nothing where no known name is near."""
    candidates = sorted(each for each in known if len(each) <= LONGEST_COMPARED)
    if len(name) > LONGEST_COMPARED:
        return ""
    if len(candidates) > MOST_COMPARED:
        candidates = sorted(nlargest(MOST_COMPARED, candidates, key=lambda each: _alike_at_ends(name, each)))
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


MOST_LOOKED_AT = 20_000
"""Known names that the first mistake may be compared with; the n-th may with an n-th of them."""


def hint_for(name: str, known: Iterable[str], found: Sequence[Diagnostic]) -> str:
    """The same for one of many mistakes: once as many are `found` as are ever shown, there are no more hints.

    Where many names are known only the first mistakes get one, so that all hints together cost a bounded time.
    """
    errors = errors_shown(found)
    if errors == MOST_SHOWN:
        return ""
    most = MOST_LOOKED_AT // (errors + 1)
    candidates = list(islice(known, most + 1))
    return nearest(name, candidates) if len(candidates) <= most else ""


def errors_shown(found: Sequence[Diagnostic]) -> int:
    """How many errors were found, up to as many as are ever shown: beyond, no work is put into how one reads."""
    return sum(1 for _ in islice((each for each in reversed(found) if each.severity == "error"), MOST_SHOWN))


def _alike_at_ends(one: str, other: str) -> int:
    """Characters in common from the front and from the back."""
    front = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    back = next((i for i, (a, b) in enumerate(zip(one[::-1], other[::-1], strict=False)) if a != b), len(one))
    return front + back


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by file and position, equal ones once."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.span.source, d.span.start, d.span.end, d.code)))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(d.severity == "error" for d in diagnostics)


def render(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> str:
    """The text a person reads: each diagnostic with file, line, column, the excerpt and the remedy.

    Shapes: at most `MOST_SHOWN` diagnostics, blank lines between them, then how many are left out; a place whose source
        is not among `sources` is named by its file alone.
    """
    shown = [_render_one(d, sources) for d in diagnostics[:MOST_SHOWN]]
    if len(diagnostics) > MOST_SHOWN:
        shown.append(f"{len(diagnostics) - MOST_SHOWN} more not shown")
    return "\n\n".join(shown)


def _render_one(diagnostic: Diagnostic, sources: Mapping[str, Source]) -> str:
    widest = max(_digits(span, sources) for span in (diagnostic.span, *(other.span for other in diagnostic.others)))
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {printable(diagnostic.message)}"]
    lines += _excerpt(diagnostic.span, diagnostic.label_text, "^", "-->", sources, widest)
    for other in diagnostic.others:
        lines += _excerpt(other.span, other.text, "-", ":::", sources, widest)
    margin = " " * max(3, widest + 1)
    lines += [f"{margin}= help: {printable(text)}" for text in diagnostic.helps]
    lines += [f"{margin}= note: {printable(diagnostic.note)}"] if diagnostic.note else []
    return "\n".join(lines)


def _digits(span: Span, sources: Mapping[str, Source]) -> int:
    """How wide the number of the line is; 1 where no line is shown."""
    source = sources.get(span.source)
    return 1 if source is None else len(str(source.position(span.start).line))


_REPLACEMENT = "\ufffd"

WIDEST_EXCERPT = 160
"""Code points of a source line that an excerpt shows; longer lines are cut around the place."""


def _excerpt(span: Span, text: str, mark: str, arrow: str, sources: Mapping[str, Source], widest: int) -> list[str]:
    """A place; `widest` are the digits of the greatest line number of its diagnostic."""
    source = sources.get(span.source)
    gutter = " " * widest
    if source is None:
        return [f"{gutter} {arrow} {printable(span.source)}"]
    at = source.position(span.start)
    whole = source.line_text(at.line)
    column = at.column - 1
    shown = whole
    if len(whole) > WIDEST_EXCERPT:
        cut = max(0, column - WIDEST_EXCERPT // 4)
        shown, column = whole[cut : cut + WIDEST_EXCERPT], column - cut
    width = max(1, min(span.end - span.start, len(shown) - column))
    pad = "".join("\t" if c == "\t" else " " for c in shown[:column])
    return [
        f"{gutter} {arrow} {printable(span.source)}:{at.line}:{at.column}",
        f"{gutter} |",
        f"{at.line:>{widest}} | {_HIDDEN.sub(_REPLACEMENT, shown)}".rstrip(),
        f"{gutter} | {pad}{mark * width} {printable(text)}".rstrip(),
    ]


def printable(text: str) -> str:
    """`text` with what a terminal would obey or not show written as its number."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def as_json(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> list[dict[str, object]]:
    """The same for programs: code, severity, message, help, file, and line and column from 1 of start and end."""
    return [
        {
            "code": d.code,
            "severity": d.severity,
            "message": d.message,
            "label": d.label_text,
            "help": list(d.helps),
            "note": d.note,
            **_place(d.span, sources),
            "others": [{"text": o.text, **_place(o.span, sources)} for o in d.others],
        }
        for d in diagnostics[:MOST_SHOWN]
    ]


def _place(span: Span, sources: Mapping[str, Source]) -> dict[str, object]:
    source = sources.get(span.source)
    if source is None:
        return {"file": span.source}
    start, end = source.position(span.start), source.position(min(span.end, len(source.text)))
    return {
        "file": span.source,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
    }
