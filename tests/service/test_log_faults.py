"""A disk that fails at every operation: no allow leaves without its record.

One disk under the writer, the sequencer and its tree. It fails once, or for a while, or writes less than it was given,
at every one of the operations of a run, in which a `DecisionService` answers. What it answers "yes" to must be on the
disk at that moment: written, or synced where the rule or the configuration wants it so.

INVARIANT: a sync that failed has lost what was not synced before, and one that follows it says that all is well: so a
sync retried as success is an allow that is lost here.
Design: audit.md 4.6 and 5; contracts.md "Durability".
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import pytest

from pdp.audit.checkpoint import parse_vkey
from pdp.audit.files import LogFile
from pdp.audit.frame import scan
from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.leaf import parse
from pdp.audit.reader import read_bundle, tree_size
from pdp.audit.report import Finding
from pdp.audit.sequencer import QUIET_S, Sequencer
from pdp.audit.tiles import ENTRIES, refs_of_level
from pdp.audit.verify import verify_files, verify_log
from pdp.audit.verify_trust import Wanted
from pdp.audit.writer import LogWriter, Receipt
from pdp.errors import AuditError
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.model import EXT_AUTHZ, Inquiry, Json, Principal
from pdp.service import DecisionService, Receipts
from tests.support.cases import NOW, engine
from tests.support.logs import (
    Clock,
    Faults,
    LiveLog,
    MemoryDisk,
    add_wal,
    ignore,
    records,
    sequencer_of,
    verified,
)

Fault = Callable[[int, int | None], int | None]
"""Of the number of an operation, and of a write among writes (None: it is none), both from 0: an errno to fail with, 0
for a write that takes a part, None for no fault."""

ROUNDS = 16
NOBODY = Identity(Verifier([]))


class Schedule(Faults):
    """Counts the operations of both disks and of every open file, and lets them fail as told."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault
        self.writes = 0
        self._lock = threading.Lock()

    def step(self) -> None:
        """One operation of the tree's disk, an open or a sync: done whole, or not."""
        with self._lock:
            number, self.done = self.done, self.done + 1
        self._fail(number, None)

    def write(self) -> bool:
        """One write to an open file; whether it is to be done in part. OSError where it is to fail."""
        with self._lock:
            number, self.done = self.done, self.done + 1
            write, self.writes = self.writes, self.writes + 1
        return self._fail(number, write) == 0

    def _fail(self, number: int, write: int | None) -> int | None:
        code = self.fault(number, write)
        if code:
            raise OSError(code, os.strerror(code))
        return code


class LosingDisk(MemoryDisk):
    """A sync that fails loses what it was to save, for good; the next one says that all is well.

    As Linux does it: whoever had the file open then is told once; who opens it later is told nothing.
    """

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.lost: set[str] = set()

    def sync(self, path: str) -> None:
        before = self.durable.get(path, b"")
        try:
            super().sync(path)
        except OSError:
            self.lost.add(path)
            raise
        if path in self.lost:
            self.durable[path] = before


