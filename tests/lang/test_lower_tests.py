"""A `test` block becomes the calls it says: names, values, overrides and tables, each as it would come over the wire.

The table of mistakes is tests/golden/check/cases.chunks.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from policy_lang.compile import compile_policy
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.trials.cases import DEFAULT_IP, DEFAULT_NOW_MS, TestCase, WireCall
from policy_lang.verdict import ActionCall, Caller, Json, Origin

MODULE = """module m
enum tier = low < high
workload edge = "spiffe://prod/ns/edge"
setting home: string = "here"
token user {
  issuer "https://id.example"
  claim sub: string optional
  claim level: tier optional
  claim levels: set of tier optional
  claim addr: ip optional
  claim caller: workload optional
  claim id: uuid optional
  claim since: time optional
  claim span: duration optional
  claim age: int 0..150 optional
  claim groups: set of string optional from "realm" "groups"
  claim mail: string optional private from "realm" "mail"
}
subject staff { type "staff" property room: string optional from "place" "room" }
roles for user from none { role reader role writer includes reader }
relation grants (who: string, tier: tier, what: role)
relation other (a: int)
signal risk: int 0..100 from "context.risk" key token.sub within 5ms else unknown
signal calm: bool from "context.calm" key token.sub within 5ms else unknown
service s {
  audience "s" host "s.example" host "t.example"
  header device: string optional from "x-device"
  endpoint one GET | HEAD /one/{a: int}/{b}
    query page: int 1..9 optional query at: time optional query tags: set of string optional
  endpoint slash GET /dir/{a}/
  endpoint raw GET /raw/{a: opaque}
  endpoint odd GET /a%20b/{id: uuid}
  endpoint root GET /
  endpoint every ANY /any
  endpoint rest PUT | POST /rest/**
  endpoint rpc grpc p.v1.S/M
}
service acts { audience none accepts staff
  endpoint see action "see" on "room" property owner: string optional from "o" "name" property at: time optional
}
allow reads for any user on s because "-"
allow sees for any staff on acts because "-"
require fresh for any user on s.one needs token has sub else challenge "sub"
deny never on s when signal.risk > 99 because "-"
"""


def cases(block: str, more: dict[str, str] | None = None) -> tuple[TestCase, ...]:
    files = {"m.pol": f'{MODULE}test "t" {{\n{block}\n}}\n', **(more or {})}
    return compile_policy({name: text.encode() for name, text in files.items()}).tests


def case(block: str) -> TestCase:
    [one] = cases(block)
    return one


# ---------------------------------------------------------------- what is given


def test_a_test_that_gives_nothing_fails_closed() -> None:
    got = case("call s GET / expect deny")
    assert got.caller == Caller(None)
    assert got.origin == Origin(ip=DEFAULT_IP, peer="", gateway="", tls=None)
    assert got.signals == {}
    assert got.facts == {"m.grants": frozenset(), "m.other": frozenset()}
    assert got.now_ms == DEFAULT_NOW_MS
    assert got.call == WireCall("GET", "/", None, {})


GIVEN_CLAIMS: dict[str, tuple[str, dict[str, Json]]] = {
    "text": ('sub: "u"', {"sub": "u"}),
    "a setting by name": ("sub: home", {"sub": "here"}),
    "an enum's value by name": ("level: high", {"level": "high"}),
    "a set of enum values": ("levels: [high, low]", {"levels": ["high", "low"]}),
    "an address, folded": ("addr: ::ffff:10.0.0.1", {"addr": "10.0.0.1"}),
    "a workload by name": ("caller: edge", {"caller": "spiffe://prod/ns/edge"}),
    "a workload by its identity": ('caller: "spiffe://x/y"', {"caller": "spiffe://x/y"}),
    "a uuid in lower case": (
        'id: "2F4A1A52-7c0b-4f6e-9d0a-0c6f0e3b9a11"',
        {"id": "2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11"},
    ),
    "an instant in seconds": ("since: now - 1m", {"since": DEFAULT_NOW_MS // 1000 - 60}),
    "an instant between two seconds": ("since: now - 1ms", {"since": (DEFAULT_NOW_MS - 1) / 1000}),
    "a duration in seconds": ("span: 2m", {"span": 120}),
    "an integer": ("age: 7", {"age": 7}),
    "a nested claim": ('groups: ["b", "a"], mail: "m"', {"realm": {"groups": ["a", "b"], "mail": "m"}}),
    "an empty set": ("groups: []", {"realm": {"groups": []}}),
    "audience and scope": ('aud: ["s"], scope: ["x"]', {"aud": ["s"], "scope": ["x"]}),
    "an unset claim": ('sub: unset, aud: ["s"]', {"aud": ["s"]}),
    "no claim": ("", {}),
}


@pytest.mark.parametrize("name", GIVEN_CLAIMS)
def test_given_token(name: str) -> None:
    written, claims = GIVEN_CLAIMS[name]
    assert case(f"given token user {{ {written} }} call s GET / expect deny").caller == Caller("user", claims)


def test_given_subject_is_a_caller_with_an_id() -> None:
    got = case('given subject staff { id: "e1", room: "r" } call acts.see { id: "x" } expect deny')
    assert got.caller == Caller("staff", {"id": "e1", "place": {"room": "r"}})


def test_given_request_is_where_a_call_comes_from() -> None:
    got = case(
        'given request { ip: 2001:db8::1, peer: edge } given request { gateway: "spiffe://x/y", tls: false }'
        'given request { host: "t.example" } call s GET / expect deny'
    )
    assert got.origin == Origin("2001:db8::1", "spiffe://prod/ns/edge", "spiffe://x/y", tls=False)
    assert got.call == WireCall("GET", "/", "t.example", {})


def test_given_signals_and_facts_are_by_id() -> None:
    got = case(
        "given signal risk = 5 given signal calm = unknown"
        ' given fact grants ("u", low, writer) given fact grants ("u", low, writer) given fact other (3)'
        " call s GET / expect deny"
    )
    assert got.signals == {"m.risk": 5}
    assert got.facts == {"m.grants": frozenset({("u", "low", "writer")}), "m.other": frozenset({(3,)})}


def test_given_now_counts_wherever_it_stands() -> None:
    got = case("given token user { since: now } given now 2026-03-01T12:00:00Z call s GET / expect deny")
    assert (got.now_ms, got.caller.claims) == (1_772_366_400_000, {"since": 1_772_366_400})


# ---------------------------------------------------------------- with

WITH: dict[str, tuple[str, str, Any]] = {
    "a claim": ('with token.sub = "v"', "caller", Caller("user", {"sub": "v", "aud": ["s"]})),
    "a claim that is unset": ("with token.sub = unset", "caller", Caller("user", {"aud": ["s"]})),
    "the instant, not what was made of it": ("with now = now + 1h", "now_ms", DEFAULT_NOW_MS + 3_600_000),
    "the address": ("with request.ip = 8.8.8.8", "origin", Origin("8.8.8.8", "spiffe://prod/ns/edge")),
    "an unknown address": ("with request.ip = unknown", "origin", Origin(None, "spiffe://prod/ns/edge")),
    "no peer": ("with request.peer = unset", "origin", Origin(DEFAULT_IP)),
    "the gateway": (
        "with request.gateway = edge",
        "origin",
        Origin(DEFAULT_IP, "spiffe://prod/ns/edge", "spiffe://prod/ns/edge"),
    ),
    "tls": ("with request.tls = true", "origin", Origin(DEFAULT_IP, "spiffe://prod/ns/edge", tls=True)),
    "a signal": ("with signal.risk = 9", "signals", {"m.risk": 9}),
    "a signal that fails": ("with signal.risk = unknown", "signals", {}),
    "the host": ('with request.host = "x.example"', "call", WireCall("GET", "/one/1/x", "x.example")),
    "a header": ('with header.device = "d"', "call", WireCall("GET", "/one/1/x", None, {"x-device": ("d",)})),
    "a parameter": ("with query.page = 3", "call", WireCall("GET", "/one/1/x?page=3")),
    "a parameter that is an instant": ("with query.at = now", "call", WireCall("GET", "/one/1/x?at=1767225600")),
    "a parameter that is a set": (
        'with query.tags = ["b&c", "a b"]',
        "call",
        WireCall("GET", "/one/1/x?tags=a%20b&tags=b%26c"),
    ),
    "a parameter that is not there": ("with query.page = unset", "call", WireCall("GET", "/one/1/x")),
}


@pytest.mark.parametrize("name", WITH)
def test_with(name: str) -> None:
    written, attribute, value = WITH[name]
    given = 'given token user { sub: "u", aud: ["s"] } given request { peer: edge } given signal risk = 1'
    changed, plain = cases(f"{given} call s GET /one/1/x {written} expect deny call s GET /one/1/x expect deny")
    assert getattr(changed, attribute) == value
    same = set(TestCase.__struct_fields__) - {attribute, "place", "text"}
    assert all(getattr(changed, each) == getattr(plain, each) for each in same), "nothing else changes"


def test_a_parameter_replaces_every_spelling_of_it_and_leaves_the_rest_as_written() -> None:
    got = case("call s GET /one/1/x?a=%41&page=1&p%61ge=2&b with query.page = 3 expect deny")
    assert got.call == WireCall("GET", "/one/1/x?a=%41&b&page=3")


def test_a_query_of_nothing_stays() -> None:
    assert case("call s GET /one/1/x? expect deny").call == WireCall("GET", "/one/1/x?")
    assert case("call s GET /one/1/x? with query.page = 1 expect deny").call == WireCall("GET", "/one/1/x?page=1")


def test_with_of_a_resource() -> None:
    got = case('call acts.see { id: "x", owner: "o" } with resource.owner = unset with resource.id = "y" expect deny')
    assert got.call == ActionCall("see", "room", "y", {})


# ---------------------------------------------------------------- calls by endpoint

GRPC = {"content-type": ("application/grpc",)}
CALLS: dict[str, tuple[str, WireCall | ActionCall]] = {
    "captures": ('s.one { a: 7, b: "x" }', WireCall("GET", "/one/7/x")),
    "a negative integer": ('s.one { a: -7, b: "x" }', WireCall("GET", "/one/-7/x")),
    "a space, a percent, letters beyond ASCII": (
        's.one { a: 1, b: "a b%é" }',
        WireCall("GET", "/one/1/a%20b%25%C3%A9"),
    ),
    "what may stand raw stays raw": (
        's.one { a: 1, b: "a!$&\'()*+,=:@-._~" }',
        WireCall("GET", "/one/1/a!$&'()*+,=:@-._~"),
    ),
    "a slash is escaped, to be refused": ('s.one { a: 1, b: "a/b" }', WireCall("GET", "/one/1/a%2Fb")),
    "an empty capture leaves an empty segment": ('s.one { a: 1, b: "" }', WireCall("GET", "/one/1/")),
    "parameters and a header": (
        's.one { a: 1, b: "x", page: 2, device: "d", tags: ["u"] }',
        WireCall("GET", "/one/1/x?page=2&tags=u", None, {"x-device": ("d",)}),
    ),
    "an optional one that is unset": ('s.one { a: 1, b: "x", page: unset }', WireCall("GET", "/one/1/x")),
    "a trailing slash": ('s.slash { a: "x" }', WireCall("GET", "/dir/x/")),
    "an opaque capture": ('s.raw { a: "g/p" }', WireCall("GET", "/raw/g%2Fp")),
    "a literal and a uuid": (
        's.odd { id: "2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11" }',
        WireCall("GET", "/a%20b/2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11"),
    ),
    "the root": ("s.root", WireCall("GET", "/")),
    "any method is GET": ("s.every", WireCall("GET", "/any")),
    "the first method, and nothing for the rest": ("s.rest", WireCall("PUT", "/rest")),
    "gRPC by endpoint": ("s.rpc", WireCall("POST", "/p.v1.S/M", None, GRPC)),
    "gRPC by method": ("s grpc p.v1.S/M", WireCall("POST", "/p.v1.S/M", None, GRPC)),
    "gRPC that nobody declares": ("s grpc x.Y/Z", WireCall("POST", "/x.Y/Z", None, GRPC)),
    "an action": ('acts.see { id: "x" }', ActionCall("see", "room", "x", {})),
    "an action with properties": (
        'acts.see { id: "x", owner: "o", at: now }',
        ActionCall("see", "room", "x", {"o": {"name": "o"}, "at": DEFAULT_NOW_MS // 1000}),
    ),
    "a path, as written": ("s GET /one/../x?a=%zz", WireCall("GET", "/one/../x?a=%zz")),
}


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str) -> None:
    written, call = CALLS[name]
    assert case(f"call {written} expect deny").call == call


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
@example("a/b")
@example("..")
@example("%2F")
@example(" a")
def test_a_capture_arrives_as_it_was_given_or_the_path_is_refused(text: str) -> None:
    """canonical_path(target(s.one { a: 1, b: t })) is a refusal, or its last segment is t; t empty leaves none."""
    escaped = "".join(f"\\u{{{ord(character):x}}}" for character in text)
    call = case(f'call s.one {{ a: 1, b: "{escaped}" }} expect deny').call
    assert isinstance(call, WireCall)
    path = canonical_path(call.target)
    event(type(path).__name__)
    assert isinstance(path, PathRefusal) or path.segments == ("one", "1", *([text] if text else ()))


# ---------------------------------------------------------------- tables


def test_a_row_is_the_case_it_stands_for() -> None:
    rows = cases(
        'given token user { sub: "u" }\n'
        "table\n| token.sub | call | now | expect |\n"
        '| "v" | s GET /any | now + 1h | allow by reads and log normal |\n'
        "| unset | s GET / | now | deny by m.never |"
    )
    written = cases(
        'given token user { sub: "u" }\n'
        'call s GET /any with token.sub = "v" with now = now + 1h expect allow by reads and log normal\n'
        "call s GET / with token.sub = unset with now = now expect deny by m.never"
    )
    assert [row.text for row in rows] == [each.text for each in written]
    same = [name for name in TestCase.__struct_fields__ if name != "place"]
    assert [[getattr(row, each) for each in same] for row in rows] == [
        [getattr(each_case, each) for each in same] for each_case in written
    ]
    first = MODULE.count("\n") + 5
    assert [(row.place.line, row.place.column) for row in rows] == [(first, 1), (first + 1, 1)]


# ---------------------------------------------------------------- expectations


def test_by_names_rules_of_any_module_by_their_full_name() -> None:
    other = 'module n.x\nimport m (s, user)\ndeny wall for any user on s because "-"\n'
    [got] = cases("call s GET / expect deny by n.x.wall, reads, m.never, default", {"n.pol": other})
    assert got.expected.by == ("n.x.wall", "m.reads", "m.never", "default")
    assert got.expected.text == "deny by n.x.wall, m.reads, m.never, default"


def test_a_test_calls_a_service_that_its_module_imports() -> None:
    other = 'module n.x\nimport m (s, user, low, edge, grants, risk)\ntest "n" {\n'
    other += "given token user { level: low } given request { peer: edge } given signal risk = 1\n"
    other += "call s GET / expect deny }"
    got = cases("call s GET / expect deny", {"n.pol": other})
    assert [(each.title, each.service) for each in got] == [("t", "s"), ("n", "s")]
    assert got[1].caller == Caller("user", {"level": "low"})


def test_the_words_of_an_expectation_are_kept_for_whoever_reads_a_failure() -> None:
    got = case('call s.one { a: 1, b: "x" } expect step_up sub by fresh')
    assert (got.expected.text, got.expected.challenge) == ("step_up sub by m.fresh", "sub")
