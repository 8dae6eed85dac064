"""pdp.audit.sequences: what the numbers and the books of a writer prove, and what each breach of them is called."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.leaf import encode, parse
from pdp.audit.reader import WalName
from pdp.audit.report import INCOMPLETE, INVALID, SOUND, Findings
from pdp.audit.sequences import Sequences
from pdp.model import Json
from tests.support.logs import BOOT, IDS, record

NAME = WalName(0, BOOT)
S = 1_000_000


def start(mono: int | None = 0) -> bytes:
    return record(0, mono=mono) if mono is not None else record(0)


def aggregate(seq: int, first: int, last: int, count: int | None = None, outcome: str = "deny") -> bytes:
    stated = last - first + 1 if count is None else count
    return record(seq, kind="decision.aggregate", sq=[first, last], ct=stated, d=outcome)


def beat(seq: int, recorded: int, aggregated: int, unrecorded: int = 0, /, writer: int = 0, **changed: Json) -> bytes:
    """A heartbeat of a writer's first run; `changed` replaces or adds fields, None takes one away."""
    stated: dict[str, Json] = {
        "mono": 10 * S,
        "answered": recorded + aggregated + unrecorded,
        "recorded": recorded,
        "aggregated": aggregated,
        "unrecorded": unrecorded,
        "run": [recorded, aggregated],
        "window": 20_000,
        **changed,
    }
    clear = {name: value for name, value in stated.items() if value is not None}
    return encode("log.heartbeat", IDS.make(BOOT, writer, seq), clear, None)


def stop(seq: int) -> bytes:
    return record(seq, kind="log.stop")


def found(leaves: Sequence[bytes]) -> Findings:
    findings = Findings()
    sequences = Sequences(findings)
    for index, entry in enumerate(leaves):
        sequences.see(index, entry)
    sequences.finish()
    return findings


SOUND_RUNS: dict[str, list[bytes]] = {
    "nothing": [],
    "a run without books": [start(None), record(1), stop(2)],
    "books without decisions": [start(), beat(1, 0, 0), stop(2)],
    "decisions and their books": [start(), record(1), record(2), beat(3, 2, 0), stop(4)],
    "records of other kinds are no decisions": [start(), record(1, kind="context"), record(2), beat(3, 1, 0)],
    "an aggregate right behind what it stands for": [start(), record(1), aggregate(5, 2, 4), beat(6, 1, 3), stop(7)],
    "aggregates one behind the other": [start(), aggregate(3, 1, 2), aggregate(5, 4, 4), beat(6, 0, 3)],
    "refusals without a record": [start(), record(1), beat(2, 1, 0, 7), beat(3, 1, 0, 9, mono=20 * S)],
    "a later run of a writer": [start(), record(1), beat(2, 41, 12, 7, run=[1, 0]), stop(3)],
    "a crash after the last heartbeat": [start(), beat(1, 0, 0), record(2), aggregate(4, 3, 3)],
    "a pause of thirty seconds": [start(), beat(1, 0, 0, mono=30 * S)],
    "a pause that is admitted": [start(), beat(1, 0, 0, mono=99 * S, paused=99 * S)],
}


@pytest.mark.parametrize("leaves", SOUND_RUNS.values(), ids=SOUND_RUNS.keys())
def test_what_a_writer_leaves_is_sound(leaves: list[bytes]) -> None:
    assert found(leaves).kept == []


