"""Administration: one JSON line each way, and the Unix socket in the state folder over which this host asks.

Who may open the socket may administer: it lies in a folder of mode 0700 and has mode 0600 itself. Over a network it is
who proves an identity by TLS (pdp/admin_tls.py).
Request: {"verb": "status", …}; answer: {"ok": bool, …}.
INVARIANT: every request of a known verb is in the log, with who made it: the user's number as the kernel says it
(SO_PEERCRED), or the identity that TLS has proved; and what changes anything is done only once its record is durable.
What only shows is answered in any case: somebody has to see that the log is full.
INVARIANT: who does not send a line, or takes no answer, is not waited for longer than the patience of the listener.
Design: contracts.md "Command line"; security.md 2.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from msgspec import Struct

from pdp.errors import AuditError, StateError
from pdp.model import Json

LONGEST_LINE = 64 * 1024
LONGEST_ANSWER = 16 * 1024 * 1024
PATIENCE_S = 10.0
"""So long a line may take to come, and its answer to go."""
ANSWER_WITHIN_S = 150.0
"""Longer than a reload may take (pdp.runtime.compiling.COMPILE_TIMEOUT_S)."""

Request = Mapping[str, Json]


class Verb(Struct, frozen=True):
    """What is done at a request. `changes`: something is another afterwards."""

    do: Callable[[Request], Awaitable[Mapping[str, Json]]]
    changes: bool


class Asker(Struct, frozen=True):
    """Who asks: a user of this host by number, or a proved SPIFFE id. Both None: the system names no users."""

    user: int | None = None
    identity: str | None = None


Stated = Callable[[str, Asker, Request], Awaitable[str]]
"""Puts a request into the log: its verb, who makes it, the whole of it.

Errors: AuditError, TimeoutError.
"""

_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def admin_server(
    path: Path, verbs: Mapping[str, Verb], stated: Stated, *, patience_s: float = PATIENCE_S
) -> AsyncIterator[None]:
    """Serve `verbs` at `path` while the context lasts. A socket left by a dead service is replaced."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asker = Asker(user=_user(writer.get_extra_info("socket")))
        except OSError as error:
            log.warning("an administrator's connection does not say whose it is: %s", error)
            writer.close()
            return
        await converse(reader, writer, asker, verbs, stated, patience_s)

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(met, path, limit=LONGEST_LINE)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    asker: Asker,
    verbs: Mapping[str, Verb],
    stated: Stated,
    patience_s: float,
) -> None:
    """Answer the one line of a connection, whose asker is known, and end it.

    Units: `patience_s` in seconds, for the line to be here and again for the answer to be gone. A line that is too
    long, or does not come, ends the connection without an answer.
    """
    try:
        async with asyncio.timeout(patience_s):
            line = await reader.readline()
        answer = await _answer(line, asker, verbs, stated)
        async with asyncio.timeout(patience_s):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    except (OSError, ValueError) as error:
        log.warning("an administrator's connection ended early: %s", str(error) or type(error).__name__)
    finally:
        writer.close()


def _user(connection: socket.socket) -> int | None:
    """The number of the user at the other end, None where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    said = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(said)[1])


async def _answer(line: bytes, asker: Asker, verbs: Mapping[str, Verb], stated: Stated) -> Mapping[str, Json]:
    try:
        request = json.loads(line)
        name = str(request["verb"])
        verb = verbs[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"ok": False, "detail": f"not a request; the verbs are {', '.join(sorted(verbs))}"}
    record = None
    try:
        record = await stated(name, asker, request)
    except (AuditError, TimeoutError) as error:
        log.warning("`pdp admin %s` is not in the log: %s", name, error)
        if verb.changes:
            detail = f"nothing was done, since the log cannot take the record of it ({error}): mend the log first"
            return {"ok": False, "detail": detail}
    try:
        answer = await verb.do(request)
    except Exception as error:
        log.exception("an administrator's request failed")
        answer = {"ok": False, "detail": f"a fault in pdp: {type(error).__name__}"}
    return answer if record is None else {**answer, "record": record}


def ask(path: Path, request: Mapping[str, Json]) -> Mapping[str, Json]:
    """Ask the service whose socket is at `path`. Errors: StateError S110 when none answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.connect(str(path))
            answer = exchanged(connection, request)
    except (OSError, ValueError) as error:
        detail = f"no service answers at {path}: start `pdp serve`, or name its --state ({error})"
        raise StateError("S110", detail) from error
    if not isinstance(answer, dict):
        raise StateError("S110", f"what answers at {path} is no `pdp serve`")
    return answer


def exchanged(connection: socket.socket, request: Mapping[str, Json]) -> Json:
    """What is answered to one request over a connection. Errors: OSError; ValueError for what is no JSON."""
    connection.sendall(json.dumps(request).encode() + b"\n")
    with connection.makefile("rb") as lines:
        answer: Json = json.loads(lines.readline(LONGEST_ANSWER))
    return answer
