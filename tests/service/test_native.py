"""The native API without a transport: what is read of a message, what is told of a decision, and laws of both."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from pdp.answers import check_code, lacks_token
from pdp.client import Action, Call, InquiryError, Subject
from pdp.client.wire import batch_request, decision_in, request
from pdp.gateways import Gateway
from pdp.model import Asserted, Challenge, Decision, Inquiry
from pdp.transports.limits import LONGEST_TEXT
from pdp.transports.messages import DECISIONS, POOL, DecideBatchRequest, DecideRequest, DecideResponse
from pdp.transports.native import MOST_DEPTH, NotRead, read, write, write_explanation
from policy_lang.verdict import ClauseTrace, Duties, Header, Observed, RuleTrace, Truth3
from tests.support.deciders import ALLOW, ID
from tests.support.decisions import DECISIONS as EVERY_DECISION
from tests.support.decisions import MINTED
from tests.support.native import ABLE, APP

ALL = frozenset(ABLE)
HTTP = Inquiry("orders", "GET", "/a", "orders.example", (), "app", capabilities=ALL)
ACTION = Inquiry("orders", None, None, None, (), "app", capabilities=ALL, action="read", resource={})


def asked(inquiry: Call | Action, gateway: Gateway = APP) -> Any:
    """What the service reads of what the client sends."""
    return read(DecideRequest.FromString(request(inquiry)).inquiry, gateway)


def test_our_pool_knows_the_service() -> None:
    methods = POOL.FindServiceByName(DECISIONS).methods_by_name
    assert sorted(methods) == ["Decide", "DecideBatch", "Explain"]
    assert methods["Decide"].input_type.full_name == DecideRequest.DESCRIPTOR.full_name


# ---------------------------------------------------------------- reading


def test_of_an_empty_message_nothing_is_known() -> None:
    found = read(DecideRequest().inquiry, Gateway("app", frozenset({"orders"}), "spiffe://example/app"))
    assert found == Inquiry(
        None, None, None, None, (), "app", frozenset({"orders"}), "spiffe://example/app", frozenset()
    )


def test_what_is_said_of_a_call_is_read_as_it_was_said() -> None:
    call = Call(
        "GET",
        "/a%2Fb?x=%00",
        "Orders.Example:443",
        service="orders",
        headers=[("X-Trace", "1"), ("x-trace", "2"), ("x-raw", b"caf\xe9")],
        ip="203.0.113.7",
        peer="spiffe://example/shop",
        tls=False,
        readings={"risk": 7, "tags": ["a", "b"], "gone": None},
        capabilities=["step_up", "redact"],
        request_id="r1",
    )
    found = asked(call)
    assert found == Inquiry(
        service="orders",
        method="GET",
        path="/a%2Fb?x=%00",
        host="Orders.Example:443",
        headers=(("x-trace", "1"), ("x-trace", "2"), ("x-raw", "caf\udce9")),
        gateway="app",
        capabilities=frozenset({"step_up", "redact"}),
        ip="203.0.113.7",
        peer="spiffe://example/shop",
        tls=False,
        signals={"risk": 7, "tags": ["a", "b"], "gone": None},
        request_id="r1",
    )


def test_an_action_has_a_resource_and_nothing_of_http() -> None:
    found = asked(Action("read", "order", "4711", {"owner": "u1", "size": 2**62}, subject=Subject("employee", "u1")))
    assert (found.method, found.path, found.host, found.service) == (None, None, None, None)
    assert (found.action, found.resource) == (
        "read",
        {"type": "order", "id": "4711", "properties": {"owner": "u1", "size": 2**62}},
    )
    assert found.asserted == Asserted("employee", "u1", {})


@pytest.mark.parametrize("name", ["method", "path", "host"])
def test_what_is_not_said_is_not_empty(name: str) -> None:
    call: dict[str, Any] = {"method": "GET", "path": "/a", "host": "orders.example"}
    assert getattr(asked(Call(**call | {name: None})), name) is None
    assert getattr(asked(Call(**call | {name: ""})), name) == ""


def test_an_authorization_stands_among_the_headers_and_beside_another_it_is_a_second() -> None:
    call = Call("GET", "/a", "h", headers=[("authorization", "Bearer one")], authorization="Bearer two")
    assert asked(call).headers == (("authorization", "Bearer one"), ("authorization", "Bearer two"))


@pytest.mark.parametrize(
    ("headers", "host"),
    [([("Host", "evil.example")], None), ([("host", "h"), ("host", "g")], None), ([("host", "h")], "h"), ([], "h")],
    ids=["another", "two", "the same", "none"],
)
def test_a_host_header_that_is_not_the_host_makes_it_unknown(headers: list[tuple[str, str]], host: str | None) -> None:
    assert asked(Call("GET", "/a", "h", headers=headers)).host == host


def test_a_letter_outside_ascii_never_becomes_one_inside() -> None:
    assert asked(Call("GET", "/a", "h", headers=[("X-\u212aey", "1")])).headers == (("X-\u212aey", "1"),)


def test_a_capability_counts_where_it_is_one_and_the_gateway_may_have_it() -> None:
    call = Call("GET", "/a", "h", capabilities=["answer", "redact", "levitate"])  # type: ignore[list-item]
    assert asked(call).capabilities == frozenset({"answer", "redact"})
    assert asked(call, replace(APP, capabilities=frozenset({"redact", "step_up"}))).capabilities == {"redact"}


@pytest.mark.parametrize(
    ("inquiry", "reason", "key"),
    [
        (Call("GET", "/a", "h", subject=Subject("employee", "u1")), "request.subject", "subjects"),
        (Action("read", "order", "1", subject=Subject("", "")), "request.subject", "subjects"),
        (Call("GET", "/a", "h", readings={"risk": 1}), "request.readings", "signals"),
        (Call("GET", "/a", "h", peer="spiffe://shop.example/front"), "request.peer", "peers"),
        (Call("GET", "/a", "h", peer=""), "request.peer", "peers"),
        (Action("read", "order", "1", ip="203.0.113.7"), "request.peer", "peers"),
        (Call("GET", "/a", "h", tls=True), "request.peer", "peers"),
        (Call("GET", "/a", "h", tls=False), "request.peer", "peers"),
    ],
    ids=[
        "a subject",
        "an empty subject",
        "readings",
        "a peer",
        "an empty peer",
        "an address",
        "encrypted",
        "not encrypted",
    ],
)
def test_who_is_not_believed_is_told_so(inquiry: Call | Action, reason: str, key: str) -> None:
    found = asked(inquiry, Gateway("app", None))
    assert isinstance(found, NotRead)
    assert (found.kind, found.reason) == ("not_permitted", reason)
    assert f"`{key}`" in found.detail


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("place", ["readings", "properties", "resource"])
def test_a_number_that_json_has_not_is_malformed(number: float, place: str) -> None:
    message = DecideRequest().inquiry
    fields = {
        "readings": lambda: message.readings,
        "properties": lambda: message.subject.properties,
        "resource": lambda: message.action.resource_properties,
    }[place]()
    fields["n"].list.values.add().number = number
    found = read(message, APP)
    assert isinstance(found, NotRead)
    assert (found.kind, found.reason) == ("malformed", "request.unreadable")


LONG_TEXTS: dict[str, Callable[[str], Call | Action]] = {
    "a property of a subject": lambda text: Call("GET", "/a", "h", subject=Subject("e", "u", {"a": [text]})),
    "the type of a subject": lambda text: Call("GET", "/a", "h", subject=Subject(text, "u")),
    "the id of a subject": lambda text: Call("GET", "/a", "h", subject=Subject("e", text)),
    "a property of a resource": lambda text: Action("read", "order", "1", {"a": {"b": text}}),
    "the type of a resource": lambda text: Action("read", text, "1"),
    "the id of a resource": lambda text: Action("read", "order", text),
    "an action": lambda text: Action(text, "order", "1"),
    "a reading": lambda text: Call("GET", "/a", "h", readings={"a": text}),
}


@pytest.mark.parametrize("place", LONG_TEXTS)
def test_a_text_that_is_too_long_is_malformed(place: str) -> None:
    assert isinstance(asked(LONG_TEXTS[place]("\u00e9" * LONGEST_TEXT)), Inquiry)
    found = asked(LONG_TEXTS[place]("\u00e9" * (LONGEST_TEXT + 1)))
    assert isinstance(found, NotRead)
    assert (found.kind, found.reason) == ("malformed", "request.unreadable")
    assert str(LONGEST_TEXT) in found.detail


@pytest.mark.parametrize("kind", ["list", "map"])
def test_nesting_is_read_so_deep_and_no_deeper(kind: str) -> None:
    message = DecideRequest().inquiry
    value = message.readings["deep"]
    for _ in range(MOST_DEPTH - 1):
        value = value.list.values.add() if kind == "list" else value.map.fields["in"]
    value.integer = 1
    assert isinstance(read(message, APP), Inquiry)
    (value.list.values.add() if kind == "list" else value.map.fields["in"]).integer = 1
    assert isinstance(read(message, APP), NotRead)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
    )
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
MAPS = st.dictionaries(TEXTS, VALUES, max_size=3)
SUBJECTS = st.none() | st.builds(Subject, TEXTS, TEXTS, MAPS)
ACTIONS = st.builds(Action, TEXTS, TEXTS, TEXTS, MAPS, service=st.none() | TEXTS, subject=SUBJECTS, readings=MAPS)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_every_value_that_the_client_sends_arrives_as_it_was(action: Action) -> None:
    """For all actions a: read(request(a)) has the words and values of a, integers and floats told apart."""
    found = asked(action)
    assert found.service == action.service
    assert found.action == action.name
    wanted = {
        "type": action.resource_type,
        "id": action.resource_id,
        "properties": action.resource_properties,
    }
    assert json.dumps(found.resource, sort_keys=True) == json.dumps(wanted, sort_keys=True)
    assert json.dumps(found.signals, sort_keys=True) == json.dumps(action.readings, sort_keys=True)
    if action.subject is not None:
        subject = found.asserted
        wanted = {"type": action.subject.type, "id": action.subject.id, "properties": action.subject.properties}
        assert json.dumps(asdict(subject), sort_keys=True) == json.dumps(wanted, sort_keys=True)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_the_reading(noise: bytes, behind: bool) -> None:
    """For all bytes b: b is no message, or each inquiry in it is read or told why not."""
    start = batch_request([Call("GET", "/a", "h"), Action("read", "order", "1")]) if behind else b""
    try:
        message = DecideBatchRequest.FromString(start + noise)
    except DecodeError:
        return
    for each in message.inquiries:
        assert isinstance(read(each, APP), Inquiry | NotRead)


# ---------------------------------------------------------------- writing


def told(decision: Decision, inquiry: Inquiry | None = HTTP, **acr: str) -> Any:
    return write(decision, inquiry, acr)


@settings(max_examples=300, deadline=None)
@given(EVERY_DECISION, st.sampled_from([None, HTTP, ACTION, replace(HTTP, capabilities=frozenset())]))
def test_an_allow_is_told_of_an_allow_with_a_record_and_of_nothing_else(
    decision: Decision, inquiry: Inquiry | None
) -> None:
    """For all decisions d: outcome(write(d)) = OUTCOME_ALLOW iff d is an allow with an id, and the token that it asks
    for; else there is an answer.
    """
    message = DecideResponse.FromString(
        DecideResponse(decision=write(decision, inquiry, {})).SerializeToString()
    ).decision
    allowed = decision.outcome == "allow" and bool(decision.id) and not lacks_token(decision)
    assert (message.outcome == 1) is allowed is (check_code(decision) == 0)
    assert message.HasField("answer") is not allowed
    if not allowed:
        assert message.answer.status in {401, 403, 404, 429, 451, 503}
        assert not message.HasField("obligations")
        assert not message.HasField("advice")
        assert message.outcome in {2, 3}


@settings(max_examples=200, deadline=None)
@given(EVERY_DECISION)
def test_the_client_reads_an_allow_where_one_is_told(decision: Decision) -> None:
    """For all decisions d: the client's reading of write(d) is allowed iff d is an allow with an id."""
    data = DecideResponse(decision=write(decision, HTTP, {})).SerializeToString()
    found = decision_in(data, Call("GET", "/a", "orders.example", capabilities=ABLE))  # type: ignore[arg-type]
    assert found.allowed is (check_code(decision) == 0)
    assert (found.answer is None) is found.allowed


