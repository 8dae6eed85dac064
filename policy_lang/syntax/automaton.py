"""The driver of the parser's tables: text to the tree of `policy_lang/syntax/tokens.py`, or the place where it stopped.

In go the tables, as `tools/grammar_tables.py` writes them from `grammar.lark`, a text, and the rule to read it by; out
comes a tree or a `Fault`. Nothing is raised for any text; linear in the text, and depth costs no recursion.

A state of the automaton has a lexer: one expression that skips blanks and comments, matches what this state may take,
and notices where the next character belongs to the same word. Words are told apart by a table, not by the expression,
so that few expressions serve all states. What a rule contributes to the one above it stands on the stack as a list; a
rule in the middle of a chain (`?sum: operand`) leaves the list as it is, and where such a chain ends is remembered
(`hops`), so that the seven levels between an operand and a condition cost one look-up.
Source: Aho, Sethi, Ullman, "Compilers", 4.7, for the tables; Lark's contextual lexer for the choice of terminals.

INVARIANT: for every text this gives the tree that Lark gives by the same grammar, where the words of no two tokens
touch and no path touches a comment (tests/properties/test_grammar_laws.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from policy_lang.syntax.tokens import Branch, Token, Tree

END = 0
"""The terminal that stands for the end of the text."""

WORD = -1
"""A word, of which the state's table says what terminal it is."""

BLANKS = r"[ \t\r\n]*+(?:#[^\n]*+[ \t\r\n]*+)*+"
"""What stands between tokens. Possessive: what is a comment once is never looked at as anything else."""

_BLANKS = re.compile(BLANKS)


class Fault(Struct, frozen=True):
    """Where reading stopped.

    `kinds` are the terminals read before, by number; `last` is the last of these tokens; `start` is the offset of what
    did not fit, the length of the text where it was the end that did not fit.
    """

    kinds: tuple[int, ...]
    last: Token | None
    start: int


class Lexer(Struct, frozen=True):
    """`groups` are the terminals of the expression's groups; `words` those of words, `name` that of all other words.

    A terminal that no action takes stands for what is refused.
    """

    match: Callable[[str, int], re.Match[str] | None]
    groups: tuple[int, ...]
    words: Mapping[str, int]
    name: int


Rule = tuple[int, int, str, bool]
"""How many symbols it takes, its nonterminal, the name of its tree (empty: none), and whether one part stands alone."""


class Automaton(Struct, frozen=True, eq=False):
    """The tables of one grammar, by number of state.

    `actions`: by terminal, a state to go to, or `~` the rule to reduce by; 0 is never a target. `starts`: for each
    start rule its first state, and the one in which the text may end. `hops` only remembers what `_hop` has worked out.
    """

    terminals: tuple[str, ...]
    spellings: Mapping[str, str]
    shown: tuple[str, ...]
    rules: tuple[Rule, ...]
    units: frozenset[int]
    actions: tuple[Mapping[int, int], ...]
    gotos: tuple[Mapping[int, int], ...]
    lexers: tuple[Lexer, ...]
    starts: Mapping[str, tuple[int, int]]
    hops: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def read(self, text: str, start: str) -> Tree[Token] | Fault:
        """Read the whole of `text` as `start`; positions are offsets in `text`."""
        actions, rules, lexers, shown, hops = self.actions, self.rules, self.lexers, self.shown, self.hops
        state, final = self.starts[start]
        states, values, begins, kinds = [state], list[list[Branch]](), list[int](), list[int]()
        end = latest = 0
        while True:
            lexer = lexers[state]
            found = lexer.match(text, end)
            if found is None or found.lastindex is None:
                return self._fault(text, kinds, latest, end)
            lexeme = found[found.lastindex]
            kind = lexer.groups[found.lastindex]
            if kind == WORD:
                kind = lexer.words.get(lexeme, lexer.name)
            action = actions[state].get(kind, 0)
            while action < 0:
                size, origin, data, lone = rules[~action]
                children = values[-size]
                if size > 1:
                    for more in values[1 - size :]:
                        children += more
                    del values[1 - size :], begins[1 - size :], states[1 - size :]
                if not data:
                    values[-1] = children
                elif lone and len(children) == 1:
                    if size > 1 and isinstance(inner := children[0], Tree):
                        inner.outer = (begins[-1], end)
                    values[-1] = children
                else:
                    values[-1] = [Tree(data, children, begins[-1], end)]
                key = (states[-2], origin, kind)
                states[-1] = state = hops.get(key) or self._hop(key)
                action = actions[state].get(kind, 0)
            if action == 0:
                whole = values[0][0] if kind == END and state == final else None
                return whole if isinstance(whole, Tree) else self._fault(text, kinds, latest, end)
            end = found.end()
            latest = end - len(lexeme)
            label = shown[kind]
            values.append([Token(label, lexeme, latest, end)] if label else [])
            states.append(action)
            begins.append(latest)
            kinds.append(kind)
            state = action

    def accepted(self, fault: Fault, start: str) -> frozenset[str]:
        """The names of the terminals that may follow `fault.kinds`; `$END` is the end of the text.

        The kinds are read once more: the automaton reduces before it notices a token that does not fit, and then knows
        fewer of those that would have.
        """
        first, final = self.starts[start]
        states = [first]
        for kind in fault.kinds:
            states.append(self._feed(states, kind))
        return frozenset(
            self.terminals[kind]
            for kind in self.actions[states[-1]]
            if self._feed(ahead := list(states), kind) or (kind == END and ahead[-1] == final)
        )

    def _feed(self, states: list[int], kind: int) -> int:
        """Reduce `states` as far as `kind` asks for; the state that it then leads to, 0 for none."""
        while (action := self.actions[states[-1]].get(kind, 0)) < 0:
            size, origin, _, _ = self.rules[~action]
            del states[-size:]
            states.append(self._hop((states[-1], origin, kind)))
        return action

    def _hop(self, key: tuple[int, int, int]) -> int:
        """The state that a nonterminal leads to, behind every rule that would only rename it before `kind`."""
        below, origin, kind = key
        while True:
            state = self.gotos[below][origin]
            action = self.actions[state].get(kind, 0)
            if action >= 0 or ~action not in self.units:
                self.hops[key] = state
                return state
            origin = self.rules[~action][1]

    def _fault(self, text: str, kinds: list[int], latest: int, end: int) -> Fault:
        if not kinds:
            return Fault((), None, after_blanks(text, end))
        name = self.terminals[kinds[-1]]
        # SECURITY: `/a#b` reads as a path to some and as `/a` to us.
        start = end if name == "PATH" and text.startswith("#", end) else after_blanks(text, end)
        return Fault(tuple(kinds), Token(name, text[latest:end], latest, end), start)


def after_blanks(text: str, at: int) -> int:
    """Where the blanks and comments end that begin at `at`."""
    found = _BLANKS.match(text, at)
    return at if found is None else found.end()
