"""A `.tlog-proof` file, checked: what `pdp audit verify FILE` does with one.

A file and the key of the log come in, a report comes out: whether the record in it stands in the log that the key
signed. Keys that follow the first are not known here: the proof has to be by the key that was given.
Specification: C2SP tlog-proof v1. Design: audit.md 4.4 (5).
"""

from __future__ import annotations

from pathlib import Path

from pdp.audit.checkpoint import CheckpointError, Verifier, parse_vkey, unproved_checkpoint
from pdp.audit.leaf import LeafError, parse
from pdp.audit.manifest import parse_manifest
from pdp.audit.merkle import ProofError
from pdp.audit.proof import MOST_PROOF_BYTES, ProofFileError, open_proof, parse_proof
from pdp.audit.report import INVALID, SOUND, Finding, Report
from pdp.audit.rotation import RotationError


def verify_proof(path: Path, vkey: str) -> Report:
    """Check a proof, and that it brings its record. Errors: CheckpointError A601 where `vkey` is no key; OSError."""
    anchor = parse_vkey(vkey)
    with path.open("rb") as file:
        data = file.read(MOST_PROOF_BYTES + 1)
    try:
        proved = open_proof(parse_proof(data), parse_manifest(None, anchor))
        record = parse(proved.record)
    except (ProofFileError, ProofError, CheckpointError, RotationError) as error:
        return _report(anchor.name, findings=(Finding(INVALID, str(path), f"{error}{_of_another(data, anchor)}"),))
    except LeafError as error:
        return _report(anchor.name, findings=(Finding(INVALID, str(path), f"it proves no record of ours: {error}"),))
    checkpoint = proved.signed.checkpoint
    note = f"record {proved.index} (id {record.id}) stands in the log: {proved.record.decode()}"
    return _report(anchor.name, size=checkpoint.size, root=checkpoint.root.hex(), records=1, notes=(note,))


def _of_another(data: bytes, anchor: Verifier) -> str:
    """That a proof says it is of another log than the key is, where it does."""
    try:
        origin = unproved_checkpoint(parse_proof(data).checkpoint).origin
    except (ProofFileError, CheckpointError):
        return ""
    return "" if origin == anchor.name else f"; it is of the log {origin}: give the key of that log with --key"


def _report(
    origin: str,
    *,
    size: int | None = None,
    root: str | None = None,
    records: int = 0,
    findings: tuple[Finding, ...] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    worst = max((each.code for each in findings), default=SOUND)
    return Report(worst, origin, size, root, records, 0, 0, None, findings, 0, notes)
