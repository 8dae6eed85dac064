"""Write the parser's tables, `policy_lang/syntax/grammar.json`, from `grammar.lark` beside it, or check that they are.

    python tools/grammar_tables.py            writes the file
    python tools/grammar_tables.py --check    ends 1 where the file is not what would be written

The grammar comes in; the JSON that `policy_lang/syntax/tables.py` describes goes out, the same bytes for the same
grammar: states are numbered in the order in which a walk from the start rules meets them, symbols taken by name. Lark
reads the grammar and makes the LALR(1) tables, strictly: a conflict, or two terminals of one state that some text fits
both, ends it. What our driver could not read as Lark does ends it too (`UnfitError`).
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lark import Lark
from lark.grammar import Rule, Terminal
from lark.lexer import PatternStr, TerminalDef

FOLDER = Path(__file__).resolve().parent.parent / "policy_lang" / "syntax"
GRAMMAR = FOLDER / "grammar.lark"
TARGET = FOLDER / "grammar.json"
STARTS = ("start", "part")
END = "$END"

_ANY_WORD = "[a-z][a-z0-9_]*"
_NAMES = re.compile(r"(?:\(\?!\(\?:([a-z_|]+)\)\\b\))?" + re.escape(_ANY_WORD))
_WORDS = re.compile(r"\(\?:([a-z_]+(?:\|[a-z_]+)*)\)|([a-z_]+)")


class UnfitError(Exception):
    """The grammar holds something that the driver of `policy_lang/syntax/automaton.py` does not do."""


def lark_of(grammar: str) -> Lark:
    """Lark's own parser of the grammar, as strict as it gets."""
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        strict=True,
        propagate_positions=True,
        maybe_placeholders=False,
        start=list(STARTS),
    )


def render(grammar: bytes) -> str:
    """The tables of `grammar` as JSON, an entry to the line. Raises UnfitError."""
    tables = _Tables(lark_of(grammar.decode()))
    document = {"grammar": hashlib.sha256(grammar).hexdigest(), **tables.document()}
    entries = ",\n".join(f'"{key}": {_rows(value)}' for key, value in document.items())
    return f"{{\n{entries}\n}}\n"


def _rows(value: object) -> str:
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in value) + "\n]"


