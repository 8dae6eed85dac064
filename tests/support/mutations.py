"""Mutations of a serialised protobuf message, drawn from a seed: by its structure, and by its bytes.

A message is changed through its descriptors (a field cleared, set to something hostile, repeated, taken from another
message), then as bytes (bits, slices, lengths, what a truncated or a merged message has). Nothing here knows what the
message means.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

TEXTS = (
    "", " ", ",", "/", "//", "/..", "/%2e%2e/", "/%2F", "\x00", "\r\nx: 1", "\u202e", "\ufeff", "\u00e9", "a" * 300,
    "%", "true", "false", "-1", "0x7f.1", "127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7:80", "*",
    "http", "spiffe://example/front", "SPIFFE://example/front", "spiffe://example/front/", "vault", "Vault",
    "desk.example", "authorization", "Authorization", ":path", ":method", ":authority", "host", "x-device-id",
    "X_Device_Id", "GET", "POST", "Bearer x", "Bearer ", "Basic dTpw", "bearer", "application/grpc", "/boxes/u1",
    "/boxes/u2", "/health", "portcullis.service", "portcullis.signals", "envoy.filters.http.jwt_authn", "jwt_payload",
    "sub", "aud", "iss", "exp",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 5, 7, 255, 2**31 - 1, -(2**31), 1_800_000_600)
DOUBLES = (0.0, -0.0, 1.5, 5.0, 1e308, 2.0**53, float(2**53 - 1), math.nan, math.inf, -math.inf, 1_800_000_600.0)
FEWEST = 4
"""Bytes that a mutation of bytes leaves to mutate."""

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_ENUM,
}  # fmt: skip
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}

Slot = tuple[Any, Any]
"""A message, and one of its fields."""


def mutated(message: Any, donors: Sequence[Any], rng: random.Random) -> bytes:
    """The bytes of `message` after one to four mutations; `donors` are messages of the same type."""
    copy = type(message)()
    copy.CopyFrom(message)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        _mutate(copy, donors, rng)
    data = bytes(copy.SerializeToString())
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        data = rng.choice(BYTES)(data, donors, rng)
    return data


def _slots(message: Any, depth: int = 0) -> Iterator[Slot]:
    """Every field of a message and of those that stand in it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
    if depth < 12:
        for field, value in message.ListFields():
            for below in _messages(field, value):
                yield from _slots(below, depth + 1)


def _messages(field: Any, value: Any) -> list[Any]:
    if field.message_type is None:
        return []
    if not field.is_repeated:
        return [value]
    if not field.message_type.GetOptions().map_entry:
        return list(value)
    of_messages = field.message_type.fields_by_name["value"].message_type is not None
    return [value[key] for key in value] if of_messages else []


def _mutate(message: Any, donors: Sequence[Any], rng: random.Random) -> None:
    """One change of one field; those that are there are preferred."""
    slots = list(_slots(message))
    there = [(owner, field) for owner, field in slots if _is_set(owner, field)]
    owner, field = rng.choice(there if there and rng.random() < 0.7 else slots)
    change = rng.random()
    if change < 0.2:
        owner.ClearField(field.name)
    elif change < 0.35:
        found = [other for other in _slots(rng.choice(donors)) if other[1] is field and _is_set(*other)]
        if found:
            _copy(rng.choice(found)[0], owner, field)
    elif field.is_repeated:
        _mutate_repeated(owner, field, rng)
    elif field.message_type is not None:
        getattr(owner, field.name).SetInParent()
    else:
        setattr(owner, field.name, _scalar(field, getattr(owner, field.name), rng))


def _is_set(owner: Any, field: Any) -> bool:
    return any(each is field for each, _ in owner.ListFields())


def _copy(source: Any, target: Any, field: Any) -> None:
    taken = type(source)()
    taken.CopyFrom(source)
    for each, _ in taken.ListFields():
        if each is not field:
            taken.ClearField(each.name)
    if not field.is_repeated:
        target.ClearField(field.name)
    target.MergeFrom(taken)


