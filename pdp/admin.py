"""Administration over a Unix socket in the state folder: `reload` and `status`, one JSON line each way.

Who may open the socket may administer: it lies in a folder of mode 0700 and has mode 0600 itself.
Request: {"verb": "status"} or {"verb": "reload", "confirm": bool}; answer: {"ok": bool, …}.
INVARIANT: every request of a known verb is in the log, with the user who made it as the kernel says (SO_PEERCRED), and
what changes anything is done only once its record is durable. What only shows is answered in any case: somebody has to
see that the log is full.
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
ANSWER_WITHIN_S = 150.0
"""Longer than a reload may take (pdp.runtime.compiling.COMPILE_TIMEOUT_S)."""

Request = Mapping[str, Json]


class Verb(Struct, frozen=True):
    """What is done at a request. `changes`: something is another afterwards."""

    do: Callable[[Request], Awaitable[Mapping[str, Json]]]
    changes: bool


Stated = Callable[[str, int | None, Request], Awaitable[None]]
"""Puts a request into the log: its verb, the user's number where it is known, the whole of it.

Errors: AuditError, TimeoutError.
"""

_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def admin_server(path: Path, verbs: Mapping[str, Verb], stated: Stated) -> AsyncIterator[None]:
    """Serve `verbs` at `path` while the context lasts. A socket left by a dead service is replaced."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            user = _user(writer.get_extra_info("socket"))
            answer = await _answer(await reader.readline(), user, verbs, stated)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("an administrator's connection ended early: %s", error)
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(converse, path, limit=LONGEST_LINE)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def _user(connection: socket.socket) -> int | None:
    """The number of the user at the other end, None where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    said = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(said)[1])


async def _answer(line: bytes, user: int | None, verbs: Mapping[str, Verb], stated: Stated) -> Mapping[str, Json]:
    try:
        request = json.loads(line)
        name = str(request["verb"])
        verb = verbs[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"ok": False, "detail": f"not a request; the verbs are {', '.join(sorted(verbs))}"}
    try:
        await stated(name, user, request)
    except (AuditError, TimeoutError) as error:
        log.warning("`pdp admin %s` is not in the log: %s", name, error)
        if verb.changes:
            detail = f"nothing was done, since the log cannot take the record of it ({error}): mend the log first"
            return {"ok": False, "detail": detail}
    try:
        return await verb.do(request)
    except Exception as error:
        log.exception("an administrator's request failed")
        return {"ok": False, "detail": f"a fault in pdp: {type(error).__name__}"}


def ask(path: Path, request: Mapping[str, Json]) -> Mapping[str, Json]:
    """Ask the service whose socket is at `path`. Errors: StateError S110 when none answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        detail = f"no service answers at {path}: start `pdp serve`, or name its --state ({error})"
        raise StateError("S110", detail) from error
    if not isinstance(answer, dict):
        raise StateError("S110", f"what answers at {path} is no `pdp serve`")
    return answer
