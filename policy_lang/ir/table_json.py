"""Casbin tables as JSON and back. For codec.py, which says what holds of the form.

A table is a list of its fields in the order in which `ir.tables` names them, and so are its parts, but that these come
first: of a row its line and its vote (0 none, 1 allow, 2 deny), of a link its line. An expression is a list that begins
with a tag, a constant the scalar itself:

    ["parameter", place]  ["column", place]  ["field", of, name]  ["list", …]  ["not", of]  ["and", …]  ["or", …]
    ["eq", left, right]  and ne, lt, le, gt, ge  ["in", item, among]  ["+", left, right]  and -, *, /, %
    ["linked", graph, …]  ["call", function, …]  ["own", name, …]  ["eval", column]

INVARIANT: read_table(written_table(t)) == t, fractions to the last bit. What comes out has its parts in place; that it
keeps the invariant of a table is for table_validity.py to see.

Decision (2026-11-21): a number that is not finite and a negative zero are refused on both sides: JSON has no word for
the first, and the second is a second form of nought.
Decision (2026-11-21): rows are checked and made column by column, since 100,000 of them are to be loaded in a part of a
second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from math import copysign, isfinite
from typing import Literal, TypeVar, assert_never

from policy_lang.ir import tables
from policy_lang.ir.json_values import JsonValue, Reader
from policy_lang.ir.tables import (
    ARITY,
    Expression,
    FunctionName,
    Link,
    Mode,
    RoleGraph,
    Row,
    Table,
    TableEffect,
    TableScalar,
    Vote,
)
from policy_lang.typesystem import INT_MAX, INT_MIN

T = TypeVar("T")

_VOTES: tuple[Vote | None, ...] = (None, "allow", "deny")
"""By their number in a row."""

_MODES: Mapping[str, Mode] = {"strict": "strict", "compat": "compat"}
_EFFECTS: Mapping[str, TableEffect] = {
    "allow_override": "allow_override",
    "allow_and_deny": "allow_and_deny",
    "deny_override": "deny_override",
    "priority": "priority",
}
_FUNCTIONS: Mapping[str, FunctionName] = {name: name for name in ARITY}
_COMPARED: Mapping[str, Literal["eq", "ne", "lt", "le", "gt", "ge"]] = {
    "eq": "eq",
    "ne": "ne",
    "lt": "lt",
    "le": "le",
    "gt": "gt",
    "ge": "ge",
}
_RECKONED: Mapping[str, Literal["+", "-", "*", "/", "%"]] = {"+": "+", "-": "-", "*": "*", "/": "/", "%": "%"}


# ---------------------------------------------------------------- writing


def written_table(table: Table) -> JsonValue:
    """A table. Errors: ValueError for a constant that has no form."""
    texts: list[JsonValue] = [
        [text, None if expression is None else _written(expression)] for text, expression in table.expressions
    ]
    return [
        *(table.id, table.mode, table.effect, list(table.parameters), list(table.columns), _written(table.matcher)),
        [[row.line, _VOTES.index(row.vote), *row.values] for row in table.rows],
        [_graph(each) for each in table.graphs],
        *(texts, list(table.own), table.zone, table.file),
    ]


def _graph(graph: RoleGraph) -> JsonValue:
    links: list[JsonValue] = [[each.line, each.member, each.role, each.domain, *each.condition] for each in graph.links]
    return [graph.name, graph.domains, links, graph.matching, graph.domain_matching, graph.longest]


def _written(expression: Expression) -> JsonValue:
    match expression:
        case tables.Constant(value):
            return _scalar(value)
        case tables.Parameter(place):
            return ["parameter", place]
        case tables.Column(place):
            return ["column", place]
        case tables.Field(of, name):
            return ["field", _written(of), name]
        case tables.Listed(parts):
            return ["list", *_all(parts)]
        case tables.Not(of):
            return ["not", _written(of)]
        case tables.And(parts):
            return ["and", *_all(parts)]
        case tables.Or(parts):
            return ["or", *_all(parts)]
        case tables.Comparison(op, left, right) | tables.Arithmetic(op, left, right):
            return [op, _written(left), _written(right)]
        case tables.Within(item, among):
            return ["in", _written(item), _written(among)]
        case tables.Linked(graph, arguments):
            return ["linked", graph, *_all(arguments)]
        case tables.BuiltIn(function, arguments):
            return ["call", function, *_all(arguments)]
        case tables.Own(function, arguments):
            return ["own", function, *_all(arguments)]
        case tables.Written(column):
            return ["eval", column]
        case _:
            assert_never(expression)


def _all(expressions: Iterable[Expression]) -> list[JsonValue]:
    return [_written(each) for each in expressions]


def _scalar(value: TableScalar) -> TableScalar:
    if (isinstance(value, float) and not _exact(value)) or (type(value) is int and not INT_MIN <= value <= INT_MAX):
        raise ValueError(f"the constant {value!r} of a table has no form: write a finite number of 64 bits")
    return value


def _exact(number: float) -> bool:
    """Whether there is one way to write the number."""
    return isfinite(number) and (number != 0 or copysign(1, number) > 0)


# ---------------------------------------------------------------- reading


def read_table(value: Reader) -> Table:
    """A table. Errors: ValueError that names the place."""
    id_, mode, effect, parameters, columns, matcher, rows, graphs, texts, own, zone, file = value.items(12)
    names = columns.texts()
    return Table(
        id_.text(),
        _word(mode, _MODES),
        _word(effect, _EFFECTS),
        parameters.texts(),
        names,
        _expression(matcher),
        _rows(rows, len(names)),
        graphs.each(_read_graph),
        texts.each(_text),
        own.texts(),
        zone.text(),
        file.text(),
    )


def _text(value: Reader) -> tuple[str, Expression | None]:
    text, expression = value.items(2)
    return text.text(), None if expression.absent() else _expression(expression)


def _rows(value: Reader, columns: int) -> tuple[Row, ...]:
    rows = value.value
    wanted = f"a list of rows, each a line, a vote of 0 to {len(_VOTES) - 1} and as many texts as columns: {columns}"
    if not isinstance(rows, list) or set(map(type, rows)) - {list} or set(map(len, rows)) - {columns + 2}:
        raise value.refused(wanted)
    if not rows:
        return ()
    lines, votes, *texts = zip(*rows, strict=True)
    if not (_numbers(lines, INT_MAX) and _numbers(votes, len(_VOTES) - 1)):
        raise value.refused(wanted)
    if any(set(map(type, column)) != {str} for column in texts):
        raise value.refused(wanted)
    values: Iterable[tuple[str, ...]] = zip(*texts, strict=True) if texts else repeat(())
    return tuple(map(Row, values, map(_VOTES.__getitem__, votes), lines))


def _numbers(numbers: tuple[int, ...], most: int) -> bool:
    return set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) <= most


def _read_graph(value: Reader) -> RoleGraph:
    name, domains, links, matching, domain_matching, longest = value.items(6)
    return RoleGraph(
        name.text(),
        domains.truth(),
        _links(links),
        None if matching.absent() else _word(matching, _FUNCTIONS),
        None if domain_matching.absent() else _word(domain_matching, _FUNCTIONS),
        longest.integer_or_none(),
    )


def _links(value: Reader) -> tuple[Link, ...]:
    links = value.value
    wanted = "a list of links, each a line, three texts and the two of a condition, if any"
    if not isinstance(links, list) or set(map(type, links)) - {list} or set(map(len, links)) - {4, 6}:
        raise value.refused(wanted)
    if links and not _numbers(tuple(each[0] for each in links), INT_MAX):
        raise value.refused(wanted)
    if {type(text) for each in links for text in each[1:]} - {str}:
        raise value.refused(wanted)
    return tuple(Link(member, role, domain, tuple(condition), line) for line, member, role, domain, *condition in links)


def _expression(value: Reader) -> Expression:
    if not isinstance(value.value, list):
        return tables.Constant(_read_scalar(value))
    tag, rest = value.tagged()
    match tag, rest:
        case "parameter", [place]:
            return tables.Parameter(place.integer())
        case "column", [place]:
            return tables.Column(place.integer())
        case "eval", [place]:
            return tables.Written(place.integer())
        case "field", [of, name]:
            return tables.Field(_expression(of), name.text())
        case "list", parts:
            return tables.Listed(_expressions(parts))
        case "not", [of]:
            return tables.Not(_expression(of))
        case "and", parts:
            return tables.And(_expressions(parts))
        case "or", parts:
            return tables.Or(_expressions(parts))
        case "in", [item, among]:
            return tables.Within(_expression(item), _expression(among))
        case "linked", [graph, *arguments]:
            return tables.Linked(graph.integer(), _expressions(arguments))
        case "call", [function, *arguments]:
            return tables.BuiltIn(_word(function, _FUNCTIONS), _expressions(arguments))
        case "own", [name, *arguments]:
            return tables.Own(name.text(), _expressions(arguments))
        case _, [left, right] if tag in _COMPARED:
            return tables.Comparison(_COMPARED[tag], _expression(left), _expression(right))
        case _, [left, right] if tag in _RECKONED:
            return tables.Arithmetic(_RECKONED[tag], _expression(left), _expression(right))
        case _:
            raise value.refused("an expression")


def _expressions(values: Iterable[Reader]) -> tuple[Expression, ...]:
    return tuple(map(_expression, values))


def _read_scalar(value: Reader) -> TableScalar:
    number = value.value
    if not isinstance(number, float):
        return value.scalar()
    if not _exact(number):
        raise value.refused("a number that has one form")
    return number


def _word(value: Reader, known: Mapping[str, T]) -> T:
    word = value.text()
    if word not in known:
        raise value.refused(f"one of {', '.join(known)}")
    return known[word]
