"""Portcullis answers what Casbin answers, for every kind of model, but for the list of known differences.

For each kind k, trial t of k and request q: compat(t)(q) = pycasbin(t)(q), or the difference is listed; and strict
takes t and the same holds, or it refuses t with one of the codes of k. The same run, longer and from seeds of its own,
is tests/nightly/test_casbin.py.
"""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from policy_lang.ir.tables import Mode
from tests.casbin.comparing import Tally, compare
from tests.casbin.kind import Kind
from tests.casbin.kinds import KINDS
from tests.casbin.known_differences import KNOWN, Asked, Known, known_difference
from tests.casbin.oracle import LoadError, Oracle

TRIALS = 20
REQUESTS = 50
"""Of each trial; at least a thousand of each kind in all."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_compat_and_strict_answer_what_casbin_answers(kind: Kind) -> None:
    tally = Tally()
    for trial in range(TRIALS):
        compare(kind, str(trial), tally, REQUESTS)
    assert tally.requests >= 1_000
    assert tally.lacks(kind) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_casbin_asked_row_by_row_says_what_it_says_of_the_whole(kind: Kind) -> None:
    """For each request q of a policy with rows: where pycasbin(t)(q) is an answer, by_rows(t)(q) is the same."""
    random = Random(kind.name)
    trial = kind.draw(random)
    try:
        oracle = Oracle.of(trial, kind.settings)
    except LoadError:
        assert kind.raised > 0, "Casbin does not load it"
        return
    for request in (trial.ask(random) for _ in range(20 if oracle.rows else 0)):
        said = oracle.answer(request)
        assert said == "raised" or (said == "yes") is oracle.by_rows(request), request


def test_no_line_that_does_not_open_covers_a_no_that_became_a_yes() -> None:
    kind = KINDS[0]
    trial = kind.draw(Random(0))
    assert known_difference(Asked(kind, trial, "compat", ("a", "b\n", None), "no", "yes", True, 0, ours=True)) is None


@pytest.mark.parametrize(("mode", "allowed"), [("strict", True), ("compat", False)])
def test_no_line_lets_compat_say_yes_where_casbin_says_no(mode: Mode, *, allowed: bool) -> None:
    kind = KINDS[0]
    asked = Asked(kind, kind.draw(Random(0)), mode, ("a", "b", "c"), "no", "no", False, 1, ours=True)
    everything = (Known("everything", "whatever differs", lambda _: True, opens=True),)
    assert (known_difference(asked, everything) is not None) is allowed
    assert known_difference(replace(asked, ours=False, theirs="yes"), everything) is not None


def test_every_kind_and_every_known_difference_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len({known.name for known in KNOWN}) == len(KNOWN)


def test_a_kind_states_codes_exactly_where_strict_may_refuse() -> None:
    assert [kind.name for kind in KINDS if bool(kind.codes) == (kind.strict == "takes")] == []
