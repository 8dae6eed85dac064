"""A slice of the long differential test: Casbin models against pycasbin, for as long as it is given.

    make test-nightly PART=casbin SECONDS=600 SEED=7

The same run as tests/casbin/test_differential.py, from seeds of its own, every kind in turn; what it covered is entered
in the ledger, and the total printed. Source: contracts.md "Long tests".
"""

from __future__ import annotations

import os
import time

import pytest

from tests.casbin.comparing import Tally, compare
from tests.casbin.kinds import KINDS
from tools.nightly import LEDGER, add, told

REQUESTS = 100
"""Requests about one policy: loading one into Casbin costs as much as asking it ten times."""

ENOUGH = 20
"""Trials of each kind from which on a slice must have covered everything."""


def test_casbin_and_portcullis_agree_for_as_long_as_given() -> None:
    """For all kinds k, trials t of k, requests q: compat(t)(q) = pycasbin(t)(q), or the difference is listed."""
    if "PORTCULLIS_SECONDS" not in os.environ:
        pytest.skip("a slice of the long tests: make test-nightly PART=casbin")
    seconds, seed = float(os.environ["PORTCULLIS_SECONDS"]), int(os.environ["PORTCULLIS_SEED"])
    tallies = {kind.name: Tally() for kind in KINDS}
    end = time.monotonic() + seconds
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        for kind in KINDS:
            compare(kind, f"nightly {seed} {rounds}", tallies[kind.name], REQUESTS)
        rounds += 1
    if rounds >= ENOUGH:
        assert {kind.name: lacks for kind in KINDS if (lacks := tallies[kind.name].lacks(kind))} == {}
    counts = {
        "policies": rounds * len(KINDS),
        "requests": sum(tally.requests for tally in tallies.values()),
        "allowed": sum(tally.answers["yes"] for tally in tallies.values()),
    }
    print("\n" + told("casbin", add(LEDGER, "casbin", seed, counts)))
