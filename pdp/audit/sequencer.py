"""The sequencer: it takes what the workers wrote into the one tree, and signs how far that is.

Write-ahead logs come in, the tree and its checkpoint go out. One step is `integrate` (take what is durable) and
`publish` (edge of the tree, cursor, checkpoint, in this order, each on disk before the next begins).

INVARIANT I1: a signed checkpoint never covers a leaf that is not durable: a write-ahead log is synced before anything
    read from it enters the tree, and the tree is synced before the checkpoint that covers it is written.
INVARIANT: every record enters the tree once, in the order of its writer: its older files, which have the lower boot
    numbers, before its newer ones. So a `log.recovered` never enters before the records it speaks of, unless those are
    in a file that is stuck. Nothing behind a bad frame ever enters, nor a file that does not begin with the `log.start`
    its name promises.
INVARIANT: a write-ahead log is removed only when the checkpoint on disk covers every byte of it and nobody will write
    to it again: its writer locks it while it is open, and it is removed under that same lock. One with anything else in
    it (a torn end, damage) stays.
Design: contracts.md "The log, from the first commit"; audit.md 4.1.

Decision: 2026-11-21. Reading and signing are two calls, because reading is wanted five times a second and the edge of
    the tree need only be written for a checkpoint.
Decision: 2026-11-21. A log without a checkpoint is new only where it has no tiles either; a fresh log gets a signed
    checkpoint of size 0 before anything else. So a lost checkpoint stops the sequencer instead of starting a second
    history over the first.
Decision: 2026-11-21. The position of a file that is gone, but was not removed here, is kept: an operator may have set
    it aside, and once put back it would enter the tree a second time.
Decision: 2026-11-21. After an error of `Disk` the object is of no use; the process ends and its successor starts from
    the checkpoint. What is wrong with one write-ahead log is contained (a failing sync, a folder or a pipe in its
    place): that one is left alone and named in `stuck`, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from pdp.audit import frame as frames
from pdp.audit import ids, leaf
from pdp.audit.archive import Archived
from pdp.audit.checkpoint import Checkpoint, format_vkey, open_checkpoint, parse_vkey, sign_checkpoint
from pdp.audit.cursor import (
    MOST_BYTES,
    START,
    CursorEntry,
    Position,
    encode_cursor,
    matching_entry,
    position_of,
    sequences_of,
)
from pdp.audit.disk import Disk, Files, MemberError
from pdp.audit.frame import Frame, ReadAt
from pdp.audit.merkle import EMPTY_ROOT
from pdp.audit.reader import WalName, read_bundle, read_checkpoint, wal_length, wal_names
from pdp.audit.tiles import CHECKPOINT, ENTRIES, refs_of_level
from pdp.audit.tree import Tree, open_tree
from pdp.errors import StateError

CURSOR = ".cursor"

MOST_STEP_BYTES = 16 * 1024 * 1024
"""About so many bytes of frames are taken in one step, so that a long backlog does not fill the memory."""

QUIET_S = 10.0
"""A write-ahead log is looked at for removal only when it has not grown for so long."""


class _Watch(Struct):
    """What was seen of one write-ahead log: its length, and when it last grew or appeared."""

    length: int
    at: float


class Sequencer:
    """The one writer of a log's tree. Call `start` once, then `integrate` and `publish` as often as wanted."""

    def __init__(self, log: Disk, wal: Disk, origin: str, key: Ed25519PrivateKey, clock: Callable[[], float]) -> None:
        """`log` and `wal` are the folders of those names; `clock` gives seconds that never go back."""
        self._log = log
        self._wal = wal
        self._origin = origin
        self._key = key
        self._clock = clock
        self._positions: dict[str, Position] = {}
        self._watches: dict[str, _Watch] = {}
        self._stuck: dict[str, str] = {}

    def start(self) -> None:
        """Open the tree that the checkpoint covers; a log that has nothing yet gets a checkpoint of no records.

        On return that checkpoint survives a power cut, and partial forms that a predecessor left behind are gone.
        Errors: CheckpointError for a checkpoint that is not ours; StateError A630 for tiles without a checkpoint, A631
            for a tree that differs from it; StateError A632 or TileError where the cursor is lost and a record cannot
            be read; MemberError where the checkpoint or the cursor is no file; OSError.
        """
        data = read_checkpoint(self._log)
        if data is None:
            if self._log.names("tile") or self._log.length(CURSOR) is not None:
                raise StateError("A630", "the log has tiles and no checkpoint: put `log/checkpoint` back from a copy")
            data = sign_checkpoint(self._origin, 0, EMPTY_ROOT, self._key)
            self._log.replace({CHECKPOINT: data})
        vkey = format_vkey(self._origin, self._key.public_key().public_bytes_raw())
        checkpoint = open_checkpoint(data, parse_vkey(vkey))
        self._tree: Tree = open_tree(self._log, checkpoint)
        self._positions = self._find_positions(checkpoint)
        self._published = CursorEntry(checkpoint.size, checkpoint.root, dict(self._positions))
        for path in (CHECKPOINT, ""):  # a predecessor may have been killed before it knew that it was on the disk
            self._log.sync(path)
        self._tree.remove_left()

    @property
    def size(self) -> int:
        """The records in the tree, those no checkpoint covers yet included."""
        return self._tree.size

    @property
    def stuck(self) -> dict[str, str]:
        """The write-ahead logs that cannot be read on, by name, and why."""
        return dict(self._stuck)

    def integrate(self) -> bool:
        """Take good new frames of all write-ahead logs into the tree; whether there were any.

        A long backlog takes several calls. Errors: OSError, after which this object is of no use.
        """
        budget = MOST_STEP_BYTES
        taken = False
        for name in wal_names(self._wal):
            found, position = self._new_frames(name, budget)
            if not found:
                continue
            self._tree.append(leaf for frame in found for leaf in frame.leaves)
            before = self._positions.get(str(name), START)
            self._positions[str(name)] = position
            budget -= position.offset - before.offset
            taken = True
            if budget <= 0:
                break
        return taken

    def publish(self) -> bool:
        """Make what was integrated durable and sign a checkpoint over it; whether there was anything to sign.

        Then what the new checkpoint makes needless is removed. Errors: OSError, after which this object is of no use.
        """
        grown = self._tree.size != self._published.size
        if grown:
            entry = CursorEntry(self._tree.size, self._tree.root(), dict(self._positions))
            self._tree.write_edge()
            self._log.replace({CURSOR: encode_cursor([self._published, entry])})
            signed = sign_checkpoint(self._origin, entry.size, entry.root, self._key)
            self._log.replace({CHECKPOINT: signed})
            self._published = entry
            self._tree.remove_superseded()
        self._remove_done()
        return grown

    def _new_frames(self, name: WalName, budget: int) -> tuple[list[Frame], Position]:
        """The good frames after the position, durable by now, and the position after them."""
        text = str(name)
        position = self._positions.get(text, START)
        if text in self._stuck:
            return [], position
        try:
            return self._read_on(name, position, budget)
        except MemberError as error:
            self._stuck[text] = error.text
            return [], position

    def _read_on(self, name: WalName, position: Position, budget: int) -> tuple[list[Frame], Position]:
        text = str(name)
        length = self._watch(text)
        if length == position.offset:
            return [], position
        found: list[Frame] = []
        read_at = _reading(self._wal, text)
        end = position.offset
        for frame in frames.read_frames(read_at, position.offset, position.digest, position.next_seq):
            if frame.writer != name.writer:
                self._stuck[text] = f"it holds frames of writer {frame.writer}"
                break
            found.append(frame)
            end = frame.end
            if end - position.offset >= budget:
                break
        if not found:
            self._note_damage(text, position.offset, length)
            return [], position
        if position == START and not _is_start_of(name, found[0].leaves[0]):
            self._stuck[text] = "its first record is not the `log.start` of the writer and boot in its name"
            return [], position
        try:
            self._wal.sync(text)
        except OSError as error:
            self._stuck[text] = f"it cannot be synced: {error}"
            return [], position
        return found, Position(end, found[-1].next_seq, found[-1].digest)

    def _note_damage(self, name: str, offset: int, length: int) -> None:
        """Tell a frame that is on its way, or a torn end, from damage, which no later look will mend."""
        if length < offset:
            self._stuck[name] = f"it has {length} bytes, of which {offset} were read before"
        elif self._is_damaged(name, offset):
            self._stuck[name] = f"it is damaged after {offset} bytes"

    def _is_damaged(self, name: str, offset: int) -> bool:
        """Whether a good frame stands behind one that is still bad once the good one is there to be seen."""
        read_at = _reading(self._wal, name)
        position = self._positions.get(name, START)
        if not frames.has_frame_after(read_at, offset):
            return False
        return next(frames.read_frames(read_at, offset, position.digest, position.next_seq), None) is None

    def _watch(self, name: str) -> int:
        """The length of a file now, with a note of whether it grew since the last look."""
        length = wal_length(self._wal, name) or 0
        seen = self._watches.get(name)
        if seen is None or length > seen.length:
            self._watches[name] = _Watch(length, self._clock())
        else:
            seen.length = length
        return length

    def _find_positions(self, checkpoint: Checkpoint) -> dict[str, Position]:
        """From the cursor where it has an entry for this checkpoint, else from the ids of the records."""
        self._wal.sync("")  # what a predecessor removed must not come back once its position is forgotten
        data = self._log.read(CURSOR, MOST_BYTES)
        entry = None if data is None else matching_entry(data, checkpoint.size, checkpoint.root)
        if entry is not None:
            return dict(entry.positions)
        positions: dict[str, Position] = {}
        following = sequences_of(_all_entries(Archived(self._log), checkpoint.size))
        for name in wal_names(self._wal):
            try:
                position = position_of(str(name), following.get(name, 0), _reading(self._wal, str(name)))
            except StateError as error:
                self._stuck[str(name)] = error.detail
            except MemberError as error:
                self._stuck[str(name)] = error.text
            else:
                positions[str(name)] = position
        return positions

    def _remove_done(self) -> None:
        """Remove write-ahead logs that the checkpoint on disk covers to the last byte and that nobody writes to.

        A position is forgotten only when the file cannot come back, or its records would enter the tree twice.
        """
        for name in wal_names(self._wal):
            text = str(name)
            watch = self._watches.get(text)
            if watch is None or text in self._stuck or self._clock() - watch.at < QUIET_S:
                continue
            covered = self._published.positions.get(text, START).offset
            if covered == watch.length and self._removed(text, covered):
                self._wal.sync("")
                self._positions.pop(text, None)
                del self._watches[text]

    def _removed(self, name: str, length: int) -> bool:
        try:
            return self._wal.remove_closed(name, length)
        except MemberError as error:
            self._stuck[name] = error.text
            return False


def _is_start_of(name: WalName, entry: bytes) -> bool:
    try:
        record = leaf.parse(entry)
    except leaf.LeafError:
        return False
    at = ids.parse(record.id)
    return record.kind == "log.start" and (at.writer, at.boot, at.seq) == (name.writer, name.boot, 0)


def _reading(disk: Disk, name: str) -> ReadAt:
    def read_at(offset: int, size: int) -> bytes:
        return disk.read_at(name, offset, size)

    return read_at


def _all_entries(files: Files, size: int) -> Iterator[tuple[int, bytes]]:
    for ref in refs_of_level(ENTRIES, size):
        yield from enumerate(read_bundle(files, ref), ref.records[0])
