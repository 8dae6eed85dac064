"""Whether a log is what was signed: two folders and a key in, one report out.

Everything is derived again from the records: their hashes, every tile of every level, the root, the numbers of every
writer. Nothing that the log folder says about itself is believed but what the key signed. Steps:

    (0) the checkpoint, and what else is claimed of the log  (3) the root, and who is wrong where files disagree
    (1) each bundle and its tile of level 0, in order        (4) the write-ahead logs beyond the tree
    (2) each tile of the levels above                        (5) what is claimed against what was found

INVARIANT: every edit below the checkpoint is found from the folder and the key alone; a rollback, a cut tail under an
older checkpoint and a second history need a head remembered elsewhere, or a witness (pdp.audit.verify_trust). Memory
does not grow with the records.
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

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from msgspec import Struct, field

from pdp.audit.alike import Frames, Run
from pdp.audit.archive import SEGMENT_RECORDS, missing_archive
from pdp.audit.checkpoint import Checkpoint, Verifier, parse_vkey
from pdp.audit.disk import Files, Folder, MemberError
from pdp.audit.holes import Bundles, Hole, bundle_count
from pdp.audit.merkle import Edge, Tile, leaf_hashes
from pdp.audit.reader import fetch, log_files, read_checkpoint, wal_names
from pdp.audit.report import INCOMPLETE, INVALID, Findings, Report
from pdp.audit.sequences import Sequences
from pdp.audit.tiles import CHECKPOINT, TileError, TileRef, parse_bundle, parse_tile
from pdp.audit.verify_trust import Claims, Wanted, check_claims, check_policies, read_claims
from pdp.audit.verify_wal import check_wal

Progress = Callable[[int, int], None]
"""`progress(done, total)` in records of the tree, once a bundle."""

_MOST_DOUBTS = 1000


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
    `archives` are those that are missing, each of which is reported once.
    `marks` are the sizes that are still to come, in order, at which the derived roots go into `roots`.
    """

    log: Files
    marks: list[int]
    findings: Findings
    sequences: Sequences
    frames: Frames = field(default_factory=Frames)
    edge: Edge = field(default_factory=Edge)
    tile_edge: Edge | None = None
    lost: int | None = None
    records: int = 0
    doubts: list[_Doubt] = field(default_factory=list)
    roots: dict[int, list[bytes]] = field(default_factory=dict)
    archives: set[str] = field(default_factory=set)


def verify_log(
    log_dir: Path, wal_dir: Path | None, vkey: str, progress: Progress, wanted: Wanted | None = None
) -> Report:
    """Verify the log in `log_dir`, and the write-ahead logs in `wal_dir` where it is given.

    Errors: CheckpointError for a key or a remembered head that cannot be used (both come from the caller); OSError for
        a disk that fails. What is wrong with the log is in the report.
    """
    wal = None if wal_dir is None else Folder(wal_dir)
    return verify_files(log_files(log_dir), wal, parse_vkey(vkey), progress, wanted or Wanted())


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
    notes: list[str] = []
    pending = 0
    claims = read_claims(log, verifier, wanted, findings)  # (0)
    walk = _Walk(log, [] if claims is None else list(claims.marks), findings, sequences)
    checkpoint = None if claims is None else claims.checkpoint
    if claims is not None and checkpoint is not None:
        _see_root(walk)
        _check_bundles(walk, checkpoint.size, progress)  # (1)
        if walk.lost is None:
            _check_partial_tiles(walk)  # (2): the full ones were checked as they filled
        _check_root(walk, checkpoint)  # (3)
        announced = sequences.announced if walk.records == checkpoint.size else None
        check_claims(claims, walk.roots, announced, sequences.newest_us, wanted, findings)  # (5)
        check_policies(sequences.policies, wanted, findings)
    newest_us = sequences.newest_us
    if checkpoint is not None and wal is not None:
        pending = sum(check_wal(wal, name, sequences, findings, notes) for name in wal_names(wal))  # (4)
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
        keys=0 if claims is None else len(claims.succession.periods),
        witnessed=_witnessed(claims),
    )


def _witnessed(claims: Claims | None) -> tuple[int, int] | None:
    found = None if claims is None else claims.witnessed
    if found is None or found.since_s is None:
        return None
    return found.signed.checkpoint.size, found.since_s


def _check_bundles(walk: _Walk, size: int, progress: Progress) -> None:
    """Steps (1) and (2) for every bundle; where very many are gone, with their hashes, they are named as one."""
    bundles = Bundles(walk.log, size, range(bundle_count(size)), hashes=True)
    try:
        for each in bundles:
            match each:
                case TileRef():
                    if not _check_bundle(walk, each):
                        bundles.miss()
                case Hole():
                    _pass_over(walk, each)
            progress(each.records[1], size)
    except MemberError as error:
        walk.findings.add(INVALID, error.path, error.text)


