"""Changing the key of a log: what is done on the disk, and in which order.

The folder of the keys and that of the log come in; they go out with the next key in use, stated in the manifest, the
old private key destroyed. The one process that signs does it, under the lock of the log:

    (0) `find_turn` says that the time of a key is over; the next one stands ready
    (1) a record announces the next key (`announcement`); it is in the tree, under a checkpoint by the old key
    (2) that checkpoint is the seal; it goes into the manifest with the statement about the next key, one file, whole
    (3) the next key takes the place of the old one, which is destroyed
    (4) the checkpoint on disk is signed again by the new key, at the same size

INVARIANT: broken off anywhere, `settle` brings the log to the state before (2) or after (4); nothing is signed by two
    keys but the tree of the seal. A log whose key is not the one its manifest ends with is not signed at all.
Design: audit.md 4.4 (6); pdp.audit.manifest, pdp.audit.rotation.

Decision: 2026-11-21. The sequencer announces, because the record must be under the seal; an announcement whose change
    was broken off is followed by another of the same key.
Decision: 2026-11-21. A root signs ahead: its statement about the next key is laid into `keys/endorsed`, and the key
    changes at the `from` it states, whatever `key_days` says. Without one the old key goes on; past its stated end
    what it signs is refused by `verify`, and the sequencer says so (`is_over`) before.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from msgspec import Struct

from pdp.audit import leaf
from pdp.audit.archive import Archived
from pdp.audit.checkpoint import CheckpointError, Verifier, format_vkey, sign_checkpoint, unproved_checkpoint
from pdp.audit.disk import Disk
from pdp.audit.keys import LogKeys, adopt_next, destroy_old, load_keys, prepare_next
from pdp.audit.manifest import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    ManifestError,
    Statement,
    Succession,
    extended_manifest,
    first_manifest,
    open_statement,
    parse_manifest,
    sign_statement,
)
from pdp.audit.reader import read_bundle, read_checkpoint
from pdp.audit.rotation import ANNOUNCED, SKEW_S, open_signed, read_announced
from pdp.audit.tiles import CHECKPOINT, ENTRIES, refs_from_the_end
from pdp.errors import StateError
from pdp.model import Json

ENDORSED = "endorsed"
"""In the folder of the keys: the root's statement about the key that comes next, a signed note."""

DAY_S = 86_400
_NEWEST_BUNDLES = 1024
"""An announcement is looked for among about 260,000 records, which no 5 minutes of a log go far beyond."""

_MOST_STATEMENT_BYTES = 4096


class UnannouncedError(StateError):
    """No signed record announces the next key yet; nothing was changed. Code: A645."""

    def __init__(self, detail: str) -> None:
        super().__init__("A645", detail)


class Turn(Struct, frozen=True):
    """A change of keys that is due: the key that follows, its number, and a root's statement where there is a root."""

    number: int
    following: Verifier
    endorsed: bytes | None


def read_succession(log: Disk, anchor: Verifier) -> Succession:
    """The keys of the log in this folder. Errors: ManifestError; MemberError; OSError."""
    return parse_manifest(log.read(MANIFEST, MOST_MANIFEST_BYTES), anchor)


def begin_manifest(log: Disk, keys_dir: Path, made_s: int) -> Succession:
    """The keys of a log whose keys are to change, with a manifest where there was none; on return it is on the disk.

    Units: `made_s` says since when the first key signs, Unix seconds; a root states that itself.
    Errors: StateError A645 where the root has not signed for the first key; as `read_succession` besides.
    """
    keys = load_keys(keys_dir)
    if log.read(MANIFEST, MOST_MANIFEST_BYTES) is None:
        if keys.anchor == keys.signer:
            first = Statement(keys.origin, 0, keys.signer, made_s, None)
            data = sign_statement(first, keys.origin, keys.sign_key)
        else:
            endorsed = _endorsed(keys_dir, keys, keys.signer, 0)
            if endorsed is None:
                vkey = format_vkey(keys.origin, keys.signer.public)
                detail = (
                    f"the root has not signed for the first key {vkey}: put its statement into {keys_dir}/{ENDORSED}"
                )
                raise StateError("A645", detail)
            data = endorsed
        log.replace({MANIFEST: first_manifest(data)})
    return read_succession(log, keys.anchor)


