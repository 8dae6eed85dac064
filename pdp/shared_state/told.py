"""What a store was told of uses of sessions, so that uses that are near to each other are told once.

Uses come in; whether one is news to the store goes out. At most `most` sessions are remembered; beyond that all are
forgotten, which costs a telling each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdp.shared_state.model import COALESCED_US, SESSION_BYTES, latest

MOST_TOLD = 100_000


class Told:
    """Belongs to one store, and to its thread."""

    def __init__(self, most: int = MOST_TOLD) -> None:
        self._most = most
        self._at_us: dict[bytes, int] = {}

    def is_news(self, session: bytes, at_us: int) -> bool:
        """Whether the store is to be told of a use. ValueError for what is no digest."""
        if len(session) != SESSION_BYTES:
            raise ValueError(f"a session is a digest of {SESSION_BYTES} bytes")
        told = self._at_us.get(session)
        return told is None or abs(at_us - told) >= COALESCED_US

    def keep(self, session: bytes, at_us: int) -> None:
        """The store was told."""
        if len(self._at_us) >= self._most:
            self._at_us.clear()
        self._at_us[session] = at_us

    def latest(self, sessions: Sequence[bytes], stored: Mapping[bytes, int]) -> dict[bytes, int]:
        """For each of `sessions` the later of what is stored of it and what was told; absent where neither is."""
        return latest(sessions, stored, self._at_us)
