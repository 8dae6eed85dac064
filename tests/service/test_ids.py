"""pdp.audit.ids: an id says its place, and only the key makes one."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.ids import MAX_BOOT, MAX_SEQ, MAX_WRITER, DecisionId, IdKey, is_shaped, parse

KEY = bytes(range(32))

places = st.tuples(st.integers(0, MAX_BOOT), st.integers(0, MAX_WRITER), st.integers(0, MAX_SEQ))


@settings(deadline=None)
@given(places)
def test_an_id_says_the_place_it_was_made_for(place: tuple[int, int, int]) -> None:
    text = IdKey(KEY).make(*place)
    parsed = parse(text)
    assert (parsed.boot, parsed.writer, parsed.seq) == place
    assert IdKey(KEY).check(text)
    assert not IdKey(bytes(32)).check(text)


def test_the_layout_is_that_of_the_design() -> None:
    head = bytes.fromhex("01020304050000000006")
    mac = hmac.new(KEY, head, sha256).digest()[:6]
    assert IdKey(KEY).make(0x01020304, 5, 6) == (head + mac).hex()
    assert parse((head + mac).hex()) == DecisionId(0x01020304, 5, 6, mac)


@settings(deadline=None)
@given(places, st.integers(0, 127))
def test_any_one_bit_flip_is_disowned(place: tuple[int, int, int], bit: int) -> None:
    flipped = int(IdKey(KEY).make(*place), 16) ^ (1 << bit)
    assert not IdKey(KEY).check(f"{flipped:032x}")


@pytest.mark.parametrize(
    "text",
    ["", "0" * 31, "0" * 33, "0" * 32 + "\n", "A" * 32, "g" * 32, "0x" + "0" * 30, "\u0660" * 32, " " + "0" * 31],
    ids=["empty", "short", "long", "newline", "upper_case", "not_hex", "prefix", "arabic_digits", "space"],
)
def test_what_is_not_32_lower_case_hex_digits_is_no_id(text: str) -> None:
    assert not is_shaped(text)
    assert not IdKey(KEY).check(text)
    with pytest.raises(ValueError, match="not a decision id"):
        parse(text)


@pytest.mark.parametrize(
    "place", [(-1, 0, 0), (MAX_BOOT + 1, 0, 0), (0, -1, 0), (0, MAX_WRITER + 1, 0), (0, 0, -1), (0, 0, MAX_SEQ + 1)]
)
def test_a_part_that_does_not_fit_is_refused(place: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        IdKey(KEY).make(*place)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        IdKey(b"short")
