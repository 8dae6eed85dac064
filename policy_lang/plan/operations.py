"""What generated code calls besides Python's own operators, by the name it calls it.

Source: language.md 6.3; the operations mean what policy_lang/meaning/values.py says they mean.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from policy_lang.addresses import Intervals, number
from policy_lang.ir import CLOCK_SKEW_MS
from policy_lang.ir.tables import Vote
from policy_lang.meaning import values
from policy_lang.plan.tables import TablePlan

Bounds = tuple[int, ...]
"""Where the inside begins and ends, by turns: the first number of a range, the first one after it, and so on."""


def bounds(ranges: Intervals) -> Bounds:
    """The bounds of ranges that are ascending and disjoint."""
    return tuple(bound for first, last in ranges for bound in (first, last + 1))


def inside(address: int, of: Bounds) -> bool:
    """Whether a number lies in one of the ranges: an odd number of bounds lies at or below it."""
    return bisect_right(of, address) % 2 == 1


def age(at: int, now: int, most_ms: int) -> bool:
    """Whether `at` is neither too far in our future nor too long past."""
    return -CLOCK_SKEW_MS <= now - at <= most_ms


def past(at: int, now: int) -> bool:
    """Whether `at` is not too far in our future."""
    return now - at >= -CLOCK_SKEW_MS


def cast(request: Sequence[object], now: int, plan: TablePlan) -> Vote | None:
    """The vote that a Casbin table casts on a request."""
    return plan.said(request, now_ms=now).vote


NAMES: Mapping[str, Callable[..., object]] = {
    "number": number,
    "shift": values.shift,
    "inside": inside,
    "age": age,
    "past": past,
    "cast": cast,
}
"""The whole of what generated code can reach."""
