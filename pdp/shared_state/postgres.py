"""The store of several hosts: one PostgreSQL, by the driver that the extra `postgres` installs.

    portcullis.about        one row: version, revision, how many entries there are
    portcullis.revision     what each of the last revisions is marked with, at random
    portcullis.revocation   what is revoked, by a digest of what that is: its revision and itself, as JSON
    portcullis.session      when a session was last seen
    portcullis_changed      channel: something was revoked

A thread is told by PostgreSQL of each change, and asks besides at every `poll_s`; it keeps a copy here, from which
`revocations` answers, so that no decision waits for a network.
INVARIANT: a revocation gets its revision, its mark, its entry and its notice in one transaction, which holds the row of
`about` locked. A `status` that is usable means that PostgreSQL answered within `max_stale_s` and held what it held
before.
INVARIANT: the thread ends with the store and for nothing else: whatever it meets is said in `status` and tried again.
INVARIANT: a PostgreSQL that lost its data (a lower revision, a revision of another mark, its tables gone, fewer entries
than it counted) is refused by S113, and the copy stays as it is.
Source: postgresql.org, "Transaction Isolation", "Explicit Locking", "NOTIFY".
Length: the statements stand beside what they are asked for, since what holds is to be seen of both together.

SECURITY: an address may hold a password: messages name host, port and database only. Whoever can write to these tables
can withdraw revocations: they need a user of their own.

Decision: 2026-11-21. Every revision has a mark. A server that was put back to an earlier state, as by a failover to a
    copy that was behind, comes by what other hosts write to the revision that this host knows, and would then look as
    if nothing were missing; its marks are others. The marks of the last `_MARKS` revisions are kept: a host that was
    away for more does not know what it missed, and has to restart.
Decision: 2026-11-21. What was revoked is on the server's disk when `revoke` returns, even where the server is set up
    otherwise (`synchronous_commit = off`); when a session was last seen need not be.
Decision: 2026-11-21. A session was last seen when the last host to say so said: clocks of hosts differ, and the newest
    word of one whose clock was ahead must not stay. It is forgotten by the server's clock, for the same reason.
Decision: 2026-11-21. While the thread says that PostgreSQL does not answer, nothing is asked of sessions: a decision
    would wait for what is known not to come. Revoking is tried.
Decision: 2026-11-21. Names are digests and entries JSON, both as bytes: texts of PostgreSQL have no NUL and depend on
    the encoding of its database, and an index takes no key of 8 KiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pdp.clock import host_clock_us
from pdp.shared_state.model import (
    MOST_REVOCATIONS,
    Identity,
    Revocation,
    Status,
    StoreError,
    check_sought,
    full,
    lost,
    merged,
    withdrawal,
)
from pdp.shared_state.postgres_driver import ANSWER_S, Address, Connection, PostgresError, Value, address_of
from pdp.shared_state.told import Told

VERSION = 1
POLL_S = 1.0
MAX_STALE_S = 10.0

_MARKS = 100_000
_MARK_BYTES = 16
_AT_ONCE = 1_000
_FORGOTTEN_AT_ONCE = 10_000
_FORGET_EVERY_S = 60.0
_ALONE = int.from_bytes(b"portcull", "big")
"""The advisory lock of who makes the tables."""

_RESTART = "restart to go on with what is there now, and revoke again what is missing"
_DROP = "drop the schema portcullis, restart, and revoke again what it held"
_TABLES = (
    """CREATE TABLE portcullis.about (
        one INTEGER PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL, revision BIGINT NOT NULL,
        entries BIGINT NOT NULL
    )""",
    "CREATE TABLE portcullis.revision (revision BIGINT PRIMARY KEY, mark BYTEA NOT NULL)",
    """CREATE TABLE portcullis.revocation (
        name BYTEA PRIMARY KEY, revision BIGINT NOT NULL UNIQUE, entry BYTEA NOT NULL
    )""",
    "CREATE TABLE portcullis.session (digest BYTEA PRIMARY KEY, at_us BIGINT NOT NULL, told TIMESTAMPTZ NOT NULL)",
    "CREATE INDEX session_told ON portcullis.session (told)",
)
_THERE = """
    SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'portcullis'),
        (SELECT count(*) FROM pg_tables WHERE schemaname = 'portcullis' AND tablename = 'about')
"""
_ABOUT = """
    SELECT version, revision, entries,
        (SELECT mark FROM portcullis.revision AS each WHERE each.revision = about.revision),
        (SELECT mark FROM portcullis.revision AS each WHERE each.revision = $1)
    FROM portcullis.about
