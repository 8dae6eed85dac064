"""The stores: the same for every one, found by every process at the next decision, and whole whatever fails.

A real Redis and a real PostgreSQL stand in where this machine has them (tests/support/redis.py,
tests/casbin/postgres.py); what PostgreSQL alone does is in test_postgres_store.py.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.shared_state.following import Following
from pdp.shared_state.generation import Generation
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.shared_state.model import (
    COALESCED_US,
    GRACE_US,
    LATEST_US,
    LONGEST,
    MOST_SOUGHT,
    Kind,
    Revocation,
    Revocations,
    Store,
    StoreError,
)
from pdp.shared_state.sqlite import DATABASE, GENERATION, KEPT_US, SqliteStore, connect
from tests.casbin.postgres import postgres, postgres_programs
from tests.support.certificates import TestAuthority
from tests.support.process import eventually
from tests.support.redis import RedisServer, redis_program, redis_server

ROOT = Path(__file__).resolve().parent.parent.parent
ISSUER = "https://id.example.com"
NOW_US = 1_800_000_000_000_000
SESSION = bytes(range(32))
NEVER_S = 1e9
"""A look that is never due by time: what is found is found by the generation."""

WORKER = """
import os, signal, sqlite3, sys
from pathlib import Path
from pdp.shared_state.following import Following
from pdp.shared_state.model import Revocation, Revocations
from pdp.shared_state.sqlite import SqliteStore

def opened(place):
    if place.startswith("redis:"):
        from pdp.shared_state.redis import RedisStore
        return RedisStore(place, poll_s=0.05)
    if place.startswith("postgresql:"):
        from pdp.shared_state.postgres import PostgresStore
        return PostgresStore(place, poll_s=0.05)
    return SqliteStore(Path(place), opened=lambda path: sqlite3.connect(
        path, timeout=5, isolation_level=None, factory=Dying))

