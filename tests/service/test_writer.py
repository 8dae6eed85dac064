"""pdp.audit.writer: what was acknowledged is in the log, whatever fails and whenever."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec import Struct

from pdp.audit import ids
from pdp.audit.box import open_box, salt_of
from pdp.audit.files import LogFile, open_log_file
from pdp.audit.frame import scan
from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.leaf import Leaf, parse
from pdp.audit.wal import wal_name
from pdp.audit.writer import Limits, LogWriter, Receipt
from pdp.errors import AuditError, StateError
from tests.support.writing import WAIT_S, Bench, Clock, Disk, Settled, Stored

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LogKeys:
    return create_keys(tmp_path_factory.mktemp("state") / "keys", "pdp.example.com/test", os.urandom)


@pytest.fixture
def bench(tmp_path: Path, keys: LogKeys) -> Bench:
    return Bench(tmp_path, keys, Clock())


def _kinds(leaves: Sequence[Leaf]) -> list[str]:
    return [leaf.kind for leaf in leaves]


def _assert_contiguous(disk: Disk, keys: LogKeys) -> None:
    """Every file starts with log.start, and its ids count from 0 under its own boot number."""
    for name, stored in disk.files.items():
        leaves = stored.leaves()
        for seq, leaf in enumerate(leaves):
            parsed = ids.parse(leaf.id)
            assert (wal_name(parsed.writer, parsed.boot), parsed.seq) == (name, seq)
            assert ids.IdKey(keys.id_key).check(leaf.id)
        assert _kinds(leaves[:1]) in (["log.start"], [])


# ---------------------------------------------------------------- the sound log


def test_records_are_written_in_order_and_opened_again(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:
        first = writer.append("decision", {"t": 1, "d": "allow"}, b"inputs one", strict=False)
        second = writer.append("decision", {"t": 2, "d": "deny"}, b"inputs two", strict=True)
        settled.wait(2)
        assert writer.status().next_seq == 3
    (stored,) = disk.files.values()
    leaves = stored.leaves()
    assert _kinds(leaves) == ["log.start", "decision", "decision", "log.heartbeat", "log.stop"]
    assert [leaf.id for leaf in leaves[1:3]] == [first.id, second.id]
    assert (first.settled, first.error, second.settled, second.error) == (True, None, True, None)
    opened = [open_box(bench.keys.box_key, salt_of(leaves[0]), bench.keys.origin, leaf) for leaf in leaves[1:3]]
    assert opened == [b"inputs one", b"inputs two"]
    _assert_contiguous(disk, bench.keys)
    assert stored.synced == len(stored.data)


def test_log_start_says_what_a_reader_needs(bench: Bench) -> None:
    disk = Disk()
    with bench.running(disk.open, Settled()) as writer:
        boot = writer.boot()
    start = disk.leaves()[0]
    assert len(salt_of(start)) == 32
    assert {name: start.clear[name] for name in ("boot", "writer", "software", "origin", "t")} == {
        "boot": f"{boot:08x}",
        "writer": 1,
        "software": "portcullis test",
        "origin": bench.keys.origin,
        "t": bench.clock.now_us,
    }


def test_log_start_is_durable_when_start_returns(bench: Bench) -> None:
    disk = Disk()
    with bench.running(disk.open, Settled()):
        assert _kinds(disk.leaves(durable=True)) == ["log.start"]


def test_a_correction_has_an_id_of_its_own_and_names_the_record(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:
        first = writer.append("decision", {"d": "allow"}, None, strict=False)
        changed = writer.append("answer.changed", {"d": "deny"}, None, strict=False, same_id=first.id)
        settled.wait(2)
    leaf = disk.leaves()[2]
    assert (leaf.id, leaf.clear["of"]) == (changed.id, first.id)
    assert changed.id != first.id


def test_what_is_written_is_synced_soon_even_when_nothing_follows(bench: Bench) -> None:
    synced = threading.Event()
    disk = Disk(lambda operation, number: synced.set() if operation == "sync" and number > 2 else None)
    with bench.running(disk.open, Settled()) as writer:
        receipt = writer.append("decision", {}, None, strict=False)
        assert synced.wait(WAIT_S)
        assert receipt.settled


@pytest.mark.parametrize("step_us", [3_600_000_000, -3_600_000_000], ids=["later", "set_back"])
def test_a_busy_log_is_synced_by_the_clock_though_nothing_is_strict(bench: Bench, step_us: int) -> None:
    syncs = threading.Semaphore(0)
    disk = Disk(lambda operation, _: syncs.release() if operation == "sync" else None)
    settled = Settled()
    with bench.running(disk.open, settled, Limits(sync_us=3_600_000_000)) as writer:
        assert syncs.acquire(timeout=WAIT_S)
        writer.append("decision", {}, None, strict=False)
        settled.wait(1)
        assert not syncs.acquire(blocking=False)
        bench.clock.now_us += step_us
        if step_us < 0:
            bench.clock.pass_us(3_600_000_000)
        writer.append("decision", {}, None, strict=False)
        assert syncs.acquire(timeout=WAIT_S)


def test_a_log_that_was_given_up_is_opened_again_though_nobody_appends(bench: Bench) -> None:
    synced = threading.Semaphore(0)

    def fault(operation: str, number: int) -> None:
        if (operation, number) == ("write", 3):
            raise OSError(errno.EIO, "the disk failed, once")
        if operation == "sync":
            synced.release()

    disk, settled = Disk(fault), Settled()
    with bench.running(disk.open, settled, Limits(reopen_us=10_000)) as writer:
        assert synced.acquire(timeout=WAIT_S)
        receipt = writer.append("decision", {}, None, strict=True)
        assert synced.acquire(timeout=WAIT_S)
        assert receipt.error is not None
    assert _kinds(disk.leaves())[-4:] == ["log.start", "log.gap", "log.heartbeat", "log.stop"]


def test_short_writes_are_completed(bench: Bench) -> None:
    disk, settled = Disk(most=7), Settled()
    with bench.running(disk.open, settled) as writer:
        receipts = [writer.append("decision", {"n": n}, b"x", strict=True) for n in range(20)]
        settled.wait(20)
    assert [receipt.error for receipt in receipts] == [None] * 20
    assert {receipt.id for receipt in receipts} <= {leaf.id for leaf in disk.leaves(durable=True)}


def test_a_large_file_is_finished_and_followed(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled, Limits(file_bytes=4_000)) as writer:
        receipts = []
        for n in range(60):
            receipts.append(writer.append("decision", {"n": n}, b"x" * 50, strict=n % 3 == 0))
            if n % 5 == 0:
                settled.wait(len(receipts))
        settled.wait(60)
    assert len(disk.files) > 3
    assert not settled.complaints
    assert [receipt.error for receipt in receipts] == [None] * 60
    assert [leaf.clear["n"] for leaf in disk.leaves() if leaf.kind == "decision"] == list(range(60))
    between = "".join(operation[0] for operation in disk.done).replace("w", "").replace("s", "")
    assert between == "oc" * len(disk.files), "a file is finished before the next one is created"
    for stored in disk.files.values():
        assert _kinds(stored.leaves()[-1:]) == ["log.stop"]
        assert stored.synced == len(stored.data)
    _assert_contiguous(disk, bench.keys)


def test_appends_from_many_threads_are_contiguous(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:

        def work() -> None:
            for n in range(50):
                writer.append("decision", {"n": n}, b"x", strict=n % 10 == 0)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settled.wait(200)
    _assert_contiguous(disk, bench.keys)
    assert Counter(_kinds(disk.leaves()))["decision"] == 200


# ---------------------------------------------------------------- what cannot be a record


def test_a_record_that_cannot_be_written_takes_no_number_and_is_counted(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:
        first = writer.append("decision", {}, None, strict=True)
        for clear, inputs in (({"a": 1.5}, None), ({"a": "\udc80"}, b"x"), ({}, bytes(60_000))):
            with pytest.raises(AuditError) as refused:
                writer.append("decision", clear, inputs, strict=True)
            assert refused.value.code == "audit.record"
        second = writer.append("decision", {}, b"x", strict=True)
        settled.wait(2)
    assert (first.error, second.error) == (None, None)
    _assert_contiguous(disk, bench.keys)
    gaps = [leaf.clear for leaf in disk.leaves() if leaf.kind == "log.gap"]
    assert [sum(int(str(gap[name])) for gap in gaps) for name in ("refused", "failed")] == [3, 0]


# ---------------------------------------------------------------- faults


class Run(Struct):
    """What a run of 50 appends under a fault came to."""

    disk: Disk
    settled: Settled
    receipts: list[Receipt]
    refused: int


def _run(bench: Bench, fault: Callable[[str, int], None], most: int) -> Run:
    """Append 50 records, every third strict, now one and now seven before waiting; time moves on by a second each."""
    disk = Disk(fault, most)

    def acknowledged_is_in_the_log(receipt: Receipt) -> None:
        if receipt.error is None:
            assert receipt.id in {leaf.id for leaf in disk.leaves(durable=receipt.strict)}, "acknowledged and lost"

    settled = Settled(acknowledged_is_in_the_log)
    run = Run(disk, settled, [], 0)
    with bench.running(disk.open, settled) as writer:
        for n in range(50):
            try:
                run.receipts.append(writer.append("decision", {"n": n}, b"inputs", strict=n % 3 == 0))
            except AuditError as error:
                assert error.code == "audit.unavailable"
                run.refused += 1
            if n % 8 in (0, 7):
                settled.wait(len(run.receipts))
            bench.clock.now_us += 1_000_000
        settled.wait(len(run.receipts))
    return run


def _once(at: int, code: int) -> Callable[[str, int], None]:
    def fault(_operation: str, number: int) -> None:
        if number == at:
            raise OSError(code, os.strerror(code))

    return fault


def _from(at: int, length: int) -> Callable[[str, int], None]:
    def fault(_operation: str, number: int) -> None:
        if at <= number < at + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return fault


def _assert_sound(run: Run, keys: LogKeys) -> None:
    assert not run.settled.complaints
    assert all(receipt.settled for receipt in run.receipts)
    assert Counter(receipt.id for receipt in run.settled.receipts) == Counter(receipt.id for receipt in run.receipts)
    leaves = run.disk.leaves()
    written = {leaf.id for leaf in leaves}
    assert len(written) == len(leaves)
    assert all(receipt.id in written for receipt in run.receipts if receipt.error is None)
    _assert_contiguous(run.disk, keys)


def _stated(run: Run) -> tuple[int, int]:
    gaps = [leaf.clear for leaf in run.disk.leaves() if leaf.kind == "log.gap"]
    refused, failed = (sum(int(str(gap[name])) for gap in gaps) for name in ("refused", "failed"))
    return refused, failed


@pytest.mark.parametrize("most", [1_000_000, 300], ids=["whole_writes", "short_writes"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_fault_at_every_operation_loses_nothing_acknowledged(bench: Bench, code: int, most: int) -> None:
    first = 3 if most == 1_000_000 else 4  # before it: open, the writes of log.start, sync
    lost = refused = 0
    for at in range(first, 60):
        run = _run(bench, _once(at, code), most)
        _assert_sound(run, bench.keys)
        failed = sum(receipt.error is not None for receipt in run.receipts)
        assert len(run.receipts) + run.refused == 50
        refused_stated, failed_stated = _stated(run)
        assert refused_stated >= run.refused
        assert failed_stated >= failed
        assert len(run.disk.files) <= 2
        lost, refused = lost + failed, refused + run.refused
    assert min(lost, refused) > 0


@pytest.mark.parametrize("length", [2, 3, 9])
def test_a_run_of_faults_loses_nothing_acknowledged(bench: Bench, length: int) -> None:
    for at in range(3, 40, 2):
        _assert_sound(_run(bench, _from(at, length), 1_000_000), bench.keys)


@pytest.mark.parametrize("at", [0, 1, 2], ids=["open", "write", "sync"])
def test_a_writer_that_cannot_begin_does_not_start(bench: Bench, at: int) -> None:
    disk = Disk(_once(at, errno.ENOSPC))
    writer = bench.writer(disk.open, Settled(), Limits())
    with pytest.raises(AuditError) as refused:
        writer.start()
    assert refused.value.code == "audit.unavailable"
    with pytest.raises(AuditError):
        writer.append("decision", {}, None, strict=False)
    writer.close(WAIT_S)
    with bench.running(Disk().open, Settled()):
        pass


def test_a_dead_disk_is_asked_once_a_second_and_the_gap_is_stated(bench: Bench) -> None:
    dead = threading.Event()
    opens: list[int] = []
    tried = threading.Semaphore(0)

    def fault(operation: str, number: int) -> None:
        if operation == "open":
            opens.append(number)
        if dead.is_set():
            if operation == "open":
                tried.release()
            raise OSError(errno.EIO, "dead")

    disk, settled = Disk(fault), Settled()
    with bench.running(disk.open, settled) as writer:
        first_boot = writer.boot()
        dead.set()
        lost = writer.append("decision", {}, None, strict=True)
        settled.wait(1)
        assert lost.error is not None
        assert lost.error.code == "audit.unavailable"
        died_us = bench.clock.now_us
        for _ in range(3):
            for _ in range(10):
                with pytest.raises(AuditError, match="dead"):
                    writer.append("decision", {}, None, strict=False)
            assert tried.acquire(timeout=WAIT_S)
            with pytest.raises(AuditError, match="dead"):
                writer.append("decision", {}, None, strict=False)
            assert not tried.acquire(timeout=0.02), "asked twice in one second"
            bench.clock.now_us += 1_000_000
        assert len(opens) == 4
        dead.clear()
        with pytest.raises(AuditError):
            writer.append("decision", {}, None, strict=False)
        while writer.status().poisoned is not None:
            threading.Event().wait(0.001)
        assert writer.boot() != first_boot
        assert writer.status().refused == 34
        after = writer.append("decision", {}, None, strict=True)
        settled.wait(2)
        assert after.error is None
    newest = list(disk.files.values())[-1].leaves()
    assert _kinds(newest) == ["log.start", "log.gap", "decision", "log.heartbeat", "log.stop"]
    gap = newest[1].clear
    assert (gap["refused"], gap["failed"]) == (34, 1)
    assert (gap["from"], gap["to"]) == (died_us, died_us + 3_000_000)


def test_a_file_asked_for_again_while_it_is_opened_is_opened_once(bench: Bench) -> None:
    """Else a second file would take the first one's place, and with it records that have the ids of the first."""
    broken, opening, go = threading.Event(), threading.Event(), threading.Event()

    def fault(operation: str, number: int) -> None:
        if operation == "sync" and broken.is_set():
            broken.clear()
            raise OSError(errno.EIO, "once")
        if operation == "open" and number > 0:
            opening.set()
            _wait(go)

    disk, settled = Disk(fault), Settled()
    with bench.running(disk.open, settled) as writer:
        broken.set()
        writer.append("decision", {}, None, strict=True)
        settled.wait(1)
        for _ in range(2):
            with pytest.raises(AuditError, match="once"):
                writer.append("decision", {}, None, strict=True)
            bench.clock.now_us += 1_000_000
            assert opening.wait(WAIT_S)
        go.set()
        until = time.monotonic() + WAIT_S
        while writer.status().poisoned is not None:
            assert time.monotonic() < until
            time.sleep(0.001)
        after = writer.append("decision", {}, None, strict=True)
        settled.wait(2)
        assert after.error is None
    assert [Counter(_kinds(file.leaves())) for file in disk.files.values()] == [
        {"log.start": 1, "decision": 1},
        {"log.start": 1, "log.gap": 2, "decision": 1, "log.heartbeat": 1, "log.stop": 1},
    ]
    _assert_contiguous(disk, bench.keys)


