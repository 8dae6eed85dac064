"""The process that answers calls does not hold the key that signs the log: whoever takes it over can sign nothing."""

from __future__ import annotations

import base64
import random
import re
from pathlib import Path

from pdp.audit.keys import create_keys
from tests.support.cases import POLICY
from tests.support.issuing import TestIssuer
from tests.support.process import ServedPdp


def memory(pid: int) -> bytes:
    """All that a process may write to."""
    pieces = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is not None:
                start, end = (int(each, 16) for each in found.groups())
                file.seek(start)
                try:
                    pieces.append(file.read(end - start))
                except OSError:  # it was given back meanwhile
                    continue
    return b"".join(pieces)


def test_the_signing_key_is_not_in_the_memory_of_the_service(tmp_path: Path) -> None:
    served = ServedPdp(tmp_path, POLICY, [TestIssuer()])
    served.state.mkdir(mode=0o700)
    create_keys(served.state / "keys", "test.example/log", random.Random(20261122).randbytes)
    served.start()
    try:
        held = memory(served.pid)
    finally:
        assert served.stop() == 0
    for name, there in (("id.key", True), ("box.key", True), ("log.key", False)):
        line = (served.state / "keys" / name).read_bytes().strip()
        assert (base64.b64decode(line) in held) == there, name
        assert there or line not in held
