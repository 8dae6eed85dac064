"""Regular expressions that take time linear in what they are asked about: RE2, and of it what other engines read alike.

In comes the text of an expression, out comes one that can be asked, or the `Trap` that says why not. Casbin's own
implementations hand the text to the engine of their language. What only one of them reads, or what two read
differently, is not guessed at: it is unreadable, and so has no value.
INVARIANT: no expression takes more than `_MOST_BYTES` of memory.
Source: RE2's syntax (https://github.com/google/re2/wiki/Syntax); Python's `re`; Casbin's documentation, "Functions".

Decision (2026-11-21): refused besides what RE2 refuses: RE2's own escapes and classes (`\\pL`, `\\Q`, `\\z`, `\\12`,
`[[:alpha:]]`), flags after the beginning, `(?<name>`, `{,3}`, a repeated `^`, `$` or `\\b`, and `\\B`, which the empty
text has in some engines. `$` is the end of the text, also before a line break (without the flag `m`).
Decision (2026-11-21): `\\d`, `\\w`, `\\s`, `\\b` are of ASCII in RE2 and in Go, of all scripts in Python, and `\\s` has
a vertical tab and four separators more there. An expression that has one of them, or its opposite, leaves a name open
that has a character of which the two differ: neither answer is safe where one row allows `^/\\W$` and another denies
`^/\\w+$`. Of all other names both say the same, so that `\\S+` stays good for most paths beyond ASCII.
Decision (2026-11-21): the flag `i` is refused beside an `i`, itself or within a range, and beside what is beyond ASCII:
Python folds U+0131 and U+0130 to `i` and RE2 does not, so that a row that denies `(?i)^/admin$` would pass them by. Of
the other letters of ASCII both fold the same, `k` and U+212A, `s` and U+017F among them.
Decision (2026-11-21): 128 KiB are enough for what stands in policies, alternatives of two hundred paths or `{1,255}`
among them; `[^/]{1,1000}` is refused. What was asked may fill them, of each pattern that is kept.
Decision (2026-11-21): an unpaired surrogate, which UTF-8 cannot hold, is one character like any other to a pattern. It
is asked about as U+FFFF, no character of any text, which no expression may therefore hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import re2

from policy_lang.meaning.pattern_forms import Trap

LONGEST_PATTERN = 4_096
"""Characters of the longest pattern that is compiled; its expression may be some times as long."""

_MOST_BYTES = 128 << 10

LONGEST_NAME = 65_536
"""Characters of the longest name that is compared with patterns when a decision is taken."""

_STAND_IN = "\uffff"
_UNPAIRED = re.compile("[\ud800-\udfff]")
_UNASKABLE = re.compile("[\ud800-\udfff\uffff]")

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
_ESCAPES = frozenset("dDwWsSbAtnrfva") | _PUNCTUATION
_ESCAPES_IN_CLASS = frozenset("dDwWsStnrfva") | _PUNCTUATION

_CONTROLS = {r"\t": "\t", r"\n": "\n", r"\r": "\r", r"\f": "\f", r"\v": "\v", r"\a": "\a"}

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WORDS = re.compile(r"[^\W0-9A-Za-z_]")
_DIFFERENT = {"d": re.compile(r"[^\D0-9]"), "w": _WORDS, "b": _WORDS, "s": re.compile(r"[^\S\t\n\f\r ]")}
"""By the classes of an expression, in small letters: the characters that are of the class in Python and not in RE2."""

_ASCII_DIFFERENT = "\v\x1c\x1d\x1e\x1f"
"""Of ASCII, those that Python has in `\\s` and RE2 has not."""

_HEX = re.compile(r"\\x[0-9A-Fa-f]{2}")
_LETTER = re.compile(r"\\x[0-9A-Fa-f]{2}|\\.|.", re.DOTALL)
_RANGE = re.compile(r"(?=((?:\\x[0-9A-Fa-f]{2}|\\.|.))(?=-(\\x[0-9A-Fa-f]{2}|\\.|.)))", re.DOTALL)
_TOKEN = re.compile(
    r"""
    (?P<hex>\\x[0-9A-Fa-f]{2}) | (?P<escape>\\.)
    | (?P<special>\(\?(?:P<[A-Za-z_][A-Za-z0-9_]*>|[ims]*(?:-[ims]+)?:))
    | (?P<flags>\(\?[ims]+\)) | (?P<odd>\(\?|\{,[0-9]*\})
    | (?P<anchor>[\^$]) | (?P<repeat>[*+?]|\{[0-9]+(?:,[0-9]*)?\})
    | (?P<class>\[\^?) | (?P<group>[()]) | (?P<any>\.) | (?P<character>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Found(Protocol):
    def span(self, group: int, /) -> tuple[int, int]: ...


class _Engine(Protocol):
    @property
    def groups(self) -> int: ...
    def match(self, text: str | bytes, /) -> _Found | None: ...


@dataclass(frozen=True, slots=True)
class Regex:
    """An expression that was read. Two are equal when their texts are. `classes`: which of `d`, `w`, `s`, `b` it has,
    itself or its opposite.
    """

    text: str
    classes: frozenset[str]
    _engine: _Engine = field(compare=False, repr=False)

    @property
    def count(self) -> int:
        """How many groups it has that can be asked for."""
        return self._engine.groups

    def leaves_open(self, name: str) -> bool:
        """Whether engines may differ on the name, since it has a character that is of a class in some of them only."""
        if not self.classes:
            return False
        if name.isascii():
            return "s" in self.classes and any(sign in name for sign in _ASCII_DIFFERENT)
        return any(_DIFFERENT[each].search(name) for each in self.classes)

    def begins(self, name: str) -> bool:
        """Whether the name begins with what the expression says."""
        return self._engine.match(_askable(name).encode()) is not None

    def groups(self, name: str) -> Sequence[str | None] | None:
        """What the groups took when the name begins so, None for a group that took no part; None when it does not.

        Only of an expression that was read with `groups`.
        """
        found = self._engine.match(_askable(name))
        if found is None:
            return None
        spans = [found.span(group) for group in range(1, self._engine.groups + 1)]
        return [None if first < 0 else name[first:end] for first, end in spans]


def read_regex(text: str, *, groups: bool = False) -> Regex | Trap:
    """The expression, or a `Trap` of the kind "unreadable". `groups`: they will be asked for, which takes longer."""
    if _UNASKABLE.search(text):
        return unreadable("it holds a code point that is no character")
    said = _read_differently(text) or _folded_differently(text)
    if said:
        return unreadable(said)
    options = re2.Options()
    options.log_errors = False
    options.never_nl = False
    options.max_mem = _MOST_BYTES
    options.never_capture = not groups
    try:
        classes = _DIFFERENT.keys() & {letter.lower() for letter in _ESCAPED.findall(text)}
        return Regex(text, frozenset(classes), re2.compile(text, options))
    except re2.error as error:
        (cause,) = error.args
        return unreadable(f"RE2 cannot read it: {cause.decode(errors='replace')}")


def unreadable(said: str) -> Trap:
    """A trap in both modes."""
    return Trap("unreadable", said)


def escaped(character: str) -> str:
    """The text of an expression for one character, itself."""
    return character if character.isalnum() or ord(character) > 127 else f"\\x{ord(character):02x}"


def opening(text: str) -> tuple[str, Literal["exact", "prefix", "more"]]:
    """What each name begins with that the expression takes, and whether it says that the name is just this ("exact"),
    that it begins so ("prefix"), or more.
    """
    if "|" in text or "(?" in text:
        return "", "more"
    asked = text.removeprefix("^")
    plain: list[str] = []
    for token in _TOKEN.finditer(asked):
        kind, said = token.lastgroup, token.group()
        if kind == "repeat":
            return "".join(plain[:-1]), "more"
        if kind == "escape" and said[1] in _PUNCTUATION:
            plain.append(said[1])
        elif kind == "character":
            plain.append(said)
        else:
            return "".join(plain), "exact" if said == "$" and token.end() == len(asked) else "more"
    return "".join(plain), "prefix"


def _askable(name: str) -> str:
    return name if name.isascii() else _UNPAIRED.sub(_STAND_IN, name)


def _read_differently(text: str) -> str:
    """What of the text engines read differently, a clause; "" for nothing."""
    at, repeatable = 0, True
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:  # a backslash at the end
            return "it ends with a `\\`"
        kind, said = token.lastgroup, token.group()
        if kind == "escape" and said[1] not in _ESCAPES:
            return f"engines read `{said}` differently"
        if kind == "odd" or (kind == "flags" and at > 0):
            return f"engines read `{said}` at this place differently"
        if kind == "repeat" and not repeatable:
            return f"there is nothing that `{said}` could repeat"
        repeatable = not (kind == "anchor" or said in {r"\b", r"\A"})
        at = token.end()
        if kind == "class":
            at, differs = _past_class(text, at)
            if differs:
                return differs
    return ""


def _folded_differently(text: str) -> str:
    """What of the text engines fold to other characters where case is of no account, a clause; "" for nothing."""
    ignores_case, letters, ranges = False, list[str](), list[re.Match[str]]()
    at = 0
    while at < len(text) and (token := _TOKEN.match(text, at)):
        kind, said, at = token.lastgroup, token.group(), token.end()
        if kind == "class":
            first, (at, _) = at, _past_class(text, at)
            within = text[first : at - 1]
            letters += _LETTER.findall(within)
            ranges += _RANGE.finditer(within)
        elif kind in {"special", "flags"}:
            ignores_case = ignores_case or ("<" not in said and "i" in said.partition("-")[0])
        else:
            letters.append(said)
    if not ignores_case or (all(map(_folds_alike, letters)) and not any(map(_spans_i, ranges))):
        return ""
    return "with the flag `i`, engines read `i` and characters beyond ASCII differently"


def _folds_alike(said: str) -> bool:
    character = _character(said)
    return character.isascii() and character not in {"i", "I"}


def _character(said: str) -> str:
    """What `\\x69` and `\\t` stand for; anything else as it is."""
    if _HEX.fullmatch(said):
        return bytes.fromhex(said[2:]).decode("latin-1")
    return _CONTROLS.get(said, said)


def _spans_i(between: re.Match[str]) -> bool:
    """Whether what looks like a range has an `i` in it, or what is beyond ASCII."""
    first, last = (_character(end)[-1] for end in between.groups())
    return not last.isascii() or any(first <= letter <= last for letter in "iI")


def _past_class(text: str, at: int) -> tuple[int, str]:
    """Where a class ends that begins at `at`, and what of it engines read differently."""
    first = at
    while at < len(text) and (text[at] != "]" or at == first):
        if text.startswith("[:", at):
            return at, "engines read `[:` in `[]` differently"
        if text[at] == "\\":
            if text[at + 1 : at + 2] not in _ESCAPES_IN_CLASS and not _HEX.match(text, at):
                return at, f"engines read `{text[at : at + 2]}` in `[]` differently"
            at += 1
        at += 1
    return at + 1, ""
