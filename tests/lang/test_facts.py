"""Facts come whole and typed, or are refused with file, line, column and remedy."""

from __future__ import annotations

import json

import pytest

from policy_lang.ir import Relation
from policy_lang.meaning.facts import MOST_NAMED, MOST_PROBLEMS, FactsError, load_facts
from policy_lang.typesystem import INT_MAX, EnumType, IntType, RoleType, Scalar, SetType
from policy_lang.verdict import Row
from tests.lang.programs import build

SHARED = Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING)))
TYPED = Relation(
    "m.typed",
    (
        ("flag", Scalar.BOOL),
        ("level", IntType(1, 5)),
        ("id", Scalar.UUID),
        ("at", Scalar.TIME),
        ("span", Scalar.DURATION),
    ),
)
UUID = "6F1C7C1E-3f0e-4a57-9d5f-0d6c8c7c2b11"
SHARED_PROGRAM = build([], [], [], relations=[SHARED])
TYPED_PROGRAM = build([], [], [], relations=[TYPED])


def shared(data: bytes, form: str = "csv") -> frozenset[Row]:
    return load_facts(SHARED_PROGRAM, {f"facts/m.shared.{form}": data})["m.shared"]


def typed(data: bytes, form: str = "csv") -> frozenset[Row]:
    return load_facts(TYPED_PROGRAM, {f"facts/m.typed.{form}": data})["m.typed"]


GOOD: dict[str, tuple[str, bytes, set[Row]]] = {
    "rows": ("csv", b"account,user\na1,u1\na2,u2\n", {("a1", "u1"), ("a2", "u2")}),
    "columns in another order": ("csv", b"user,account\nu1,a1\n", {("a1", "u1")}),
    "only a header": ("csv", b"account,user\n", set()),
    "no line feed at the end": ("csv", b"account,user\na1,u1", {("a1", "u1")}),
    "CR LF": ("csv", b"account,user\r\na1,u1\r\n", {("a1", "u1")}),
    "quotes": ("csv", b'account,user\n"a,""1""2",u1\n', {('a,"1"2', "u1")}),
    "spaces within are data": ("csv", b"account,user\na 1,u1\n", {("a 1", "u1")}),
    "empty strings": ("csv", b"account,user\n,\n", {("", "")}),
    "a row twice": ("csv", b"account,user\na1,u1\na1,u1\n", {("a1", "u1")}),
    "a byte order mark": ("csv", b"\xef\xbb\xbfaccount,user\na1,u1\n", {("a1", "u1")}),
    "a byte order mark before JSON": ("json", b'\xef\xbb\xbf[{"account": "a1", "user": "u1"}]', {("a1", "u1")}),
    "UTF-8": ("csv", "account,user\né,ü\n".encode(), {("é", "ü")}),
    "JSON": (
        "json",
        b'[{"account": "a1", "user": "u1"},\n {"user": "u2", "account": "a2"}]\n',
        {("a1", "u1"), ("a2", "u2")},
    ),
    "an empty list": ("json", b" [ ] ", set()),
}


@pytest.mark.parametrize("case", GOOD)
def test_rows(case: str) -> None:
    form, data, want = GOOD[case]
    assert shared(data, form) == want


def test_types() -> None:
    row = (True, 3, UUID.lower(), 1_767_225_600_000, 90_000)
    assert typed(f"flag,level,id,at,span\ntrue,3,{UUID},1767225600,90\n".encode()) == {row}
    assert typed(
        json.dumps([{"flag": True, "level": 3, "id": UUID, "at": 1767225600, "span": 90}]).encode(), "json"
    ) == {row}


def problems_of(files: dict[str, bytes], *relations: Relation) -> tuple[str, ...]:
    with pytest.raises(FactsError) as raised:
        load_facts(build([], [], [], relations=relations or (SHARED,)), files)
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


