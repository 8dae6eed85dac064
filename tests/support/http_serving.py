"""The HTTP listeners on loopback, and clients that say exactly the bytes a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from pdp.gateways import Gateways
from pdp.transports.asking import CONNECTION
from pdp.transports.http_server import OPERATIONS, HttpListener, serve_http
from pdp.transports.tls import Certificates, TlsFiles
from tests.support.certificates import Pair, TestAuthority
from tests.support.http_parts import KNOWN

LOCAL = HttpListener("127.0.0.1:0", operations=True)
PATIENCE_S = 10.0


class Recording:
    """An application that answers 200, keeps the scopes and reads no body unless it is told to."""

    def __init__(self, *, reads: bool = False) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body = b""
        while self._reads:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                self.bodies.append(b"cut off: " + body)
                return
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    @property
    def connections(self) -> list[Any]:
        return [scope[CONNECTION] for scope in self.scopes]

    @property
    def operations(self) -> list[Any]:
        return [scope[OPERATIONS] for scope in self.scopes]


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, listeners: Sequence[HttpListener] = (LOCAL,), gateways: Gateways = KNOWN, **more: Any
) -> AsyncIterator[tuple[str, ...]]:
    async with serve_http(app, listeners, gateways, now_s=time.time, **more) as addresses:
        yield addresses


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@contextlib.asynccontextmanager
async def connected(
    address: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a listener."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        name = None if tls is None else "localhost"
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address), ssl=tls, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def said(address: str, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """All that comes back until the other side ends the connection; what could not be sent any more is not sent."""
    async with connected(address, tls) as (reader, writer):
        with contextlib.suppress(OSError):
            writer.write(data)
            await writer.drain()
        return await rest_of(reader)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, in whatever way."""
    got = b""
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await asyncio.wait_for(reader.read(65_536), PATIENCE_S):
            got += data
    return got


def statuses(answers: bytes) -> list[int]:
    """The statuses of the answers that stand one after the other."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answers)]


def certificates(folder: Path, authority: TestAuthority, *, clients: TestAuthority | None = None) -> Certificates:
    """A server's certificate by `authority`; `clients` says whose certificates are demanded."""
    certificate, key = authority.server().write(folder, "server")
    if clients is None:
        return Certificates(TlsFiles(certificate, key))
    (folder / "clients.pem").write_bytes(clients.pem)
    return Certificates(TlsFiles(certificate, key, folder / "clients.pem"))


def client(authority: TestAuthority, folder: Path, shown: Pair | None = None) -> ssl.SSLContext:
    """The context of a client that trusts `authority` and shows a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem.decode())
    if shown is not None:
        context.load_cert_chain(*shown.write(folder, f"client-{shown.serial}"))
    return context