def find_turn(
    succession: Succession, keys_dir: Path, key_days: int, now_s: int, entropy: Callable[[int], bytes]
) -> Turn | None:
    """The change of keys that is due now, None where none is; the next key stands ready on return.

    Units: `key_days` is how long a key signs, 0 for ever; where a root signs, its statements decide.
    Errors: StateError S132, and A645 for an endorsement that will not do.
    """
    keys = load_keys(keys_dir)
    following = prepare_next(keys_dir, entropy)
    number = len(succession.periods)
    if succession.rooted:
        endorsed = _endorsed(keys_dir, keys, following, number)
        if endorsed is None or open_statement(endorsed, keys.anchor).from_s > now_s:
            return None
        return Turn(number, following, endorsed)
    begun_s = succession.periods[-1].from_s or 0
    is_due = key_days > 0 and now_s - begun_s >= key_days * DAY_S
    return Turn(number, following, None) if is_due else None


def broken_off(log: Disk, keys_dir: Path, succession: Succession) -> Turn | None:
    """The change that an earlier process announced and did not make: it has to be made, whatever is due now, since
    whoever verifies the log misses that key.

    Where a root signs, its statement is what says that a change is due. Errors: StateError S132; CheckpointError;
        TileError; OSError.
    """
    seal = read_checkpoint(log)
    if succession.rooted or seal is None or not (keys_dir / "next.key").exists():
        return None
    turn = Turn(len(succession.periods), prepare_next(keys_dir, _no_entropy), None)
    return None if _announced_s(log, unproved_checkpoint(seal).size, turn) is None else turn


def check_turn(log: Disk, keys_dir: Path, turn: Turn) -> None:
    """Before a key is announced: what a root stated about it fits behind the keys there are.

    Errors: ManifestError where it does not; CheckpointError; OSError.
    """
    seal, manifest = read_checkpoint(log), log.read(MANIFEST, MOST_MANIFEST_BYTES)
    if turn.endorsed is not None and seal is not None and manifest is not None:
        parse_manifest(extended_manifest(manifest, turn.endorsed, seal), load_keys(keys_dir).anchor)


def is_over(succession: Succession, now_s: int) -> bool:
    """Whether the key that signs is past the end its root stated: what it signs now is refused by others."""
    until_s = succession.periods[-1].until_s
    return until_s is not None and now_s >= until_s


def announcement(turn: Turn, now_us: int) -> dict[str, Json]:
    """The clear fields of the record, of the kind `ANNOUNCED`, that announces the next key; it is strict."""
    vkey = format_vkey(turn.following.name, turn.following.public)
    return {"t": now_us, "number": turn.number, "key": vkey}


def hand_over(log: Disk, keys_dir: Path, turn: Turn, now_s: int) -> LogKeys:
    """Steps (2) to (4), once the record that announces the next key is under the checkpoint on disk; the keys after it.

    Errors: UnannouncedError where none of the newest records under the checkpoint announces the key, or too long ago:
        announce it again; StateError A645 where the checkpoint is not by the key that signs now; ManifestError,
        CheckpointError, RotationError for a log or keys that do not fit; TileError; OSError.
    """
    keys = load_keys(keys_dir)
    seal = read_checkpoint(log)
    manifest = log.read(MANIFEST, MOST_MANIFEST_BYTES)
    if seal is None or manifest is None:
        raise StateError("A645", "the key of a log without checkpoint or manifest cannot change")
    succession = parse_manifest(manifest, keys.anchor)
    signed = open_signed(seal, succession)
    if signed.period != succession.periods[-1] or signed.period.verifier != keys.signer:
        raise StateError("A645", "the checkpoint is not by the key that signs now: restart, so that it is signed again")
    from_s = _announced_s(log, signed.checkpoint.size, turn)
    if from_s is None or abs(now_s - from_s) > SKEW_S:
        raise UnannouncedError(f"no record of the last {SKEW_S} s announces the next key: announce it again")
    if turn.endorsed is None:
        stated = Statement(keys.origin, turn.number, turn.following, from_s, None)
        statement = sign_statement(stated, keys.origin, keys.sign_key)
    else:
        statement = turn.endorsed
    extended = extended_manifest(manifest, statement, seal)
    parse_manifest(extended, keys.anchor)
    log.replace({MANIFEST: extended})
    return settle(log, keys_dir)


