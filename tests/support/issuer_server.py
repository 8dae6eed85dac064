"""An issuer on loopback, over TLS or without, that answers as badly as it is told. Lives in the loop of the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

from msgspec import Struct

from tests.support.certificates import Pair, TestAuthority

HOST = "id.example"
CHUNK = b"x" * 65536

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Asked(Struct, frozen=True):
    """A request as it came. Names of headers in lower case; `name` is what TLS was asked for."""

    target: str
    headers: Mapping[str, str]
    name: str | None


class IssuerServer:
    """Listens on a free port of 127.0.0.1 while the block runs; `answers` may change, and is asked by path."""

    def __init__(self, answers: Mapping[str, Answer], pair: Pair | None, *, client_ca: bytes | None = None) -> None:
        """`pair` None: plain HTTP. With `client_ca` a client must show a certificate."""
        self.answers = dict(answers)
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._tls = None if pair is None else _context(pair, self._named, client_ca)
        self._names: dict[int, str | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str = "/", host: str = HOST) -> str:
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}{path}"

    def _named(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._names[id(connection)] = name

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.rstrip("\r\n").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                target = first.split(" ")[1]
                name = self._names.get(id(writer.get_extra_info("ssl_object")))
                self.asked.append(Asked(target, headers, name))
                await self.answers[target](writer)
                await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()


def _context(pair: Pair, named: Callable[..., None], client_ca: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*pair.write(Path(folder), "server"))
    context.sni_callback = named
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def certificate_for(authority: TestAuthority, *names: str) -> Pair:
    """A server's certificate for these names only."""
    return authority.gateway((), dns=names, as_server=True)


def saying(body: bytes, status: int = 200, **headers: str) -> Answer:
    """A whole answer; `_` in the name of a header stands for `-`."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} x", f"content-length: {len(body)}", *lines])
        writer.write(head.encode() + b"\r\n\r\n" + body)

    return answer


def raw(data: bytes) -> Answer:
    """These bytes, and the end of the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def endless(head: bytes, sent: list[int], most: int) -> Answer:
    """`head`, then chunks until the client is gone or `most` bytes are out; `sent` gets how many were."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        sent.append(0)
        writer.write(head)
        while sent[-1] < most:
            writer.write(CHUNK)
            await writer.drain()
            sent[-1] += len(CHUNK)

    return answer


def dripping(head: bytes, every_s: float) -> Answer:
    """`head`, then a byte at a time, without end."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(every_s)

    return answer


async def silent(_: asyncio.StreamWriter) -> None:
    """No answer at all, and no end."""
    await asyncio.Event().wait()
