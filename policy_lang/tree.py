"""The tree of one policy file: frozen nodes, each with an id unique in its file and a span.

What the parser read, and nothing worked out from it: names are unresolved, types unchecked. Later phases keep their
results in side tables keyed by `id`; a tree is never changed. Unions are closed; walk them by `match` and end with
`assert_never`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

from policy_lang.source import Source, Span

NodeId = NewType("NodeId", int)


@dataclass(frozen=True, slots=True)
class Node:
    id: NodeId
    span: Span


@dataclass(frozen=True, slots=True)
class Name(Node):
    """An identifier where it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string where it stands, escapes resolved; also a path pattern, as written."""

    value: str


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class StringLit(Node):
    value: str


@dataclass(frozen=True, slots=True)
class IntLit(Node):
    value: int


@dataclass(frozen=True, slots=True)
class BoolLit(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class DurationLit(Node):
    milliseconds: int


@dataclass(frozen=True, slots=True)
class TimeLit(Node):
    """A timestamp, or a date (midnight UTC), in Unix milliseconds."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class UnsetLit(Node):
    """`unset`, which only a test may write."""


@dataclass(frozen=True, slots=True)
class SetLit(Node):
    members: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Ref(Node):
    """`token.accounts` is root `token`, parts (`accounts`,); `now` and a condition's parameter have no parts."""

    root: Name
    parts: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A condition or a relation applied to arguments."""

    name: Name
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class HasFactor(Node):
    """`factor mfa within 5m`."""

    name: Name
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class Not(Node):
    operand: Expr


@dataclass(frozen=True, slots=True)
class And(Node):
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Or(Node):
    left: Expr
    right: Expr


CompareOp = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    op: CompareOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class In(Node):
    item: Expr
    among: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class SetTest(Node):
    op: Literal["overlaps", "covers"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Like(Node):
    operand: Expr
    pattern: Text


@dataclass(frozen=True, slots=True)
class Has(Node):
    """`token has accounts`: `of` is the root, `attribute` what may be missing."""

    of: Expr
    attribute: Name


@dataclass(frozen=True, slots=True)
class IsEmpty(Node):
    operand: Expr


@dataclass(frozen=True, slots=True)
class IsKind(Node):
    """`token is user`."""

    of: Expr
    kind: Name


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """Time and duration only: `now - 1m`."""

    op: Literal["+", "-"]
    left: Expr
    right: Expr


LiteralExpr = StringLit | IntLit | BoolLit | DurationLit | TimeLit | UnsetLit | SetLit
Expr = (
    LiteralExpr | Ref | Call | HasFactor | Not | And | Or | Compare | In | SetTest | Like | Has | IsEmpty | IsKind
    | Arithmetic
)  # fmt: skip

# ---------------------------------------------------------------- vocabulary


@dataclass(frozen=True, slots=True)
class TypeExpr(Node):
    """A type as written: its word, the bounds of an int, the element of a set."""

    word: str
    lowest: int | None = None
    highest: int | None = None
    element: TypeExpr | None = None


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A claim or a query parameter. `source` is where its value stands, outermost first; empty means its own name."""

    name: Name
    type: TypeExpr
    optional: bool
    private: bool
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactorDecl(Node):
    name: Name
    at: Ref
    when: Expr | None


@dataclass(frozen=True, slots=True)
class LabelDecl(Node):
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class TokenDecl(Node):
    name: Name
    issuer: Text
    claims: tuple[Field, ...]
    factors: tuple[FactorDecl, ...]


@dataclass(frozen=True, slots=True)
class Column(Node):
    """A column of a relation, or a parameter of a condition."""

    name: Name
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class RelationDecl(Node):
    name: Name
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class ConditionDecl(Node):
    name: Name
    parameters: tuple[Column, ...]
    body: Expr


@dataclass(frozen=True, slots=True)
class EndpointDecl(Node):
    name: Name
    methods: tuple[str, ...]
    pattern: Text
    scopes: tuple[Text, ...]
    labels: tuple[Name, ...]
    query: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class ServiceDecl(Node):
    """`audiences` is empty for `audience none`."""

    name: Name
    audiences: tuple[Text, ...]
    hosts: tuple[Text, ...]
    endpoints: tuple[EndpointDecl, ...]


