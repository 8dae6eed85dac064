"""One GET over the network: whom it asks, whom it does not, and what each bad answer costs."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.fetching import LONGEST_URL, MOST_BYTES, Fetcher, FetchError, is_public, system_resolve, trusting
from tests.support.certificates import TestAuthority
from tests.support.issuer_server import (
    HOST,
    Answer,
    IssuerServer,
    certificate_for,
    dripping,
    endless,
    raw,
    saying,
    silent,
)

AUTHORITY = TestAuthority()
PAIR = certificate_for(AUTHORITY, HOST)
TLS = trusting(AUTHORITY.pem)
LOOPBACK = (IPv4Network("127.0.0.0/8"),)
MANY = 50 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"


class Names:
    """A resolver that answers from a list, one answer for each question, the last one for ever."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def never(host: str, port: int) -> Sequence[str]:
    await asyncio.Event().wait()
    return ()


HERE = Names(["127.0.0.1"])


def fetcher(resolve: Any = HERE, hosts: Sequence[str] = (HOST,), **options: Any) -> Fetcher:
    return Fetcher(hosts, resolve, **{"tls": TLS, "networks": LOOPBACK, "timeout_s": 10.0, **options})


async def outcome(fetcher: Fetcher, url: str) -> bytes | str:
    try:
        return await fetcher.fetch(url)
    except FetchError as error:
        return error.reason


def done(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work(), 20)

    return asyncio.run(bounded())


def asked_of(answer: Answer, path: str = "/keys", **options: Any) -> tuple[bytes | str, IssuerServer]:
    """What a fetch of `path` comes to at a server that answers so."""

    async def once() -> tuple[bytes | str, IssuerServer]:
        async with IssuerServer({path: answer}, PAIR) as server, fetcher(**options) as asking:
            return await outcome(asking, server.url(path)), server

    got: tuple[bytes | str, IssuerServer] = done(once)
    return got


def refused(url: str, **options: Any) -> bytes | str:
    """What becomes of `url` where nothing listens."""

    async def once() -> bytes | str:
        async with fetcher(**options) as asking:
            return await outcome(asking, url)

    got: bytes | str = done(once)
    return got


def test_an_answer_is_fetched_under_the_name_from_the_address_that_was_checked() -> None:
    names = Names(["127.0.0.1"])
    body, server = asked_of(saying(b"{}"), "/keys?v=1&x=%2F", resolve=names)
    assert body == b"{}"
    [asked] = server.asked
    assert asked.target == "/keys?v=1&x=%2F"
    assert asked.headers["host"] == f"{HOST}:{server.port}"
    assert asked.name == HOST
    assert names.asked == [(HOST, server.port)]


def test_only_the_url_and_what_never_changes_is_sent() -> None:
    _, server = asked_of(saying(b"{}"))
    assert server.asked[0].headers == {
        "host": f"{HOST}:{server.port}",
        "accept": "application/jwk-set+json, application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "portcullis",
    }


def test_the_largest_answer_is_fetched_whole_and_an_empty_one_is_empty() -> None:
    assert asked_of(saying(b"x" * MOST_BYTES))[0] == b"x" * MOST_BYTES
    assert asked_of(saying(b""))[0] == b""


