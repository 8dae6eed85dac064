"""Two decoders that accept one spelling only: base64url and JSON, for tokens and key sets.

Texts from strangers come in; bytes and JSON values go out, or None and JsonRefusedError. Both take time linear in their
input and no more stack than the depth allows.
INVARIANT: what is accepted means the same to every reader: no member stands twice, every string is Unicode, every
number is finite and, when an integer, fits 64 bits.
Sources: RFC 7515 2 (base64url without padding); RFC 8259, RFC 7493 2 (I-JSON).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import NoReturn, cast

from policy_lang.typesystem import INT_MAX, INT_MIN
from policy_lang.verdict import Json

LONGEST_NUMBER = 40
"""Characters of one number; a double needs 24."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_NESTING = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonRefusedError(ValueError):
    """The text is not JSON, or JSON that two readers could understand in two ways. `args[0]` says why."""


def decode_base64url(text: str) -> bytes | None:
    """The bytes that `text` spells; None when it is not the one spelling of any bytes.

    Padding, white space, the other alphabet, an impossible length and non-zero bits after the last byte are refused.
    """
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    spelt = base64.urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii")
    return decoded if spelt == text else None


def decode_json_object(data: bytes, most_deep: int) -> dict[str, Json]:
    """The JSON object that `data` holds, nested at most `most_deep` deep (the object itself is 1).

    Errors: JsonRefusedError for anything else: bytes that are not UTF-8, a byte order mark, a member that stands
        twice, a lone surrogate, NaN and its like, an integer beyond 64 bits, a number too long or not finite, another
        type.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonRefusedError("not UTF-8") from None
    if _is_deeper(text, most_deep):
        raise JsonRefusedError(f"nested deeper than {most_deep}")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
        )
    except json.JSONDecodeError:
        raise JsonRefusedError("not JSON") from None
    if not isinstance(value, dict):
        raise JsonRefusedError("not an object")
    if _SURROGATE.search(text) and _has_lone_surrogate(value):
        raise JsonRefusedError("a lone surrogate")
    return cast("dict[str, Json]", value)


def _is_deeper(text: str, most: int) -> bool:
    depth = 0
    for match in _NESTING.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > most:
                return True
        elif match[0] in "]}":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonRefusedError("a member stands twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER or not INT_MIN <= int(digits) <= INT_MAX:
        raise JsonRefusedError("an integer beyond 64 bits")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > LONGEST_NUMBER or not math.isfinite(float(digits)):
        raise JsonRefusedError("a number too long or not finite")
    return float(digits)


def _constant(name: str) -> NoReturn:
    raise JsonRefusedError(f"{name} is no JSON")


def _has_lone_surrogate(value: Json) -> bool:
    """Whether a string in `value` is not Unicode; recursion ends because the depth was checked."""
    match value:
        case str():
            return any("\ud800" <= c <= "\udfff" for c in value)
        case list():
            return any(_has_lone_surrogate(item) for item in value)
        case dict():
            return any(_has_lone_surrogate(name) or _has_lone_surrogate(item) for name, item in value.items())
        case _:
            return False
