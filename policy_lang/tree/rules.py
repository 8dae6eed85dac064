"""Rules and their clauses.

Source: language.md 2.1 (Rules).
"""

from __future__ import annotations

from typing import Literal

from policy_lang.tree.expressions import DurationLit, Expr, TimeLit
from policy_lang.tree.nodes import Name, Node, Text


class Anyone(Node, frozen=True):
    """`for anyone`: every principal, and none."""


class AnyOfKind(Node, frozen=True):
    """`for any user`: a token or subject kind."""

    kind: Name


class OfRole(Node, frozen=True):
    """`for role a or b`."""

    roles: tuple[Name, ...]


class OfWorkload(Node, frozen=True):
    """`for workload a or b`."""

    workloads: tuple[Name, ...]


Subject = Anyone | AnyOfKind | OfRole | OfWorkload


class TagFilter(Node, frozen=True):
    """`tagged a`, `tagged a or b`, `tagged a and b`; `every` tells the last from the second."""

    labels: tuple[Name, ...]
    every: bool


class Everything(Node, frozen=True):
    """`any endpoint`."""


class OfService(Node, frozen=True):
    service: Name


class OfEndpoint(Node, frozen=True):
    service: Name
    endpoint: Name


class OfPattern(Node, frozen=True):
    service: Name
    methods: tuple[str, ...]
    pattern: Text


class Target(Node, frozen=True):
    base: Everything | OfService | OfEndpoint | OfPattern
    tagged: TagFilter | None


class FactorNeed(Node, frozen=True):
    """`needs factor mfa within 5m`; a name behind `within` is that of a setting."""

    name: Name
    within: DurationLit | Name | None


class ConditionNeed(Node, frozen=True):
    condition: Expr
    challenge: Text


class LogObligation(Node, frozen=True):
    """`log LEVEL [strict]`: both words as written."""

    level: Name
    mode: Name | None


class SetHeader(Node, frozen=True):
    name: Text
    value: Expr


class RemoveHeader(Node, frozen=True):
    name: Text


class Redact(Node, frozen=True):
    """JSON pointers into the answer (RFC 6901)."""

    pointers: tuple[Text, ...]


class IssueToken(Node, frozen=True):
    """`scopes` is empty where the endpoint's are meant."""

    scopes: tuple[Text, ...]


class Alert(Node, frozen=True):
    channel: Text


class AnswerStatus(Node, frozen=True):
    """`answer 404`."""

    status: int


Obligation = LogObligation | SetHeader | RemoveHeader | Redact | IssueToken | Alert | AnswerStatus


class ForClause(Node, frozen=True):
    """`via` is empty where it was not said."""

    subjects: tuple[Subject, ...]
    via: tuple[Name, ...]


class OnClause(Node, frozen=True):
    targets: tuple[Target, ...]


class WhenClause(Node, frozen=True):
    """`when E`, and `unless E` where `negated`."""

    condition: Expr
    negated: bool


class UntilClause(Node, frozen=True):
    """The rule stops applying at this instant (midnight UTC of the date)."""

    at: TimeLit


class NeedsClause(Node, frozen=True):
    need: FactorNeed | ConditionNeed


class MustClause(Node, frozen=True):
    obligation: Obligation


class ShouldClause(Node, frozen=True):
    obligation: Obligation


class BecauseClause(Node, frozen=True):
    text: Text


Clause = ForClause | OnClause | WhenClause | UntilClause | NeedsClause | MustClause | ShouldClause | BecauseClause


Effect = Literal["allow", "deny", "require"]


class Rule(Node, frozen=True):
    """`shadow`: judged and recorded, without a say."""

    shadow: bool
    effect: Effect
    name: Name
    clauses: tuple[Clause, ...]
