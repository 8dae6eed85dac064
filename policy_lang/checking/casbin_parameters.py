"""What a Casbin table is asked about, as a `casbin` block binds it: parameters, and fields of parameters, by name.

A table goes in with the names that are bound, `sub` or `sub.Age`; out comes the same table with a parameter for each of
them, in the order of the names, so that a rule can ask it with a plain value for each.
INVARIANT: on a request whose parameters have the fields that are bound, and nothing else, both tables say the same.
Source: language.md 6.4 ("the attribute must be bound to a declared claim").

Decision (2026-11-21): a parameter is asked for where the matcher reads it. One that nothing reads still has to be
bound, by itself or by a field: what is left out is more often forgotten than not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.casbin.parts import all_in
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Table


class Asked(Struct, frozen=True):
    """`table` is None where something is not bound: `missing`, as the block has to name it."""

    table: Table | None
    missing: tuple[str, ...]


def asked_about(table: Table, bound: Sequence[str]) -> Asked:
    """The table that is asked about what is bound. Every name begins with that of a parameter."""
    missing: dict[str, None] = {}
    for parameter in table.parameters:
        if not any(name.partition(".")[0] == parameter for name in bound):
            missing[parameter] = None
    places = {name: place for place, name in enumerate(bound)}
    matcher = _bound(table.matcher, table, places, missing)
    expressions = tuple(
        (text, None if expression is None else _bound(expression, table, places, missing))
        for text, expression in table.expressions
    )
    if missing:
        return Asked(None, tuple(missing))
    return Asked(replace(table, parameters=tuple(bound), matcher=matcher, expressions=expressions), ())


def _bound(expression: Expression, table: Table, places: Mapping[str, int], missing: dict[str, None]) -> Expression:
    """An expression over what is bound; what is not is added to `missing`."""
    name = _name(expression, table)
    if name is None:
        return with_parts(expression, lambda part: _bound(part, table, places, missing))
    if name not in places:
        missing[name] = None
        return expression
    return tables.Parameter(places[name])


def beside_columns(table: Table) -> frozenset[int]:
    """The places of the parameters that are compared with a column, as equal or not: with the texts of rows."""
    found: set[int] = set()
    written = (expression for _, expression in table.expressions if expression is not None)
    for part in (part for expression in (table.matcher, *written) for part in all_in(expression)):
        match part:
            case tables.Comparison("eq" | "ne", tables.Parameter(place), tables.Column()):
                found.add(place)
            case tables.Comparison("eq" | "ne", tables.Column(), tables.Parameter(place)):
                found.add(place)
            case _:
                pass
    return frozenset(found)


def _name(expression: Expression, table: Table) -> str | None:
    """The name of a parameter, or of a field of one; None of anything else."""
    match expression:
        case tables.Parameter(place):
            return table.parameters[place]
        case tables.Field(of, field):
            holder = _name(of, table)
            return None if holder is None else f"{holder}.{field}"
        case _:
            return None


def with_parts(expression: Expression, made: Callable[[Expression], Expression]) -> Expression:
    """The same expression of other parts: what `made` makes of each that it is directly made of."""
    match expression:
        case tables.Parameter() | tables.Column() | tables.Constant() | tables.Written():
            return expression
        case tables.Field(of, name):
            return tables.Field(made(of), name)
        case tables.Not(of):
            return tables.Not(made(of))
        case tables.Listed(parts):
            return tables.Listed(tuple(map(made, parts)))
        case tables.And(parts):
            return tables.And(tuple(map(made, parts)))
        case tables.Or(parts):
            return tables.Or(tuple(map(made, parts)))
        case tables.Comparison(op, left, right):
            return tables.Comparison(op, made(left), made(right))
        case tables.Arithmetic(sign, left, right):
            return tables.Arithmetic(sign, made(left), made(right))
        case tables.Within(item, among):
            return tables.Within(made(item), made(among))
        case tables.Linked(graph, arguments):
            return tables.Linked(graph, tuple(map(made, arguments)))
        case tables.BuiltIn(function, arguments):
            return tables.BuiltIn(function, tuple(map(made, arguments)))
        case tables.Own(function, arguments):
            return tables.Own(function, tuple(map(made, arguments)))
        case _:
            assert_never(expression)
