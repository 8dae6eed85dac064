"""Whether the records of each writer's boot are all there: numbers from 0, none missing, none twice.

Records come in one by one in the order of the log; findings go out. A record that cannot be read leaves a place open,
and the next record of its writer shows whose it was.

INVARIANT: memory grows with the boots and the unreadable ranges, not with the records.
Design: audit.md 3.2 (gap-revealing ids), 4.4 (7).
"""

from __future__ import annotations

from pdp.audit import ids, leaf
from pdp.audit.leaf import Leaf, LeafError
from pdp.audit.reader import WalName, wal_name
from pdp.audit.report import INCOMPLETE, INVALID, Findings

_MOST_PLACED = 10_000


class Sequences:
    """The numbers seen so far."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._next: dict[WalName, int] = {}
        self._open: list[range] = []
        self._kept: dict[WalName, int] = {}
        self._damaged: set[str] = set()
        self.placed: dict[int, str] = {}
        """Records in doubt by index: the id each has, or the first 20 digits of the one it must have had."""
        self.newest_us: int | None = None

    @property
    def writers(self) -> int:
        """The boots of writers seen."""
        return len(self._next)

    def following(self, name: WalName) -> int:
        """The number that the next record of that boot has."""
        return self._next.get(name, 0)

    def see(self, index: int, entry: bytes, place: str, *, doubtful: bool = False) -> None:
        """Take record `index`. A doubtful one (its hash is wrong) is believed only where it fits in."""
        try:
            record = leaf.parse(entry)
        except LeafError as error:
            self.miss(range(index, index + 1))
            if not doubtful:
                self._findings.add(INVALID, place, f"it is not a record: {error}")
            return
        at = ids.parse(record.id)
        name = WalName(at.writer, at.boot)
        if doubtful and at.seq != self._next.get(name):
            self.miss(range(index, index + 1))
            return
        self._count(name, at.seq, place)
        if doubtful:
            self._place(index, record.id)
        else:
            self._note(record, place)

    def miss(self, indices: range) -> None:
        """Records that stand there and cannot be read."""
        if indices:
            self._open.append(indices)

    def finish(self) -> None:
        """State what only the whole log shows: records that a later boot knew of and that are not there."""
        for name, kept in self._kept.items():
            if self.following(name) <= kept:
                self._findings.add(
                    INCOMPLETE, str(name), f"its records end before {self.following(name)}, `log.recovered` saw {kept}"
                )

    def _count(self, name: WalName, seq: int, place: str) -> None:
        expected = self._next.get(name, 0)
        if seq < expected:
            self._findings.add(INVALID, place, f"record {seq} of {name} comes again, or too late: {expected} is next")
            return
        for missing in range(expected, min(seq, expected + self._open_places())):
            self._place(self._take_place(), f"{name.boot:08x}{name.writer:02x}{missing:010x}")
            expected += 1
        if expected < seq:
            self._findings.add(
                INCOMPLETE, place, f"the records {expected} to {seq - 1} of {name} are missing before it"
            )
        self._next[name] = seq + 1

    def _note(self, record: Leaf, place: str) -> None:
        stated = record.clear.get("t")
        if isinstance(stated, int):
            self.newest_us = stated if self.newest_us is None else max(self.newest_us, stated)
        if record.kind != "log.recovered":
            return
        file, kept = record.clear.get("file"), record.clear.get("kept_seq")
        if record.clear.get("damaged") is True and str(file) not in self._damaged:
            self._damaged.add(str(file))
            self._findings.add(
                INCOMPLETE, place, f"`log.recovered` states that {str(file)!a} was damaged: records are lost"
            )
        name = wal_name(str(file))
        if name is not None and isinstance(kept, int):
            self._kept[name] = kept

    def _place(self, index: int, record_id: str) -> None:
        if len(self.placed) < _MOST_PLACED:
            self.placed[index] = record_id

    def _open_places(self) -> int:
        return sum(map(len, self._open))

    def _take_place(self) -> int:
        first = self._open[0]
        if len(first) == 1:
            self._open.pop(0)
        else:
            self._open[0] = first[1:]
        return first[0]
