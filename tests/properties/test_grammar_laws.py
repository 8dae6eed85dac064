"""Our driver of the tables reads every text as Lark does by the same grammar, or stops where it stops.

The oracle is Lark's interactive parser, fed token by token, with the two rules that the language adds to it: no two
words touch, and no comment touches a path (`policy_lang/syntax/grammar.py`).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import lark
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from policy_lang.syntax.grammar import Fault, Start, Token, Tree, accepted, read
from policy_lang.syntax.tables import load
from tools.grammar_tables import GRAMMAR, TARGET, UnfitError, lark_of, main, render

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    *(path.read_text("utf-8") for path in sorted((ROOT / "tests" / "golden" / "check").glob("*.pol"))),
    *(path.read_text("utf-8") for path in sorted((ROOT / "policies").rglob("*.pol"))),
]
WHOLE = TEXTS[0]
LEXEMES = re.findall(r'"[^"\n]*"|[A-Za-z_]\w*|[0-9][\w:.-]*|\S|\n', "\n".join(TEXTS))
ODD = [
    "0", "-5", "1_0", "5m", "5mx", "1h30m", "2026-01-31", "2026-01-31T00:00:00Z", "10.0.0.1", "10.0.0.0/8", "::", "::1",
    "fe80::1", "ab::/32", "a:b:c", "::ffff:1.2.3.4", "..", "==", "=", "===", "<=", "<", "&&", "!", "'", '"', '"a\\',
    "/", "/a", "/a#b", "/a{b: int}?c=d", "/a/{", "shop.Orders/Watch", "#", "# a comment\n", "\r\n", "\t", " ", "é",
    "aé", "GET", "GETx", "ANY", "token", "tokens", "role", "or", "order", "Σ", "²", "_", "_a", "a_", "\x00", "٣",
    "-", "--",
]  # fmt: skip


@cache
def oracle() -> lark.Lark:
    return lark_of(GRAMMAR.read_text("utf-8"))


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


def _touches(left: lark.Token, text: str, at: int) -> bool:
    return left.end_pos == at and at < len(text) and _is_word(left[-1]) and _is_word(text[at])


def read_by_lark(text: str, start: Start) -> lark.Tree[lark.Token] | tuple[list[lark.Token], int]:
    """The tree, or the tokens read before the fault and its offset."""
    reading = oracle().parse_interactive(text, start=start)
    tokens: list[lark.Token] = []

    def stopped(at: int) -> tuple[list[lark.Token], int]:
        if tokens and _touches(tokens[-1], text, at):
            return tokens[:-1], int(tokens[-1].start_pos or 0)
        return tokens, at

    try:
        for token in reading.lexer_thread.lex(reading.parser_state):  # type: ignore[no-untyped-call]
            if tokens and _touches(tokens[-1], text, token.start_pos):
                return stopped(token.start_pos)
            reading.feed_token(token)
            tokens.append(token)
            if token.type == "PATH" and text.startswith("#", token.end_pos):
                return tokens, token.end_pos
        return reading.feed_eof(tokens[-1] if tokens else None)  # type: ignore[no-untyped-call,no-any-return]
    except UnexpectedCharacters as stop:
        return stopped(stop.pos_in_stream or 0)
    except UnexpectedToken as stop:
        return (tokens, len(text)) if stop.token.type == "$END" else stopped(stop.token.start_pos or 0)


def lark_accepts(tokens: list[lark.Token], start: Start) -> frozenset[str]:
    """The terminals that Lark would take behind `tokens`."""
    reading = oracle().parse_interactive("", start=start)
    for token in tokens:
        reading.feed_token(token)
    return frozenset(reading.accepts())  # type: ignore[no-untyped-call]


def _shape(tree: Tree[Token] | Token) -> object:
    if isinstance(tree, Token):
        return (tree.type, tree.text, tree.start_pos, tree.end_pos)
    outer = tree.outer or (tree.start_pos, tree.end_pos)
    return (tree.data, tree.start_pos, tree.end_pos, *outer, [_shape(child) for child in tree.children])


def _lark_shape(tree: lark.Tree[lark.Token] | lark.Token) -> object:
    if isinstance(tree, lark.Token):
        return (tree.type, str(tree), tree.start_pos, tree.end_pos)
    meta = tree.meta
    outer = (meta.container_start_pos, meta.container_end_pos)  # type: ignore[attr-defined]
    children = [_lark_shape(child) for child in tree.children]
    return (str(tree.data), meta.start_pos, meta.end_pos, *outer, children)


def agree(text: str, start: Start) -> None:
    ours = read(text, start)
    theirs = read_by_lark(text, start)
    if isinstance(theirs, lark.Tree):
        assert isinstance(ours, Tree), f"we stop at {ours.start}: {text!r}"
        assert _shape(ours) == _lark_shape(theirs)
        return
    assert isinstance(ours, Fault), f"we read {text!r}"
    tokens, at = theirs
    last = (tokens[-1].type, str(tokens[-1]), tokens[-1].start_pos, tokens[-1].end_pos) if tokens else None
    assert (len(ours.kinds), ours.last and _shape(ours.last), ours.start) == (len(tokens), last, at)
    assert accepted(ours, start) == lark_accepts(tokens, start)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_every_policy_of_the_repository_reads_as_lark_reads_it(text: str) -> None:
    assert isinstance(read(text, "start"), Tree)
    agree(text, "start")


FRAGMENTS = st.sampled_from(LEXEMES) | st.sampled_from(ODD) | st.text(max_size=2)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(FRAGMENTS, st.sampled_from(["", "", " ", "\n", " # x\n"])), max_size=25), st.booleans())
@example([], True)
@example([("/a", ""), ("#b", "")], True)
def test_any_fragments_read_as_lark_reads_them(parts: list[tuple[str, str]], behind_a_module: bool) -> None:
    """driver(t) = lark(t): the same tree with the same places, or the same place where it stops and why."""
    text = "".join(a + b for a, b in parts)
    agree("module m\n" + text if behind_a_module else text, "start" if behind_a_module else "part")


CONTEXTS = {
    "an expression": "deny x on any endpoint when ",
    "what follows an operand": "deny x on any endpoint when a ",
    "networks": "network n = ",
    "a path": "service s { audience none endpoint e GET ",
    "a type": "relation r (a: ",
    "a call in a test": 'test "t" { call s ',
    "a record": 'test "t" { given request { ',
    "a table": 'test "t" { table | call | expect | token.sub | ',
    "a subject": "allow x for ",
    "an obligation": "deny x must ",
    "roles": "roles for user from token.roles { role ",
    "a default": "setting s: int = ",
}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CONTEXTS)), st.lists(st.tuples(FRAGMENTS, st.sampled_from(["", " "])), max_size=8))
def test_any_fragments_in_any_context_read_as_lark_reads_them(context: str, parts: list[tuple[str, str]]) -> None:
    """The same behind words that lead to the lexers with most terminals."""
    agree(CONTEXTS[context] + "".join(a + b for a, b in parts), "part")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, len(WHOLE)),
    st.integers(0, 12),
    st.sampled_from(ODD) | st.text(alphabet="ab=(){}\"'.\n;#&!:/-0", max_size=3),
)
def test_a_damaged_policy_reads_as_lark_reads_it(at: int, length: int, put: str) -> None:
    """The same for a text of every construct in which one place is changed."""
    agree(WHOLE[:at] + put + WHOLE[at + length :], "start")


# ---------------------------------------------------------------- the tables


def test_the_tables_are_those_of_the_grammar() -> None:
    assert TARGET.read_text() == render(GRAMMAR.read_bytes()), "run `python tools/grammar_tables.py`"


def test_the_tool_checks_and_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert main(["--what"]) == 2
    assert "--check" in capsys.readouterr().err


def test_tables_of_another_grammar_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not made from this grammar\.lark: run `python tools/grammar_tables\.py`"):
        load(GRAMMAR.read_bytes() + b"\n", TARGET.read_bytes())


GRAMMARS = {
    "a rule without symbols": ('start: "a" part\npart: | "b"', "empty"),
    "two names in one state": ("start: part X\npart: X | Y\nX: /[a-z][a-z0-9_]*/\nY.2: /[a-z][a-z0-9_]*/", "any word"),
    "a terminal kept here and left out there": ('start: "a" part\npart: A\nA: "a"', "left out"),
    "a terminal that may begin like a word": ('start: part "b"\npart: X | "a"\nX: /[a-z]+\\/[a-z]+/', "like a word"),
    "a word that two terminals stand for": ('start: part\npart: "a" | X\nX.2: "a" | "b"', "two terminals stand for"),
    "a terminal with flags": ('start: part\npart: X "b"\nX: /a/i', "flags"),
}


@pytest.mark.parametrize(("grammar", "why"), GRAMMARS.values(), ids=GRAMMARS.keys())
def test_a_grammar_that_the_driver_would_read_otherwise_is_refused(grammar: str, why: str) -> None:
    with pytest.raises(UnfitError, match=why):
        render(grammar.encode())