ANSWERS: dict[str, tuple[Answer, str]] = {
    "a redirect to another host": (saying(b"", 302, location="https://evil.example/"), "fetch.redirect"),
    "a redirect to the same place": (saying(b"", 301, location="/keys"), "fetch.redirect"),
    "a redirect that keeps the method": (saying(b"", 308, location="http://169.254.169.254/"), "fetch.redirect"),
    "not modified": (raw(b"HTTP/1.1 304 x\r\n\r\n"), "fetch.redirect"),
    "not found": (saying(b"{}", 404), "fetch.status"),
    "a fault of the issuer": (saying(b"{}", 500), "fetch.status"),
    "accepted, but nothing yet": (saying(b"{}", 202), "fetch.status"),
    "no content": (raw(b"HTTP/1.1 204 x\r\n\r\n"), "fetch.status"),
    "a part": (saying(b"{}", 206), "fetch.status"),
    "one byte too many": (saying(b"x" * (MOST_BYTES + 1)), "fetch.too_large"),
    "a length of many digits": (raw(OK + b"content-length: 99999999999999999999\r\n\r\n"), "fetch.too_large"),
    "a gzip bomb": (saying(gzip.compress(bytes(MANY)), content_encoding="gzip"), "fetch.encoding"),
    "two encodings": (saying(b"{}", content_encoding="identity, gzip"), "fetch.encoding"),
    "an encoding nobody knows": (saying(b"{}", content_encoding="x-mine"), "fetch.encoding"),
    "a transfer encoding that is compressed": (raw(OK + b"transfer-encoding: gzip\r\n\r\nx"), "fetch.protocol"),
    "a length that is none": (raw(OK + b"content-length: -1\r\n\r\n"), "fetch.protocol"),
    "two lengths": (raw(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx"), "fetch.protocol"),
    "a body that is cut": (raw(OK + b"content-length: 10\r\n\r\nx"), "fetch.protocol"),
    "a chunk that is cut": (raw(OK + b"transfer-encoding: chunked\r\n\r\nff\r\nx"), "fetch.protocol"),
    "headers without end": (endless(OK, [], MANY), "fetch.protocol"),
    "nothing at all": (raw(b""), "fetch.protocol"),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "fetch.protocol"),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_bad_answer_has_a_name(answer: Answer, reason: str) -> None:
    assert asked_of(answer)[0] == reason


def test_a_redirect_is_not_followed() -> None:
    body, server = asked_of(saying(b"", 302, location="/other"))
    assert body == "fetch.redirect"
    assert [each.target for each in server.asked] == ["/keys"]


BODIES = {
    "in chunks": b"transfer-encoding: chunked\r\n\r\n2000000\r\n",
    "until the end of the connection": b"\r\n",
    "with its length": b"content-length: %d\r\n\r\n" % MANY,
}


@pytest.mark.parametrize("head", BODIES.values(), ids=BODIES.keys())
def test_fifty_megabytes_are_left_where_they_are(head: bytes) -> None:
    sent: list[int] = []
    body, _ = asked_of(endless(OK + head, sent, MANY))
    assert body == "fetch.too_large"
    assert sent[0] < MANY // 2, "the rest was never taken: what left the server filled buffers of the system"


def test_an_encoding_that_is_not_stated_is_handed_on_as_it_is() -> None:
    packed = gzip.compress(bytes(MANY))
    assert asked_of(saying(packed))[0] == packed


def test_an_answer_in_thousands_of_pieces_lets_others_go_on() -> None:
    pieces = 20_000
    answer = raw(OK + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * pieces + b"0\r\n\r\n")

    async def once() -> tuple[bytes | str, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with IssuerServer({"/": answer}, PAIR) as server, fetcher() as asking:
            going_on = asyncio.ensure_future(others())
            body = await outcome(asking, server.url())
            going_on.cancel()
        return body, turns

    body, turns = done(once)
    assert body == b"x" * pieces
    assert turns >= pieces


def test_a_host_may_be_an_address() -> None:
    async def once() -> bytes | str:
        asking = fetcher(Names(["127.0.0.1"]), ["127.0.0.1"])
        async with IssuerServer({"/": saying(b"{}")}, AUTHORITY.server()) as server, asking:
            return await outcome(asking, server.url(host="127.0.0.1"))

    assert done(once) == b"{}"


SLOW: dict[str, Answer] = {
    "no answer": silent,
    "a body that drips": dripping(OK + b"transfer-encoding: chunked\r\n\r\nffff\r\n", 0.01),
    "headers that drip": dripping(b"HTTP/1.1 200 OK\r\na: ", 0.01),
    "an answer before the answer, again and again": dripping(b"HTTP/1.1 100 x\r\n\r\n" * 100, 0.01),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
def test_one_time_holds_for_everything(answer: Answer) -> None:
    assert asked_of(answer, timeout_s=0.3)[0] == "fetch.timeout"


def test_the_time_counts_from_the_resolution() -> None:
    assert refused(f"https://{HOST}/", resolve=never, timeout_s=0.05) == "fetch.timeout"


def test_a_handshake_that_never_comes_ends_with_the_time() -> None:
    async def once() -> bytes | str:
        async with IssuerServer({}, None) as server, fetcher(timeout_s=0.2) as asking:
            return await outcome(asking, f"https://{HOST}:{server.port}/")

    assert done(once) == "fetch.timeout"


URLS = {
    "http": ("http://id.example/", "fetch.scheme"),
    "a file": ("file:///etc/passwd", "fetch.scheme"),
    "ftp": ("ftp://id.example/", "fetch.scheme"),
    "data": ("data:application/json,{}", "fetch.scheme"),
    "no scheme": ("id.example/keys", "fetch.scheme"),
    "nothing": ("", "fetch.scheme"),
    "a blank before": (" https://id.example/", "fetch.scheme"),
    "a blank after": ("https://id.example/ ", "fetch.url"),
    "a line end after": ("https://id.example/\n", "fetch.url"),
    "a line end within": ("https://id.example/\r\nx: y", "fetch.url"),
    "a user": ("https://user@id.example/", "fetch.url"),
    "a user and a password": ("https://id.example:443@evil.example/", "fetch.url"),
    "an empty user": ("https://@id.example/", "fetch.url"),
    "a fragment": ("https://id.example/#x", "fetch.url"),
    "an empty fragment": ("https://id.example/#", "fetch.url"),
    "a backslash": ("https://id.example\\.evil.example/", "fetch.url"),
    "a port of 0": ("https://id.example:0/", "fetch.url"),
    "a port too high": ("https://id.example:65536/", "fetch.url"),
    "an empty port": ("https://id.example:/", "fetch.url"),
    "no host": ("https:///keys", "fetch.url"),
    "an IPv6 literal": ("https://[::1]/", "fetch.url"),
    "an empty label": ("https://id..example/", "fetch.url"),
    "letters beyond ASCII": ("https://id.exam\u017fple/", "fetch.url"),
    "a path beyond ASCII": ("https://id.example/\u00e9", "fetch.url"),
    "half an escape": ("https://id.example/%2", "fetch.url"),
    "too long": ("https://id.example/" + "x" * LONGEST_URL, "fetch.url"),
    "another host": ("https://evil.example/", "fetch.host"),
    "a host that begins like it": ("https://id.example.evil.example/", "fetch.host"),
    "a host that ends like it": ("https://evil.id.example/", "fetch.host"),
    "a dot at the end": ("https://id.example./", "fetch.host"),
    "an address": ("https://169.254.169.254/latest", "fetch.host"),
    "an address as a number": ("https://2130706433/", "fetch.host"),
}


@pytest.mark.parametrize(("url", "reason"), URLS.values(), ids=URLS.keys())
def test_a_url_is_refused_before_anything_is_asked(url: str, reason: str) -> None:
    names = Names(["127.0.0.1"])
    assert refused(url, resolve=names) == reason
    assert names.asked == []


def test_without_hosts_nobody_is_asked() -> None:
    assert refused(f"https://{HOST}/", hosts=()) == "fetch.host"


def test_the_case_of_a_host_does_not_matter() -> None:
    async def once() -> bytes | str:
        async with IssuerServer({"/": saying(b"{}")}, PAIR) as server, fetcher() as asking:
            return await outcome(asking, f"HTTPS://ID.Example:{server.port}/")

    assert done(once) == b"{}"


UNRESOLVED = {
    "no address": (),
    "an error": OSError("no such name"),
    "a name that cannot be asked for": UnicodeError("label too long"),
}


@pytest.mark.parametrize("answer", UNRESOLVED.values(), ids=UNRESOLVED.keys())
def test_a_name_without_addresses_is_not_asked(answer: Any) -> None:
    assert refused(f"https://{HOST}/", resolve=Names(answer)) == "fetch.unresolved"


SPECIAL = {
    "metadata of a cloud": ["169.254.169.254"],
    "loopback": ["127.0.0.1"],
    "loopback of IPv6": ["::1"],
    "private": ["10.1.2.3"],
    "private, of 172": ["172.31.255.255"],
    "private, of 192": ["192.168.0.1"],
    "shared": ["100.64.0.1"],
    "this network": ["0.0.0.0"],
    "unspecified": ["::"],
    "multicast": ["224.0.0.1"],
    "broadcast": ["255.255.255.255"],
    "reserved": ["240.0.0.1"],
    "for tests of speed": ["198.18.0.1"],
    "for books": ["192.0.2.1"],
    "mapped loopback": ["::ffff:127.0.0.1"],
    "a mapped address of the Internet": ["::ffff:8.8.8.8"],
    "a compatible address": ["::8.8.8.8"],
    "translated metadata": ["64:ff9b::a9fe:a9fe"],
    "tunnelled loopback": ["2002:7f00:1::"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "a private range of IPv6": ["fd00::1"],
    "metadata of a cloud over IPv6": ["fd00:ec2::254"],
    "link-local of IPv6": ["fe80::1"],
    "a site's": ["fec0::1"],
    "multicast of IPv6": ["ff02::1"],
    "for books of IPv6": ["2001:db8::1"],
    "with a zone": ["2606:4700::1%eth0"],
    "no address": ["localhost"],
    "an empty text": [""],
    "two, of which the second is private": ["93.184.215.14", "10.0.0.1"],
    "two, of which the first is private": ["10.0.0.1", "93.184.215.14"],
    "many, of which the last is private": [*(f"93.184.215.{n}" for n in range(20)), "10.0.0.1"],
}


@pytest.mark.parametrize("addresses", SPECIAL.values(), ids=SPECIAL.keys())
def test_an_address_that_may_not_be_asked_is_not_asked(addresses: list[str]) -> None:
    assert refused(f"https://{HOST}/", resolve=Names(addresses), networks=()) == "fetch.address"


def test_an_allowed_address_beside_one_that_is_not_is_not_asked() -> None:
    body, server = asked_of(saying(b"{}"), resolve=Names(["127.0.0.1", "10.0.0.1"]))
    assert body == "fetch.address"
    assert server.connections == 0


def test_a_name_that_comes_to_mean_another_address_is_refused_then() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"])

    async def thrice() -> tuple[list[bytes | str], int]:
        async with IssuerServer({"/": saying(b"{}")}, PAIR) as server, fetcher(names) as asking:
            return [await outcome(asking, server.url()) for _ in range(3)], server.connections

    assert done(thrice) == ([b"{}", "fetch.address", b"{}"], 2)
    assert len(names.asked) == 3, "each fetch resolves once, whatever it connects to"


def test_an_address_that_cannot_be_reached_leads_to_the_next() -> None:
    assert asked_of(saying(b"{}"), resolve=Names(["127.0.0.2", "127.0.0.2", "127.0.0.1"]))[0] == b"{}"


def test_an_address_that_is_silent_leads_to_the_next() -> None:
    async def once() -> bytes | str:
        silent_ones: list[asyncio.StreamWriter] = []
        asking = fetcher(Names(["127.0.0.2", "127.0.0.1"]), timeout_s=2.0)
        async with IssuerServer({"/": saying(b"{}")}, PAIR) as server, asking:
            other = await asyncio.start_server(lambda _, writer: silent_ones.append(writer), "127.0.0.2", server.port)
            async with other:
                body = await outcome(asking, server.url())
                for each in silent_ones:
                    each.close()
            assert len(silent_ones) == 1
            return body

    assert done(once) == b"{}"


def test_where_no_address_can_be_reached_it_is_said() -> None:
    assert refused(f"https://{HOST}:1/", resolve=Names(["127.0.0.1", "127.0.0.2"])) == "fetch.unreachable"


OTHER = TestAuthority("another authority")
CERTIFICATES = {
    "for another name": certificate_for(AUTHORITY, "other.example"),
    "for a name below": certificate_for(AUTHORITY, f"x.{HOST}"),
    "for the address that was asked": AUTHORITY.server(),
    "of an authority nobody believes": certificate_for(OTHER, HOST),
    "for clients only": AUTHORITY.gateway((), dns=[HOST]),
}


@pytest.mark.parametrize("pair", CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_a_wrong_certificate_is_refused_before_anything_is_sent(pair: Any) -> None:
    async def once() -> tuple[bytes | str, int]:
        async with IssuerServer({"/": saying(b"{}")}, pair) as server, fetcher() as asking:
            return await outcome(asking, server.url()), len(server.asked)

    assert done(once) == ("fetch.tls", 0)


def test_an_issuer_that_wants_a_certificate_of_ours_is_refused_by_name() -> None:
    async def once() -> tuple[bytes | str, int]:
        async with IssuerServer({"/": saying(b"{}")}, PAIR, client_ca=AUTHORITY.pem) as server, fetcher() as asking:
            return await outcome(asking, server.url()), len(server.asked)

    reason, asked = done(once)
    assert reason in {"fetch.tls", "fetch.unreachable"}, "an end of the connection may overtake what TLS says of it"
    assert asked == 0


async def broken(writer: asyncio.StreamWriter) -> None:
    """A record of TLS that nobody encrypted."""
    os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    await silent(writer)


def test_a_record_that_was_changed_on_the_way_is_refused() -> None:
    assert asked_of(broken)[0] == "fetch.tls"


def test_no_connection_serves_two_names() -> None:
    async def twice() -> tuple[bytes | str, bytes | str]:
        hosts = (HOST, "other.example")
        async with IssuerServer({"/": saying(b"{}")}, PAIR) as server, fetcher(hosts=hosts) as asking:
            return await outcome(asking, server.url()), await outcome(asking, server.url(host="other.example"))

    assert done(twice) == (b"{}", "fetch.tls")


def test_cookies_are_not_kept() -> None:
    async def twice() -> list[dict[str, str]]:
        answer = saying(b"{}", set_cookie="a=b; Path=/")
        async with IssuerServer({"/": answer}, PAIR) as server, fetcher() as asking:
            await asking.fetch(server.url())
            await asking.fetch(server.url())
            return [dict(each.headers) for each in server.asked]

    first, second = done(twice)
    assert first == second
    assert "cookie" not in second


def test_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert asked_of(saying(b"{}"))[0] == b"{}"
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert asked_of(saying(b"{}"), tls=trusting(None))[0] == "fetch.tls"


PLAIN: dict[str, tuple[list[str], bool, bytes | str]] = {
    "loopback": (["127.0.0.1"], True, b"{}"),
    "loopback and another": (["127.0.0.1", "93.184.215.14"], True, "fetch.scheme"),
    "another": (["93.184.215.14"], True, "fetch.scheme"),
    "a private one": (["10.0.0.1"], True, "fetch.scheme"),
    "loopback where nobody said so": (["127.0.0.1"], False, "fetch.scheme"),
}


@pytest.mark.parametrize(("addresses", "loopback_http", "want"), PLAIN.values(), ids=PLAIN.keys())
def test_http_is_for_loopback_where_it_was_said(addresses: list[str], loopback_http: bool, want: bytes | str) -> None:
    async def once() -> bytes | str:
        asking = fetcher(Names(addresses), networks=(), loopback_http=loopback_http)
        async with IssuerServer({"/": saying(b"{}")}, None) as server, asking:
            return await outcome(asking, server.url())

    assert done(once) == want


def test_https_to_loopback_needs_a_network_though_http_does_not() -> None:
    assert asked_of(saying(b"{}"), networks=(), loopback_http=True)[0] == "fetch.address"


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return context


UNFIT: dict[str, dict[str, Any]] = {
    "a host in upper case": {"hosts": ["ID.example"]},
    "a host with a port": {"hosts": ["id.example:443"]},
    "a URL for a host": {"hosts": ["https://id.example"]},
    "a pattern for a host": {"hosts": ["*.example"]},
    "an empty host": {"hosts": [""]},
    "a host with a dot at the end": {"hosts": ["id.example."]},
    "a context that does not look at names": {"tls": unverified()},
    "no time": {"timeout_s": 0.0},
    "a time that is no number": {"timeout_s": float("nan")},
}


@pytest.mark.parametrize("options", UNFIT.values(), ids=UNFIT.keys())
def test_a_fetcher_is_not_made_of(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"hosts|TLS|time"):
        fetcher(**options)


@pytest.mark.parametrize("pem", [b"", b"rubbish", b"\xff"], ids=["nothing", "no PEM", "no ASCII"])
def test_authorities_that_are_none_are_an_error(pem: bytes) -> None:
    with pytest.raises((ValueError, ssl.SSLError)):
        trusting(pem)


def test_the_system_resolves_an_address_to_itself() -> None:
    assert done(lambda: system_resolve("127.0.0.1", 443)) == ["127.0.0.1"]


@given(st.ip_addresses())
def test_what_is_public_is_so_for_the_standard_library_too(address: IPv4Address | IPv6Address) -> None:
    """public(a) => global(a) and not multicast(a) and not reserved(a)"""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_the_internet_are_public(text: str) -> None:
    assert is_public(ip_address(text))
