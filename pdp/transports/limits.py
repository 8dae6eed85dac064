"""How much of what may be asked: decisions a second of each gateway, records a second of nobody, one count of each for
all transports.

A gateway and a number come in, yes or no comes out. What was not used in the last second is there again, no more than
that of one second; a batch with more items than a second's number is never answered.
Design: gateways.md 2 ("request size/nesting/rate protections").

Decision: 2026-11-21. Whoever reaches an address can be turned away as often as it likes, and each record is a write to
the disk: of calls that nobody of ours made so many are recorded as show that it happens, and the rest is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pdp.allowance import Allowance
from pdp.gateways import Gateway

RETRY_AFTER_S = 1
"""When who was refused has all of a second's number again."""

LONGEST_TEXT = 8_192
"""Characters of one string of a subject, an action or a resource."""

RECORDED_STRANGERS = 50
"""Records a second of calls that no gateway of ours made."""

MayAsk = Callable[[Gateway, int], bool]
"""Whether a gateway may have so many decisions now; they are counted then."""


MayRecord = Callable[[], bool]
"""Whether one more call that no gateway of ours made may be recorded now; it is counted then."""


class Strangers:
    """Records of calls that no gateway of ours made. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], per_second: int = RECORDED_STRANGERS) -> None:
        self._monotonic = monotonic
        self._left = Allowance(per_second)

    def may_record(self) -> bool:
        """Whether one more may be recorded now; it is counted then."""
        return self._left.take(1, int(self._monotonic() * 1_000))


class Rates:
    """The rates of gateways. `monotonic` gives seconds."""

    def __init__(self, gateways: Iterable[Gateway], monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = {each.name: Allowance(each.per_second) for each in gateways if each.per_second}

    def may_ask(self, gateway: Gateway, amount: int) -> bool:
        """Whether `gateway` may have `amount` decisions now; they are counted then. Without a rate: any number."""
        if not gateway.per_second:
            return True
        left = self._left.get(gateway.name)
        return left is not None and left.take(amount, int(self._monotonic() * 1_000))
