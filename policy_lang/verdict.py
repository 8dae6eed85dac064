"""What goes into an evaluator and what comes out: the words every evaluator shares.

`Question` is the whole input of one decision, `Verdict` the whole output; both are plain values. An evaluator is a
pure function from (Program, Question) to Verdict.
Design: language.md 5.2, 5.3, 5.6; contracts.md "Who decided".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, get_args

from msgspec import Struct, field

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


class KnownClaims(dict[str, Json]):
    """The claims of a caller who calls again, never changed. Whoever proves a caller once for many calls gives the very
    same object with each, and `derived` is what evaluators keep of it from one call to the next.
    """

    __slots__ = ("derived",)
    derived: object

    def __init__(self, claims: Mapping[str, Json]) -> None:
        super().__init__(claims)
        self.derived = None


class Caller(Struct, frozen=True):
    """Who calls: a token as proved before, a subject as an authenticated caller asserts it, or nobody (kind None).

    `claims` as the JSON held them; of a subject its properties and `id`. `multi_audience`: the issuer may name several
    of our services in one token. `unread`: names of declared claims whose values are not at hand and which are known to
    conform; only a replay has any.
    """

    kind: str | None
    claims: Mapping[str, Json] = field(default_factory=dict)
    multi_audience: bool = False
    unread: frozenset[str] = frozenset()


ANONYMOUS = Caller(None)


class HttpCall(Struct, frozen=True):
    """A request with a path; gRPC is one. `host` is canonical or "" where the caller of this function has already
    matched it. `headers` by lower-case name, values in order.
    """

    method: str
    path: Path
    host: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class ActionCall(Struct, frozen=True):
    """An action on a resource (AuthZEN, the native API). `properties` as their JSON held them."""

    action: str
    resource: str
    id: str
    properties: Mapping[str, Json] = field(default_factory=dict)


class Origin(Struct, frozen=True):
    """Where a call comes from. `ip` canonical, None where it is not known; `peer` and `gateway` are SPIFFE ids (or the
    name the configuration gives a gateway), "" for none; `tls` None where it is not known.
    """

    ip: str | None = None
    peer: str = ""
    gateway: str = ""
    tls: bool | None = None


NOWHERE = Origin()

Capability = Literal["set_header", "remove_header", "redact", "issue_token", "answer", "step_up"]
CAPABILITIES: frozenset[Capability] = frozenset(get_args(Capability))
"""What a gateway may be able to do; `log` and `alert` are ours (contracts.md "Headers at Envoy")."""


class Question(Struct, frozen=True):
    """One call to be decided. `signals` are readings by signal id: a signal that is missing there is unknown."""

    service: str
    call: HttpCall | ActionCall
    caller: Caller
    now_ms: int
    facts: Facts
    origin: Origin = NOWHERE
    signals: Mapping[str, Value] = field(default_factory=dict)
    capabilities: frozenset[Capability] = CAPABILITIES


class Challenge(Struct, frozen=True):
    """A factor or a named challenge that was not met; `within_s` as the need said."""

    name: str
    within_s: int | None


class Header(Struct, frozen=True):
    """A header that the gateway is to set: a lower-case name and a value of visible characters."""

    name: str
    value: str


class Duties(Struct, frozen=True):
    """What the gateway has to do (obligations) or may do (advice). All sorted, each once.

    `token_scopes` None: no token is to be issued. A header is not both set and removed.
    """

    headers: tuple[Header, ...] = ()
    removed: tuple[str, ...] = ()
    redactions: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] | None = None
    alerts: tuple[str, ...] = ()


NO_DUTIES = Duties()


class Observed(Struct, frozen=True):
    """The refusal that a call passed in spite of, while its service is observed (language.md, point J)."""

    outcome: Literal["deny", "step_up"]
    by: tuple[str, ...]
    reason: str
    subject: str = ""


class ClauseTrace(Struct, frozen=True):
    """One clause of a rule (or a need), how it came out, and the inputs its atoms read, by name, as values.

    `failed` is the text of the first atom that kept it from being true, "" where it is true.
    A read of None is an input that was absent.
    """

    label: str
    text: str
    truth: Truth3
    failed: str = ""
    reads: tuple[tuple[str, Value | None], ...] = ()


class RuleTrace(Struct, frozen=True):
    """One rule of the cell: whether it applied, and each clause up to the first that was false. `row` is the row of a
    Casbin table by which it applied, `file:line`; "" where there is none, or it was not looked for.
    """

    id: str
    effect: Literal["allow", "deny", "require"]
    because: str
    place: str
    applies: bool
    clauses: tuple[ClauseTrace, ...]
    shadow: bool = False
    row: str = ""

    @property
    def distance(self) -> int:
        """How many of its clauses are not true."""
        return sum(clause.truth is not Truth3.TRUE for clause in self.clauses)


class Verdict(Struct, frozen=True):
    """`by` holds rule ids, the primary one first, or one word of the closed list; `reason` is finer, such as
    `schema.claim`. `nearest` is the allow with the fewest failed clauses, on a refusal by `default` only.
    `subject` names what the reason is about (a claim, a parameter, a scope), never its value.

    `status` is what rules want a refusal to be answered with, None where none says. `shadow` are the shadow rules that
    apply, by id. `valid_until_ms` is the next instant at which a condition on time of this cell changes, None without
    one. Evaluators agree on all fields but `rules`, `nearest`, and `by` beyond the primary rule.
    """

    outcome: Outcome
    by: tuple[str, ...]
    reason: str
    subject: str = ""
    endpoint: str | None = None
    challenges: tuple[Challenge, ...] = ()
    log: LogDuty = NORMAL_LOG
    duties: Duties = NO_DUTIES
    advice: Duties = NO_DUTIES
    status: int | None = None
    shadow: tuple[str, ...] = ()
    observed: Observed | None = None
    valid_until_ms: int | None = None
    rules: tuple[RuleTrace, ...] = ()
    nearest: str | None = None
    baselines: tuple[str, ...] = ()
    """Baseline checks that were passed, in order."""
