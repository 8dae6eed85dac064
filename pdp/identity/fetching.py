"""One bounded GET over the network: the only place of identity from which anything is asked.

A URL comes in; the bytes of an answer of status 200 go out, or `FetchError` with one of a closed list of reasons.

(0) the URL      `fetch.scheme` (https; http only with `loopback_http`) `fetch.url` (user, fragment, port, characters)
(1) its host     `fetch.host` (not in the list)
(2) resolution   `fetch.unresolved`
(3) addresses    `fetch.address` (one that may not be asked) `fetch.scheme` (http to one that is not loopback)
(4) connection   `fetch.unreachable` `fetch.tls`
(5) answer       `fetch.redirect` `fetch.status` `fetch.encoding` `fetch.too_large` `fetch.protocol`
At any step: `fetch.timeout`, of one time for everything, resolution and the last byte included.

INVARIANT: a connection goes only to an address that was checked, under the name it was resolved from: nothing resolves
a second time, and no connection serves two names.
INVARIANT: an answer costs no more memory than `MOST_BYTES` and what one read brings; nothing is decompressed.
INVARIANT: nothing but the URL is sent: no cookie, no credential. No proxy and no variable of the environment counts.
SECURITY: the answer names hosts, too (`jwks_uri`): whoever answers must not lead us into the network we stand in.
Sources: RFC 9110; RFC 9525 (names in certificates); RFC 6890 and the IANA registries of special-purpose addresses.
Design: security.md 0.6, 2.1 (row JWKS), 2.4 (row SSRF).

Decision: 2026-11-21. A name with one address that may not be asked is refused as a whole: a resolver that mixes them is
wrong or somebody's. Mapped, translated and tunnelled IPv4 addresses (`::ffff:0:0/96`, NAT64, 6to4, Teredo) are refused
as such, whatever they stand for, and like others only let in by a network that names them.
Decision: 2026-11-21. Hosts are names or IPv4 literals; an IPv6 literal is `fetch.url`.
Decision: 2026-11-21. With `loopback_http`, http to loopback needs no named network; https to loopback still does.
Decision: 2026-11-21. Of several addresses at most four are tried, in their order; one that cannot be reached, or breaks
off, leads to the next. What TLS or an answer refuses is refused.
Decision: 2026-11-21. `SSL_CERT_FILE` is environment and does not count: other authorities than the system's are given
as PEM.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Literal, Protocol, Self, cast

import httpx
from msgspec import Struct

MOST_BYTES = 1024 * 1024
MOST_ADDRESSES = 4
LONGEST_URL = 2048
DEFAULT_TIMEOUT_S = 10.0

Reason = Literal[
    "fetch.scheme",
    "fetch.url",
    "fetch.host",
    "fetch.unresolved",
    "fetch.address",
    "fetch.unreachable",
    "fetch.tls",
    "fetch.redirect",
    "fetch.status",
    "fetch.encoding",
    "fetch.too_large",
    "fetch.protocol",
    "fetch.timeout",
]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, for a port, as texts. Errors: OSError, UnicodeError."""

