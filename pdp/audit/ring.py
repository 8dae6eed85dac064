"""The ring of a writer: what was appended and waits to be written, in the order of its numbers, and how full it is.

Leaves and refusals go in, groups to write come out. Under pressure a refusal joins the others of its key instead of
becoming a leaf (pdp.audit.coarsening), and becomes part of one with the next group that is taken.

INVARIANT: a group that was taken holds everything that was appended before: no refusal waits for a later one.
INVARIANT: every receipt leaves in exactly one `Pending`, by `take` or by `drop`.
Design: contracts.md "Durability"; audit.md 4.6.

Decision: 2026-11-21. Pressure is half of either bound, or a record that waits for 250 ms. Refusals that stand in
    aggregates have a bound of their own, so that a flood of them leaves the other half of the ring to what must have a
    leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pdp.audit.boot import Boot
from pdp.audit.coarsening import Aggregates
from pdp.audit.pending import Limits, Pending, Receipt
from pdp.model import Json


class Ring:
    """What waits. Not thread-safe: the writer uses it under its lock."""

    def __init__(self, limits: Limits, monotonic_us: Callable[[], int]) -> None:
        """`monotonic_us` gives microseconds that never go back."""
        self._limits, self._monotonic_us = limits, monotonic_us
        self._waiting: list[Pending] = []
        self._aggregates = Aggregates(limits.aggregated, limits.aggregate_keys, limits.aggregate_bytes)
        self._records = 0
        self._bytes = 0
        self._waiting_since: int | None = None
        self._taken_since: int | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._waiting) or len(self._aggregates) > 0

    @property
    def pending(self) -> int:
        """The records that were appended and are not settled."""
        return self._records + len(self._aggregates)

    @property
    def records(self) -> int:
        """The leaves that were made and are not settled."""
        return self._records

    @property
    def is_full(self) -> bool:
        """Whether no leaf may be added."""
        return self._records >= self._limits.records or self._bytes >= self._limits.ring_bytes

    def is_pressed(self) -> bool:
        """Whether refusals are to be aggregated."""
        if self._records * 2 >= self._limits.records or self._bytes * 2 >= self._limits.ring_bytes:
            return True
        since = self._waiting_since if self._taken_since is None else self._taken_since
        return since is not None and self._monotonic_us() - since >= self._limits.press_us

    def push(self, record: Pending) -> None:
        """Add a leaf, which has the highest number so far."""
        if self._waiting_since is None:
            self._waiting_since = self._monotonic_us()
        self._waiting.append(record)
        self._records += 1
        self._bytes += len(record.leaf)

    def join(self, clear: Mapping[str, Json]) -> Receipt | None:
        """Let a refusal with these clear fields stand in an aggregate; None where there is no room for it.

        Errors: LeafError where no leaf could hold what it says.
        """
        receipt = Receipt("", strict=False)
        return receipt if self._aggregates.join(clear, receipt) else None

    def flush(self, boot: Boot, now_us: int) -> None:
        """Make the leaves of the aggregates. Errors: LeafError; the refusals still wait then."""
        while (found := self._aggregates.next()) is not None:
            first, leaf = boot.aggregate(len(found.receipts), found.fields(now_us))
            self._aggregates.remove_next()
            self.push(Pending(leaf, found.receipts, aggregated=len(found.receipts), boot=boot, first=first))

    def take(self) -> list[Pending]:
        """All leaves that wait, in the order of their numbers."""
        taken, self._waiting = self._waiting, []
        self._taken_since, self._waiting_since = self._waiting_since, None
        return taken

    def finish_taken(self) -> None:
        """What was taken is settled, all of it."""
        self._taken_since = None

    def drop(self) -> list[Pending]:
        """Everything that waits, aggregates without leaves included: it will not be written."""
        while (found := self._aggregates.next()) is not None:
            self._aggregates.remove_next()
            self.push(Pending(b"", found.receipts, aggregated=len(found.receipts)))
        return self.take()

    def settle(self, records: Sequence[Pending]) -> None:
        """These are settled, and take no room any more."""
        self._records -= len(records)
        self._bytes -= sum([len(each.leaf) for each in records])
