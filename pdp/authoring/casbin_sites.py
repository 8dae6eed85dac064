"""Where the matcher of a Casbin table looks at a request: each part of the request beside what it is compared with.

In goes a table, out come its sites. They say what a parameter is about (a subject, a path, a method), and what requests
can be made of.
Source: language.md 6.4; Casbin's documentation, "Syntax for Models".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, assert_never

from msgspec import Struct

from policy_lang.casbin.parts import all_in
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, FunctionName, Table

How = Literal["equal", "other", "holds"] | FunctionName | int
"""How the two are compared; a number is that of a role graph. `holds`: the request has a list, or a set, of such."""


class Site(Struct, frozen=True):
    """The part of the request at `place`, within it at `fields`, and what it is compared with: a column, or values."""

    place: int
    fields: tuple[str, ...]
    how: How
    column: int | None
    values: tuple[tables.TableScalar, ...] = ()


def sites_of(table: Table) -> tuple[Site, ...]:
    """The sites of the matcher and of the expressions that rows hold, each once."""
    every = [table.matcher, *(each for _, each in table.expressions if each is not None)]
    return tuple(dict.fromkeys(site for each in every for part in all_in(each) for site in _sites(part)))


def _sites(part: Expression) -> Iterator[Site]:
    match part:
        case tables.Comparison(op, left, right):
            how: How = "equal" if op == "eq" else "other"
            yield from _pair(left, right, how)
            yield from _pair(right, left, how)
        case tables.Arithmetic(_, left, right):
            yield from _pair(left, right, "other")
            yield from _pair(right, left, "other")
        case tables.Within(item, among):
            yield from _pair(item, among, "other")
            yield from _pair(among, item, "holds")
        case tables.BuiltIn(function, (asked, given, *_)):
            yield from _pair(asked, given, function)
        case tables.Linked(graph, (member, role, *domain)):
            yield from _pair(member, role, graph)
            # The domain of a link is no pattern of its own: any value of the column beside it will do.
            yield from (Site(*_place(each), "equal", None) for each in domain if _is_asked(each))
        case (
            tables.Parameter() | tables.Column() | tables.Field() | tables.Constant() | tables.Listed()
            | tables.Not() | tables.And() | tables.Or() | tables.BuiltIn() | tables.Linked()
            | tables.Own() | tables.Written()
        ):  # fmt: skip
            pass
        case _:
            assert_never(part)


def _is_asked(expression: Expression) -> bool:
    match expression:
        case tables.Parameter():
            return True
        case tables.Field(of):
            return _is_asked(of)
        case _:
            return False


def _place(expression: Expression) -> tuple[int, tuple[str, ...]]:
    match expression:
        case tables.Field(of, name):
            place, fields = _place(of)
            return place, (*fields, name)
        case tables.Parameter(place):
            return place, ()
        case _:
            return 0, ()


def _pair(asked: Expression, given: Expression, how: How) -> Iterator[Site]:
    if not _is_asked(asked):
        return
    place, fields = _place(asked)
    match given:
        case tables.Column(column):
            yield Site(place, fields, how, column)
        case tables.Constant(value):
            yield Site(place, fields, how, None, (value,))
        case tables.Listed(parts):
            held = tuple(each.value for each in parts if isinstance(each, tables.Constant))
            yield Site(place, fields, how, None, held)
        case _:
            yield Site(place, fields, how, None)
