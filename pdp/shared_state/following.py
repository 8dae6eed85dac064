"""An index that keeps up with its store: asked before each decision, it asks the store only where that has news.

INVARIANT: after `keep_up` the index has every revocation that was made before the call, or `failure` says why it cannot
be told. A store that fails takes nothing out of the index.

Steps of `keep_up`: (1) the store's generation, under a microsecond; (2) where it is another one, cannot be told, or the
last look is a second old: what changed since the index's revision; (3) the generation of before that look is what the
next one is compared with, so that a change in between is found again; (4) where the index has no room for it, what is
over goes, as it may have gone from the store, and it is tried once more.

Decision: 2026-11-21. An index that stays too small is tried again when the next look is due, and not at each decision:
each time it looks through all that it has. It says meanwhile that it may be incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pdp.shared_state.model import Revocation, Revocations, Store, StoreError

RECHECK_S = 1.0


class Following:
    """`index`, as `store` has it. One thread owns it. Nothing is known before the first `keep_up`. `clock_us` says what
    is over.
    """

    def __init__(
        self, store: Store, index: Revocations, clock_us: Callable[[], int], recheck_s: float = RECHECK_S
    ) -> None:
        self.index = index
        self.failure: StoreError | None = StoreError("S111", "the store was not asked yet: ask it first")
        self._store = store
        self._clock_us = clock_us
        self._recheck_s = recheck_s
        self._generation: int | None = None
        self._next_s = 0.0

    def keep_up(self, now_s: float) -> StoreError | None:
        """Bring the index up to date; None, or why it may not be. `now_s` of a clock that only goes forward."""
        generation = self._store.generation()
        if generation is not None and generation == self._generation and now_s < self._next_s:
            return self.failure
        if self._is_full() and now_s < self._next_s:
            return self.failure
        try:
            self._apply(*self._store.revocations(self.index.revision))
        except StoreError as error:
            self._generation, self._next_s, self.failure = None, now_s + self._recheck_s, error
            return error
        self._generation, self._next_s, self.failure = generation, now_s + self._recheck_s, None
        return None

    def _is_full(self) -> bool:
        return self.failure is not None and self.failure.code == "S112"

    def _apply(self, changes: Sequence[Revocation], revision: int) -> None:
        try:
            self.index.apply(changes, revision)
        except StoreError:
            if not self.index.expire(self._clock_us()):
                raise
            self.index.apply(changes, revision)