BAD_CSV: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "facts/m.shared.csv:1: the file is empty; its first line must be the header `account,user`"),
    "missing column": (b"account\na1\n", "facts/m.shared.csv:1: the column `user` is missing; known: account, user"),
    "unknown column": (
        b"account,user,usr\n",
        "facts/m.shared.csv:1: unknown column `usr`; did you mean `user`?",
    ),
    "unknown column like none": (b"account,user,x\n", "facts/m.shared.csv:1: unknown column `x`; known: account, user"),
    "column named twice": (b"account,user,user\n", "facts/m.shared.csv:1: the column `user` stands twice; keep one"),
    "too few values": (
        b"account,user\na1\n",
        "facts/m.shared.csv:2: the row has 1 values where the header has 2 columns",
    ),
    "too many values": (
        b"account,user\na1,u1\na2,u2,\n",
        "facts/m.shared.csv:3: the row has 3 values where the header has 2 columns",
    ),
    "blank line": (b"account,user\na1,u1\n\na2,u2\n", "facts/m.shared.csv:3: the line is blank; remove it"),
    "blank line at the end": (b"account,user\n\n", "facts/m.shared.csv:2: the line is blank; remove it"),
    "not UTF-8": (b"account,user\na1,\xff\n", "facts/m.shared.csv:2:4: not UTF-8; save the file as UTF-8"),
    "UTF-16": ("account,user\n".encode("utf-16"), "facts/m.shared.csv:1:1: not UTF-8; save the file as UTF-8"),
    "a second byte order mark": (
        b"\xef\xbb\xbf\xef\xbb\xbfaccount,user\na1,u1\n",
        "facts/m.shared.csv:1: the column `account` is missing; known: account, user",
    ),
    "NUL": (b"account,user\na1,u\x001\n", "facts/m.shared.csv:2:5: holds a NUL character; remove it"),
    "CR without LF": (
        b"account,user\ra1,u1\r",
        "facts/m.shared.csv:1:13: holds a carriage return without a line feed; end lines with LF or CR LF",
    ),
    "quote that does not end": (b'account,user\n"a1,u1\n', "facts/m.shared.csv:2: not CSV: unexpected end of data"),
    "text behind a quote": (b'account,user\n"a1"x,u1\n', "facts/m.shared.csv:2: not CSV: ',' expected after '\"'"),
    "semicolons for commas": (
        b"account;user\n",
        "facts/m.shared.csv:1: the column `account` is missing; known: account, user",
    ),
    "control in a column name": (
        b"account,user,\x1b[2J\n",
        "facts/m.shared.csv:1: unknown column `\\x1b[2J`; known: account, user",
    ),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(case: str) -> None:
    data, want = BAD_CSV[case]
    assert problems_of({"facts/m.shared.csv": data})[0] == want


def test_lines_are_counted_through_a_value_of_two() -> None:
    told = problems_of({"facts/m.shared.csv": b'account,user\n"a\nb",u1\nx\n'})
    assert told == (
        "facts/m.shared.csv:2:1: column `account`: `a\\nb` holds U+000A, a control or invisible character; remove it",
        "facts/m.shared.csv:4: the row has 1 values where the header has 2 columns",
    )


