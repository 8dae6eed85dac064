"""One run of a writer: its numbers, and the key its boxes are sealed with.

A record goes in, its id and its leaf come out. A run has a boot number of its own (pdp.audit.wal) and a salt drawn at
random, and counts its records from 0; it lasts as long as one write-ahead log.

INVARIANT: sequence numbers are contiguous: a record that could not be made takes none. A number without a leaf of its
own is one that the next leaf stands for (pdp.audit.aggregate).
Design: audit.md 3.2, 4.2; contracts.md "The log, from the first commit".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pdp.audit.aggregate import AGGREGATE, numbers_field
from pdp.audit.box import SALT_BYTES, Sealer
from pdp.audit.form import Form
from pdp.audit.ids import IdKey
from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import LeafError, Sealed, encode
from pdp.model import Json


class Boot:
    """Makes the records of one run. Not thread-safe: the writer calls it under its lock."""

    def __init__(
        self,
        keys: RecordKeys,
        writer: int,
        number: int,
        entropy: Callable[[int], bytes],
        now_us: int,
        mono_us: int,
        software: str,
    ) -> None:
        """`writer` is 0 to 255; `number` 32 bits that no run of that writer had; `entropy(n)` gives n random bytes;
        both instants, Unix and monotonic, and `software` are stated in the first record."""
        self.number = number
        self.mono_us = mono_us
        self.next_seq = 0
        self._writer = writer
        self._ids = IdKey(keys.id_key)
        salt = entropy(SALT_BYTES)
        self._sealer = Sealer(keys.box_key, salt, keys.origin, entropy)
        opening: dict[str, Json] = {
            "t": now_us,
            "mono": mono_us,
            "boot": f"{self.number:08x}",
            "writer": writer,
            "salt": salt.hex(),
            "software": software,
            "origin": keys.origin,
        }
        self.opening = self.record("log.start", opening, None)[1]

    def record(
        self, kind: str, clear: Mapping[str, Json], inputs: bytes | None, form: Form | None = None
    ) -> tuple[str, bytes]:
        """The id and the leaf of the next record; `inputs` are sealed, None makes no box. `form` is of these fields.

        Errors: LeafError when it cannot be a leaf; then its number was not taken.
        """
        seq = self.next_seq
        record_id = self._ids.make(self.number, self._writer, seq)
        sealed: Sealed | None = None if inputs is None else self._sealer.seal(seq, record_id, inputs)
        if form is None or sealed is None:
            leaf = encode(kind, record_id, clear, sealed)
        else:
            leaf = form.leaf(record_id, clear, sealed)
        self.next_seq = seq + 1
        return record_id, leaf

    def aggregate(self, count: int, fields: Mapping[str, Json]) -> tuple[int, bytes]:
        """Give `count` records a number each and no leaf, and the number after them to the leaf that stands for them.

        The first of the numbers, and the leaf. Errors: LeafError when it cannot be one; then no number was taken.
        """
        first = self.next_seq
        self.next_seq = first + count
        try:
            return first, self.record(AGGREGATE, {**fields, **numbers_field(first, count)}, None)[1]
        except LeafError:
            self.next_seq = first
            raise

    def id_of(self, seq: int) -> str:
        """The id that number `seq` of this run has."""
        return self._ids.make(self.number, self._writer, seq)