_NAME = r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_NAME}\.?)(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<target>(?:[/?](?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?)",
    re.ASCII | re.IGNORECASE,
)
_HOST = re.compile(_NAME, re.ASCII)
_PORTS = {"http": 80, "https": 443}
_HEADERS = {
    "accept": "application/jwk-set+json, application/json",
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": "portcullis",
}

_SPECIAL_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


class FetchError(Exception):
    """Nothing was fetched; `reason` says why, and is all that is said."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class _Place(Struct, frozen=True):
    """A URL taken apart. `host` in lower case; `target` is path and query, as they are sent."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


class _Stream(Protocol):
    """What the client opens."""

    async def aclose(self) -> None: ...


class Fetcher:
    """Asks the hosts it was made for, and no others. Belongs to one event loop; `aclose` ends it.

    `hosts` are exact names in lower case, the only ones asked. `networks` are those whose addresses may be asked though
    they are not public. ValueError for hosts that are no such names, for a time of 0 or less, and for a context of TLS
    that does not verify.
    """

    def __init__(
        self,
        hosts: Collection[str],
        resolve: Resolve,
        tls: ssl.SSLContext,
        *,
        networks: Sequence[Network] = (),
        loopback_http: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        if any(not _HOST.fullmatch(host) for host in hosts):
            raise ValueError("hosts are names in lower case, without scheme, port and path")
        if tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname:
            raise ValueError("the context of TLS must verify certificates and their names")
        if not timeout_s > 0:
            raise ValueError("a fetch needs time")
        self._hosts = frozenset(hosts)
        self._resolve = resolve
        self._networks = tuple(networks)
        self._loopback_http = loopback_http
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            verify=tls,
            trust_env=False,
            follow_redirects=False,
            headers=_HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # A connection is proved for one name; the pool would know it by its address alone.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is open."""
        await self._client.aclose()

    async def fetch(self, url: str) -> bytes:
        """The body of the answer, at most `MOST_BYTES`, within the time given. Errors: FetchError, nothing else."""
        place = self._place(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._answer(place, await self._addresses(place))
        except TimeoutError:
            raise FetchError("fetch.timeout") from None

    def _place(self, url: str) -> _Place:
        scheme = url.partition(":")[0].lower()  # (0)
        if scheme != "https" and not (scheme == "http" and self._loopback_http):
            raise FetchError("fetch.scheme")
        match = _URL.fullmatch(url) if len(url) <= LONGEST_URL else None
        port = int(match["port"] or _PORTS[scheme]) if match is not None else 0
        if match is None or not 0 < port < 2**16:
            raise FetchError("fetch.url")
        host = match["host"].lower()
        if host not in self._hosts:  # (1)
            raise FetchError("fetch.host")
        return _Place(scheme, host, port, match["target"])

    async def _addresses(self, place: _Place) -> list[Address]:
        """Steps (2) and (3): the addresses of the host, every one of which may be asked."""
        try:
            texts = await self._resolve(place.host, place.port)
        except (OSError, UnicodeError):
            raise FetchError("fetch.unresolved") from None
        if not texts:
            raise FetchError("fetch.unresolved")
        try:
            addresses = [_address(text) for text in texts]
        except ValueError:
            raise FetchError("fetch.address") from None
        if place.scheme == "http":
            if not all(address.is_loopback for address in addresses):
                raise FetchError("fetch.scheme")
        elif not all(self._may_be_asked(address) for address in addresses):
            raise FetchError("fetch.address")
        return list(dict.fromkeys(addresses))[:MOST_ADDRESSES]

    def _may_be_asked(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)

    async def _answer(self, place: _Place, addresses: Sequence[Address]) -> bytes:
        """Steps (4) and (5), at the first address that can be reached."""
        reason: Reason = "fetch.unreachable"
        for address in addresses:
            try:
                return await self._answer_of(place, address, self._timeout_s / len(addresses))
            except httpx.ConnectTimeout:
                reason = "fetch.timeout"
            except (httpx.HTTPError, OSError) as error:  # some errors of TLS come as they are
                reason = _reason(error)
                if reason != "fetch.unreachable":
                    raise FetchError(reason) from None
        raise FetchError(reason)

    async def _answer_of(self, place: _Place, address: Address, connect_s: float) -> bytes:
        at = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        opened: list[_Stream] = []

        async def trace(event: str, about: Mapping[str, object]) -> None:
            if event == "connection.connect_tcp.complete":
                opened.append(cast("_Stream", about["return_value"]))

        request = self._client.build_request(
            "GET",
            f"{place.scheme}://{at}:{place.port}{place.target}",
            headers={"host": place.authority},
            timeout=httpx.Timeout(None, connect=connect_s),
            extensions={"sni_hostname": place.host, "trace": trace},
        )
        try:
            response = await self._client.send(request, stream=True)
            try:
                return await _body(response)
            finally:
                await response.aclose()
        finally:
            for stream in opened:  # the client leaves one open whose handshake is cancelled
                await stream.aclose()


def _address(text: str) -> Address:
    """Errors: ValueError for what is none, one with a zone included."""
    if "%" in text:
        raise ValueError("a zone is a matter of one machine")
    return ip_address(text)


async def _body(response: httpx.Response) -> bytes:
    """Step (5): what is too large is left where it is."""
    if response.is_redirect:
        raise FetchError("fetch.redirect")
    if response.status_code != httpx.codes.OK:
        raise FetchError("fetch.status")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise FetchError("fetch.encoding")
    stated = response.headers.get("content-length", "0")
    if len(stated) > len(str(MOST_BYTES)) or int(stated) > MOST_BYTES:
        raise FetchError("fetch.too_large")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            raise FetchError("fetch.too_large")
        await asyncio.sleep(0)  # one read may bring thousands of pieces: time passes and others go on between them
    return bytes(body)


def _reason(error: httpx.HTTPError | OSError) -> Reason:
    """What the client met, from what it was raised for."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "fetch.tls"
        cause = cause.__cause__ or cause.__context__
    return "fetch.protocol" if isinstance(error, httpx.ProtocolError) else "fetch.unreachable"


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet: none of a special purpose, no multicast, no other address within."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of `host` as the system knows them; a `Resolve`. Errors: OSError, UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def trusting(authorities: bytes | None) -> ssl.SSLContext:
    """A context of TLS 1.2 or 1.3 that believes these authorities, PEM; None: those where OpenSSL looks for them.

    Errors: ssl.SSLError, UnicodeDecodeError, ValueError where `authorities` holds none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    if authorities is not None:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
        return context
    built_in = ssl.get_default_verify_paths()
    file, folder = Path(built_in.openssl_cafile), Path(built_in.openssl_capath)
    if file.is_file():
        context.load_verify_locations(cafile=file)
    if folder.is_dir():
        context.load_verify_locations(capath=folder)
    return context
