"""The patterns of ipMatch: an address or a network, as an interval of the 128-bit space.

In comes a text, out comes a `Block` or the `Trap` that says why not.
INVARIANT: in `strict` a block of IPv4 lies in the mapped range, and one of IPv6 never takes an address of that range:
an address that is written as `::ffff:10.0.0.1` is 10.0.0.1, and no IPv6 address, to every pattern. In `compat` a block
takes only addresses that are written as its own family is: `::ffff:10.0.0.1` is an address of IPv6, and not 10.0.0.1.
Source: language.md 6.4, 6.6 (13); policy_lang/addresses.py; Casbin's documentation, "Functions", ipMatch.

Decision (2026-11-21): traps in strict: host bits (`10.0.0.1/8`), a netmask (`10.0.0.0/255.0.0.0`), and a network of
IPv6 around the mapped range (`::/0`), which looks as if it took every address and takes none of IPv4. A text that is no
network is unreadable in both modes, where Casbin lets it meet nothing: in a row that denies, the two differ.
Decision (2026-11-21): compat keeps the two notations apart, as Casbin for Python does: read as one, a row could allow
what Casbin refuses. Casbin for Go, of which ipMatch is documented, has one space, as strict has.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from msgspec import Struct

from policy_lang.addresses import Interval, number
from policy_lang.ir.tables import Mode
from policy_lang.meaning.linear_regex import unreadable
from policy_lang.meaning.pattern_forms import Trap

_LONGEST = 100
_MAPPED: Interval = (0xFFFF << 32, (0xFFFF << 32) | 0xFFFF_FFFF)


class Block(Struct, frozen=True):
    """The numbers from `first` to `last`, both included, those of IPv4 among them only where all are. `written`: only
    of addresses in this notation; None: in any.
    """

    first: int
    last: int
    written: Literal[4, 6] | None = None

    def holds(self, name: str) -> bool | None:
        """Whether the block has the address; None where the name is none."""
        at = number(name)
        if at is None:
            return None
        if self.written is not None:
            return self.first <= at <= self.last and self.written == _written(name)
        return self.first <= at <= self.last and (_mapped(at) <= _mapped(self.first))


def read_block(text: str, *, mode: Mode) -> Block | Trap:
    """The block, or why not."""
    if len(text) > _LONGEST or "%" in text:
        return unreadable("it is no address and no network")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return unreadable("it is no address and no network")
    first, last = number(str(network.network_address)), number(str(network.broadcast_address))
    if first is None or last is None:
        return unreadable("it is no address and no network")
    if mode == "compat":
        return Block(first, last, _written(text))
    address, _, bits = text.partition("/")
    if "/" in text and not (bits.isascii() and bits.isdigit()):
        return Trap("netmask", "it has a netmask in place of a number of bits")
    if number(address) != first:
        return Trap("host_bits", "it has bits set beyond its prefix")
    if first <= _MAPPED[0] and last >= _MAPPED[1] and (first, last) != _MAPPED:
        return Trap("both_families", "it looks as if it took addresses of IPv4 too, and takes none")
    return Block(first, last)


def _written(text: str) -> Literal[4, 6]:
    return 6 if ":" in text else 4


def _mapped(at: int) -> bool:
    return _MAPPED[0] <= at <= _MAPPED[1]
