"""The keys of one log: made once, kept in one folder, read by the writer, the sequencer and the command line.

    keys/           mode 0700, ours
      log.key       the Ed25519 private key that signs checkpoints: its 32 raw bytes
      log.vkey      the key by which others know the log, as a C2SP verifier key, which also holds the name of the log
                    (its origin): the public half of the first log.key, or a root's; it never changes
      sign.vkey     the public half of log.key, where that is not log.vkey
      next.key      the private key that follows, next.vkey its public half: where keys change (pdp.audit.succession)
      box.key       32 random bytes: what sealed boxes are keyed from (pdp.audit.box)
      id.key        32 random bytes: what decision ids are made with (pdp.audit.ids)

Each file is one line of text, the three secret ones base64, mode 0600.
INVARIANT: keys are never overwritten, and never half there: the folder is filled under another name and then renamed.
    When a key changes, the next one takes its name in one step, and the old private key is destroyed.
SECURITY: a secret that others may read is refused, not repaired; it must be taken for known.
Design: contracts.md "The log, from the first commit"; C2SP signed-note.

Decision: 2026-11-21. The next key stands ready before it is needed, so that a root can sign for it and witnesses can be
    told of it. Who can read one private key here can read both; those of the past are what is protected.
Decision: 2026-11-21. Destroying is overwriting, syncing and removing. A file system that copies on write, a disk that
    maps its blocks and a backup may keep the bytes: `keys/` belongs on a plain file system and in no backup that is
    kept for longer than a key signs.
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

from pdp.audit.checkpoint import CheckpointError, Verifier, format_vkey, parse_vkey, verifier_of
from pdp.audit.files import atomic_write, sync_directory
from pdp.errors import StateError

KEY_BYTES = 32
MAX_ORIGIN = 255

_ORIGIN = re.compile(r"[!-*,-~]+\Z")
_MAX_FILE_BYTES = 1024
_SECRET_MASK = 0o077
_PUBLIC_MASK = 0o022


@dataclass(frozen=True, slots=True)
class RecordKeys:
    """What makes and opens the records of the log named `origin`, and signs nothing; `vkey`, its anchor, is public."""

    origin: str
    vkey: str
    box_key: bytes = field(repr=False)
    id_key: bytes = field(repr=False)

    @property
    def anchor(self) -> Verifier:
        """The key of `vkey`: what a stranger checks the log against."""
        return parse_vkey(self.vkey)


@dataclass(frozen=True, slots=True)
class LogKeys(RecordKeys):
    """All keys of a log. Only whoever signs holds them: who answers calls does not."""

    sign_key: Ed25519PrivateKey = field(repr=False)

    @property
    def signer(self) -> Verifier:
        """The public half of the key that signs now."""
        return verifier_of(self.origin, self.sign_key)


def create_keys(keys_dir: Path, origin: str, entropy: Callable[[int], bytes], root: str | None = None) -> LogKeys:
    """Make the keys of a new log in `keys_dir`, which must be absent or empty; on return they are on the disk.

    Shapes: `origin` 1 to 255 printable ASCII characters without space and `+`, such as `pdp.example.com/prod`;
        `entropy(n)` gives n random bytes; `root` the verifier key, of that same name, whose private half is kept
        elsewhere and signs who the keys are (pdp.audit.manifest).
    Errors: StateError S131 when there is something in `keys_dir` already, S132 when the name or the disk will not do.
    """
    if len(origin) > MAX_ORIGIN or _ORIGIN.match(origin) is None:
        raise StateError("S132", f"{origin!a} cannot name a log: 1 to 255 printable ASCII characters, no space, no `+`")
    secrets = {name: entropy(KEY_BYTES) for name in ("log.key", "box.key", "id.key")}
    public = Ed25519PrivateKey.from_private_bytes(secrets["log.key"]).public_key().public_bytes_raw()
    lines = {name: base64.b64encode(secret).decode("ascii") for name, secret in secrets.items()}
    lines["log.vkey"] = format_vkey(origin, public)
    if root is not None:
        lines |= {"log.vkey": _root(root, origin), "sign.vkey": lines["log.vkey"]}
    try:
        if keys_dir.is_symlink() or (keys_dir.exists() and any(keys_dir.iterdir())):
            raise StateError("S131", f"{keys_dir} holds something already: keys are never overwritten")
        _fill(keys_dir, lines)
    except OSError as error:
        raise StateError("S132", f"the keys could not be stored in {keys_dir}: {error}") from error
    return load_keys(keys_dir)


def load_record_keys(keys_dir: Path) -> RecordKeys:
    """Read the keys that records are made and opened with; the one that signs is not read.

    Errors: StateError S132 when a file is missing, is not what it should be, is a link, belongs to somebody else, or
        may be read by others (the public one: written by others).
    """
    try:
        about = keys_dir.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & _SECRET_MASK:
            raise StateError("S132", f"{keys_dir} is not a folder that only we may enter: see its owner, chmod 700 it")
        box_key, id_key = _secret(keys_dir / "box.key"), _secret(keys_dir / "id.key")
        vkey = _line(keys_dir / "log.vkey", _PUBLIC_MASK)
    except OSError as error:
        raise StateError("S132", f"the keys of the log are not readable: {error}") from error
    return RecordKeys(_parsed(vkey, keys_dir).name, vkey, box_key, id_key)


def load_keys(keys_dir: Path) -> LogKeys:
    """Read all keys of a log. Errors: as `load_record_keys`; StateError S132 where no public half fits `log.key`."""
    known = load_record_keys(keys_dir)
    try:
        sign_key = Ed25519PrivateKey.from_private_bytes(_secret(keys_dir / "log.key"))
        verifiers = [_parsed(_line(path, _PUBLIC_MASK), keys_dir) for path in _public_halves(keys_dir)]
    except OSError as error:
        raise StateError("S132", f"the keys of the log are not readable: {error}") from error
    if not any(each.public == sign_key.public_key().public_bytes_raw() for each in verifiers):
        raise StateError(
            "S132", f"{keys_dir / 'log.vkey'} is not the public half of log.key: restore both from one copy"
        )
    return LogKeys(known.origin, known.vkey, known.box_key, known.id_key, sign_key)


def prepare_next(keys_dir: Path, entropy: Callable[[int], bytes]) -> Verifier:
    """The key that follows, made where there is none yet; on return it is on the disk, and `next.vkey` names it.

    What a change of keys that was broken off left behind is brought to its end first.
    Errors: StateError S132.
    """
    try:
        destroy_old(keys_dir)
        origin = load_keys(keys_dir).origin
        path = keys_dir / "next.key"
        if not path.exists():
            _settle_public_half(keys_dir)
            atomic_write(path, base64.b64encode(entropy(KEY_BYTES)) + b"\n")
        following = verifier_of(origin, Ed25519PrivateKey.from_private_bytes(_secret(path)))
        public, vkey = keys_dir / "next.vkey", format_vkey(origin, following.public)
        if not public.exists() or _line(public, _PUBLIC_MASK) != vkey:
            atomic_write(public, vkey.encode() + b"\n")
    except OSError as error:
        raise StateError("S132", f"the next key could not be stored in {keys_dir}: {error}") from error
    return following


def adopt_next(keys_dir: Path) -> None:
    """Make the next key the one that signs, and destroy the private half of the one that did; on return it is gone.

    Breaking off at any point leaves keys that load, and the rest is done by `prepare_next` or `destroy_old`.
    Errors: StateError S132 where no key was prepared, or the disk fails.
    """
    try:
        destroy_old(keys_dir)
        _secret(keys_dir / "next.key")
        os.link(keys_dir / "log.key", keys_dir / "old.key", follow_symlinks=False)
        (keys_dir / "next.key").rename(keys_dir / "log.key")
        sync_directory(keys_dir)
        _settle_public_half(keys_dir)
        destroy_old(keys_dir)
    except OSError as error:
        raise StateError("S132", f"the next key cannot be taken into use in {keys_dir}: {error}") from error


def destroy_old(keys_dir: Path) -> None:
    """Overwrite and remove the private key that signed before, where a change left it. Errors: OSError."""
    old = keys_dir / "old.key"
    if not old.exists():
        return
    if not old.samefile(keys_dir / "log.key"):
        descriptor = os.open(old, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, b"\0" * os.fstat(descriptor).st_size, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    old.unlink()
    sync_directory(keys_dir)


def _settle_public_half(keys_dir: Path) -> None:
    """`next.vkey` becomes `sign.vkey` once its private half is `log.key`."""
    path = keys_dir / "next.vkey"
    if path.exists() and _line(path, _PUBLIC_MASK) == _signing(keys_dir):
        path.rename(keys_dir / "sign.vkey")
        sync_directory(keys_dir)


def _signing(keys_dir: Path) -> str:
    keys = load_keys(keys_dir)
    return format_vkey(keys.origin, keys.signer.public)


def _public_halves(keys_dir: Path) -> list[Path]:
    """The files one of which holds the public half of `log.key`, `log.vkey` first."""
    others = [keys_dir / name for name in ("sign.vkey", "next.vkey")]
    return [keys_dir / "log.vkey", *(path for path in others if path.exists())]


def _parsed(vkey: str, keys_dir: Path) -> Verifier:
    try:
        return parse_vkey(vkey)
    except CheckpointError as error:
        raise StateError("S132", f"{keys_dir / 'log.vkey'} is not a verifier key: restore it from a copy") from error


def _root(vkey: str, origin: str) -> str:
    try:
        name = parse_vkey(vkey).name
    except CheckpointError as error:
        raise StateError("S132", f"the root of the log is no verifier key: {error.detail}") from error
    if name != origin:
        raise StateError("S132", f"the root is the key of {name!a}, not of the log {origin!a}: name it like the log")
    return vkey.strip()


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
