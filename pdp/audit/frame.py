"""The frames of a write-ahead log: leaves in, bytes out, and back; pure.

One frame holds one group of leaves, written in one go (audit.md 4.1), all integers big-endian:

    magic "PWAL" | format 2 | writer 2 | first_seq 8 | count 4 | byte_len 4 | previous 32 | payload | crc32 4
    | sha256 32

`payload` has `byte_len` bytes and is `count` times a two-byte length and a leaf, which is the entry bundle of C2SP
tlog-tiles: sealing is a copy of bytes. `crc32` covers everything before it; `sha256` covers everything before it, the
crc included. `previous` is the `sha256` of the frame before, 32 zero bytes in the first. `first_seq` counts the leaves
of the file before this frame: where a leaf stands for many records (pdp.audit.aggregate), the numbers in the ids of the
leaves run ahead of it.

INVARIANT: what is read is a prefix of what was written. Reading stops at the first frame that is short, whose sums are
wrong, or that does not continue the one before it (digest, count, writer), and never goes on behind it.

Decision: a bad last frame is always called torn, even when its length is right. A power cut may leave blocks of zeros
within the length of the file, so that a flipped bit at the very end cannot be told from it; what was dropped is stated
in `log.recovered`. A bad frame with a good one anywhere behind it is damage. (2026-11-21)
Decision: a later format keeps magic, lengths and sums where they are, so that a version which does not know it can tell
it from a torn end and leaves it alone. (2026-11-21)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from msgspec import Struct

MAGIC = b"PWAL"
FORMAT = 1
GENESIS = bytes(32)
"""What stands for the digest of the frame before the first."""

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
"""Bounds what one frame makes a reader hold; a writer groups far less."""
MAX_ENTRY_BYTES = 0xFFFF
"""The two-byte length of C2SP tlog-tiles."""

_HEADER = struct.Struct(">4sHHQII32s")
_TRAILER_BYTES = 4 + 32
_SEARCH_BYTES = 1024 * 1024
_MOST_TRIED = 256

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, size)` gives the bytes there, fewer only at the end of the file."""


class Frame(Struct, frozen=True):
    """One good frame. `digest` is its SHA-256, which the next one names; `end` the offset of the byte after it."""

    writer: int
    first_seq: int
    leaves: tuple[bytes, ...]
    digest: bytes
    end: int

    @property
    def next_seq(self) -> int:
        """The count of leaves that the frame after this one starts with."""
        return self.first_seq + len(self.leaves)


class Scan(Struct, frozen=True):
    """A whole file. `good` counts the bytes of its good prefix, `torn` those after it.

    `damaged`: a good frame stands somewhere behind the good prefix, so that no torn write explains what is there.
    """

    frames: tuple[Frame, ...]
    good: int
    torn: int
    damaged: bool


class _Header(Struct, frozen=True):
    writer: int
    first_seq: int
    count: int
    byte_len: int
    previous: bytes


def encode_frame(writer: int, first_seq: int, leaves: Sequence[bytes], previous: bytes) -> bytes:
    """One frame, ready to be appended.

    Shapes: 1 <= len(leaves); each leaf 1 to 65,535 bytes, at most 4 MiB together; `previous` 32 bytes.
    Errors: ValueError, a caller's mistake, when a shape is broken.
    Source: audit.md 4.1.
    """
    if not leaves or len(previous) != 32:
        raise ValueError("a frame holds at least one leaf and names a digest of 32 bytes")
    parts = []
    for leaf in leaves:
        if not 0 < len(leaf) <= MAX_ENTRY_BYTES:
            raise ValueError(f"a leaf of {len(leaf)} bytes does not fit an entry bundle")
        parts.append(len(leaf).to_bytes(2, "big"))
        parts.append(leaf)
    payload = b"".join(parts)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"{len(payload)} bytes of leaves do not fit one frame")
    try:
        header = _HEADER.pack(MAGIC, FORMAT, writer, first_seq, len(leaves), len(payload), previous)
    except struct.error as error:
        raise ValueError(f"writer {writer} or sequence {first_seq} does not fit a frame") from error
    body = header + payload
    body += zlib.crc32(body).to_bytes(4, "big")
    return body + sha256(body).digest()


