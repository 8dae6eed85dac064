"""Source text and positions: the algebra of spans, and lines and columns as a person counts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.source import Position, Source, Span


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(st.integers(0, 50))
    return Span("a", start, start + draw(st.integers(0, 50)))


@given(spans(), spans())
def test_union_contains_both_and_nothing_smaller_does(left: Span, right: Span) -> None:
    """a.to(b) = b.to(a) contains a and b, and starts and ends where one of them does."""
    union = left.to(right)
    assert union == right.to(left)
    assert union.contains(left)
    assert union.contains(right)
    assert union.start in (left.start, right.start)
    assert union.end in (left.end, right.end)


@given(spans(), spans(), spans())
def test_union_is_associative_and_idempotent(a: Span, b: Span, c: Span) -> None:
    """(a.to(b)).to(c) = a.to(b.to(c)); a.to(a) = a."""
    assert a.to(b).to(c) == a.to(b.to(c))
    assert a.to(a) == a


@given(spans(), spans())
def test_containing_both_ways_is_equality(left: Span, right: Span) -> None:
    """a contains b and b contains a, exactly when a = b."""
    assert (left.contains(right) and right.contains(left)) == (left == right)


def test_spans_of_two_sources_do_not_mix() -> None:
    left, right = Span("a", 0, 5), Span("b", 1, 2)
    assert not left.contains(right)
    with pytest.raises(ValueError, match="two sources: a and b"):
        left.to(right)


@pytest.mark.parametrize(("start", "end"), [(-1, 0), (2, 1), (-3, -2)])
def test_not_a_span(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span("a", start, end)


POSITIONS = {
    "the start of an empty text": ("", 0, Position(1, 1)),
    "the end of a text without line end": ("ab", 2, Position(1, 3)),
    "the line end belongs to its line": ("a\nb", 1, Position(1, 2)),
    "after the line end": ("a\nb", 2, Position(2, 1)),
    "the end after a last line end": ("a\n", 2, Position(2, 1)),
    "CRLF is one line end, two columns": ("a\r\nb", 3, Position(2, 1)),
    "characters beyond the first plane count once": ("🙂🙂x", 2, Position(1, 3)),
    "a line separator of Unicode is no line end": ("a\u2028b", 2, Position(1, 3)),
}


@pytest.mark.parametrize(("text", "offset", "wanted"), POSITIONS.values(), ids=POSITIONS.keys())
def test_position(text: str, offset: int, wanted: Position) -> None:
    assert Source("a", text).position(offset) == wanted


@given(st.text(alphabet="ab\n", max_size=30), st.data())
def test_position_agrees_with_counting(text: str, data: st.DataObject) -> None:
    """line = 1 + line ends before; column = 1 + characters since the last of them."""
    offset = data.draw(st.integers(0, len(text)))
    before = text[:offset]
    assert Source("a", text).position(offset) == Position(1 + before.count("\n"), 1 + len(before.rpartition("\n")[2]))


@pytest.mark.parametrize("offset", [-1, 3])
def test_no_position_outside_the_text(offset: int) -> None:
    with pytest.raises(ValueError, match="outside a"):
        Source("a", "ab").position(offset)


LINES = {
    "the first line": ("ab\ncd", 1, "ab"),
    "the last line": ("ab\ncd", 2, "cd"),
    "the empty line after a last line end": ("ab\n", 2, ""),
    "without the carriage return": ("ab\r\ncd", 1, "ab"),
    "before the first": ("ab", 0, ""),
    "past the last": ("ab", 2, ""),
}


@pytest.mark.parametrize(("text", "line", "wanted"), LINES.values(), ids=LINES.keys())
def test_line_text(text: str, line: int, wanted: str) -> None:
    assert Source("a", text).line_text(line) == wanted
