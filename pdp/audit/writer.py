"""The log writer: records in from any thread, receipts out when the log has them.

`append` gives a record its number, seals it, encodes it and puts it on a bounded ring, all in memory; one thread takes
what is there, writes it as frames, and settles the receipts: `standard` when the write has returned, `strict` when the
sync has. What was written and not synced is synced within 20 ms, or with the next strict record.

INVARIANT (I2): a strict receipt is settled without error only after a sync that began after its bytes were written
returned; a standard one only after its write returned. Every receipt is settled once, unless `close` ran out of time.
INVARIANT: nothing is tried twice on a file after an error. The file is given up, every receipt that hung on it fails,
and appends are refused until another file, under a higher boot number, has been opened and synced.
INVARIANT: refused appends and failed receipts are counted, and the count goes into a `log.gap` leaf before anything
else is written to a new file, or once the ring is half empty again.
Design: contracts.md "Durability"; audit.md 4.1, 4.6.

Decision: 2026-11-21. While there is no file, `append` only asks for one (at most once a second) and refuses; opening
    happens on the writer's thread. An append must never wait for a disk.
Decision: 2026-11-21. A file that has grown to 256 MiB is closed with `log.stop` and followed by another run, because
    the sequencer can remove only files that are finished. The next run's file is created after that.
Decision: 2026-11-21. An idle log is not synced before the 20 ms are over: a sync would stand in the way of the
    next record for its whole length.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from pdp.audit.boot import Boot
from pdp.audit.files import OpenLogFile
from pdp.audit.gap import Gap
from pdp.audit.ids import MAX_WRITER
from pdp.audit.keys import LogKeys
from pdp.audit.leaf import LeafError
from pdp.audit.wal import Recovered, WalFile, hold_writer, next_boot, recover, wal_name
from pdp.errors import AuditError
from pdp.model import Json

Note = tuple[str, Mapping[str, Json]]
"""A record of the writer's own: kind and clear fields."""


class Limits(Struct, frozen=True):
    """`records` and `ring_bytes` bound what is appended and not settled; `group_bytes` one frame; `file_bytes` one
    file; `sync_us` how long written records may wait for a sync; `reopen_us` the time between two tries for a file."""

    records: int = 16_384
    ring_bytes: int = 64 * 1024 * 1024
    group_bytes: int = 1024 * 1024
    file_bytes: int = 256 * 1024 * 1024
    sync_us: int = 20_000
    reopen_us: int = 1_000_000


DEFAULT_LIMITS = Limits()


class Receipt(Struct, eq=False):
    """What an append gives back. `error` means something once `settled` is true: None is "the log has it".

    Written by the writer's thread alone, before it calls `on_settled`.
    """

    id: str
    strict: bool
    settled: bool = False
    error: AuditError | None = None


class WriterStatus(Struct, frozen=True):
    """`pending` records are appended and not settled. `poisoned` says why nothing can be appended now, or is None.

    `refused` counts appends that raised since the start, `undelivered` calls of `on_settled` that did.
    """

    boot: int
    next_seq: int
    pending: int
    poisoned: str | None
    refused: int
    undelivered: int


class _Pending(Struct, eq=False):
    """A leaf on its way; without a receipt it is the writer's own. `settled` is the thread's alone."""

    leaf: bytes
    receipt: Receipt | None
    settled: bool = False


