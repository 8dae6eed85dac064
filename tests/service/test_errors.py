"""What an error says: one line that writes no other, whatever was in the names it holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.errors import LAID_OUT, PolicyError, printable_lines

EVIL: dict[str, tuple[str, str]] = {
    "a line end": ("a\nb", "a\\u{a}b"),
    "an escape": ("a\x1b[31mb", "a\\u{1b}[31mb"),
    "a control of eight bits": ("a\x9bb", "a\\u{9b}b"),
    "an override of the direction": ("a\u202eb", "a\\u{202e}b"),
    "a return to the start of the line": ("a\rb", "a\\u{d}b"),
    "a tab": ("a\tb", "a\\u{9}b"),
    "a byte that is not UTF-8": ("a\udcffb", "a\\udcffb"),
    "letters of any script": ("bär 政策", "bär 政策"),
}


@pytest.mark.parametrize("sentence", EVIL)
def test_stands_in_a_detail_as_its_number(sentence: str) -> None:
    text, shown = EVIL[sentence]
    error = PolicyError("P104", text)
    assert error.detail == shown
    assert str(error) == f"P104: {shown}"


@pytest.mark.parametrize("code", sorted(LAID_OUT))
def test_a_list_of_problems_keeps_its_lines_and_nothing_else(code: str) -> None:
    assert PolicyError(code, "two:\n  a\tb\n  c\x1b\r\n").detail == "two:\n  a\tb\n  c\\u{1b}\\u{d}\n"


@given(st.text())
def test_what_is_shown_can_be_written_anywhere_and_is_shown_the_same_again(text: str) -> None:
    """detail is one line of UTF-8 without controls, and detail(detail(x)) = detail(x)."""
    detail = PolicyError("P104", text).detail
    detail.encode("utf-8")
    assert not any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in detail)
    assert PolicyError("P104", detail).detail == detail
    assert printable_lines(printable_lines(text)) == printable_lines(text)
