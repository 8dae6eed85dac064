"""Rows of one log and of several, in the order of time, with the answers that left, and those that come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.checkpoint import Checkpoint, sign_checkpoint
from pdp.audit.following import Following
from pdp.audit.listing import DISORDER_US, Asked, Watch, listed
from pdp.audit.merkle import EMPTY_ROOT
from pdp.audit.rows import Answer, Row
from pdp.audit.selection import Selection
from pdp.audit.tree import open_tree
from pdp.model import Json
from tests.support.logs import BOOT, IDS, KEY, ORIGIN, T0_US, Faults, MemoryDisk, record, wal_bytes, wal_file

EVERYTHING = Selection()
DENIED = Selection(decisions=frozenset({"deny"}))


def decision(seq: int, at_us: int | None = None, writer: int = 0, **clear: Json) -> bytes:
    at = T0_US + seq if at_us is None else at_us
    return record(seq, writer=writer, t=at, **{"d": "allow", "by": ["shop.own"], "rc": "rule", "sv": "orders", **clear})


def changed(seq: int, of: int, writer: int = 0) -> bytes:
    named = IDS.make(BOOT, writer, of)
    data = record(seq, writer=writer, kind="answer.changed", of=named, d="deny", by=["deadline"], rc="deadline.mint")
    return data.replace(b',"t":%d' % (T0_US + seq), b"")


def a_tree(leaves: Sequence[bytes], origin: str = ORIGIN) -> MemoryDisk:
    """A log of these records, in this order, without write-ahead logs."""
    disk = MemoryDisk(Faults())
    tree = open_tree(disk, Checkpoint(origin, 0, EMPTY_ROOT))
    tree.append(leaves)
    tree.write_edge()
    disk.replace({"checkpoint": sign_checkpoint(origin, tree.size, tree.root(), KEY)})
    return disk


def grow(disk: MemoryDisk, leaves: Sequence[bytes], size: int, origin: str = ORIGIN) -> None:
    """The tree with more records, of which it had `size`."""
    disk.files.update(a_tree(leaves, origin).files)
    assert len(leaves) > size


def no_notes(text: str) -> None:
    raise AssertionError(text)


def ignored(_done: int, _total: int) -> None:
    """No progress is looked at."""


def opened(*disks: MemoryDisk) -> list[Following]:
    return [Following(disk, None, no_notes) for disk in disks]


def rows(asked: Asked, *disks: MemoryDisk) -> list[Row]:
    return list(listed(opened(*disks), asked, no_notes, ignored))


def seqs(found: Sequence[Row]) -> list[int]:
    """The numbers of records; those of writer 1 from 1000 on."""
    return [int(row.id[10:20], 16) + 1000 * int(row.writer, 16) for row in found]


def test_an_empty_log_lists_nothing() -> None:
    assert rows(Asked(EVERYTHING), a_tree([])) == []
    assert rows(Asked(EVERYTHING, 5), a_tree([])) == []
    assert rows(Asked(EVERYTHING)) == []


def test_the_newest_comes_last() -> None:
    leaves = [decision(seq) for seq in range(1, 700)]
    assert seqs(rows(Asked(EVERYTHING), a_tree(leaves))) == list(range(1, 700))


@pytest.mark.parametrize("limit", [0, 1, 5, 256, 300, 5000])
def test_a_limit_gives_the_newest(limit: int) -> None:
    leaves = [decision(seq) for seq in range(1, 700)]
    assert seqs(rows(Asked(EVERYTHING, limit), a_tree(leaves))) == list(range(1, 700))[max(0, 699 - limit) :]


def test_a_limit_reads_no_further_back_than_it_needs() -> None:
    leaves = [decision(seq, T0_US + seq * DISORDER_US) for seq in range(1, 2_000)]
    disk = a_tree(leaves)
    for path in ("tile/entries/000", "tile/entries/001", "tile/entries/005"):
        del disk.files[path]
    assert seqs(rows(Asked(EVERYTHING, 3), disk)) == [1997, 1998, 1999]


def test_a_limit_with_a_filter_reads_until_it_is_met() -> None:
    leaves = [decision(seq, d="deny" if seq in {3, 400} else "allow") for seq in range(1, 700)]
    assert seqs(rows(Asked(DENIED, 2), a_tree(leaves))) == [3, 400]
    assert seqs(rows(Asked(DENIED, 1), a_tree(leaves))) == [400]


CORRECTED = {
    "right behind it": 2,
    "in another bundle": 300,
    "at the very end": 999,
}


@pytest.mark.parametrize("limit", [None, 1, 2_000])
@pytest.mark.parametrize("case", CORRECTED)
def test_a_correction_is_found_wherever_it_stands(case: str, limit: int | None) -> None:
    """Row 1 says what left, in a listing from either end, and is filtered by it."""
    leaves = [decision(seq) for seq in range(1, 1000)]
    leaves.insert(CORRECTED[case], changed(5_000, of=1))
    (row,) = rows(Asked(DENIED, limit), a_tree(leaves))
    assert (seqs([row]), row.answer) == ([1], Answer("deny", ("deadline",), "deadline.mint"))
    assert row.recorded == Answer("allow", ("shop.own",), "rule")
    allowed = Selection(decisions=frozenset({"allow"}))
    assert 1 not in seqs(rows(Asked(allowed, limit), a_tree(leaves)))


@pytest.mark.parametrize("limit", [None, 2_000])
def test_of_two_corrections_the_last_one_counts_from_either_end(limit: int | None) -> None:
    leaves = [decision(1), changed(2, of=1), *(decision(seq) for seq in range(3, 600))]
    last = changed(700, of=1).replace(b"deadline", b"internal")
    assert rows(Asked(EVERYTHING, limit), a_tree([*leaves, last]))[0].answer == Answer(
        "deny", ("internal",), "internal.mint"
    )


@pytest.mark.parametrize("limit", [None, 100])
def test_workers_whose_records_came_some_at_a_time_are_put_in_order(limit: int | None) -> None:
    first = [decision(seq, T0_US + 2 * seq * 1_000) for seq in range(1, 41)]
    second = [decision(seq, T0_US + (2 * seq + 1) * 1_000, writer=1) for seq in range(1, 41)]
    interleaved = [number for seq in range(1, 41) for number in (seq, 1000 + seq)]
    assert seqs(rows(Asked(EVERYTHING, limit), a_tree([*first, *second]))) == interleaved


@pytest.mark.parametrize("limit", [None, 100])
def test_a_clock_that_is_set_back_does_not_change_the_order_of_a_writer(limit: int | None) -> None:
    leaves = [decision(1, T0_US + 9_000_000), decision(2, T0_US + 1_000_000), decision(3, T0_US + 2_000_000)]
    other = [decision(1, T0_US + 1_500_000, writer=1)]
    found = seqs(rows(Asked(EVERYTHING, limit), a_tree([*leaves, *other])))
    assert [seq for seq in found if seq < 1000] == [1, 2, 3]


@pytest.mark.parametrize("limit", [None, 100, 3])
def test_logs_are_merged_by_time_and_each_row_says_which(limit: int | None) -> None:
    first = a_tree([decision(seq, T0_US + 10 * seq) for seq in range(1, 4)], "a.example/log")
    second = a_tree([decision(seq, T0_US + 10 * seq + 5) for seq in range(1, 4)], "b.example/log")
    found = rows(Asked(EVERYTHING, limit), first, second)
    expected = [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a"), (3, "b")]
    assert [(seq, row.origin[0]) for seq, row in zip(seqs(found), found, strict=True)] == expected[-(limit or 6) :]


def test_progress_is_of_what_is_read() -> None:
    told: list[tuple[int, int]] = []
    leaves = [decision(seq) for seq in range(1, 700)]
    list(listed(opened(a_tree(leaves)), Asked(EVERYTHING), no_notes, lambda done, total: told.append((done, total))))
    assert told[-1] == (2 * 699, 2 * 699)
    assert told == sorted(told)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5_000)), max_size=60),
    st.sets(st.integers(0, 59)),
    st.integers(0, 70),
)
def test_a_limit_lists_the_end_of_the_whole(steps: list[tuple[int, int]], wrong: set[int], limit: int) -> None:
    """listed(limit n) == listed(no limit)[-n:], where clocks go forward; corrections included."""
    leaves, at_us, numbers = [], T0_US, {0: 0, 1: 0}
    for number, (writer, passed_us) in enumerate(steps):
        at_us += passed_us
        numbers[writer] += 1
        leaves.append(decision(numbers[writer], at_us, writer))
        if number in wrong:
            numbers[writer] += 1
            leaves.append(changed(numbers[writer], of=numbers[writer] - 1, writer=writer))
    whole = rows(Asked(DENIED), a_tree(leaves))
    assert rows(Asked(DENIED, limit), a_tree(leaves)) == whole[max(0, len(whole) - limit) :]
    assert len(whole) == len(wrong & set(range(len(steps))))


# ---------------------------------------------------------------- what comes


def looked(watch: Watch) -> list[Row]:
    return [row for batch in watch.look() for row in batch]


def test_what_comes_is_seen_once() -> None:
    leaves = [decision(seq) for seq in range(1, 500)]
    disk = a_tree(leaves[:10])
    logs = opened(disk)
    watch = Watch(logs, EVERYTHING, no_notes)
    watch.keep(listed(logs, Asked(EVERYTHING), no_notes, ignored))
    assert looked(watch) == []
    grow(disk, leaves, 10)
    assert seqs(looked(watch)) == list(range(11, 500))
    assert looked(watch) == []


def test_what_comes_is_filtered() -> None:
    disk = a_tree([decision(1)])
    watch = Watch(opened(disk), DENIED, no_notes)
    grow(disk, [decision(1), decision(2), decision(3, d="deny"), changed(4, of=2)], 1)
    assert seqs(looked(watch)) == [2, 3]


LATE = {
    "a decision that was shown, under a filter that its correction does not fit": (
        Selection(decisions=frozenset({"allow"})),
        1,
    ),
    "a decision that was not shown, under a filter that its correction fits": (DENIED, 0),
    "a decision of a service that is asked for": (Selection(services=frozenset({"orders"})), 1),
}


@pytest.mark.parametrize("case", LATE)
def test_a_late_correction_is_told_with_what_it_corrects(case: str) -> None:
    selection, shown = LATE[case]
    disk = a_tree([])
    watch = Watch(opened(disk), selection, no_notes)
    grow(disk, [decision(1)], 0)
    assert len(looked(watch)) == shown
    grow(disk, [decision(1), changed(2, of=1)], 1)
    (row,) = looked(watch)
    assert (row.kind, row.service, row.of) == ("answer.changed", "orders", IDS.make(BOOT, 0, 1))
    assert (row.answer, row.recorded) == (
        Answer("deny", ("deadline",), "deadline.mint"),
        Answer("allow", ("shop.own",), "rule"),
    )


def test_a_late_correction_of_a_row_that_was_listed_is_told() -> None:
    disk = a_tree([decision(1)])
    logs = opened(disk)
    watch = Watch(logs, Selection(decisions=frozenset({"allow"})), no_notes)
    watch.keep(listed(logs, Asked(Selection(decisions=frozenset({"allow"}))), no_notes, ignored))
    grow(disk, [decision(1), changed(2, of=1)], 1)
    assert seqs(looked(watch)) == [2]


def test_a_late_correction_of_a_service_that_is_not_asked_for_is_not_told() -> None:
    disk = a_tree([])
    watch = Watch(opened(disk), Selection(services=frozenset({"ledger"})), no_notes)
    grow(disk, [decision(1)], 0)
    assert looked(watch) == []
    grow(disk, [decision(1), changed(2, of=1)], 1)
    assert looked(watch) == []


def test_logs_that_are_followed_are_merged_at_each_look(tmp_path: Path) -> None:
    first, second = a_tree([], "a.example/log"), a_tree([], "b.example/log")
    watch = Watch(opened(first, second), EVERYTHING, no_notes)
    grow(first, [decision(1, T0_US + 30), decision(2, T0_US + 50)], 0, "a.example/log")
    grow(second, [decision(1, T0_US + 40)], 0, "b.example/log")
    assert [row.origin[0] for row in looked(watch)] == ["a", "b", "a"]


def test_write_ahead_logs_of_two_workers_come_in_the_order_of_time() -> None:
    log, wal = a_tree([]), MemoryDisk(Faults())
    first = [record(0), *(decision(seq, T0_US + 20 * seq) for seq in (1, 2))]
    second = [record(0, writer=1), *(decision(seq, T0_US + 20 * seq + 10, writer=1) for seq in (1, 2))]
    wal.replace({wal_file(): wal_bytes([first]), wal_file(1): wal_bytes([second], 1)})
    for limit in (None, 50):
        found = listed([Following(log, wal, no_notes)], Asked(EVERYTHING, limit), no_notes, ignored)
        assert seqs(list(found)) == [0, 1000, 1, 1001, 2, 1002]
    watch = Watch([Following(log, wal, no_notes)], EVERYTHING, no_notes)
    assert seqs(looked(watch)) == [0, 1000, 1, 1001, 2, 1002]