class OpenFile:
    """A write-ahead log as its writer holds it. After one error nothing but `close` may be asked of it."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name, self._failed = world, name, False
        world.wal.held.add(name)

    def write(self, data: bytes) -> int:
        with self._used("written to"):
            try:
                in_part = self._world.schedule.write()
            except OSError:
                self._world.wal.append(self._name, data[: len(data) // 3])  # a failed write may leave a part
                raise
            taken = data[: len(data) // 2] if in_part else data
            self._world.wal.append(self._name, taken)
            return len(taken)

    def sync(self) -> None:
        with self._used("synced"):
            if self._name in self._world.wal.lost:
                raise OSError(errno.EIO, "what another sync lost, this one is told of")
            self._world.wal.sync(self._name)

    def close(self) -> None:
        self._world.wal.held.discard(self._name)

    @contextmanager
    def _used(self, how: str) -> Iterator[None]:
        if self._failed:
            self._world.complaints.append(f"{self._name} was {how} after an error")
        try:
            yield
        except OSError:
            self._failed = True
            raise


class World:
    """The disks, the writer's service and the sequencer over them, and what was answered."""

    def __init__(self, folder: Path, keys: LogKeys, fault: Fault) -> None:
        folder.mkdir()
        self.folder, self.keys = folder, keys
        self.schedule = Schedule(fault)
        self.log, self.wal = MemoryDisk(self.schedule), LosingDisk(self.schedule)
        self.clock = Clock()
        self.complaints: list[str] = []
        self.answered: Counter[str] = Counter()
        self.yes: dict[str, bool] = {}
        self._sequencer: Sequencer | None = None

    def open(self, path: Path) -> LogFile:
        """`OpenLogFile`: its name is on the disk when it returns."""
        self.schedule.step()
        self.wal.files[path.name] = self.wal.durable[path.name] = b""
        return OpenFile(self, path.name)

    def run(self) -> None:
        """One life of the service, with the sequencer at work beside it."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        receipts = Receipts(asyncio.get_running_loop())
        writer = LogWriter(
            self.folder,
            0,
            self.keys,
            open_file=self.open,
            entropy=os.urandom,
            clock_us=lambda: NOW * 1_000_000 + int(self.clock.now * 1_000_000),
            on_settled=receipts.settled,
            software="test",
        )
        try:
            writer.start()
        except AuditError:
            self.answered["no start"] += 1
            return
        service = DecisionService(
            Evaluator(engine, NOBODY, service_from_host=False, explained_per_second=0, compare_every=0),
            writer,
            receipts,
            Metrics(),
            strict_methods=frozenset({"POST"}),
            monotonic=time.monotonic,
        )
        for _ in range(ROUNDS):
            await asyncio.gather(*(self._ask(service, inquiry) for inquiry in CALLS))
            self.take_in()
            self.clock.now += QUIET_S
        await asyncio.to_thread(writer.close, 20)
        self.take_in()

    async def _ask(self, service: DecisionService, inquiry: Inquiry) -> None:
        decision = await service.decide(inquiry, NOW * 1_000_000, 20.0)
        self.answered[decision.outcome if decision.by != ("audit",) else "audit"] += 1
        if decision.outcome == "deny":
            return
        strict = inquiry.method == "POST"
        if decision.id is None or not self.holds(decision.id, durable=strict):
            self.complaints.append(f"an allow left without its record: {decision}")
        else:
            self.yes[decision.id] = strict

    def holds(self, record_id: str, *, durable: bool) -> bool:
        """Whether a good frame or a bundle of the tree holds that record: on the disk, or at least written."""
        needle = b'"id":"%s"' % record_id.encode()
        wal, log = (dict(disk.durable if durable else disk.files) for disk in (self.wal, self.log))
        written = [data for data in wal.values() if needle in data]
        waiting = any(needle in leaf for data in written for leaf in _whole(data))
        return waiting or any(needle in data for path, data in log.items() if path.startswith("tile/entries/"))

    def take_in(self) -> None:
        """The sequencer looks once; after an error it is another process that goes on."""
        try:
            if self._sequencer is None:
                made = Sequencer(self.log, self.wal, self.keys.origin, self.keys.sign_key, self.clock)
                made.start()
                self._sequencer = made
            while self._sequencer.integrate():
                pass
            self._sequencer.publish()
        except OSError:
            self._sequencer = None

    def signed_and_lost(self) -> tuple[Finding, ...]:
        """What a power cut would take away of what is signed (I1)."""
        left = MemoryDisk(Faults())
        left.files = dict(self.log.durable)
        return verify_files(left, None, parse_vkey(self.keys.vkey), ignore, Wanted()).findings if left.files else ()

    def recovered(self) -> set[str]:
        """A sound disk again, and everything brought into the tree: the ids of its records."""
        self.schedule.fault = nothing
        self._sequencer = None
        self.wal.held.clear()
        self.take_in()
        report = verify_files(self.log, self.wal, parse_vkey(self.keys.vkey), ignore, Wanted())
        assert (report.exit_code, report.findings) == (0, ())
        tree = (read_bundle(self.log, ref) for ref in refs_of_level(ENTRIES, tree_size(self.log)))
        return {parse(leaf).id for bundle in tree for leaf in bundle}


@lru_cache(maxsize=16)
def _whole(data: bytes) -> tuple[bytes, ...]:
    """The records of the good frames; kept, since several answers wait for one group."""
    return tuple(leaf for frame in scan(data).frames for leaf in frame.leaves)


def _call(method: str, path: str, claims: Mapping[str, Json]) -> Inquiry:
    return Inquiry(
        service="ledger",
        method=method,
        path=path,
        host="ledger.example",
        headers=(),
        gateway="edge",
        capabilities=EXT_AUTHZ,
        principal=Principal("token", "user", {"sub": "u1", "accounts": ["a1"], "aud": "ledger", **claims}),
    )


CALLS = (
    _call("GET", "/accounts/a1", {}),
    _call("POST", "/accounts/a1/entries", {"scope": "entries.write"}),
    _call("GET", "/accounts/another", {}),
)
"""An allow, an allow that must be synced, a refusal."""


def nothing(_number: int, _write: int | None) -> None:
    """No fault."""


def operation(at: int) -> Fault:
    return lambda number, _: errno.EIO if number == at else None


def operations(at: int) -> Fault:
    return lambda number, _: errno.ENOSPC if at <= number < at + 25 else None


def write_in_part(at: int) -> Fault:
    return lambda _, write: 0 if write == at else None


def write_in_part_then_full(at: int) -> Fault:
    return lambda _, write: 0 if write == at else errno.ENOSPC if write == at + 1 else None


FAULTS: dict[str, tuple[Callable[[int], Fault], Callable[[Schedule], range]]] = {
    "EIO, at every operation": (operation, lambda schedule: range(schedule.done)),
    "ENOSPC for a while, from every third operation on": (operations, lambda schedule: range(0, schedule.done, 3)),
    "a short write, at every write": (write_in_part, lambda schedule: range(schedule.writes)),
    "a short write and then ENOSPC, at every write": (write_in_part_then_full, lambda schedule: range(schedule.writes)),
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LogKeys:
    return create_keys(tmp_path_factory.mktemp("keys") / "keys", "test.example/faults", os.urandom)


def test_without_a_fault_everything_is_answered_and_recorded(tmp_path: Path, keys: LogKeys) -> None:
    world = World(tmp_path / "wal", keys, nothing)
    world.run()
    assert world.complaints == []
    assert world.answered == {"allow": 2 * ROUNDS, "deny": ROUNDS}
    assert set(world.yes) <= world.recovered()
    assert world.schedule.done >= 200


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FAULTS)
def test_whatever_fails_no_allow_leaves_without_its_record(tmp_path: Path, keys: LogKeys, name: str) -> None:
    """For every operation n of a run of two hundred: allowed by the service => recorded on the disk."""
    fault, places = FAULTS[name]
    calm = World(tmp_path / "calm", keys, nothing)
    calm.run()
    answered: Counter[str] = Counter()
    for at in places(calm.schedule):
        world = World(tmp_path / f"{at}", keys, fault(at))
        world.run()
        assert world.complaints == [], f"at operation {at}"
        lost = [each for each, strict in world.yes.items() if strict and not world.holds(each, durable=True)]
        assert lost == [], f"at operation {at}"
        assert world.signed_and_lost() == (), f"at operation {at}"
        assert set(world.yes) <= world.recovered(), f"at operation {at}"
        answered += world.answered
    assert answered["allow"] > 0
    assert (answered["audit"] > 0) == ("EIO" in name or "ENOSPC" in name)


# ---------------------------------------------------------------- a real file system that takes less than it is given


@contextmanager
def no_file_longer_than(most_bytes: int) -> Iterator[None]:
    """A write beyond it is short, and the next one fails with EFBIG; for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("most_bytes", [0, 1, 100, 200, 1000, 1409, 8191, 8192, 30_000])