def test_a_gap_that_no_append_followed_is_stated_at_the_end(bench: Bench) -> None:
    broken = threading.Event()

    def fault(operation: str, _number: int) -> None:
        if broken.is_set() and operation == "sync":
            broken.clear()
            raise OSError(errno.EIO, "once")

    disk, settled = Disk(fault), Settled()
    with bench.running(disk.open, settled) as writer:
        broken.set()
        lost = writer.append("decision", {}, None, strict=True)
        settled.wait(1)
        assert lost.error is not None
    newest = list(disk.files.values())[-1].leaves()
    assert _kinds(newest) == ["log.start", "log.gap", "log.heartbeat", "log.stop"]
    assert newest[1].clear["failed"] == 1


def test_a_stalled_disk_never_blocks_an_append_and_the_full_ring_refuses(bench: Bench) -> None:
    go = threading.Event()
    stalled = threading.Event()

    def fault(operation: str, number: int) -> None:
        if operation == "write" and number > 2:
            stalled.set()
            assert go.wait(WAIT_S)

    disk, settled = Disk(fault), Settled()
    with bench.running(disk.open, settled, Limits(records=64)) as writer:
        receipts = [writer.append("decision", {"n": 0}, None, strict=False)]
        assert stalled.wait(WAIT_S)
        receipts += [writer.append("decision", {"n": n}, None, strict=n % 2 == 0) for n in range(1, 64)]
        for _ in range(5):
            with pytest.raises(AuditError) as refused:
                writer.append("decision", {}, None, strict=False)
            assert refused.value.code == "audit.full"
        assert not any(receipt.settled for receipt in receipts)
        assert writer.status().pending == 64
        go.set()
        settled.wait(64)
        receipts.append(writer.append("decision", {"n": 64}, None, strict=True))
        settled.wait(65)
    assert [receipt.error for receipt in receipts] == [None] * 65
    leaves = disk.leaves()
    assert [leaf.clear["n"] for leaf in leaves if leaf.kind == "decision"] == list(range(65))
    assert [leaf.clear["refused"] for leaf in leaves if leaf.kind == "log.gap"] == [5]
    (stored,) = disk.files.values()
    frames = [[parse(leaf).kind for leaf in frame.leaves] for frame in scan(stored.data).frames]
    assert frames[:4] == [["log.start"], ["decision"], ["decision"] * 63, ["log.gap"]], "a gap waits for room"
    _assert_contiguous(disk, bench.keys)


