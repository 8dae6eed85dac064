"""The decisions of a log in order, each with what opens its box.

A log folder and its write-ahead logs come in; out come the leaves of decisions in a span of time, one at a time, each
with the salt of the run that wrote it. The tree is read first; what a write-ahead log holds beyond it follows.

INVARIANT: a record that was in the log when the reading began comes out once; one that does not stand where its writer
put it, or of which nobody can tell whether it was asked for, comes out with what is wrong (`Past.fault`), and never
goes unsaid. Memory grows with the runs of writers, never with the records.
INVARIANT: nothing here proves the log: that is `pdp.audit.verify`. What is opened proves itself: a box is bound to its
record, and to the key.
Design: contracts.md "The log, from the first commit".

Decision: 2026-11-21. Of a span, the instant that a record states decides; of an aggregate, whether any of its calls may
be in it. Writers' records stand in the log nearly in the order of their instants, but not quite, so that the whole log
is read whatever the span.
Decision: 2026-11-22. What came by the tree and stands in a write-ahead log too is told by its place there, as
`pdp audit verify` tells it, not by its number: numbers are what an odd log repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct, field

from pdp.audit import frame as frames
from pdp.audit import ids
from pdp.audit.aggregate import AGGREGATE
from pdp.audit.box import BoxError, open_box, salt_of
from pdp.audit.disk import Folder
from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import Leaf, LeafError, parse
from pdp.audit.reader import WalName, entries, tree_size, wal_length, wal_names
from pdp.audit.tiles import TileError

Progress = Callable[[int, int], None]
"""`progress(done, total)` in records of the tree, now and then; there may come more than the total."""

EVERY = 256
"""Records between two words of progress."""

DECIDED = frozenset({"decision", AGGREGATE})
"""Kinds of leaves that stand for decisions."""

AGAIN = "the number of the record comes again, or too late: run `pdp audit verify`"
ELSEWHERE = "the record stands in the write-ahead log of another run: run `pdp audit verify`"
TIMELESS = "the record states no instant, so that it may or may not be of the span asked for"


class LogPlace(Struct, frozen=True):
    """Where a log stands; None for a log that has no write-ahead logs beside it, such as a mirror."""

    log: Path
    wal: Path | None


class Span(Struct, frozen=True):
    """From an instant and before another, Unix microseconds; None is without bound. `service` None is every service."""

    since_us: int | None = None
    until_us: int | None = None
    service: str | None = None

    def holds(self, leaf: Leaf) -> bool:
        """Whether a record is asked for; one that states no instant may be."""
        if self.service is not None and leaf.clear.get("sv") != self.service:
            return False
        first_us, last_us = _instants(leaf)
        if self.since_us is not None and last_us is not None and last_us < self.since_us:
            return False
        return self.until_us is None or first_us is None or first_us < self.until_us

    def can_tell(self, leaf: Leaf) -> bool:
        """Whether a record says all that it takes to know whether it is asked for."""
        first_us, last_us = _instants(leaf)
        return (self.since_us is None or last_us is not None) and (self.until_us is None or first_us is not None)


class Past(Struct, frozen=True):
    """A decision of the log. `salt` is that of its writer's run, None where the log does not hold it; `fault` says why
    the record is not to be decided again, "" where it is.
    """

    leaf: Leaf
    salt: bytes | None
    fault: str = ""

    @property
    def at_us(self) -> int:
        """The instant it states, Unix microseconds; 0 where it states none."""
        at_us = self.leaf.clear.get("t")
        return at_us if isinstance(at_us, int) else 0

    @property
    def stands_for(self) -> int:
        """How many decisions it states."""
        count = self.leaf.clear.get("ct") if self.leaf.kind == AGGREGATE else 1
        return count if isinstance(count, int) else 1


def opened(past: Past, keys: RecordKeys) -> bytes:
    """The inputs of a decision. Errors: BoxError; also where the record of its writer's start is not there."""
    if past.salt is None:
        raise BoxError("the log.start record of its writer is not in the log")
    return open_box(keys.box_key, past.salt, keys.origin, past.leaf)


def decisions(place: LogPlace, span: Span, progress: Progress) -> Iterator[Past]:
    """The decisions of a log in a span.

    Errors: TileError and CheckpointError for a log that cannot be read whole, A624 for a record that is none; OSError.
    """
    salts: dict[WalName, bytes] = {}
    total = tree_size(Folder(place.log))
    for done, (leaf, name, fault) in enumerate(_records(place)):
        if done % EVERY == 0:
            progress(done, max(done, total))
        if leaf.kind == "log.start" and not fault:
            salts.setdefault(name, _salt(leaf))
        elif leaf.kind in DECIDED and span.holds(leaf):
            yield Past(leaf, salts.get(name), fault or ("" if span.can_tell(leaf) else TIMELESS))


