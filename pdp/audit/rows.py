"""Records as a listing has them: the clear part, and the answer that left where that is another than was recorded.

Leaf bytes come in, rows go out. A row is read leniently: what a record says in another form than ours counts as not
said; one that cannot be read at all is named by its place. `full` reads a row strictly, before it is shown.

INVARIANT: an `answer.changed` record changes the row of the decision that it names, and no other.
Design: audit.md 4.2; contracts.md "An answer that leaves otherwise than recorded".

Decision: 2026-11-21. A record that states no instant has that of the record before it in the same piece of the log,
    else of the one after it: it stands between them, and filters by time need an answer.
Decision: 2026-11-21. An `answer.changed` that does not name a decision of the same writer is passed over: one worker
    states what left instead of its own answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pdp.audit import ids, leaf
from pdp.audit.aggregate import AGGREGATE
from pdp.audit.corrections import KIND as CORRECTION
from pdp.model import Json

DECISIONS = frozenset({"decision", AGGREGATE})

Placed = tuple[int | None, bytes]
"""A record with its index in the tree; None where it is in a write-ahead log."""

Note = Callable[[str], None]
"""Takes one sentence about what could not be read and so is not shown."""


class Answer(Struct, frozen=True, gc=False):
    """What was answered: the outcome, who decided (the primary rule first), and the finer reason."""

    outcome: str
    by: tuple[str, ...]
    reason: str


class Correction(Struct, frozen=True):
    """What left instead, and the record that says so."""

    id: str
    answer: Answer


class Row(Struct, frozen=True, gc=False):
    """One record. `at_us` is its instant or a neighbour's, Unix microseconds.

    `answer` is what left, where it is a decision or corrects one; `recorded` what the record says besides, where
    another answer left, and `corrected_by` the id of the record that says so. `of` is the record that this one speaks
    of. `count` decisions stand in it, from `first_us` to `last_us`: more than one in an aggregate. `service` to
    `reason` are "" where they are not said.
    """

    leaf: bytes
    origin: str
    index: int | None
    id: str
    kind: str
    at_us: int
    answer: Answer | None
    service: str
    endpoint: str
    shape: str
    method: str
    gateway: str
    policy: str
    of: str
    count: int
    first_us: int
    last_us: int
    recorded: Answer | None = None
    corrected_by: str = ""

    @property
    def decides(self) -> bool:
        """Whether it says how calls were answered."""
        return self.answer is not None

    @property
    def writer(self) -> str:
        """The number of its writer, two hex digits."""
        return self.id[8:10]


class _Clear(Struct, frozen=True, gc=False):
    """The members that rows need, by their names in a leaf."""

    k: str
    id: str
    t: int | None = None
    d: str = ""
    by: tuple[str, ...] = ()
    rc: str = ""
    sv: str = ""
    ep: str = ""
    rt: str = ""
    m: str = ""
    gw: str = ""
    pb: str = ""
    of: str = ""
    ct: int | tuple[str, ...] | None = None
    t0: int | None = None
    t1: int | None = None


_DECODER = msgspec.json.Decoder(_Clear)


def rows_of(placed: Sequence[Placed], origin: str, note: Note) -> list[Row]:
    """The rows of records that stand together, in their order; those that cannot be read are noted."""
    found: list[tuple[Placed, _Clear]] = []
    for each in placed:
        clear = _read(each, note)
        if clear is not None:
            found.append((each, clear))
    at_us = next((clear.t for _, clear in found if clear.t is not None), 0)
    rows = []
    for (index, data), clear in found:
        at_us = at_us if clear.t is None else clear.t
        rows.append(_row(data, origin, index, clear, at_us))
    return rows


def corrections_in(placed: Iterable[Placed]) -> dict[str, Correction]:
    """The corrections among these records, by the id of the decision that each names; of several, the last."""
    found: dict[str, Correction] = {}
    for _, data in placed:
        if b'"answer.changed"' not in data:
            continue
        clear = _decoded(data)
        if clear is not None and clear.k == CORRECTION and clear.of[8:10] == clear.id[8:10]:
            found[clear.of] = Correction(clear.id, Answer(clear.d, clear.by, clear.rc))
    return found


def corrected(row: Row, corrections: Mapping[str, Correction]) -> Row:
    """The row with the answer that left, where a correction names it."""
    found = corrections.get(row.id) if row.kind in DECISIONS else None
    if found is None:
        return row
    return replace(row, answer=found.answer, recorded=row.answer, corrected_by=found.id)


def correcting(row: Row, of: Row) -> Row:
    """The row of an `answer.changed` record, with what `of`, the decision that it names, says of the call."""
    return replace(
        row,
        recorded=of.answer,
        service=of.service,
        endpoint=of.endpoint,
        shape=of.shape,
        method=of.method,
        gateway=of.gateway,
        policy=of.policy,
    )


def full(row: Row, note: Note) -> Mapping[str, Json] | None:
    """Every clear field of the record; None, and a note, where it is not a leaf to the last byte."""
    try:
        return leaf.parse(row.leaf).clear
    except leaf.LeafError as error:
        note(f"{_place(row.index)} is not shown: {error}; run `pdp audit verify`")
        return None


def _read(placed: Placed, note: Note) -> _Clear | None:
    index, data = placed
    clear = _decoded(data)
    if clear is None or not ids.is_shaped(clear.id):
        note(f"{_place(index)} cannot be read and is not shown; run `pdp audit verify`")
        return None
    return clear


def _place(index: int | None) -> str:
    return "a record of a write-ahead log" if index is None else f"record {index}"


def _decoded(data: bytes) -> _Clear | None:
    """The members of a leaf; one that has another type counts as not there. None where it is no leaf."""
    try:
        return _DECODER.decode(data)
    except msgspec.ValidationError:
        return _lenient(data)
    except msgspec.DecodeError:
        return None


def _lenient(data: bytes) -> _Clear | None:
    try:
        read = leaf.parse(data)
    except leaf.LeafError:
        return None
    kept: dict[str, Json] = {"k": read.kind, "id": read.id}
    for name, value in read.clear.items():
        if name in _Clear.__struct_fields__:
            try:
                msgspec.convert({**kept, name: value}, _Clear)
            except msgspec.ValidationError:
                continue
            kept[name] = value
    return msgspec.convert(kept, _Clear)


def _row(data: bytes, origin: str, index: int | None, clear: _Clear, at_us: int) -> Row:
    aggregate = clear.k == AGGREGATE
    states = clear.k in DECISIONS or clear.k == CORRECTION
    return Row(
        leaf=data,
        origin=origin,
        index=index,
        id=clear.id,
        kind=clear.k,
        at_us=at_us,
        answer=Answer(clear.d, clear.by, clear.rc) if states else None,
        service=clear.sv,
        endpoint=clear.ep,
        shape=clear.rt,
        method=clear.m,
        gateway=clear.gw,
        policy=clear.pb,
        of=clear.of,
        count=clear.ct if aggregate and isinstance(clear.ct, int) else 1,
        first_us=clear.t0 if aggregate and clear.t0 is not None else at_us,
        last_us=clear.t1 if aggregate and clear.t1 is not None else at_us,
    )
