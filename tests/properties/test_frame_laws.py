"""Laws of the write-ahead log's frames.

With file(G) the frames of the groups G, one after the other, and | concatenation:
    round trip      leaves(scan(file(G))) = G
    prefix          for every n, leaves(scan(file(G)[:n])) is a prefix of G, and no shorter than the whole frames in n
    flip            for every bit i, scan(flip(file(G), i)) gives a proper prefix of G, unchanged
    continuation    scan(file(G)) | scan(rest, digest) = scan(file(G) | rest)
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.frame import GENESIS, Scan, encode_frame, scan

Groups = list[list[bytes]]

groups = st.lists(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3), max_size=4)


def _write(parts: Groups, seq: int = 0, previous: bytes = GENESIS) -> bytes:
    data = b""
    for part in parts:
        frame = encode_frame(7, seq, part, previous)
        data, seq, previous = data + frame, seq + len(part), frame[-32:]
    return data


def _leaves(found: Scan) -> Groups:
    return [list(frame.leaves) for frame in found.frames]


@settings(deadline=None)
@given(groups)
def test_round_trip(parts: Groups) -> None:
    data = _write(parts)
    assert _leaves(scan(data)) == parts
    assert scan(data).good == len(data)


@settings(max_examples=25, deadline=None)
@given(groups)
def test_a_file_cut_at_any_byte_recovers_to_a_prefix(parts: Groups) -> None:
    data = _write(parts)
    ends = [frame.end for frame in scan(data).frames]
    for size in range(len(data) + 1):
        found = scan(data[:size])
        whole = sum(end <= size for end in ends)
        assert _leaves(found) == parts[:whole]
        assert found.good + found.torn == size
        assert not found.damaged


@settings(deadline=None)
@given(groups.filter(bool), st.data())
def test_any_flipped_bit_is_noticed(parts: Groups, data: st.DataObject) -> None:
    raw = bytearray(_write(parts))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    ends = [frame.end for frame in scan(bytes(raw)).frames]
    raw[bit // 8] ^= 1 << bit % 8
    hit = sum(end <= bit // 8 for end in ends)
    found = scan(bytes(raw))
    assert _leaves(found) == parts[:hit]
    assert found.torn > 0
    assert found.damaged == (hit < len(parts) - 1)


def test_every_bit_of_a_small_file_matters() -> None:
    data = _write([[b"ab"], [b"c", b"d"]])
    ends = [frame.end for frame in scan(data).frames]
    for bit in range(len(data) * 8):
        raw = bytearray(data)
        raw[bit // 8] ^= 1 << bit % 8
        assert len(scan(bytes(raw)).frames) == sum(end <= bit // 8 for end in ends)


@settings(deadline=None)
@given(groups.filter(bool), groups)
def test_a_scan_goes_on_from_a_digest(first: Groups, rest: Groups) -> None:
    head = _write(first)
    frames = scan(head).frames
    tail = _write(rest, frames[-1].next_seq, frames[-1].digest)
    assert _leaves(scan(head + tail)) == first + _leaves(scan(tail, frames[-1].digest))


@settings(deadline=None)
@given(groups, st.binary(max_size=200))
def test_noise_behind_a_file_changes_nothing_before_it(parts: Groups, noise: bytes) -> None:
    found = scan(_write(parts) + noise)
    assert _leaves(found)[: len(parts)] == parts


@pytest.mark.parametrize("size", [0, 1, 55, 56, 91])
def test_less_than_a_frame_of_zeros_is_torn_not_damaged(size: int) -> None:
    assert scan(bytes(size)) == Scan((), 0, size, damaged=False)
