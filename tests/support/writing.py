"""A log writer over a disk in memory that fails when told, with clocks that stand still and receipts that are kept."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field

from pdp.audit.files import LogFile
from pdp.audit.frame import scan
from pdp.audit.keys import LogKeys
from pdp.audit.leaf import Leaf, parse
from pdp.audit.writer import Limits, LogWriter, Receipt

WAIT_S = 20.0


class Stored(Struct):
    """One file of the disk: what a reader sees, and how much of it a power cut leaves for certain."""

    data: bytes = b""
    synced: int = 0

    def leaves(self, *, durable: bool = False) -> list[Leaf]:
        data = self.data[: self.synced] if durable else self.data
        return [parse(leaf) for frame in scan(data).frames for leaf in frame.leaves]


class Disk(Struct):
    """A disk in memory. `fault(operation, number)` may raise; operations (open, write, sync, close) count from 0."""

    fault: Callable[[str, int], None] = lambda _operation, _number: None
    most: int = 1_000_000
    files: dict[str, Stored] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    _count: Iterator[int] = field(default_factory=itertools.count)

    def open(self, path: Path) -> LogFile:
        self.step("open")
        if path.name in self.files:
            raise FileExistsError(path.name)
        self.files[path.name] = Stored()
        return DiskFile(self, self.files[path.name])

    def step(self, operation: str) -> None:
        self.done.append(operation)
        self.fault(operation, next(self._count))

    def leaves(self, *, durable: bool = False) -> list[Leaf]:
        return [leaf for file in self.files.values() for leaf in file.leaves(durable=durable)]


class Gate:
    """A fault: while it is closed writes wait for it; then so many pass and so many fail as it was told."""

    def __init__(self) -> None:
        self.fails = 0
        self.passes = 0
        self._opened = threading.Event()
        self._opened.set()
        self._stalled = threading.Event()

    def __call__(self, operation: str, _number: int) -> None:
        if operation != "write":
            return
        if not self._opened.is_set():
            self._stalled.set()
            assert self._opened.wait(WAIT_S)
        if self.passes:
            self.passes -= 1
        elif self.fails:
            self.fails -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def close(self) -> None:
        self._stalled.clear()
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()

    def wait(self) -> None:
        """Until a write waits."""
        assert self._stalled.wait(WAIT_S)


class DiskFile(Struct):
    disk: Disk
    stored: Stored

    def write(self, data: bytes) -> int:
        try:
            self.disk.step("write")
        except OSError:
            self.stored.data += data[: len(data) // 2]  # a failed write may still leave a part
            raise
        self.stored.data += data[: self.disk.most]
        return min(self.disk.most, len(data))

    def sync(self) -> None:
        self.disk.step("sync")
        self.stored.synced = len(self.stored.data)

    def close(self) -> None:
        self.disk.step("close")


class Clock:
    """Stands still until it is moved, and the monotonic one with it, but for steps back; `pass_us` moves that alone."""

    def __init__(self) -> None:
        self.now_us = 1_790_000_000_000_000
        self._began_us = self.now_us
        self._passed_us = 0

    def __call__(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        self._passed_us = max(self._passed_us, self.now_us - self._began_us)
        return self._passed_us

    def pass_us(self, passed_us: int) -> None:
        """Time passes, and the wall clock does not show it."""
        self._passed_us = self.monotonic_us() + passed_us


def plenty(_folder: Path) -> int:
    """A disk that is never short of room."""
    return 900


class Settled:
    """Collects receipts; `check` is called first, on the writer's thread."""

    def __init__(self, check: Callable[[Receipt], None] = lambda _: None) -> None:
        self.receipts: list[Receipt] = []
        self.complaints: list[str] = []
        self._check = check
        self._changed = threading.Condition()

    def __call__(self, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            try:
                self._check(receipt)
            except AssertionError as error:
                self.complaints.append(f"{receipt.id}: {error}")
        with self._changed:
            self.receipts.extend(receipts)
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.receipts) >= count, WAIT_S)


class Bench(Struct, frozen=True):
    """Makes writers on one folder."""

    wal: Path
    keys: LogKeys
    clock: Clock
    free: Callable[[Path], int] = plenty

    def writer(
        self, open_file: Callable[[Path], LogFile], settled: Callable[[Sequence[Receipt]], None], limits: Limits
    ) -> LogWriter:
        return LogWriter(
            self.wal,
            1,
            self.keys,
            open_file=open_file,
            entropy=os.urandom,
            clock_us=self.clock,
            on_settled=settled,
            software="portcullis test",
            limits=limits,
            monotonic_us=self.clock.monotonic_us,
            free=self.free,
        )

    @contextmanager
    def running(
        self,
        open_file: Callable[[Path], LogFile],
        settled: Callable[[Sequence[Receipt]], None],
        limits: Limits | None = None,
    ) -> Iterator[LogWriter]:
        writer = self.writer(open_file, settled, limits or Limits())
        writer.start()
        try:
            yield writer
        finally:
            writer.close(WAIT_S)
