"""Checkpoints: the signed statement of how large the log is and what its root is.

A size and a root go in, a C2SP signed note comes out, and the other way round with a key that came from elsewhere.

    portcullis.local/log          origin: the name of the log, which is also the name of its key
    1234                          records, decimal
    base64(root)                  32 bytes
                                  a blank line ends the text; the signatures follow
    — portcullis.local/log base64(key id || signature)

A note may bear several signatures: of a log key and its successor, of witnesses (pdp.audit.cosignature). A note that is
no checkpoint, such as a statement about a key (pdp.audit.rotation), is made and opened here too.

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


class Signature(Struct, frozen=True):
    """One signature line: the key it names (`key_id` four bytes), and the bytes that this key made."""

    name: str
    key_id: bytes
    signed: bytes

    def __str__(self) -> str:
        return f"\u2014 {self.name} {base64.b64encode(self.key_id + self.signed).decode()}"


class Note(Struct, frozen=True):
    """A note taken apart, nothing of it proved: the text with its last newline, the signatures in their order."""

    text: str
    signatures: tuple[Signature, ...]


class Checkpoint(Struct, frozen=True):
    """`size` records whose RFC 6962 root is `root` (32 bytes), in the log `origin`."""

    origin: str
    size: int
    root: bytes


def format_vkey(name: str, public: bytes, algorithm: int = ED25519) -> str:
    """The text by which an Ed25519 key is handed on: `name+key id+base64(algorithm || public)`.

    Errors: CheckpointError A601 where the name cannot name a key; ValueError where `public` is not 32 bytes.
    """
    _check_name(name)
    blob = base64.b64encode(bytes([algorithm]) + public).decode()
    return f"{name}+{_key_id(name, public, algorithm).hex()}+{blob}"


def parse_vkey(text: str, algorithm: int = ED25519) -> Verifier:
    """Read what `format_vkey` wrote for that algorithm; white space around it is of no matter.

    Errors: CheckpointError A601.
    """
    name, plus, rest = text.strip().partition("+")
    stated, second, blob = rest.partition("+")
    if not plus or not second:
        raise CheckpointError("A601", "not a verifier key: it should read name+id+key")
    _check_name(name)
    key = unbase64(blob)
    if key is None or len(key) != 33 or key[0] != algorithm:
        wanted = f"an Ed25519 key of type {algorithm:#04x} in base64"
        raise CheckpointError("A601", f"the verifier key of {name!r} is not {wanted}")
    verifier = Verifier(name, _key_id(name, key[1:], algorithm), key[1:])
    if stated != verifier.key_id.hex():
        raise CheckpointError("A601", f"the verifier key of {name!r} says id {stated!r}, its key has another")
    return verifier


def verifier_of(name: str, key: Ed25519PrivateKey) -> Verifier:
    """The public half of a key that signs under that name."""
    return parse_vkey(format_vkey(name, key.public_key().public_bytes_raw()))


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> bytes:
    """`text`, which ends in a newline, as a note with one signature. Errors: CheckpointError A601; ValueError."""
    if not text.endswith("\n"):
        raise ValueError("the text of a note ends in a newline")
    signature = Signature(name, verifier_of(name, key).key_id, key.sign(text.encode()))
    return join_note(Note(text, (signature,)))


def join_note(note: Note) -> bytes:
    """The bytes of a note; with `split_note` the identity."""
    return "\n".join([note.text, *map(str, note.signatures), ""]).encode()


def split_note(data: bytes) -> Note:
    """Take a note apart; no signature is checked. Errors: CheckpointError A602. Source: signed-note "Format"."""
    if len(data) > MOST_BYTES:
        raise CheckpointError("A602", f"the note has {len(data)} bytes, at most {MOST_BYTES} are read")
    text, blank, signatures = _characters(data).rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise CheckpointError("A602", "this is not a signed note: it has no signature after a blank line")
    return Note(text + "\n", _signatures(signatures[:-1].split("\n")))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Signature lines that stand alone, each with its newline: what a witness answers. Errors: CheckpointError A602."""
    if len(data) > MOST_BYTES or not data.endswith(b"\n"):
        raise CheckpointError("A602", "these are no signature lines, each with its newline")
    return _signatures(_characters(data[:-1]).split("\n"))


