"""Decision ids: where a record stands in the log, with a proof that we gave it that place.

An id is 128 bits, shown as 32 lower-case hex digits: boot 32 | writer 8 | seq 40 | mac 48. `boot` grows with every file
that a writer opens (pdp.audit.wal), `writer` names the worker, `seq` counts from 0 without a gap, so that a list of ids
alone (a gateway's log) shows which are missing. `mac` is HMAC-SHA256 under the id key over the first ten bytes, cut to
six: it lets us disown an id we never gave.
Design: audit.md 3.2.

Decision: 2026-11-22. HMAC (RFC 2104) is put together from two hashes that have taken in the key, copied for each id:
half the time of a copied HMAC object, which wraps them in layers that an id does not need.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from msgspec import Struct

MAX_BOOT = 2**32 - 1
MAX_WRITER = 2**8 - 1
MAX_SEQ = 2**40 - 1

_SHAPE = re.compile(r"[0-9a-f]{32}\Z")
_MAC_BYTES = 6
_BLOCK_BYTES = 64
_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))


class DecisionId(Struct, frozen=True):
    """The parts of an id; `mac` is six bytes, believed only after `IdKey.check`."""

    boot: int
    writer: int
    seq: int
    mac: bytes


class IdKey:
    """The key that ids are made and checked with."""

    def __init__(self, key: bytes) -> None:
        """`key` is 32 random bytes."""
        if len(key) != 32:
            raise ValueError("an id key has 32 bytes")
        padded = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def make(self, boot: int, writer: int, seq: int) -> str:
        """The id of record `seq`. ValueError when a part does not fit its bits."""
        if not (0 <= boot <= MAX_BOOT and 0 <= writer <= MAX_WRITER and 0 <= seq <= MAX_SEQ):
            raise ValueError(f"boot {boot}, writer {writer} or sequence {seq} does not fit an id")
        place = (boot << 48 | writer << 40 | seq).to_bytes(10, "big")
        return (place + self._sum(place)).hex()

    def check(self, text: str) -> bool:
        """Whether `text` is an id made under this key; False for anything else, malformed text included."""
        if not is_shaped(text):
            return False
        raw = bytes.fromhex(text)
        return hmac.compare_digest(raw[10:], self._sum(raw[:10]))

    def _sum(self, place: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(place)
        outer.update(inner.digest())
        return outer.digest()[:_MAC_BYTES]


def is_shaped(text: str) -> bool:
    """Whether `text` is 32 lower-case hex digits; who made them is for `IdKey.check` to say."""
    return _SHAPE.match(text) is not None


def parse(text: str) -> DecisionId:
    """The parts of an id, its mac unchecked. ValueError unless `text` is 32 lower-case hex digits."""
    if not is_shaped(text):
        raise ValueError("not a decision id: 32 lower-case hex digits are wanted")
    raw = bytes.fromhex(text)
    place = int.from_bytes(raw[:10], "big")
    return DecisionId(place >> 48, place >> 40 & MAX_WRITER, place & MAX_SEQ, raw[10:])
