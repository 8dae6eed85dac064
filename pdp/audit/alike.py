"""Records that are like one read before: proved to be leaves without reading each as a whole.

The entries of a bundle come in; out come runs of records that are alike, with what a verification wants of them, and
the places of the others, which are to be read. Most records of a log differ from an earlier one only in the values
of a few members: ids, the box and its commitment, instants, the size of a body. All other bytes, the frame, are looked
up among the frames of records that `leaf.parse` accepted.

INVARIANT: an entry is called alike only where `leaf.parse` accepts it, and reads the kind, id and instant stated here.
    Proof: it has the frame of a record L that was parsed, and slots where L has some, so it is L but for what is in
    them. Ids and commitment hold as many lower-case hex digits as in L, the box holds base64: strings, since their
    quotes are of the frame, that nothing in them ends early or spells in a second way. Numbers hold 1 to 18 digits, the
    first not 0. So keys, their order, nesting, kind and version are those of L, and every value has its one spelling.
    The keys `id` and `t` occur once in L, where the parser found what stands in their slots, and so here.
INVARIANT: memory is bounded, whatever the records are.
Specification: pdp.audit.leaf.

Decision: 2026-11-21. Only kinds of which a verification wants number and instant are called alike (`PLAIN_KINDS`); a
    record of any other is read as a whole, each time.
Decision: 2026-11-21. Frames are learned within a budget that records which are alike refill: a log in which no record
    is like another takes little longer than to read each.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from itertools import count, groupby
from operator import sub

from msgspec import Struct, field

from pdp.audit import leaf
from pdp.audit.leaf import MAX_LEAF_BYTES, LeafError
from pdp.audit.reader import WalName

PLAIN_KINDS = frozenset({"decision", "context"})

MOST_KEPT_BYTES = 16 * 1024 * 1024
"""About so much memory holds frames: ten thousand of the usual size. When it is full, all are forgotten."""

MOST_FRAME_BYTES = 4_096
"""A record with more than that beside its slots is read each time."""

MOST_LEARNED = 1_000
_WORTH = 8
"""To learn a frame costs some times as much as to read a record: so many frames are learned ahead, and then one for so
many records that were alike."""

_FRAME_COST_BYTES = 1024
_MOST_FORMS = 8
_HEX = b"0123456789abcdef"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NUMBER = rb'"%b":([1-9][0-9]{0,17})[,}]'
_SLOTS = (
    re.compile(_NUMBER % b"bs"),
    re.compile(rb'"cx":"([0-9a-f]{32})"'),
    re.compile(rb'"ic":"([0-9a-f]{64})"'),
    re.compile(rb'"id":"([0-9a-f]{32})"'),
    re.compile(rb'"in":"([A-Za-z0-9+/=]*)"'),
    re.compile(_NUMBER % b"t"),
    re.compile(_NUMBER % b"vu"),
)
"""In the order of their keys, which is that of a leaf. What is of another form belongs to the frame."""

_ID, _INSTANT = 3, 5
_KIND_KEYS = tuple(f'"k":"{kind}"'.encode() for kind in sorted(PLAIN_KINDS))
_ID_KEY, _INSTANT_KEY = b'"id":"', b'"t":'
_PLACE = struct.Struct(">5sBI6x")
"""What an id says of its place: boot and writer in one, the number in two parts."""


class Run(Struct, frozen=True):
    """`count` records of one kind, from `offset` of the bundle on, of one boot of a writer, numbered from `first_seq`.

    `newest_us` is the latest instant that one of them states.
    """

    offset: int
    count: int
    kind: str
    name: WalName
    first_seq: int
    newest_us: int


class _Form(Struct):
    """A way to cut an entry into parts of a frame and slots by turns. `frame`, of that `kind`, was the last so cut."""

    cut: struct.Struct
    frame: tuple[bytes, ...]
    kind: str


class Frames(Struct):
    """The frames of the records read so far.

    `_kinds` has the kind of each by the parts of its frame; `_forms` how an entry so long, whose id stands there, may
    be cut into such parts and slots by turns. Before a slot that it does not have, a form has an empty part, before one
    that it has, a part that ends in its key: so records of one frame have the same slots.
    """

    _kinds: dict[tuple[bytes, ...], str] = field(default_factory=dict)
    _forms: dict[tuple[int, int], list[_Form]] = field(default_factory=dict)
    _kept_bytes: int = 0
    _to_learn: int = MOST_LEARNED

    def runs(self, entries: Sequence[bytes]) -> list[Run | int]:
        """The entries in their order: as runs those that are alike, by offset each that is to be read."""
        forms, kind_of = self._forms, self._kinds.get
        kinds: list[str | None] = []
        kind: str | None
        slots: list[tuple[bytes, ...]] = []
        for entry in entries:
            for form in forms.get((len(entry), entry.find(_ID_KEY)), ()):
                parts: tuple[bytes, ...] = form.cut.unpack(entry)
                frame = parts[::2]
                if frame == form.frame:
                    kind = form.kind
                    break
                kind = kind_of(frame)
                if kind is not None:
                    form.frame, form.kind = frame, kind
                    break
            else:
                kind, parts = self._learn(entry)
            kinds.append(kind)
            if kind is not None:
                slots.append(parts[1::2])
        self._to_learn = min(MOST_LEARNED, self._to_learn + len(slots) // _WORTH)
        if slots:
            columns = tuple(zip(*slots, strict=True))
            if _are_clean(columns):
                return _grouped(kinds, columns[_ID], columns[_INSTANT])
        return list(range(len(entries)))

    def _learn(self, entry: bytes) -> tuple[str | None, tuple[bytes, ...]]:
        """Keep the frame of an entry, if it is a leaf that others may be like; its kind and its parts."""
        cut = _cut_of(entry) if self._to_learn > 0 else None
        if cut is None:
            return None, ()
        self._to_learn -= 1
        parts: tuple[bytes, ...] = cut.unpack(entry)
        kind = _plain_kind(entry, parts[1::2])
        if kind is None:
            return None, ()
        if self._kept_bytes > MOST_KEPT_BYTES:
            self._kinds.clear()
            self._forms.clear()
            self._kept_bytes = 0
        frame = parts[::2]
        self._kept_bytes += sum(map(len, frame)) + _FRAME_COST_BYTES
        self._kinds[frame] = kind
        forms = self._forms.setdefault((len(entry), entry.find(_ID_KEY)), [])
        if all(cut.format != form.cut.format for form in forms):
            forms[_MOST_FORMS - 1 :] = [_Form(cut, frame, kind)]
        return kind, parts


def _cut_of(entry: bytes) -> struct.Struct | None:
    """How an entry is cut into parts of the frame and slots by turns, with a part at either end; None for no way."""
    if len(entry) > MAX_LEAF_BYTES or b"\\" in entry or not any(key in entry for key in _KIND_KEYS):
        return None
    if any(entry.count(key) != 1 for key in (_ID_KEY, _INSTANT_KEY)):
        return None
    lengths: list[int] = []
    at = 0
    for slot in _SLOTS:
        found = slot.search(entry, at)
        begin, end = (at, at) if found is None else found.span(1)
        lengths += [begin - at, end - begin]
        at = end
    lengths.append(len(entry) - at)
    return struct.Struct("".join(f"{length}s" for length in lengths)) if sum(lengths[::2]) <= MOST_FRAME_BYTES else None


def _plain_kind(entry: bytes, slots: Sequence[bytes]) -> str | None:
    """The kind of an entry that is a leaf of a plain kind, with the id and the instant that stand in these slots."""
    try:
        record = leaf.parse(entry)
    except LeafError:
        return None
    fits = slots[_INSTANT] != b"" and record.clear.get("t") == int(slots[_INSTANT])
    return record.kind if fits and record.kind in PLAIN_KINDS and record.id.encode() == slots[_ID] else None


def _are_clean(columns: Sequence[Sequence[bytes]]) -> bool:
    """Whether the slots of all the records hold only what they may."""
    size, context, commitment, record_id, box, instant, until = columns
    hexes = b"".join((*context, *commitment, *record_id))
    if hexes.translate(None, _HEX) or b"".join(box).translate(None, _BASE64):
        return False
    numbers = b",".join((b"", *instant, *size, *until))
    if numbers.count(b",") != len(instant) + len(size) + len(until):  # a comma of a slot's own
        return False
    return b",0" not in numbers and not numbers.translate(None, b",0123456789")


def _grouped(kinds: Sequence[str | None], record_ids: Sequence[bytes], instants: Sequence[bytes]) -> list[Run | int]:
    """Neighbours of one kind and one boot as a run, as far as their numbers follow each other."""
    offsets = [offset for offset, kind in enumerate(kinds) if kind is not None]
    boots, highs, lows = zip(*_PLACE.iter_unpack(bytes.fromhex(b"".join(record_ids).decode())), strict=True)
    # In a run the numbers grow with the offsets, and none that is to be read stands between.
    keys = zip(boots, highs, map(sub, lows, offsets), map(sub, offsets, count()), filter(None, kinds), strict=False)
    found: list[Run | int] = []
    first, at = 0, 0
    for (boot, high, _, _, kind), alike in groupby(keys):
        end = first + len(list(alike))
        offset = offsets[first]
        name = WalName(boot[4], int.from_bytes(boot[:4], "big"))
        found += range(at, offset)
        found.append(Run(offset, end - first, kind, name, high << 32 | lows[first], _newest(instants[first:end])))
        first, at = end, offset + end - first
    return [*found, *range(at, len(kinds))]


def _newest(instants: Sequence[bytes]) -> int:
    """The largest of some numbers."""
    return int(max(instants)) if len(set(map(len, instants))) == 1 else max(map(int, instants))
