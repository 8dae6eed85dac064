"""Refusals that coarsen: which may, what their leaf says, and that none is acknowledged before it is in the log."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from pdp.audit import ids
from pdp.audit.aggregate import Standing, may_join, standing_of
from pdp.audit.coarsening import Aggregates
from pdp.audit.frame import scan
from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.leaf import Leaf, LeafError, parse
from pdp.audit.reader import find
from pdp.audit.report import Findings
from pdp.audit.sequences import Sequences
from pdp.audit.verify import verify_log
from pdp.audit.wal import wal_name
from pdp.audit.writer import Limits, LogWriter, Receipt
from pdp.errors import AuditError
from pdp.model import Json
from tests.support.logs import LiveLog, ignore
from tests.support.writing import Bench, Clock, Disk, Gate, Settled

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = Limits(press_us=0)
"""Any record that waits is pressure."""

REFUSAL: Mapping[str, Json] = {
    "t": 5_000_000,
    "d": "deny",
    "pb": "ab" * 32,
    "sv": "ledger",
    "ep": "ledger.account",
    "gw": "edge",
    "by": ["default"],
    "rc": "default",
    "pk": "user",
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LogKeys:
    return create_keys(tmp_path_factory.mktemp("state") / "keys", "pdp.example.com/test", os.urandom)


@pytest.fixture
def bench(tmp_path: Path, keys: LogKeys) -> Bench:
    return Bench(tmp_path, keys, Clock())


def taken(writer: LogWriter, clear: Mapping[str, Json], inputs: bytes | None, *, strict: bool = False) -> Receipt:
    """A decision as the service hands it over: with others where it may, else in a leaf of its own."""
    joined = None if strict else writer.join(clear)
    return joined or writer.append("decision", clear, inputs, strict)


def refuse(writer: LogWriter, **changed: Json) -> Receipt:
    return taken(writer, {**REFUSAL, **changed}, b"inputs")


def allow(writer: LogWriter) -> Receipt:
    return writer.append("decision", {"d": "allow"}, b"inputs", strict=False)


def acknowledged_in(leaves: Sequence[Leaf]) -> dict[str, str]:
    """By the first 20 digits, every id that stands in the leaves, and the kind of leaf it stands in."""
    found = {}
    for leaf in leaves:
        found[leaf.id[:20]] = leaf.kind
        standing = standing_of(leaf.clear) if leaf.kind == "decision.aggregate" else None
        for seq in () if standing is None else range(standing.first, standing.last + 1):
            assert found.setdefault(f"{leaf.id[:10]}{seq:010x}", leaf.kind) == leaf.kind, "a number twice"
    return found


def assert_books_hold(disk: Disk) -> None:
    """What a reader of every file finds: nothing, but for a file that a fault ended."""
    for stored in disk.files.values():
        findings = Findings()
        sequences = Sequences(findings)
        for index, entry in enumerate(leaf for frame in scan(stored.data).frames for leaf in frame.leaves):
            sequences.see(index, entry)
        sequences.finish()
        assert findings.kept == []


def of_kind(disk: Disk, kind: str) -> list[Leaf]:
    return [leaf for leaf in disk.leaves() if leaf.kind == kind]


# ---------------------------------------------------------------- which may, and what is read


MAY: dict[str, tuple[Mapping[str, Json], bool]] = {
    "a refusal may": ({"d": "deny"}, True),
    "a minimal one may": ({"d": "deny", "ll": "minimal"}, True),
    "an allow may not": ({"d": "allow"}, False),
    "a step-up may not": ({"d": "step_up"}, False),
    "what is no decision may not": ({}, False),
    "a full one may not": ({"d": "deny", "ll": "full"}, False),
    "one that raises an alert may not": ({"d": "deny", "al": ["soc"]}, False),
}


@pytest.mark.parametrize(("clear", "may"), MAY.values(), ids=MAY.keys())
def test_which_decisions_may_join(clear: Mapping[str, Json], *, may: bool) -> None:
    assert may_join(clear) is may


READ: dict[str, tuple[Mapping[str, Json], Standing | None]] = {
    "one": ({"d": "deny", "ct": 1, "sq": [4, 4]}, Standing(4, 4)),
    "many": ({"d": "deny", "ct": 3, "sq": [4, 6]}, Standing(4, 6)),
    "nothing at all": ({}, None),
    "an empty range": ({"d": "deny", "ct": 0, "sq": [4, 3]}, None),
    "another count": ({"d": "deny", "ct": 2, "sq": [4, 6]}, None),
    "the number of log.start": ({"d": "deny", "ct": 1, "sq": [0, 0]}, None),
    "a number beyond any": ({"d": "deny", "ct": 1, "sq": [2**40, 2**40]}, None),
    "true for a number": ({"d": "deny", "ct": 1, "sq": [True, True]}, None),
    "true for the count": ({"d": "deny", "ct": True, "sq": [1, 1]}, None),
    "three numbers": ({"d": "deny", "ct": 1, "sq": [1, 1, 1]}, None),
    "a text": ({"d": "deny", "ct": 1, "sq": "11"}, None),
    "allows": ({"d": "allow", "ct": 1, "sq": [4, 4]}, None),
}


@pytest.mark.parametrize(("clear", "standing"), READ.values(), ids=READ.keys())
def test_what_an_aggregate_stands_for(clear: Mapping[str, Json], standing: Standing | None) -> None:
    assert standing_of(clear) == standing


# ---------------------------------------------------------------- what waits


def test_what_waits_is_bounded_in_refusals_in_keys_and_in_bytes() -> None:
    few = Aggregates(3, 100, 1_000_000)
    assert [few.join(REFUSAL, Receipt("", strict=False)) for _ in range(5)] == [True] * 3 + [False] * 2
    narrow = Aggregates(100, 2, 1_000_000)
    reasons = [{**REFUSAL, "rc": f"r{n % 3}"} for n in range(6)]
    assert [narrow.join(each, Receipt("", strict=False)) for each in reasons] == [True, True, False] * 2
    small = Aggregates(100, 100, 1_000)
    words = [{**REFUSAL, "rc": f"{n}{'x' * 200}"} for n in range(3)]
    assert [small.join(each, Receipt("", strict=False)) for each in words] == [True, False, False]
    while small.next() is not None:
        small.remove_next()
    assert small.join(words[1], Receipt("", strict=False)), "what was taken leaves its room"
    assert len(small) == 1


def test_what_no_leaf_can_hold_is_not_taken() -> None:
    waiting = Aggregates(100, 100, 10_000_000)
    with pytest.raises(LeafError):
        waiting.join({**REFUSAL, "rc": "x" * 60_000}, Receipt("", strict=False))
    with pytest.raises(LeafError):
        waiting.join({**REFUSAL, "rc": 0.5}, Receipt("", strict=False))
    assert len(waiting) == 0
    assert waiting.next() is None


INSTANTS: dict[str, tuple[list[Json], tuple[int, int]]] = {
    "in order": ([1, 2, 3], (1, 3)),
    "out of order": ([2, 3, 1], (1, 3)),
    "one": ([7], (7, 7)),
    "none that is an instant": (["now", None, -1, 2**70], (9, 9)),
    "some that are": ([None, 5, 2**70], (5, 5)),
}


@pytest.mark.parametrize(("stated", "span"), INSTANTS.values(), ids=INSTANTS.keys())
def test_the_first_and_the_last_instant(stated: list[Json], span: tuple[int, int]) -> None:
    waiting = Aggregates(100, 100, 10_000)
    for t in stated:
        waiting.join({**REFUSAL, "t": t}, Receipt("", strict=False))
    found = waiting.next()
    assert found is not None
    fields = found.fields(9)
    assert (fields["t0"], fields["t1"], fields["ct"], fields["t"]) == (*span, len(stated), 9)


# ---------------------------------------------------------------- the writer under pressure


def test_under_pressure_refusals_stand_in_one_leaf_and_are_acknowledged_with_it(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled, AT_ONCE) as writer:
        gate.close()
        first = allow(writer)
        gate.wait()
        together = [refuse(writer, t=5_000_000 + n) for n in range(100)]
        beside = allow(writer)
        assert {receipt.id for receipt in together} == {""}
        assert not any(receipt.settled for receipt in together)
        assert writer.status().pending == 102
        gate.open()
        settled.wait(102)
    (leaf,) = of_kind(disk, "decision.aggregate")
    assert leaf.clear == {
        **{name: value for name, value in REFUSAL.items() if name != "t"},
        "v": 1,
        "t": bench.clock.now_us,
        "t0": 5_000_000,
        "t1": 5_000_099,
        "ct": 100,
        "sq": [3, 102],
    }
    assert leaf.sealed is None
    numbers = [ids.parse(receipt.id).seq for receipt in (first, beside, *together)]
    assert numbers == [1, 2, *range(3, 103)]
    assert all(ids.IdKey(bench.keys.id_key).check(receipt.id) for receipt in together)
    assert ids.parse(leaf.id).seq == 103
    assert [receipt.error for receipt in settled.receipts] == [None] * 102
    (last,) = of_kind(disk, "log.heartbeat")
    assert [last.clear[name] for name in ("answered", "recorded", "aggregated", "unrecorded")] == [102, 2, 100, 0]
    assert writer.status().aggregated == 100
    assert_books_hold(disk)


OF_THEIR_OWN: dict[str, tuple[Mapping[str, Json], bool]] = {
    "an allow": ({"d": "allow"}, False),
    "a step-up": ({"d": "step_up"}, False),
    "a strict refusal": ({}, True),
    "a refusal in full": ({"ll": "full"}, False),
    "a refusal with an alert": ({"al": ["soc"]}, False),
}


@pytest.mark.parametrize(("changed", "strict"), OF_THEIR_OWN.values(), ids=OF_THEIR_OWN.keys())
def test_what_has_a_leaf_of_its_own_under_any_pressure(
    bench: Bench, changed: Mapping[str, Json], *, strict: bool
) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled, AT_ONCE) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        receipts = [taken(writer, {**REFUSAL, **changed}, None, strict=strict) for _ in range(5)]
        assert all(receipt.id for receipt in receipts)
        gate.open()
        settled.wait(6)
    assert of_kind(disk, "decision.aggregate") == []
    assert len(of_kind(disk, "decision")) == 6


def test_without_pressure_every_refusal_has_its_leaf(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        assert all(refuse(writer).id for _ in range(50))
        gate.open()
        settled.wait(51)
    assert len(of_kind(disk, "decision")) == 51


PRESSURE: dict[str, tuple[Limits, int]] = {
    "half of the records": (Limits(records=20), 10),
    "half of the bytes": (Limits(ring_bytes=6_000), 20),
    "a record that waits": (Limits(press_us=250_000), 0),
}


@pytest.mark.parametrize(("limits", "most"), PRESSURE.values(), ids=PRESSURE.keys())
def test_what_pressure_is(bench: Bench, limits: Limits, most: int) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled, limits) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        assert refuse(writer).id
        if most == 0:
            bench.clock.now_us += 249_000
            assert refuse(writer).id
            bench.clock.now_us += 1_000
        assert not all(refuse(writer).id for _ in range(most + 1))
        gate.open()
        settled.wait(1)
    assert_books_hold(disk)


@pytest.mark.parametrize("name", ["pb", "sv", "ep", "gw", "by", "rc", "pk", "rt"])
def test_refusals_of_another_key_have_another_leaf(bench: Bench, name: str) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    other: Json = ["other"] if name == "by" else "other"
    with bench.running(disk.open, settled, AT_ONCE) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        for _ in range(3):
            refuse(writer)
            refuse(writer, **{name: other})
        gate.open()
        settled.wait(7)
    leaves = of_kind(disk, "decision.aggregate")
    assert [(leaf.clear["ct"], leaf.clear["sq"]) for leaf in leaves] == [(3, [2, 4]), (3, [6, 8])]
    assert [leaf.clear.get(name) for leaf in leaves] == [REFUSAL.get(name), other]
    assert_books_hold(disk)


def test_a_flood_of_refusals_leaves_the_ring_to_what_must_have_a_leaf(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    limits = Limits(records=40, aggregated=50, aggregate_keys=5)
    with bench.running(disk.open, settled, limits) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        refused = 0
        for n in range(500):
            try:
                refuse(writer, rc=f"r{n % 9}")
            except AuditError as error:
                assert error.code == "audit.full"
                refused += 1
        receipts = [allow(writer) for _ in range(20)]
        with pytest.raises(AuditError):
            allow(writer)
        gate.open()
        settled.wait(1 + (500 - refused) + 20)
        assert [receipt.error for receipt in receipts] == [None] * 20
    assert sum(int(str(leaf.clear["ct"])) for leaf in of_kind(disk, "decision.aggregate")) == 50
    assert sum(int(str(gap.clear["refused"])) for gap in of_kind(disk, "log.gap")) == refused + 1
    assert_books_hold(disk)


def test_a_refusal_whose_words_no_leaf_holds_is_refused_and_counted(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled, AT_ONCE) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        with pytest.raises(AuditError, match=r"audit\.record"):
            refuse(writer, rc="x" * 60_000)
        with pytest.raises(TypeError):
            refuse(writer, rc={"not": "a word"})
        gate.open()
        settled.wait(1)
    assert of_kind(disk, "log.gap")[0].clear["refused"] == 1
    assert_books_hold(disk)


def test_once_everything_is_written_there_is_no_pressure(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled, Limits(press_us=250_000)) as writer:
        for n in range(3):
            assert refuse(writer).id
            settled.wait(n + 1)
            bench.clock.now_us += 1_000_000


@pytest.mark.parametrize("passes", [0, 1], ids=["before_its_leaf_is_made", "with_its_leaf"])
def test_refusals_whose_aggregate_is_not_written_fail_without_an_id(bench: Bench, passes: int) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled, AT_ONCE) as writer:
        gate.close()
        allow(writer)
        gate.wait()
        together = [refuse(writer) for _ in range(10)]
        gate.passes, gate.fails = passes, 1
        gate.open()
        settled.wait(11)
        assert all(receipt.error is not None and receipt.id == "" for receipt in together)
        assert writer.status().pending == 0
    newest = list(disk.files.values())[-1].leaves()
    assert [leaf.clear.get("failed") for leaf in newest if leaf.kind == "log.gap"] == [11 - passes]
    stated = [newest[-2].clear[name] for name in ("answered", "recorded", "aggregated", "unrecorded")]
    assert stated == [11, passes, 0, 11 - passes]
    assert_books_hold(disk)


# ---------------------------------------------------------------- every course of events


Step = Literal["allow", "deny", "strict", "full", "stall", "go", "fail", "wait", "second"]


class Course(Struct):
    """What a course of events came to."""

    disk: Disk
    settled: Settled
    receipts: list[tuple[str, Receipt]]
    refused: int


def _run(steps: Sequence[Step], keys: LogKeys, folder: Path) -> Course:
    gate = Gate()
    disk = Disk(gate)

    def is_in_the_log(receipt: Receipt) -> None:
        """Called on the writer's thread: what a crash at this very moment leaves."""
        if receipt.error is None:
            assert receipt.id[:20] in acknowledged_in(disk.leaves(durable=receipt.strict)), "acknowledged and lost"

    course = Course(disk, Settled(is_in_the_log), [], 0)
    bench = Bench(folder, keys, Clock())
    limits = Limits(press_us=0, aggregated=6, aggregate_keys=2, records=12, file_bytes=6_000)
    try:
        with bench.running(disk.open, course.settled, limits) as writer:
            for number, step in enumerate(steps):
                _do(step, number, writer, gate, bench.clock, course)
            gate.open()
    finally:
        gate.open()
    return course


