"""Forward-auth over plain HTTP: the headers that a gateway forwards become an `Inquiry`, a `Decision` an HTTP answer.

nginx (`auth_request`), Traefik, Caddy, HAProxy, APISIX and Kong ask with a request of their own, and let the original
pass on a 2xx. What the original was stands in headers that the gateway writes, each exactly once:

| header | what it says |
|---|---|
| `x-forwarded-method` | its method |
| `x-forwarded-uri` | its target as it was received: path and query, in origin form |
| `x-forwarded-host` | its host |
| `x-forwarded-proto` | `http` or `https` (`ws`, `wss`): whether it came encrypted |
| `x-forwarded-for` | addresses, the last one that of whoever reached the gateway |

The service stands in the URL that the gateway's configuration fixes. All other headers are the client's, but those of
the connection that the gateway opened to us. Both functions are pure.
INVARIANT: where one of these headers is missing, empty or repeated, or the scheme is none of these, nothing of them is
believed: method, path and host are None, and the call is refused by `path` (`request.missing`) and recorded. No other
header is a source of any of them. Where the list of addresses has no entry in the place that counts, or an empty one
(`192.0.2.1,`), the address alone is unknown; its neighbour is never taken for it.
INVARIANT: the status is 200 for an allow with a record, and for nothing else.
Design: gateways.md 3; contracts.md "Who decided", "Headers at Envoy"; security.md 2.2.

Decision: 2026-11-21. A header that a rule sets stands in the answer; one that is to be removed stands nowhere. The
gateway's configuration names all headers that rules set or remove, and takes them from the answer alone
(docs/gateways.md): so what is not in the answer does not reach the upstream, whoever sent it.
Decision: 2026-11-21. A gateway that takes `authorization` from the answer finds it in every allow: the token that was
made for the service, else the caller's own, which it sent us. So its configuration is one for all endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from pdp.answers import DECISION_HEADER, check_code, headers_to_set, http_answer, problem, visible
from pdp.gateways import Gateway
from pdp.model import AUTHORIZATION, Decision, Inquiry
from pdp.transports.forwarded import client_address
from pdp.transports.pairs import Pairs, sole

PREFIX = "x-forwarded-"

ENCRYPTED: Mapping[str, bool] = {"http": False, "https": True, "ws": False, "wss": True}

OF_THE_CONNECTION = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say something of the request that the gateway made, not of the one it asks about."""


class HttpReply(Struct, frozen=True):
    """A status, headers in order (names in lower case), and the body."""

    status: int
    headers: Pairs
    body: bytes


def read(headers: Pairs, service: str, gateway: Gateway) -> Inquiry:
    """What a gateway asks about `service`. `headers` as received: names in lower case, bytes that are not UTF-8 as
    surrogate escapes.
    """
    said = {name: sole(headers, PREFIX + name) for name in ("method", "uri", "host", "proto", "for")}
    tls = ENCRYPTED.get((said["proto"] or "").lower())
    whole = tls is not None and all(said.values())
    return Inquiry(
        service=service,
        method=said["method"] if whole else None,
        path=said["uri"] if whole else None,
        host=said["host"] if whole else None,
        headers=tuple(pair for pair in headers if _is_the_clients(pair[0])),
        gateway=gateway.name,
        services=gateway.services,
        identity=gateway.identity,
        capabilities=gateway.forwarding,
        carries=gateway.headers,
        ip=client_address([said["for"] or ""], gateway.trusted_hops) if whole else None,
        tls=tls if whole else None,
        request_id=sole(headers, "x-request-id"),
    )


def write(decision: Decision, inquiry: Inquiry, acr_values: Mapping[str, str]) -> HttpReply:
    """The answer to the gateway; `acr_values` as in `pdp.answers.http_answer`."""
    able = inquiry.capabilities
    if check_code(decision) == 0:
        ours = {DECISION_HEADER: decision.id or ""} | _credential(inquiry) | headers_to_set(decision, able)
        return HttpReply(200, tuple((name, visible(value)) for name, value in ours.items()), b"")
    answer = http_answer(decision if "answer" in able else replace(decision, status=None), acr_values)
    headers = (("content-type", "application/problem+json"), *answer.headers)
    return HttpReply(answer.status, headers, problem(decision, answer.title).encode("ascii"))


def _credential(inquiry: Inquiry) -> dict[str, str]:
    """The caller's own credential, for a gateway whose configuration takes it from the answer."""
    own = sole(inquiry.headers, AUTHORIZATION)
    taken = inquiry.carries is not None and AUTHORIZATION in inquiry.carries
    return {AUTHORIZATION: own} if taken and own is not None else {}


def _is_the_clients(name: str) -> bool:
    return not name.startswith(PREFIX) and name not in OF_THE_CONNECTION
