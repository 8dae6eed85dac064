"""Rules, what they come to in a cell, and cells.

Source: language.md 2.1, 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.ir.atoms import Effect, LogLevel, Operand


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the policy: file, line and column from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class LogDuty:
    level: LogLevel
    strict: bool


NORMAL_LOG = LogDuty("normal", strict=False)
"""What is recorded where no rule speaks (language.md, point E)."""


@dataclass(frozen=True, slots=True)
class SetHeader:
    """`name` is lower case; the value is a scalar, written as policy_lang/meaning/obligations.py says."""

    name: str
    value: Operand


@dataclass(frozen=True, slots=True)
class RemoveHeader:
    name: str


@dataclass(frozen=True, slots=True)
class Redact:
    """JSON pointers (RFC 6901), sorted."""

    pointers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssueToken:
    """`scopes` None: those of the endpoint. Sorted."""

    scopes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Alert:
    channel: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of a refusal: 403, 404, 429, 451 or 503."""

    status: int


Obligation = LogDuty | SetHeader | RemoveHeader | Redact | IssueToken | Alert | Answer


@dataclass(frozen=True, slots=True)
class Rule:
    """`id` is `module.name`, for ever. `shadow`: judged and recorded, without a say."""

    id: str
    effect: Effect
    because: str
    place: Place
    shadow: bool


@dataclass(frozen=True, slots=True)
class Clause:
    """One `for`, `when`, `unless` or `until` of a rule, with its text as written; `label` is `for`, `when 1`,
    `unless 2`, `until`. `for` holds what `via` asks too. Of a `casbin` block it is the vote, with its files; `casbin`.
    """

    label: str
    text: str
    guard: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a require rule asks for; unmet unless its guard is true. `within_s` only of a factor that names one."""

    text: str
    guard: int
    challenge: str
    within_s: int | None


@dataclass(frozen=True, slots=True)
class Body:
    """What a rule comes to in some cells. `needs` only on require rules, `must` on require and deny rules."""

    clauses: tuple[Clause, ...]
    needs: tuple[Need, ...]
    must: tuple[Obligation, ...]
    should: tuple[Obligation, ...]


@dataclass(frozen=True, slots=True)
class CellRule:
    """A rule as it is in one cell: indices into `Program.rules` and `Program.bodies`."""

    rule: int
    body: int


@dataclass(frozen=True, slots=True)
class Cell:
    """What is asked for one endpoint and one kind of principal."""

    endpoint: int
    kind: str | None
    deny: tuple[CellRule, ...]
    allow: tuple[CellRule, ...]
    require: tuple[CellRule, ...]
    shadow: tuple[CellRule, ...]