def test_what_waits_behind_a_failing_write_fails_with_it_and_is_never_written(bench: Bench) -> None:
    go = threading.Event()
    stalled = threading.Event()

    def fault(operation: str, _number: int) -> None:
        if operation == "write" and armed.is_set() and not go.is_set():
            stalled.set()
            assert go.wait(WAIT_S)
            raise OSError(errno.EIO, "after a while")

    armed = threading.Event()
    disk, settled = Disk(fault), Settled()
    with bench.running(disk.open, settled) as writer:
        armed.set()
        receipts = [writer.append("decision", {}, None, strict=False)]
        assert stalled.wait(WAIT_S)
        receipts += [writer.append("decision", {}, None, strict=n % 2 == 0) for n in range(20)]
        go.set()
        settled.wait(21)
        assert all(receipt.error is not None for receipt in receipts)
        with pytest.raises(AuditError, match="after a while"):
            writer.append("decision", {}, None, strict=False)
    assert [_kinds(file.leaves()) for file in disk.files.values()] == [
        ["log.start"],
        ["log.start", "log.gap", "log.heartbeat", "log.stop"],
    ]
    gap = disk.leaves()[2].clear
    assert (gap["refused"], gap["failed"]) == (1, 21)
    _assert_contiguous(disk, bench.keys)


