"""A slice of the long fuzzing of `Check`: mutated CheckRequests through a real gRPC server, for as long as it is given.

    make test-nightly PART=checks SECONDS=600 SEED=7

The same run as tests/properties/test_fuzzed_checks.py, from seeds of its own; what it covered is entered in the ledger,
and the total printed. Source: contracts.md "Long tests".
"""

from __future__ import annotations

import os
import time

import pytest

from tests.support.fuzzed_checks import Tally, fuzz
from tools.nightly import LEDGER, add, told

AT_A_TIME = 1_000
"""Checks of one server: it keeps its log in memory."""


def test_no_check_is_an_error_or_allowed_by_a_mutation_for_as_long_as_given() -> None:
    """For all bases b, mutations m: allow(m(b)) => essence(m(b)) = essence(b') for a b' with allow(b')."""
    if "PORTCULLIS_SECONDS" not in os.environ:
        pytest.skip("a slice of the long tests: make test-nightly PART=checks")
    seconds, seed = float(os.environ["PORTCULLIS_SECONDS"]), int(os.environ["PORTCULLIS_SEED"])
    tally = Tally()
    end = time.monotonic() + seconds
    while tally.checks == 0 or time.monotonic() < end:
        fuzz(f"nightly {seed} {tally.checks // AT_A_TIME}", AT_A_TIME, tally)
        assert tally.wrong == []
        assert tally.recorded == tally.checks
    print(f"\n{tally.told()}")
    assert tally.lacks() == []
    counts = {"checks": tally.checks, "allowed": tally.allowed, "unreadable": tally.unreadable}
    print(told("checks", add(LEDGER, "checks", seed, counts)))
