"""A store of one process, in memory: the double of the tests, and what the others must behave like.

Several `MemoryStore`s over one `Shelf` are several workers. `Shelf.broken` says why the shelf does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pdp.shared_state.model import (
    MOST_REVOCATIONS,
    Identity,
    Revocation,
    Status,
    StoreError,
    check_sought,
    latest,
    merged,
    withdrawal,
)


@dataclass(slots=True)
class Shelf:
    """What the stores over it share."""

    most: int = MOST_REVOCATIONS
    revision: int = 0
    entries: dict[Identity, tuple[int, Revocation]] = field(default_factory=dict)
    sessions: dict[bytes, int] = field(default_factory=dict)
    broken: str | None = None


class MemoryStore:
    """See `Store`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def revoke(self, revocation: Revocation) -> int:
        """See `Store`. Errors: StoreError S111, S112."""
        shelf = self._answering()
        _, old = shelf.entries.get(revocation.identity, (0, None))
        if old is None and len(shelf.entries) >= shelf.most:
            raise StoreError("S112", f"the memory store holds {shelf.most} revocations, its most: withdraw some")
        return _put(shelf, merged(old, revocation))

    def withdraw(self, identity: Identity, at_us: int, by: str) -> bool:
        """See `Store`. Errors: StoreError S111."""
        shelf, entry = self._answering(), withdrawal(identity, at_us, by)
        _, old = shelf.entries.get(identity, (0, None))
        if old is None or old.withdrawn:
            return False
        _put(shelf, entry)
        return True

    def revocations(self, since: int) -> tuple[Sequence[Revocation], int]:
        """See `Store`. Errors: StoreError S111."""
        shelf = self._answering()
        return [entry for revision, entry in shelf.entries.values() if revision > since], shelf.revision

    def generation(self) -> int | None:
        """See `Store`."""
        return None if self._shelf.broken else self._shelf.revision

    def seen(self, session: bytes, at_us: int) -> None:
        """See `Store`. Errors: StoreError S111."""
        sessions = self._answering().sessions
        sessions[session] = max(at_us, sessions.get(session, 0))

    def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
        """See `Store`. Errors: StoreError S111."""
        check_sought(sessions)
        return latest(sessions, self._answering().sessions, {})

    def status(self) -> Status:
        """See `Store`."""
        return Status(usable=self._shelf.broken is None, detail=self._shelf.broken or "")

    def close(self) -> None:
        """See `Store`."""

    def _answering(self) -> Shelf:
        if self._shelf.broken is not None:
            raise StoreError("S111", f"the memory store does not answer: {self._shelf.broken}: mend it")
        return self._shelf


def _put(shelf: Shelf, entry: Revocation) -> int:
    shelf.revision += 1
    shelf.entries[entry.identity] = (shelf.revision, entry)
    return shelf.revision
