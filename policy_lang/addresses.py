"""Addresses in one 128-bit space: texts to canonical texts and numbers, ranges to sorted disjoint intervals.

`::ffff:10.20.3.4` is `10.20.3.4` (language.md 5.1): a condition on IPv4 cannot be dodged by notation. A canonical text
is dotted IPv4 for the mapped range, RFC 5952 for the rest. Zones (`fe80::1%eth0`) are no addresses.
INVARIANT: intervals are (first, last) with both ends included, ascending, disjoint and not adjacent.

Decision (2026-11-21): addresses are read by `inet_pton`, which takes a tenth of the time of `ipaddress` and reads what
that reads, zones apart (tests/lang/test_addresses.py compares the two).
Decision (2026-11-21): a range is an address, `/` and the number of bits, nothing else: no netmask, no bare address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]

_MAPPED = 0xFFFF << 32
HIGHEST = 2**128 - 1


LONGEST_ADDRESS = 45
"""Characters of the longest text of an address: six groups and a dotted IPv4."""

_RANGE = re.compile(r"[0-9A-Fa-f.:]+/(?:0|[1-9][0-9]{0,2})", re.ASCII)


def number(text: str) -> int | None:
    """The number of an address, IPv4 in the mapped range; None where the text is no address. Remembers the last ones,
    because a gateway sees the same callers again and again.
    """
    return _number(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=65_536)
def _number(text: str) -> int | None:
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return _MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def canonical(text: str) -> str | None:
    """The one text of an address; None where the text is no address."""
    value = number(text)
    return None if value is None else text_of(value)


def text_of(value: int) -> str:
    """The canonical text of a number in the 128-bit space."""
    if value >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(value & 0xFFFF_FFFF))
    return str(ipaddress.IPv6Address(value))


def cidr(text: str) -> Interval | None:
    """The interval of a range `ADDRESS/BITS`; None where it is none or has host bits set.

    Bits are counted in the notation the address is written in: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
    """
    if not _RANGE.fullmatch(text):
        return None
    written, _, bits = text.partition("/")
    first, width = number(written), (128 if ":" in written else 32) - int(bits)
    if first is None or width < 0 or first & ((1 << width) - 1):
        return None
    return first, first | ((1 << width) - 1)


def union(intervals: Iterable[Interval]) -> Intervals:
    """The intervals that hold what any of these holds."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def difference(intervals: Intervals, excluded: Intervals) -> Intervals:
    """What the first hold and the second do not."""
    kept: list[Interval] = []
    for first, last in intervals:
        start = first
        for out_first, out_last in excluded:
            if out_last < start or out_first > last:
                continue
            if out_first > start:
                kept.append((start, out_first - 1))
            start = out_last + 1
        if start <= last:
            kept.append((start, last))
    return union(kept)


def holds(intervals: Intervals, value: int) -> bool:
    """Whether one of the intervals holds the number."""
    begun = bisect_right(intervals, (value, HIGHEST))
    return begun > 0 and value <= intervals[begun - 1][1]
