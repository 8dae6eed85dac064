"""The key that a log is checked against: from the command line or from the state's own folder of keys.

SECURITY: never one that stands beside a log: a log that brings its own key proves nothing. What a log calls itself is
    read here, too, but only to say which key was perhaps meant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click
from msgspec import Struct

from pdp.audit.checkpoint import (
    MOST_BYTES,
    CheckpointError,
    Verifier,
    parse_vkey,
    signature_by,
    split_note,
    unproved_checkpoint,
)
from pdp.audit.manifest import MANIFEST, MOST_MANIFEST_BYTES, ManifestError, parse_manifest
from pdp.audit.tiles import CHECKPOINT
from pdp.cli.options import shown_path
from pdp.errors import PdpError

MOST_GIVEN_BYTES = 64 * 1024
"""So much is read of a key or of a remembered head: they are smaller."""

LONGEST_SHOWN = 200
"""Characters that are said again of a key that is none."""

KEY_HELP = "The verifier key, or a file that holds it.  [default: keys/log.vkey of the state]"


class GivenKey(Struct, frozen=True):
    """The key of a log, or the root of its keys; `source` says behind "the key" where it was read."""

    verifier: Verifier
    source: str


class Readable(Protocol):
    """The files of a log, from wherever they come."""

    def read(self, path: str, most: int) -> bytes | None:
        """As `pdp.audit.disk.Files` has it."""
        ...


def given_key(given: str | None, own: Path) -> GivenKey:
    """The verifier key that was given (itself, or the file that holds it), else that of the state.

    Errors: UsageError where there is none; CheckpointError A601 for what is none.
    """
    path = own if given is None else Path(given)
    if stands(path.is_file):
        return _parsed(given_bytes(path, "the key").decode("ascii", "replace"), f"in {shown_path(path)}")
    if given is None:
        raise click.UsageError(f"no key to check against: there is no {path}, name one with --key")
    if "+" not in given:
        detail = f"there is no file {given[:LONGEST_SHOWN]}, and it is no verifier key, which reads name+id+key"
        raise CheckpointError("A601", f"--key: {detail}")
    return _parsed(given, "given with --key")


def _parsed(text: str, source: str) -> GivenKey:
    try:
        return GivenKey(parse_vkey(text), source)
    except CheckpointError as error:
        raise CheckpointError(error.code, f"the key {source}: {error.detail}") from error


def given_bytes(path: Path, what: str) -> bytes:
    """The content of a small file that was named. Errors: UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_GIVEN_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{what}: {path} cannot be read: {error.strerror}") from error


def claimed_name(files: Readable) -> str | None:
    """What a log calls itself: enough to choose among keys that were given, and believed for nothing else."""
    data = _read(files, CHECKPOINT, MOST_BYTES)
    try:
        return None if data is None else unproved_checkpoint(data).origin
    except CheckpointError:
        return None


def other_key(files: Readable, key: GivenKey) -> str | None:
    """Which key was perhaps meant, where a log is not signed by the one that was given; None where nothing tells."""
    origin, name = claimed_name(files), key.verifier.name
    if origin is None:
        return None
    if origin != name:
        return other_log("the checkpoint", origin, key)
    manifest = _read(files, MANIFEST, MOST_MANIFEST_BYTES)
    if manifest is not None:
        try:
            parse_manifest(manifest, key.verifier)
        except (CheckpointError, ManifestError):
            began = "where keys changed, the log is known by the one it began with: give `keys/log.vkey` of its state"
            return f"`manifest` does not lead from the key {key.source} to later ones; {began}"
        return None
    try:
        note = split_note(_read(files, CHECKPOINT, MOST_BYTES) or b"")
        own = signature_by(note, key.verifier)
    except CheckpointError:
        return None
    if own is not None or all(each.name != name for each in note.signatures):
        return None
    signed = f"another key of the name {name} than the key {key.source} signed the checkpoint"
    return f"{signed}; where keys changed, the file `manifest` leads from one to the other, and there is none here"


def _read(files: Readable, path: str, most: int) -> bytes | None:
    try:
        return files.read(path, most)
    except (PdpError, OSError):  # whoever verifies says so
        return None


def other_log(what: str, origin: str, key: GivenKey) -> str:
    """That something is of another log than a key, and what to do."""
    named = f"{what} is of the log {origin}, the key {key.source} is of the log {key.verifier.name}"
    return f"{named}: give the key of that log with --key, or name another place"


def stands(asked: Callable[[], bool]) -> bool:
    """The answer of the disk; False where it will not look, as at a name too long for it."""
    try:
        return asked()
    except (OSError, ValueError):
        return False
