"""Archives: what was archived reads, verifies and comes back as it was, whatever happens on the way."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pdp.audit.archive import (
    SEGMENT_RECORDS,
    Archived,
    archive_segment,
    digests_path,
    missing_archive,
    restore_segment,
    sealed_segments,
)
from pdp.audit.archive_zip import MOST_ARCHIVE_BYTES, archive_path, pack
from pdp.audit.archiving import LOOK_EVERY_S, Archiving
from pdp.audit.checkpoint import Checkpoint, open_checkpoint, parse_vkey
from pdp.audit.disk import Disk, Files, Folder, MemberError
from pdp.audit.reader import entries, find, read_bundle
from pdp.audit.report import Report
from pdp.audit.sequencer import Sequencer
from pdp.audit.tiles import ENTRIES, TileError, TileRef, encode_bundle, parse_bundle
from pdp.audit.verify import verify_files, verify_log
from pdp.audit.verify_trust import Wanted
from tests.support.logs import BOOT, IDS, KEY, ORIGIN, VKEY, Faults, MemoryDisk, ignore, record, wal_bytes, wal_file
from tests.support.signed_logs import disk_of, signed_files

SIZE = SEGMENT_RECORDS + 300
ZIP, DIGESTS = "archive/000.zip", "archive/000.sha256"
BUNDLES = [f"tile/entries/{index:03d}" for index in range(256)]


@cache
def leaves() -> tuple[bytes, ...]:
    return tuple(record(seq, sv="ledger", by=["cases.owner"]) for seq in range(SIZE))


@cache
def whole() -> dict[str, bytes]:
    """The files of a log with one sealed segment and a little more."""
    return signed_files(leaves())


@cache
def archived() -> dict[str, bytes]:
    """The same with its segment archived."""
    disk = disk_of(whole())
    archive_segment(disk, checkpoint(), 0)
    return disk.files


def checkpoint() -> Checkpoint:
    return open_checkpoint(whole()["checkpoint"], parse_vkey(VKEY))


def verified(disk: Files) -> Report:
    return verify_files(Archived(disk), None, parse_vkey(VKEY), ignore, Wanted())


def findings(disk: Files) -> list[str]:
    return [f"{finding.code} {finding.place}: {finding.text}" for finding in verified(disk).findings]


def edited(path: str, change: Callable[[bytes], bytes | None], files: dict[str, bytes] | None = None) -> MemoryDisk:
    """The archived log, or another, with one file changed, or removed where the change gives None."""
    disk = disk_of(archived() if files is None else files)
    changed = change(disk.files[path])
    if changed is None:
        del disk.files[path]
    else:
        disk.files[path] = changed
    return disk


def repacked(change: Callable[[dict[str, bytes]], object], method: int = zipfile.ZIP_DEFLATED) -> MemoryDisk:
    """The archived log with the content of its zip changed, packed anew."""
    content = unzipped(archived()[ZIP])
    change(content)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as packing:
        for path, data in content.items():
            packing.writestr(path, data)
    return edited(ZIP, lambda _: held.getvalue())


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


# ------------------------------------------------------------------ there and back


def test_bundles_leave_hash_tiles_stay_and_everything_comes_back() -> None:
    disk = disk_of(archived())
    gone = whole().keys() - disk.files.keys()
    assert gone == set(BUNDLES)
    assert disk.files.keys() - whole().keys() == {ZIP, DIGESTS}
    restore_segment(disk, 0)
    assert disk.files == whole()


def test_an_archived_log_verifies_the_same() -> None:
    assert verified(disk_of(archived())) == verified(disk_of(whole()))
    assert verified(disk_of(whole())).exit_code == 0


def test_archived_bundles_are_read_by_every_operation() -> None:
    files, plain = Archived(disk_of(archived())), disk_of(whole())
    for path in (BUNDLES[0], BUNDLES[7], BUNDLES[255], "tile/entries/257.p/44", "tile/0/000", "checkpoint"):
        assert files.read(path, 1 << 24) == plain.read(path)
        assert files.read_at(path, 9, 100) == plain.read_at(path, 9, 100)
        assert files.length(path) == plain.length(path)
    for path in ("tile/entries/258", "tile/entries/x001/000", "tile/entries/999.p/1", "nowhere"):
        assert (files.read(path, 9), files.read_at(path, 0, 9), files.length(path)) == (None, b"", None)
    assert files.names("") == ("archive", "checkpoint", "tile")
    assert (
        tuple(entry for i in range(256) for entry in read_bundle(files, TileRef(ENTRIES, i, 256))) == leaves()[:65536]
    )


def test_a_bundle_that_is_larger_than_wanted_is_refused_in_an_archive_too() -> None:
    with pytest.raises(MemberError, match="has more than 100 bytes"):
        Archived(disk_of(archived())).read(BUNDLES[0], 100)


def test_the_same_bundles_make_the_same_archive_and_it_is_smaller() -> None:
    again = disk_of(whole())
    archive_segment(again, checkpoint(), 0)
    assert again.files[ZIP] == archived()[ZIP]
    assert len(archived()[ZIP]) < sum(len(whole()[path]) for path in BUNDLES) / 3


@pytest.mark.parametrize(("size", "segments"), [(0, 0), (65_535, 0), (65_536, 1), (131_071, 1), (131_072, 2)])
def test_only_whole_segments_under_a_checkpoint_are_sealed(size: int, segments: int) -> None:
    assert sealed_segments(size) == range(segments)


@pytest.mark.parametrize("segment", [-1, 1, 10**9])
def test_what_is_not_sealed_is_not_archived(segment: int) -> None:
    disk = disk_of(whole())
    with pytest.raises(ValueError, match="not sealed"):
        archive_segment(disk, checkpoint(), segment)
    assert disk.files == whole()


def test_paths_of_later_segments() -> None:
    assert archive_path(1234) == "archive/x001/234.zip"
    assert digests_path(1234) == "archive/x001/234.sha256"


# ------------------------------------------------------------------ on a real disk, for strangers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The archived log in a folder."""
    for path, data in archived().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def test_readers_and_the_verification_find_it_in_a_folder(folder: Path) -> None:
    found = find(folder, None, IDS.make(BOOT, 0, 700))
    assert found is not None
    assert (found.leaf, found.where) == (leaves()[700], 700)
    assert next(iter(entries(folder))) == (0, leaves()[0])
    assert verify_log(folder, None, VKEY, ignore).exit_code == 0


