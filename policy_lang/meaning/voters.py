"""Casbin tables as the rules of a program ask them: which vote is cast on some values, by which row, and whether the
time has a say in it.

In come the tables of a program, out come `Voters`, which whoever asks finds by the id of a block.
INVARIANT: what is asked is total: a table that is not there casts no vote that is known.
Source: language.md 6.4; policy_lang/ir/tables.py.

Decision (2026-11-21): a table is not asked where one of its parameters has no value: its votes are unknown then, so
that its deny applies and its allow does not. What is known of a call can only settle it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from policy_lang.ir import Program, Value, Vote, tables
from policy_lang.ir.table_validity import parts_of
from policy_lang.ir.tables import Expression, Table
from policy_lang.meaning.tables import Said, TableMeaning
from policy_lang.meaning.values import UNKNOWN, truth
from policy_lang.verdict import Truth3


class Voter(Protocol):
    """A table that can be asked: its definition, or its plan."""

    @property
    def table(self) -> Table:
        """What is asked."""
        ...

    def said(self, request: Sequence[object], *, now_ms: int) -> Said:
        """What the table says of a request; milliseconds since 1970-01-01 UTC."""
        ...


class Voters(Struct, frozen=True):
    """The tables of a program by id. `timed` are those of which some row holds at one time and not at another."""

    asked: Mapping[str, Voter]
    timed: frozenset[str]

    @classmethod
    def of(cls, program: Program) -> Voters:
        """The tables of a program, by their definition."""
        return cls({table.id: TableMeaning.of(table) for table in program.tables}, timed_tables(program))

    def said(self, atom: Vote, values: Sequence[Value | None], now_ms: int) -> Said | None:
        """What the table of an atom says; None where it cannot be asked."""
        voter = self.asked.get(atom.table)
        return None if voter is None or any(value is None for value in values) else voter.said(values, now_ms=now_ms)

    def truth(self, atom: Vote, values: Sequence[Value | None], now_ms: int) -> Truth3:
        """Whether the vote of an atom is cast."""
        said = self.said(atom, values, now_ms)
        return UNKNOWN if said is None else truth(said.vote == atom.vote)

    def told(self, atom: Vote, values: Sequence[Value | None], now_ms: int) -> str | bool | None:
        """What a trace says of the vote of an atom: the row that cast it, `file:line`, True where it was cast by none,
        False where it was not cast, None where that is unknown.
        """
        said = self.said(atom, values, now_ms)
        if said is None or said.vote != atom.vote or said.row is None:
            return None if said is None else said.vote == atom.vote
        table = self.asked[atom.table].table
        return f"{table.file}:{table.rows[said.row].line}"


def timed_tables(program: Program) -> frozenset[str]:
    """The tables of a program that ask for the time."""
    return frozenset(table.id for table in program.tables if _is_timed(table))


def _is_timed(table: Table) -> bool:
    if any(link.condition for graph in table.graphs for link in graph.links):
        return True
    written = (expression for _, expression in table.expressions if expression is not None)
    return any(
        isinstance(part, tables.BuiltIn) and part.function == "timeMatch"
        for expression in (table.matcher, *written)
        for part in _all_in(expression)
    )


def _all_in(expression: Expression) -> Iterator[Expression]:
    todo = [expression]
    while todo:
        part = todo.pop()
        yield part
        todo += parts_of(part)
