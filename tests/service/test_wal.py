"""pdp.audit.wal: one writer a number, and what a crash left."""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.frame import GENESIS, encode_frame, scan
from pdp.audit.ids import MAX_BOOT
from pdp.audit.reader import MOST_WAL_BYTES
from pdp.audit.wal import Recovered, WalFile, hold_writer, next_boot, recover, wal_name
from pdp.errors import StateError

WRITER = 3
NAME = wal_name(WRITER, 0xABCD)
FIRST = encode_frame(WRITER, 0, [b"a", b"b"], GENESIS)
SECOND = encode_frame(WRITER, 2, [b"c"], FIRST[-32:])


def test_the_name_says_writer_and_boot() -> None:
    assert wal_name(10, 255) == "0a-000000ff.wal"


def test_a_torn_tail_is_cut_and_reported(tmp_path: Path) -> None:
    for keep in range(len(SECOND)):
        (tmp_path / NAME).write_bytes(FIRST + SECOND[:keep])
        expected = (Recovered(NAME, 1, keep, damaged=False),) if keep else ()
        assert recover(tmp_path, WRITER) == expected
        assert (tmp_path / NAME).read_bytes() == FIRST
        assert recover(tmp_path, WRITER) == ()


def later(frame: bytes) -> bytes:
    """The same frame in a later format, its sums right."""
    body = frame[:4] + (2).to_bytes(2, "big") + frame[6:-36]
    body += zlib.crc32(body).to_bytes(4, "big")
    return body + sha256(body).digest()


@pytest.mark.parametrize("before", [b"", FIRST], ids=["from_the_start", "behind_frames_of_ours"])
def test_a_file_of_a_later_format_is_refused_and_left_as_it_is(tmp_path: Path, before: bytes) -> None:
    (tmp_path / NAME).write_bytes(before + later(SECOND))
    with pytest.raises(StateError, match=r"S122: .* in format 2"):
        recover(tmp_path, WRITER)
    assert (tmp_path / NAME).read_bytes() == before + later(SECOND)


def test_a_format_that_only_a_flipped_bit_made_is_a_torn_end(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(FIRST + SECOND[:5] + b"\x03" + SECOND[6:])
    assert recover(tmp_path, WRITER) == (Recovered(NAME, 1, len(SECOND), damaged=False),)


def test_a_file_without_a_whole_frame_is_cut_to_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(FIRST[:-1])
    assert recover(tmp_path, WRITER) == (Recovered(NAME, None, len(FIRST) - 1, damaged=False),)
    assert (tmp_path / NAME).read_bytes() == b""


DAMAGED: dict[str, tuple[bytes, int | None, int]] = {
    "a flipped byte before a good frame": (FIRST[:70] + b"\xff" + FIRST[71:] + SECOND, None, len(FIRST) + len(SECOND)),
    "a frame of another writer": (FIRST + encode_frame(4, 2, [b"c"], FIRST[-32:]), 1, len(SECOND)),
    "only frames of another writer": (encode_frame(4, 0, [b"a", b"b"], GENESIS), None, len(FIRST)),
    "a missing frame": (SECOND, None, len(SECOND)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_reported_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    data, kept_seq, discarded = DAMAGED[name]
    (tmp_path / NAME).write_bytes(data)
    assert recover(tmp_path, WRITER) == (Recovered(NAME, kept_seq, discarded, damaged=True),)
    assert (tmp_path / NAME).read_bytes() == data


def test_what_ends_well_or_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    torn = FIRST[:-1]
    (tmp_path / NAME).write_bytes(FIRST + SECOND)
    (tmp_path / wal_name(WRITER, 1)).write_bytes(b"")
    for name in (wal_name(WRITER + 1, 1), "03-0000000g.wal", "03-00000001.wal.tmp", "03.lock"):
        (tmp_path / name).write_bytes(torn)
    assert recover(tmp_path, WRITER) == ()
    assert (tmp_path / wal_name(WRITER + 1, 1)).read_bytes() == torn


def test_an_empty_folder_needs_no_recovery(tmp_path: Path) -> None:
    assert recover(tmp_path, WRITER) == ()


def test_a_file_that_cannot_be_recovered_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="S122"):
        recover(tmp_path / "missing", WRITER)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="S122"):
        recover(tmp_path, WRITER)
    (tmp_path / NAME).unlink()
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(StateError, match="S122"):
        recover(tmp_path, WRITER)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).touch()
    os.truncate(tmp_path / NAME, MOST_WAL_BYTES + 1)
    with pytest.raises(StateError, match="S122"):
        recover(tmp_path, WRITER)


def test_a_writer_number_is_held_by_one(tmp_path: Path) -> None:
    held = hold_writer(tmp_path, WRITER)
    try:
        with pytest.raises(StateError, match="S121"):
            hold_writer(tmp_path, WRITER)
        os.close(hold_writer(tmp_path, WRITER + 1))
    finally:
        os.close(held)
    os.close(hold_writer(tmp_path, WRITER))


