"""The HTTP listeners with real sockets: what a connection says by itself, faulty and slow clients, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import ssl
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from pdp.errors import ConfigError
from pdp.gateways import UNKNOWN, Connection, Gateway
from pdp.transports.http_app import http_app
from pdp.transports.http_server import HEAD_BYTES, MOST_CONNECTIONS, HttpListener, Patience, connection_of
from tests.support.certificates import EDGE_ID, Pair, TestAuthority
from tests.support.deciders import MemoryDecider, hang
from tests.support.http_parts import APP, EDGE, EVALUATION, KEY, KNOWN, parts
from tests.support.http_serving import (
    LOCAL,
    Recording,
    certificates,
    client,
    connected,
    port_of,
    rest_of,
    said,
    serving,
    statuses,
)

GET = b"GET / HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n"
SERVER_AUTHORITY = TestAuthority("servers")
GATEWAY_AUTHORITY = TestAuthority("gateways")
OTHER_AUTHORITY = TestAuthority("others")


def once(data: bytes, app: Any = None, listeners: Sequence[HttpListener] = (LOCAL,), **more: Any) -> bytes:
    """All that comes back to some bytes."""

    async def talk() -> bytes:
        async with serving(app or Recording(), listeners, **more) as (address, *_):
            return await said(address, data)

    return asyncio.run(talk())


# ---------------------------------------------------------------- what a connection says


def test_at_the_address_of_the_operators_nobody_is_known_and_a_key_may_be_said_on_this_host() -> None:
    app = Recording()
    once(GET, app)
    assert (app.connections, app.operations) == ([Connection(None, private=True)], [True])


def test_a_listener_for_a_gateway_says_who_asks() -> None:
    app = Recording()
    once(GET, app, [HttpListener("[::1]:0", EDGE), HttpListener("127.0.0.1:0", APP)][1:])
    assert (app.connections, app.operations) == ([Connection(APP, private=True)], [False])


def test_each_listener_has_its_own_gateway() -> None:
    app = Recording()

    async def both() -> None:
        async with serving(app, [HttpListener("127.0.0.1:0", EDGE), HttpListener("127.0.0.1:0", APP)]) as addresses:
            for address in addresses:
                await said(address, GET)

    asyncio.run(both())
    assert [connection.gateway for connection in app.connections] == [EDGE, APP]


SPOOFED: dict[str, bytes] = {
    "a certificate in a header": b'x-forwarded-client-cert: Hash=0;URI="%s"' % EDGE_ID.encode(),
    "a gateway in a header": b"x-portcullis-gateway: edge",
    "the key of our scope": b"portcullis.connection: edge",
    "the operators": b"portcullis.operations: true",
    "a proxy": b"forwarded: for=127.0.0.1;proto=https",
    "an encrypted proxy": b"x-forwarded-proto: https",
    "a verified client": b"ssl-client-verify: SUCCESS",
}


def test_nothing_a_request_says_changes_what_its_connection_says() -> None:
    app = Recording()

    async def all_of_them() -> None:
        async with serving(app, [HttpListener("127.0.0.1:0")]) as (address,):
            for header in SPOOFED.values():
                target = b"/?portcullis.connection=edge&" + header.replace(b" ", b"+")
                await said(
                    address, b"GET %s HTTP/1.1\r\nhost: pdp\r\n%s\r\nconnection: close\r\n\r\n" % (target, header)
                )

    asyncio.run(all_of_them())
    assert app.connections == [Connection(None, private=True)] * len(SPOOFED)
    assert app.operations == [False] * len(SPOOFED)
    assert {scope["scheme"] for scope in app.scopes} == {"http"}


class Ends(asyncio.BaseTransport):
    """A connection between two addresses."""

    def __init__(self, ours: object, theirs: object) -> None:
        super().__init__({"sockname": ours, "peername": theirs})


PRIVATE: dict[str, tuple[object, object, bool]] = {
    "loopback": (("127.0.0.1", 1), ("127.0.0.1", 2), True),
    "loopback of IPv6": (("::1", 1, 0, 0), ("::1", 2, 0, 0), True),
    "loopback written for IPv6": (("::ffff:127.0.0.1", 1, 0, 0), ("::ffff:127.0.0.1", 2, 0, 0), True),
    "a Unix socket": ("/run/pdp.sock", "", True),
    "the network": (("192.0.2.1", 1), ("192.0.2.2", 2), False),
    "an address of our own that others can reach": (("192.0.2.1", 1), ("192.0.2.1", 2), False),
    "sent on to loopback from elsewhere": (("127.0.0.1", 1), ("192.0.2.2", 2), False),
    "from loopback to an address of the network": (("192.0.2.1", 1), ("127.0.0.1", 2), False),
    "link-local": (("fe80::1%eth0", 1, 0, 2), ("fe80::2%eth0", 2, 0, 2), False),
    "an end that is not known": (None, ("127.0.0.1", 2), False),
    "no ends": (None, None, False),
    "an empty address": (("", 1), ("", 2), False),
}


@pytest.mark.parametrize("sentence", PRIVATE)
def test_only_this_host_and_unix_sockets_are_private_without_tls(sentence: str) -> None:
    ours, theirs, private = PRIVATE[sentence]
    assert connection_of(Ends(ours, theirs), LOCAL, KNOWN, 0.0) == Connection(None, private=private)


# ---------------------------------------------------------------- certificates


@pytest.fixture
def tls(tmp_path: Path) -> HttpListener:
    made = certificates(tmp_path, SERVER_AUTHORITY, clients=GATEWAY_AUTHORITY)
    return HttpListener("127.0.0.1:0", certificates=made)


def trusting(folder: Path, shown: Pair | None = None) -> ssl.SSLContext:
    return client(SERVER_AUTHORITY, folder, shown)


LET_IN: dict[str, tuple[Callable[[], Pair], Gateway]] = {
    "a gateway": (GATEWAY_AUTHORITY.gateway, EDGE),
    "a gateway with a DNS name too": (lambda: GATEWAY_AUTHORITY.gateway(dns=["edge.example"]), EDGE),
    "nobody of ours": (lambda: GATEWAY_AUTHORITY.gateway(["spiffe://shop.example/other"]), UNKNOWN),
    "two identities": (lambda: GATEWAY_AUTHORITY.gateway([EDGE_ID, "spiffe://shop.example/other"]), UNKNOWN),
    "an identity twice": (lambda: GATEWAY_AUTHORITY.gateway([EDGE_ID, EDGE_ID]), UNKNOWN),
    "an identity and another URI": (lambda: GATEWAY_AUTHORITY.gateway([EDGE_ID, "https://edge.example/"]), UNKNOWN),
    "no names": (lambda: GATEWAY_AUTHORITY.gateway([]), UNKNOWN),
    "a DNS name alone": (lambda: GATEWAY_AUTHORITY.gateway([], dns=["edge.example"]), UNKNOWN),
    "a DNS name that spells an identity": (lambda: GATEWAY_AUTHORITY.gateway([], dns=[EDGE_ID]), UNKNOWN),
    "another case": (lambda: GATEWAY_AUTHORITY.gateway([EDGE_ID.upper()]), UNKNOWN),
    "a path below": (lambda: GATEWAY_AUTHORITY.gateway([EDGE_ID + "/x"]), UNKNOWN),
}


def test_the_one_uri_of_a_certificate_says_which_gateway_asks(tls: HttpListener, tmp_path: Path) -> None:
    app = Recording()

    async def all_of_them() -> None:
        async with serving(app, [tls]) as (address,):
            for made, _ in LET_IN.values():
                assert statuses(await said(address, GET, trusting(tmp_path, made()))) == [200]

    asyncio.run(all_of_them())
    found = dict(zip(LET_IN, app.connections, strict=True))
    assert found == {sentence: Connection(gateway, private=True) for sentence, (_, gateway) in LET_IN.items()}
    assert {scope["scheme"] for scope in app.scopes} == {"https"}


KEPT_OUT: dict[str, Callable[[], Pair | None]] = {
    "no certificate": lambda: None,
    "another authority": OTHER_AUTHORITY.gateway,
    "the authority of the servers": SERVER_AUTHORITY.gateway,
    "expired": lambda: GATEWAY_AUTHORITY.gateway(valid_for=timedelta(minutes=-1)),
    "for a server": lambda: GATEWAY_AUTHORITY.gateway(as_server=True),
    "a name that is no text": lambda: GATEWAY_AUTHORITY.gateway_of_bytes(b"spiffe://shop.example/\xff\xfe"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_a_certificate_of_the_authorities_there_is_no_connection(
    tls: HttpListener, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    app = Recording()

    async def all_of_them() -> None:
        async with serving(app, [tls]) as (address,):
            for made in KEPT_OUT.values():
                context = trusting(tmp_path, made())
                context.minimum_version = context.maximum_version = version
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    assert await said(address, GET, context) == b""

    asyncio.run(all_of_them())
    assert app.scopes == []


def test_plain_http_and_old_tls_get_no_answer_where_tls_is_spoken(tls: HttpListener, tmp_path: Path) -> None:
    app = Recording()
    old = trusting(tmp_path, GATEWAY_AUTHORITY.gateway())
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    async def both() -> bytes:
        async with serving(app, [tls]) as (address,):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await said(address, GET, old)
            return await said(address, GET)

    assert statuses(asyncio.run(both())) == []
    assert app.scopes == []


def test_tls_that_asks_for_no_certificate_is_private_and_anybodys(tmp_path: Path) -> None:
    app = Recording()
    listener = HttpListener("127.0.0.1:0", certificates=certificates(tmp_path, SERVER_AUTHORITY))

    async def talk() -> None:
        async with serving(app, [listener]) as (address,):
            await said(address, GET, trusting(tmp_path, GATEWAY_AUTHORITY.gateway()))

    asyncio.run(talk())
    assert app.connections == [Connection(None, private=True)]


def test_new_certificates_are_shown_to_new_connections_and_no_connection_is_dropped(
    tls: HttpListener, tmp_path: Path
) -> None:
    app = Recording()
    assert tls.certificates is not None
    stranger = client(OTHER_AUTHORITY, tmp_path, OTHER_AUTHORITY.gateway())
    ask = b"GET / HTTP/1.1\r\nhost: pdp\r\n\r\n"

    async def replaced(address: str) -> None:
        while True:  # each turn is a handshake; the files are looked at meanwhile
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                if statuses(await said(address, GET, stranger)) == [200]:
                    return

    async def talk() -> None:
        async with serving(app, [tls], look_every_s=0.01) as (address,):
            async with connected(address, trusting(tmp_path, GATEWAY_AUTHORITY.gateway())) as (reader, writer):
                writer.write(ask)
                assert b"ok" in await reader.readuntil(b"ok")
                OTHER_AUTHORITY.server().write(tmp_path, "server")
                (tmp_path / "clients.pem").write_bytes(OTHER_AUTHORITY.pem)
                await asyncio.wait_for(replaced(address), 10)
                writer.write(ask)
                assert b"ok" in await reader.readuntil(b"ok")
            with pytest.raises(ssl.SSLError):
                await said(address, GET, trusting(tmp_path, GATEWAY_AUTHORITY.gateway()))

    asyncio.run(talk())


# ---------------------------------------------------------------- Unix sockets


def test_a_unix_socket_is_for_its_owner_and_group_and_gone_afterwards(tmp_path: Path) -> None:
    path, app = tmp_path / "pdp.sock", Recording()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def talk() -> int:
        async with serving(app, [HttpListener(f"unix:{path}", EDGE)]) as (address,):
            assert statuses(await said(address, GET)) == [200]
            return stat.S_IMODE(path.stat().st_mode)

    assert asyncio.run(talk()) == 0o660
    assert app.connections == [Connection(EDGE, private=True)]
    assert not path.exists()


# ---------------------------------------------------------------- addresses


def start(*listeners: HttpListener) -> ConfigError:
    async def refused() -> None:
        async with serving(Recording(), listeners):
            pytest.fail("it was accepted")

    with pytest.raises(ConfigError) as caught:
        asyncio.run(refused())
    return caught.value


UNUSABLE: dict[str, tuple[str, str]] = {
    "every address": ("0.0.0.0:0", "N102"),
    "every IPv6 address": ("[::]:0", "N102"),
    "an address that is not ours": ("192.0.2.1:0", "N101"),
    "no address": ("not an address:0", "N101"),
    "no port": ("127.0.0.1", "N101"),
    "a port out of range": ("127.0.0.1:65536", "N101"),
    "a port that is none": ("127.0.0.1:http", "N101"),
    "nothing": ("", "N101"),
}


@pytest.mark.parametrize("sentence", UNUSABLE)
def test_a_listener_without_tls_is_of_this_host_alone(sentence: str) -> None:
    address, code = UNUSABLE[sentence]
    error = start(HttpListener(address, EDGE))
    assert error.code == code
    assert address in error.detail


def test_the_address_of_the_operators_may_be_any() -> None:
    async def talk() -> None:
        async with serving(Recording(), [HttpListener("0.0.0.0:0", operations=True)]) as (address,):
            assert address.startswith("0.0.0.0:")
            assert statuses(await said(address, GET)) == [200]

    asyncio.run(talk())


def test_a_port_in_use_names_the_port_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = start(HttpListener(f"127.0.0.1:{port}", operations=True))
    assert error.code == "N101"
    assert str(port) in error.detail
    assert "change [http] address" in error.detail


def test_one_listener_that_cannot_start_leaves_none_bound(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    start(HttpListener(f"127.0.0.1:{port}", EDGE), HttpListener("0.0.0.0:0", EDGE))
    socket.create_server(("127.0.0.1", port)).close()
    path = tmp_path / "pdp.sock"
    start(HttpListener(f"unix:{path}", EDGE), HttpListener("0.0.0.0:0", EDGE))
    assert not path.exists()


# ---------------------------------------------------------------- faulty requests

BODY = b"POST / HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n"
FAULTY: dict[str, tuple[bytes, list[int]]] = {
    "both lengths": (BODY + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "two lengths": (BODY + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde", [400]),
    "a length below zero": (BODY + b"content-length: -1\r\n\r\n", [400]),
    "a length with a sign": (BODY + b"content-length: +4\r\n\r\nabcd", [400]),
    "a length in other digits": (BODY + "content-length: ٤\r\n\r\nabcd".encode(), [400]),
    "a length that is none": (BODY + b"content-length: four\r\n\r\n", [400]),
    "chunks for HTTP/1.0": (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "another coding": (BODY + b"transfer-encoding: gzip, chunked\r\n\r\n", [400]),
    "a coding twice": (BODY + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", [400]),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", [400]),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", [400]),
    "a space before the colon": (b"GET / HTTP/1.1\r\nhost : pdp\r\n\r\n", [400]),
    "a control in a value": (b"GET / HTTP/1.1\r\nhost: pdp\r\nx-a: b\x00c\r\n\r\n", [400]),
    "a target with a control": (b"GET /\x01 HTTP/1.1\r\nhost: pdp\r\n\r\n", [400]),
    "a target that is not ASCII": (b"GET /\xff HTTP/1.1\r\nhost: pdp\r\n\r\n", [400]),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "noise": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400]),
    "a header without an end": (b"GET / HTTP/1.1\r\nhost: pdp\r\nx-a: " + b"a" * (HEAD_BYTES + 70_000), [400]),
    "headers without an end": (b"GET / HTTP/1.1\r\nhost: pdp\r\n" + b"x-a: b\r\n" * 20_000, [400]),
}


def test_what_is_no_http_reaches_no_application() -> None:
    app = Recording(reads=True)

    async def all_of_them() -> dict[str, list[int]]:
        async with serving(app) as (address,):
            return {sentence: statuses(await said(address, data)) for sentence, (data, _) in FAULTY.items()}

    assert asyncio.run(all_of_them()) == {sentence: wanted for sentence, (_, wanted) in FAULTY.items()}
    assert app.scopes == []


CUT_OFF: dict[str, bytes] = {
    "a chunk whose size is no number": BODY + b"transfer-encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n",
    "a chunk that is longer than it says": BODY + b"transfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
    "a chunk size without an end": BODY + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 200_000,
}


def test_a_body_that_turns_out_faulty_ends_the_connection_and_what_was_asked() -> None:
    app = Recording(reads=True)

    async def all_of_them() -> list[bytes]:
        async with serving(app) as (address,):
            return [await said(address, data) for data in CUT_OFF.values()]

    for answer in asyncio.run(all_of_them()):
        assert 200 not in statuses(answer)
    assert [body.startswith(b"cut off: ") for body in app.bodies] == [True] * len(CUT_OFF)


SOUND: dict[str, tuple[bytes, bytes]] = {
    "HTTP/1.0": (b"POST / HTTP/1.0\r\ncontent-length: 4\r\n\r\nabcd", b"abcd"),
    "chunks": (BODY + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n2;x=y\r\ncd\r\n0\r\n\r\n", b"abcd"),
    "no body": (GET, b""),
    "a long header": (GET.replace(b"\r\n\r\n", b"\r\nx-a: " + b"a" * 60_000 + b"\r\n\r\n"), b""),
    "an upgrade that is not made": (GET.replace(b"close", b"close, upgrade\r\nupgrade: websocket"), b""),
}


def test_what_is_http_is_read_to_its_end() -> None:
    app = Recording(reads=True)

    async def all_of_them() -> list[bytes]:
        async with serving(app) as (address,):
            return [await said(address, data) for data, _ in SOUND.values()]

    assert [statuses(answer) for answer in asyncio.run(all_of_them())] == [[200]] * len(SOUND)
    assert dict(zip(SOUND, app.bodies, strict=True)) == {sentence: body for sentence, (_, body) in SOUND.items()}


def test_requests_one_after_the_other_are_answered_in_order() -> None:
    app = Recording(reads=True)
    bodies = [b"first", b"second", b"third"]
    data = b"".join(b"POST / HTTP/1.1\r\nhost: pdp\r\ncontent-length: %d\r\n\r\n%s" % (len(b), b) for b in bodies)
    assert statuses(once(data + GET, app)) == [200, 200, 200, 200]
    assert app.bodies == [*bodies, b""]


@pytest.mark.parametrize(
    "target", [b"http://evil.example/healthz", b"//evil.example/healthz", b"*", b"evil.example:443"]
)
def test_another_form_of_target_is_no_path_of_ours(target: bytes) -> None:
    method = {b"*": b"OPTIONS", b"evil.example:443": b"CONNECT"}.get(target, b"GET")
    data = b"%s %s HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n" % (method, target)
    assert statuses(once(data, http_app(parts()))) == [404]


# ---------------------------------------------------------------- who takes long

SHORT = Patience(head_s=0.05, exchange_s=0.1, idle_s=1)

SLOW: dict[str, bytes] = {
    "says nothing": b"",
    "says half a line": b"GET / HT",
    "says half a head": b"GET / HTTP/1.1\r\nhost: pdp\r\n",
    "says half a body": BODY + b"content-length: 100\r\n\r\nabc",
    "says half a chunk": BODY + b"transfer-encoding: chunked\r\n\r\n10\r\nabc",
    "begins another request": b"GET / HTTP/1.1\r\nhost: pdp\r\n\r\nGET / HT",
    "asks nothing more": b"GET / HTTP/1.1\r\nhost: pdp\r\n\r\n",
}


@pytest.mark.parametrize("sentence", SLOW)
def test_a_client_is_not_waited_for_without_end(sentence: str) -> None:
    app = Recording(reads=True)
    answers = once(SLOW[sentence], app, patience=SHORT)
    assert statuses(answers) == ([200] if sentence.endswith(("request", "more")) else [])
    assert len(app.bodies) == len(app.scopes)


def test_bytes_now_and_then_are_no_reason_to_wait_longer() -> None:
    async def talk() -> None:
        async with serving(Recording(), patience=SHORT) as (address,), connected(address) as (reader, writer):
            ended = asyncio.ensure_future(rest_of(reader))
            with contextlib.suppress(OSError):
                while not ended.done():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.wait({ended}, timeout=0.01)
            assert await ended == b""

    asyncio.run(asyncio.wait_for(talk(), 10))


def test_an_answer_that_takes_too_long_ends_the_connection_and_what_was_asked() -> None:
    gone: list[str] = []

    async def never(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        gone.append((await receive())["type"])

    assert once(GET, never, patience=SHORT) == b""
    assert gone == ["http.disconnect"]


def test_an_answer_before_the_body_leaves_it_and_the_connection_ends() -> None:
    head = b"POST / HTTP/1.1\r\nhost: pdp\r\ncontent-length: 100000000\r\n\r\n"
    assert statuses(once(head + b"x" * 100_000, Recording(), patience=SHORT)) == [200]


def test_ten_megabytes_are_refused_without_being_read() -> None:
    decider = MemoryDecider()
    head = b"POST %s HTTP/1.1\r\nhost: pdp\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\n"
    stated = head % (EVALUATION.encode(), KEY.encode()) + b"content-length: 10000000\r\n\r\n" + b" " * 10_000_000
    chunked = head % (EVALUATION.encode(), KEY.encode()) + b"transfer-encoding: chunked\r\n\r\n"
    chunked += b"".join(b"10000\r\n" + b" " * 65_536 + b"\r\n" for _ in range(150)) + b"0\r\n\r\n"

    async def both() -> list[bytes]:
        async with serving(http_app(parts(decider))) as (address,):
            return [await said(address, data) for data in (stated, chunked)]

    for answer in asyncio.run(both()):
        assert statuses(answer) == [400]
    assert [reason for reason, _, _ in decider.refused] == ["request.too_large"] * 2
    assert decider.asked == []


def test_one_connection_more_than_there_may_be_is_closed_at_once() -> None:
    async def talk() -> bytes:
        async with serving(Recording()) as (address,), contextlib.AsyncExitStack() as stack:
            for _ in range(MOST_CONNECTIONS):
                reader, writer = await stack.enter_async_context(connected(address))
            writer.write(b"GET / HTTP/1.1\r\nhost: pdp\r\n\r\n")
            assert statuses(await reader.readuntil(b"ok")) == [200]
            return await said(address, GET)

    assert asyncio.run(talk()) == b""


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """No file can be opened and no connection accepted meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_cannot_be_accepted_now_is_accepted_later(caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        async with serving(Recording()) as (address,):
            with socket.socket() as waiting:
                waiting.settimeout(0)
                with no_descriptor_left():
                    await loop.sock_connect(waiting, ("127.0.0.1", port_of(address)))
                    await loop.sock_sendall(waiting, GET)
                    while not caplog.records:  # noqa: ASYNC110  a log tells nobody
                        await asyncio.sleep(0)
                return await loop.sock_recv(waiting, 65_536)

    with caplog.at_level(logging.WARNING):
        assert statuses(asyncio.run(asyncio.wait_for(talk(), 10))) == [200]
    assert ["not accepted for now" in record.getMessage() for record in caplog.records] == [True]


# ---------------------------------------------------------------- the end


def test_the_port_is_free_again_afterwards() -> None:
    async def turn(address: str) -> str:
        async with serving(Recording(), [HttpListener(address, EDGE)]) as (bound,):
            assert statuses(await said(bound, GET)) == [200]
            return bound

    assert asyncio.run(turn(asyncio.run(turn("127.0.0.1:0"))))


def test_ipv6_loopback_is_served() -> None:
    async def talk() -> bytes:
        async with serving(Recording(), [HttpListener("[::1]:0", EDGE)]) as (address,):
            assert address.startswith("[::1]:")
            reader, writer = await asyncio.open_connection("::1", port_of(address))
            writer.write(GET)
            got = await rest_of(reader)
            writer.close()
            return got

    assert statuses(asyncio.run(talk())) == [200]


def test_signals_stay_with_the_process() -> None:
    async def during() -> object:
        async with serving(Recording()):
            return signal.getsignal(signal.SIGTERM)

    assert asyncio.run(during()) == signal.getsignal(signal.SIGTERM)


STAYING: dict[str, bytes] = {
    "says nothing": b"",
    "says half a request": b"GET / HTTP/1.1\r\n",
    "says half a body": BODY + b"content-length: 100\r\n\r\nabc",
    "waits for an answer": GET,
}


@pytest.mark.parametrize("sentence", STAYING)
def test_a_client_that_stays_connected_does_not_hold_the_end(sentence: str) -> None:
    async def talk() -> bytes:
        decider = MemoryDecider(hang)

        async def waits(scope: Scope, receive: Receive, send: Send) -> None:
            await decider.behaviour()

        async with contextlib.AsyncExitStack() as stack:
            (address,) = await stack.enter_async_context(serving(waits))
            async with connected(address) as (reader, writer):
                writer.write(STAYING[sentence])
                await writer.drain()
                await stack.aclose()
                return await rest_of(reader)

    assert 200 not in statuses(asyncio.run(asyncio.wait_for(talk(), 10)))


def test_who_is_being_answered_at_the_end_gets_the_answer() -> None:
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def soon(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await ended.wait()
        await Recording()(scope, receive, send)

    async def talk() -> bytes:
        async with contextlib.AsyncExitStack() as stack:
            (address,) = await stack.enter_async_context(serving(soon))
            async with connected(address) as (reader, writer):
                writer.write(GET)
                await begun.wait()
                closing = asyncio.ensure_future(stack.aclose())
                asyncio.get_running_loop().call_later(0.05, ended.set)
                await closing
                return await rest_of(reader)

    assert statuses(asyncio.run(talk())) == [200]