@settings(max_examples=100, deadline=None)
@given(EVERY_DECISION)
def test_a_decision_tells_no_rule_and_no_reason(decision: Decision) -> None:
    """For all decisions d made by a rule that is named like nothing else: its name and reason are not in write(d)."""
    named = replace(decision, by=("canary.rule",), reason="canary.reason", subject="canary.subject")
    assert b"canary" not in write(named, HTTP, {}).SerializeToString()
    assert b"canary" in write_explanation(named).SerializeToString()


def test_an_allow_tells_what_it_orders() -> None:
    decision = replace(
        ALLOW,
        policy="ab" * 32,
        duties=Duties((Header("x-user", "u1\r\n"),), ("x-debug",), ("/card",), None, ("soc",)),
        advice=Duties((Header("x-user", "u2"), Header("x-hint", "h")), ("x-debug", "x-old"), ("/card", "/name")),
        identity_headers=frozenset({"x-user", "x-place"}),
        valid_until_ms=1_800_000_000_000,
    )
    inquiry = replace(HTTP, headers=(("x-portcullis-decision", "forged"), ("x-portcullis-x", "1"), ("x-a", "1")))
    message = told(decision, inquiry)
    obligations, advice = message.obligations, message.advice
    assert [(each.name, each.value) for each in obligations.set_headers] == [("x-user", "u1??")]
    removed = ["x-debug", "x-place", "x-portcullis-decision", "x-portcullis-x"]
    assert (list(obligations.remove_headers), list(obligations.redactions)) == (removed, ["/card"])
    assert [(each.name, each.value) for each in advice.set_headers] == [("x-hint", "h")]
    assert (list(advice.remove_headers), list(advice.redactions)) == (["x-old"], ["/name"])
    assert (message.decision_id, message.policy_revision) == (ID, "ab" * 32)
    assert message.valid_until_ms == 1_800_000_000_000