def test_a_lock_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    held = os.open(tmp_path / "03.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    release = threading.Timer(0.05, os.close, [held])
    release.start()
    os.close(hold_writer(tmp_path, WRITER))
    release.join()


def test_a_lock_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "03.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="S121"):
        hold_writer(tmp_path, WRITER)
    with pytest.raises(StateError, match="S121"):
        hold_writer(tmp_path / "missing", WRITER)


NOW_US = 1_790_000_000_000_000
NOW_S = NOW_US // 1_000_000


def _boot(folder: Path, now_us: int = NOW_US, writer: int = WRITER) -> int:
    """The next boot number, as a process that just started takes it."""
    lock = hold_writer(folder, writer)
    try:
        return next_boot(lock, folder, writer, now_us)
    finally:
        os.close(lock)


def test_boots_grow_with_the_clock_and_without_it(tmp_path: Path) -> None:
    clocks = [NOW_US, NOW_US, NOW_US + 999_999, NOW_US + 5_000_000, 0, -1, NOW_US + 10_000_000]
    assert [_boot(tmp_path, now_us) - NOW_S for now_us in clocks] == [0, 1, 2, 5, 6, 7, 10]


def test_a_clock_that_is_far_ahead_does_not_use_the_boots_up(tmp_path: Path) -> None:
    clocks = [MAX_BOOT * 1_000_000, NOW_US, (MAX_BOOT - 5) * 1_000_000, 10**18, NOW_US + 9_000_000]
    assert [_boot(tmp_path, now_us) for now_us in clocks] == [1, NOW_S, NOW_S + 1, NOW_S + 2, NOW_S + 9]


@given(st.lists(st.integers(-(2**63), 2**63), min_size=2, max_size=8))
def test_whatever_the_clock_says_no_boot_comes_twice(clocks: list[int]) -> None:
    """For all clocks t1, t2, …: boot(t1) < boot(t2) < …, and all fit their 32 bits."""
    with TemporaryDirectory() as folder:
        boots = [_boot(Path(folder), now_us) for now_us in clocks]
    assert boots == sorted(set(boots))
    assert boots[0] > 0
    assert boots[-1] <= MAX_BOOT


def test_a_boot_is_above_every_file_of_the_writer_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / wal_name(WRITER, NOW_S + 100)).touch()
    (tmp_path / wal_name(WRITER + 1, NOW_S + 500)).touch()
    (tmp_path / f"{wal_name(WRITER, NOW_S + 900)}.aside").touch()
    assert _boot(tmp_path) == NOW_S + 101
    (tmp_path / wal_name(WRITER, NOW_S + 100)).unlink()
    assert _boot(tmp_path) == NOW_S + 102, "the lock file remembers"
    assert _boot(tmp_path, writer=WRITER + 1) == NOW_S + 501, "each writer counts for itself"


def test_zeros_that_a_power_cut_left_are_no_boot(tmp_path: Path) -> None:
    (tmp_path / "03.lock").write_bytes(bytes(9))
    assert _boot(tmp_path) == NOW_S
    assert (tmp_path / "03.lock").read_text() == f"{NOW_S:08x}\n"


@pytest.mark.parametrize(
    "text", [b"1", b"6ab0f0c1", b"6AB0F0C1\n", b"6ab0f0c1\n\n", b"\x006ab0f0c\n", b"6ab0f0c1\n\x00", b"x" * 99]
)
def test_a_lock_file_that_holds_no_boot_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "03.lock").write_bytes(text)
    with pytest.raises(StateError, match=r"S121: .*03\.lock does not hold a boot number"):
        _boot(tmp_path)
    assert (tmp_path / "03.lock").read_bytes() == text


def test_where_no_boot_is_left_none_is_given_out(tmp_path: Path) -> None:
    (tmp_path / wal_name(WRITER, MAX_BOOT - 1)).touch()
    assert _boot(tmp_path) == MAX_BOOT
    with pytest.raises(StateError, match="S121: writer 3 has no boot number left"):
        _boot(tmp_path)


class _Sparse:
    """Takes so many bytes a write."""

    def __init__(self, most: int) -> None:
        self.data = b""
        self._most = most

    def write(self, data: bytes) -> int:
        self.data += data[: self._most]
        return min(self._most, len(data))

    def sync(self) -> None:
        """Memory is as durable as it gets here."""

    def close(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_short_writes_are_completed(most: int) -> None:
    file = _Sparse(most)
    wal = WalFile(file, WRITER)
    wal.append([b"a", b"b"])
    wal.append([b"c"])
    assert file.data == FIRST + SECOND
    assert wal.size == len(file.data)
    assert [frame.leaves for frame in scan(file.data).frames] == [(b"a", b"b"), (b"c",)]


def test_a_write_of_nothing_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(OSError, match="nothing was written"):
        WalFile(_Sparse(0), WRITER).append([b"a"])
