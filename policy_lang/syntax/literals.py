"""Token text to values: integers, durations, instants, strings.

In goes the text of one token, as the grammar matched it; out comes its value, or what is wrong with it. Pure.
Values are those of `policy_lang/typesystem.py`: durations and instants in milliseconds, instants from the Unix epoch.
Specification: language.md 3 (lexical notes); instants are RFC 3339 with `Z` and whole seconds.

Decision: 2026-11-21. A duration names each unit at most once, the largest first (`1h30m`): `30m1h` and `1m1m` read as
slips. A leap second (`:60`) is no instant, because Unix time has none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from policy_lang.typesystem import INT_MAX, INT_MIN

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})Z)?")
_ESCAPE = re.compile(r"\\(?:([\"\\nrt])|u\{([0-9A-Fa-f]{1,6})\}|.)|\t")
_PLAIN = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Misspelt(Struct, frozen=True):
    """What is wrong in a string: the code points `start` to `end` of the token, quotes counted, and words for it."""

    start: int
    end: int
    found: str


def integer(text: str) -> int | None:
    """The value of an integer such as `-1_000`; None outside 64 bits."""
    digits = text.lstrip("-").replace("_", "").lstrip("0") or "0"
    if len(digits) > 19:  # SECURITY: before int(), which is quadratic and refuses above 4,300 digits by raising
        return None
    value = -int(digits) if text.startswith("-") else int(digits)
    return value if INT_MIN <= value <= INT_MAX else None


def units_descend(text: str) -> bool:
    """Whether the units of a duration come largest first and each once."""
    sizes = [_UNITS[unit] for _, unit in _DURATION_PART.findall(text)]
    return all(larger > smaller for larger, smaller in pairwise(sizes))


def duration_ms(text: str) -> int | None:
    """The length of a duration such as `1h30m`, in milliseconds; None outside 64 bits."""
    total = 0
    for digits, unit in _DURATION_PART.findall(text):
        amount = integer(digits)
        if amount is None:
            return None
        total += amount * _UNITS[unit]
    return total if total <= INT_MAX else None


def instant_ms(text: str) -> int | None:
    """The Unix milliseconds of a date (its midnight in UTC) or a timestamp; None where the calendar has none such."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(part) for part in found.groups(default="0"))
        instant = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (instant - _EPOCH) // _MILLISECOND


def unescape(token: str) -> str | Misspelt:
    """The value of a string token, whose quotes are included; else its first wrong escape, surrogate or raw tab."""
    parts: list[str] = []
    at = 1
    for found in _ESCAPE.finditer(token, 1, len(token) - 1):
        plain, number = found.groups()
        character = _PLAIN[plain] if plain is not None else _character(number)
        if character is None:
            return Misspelt(found.start(), found.end(), "a tab" if found[0] == "\t" else f"`{found[0]}`")
        parts += (token[at : found.start()], character)
        at = found.end()
    parts.append(token[at:-1])
    return "".join(parts)


def _character(number: str | None) -> str | None:
    code = 0xD800 if number is None else int(number, 16)
    return None if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF else chr(code)
