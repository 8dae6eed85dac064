"""The text of a matcher to its syntax: operators, calls, names and literals, each with its place.

In goes a text as written, out comes one tree that both readings of a matcher (Casbin for Python, Casbin for Go) agree
on; in `compat` the one that Python has, in strict that of Go where signs stand without blanks (`matcher_tokens`). What
names mean is for `matcher`.
Operators, the loosest first:

    or ||   and &&   not !   == != < <= > >= in, not in   + -   * / %   - before a number   .name ["name"]

`!` stands where Python has `not`, above comparisons; in Go it binds to what follows at once. Where that matters, and
where comparisons form a chain, there are two readings (E619).
INVARIANT: reading nests at most `DEEPEST` deep, and no chain of arithmetic or of parts is longer; both together may
still make a deeper tree, which `matcher` refuses. Time is linear in the text.
Source: Casbin's documentation, "Syntax for Models"; Python's grammar as simpleeval takes it; govaluate.

Decision (2026-11-21): blanks around the dot of a name are refused, since Casbin then finds no name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct, field

from policy_lang.casbin.conf import Text
from policy_lang.casbin.matcher_syntax import (
    ArithmeticSign,
    Call,
    Compared,
    CompareWord,
    Joined,
    Listing,
    Literally,
    Minus,
    Name,
    Negation,
    Operation,
    Part,
    Syntax,
)
from policy_lang.casbin.matcher_tokens import Token, tokens_of
from policy_lang.diagnostics import Diagnostic
from policy_lang.ir.tables import Mode
from policy_lang.mistakes.casbin_models import (
    MatcherTooDeep,
    TwoReadings,
    TwoReadingsPassed,
    Unreadable,
)
from policy_lang.source import Span

DEEPEST = 64
"""Levels of parentheses, calls and operators within one another."""


class Parsed(Struct, frozen=True):
    """`syntax` is None exactly where `diagnostics` has an error that kept the text from being read."""

    syntax: Syntax | None
    diagnostics: tuple[Diagnostic, ...]


def parse_matcher(text: Text, *, mode: Mode, in_row: bool = False) -> Parsed:
    """Read a matcher, or (`in_row`) the expression that a row has under `eval`.

    Errors: none raised; E603 at the first thing that cannot be read; E611, E619 in `strict`, W603, W611, W619 in
    `compat`. An E611 or E619 leaves the syntax there, so that more can be said about it.
    """
    tokens = tokens_of(text, mode=mode, in_row=in_row)
    if not tokens.tokens:
        return Parsed(None, tokens.diagnostics)
    found = list(tokens.diagnostics)
    try:
        syntax = _Parser(text, tokens.tokens, mode, found).whole()
    except _Stopped as stopped:
        return Parsed(None, (*found, stopped.diagnostic))
    return Parsed(syntax, tuple(found))


class _Stopped(Exception):  # noqa: N818 - it leaves the parser only, and is no error of ours
    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


# ---------------------------------------------------------------- words

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _MINUS = range(7)

_JOINTS: Final[dict[str, tuple[Literal["and", "or"], int]]] = {
    "||": ("or", _OR), "or": ("or", _OR), "&&": ("and", _AND), "and": ("and", _AND),
}  # fmt: skip
_COMPARISONS: Final[dict[str, CompareWord]] = {
    "==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "in": "in", "not": "not in",
}  # fmt: skip
_ARITHMETIC: Final[dict[str, tuple[ArithmeticSign, int]]] = {
    "+": ("+", _SUM), "-": ("-", _SUM), "*": ("*", _PRODUCT), "/": ("/", _PRODUCT), "%": ("%", _PRODUCT),
}  # fmt: skip
_WORDS = frozenset(("and", "or", "not", "in"))
_TRUTHS = {"true": True, "True": True, "false": False, "False": False}
_FOREIGN_WORDS = {
    "None": "there is no null: a missing part of the request makes no row hold",
    "null": "there is no null: a missing part of the request makes no row hold",
    "nil": "there is no null: a missing part of the request makes no row hold",
    "is": "write `==`",
    "if": "write the two cases with `&&` and `||`",
    "else": "write the two cases with `&&` and `||`",
    "lambda": "a program may give functions of its own by name",
    "for": "write `in`, or a function",
}
_PYTHON_WORDS = frozenset((
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
))  # fmt: skip
_REWRITTEN = re.compile(r"[pr]\d*")
_AN_OPERATOR = "an operator such as `&&` or `==`, or the end, fits there"
_AN_OPERAND = "a name such as `r.sub`, a call, a string or a number fits there"


# ---------------------------------------------------------------- the parser


class _Parser(Struct):
    """A cursor over the tokens, by the precedence of operators: `at` is the next token, `depth` how deep it stands,
    `ends` where the operand that starts at a place of the text ends.
    """

    text: Text
    tokens: tuple[Token, ...]
    mode: Mode
    found: list[Diagnostic]
    at: int = 0
    depth: int = 0
    ends: dict[int, int] = field(default_factory=dict)

    def whole(self) -> Syntax:
        syntax = self._expression(_OR)
        if self._next.kind != "end":
            raise self._refusal(self._next, _AN_OPERATOR)
        return syntax

    # ------------------------------------------------------------ operators

    def _expression(self, floor: int) -> Syntax:
        """An expression of operators that bind at least as tightly as `floor`."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._too_deep()
        start = self._next
        left = self._prefixed(floor)
        for _ in range(DEEPEST):
            word = self._operator()
            joint, arithmetic = _JOINTS.get(word), _ARITHMETIC.get(word)
            if joint is not None and joint[1] >= floor:
                left = self._joined(left, start, *joint)
            elif word in _COMPARISONS and floor <= _COMPARE:
                left = self._compared(left, start)
            elif arithmetic is not None and arithmetic[1] >= floor:
                self.at += 1
                right = self._expression(arithmetic[1] + 1)
                left = Operation(arithmetic[0], left, right, self._since(start))
            else:
                self.depth -= 1
                return left
        raise self._too_deep()

    def _joined(self, first: Syntax, start: Token, op: Literal["and", "or"], rank: int) -> Syntax:
        parts = [first]
        while _JOINTS.get(self._operator()) == (op, rank):
            self.at += 1
            parts.append(self._expression(rank + 1))
        return Joined(op, tuple(parts), self._since(start))

    def _compared(self, first: Syntax, start: Token) -> Syntax:
        rest: list[tuple[CompareWord, Syntax]] = []
        places: list[int] = []
        while (word := self._operator()) in _COMPARISONS:
            places.append(self._next.start)
            self.at += 2 if word == "not" else 1
            places.append(self.tokens[self.at - 1].end)
            rest.append((_COMPARISONS[word], self._expression(_COMPARE + 1)))
        compared = Compared(first, tuple(rest), self._since(start))
        if len(rest) > 1:
            self._chain(compared, [start.start, *places[:4], self.tokens[self.at - 1].end])
        return compared

    def _chain(self, compared: Compared, places: Sequence[int]) -> None:
        """Two readings. What stands between two operators counts twice, so that it may be no more than a value.

        `places`: where the first operand starts, its operator, that operator ends, and so on for the second; the end.
        """
        if not all(isinstance(each, Name | Part | Literally) for _, each in compared.rest[:-1]):
            remedy = "write two comparisons joined by `&&`"
            raise _Stopped(Unreadable(span=compared.span, what="comparisons in a chain", remedy=remedy))
        left, one, middle, two, right = (
            self._between(place, following) for place, following in itertools.pairwise(places)
        )
        kind = TwoReadings if self.mode == "strict" else TwoReadingsPassed
        self.found.append(
            kind(
                span=compared.span,
                written=self._between(places[0], places[-1]),
                first=f"{left} {one} {middle} && {middle} {two} {right}",
                second=f"({left} {one} {middle}) {two} {right}",
            )
        )

    def _prefixed(self, floor: int) -> Syntax:
        start = self._next
        if start.kind == "name" and start.text == "not":
            return self._negation(start, floor)
        match start.text if start.kind == "sign" else "":
            case "!":
                return self._negation(start, floor)
            case "-":
                self.at += 1
                of = self._expression(_MINUS)
                prefixed: Syntax = Minus(of, self._since(start))
            case _:
                prefixed = self._primary()
        self.ends[start.start] = self.tokens[self.at - 1].end
        return prefixed

    def _negation(self, start: Token, floor: int) -> Negation:
        if floor > _NOT:
            raise self._refusal(start, f"write parentheses around it: `({start.text} …)`")
        self.at += 1
        first = self._next
        of = self._expression(_NOT)
        negation = Negation(of, self._since(start))
        unparenthesised = of.span.start == self._span(first).start
        if start.text == "!" and unparenthesised and isinstance(of, Compared | Operation):
            cut, end = self.ends[first.start], self.tokens[self.at - 1].end
            kind = TwoReadings if self.mode == "strict" else TwoReadingsPassed
            self.found.append(
                kind(
                    span=negation.span,
                    written=self._between(start.start, end),
                    first=f"!({self._between(first.start, end)})",
                    second=f"(!{self._between(first.start, cut)}) {self._between(cut, end)}",
                )
            )
        return negation

    # ------------------------------------------------------------ operands

    def _primary(self) -> Syntax:
        start = self._next
        syntax = self._atom()
        for _ in range(DEEPEST):
            match self._next.text if self._next.kind == "sign" else "":
                case ".":
                    syntax = self._part(syntax, start)
                case "[":
                    syntax = self._item(syntax, start)
                case "(":
                    self.at += 1
                    arguments, _ = self._listed(")")
                    syntax = Call(syntax, arguments, self._since(start))
                case _:
                    return syntax
        raise self._too_deep()

    def _atom(self) -> Syntax:
        token = self._next
        span = self._span(token)
        match token.kind:
            case "string":
                self.at += 1
                return Literally(token.text, span)
            case "number":
                self.at += 1
                return Literally(token.value, span)
            case "name" if token.text in _TRUTHS:
                self.at += 1
                return Literally(_TRUTHS[token.text], span)
            case "name" if token.text not in _WORDS and token.text not in _FOREIGN_WORDS:
                self.at += 1
                return Name(token.text, span)
            case "sign" if token.text == "(":
                self.at += 1
                parts, comma = self._listed(")")
                return parts[0] if len(parts) == 1 and not comma else Listing(parts, self._since(token))
            case "sign" if token.text == "[":
                self.at += 1
                return Listing(self._listed("]")[0], self._since(token))
            case _:
                raise self._refusal(token, _FOREIGN_WORDS.get(token.text, _AN_OPERAND))

    def _listed(self, closing: str) -> tuple[tuple[Syntax, ...], bool]:
        """What stands up to `closing`, which is passed, and whether a comma stands there."""
        parts: list[Syntax] = []
        comma = False
        while not self._is_sign(closing):
            parts.append(self._expression(_OR))
            if self._is_sign(","):
                comma = True
                self.at += 1
            elif not self._is_sign(closing):
                raise self._refusal(self._next, f"an operator, `,` or `{closing}` fits there")
        self.at += 1
        return tuple(parts), comma

    def _part(self, of: Syntax, start: Token) -> Syntax:
        dot = self._next
        before = self.tokens[self.at - 1]
        self.at += 1
        name = self._next
        if name.kind != "name":
            raise self._refusal(name, "a name stands behind the dot")
        if before.end != dot.start or dot.end != name.start:
            raise self._refusal(name, "write names without blanks around the dot, as in `r.sub`")
        if isinstance(of, Part) and not of.by_item and _REWRITTEN.fullmatch(of.name):
            raise self._refusal(dot, f"Casbin rewrites `{of.name}.`: give this part of the request another name")
        rooted = isinstance(of, Name) and _REWRITTEN.fullmatch(of.name)
        if not rooted and (name.text in _PYTHON_WORDS or name.text.startswith("_")):
            raise self._refusal(name, f'Casbin reads no such name behind a dot: write `["{name.text}"]`')
        self.at += 1
        return Part(of, name.text, by_item=False, span=self._since(start))

    def _item(self, of: Syntax, start: Token) -> Syntax:
        self.at += 1
        name = self._next
        if name.kind != "string":
            raise self._refusal(name, 'the name of a part stands between the brackets, as in `r.sub["Age"]`')
        self.at += 1
        if not self._is_sign("]"):
            raise self._refusal(self._next, "`]` fits there")
        self.at += 1
        return Part(of, name.text, by_item=True, span=self._since(start))

    # ------------------------------------------------------------ the cursor

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _operator(self) -> str:
        """The operator that comes next, "not" where it begins `not in`; empty where none does."""
        token = self._next
        if token.kind == "name" and token.text == "not":
            following = self.tokens[self.at + 1]
            return "not" if following.kind == "name" and following.text == "in" else ""
        return token.text if token.kind == "sign" or (token.kind == "name" and token.text in _WORDS) else ""

    def _is_sign(self, text: str) -> bool:
        return self._next.kind == "sign" and self._next.text == text

    def _span(self, token: Token) -> Span:
        return self.text.span(token.start, token.end)

    def _since(self, start: Token) -> Span:
        return self.text.span(start.start, self.tokens[self.at - 1].end)

    def _between(self, start: int, end: int) -> str:
        return self.text.text[start:end].strip()

    def _too_deep(self) -> _Stopped:
        return _Stopped(MatcherTooDeep(span=self._span(self._next), most=DEEPEST))

    def _refusal(self, token: Token, remedy: str) -> _Stopped:
        found = self.text.text[token.start : token.end]
        what = "it ends too early" if token.kind == "end" else f"`{found}` stands where nothing like it fits"
        return _Stopped(Unreadable(span=self._span(token), what=what, remedy=remedy))