class Dying(sqlite3.Connection):
    at = None
    def execute(self, statement, *given):
        if self.at == "before " + statement.split()[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        done = super().execute(statement, *given)
        if self.at == "after " + statement.split()[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

store = opened(sys.argv[1])
following = Following(store, Revocations(), lambda: 0, recheck_s=1e9)
print("ready", flush=True)
for line in sys.stdin:
    verb, _, value = line.rstrip("\\n").partition(" ")
    said = "done"
    if verb == "die":
        Dying.at = value
    elif verb == "revoke":
        said = store.revoke(Revocation("session", "https://id.example.com", value, 1, None, "worker"))
    elif verb == "flood":
        for number in range(1_000_000):
            store.revoke(Revocation("session", "https://id.example.com", str(number), 1, None, "worker"))
            print(number, flush=True)
    elif verb == "decide":
        failure = following.keep_up(0.0)
        said = failure or following.index.refused("https://id.example.com", {"sid": value}, b"", None)
    elif verb == "seen":
        store.seen(bytes.fromhex(value), 1_800_000_000_000_000)
    elif verb == "end":
        store.close()
        break
    print(said, flush=True)
"""
"""A worker of its own process: does what each line says, and says what came of it."""


class Worker:
    def __init__(self, place: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, place],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.heard() == "ready"

    def told(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def asked(self, line: str) -> str:
        self.told(line)
        return self.heard()

    def killed(self) -> int:
        """Kill it, if it does not live no more, and say of what it died."""
        self._process.kill()
        return self.ended()

    def ended(self) -> int:
        with self._process:
            return self._process.wait(20)


@contextmanager
def workers(place: str, count: int) -> Iterator[list[Worker]]:
    started: list[Worker] = []
    try:
        started += (Worker(place) for _ in range(count))
        yield started
    finally:
        for worker in started:
            worker.killed()


def revoked(value: str, kind: Kind = "session", until_us: int | None = None, at_us: int = NOW_US) -> Revocation:
    return Revocation(kind, ISSUER, value, at_us, until_us, "test")


def decides(following: Following, session: str, now_s: float = 0.0) -> str | None:
    """What a decision on a session comes to, the store's failure first."""
    failure = following.keep_up(now_s)
    return failure.code if failure is not None else following.index.refused(ISSUER, {"sid": session}, b"", None)


def last_seen(store: Store, session: bytes) -> int | None:
    """When one session was last used, None where that is not known."""
    return store.last_seen([session]).get(session)


def following_of(store: Store) -> Following:
    return Following(store, Revocations(), lambda: NOW_US, recheck_s=NEVER_S)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    program = redis_program()
    if program is None:
        pytest.skip("no redis-server on the path or in a package here, or no driver")
    with redis_server(program, tmp_path_factory.mktemp("redis")) as server:
        yield server


def _redis_store(address: str, **given: Any) -> Store:
    from pdp.shared_state.redis import RedisStore

    return RedisStore(address, **{"poll_s": 0.05, **given})


def _emptied(server: RedisServer) -> str:
    from redis import Redis

    with closing(Redis.from_url(server.address)) as client:
        client.flushall()
    return server.address


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    programs = postgres_programs()
    if programs is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("no PostgreSQL on the path or in a package here, or no driver")
    with postgres(programs) as address:
        yield address


def _postgres_store(address: str, **given: Any) -> Store:
    from pdp.shared_state.postgres import PostgresStore

    return PostgresStore(address, **{"poll_s": 0.05, **given})


def _without_tables(address: str) -> str:
    import psycopg

    with psycopg.connect(address) as connection:
        connection.execute("DROP SCHEMA IF EXISTS portcullis CASCADE")
    return address


def _store_of(address: str, **given: Any) -> Store:
    return (_postgres_store if address.startswith("postgresql:") else _redis_store)(address, **given)


@pytest.fixture(params=["redis", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    """Of an empty store of several hosts."""
    if request.param == "redis":
        return _emptied(request.getfixturevalue("redis"))
    return _without_tables(request.getfixturevalue("postgresql"))


@pytest.fixture(params=["memory", "sqlite", "redis", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens one more store on the same data, of at most five revocations."""
    stores: list[Store] = []
    shelf = Shelf(most=5)
    address = ""
    if request.param == "redis":
        address = _emptied(request.getfixturevalue("redis"))
    elif request.param == "postgres":
        address = _without_tables(request.getfixturevalue("postgresql"))

    def another() -> Store:
        match request.param:
            case "memory":
                made: Store = MemoryStore(shelf)
            case "sqlite":
                made = SqliteStore(tmp_path, most=5)
            case _:
                made = _store_of(address, most=5)
        stores.append(made)
        return made

    yield another
    for store in stores:
        store.close()


def test_every_store_gives_what_changed_since_a_revision(opened: Callable[[], Store]) -> None:
    store = opened()
    assert store.revocations(0) == ([], 0)
    first = store.revoke(revoked("s-1"))
    second = store.revoke(revoked("s-2", until_us=NOW_US + 9))
    assert 0 < first < second
    assert store.revocations(0) == ([revoked("s-1"), revoked("s-2", until_us=NOW_US + 9)], second)
    assert store.revocations(first) == ([revoked("s-2", until_us=NOW_US + 9)], second)
    assert store.revocations(second) == ([], second)


def test_in_every_store_a_withdrawal_is_a_change(opened: Callable[[], Store]) -> None:
    store = opened()
    first = store.revoke(revoked("s-1"))
    assert store.withdraw(("session", ISSUER, "s-1"), NOW_US + 5, "me")
    changes, revision = store.revocations(first)
    assert (list(changes), revision > first) == ([Revocation("session", ISSUER, "s-1", NOW_US + 5, 0, "me")], True)
    assert not store.withdraw(("session", ISSUER, "s-1"), NOW_US, "me"), "it is withdrawn already"
    assert not store.withdraw(("session", ISSUER, "s-2"), NOW_US, "me"), "it never was revoked"
    assert store.revocations(revision) == ([], revision)


def test_in_every_store_a_withdrawal_of_nothing_is_a_mistake_that_changes_nothing(opened: Callable[[], Store]) -> None:
    store = opened()
    store.revoke(revoked("s-1"))
    for identity in (("session", ISSUER, ""), ("session", ISSUER, "\ud800"), ("user", ISSUER, "s-1")):
        with pytest.raises(ValueError, match="revocation"):
            store.withdraw(identity, NOW_US, "me")
    assert store.revocations(0) == ([revoked("s-1")], 1)
    assert store.generation() is not None


def test_in_every_store_revoking_again_is_the_stricter_of_the_two(opened: Callable[[], Store]) -> None:
    store = opened()
    store.revoke(revoked("ann", "subject", until_us=None, at_us=NOW_US))
    store.revoke(revoked("ann", "subject", until_us=NOW_US + 5, at_us=NOW_US - 5))
    assert list(store.revocations(0)[0]) == [revoked("ann", "subject")]


def test_every_store_keeps_odd_texts_whole(opened: Callable[[], Store]) -> None:
    store = opened()
    entries = [
        revoked("'; DROP TABLE revocation; --"),
        revoked("\0"),
        revoked("{portcullis}:about"),
        revoked("\U0001f511" * LONGEST),
        Revocation("issuer", "\n", "", 0, None, ""),
    ]
    for entry in entries:
        store.revoke(entry)
    assert list(store.revocations(0)[0]) == entries


def test_a_full_store_refuses_by_name_and_forgets_nothing(opened: Callable[[], Store]) -> None:
    store = opened()
    entries = [revoked(f"s-{number}", until_us=NOW_US + 10**15) for number in range(5)]
    for entry in entries:
        store.revoke(entry)
    with pytest.raises(StoreError, match="withdraw some") as caught:
        store.revoke(revoked("s-5"))
    assert caught.value.code == "S112"
    store.revoke(entries[0])
    assert {entry.value for entry in store.revocations(0)[0]} == {entry.value for entry in entries}
    assert store.status().usable, "a full store still says what is revoked"


def test_every_store_is_found_by_another_at_its_next_decision(opened: Callable[[], Store]) -> None:
    here, there = opened(), opened()
    following = following_of(there)
    assert decides(following, "s-1") is None
    here.revoke(revoked("s-1"))
    eventually(lambda: decides(following, "s-1") == "token.revoked", 5.0)
    here.withdraw(("session", ISSUER, "s-1"), NOW_US, "test")
    eventually(lambda: decides(following, "s-1") is None, 5.0)


def test_every_store_knows_when_a_session_was_last_seen(opened: Callable[[], Store]) -> None:
    here, there = opened(), opened()
    assert last_seen(here, SESSION) is None
    here.seen(SESSION, NOW_US)
    assert (last_seen(here, SESSION), last_seen(there, SESSION)) == (NOW_US, NOW_US)
    assert last_seen(there, bytes(32)) is None
    here.seen(SESSION, NOW_US + COALESCED_US)
    assert last_seen(there, SESSION) == NOW_US + COALESCED_US


def test_every_store_is_asked_for_many_sessions_at_once_and_says_nothing_of_those_it_does_not_know(
    opened: Callable[[], Store],
) -> None:
    here, there = opened(), opened()
    sessions = [number.to_bytes(32, "big") for number in range(MOST_SOUGHT)]
    assert here.last_seen([]) == here.last_seen(sessions) == {}
    known = {session: NOW_US + number for number, session in enumerate(sessions) if number % 100 == 7}
    for session, at_us in known.items():
        here.seen(session, at_us)
    assert here.last_seen(sessions) == there.last_seen(sessions) == known
    assert here.last_seen([sessions[7], sessions[7]]) == {sessions[7]: NOW_US + 7}
    with pytest.raises(ValueError, match="1000 sessions at most"):
        here.last_seen([*sessions, SESSION])


def test_every_store_may_be_closed_twice(opened: Callable[[], Store]) -> None:
    store = opened()
    store.close()
    store.close()


def test_what_stores_hold_is_the_same_opened_again(opened: Callable[[], Store]) -> None:
    store = opened()
    store.revoke(revoked("s-1"))
    store.seen(SESSION, NOW_US)
    before = store.revocations(0)
    store.close()
    again = opened()
    assert again.revocations(0) == before
    assert last_seen(again, SESSION) == NOW_US


# One SQLite file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path)) as made:
        yield made


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["revoke", "withdraw"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 5),
        st.sampled_from([None, 10, 20]),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_sqlite_does_as_memory_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int, int | None]]
) -> None:
    """revocations(sqlite after steps, since) = revocations(memory after steps, since), for every revision."""
    memory = MemoryStore(Shelf())
    with closing(SqliteStore(tmp_path_factory.mktemp("law"))) as sqlite:
        for verb, value, at_us, until_us in steps:
            for each in (memory, sqlite):
                if verb == "revoke":
                    each.revoke(revoked(value, until_us=until_us, at_us=at_us))
                else:
                    each.withdraw(("session", ISSUER, value), at_us, "test")
        for since in range(memory.revocations(0)[1] + 1):
            (ours, now), (theirs, then) = sqlite.revocations(since), memory.revocations(since)
            assert (now, {e.identity: e for e in ours}) == (then, {e.identity: e for e in theirs})


def test_its_files_are_ours_alone(store: SqliteStore, tmp_path: Path) -> None:
    store.revoke(revoked("s-1"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {DATABASE, GENERATION} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_two_workers_find_a_revocation_at_their_next_decision(tmp_path: Path) -> None:
    with workers(str(tmp_path), 2) as (here, there):
        for number in range(20):
            assert there.asked(f"decide s-{number}") == "None"
            here.asked(f"revoke s-{number}")
            assert there.asked(f"decide s-{number}") == "token.revoked"
            assert here.asked(f"decide s-{number}") == "token.revoked"


def test_a_session_seen_by_one_worker_is_known_to_others_and_after_a_kill(tmp_path: Path, store: SqliteStore) -> None:
    with workers(str(tmp_path), 1) as (worker,):
        worker.asked(f"seen {SESSION.hex()}")
        assert last_seen(store, SESSION) == NOW_US
        worker.killed()
    assert last_seen(store, SESSION) == NOW_US


KILLS = {
    "before it has the file's lock": ("before BEGIN", None),
    "before the commit": ("before COMMIT", None),
    "between the commit and the generation": ("after COMMIT", "token.revoked"),
}


@pytest.mark.parametrize(("moment", "wanted"), KILLS.values(), ids=KILLS.keys())
def test_a_writer_killed_in_the_middle_has_revoked_or_has_not(
    tmp_path: Path, store: SqliteStore, moment: str, wanted: str | None
) -> None:
    following = following_of(store)
    store.revoke(revoked("before"))
    with workers(str(tmp_path), 1) as (worker,):
        assert decides(following, "before") == "token.revoked", "and what the worker did when it began is known"
        worker.asked(f"die {moment}")
        assert worker.asked("revoke s-1") == "", "it died in it"
        assert worker.ended() == -signal.SIGKILL
    assert decides(following, "s-1") == wanted
    assert decides(following, "before") == "token.revoked"
    assert store.generation() is not None, "who found nobody writing made it even"
    store.revoke(revoked("s-2"))
    assert decides(following, "s-2") == "token.revoked"


def test_what_was_acknowledged_before_a_kill_at_any_moment_is_there(tmp_path: Path) -> None:
    acknowledged = -1
    with workers(str(tmp_path), 1) as (worker,):
        worker.told("flood")
        while acknowledged < 30:
            acknowledged = int(worker.heard())
        worker.killed()
    with closing(SqliteStore(tmp_path)) as store:
        found = {entry.value for entry in store.revocations(0)[0]}
    assert {str(number) for number in range(acknowledged + 1)} <= found


def test_a_decision_while_another_writes_asks_the_file_each_time(tmp_path: Path, store: SqliteStore) -> None:
    following = following_of(store)
    with closing(Generation(tmp_path / GENERATION)) as writer:
        with writer.writing(1.0):
            assert store.generation() is None
            assert decides(following, "s-1") is None
            with closing(connect(tmp_path / DATABASE)) as other:
                row = ("session", ISSUER, "s-1", NOW_US, None, "other", 1)
                other.execute("INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                other.execute("UPDATE about SET revision = 1")
            assert decides(following, "s-1") == "token.revoked"
            assert store.generation() is None, "a reader does not end the write of another"
        assert store.generation() is not None


def test_a_generation_that_is_written_by_nobody_is_found_by_time(tmp_path: Path, store: SqliteStore) -> None:
    following = Following(store, Revocations(), lambda: NOW_US, recheck_s=1.0)
    assert decides(following, "s-1", 0.0) is None
    with closing(connect(tmp_path / DATABASE)) as other:
        row = ("session", ISSUER, "s-1", NOW_US, None, "other", 1)
        other.execute("INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        other.execute("UPDATE about SET revision = 1")
    assert decides(following, "s-1", 0.9) is None
    assert decides(following, "s-1", 1.0) == "token.revoked"


def test_the_generation_costs_well_under_a_microsecond(store: SqliteStore) -> None:
    assert min(timeit.repeat(store.generation, number=2_000, repeat=25)) / 2_000 < 1e-6


def test_only_what_is_over_makes_room(tmp_path: Path) -> None:
    end = NOW_US + 60_000_000
    clock = [end + GRACE_US - 1]
    with closing(SqliteStore(tmp_path, most=2, clock_us=lambda: clock[0])) as store:
        store.revoke(revoked("s-1", until_us=end))
        store.revoke(revoked("s-2"))
        with pytest.raises(StoreError, match="S112"):
            store.revoke(revoked("s-3"))
        clock[0] += 1
        store.revoke(revoked("s-3"))
        assert {entry.value for entry in store.revocations(0)[0]} == {"s-2", "s-3"}
        store.withdraw(("session", ISSUER, "s-2"), clock[0], "test")
        with pytest.raises(StoreError, match="S112"):
            store.revoke(revoked("s-4"))
        clock[0] += GRACE_US
        store.revoke(revoked("s-4"))
        assert {entry.value for entry in store.revocations(0)[0]} == {"s-3", "s-4"}


def test_a_begin_in_the_future_makes_no_room(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path, most=1, clock_us=lambda: NOW_US)) as store:
        store.revoke(revoked("s-1", until_us=NOW_US + 9))
        with pytest.raises(StoreError, match="S112"):
            store.revoke(revoked("s-2", at_us=NOW_US * 100))


def test_a_session_is_written_once_in_some_seconds_and_never_goes_back(store: SqliteStore, tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as other:
        store.seen(SESSION, NOW_US)
        store.seen(SESSION, NOW_US + COALESCED_US - 1)
        assert last_seen(other, SESSION) == NOW_US
        store.seen(SESSION, NOW_US + COALESCED_US)
        other.seen(SESSION, NOW_US + 1)
        assert last_seen(store, SESSION) == NOW_US + COALESCED_US


def test_a_clock_that_was_ahead_does_not_keep_a_session_alive(store: SqliteStore, tmp_path: Path) -> None:
    store.seen(SESSION, NOW_US + 365 * 24 * 3_600 * 1_000_000)
    store.seen(SESSION, NOW_US)
    with closing(SqliteStore(tmp_path)) as other:
        assert last_seen(store, SESSION) == last_seen(other, SESSION) == NOW_US


def test_sessions_not_used_for_long_are_forgotten(store: SqliteStore, tmp_path: Path) -> None:
    store.seen(SESSION, NOW_US)
    store.seen(bytes(32), NOW_US + KEPT_US + 1)
    with closing(SqliteStore(tmp_path)) as other:
        assert last_seen(other, SESSION) is None
        assert last_seen(other, bytes(32)) == NOW_US + KEPT_US + 1


def test_all_sessions_are_looked_up_in_one_statement(tmp_path: Path) -> None:
    with _held(tmp_path) as (store, connection):
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        store.last_seen([number.to_bytes(32, "big") for number in range(MOST_SOUGHT)])
        assert len(asked) == 1


def test_what_is_no_instant_is_one_that_has_not_come(store: SqliteStore, tmp_path: Path) -> None:
    store.seen(SESSION, NOW_US)
    with closing(connect(tmp_path / DATABASE)) as other:
        other.execute("INSERT INTO session VALUES (?, 'never')", (bytes(32),))
    assert store.last_seen([bytes(32), SESSION]) == {bytes(32): LATEST_US, SESSION: NOW_US}


def test_a_session_is_a_digest(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="digest"):
        store.seen(b"s-1", NOW_US)


def _deleted(folder: Path) -> None:
    (folder / DATABASE).unlink()


def _generation_deleted(folder: Path) -> None:
    (folder / GENERATION).unlink()


def _replaced(folder: Path) -> None:
    (folder / "new").write_bytes((folder / DATABASE).read_bytes())
    (folder / "new").rename(folder / DATABASE)


def _set_back(folder: Path) -> None:
    with closing(connect(folder / DATABASE)) as other:
        other.execute("DELETE FROM revocation")
        other.execute("UPDATE about SET revision = 0")


def _folder_gone(folder: Path) -> None:
    folder.rename(folder.with_name("gone"))


def _overwritten(folder: Path) -> None:
    with closing(connect(folder / DATABASE)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (folder / DATABASE).open("r+b") as file:
        file.write(b"\xff" * 16_384)


def _nonsense_inside(folder: Path) -> None:
    with closing(connect(folder / DATABASE)) as other:
        other.execute("INSERT INTO revocation VALUES ('all', 'x', 'y', 1, NULL, 'z', 99)")


def _no_number(folder: Path) -> None:
    with closing(connect(folder / DATABASE)) as other:
        other.execute("UPDATE about SET revision = 'many'")


GONE: dict[str, tuple[Callable[[Path], None], str]] = {
    "the file deleted": (_deleted, "S113"),
    "the generation deleted": (_generation_deleted, "S113"),
    "the file replaced by another": (_replaced, "S113"),
    "an older state in the file": (_set_back, "S113"),
    "the folder gone": (_folder_gone, "S113"),
    "rubbish in the file": (_overwritten, "S114"),
    "a row that no store wrote": (_nonsense_inside, "S114"),
    "a revision that is no number": (_no_number, "S114"),
}


@pytest.mark.parametrize(("harm", "code"), GONE.values(), ids=GONE.keys())
def test_a_store_that_is_harmed_is_named_and_what_was_refused_stays_refused(
    tmp_path: Path, harm: Callable[[Path], None], code: str
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    # A page of SQLite's own is in no cache, so that what lies in the file is what is read.
    with closing(SqliteStore(folder, opened=_uncached)) as store:
        following = Following(store, Revocations(), lambda: NOW_US, recheck_s=1.0)
        store.revoke(revoked("s-1"))
        assert decides(following, "s-1", 0.0) == "token.revoked"
        harm(folder)
        failure = following.keep_up(2.0)
        assert failure is not None
        assert failure.code == code
        assert DATABASE in failure.detail
        assert following.index.refused(ISSUER, {"sid": "s-1"}, b"", None) == "token.revoked"
        assert not store.status().usable
        assert store.status().detail == failure.detail
        if code == "S113":
            with pytest.raises(StoreError, match="S113"):
                store.revoke(revoked("s-2"))


def _uncached(path: Path) -> sqlite3.Connection:
    made = connect(path)
    made.execute("PRAGMA cache_size = 0")
    made.execute("PRAGMA mmap_size = 0")
    return made


@contextmanager
def _held(tmp_path: Path) -> Iterator[tuple[SqliteStore, sqlite3.Connection]]:
    """A store, and the very connection it has."""
    held: list[sqlite3.Connection] = []

    def kept(path: Path) -> sqlite3.Connection:
        held.append(sqlite3.connect(path, timeout=0.01, isolation_level=None))
        return held[0]

    with closing(SqliteStore(tmp_path, opened=kept)) as store:
        yield store, held[0]


def _fill(store: Store) -> None:
    for number in range(100):
        store.revoke(revoked(str(number) * 400))


def test_a_full_disk_refuses_the_revocation_by_name_and_all_else_stays(tmp_path: Path) -> None:
    with _held(tmp_path) as (store, connection):
        following = following_of(store)
        store.revoke(revoked("s-1"))
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"shared\.db does not answer: .*full: .*room") as caught:
            _fill(store)
        assert caught.value.code == "S111"
        assert not store.status().usable
        assert decides(following, "s-1") == "token.revoked"
        connection.execute("PRAGMA max_page_count = 100000")
        store.revoke(revoked("s-2"))
        assert decides(following, "s-2") == "token.revoked"
        assert store.status().usable


def test_a_file_that_cannot_be_written_any_more_still_says_what_is_revoked(tmp_path: Path) -> None:
    with _held(tmp_path) as (store, connection):
        store.revoke(revoked("s-1"))
        connection.execute("PRAGMA query_only = ON")
        for change in (lambda: store.revoke(revoked("s-2")), lambda: store.seen(SESSION, NOW_US)):
            with pytest.raises(StoreError, match="may be written"):
                change()
        assert [entry.value for entry in store.revocations(0)[0]] == ["s-1"]
        assert last_seen(store, SESSION) is None, "what could not be written was not seen"


def test_a_file_that_another_locks_is_refused_in_time_and_may_still_be_read(tmp_path: Path) -> None:
    with _held(tmp_path) as (store, _), closing(connect(tmp_path / DATABASE)) as other:
        store.revoke(revoked("s-1"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.revoke(revoked("s-2"))
        assert [entry.value for entry in store.revocations(0)[0]] == ["s-1"]
        other.execute("ROLLBACK")
        store.revoke(revoked("s-2"))


def test_a_generation_that_another_holds_is_refused_in_time(tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 0.5)

    with (
        closing(Generation(tmp_path / GENERATION)) as holder,
        closing(Generation(tmp_path / GENERATION, lambda: now[0], sleep)) as waiting,
        holder.writing(0.0),
    ):
        with pytest.raises(TimeoutError, match="locked"), waiting.writing(2.0):
            pass
        assert waiting.current() is None


def _write(name: str, data: bytes, mode: int = 0o600) -> Callable[[Path], None]:
    def written(folder: Path) -> None:
        (folder / name).write_bytes(data)
        (folder / name).chmod(mode)

    return written


def _of_version_two(folder: Path) -> None:
    SqliteStore(folder).close()
    with closing(connect(folder / DATABASE)) as other:
        other.execute("UPDATE about SET version = 2")


def _link(name: str) -> Callable[[Path], None]:
    def linked(folder: Path) -> None:
        (folder.parent / "elsewhere").write_bytes(b"")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return linked


NOT_OURS: dict[str, Callable[[Path], None]] = {
    "others may read the file": _write(DATABASE, b"", 0o644),
    "others may write the generation": _write(GENERATION, bytes(8), 0o622),
    "a link in place of the file": _link(DATABASE),
    "a link in place of the generation": _link(GENERATION),
    "a folder in place of the file": lambda folder: (folder / DATABASE).mkdir(),
    "a pipe in place of the generation": lambda folder: os.mkfifo(folder / GENERATION, 0o600),
    "a generation cut short": _write(GENERATION, b"1234"),
    "no database in the file": _write(DATABASE, b"revocations\n" * 2_000),
    "a newer version": _of_version_two,
    "no folder": lambda folder: folder.rmdir(),
}


@pytest.mark.parametrize("made", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_is_not_ours_is_not_opened(tmp_path: Path, made: Callable[[Path], None]) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    made(folder)
    with pytest.raises(StoreError, match=r"shared\.(db|gen)") as caught:
        SqliteStore(folder)
    assert caught.value.code == "S114"


def test_an_opener_that_fails_is_named(tmp_path: Path) -> None:
    def failing(path: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    with pytest.raises(StoreError, match=r"shared\.db does not answer: unable to open") as caught:
        SqliteStore(tmp_path, opened=failing)
    assert caught.value.code == "S111"


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    with ExitStack() as ended:
        started = []
        for _ in range(4):
            command = [sys.executable, "-c", WORKER, str(tmp_path)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ended.enter_context(process)
            ended.callback(process.kill)
            started.append(process)
        said = [each.communicate(f"revoke s-{number}\nend\n", 30)[0] for number, each in enumerate(started)]
    assert sorted(said) == [f"ready\n{number}\n" for number in range(1, 5)]


# One Redis or PostgreSQL, several hosts


def test_two_hosts_on_one_store_find_a_revocation_soon(address: str) -> None:
    with workers(address, 2) as (here, there):
        assert there.asked("decide s-1") == "None"
        here.asked("revoke s-1")
        eventually(lambda: there.asked("decide s-1") == "token.revoked", 5.0)
        assert here.asked("decide s-1") == "token.revoked", "who revoked knows at once"
        here.asked(f"seen {SESSION.hex()}")
        with closing(_store_of(address)) as third:
            assert last_seen(third, SESSION) == NOW_US
            assert [entry.value for entry in third.revocations(0)[0]] == ["s-1"]


def test_what_is_revoked_at_once_by_many_is_all_there(address: str) -> None:
    with workers(address, 2) as both:
        for number in range(40):
            both[number % 2].told(f"revoke s-{number}")
        revisions = [int(both[number % 2].heard()) for number in range(40)]
        assert sorted(revisions) == list(range(1, 41))


def test_who_is_overtaken_again_and_again_takes_it_for_no_loss_and_comes_through(redis: RedisServer) -> None:
    from pdp.shared_state.redis import RedisStore

    times = 21

    class Overtaken(RedisStore):
        """One that another store comes before, each time after it has asked at which revision Redis is."""

        overtaken = times

        def _about(self, asked: Any) -> tuple[bytes, int]:
            found = super()._about(asked)
            if threading.current_thread() is threading.main_thread() and self.overtaken < times:
                self.overtaken += 1
                other.revoke(revoked(f"s-{self.overtaken}"))
                eventually(lambda: self.generation() != 0, 5.0)
            return found

    with (
        closing(_redis_store(_emptied(redis))) as other,
        closing(Overtaken(redis.address, poll_s=0.01)) as store,
    ):
        store.overtaken = 0
        assert store.revoke(revoked("last")) == times + 1
        assert store.status().detail == ""


def test_only_what_is_over_makes_room_among_hosts(address: str) -> None:
    end = NOW_US + 60_000_000
    clock = [end + GRACE_US - 1]
    with closing(_store_of(address, most=2, clock_us=lambda: clock[0])) as store:
        store.revoke(revoked("s-1", until_us=end))
        store.revoke(revoked("s-2"))
        with pytest.raises(StoreError, match="S112"):
            store.revoke(revoked("s-3"))
        clock[0] += 1
        store.revoke(revoked("s-3"))
        with pytest.raises(StoreError, match="S112"):
            store.revoke(revoked("s-4"))
        with closing(_store_of(address)) as other:
            assert {entry.value for entry in other.revocations(0)[0]} == {"s-2", "s-3"}


def test_what_was_over_and_was_revoked_again_elsewhere_makes_no_room(redis: RedisServer) -> None:
    from redis import Redis

    end = NOW_US + 60_000_000
    with closing(_redis_store(_emptied(redis), most=1, clock_us=lambda: end + GRACE_US)) as store:
        store.revoke(revoked("s-1", until_us=end))
        with closing(Redis.from_url(redis.address)) as client:
            # As another host would, whose notice did not come yet.
            (name,) = cast("list[bytes]", client.hkeys("{portcullis}:revocations"))
            again = msgspec.json.encode({"revision": 1, "revocation": revoked("s-1")})
            client.hset("{portcullis}:revocations", name, again)
        with pytest.raises(StoreError, match="S112"):
            store.revoke(revoked("s-2"))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    program = redis_program()
    if program is None:
        pytest.skip("no redis-server on the path or in a package here, or no driver")
    with redis_server(program, tmp_path) as server:
        yield server


@pytest.mark.parametrize("harm", [RedisServer.stop, RedisServer.pause], ids=["dead", "silent"])
def test_a_redis_that_does_not_answer_is_said_once_stale_and_what_was_refused_stays_refused(
    own_redis: RedisServer, harm: Callable[[RedisServer], None]
) -> None:
    ahead = [0.0]
    with closing(_redis_store(own_redis.address, clock=lambda: time.monotonic() + ahead[0])) as store:
        following = Following(store, Revocations(), lambda: NOW_US)
        store.revoke(revoked("s-1"))
        assert decides(following, "s-1", 0.0) == "token.revoked"
        harm(own_redis)
        eventually(lambda: store.status().detail != "", 10.0)
        assert store.status().usable, "the last word is young"
        assert decides(following, "s-1", 2.0) == "token.revoked"
        with pytest.raises(StoreError, match="S111"):
            store.revoke(revoked("s-2"))
        ahead[0] = 11.0
        status = store.status()
        assert not status.usable
        assert status.stale_s > 10.0
        assert "see that it runs" in status.detail
        assert decides(following, "s-1", 4.0) == "S111"
        assert following.index.refused(ISSUER, {"sid": "s-1"}, b"", None) == "token.revoked"
        own_redis.stop()
        own_redis.start()
        eventually(lambda: store.status().usable, 10.0)
        store.revoke(revoked("s-3"))
        assert decides(following, "s-3", 6.0) == "token.revoked"


def test_a_redis_that_lost_its_data_is_refused_by_name(own_redis: RedisServer) -> None:
    with closing(_redis_store(own_redis.address, max_stale_s=0.5)) as store:
        following = Following(store, Revocations(), lambda: NOW_US)
        store.revoke(revoked("s-1"))
        assert decides(following, "s-1", 0.0) == "token.revoked"
        _emptied(own_redis)
        eventually(lambda: not store.status().usable, 10.0)
        assert decides(following, "s-1", 2.0) == "S113"
        assert following.index.refused(ISSUER, {"sid": "s-1"}, b"", None) == "token.revoked"
        with closing(_redis_store(own_redis.address)) as fresh:
            fresh.revoke(revoked("s-2"))
            fresh.revoke(revoked("s-3"))
        with pytest.raises(StoreError, match=r"S113.*revoke again what is missing"):
            store.revoke(revoked("s-4"))
        assert decides(following, "s-1", 4.0) == "S113", "other data of a higher revision is other data"


@pytest.mark.parametrize("lost", ["{portcullis}:order", "{portcullis}:revocations"])
def test_a_part_that_is_evicted_is_found_by_the_next_host(redis: RedisServer, lost: str) -> None:
    from redis import Redis

    with closing(_redis_store(_emptied(redis))) as store:
        store.revoke(revoked("s-1"))
        with closing(Redis.from_url(redis.address)) as client:
            client.delete(lost)
        with pytest.raises(StoreError, match="S113"):
            _redis_store(redis.address)


@pytest.mark.parametrize(("field", "value"), [("version", "2"), ("revision", "many")])
def test_a_redis_of_somebody_else_is_not_opened(redis: RedisServer, field: str, value: str) -> None:
    from redis import Redis

    with closing(Redis.from_url(_emptied(redis))) as client:
        client.hset("{portcullis}:about", field, value)
    with pytest.raises(StoreError, match="S114"):
        _redis_store(redis.address)


def test_a_session_of_which_redis_holds_no_instant_keeps_no_other_from_an_answer(redis: RedisServer) -> None:
    from redis import Redis

    with closing(_redis_store(_emptied(redis))) as store:
        store.seen(SESSION, NOW_US)
        with closing(Redis.from_url(redis.address)) as client:
            client.set("{portcullis}:seen:" + bytes(32).hex(), "never")
        assert store.last_seen([bytes(32), SESSION]) == {bytes(32): LATEST_US, SESSION: NOW_US}


class Liar:
    """Stands before a Redis and, while it has a `lie`, gives that to whoever asks for the state of the store."""

    def __init__(self, behind: RedisServer) -> None:
        self._behind = int(behind.address.removesuffix("/0").rpartition(":")[2])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self._sockets: list[socket.socket] = []
        self.lie: bytes | None = None
        self.lied = 0

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for each in [self._listening, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._sockets += [client, server]
                pairs = ((client, server, self._asked), (server, client, lambda _: None))
                for pair in pairs:
                    self._threads.append(threading.Thread(target=self._pass, args=pair))
                    self._threads[-1].start()

    def _asked(self, data: bytes) -> bytes | None:
        if self.lie is None or b"HMGET" not in data:
            return None
        self.lied += 1
        return self.lie

    def _pass(self, here: socket.socket, there: socket.socket, answer: Callable[[bytes], bytes | None]) -> None:
        with suppress(OSError):
            while data := here.recv(65_536):
                said = answer(data)
                if said is None:
                    there.sendall(data)
                else:
                    here.sendall(said)
            there.shutdown(socket.SHUT_WR)


LIES = {
    "a number": b":5\r\n",
    "a text": b"$2\r\nno\r\n",
    "nothing": b"*-1\r\n",
    "no texts": b"*0\r\n",
    "numbers": b"*2\r\n:1\r\n:2\r\n",
    "texts that say nothing": b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "lists without end": b"*1\r\n" * 20_000 + b":1\r\n",
    "an error": b"-ERR x\r\n",
    "no Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_whatever_a_redis_answers_is_said_and_followed_again_once_it_is_sound(redis: RedisServer, lie: bytes) -> None:
    _emptied(redis)
    with (
        closing(Liar(redis)) as liar,
        closing(_redis_store(liar.address, max_stale_s=60.0)) as store,
        closing(_redis_store(redis.address)) as honest,
    ):
        honest.revoke(revoked("s-1"))
        following = following_of(store)
        eventually(lambda: decides(following, "s-1") == "token.revoked", 5.0)
        liar.lie = lie
        eventually(lambda: liar.lied >= 2 and store.status().detail != "", 10.0)
        with pytest.raises(StoreError):
            store.revoke(revoked("s-2"))
        with pytest.raises(StoreError):
            store.last_seen([SESSION])
        assert decides(following, "s-1") == "token.revoked"
        liar.lie = None
        honest.revoke(revoked("s-3"))
        eventually(lambda: decides(following, "s-3") == "token.revoked", 10.0)
        assert store.status().detail == ""


def test_an_entry_nested_without_end_is_said_and_followed_again_once_it_is_gone(redis: RedisServer) -> None:
    from redis import Redis

    with closing(_redis_store(_emptied(redis))) as store, closing(Redis.from_url(redis.address)) as client:
        client.hset("{portcullis}:revocations", "deep", b'{"x":' + b"[" * 100_000)
        client.zadd("{portcullis}:order", {"deep": 1})
        client.hset("{portcullis}:about", "revision", 1)
        eventually(lambda: "recursion" in store.status().detail, 10.0)
        client.hset(
            "{portcullis}:revocations", "deep", msgspec.json.encode({"revision": 1, "revocation": revoked("s")})
        )
        eventually(lambda: store.status().detail == "", 10.0)
        assert store.generation() == 1


@pytest.mark.parametrize(("host", "heard"), [("127.0.0.1", True), ("127.0.0.2", False)], ids=["its own", "another's"])
def test_over_tls_a_server_is_asked_only_under_a_name_of_its_certificate(
    tmp_path: Path, host: str, *, heard: bool
) -> None:
    pytest.importorskip("redis")
    authority = TestAuthority()
    certificate, key = authority.server().write(tmp_path, "server")
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    received: list[bytes] = []

    def answer(listening: socket.socket) -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.settimeout(10)
            with context.wrap_socket(connection, server_side=True) as over_tls:
                received.append(over_tls.recv(1))

    with socket.create_server((host, 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        with pytest.raises(StoreError) as caught:
            _redis_store(f"rediss://{host}:{listening.getsockname()[1]}/0?ssl_ca_certs={tmp_path / 'authority.pem'}")
        thread.join(10)
    assert (received != []) == heard
    assert caught.value.code == "S111"
    assert ("mismatch" in caught.value.detail) != heard


WITH_PASSWORD = {
    "of whom it does not know": "{scheme}://me:opensesame@127.0.0.1:{port}",
    "where nobody listens": "{scheme}://me:opensesame@127.0.0.1:1",
    "of a port that is none": "{scheme}://me:opensesame@127.0.0.1:port",
    "of another program": "opensesame://x:y",
}


@pytest.mark.parametrize("text", WITH_PASSWORD.values(), ids=WITH_PASSWORD.keys())
def test_no_message_holds_the_password(redis: RedisServer, text: str) -> None:
    address = text.format(scheme="redis", port=redis.address.removesuffix("/0").rpartition(":")[2])
    with pytest.raises(StoreError) as caught:
        _redis_store(address)
    assert "opensesame" not in str(caught.value)
