"""The path and the query of a request: canonical or refused by a named reason. Nothing is repaired.

In comes the target as the gateway gives it, out goes a `Path` whose segments were decoded once, or a `PathRefusal`.
Nothing here parses a URL: a leading `//` is an empty segment, never an authority. Time is linear in the input. Shared
by the service and by `test` blocks.

A segment may hold unreserved characters, `!$&'()*+,=:@`, and escapes `%XX` (adjacent ones decode together, as UTF-8).
`%2F` is let through and noted: only routing knows whether an `opaque` capture takes the segment.
The first offence from the left decides; the bounds of a segment are judged before its characters:

    path.missing             no path at all, or an empty one
    path.too_long            more than `MAX_PATH` characters before the query, more than `MAX_SEGMENTS` segments, or
                             more than `MAX_BEYOND_ASCII` characters in a segment with one beyond ASCII
    path.not_absolute        the first character is not `/` (`*`, absolute form, authority form)
    path.fragment            `#`, raw (also after the `?`) or escaped
    path.empty_segment       `//`, or nothing at one side of a `%2F`
    path.dot_segment         a segment `.` or `..`, also as a part of one between `%2F`
    path.backslash           a backslash, raw or escaped
    path.encoded_percent     `%25`: what follows would be decoded twice somewhere
    path.semicolon           `;`, raw or escaped: some back ends cut path parameters off
    path.encoded_question    `%3F`
    path.control             C0, DEL or C1, raw or escaped
    path.space               a raw space, or an escaped one at either end of a segment
    path.encoded_unreserved  an escape of a letter, a digit or one of `-._~`
    path.bad_escape          `%` without two hex digits after it (`%u002f` too)
    path.not_utf8            escapes that are not UTF-8: overlong, surrogates, cut short
    path.compatibility       a character beyond ASCII that some back ends turn into one of the above: its compatibility
                             form (NFKC) or best fit is a slash, a backslash, a dot segment, `;`, `%`, `?`, `#`, a blank
                             at either end
    path.character           any other raw character; outside ASCII all are

Routing adds `path.encoded_slash`, `path.encoded_literal` and `path.lookalike` (policy_lang/meaning/routing.py). A query
is refused as `schema` for its encoding alone (below); its types are policy_lang/meaning/schema.py's.
Source: contracts.md "Requests"; language.md 5.1; security.md 2.2.

Decision (2026-11-21): `/` has no segments and no trailing slash: it is the one path that is equal with and without.
Decision (2026-11-21): what stands between `%2F` in a segment is judged as segments are, in what it may hold and in what
it may not be: a back end that decodes it makes segments of it. So `%2e%2e%2f`, `..%2F..` and `%2F%2F` never pass.
Decision (2026-11-21): a raw `#` is refused wherever it stands in the target, also in the query: what follows it is read
as a fragment by some back ends and as data by others.
Decision (2026-11-21): what is not ASCII is looked at in its compatibility form besides: `%EF%BC%8F` is a slash and
`%E2%80%A5` is `..` to a back end that normalises. The form itself is never taken for the segment.
Decision (2026-11-21): in a query a raw character outside visible ASCII is `schema.query_encoding` (controls:
`schema.query_control`), and so is a bad escape: what a back end makes of either is its own guess. Empty pieces (`&&`)
are passed over; a piece without `=` has the empty value.
"""

from __future__ import annotations

import re
import unicodedata

from msgspec import Struct

MAX_PATH = 8192
"""Characters of a path without its query: what common servers accept of a whole request line, so that no back end
sees a longer one cut."""

MAX_BEYOND_ASCII = 512
"""Characters of a segment that holds one beyond ASCII: forms of it are worked out, and a form may be long."""

MAX_SEGMENTS = 256
MAX_PARAMETERS = 512
"""Pieces of one query. Both bound what one request costs: no API asks for as many, a flood does."""


class Path(Struct, frozen=True):
    """A canonical path.

    `text` is the path without its query, hex digits of escapes in upper case; `segments` are decoded;
    `escaped` holds the indices of segments that were written with an escape of a character that may stand raw;
    `query` is what stood after the first `?`, raw, or None. `slashed` holds the indices of segments with a `%2F`, which
    stands decoded in them.
    """

    text: str
    segments: tuple[str, ...]
    trailing_slash: bool
    escaped: frozenset[int]
    query: str | None
    slashed: frozenset[int] = frozenset()


class PathRefusal(Struct, frozen=True):
    """Why a path is not canonical: a reason such as `path.encoded_slash`."""

    reason: str


