"""What a proved credential stands on, asked at each of its uses: that nothing of it is revoked, and that its session
has not ended at rest.

The configuration, the issuers and the state come in; `refused` is what `pdp.identity.bearer.Identity` asks.
INVARIANT: what is revoked is refused before anything counts as a use of its session.
Design: contracts.md "Shared by all workers of a host, and by hosts through the same interface"; security.md 2.1.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from pdp.config_identity import SharedConfig
from pdp.identity.jwt import Issuer, Verified
from pdp.revoked_file import RevokedFile
from pdp.revoked_file import State as StateIn
from pdp.revoking import Revoking
from pdp.sessions import Sessions
from pdp.shared_state.opening import open_store


class Standing(Struct, frozen=True):
    """Belongs to one event loop. `file` and `sessions` are None where the configuration has none."""

    revoking: Revoking
    file: RevokedFile | None = None
    sessions: Sessions | None = None

    def refused(self, verified: Verified, now: int) -> str | None:
        """Why a proved credential is refused at `now`, Unix seconds. None where it is not: that is then a use of it."""
        reason = self.revoking.refused(verified)
        if reason is None and self.file is not None:
            reason = self.file.index.refused(verified.issuer.url, verified.claims, verified.credential, verified.kid)
        session = verified.session
        if reason is not None or session is None or self.sessions is None:
            return reason
        return self.sessions.refused(session, now * 1_000_000)

    async def answered(self, within_s: float, /) -> bool:
        """See `Sessions.answered`; False where no session ends at rest."""
        return self.sessions is not None and await self.sessions.answered(within_s)

    def misgivings(self) -> list[str]:
        """A sentence for everything that is not known as it should be."""
        parts = (self.revoking, self.file, self.sessions)
        return list(filter(None, [part.misgiving() for part in parts if part is not None]))

    def known(self) -> tuple[int, bool]:
        """How many things are revoked, and whether the store tells of all."""
        listed = 0 if self.file is None else len(self.file.index)
        return self.revoking.entries() + listed, not self.revoking.misgiving()


@contextlib.asynccontextmanager
async def standing_of(
    shared: SharedConfig,
    issuers: Sequence[Issuer],
    folder: Path,
    state_in: StateIn,
    *,
    monotonic: Callable[[], float],
    clock_us: Callable[[], int],
) -> AsyncIterator[Standing]:
    """What credentials stand on, while the context lasts. `folder` holds the state of this host; `state_in` puts into
    the log what the file of revocations changed.

    Errors: StoreError where the store cannot be opened or read, StateError S115 for the file.
    """
    opened = partial(open_store, shared, folder)
    async with contextlib.AsyncExitStack() as stack:
        revoking = Revoking(opened, issuers, monotonic=monotonic, clock_us=clock_us)
        stack.push_async_callback(asyncio.to_thread, revoking.close)
        file = None if shared.revoked is None else RevokedFile(shared.revoked, {each.url for each in issuers}, state_in)
        if file is not None:
            await file.begin()
        resting = any(each.session_idle_s is not None for each in issuers)
        sessions = Sessions(opened, monotonic=monotonic) if resting else None
        if sessions is not None:
            stack.push_async_callback(asyncio.to_thread, sessions.close)
        yield Standing(revoking, file, sessions)
