"""Sessions that end at rest: what counts as a use, who knows of it, and that nothing but a use or a login wakes one."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp import sessions as module
from pdp.config_identity import SharedConfig
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, Session, session_key
from pdp.sessions import MOST_SESSIONS, SILENT_S, TELL_WITHIN_S, WOKEN_AT_ONCE, Sessions
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.shared_state.model import COALESCED_US, SESSION_BYTES, Store, StoreError
from pdp.shared_state.sqlite import DATABASE, SqliteStore, connect
from pdp.standing import standing_of
from tests.support.issuing import TestIssuer
from tests.support.process import eventually

NOW = 1_800_000_000
US = 1_000_000
IDLE_S, LEEWAY_S = 600, 30
LIMIT_S = IDLE_S + LEEWAY_S
LONG_S = 20.0
"""So long a store may take that is not meant to be late, on a busy machine too."""


def session(sid: str = "s1", *, issued: int = 0, login: int | None = None) -> Session:
    """A session whose token was issued, or whose login was, so many seconds after `NOW`."""
    began = issued if login is None else login
    return Session(session_key("https://id.example", sid), IDLE_S, LEEWAY_S, NOW + began, by_login=login is not None)


GOOD, IDLE, UNKNOWN = "good", "token.idle", "token.session_unknown"


class Worker:
    """One worker, its event loop, and its clock, which stands still but between the calls of `tells`."""

    def __init__(self, open_store: Callable[[], Store], capacity: int = MOST_SESSIONS) -> None:
        self.monotonic = 0.0
        self.sessions = Sessions(open_store, capacity=capacity, monotonic=lambda: self.monotonic)
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self.sessions.close()
        self._loop.close()

    def says(self, at: int, of: Session | None = None) -> str:
        """What is said at once, so many seconds after `NOW`."""
        return self.sessions.refused(of or session(), (NOW + at) * US) or GOOD

    def hears(self, at: int, of: Session | None = None, within_s: float = LONG_S) -> str:
        """What is said to a call that waits for the store, as the service lets it."""

        async def said() -> str:
            first = self.says(at, of)
            if first == UNKNOWN and await self.sessions.answered(within_s):
                return self.says(at, of)
            return first

        return self._loop.run_until_complete(said())

    def tells(self, at: int, of: Session | None = None) -> str:
        """The same, once the store has taken what it was told, at a time when no earlier failure counts."""
        self.monotonic += 10
        said = self.hears(at, of)
        self.settles()
        return said

    def settles(self) -> None:
        """Wait until the store has done all that it is to do."""
        shared = self.sessions._shared
        eventually(lambda: not shared._questions and not shared._untold, LONG_S)


Work = Callable[..., Worker]


@pytest.fixture
def workers() -> Iterator[Work]:
    """Makes workers that are ended after the test."""
    with ExitStack() as stack:

        def make(
            open_store: Callable[[], Store] = lambda: MemoryStore(Shelf()),
            capacity: int = MOST_SESSIONS,
        ) -> Worker:
            made = Worker(open_store, capacity)
            stack.callback(made.close)
            return made

        yield make


OTHER = session("s2", issued=LIMIT_S + 1)
STEPS: dict[str, list[tuple[int, Session, str]]] = {
    "a session that is used goes on": [(at, session(), GOOD) for at in range(0, 10 * LIMIT_S, LIMIT_S)],
    "a session that rested ends": [(0, session(), GOOD), (LIMIT_S + 1, session(), IDLE)],
    "a session that nobody knows is as old as its token": [(LIMIT_S, session(), GOOD)],
    "a session that nobody knows, with an old token, has ended": [(LIMIT_S + 1, session(), IDLE)],
    "a session that nobody knows is as old as its login": [(LIMIT_S, session(login=0), GOOD)],
    "a session that nobody knows, whose login was long ago, has ended": [(LIMIT_S + 1, session(login=0), IDLE)],
    "a token whose issuer is ahead is as good as one issued now": [(0, session(issued=30), GOOD)],
    "to be refused is no use": [
        (0, session(), GOOD),
        *((LIMIT_S + after, session(), IDLE) for after in range(1, 2000, 100)),
    ],
    "a later token does not wake a session": [
        (0, session(), GOOD),
        (LIMIT_S + 1, session(), IDLE),
        (LIMIT_S + 2, session(issued=LIMIT_S + 2), IDLE),
    ],
    "a later token does not wake a session that rested unasked": [
        (0, session(), GOOD),
        (LIMIT_S + 1, session(issued=LIMIT_S + 1), IDLE),
    ],
    "a later token does not wake a session that was idle when it was first seen": [
        (LIMIT_S + 1, session(), IDLE),
        (LIMIT_S + 2, session(issued=LIMIT_S + 2), IDLE),
        (2 * LIMIT_S, session(issued=2 * LIMIT_S), IDLE),
    ],
    "a later login wakes it, for older tokens too": [
        (0, session(login=-60), GOOD),
        (LIMIT_S + 1, session(login=-60), IDLE),
        (LIMIT_S + 9, session(login=LIMIT_S + 5), GOOD),
        (LIMIT_S + 10, session(login=-60), GOOD),
        (2 * LIMIT_S + 10, session(), GOOD),
        (3 * LIMIT_S + 11, session(login=LIMIT_S + 5), IDLE),
    ],
    "a login that is itself too long ago wakes nothing": [
        (0, session(login=-60), GOOD),
        (3 * LIMIT_S, session(login=LIMIT_S), IDLE),
    ],
    "what was used is younger than its login": [
        (0, session(login=0), GOOD),
        (LIMIT_S, session(login=0), GOOD),
        (2 * LIMIT_S, session(login=0), GOOD),
    ],
    "a clock that goes back wakes nothing": [
        (0, session(), GOOD),
        (LIMIT_S + 1, session(), IDLE),
        (1, session(), IDLE),
        (-10_000, session(), IDLE),
        (1, session(issued=1), IDLE),
    ],
    "a clock that goes back makes no session younger that nobody asked for": [
        (0, session(), GOOD),
        (LIMIT_S + 1, OTHER, GOOD),
        (5, session(), IDLE),
        (5, OTHER, GOOD),
    ],
    "a use while the clock is back is one at the latest time": [
        (100, session(), GOOD),
        (-50, session(), GOOD),
        (100 + LIMIT_S, session(), GOOD),
        (50, session(), GOOD),
        (101 + 2 * LIMIT_S, session(), IDLE),
    ],
    "a login of before the clock went back is as old as it was": [
        (LIMIT_S + 1, OTHER, GOOD),
        (5, session(login=0), IDLE),
    ],
    "one session says nothing of another": [
        (0, session(), GOOD),
        (LIMIT_S + 1, OTHER, GOOD),
        (LIMIT_S + 1, session(), IDLE),
        (2 * LIMIT_S + 1, OTHER, GOOD),
    ],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_what_becomes_of_a_session(workers: Work, steps: list[tuple[int, Session, str]]) -> None:
    worker = workers()
    assert [worker.tells(at, of) for at, of, _ in steps] == [said for _, _, said in steps]


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_what_becomes_of_a_session_where_the_store_alone_remembers(
    workers: Work, steps: list[tuple[int, Session, str]]
) -> None:
    """As above: before each step another session takes the place of the one that is known."""
    worker, login = workers(capacity=1), session("another", login=10**9)
    for at, of, said in steps:
        assert worker.tells(at, login) == GOOD
        assert worker.tells(at, of) == said


def test_a_session_is_known_by_all_of_its_issuer_and_its_name() -> None:
    names = [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("a", "b"), ("a", "b\0"), ("\N{GRINNING FACE}", "c")]
    keys = [session_key(*each) for each in names]
    assert len(set(keys)) == len(names)
    assert {len(key) for key in keys} == {SESSION_BYTES}


# ---------------------------------------------------------------- what workers share


@pytest.fixture(params=["one file", "one store in memory"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens the store that workers share."""
    shelf = Shelf()
    return (lambda: SqliteStore(tmp_path)) if request.param == "one file" else (lambda: MemoryStore(shelf))


