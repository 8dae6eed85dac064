"""The inventory of a policy: its services, its endpoints, who may reach each, and what a call may cost.

A program goes in; two tables come out, drawn on a terminal and in plain columns elsewhere, or the same as JSON.
`conditions` are those that the worst call of an endpoint has to look at, `always` counts the rules that every call of
it looks at.
Source: language.md 1 (*know your API inventory*), 4.6 (W816, E801); policy_lang/reach.py, policy_lang/cost.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from policy_lang.checking.warnings import day
from policy_lang.cost import Cost, costs
from policy_lang.diagnostics import printable
from policy_lang.ir import Program, Service
from policy_lang.reach import Row, reach
from policy_lang.verdict import Json

Cell = tuple[str, ...]
"""What stands in one place of a table, one below the other or side by side."""


class Sheet(Struct, frozen=True):
    """A table: its header, and rows as wide as it."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def show_inventory(program: Program, console: Console) -> None:
    """Print the inventory on `console`: drawn where that is a terminal, else in columns on standard output."""
    for sheet in (_services(program), _endpoints(program)):
        if console.is_terminal:
            console.print(_drawn(sheet))
        else:
            click.echo("\n".join(_columns(sheet)) + "\n")


def _services(program: Program) -> Sheet:
    header = ("service", "audience", "host", "accepts", "tags", "observed until", "endpoints")
    return Sheet(header, tuple(_service(service, program) for service in program.services))


def _service(service: Service, program: Program) -> tuple[Cell, ...]:
    until = service.observe_until_ms
    count = sum(endpoint.service == service.id for endpoint in program.endpoints)
    return (
        (service.id,),
        service.audiences or ("none",),
        service.hosts,
        service.accepts,
        _tags(service.tags),
        () if until is None else (day(until),),
        (str(count),),
    )


def _endpoints(program: Program) -> Sheet:
    header = ("endpoint", "call", "scope", "labels and tags", "who may reach it", "conditions", "always")
    above = {service.id: service.tags for service in program.services}
    pairs = zip(reach(program), costs(program), strict=True)
    return Sheet(header, tuple(_endpoint(row, cost, above[row.service]) for row, cost in pairs))


def _endpoint(row: Row, cost: Cost, above: Sequence[tuple[str, str]]) -> tuple[Cell, ...]:
    """A row; tags that its service has too are in the service's."""
    return (
        (row.endpoint,),
        (row.route,),
        row.scopes,
        (*row.labels, *_tags([tag for tag in row.tags if tag not in above])),
        _who(row),
        (str(cost.atoms),),
        (str(len(cost.unindexable)),),
    )


def _who(row: Row) -> Cell:
    if row.closed:
        return ("closed",)
    return tuple(f"{grant.who}: {grant.rule}" for grant in row.allows) or ("nobody",)


def _tags(tags: Sequence[tuple[str, str]]) -> Cell:
    return tuple(f"{name}={value}" for name, value in tags)


def _drawn(sheet: Sheet) -> Table:
    table = Table(show_lines=True)
    for name in sheet.header:
        table.add_column(name, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text("\n".join(printable(text) for text in cell)) for cell in row))
    return table


def _columns(sheet: Sheet) -> list[str]:
    """The lines of a table: columns two blanks apart, `-` in a place with nothing in it."""
    rows = [sheet.header, *(tuple(printable("; ".join(cell)) or "-" for cell in row) for row in sheet.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(sheet.header))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


# ---------------------------------------------------------------- JSON


def inventory_json(program: Program) -> dict[str, Json]:
    """The same for programs: services, and endpoints with who may reach them and their worst cost."""
    services: list[Json] = [
        {
            "id": service.id,
            "audiences": list[Json](service.audiences),
            "hosts": list[Json](service.hosts),
            "accepts": list[Json](service.accepts),
            "tags": dict[str, Json](service.tags),
            "observed_until_ms": service.observe_until_ms,
        }
        for service in program.services
    ]
    pairs = zip(reach(program), costs(program), strict=True)
    return {"services": services, "endpoints": [_endpoint_json(row, cost, program) for row, cost in pairs]}


def _endpoint_json(row: Row, cost: Cost, program: Program) -> Json:
    allows: list[Json] = [{"rule": grant.rule, "for": grant.who} for grant in row.allows]
    return {
        "id": row.endpoint,
        "service": row.service,
        "call": row.route,
        "scopes": list[Json](row.scopes),
        "labels": list[Json](row.labels),
        "tags": dict[str, Json](row.tags),
        "closed": row.closed,
        "allows": allows,
        "conditions": cost.atoms,
        "always": [program.rules[rule].id for rule in cost.unindexable],
    }
