"""The minting keys at rest, and what one look at them says: who signs now, and which set is published.

    keys/minting/       mode 0700, ours
      KID.key           one signing key and its times: JSON, mode 0600
      pairwise.secret   32 random bytes in base64url: what names of subjects are made with (pdp.minting.pairwise)
      rotate.lock       held (flock) by the one process that writes here

Two clocks come in; a `Snapshot` goes out. Of all processes of a host one rotates, the others read; when it ends, the
next that looks takes its place. Each opens the folder itself: a lock that came over by fork(2) is no lock.
INVARIANT: a file is whole or not there. One that others may read, that is somebody else's, or that holds rubbish is
refused by name, never repaired; the others stay. When the folder cannot be read at all, the last good keys stay.
SECURITY: a snapshot signs no longer than `publish_ahead_s`, by the host's clock, after the last look that could read
the folder: a process that sees no longer what others rotate stops minting before its key can be gone from the set.
Design: issue "Service-scoped tokens"; pdp/audit/keys.py.

Decision: 2026-11-21. Where keys are but the secret of the names is not, nothing is minted and no new secret made: every
subject would have another name at every service. Where no key is and no secret, both are made.
Decision: 2026-11-21. Taking every key file away makes a new beginning, for keys that have become known: the next key
signs at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os.path import samestat
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

from pdp.audit.files import atomic_write, sync_directory
from pdp.errors import StateError
from pdp.identity.strict import decode_base64url
from pdp.minting.keys import (
    SECRET_BYTES,
    US,
    MintingAlgorithm,
    Plan,
    PrivateKey,
    Rotation,
    Seen,
    SigningKey,
    base64url,
    changed,
    look,
    make_key,
    plan,
    private_key,
    published,
    signing,
    thumbprint,
)

LOCK = "rotate.lock"
SECRET = "pairwise.secret"  # noqa: S105 - the name of a file
KEY_SUFFIX = ".key"

_MAX_FILE_BYTES = 4096
_OTHERS_MASK = 0o077
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})
"""What open(2) says of this one file; every other error says something of the disk or of us."""


class Signer(Protocol):
    """What holds a private key, here or elsewhere."""

    @property
    def kid(self) -> str:
        """The name of the key in the published set."""
        ...

    @property
    def algorithm(self) -> MintingAlgorithm:
        """The JWS algorithm."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The JWS signature over `data` (RFC 7518 3.4: 64 bytes). Errors: OSError when the key cannot be reached."""
        ...


