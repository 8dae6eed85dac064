"""What the log could not take: counted while it happens, stated in a `log.gap` leaf afterwards.

Design: contracts.md "Durability": a refusal by `audit` carries no id, but it is counted and stated.
"""

from __future__ import annotations

from msgspec import Struct

from pdp.model import Json


class Gap(Struct):
    """Counts since the last `log.gap`. Times are Unix microseconds; they mean something once anything was counted.

    `refused` appends were refused at once; `failed` records were appended, and then their write or their sync failed,
    so that they may or may not stand in the log. No answer but a refusal left for either.
    """

    refused: int = 0
    failed: int = 0
    since: int = 0
    until: int = 0

    def __bool__(self) -> bool:
        return self.refused + self.failed > 0

    def add(self, refused: int, failed: int, now_us: int) -> None:
        """Count some of each at the instant `now_us`."""
        self.since = self.since if self else now_us
        self.refused += refused
        self.failed += failed
        self.until = now_us

    def merge(self, earlier: Gap) -> None:
        """Take back a gap whose leaf did not become durable."""
        if earlier:
            self.since = earlier.since
            self.until = self.until if self else earlier.until
            self.refused += earlier.refused
            self.failed += earlier.failed

    def fields(self, now_us: int) -> dict[str, Json]:
        """The clear fields of the leaf, written at `now_us`."""
        return {"t": now_us, "refused": self.refused, "failed": self.failed, "from": self.since, "to": self.until}
