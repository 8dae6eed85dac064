"""A Casbin table as text that a person can review, for printer.py. For reading only: nothing parses it.

Names of parameters are written `r.sub`, of columns `p.sub`, expressions as in a matcher, with every parenthesis.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import assert_never

from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Link, RoleGraph, Table

_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def print_table(table: Table) -> Iterator[str]:
    """The lines of a table."""
    yield f"table {table.id or 'embedded'} {table.mode} {table.effect} zone {table.zone}{_from(table.file)}"
    yield f"  parameters {', '.join(table.parameters) or 'none'}"
    yield f"  columns {', '.join(table.columns) or 'none'}"
    if table.own:
        yield f"  own {', '.join(table.own)}"
    yield f"  matcher {print_expression(table, table.matcher)}"
    for graph in table.graphs:
        yield from _graph(graph)
    for text, expression in table.expressions:
        means = "nothing" if expression is None else print_expression(table, expression)
        yield f"  expression {_quoted(text)}: {means}"
    for index, row in enumerate(table.rows):
        yield f"  row {index}{_at(row.line)} {row.vote or 'no vote'} {', '.join(map(_quoted, row.values))}"


def _graph(graph: RoleGraph) -> Iterator[str]:
    words = [f"  graph {graph.name}"]
    words += ["by domain"] if graph.domains else []
    words += [f"names by {graph.matching}"] if graph.matching is not None else []
    words += [f"domains by {graph.domain_matching}"] if graph.domain_matching is not None else []
    words += [f"at most {graph.longest} links"] if graph.longest is not None else []
    yield " ".join(words)
    yield from (f"    {_link(graph, link)}" for link in graph.links)


def _link(graph: RoleGraph, link: Link) -> str:
    domain = f" in {_quoted(link.domain)}" if graph.domains else ""
    condition = f" while timeMatch({', '.join(map(_quoted, link.condition))})" if link.condition else ""
    return f"{_quoted(link.member)} has {_quoted(link.role)}{domain}{condition}{_at(link.line)}"


def print_expression(table: Table, expression: Expression) -> str:
    """An expression of a table, as in a matcher."""
    match expression:
        case tables.Parameter(place):
            return f"r.{table.parameters[place]}"
        case tables.Column(place):
            return f"p.{table.columns[place]}"
        case tables.Field(of, name):
            return f"{print_expression(table, of)}.{name}"
        case tables.Constant(value):
            return json.dumps(value, ensure_ascii=False)
        case tables.Listed(parts):
            return f"[{_joined(table, parts, ', ')}]"
        case tables.Not(of):
            return f"!({print_expression(table, of)})"
        case tables.And(parts):
            return f"({_joined(table, parts, ' && ')})" if parts else "true"
        case tables.Or(parts):
            return f"({_joined(table, parts, ' || ')})" if parts else "false"
        case tables.Comparison(op, left, right):
            return f"({_joined(table, (left, right), f' {_COMPARED[op]} ')})"
        case tables.Within(item, among):
            return f"({_joined(table, (item, among), ' in ')})"
        case tables.Arithmetic(op, left, right):
            return f"({_joined(table, (left, right), f' {op} ')})"
        case tables.Linked(graph, arguments):
            return f"{table.graphs[graph].name}({_joined(table, arguments, ', ')})"
        case tables.BuiltIn(function, arguments) | tables.Own(function, arguments):
            return f"{function}({_joined(table, arguments, ', ')})"
        case tables.Written(column):
            return f"eval(p.{table.columns[column]})"
        case _:
            assert_never(expression)


def _joined(table: Table, parts: Sequence[Expression], sign: str) -> str:
    return sign.join(print_expression(table, each) for each in parts)


def _from(file: str) -> str:
    return f" from {_quoted(file)}" if file else ""


def _at(line: int) -> str:
    return f" line {line}" if line else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
