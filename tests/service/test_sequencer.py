"""The sequencer: every record once, nothing signed that is not durable, and no crash that breaks the log."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pdp.audit.checkpoint import CheckpointError, parse_vkey, sign_checkpoint
from pdp.audit.cursor import CursorEntry, Position, encode_cursor, matching_entry
from pdp.audit.frame import scan
from pdp.audit.merkle import EMPTY_ROOT, Edge, widths
from pdp.audit.reader import MOST_WAL_BYTES, entries, find, read_bundle, tree_size
from pdp.audit.sequencer import MOST_STEP_BYTES, QUIET_S, Sequencer
from pdp.audit.tiles import ENTRIES, TileRef, refs_of_level
from pdp.audit.tree import Tree
from pdp.audit.verify import verify_files, verify_log
from pdp.audit.verify_trust import Wanted
from pdp.audit.wal import wal_name
from pdp.audit.writer import Receipt
from pdp.errors import StateError
from tests.support.logs import (
    KEY,
    ORIGIN,
    OTHER_KEY,
    VKEY,
    Clock,
    Faults,
    LiveLog,
    MemoryDisk,
    add_wal,
    build_log,
    ignore,
    put,
    record,
    records,
    sequencer_of,
    verified,
    wal_bytes,
    wal_file,
)


def tree_of(state: Path) -> list[bytes]:
    return [entry for _, entry in entries(state / "log")]


# ------------------------------------------------------------------ what it does


def test_a_new_log_gets_a_signed_checkpoint_of_no_records(tmp_path: Path) -> None:
    sequencer = sequencer_of(tmp_path)
    assert not sequencer.integrate()
    assert not sequencer.publish()
    report = verified(tmp_path)
    assert (report.exit_code, report.size, report.root) == (0, 0, EMPTY_ROOT.hex())


def test_records_enter_the_tree_in_their_order(tmp_path: Path) -> None:
    leaves = records(700)
    build_log(tmp_path, leaves)
    assert tree_of(tmp_path) == leaves
    report = verified(tmp_path)
    assert (report.exit_code, report.records, report.writers, report.pending) == (0, 700, 1, 0)


def test_only_the_forms_that_the_checkpoint_needs_stay(tmp_path: Path) -> None:
    sequencer = sequencer_of(tmp_path)
    for count in (100, 200, 300, 500, 700):
        add_wal(tmp_path, records(count))
        while sequencer.integrate():
            sequencer.publish()
    kept = sorted(p.relative_to(tmp_path / "log").as_posix() for p in (tmp_path / "log").rglob("*") if p.is_file())
    assert kept == [
        ".cursor",
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/188",
    ]
    assert verified(tmp_path).exit_code == 0


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    log = build_log(tmp_path, records(300))
    modes = {(p.is_dir(), p.stat().st_mode & 0o777) for p in (log, *log.rglob("*"))}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_successor_goes_on_where_the_checkpoint_is(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    add_wal(tmp_path, records(900))
    add_wal(tmp_path, records(40, writer=1, boot=7), writer=1, boot=7)
    sequencer = sequencer_of(tmp_path)
    while sequencer.integrate():
        pass
    sequencer.publish()
    assert Counter(tree_of(tmp_path)) == Counter(records(900) + records(40, writer=1, boot=7))
    assert verified(tmp_path).exit_code == 0


@pytest.mark.parametrize("cursor", [None, b"", b"not json", b"[]", b'{"format":1,"entries":[{"size":300}]}'])
def test_a_lost_cursor_is_derived_from_the_records(tmp_path: Path, cursor: bytes | None) -> None:
    build_log(tmp_path, records(300))
    if cursor is None:
        (tmp_path / "log" / ".cursor").unlink()
    else:
        (tmp_path / "log" / ".cursor").write_bytes(cursor)
    add_wal(tmp_path, records(500))
    sequencer = sequencer_of(tmp_path)
    assert sequencer.integrate()
    sequencer.publish()
    assert tree_of(tmp_path) == records(500)


def test_a_cursor_of_another_root_is_not_used() -> None:
    entry = CursorEntry(3, bytes(32), {wal_file(): Position(10, 3, b"d" * 32)})
    data = encode_cursor([entry, CursorEntry(4, b"r" * 32, {})])
    assert matching_entry(data, 3, bytes(32)) == entry
    assert matching_entry(data, 3, b"r" * 32) is None
    assert matching_entry(data, 5, b"r" * 32) is None


def test_a_file_that_does_not_fit_the_tree_is_left_alone_and_named(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / "log" / ".cursor").unlink()
    add_wal(tmp_path, records(250))
    add_wal(tmp_path, records(5, writer=1, boot=7), writer=1, boot=7)
    sequencer = sequencer_of(tmp_path)
    assert sequencer.integrate()
    assert list(sequencer.stuck) == [wal_file()]
    assert sequencer.size == 305


# ------------------------------------------------------------------ what it refuses


def test_tiles_without_a_checkpoint_stop_it(tmp_path: Path) -> None:
    """Else a removed checkpoint would start a second history over the first."""
    (build_log(tmp_path, records(3)) / "checkpoint").unlink()
    with pytest.raises(StateError, match="A630"):
        sequencer_of(tmp_path)


def test_a_checkpoint_of_another_key_stops_it(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, 0, EMPTY_ROOT, OTHER_KEY))
    with pytest.raises(CheckpointError, match="A603"):
        sequencer_of(tmp_path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a hash of the edge": lambda log: flip(log / "tile/0/001.p/44", 5),
    "a hash of the upper level": lambda log: flip(log / "tile/1/000.p/1", 5),
    "a record of the edge": lambda log: flip(log / "tile/entries/001.p/44", 50),
    "a missing tile": lambda log: (log / "tile/0/001.p/44").unlink(),
    "a missing bundle": lambda log: (log / "tile/entries/001.p/44").unlink(),
    "a bundle cut short": lambda log: (log / "tile/entries/001.p/44").write_bytes(b"\x00"),
    "an older checkpoint": lambda log: (log / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, 9, bytes(32), KEY)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_tree_is_not_extended(tmp_path: Path, name: str) -> None:
    log = build_log(tmp_path, records(300))
    DAMAGE[name](log)
    with pytest.raises(StateError, match="A631"):
        sequencer_of(tmp_path)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_nothing_behind_a_bad_frame_enters_the_tree(tmp_path: Path) -> None:
    add_wal(tmp_path, records(300))
    path = tmp_path / "wal" / wal_file()
    good = len(wal_bytes([records(300)[:100]]))
    flip(path, good + 200)
    sequencer = sequencer_of(tmp_path)
    assert sequencer.integrate()
    assert not sequencer.integrate()
    sequencer.publish()
    assert tree_of(tmp_path) == records(300)[:100]
    assert sequencer.stuck == {wal_file(): f"it is damaged after {good} bytes"}
    assert path.exists()


def test_a_torn_tail_is_read_when_it_is_whole(tmp_path: Path) -> None:
    add_wal(tmp_path, records(200))
    path = tmp_path / "wal" / wal_file()
    whole = path.read_bytes()
    sequencer = sequencer_of(tmp_path)
    path.write_bytes(whole[:-1])
    assert sequencer.integrate()
    assert not sequencer.integrate()
    path.write_bytes(whole)
    assert sequencer.integrate()
    assert (sequencer.size, sequencer.stuck) == (200, {})


def test_frames_of_another_writer_do_not_enter(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / wal_file(writer=1)).write_bytes(wal_bytes([records(3)], writer=0))
    sequencer = sequencer_of(tmp_path)
    assert not sequencer.integrate()
    assert list(sequencer.stuck) == [wal_file(writer=1)]


def test_a_file_that_cannot_be_synced_does_not_enter_and_does_not_stop_the_others() -> None:
    """Invariant I1, at its root: what is not durable is not integrated."""

    class Unsyncable(MemoryDisk):
        def sync(self, path: str) -> None:
            if path == wal_file():
                raise OSError("no")
            super().sync(path)

    log, wal = MemoryDisk(Faults()), Unsyncable(Faults())
    wal.append(wal_file(), wal_bytes([records(3)]))
    wal.append(wal_file(1, 7), wal_bytes([records(2, 1, 7)], writer=1))
    sequencer = Sequencer(log, wal, ORIGIN, KEY, lambda: 0.0)
    sequencer.start()
    sequencer.integrate()
    assert sequencer.size == 2
    assert list(sequencer.stuck) == [wal_file()]


# ------------------------------------------------------------------ write-ahead logs that are done


def removal(*, free: bool = True, log: MemoryDisk | None = None) -> tuple[Sequencer, MemoryDisk, Clock]:
    wal, clock = MemoryDisk(Faults()), Clock()
    wal.append(wal_file(), wal_bytes([records(3)]))
    if not free:
        wal.held.add(wal_file())
    sequencer = Sequencer(log or MemoryDisk(Faults()), wal, ORIGIN, KEY, clock)
    sequencer.start()
    sequencer.integrate()
    return sequencer, wal, clock


def test_a_covered_file_of_a_writer_that_is_gone_is_removed() -> None:
    sequencer, wal, clock = removal()
    clock.now = QUIET_S
    sequencer.publish()
    assert not wal.files
    assert not wal.durable


def test_a_file_is_kept_while_its_writer_lives() -> None:
    sequencer, wal, clock = removal(free=False)
    clock.now = QUIET_S
    sequencer.publish()
    assert wal.files


def test_a_file_is_kept_until_it_was_quiet() -> None:
    sequencer, wal, _ = removal()
    sequencer.publish()
    assert wal.files


def test_a_file_is_kept_until_a_checkpoint_covers_it() -> None:
    sequencer, wal, clock = removal()
    sequencer.publish()
    wal.append(wal_file(), wal_bytes([records(3), records(5)[3:]])[len(wal_bytes([records(3)])) :])
    clock.now = QUIET_S
    sequencer.integrate()
    clock.now = 2 * QUIET_S
    assert wal.files
    sequencer.publish()
    assert not wal.files


def test_a_file_with_a_torn_end_is_kept() -> None:
    sequencer, wal, clock = removal()
    wal.append(wal_file(), b"PWAL")
    sequencer.integrate()
    clock.now = QUIET_S
    sequencer.publish()
    assert wal.files


def test_an_older_file_of_a_living_writer_is_removed_once_it_is_closed() -> None:
    sequencer, wal, clock = removal()
    wal.append(wal_file(boot=1), wal_bytes([records(2, boot=1)]))
    wal.held.add(wal_file(boot=1))
    clock.now = QUIET_S
    sequencer.integrate()
    sequencer.publish()
    assert sorted(wal.files) == [wal_file(boot=1)]


def test_which_of_two_files_is_older_is_not_guessed() -> None:
    log, wal, clock = MemoryDisk(Faults()), MemoryDisk(Faults()), Clock()
    for boot in (1, 2):
        wal.append(wal_file(boot=boot), wal_bytes([records(2, boot=boot)]))
        wal.held.add(wal_file(boot=boot))
    sequencer = Sequencer(log, wal, ORIGIN, KEY, clock)
    sequencer.start()
    sequencer.integrate()
    clock.now = QUIET_S
    sequencer.publish()
    assert len(wal.files) == 2


def test_an_open_file_is_kept_though_another_of_its_writer_appears_and_grows_later() -> None:
    """What an old file does that was set aside and is put back, or that a long backlog hid until now."""
    sequencer, wal, clock = removal(free=False)
    for leaves in (records(2, boot=1), records(4, boot=1)):
        clock.now += QUIET_S
        wal.files[wal_file(boot=1)] = wal_bytes([leaves])
        sequencer.integrate()
        sequencer.publish()
    clock.now += QUIET_S
    sequencer.publish()
    assert wal_file() in wal.files


# ------------------------------------------------------------------ write-ahead logs of a real writer


def assert_there(live: LiveLog, receipts: list[Receipt]) -> None:
    """Every record is in the log, and the log is sound."""
    for receipt in receipts:
        assert find(live.state / "log", live.state / "wal", receipt.id) is not None
    report = verify_log(live.state / "log", live.state / "wal", live.keys.vkey, ignore)
    assert (report.exit_code, report.findings) == (0, ())


BACKLOG = MOST_STEP_BYTES // 50_000 + 50
"""Records of 50,000 bytes that do not fit one step."""


def test_a_backlog_does_not_make_the_open_file_of_a_writer_look_abandoned(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    with live.writing(b"\xee\0\0\0") as writer:
        receipts = put(writer, 3)
    with live.writing(b"\x11\0\0\0") as writer:
        receipts += put(writer, BACKLOG, 50_000)
        sequencer = live.sequencer()
        live.pass_quietly(sequencer)
        assert live.names() == [wal_name(0, writer.boot())]
        receipts += put(writer, 5)
        live.pass_quietly(sequencer)
        assert_there(live, receipts[-6:])
    live.pass_quietly(sequencer)
    assert live.names() == []
    assert_there(live, receipts[-6:])


def test_an_old_file_put_back_does_not_make_the_open_one_look_abandoned(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    with live.writing() as writer:
        receipts = put(writer, 1)
    old = tmp_path / "wal" / live.names()[0]
    old.rename(tmp_path / "aside")
    with live.writing() as writer:
        receipts += put(writer, 1)
        sequencer = live.sequencer()
        live.pass_quietly(sequencer)
        (tmp_path / "aside").rename(old)
        live.pass_quietly(sequencer)
        assert live.names() == [wal_name(0, writer.boot())]
        receipts += put(writer, 1)
        live.pass_quietly(sequencer)
        assert_there(live, receipts)


def test_a_file_set_aside_and_put_back_over_restarts_enters_once(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    with live.writing() as writer:
        put(writer, 2)
    sequencer = live.sequencer()
    sequencer.integrate()
    sequencer.publish()
    old = tmp_path / "wal" / live.names()[0]
    old.rename(tmp_path / "aside")
    with live.writing() as writer:
        put(writer, 1)
    sequencer = live.sequencer()
    sequencer.integrate()
    sequencer.publish()
    (tmp_path / "aside").rename(old)
    sequencer = live.sequencer()
    live.pass_quietly(sequencer)
    assert sequencer.size == 5 + 4
    assert_there(live, [])


def test_a_repeated_draw_of_random_bytes_repeats_no_id(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    receipts: list[Receipt] = []
    for _ in range(2):
        with live.writing(b"\x12\x34\x56\x78") as writer:
            receipts += put(writer, 1)
        live.pass_quietly(live.sequencer())
        assert live.names() == []
    assert receipts[0].id != receipts[1].id
    assert_there(live, receipts)


def test_a_log_is_sound_at_every_step_of_a_backlog_after_a_crash(tmp_path: Path) -> None:
    """A `log.recovered` never enters the tree before the last of the records that it says were kept."""
    live = LiveLog(tmp_path)
    with live.writing(b"\xee\0\0\0") as writer:
        put(writer, BACKLOG, 50_000)
    (old,) = (tmp_path / "wal").glob("*.wal")
    old.write_bytes(old.read_bytes() + b"PWAL, and then the power failed")
    with live.writing(b"\x11\0\0\0") as writer:
        put(writer, 3)
    sequencer = live.sequencer()
    steps = 0
    while sequencer.integrate():
        sequencer.publish()
        steps += 1
        report = verify_log(tmp_path / "log", None, live.keys.vkey, ignore)
        assert (report.exit_code, report.findings) == (0, ())
    assert steps == 2
    assert sequencer.size == BACKLOG + 3 + 3 + 4


# ------------------------------------------------------------------ what stands in the place of a write-ahead log


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_WAL_BYTES + 1)


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a folder": (Path.mkdir, "it is a folder, not a file"),
    "a pipe": (fifo, "it is a pipe, not a file"),
    "a link to a device": (device, "it is a link, not a file"),
    "a link to nothing": (dangling, "it is a link, not a file"),
    "a link to itself": (loop, "it is a link, not a file"),
    "a file beyond any size": (
        huge,
        f"it has {MOST_WAL_BYTES + 1} bytes, a write-ahead log of ours has at most {MOST_WAL_BYTES}",
    ),
}


@pytest.mark.parametrize("cursor", [True, False], ids=["with a cursor", "cursor lost"])
@pytest.mark.parametrize("name", ODD)
def test_what_is_no_write_ahead_log_is_named_and_set_aside(tmp_path: Path, name: str, cursor: bool) -> None:
    make, reason = ODD[name]
    log = build_log(tmp_path, records(100))
    if not cursor:
        (log / ".cursor").unlink()
    odd = tmp_path / "wal" / wal_file(boot=1)
    make(odd)
    add_wal(tmp_path, records(105))
    clock = Clock()
    sequencer = sequencer_of(tmp_path, clock)
    assert sequencer.integrate()
    clock.now = QUIET_S
    sequencer.publish()
    assert sequencer.stuck == {wal_file(boot=1): reason}
    assert sequencer.size == 105
    assert os.path.lexists(odd)


FOREIGN: dict[str, list[bytes]] = {
    "the records of another boot": records(3, boot=7),
    "the records of another writer": records(3, writer=1, boot=1),
    "records that do not begin with a log.start": [record(0, boot=1, kind="log.gap")],
    "records that begin later": [record(1, boot=1)],
    "what is no record": [b"{}"],
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_does_not_begin_as_its_name_says_never_enters(tmp_path: Path, name: str) -> None:
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / wal_file(boot=1)).write_bytes(wal_bytes([FOREIGN[name]]))
    clock = Clock()
    sequencer = sequencer_of(tmp_path, clock)
    for _ in range(2):
        assert not sequencer.integrate()
        sequencer.publish()
        clock.now += QUIET_S
    assert sequencer.stuck == {
        wal_file(boot=1): "its first record is not the `log.start` of the writer and boot in its name"
    }
    assert (sequencer.size, (tmp_path / "wal" / wal_file(boot=1)).exists()) == (0, True)


def test_an_empty_file_whose_writer_is_gone_is_removed(tmp_path: Path) -> None:
    """What is left of a writer that was killed between creating its file and writing to it."""
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / wal_file()).touch()
    clock = Clock()
    sequencer = sequencer_of(tmp_path, clock)
    sequencer.integrate()
    clock.now = QUIET_S
    sequencer.publish()
    assert not list((tmp_path / "wal").iterdir())


# ------------------------------------------------------------------ crashes


class Prompt(MemoryDisk):
    """A disk from which what is removed is gone at once, whatever was written before it may still be on its way."""

    def remove(self, path: str) -> None:
        super().remove(path)
        self.durable = {p: data for p, data in self.durable.items() if p != path and not p.startswith(f"{path}/")}


class World:
    """Two disks that fail together, and two writers that append to them, each with a boot after each crash."""

    def __init__(self, disk: type[MemoryDisk] = MemoryDisk) -> None:
        self.faults = Faults()
        self.log, self.wal = disk(self.faults), MemoryDisk(self.faults)
        self.clock = Clock()
        self.boot = 0

    def write(self, count: int) -> None:
        """Each writer appends two frames to a new file."""
        self.boot += 1
        self.wal.held = {wal_file(writer, self.boot) for writer in (0, 1)}
        for writer in (0, 1):
            leaves = records(count + writer, writer, self.boot)
            self.wal.append(wal_file(writer, self.boot), wal_bytes([leaves[:3], leaves[3:]], writer))

    def run(self) -> None:
        """One life of a sequencer and of the writers before it."""
        self.wal.held = set()
        sequencer = Sequencer(self.log, self.wal, ORIGIN, KEY, self.clock)
        sequencer.start()
        for count in (150, 200):
            self.write(count)
            sequencer.integrate()
            self.clock.now += QUIET_S
            sequencer.publish()

    def check(self) -> list[bytes]:
        """The log verifies with what is left of the write-ahead logs; its records."""
        if self.log.read("checkpoint") is None:
            assert not self.log.files
            return []
        report = verify_files(self.log, self.wal, parse_vkey(VKEY), ignore, Wanted())
        assert (report.exit_code, report.findings) == (0, ())
        return list(self._entries())

    def _entries(self) -> Iterator[bytes]:
        for ref in refs_of_level(ENTRIES, tree_size(self.log)):
            yield from read_bundle(self.log, ref)


def survivors(disk: MemoryDisk) -> set[bytes]:
    """The records of every write-ahead log that is left, up to its first bad frame."""
    return {entry for data in disk.files.values() for frame in scan(data).frames for entry in frame.leaves}


POWER_CUTS: dict[str, Callable[[str], bool] | None] = {
    "the process is killed": None,
    "the power fails and nothing unsynced survives": lambda _: False,
    "the power fails and everything unsynced survives": lambda _: True,
    "the power fails and tiles survive": lambda path: path.startswith("tile/0"),
    "the power fails and the checkpoint survives": lambda path: path in {"checkpoint", ".cursor"},
}


@pytest.mark.parametrize("name", POWER_CUTS)
def test_after_a_crash_at_any_operation_every_record_is_there_once(name: str) -> None:
    calm = World()
    calm.run()
    operations = calm.faults.done
    assert operations > 30
    for fail_at in range(1, operations + 1):
        world = World()
        world.faults.fail_at = fail_at
        with suppress(OSError):  # a sync of a write-ahead log that fails is contained and does not end the run
            world.run()
        assert world.faults.done >= fail_at
        cut = POWER_CUTS[name]
        if cut is not None:
            world.log.power_cut(cut)
            world.wal.power_cut(cut)
        signed = world.check()
        world.faults.fail_at = None
        expected = set(signed) | survivors(world.wal)
        world.boot = 100
        world.run()
        expected |= {e for boot in (101, 102) for w in (0, 1) for e in records((150, 200)[boot - 101] + w, w, boot)}
        found = world.check()
        assert found[: len(signed)] == signed
        assert len(found) == len(set(found))
        assert set(found) == expected


def superseded_forms(log: MemoryDisk) -> set[str]:
    """The partial forms of records below the checkpoint that it does not need."""
    size = tree_size(log)
    levels: tuple[int | str, ...] = (ENTRIES, 0, 1)
    needed = {ref.path for level in levels for ref in refs_of_level(level, size)}
    found = set()
    for path in log.files:
        match = re.fullmatch(r"tile/(\w+)/(\d{3})\.p/(\d+)", path)
        if match is not None and path not in needed:
            ref = TileRef(ENTRIES if match[1] == ENTRIES else int(match[1]), int(match[2]), int(match[3]))
            found |= {path} if ref.records[0] < size else set()
    return found


def test_after_a_kill_at_any_operation_the_successor_removes_what_its_predecessor_left() -> None:
    calm = World()
    calm.run()
    left = 0
    for fail_at in range(1, calm.faults.done + 1):
        world = World()
        world.faults.fail_at = fail_at
        with suppress(OSError):
            world.run()
        world.faults.fail_at = None
        world.wal.files.clear()
        sequencer = Sequencer(world.log, world.wal, ORIGIN, KEY, world.clock)
        left += len(superseded_forms(world.log))
        sequencer.start()
        assert superseded_forms(world.log) == set(), fail_at
        world.check()
    assert left > 5


def test_nothing_is_removed_before_the_checkpoint_that_supersedes_it_survives_a_power_cut() -> None:
    """Killed at any operation; then the power fails at one of the first operations of its successor."""
    calm = World()
    calm.run()
    sizes = set()
    for fail_at in range(1, calm.faults.done + 1):
        for then_at in (1, 2, 3, 4, 6, 9):
            world = World(Prompt)
            world.faults.fail_at = fail_at
            with suppress(OSError):
                world.run()
            world.faults.fail_at = world.faults.done + then_at
            with suppress(OSError):
                world.run()
            world.log.power_cut(lambda _: False)
            world.wal.power_cut(lambda _: False)
            world.check()
            size = tree_size(world.log)
            levels: tuple[int | str, ...] = (ENTRIES, 0, 1)
            assert {ref.path for level in levels for ref in refs_of_level(level, size)} <= world.log.files.keys()
            sizes.add(size)
    assert {0, 301, 702} <= sizes


def test_forms_left_behind_are_found_in_every_folder_near_the_edge() -> None:
    size = 1_500 * 256 + 7
    needed = {"tile/0/x001/500.p/7", "tile/1/005.p/220", "tile/2/000.p/5", "tile/entries/x001/500.p/7"}
    superseded = {
        *("tile/0/000.p/1", "tile/0/999.p/3", "tile/0/x001/499.p/255", "tile/0/x001/500.p/3", "tile/1/004.p/1"),
        *("tile/1/005.p/219", "tile/2/000.p/6", "tile/entries/x001/499.p/1", "tile/entries/x001/500.p/6"),
    }
    others = {"tile/0/000", "tile/0/x001/499", "tile/0/x001/501.p/3", "tile/0/x001/5.p/1", "tile/0/notes.p/1"}
    disk = MemoryDisk(Faults())
    disk.files = dict.fromkeys(needed | superseded | others, b"")
    Tree(disk, Edge.of_tiles(size, [[bytes(32)] * width for width in widths(size)]), [b""] * 7).remove_left()
    assert disk.files.keys() == needed | others


def test_a_form_that_cannot_be_removed_stays_and_stops_nothing(tmp_path: Path) -> None:
    build_log(tmp_path, records(300))
    (tmp_path / "log/tile/0/000.p/5/x/y").mkdir(parents=True)
    (tmp_path / "log/tile/0/001.p/5/x/y").mkdir(parents=True)
    add_wal(tmp_path, records(700))
    for _ in range(2):
        sequencer = sequencer_of(tmp_path)
        sequencer.integrate()
        sequencer.publish()
    assert sequencer.size == 700
    assert (tmp_path / "log/tile/0/000.p/5/x").exists()
    assert (tmp_path / "log/tile/0/001.p/5/x").exists()
    assert verified(tmp_path).exit_code == 0


def test_no_checkpoint_ever_covers_what_a_power_cut_would_lose() -> None:
    """Invariant I1, at every operation: whichever unsynced files a cut keeps, what is signed is there."""
    calm = World()
    calm.run()
    covered = set()
    for fail_at in range(1, calm.faults.done + 1):
        world = World()
        world.faults.fail_at = fail_at
        with suppress(OSError):  # a sync of a write-ahead log that fails is contained and does not end the run
            world.run()
        assert world.faults.done >= fail_at
        world.log.power_cut(lambda path: path == "checkpoint")
        world.wal.power_cut(lambda _: False)
        world.check()
        covered.add(tree_size(world.log))
    assert covered == {0, 301, 702}


def test_after_a_crash_before_the_checkpoint_the_cursor_of_the_one_on_disk_is_there() -> None:
    """Deriving the positions would need the first bundle, which is gone here."""
    log, wal = MemoryDisk(Faults()), MemoryDisk(Faults())
    wal.append(wal_file(), wal_bytes([records(300)]))
    first = Sequencer(log, wal, ORIGIN, KEY, lambda: 0.0)
    first.start()
    first.integrate()
    first.publish()
    older = log.files["checkpoint"]
    wal.files[wal_file()] = wal_bytes([records(300), records(310)[300:]])
    first.integrate()
    first.publish()
    log.files["checkpoint"] = older
    log.files["tile/0/001.p/44"] = log.files["tile/0/001.p/54"][: 44 * 32]
    del log.files["tile/entries/000"]
    second = Sequencer(log, wal, ORIGIN, KEY, lambda: 0.0)
    second.start()
    assert second.integrate()
    assert second.size == 310


def test_a_removal_that_a_power_cut_undoes_brings_no_record_twice() -> None:
    """Killed between the removal and its sync; the successor forgets the position; then the power fails."""
    log = MemoryDisk(Faults())
    sequencer, wal, clock = removal(log=log)
    sequencer.publish()
    wal.remove(wal_file())
    second = Sequencer(log, wal, ORIGIN, KEY, clock)
    second.start()
    wal.append(wal_file(boot=1), wal_bytes([records(2, boot=1)]))
    second.integrate()
    second.publish()
    wal.power_cut(lambda _: False)
    third = Sequencer(log, wal, ORIGIN, KEY, clock)
    third.start()
    third.integrate()
    assert third.size == 5
