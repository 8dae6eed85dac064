"""When something that a cell asks of the time changes next, fast for what policies ask most.

The definition is `horizon`; here the age of a factor that stands in a claim and the end of a rule (`until`) are worked
out by a comparison or two, and whatever else reads the time by the definition itself.
Source: language.md 5.4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from policy_lang.ir import CLOCK_SKEW_MS, Age, Atom, Attr, Compare, Const, Now
from policy_lang.meaning.evaluation import ROOTS, Environment, Values
from policy_lang.meaning.horizon import LAST_INSTANT, Clockwork, valid_until

Change = Callable[[Environment], int | None]


class Clock(Struct, frozen=True):
    """`ticks`: anything at all depends on the time."""

    ticks: bool
    changes: tuple[Change, ...]

    @classmethod
    def of(cls, clockwork: Clockwork, timed: frozenset[str]) -> Clock:
        """The clock of a cell; `timed` are the Casbin tables that read the time."""
        if clockwork.ticking or not clockwork.tables.isdisjoint(timed):
            return cls(ticks=True, changes=(partial(valid_until, clockwork),))
        fast = [change for atom in clockwork.atoms if (change := _fast(atom)) is not None]
        slow = tuple(atom for atom in clockwork.atoms if _fast(atom) is None)
        if slow:
            fast.append(partial(valid_until, Clockwork(slow, ticking=False)))
        return cls(bool(fast), tuple(fast))

    def next_change(self, environment: Environment) -> int | None:
        """The least instant after now, Unix milliseconds; None where nothing changes any more."""
        least: int | None = None
        for change in self.changes:
            instant = change(environment)
            if instant is not None and (least is None or instant < least):
                least = instant
        return least


def _fast(atom: Atom) -> Change | None:
    match atom:
        case Age(Attr(root, name), most_ms) if most_ms is None or most_ms >= 0:
            return partial(_age_changes, ROOTS[root], name, most_ms)
        case Compare("lt", Now(), Const(int() as end)):
            return partial(_ends, end)
        case _:
            return None


def _age_changes(
    read: Callable[[Environment], Values], name: str, most_ms: int | None, environment: Environment
) -> int | None:
    at = read(environment).get(name)
    if type(at) is not int:
        return None
    begins = at - CLOCK_SKEW_MS
    if environment.now_ms < begins:
        return begins if begins <= LAST_INSTANT else None
    if most_ms is None or environment.now_ms > at + most_ms:
        return None
    ends = at + most_ms + 1
    return ends if ends <= LAST_INSTANT else None


def _ends(end: int, environment: Environment) -> int | None:
    return end if environment.now_ms < end <= LAST_INSTANT else None
