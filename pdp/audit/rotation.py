"""Whether a checkpoint is by a key of the log, and that key was good when it signed.

The keys of a log (pdp.audit.manifest) and the bytes of a checkpoint go in, what was signed comes out; then what is
known of the time is judged. Pure; what changing keys does on a disk is in pdp.audit.succession.

INVARIANT: a key signs for the tree from the seal it began with to the seal it ended with, and for no other size; the
    history under a seal is that of the seal. So, with the private half of an old key destroyed, whoever steals
    today's key cannot change what was signed before it, and folder and anchor alone show a try.
Design: audit.md 4.4 (6).

Decision: 2026-11-21. A key is good at the instant that a witness states, within `SKEW_S` for clocks that differ, else
    at the newest instant that a record under the checkpoint states. Cosignatures made at another time do not count;
    where there are cosignatures and none counts, the checkpoint is refused. (Another log format let pass what was
    sealed again with the newest key: CVE-2023-31439.)
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pdp.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Note,
    format_vkey,
    open_note,
    parse_checkpoint,
    signature_by,
    split_note,
)
from pdp.audit.cosignature import Cosignature
from pdp.audit.leaf import Leaf
from pdp.audit.manifest import Period, Succession
from pdp.errors import PdpError

SKEW_S = 300
"""So much may the clock of a witness differ from ours, and so long may a change of keys take."""

ANNOUNCED = "log.key_rotated"
"""The kind of the record that announces the next key."""


class RotationError(PdpError):
    """A checkpoint under a manifest that is not to be believed.

    Codes: A642 outside the part of the tree that its key may sign; A643 its key was not good at that time; A644 the
    records do not announce the keys of the manifest.
    """


class Signed(Struct, frozen=True):
    """A checkpoint, the note it stands in, and the key that signed it."""

    checkpoint: Checkpoint
    note: Note
    period: Period


class Announced(Struct, frozen=True):
    """A record of the kind `ANNOUNCED`: its index in the tree, when it was made, and the key it announces."""

    index: int
    time_us: int
    number: int
    vkey: str


def open_signed(data: bytes, succession: Succession) -> Signed:
    """The checkpoint in `data`, proved to be signed by a key of the log for that part of the tree.

    Where several keys of the log signed, all must fit, and the newest counts. Whether the key was good at the time is
    told by `check_time`, once the time is known.
    Errors: CheckpointError A602 to A606; RotationError A642.
    """
    note = split_note(data)
    signers = [each for each in succession.periods if signature_by(note, each.verifier) is not None]
    if not signers:
        last = succession.periods[-1].verifier
        detail = f"the checkpoint has no signature by a key of the log, the newest is {last.name}+{last.key_id.hex()}"
        raise CheckpointError("A603", detail)
    for period in signers:
        open_note(note, period.verifier)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != succession.origin:
        raise CheckpointError("A606", f"the checkpoint is of {checkpoint.origin!r}, the keys of {succession.origin!r}")
    _check_part(checkpoint, signers[-1])
    return Signed(checkpoint, note, signers[-1])


def seals(succession: Succession) -> tuple[Checkpoint, ...]:
    """The checkpoints at which keys changed, oldest first: the tree must have each of these roots at its size."""
    return tuple(each.begins for each in succession.periods if each.begins is not None)


def counted(period: Period, cosignatures: Sequence[Cosignature]) -> tuple[Cosignature, ...]:
    """The cosignatures made while the key of the log was good; no others count."""
    return tuple(each for each in cosignatures if is_good(period, each.time_s))


def is_good(period: Period, time_s: int) -> bool:
    """Whether a key was good at an instant, within `SKEW_S`."""
    begun = period.from_s is None or time_s >= period.from_s - SKEW_S
    return begun and (period.until_s is None or time_s < period.until_s + SKEW_S)


def check_time(signed: Signed, cosignatures: Sequence[Cosignature], newest_us: int | None) -> None:
    """Check that the key of a checkpoint was good: where witnesses cosigned it then, else at its newest instant.

    Shapes: `cosignatures` over this very checkpoint, by witnesses that are trusted, as `find_cosignatures` gives them;
        `newest_us` the latest instant that a record under it states, Unix microseconds, None where none does.
    Errors: RotationError A643. With a key that has neither beginning nor end any time is good.
    """
    period = signed.period
    named = f"key {period.number} of the log ({period.verifier.key_id.hex()})"
    if cosignatures:
        if not counted(period, cosignatures):
            raise RotationError("A643", f"{named} was good at none of the instants its witnesses state")
    elif newest_us is not None:
        if not is_good(period, newest_us // 1_000_000):
            raise RotationError("A643", f"{named} was not good at the newest instant stated under the checkpoint")
    elif signed.checkpoint.size and (period.from_s is not None or period.until_s is not None):
        raise RotationError("A643", f"no record states a time, so {named} cannot be shown to have been good")


def read_announced(index: int, record: Leaf) -> Announced | None:
    """What a record announces; None where it is of another kind. Errors: RotationError A644 for a malformed one."""
    if record.kind != ANNOUNCED:
        return None
    match record.clear:
        case {"t": int(time_us), "number": int(number), "key": str(vkey)}:
            return Announced(index, time_us, number, vkey)
        case _:
            raise RotationError("A644", f"record {index} announces a key, and not which")


def check_announced(succession: Succession, announced: Sequence[Announced], size: int, newest_us: int | None) -> None:
    """Check that every key was announced in the tree under the key before it, and no key announced is kept back.

    Shapes: `announced` every record of the kind `ANNOUNCED` under the checkpoint of `size` records, in the order of
        the tree; `newest_us` as for `check_time`.
    Errors: RotationError A644. Announcements of the key that comes next may stand alone for `SKEW_S` after the newest
        of them: the change is under way, or was broken off and is announced again.
    """
    first: dict[tuple[int, str], int] = {}
    for each in announced:
        first.setdefault((each.number, each.vkey), each.index)
    for period in succession.periods:
        seal = period.begins
        vkey = format_vkey(period.verifier.name, period.verifier.public)
        if seal is not None and seal.size <= size and first.get((period.number, vkey), size) >= seal.size:
            raise RotationError("A644", f"no record before key {period.number} of the manifest announces it")
    following = len(succession.periods)
    again_us = max((each.time_us for each in announced if each.number == following), default=0)
    late = newest_us is not None and newest_us - again_us > SKEW_S * 1_000_000
    for each in announced:
        if each.number > following or (each.number == following and late):
            raise RotationError("A644", f"record {each.index} announces key {each.number}, the manifest lacks it")


def _check_part(checkpoint: Checkpoint, period: Period) -> None:
    """A key signs from seal to seal; at the size of a seal there is one root."""
    for seal, is_outside in ((period.begins, int.__lt__), (period.ends, int.__gt__)):
        if seal is None:
            continue
        if is_outside(checkpoint.size, seal.size):
            detail = f"key {period.number} of the log signed a tree of {checkpoint.size} records, and may not"
            raise RotationError("A642", f"{detail}: it began or ended with {seal.size}")
        if checkpoint.size == seal.size and checkpoint.root != seal.root:
            raise RotationError("A642", f"the tree of {seal.size} records was sealed with another root")
