"""The patterns of globMatch: braces, stars and classes, as a regular expression of linear time and a form for an index.

In comes a text, out comes a `Glob` or the `Trap` that says why not. `*` is any characters of one segment, `**` as a
whole segment any number of segments, `?` one character that is no `/`, `[a-z]`, `[!a]` one of a class, `{a,b}` either
text; `\\` makes the next character itself. Where a segment is met by `*`, `**`, `?` or a class it does not begin with a
dot. Runs of `/` are one `/`, and a name may end with more of them than the pattern.
INVARIANT: what a glob takes depends on the name only; the file system is never asked.
Source: language.md 6.4; Casbin's documentation, "Functions", globMatch; wcmatch's documentation (GLOBSTAR, BRACE), with
whose reading tests/casbin/test_globs.py compares this one.

Decision (2026-11-21): braces are read where they are well formed: closed, with a comma, no deeper than 8, for no more
than 64 texts and 4,096 characters in all. A range (`{1..3}`), a single text (`{a}`), `${`, a class with a POSIX name
(`[[:alpha:]]`) and a `\\` before a `/` or the end are unreadable in both modes.
Decision (2026-11-21): traps in strict: `*/` at the beginning, whose star Casbin drops; `**` beside other characters,
which is one `*`; a comma outside braces under a final `/**`, which Casbin puts between braces; a `[` that opens no
class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import dropwhile, takewhile

from msgspec import Struct

from policy_lang.addresses import Intervals, difference
from policy_lang.ir.tables import Mode
from policy_lang.meaning.glob_braces import alternatives, comma_outside
from policy_lang.meaning.glob_signs import (
    EVERYTHING,
    AnyNumber,
    Item,
    OneOf,
    Path,
    Run,
    Segment,
    opens_no_class,
    read_path,
)
from policy_lang.meaning.linear_regex import Regex, escaped, read_regex
from policy_lang.meaning.pattern_forms import Other, Plain, Segments, Trap

_HIDDEN = r"(?:/(?:[^./][^/]*)?)"
"""A `/` and a segment that does not begin with a dot, or none."""

_DOT: Intervals = ((ord("."), ord(".")),)


class Glob(Struct, frozen=True):
    """`regex` is the truth; `form` is of the name with single slashes."""

    regex: Regex
    form: Plain


def read_glob(text: str, *, mode: Mode) -> Glob | Trap:
    """The glob, or why not."""
    if mode == "strict":
        trap = _trap_in(text)
        if trap:
            return trap
    texts = alternatives(_as_casbin_does(text))
    if isinstance(texts, Trap):
        return texts
    paths: list[Path] = []
    for each in texts:
        path = read_path(each)
        if isinstance(path, Trap):
            return path
        paths.append(path)
    regex = read_regex("^(?:" + "|".join(_regex(path) for path in paths) + ")$")
    return regex if isinstance(regex, Trap) else Glob(regex, _form(paths))


def _as_casbin_does(text: str) -> str:
    """The text that Casbin asks its library about."""
    text = text[1:] if text.startswith("*/") else text
    single = "/".join(part if part == "**" else re.sub(r"\*{2,}", "*", part) for part in text.split("/"))
    return f"{{{single[:-3]},{single}}}" if single.endswith("/**") else single


def _trap_in(text: str) -> Trap | None:
    if text.startswith("*/"):
        return Trap("first_star", "the `*` of a `*/` at the beginning is dropped")
    if any("**" in part and part != "**" for part in text.split("/")):
        return Trap("double_star", "`**` beside other characters is one `*`")
    if text.endswith("/**") and comma_outside(text):
        return Trap("braces", "under a final `/**` a comma outside braces separates two patterns")
    if opens_no_class(text):
        return Trap("bracket", "a `[` that is not closed in its segment is itself")
    return None


# ---------------------------------------------------------------- writing


def _regex(path: Path) -> str:
    """What the path takes, whole names."""
    if not path.segments:
        return "/+" if path.rooted else ""
    written: list[str] = []
    last = len(path.segments) - 1
    after_slash = False
    for at, segment in enumerate(path.segments):
        if isinstance(segment, AnyNumber):
            if at > 0 and isinstance(path.segments[at - 1], AnyNumber):
                continue
            more = any(not isinstance(each, AnyNumber) for each in path.segments[at:])
            written.append(_any_number(first=at == 0 and not path.rooted, ends=not more, closed=path.closed))
            after_slash = True
        else:
            written.append("/+" if (at > 0 or path.rooted) and not after_slash else "")
            written.append(_whole(segment))
            after_slash = False
    if not isinstance(path.segments[last], AnyNumber):
        written.append("/+" if path.closed else "/*")
    return "".join(written)


def _any_number(*, first: bool, ends: bool, closed: bool) -> str:
    """`**`, first in the pattern or with the `/` before it; with the `/` after it unless it ends the path."""
    if first:
        beginning = f"(?:[^./][^/]*)?{_HIDDEN}*"
        if not ends:
            return f"(?:{beginning}/+)?"
        return beginning + "/+" if closed else beginning
    return _HIDDEN + "+" if ends and not closed else _HIDDEN + "*/+"


def _whole(segment: Sequence[Item]) -> str:
    """A segment from its first character on, which no sign takes when it is a dot."""
    first, rest = segment[0], segment[1:]
    match first:
        case Run():
            after = tuple(dropwhile(lambda item: isinstance(item, Run), rest))
            taken = "[^./][^/]*" + _within(after)
            return taken if not after or after[0] == "." else f"(?:{taken}|{_whole(after)})"
        case OneOf(characters):
            return _one_of(difference(characters, _DOT)) + _within(rest)
        case _:
            return escaped(first) + _within(rest)


def _within(items: Sequence[Item]) -> str:
    return "".join(
        "[^/]*" if isinstance(item, Run) else _one_of(item.characters) if isinstance(item, OneOf) else escaped(item)
        for item in items
    )


def _one_of(characters: Intervals) -> str:
    if not characters:
        return "[^" + _ranges(EVERYTHING) + "]"
    if characters[0][0] == 0:
        return "[^" + _ranges(difference(EVERYTHING, characters)) + "]"
    return "[" + _ranges(characters) + "]"


def _ranges(of: Intervals) -> str:
    return "".join(_character(low) + ("-" + _character(high) if high > low else "") for low, high in of)


def _character(code_point: int) -> str:
    return rf"\x{code_point:02x}" if code_point < 0x80 else chr(code_point)


# ---------------------------------------------------------------- for an index


def _form(paths: Sequence[Path]) -> Plain:
    """What the names of all paths begin with, their slashes single and none at the end."""
    parts = _parts(paths[0])
    rest = AnyNumber() in paths[0].segments
    for path in paths[1:]:
        others = _parts(path)
        rest = rest or AnyNumber() in path.segments or others != parts
        parts = tuple(mine for mine, _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, others, strict=False)))
    return Segments(parts, rest) if any(parts) else Other()


def _parts(path: Path) -> tuple[str | None, ...]:
    """The segments before any `**`; the first is empty where the path begins with `/`."""
    known = takewhile(lambda segment: not isinstance(segment, AnyNumber), path.segments)
    return (("",) if path.rooted else ()) + tuple(_plain(segment) for segment in known)


def _plain(segment: Segment) -> str | None:
    """The text of a segment that is only text."""
    if isinstance(segment, AnyNumber):
        return None
    texts = [item for item in segment if isinstance(item, str)]
    return "".join(texts) if len(texts) == len(segment) else None
