"""Names and the patterns they fit, found without asking every one: by the text that a fitting name must begin with.

In come names and compiled patterns of one function; out come the patterns that one name fits, and the names that fit
one pattern. The answers are those of asking `Pattern.fits` of each; a form only says whom there is no need to ask.
INVARIANT: a name that a pattern fits begins with the pattern's stem, and is it where the stem is whole.
Source: language.md 6.4, "matching function on a role manager or domain".

Decision (2026-11-21): a name that cannot be read as a pattern, and one whose pattern fits it alone, stands for itself;
`read` has neither. Casbin too takes what its matching function raises for "does not fit"; where that would surprise,
the front end has refused the name or warned of it (E610). A name that no pattern can be asked about (no address, under
`ipMatch`) fits none. One that a pattern leaves open (`Pattern.leaves_open`) may fit it, and is found apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import assert_never

from msgspec import Struct

from policy_lang.ir.tables import FunctionName, Mode
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.pattern_forms import (
    Anything,
    Exact,
    Form,
    Network,
    Other,
    Prefix,
    Reduced,
    Reduction,
    Segments,
    Trap,
    reduced,
)


class Stem(Struct, frozen=True):
    """What a fitting name begins with; `whole`: what it is."""

    text: str
    whole: bool


def stem(form: Form) -> Stem:
    """The stem of a form; empty where nothing is known."""
    match form:
        case Exact(text):
            return Stem(text, whole=True)
        case Prefix(text):
            return Stem(text, whole=False)
        case Segments(parts, rest):
            literal = [part for part in takewhile(lambda part: part is not None, parts) if part is not None]
            if len(literal) == len(parts):
                return Stem("/".join(literal), whole=not rest)
            return Stem("/".join([*literal, ""]), whole=False)
        case Reduced(by, of):
            text = stem(of).text
            before, slash, _ = text.partition("/")
            return Stem(text if by == "before_query" else before + slash, whole=False)
        case Network() | Anything() | Other():
            return Stem("", whole=False)
        case _:
            assert_never(form)


def read(names: Iterable[str], matching: FunctionName | None, mode: Mode) -> dict[str, Pattern]:
    """The names that stand for others, each with its pattern; none without a function."""
    if matching is None:
        return {}
    found = {}
    for name in names:
        compiled = pattern(matching, name, mode=mode)
        if not isinstance(compiled, Trap) and compiled.form != Exact(name):
            found[name] = compiled
    return found


class _Shelf(Struct, frozen=True):
    """Patterns by the stem of what a name is when it is reduced by `by`. `beginning` is by the length of the stem."""

    by: Reduction | None
    whole: Mapping[str, tuple[Pattern, ...]]
    beginning: tuple[tuple[int, Mapping[str, tuple[Pattern, ...]]], ...]

    @classmethod
    def of(cls, by: Reduction | None, patterns: Iterable[tuple[Form, Pattern]]) -> _Shelf:
        whole: dict[str, list[Pattern]] = {}
        beginning: dict[int, dict[str, list[Pattern]]] = {}
        for form, each in patterns:
            begins = stem(form)
            among = whole if begins.whole else beginning.setdefault(len(begins.text), {})
            among.setdefault(begins.text, []).append(each)
        return cls(by, _closed(whole), tuple((length, _closed(beginning[length])) for length in sorted(beginning)))

    def candidates(self, name: str) -> list[Pattern]:
        asked = name if self.by is None else reduced(name, self.by)
        found = list(self.whole.get(asked, ()))
        for length, by_stem in self.beginning:
            if length > len(asked):
                break
            found.extend(by_stem.get(asked[:length], ()))
        return found


class PatternsByStem(Struct, frozen=True):
    """Patterns, to be asked for by a name. `is_uneven`: some leave names open."""

    shelves: tuple[_Shelf, ...]
    is_uneven: bool

    @classmethod
    def of(cls, patterns: Iterable[Pattern]) -> PatternsByStem:
        """The index; the order of the patterns does not matter."""
        by_reduction: dict[Reduction | None, list[tuple[Form, Pattern]]] = {}
        is_uneven = False
        for each in patterns:
            is_uneven = is_uneven or each.is_uneven
            by, form = (each.form.by, each.form.of) if isinstance(each.form, Reduced) else (None, each.form)
            by_reduction.setdefault(by, []).append((form, each))
        return cls(tuple(_Shelf.of(by, of) for by, of in by_reduction.items()), is_uneven)

    def fitting(self, name: str) -> tuple[str, ...]:
        """The texts of the patterns that fit the name."""
        return tuple(each.text for each in self._candidates(name) if each.fits(name) is True)

    def leaving_open(self, name: str) -> tuple[str, ...]:
        """The texts of the patterns that leave the name open."""
        return tuple(each.text for each in self._candidates(name) if each.leaves_open(name)) if self.is_uneven else ()

    def _candidates(self, name: str) -> list[Pattern]:
        return [each for shelf in self.shelves for each in shelf.candidates(name)]


def _closed(lists: Mapping[str, list[Pattern]]) -> dict[str, tuple[Pattern, ...]]:
    return {text: tuple(patterns) for text, patterns in lists.items()}


def names_fitting(of: Pattern, names: Sequence[str]) -> list[str]:
    """The names, of a sorted sequence, that the pattern fits."""
    return [name for name in _beginning(of, names) if of.fits(name) is True]


def names_left_open(of: Pattern, names: Sequence[str]) -> list[str]:
    """The names, of a sorted sequence, that the pattern leaves open."""
    return [name for name in _beginning(of, names) if of.leaves_open(name)] if of.is_uneven else []


def _beginning(of: Pattern, names: Sequence[str]) -> Iterator[str]:
    """Those that begin with the stem of the pattern."""
    begins = stem(of.form)
    for at in range(bisect_left(names, begins.text), len(names)):
        if not names[at].startswith(begins.text):
            break
        yield names[at]
