"""The write-ahead logs beyond the tree: whether each goes on where the tree ends, step (4) of `pdp.audit.verify`.

A folder of write-ahead logs and what the tree holds of each writer go in; findings, notes and a count of records come
out. What the tree does not hold yet is counted by `Sequences` like the records of the tree: a frame says where its
leaves stand in the file, the leaves say their numbers.

INVARIANT: a file that holds less than the tree, or good frames behind a bad one, is a finding; a torn end is a note.
SECURITY: the folder may be anybody's: see `pdp.audit.verify`.
Specification: contracts.md, "Exit codes of `audit verify`": a live log is verified to its last checkpoint plus the
frames of its write-ahead logs.
"""

from __future__ import annotations

from pdp.audit import frame as frames
from pdp.audit import ids, leaf
from pdp.audit.disk import Files, MemberError
from pdp.audit.frame import Frame
from pdp.audit.reader import WalName, wal_length
from pdp.audit.report import INCOMPLETE, INVALID, Findings
from pdp.audit.sequences import Sequences


def check_wal(wal: Files, name: WalName, sequences: Sequences, findings: Findings, notes: list[str]) -> int:
    """Check that one write-ahead log continues what the tree holds of it; how many records it adds. Errors: OSError."""
    try:
        return _check_frames(wal, name, sequences, findings, notes)
    except MemberError as error:
        findings.add(INVALID, error.path, error.text)
        return 0


def _check_frames(wal: Files, name: WalName, sequences: Sequences, findings: Findings, notes: list[str]) -> int:
    text = str(name)
    wal_length(wal, text)

    def read_at(offset: int, size: int) -> bytes:
        return wal.read_at(text, offset, size)

    held = sequences.following(name)
    last: Frame | None = None
    for frame in frames.read_frames(read_at):
        if frame.writer != name.writer:
            findings.add(INVALID, text, f"it holds frames of writer {frame.writer}")
            return 0
        for i, entry in enumerate(frame.leaves[max(0, held - frame.first_seq) :], max(held, frame.first_seq)):
            _check_wal_record(name, i, entry, sequences, findings)
        last = frame
    end, following = (0, 0) if last is None else (last.end, last.next_seq)
    length = wal_length(wal, text)
    if length is None:
        return 0  # a sequencer at work removed it: all of it is in the tree that grows meanwhile
    if following < held:
        findings.add(INCOMPLETE, text, f"it holds {following} good records, the tree has {held} of them: it was cut")
    if length > end:
        _check_rest(text, last, end, frames.has_frame_after(read_at, end), read_at, findings, notes)
    return max(0, following - held)


def _check_wal_record(name: WalName, at: int, entry: bytes, sequences: Sequences, findings: Findings) -> None:
    place = f"{name}, leaf {at}"
    try:
        record = leaf.parse(entry)
    except leaf.LeafError as error:
        findings.add(INVALID, place, f"it is not a record: {error}")
        return
    own = ids.parse(record.id)
    if (own.writer, own.boot) != (name.writer, name.boot):
        findings.add(INVALID, place, f"it is record {own.seq} of {WalName(own.writer, own.boot)}")
        return
    sequences.take(-1, record, place)


def _check_rest(
    name: str, last: Frame | None, end: int, more: bool, read_at: frames.ReadAt, findings: Findings, notes: list[str]
) -> None:
    """What stands behind the good frames: damage where a good frame follows a bad one, else a torn end."""
    newer = frames.newer_format(read_at, end)
    if newer is not None:
        findings.add(
            INCOMPLETE, name, f"it goes on after {end} bytes in format {newer}, which this version cannot read"
        )
        return
    previous, following = (frames.GENESIS, 0) if last is None else (last.digest, last.next_seq)
    grown = next(frames.read_frames(read_at, end, previous, following), None)
    if more and grown is None:
        findings.add(INCOMPLETE, name, f"it is damaged after {end} bytes, and good frames follow: records are lost")
    elif grown is None:
        notes.append(f"{name}: a torn end after {end} bytes, from a crash or a frame on its way")