def test_a_use_at_one_worker_is_one_at_the_other(workers: Work, shared: Callable[[], Store]) -> None:
    one, other, third = workers(shared), workers(shared), workers(shared)
    assert (one.tells(0), other.tells(0)) == (GOOD, GOOD)
    for at in range(600, 3_000, 600):
        assert one.tells(at) == GOOD
    assert (other.tells(2_700), third.tells(2_700)) == (GOOD, GOOD)
    assert one.tells(2_700 + LIMIT_S) == GOOD
    assert [each.tells(2_701 + 2 * LIMIT_S) for each in (one, other, third)] == [IDLE, IDLE, IDLE]


def test_what_ended_has_ended_for_every_worker_and_after_a_restart(workers: Work, shared: Callable[[], Store]) -> None:
    one, other = workers(shared), workers(shared)
    assert (one.tells(LIMIT_S + 1), other.tells(LIMIT_S + 1)) == (IDLE, IDLE)
    later = session(issued=LIMIT_S + 1)
    assert [each.tells(LIMIT_S + 2, later) for each in (one, other, workers(shared))] == [IDLE, IDLE, IDLE]


def test_a_login_at_one_worker_wakes_the_session_at_the_other(workers: Work, shared: Callable[[], Store]) -> None:
    one, other = workers(shared), workers(shared)
    assert (one.tells(0), other.tells(0), other.tells(LIMIT_S + 1)) == (GOOD, GOOD, IDLE)
    assert one.tells(LIMIT_S + 2, session(login=LIMIT_S + 2)) == GOOD
    assert other.tells(LIMIT_S + 7) == GOOD  # it asks again once in five seconds