NOT_SOUND: dict[str, tuple[int, str, list[bytes]]] = {
    "a hole that nothing stands for": (INCOMPLETE, "records 2 to 3", [start(), record(1), record(4)]),
    "a hole that a later leaf stands for": (
        *(INVALID, "which refusals"),
        [start(), record(3), aggregate(4, 1, 2)],
    ),
    "an aggregate that leaves a hole before what it stands for": (
        *(INCOMPLETE, "records 1 to 2"),
        [start(), aggregate(5, 3, 4)],
    ),
    "an aggregate that stands for what has a leaf": (
        *(INVALID, "comes again"),
        [start(), record(1), record(2), aggregate(3, 2, 2)],
    ),
    "an aggregate that stands for what has a leaf and for more": (
        *(INVALID, "comes again"),
        [start(), record(1), aggregate(4, 1, 3)],
    ),
    "two aggregates for one number": (INVALID, "comes again", [start(), aggregate(3, 1, 2), aggregate(4, 2, 3)]),
    "an aggregate twice": (INVALID, "comes again", [start(), aggregate(3, 1, 2), aggregate(3, 1, 2)]),
    "an aggregate that stops short of its own number": (
        *(INVALID, "which refusals"),
        [start(), aggregate(5, 1, 3)],
    ),
    "an aggregate that stands for its own number": (INVALID, "which refusals", [start(), aggregate(2, 1, 2)]),
    "an aggregate that counts other than it lists": (
        *(INVALID, "which refusals"),
        [start(), aggregate(3, 1, 2, count=3)],
    ),
    "an aggregate of allows": (INVALID, "which refusals", [start(), aggregate(3, 1, 2, outcome="allow")]),
    "an aggregate without a range": (
        *(INVALID, "which refusals"),
        [start(), record(1, kind="decision.aggregate", ct=1, d="deny")],
    ),
    "an aggregate of nothing": (INVALID, "which refusals", [start(), aggregate(1, 1, 0)]),
    "more answered than there are records": (
        *(INCOMPLETE, "do not balance"),
        [start(), record(1), beat(2, 1, 0, answered=2)],
    ),
    "more records than were answered": (
        *(INVALID, "do not balance"),
        [start(), record(1), beat(2, 1, 0, answered=0)],
    ),
    "less recorded than in this run": (INVALID, "do not balance", [start(), record(1), beat(2, 0, 0, run=[1, 0])]),
    "a decision fewer than the heartbeat counts": (
        *(INCOMPLETE, "states 2 decisions"),
        [start(), record(1), record(2, kind="context"), beat(3, 2, 0)],
    ),
    "a decision more than the heartbeat counts": (INVALID, "states 0 decisions", [start(), record(1), beat(2, 0, 0)]),
    "a refusal fewer in aggregates": (INCOMPLETE, "states 3 aggregated", [start(), aggregate(3, 1, 2), beat(4, 0, 3)]),
    "a refusal more in aggregates": (INVALID, "states 1 aggregated", [start(), aggregate(3, 1, 2), beat(4, 0, 1)]),
    "counts that go back": (
        *(INVALID, "went back"),
        [start(), beat(1, 0, 0, 5), beat(2, 0, 0, 4, mono=20 * S)],
    ),
    "what earlier runs had changes": (
        *(INVALID, "went back"),
        [start(), beat(1, 5, 0, run=[0, 0]), beat(2, 6, 0, run=[0, 0], mono=20 * S)],
    ),
    "a monotonic clock that goes back": (INVALID, "went back", [start(), beat(1, 0, 0), beat(2, 0, 0, mono=9 * S)]),
    "a monotonic clock that goes back behind the start": (INVALID, "went back", [start(11 * S), beat(1, 0, 0)]),
    "no heartbeat for more than thirty seconds": (
        *(INCOMPLETE, "without a heartbeat for 31 s"),
        [start(), beat(1, 0, 0), beat(2, 0, 0, mono=41 * S)],
    ),
    "no first heartbeat for more than thirty seconds": (
        *(INCOMPLETE, "without a heartbeat for 40 s"),
        [start(), beat(1, 0, 0, mono=40 * S)],
    ),
    "a pause of which less is admitted": (
        *(INCOMPLETE, "without a heartbeat for 60 s"),
        [start(), beat(1, 0, 0, mono=60 * S, paused=59 * S)],
    ),
    "a stop without books": (INCOMPLETE, "not closed", [start(), record(1), stop(2)]),
    "a record between the books and the stop": (INCOMPLETE, "not closed", [start(), beat(1, 0, 0), record(2), stop(3)]),
    "a heartbeat without a count": (INVALID, "without its counts", [start(), beat(1, 0, 0, recorded=None)]),
    "a heartbeat with a negative count": (INVALID, "without its counts", [start(), beat(1, 0, 0, aggregated=-1)]),
    "a heartbeat whose count is true": (INVALID, "without its counts", [start(), beat(1, 0, 0, unrecorded=True)]),
    "a heartbeat whose count is a text": (INVALID, "without its counts", [start(), beat(1, 0, 0, answered="0")]),
    "a heartbeat without the counts of its run": (INVALID, "without its counts", [start(), beat(1, 0, 0, run=[0])]),
}


