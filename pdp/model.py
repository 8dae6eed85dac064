"""The only words the layers share: frozen values, from the wire inwards and back.

A transport makes an `Inquiry`, the service makes a `Decision` of it, the transport writes that. Nothing here knows a
wire format.
Design: contracts.md "Requests" and "Who decided".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Literal, Protocol

from msgspec import Struct, field

from policy_lang.ir import NORMAL_LOG, LogDuty
from policy_lang.verdict import (
    CAPABILITIES,
    NO_DUTIES,
    Capability,
    Challenge,
    Duties,
    Facts,
    Json,
    Observed,
    Outcome,
    RuleTrace,
)

__all__ = ["Capability", "Challenge", "Decider", "Decision", "Facts", "Inquiry", "Json", "Outcome", "Principal"]

PrincipalKind = Literal["token", "subject", "anonymous"]


class Principal(Struct, frozen=True):
    """Who calls, once proved (token), asserted by an authenticated caller (subject), or nobody (anonymous).

    `name` is the policy's token or subject kind. `claims` as the JSON of the token held them; of a subject its
    properties and `id`. `expires_at` in Unix seconds. `credential` is SHA-256 over the decoded parts of the token:
    equal for equal tokens however spelt, and no secret.
    """

    kind: PrincipalKind
    name: str | None = None
    claims: Mapping[str, Json] = field(default_factory=dict)
    expires_at: int | None = None
    credential: bytes = b""
    multi_audience: bool = False


ANONYMOUS = Principal("anonymous")
EXT_AUTHZ: frozenset[Capability] = frozenset({"set_header", "remove_header", "answer", "step_up", "issue_token"})
"""What who passes calls on can do with our answers (contracts.md "Headers at Envoy")."""


AUTHORIZATION = "authorization"
"""The header of the caller's credential, in which a minted token goes on."""

HEADERS: frozenset[Capability] = frozenset({"set_header", "remove_header"})
"""What a gateway cannot do with headers that its own configuration does not know."""


ISSUE: frozenset[Capability] = frozenset({"issue_token"})
"""What takes somebody who makes tokens, and a gateway that takes `authorization` from our answer."""


def capabilities_named(words: Collection[str]) -> frozenset[Capability]:
    """The capabilities among `words`; any other word names none."""
    return frozenset(each for each in CAPABILITIES if each in words)


class Asserted(Struct, frozen=True):
    """Who the subject is, as a caller that may say so says it, unproved. `properties` as their JSON held them. The
    policy knows which of its subject kinds the type is.
    """

    type: str
    id: str
    properties: Mapping[str, Json] = field(default_factory=dict)


class Body(Struct, frozen=True):
    """What is known of a request's body: how many bytes the gateway sent along, and whether there are more."""

    size: int
    truncated: bool


class ClientCertificate(Struct, frozen=True):
    """The certificate that a client showed a gateway: SHA-256 of its DER, and its `notAfter` in Unix seconds."""

    digest: bytes
    ends_s: int


class Inquiry(Struct, frozen=True):
    """What a gateway asks, as it came: nothing in it is canonical, checked or believed yet.

    None is "the gateway did not say", never "": missing stays missing until a step refuses it.
    `headers` are (lower-case name, value) in order, repeats kept, without pseudo-headers; a value that is not UTF-8
    has its bytes as surrogate escapes. `gateway` is the authenticated name of who asks, `identity` the SPIFFE id that
    policies know it by (None: its name), `services` what it may ask about (None: every service), `capabilities` what
    it can do. `ip` is the source address as the gateway gives it, `peer` a `spiffe://` id or None, `certificate` the
    one that the client showed the gateway, which then proved the peer too, `tls` whether the call came to it encrypted.
    `signals` are readings by the NAME of `context.NAME`.
    Of these at most one says who the principal is, beside an `authorization` among the headers: `principal` (`pdp
    decide --as`), `asserted` (a subject), `verified` (the claims of a token that the gateway verified and took away).
    `body` is None where nothing was said of one. `carries` are the headers that the gateway sets and keeps back, None
    where it does so with any.
    A call with `action` is not HTTP: it has a `resource` (`type`, `id`, `properties`) and no method, path or host.
    """

    service: str | None
    method: str | None
    path: str | None
    host: str | None
    headers: tuple[tuple[str, str], ...]
    gateway: str
    services: frozenset[str] | None = None
    identity: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    ip: str | None = None
    peer: str | None = None
    certificate: ClientCertificate | None = None
    tls: bool | None = None
    principal: Principal | None = None
    asserted: Asserted | None = None
    verified: Mapping[str, Json] | None = None
    body: Body | None = None
    carries: frozenset[str] | None = None
    signals: Mapping[str, Json] = field(default_factory=dict)
    facts: Facts | None = None
    action: str | None = None
    resource: Mapping[str, Json] | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """A token made here for one service, which is not shown; `expires_at` in Unix seconds. `record` is the id of the
    decision that it was made for; later ones hand it out again.
    """

    token: str = dataclass_field(repr=False)
    jti: str
    kid: str
    audience: str
    expires_at: int
    record: str


class Decision(Struct, frozen=True):
    """What was decided, and by what. `by`: rule ids, the primary one first, or one word of the closed list.

    `id` is None where no record was taken (refusals by `audit`, and `deadline` before the record was).
    `authenticated`: a valid credential or a declared peer stood behind the call; without, every refusal is a plain 401.
    `policy` is the digest of the bundle that decided, in hex, "" where there was none. `duties`, `advice`, `status`,
    `shadow` and `observed` are the verdict's. `valid_until_ms` is when to ask again at the latest: the first of the
    instants at which the verdict may change and the caller is proved no more. `identity_headers` are the names that
    some rule of the bundle sets, and, of a call that passed under observation, those that some rule removes: no
    upstream may see one of them that this decision does not set. `minted` is the token that goes on in place of the
    caller's, where `duties.token_scopes` ask for one.
    """

    outcome: Outcome
    by: tuple[str, ...]
    reason: str
    subject: str = ""
    id: str | None = None
    policy: str = ""
    service: str | None = None
    endpoint: str | None = None
    authenticated: bool = False
    challenges: tuple[Challenge, ...] = ()
    scopes: tuple[str, ...] = ()
    log: LogDuty = NORMAL_LOG
    duties: Duties = NO_DUTIES
    advice: Duties = NO_DUTIES
    minted: Minted | None = None
    status: int | None = None
    shadow: tuple[str, ...] = ()
    observed: Observed | None = None
    valid_until_ms: int | None = None
    identity_headers: frozenset[str] = frozenset()
    rules: tuple[RuleTrace, ...] = ()
    nearest: str | None = None
    baselines: tuple[str, ...] = ()


class Decider(Protocol):
    """What a listener needs of the service. Its methods answer always and raise nothing (cancellation apart).

    `now_us` is the instant of the request in Unix microseconds. `budget_s` is the time that is left until an answer
    must be in the listener's hands, None where the caller set no deadline; a decision that is not recorded by then is
    a refusal by `deadline`.
    """

    async def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Decision:
        """Decide and record one inquiry."""
        ...

    def overtaken(self, decision: Decision) -> None:
        """A decision with a record was made too late: a refusal by `deadline` left in its place. State that."""
        ...

    async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
        """Record a request that never became an inquiry (`request.unreadable`, `request.too_large`): by `internal`."""
        ...
