"""Administration over a network: the conversation of pdp/admin.py by TLS, with those the configuration names.

The table `[admin]` comes in; while the context lasts, whoever proves one of its `identities` is answered.

    TLS 1.2 or 1.3; the client's certificate is signed by `client_ca` and has exactly one URI, which is in `identities`
    PATIENCE_S        for the handshake, for the line to come, for its answer to go
    MOST_CONNECTIONS  administrators at once, beside MOST_UNPROVED who have not proved yet that they are one

Anybody else gets no answer. What kept them out is logged once for each kind of it.
INVARIANT: nothing is read of a connection but by TLS, from its first byte on; and no line is looked at before the
identity of its sender is known to be one of those.
INVARIANT: the certificates are those that the files held when the connection was accepted, or the last sound ones;
`misgivings` says so (pdp/transports/tls.py).
Sources: SPIFFE X.509-SVID 2 and 5.2 (exactly one URI). Design: contracts.md "Command line"; security.md 2.1.

Decision: 2026-11-21. Where as many as may be have not yet proved who they are, one of them makes room, whichever chance
says: who only connects, however fast, drives out others of its kind and an administrator in the middle of a handshake
now and then, who tries again. Who has proved it stays.
Decision: 2026-11-21. Who is refused is not in the decision log: it has asked nothing. It is in the service's own.
Decision: 2026-11-21. The names of `identities` count from the start of the service on; an administrator is removed by
a restart, or at once by another `client_ca`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

from pdp.admin import LONGEST_LINE, PATIENCE_S, Asker, Stated, Verb, converse
from pdp.config_identity import AdminConfig
from pdp.transports.places import address_of, listening_at
from pdp.transports.tls import LOOK_EVERY_S, Certificates, ReadFile, TlsFiles, uri_names, watched
from policy_lang.diagnostics import printable

MOST_CONNECTIONS = 16
MOST_UNPROVED = 256
MOST_TOLD = 32
CLOSE_WITHIN_S = 2.0
ACCEPT_AGAIN_S = 0.1

log = logging.getLogger(__name__)


class AdminListener:
    """The listener of one `[admin]`, with its certificates; none where the table has no address."""

    def __init__(self, config: AdminConfig, read: ReadFile, now_s: Callable[[], float]) -> None:
        """`now_s` gives Unix seconds. Errors: ConfigError N110 for a certificate that cannot be used."""
        self._config = config
        self._now_s = now_s
        self._certificates = _certificates(config, read)

    def misgivings(self, now_us: int) -> list[str]:
        """What an operator should know of the certificate, at a time in Unix microseconds."""
        said = "" if self._certificates is None else self._certificates.misgiving(now_us / 1_000_000)
        return [said] if said else []

    @contextlib.asynccontextmanager
    async def open(
        self,
        verbs: Mapping[str, Verb],
        stated: Stated,
        *,
        patience_s: float = PATIENCE_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> AsyncIterator[str | None]:
        """Answer while the context lasts; it gives the bound address, None where there is none.

        Errors: ConfigError N101 the address cannot be bound.
        """
        address, certificates = self._config.address, self._certificates
        if address is None or certificates is None:
            yield None
            return
        with listening_at(address, anywhere=True, key="`address` in [admin]") as listening:
            listening.settimeout(0)
            bound = address_of(address, listening)
            door = _Door(frozenset(self._config.identities), certificates, verbs, stated, patience_s, self._now_s)
            async with watched([certificates], every_s=look_every_s), door.open(listening):
                log.info("administration by TLS on %s", bound)
                yield bound


def _certificates(config: AdminConfig, read: ReadFile) -> Certificates | None:
    """All of the files stand there, and somebody is named, where there is an address (`pdp.config`); else nobody."""
    certificate, private_key, client_ca = config.certificate, config.private_key, config.client_ca
    if config.address is None or certificate is None or private_key is None or client_ca is None:
        return None
    return Certificates(TlsFiles(certificate, private_key, client_ca), read)


class _Door:
    """Who is connected: those who have proved nothing yet, and those who have."""

    def __init__(
        self,
        identities: frozenset[str],
        certificates: Certificates,
        verbs: Mapping[str, Verb],
        stated: Stated,
        patience_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._identities = identities
        self._certificates = certificates
        self._verbs = verbs
        self._stated = stated
        self._patience_s = patience_s
        self._now_s = now_s
        self._unproved: set[asyncio.Task[None]] = set()
        self._proved: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    @contextlib.asynccontextmanager
    async def open(self, listening: socket.socket) -> AsyncIterator[None]:
        """Let people in while the context lasts; afterwards nobody is connected."""
        accepting = asyncio.ensure_future(self._accept(listening))
        try:
            yield
        finally:
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # transports that were aborted close their sockets now

    async def _accept(self, listening: socket.socket) -> None:
        """Take whoever connects, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, sender = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor is free
                self._tell(f"administrators are not let in for now: {error}")
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            self._make_room()
            self._let_in(accepted, str(sender[0]))
            await asyncio.sleep(0)  # a crowd at the door must not keep the loop from everything else

    def _make_room(self) -> None:
        """Let one more in, after one of those who have proved nothing went, where need be."""
        if len(self._unproved) >= MOST_UNPROVED:
            chosen = secrets.choice(list(self._unproved))
            self._unproved.discard(chosen)
            chosen.cancel()

    def _let_in(self, accepted: socket.socket, sender: str) -> None:
        task = asyncio.ensure_future(self._meet(accepted, sender))
        self._tasks.add(task)
        self._unproved.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._proved.discard(task)
        self._unproved.discard(task)

    async def _meet(self, accepted: socket.socket, sender: str) -> None:
        """One connection, to its end."""
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        try:
            writer = await self._encrypted(accepted, reader)
        except (OSError, ValueError) as error:  # ValueError: names that are no text
            accepted.close()
            self._tell(f"a connection to administer, from {sender}, was refused: {_kind(error)}", _kind(error))
            return
        try:
            await self._admit(reader, writer, sender)
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _encrypted(self, accepted: socket.socket, reader: asyncio.StreamReader) -> asyncio.StreamWriter:
        """The connection after its handshake, with what is in use now. Errors: OSError, ValueError."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader),
            accepted,
            ssl=self._certificates.current.context,
            ssl_handshake_timeout=self._patience_s,
            ssl_shutdown_timeout=CLOSE_WITHIN_S,
        )
        return asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: str) -> None:
        """Answer who has proved one of the identities; end the connection of anybody else."""
        names = uri_names(writer.get_extra_info("ssl_object").getpeercert(), self._now_s())
        identity = names[0] if len(names) == 1 else None
        if identity is None or identity not in self._identities:
            whose = "a certificate without one identity" if identity is None else f"`{identity}` is no administrator"
            self._tell(f"a connection to administer, from {sender}, was refused: {whose}", whose)
            writer.close()
            return
        if len(self._proved) >= MOST_CONNECTIONS:
            self._tell(f"an administrator was turned away: {MOST_CONNECTIONS} are connected")
            writer.close()
            return
        current = asyncio.current_task()
        if current is not None:
            self._unproved.discard(current)
            self._proved.add(current)
        await converse(reader, writer, Asker(identity=identity), self._verbs, self._stated, self._patience_s)

    def _tell(self, sentence: str, kind: str = "") -> None:
        """Log a sentence, unless one of its kind was, or very many others."""
        kind = kind or sentence
        if kind in self._told or len(self._told) >= MOST_TOLD:
            return
        self._told.add(kind)
        log.warning("%s; this is said once", printable(sentence))


def _kind(error: Exception) -> str:
    """What kept a handshake from its end, in words that TLS chose and not the client."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good ({error.verify_message})"
        case ssl.SSLError():
            return f"no TLS came about ({(error.reason or 'no reason').replace('_', ' ').lower()})"
        case OSError():
            return f"no TLS came about ({type(error).__name__})"
        case _:
            return "the names in its certificate are no text"