UNSEEN: dict[str, tuple[str, str]] = {
    "line end": ("a\n1", "`a\\n1` holds U+000A, a control or invisible character; remove it"),
    "CR LF": ("a\r\n1", "`a\\r\\n1` holds U+000D, a control or invisible character; remove it"),
    "tab": ("a\t1", "`a\\t1` holds U+0009, a control or invisible character; remove it"),
    "escape": ("\x1b[2J", "`\\x1b[2J` holds U+001B, a control or invisible character; remove it"),
    "C1 control": ("a\x85", "`a\\x85` holds U+0085, a control or invisible character; remove it"),
    "text turned round": ("a\u202e", "`a\\u202e` holds U+202E, a control or invisible character; remove it"),
    "line separator": ("a\u2028b", "`a\\u2028b` holds U+2028, a control or invisible character; remove it"),
    "no width": ("a\u200bb", "`a\\u200bb` holds U+200B, a control or invisible character; remove it"),
    "a letter nobody sees": ("a\u3164", "`a\\u3164` holds U+3164, a control or invisible character; remove it"),
    "byte order mark within": ("a\ufeff", "`a\\ufeff` holds U+FEFF, a control or invisible character; remove it"),
    "blank before": (" a1", "` a1` begins or ends with a blank; remove it"),
    "blank after": ("a1 ", "`a1 ` begins or ends with a blank; remove it"),
    "only a blank": (" ", "` ` begins or ends with a blank; remove it"),
    "blank of another width": ("a1\u00a0", "`a1\\xa0` begins or ends with a blank; remove it"),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_what_a_reader_would_not_see_in_a_value(case: str) -> None:
    value, want = UNSEEN[case]
    as_csv = f'account,user\na1,u1\na2,"{value}"\n'.encode()
    assert problems_of({"facts/m.shared.csv": as_csv}) == (f"facts/m.shared.csv:3:2: column `user`: {want}",)
    as_json = json.dumps([{"account": "a1", "user": value}], indent=0).replace("\n", "", 1).encode()
    assert problems_of({"facts/m.shared.json": as_json}) == (f"facts/m.shared.json:1: column `user`: {want}",)


def test_a_header_with_blanks_is_unknown() -> None:
    told = problems_of({"facts/m.shared.csv": b"account, user\n"})
    assert told[1] == "facts/m.shared.csv:1: unknown column ` user`; did you mean `user`?"


BAD_VALUES: dict[str, tuple[str, str]] = {
    "bool": ("yes,3,{uuid},0,0", "2:1: column `flag`: `yes` is no `bool`; write true or false"),
    "int": ("true,three,{uuid},0,0", "2:2: column `level`: `three` is no `int 1..5`; write a decimal integer"),
    "range": ("true,6,{uuid},0,0", "2:2: column `level`: `6` is out of the range of `int 1..5`"),
    "uuid": ("true,3,x,0,0", "2:3: column `id`: `x` is no `uuid`; write 8-4-4-4-12 hexadecimal digits"),
    "time": ("true,3,{uuid},2026-01-01,0", "2:4: column `at`: `2026-01-01` is no `time`; write Unix seconds"),
    "time out of 64 bits": (
        f"true,3,{{uuid}},{INT_MAX},0",
        f"2:4: column `at`: `{INT_MAX}` is out of the range of `time`",
    ),
    "duration": ("true,3,{uuid},0,1m", "2:5: column `span`: `1m` is no `duration`; write a whole number of seconds"),
    "empty": ("true,3,{uuid},0,", "2:5: column `span`: `` is no `duration`; write a whole number of seconds"),
    "long": (f"{'x' * 99},3,{{uuid}},0,0", f"2:1: column `flag`: `{'x' * 60}…` is no `bool`; write true or false"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values(case: str) -> None:
    row, want = BAD_VALUES[case]
    data = f"flag,level,id,at,span\n{row.replace('{uuid}', UUID)}\n".encode()
    assert problems_of({"facts/m.typed.csv": data}, TYPED) == (f"facts/m.typed.csv:{want}",)


WIDE = Relation(
    "m.wide",
    (
        ("ip", Scalar.IP),
        ("peer", Scalar.WORKLOAD),
        ("secrecy", EnumType("m.secrecy", ("public", "internal"), ordered=True)),
        ("role", RoleType(("reader", "keeper"))),
    ),
)
WIDE_ROW: Row = ("10.0.0.1", "spiffe://prod/a", "internal", "reader")


def test_addresses_workloads_enums_and_roles() -> None:
    program = build([], [], [], relations=[WIDE])
    as_csv = b"ip,peer,secrecy,role\n::ffff:10.0.0.1,spiffe://prod/a,internal,reader\n"
    assert load_facts(program, {"facts/m.wide.csv": as_csv})["m.wide"] == {WIDE_ROW}
    as_json = [{"ip": "10.0.0.1", "peer": "spiffe://prod/a", "secrecy": "internal", "role": "reader"}]
    assert load_facts(program, {"facts/m.wide.json": json.dumps(as_json).encode()})["m.wide"] == {WIDE_ROW}


WIDE_BAD: dict[str, tuple[str, str]] = {
    "a role nobody declared": (
        "10.0.0.1,spiffe://prod/a,public,raeder",
        "2:4: column `role`: `raeder` is no `role`; did you mean `reader`?",
    ),
    "a role like none": (
        "10.0.0.1,spiffe://prod/a,public,x",
        "2:4: column `role`: `x` is no `role`; write one of reader, keeper",
    ),
    "a value like none": (
        "10.0.0.1,spiffe://prod/a,5,reader",
        "2:3: column `secrecy`: `5` is no `secrecy`; write one of public, internal",
    ),
    "no workload": (
        "10.0.0.1,edge,public,reader",
        "2:2: column `peer`: `edge` is no `workload`; write a SPIFFE id, `spiffe://domain/path`",
    ),
    "a network": (
        "10.0.0.0/8,spiffe://prod/a,public,reader",
        "2:1: column `ip`: `10.0.0.0/8` is no `ip`; write an IPv4 or IPv6 address",
    ),
}


@pytest.mark.parametrize("case", WIDE_BAD)
def test_bad_names_and_addresses(case: str) -> None:
    row, want = WIDE_BAD[case]
    data = f"ip,peer,secrecy,role\n{row}\n".encode()
    assert problems_of({"facts/m.wide.csv": data}, WIDE) == (f"facts/m.wide.csv:{want}",)


def test_of_many_roles_the_first_are_listed() -> None:
    many = Relation("m.many", (("role", RoleType(tuple(f"role_{n}" for n in range(MOST_NAMED + 1)))),))
    [problem] = problems_of({"facts/m.many.csv": b"role\nx\n"}, many)
    assert problem.endswith(f"role_{MOST_NAMED - 1}, …")


def test_every_wrong_value_of_a_row_is_told() -> None:
    data = b"flag,level,id,at,span\nx,y,z,0,0\n"
    assert len(problems_of({"facts/m.typed.csv": data}, TYPED)) == 3


BAD_JSON: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "1:1: not a list of rows; write `[{…}, …]`"),
    "an object": (b'{"account": "a"}', "1:1: not a list of rows; write `[{…}, …]`"),
    "a list of lists": (
        b'[["a1", "u1"]]',
        '1: `["a1", "u1"]` is no row; write an object whose members are the columns',
    ),
    "null": (b"[null]", "1: `null` is no row; write an object whose members are the columns"),
    "missing column": (b'[\n{"account": "a1"}]', "2: the column `user` is missing; known: account, user"),
    "unknown column": (
        b'[{"account": "a1", "user": "u1", "users": 1}]',
        "1: unknown column `users`; did you mean `user`?",
    ),
    "column named twice": (
        b'[\n\n{"account": "a1", "user": "u1", "user": "u2"}]',
        "3: not JSON: the member `user` stands twice in one object",
    ),
    "wrong type": (b'[{"account": "a1",\n "user": 1}]', "1: column `user`: `1` is no `string`; write text"),
    "null for a value": (b'[{"account": "a1", "user": null}]', "1: column `user`: `null` is no `string`; write text"),
    "a list for a value": (b'[{"account": "a1", "user": []}]', "1: column `user`: `[]` is no `string`; write text"),
    "lone surrogate": (
        b'[{"account": "\\ud800", "user": "u"}]',
        '1: column `account`: `"\\ud800"` is no `string`; write text',
    ),
    "no number": (b'[{"account": NaN, "user": "u"}]', "1: not JSON: `NaN` is no number"),
    "cut short": (b'[{"account": "a1"', "1:18: not JSON: expecting ',' delimiter"),
    "no end": (b'[{"account": "a1", "user": "u1"}\n', "2:1: not JSON: expected `,` or `]` after a row"),
    "a comma too many": (b'[{"account": "a1", "user": "u1"},]', "1:34: not JSON: expecting value"),
    "two lists": (b"[]\n[]", "2:1: not JSON: something follows the list of rows"),
    "not UTF-8": (b'[{"account": "\xff"}]', "1:15: not UTF-8; save the file as UTF-8"),
    "NUL": (b"[\0]", "1:2: holds a NUL character; remove it"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json(case: str) -> None:
    data, want = BAD_JSON[case]
    assert problems_of({"facts/m.shared.json": data})[0] == f"facts/m.shared.json:{want}"


def test_nested_without_end_is_a_problem_and_no_crash() -> None:
    [problem] = problems_of({"facts/m.shared.json": b"[" * 200_000})
    assert problem.startswith("facts/m.shared.json:1: not JSON:")


def test_a_number_without_end_is_a_problem_and_no_crash() -> None:
    [problem] = problems_of({"facts/m.typed.json": b'[{"flag": ' + b"9" * 100_000 + b"}]"}, TYPED)
    assert problem.startswith("facts/m.typed.json:1: not JSON:")


FILES: dict[str, tuple[dict[str, bytes], str]] = {
    "no file": ({}, "facts/m.shared.csv: no facts for the relation `m.shared`; add one with the header `account,user`"),
    "a file of another case": (
        {"facts/m.shared.CSV": b"account,user\n"},
        "facts/m.shared.csv: no facts for the relation `m.shared`; add one with the header `account,user`",
    ),
    "a file in another folder": (
        {"m.shared.csv": b"account,user\n"},
        "facts/m.shared.csv: no facts for the relation `m.shared`; add one with the header `account,user`",
    ),
    "both forms": (
        {"facts/m.shared.csv": b"account,user\n", "facts/m.shared.json": b"[]"},
        "facts/m.shared.csv: the relation `m.shared` has also facts/m.shared.json; keep one of the two",
    ),
    "a relation that is not declared": (
        {"facts/m.shared.csv": b"account,user\n", "facts/m.share.csv": b""},
        "facts/m.share.csv: no relation `m.share` is declared; did you mean `m.shared`?",
    ),
    "a relation like none": (
        {"facts/m.shared.csv": b"account,user\n", "facts/x.json": b""},
        "facts/x.json: no relation `x` is declared; declare the relation or remove the file",
    ),
    "a folder within": (
        {"facts/m.shared.csv": b"account,user\n", "facts/old/zzz.csv": b""},
        "facts/old/zzz.csv: no relation `old/zzz` is declared; declare the relation or remove the file",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files(case: str) -> None:
    files, want = FILES[case]
    assert problems_of(files) == (want,)


def test_other_files_are_not_looked_at() -> None:
    files = {"facts/m.shared.csv": b"account,user\n", "facts/README.md": b"\xff", "a.pol": b"", "x.csv": b"\0"}
    assert load_facts(SHARED_PROGRAM, files) == {"m.shared": frozenset()}


def test_a_program_without_relations_needs_no_facts() -> None:
    assert load_facts(build([], [], []), {}) == {}


def test_problems_of_all_files_are_told_in_one_run() -> None:
    files = {"facts/m.shared.csv": b"account\n", "facts/m.typed.csv": b"flag\n", "facts/zzz.csv": b""}
    told = problems_of(files, SHARED, TYPED)
    assert [each.split(":")[0] for each in told] == ["facts/zzz.csv", "facts/m.shared.csv"] + ["facts/m.typed.csv"] * 4


def test_the_problems_of_one_file_are_counted_beyond_the_first() -> None:
    told = problems_of({"facts/m.shared.csv": b"account,user\n" + b"x\n" * (MOST_PROBLEMS + 7)})
    assert len(told) == MOST_PROBLEMS + 1
    assert told[-1] == "facts/m.shared.csv: 7 more not shown"


def test_a_relation_of_sets_has_no_facts() -> None:
    relation = Relation("m.sets", (("a", SetType(Scalar.STRING)),))
    [problem] = problems_of({"facts/m.sets.csv": b"a\n"}, relation)
    assert problem.endswith("has a column that is a set; facts hold scalars only")