def scan(data: bytes, previous: bytes = GENESIS) -> Scan:
    """Read a file that is in memory: its good frames, and what stands behind them."""

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    frames = tuple(read_frames(read_at, 0, previous))
    good = frames[-1].end if frames else 0
    return Scan(frames, good, len(data) - good, has_frame_after(read_at, good))


def read_frames(
    read_at: ReadAt, offset: int = 0, previous: bytes = GENESIS, next_seq: int | None = None
) -> Iterator[Frame]:
    """The good frames from `offset` on, one at a time; ends at the end of the file or before the first bad frame.

    `previous` is the digest of the frame that ends at `offset` and `next_seq` the count of leaves up to it; without
    `next_seq` a file read from its start must begin with 0, and the first frame of any other read is taken as it is.
    What ended the reading is for `has_frame_after` to say: a frame that is not whole may just be on its way.
    Errors: whatever `read_at` raises.
    """
    expected = 0 if next_seq is None and previous == GENESIS else next_seq
    writer: int | None = None
    while (found := _frame_at(read_at, offset)) is not None:
        frame, names = found
        if names != previous or expected not in (None, frame.first_seq) or writer not in (None, frame.writer):
            return
        yield frame
        offset, previous, expected, writer = frame.end, frame.digest, frame.next_seq, frame.writer


def has_frame_after(read_at: ReadAt, offset: int) -> bool:
    """Whether a frame with right sums stands at `offset` or anywhere behind it; reads in pieces of 1 MiB.

    True as well where more that looks like frames stands there than a crash leaves: that no torn write explains either.
    """
    tried = 0
    overlap = len(MAGIC) - 1
    while piece := read_at(offset, _SEARCH_BYTES + overlap):
        at = piece.find(MAGIC)
        while at != -1:
            tried += 1
            if tried > _MOST_TRIED or _frame_at(read_at, offset + at) is not None:
                return True
            at = piece.find(MAGIC, at + 1)
        offset += _SEARCH_BYTES
    return False


def newer_format(read_at: ReadAt, offset: int) -> int | None:
    """The format of the frame that begins at `offset`, where its sums are right and it is a later one than ours."""
    head = read_at(offset, _HEADER.size)
    if len(head) != _HEADER.size:
        return None
    magic, version, _, _, _, byte_len, _ = _HEADER.unpack(head)
    if magic != MAGIC or version <= FORMAT or byte_len > MAX_PAYLOAD_BYTES:
        return None
    return version if _summed(read_at, offset, head, byte_len) is not None else None


def _frame_at(read_at: ReadAt, offset: int) -> tuple[Frame, bytes] | None:
    """The frame at `offset` and the digest it names, or None; neither its place in the chain nor its age is judged."""
    head = read_at(offset, _HEADER.size)
    header = _header(head)
    if header is None:
        return None
    found = _summed(read_at, offset, head, header.byte_len)
    if found is None:
        return None
    payload, digest = found
    leaves = _leaves(payload)
    if leaves is None or len(leaves) != header.count:
        return None
    end = offset + _HEADER.size + header.byte_len + _TRAILER_BYTES
    return Frame(header.writer, header.first_seq, leaves, digest, end), header.previous


def _summed(read_at: ReadAt, offset: int, head: bytes, byte_len: int) -> tuple[bytes, bytes] | None:
    """The payload of the frame at `offset` and its digest; None where it is short or a sum is wrong."""
    rest = read_at(offset + _HEADER.size, byte_len + _TRAILER_BYTES)
    if len(rest) != byte_len + _TRAILER_BYTES:
        return None
    payload, crc, digest = rest[:-_TRAILER_BYTES], rest[-_TRAILER_BYTES:-32], rest[-32:]
    body = head + payload
    if zlib.crc32(body).to_bytes(4, "big") != crc or sha256(body + crc).digest() != digest:
        return None
    return payload, digest


def _header(head: bytes) -> _Header | None:
    if len(head) != _HEADER.size:
        return None
    magic, version, writer, first_seq, count, byte_len, previous = _HEADER.unpack(head)
    if magic != MAGIC or version != FORMAT or count == 0 or byte_len > MAX_PAYLOAD_BYTES:
        return None
    return _Header(writer, first_seq, count, byte_len, previous)


def _leaves(payload: bytes) -> tuple[bytes, ...] | None:
    leaves = []
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        leaf = payload[at + 2 : at + 2 + size]
        if size == 0 or len(leaf) != size:
            return None
        leaves.append(leaf)
        at += 2 + size
    return tuple(leaves)
