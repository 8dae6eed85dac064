"""The books: what the service counts, what the writer counts, and that both come to the same in every heartbeat."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.books import CLOCK_STEP, HEARTBEAT, Beat, Books, Pulse, read_beat
from pdp.audit.files import LogFile
from pdp.audit.keys import LogKeys, create_keys
from pdp.audit.leaf import Leaf
from pdp.audit.report import Findings
from pdp.audit.room import Room, free_permille
from pdp.audit.sequences import Sequences
from pdp.audit.writer import Limits, Receipt
from pdp.errors import AuditError
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry, Json
from pdp.service import DecisionService, Receipts
from tests.support.cases import NOW, engine
from tests.support.memory_log import MemoryLog
from tests.support.writing import WAIT_S, Bench, Clock, Disk, Gate, Settled

HEALTH = Inquiry(service="ledger", method="GET", path="/health", host="ledger.example", headers=(), gateway="edge")
NOWHERE = Inquiry(service="ledger", method="GET", path="/nowhere", host="ledger.example", headers=(), gateway="edge")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LogKeys:
    return create_keys(tmp_path_factory.mktemp("state") / "keys", "pdp.example.com/test", os.urandom)


@pytest.fixture
def bench(tmp_path: Path, keys: LogKeys) -> Bench:
    return Bench(tmp_path, keys, Clock())


def of_kind(disk: Disk, kind: str) -> list[Leaf]:
    return [leaf for leaf in disk.leaves() if leaf.kind == kind]


def counts(leaf: Leaf) -> list[Json]:
    return [leaf.clear[name] for name in ("answered", "recorded", "aggregated", "unrecorded")]


def assert_books_hold(disk: Disk) -> None:
    findings = Findings()
    sequences = Sequences(findings)
    for index, leaf in enumerate(disk.leaves()):
        sequences.take(index, leaf)
    sequences.finish()
    assert findings.kept == []


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


# ---------------------------------------------------------------- the counts


@given(st.lists(st.sampled_from(("record", "aggregate", "forgo", "lose", "run")), max_size=60))
def test_each_decision_stands_on_both_sides(steps: list[str]) -> None:
    """For all courses: answered == recorded + aggregated + unrecorded, and no run has more than there is."""
    books = Books()
    counted = 0
    for step in steps:
        counted += step in ("record", "aggregate", "forgo")
        match step:
            case "record":
                books.record(counted)
            case "aggregate":
                books.aggregate(counted)
            case "forgo":
                books.forgo(counted)
            case "lose":  # a run ends, and all of it was lost
                books.lose(books.run_recorded, books.run_aggregated)
                books.begin_run()
            case "run":
                books.begin_run()
        beat = read_beat({"mono": 0, **books.fields()})
        assert beat is not None
        assert beat.answered == beat.held == counted
        assert min(beat.before) >= 0


def test_a_decision_that_the_service_counted_and_nobody_recorded_shows() -> None:
    books = Books()
    books.record(1)
    books.record(3)
    assert (books.answered, books.recorded) == (3, 2)


def test_where_nobody_counts_the_appends_are_counted() -> None:
    books = Books()
    books.record(None)
    books.aggregate(None)
    assert books.answered == 2


HEARTBEATS: dict[str, Mapping[str, Json]] = {
    "no counts": {},
    "a count less": {"mono": 1, "answered": 1, "recorded": 1, "aggregated": 0, "run": [1, 0]},
    "a text": {"mono": 1, "answered": "1", "recorded": 1, "aggregated": 0, "unrecorded": 0, "run": [1, 0]},
    "a truth": {"mono": True, "answered": 1, "recorded": 1, "aggregated": 0, "unrecorded": 0, "run": [1, 0]},
    "less than nothing": {"mono": 1, "answered": 1, "recorded": 1, "aggregated": 0, "unrecorded": -1, "run": [1, 0]},
    "a run of three": {"mono": 1, "answered": 1, "recorded": 1, "aggregated": 0, "unrecorded": 0, "run": [1, 0, 0]},
    "a run of none": {"mono": 1, "answered": 1, "recorded": 1, "aggregated": 0, "unrecorded": 0, "run": []},
    "a run that is none": {"mono": 1, "answered": 1, "recorded": 1, "aggregated": 0, "unrecorded": 0, "run": 1},
    "a pause that is none": {
        "mono": 1,
        "answered": 1,
        "recorded": 1,
        "aggregated": 0,
        "unrecorded": 0,
        "run": [1, 0],
        "paused": "long",
    },
}


@pytest.mark.parametrize("clear", HEARTBEATS.values(), ids=HEARTBEATS.keys())
def test_what_is_no_heartbeat(clear: Mapping[str, Json]) -> None:
    assert read_beat(clear) is None


def test_a_heartbeat_reads_as_it_was_made() -> None:
    books = Books(7, 4, 2, 1, 3, 2)
    (note,) = Pulse(10, 20_000, 0, 0).beat(0xABC, 500, 6, books)
    assert note == (HEARTBEAT, {"t": 500, "mono": 6, "boot": "00000abc", "window": 20_000, **books.fields()})
    assert read_beat(note[1]) == Beat(6, 7, 4, 2, 1, 3, 2, 0)


# ---------------------------------------------------------------- the pulse


def test_a_heartbeat_is_due_so_long_after_the_one_before() -> None:
    pulse = Pulse(10, 0, 1_000, 0)
    assert [pulse.left_us(mono) for mono in (0, 4, 10, 99)] == [10, 6, 0, 0]
    pulse.beat(1, 1_007, 7, Books())
    assert pulse.left_us(8) == 9
    pulse.hasten(8)
    assert pulse.left_us(8) == 0


STEPS: dict[str, tuple[int, int, list[Json]]] = {
    "the clocks go together": (10_000_000, 10_000_000, []),
    "a second apart is no step": (11_000_000, 10_000_000, []),
    "the wall clock was set forward": (13_600_000, 10_000_000, [3_600_000]),
    "the wall clock was set back": (-90_000_000, 10_000_000, [-100_000_000]),
    "nothing passed and a step": (-1_000_001, 0, [-1_000_001]),
}


@pytest.mark.parametrize(("wall", "mono", "steps"), STEPS.values(), ids=STEPS.keys())
def test_a_clock_that_was_set_is_stated_before_the_heartbeat(wall: int, mono: int, steps: list[Json]) -> None:
    pulse = Pulse(10_000_000, 0, 5_000_000_000, 77)
    notes = pulse.beat(1, 5_000_000_000 + wall, 77 + mono, Books())
    assert [clear["step"] for kind, clear in notes if kind == CLOCK_STEP] == steps
    assert [kind for kind, _ in notes] == [CLOCK_STEP] * len(steps) + [HEARTBEAT]
    again = pulse.beat(1, 5_000_000_000 + wall + 5, 77 + mono + 5, Books())
    assert [kind for kind, _ in again] == [HEARTBEAT], "a step is stated once"


def test_a_pause_of_more_than_two_beats_is_admitted_in_its_run() -> None:
    pulse = Pulse(10, 0, 0, 0)
    assert "paused" not in pulse.beat(1, 20, 20, Books())[0][1]
    assert pulse.beat(1, 41, 41, Books())[0][1]["paused"] == 21
    pulse.begin_run(100)
    assert "paused" not in pulse.beat(1, 110, 110, Books())[0][1]


# ---------------------------------------------------------------- the room


ROOMS: dict[str, tuple[list[int], list[tuple[int, bool]]]] = {
    "enough": ([900, 100, 500], []),
    "short once": ([900, 99, 50, 0], [(99, False)]),
    "short and over": ([99, 119, 120, 900], [(99, False), (120, True)]),
    "short again": ([99, 120, 110, 99], [(99, False), (120, True), (99, False)]),
}


@pytest.mark.parametrize(("free", "stated"), ROOMS.values(), ids=ROOMS.keys())
def test_a_disk_that_is_nearly_full_is_stated_once_and_again_when_it_is_over(
    free: list[int], stated: list[tuple[int, bool]]
) -> None:
    left = list(free)
    room = Room(Path(), lambda _: left.pop(0))
    notes = [room.look(5) for _ in free]
    assert [(note[1]["free"], note[1]["over"]) for note in notes if note is not None] == stated


def test_room_that_cannot_be_asked_for_is_not_stated() -> None:
    def broken(_: Path) -> int:
        raise OSError("no such disk")

    assert Room(Path(), broken).look(5) is None


def test_the_room_of_a_real_disk_is_a_share(tmp_path: Path) -> None:
    assert 0 <= free_permille(tmp_path) <= 1_000


def test_the_log_says_that_its_disk_is_nearly_full(tmp_path: Path, keys: LogKeys) -> None:
    free = [500, 80, 70, 300]
    bench = Bench(tmp_path, keys, Clock(), lambda _: free.pop(0) if len(free) > 1 else free[0])
    disk = Disk()
    with bench.running(disk.open, Settled(), Limits(heartbeat_us=1_000)) as writer:
        wait_until(lambda: writer.status().is_degraded)
        wait_until(lambda: not writer.status().is_degraded)
    assert [(leaf.clear["free"], leaf.clear["over"]) for leaf in of_kind(disk, "log.degraded")] == [
        (80, False),
        (300, True),
    ]


# ---------------------------------------------------------------- the writer


def test_an_idle_log_has_its_heartbeats(bench: Bench) -> None:
    disk = Disk()
    with bench.running(disk.open, Settled(), Limits(heartbeat_us=1_000)) as writer:
        wait_until(lambda: writer.status().next_seq > 5)
    kinds = [leaf.kind for leaf in disk.leaves()]
    assert kinds[:1] + kinds[-2:] == ["log.start", HEARTBEAT, "log.stop"]
    assert set(kinds[1:-1]) == {HEARTBEAT}
    assert_books_hold(disk)


def test_a_heartbeat_is_due_by_the_monotonic_clock_however_busy_the_log_is(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:
        for n in range(60):
            writer.append("decision", {}, None, strict=False)
            settled.wait(n + 1)
            bench.clock.now_us += 1_000_000
    assert len(of_kind(disk, HEARTBEAT)) in (6, 7)
    assert of_kind(disk, CLOCK_STEP) == []
    assert_books_hold(disk)


def test_log_start_and_heartbeats_state_both_clocks_and_the_window(bench: Bench) -> None:
    disk = Disk()
    bench.clock.now_us += 3_000_000
    with bench.running(disk.open, Settled(), Limits(sync_us=12_000)) as writer:
        boot = writer.boot()
        bench.clock.now_us += 4_000_000
    start, beat, _ = disk.leaves()
    assert (start.clear["t"], start.clear["mono"]) == (bench.clock.now_us - 4_000_000, 3_000_000)
    assert {name: beat.clear[name] for name in ("t", "mono", "boot", "window")} == {
        "t": bench.clock.now_us,
        "mono": 7_000_000,
        "boot": f"{boot:08x}",
        "window": 12_000,
    }


def test_a_clock_that_was_set_back_is_stated_in_the_log(bench: Bench) -> None:
    disk = Disk()
    with bench.running(disk.open, Settled()):
        bench.clock.now_us -= 3_600_000_000
    assert [leaf.kind for leaf in disk.leaves()] == ["log.start", CLOCK_STEP, HEARTBEAT, "log.stop"]
    assert disk.leaves()[1].clear["step"] == -3_600_000_000
    assert_books_hold(disk)


def test_a_disk_that_stalls_is_admitted_and_what_came_meanwhile_is_in_the_books(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled) as writer:
        gate.close()
        writer.append("decision", {}, None, strict=False)
        gate.wait()
        bench.clock.now_us += 45_000_000
        writer.append("decision", {}, None, strict=False)
        gate.open()
        settled.wait(2)
    beats = of_kind(disk, HEARTBEAT)
    assert [leaf.clear.get("paused") for leaf in beats] == [45_000_000, None]
    assert counts(beats[0]) == [2, 2, 0, 0]
    assert_books_hold(disk)


def test_every_file_is_closed_with_the_books_of_its_run(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled, Limits(file_bytes=3_000)) as writer:
        for n in range(40):
            writer.append("decision", {"n": n}, b"x" * 50, strict=False)
            settled.wait(n + 1)
    files = [stored.leaves() for stored in disk.files.values()]
    assert len(files) > 3
    for leaves in files:
        assert [leaf.kind for leaf in leaves[-2:]] == [HEARTBEAT, "log.stop"]
        assert leaves[-2].clear["run"] == [sum(leaf.kind == "decision" for leaf in leaves), 0]
    assert counts(files[-1][-2]) == [40, 40, 0, 0]
    assert_books_hold(disk)


def test_what_failed_with_a_file_is_unrecorded_in_the_books_of_the_next(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled) as writer:
        writer.append("decision", {}, None, strict=True, counted=1)
        settled.wait(1)
        gate.fails = 1
        writer.append("decision", {}, None, strict=True, counted=2)
        settled.wait(2)
        with pytest.raises(AuditError):
            writer.append("decision", {}, None, strict=True, counted=3)
        writer.unrecorded(3)
        wait_until(lambda: writer.status().poisoned is None)
        writer.append("decision", {}, None, strict=True, counted=4)
        settled.wait(3)
    (beat,) = of_kind(disk, HEARTBEAT)
    assert counts(beat) == [4, 2, 0, 2]
    assert beat.clear["run"] == [1, 0]
    assert_books_hold(disk)


def test_the_time_without_a_file_is_no_pause_of_the_next_run(bench: Bench) -> None:
    gate, settled = Gate(), Settled()
    disk = Disk(gate)
    with bench.running(disk.open, settled) as writer:
        gate.fails = 1
        writer.append("decision", {}, None, strict=True)
        settled.wait(1)
        bench.clock.now_us += 3_600_000_000
        with pytest.raises(AuditError):
            writer.append("decision", {}, None, strict=True)
        wait_until(lambda: writer.status().poisoned is None)
    assert ["paused" in leaf.clear for leaf in of_kind(disk, HEARTBEAT)] == [False, False]
    assert_books_hold(disk)


def test_what_is_no_decision_is_in_no_book(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    with bench.running(disk.open, settled) as writer:
        writer.append("context", {}, None, strict=False)
        writer.append("answer.changed", {"d": "deny"}, None, strict=False, same_id="0" * 32)
        settled.wait(2)
    assert counts(of_kind(disk, HEARTBEAT)[0]) == [0, 0, 0, 0]


class _Ticking(Clock):
    """Moves on by itself whenever it is looked at."""

    def monotonic_us(self) -> int:
        self.now_us += 1_000
        return super().monotonic_us()


ROUNDS = 40


def test_heartbeats_balance_at_their_very_moment_while_others_append(tmp_path: Path, keys: LogKeys) -> None:
    disk, settled = Disk(), Settled()
    limits = Limits(heartbeat_us=5_000, press_us=0, file_bytes=200_000)
    with Bench(tmp_path, keys, _Ticking()).running(disk.open, settled, limits) as writer:

        def work(outcome: str) -> None:
            for n in range(1_500):
                clear: dict[str, Json] = {"d": outcome, "rc": f"r{n % 3}"}
                if n % 100 == 0 or not writer.join(clear):
                    writer.append("decision", clear, None, strict=n % 100 == 0)
                writer.append("context", {}, None, strict=False)

        threads = [threading.Thread(target=work, args=(outcome,)) for outcome in ("allow", "deny", "deny")]
        for thread in threads:
            thread.start()
        for _ in range(ROUNDS):  # each is a group of its own at least, and so a look at the clock
            receipt = writer.append("decision", {"d": "allow"}, None, strict=True)
            while not receipt.settled:
                time.sleep(0.0001)
        for thread in threads:
            thread.join()
    beats = of_kind(disk, HEARTBEAT)
    assert len(beats) > ROUNDS // 4
    assert counts(beats[-1])[0] == 4_500 + ROUNDS
    assert counts(beats[-1])[3] == 0
    assert_books_hold(disk)


# ---------------------------------------------------------------- the service


def _served(log: Callable[[Receipts], MemoryLog], inquiries: Sequence[Inquiry]) -> tuple[MemoryLog, list[Decision]]:
    async def run() -> tuple[MemoryLog, list[Decision]]:
        receipts = Receipts(asyncio.get_running_loop())
        memory = log(receipts)
        service = _service(memory, receipts)
        return memory, [await service.decide(each, NOW * 1_000_000, 1.0) for each in inquiries]

    return asyncio.run(run())


def _service(log: MemoryLog, receipts: Receipts) -> DecisionService:
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False)
    return DecisionService(evaluator, log, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic)


def test_the_service_hands_its_count_over_with_each_decision() -> None:
    log, _ = _served(lambda receipts: MemoryLog(receipts.settled), [HEALTH, NOWHERE, HEALTH])
    assert [leaf.counted for leaf in log.decisions()] == [1, 2, 3]
    assert log.forgone == []


def test_the_service_tells_of_a_decision_that_the_log_refused() -> None:
    log, decisions = _served(lambda receipts: MemoryLog(receipts.settled, refuses=True), [HEALTH, NOWHERE])
    assert [decision.by for decision in decisions] == [("audit",)] * 2
    assert log.forgone == [1, 2]


def test_a_decision_whose_record_cannot_even_be_made_is_told_of_too() -> None:
    broken = Inquiry(
        service="ledger",
        method="GET",
        path="/health",
        host="ledger.example",
        headers=((1, 2),),  # type: ignore[arg-type]  # on purpose
        gateway="edge",
    )

    class Broken(MemoryLog):
        def append(self, *_: object, **__: object) -> Receipt:
            raise TypeError("not JSON")

    log, decisions = _served(lambda receipts: Broken(receipts.settled), [broken])
    assert [decision.by for decision in decisions] == [("audit",)]
    assert log.forgone == [1]


class _Nameless(MemoryLog):
    """Its refusals join others, and have no id until somebody settles them."""

    def join(self, clear: Mapping[str, Json], counted: int | None = None) -> Receipt | None:
        self.stalls = True
        receipt = super().join(clear, counted)
        assert receipt is not None
        receipt.id, self.stalls = "", False
        return receipt

    def settle(self, error: AuditError | None) -> None:
        receipt = self.leaves[0].receipt
        receipt.id, receipt.error, receipt.settled = ("5" * 32 if error is None else ""), error, True
        self.on_settled([receipt])


def _late(
    error: AuditError | None, budget_s: float | None, *, cancelled: bool = False, settled_first: bool = False
) -> tuple[Decision | None, MemoryLog]:
    """A refusal that is to stand in an aggregate, and is settled only after its answer left."""

    async def run() -> tuple[Decision | None, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = _Nameless(receipts.settled, pressed=True)
        task = asyncio.ensure_future(_service(log, receipts).decide(NOWHERE, NOW * 1_000_000, budget_s))
        await asyncio.sleep(0)
        if settled_first:
            log.settle(error)
        if cancelled:
            task.cancel()
        (answer,) = await asyncio.gather(task, return_exceptions=True)
        assert settled_first or [leaf.kind for leaf in log.leaves] == ["joined"]
        if not settled_first:
            log.settle(error)
        await asyncio.sleep(0.01)
        return answer if isinstance(answer, Decision) else None, log

    return asyncio.run(run())


@pytest.mark.parametrize("budget_s", [0.01, -1.0], ids=["while_it_waits", "before_it_waits"])
def test_a_refusal_that_comes_too_late_has_no_id_and_is_corrected_once_its_record_has_one(budget_s: float) -> None:
    decision, log = _late(None, budget_s)
    assert decision is not None
    assert (decision.outcome, decision.by, decision.id) == ("deny", ("deadline",), None)
    assert [(leaf.kind, leaf.clear.get("of")) for leaf in log.leaves[1:]] == [("answer.changed", "5" * 32)]


def test_a_refusal_that_nobody_waits_for_is_corrected_once_its_record_has_an_id() -> None:
    _, log = _late(None, None, cancelled=True)
    assert [(leaf.kind, leaf.clear.get("of")) for leaf in log.leaves[1:]] == [("answer.changed", "5" * 32)]


def test_a_refusal_whose_record_came_to_nothing_is_not_corrected() -> None:
    _, log = _late(AuditError("audit.unavailable", "the disk is gone"), 0.01)
    assert [leaf.kind for leaf in log.leaves] == ["joined"]


def test_a_refusal_that_is_settled_while_its_caller_goes_is_corrected_at_once() -> None:
    _, log = _late(None, None, cancelled=True, settled_first=True)
    assert [(leaf.kind, leaf.clear.get("of")) for leaf in log.leaves[1:]] == [("answer.changed", "5" * 32)]


def test_an_aggregated_refusal_has_the_id_that_its_number_came_to() -> None:
    decision, log = _late(None, None, settled_first=True)
    assert decision is not None
    assert (decision.by, decision.id) == (("route",), "5" * 32)
    assert [leaf.kind for leaf in log.leaves] == ["joined"]


def test_who_listens_to_a_receipt_that_is_settled_is_told_at_once_and_nothing_is_kept() -> None:
    async def run() -> list[str]:
        receipts, told = Receipts(asyncio.get_running_loop()), list[str]()
        settled = Receipt("", strict=False, settled=True)
        receipts.listen(settled, lambda: told.append("at once"))
        receipts.settled([settled])
        await asyncio.sleep(0.01)
        return told

    assert asyncio.run(run()) == ["at once"]


def test_the_books_of_a_service_and_its_writer_balance_under_load(bench: Bench) -> None:
    """Service and writer together, faults included: whatever was answered is in the books, and each allow in a leaf."""
    gate = Gate()
    disk = Disk(gate)
    limits = Limits(heartbeat_us=500, press_us=0, aggregated=40, records=120, reopen_us=0)

    async def run() -> list[Decision]:
        receipts = Receipts(asyncio.get_running_loop())
        with bench.running(disk.open, receipts.settled, limits) as writer:
            evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False)
            service = DecisionService(
                evaluator, writer, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic
            )
            answers: list[Decision] = []
            for at in range(12):
                gate.fails = at % 4 == 3
                asked = [service.decide(HEALTH if n % 3 else NOWHERE, NOW * 1_000_000, 5.0) for n in range(200)]
                answers += await asyncio.gather(*asked)
            return answers

    answers = asyncio.run(run())
    (last,) = of_kind(disk, HEARTBEAT)[-1:]
    assert last.clear["answered"] == len(answers) == 2_400
    outcomes = {decision.by for decision in answers}
    assert {("audit",), ("route",)} < outcomes
    leaves = {leaf.id: leaf for leaf in disk.leaves()}
    for decision in answers:
        if decision.outcome == "allow":
            assert decision.id is not None
            assert leaves[decision.id].clear["d"] == "allow"
    assert_books_hold(disk)


def test_a_file_that_cannot_be_opened_again_keeps_the_books(bench: Bench) -> None:
    disk, settled = Disk(), Settled()
    broken = threading.Event()

    def open_file(path: Path) -> LogFile:
        if broken.is_set():
            raise OSError("no room")
        return disk.open(path)

    with bench.running(open_file, settled, Limits(file_bytes=500, reopen_us=0)) as writer:
        broken.set()
        for n in range(1, 5):
            try:
                writer.append("decision", {"x": "x" * 400}, None, strict=False, counted=n)
            except AuditError:
                writer.unrecorded(n)
        wait_until(lambda: writer.status().poisoned is not None and writer.status().pending == 0)
        broken.clear()
        while writer.status().poisoned is not None:
            with pytest.raises(AuditError):
                writer.append("context", {}, None, strict=False)
            time.sleep(0.001)
        writer.append("decision", {}, None, strict=False, counted=5)
    last = of_kind(disk, HEARTBEAT)[-1]
    assert counts(last)[0] == 5
    assert_books_hold(disk)
