"""Who asks over HTTP: the gateway of the connection, or the one whose key a request says.

A request comes in whose scope has the `Connection` that it came by (`pdp.transports.http_server` puts it there); out
comes the gateway, or the refusal to answer with. What a request says of itself is looked at for a key and for nothing
else: not a header of a proxy, not the query.

    the connection has a gateway     that one, whatever the request says
    it belongs to nobody of ours     401
    it is anybody's                  the gateway of the key in `Authorization: Bearer KEY`, else 401;
                                     403 for any key where others can read what is said

INVARIANT: without a connection in its scope, a request is anybody's, and others can read it.
Sources: RFC 6750 2.1 and 3; RFC 9110 11.6.2.
Design: contracts.md "Which service, which gateway, which caller".

Decision: 2026-11-21. A key that others could read is refused before it is looked up, so that nobody learns whether it
was one; whoever said it has to draw another.
Decision: 2026-11-21. A gateway that is not known is told 403, never 401: gateways hand that answer to the client, whose
token it would seem to refuse. Who passes calls on (forward-auth) is known by its connection alone: the `Authorization`
of such a request is the client's, and a client that knew a key would be taken for a gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field
from starlette.requests import Request

from pdp.gateways import SHORTEST_KEY, UNKNOWN, Connection, Gateway, Gateways

CONNECTION = "portcullis.connection"
"""The key of a request's scope under which its `Connection` stands."""

ANYBODY = Connection(None, private=False)

LONGEST_KEY = 1024

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")


class Refused(Struct, frozen=True):
    """Why a request is not answered: a status, a sentence that is safe to send, and the headers that go with both."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


NOBODY = Refused(
    401,
    "nobody is known to ask: show a certificate, or say a key (`Authorization: Bearer KEY`)",
    {"www-authenticate": "Bearer"},
)
NO_KEY = Refused(
    401,
    f"no gateway has this key: one has {SHORTEST_KEY} characters or more, and its SHA-256 stands in `keys_sha256`",
    {"www-authenticate": 'Bearer error="invalid_token"'},
)
NOT_HERE = Refused(
    403,
    "others may have read this key: draw another, and say it over https or on the host of the service alone",
)
NOT_PASSING = Refused(403, "the gateway that passed this on is not known here: see `gateways` and `listeners`")


def connection_of(request: Request) -> Connection:
    """What the connection of a request says."""
    connection = request.scope.get(CONNECTION)
    return connection if isinstance(connection, Connection) else ANYBODY


async def asked_by(request: Request, gateways: Gateways) -> Gateway | Refused:
    """Who asks for itself: by its connection, or by a key."""
    connection = connection_of(request)
    if connection.gateway is not None:
        return NOBODY if connection.gateway is UNKNOWN else connection.gateway
    said = request.headers.getlist("authorization")
    if not said:
        return NOBODY
    if not connection.private:
        return NOT_HERE
    found = _BEARER.fullmatch(said[0]) if len(said) == 1 and len(said[0]) <= LONGEST_KEY else None
    gateway = None if found is None else gateways.of_key(found[1])
    return NO_KEY if gateway is None else gateway


def passed_on_by(request: Request) -> Gateway | Refused:
    """Who passes a call on: by its connection alone."""
    gateway = connection_of(request).gateway
    return NOT_PASSING if gateway is None or gateway is UNKNOWN else gateway
