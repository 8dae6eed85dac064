"""The written form of a request: what it reads, and that a slip is never a default."""

from __future__ import annotations

import pytest

from pdp.errors import ConfigError
from pdp.model import Json, Principal
from pdp.request_form import instant_us, read_request


def test_every_member_arrives() -> None:
    written = read_request(
        {
            "service": "ledger",
            "method": "GET",
            "path": "/a",
            "host": "ledger.example",
            "headers": {"X-Request-Id": "r1"},
            "ip": "203.0.113.7",
            "peer": "spiffe://prod/ns/a",
            "tls": True,
            "gateway": "edge",
            "now": "2026-03-01T12:00:00Z",
            "principal": {"kind": "token", "name": "user", "claims": {"sub": "u1"}},
            "facts": {"m.r": [["a", 1]]},
            "signals": {"risk": 5},
        },
        "here",
    )
    inquiry = written.inquiry
    assert (inquiry.service, inquiry.method, inquiry.path, inquiry.host) == ("ledger", "GET", "/a", "ledger.example")
    assert inquiry.headers == (("x-request-id", "r1"),)
    assert inquiry.principal == Principal("token", "user", {"sub": "u1"})
    assert (inquiry.peer, inquiry.tls, inquiry.gateway) == ("spiffe://prod/ns/a", True, "edge")
    assert inquiry.signals == {"risk": 5}
    assert inquiry.facts == {"m.r": frozenset({("a", 1)})}
    assert written.now_us == 1_772_366_400_000_000


def test_what_is_missing_stays_missing() -> None:
    inquiry = read_request({}, "here").inquiry
    assert (inquiry.service, inquiry.method, inquiry.path, inquiry.host, inquiry.principal) == (None,) * 5


def test_an_authorization_becomes_a_header() -> None:
    assert read_request({"authorization": "Bearer x"}, "here").inquiry.headers == (("authorization", "Bearer x"),)


def test_an_action_on_a_resource_by_a_subject_is_a_request_too() -> None:
    principal: Json = {"kind": "subject", "name": "employee", "claims": {"id": "e1"}}
    resource: Json = {"type": "document", "id": "d1", "properties": {"department": "legal"}}
    inquiry = read_request({"action": "read", "resource": resource, "principal": principal}, "here").inquiry
    assert (inquiry.action, inquiry.resource, inquiry.path) == ("read", resource, None)
    assert inquiry.principal == Principal("subject", "employee", {"id": "e1"})


WRONG: dict[str, Json] = {
    "not a mapping": ["GET"],
    "an unknown member": {"metod": "GET"},
    "two ways to say who": {"authorization": "Bearer x", "principal": {"kind": "anonymous"}},
    "a number for a method": {"method": 1},
    "an action beside a path": {"action": "read", "path": "/a"},
    "an action beside a host": {"action": "read", "host": "a.example"},
    "an encryption that is a word": {"tls": "yes"},
    "signals that are a list": {"signals": ["risk"]},
    "a resource that is a text": {"action": "read", "resource": "document"},
    "headers that are numbers": {"headers": {"a": 1}},
    "a principal without a name": {"principal": {"kind": "token"}},
    "an anonymous with claims": {"principal": {"kind": "anonymous", "claims": {"sub": "x"}}},
    "an unknown kind of principal": {"principal": {"kind": "root", "name": "user"}},
    "facts that are no rows": {"facts": {"m.r": ["a"]}},
    "an instant without a zone": {"now": "2026-03-01T12:00:00"},
    "no instant at all": {"now": "noon"},
    "an instant of more digits than a year has": {"now": 100_000_000_000},
    "an instant as large as a number may be": {"now": 10**400},
    "an instant before 1970 in seconds": {"now": -1},
    "an instant that is before the year 1 in UTC": {"now": "0001-01-01T00:00:00+14:00"},
    "an instant that is after the year 9999 in UTC": {"now": "9999-12-31T23:59:59-14:00"},
}


@pytest.mark.parametrize("form", WRONG.values(), ids=WRONG.keys())
def test_is_refused_naming_the_place(form: Json) -> None:
    with pytest.raises(ConfigError, match="here"):
        read_request(form, "here")


def test_an_unknown_member_comes_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean `method`"):
        read_request({"metod": "GET"}, "here")


def test_integer_seconds_are_an_instant() -> None:
    assert instant_us("1800000000", "here") == 1_800_000_000_000_000
