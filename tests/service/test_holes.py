"""pdp.audit.holes: a size that nobody can have costs nothing to read, and what stands behind a hole is found."""

from __future__ import annotations

from itertools import count, takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.archive_zip import SEGMENT_BUNDLES, archive_path
from pdp.audit.checkpoint import parse_vkey, sign_checkpoint
from pdp.audit.disk import Folder, MemberError
from pdp.audit.following import Following
from pdp.audit.holes import MOST_NAMED, Bundles, Hole, bundle_count
from pdp.audit.listing import Asked, listed
from pdp.audit.merkle import TILE_WIDTH
from pdp.audit.report import INCOMPLETE, INVALID
from pdp.audit.selection import Selection
from pdp.audit.tiles import ENTRIES, TileRef, encode_bundle, index_path
from pdp.audit.verify import verify_files
from pdp.audit.verify_trust import Wanted
from tests.support.logs import (
    KEY,
    ORIGIN,
    VKEY,
    Faults,
    MemoryDisk,
    ignore,
    record,
    records,
    wal_bytes,
    wal_file,
)
from tests.support.signed_logs import disk_of, signed_files

HUGE = 10**18 - 1
"""The largest size that a checkpoint can state."""

MOST_ASKED = 2_000


class Counting(MemoryDisk):
    """A disk on which nobody asks for very many files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(Faults())
        self.files = dict(files)
        self._asked = count(1)

    def read(self, path: str, most: int = 1 << 30) -> bytes | None:
        assert next(self._asked) < MOST_ASKED, "every bundle that is claimed is asked for"
        return super().read(path, most)

    def names(self, folder: str) -> tuple[str, ...]:
        assert next(self._asked) < MOST_ASKED, "every folder that may be there is asked for"
        return super().names(folder)


def claiming(size: int, files: dict[str, bytes]) -> dict[str, bytes]:
    """The log under a good signature of a size that it does not have."""
    return {**files, "checkpoint": sign_checkpoint(ORIGIN, size, bytes(32), KEY)}


def bundle(index: int, entries: list[bytes]) -> dict[str, bytes]:
    return {TileRef(ENTRIES, index, TILE_WIDTH).path: encode_bundle(entries)}


FAR = 3_999_123_456
"""The index of a bundle that stands far behind all others."""


def sparse() -> Counting:
    """Two bundles and a bit, under a checkpoint of very many, and one of those far away."""
    leaves = records(900)
    far = bundle(FAR, leaves[600:856])
    return Counting(claiming(HUGE, signed_files(leaves[:600]) | far))


# ---------------------------------------------------------------- which come


def emptied(bundles: Bundles) -> list[TileRef | Hole]:
    """What comes where nothing can be read."""
    came = []
    for each in bundles:
        came.append(each)
        bundles.miss()
    return came


def walked(disk: MemoryDisk, size: int, among: range, standing: set[int]) -> list[TileRef | Hole]:
    bundles = Bundles(disk, size, among)
    found = []
    for each in bundles:
        found.append(each)
        if isinstance(each, TileRef) and each.index not in standing:
            bundles.miss()
    return found


INDICES = st.integers(0, 60) | st.integers(980, 1_040) | st.integers(999_980, 1_000_030) | st.integers(0, HUGE // 256)


@given(
    st.sets(INDICES, max_size=12),
    st.sets(INDICES.map(lambda index: index // SEGMENT_BUNDLES), max_size=2),
    st.sampled_from([0, 1, 255, 256, 257, 5_000, 256 * 1_000, 256 * 1_001 + 1, 256 * 1_000_010, HUGE]),
    st.booleans(),
)
def test_what_stands_comes_and_every_record_is_covered_once(
    alone: set[int], archived: set[int], size: int, back: bool
) -> None:
    """For any bundles, archives and sizes: the pieces are the tree, and no hole holds a bundle that stands."""
    disk = MemoryDisk(Faults())
    last = bundle_count(size) - 1
    for index in alone:
        partial = size % TILE_WIDTH != 0 and index == last
        disk.files[f"tile/entries/{index_path(index)}{'.p/7' if partial else ''}"] = b""
    for segment in archived:
        disk.files[archive_path(segment)] = b""
    first = {segment * SEGMENT_BUNDLES for segment in archived}
    standing = alone | {each + offset for each in first for offset in range(SEGMENT_BUNDLES)}
    among = range(last, -1, -1) if back else range(last + 1)
    pieces = walked(disk, size, among, standing)
    ordered = pieces[::-1] if back else pieces
    assert [each.records[0] for each in ordered[1:]] == [each.records[1] for each in ordered[:-1]]
    if size:
        assert (ordered[0].records[0], ordered[-1].records[1]) == (0, size)
    assert {index for index in standing if index <= last} <= {
        each.index for each in pieces if isinstance(each, TileRef)
    }
    missing = [each for each in pieces if isinstance(each, TileRef) and each.index not in standing]
    assert len(missing) <= MOST_NAMED * (len(standing) + 1)


def test_a_few_that_are_missing_come_one_by_one() -> None:
    disk = disk_of(bundle(0, []) | bundle(MOST_NAMED + 1, []))
    gone = walked(disk, 256 * (MOST_NAMED + 2), range(MOST_NAMED + 2), {0, MOST_NAMED + 1})
    assert [each.index for each in gone if isinstance(each, TileRef)] == list(range(MOST_NAMED + 2))


def test_where_hashes_count_a_hash_tile_stands_too() -> None:
    disk = disk_of({TileRef(0, 700, TILE_WIDTH).path: b""})
    for hashes in (True, False):
        came = emptied(Bundles(disk, HUGE, range(1_000), hashes=hashes))
        assert (700 in {each.index for each in came if isinstance(each, TileRef)}) is hashes


# ---------------------------------------------------------------- folders of anybody's


def test_a_link_to_itself_holds_nothing(tmp_path: Path) -> None:
    entries = tmp_path / "tile" / "entries"
    entries.mkdir(parents=True)
    (entries / "x001").symlink_to("x001")
    (entries / "x002").write_bytes(b"")
    (entries / "x003").symlink_to("nowhere")
    came = emptied(Bundles(Folder(tmp_path), HUGE, range(bundle_count(HUGE))))
    assert len(came) == MOST_NAMED + 1
    assert came[-1].records == (MOST_NAMED * 256, HUGE)


def test_links_that_lead_on_and_on_end_the_search(tmp_path: Path) -> None:
    entries = tmp_path / "tile" / "entries"
    entries.mkdir(parents=True)
    for number in range(8):
        (entries / f"x{number:03d}").symlink_to(".")
    bundles = Bundles(Folder(tmp_path), HUGE, range(bundle_count(HUGE)), most_names=1_000)
    with pytest.raises(MemberError, match="more names than a log has were looked at before it: take out"):
        emptied(bundles)


def test_a_folder_that_the_disk_cannot_list_is_no_hole() -> None:
    class Failing(MemoryDisk):
        def names(self, folder: str) -> tuple[str, ...]:
            raise OSError(5, "the disk failed", folder)

    bundles = Bundles(Failing(Faults()), HUGE, range(bundle_count(HUGE)))
    with pytest.raises(OSError, match="the disk failed"):
        emptied(bundles)


# ---------------------------------------------------------------- pdp audit verify


def reported(disk: MemoryDisk) -> tuple[int, int, list[str]]:
    report = verify_files(disk, None, parse_vkey(VKEY), ignore, Wanted())
    return report.exit_code, report.records, [f"{each.code} {each.place}: {each.text}" for each in report.findings]


def test_a_claimed_size_is_verified_in_bounded_time_and_the_rest_is_found() -> None:
    code, read, said = reported(sparse())
    assert (code, read) == (INCOMPLETE, 256 + 256 + 256)
    assert f"20 tile/entries/{index_path(FAR)}" not in "\n".join(said)
    holes = [
        ("018", index_path(FAR - 1), 4_608, FAR * 256 - 1),
        (index_path(FAR + 17), f"{index_path(HUGE // 256)}.p/255", (FAR + 17) * 256, HUGE - 1),
    ]
    assert [each for each in said if "as is all up to" in each] == [
        f"20 tile/entries/{first}: it is missing, as is all up to tile/entries/{last}, hashes included; "
        f"together they cover records {begin} to {end}"
        for first, last, begin, end in holes
    ]
    assert said[0] == "20 tile/entries/002: it is missing, and covers records 512 to 767"


def test_the_records_behind_a_hole_are_still_read() -> None:
    leaves = [*records(600), b"no record", *records(900)[601:856]]
    files = signed_files(records(600)) | bundle(FAR, leaves[600:])
    del files["tile/entries/002.p/88"]
    code, _, said = reported(Counting(claiming(HUGE, files)))
    assert code == INVALID
    assert any(each.startswith(f"40 record {FAR * 256}: it is not a record") for each in said)


def test_progress_comes_to_the_end_over_a_hole() -> None:
    seen: list[tuple[int, int]] = []
    verify_files(sparse(), None, parse_vkey(VKEY), lambda done, total: seen.append((done, total)), Wanted())
    assert seen[-1] == (HUGE, HUGE)
    assert seen == sorted(seen)


def test_a_number_as_far_as_it_goes_behind_a_hole_takes_no_time() -> None:
    entries = [record(2**40 - 1), *records(256)[1:]]
    files = claiming(HUGE, signed_files(records(256)) | bundle(FAR, entries))
    assert reported(Counting(files))[0] == INVALID


# ---------------------------------------------------------------- pdp audit log


class Noted(list[str]):
    """What could not be read."""

    def __call__(self, text: str) -> None:
        self.append(text)


def hidden(noted: Noted) -> list[str]:
    return [each for each in noted if "every bundle from" in each]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_tree_of_a_claimed_size_is_read_either_way(newest_first: bool) -> None:
    noted = Noted()
    log = Following(sparse(), None, noted)
    read = [placed for piece in log.tree(newest_first=newest_first) for placed in piece.read()]
    assert len(read) == 3 * 256
    assert {index for index, _ in read} >= {0, 511, FAR * 256, FAR * 256 + 255}
    assert len(hidden(noted)) == 2
    ends = sum(piece.size for piece in Following(sparse(), None, noted).tree() if piece.read() is not None)
    assert ends == HUGE


@pytest.mark.parametrize("limit", [None, 5, 10_000])
def test_a_log_of_a_claimed_size_is_listed(limit: int | None) -> None:
    noted = Noted()
    rows = list(listed([Following(sparse(), None, noted)], Asked(Selection(), limit), noted, ignore))
    assert len(rows) == min(limit or 10_000, 3 * 256)
    assert noted


def test_a_log_without_a_cursor_is_counted_over_a_hole() -> None:
    wal = MemoryDisk(Faults())
    wal.files[wal_file()] = wal_bytes([records(900)])
    log = Following(sparse(), wal, Noted())
    assert [leaf for piece in log.news() for _, leaf in piece.read()] == records(900)[768:]


def test_a_log_that_jumps_to_a_claimed_size_is_followed() -> None:
    disk = Counting(signed_files(records(300)))
    noted = Noted()
    log = Following(disk, None, noted)
    disk.files = sparse().files
    came = [index for piece in log.news() for index, _ in piece.read()]
    assert list(takewhile(lambda index: index is not None and index < 512, came)) == list(range(300, 512))
    assert FAR * 256 in came
    assert len(hidden(noted)) == 2
    assert list(log.news()) == []


def test_links_without_an_end_end_what_is_read_and_are_named() -> None:
    class Leading(MemoryDisk):
        def names(self, folder: str) -> tuple[str, ...]:
            return tuple(f"x{number:03d}" for number in range(1_000))

    disk = Leading(Faults())
    disk.files = claiming(HUGE, signed_files(records(256)))
    noted = Noted()
    assert len([leaf for piece in Following(disk, None, noted).tree() for leaf in piece.read()]) == 256
    assert noted[-1].startswith("the tree is not read on: tile/entries/")
    code, read, said = reported(disk)
    assert (code, read) == (INVALID, 256)
    assert any("more names than a log has were looked at" in each for each in said)
