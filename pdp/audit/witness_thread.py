"""Witnesses beside a sequencer at work: asked in a thread of their own, so that nothing waits for them but the start.

A log and who may witness it come in; `log/witnessed` grows newer (pdp.audit.witness), and what is wrong is said.

INVARIANT: before the sequencer signs anything, every witness was asked, or had its time: a log that knows less than
    one of them was rolled back, and signing on would make a second history (audit.md 3.15).

Decision: 2026-11-21. A witness that is away at the start does not keep the log from being signed: who holds that line
    down would stop the evidence. That it is behind is what `pdp audit verify` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from pdp.audit.checkpoint import CheckpointError, Verifier
from pdp.audit.disk import Disk
from pdp.audit.policy import Policy, TrustPolicyError, read_policy, trusts
from pdp.audit.tiles import TileError
from pdp.audit.witness import Round, Witnessing, keep_witnessed
from pdp.errors import StateError

WITHIN_S = 5.0
"""So long each witness may take, so that a slow one does not hide what another says."""
_ENDS_WITHIN_S = 2.0

Say = Callable[[str], None]


class Witnesses(Struct, frozen=True):
    """Who cosigns a log: the file of the policy, the only hosts that are asked, and how often."""

    policy: Path
    hosts: tuple[str, ...]
    every_s: float = 10.0


@contextlib.contextmanager
def witnessed(
    log: Disk, witnesses: Witnesses | None, anchor: Verifier, now_s: Callable[[], int], say: Say
) -> Iterator[None]:
    """Have a log witnessed while the context lasts; without witnesses nothing is done.

    Errors: TrustPolicyError A640 for a policy that cannot be used; StateError A633 where the log contradicts what a
    witness knows of it; OSError for a policy that cannot be read.
    """
    if witnesses is None:
        yield
        return
    policy = read_policy(witnesses.policy)
    if not trusts(policy, anchor):
        raise TrustPolicyError(
            "A640", f"{witnesses.policy} names other logs and not this one: add `log {anchor.name}+…`"
        )
    asking = _Asking(log, policy, witnesses, now_s, say)
    asking.start()
    try:
        yield
    finally:
        asking.end()


class _Asking:
    """The thread."""

    def __init__(self, log: Disk, policy: Policy, witnesses: Witnesses, now_s: Callable[[], int], say: Say) -> None:
        self._log, self._policy, self._witnesses = log, policy, witnesses
        self._now_s, self._say = now_s, say
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._asked = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="witnesses", daemon=True)

    def start(self) -> None:
        """Ask each once; on return the rest goes on by itself. Errors: as `witnessed`."""
        self._thread.start()
        self._asked.wait()
        if self._error is not None:
            self.end()
            raise self._error

    def end(self) -> None:
        """Ask no more."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(_ENDS_WITHIN_S)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        try:
            self._task = self._loop.create_task(self._ask())
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        except Exception as error:  # noqa: BLE001 - told to `start`, or said; the sequencer goes on without witnesses
            if self._asked.is_set():
                self._say(f"witnesses are asked no more: {error!r}")
            self._error = error
        finally:
            self._asked.set()
            self._loop.close()

    async def _ask(self) -> None:
        tls = ssl.create_default_context()
        async with self._witnessing(tls) as witnessing:
            first = await self._first(witnessing)
            if first is not None and first.forks:
                detail = "; ".join(error.detail for error in first.forks)
                raise StateError("A633", f"the log is not signed on: {detail}; see `pdp audit verify --witnesses`")
            self._asked.set()
            await keep_witnessed(witnessing, self._witnesses.every_s, self._say)

    def _witnessing(self, tls: ssl.SSLContext) -> Witnessing:
        return Witnessing(self._log, self._policy, self._witnesses.hosts, tls, self._now_s, WITHIN_S)

    async def _first(self, witnessing: Witnessing) -> Round | None:
        try:
            return await witnessing.ask_all(first=True)
        except (TileError, CheckpointError) as error:
            self._say(error.detail)
        return None