"""
_LOCK = "SELECT 1 FROM portcullis.about FOR UPDATE"
_ONE = "SELECT entry FROM portcullis.revocation WHERE name = $1"
_SINCE = "SELECT revision, entry FROM portcullis.revocation WHERE revision > $1 ORDER BY revision LIMIT $2"
_FORGET = "DELETE FROM portcullis.revocation WHERE revision = ANY ($1::bigint[]) RETURNING revision"
_PUT = """
    WITH put AS (
        INSERT INTO portcullis.revocation VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET revision = EXCLUDED.revision, entry = EXCLUDED.entry
    ), counted AS (
        UPDATE portcullis.about SET revision = $2, entries = $4
    ), marked AS (
        INSERT INTO portcullis.revision VALUES ($2, $5)
    ), unmarked AS (
        DELETE FROM portcullis.revision WHERE revision <= $6
    )
    SELECT pg_notify('portcullis_changed', '')
"""
_SEEN = """
    INSERT INTO portcullis.session
    SELECT $1::bytea, $2::bigint, clock_timestamp() FROM set_config('synchronous_commit', 'off', true)
    ON CONFLICT (digest) DO UPDATE SET at_us = EXCLUDED.at_us, told = EXCLUDED.told
"""
_LAST_SEEN = "SELECT digest, at_us FROM portcullis.session WHERE digest = ANY ($1::bytea[])"
_FORGET_SESSIONS = """
    DELETE FROM portcullis.session WHERE digest IN (
        SELECT digest FROM portcullis.session WHERE told < clock_timestamp() - INTERVAL '30 days' LIMIT $1
    )
