"""Rates of gateways: one count a gateway, whatever asks; a second's number comes back in a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdp.gateways import Gateway
from pdp.transports.limits import RECORDED_STRANGERS, Rates, Strangers

FAST, SLOW = Gateway("fast", None), Gateway("slow", None, per_second=10)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_gateway_without_a_rate_may_ask_any_number() -> None:
    rates = Rates([FAST, SLOW], Clock())
    assert all(rates.may_ask(FAST, 1_000_000) for _ in range(100))


def test_a_rate_is_used_up_and_comes_back() -> None:
    clock = Clock()
    rates = Rates([FAST, SLOW], clock)
    assert [rates.may_ask(SLOW, 4), rates.may_ask(SLOW, 6), rates.may_ask(SLOW, 1)] == [True, True, False]
    clock.now_s += 0.5
    assert [rates.may_ask(SLOW, 5), rates.may_ask(SLOW, 1)] == [True, False]
    clock.now_s += 1_000
    assert [rates.may_ask(SLOW, 10), rates.may_ask(SLOW, 1)] == [True, False]


def test_one_gateways_rate_is_not_anothers() -> None:
    other = Gateway("other", None, per_second=10)
    rates = Rates([SLOW, other], Clock())
    assert rates.may_ask(SLOW, 10)
    assert rates.may_ask(other, 10)


def test_more_than_a_seconds_number_at_once_is_never_answered_and_uses_up_nothing() -> None:
    rates = Rates([SLOW], Clock())
    assert not rates.may_ask(SLOW, 11)
    assert rates.may_ask(SLOW, 10)


def test_a_gateway_with_a_rate_that_nobody_counts_may_not_ask() -> None:
    assert not Rates([FAST], Clock()).may_ask(SLOW, 1)


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 3)), max_size=50))
def test_never_more_than_a_second_in_advance(asked: list[tuple[int, float]]) -> None:
    """answered by time t  <=  rate * (t + 1)."""
    clock = Clock()
    rates, answered = Rates([SLOW], clock), 0
    for amount, later_s in asked:
        clock.now_s += later_s
        answered += amount if rates.may_ask(SLOW, amount) else 0
        assert answered <= 10 * (clock.now_s - 100.0 + 1) + 1e-6


def test_calls_of_nobody_are_recorded_so_many_a_second() -> None:
    clock = Clock()
    strangers = Strangers(clock)
    assert [strangers.may_record() for _ in range(RECORDED_STRANGERS + 2)] == [True] * RECORDED_STRANGERS + [False] * 2
    clock.now_s += 0.1
    assert [strangers.may_record() for _ in range(6)] == [True] * 5 + [False]
