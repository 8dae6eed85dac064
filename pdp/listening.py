"""Every listener of the service, put together from the configuration: gRPC, HTTP, and TLS where it says so.

The configuration and the running parts come in; while the context lasts, gateways are answered. One count of decisions
a second and one of records of nobody's calls, one application, and one native API serve all listeners.
INVARIANT: nothing listens before every certificate was read, and no listener is left when one cannot start.
Errors: ConfigError N101, N102, N110, N201, N202 (see the transports).
Design: contracts.md "Which service, which gateway, which caller".
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from pdp.config import Config
from pdp.config_tables import ListenerConfig
from pdp.gateways import Gateway, Gateways
from pdp.metrics import Metrics
from pdp.model import Decider
from pdp.transports.grpc_server import GrpcListener, GrpcService, serve_grpc
from pdp.transports.http_app import HttpParts, http_app
from pdp.transports.http_server import HttpListener, serve_http
from pdp.transports.limits import Rates, Strangers
from pdp.transports.messages import DECISIONS
from pdp.transports.native_calls import NativeCalls
from pdp.transports.readiness import Published, Ready, Shown
from pdp.transports.tls import Certificates, ReadFile, TlsFiles

log = logging.getLogger(__name__)


class Running(Struct, frozen=True):
    """The parts that listeners need. `clock_us` gives Unix microseconds, `monotonic` seconds; `published` the keys of
    minted tokens, None where none are made.
    """

    decider: Decider
    gateways: Gateways
    metrics: Metrics
    ready: Ready
    shown: Callable[[], Shown]
    clock_us: Callable[[], int]
    monotonic: Callable[[], float]
    published: Callable[[], Published] | None = None


class Listeners:
    """The listeners of one configuration, with their certificates. Nothing listens yet."""

    def __init__(self, config: Config, gateways: Gateways, read: ReadFile) -> None:
        """Errors: ConfigError N110 for a certificate that cannot be used."""
        self._config = config
        self._listeners = [(each, _gateway(each, gateways), _certificates(each, read)) for each in config.listeners]

    def misgivings(self, now_us: int) -> list[str]:
        """What an operator should know of the certificates, at a time in Unix microseconds."""
        certificates = [each for _, _, each in self._listeners if each is not None]
        found = [each.misgiving(now_us / 1_000_000) for each in certificates]
        return list(dict.fromkeys(filter(None, found)))

    @contextlib.asynccontextmanager
    async def open(self, running: Running) -> AsyncIterator[None]:
        """Answer at every listener while the context lasts."""
        config = self._config
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
            )
            _say("gRPC", await stack.enter_async_context(serving))
            app = http_app(_parts(config, running, rates, strangers))
            http = serve_http(app, self._http(), running.gateways, now_s=lambda: running.clock_us() / 1_000_000)
            _say("HTTP", await stack.enter_async_context(http))
            yield

    def _grpc(self) -> list[GrpcListener]:
        return [
            GrpcListener(each.address, gateway, certificates)
            for each, gateway, certificates in self._listeners
            if each.protocol == "grpc"
        ]

    def _http(self) -> list[HttpListener]:
        found = [
            HttpListener(each.address, gateway, certificates)
            for each, gateway, certificates in self._listeners
            if each.protocol == "http"
        ]
        return [HttpListener(self._config.http.address, operations=True), *found]


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
