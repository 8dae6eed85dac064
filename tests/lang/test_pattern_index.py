"""The index leaves out no pattern that shares a path, so that E410 is what comparing every pair says."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang.compile import compile_policy
from policy_lang.declared.pattern_index import PatternIndex
from policy_lang.diagnostics import CompileError
from policy_lang.meaning.patterns import Pattern, intersection, more_specific, overlap, parse_pattern, same_shape
from policy_lang.request import MAX_SEGMENTS


def read(text: str) -> Pattern:
    pattern = parse_pattern(text)
    assert isinstance(pattern, Pattern), pattern
    return pattern


@st.composite
def texts(draw: st.DrawFn) -> str:
    parts = draw(
        st.lists(st.sampled_from(["a", "b", "1", "{x}", "{x: int}", "{x: uuid}", "{x: opaque}", "*"]), max_size=3)
    )
    parts = [part.replace("x", f"x{n}") for n, part in enumerate(parts)]
    if draw(st.integers(0, 4)) == 0:
        return "/" + "/".join([*parts, "**"])
    return "/" + "/".join(parts) + ("/" if parts and draw(st.booleans()) else "")


@given(st.lists(texts(), max_size=12), texts())
@settings(deadline=None)
def test_every_pattern_that_shares_a_path_is_near(known: list[str], asked: str) -> None:
    """overlap(p, q) or intersection(p, q) => q in near(p), and numbers come ascending, each once."""
    index = PatternIndex()
    for number, text in enumerate(known):
        index.add(number, read(text))
    near = index.near(read(asked))
    assert near == sorted(set(near))
    for number, text in enumerate(known):
        shares = overlap(read(asked), read(text)) or intersection(read(asked), read(text)) is not None
        assert not shares or number in near, (asked, text)


def test_an_empty_index_has_nothing_near() -> None:
    assert PatternIndex().near(read("/**")) == []


def test_what_differs_in_a_literal_or_in_length_is_not_near() -> None:
    index = PatternIndex()
    for number, text in enumerate(["/a", "/b", "/a/b", "/a/c", "/{x}/b", "/a/b/c", "/a/**", "/b/**", "/**"]):
        index.add(number, read(text))
    assert index.near(read("/a/b")) == [2, 4, 6, 8]
    assert index.near(read("/a/{x}")) == [2, 3, 4, 6, 8]
    assert index.near(read("/")) == [8]


def test_the_longest_patterns_are_told_apart_to_their_end() -> None:
    index = PatternIndex()
    start = "/x" * (MAX_SEGMENTS - 2)
    for number, end in enumerate(["", "/a", "/a/b", "/b", "/**"]):
        index.add(number, read(start + end))
    assert index.near(read(start + "/a")) == [1, 4]
    assert index.near(read(start + "/a/b")) == [2, 4]
    assert index.near(read(start)) == [0, 4]
    assert index.near(read(start[2:] + "/y/a")) == []


METHODS = st.sampled_from(["GET", "HEAD", "POST", "GET|POST", "GET|HEAD", "ANY"])


def ambiguous(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Two endpoints by the definition: they share calls, and neither is the more specific."""
    a, b = read(one[1]), read(other[1])
    if not overlap(a, b) or more_specific(a, b) or more_specific(b, a):
        return False
    ours, theirs = set(one[0].split("|")), set(other[0].split("|"))
    if "ANY" in ours | theirs or ours & theirs:
        return True
    split = any("GET" in x and "HEAD" in y for x, y in ((ours, theirs), (theirs, ours)))
    return split and not same_shape(a, b)


@given(st.lists(st.tuples(METHODS, texts()), min_size=1, max_size=8))
@settings(deadline=None)
def test_ambiguous_endpoints_are_those_that_pairs_show(endpoints: list[tuple[str, str]]) -> None:
    """E410(i) <=> some j < i: not E410(j), ambiguous(i, j); and such a j is named."""
    declared = "\n".join(f"endpoint e{n} {methods} {pattern}" for n, (methods, pattern) in enumerate(endpoints))
    try:
        compile_policy({"m.pol": f'module m service s {{ audience "s" host "s.example" {declared} }}'.encode()})
        shown: list[str] = []
    except CompileError as refused:
        shown = [each.message for each in refused.diagnostics]
    clear: list[int] = []
    for i, one in enumerate(endpoints):
        others = [j for j in clear if ambiguous(one, endpoints[j])]
        if others:
            named = shown.pop(0)
            assert named in {f"`e{i}` and `e{j}` share paths, and neither is the more specific" for j in others}
        else:
            clear.append(i)
    assert shown == []


def test_two_thousand_endpoints_and_rules_by_pattern_take_seconds() -> None:
    count = 2000
    endpoints = "\n".join(f"endpoint e{n} GET /api/a{n}/{{x}}" for n in range(count))
    rules = "\n".join(f'deny d{n} on s GET /api/a{n}/** because "-"' for n in range(count))
    text = f'module m service s {{ audience "s" host "s.example" {endpoints} }} {rules}'
    started = time.process_time()
    program = compile_policy({"m.pol": text.encode()}).program
    assert sum(len(cell.deny) for cell in program.cells) == count
    # One second; pair by pair it was twenty.
    assert time.process_time() - started < 15
