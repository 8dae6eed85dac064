"""The native API on loopback: the real calls around any decider, and a service that says whatever a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.native_calls import NativeCalls
from policy_lang.verdict import CAPABILITIES

NOW_US = 1_767_225_600_000_000
SERVICE = "portcullis.v1.Decisions"
APP = Gateway("app", None, signals=True, subjects=True, explain=True, peers=True)
ABLE = sorted(CAPABILITIES)


def native_calls(decider: Decider, **more: Any) -> NativeCalls:
    options: dict[str, Any] = {
        "metrics": Metrics(),
        "acr_values": {},
        "may_ask": lambda *_: True,
        "may_record": lambda: True,
    }
    return NativeCalls(decider, **({"clock_us": lambda: NOW_US} | options | more))


@contextlib.asynccontextmanager
async def serving(
    decider: Decider,
    gateway: Gateway | None = APP,
    *,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
    **more: Any,
) -> AsyncIterator[str]:
    """The native API on one address, which is given; whoever asks there is `gateway`."""
    calls = native_calls(decider, **more)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((calls.handler(lambda _: gateway),))
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        await asyncio.gather(server.stop(0.2), calls.close())


@contextlib.contextmanager
def serving_beside(decider: Decider, gateway: Gateway | None = APP, **more: Any) -> Iterator[str]:
    """The same on a thread of its own, for clients that block."""
    loop = asyncio.new_event_loop()
    ended: asyncio.Event = asyncio.Event()
    started: threading.Event = threading.Event()
    bound: list[str] = []

    async def run() -> None:
        async with serving(decider, gateway, **more) as address:
            bound.append(address)
            started.set()
            await ended.wait()

    def work() -> None:
        try:
            loop.run_until_complete(run())
        finally:
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        yield bound[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


Said = Callable[[str, bytes, Any], bytes]
"""What a service says to (method, request, context)."""


@contextlib.contextmanager
def saying(
    said: Said, *, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """A service that answers every method with whatever bytes `said` gives, or as it breaks."""

    def method(name: str) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda data, context: said(name, data, context))

    methods = {name: method(name) for name in ("Decide", "DecideBatch", "Explain")}
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()
