"""The Lark rim: text to the tree that Lark builds, or the place where the grammar stopped.

In goes text and the rule to read it by; out comes a tree whose shape `grammar.lark` gives, or a `Fault`. Nothing is
raised for any text. Linear in the text: Lark's automaton keeps its own stack, so that depth costs no recursion.

Decision: 2026-11-21. The tokens are fed one by one, because Lark alone would read `onorders` as `on orders`: two
tokens whose word characters touch are a fault, and so is a path that a comment touches: `/a#b` reads as a path to some
and as `/a` to us. The tables are built at the first use (0.6 s), not loaded from a file:
a stale file of tables would be a second, silent grammar.
Design: language.md 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken
from lark.lexer import PatternStr

Start = Literal["start", "part"]
Branch = Tree[Token] | Token


@dataclass(frozen=True, slots=True)
class Fault:
    """Where reading stopped.

    `tokens` are those read before; `start` is the offset of what did not fit, the length of the text where it was the
    end that did not fit.
    """

    tokens: tuple[Token, ...]
    start: int


@cache
def grammar() -> Lark:
    """The parser tables, built once in a process."""
    return Lark(
        files("policy_lang").joinpath("grammar.lark").read_text("utf-8"),
        parser="lalr",
        lexer="contextual",
        strict=True,
        propagate_positions=True,
        maybe_placeholders=False,
        start=["start", "part"],
    )


def read(text: str, start: Start) -> Tree[Token] | Fault:
    """Read the whole of `text` as `start`; positions in the tree are offsets in `text`."""
    reading = grammar().parse_interactive(text, start=start)
    tokens: list[Token] = []
    try:
        for token in reading.lexer_thread.lex(reading.parser_state):  # type: ignore[no-untyped-call]
            if tokens and _touches(tokens[-1], text, _start(token)):
                return _fault(text, tokens, _start(token))
            reading.feed_token(token)
            tokens.append(token)
            if token.type == "PATH" and text.startswith("#", token.end_pos):
                return Fault(tuple(tokens), token.end_pos or 0)
        tree: Tree[Token] = reading.feed_eof(tokens[-1] if tokens else None)  # type: ignore[no-untyped-call]
    except UnexpectedCharacters as stop:
        return _fault(text, tokens, stop.pos_in_stream or 0)
    except UnexpectedToken as stop:
        if stop.token.type == "$END":
            return Fault(tuple(tokens), len(text))
        return _fault(text, tokens, _start(stop.token))
    return tree


def accepted(fault: Fault, start: Start) -> frozenset[str]:
    """The names of the terminals that may follow `fault.tokens`; `$END` is the end of the text.

    The tokens are read once more: the automaton reduces before it notices a token that does not fit, and then knows
    fewer of those that would have.
    """
    reading = grammar().parse_interactive("", start=start)
    for token in fault.tokens:
        reading.feed_token(token)
    return frozenset(reading.accepts())  # type: ignore[no-untyped-call]


@cache
def spellings() -> dict[str, str]:
    """The text of every terminal that has only one, by its name."""
    return {t.name: t.pattern.value for t in grammar().terminals if isinstance(t.pattern, PatternStr)}


def trees(tree: Tree[Token]) -> list[Tree[Token]]:
    """The children of `tree` that are no tokens."""
    return [child for child in tree.children if isinstance(child, Tree)]


def words(tree: Tree[Token]) -> tuple[str, ...]:
    """The tokens of a flat `tree`, as written."""
    return tuple(str(token) for token in tree.children)


def token_of(branch: Branch) -> Token:
    """`branch`, where the grammar has a token."""
    if isinstance(branch, Token):
        return branch
    raise TypeError(f"a tree where the grammar has a token: {branch.data}")


def tree_of(branch: Branch) -> Tree[Token]:
    """`branch`, where the grammar has a tree."""
    if isinstance(branch, Tree):
        return branch
    raise TypeError(f"a token where the grammar has a tree: {branch.type}")


def _start(token: Token) -> int:
    return token.start_pos or 0


def _fault(text: str, tokens: list[Token], start: int) -> Fault:
    # What touches the word before it is one word with it to a reader: `myName` is not `my` and `Name`.
    if tokens and _touches(tokens[-1], text, start):
        return Fault(tuple(tokens[:-1]), _start(tokens[-1]))
    return Fault(tuple(tokens), start)


def _touches(left: Token, text: str, at: int) -> bool:
    return left.end_pos == at and _is_word(left[-1]) and _is_word(text[at])


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()
