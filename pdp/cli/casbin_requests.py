"""Requests to a Casbin model, as they are written: lines of a file or words of the command line.

In goes a line such as `alice, data1, read`, out comes a value for each parameter of the model, or why it is none. A
value that begins with `{` is a JSON object, for models that ask for parts of a value; every other one is text, as in a
policy: trimmed, with commas that stand in `()` or `[]`.
INVARIANT: a request has as many values as the model has parameters; none is guessed at. A file has one at the least:
SECURITY: of none it would be true that every request is allowed.
Source: Casbin's documentation, "Policy storage", "ABAC"; policy_lang/casbin/row_lines.py.

Decision (2026-11-21): whole lines that begin with `#` and blank lines are passed over, as in a policy. JSON
that is deeper, or has longer numbers, than Python reads is refused by its line; so are the words `NaN` and `Infinity`,
which are none of JSON's, and numbers that are larger than any that Python has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from msgspec import Struct

from pdp.cli.casbin_input import CasbinInputError
from policy_lang.casbin.row_lines import bracketed_values_of, lines

MOST_BYTES = 64 * 2**20
"""The largest file of requests."""


def _word(word: str) -> object:
    """What JSON has no word for. Errors: ValueError."""
    raise ValueError(f"`{word}` is no number of JSON")


def _fraction(text: str) -> float:
    """A number with a fraction. Errors: ValueError for one that is too large."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"`{text}` is too large")
    return number


_DECODER = json.JSONDecoder(parse_float=_fraction, parse_constant=_word)


class Request(Struct, frozen=True):
    """`values` as they are asked, `written` as they stand in the line; `line` from 1, 0 for one of the command line."""

    values: tuple[object, ...]
    written: str
    line: int = 0


def requests_of_file(path: Path, parameters: Sequence[str]) -> list[Request]:
    """The requests of a file, `-` being standard input. Errors: CasbinInputError I413, with the line; I411."""
    name = str(path)
    try:
        with click.open_file(name, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise CasbinInputError("I413", f"{name} is larger than {MOST_BYTES} bytes: ask it in parts")
        text = data.decode("utf-8")
    except OSError as error:
        raise CasbinInputError("I411", f"cannot read {name}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CasbinInputError("I411", f"{name} is not UTF-8: save the file as UTF-8") from None
    requests = [
        _fitting(Request(tuple(_values(line, f"{name}:{number}")), line, number), parameters, f"{name}:{number}")
        for number, _, line in lines(text)
        if not line.startswith("#")
    ]
    if not requests:
        raise CasbinInputError("I413", f"{name} holds no request: write each on a line that does not begin with `#`")
    return requests


def request_of_words(words: Sequence[str], parameters: Sequence[str]) -> Request:
    """The request whose values are these words. Errors: CasbinInputError I413."""
    values = [_object(word, "--request") if word.lstrip().startswith("{") else word for word in words]
    return _fitting(Request(tuple(values), ", ".join(words)), parameters, "--request")


def _fitting(request: Request, parameters: Sequence[str], place: str) -> Request:
    given = len(request.values)
    if given != len(parameters):
        wanted = f"{len(parameters)} values ({', '.join(parameters)})"
        raise CasbinInputError("I413", f"{place}: a request has {wanted}, this one has {given}")
    return request


def _values(line: str, place: str) -> Iterator[object]:
    """The values of a line; text between two objects is read as a policy's line is."""
    at = 0
    while True:
        start = at + len(line[at:]) - len(line[at:].lstrip())
        if line.startswith("{", start):
            try:
                value, end = _DECODER.raw_decode(line, start)
            except (ValueError, RecursionError):
                raise CasbinInputError("I413", f"{place}: a value that begins with `{{` is no JSON object") from None
            yield value
            rest = line[end:].lstrip()
            if rest and not rest.startswith(","):
                raise CasbinInputError("I413", f"{place}: a comma stands between two values")
            if not rest:
                return
            at = line.index(",", end) + 1
            continue
        text, more = _until_an_object(line[at:])
        values, wrong = bracketed_values_of(text)
        if wrong is not None:
            raise CasbinInputError("I413", f"{place}: `{wrong.sign}` {wrong.why}")
        yield from values
        if more is None:
            return
        at += more


def _until_an_object(line: str) -> tuple[str, int | None]:
    """The text before the first value that begins with `{`, and where that begins; None without one."""
    place = 0
    while (comma := line.find(",", place)) >= 0:
        after = line[comma + 1 :]
        if after.lstrip().startswith("{"):
            return line[:comma], comma + 1
        place = comma + 1
    return line, None


def _object(text: str, place: str) -> object:
    try:
        value: object = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise CasbinInputError("I413", f"{place}: a value that begins with `{{` is no JSON object") from None
    return value
