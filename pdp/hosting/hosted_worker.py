"""A worker inside Envoy: `pdp.worker_main` for a process that is not ours, with listeners that Envoy opens.

What Envoy loads (pdp/hosting/entry.py) calls `service` with the descriptor of the worker's channel; out comes the
application, once the worker decides. Envoy opens the addresses after that, and closes them before the worker ends.
INVARIANT: with its supervisor gone the process ends at once, Envoy and all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from socket import socket
from typing import Any

from pdp.config import Config
from pdp.gateways import Gateways
from pdp.hosting.entry import Served
from pdp.listening import HostedListeners
from pdp.transports.tls import ReadFile
from pdp.worker import Answering
from pdp.worker_main import Process


@contextlib.asynccontextmanager
async def service(argument: str) -> AsyncIterator[Served]:
    """The application of a worker while the context lasts. Errors: RuntimeError it did not come to answer."""
    served: asyncio.Future[Served] = asyncio.get_running_loop().create_future()

    def answering(config: Config, gateways: Gateways, read: ReadFile, _: Mapping[str, socket]) -> Answering:
        return HostedListeners(config, gateways, read, lambda app, places: served.set_result(Served(app, places)))

    process = Process(answering)
    working = asyncio.get_running_loop().create_task(process.run(socket(fileno=int(argument))))
    waited: set[asyncio.Future[Any]] = {working, served}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if not served.done():
        raise RuntimeError(f"the worker ended with {working.result()} before it answered")
    try:
        yield served.result()
    finally:
        process.stop.set()
        await working
