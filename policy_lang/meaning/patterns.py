"""Path patterns: their text to segments, and how two of them relate.

The text of an endpoint's or a rule's pattern goes in, `Pattern` or the first `PatternFault` comes out. A pattern is a
product of segments, so one that covers another does so segment by segment, and the questions below are exact.

    literal        this segment, decoded once; written as `canonical_path` would leave it
    {name}         one segment, any text           {name: string} is the same
    {name: int}    `0` or `-?[1-9][0-9]*` within 64 bits
    {name: uuid}   8-4-4-4-12 hexadecimal digits in either case; the value is lower case
    {name: opaque} one segment, any text, in which `%2F` is data
    *              one segment, unnamed
    **             all that follows, perhaps nothing; only last

INVARIANT: of the endpoints that match one path, any two overlap; where each overlap has a more specific side, exactly
one endpoint is the most specific, so routing does not depend on the order of declaration.
Source: language.md 3 "Path patterns", 4.4, point L; contracts.md "Requests".

Decision: 2026-11-21. Escapes in a pattern have upper-case digits. The trailing slash is exact also behind `**`: the
endpoint `/a/**` does not hold `/a/b/`. In a rule's pattern `**` covers endpoints with and without a trailing slash,
so that a deny on `/**` leaves none out.
Decision: 2026-11-21. An `opaque` capture is wider than one of string, which does not take `%2F`, and narrower than `*`,
so that routing may choose. In a rule's pattern `{name}`, `{name: opaque}` and `*` all hold both: whoever closes
`/files/*` closes it for every file. A pattern longer than any path can be is a mistake.
"""

from __future__ import annotations

import re
from typing import assert_never

from msgspec import Struct

from policy_lang.ir import AnySegment, Capture, CaptureType, Fixed, Rest, Segment
from policy_lang.request import MAX_SEGMENTS, PathRefusal, canonical_path
from policy_lang.typesystem import INT_MAX, INT_MIN

_INT = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)(?:\s*:\s*([a-z][a-z0-9_]*))?\}")
_TEXTS = frozenset({"string", "opaque"})
_PIECE = re.compile(r"\{[^{}]*\}|/|[^/{}]+|[{}]")


class Pattern(Struct, frozen=True):
    """A pattern, read. `/` alone has no segments and no trailing slash."""

    segments: tuple[Segment, ...]
    trailing_slash: bool


class PatternFault(Struct, frozen=True):
    """Why a text is not a pattern; `start` and `end` are code points of the text."""

    why: str
    start: int
    end: int


def parse_pattern(text: str) -> Pattern | PatternFault:
    """Read one pattern. Total: any text gives a pattern or the first fault in it."""
    if "?" in text:
        return PatternFault(
            "a pattern ends before the query; declare parameters by `query`", text.index("?"), len(text)
        )
    if not text.startswith("/"):
        return PatternFault("a pattern starts with `/`", 0, len(text))
    if text == "/":
        return Pattern((), trailing_slash=False)
    body = text[1:]
    trailing_slash = body.endswith("/")
    parts = _split(body[:-1] if trailing_slash else body)
    if len(parts) > MAX_SEGMENTS:
        return PatternFault(f"no path has more than {MAX_SEGMENTS} segments", 0, len(text))
    segments: list[Segment] = []
    names: set[str] = set()
    start = 1
    for written in parts:
        segment = _segment(written)
        end = start + len(written)
        if isinstance(segment, str):
            return PatternFault(segment, start, end)
        if segments and isinstance(segments[-1], Rest):
            return PatternFault("`**` stands only last", start, end)
        if isinstance(segment, Capture):
            if segment.name in names:
                return PatternFault(f"`{segment.name}` is captured twice", start, end)
            names.add(segment.name)
        segments.append(segment)
        start = end + 1
    if trailing_slash and isinstance(segments[-1], Rest):
        return PatternFault("`**` stands only last", len(text) - 1, len(text))
    return Pattern(tuple(segments), trailing_slash)