def test_an_allow_hands_over_the_token_that_goes_on_in_place_of_the_callers() -> None:
    decision = replace(ALLOW, duties=Duties(token_scopes=("orders.read",)), minted=MINTED)
    obligations = told(decision).obligations
    assert [(each.name, each.value) for each in obligations.set_headers] == [("authorization", "Bearer minted-token")]
    assert told(replace(decision, minted=None)).outcome == 2
    assert b"minted-token" not in told(replace(decision, outcome="deny", by=("default",))).SerializeToString()


def test_who_lists_nothing_is_told_nothing_to_do() -> None:
    decision = replace(
        ALLOW, identity_headers=frozenset({"x-user"}), advice=Duties((Header("x-hint", "h"),), ("x-old",), ("/name",))
    )
    message = told(decision, replace(HTTP, capabilities=frozenset()))
    assert message.outcome == 1
    assert message.obligations.ByteSize() + message.advice.ByteSize() == 0


def test_of_an_action_no_header_is_removed_that_nobody_sent() -> None:
    assert told(replace(ALLOW, identity_headers=frozenset({"x-user"})), ACTION).obligations.ByteSize() == 0


STEP_UP = Decision(
    "step_up",
    ("orders.fresh",),
    "rule",
    id=ID,
    authenticated=True,
    challenges=(Challenge("mfa", 300), Challenge("pin", None)),
)


