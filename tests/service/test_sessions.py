"""Sessions that end at rest: what counts as a use, who knows of it, and that nothing but a use or a login wakes one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp import sessions as module
from pdp.identity.jwt import Session, session_key
from pdp.sessions import MOST_SESSIONS, Sessions
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.shared_state.model import COALESCED_US, SESSION_BYTES, Store, StoreError
from pdp.shared_state.sqlite import DATABASE, SqliteStore

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


class Worker:
    """One worker; `says` is what it answers so many seconds after `NOW`, once the store has taken it."""

    def __init__(self, open_store: Callable[[], Store], capacity: int = MOST_SESSIONS, wait_s: float = LONG_S) -> None:
        self.sessions = Sessions(open_store, capacity=capacity, wait_s=wait_s)

    def says(self, at: int, of: Session | None = None) -> str:
        return self.sessions.refused(of or session(), (NOW + at) * US) or "good"

    def tells(self, at: int, of: Session | None = None) -> str:
        """The same, once the store has taken what it was told."""
        said = self.says(at, of)
        while self.sessions._shared._telling:
            self.sessions._shared._thread.submit(int).result()
        return said


Work = Callable[..., Worker]


@pytest.fixture
def workers() -> Iterator[Work]:
    """Makes workers that are ended after the test."""
    with ExitStack() as stack:

        def make(
            open_store: Callable[[], Store] = lambda: MemoryStore(Shelf()),
            capacity: int = MOST_SESSIONS,
            wait_s: float = LONG_S,
        ) -> Worker:
            made = Worker(open_store, capacity, wait_s)
            stack.callback(made.sessions.close)
            return made

        yield make


GOOD, IDLE, UNKNOWN = "good", "token.idle", "token.session_unknown"
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
    """As above, but for uses that are not told, being too near to others."""
    worker = workers(capacity=0)
    assert [worker.tells(at, of) for at, of, _ in steps] == [said for _, _, said in steps]


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
        assert first.says(at) == GOOD
    first.sessions.close()
    assert workers(shared).says(1_200 + LIMIT_S) == GOOD


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
        assert worker.says(0, of) == said
    assert worker.says(0, session("ahead 10000", login=0)) == GOOD
    assert worker.says(LIMIT_S + 1, session("ahead 10000")) == IDLE


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
    assert worker.tells(601 + LIMIT_S) == IDLE
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
        def last_seen(self, session: bytes) -> int | None:
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

    with pytest.raises(StoreError, match="does not answer"):
        Sessions(fails)
    assert not [each for each in threading.enumerate() if each.name.startswith("sessions")]


# ---------------------------------------------------------------- a store that is late


class Late(MemoryStore):
    """Answers, and takes what it is told, only while `open`."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.open = threading.Event()
        self.open.set()
        self.asked: list[bytes] = []

    def last_seen(self, session: bytes) -> int | None:
        self.asked.append(session)
        assert self.open.wait(LONG_S)
        return super().last_seen(session)

    def seen(self, session: bytes, at_us: int) -> None:
        assert self.open.wait(LONG_S)
        super().seen(session, at_us)

    def answered(self, worker: Worker) -> None:
        """Open, and wait until nothing is asked any more."""
        self.open.set()
        worker.sessions._shared._thread.submit(int).result()


def _late(workers: Work, wait_s: float = 0.01) -> tuple[Late, Worker]:
    store = Late(Shelf())
    worker = workers(lambda: store, wait_s=wait_s)
    store.open.clear()
    return store, worker


def test_a_late_store_refuses_once_and_its_answer_is_there_for_the_next_call(workers: Work) -> None:
    store, worker = _late(workers)
    assert (worker.says(0), worker.says(1)) == (UNKNOWN, UNKNOWN)
    assert "did not answer within 10 ms" in worker.sessions.misgiving()
    store.answered(worker)
    assert worker.sessions.misgiving() == ""
    assert worker.says(2) == GOOD
    assert store.asked == [session().key]


def test_nobody_waits_behind_a_question_that_is_open(workers: Work) -> None:
    store, worker = _late(workers, wait_s=0.5)
    assert worker.says(0) == UNKNOWN
    began = time.monotonic()
    assert {worker.says(0, session(str(number))) for number in range(50)} == {UNKNOWN}
    assert time.monotonic() - began < 0.5
    store.answered(worker)
    assert {worker.says(0, session(str(number))) for number in range(50)} == {GOOD}


def test_an_answer_that_nobody_heard_for_long_is_asked_for_again(workers: Work) -> None:
    store, worker = _late(workers)
    assert worker.says(0) == UNKNOWN
    store.answered(worker)
    MemoryStore(store._shelf).seen(session().key, NOW * US)  # it was used elsewhere since
    late = session(issued=LIMIT_S + 1)
    assert worker.says(LIMIT_S + 1, late) == IDLE
    assert len(store.asked) == 2


def test_what_is_asked_and_what_is_untold_is_bounded(workers: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ASKED", 3)
    monkeypatch.setattr(module, "MOST_UNTOLD", 4)
    store, worker = _late(workers, wait_s=0.001)
    for number in range(20):
        assert worker.says(0, session(f"asked {number}")) == UNKNOWN
        assert worker.says(0, session(f"told {number}", login=0)) == GOOD
    assert len(worker.sessions._asked) == 3
    assert len(worker.sessions._shared._untold) <= 4
    store.answered(worker)
    assert worker.tells(1, session("told 19", login=0)) == GOOD  # and is told now: the store had no room for it
    assert session("told 19").key in store._shelf.sessions


def test_a_late_store_keeps_nobody_from_ending(workers: Work) -> None:
    store, worker = _late(workers, wait_s=0.001)
    for number in range(20):
        worker.says(0, session(str(number)))
    worker.says(0, session(login=0))
    threading.Timer(0.05, store.open.set).start()
    worker.sessions.close()
    assert len(store.asked) <= 1
    assert session().key in store._shelf.sessions


def test_a_store_belongs_to_one_thread_from_its_opening_to_its_end(workers: Work) -> None:
    threads: list[tuple[str, int]] = []

    class Threaded(MemoryStore):
        def last_seen(self, session: bytes) -> int | None:
            threads.append(("asked", threading.get_ident()))
            return super().last_seen(session)

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

    def check(self, worker: int, of: Session, said: str, stored: int | None, *, fails: bool) -> None:
        """Judge one answer. `stored` is what the store had, in seconds, and whether it could not be asked."""
        now, uses = self.latest[worker], self.uses.setdefault(of.key, [])
        own = max((at for by, at in uses if by == worker), default=None)
        login = of.by_login and now - of.began_at <= LIMIT_S
        lately = any(now - at <= LIMIT_S and at <= now + LEEWAY_S for _, at in uses)
        no_use = stored is None or ((of.key, stored) in self.issued and stored not in {at for _, at in uses})
        new = own is None and not fails and no_use and -LEEWAY_S <= now - (stored or of.began_at) <= LIMIT_S
        if said == GOOD:
            assert login or lately or new
            uses.append((worker, now))
            return
        if said == IDLE:
            self.issued.add((of.key, of.began_at))
        assert not login
        assert not new
        assert own is None or now - own > LIMIT_S
        if said == UNKNOWN:
            assert own is None
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
            each.sessions.close()


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
        worker.sessions.close()
