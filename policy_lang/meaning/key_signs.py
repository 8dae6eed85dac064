"""The patterns of keyMatch2 to keyMatch5: the signs that they are written with, and what follows from these alone.

In comes a text, out come its pieces, the regular expression that Casbin makes of them, the form that an index can use,
and what is a trap about it.
INVARIANT: the pieces of a text, in order, are the whole text.
Source: language.md 6.4, 6.6 (7, 8, 11); Casbin's documentation, "Functions": `*` after a `/` is any characters, `:name`
(keyMatch2) and `{name}` (keyMatch3 to 5) are one or more characters that are no `/`.

Decision (2026-11-21): Casbin leaves all other characters to the regular expression. A text in which one of them has a
meaning there is a trap in strict, one exception apart: punctuation after a `\\` is itself, there and here, so that a
dot can be written (`/v1\\.0/:id`).
Decision (2026-11-21): a name that is not letters, digits and `_` is a trap in strict: `/:id.json` looks as if the end
of the segment counted, and does not; `/{a}-{b}` is one wildcard in keyMatch4 and keyMatch5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

from msgspec import Struct

from policy_lang.meaning.pattern_forms import Exact, Other, Plain, Segments, Trap

KeyFunction = Literal["keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "keyGet2", "keyGet3"]

_META = frozenset(".^$|()[]{}+?*\\")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class Itself(Struct, frozen=True):
    """One character that stands for itself; `escaped`: after a `\\`."""

    character: str
    escaped: bool = False


class Wildcard(Struct, frozen=True):
    """`:name` or `{name}`; `written` with its signs."""

    name: str
    written: str


class Star(Struct, frozen=True):
    """A `*` after a `/`."""


class Sign(Struct, frozen=True):
    """One character with a meaning in regular expressions."""

    character: str


Piece = Itself | Wildcard | Star | Sign
Pieces = tuple[Piece, ...]


def read_key(function: KeyFunction, text: str) -> Pieces:
    """The pieces of a pattern."""
    pieces: list[Piece] = []
    at = 0
    while at < len(text):
        piece, at = _piece(function, text, at)
        pieces.append(piece)
    return tuple(pieces)


def regex_text(function: KeyFunction, pieces: Pieces) -> str:
    """The regular expression that Casbin makes of the pattern; its groups are the wildcards where they matter."""
    if pieces == (Sign("*"),) and function in {"keyMatch2", "keyGet2", "keyGet3"}:
        return "^(.*)$"
    match function:
        case "keyMatch4" | "keyGet2":
            wildcard = "([^/]+)"
        case "keyGet3":
            wildcard = "([^/]+?)"
        case _:
            wildcard = "[^/]+"
    return "^" + "".join(_as_regex(piece, wildcard) for piece in pieces) + "$"


def names(pieces: Pieces) -> tuple[str, ...]:
    """The names of the wildcards, in order."""
    return tuple(piece.name for piece in pieces if isinstance(piece, Wildcard))


def trap_in(function: KeyFunction, pieces: Pieces) -> Trap | None:
    """The first trap of a text, for strict."""
    if pieces == (Sign("*"),) and function in {"keyMatch2", "keyGet2"}:
        return None
    for piece in pieces:
        match piece:
            case Sign("*"):
                return Trap("star", "`*` has a meaning of its own only after a `/`")
            case Sign(character):
                return metacharacter(character)
            case Wildcard(name, written) if not all(each.isalnum() or each == "_" for each in name):
                return Trap("name", f"`{written}` as a whole stands for one or more characters")
            case _:
                continue
    return None


def metacharacter(character: str) -> Trap:
    """The trap of a sign of regular expressions."""
    return Trap("metacharacter", f"`{character}` has the meaning that it has in regular expressions")


def form_of(pieces: Pieces) -> Plain:
    """What every name looks like that the pattern fits."""
    if any(isinstance(piece, Sign) and piece.character != "." for piece in pieces):
        return Other()
    if all(isinstance(piece, Itself) for piece in pieces):
        return Exact(_plain(pieces))
    parts: list[str | None] = []
    for segment in _segments(pieces):
        if any(isinstance(piece, Star | Sign) for piece in segment):
            return Segments(tuple(parts), rest=True) if parts and parts != [""] else Other()
        parts.append(_plain(segment) if all(isinstance(piece, Itself) for piece in segment) else None)
    return Segments(tuple(parts), rest=False)


def in_whole_segments(pieces: Pieces) -> bool:
    """Whether each wildcard is a whole segment and a star only the last: then the form and the end say all."""
    segments = _segments(pieces)
    return all(
        all(isinstance(piece, Itself) for piece in segment)
        or (len(segment) == 1 and isinstance(segment[0], Wildcard))
        or (at == len(segments) - 1 and segment == (Star(),))
        for at, segment in enumerate(segments)
    )


def places(pieces: Pieces) -> tuple[tuple[int, ...], ...]:
    """For each name that wildcards share, the numbers of their segments, from 0."""
    found: dict[str, list[int]] = {}
    for at, segment in enumerate(_segments(pieces)):
        for name in names(segment):
            found.setdefault(name, []).append(at)
    return tuple(tuple(each) for each in found.values() if len(each) > 1)


def _piece(function: KeyFunction, text: str, at: int) -> tuple[Piece, int]:
    """The piece at a place and the place after it."""
    character = text[at]
    if character == "*" and text[at - 1 : at] == "/":
        return Star(), at + 1
    end = _wildcard_end(function, text, at)
    if end:
        written = text[at:end]
        return Wildcard(written[1:] if character == ":" else written[1:-1], written), end
    if character == "\\" and text[at + 1 : at + 2] in _PUNCTUATION and not _wildcard_end(function, text, at + 1):
        return Itself(text[at + 1], escaped=True), at + 2
    return (Sign if character in _META else Itself)(character), at + 1


def _wildcard_end(function: KeyFunction, text: str, at: int) -> int:
    """Where the wildcard ends that begins at a place; 0 where none does."""
    if not text.startswith(":" if function in {"keyMatch2", "keyGet2"} else "{", at):
        return 0
    after = text.find("/", at)
    segment_end = len(text) if after < 0 else after
    match function:
        case "keyMatch2" | "keyGet2":
            return segment_end if segment_end > at + 1 else 0
        case "keyMatch3" | "keyGet3":
            return text.find("}", at + 2, segment_end) + 1
        case "keyMatch4" | "keyMatch5":
            return text.rfind("}", at + 2, segment_end) + 1
        case _:
            assert_never(function)


def _as_regex(piece: Piece, wildcard: str) -> str:
    match piece:
        case Itself(character, escaped):
            return "\\" + character if escaped else character
        case Sign(character):
            return character
        case Wildcard():
            return wildcard
        case Star():
            return ".*"
        case _:
            assert_never(piece)


def _segments(pieces: Pieces) -> list[Pieces]:
    """The pieces between the `/`."""
    segments: list[list[Piece]] = [[]]
    for piece in pieces:
        if isinstance(piece, Itself) and piece.character == "/":
            segments.append([])
        else:
            segments[-1].append(piece)
    return [tuple(segment) for segment in segments]


def _plain(pieces: Iterable[Piece] | Sequence[Piece]) -> str:
    return "".join(piece.character for piece in pieces if isinstance(piece, Itself))
