"""A fault of the grammar to the mistake a person made.

In goes the place where reading stopped and what the grammar would have taken there; out comes one diagnostic: a slip
named as what it is (`=` for `==`, `if` for `when`, …), a reserved word used as a name (E110), a path the grammar cannot
read (E120), or in general what was found and words for what was expected (E101). Total: every fault has a diagnostic.
Design: language.md 3 (last note) and the E101 examples of 4.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic
from policy_lang.grammar import Fault, Start, accepted, spellings
from policy_lang.mistakes.syntax import BadPath, ReservedName, Slip, Unexpected
from policy_lang.source import Source, Span


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESERVED = _words(
    "module import language setting enum label network workload token subject roles relation signal condition service "
    "endpoint casbin allow deny require shadow test prove for on when unless until needs must should because any "
    "anyone role factor and or not in is has like overlaps covers else true false unset unknown empty step_up bool "
    "string int uuid time duration ip set"
)
"""The words that the grammar keeps out of name positions (its terminal NAME lists the same)."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_LEXEME = re.compile(
    r'"(?:[^"\\\n]|\\[^\n])*"|[A-Za-z]+(?:-[A-Za-z]+)+|\w+|&&|\|\||=~|==|!=|<=|>=|//|/\*|/[^\s#]*|.', re.DOTALL
)
_OF_A_PATH = re.compile(r'[^\s#"]+|.', re.DOTALL)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANY"))
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in", "overlaps", "covers", "like", "has", "is"))
_LONGEST_QUOTE = 40

