"""Rows and links after a change: some taken out, some put behind the others.

In go the rows of a policy, records to remove and rows to add; out come the rows after it, and the table that they make
where rows stand as they are written. What did not change is the same object.
Source: language.md 6.4 "Policy changes at run time"; Casbin's documentation, "Management API".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from policy_lang.casbin.conditions import last_conditions
from policy_lang.casbin.definitions import Model
from policy_lang.casbin.rows import PolicyRows
from policy_lang.ir.tables import Expression, Link, RoleGraph, Row, Table
from policy_lang.meaning.object_values import is_text
from policy_lang.source import Source

Values = tuple[str, ...]

Expressions = tuple[tuple[str, Expression | None], ...]

Gone = Mapping[str, Collection[Values]]
"""What is to be removed, by type."""


def texts_of(records: Iterable[Sequence[str]]) -> list[Values]:
    """Records as plain strings, trimmed, as they are where rows are read. ValueError where one is no list or tuple of
    strings.
    """
    taken: list[Values] = []
    for number, record in enumerate(records, 1):
        if not (issubclass(type(record), list | tuple) and all(map(is_text, record))):
            raise ValueError(
                f"record {number} is no list or tuple of strings: write one such as `('p', 'alice', 'data1')`"
            )
        taken.append(tuple(map(str.strip, record)))
    return taken


def by_type(records: Iterable[Values]) -> dict[str, set[Values]]:
    """Records by their type, which stands first."""
    found: dict[str, set[Values]] = {}
    for record in records:
        kind, *values = record or ("",)
        found.setdefault(kind, set()).add(tuple(values))
    return found


def merged(rows: PolicyRows, gone: Gone, more: PolicyRows, model: Model) -> PolicyRows:
    """The rows without those to remove, and then those to add, which have no line. ValueError where one to remove is
    not there.
    """
    unknown = sorted(gone.keys() - rows.rows.keys() - rows.links.keys())
    if unknown:
        raise ValueError(f"no row to remove is of the type `{unknown[0]}`: the model does not declare it")
    of_rows = {
        name: (*_rows_left(name, each, gone), *(replace(row, line=0) for row in more.rows[name]))
        if name in gone or more.rows[name]
        else each
        for name, each in rows.rows.items()
    }
    of_links = {
        name: (*_links_left(name, each, gone, model), *(replace(link, line=0) for link in more.links[name]))
        if name in gone or more.links[name]
        else each
        for name, each in rows.links.items()
    }
    return PolicyRows(rows.source, of_rows, of_links, ())


def numbered(rows: PolicyRows, model: Model) -> PolicyRows:
    """The same rows, each with a line of its own in a text that is made of them."""
    lines: list[str] = []
    of_rows: dict[str, tuple[Row, ...]] = {}
    of_links: dict[str, tuple[Link, ...]] = {}
    for name, each in rows.rows.items():
        of_rows[name] = tuple(replace(row, line=line) for line, row in enumerate(each, len(lines) + 1))
        lines += [", ".join((name, *row.values)) for row in each]
    for name, links in rows.links.items():
        of_links[name] = tuple(replace(link, line=line) for line, link in enumerate(links, len(lines) + 1))
        lines += [", ".join((name, *_values(link, model, name))) for link in links]
    return PolicyRows(Source(rows.source.name, "\n".join(lines)), of_rows, of_links, ())


def joined(table: Table, gone: Collection[Values], added: Table, rows: PolicyRows, model: Model) -> Table:
    """The table after the change: `added` is that of the added rows alone, `gone` are the values of rows, `rows` are
    all rows after it. A graph whose links the model does not ask stays without.
    """
    left = tuple(row for row in table.rows if row.values not in gone) if gone else table.rows
    kept = _held(table.expressions, left) if gone else table.expressions
    known = {text for text, _ in kept}
    more = tuple(each for each in added.expressions if each[0] not in known)
    return replace(
        table,
        rows=(*left, *(replace(row, line=0) for row in added.rows)) if added.rows else left,
        graphs=tuple(_with_links(graph, rows.links[graph.name], model) for graph in table.graphs),
        expressions=(*kept, *more) if more else kept,
        own=tuple(sorted({*table.own, *added.own})),
    )


def _held(expressions: Expressions, rows: Iterable[Row]) -> Expressions:
    """The expressions whose text some row has."""
    if not expressions:
        return expressions
    texts = {value for row in rows for value in row.values}
    left = tuple(each for each in expressions if each[0] in texts)
    return left if len(left) < len(expressions) else expressions


def _with_links(graph: RoleGraph, links: tuple[Link, ...], model: Model) -> RoleGraph:
    role = model.roles[graph.name]
    if links is graph.links or model.by_name_only(role):
        return graph
    holding = last_conditions(links) if role.conditions else links
    return graph if holding == graph.links else replace(graph, links=holding)


def _rows_left(name: str, rows: Sequence[Row], gone: Gone) -> Sequence[Row]:
    if name not in gone:
        return rows
    _all_there(name, gone[name], (row.values for row in rows))
    return [row for row in rows if row.values not in gone[name]]


def _links_left(name: str, links: Sequence[Link], gone: Gone, model: Model) -> Sequence[Link]:
    if name not in gone:
        return links
    values = [_values(link, model, name) for link in links]
    _all_there(name, gone[name], values)
    return [link for link, of in zip(links, values, strict=True) if of not in gone[name]]


def _all_there(name: str, wanted: Collection[Values], there: Iterable[Values]) -> None:
    missing = sorted(set(wanted).difference(there))
    if missing:
        raise ValueError(f"no row to remove: there is no `{', '.join((name, *missing[0]))}`")


def _values(link: Link, model: Model, name: str) -> Values:
    """A link as it is written, its type left out."""
    return (link.member, link.role, *((link.domain,) if model.roles[name].domains else ()), *link.condition)
