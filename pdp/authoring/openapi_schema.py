"""The schema of a parameter as a type of the language, exactly, or as the wider one that reads every text it allows.

A located schema goes in; out comes what a single value is (`Single`), what the members of a list are (`Several`), or
that it is neither (`Composite`), or why the schema is none (`BadSchema`). Bounded: at most `MOST_PARTS` schemas are
looked at for one parameter, however they refer to each other.
Specification: OpenAPI 3.2 4.24 and JSON Schema 2020-12; OpenAPI 3.0 4.7.24; how texts are read:
policy_lang/meaning/schema.py.

Decision: 2026-11-21. `date-time` is a `string`: a query's `time` is read as Unix seconds, so
the type would refuse every RFC 3339 text. `number` is a `string` too, there being no fractions in the language. Both
are said in a note. `enum`, `pattern` and lengths are not carried over: the service behind still checks them.
"""

from __future__ import annotations

import math

from msgspec import Struct

from pdp.authoring.document import BadReference, Located, follow
from policy_lang.typesystem import INT_MAX, INT_MIN
from policy_lang.verdict import Json

MOST_PARTS = 64

_TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}
_TEXTS = {"file"}
"""Type words of Swagger 2.0 beside those of JSON Schema."""


class Single(Struct, frozen=True):
    """One value: its type as a policy writes it, and what it leaves unsaid."""

    type: str
    note: str = ""


class Several(Struct, frozen=True):
    """A list of single values."""

    element: Single


class Composite(Struct, frozen=True):
    """Anything with structure."""


class BadSchema(Struct, frozen=True):
    pointer: str
    why: str


Kind = Single | Several | Composite

STRING = Single("string")


class _Look(Struct):
    """The document, and how many schemas of it were looked at for this parameter."""

    root: dict[str, Json]
    parts: int = 0


def kind_of(root: dict[str, Json], at: Located) -> Kind | BadSchema:
    """What a value of the schema is."""
    return _kind(_Look(root), at)


def _kind(look: _Look, at: Located) -> Kind | BadSchema:
    """The recursion ends: each step of it looks at one schema more."""
    parts = _parts(look, at)
    if isinstance(parts, BadSchema):
        return parts
    types = _types(parts)
    if isinstance(types, BadSchema):
        return types
    if types is None:
        return _untyped(look, parts)
    words = types - {"null"}
    if not words:
        return BadSchema(at.pointer, "no value but null fits: correct its `type`")
    if len(words) > 1:
        return Composite() if words & {"array", "object"} else Single("string", "of several types, read as a string")
    match next(iter(words)):
        case "array":
            return _array(look, parts)
        case "object":
            return Composite()
        case word:
            return _single(word, parts, at.pointer)


# ---------------------------------------------------------------- the schemas that hold together


def _parts(look: _Look, at: Located) -> list[Located] | BadSchema:
    """The schema, what it refers to, and what `allOf` adds: all of them hold."""
    todo = [at]
    parts: list[Located] = []
    while todo:
        here = todo.pop()
        look.parts += 1
        if look.parts > MOST_PARTS:
            return BadSchema(at.pointer, f"more than {MOST_PARTS} schemas for one parameter: say it at one place")
        found = follow(look.root, here)
        if isinstance(found, BadReference):
            return BadSchema(found.pointer, found.why)
        beside = here.value
        if found is not here and isinstance(beside, dict) and len(beside) > 1:
            parts.append(Located({name: each for name, each in beside.items() if name != "$ref"}, here.pointer))
        if found.value is True:
            continue
        if not isinstance(found.value, dict):
            return BadSchema(found.pointer, "a schema is a mapping: correct it")
        parts.append(found)
        together = found.value.get("allOf", [])
        if not isinstance(together, list):
            return BadSchema(found.pointer, "`allOf` is a list of schemas: correct it")
        todo += (Located(each, f"{found.pointer}/allOf/{i}") for i, each in enumerate(together[: MOST_PARTS + 1]))
    return parts


def _types(parts: list[Located]) -> frozenset[str] | BadSchema | None:
    """The types that all parts leave; None where none of them says one."""
    left: frozenset[str] | None = None
    for part in parts:
        said = part.value.get("type") if isinstance(part.value, dict) else None
        if said is None:
            continue
        words = said if isinstance(said, list) else [said]
        for word in words:
            if not isinstance(word, str) or word not in _TYPES | _TEXTS:
                known = ", ".join(f"`{each}`" for each in sorted(_TYPES))
                return BadSchema(part.pointer, f"unknown type `{str(word)[:40]}`: it is one of {known}")
        named = _widened(frozenset("string" if word in _TEXTS else str(word) for word in words))
        left = named if left is None else left & named
        if not left:
            return BadSchema(part.pointer, "its types exclude each other: correct one of them")
    return left - {"integer"} if left is not None and "number" in left else left


