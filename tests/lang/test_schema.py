"""Claims and parameters conform or are refused by name; malformed is never absent."""

from __future__ import annotations

import pytest

from policy_lang.ir import Value
from policy_lang.meaning.schema import (
    ABSENT,
    LONGEST_GIVEN,
    MAX_SET,
    Absent,
    Misfit,
    SchemaRefusal,
    conform_claims,
    conform_headers,
    conform_query,
    conform_resource,
    from_json,
    from_text,
    locate,
)
from policy_lang.request import MAX_PARAMETERS
from policy_lang.typesystem import INT_MAX, INT_MIN, EnumType, IntType, RoleType, Scalar, ScalarType, SetType, Type
from policy_lang.verdict import ActionCall, Caller, Json
from tests.lang.programs import STRINGS, action, claim, endpoint, subject_kind, token_kind

UUID = "6F1C7C1E-3f0e-4a57-9d5f-0d6c8c7c2b11"
MS_MAX_S = INT_MAX // 1000

# ---------------------------------------------------------------- JSON to values

SECRECY = EnumType("m.secrecy", ("public", "internal"), ordered=True)
ROLES = RoleType(("reader", "keeper"))
TYPE, RANGE, SIZE = Misfit("type"), Misfit("range"), Misfit("size")

JSON: dict[str, tuple[Type, Json, Value | Misfit]] = {
    "bool": (Scalar.BOOL, False, False),
    "0 is no bool": (Scalar.BOOL, 0, TYPE),
    "the word true is no bool": (Scalar.BOOL, "true", TYPE),
    "null is no bool": (Scalar.BOOL, None, TYPE),
    "int": (IntType(), 5, 5),
    "true is no int": (IntType(), True, TYPE),
    "1.0 is no int": (IntType(), 1.0, TYPE),
    "a numeral is no int": (IntType(), "1", TYPE),
    "the highest int": (IntType(), INT_MAX, INT_MAX),
    "an int past 64 bits": (IntType(), INT_MAX + 1, RANGE),
    "an int below 64 bits": (IntType(), INT_MIN - 1, RANGE),
    "the ends of a range": (IntType(1, 5), 5, 5),
    "above a range": (IntType(1, 5), 6, RANGE),
    "below a range": (IntType(1, 5), 0, RANGE),
    "an int with ten thousand digits": (IntType(), 10**10_000, RANGE),
    "string": (Scalar.STRING, "", ""),
    "a number is no string": (Scalar.STRING, 1, TYPE),
    "null is no string": (Scalar.STRING, None, TYPE),
    "a lone surrogate": (Scalar.STRING, "a\ud800", TYPE),
    "a lone surrogate among other letters": (Scalar.STRING, "\u00e9\ud800\u00e9", TYPE),
    "letters outside ASCII": (Scalar.STRING, "\u00e9\U0001f600", "\u00e9\U0001f600"),
    "a control in a string is data": (Scalar.STRING, "a\nb", "a\nb"),
    "uuid in lower case": (Scalar.UUID, UUID, UUID.lower()),
    "a uuid in braces": (Scalar.UUID, f"{{{UUID}}}", TYPE),
    "a uuid without dashes": (Scalar.UUID, UUID.replace("-", ""), TYPE),
    "a uuid and a line feed": (Scalar.UUID, f"{UUID}\n", TYPE),
    "a uuid of full-width digits": (Scalar.UUID, "\uff10" + UUID[1:], TYPE),
    "time in seconds": (Scalar.TIME, 1_767_225_600, 1_767_225_600_000),
    "time before 1970": (Scalar.TIME, -1, -1000),
    "time with a fraction": (Scalar.TIME, 1_767_225_600.123, 1_767_225_600_123),
    "a fraction that binary cannot hold": (Scalar.TIME, 1.001, 1001),
    "fractions of a millisecond are cut": (Scalar.TIME, 1.0019, 1001),
    "they are cut downwards before 1970 too": (Scalar.TIME, -0.0001, -1),
    "true is no time": (Scalar.TIME, True, TYPE),
    "a text is no time": (Scalar.TIME, "2026-01-01T00:00:00Z", TYPE),
    "not a number is no time": (Scalar.TIME, float("nan"), TYPE),
    "infinity is no time": (Scalar.TIME, float("inf"), TYPE),
    "the last time": (Scalar.TIME, MS_MAX_S, MS_MAX_S * 1000),
    "a time past 64 bits": (Scalar.TIME, MS_MAX_S + 1, RANGE),
    "a fraction past 64 bits": (Scalar.TIME, 1e300, RANGE),
    "a fraction a little past 64 bits": (Scalar.TIME, -1e17, RANGE),
    "duration in seconds": (Scalar.DURATION, 90, 90_000),
    "a duration with a fraction": (Scalar.DURATION, 1.5, TYPE),
    "a duration past 64 bits": (Scalar.DURATION, INT_MAX, RANGE),
    "true is no duration": (Scalar.DURATION, True, TYPE),
    "set": (STRINGS, ["a", "b", "a"], frozenset({"a", "b"})),
    "the empty set": (STRINGS, [], frozenset()),
    "a scalar is no set": (STRINGS, "a", TYPE),
    "null is no set": (STRINGS, None, TYPE),
    "an object is no set": (STRINGS, {"a": 1}, TYPE),
    "a set with a wrong member": (STRINGS, ["a", 1], TYPE),
    "a set with null": (STRINGS, ["a", None], TYPE),
    "a set of sets": (STRINGS, [["a"]], TYPE),
    "a set of ints with true": (SetType(IntType()), [1, True], TYPE),
    "a set with a member out of range": (SetType(IntType(1, 5)), [1, 9], RANGE),
    "the largest set": (STRINGS, ["a"] * MAX_SET, frozenset("a")),
    "a set too large": (STRINGS, ["a"] * (MAX_SET + 1), SIZE),
    "an object is no int": (IntType(), {}, TYPE),
    "an address": (Scalar.IP, "203.0.113.9", "203.0.113.9"),
    "an address in another notation": (Scalar.IP, "::FFFF:10.0.0.1", "10.0.0.1"),
    "a long IPv6 address": (Scalar.IP, "2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
    "an address with a zone": (Scalar.IP, "fe80::1%eth0", TYPE),
    "an address with a leading zero": (Scalar.IP, "010.0.0.1", TYPE),
    "a range is no address": (Scalar.IP, "10.0.0.0/8", TYPE),
    "a number is no address": (Scalar.IP, 167772161, TYPE),
    "a workload": (Scalar.WORKLOAD, "spiffe://prod/ns/a", "spiffe://prod/ns/a"),
    "no workload": (Scalar.WORKLOAD, "", TYPE),
    "a workload without a path": (Scalar.WORKLOAD, "spiffe://prod", TYPE),
    "a workload with an empty segment": (Scalar.WORKLOAD, "spiffe://prod//a", TYPE),
    "a workload with a dot segment": (Scalar.WORKLOAD, "spiffe://prod/../a", TYPE),
    "a workload with a trailing slash": (Scalar.WORKLOAD, "spiffe://prod/a/", TYPE),
    "a workload in upper case": (Scalar.WORKLOAD, "spiffe://PROD/a", TYPE),
    "a workload with a port": (Scalar.WORKLOAD, "spiffe://prod:1/a", TYPE),
    "a workload with a query": (Scalar.WORKLOAD, "spiffe://prod/a?b", TYPE),
    "a workload without end": (Scalar.WORKLOAD, "spiffe://prod/" + "a" * 2048, TYPE),
    "another scheme": (Scalar.WORKLOAD, "https://prod/a", TYPE),
    "a value of an enum": (SECRECY, "internal", "internal"),
    "no value of an enum": (SECRECY, "secret", TYPE),
    "a value of an enum in another case": (SECRECY, "Internal", TYPE),
    "a place in an enum": (SECRECY, 1, TYPE),
    "an enum without values": (EnumType("m.none", (), ordered=False), "", TYPE),
    "a set of an enum": (SetType(SECRECY), ["public", "internal"], frozenset({"public", "internal"})),
    "a role": (ROLES, "reader", "reader"),
    "no role": (ROLES, "writer", TYPE),
}


@pytest.mark.parametrize("case", JSON)
def test_from_json(case: str) -> None:
    declared, given, want = JSON[case]
    got = from_json(declared, given)
    assert got == want
    assert type(got) is type(want)


# ---------------------------------------------------------------- text to values

TEXT: dict[str, tuple[ScalarType, str, Value | Misfit]] = {
    "true": (Scalar.BOOL, "true", True),
    "false": (Scalar.BOOL, "false", False),
    "True is no bool": (Scalar.BOOL, "True", TYPE),
    "1 is no bool": (Scalar.BOOL, "1", TYPE),
    "empty is no bool": (Scalar.BOOL, "", TYPE),
    "int": (IntType(), "-17", -17),
    "zero": (IntType(), "0", 0),
    "minus zero": (IntType(), "-0", TYPE),
    "leading zero": (IntType(), "017", TYPE),
    "plus": (IntType(), "+1", TYPE),
    "space": (IntType(), " 1", TYPE),
    "line feed": (IntType(), "1\n", TYPE),
    "underscore": (IntType(), "1_000", TYPE),
    "Arabic digits": (IntType(), "\u0661", TYPE),
    "hexadecimal": (IntType(), "0x10", TYPE),
    "exponent": (IntType(), "1e3", TYPE),
    "fraction": (IntType(), "1.0", TYPE),
    "empty is no int": (IntType(), "", TYPE),
    "the lowest int": (IntType(), str(INT_MIN), INT_MIN),
    "past 64 bits": (IntType(), str(INT_MAX + 1), RANGE),
    "a million digits": (IntType(), "9" * 1_000_000, RANGE),
    "out of range": (IntType(1, 5), "6", RANGE),
    "string": (Scalar.STRING, "", ""),
    "a string of digits": (Scalar.STRING, "007", "007"),
    "uuid": (Scalar.UUID, UUID, UUID.lower()),
    "no uuid": (Scalar.UUID, "", TYPE),
    "time in seconds": (Scalar.TIME, "1767225600", 1_767_225_600_000),
    "a time past 64 bits": (Scalar.TIME, str(INT_MAX), RANGE),
    "duration in seconds": (Scalar.DURATION, "90", 90_000),
    "a duration as the policy writes it": (Scalar.DURATION, "1m", TYPE),
    "an address in a text": (Scalar.IP, "::ffff:a00:1", "10.0.0.1"),
    "no address in a text": (Scalar.IP, "localhost", TYPE),
    "a workload in a text": (Scalar.WORKLOAD, "spiffe://prod/a", "spiffe://prod/a"),
    "a value of an enum in a text": (SECRECY, "public", "public"),
    "no value of an enum in a text": (SECRECY, "", TYPE),
    "a role in a text": (ROLES, "keeper", "keeper"),
    "no role in a text": (ROLES, "reader ", TYPE),
}


@pytest.mark.parametrize("case", TEXT)
def test_from_text(case: str) -> None:
    declared, text, want = TEXT[case]
    got = from_text(declared, text)
    assert got == want
    assert type(got) is type(want)


# ---------------------------------------------------------------- claims

USER = token_kind(
    "user",
    "https://id.example",
    (
        claim("sub", Scalar.STRING),
        claim("age", IntType(0, 150), optional=True),
        claim("suspended", Scalar.BOOL, optional=True),
        claim("roles", STRINGS, "realm_access", "roles", optional=True),
        claim("tenant", Scalar.STRING, "https://claims.example/tenant", "id", optional=True),
    ),
)
IMPLICIT = {"aud": frozenset[str](), "scope": frozenset[str]()}

CLAIMS: dict[str, tuple[dict[str, Json], dict[str, Value] | SchemaRefusal]] = {
    "only what is required": ({"sub": "u"}, {"sub": "u", **IMPLICIT}),
    "undeclared claims are passed over": ({"sub": "u", "extra": [None, {}]}, {"sub": "u", **IMPLICIT}),
    "nested": (
        {"sub": "u", "realm_access": {"roles": ["a"], "more": 1}},
        {"sub": "u", "roles": frozenset("a"), **IMPLICIT},
    ),
    "a missing step is a missing claim": ({"sub": "u", "realm_access": {}}, {"sub": "u", **IMPLICIT}),
    "a step that is no object": ({"sub": "u", "realm_access": "x"}, SchemaRefusal("schema.claim_type", "roles")),
    "a step that is null": ({"sub": "u", "realm_access": None}, SchemaRefusal("schema.claim_type", "roles")),
    "a step that is a list": ({"sub": "u", "realm_access": ["roles"]}, SchemaRefusal("schema.claim_type", "roles")),
    "an object at the end of the way": (
        {"sub": "u", "realm_access": {"roles": {}}},
        SchemaRefusal("schema.claim_type", "roles"),
    ),
    "the dotted name is not the way": ({"sub": "u", "realm_access.roles": "x"}, {"sub": "u", **IMPLICIT}),
    "a required claim is missing": ({}, SchemaRefusal("schema.claim_missing", "sub")),
    "a required claim is null": ({"sub": None}, SchemaRefusal("schema.claim_type", "sub")),
    "an optional claim of a wrong type": (
        {"sub": "u", "suspended": "no"},
        SchemaRefusal("schema.claim_type", "suspended"),
    ),
    "an optional claim that is null": (
        {"sub": "u", "suspended": None},
        SchemaRefusal("schema.claim_type", "suspended"),
    ),
    "out of range": ({"sub": "u", "age": 151}, SchemaRefusal("schema.claim_range", "age")),
    "too large": (
        {"sub": "u", "realm_access": {"roles": ["a"] * (MAX_SET + 1)}},
        SchemaRefusal("schema.claim_size", "roles"),
    ),
    "the first in declared order is named": ({"sub": 1, "age": "x"}, SchemaRefusal("schema.claim_type", "sub")),
    "aud as a string": ({"sub": "u", "aud": "s t"}, {"sub": "u", "aud": frozenset({"s t"}), "scope": frozenset()}),
    "aud as a list": (
        {"sub": "u", "aud": ["s", "t"]},
        {"sub": "u", "aud": frozenset({"s", "t"}), "scope": frozenset()},
    ),
    "aud as a number": ({"sub": "u", "aud": 1}, SchemaRefusal("schema.claim_type", "aud")),
    "aud as null": ({"sub": "u", "aud": None}, SchemaRefusal("schema.claim_type", "aud")),
    "aud with a number": ({"sub": "u", "aud": ["s", 1]}, SchemaRefusal("schema.claim_type", "aud")),
    "scope as words": (
        {"sub": "u", "scope": "a  b "},
        {"sub": "u", "aud": frozenset(), "scope": frozenset({"a", "b"})},
    ),
    "scope as a list": ({"sub": "u", "scope": ["a b"]}, {"sub": "u", "aud": frozenset(), "scope": frozenset({"a b"})}),
    "scope as the empty string": ({"sub": "u", "scope": ""}, {"sub": "u", **IMPLICIT}),
    "scope split by spaces alone": (
        {"sub": "u", "scope": "a\tb"},
        {"sub": "u", "aud": frozenset(), "scope": frozenset({"a\tb"})},
    ),
    "scope as an object": ({"sub": "u", "scope": {}}, SchemaRefusal("schema.claim_type", "scope")),
    "scope with a lone surrogate": ({"sub": "u", "scope": "\udc80"}, SchemaRefusal("schema.claim_type", "scope")),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_claims(case: str) -> None:
    claims, want = CLAIMS[case]
    assert conform_claims(USER, Caller("user", claims)) == want


def test_a_claim_that_is_not_at_hand_is_passed_over() -> None:
    caller = Caller("user", {"suspended": "malformed"}, unread=frozenset({"sub", "suspended", "aud"}))
    assert conform_claims(USER, caller) == {"scope": frozenset()}


def test_locate_tells_missing_from_no_object() -> None:
    assert locate(("a", "b"), {"a": {"b": 1}}) == 1
    assert locate(("a", "b"), {"a": {"b": None}}) is None
    assert locate(("a", "b"), {"a": 1}) is None
    assert isinstance(locate(("a", "b"), {"a": {}}), Absent)
    assert isinstance(locate(("a", "b"), {}), Absent)
    assert isinstance(ABSENT, Absent)


# ---------------------------------------------------------------- queries

SEARCH = endpoint(
    "s.search",
    "/search",
    query=[
        claim("limit", IntType(1, 200), optional=True),
        claim("after", Scalar.STRING, optional=True),
        claim("deep", Scalar.BOOL, optional=True),
        claim("id", SetType(Scalar.UUID), optional=True),
        claim("n", SetType(IntType(0, 9)), optional=True),
    ],
)
NEEDY = endpoint("s.needy", "/needy", query=[claim("q", Scalar.STRING), claim("tag", STRINGS)])

QUERIES: dict[str, tuple[str | None, dict[str, Value] | SchemaRefusal]] = {
    "none": (None, {}),
    "empty": ("", {}),
    "typed": ("limit=20&after=x&deep=true", {"limit": 20, "after": "x", "deep": True}),
    "undeclared parameters are passed over, repeats too": ("x=1&x=2&limit=5", {"limit": 5}),
    "a set of one": (f"id={UUID}", {"id": frozenset({UUID.lower()})}),
    "a set collects": ("n=1&limit=5&n=2&n=1", {"n": frozenset({1, 2}), "limit": 5}),
    "a comma is no separator": ("n=1,2", SchemaRefusal("schema.query_value", "n")),
    "an empty string": ("after=", {"after": ""}),
    "a flag without a value": ("deep", SchemaRefusal("schema.query_value", "deep")),
    "no integer": ("limit=ten", SchemaRefusal("schema.query_value", "limit")),
    "out of range": ("limit=500", SchemaRefusal("schema.query_value", "limit")),
    "a leading space": ("limit=+5", SchemaRefusal("schema.query_value", "limit")),
    "twice": ("limit=5&limit=5", SchemaRefusal("schema.query_repeated", "limit")),
    "twice in another spelling": ("limit=5&%6Cimit=5", SchemaRefusal("schema.query_repeated", "limit")),
    "a wrong member of a set": ("n=1&n=10", SchemaRefusal("schema.query_value", "n")),
    "too many pieces": ("&".join(["n=1"] * (MAX_PARAMETERS + 1)), SchemaRefusal("schema.query_size")),
    "as many as there may be": ("&".join(["n=1"] * MAX_PARAMETERS), {"n": frozenset({1})}),
    "the name has its case": ("LIMIT=x", {}),
    "a semicolon": ("limit=5;after=x", SchemaRefusal("schema.query_semicolon")),
    "a control in an undeclared parameter": ("x=%00", SchemaRefusal("schema.query_control")),
    "bytes that are not UTF-8": ("after=%FF", SchemaRefusal("schema.query_encoding")),
}


@pytest.mark.parametrize("case", QUERIES)
def test_query(case: str) -> None:
    raw, want = QUERIES[case]
    assert conform_query(SEARCH, raw) == want


NEEDED: dict[str, tuple[str | None, dict[str, Value] | SchemaRefusal]] = {
    "both are there": ("q=&tag=a", {"q": "", "tag": frozenset("a")}),
    "no query": (None, SchemaRefusal("schema.query_missing", "q")),
    "a required set is missing": ("q=1", SchemaRefusal("schema.query_missing", "tag")),
}


@pytest.mark.parametrize("case", NEEDED)
def test_required_parameters(case: str) -> None:
    raw, want = NEEDED[case]
    assert conform_query(NEEDY, raw) == want


STRICT: dict[str, tuple[str | None, dict[str, Value] | SchemaRefusal]] = {
    "declared ones": ("limit=5&after=x", {"limit": 5, "after": "x"}),
    "no query": (None, {}),
    "an undeclared one": ("limit=5&x-1.Y_z=1", SchemaRefusal("schema.query_undeclared", "x-1.Y_z")),
    "the first of two": ("b=1&a=2", SchemaRefusal("schema.query_undeclared", "b")),
    "a declared one that does not fit comes first": ("x=1&limit=x", SchemaRefusal("schema.query_value", "limit")),
    "a name that is none is not told": ("a%20b=1", SchemaRefusal("schema.query_undeclared")),
    "a name too long is not told": (f"{'a' * 65}=1", SchemaRefusal("schema.query_undeclared")),
    "the empty name": ("=1", SchemaRefusal("schema.query_undeclared")),
    "a case apart": ("LIMIT=5", SchemaRefusal("schema.query_undeclared", "LIMIT")),
}


@pytest.mark.parametrize("case", STRICT)
def test_a_strict_query(case: str) -> None:
    raw, want = STRICT[case]
    assert conform_query(SEARCH, raw, strict=True) == want


# ---------------------------------------------------------------- headers

HEADED = endpoint(
    "s.headed",
    "/headed",
    headers=[
        claim("device", Scalar.STRING, "x-device-id", optional=True),
        claim("version", IntType(1, 9), "api-version"),
        claim("tags", SetType(Scalar.STRING), "x-tags", optional=True),
        claim("written", Scalar.STRING, "x-flags", optional=True),
        claim("flags", SetType(Scalar.STRING), "x-flags", optional=True),
    ],
)

HEADERS: dict[str, tuple[dict[str, tuple[str, ...]], dict[str, Value] | SchemaRefusal]] = {
    "required alone": ({"api-version": ("2",)}, {"version": 2}),
    "others are passed over": ({"api-version": ("2",), "x-other": ("a", "b")}, {"version": 2}),
    "by the name outside, not the one inside": ({"api-version": ("2",), "device": ("d",)}, {"version": 2}),
    "optional": ({"api-version": ("2",), "x-device-id": ("d 1",)}, {"version": 2, "device": "d 1"}),
    "an empty one is there": ({"api-version": ("2",), "x-device-id": ("",)}, {"version": 2, "device": ""}),
    "missing": ({}, SchemaRefusal("schema.header_missing", "version")),
    "no value at all": ({"api-version": ()}, SchemaRefusal("schema.header_missing", "version")),
    "twice": ({"api-version": ("2", "2")}, SchemaRefusal("schema.header_repeated", "version")),
    "an optional one twice": (
        {"api-version": ("2",), "x-device-id": ("a", "a")},
        SchemaRefusal("schema.header_repeated", "device"),
    ),
    "out of range": ({"api-version": ("10",)}, SchemaRefusal("schema.header_value", "version")),
    "no integer": ({"api-version": ("v2",)}, SchemaRefusal("schema.header_value", "version")),
    "bytes that were not UTF-8": (
        {"api-version": ("2",), "x-device-id": ("a\udcff",)},
        SchemaRefusal("schema.header_value", "device"),
    ),
    "one header read as a text and as a set": (
        {"api-version": ("2",), "x-flags": ("a, b",)},
        {"version": 2, "written": "a, b", "flags": frozenset("ab")},
    ),
    "without any member, which is a text": (
        {"api-version": ("2",), "x-flags": (",",)},
        {"version": 2, "written": ",", "flags": frozenset()},
    ),
    "a set on several lines and on one": (
        {"api-version": ("2",), "x-tags": ("a, b", "c,,\t")},
        {"version": 2, "tags": frozenset("abc")},
    ),
    "an empty set": ({"api-version": ("2",), "x-tags": ("",)}, {"version": 2, "tags": frozenset()}),
    "a set too large": (
        {"api-version": ("2",), "x-tags": (",".join("a" * (MAX_SET + 1)),)},
        SchemaRefusal("schema.header_value", "tags"),
    ),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers(case: str) -> None:
    headers, want = HEADERS[case]
    assert conform_headers(HEADED, headers) == want


# ---------------------------------------------------------------- subjects and resources

EMPLOYEE = subject_kind(
    "employee", "employee", [claim("department", Scalar.STRING, optional=True), claim("level", IntType(1, 5))]
)
SUBJECTS: dict[str, tuple[dict[str, Json], dict[str, Value] | SchemaRefusal]] = {
    "conforming": (
        {"id": "e1", "level": 2, "department": "legal", "more": {}},
        {"id": "e1", "level": 2, "department": "legal"},
    ),
    "no audience and no scope": ({"id": "e1", "level": 2, "aud": ["s"]}, {"id": "e1", "level": 2}),
    "without an id": ({"level": 2}, SchemaRefusal("schema.subject_missing", "id")),
    "an id that is a number": ({"id": 1, "level": 2}, SchemaRefusal("schema.subject_type", "id")),
    "a missing property": ({"id": "e1"}, SchemaRefusal("schema.subject_missing", "level")),
    "a property out of range": ({"id": "e1", "level": 6}, SchemaRefusal("schema.subject_range", "level")),
    "an optional property that is null": (
        {"id": "e1", "level": 2, "department": None},
        SchemaRefusal("schema.subject_type", "department"),
    ),
}


@pytest.mark.parametrize("case", SUBJECTS)
def test_subjects(case: str) -> None:
    properties, want = SUBJECTS[case]
    assert conform_claims(EMPLOYEE, Caller("employee", properties)) == want


READ = action(
    "d.read",
    "read",
    "document",
    [claim("owner", Scalar.STRING), claim("tags", STRINGS, "meta", "tags", optional=True)],
)
RESOURCES: dict[str, tuple[ActionCall, dict[str, Value] | SchemaRefusal]] = {
    "conforming": (
        ActionCall("read", "document", "d1", {"owner": "o", "meta": {"tags": ["a"]}, "more": 1}),
        {"id": "d1", "owner": "o", "tags": frozenset("a")},
    ),
    "its id is the call's, not a property": (
        ActionCall("read", "document", "d1", {"owner": "o", "id": "d2"}),
        {"id": "d1", "owner": "o"},
    ),
    "a missing property": (ActionCall("read", "document", "d1"), SchemaRefusal("schema.resource_missing", "owner")),
    "a property of another type": (
        ActionCall("read", "document", "d1", {"owner": 5}),
        SchemaRefusal("schema.resource_type", "owner"),
    ),
    "a set too large": (
        ActionCall("read", "document", "d1", {"owner": "o", "meta": {"tags": ["a"] * (MAX_SET + 1)}}),
        SchemaRefusal("schema.resource_size", "tags"),
    ),
    "an id that is no text": (
        ActionCall("read", "document", "\ud800", {"owner": "o"}),
        SchemaRefusal("schema.resource_type", "id"),
    ),
}


@pytest.mark.parametrize("case", RESOURCES)
def test_resources(case: str) -> None:
    call, want = RESOURCES[case]
    assert conform_resource(READ, call) == want


NAMESAKES = [claim(name, STRINGS, optional=True) for name in ("aud", "scope")]
"""Properties that look in all as the implicit claims of a token do."""

GIVEN_NAMESAKES: dict[str, tuple[dict[str, Json], dict[str, Value] | tuple[str, str]]] = {
    "absent ones are absent, not empty": ({}, {}),
    "lists are sets": ({"aud": ["a"], "scope": []}, {"aud": frozenset("a"), "scope": frozenset()}),
    "a text is no list of words": ({"scope": "read write"}, ("type", "scope")),
    "a text is no list of one": ({"aud": "a"}, ("type", "aud")),
}


@pytest.mark.parametrize("case", GIVEN_NAMESAKES)
def test_a_property_that_is_named_as_a_claim_of_tokens_is_a_property(case: str) -> None:
    given, want = GIVEN_NAMESAKES[case]
    subject = conform_claims(subject_kind("employee", "employee", NAMESAKES), Caller("employee", {"id": "e1", **given}))
    resource = conform_resource(action("d.read", "read", "document", NAMESAKES), ActionCall("read", "doc", "d1", given))
    if isinstance(want, dict):
        assert (subject, resource) == ({"id": "e1", **want}, {"id": "d1", **want})
    else:
        fault, name = want
        refusals = SchemaRefusal(f"schema.subject_{fault}", name), SchemaRefusal(f"schema.resource_{fault}", name)
        assert (subject, resource) == refusals


# ---------------------------------------------------------------- what is too long for a record

SIZED: dict[str, tuple[tuple[str, ...], bool]] = {
    "a header of the greatest length": (("x" * LONGEST_GIVEN,), True),
    "a header that is longer": (("x" * (LONGEST_GIVEN + 1),), False),
    "a list of the greatest length in two lines": (("x" * 4_096, "y" * 4_096), True),
    "a list that is longer in two lines": (("x" * 4_096, "y" * 4_097), False),
    "a list of commas that is longer": (("," * (LONGEST_GIVEN + 1),), False),
}


@pytest.mark.parametrize("sentence", SIZED)
def test_a_declared_header_has_a_greatest_length(sentence: str) -> None:
    texts, passes = SIZED[sentence]
    declared = endpoint("s.a", "/a", headers=(claim("tags", STRINGS),))
    found = conform_headers(declared, {"tags": texts})
    assert (found == SchemaRefusal("schema.header_value", "tags")) is not passes


def test_a_header_that_nobody_declared_may_be_of_any_length() -> None:
    assert conform_headers(endpoint("s.a", "/a"), {"cookie": ("x" * 100_000,)}) == {}


PROPERTIES: dict[str, tuple[Type, Json, bool]] = {
    "a property of the greatest length": (Scalar.STRING, "x" * LONGEST_GIVEN, True),
    "a property that is longer": (Scalar.STRING, "x" * (LONGEST_GIVEN + 1), False),
    "a set whose members are as long together": (STRINGS, ["x" * 4_096, "y" * 4_096], True),
    "a set whose members are longer together": (STRINGS, ["x" * 4_096, "y" * 4_097], False),
    "a set of many integers": (SetType(IntType()), list(range(5_000)), True),
}


@pytest.mark.parametrize("sentence", PROPERTIES)
def test_a_property_of_a_resource_has_a_greatest_length(sentence: str) -> None:
    declared, given, passes = PROPERTIES[sentence]
    read = action("s.a", "read", "d", (claim("p", declared),))
    found = conform_resource(read, ActionCall("read", "d", "1", {"p": given}))
    assert (found == SchemaRefusal("schema.resource_size", "p")) is not passes
