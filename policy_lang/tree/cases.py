"""Tests and proofs.

Source: language.md 5.7, 8.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.tree.expressions import Expr, Ref, TimeLit
from policy_lang.tree.nodes import Name, Node, Text
from policy_lang.tree.rules import Clause, Obligation


@dataclass(frozen=True, slots=True)
class GivenToken(Node):
    kind: Name
    claims: tuple[tuple[Name, Expr], ...]


@dataclass(frozen=True, slots=True)
class GivenSubject(Node):
    """Properties, and `id`; it implies a caller entitled to assert the subject."""

    kind: Name
    properties: tuple[tuple[Name, Expr], ...]


@dataclass(frozen=True, slots=True)
class GivenAnonymous(Node):
    pass


@dataclass(frozen=True, slots=True)
class GivenRequest(Node):
    """Of `ip peer gateway host tls`."""

    attributes: tuple[tuple[Name, Expr], ...]


@dataclass(frozen=True, slots=True)
class GivenNow(Node):
    at: TimeLit


@dataclass(frozen=True, slots=True)
class GivenSignal(Node):
    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class GivenFact(Node):
    relation: Name
    values: tuple[Expr, ...]


Given = GivenToken | GivenSubject | GivenAnonymous | GivenRequest | GivenNow | GivenSignal | GivenFact


@dataclass(frozen=True, slots=True)
class Override(Node):
    """`with token.accounts = unset`."""

    ref: Ref
    value: Expr


@dataclass(frozen=True, slots=True)
class Outcome(Node):
    """What a case expects. `by` holds dotted names; `challenge` only for step_up; `obligations` are each `and …`."""

    decision: Literal["allow", "deny", "step_up"]
    challenge: Name | None
    by: tuple[Text, ...]
    obligations: tuple[Obligation, ...]


@dataclass(frozen=True, slots=True)
class PathCall(Node):
    """`SERVICE METHOD PATH`; `path` may hold a query."""

    service: Name
    method: str
    path: Text


@dataclass(frozen=True, slots=True)
class EndpointCall(Node):
    """`SERVICE.ENDPOINT { account: "a1" }`: captures, query parameters, headers, properties, and `id`, by name."""

    service: Name
    endpoint: Name
    arguments: tuple[tuple[Name, Expr], ...]


@dataclass(frozen=True, slots=True)
class GrpcCall(Node):
    """`SERVICE grpc package.Service/Method`."""

    service: Name
    method: Text


CallSpec = PathCall | EndpointCall | GrpcCall


@dataclass(frozen=True, slots=True)
class Case(Node):
    """`call … with … expect …`."""

    call: CallSpec
    overrides: tuple[Override, ...]
    expect: Outcome


@dataclass(frozen=True, slots=True)
class CallHead(Node):
    """The column `call` of a table."""


@dataclass(frozen=True, slots=True)
class ExpectHead(Node):
    """The column `expect` of a table."""


Head = CallHead | ExpectHead | Ref


Cell = PathCall | Outcome | Expr


@dataclass(frozen=True, slots=True)
class TableRow(Node):
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table(Node):
    """As written: a row may have more or fewer cells than the head, and a cell be of the wrong sort."""

    head: tuple[Head, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class TestDecl(Node):
    title: Text
    given: tuple[Given, ...]
    steps: tuple[Case | Table, ...]

    __test__ = False  # not a pytest class


@dataclass(frozen=True, slots=True)
class ProveDecl(Node):
    """Checked like a rule; this version does not run proofs and says so."""

    title: Text
    quantifier: Literal["never", "always"]
    clauses: tuple[Clause, ...]
