"""One log, read while it lives: what its tree holds, what its write-ahead logs hold beyond it, and what comes.

A log folder, and a folder of write-ahead logs where there is one, come in; pieces of the log go out, each a bundle of
the tree or some frames that stand together. Nothing is proved here: that is `pdp.audit.verify`.

INVARIANT: over `tree` and all calls of `news` each record comes once, and those of one writer in its order, however
often the sequencer takes in, signs and removes meanwhile; what could not be read is noted.
INVARIANT: the memory holds at most 64 MiB of records, however long the log is; a hole in it takes no longer to get over
than what is there (pdp.audit.holes).
SECURITY: the folder may be anybody's: nothing is opened through a link, waited for, or read beyond the sizes of ours.
Design: contracts.md "Command line" (`log`, `--follow`); audit.md 4.1.

Decision: 2026-11-21. How far the tree holds a write-ahead log is the sequencer's cursor to say where it fits the
    checkpoint, else the tree itself, read once. From then on records are counted by writer: a record that comes first
    by its write-ahead log and later by the tree has the same number in both.
Decision: 2026-11-21. A new look reads the tree before the write-ahead logs. One that was removed in between is in the
    tree of the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from msgspec import Struct

from pdp.audit import frame as frames
from pdp.audit import ids
from pdp.audit.archive import SEGMENT_RECORDS, missing_archive
from pdp.audit.checkpoint import Checkpoint, unproved_checkpoint
from pdp.audit.cursor import MOST_BYTES, START, CursorEntry, Position, matching_entry
from pdp.audit.disk import Files, MemberError
from pdp.audit.frame import Frame
from pdp.audit.holes import Bundles, Hole, bundle_count
from pdp.audit.merkle import TILE_WIDTH
from pdp.audit.reader import WalName, read_bundle, read_checkpoint, wal_length, wal_name, wal_names
from pdp.audit.rows import Note, Placed
from pdp.audit.tiles import TileError, TileRef

CURSOR = ".cursor"
HELD_BYTES = 64 * 1024 * 1024
PIECE_RECORDS = 256
"""About so many records of a write-ahead log are one piece."""

_ATTEMPTS = 8


class Piece(Struct, frozen=True):
    """Records that stand together; `read` gives them, once more where it is called once more."""

    read: Callable[[], list[Placed]]
    size: int


class _Run(Struct):
    """One run of a writer: where its write-ahead log was read up to, and how many of its records came by the tree
    (`in_tree`) and at all (`came`). `looked_at` is the length at which its end was last looked at."""

    position: Position = START
    in_tree: int = 0
    came: int = 0
    noted: bool = False
    looked_at: int = -1


class _Id(Struct):
    id: str


_ID = msgspec.json.Decoder(_Id)


class Following:
    """One log as it is read. Belongs to one thread."""

    def __init__(self, log: Files, wal: Files | None, note: Note, held_bytes: int = HELD_BYTES) -> None:
        """`wal` is None for a copy or a mirror, which is its tree. One call of `news` holds at most `held_bytes`.

        Errors: CheckpointError, MemberError, OSError.
        """
        self._held_bytes = held_bytes
        self._log = log
        self._wal = wal
        self._note = note
        self._runs: dict[WalName, _Run] = {}
        self.origin = ""
        """The name that the log gives itself; "" as long as it has no checkpoint."""
        self.size = self._begin()
        """The records of the tree, as it was at the beginning."""
        self._read_to = self.size

    def tree(self, *, newest_first: bool = False) -> Iterator[Piece]:
        """The tree as it was at the beginning, a bundle a piece, in the order of the log or the other way round.

        Each piece is to be read before the next one is asked for: so a hole is noticed, which is one piece of nothing.
        Errors: OSError.
        """
        count = bundle_count(self.size)
        yield from self._pieces(self.size, range(count - 1, -1, -1) if newest_first else range(count))

    def news(self) -> Iterator[Piece]:
        """What came since the beginning, or since `news` was last called; to be read to its end. Errors: as above."""
        yield from self._grown()
        if self._wal is None:
            return
        held = 0
        for name in wal_names(self._wal):
            run = self._runs.setdefault(name, _Run())
            for found, before in self._stretches(self._wal, name, run):
                taken = _beyond(found, run.came)
                run.came = max(run.came, found[-1].next_seq)
                held += sum(len(entry) for _, entry in taken)
                again = partial(self._again, self._wal, name, before, found[-1].end, run.came - len(taken))
                if taken:
                    yield Piece(again if held > self._held_bytes else partial(list, taken), len(taken))

    def _begin(self) -> int:
        """The size of the tree now; what of each write-ahead log it holds is known afterwards."""
        size = 0
        for _ in range(_ATTEMPTS):
            data = read_checkpoint(self._log)
            if data is None:
                return 0
            checkpoint = unproved_checkpoint(data)
            self.origin, size = checkpoint.origin, checkpoint.size
            if self._wal is None:
                return size
            entry = _cursor(self._log, checkpoint)
            if entry is not None:
                named = ((wal_name(text), position) for text, position in entry.positions.items())
                self._runs = {name: _Run(at, at.next_seq, at.next_seq) for name, at in named if name is not None}
                return size
        for piece in self._pieces(size, range(bundle_count(size))):
            self._count(piece.read())
        return size

    # ------------------------------------------------------------ the tree

    def _grown(self) -> Iterator[Piece]:
        """What the tree has beyond what was read of it, without what came by a write-ahead log."""
        data = read_checkpoint(self._log)
        if data is None:
            return
        checkpoint = unproved_checkpoint(data)
        self.origin = checkpoint.origin
        if checkpoint.size < self._read_to:
            self._note(f"the log went back from {self._read_to} records to {checkpoint.size}: run `pdp audit verify`")
        first = self._read_to // TILE_WIDTH
        end = first * TILE_WIDTH
        for piece in self._pieces(checkpoint.size, range(first, bundle_count(checkpoint.size))):
            begin, end = end, end + piece.size
            placed = piece.read()[max(0, self._read_to - begin) :]
            self._read_to = max(self._read_to, end)
            new = placed if self._wal is None else self._count(placed)
            if new:
                yield Piece(partial(list, new), len(new))

    def _pieces(self, size: int, among: range) -> Iterator[Piece]:
        """The bundles of a tree of `size` records that are in `among`; a hole is one piece of nothing."""
        bundles = Bundles(self._log, size, among)
        try:
            for each in bundles:
                first, end = each.records
                match each:
                    case TileRef():
                        yield Piece(partial(self._bundle, each, bundles.miss), end - first)
                    case Hole():
                        yield Piece(partial(self._hole, each), end - first)
        except MemberError as error:
            self._note(f"the tree is not read on: {error.detail}; run `pdp audit verify`")

    def _bundle(self, ref: TileRef, miss: Callable[[], None]) -> list[Placed]:
        try:
            return list(enumerate(read_bundle(self._log, ref), ref.records[0]))
        except TileError as error:
            if not self._note_archived(ref, ref):
                self._note_hidden(ref.records, error.detail)
            miss()
            return []

    def _hole(self, hole: Hole) -> list[Placed]:
        if not self._note_archived(hole.first, hole.last):
            self._note_hidden(hole.records, f"every bundle from {hole.first.path} to {hole.last.path} is missing")
        return []

    def _note_archived(self, first: TileRef, last: TileRef) -> bool:
        """Note an archive that is missing, always in the same words, where bundles up to `last` are all of it."""
        try:
            archives = [missing_archive(self._log, each.path) for each in (first, last)]
        except MemberError:
            return False
        if archives[0] is None or archives[0] != archives[1]:
            return False
        begin = first.records[0] // SEGMENT_RECORDS * SEGMENT_RECORDS
        why = f"they were archived in {archives[0]}, which is missing: bring it back"
        self._note(f"the records {begin} to {begin + SEGMENT_RECORDS - 1} are not shown: {why}")
        return True

    def _note_hidden(self, records: tuple[int, int], why: str) -> None:
        self._note(f"the records {records[0]} to {records[1] - 1} are not shown: {why}; run `pdp audit verify`")

    def _count(self, placed: list[Placed]) -> list[Placed]:
        """Count records of the tree by writer; those that did not come before, and what is of no writer."""
        new = []
        for each in placed:
            name = _writer_of(each[1])
            if name is None:
                new.append(each)
                continue
            run = self._runs.setdefault(name, _Run())
            run.in_tree += 1
            if run.in_tree > run.came:
                run.came = run.in_tree
                new.append(each)
        return new

    # ------------------------------------------------------------ the write-ahead logs

    def _stretches(self, wal: Files, name: WalName, run: _Run) -> Iterator[tuple[list[Frame], Position]]:
        """The good new frames of a file, some at a time, each time with the position before them."""
        try:
            length = wal_length(wal, str(name))
            if length is None or length == run.position.offset:
                return
            before, found = run.position, list[Frame]()
            for frame in _frames(wal, name, run.position):
                if frame.writer != name.writer:
                    self._note_once(name, run, f"it holds frames of writer {frame.writer}")
                    break
                found.append(frame)
                run.position = Position(frame.end, frame.next_seq, frame.digest)
                if frame.next_seq - before.next_seq >= PIECE_RECORDS:
                    yield found, before
                    before, found = run.position, []
            if found:
                yield found, before
            if length > run.position.offset and length != run.looked_at:
                run.looked_at = length
                newer = frames.newer_format(_reading(wal, name), run.position.offset)
                if newer is not None:
                    self._note_once(name, run, f"it goes on in format {newer}, which this version cannot read")
                elif _is_damaged(wal, name, run.position):
                    self._note_once(name, run, f"it is damaged after {run.position.offset} bytes")
        except MemberError as error:
            self._note_once(name, run, error.text)

    def _again(self, wal: Files, name: WalName, before: Position, end: int, first: int) -> list[Placed]:
        """What stood in a file between two places, from number `first` on: too much of it came to be held."""
        found = []
        for frame in _frames(wal, name, before):
            found.append(frame)
            if frame.end >= end:
                return _beyond(found, first)
        self._note(f"wal/{name} was removed while it was read: what it held is in the log, look again")
        return _beyond(found, first)

    def _note_once(self, name: WalName, run: _Run, text: str) -> None:
        if not run.noted:
            run.noted = True
            self._note(f"wal/{name} is not read on: {text}; run `pdp audit verify`")


def _cursor(log: Files, checkpoint: Checkpoint) -> CursorEntry | None:
    """What the sequencer knows of the tree of that checkpoint; None where it does not say, or has no file for it."""
    try:
        data = log.read(CURSOR, MOST_BYTES)
    except MemberError:
        return None
    return None if data is None else matching_entry(data, checkpoint.size, checkpoint.root)


def _beyond(found: list[Frame], came: int) -> list[Placed]:
    """The records of these frames whose numbers are `came` and higher."""
    return [(None, entry) for frame in found for entry in frame.leaves[max(0, came - frame.first_seq) :]]


def _frames(wal: Files, name: WalName, position: Position) -> Iterator[Frame]:
    return frames.read_frames(_reading(wal, name), position.offset, position.digest, position.next_seq)


def _is_damaged(wal: Files, name: WalName, position: Position) -> bool:
    """Whether a good frame stands behind one that is still bad once the good one is there to be seen."""
    if not frames.has_frame_after(_reading(wal, name), position.offset):
        return False
    return next(_frames(wal, name, position), None) is None


def _reading(wal: Files, name: WalName) -> frames.ReadAt:
    def read_at(offset: int, size: int) -> bytes:
        return wal.read_at(str(name), offset, size)

    return read_at


def _writer_of(entry: bytes) -> WalName | None:
    try:
        place = ids.parse(_ID.decode(entry).id)
    except ValueError:
        return None
    return WalName(place.writer, place.boot)