def _mutate_repeated(owner: Any, field: Any, rng: random.Random) -> None:
    values = getattr(owner, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _mutate_map(values, field, rng)
    elif field.message_type is not None:
        if values and rng.random() < 0.7:
            values.add().CopyFrom(rng.choice(list(values)))
        else:
            values.add()
        if len(values) > 1 and rng.random() < 0.3:
            del values[rng.randrange(len(values))]
    else:
        values.append(_scalar(field, None, rng))


def _mutate_map(values: Any, field: Any, rng: random.Random) -> None:
    """A key added, taken away, spelt in another way."""
    key_type, value_type = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    present = list(values)
    change = rng.random()
    if present and change < 0.3:
        del values[rng.choice(present)]
        return
    old = rng.choice(present) if present else None
    key = _text(old, rng) if key_type.cpp_type == FieldDescriptor.CPPTYPE_STRING else rng.choice(NUMBERS)
    if value_type.message_type is None:
        values[key] = _scalar(value_type, values[old] if old is not None else None, rng)
    elif old is not None and old != key:
        values[key].CopyFrom(values[old])
    else:
        values[key].SetInParent()


def _scalar(field: Any, old: Any, rng: random.Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return _bytes(old or b"", rng)
        case FieldDescriptor.CPPTYPE_STRING:
            return _text(old, rng)
        case FieldDescriptor.CPPTYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return rng.choice(DOUBLES)
        case kind if kind in _INTEGERS:
            number = rng.choice(NUMBERS)
            return abs(number) if kind in _UNSIGNED else number
        case _:
            raise AssertionError(field)


def _text(old: str | None, rng: random.Random) -> str:
    """Something hostile, or the old text with one change."""
    if not old or rng.random() < 0.4:
        return rng.choice(TEXTS)
    at = rng.randrange(len(old) + 1)
    return rng.choice(
        (
            old[:at] + rng.choice(TEXTS) + old[at:],
            old[:at] + old[at + 1 :],
            old.upper(),
            old + rng.choice((" ", "/", ".", ",", "\t", "?", "#", "%20", ";a", old)),
            rng.choice((" ", "/", ".", ",", "%2e")) + old,
            old[:at] + chr(rng.randrange(1, 0x250)) + old[at + 1 :],
        )
    )


def _bytes(old: bytes, rng: random.Random) -> bytes:
    if not old or rng.random() < 0.3:
        return rng.choice((*(text.encode() for text in TEXTS), b"\xff", b"\xc3\x28", b"\xed\xa0\x80"))
    return _text(old.decode("latin-1"), rng).encode("latin-1", "replace")


def _flip(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)] if len(data) > FEWEST else data


def _drop(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 9) :]


def _insert(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]


def _repeat(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    end = at + rng.randrange(1, 65)
    return data[:end] + data[at:end] + data[end:]


def _merge(data: bytes, donors: Sequence[Any], rng: random.Random) -> bytes:
    """Two messages one after the other are one message to a parser."""
    other = bytes(rng.choice(donors).SerializeToString())
    return rng.choice((data + other, other + data))


def _splice(data: bytes, donors: Sequence[Any], rng: random.Random) -> bytes:
    other = bytes(rng.choice(donors).SerializeToString())
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _unknown(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    """A field that nobody declared, a group, a length that lies."""
    return data + rng.choice(
        (b"\xfa\x7f\x01a", b"\xf8\x7f\x01", b"\x0b\x0c", b"\x0b", b"\x0a\xff\xff\xff\xff\x0f", b"\x00")
    )


def _nest(data: bytes, _: Sequence[Any], rng: random.Random) -> bytes:
    """The message inside one of its own fields, deep."""
    for _level in range(rng.choice((1, 2, 120))):
        data = b"\x0a" + _varint(len(data)) + data
    return data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _noise(_: bytes, __: Sequence[Any], rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(200))


BYTES: tuple[Callable[[bytes, Sequence[Any], random.Random], bytes], ...] = (
    _flip, _flip, _flip, _cut, _drop, _insert, _repeat, _merge, _splice, _unknown, _unknown, _nest, _noise,
)  # fmt: skip