@pytest.mark.parametrize(("code", "said", "leaves"), NOT_SOUND.values(), ids=NOT_SOUND.keys())
def test_what_no_writer_leaves_is_named(code: int, said: str, leaves: list[bytes]) -> None:
    findings = found(leaves)
    assert findings.worst == code, findings.kept
    assert any(said in each.text and each.code == code for each in findings.kept), findings.kept
    assert all(each.place.startswith("record ") for each in findings.kept)


def test_a_missing_record_is_one_finding_and_the_counts_are_not_held_to_it() -> None:
    findings = found([start(), record(1), record(3), beat(4, 3, 0), stop(5)])
    assert [(each.code, each.text) for each in findings.kept] == [
        (INCOMPLETE, "the records 2 to 2 of 00-0badcafe.wal are missing before it")
    ]


def test_an_unreadable_aggregate_is_found_and_named_by_the_number_it_left_open() -> None:
    findings = Findings()
    sequences = Sequences(findings)
    sequences.see(0, start())
    sequences.see(1, b"{}")
    sequences.see(2, record(4))
    assert [each.code for each in findings.kept] == [INVALID, INCOMPLETE]
    assert sequences.placed == {1: f"{BOOT:08x}00{1:010x}"}


def test_what_stands_behind_places_left_open_is_named_in_their_order() -> None:
    """Places that follow each other, and those that do not, are of the numbers missing, each writer's in its order."""
    sequences = Sequences(Findings())
    sequences.see(0, start())
    for index in (1, 2, 3, 5):
        sequences.miss(range(index, index + 1))
    sequences.see(6, record(3))
    sequences.see(7, record(2, writer=1))
    first, second = f"{BOOT:08x}00", f"{BOOT:08x}01"
    assert sequences.placed == {
        1: f"{first}{1:010x}",
        2: f"{first}{2:010x}",
        3: f"{second}{0:010x}",
        5: f"{second}{1:010x}",
    }


@pytest.mark.timeout(20)
def test_a_hole_of_any_size_and_a_number_of_any_size_are_one_finding() -> None:
    findings = Findings()
    sequences = Sequences(findings)
    sequences.see(0, start())
    sequences.miss(range(1, 10**15))
    sequences.see(10**15, record(2**40 - 2))
    assert findings.kept == []
    assert len(sequences.placed) == 10_000
    assert sequences.placed[1] == f"{BOOT:08x}00{1:010x}"
    sequences.miss(range(10**15 + 1, 10**18))
    sequences.see(10**18, record(2**40 - 1, writer=1))
    assert findings.kept == []
    assert sequences.following(WalName(1, BOOT)) == 2**40


def test_the_memory_does_not_grow_with_places_that_follow_each_other() -> None:
    tracemalloc.start()
    try:
        sequences = Sequences(Findings())
        for index in range(20_000):
            sequences.miss(range(index, index + 1))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000


DOUBTFUL: dict[str, tuple[bytes, int, int]] = {
    "a doubtful aggregate that fits in is believed": (aggregate(3, 1, 2), 2, 4),
    "a doubtful aggregate that does not is not": (aggregate(3, 2, 2), 1, 1),
    "a doubtful aggregate that contradicts itself is not": (aggregate(3, 1, 1), 1, 1),
}


