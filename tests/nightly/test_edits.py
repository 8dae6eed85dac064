"""A slice of the long test of tampering: random single edits of a signed log, for as long as it is given.

    make test-nightly PART=edits SECONDS=600 SEED=7

The same run as tests/service/test_random_edits.py, from seeds of its own, over logs of several sizes; what it covered
is entered in the ledger, and the total printed. Source: contracts.md "Long tests".
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.random_edits import KINDS, Edited, exit_code, small_log, try_edits
from tools.nightly import LEDGER, add, told

SIZES = (1, 2, 60, 256, 260, 513)
"""Records of a log: one; two; a part of a bundle; a whole one; more than one; three, the last of one record."""

AT_A_TIME = 100


def test_every_random_edit_is_found_for_as_long_as_given(tmp_path: Path) -> None:
    """For all logs L, edits e with e(L) != L: verify(e(L)) is 20, 30 or 40."""
    if "PORTCULLIS_SECONDS" not in os.environ:
        pytest.skip("a slice of the long tests: make test-nightly PART=edits")
    seconds, seed = float(os.environ["PORTCULLIS_SECONDS"]), int(os.environ["PORTCULLIS_SEED"])
    logs = {size: small_log(tmp_path / str(size), size) for size in SIZES}
    assert [exit_code(log) for log in logs.values()] == [0] * len(SIZES)
    edited = Edited()
    end = time.monotonic() + seconds
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        for size, log in logs.items():
            try_edits(log, size, f"nightly {seed} {rounds} {size}", AT_A_TIME, edited)
        assert edited.missed == []
        rounds += 1
    assert set(edited.kinds) == KINDS
    counts = {"edits": edited.kinds.total()}
    print("\n" + told("edits", add(LEDGER, "edits", seed, counts)))
