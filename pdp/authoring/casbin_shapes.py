"""Paths that rows of a Casbin table name, as endpoints: shapes of whole segments, and how two of them lie.

In go a function and its pattern (or none, for equal paths); out come a `Shape`, or why there is none. Of shapes none of
which cross, a path belongs to the narrowest, and each row takes that one wholly or not at all.
INVARIANT: a shape holds exactly the paths that its row fits, among those that do not end in `/`; these are in no shape,
and so are refused.
Source: language.md 3 "Path patterns", 4.4; policy_lang/meaning/patterns.py.

Decision (2026-11-21): what Casbin's functions match within a segment (`/a*`, `/a/*/b`, `/v:x`) has no shape, and the
row is left out by name. A prefix such as `/a/*` is `/a/{a}/**`: `/a` itself does not fit it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from msgspec import Struct

from policy_lang.ir.tables import FunctionName
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.pattern_forms import Anything, Exact, Form, Prefix, Reduced, Segments, Trap
from policy_lang.meaning.patterns import PatternFault, parse_pattern

MOST_SHAPES = 2_000
"""Endpoints that a conversion makes at the most."""

_RAW = "!$&'+=:@~"
_SENT_RAW = f"/{_RAW}*"
"""What stands raw in the path of a call: what is a sign in a pattern, too."""

_SIGNS = re.compile(r"[(),]")

_FILLED = ("w1x", "w2y", "w3z", "w4v", "w5u", "w6t", "w7s", "w8r")
"""Words that no policy is likely to name; each place of a shape has another one."""


class Shape(Struct, frozen=True, order=True):
    """Segments, None for any one; with `rest`, any number of others follow."""

    parts: tuple[str | None, ...]
    rest: bool

    def text(self) -> str:
        """The pattern of an endpoint."""
        names = iter("abcdefghijklmnopqrstuvwxyz")
        written = [f"{{{next(names, 'z')}}}" if part is None else quote(part, safe=_RAW) for part in self.parts]
        return "/" + "/".join([*written, *(["**"] if self.rest else [])])

    def filled(self, more: int = 0) -> str:
        """A path of the shape, with so many segments behind it where any may follow."""
        words = [_FILLED[place % len(_FILLED)] if part is None else part for place, part in enumerate(self.parts)]
        return "/" + "/".join([*words, *(["tail"] * more if self.rest else [])])

    def samples(self) -> tuple[str, ...]:
        """Paths of the shape that stand for all of them."""
        return tuple(dict.fromkeys(self.filled(more) for more in (0, 1, 3)))


EVERYTHING = Shape((), rest=True)


def called(path: str) -> str | None:
    """A path as a call of a test names it: what may stand raw does, or it would be refused where it is literal; None
    where no call can, since parentheses and commas are signs of policies.
    """
    return None if _SIGNS.search(path) else quote(path, safe=_SENT_RAW)


_WHOLE = frozenset(("*", "/*"))
_WHOLE_SEGMENTS = re.compile(r"(?:/(?::[^/*{}]+|\{[^/*{}]+\}|[^/*:{}]*))*(?:/\*)?")
_WITHIN = "what it takes is no row of whole segments"


def shape_of(function: FunctionName | None, text: str) -> Shape | str:
    """The shape of the paths that fit, or why there is none; without a function, of this path alone."""
    read = None if function is None else pattern(function, text, mode="strict")
    if isinstance(read, Trap):
        return read.said
    if read is not None and text in _WHOLE and all(fits(read, each) for each in EVERYTHING.samples()):
        return EVERYTHING
    if read is not None and not _WHOLE_SEGMENTS.fullmatch(text):
        return _WITHIN
    shape = _of_form(Exact(text) if read is None else read.form)
    if isinstance(shape, str):
        return shape
    if len([part for part in shape.parts if part is None]) > len(_FILLED):
        return f"it has more than {len(_FILLED)} wildcards"
    if isinstance(parse_pattern(shape.text()), PatternFault):
        return "it is no path that an endpoint can have"
    if read is not None and not all(fits(read, each) for each in shape.samples()):
        return _WITHIN
    return shape


def fits(of: Pattern, path: str) -> bool:
    """Whether a path fits the pattern."""
    return of.fits(path) is True


def _of_form(form: Form) -> Shape | str:
    match form:
        case Exact(text):
            return _of_segments(text.split("/"), rest=False)
        case Prefix(text) if text.endswith("/"):
            return _behind(text.split("/")[:-1])
        case Segments(parts, rest):
            return _behind(parts) if rest else _of_segments(parts, rest=False)
        case Anything():
            return EVERYTHING
        case Reduced():
            return "what stands behind a `?`, or doubled slashes, are no part of a path here"
        case _:
            return _WITHIN


def _behind(parts: Iterable[str | None]) -> Shape | str:
    """What follows these segments: one at the least."""
    shape = _of_segments([*parts, None], rest=True)
    return EVERYTHING if isinstance(shape, Shape) and shape.parts == (None,) else shape


def _of_segments(parts: Iterable[str | None], *, rest: bool) -> Shape | str:
    first, *others = parts
    if first != "" or not others:
        return "it does not begin with `/`"
    if others == [""]:
        return Shape((), rest=False)
    return "it has an empty segment" if "" in others else Shape(tuple(others), rest)


# ---------------------------------------------------------------- many


def common(one: Shape, other: Shape) -> Shape | None:
    """The paths that two shapes share; None where they share none."""
    short, long = (one, other) if len(one.parts) <= len(other.parts) else (other, one)
    if len(short.parts) < len(long.parts) and not short.rest:
        return None
    parts: list[str | None] = []
    for left, right in zip(short.parts, long.parts, strict=False):
        if left is not None and right is not None and left != right:
            return None
        parts.append(right if left is None else left)
    rest = long.rest and short.rest
    return Shape((*parts, *long.parts[len(short.parts) :]), rest)


def crossed(shape: Shape, others: Iterable[Shape]) -> Shape | None:
    """The first of `others` with which the shape shares paths while neither holds the other (E410)."""
    return next((each for each in others if common(shape, each) not in (None, shape, each)), None)
