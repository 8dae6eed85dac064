"""I-JSON from whoever asks: an object that every reader of JSON reads alike.

Bytes come in; a JSON object goes out, or JsonRefusedError. What `pdp.identity.strict` refuses is refused, and besides
every number beyond the integers that a double holds exactly, however it is written.
Source: RFC 7493 2.2.

Decision: 2026-11-21. Integers beyond 2^53 - 1 are refused: many a caller cannot say them, and would have asked about
another one without knowing. So is what is written as a fraction or with an exponent: a double of that size is an
integer, and perhaps another than was sent. A token may have them: whoever signed it knew how to write it.
"""

from __future__ import annotations

import re

from pdp.identity.strict import JsonRefusedError, decode_json_object
from pdp.model import Json

EXACT = 2**53 - 1
"""The largest integer that every reader holds exactly."""

_LARGE_NUMBER = re.compile(rb"[0-9]{16}|[0-9][eE]")
"""What a number beyond that has in it: sixteen digits, or an exponent."""


def read_object(data: bytes, most_deep: int) -> dict[str, Json]:
    """The object that `data` holds, nested at most `most_deep` deep. Errors: JsonRefusedError."""
    value = decode_json_object(data, most_deep)
    if _LARGE_NUMBER.search(data) and _has_large_number(value):
        raise JsonRefusedError(f"a number beyond {EXACT}: send it as a string")
    return value


def _has_large_number(value: Json) -> bool:
    """Recursion ends because the depth was checked."""
    match value:
        case bool():
            return False
        case int() | float():
            return abs(value) > EXACT
        case list():
            return any(_has_large_number(each) for each in value)
        case dict():
            return any(_has_large_number(each) for each in value.values())
        case _:
            return False
