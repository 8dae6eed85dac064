"""Casbin's own functions on values that are known only when a decision is taken.

In come the values and the instant, out comes a truth, a text of a `keyGet` function, or None where there is no value: a
value that is no string, too few or too many, an address or a time that is none, a pattern that is a trap in this mode.
INVARIANT: nothing raises, and no more than `_REMEMBERED` compiled patterns of each sort are kept. Of a pattern that is
known beforehand `key_patterns.pattern(...).fits` says the same, but of the names of `open_names`.
Source: language.md 6.4; Casbin's documentation, "Functions".

Decision (2026-11-21): a pattern may come from a request and be compiled for it: what bounds the work is the length
(linear_regex.LONGEST_PATTERN) and RE2's limit on memory, what bounds the memory is the number that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from policy_lang.ir.tables import ARITY, FunctionName, Mode
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.key_signs import names, read_key, regex_text
from policy_lang.meaning.linear_regex import LONGEST_PATTERN, Regex, read_regex
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.object_values import is_text
from policy_lang.meaning.open_names import is_left_open
from policy_lang.meaning.pattern_forms import Trap

_REMEMBERED = 256


class _Parts(Struct, frozen=True):
    """A pattern whose wildcards are asked for by name; `names` in the order of the first groups."""

    regex: Regex
    names: tuple[str, ...]


def call(function: FunctionName, arguments: Sequence[object], *, mode: Mode, now: LocalTime) -> bool | str | None:
    """One of Casbin's functions on any values; None where it has no value. The clock is read by timeMatch only."""
    texts = [str.__str__(each) for each in arguments if is_text(each)]
    if len(texts) != len(arguments) or len(texts) != ARITY[function]:
        return None
    first, second = texts[0], texts[1]
    if is_left_open(function, first):
        return None
    match function:
        case "timeMatch":
            return now.between(first, second)
        case "keyGet":
            return _after_prefix(first, second)
        case "keyGet2" | "keyGet3":
            return _part(function, first, second, texts[2], mode)
        case _:
            short = len(second) <= LONGEST_PATTERN
            read = _remembered(function, second, mode) if short else pattern(function, second, mode=mode)
            return read.fits(first) if isinstance(read, Pattern) else None


@lru_cache(maxsize=_REMEMBERED)
def _remembered(function: FunctionName, text: str, mode: Mode) -> Pattern | Trap:
    return pattern(function, text, mode=mode)


def _after_prefix(name: str, text: str) -> str:
    """What of the name the `*` of the pattern takes; "" where it takes nothing or there is none."""
    start, star, _ = text.partition("*")
    return name[len(start) :] if star and name.startswith(start) else ""


def _part(function: Literal["keyGet2", "keyGet3"], name: str, text: str, wanted: str, mode: Mode) -> str | None:
    """What of the name the first wildcard called `wanted` takes; "" where the pattern does not fit or has none so
    called.
    """
    parts = _parts(function, text, mode) if len(text) <= LONGEST_PATTERN else None
    if parts is None or parts.regex.leaves_open(name):
        return None
    taken = parts.regex.groups(name)
    if taken is None or wanted not in parts.names:
        return ""
    at = parts.names.index(wanted)
    return taken[at] if at < len(taken) else None


@lru_cache(maxsize=_REMEMBERED)
def _parts(function: Literal["keyGet2", "keyGet3"], text: str, mode: Mode) -> _Parts | None:
    if isinstance(pattern(function, text, mode=mode), Trap):
        return None
    pieces = read_key(function, text)
    regex = read_regex(regex_text(function, pieces), groups=True)
    return None if isinstance(regex, Trap) else _Parts(regex, names(pieces))