"""

Clock = Callable[[], float]


class _Entry(Struct, frozen=True):
    revision: int
    revocation: Revocation


class _About(Struct, frozen=True):
    revision: int
    entries: int
    mark: bytes


class _Known(Struct, frozen=True):
    """What PostgreSQL held when it last answered: never less than before."""

    mark: bytes
    revision: int
    entries: Mapping[Identity, _Entry]


class PostgresStore:
    """See `Store`; `address` is a `postgresql://` one. Its tables are made where they are missing.

    Errors: StoreError S111 where it does not answer now, S113 where a part of it is gone, S114 where it is no address,
    or holds another version.
    """

    def __init__(
        self,
        address: str,
        most: int = MOST_REVOCATIONS,
        max_stale_s: float = MAX_STALE_S,
        poll_s: float = POLL_S,
        clock: Clock = time.monotonic,
        clock_us: Callable[[], int] = host_clock_us,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._address = _address(address)
        self._name = self._address.shown
        self._most, self._max_stale_s, self._poll_s, self._clock = most, max_stale_s, poll_s, clock
        self._clock_us, self._answer_s = clock_us, answer_s
        self._told = Told()
        self._failure: StoreError | None = None
        self._forget_s = clock()
        self._loading = threading.Lock()
        self._ending = threading.Event()
        self._connection: Connection | None = None
        try:
            self._known = self._start()
        except BaseException:
            self._disconnect()
            raise
        self._answered_s = clock()
        self._thread = threading.Thread(target=self._follow, name="revocations", daemon=True)
        self._thread.start()

    def revoke(self, revocation: Revocation) -> int:
        """See `Store`. Errors: StoreError S111, S112, S113, S114."""
        return self._change(revocation.identity, lambda old: merged(old, revocation))

    def withdraw(self, identity: Identity, at_us: int, by: str) -> bool:
        """See `Store`. Errors: StoreError S111, S113, S114."""
        entry = withdrawal(identity, at_us, by)
        return self._change(identity, lambda old: None if old is None or old.withdrawn else entry) > 0

    def revocations(self, since: int) -> tuple[Sequence[Revocation], int]:
        """See `Store`: as PostgreSQL last said. Errors: StoreError S111 where that is older than `max_stale_s`, S113,
        S114."""
        status = self.status()
        if not status.usable:
            raise self._failure or StoreError("S111", status.detail)
        known = self._known
        if since >= known.revision:
            return [], known.revision
        return [entry.revocation for entry in known.entries.values() if entry.revision > since], known.revision

    def generation(self) -> int | None:
        """See `Store`."""
        return self._known.revision

    def seen(self, session: bytes, at_us: int) -> None:
        """See `Store`. Errors: StoreError S111, S113, S114; ValueError for what is no digest."""
        if not self._told.is_news(session, at_us):
            return
        self._check_followed()
        with self._asking():
            self._own().ask(_SEEN, session, at_us)
        self._told.keep(session, at_us)

    def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
        """See `Store`. Errors: StoreError S111, S113, S114."""
        check_sought(sessions)
        self._check_followed()
        named = ",".join(f'"\\\\x{session.hex()}"' for session in sessions)
        with self._asking():
            rows = self._own().ask(_LAST_SEEN, f"{{{named}}}") if sessions else []
            stored = {_digest(digest): _number(at_us) for digest, at_us in rows}
        return self._told.latest(sessions, stored)

    def status(self) -> Status:
        """See `Store`. Usable while PostgreSQL last answered, in full, within `max_stale_s`."""
        failure = self._failure
        stale_s = max(0.0, self._clock() - self._answered_s)
        if stale_s < self._max_stale_s:
            return Status(usable=True, stale_s=stale_s, detail=failure.detail if failure else "")
        failure = failure or self._failed(PostgresError("nothing came in time"))
        return Status(usable=False, stale_s=stale_s, detail=failure.detail)

    def close(self) -> None:
        """See `Store`."""
        self._ending.set()
        self._thread.join()
        self._disconnect()

    def _connected(self) -> Connection:
        return Connection(self._address, self._answer_s)

    def _own(self) -> Connection:
        """The owner's connection, made anew where it ended."""
        if self._connection is None or not self._connection.is_open():
            self._disconnect()
            self._connection = self._connected()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _start(self) -> _Known:
        with self._asking():
            connection = self._own()
            with connection.transaction("ISOLATION LEVEL READ COMMITTED READ WRITE"):
                _make(connection)
            with connection.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY"):
                about = self._about(connection, None)
                found = self._since(connection, 0)
            if len(found) != about.entries:
                raise self._lost(f"it holds {len(found)} entries of {about.entries}", _DROP)
            return _Known(about.mark, about.revision, found)

    def _follow(self) -> None:
        """The thread: look when told, and at every `poll_s`; whatever fails is said in `status` and tried again."""
        while not self._ending.is_set():
            try:
                with self._asking(), contextlib.closing(self._connected()) as connection:
                    connection.ask("LISTEN portcullis_changed")
                    while not self._ending.is_set():
                        self._load(connection)
                        self._forget_sessions(connection)
                        connection.wait(self._poll_s)
            except StoreError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - nothing but its end may end the thread
                self._failure = self._unusable(error)
            self._ending.wait(min(self._poll_s, self._max_stale_s / 4))

    def _load(self, connection: Connection) -> None:
        """Bring the copy up to date. Errors: StoreError S111, S113, S114; the copy is then as it was."""
        with self._loading, self._asking():
            asked_s, known = self._clock(), self._known
            if self._about(connection, known).revision > known.revision:
                with connection.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY"):
                    about = self._about(connection, known)
                    changed = self._since(connection, known.revision)
                self._known = _Known(about.mark, about.revision, {**known.entries, **changed})
            self._answered_s, self._failure = asked_s, None

    def _about(self, connection: Connection, known: _Known | None) -> _About:
        """Where PostgreSQL is; `known` is what it must have gone on from."""
        rows = connection.ask(_ABOUT, 0 if known is None else known.revision)
        if not rows:
            raise self._lost("its revision is gone", _DROP)
        version, *numbers, mark, then = rows[0]
        if version != VERSION:
            said = f"it has version {version!r}, and this program knows {VERSION}"
            raise StoreError("S114", f"the store {self._name} is not usable: {said}: use the program that made it")
        revision, entries = map(_number, numbers)
        if not isinstance(mark, bytes):
            raise self._lost("the mark of its revision is gone", _DROP)
        if known is not None and revision < known.revision:
            raise self._lost(f"it is at revision {revision} after {known.revision}", _RESTART)
        if known is not None and then != known.mark:
            raise self._lost(f"its revision {known.revision} is another one, or long past", _RESTART)
        return _About(revision, entries, mark)

    def _since(self, connection: Connection, revision: int) -> dict[Identity, _Entry]:
        """The entries above a revision, of one moment, as the transaction has it."""
        found: dict[Identity, _Entry] = {}
        while True:
            rows = connection.ask(_SINCE, revision, _AT_ONCE)
            for number, entry in rows:
                revision = _number(number)
                revocation = _revocation(entry)
                found[revocation.identity] = _Entry(revision, revocation)
            if len(rows) < _AT_ONCE:
                return found

    def _change(self, identity: Identity, made: Callable[[Revocation | None], Revocation | None]) -> int:
        """Put what `made` makes of an entry in its place, alone; its revision, 0 where that is nothing."""
        name = hashlib.sha256(msgspec.json.encode(identity)).digest()
        # Before what PostgreSQL says is asked for: the thread may bring the copy further meanwhile.
        known, gone = self._known, frozenset[int]()
        with self._asking():
            connection = self._own()
            with connection.transaction("ISOLATION LEVEL READ COMMITTED READ WRITE"):
                connection.ask(_LOCK)
                about = self._about(connection, known)
                old = next((_revocation(row[0]) for row in connection.ask(_ONE, name)), None)
                entry = made(old)
                if entry is None:
                    return 0
                if old is None and about.entries >= self._most:
                    gone = self._make_room(connection, known)
                revision, entries = about.revision + 1, about.entries - len(gone) + (old is None)
                text, mark = msgspec.json.encode(entry), secrets.token_bytes(_MARK_BYTES)
                connection.ask(_PUT, name, revision, text, entries, mark, revision - _MARKS)
            if gone:
                with self._loading:
                    kept = {each: one for each, one in self._known.entries.items() if one.revision not in gone}
                    self._known = replace(self._known, entries=kept)
            self._load(connection)
        return revision

    def _make_room(self, connection: Connection, known: _Known) -> frozenset[int]:
        """Forget what is over and was not revoked again; its revisions. Errors: StoreError S112 where nothing is."""
        now_us = self._clock_us()
        over = [str(entry.revision) for entry in known.entries.values() if entry.revocation.over(now_us)]
        rows = connection.ask(_FORGET, f"{{{','.join(over)}}}") if over else []
        if not rows:
            raise full(self._name, self._most)
        return frozenset(_number(row[0]) for row in rows)

    def _forget_sessions(self, connection: Connection) -> None:
        """Forget, now and then, sessions that were not used for thirty days."""
        if self._clock() >= self._forget_s:
            connection.ask(_FORGET_SESSIONS, _FORGOTTEN_AT_ONCE)
            self._forget_s = self._clock() + _FORGET_EVERY_S

    def _check_followed(self) -> None:
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Whatever goes wrong in the block has a name of ours."""
        try:
            yield
        except StoreError:
            raise
        except PostgresError as error:
            raise self._failed(error) from error
        except Exception as error:
            raise self._unusable(error) from error

    def _failed(self, error: PostgresError) -> StoreError:
        match error.state[:2], error.state:
            case _, "42P01" | "3F000":
                return self._lost("its tables are gone", _DROP)
            case "22" | "23" | "42", _:
                return self._unusable(error)
            case _:
                remedy = "see that it runs and takes this user"
                return StoreError("S111", f"the store {self._name} does not answer: {error}: {remedy}")

    def _unusable(self, error: Exception) -> StoreError:
        remedy = "give it a database of its own, and its user all rights to the schema portcullis there"
        return StoreError("S114", f"the store {self._name} is not usable: {error}: {remedy}")

    def _lost(self, what: str, remedy: str) -> StoreError:
        return lost(self._name, what, remedy)


def _make(connection: Connection) -> None:
    """Make the tables where there are none; of two hosts that find it so, one makes them."""
    connection.ask("SELECT pg_advisory_xact_lock($1)", _ALONE)
    schema, about = connection.ask(_THERE)[0]
    if about:
        return
    if not schema:
        connection.ask("CREATE SCHEMA portcullis")
    for statement in _TABLES:
        connection.ask(statement)
    connection.ask("INSERT INTO portcullis.about VALUES (1, $1, 0, 0)", VERSION)
    connection.ask("INSERT INTO portcullis.revision VALUES (0, $1)", secrets.token_bytes(_MARK_BYTES))


def _address(text: str) -> Address:
    try:
        return address_of(text)
    except ValueError as error:
        raise StoreError("S114", f"the address of the store of PostgreSQL is none: {error}") from None


def _number(value: Value) -> int:
    """ValueError for what no store wrote."""
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - of a table's content, not of an argument's type
    return value


def _digest(value: Value) -> bytes:
    """ValueError for what no store wrote."""
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} is no digest")  # noqa: TRY004 - as above
    return value


def _revocation(value: Value) -> Revocation:
    """ValueError, or MsgspecError, for what no store wrote."""
    return msgspec.json.decode(value if isinstance(value, bytes) else b"", type=Revocation)
