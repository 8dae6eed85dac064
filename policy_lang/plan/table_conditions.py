"""Expressions of a table as functions: an expression goes in, a function of a request and a row comes out.

`condition` gives a truth and `reading` a value, each as `meaning.tables.Asked` does, whose operations on values they
share; what is left out is finding out, for every row again, what kind of expression stands there. Strings that are
compared with strings go a short way.
INVARIANT: `condition(e)(asking, row)` is `Asked.truth(e)`, `reading(e)` is `Asked.value(e)`
(tests/properties/test_table_plan_laws.py).
Source: language.md 6.3, 6.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Mode
from policy_lang.meaning.key_functions import call
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.object_values import arithmetic, called, compare, part, text_of, truth_of, value_of, within
from policy_lang.meaning.tables import Functions
from policy_lang.meaning.values import FALSE, TRUE, conjunction, disjunction, negation
from policy_lang.plan.table_asking import Asking, Condition, Reading, Values
from policy_lang.verdict import Truth3

_Listed = Callable[[Asking, Values], tuple[object, ...]]


class Maker(Struct, frozen=True):
    """What functions are made with. `within_row`: the expression stands in a row."""

    mode: Mode
    zone: str
    functions: Functions
    within_row: bool = False

    # ---------------------------------------------------------------- truths

    def condition(self, of: Expression) -> Condition:
        """The truth of an expression."""
        match of:
            case tables.Not(inner):
                return _not(self.condition(inner))
            case tables.And(parts):
                return _all(tuple(map(self.condition, parts)))
            case tables.Or(parts):
                return _any(tuple(map(self.condition, parts)))
            case tables.Comparison(op, left, right):
                return _compared(op, self.reading(left), self.reading(right), self.mode)
            case tables.Within(item, among):
                return _within(self.reading(item), self.reading(among), self.mode)
            case tables.Linked(graph, arguments):
                return self._linked(graph, tuple(map(self.reading, arguments)))
            case _:
                return _truth(self.reading(of))

    def _linked(self, graph: int, arguments: tuple[Reading, ...]) -> Condition:
        zone = self.zone

        def condition(asking: Asking, row: Values) -> Truth3:
            values = [text_of(argument(asking, row)) for argument in arguments]
            return asking.stock.roles[graph].linked(*values, now=LocalTime.of(asking.now_ms, zone))

        return condition

    # ---------------------------------------------------------------- values

    def reading(self, of: Expression) -> Reading:
        """The value of an expression, None where it has none."""
        match of:
            case tables.Parameter(place):
                return lambda asking, row: asking.request[place]  # noqa: ARG005 - every reading takes a row
            case tables.Column(place):
                return lambda asking, row: row[place]  # noqa: ARG005 - every reading takes a request
            case tables.Constant(value):
                return lambda asking, row: value  # noqa: ARG005 - as above
            case tables.Field(inner, name):
                return _part(self.reading(inner), name, self.mode)
            case tables.Listed(parts):
                return _listed(tuple(map(self.reading, parts)))
            case tables.Arithmetic(op, left, right):
                return _arithmetic(op, self.reading(left), self.reading(right))
            case tables.BuiltIn(function, arguments):
                return self._called(function, _listed(tuple(map(self.reading, arguments))))
            case tables.Own(function, arguments):
                return self._own(function, _listed(tuple(map(self.reading, arguments))))
            case tables.Written(column):
                return _nothing if self.within_row else _written(column)
            case tables.Not() | tables.And() | tables.Or() | tables.Comparison() | tables.Within() | tables.Linked():
                return _value(self.condition(of))
            case _:
                assert_never(of)

    def _called(self, function: tables.FunctionName, arguments: _Listed) -> Reading:
        mode, zone = self.mode, self.zone

        def reading(asking: Asking, row: Values) -> object:
            texts = tuple(map(text_of, arguments(asking, row)))
            return call(function, texts, mode=mode, now=LocalTime.of(asking.now_ms, zone))

        return reading

    def _own(self, name: str, arguments: _Listed) -> Reading:
        function = self.functions.get(name)
        return lambda asking, row: called(function, arguments(asking, row))

    def written(self, expressions: Mapping[str, Expression | None]) -> dict[str, Reading]:
        """What each text under `Written` comes to."""
        inner = replace(self, within_row=True)
        return {text: _nothing if of is None else inner.reading(of) for text, of in expressions.items()}


# ---------------------------------------------------------------- the parts


def _not(inner: Condition) -> Condition:
    return lambda asking, row: negation(inner(asking, row))


def _all(parts: tuple[Condition, ...]) -> Condition:
    return lambda asking, row: conjunction(part(asking, row) for part in parts)


def _any(parts: tuple[Condition, ...]) -> Condition:
    return lambda asking, row: disjunction(part(asking, row) for part in parts)


def _truth(of: Reading) -> Condition:
    return lambda asking, row: truth_of(of(asking, row))


def _value(of: Condition) -> Reading:
    return lambda asking, row: value_of(of(asking, row))


def _nothing(asking: Asking, row: Values) -> object:  # noqa: ARG001 - as every reading
    return None


def _compared(op: str, left: Reading, right: Reading, mode: Mode) -> Condition:
    if op != "eq":
        return lambda asking, row: compare(op, left(asking, row), right(asking, row), mode=mode)

    def equal(asking: Asking, row: Values) -> Truth3:
        one, other = left(asking, row), right(asking, row)
        if type(one) is str and type(other) is str:
            return TRUE if one == other else FALSE
        return compare("eq", one, other, mode=mode)

    return equal


def _within(item: Reading, among: Reading, mode: Mode) -> Condition:
    return lambda asking, row: within(item(asking, row), among(asking, row), mode=mode)


def _part(of: Reading, name: str, mode: Mode) -> Reading:
    return lambda asking, row: part(of(asking, row), name, mode=mode)


def _listed(parts: tuple[Reading, ...]) -> _Listed:
    return lambda asking, row: tuple([part(asking, row) for part in parts])


def _arithmetic(op: str, left: Reading, right: Reading) -> Reading:
    return lambda asking, row: arithmetic(op, left(asking, row), right(asking, row))


def _written(column: int) -> Reading:
    def reading(asking: Asking, row: Values) -> object:
        of = asking.stock.written.get(row[column])
        return None if of is None else of(asking, row)

    return reading
