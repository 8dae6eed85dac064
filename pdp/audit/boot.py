"""One run of a writer: its numbers, and the key its boxes are sealed with.

A record goes in, its id and its leaf come out. A run has a boot number of its own (pdp.audit.wal) and a salt drawn at
random, and counts its records from 0; it lasts as long as one write-ahead log.

INVARIANT: sequence numbers are contiguous: a record that could not be made takes none.
Design: audit.md 3.2, 4.2; contracts.md "The log, from the first commit".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pdp.audit.box import SALT_BYTES, Sealer
from pdp.audit.ids import IdKey
from pdp.audit.keys import LogKeys
from pdp.audit.leaf import Sealed, encode
from pdp.model import Json


class Boot:
    """Makes the records of one run. Not thread-safe: the writer calls it under its lock."""

    def __init__(
        self, keys: LogKeys, writer: int, number: int, entropy: Callable[[int], bytes], now_us: int, software: str
    ) -> None:
        """`writer` is 0 to 255; `number` 32 bits that no run of that writer had; `entropy(n)` gives n random bytes;
        `software` is stated in the first record."""
        self.number = number
        self.next_seq = 0
        self._writer = writer
        self._ids = IdKey(keys.id_key)
        salt = entropy(SALT_BYTES)
        self._sealer = Sealer(keys.box_key, salt, keys.origin, entropy)
        opening: dict[str, Json] = {
            "t": now_us,
            "boot": f"{self.number:08x}",
            "writer": writer,
            "salt": salt.hex(),
            "software": software,
            "origin": keys.origin,
        }
        self.opening = self.record("log.start", opening, None)[1]

    def record(self, kind: str, clear: Mapping[str, Json], inputs: bytes | None) -> tuple[str, bytes]:
        """The id and the leaf of the next record; `inputs` are sealed, None makes no box.

        Errors: LeafError when it cannot be a leaf; then its number was not taken.
        """
        seq = self.next_seq
        record_id = self._ids.make(self.number, self._writer, seq)
        sealed: Sealed | None = None if inputs is None else self._sealer.seal(seq, record_id, inputs)
        leaf = encode(kind, record_id, clear, sealed)
        self.next_seq = seq + 1
        return record_id, leaf
