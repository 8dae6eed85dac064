"""A `casbin_rule` table of PostgreSQL, by psycopg, which the extra `postgres` installs.

In goes where the table stands, out come its rows, a number at a time; everything that is said of a row is said by
`pdp/casbin_rule.py`, which alone loads this module.
INVARIANT: one transaction, read-only by the server's own word; each statement of it may take as long as is left of the
time for all, and no more rows are asked for once nothing is left. Identifiers are quoted by the driver.

SECURITY: an address that libpq cannot read is not repeated, nor is what libpq says of it, since that repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pdp.casbin_rule import MOST_ROWS, Clock, RuleTable, RuleTableError

_CONNECT_S = 10
_AT_A_TIME = 200
"""Rows are few: what comes at once is whole in memory before its size is seen."""

_LONGEST_NAME = 63
"""Bytes of an identifier of PostgreSQL."""

_COLUMNS = """
    SELECT attname FROM pg_catalog.pg_attribute
    WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""


def read_postgres(
    table: RuleTable, columns_of: Callable[[Iterable[str], RuleTable], list[str]], most_s: float, clock: Clock
) -> Iterator[Sequence[object]]:
    """The rows of a table; `columns_of` says which of its columns to read, `most_s` how long all may take by `clock`.

    Errors: RuleTableError I403, I405.
    """
    try:
        conninfo_to_dict(table.address)
    except psycopg.Error:
        raise RuleTableError("I403", f"{table.shown} is no address that PostgreSQL's library can read") from None
    try:
        with psycopg.connect(table.address, connect_timeout=_CONNECT_S, client_encoding="utf-8") as connection:
            connection.read_only = True
            yield from _Reading(connection, table, most_s, clock, clock() + most_s).rows(columns_of)
            connection.rollback()
    except psycopg.errors.QueryCanceled as error:
        raise _too_long(table, most_s) from error
    except psycopg.Error as error:
        raise RuleTableError("I403", f"{table.shown} cannot be read: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise RuleTableError("I403", f"{table.shown} holds what is not UTF-8") from error


def _too_long(table: RuleTable, most_s: float) -> RuleTableError:
    what = f"to read `{table.table}` takes more than {most_s:g} s"
    return RuleTableError("I405", f"{table.shown}: {what}: name a table, or a view that ends")


class _Reading(Struct, frozen=True):
    """A table, read over a connection until `end` by the clock."""

    connection: psycopg.Connection
    table: RuleTable
    most_s: float
    clock: Clock
    end: float

    def rows(self, columns_of: Callable[[Iterable[str], RuleTable], list[str]]) -> Iterator[Sequence[object]]:
        connection, table = self.connection, self.table
        parts = table.table.split(".")
        name = sql.Identifier(*parts)
        # PostgreSQL would cut such a name, and read the table that is called by what is left.
        cut = any(len(part.encode()) > _LONGEST_NAME or "\0" in part for part in parts)
        self._limit()
        found = [] if cut else connection.execute(_COLUMNS, (name.as_string(connection),)).fetchall()
        columns = sql.SQL(", ").join(map(sql.Identifier, columns_of((str(row[0]) for row in found), table)))
        statement = sql.SQL("SELECT {} FROM {} ORDER BY {} LIMIT {}").format(
            columns, name, sql.Identifier("id"), MOST_ROWS + 1
        )
        # A cursor of the server's, so that a table without end is refused while it comes.
        with connection.cursor(name="casbin_rule") as cursor:
            self._limit()
            cursor.execute(statement)
            while rows := self._some(cursor):
                yield from rows

    def _some(self, cursor: psycopg.ServerCursor[tuple[object, ...]]) -> Sequence[Sequence[object]]:
        self._limit()
        return cursor.fetchmany(_AT_A_TIME)

    def _limit(self) -> None:
        """Let the next statement take what is left. Errors: RuleTableError I405 where nothing is."""
        left_ms = int((self.end - self.clock()) * 1000)
        if left_ms < 1:
            raise _too_long(self.table, self.most_s)
        self.connection.execute(sql.SQL("SET statement_timeout = {}").format(left_ms))