class QueryRefusal(Struct, frozen=True):
    """Why a query cannot be read: a reason such as `schema.query_control`."""

    reason: str


def canonical_path(raw: str | None) -> Path | PathRefusal:
    """The path of a request target, cut from its query at the first `?`, or why it is refused.

    INVARIANT: the text of a path, with `?` and its query where it has one, is read as that same path.
    """
    if not raw:
        return PathRefusal("path.missing")
    text, mark, query = raw.partition("?")
    if len(text) > MAX_PATH:
        return PathRefusal("path.too_long")
    if _USUAL.fullmatch(text) and "#" not in query:
        segments = tuple(text[1:].split("/"))
        if len(segments) <= MAX_SEGMENTS:
            rest = query if mark else None
            return Path(text, segments, trailing_slash=False, escaped=_NOWHERE, query=rest)
    return _read(text, query if mark else None)


def _read(text: str, query: str | None) -> Path | PathRefusal:
    """The path of a target of any form, segment by segment."""
    if not text.startswith("/"):
        return PathRefusal("path.not_absolute")
    if query is not None and "#" in query:
        return PathRefusal("path.fragment")
    written = text[1:].split("/")
    trailing_slash = len(written) > 1 and written[-1] == ""
    if trailing_slash or text == "/":
        written.pop()
    if len(written) > MAX_SEGMENTS:
        return PathRefusal("path.too_long")
    segments: list[str] = []
    escaped: set[int] = set()
    slashed: set[int] = set()
    for index, each in enumerate(written):
        segment = _segment(each)
        if isinstance(segment, PathRefusal):
            return segment
        segments.append(segment.decoded)
        if segment.escaped:
            escaped.add(index)
        if "/" in segment.decoded:
            slashed.add(index)
    folded = _ESCAPES.sub(lambda run: run[0].upper(), text)
    return Path(folded, tuple(segments), trailing_slash, frozenset(escaped), query, frozenset(slashed))


def decoded_path(path: Path) -> str:
    """The path decoded, as a policy reads it: the `%2F` of a segment stays."""
    segments = "/".join(each.replace("/", "%2F") for each in path.segments) if path.slashed else "/".join(path.segments)
    return f"/{segments}{'/' if path.trailing_slash else ''}"


def parse_query(raw: str | None) -> tuple[tuple[str, str], ...] | QueryRefusal:
    """The parameters of a query in order, names and values decoded once, `+` as a space.

    Reasons: `schema.query_semicolon` (raw), `schema.query_control` (raw or escaped), `schema.query_encoding` (a bad
    escape, bytes that are not UTF-8, a raw space or a raw character outside ASCII), `schema.query_size` (more than
    `MAX_PARAMETERS` pieces).
    """
    if not raw:
        return ()
    pieces = raw.split("&", MAX_PARAMETERS)
    if len(pieces) > MAX_PARAMETERS:
        return QueryRefusal("schema.query_size")
    pairs: list[tuple[str, str]] = []
    for piece in pieces:
        if not piece:
            continue
        name, _, value = piece.partition("=")
        decoded = (_parameter(name), _parameter(value))
        match decoded:
            case (str() as plain_name, str() as plain_value):
                pairs.append((plain_name, plain_value))
            case (QueryRefusal() as refusal, _) | (_, QueryRefusal() as refusal):
                return refusal
    return tuple(pairs)


# ---------------------------------------------------------------- segments

_USUAL = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]+)+")
"""A path of segments that are read as they are written: most are."""

_NOWHERE: frozenset[int] = frozenset()

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SLASH = re.compile("%2[Ff]")
_PIECES = re.compile(
    r"(?P<plain>[A-Za-z0-9\-._~!$&'()*+,=:@]+)|(?P<escapes>(?:%[0-9A-Fa-f]{2})+)|(?P<other>.)", re.DOTALL
)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MAY_STAND_RAW = frozenset("!$&'()*+,=:@")

_CUT = re.compile(r"[/\\;?#%]")
"""Characters that a back end makes segments, parameters or escapes of."""

_BEST_FITS = re.compile("[\u00a5\u066a\u2044\u20a9\u20e5\u2215\u2216\u29f5\u29f8\u29f9]")
"""Characters that code pages of Windows fit to one of these, without a compatibility form of the kind."""

IGNORABLE: tuple[int, ...] = (
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
)
"""Code points that do not show and that back ends drop (Unicode: Default_Ignorable_Code_Point)."""

_NOT_SHOWN: dict[int, None] = dict.fromkeys(IGNORABLE)

