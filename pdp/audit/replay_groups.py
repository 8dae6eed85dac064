"""Records counted by what they have in common, with the first and the last instant and a few ids of each group.

Pure but for the counts, whose number is bounded: what would be a group too many is counted under `OTHERS`.
"""

from __future__ import annotations

from msgspec import Struct

from pdp.audit.replay_log import Past

MOST_GROUPS = 1_000
MOST_EXAMPLES = 3
OTHERS = "others"
"""Stands in each word of the group of those that found no group."""


class Group(Struct, frozen=True):
    """How many records there are of these words; instants in Unix microseconds; ids of the first few."""

    words: tuple[str, ...]
    count: int
    first_us: int
    last_us: int
    examples: tuple[str, ...]


class Groups:
    """Records by their words."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}

    def add(self, past: Past, *words: str) -> None:
        """Count one record."""
        known = self._groups.get(words)
        if known is None and len(self._groups) >= MOST_GROUPS:
            words = (OTHERS,) * len(words)
            known = self._groups.get(words)
        count, at_us = past.stands_for, past.at_us
        if known is None:
            self._groups[words] = Group(words, count, at_us, at_us, (past.leaf.id,))
            return
        more = (past.leaf.id,) if len(known.examples) < MOST_EXAMPLES else ()
        first_us, last_us = min(known.first_us, at_us), max(known.last_us, at_us)
        self._groups[words] = Group(words, known.count + count, first_us, last_us, (*known.examples, *more))

    @property
    def count(self) -> int:
        """The records of all groups."""
        return sum(each.count for each in self._groups.values())

    def largest_first(self) -> tuple[Group, ...]:
        """Every group, the largest first; those of one size by their words."""
        return tuple(sorted(self._groups.values(), key=lambda each: (-each.count, each.words)))
