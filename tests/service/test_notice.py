"""One record of the command line: durable when the call returns, in the tree as soon as a sequencer gets to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdp.audit.ids import parse
from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.notice import COMMAND_LINE_WRITER, _integrate, write_durably
from pdp.audit.reader import find
from pdp.audit.sequencer_main import hold_log
from pdp.audit.verify import verify_log
from tests.support.logs import ORIGIN, ignore


@pytest.fixture
def keys(tmp_path: Path) -> LogKeys:
    for folder in ("wal", "log"):
        (tmp_path / folder).mkdir()
    return create_keys(tmp_path / "keys", ORIGIN, os.urandom)


def test_without_a_service_one_sequencer_brings_it_into_the_tree(tmp_path: Path, keys: LogKeys) -> None:
    records = [write_durably(tmp_path, keys, "audit.reidentify", {"t": n}) for n in range(2)]
    assert len(set(records)) == 2
    assert {parse(record).writer for record in records} == {COMMAND_LINE_WRITER}
    for record in records:
        found = find(tmp_path / "log", tmp_path / "wal", record)
        assert found is not None
        assert isinstance(found.where, int)
    assert verify_log(tmp_path / "log", tmp_path / "wal", keys.vkey, ignore).exit_code == 0


def test_beside_a_running_sequencer_it_is_durable_and_left_to_that(tmp_path: Path, keys: LogKeys) -> None:
    lock = hold_log(tmp_path / "log" / ".lock", lambda: 0.0)
    try:
        record = write_durably(tmp_path, keys, "audit.reidentify", {"t": 1})
    finally:
        os.close(lock)
    found = find(tmp_path / "log", tmp_path / "wal", record)
    assert found is not None
    assert found.where == "wal"


def test_a_sequencer_that_takes_too_long_is_ended_and_no_error(tmp_path: Path, keys: LogKeys) -> None:
    """The record is on disk by then: what was to be shown after it may be shown."""
    _integrate(tmp_path, 0.001)
    assert not (tmp_path / "log" / "checkpoint").exists()
