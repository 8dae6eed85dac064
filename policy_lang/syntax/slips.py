"""A fault of the grammar to the mistake a person made.

In goes the place where reading stopped and what the grammar would have taken there; out comes one diagnostic: a slip
named as what it is (`=` for `==`, `if` for `when`, …), a reserved word used as a name (E110), a path the grammar cannot
read (E120), or in general what was found and words for what was expected (E101). Total: every fault has a diagnostic.
Design: language.md 3 (last note) and the E101 examples of 4.6.
"""

from __future__ import annotations

import re

from msgspec import Struct

from policy_lang.diagnostics import Diagnostic, nearest
from policy_lang.mistakes.syntax import BadPath, ReservedName, Slip, Unexpected
from policy_lang.source import Source, Span
from policy_lang.syntax import slip_declarations, slip_expressions, slip_rules, slip_tests
from policy_lang.syntax.automaton import after_blanks
from policy_lang.syntax.grammar import Fault, Start, accepted, spellings
from policy_lang.syntax.scan import FOREIGN_WORDS, RESERVED, meant
from policy_lang.syntax.slip_declarations import PATHS
from policy_lang.syntax.slip_rows import METHODS, Told, short, snake_case, told


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAME = re.compile("[a-z][a-z0-9_]*")
_LEXEME = re.compile(
    r'"(?:[^"\\\n]|\\[^\n])*"|[A-Za-z]+(?:-[A-Za-z]+)+|\w+|&&|\|\||=~|==|!=|<=|>=|//|/\*|/[^\s#]*|.', re.DOTALL
)
_HYPHENED = re.compile(r"\w+(?:-\w+)*", re.ASCII)
_WORDLIKE = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_OF_A_PATH = re.compile(r'[^\s#"]+|.', re.DOTALL)
_COLLECTIONS = frozenset(("list", "array", "map", "seq", "vector", "set"))
_SCALARS = frozenset(("bool", "string", "int", "uuid", "time", "duration", "ip", "role", "workload"))
_EVERYBODY = frozenset(("all", "everyone", "everybody", "anybody"))
_METHODS = frozenset(METHODS.split("|"))
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in", "overlaps", "covers", "like", "has", "is"))

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
_TYPE = _words("BOOL UUID TIME SET ROLE WORKLOAD NAME __ANON_0 __ANON_1 __ANON_2 __ANON_4")
# Each row: a terminal that only stands where the whole group may, the group, its words. The first that fits wins a
# terminal that two groups share.
_GROUPS = (
    ("CMP", _OPERATOR, "an operator such as `==` or `and`"),
    ("AND", _JOINT, "an operator such as `and`"),
    ("TRUE", _EXPRESSION, "an expression"),
    ("BOOL", _TYPE, "a type such as `string`"),
    ("BECAUSE", _CLAUSE, "a clause such as `when` or `because`"),
)
_EFFECTS = {"EFFECT": ("allow", "deny", "require")}
_WORDS = {
    "NAME": "a name",
    "ATTR": "a name",
    "ROOT": "`token`",
    "STRING": "a string",
    "INT": "an integer",
    "NEG_INT": "an integer",
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
    "=~": ("there are no regular expressions", 'write `like "prefix*"`'),
    "!": ("`!` is not an operator", "write `not`"),
    ";": ("nothing ends with `;`", "delete it: each clause starts with its own word"),
    "'": ("strings stand in double quotes", "write `\"` for `'`"),
    "//": ("`//` starts no comment", "write `#`"),
    "/*": ("`/*` starts no comment", "write `#` on each line"),
    "matches": ("there are no regular expressions", 'write `like "prefix*"`'),
    "contains": ("`contains` is not an operator", "turn it round: `x in set`"),
    "starts": ("`starts` is not an operator", 'write `like "prefix*"`'),
    "startswith": ("`startswith` is not an operator", 'write `like "prefix*"`'),
}
# The grammar takes the first character and stops at the second.
_SPLIT_SLIPS = {
    "===": ("`===` is not a comparison", "did you mean `==`?"),
    "<>": ("`<>` is not a comparison", "did you mean `!=`?"),
    "==": ("`==` compares", "write `=` here"),
    "||": ("`||` separates nothing", "write `|` between names, `or` between conditions"),
}
_ROWS = (*slip_tests.ROWS, *slip_rules.ROWS, *slip_declarations.ROWS, *slip_expressions.ROWS)


