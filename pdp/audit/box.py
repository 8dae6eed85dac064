"""The sealed box: a record's inputs, readable with the box key only, and tied to their record.

    key   HKDF-SHA256(box key, salt, "portcullis box 1"), 32 bytes; `salt` are 32 random bytes that the writer drew
          for this run and states in its `log.start` leaf, so that no two runs share a key
    box   key id 8 | nonce 12 | ciphertext | tag 16, in base64; AES-256-GCM, nonce = the record's sequence number,
          associated data = origin, newline, decision id
    ic    SHA-256(32 random bytes | inputs) in hex; the plaintext of the box is exactly those bytes and the inputs

The key id is the first 8 bytes of SHA-256 over the box key: it says which key to look for. Whoever is shown an opened
box can check it against `ic` in the leaf without any key; the random bytes keep `ic` from being guessed at.

INVARIANT: one run seals at most one shown box under one sequence number. A box whose record was not written is thrown
away with its number not taken, and the nonce is used again only for what stands there instead.
Design: contracts.md "The log, from the first commit".

Decision: 2026-11-21. The random bytes of many boxes are drawn at once, each used for one box. Drawing gives up the
interpreter's lock, and once for each record that let the writer's thread in before the record was on the ring: two
switches of threads a record, which cost more than the record.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pdp.audit import ids
from pdp.audit.leaf import Leaf, Sealed

SALT_BYTES = 32
_INFO = b"portcullis box 1"
_RANDOM_BYTES = 32
_DRAWN_BYTES = 128 * _RANDOM_BYTES
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16


class BoxError(ValueError):
    """A box that was not opened: another key, another record, or not the bytes that were sealed."""


class Sealer:
    """Seals the inputs of one writer's run."""

    def __init__(self, box_key: bytes, salt: bytes, origin: str, entropy: Callable[[int], bytes]) -> None:
        """`box_key` and `salt` have 32 bytes; `entropy(n)` gives n random bytes."""
        self._cipher = AESGCM(_run_key(box_key, salt))
        self._key_id = key_id(box_key)
        self._associated = _associated(origin, "")
        self._entropy = entropy
        self._drawn = b""
        self._used = 0

    def seal(self, seq: int, record_id: str, inputs: bytes) -> Sealed:
        """The box of record `seq` with the id `record_id`."""
        plaintext = self._random() + inputs
        nonce = seq.to_bytes(_NONCE_BYTES, "big")
        ciphertext = self._cipher.encrypt(nonce, plaintext, self._associated + record_id.encode())
        box = binascii.b2a_base64(self._key_id + nonce + ciphertext, newline=False).decode()
        return Sealed(box, sha256(plaintext).hexdigest())

    def _random(self) -> bytes:
        """The next bytes that no box has had. A draw may give fewer than were asked for, but enough for one."""
        start, self._used = self._used, self._used + _RANDOM_BYTES
        if self._used > len(self._drawn):
            self._drawn = self._entropy(_DRAWN_BYTES)
            start, self._used = 0, _RANDOM_BYTES
            if len(self._drawn) < _RANDOM_BYTES:
                raise ValueError("a box takes 32 random bytes")
        return self._drawn[start : self._used]


def open_box(box_key: bytes, salt: bytes, origin: str, leaf: Leaf) -> bytes:
    """The inputs of `leaf`, after everything about its box was checked: key id, place, seal and commitment.

    `salt` is that of the run which wrote the leaf (`salt_of` its `log.start`), `origin` the name of the log.
    Errors: BoxError; it never says anything about what is inside.
    """
    if leaf.sealed is None:
        raise BoxError(f"record {leaf.id} has no box")
    try:
        box = base64.b64decode(leaf.sealed.box, validate=True)
    except ValueError as error:
        raise BoxError(f"the box of record {leaf.id} is not base64") from error
    head = _KEY_ID_BYTES + _NONCE_BYTES
    if len(box) < head + _RANDOM_BYTES + _TAG_BYTES:
        raise BoxError(f"the box of record {leaf.id} is too short to be one")
    nonce = box[_KEY_ID_BYTES:head]
    if box[:_KEY_ID_BYTES] != key_id(box_key):
        raise BoxError(f"the box of record {leaf.id} was sealed with another key than keys/box.key")
    if int.from_bytes(nonce, "big") != ids.parse(leaf.id).seq:
        raise BoxError(f"the box of record {leaf.id} was sealed for another record")
    try:
        plaintext = AESGCM(_run_key(box_key, salt)).decrypt(nonce, box[head:], _associated(origin, leaf.id))
    except InvalidTag as error:
        raise BoxError(f"the box of record {leaf.id} was changed, or sealed for another record or run") from error
    if not hmac.compare_digest(sha256(plaintext).hexdigest(), leaf.sealed.commitment):
        raise BoxError(f"the box of record {leaf.id} does not hold what the record committed to")
    return plaintext[_RANDOM_BYTES:]


def most_inputs(characters: int) -> int:
    """How many bytes of inputs a box of so many characters of base64 holds; below 0 where it holds none."""
    return characters // 4 * 3 - (_KEY_ID_BYTES + _NONCE_BYTES + _RANDOM_BYTES + _TAG_BYTES)


def salt_of(start: Leaf) -> bytes:
    """The salt that a `log.start` leaf states. BoxError for any other leaf."""
    salt = start.clear.get("salt")
    try:
        raw = bytes.fromhex(salt) if isinstance(salt, str) else b""
    except ValueError:
        raw = b""
    if start.kind != "log.start" or len(raw) != SALT_BYTES:
        raise BoxError(f"record {start.id} states no salt")
    return raw


def key_id(box_key: bytes) -> bytes:
    """The eight bytes by which a box names its key."""
    return sha256(box_key).digest()[:_KEY_ID_BYTES]


def _run_key(box_key: bytes, salt: bytes) -> bytes:
    if len(box_key) != 32 or len(salt) != SALT_BYTES:
        raise ValueError("a box key has 32 bytes, and so has a salt")
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=_INFO).derive(box_key)


def _associated(origin: str, record_id: str) -> bytes:
    return f"{origin}\n{record_id}".encode()
