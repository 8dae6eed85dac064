"""The store of one host: a SQLite file that all workers open, each for itself.

    shared.db     revocations and sessions
    shared.gen    whether revocations changed (pdp/shared_state/generation.py)

INVARIANT: `revoke` returns once the revocation is on the disk and every worker's next `generation` differs. Whoever is
killed in the middle has revoked or has not, and in both cases the next decision asks the file.
INVARIANT: the file is ours alone (mode 0600), is no link, and stays the one that was opened: where it was deleted,
replaced, or holds a lower revision than before, reads and writes are refused by StoreError S113.
Source: sqlite.org, "Write-Ahead Logging" (readers never wait for a writer) and "PRAGMA synchronous".

Decision: 2026-11-21. Revocations are synced; sessions are not, and are written once in five seconds each: what a power
    cut or the pause loses makes a session look idle for longer than it was, never for less.
Decision: 2026-11-21. A session that is told more than a minute after what its worker's clock says now was told by a
    clock that was ahead; what is told now replaces it. Sessions not used for thirty days are not known any more.
Decision: 2026-11-21. The file is opened before it is SQLite's only to make it, never when it is there: to close a file
    that this process has open elsewhere lets go of its locks (POSIX).
Decision: 2026-11-21. Each process opens the store for itself, after it was forked: locks of an open file are shared
    with children.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import convert

from pdp.clock import host_clock_us
from pdp.shared_state.generation import Generation
from pdp.shared_state.model import (
    GRACE_US,
    LATEST_US,
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
from pdp.shared_state.told import Told

DATABASE = "shared.db"
GENERATION = "shared.gen"
VERSION = 1
BUSY_S = 2.0
KEPT_US = 30 * 24 * 60 * 60 * 1_000_000

_AHEAD_US = 60_000_000
_PURGED_EVERY_US = 60 * 60 * 1_000_000

_SCHEMA = (
    "CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, revision INTEGER NOT NULL)",
    """CREATE TABLE revocation (
        kind TEXT NOT NULL, issuer TEXT NOT NULL, value TEXT NOT NULL, at_us INTEGER NOT NULL, until_us INTEGER,
        by TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (kind, issuer, value)
    ) WITHOUT ROWID""",
    "CREATE INDEX revocation_revision ON revocation (revision)",
    "CREATE TABLE session (digest BLOB PRIMARY KEY, at_us INTEGER NOT NULL) WITHOUT ROWID",
)
_FIELDS = ("kind", "issuer", "value", "at_us", "until_us", "by")
_ONE = "SELECT kind, issuer, value, at_us, until_us, by FROM revocation WHERE kind = ? AND issuer = ? AND value = ?"
_SINCE = "SELECT kind, issuer, value, at_us, until_us, by FROM revocation WHERE revision > ? ORDER BY revision"
_PURGE = "DELETE FROM revocation WHERE until_us IS NOT NULL AND max(until_us, iif(until_us = 0, at_us, 0)) <= ?"
_SEEN = f"""
    INSERT INTO session VALUES (?1, ?2) ON CONFLICT (digest) DO UPDATE
    SET at_us = iif(at_us > ?2 + {_AHEAD_US}, ?2, max(at_us, ?2))
