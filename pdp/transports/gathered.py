"""What several workers count, in one answer: before `/metrics` is shown, all of them are asked.

An application and what asks the workers come in, an application goes out.
INVARIANT: where the workers cannot be asked, nothing is shown: the counts of one would look like a restart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from pdp.transports.http_server import OPERATIONS


def gathered(app: ASGIApp, gather: Callable[[], Awaitable[None]] | None) -> ASGIApp:
    """`app`, whose metrics are those of all workers; None: of this one."""
    if gather is None:
        return app
    asked = gather

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/metrics" and scope.get(OPERATIONS) is True:
            await asked()
        await app(scope, receive, send)

    return call