def settle(log: Disk, keys_dir: Path) -> LogKeys:
    """The keys, after a change that was broken off is brought to its end. To be called before a log is signed.

    Errors: StateError A645 where the private key is not that of the last key of the manifest, nor the next one's; as
        `hand_over` besides.
    """
    destroy_old(keys_dir)
    keys = load_keys(keys_dir)
    if log.read(MANIFEST, MOST_MANIFEST_BYTES) is None:
        if keys.signer != keys.anchor:
            detail = f"the log has no {MANIFEST}, which says who signs: put it back from a copy"
            raise StateError("A645", detail)
        return keys
    succession = read_succession(log, keys.anchor)
    last = succession.periods[-1]
    if keys.signer != last.verifier:
        if not (keys_dir / "next.key").exists() or prepare_next(keys_dir, _no_entropy) != last.verifier:
            detail = f"the key in {keys_dir} is not the one that the manifest of the log ends with: restore both"
            raise StateError("A645", detail)
        _check_sealed(log, succession)
        adopt_next(keys_dir)
        (keys_dir / ENDORSED).unlink(missing_ok=True)
        keys = load_keys(keys_dir)
    data = read_checkpoint(log)
    if data is None or last.begins is None:
        return keys
    signed = open_signed(data, succession)
    if signed.period != last:
        if signed.checkpoint != last.begins:
            raise StateError("A645", "the checkpoint is older than the manifest: restore both from one copy")
        again = sign_checkpoint(keys.origin, last.begins.size, last.begins.root, keys.sign_key)
        log.replace({CHECKPOINT: again})
    return keys


def _check_sealed(log: Disk, succession: Succession) -> None:
    """Before a key is destroyed: the checkpoint is still the seal it ended with. Errors: StateError A645."""
    data, sealed = read_checkpoint(log), succession.periods[-1].begins
    if data is None or sealed is None:
        return
    if open_signed(data, succession).checkpoint != sealed:
        raise StateError(
            "A645", "the checkpoint is not the one that the key ended with: restore log and keys from one copy"
        )


def _announced_s(log: Disk, size: int, turn: Turn) -> int | None:
    """When the newest record to do so announced that key, Unix seconds; None where none of the newest did."""
    vkey = format_vkey(turn.following.name, turn.following.public)
    files = Archived(log)
    for ref in islice(refs_from_the_end(ENTRIES, size), _NEWEST_BUNDLES):
        for entry in reversed(read_bundle(files, ref)):
            found = read_announced(ref.records[0], leaf.parse(entry)) if ANNOUNCED.encode() in entry else None
            if found is not None and (found.number, found.vkey) == (turn.number, vkey):
                return found.time_us // 1_000_000
    return None


def _endorsed(keys_dir: Path, keys: LogKeys, wanted: Verifier, number: int) -> bytes | None:
    """The root's statement about that key; None where there is none, or an earlier key's. Errors: StateError A645."""
    path = keys_dir / ENDORSED
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_STATEMENT_BYTES)
        statement = open_statement(data, keys.anchor)
    except FileNotFoundError:
        return None
    except (CheckpointError, ManifestError) as error:
        raise StateError("A645", f"{path} is no statement signed by the root: {error.detail}") from error
    if statement.number < number:
        return None
    if (statement.number, statement.verifier, statement.origin) != (number, wanted, keys.origin):
        raise StateError("A645", f"{path} is not about key {number}, {format_vkey(wanted.name, wanted.public)}")
    return data


def _no_entropy(_size: int) -> bytes:
    raise StateError("A645", "a key that should be there is gone")
