"""Fact files to typed rows: every declared relation from its one file, or no facts at all.

In come the files of a bundle by path, out go the rows by relation id. Files are `facts/<relation id>.csv` or `.json`;
other files are not looked at. A missing or malformed file is an error and never an empty table: an empty relation is a
file with only a header, or `[]`. All problems of all files are found in one run, each as one line with file, line,
column and remedy.

CSV: RFC 4180 in UTF-8; the header names the columns in any order; values as text (policy_lang/meaning/schema.py).
JSON: a list of objects, one a row, whose members are the columns; values as in the JSON of a token. The same row twice
is one row. Roles and values of an enum stand as their plain names, workloads as their SPIFFE ids, addresses in any
notation.
A byte order mark at the start of a file is passed over, as in policies and settings: spreadsheets write one.
Refused by name: NUL, a CR without LF, bytes that are not UTF-8, a column that is missing, unknown or
named twice, a row with more or fewer values, a value of another type, a blank line, a string with a control or an
invisible character or with a blank at either end, both files for one relation, a file for a relation that is not
declared.
Source: contracts.md "Bundles, places, configuration"; language.md point I.

Decision (2026-11-21): a time or a duration in a fact is in seconds, as in a token: one way to write it everywhere.
Decision (2026-11-21): strings hold no line end, no tab and nothing of what a policy may not hold (E103), also not as an
escape of JSON, and neither begin nor end with a blank. No identifier needs them, nobody sees them, and a row that is
compared with the wrong text is a deny that does not hold.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, assert_never

from msgspec import Struct

from policy_lang.diagnostics import HIDDEN, nearest, printable
from policy_lang.ir import Program, Relation, ScalarValue
from policy_lang.meaning.schema import Misfit, from_text, scalar_from_json
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, ScalarType, SetType
from policy_lang.verdict import Facts, Json, Row

FOLDER = "facts/"
MOST_PROBLEMS = 20
"""Problems told of one file; the rest is counted."""

LONGEST_SHOWN = 60
"""Characters of a value that a problem shows."""

MOST_NAMED = 12
"""Names of roles or values of an enum that a problem lists."""


class FactsError(Exception):
    """The facts were refused. `problems` holds one line each, at least one."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Problem(Struct, frozen=True):
    """What is wrong with a fact file; `line` and `column` from 1, where there is a place; `column` counts characters
    where the file cannot be read and fields of the row where a value is wrong."""

    text: str
    line: int | None = None
    column: int | None = None


def load_facts(program: Program, files: Mapping[str, bytes]) -> Facts:
    """The rows of every declared relation. Raises `FactsError` with all that is wrong."""
    relations = {relation.id: relation for relation in program.relations}
    problems = list(islice(_misplaced(relations, files), MOST_PROBLEMS))
    facts: dict[str, frozenset[Row]] = {}
    for id_, relation in sorted(relations.items()):
        paths = [path for path in (f"{FOLDER}{id_}.csv", f"{FOLDER}{id_}.json") if path in files]
        if not paths:
            remedy = f"add one with the header `{','.join(name for name, _ in relation.columns)}`"
            problems.append(f"{FOLDER}{id_}.csv: no facts for the relation `{id_}`; {remedy}")
        elif len(paths) > 1:
            problems.append(f"{paths[0]}: the relation `{id_}` has also {paths[1]}; keep one of the two")
        else:
            read = load_relation(relation, files[paths[0]], "csv" if paths[0].endswith(".csv") else "json")
            if isinstance(read, frozenset):
                facts[id_] = read
            else:
                problems += _told(paths[0], read)
    if problems:
        raise FactsError(problems)
    return facts


def load_relation(
    relation: Relation, data: bytes, form: Literal["csv", "json"]
) -> frozenset[Row] | tuple[Problem, ...]:
    """The rows of one file, or all that is wrong with it."""
    text = _text(data)
    if isinstance(text, Problem):
        return (text,)
    columns = tuple((name, of) for name, of in relation.columns if not isinstance(of, SetType))
    if len(columns) != len(relation.columns):
        return (Problem(f"the relation `{relation.id}` has a column that is a set; facts hold scalars only"),)
    rows: list[Row] = []
    problems: list[Problem] = []
    for each in (_csv_rows if form == "csv" else _json_rows)(relation, columns, text):
        if isinstance(each, Problem):
            problems.append(each)
        else:
            rows.append(each)
    return tuple(problems) if problems else frozenset(rows)


