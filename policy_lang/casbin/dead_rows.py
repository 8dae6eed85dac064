"""Rows that never say anything, because a row before them always speaks first.

In go a table and where its rows stand, out comes a warning for each such row. A row is dead
(1) where a row before it casts the same vote and has the same values in every column that the matcher reads: both are
    true of the same requests;
(2) under `priority`, where a deny row before it has those same values;
(3) under `priority`, behind a row that decides every request.
A row of a role that nobody has is not dead: links come and go.
Source: language.md 6.4, "Effects".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from policy_lang.casbin.findings import Findings
from policy_lang.casbin.parts import all_in
from policy_lang.casbin.rows import PolicyRows
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Row, Table
from policy_lang.mistakes.casbin_rows import DeadRow

_FALSE, _UNKNOWN, _TRUE = 1, 2, 4
_ANY = _FALSE | _UNKNOWN | _TRUE
"""Sets of truths that an expression may have, as bits."""


def note_dead_rows(table: Table, rows: PolicyRows, found: Findings) -> None:
    """Warn of the dead rows of `table`, in their rank."""
    read = _columns_read(table)
    whole = len(read) == len(table.columns)
    first: dict[tuple[object, ...], Row] = {}
    by_rank = table.effect == "priority"
    always: Row | None = None
    written = dict(table.expressions)
    for row in table.rows:
        if row.vote is None:
            continue
        if always is not None:
            _warn(row, always, "decides every request", rows, found)
            continue
        key = row.values if whole else tuple([row.values[column] for column in read])
        alike = first.setdefault((row.vote, key), row)
        denied = first.get(("deny", key)) if by_rank else None
        if alike is not row or (denied is not None and denied is not row):
            does = "denies the same requests" if denied else "says the same of the same requests"
            _warn(row, denied or alike, does, rows, found)
        elif by_rank and _decides(row, _possible(table.matcher, row, written)):
            always = row


def _warn(row: Row, before: Row, does: str, rows: PolicyRows, found: Findings) -> None:
    if found.wants("warning"):
        found.add(DeadRow(span=rows.line_place(row.line), why=f"line {before.line} ranks before it and {does}"))


def _columns_read(table: Table) -> tuple[int, ...]:
    expressions = [table.matcher, *(each for _, each in table.expressions if each is not None)]
    read: set[int] = set()
    for expression in expressions:
        for part in all_in(expression):
            match part:
                case tables.Column(column) | tables.Written(column):
                    read.add(column)
                case _:
                    pass
    return tuple(sorted(read))


def _decides(row: Row, possible: int) -> bool:
    """Ignorance makes a deny row deny and passes an allow row over."""
    return not possible & _FALSE if row.vote == "deny" else possible == _TRUE


def _possible(expression: Expression, row: Row, written: Mapping[str, Expression | None]) -> int:
    """The truths that an expression may have for a row, whatever is asked; never too few."""
    match expression:
        case tables.Constant(bool() as value):
            return _TRUE if value else _FALSE
        case tables.Not(of):
            inner = _possible(of, row, written)
            return (inner & _UNKNOWN) | (_TRUE if inner & _FALSE else 0) | (_FALSE if inner & _TRUE else 0)
        case tables.And(parts):
            return _together([_possible(each, row, written) for each in parts], _FALSE, _TRUE)
        case tables.Or(parts):
            return _together([_possible(each, row, written) for each in parts], _TRUE, _FALSE)
        case tables.Comparison("eq" | "ne" as op, left, right):
            one, other = _known(left, row), _known(right, row)
            if one is None or other is None:
                return _ANY
            return _TRUE if (one == other) == (op == "eq") else _FALSE
        case tables.Written(column):
            within = written.get(row.values[column])
            return _UNKNOWN if within is None else _without_written(within, row)
        case (
            tables.Parameter() | tables.Column() | tables.Field() | tables.Constant() | tables.Listed()
            | tables.Comparison() | tables.Within() | tables.Arithmetic() | tables.Linked() | tables.BuiltIn()
            | tables.Own()
        ):  # fmt: skip
            return _ANY
        case _:
            assert_never(expression)


def _without_written(expression: Expression, row: Row) -> int:
    """What a row says of itself, in which nothing is asked for in turn."""
    return _possible(expression, row, {})


def _together(parts: list[int], ending: int, neutral: int) -> int:
    """Kleene's `and` (ending FALSE) or `or` (ending TRUE) of independent parts."""
    some = 0
    every = neutral
    for part in parts:
        some |= part
        every &= part
    unknown = _UNKNOWN if some & _UNKNOWN and all(part & (neutral | _UNKNOWN) for part in parts) else 0
    return (some & ending) | unknown | every


def _known(expression: Expression, row: Row) -> str | None:
    """The string that an expression is for a row; None where it is something else, or not known."""
    match expression:
        case tables.Column(column):
            return row.values[column]
        case tables.Constant(str() as value):
            return value
        case _:
            return None
