"""Claims, properties, parameters and headers as typed values: conforming, or refused by name. Malformed is never taken
for absent.

In come the JSON of a verified token, of an asserted subject or of a resource, the raw query of a path, the headers of a
call; out go run-time values by name (an absent optional one has no entry), or a `SchemaRefusal` that names the field
and never its value.

    schema.kind             the caller's kind is not one the policy declares
    schema.claim_missing    a required claim is not there
    schema.claim_type       a claim, also an optional one, is of another type; a step on the way to it is no object
    schema.claim_range      an integer, a time or a duration outside its range or outside 64 bits
    schema.claim_size       a set of more than `MAX_SET` members
    schema.subject_*        the same four of a property of an asserted subject, or its `id`
    schema.resource_*       the same four of a property of the resource, or its `id`; `_size` also of one of more than
                            `LONGEST_GIVEN` characters
    schema.query_encoding, schema.query_control, schema.query_semicolon
                            the query cannot be read (policy_lang/request.py)
    schema.query_missing    a required parameter is not there
    schema.query_repeated   a parameter declared scalar stands twice, in whatever spelling
    schema.query_value      a parameter is not of its type or range
    schema.query_size       more pieces than `request.MAX_PARAMETERS`
    schema.query_undeclared a parameter is not declared, and the service says `query strict`
    schema.header_missing   a required header is not there
    schema.header_repeated  a header declared scalar stands twice
    schema.header_value     a header is not of its type or range, or has more than `MAX_SET` members or, in all its
                            values, more than `LONGEST_GIVEN` characters

JSON to value: bool, string, uuid, the values of an enum and SPIFFE ids as they are (uuid in lower case); an address in
its canonical text; int only a JSON integer, so neither `true` nor `1.0`; time an integer or finite number of Unix
seconds, rounded down to milliseconds; duration an integer of seconds; a set only a list, but for `aud` (a string or a
list) and `scope` (a string with spaces, or a list).
Text to value (query parameters, headers, CSV facts): `true` or `false`; decimal integers without sign `+` or leading
zeros; time and duration as such integers of seconds; all else as in JSON.

Source: language.md 4.1, 5.1, points B, K and L; contracts.md "Which service…", "Requests"; RFC 7519 4.1.3;
RFC 8693 4.2; RFC 9110 5.6.1 (lists in headers); the SPIFFE ID standard, 2.

Decision (2026-11-21): an absent `aud` or `scope` is the empty set. Both are implicit and not optional, so a policy may
read them without a proof of presence.
Decision (2026-11-21): null is a wrong type, never an absent claim.
Decision (2026-11-21): a fraction of a second is taken at its shortest decimal spelling, so that 1.001 is 1001 ms, as
whoever wrote the token saw it.
Decision (2026-11-21): a header that is declared as a set has its members between commas, blanks around them and empty
ones left out: whether it came as several lines or as one is a gateway's choice.
Decision (2026-11-21): an undeclared parameter is named in its refusal where it reads as a name; else it could carry
anything into the clear part of a record.
Decision (2026-11-21): what a header or a property of a resource may hold is bounded (that of a query is by its path,
that of a token by the token): a record must hold it, so that the call can be decided again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from policy_lang.addresses import canonical
from policy_lang.ir import Endpoint, FieldSchema, Kind, ScalarValue, Value
from policy_lang.request import QueryRefusal, parse_query
from policy_lang.spiffe import is_workload
from policy_lang.typesystem import (
    INT_MAX,
    INT_MIN,
    EnumType,
    IntType,
    RoleType,
    Scalar,
    ScalarType,
    SetType,
    Type,
)
from policy_lang.verdict import ActionCall, Caller, Json

MAX_SET = 10_000
"""Members of one set in a token, a query or a header; a bound on the work of a guard."""

LONGEST_GIVEN = 8_192
"""Characters of a declared header, all its values together, and of a property of a resource, all its members together.
"""


class SchemaRefusal(Struct, frozen=True):
    """`reason` is one of the table above, `subject` the claim or parameter, "" where the whole query is meant."""

    reason: str
    subject: str = ""


class Absent:
    """The type of `ABSENT`."""

    __slots__ = ()


ABSENT = Absent()
"""Nothing stands where a field's value would."""