def _pass_over(walk: _Walk, hole: Hole) -> None:
    first, end = hole.records
    text = f"it is missing, as is all up to {hole.last.path}, hashes included; together they cover"
    walk.findings.add(INCOMPLETE, hole.first.path, f"{text} records {first} to {end - 1}")
    walk.sequences.miss(range(first, end))


def _check_bundle(walk: _Walk, ref: TileRef) -> bool:
    """Steps (1) and (2) for one bundle: its records, their hashes, and the tiles of upper levels that it filled.

    False where there is neither record nor hash.
    """
    tile_ref = TileRef(0, ref.index, ref.width)
    entries = _load(walk, ref, parse_bundle)
    hashes = _load(walk, tile_ref, parse_tile)
    first, end = ref.records
    derived = None if entries is None else leaf_hashes(entries)
    by_entries, by_tiles = derived or hashes, hashes or derived
    differing: frozenset[int] = frozenset()
    if by_entries is None or by_tiles is None:
        walk.lost = first if walk.lost is None else walk.lost
    else:
        if by_entries != by_tiles:
            differing = frozenset(i for i in range(ref.width) if by_entries[i] != by_tiles[i])
            walk.tile_edge = walk.tile_edge or walk.edge.copy()
            indices = tuple(first + i for i in sorted(differing))
            _doubt(walk, _Doubt(tile_ref, indices, fits_entries=False, fits_tiles=True))
        if walk.lost is None:
            _grow(walk, by_entries, by_tiles)
    if entries is None:
        walk.sequences.miss(range(first, end))
    else:
        walk.records += len(entries)
        _see_records(walk, first, entries, differing)
    return by_entries is not None


def _see_records(walk: _Walk, first: int, entries: tuple[bytes, ...], differing: frozenset[int]) -> None:
    """Count the records of a bundle: those that are like others before by the run, each other one by itself."""
    parts: Iterable[Run | int] = range(len(entries)) if differing else walk.frames.runs(entries)
    for part in parts:
        match part:
            case Run(offset, count, kind, name, seq, newest_us):
                if walk.sequences.take_run(kind, name, seq, count, newest_us):
                    continue
                offsets = range(offset, offset + count)
            case _:
                offsets = range(part, part + 1)
        for offset in offsets:
            walk.sequences.see(first + offset, entries[offset], doubtful=offset in differing)


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
        archive = missing_archive(walk.log, ref.path)
        if archive is None:
            walk.findings.add(INCOMPLETE, ref.path, f"it is missing, and covers {_range(ref)}")
        elif archive not in walk.archives:
            walk.archives.add(archive)
            first = ref.records[0] // SEGMENT_RECORDS * SEGMENT_RECORDS
            text = f"it is missing, with the records {first} to {first + SEGMENT_RECORDS - 1}: bring it back"
            walk.findings.add(INCOMPLETE, archive, text)
        return None
    try:
        return parse(fetched.data, ref.width, fetched.exact)
    except TileError as error:
        walk.findings.add(INVALID, fetched.path, f"{error.detail}; it covers {_range(ref)}")
        return None


def _grow(walk: _Walk, by_entries: tuple[bytes, ...], by_tiles: tuple[bytes, ...]) -> None:
    """Add the hashes of a bundle, in steps where a root is to be known between them."""
    begun = walk.edge.size
    cuts = [mark - begun for mark in walk.marks if mark < begun + len(by_entries)]
    for start, end in pairwise((0, *cuts, len(by_entries))):
        filled = walk.edge.extend(by_entries[start:end])
        twins = filled if walk.tile_edge is None else walk.tile_edge.extend(by_tiles[start:end])
        for tile, twin in zip(filled, twins, strict=True):
            _check_upper(walk, tile, twin)
        _see_root(walk)


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


def _see_root(walk: _Walk) -> None:
    """Keep the roots where the tree has the size of a mark."""
    if walk.marks and walk.edge.size == walk.marks[0]:
        walk.marks.pop(0)
        walk.roots[walk.edge.size] = [edge.root() for edge in (walk.edge, walk.tile_edge) if edge is not None]


def _range(ref: TileRef) -> str:
    first, end = ref.records
    return f"record {first}" if end - first == 1 else f"records {first} to {end - 1}"


def _named(walk: _Walk, index: int) -> str:
    known = walk.sequences.placed.get(index)
    return f"record {index}" if known is None else f"record {index} (id {known}{'…' if len(known) < 32 else ''})"


def _listed(walk: _Walk, doubt: _Doubt) -> str:
    shown = ", ".join(_named(walk, index) for index in doubt.indices[:8])
    return shown if len(doubt.indices) <= 8 else f"{shown} and {len(doubt.indices) - 8} more"
