"""A thousand mutated CheckRequests through a real gRPC server: none is an error, none is allowed by its mutation."""

from __future__ import annotations

import pytest

from tests.support.fuzzed_checks import Tally, bases, essence, fuzz

CHECKS = 1_000


@pytest.fixture(scope="module")
def ran() -> Tally:
    tally = Tally()
    fuzz("checks", CHECKS, tally)
    print(tally.told())
    return tally


def test_no_bytes_are_answered_by_an_error_of_the_call(ran: Tally) -> None:
    assert (ran.checks, ran.errors) == (CHECKS, 0)


def test_an_allow_is_that_of_a_request_that_was_allowed_as_it_stood(ran: Tally) -> None:
    """For all bases b, mutations m: allow(m(b)) => essence(m(b)) = essence(b') for a b' with allow(b')."""
    assert ran.wrong == []


def test_every_check_leaves_one_record(ran: Tally) -> None:
    assert ran.recorded == ran.checks


def test_the_mutations_are_not_one_sided(ran: Tally) -> None:
    assert ran.lacks() == []


def test_the_essence_tells_what_is_allowed_from_what_is_not() -> None:
    for gateway, messages in bases().items():
        first = essence(gateway, messages[0])
        for refused in messages[-5:]:
            assert essence(gateway, refused) != first