_ESCAPED_REFUSALS = {
    "\\": "path.backslash",
    "%": "path.encoded_percent",
    ";": "path.semicolon",
    "?": "path.encoded_question",
    "#": "path.fragment",
}
_RAW_REFUSALS = {
    "\\": "path.backslash",
    "%": "path.bad_escape",
    ";": "path.semicolon",
    "#": "path.fragment",
    " ": "path.space",
}


class _Segment(Struct, frozen=True):
    decoded: str
    escaped: bool


def _segment(written: str) -> _Segment | PathRefusal:
    if "%2" not in written:
        return _part(written)
    decoded: list[str] = []
    escaped = False
    for each in _SLASH.split(written):
        part = _part(each)
        if isinstance(part, PathRefusal):
            return part
        decoded.append(part.decoded)
        escaped = escaped or part.escaped
    return _Segment("/".join(decoded), escaped)


def _part(written: str) -> _Segment | PathRefusal:
    """A segment, or what stands between two `%2F` of one."""
    if not written:
        return PathRefusal("path.empty_segment")
    if written in {".", ".."}:
        return PathRefusal("path.dot_segment")
    parts: list[str] = []
    escaped = False
    for piece in _PIECES.finditer(written):
        match piece.lastgroup:
            case "plain":
                parts.append(piece[0])
            case "escapes":
                decoded = _decoded(piece[0])
                if decoded is None:
                    return PathRefusal("path.not_utf8")
                reason = _refused_escape(decoded, first=piece.start() == 0, last=piece.end() == len(written))
                if reason is not None:
                    return PathRefusal(reason)
                escaped = escaped or not _MAY_STAND_RAW.isdisjoint(decoded)
                parts.append(decoded)
            case _:
                return PathRefusal("path.control" if _is_control(piece[0]) else _raw_refusal(piece[0]))
    decoded = "".join(parts)
    if not decoded.isascii():
        if len(decoded) > MAX_BEYOND_ASCII:
            return PathRefusal("path.too_long")
        if _turns_into_another(decoded):
            return PathRefusal("path.compatibility")
    return _Segment(decoded, escaped)


def _turns_into_another(segment: str) -> bool:
    """Whether some form of a segment is cut, cut off, dropped or decoded where the segment itself is not."""
    form = unicodedata.normalize("NFKC", segment)
    shown = segment.translate(_NOT_SHOWN)
    dots = form.translate(_NOT_SHOWN).replace("\u3002", ".")
    return dots in {"", ".", ".."} or shown != shown.strip() or bool(_CUT.search(form) or _BEST_FITS.search(segment))


def _refused_escape(decoded: str, *, first: bool, last: bool) -> str | None:
    """The reason for the first character that may not stand escaped; `first` and `last` are the ends of the segment."""
    for index, character in enumerate(decoded):
        if character in _ESCAPED_REFUSALS:
            return _ESCAPED_REFUSALS[character]
        if character in _UNRESERVED:
            return "path.encoded_unreserved"
        if _is_control(character):
            return "path.control"
        at_an_end = (first and index == 0) or (last and index == len(decoded) - 1)
        if character == " " and at_an_end:
            return "path.space"
    return None


def _raw_refusal(character: str) -> str:
    return _RAW_REFUSALS.get(character, "path.character")


def _is_control(character: str) -> bool:
    """C0, DEL and C1."""
    return character < " " or "\x7f" <= character <= "\x9f"


def _decoded(escapes: str) -> str | None:
    """What a run of escapes spells; None where its bytes are not UTF-8."""
    try:
        return bytes.fromhex(escapes.replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        return None


# ---------------------------------------------------------------- parameters

_QUERY_PIECES = re.compile(
    r"(?P<plain>[!-$&-*,-:<-~]+)|(?P<plus>\++)|(?P<escapes>(?:%[0-9A-Fa-f]{2})+)|(?P<other>.)", re.DOTALL
)


def _parameter(written: str) -> str | QueryRefusal:
    """A name or a value, decoded once."""
    parts: list[str] = []
    for piece in _QUERY_PIECES.finditer(written):
        match piece.lastgroup:
            case "plain":
                parts.append(piece[0])
            case "plus":
                parts.append(" " * len(piece[0]))
            case "escapes":
                decoded = _decoded(piece[0])
                if decoded is None:
                    return QueryRefusal("schema.query_encoding")
                if any(_is_control(each) for each in decoded):
                    return QueryRefusal("schema.query_control")
                parts.append(decoded)
            case _ if piece[0] == ";":
                return QueryRefusal("schema.query_semicolon")
            case _:
                return QueryRefusal("schema.query_control" if _is_control(piece[0]) else "schema.query_encoding")
    return "".join(parts)
