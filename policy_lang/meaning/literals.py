"""Values as the literals that a policy would hold for them.

A value goes in, with its type where that is known; a text comes out that could stand in a policy, but for times that
are no whole seconds, which have no literal. How an integer reads depends on its type: `2026-12-20T10:00:00Z` is a time,
`10m` a duration, 600000 a number; a role, an enum's value and an address stand bare, other strings in quotes. Pure;
total on every value, whatever its type is said to be; no text holds what a terminal would obey.
Source: language.md 3, 4.1.

Decision: 2026-11-21. A workload that was read is told as its identity, which is what was proved, not by a name.
"""

from __future__ import annotations

from typing import assert_never

from policy_lang.diagnostics import printable
from policy_lang.ir import ScalarValue, Value
from policy_lang.meaning.obligations import header_text
from policy_lang.typesystem import EnumType, RoleType, Scalar, SetType, Type

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def value_text(value: Value, type_: Type | None = None) -> str:
    """A value as a literal of its type; a set in the order of its members."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return _number(value, type_)
        case str():
            bare = isinstance(type_, EnumType | RoleType) or type_ is Scalar.IP
            return printable(value) if bare else _quoted(value)
        case frozenset():
            element = type_.element if isinstance(type_, SetType) else None
            return f"[{', '.join(value_text(each, element) for each in in_order(value))}]"
        case _:
            assert_never(value)


def in_order(members: frozenset[ScalarValue]) -> list[ScalarValue]:
    """The members of a set, in an order that hangs on nothing but them."""
    return sorted(members, key=lambda each: (str(type(each)), each))


def _number(value: int, type_: Type | None) -> str:
    """An integer; a time that no calendar shows as the time since 1970."""
    text = header_text(value, instant=True) if type_ is Scalar.TIME else None
    if text is not None:
        return text
    return duration_text(value) if type_ in {Scalar.TIME, Scalar.DURATION} else str(value)


def duration_text(ms: int) -> str:
    """A duration of `ms` milliseconds, the largest units first: `1h30m`."""
    parts: list[str] = []
    rest = abs(ms)
    for unit, size in _UNITS:
        amount, rest = divmod(rest, size)
        parts += [f"{amount}{unit}"] if amount else []
    return f"{'-' if ms < 0 else ''}{''.join(parts) or '0s'}"


def _quoted(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(_ESCAPES.get(each) or _visible(each) for each in text)}"'


def _visible(character: str) -> str:
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
