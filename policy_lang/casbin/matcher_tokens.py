"""The tokens of a matcher, and what Casbin does to its text before it reads it.

In goes a text as written, out come tokens with their places in it, up to the first thing that is no token. Casbin reads
another text than the one written: it cuts at `#`, replaces `&&`, `||`, `!` by words and `p.`, `r.` by `p_`, `r_`,
within string literals too. Here nothing is rewritten; where that would change a literal, or lose text, it is said
(E611), and in `compat` the literal has the value that Casbin compares with.
INVARIANT: the tokens tile the text but for blanks; the last one is of kind "end".
Source: pycasbin 2.8, measured; Python's and govaluate's tokens, of which those are taken that mean the same in both.

Decision (2026-11-21): a literal that no rewriting leaves whole (one with `#`, one with `eval(…)`, one that is the
first place of the matcher to say `p.` or `r.`, after whose number Casbin rewrites all others) is refused in `compat`
too: Casbin raises at each request. Whole numbers end at 2^53, where Go's begin to lose their last digits. Names are
ASCII: Python folds other letters, so that two spellings are one name.
Decision (2026-11-21): `a&&b` and `a &&!b` without blanks are read in strict, as Go does, and refused in compat: Casbin
for Python makes one word of `andb` or `andnot`, and raises, or says no where it never comes to that word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from policy_lang.casbin.conf import Text
from policy_lang.diagnostics import Diagnostic
from policy_lang.ir.tables import Mode
from policy_lang.mistakes.casbin_models import (
    BrokenString,
    CutByComment,
    CutByCommentPassed,
    RewrittenString,
    RewrittenStringPassed,
    TwoEscapes,
    TwoEscapesPassed,
    Unreadable,
)

TokenKind = Literal["name", "number", "string", "sign", "end"]

_LARGEST = 2**53


class Token(Struct, frozen=True):
    """`text` as written, of a string what it means; `start` to `end` in the matcher. `value` of a number."""

    kind: TokenKind
    text: str
    start: int
    end: int
    value: int | float = 0


class Tokens(Struct, frozen=True):
    """`tokens` is empty where the text could not be read to its end; `diagnostics` then has an error."""

    tokens: tuple[Token, ...]
    diagnostics: tuple[Diagnostic, ...]


_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)
    |(?P<string>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')
    |(?P<number>\d[\w.]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<foreign>=~|!~|\*\*|//|<<|>>|->|:=|\?\?|&(?!&)|\|(?!\|)|=(?!=)|[?:^~;{}@`$])
    |(?P<sign>&&|\|\||==|!=|<=|>=|[<>!+*/%()\[\],.-])
    |(?P<comment>\#)
    |(?P<other>.)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 40

_FOREIGN = {
    "=~": "use `regexMatch(value, pattern)`",
    "!~": "use `!regexMatch(value, pattern)`",
    "=": "write `==`",
    ":=": "write `==`",
    "?": "write the two cases with `&&` and `||`",
    ":": "write the two cases with `&&` and `||`",
    "??": "write the two cases with `&&` and `||`",
    "&": "write `&&`",
    "|": "write `||`",
    "//": "write `/`; comments open with `#` on lines of their own",
    ";": "a matcher is one expression: delete it",
    "{": "lists are written `(a, b)` or `[a, b]`",
    "}": "lists are written `(a, b)` or `[a, b]`",
}
_NO_REMEDY = "operators are `&& || ! == != < <= > >= in + - * / %`"

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SHARED_ESCAPES = frozenset("\\'\"")
_PYTHON_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_OTHER_PYTHON_ESCAPES = frozenset("abfvxuUN01234567")

_EVALUATED = re.compile(r"\beval\(")
_OPERATOR = re.compile(r"&&|\|\||!(?!=)")
_GLUED = re.compile(r"(?<=\w)(?:&&|\|\||!(?!=))|(?:&&|\|\|)(?=[\w!])", re.ASCII)
_WORDS = {"&&": "and", "||": "or", "!": "not "}


def tokens_of(text: Text, *, mode: Mode, in_row: bool) -> Tokens:
    """The tokens of a matcher, or (`in_row`) of an expression that a row has under `eval`.

    Errors: none raised; E603 at what is no token, where reading ends; E611 and W611. Linear in the text.
    """
    found: list[Diagnostic] = []
    firsts: list[re.Match[str]] = []
    renamed = text.text
    for letter in "pr":
        first = re.search(rf"\b{letter}\d*\.", renamed)
        if first is not None:
            firsts.append(first)
            renamed = re.sub(rf"\b{re.escape(first[0])}", f"{first[0][:-1]}_", renamed)
    tokens = tuple(_Reader(text, mode, in_row, renamed, tuple(firsts), found).read())
    return Tokens(tokens if tokens and tokens[-1].kind == "end" else (), tuple(found))


class _Reader(Struct, frozen=True):
    """`renamed` is the text with `p_` and `r_` where Casbin puts these, character for character; `firsts` where it
    found out after which number.
    """

    text: Text
    mode: Mode
    in_row: bool
    renamed: str
    firsts: tuple[re.Match[str], ...]
    found: list[Diagnostic]

    def read(self) -> Iterator[Token]:
        """Tokens; without one of kind "end" where reading had to stop."""
        written = self.text.text
        for mark in _TOKEN.finditer(written):
            match mark.lastgroup:
                case "blank":
                    continue
                case "sign" if self.mode == "compat" and _GLUED.match(written, mark.start()):
                    self._refuse_glued(mark)
                    return
                case "name" | "sign":
                    yield Token("name" if mark.lastgroup == "name" else "sign", mark[0], *mark.span())
                case "string":
                    yield Token("string", self._meant(mark.start() + 1, mark.end() - 1), *mark.span())
                case "number" if (value := _number(mark[0])) is not None:
                    yield Token("number", mark[0], *mark.span(), value)
                case "comment":
                    if not self._cut(*mark.span()):
                        return
                    break
                case _:
                    self._refuse(mark)
                    return
        yield Token("end", "", len(written), len(written))

    def _refuse(self, mark: re.Match[str]) -> None:
        found, remedy = mark[0], _NO_REMEDY
        match mark.lastgroup:
            case "number":
                found, remedy = (
                    f"the number `{found[:_LONGEST_NUMBER]}`",
                    (
                        "numbers are decimal, whole ones without leading zeros and up to 9007199254740992, others with "
                        "digits on both sides of the point"
                    ),
                )
            case "foreign":
                found, remedy = f"`{found}` is no operator here", _FOREIGN.get(found, _NO_REMEDY)
            case _ if found in ('"', "'"):
                found, remedy = "a string without its end", f"write `{found}` behind it"
            case _:
                found, remedy = f"`{found}` belongs to no expression", "names are ASCII; other text stands in quotes"
        self.found.append(Unreadable(span=self.text.span(*mark.span()), what=found, remedy=remedy))

    def _refuse_glued(self, mark: re.Match[str]) -> None:
        found, remedy = (
            f"`{mark[0]}` without blanks",
            "write blanks around it: Casbin makes one word of it and the next",
        )
        self.found.append(Unreadable(span=self.text.span(*mark.span()), what=found, remedy=remedy))

    def _cut(self, start: int, end: int) -> bool:
        """Whether reading may go on as if the text ended here."""
        span = self.text.span(start, end)
        if self.in_row:
            why = "it cuts the whole matcher off there, its last parentheses too"
            self.found.append(BrokenString(span=span, found="#", why=why))
            return False
        self.found.append((CutByComment if self.mode == "strict" else CutByCommentPassed)(span=span))
        return True

    # ------------------------------------------------------------ strings

    def _meant(self, start: int, end: int) -> str:
        """The value of the literal whose text, without its quotes, stands from `start` to `end`."""
        raw = self.text.text[start:end]
        broken = self._broken(raw, start)
        if broken is not None:
            self.found.append(broken)
            return raw
        becomes = _OPERATOR.sub(lambda found: _WORDS[found[0]], self.renamed[start:end])
        if becomes != raw:
            kind = RewrittenString if self.mode == "strict" else RewrittenStringPassed
            self.found.append(kind(span=self.text.span(start, end), becomes=becomes))
        return self._unescaped(becomes, start, end)

    def _broken(self, raw: str, start: int) -> Diagnostic | None:
        """The mistake of a literal that Casbin cannot read after its rewriting, if it is one."""
        at = raw.find("#")
        if at >= 0 and not self.in_row:
            span = self.text.span(start + at, start + at + 1)
            return BrokenString(span=span, found="#", why="it cuts the matcher there, the end of the string too")
        called = _EVALUATED.search(raw)
        if called is not None:
            span = self.text.span(start + called.start(), start + called.end())
            return BrokenString(span=span, found="eval(", why="it looks for a column of the name behind it")
        for first in self.firsts:
            if start <= first.start() < start + len(raw):
                why = "it may leave names of the row or the request as they are, which it then does not know"
                return BrokenString(span=self.text.span(*first.span()), found=first[0], why=why)
        return None

    def _unescaped(self, raw: str, start: int, end: int) -> str:
        """`raw` with its escapes read; it stood from `start` to `end`."""

        def meant(found: re.Match[str]) -> str:
            letter = found[1]
            if letter in _SHARED_ESCAPES:
                return letter
            span = self.text.span(start, end)
            if self.mode == "strict" or letter in _OTHER_PYTHON_ESCAPES:
                self.found.append(TwoEscapes(span=span, escape=found[0]))
            else:
                self.found.append(TwoEscapesPassed(span=span, escape=found[0]))
            return _PYTHON_ESCAPES.get(letter, found[0])

        return _ESCAPE.sub(meant, raw)


def _number(written: str) -> int | float | None:
    """What a number means; None where it is not written as both readings have it, or too great."""
    if len(written) > _LONGEST_NUMBER or _NUMBER.fullmatch(written) is None:
        return None
    if "." in written:
        return float(written)
    whole = int(written)
    return whole if whole <= _LARGEST else None
