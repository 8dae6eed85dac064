"""Whether the records of each writer's boot are all there, and whether its books balance.

Records come in one by one in the order of the log; findings go out. The numbers of a boot (a run) count from 0, none
missing, none twice; a number without a leaf is one that the very next leaf, an aggregate, stands for. Each heartbeat is
held to the leaves before it. A record that cannot be read leaves a place open, and the next record of its writer shows
whose it was.

    incomplete  numbers are missing; more was answered, or stated as recorded, than there are records for; no heartbeat
                for more than 30 s, none before `log.stop`
    invalid     numbers come twice; an aggregate or a heartbeat contradicts itself; there are more records than anybody
                counted; a count or a monotonic clock goes back

INVARIANT: memory grows with the boots, the unreadable ranges, and the changes of policies and keys; not with the
records.
Design: audit.md 3.2 (gap-revealing ids), 3.3, 3.10, 4.4 (7); pdp.audit.books, pdp.audit.aggregate.

Decision: 2026-11-21. Books that say that records are missing are `incomplete`, as if the records had been missed; books
    that no course of events can lead to are `invalid`. Where records of a run are missing, unreadable or in doubt, its
    counts are not compared: the finding is there already.
Decision: 2026-11-21. A pause is judged by the monotonic instants of `log.start` and the heartbeats of one run alone.
    What a run wrote after its last heartbeat before a crash may be of any time. A pause that the next heartbeat admits
    is none: nothing is missing, and the numbers on both sides of it are held together like any others. A run whose
    `log.start` states no monotonic instant keeps no books.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from pdp.audit import aggregate, books, rotation
from pdp.audit.aggregate import standing_of
from pdp.audit.books import Beat, read_beat, read_count
from pdp.audit.leaf import Leaf, LeafError, parse
from pdp.audit.reader import WalName, wal_name
from pdp.audit.report import INCOMPLETE, INVALID, Findings
from pdp.audit.rotation import Announced, RotationError

_MOST_PLACED = 10_000
_RUN_DIGITS = 10
_PLACE_DIGITS = 20
_PLAIN_KINDS = frozenset({"decision", "context"})


class _Run(Struct):
    """What was seen of one boot: the number that comes next, its leaves (those that are missing included), and what of
    them counts in its books. `since_us` is the monotonic instant of its last heartbeat, or of its start.
    """

    name: WalName
    following: int = 0
    leaves: int = 0
    recorded: int = 0
    aggregated: int = 0
    is_whole: bool = True
    since_us: int | None = None
    beat: Beat | None = None
    beat_at: int = -1


class Sequences:
    """The numbers seen so far."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._runs: dict[str, _Run] = {}
        self._open: deque[range] = deque()
        self._open_places = 0
        self._kept: dict[WalName, int] = {}
        self._damaged: set[str] = set()
        self.placed: dict[int, str] = {}
        """Records in doubt by index: the id each has, or the first 20 digits of the one it must have had."""
        self.newest_us: int | None = None
        self.announced: list[Announced] = []
        self.policies: dict[str, int] = {}
        """Digests of the policies that records put in force, each with the index of the first record that did."""

    @property
    def writers(self) -> int:
        """The boots of writers seen."""
        return len(self._runs)

    def following(self, name: WalName) -> int:
        """How many leaves of that boot there are so far: the place of the next one in its write-ahead log."""
        run = self._runs.get(_digits(name))
        return 0 if run is None else run.leaves

    def see(self, index: int, entry: bytes, place: str = "", *, doubtful: bool = False) -> None:
        """Take the record `index`, unread. A doubtful one (its hash is wrong) is believed only where it fits in.

        `place` is what findings call it; without one it is `record` and the index.
        """
        try:
            record = parse(entry)
        except LeafError as error:
            self.miss(range(index, index + 1))
            if not doubtful:
                self._findings.add(INVALID, place or f"record {index}", f"it is not a record: {error}")
            return
        self.take(index, record, place, doubtful=doubtful)

    def take(self, index: int, record: Leaf, place: str = "", *, doubtful: bool = False) -> None:
        """As `see`, for a record that was read already."""
        seq = int(record.id[_RUN_DIGITS:_PLACE_DIGITS], 16)
        run = self._runs.get(record.id[:_RUN_DIGITS])
        first, contradiction = (seq, False) if record.kind != aggregate.AGGREGATE else _numbers_of(record, seq)
        if doubtful and (contradiction or first != (0 if run is None else run.following)):
            self.miss(range(index, index + 1))
            return
        if run is None:
            run = self._run(record.id[:_RUN_DIGITS])
        if contradiction:
            self._add(INVALID, index, place, "it does not say which refusals it stands for")
            run.is_whole, first = False, min(seq, run.following)
        if first != run.following:
            self._explain(run, first, index, place)
        if seq < run.following:
            return
        run.following = seq + 1
        run.leaves += 1
        if doubtful:
            run.is_whole = False
            self._place(index, record.id)
        else:
            self._note(run, record, seq, index, place)

    def take_run(self, kind: str, name: WalName, first: int, count: int, newest_us: int) -> bool:
        """As `take`, for `count` records at once: of one boot, numbered one after the other from `first` on, and of a
        kind of which only the number and the instant matter here (`pdp.audit.alike`); `newest_us` is the latest.

        False, and nothing is taken, where `first` is not the next of that boot, or the kind says more: then each is to
        be taken by itself.
        """
        digits = _digits(name)
        run = self._runs.get(digits)
        if first != (0 if run is None else run.following) or kind not in _PLAIN_KINDS:
            return False
        if run is None:
            run = self._run(digits)
        run.following += count
        run.leaves += count
        run.recorded += count if kind == "decision" else 0
        self.newest_us = newest_us if self.newest_us is None else max(self.newest_us, newest_us)
        return True

    def miss(self, indices: range) -> None:
        """Records that stand there and cannot be read, or should: after the records seen and missed so far."""
        if not indices:
            return
        self._open_places += indices.stop - indices.start
        if self._open and self._open[-1].stop == indices.start:
            indices = range(self._open.pop().start, indices.stop)
        self._open.append(indices)

    def finish(self) -> None:
        """State what only the whole log shows: records that a later boot knew of and that are not there."""
        for name, kept in self._kept.items():
            if self.following(name) <= kept:
                self._findings.add(
                    INCOMPLETE, str(name), f"its records end before {self.following(name)}, `log.recovered` saw {kept}"
                )

    def _run(self, digits: str) -> _Run:
        run = _Run(WalName(int(digits[8:], 16), int(digits[:8], 16)))
        self._runs[digits] = run
        return run

    def _explain(self, run: _Run, first: int, index: int, place: str) -> None:
        """A record that is not the next: numbers that were given before, or records that are missing."""
        expected = run.following
        run.is_whole = False
        if first < expected:
            text = f"record {first} of {run.name} comes again, or too late: {expected} is next"
            self._add(INVALID, index, place, text)
            return
        run.leaves += first - expected
        explained = min(first - expected, self._open_places)
        self._take_places(run, expected, explained)
        expected += explained
        if expected < first:
            text = f"the records {expected} to {first - 1} of {run.name} are missing before it"
            self._add(INCOMPLETE, index, place, text)

    def _note(self, run: _Run, record: Leaf, seq: int, index: int, place: str) -> None:
        stated = record.clear.get("t")
        if isinstance(stated, int):
            self.newest_us = stated if self.newest_us is None else max(self.newest_us, stated)
        match record.kind:
            case "decision":
                run.recorded += 1
            case aggregate.AGGREGATE:
                standing = standing_of(record.clear)
                run.aggregated += 0 if standing is None else standing.count
            case books.HEARTBEAT:
                run.beat_at = seq
                self._hold(run, read_beat(record.clear), index, place)
            case "log.start":
                run.since_us = read_count(record.clear, "mono")
            case "log.stop" if run.is_whole and run.since_us is not None and run.beat_at != seq - 1:
                self._add(INCOMPLETE, index, place, f"the books of {run.name} were not closed before it")
            case "log.recovered":
                self._note_recovered(record, index, place)
            case "policy.activated":
                self.policies.setdefault(str(record.clear.get("pb")), index)
            case rotation.ANNOUNCED:
                self._note_announced(record, index, place)

    def _note_announced(self, record: Leaf, index: int, place: str) -> None:
        try:
            announced = rotation.read_announced(index, record)
        except RotationError as error:
            self._add(INVALID, index, place, error.detail)
        else:
            self.announced += [] if announced is None else [announced]

    def _note_recovered(self, record: Leaf, index: int, place: str) -> None:
        file, kept = record.clear.get("file"), record.clear.get("kept_seq")
        if record.clear.get("damaged") is True and str(file) not in self._damaged:
            self._damaged.add(str(file))
            text = f"`log.recovered` states that {str(file)!a} was damaged: records are lost"
            self._add(INCOMPLETE, index, place, text)
        name = wal_name(str(file))
        if name is not None and isinstance(kept, int):
            self._kept[name] = kept

    def _hold(self, run: _Run, beat: Beat | None, index: int, place: str) -> None:
        """Hold a heartbeat to itself, to the one before it, and to the leaves."""
        if beat is None:
            self._add(INVALID, index, place, f"it is a `{books.HEARTBEAT}` without its counts")
            return
        for code, text in (*_equation(beat), *_comparison(run, beat), *_pause(run, beat)):
            self._add(code, index, place, text)
        if run.beat is not None and not beat.continues(run.beat):
            self._add(INVALID, index, place, f"the counts or the clock of {run.name} went back")
        run.beat, run.since_us = beat, beat.mono_us

    def _add(self, code: int, index: int, place: str, text: str) -> None:
        self._findings.add(code, place or f"record {index}", text)

    def _place(self, index: int, record_id: str) -> None:
        if len(self.placed) < _MOST_PLACED:
            self.placed[index] = record_id

    def _take_places(self, run: _Run, first: int, count: int) -> None:
        """The next `count` places left open are of the records of `run` from number `first` on.

        Both may be anything that a record claims: what is not named costs nothing.
        """
        self._open_places -= count
        while count:
            indices = self._open.popleft()
            taken, left = indices[:count], indices[count:]
            for number, index in enumerate(taken[: _MOST_PLACED - len(self.placed)], first):
                self._place(index, f"{_digits(run.name)}{number:010x}")
            if left:
                self._open.appendleft(left)
            first, count = first + taken.stop - taken.start, count - (taken.stop - taken.start)


