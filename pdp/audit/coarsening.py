"""Refusals that wait for the leaf of their key, while the log cannot keep up.

Clear fields of refusals and their receipts go in; per key what all of them share comes out, with the receipts.

INVARIANT: what waits is bounded in refusals, in keys and in bytes.
Design: contracts.md "Durability"; audit.md 3.3, 4.6. The form of the leaf: pdp.audit.aggregate.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pdp.audit.aggregate import AGGREGATE, SHARED, aggregate_fields, numbers_field
from pdp.audit.ids import MAX_SEQ
from pdp.audit.leaf import encode
from pdp.audit.pending import Receipt
from pdp.model import Json

_NO_ID = "0" * 32
_LATEST_US = 2**63 - 1


class Aggregate(Struct):
    """Refusals of one key: what they share, their receipts in order, and the first and last of their instants."""

    shared: Mapping[str, Json]
    receipts: list[Receipt]
    first_us: int
    last_us: int

    def fields(self, now_us: int) -> dict[str, Json]:
        """The clear fields of the leaf but for the numbers; where no refusal stated an instant, it is this one."""
        first_us, last_us = (now_us, now_us) if self.first_us > self.last_us else (self.first_us, self.last_us)
        return aggregate_fields(self.shared, len(self.receipts), first_us, last_us, now_us)


class Aggregates:
    """What waits. Not thread-safe: the writer uses it under its lock."""

    def __init__(self, most: int, most_keys: int, most_bytes: int) -> None:
        """At most `most` refusals of `most_keys` keys, whose leaves have at most `most_bytes` together."""
        self._most, self._most_keys, self._most_bytes = most, most_keys, most_bytes
        self._by_key: dict[tuple[object, ...], Aggregate] = {}
        self._refusals = 0
        self._bytes = 0

    def __len__(self) -> int:
        """How many refusals wait."""
        return self._refusals

    def join(self, clear: Mapping[str, Json], receipt: Receipt) -> bool:
        """Take a refusal with these clear fields; False where there is no room for it.

        Errors: LeafError where no leaf could hold what it says.
        """
        if self._refusals >= self._most:
            return False
        key = tuple([_hashable(clear.get(name)) for name in SHARED])
        found = self._by_key.get(key) or self._open(key, clear)
        if found is None:
            return False
        stated = clear.get("t")
        if type(stated) is int and 0 <= stated <= _LATEST_US:
            found.first_us = min(found.first_us, stated)
            found.last_us = max(found.last_us, stated)
        found.receipts.append(receipt)
        self._refusals += 1
        return True

    def next(self) -> Aggregate | None:
        """The aggregate that waits for longest; it stays until it is removed."""
        return next(iter(self._by_key.values()), None)

    def remove_next(self) -> None:
        """Forget the aggregate that waits for longest; with the last one all the room is there again."""
        removed = self._by_key.pop(next(iter(self._by_key)))
        self._refusals -= len(removed.receipts)
        if not self._by_key:
            self._bytes = 0

    def _open(self, key: tuple[object, ...], clear: Mapping[str, Json]) -> Aggregate | None:
        shared = {name: clear[name] for name in SHARED if name in clear}
        largest = aggregate_fields(shared, MAX_SEQ, _LATEST_US, _LATEST_US, _LATEST_US) | numbers_field(MAX_SEQ, 1)
        size = len(encode(AGGREGATE, _NO_ID, largest, None))
        if len(self._by_key) >= self._most_keys or self._bytes + size > self._most_bytes:
            return None
        self._bytes += size
        self._by_key[key] = Aggregate(shared, [], _LATEST_US, 0)
        return self._by_key[key]


def _hashable(value: Json) -> object:
    return tuple(value) if isinstance(value, list) else value
