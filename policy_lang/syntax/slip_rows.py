"""How the tables of slips are read: rows of what stands before and behind the place where reading stopped.

In go that place and a table; out comes what is wrong there and what to write instead, by the first row that fits.
A row names a slip only where the grammar has stopped, so that no right text is ever looked at, and only where it fits
what is written on both sides, so that another mistake keeps its own message. Linear: a row sees `SEEN` characters on
either side.

What a row says may hold what its expressions found: `{name}` as written, `{name:snake}` as a name of the language,
`{names:or}`, `{names:commas}`, `{names:bars}` and `{names:quoted}` as a list. Braces round anything else stand for
themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from msgspec import Struct

SEEN = 200
"""Characters of the text that a row may see before the place, and as many behind it."""

LONGEST_QUOTE = 40
"""Characters of the policy that a message quotes in one piece."""

NAME = r"[A-Za-z_]\w*"
REF = rf"{NAME}(?:\.{NAME})*"
ROOTS = "token|subject|path|query|header|resource"
METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|ANY"

_PLACE = "\0"
"""Stands for the place: no text holds it that is read at all (E103)."""

_COMMENT = re.compile(r'("(?:[^"\\\n]|\\[^\n])*")|#[^\n]*')
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARTED = re.compile(r"[^a-z0-9]+")
_ITEM = re.compile(r'"[^"\n]*"|[^\s,|"\[\](){}]+')


class Row(Struct, frozen=True):
    """One slip. `found` is an expression for the text with `_PLACE` in it; one of the terminals `fits` must fit there.

    `lacks`: something is missing behind the last token that was read, where it is shown then.
    """

    found: str
    fits: frozenset[str]
    what: str
    remedy: str
    lacks: bool


class Told(Struct, frozen=True):
    """What is wrong, what to write, and whether it is shown at the token before the place."""

    what: str
    remedy: str
    before: bool = False


def row(before: str, at: str, what: str, remedy: str, fits: str = "", *, lacks: bool = False) -> Row:
    """A row by expressions for what ends at the place, blanks left out, and what begins there.

    Shapes: `fits` names terminals, with blanks between; empty where any may fit.
    """
    return Row(rf"(?:{before})\s*{_PLACE}(?:{at})", frozenset(fits.split()), what, remedy, lacks)


def told(rows: Iterable[Row], text: str, at: int, fits: frozenset[str]) -> Told | None:
    """What the first row says that fits the place `at` of `text`, where the terminals `fits` were expected."""
    before = _COMMENT.sub(r"\1", text[max(0, at - SEEN) : at])
    seen = f"{before}{_PLACE}{text[at : at + SEEN]}"
    for each in rows:
        if each.fits and each.fits.isdisjoint(fits):
            continue
        found = _compiled(each.found).search(seen)
        if found is not None:
            groups = found.groupdict(default="")
            return Told(_filled(each.what, groups), _filled(each.remedy, groups), each.lacks)
    return None


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    """Compiled at the first slip: most policies have none, and all rows take 0.04 s."""
    return re.compile(expression, re.ASCII)


def _filled(said: str, groups: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda hole: _FORMS[hole[2] or ""](groups[hole[1]]) if hole[1] in groups else hole[0], said)


def snake_case(written: str) -> str:
    """A name of the language for one that is not: `isSuspended` and `is-suspended` are `is_suspended`."""
    name = _PARTED.sub("_", _HUMP.sub("_", written).lower()).strip("_")
    return name if name[:1].isalpha() else f"a_{name}".rstrip("_")


def short(written: str) -> str:
    """As much of a text as a message quotes."""
    return written if len(written) <= LONGEST_QUOTE else f"{written[:LONGEST_QUOTE]}…"


def _joined(by: str, made: Callable[[str], str]) -> Callable[[str], str]:
    return lambda written: short(by.join(made(item) for item in _ITEM.findall(written)))


def _plain(item: str) -> str:
    return item.strip('"')


def _roles(written: str) -> str:
    """Roles as a condition that keeps its meaning behind `not` and beside `and`."""
    roles = [f"role {_plain(item)}" for item in _ITEM.findall(written)]
    return short(" or ".join(roles) if len(roles) == 1 else f"({' or '.join(roles)})")


_FORMS: Mapping[str, Callable[[str], str]] = {
    "": short,
    "snake": lambda written: short(snake_case(written)),
    "or": _roles,
    "names": _joined(" or ", _plain),
    "bars": _joined(" | ", _plain),
    "commas": _joined(", ", str),
    "steps": lambda written: short(" ".join(f'"{step}"' for step in written.split(".") if step)),
    "quoted": _joined(", ", lambda item: f'"{_plain(item)}"'),
}
