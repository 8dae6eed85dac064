"""The ledger of the long tests: slices add up, a seed counts once, and what is no ledger is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.nightly import LEDGER, add, read, told, total


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


def test_slices_of_different_seeds_add_up(ledger: Path) -> None:
    assert add(ledger, "plans", 1, {"pairs": 100, "policies": 2}) == {"pairs": 100, "policies": 2}
    assert add(ledger, "plans", 2, {"pairs": 50}) == {"pairs": 150, "policies": 2}
    assert add(ledger, "other", 1, {"cases": 7}) == {"cases": 7}
    assert told("plans", total(read(ledger), "plans")) == "plans: 150 pairs, 2 policies in all"


def test_a_seed_counts_once_at_its_longest(ledger: Path) -> None:
    add(ledger, "plans", 1, {"pairs": 100})
    assert add(ledger, "plans", 1, {"pairs": 40}) == {"pairs": 100}
    assert add(ledger, "plans", 1, {"pairs": 140}) == {"pairs": 140}


def test_slices_that_end_together_are_all_entered(ledger: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: add(ledger, "plans", seed, {"pairs": 1}), range(40)))
    assert total(read(ledger), "plans") == {"pairs": 40}
    assert [path.name for path in ledger.parent.iterdir()] == ["ledger.json"]


def test_a_ledger_that_is_not_there_is_empty(ledger: Path) -> None:
    assert read(ledger) == {}


@pytest.mark.parametrize(
    "written",
    {
        "a list": [],
        "a part without slices": {"plans": {}},
        "a slice without a seed": {"plans": [{"pairs": 1}]},
        "one seed twice": {"plans": [{"seed": 1, "pairs": 1}, {"seed": 1, "pairs": 2}]},
        "a negative count": {"plans": [{"seed": 1, "pairs": -1}]},
        "a count that is a truth": {"plans": [{"seed": 1, "pairs": True}]},
        "a count in words": {"plans": [{"seed": 1, "pairs": "many"}]},
    }.values(),
    ids=str,
)
def test_what_is_no_ledger_is_refused(ledger: Path, written: object) -> None:
    ledger.write_text(json.dumps(written))
    with pytest.raises(ValueError, match="is no ledger"):
        read(ledger)


def test_the_ledger_of_the_repository_can_be_read() -> None:
    assert set(read(LEDGER)) >= {"plans"}
