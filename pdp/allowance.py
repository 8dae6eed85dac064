"""So much of something a second: what bounds the share of the loop that explaining and comparing may take.

An amount and the time come in, yes or no comes out. Nothing runs by itself: what was not used in the last second is
there again, no more than that of one second.
Design: contracts.md "The log, from the first commit" (refusals by `default` that are explained).
"""

from __future__ import annotations


class Allowance:
    """An amount a second. `per_second` 0 allows nothing. Time is that of whoever asks; a clock that was set back counts
    from there.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at_ms: int | None = None

    def take(self, amount: int, now_ms: int) -> bool:
        """Whether `amount` may be used now; then it was. Nothing is taken of too little."""
        passed_ms = 0 if self._at_ms is None else max(0, now_ms - self._at_ms)
        self._at_ms = now_ms
        self._left = min(self._per_second, self._left + self._per_second * passed_ms / 1_000)
        if amount > self._left:
            return False
        self._left -= amount
        return True
