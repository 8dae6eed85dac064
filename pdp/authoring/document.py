"""A JSON or YAML document as values, each with one meaning; and references within it.

Bytes of a stranger come in; a mapping goes out, or AuthoringError that names the place (a JSON pointer) and the remedy.
Time and memory are linear in the bytes, and so is every later walk: what aliases would expand to is counted while the
document is read, and refused above `MOST_NODES`. No recursion: depth is counted, not met by the stack.
INVARIANT: no member stands twice, keys are strings, numbers are finite, there is one document.
Specification: RFC 8259; YAML 1.2.2 10.3 (core schema); RFC 6901 (pointers); OpenAPI 3.2 4.2, 4.6.

Decision: 2026-11-21. Plain scalars are read by the core schema of YAML 1.2, as OpenAPI asks: `no` is a text, and a date
is one too. Merge keys (`<<`), which that schema does not have, are honoured where they name mappings, since a member
that is overlooked would be a parameter that nobody checks. Tags other than those of the core schema are refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

from msgspec import Struct

from pdp.authoring.model import AuthoringError
from pdp.authoring.yaml_nodes import YamlFaultError, pointer_step, read_yaml
from policy_lang.verdict import Json

MOST_BYTES = 32 * 1024 * 1024
DEEPEST = 100
MOST_HOPS = 32
"""References one after the other, each leading to the next."""

LONGEST_STEP = 120
LONGEST_PLACE = 300
"""Characters of a pointer that is shown."""


class Located(Struct, frozen=True):
    """A value and the JSON pointer of where it stands."""

    value: Json
    pointer: str


class BadReference(Struct, frozen=True):
    """Why a reference leads nowhere."""

    pointer: str
    why: str


def read_document(data: bytes, file: str) -> dict[str, Json]:
    """The mapping that a document holds; `file` is named in errors.

    Errors: AuthoringError I101 too large, I102 not UTF-8, I103 neither JSON nor YAML, I104 a member twice, too deep, an
        alias that leads to itself or expands without end, a key that is no text, I105 no mapping.
    """
    if len(data) > MOST_BYTES:
        raise AuthoringError("I101", f"{file} has {len(data)} bytes, over the limit of {MOST_BYTES}: split it")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise AuthoringError("I102", f"{file} is not UTF-8 (at byte {error.start}): save it as UTF-8") from None
    try:
        value = _json(text, file) if text.lstrip()[:1] in {"{", "["} else read_yaml(text, DEEPEST)
    except YamlFaultError as fault:
        raise AuthoringError(fault.code, f"{file}{fault.place}: {fault.why}") from None
    if not isinstance(value, dict):
        raise AuthoringError("I105", f"{file} holds no mapping at its top: name an OpenAPI document")
    return value


def _json(text: str, file: str) -> Json:
    """JSON; what begins like it and is not may still be YAML in its flow style."""
    try:
        value: Json = json.loads(
            text, object_pairs_hook=_members, parse_int=_integer, parse_float=_real, parse_constant=_constant
        )
    except RecursionError:
        raise AuthoringError("I104", f"{file} is nested deeper than {DEEPEST}: it is no OpenAPI document") from None
    except ValueError:
        return read_yaml(text, DEEPEST)
    _inspect(value, file)
    return value


class _Twice(str):
    """Stands for the value of a member that was given twice, until `_inspect` names its place."""

    __slots__ = ()


def _members(pairs: list[tuple[str, Json]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                members[name] = _Twice()
            seen.add(name)
    return members


_LONGEST_NUMBER = 400


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number too long")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class _Step(Struct, frozen=True):
    """The way to a value: a link to the step before, since written out at each value it could be long without end."""

    name: str
    before: _Step | None


def _inspect(value: Json, file: str) -> None:
    """Refuse members that stand twice, and depth."""
    level: list[tuple[Json, _Step | None]] = [(value, None)]
    for _ in range(DEEPEST):
        below: list[tuple[Json, _Step | None]] = []
        for each, way in level:
            if isinstance(each, _Twice):
                place = _written(way)
                raise AuthoringError("I104", f"{file} {place}: this member stands twice: remove one of the two")
            if isinstance(each, dict):
                below += ((item, _Step(name, way)) for name, item in each.items())
            elif isinstance(each, list):
                below += ((item, _Step(str(index), way)) for index, item in enumerate(each))
        if not below:
            return
        level = below
    place = _written(level[0][1])
    raise AuthoringError("I104", f"{file} {place}: nested deeper than {DEEPEST}: it is no OpenAPI document")


def _written(way: _Step | None) -> str:
    """A way as a pointer, its steps cut where they are long."""
    steps: list[str] = []
    while way is not None:
        steps.append(pointer_step(way.name[:LONGEST_STEP]))
        way = way.before
    return "/".join(["#", *reversed(steps)])[:LONGEST_PLACE]


# ---------------------------------------------------------------- references


def follow(root: dict[str, Json], at: Located) -> Located | BadReference:
    """Where a value stands after its `$ref`, if it is one, and those it leads to."""
    seen: set[str] = set()
    here = at
    while isinstance(here.value, dict) and "$ref" in here.value:
        target = here.value["$ref"]
        if not isinstance(target, str):
            return BadReference(here.pointer, "`$ref` is no text: write a pointer such as `#/components/schemas/Id`")
        if not target.startswith("#"):
            why = f"`{target[:120]}` is in another file, and nothing but this one is read: bundle the document first"
            return BadReference(here.pointer, why)
        if target in seen:
            return BadReference(here.pointer, f"`{target[:120]}` leads back to itself: say at one place what it is")
        if len(seen) == MOST_HOPS:
            why = f"`{target[:120]}` is the end of more than {MOST_HOPS} references in a row: refer to the thing itself"
            return BadReference(at.pointer, why)
        seen.add(target)
        found = _pointed(root, target)
        if found is None:
            why = f"`{target[:120]}` leads nowhere in this document: declare it, or correct the reference"
            return BadReference(here.pointer, why)
        here = found
    return here


def _pointed(root: dict[str, Json], target: str) -> Located | None:
    """The value at `#` or `#/a/b`; None where there is none."""
    if target != "#" and not target.startswith("#/"):
        return None
    here: Json = root
    for step in [] if target == "#" else _PERCENT.sub(_character, target[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and name in here:
            here = here[name]
        elif isinstance(here, list) and _INDEX.fullmatch(name) and int(name) < len(here):
            here = here[int(name)]
        else:
            return None
    return Located(here, target[:LONGEST_PLACE])


_PERCENT = re.compile("%([0-9A-Fa-f]{2})")
_INDEX = re.compile("[0-9]{1,8}")


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))
