"""What a gateway's configuration is made from: who asks, where the service listens, and what stands behind.

A compiled program and a few addresses come in; a frozen `Setting` goes out, whose parts are of an alphabet that every
configuration language takes as it stands, so that the functions that write text quote nothing.
INVARIANT: each host belongs to one service. The service of a call is what the gateway's configuration says, so a host
of two services would need routes that nobody can guess from here.
Design: gateways.md 1 and 3; contracts.md "Which service, which gateway, which caller", "Headers at Envoy".

Decision: 2026-11-21. The headers a gateway takes from the answer alone are those that some rule sets and those that
some rule removes: a gateway that asks over HTTP is told what to set and not what to remove, so that what is not in the
answer must not pass.
Decision: 2026-11-21. Where some rule has `must issue token`, `authorization` is among them, with one difference: the
check needs what the client sent, so that it is taken away behind the check and not before.
Decision: 2026-11-21. What leaves this host is TLS with a certificate on either side, always: otherwise whoever reaches
the port would ask in the gateway's name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from msgspec import Struct

from pdp.authoring.model import AuthoringError
from pdp.runtime.vocabulary import Vocabulary
from policy_lang.ir import Endpoint, Grpc, Http, Program

SAYING_MORE: tuple[str, ...] = (
    *("x-original-url", "x-original-uri", "x-original-host", "x-original-method", "x-rewrite-url", "x-override-url"),
    *("x-forwarded-uri", "x-forwarded-url", "x-forwarded-path", "x-forwarded-prefix", "x-forwarded-method"),
    *("x-forwarded-host", "x-forwarded-server", "x-forwarded-port", "x-forwarded-ssl", "x-forwarded-scheme"),
    *("x-host", "x-http-host-override", "forwarded", "x-real-ip", "x-client-ip", "true-client-ip"),
    *("x-cluster-client-ip", "x-http-method-override", "x-http-method", "x-method-override"),
    *("x-forwarded-client-cert", "front-end-https"),
)
"""Headers by which a client could tell a back end of another call than the one that was decided: another path, host,
method or address. Frameworks believe them (security.md 2.2)."""

OURS = "x-portcullis-"
DECISION = "x-portcullis-decision"
CREDENTIAL = "authorization"
NOBODY = "-"
"""A service that no policy can declare: what is asked about it is refused by `route`, and recorded."""

_HEADER = re.compile(r"[a-z0-9_-]+")
_HOST = re.compile(r"[a-z0-9.-]+")
_NAMED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_SOCKET = re.compile(r"/[A-Za-z0-9._/-]+")


class Tcp(Struct, frozen=True):
    """A host by name or address (IPv6 without brackets), and a port."""

    host: str
    port: int

    @property
    def text(self) -> str:
        """`HOST:PORT`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, which nobody has to look up."""
        return _address(self.host) is not None

    @property
    def is_here(self) -> bool:
        """Whether only this host can reach it."""
        found = _address(self.host)
        return self.host == "localhost" or (found is not None and found.is_loopback)


class Unix(Struct, frozen=True):
    """A Unix socket by its absolute path."""

    path: str


class Mutual(Struct, frozen=True):
    """The service beyond this host: TLS, each side with a certificate. The three are files, absolute or beside the
    configuration: the gateway's certificate and key, and the authority that signs the service's certificate, which
    bears the host of `at` as its DNS name.
    """

    at: Tcp
    certificate: str = "gateway.pem"
    private_key: str = "gateway-key.pem"
    authority: str = "pdp-ca.pem"


Way = Tcp | Unix | Mutual


class Behind(Struct, frozen=True):
    """A service of the policy, and the upstream that serves it. `methods` are those its endpoints declare, sorted.
    `http` and `grpc`: which kinds of endpoint it has, at least one.
    """

    service: str
    hosts: tuple[str, ...]
    upstream: Tcp
    methods: tuple[str, ...] = ()
    http: bool = True
    grpc: bool = False


class Setting(Struct, frozen=True):
    """`gateway` is its name in `pdp.toml`; it takes calls at `listen` and asks the service by `way`.

    `guarded` are the headers that the upstream gets from the answer alone, `read` those that the policy reads, lower
    case and sorted both. `origins` are the web origins whose preflights are answered. `credential`: some rule has a
    token made for the service, so that the upstream gets `authorization` from the answer alone as well.
    """

    gateway: str
    listen: Tcp
    way: Way
    behind: tuple[Behind, ...]
    guarded: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    credential: bool = False

    @property
    def taken_before(self) -> tuple[str, ...]:
        """What a client may not say, not even to the check; the answer sets them, or nobody does."""
        return (DECISION, *self.guarded)

    @property
    def from_answer(self) -> tuple[str, ...]:
        """Every header that goes on as the answer has it, or not at all."""
        return (*self.taken_before, CREDENTIAL) if self.credential else self.taken_before


def setting_of(
    program: Program, gateway: str, listen: Tcp, way: Way, upstreams: Mapping[str | None, Tcp], origins: tuple[str, ...]
) -> Setting:
    """The setting for the services of a program that have a host and endpoints over HTTP.

    `upstreams` by service; that of None stands for every service it does not name.
    Errors: AuthoringError I311 there is no such service; I312 two services share a host; I313 a header, host or origin
        that no configuration language takes as it stands; I314 an upstream is missing, or of no service.
    """
    vocabulary = Vocabulary.of(program)
    served = {service.id: service.hosts for service in program.services if service.hosts}
    endpoints = {id_: [each for each in program.endpoints if each.service == id_] for id_ in served}
    behind = tuple(
        _behind(service, hosts, endpoints[service], upstreams)
        for service, hosts in sorted(served.items())
        if any(not _is_action(each) for each in endpoints[service])
    )
    names = {each.service for each in behind}
    for name in upstreams:
        if name is not None and name not in names:
            raise AuthoringError("I314", f"no service `{name}` with a host and endpoints: there are {_listed(names)}")
    if not behind:
        raise AuthoringError("I311", "the policy has no service with a host and endpoints over HTTP: declare a host")
    _check_hosts(behind)
    guarded, read = sorted(vocabulary.guarded_headers), sorted(vocabulary.headers)
    for name in (*guarded, *read):
        if not _HEADER.fullmatch(name):
            raise AuthoringError("I313", f"the header `{name}` cannot stand in a gateway's configuration: rename it")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise AuthoringError("I313", f"`{origin}` is no web origin: write one such as https://shop.example")
    return Setting(gateway, listen, way, behind, tuple(guarded), tuple(read), origins, vocabulary.issues_tokens)


def tcp_of(text: str, what: str) -> Tcp:
    """`HOST:PORT`. Errors: AuthoringError I314, which calls it `what`."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    known = ":" in bare and _address(bare) is not None if bracketed else _NAMED.fullmatch(bare) is not None
    if not known or not _PORT.fullmatch(port) or int(port) >= 2**16:
        raise AuthoringError("I314", f"{what}: `{text}` is no address: write HOST:PORT")
    return Tcp(bare, int(port))


