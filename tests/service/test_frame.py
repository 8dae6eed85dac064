"""pdp.audit.frame: the layout, and where reading stops."""

from __future__ import annotations

import struct
import zlib
from hashlib import sha256

import pytest

from pdp.audit.frame import (
    GENESIS,
    MAX_ENTRY_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    Scan,
    encode_frame,
    has_frame_after,
    read_frames,
    scan,
)
from tests.support.logs import wal_bytes


def _file(*groups: list[bytes], writer: int = 3) -> bytes:
    return wal_bytes(groups, writer)


ONE = _file([b"a", b"bb"])
THREE = _file([b"a", b"bb"], [b"ccc"], [b"dddd", b"e"])


def test_the_layout_is_that_of_the_design() -> None:
    payload = b"\x00\x01a\x00\x02bb"
    body = struct.pack(">4sHHQII32s", b"PWAL", 1, 3, 0, 2, len(payload), bytes(32)) + payload
    body += struct.pack(">I", zlib.crc32(body))
    assert body + sha256(body).digest() == ONE


def test_a_file_gives_its_frames_back() -> None:
    found = scan(THREE)
    assert [(frame.writer, frame.first_seq, frame.leaves) for frame in found.frames] == [
        (3, 0, (b"a", b"bb")),
        (3, 2, (b"ccc",)),
        (3, 3, (b"dddd", b"e")),
    ]
    assert [frame.next_seq for frame in found.frames] == [2, 3, 5]
    assert found.frames[-1].end == found.good == len(THREE)
    assert found.frames[-1].digest == THREE[-32:]
    assert (found.torn, found.damaged) == (0, False)


def test_an_empty_file_is_sound_and_empty() -> None:
    assert scan(b"") == Scan((), 0, 0, damaged=False)


def _cut(data: bytes, at: int, replacement: bytes) -> bytes:
    return data[:at] + replacement + data[at + len(replacement) :]


SECOND = len(ONE)
THIRD = scan(THREE).frames[1].end
FOREIGN = encode_frame(4, 2, [b"ccc"], ONE[-32:])
SKIPPING = encode_frame(3, 3, [b"ccc"], ONE[-32:])
UNCHAINED = encode_frame(3, 2, [b"ccc"], GENESIS)

STOPS: dict[str, tuple[bytes, int, bool]] = {
    "a torn last frame": (THREE[:-1], THIRD, False),
    "a tail of zeros": (ONE + bytes(4096), SECOND, False),
    "a tail of noise": (ONE + b"PWAL" * 30, SECOND, False),
    "a flipped byte in the last frame": (_cut(THREE, len(THREE) - 40, b"\xff"), THIRD, False),
    "a flipped byte in the middle frame": (_cut(THREE, SECOND + 60, b"\xff"), SECOND, True),
    "a flipped byte in the first frame": (_cut(THREE, 0, b"\xff"), 0, True),
    "a middle frame that is missing": (THREE[:SECOND] + THREE[THIRD:], SECOND, True),
    "a first frame that is missing": (THREE[SECOND:], 0, True),
    "a frame that stands twice": (ONE + ONE, SECOND, True),
    "a frame of another writer": (ONE + FOREIGN, SECOND, True),
    "a frame that skips a number": (ONE + SKIPPING, SECOND, True),
    "a frame that names another one before it": (ONE + UNCHAINED, SECOND, True),
}


@pytest.mark.parametrize("name", STOPS)
def test_reading_stops_at(name: str) -> None:
    data, good, damaged = STOPS[name]
    found = scan(data)
    assert (found.good, found.torn, found.damaged) == (good, len(data) - good, damaged)


def test_a_file_does_not_start_in_the_middle_of_a_count() -> None:
    found = scan(encode_frame(3, 7, [b"a"], GENESIS))
    assert (found.frames, found.damaged) == ((), True)


def test_a_count_that_does_not_fit_its_payload_is_bad_even_with_right_sums() -> None:
    body = struct.pack(">4sHHQII32s", b"PWAL", 1, 3, 0, 9, 3, bytes(32)) + b"\x00\x01a"
    body += struct.pack(">I", zlib.crc32(body))
    assert scan(body + sha256(body).digest()).frames == ()


def test_reading_goes_on_where_it_stopped() -> None:
    def read_at(offset: int, size: int) -> bytes:
        return THREE[offset : offset + size]

    first, *rest = read_frames(read_at)
    assert list(read_frames(read_at, first.end, first.digest, first.next_seq)) == rest
    assert list(read_frames(read_at, first.end, first.digest)) == rest
    assert list(read_frames(read_at, first.end, GENESIS)) == []
    assert list(read_frames(read_at, first.end, first.digest, first.next_seq + 1)) == []
    assert list(read_frames(read_at, len(THREE), THREE[-32:], 5)) == []


def test_a_growing_file_is_read_as_it_grows() -> None:
    seen: list[Frame] = []
    for size in range(len(THREE) + 1):

        def read_at(offset: int, length: int, end: int = size) -> bytes:
            return THREE[offset : min(end, offset + length)]

        at, previous, seq = (seen[-1].end, seen[-1].digest, seen[-1].next_seq) if seen else (0, GENESIS, 0)
        seen.extend(read_frames(read_at, at, previous, seq))
    assert tuple(seen) == scan(THREE).frames


def test_a_frame_behind_more_than_a_piece_of_noise_is_found() -> None:
    for gap in (1024 * 1024 - 2, 1024 * 1024, 3 * 1024 * 1024 + 1):
        data = bytes(gap) + ONE

        def read_at(offset: int, size: int, data: bytes = data) -> bytes:
            return data[offset : offset + size]

        assert has_frame_after(read_at, 0)
        assert not has_frame_after(read_at, gap + 1)


UNENCODABLE: dict[str, tuple[int, int, list[bytes], bytes]] = {
    "no leaf": (0, 0, [], GENESIS),
    "an empty leaf": (0, 0, [b""], GENESIS),
    "a leaf that needs more than two bytes of length": (0, 0, [bytes(MAX_ENTRY_BYTES + 1)], GENESIS),
    "more leaves than a frame holds": (
        0,
        0,
        [bytes(MAX_ENTRY_BYTES)] * (MAX_PAYLOAD_BYTES // MAX_ENTRY_BYTES),
        GENESIS,
    ),
    "a short digest": (0, 0, [b"a"], b""),
    "a writer of 17 bits": (2**16, 0, [b"a"], GENESIS),
    "a negative sequence": (0, -1, [b"a"], GENESIS),
    "a sequence of 65 bits": (0, 2**64, [b"a"], GENESIS),
}


@pytest.mark.parametrize("name", UNENCODABLE)
def test_no_frame_is_made_of(name: str) -> None:
    writer, seq, leaves, previous = UNENCODABLE[name]
    with pytest.raises(ValueError, match=r"leaf|leaves|frame"):
        encode_frame(writer, seq, leaves, previous)
