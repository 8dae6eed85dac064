"""The laws of canonical paths and queries: one reading each, the same for whoever reads again."""

from __future__ import annotations

import re
import string
import unicodedata
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang import request
from policy_lang.request import IGNORABLE, Path, PathRefusal, QueryRefusal, canonical_path, decoded_path, parse_query

LAW = settings(max_examples=200, deadline=None)

UNRESERVED = string.ascii_letters + string.digits + "-._~"
MAY_STAND_RAW = "!$&'()*+,=:@"
NEVER = "/\\%;?#"

PIECES = st.one_of(
    st.sampled_from(
        [*"/a.;%?#\\+&=:@~ \0\t\x7f\x85é", "//", "..", "%2f", "%2F", "%5c", "%25", "%3B", "%00", "%20", "%61"]
    ),
    st.sampled_from(
        ["%3A", "%3a", "%C3%A9", "%c3%a9", "%C0%AF", "%E9", "%u002f", "%", "%2", "%ED%A0%80", "%2E", "x%20y"]
    ),
    st.text(max_size=3),
)
RAW = st.lists(PIECES, max_size=8).map("".join)
TARGETS = st.one_of(RAW, RAW.map(lambda rest: f"/{rest}"))

USUAL = st.lists(st.text("ab.-~:@", max_size=4), max_size=5).map(lambda each: "/" + "/".join(each))

CHARACTERS = st.one_of(
    st.sampled_from(UNRESERVED + MAY_STAND_RAW + "[]é😀 "),
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters=NEVER),
)


def _has_one_form(text: str) -> bool:
    """Whether no form of a text is another segment, or several (`path.compatibility`)."""
    form = "".join(each for each in unicodedata.normalize("NFKC", text) if ord(each) not in IGNORABLE)
    odd = set(NEVER) & set(form) or set(text) & set("\u00a5\u066a\u2044\u20a9\u20e5\u2215\u2216\u29f5\u29f8\u29f9")
    shown = "".join(each for each in text if ord(each) not in IGNORABLE)
    return not odd and form.replace("\u3002", ".") not in {"", ".", ".."} and shown.strip() == shown


SEGMENTS = st.text(CHARACTERS, min_size=1, max_size=6).filter(_has_one_form)


@LAW
@given(TARGETS)
def test_every_text_is_canonical_or_refused_by_a_named_reason(raw: str) -> None:
    """For all t: canonical(t) is a path or path.*; nothing is raised."""
    found = canonical_path(raw)
    assert isinstance(found, Path) or found.reason.startswith("path.")


@LAW
@given(
    TARGETS | st.lists(st.text("ab.-~:@", min_size=0, max_size=4), max_size=5).map(lambda each: "/" + "/".join(each))
)
def test_the_short_way_of_a_usual_path_reads_it_as_segment_by_segment(raw: str) -> None:
    """canonical(t) is what is read segment by segment, whichever way it took."""
    text, mark, query = raw.partition("?")
    if raw:
        assert canonical_path(raw) == request._read(text, query if mark else None)


@LAW
@given(TARGETS)
def test_a_canonical_path_is_read_again_as_itself(raw: str) -> None:
    """canonical(text + query) = path, for every path; only hex digits change on the way."""
    found = canonical_path(raw)
    if isinstance(found, Path):
        again = found.text if found.query is None else f"{found.text}?{found.query}"
        assert canonical_path(again) == found
        assert again.lower() == raw.lower()


@LAW
@given(TARGETS)
def test_a_canonical_path_holds_nothing_that_two_readers_read_differently(raw: str) -> None:
    """No segment of a path holds a separator, a dot segment, a control or a character that is decoded twice."""
    found = canonical_path(raw)
    if not isinstance(found, Path):
        return
    assert found.slashed == {index for index, segment in enumerate(found.segments) if "/" in segment}
    for part in (part for segment in found.segments for part in segment.split("/")):
        assert part not in {"", ".", ".."}
        assert not set(part) & set(NEVER)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", part)
        assert part.strip(" ") == part
        assert unquote(part) == part
    escapes = set(re.findall(r"%[0-9A-F]{2}", found.text)) - {"%2F"}
    assert not {unquote(each) for each in escapes} & set(UNRESERVED)


