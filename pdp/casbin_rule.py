"""The standard `casbin_rule` table of a database, read: policy rows as Casbin's adapters keep them.

In goes a place on the command line, `sqlite:FILE[?table=NAME]` or `postgresql://…[?table=NAME]`; out come the records
(policy type, then values, None where a column is NULL) in the order of their `id`, for policy_lang/casbin/rows.py.
INVARIANT: nothing is written, whatever the table is: the database is opened for reading only. A table is read whole, in
one statement, or refused by name; names of tables and columns never become text of a statement unquoted.
Source: language.md 6.4; the tables that Casbin's adapters for SQLAlchemy, GORM and Sequelize make.

SECURITY: what an address holds before its host is not repeated in any message: a password may stand there. An address
of which it is in doubt where its host begins, or that is written for another program, is refused and not repeated:
libpq splits at the first `@`, and says in its messages what it takes for a host or a port.

Decision (2026-11-21): a table without `id` is refused, since the order of rows counts under `priority` and nothing else
says what it is; so is one whose `id` is no whole number, or stands twice. Columns `v6`, `v7`, … are read where they are
there. A value that is no text is refused.
Decision (2026-11-21): rows and bytes are bounded while they come, before they are kept: a database is no file whose
size shows. So is the work of SQLite, in steps of its machine, since a view may never come to its first row; a read of
PostgreSQL is bounded as a whole by a minute, however many statements it takes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from msgspec import Struct

from pdp.errors import PdpError
from policy_lang.casbin.rows import MOST_BYTES

TABLE = "casbin_rule"
"""What the table is called where the place does not say."""

MOST_ROWS = 2_000_000
"""Rows that are read of one table."""

MOST_STEPS = 10**9
"""Steps of SQLite's machine, about a minute of them; to sort the most rows that are read takes a twentieth."""

MOST_S = 60.0
"""Seconds that a read of PostgreSQL takes, from the first statement to the last row."""

Record = tuple[str | None, ...]
Clock = Callable[[], float]
"""Seconds since some moment."""

_POSTGRES = ("postgresql://", "postgres://")
_SQLITE = "sqlite:"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ADDRESS = re.compile(r"://|^\s*postgres(ql)?:|\bpassword\s*=", re.IGNORECASE)
"""What stands in addresses that other programs take, and hardly in the name of a file."""

_HOSTS = re.compile(r"(\[[^\[\]]*\]|[^:\[\],]*)(:[0-9]*)?(,(\[[^\[\]]*\]|[^:\[\],]*)(:[0-9]*)?)*", re.ASCII)
_NO_TEXT = re.compile("[\ud800-\udfff]")
"""What stands in an argument for a byte that is not UTF-8."""

_TYPE, _ID = "ptype", "id"
_VALUE = re.compile(r"v(0|[1-9][0-9]?)", re.ASCII)
_VALUES_NEEDED = 6
_BUSY_S = 5.0

INSTALL = "pip install 'psycopg[binary]'"
"""By the name of what is missing: under ours an index of packages may hold another's."""

_STEPS_A_TURN = 100_000


class RuleTableError(PdpError):
    """A `casbin_rule` table that cannot be read: the operator's to mend."""


class RuleTable(Struct, frozen=True):
    """Where a table stands. `address` is the file, or the URL without the table's name; `shown` names the place without
    what is secret in it; `table` has a schema before a `.` only where the place says so (PostgreSQL).
    """

    kind: Literal["sqlite", "postgresql"]
    address: str
    table: str
    shown: str


def rule_table(place: str) -> RuleTable | None:
    """The table that a place names; None where it names none, and is a file.

    Errors: RuleTableError I401 for a place that begins as one and is none.
    """
    if place.startswith(_SQLITE):
        file, _, query = place.removeprefix(_SQLITE).partition("?")
        options, other = _options(query, f"{_SQLITE}{file}")
        if other:
            raise RuleTableError("I401", f"{_SQLITE}{file}: after `?` there is `table=NAME` alone")
        if not file:
            raise RuleTableError("I401", f"{place}: name the file, as in `sqlite:policy.db?table={TABLE}`")
        return RuleTable("sqlite", file, options, f"{_SQLITE}{file}")
    if place.startswith(_POSTGRES):
        return _postgres(place)
    if _ADDRESS.search(place):
        scheme = _SCHEME.match(place)
        what = "such an address" if scheme is None else f"`{scheme[0]}…`"
        known = f"name a file, `{_SQLITE}FILE` or `{_POSTGRES[0]}…`"
        raise RuleTableError("I401", f"rows are not read from {what}: {known}")
    return None


def _postgres(place: str) -> RuleTable:
    authority, _, behind = re.sub("[/?#]", "/", place.partition("://")[2]).partition("/")
    if "#" in place or "@" in behind or authority.count("@") > 1:
        why = "write `@`, `/`, `?` and `#` within a name or a password as %40, %2F, %3F and %23"
        raise RuleTableError("I401", f"it is in doubt where the host of the postgresql:// address begins: {why}")
    hosts = authority.rpartition("@")[2]
    try:
        place.encode()
        parts = urlsplit(place)
    except ValueError:
        parts = None
    if parts is None or not _HOSTS.fullmatch(hosts):
        raise RuleTableError("I401", "the postgresql:// address is no URL: mend its host and port")
    shown = f"postgresql://{hosts}{parts.path}"
    table, other = _options(parts.query, shown)
    address = parts._replace(query=urlencode(other, quote_via=quote)).geturl()
    return RuleTable("postgresql", address, table, shown)