class _Tables:
    """Lark's objects, renumbered."""

    def __init__(self, lark: Lark) -> None:
        parser: Any = lark.parser
        self.table = parser.parser._parse_table  # noqa: SLF001 - Lark has no other way to its tables
        self.by_state = parser.lexer.lexers
        self.definitions = {terminal.name: terminal for terminal in lark.terminals}
        self.ignored = set(lark.ignore_tokens)
        used = sorted(set(self.definitions) - self.ignored)
        self.terminals = {name: number for number, name in enumerate([END, *used])}
        self.states = self._walk()
        self.rules: dict[Rule, int] = {}
        self.origins: dict[str, int] = {}

    def _walk(self) -> dict[int, int]:
        """The number of each of Lark's states, start states first."""
        found = {self.table.start_states[start]: number for number, start in enumerate(STARTS)}
        queue = list(found)
        for state in queue:
            for _, (action, target) in sorted(self.table.states[state].items(), key=lambda entry: entry[0]):
                if str(action) == "Shift" and target not in found:
                    found[target] = len(found)
                    queue.append(target)
        return found

    def document(self) -> dict[str, object]:
        """What the file holds, but for the digest."""
        lexers: list[list[int]] = []
        states = [self._state(state, lexers) for state in self.states]
        ends = self.table.end_states
        return {
            "terminals": [["$END", "", "", [], False], *map(self._terminal, list(self.terminals)[1:])],
            "names": list(self._names()),
            "rules": [self._rule(rule) for rule in self.rules],
            "lexers": lexers,
            "states": states,
            "starts": {s: [self.states[self.table.start_states[s]], self.states[ends[s]]] for s in STARTS},
        }

    def _state(self, state: int, lexers: list[list[int]]) -> list[object]:
        actions: list[int] = []
        gotos: list[int] = []
        for symbol, (action, argument) in sorted(self.table.states[state].items(), key=lambda entry: entry[0]):
            if str(action) == "Reduce":
                rule = self.rules.setdefault(argument, len(self.rules))
                actions += (self.terminals[symbol], ~rule)
            elif symbol in self.terminals:
                actions += (self.terminals[symbol], self.states[argument])
            else:
                gotos += (self.origins.setdefault(symbol, len(self.origins)), self.states[argument])
        lexer = self._lexer(self.by_state[state].terminals)
        if lexer not in lexers:
            lexers.append(lexer)
        return [lexers.index(lexer), actions, gotos]

    def _lexer(self, terminals: Sequence[TerminalDef]) -> list[int]:
        """The terminals of one of Lark's lexers in its order; those of words last, where they cannot be mistaken."""
        taken = [terminal for terminal in terminals if terminal.name not in self.ignored]
        words = [terminal for terminal in taken if self._stands_for_words(terminal)]
        names = [terminal for terminal in words if _NAMES.fullmatch(terminal.pattern.value)]
        if len(names) > 1:
            raise UnfitError(f"two terminals for any word in one state: {names[0].name} and {names[1].name}")
        spelt = [word for terminal in words for word in self._words(terminal)]
        if len(set(spelt)) < len(spelt):
            raise UnfitError(f"two terminals stand for one word in one state, among {', '.join(sorted(spelt))}")
        others = [terminal for terminal in taken if terminal not in words]
        for other in others:
            if words and other.priority == 0 and re.match(other.pattern.to_regexp(), "word/word"):
                raise UnfitError(f"{other.name} may begin like a word, and does not go before words")
        return [self.terminals[terminal.name] for terminal in (*others, *words)]

    def _stands_for_words(self, terminal: TerminalDef) -> bool:
        return bool(_NAMES.fullmatch(terminal.pattern.value) or self._words(terminal))

    def _words(self, terminal: TerminalDef) -> list[str]:
        listed = _WORDS.fullmatch(terminal.pattern.value)
        return [] if listed is None else sorted((listed[1] or listed[2]).split("|"))

    def _terminal(self, name: str) -> list[object]:
        terminal = self.definitions[name]
        if terminal.pattern.flags:
            raise UnfitError(f"{name} has flags")
        text = terminal.pattern.value if isinstance(terminal.pattern, PatternStr) else ""
        return [name, terminal.pattern.to_regexp(), text, self._words(terminal), self._is_shown(name)]

    def _is_shown(self, name: str) -> bool:
        symbols = (symbol for rule in self.rules for symbol in rule.expansion if isinstance(symbol, Terminal))
        answers = {not symbol.filter_out for symbol in symbols if symbol.name == name}
        if len(answers) != 1:
            raise UnfitError(f"{name} is kept by one rule and left out by another")
        return answers.pop()

    def _names(self) -> Iterator[list[object]]:
        for name, number in self.terminals.items():
            found = None if name == END else _NAMES.fullmatch(self.definitions[name].pattern.value)
            if found is not None:
                yield [number, sorted(found[1].split("|")) if found[1] else []]

    def _rule(self, rule: Rule) -> list[object]:
        options = rule.options
        if not rule.expansion or options.keep_all_tokens or options.template_source:
            raise UnfitError(f"{rule} is empty, a template, or keeps all its tokens")
        origin = rule.origin.name
        inlined = origin.startswith("_")
        lone = bool(options.expand1 and not rule.alias)
        first = rule.expansion[0]
        named = first.is_term or not first.name.startswith("_")
        renames = len(rule.expansion) == 1 and (inlined or (lone and named))
        data = "" if inlined else str(rule.alias or origin)
        return [len(rule.expansion), self.origins[origin], data, lone, renames]


def main(arguments: list[str]) -> int:
    """Write or check; the exit code."""
    match arguments:
        case []:
            TARGET.write_text(render(GRAMMAR.read_bytes()))
            return 0
        case ["--check"]:
            if TARGET.exists() and TARGET.read_text() == render(GRAMMAR.read_bytes()):
                return 0
            print(f"{TARGET} is not current: run `python tools/grammar_tables.py`", file=sys.stderr)
            return 1
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