@LAW
@given(st.lists(SEGMENTS, max_size=4), st.booleans())
def test_quoted_segments_are_read_back(segments: list[str], slash: bool) -> None:
    """canonical(quote(s)) has the segments s, decoded as urllib decodes them."""
    written = "/" + "/".join(quote(each, safe=MAY_STAND_RAW) for each in segments) + ("/" if slash and segments else "")
    found = canonical_path(written)
    assert found == Path(written, tuple(segments), slash and bool(segments), frozenset(), None)
    assert isinstance(found, Path)
    assert [unquote(each) for each in written.strip("/").split("/")] == (segments or [""])


@LAW
@given(SEGMENTS.filter(lambda text: not set(text) & set(MAY_STAND_RAW)), st.sampled_from(MAY_STAND_RAW), st.booleans())
def test_a_needless_escape_is_marked_and_reads_the_same(segment: str, character: str, lower: bool) -> None:
    """A character that may stand raw, escaped: equal segments, and the place is told."""
    escape = f"%{ord(character):02X}"
    raw = canonical_path(f"/{quote(segment, safe='')}{character}")
    escaped = canonical_path(f"/{quote(segment, safe='')}{escape.lower() if lower else escape}")
    assert isinstance(raw, Path)
    assert isinstance(escaped, Path)
    assert raw.segments == escaped.segments
    assert (raw.escaped, escaped.escaped) == (frozenset(), frozenset({0}))


@LAW
@given(st.sampled_from(UNRESERVED + NEVER.replace("/", "")), SEGMENTS)
def test_an_escape_of_what_is_never_escaped_is_refused(character: str, segment: str) -> None:
    """canonical(... %XX ...) is a refusal for every unreserved character and every separator."""
    assert isinstance(canonical_path(f"/{quote(segment, safe='')}%{ord(character):02x}"), PathRefusal)


@LAW
@given(st.lists(st.lists(SEGMENTS, min_size=1, max_size=3), min_size=1, max_size=3), st.booleans())
def test_an_escaped_slash_is_data_and_noted(parts: list[list[str]], lower: bool) -> None:
    """canonical of segments joined by %2F: the slash decoded in them, their places told, `decoded_path` keeps it."""
    slash = "%2f" if lower else "%2F"
    written = "/" + "/".join(slash.join(quote(part, safe=MAY_STAND_RAW) for part in segment) for segment in parts)
    found = canonical_path(written)
    assert isinstance(found, Path)
    assert found.segments == tuple("/".join(segment) for segment in parts)
    assert found.slashed == {index for index, segment in enumerate(parts) if len(segment) > 1}
    assert found.text == written.replace("%2f", "%2F")
    assert decoded_path(found) == "/" + "/".join("%2F".join(segment) for segment in parts)


@LAW
@given(RAW)
def test_every_query_is_read_or_refused_by_a_named_reason(raw: str) -> None:
    """For all q: parse(q) is pairs without controls, or schema.query_*."""
    found = parse_query(raw)
    if isinstance(found, QueryRefusal):
        assert found.reason in {"schema.query_encoding", "schema.query_control", "schema.query_semicolon"}
    else:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(name + value for name, value in found))
        assert list(found) == parse_qsl(raw, keep_blank_values=True)


PARAMETERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)


@LAW
@given(st.lists(st.tuples(PARAMETERS.filter(bool), PARAMETERS), max_size=5))
def test_written_parameters_are_read_back(pairs: list[tuple[str, str]]) -> None:
    """parse(write(p)) = p."""
    written = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    assert parse_query(written) == tuple(pairs)
