"""One record proved to a stranger: the `.tlog-proof` file.

    c2sp.org/tlog-proof@v1
    extra base64(the bytes of the record)
    index 73894
    base64(hash)                  the audit path, leaf end first
                                  a blank line, and the checkpoint as it was signed

INVARIANT: a file is read only in the one spelling that `encode_proof` writes; `open_proof` returns a record only where
    its path leads to the root that the log's key signed.
Specification: C2SP tlog-proof v1; RFC 6962 2.1.1.

Decision: 2026-11-21. `extra` is not covered by a signature; a record in it is believed for its hash alone, which leads
    to the signed root. Proofs without `extra` are read too, and proved against a record that comes from elsewhere.
"""

from __future__ import annotations

import base64
import re

from msgspec import Struct

from pdp.audit.checkpoint import MOST_BYTES as MOST_CHECKPOINT_BYTES
from pdp.audit.checkpoint import unbase64, unproved_checkpoint
from pdp.audit.disk import Files
from pdp.audit.manifest import Succession
from pdp.audit.merkle import HASH_BYTES, TILE_WIDTH, verify_inclusion
from pdp.audit.reader import read_bundle
from pdp.audit.rotation import Signed, open_signed
from pdp.audit.tiles import ENTRIES, MAX_ENTRY_BYTES, TileRef
from pdp.audit.tree_proofs import inclusion_path
from pdp.errors import PdpError

HEADER = "c2sp.org/tlog-proof@v1"
MOST_PROOF_BYTES = 2 * MAX_ENTRY_BYTES + 4096 + MOST_CHECKPOINT_BYTES

_HEAD = re.compile(
    re.escape(HEADER) + r"\n(?:extra (?P<extra>[A-Za-z0-9+/]*={0,2})\n)?index (?P<index>0|[1-9][0-9]{0,17})\n"
    r"(?P<path>(?:[A-Za-z0-9+/]{43}=\n){0,63})"
)


class ProofFileError(PdpError):
    """A file that is no proof, or is one of another record. Code: A651."""

    def __init__(self, detail: str) -> None:
        super().__init__("A651", detail)


class TlogProof(Struct, frozen=True):
    """Record `index` is in the tree of `checkpoint`, a signed note; `path` leads there; `extra` is the record."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None


class Proved(Struct, frozen=True):
    """A record that was proved, its place, and what was signed over it."""

    record: bytes
    index: int
    signed: Signed


def prove_record(files: Files, index: int, checkpoint: bytes) -> TlogProof:
    """The proof of one record of the log, under a checkpoint of it that covers the record.

    Shapes: `checkpoint` the bytes of the log's checkpoint, or of one that witnesses cosigned.
    Errors: ValueError where it does not cover the record; CheckpointError A602, A605; TileError; OSError. What comes
        out of a damaged log is found wrong by `open_proof`.
    """
    size = unproved_checkpoint(checkpoint).size
    path = inclusion_path(files, index, size)
    bundle, at = divmod(index, TILE_WIDTH)
    record = read_bundle(files, TileRef(ENTRIES, bundle, min(TILE_WIDTH, size - bundle * TILE_WIDTH)))[at]
    return TlogProof(index, path, checkpoint, record)


def encode_proof(proof: TlogProof) -> bytes:
    """The bytes of a `.tlog-proof` file."""
    lines = [HEADER]
    if proof.extra is not None:
        lines.append(f"extra {base64.b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines += [base64.b64encode(part).decode() for part in proof.path]
    return "\n".join([*lines, "", ""]).encode() + proof.checkpoint


def parse_proof(data: bytes) -> TlogProof:
    """Read a `.tlog-proof` file; nothing is proved. Errors: ProofFileError; CheckpointError A602, A605."""
    if len(data) > MOST_PROOF_BYTES:
        raise ProofFileError(f"the proof has {len(data)} bytes, at most {MOST_PROOF_BYTES} are read")
    head, blank, checkpoint = data.partition(b"\n\n")
    match = _HEAD.fullmatch(head.decode("ascii", "replace") + "\n")
    if not blank or match is None:
        raise ProofFileError(f"this is no proof: it should begin with `{HEADER}`, an index, and hashes in base64")
    extra = None if match["extra"] is None else unbase64(match["extra"])
    if match["extra"] is not None and not extra:
        raise ProofFileError("the `extra` of the proof is empty, or not base64")
    path = [unbase64(line) for line in match["path"].split()]
    parts = tuple(part for part in path if part is not None and len(part) == HASH_BYTES)
    if len(parts) != len(path):
        raise ProofFileError("the proof has a hash that is not 32 bytes in base64")
    size = unproved_checkpoint(checkpoint).size
    if int(match["index"]) >= size:
        raise ProofFileError(f"the proof is of record {match['index']}, its checkpoint covers {size}")
    return TlogProof(int(match["index"]), parts, checkpoint, extra)


def open_proof(proof: TlogProof, succession: Succession, record: bytes | None = None) -> Proved:
    """The record, proved to be in the log; `record` where it comes from elsewhere, else it is the proof's `extra`.

    The time at which the log's key signed is judged by whoever has one (`pdp.audit.rotation.check_time`), and so is
    whether enough witnesses cosigned.
    Errors: ProofFileError where there is no record, or another; ProofError A611, A612; as `open_signed` besides.
    """
    if record is not None and proof.extra is not None and record != proof.extra:
        raise ProofFileError("the record in the proof is another than the one to be proved")
    proved = proof.extra if record is None else record
    if proved is None:
        raise ProofFileError("the proof holds no record: it proves one that comes with it")
    signed = open_signed(proof.checkpoint, succession)
    checkpoint = signed.checkpoint
    verify_inclusion(proved, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return Proved(proved, proof.index, signed)
