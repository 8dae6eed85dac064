"""Globs: what each sign takes and what it does not, by name; and nothing but what wcmatch says, reasons apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.meaning.glob_braces import alternatives
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.pattern_forms import Trap, admits
from tests.casbin.pattern_pairs import compared, they_say

FITS: dict[str, tuple[str, str, bool]] = {
    "a text is itself": ("/a/b", "/a/b", True),
    "a text is not a part of the name": ("/a", "/ab", False),
    "the empty glob is the empty name": ("", "", True),
    "and no other": ("", "a", False),
    "a star is a segment": ("/a/*", "/a/b", True),
    "a star is no empty segment": ("/a/*", "/a/", False),
    "a star goes over no slash": ("/a/*", "/a/b/c", False),
    "a star beside text may be empty": ("/a*", "/a", True),
    "a star after a dot": ("/a/*.b", "/a/.b", False),
    "a star does not meet a leading dot": ("/a/*", "/a/.b", False),
    "a dot that is written does": ("/a/.*", "/a/.b", True),
    "a star meets a dot inside": ("/a/*", "/a/b.c", True),
    "a star meets a line break": ("/a/*", "/a/b\n", True),
    "a star before text that could begin the name": ("*a", "a", True),
    "a star before text after a dot": ("*a", ".a", False),
    "a question mark is one character": ("/a?", "/ab", True),
    "and not none": ("/a?", "/a", False),
    "a question mark is no slash": ("a?b", "a/b", False),
    "a question mark is no leading dot": ("/?a", "/.a", False),
    "two stars are no segment": ("/a/**", "/a", True),
    "or one": ("/a/**", "/a/b", True),
    "or several": ("/a/**", "/a/b/c", True),
    "two stars stop at a segment": ("/a/**", "/ab", False),
    "two stars do not meet a leading dot": ("/a/**", "/a/b/.c", False),
    "two stars in the middle": ("/a/**/z", "/a/b/c/z", True),
    "two stars in the middle may be nothing": ("/a/**/z", "/a/z", True),
    "two stars at the beginning": ("**/z", "a/b/z", True),
    "two stars at the beginning, of a root": ("/**/z", "/z", True),
    "two stars alone, of the empty name": ("/**", "", False),
    "two stars and a slash": ("/a/**/", "/a/b", False),
    "two stars and a slash, of a name with one": ("/a/**/", "/a/b/", True),
    "three stars are one": ("/a/***", "/a/b/c", False),
    "two stars beside text are one": ("/a**", "/ab/c", False),
    "the star before the first slash is dropped": ("*/a", "/a", True),
    "and does not meet a segment": ("*/a", "b/a", False),
    "slashes in a name count as one": ("/a/b", "//a///b", True),
    "slashes in the glob count as one": ("/a//b", "/a/b", True),
    "the name may end in a slash": ("/a", "/a/", True),
    "a glob that ends in one asks for it": ("/a/", "/a", False),
    "a class": ("/[a-c]", "/b", True),
    "a class and what is not in it": ("/[a-c]", "/d", False),
    "what is not in a class": ("/[!a-c]", "/d", True),
    "a class by the other sign": ("/[^a-c]", "/a", False),
    "no class holds a slash": ("a[!b]c", "a/c", False),
    "no class meets a leading dot": ("/[.]a", "/.a", False),
    "a class meets a dot inside": ("/a[.]", "/a.", True),
    "a class with its own end": ("/[]a]", "/]", True),
    "a class with a hyphen": ("/[a-]", "/-", True),
    "a class backwards is empty": ("/[c-a]", "/b", False),
    "what is not in an empty class": ("/[!c-a]", "/b", True),
    "a class of far letters": ("/[\u00e0-\u00ff]", "/\u00e9", True),
    "a bracket that is not closed is itself": ("/[a", "/[a", True),
    "so is one around a slash": ("/[a/b]", "/[a/b]", True),
    "braces": ("/{a,b}/c", "/b/c", True),
    "braces and what is not in them": ("/{a,b}/c", "/d/c", False),
    "braces in braces": ("/{a,b{c,d}}", "/bd", True),
    "an empty alternative": ("/a{,b}", "/a", True),
    "a slash in braces": ("/{a/b,c}", "/a/b", True),
    "an escaped brace is itself": ("/\\{a,b\\}", "/{a,b}", True),
    "an escaped star is itself": ("/\\*", "/a", False),
    "a comma under two stars separates": ("/a,b/**", "b", True),
    "a sign of expressions is itself": ("/(a|b)+.c$", "/(a|b)+.c$", True),
    "and only that": ("/a.c", "/abc", False),
    "letters count by case": ("/A", "/a", False),
}


@pytest.mark.parametrize("case", FITS)
def test_a_glob_fits(case: str) -> None:
    text, name, expected = FITS[case]
    read = pattern("globMatch", text, mode="compat")
    assert isinstance(read, Pattern), read
    assert read.fits(name) is expected
    assert they_say("globMatch", name, text) is expected
    assert not expected or admits(read.form, name)


@pytest.mark.parametrize("seed", [11, 12])
def test_globs_say_what_wcmatch_says(seed: int) -> None:
    _, faults = compared("globMatch", seed, 800)
    assert not faults, "\n".join(faults[:10])


GLOB_SEGMENT = st.sampled_from(
    ["", "a", "*", "**", "?", "a*", "*a", "[ab]", "[!a]", "[.a]", ".a", ".*", "{a,b}", "{a,*}"]
)
NAME_SEGMENT = st.sampled_from(["", "a", "b", "ab", "aa", ".a", ".", "..", "a.", "\n", "é"])


@given(
    st.lists(GLOB_SEGMENT, max_size=5).map("/".join),
    st.lists(st.lists(NAME_SEGMENT, max_size=5).map("/".join), min_size=1, max_size=8),
)
def test_segments_of_globs_say_what_wcmatch_says(text: str, names: list[str]) -> None:
    """For every glob of well-formed segments and every name: fits = wcmatch; the form admits what fits."""
    read = pattern("globMatch", text, mode="compat")
    assert isinstance(read, Pattern)
    for name in names:
        assert read.fits(name) is they_say("globMatch", name, text)
        assert not read.fits(name) or admits(read.form, name)


# ---------------------------------------------------------------- braces

EXPANDED: dict[str, tuple[str, tuple[str, ...]]] = {
    "none": ("a", ("a",)),
    "no text": ("", ("",)),
    "two": ("a{b,c}d", ("abd", "acd")),
    "two by two": ("{a,b}{c,d}", ("ac", "ad", "bc", "bd")),
    "nested": ("{a,{b,c}}", ("a", "b", "c")),
    "the same once": ("{a,a}", ("a",)),
    "an empty one beside others": ("{,a}", ("a",)),
    "only empty ones": ("{,}", ("",)),
    "an escaped comma": ("{a\\,b,c}", ("a\\,b", "c")),
}


@pytest.mark.parametrize("case", EXPANDED)
def test_braces_stand_for_texts(case: str) -> None:
    text, expected = EXPANDED[case]
    assert alternatives(text) == expected


MALFORMED = {
    "not closed": "{a,b",
    "not opened": "a,b}",
    "closed before opened": "}a{",
    "of one text": "{a}",
    "empty": "{}",
    "a range": "{1..9}",
    "after a dollar": "${a,b}",
    "too many": "{a,b}" * 7,
    "too many of the same": "{a,a}" * 500,
    "too deep": "{a," * 9 + "b" + "}" * 9,
    "too long in all": "{a,b}" + "c" * 4_000,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_braces_that_are_not_well_formed_are_not_read(case: str) -> None:
    read = alternatives(MALFORMED[case])
    assert isinstance(read, Trap)
    assert read.kind == "unreadable"
