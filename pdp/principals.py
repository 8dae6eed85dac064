"""Station (2) of a request: who the principal is, whoever says so.

An `Inquiry`, its canonical form and the engine come in; a `Principal` goes out, a `TokenRefusal`, or a refusal by
`path`. One of four says who calls, and where two do, nobody knows which to believe (`token.ambiguous`):

| who says it | what it takes |
|---|---|
| `authorization` | a token that verifies here (`Identity.prove`); its issuer is a token kind of the policy |
| `verified` | claims whose token the gateway verified (`Identity.accept`): issuer, times, lifetime are checked here |
| `asserted` | a caller that may assert subjects; the type is a subject kind of the policy (pdp/identity/asserted.py) |
| `principal` | `pdp decide --as`, which proves nothing; the kind is one of the policy, in its form (`token.kind`) |

Where none does, the caller is anonymous. A peer, whoever calls through it, is proved by the certificate of its
connection: once that is over, by nothing (`token.certificate_over`).
Design: contracts.md "Who decided", row `token`; architecture.md station (2).

Decision: 2026-11-21. A call of a peer whose certificate is over is refused, and not decided as if it had no peer: a
rule may forbid what comes from that one. Connections outlive certificates; who keeps them so long opens another.
"""

from __future__ import annotations

from pdp.canonical import Refusal, canonical_headers
from pdp.canonical_call import CanonicalCall
from pdp.identity.asserted import subject_of
from pdp.identity.bearer import Identity, Proven
from pdp.identity.jwt import TokenRefusal
from pdp.model import ANONYMOUS, Inquiry, Principal
from pdp.runtime.engine import Engine


def principal_of(
    identity: Identity, engine: Engine, inquiry: Inquiry, canonical: CanonicalCall | Refusal, now: int
) -> Principal | TokenRefusal | Refusal:
    """Who calls, at `now` in Unix seconds. Headers that are not canonical prove nobody: the refusal of station (1) then
    decides.
    """
    certificate = inquiry.certificate
    if certificate is not None and inquiry.peer is not None and now >= certificate.ends_s:
        return TokenRefusal("token.certificate_over")
    said = (inquiry.principal is not None) + (inquiry.asserted is not None) + (inquiry.verified is not None)
    if said and (said > 1 or any(name == "authorization" for name, _ in inquiry.headers)):
        return TokenRefusal("token.ambiguous")
    if inquiry.principal is not None:
        return inquiry.principal if _is_known(engine, inquiry.principal) else TokenRefusal("token.kind")
    if inquiry.asserted is not None:
        return subject_of(inquiry.asserted, engine.kinds.values())
    if inquiry.verified is not None:
        return _of_kind(engine, identity.accept(inquiry.verified, now, inquiry.certificate), now)
    headers = canonical_headers(inquiry.headers, frozenset()) if isinstance(canonical, Refusal) else canonical.headers
    if isinstance(headers, Refusal):
        return ANONYMOUS
    return _of_kind(engine, identity.prove(headers.authorization, now, inquiry.certificate), now)


def _of_kind(engine: Engine, proven: Proven | TokenRefusal | None, now: int) -> Principal | TokenRefusal:
    if isinstance(proven, Proven):
        kind = engine.issuers.get(proven.issuer)
        return TokenRefusal("token.issuer") if kind is None else proven.principal(kind.id, now)
    return ANONYMOUS if proven is None else proven


def _is_known(engine: Engine, principal: Principal) -> bool:
    """Whether a principal that was not proved here is of a kind of the policy, in the form that this kind has."""
    if principal.kind == "anonymous":
        return principal.name is None
    kind = engine.kinds.get(principal.name or "")
    return kind is not None and kind.form == principal.kind