Fault = Literal["type", "range", "size"]


class Misfit(Struct, frozen=True):
    """A value that is not of its type, and how."""

    fault: Fault


AUDIENCE, SCOPE = (
    FieldSchema(name, SetType(Scalar.STRING), optional=True, private=False, source=(name,)) for name in ("aud", "scope")
)
IMPLICIT_CLAIMS = (AUDIENCE, SCOPE)
"""What every token kind has beside its declared claims."""

IDENTITY = FieldSchema("id", Scalar.STRING, optional=False, private=False, source=("id",))
"""What every subject has beside its declared properties."""

Owner = Literal["claim", "subject", "resource"]
"""Whose field a refusal is about, as its reason says it."""

# ---------------------------------------------------------------- claims and properties


def fields_of(kind: Kind) -> tuple[FieldSchema, ...]:
    """The declared claims or properties of a kind, and the implicit ones."""
    return (*kind.claims, *IMPLICIT_CLAIMS) if kind.form == "token" else (IDENTITY, *kind.claims)


def root_of(kind: Kind | None) -> Literal["token", "subject"]:
    """Under which root a policy reads the fields of a caller; of nobody it reads none."""
    return "subject" if kind is not None and kind.form == "subject" else "token"


def owner_of(kind: Kind) -> Owner:
    """How a refusal names a field of the kind."""
    return "claim" if kind.form == "token" else "subject"


def conform_claims(kind: Kind, caller: Caller) -> Mapping[str, Value] | SchemaRefusal:
    """The fields of a caller of this kind as values by name.

    Names in `caller.unread` are passed over. The first field that does not conform is named, in declared order.
    """
    values: dict[str, Value] = {}
    owner = owner_of(kind)
    for field in fields_of(kind):
        if field.name in caller.unread:
            continue
        value = conform_claim(field, caller.claims, owner)
        if isinstance(value, SchemaRefusal):
            return value
        if not isinstance(value, Absent):
            values[field.name] = value
    return values


def conform_claim(
    field: FieldSchema, claims: Mapping[str, Json], owner: Owner = "claim"
) -> Value | Absent | SchemaRefusal:
    """One claim or property as a value; ABSENT only of an optional one that is not implicit."""
    # By identity: a subject or a resource may declare a property that is equal to one of them.
    implicit = field is AUDIENCE or field is SCOPE
    found = locate(field.source, claims)
    if isinstance(found, Absent):
        if implicit:
            return frozenset()
        return ABSENT if field.optional else SchemaRefusal(f"schema.{owner}_missing", field.name)
    value = from_json(field.type, _unfolded(field.name, found)) if implicit else from_json(field.type, found)
    return SchemaRefusal(f"schema.{owner}_{value.fault}", field.name) if isinstance(value, Misfit) else value


def conform_resource(endpoint: Endpoint, call: ActionCall) -> Mapping[str, Value] | SchemaRefusal:
    """The declared properties of the resource, and its `id`, as values by name; others are passed over."""
    values: dict[str, Value] = {}
    for field in (IDENTITY, *endpoint.properties):
        given: Mapping[str, Json] = {"id": call.id} if field is IDENTITY else call.properties
        value = conform_claim(field, given, "resource")
        if isinstance(value, SchemaRefusal):
            return value
        if not isinstance(value, Absent):
            if _length(value) > LONGEST_GIVEN:
                return SchemaRefusal("schema.resource_size", field.name)
            values[field.name] = value
    return values


def _length(value: Value) -> int:
    """The characters of a value, of a set those of all its members."""
    match value:
        case str():
            return len(value)
        case frozenset():
            return sum(len(each) for each in value if isinstance(each, str))
        case _:
            return 0


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


# ---------------------------------------------------------------- query parameters and headers