@dataclass(frozen=True, slots=True)
class LocalSigner:
    """A key in this process."""

    key: SigningKey

    @property
    def kid(self) -> str:
        """The name of the key in the published set."""
        return self.key.kid

    @property
    def algorithm(self) -> MintingAlgorithm:
        """The JWS algorithm."""
        return self.key.algorithm

    def sign(self, data: bytes) -> bytes:
        """The JWS signature over `data`."""
        match self.key.private:
            case EllipticCurvePrivateKey() as private:
                r, s = decode_dss_signature(private.sign(data, ECDSA(SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case Ed25519PrivateKey() as private:
                return private.sign(data)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one look found. `signer` (None: nothing can sign) signs from `from_us` until before `until_us`, Unix
    microseconds. `secret` is that of the names, not shown. `jwks` is the published set. `refused` says what was not
    usable, a sentence each. `rotating`: this process is the one that writes.
    """

    signer: Signer | None
    from_us: int
    until_us: int
    secret: bytes | None = field(repr=False)
    jwks: bytes
    refused: tuple[str, ...] = ()
    rotating: bool = False


class _Stored(Struct, frozen=True, forbid_unknown_fields=True):
    """A key file."""

    algorithm: MintingAlgorithm
    private: str
    made_us: int
    not_before_us: int
    promoted_us: int | None
    retired_us: int | None
    not_after_us: int
    gone_us: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies in the folder. `fresh`: no key file, not even rubbish."""

    keys: tuple[SigningKey, ...] = ()
    secret: bytes | None = field(default=None, repr=False)
    refused: tuple[str, ...] = ()
    fresh: bool = True
    secret_lies_here: bool = False


class KeyStore:
    """The folder of the minting keys, as one process uses it, one thread at a time."""

    def __init__(self, folder: Path, settings: Rotation, entropy: Callable[[int], bytes]) -> None:
        """Open `folder`, made where it is missing (its parent is there). `entropy(n)` gives n random bytes.

        Errors: StateError S132 when it cannot be made, is not ours, or others may enter it.
        """
        self._folder = folder
        self._settings = settings
        self._entropy = entropy
        self._seen: Mapping[str, Seen] = {}
        self._found = _Found()
        self._read_us = 0
        self._rotating = False
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            about = folder.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & _OTHERS_MASK:
                raise StateError(
                    "S132", f"{folder} is not a folder that only we may enter: see its owner, chmod 700 it"
                )
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._lock = os.fdopen(descriptor, "rb")
        except OSError as error:
            raise StateError("S132", f"the folder {folder} of the minting keys is not usable: {error}") from error

    def close(self) -> None:
        """Give the folder up, so that another process may rotate; again does nothing."""
        self._lock.close()

    def look(self, now_us: int, monotonic_us: int) -> Snapshot:
        """Look at the folder, and rotate where that is ours to do; to be called once a minute or more often.

        Units: `now_us` Unix microseconds of the host's clock, `monotonic_us` of a clock that never goes back.
        Total: what fails is said in `refused`, and the last good keys stay.
        """
        failed: tuple[str, ...] = ()
        try:
            self._take_lock()
            self._found = self._read()
            self._read_us = now_us
            self._seen = look(self._seen, self._found.keys, now_us, monotonic_us)
            if self._rotating:
                self._rotate(now_us, monotonic_us)
        except OSError as error:
            failed = (f"the minting keys in {self._folder} could not be read or written: {error}",)
        return self._snapshot(now_us, failed)

    def _snapshot(self, now_us: int, failed: tuple[str, ...]) -> Snapshot:
        key = signing(self._found.keys, now_us)
        return Snapshot(
            signer=None if key is None else LocalSigner(key),
            from_us=0 if key is None else key.promoted_us or 0,
            until_us=0 if key is None else min(key.ends_us, self._read_us + self._settings.publish_ahead_s * US),
            secret=self._found.secret,
            jwks=published(self._found.keys),
            refused=(*self._found.refused, *failed),
            rotating=self._rotating,
        )

    def _take_lock(self) -> None:
        """Become the one that rotates, if nobody is; then what a crash left half written goes.

        Errors: OSError, also when the lock is no longer the one of this folder and so excludes nobody.
        """
        if not samestat(os.fstat(self._lock.fileno()), (self._folder / LOCK).lstat()):
            raise OSError(errno.ESTALE, f"{LOCK} was replaced while we ran: restart the service")
        if self._rotating:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        self._rotating = True
        for leftover in self._folder.glob(".*.tmp"):
            leftover.unlink()

    def _rotate(self, now_us: int, monotonic_us: int) -> None:
        """Carry the plan out, and read what is there then. Every step alone leaves a state that is good."""
        found = self._found
        if found.fresh and not found.secret_lies_here:
            atomic_write(self._folder / SECRET, base64url(self._entropy(SECRET_BYTES)).encode("ascii") + b"\n")
        what = plan(found.keys, self._seen, now_us, monotonic_us, self._settings, fresh=found.fresh)
        if what == Plan():
            return
        for key in changed(found.keys, what, now_us, self._settings):
            self._write(key)
        if what.make is not None:
            self._write(make_key(what.make, now_us, self._settings, self._entropy))
        for kid in what.delete:
            self._path(kid).unlink(missing_ok=True)
        sync_directory(self._folder)
        self._found = self._read()
        self._seen = look(self._seen, self._found.keys, now_us, monotonic_us)

    def _path(self, kid: str) -> Path:
        return self._folder / f"{kid}{KEY_SUFFIX}"

    def _write(self, key: SigningKey) -> None:
        stored = _Stored(
            algorithm=key.algorithm,
            private=base64url(_secret_of(key.private)),
            made_us=key.made_us,
            not_before_us=key.not_before_us,
            promoted_us=key.promoted_us,
            retired_us=key.retired_us,
            not_after_us=key.not_after_us,
            gone_us=key.gone_us,
        )
        atomic_write(self._path(key.kid), msgspec.json.encode(stored) + b"\n")

    def _read(self) -> _Found:
        """Everything in the folder. Errors: OSError when that cannot be told."""
        entries = sorted(path.name for path in self._folder.iterdir())
        names = [name for name in entries if name != LOCK and not name.startswith(".")]
        keys: list[SigningKey] = []
        secret: bytes | None = None
        refused: list[str] = []
        for name in names:
            try:
                if name == SECRET:
                    secret = _read_secret(self._folder / name)
                elif name.endswith(KEY_SUFFIX):
                    keys.append(_read_key(self._folder / name))
                else:
                    refused.append(f"{self._folder / name} is none of ours: move it away")
            except FileNotFoundError:
                continue
            except StateError as error:
                refused.append(error.detail)
        fresh = not any(name.endswith(KEY_SUFFIX) for name in names)
        if not fresh and SECRET not in names:
            refused.append(
                f"{self._folder / SECRET} is missing, nothing is minted: restore it from a copy, or move the keys away"
            )
        return _Found(tuple(keys), secret, tuple(refused), fresh, SECRET in names)


def _secret_of(private: PrivateKey) -> bytes:
    match private:
        case EllipticCurvePrivateKey():
            return private.private_numbers().private_value.to_bytes(SECRET_BYTES, "big")
        case Ed25519PrivateKey():
            return private.private_bytes_raw()


def _read_key(path: Path) -> SigningKey:
    """Errors: StateError S132 when the file holds no key, or another than its name says; OSError."""
    try:
        stored = msgspec.json.decode(_content(path), type=_Stored)
        private = private_key(stored.algorithm, decode_base64url(stored.private) or b"")
        key = SigningKey(
            kid=thumbprint(private),
            algorithm=stored.algorithm,
            private=private,
            made_us=stored.made_us,
            not_before_us=stored.not_before_us,
            promoted_us=stored.promoted_us,
            retired_us=stored.retired_us,
            not_after_us=stored.not_after_us,
            gone_us=stored.gone_us,
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise StateError(
            "S132", f"{path} does not hold a minting key: restore it from a copy, or move it away"
        ) from error
    if path.name != key.kid + KEY_SUFFIX:
        raise StateError("S132", f"{path} holds the key {key.kid}: restore it from a copy, or move it away")
    return key


def _read_secret(path: Path) -> bytes:
    """Errors: StateError S132 when the file is not good; OSError."""
    secret = decode_base64url(_content(path).decode("ascii", "replace").removesuffix("\n"))
    if secret is None or len(secret) != SECRET_BYTES:
        raise StateError("S132", f"{path} does not hold {SECRET_BYTES} bytes in base64url: restore it from a copy")
    return secret


def _content(path: Path) -> bytes:
    """The bytes of a file that is ours; judged by its descriptor, so that it cannot be swapped in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _REFUSED:
            raise StateError("S132", f"{path} is not a file of ours: see its owner and its kind") from error
        raise
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise StateError("S132", f"{path} is not a file of ours: see its owner and its kind")
        if about.st_mode & _OTHERS_MASK:
            raise StateError("S132", f"{path} is open to others: move it away, it must be taken for known")
        data = os.read(descriptor, _MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MAX_FILE_BYTES:
        raise StateError("S132", f"{path} is larger than any file of ours: move it away")
    return data
