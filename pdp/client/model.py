"""What is asked and what is answered, as frozen values.

`Call` and `Action` go to the service, `Decision` and `Explained` come from it. None in an inquiry is "not said", which
is not the same as "": what the policy needs and was not said is a refusal.
INVARIANT: `Decision.allowed` is true of an allow of the service that has a record, and of nothing else.
The fields are those of proto/portcullis/v1/decisions.proto, which says more of each.

Decision: 2026-11-21. `bool(decision)` raises. That every object is true is a rule of the language, and `if
client.decide(call):` would let everything pass; a decision that were false when refused would read well, and its
neighbours (a batch, an explanation, an awaitable that was not awaited) would still be true. So the one way to ask is
`.allowed`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, Never

from pdp.client.errors import ClientError

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Capability = Literal["set_header", "remove_header", "redact", "issue_token", "answer", "step_up"]
Outcome = Literal["allow", "deny", "step_up"]
Effect = Literal["allow", "deny", "require", "unknown"]
Truth = Literal["false", "unknown", "true"]

REFUSED_STATUS = 503
REFUSED_TITLE = "no decision can be given now"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who the caller is by the word of whoever asks, of a subject kind of the policy."""

    type: str
    id: str
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A call over HTTP, as it was received: nothing decoded, folded or made simpler.

    `path` with its query, `host` with its port; `headers` as (name, value) in order, repeats kept, a value that is not
    UTF-8 as bytes. `authorization` is the value of that header (it need not stand among `headers`, and must not stand
    in both); at most one of it and `subject`, neither is an anonymous call. `ip` is the client's address, `peer` the
    SPIFFE id that its certificate proved, `tls` whether it came encrypted. `readings` by the NAME of `context.NAME`.
    `capabilities` are what the program does when a decision asks it. Errors: ValueError for two principals.
    """

    method: str | None
    path: str | None
    host: str | None
    _: KW_ONLY
    service: str | None = None
    headers: Sequence[tuple[str, str | bytes]] = field(default=(), repr=False)
    authorization: str | None = field(default=None, repr=False)
    subject: Subject | None = None
    ip: str | None = None
    peer: str | None = None
    tls: bool | None = None
    readings: Mapping[str, Json] = field(default_factory=dict)
    capabilities: Collection[Capability] = ()
    request_id: str | None = None

    def __post_init__(self) -> None:
        _one_principal(self.authorization, self.subject)


@dataclass(frozen=True, slots=True)
class Action:
    """An action on a resource, by the words of the policy; the rest as `Call` has it."""

    name: str
    resource_type: str
    resource_id: str
    resource_properties: Mapping[str, Json] = field(default_factory=dict)
    _: KW_ONLY
    service: str | None = None
    authorization: str | None = field(default=None, repr=False)
    subject: Subject | None = None
    ip: str | None = None
    peer: str | None = None
    tls: bool | None = None
    readings: Mapping[str, Json] = field(default_factory=dict)
    capabilities: Collection[Capability] = ()
    request_id: str | None = None

    def __post_init__(self) -> None:
        _one_principal(self.authorization, self.subject)


Inquiry = Call | Action


@dataclass(frozen=True, slots=True)
class Challenge:
    """A factor or challenge of the policy that a step-up asks for; `within_s`: how recent it must be."""

    name: str
    within_s: int | None


@dataclass(frozen=True, slots=True)
class Duties:
    """What an allow asks. Remove first and set then, obligations before advice; what is set replaces every header of
    its name. `authorization`, for who does `issue_token`, is a token in place of the subject's own: no header is shown.
    `redactions` are JSON pointers of what must not leave in the body of the response.
    """

    set_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    remove_headers: tuple[str, ...] = ()
    redactions: tuple[str, ...] = ()


NO_DUTIES = Duties()


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer an HTTP client with, safe to show."""

    status: int
    title: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided. Ask `.allowed`; a decision is neither true nor false by itself.

    `id` is that of the record in the log, "" where there is none. `obligations` must be done where it is allowed;
    whoever cannot must refuse. `valid_until_ms`, in Unix milliseconds: until when an allow holds if nothing but time
    passes. `answer` is there whenever it is not an allow. `cause` is why the program cannot know better than to refuse,
    None where the service refused.
    """

    outcome: Outcome
    id: str = ""
    policy_revision: str = ""
    challenges: tuple[Challenge, ...] = ()
    obligations: Duties = NO_DUTIES
    advice: Duties = NO_DUTIES
    valid_until_ms: int | None = None
    answer: Answer | None = None
    cause: ClientError | None = None

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return self.outcome == "allow" and self.id != "" and self.cause is None

    def __bool__(self) -> Never:
        raise TypeError("a decision is neither true nor false: ask `decision.allowed`")


def refused(cause: ClientError, record: str = "", policy_revision: str = "") -> Decision:
    """The refusal that stands in for a decision that could not be had."""
    answer = Answer(REFUSED_STATUS, REFUSED_TITLE)
    return Decision("deny", record, policy_revision, answer=answer, cause=cause)


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a rule. `failed` is the text of the first part that kept it from being true."""

    label: str
    text: str
    truth: Truth
    failed: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was looked at, its clauses up to the first that is false. `place` and `row` are `file:line`."""

    id: str
    effect: Effect
    because: str
    place: str
    applies: bool
    shadow: bool
    row: str
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """The refusal that a call passed in spite of, while its service is observed."""

    outcome: Outcome
    by: tuple[str, ...]
    reason: str
    subject: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, and why. `by` has rule ids, the primary one first, or one word such as `default`."""

    decision: Decision
    by: tuple[str, ...]
    reason: str
    subject: str
    endpoint: str
    rules: tuple[Rule, ...]
    nearest: str
    observed: Observed | None
    shadow: tuple[str, ...]

    def __bool__(self) -> Never:
        raise TypeError("an explanation is neither true nor false: ask `explained.decision.allowed`")


def _one_principal(authorization: str | None, subject: Subject | None) -> None:
    if authorization is not None and subject is not None:
        raise ValueError("give `authorization` or `subject`, not both")
