"""One 128-bit space: every notation of an address is one number, every number has one text."""

from __future__ import annotations

import ipaddress
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.addresses import HIGHEST, Intervals, canonical, cidr, difference, holds, number, text_of, union

MAPPED = 0xFFFF << 32

NUMBERS: dict[str, tuple[str, int | None]] = {
    "IPv4 is mapped": ("10.20.3.4", MAPPED | 0x0A140304),
    "IPv4 written as mapped": ("::ffff:10.20.3.4", MAPPED | 0x0A140304),
    "mapped, in hexadecimal": ("::FFFF:0A14:304", MAPPED | 0x0A140304),
    "IPv4 that is not mapped": ("::10.20.3.4", 0x0A140304),
    "IPv4 in another prefix": ("64:ff9b::10.0.0.1", (0x64FF9B << 96) | 0x0A000001),
    "nothing but zeros": ("::", 0),
    "the highest": ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", HIGHEST),
    "a zone": ("fe80::1%eth0", None),
    "a leading zero": ("010.0.0.1", None),
    "three parts": ("10.0.1", None),
    "one number": ("167772161", None),
    "hexadecimal IPv4": ("0x7f.0.0.1", None),
    "a part too large": ("10.0.0.256", None),
    "Arabic digits": ("1\u0660.0.0.1", None),
    "a blank": (" 10.0.0.1", None),
    "a line end": ("10.0.0.1\n", None),
    "NUL": ("10.0.0.1\0", None),
    "half a character": ("10.0.0.\udc31", None),
    "a port": ("10.0.0.1:80", None),
    "brackets": ("[::1]", None),
    "a range": ("10.0.0.0/8", None),
    "two gaps": ("1::2::3", None),
    "nine groups": ("1:2:3:4:5:6:7:8:9", None),
    "the empty text": ("", None),
    "a text without end": ("1" * 100_000, None),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_number(case: str) -> None:
    text, want = NUMBERS[case]
    assert number(text) == want
    assert canonical(text) == (None if want is None else text_of(want))


TEXTS = {
    "::ffff:1.2.3.4": "1.2.3.4",
    "2001:DB8:0:0:1:0:0:0": "2001:db8:0:0:1::",
    "::1.2.3.4": "::102:304",
    "0::0": "::",
}


@pytest.mark.parametrize("text", TEXTS)
def test_canonical(text: str) -> None:
    assert canonical(text) == TEXTS[text]


RANGES: dict[str, tuple[str, tuple[str, str] | None]] = {
    "IPv4": ("10.0.0.0/8", ("10.0.0.0", "10.255.255.255")),
    "one address": ("10.0.0.1/32", ("10.0.0.1", "10.0.0.1")),
    "all of IPv4": ("0.0.0.0/0", ("0.0.0.0", "255.255.255.255")),
    "IPv4 written as mapped": ("::ffff:10.0.0.0/104", ("10.0.0.0", "10.255.255.255")),
    "one mapped address": ("::ffff:10.0.0.1/128", ("10.0.0.1", "10.0.0.1")),
    "the mapped range": ("::ffff:0:0/96", ("0.0.0.0", "255.255.255.255")),
    "wider than the mapped range": ("::/80", ("::", "255.255.255.255")),
    "IPv6": ("2001:db8::/32", ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")),
    "everything": ("::/0", ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
    "host bits": ("10.0.0.1/8", None),
    "host bits of a mapped range": ("::ffff:10.0.0.1/104", None),
    "the bits of IPv4 in mapped notation": ("::ffff:10.0.0.0/8", None),
    "no bits": ("10.0.0.0", None),
    "empty bits": ("10.0.0.0/", None),
    "too many bits": ("10.0.0.0/33", None),
    "too many bits of IPv6": ("::/129", None),
    "a netmask": ("10.0.0.0/255.0.0.0", None),
    "a leading zero in the bits": ("10.0.0.0/08", None),
    "a sign": ("10.0.0.0/+8", None),
    "a zone": ("fe80::%eth0/64", None),
    "a blank": ("10.0.0.0/8 ", None),
    "two slashes": ("10.0.0.0/8/8", None),
    "no address": ("ten/8", None),
}


@pytest.mark.parametrize("case", RANGES)
def test_cidr(case: str) -> None:
    text, want = RANGES[case]
    assert cidr(text) == (None if want is None else (number(want[0]), number(want[1])))


# ---------------------------------------------------------------- laws

ANY = st.one_of(
    st.integers(0, HIGHEST),
    st.integers(0, 2**32 - 1).map(lambda n: MAPPED | n),
    st.integers(0, 2**32 - 1).map(lambda n: n << 96),
)
NOTATIONS = st.one_of(
    ANY.map(lambda n: str(ipaddress.IPv6Address(n))),
    ANY.map(lambda n: ipaddress.IPv6Address(n).exploded.upper()),
    ANY.map(lambda n: str(ipaddress.IPv4Address(n & 0xFFFF_FFFF))),
    ANY.map(lambda n: f"::ffff:{ipaddress.IPv4Address(n & 0xFFFF_FFFF)}"),
    st.text("0123456789abcdefF:.%/", max_size=20),
    st.lists(st.sampled_from(["", "0", "1", "ffff", "00001", "::", "1.2.3.4", "01"]), max_size=9).map(":".join),
    st.lists(st.sampled_from(["0", "1", "255", "256", "00", "1 "]), min_size=3, max_size=5).map(".".join),
)


@given(NOTATIONS)
def test_an_address_is_what_another_reader_takes_for_one(text: str) -> None:
    """number(t) = int(ipaddress(t)), IPv4 in the mapped range, zones apart."""
    try:
        read = ipaddress.ip_address(text)
    except ValueError:
        assert number(text) is None
        return
    if isinstance(read, ipaddress.IPv6Address) and read.scope_id is not None:
        assert number(text) is None
    else:
        assert number(text) == (MAPPED | int(read) if read.version == 4 else int(read))


@given(ANY)
def test_a_number_has_one_text(value: int) -> None:
    """number(text(n)) = n, and the text is canonical."""
    text = text_of(value)
    assert number(text) == value
    assert canonical(text) == text


INTERVALS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6
)


def members(intervals: Intervals) -> set[int]:
    return {each for first, last in intervals for each in range(first, last + 1)}


@given(INTERVALS, INTERVALS, st.randoms(use_true_random=False))
def test_unions_and_differences_are_those_of_sets(
    left: list[tuple[int, int]], right: list[tuple[int, int]], shuffled: random.Random
) -> None:
    """members(a + b) = members(a) | members(b), members(a - b) = members(a) - members(b); both in one form."""
    both = [*left, *right]
    shuffled.shuffle(both)
    joined, parted = union(both), difference(union(left), union(right))
    assert members(joined) == members(tuple(left)) | members(tuple(right))
    assert members(parted) == members(tuple(left)) - members(tuple(right))
    for intervals in (joined, parted):
        assert all(first <= last for first, last in intervals)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(intervals))
        assert all(holds(intervals, value) == (value in members(intervals)) for value in range(60))
