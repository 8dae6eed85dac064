"""What all parts of the standalone program share: exit codes, errors, JSON read strictly, texts for a terminal."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

SOUND, USAGE, INCOMPLETE, INVALID = 0, 2, 20, 40

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Value = bool | int | str | frozenset[bool | int | str]
Truth = bool | None
"""Kleene's three values; None is unknown."""
Name = tuple[str, str]
"""An input: where it comes from (`token`, `path`, …) and what it is called there."""


class ReceiptError(Exception):
    """The receipt does not prove what it says."""

    def __init__(self, text: str, code: int = INVALID) -> None:
        super().__init__(text)
        self.code = code


class UndecidedError(Exception):
    """The answer cannot be derived again, for this reason; nothing is wrong by that."""


def canonical_json(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).replace("\x7f", "\\u007f").encode()


def read_json(data: bytes, what: str) -> dict[str, Json]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ReceiptError(f"{what} is no object of JSON")
    return value


def shown(text: object) -> str:
    """A text for a terminal, whoever wrote it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text))


def unbase64(text: str) -> bytes | None:
    """Base64 in its one spelling; None for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def items(of: Json) -> list[Json]:
    if not isinstance(of, list):
        raise ReceiptError("the receipt holds something else where a list should be")
    return of


def texts(of: Json) -> list[str]:
    found = [each for each in items(of) if isinstance(each, str)]
    if len(found) != len(items(of)):
        raise ReceiptError("the receipt holds something else where texts should be")
    return found


def numbers(of: Json) -> list[int]:
    found = [each for each in items(of) if type(each) is int]
    if len(found) != len(items(of)):
        raise ReceiptError("the receipt holds something else where numbers should be")
    return found


def mapping(inputs: Mapping[str, Json], name: str) -> dict[str, Json]:
    value = inputs.get(name, {})
    if not isinstance(value, dict):
        raise ReceiptError(f"`{name}` of the inputs is no object")
    return value
