"""Administration over a Unix socket in the state folder: `reload` and `status`, one JSON line each way.

Who may open the socket may administer: it lies in a folder of mode 0700 and has mode 0600 itself.
Request: {"verb": "status"} or {"verb": "reload", "confirm": bool}; answer: {"ok": bool, …}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from pdp.errors import StateError
from pdp.model import Json

LONGEST_LINE = 64 * 1024
ANSWER_WITHIN_S = 150.0
"""Longer than a reload may take (pdp.runtime.compiling.COMPILE_TIMEOUT_S)."""

Verb = Callable[[Mapping[str, Json]], Awaitable[Mapping[str, Json]]]

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def admin_server(path: Path, verbs: Mapping[str, Verb]) -> AsyncIterator[None]:
    """Serve `verbs` at `path` while the context lasts. A socket left by a dead service is replaced."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await _answer(await reader.readline(), verbs)
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


async def _answer(line: bytes, verbs: Mapping[str, Verb]) -> Mapping[str, Json]:
    try:
        request = json.loads(line)
        verb = verbs[request["verb"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"ok": False, "detail": f"not a request; the verbs are {', '.join(sorted(verbs))}"}
    try:
        return await verb(request)
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
