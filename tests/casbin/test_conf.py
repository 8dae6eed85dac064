"""Lines of a model file: sections and entries, and where each character stands."""

from __future__ import annotations

import pytest
from casbin.config import Config
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.casbin.conf import read_sections
from policy_lang.source import Source

LINES: dict[str, tuple[str, list[tuple[str, list[tuple[str, str]]]]]] = {
    "nothing": ("", []),
    "blank lines and comments alone": ("\n  \n# a\n; b\n", []),
    "a section without entries": ("[matchers]\n", [("matchers", [])]),
    "an entry": ("[m]\nm = a\n", [("m", [("m", "a")])]),
    "no line end at the end": ("[m]\nm = a", [("m", [("m", "a")])]),
    "CRLF": ("[m]\r\nm = a\r\n", [("m", [("m", "a")])]),
    "tabs and blanks around everything": ("\t[m] \n \t m\t=  a \t\n", [("m", [("m", "a")])]),
    "a byte order mark": ("\ufeff[m]\nm = a\n", [("m", [("m", "a")])]),
    "an entry before any section": ("m = a\n", [("", [("m", "a")])]),
    "the same section twice": ("[m]\na = 1\n[m]\nb = 2\n", [("m", [("a", "1")]), ("m", [("b", "2")])]),
    "blanks within the brackets belong to the name": ("[ m ]\n", [(" m ", [])]),
    "the value keeps further equals signs": ("[m]\nm = a == b\n", [("m", [("m", "a == b")])]),
    "an empty value": ("[m]\nm =\n", [("m", [("m", "")])]),
    "an empty key": ("[m]\n= a\n", [("m", [("", "a")])]),
    "a hash within a value is of the value": ("[m]\nm = a # b\n", [("m", [("m", "a # b")])]),
    "a continued line": ("[m]\nm = a \\\n    b\n", [("m", [("m", "a b")])]),
    "a continued line without blanks": ("[m]\nm = a\\\nb\n", [("m", [("m", "a b")])]),
    "several continued lines": ("[m]\nm = a \\\n b \\\n c\nn = d\n", [("m", [("m", "a b c"), ("n", "d")])]),
    "a backslash before the key ends": ("[m]\nm \\\n= a\n", [("m", [("m", "a")])]),
    "a backslash on the last line": ("[m]\nm = a \\", [("m", [("m", "a")])]),
    "a comment ends what is continued": ("[m]\nm = a \\\n# c\nn = b\n", [("m", [("m", "a"), ("n", "b")])]),
    "an empty line ends what is continued": ("[m]\nm = a \\\n\nn = b\n", [("m", [("m", "a"), ("n", "b")])]),
    "a section ends what is continued": ("[m]\nm = a \\\n[n]\nn = b\n", [("m", [("m", "a")]), ("n", [("n", "b")])]),
    "a list that ends a continued line is a section there": (
        "[m]\nm = a in \\\n['x', 'y']\n",
        [("m", [("m", "a in")]), ("'x', 'y'", [])],
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_sections_and_entries(name: str) -> None:
    text, want = LINES[name]
    sections, found = read_sections(Source("model.conf", text))
    assert [(each.name, [(entry.key, entry.value.text) for entry in each.entries]) for each in sections] == want
    assert found == ()


STRAY: dict[str, tuple[str, list[tuple[int, int]]]] = {
    "a word": ("[m]\nmatcher\n", [(2, 1)]),
    "a section that does not end": ("[m\n", [(1, 1)]),
    "a section with a comment behind it": ("[m] # matchers\n", [(1, 1)]),
    "what follows a comment in a continued line": ("[m]\nm = a \\\n # c\n b\n", [(4, 2)]),
    "a backslash alone": ("[m]\n\\\n", [(2, 1)]),
    "a section over two lines": ("[a \\\nb]\n", [(1, 1)]),
    "two of them": ("x\n  y\n", [(1, 1), (2, 3)]),
}


@pytest.mark.parametrize("name", STRAY)
def test_lines_that_are_nothing(name: str) -> None:
    text, want = STRAY[name]
    source = Source("model.conf", text)
    _, found = read_sections(source)
    places = [source.position(each.span.start) for each in found]
    assert [(place.line, place.column) for place in places] == want
    assert {each.code for each in found} == {"E602"}


def test_places_in_continued_lines() -> None:
    """Each character that is no joint stands in the source where its place says."""
    source = Source("model.conf", "[m]\r\nm\t=  abc \\\r\n\tdef\\\r\n ghi\r\n")
    ((section,), _) = read_sections(source)
    value = section.entries[0].value
    assert value.text == "abc def ghi"
    for at, character in enumerate(value.text):
        span = value.span(at, at + 1)
        if character != " ":
            assert source.text[span.start : span.end] == character
    for word in ("abc", "def", "ghi"):
        at = value.text.index(word)
        assert value.exactly(value.span(at, at + 3)) == word
    assert source.position(value.span(4, 7).start).line == 3


def test_a_long_quote_is_cut() -> None:
    ((section,), _) = read_sections(Source("model.conf", f"[m]\nm = {'a' * 100}\n"))
    value = section.entries[0].value
    assert value.written(value.whole) == "a" * 60 + "…"
    assert value.exactly(value.whole) == "a" * 100


_PIECES = [
    "[m]",
    "[n]",
    "m",
    "n",
    "=",
    " = ",
    "\\",
    "\n",
    "\n",
    "\n",
    " ",
    "\t",
    "#",
    ";",
    "a",
    "b c",
    "[",
    "]",
    "\r\n",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_entries_are_those_that_casbin_finds(text: str) -> None:
    """For all texts: entries(text) = Casbin's entries(text), and a stray line here is what Casbin raises at."""
    sections, found = read_sections(Source("model.conf", text))
    try:
        theirs = Config.new_config_from_text(text)
    except RuntimeError:
        assert found
        return
    assert not found
    ours: dict[str, dict[str, str]] = {}
    for section in sections:
        for entry in section.entries:
            ours.setdefault(section.name or "default", {})[entry.key] = entry.value.text
    assert ours == theirs._data


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_every_place_lies_in_the_source(text: str) -> None:
    """For all texts, entries e and i <= j: span(i, j) lies within the source; exactly(span(i, j)) = value[i:j]."""
    source = Source("model.conf", text)
    sections, _ = read_sections(source)
    for value in (entry.value for section in sections for entry in section.entries):
        for start in range(len(value.text)):
            span = value.span(start, len(value.text))
            assert span.end <= len(text)
            assert value.exactly(span) == value.text[start:]
