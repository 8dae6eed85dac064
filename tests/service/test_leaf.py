"""pdp.audit.leaf: one record, one spelling."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.leaf import MAX_DEPTH, MAX_LEAF_BYTES, Leaf, LeafError, Sealed, encode, parse

ID = "0" * 32
SEALED = Sealed("AAAA", "a" * 64)
BASE = b'{"id":"%s","k":"decision","v":1}' % ID.encode()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
clears = st.dictionaries(texts.filter(lambda name: name not in {"v", "k", "id", "in", "ic"}), values, max_size=5)


@settings(deadline=None)
@given(clears, st.sampled_from([None, SEALED]))
def test_what_was_encoded_is_parsed_back(clear: dict[str, Any], sealed: Sealed | None) -> None:
    data = encode("decision", ID, clear, sealed)
    assert parse(data) == Leaf("decision", ID, {"v": 1, **clear}, sealed)


@settings(deadline=None)
@given(clears)
def test_a_leaf_is_printable_ascii_and_what_python_would_write(clear: dict[str, Any]) -> None:
    data = encode("decision", ID, clear, None)
    assert all(0x20 <= byte < 0x7F for byte in data)
    fields = {"v": 1, **clear, "k": "decision", "id": ID}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert data.decode() == text.replace("\x7f", "\\u007f")


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_a_leaf_error_or_their_own_encoding(data: bytes) -> None:
    with pytest.raises(LeafError):
        parse(data)


def _again(leaf: Leaf) -> bytes:
    return encode(leaf.kind, leaf.id, leaf.clear, leaf.sealed)


@settings(deadline=None)
@given(clears, st.data())
def test_one_changed_byte_is_refused_or_is_another_canonical_leaf(clear: dict[str, Any], data: st.DataObject) -> None:
    good = encode("decision", ID, clear, None)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    try:
        leaf = parse(changed)
    except LeafError:
        return
    assert _again(leaf) == changed


REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "a number": b"1",
    "a space": BASE.replace(b":1}", b": 1}"),
    "a trailing newline": BASE + b"\n",
    "a second value": BASE + BASE,
    "another order of keys": b'{"k":"decision","id":"%s","v":1}' % ID.encode(),
    "a duplicate key": BASE.replace(b'"v":1', b'"v":1,"v":1'),
    "a float": BASE.replace(b"{", b'{"a":1.0,'),
    "an exponent": BASE.replace(b"{", b'{"a":1e3,'),
    "minus zero": BASE.replace(b"{", b'{"a":-0,'),
    "an integer beyond 64 bits": BASE.replace(b"{", b'{"a":18446744073709551616,'),
    "NaN": BASE.replace(b"{", b'{"a":NaN,'),
    "raw UTF-8": BASE.replace(b"{", '{"a":"é",'.encode()),
    "a raw DEL": BASE.replace(b"{", b'{"a":"\x7f",'),
    "a raw C1 control": BASE.replace(b"{", '{"a":"\u009b",'.encode()),
    "a raw newline in a string": BASE.replace(b"{", b'{"a":"\n",'),
    "not UTF-8": BASE.replace(b"{", b'{"a":"\xff",'),
    "a lone surrogate": BASE.replace(b"{", b'{"a":"\\ud800",'),
    "upper-case hex in an escape": BASE.replace(b"{", b'{"a":"\\u009B",'),
    "an escape that is not needed": BASE.replace(b"{", b'{"a":"\\u0041",'),
    "an escaped slash": BASE.replace(b"{", b'{"a":"\\/",'),
    "no version": b'{"id":"%s","k":"decision"}' % ID.encode(),
    "another version": BASE.replace(b":1}", b":2}"),
    "true as the version": BASE.replace(b":1}", b":true}"),
    "no kind": b'{"id":"%s","v":1}' % ID.encode(),
    "an empty kind": BASE.replace(b"decision", b""),
    "a kind with an escape": BASE.replace(b"decision", b"a\\u001b"),
    "no id": b'{"k":"decision","v":1}',
    "an id in upper case": BASE.replace(b"0" * 32, b"A" * 32),
    "a box without a commitment": BASE.replace(b'"k"', b'"in":"AAAA","k"'),
    "a commitment without a box": BASE.replace(b'"id"', b'"ic":"%s","id"' % (b"a" * 64)),
    "a short commitment": BASE.replace(b'"id"', b'"ic":"a","id"').replace(b'"k"', b'"in":"AAAA","k"'),
    "null for a box and a commitment": BASE.replace(b'"id"', b'"ic":null,"id"').replace(b'"k"', b'"in":null,"k"'),
    "more than 60,000 bytes": encode("decision", ID, {"a": "a" * 100}, None).replace(b"a" * 100, b"a" * 60_000),
    "nesting beyond the limit": BASE.replace(b"{", b'{"a":' + b"[" * 17 + b"]" * 17 + b",", 1),
    "nesting that would exhaust a stack": b"[" * 50_000,
}


def test_the_base_of_the_refused_cases_is_a_leaf() -> None:
    assert parse(BASE) == Leaf("decision", ID, {"v": 1}, None)


@pytest.mark.parametrize("name", REFUSED)
def test_a_leaf_is_refused_for(name: str) -> None:
    with pytest.raises(LeafError):
        parse(REFUSED[name])


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


UNWRITABLE: dict[str, dict[str, Any]] = {
    "a float": {"a": 1.5},
    "a whole float": {"a": [{"b": 1.0}]},
    "NaN, which orjson would write as null": {"a": float("nan")},
    "a date, which orjson would write": {"a": dt.date(2026, 1, 1)},
    "a tuple": {"a": (1, 2)},
    "bytes": {"a": b"x"},
    "a lone surrogate": {"a": "\udc80"},
    "an integer beyond 64 bits": {"a": 2**64},
    "a key that is no text": {"a": {1: 2}},
    "nesting beyond the limit": {"a": _nested(MAX_DEPTH)},
    "the reserved name k": {"k": "x"},
    "the reserved name id": {"id": "x"},
    "the reserved name in": {"in": "x"},
    "the reserved name ic": {"ic": "x"},
    "another version": {"v": 2},
    "true as the version": {"v": True},
    "more than 60,000 bytes": {"a": "a" * MAX_LEAF_BYTES},
    "more than 60,000 bytes once escaped": {"a": "\u202e" * 11_000},
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_record_is_refused_for(name: str) -> None:
    with pytest.raises(LeafError):
        encode("decision", ID, UNWRITABLE[name], None)


@pytest.mark.parametrize("kind", ["", "Decision", "a b", "a\x1b", "a.", "a\n"])
def test_a_kind_is_words_joined_by_dots(kind: str) -> None:
    with pytest.raises(LeafError):
        encode(kind, ID, {}, None)


def test_the_largest_leaf_is_exactly_60_000_bytes() -> None:
    room = MAX_LEAF_BYTES - len(encode("decision", ID, {"a": ""}, None))
    assert len(encode("decision", ID, {"a": "a" * room}, None)) == MAX_LEAF_BYTES
    with pytest.raises(LeafError):
        encode("decision", ID, {"a": "a" * (room + 1)}, None)


@pytest.mark.parametrize(
    "hostile", ["\x1b[31m", "\u009b31m", "\u202e", "\u2066", "\r\n", "\x7f", "\u2028", "\U000e0041"]
)
def test_nothing_a_terminal_acts_upon_stands_raw(hostile: str) -> None:
    data = encode("decision", ID, {"a": hostile}, None)
    assert data.decode("ascii").isprintable()
    assert parse(data).clear["a"] == hostile