def test_a_stranger_restores_it_with_a_zip_program_and_checks_the_digests(folder: Path) -> None:
    with zipfile.ZipFile(folder / ZIP) as packed:
        assert packed.testzip() is None
        packed.extractall(folder)
    assert {path: (folder / path).read_bytes() for path in BUNDLES} == {path: whole()[path] for path in BUNDLES}
    lines = (folder / DIGESTS).read_text().splitlines()
    assert len(lines) == 257
    assert all(hashlib.sha256((folder / line[66:]).read_bytes()).hexdigest() == line[:64] for line in lines)
    program = shutil.which("sha256sum")
    if program is not None:
        subprocess.run([program, "--check", "--quiet", "--strict", DIGESTS], cwd=folder, check=True)


def test_archives_are_for_their_owner_only(folder: Path) -> None:
    disk = Folder(folder)
    restore_segment(disk, 0)
    archive_segment(disk, checkpoint(), 0)
    assert {(folder / path).stat().st_mode & 0o777 for path in (ZIP, DIGESTS)} == {0o600}
    assert ((folder / ZIP).read_bytes(), (folder / DIGESTS).read_bytes()) == (archived()[ZIP], archived()[DIGESTS])


def test_the_sequencer_goes_on_with_an_archived_log_though_its_cursor_is_lost() -> None:
    log, wal = disk_of(archived()), MemoryDisk(Faults())
    more = [*leaves(), record(SIZE), record(SIZE + 1)]
    groups = [more[at : at + 3_000] for at in range(0, len(more), 3_000)]
    wal.append(
        wal_file(),
        wal_bytes(
            [group[: SIZE - at] for at, group in zip(range(0, SIZE, 3_000), groups, strict=True)] + [more[SIZE:]]
        ),
    )
    sequencer = Sequencer(log, wal, ORIGIN, KEY, lambda: 0.0)
    sequencer.start()
    assert sequencer.stuck == {}
    while sequencer.integrate():
        pass
    sequencer.publish()
    assert sequencer.size == SIZE + 2
    assert verified(log).exit_code == 0