def _options(query: str, shown: str) -> tuple[str, list[tuple[str, str]]]:
    """The table's name, and the other options."""
    pairs = parse_qsl(query, keep_blank_values=True)
    named = [value for name, value in pairs if name == "table"]
    if len(named) > 1 or named == [""] or any(_NO_TEXT.search(name) for name in named):
        raise RuleTableError("I401", f"{shown}: `table=NAME` stands once, with a name")
    return (named or [TABLE])[0], [pair for pair in pairs if pair[0] != "table"]


def read_rule_table(
    table: RuleTable, *, most_steps: int = MOST_STEPS, most_s: float = MOST_S, clock: Clock = time.monotonic
) -> list[Record]:
    """The records of a table, in the order of their `id`; `most_steps` are those of SQLite, `most_s` for PostgreSQL.

    Errors: RuleTableError I402 psycopg is not installed, I403 the database cannot be opened or read, I404 no such
        table, or not its columns, I405 too many rows, bytes, steps or seconds, I406 a value that is no text, or an
        `id` that is no whole number, or stands twice.
    """
    if table.kind == "sqlite":
        return _read_sqlite(table, most_steps)
    if importlib.util.find_spec("psycopg") is None:
        raise RuleTableError("I402", f"a table of PostgreSQL takes psycopg: {INSTALL}")
    # Loaded where it is used: psycopg is an extra, and its library takes a moment.
    read = vars(importlib.import_module("pdp.casbin_rule_postgres"))["read_postgres"]
    with closing(read(table, columns_of, most_s, clock)) as rows:
        return kept(rows, table)


def columns_of(names: Iterable[str], table: RuleTable) -> list[str]:
    """The columns to read of those there are: `id`, the type, then the values by number.

    Errors: RuleTableError I404.
    """
    found = set(names)
    if not found:
        raise RuleTableError("I404", f"{table.shown}: no table `{table.table}`: name it by `?table=NAME`")
    numbers = sorted(int(match[1]) for name in found if (match := _VALUE.fullmatch(name)))
    needed = [_ID, _TYPE, *(f"v{number}" for number in range(max([_VALUES_NEEDED, *(n + 1 for n in numbers)])))]
    missing = [name for name in needed if name not in found]
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing[:10])
        raise RuleTableError("I404", f"{table.shown}: the table `{table.table}` has no column {listed}")
    return needed


def kept(rows: Iterable[Sequence[object]], table: RuleTable) -> list[Record]:
    """The rows, which begin with their `id` and come in its order, as records. Errors: RuleTableError I405, I406."""
    records: list[Record] = []
    size, before = 0, None
    for id_, *values in rows:
        before = _following(id_, before, len(records) + 1, table)
        record = tuple(_text(value, len(records) + 1, table) for value in values)
        size += sum(len(value) + 2 for value in record if value is not None)
        if len(records) == MOST_ROWS or size > MOST_BYTES:
            most = f"{MOST_ROWS} rows or {MOST_BYTES} bytes"
            raise RuleTableError("I405", f"{table.shown}: the table `{table.table}` holds more than {most}")
        records.append(record)
    return records


def _following(id_: object, before: int | None, number: int, table: RuleTable) -> int:
    """The `id`, which comes behind the one before."""
    if type(id_) is int and (before is None or before < id_):
        return id_
    what = f"row {number} of `{table.table}` has an `{_ID}` that is no whole number, or that stands twice"
    raise RuleTableError("I406", f"{table.shown}: {what}: it says the order of rows")


def _text(value: object, number: int, table: RuleTable) -> str | None:
    if value is None or isinstance(value, str):
        return value
    what = f"row {number} of `{table.table}` holds a value of the type {type(value).__name__}"
    raise RuleTableError("I406", f"{table.shown}: {what}: the columns {_TYPE}, v0, v1 … hold text")


# ---------------------------------------------------------------- SQLite


def _read_sqlite(table: RuleTable, most_steps: int) -> list[Record]:
    path = Path(table.address)
    if not path.is_file():
        raise RuleTableError("I403", f"{table.shown}: no such file{_as_a_path(table.address)}")
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"
    turns = iter(range(most_steps // _STEPS_A_TURN))
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
            connection.set_progress_handler(lambda: next(turns, None) is None, _STEPS_A_TURN)
            return kept(_rows_of_sqlite(connection, table), table)
    except sqlite3.Error as error:
        if next(turns, None) is None:
            what = f"to read `{table.table}` takes more than {most_steps} steps"
            raise RuleTableError("I405", f"{table.shown}: {what}: name a table, or a view that ends") from error
        raise RuleTableError("I403", f"{table.shown} cannot be read: {error}") from error


def _as_a_path(address: str) -> str:
    """What to write for an address of SQLAlchemy, where a file stands behind three slashes."""
    file = address.removeprefix("///")
    return f": behind `{_SQLITE}` stands a path, as in `{_SQLITE}{file}`" if file != address and file else ""


def _rows_of_sqlite(connection: sqlite3.Connection, table: RuleTable) -> Iterable[Sequence[object]]:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    # One state of the file for both statements: of a column that goes between the two SQLite would make its name.
    connection.execute("BEGIN")
    named = connection.execute("SELECT name FROM pragma_table_info(?)", (table.table,))
    columns = columns_of((str(row[0]) for row in named), table)
    listed = ", ".join(map(_quoted, columns))
    # Every name is one of the table's own, or quoted; the limit is one more than is kept, so that more is seen.
    statement = f"SELECT {listed} FROM {_quoted(table.table)} ORDER BY {_quoted(_ID)} LIMIT ?"  # noqa: S608
    return connection.execute(statement, (MOST_ROWS + 1,))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
