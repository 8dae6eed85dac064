"""Rules and their clauses.

Source: language.md 2.1 (Rules).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.tree.expressions import DurationLit, Expr, TimeLit
from policy_lang.tree.nodes import Name, Node, Text


@dataclass(frozen=True, slots=True)
class Anyone(Node):
    """`for anyone`: every principal, and none."""


@dataclass(frozen=True, slots=True)
class AnyOfKind(Node):
    """`for any user`: a token or subject kind."""

    kind: Name


@dataclass(frozen=True, slots=True)
class OfRole(Node):
    """`for role a or b`."""

    roles: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class OfWorkload(Node):
    """`for workload a or b`."""

    workloads: tuple[Name, ...]


Subject = Anyone | AnyOfKind | OfRole | OfWorkload


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
    """`needs factor mfa within 5m`; a name behind `within` is that of a setting."""

    name: Name
    within: DurationLit | Name | None


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
class SetHeader(Node):
    name: Text
    value: Expr


@dataclass(frozen=True, slots=True)
class RemoveHeader(Node):
    name: Text


@dataclass(frozen=True, slots=True)
class Redact(Node):
    """JSON pointers into the answer (RFC 6901)."""

    pointers: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class IssueToken(Node):
    """`scopes` is empty where the endpoint's are meant."""

    scopes: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Alert(Node):
    channel: Text


@dataclass(frozen=True, slots=True)
class AnswerStatus(Node):
    """`answer 404`."""

    status: int


Obligation = LogObligation | SetHeader | RemoveHeader | Redact | IssueToken | Alert | AnswerStatus


@dataclass(frozen=True, slots=True)
class ForClause(Node):
    """`via` is empty where it was not said."""

    subjects: tuple[Subject, ...]
    via: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class OnClause(Node):
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class WhenClause(Node):
    """`when E`, and `unless E` where `negated`."""

    condition: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class UntilClause(Node):
    """The rule stops applying at this instant (midnight UTC of the date)."""

    at: TimeLit


@dataclass(frozen=True, slots=True)
class NeedsClause(Node):
    need: FactorNeed | ConditionNeed


@dataclass(frozen=True, slots=True)
class MustClause(Node):
    obligation: Obligation


@dataclass(frozen=True, slots=True)
class ShouldClause(Node):
    obligation: Obligation


@dataclass(frozen=True, slots=True)
class BecauseClause(Node):
    text: Text


Clause = ForClause | OnClause | WhenClause | UntilClause | NeedsClause | MustClause | ShouldClause | BecauseClause


Effect = Literal["allow", "deny", "require"]


@dataclass(frozen=True, slots=True)
class Rule(Node):
    """`shadow`: judged and recorded, without a say."""

    shadow: bool
    effect: Effect
    name: Name
    clauses: tuple[Clause, ...]
