"""So much a second: whoever asks, however often, gets no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdp.allowance import Allowance


def test_what_was_not_used_is_there_again_after_a_second_and_no_more() -> None:
    allowance = Allowance(10)
    assert [allowance.take(4, 0) for _ in range(3)] == [True, True, False]
    assert allowance.take(2, 0)
    assert not allowance.take(1, 0)
    assert not allowance.take(6, 500)
    assert allowance.take(5, 500)
    assert not allowance.take(11, 60_000)
    assert allowance.take(10, 60_000)


def test_an_allowance_of_nothing_gives_nothing_and_takes_nothing() -> None:
    allowance = Allowance(0)
    assert not allowance.take(1, 0)
    assert not allowance.take(1, 10**12)
    assert allowance.take(0, 10**12)


def test_a_clock_that_was_set_back_counts_from_there() -> None:
    allowance = Allowance(10)
    assert allowance.take(10, 10**12)
    assert not allowance.take(1, 0)
    assert allowance.take(10, 1_000)


@given(st.integers(0, 1_000), st.lists(st.tuples(st.integers(0, 500), st.integers(0, 2_000)), max_size=200))
def test_no_more_is_given_than_there_was_time_for(per_second: int, asked: list[tuple[int, int]]) -> None:
    """sum(taken) <= per_second * (seconds + 1), for every sequence of amounts and instants."""
    allowance, now_ms, taken = Allowance(per_second), 0, 0
    for amount, later_ms in asked:
        now_ms += later_ms
        taken += amount if allowance.take(amount, now_ms) else 0
    assert taken <= per_second * (now_ms / 1_000 + 1) * (1 + 1e-9)
