"""A real Envoy in several manners at once, that asks a decider in this process.

Each manner is a listener of its own, made of the demo's by changing its HTTP manager, and has a gateway of its own to
ask as. One upstream speaks HTTP/1, the other gRPC.
"""

from __future__ import annotations

import asyncio
import copy
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import grpc
from msgspec import Struct, field

from pdp.demo.envoy import configuration, render
from pdp.demo.ports import Ports
from pdp.gateway_files.envoy import PDP
from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Inquiry
from pdp.transports.grpc_server import GrpcListener, serve_grpc
from tests.support.deciders import MemoryDecider
from tests.support.envoy import READY_WITHIN_S, envoy_binary
from tests.support.ports import free_port
from tests.support.upstream import RecordingUpstream

HOST = "ledger.example"
GRPC_HOST = "watch.example"


class Manner(Struct, frozen=True):
    """A gateway, how its Envoy differs from the demo's (the HTTP manager, the check), and what stands before it."""

    gateway: Gateway
    change: Callable[[dict[str, Any], dict[str, Any]], None] = lambda _manager, _check: None
    proxied: bool = False
    """Whether connections begin with the PROXY protocol, and so come from wherever that says."""
    tls: Mapping[str, Any] | None = None
    """Certificate and key, as `common_tls_context` has them."""


class Running(Struct):
    """Ports by manner; what the decider was asked stands in `decider.asked`."""

    ports: dict[str, int]
    decider: MemoryDecider
    upstream: RecordingUpstream
    received: list[str] = field(default_factory=list)

    def asked(self) -> Inquiry:
        """The last inquiry."""
        return self.decider.asked[-1][0]


class CheckedEnvoy:
    """Runs all manners for as long as it is entered."""

    def __init__(self, folder: Path, manners: Mapping[str, Manner]) -> None:
        self._folder = folder
        self._manners = manners
        self._stack = ExitStack()

    def __enter__(self) -> Running:
        with ExitStack() as stack:
            decider, upstream = MemoryDecider(), RecordingUpstream()
            upstream.start()
            stack.callback(upstream.stop)
            running = Running({name: free_port() for name in self._manners}, decider, upstream)
            watch = _grpc_upstream(running.received, stack)
            gateways = [manner.gateway for manner in self._manners.values()]
            checks = stack.enter_context(_Serving(decider, gateways)).ports
            value = self._configuration(running, upstream.port, watch, checks)
            self._start(value, running, stack)
            self._stack = stack.pop_all()
            return running

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _configuration(self, running: Running, upstream: int, watch: int, checks: list[int]) -> dict[str, Any]:
        ports = Ports(gateway=1, grpc=1, http=0, upstream=upstream)
        services = {"ledger": HOST, "watch": GRPC_HOST}
        value: dict[str, Any] = configuration(ports, services, self._folder / "access.log")
        resources = value["static_resources"]
        (listener,) = resources["listeners"]
        check = next(each for each in resources["clusters"] if each["name"] == PDP)
        others = [each for each in resources["clusters"] if each["name"] not in {PDP, "watch"}]
        resources["clusters"] = [*others, _at(check, "watch", watch)]
        resources["listeners"] = []
        for (name, manner), port in zip(self._manners.items(), checks, strict=True):
            resources["clusters"].append(_at(check, f"pdp-{name}", port))
            resources["listeners"].append(_listener(listener, name, manner, running.ports[name]))
        return value

    def _start(self, value: dict[str, Any], running: Running, stack: ExitStack) -> None:
        path, output = self._folder / "envoy.json", self._folder / "envoy.log"
        path.write_text(render(value))
        options = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
        with output.open("wb") as file:
            process = subprocess.Popen([envoy_binary(), "-c", path, *options], stdout=file, stderr=file)
        stack.callback(process.wait)
        stack.callback(process.kill)
        deadline = time.monotonic() + READY_WITHIN_S
        for port in running.ports.values():
            while not _listens(port):
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, "Envoy does not listen"
                time.sleep(0.05)


def _listener(template: dict[str, Any], name: str, manner: Manner, port: int) -> dict[str, Any]:
    listener = copy.deepcopy(template)
    listener["name"] = name
    listener["address"]["socket_address"]["port_value"] = port
    chain = listener["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    check = manager["http_filters"][0]["typed_config"]
    check["grpc_service"] = {"envoy_grpc": {"cluster_name": f"pdp-{name}"}, "timeout": "5s"}
    for host in manager["route_config"]["virtual_hosts"]:
        if host["name"] == "watch":
            host["routes"][0]["route"]["cluster"] = "watch"
    manner.change(manager, check)
    if manner.proxied:
        kind = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
        listener["listener_filters"] = [{"name": "proxy", "typed_config": {"@type": kind}}]
    if manner.tls is not None:
        kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
        context = {"@type": kind, "common_tls_context": manner.tls}
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    return listener


def _at(template: dict[str, Any], name: str, port: int) -> dict[str, Any]:
    """A cluster like another one, of another name and port."""
    cluster = copy.deepcopy(template)
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = name
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] = port
    return cluster


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _grpc_upstream(received: list[str], stack: ExitStack) -> int:
    """An upstream of gRPC, `desk.Notes/Watch`, that answers with what it was sent; its port."""

    def watch(data: bytes, context: Any) -> bytes:
        received.append(dict(context.invocation_metadata()).get("x-portcullis-decision", ""))
        return data

    server = grpc.server(ThreadPoolExecutor(2))
    methods = {"Watch": grpc.unary_unary_rpc_method_handler(watch)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("desk.Notes", methods),))
    port = int(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    stack.callback(lambda: server.stop(0).wait())
    return port


class _Serving:
    """The listeners of `gateways` on a loop in a thread of its own."""

    def __init__(self, decider: MemoryDecider, gateways: list[Gateway]) -> None:
        self._decider = decider
        self._gateways = gateways
        self._began = threading.Event()
        self._end: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.ports: list[int] = []

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        options: dict[str, Any] = {"ready": lambda: True, "metrics": Metrics(), "acr_values": {}, "grace_s": 0.2}
        listeners = [GrpcListener("127.0.0.1:0", gateway) for gateway in self._gateways]
        try:
            async with serve_grpc(self._decider, listeners, clock_us=lambda: 0, **options) as addresses:
                self.ports = [int(address.rpartition(":")[2]) for address in addresses]
                self._began.set()
                await self._end.wait()
        finally:
            self._began.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._began.wait()
        assert self.ports, "the listeners did not start"
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
