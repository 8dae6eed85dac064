"""The file of parser tables to the automaton that runs them.

In go the text of `grammar.lark` and the JSON that `tools/grammar_tables.py` made of it; out comes an `Automaton`.
Errors: ValueError where the tables are not those of the grammar. Nothing else in them is doubted: both files are parts
of this package, as its code is.

The JSON, numbers standing for places in its lists:
    grammar    SHA-256 of the bytes of `grammar.lark`, hexadecimal
    terminals  [name, pattern, text, words, shown], the end of the text first: `text` where it has only one, else empty;
               `words` are all it stands for, where these are words; `shown` says whether trees hold it
    names      [terminal, words]: terminals that match any word but these
    rules      [symbols, nonterminal, name of its tree or "", whether one part stands alone, whether it only renames]
    lexers     lists of terminals, in the order in which they are tried; those of words come last
    states     [lexer, [terminal, action, ...], [nonterminal, state, ...]], the actions as in `Automaton`
    starts     {start rule: [first state, last state]}

Decision: 2026-11-21. The tables are a file, because making them takes 0.5 s in every process and needs Lark (0.07 s to
import); loading them takes 0.05 s, most of it for the lexers' expressions, and needs no Lark. A file older than the
grammar would be a second, silent grammar: so it states the digest of the grammar it was made from, it is refused where
that differs, and a test makes it anew and compares. It is refused, not made anew on the spot: Lark and its check of
terminals then stay out of what is installed, and a wrong package is found at its first parse.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import TypedDict

from policy_lang.syntax.automaton import BLANKS, WORD, Automaton, Lexer

_NAME = "([a-z][a-z0-9_]*)"
_TOUCHING = r"(?:(?<=\w)(?=\w)()|)"
"""A group that takes part where the token ends within a word: `5mx` is not `5m` and `x` to a reader."""

_REFUSED = -2


class _Tables(TypedDict):
    grammar: str
    terminals: list[tuple[str, str, str, list[str], bool]]
    names: list[tuple[int, list[str]]]
    rules: list[tuple[int, int, str, bool, bool]]
    lexers: list[list[int]]
    states: list[tuple[int, list[int], list[int]]]
    starts: dict[str, tuple[int, int]]


def load(grammar: bytes, tables: bytes) -> Automaton:
    """The automaton of `grammar`, from the `tables` that were made of it.

    Errors: ValueError where they were made of another grammar.
    """
    file: _Tables = json.loads(tables)
    if file["grammar"] != hashlib.sha256(grammar).hexdigest():
        raise ValueError(
            "the parser's tables were not made from this grammar.lark: run `python tools/grammar_tables.py`"
        )
    actions = tuple(dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat, _ in file["states"])
    names = [name for name, *_ in file["terminals"]]
    path = names.index("PATH")
    behind_path = {row[path] for row in actions if row.get(path, 0) > 0}
    lexer = cache(lambda number, ends_path: _lexer(file, file["lexers"][number], ends_path=ends_path))
    return Automaton(
        terminals=tuple(names),
        spellings={name: text for name, _, text, _, _ in file["terminals"] if text},
        shown=tuple(name if shown else "" for name, _, _, _, shown in file["terminals"]),
        rules=tuple((size, origin, data, lone) for size, origin, data, lone, _ in file["rules"]),
        units=frozenset(number for number, (*_, renames) in enumerate(file["rules"]) if renames),
        actions=actions,
        gotos=tuple(dict(zip(flat[::2], flat[1::2], strict=True)) for _, _, flat in file["states"]),
        lexers=tuple(lexer(number, state in behind_path) for state, (number, _, _) in enumerate(file["states"])),
        starts={start: (first, last) for start, (first, last) in file["starts"].items()},
    )


def _lexer(file: _Tables, taken: Sequence[int], *, ends_path: bool) -> Lexer:
    """The lexer of a state that takes the terminals `taken`."""
    words: dict[str, int] = {}
    name = _REFUSED
    for terminal, reserved in file["names"]:
        if terminal in taken:
            name = terminal
            words.update(dict.fromkeys(reserved, _REFUSED))
    named = {terminal for terminal, _ in file["names"]}
    others: list[int] = []
    for terminal in taken:
        spelt = file["terminals"][terminal][3]
        words.update(dict.fromkeys(spelt, terminal))
        if not spelt and terminal not in named:
            others.append(terminal)
    groups: list[tuple[str, int]] = [(f"({file['terminals'][other][1]})", other) for other in others]
    if words or name != _REFUSED:
        # Before all others, since words are the most frequent. Only an address may begin like one, and it has a colon
        # where the word ends: then it goes first, as its priority says.
        groups = [(f"{_NAME}(?![a-z0-9_:])", WORD), *groups, (_NAME, WORD)]
    groups.append((r"(\Z)", 0))
    choice = "|".join(group for group, _ in groups)
    comment = "(?!#)" if ends_path else ""
    expression = re.compile(f"{comment}{BLANKS}(?:{choice}){_TOUCHING}")
    return Lexer(expression.match, (0, *(terminal for _, terminal in groups), _REFUSED), words, name)
