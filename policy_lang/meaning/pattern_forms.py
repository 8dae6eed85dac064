"""What an index can use of a pattern: a form that every name has which the pattern fits.

In come names and forms, out comes whether a name may fit. A form may let names through that the pattern does not fit;
it never keeps one out that it does. `Exact` that stands alone is the whole truth, and so is `Prefix` of keyMatch; that
of regexMatch may be the beginning only of what the expression asks.
INVARIANT: `Reduced` holds no `Reduced`.
Source: language.md 6.4; Casbin's documentation, "Functions".
"""

from __future__ import annotations

from typing import Literal, assert_never

from msgspec import Struct

from policy_lang.addresses import number

Reduction = Literal["before_query", "single_slashes"]
"""`before_query`: what stands before the first `?` (keyMatch5). `single_slashes`: each run of `/` as one, and none at
the end, not even a single one (globMatch).
"""

TrapKind = Literal[
    "unreadable",  # no meaning at all: RE2 refuses it, Casbin raises, no network, too long; in both modes
    "metacharacter", "star", "name", "braces", "bracket", "double_star", "first_star",
    "host_bits", "netmask", "both_families",
    "ignored", "open_end",
]  # fmt: skip


class Trap(Struct, frozen=True):
    """A pattern that means nothing, or otherwise than it looks; `said` is a clause for a message: names the sign."""

    kind: TrapKind
    said: str


class Exact(Struct, frozen=True):
    """The name is this text."""

    text: str


class Prefix(Struct, frozen=True):
    """The name begins with this text."""

    text: str


class Segments(Struct, frozen=True):
    """The name, split at every `/`, has these segments, None for any that is not empty; with `rest`, first these and
    then any number of others, none included.
    """

    parts: tuple[str | None, ...]
    rest: bool


class Network(Struct, frozen=True):
    """The name is an address whose number (policy_lang/addresses.py) lies from `first` to `last`, both included."""

    first: int
    last: int


class Anything(Struct, frozen=True):
    """Every name, or every name without a line break."""


class Other(Struct, frozen=True):
    """Nothing is known: ask `Pattern.fits`."""


Plain = Exact | Prefix | Segments | Network | Anything | Other


class Reduced(Struct, frozen=True):
    """Not the name but `reduced(name, by)` has the form."""

    by: Reduction
    of: Plain


Form = Plain | Reduced


def reduced(name: str, by: Reduction) -> str:
    """The part or the spelling of a name that a `Reduced` form speaks of."""
    if by == "before_query":
        return name.partition("?")[0]
    kept = [segment for segment in name.split("/") if segment]
    return ("/" if name.startswith("/") else "") + "/".join(kept)


def admits(form: Form, name: str) -> bool:
    """Whether a name has the form."""
    match form:
        case Exact(text):
            return name == text
        case Prefix(text):
            return name.startswith(text)
        case Segments():
            return _in_segments(form, name)
        case Network(first, last):
            at = number(name)
            return at is not None and first <= at <= last
        case Anything() | Other():
            return True
        case Reduced(by, of):
            return admits(of, reduced(name, by))
        case _:
            assert_never(form)


def _in_segments(form: Segments, name: str) -> bool:
    count = len(form.parts)
    segments = name.split("/", count) if form.rest else name.split("/")
    if len(segments) < count or (not form.rest and len(segments) != count):
        return False
    return all(
        segment if part is None else segment == part for part, segment in zip(form.parts, segments, strict=False)
    )