class _Place(Struct, frozen=True):
    """Where reading stopped: the lexeme there, its span in the file, and the terminals that would have fitted."""

    source: Source
    span: Span
    found: str
    fits: frozenset[str]
    fault: Fault

    @property
    def previous(self) -> str:
        return "" if self.fault.last is None else self.fault.last.text

    @property
    def after(self) -> str:
        """The terminal of the last token that was read; empty where there is none."""
        return "" if self.fault.last is None else self.fault.last.type

    @property
    def touches(self) -> bool:
        """Whether nothing stands between the last token that was read and this place."""
        return self.fault.last is not None and self.fault.last.end_pos == self.fault.start

    @property
    def opens_line(self) -> bool:
        return not self.source.text[: self.span.start].rpartition("\n")[2].strip()


def diagnose(source: Source, base: int, fault: Fault, start: Start) -> Diagnostic:
    """Name the mistake behind `fault`, found when the text from offset `base` of `source` was read as `start`."""
    place = _place(source, base, fault, accepted(fault, start))
    path = _bad_path(place, base + fault.start)
    if path is not None:
        return path
    slip = _told(place)
    if slip is not None:
        return Slip(span=_shown(place, base, slip), what=slip.what, remedy=slip.remedy)
    reserved = place.found in RESERVED and {"NAME", "BOOL"} & place.fits == {"NAME"} and not place.opens_line
    if reserved and "TRUE" not in place.fits:
        return ReservedName(span=place.span, word=place.found)
    return Unexpected(
        span=place.span,
        found=_quoted(place.found),
        expected=_expected(place.fits),
        hint=f"`{place.found}` is a reserved word" if reserved else _misspelt(place),
    )


def _told(place: _Place) -> Told | None:
    letter = _foreign_letter(place)
    known = told(_ROWS, place.source.text, place.span.start, place.fits) if letter is None else None
    if known is not None:
        return known
    slip = letter or _slip(place)
    return None if slip is None else Told(*slip)


def _shown(place: _Place, base: int, slip: Told) -> Span:
    last = place.fault.last
    if not slip.before or last is None:
        return place.span
    return Span(place.source.name, base + last.start_pos, base + last.end_pos)


def _place(source: Source, base: int, fault: Fault, fits: frozenset[str]) -> _Place:
    at = after_blanks(source.text, base + fault.start)
    if at == len(source.text) and fault.last is not None:
        # Nothing follows: the end of what was written, not of the comments after it.
        at = base + fault.last.end_pos
        return _Place(source, Span(source.name, at, at), "", fits, fault)
    lexeme = _LEXEME.match(source.text, at)
    end = lexeme.end() if lexeme is not None else at
    return _Place(source, Span(source.name, at, end), source.text[at:end], fits, fault)


def _bad_path(place: _Place, at: int) -> Diagnostic | None:
    """E120 where a path ends at a character that it cannot hold, and that nothing after a path starts with."""
    if place.after != "PATH":
        return None
    if place.source.text.startswith("#", at):
        hint = "a blank stands between a path and a comment"
        return BadPath(span=Span(place.source.name, at, at + 1), found="`#`", hint=hint)
    if not place.touches or place.found in ("", "}", ",", "|", ")"):
        return None
    rest = _OF_A_PATH.match(place.source.text, place.span.start)
    end = rest.end() if rest is not None else place.span.end
    capture = told(PATHS, place.source.text, place.span.start, place.fits)
    return BadPath(
        span=Span(place.source.name, place.span.start, end),
        found=_quoted(place.source.text[place.span.start : end]),
        hint="" if capture is None else capture.remedy,
    )