def _misplaced(relations: Mapping[str, Relation], files: Mapping[str, bytes]) -> Iterator[str]:
    """The fact files that belong to no relation."""
    for path in sorted(files):
        name, dot, ending = path.removeprefix(FOLDER).rpartition(".")
        if path.startswith(FOLDER) and dot and ending in {"csv", "json"} and name not in relations:
            hint = nearest(name, relations) or "declare the relation or remove the file"
            yield printable(f"{path}: no relation `{name}` is declared; {hint}")


def _told(path: str, problems: Sequence[Problem]) -> Iterator[str]:
    for each in problems[:MOST_PROBLEMS]:
        places = [path, *(str(number) for number in (each.line, each.column) if number is not None)]
        yield f"{':'.join(places)}: {each.text}"
    if len(problems) > MOST_PROBLEMS:
        yield f"{path}: {len(problems) - MOST_PROBLEMS} more not shown"


def _text(data: bytes) -> str | Problem:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        return _at("not UTF-8; save the file as UTF-8", before, len(before))
    if "\0" in text:
        return _at("holds a NUL character; remove it", text, text.index("\0"))
    lone = _LONE_CR.search(text)
    if lone is not None:
        return _at("holds a carriage return without a line feed; end lines with LF or CR LF", text, lone.start())
    return text


def _at(problem: str, text: str, offset: int) -> Problem:
    """A problem at a place in a text."""
    start = text.rfind("\n", 0, offset) + 1
    return Problem(problem, text.count("\n", 0, offset) + 1, offset - start + 1)


# ---------------------------------------------------------------- columns and values

_LONE_CR = re.compile(r"\r(?!\n)")
_UNSEEN = re.compile(rf"[{HIDDEN}\t\r\n]")

Rows = Iterator[Row | Problem]
Columns = tuple[tuple[str, ScalarType], ...]


def _column_problems(relation: Relation, named: Sequence[str]) -> Iterator[str]:
    """What is wrong with the columns that a header or a row names."""
    columns = [name for name, _ in relation.columns]
    known = f"known: {', '.join(columns)}"
    for name in columns:
        if named.count(name) != 1:
            fault = "stands twice; keep one" if name in named else f"is missing; {known}"
            yield f"the column `{name}` {fault}"
    for name in dict.fromkeys(named):
        if name not in columns:
            yield f"unknown column {_shown(name)}; {nearest(name, columns) or known}"


def _shown(text: str) -> str:
    """A text of the file in backticks, cut, and escaped where it is not printable."""
    plain = text.isprintable() and not _UNSEEN.search(text)
    escaped = text if plain else text.encode("unicode_escape").decode("ascii")
    return f"`{escaped}`" if len(escaped) <= LONGEST_SHOWN else f"`{escaped[:LONGEST_SHOWN]}…`"


def _misfit(misfit: Misfit, name: str, declared: ScalarType, given: str) -> str:
    if misfit.fault == "range":
        return f"column `{name}`: {_shown(given)} is out of the range of `{declared}`"
    hint = nearest(given, declared.values) if isinstance(declared, EnumType) else ""
    hint = nearest(given, declared.names) if isinstance(declared, RoleType) else hint
    return f"column `{name}`: {_shown(given)} is no `{declared}`; {hint or f'write {_form(declared)}'}"


def _unseen(value: ScalarValue, name: str) -> str | None:
    """What a reader of the file would not see in a string."""
    if not isinstance(value, str):
        return None
    hidden = _UNSEEN.search(value)
    if hidden is not None:
        named = f"U+{ord(hidden[0]):04X}"
        return f"column `{name}`: {_shown(value)} holds {named}, a control or invisible character; remove it"
    if value != value.strip():
        return f"column `{name}`: {_shown(value)} begins or ends with a blank; remove it"
    return None


