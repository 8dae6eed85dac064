"""Known heads: the newest good checkpoint of each log, remembered, so that no log goes back on what it signed.

A file and a verified checkpoint go in; what was known of that log comes out, and the file goes on to the new one. A
folder for evidence gets both checkpoints of a log that contradicts what is known of it.

    {"format": 1, "logs": {"pdp.example.com/prod": {"key": "<anchor>", "checkpoint": "<signed note>"}}}

INVARIANT: a head is replaced only by a larger one, of the same log under the same anchor, that was shown to continue
    it. Two verifications at once leave the larger head; the file is whole at any moment.
SECURITY: a file of heads that cannot be read, or that names another anchor, is an error, not an empty one: to forget a
    head is what an attacker would want. Who means it removes the entry, or the file.
Design: audit.md 4.4 (7), 5.

Decision: 2026-11-21. A head is that of an origin, whatever the key: a log that was thrown away and begun anew under
    another key does not pass as a log never seen.
Decision: 2026-11-21. Heads are signed notes, kept verbatim: each is evidence by itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from pdp.audit.checkpoint import Checkpoint, unproved_checkpoint
from pdp.audit.disk import Files
from pdp.audit.files import atomic_write
from pdp.audit.merkle import ProofError
from pdp.audit.tiles import TileError
from pdp.audit.tree_proofs import consistency_path, root_of_first, verify_consistency
from pdp.errors import PdpError

MOST_HEADS_BYTES = 16 * 1024 * 1024


class HeadError(PdpError):
    """A file of heads that cannot be used. Code: A661."""

    def __init__(self, detail: str) -> None:
        super().__init__("A661", detail)


class ForkError(PdpError):
    """A log that contradicts a head: `known` covers more, or another history. Code: A662."""

    def __init__(self, detail: str) -> None:
        super().__init__("A662", detail)


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a log: its anchor as a verifier key, and the newest checkpoint that was good, a signed note."""

    key: str
    checkpoint: str


class _Heads(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    logs: dict[str, Head]


class Fork(Struct, frozen=True):
    """Two checkpoints of one log that cannot both be true, as signed notes, and what is wrong."""

    origin: str
    key: str
    known: str
    seen: str
    reason: str


def known_head(path: Path, origin: str, anchor: str) -> bytes | None:
    """The checkpoint remembered of that log, None where there is none. Not proved: `open_signed` it.

    Shapes: `anchor` a verifier key in the one spelling of `format_vkey`.
    Errors: HeadError where the file will not do, or the log was known under another key; OSError.
    """
    head = _read(path).logs.get(origin)
    if head is None:
        return None
    _check_anchor(path, origin, head, anchor)
    return head.checkpoint.encode()


def check_growth(log: Files, head: Checkpoint, checkpoint: Checkpoint) -> None:
    """Check, from the tiles of the log, that its checkpoint continues a head; both were proved to be signed.

    Errors: ForkError where it does not: rolled back, or another history; TileError where the tiles do not lead to the
        root of the checkpoint, so that nothing can be said; OSError.
    """
    if head.size > checkpoint.size:
        raise ForkError(f"the log has {checkpoint.size} records and had {head.size}: it was rolled back")
    if head.size == checkpoint.size and head.root != checkpoint.root:
        raise ForkError(f"the log signed two roots of {head.size} records")
    derived = root_of_first(log, head.size, checkpoint.size)
    path = consistency_path(log, head.size, checkpoint.size)
    try:
        verify_consistency(head.size, derived, checkpoint.size, checkpoint.root, path)
    except ProofError as error:
        detail = f"the tiles do not lead to the root of {checkpoint.size} records: run `pdp audit verify`"
        raise TileError("A622", detail) from error
    if derived != head.root:
        raise ForkError(f"the log has another history of the first {head.size} records than it had")


def remember(path: Path, anchor: str, checkpoint: bytes) -> None:
    """Remember a checkpoint that was verified, and that continues the head known of its log.

    A head as large as it, or larger, stays: what another verification remembered meanwhile.
    Errors: ForkError where the head has its size and another root; HeadError; OSError.
    """
    seen = unproved_checkpoint(checkpoint)
    with _locked(path):
        heads = _read(path)
        head = heads.logs.get(seen.origin)
        if head is not None:
            _check_anchor(path, seen.origin, head, anchor)
            known = unproved_checkpoint(head.checkpoint.encode())
            if known.size == seen.size and known.root != seen.root:
                raise ForkError(f"the log signed two roots of {seen.size} records")
            if known.size >= seen.size:
                return
        logs = heads.logs | {seen.origin: Head(anchor, checkpoint.decode())}
        atomic_write(path, _encode(_Heads(1, dict(sorted(logs.items())))))


def write_evidence(folder: Path, fork: Fork) -> Path:
    """Keep both checkpoints of a fork in a file of their own; its path. The same fork is kept once. Errors: OSError."""
    data = msgspec.json.format(msgspec.json.encode(fork), indent=1) + b"\n"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"fork-{hashlib.sha256(data).hexdigest()[:16]}.json"
    atomic_write(path, data)
    return path


def _check_anchor(path: Path, origin: str, head: Head, anchor: str) -> None:
    if head.key != anchor:
        detail = f"the log {origin!a} was known under the key {head.key}, and is verified under another"
        raise HeadError(f"{detail}: if it was begun anew, remove its entry from {path}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from the file of heads; the lock is beside it, since the file itself is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> _Heads:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_HEADS_BYTES + 1)
    except FileNotFoundError:
        return _Heads(1, {})
    try:
        heads = msgspec.json.decode(data, type=_Heads)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise HeadError(f"{path} holds no heads of logs: put it back from a copy, or remove it ({error})") from error
    if heads.format != 1:
        raise HeadError(f"{path} is of another version: use the version that wrote it")
    return heads


def _encode(heads: _Heads) -> bytes:
    return msgspec.json.format(msgspec.json.encode(heads), indent=1) + b"\n"