# ---------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True)
class Anyone(Node):
    """`for anyone`: every principal, and none."""


@dataclass(frozen=True, slots=True)
class AnyOfKind(Node):
    """`for any user`."""

    kind: Name


@dataclass(frozen=True, slots=True)
class TagFilter(Node):
    """`tagged a`, `tagged a or b`, `tagged a and b`; `every` tells the last from the second."""

    labels: tuple[Name, ...]
    every: bool


@dataclass(frozen=True, slots=True)
class Everything(Node):
    """`any endpoint`."""


@dataclass(frozen=True, slots=True)
class OfService(Node):
    service: Name


@dataclass(frozen=True, slots=True)
class OfEndpoint(Node):
    service: Name
    endpoint: Name


@dataclass(frozen=True, slots=True)
class OfPattern(Node):
    service: Name
    methods: tuple[str, ...]
    pattern: Text


@dataclass(frozen=True, slots=True)
class Target(Node):
    base: Everything | OfService | OfEndpoint | OfPattern
    tagged: TagFilter | None


@dataclass(frozen=True, slots=True)
class FactorNeed(Node):
    name: Name
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class ConditionNeed(Node):
    condition: Expr
    challenge: Text


@dataclass(frozen=True, slots=True)
class LogObligation(Node):
    """`log LEVEL [strict]`: both words as written."""

    level: Name
    mode: Name | None


@dataclass(frozen=True, slots=True)
class ForClause(Node):
    subjects: tuple[Anyone | AnyOfKind, ...]


@dataclass(frozen=True, slots=True)
class OnClause(Node):
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class WhenClause(Node):
    """`when E`, and `unless E` where `negated`."""

    condition: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class NeedsClause(Node):
    need: FactorNeed | ConditionNeed


@dataclass(frozen=True, slots=True)
class MustClause(Node):
    obligation: LogObligation


@dataclass(frozen=True, slots=True)
class BecauseClause(Node):
    text: Text


Clause = ForClause | OnClause | WhenClause | NeedsClause | MustClause | BecauseClause
Effect = Literal["allow", "deny", "require"]


@dataclass(frozen=True, slots=True)
class Rule(Node):
    effect: Effect
    name: Name
    clauses: tuple[Clause, ...]


# ---------------------------------------------------------------- tests and proofs


@dataclass(frozen=True, slots=True)
class GivenToken(Node):
    kind: Name
    claims: tuple[tuple[Name, Expr], ...]


@dataclass(frozen=True, slots=True)
class GivenAnonymous(Node):
    pass


@dataclass(frozen=True, slots=True)
class GivenNow(Node):
    at: TimeLit


@dataclass(frozen=True, slots=True)
class GivenFact(Node):
    relation: Name
    values: tuple[Expr, ...]


Given = GivenToken | GivenAnonymous | GivenNow | GivenFact


@dataclass(frozen=True, slots=True)
class Override(Node):
    """`with token.accounts = unset`."""

    ref: Ref
    value: Expr


@dataclass(frozen=True, slots=True)
class Outcome(Node):
    """What a case expects. `by` holds dotted names; `challenge` only for step_up; `log` is an `and log …`."""

    decision: Literal["allow", "deny", "step_up"]
    challenge: Name | None
    by: tuple[Text, ...]
    log: LogObligation | None


@dataclass(frozen=True, slots=True)
class Case(Node):
    """`call SERVICE METHOD PATH with … expect …`; `path` may hold a query."""

    service: Name
    method: str
    path: Text
    overrides: tuple[Override, ...]
    expect: Outcome


@dataclass(frozen=True, slots=True)
class TestDecl(Node):
    title: Text
    given: tuple[Given, ...]
    cases: tuple[Case, ...]

    __test__ = False  # not a pytest class


@dataclass(frozen=True, slots=True)
class ProveDecl(Node):
    """Parsed so that it may be written; this version does not run proofs and says so."""

    title: Text


Decl = (
    LabelDecl | TokenDecl | RelationDecl | ConditionDecl | ServiceDecl | Rule | TestDecl | ProveDecl
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file. `name` is dotted; `language` is what the pragma says, None without one."""

    source: Source
    language: int | None
    name: Text
    declarations: tuple[Decl, ...]
