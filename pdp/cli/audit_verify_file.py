"""`pdp audit verify FILE`: a receipt or a `.tlog-proof`; what is neither is said to be what it is.

A path and the key of a log come in, a report goes out.
"""

from __future__ import annotations

from pathlib import Path

import click
from msgspec.structs import replace

from pdp.audit.checkpoint import MOST_BYTES, CheckpointError, format_vkey, unproved_checkpoint
from pdp.audit.proof import HEADER
from pdp.audit.proof_check import verify_proof
from pdp.audit.receipt_check import is_receipt, verify_receipt
from pdp.audit.report import INVALID, Report
from pdp.audit.standalone.parts import STATED
from pdp.audit.tiles import CHECKPOINT
from pdp.cli.log_keys import given_key, stands
from pdp.cli.options import shown_path


def checked_file(path: Path, given: str | None, own_key: Path) -> Report:
    """The report on a receipt or a proof, by the key that was given, else by that of the state.

    Errors: UsageError for what is neither, or not there, before a key is looked for; as `given_key` besides; OSError.
    """
    shown = shown_path(path)
    if stands(path.is_dir):
        raise click.UsageError(f"{shown} is a folder: {_folder(path)}")
    try:
        with path.open("rb") as file:
            head = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{shown} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(f"{shown} cannot be read: {error}") from error
    if not is_receipt(head) and not head.startswith(f"{HEADER}\n".encode()):
        raise click.UsageError(f"{shown} is neither a receipt nor a `.tlog-proof`{_told(head)}")
    key = given_key(given, own_key)
    vkey = format_vkey(key.verifier.name, key.verifier.public)
    report = verify_receipt(path, vkey) if is_receipt(head) else verify_proof(path, vkey)
    if report.exit_code != INVALID:
        return report
    return replace(report, notes=(*report.notes, f"checked with the key {key.source}"))


def _folder(path: Path) -> str:
    """What to name in place of a folder."""
    if stands((path / CHECKPOINT).is_file) and not stands((path / STATED).is_file):
        return f"write --log {shown_path(path)} for the log in it"
    if stands((path / "log" / CHECKPOINT).is_file):
        return f"write --state {shown_path(path)} for the log of that state"
    if stands((path / STATED).is_file):
        return "a receipt is checked as it came, so name the .zip file and not what was unpacked from it"
    return "FILE is a receipt or a `.tlog-proof`, and a log is named with --log"


def _told(data: bytes) -> str:
    """What else a file is, as far as we know it."""
    try:
        claimed = unproved_checkpoint(data)
    except CheckpointError:
        return ""
    said = f"it says it is a checkpoint of {claimed.origin} with {claimed.size:,} records"
    return f": {said}, which --known-head takes; the folder that it stands in is verified with --log"
