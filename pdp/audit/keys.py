"""The keys of one log: made once, kept in one folder, read by the writer, the sequencer and the command line.

    keys/           mode 0700, ours
      log.key       the Ed25519 private key that signs checkpoints: its 32 raw bytes
      log.vkey      the public half as a C2SP verifier key, which also holds the name of the log (its origin)
      box.key       32 random bytes: what sealed boxes are keyed from (pdp.audit.box)
      id.key        32 random bytes: what decision ids are made with (pdp.audit.ids)

Each file is one line of text, the three secret ones base64, mode 0600.
INVARIANT: keys are never overwritten, and never half there: the folder is filled under another name and then renamed.
SECURITY: a secret that others may read is refused, not repaired; it must be taken for known.
Design: contracts.md "The log, from the first commit"; C2SP signed-note.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import CheckpointError, format_vkey, parse_vkey
from pdp.audit.files import sync_directory
from pdp.errors import StateError

KEY_BYTES = 32
MAX_ORIGIN = 255

_ORIGIN = re.compile(r"[!-*,-~]+\Z")
_MAX_FILE_BYTES = 1024
_SECRET_MASK = 0o077
_PUBLIC_MASK = 0o022


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The keys of the log named `origin`; `vkey` is public, the others are not shown."""

    origin: str
    vkey: str
    sign_key: Ed25519PrivateKey = field(repr=False)
    box_key: bytes = field(repr=False)
    id_key: bytes = field(repr=False)


def create_keys(keys_dir: Path, origin: str, entropy: Callable[[int], bytes]) -> LogKeys:
    """Make the keys of a new log in `keys_dir`, which must be absent or empty; on return they are on the disk.

    Shapes: `origin` 1 to 255 printable ASCII characters without space and `+`, such as `pdp.example.com/prod`;
        `entropy(n)` gives n random bytes.
    Errors: StateError S131 when there is something in `keys_dir` already, S132 when the name or the disk will not do.
    """
    if len(origin) > MAX_ORIGIN or _ORIGIN.match(origin) is None:
        raise StateError("S132", f"{origin!a} cannot name a log: 1 to 255 printable ASCII characters, no space, no `+`")
    secrets = {name: entropy(KEY_BYTES) for name in ("log.key", "box.key", "id.key")}
    public = Ed25519PrivateKey.from_private_bytes(secrets["log.key"]).public_key().public_bytes_raw()
    lines = {name: base64.b64encode(secret).decode("ascii") for name, secret in secrets.items()}
    lines["log.vkey"] = format_vkey(origin, public)
    try:
        if keys_dir.is_symlink() or (keys_dir.exists() and any(keys_dir.iterdir())):
            raise StateError("S131", f"{keys_dir} holds something already: keys are never overwritten")
        _fill(keys_dir, lines)
    except OSError as error:
        raise StateError("S132", f"the keys could not be stored in {keys_dir}: {error}") from error
    return load_keys(keys_dir)


def load_keys(keys_dir: Path) -> LogKeys:
    """Read the keys of a log.

    Errors: StateError S132 when a file is missing, is not what it should be, is a link, belongs to somebody else, or
        may be read by others (the public one: written by others).
    """
    try:
        about = keys_dir.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & _SECRET_MASK:
            raise StateError("S132", f"{keys_dir} is not a folder that only we may enter: see its owner, chmod 700 it")
        sign_key = Ed25519PrivateKey.from_private_bytes(_secret(keys_dir / "log.key"))
        box_key, id_key = _secret(keys_dir / "box.key"), _secret(keys_dir / "id.key")
        vkey = _line(keys_dir / "log.vkey", _PUBLIC_MASK)
    except OSError as error:
        raise StateError("S132", f"the keys of the log are not readable: {error}") from error
    try:
        verifier = parse_vkey(vkey)
    except CheckpointError as error:
        raise StateError("S132", f"{keys_dir / 'log.vkey'} is not a verifier key: restore it from a copy") from error
    if verifier.public != sign_key.public_key().public_bytes_raw():
        raise StateError(
            "S132", f"{keys_dir / 'log.vkey'} is not the public half of log.key: restore both from one copy"
        )
    return LogKeys(verifier.name, vkey, sign_key, box_key, id_key)


def _fill(keys_dir: Path, lines: dict[str, str]) -> None:
    """All files or none: rename(2) refuses a target folder that is not empty."""
    filling = Path(tempfile.mkdtemp(prefix=f".{keys_dir.name}.", suffix=".tmp", dir=keys_dir.parent))
    try:
        for name, line in lines.items():
            descriptor = os.open(filling / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(descriptor)
        sync_directory(filling)
        filling.rename(keys_dir)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(filling)
        raise
    sync_directory(keys_dir.parent)


def _secret(path: Path) -> bytes:
    line = _line(path, _SECRET_MASK)
    try:
        secret = base64.b64decode(line, validate=True)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise StateError("S132", f"{path} does not hold a key of {KEY_BYTES} bytes in base64: restore it from a copy")
    return secret


def _line(path: Path, forbidden: int) -> str:
    """The one line of a file that is ours; judged by its descriptor, so that it cannot be swapped in between."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise StateError("S132", f"{path} is not a file of ours: see its owner")
        if about.st_mode & forbidden:
            raise StateError(
                "S132", f"{path} is open to others: replace the key, it must be taken for known (chmod 600)"
            )
        text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    return text.removesuffix("\n")
