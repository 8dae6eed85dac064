"""A second copy of another host's log: what that host serves comes in, and stands here once it is proved.

    (0) the mirror itself: its keys, its checkpoint, its tree, which must lead to that checkpoint
    (1) the checkpoint that is served, and the keys that the anchor leads to
    (2) whether it continues ours: its size, and the root of our size from its tiles, which lead to its own root
    (3) each bundle from ours on, proved by its hash against those tiles, before it is written
    (4) the edge of the tree, the keys, then the checkpoint: from here on the records count; what is needless goes

INVARIANT: the mirror's checkpoint is one that its log signed, every record under it is here and led to its root, and
    it continues every checkpoint that stood here before. A pull that ends at any step, by error or power cut, leaves
    that so; the next one goes on where it ended, with what is here and still right.
INVARIANT: what contradicts the mirror changes nothing but `fork/`, which then holds both checkpoints. No signature over
    its checkpoint is given up before the log has grown.
SECURITY: nothing that is served is believed. Sizes are bounded, but not how large a log is that its key has signed.
Specification: C2SP tlog-tiles, tlog-checkpoint; RFC 6962 2.1. Design: contracts.md "Command line" (`mirror`).

Decision: 2026-11-21. Exit codes as `audit verify` has them: 20 where something is missing or does not answer, 30 a
    fork, 40 what is served (or the mirror) is not what was signed.
Decision: 2026-11-21. A smaller checkpoint is called a fork even where ours continues it: a log does not shrink. That it
    is an older state of this very log is said; a server that keeps old files does that, too.
Decision: 2026-11-22. Of two signed notes of one size and root ours stays, and gets the signatures of the other by keys
    that have not signed ours: witnesses sign later. A mirror knows no witnesses, so that it cannot tell which of two
    signatures by one key is good, nor whether one by an unknown key is any.
Decision: 2026-11-21. A mirror has no write-ahead logs: what no checkpoint covers is not proved, and not pulled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pdp.audit.checkpoint import (
    MOST_BYTES,
    Checkpoint,
    CheckpointError,
    Note,
    Signature,
    Verifier,
    join_note,
    split_note,
)
from pdp.audit.disk import Disk
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, ManifestError, Succession, parse_manifest
from pdp.audit.merkle import EMPTY_ROOT, TILE_WIDTH
from pdp.audit.mirror_source import Served, SourceError
from pdp.audit.proved_tiles import MissingError, ProvedTiles
from pdp.audit.report import FORK, INCOMPLETE, INVALID, SOUND
from pdp.audit.rotation import RotationError, open_signed, seals
from pdp.audit.tiles import CHECKPOINT, ENTRIES, TileError, TileRef
from pdp.audit.tree import open_tree
from pdp.audit.tree_proofs import root_of_first
from pdp.errors import StateError

EVIDENCE = "fork"
MOST_EVIDENCE = 100
"""Files of evidence that are kept: who holds the key could go on for ever."""

_ATTEMPTS = 5

Progress = Callable[[int, int], None]
"""`progress(done, total)` in records pulled, once a bundle."""


class Pulled(Struct, frozen=True):
    """The outcome: what the mirror holds now, how many records came, and, where it did not end well, why.

    `exit_code` is one of `pdp.audit.report`; `evidence` are paths within the mirror.
    """

    exit_code: int
    origin: str
    size: int
    root: bytes
    added: int
    text: str = ""
    evidence: tuple[str, ...] = ()


class _Signed(Struct, frozen=True):
    """A checkpoint that was proved, as it came, and the manifest it was proved by (None: the anchor alone)."""

    checkpoint: Checkpoint
    keys: Succession
    note: bytes
    manifest: bytes | None


class _ForkError(Exception):
    """What is served contradicts the mirror: the way out of `_pull`, with what is said and what is evidence."""

    def __init__(self, text: str, theirs: _Signed) -> None:
        super().__init__(text)
        self.theirs = theirs


_UNSOUND = (CheckpointError, ManifestError, RotationError, TileError)


def pull(served: Served, disk: Disk, anchor: Verifier, progress: Progress) -> Pulled:
    """Bring the mirror on `disk`, which is held, to the checkpoint that is served now.

    `anchor` is the key of the log, or the root of its keys, known from elsewhere. Errors: OSError for the mirror's
    disk, or a folder that cannot be read. All else is in what is returned.
    """
    ours: _Signed | None = None
    try:
        ours = _signed(disk, anchor)  # (0)
        held = Checkpoint(anchor.name, 0, EMPTY_ROOT) if ours is None else ours.checkpoint
        open_tree(disk, held)
    except (*_UNSOUND, StateError) as error:
        text = f"the mirror itself is not sound, and stays as it is: {error.detail}"
        return Pulled(INVALID, anchor.name, 0, EMPTY_ROOT, 0, text)
    stays = Pulled(SOUND, held.origin, held.size, held.root, 0)
    try:
        return _pull_live(served, disk, anchor, ours, progress)
    except _ForkError as fork:
        evidence = _keep_evidence(disk, [fork.theirs] if ours is None else [ours, fork.theirs])
        return replace(stays, exit_code=FORK, text=str(fork), evidence=evidence)
    except (MissingError, SourceError) as error:
        return replace(stays, exit_code=INCOMPLETE, text=error.detail)
    except _UNSOUND as error:
        return replace(stays, exit_code=INVALID, text=f"what is served is not sound: {error.detail}")


def _pull_live(served: Served, disk: Disk, anchor: Verifier, ours: _Signed | None, progress: Progress) -> Pulled:
    """A live log removes a partial file when a larger checkpoint needs it no more: then that one is pulled."""
    seen: bytes | None = None
    for _ in range(_ATTEMPTS):
        theirs = _signed(served, anchor)  # (1)
        if theirs is None:
            raise SourceError("there is no `checkpoint`: name the folder that holds it, the `log` of a state folder")
        sealed = max((each.size for each in seals(theirs.keys)), default=0)
        if sealed > theirs.checkpoint.size:
            if theirs.note == seen:
                detail = f"it covers {theirs.checkpoint.size} records, a change of keys sealed {sealed}"
                raise _ForkError(f"{detail}: it was rolled back, or is served from old files", theirs)
            seen = theirs.note  # its keys may have changed between its checkpoint and its manifest
            continue
        try:
            return _pull(served, disk, ours, theirs, progress)
        except MissingError:
            if theirs.note == seen:
                raise
            seen = theirs.note
    raise SourceError(f"its checkpoint changed {_ATTEMPTS} times while its files were gone: try again")


def _pull(served: Served, disk: Disk, ours: _Signed | None, theirs: _Signed, progress: Progress) -> Pulled:
    new = theirs.checkpoint
    held = Checkpoint(new.origin, 0, EMPTY_ROOT) if ours is None else ours.checkpoint
    _check_continues(disk, ours, held, theirs)  # (2)
    if new.size > held.size:
        tiles = ProvedTiles(served, new)
        for seal in seals(theirs.keys):  # or today's key could write the past of another anew
            if seal.size <= new.size and tiles.root_of_first(seal.size) != seal.root:
                detail = f"at {seal.size} records its root is another than the one that a change of keys sealed"
                raise RotationError("A642", detail)
        if tiles.root_of_first(held.size) != held.root:
            raise _ForkError(f"at {held.size} records its root is another than here: it is another history", theirs)
        tree = open_tree(disk, held)
        for index in range(held.size // TILE_WIDTH, -(-new.size // TILE_WIDTH)):  # (3)
            ref = TileRef(ENTRIES, index, min(TILE_WIDTH, new.size - index * TILE_WIDTH))
            tree.append(_bundle(tiles, ref, disk, served)[tree.size - ref.records[0] :])
            progress(tree.size - held.size, new.size - held.size)
        tree.write_edge()  # (4)
        _put(disk, ours, theirs)
        tree.remove_superseded()
    elif ours is None:
        _put(disk, ours, theirs)
    elif (note := _with_signatures(ours, theirs)) != ours.note:
        _put(disk, ours, replace(theirs, note=note))
    return Pulled(SOUND, new.origin, new.size, new.root, new.size - held.size)


def _check_continues(disk: Disk, ours: _Signed | None, held: Checkpoint, theirs: _Signed) -> None:
    """Whether what is served may continue the mirror, as far as keys, sizes and what is here tell."""
    new = theirs.checkpoint
    known = () if ours is None else ours.keys.periods
    stated = theirs.keys.periods[: len(known)]
    if [(each.verifier, each.begins) for each in known] != [(each.verifier, each.begins) for each in stated]:
        raise _ForkError("its keys are not those that are known here", theirs)
    if new.size < held.size:
        raise _ForkError(f"it covers {new.size} records, {held.size} are here; {_kind_of(new, disk, held)}", theirs)
    if new.size == held.size and new.root != held.root:
        raise _ForkError(f"of {held.size} records its root is another than here: it is another history", theirs)


def _kind_of(new: Checkpoint, disk: Disk, held: Checkpoint) -> str:
    """What a checkpoint that is smaller than ours is, by our own tiles."""
    try:
        older = root_of_first(disk, new.size, held.size) == new.root
    except TileError as error:
        return f"what it is cannot be told, since the mirror is damaged: {error.detail}"
    return f"it is {'an older state of this log, rolled back or served from old files' if older else 'another history'}"


def _bundle(tiles: ProvedTiles, ref: TileRef, disk: Disk, served: Served) -> tuple[bytes, ...]:
    """A bundle that an earlier pull left here, where it is right, else the one that is served."""
    try:
        return tiles.bundle(ref, disk)
    except TileError:
        return tiles.bundle(ref, served)


def _with_signatures(ours: _Signed, theirs: _Signed) -> bytes:
    """Our note of a checkpoint with the signatures of theirs by further keys, one each; as it is where that is none."""
    note = split_note(ours.note)
    held = {(each.name, each.key_id) for each in note.signatures}
    further: dict[tuple[str, bytes], Signature] = {}
    for each in split_note(theirs.note).signatures:
        if (each.name, each.key_id) not in held:
            further.setdefault((each.name, each.key_id), each)
    joined = join_note(Note(note.text, (*note.signatures, *further.values())))
    try:
        open_signed(joined, theirs.keys)
    except (CheckpointError, RotationError):  # too long, or what somebody made up for a later key of the log
        return ours.note
    return joined


def _put(disk: Disk, ours: _Signed | None, theirs: _Signed) -> None:
    """The keys before the checkpoint that needs them."""
    if theirs.manifest is not None and (ours is None or theirs.manifest != ours.manifest):
        disk.replace({MANIFEST: theirs.manifest})
    disk.replace({CHECKPOINT: theirs.note})


def _signed(files: Served, anchor: Verifier) -> _Signed | None:
    """The checkpoint that stands there, proved; None where there is none.

    The manifest is read after it: one that is newer knows the key, too.
    """
    note = files.read(CHECKPOINT, MOST_BYTES)
    if note is None:
        return None
    manifest = files.read(MANIFEST, MOST_MANIFEST_BYTES)
    keys = parse_manifest(manifest, anchor)
    return _Signed(open_signed(note, keys).checkpoint, keys, note, manifest)


def _keep_evidence(disk: Disk, contradicting: Sequence[_Signed]) -> tuple[str, ...]:
    """Keep these checkpoints, with the keys they were proved by; their paths."""
    files: dict[str, bytes] = {}
    for each in contradicting:
        name = f"{EVIDENCE}/{each.checkpoint.size}-{each.checkpoint.root.hex()[:16]}"
        files[f"{name}.checkpoint"] = each.note
        if each.manifest is not None:
            files[f"{name}.manifest"] = each.manifest
    if len({*files, *(f"{EVIDENCE}/{name}" for name in disk.names(EVIDENCE))}) > MOST_EVIDENCE:
        return ()
    disk.replace(files)
    return tuple(files)
