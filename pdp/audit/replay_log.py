"""The decisions of a log in order, each with what opens its box.

A log folder and its write-ahead logs come in; out come the leaves of decisions in a span of time, one at a time, each
with the salt of the run that wrote it. The tree is read first; what a write-ahead log holds beyond it follows.

INVARIANT: a record that was in the log when the reading began comes out once. Memory grows with the runs of writers,
never with the records.
INVARIANT: nothing here proves the log: that is `pdp.audit.verify`. What is opened proves itself: a box is bound to its
record, and to the key.
Design: contracts.md "The log, from the first commit".

Decision: 2026-11-21. Of a span, the instant that a record states decides. Writers' records stand in the log nearly in
the order of their instants, but not quite, so that the whole log is read whatever the span.
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
        """Whether a record is asked for; one that states no instant is, wherever no instant is asked for."""
        at_us = leaf.clear.get("t")
        if self.service is not None and leaf.clear.get("sv") != self.service:
            return False
        if not isinstance(at_us, int):
            return self.since_us is None and self.until_us is None
        return (self.since_us is None or at_us >= self.since_us) and (self.until_us is None or at_us < self.until_us)


class Past(Struct, frozen=True):
    """A decision of the log. `salt` is that of its writer's run, None where the log does not hold it."""

    leaf: Leaf
    salt: bytes | None

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
    for done, leaf in enumerate(_records(place)):
        if done % EVERY == 0:
            progress(done, max(done, total))
        at = ids.parse(leaf.id)
        name = WalName(at.writer, at.boot)
        if leaf.kind == "log.start":
            salts.setdefault(name, _salt(leaf))
        elif leaf.kind in DECIDED and span.holds(leaf):
            yield Past(leaf, salts.get(name))


def _salt(start: Leaf) -> bytes:
    try:
        return salt_of(start)
    except BoxError as error:
        raise TileError("A624", f"{error}, and begins a run: run `pdp audit verify`") from error


class _Seen(Struct):
    """How far each run was read: the number that the next record has at least, and how many leaves it took."""

    following: dict[WalName, int] = field(default_factory=dict)
    leaves: dict[WalName, int] = field(default_factory=dict)

    def take(self, data: bytes, place: str) -> Leaf | None:
        """A record that was not taken before. Errors: TileError A624."""
        try:
            leaf = parse(data)
        except LeafError as error:
            raise TileError("A624", f"{place} is no record: {error}; run `pdp audit verify`") from error
        at = ids.parse(leaf.id)
        name = WalName(at.writer, at.boot)
        if at.seq < self.following.get(name, 0):
            return None
        self.following[name] = at.seq + 1
        self.leaves[name] = self.leaves.get(name, 0) + 1
        return leaf


def _records(place: LogPlace) -> Iterator[Leaf]:
    """Every record once: the tree, the write-ahead logs, then what the tree took over from them meanwhile."""
    seen = _Seen()
    before = [] if place.wal is None else wal_names(Folder(place.wal))
    count = 0
    for count, (index, entry) in enumerate(entries(place.log), 1):  # noqa: B007 - the last one counts
        if (leaf := seen.take(entry, f"record {index}")) is not None:
            yield leaf
    if place.wal is None:
        return
    wal = Folder(place.wal)
    for name in before:
        yield from _waiting(wal, name, seen)
    if set(before) - set(wal_names(wal)):
        for index, entry in islice(entries(place.log), count, None):
            if (leaf := seen.take(entry, f"record {index}")) is not None:
                yield leaf


def _waiting(wal: Folder, name: WalName, seen: _Seen) -> Iterator[Leaf]:
    """What one write-ahead log holds beyond the tree, up to where it is whole; none of one that is gone."""

    def read_at(offset: int, size: int) -> bytes:
        return wal.read_at(str(name), offset, size)

    wal_length(wal, str(name))
    end, digest, following = 0, frames.GENESIS, 0
    for frame in frames.read_frames(read_at):
        end, digest, following = frame.end, frame.digest, frame.next_seq
        if frame.next_seq <= seen.leaves.get(name, 0):
            continue
        for number, entry in enumerate(frame.leaves, frame.first_seq):
            if (leaf := seen.take(entry, f"{name}, leaf {number}")) is not None:
                yield leaf
    grown = next(frames.read_frames(read_at, end, digest, following), None)
    if grown is None and frames.has_frame_after(read_at, end):
        raise TileError("A624", f"{name} is damaged after {end} bytes: run `pdp audit verify`")
