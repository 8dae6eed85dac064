"""Claims and query parameters as typed values: conforming, or refused by name. Malformed is never taken for absent.

In come the JSON of a verified token or the raw query of a path, out go run-time values by name (an absent optional one
has no entry), or a `SchemaRefusal` that names the field and never its value.

    schema.kind             the caller's kind is not one the policy declares
    schema.claim_missing    a required claim is not there
    schema.claim_type       a claim, also an optional one, is of another type; a step on the way to it is no object
    schema.claim_range      an integer, a time or a duration outside its range or outside 64 bits
    schema.claim_size       a set of more than `MAX_SET` members
    schema.query_encoding, schema.query_control, schema.query_semicolon
                            the query cannot be read (policy_lang/request.py)
    schema.query_missing    a required parameter is not there
    schema.query_repeated   a parameter declared scalar stands twice, in whatever spelling
    schema.query_value      a parameter is not of its type or range
    schema.query_size       more pieces than `request.MAX_PARAMETERS`

JSON to value: bool, string and uuid as they are (uuid in lower case); int only a JSON integer, so neither `true` nor
`1.0`; time an integer or finite number of Unix seconds, rounded down to milliseconds; duration an integer of seconds;
a set only a list, but for `aud` (a string or a list) and `scope` (a string with spaces, or a list).
Text to value (query parameters, CSV facts): `true` or `false`; decimal integers without sign `+` or leading zeros; time
and duration as such integers of seconds; strings as they are.

Source: language.md 4.1, 5.1, points K and L; contracts.md "Which service…", "Requests"; RFC 7519 4.1.3, RFC 8693 4.2.

Decision (2026-11-21): an absent `aud` or `scope` is the empty set. Both are implicit and not optional, so a policy may
read them without a proof of presence.
Decision (2026-11-21): null is a wrong type, never an absent claim.
Decision (2026-11-21): a fraction of a second is taken at its shortest decimal spelling, so that 1.001 is 1001 ms, as
whoever wrote the token saw it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from policy_lang.ir import Endpoint, FieldSchema, Kind, ScalarValue, Value
from policy_lang.request import QueryRefusal, parse_query
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, Scalar, ScalarType, SetType, Type
from policy_lang.verdict import Caller, Json

MAX_SET = 10_000
"""Members of one set in a token or a query; a bound on the work of a guard."""


@dataclass(frozen=True, slots=True)
class SchemaRefusal:
    """`reason` is one of the table above, `subject` the claim or parameter, "" where the whole query is meant."""

    reason: str
    subject: str = ""


class Absent:
    """The type of `ABSENT`."""

    __slots__ = ()


ABSENT = Absent()
"""Nothing stands where a field's value would."""

