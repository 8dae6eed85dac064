"""Networks: nested and excluded ranges in one space, whole or not at all.

The table of mistakes is tests/golden/check/declarations.chunks.
"""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import addresses
from policy_lang.declared.entries import NetworkEntry
from policy_lang.declared.networks import MOST_RANGES
from tests.lang.bundles import Bundle, bundle, module

INSIDE = {
    "a range": ("network n = 10.0.0.0/8", "10.1.2.3", "11.0.0.0"),
    "an address": ("network n = 10.0.0.1", "10.0.0.1", "10.0.0.2"),
    "a range of IPv6": ("network n = 2001:db8::/32", "2001:db8::1", "2001:db9::1"),
    "an address of IPv6": ("network n = 2001:db8::1", "2001:0db8::0001", "2001:db8::2"),
    "an IPv4 range holds mapped addresses": ("network n = 10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
    "a mapped range holds IPv4 addresses": ("network n = ::ffff:a00:0/104", "10.1.2.3", "11.0.0.0"),
    "a mapped range with dots": ("network n = ::ffff:10.2.0.0/112", "10.2.255.255", "10.3.0.0"),
    "a mapped range with dots, excepted": (
        "network n = 10.0.0.0/8 except ::ffff:10.2.0.0/112",
        "::ffff:10.3.0.0",
        "10.2.0.1",
    ),
    "all of IPv6 holds IPv4": ("network n = ::/0", "10.1.2.3", "nonsense"),
    "all of IPv4 does not hold IPv6": ("network n = 0.0.0.0/0", "255.255.255.255", "::1"),
    "what is excepted": ("network n = 10.0.0.0/8 except 10.1.0.0/16", "10.2.0.0", "10.1.255.255"),
    "an excepted address": ("network n = 10.0.0.0/8 except 10.0.0.7", "10.0.0.8", "10.0.0.7"),
    "several": ("network n = 10.0.0.0/8, 192.0.2.0/24, 2001:db8::/32", "192.0.2.255", "192.0.3.0"),
    "another network": ("network m = 10.0.0.0/8 network n = m, 192.0.2.0/24", "10.0.0.1", "192.0.3.1"),
    "another network, declared later": ("network n = m network m = 10.0.0.0/8", "10.0.0.1", "11.0.0.1"),
    "another network's own exceptions": (
        "network n = m network m = 10.0.0.0/8 except 10.1.0.0/16",
        "10.0.0.1",
        "10.1.0.1",
    ),
    "what is nested beside an exception": (
        "network m = 10.0.0.0/8 except 10.1.0.0/16 network n = m, 10.1.2.0/24",
        "10.1.2.3",
        "10.1.3.3",
    ),
    "another network, excepted": ("network m = 10.1.0.0/16 network n = 10.0.0.0/8 except m", "10.0.0.1", "10.1.0.1"),
    "a setting": ("setting m: network = [10.0.0.0/8, 192.0.2.7] network n = m", "192.0.2.7", "192.0.2.8"),
    "a setting, excepted": ("setting m: network = 10.1.0.0/16 network n = 10.0.0.0/8 except m", "10.0.0.1", "10.1.0.1"),
}


def ranges(taken: Bundle, name: str = "n") -> addresses.Intervals:
    entry = taken.module("m").scope[name]
    assert isinstance(entry, NetworkEntry)
    return entry.ranges


def holds(intervals: addresses.Intervals, address: str) -> bool:
    value = addresses.number(address)
    return value is not None and addresses.holds(intervals, value)


@pytest.mark.parametrize("case", INSIDE)
def test_what_a_network_holds(case: str) -> None:
    text, inside, outside = INSIDE[case]
    taken = module(text)
    assert taken.messages == []
    assert holds(ranges(taken), inside)
    assert not holds(ranges(taken), outside)


CIDRS = st.tuples(st.integers(0, 2**32 - 1), st.integers(24, 32)).map(
    lambda drawn: ipaddress.IPv4Network((drawn[0] & 0xFF | 0x0A000000, drawn[1]), strict=False)
)


@given(st.lists(CIDRS, min_size=1, max_size=5), st.lists(CIDRS, max_size=5))
def test_a_network_is_the_set_of_its_addresses(
    held: list[ipaddress.IPv4Network], cut: list[ipaddress.IPv4Network]
) -> None:
    """n = union of what it lists, without what it excepts; E214 <=> that is empty."""
    excepted = f" except {', '.join(map(str, cut))}" if cut else ""
    taken = module(f"network n = {', '.join(map(str, held))}{excepted}")
    wanted = {address for each in held for address in each} - {address for each in cut for address in each}
    if not wanted:
        assert [each.code for each in taken.found] == ["E214"]
        return
    found = ranges(taken)
    assert {a for a in ipaddress.IPv4Network("10.0.0.0/24") if holds(found, str(a))} == wanted
    assert sum(last - first + 1 for first, last in found) == len(wanted)


def test_a_network_of_another_module() -> None:
    files = {
        "a.pol": "module a network inner = 10.0.0.0/8 network outer = inner, 192.0.2.0/24",
        "m.pol": "module m import a (outer) network n = outer except 10.1.0.0/16",
    }
    taken = bundle(files)
    assert taken.messages == []
    assert holds(ranges(taken), "10.2.0.0")
    assert not holds(ranges(taken), "10.1.0.0")


def test_networks_of_two_modules_that_hold_each_other() -> None:
    files = {
        "a.pol": "module a import b (two) network one = two",
        "b.pol": "module b import a (one) network two = one",
    }
    assert bundle(files).messages == [
        "E220: the module `a` imports itself: `a` -> `b` -> `a`",
        "E230: the network `one` needs itself: `one` -> `two` -> `one`",
    ]


def test_a_network_with_one_wrong_range_holds_nothing() -> None:
    taken = module("network n = 10.0.0.0/8, 10.0.0.1/16 network o = n, 192.0.2.0/24 network p = 10.0.0.0/8 except n")
    assert taken.messages == ["E121: `10.0.0.1/16` has host bits set"]
    assert taken.module("m").broken == {"n", "o", "p"}
    assert "n" not in taken.module("m").own


def test_ten_thousand_networks_of_one() -> None:
    parts = "\n".join(f"network n{i} = 10.{i // 250}.{i % 250}.0/32" for i in range(10_000))
    taken = module(f"{parts}\nnetwork n = {', '.join(f'n{i}' for i in range(10_000))}")
    assert taken.messages == []
    assert len(ranges(taken)) == 10_000


def test_networks_nested_until_they_are_too_many_are_refused_once() -> None:
    count = 2000
    parts = "\n".join(f"network n{i} = n{i - 1}, 10.{i // 250}.{i % 250}.0/32" for i in range(1, count))
    taken = module(f"network n0 = 192.0.2.1\n{parts}")
    assert taken.messages == [f"E232: networks are too many: together they hold more than {MOST_RANGES} ranges"]
    assert f"n{count - 1}" in taken.module("m").broken


def test_ten_thousand_ranges_apart_of_which_as_many_addresses_are_excepted() -> None:
    places = [f"10.{2 * i // 250}.{2 * i % 250}" for i in range(10_000)]
    held = ", ".join(f"{place}.0/24" for place in places)
    cut = ", ".join(f"{place}.7" for place in places)
    found = ranges(module(f"network n = {held} except {cut}"))
    assert len(found) == 20_000
    assert sum(last - first + 1 for first, last in found) == 10_000 * 255
