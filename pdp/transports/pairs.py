"""Headers as pairs of a lower-case name and a value, in order, repeats kept, and what readers ask of them."""

from __future__ import annotations

from collections.abc import Iterable

Pairs = tuple[tuple[str, str], ...]


def values_of(pairs: Iterable[tuple[str, str]], name: str) -> tuple[str, ...]:
    """The values of a header, in order."""
    return tuple([value for key, value in pairs if key == name])


def sole(pairs: Iterable[tuple[str, str]], name: str) -> str | None:
    """The value of a header that stands there once, else None."""
    values = values_of(pairs, name)
    return values[0] if len(values) == 1 else None
