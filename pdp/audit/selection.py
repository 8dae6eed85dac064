"""Which records of the log are wanted, and how many of them there are by one of their words; pure.

A `Selection` says of a row whether it is wanted; `Groups` counts rows by rule, endpoint, service, gateway, decision or
reason. Both look at the clear part alone, as it is after corrections: at the answer that left.

Within one filter any of its words will do, and every filter must hold. The words of a reason and of a kind may end at
a dot: `path` takes `path.encoded_slash`, `log` takes `log.start`.
INVARIANT: a filter by anything but time and kind takes decisions alone.
Design: contracts.md "Command line" (`log`).
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct, field

from pdp.audit.corrections import KIND as CORRECTION
from pdp.audit.rows import Row

GroupedBy = Literal["rule", "endpoint", "service", "gateway", "decision", "reason"]
GROUPED_BY: tuple[GroupedBy, ...] = get_args(GroupedBy)

MOST_GROUPS = 100_000
"""Whoever calls may ask for ever new shapes of undeclared paths: what is beyond is counted together."""

UNSAID = "-"
"""Stands for what a record does not say."""


class Selection(Struct, frozen=True):
    """What is wanted: from `since_us` on and before `until_us` (Unix microseconds), and of each the words given."""

    since_us: int | None = None
    until_us: int | None = None
    services: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    decisions: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def takes(self, row: Row) -> bool:
        """Whether this row is wanted. Of an aggregate, any of its calls may be in the time asked for."""
        if self.since_us is not None and row.last_us < self.since_us:
            return False
        if self.until_us is not None and row.first_us >= self.until_us:
            return False
        if self.kinds and not any(is_under(row.kind, kind) for kind in self.kinds):
            return False
        return not self._of_decisions or self._takes_decision(row)

    @property
    def _of_decisions(self) -> bool:
        return bool(self.services or self.endpoints or self.rules or self.decisions or self.gateways or self.reasons)

    def _takes_decision(self, row: Row) -> bool:
        answer = row.answer
        if answer is None or (row.kind == CORRECTION and row.recorded is None):
            return False
        return (
            (not self.services or row.service in self.services)
            and (not self.endpoints or bool(self.endpoints & {row.endpoint, row.shape} - {""}))
            and (not self.rules or not self.rules.isdisjoint(answer.by))
            and (not self.decisions or answer.outcome in self.decisions)
            and (not self.gateways or row.gateway in self.gateways)
            and (not self.reasons or any(is_under(answer.reason, reason) for reason in self.reasons))
        )


class Group(Struct, frozen=True):
    """So many decisions share `value`, the first and the last at these instants (Unix microseconds)."""

    value: str
    count: int
    first_us: int
    last_us: int
    origins: frozenset[str]


class Groups:
    """Counts decisions. The memory grows with the groups, of which there are at most `most`; beyond, `others`."""

    def __init__(self, by: GroupedBy, most: int = MOST_GROUPS) -> None:
        self._by = by
        self._most = most
        self._groups: dict[str, _Counted] = {}
        self.others = 0
        """Decisions that were in none of the groups there is room for."""

    def add(self, row: Row) -> None:
        """Count a row; one that is no decision counts nothing, nor does one that says what another row has as well."""
        if not row.decides or row.kind == CORRECTION:
            return
        value = grouped_value(row, self._by)
        counted = self._groups.get(value)
        if counted is None:
            if len(self._groups) >= self._most:
                self.others += row.count
                return
            counted = self._groups[value] = _Counted(row.first_us, row.last_us)
        counted.count += row.count
        counted.first_us = min(counted.first_us, row.first_us)
        counted.last_us = max(counted.last_us, row.last_us)
        counted.origins.add(row.origin)

    def sorted(self) -> list[Group]:
        """The groups, the largest first; of equal ones by their value."""
        groups = [
            Group(value, counted.count, counted.first_us, counted.last_us, frozenset(counted.origins))
            for value, counted in self._groups.items()
        ]
        return sorted(groups, key=lambda group: (-group.count, group.value))


class _Counted(Struct):
    """A group that still grows."""

    first_us: int
    last_us: int
    count: int = 0
    origins: set[str] = field(default_factory=set)


def grouped_value(row: Row, by: GroupedBy) -> str:
    """The word of a decision that a group is of; of rules, the primary one. An undeclared path stands by its shape."""
    answer = row.answer
    match by:
        case "rule":
            value = answer.by[0] if answer is not None and answer.by else ""
        case "endpoint":
            value = row.endpoint or row.shape
        case "service":
            value = row.service
        case "gateway":
            value = row.gateway
        case "decision":
            value = "" if answer is None else answer.outcome
        case "reason":
            value = "" if answer is None else answer.reason
    return value or UNSAID


def is_under(word: str, wanted: str) -> bool:
    """Whether a word is the one wanted, or begins with it and a dot."""
    return word == wanted or word.startswith(f"{wanted}.")
