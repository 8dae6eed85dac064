"""Cosignatures: what a witness says of a checkpoint, and when it said so.

A note and the keys of witnesses go in; the cosignatures that these keys made over it come out, each with its instant.

    — witness.example/w1 base64(key id || 8 bytes of Unix seconds, big-endian || Ed25519 signature)

signed over `cosignature/v1`, a line `time <seconds>`, and the text of the note.

INVARIANT: only what a known key signed comes out; a signature that names a known key and does not fit refuses the note.
Specification: C2SP tlog-cosignature (Ed25519, type 0x04); signed-note.

Decision: 2026-11-21. Witnesses sign with Ed25519: the public network of witnesses does, and ML-DSA-44 (type 0x06) is
    not in the library that signs for us. A key of another type is no witness key (A601).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pdp.audit.checkpoint import (
    CheckpointError,
    Note,
    Signature,
    Verifier,
    check_signature,
    format_vkey,
    parse_vkey,
    signature_by,
)

COSIGNATURE_V1 = 0x04
"""Algorithm byte of the key of a witness."""

_TIME_BYTES = 8
_SIGNATURE_BYTES = 64


class WitnessKey(Struct, frozen=True):
    """The public key of a witness: a type of its own, so that no log key passes for one."""

    verifier: Verifier

    @property
    def vkey(self) -> str:
        """The text by which it is handed on."""
        return format_vkey(self.verifier.name, self.verifier.public, COSIGNATURE_V1)


class Cosignature(Struct, frozen=True):
    """What `key` said at `time_s` (Unix seconds, by the clock of the witness); `signature` is the line it stands in."""

    key: WitnessKey
    time_s: int
    signature: Signature


def parse_witness_key(text: str) -> WitnessKey:
    """Read the verifier key of a witness. Errors: CheckpointError A601."""
    return WitnessKey(parse_vkey(text, COSIGNATURE_V1))


def find_cosignatures(note: Note, keys: Iterable[WitnessKey]) -> tuple[Cosignature, ...]:
    """The cosignatures over `note` by `keys`, proved, in the order of the keys; other signatures are passed over.

    Errors: CheckpointError A603 where a key signed twice, A604 where a signature by one of the keys does not fit.
    Source: tlog-cosignature "Ed25519 signed message"; signed-note "Signatures".
    """
    found: list[Cosignature] = []
    for key in keys:
        signature = signature_by(note, key.verifier)
        if signature is not None:
            found.append(Cosignature(key, _proved_time_s(note.text, signature, key), signature))
    return tuple(found)


def _proved_time_s(text: str, signature: Signature, key: WitnessKey) -> int:
    if len(signature.signed) != _TIME_BYTES + _SIGNATURE_BYTES:
        raise CheckpointError("A604", f"the cosignature by {signature.name} has not the length of one")
    time_s = int.from_bytes(signature.signed[:_TIME_BYTES], "big")
    if time_s >= 1 << 63:
        raise CheckpointError("A604", f"the cosignature by {signature.name} states an impossible time")
    message = f"cosignature/v1\ntime {time_s}\n{text}"
    check_signature(key.verifier, signature.signed[_TIME_BYTES:], message.encode())
    return time_s