Fault = Literal["type", "range", "size"]


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that is not of its type, and how."""

    fault: Fault


IMPLICIT_CLAIMS = tuple(
    FieldSchema(name, SetType(Scalar.STRING), optional=True, private=False, source=(name,)) for name in ("aud", "scope")
)
"""What every token kind has beside its declared claims."""

# ---------------------------------------------------------------- claims


def conform_claims(kind: Kind, caller: Caller) -> Mapping[str, Value] | SchemaRefusal:
    """The declared claims of a caller of this kind, and `aud` and `scope`, as values by name.

    Names in `caller.unread` are passed over. The first field that does not conform is named, in declared order.
    """
    values: dict[str, Value] = {}
    for field in (*kind.claims, *IMPLICIT_CLAIMS):
        if field.name in caller.unread:
            continue
        value = conform_claim(field, caller.claims)
        if isinstance(value, SchemaRefusal):
            return value
        if not isinstance(value, Absent):
            values[field.name] = value
    return values


def conform_claim(field: FieldSchema, claims: Mapping[str, Json]) -> Value | Absent | SchemaRefusal:
    """One claim as a value; ABSENT only of an optional one that is not implicit."""
    implicit = field in IMPLICIT_CLAIMS
    found = locate(field.source, claims)
    if isinstance(found, Absent):
        if implicit:
            return frozenset()
        return ABSENT if field.optional else SchemaRefusal("schema.claim_missing", field.name)
    value = from_json(field.type, _unfolded(field.name, found)) if implicit else from_json(field.type, found)
    return SchemaRefusal(f"schema.claim_{value.fault}", field.name) if isinstance(value, Misfit) else value


def locate(source: tuple[str, ...], claims: Mapping[str, Json]) -> Json | Absent:
    """What stands at the end of a way, ABSENT where a step is missing, None where a step on the way is no object."""
    at: Json | Mapping[str, Json] = claims
    for step in source:
        if not isinstance(at, Mapping):
            return None
        if step not in at:
            return ABSENT
        at = at[step]
    return dict(at) if isinstance(at, Mapping) else at


def _unfolded(name: str, found: Json) -> Json:
    """The list that a string stands for in `aud` and `scope`."""
    if not isinstance(found, str):
        return found
    return [found] if name == "aud" else [word for word in found.split(" ") if word]


# ---------------------------------------------------------------- query parameters


def conform_query(endpoint: Endpoint, raw: str | None) -> Mapping[str, Value] | SchemaRefusal:
    """The declared parameters of a query as values by name; parameters that are not declared are passed over."""
    pairs = parse_query(raw)
    if isinstance(pairs, QueryRefusal):
        return SchemaRefusal(pairs.reason)
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    values: dict[str, Value] = {}
    for field in endpoint.query:
        texts = given.get(field.source[0])
        if texts is None:
            if not field.optional:
                return SchemaRefusal("schema.query_missing", field.name)
            continue
        value = _parameter(field.type, texts)
        if isinstance(value, str):
            return SchemaRefusal(value, field.name)
        values[field.name] = value.value
    return values


@dataclass(frozen=True, slots=True)
class _Read:
    value: Value


def _parameter(declared: Type, texts: list[str]) -> _Read | str:
    """The value of one declared parameter, or the reason it has none; `texts` holds at least one."""
    if not isinstance(declared, SetType):
        if len(texts) > 1:
            return "schema.query_repeated"
        value = from_text(declared, texts[0])
        return "schema.query_value" if isinstance(value, Misfit) else _Read(value)
    members: list[ScalarValue] = []
    for text in texts:
        value = from_text(declared.element, text)
        if isinstance(value, Misfit):
            return "schema.query_value"
        members.append(value)
    return _Read(frozenset(members))


# ---------------------------------------------------------------- JSON and text to values


def from_json(declared: Type, given: Json) -> Value | Misfit:
    """A JSON value as a value of the type."""
    if not isinstance(declared, SetType):
        return scalar_from_json(declared, given)
    if not isinstance(given, list):
        return Misfit("type")
    if len(given) > MAX_SET:
        return Misfit("size")
    members: list[ScalarValue] = []
    for each in given:
        value = scalar_from_json(declared.element, each)
        if isinstance(value, Misfit):
            return value
        members.append(value)
    return frozenset(members)


def scalar_from_json(declared: ScalarType, given: Json) -> ScalarValue | Misfit:
    """A JSON value as a value of a scalar type."""
    match declared:
        case Scalar.BOOL:
            return given if isinstance(given, bool) else Misfit("type")
        case Scalar.STRING | Scalar.UUID:
            return _string(declared, given) if isinstance(given, str) else Misfit("type")
        case Scalar.TIME:
            return _instant(given)
        case IntType() | Scalar.DURATION:
            if isinstance(given, bool) or not isinstance(given, int):
                return Misfit("type")
            return _bounded(declared, given)


def from_text(declared: ScalarType, text: str) -> ScalarValue | Misfit:
    """A text as a value of a scalar type."""
    match declared:
        case Scalar.BOOL:
            return {"true": True, "false": False}.get(text, Misfit("type"))
        case Scalar.STRING | Scalar.UUID:
            return _string(declared, text)
        case IntType() | Scalar.TIME | Scalar.DURATION:
            if not _DECIMAL.fullmatch(text):
                return Misfit("type")
            # Longer digits are outside 64 bits for certain, and int() of very long ones is slow, then refused.
            return _bounded(declared, int(text)) if len(text) <= _LONGEST_DECIMAL else Misfit("range")


_DECIMAL = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_LONGEST_DECIMAL = len(str(INT_MIN))
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _string(declared: ScalarType, given: str) -> ScalarValue | Misfit:
    if declared is Scalar.UUID:
        return given.lower() if _UUID.fullmatch(given) else Misfit("type")
    return Misfit("type") if _SURROGATE.search(given) else given


def _bounded(declared: ScalarType, number: int) -> ScalarValue | Misfit:
    """An integer in the range of its type; seconds of a time or a duration become milliseconds."""
    value, lowest, highest = number, INT_MIN, INT_MAX
    if isinstance(declared, IntType):
        lowest = INT_MIN if declared.lowest is None else declared.lowest
        highest = INT_MAX if declared.highest is None else declared.highest
    else:
        value = number * 1000
    return value if lowest <= value <= highest else Misfit("range")


def _instant(given: Json) -> ScalarValue | Misfit:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return Misfit("type")
    if isinstance(given, int):
        return _bounded(Scalar.TIME, given)
    if not math.isfinite(given):
        return Misfit("type")
    if abs(given) > INT_MAX:
        return Misfit("range")
    value = math.floor(Decimal(repr(given)) * 1000)
    return value if INT_MIN <= value <= INT_MAX else Misfit("range")
