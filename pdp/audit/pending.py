"""What is appended to a log and not yet settled: its limits, its receipts, and its records on their way.

Design: contracts.md "Durability"; audit.md 4.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from pdp.audit.boot import Boot
from pdp.errors import AuditError


class Limits(Struct, frozen=True):
    """`records` and `ring_bytes` bound what is appended and not settled; `group_bytes` one frame; `file_bytes` one
    file; `sync_us` how long written records may wait for a sync; `reopen_us` the time between two tries for a file.

    Refusals are aggregated once half of either bound of the ring is taken or its oldest record waits for `press_us`;
    those that wait for their aggregates are at most `aggregated`, of `aggregate_keys` keys with `aggregate_bytes` in
    all. `heartbeat_us` is the time from one heartbeat to the next.
    """

    records: int = 16_384
    ring_bytes: int = 64 * 1024 * 1024
    group_bytes: int = 1024 * 1024
    file_bytes: int = 256 * 1024 * 1024
    sync_us: int = 20_000
    reopen_us: int = 1_000_000
    press_us: int = 250_000
    aggregated: int = 16_384
    aggregate_keys: int = 256
    aggregate_bytes: int = 1024 * 1024
    heartbeat_us: int = 10_000_000


DEFAULT_LIMITS = Limits()


class Receipt(Struct, eq=False):
    """What an append gives back. `error` means something once `settled` is true: None is "the log has it".

    `id` is "" for a refusal that is to stand in an aggregate, until it is settled without error. Written by the
    writer's thread alone, before it calls `on_settled`.
    """

    id: str
    strict: bool
    settled: bool = False
    error: AuditError | None = None


class WriterStatus(Struct, frozen=True):
    """`pending` records are appended and not settled. `poisoned` says why nothing can be appended now, or is None.

    `refused` counts appends that raised since the start, `undelivered` calls of `on_settled` that did, `aggregated`
    refusals that got no leaf of their own. `is_degraded`: the log has stated that its disk is nearly full.
    """

    boot: int
    next_seq: int
    pending: int
    poisoned: str | None
    refused: int
    undelivered: int
    aggregated: int = 0
    is_degraded: bool = False


class Pending(Struct, eq=False):
    """A leaf on its way, and the receipts that wait for it: none for the writer's own, many for an aggregate.

    `boot` and `first` are the run and the first number of an aggregate's refusals; `settled` is the thread's alone.
    """

    leaf: bytes
    receipts: Sequence[Receipt] = ()
    strict: bool = False
    recorded: int = 0
    aggregated: int = 0
    boot: Boot | None = None
    first: int = 0
    settled: bool = False

    def settle(self, error: AuditError | None) -> None:
        """Tell the receipts."""
        self.settled = True
        for at, receipt in enumerate(self.receipts):
            if self.boot is not None and error is None:
                receipt.id = self.boot.id_of(self.first + at)
            receipt.error = error
            receipt.settled = True


def groups(records: Sequence[Pending], most_bytes: int) -> Iterator[Sequence[Pending]]:
    """Cut into runs of about `most_bytes`, at least one record each."""
    start = size = 0
    for at, record in enumerate(records):
        if size and size + len(record.leaf) > most_bytes:
            yield records[start:at]
            start, size = at, 0
        size += len(record.leaf)
    if start < len(records):
        yield records[start:]