def test_a_step_up_says_what_it_asks_for() -> None:
    message = told(STEP_UP, mfa="urn:example:mfa")
    assert message.outcome == 3
    assert [(each.name, each.within_s if each.HasField("within_s") else None) for each in message.challenges] == [
        ("mfa", 300),
        ("pin", None),
    ]
    headers = {each.name: each.value for each in message.answer.headers}
    assert message.answer.status == 401
    assert 'acr_values="urn:example:mfa pin", max_age="300"' in headers["www-authenticate"]
    assert headers["x-portcullis-decision"] == ID


def test_who_has_no_credential_learns_nothing_of_what_an_endpoint_asks_for() -> None:
    message = told(replace(STEP_UP, authenticated=False))
    assert (message.outcome, len(message.challenges), message.answer.status) == (2, 0, 401)


@pytest.mark.parametrize(("able", "status"), [(ALL, 404), (frozenset({"step_up"}), 403)], ids=["able", "unable"])
def test_another_status_is_for_who_can_give_it(able: frozenset[Any], status: int) -> None:
    decision = Decision("deny", ("orders.hide",), "rule", id=ID, authenticated=True, status=404)
    assert told(decision, replace(HTTP, capabilities=able)).answer.status == status


def test_an_explanation_shows_clauses_and_no_values() -> None:
    clause = ClauseTrace("when 1", "token.sub is path.owner", Truth3.UNKNOWN, "token.sub", (("token.sub", "secret"),))
    rule = RuleTrace(
        "orders.own", "allow", "owners may", "orders.pol:3", applies=False, clauses=(clause,), row="a.csv:2"
    )
    observed = Observed("step_up", ("orders.fresh",), "rule", "claim")
    decision = Decision(
        "deny", ("default",), "default", "s\ud800", ID, rules=(rule,), nearest="orders.own", observed=observed,
        endpoint="orders.read", shadow=("orders.new",),
    )  # fmt: skip
    message = write_explanation(decision)
    assert (list(message.by), message.reason, message.subject) == (["default"], "default", "s?")
    assert (message.endpoint, message.nearest, list(message.shadow)) == ("orders.read", "orders.own", ["orders.new"])
    (shown,) = message.rules
    assert (shown.id, shown.effect, shown.applies, shown.row, shown.place) == (
        "orders.own", 1, False, "a.csv:2", "orders.pol:3",
    )  # fmt: skip
    (told_clause,) = shown.clauses
    assert (told_clause.text, told_clause.truth, told_clause.failed) == ("token.sub is path.owner", 2, "token.sub")
    assert message.observed.outcome == 3
    assert b"secret" not in message.SerializeToString()