class LogWriter:
    """The one writer of a worker process. `append`, `boot` and `status` are for any thread and never wait for a disk;
    `boot` and `status` are for after `start`.

    `clock_us` gives Unix microseconds. `on_settled` is called on the writer's thread, under no lock, at most twice a
    group (its standard receipts, its strict ones) and once when a file is given up; it must be quick and must not
    raise. `software` is stated in `log.start`.
    """

    def __init__(
        self,
        wal_dir: Path,
        writer: int,
        keys: LogKeys,
        *,
        open_file: OpenLogFile,
        entropy: Callable[[int], bytes],
        clock_us: Callable[[], int],
        on_settled: Callable[[Sequence[Receipt]], None],
        software: str,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not 0 <= writer <= MAX_WRITER:
            raise ValueError(f"writer {writer}: a writer number is 0 to {MAX_WRITER}")
        self._wal_dir, self._writer, self._keys = wal_dir, writer, keys
        self._open_file, self._entropy, self._clock_us = open_file, entropy, clock_us
        self._on_settled, self._software, self._limits = on_settled, software, limits
        self._thread = threading.Thread(target=self._run, name=f"log-writer-{writer}", daemon=True)
        self._lock: int | None = None

        # Shared, under `_ready`.
        self._ready = threading.Condition(threading.Lock())
        self._ring: list[_Pending] = []
        self._pending = 0
        self._pending_bytes = 0
        self._accepting = False
        self._poisoned: str | None = None
        self._reopen = False
        self._tried_us: int | None = None
        self._gap = Gap()
        self._refused = 0

        # The thread's own.
        self._file: WalFile | None = None
        self._taken: list[_Pending] = []
        self._unsynced_since: int | None = None
        self._stated = Gap()
        self._undelivered = 0

    def start(self) -> None:
        """Take the writer number, recover earlier files, open the first one; on return `log.start` is on the disk.

        Errors: StateError S121 the number is in use or has no boots, S122 an earlier file cannot be recovered;
            AuditError audit.unavailable when the log cannot be written. After an error the writer is of no use.
        """
        self._lock = hold_writer(self._wal_dir, self._writer)
        self._boot_number = partial(next_boot, self._lock, self._wal_dir, self._writer)
        try:
            found = recover(self._wal_dir, self._writer)
            self._boot = self._new_boot()
            self._file = self._open(self._boot, [_recovered(each, self._clock_us()) for each in found])
            self._accepting = True
            self._thread.start()
        except OSError as error:
            self._release()
            raise AuditError("audit.unavailable", f"the log in {self._wal_dir} cannot be written: {error}") from error
        except BaseException:
            self._accepting = False
            self._give_up_file()
            self._release()
            raise

    def append(
        self, kind: str, clear: Mapping[str, Json], inputs: bytes | None, strict: bool, same_id: str | None = None
    ) -> Receipt:
        """Take one record. Its place in the log is fixed on return; its receipt is settled later.

        Shapes: `clear` JSON without floats (pdp.audit.leaf); `inputs` are sealed, None for none; `same_id` is the id of
            the record that this one corrects, shown as `of`.
        Errors: AuditError audit.full the ring is full; audit.unavailable there is no file; audit.closed the writer was
            not started or is closed; audit.record the record cannot be a leaf (then no number was taken).
        """
        if same_id is not None:
            clear = {**clear, "of": same_id}
        with self._ready:
            if not self._accepting:
                raise AuditError("audit.closed", "the log writer is not running")
            if self._poisoned is not None:
                self._ask_for_file()
                raise self._refuse("audit.unavailable", f"the log cannot be written: {self._poisoned}")
            if self._pending >= self._limits.records or self._pending_bytes >= self._limits.ring_bytes:
                raise self._refuse("audit.full", f"{self._pending} records wait to be written: the disk is too slow")
            try:
                record_id, leaf = self._boot.record(kind, clear, inputs)
            except LeafError as error:
                self._ready.notify()  # an idle writer has a gap to state
                raise self._refuse("audit.record", str(error)) from error
            receipt = Receipt(record_id, strict)
            self._push(leaf, receipt)
        return receipt

    def boot(self) -> int:
        """The number of the current run; it changes with every new file."""
        return self._boot.number

    def status(self) -> WriterStatus:
        """How the writer is now."""
        with self._ready:
            return WriterStatus(
                self._boot.number, self._boot.next_seq, self._pending, self._poisoned, self._refused, self._undelivered
            )

    def close(self, timeout: float) -> None:
        """Refuse appends, write what was appended and `log.stop`, sync, end the thread. Idempotent.

        Errors: AuditError audit.unfinished when that took longer than `timeout` seconds; then receipts may never be
            settled, and the writer number stays taken until a later `close` succeeds or the process ends.
        """
        with self._ready:
            self._accepting = False
            self._ready.notify()
        if self._lock is None:
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AuditError(
                "audit.unfinished", f"the log was not finished within {timeout} s: the disk does not answer"
            )
        self._release()

    # ---------------------------------------------------------------- under the lock

    def _push(self, leaf: bytes, receipt: Receipt | None) -> None:
        self._ring.append(_Pending(leaf, receipt))
        self._pending += 1
        self._pending_bytes += len(leaf)
        self._ready.notify()

    def _refuse(self, code: str, detail: str) -> AuditError:
        self._gap.add(1, 0, self._clock_us())
        self._refused += 1
        return AuditError(code, detail)

    def _ask_for_file(self) -> None:
        now = self._clock_us()
        if self._tried_us is None or abs(now - self._tried_us) >= self._limits.reopen_us:
            self._tried_us = now
            self._reopen = True
            self._ready.notify()

    def _state_gap(self) -> None:
        """Put what was refused on the ring, as soon as there is room; one such leaf at a time."""
        if self._poisoned is None and self._gap and not self._stated and self._pending <= self._limits.records // 2:
            self._push(self._own("log.gap", self._gap.fields(self._clock_us())), None)
            self._stated, self._gap = self._gap, Gap()

    def _own(self, kind: str, clear: Mapping[str, Json]) -> bytes:
        return self._boot.record(kind, clear, None)[1]

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            while self._next():
                self._step()
            self._finish()
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait for a thread that is gone
            self._poison(f"the writer failed: {error!r}")
            with self._ready:
                self._accepting = False

    def _next(self) -> bool:
        """Wait until there is something to do, and take all records there are. False when nothing will ever be."""
        with self._ready:
            while True:
                self._state_gap()
                wait_us = self._sync_in_us()
                if self._ring or self._reopen or wait_us == 0:
                    self._taken, self._ring = self._ring, []
                    return True
                if not self._accepting:
                    return False
                if wait_us is None:
                    self._ready.wait()
                elif not self._ready.wait(wait_us / 1e6):
                    self._unsynced_since = self._clock_us() - self._limits.sync_us

    def _sync_in_us(self) -> int | None:
        if self._unsynced_since is None:
            return None
        waited = abs(self._clock_us() - self._unsynced_since)  # a clock that was set must not put the sync off
        return max(0, self._limits.sync_us - waited)

    def _step(self) -> None:
        try:
            if self._reopen:
                self._open_again()
            if self._file is not None:
                self._write(self._file)
                if self._sync_in_us() == 0:
                    self._sync(self._file)
                if self._file.size >= self._limits.file_bytes:
                    self._follow(self._file)
        except OSError as error:
            self._poison(str(error))

    def _finish(self) -> None:
        """What closing still writes: the gap that could not be stated, and `log.stop`."""
        try:
            if self._file is None and self._gap:
                self._open_again()
            if self._file is not None:
                with self._ready:
                    self._push(self._own("log.stop", {"t": self._clock_us()}), None)
                    self._taken, self._ring = self._ring, []
                self._write(self._file)
                self._sync(self._file)
                self._give_up_file()
        except OSError as error:
            self._poison(str(error))

    def _write(self, file: WalFile) -> None:
        for group in _groups(self._taken, self._limits.group_bytes):
            file.append([each.leaf for each in group])
            if self._unsynced_since is None:
                self._unsynced_since = self._clock_us()
            self._settle([each for each in group if not _is_strict(each)], None)
            strict = [each for each in group if _is_strict(each)]
            if strict:
                self._sync(file)
                self._settle(strict, None)
        self._taken = []

    def _sync(self, file: WalFile) -> None:
        file.sync()
        self._unsynced_since = None
        self._stated = Gap()

    def _settle(self, records: Sequence[_Pending], error: AuditError | None) -> None:
        receipts = [each.receipt for each in records if each.receipt is not None]
        for each in records:
            each.settled = True
        for receipt in receipts:
            receipt.error = error
            receipt.settled = True
        with self._ready:
            self._pending -= len(records)
            self._pending_bytes -= sum(len(each.leaf) for each in records)
        if receipts:
            try:
                self._on_settled(receipts)
            except Exception:  # noqa: BLE001 - a listener that is gone must not end the log
                self._undelivered += 1

    def _poison(self, reason: str) -> None:
        """Give the file up, for good: everything that hung on it fails."""
        with self._ready:
            lost = [each for each in (*self._taken, *self._ring) if not each.settled]
            self._taken, self._ring = [], []
            self._poisoned = reason
            self._gap.merge(self._stated)
            self._stated = Gap()
            failed = sum(each.receipt is not None for each in lost)
            if failed:
                self._gap.add(0, failed, self._clock_us())
        self._give_up_file()
        self._settle(lost, AuditError("audit.unavailable", f"the log could not be written: {reason}"))

    def _give_up_file(self) -> None:
        self._unsynced_since = None
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _open(self, boot: Boot, notes: Sequence[Note]) -> WalFile:
        """Create the file of `boot`; on return its first records are on the disk. Errors: OSError, and no file."""
        leaves = [boot.opening, *(boot.record(kind, clear, None)[1] for kind, clear in notes)]
        path = self._wal_dir / wal_name(self._writer, boot.number)
        file = WalFile(self._open_file(path), self._writer)
        try:
            file.append(leaves)
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                path.unlink()  # one a second while the disk is full would fill it with names
            raise
        return file

    def _open_again(self) -> None:
        """Try for a file after the last one was given up; `log.gap` is in it from the start."""
        with self._ready:
            self._reopen = False
            gap, self._gap = self._gap, Gap()
        try:
            boot = self._new_boot()
            file = self._open(boot, [("log.gap", gap.fields(self._clock_us()))] if gap else [])
        except OSError as error:
            with self._ready:
                self._gap.merge(gap)
                self._poisoned = str(error)
            return
        with self._ready:
            self._boot = boot
            self._poisoned = None
            self._reopen = False  # asked for again meanwhile: another file would get this one's records
        self._file = file

    def _follow(self, file: WalFile) -> None:
        """Finish a file that has grown large, then go on in the next; appends number on meanwhile."""
        boot = self._new_boot()
        with self._ready:
            self._push(self._own("log.stop", {"t": self._clock_us()}), None)
            self._taken, self._ring = self._ring, []
            self._boot = boot
        self._write(file)
        self._sync(file)
        self._give_up_file()
        self._file = self._open(boot, [])

    def _new_boot(self) -> Boot:
        now_us = self._clock_us()
        return Boot(self._keys, self._writer, self._boot_number(now_us), self._entropy, now_us, self._software)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _is_strict(record: _Pending) -> bool:
    return record.receipt is not None and record.receipt.strict


def _groups(records: Sequence[_Pending], most_bytes: int) -> Iterator[Sequence[_Pending]]:
    """Cut into runs of about `most_bytes`, at least one record each."""
    start = size = 0
    for at, record in enumerate(records):
        if size and size + len(record.leaf) > most_bytes:
            yield records[start:at]
            start, size = at, 0
        size += len(record.leaf)
    if start < len(records):
        yield records[start:]


def _recovered(found: Recovered, now_us: int) -> Note:
    return (
        "log.recovered",
        {
            "t": now_us,
            "file": found.file,
            "kept_seq": found.kept_seq,
            "discarded": found.discarded,
            "damaged": found.damaged,
        },
    )
