"""A record holds what a decision took in and nothing else of the caller; a replay decides the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from policy_lang.ir import (
    Attr,
    Compare,
    Const,
    Exclusive,
    Has,
    IssueToken,
    Lookup,
    Member,
    Relation,
    RemoveHeader,
    SetHeader,
    Signal,
    Truth,
    Value,
)
from policy_lang.meaning.admission import Admission
from policy_lang.meaning.inputs import Inputs, Looked, Recorder, recorded_inputs, replay_question
from policy_lang.meaning.reference import decide
from policy_lang.typesystem import IntType, Scalar
from policy_lang.verdict import CAPABILITIES, NOWHERE, Capability, HttpCall, Json, Origin, Question
from tests.lang.programs import (
    STRINGS,
    Both,
    Either,
    WrittenRule,
    act,
    action,
    ask,
    build,
    capture,
    claim,
    endpoint,
    grpc,
    service,
    signal,
    subject_kind,
    token,
    token_kind,
)
from tests.support.read_sets import reads

USER = token_kind(
    "user",
    "https://id.example",
    (
        claim("sub", Scalar.STRING),
        claim("accounts", STRINGS, "data", "accounts", optional=True),
        claim("suspended", Scalar.BOOL, optional=True),
        claim("email", Scalar.STRING, optional=True, private=True),
    ),
)
SHARED = Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING)))
BLOCKED = Relation("m.blocked", (("user", Scalar.STRING),))
OWNS = Both((Has(token("accounts")), Member(capture("account"), token("accounts"))))
PROGRAM = build(
    [service("s")],
    [
        endpoint("s.account", "/accounts/{account}"),
        endpoint("s.scoped", "/scoped", scopes=["read"]),
        endpoint("s.paged", "/paged", query=[claim("q", Scalar.STRING)]),
    ],
    [
        WrittenRule("m.owner", "allow", (OWNS,), on=("s.account",)),
        WrittenRule("m.guest", "allow", (Lookup("m.shared", (capture("account"), token("sub"))),), on=("s.account",)),
        WrittenRule("m.blocked", "deny", (Lookup("m.blocked", (token("sub"),)),), on=("s.account",)),
        WrittenRule("m.scoped", "allow", on=("s.scoped",)),
        WrittenRule(
            "m.suspended", "deny", (Both((Has(token("suspended")), Truth(token("suspended")))),), on=("s.scoped",)
        ),
    ],
    [USER],
    [SHARED, BLOCKED],
)
GOOD: dict[str, Json] = {
    "sub": "u1",
    "aud": ["s"],
    "scope": "read",
    "data": {"accounts": ["a1"], "secret": "x"},
    "email": "u1@shop.example",
    "undeclared": [1],
}
FACTS = {
    "m.shared": frozenset({("a1", "u1"), ("a2", "u1"), ("a1", "u2")}),
    "m.blocked": frozenset({("u2",)}),
}


def test_only_what_the_cell_reads_is_recorded() -> None:
    inputs = recorded_inputs(PROGRAM, ask("/accounts/a1", GOOD, facts=FACTS))
    assert inputs.caller.claims == {"sub": "u1", "aud": ["s"], "data": {"accounts": ["a1"]}}
    assert inputs.caller.unread == {"email", "scope"}
    assert reads(PROGRAM, ask("/accounts/a1", GOOD, facts=FACTS)) == {
        Attr("path", "account"): "a1",
        Attr("token", "accounts"): frozenset({"a1"}),
        Attr("token", "aud"): frozenset({"s"}),
        Attr("token", "sub"): "u1",
    }
    assert inputs.lookups == (
        Looked("m.blocked", ("u1",), found=False),
        Looked("m.shared", ("a1", "u1"), found=True),
    )


def test_only_the_rows_asked_for_are_replayed() -> None:
    inputs = recorded_inputs(PROGRAM, ask("/accounts/a1", GOOD, facts=FACTS))
    assert replayed(inputs, ask("/accounts/a1")).facts == {
        "m.shared": frozenset({("a1", "u1")}),
        "m.blocked": frozenset(),
    }


def replayed(inputs: Inputs, question: Question) -> Question:
    """Asked again from the inputs and from what stands beside them in a record."""
    call = question.call
    bare = replace(call, headers={}) if isinstance(call, HttpCall) else replace(call, properties={})
    return replay_question(inputs, service=question.service, call=bare, now_ms=question.now_ms)


def test_an_absent_claim_is_recorded_as_absent() -> None:
    inputs = recorded_inputs(PROGRAM, ask("/accounts/a1", {"sub": "u1", "aud": "s"}))
    assert "data" not in inputs.caller.claims
    assert inputs.caller.unread == frozenset()


def test_facts_that_are_not_at_hand_stay_so() -> None:
    question = ask("/accounts/a1", GOOD)
    inputs = recorded_inputs(PROGRAM, question)
    assert [looked.found for looked in inputs.lookups] == [None, None]
    assert replayed(inputs, question).facts == {}


def test_the_scope_is_recorded_where_the_endpoint_names_scopes() -> None:
    inputs = recorded_inputs(PROGRAM, ask("/scoped", GOOD))
    assert inputs.caller.claims == {"aud": ["s"], "scope": "read"}
    assert inputs.caller.unread == {"sub", "accounts", "email"}


def test_nobody_has_claims() -> None:
    inputs = recorded_inputs(PROGRAM, ask("/accounts/a1", facts=FACTS))
    assert (inputs.caller.kind, dict(inputs.caller.claims), inputs.caller.unread) == (None, {}, frozenset())
    assert inputs.lookups == (Looked("m.blocked", (None,), None), Looked("m.shared", ("a1", None), None))


REFUSED: dict[str, tuple[Question, dict[str, Json], set[str]]] = {
    "by route": (ask("/nowhere", GOOD), {}, {"sub", "accounts", "email", "aud", "scope"}),
    "by schema for the query": (ask("/paged", GOOD), {}, {"sub", "accounts", "email", "aud", "scope"}),
    "by schema for a claim": (
        ask("/accounts/a1", {**GOOD, "suspended": "yes"}),
        {"suspended": "yes"},
        {"sub", "accounts", "email", "aud", "scope"},
    ),
    "by schema for a missing claim": (
        ask("/accounts/a1", {"aud": "s", "email": "x"}),
        {},
        {"email", "aud"},
    ),
    "by schema for a step that is no object": (
        ask("/accounts/a1", {**GOOD, "data": "x"}),
        {"data": "x"},
        {"sub", "email", "aud", "scope"},
    ),
    "by schema for an object where a claim should be": (
        ask("/accounts/a1", {**GOOD, "data": {"accounts": {"a": 1}, "secret": "x"}}),
        {"data": {"accounts": {"a": 1}}},
        {"sub", "email", "aud", "scope"},
    ),
    "by schema for two claims, of which the first is told": (
        ask("/accounts/a1", {**GOOD, "suspended": "yes", "email": 5}),
        {"suspended": "yes"},
        {"sub", "accounts", "aud", "scope"},
    ),
    "by schema for an undeclared kind": (ask("/accounts/a1", GOOD, kind="ghost"), {}, set()),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_call_keeps_only_what_refused_it(case: str) -> None:
    question, claims, unread = REFUSED[case]
    inputs = recorded_inputs(PROGRAM, question)
    assert (dict(inputs.caller.claims), set(inputs.caller.unread)) == (claims, unread)
    assert inputs.lookups == ()
    first, again = decide(PROGRAM, question), decide(PROGRAM, replayed(inputs, question))
    assert (again.by, again.reason, again.subject) == (first.by, first.reason, first.subject)


def test_a_lookup_by_two_rules_is_recorded_once() -> None:
    same = Lookup("m.blocked", (Const("u1"),))
    also = Lookup("m.blocked", (token("sub"),))
    program = build(
        [service("s")],
        [endpoint("s.a", "/a")],
        [WrittenRule("m.x", "allow", (Either((same, also)),)), WrittenRule("m.y", "deny", (also,))],
        [USER],
        [BLOCKED],
    )
    inputs = recorded_inputs(program, ask("/a", GOOD, facts={"m.blocked": frozenset()}))
    assert inputs.lookups == (Looked("m.blocked", ("u1",), found=False),)


def test_a_kept_recorder_says_the_same_each_time() -> None:
    admission = Admission.of(PROGRAM)
    recorder = Recorder(admission)
    questions = [ask("/accounts/a1", GOOD, facts=FACTS), ask("/scoped", GOOD), ask("/accounts/a1"), ask("/nowhere")]
    for question in questions * 2:
        assert recorder.record(question, admission.admit(question)) == recorded_inputs(PROGRAM, question)


# ---------------------------------------------------------------- the rest of the read set

ROLED = token_kind(
    "user",
    "https://id.example",
    [claim("sub", Scalar.STRING), claim("roles", STRINGS, optional=True)],
    "roles",
    [Exclusive("a", frozenset({"a"}), "b", frozenset({"b"}))],
)
EMPLOYEE = subject_kind(
    "employee",
    "employee",
    [claim("department", Scalar.STRING, optional=True), claim("mail", Scalar.STRING, optional=True)],
)
RISKY = Compare("le", Const(5), signal("risk"))
WIDE = build(
    [service("s"), service("d", audiences=(), accepts=["employee"])],
    [
        endpoint(
            "s.headed",
            "/headed",
            headers=[
                claim("device", Scalar.STRING, "x-device", optional=True),
                claim("needed", Scalar.STRING, "x-needed"),
                claim("spare", Scalar.STRING, "x-spare", optional=True),
            ],
        ),
        endpoint("s.plain", "/plain"),
        grpc("s.call", "s.v1.S", "Call"),
        action(
            "d.read",
            "read",
            "document",
            [
                claim("department", Scalar.STRING, "meta", "department", optional=True),
                claim("owner", Scalar.STRING),
                claim("mail", Scalar.STRING, optional=True),
            ],
        ),
    ],
    [
        WrittenRule("m.device", "allow", (Compare("eq", Attr("header", "device"), Const("d1")),), on=("s.headed",)),
        WrittenRule("m.risky", "deny", (RISKY,), on=("s.headed",)),
        WrittenRule("m.peer", "allow", (Compare("eq", Attr("request", "peer"), Const("p")),), on=("s.plain", "s.call")),
        WrittenRule("m.trace", "require", on=("s.plain",), must=(RemoveHeader("x-trace"), IssueToken(None))),
        WrittenRule("m.ip", "require", on=("s.headed",), must=(SetHeader("x-ip", Attr("request", "ip")),)),
        WrittenRule(
            "m.read",
            "allow",
            (Compare("eq", Attr("subject", "department"), Attr("resource", "department")),),
            on=("d.read",),
        ),
    ],
    [ROLED, EMPLOYEE],
    [],
    [Signal("m.risk", IntType(), "context.risk", (), 5, None), Signal("m.other", IntType(), "context.o", (), 5, None)],
)
HEADERS = {
    "x-device": ["d1"],
    "x-needed": ["n"],
    "x-spare": ["s"],
    "cookie": ["secret"],
    "content-type": ["text/plain"],
}
FROM = Origin("10.0.0.1", "p", "g", tls=True)
SIGNALS: dict[str, Value] = {"m.risk": 3, "m.other": 4}
MINE: dict[str, Json] = {"sub": "u1", "aud": ["s"], "scope": "x", "roles": ["a"]}


def test_headers_readings_and_addresses_are_recorded_where_they_are_read() -> None:
    asked = ask("/headed", MINE, headers=HEADERS, origin=FROM, signals=SIGNALS, capabilities=frozenset({"set_header"}))
    inputs = recorded_inputs(WIDE, asked)
    assert inputs.headers == {"x-device": ("d1",), "x-needed": ("n",)}
    assert inputs.signals == {"m.risk": 3}
    assert inputs.origin == Origin(ip="10.0.0.1")
    assert inputs.capabilities == {"set_header"}
    assert reads(WIDE, asked)[Attr("header", "device")] == "d1"
    assert (dict(inputs.caller.claims), set(inputs.caller.unread)) == ({"aud": ["s"], "roles": ["a"]}, {"sub", "scope"})
    assert replayed(inputs, asked).origin.ip == "10.0.0.1"


def test_a_token_to_be_issued_reads_the_scope() -> None:
    inputs = recorded_inputs(WIDE, ask("/plain", MINE, origin=FROM, headers=HEADERS))
    assert inputs.caller.claims["scope"] == "x"
    assert (inputs.headers, inputs.origin) == ({}, Origin(peer="p"))


def test_what_a_gateway_can_do_is_recorded_only_where_something_is_asked() -> None:
    none: frozenset[Capability] = frozenset()
    grpc_headers = {"content-type": ["application/grpc"], "x-other": ["o"]}
    called = ask("/s.v1.S/Call", MINE, method="POST", headers=grpc_headers, origin=FROM, capabilities=none)
    inputs = recorded_inputs(WIDE, called)
    assert (inputs.capabilities, dict(inputs.headers)) == (CAPABILITIES, {"content-type": ("application/grpc",)})
    assert decide(WIDE, replayed(inputs, called)).outcome == "allow"
    assert recorded_inputs(WIDE, ask("/plain", MINE, capabilities=none)).capabilities == none


def test_subjects_and_resources_are_cut_down_like_tokens() -> None:
    asked = act(
        "read",
        "document",
        {"id": "e1", "department": "legal", "mail": "m", "more": 1},
        properties={"meta": {"department": "legal", "x": 1}, "owner": "o", "mail": "m"},
    )
    inputs = recorded_inputs(WIDE, asked)
    assert (dict(inputs.caller.claims), set(inputs.caller.unread)) == ({"department": "legal"}, {"id", "mail"})
    assert inputs.properties == {"meta": {"department": "legal"}, "owner": "o"}
    assert decide(WIDE, replayed(inputs, asked)).outcome == "allow"


CUT: dict[str, tuple[Question, dict[str, tuple[str, ...]], dict[str, Json]]] = {
    "by a header twice": (
        ask("/headed", MINE, headers={**HEADERS, "x-spare": ["a", "b"]}),
        {"x-needed": ("n",), "x-spare": ("a", "b")},
        {},
    ),
    "by a claim, after the headers": (ask("/headed", {"sub": 5}, headers=HEADERS), {"x-needed": ("n",)}, {}),
    "by a missing header": (ask("/headed", MINE, headers={"x-device": ["d"]}), {}, {}),
    "by a property": (
        act("read", "document", {"id": "e1"}, properties={"owner": "o", "mail": 5, "meta": {"department": "d"}}),
        {},
        {"owner": "o", "mail": 5},
    ),
    "by a subject": (act("read", "document", {"id": 5}, properties={"owner": "o"}), {}, {"owner": "o"}),
    "by route": (ask("/nowhere", MINE, headers=HEADERS), {}, {}),
    "as no gRPC": (ask("/s.v1.S/Call", MINE, method="POST", headers=HEADERS), {}, {}),
}


@pytest.mark.parametrize("case", CUT)
def test_a_refused_call_keeps_what_the_call_cannot_be_without(case: str) -> None:
    question, headers, properties = CUT[case]
    inputs = recorded_inputs(WIDE, question)
    assert (dict(inputs.headers), dict(inputs.properties)) == (headers, properties)
    assert (inputs.origin, inputs.signals) == (NOWHERE, {})
    first, again = decide(WIDE, question), decide(WIDE, replayed(inputs, question))
    assert (again.by, again.reason, again.subject) == (first.by, first.reason, first.subject)
