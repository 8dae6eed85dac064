"""Which service `pdp admin` asks: the one of a state folder here, or one elsewhere by TLS; and asking it.

The options of a verb come in (`of_a_service` adds them to it), the answer of the service goes out.
INVARIANT: a request is sent by TLS only after the other side has shown a certificate that is good for the host in
`--at` and signed by an authority in `--ca`; no other authority is trusted, and the name in its subject does not count.
Sources: RFC 9525 6.3 (no common names). Design: contracts.md "Command line"; security.md 2.1.

Decision: 2026-11-21. The four options of TLS stand together or not at all, and none beside `--state` or `--config`: a
slip must not ask another service than the one that was meant.
"""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, assert_never

import click
from msgspec import Struct

from pdp.admin import ANSWER_WITHIN_S, ask, exchanged
from pdp.cli.options import config_option, configured, path_type, shown_path, state_option
from pdp.errors import ConfigError, StateError
from pdp.model import Json
from pdp.state import State
from pdp.transports.places import split_address

CONNECT_WITHIN_S = 10.0


class Here(Struct, frozen=True):
    """The service whose socket is there."""

    admin_socket: Path


class Elsewhere(Struct, frozen=True):
    """A service over a network, with the files (PEM) that prove who asks and who answers."""

    host: str
    port: int
    certificate: Path
    private_key: Path
    authorities: Path

    @property
    def at(self) -> str:
        """Its address, as `--at` says it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Service = Here | Elsewhere

_OPTIONS = (
    config_option,
    state_option,
    click.option("--at", metavar="HOST:PORT", default=None, help="A service elsewhere, by TLS: `address` of [admin]."),
    click.option("--certificate", type=path_type, default=None, help="With --at: your certificate (PEM)."),
    click.option("--private-key", type=path_type, default=None, help="With --at: its key (PEM)."),
    click.option("--ca", type=path_type, default=None, help="With --at: who signs the service's certificate (PEM)."),
)


def of_a_service(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which service, and call it with `service` in their place."""

    @functools.wraps(command)
    def called(
        *,
        config_path: Path | None,
        state: Path | None,
        at: str | None,
        certificate: Path | None,
        private_key: Path | None,
        ca: Path | None,
        **others: object,
    ) -> None:
        service = _elsewhere(at, certificate, private_key, ca)
        if service is None:
            folder = state or configured(config_path).state
            return command(service=Here(State(folder).admin_socket), **others)
        if state is not None or config_path is not None:
            raise click.UsageError("--at names a service elsewhere: leave --state and --config out, or --at")
        return command(service=service, **others)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called


def _elsewhere(at: str | None, certificate: Path | None, private_key: Path | None, ca: Path | None) -> Elsewhere | None:
    """The service that the options of TLS name; None where there are none. Errors: UsageError."""
    if at is None and certificate is None and private_key is None and ca is None:
        return None
    if at is None or certificate is None or private_key is None or ca is None:
        given = {"--at": at, "--certificate": certificate, "--private-key": private_key, "--ca": ca}
        missing = ", ".join(name for name, value in given.items() if value is None)
        raise click.UsageError(f"a service elsewhere is asked with all of {', '.join(given)}: {missing} is missing")
    place = split_address(at)
    if place is None or not place[0] or not place[1]:
        raise click.UsageError("--at is HOST:PORT, such as pdp.shop.example:9444 or [::1]:9444")
    return Elsewhere(*place, certificate, private_key, ca)


def asked(service: Service, request: Mapping[str, Json]) -> Mapping[str, Json]:
    """What a service answers. Errors: StateError S110 none does, or not to us; ConfigError N110 files of no use."""
    match service:
        case Here():
            return ask(service.admin_socket, request)
        case Elsewhere():
            return _asked_by_tls(service, request)
        case _:
            assert_never(service)


def _asked_by_tls(service: Elsewhere, request: Mapping[str, Json]) -> Mapping[str, Json]:
    context = _context(service)
    try:
        tcp = socket.create_connection((service.host, service.port), CONNECT_WITHIN_S)
    except (OSError, ValueError) as error:
        remedy = "start `pdp serve` with `address` in [admin] of its pdp.toml, or correct --at"
        raise StateError("S110", f"no service answers at {service.at}: {remedy} ({error})") from error
    try:
        with tcp, context.wrap_socket(tcp, server_hostname=service.host) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            answer = exchanged(connection, request)
    except (OSError, ValueError) as error:
        raise StateError("S110", _why(service, error)) from error
    if not isinstance(answer, dict):
        raise StateError("S110", f"what answers at {service.at} is no `pdp serve`: correct --at")
    return answer


def _why(service: Elsewhere, error: OSError | ValueError) -> str:
    """Why a service that was reached has not answered, and what to do."""
    at, shown = service.at, shown_path(service.certificate)
    match error:
        case ssl.SSLCertVerificationError():
            remedy = "have it renewed, name with --ca who signs it, or with --at the host as it stands in it"
            return f"the certificate shown at {at} is not good ({error.verify_message}): {remedy}"
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError) and "ALERT" not in (error.reason or ""):
            return f"what answers at {at} does not speak TLS as `pdp serve` does ({_reason(error)}): correct --at"
        case TimeoutError():
            return f"the service at {at} does not answer in time: ask it again, or on its own host with --state"
        case _:
            wanted = "be signed by its `client_ca`, not have expired, and say one of its `identities`"
            return f"the service at {at} ended the connection without an answer: in its [admin], {shown} must {wanted}"


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no reason").replace("_", " ").lower()


def _context(service: Elsewhere) -> ssl.SSLContext:
    """What we show and demand. Errors: ConfigError N110 for files of no use."""
    files = {"--certificate": service.certificate, "--private-key": service.private_key, "--ca": service.authorities}
    for option, path in files.items():
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            detail = f"cannot read {path}: {error.strerror or type(error).__name__}; correct {option}"
            raise ConfigError("N110", detail) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    try:
        context.load_cert_chain(service.certificate, service.private_key, password=_no_password)
    except (OSError, ValueError) as error:
        detail = f"cannot use the certificate {service.certificate} with the key {service.private_key}"
        _unfit(detail, "give files of PEM that belong together, the key without a password", error)
    try:
        context.load_verify_locations(service.authorities)
    except (OSError, ValueError) as error:
        _unfit(f"cannot use {service.authorities} as authorities", "give a file of certificates in PEM", error)
    return context


def _no_password() -> bytes:
    """Nobody is asked at the terminal."""
    raise ValueError("it is locked with a password")


def _unfit(detail: str, remedy: str, error: Exception) -> NoReturn:
    cause = _reason(error) if isinstance(error, ssl.SSLError) and error.reason else str(error) or type(error).__name__
    raise ConfigError("N110", f"{detail} ({cause}): {remedy}") from error
