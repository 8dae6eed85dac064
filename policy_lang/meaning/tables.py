"""What a Casbin table says: total and slow, row after row; the index over the rows must say the same.

In come a table (policy_lang/ir/tables.py), the functions that an embedding program gives, a request and an instant; out
come the vote, or none, and the row that cast it. The rules are three:

(1) An expression comes to a value or to none, a condition to TRUE, FALSE or UNKNOWN (Kleene).
(2) A row casts its vote if it is an allow row and its condition is TRUE, or a deny row and its condition is not FALSE.
(3) The effect picks one of the votes that were cast. A table without rows says nothing.

INVARIANT: nothing raises, whatever the request holds; what has no value never makes a table allow.
Source: language.md 6.4; policy_lang/ir/tables.py.

Decision (2026-11-21): a request with another number of values than the table has parameters is one without any value:
no place of it can be trusted.
Decision (2026-11-21): an expression that a row holds is not asked for expressions that rows hold, which could go on
without end: `eval` within it has no value, as it has none in pycasbin.
Decision (2026-11-21): only a boolean is a truth. pycasbin also lets a matcher come to a number with a fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Table, Vote
from policy_lang.meaning.key_functions import call
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.object_values import (
    arithmetic,
    called,
    compare,
    part,
    plain,
    text_of,
    truth_of,
    value_of,
    within,
)
from policy_lang.meaning.role_graphs import Roles
from policy_lang.meaning.values import FALSE, TRUE, conjunction, disjunction, negation
from policy_lang.verdict import Truth3

Functions = Mapping[str, Callable[..., object]]

NO_FUNCTIONS: Functions = MappingProxyType({})


class Said(Struct, frozen=True):
    """`row`, an index in `Table.rows`, cast the vote; None where no row did."""

    vote: Vote | None
    row: int | None


NOTHING = Said(None, None)


class TableMeaning(Struct, frozen=True):
    """A table that can be asked."""

    table: Table
    functions: Functions
    roles: tuple[Roles, ...]
    written: Mapping[str, Expression | None]

    @classmethod
    def of(cls, table: Table, functions: Functions = NO_FUNCTIONS) -> TableMeaning:
        """The meaning of a table that keeps the invariant of `ir.tables`. `functions` by name; one that the table names
        and that is missing here has no value.
        """
        roles = tuple(Roles.of(graph, mode=table.mode) for graph in table.graphs)
        return cls(table, functions, roles, dict(table.expressions))

    def said(self, request: Sequence[object], *, now_ms: int) -> Said:
        """What the table says of a request (rules 2 and 3); milliseconds since 1970-01-01 UTC."""
        rows = self.table.rows
        truths = [self.truth_of_row(row, request, now_ms=now_ms) for row in range(len(rows))]
        cast = [Said(row.vote, index) for index, row in enumerate(rows) if _casts(row.vote, truths[index])]
        return picked(self.table, cast)

    def truth_of_row(self, row: int, request: Sequence[object], *, now_ms: int) -> Truth3:
        """The condition of a row, an index in `Table.rows` (rule 1)."""
        return self.asked(row, request, now_ms=now_ms).truth(self.table.matcher)

    def asked(self, row: int, request: Sequence[object], *, now_ms: int) -> Asked:
        """What expressions are asked with: this row, this request, this instant."""
        values = values_of(self.table, request)
        return Asked(self, values, self.table.rows[row].values, LocalTime.of(now_ms, self.table.zone))


def values_of(table: Table, request: Sequence[object]) -> tuple[object, ...]:
    """A value or None for each parameter."""
    fitting = len(request) == len(table.parameters)
    return tuple(map(plain, request)) if fitting else (None,) * len(table.parameters)


def _casts(vote: Vote | None, truth: Truth3) -> bool:
    return truth is TRUE if vote == "allow" else vote == "deny" and truth is not FALSE


def picked(table: Table, cast: Sequence[Said]) -> Said:
    """The vote that the effect picks among those that were cast, in the order of their rows."""
    allows = [each for each in cast if each.vote == "allow"]
    denies = [each for each in cast if each.vote == "deny"]
    match table.effect:
        case "allow_override":
            ranked = allows
        case "allow_and_deny":
            ranked = denies + allows
        case "deny_override":
            ranked = [*denies, Said("allow", None)] if table.rows else []
        case "priority":
            ranked = list(cast)
        case _:
            assert_never(table.effect)
    return ranked[0] if ranked else NOTHING


class Asked(Struct, frozen=True):
    """What an expression comes to, for one row and one request at one instant."""

    meaning: TableMeaning
    request: tuple[object, ...]
    row: Sequence[str]
    now: LocalTime
    within_row: bool = False

    def truth(self, condition: Expression) -> Truth3:
        """The truth of an expression; UNKNOWN where it has no value, or one that is no boolean."""
        match condition:
            case tables.Not(of):
                return negation(self.truth(of))
            case tables.And(parts):
                return conjunction(map(self.truth, parts))
            case tables.Or(parts):
                return disjunction(map(self.truth, parts))
            case tables.Comparison(op, left, right):
                return compare(op, self.value(left), self.value(right), mode=self.meaning.table.mode)
            case tables.Within(item, among):
                return within(self.value(item), self.value(among), mode=self.meaning.table.mode)
            case tables.Linked(graph, arguments):
                return self.meaning.roles[graph].linked(*self._texts(arguments), now=self.now)
            case _:
                return truth_of(self.value(condition))

    def value(self, expression: Expression) -> object:
        """The value of an expression, None where it has none."""
        match expression:
            case tables.Parameter(place):
                return self.request[place]
            case tables.Column(place):
                return self.row[place]
            case tables.Field(of, name):
                return part(self.value(of), name, mode=self.meaning.table.mode)
            case tables.Constant(value):
                return value
            case tables.Listed(parts):
                return tuple(map(self.value, parts))
            case tables.Arithmetic(op, left, right):
                return arithmetic(op, self.value(left), self.value(right))
            case tables.BuiltIn(function, arguments):
                return call(function, self._texts(arguments), mode=self.meaning.table.mode, now=self.now)
            case tables.Own(function, arguments):
                return called(self.meaning.functions.get(function), self._values(arguments))
            case tables.Written(column):
                return self._written(self.row[column])
            case tables.Not() | tables.And() | tables.Or() | tables.Comparison() | tables.Within() | tables.Linked():
                return value_of(self.truth(expression))
            case _:
                assert_never(expression)

    def _values(self, expressions: Sequence[Expression]) -> tuple[object, ...]:
        return tuple(map(self.value, expressions))

    def _texts(self, expressions: Sequence[Expression]) -> tuple[str | None, ...]:
        return tuple(text_of(self.value(each)) for each in expressions)

    def _written(self, text: str) -> object:
        expression = None if self.within_row else self.meaning.written.get(text)
        return None if expression is None else replace(self, within_row=True).value(expression)
