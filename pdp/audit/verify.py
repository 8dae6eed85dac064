"""Whether a log is what was signed: two folders and a key in, one report out.

Everything is derived again from the records: their hashes, every tile of every level, the root, the numbers of every
writer. Nothing that the log folder says about itself is believed but what the key signed. Steps:

    (0) the checkpoint, and a head remembered from earlier   (3) the root, and who is wrong where files disagree
    (1) each bundle and its tile of level 0, in order        (4) the write-ahead logs beyond the tree
    (2) each tile of the levels above                        (5) the age of the newest record

INVARIANT: every edit below the checkpoint is found from the folder and the key alone; a rollback, a cut tail under an
older checkpoint and a second history need a head remembered elsewhere. Memory does not grow with the records.
INVARIANT: nothing that writes a log is imported here: neither the writer nor the sequencer, nor what seals boxes.
SECURITY: the folder may be anybody's. A folder, a link, a pipe, a device or a file beyond any size of ours in place of
    a file of the log is a finding (40) that names it; nothing of it is waited for or read.
Specification: contracts.md, "Exit codes of `audit verify`"; RFC 6962 2.1; C2SP tlog-tiles, tlog-checkpoint.

Decision: 2026-11-21. A checkpoint of ours states no time, and the time of a file is anybody's to set. The age of a log
    is that of the newest instant stated by a record under the signed root.
Decision: 2026-11-21. A torn end of a write-ahead log is a note: a live one has a frame on its way at any moment. So an
    edit of the very last frame, which no checkpoint covers yet, may pass for one.
Decision: 2026-11-21. Before a log is called incomplete it is read once more where its checkpoint is another by then: a
    sequencer at work may have taken in, and removed, a write-ahead log that the first reading wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from pdp.audit import frame as frames
from pdp.audit import ids, leaf
from pdp.audit.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint, parse_vkey
from pdp.audit.disk import Files, Folder, MemberError
from pdp.audit.frame import Frame
from pdp.audit.merkle import Edge, Tile, leaf_hash
from pdp.audit.reader import WalName, fetch, read_checkpoint, wal_length, wal_names
from pdp.audit.report import FORK, INCOMPLETE, INVALID, STALE, Findings, Report
from pdp.audit.sequences import Sequences
from pdp.audit.tiles import CHECKPOINT, ENTRIES, TileError, TileRef, parse_bundle, parse_tile, refs_of_level

Progress = Callable[[int, int], None]
"""`progress(done, total)` in records of the tree, once a bundle."""

_MOST_DOUBTS = 1000


class Wanted(Struct, frozen=True):
    """What is asked beyond the log itself: a remembered head (the bytes of a checkpoint), and how old it may be."""

    known_head: bytes | None = None
    max_age_s: int | None = None
    now_us: int = 0


class _Doubt(Struct, frozen=True):
    """A hash tile that differs from what was derived. On level 0 `indices` are the records whose hashes differ.

    `fits_entries` and `fits_tiles` tell with which of the two derivations the tile agrees.
    """

    ref: TileRef
    indices: tuple[int, ...]
    fits_entries: bool
    fits_tiles: bool


class _Walk(Struct):
    """The walk through the tree: derived from the records and, from the first difference on, from level 0 as well.

    `lost` is the first record of which neither bytes nor hash are there; from it on nothing can be derived.
    `head_roots` are the roots derived at the size of the remembered head.
    """

    log: Files
    head: Checkpoint | None
    findings: Findings
    sequences: Sequences
    edge: Edge = field(default_factory=Edge)
    tile_edge: Edge | None = None
    lost: int | None = None
    records: int = 0
    doubts: list[_Doubt] = field(default_factory=list)
    head_roots: list[bytes] = field(default_factory=list)


def verify_log(
    log_dir: Path, wal_dir: Path | None, vkey: str, progress: Progress, wanted: Wanted | None = None
) -> Report:
    """Verify the log in `log_dir`, and the write-ahead logs in `wal_dir` where it is given.

    Errors: CheckpointError for a key or a remembered head that cannot be used (both come from the caller); OSError for
        a disk that fails. What is wrong with the log is in the report.
    """
    wal = None if wal_dir is None else Folder(wal_dir)
    return verify_files(Folder(log_dir), wal, parse_vkey(vkey), progress, wanted or Wanted())


def verify_files(log: Files, wal: Files | None, verifier: Verifier, progress: Progress, wanted: Wanted) -> Report:
    """As `verify_log`, over any way to read files."""
    before = _signed(log)
    report = _read_once(log, wal, verifier, progress, wanted)
    if report.exit_code == INCOMPLETE and _signed(log) != before:
        report = _read_once(log, wal, verifier, progress, wanted)
    return report


def _signed(log: Files) -> bytes | None:
    try:
        return read_checkpoint(log)
    except MemberError:  # the reading itself reports it
        return None


def _read_once(log: Files, wal: Files | None, verifier: Verifier, progress: Progress, wanted: Wanted) -> Report:
    findings = Findings()
    sequences = Sequences(findings)
    head = None if wanted.known_head is None else open_checkpoint(wanted.known_head, verifier)
    walk = _Walk(log, head, findings, sequences)
    notes: list[str] = []
    pending = 0
    checkpoint = _checkpoint(log, verifier, findings)  # (0)
    if checkpoint is not None:
        _see_head(walk)
        for ref in refs_of_level(ENTRIES, checkpoint.size):  # (1)
            _check_bundle(walk, ref)
            progress(ref.records[1], checkpoint.size)
        if walk.lost is None:
            _check_partial_tiles(walk)  # (2): the full ones were checked as they filled
        _check_root(walk, checkpoint)  # (3)
        _check_head(walk, checkpoint)
        _check_age(sequences.newest_us, wanted, findings)  # (5)
    newest_us = sequences.newest_us
    if checkpoint is not None and wal is not None:
        pending = sum(_check_wal(wal, name, sequences, findings, notes) for name in wal_names(wal))  # (4)
    sequences.finish()
    return Report(
        exit_code=findings.worst,
        origin=verifier.name,
        size=None if checkpoint is None else checkpoint.size,
        root=None if checkpoint is None else checkpoint.root.hex(),
        records=walk.records,
        writers=sequences.writers,
        pending=pending,
        newest_us=newest_us,
        findings=tuple(findings.kept),
        findings_dropped=findings.dropped,
        notes=tuple(notes),
    )


def _checkpoint(log: Files, verifier: Verifier, findings: Findings) -> Checkpoint | None:
    try:
        data = read_checkpoint(log)
    except MemberError as error:
        findings.add(INVALID, error.path, error.text)
        return None
    if data is None:
        findings.add(INCOMPLETE, CHECKPOINT, "there is none: nothing in this folder is signed")
        return None
    try:
        return open_checkpoint(data, verifier)
    except CheckpointError as error:
        findings.add(INVALID, CHECKPOINT, str(error))
        return None


def _check_bundle(walk: _Walk, ref: TileRef) -> None:
    """Steps (1) and (2) for one bundle: its records, their hashes, and the tiles of upper levels that it filled."""
    tile_ref = TileRef(0, ref.index, ref.width)
    entries = _load(walk, ref, parse_bundle)
    hashes = _load(walk, tile_ref, parse_tile)
    first, end = ref.records
    derived = None if entries is None else tuple(map(leaf_hash, entries))
    by_entries, by_tiles = derived or hashes, hashes or derived
    differing: frozenset[int] = frozenset()
    if by_entries is None or by_tiles is None:
        walk.lost = first if walk.lost is None else walk.lost
    else:
        differing = frozenset(i for i in range(ref.width) if by_entries[i] != by_tiles[i])
        if differing:
            walk.tile_edge = walk.tile_edge or walk.edge.copy()
            indices = tuple(first + i for i in sorted(differing))
            _doubt(walk, _Doubt(tile_ref, indices, fits_entries=False, fits_tiles=True))
        if walk.lost is None:
            _grow(walk, by_entries, by_tiles)
    if entries is None:
        walk.sequences.miss(range(first, end))
        return
    walk.records += len(entries)
    for i, entry in enumerate(entries):
        walk.sequences.see(first + i, entry, f"record {first + i}", doubtful=i in differing)


def _load(
    walk: _Walk, ref: TileRef, parse: Callable[[bytes, int, bool], tuple[bytes, ...]]
) -> tuple[bytes, ...] | None:
    """The parts of one file; None, and a finding, where it is missing or broken."""
    try:
        fetched = fetch(walk.log, ref)
    except MemberError as error:
        walk.findings.add(INVALID, error.path, f"{error.text}; it covers {_range(ref)}")
        return None
    if fetched is None:
        walk.findings.add(INCOMPLETE, ref.path, f"it is missing, and covers {_range(ref)}")
        return None
    try:
        return parse(fetched.data, ref.width, fetched.exact)
    except TileError as error:
        walk.findings.add(INVALID, fetched.path, f"{error.detail}; it covers {_range(ref)}")
        return None


def _grow(walk: _Walk, by_entries: tuple[bytes, ...], by_tiles: tuple[bytes, ...]) -> None:
    for hashed, stated in zip(by_entries, by_tiles, strict=True):
        filled = walk.edge.append(hashed)
        twins = filled if walk.tile_edge is None else walk.tile_edge.append(stated)
        for tile, twin in zip(filled, twins, strict=True):
            _check_upper(walk, tile, twin)
        _see_head(walk)


def _check_partial_tiles(walk: _Walk) -> None:
    twins = walk.edge if walk.tile_edge is None else walk.tile_edge
    for tile, twin in zip(walk.edge.partial_tiles(), twins.partial_tiles(), strict=True):
        _check_upper(walk, tile, twin)


def _check_upper(walk: _Walk, by_entries: Tile, by_tiles: Tile) -> None:
    """Compare a tile above level 0, which was compared record by record, with its file."""
    if by_entries.level == 0:
        return
    ref = TileRef(by_entries.level, by_entries.index, len(by_entries.hashes))
    hashes = _load(walk, ref, parse_tile)
    if hashes is not None and not hashes == by_entries.hashes == by_tiles.hashes:
        _doubt(walk, _Doubt(ref, (), hashes == by_entries.hashes, hashes == by_tiles.hashes))


def _doubt(walk: _Walk, doubt: _Doubt) -> None:
    if len(walk.doubts) < _MOST_DOUBTS:
        walk.doubts.append(doubt)
    else:
        walk.findings.add(INVALID, doubt.ref.path, f"it differs from what was derived of {_range(doubt.ref)}")


def _check_root(walk: _Walk, checkpoint: Checkpoint) -> None:
    """Step (3). Where files disagree, the derivation that leads to the signed root is right, the other file wrong."""
    if walk.lost is not None:
        text = f"the root cannot be derived: of record {walk.lost} neither bytes nor hash are there"
        walk.findings.add(INCOMPLETE, CHECKPOINT, text)
    entries_right = walk.lost is None and walk.edge.root() == checkpoint.root
    tiles_right = walk.lost is None and walk.tile_edge is not None and walk.tile_edge.root() == checkpoint.root
    if walk.lost is None and not entries_right and not tiles_right:
        text = f"the {checkpoint.size} records of this folder lead to another root than the signed one"
        walk.findings.add(INVALID, CHECKPOINT, text)
    for doubt in walk.doubts:
        if entries_right:
            if not doubt.fits_entries:
                text = f"it differs from {_range(doubt.ref)}, which lead to the signed root"
                walk.findings.add(INVALID, doubt.ref.path, text)
        elif tiles_right:
            _blame_entries(walk, doubt)
        elif doubt.indices:
            text = f"its hashes of {_listed(walk, doubt)} differ from the records: the one or the other was changed"
            walk.findings.add(INVALID, doubt.ref.path, text)
        elif not doubt.fits_entries and not doubt.fits_tiles:
            walk.findings.add(INVALID, doubt.ref.path, f"it differs from what was derived of {_range(doubt.ref)}")


def _blame_entries(walk: _Walk, doubt: _Doubt) -> None:
    for index in doubt.indices:
        walk.findings.add(INVALID, _named(walk, index), "its bytes are not those that were signed")
    if not doubt.fits_tiles:
        text = f"it differs from the hashes of {_range(doubt.ref)}, which lead to the signed root"
        walk.findings.add(INVALID, doubt.ref.path, text)


def _see_head(walk: _Walk) -> None:
    """Keep the roots where the tree has the size of the remembered head."""
    if walk.head is not None and walk.edge.size == walk.head.size:
        walk.head_roots = [edge.root() for edge in (walk.edge, walk.tile_edge) if edge is not None]


def _check_head(walk: _Walk, checkpoint: Checkpoint) -> None:
    head = walk.head
    if head is None:
        return
    if head.size > checkpoint.size:
        text = f"it covers {checkpoint.size} records, the known head covers {head.size}: the log was rolled back"
        walk.findings.add(FORK, CHECKPOINT, text)
    elif walk.head_roots and head.root not in walk.head_roots:
        text = f"at {head.size} records its root is another than that of the known head: it is another history"
        walk.findings.add(FORK, CHECKPOINT, text)


def _check_wal(wal: Files, name: WalName, sequences: Sequences, findings: Findings, notes: list[str]) -> int:
    """Step (4) for one write-ahead log: it continues what the tree holds of it; how many records it adds."""
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
            break
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


def _check_wal_record(name: WalName, seq: int, entry: bytes, sequences: Sequences, findings: Findings) -> None:
    place = f"{name}, sequence {seq}"
    try:
        at = ids.parse(leaf.parse(entry).id)
    except leaf.LeafError as error:
        findings.add(INVALID, place, f"it is not a record: {error}")
        return
    if (at.writer, at.boot, at.seq) != (name.writer, name.boot, seq):
        findings.add(INVALID, place, f"it is record {at.seq} of {WalName(at.writer, at.boot)}")
        return
    sequences.see(-1, entry, place)


def _check_rest(
    name: str, last: Frame | None, end: int, more: bool, read_at: frames.ReadAt, findings: Findings, notes: list[str]
) -> None:
    """What stands behind the good frames: damage where a good frame follows a bad one, else a torn end."""
    previous, following = (frames.GENESIS, 0) if last is None else (last.digest, last.next_seq)
    grown = next(frames.read_frames(read_at, end, previous, following), None)
    if more and grown is None:
        findings.add(INCOMPLETE, name, f"it is damaged after {end} bytes, and good frames follow: records are lost")
    elif grown is None:
        notes.append(f"{name}: a torn end after {end} bytes, from a crash or a frame on its way")


def _check_age(newest_us: int | None, wanted: Wanted, findings: Findings) -> None:
    if wanted.max_age_s is None:
        return
    if newest_us is None:
        findings.add(STALE, CHECKPOINT, "no record under it states a time")
    elif (age_s := (wanted.now_us - newest_us) // 1_000_000) > wanted.max_age_s:
        findings.add(
            STALE, CHECKPOINT, f"the newest record under it is {age_s} s old, {wanted.max_age_s} s are allowed"
        )


def _range(ref: TileRef) -> str:
    first, end = ref.records
    return f"record {first}" if end - first == 1 else f"records {first} to {end - 1}"


def _named(walk: _Walk, index: int) -> str:
    known = walk.sequences.placed.get(index)
    return f"record {index}" if known is None else f"record {index} (id {known}{'…' if len(known) < 32 else ''})"


def _listed(walk: _Walk, doubt: _Doubt) -> str:
    shown = ", ".join(_named(walk, index) for index in doubt.indices[:8])
    return shown if len(doubt.indices) <= 8 else f"{shown} and {len(doubt.indices) - 8} more"