_EXPRESSION = _words(
    "STRING UNKNOWN UNSET INT NEG_INT DURATION DATE TIMESTAMP IP CIDR TRUE FALSE NAME ROOT LPAR LSQB ROLE FACTOR NOT"
)
_OPERATOR = _words("CMP LESSTHAN IN NOT OVERLAPS COVERS LIKE HAS IS PLUS MINUS DOT LPAR AND OR")
_JOINT = _words("PLUS MINUS AND OR")
_CLAUSE = _words("FOR ON WHEN UNLESS UNTIL NEEDS MUST SHOULD BECAUSE")
_DECLARATION = _words(
    "$END SETTING ENUM LABEL NETWORK WORKLOAD TOKEN SUBJECT ROLES RELATION SIGNAL CONDITION SERVICE CASBIN SHADOW "
    "EFFECT TEST PROVE IMPORT"
)
_TYPE = _words("BOOL UUID TIME SET ROLE NAME __ANON_0 __ANON_1 __ANON_2 __ANON_4")
# Each row: a terminal that only stands where the whole group may, the group, its words. The first that fits wins a
# terminal that two groups share.
_GROUPS = (
    ("CMP", _OPERATOR, "an operator such as `==` or `and`"),
    ("AND", _JOINT, "an operator such as `and`"),
    ("TRUE", _EXPRESSION, "an expression"),
    ("BOOL", _TYPE, "a type such as `string`"),
    ("BECAUSE", _CLAUSE, "a clause such as `when` or `because`"),
    ("PROVE", _DECLARATION, "the next declaration"),
)
_WORDS = {
    "NAME": "a name",
    "ATTR": "a name",
    "ROOT": "`token`",
    "STRING": "a string",
    "INT": "an integer",
    "DURATION": "a duration such as `5m`",
    "DATE": "a date such as `2026-01-31`",
    "TIMESTAMP": "an instant such as `2026-01-31T00:00:00Z`",
    "IP": "an address",
    "CIDR": "a network",
    "PATH": "a path such as `/orders/{order}`",
    "METHOD": "a method such as `GET`",
    "GRPC": "a gRPC method such as `shop.Orders/Watch`",
    "EFFECT": "`allow`, `deny` or `require`",
    "$END": "the next declaration",
}
_PLAIN_SLIPS = {
    "&&": ("`&&` is not an operator", "write `and`"),
    "||": ("`||` is not an operator", "write `or`"),
    "=~": ("there are no regular expressions", 'write `like "prefix*"`'),
    "!": ("`!` is not an operator", "write `not`"),
    ";": ("nothing ends with `;`", "delete it: each clause starts with its own word"),
    "'": ("strings stand in double quotes", "write `\"` for `'`"),
    "//": ("`//` starts no comment", "write `#`"),
    "/*": ("`/*` starts no comment", "write `#` on each line"),
    "matches": ("there are no regular expressions", 'write `like "prefix*"`'),
    "contains": ("`contains` is not an operator", "turn it round: `x in set`"),
}
# The grammar takes the first character and stops at the second.
_SPLIT_SLIPS = {
    "===": ("`===` is not a comparison", "did you mean `==`?"),
    "<>": ("`<>` is not a comparison", "did you mean `!=`?"),
    "==": ("`==` compares", "write `=` here"),
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where reading stopped: the lexeme there, its span in the file, and the terminals that would have fitted."""

    source: Source
    span: Span
    found: str
    fits: frozenset[str]
    fault: Fault

    @property
    def previous(self) -> str:
        return self.fault.tokens[-1] if self.fault.tokens else ""

    @property
    def touches(self) -> bool:
        """Whether nothing stands between the last token that was read and this place."""
        return bool(self.fault.tokens) and self.fault.tokens[-1].end_pos == self.fault.start

    @property
    def opens_line(self) -> bool:
        return not self.source.text[: self.span.start].rpartition("\n")[2].strip()


def diagnose(source: Source, base: int, fault: Fault, start: Start) -> Diagnostic:
    """Name the mistake behind `fault`, found when the text from offset `base` of `source` was read as `start`."""
    place = _place(source, base, fault, accepted(fault, start))
    path = _bad_path(place, base + fault.start)
    if path is not None:
        return path
    slip = _slip(place)
    if slip is not None:
        what, remedy = slip
        return Slip(span=place.span, what=what, remedy=remedy)
    reserved = place.found in RESERVED and {"NAME", "BOOL"} & place.fits == {"NAME"} and not place.opens_line
    if reserved and "TRUE" not in place.fits:
        return ReservedName(span=place.span, word=place.found)
    return Unexpected(
        span=place.span,
        found=_quoted(place.found),
        expected=_expected(place.fits),
        hint=f"`{place.found}` is a reserved word" if reserved else "",
    )


def _place(source: Source, base: int, fault: Fault, fits: frozenset[str]) -> _Place:
    blank = _BLANK.match(source.text, base + fault.start)
    at = blank.end() if blank is not None else base + fault.start
    if at == len(source.text) and fault.tokens:
        # Nothing follows: the end of what was written, not of the comments after it.
        at = base + (fault.tokens[-1].end_pos or 0)
        return _Place(source, Span(source.name, at, at), "", fits, fault)
    lexeme = _LEXEME.match(source.text, at)
    end = lexeme.end() if lexeme is not None else at
    return _Place(source, Span(source.name, at, end), source.text[at:end], fits, fault)


def _bad_path(place: _Place, at: int) -> Diagnostic | None:
    """E120 where a path ends at a character that it cannot hold, and that nothing after a path starts with."""
    last = place.fault.tokens[-1] if place.fault.tokens else None
    if last is None or last.type != "PATH":
        return None
    if place.source.text.startswith("#", at):
        hint = "a blank stands between a path and a comment"
        return BadPath(span=Span(place.source.name, at, at + 1), found="`#`", hint=hint)
    if not place.touches or place.found in ("", "}", ",", "|", ")"):
        return None
    rest = _OF_A_PATH.match(place.source.text, place.span.start)
    end = rest.end() if rest is not None else place.span.end
    return BadPath(
        span=Span(place.source.name, place.span.start, end),
        found=_quoted(place.source.text[place.span.start : end]),
    )


def _slip(place: _Place) -> tuple[str, str] | None:
    """What is wrong and what to write, for the slips that can be told from the place alone."""
    found, fits = place.found, place.fits
    if found in _PLAIN_SLIPS:
        return _PLAIN_SLIPS[found]
    if found == "=" and "CMP" in fits:
        return "`=` is not a comparison", "did you mean `==`?"
    if place.touches and place.previous + found in _SPLIT_SLIPS:
        return _SPLIT_SLIPS[place.previous + found]
    if found in _COMPARISONS and "AND" in fits and "CMP" not in fits:
        return "comparisons do not chain", "join them: `1 < x and x < 5`"
    if found == '"' and "STRING" in fits:
        return "the string does not end on its line", 'add the closing `"`'
    if found == "if" and "WHEN" in fits:
        return "`if` is not a clause", "write `when`"
    return _word_slip(place)


def _word_slip(place: _Place) -> tuple[str, str] | None:
    found, fits = place.found, place.fits
    if found.upper() in _METHODS and "METHOD" in fits:
        return "methods are written in upper case", f"write `{found.upper()}`"
    if found in _METHODS:
        return None
    if not (found[:1].isalpha() or found[:1] == "_") or not ({"NAME", "ATTR"} & fits):
        if found.startswith("-") and place.touches and place.fault.tokens[-1].type in ("NAME", "ATTR"):
            return "a name holds no `-`", "write `_`"
        return None
    if "-" in found:
        return "a name holds no `-`", f"write `{_short(found.replace('-', '_').lower())}`"
    if not found.islower() and found.isascii():
        return f"`{_short(found)}` is not lower case", f"names and words are: write `{_short(found.lower())}`"
    if not found.isascii():
        return f"`{_short(found)}` is no name", "a name holds only a-z, 0-9 and `_`"
    if found.startswith("_"):
        return f"`{_short(found)}` is no name", "a name starts with a letter"
    return None


def _expected(fits: frozenset[str]) -> str:
    rest = set(fits)
    words: list[str] = []
    for mark, group, text in _GROUPS:
        if mark in rest:
            words.append(text)
            rest -= group
    single = {_WORDS.get(name) or f"`{spellings()[name]}`" for name in rest}
    listed = sorted(single) + words
    return " or ".join((", ".join(listed[:-1]), listed[-1])) if len(listed) > 1 else listed[0]


def _quoted(found: str) -> str:
    return f"`{_short(found)}`" if found else "the end of the file"


def _short(found: str) -> str:
    return found if len(found) <= _LONGEST_QUOTE else f"{found[:_LONGEST_QUOTE]}…"
