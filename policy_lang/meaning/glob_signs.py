"""The signs of globs: a text without braces to its segments, and each segment to what its characters may be.

In comes a text, out comes a `Path`, or the `Trap` that says why not.
INVARIANT: no segment of a path is empty, and nothing that a segment takes holds a `/`.
Source: globs.py says what the signs mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from policy_lang.addresses import Intervals, difference, union
from policy_lang.meaning.linear_regex import unreadable
from policy_lang.meaning.pattern_forms import Trap

EVERYTHING: Intervals = ((0, 0x10FFFF),)
"""All code points."""

_SLASH: Intervals = ((ord("/"), ord("/")),)


class Run(Struct, frozen=True):
    """`*`"""


class OneOf(Struct, frozen=True):
    """One character; no `/` among them."""

    characters: Intervals


class AnyNumber(Struct, frozen=True):
    """`**` as a whole segment."""


_ONE = OneOf(difference(EVERYTHING, _SLASH))

Item = str | Run | OneOf
Segment = AnyNumber | tuple[Item, ...]


class Path(Struct, frozen=True):
    """One text without braces; `rooted`: it begins with `/`, `closed`: it ends so, and has segments."""

    segments: tuple[Segment, ...]
    rooted: bool
    closed: bool


def read_path(text: str) -> Path | Trap:
    """A text without braces, read."""
    segments: list[Segment] = []
    items: list[Item] = []
    at = start = itself_until = 0
    while at < len(text):
        if text[at] == "/":
            segments.append(_segment(text[start:at], items))
            at += 1
            items, start = [], at
            continue
        item, after = _item(text, at) if at >= itself_until or text[at] != "[" else ("[", at + 1)
        if isinstance(item, Trap):
            return item
        if text[at] == "[" and item == "[":
            itself_until = at + len(text[at:].partition("/")[0])
        items.append(item)
        at = after
    segments.append(_segment(text[start:], items))
    kept = tuple(segment for segment in segments if segment != ())
    return Path(kept, rooted=segments[0] == () and bool(text), closed=segments[-1] == () and bool(kept))


def _segment(written: str, items: Sequence[Item]) -> Segment:
    return AnyNumber() if written == "**" else tuple(items)


def _item(text: str, at: int) -> tuple[Item | Trap, int]:
    """What one item of a segment stands for, and the place after it."""
    match text[at]:
        case "*":
            return Run(), at + 1
        case "?":
            return _ONE, at + 1
        case "\\":
            escaped = text[at + 1 : at + 2]
            return (unreadable("a `\\` stands before a `/` or the end") if escaped in {"", "/"} else escaped), at + 2
        case "[":
            return _class(text, at)
        case character:
            return character, at + 1


def _class(text: str, opened: int) -> tuple[Item | Trap, int]:
    """A class; or the bracket itself where none is closed before the end or a `/`."""
    at = opened + 1
    negated = text[at : at + 1] in {"!", "^"}
    at += negated
    first, members = at, list[tuple[int, int]]()
    while at < len(text) and (text[at] != "]" or at == first):
        if text.startswith("[:", at):
            return unreadable("names of classes in brackets are not read"), at
        low, at = _member(text, at)
        high = low
        if text.startswith("-", at) and text[at + 1 : at + 2] not in {"", "]"}:
            high, at = _member(text, at + 1)
        if "/" in {low, high}:
            return "[", opened + 1
        members += [(ord(low), ord(high))] if low <= high else []
    if at >= len(text):
        return "[", opened + 1
    taken = union(members)
    inside = difference(EVERYTHING, taken) if negated else taken
    return OneOf(difference(inside, _SLASH)), at + 1


def _member(text: str, at: int) -> tuple[str, int]:
    """A character of a class and the place after it; "/" where the text ends in a `\\`."""
    if text[at] != "\\":
        return text[at], at + 1
    return text[at + 1 : at + 2] or "/", at + 2


def opens_no_class(text: str) -> bool:
    """Whether the text has a `[` that is itself."""
    at = 0
    while at < len(text):
        if text[at] == "[":
            item, at = _class(text, at)
            if item == "[":
                return True
        else:
            at += 2 if text[at] == "\\" else 1
    return False
