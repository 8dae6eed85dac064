"""Path patterns: what is one, and how two of them relate, compared with every short path over a small alphabet."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policy_lang.ir import AnySegment, Capture, CaptureType, Fixed, Rest, Segment
from policy_lang.meaning.patterns import (
    Pattern,
    PatternFault,
    capture_value,
    covers,
    intersection,
    more_specific,
    overlap,
    parse_pattern,
    same_shape,
    shape,
)
from policy_lang.typesystem import INT_MAX, INT_MIN

UUID = "2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11"

# ---------------------------------------------------------------- reading

READ: dict[str, tuple[str, tuple[Segment, ...], bool]] = {
    "the root alone has no segment": ("/", (), False),
    "a literal": ("/a", (Fixed("a"),), False),
    "an opaque capture": ("/{x: opaque}/a", (Capture("x", "opaque"), Fixed("a")), False),
    "a trailing slash is part of it": ("/a/", (Fixed("a"),), True),
    "an untyped capture is a string": ("/{x}", (Capture("x", "string"),), False),
    "a string capture": ("/{x: string}", (Capture("x", "string"),), False),
    "blanks around the colon": ("/{x : int}", (Capture("x", "int"),), False),
    "a uuid capture": ("/{x:uuid}/b", (Capture("x", "uuid"), Fixed("b")), False),
    "one segment, unnamed": ("/*/a", (AnySegment(), Fixed("a")), False),
    "all that follows": ("/a/**", (Fixed("a"), Rest()), False),
    "all that there is": ("/**", (Rest(),), False),
    "an escape is decoded once": ("/caf%C3%A9", (Fixed("café"),), False),
    "an escaped star is a literal star": ("/%2A", (Fixed("*"),), False),
    "an escaped blank within a segment": ("/a%20b", (Fixed("a b"),), False),
    "sub-delimiters stand raw": ("/a+b=c&d:e@f$g!h", (Fixed("a+b=c&d:e@f$g!h"),), False),
    "dots that are no dot segment": ("/v1.0/...", (Fixed("v1.0"), Fixed("...")), False),
}


@pytest.mark.parametrize("name", READ)
def test_reads(name: str) -> None:
    text, segments, trailing_slash = READ[name]
    assert parse_pattern(text) == Pattern(segments, trailing_slash)


FAULTS = {
    "nothing at all": ("", ""),
    "no slash at the start": ("a", "a"),
    "two slashes": ("//", ""),
    "an empty segment": ("/a//b", ""),
    "a dot segment": ("/a/./b", "."),
    "two dots": ("/..", ".."),
    "a query": ("/a?x=1", "?x=1"),
    "a star within a segment": ("/a*", "a*"),
    "three stars": ("/***", "***"),
    "more after all that follows": ("/**/a", "a"),
    "a slash after all that follows": ("/**/", "/"),
    "a name captured twice": ("/{a}/{a}", "{a}"),
    "a capture within a segment": ("/x{a}", "x{a}"),
    "an open brace": ("/{a", "{a"),
    "a closing brace": ("/a}", "a}"),
    "a capture without a name": ("/{}", "{}"),
    "an upper-case name": ("/{A}", "{A}"),
    "an unknown type": ("/{a: words}", "{a: words}"),
    "more segments than a path can have": ("/a" * 257, "/a" * 257),
    "a slash in a capture": ("/{a/b}", "{a/b}"),
    "an escaped letter": ("/%61", "%61"),
    "an escaped slash": ("/a%2Fb", "a%2Fb"),
    "an escaped percent sign": ("/%25", "%25"),
    "an escaped dot segment": ("/%2E%2E", "%2E%2E"),
    "lower-case digits in an escape": ("/%c3%A9", "%c3%A9"),
    "an escape cut short": ("/%2", "%2"),
    "bytes that are not UTF-8": ("/%FF", "%FF"),
    "a semicolon": ("/a;b", "a;b"),
    "a backslash": ("/a\\b", "a\\b"),
    "a raw letter outside ASCII": ("/café", "café"),
    "a control": ("/a\nb", "a\nb"),
    "a fragment": ("/a#b", "a#b"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refuses(name: str) -> None:
    text, at = FAULTS[name]
    fault = parse_pattern(text)
    assert isinstance(fault, PatternFault)
    assert text[fault.start : fault.end] == at


@given(st.text(max_size=20) | st.text("/{}*a1:.%2 ", max_size=12))
def test_any_text_is_a_pattern_or_a_fault_within_it(text: str) -> None:
    read = parse_pattern(text)
    assert isinstance(read, Pattern) or (read.why and 0 <= read.start <= read.end <= len(text))


# ---------------------------------------------------------------- values of captures

VALUES = {
    "zero": ("int", "0", 0),
    "a negative integer": ("int", "-7", -7),
    "the largest integer": ("int", str(INT_MAX), INT_MAX),
    "the smallest integer": ("int", str(INT_MIN), INT_MIN),
    "one too large": ("int", str(INT_MAX + 1), None),
    "one too small": ("int", str(INT_MIN - 1), None),
    "a thousand digits": ("int", "9" * 5000, None),
    "a leading zero": ("int", "07", None),
    "minus zero": ("int", "-0", None),
    "a plus sign": ("int", "+7", None),
    "digits of another script": ("int", "\u0661", None),
    "a line end after the digits": ("int", "7\n", None),
    "no digits": ("int", "", None),
    "a uuid": ("uuid", UUID, UUID),
    "a uuid in capitals": ("uuid", UUID.upper(), UUID),
    "a uuid without hyphens": ("uuid", UUID.replace("-", ""), None),
    "a uuid in braces": ("uuid", f"{{{UUID}}}", None),
    "a uuid and a line end": ("uuid", f"{UUID}\n", None),
    "any text": ("string", "A b", "A b"),
}


@pytest.mark.parametrize("name", VALUES)
def test_capture_values(name: str) -> None:
    type_, segment, value = VALUES[name]
    assert capture_value(type_, segment) == value  # type: ignore[arg-type]


# ---------------------------------------------------------------- relations

TYPES: tuple[CaptureType, ...] = ("int", "uuid", "string", "opaque")
ALPHABET = ("a", "b", "1", UUID)
PATHS = [
    (segments, slash)
    for length in range(4)
    for segments in product(ALPHABET, repeat=length)
    for slash in (False, True)
    if segments or not slash
]


def fits(segment: Segment, text: str) -> bool:
    match segment:
        case Fixed(wanted):
            return wanted == text
        case Capture(_, "int"):
            return text == "1"
        case Capture(_, "uuid"):
            return text == UUID
        case _:
            return True


def holds(pattern: Pattern, segments: tuple[str, ...], slash: bool, *, as_rule: bool = False) -> bool:
    open_end = bool(pattern.segments) and isinstance(pattern.segments[-1], Rest)
    parts = pattern.segments[:-1] if open_end else pattern.segments
    if slash != pattern.trailing_slash and not (as_rule and open_end):
        return False
    length = len(segments) >= len(parts) if open_end else len(segments) == len(parts)
    return length and all(map(fits, parts, segments))


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    part: st.SearchStrategy[Segment] = st.sampled_from(
        [Fixed("a"), Fixed("1"), Fixed(UUID), *(Capture("x", type_) for type_ in TYPES), AnySegment()]
    )
    segments: list[Segment] = draw(st.lists(part, max_size=2))
    if draw(st.booleans()):
        return Pattern((*segments, Rest()), trailing_slash=False)
    return Pattern(tuple(segments), trailing_slash=bool(segments) and draw(st.booleans()))


@given(patterns(), patterns())
def test_overlap_is_a_path_that_both_hold(a: Pattern, b: Pattern) -> None:
    shared = any(holds(a, *path) and holds(b, *path) for path in PATHS)
    assert overlap(a, b) == overlap(b, a) == shared


@given(patterns(), patterns())
def test_covers_is_every_path_and_the_intersection_is_the_shared_ones(rule: Pattern, endpoint: Pattern) -> None:
    shared = [path for path in PATHS if holds(endpoint, *path) and holds(rule, *path, as_rule=True)]
    met = intersection(rule, endpoint)
    assert shared == ([] if met is None else [path for path in PATHS if holds(met, *path)])
    # One text of the alphabet is an integer and one a uuid, so a literal there looks as wide as the capture it is not.
    if covers(rule, endpoint):
        assert shared == [path for path in PATHS if holds(endpoint, *path)]
    elif not any(isinstance(segment, Fixed) for segment in rule.segments):
        assert shared != [path for path in PATHS if holds(endpoint, *path)]


@given(patterns(), patterns())
def test_of_two_only_one_is_the_more_specific(a: Pattern, b: Pattern) -> None:
    assume(overlap(a, b))
    assert not (more_specific(a, b) and more_specific(b, a))
    assert not (more_specific(a, b) and same_shape(a, b))
    if more_specific(a, b):
        assert not any(holds(a, *path) and not holds(b, *path) for path in PATHS)


@given(patterns(), patterns())
def test_one_shape_is_the_same_paths_by_other_names(a: Pattern, b: Pattern) -> None:
    """shape(a) = shape(b) <=> overlap(a, b) and same_shape(a, b)."""
    assert (shape(a) == shape(b)) == (overlap(a, b) and same_shape(a, b))


@pytest.mark.parametrize("rule", ["/files/{x}", "/files/{x: string}", "/files/{x: opaque}", "/files/*", "/files/**"])
def test_a_rule_over_any_text_holds_an_opaque_segment_and_a_plain_one(rule: str) -> None:
    read = parse_pattern(rule)
    assert isinstance(read, Pattern)
    for text in ("/files/{name: opaque}", "/files/{name}"):
        endpoint = parse_pattern(text)
        assert isinstance(endpoint, Pattern)
        assert covers(read, endpoint)


def test_more_specific_is_an_order_among_patterns_of_one_path() -> None:
    firsts: list[Segment] = [
        Fixed("1"),
        Capture("x", "int"),
        Capture("x", "string"),
        Capture("x", "opaque"),
        AnySegment(),
    ]
    seconds: list[Segment] = [Fixed("a"), Capture("y", "string"), AnySegment()]
    rows: list[tuple[Segment, ...]] = [(), *((one,) for one in firsts), *product(firsts, seconds)]
    found = [Pattern((*row, Rest()), trailing_slash=False) for row in rows]
    found += [Pattern(row, trailing_slash=False) for row in rows if len(row) == 2]
    assert all(holds(each, ("1", "a"), slash=False) for each in found)
    narrower = {(a, b) for a, b in product(found, found) if more_specific(a, b)}
    assert narrower
    for (a, b), c in product(narrower, found):
        assert (b, c) not in narrower or (a, c) in narrower


RANKED = ["/a/1", "/a/{n: int}", "/a/{s}", "/a/{o: opaque}", "/a/*", "/a/**", "/*/**", "/**"]


def test_the_ranks_of_segments() -> None:
    read = [parse_pattern(text) for text in RANKED]
    ranked = [each for each in read if isinstance(each, Pattern)]
    assert len(ranked) == len(RANKED)
    for index, narrow in enumerate(ranked):
        for wide in ranked[index + 1 :]:
            assert more_specific(narrow, wide)
            assert not more_specific(wide, narrow)


def test_a_deny_on_everything_leaves_no_endpoint_out() -> None:
    everything = Pattern((Rest(),), trailing_slash=False)
    for text in ("/", "/a", "/a/", "/{x}/", "/a/**"):
        endpoint = parse_pattern(text)
        assert isinstance(endpoint, Pattern)
        assert covers(everything, endpoint)
