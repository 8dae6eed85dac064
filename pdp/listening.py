"""Every listener of the service, put together from the configuration: gRPC, HTTP, and TLS where it says so.

The configuration and the running parts come in; while the context lasts, gateways are answered. One count of decisions
a second and one of records of nobody's calls, one application, and one native API serve all listeners.
INVARIANT: nothing listens before every certificate was read, and no listener is left when one cannot start.
Errors: ConfigError N101, N102, N110, N201, N202 (see the transports).
Design: contracts.md "Which service, which gateway, which caller".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from socket import socket

from msgspec import Struct

from pdp.config import Config
from pdp.config_tables import ListenerConfig
from pdp.gateways import Gateway, Gateways
from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.gathered import gathered
from pdp.transports.grpc_server import GrpcListener, GrpcService, Sharing, claim_grpc, claim_port, serve_grpc
from pdp.transports.hosted_app import HostedApp, HostedListener, hosted_app
from pdp.transports.http_app import HttpParts, http_app
from pdp.transports.http_server import HttpListener, listening_of, serve_http
from pdp.transports.limits import Rates, Strangers
from pdp.transports.messages import DECISIONS
from pdp.transports.native_calls import NativeCalls
from pdp.transports.readiness import Published, Ready, Shown
from pdp.transports.tls import Certificates, ReadFile, TlsFiles

log = logging.getLogger(__name__)


Drain = Callable[[], Awaitable[None]]
"""Takes no new connection, and lets who is connected go elsewhere; on return, who keeps its connections has gone."""

Gather = Callable[[], Awaitable[None]]
"""Brings the metrics up to those of all workers, before they are shown."""


class Running(Struct, frozen=True):
    """The parts that listeners need. `clock_us` gives Unix microseconds, `monotonic` seconds; `published` the keys of
    minted tokens, None where none are made; `gather` is None for the only worker.
    """

    decider: Decider
    gateways: Gateways
    metrics: Metrics
    ready: Ready
    shown: Callable[[], Shown]
    clock_us: Callable[[], int]
    monotonic: Callable[[], float]
    published: Callable[[], Published] | None = None
    gather: Gather | None = None


class Claimed(Struct, frozen=True):
    """Addresses that workers share, by what the configuration says: of gRPC each with its port, of HTTP a socket."""

    grpc: Mapping[str, str]
    http: Mapping[str, socket]


class Listeners:
    """The listeners of one configuration, with their certificates. Nothing listens yet."""

    def __init__(
        self, config: Config, gateways: Gateways, read: ReadFile, sockets: Mapping[str, socket] | None = None
    ) -> None:
        """`sockets` listen already, by the address in the configuration: those for HTTP of a worker that shares its
        addresses with others; None for the only worker. Errors: ConfigError N110 for a certificate that cannot be used.
        """
        self._config = config
        self._sockets = sockets
        self._listeners = [(each, _gateway(each, gateways), _certificates(each, read)) for each in config.listeners]

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Claimed]:
        """Keep every address for workers that share it, while the context lasts.

        Errors: ConfigError N101, N102, N201, N202, and N203 for a Unix socket of gRPC.
        """
        with contextlib.ExitStack() as stack:
            grpc = {each.address: stack.enter_context(claim_grpc(each)) for each in self._grpc()}
            http = {each.address: stack.enter_context(listening_of(each)) for each in self._http()}
            yield Claimed(grpc, http)

    def misgivings(self, now_us: int) -> list[str]:
        """What an operator should know of the certificates, at a time in Unix microseconds."""
        certificates = [each for _, _, each in self._listeners if each is not None]
        found = [each.misgiving(now_us / 1_000_000) for each in certificates]
        return list(dict.fromkeys(filter(None, found)))

    @contextlib.asynccontextmanager
    async def open(self, running: Running) -> AsyncIterator[Drain]:
        """Answer at every listener while the context lasts; it gives what lets gateways go elsewhere."""
        config, sharing = self._config, None if self._sockets is None else Sharing(list(self._sockets.values()))
        rates, strangers = Rates(running.gateways.by_name.values(), running.monotonic), Strangers(running.monotonic)
        async with contextlib.AsyncExitStack() as stack:
            serving = serve_grpc(
                running.decider,
                self._grpc(),
                clock_us=running.clock_us,
                ready=running.ready,
                metrics=running.metrics,
                acr_values=config.challenges,
                gateways=running.gateways,
                services=[_native(config, running, rates, strangers)],
                message_bytes=config.limits.message_bytes,
                sharing=sharing,
            )
            _say("gRPC", await stack.enter_async_context(serving))
            app = gathered(http_app(_parts(config, running, rates, strangers)), running.gather)
            leaving = asyncio.Event()
            http = serve_http(
                app, self._http(), running.gateways, now_s=lambda: running.clock_us() / 1_000_000, leaving=leaving
            )
            _say("HTTP", await stack.enter_async_context(http))

            async def drain() -> None:
                leaving.set()
                if sharing is not None:
                    await sharing.drained()

            yield drain

    @contextlib.contextmanager
    def ported(self, *, alone: bool) -> Iterator[Mapping[str, str]]:
        """Keep every address with a port for workers inside Envoy, while the context lasts: what each came to, by what
        the configuration says. Who is `alone` may have Unix sockets, too. Errors: ConfigError N202, N203.
        """
        with contextlib.ExitStack() as stack:
            addresses = [self._config.http.address, *(each.address for each, _, _ in self._listeners)]
            yield {each: stack.enter_context(claim_port(each, alone=alone)) for each in addresses}

    def places(self) -> tuple[HostedListener, ...]:
        """The listeners as Envoy opens them, by names that stand for their order."""
        operations = HostedListener("operations", "http", self._config.http.address, operations=True)
        found = [
            HostedListener(
                f"listener-{number}", "grpc" if each.protocol == "grpc" else "http", each.address, gateway, certificates
            )
            for number, (each, gateway, certificates) in enumerate(self._listeners)
        ]
        return (operations, *found)

    def _grpc(self) -> list[GrpcListener]:
        return [
            GrpcListener(each.address, gateway, certificates)
            for each, gateway, certificates in self._listeners
            if each.protocol == "grpc"
        ]

    def _http(self) -> list[HttpListener]:
        found = [
            HttpListener(each.address, gateway, certificates, listening=self._socket(each.address))
            for each, gateway, certificates in self._listeners
            if each.protocol == "http"
        ]
        address = self._config.http.address
        return [HttpListener(address, operations=True, listening=self._socket(address)), *found]

    def _socket(self, address: str) -> socket | None:
        return None if self._sockets is None else self._sockets[address]


class HostedListeners(Listeners):
    """The same inside Envoy, which opens them: what answers there is handed over (`serve`)."""

    def __init__(
        self,
        config: Config,
        gateways: Gateways,
        read: ReadFile,
        serve: Callable[[HostedApp, tuple[HostedListener, ...]], None],
    ) -> None:
        """Errors: as `Listeners`."""
        super().__init__(config, gateways, read)
        self._serve = serve

    @contextlib.asynccontextmanager
    async def open(self, running: Running) -> AsyncIterator[Drain]:
        """Answer whatever Envoy hands over while the context lasts; gateways have gone elsewhere before it ends."""
        config, places = self._config, self.places()
        rates, strangers = Rates(running.gateways.by_name.values(), running.monotonic), Strangers(running.monotonic)
        app = hosted_app(
            running.decider,
            places,
            gathered(http_app(_parts(config, running, rates, strangers)), running.gather),
            clock_us=running.clock_us,
            ready=running.ready,
            metrics=running.metrics,
            acr_values=config.challenges,
            gateways=running.gateways,
            services=[_native(config, running, rates, strangers)],
            message_bytes=config.limits.message_bytes,
        )
        self._serve(app, places)
        _say("inside Envoy", [each.address for each in places])

        async def drained() -> None:
            """Envoy has asked them to go."""

        yield drained


def _gateway(listener: ListenerConfig, gateways: Gateways) -> Gateway | None:
    return None if listener.gateway is None else gateways.by_name[listener.gateway]


def _certificates(listener: ListenerConfig, read: ReadFile) -> Certificates | None:
    """Both files of TLS stand there or neither does (`pdp.config`)."""
    if listener.certificate is None or listener.private_key is None:
        return None
    return Certificates(TlsFiles(listener.certificate, listener.private_key, listener.client_ca), read)


def _native(config: Config, running: Running, rates: Rates, strangers: Strangers) -> GrpcService:
    calls = NativeCalls(
        running.decider,
        clock_us=running.clock_us,
        metrics=running.metrics,
        acr_values=config.challenges,
        may_ask=rates.may_ask,
        may_record=strangers.may_record,
        message_bytes=config.limits.message_bytes,
    )
    return GrpcService(DECISIONS, calls.handler, calls.close)


def _parts(config: Config, running: Running, rates: Rates, strangers: Strangers) -> HttpParts:
    return HttpParts(
        decider=running.decider,
        gateways=running.gateways,
        clock_us=running.clock_us,
        may_ask=rates.may_ask,
        may_record=strangers.may_record,
        ready=running.ready,
        shown=running.shown,
        metrics=running.metrics,
        acr_values=config.challenges,
        public_url=config.http.public_url,
        body_bytes=config.limits.http_body_bytes,
        published=running.published,
    )


def _say(protocol: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        log.info("%s on %s", protocol, address)
