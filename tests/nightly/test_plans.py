"""A slice of the long differential test: compiled plans against the definition, for as long as it is given.

    make test-nightly PART=plans SECONDS=600 SEED=7

The same run as tests/properties/test_plan_laws.py, from seeds of its own, with more questions a policy; what it covered
is entered in the ledger, and the total printed. Source: contracts.md "Long tests".
"""

from __future__ import annotations

import os
import time

import pytest

from tests.support.generator.comparing import compare
from tests.support.generator.tally import Tally
from tools.nightly import LEDGER, add, told

QUESTIONS = 200
"""Questions asked of one policy: compiling one costs as much as asking it a hundred times."""

ENOUGH = 10_000
"""Pairs from which on a slice must have covered everything."""


def test_plans_and_the_definition_agree_for_as_long_as_given() -> None:
    """For all p, q: agreed(plans(p).decide(q)) = agreed(reference(p).decide(q))."""
    if "PORTCULLIS_SECONDS" not in os.environ:
        pytest.skip("a slice of the long tests: make test-nightly PART=plans")
    seconds, seed = float(os.environ["PORTCULLIS_SECONDS"]), int(os.environ["PORTCULLIS_SEED"])
    tally = Tally()
    end = time.monotonic() + seconds
    while tally.policies == 0 or time.monotonic() < end:
        compare(f"nightly {seed} {tally.policies}", tally, QUESTIONS)
    print(f"\n{tally.told()}")
    if tally.pairs >= ENOUGH:
        assert tally.lacks() == []
    counts = {"policies": tally.policies, "pairs": tally.pairs}
    print(told("plans", add(LEDGER, "plans", seed, counts)))
