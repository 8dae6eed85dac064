"""Verifying: a sound log is sound, and where one is not, the report says which file, which record, and what."""

from __future__ import annotations

import fcntl
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.checkpoint import CheckpointError, format_vkey, parse_vkey, sign_checkpoint
from pdp.audit.merkle import Edge, leaf_hash
from pdp.audit.reader import MOST_WAL_BYTES
from pdp.audit.report import MOST_FINDINGS, Findings, Report
from pdp.audit.sequencer import QUIET_S
from pdp.audit.tiles import encode_bundle, encode_tile, parse_bundle
from pdp.audit.verify import verify_files, verify_log
from pdp.audit.verify_trust import Wanted
from tests.support.logs import (
    BOOT,
    IDS,
    KEY,
    ORIGIN,
    OTHER_KEY,
    T0_US,
    VKEY,
    add_wal,
    build_log,
    ignore,
    record,
    records,
    sequencer_of,
    verified,
    wal_bytes,
    wal_file,
)
from tests.support.signed_logs import disk_of, signed_files


def texts(report: Report) -> list[str]:
    return [f"{finding.code} {finding.place}: {finding.text}" for finding in report.findings]


def write_tree(state: Path, leaves: list[bytes], size: int | None = None) -> Path:
    """A log made by hand, of any leaves at all, under a good signature; fewer than 256 leaves."""
    log = state / "log"
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf_hash(leaf))
    (log / "tile/0/000.p").mkdir(parents=True)
    (log / "tile/entries/000.p").mkdir(parents=True)
    (log / f"tile/0/000.p/{len(leaves)}").write_bytes(encode_tile([leaf_hash(leaf) for leaf in leaves]))
    (log / f"tile/entries/000.p/{len(leaves)}").write_bytes(encode_bundle(leaves))
    (log / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, size or len(leaves), edge.root(), KEY))
    return log


def change_entry(path: Path, index: int, old: bytes, new: bytes, width: int) -> None:
    entries = list(parse_bundle(path.read_bytes(), width))
    assert old in entries[index]
    entries[index] = entries[index].replace(old, new)
    path.write_bytes(encode_bundle(entries))