def test_a_tree_on_a_full_disk_is_sound_and_goes_on(tmp_path: Path, most_bytes: int) -> None:
    """No file is half there, whichever of them the disk has no room for."""
    add_wal(tmp_path, records(300))
    with no_file_longer_than(most_bytes), suppress(OSError):
        full = sequencer_of(tmp_path)
        full.integrate()
        full.publish()
    if (tmp_path / "log" / "checkpoint").exists():
        assert verified(tmp_path).findings == ()
    successor = sequencer_of(tmp_path)
    successor.integrate()
    successor.publish()
    assert (verified(tmp_path).exit_code, successor.size) == (0, 300)


def test_a_writer_on_a_full_disk_acknowledges_only_what_is_there(tmp_path: Path) -> None:
    live = LiveLog(tmp_path / "state")
    receipts: list[Receipt] = []
    with live.writing() as writer:
        with no_file_longer_than(5_000), suppress(AuditError):
            for number in range(200):
                receipts.append(writer.append("decision", {"n": number}, b"inputs", strict=number % 5 == 0))
                settle(receipts)
        written = {parse(leaf).id for frame in scan(wal_of(live)).frames for leaf in frame.leaves}
        acknowledged = {each.id for each in receipts if each.error is None}
        assert 0 < len(acknowledged) < len(receipts)
        assert acknowledged <= written
    live.pass_quietly(live.sequencer())
    assert verify_log(live.state / "log", live.state / "wal", live.keys.vkey, ignore).findings == ()


def settle(receipts: Sequence[Receipt]) -> None:
    """Wait until all are settled, one way or the other."""
    until = time.monotonic() + 20
    while not all(each.settled for each in receipts):
        assert time.monotonic() < until
        time.sleep(0.001)


def wal_of(live: LiveLog) -> bytes:
    """The bytes of its first write-ahead log."""
    return (live.state / "wal" / live.names()[0]).read_bytes()