def way_of(text: str, what: str) -> Way:
    """`unix:/PATH` or `HOST:PORT`; beyond this host it is TLS on both sides. Errors: AuthoringError I314."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not _SOCKET.fullmatch(path):
            raise AuthoringError(
                "I314", f"{what}: `{text}` is no socket: write unix:/PATH, of letters, digits and ._-/"
            )
        return Unix(path)
    found = tcp_of(text, what)
    if found.host == "localhost":  # a name, which listeners do not bind
        return Tcp("127.0.0.1", found.port)
    return found if found.is_here else Mutual(found)


def title(name: str) -> str:
    """A header as it is usually written: `X-Request-Id`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _behind(
    service: str, hosts: tuple[str, ...], endpoints: list[Endpoint], upstreams: Mapping[str | None, Tcp]
) -> Behind:
    upstream = upstreams.get(service) or upstreams.get(None)
    if upstream is None:
        raise AuthoringError("I314", f"no upstream for the service `{service}`: write --upstream {service}=HOST:PORT")
    methods = {method for each in endpoints if isinstance(each.route, Http) for method in each.route.methods}
    grpc = any(isinstance(each.route, Grpc) for each in endpoints)
    return Behind(service, hosts, upstream, tuple(sorted(methods | ({"POST"} if grpc else set()))), bool(methods), grpc)


def _is_action(endpoint: Endpoint) -> bool:
    return not isinstance(endpoint.route, Http | Grpc)


def _check_hosts(behind: tuple[Behind, ...]) -> None:
    owners: dict[str, str] = {}
    for each in behind:
        for host in each.hosts:
            if not _HOST.fullmatch(host):
                raise AuthoringError("I313", f"the host `{host}` cannot stand in a gateway's configuration")
            if host in owners:
                both = f"`{owners[host]}` and `{each.service}`"
                raise AuthoringError(
                    "I312", f"{both} share the host {host}: give each its own, or write routes by hand"
                )
            owners[host] = each.service


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
