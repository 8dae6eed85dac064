"""One record of the command line, durable before anything is shown: it has a write-ahead log and a number of its own.

The sequencer, which announces the keys of the log, is a writer in the same way.
The running service's sequencer brings it into the tree; where none runs, one is started for that time.
Design: contracts.md "The log, from the first commit" (`show --values`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pdp import __version__
from pdp.audit.files import open_log_file
from pdp.audit.ids import MAX_WRITER
from pdp.audit.keys import RecordKeys
from pdp.audit.tiles import WITNESSED
from pdp.audit.writer import LogWriter, Receipt
from pdp.errors import AuditError
from pdp.model import Json

COMMAND_LINE_WRITER = MAX_WRITER
SEQUENCER_WRITER = MAX_WRITER - 1
_WHO = {COMMAND_LINE_WRITER: "command line", SEQUENCER_WRITER: "sequencer"}
WITHIN_S = 10.0
INTEGRATE_WITHIN_S = 60.0


def write_durably(
    root: Path, keys: RecordKeys, kind: str, clear: Mapping[str, Json], writer_number: int = COMMAND_LINE_WRITER
) -> str:
    """Append one record to the log of the state folder `root`; on return it is on disk. Returns its id.

    Errors: StateError when another command writes at this moment, AuditError when the log cannot take it.
    """
    settled = threading.Event()

    def on_settled(_: Sequence[Receipt]) -> None:
        settled.set()

    writer = LogWriter(
        root / "wal",
        writer_number,
        keys,
        open_file=open_log_file,
        entropy=os.urandom,
        clock_us=lambda: time.time_ns() // 1_000,
        on_settled=on_settled,
        software=f"portcullis {__version__} {_WHO[writer_number]}",
    )
    writer.start()
    try:
        receipt = writer.append(kind, clear, None, strict=True)
        if not settled.wait(WITHIN_S):
            raise AuditError("audit.unfinished", f"the log did not take the record within {WITHIN_S:.0f} s")
        if receipt.error is not None:
            raise receipt.error
    finally:
        writer.close(WITHIN_S)
    is_witnessed = (root / "log" / WITNESSED).exists()  # then only the service signs, which asks the witnesses first
    if not is_witnessed and not _sequencer_runs(root / "log" / ".lock"):
        _integrate(root, INTEGRATE_WITHIN_S)
    return receipt.id


def _sequencer_runs(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _integrate(root: Path, within_s: float) -> None:
    """Run a sequencer whose parent is gone already: it takes in what is there and ends.

    One that takes longer is ended: the record is on disk, and the next sequencer brings it into the tree.
    """
    read_end, write_end = os.pipe()
    os.close(write_end)
    try:
        command = [sys.executable, "-P", "-m", "pdp.audit.sequencer_main", "--state", str(root)]
        command += ["--parent-fd", str(read_end)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, pass_fds=(read_end,), check=False, timeout=within_s)  # noqa: S603 - our own module
    finally:
        os.close(read_end)
