"""Checkpoints: the signed statement of how large the log is and what its root is.

A size and a root go in, a C2SP signed note comes out, and the other way round with a key that came from elsewhere.

    portcullis.local/log          origin: the name of the log, which is also the name of its key
    1234                          records, decimal
    base64(root)                  32 bytes
                                  a blank line ends the text; the signatures follow
    — portcullis.local/log base64(key id || signature)

INVARIANT: `open_checkpoint` returns only what the given key signed; every byte of a note with one signature matters.
Specification: C2SP tlog-checkpoint, C2SP signed-note (Ed25519, type 0x01), RFC 8032.

Decision: 2026-11-21. A checkpoint of ours has no extension lines and is refused with one; signatures by other keys
    (witnesses) are passed over, but every signature line must be well formed, and one key may sign once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from pdp.errors import PdpError

ED25519 = 0x01
"""Algorithm byte of a verifier key (signed-note, "Verifier keys")."""

MOST_BYTES = 64 * 1024
"""A longer checkpoint is not read: a quorum of witnesses takes a few kilobytes."""

_SIGNATURE_LINE = re.compile(r"\u2014 (?P<name>\S+) (?P<blob>[A-Za-z0-9+/]+={0,2})\Z")
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z")


class CheckpointError(PdpError):
    """A key or a checkpoint that is not to be believed.

    Codes: A601 not a verifier key; A602 not a signed note; A603 no signature by the key; A604 the signature does not
    fit; A605 not the text of a checkpoint; A606 the checkpoint of another log.
    """


class Verifier(Struct, frozen=True):
    """A public key under its name; `key_id` is four bytes that tell keys of one name apart."""

    name: str
    key_id: bytes
    public: bytes


class Checkpoint(Struct, frozen=True):
    """`size` records whose RFC 6962 root is `root` (32 bytes), in the log `origin`."""

    origin: str
    size: int
    root: bytes


def format_vkey(name: str, public: bytes) -> str:
    """The text by which an Ed25519 key is handed on: `name+key id+base64(0x01 || public)`.

    Errors: CheckpointError A601 where the name cannot name a key; ValueError where `public` is not 32 bytes.
    """
    _check_name(name)
    blob = base64.b64encode(bytes([ED25519]) + public).decode()
    return f"{name}+{_key_id(name, public).hex()}+{blob}"


def parse_vkey(text: str) -> Verifier:
    """Read what `format_vkey` wrote; white space around it is of no matter. Errors: CheckpointError A601."""
    name, plus, rest = text.strip().partition("+")
    stated, second, blob = rest.partition("+")
    if not plus or not second:
        raise CheckpointError("A601", "not a verifier key: it should read name+id+key")
    _check_name(name)
    key = _unbase64(blob)
    if key is None or len(key) != 33 or key[0] != ED25519:
        raise CheckpointError("A601", f"the verifier key of {name!r} is not an Ed25519 key in base64")
    verifier = Verifier(name, _key_id(name, key[1:]), key[1:])
    if stated != verifier.key_id.hex():
        raise CheckpointError("A601", f"the verifier key of {name!r} says id {stated!r}, its key has another")
    return verifier


def sign_checkpoint(origin: str, size: int, root: bytes, key: Ed25519PrivateKey) -> bytes:
    """The checkpoint of a log, signed under the log's own name. ValueError for an impossible size or root."""
    if not 0 <= size < 10**18 or len(root) != 32:
        raise ValueError(f"no checkpoint of size {size} with a root of {len(root)} bytes")
    _check_name(origin)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    blob = _key_id(origin, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"{text}\n\u2014 {origin} {base64.b64encode(blob).decode()}\n".encode()


def open_checkpoint(data: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint in `data`, proved to be signed by `verifier` and to be of the log of that name.

    Errors: CheckpointError A602 to A606; nothing is read of a text that is not proved.
    Source: signed-note "Signatures", tlog-checkpoint "Note text".
    """
    text, lines = _split(data)
    found: list[bytes] = []
    for line in lines:
        name, blob = _signature(line)
        if name == verifier.name and blob[:4] == verifier.key_id:
            found.append(blob[4:])
    if len(found) != 1:
        many = "more than one signature" if found else "no signature"
        raise CheckpointError("A603", f"the checkpoint has {many} by the key {verifier.name}+{verifier.key_id.hex()}")
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(found[0], text.encode())
    except (InvalidSignature, ValueError) as error:
        raise CheckpointError("A604", f"the signature by {verifier.name} does not fit the checkpoint") from error
    checkpoint = _parse_text(text)
    if checkpoint.origin != verifier.name:
        raise CheckpointError("A606", f"the checkpoint is of {checkpoint.origin!r}, the key of {verifier.name!r}")
    return checkpoint


def unproved_checkpoint(data: bytes) -> Checkpoint:
    """What a checkpoint claims, no signature looked at: for finding one's way in a log, never for believing it.

    Errors: CheckpointError A602, A605.
    """
    return _parse_text(_split(data)[0])


def _split(data: bytes) -> tuple[str, list[str]]:
    """The signed text with its last newline, and the signature lines without theirs."""
    if len(data) > MOST_BYTES:
        raise CheckpointError("A602", f"the checkpoint has {len(data)} bytes, at most {MOST_BYTES} are read")
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("A602", "the checkpoint is not UTF-8") from error
    if any(ord(c) < 0x20 and c != "\n" for c in note):
        raise CheckpointError("A602", "the checkpoint has control characters")
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise CheckpointError("A602", "the checkpoint is not a signed note: no signature after a blank line")
    return text + "\n", signatures[:-1].split("\n")


def _signature(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE_LINE.match(line)
    blob = None if match is None else _unbase64(match["blob"])
    if match is None or blob is None or len(blob) < 5 or "+" in match["name"]:
        raise CheckpointError("A602", "the checkpoint has a malformed signature line")
    return match["name"], blob


def _parse_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4:
        raise CheckpointError("A605", f"the checkpoint has {len(lines) - 1} lines of text instead of 3")
    origin, size, encoded, _ = lines
    root = _unbase64(encoded)
    if not _SIZE.match(size) or root is None or len(root) != 32:
        raise CheckpointError("A605", "the checkpoint does not state a size and a root of 32 bytes")
    return Checkpoint(origin, int(size), root)


def _check_name(name: str) -> None:
    """signed-note: not empty, no space of any kind, no plus; we also refuse what a terminal would act upon."""
    if not name or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise CheckpointError("A601", f"{name!r} cannot name a log: no spaces, no plus, not empty")


def _key_id(name: str, public: bytes) -> bytes:
    if len(public) != 32:
        raise ValueError(f"an Ed25519 public key has 32 bytes, not {len(public)}")
    return hashlib.sha256(name.encode() + b"\n" + bytes([ED25519]) + public).digest()[:4]


def _unbase64(text: str) -> bytes | None:
    """Standard base64 with padding, in its one spelling; None for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
