"""The strict decoders: they read what they must, once, and agree with the standard ones wherever they accept."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.strict import JsonRefusedError, decode_base64url, decode_json_object

LONE = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(st.binary())
def test_bytes_come_back_from_base64url(data: bytes) -> None:
    assert decode_base64url(base64.urlsafe_b64encode(data).rstrip(b"=").decode()) == data


@given(st.text(st.sampled_from("AQgwZz09-_=+/ \n"), max_size=12))
def test_bytes_have_one_spelling(text: str) -> None:
    """decode(t) = d implies encode(d) = t."""
    decoded = decode_base64url(text)
    if decoded is not None:
        assert base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == text


@given(st.dictionaries(st.text(), JSON, max_size=3), st.booleans(), st.integers(0, 6))
def test_json_comes_back(value: dict[str, object], ascii_only: bool, most_deep: int) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    if depth(value) <= most_deep:
        assert decode_json_object(data, most_deep) == value
    else:
        with pytest.raises(JsonRefusedError, match="deeper"):
            decode_json_object(data, most_deep)


@given(st.lists(st.text(max_size=2) | LONE, max_size=3), st.booleans())
def test_a_lone_surrogate_is_found_wherever_it_stands(texts: list[str], as_name: bool) -> None:
    value = {"x": [{text: 1} for text in texts] if as_name else texts}
    lone = any("\ud800" <= c <= "\udfff" for text in texts for c in text)
    data = json.dumps(value).encode()
    if lone:
        with pytest.raises(JsonRefusedError, match="surrogate"):
            decode_json_object(data, 9)
    else:
        assert decode_json_object(data, 9) == value


BRACKETS_IN_STRINGS = {
    "brackets": r'{"a": "[[[[[[[["}',
    "an escaped quote": r'{"a": "\"[[[[[[["}',
    "an escaped backslash": r'{"a": "\\", "b": [[]]}',
    "brackets in a name": r'{"[[[[[[[[": 1}',
}


@pytest.mark.parametrize("text", BRACKETS_IN_STRINGS.values(), ids=BRACKETS_IN_STRINGS)
def test_brackets_in_strings_are_not_depth(text: str) -> None:
    assert decode_json_object(text.encode(), 3) == json.loads(text)


BOMBS = {
    "nesting": b"[" * 1_000_000,
    "quotes": b'"' * 1_000_001,
    "escapes": b'"' + b'\\"' * 500_000,
    "backslashes": b'"' + b"\\" * 1_000_001,
    "closing": b"]" * 1_000_000,
    "digits": b'{"a":' + b"9" * 1_000_000 + b"}",
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_megabyte_made_to_be_slow_is_refused_quickly(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(JsonRefusedError):
        decode_json_object(data, 16)
    assert time.process_time() - started < 2
