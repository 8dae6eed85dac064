"""The file that an operator keeps of what is revoked, looked at every second and followed (`[shared] revoked`).

Its path and what states a change in the log come in; `index`, which is asked of every proved credential, goes out.
INVARIANT: what the file revokes is what its last good content says: one that is gone, cannot be read, is rubbish, or
could have been written by others changes nothing and is said. A content counts only once the log has it (its SHA-256).
INVARIANT: nothing of a look is done by the loop but the exchange of one index for another.
Design: pdp/shared_state/watched.py, which reads the content.

Decision: 2026-11-21. A file that is not good when the service starts ends the start: what it revoked before is not
known here. While the service runs, it is named by `misgiving`.
Decision: 2026-11-21. A file is looked at by its content, not by its times, which a copy may keep. A content that was
read once is not read again, good or bad.
Decision: 2026-11-21. Looks have a thread of their own that nobody waits for at the end: a file on a network that is
gone may never be read. It is then said, and looked at again when that look came back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from msgspec import Struct

from pdp.errors import AuditError, StateError
from pdp.model import Json
from pdp.shared_state.model import Revocations
from pdp.shared_state.watched import MOST_BYTES, FileRefused, read_watched

LOOK_EVERY_S = 1.0
LOOK_WITHIN_S = 30.0

State = Callable[[Mapping[str, Json]], Awaitable[None]]
"""Puts the clear fields of a change into the log, durably. Errors: AuditError, TimeoutError."""

ReadList = Callable[[Path], bytes]
"""Gives the bytes of a list. Errors: OSError."""

log = logging.getLogger(__name__)


class _Content(Struct, frozen=True):
    """What was read: its digest, and what it revokes or the problem with it."""

    digest: bytes
    index: Revocations
    problem: str


def bytes_of(path: Path) -> bytes:
    """The bytes of the file, one more than it may have at most. A pipe is not waited for. Errors: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"it is no file: put a list at {path}")
        if about.st_uid not in {0, os.geteuid()} or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others may write it: run chmod go-w {path}, and let it be ours or root's")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1)
    finally:
        os.close(descriptor)


class RevokedFile:
    """Belongs to one event loop. Nothing is revoked before `begin`. `issuers` are those that a list may name."""

    def __init__(
        self,
        path: Path,
        issuers: Collection[str],
        state: State,
        *,
        read: ReadList = bytes_of,
        within_s: float = LOOK_WITHIN_S,
    ) -> None:
        self.index = Revocations()
        self._path = path
        self._state = state
        self._issuers = issuers
        self._read = read
        self._within_s = within_s
        self._last = _Content(b"", self.index, "")
        self._looking: asyncio.Future[_Content] | None = None
        self._problem = ""

    async def begin(self) -> None:
        """Take the file as it is. Errors: StateError S115 where it is not good or the log cannot take it."""
        await self.look()
        if self._problem:
            raise StateError("S115", self._problem)

    async def look(self) -> None:
        """Look at the file once."""
        try:
            problem = await self._take(await self._content())
        except TimeoutError:
            problem = f"the list of revocations {self._path} is not followed: nothing answered in time"
        except (OSError, AuditError) as error:
            said = error.detail if isinstance(error, AuditError) else str(error)
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
        return f"{self._problem}; what it said before holds" if self._problem else ""

    async def _content(self) -> _Content:
        """What the file holds. Errors: OSError; TimeoutError, after which the same look is waited for again."""
        if self._looking is None:
            self._looking = _in_thread(lambda: _looked(self._path, self._read, self._issuers, self._last))
        done, _ = await asyncio.wait({self._looking}, timeout=self._within_s)
        if not done:
            raise TimeoutError
        looked, self._looking = self._looking, None
        return looked.result()

    async def _take(self, content: _Content) -> str:
        """Follow this content; the problem with it, or "". Errors: AuditError, TimeoutError."""
        if content is not self._last and not content.problem:
            await self._state({"sha256": content.digest.hex(), "entries": len(content.index)})
            self.index = content.index
        self._last = content
        return content.problem


def _in_thread(work: Callable[[], _Content]) -> asyncio.Future[_Content]:
    """What `work` comes to in a thread of its own, which does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Content] = loop.create_future()

    def settle(content: _Content | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None or content is None:
            future.set_exception(error or OSError("nothing was read"))
        else:
            future.set_result(content)

    def run() -> None:
        content, failure = None, None
        try:
            content = work()
        except Exception as error:  # noqa: BLE001 - it is raised where the future is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, content, failure)

    threading.Thread(target=run, name="revoked file", daemon=True).start()
    return future


def _looked(path: Path, read: ReadList, issuers: Collection[str], last: _Content) -> _Content:
    """The content of the file; `last` where it is still that. Errors: OSError, also where others may write it."""
    data = read(path)
    digest = hashlib.sha256(data).digest()
    if digest == last.digest:
        return last
    listed = read_watched(data, issuers)
    if isinstance(listed, FileRefused):
        first = listed.problems[0]
        where = f", line {first.line}" if first.line else ""
        problem = f"the list of revocations {path}{where}: {first.text}"
        return _Content(digest, last.index, problem)
    index = Revocations()
    index.apply(listed, 1)
    return _Content(digest, index, "")
