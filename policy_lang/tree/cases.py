"""Tests and proofs.

Source: language.md 5.7, 8.2.
"""

from __future__ import annotations

from typing import Literal

from policy_lang.tree.expressions import Expr, Ref, TimeLit
from policy_lang.tree.nodes import Name, Node, Text
from policy_lang.tree.rules import Clause, Obligation


class GivenToken(Node, frozen=True):
    kind: Name
    claims: tuple[tuple[Name, Expr], ...]


class GivenSubject(Node, frozen=True):
    """Properties, and `id`; it implies a caller entitled to assert the subject."""

    kind: Name
    properties: tuple[tuple[Name, Expr], ...]


class GivenAnonymous(Node, frozen=True):
    pass


class GivenRequest(Node, frozen=True):
    """Of `ip peer gateway host tls`."""

    attributes: tuple[tuple[Name, Expr], ...]


class GivenNow(Node, frozen=True):
    at: TimeLit


class GivenSignal(Node, frozen=True):
    name: Name
    value: Expr


class GivenFact(Node, frozen=True):
    relation: Name
    values: tuple[Expr, ...]


Given = GivenToken | GivenSubject | GivenAnonymous | GivenRequest | GivenNow | GivenSignal | GivenFact


class Override(Node, frozen=True):
    """`with token.accounts = unset`."""

    ref: Ref
    value: Expr


class Outcome(Node, frozen=True):
    """What a case expects. `by` holds dotted names; `challenge` only for step_up; `obligations` are each `and …`."""

    decision: Literal["allow", "deny", "step_up"]
    challenge: Name | None
    by: tuple[Text, ...]
    obligations: tuple[Obligation, ...]


class PathCall(Node, frozen=True):
    """`SERVICE METHOD PATH`; `path` may hold a query."""

    service: Name
    method: str
    path: Text


class EndpointCall(Node, frozen=True):
    """`SERVICE.ENDPOINT { account: "a1" }`: captures, query parameters, headers, properties, and `id`, by name."""

    service: Name
    endpoint: Name
    arguments: tuple[tuple[Name, Expr], ...]


class GrpcCall(Node, frozen=True):
    """`SERVICE grpc package.Service/Method`."""

    service: Name
    method: Text


CallSpec = PathCall | EndpointCall | GrpcCall


class Case(Node, frozen=True):
    """`call … with … expect …`."""

    call: CallSpec
    overrides: tuple[Override, ...]
    expect: Outcome


class CallHead(Node, frozen=True):
    """The column `call` of a table."""


class ExpectHead(Node, frozen=True):
    """The column `expect` of a table."""


Head = CallHead | ExpectHead | Ref


Cell = PathCall | Outcome | Expr


class TableRow(Node, frozen=True):
    cells: tuple[Cell, ...]


class Table(Node, frozen=True):
    """As written: a row may have more or fewer cells than the head, and a cell be of the wrong sort."""

    head: tuple[Head, ...]
    rows: tuple[TableRow, ...]


class TestDecl(Node, frozen=True):
    title: Text
    given: tuple[Given, ...]
    steps: tuple[Case | Table, ...]

    __test__ = False  # not a pytest class


class ProveDecl(Node, frozen=True):
    """Checked like a rule; this version does not run proofs and says so."""

    title: Text
    quantifier: Literal["never", "always"]
    clauses: tuple[Clause, ...]
