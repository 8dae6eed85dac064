"""The records of one log or several that are wanted, in the order of time, and those that come.

`Following`s and a `Selection` come in, rows go out, the newest last, each with the answer that left. Without a limit
the logs are read twice from their beginning, first for corrections; with one they are read from their end, and no
further than the limit needs.

INVARIANT: a decision is listed with the correction that any record of its log states; of one that comes later than the
decision was given out, a row of its own tells.
INVARIANT: rows of one writer stay in its order, whatever its clock did: time orders writers and logs among each other.
The memory grows with the corrections, and with a limit with it, but not with the records.
Design: contracts.md "Command line" (`log`).

Decision: 2026-11-21. A tree holds the records of several workers as the sequencer took them in, some at a time. They
    are put in order within 3 s, five looks of the sequencer and its checkpoint; after a pause of the sequencer longer
    than that, the records of the pause stand in the order of the tree.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count

from msgspec import Struct
from msgspec.structs import replace

from pdp.audit.corrections import KIND as CORRECTION
from pdp.audit.following import Following, Piece
from pdp.audit.rows import (
    DECISIONS,
    Correction,
    Note,
    Placed,
    Row,
    corrected,
    correcting,
    corrections_in,
    rows_of,
)
from pdp.audit.selection import Selection

DISORDER_US = 3_000_000
MOST_HELD = 50_000
"""Rows that wait for their place among others; more are given out as they are."""

MOST_REMEMBERED = 65_536
"""Decisions given out whose corrections are still told of as such."""

Progress = Callable[[int, int], None]
"""`progress(done, total)` in records read, once a piece."""


class Asked(Struct, frozen=True):
    """What is to be listed: at most the newest `limit` of what is selected (None: all)."""

    selection: Selection
    limit: int | None = None


MOST_WORDS = 20_000
"""Words of one kind that are kept of what was looked at: whoever calls may make up shapes of paths."""


class Looked:
    """What a listing looked at: how many records, and of the filters by name that were given the words they have there.

    `wanted` and `seen` have a word by the name of the filter: kind, service, endpoint, rule.
    """

    def __init__(self, selection: Selection) -> None:
        given = {
            "kind": frozenset(selection.kinds),
            "service": selection.services,
            "endpoint": selection.endpoints,
            "rule": selection.rules,
        }
        self.records = 0
        self.wanted = {name: words for name, words in given.items() if words}
        self.seen: dict[str, set[str]] = {name: set() for name in self.wanted}

    def take(self, row: Row) -> None:
        """One more record."""
        self.records += 1
        for name, seen in self.seen.items():
            if len(seen) < MOST_WORDS:
                seen.update(word for word in _words(row, name) if word)


def _words(row: Row, name: str) -> tuple[str, ...]:
    """What a record has for a filter to take; of a service, an endpoint and a rule decisions alone."""
    if name == "kind":
        return (row.kind,)
    if row.answer is None:
        return ()
    match name:
        case "service":
            return (row.service,)
        case "endpoint":
            return row.endpoint, row.shape
        case _:
            return row.answer.by


Keyed = tuple[int, Row]
"""A row with its place in time: its instant, or that of an earlier row of its writer where that is later."""


def listed(
    logs: Sequence[Following], asked: Asked, note: Note, progress: Progress, looked: Looked | None = None
) -> Iterator[Row]:
    """The rows asked for, the newest last; `looked` takes all that were looked at. Errors: those of `Following`."""
    looked = looked or Looked(Selection())
    if asked.limit is None:
        read = _Read(2 * sum(log.size for log in logs), progress)
        streams: list[Iterable[Keyed]] = [_whole(log, asked.selection, note, read, looked) for log in logs]
        yield from (row for _, row in heapq.merge(*streams, key=_key))
        return
    read = _Read(sum(log.size for log in logs), progress)
    newest = [_keyed(_newest(log, asked.selection, asked.limit, note, read, looked)) for log in logs]
    ordered = list(heapq.merge(*newest, key=_key))
    yield from (row for _, row in ordered[max(0, len(ordered) - asked.limit) :])


class Watch:
    """The records that come to several logs, each once. Belongs to one thread."""

    def __init__(self, logs: Sequence[Following], selection: Selection, note: Note) -> None:
        self._logs = logs
        self._selection = selection
        self._note = note
        self._known: dict[str, tuple[Row, bool]] = {}

    def keep(self, rows: Iterable[Row]) -> None:
        """Keep rows in mind that were given out, so that a correction that comes later can say what it corrects."""
        for row in rows:
            self._keep(row, given_out=True)

    def _keep(self, row: Row, *, given_out: bool) -> None:
        if row.kind in DECISIONS:
            self._known[row.id] = (replace(row, leaf=b""), given_out)
            if len(self._known) > MOST_REMEMBERED:
                del self._known[next(iter(self._known))]

    def look(self) -> Iterator[list[Row]]:
        """What came since the last look, some at a time, each time in the order of time. Errors: as `listed`."""
        waiting: list[Row] = []
        for log in self._logs:
            for piece in log.news():
                waiting += self._taken(log, piece)
                if len(waiting) >= MOST_HELD:
                    yield _arranged(waiting)
                    waiting = []
        if waiting:
            yield _arranged(waiting)

    def _taken(self, log: Following, piece: Piece) -> list[Row]:
        placed = piece.read()
        corrections = corrections_in(placed)
        before = {name for name in corrections if name in self._known}
        taken = []
        for row in rows_of(placed, log.origin, self._note):
            if row.kind == CORRECTION and row.of in before:
                of, given_out = self._known[row.of]
                late = correcting(row, of)
                if given_out or self._selection.takes(late):
                    taken.append(late)
                continue
            shown = corrected(row, corrections)
            wanted = self._selection.takes(shown)
            if wanted:
                taken.append(shown)
            self._keep(shown, given_out=wanted)
        return taken


class _Read:
    """Counts what was read, for whoever watches."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress = total, progress
        self._done = 0

    def piece(self, piece: Piece) -> list[Placed]:
        placed = piece.read()
        self._done += piece.size
        self._progress(min(self._done, self._total), self._total)
        return placed


