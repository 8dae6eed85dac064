"""Finding records in a log that lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.checkpoint import CheckpointError
from pdp.audit.disk import Folder
from pdp.audit.reader import WalName, entries, fetch, find, start_leaf, tree_size, wal_name, wal_names
from pdp.audit.tiles import ENTRIES, TileError, TileRef
from tests.support.logs import BOOT, IDS, add_wal, build_log, record, records, wal_bytes, wal_file


def place(state: Path, seq: int, writer: int = 0, boot: int = BOOT) -> object:
    found = find(state / "log", state / "wal", IDS.make(boot, writer, seq))
    return None if found is None else found.where


def test_a_record_is_found_where_it_stands(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(500))
    assert [place(tmp_path, seq) for seq in (0, 255, 256, 299)] == [0, 255, 256, 299]
    found = find(tmp_path / "log", tmp_path / "wal", IDS.make(BOOT, 0, 450))
    assert found is not None
    assert (found.leaf, found.where) == (record(450), "wal")
    assert found.frame is not None
    assert (found.frame.first_seq, found.frame.writer) == (400, 0)


def test_a_record_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    assert place(tmp_path, 300) is None
    assert place(tmp_path, 1, boot=1) is None
    assert place(tmp_path, 1, writer=1) is None
    assert find(tmp_path / "log", None, IDS.make(BOOT, 0, 300)) is None


def test_an_id_with_another_mac_is_not_found(tmp_path: Path) -> None:
    build_log(tmp_path, records(30))
    add_wal(tmp_path, records(50))
    for seq in (3, 40):
        assert find(tmp_path / "log", tmp_path / "wal", IDS.make(BOOT, 0, seq)[:20] + "0" * 12) is None


def test_a_record_that_mentions_an_id_is_not_the_record(tmp_path: Path) -> None:
    mentioned = IDS.make(BOOT, 1, 4)
    build_log(tmp_path, [record(0), record(1, kind="answer.changed", of=mentioned)])
    assert find(tmp_path / "log", tmp_path / "wal", mentioned) is None


def test_the_start_of_a_boot(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(3, writer=2, boot=9), writer=2, boot=9)
    old = start_leaf(tmp_path / "log", tmp_path / "wal", BOOT, 0)
    new = start_leaf(tmp_path / "log", tmp_path / "wal", 9, 2)
    assert old is not None
    assert new is not None
    assert (old.leaf, old.where) == (record(0), 0)
    assert (new.leaf, new.where) == (record(0, 2, 9), "wal")
    assert start_leaf(tmp_path / "log", tmp_path / "wal", 9, 3) is None


def test_a_log_without_a_checkpoint_has_no_records_in_its_tree(tmp_path: Path) -> None:
    add_wal(tmp_path, records(3))
    assert list(entries(tmp_path / "log")) == []
    assert place(tmp_path, 2) == "wal"


def test_all_records_with_their_index(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    assert list(entries(tmp_path / "log")) == list(enumerate(records(300)))


# ------------------------------------------------------------------ never "not there" when it may be


def test_a_missing_bundle_is_no_proof_of_absence(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / "log/tile/entries/000").unlink()
    assert place(tmp_path, 260) == 260
    with pytest.raises(TileError, match="A623: tile/entries/000 with the records 0 to 255 is missing"):
        place(tmp_path, 3)


def test_a_broken_bundle_is_no_proof_of_absence(tmp_path: Path) -> None:
    path = build_log(tmp_path, records(30)) / "tile/entries/000.p/30"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TileError, match=r"A621: tile/entries/000\.p/30"):
        place(tmp_path, 3)


def test_a_record_that_holds_the_id_and_cannot_be_read_is_no_proof_of_absence(tmp_path: Path) -> None:
    path = build_log(tmp_path, records(30)) / "tile/entries/000.p/30"
    path.write_bytes(path.read_bytes().replace(b"decision", b"decision ", 1).replace(b"decision ", b"dec sion", 1))
    with pytest.raises(TileError, match="A624: record 1 "):
        place(tmp_path, 1)


def test_a_damaged_write_ahead_log_is_no_proof_of_absence(tmp_path: Path) -> None:
    build_log(tmp_path, [])
    add_wal(tmp_path, records(300))
    path = tmp_path / "wal" / wal_file()
    data = bytearray(path.read_bytes())
    data[len(wal_bytes([records(100)])) + 70] ^= 1
    path.write_bytes(data)
    assert place(tmp_path, 99) == "wal"
    with pytest.raises(TileError, match="A624"):
        place(tmp_path, 100)


def test_an_unreadable_checkpoint_is_said_to_be_one(tmp_path: Path) -> None:
    (build_log(tmp_path, records(3)) / "checkpoint").write_bytes(b"3\n")
    with pytest.raises(CheckpointError, match="A602"):
        place(tmp_path, 1)


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32])
def test_what_is_no_id_is_the_callers_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="not a decision id"):
        find(tmp_path, None, text)


# ------------------------------------------------------------------ names and wider forms


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    for name in (
        "00-0badcafe.wal",
        "01-00000001.wal",
        "00.lock",
        "00-0BADCAFE.wal",
        "0-1.wal",
        "x.wal",
        "01-1.wal.new",
    ):
        (tmp_path / name).write_bytes(b"")
    assert wal_names(Folder(tmp_path)) == [WalName(0, BOOT), WalName(1, 1)]
    assert wal_name(str(WalName(255, 2**32 - 1))) == WalName(255, 2**32 - 1)
    assert wal_names(Folder(tmp_path / "nowhere")) == []


def test_a_narrow_form_is_read_from_a_wider_one(tmp_path: Path) -> None:
    files = Folder(build_log(tmp_path, records(40)))
    wide = fetch(files, TileRef(ENTRIES, 0, 30))
    assert wide is not None
    assert (wide.path, wide.exact) == ("tile/entries/000.p/40", False)
    assert fetch(files, TileRef(ENTRIES, 0, 41)) is None
    assert fetch(files, TileRef(ENTRIES, 0, 256)) is None
    assert tree_size(files) == 40


def test_a_narrow_form_is_read_from_the_full_one(tmp_path: Path) -> None:
    full = fetch(Folder(build_log(tmp_path, records(300))), TileRef(ENTRIES, 0, 30))
    assert full is not None
    assert (full.path, full.exact) == ("tile/entries/000", False)


def test_the_entries_before_a_missing_bundle_are_given_first(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / "log/tile/entries/001.p/44").unlink()
    given = entries(tmp_path / "log")
    assert [next(given)[0] for _ in range(256)] == list(range(256))
    with pytest.raises(TileError, match=r"A623: tile/entries/001\.p/44 with the records 256 to 299 is missing"):
        next(given)