# ------------------------------------------------------------------ what is missing or broken


def test_a_missing_archive_is_incomplete_and_named() -> None:
    disk = edited(ZIP, lambda _: None)
    said = findings(disk)
    assert verified(disk).exit_code == 20
    assert said == ["20 archive/000.zip: it is missing, with the records 0 to 65535: bring it back"]
    with pytest.raises(TileError, match=r"A623: tile/entries/003 .* was archived in archive/000\.zip"):
        read_bundle(Archived(disk), TileRef(ENTRIES, 3, 256))
    assert missing_archive(disk, BUNDLES[0]) == ZIP
    assert missing_archive(disk, "tile/0/000") is None
    assert missing_archive(disk_of(whole()), BUNDLES[0]) is None


def test_without_archive_and_digests_the_bundles_are_missing() -> None:
    disk = edited(ZIP, lambda _: None)
    del disk.files[DIGESTS]
    assert findings(disk)[0] == "20 tile/entries/000: it is missing, and covers records 0 to 255"


def test_lost_digests_are_no_loss_and_are_written_again() -> None:
    disk = edited(DIGESTS, lambda _: None)
    assert verified(disk).exit_code == 0
    archive_segment(disk, checkpoint(), 0)
    assert disk.files == archived()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def bomb(content: dict[str, bytes]) -> None:
    content[BUNDLES[3]] = bytes(1 << 26)


def swapped(content: dict[str, bytes]) -> None:
    content[BUNDLES[3]], content[BUNDLES[4]] = content[BUNDLES[4]], content[BUNDLES[3]]


def rewritten(content: dict[str, bytes]) -> None:
    held = list(parse_bundle(content[BUNDLES[3]], 256))
    held[5] = record(3 * 256 + 5, sv="another")
    content[BUNDLES[3]] = encode_bundle(held)