def _whole(log: Following, selection: Selection, note: Note, read: _Read, looked: Looked) -> Iterator[Keyed]:
    """Every row that is wanted, in the order of time."""
    beyond = list(log.news())
    corrections: dict[str, Correction] = {}
    for piece in chain(log.tree(), beyond):
        corrections |= corrections_in(read.piece(piece))

    def rows() -> Iterator[Row]:
        for piece in chain(log.tree(), beyond):
            for row in rows_of(read.piece(piece), log.origin, note):
                shown = corrected(row, corrections)
                looked.take(shown)
                if selection.takes(shown):
                    yield shown

    return _in_order(rows())


def _newest(log: Following, selection: Selection, limit: int, note: Note, read: _Read, looked: Looked) -> list[Row]:
    """The newest rows that are wanted, in the order of the log; corrections come before what they correct this way."""
    corrections: dict[str, Correction] = {}
    kept: list[tuple[int, int, Row]] = []
    back = count(0, -1)

    def take(piece: Piece) -> int:
        placed = read.piece(piece)
        corrections.update({**corrections_in(placed), **corrections})  # of several, the last one tells what left
        rows = rows_of(placed, log.origin, note)
        for row in reversed(rows):
            shown = corrected(row, corrections)
            looked.take(shown)
            if limit and selection.takes(shown):
                push = heapq.heappush if len(kept) < limit else heapq.heappushpop
                push(kept, (row.at_us, next(back), shown))
        return max((row.at_us for row in rows), default=0)

    for piece in reversed(list(log.news())):
        take(piece)
    for piece in log.tree(newest_first=True) if limit else ():
        latest_us = take(piece)
        if len(kept) == limit and latest_us < kept[0][0] - DISORDER_US:
            break
    return [row for _, _, row in sorted(kept, key=lambda each: each[1])]


def _in_order(rows: Iterable[Row]) -> Iterator[Keyed]:
    """The rows by time, as far as those that belong together come within `DISORDER_US`."""
    heap: list[tuple[int, int, Row]] = []
    latest: dict[str, int] = {}
    newest = 0
    for number, row in enumerate(rows):
        at_us = latest[row.writer] = max(row.at_us, latest.get(row.writer, row.at_us))
        newest = max(newest, at_us)
        heapq.heappush(heap, (at_us, number, row))
        while heap and (heap[0][0] < newest - DISORDER_US or len(heap) > MOST_HELD):
            at, _, first = heapq.heappop(heap)
            yield at, first
    while heap:
        at, _, first = heapq.heappop(heap)
        yield at, first


def _keyed(rows: Iterable[Row]) -> list[Keyed]:
    """Rows in the order of their log, put in the order of time."""
    latest: dict[tuple[str, str], int] = {}
    keyed: list[Keyed] = []
    for row in rows:
        writer = (row.origin, row.writer)
        at_us = latest[writer] = max(row.at_us, latest.get(writer, row.at_us))
        keyed.append((at_us, row))
    return sorted(keyed, key=_key)


def _arranged(rows: Iterable[Row]) -> list[Row]:
    return [row for _, row in _keyed(rows)]


def _key(keyed: Keyed) -> int:
    return keyed[0]
