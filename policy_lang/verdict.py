"""What goes into an evaluator and what comes out: the words every evaluator shares.

`Question` is the whole input of one decision, `Verdict` the whole output; both are plain values. An evaluator is a
pure function from (Program, Question) to Verdict.
Design: language.md 5.2, 5.3, 5.6; contracts.md "Who decided".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from policy_lang.ir import NORMAL_LOG, LogDuty, Value
from policy_lang.request import Path

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

Row = tuple[bool | int | str, ...]
Facts = Mapping[str, frozenset[Row]]
"""Rows by relation id. A relation that is missing here is unknown, never empty."""

Outcome = Literal["allow", "deny", "step_up"]


class Truth3(Enum):
    """Kleene's three values."""

    FALSE = "false"
    UNKNOWN = "unknown"
    TRUE = "true"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as proved before: a token of kind `kind` with these claims as its JSON held them, or nobody (None).

    `multi_audience`: its issuer may name several of our services in one token.
    `unread`: names of declared claims whose values are not at hand and which are known to conform; only a replay has
    any.
    """

    kind: str | None
    claims: Mapping[str, Json] = field(default_factory=dict)
    multi_audience: bool = False
    unread: frozenset[str] = frozenset()


ANONYMOUS = Caller(None)


@dataclass(frozen=True, slots=True)
class Question:
    """One call to be decided. `host` is canonical or "" where the caller of this function has already matched it."""

    service: str
    method: str
    path: Path
    host: str
    caller: Caller
    now_ms: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Challenge:
    """A factor or a named challenge that was not met; `within_s` as the need said."""

    name: str
    within_s: int | None


@dataclass(frozen=True, slots=True)
class ClauseTrace:
    """One clause of a rule (or a need), how it came out, and the inputs its atoms read, by name, as values.

    `failed` is the text of the first atom that kept it from being true, "" where it is true.
    A read of None is an input that was absent.
    """

    label: str
    text: str
    truth: Truth3
    failed: str = ""
    reads: tuple[tuple[str, Value | None], ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule of the cell: whether it applied, and each clause up to the first that was false."""

    id: str
    effect: Literal["allow", "deny", "require"]
    because: str
    place: str
    applies: bool
    clauses: tuple[ClauseTrace, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`by` holds rule ids, the primary one first, or one word of the closed list; `reason` is finer, such as
    `schema.claim`. `nearest` is the allow with the fewest failed clauses, on a refusal by `default` only.
    `subject` names what the reason is about (a claim, a parameter, a scope), never its value.
    """

    outcome: Outcome
    by: tuple[str, ...]
    reason: str
    subject: str = ""
    endpoint: str | None = None
    challenges: tuple[Challenge, ...] = ()
    log: LogDuty = NORMAL_LOG
    rules: tuple[RuleTrace, ...] = ()
    nearest: str | None = None
    baselines: tuple[str, ...] = ()
    """Baseline checks that were passed, in order."""
