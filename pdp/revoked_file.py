"""The file that an operator keeps of what is revoked, looked at every second and followed (`[shared] revoked`).

Its path and what states a change in the log come in; `index`, which is asked of every proved credential, goes out.
INVARIANT: what the file revokes is what its last good content says: one that is gone, cannot be read, is rubbish, or
could have been written by others changes nothing and is said. A content counts only once the log has it (its SHA-256).
Design: pdp/shared_state/watched.py, which reads the content.

Decision: 2026-11-21. A file that is not good when the service starts ends the start: what it revoked before is not
known here. While the service runs, it is named by `misgiving`.
Decision: 2026-11-21. A file is looked at by its content, not by its times, which a copy may keep.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from pdp.errors import AuditError, StateError
from pdp.model import Json
from pdp.shared_state.model import Revocations
from pdp.shared_state.watched import MOST_BYTES, FileRefused, read_watched

LOOK_EVERY_S = 1.0

State = Callable[[Mapping[str, Json]], Awaitable[None]]
"""Puts the clear fields of a change into the log, durably. Errors: AuditError, TimeoutError."""

log = logging.getLogger(__name__)


class RevokedFile:
    """Belongs to one event loop. Nothing is revoked before `begin`."""

    def __init__(self, path: Path, state: State) -> None:
        self.index = Revocations()
        self._path = path
        self._state = state
        self._digest = b""
        self._problem = ""

    async def begin(self) -> None:
        """Take the file as it is. Errors: StateError S115 where it is not good or the log cannot take it."""
        await self.look()
        if self._problem:
            raise StateError("S115", self._problem)

    async def look(self) -> None:
        """Look at the file once."""
        try:
            data = await asyncio.to_thread(_content, self._path)
            problem = await self._take(data)
        except (OSError, AuditError, TimeoutError) as error:
            said = error.detail if isinstance(error, AuditError) else str(error) or "the log did not answer in time"
            problem = f"the list of revocations {self._path} is not followed: {said}"
        if problem and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    def misgiving(self) -> str:
        """Why the file is not followed; "" where it is."""
        return self._problem

    async def _take(self, data: bytes) -> str:
        """Follow this content; the problem with it, or "". Errors: AuditError, TimeoutError."""
        digest = hashlib.sha256(data).digest()
        if digest == self._digest:
            return ""
        read = read_watched(data)
        if isinstance(read, FileRefused):
            first = read.problems[0]
            where = f", line {first.line}" if first.line else ""
            return f"the list of revocations {self._path}{where}: {first.text}; what it said before holds"
        index = Revocations()
        index.apply(read, 1)
        await self._state({"sha256": digest.hex(), "entries": len(index)})
        self.index, self._digest = index, digest
        return ""


def _content(path: Path) -> bytes:
    """The bytes of the file, one more than it may have at most. Errors: OSError, also where others may write it."""
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        if about.st_uid not in {0, os.geteuid()} or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others may write it: run chmod go-w {path}, and let it be ours or root's")
        return file.read(MOST_BYTES + 1)
