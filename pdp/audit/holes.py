"""The bundles of a tree in turn, over holes of any size: a claimed size costs nothing where no files stand.

A log folder and the size that its checkpoint claims come in. Out come the places of its bundles, one after the other;
whoever reads them says which were not there, and after `MOST_NAMED` of those in a row what is gone up to the next one
that stands comes as one `Hole`. What stands is told by the names in the folders, archives included.

INVARIANT: whatever stands in the place of a bundle (or of its hash tile, where that is asked for too) comes; with the
    holes every record is covered once.
INVARIANT: time grows with the names that are there, not with the size that is claimed; the memory with those of a few
    folders.
SECURITY: the folder may be anybody's, and so may be a signed size. Links among folders make more names than a disk
    holds: for one hole no more than `MOST_NAMES` are looked at.
Specification: C2SP tlog-tiles ("Merkle tree").

Decision: 2026-11-22. A few in a row are asked for one by one: so an ordinary hole is named file by file, and nothing is
    listed for it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from pdp.audit.archive_zip import SEGMENT_BUNDLES
from pdp.audit.disk import Files, MemberError
from pdp.audit.merkle import TILE_WIDTH
from pdp.audit.tiles import ENTRIES, TileRef

MOST_NAMED = 16
"""Bundles in a row of which nothing could be read before the next one is looked for by the names in the folders."""

MOST_NAMES = 2_000_000
"""Folders, and names in them: a log of 5 * 10**11 records has two million folders, and they are empty once archived."""

_TOO_MANY = "more names than a log has were looked at before it"
_NAMES = 1000
"""Files of one folder, and folders, C2SP tlog-tiles."""

_FOLDER = re.compile(r"x([0-9]{3})\Z")
_TILE = re.compile(r"([0-9]{3})(?:\.p)?\Z")
_ARCHIVE = re.compile(r"([0-9]{3})\.zip\Z")


class Hole(Struct, frozen=True):
    """Bundles that are not there, from `first` to `last` in the order of the log."""

    first: TileRef
    last: TileRef

    @property
    def records(self) -> tuple[int, int]:
        """The records it covers: first, and one past the last."""
        return self.first.records[0], self.last.records[1]


class Bundles:
    """The bundles of a tree of `size` records whose indices are in `among`, in its order: up or down by one."""

    def __init__(
        self, files: Files, size: int, among: range, *, hashes: bool = False, most_names: int = MOST_NAMES
    ) -> None:
        """With `hashes` a bundle counts as there where its hash tile is."""
        self._files = files
        self._size = size
        self._among = among
        self._most_names = most_names
        self._levels: Sequence[int | str] = (ENTRIES, 0) if hashes else (ENTRIES,)
        self._missed = 0

    def miss(self) -> None:
        """Nothing could be read of the one that came last."""
        self._missed += 1

    def __iter__(self) -> Iterator[TileRef | Hole]:
        """Errors: MemberError where links among the folders lead on and on; OSError."""
        index, in_a_row = self._among.start, 0
        while index in self._among:
            before = self._missed
            yield self._ref(index)
            in_a_row = in_a_row + 1 if self._missed > before else 0
            index += self._among.step
            if in_a_row < MOST_NAMED or index not in self._among:
                continue
            ahead = range(index, self._among.stop, self._among.step)
            found = _nearest(_Looking(self._files, self._most_names, back=ahead.step < 0), self._levels, ahead)
            if found != index:
                beyond = ahead.stop if found is None else found
                first, last = sorted((index, beyond - self._among.step))
                yield Hole(self._ref(first), self._ref(last))
                index = beyond

    def _ref(self, index: int) -> TileRef:
        return TileRef(ENTRIES, index, min(TILE_WIDTH, self._size - index * TILE_WIDTH))


def bundle_count(size: int) -> int:
    """How many bundles a tree of `size` records has."""
    return -(-size // TILE_WIDTH)


def _nearest(looking: _Looking, levels: Sequence[int | str], ahead: range) -> int | None:
    """The first index in `ahead` at which a file stands, None where none does. Errors: as `Bundles`."""
    low, high = min(ahead[0], ahead[-1]), max(ahead[0], ahead[-1]) + 1
    found = [looking.nearest(f"tile/{level}", _TILE, low, high) for level in levels]
    segment = looking.nearest("archive", _ARCHIVE, low // SEGMENT_BUNDLES, -(-high // SEGMENT_BUNDLES))
    if segment is not None:
        first, end = segment * SEGMENT_BUNDLES, (segment + 1) * SEGMENT_BUNDLES
        found.append(max(low, first) if ahead.step > 0 else min(high, end) - 1)
    return (min if ahead.step > 0 else max)((each for each in found if each is not None), default=None)


class _Looking:
    """One look for the file with the smallest index, or with the largest where it goes `back`."""

    def __init__(self, files: Files, most_names: int, *, back: bool) -> None:
        self._files = files
        self._most_names = most_names
        self._back = back

    def nearest(self, root: str, name: re.Pattern[str], low: int, high: int) -> int | None:
        """The nearest index from `low` to before `high`; `name` is what a file in the last folder is called."""
        units = [1]
        while units[-1] * _NAMES < high:
            units.append(units[-1] * _NAMES)
        for unit in reversed(units) if self._back else units:  # so many digits has an index whose folders begin here
            begin, end = max(low, unit if unit > 1 else 0), min(high, unit * _NAMES)
            found = self._within(root, name, 0, unit, begin, end) if begin < end else None
            if found is not None:
                return found
        return None

    def _within(self, folder: str, name: re.Pattern[str], base: int, unit: int, low: int, high: int) -> int | None:
        """The nearest index in a folder whose names stand for `unit` indices each, from `base` on."""
        for number in self._numbers(folder, name if unit == 1 else _FOLDER):
            first = base + number * unit
            if first + unit <= low or first >= high:
                continue
            if unit == 1:
                return first
            found = self._within(f"{folder}/x{number:03d}", name, first, unit // _NAMES, low, high)
            if found is not None:
                return found
        return None

    def _numbers(self, folder: str, name: re.Pattern[str]) -> list[int]:
        try:
            names = self._files.names(folder)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            names = ()  # a link to itself holds nothing
        self._most_names -= 1 + len(names)
        if self._most_names < 0:
            raise MemberError(folder, f"{_TOO_MANY}: take out what is not of the log, links first")
        return sorted({int(found[1]) for found in map(name.match, names) if found is not None}, reverse=self._back)
