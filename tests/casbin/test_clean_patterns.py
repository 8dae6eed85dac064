"""Patterns that are read at a glance: what comes out is what reading them sign by sign gives."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.ir.tables import FunctionName
from policy_lang.meaning.clean_patterns import LONGEST, clean_glob, clean_key, clean_regex
from policy_lang.meaning.globs import Glob, read_glob
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.key_signs import KeyFunction, form_of, in_whole_segments, places, read_key, trap_in
from policy_lang.meaning.linear_regex import Regex, opening, read_regex
from policy_lang.meaning.name_patterns import PatternsByStem, names_fitting
from policy_lang.meaning.pattern_forms import Exact, Form, Prefix, Segments

CLEAN: dict[str, tuple[FunctionName, str, Form | None]] = {
    "a user under keyMatch2": ("keyMatch2", "alice", Exact("alice")),
    "a user with a hyphen under keyMatch3": ("keyMatch3", "alice-b@x", Exact("alice-b@x")),
    "the empty key": ("keyMatch2", "", Exact("")),
    "a colon is itself under keyMatch4": ("keyMatch4", "user:7", Exact("user:7")),
    "a name after a slash": ("keyMatch2", "/a/:id", Segments(("", "a", None), rest=False)),
    "a star at the end": ("keyMatch2", "/a/:id/*", Segments(("", "a", None), rest=True)),
    "a name in braces": ("keyMatch5", "/a/{id}", Segments(("", "a", None), rest=False)),
    "a dot": ("keyMatch2", "j.doe@x.org", None),
    "a colon alone": ("keyMatch2", "/a/:", None),
    "a star alone": ("keyMatch2", "*", None),
    "only a star": ("keyMatch2", "/*", None),
    "a star in the middle": ("keyMatch2", "/a/*/b", None),
    "a name beside text": ("keyMatch3", "/a{x}", None),
    "a name with an ending": ("keyMatch2", "/:id.json", None),
    "equal names of keyMatch4": ("keyMatch4", "/{x}/{x}", None),
    "equal names of keyMatch5": ("keyMatch5", "/{x}/{x}", Segments(("", None, None), rest=False)),
    "a key too long for a glance": ("keyMatch2", "a" * (LONGEST + 1), None),
    "a method": ("regexMatch", "GET", Prefix("GET")),
    "a method with both ends": ("regexMatch", "^GET$", Exact("GET")),
    "the empty expression": ("regexMatch", "", Prefix("")),
    "an end alone": ("regexMatch", "$", Exact("")),
    "an end in the middle": ("regexMatch", "a$b", None),
    "an expression with a dot": ("regexMatch", "a.b", None),
    "a letter that is not of ASCII": ("regexMatch", "é", None),
    "a glob of text": ("globMatch", "/a/b", Segments(("", "a", "b"), rest=False)),
    "a glob of one text": ("globMatch", "alice", Segments(("alice",), rest=False)),
    "a glob with a star": ("globMatch", "/a/*/b", Segments(("", "a", None, "b"), rest=False)),
    "a glob with two slashes": ("globMatch", "/a//b", Segments(("", "a", "b"), rest=False)),
    "a glob that is closed": ("globMatch", "/a/", None),
    "a glob of nothing": ("globMatch", "", None),
    "a glob of a star": ("globMatch", "*", None),
    "a star before the first slash": ("globMatch", "*/a", None),
    "two stars": ("globMatch", "/a/**", None),
    "a star beside text": ("globMatch", "/a*", None),
    "half a character": ("globMatch", "/a\ud800", None),
}


def _clean(function: FunctionName, text: str) -> Form | None:
    match function:
        case "keyMatch2" | "keyMatch3" | "keyMatch4" | "keyMatch5":
            return clean_key(function, text)
        case "regexMatch":
            return clean_regex(text)
        case _:
            return clean_glob(text)


@pytest.mark.parametrize("case", CLEAN)
def test_what_is_read_at_a_glance(case: str) -> None:
    function, text, form = CLEAN[case]
    assert _clean(function, text) == form


KEYS = st.sampled_from(["keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "keyGet2", "keyGet3"])
PIECES = ["", "a", "b c", "é", "\n", ".", ":", ":x", ":é_1", "{x}", "{y}", "{x", "*", "**", "?", "a-b", "\ud800", "²"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=5).map("/".join) | st.text("ab/:{}*.x\n", max_size=8)


@given(KEYS, TEXTS)
def test_keys_are_read_alike(function: KeyFunction, text: str) -> None:
    """For every text that is clean: no trap, the same form, and nothing besides it but the end."""
    clean = clean_key(function, text)
    if clean is None:
        return
    pieces = read_key(function, text)
    assert trap_in(function, pieces) is None
    assert form_of(pieces) == clean
    assert isinstance(clean, Exact) or in_whole_segments(pieces)
    assert function != "keyMatch4" or places(pieces) == ()


@given(st.text("ab ^$/-#~\"'", max_size=8) | TEXTS)
def test_expressions_are_read_alike(text: str) -> None:
    """For every text that is clean: it can be read, and what it opens with is all of it."""
    clean = clean_regex(text)
    if clean is not None:
        assert isinstance(read_regex(text), Regex)
        assert opening(text) == (clean.text, "exact" if isinstance(clean, Exact) else "prefix")


NAMES = st.lists(st.sampled_from(["", "a", "b c", ".", ".a", "é", "\n", "b"]), max_size=6).map("/".join)


@given(TEXTS, st.lists(NAMES, max_size=8))
def test_globs_are_read_alike(text: str, names: list[str]) -> None:
    """For every text that is clean: it can be read, the form is the same, and it takes what its expression takes."""
    clean = clean_glob(text)
    if clean is None:
        return
    glob, quick = read_glob(text, mode="strict"), pattern("globMatch", text, mode="strict")
    assert isinstance(glob, Glob)
    assert isinstance(quick, Pattern)
    assert glob.form == clean
    for name in (*names, text, text.replace("*", "b"), text.replace("/", "//") + "/"):
        assert quick.fits(name) is glob.regex.begins(name)


MATCHING = st.sampled_from(["keyMatch", "keyMatch2", "keyMatch3", "keyMatch5", "globMatch", "regexMatch"])


@given(MATCHING, st.lists(TEXTS, max_size=6, unique=True), st.lists(NAMES | TEXTS, min_size=1, max_size=8))
def test_an_index_of_names_finds_those_that_fit(function: FunctionName, texts: list[str], names: list[str]) -> None:
    """fitting(n) = {p : p fits n}, and names_fitting(p) = {n : p fits n}."""
    read = [pattern(function, text, mode="compat") for text in texts]
    patterns = [each for each in read if isinstance(each, Pattern)]
    index, ordered = PatternsByStem.of(patterns), sorted(set(names))
    for name in names:
        assert sorted(index.fitting(name)) == sorted(each.text for each in patterns if each.fits(name) is True)
    for each in patterns:
        assert names_fitting(each, ordered) == [name for name in ordered if each.fits(name) is True]


@pytest.mark.parametrize("function", ["keyMatch2", "keyMatch5", "regexMatch", "globMatch"])
@pytest.mark.parametrize("prefix", ["user", "/team/user"])
def test_ten_thousand_names_are_found_at_once(function: FunctionName, prefix: str) -> None:
    """A hundred questions take less than asking each name once would."""
    read = [pattern(function, f"{prefix}{number:05}", mode="strict") for number in range(10_000)]
    index = PatternsByStem.of(each for each in read if isinstance(each, Pattern))
    begun = time.thread_time()
    found = [index.fitting(f"{prefix}{number:05}") for number in range(0, 10_000, 100)]
    assert time.thread_time() - begun < 0.1
    assert all(len(each) == 1 for each in found)


@pytest.mark.parametrize("text", ["/a" * 200, "/:x" * 100, "a" * LONGEST, "/" * LONGEST, "/*" * 200, "*" * LONGEST])
def test_a_glance_takes_no_time(text: str) -> None:
    begun = time.thread_time()
    for function in ("keyMatch2", "keyMatch4", "regexMatch", "globMatch"):
        _clean(function, text)
    assert time.thread_time() - begun < 0.02