def _form(declared: ScalarType) -> str:
    match declared:
        case IntType():
            return "a decimal integer"
        case Scalar.BOOL:
            return "true or false"
        case Scalar.STRING:
            return "text"
        case Scalar.UUID:
            return "8-4-4-4-12 hexadecimal digits"
        case Scalar.TIME:
            return "Unix seconds"
        case Scalar.DURATION:
            return "a whole number of seconds"
        case Scalar.IP:
            return "an IPv4 or IPv6 address"
        case Scalar.WORKLOAD:
            return "a SPIFFE id, `spiffe://domain/path`"
        case EnumType(_, known, _) | RoleType(known):
            more = ", …" if len(known) > MOST_NAMED else ""
            return f"one of {', '.join(known[:MOST_NAMED])}{more}" if known else "nothing: it has no values"
        case _:
            assert_never(declared)


# ---------------------------------------------------------------- CSV


def _csv_rows(relation: Relation, columns: Columns, text: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    line = 1
    try:
        for fields in reader:
            if line == 1:
                header = fields
                faults = list(_column_problems(relation, header))
                yield from (Problem(fault, line) for fault in faults)
                if faults:
                    return
            elif len(fields) != len(header):
                yield Problem(_ragged(len(fields), len(header)), line)
            else:
                yield from _csv_row(columns, header, fields, line)
            line = reader.line_num + 1
    except csv.Error as error:
        yield Problem(f"not CSV: {error}", line)
        return
    if line == 1 and not header:
        yield Problem(f"the file is empty; its first line must be the header `{','.join(n for n, _ in columns)}`", 1)


def _ragged(have: int, want: int) -> str:
    return f"the row has {have} values where the header has {want} columns" if have else "the line is blank; remove it"


def _csv_row(columns: Columns, header: Sequence[str], fields: Sequence[str], line: int) -> Rows:
    row: list[bool | int | str] = []
    for name, declared in columns:
        index = header.index(name)
        value = from_text(declared, fields[index])
        if isinstance(value, Misfit):
            yield Problem(_misfit(value, name, declared, fields[index]), line, index + 1)
        elif (unseen := _unseen(value, name)) is not None:
            yield Problem(unseen, line, index + 1)
        else:
            row.append(value)
    if len(row) == len(columns):
        yield tuple(row)


# ---------------------------------------------------------------- JSON


def _json_rows(relation: Relation, columns: Columns, text: str) -> Rows:
    """Row by row, so that each is known by its line."""
    decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_number)
    at = _past_blanks(text, 0)
    if not text.startswith("[", at):
        yield _at("not a list of rows; write `[{…}, …]`", text, at)
        return
    at = _past_blanks(text, at + 1)
    line, counted = 1, 0
    ended = text.startswith("]", at)
    while not ended:
        line, counted = line + text.count("\n", counted, at), at
        try:
            row, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield _at(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", text, error.pos)
            return
        except (ValueError, RecursionError) as error:
            yield Problem(f"not JSON: {error}", line)
            return
        yield from _json_row(relation, columns, row, line)
        at = _past_blanks(text, end)
        ended = text.startswith("]", at)
        if not ended and not text.startswith(",", at):
            yield _at("not JSON: expected `,` or `]` after a row", text, at)
            return
        at = at if ended else _past_blanks(text, at + 1)
    if _past_blanks(text, at + 1) != len(text):
        yield _at("not JSON: something follows the list of rows", text, _past_blanks(text, at + 1))


def _json_row(relation: Relation, columns: Columns, given: Json, line: int) -> Rows:
    if not isinstance(given, dict):
        yield Problem(f"{_shown(_written(given))} is no row; write an object whose members are the columns", line)
        return
    faults = list(_column_problems(relation, list(given)))
    yield from (Problem(fault, line) for fault in faults)
    if faults:
        return
    row: list[bool | int | str] = []
    for name, declared in columns:
        value = scalar_from_json(declared, given[name])
        if isinstance(value, Misfit):
            yield Problem(_misfit(value, name, declared, _written(given[name])), line)
        elif (unseen := _unseen(value, name)) is not None:
            yield Problem(unseen, line)
        else:
            row.append(value)
    if len(row) == len(columns):
        yield tuple(row)


def _written(given: Json) -> str:
    try:
        return json.dumps(given)
    except RecursionError:
        return "a deeply nested value"


def _past_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


_BLANKS = re.compile(r"[ \t\r\n]*")


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members: dict[str, Json] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"the member {_shown(name)} stands twice in one object")
        members[name] = value
    return members


def _no_number(constant: str) -> Json:
    raise ValueError(f"`{constant}` is no number")
