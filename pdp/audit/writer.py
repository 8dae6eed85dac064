"""The log writer: records in from any thread, receipts out when the log has them.

`append` gives a record its number, seals it, encodes it and puts it on a bounded ring, all in memory; one thread takes
what is there, writes it as frames, and settles the receipts: `standard` when the write has returned, `strict` when the
sync has. What was written and not synced is synced within 20 ms, or with the next strict record. Every ten seconds, and
before `log.stop`, the thread states the books (pdp.audit.books).

INVARIANT (I2): a strict receipt is settled without error only after a sync that began after its bytes were written
returned; a standard one only after its write returned. Every receipt is settled once, unless `close` ran out of time.
INVARIANT: nothing is tried twice on a file after an error. The file is given up, every receipt that hung on it fails,
and appends are refused until another file, under a higher boot number, has been opened and synced.
INVARIANT: refused appends and failed receipts are counted, and the count goes into a `log.gap` leaf before anything
else is written to a new file, or once the ring is half empty again.
INVARIANT: only a refusal that may (pdp.audit.aggregate) stands in an aggregate, only under pressure (pdp.audit.ring);
its receipt is settled, and its id known, only when the leaf of its aggregate was written. So a crash with aggregates
under way loses nothing that was acknowledged, and leaves no number without a leaf behind.
Design: contracts.md "Durability"; audit.md 3.3, 3.10, 4.1, 4.6.

Decision: 2026-11-21. While there is no file, `append` only asks for one (at most once a second) and refuses; opening
    happens on the writer's thread. An append must never wait for a disk.
Decision: 2026-11-21. A file that has grown to 256 MiB is closed with `log.stop` and followed by another run, because
    the sequencer can remove only files that are finished. The next run's file is created after that.
Decision: 2026-11-21. An idle log is not synced before the 20 ms are over: a sync would stand in the way of the
    next record for its whole length.
Decision: 2026-11-21. Aggregates are written with every group that the thread takes, not by a timer of their own: what
    came while it was busy goes out with the next group, so that an aggregated refusal waits no longer than any leaf.
Decision: 2026-11-21. No room on the disk is kept in reserve for the day it is full (audit.md 4.6). A file that is let
    go gives its room to whoever writes first, seldom to us; a log that cannot be written refuses either way, at ENOSPC
    as at any error; and from a tenth of free room on `log.degraded` has said so. What could not be written is stated in
    `log.gap` as soon as there is room.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pdp.audit.aggregate import may_join
from pdp.audit.books import Books, Note, Pulse
from pdp.audit.boot import Boot
from pdp.audit.files import OpenLogFile
from pdp.audit.form import Form
from pdp.audit.gap import Gap
from pdp.audit.ids import MAX_WRITER
from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import LeafError
from pdp.audit.pending import DEFAULT_LIMITS, Limits, Pending, Receipt, WriterStatus, groups
from pdp.audit.ring import Ring
from pdp.audit.room import Room, free_permille
from pdp.audit.wal import WalFile, hold_writer, next_boot, recover, wal_name
from pdp.errors import AuditError, StateError
from pdp.model import Json

__all__ = ["DEFAULT_LIMITS", "Limits", "LogWriter", "Receipt", "WriterStatus"]

DECISION = "decision"  # the kind of leaf that the books count


class LogWriter:
    """The one writer of a worker process. `append`, `boot` and `status` are for any thread and never wait for a disk;
    `boot` and `status` are for after `start`.

    `clock_us` gives Unix microseconds, `monotonic_us` some that never go back; `free` is as for `pdp.audit.room.Room`.
    `on_settled` is called on the writer's thread, under no lock, at most twice a group (its standard receipts, its
    strict ones) and once when a file is given up; it must be quick and must not raise. `log.start` states `software`.
    """

    def __init__(
        self,
        wal_dir: Path,
        writer: int,
        keys: RecordKeys,
        *,
        open_file: OpenLogFile,
        entropy: Callable[[int], bytes],
        clock_us: Callable[[], int],
        on_settled: Callable[[Sequence[Receipt]], None],
        software: str,
        limits: Limits = DEFAULT_LIMITS,
        monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1_000,
        free: Callable[[Path], int] = free_permille,
    ) -> None:
        if not 0 <= writer <= MAX_WRITER:
            raise ValueError(f"writer {writer}: a writer number is 0 to {MAX_WRITER}")
        self._wal_dir, self._writer, self._keys = wal_dir, writer, keys
        self._open_file, self._entropy, self._clock_us = open_file, entropy, clock_us
        self._on_settled, self._software, self._limits = on_settled, software, limits
        self._monotonic_us = monotonic_us
        self._room = Room(wal_dir, free)
        self._thread = threading.Thread(target=self._run, name=f"log-writer-{writer}", daemon=True)
        self._lock: int | None = None

        # Shared, under `_ready`.
        self._ready = threading.Condition(threading.Lock())
        self._ring = Ring(limits, monotonic_us)
        self._books = Books()
        self._accepting = False
        self._poisoned: str | None = None
        self._reopen = False
        self._tried_us: int | None = None
        self._gap = Gap()
        self._refused = 0

        # The thread's own.
        self._file: WalFile | None = None
        self._taken: list[Pending] = []
        self._unsynced_since: int | None = None
        self._stated = Gap()
        self._undelivered = 0
        self._beaten = False

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
            self._pulse = Pulse(self._limits.heartbeat_us, self._limits.sync_us, self._clock_us(), self._boot.mono_us)
            self._file = self._open(self._boot, [("log.recovered", each.fields(self._clock_us())) for each in found])
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
        self,
        kind: str,
        clear: Mapping[str, Json],
        inputs: bytes | None,
        strict: bool,
        same_id: str | None = None,
        counted: int | None = None,
        *,
        wakes: bool = True,
        form: Form | None = None,
    ) -> Receipt:
        """Take one record. Its receipt is settled later; its place in the log is fixed on return.

        Shapes: `clear` JSON without floats (pdp.audit.leaf); `inputs` are sealed, None for none; `same_id` is the id of
            the record that this one corrects, shown as `of`; `counted` is, with a decision, how many decisions there
            are by the count of who appends, this one included (None: nobody counts); not `wakes`: `wake` follows;
            `form` is one of just these fields.
        Errors: AuditError audit.full the ring is full; audit.unavailable there is no file; audit.closed the writer was
            not started or is closed; audit.record the record cannot be a leaf (then no number was taken).
        """
        clear = clear if same_id is None else {**clear, "of": same_id}
        is_decision = kind == DECISION
        with self._ready:
            self._check_open()
            if self._ring.is_full:
                raise self._too_slow()
            try:
                record_id, leaf = self._boot.record(kind, clear, inputs, form)
            except LeafError as error:
                raise self._no_leaf(error) from error
            receipt = Receipt(record_id, strict)
            if is_decision:
                self._books.record(counted)
            self._ring.push(Pending(leaf, (receipt,), strict, recorded=is_decision))
            if wakes:
                self._ready.notify()
        return receipt

    def wake(self) -> None:
        """Let the thread take what was appended."""
        with self._ready:
            self._ready.notify()

    def is_pressed(self) -> bool:
        """Whether refusals are to join others, by a look without the lock: `join` says whether one did."""
        return self._ring.is_pressed()

    def join(self, clear: Mapping[str, Json], counted: int | None = None) -> Receipt | None:
        """Let a refusal that need not be strict stand with others in one leaf; None where it is to have its own.

        Its receipt has no id before it is settled. `counted` is as in `append`.
        Errors: as `append`; audit.full where no more refusals may wait.
        """
        with self._ready:
            self._check_open()
            if not (may_join(clear) and self._ring.is_pressed()):
                return None
            try:
                receipt = self._ring.join(clear)
            except LeafError as error:
                raise self._no_leaf(error) from error
            if receipt is None:
                raise self._too_slow()
            self._books.aggregate(counted)
            self._ready.notify()
        return receipt

    def unrecorded(self, counted: int) -> None:
        """Count a decision that is refused since the log could not take it; `counted` as in `append`."""
        with self._ready:
            self._books.forgo(counted)

    def boot(self) -> int:
        """The number of the current run; it changes with every new file."""
        return self._boot.number

    def status(self) -> WriterStatus:
        """How the writer is now."""
        with self._ready:
            return WriterStatus(
                self._boot.number,
                self._boot.next_seq,
                self._ring.pending,
                self._poisoned,
                self._refused,
                self._undelivered,
                self._books.aggregated,
                self._room.is_short,
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

    def _check_open(self) -> None:
        if not self._accepting:
            raise AuditError("audit.closed", "the log writer is not running")
        if self._poisoned is not None:
            self._ask_for_file()
            raise self._refuse("audit.unavailable", f"the log cannot be written: {self._poisoned}")

    def _too_slow(self) -> AuditError:
        return self._refuse("audit.full", f"{self._ring.pending} records wait to be written: the disk is too slow")

    def _no_leaf(self, error: LeafError) -> AuditError:
        self._ready.notify()  # an idle writer has a gap to state
        return self._refuse("audit.record", str(error))

    def _refuse(self, code: str, detail: str) -> AuditError:
        self._gap.add(1, 0, self._clock_us())
        self._refused += 1
        return AuditError(code, detail)

    def _ask_for_file(self) -> None:
        now = self._monotonic_us()
        if self._tried_us is None or now - self._tried_us >= self._limits.reopen_us:
            self._tried_us = now
            self._reopen = True
            self._ready.notify()

    def _state_gap(self) -> None:
        """Put what was refused on the ring, as soon as there is room; one such leaf at a time."""
        half = self._limits.records // 2
        if self._poisoned is None and self._gap and not self._stated and self._ring.records <= half:
            self._state("log.gap", self._gap.fields(self._clock_us()))
            self._stated, self._gap = self._gap, Gap()

    def _state_books(self) -> None:
        """Put a heartbeat on the ring, behind every decision that it counts."""
        self._ring.flush(self._boot, self._clock_us())
        for kind, clear in self._pulse.beat(self._boot.number, self._clock_us(), self._monotonic_us(), self._books):
            self._state(kind, clear)

    def _end_run(self) -> None:
        """Take everything that is to stand in the run yet, with its last leaf."""
        self._state_books()
        self._state("log.stop", {"t": self._clock_us()})
        self._taken = self._ring.take()

    def _state(self, kind: str, clear: Mapping[str, Json]) -> None:
        self._ring.push(Pending(self._boot.record(kind, clear, None)[1]))

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
            self._ring.finish_taken()
            while True:
                self._state_gap()
                beat_us = None if self._poisoned is not None else self._pulse.left_us(self._monotonic_us())
                if beat_us == 0:
                    self._state_books()
                    self._beaten = True
                sync_us = self._sync_in_us()
                if self._ring or self._reopen or sync_us == 0:
                    self._ring.flush(self._boot, self._clock_us())
                    self._taken = self._ring.take()
                    return True
                if not self._accepting:
                    return False
                if self._poisoned is None:
                    self._wait(sync_us, beat_us)
                elif not self._ready.wait(self._limits.reopen_us / 1e6):
                    self._ask_for_file()  # nobody may append meanwhile: a service that is not ready is not asked

    def _wait(self, sync_us: int | None, beat_us: int | None) -> None:
        """Until somebody calls, or the first of two times is over."""
        first_us = min((each for each in (sync_us, beat_us) if each is not None), default=None)
        if self._ready.wait(None if first_us is None else first_us / 1e6):
            return
        if first_us == sync_us:
            self._unsynced_since = self._monotonic_us() - self._limits.sync_us
        else:
            self._pulse.hasten(self._monotonic_us())

    def _sync_in_us(self) -> int | None:
        if self._unsynced_since is None:
            return None
        return max(0, self._limits.sync_us - (self._monotonic_us() - self._unsynced_since))

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
                if self._beaten:
                    self._look_at_disk()
        except (OSError, StateError) as error:
            self._poison(str(error))

    def _finish(self) -> None:
        """What closing still writes: the gap that could not be stated, the books, and `log.stop`."""
        try:
            if self._file is None and self._gap:
                self._open_again()
            if self._file is not None:
                with self._ready:
                    self._end_run()
                self._write(self._file)
                self._sync(self._file)
                self._give_up_file()
        except OSError as error:
            self._poison(str(error))

    def _look_at_disk(self) -> None:
        """Say when the room on the disk becomes short, and when that is over. No lock is held while it is asked."""
        self._beaten = False
        note = self._room.look(self._clock_us())
        if note is not None:
            with self._ready:
                self._state(*note)

    def _write(self, file: WalFile) -> None:
        unwritten = len(self._taken)
        for group in groups(self._taken, self._limits.group_bytes):
            file.append([each.leaf for each in group])
            unwritten -= len(group)
            if self._unsynced_since is None:
                self._unsynced_since = self._monotonic_us()
            self._settle([each for each in group if not each.strict], None)
            strict = [each for each in group if each.strict]
            if strict:
                self._sync(file, unwritten)
                self._settle(strict, None)
        self._taken = []

    def _sync(self, file: WalFile, unwritten: int = 0) -> None:
        """`unwritten` of the records that were taken are not in the file yet; the gap that was stated may be one."""
        file.sync()
        self._unsynced_since = None
        if not unwritten:
            self._stated = Gap()

    def _settle(self, records: Sequence[Pending], error: AuditError | None) -> None:
        for each in records:
            each.settle(error)
        with self._ready:
            self._ring.settle(records)
        receipts = [receipt for each in records for receipt in each.receipts]
        if receipts:
            try:
                self._on_settled(receipts)
            except Exception:  # noqa: BLE001 - a listener that is gone must not end the log
                self._undelivered += 1

    def _poison(self, reason: str) -> None:
        """Give the file up, for good: everything that hung on it fails."""
        with self._ready:
            lost = [each for each in (*self._taken, *self._ring.drop()) if not each.settled]
            self._taken = []
            self._poisoned = reason
            self._gap.merge(self._stated)
            self._stated = Gap()
            self._books.lose(sum(each.recorded for each in lost), sum(each.aggregated for each in lost))
            failed = sum(len(each.receipts) for each in lost)
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
        except (OSError, StateError) as error:
            with self._ready:
                self._gap.merge(gap)
                self._poisoned = str(error)
            return
        with self._ready:
            self._begin_run(boot)
            self._poisoned = None
            self._reopen = False  # asked for again meanwhile: another file would get this one's records
        self._file = file

    def _follow(self, file: WalFile) -> None:
        """Finish a file that has grown large, then go on in the next."""
        boot = self._new_boot()
        with self._ready:
            self._end_run()
            self._begin_run(boot)
        self._write(file)
        self._sync(file)
        self._give_up_file()
        self._file = self._open(boot, [])

    def _new_boot(self) -> Boot:
        now_us = self._clock_us()
        number = self._boot_number(now_us)
        return Boot(self._keys, self._writer, number, self._entropy, now_us, self._monotonic_us(), self._software)

    def _begin_run(self, boot: Boot) -> None:
        self._boot = boot
        self._books.begin_run()
        self._pulse.begin_run(boot.mono_us)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None