BROKEN: dict[str, Callable[[], MemoryDisk]] = {
    "an empty file": lambda: edited(ZIP, lambda _: b""),
    "no zip": lambda: edited(ZIP, lambda data: bytes(len(data))),
    "a zip cut short": lambda: edited(ZIP, lambda data: data[:-1]),
    "a zip with something behind it": lambda: edited(ZIP, lambda data: data + b"\0"),
    "a zip with something before it": lambda: edited(ZIP, lambda data: b"\0" + data),
    "a byte of a bundle": lambda: edited(ZIP, lambda data: flipped(data, 500)),
    "a byte of a name": lambda: edited(ZIP, lambda data: flipped(data, len(data) - 22 - 5)),
    "a directory elsewhere": lambda: edited(ZIP, lambda data: flipped(data, len(data) - 6)),
    "a bundle too few": lambda: repacked(lambda content: content.pop(BUNDLES[9])),
    "a file too many": lambda: repacked(lambda content: content.update(more=b"")),
    "another file in place of a bundle": lambda: repacked(
        lambda content: content.update({"../../etc": content.pop(BUNDLES[9])})
    ),
    "bundles that are stored": lambda: repacked(lambda _: None, zipfile.ZIP_STORED),
    "a bundle that unpacks beyond any of ours": lambda: repacked(bomb),
    "two bundles swapped": lambda: repacked(swapped),
    "a record of another content": lambda: repacked(rewritten),
    "a bundle cut short": lambda: repacked(lambda content: content.update({BUNDLES[3]: content[BUNDLES[3]][:-1]})),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_found_by_the_verification_and_never_restored(name: str) -> None:
    disk = BROKEN[name]()
    before = dict(disk.files)
    assert verified(disk).exit_code == 40
    with pytest.raises(TileError, match=r"A62[123]"):
        restore_segment(disk, 0)
    assert disk.files == before


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_is_removed_for_a_broken_archive_that_is_there_already(name: str) -> None:
    disk = disk_of(whole())
    disk.files[ZIP] = BROKEN[name]().files[ZIP]
    with pytest.raises(TileError, match=r"A62[123]"):
        archive_segment(disk, checkpoint(), 0)
    assert whole().items() <= disk.files.items()


DAMAGED: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "a bundle that is missing": (BUNDLES[3], lambda _: None, "A623: tile/entries/003 is missing"),
    "a bundle cut short": (BUNDLES[3], lambda data: data[:-1], "A621: tile/entries/003: entry 255 of 256 is cut short"),
    "a changed record": (BUNDLES[3], lambda data: flipped(data, 30), "A621: tile/entries/003: its records are not"),
    "a hash tile that is missing": ("tile/0/003", lambda _: None, "A623: tile/0/003 is missing"),
    "a changed hash": ("tile/0/003", lambda data: flipped(data, 30), "A621: tile/entries/003: its records are not"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_segment_is_not_archived(name: str) -> None:
    path, change, said = DAMAGED[name]
    disk = edited(path, change, whole())
    before = dict(disk.files)
    with pytest.raises(TileError, match=said):
        archive_segment(disk, checkpoint(), 0)
    assert disk.files == before


def test_a_segment_whose_bundles_and_archive_are_gone_is_not_restored() -> None:
    with pytest.raises(TileError, match="A623: tile/entries/000 is missing"):
        restore_segment(edited(ZIP, lambda _: None), 0)


def test_an_archive_beyond_any_size_is_refused() -> None:
    class Huge(MemoryDisk):
        def length(self, path: str) -> int | None:
            return MOST_ARCHIVE_BYTES + 1 if path == ZIP else super().length(path)

    disk = Huge(Faults())
    disk.files = dict(archived())
    with pytest.raises(MemberError, match="no archive of ours has so many"):
        Archived(disk).read(BUNDLES[0], 1 << 24)


def test_a_segment_that_would_be_too_large_is_left_as_it_is() -> None:
    with pytest.raises(TileError, match=r"A623: archive/000\.zip would be larger than an archive may be"):
        pack(0, ((path, whole()[path]) for path in BUNDLES), most=100_000)


def test_what_stands_there_itself_is_read_before_the_archive() -> None:
    disk = BROKEN["an empty file"]()
    disk.files |= {path: whole()[path] for path in BUNDLES}
    assert verified(disk).exit_code == 0


# ------------------------------------------------------------------ while others read, and crashes


class Restoring(MemoryDisk):
    """A disk on which the segment is restored between two operations of a reader."""

    def __init__(self, after: int) -> None:
        super().__init__(Faults())
        self.left = after

    def _pass(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.files = dict(whole())

    def read(self, path: str, most: int = 1 << 30) -> bytes | None:
        data = super().read(path, most)
        self._pass()
        return data

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        data = super().read_at(path, offset, size)
        self._pass()
        return data

    def length(self, path: str) -> int | None:
        length = super().length(path)
        self._pass()
        return length


@pytest.mark.parametrize("after", range(1, 8))
def test_a_reader_finds_a_bundle_that_is_restored_meanwhile(after: int) -> None:
    disk = Restoring(after)
    disk.files = dict(archived())
    assert Archived(disk).read(BUNDLES[5], 1 << 24) == whole()[BUNDLES[5]]


def test_a_reader_follows_an_archive_that_is_made_anew() -> None:
    disk = disk_of(archived())
    files = Archived(disk)
    assert files.read(BUNDLES[5], 1 << 24) == whole()[BUNDLES[5]]
    restore_segment(disk, 0)
    assert files.read(BUNDLES[5], 1 << 24) == whole()[BUNDLES[5]]
    archive_segment(disk, checkpoint(), 0)
    assert files.read(BUNDLES[6], 1 << 24) == whole()[BUNDLES[6]]


def archive_it(disk: Disk) -> None:
    archive_segment(disk, checkpoint(), 0)


def restore_it(disk: Disk) -> None:
    restore_segment(disk, 0)


CUTS: dict[str, Callable[[str], bool]] = {
    "nothing unsynced survives": lambda _: False,
    "everything unsynced survives": lambda _: True,
    "bundles survive": lambda path: path.startswith("tile"),
}
WORKS: dict[str, tuple[Callable[[Disk], None], Callable[[], dict[str, bytes]], Callable[[], dict[str, bytes]]]] = {
    "archiving": (archive_it, whole, archived),
    "restoring": (restore_it, archived, whole),
}


def crash_points(work: Callable[[Disk], None], before: dict[str, bytes]) -> list[int]:
    """Some of the operations of a run: those of the first files and around them, one among the many, the last."""
    faults = Faults()
    work(disk_of(before, faults))
    assert faults.done > 250
    return [1, 2, 3, 4, 5, faults.done // 2, faults.done]


@pytest.mark.parametrize("name", WORKS)
def test_after_a_crash_at_any_operation_the_log_reads_whole_and_the_work_can_be_done_again(name: str) -> None:
    work, before, after = WORKS[name]
    for fail_at in crash_points(work, before()):
        faults = Faults(fail_at)
        disk = disk_of(before(), faults)
        with pytest.raises(OSError, match="as it was told to"):
            work(disk)
        faults.fail_at = None
        assert_whole(disk)
        for keeps in CUTS.values():
            cut = disk_of(disk.files)
            cut.durable = dict(disk.durable)
            cut.power_cut(keeps)
            assert_whole(cut)
        work(disk)
        assert disk.files == after(), fail_at


def assert_whole(disk: Files) -> None:
    """Every 5th bundle, the first and the last among them, is there as it was."""
    files = Archived(disk)
    for path in BUNDLES[::5]:
        assert files.read(path, 1 << 24) == whole()[path]


def test_the_sequencer_archives_what_is_older_than_the_newest_one_a_look() -> None:
    disk, now, said = disk_of(signed_files(leaves()[:SEGMENT_RECORDS] * 2 + leaves()[:5])), [0.0], list[str]()
    archiving = Archiving(disk, 1, lambda: now[0])
    archiving.look(said.append)
    assert [disk.length(path) is not None for path in (ZIP, DIGESTS, BUNDLES[0], BUNDLES[255])] == [1, 1, 0, 0]
    assert disk.length("archive/001.zip") is None
    disk.files[BUNDLES[255]] = b"left by one that was broken off"
    archiving.look(said.append)
    assert disk.length(BUNDLES[255]) is not None
    now[0] = LOOK_EVERY_S
    archiving.look(said.append)
    assert disk.length(BUNDLES[255]) is None
    assert said == []


def test_a_segment_that_cannot_be_archived_is_said_and_stays() -> None:
    disk, said = disk_of(signed_files(leaves()[:SEGMENT_RECORDS] * 2)), list[str]()
    disk.files[BUNDLES[7]] = disk.files[BUNDLES[7]][:-1] + b"]"
    Archiving(disk, 1, lambda: 0.0).look(said.append)
    assert len(said) == 1
    assert "segment 0 is not archived" in said[0]
    assert disk.length(BUNDLES[7]) is not None


def test_without_a_number_nothing_is_archived() -> None:
    disk = disk_of(whole())
    Archiving(disk, 0, lambda: 0.0).look(pytest.fail)
    assert disk.files == whole()
