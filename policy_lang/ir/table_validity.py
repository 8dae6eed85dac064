"""The invariant of Casbin tables, checked on tables that came from outside.

(0) ids are unique, and so are the texts of expressions and the names of own functions
(1) every place is that of a parameter, a column or a graph there is; functions and graphs get as many arguments as they
    take; own functions are named; a list stands on the right of `in` only; nothing nests deeper than `DEEPEST`
(2) every row has a value for each column, and what it has where an expression stands is one of the table's; such an
    expression asks for none itself
(3) a graph matches by functions of a name and a pattern; without domains its links have none; a condition is two texts
(4) what is open stands in compat only: allowing by default, rows without a vote, expressions that say nothing

Source: policy_lang/ir/tables.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import assert_never

from policy_lang.ir import tables
from policy_lang.ir.tables import ARITY, Expression, FunctionName, RoleGraph, Table

DEEPEST = 100
"""Expressions within one another. They are walked by recursion, one of a row's below one of the matcher's."""

MATCHING: frozenset[FunctionName] = frozenset(
    {"keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "globMatch", "regexMatch", "ipMatch"}
)
"""The functions of a name and a pattern."""


def check_tables(among: Sequence[Table]) -> None:
    """Check the tables of a program. Errors: ValueError that names the first thing that is not as it must be."""
    _unique("table", [table.id for table in among])
    for table in among:
        check_table(table)


def check_table(table: Table) -> None:
    """Check one table. Errors: as `check_tables`."""
    try:
        _check(table)
    except ValueError as error:
        raise ValueError(f"table {table.id!r}: {error}") from error


def _check(table: Table) -> None:
    _unique("expression", [text for text, _ in table.expressions])
    _unique("own function", table.own)
    if table.mode == "strict":
        _check_strict(table)
    for graph in table.graphs:
        _check_graph(graph)
    written: set[int] = set()
    _check_expression(table, table.matcher, 1, written)
    for text, expression in table.expressions:
        inner: set[int] = set()
        if expression is not None:
            _check_expression(table, expression, 1, inner)
        if inner:
            raise ValueError(f"the expression {text!r} asks for expressions of rows itself")
    _check_rows(table, written)


def _check_strict(table: Table) -> None:
    if table.effect == "deny_override":
        raise ValueError("it allows by default, which strict does not")
    if any(row.vote is None for row in table.rows):
        raise ValueError("a row without a vote, which strict has not")
    if any(expression is None for _, expression in table.expressions):
        raise ValueError("an expression that says nothing, which strict has not")


def _check_rows(table: Table, written: set[int]) -> None:
    if any(len(row.values) != len(table.columns) for row in table.rows):
        raise ValueError(f"a row with another number of values than there are columns: {len(table.columns)}")
    known = {text for text, _ in table.expressions}
    for column in sorted(written):
        strange = next((row.values[column] for row in table.rows if row.values[column] not in known), None)
        if strange is not None:
            raise ValueError(f"the expression {strange!r} of a row is not there")


def _check_graph(graph: RoleGraph) -> None:
    for function in (graph.matching, graph.domain_matching):
        if function is not None and function not in MATCHING:
            raise ValueError(f"graph {graph.name!r} matches by {function!r}, which takes no name and pattern")
    if graph.longest is not None and graph.longest < 0:
        raise ValueError(f"graph {graph.name!r} with a longest way of {graph.longest}")
    if not graph.domains and (graph.domain_matching is not None or any(link.domain for link in graph.links)):
        raise ValueError(f"graph {graph.name!r} has no domains, and matches them or has links in one")
    if any(len(link.condition) not in {0, 2} for link in graph.links):
        raise ValueError(f"graph {graph.name!r}: a condition that is not two texts")


def _check_expression(table: Table, expression: Expression, depth: int, written: set[int]) -> None:
    """Check an expression and all within it; the columns that hold expressions are added to `written`."""
    if depth > DEEPEST:
        raise ValueError(f"expressions more than {DEEPEST} deep")
    match expression:
        case tables.Parameter(place):
            _index("parameter", place, len(table.parameters))
        case tables.Column(place):
            _index("column", place, len(table.columns))
        case tables.Written(column):
            _index("column", column, len(table.columns))
            written.add(column)
        case tables.Linked(graph, arguments):
            _index("graph", graph, len(table.graphs))
            _count(table.graphs[graph].name, arguments, 3 if table.graphs[graph].domains else 2)
        case tables.BuiltIn(function, arguments):
            _count(function, arguments, ARITY[function])
        case tables.Own(function, _) if function not in table.own:
            raise ValueError(f"the own function {function!r} is not named")
        case tables.Listed() if depth == 1:
            raise ValueError("a list that is on the right of no `in`")
        case _:
            pass
    for index, part in enumerate(parts_of(expression)):
        if isinstance(part, tables.Listed) and not (isinstance(expression, tables.Within) and index == 1):
            raise ValueError("a list that is on the right of no `in`")
        _check_expression(table, part, depth + 1, written)


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that one is directly made of, in the order of reading."""
    match expression:
        case tables.Parameter() | tables.Column() | tables.Constant() | tables.Written():
            return ()
        case tables.Field(of, _) | tables.Not(of):
            return (of,)
        case tables.Listed(parts) | tables.And(parts) | tables.Or(parts):
            return parts
        case tables.Comparison(_, left, right) | tables.Arithmetic(_, left, right) | tables.Within(left, right):
            return (left, right)
        case tables.Linked(_, arguments) | tables.BuiltIn(_, arguments) | tables.Own(_, arguments):
            return arguments
        case _:
            assert_never(expression)


def _count(name: str, arguments: Sequence[Expression], count: int) -> None:
    if len(arguments) != count:
        raise ValueError(f"{name!r} with {len(arguments)} argument(s): it takes {count}")


def _index(what: str, index: int, end: int) -> None:
    if not 0 <= index < end:
        raise ValueError(f"{what} {index} does not exist: there are {end}")


def _unique(what: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(each for each, count in Counter(names).items() if count > 1)
        raise ValueError(f"the {what} {twice!r} stands twice")