def _digits(name: WalName) -> str:
    """What the ids of a run begin with."""
    return f"{name.boot:08x}{name.writer:02x}"


def _numbers_of(record: Leaf, seq: int) -> tuple[int, bool]:
    """The first number of an aggregate, of all that it stands for and its own; and whether it contradicts itself."""
    standing = standing_of(record.clear)
    if standing is None or standing.last != seq - 1:
        return seq, True
    return standing.first, False


def _equation(beat: Beat) -> list[tuple[int, str]]:
    parts = f"{beat.recorded} recorded, {beat.aggregated} aggregated, {beat.unrecorded} unrecorded"
    if beat.answered > beat.held:
        return [(INCOMPLETE, f"the books do not balance: {beat.answered} answered, {parts}: records are missing")]
    if beat.answered < beat.held or min(beat.before) < 0:
        return [(INVALID, f"the books do not balance: {beat.answered} answered, {parts}")]
    return []


def _comparison(run: _Run, beat: Beat) -> list[tuple[int, str]]:
    if not run.is_whole:
        return []
    found = []
    for what, stated, counted in (
        ("decisions", beat.run_recorded, run.recorded),
        ("aggregated refusals", beat.run_aggregated, run.aggregated),
    ):
        if stated != counted:
            code = INCOMPLETE if stated > counted else INVALID
            found.append((code, f"it states {stated} {what} of {run.name}, and {counted} are there"))
    return found


def _pause(run: _Run, beat: Beat) -> list[tuple[int, str]]:
    if run.since_us is None:
        return []
    pause_us = beat.mono_us - run.since_us
    if pause_us < 0:
        return [(INVALID, f"the monotonic clock of {run.name} went back")]
    if pause_us > books.MOST_PAUSE_US and beat.paused_us < pause_us:
        return [(INCOMPLETE, f"{run.name} was without a heartbeat for {pause_us // 1_000_000} s before it")]
    return []
