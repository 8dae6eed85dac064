"""I-JSON: what is read alike by every reader, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.strict import JsonRefusedError
from pdp.transports.strict_json import EXACT, read_object

REFUSED = {
    "an integer that doubles do not tell from the next": b'{"a": 9007199254740993}',
    "the first such integer": b'{"a": 9007199254740992}',
    "below zero": b'{"a": -9007199254740992}',
    "in a list": b'{"a": [1, 9007199254740992]}',
    "deep below": b'{"a": {"b": [{"c": 9007199254740992}]}}',
    "written with a fraction": b'{"a": 9007199254740993.0}',
    "below zero with a fraction": b'{"a": [-9007199254740992.0]}',
    "with an exponent": b'{"a": 9.007199254740993e15}',
    "with few digits and an exponent": b'{"a": 1e16}',
    "beyond 64 bits": b'{"a": 99999999999999999999}',
    "a member twice": b'{"a": 1, "a": 1}',
    "nested too deep": b'{"a": [[[[[[[[]]]]]]]]}',
    "a list": b"[]",
    "nothing": b"",
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(sentence: str) -> None:
    with pytest.raises(JsonRefusedError):
        read_object(REFUSED[sentence], 8)


def test_the_largest_integers_and_digits_in_strings_are_read() -> None:
    value = {"a": [EXACT, -EXACT], "b": "9007199254740993", "c": True, "9007199254740993": None}
    assert read_object(json.dumps(value).encode(), 8) == value


@given(st.dictionaries(st.text(max_size=5), st.integers()))
def test_an_object_is_read_where_each_integer_is_exact_as_a_double(value: dict[str, int]) -> None:
    if all(abs(each) <= EXACT for each in value.values()):
        assert read_object(json.dumps(value).encode(), 8) == value
    else:
        with pytest.raises(JsonRefusedError):
            read_object(json.dumps(value).encode(), 8)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read_object(data, 8), dict)
    except JsonRefusedError as error:
        assert error.args[0]


def test_fractions_and_exponents_of_what_is_exact_are_read() -> None:
    value = {"a": [float(EXACT), 0.12345678901234567, 1e-300, 2.5e3]}
    assert read_object(json.dumps(value).encode(), 8) == value
