"""The grammar of this package, ready to read by: text to a tree, or the place where the grammar stopped.

In goes text and the rule to read it by; out comes a tree whose shape `grammar.lark` gives, or a `Fault`. Nothing is
raised for any text. Linear in the text, and depth costs no recursion.

Decision: 2026-11-21. Two tokens whose word characters touch are a fault, where Lark would read `onorders` as
`on orders`, and so is a path that a comment touches: `/a#b` reads as a path to some and as `/a` to us.
Decision: 2026-11-21. Lark owns the grammar and makes the tables; a driver of our own runs them, eight times as fast.
Design: language.md 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from policy_lang.syntax.automaton import Automaton, Fault
from policy_lang.syntax.tables import load
from policy_lang.syntax.tokens import Branch, Token, Tree, token_of, tree_of, trees, words

__all__ = [
    "Branch",
    "Fault",
    "Start",
    "Token",
    "Tree",
    "accepted",
    "read",
    "spellings",
    "token_of",
    "tree_of",
    "trees",
    "words",
]

Start = Literal["start", "part"]


@cache
def _automaton() -> Automaton:
    """The tables, loaded once in a process."""
    package = files("policy_lang.syntax")
    return load(package.joinpath("grammar.lark").read_bytes(), package.joinpath("grammar.json").read_bytes())


def read(text: str, start: Start) -> Tree[Token] | Fault:
    """Read the whole of `text` as `start`; positions in the tree are offsets in `text`."""
    return _automaton().read(text, start)


def accepted(fault: Fault, start: Start) -> frozenset[str]:
    """The names of the terminals that may follow what was read before `fault`; `$END` is the end of the text."""
    return _automaton().accepted(fault, start)


def spellings() -> Mapping[str, str]:
    """The text of every terminal that has only one, by its name."""
    return _automaton().spellings
