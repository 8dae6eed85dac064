"""A connection to PostgreSQL that is answered in time or closed, by psycopg's wrapper of libpq.

In go an address and statements with their values, out come rows of whole numbers and bytes; every failure is a
`PostgresError`. The server ends a statement by itself after half of that time, since what it says then is more than
that it did not answer. It also ends a transaction that says nothing for as long: a host that was stopped in the middle
of a change holds up the others no longer than that.
INVARIANT: an exchange that did not end as it should closes the connection: no answer is taken for that of another.
Source: postgresql.org, "Asynchronous Command Processing" (libpq); psycopg.org, "pq - libpq wrapper module".

SECURITY: an address may hold a password: `shown` is without who, password and options. An address of which it is in
doubt where its host begins is refused, since libpq would repeat the rest as a name that it cannot find. Names in
statements are looked up in our schema, where it is named, and in the server's own alone.

Decision: 2026-11-21. libpq is waited for here and not by psycopg's own connection, whose wait has no end: a server that
    is there and says nothing would keep its caller, and libpq's own limits count for the beginning alone.
Decision: 2026-11-21. The names of hosts are looked up by libpq, which waits for the system's resolver as long as that
    takes: who cannot have that writes an address.
"""

from __future__ import annotations

import contextlib
import re
import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, PGconn, PollingStatus, abc

__all__ = ["ANSWER_S", "Access", "Address", "Connection", "PostgresError", "Row", "Value", "address_of"]

ANSWER_S = 2.0

Value = int | bytes | None
Row = tuple[Value, ...]
Access = Literal["ISOLATION LEVEL READ COMMITTED READ WRITE", "ISOLATION LEVEL REPEATABLE READ READ ONLY"]
Clock = Callable[[], float]

_INTEGERS = frozenset({20, 21, 23})
_BYTES = frozenset({17, 25, 2278})
"""Object ids of int8, int2 and int4; of bytea, text and void: PostgreSQL, `pg_type.dat`."""

_HOST = r"(\[[^\[\]]*\]|[^:\[\],]*)(:[0-9]*)?"
_HOSTS = re.compile(f"{_HOST}(,{_HOST})*", re.ASCII)
_NOW_S = 0.0
_SETTINGS = """
    SELECT set_config('search_path', 'pg_catalog', false), set_config('row_security', 'off', false),
        set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $1, false),
        set_config('synchronous_commit', CASE current_setting('synchronous_commit')
            WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""


class PostgresError(Exception):
    """What the server, or the way to it, says of a failure. `state` is the SQLSTATE, "" where there is none."""

    def __init__(self, said: str, state: str = "") -> None:
        self.state = state
        super().__init__(" ".join(said.split()))


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, and what messages may say of it."""

    shown: str
    conninfo: str = field(repr=False)


def address_of(text: str) -> Address:
    """The address of a `postgresql://` URL. Errors: ValueError, which does not repeat it."""
    scheme, _, rest = text.partition("://")
    authority, _, behind = rest.replace("?", "/").replace("#", "/").partition("/")
    hosts = authority.rpartition("@")[2]
    in_doubt = "#" in text or "@" in behind or authority.count("@") > 1 or not _HOSTS.fullmatch(hosts)
    if scheme != "postgresql" or in_doubt:
        raise ValueError(
            "it is in doubt where its host begins: write `@`, `/`, `?` and `#` in a password by number, %40"
        )
    try:
        path = urlsplit(text).path
        conninfo = make_conninfo(text, client_encoding="UTF8", fallback_application_name="portcullis")
    except (psycopg.Error, ValueError):
        raise ValueError("PostgreSQL's library cannot read it: write postgresql://USER@HOST:PORT/DATABASE") from None
    return Address(f"postgresql://{hosts}{path}", conninfo)