def _split(body: str) -> list[str]:
    """The text between slashes; a slash within braces separates nothing, so that its capture is named as the fault."""
    parts = [""]
    for piece in _PIECE.findall(body):
        if piece == "/":
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _segment(written: str) -> Segment | str:
    """One segment, or what is wrong with it."""
    if not written:
        return "a segment is empty"
    if written == "**":
        return Rest()
    if written == "*":
        return AnySegment()
    if "{" in written or "}" in written:
        return _capture(written)
    if "*" in written:
        return "`*` is a whole segment; write a literal star as `%2A`"
    path = canonical_path("/" + written)
    if isinstance(path, PathRefusal):
        return f"`{written}` is not canonical ({path.reason})"
    if path.slashed:
        return f"`{written}` is not canonical (path.encoded_slash); only an `opaque` capture takes `%2F`"
    if path.text != "/" + written or len(path.segments) != 1:
        return f"`{written}` is not canonical; write it as `{path.text[1:]}`"
    return Fixed(path.segments[0])


def _capture(written: str) -> Capture | str:
    read = _CAPTURE.fullmatch(written)
    if read is None:
        return f"`{written}` is not a capture; one is a whole segment such as `{{name}}` or `{{name: uuid}}`"
    match read[2]:
        case None | "string":
            return Capture(read[1], "string")
        case "int":
            return Capture(read[1], "int")
        case "uuid":
            return Capture(read[1], "uuid")
        case "opaque":
            return Capture(read[1], "opaque")
        case other:
            return f"a capture is a `string`, an `int`, a `uuid` or `opaque`, not `{other}`"


def capture_value(type_: CaptureType, segment: str) -> int | str | None:
    """The value of a decoded segment under a capture of this type; None where it does not fit."""
    match type_:
        case "string" | "opaque":
            return segment
        case "int":
            value = int(segment) if _INT.fullmatch(segment) else None
            return value if value is not None and INT_MIN <= value <= INT_MAX else None
        case "uuid":
            return segment.lower() if _UUID.fullmatch(segment) else None
        case _:
            assert_never(type_)


# ---------------------------------------------------------------- relations between patterns


def overlap(a: Pattern, b: Pattern) -> bool:
    """Whether some path matches both, as endpoints."""
    return a.trailing_slash == b.trailing_slash and _shared(a.segments, b.segments) is not None


def intersection(pattern: Pattern, endpoint: Pattern) -> Pattern | None:
    """The paths of `endpoint` that lie within `pattern`, which is a rule's; None where there are none."""
    segments = _shared(pattern.segments, endpoint.segments)
    if segments is None or not (_is_open(pattern) or pattern.trailing_slash == endpoint.trailing_slash):
        return None
    kept = (_unnarrowed(part, endpoint, place) for place, part in enumerate(segments))
    return Pattern(tuple(kept), endpoint.trailing_slash)


def _unnarrowed(shared: Segment, endpoint: Pattern, place: int) -> Segment:
    """A shared segment; where a rule's `{x}` meets an `opaque` capture it stays so: a rule's text holds `%2F` too."""
    own = endpoint.segments[place] if place < len(endpoint.segments) else shared
    return own if is_opaque(own) and isinstance(shared, Capture) and shared.type == "string" else shared


def is_opaque(segment: Segment) -> bool:
    """Whether `%2F` is data in the segment."""
    return isinstance(segment, Capture) and segment.type == "opaque"


def _is_open(pattern: Pattern) -> bool:
    """Whether the pattern ends in `**`."""
    return bool(pattern.segments) and isinstance(pattern.segments[-1], Rest)


