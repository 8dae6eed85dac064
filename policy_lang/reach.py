"""Who may reach what: the inventory of a program as rows, one an endpoint.

A program goes in, rows come out. An allow stands in a row where some kind of caller may meet it there; whether its
conditions can hold is another question.
Source: language.md 1 (*know your API inventory*), 4.5.
"""

from __future__ import annotations

from msgspec import Struct

from policy_lang import ir


class Grant(Struct, frozen=True):
    """An allow that may hold: its id, and whom its `for` clause names, as written; of a `casbin` block its files."""

    rule: str
    who: str


class Row(Struct, frozen=True):
    """One endpoint. `route` as a person writes it: methods and pattern, `grpc METHOD`, or an action on a resource."""

    service: str
    endpoint: str
    route: str
    scopes: tuple[str, ...]
    labels: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    closed: bool
    allows: tuple[Grant, ...]


def reach(program: ir.Program) -> tuple[Row, ...]:
    """The rows of a program by endpoint id; the allows of each by rule id."""
    who: list[dict[int, str]] = [{} for _ in program.endpoints]
    for cell in program.cells:
        for each in cell.allow:
            clauses = program.bodies[each.body].clauses
            said = (clause.text for clause in clauses if clause.label in {"for", "casbin"})
            who[cell.endpoint][each.rule] = next(said, "")
    return tuple(
        Row(
            service=endpoint.service,
            endpoint=endpoint.id,
            route=route_text(endpoint),
            scopes=endpoint.scopes,
            labels=endpoint.labels,
            tags=endpoint.tags,
            closed=endpoint.closed,
            allows=tuple(Grant(program.rules[rule].id, who[index][rule]) for rule in sorted(who[index])),
        )
        for index, endpoint in enumerate(program.endpoints)
    )


def route_text(endpoint: ir.Endpoint) -> str:
    """How a call reaches an endpoint."""
    match endpoint.route:
        case ir.Http(methods=methods):
            return f"{'|'.join(methods)} {endpoint.written}"
        case ir.Grpc():
            return f"grpc {endpoint.written}"
        case ir.Action():
            return endpoint.written