def _instants(leaf: Leaf) -> tuple[int | None, int | None]:
    """The first and the last instant of the calls that a record stands for; None where it does not state one."""
    names = ("t0", "t1") if leaf.kind == AGGREGATE else ("t", "t")
    first_us, last_us = (at_us if type(at_us := leaf.clear.get(name)) is int else None for name in names)
    return first_us, last_us


def _salt(start: Leaf) -> bytes:
    try:
        return salt_of(start)
    except BoxError as error:
        raise TileError("A624", f"{error}, and begins a run: run `pdp audit verify`") from error


_Read = tuple[Leaf, WalName, str]
"""A record, the run whose number it has, and what is wrong with its place, "" where nothing is."""


class _Run(Struct):
    """How far a run was read: the number that the next record has at least, how many of its records came by the tree
    (`in_tree`) and at all (`came`).
    """

    following: int = 0
    in_tree: int = 0
    came: int = 0


class _Seen(Struct):
    """How far each run was read."""

    runs: dict[WalName, _Run] = field(default_factory=dict)

    def run(self, name: WalName) -> _Run:
        """What was read of that run."""
        return self.runs.setdefault(name, _Run())

    def of_tree(self, data: bytes, index: int) -> _Read | None:
        """A record of the tree; None where it came by a write-ahead log before. Errors: TileError A624."""
        leaf, name, number = _read(data, f"record {index}")
        run = self.run(name)
        run.in_tree += 1
        if run.in_tree <= run.came:
            return None
        run.came = run.in_tree
        return leaf, name, _take(run, number)

    def of_wal(self, data: bytes, at: int, file: WalName) -> _Read | None:
        """The record `at` of a write-ahead log; None where it came by the tree before. Errors: TileError A624."""
        held = self.run(file)
        if at < held.came:
            return None
        held.came = at + 1
        leaf, name, number = _read(data, f"{file}, leaf {at}")
        return leaf, name, _take(held, number) if name == file else ELSEWHERE


def _take(run: _Run, number: int) -> str:
    """What is wrong with the number of the next record of a run."""
    if number < run.following:
        return AGAIN
    run.following = number + 1
    return ""


def _read(data: bytes, place: str) -> tuple[Leaf, WalName, int]:
    """A record, its run and its number there."""
    try:
        leaf = parse(data)
    except LeafError as error:
        raise TileError("A624", f"{place} is no record: {error}; run `pdp audit verify`") from error
    at = ids.parse(leaf.id)
    return leaf, WalName(at.writer, at.boot), at.seq


def _records(place: LogPlace) -> Iterator[_Read]:
    """Every record once: the tree, the write-ahead logs, then what the tree took over from them meanwhile."""
    seen = _Seen()
    before = [] if place.wal is None else wal_names(Folder(place.wal))
    count = 0
    for count, (index, entry) in enumerate(entries(place.log), 1):  # noqa: B007 - the last one counts
        if (read := seen.of_tree(entry, index)) is not None:
            yield read
    if place.wal is None:
        return
    wal = Folder(place.wal)
    for name in before:
        yield from _waiting(wal, name, seen)
    if set(before) - set(wal_names(wal)):
        for index, entry in islice(entries(place.log), count, None):
            if (read := seen.of_tree(entry, index)) is not None:
                yield read


def _waiting(wal: Folder, name: WalName, seen: _Seen) -> Iterator[_Read]:
    """What one write-ahead log holds beyond the tree, up to where it is whole; none of one that is gone."""

    def read_at(offset: int, size: int) -> bytes:
        return wal.read_at(str(name), offset, size)

    wal_length(wal, str(name))
    end, digest, following = 0, frames.GENESIS, 0
    for frame in frames.read_frames(read_at):
        end, digest, following = frame.end, frame.digest, frame.next_seq
        for at, entry in enumerate(frame.leaves, frame.first_seq):
            if (read := seen.of_wal(entry, at, name)) is not None:
                yield read
    newer = frames.newer_format(read_at, end)
    if newer is not None:
        detail = f"{name} goes on after {end} bytes in format {newer}, which this version cannot read"
        raise TileError("A624", f"{detail}: use the one that wrote it")
    grown = next(frames.read_frames(read_at, end, digest, following), None)
    if grown is None and frames.has_frame_after(read_at, end):
        raise TileError("A624", f"{name} is damaged after {end} bytes: run `pdp audit verify`")