def _slip(place: _Place) -> tuple[str, str] | None:
    """What is wrong and what to write, for the slips that can be told from the place alone."""
    found, fits = place.found, place.fits
    if found in _PLAIN_SLIPS:
        return _PLAIN_SLIPS[found]
    if found == "&&":
        # SECURITY: a comma is an `or`, so that it is never advised for `&&`.
        return "`&&` is not an operator", "write `and`" if "AND" in fits else "join conditions by `and`, behind `when`"
    if found == "||":
        return "`||` is not an operator", "write `,`" if "COMMA" in fits and "OR" not in fits else "write `or`"
    if found == "=" and "CMP" in fits:
        return "`=` is not a comparison", "did you mean `==`?"
    if place.touches and place.previous + found in _SPLIT_SLIPS:
        return _SPLIT_SLIPS[place.previous + found]
    if found == "==" and "EQUAL" in fits:
        return _SPLIT_SLIPS[found]
    if found == "not" and place.previous == "is":
        return "`is not` is not an operator", "write `not` before the whole: `not x is empty`"
    if found in _COMPARISONS and "AND" in fits and "CMP" not in fits:
        return "comparisons do not chain", "join them: `1 < x and x < 5`"
    if found == '"' and "STRING" in fits:
        return "the string does not end on its line", 'add the closing `"`'
    if found in ("if", "where") and "WHEN" in fits:
        return f"`{found}` is not a clause", "write `when`"
    if found.startswith('"') and "BECAUSE" in fits and "STRING" not in fits:
        return "a sentence stands behind `because`", "write `because` before it"
    if found == "=" and "COLON" in fits:
        return "`=` stands where `:` belongs", "write `:`"
    if found == ":" and "EQUAL" in fits:
        return "`:` stands where `=` belongs", "write `=`"
    if found == "." and place.touches and place.after in ("INT", "NEG_INT"):
        return "there are no fractions", "count in a smaller unit"
    return (
        _opening_slip(place) or _subject_slip(place) or _type_slip(place) or _quoting_slip(place) or _word_slip(place)
    )


def _foreign_letter(place: _Place) -> tuple[str, str] | None:
    """SECURITY: a letter that looks like one of ours, and what looks like our word or another's name with it."""
    foreign = next((character for character in place.found if not character.isascii()), "")
    if not foreign or not place.found[:1].isalpha():
        return None
    kind = "name" if {"NAME", "ATTR"} & place.fits else "word of the language"
    return f"`{short(place.found)}` is no {kind}", f"U+{ord(foreign):04X} is not one of a-z, 0-9 and `_`"


def _opening_slip(place: _Place) -> tuple[str, str] | None:
    begins = {"PROVE", "$END"} & place.fits and place.found not in RESERVED
    word = meant(place.found) if begins and _NAME.fullmatch(place.found.lower()) else ""
    return (f"`{place.found}` begins no declaration", f"did you mean {word}?") if word else None


def _subject_slip(place: _Place) -> tuple[str, str] | None:
    """A bare name where `any`, `role` or `workload` says what kind of thing it names."""
    found = place.found
    if {"EXCLUSIVE", "ROLE"} <= place.fits and _NAME.fullmatch(found.lower()):
        return f"`{short(found)}` stands without `role`", f"write `role {short(found.lower())}`"
    if not {"ANYONE", "ROLE"} <= place.fits or not _is_name(found):
        return None
    if found in _EVERYBODY:
        return f"`{found}` is no subject", "write `anyone`"
    return (
        f"`{short(found)}` is no subject",
        f"write `any {short(found)}` for a token, `role {short(found)}` for a role",
    )