def _do(step: Step, number: int, writer: LogWriter, gate: Gate, clock: Clock, course: Course) -> None:
    match step:
        case "stall":
            gate.close()
        case "go":
            gate.open()
        case "fail":
            gate.fails += 1
        case "second":
            clock.now_us += 1_000_000
        case "wait":
            gate.open()
            course.settled.wait(len(course.receipts))
        case "allow" | "deny" | "strict" | "full":
            outcome = "allow" if step == "allow" else "deny"
            clear = {**REFUSAL, "d": outcome, "rc": f"r{number % 3}"} | ({"ll": "full"} if step == "full" else {})
            try:
                receipt = taken(writer, clear, None, strict=step == "strict")
            except AuditError:
                course.refused += 1
            else:
                course.receipts.append((step, receipt))


STEPS = st.sampled_from(("allow", "deny", "deny", "deny", "strict", "full", "stall", "go", "wait", "fail", "second"))


@settings(max_examples=80, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_what_was_acknowledged_is_in_the_log_and_the_books_balance(
    keys: LogKeys, steps: list[Step]
) -> None:
    """For all courses: acknowledged ids are in a leaf or in one aggregate, allows in leaves, and readers find nothing
    wrong with any file.
    """
    with tempfile.TemporaryDirectory() as folder:
        course = _run(steps, keys, Path(folder))
    assert not course.settled.complaints
    found = acknowledged_in(course.disk.leaves())
    for step, receipt in course.receipts:
        assert receipt.settled
        if receipt.error is None:
            kind = found[receipt.id[:20]]
            assert kind == "decision" or (step, kind) == ("deny", "decision.aggregate")
    assert_books_hold(course.disk)
    last = list(course.disk.files.values())[-1].leaves()[-2:]
    if [leaf.kind for leaf in last] == ["log.heartbeat", "log.stop"]:
        failed = sum(receipt.error is not None for _, receipt in course.receipts)
        assert last[0].clear["answered"] == len(course.receipts)
        assert last[0].clear["unrecorded"] == failed


def test_courses_reach_what_they_are_for(keys: LogKeys, tmp_path: Path) -> None:
    denies: list[Step] = ["deny"] * 9
    steps: list[Step] = ["stall", "allow", *denies, "wait", "stall", "allow", *denies, "fail", "wait", *denies]
    aggregated = 0
    for at in range(10):
        (folder := tmp_path / str(at)).mkdir()
        course = _run(steps, keys, folder)
        aggregated += len(of_kind(course.disk, "decision.aggregate"))
    assert aggregated > 0
    assert course.refused > 0


# ---------------------------------------------------------------- the log behind it


def _flooded(live: LiveLog, count: int) -> list[Receipt]:
    """Refusals faster than they are written, among allows; all acknowledged."""
    with live.writing(limits=Limits(press_us=0, heartbeat_us=2_000, file_bytes=100_000)) as writer:
        receipts = [refuse(writer, rc=f"r{n % 3}") if n % 10 else allow(writer) for n in range(count)]
    assert [receipt.error for receipt in receipts] == [None] * count
    return receipts


def test_a_log_with_aggregates_is_sound_before_and_after_the_sequencer_and_finds_each_id(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    sequencer = live.sequencer()
    receipts = _flooded(live, 3_000)
    log, wal = tmp_path / "log", tmp_path / "wal"
    report = verify_log(log, wal, live.keys.vkey, ignore)
    assert (report.exit_code, report.findings, report.size) == (0, (), 0)
    _assert_found(log, wal, receipts[::97])
    while sequencer.integrate():
        sequencer.publish()
        report = verify_log(log, wal, live.keys.vkey, ignore)
        assert (report.exit_code, report.findings) == (0, ())
    _assert_found(log, None, receipts[::97])
    place = ids.parse(receipts[-1].id)
    assert find(log, wal, ids.IdKey(bytes(32)).make(place.boot, place.writer, place.seq + 1_000_000)) is None


def _assert_found(log: Path, wal: Path | None, receipts: Sequence[Receipt]) -> None:
    kinds = set()
    for receipt in receipts:
        found = find(log, wal, receipt.id)
        assert found is not None
        record = parse(found.leaf)
        assert receipt.id[:20] in acknowledged_in([record])
        kinds.add(record.kind)
    assert kinds == {"decision", "decision.aggregate"}


def test_a_sequencer_that_lost_its_cursor_takes_each_record_once(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    sequencer = live.sequencer()
    _flooded(live, 500)
    sequencer.integrate()
    sequencer.publish()
    (tmp_path / "log" / ".cursor").unlink()
    with live.writing() as writer:
        allow(writer)
    sequencer = live.sequencer()
    sequencer.integrate()
    sequencer.publish()
    assert sequencer.stuck == {}
    report = verify_log(tmp_path / "log", tmp_path / "wal", live.keys.vkey, ignore)
    assert (report.exit_code, report.findings) == (0, ())


WORKER = """
import os, sys, threading, time
from pathlib import Path
from pdp.audit.files import open_log_file
from pdp.audit.keys import load_keys
from pdp.audit.writer import Limits, LogWriter

def settled(receipts):
    for receipt in receipts:
        if receipt.error is None:
            os.write(1, (receipt.id + "\\n").encode())

state = Path(sys.argv[1])
writer = LogWriter(state / "wal", 1, load_keys(state / "keys"), open_file=open_log_file, entropy=os.urandom,
                   clock_us=lambda: time.time_ns() // 1000, on_settled=settled, software="worker",
                   limits=Limits(press_us=0, heartbeat_us=5_000))
writer.start()
for n in range(1_000_000):
    clear = {"d": "deny" if n % 7 else "allow", "rc": f"r{n % 3}"}
    if n % 50 == 0 or not writer.join(clear):
        writer.append("decision", clear, b"inputs", strict=n % 50 == 0)
    if n % 100 == 0:
        time.sleep(0.001)
"""


def test_a_killed_writer_had_every_refusal_it_acknowledged_in_a_leaf_or_an_aggregate(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    create_keys(tmp_path / "keys", "pdp.example.com/test", os.urandom)
    acknowledged: set[str] = set()
    for rounds in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(500 + 700 * rounds)]
            process.kill()
            lines += process.stdout.readlines()
        acknowledged |= {line.decode()[:20] for line in lines if line.endswith(b"\n")}
    written: dict[str, str] = {}
    for path in (tmp_path / "wal").glob("*.wal"):
        leaves = [parse(leaf) for frame in scan(path.read_bytes()).frames for leaf in frame.leaves]
        assert wal_name(ids.parse(leaves[0].id).writer, ids.parse(leaves[0].id).boot) == path.name
        written |= acknowledged_in(leaves)
    assert len(acknowledged) > 2_000
    assert acknowledged <= written.keys()
    assert "decision.aggregate" in {written[each] for each in acknowledged}