"""  # noqa: S608 - a number of ours


Connect = Callable[[Path], sqlite3.Connection]


def connect(path: Path) -> sqlite3.Connection:
    """The connection of a store to its file: no transaction but those it asks for."""
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


class SqliteStore:
    """See `Store`; in `folder`, its files made where they are missing. `most` revocations fit; `clock_us` says which
    of them are over.

    Errors: StoreError S111, S114.
    """

    def __init__(
        self,
        folder: Path,
        most: int = MOST_REVOCATIONS,
        opened: Connect = connect,
        clock_us: Callable[[], int] = host_clock_us,
    ) -> None:
        self._path = folder / DATABASE
        self._most = most
        self._clock_us = clock_us
        self._detail = ""
        self._revision = 0
        self._told = Told()
        self._purged_us: int | None = None
        try:
            _make(self._path)
            self._generation = Generation(folder / GENERATION)
        except (OSError, ValueError) as error:
            raise StoreError("S114", f"the store {self._path} is not usable: {error}: mend {folder}") from error
        try:
            self._about = self._path.lstat()
            self._connection = opened(self._path)
        except (OSError, sqlite3.Error) as error:
            self._generation.close()
            raise self._failure(error) from error
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def revoke(self, revocation: Revocation) -> int:
        """See `Store`. Errors: StoreError S111, S112, S113."""
        with self._writing():
            old = self._one(revocation.identity)
            if old is None:
                self._make_room()
            return self._put(merged(old, revocation))

    def withdraw(self, identity: Identity, at_us: int, by: str) -> bool:
        """See `Store`. Errors: StoreError S111, S113."""
        entry = withdrawal(identity, at_us, by)
        with self._writing():
            old = self._one(identity)
            if old is None or old.withdrawn:
                return False
            self._put(entry)
            return True

    def revocations(self, since: int) -> tuple[Sequence[Revocation], int]:
        """See `Store`. Errors: StoreError S111, S113."""
        with self._reading():
            self._generation.settle()
            with self._transaction("BEGIN"):
                revision = self._stored_revision(since)
                rows = self._connection.execute(_SINCE, (since,)).fetchall()
            self._revision = revision
            return [_read(row) for row in rows], revision

    def generation(self) -> int | None:
        """See `Store`."""
        return self._generation.current()

    def seen(self, session: bytes, at_us: int) -> None:
        """See `Store`. Errors: StoreError S111, S113; ValueError for what is no digest."""
        if not self._told.is_news(session, at_us):
            return
        with self._reading():
            self._connection.execute(_SEEN, (session, at_us))
            if self._purged_us is None or at_us - self._purged_us >= _PURGED_EVERY_US:
                self._connection.execute("DELETE FROM session WHERE at_us < ?", (at_us - KEPT_US,))
                self._purged_us = at_us
        self._told.keep(session, at_us)

    def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
        """See `Store`. Errors: StoreError S111, S113."""
        check_sought(sessions)
        places = ", ".join("?" * len(sessions))
        with self._reading():
            rows = self._connection.execute(
                f"SELECT digest, at_us FROM session WHERE digest IN ({places})",  # noqa: S608 - of question marks
                tuple(sessions),
            ).fetchall()
        stored = {digest: at_us if isinstance(at_us, int) else LATEST_US for digest, at_us in rows}
        return self._told.latest(sessions, stored)

    def status(self) -> Status:
        """See `Store`. Usable while the last thing that was asked of the file was done."""
        return Status(usable=not self._detail, detail=self._detail)

    def close(self) -> None:
        """See `Store`."""
        self._connection.close()
        self._generation.close()

    def _prepare(self) -> None:
        """Make the tables where the file is new; of two processes that find it so, one makes them."""
        with self._reading(), self._generation.writing(BUSY_S):
            for pragma in (
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "trusted_schema = OFF",
                "cell_size_check = ON",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            with self._transaction("BEGIN IMMEDIATE"):
                if self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
                    for statement in _SCHEMA:
                        self._connection.execute(statement)
                    self._connection.execute("INSERT INTO about VALUES (1, ?, 0)", (VERSION,))
                version = self._connection.execute("SELECT version FROM about").fetchone()
            if version != (VERSION,):
                said = f"it has version {version and version[0]}, and this program knows {VERSION}"
                raise StoreError("S114", f"the store {self._path} is not usable: {said}: use the program that made it")

    def _one(self, identity: Identity) -> Revocation | None:
        row = self._connection.execute(_ONE, identity).fetchone()
        return None if row is None else _read(row)

    def _put(self, entry: Revocation) -> int:
        revision = self._stored_revision() + 1
        values = (entry.kind, entry.issuer, entry.value, entry.at_us, entry.until_us, entry.by, revision)
        self._connection.execute("REPLACE INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        self._connection.execute("UPDATE about SET revision = ?", (revision,))
        return revision

    def _make_room(self) -> None:
        """Forget what is over only when the room is needed: so a clock that jumps forgets nothing most of the time."""
        if self._count() >= self._most:
            self._connection.execute(_PURGE, (self._clock_us() - GRACE_US,))
        if self._count() >= self._most:
            raise full(str(self._path), self._most)

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM revocation").fetchone()[0])

    def _stored_revision(self, since: int = 0) -> int:
        row = self._connection.execute("SELECT revision FROM about").fetchone()
        known, revision = max(since, self._revision), -1 if row is None else int(row[0])
        if revision < known:
            raise self._lost(f"it is at revision {revision} after {known}")
        return revision

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that is on the disk, and that everyone finds, when the block has ended."""
        with self._reading():
            self._connection.execute("PRAGMA synchronous = FULL")
            try:
                with self._generation.writing(BUSY_S), self._transaction("BEGIN IMMEDIATE"):
                    yield
            finally:
                self._connection.execute("PRAGMA synchronous = NORMAL")

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever goes wrong in the block has a name of ours, and shows in `status`; a full list is no failure."""
        try:
            self._check_in_place()
            yield
        except StoreError as error:
            if error.code != "S112":
                self._detail = error.detail
            raise
        except Exception as error:
            failure = self._failure(error)
            self._detail = failure.detail
            raise failure from error
        self._detail = ""

    def _check_in_place(self) -> None:
        try:
            there = os.path.samestat(self._about, self._path.lstat())
        except OSError:
            there = False
        if not there or not self._generation.is_in_place():
            raise self._lost("it was deleted or replaced while it was in use")

    def _lost(self, what: str) -> StoreError:
        remedy = "restart to go on with what is there now, and revoke again what is missing"
        return lost(str(self._path), what, remedy)

    def _failure(self, error: Exception) -> StoreError:
        if isinstance(error, OSError | sqlite3.OperationalError):
            remedy = "see that its folder may be written and its disk has room"
            return StoreError("S111", f"the store {self._path} does not answer: {error}: {remedy}")
        remedy = "put it aside, restart, and revoke again what it held"
        return StoreError("S114", f"the store {self._path} is not usable: {error}: {remedy}")


def _make(path: Path) -> None:
    """An empty file of ours where there is none. Errors: OSError; ValueError for what is no file of ours alone."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{path} is not a file")
    if about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise ValueError(f"others may use it: run chmod 600 {path}")


def _read(row: tuple[object, ...]) -> Revocation:
    """Errors: ValidationError for a row that no store wrote."""
    return convert(dict(zip(_FIELDS, row, strict=True)), Revocation)
