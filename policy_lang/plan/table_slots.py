"""Which rows of a table are the same after a change: each row has a slot, a number that it keeps.

In come the rows before and after and the slots of those before; out come the slots of those after, which of them are
new, and which are gone. Rows are the same by their values and their vote; rows that stay keep their order, so that one
that moved is a new one.
Source: language.md 6.4 "only the affected row tables are rebuilt".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from policy_lang.ir.tables import Row

AT_ONCE = 1_024


class Realigned(Struct, frozen=True):
    """`slots` by rank after the change; `added` with their rows, and `gone` before it."""

    slots: Sequence[int]
    added: tuple[tuple[int, Row], ...]
    gone: tuple[tuple[int, Row], ...]


def realigned(before: Sequence[Row], after: Sequence[Row], slots: Sequence[int], free: int) -> Realigned:
    """How the rows after a change stand to those before it. Slots from `free` on are not in use."""
    if before is after:
        return Realigned(slots, (), ())
    front = _alike(before, after, min(len(before), len(after)))
    back = _alike(before[::-1], after[::-1], min(len(before), len(after)) - front)
    old = range(front, len(before) - back)
    stood: dict[tuple[object, ...], deque[int]] = {}
    for rank in old:
        stood.setdefault(_key(before[rank]), deque()).append(rank)
    middle: list[int] = []
    added: list[tuple[int, Row]] = []
    stays: set[int] = set()
    last = front - 1
    for row in after[front : len(after) - back]:
        ranks = stood.get(_key(row), deque())
        while ranks and ranks[0] <= last:
            ranks.popleft()
        if ranks:
            last = ranks.popleft()
            stays.add(last)
            middle.append(slots[last])
        else:
            middle.append(free + len(added))
            added.append((free + len(added), row))
    gone = tuple((slots[rank], before[rank]) for rank in old if rank not in stays)
    return Realigned((*slots[:front], *middle, *slots[len(before) - back :]), tuple(added), gone)


def _alike(one: Sequence[Row], other: Sequence[Row], most: int) -> int:
    """How many rows at the beginning are the same, up to `most`."""
    place = 0
    # Objects that are the same are found to be equal without being asked, and many at a time.
    while place < most and one[place : place + AT_ONCE] == other[place : place + AT_ONCE]:
        place += AT_ONCE
    place = min(place, most)
    while place < most and (one[place] is other[place] or _key(one[place]) == _key(other[place])):
        place += 1
    return place


def _key(row: Row) -> tuple[object, ...]:
    return row.values, row.vote