def _type_slip(place: _Place) -> tuple[str, str] | None:
    """`list of string`, `list<string>`, `string[]`."""
    found, before = place.found, place.previous
    if before in _COLLECTIONS and (found == "<" or (found == "of" and place.after == "NAME")):
        return f"there is no `{before}{' of' if found == 'of' else '<'}`", "write `set of`"
    if before in _SCALARS and found == "[":
        return f"there is no `{before}[]`", f"write `set of {before}`"
    return None


def _quoting_slip(place: _Place) -> tuple[str, str] | None:
    """A name in quotes, or a text without."""
    name = place.found.strip('"')
    if not _WORDLIKE.fullmatch(name):
        return None
    if place.found.startswith('"') and {"NAME", "ATTR"} & place.fits and "STRING" not in place.fits:
        return "a name stands without quotes", f"write `{short(snake_case(name))}`"
    if place.found == name and "STRING" in place.fits and not {"NAME", "TRUE"} & place.fits:
        return "a text stands in quotes", 'write `"` before and behind it'
    return None


def _word_slip(place: _Place) -> tuple[str, str] | None:
    found, fits = place.found, place.fits
    if found.upper() in _METHODS and "METHOD" in fits:
        return "methods are written in upper case", f"write `{found.upper()}`"
    if found in _METHODS:
        return None
    if not (found[:1].isalpha() or found[:1] == "_") or not ({"NAME", "ATTR"} & fits):
        if found.startswith("-") and place.touches and place.after in ("NAME", "ATTR"):
            return "a name holds no `-`", f"write `{short(snake_case(_hyphened(place)))}`"
        return None
    if "-" in found:
        return "a name holds no `-`", f"write `{short(snake_case(found))}`"
    if not found.islower():
        return f"`{short(found)}` is not lower case", _in_lower_case(snake_case(found), fits)
    if found.startswith("_"):
        return f"`{short(found)}` is no name", "a name starts with a letter"
    return None


def _in_lower_case(name: str, fits: frozenset[str]) -> str:
    fitting = {word for each in fits for word in _EFFECTS.get(each, (spellings().get(each, ""),))}
    if name in RESERVED and "ATTR" not in fits and name not in fitting:
        return f"names are, and `{name}` is a reserved word: choose another"
    return f"names and words are: write `{short(name)}`"


def _hyphened(place: _Place) -> str:
    """The whole of a name in which reading stopped at a `-`."""
    whole = _HYPHENED.match(place.source.text, place.span.start - len(place.previous))
    return place.previous if whole is None else whole[0]


def _is_name(found: str) -> bool:
    return _NAME.fullmatch(found) is not None and found not in RESERVED


def _misspelt(place: _Place) -> str:
    """A hint where what was found is almost a word that would have fitted, or means one elsewhere."""
    # What may begin a declaration has its own slips, and would be near to too many words here.
    names = place.fits - _DECLARATION if {"PROVE", "$END"} & place.fits else place.fits
    known = [word for name in names for word in _EFFECTS.get(name, (spellings().get(name, ""),))]
    words = [word for word in known if len(word) > 2]
    found = place.found.lower()
    if place.found in RESERVED or not _NAME.fullmatch(found):
        return ""
    return nearest(FOREIGN_WORDS.get(found, found).strip("`"), words)


def _expected(fits: frozenset[str]) -> str:
    rest = set(fits)
    if {"PROVE", "$END"} & rest:
        rest = rest - _DECLARATION | {"$END"}
    words: list[str] = []
    for mark, group, text in _GROUPS:
        if mark in rest:
            words.append(text)
            rest -= group
    single = {_WORDS.get(name) or f"`{spellings()[name]}`" for name in rest}
    listed = sorted(single) + words
    return " or ".join((", ".join(listed[:-1]), listed[-1])) if len(listed) > 1 else listed[0]


def _quoted(found: str) -> str:
    return f"`{short(found)}`" if found else "the end of the file"