def _shared(a: tuple[Segment, ...], b: tuple[Segment, ...]) -> tuple[Segment, ...] | None:
    """What two rows of segments have in common, trailing slashes set aside."""
    shared: list[Segment] = []
    for index, (left, right) in enumerate(zip(a, b, strict=False)):
        if isinstance(left, Rest):
            return (*shared, *b[index:])
        if isinstance(right, Rest):
            return (*shared, *a[index:])
        if not _meet(left, right):
            return None
        shared.append(left if _rank(left) >= _rank(right) else right)
    longer = a if len(a) > len(b) else b
    beyond = longer[len(shared) :]
    return tuple(shared) if not beyond or isinstance(beyond[0], Rest) else None


def _meet(a: Segment, b: Segment) -> bool:
    """Whether one segment text fits both."""
    match a, b:
        case Fixed(left), Fixed(right):
            return left == right
        case (Fixed(text), Capture(_, type_)) | (Capture(_, type_), Fixed(text)):
            return capture_value(type_, text) is not None
        case Capture(_, left_type), Capture(_, right_type):
            return left_type == right_type or not _TEXTS.isdisjoint((left_type, right_type))
        case _:
            return True


def covers(pattern: Pattern, endpoint: Pattern) -> bool:
    """Whether every path of `endpoint` lies within `pattern`, which is a rule's."""
    if not _is_open(pattern):
        return (
            pattern.trailing_slash == endpoint.trailing_slash
            and len(pattern.segments) == len(endpoint.segments)
            and all(map(_holds, pattern.segments, endpoint.segments))
        )
    before = pattern.segments[:-1]
    return len(before) <= len(endpoint.segments) and all(
        _holds(p, e) for p, e in zip(before, endpoint.segments, strict=False)
    )


def _holds(outer: Segment, inner: Segment) -> bool:
    """Whether every text that fits `inner` fits `outer`; a `**` is held by none but a `**`."""
    match outer, inner:
        case _, Rest():
            return False
        case Fixed(left), Fixed(right):
            return left == right
        case Fixed(), _:
            return False
        case Capture(_, "string" | "opaque") | AnySegment(), _:
            return True
        case Capture(_, type_), Fixed(text):
            return capture_value(type_, text) is not None
        case Capture(_, left_type), Capture(_, right_type):
            return left_type == right_type
        case _:
            return False


def more_specific(a: Pattern, b: Pattern) -> bool:
    """Whether `a` is the narrower of two patterns that overlap: no segment wider than `b`'s, one narrower.

    literal > typed capture > untyped capture > `opaque` > `*` > `**`; nothing at all is narrower than `**`.
    """
    ranks = [(_rank_at(a, i), _rank_at(b, i)) for i in range(max(len(a.segments), len(b.segments)))]
    return all(x >= y for x, y in ranks) and any(x > y for x, y in ranks)


def shape(pattern: Pattern) -> tuple[str, ...]:
    """The pattern with the names of its captures taken out: equal where two hold the same paths, and only there."""
    return (*map(_shape, pattern.segments), "/" if pattern.trailing_slash else "")


def _shape(segment: Segment) -> str:
    match segment:
        case Fixed(text):
            return f"={text}"
        case Capture(_, type_):
            return type_
        case AnySegment():
            return "*"
        case Rest():
            return "**"
        case _:
            assert_never(segment)


def same_shape(a: Pattern, b: Pattern) -> bool:
    """Whether two patterns that overlap hold the same paths."""
    return len(a.segments) == len(b.segments) and all(
        _rank(x) == _rank(y) for x, y in zip(a.segments, b.segments, strict=True)
    )


_END = 6
"""The rank of a path's end, beside which only `**` may stand."""


def _rank_at(pattern: Pattern, index: int) -> int:
    if index < len(pattern.segments):
        return _rank(pattern.segments[index])
    return _rank(Rest()) if _is_open(pattern) else _END


def _rank(segment: Segment) -> int:
    match segment:
        case Fixed():
            return 5
        case Capture(_, "int" | "uuid"):
            return 4
        case Capture(_, "string"):
            return 3
        case Capture():
            return 2
        case AnySegment():
            return 1
        case Rest():
            return 0
        case _:
            assert_never(segment)