class Connection:
    """A connection, of one thread at a time; beginning takes `answer_s` at most, and so does every statement.

    Errors: PostgresError, of this and of every method.
    """

    def __init__(self, address: Address, answer_s: float = ANSWER_S, clock: Clock = time.monotonic) -> None:
        self._answer_s, self._clock = answer_s, clock
        try:
            self._server = PGconn.connect_start(address.conninfo.encode())
        except psycopg.Error as error:
            raise PostgresError(str(error)) from error
        with self._whole():
            self._connect(clock() + answer_s)
            self.ask(_SETTINGS, str(int(answer_s * 500)))

    def ask(self, statement: str, *values: Value | str) -> list[Row]:
        """The rows of one statement. Units: a whole number is sent as text, which the statement's place makes one.

        Errors: besides, ValueError for a row of anything but whole numbers, bytes and texts.
        """
        result = self._exchange(statement, values)
        columns = range(result.nfields)
        return [tuple(_value(result, row, column) for column in columns) for row in range(result.ntuples)]

    @contextlib.contextmanager
    def transaction(self, access: Access) -> Iterator[None]:
        """What is asked in the block is done as one when the block has ended, or not at all."""
        self.ask(f"BEGIN {access}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(PostgresError):
                self.ask("ROLLBACK")
            raise
        if self._exchange("COMMIT", ()).command_status != b"COMMIT":
            raise PostgresError("the transaction was not committed")

    def wait(self, most_s: float) -> None:
        """Until something is told on a channel that is listened to, or time is over."""
        end_s = self._clock() + most_s
        with self._whole():
            while self._server.notifies() is None:
                if not self._ready(select.POLLIN, end_s):
                    return
                self._server.consume_input()
            while self._server.notifies() is not None:
                pass

    def is_open(self) -> bool:
        """Whether neither side has ended it, as far as that can be told without asking."""
        try:
            with self._whole():
                while self._ready(select.POLLIN, _NOW_S):
                    self._server.consume_input()
                return self._server.status == ConnStatus.OK
        except PostgresError:
            return False

    def close(self) -> None:
        """End it. Twice is once."""
        self._server.finish()

    def _connect(self, end_s: float) -> None:
        while self._server.status != ConnStatus.BAD:
            match self._server.connect_poll():
                case PollingStatus.OK:
                    self._server.nonblocking = 1
                    return
                case PollingStatus.READING:
                    self._await(select.POLLIN, end_s)
                case PollingStatus.WRITING:
                    self._await(select.POLLOUT, end_s)
                case _:
                    break
        raise PostgresError(self._server.get_error_message())

    def _exchange(self, statement: str, values: Sequence[Value | str]) -> abc.PGresult:
        end_s = self._clock() + self._answer_s
        formats = [Format.BINARY if isinstance(value, bytes) else Format.TEXT for value in values]
        with self._whole():
            self._server.send_query_params(
                statement.encode(), [_sent(value) for value in values], None, formats, Format.BINARY
            )
            while self._server.flush():
                if self._await(select.POLLIN | select.POLLOUT, end_s) & select.POLLIN:
                    self._server.consume_input()
            result = None
            while (more := self._received(end_s)) is not None:
                result = more
        if result is None or result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
            state = None if result is None else result.error_field(DiagnosticField.SQLSTATE)
            said = None if result is None else result.error_field(DiagnosticField.MESSAGE_PRIMARY)
            raise PostgresError(_text(said) or self._server.get_error_message(), _text(state))
        return result

    def _received(self, end_s: float) -> abc.PGresult | None:
        while self._server.is_busy():
            self._await(select.POLLIN, end_s)
            self._server.consume_input()
        return self._server.get_result()

    def _await(self, events: int, end_s: float) -> int:
        ready = self._ready(events, end_s)
        if not ready:
            raise PostgresError(f"nothing came within {self._answer_s:g} s")
        return ready

    def _ready(self, events: int, end_s: float) -> int:
        """What of `events` is ready, an end of the connection included; 0 where nothing is until `end_s`."""
        polled = select.poll()
        polled.register(self._server.socket, events)
        found = polled.poll(max(0.0, end_s - self._clock()) * 1_000)
        return found[0][1] if found else 0

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Whatever breaks the block off closes the connection."""
        try:
            yield
        except (psycopg.Error, OSError) as error:
            self.close()
            raise PostgresError(str(error)) from error
        except BaseException:
            self.close()
            raise


def _sent(value: Value | str) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _value(result: abc.PGresult, row: int, column: int) -> Value:
    raw, kind = result.get_value(row, column), result.ftype(column)
    if raw is None or kind in _BYTES:
        return raw
    if kind in _INTEGERS:
        return int.from_bytes(raw, "big", signed=True)
    raise ValueError(f"a column has values of the type {kind}, which no store has")


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
