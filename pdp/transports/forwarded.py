"""The client's address out of `x-forwarded-for`, as far as our own proxies wrote it.

The header's values, in order, and the number of proxies before the gateway come in; an address as it is written comes
out, or None where nobody who is trusted said one. Each proxy appends the address that it was reached from, so that the
last entry is the gateway's own observation, and whatever the client sent stands further left than any of ours.
SECURITY: counted from the right alone. An entry that is missing, or is no bare address, is unknown; its neighbour is
never taken in its place, since that is one that the client chose.
Source: gateways.md 1, row `source`; RFC 7239 7.4 (what a client writes is no evidence).
"""

from __future__ import annotations

from collections.abc import Iterable


def client_address(values: Iterable[str], hops: int) -> str | None:
    """The entry that `hops` trusted proxies stand behind, from the right; None where there is none."""
    entries = [entry.strip(" \t") for value in values for entry in value.split(",")]
    return entries[-1 - hops] or None if len(entries) > hops else None
