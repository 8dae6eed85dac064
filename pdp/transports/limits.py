"""How many decisions a second each gateway may have: one count for all transports.

A gateway and a number come in, yes or no comes out. What was not used in the last second is there again, no more than
that of one second; a batch with more items than a second's number is never answered.
Design: gateways.md 2 ("request size/nesting/rate protections").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pdp.allowance import Allowance
from pdp.gateways import Gateway

RETRY_AFTER_S = 1
"""When who was refused has all of a second's number again."""

MayAsk = Callable[[Gateway, int], bool]
"""Whether a gateway may have so many decisions now; they are counted then."""


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
