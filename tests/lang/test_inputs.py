"""A record holds what a decision took in and nothing else of the caller; a replay decides the same."""

from __future__ import annotations

import pytest

from policy_lang.admission import Admission
from policy_lang.inputs import Inputs, Looked, Recorder, recorded_inputs, replay_question
from policy_lang.ir import Attr, Const, Has, Kind, Lookup, Member, Relation, Truth
from policy_lang.reference import decide
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Json, Question
from tests.lang.programs import (
    STRINGS,
    Both,
    Either,
    WrittenRule,
    ask,
    build,
    capture,
    claim,
    endpoint,
    service,
    token,
)

USER = Kind(
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
    assert dict(inputs.reads) == {
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
    return replay_question(
        inputs,
        service=question.service,
        method=question.method,
        path=question.path,
        host=question.host,
        now_ms=question.now_ms,
    )


def test_an_absent_claim_is_recorded_as_absent() -> None:
    inputs = recorded_inputs(PROGRAM, ask("/accounts/a1", {"sub": "u1", "aud": "s"}))
    assert inputs.reads[token("accounts")] is None
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
    assert (dict(inputs.reads), inputs.lookups) == ({}, ())
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
