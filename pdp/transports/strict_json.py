"""I-JSON from whoever asks: an object that every reader of JSON reads alike.

Bytes come in; a JSON object goes out, or JsonRefusedError. What `pdp.identity.strict` refuses is refused, and besides
every integer that a double does not hold exactly.
Source: RFC 7493 2.2.

Decision: 2026-11-21. Integers beyond 2^53 - 1 are refused: many a caller cannot say them, and would have asked about
another one without knowing. A token may have them: whoever signed it knew how to write it.
"""

from __future__ import annotations

import re

from pdp.identity.strict import JsonRefusedError, decode_json_object
from pdp.model import Json

EXACT = 2**53 - 1
"""The largest integer that every reader holds exactly."""

_LONG_NUMBER = re.compile(rb"[0-9]{16}")


def read_object(data: bytes, most_deep: int) -> dict[str, Json]:
    """The object that `data` holds, nested at most `most_deep` deep. Errors: JsonRefusedError."""
    value = decode_json_object(data, most_deep)
    if _LONG_NUMBER.search(data) and _has_large_integer(value):
        raise JsonRefusedError(f"an integer beyond {EXACT}: send it as a string")
    return value


def _has_large_integer(value: Json) -> bool:
    """Recursion ends because the depth was checked."""
    match value:
        case bool():
            return False
        case int():
            return abs(value) > EXACT
        case list():
            return any(_has_large_integer(each) for each in value)
        case dict():
            return any(_has_large_integer(each) for each in value.values())
        case _:
            return False
