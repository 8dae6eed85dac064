"""The second arguments of Casbin's functions, compiled once: keyMatch to keyMatch5, globMatch, regexMatch, ipMatch.

In come a function, a text and the mode, out comes a `Pattern` that tells of every name whether it fits, or the `Trap`
that says why the text means nothing or otherwise than it looks.
INVARIANT: nothing raises; nothing takes more than linear time in the name. What `form` keeps out does not fit. A text
that is a pattern in strict is the same pattern in compat, but for the notation of addresses (`address_patterns`).
Source: language.md 6.4, 6.6 (7, 8, 10 to 13); Casbin's documentation, "Functions".

Decision (2026-11-21): strict refuses what means otherwise than it looks, and gives nothing another meaning: a table
that strict takes answers as it does in compat, the notation of addresses apart. Two things that mean more than they
look are taken with a remark, since policies in use are full of them: text after the first `*` of keyMatch, and a
regexMatch without an end.
Decision (2026-11-21): `fits` of a name that is no address is None for ipMatch. Whatever the pattern, so that a plan can
ask this once for all rows. Of another function it is None only for a name on which engines differ (linear_regex.py).
Decision (2026-11-21): a pattern of whole segments is met by splitting the name, without a regular expression, and is
read without looking at its signs one by one (clean_patterns.py): 100,000 rows compile in the time of their text and
hold no automata. tests/casbin/test_key_patterns.py compares it with the regular expression of the same text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct

from policy_lang.ir.tables import FunctionName, Mode
from policy_lang.meaning.address_patterns import Block, read_block
from policy_lang.meaning.clean_patterns import clean_glob, clean_key, clean_regex, sign_in_name
from policy_lang.meaning.globs import read_glob
from policy_lang.meaning.key_signs import (
    KeyFunction,
    form_of,
    in_whole_segments,
    metacharacter,
    names,
    places,
    read_key,
    regex_text,
    trap_in,
)
from policy_lang.meaning.linear_regex import LONGEST_PATTERN, Regex, opening, read_regex, unreadable
from policy_lang.meaning.pattern_forms import (
    Anything,
    Exact,
    Form,
    Network,
    Other,
    Plain,
    Prefix,
    Reduced,
    Reduction,
    Segments,
    Trap,
    admits,
    reduced,
)


class _Walk(Struct, frozen=True):
    """Of the segments of a name: with `rest` one more than `count` at least and no line break from there on; those of
    each group of `same` are equal.
    """

    count: int
    rest: bool
    same: tuple[tuple[int, ...], ...]


class _Named(Struct, frozen=True):
    """The groups of the expression with the same name took the same text."""

    regex: Regex
    names: tuple[str, ...]


class _Seen(Struct, frozen=True):
    """Of the segments of a name those at these places do not begin with a dot."""

    places: tuple[int, ...]


_Check = _Walk | _Named | _Seen | Regex | Block
"""What of the truth the form does not say."""


class Pattern(Struct, frozen=True):
    """A text as a function reads it. `form` is what every name has that fits, for an index; `fits` is the truth.
    `remark`: the pattern is taken in both modes, and worth a warning.
    """

    function: FunctionName
    text: str
    form: Form
    remark: Trap | None = None
    _check: _Check | None = None

    def fits(self, name: str) -> bool | None:
        """Whether the function holds of the name; None where it has no value for it: for ipMatch a name that is no
        address, whatever the pattern, else one that this pattern leaves open.
        """
        match self._check:
            case Block() as block:
                return block.holds(name)
            case None:
                return admits(self.form, name)
            case check:
                return admits(self.form, name) and _holds(check, self._asked(name))

    @property
    def is_uneven(self) -> bool:
        """Whether there are names that it leaves open."""
        match self._check:
            case Regex(classes=classes) | _Named(Regex(classes=classes)):
                return bool(classes)
            case _:
                return False

    def leaves_open(self, name: str) -> bool:
        """Whether engines differ on the name, so that `fits` is None."""
        return self.is_uneven and self.fits(name) is None

    def _asked(self, name: str) -> str:
        """What of the name the check is of: the expression of a glob reads slashes as they stand."""
        if self.function == "keyMatch5":
            return reduced(name, "before_query")
        return reduced(name, "single_slashes") if isinstance(self._check, _Seen) else name


def pattern(function: FunctionName, text: str, *, mode: Mode) -> Pattern | Trap:
    """The text compiled for a function; of a `keyGet` one as its `keyMatch` one reads it. timeMatch has no pattern.

    A `Trap` of the kind "unreadable" in both modes; of the other kinds in strict only.
    """
    match function:
        case "keyMatch" | "keyGet":
            return _prefix(function, text)
        case "keyMatch2" | "keyMatch3" | "keyMatch4" | "keyMatch5" | "keyGet2" | "keyGet3":
            return _key(function, text, mode)
        case "regexMatch":
            return _regex(text)
        case "globMatch":
            return _glob(text, mode)
        case "ipMatch":
            block = read_block(text, mode=mode)
            if isinstance(block, Trap):
                return block
            return Pattern(function, text, Network(block.first, block.last), None, block)
        case "timeMatch":
            return unreadable("timeMatch takes two times and no pattern")
        case _:
            assert_never(function)


def _prefix(function: FunctionName, text: str) -> Pattern:
    start, star, after = text.partition("*")
    if not star:
        return Pattern(function, text, Exact(text))
    remark = Trap("ignored", f"`{after}` after the first `*` is ignored") if after else None
    return Pattern(function, text, Prefix(start) if start else Anything(), remark)


def _key(function: KeyFunction, text: str, mode: Mode) -> Pattern | Trap:
    clean = clean_key(function, text)
    if clean is not None:
        form = _of(clean, "before_query") if function == "keyMatch5" else clean
        walk = _Walk(len(clean.parts), clean.rest, ()) if isinstance(clean, Segments) else None
        return Pattern(function, text, form, None, walk)
    too_long = _within_length(text)
    if too_long:
        return too_long
    sign = sign_in_name(function, text) if mode == "strict" else ""
    if sign:
        return metacharacter(sign)
    pieces = read_key(function, text)
    trap = trap_in(function, pieces) if mode == "strict" else None
    if trap:
        return trap
    plain = form_of(pieces)
    form = _of(plain, "before_query") if function == "keyMatch5" else plain
    same = places(pieces) if function == "keyMatch4" else ()
    match plain:
        case Exact():
            return Pattern(function, text, form)
        case Segments(parts, rest) if in_whole_segments(pieces):
            return Pattern(function, text, form, None, _Walk(len(parts), rest, same))
        case _:
            return _key_by_regex(function, text, form)


def _key_by_regex(function: KeyFunction, text: str, form: Form) -> Pattern | Trap:
    pieces = read_key(function, text)
    told_apart = function == "keyMatch4"
    regex = read_regex(regex_text(function, pieces), groups=told_apart)
    if isinstance(regex, Trap):
        return regex
    if not told_apart:
        return Pattern(function, text, form, None, regex)
    if regex.count != len(names(pieces)):
        return unreadable("it has groups besides its wildcards")
    return Pattern(function, text, form, None, _Named(regex, names(pieces)))


def _glob(text: str, mode: Mode) -> Pattern | Trap:
    clean = clean_glob(text)
    if clean is not None:
        stars = tuple([place for place, part in enumerate(clean.parts) if part is None])
        return Pattern("globMatch", text, Reduced("single_slashes", clean), None, _Seen(stars) if stars else None)
    glob = _within_length(text) or read_glob(text, mode=mode)
    if isinstance(glob, Trap):
        return glob
    return Pattern("globMatch", text, _of(glob.form, "single_slashes"), None, glob.regex)


_OPEN_END = Trap("open_end", "it takes every name that begins so: there is no `$` at its end")


def _regex(text: str) -> Pattern | Trap:
    clean = clean_regex(text)
    if clean is not None:
        form = clean if clean.text or isinstance(clean, Exact) else Anything()
        return Pattern("regexMatch", text, form, None if isinstance(clean, Exact) else _OPEN_END)
    regex = _within_length(text) or read_regex(text)
    if isinstance(regex, Trap):
        return regex
    ended = text.endswith((".*", "$")) and not text.endswith(("\\.*", "\\$"))
    remark = None if ended else _OPEN_END
    start, extent = opening(text)
    match extent:
        case "exact":
            return Pattern("regexMatch", text, Exact(start), remark)
        case "prefix":
            return Pattern("regexMatch", text, Prefix(start) if start else Anything(), remark)
        case "more":
            return Pattern("regexMatch", text, Prefix(start) if start else Other(), remark, regex)
        case _:
            assert_never(extent)


def _within_length(text: str) -> Trap | None:
    if len(text) <= LONGEST_PATTERN:
        return None
    return unreadable(f"it is longer than {LONGEST_PATTERN} characters")


def _of(form: Plain, by: Reduction) -> Form:
    """The form, of the reduced name; nothing needs to be reduced where nothing is known."""
    return form if isinstance(form, Other | Anything) else Reduced(by, form)


def _holds(check: _Walk | _Named | _Seen | Regex, name: str) -> bool | None:
    match check:
        case _Seen(places):
            segments = name.split("/")
            return not any(segments[place].startswith(".") for place in places)
        case Regex():
            return None if check.leaves_open(name) else check.begins(name)
        case _Named(regex, of):
            if regex.leaves_open(name):
                return None
            taken = regex.groups(name)
            return taken is not None and _agree(zip(of, taken, strict=True))
        case _Walk(count, rest, same):
            segments = name.split("/", count) if rest else name.split("/")
            if rest and (len(segments) <= count or "\n" in segments[-1]):
                return False
            return all(len({segments[at] for at in each}) == 1 for each in same)
        case _:
            assert_never(check)


def _agree(taken: Iterable[tuple[str, str | None]]) -> bool:
    """Whether each name took one text only."""
    first: dict[str, str | None] = {}
    return all(first.setdefault(name, text) == text for name, text in taken)