def test_a_gap_is_stated_without_another_append(bench: Bench) -> None:
    synced = threading.Semaphore(0)
    disk = Disk(lambda operation, _: synced.release() if operation == "sync" else None)
    with bench.running(disk.open, Settled()) as writer:
        assert synced.acquire(timeout=WAIT_S)
        with pytest.raises(AuditError, match=r"audit\.record"):
            writer.append("decision", {"a": 0.5}, None, strict=False)
        assert synced.acquire(timeout=WAIT_S)
        assert _kinds(disk.leaves()) == ["log.start", "log.gap"]


def test_a_gap_whose_leaf_was_lost_is_stated_again(bench: Bench) -> None:
    broken = threading.Semaphore(0)

    def fault(operation: str, number: int) -> None:
        if (operation, number) == ("sync", 4):
            broken.release()
            raise OSError(errno.EIO, "once")

    disk = Disk(fault)
    with bench.running(disk.open, Settled()) as writer:
        with pytest.raises(AuditError, match=r"audit\.record"):
            writer.append("decision", {"a": 0.5}, None, strict=False)
        assert broken.acquire(timeout=WAIT_S)
    newest = list(disk.files.values())[-1].leaves(durable=True)
    assert _kinds(newest) == ["log.start", "log.gap", "log.heartbeat", "log.stop"]
    assert newest[1].clear["refused"] == 1