def conform_query(endpoint: Endpoint, raw: str | None, *, strict: bool = False) -> Mapping[str, Value] | SchemaRefusal:
    """The declared parameters of a query as values by name. Others are passed over, or refused where `strict`."""
    if not raw and not endpoint.query:
        return _NOTHING
    pairs = parse_query(raw)
    if isinstance(pairs, QueryRefusal):
        return SchemaRefusal(pairs.reason)
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    texts = {field.name: given[field.source[0]] for field in endpoint.query if field.source[0] in given}
    values = _conform_texts(endpoint.query, texts, "query")
    if isinstance(values, SchemaRefusal) or not strict:
        return values
    declared = {field.source[0] for field in endpoint.query}
    undeclared = next((name for name in given if name not in declared), None)
    if undeclared is None:
        return values
    return SchemaRefusal("schema.query_undeclared", undeclared if _NAME.fullmatch(undeclared) else "")


def conform_headers(endpoint: Endpoint, headers: Mapping[str, Sequence[str]]) -> Mapping[str, Value] | SchemaRefusal:
    """The declared headers of a call as values by name; others are passed over."""
    if not endpoint.headers:
        return _NOTHING
    given: dict[str, Sequence[str]] = {}
    for field in endpoint.headers:
        texts = headers.get(field.source[0])
        if texts:
            if sum(map(len, texts)) > LONGEST_GIVEN:
                return SchemaRefusal("schema.header_value", field.name)
            given[field.name] = _members(texts) if isinstance(field.type, SetType) else texts
    return _conform_texts(endpoint.headers, given, "header")


_NOTHING: Mapping[str, Value] = {}


def _members(texts: Sequence[str]) -> list[str]:
    """The members of a header that holds a list."""
    return [member for text in texts for each in text.split(",") if (member := each.strip(" \t"))]


def _conform_texts(
    fields: Sequence[FieldSchema], given: Mapping[str, Sequence[str]], owner: Literal["query", "header"]
) -> Mapping[str, Value] | SchemaRefusal:
    """Fields from their texts, in declared order: by name, because two may have one outer name."""
    values: dict[str, Value] = {}
    for field in fields:
        texts = given.get(field.name)
        if texts is None:
            if not field.optional:
                return SchemaRefusal(f"schema.{owner}_missing", field.name)
            continue
        value = _from_texts(field.type, texts)
        if isinstance(value, str):
            return SchemaRefusal(f"schema.{owner}_{value}", field.name)
        values[field.name] = value.value
    return values


class _Read(Struct, frozen=True):
    value: Value


def _from_texts(declared: Type, texts: Sequence[str]) -> _Read | Literal["repeated", "value"]:
    """The value of one declared field, or why it has none; `texts` of a scalar holds at least one."""
    if not isinstance(declared, SetType):
        if len(texts) > 1:
            return "repeated"
        value = from_text(declared, texts[0])
        return "value" if isinstance(value, Misfit) else _Read(value)
    if len(texts) > MAX_SET:
        return "value"
    members: list[ScalarValue] = []
    for text in texts:
        value = from_text(declared.element, text)
        if isinstance(value, Misfit):
            return "value"
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
        case Scalar.STRING | Scalar.UUID | Scalar.IP | Scalar.WORKLOAD | EnumType() | RoleType():
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
        case Scalar.STRING | Scalar.UUID | Scalar.IP | Scalar.WORKLOAD | EnumType() | RoleType():
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
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)


def _string(declared: Type, given: str) -> ScalarValue | Misfit:
    match declared:
        case Scalar.UUID:
            return given.lower() if _UUID.fullmatch(given) else Misfit("type")
        case Scalar.IP:
            address = canonical(given)
            return Misfit("type") if address is None else address
        case Scalar.WORKLOAD:
            return given if is_workload(given) else Misfit("type")
        case EnumType(_, known, _) | RoleType(known):
            return given if given in known else Misfit("type")
        case _:
            # ASCII has no surrogates, and is known at once however long it is.
            return Misfit("type") if not given.isascii() and _SURROGATE.search(given) else given


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