def test_what_was_used_outlives_a_restart(workers: Work, shared: Callable[[], Store]) -> None:
    first = workers(shared)
    for at in (0, 600, 1_200):
        assert first.hears(at) == GOOD
    first.sessions.close()
    assert workers(shared).hears(1_200 + LIMIT_S) == GOOD


def test_uses_that_are_near_to_each_other_are_told_once(workers: Work) -> None:
    class Counting(MemoryStore):
        told: list[int] = []  # noqa: RUF012 - one store in this test

        def seen(self, session: bytes, at_us: int) -> None:
            self.told.append(at_us // US - NOW)
            super().seen(session, at_us)

    worker = workers(lambda: Counting(Shelf()))
    for at in (0, 1, 2, 4, 5, 6, 9, 10, 400, 401):
        assert worker.tells(at) == GOOD
    assert Counting.told == [0, 5, 10, 400]
    assert COALESCED_US == 5 * US


def test_a_store_whose_clock_is_ahead_says_nothing(workers: Work) -> None:
    shelf = Shelf()
    worker = workers(lambda: MemoryStore(shelf))
    for ahead, said in ((LEEWAY_S, GOOD), (LEEWAY_S + 1, UNKNOWN), (10_000, UNKNOWN)):
        of = session(f"ahead {ahead}")
        shelf.sessions[of.key] = (NOW + ahead) * US
        assert worker.hears(0, of) == said
    assert worker.hears(0, session("ahead 10000", login=0)) == GOOD
    assert [worker.hears(LIMIT_S + 1, session("ahead 10000")) for _ in range(2)] == [UNKNOWN, IDLE]


def test_a_session_that_is_over_here_is_asked_for_before_its_caller_is_refused(workers: Work) -> None:
    shelf = Shelf()
    worker = workers(lambda: MemoryStore(shelf))
    assert worker.tells(0) == GOOD
    MemoryStore(shelf).seen(session().key, (NOW + LIMIT_S) * US)  # as another host does
    assert worker.says(LIMIT_S + 1) == UNKNOWN
    assert worker.hears(LIMIT_S + 1) == GOOD
    assert worker.hears(3 * LIMIT_S) == IDLE
    assert worker.says(3 * LIMIT_S + 4) == IDLE  # the store said so lately


# ---------------------------------------------------------------- a store that fails


def test_while_the_store_fails_what_is_known_goes_on_and_nothing_else(workers: Work) -> None:
    shelf = Shelf()
    worker, stranger = workers(lambda: MemoryStore(shelf)), session("s9", issued=601)
    assert worker.tells(0) == GOOD
    shelf.broken = "the disk is gone"
    assert [worker.tells(at) for at in (100, 600)] == [GOOD, GOOD]
    assert worker.tells(600, stranger) == UNKNOWN
    assert worker.tells(600, session("s8", login=100)) == GOOD  # whatever the store says, it was used since
    assert "the disk is gone" in worker.sessions.misgiving()
    assert worker.tells(601 + LIMIT_S) == UNKNOWN  # another host may know better
    assert worker.tells(601 + LIMIT_S, session(issued=601 + LIMIT_S)) == IDLE
    assert worker.sessions.misgiving()
    shelf.broken = None
    assert worker.tells(601 + LIMIT_S, session("s7", issued=LIMIT_S)) == GOOD
    assert worker.tells(601 + LIMIT_S, stranger) == GOOD
    assert worker.sessions.misgiving() == ""


def test_what_the_store_did_not_take_is_told_with_a_later_use(workers: Work) -> None:
    shelf = Shelf()
    worker = workers(lambda: MemoryStore(shelf))
    assert worker.tells(0) == GOOD
    shelf.broken = "the disk is gone"
    assert worker.tells(300) == GOOD
    shelf.broken = None
    assert list(shelf.sessions.values()) == [NOW * US]
    assert worker.tells(305) == GOOD
    assert list(shelf.sessions.values()) == [(NOW + 305) * US]


def test_a_store_that_fails_as_no_store_may_is_one_that_fails(workers: Work) -> None:
    class Odd(MemoryStore):
        def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
            raise RuntimeError("canary")

        def seen(self, session: bytes, at_us: int) -> None:
            raise RuntimeError("canary")

    worker = workers(lambda: Odd(Shelf()))
    assert worker.tells(0) == UNKNOWN
    assert worker.tells(0, session(login=0)) == GOOD
    assert worker.tells(400) == GOOD
    assert "RuntimeError" in worker.sessions.misgiving()
    assert "canary" not in worker.sessions.misgiving()


def test_a_file_that_is_gone_is_a_store_that_fails(workers: Work, tmp_path: Path) -> None:
    worker = workers(lambda: SqliteStore(tmp_path))
    assert worker.tells(0) == GOOD
    (tmp_path / DATABASE).unlink()
    assert (worker.tells(100), worker.tells(100, session("s2"))) == (GOOD, UNKNOWN)
    assert "deleted or replaced" in worker.sessions.misgiving()


def test_a_store_that_cannot_be_opened_is_an_error_at_once() -> None:
    def fails() -> Store:
        raise StoreError("S111", "the store does not answer")

    before = set(threading.enumerate())
    with pytest.raises(StoreError, match="does not answer"):
        Sessions(fails)
    assert set(threading.enumerate()) <= before


def test_a_store_that_is_gone_is_asked_once_in_a_second_and_nobody_waits_for_it(workers: Work) -> None:
    shelf = Shelf(broken="the disk is gone")
    store = Late(shelf)
    worker = workers(lambda: store)
    assert worker.hears(0) == UNKNOWN
    for number in range(100):
        assert worker.hears(0, session(f"of the same second {number}")) == UNKNOWN
    assert len(store.asked) == 1
    worker.monotonic += SILENT_S
    shelf.broken = None
    assert worker.hears(0, session("later")) == GOOD
    assert worker.hears(0, session("of the same second 0")) == GOOD
    assert worker.hears(4) == UNKNOWN  # what failed is asked again
    assert worker.hears(5) == GOOD  # after five seconds
    assert [len(each) for each in store.asked] == [1, 1, 1, 1]


def test_a_store_that_cannot_be_told_is_still_asked(workers: Work) -> None:
    class Full(MemoryStore):
        def seen(self, session: bytes, at_us: int) -> None:
            raise StoreError("S111", "the disk is full")

    worker = workers(lambda: Full(Shelf()))
    for number in range(20):
        assert worker.hears(0, session(str(number))) == GOOD
        worker.settles()
    assert "the disk is full" in worker.sessions.misgiving()


# ---------------------------------------------------------------- a store that is late


class Late(MemoryStore):
    """Answers, and takes what it is told, only while `open`; counts what it does."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.open = threading.Event()
        self.open.set()
        self.asked: list[Sequence[bytes]] = []
        self.told = 0
        self.order: list[str] = []

    def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
        self.asked.append(sessions)
        self.order.append("asked")
        assert self.open.wait(LONG_S)
        return super().last_seen(sessions)

    def seen(self, session: bytes, at_us: int) -> None:
        self.told += 1
        self.order.append("told")
        assert self.open.wait(LONG_S)
        super().seen(session, at_us)


def _late(workers: Work) -> tuple[Late, Worker]:
    store = Late(Shelf())
    worker = workers(lambda: store)
    store.open.clear()
    return store, worker


def test_a_late_store_refuses_once_and_its_answer_is_there_for_the_next_call(workers: Work) -> None:
    store, worker = _late(workers)
    assert (worker.says(0), worker.says(1), worker.hears(1, within_s=0.01)) == (UNKNOWN, UNKNOWN, UNKNOWN)
    assert worker.sessions.misgiving() == ""
    worker.monotonic += SILENT_S
    assert "did not answer within 1 s" in worker.sessions.misgiving()
    store.open.set()
    worker.settles()
    assert worker.sessions.misgiving() == ""
    assert worker.says(600) == GOOD  # however much later that is
    assert store.asked == [[session().key]]


def test_nobody_waits_for_a_store_that_owes_an_answer_for_a_second(workers: Work) -> None:
    store, worker = _late(workers)
    assert worker.says(0) == UNKNOWN
    worker.monotonic += SILENT_S
    assert {worker.hears(0, of) for of in [session(), *(session(str(number)) for number in range(50))]} == {UNKNOWN}
    store.open.set()
    worker.settles()
    assert {worker.hears(0, session(str(number))) for number in range(50)} == {GOOD}


def test_all_that_is_asked_goes_before_what_is_to_be_told(workers: Work) -> None:
    store, worker = _late(workers)
    for number in range(50):
        assert worker.says(0, session(f"told {number}", login=0)) == GOOD
    eventually(lambda: store.told == 1, LONG_S)
    for number in range(50):
        assert worker.says(0, session(f"asked {number}")) == UNKNOWN
    store.open.set()
    worker.settles()
    assert store.order == ["told", "asked", *["told"] * 49]
    assert len(store.asked[0]) == 50


def test_a_question_stays_until_it_is_answered_however_many_are_asked(workers: Work) -> None:
    store, worker = _late(workers)
    many = [session(str(number)) for number in range(3_000)]
    for _ in range(3):
        assert {worker.says(0, of) for of in many} == {UNKNOWN}
    store.open.set()
    worker.settles()
    assert {worker.says(0, of) for of in many} == {GOOD}
    assert len(store.asked) <= 4
    assert sorted(key for keys in store.asked for key in keys) == sorted(of.key for of in many)


def test_an_answer_that_nobody_heard_for_long_is_asked_for_again(workers: Work) -> None:
    store, worker = _late(workers)
    assert worker.says(0) == UNKNOWN
    store.open.set()
    worker.settles()
    MemoryStore(store._shelf).seen(session().key, (NOW + LIMIT_S) * US)  # it was used elsewhere since
    assert worker.hears(LIMIT_S + 1) == GOOD
    assert len(store.asked) == 2


def test_what_is_asked_and_what_is_untold_is_bounded(workers: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ASKED", 3)
    monkeypatch.setattr(module, "MOST_UNTOLD", 4)
    store, worker = _late(workers)
    for number in range(20):
        assert worker.says(0, session(f"asked {number}")) == UNKNOWN
        assert worker.says(0, session(f"told {number}", login=0)) == GOOD
    assert list(worker.sessions._asked) == [session(f"asked {number}").key for number in range(3)]
    assert len(worker.sessions._shared._untold) <= 4
    assert worker.hears(0, session("asked 19")) == UNKNOWN  # it is not asked, and nobody waits for it
    store.open.set()
    worker.settles()
    assert [worker.says(0, session(f"asked {number}")) for number in (0, 1, 2)] == [GOOD] * 3
    assert worker.tells(1, session("told 19", login=0)) == GOOD  # and is told now: the store had no room for it
    assert session("told 19").key in store._shelf.sessions


def test_what_failed_is_bounded(workers: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ASKED", 3)
    worker = workers(lambda: MemoryStore(Shelf(broken="the disk is gone")))
    for number in range(20):
        assert worker.tells(0, session(str(number))) == UNKNOWN
    assert len(worker.sessions._failed) == 3


def test_who_waits_is_bounded_and_nobody_who_gave_up_stays(workers: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    store, worker = _late(workers)

    async def waits() -> tuple[str, bool, bool]:
        said = worker.says(0)
        first = asyncio.ensure_future(worker.sessions.answered(LONG_S))
        await asyncio.sleep(0)
        second = await worker.sessions.answered(LONG_S)
        store.open.set()
        return said, await first, second

    assert worker._loop.run_until_complete(waits()) == (UNKNOWN, True, False)
    store.open.clear()
    assert worker.hears(0, session("another"), within_s=0.001) == UNKNOWN
    assert worker.sessions._waiting == 0
    assert not worker.sessions._last or not worker.sessions._last.waiting
    store.open.set()


def test_who_is_cancelled_while_it_waits_is_forgotten(workers: Work) -> None:
    store, worker = _late(workers)

    async def cancelled() -> None:
        assert worker.says(0) == UNKNOWN
        waiting = asyncio.ensure_future(worker.sessions.answered(LONG_S))
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting

    worker._loop.run_until_complete(cancelled())
    assert worker.sessions._waiting == 0
    store.open.set()
    assert worker.hears(0) == GOOD


@pytest.mark.parametrize("within_s", [0.0, -1.0], ids=["none", "less than none"])
def test_without_time_nobody_waits(workers: Work, within_s: float) -> None:
    store, worker = _late(workers)
    assert worker.hears(0, within_s=within_s) == UNKNOWN
    store.open.set()
    worker.settles()
    assert worker.hears(0, within_s=within_s) == GOOD


def test_thousands_that_are_not_known_after_a_restart_all_pass_and_hold_the_loop_a_few_at_a_time(workers: Work) -> None:
    """3,000 sessions that the store alone knows, their tokens issued too long ago to speak for them: every call passes
    by its second look, and no turn of the loop lets more than some go on.
    """
    shelf = Shelf(sessions={session(str(number)).key: NOW * US for number in range(3_000)})
    store = Late(shelf)
    worker = workers(lambda: store)
    store.open.clear()
    turns, turn, looks = Counter[int](), [0], Counter[int]()

    async def call(number: int) -> None:
        of = session(str(number), issued=-5 * LIMIT_S)
        looks[number] += 1
        assert worker.says(0, of) == UNKNOWN
        assert await worker.sessions.answered(LONG_S)
        turns[turn[0]] += 1
        looks[number] += 1
        assert worker.says(0, of) == GOOD

    def count() -> None:
        turn[0] += 1
        counting[0] = asyncio.get_running_loop().call_soon(count)

    async def all_of_them() -> None:
        counting[0] = asyncio.get_running_loop().call_soon(count)
        calls = [asyncio.ensure_future(call(number)) for number in range(3_000)]
        await asyncio.sleep(0)
        store.open.set()
        await asyncio.gather(*calls)
        counting[0].cancel()

    counting: list[asyncio.Handle] = [worker._loop.call_soon(int)]
    worker._loop.run_until_complete(all_of_them())
    assert sum(turns.values()) == 3_000
    assert max(turns.values()) <= WOKEN_AT_ONCE
    assert set(looks.values()) == {2}
    assert len(store.asked) <= 4


# ---------------------------------------------------------------- the end


def test_an_end_tells_what_is_untold_and_asks_nothing_any_more(workers: Work) -> None:
    store, worker = _late(workers)
    worker.says(0, session("first"))
    eventually(lambda: len(store.asked) == 1, LONG_S)
    for number in range(20):
        worker.says(0, session(str(number)))
    worker.says(0, session(login=0))
    threading.Timer(0.05, store.open.set).start()
    worker.sessions.close()
    assert len(store.asked) == 1
    assert session().key in store._shelf.sessions
    assert worker.hears(0, session("later")) == UNKNOWN


def test_an_end_gives_up_telling_after_two_seconds(workers: Work) -> None:
    class Slower(MemoryStore):
        def seen(self, session: bytes, at_us: int) -> None:
            assert gate.wait(LONG_S)
            worker.monotonic += 0.5
            super().seen(session, at_us)

    gate, shelf = threading.Event(), Shelf()
    worker = workers(lambda: Slower(shelf))
    for number in range(100):
        assert worker.says(0, session(str(number), login=0)) == GOOD
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(worker.sessions.close)
        eventually(lambda: worker.sessions._shared._closing, LONG_S)
        gate.set()
        closing.result(LONG_S)
    assert len(shelf.sessions) <= 1 + TELL_WITHIN_S / 0.5


def test_an_end_gives_up_at_the_first_failure(workers: Work) -> None:
    store, worker = _late(workers)
    for number in range(100):
        assert worker.says(0, session(str(number), login=0)) == GOOD
    store._shelf.broken = "the disk is gone"
    threading.Timer(0.05, store.open.set).start()
    worker.sessions.close()
    assert store.told <= 2


def test_an_end_waits_for_no_store_that_does_not_come_back(workers: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_WITHIN_S", 0.05)
    store, worker = _late(workers)
    assert worker.says(0) == UNKNOWN
    eventually(lambda: len(store.asked) == 1, LONG_S)
    worker.sessions.close()
    assert worker.sessions._shared._thread.is_alive()
    store.open.set()
    monkeypatch.undo()
    worker.sessions.close()
    assert not worker.sessions._shared._thread.is_alive()


def test_the_end_of_a_service_does_not_hold_its_loop(tmp_path: Path) -> None:
    """The store's file is locked by another: what is told then takes two seconds to fail."""
    keys = read_key_set(json.dumps(TestIssuer().key_set()).encode())
    assert isinstance(keys, KeySet)
    issuer = Issuer("https://id.example", keys, frozenset({"ES256"}), frozenset({"at+jwt"}), session_idle_s=IDLE_S)

    async def state_in(_: object) -> None:
        """Nothing is stated."""

    async def run() -> int:
        turns = 0
        standing = standing_of(
            SharedConfig(), [issuer], tmp_path, state_in, monotonic=time.monotonic, clock_us=lambda: NOW * US
        )
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(standing)
            assert made.sessions is not None
            with closing(connect(tmp_path / DATABASE)) as other:
                other.execute("BEGIN IMMEDIATE")
                assert made.sessions.refused(session(login=0), NOW * US) is None
                ending = asyncio.ensure_future(stack.aclose())
                while turns < 100 and not ending.done():
                    await asyncio.sleep(0)
                    turns += 1
                other.execute("ROLLBACK")
                await ending
        return turns

    assert asyncio.run(run()) == 100
    with closing(SqliteStore(tmp_path)) as store:
        assert store.last_seen([session().key]) == {session().key: NOW * US}


def test_a_store_belongs_to_one_thread_from_its_opening_to_its_end(workers: Work) -> None:
    threads: list[tuple[str, int]] = []

    class Threaded(MemoryStore):
        def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
            threads.append(("asked", threading.get_ident()))
            return super().last_seen(sessions)

        def seen(self, session: bytes, at_us: int) -> None:
            threads.append(("told", threading.get_ident()))
            super().seen(session, at_us)

        def close(self) -> None:
            threads.append(("closed", threading.get_ident()))

    def opened() -> Store:
        threads.append(("opened", threading.get_ident()))
        return Threaded(Shelf())

    worker = workers(opened)
    worker.tells(0)
    worker.sessions.close()
    assert [what for what, _ in threads] == ["opened", "asked", "told", "closed"]
    assert len({thread for _, thread in threads}) == 1
    assert threads[0][1] != threading.get_ident()


# ---------------------------------------------------------------- bounds, and the law


def test_no_more_sessions_than_the_capacity_are_known_and_the_least_used_goes(workers: Work) -> None:
    shelf = Shelf()
    worker = workers(lambda: MemoryStore(shelf), capacity=2)
    first, second, third = (session(name) for name in ("first", "second", "third"))
    assert [worker.tells(0, each) for each in (first, second, first, third)] == [GOOD] * 4
    shelf.broken = "the disk is gone"
    assert [worker.tells(1, each) for each in (first, second, third)] == [GOOD, UNKNOWN, GOOD]
    assert len(worker.sessions._known) == 2


def test_sessions_that_ended_are_bounded_too(workers: Work) -> None:
    worker = workers(capacity=2)
    assert {worker.tells(LIMIT_S + 1, session(str(number))) for number in range(9)} == {IDLE}
    assert len(worker.sessions._known) == 2


def test_a_session_that_ended_asks_the_store_once_in_five_seconds(workers: Work) -> None:
    store = Late(Shelf())
    worker = workers(lambda: store)
    for at in range(100):
        assert worker.tells(LIMIT_S + 1 + at) == IDLE
    assert len(store.asked) == 20


STEP = st.tuples(
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([0, 1, 4, 5, 60, 300, 600, 629, 630, 631, 2_000, -1, -60, -631, -5_000]),
    st.none() | st.integers(-LEEWAY_S, 2 * LIMIT_S),
    st.integers(-LEEWAY_S, 2 * LIMIT_S),
    st.booleans(),
)
"""Which worker, which session, how far the clock moves, how long ago its login and its token were, whether the store
fails."""


class Told:
    """What the law knows: each worker's latest time, uses, and when tokens that were no use were issued."""

    def __init__(self) -> None:
        self.latest = [0, 0]
        self.uses: dict[bytes, list[tuple[int, int]]] = {}
        self.issued: set[tuple[bytes, int | None]] = set()
        self.failed: dict[tuple[int, bytes], int] = {}

    def check(self, worker: int, of: Session, said: str, stored: int | None, *, fails: bool) -> None:
        """Judge one answer. `stored` is what the store had, in seconds, and whether it could not be asked."""
        now, uses = self.latest[worker], self.uses.setdefault(of.key, [])
        lately_failed = now - self.failed.get((worker, of.key), now - 5) < 5
        if fails and not lately_failed and said != GOOD:
            self.failed[worker, of.key] = now
        fails = fails or lately_failed
        own = max((at for by, at in uses if by == worker), default=None)
        login = of.by_login and now - of.began_at <= LIMIT_S
        lately = any(now - at <= LIMIT_S and at <= now + LEEWAY_S for _, at in uses)
        no_use = stored is None or ((of.key, stored) in self.issued and stored not in {at for _, at in uses})
        new = own is None and not fails and no_use and -LEEWAY_S <= now - (stored or of.began_at) <= LIMIT_S
        # What a store was told of a session that ended counts for a worker whose clock is behind.
        behind = not fails and no_use and stored is not None and -LEEWAY_S <= now - stored <= LIMIT_S
        if said == GOOD:
            assert login or lately or new or behind
            uses.append((worker, now))
            return
        if said == IDLE:
            self.issued.add((of.key, of.began_at))
        assert not login
        assert not new
        assert own is None or now - own > LIMIT_S
        if said == UNKNOWN:
            assert fails or (stored is not None and stored > now + LEEWAY_S)


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=25))
def test_nothing_but_a_use_or_a_login_lately_lets_a_token_pass(
    steps: list[tuple[int, int, int, int | None, int, bool]],
) -> None:
    """For any uses at two workers, moves of the clock and failures of the store: a token passes only where its session
    was used, or its login was, within the limit before the latest time of its worker; the issue of a token counts only
    where no use is known. One that was used here, or logged in, so lately passes.
    """
    shelf, told, clock = Shelf(), Told(), NOW
    workers = [Worker(lambda: MemoryStore(shelf)) for _ in range(2)]
    try:
        for by, name, move, login, issued, fails in steps:
            clock += move
            told.latest[by] = max(told.latest[by], clock)
            of = session(str(name), issued=clock - NOW - issued, login=None if login is None else clock - NOW - login)
            stored_us = shelf.sessions.get(of.key)
            shelf.broken = "it fails" if fails else None
            said = workers[by].tells(clock - NOW, of)
            told.check(by, of, said, None if stored_us is None else stored_us // US, fails=fails)
    finally:
        for each in workers:
            each.close()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(-3_000, 3_000), st.integers(0, 3_000)), min_size=1, max_size=20))
def test_what_has_ended_stays_ended_whatever_the_clock_and_later_tokens_say(moves: list[tuple[int, int]]) -> None:
    """For any moves of the clock and any later tokens without a login: idle once, idle for ever."""
    worker, clock = Worker(lambda: MemoryStore(Shelf())), LIMIT_S + 1
    try:
        assert (worker.tells(0), worker.tells(clock)) == (GOOD, IDLE)
        for move, issued in moves:
            clock += move
            assert worker.tells(clock, session(issued=clock - issued)) == IDLE
    finally:
        worker.close()