def signature_by(note: Note, verifier: Verifier) -> Signature | None:
    """The signature that names this key, unproved; None where there is none. Errors: CheckpointError A603 for two."""
    found = [each for each in note.signatures if (each.name, each.key_id) == (verifier.name, verifier.key_id)]
    if len(found) > 1:
        raise CheckpointError("A603", f"the note has more than one signature by the key {_shown(verifier)}")
    return found[0] if found else None


def open_note(note: Note, verifier: Verifier) -> str:
    """The text of a note, proved to be signed by `verifier`. Errors: CheckpointError A603, A604."""
    signature = signature_by(note, verifier)
    if signature is None:
        raise CheckpointError("A603", f"the note has no signature by the key {_shown(verifier)}")
    check_signature(verifier, signature.signed, note.text.encode())
    return note.text


def check_signature(verifier: Verifier, signed: bytes, message: bytes) -> None:
    """Check an Ed25519 signature. Errors: CheckpointError A604. Source: RFC 8032 5.1.7."""
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signed, message)
    except (InvalidSignature, ValueError) as error:
        raise CheckpointError("A604", f"the signature by {_shown(verifier)} does not fit the note") from error


def sign_checkpoint(origin: str, size: int, root: bytes, key: Ed25519PrivateKey) -> bytes:
    """The checkpoint of a log, signed under the log's own name. ValueError for an impossible size or root."""
    if not 0 <= size < 10**18 or len(root) != 32:
        raise ValueError(f"no checkpoint of size {size} with a root of {len(root)} bytes")
    _check_name(origin)
    return sign_note(f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n", origin, key)


def open_checkpoint(data: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint in `data`, proved to be signed by `verifier` and to be of the log of that name.

    Errors: CheckpointError A602 to A606; nothing is read of a text that is not proved.
    Source: signed-note "Signatures", tlog-checkpoint "Note text".
    """
    checkpoint = parse_checkpoint(open_note(split_note(data), verifier))
    if checkpoint.origin != verifier.name:
        raise CheckpointError("A606", f"the checkpoint is of {checkpoint.origin!r}, the key of {verifier.name!r}")
    return checkpoint


def unproved_checkpoint(data: bytes) -> Checkpoint:
    """What a checkpoint claims, no signature looked at: for finding one's way in a log, never for believing it.

    Errors: CheckpointError A602, A605.
    """
    return parse_checkpoint(split_note(data).text)


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that the text of a note states, proved or not. Errors: CheckpointError A605."""
    lines = text.split("\n")
    if len(lines) != 4:
        raise CheckpointError("A605", f"the checkpoint has {len(lines) - 1} lines of text instead of 3")
    origin, size, encoded, _ = lines
    root = unbase64(encoded)
    if not _SIZE.match(size) or root is None or len(root) != 32:
        raise CheckpointError("A605", "the checkpoint does not state a size and a root of 32 bytes")
    return Checkpoint(origin, int(size), root)


def unbase64(text: str) -> bytes | None:
    """Standard base64 with padding, in its one spelling; None for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _characters(data: bytes) -> str:
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("A602", "the note is not UTF-8") from error
    if any(ord(c) < 0x20 and c != "\n" for c in note):
        raise CheckpointError("A602", "the note has control characters")
    return note


def _signatures(lines: list[str]) -> tuple[Signature, ...]:
    return tuple(map(_signature, lines))


def _signature(line: str) -> Signature:
    match = _SIGNATURE_LINE.match(line)
    blob = None if match is None else unbase64(match["blob"])
    if match is None or blob is None or len(blob) < 5 or "+" in match["name"]:
        raise CheckpointError("A602", "the note has a malformed signature line")
    return Signature(match["name"], blob[:4], blob[4:])


def _check_name(name: str) -> None:
    """signed-note: not empty, no space of any kind, no plus; we also refuse what a terminal would act upon."""
    if not name or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise CheckpointError("A601", f"{name!r} cannot name a log: no spaces, no plus, not empty")


def _key_id(name: str, public: bytes, algorithm: int) -> bytes:
    if len(public) != 32:
        raise ValueError(f"an Ed25519 public key has 32 bytes, not {len(public)}")
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


def _shown(verifier: Verifier) -> str:
    return f"{verifier.name}+{verifier.key_id.hex()}"
