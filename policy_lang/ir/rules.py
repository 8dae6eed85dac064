"""Rules, what they come to in a cell, and cells.

Source: language.md 2.1, 6.1.
"""

from __future__ import annotations

from msgspec import Struct

from policy_lang.ir.atoms import Effect, LogLevel, Operand


class Place(Struct, frozen=True):
    """Where something stands in the policy: file, line and column from 1."""

    file: str
    line: int
    column: int


class LogDuty(Struct, frozen=True):
    level: LogLevel
    strict: bool


NORMAL_LOG = LogDuty("normal", strict=False)
"""What is recorded where no rule speaks (language.md, point E)."""


class SetHeader(Struct, frozen=True):
    """`name` is lower case; the value is a scalar, written as policy_lang/meaning/obligations.py says."""

    name: str
    value: Operand


class RemoveHeader(Struct, frozen=True):
    name: str


class Redact(Struct, frozen=True):
    """JSON pointers (RFC 6901), sorted."""

    pointers: tuple[str, ...]


class IssueToken(Struct, frozen=True):
    """`scopes` None: those of the endpoint. Sorted."""

    scopes: tuple[str, ...] | None


class Alert(Struct, frozen=True):
    channel: str


class Answer(Struct, frozen=True):
    """The status of a refusal: 403, 404, 429, 451 or 503."""

    status: int


Obligation = LogDuty | SetHeader | RemoveHeader | Redact | IssueToken | Alert | Answer


class Rule(Struct, frozen=True):
    """`id` is `module.name`, for ever. `shadow`: judged and recorded, without a say."""

    id: str
    effect: Effect
    because: str
    place: Place
    shadow: bool


class Clause(Struct, frozen=True):
    """One `for`, `when`, `unless` or `until` of a rule, with its text as written; `label` is `for`, `when 1`,
    `unless 2`, `until`. `for` holds what `via` asks too. Of a `casbin` block it is the vote, with its files; `casbin`.
    """

    label: str
    text: str
    guard: int


class Need(Struct, frozen=True):
    """What a require rule asks for; unmet unless its guard is true. `within_s` only of a factor that names one."""

    text: str
    guard: int
    challenge: str
    within_s: int | None


class Body(Struct, frozen=True):
    """What a rule comes to in some cells. `needs` only on require rules, `must` on require and deny rules."""

    clauses: tuple[Clause, ...]
    needs: tuple[Need, ...]
    must: tuple[Obligation, ...]
    should: tuple[Obligation, ...]


class CellRule(Struct, frozen=True):
    """A rule as it is in one cell: indices into `Program.rules` and `Program.bodies`."""

    rule: int
    body: int


class Cell(Struct, frozen=True):
    """What is asked for one endpoint and one kind of principal."""

    endpoint: int
    kind: str | None
    deny: tuple[CellRule, ...]
    allow: tuple[CellRule, ...]
    require: tuple[CellRule, ...]
    shadow: tuple[CellRule, ...]