def change(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# ------------------------------------------------------------------ sound


def test_a_sound_log(tmp_path: Path) -> None:
    build_log(tmp_path, records(700))
    seen: list[tuple[int, int]] = []
    report = verify_log(tmp_path / "log", tmp_path / "wal", VKEY, lambda done, total: seen.append((done, total)))
    assert (report.exit_code, report.findings, report.notes) == (0, (), ())
    assert (report.origin, report.size, report.records, report.writers) == (ORIGIN, 700, 700, 1)
    assert report.newest_us == T0_US + 699
    assert seen == [(256, 700), (512, 700), (700, 700)]


def test_records_beyond_the_checkpoint_are_counted(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(450))
    add_wal(tmp_path, records(5, writer=1), writer=1)
    report = verified(tmp_path)
    assert (report.exit_code, report.records, report.pending, report.writers) == (0, 300, 155, 2)
    assert report.newest_us == T0_US + 299


def test_a_wider_form_serves_where_the_log_grew_meanwhile(tmp_path: Path) -> None:
    """What a verifier meets that read the checkpoint just before the sequencer wrote the next."""
    build_log(tmp_path, records(100))
    old = (tmp_path / "log" / "checkpoint").read_bytes()
    build_log(tmp_path, records(300))
    (tmp_path / "log" / "checkpoint").write_bytes(old)
    report = verified(tmp_path, wal=False)
    assert (report.exit_code, report.size) == (0, 100)


# ------------------------------------------------------------------ who is wrong


def test_a_changed_record_is_named_with_its_id(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    change_entry(tmp_path / "log/tile/entries/000", 7, b'"decision"', b'"decisiom"', 256)
    assert texts(verified(tmp_path)) == [
        f"40 record 7 (id {IDS.make(BOOT, 0, 7)}): its bytes are not those that were signed"
    ]


@pytest.mark.parametrize(("old", "new"), [(b"{", b"["), (b'"id":"0b', b'"id":"1b')], ids=["unreadable", "another id"])
def test_a_record_that_cannot_be_placed_is_named_by_its_neighbours(tmp_path: Path, old: bytes, new: bytes) -> None:
    build_log(tmp_path, records(300))
    change_entry(tmp_path / "log/tile/entries/000", 7, old, new, 256)
    assert texts(verified(tmp_path)) == [
        f"40 record 7 (id {IDS.make(BOOT, 0, 7)[:20]}…): its bytes are not those that were signed"
    ]


def test_a_changed_hash_is_named_with_the_records_it_covers(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    change(tmp_path / "log/tile/0/001.p/44", 40)
    assert texts(verified(tmp_path)) == [
        "40 tile/0/001.p/44: it differs from records 256 to 299, which lead to the signed root"
    ]


def test_a_changed_hash_of_an_upper_level_is_named(tmp_path: Path) -> None:
    build_log(tmp_path, records(600))
    change(tmp_path / "log/tile/1/000.p/2", 33)
    assert texts(verified(tmp_path)) == [
        "40 tile/1/000.p/2: it differs from records 0 to 511, which lead to the signed root"
    ]


def test_a_record_and_an_upper_tile_are_both_named(tmp_path: Path) -> None:
    build_log(tmp_path, records(600))
    change_entry(tmp_path / "log/tile/entries/001", 4, b'"decision"', b'"decisiom"', 256)
    change(tmp_path / "log/tile/1/000.p/2", 33)
    assert texts(verified(tmp_path)) == [
        f"40 record 260 (id {IDS.make(BOOT, 0, 260)}): its bytes are not those that were signed",
        "40 tile/1/000.p/2: it differs from the hashes of records 0 to 511, which lead to the signed root",
    ]


def test_where_neither_leads_to_the_root_both_are_named(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    change_entry(tmp_path / "log/tile/entries/000", 7, b'"decision"', b'"decisiom"', 256)
    change(tmp_path / "log/tile/0/001.p/44", 40)
    report = verified(tmp_path)
    assert [finding.place for finding in report.findings] == ["checkpoint", "tile/0/000", "tile/0/001.p/44"]
    assert f"record 7 (id {IDS.make(BOOT, 0, 7)})" in report.findings[1].text
    assert report.exit_code == 40


def test_a_record_changed_together_with_every_hash_over_it(tmp_path: Path) -> None:
    leaves = records(100)
    log = build_log(tmp_path, leaves)
    leaves[7] = record(7, d="allow")
    for path, data in {
        "tile/0/000.p/100": encode_tile([leaf_hash(leaf) for leaf in leaves]),
        "tile/entries/000.p/100": encode_bundle(leaves),
    }.items():
        (log / path).write_bytes(data)
    assert texts(verified(tmp_path)) == [
        "40 checkpoint: the 100 records of this folder lead to another root than the signed one"
    ]


def test_a_broken_length_names_the_bundle_and_its_range(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    change(tmp_path / "log/tile/entries/001.p/44", 1)
    report = verified(tmp_path)
    assert report.exit_code == 40
    assert "it covers records 256 to 299" in report.findings[0].text
    assert report.findings[0].place == "tile/entries/001.p/44"


def test_a_tile_of_another_length_is_named(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    path = tmp_path / "log/tile/0/000"
    path.write_bytes(path.read_bytes() + b"\x00")
    assert texts(verified(tmp_path)) == [
        "40 tile/0/000: the tile has 8193 bytes instead of 8192; it covers records 0 to 255"
    ]


# ------------------------------------------------------------------ incomplete


@pytest.mark.parametrize(
    ("path", "covers"),
    [
        ("tile/entries/000", "records 0 to 255"),
        ("tile/0/001.p/44", "records 256 to 299"),
        ("tile/1/000.p/1", "records 0 to 255"),
    ],
)
def test_a_missing_file_is_named_with_what_it_covers(tmp_path: Path, path: str, covers: str) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / "log" / path).unlink()
    assert texts(verified(tmp_path, wal=False)) == [f"20 {path}: it is missing, and covers {covers}"]


def test_where_bytes_and_hashes_are_gone_the_root_cannot_be_derived(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    for path in ("tile/entries/000", "tile/0/000"):
        (tmp_path / "log" / path).unlink()
    report = verified(tmp_path, wal=False)
    assert report.exit_code == 20
    assert texts(report)[-1] == (
        "20 checkpoint: the root cannot be derived: of record 0 neither bytes nor hash are there"
    )


def test_an_unsigned_folder_is_not_sound(tmp_path: Path) -> None:
    (build_log(tmp_path, records(3)) / "checkpoint").unlink()
    assert texts(verified(tmp_path)) == ["20 checkpoint: there is none: nothing in this folder is signed"]


def test_an_empty_folder_is_not_sound(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    assert verified(tmp_path).exit_code == 20


SEQUENCES = {
    "a gap": ([0, 1, 3], "20 record 2: the records 2 to 2 of 00-0badcafe.wal are missing before it"),
    "a boot that does not begin at 0": (
        [1, 2],
        "20 record 0: the records 0 to 0 of 00-0badcafe.wal are missing before it",
    ),
    "a record twice": ([0, 1, 1, 2], "40 record 2: record 1 of 00-0badcafe.wal comes again, or too late: 2 is next"),
    "two records swapped": (
        [0, 2, 1],
        "20 record 1: the records 1 to 1 of 00-0badcafe.wal are missing before it",
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_numbers_of_a_writer_under_a_good_signature(tmp_path: Path, name: str) -> None:
    order, finding = SEQUENCES[name]
    write_tree(tmp_path, [record(seq) for seq in order])
    assert texts(verified(tmp_path))[0] == finding


def test_a_correction_of_a_record_has_a_number_of_its_own(tmp_path: Path) -> None:
    corrected = record(2, kind="answer.changed", of=IDS.make(BOOT, 0, 1))
    write_tree(tmp_path, [record(0), record(1), corrected])
    assert verified(tmp_path).exit_code == 0


def test_a_signed_record_that_is_none(tmp_path: Path) -> None:
    write_tree(tmp_path, [record(0), b'{"v":1}', record(1)])
    report = verified(tmp_path)
    assert (report.exit_code, report.findings[0].place) == (40, "record 1")


def test_a_log_that_says_it_lost_records_is_incomplete(tmp_path: Path) -> None:
    lost = record(1, kind="log.recovered", file="00-00000001.wal\x1b[2J", kept_seq=3, discarded=9, damaged=True)
    write_tree(tmp_path, [record(0), lost])
    report = verified(tmp_path)
    assert report.exit_code == 20
    assert "\x1b" not in report.findings[0].text


@pytest.mark.parametrize(("held", "code"), [(4, 0), (3, 20), (0, 20)])
def test_what_a_later_boot_saw_must_be_there(tmp_path: Path, held: int, code: int) -> None:
    torn = record(1, kind="log.recovered", file=wal_file(boot=1), kept_seq=3, discarded=9, damaged=False)
    write_tree(tmp_path, [*records(held, boot=1), record(0), torn])
    assert verified(tmp_path).exit_code == code


# ------------------------------------------------------------------ write-ahead logs


def test_a_torn_end_is_noted_and_no_finding(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    path = tmp_path / "wal" / wal_file()
    add_wal(tmp_path, records(500))
    path.write_bytes(path.read_bytes()[:-1])
    report = verified(tmp_path)
    assert (report.exit_code, report.pending, len(report.notes)) == (0, 100, 1)


def test_a_damaged_write_ahead_log_is_incomplete(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(600))
    change(
        tmp_path / "wal" / wal_file(), len(wal_bytes([records(400)[at : at + 100] for at in range(0, 400, 100)])) + 9
    )
    report = verified(tmp_path)
    assert (report.exit_code, report.pending) == (20, 100)
    assert "damaged" in report.findings[0].text


def test_a_write_ahead_log_shorter_than_the_tree_is_incomplete(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(200))
    assert texts(verified(tmp_path)) == [
        "20 00-0badcafe.wal: it holds 200 good records, the tree has 300 of them: it was cut"
    ]


def test_a_write_ahead_log_of_the_records_of_another(tmp_path: Path) -> None:
    build_log(tmp_path, [])
    (tmp_path / "wal" / wal_file(1)).write_bytes(wal_bytes([records(1)], writer=1))
    (tmp_path / "wal" / wal_file(2)).write_bytes(wal_bytes([[b"{}"]], writer=2))
    assert [(finding.code, finding.place) for finding in verified(tmp_path).findings] == [
        (40, "01-0badcafe.wal, leaf 0"),
        (40, "02-0badcafe.wal, leaf 0"),
    ]


# ------------------------------------------------------------------ what stands in the place of a file


def folder(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def tebibyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


KINDS: dict[str, Callable[[Path], None]] = {
    "a folder": folder,
    "a pipe": fifo,
    "a link to itself": loop,
    "a link to a device": device,
    "a file of a tebibyte": tebibyte,
}
MEMBERS = ("log/checkpoint", "log/tile/0/000", "log/tile/1/000.p/1", "log/tile/entries/001.p/44", "wal/00-deadbeef.wal")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_file_of_ours_is_a_finding_that_names_it(tmp_path: Path, name: str, member: str) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / member).unlink(missing_ok=True)
    KINDS[name](tmp_path / member)
    report = verified(tmp_path)
    assert report.exit_code == 40
    assert member.partition("/")[2] in [finding.place for finding in report.findings]


def test_a_write_ahead_log_one_byte_beyond_any_of_ours_is_a_finding(tmp_path: Path) -> None:
    build_log(tmp_path, records(3))
    os.truncate(tmp_path / "wal" / wal_file(), MOST_WAL_BYTES + 1)
    assert texts(verified(tmp_path)) == [
        f"40 00-0badcafe.wal: it has {MOST_WAL_BYTES + 1} bytes, a write-ahead log of ours has at most {MOST_WAL_BYTES}"
    ]


def test_the_folders_above_may_be_elsewhere(tmp_path: Path) -> None:
    log = build_log(tmp_path, records(300))
    (log / "tile").rename(tmp_path / "other disk")
    (log / "tile").symlink_to(tmp_path / "other disk")
    log.rename(tmp_path / "moved")
    log.symlink_to("moved")
    assert verified(tmp_path).exit_code == 0


# ------------------------------------------------------------------ while a sequencer works


def recovering(tmp_path: Path) -> None:
    """Put the file of a boot there that says it saw 500 records of the boot before."""
    recovered = record(1, boot=2, kind="log.recovered", file=wal_file(boot=1), kept_seq=499, discarded=9, damaged=False)
    add_wal(tmp_path, [record(0, boot=2), recovered], boot=2)


def test_a_file_that_is_taken_in_and_removed_meanwhile_is_no_loss(tmp_path: Path) -> None:
    clock = [0.0]
    add_wal(tmp_path, records(300, boot=1), boot=1)
    sequencer = sequencer_of(tmp_path, lambda: clock[0])
    sequencer.integrate()
    sequencer.publish()
    add_wal(tmp_path, records(500, boot=1), boot=1)
    recovering(tmp_path)
    runs: list[int] = []

    def work(done: int, total: int) -> None:
        """The sequencer goes on while the tree is read."""
        runs.append(total)
        sequencer.integrate()
        sequencer.publish()
        clock[0] += QUIET_S
        sequencer.publish()

    with (tmp_path / "wal" / wal_file(boot=2)).open("rb") as open_file:
        fcntl.flock(open_file, fcntl.LOCK_EX)
        report = verify_log(tmp_path / "log", tmp_path / "wal", VKEY, work)
    assert not (tmp_path / "wal" / wal_file(boot=1)).exists()
    assert (report.exit_code, report.findings) == (0, ())
    assert set(runs) == {300, 502}


def test_a_loss_is_one_after_the_second_reading_too(tmp_path: Path) -> None:
    add_wal(tmp_path, records(300, boot=1), boot=1)
    sequencer = sequencer_of(tmp_path)
    sequencer.integrate()
    sequencer.publish()
    recovering(tmp_path)

    def work(done: int, total: int) -> None:
        sequencer.integrate()
        sequencer.publish()

    report = verify_log(tmp_path / "log", tmp_path / "wal", VKEY, work)
    assert texts(report) == ["20 00-00000001.wal: its records end before 300, `log.recovered` saw 499"]


def test_a_log_that_stands_still_is_read_once(tmp_path: Path) -> None:
    build_log(tmp_path, records(3))
    (tmp_path / "log/tile/entries/000.p/3").unlink()
    seen: list[int] = []
    report = verify_log(tmp_path / "log", None, VKEY, lambda _, total: seen.append(total))
    assert (report.exit_code, seen) == (20, [3])


# ------------------------------------------------------------------ heads, keys, age


def test_a_log_that_extends_the_known_head_is_sound(tmp_path: Path) -> None:
    for count in (0, 100, 300):
        head = (build_log(tmp_path, records(count)) / "checkpoint").read_bytes()
        build_log(tmp_path, records(600))
        assert verified(tmp_path, Wanted(known_head=head)).exit_code == 0


def test_a_log_smaller_than_the_known_head_is_a_fork(tmp_path: Path) -> None:
    build_log(tmp_path / "old", records(100))
    head = (build_log(tmp_path / "new", records(300)) / "checkpoint").read_bytes()
    report = verified(tmp_path / "old", Wanted(known_head=head))
    assert (report.exit_code, "rolled back" in report.findings[0].text) == (30, True)
    assert verified(tmp_path / "old").exit_code == 0


@pytest.mark.parametrize("size", [100, 300, 600])
def test_another_history_is_a_fork(tmp_path: Path, size: int) -> None:
    other = [record(0), *(record(seq, d="other") for seq in range(1, size))]
    head = (build_log(tmp_path / "other", other) / "checkpoint").read_bytes()
    build_log(tmp_path / "log", records(600))
    report = verified(tmp_path / "log", Wanted(known_head=head))
    assert (report.exit_code, "another history" in report.findings[0].text) == (30, True)


def test_a_head_that_was_not_signed_by_the_key_is_the_callers_mistake(tmp_path: Path) -> None:
    build_log(tmp_path, records(3))
    with pytest.raises(CheckpointError):
        verified(tmp_path, Wanted(known_head=sign_checkpoint(ORIGIN, 3, bytes(32), OTHER_KEY)))
    with pytest.raises(CheckpointError):
        verified(tmp_path, Wanted(known_head=b""))


def test_a_foreign_key_makes_the_log_invalid(tmp_path: Path) -> None:
    build_log(tmp_path, records(3))
    foreign = format_vkey(ORIGIN, OTHER_KEY.public_key().public_bytes_raw())
    report = verified(tmp_path, vkey=foreign)
    assert (report.exit_code, report.size, report.records) == (40, None, 0)


@pytest.mark.parametrize(("age_s", "code"), [(0, 0), (60, 0), (61, 11)])
def test_a_log_may_be_only_so_old(tmp_path: Path, age_s: int, code: int) -> None:
    build_log(tmp_path, records(1))
    assert verified(tmp_path, Wanted(max_age_s=60, now_us=T0_US + age_s * 1_000_000)).exit_code == code


def test_a_log_without_any_time_is_too_old(tmp_path: Path) -> None:
    build_log(tmp_path, [])
    assert verified(tmp_path, Wanted(max_age_s=60, now_us=0)).exit_code == 11


def test_records_that_nothing_signed_do_not_make_a_log_young(tmp_path: Path) -> None:
    build_log(tmp_path, records(1))
    add_wal(tmp_path, [*records(1), record(1, t=T0_US + 10**9)])
    assert verified(tmp_path, Wanted(max_age_s=60, now_us=T0_US + 10**9)).exit_code == 11


def test_findings_are_kept_up_to_a_bound_and_the_worst_counts() -> None:
    findings = Findings()
    for _ in range(MOST_FINDINGS):
        findings.add(20, "a", "b")
    findings.add(40, "a", "b")
    assert (len(findings.kept), findings.dropped, findings.worst) == (MOST_FINDINGS, 1, 40)


def test_a_wholly_changed_log_does_not_fill_the_memory(tmp_path: Path) -> None:
    build_log(tmp_path, records(1500))
    for path in (tmp_path / "log/tile/0").rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(len(path.read_bytes())))
    report = verified(tmp_path)
    assert (report.exit_code, len(report.findings)) == (40, 6)


def peak_bytes(files: dict[str, bytes]) -> int:
    """The most memory that the verification of a log had at once, the files apart."""
    disk = disk_of(files)
    tracemalloc.start()
    try:
        report = verify_files(disk, None, parse_vkey(VKEY), ignore, Wanted())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.exit_code, report.records) == (0, report.size)
    return peak


def test_memory_does_not_grow_with_the_records() -> None:
    leaves = [record(seq, sv=f"service {seq % 50}", bs=seq % 7) for seq in range(24_000)]
    few, many = (peak_bytes(signed_files(leaves[:size])) for size in (3_000, 24_000))
    assert many < few + 50_000


def test_the_log_is_read_only(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    verify_log(tmp_path / "log", tmp_path / "wal", VKEY, ignore)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
