"""Reading a log that lives: each record once, in the order of its writer, whatever the sequencer does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit import ids
from pdp.audit.archive import SEGMENT_RECORDS, Archived, archive_segment
from pdp.audit.checkpoint import Checkpoint, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.following import Following, Piece
from pdp.audit.leaf import parse
from pdp.audit.merkle import EMPTY_ROOT
from pdp.audit.tree import open_tree
from pdp.audit.writer import Limits
from tests.support.logs import (
    BOOT,
    KEY,
    ORIGIN,
    Faults,
    LiveLog,
    MemoryDisk,
    add_wal,
    build_log,
    newer_frames,
    put,
    records,
    sequencer_of,
    wal_bytes,
    wal_file,
)


class Noted(list[str]):
    """What could not be read."""

    def __call__(self, text: str) -> None:
        self.append(text)


def opened(state: Path, noted: Noted, *, wal: bool = True) -> Following:
    return Following(Archived(Folder(state / "log")), Folder(state / "wal") if wal else None, noted)


def leaves(pieces: Iterable[Piece]) -> list[bytes]:
    return [leaf for piece in pieces for _, leaf in piece.read()]


def grow(state: Path, *ends: int, writer: int = 0) -> None:
    """A write-ahead log of as many records as the last of `ends`, with a frame up to each."""
    groups = [records(end, writer)[start:] for start, end in zip((0, *ends), ends, strict=False)]
    (state / "wal").mkdir(parents=True, exist_ok=True)
    new = state / "wal" / "new"
    new.write_bytes(wal_bytes(groups, writer))
    new.replace(state / "wal" / wal_file(writer))


def take_in(state: Path) -> None:
    """Bring what is there into the tree, and sign it."""
    sequencer = sequencer_of(state)
    while sequencer.integrate():
        pass
    sequencer.publish()


def everything(log: Following) -> list[bytes]:
    return [*leaves(log.tree()), *leaves(log.news())]


@pytest.fixture
def noted() -> Noted:
    return Noted()


def test_a_log_that_was_never_written_is_empty(tmp_path: Path, noted: Noted) -> None:
    (tmp_path / "log").mkdir()
    log = opened(tmp_path, noted)
    assert (log.size, log.origin, everything(log), noted) == (0, "", [], [])


def test_the_tree_both_ways(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(600))
    log = opened(tmp_path, noted)
    assert (log.size, log.origin) == (600, "test.example/log")
    assert leaves(log.tree()) == records(600)
    assert [piece.size for piece in log.tree()] == [256, 256, 88]
    back = [piece.read() for piece in log.tree(newest_first=True)]
    assert [placed[0][0] for placed in back] == [512, 256, 0]
    assert [leaf for placed in reversed(back) for _, leaf in placed] == records(600)


def test_what_a_write_ahead_log_holds_beyond_the_tree(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(450))
    log = opened(tmp_path, noted)
    assert everything(log) == records(450)
    assert leaves(log.news()) == []


def test_without_a_checkpoint_the_write_ahead_logs_are_all_there_is(tmp_path: Path, noted: Noted) -> None:
    (tmp_path / "log").mkdir()
    add_wal(tmp_path, records(30))
    log = opened(tmp_path, noted)
    assert everything(log) == records(30)
    take_in(tmp_path)
    assert leaves(log.news()) == []
    assert log.origin == "test.example/log"


@pytest.mark.parametrize("cursor", [None, b"", b"{}", b"x" * 100], ids=["none", "empty", "of nothing", "no JSON"])
def test_without_a_cursor_the_tree_says_how_far_it_holds_a_write_ahead_log(
    tmp_path: Path, noted: Noted, cursor: bytes | None
) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(450))
    add_wal(tmp_path, records(20, writer=3), writer=3)
    if cursor is None:
        (tmp_path / "log" / ".cursor").unlink()
    else:
        (tmp_path / "log" / ".cursor").write_bytes(cursor)
    assert sorted(everything(opened(tmp_path, noted))) == sorted([*records(450), *records(20, writer=3)])
    assert noted == []


def test_a_folder_in_place_of_the_cursor_is_as_none(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / "log" / ".cursor").unlink()
    (tmp_path / "log" / ".cursor").mkdir()
    assert everything(opened(tmp_path, noted)) == records(300)


def test_what_comes_by_a_write_ahead_log_does_not_come_again_by_the_tree(tmp_path: Path, noted: Noted) -> None:
    ends = [10, 20, 300, 301, 900]
    grow(tmp_path, 10)
    take_in(tmp_path)
    log = opened(tmp_path, noted)
    assert len(everything(log)) == 10
    for number in range(1, len(ends)):
        grow(tmp_path, *ends[: number + 1])
        assert leaves(log.news()) == records(900)[ends[number - 1] : ends[number]]
        take_in(tmp_path)
        assert leaves(log.news()) == []
    assert noted == []


def test_what_was_written_taken_in_and_removed_between_two_looks_comes_by_the_tree(
    tmp_path: Path, noted: Noted
) -> None:
    live = LiveLog(tmp_path)
    sequencer = live.sequencer()
    log = opened(tmp_path, noted)
    assert everything(log) == []
    with live.writing() as writer:
        put(writer, 5)
    live.pass_quietly(sequencer)
    assert live.names() == []
    came = [parse(leaf) for leaf in leaves(log.news())]
    assert [leaf.kind for leaf in came].count("decision") == 5
    assert [ids.parse(leaf.id).seq for leaf in came] == list(range(len(came)))


def test_a_copy_is_its_tree(tmp_path: Path, noted: Noted) -> None:
    grow(tmp_path, 10)
    take_in(tmp_path)
    grow(tmp_path, 10, 20)
    log = opened(tmp_path, noted, wal=False)
    assert everything(log) == records(10)
    take_in(tmp_path)
    assert leaves(log.news()) == records(20)[10:]


def test_archived_records_are_read_too(noted: Noted) -> None:
    disk = MemoryDisk(Faults())
    tree = open_tree(disk, Checkpoint(ORIGIN, 0, EMPTY_ROOT))
    tree.append(b"%d" % number for number in range(SEGMENT_RECORDS))
    tree.append([b"beyond"])
    tree.write_edge()
    disk.replace({"checkpoint": sign_checkpoint(ORIGIN, tree.size, tree.root(), KEY)})
    archive_segment(disk, Checkpoint(ORIGIN, tree.size, tree.root()), 0)
    assert disk.read("tile/entries/000") is None
    log = Following(Archived(disk), None, noted)
    first, *_, last = log.tree()
    assert [leaves([first])[7], leaves([last])] == [b"7", [b"beyond"]]
    assert noted == []
    disk.remove("archive/000.zip")
    assert everything(Following(Archived(disk), None, noted)) == [b"beyond"]
    why = "they were archived in archive/000.zip, which is missing: bring it back"
    assert set(noted) == {f"the records 0 to {SEGMENT_RECORDS - 1} are not shown: {why}"}


def test_a_long_write_ahead_log_is_read_again_and_not_held(tmp_path: Path, noted: Noted) -> None:
    grow(tmp_path, 5)
    take_in(tmp_path)
    grow(tmp_path, 5, *range(100, 2_001, 100))
    log = Following(Folder(tmp_path / "log"), Folder(tmp_path / "wal"), noted, held_bytes=10_000)
    pieces = list(log.news())
    assert leaves(pieces) == records(2_000)[5:]
    assert leaves(reversed(pieces))[-1] == records(2_000)[pieces[0].size + 4]
    (tmp_path / "wal" / wal_file()).unlink()
    assert len(leaves(pieces)) < 1_995
    assert "removed while it was read" in noted[0]


# ---------------------------------------------------------------- what is damaged


def test_a_missing_bundle_is_named_and_the_rest_is_there(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(600))
    (tmp_path / "log/tile/entries/001").unlink()
    assert len(leaves(opened(tmp_path, noted, wal=False).tree())) == 600 - 256
    assert len(noted) == 1
    assert noted[0].startswith("the records 256 to 511 are not shown: tile/entries/001")


def test_a_torn_end_is_nothing_to_speak_of(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(3))
    with (tmp_path / "wal" / wal_file()).open("ab") as file:
        file.write(b"PWAL\x00\x01 and then the power failed")
    assert everything(opened(tmp_path, noted)) == records(3)
    assert noted == []


def test_damage_in_a_write_ahead_log_is_named_once(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(3))
    groups = [records(300)[:100], records(300)[100:200], records(300)[200:]]
    data = bytearray(wal_bytes(groups))
    data[len(wal_bytes(groups[:1])) + 200] ^= 1
    (tmp_path / "wal" / wal_file()).write_bytes(data)
    (tmp_path / "log" / ".cursor").unlink()
    log = opened(tmp_path, noted)
    assert everything(log) == records(300)[:100]
    assert leaves(log.news()) == []
    assert len(noted) == 1
    assert noted[0].startswith(f"wal/{wal_file()} is not read on: it is damaged after ")


def test_frames_of_another_writer_are_not_read(tmp_path: Path, noted: Noted) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / wal_file(writer=2)).write_bytes(wal_bytes([records(3)], writer=0))
    assert everything(opened(tmp_path, noted)) == []
    assert "frames of writer 0" in noted[0]


def test_frames_of_a_newer_version_are_named_and_not_read(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path, records(5))
    path = tmp_path / "wal" / wal_file()
    path.write_bytes(path.read_bytes() + newer_frames(1, first=5))
    log = opened(tmp_path, noted)
    assert everything(log) == records(5)
    assert leaves(log.news()) == []
    assert len(noted) == 1
    assert "it goes on in format 2, which this version cannot read" in noted[0]


def test_a_pipe_in_place_of_a_write_ahead_log_is_not_waited_for(tmp_path: Path, noted: Noted) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / wal_file()).symlink_to("/dev/zero")
    assert everything(opened(tmp_path, noted)) == []
    assert "it is a link, not a file" in noted[0]


def test_a_log_that_went_back_is_named(tmp_path: Path, noted: Noted) -> None:
    build_log(tmp_path / "a", records(300))
    log = opened(tmp_path / "a", noted, wal=False)
    smaller = build_log(tmp_path / "b", records(20)) / "checkpoint"
    (tmp_path / "a/log/checkpoint").write_bytes(smaller.read_bytes())
    assert leaves(log.news()) == []
    assert noted == ["the log went back from 300 records to 20: run `pdp audit verify`"]


# ---------------------------------------------------------------- laws


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(["write 0", "write 1", "take", "sign", "look", "restart"]), max_size=30))
def test_each_record_comes_once_and_in_the_order_of_its_writer(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """tree + all news == what was written, for every order of writing, taking in, signing and looking."""
    state = tmp_path_factory.mktemp("state")
    noted = Noted()
    sequencer = sequencer_of(state)
    written: dict[int, list[int]] = {0: [], 1: []}
    log = opened(state, noted)
    came = everything(log)
    for step in [*steps, "look"]:
        match step.split():
            case ["write", number]:
                ends = written[int(number)]
                ends.append(7 * (len(ends) + 1))
                grow(state, *ends, writer=int(number))
            case ["take"]:
                sequencer.integrate()
            case ["sign"]:
                sequencer.publish()
            case ["restart"]:
                sequencer = sequencer_of(state)
            case _:
                came += leaves(log.news())
    assert noted == []
    for writer, ends in written.items():
        expected = records(7 * len(ends), writer)
        assert [leaf for leaf in came if ids.parse(parse(leaf).id).writer == writer] == expected
    fresh = everything(opened(state, noted))
    assert sorted(fresh) == sorted(came)


def test_a_log_that_lives_is_read_whole_at_every_moment(tmp_path: Path, noted: Noted) -> None:
    live = LiveLog(tmp_path)
    sequencer = live.sequencer()
    sequencer.publish()
    over = threading.Event()

    def writes() -> None:
        try:
            for _ in range(6):
                with live.writing(limits=Limits(file_bytes=20_000)) as writer:
                    put(writer, 80, 600)
        finally:
            over.set()

    def sequences() -> None:
        while not over.is_set():
            live.pass_quietly(sequencer)
        live.pass_quietly(sequencer)

    log = opened(tmp_path, noted)
    came = everything(log)
    with ThreadPoolExecutor(2) as pool:
        works = [pool.submit(writes), pool.submit(sequences)]
        while not all(work.done() for work in works):
            came += leaves(log.news())
            fresh = everything(opened(tmp_path, noted))
            assert len(set(fresh)) == len(fresh)
            assert set(came) <= set(fresh)
    came += leaves(log.news())
    assert [work.exception() for work in works] == [None, None]
    assert noted == []
    assert came == leaves(opened(tmp_path, noted).tree())
    assert [parse(leaf).kind for leaf in came].count("decision") == 480


def test_records_of_other_boots_keep_their_order(tmp_path: Path, noted: Noted) -> None:
    add_wal(tmp_path, records(5, boot=BOOT), boot=BOOT)
    add_wal(tmp_path, records(5, boot=BOOT + 1), boot=BOOT + 1)
    (tmp_path / "log").mkdir()
    assert everything(opened(tmp_path, noted)) == [*records(5, boot=BOOT), *records(5, boot=BOOT + 1)]
