"""The log writer: gaps that are stated once and not lost, and lock files that are broken while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.writer import Limits
from pdp.errors import AuditError
from tests.support.writing import Bench, Clock, Disk, Gate, Settled


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LogKeys:
    return create_keys(tmp_path_factory.mktemp("state") / "keys", "pdp.example.com/test", os.urandom)


@pytest.fixture
def bench(tmp_path: Path, keys: LogKeys) -> Bench:
    return Bench(tmp_path, keys, Clock())


def test_a_gap_behind_a_strict_record_whose_write_fails_is_stated_again(bench: Bench) -> None:
    """The strict record is synced, and the gap that was taken with it is not in the file yet."""
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled, Limits(group_bytes=1)) as writer:
        gate.close()
        writer.append("decision", {"d": "allow"}, None, strict=False)
        gate.wait()
        writer.append("decision", {"d": "allow"}, None, strict=True)
        with pytest.raises(AuditError, match=r"audit\.record"):
            writer.append("decision", {"a": 0.5}, None, strict=False)
        gate.passes, gate.fails = 2, 1
        gate.open()
        settled.wait(2)
    assert [receipt.error for receipt in settled.receipts] == [None, None]
    stated = [leaf.clear["refused"] for leaf in disk.leaves() if leaf.kind == "log.gap"]
    assert stated == [1]


def test_a_gap_that_is_on_the_disk_is_not_stated_again_when_the_file_is_given_up(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled) as writer:
        gate.close()
        writer.append("decision", {"d": "allow"}, None, strict=False)
        gate.wait()
        with pytest.raises(AuditError, match=r"audit\.record"):
            writer.append("decision", {"a": 0.5}, None, strict=False)
        writer.append("decision", {"d": "allow"}, None, strict=True)
        gate.open()
        settled.wait(2)
        gate.fails = 1
        writer.append("decision", {"d": "allow"}, None, strict=True)
        settled.wait(3)
    gaps = [leaf.clear for leaf in disk.leaves() if leaf.kind == "log.gap"]
    assert [(gap["refused"], gap["failed"]) for gap in gaps] == [(1, 0), (0, 1)]


def test_a_lock_file_that_lost_its_number_refuses_until_it_is_mended(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    lock = bench.wal / "01.lock"
    with bench.running(disk.open, settled, Limits(reopen_us=0)) as writer:
        number = lock.read_bytes()
        lock.write_bytes(b"no number\n")
        gate.fails = 1
        writer.append("decision", {"d": "allow"}, None, strict=True)
        settled.wait(1)
        while "boot number" not in (writer.status().poisoned or ""):
            with pytest.raises(AuditError, match=r"audit\.unavailable"):
                writer.append("decision", {"d": "allow"}, None, strict=True)
        lock.write_bytes(number)
        while writer.status().poisoned is not None:
            bench.clock.pass_us(1)
        writer.append("decision", {"d": "allow"}, None, strict=True)
        settled.wait(2)
    assert settled.receipts[-1].error is None
