"""Forward-auth over HTTP: one endpoint, at which gateways ask before they let a call pass.

    any method  /forward-auth/{service}    2xx: it may pass; 401, 403 or the refusal's own status: it may not

The service is part of the URL that the gateway's configuration fixes, so that no client chooses it. Who asks is known
by its connection alone: whoever is no gateway of ours is turned away (401), and that is recorded, beyond so many a
second counted alone (`limits.Strangers`). The body of a request
is not read: a decision is made of what is forwarded.
INVARIANT: a status below 400 leaves only after the service has allowed and recorded that very call.
Design: gateways.md 3; contracts.md "Which service, which gateway, which caller".

Decision: 2026-11-21. Any method asks: Traefik and APISIX can be told to ask by the method of the call, and what is
asked about stands in a header of its own either way.
Decision: 2026-11-21. The query of the URL is ignored: Caddy repeats the call's own there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.asking import Refused, passed_on_by
from pdp.transports.forward_auth import HttpReply, read, write
from pdp.transports.limits import MayRecord
from pdp.transports.pairs import Pairs

PATH = "/forward-auth/{service}"
BUDGET_S = 1.0
"""How long a decision may take. Gateways wait for seconds by default, and longer than any client should."""

PROBLEM = "application/problem+json"

log = logging.getLogger(__name__)


class ForwardAuthParts(Protocol):
    """What this endpoint needs of the parts of the application."""

    @property
    def decider(self) -> Decider: ...
    @property
    def clock_us(self) -> Callable[[], int]: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def may_record(self) -> MayRecord: ...
    @property
    def acr_values(self) -> Mapping[str, str]: ...


def routes(parts: ForwardAuthParts) -> list[Route]:
    """The endpoint. A connection stands in each request's scope, as `portcullis.connection`."""
    return [Route(PATH, _Endpoint(parts, set()))]


class _Endpoint(Struct, frozen=True):
    """An application of its own, so that every answer is written here. `told`: kinds of failures that were logged."""

    parts: ForwardAuthParts
    told: set[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            reply = await self._answered(request)
        except Exception as error:  # noqa: BLE001  whatever it is: nothing was decided
            self._tell(error)
            reply = _problem(503, "no decision can be given now")
        response = Response(reply.body, reply.status)
        for name, value in reply.headers:
            response.headers[name] = value
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> HttpReply:
        now_us, decider = self.parts.clock_us(), self.parts.decider
        gateway = passed_on_by(request)
        if isinstance(gateway, Refused):
            if self.parts.may_record():
                await decider.refuse("request.gateway", "unknown", now_us, BUDGET_S)
            else:
                self.parts.metrics.listener_refused("internal")
            return _problem(gateway.status, gateway.message, *gateway.headers.items())
        inquiry = read(_headers(request), request.path_params["service"], gateway)
        decision = await decider.decide(inquiry, now_us, BUDGET_S)
        return write(decision, inquiry, self.parts.acr_values)

    def _tell(self, error: Exception) -> None:
        """Each kind of failure is logged once, with its trace: a flood of them must not fill the disk."""
        self.parts.metrics.listener_refused("internal")
        kind = type(error).__qualname__
        if kind not in self.told:
            self.told.add(kind)
            log.error("a forwarded call failed and was refused; further %s are only counted", kind, exc_info=error)


def _headers(request: Request) -> Pairs:
    return tuple(
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in request.headers.raw
    )


def _problem(status: int, title: str, *headers: tuple[str, str]) -> HttpReply:
    body = json.dumps({"title": title}, ensure_ascii=True).encode("ascii")
    return HttpReply(status, (("content-type", PROBLEM), *headers), body)