# ---------------------------------------------------------------- what cannot be sent


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)

UNSENDABLE: dict[str, Any] = {
    "a lone surrogate": Call("GET", "/\ud800", "h"),
    "a number for a text": Call("GET", 7, "h"),  # type: ignore[arg-type]
    "an integer beyond 64 bits": Call("GET", "/a", "h", readings={"n": 2**63}),
    "a number that is none": Call("GET", "/a", "h", readings={"n": math.nan}),
    "a value of another kind": Call("GET", "/a", "h", readings={"n": object()}),  # type: ignore[dict-item]
    "a name that is no text": Call("GET", "/a", "h", readings={1: 1}),  # type: ignore[dict-item]
    "a value within itself": Call("GET", "/a", "h", readings={"n": ENDLESS}),
    "capabilities as one text": Call("GET", "/a", "h", capabilities="redact"),  # type: ignore[arg-type]
    "a subject that is a text": Action("read", "order", "1", subject="u1"),  # type: ignore[arg-type]
    "no inquiry": "GET /a",
}


@pytest.mark.parametrize("case", UNSENDABLE)
def test_what_cannot_be_sent_is_an_error_by_name(case: str) -> None:
    with pytest.raises(InquiryError):
        request(UNSENDABLE[case])


@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_of_none_or_too_many_is_not_sent(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        batch_request([Call("GET", "/a", "h")] * count)