@pytest.mark.parametrize(("entry", "leaves", "following"), DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_a_doubtful_aggregate(entry: bytes, leaves: int, following: int) -> None:
    findings = Findings()
    sequences = Sequences(findings)
    sequences.see(0, start())
    sequences.see(1, entry, doubtful=True)
    assert sequences.following(NAME) == leaves
    sequences.see(2, record(following))
    assert findings.kept == []


def test_what_follows_is_counted_in_leaves_not_in_numbers() -> None:
    sequences = Sequences(Findings())
    assert sequences.following(NAME) == 0
    for index, entry in enumerate([start(), aggregate(101, 1, 100), beat(102, 0, 100)]):
        sequences.see(index, entry)
    assert sequences.following(NAME) == 3
    assert sequences.writers == 1


def test_books_are_kept_apart_for_every_run() -> None:
    both: list[bytes] = []
    for at in range(4):
        both += [record(at, writer=1, kind="context"), record(at, writer=2)]
    both += [beat(4, 0, 0, writer=1), beat(4, 3, 0, writer=2)]
    assert found(both).kept == []


# ---------------------------------------------------------------- many at once


ALIKE: dict[str, tuple[Callable[[Sequences], bool], bool]] = {
    "the next of their run": (lambda seen: seen.take_run("decision", NAME, 1, 5, 7), True),
    "no decisions": (lambda seen: seen.take_run("context", NAME, 1, 5, 7), True),
    "not the next": (lambda seen: seen.take_run("decision", NAME, 2, 5, 7), False),
    "not the first of a run that is not known": (
        lambda seen: seen.take_run("decision", WalName(1, BOOT), 1, 5, 7),
        False,
    ),
    "of a kind that says more": (lambda seen: seen.take_run("log.heartbeat", NAME, 1, 5, 7), False),
}


@pytest.mark.parametrize(("take", "taken"), ALIKE.values(), ids=ALIKE.keys())
def test_records_that_are_alike(take: Callable[[Sequences], bool], *, taken: bool) -> None:
    findings = Findings()
    sequences = Sequences(findings)
    sequences.see(0, start())
    assert take(sequences) is taken
    assert sequences.following(NAME) == (6 if taken else 1)


@given(st.integers(1, 300), st.booleans())
def test_records_taken_at_once_count_like_records_taken_one_by_one(count: int, are_decisions: bool) -> None:
    kind = "decision" if are_decisions else "context"
    reports = []
    for at_once in (True, False):
        findings = Findings()
        sequences = Sequences(findings)
        sequences.see(0, start())
        if at_once:
            newest = parse(record(count)).clear["t"]
            assert isinstance(newest, int)
            assert sequences.take_run(kind, NAME, 1, count, newest)
        else:
            for seq in range(1, count + 1):
                sequences.see(seq, record(seq, kind=kind))
        before = sequences.newest_us
        sequences.see(count + 1, beat(count + 1, count if are_decisions else 0, 0))
        assert findings.worst == SOUND
        reports.append((sequences.following(NAME), before, sequences.newest_us))
    assert reports[0] == reports[1]


# ---------------------------------------------------------------- laws


@given(st.lists(st.integers(0, 4), max_size=40), st.data())
def test_every_leaf_that_is_taken_away_or_doubled_below_the_last_is_found(
    sizes: list[int], data: st.DataObject
) -> None:
    """For all runs of leaves and aggregates, closed by their books: every change of their number has a finding."""
    leaves, seq, recorded, aggregated = [start()], 1, 0, 0
    for size in sizes:
        leaves.append(aggregate(seq + size, seq, seq + size - 1) if size else record(seq))
        seq, recorded, aggregated = seq + size + 1, recorded + (size == 0), aggregated + size
    leaves += [beat(seq, recorded, aggregated), stop(seq + 1)]
    assert found(leaves).worst == SOUND
    at = data.draw(st.integers(0, len(leaves) - 2))
    assert found(leaves[:at] + leaves[at + 1 :]).worst in (INCOMPLETE, INVALID)
    assert found([*leaves[: at + 1], *leaves[at:]]).worst == INVALID