def _widened(words: frozenset[str]) -> frozenset[str]:
    """The words with what they include: an integer is a number."""
    return words | {"integer"} if "number" in words else words


def _untyped(look: _Look, parts: list[Located]) -> Kind | BadSchema:
    """What a schema without `type` is: by its alternatives, its members, its values; a string where nothing tells."""
    for part in parts:
        schema = part.value if isinstance(part.value, dict) else {}
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return _alternatives(look, Located(schema[word], f"{part.pointer}/{word}"))
        if "properties" in schema or "additionalProperties" in schema:
            return Composite()
        if "items" in schema:
            return _array(look, parts)
        values = schema.get("enum")
        if isinstance(values, list) and values:
            if all(isinstance(each, bool) for each in values):
                return Single("bool")
            if all(isinstance(each, int) and not isinstance(each, bool) for each in values):
                return _single("integer", parts, part.pointer)
    return STRING


def _alternatives(look: _Look, at: Located) -> Kind | BadSchema:
    if not isinstance(at.value, list) or not at.value:
        return BadSchema(at.pointer, "this is a list of schemas: correct it")
    found: list[Kind] = []
    for index, each in enumerate(at.value):
        if isinstance(each, dict) and each.get("type") == "null":
            continue
        kind = _kind(look, Located(each, f"{at.pointer}/{index}"))
        if isinstance(kind, BadSchema):
            return kind
        found.append(kind)
    if found and all(each == found[0] for each in found):
        return found[0]
    if found and all(isinstance(each, Single) for each in found):
        return Single("string", "of several types, read as a string")
    return Composite()


# ---------------------------------------------------------------- one value, several values


def _array(look: _Look, parts: list[Located]) -> Kind | BadSchema:
    for part in parts:
        if isinstance(part.value, dict) and "items" in part.value:
            element = _kind(look, Located(part.value["items"], f"{part.pointer}/items"))
            if isinstance(element, BadSchema):
                return element
            return Several(element) if isinstance(element, Single) else Composite()
    return Several(STRING)


def _single(word: str, parts: list[Located], pointer: str) -> Single | BadSchema:
    formats = [part.value.get("format") for part in parts if isinstance(part.value, dict)]
    match word:
        case "boolean":
            return Single("bool")
        case "integer":
            return _integer(parts, pointer)
        case "number":
            return Single("string", "a number, which the language has no type for, read as a string")
        case _ if "uuid" in formats:
            return Single("uuid")
        case _ if "date-time" in formats:
            return Single("string", "a date-time, which the language reads as a string")
        case _:
            return STRING


def _integer(parts: list[Located], pointer: str) -> Single | BadSchema:
    lowest, highest = _bounds(parts)
    if lowest is None and highest is None:
        return Single("int")
    least = INT_MIN if lowest is None else max(lowest, INT_MIN)
    most = INT_MAX if highest is None else min(highest, INT_MAX)
    if least > most:
        return BadSchema(pointer, f"no integer of 64 bits is between {lowest} and {highest}: correct the bounds")
    return Single("int") if (least, most) == (INT_MIN, INT_MAX) else Single(f"int {least}..{most}")


def _bounds(parts: list[Located]) -> tuple[int | None, int | None]:
    """The bounds that all parts leave, both included."""
    lows: list[int] = []
    highs: list[int] = []
    for part in parts:
        schema = part.value if isinstance(part.value, dict) else {}
        low, high = _number(schema.get("minimum")), _number(schema.get("maximum"))
        above, below = _number(schema.get("exclusiveMinimum")), _number(schema.get("exclusiveMaximum"))
        if low is not None:
            lows.append(math.floor(low) + 1 if schema.get("exclusiveMinimum") is True else math.ceil(low))
        if high is not None:
            highs.append(math.ceil(high) - 1 if schema.get("exclusiveMaximum") is True else math.floor(high))
        if above is not None:
            lows.append(math.floor(above) + 1)
        if below is not None:
            highs.append(math.ceil(below) - 1)
    return max(lows, default=None), min(highs, default=None)


def _number(value: Json) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