def test_a_file_that_could_not_be_begun_is_removed(bench: Bench) -> None:
    class Unsynced:
        def __init__(self, file: LogFile) -> None:
            self.write, self.close = file.write, file.close

        def sync(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(AuditError, match="No space left"):
        bench.writer(lambda path: Unsynced(open_log_file(path)), Settled(), Limits()).start()
    assert list(bench.wal.glob("*.wal")) == []


def test_the_ring_is_bounded_in_bytes(bench: Bench) -> None:
    go = threading.Event()
    disk = Disk(lambda operation, number: None if operation != "write" or number < 3 else _wait(go))
    settled = Settled()
    with bench.running(disk.open, settled, Limits(ring_bytes=20_000)) as writer:
        while writer.status().refused == 0:
            with suppress(AuditError):
                writer.append("decision", {"a": "x" * 1_000}, None, strict=False)
        assert 10 < writer.status().pending < 25
        go.set()
        settled.wait(11)


def _wait(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


def test_a_frame_holds_about_a_group_and_every_receipt_is_settled(bench: Bench) -> None:
    go = threading.Event()
    disk = Disk(lambda operation, number: None if operation != "write" or number < 3 else _wait(go))
    settled = Settled()
    with bench.running(disk.open, settled, Limits(group_bytes=2_500)) as writer:
        for n in range(30):
            writer.append("decision", {"n": n, "a": "x" * 1_000}, None, strict=False)
        go.set()
        settled.wait(30)
    (stored,) = disk.files.values()
    assert max(len(frame.leaves) for frame in scan(stored.data).frames) == 2


def test_a_listener_that_raises_does_not_end_the_log(bench: Bench) -> None:
    calls = threading.Semaphore(0)

    def raising(_: Sequence[Receipt]) -> None:
        calls.release()
        raise RuntimeError("the loop is closed")

    disk = Disk()
    with bench.running(disk.open, raising) as writer:
        for _ in range(2):
            receipt = writer.append("decision", {}, None, strict=True)
            assert calls.acquire(timeout=WAIT_S)
            assert receipt.error is None
    assert _kinds(disk.leaves()) == ["log.start", "decision", "decision", "log.heartbeat", "log.stop"]
    assert writer.status().undelivered == 2


def test_a_fault_nobody_foresaw_refuses_everything_after_it(bench: Bench) -> None:
    def fault(operation: str, number: int) -> None:
        if operation == "write" and number > 2:
            raise RuntimeError("a bug")

    settled = Settled()
    with bench.running(Disk(fault).open, settled) as writer:
        receipt = writer.append("decision", {}, None, strict=False)
        settled.wait(1)
        assert receipt.error is not None
        with pytest.raises(AuditError):
            writer.append("decision", {}, None, strict=False)


# ---------------------------------------------------------------- the life of a writer


def test_before_the_start_and_after_the_end_appends_are_refused(bench: Bench) -> None:
    disk = Disk()
    writer = bench.writer(disk.open, Settled(), Limits())
    with pytest.raises(AuditError, match=r"audit\.closed"):
        writer.append("decision", {}, None, strict=False)
    writer.close(WAIT_S)
    with bench.running(disk.open, Settled()) as running:
        pass
    with pytest.raises(AuditError, match=r"audit\.closed"):
        running.append("decision", {}, None, strict=False)
    running.close(WAIT_S)
    assert _kinds(disk.leaves()) == ["log.start", "log.heartbeat", "log.stop"]


def test_what_was_appended_before_the_end_is_written_and_settled(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:
        receipts = [writer.append("decision", {}, b"x", strict=False) for _ in range(200)]
    assert [receipt.error for receipt in receipts] == [None] * 200
    assert all(receipt.settled for receipt in receipts)
    assert _kinds(disk.leaves(durable=True)) == ["log.start", *["decision"] * 200, "log.heartbeat", "log.stop"]


def test_closing_over_a_stalled_disk_says_so_and_succeeds_later(bench: Bench) -> None:
    go = threading.Event()
    disk = Disk(lambda operation, number: None if operation != "write" or number < 3 else _wait(go))
    settled = Settled()
    with bench.running(disk.open, settled) as writer:
        writer.append("decision", {}, None, strict=True)
        with pytest.raises(AuditError, match=r"audit\.unfinished"):
            writer.close(0.01)
        with pytest.raises(StateError, match="S121"):
            bench.writer(disk.open, settled, Limits()).start()
        go.set()
    assert settled.receipts[0].error is None


@pytest.mark.parametrize("number", [-1, 256])
def test_a_writer_number_has_eight_bits(bench: Bench, number: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        LogWriter(
            bench.wal,
            number,
            bench.keys,
            open_file=Disk().open,
            entropy=os.urandom,
            clock_us=bench.clock,
            on_settled=Settled(),
            software="x",
        )


def test_what_earlier_runs_left_is_recovered_and_stated(bench: Bench) -> None:
    with bench.running(open_log_file, Settled()):
        pass
    (earlier,) = bench.wal.glob("*.wal")
    sound = earlier.read_bytes()
    earlier.write_bytes(sound + sound[:50])
    damaged = bench.wal / wal_name(1, 7)
    damaged.write_bytes(b"\x00" + sound[1:])
    with bench.running(open_log_file, Settled()) as writer:
        newest = bench.wal / wal_name(1, writer.boot())
    assert earlier.read_bytes() == sound
    leaves = Stored(newest.read_bytes()).leaves()
    assert _kinds(leaves) == ["log.start", "log.recovered", "log.recovered", "log.heartbeat", "log.stop"]
    stated = {str(leaf.clear["file"]): leaf.clear for leaf in leaves[1:3]}
    assert {name: (c["kept_seq"], c["discarded"], c["damaged"]) for name, c in stated.items()} == {
        earlier.name: (2, 50, False),
        damaged.name: (None, len(sound), True),
    }


def test_entropy_and_the_clock_decide_every_byte(bench: Bench) -> None:
    """Two writers with the same entropy, clock and empty folder write the same bytes: nothing else is random."""
    digests = set()
    for name in ("a", "b"):
        disk, settled = Disk(), Settled()
        (bench.wal / name).mkdir()
        writer = LogWriter(
            bench.wal / name,
            1,
            bench.keys,
            open_file=disk.open,
            entropy=lambda size: b"\x07" * size,
            clock_us=bench.clock,
            on_settled=settled,
            software="x",
            monotonic_us=bench.clock.monotonic_us,
        )
        writer.start()
        writer.append("decision", {}, b"x", strict=True)
        writer.close(WAIT_S)
        (stored,) = disk.files.values()
        digests.add(sha256(stored.data).digest())
    assert len(digests) == 1


def test_every_file_has_a_higher_boot_though_the_clock_stands_still_or_is_set_back(bench: Bench) -> None:
    boots = []
    for step_us in (0, 0, -3_600_000_000, 60_000_000):
        bench.clock.now_us += step_us
        disk, settled = Disk(), Settled()
        with bench.running(disk.open, settled, Limits(file_bytes=500)) as writer:
            for n in range(5):
                writer.append("decision", {"n": n, "a": "x" * 500}, None, strict=True)
                settled.wait(n + 1)
        boots += [int(name[3:11], 16) for name in disk.files]
    assert len(boots) >= 8
    assert boots == sorted(set(boots))
    assert boots[0] == bench.clock.now_us // 1_000_000 + 3_540


def test_the_boot_number_is_on_the_disk_before_its_file_is_created(bench: Bench) -> None:
    seen: list[tuple[str, str]] = []
    disk, settled = Disk(), Settled()

    def open_file(path: Path) -> LogFile:
        seen.append((path.name, (bench.wal / "01.lock").read_text()))
        return disk.open(path)

    with bench.running(open_file, settled, Limits(file_bytes=500)) as writer:
        for n in range(3):
            writer.append("decision", {"a": "x" * 500}, None, strict=True)
            settled.wait(n + 1)
    assert len(seen) >= 3
    assert all(name == f"01-{text.removesuffix(chr(10))}.wal" for name, text in seen)


def test_a_writer_locks_the_file_it_has_open_and_no_other(bench: Bench) -> None:
    settled = Settled()
    with bench.running(open_log_file, settled, Limits(file_bytes=500)) as writer:
        for n in range(3):
            writer.append("decision", {"a": "x" * 500}, None, strict=True)
            settled.wait(n + 1)
        until = time.monotonic() + WAIT_S
        while (locked := {path.name for path in bench.wal.glob("*.wal") if _is_locked(path)}) != {
            wal_name(1, writer.boot())
        }:
            assert time.monotonic() < until, locked
    assert not any(map(_is_locked, bench.wal.glob("*.wal")))


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# ---------------------------------------------------------------- a real process, killed

WORKER = """
import os, sys, threading, time
from pathlib import Path
from pdp.audit.files import open_log_file
from pdp.audit.keys import load_keys
from pdp.audit.writer import LogWriter

def settled(receipts):
    lines = [f"{receipt.id} {int(receipt.strict)}\\n" for receipt in receipts if receipt.error is None]
    for line in lines:
        os.write(1, line.encode())

state = Path(sys.argv[1])
writer = LogWriter(state / "wal", 1, load_keys(state / "keys"), open_file=open_log_file, entropy=os.urandom,
                   clock_us=lambda: time.time_ns() // 1000, on_settled=settled, software="worker")
writer.start()
for n in range(1_000_000):
    writer.append("decision", {"n": n}, b"inputs", strict=n % 5 == 0)
    if n % 50 == 0:
        time.sleep(0.001)
"""


def test_a_killed_writer_had_everything_it_acknowledged_in_its_log(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    keys = create_keys(tmp_path / "keys", "pdp.example.com/test", os.urandom)
    acknowledged: set[str] = set()
    for round_number in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(100 + 150 * round_number)]
            process.kill()
            lines += process.stdout.readlines()
        acknowledged |= {line.split()[0].decode() for line in lines if line.endswith(b"\n")}
    with Bench(tmp_path / "wal", keys, Clock()).running(open_log_file, Settled()):
        pass
    files = sorted((tmp_path / "wal").glob("*.wal"))
    assert len(files) == 6
    scans = [scan(path.read_bytes()) for path in files]
    assert all(found.torn == 0 for found in scans)
    written = {parse(leaf).id for found in scans for frame in found.frames for leaf in frame.leaves}
    assert len(acknowledged) > 1_000
    assert acknowledged <= written
