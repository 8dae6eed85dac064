"""What operands, atoms and guards are worth, asked the way a call asks: through a rule of a program."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from policy_lang.addresses import number
from policy_lang.ir import (
    Age,
    All,
    AnyOf,
    Attr,
    Body,
    Cell,
    CellRule,
    Clause,
    Compare,
    Const,
    Cover,
    Empty,
    Guard,
    Has,
    InNetwork,
    Like,
    Lit,
    Lookup,
    Member,
    Now,
    Overlap,
    Relation,
    Shift,
    Truth,
    Value,
)
from policy_lang.meaning.reference import decide
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Json, Origin, Question, Truth3
from tests.lang.programs import (
    NOW_MS,
    STRINGS,
    Both,
    Condition,
    Either,
    No,
    WrittenRule,
    ask,
    build,
    capture,
    claim,
    endpoint,
    service,
    signal,
    token,
    token_kind,
)

SERVICES = [service("s")]
ENDPOINTS = [endpoint("s.account", "/accounts/{account}")]
USER = token_kind(
    "user",
    "https://id.example",
    (
        claim("sub", Scalar.STRING),
        claim("accounts", STRINGS, optional=True),
        claim("suspended", Scalar.BOOL, optional=True),
        claim("auth_time", Scalar.TIME, optional=True),
    ),
)
SHARED = Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING)))
SHARES = Lookup("m.shared", (capture("account"), token("sub")))
GOOD: dict[str, Json] = {"sub": "u1", "aud": "s"}


def worth(condition: Condition, question: Question) -> Truth3:
    rule = WrittenRule("m.a", "allow", (condition,))
    return decide(build(SERVICES, ENDPOINTS, [rule], [USER], [SHARED]), question).rules[0].clauses[0].truth


NOW = Now()
HOUR = Const(3_600_000)

CONDITIONS: dict[str, tuple[Condition, Truth3]] = {
    "the method": (Compare("eq", Attr("request", "method"), Const("GET")), Truth3.TRUE),
    "the path, decoded": (Compare("eq", Attr("request", "path"), Const("/accounts/a b")), Truth3.TRUE),
    "the path is not as written": (Like(Attr("request", "path"), "*%20*"), Truth3.FALSE),
    "the host": (Compare("eq", Attr("request", "host"), Const("s.example")), Truth3.TRUE),
    "an attribute nobody knows": (Truth(Attr("request", "colour")), Truth3.UNKNOWN),
    "a capture": (Like(capture("account"), "a *"), Truth3.TRUE),
    "a claim": (Compare("eq", token("sub"), Const("u1")), Truth3.TRUE),
    "an absent claim": (Compare("eq", token("auth_time"), Const(1)), Truth3.UNKNOWN),
    "an absent claim under not": (No(Compare("eq", token("auth_time"), Const(1))), Truth3.UNKNOWN),
    "has, absent": (Has(token("auth_time")), Truth3.FALSE),
    "has, there": (Has(token("sub")), Truth3.TRUE),
    "has, a capture": (Has(capture("account")), Truth3.TRUE),
    "an implicit claim": (Member(Const("s"), token("aud")), Truth3.TRUE),
    "an absent scope is the empty set": (Empty(token("scope")), Truth3.TRUE),
    "covers": (Cover(token("aud"), Const(frozenset({"s"}))), Truth3.TRUE),
    "overlaps": (Overlap(token("aud"), Const(frozenset({"x"}))), Truth3.FALSE),
    "now": (Compare("le", NOW, Const(NOW_MS)), Truth3.TRUE),
    "an hour ago": (Compare("lt", Shift(NOW, -1, HOUR), Const(NOW_MS)), Truth3.TRUE),
    "past 64 bits": (Compare("lt", Shift(Const(2**63 - 1), 1, HOUR), NOW), Truth3.UNKNOWN),
    "and of unknown and false": (Both((SHARES, Has(token("auth_time")))), Truth3.FALSE),
    "or of unknown and true": (Either((SHARES, Has(token("sub")))), Truth3.TRUE),
    "and of unknown and true": (Both((SHARES, Has(token("sub")))), Truth3.UNKNOWN),
    "or of unknown and false": (Either((SHARES, Has(token("auth_time")))), Truth3.UNKNOWN),
    "or of unknown and its negation": (Either((SHARES, No(SHARES))), Truth3.UNKNOWN),
    "a relation with too few arguments": (Lookup("m.shared", (Const("a"),)), Truth3.UNKNOWN),
    "a relation that is not declared": (Lookup("m.other", (Const("a"),)), Truth3.UNKNOWN),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_conditions(case: str) -> None:
    condition, want = CONDITIONS[case]
    assert worth(condition, ask("/accounts/a%20b", GOOD, host="s.example")) is want


def test_a_host_that_is_not_told_is_unknown() -> None:
    condition = Compare("eq", Attr("request", "host"), Const("s.example"))
    assert worth(condition, ask("/accounts/a", GOOD)) is Truth3.UNKNOWN


NOT_AT_HAND: dict[str, Condition] = {
    "its value": Truth(token("suspended")),
    "whether it is there": Has(token("suspended")),
    "whether it is not": No(Has(token("suspended"))),
    "both": Both((Has(token("suspended")), Truth(token("suspended")))),
    "an age": Age(token("auth_time"), 300_000),
    "an implicit set": Empty(token("scope")),
}


@pytest.mark.parametrize("case", NOT_AT_HAND)
def test_of_a_claim_that_is_not_at_hand_all_is_unknown(case: str) -> None:
    unread = ("suspended", "auth_time", "scope")
    assert worth(NOT_AT_HAND[case], ask("/accounts/a", GOOD, unread=unread)) is Truth3.UNKNOWN


PODS = InNetwork(Attr("request", "ip"), "pods", ((number("10.20.0.0") or 0, number("10.20.255.255") or 0),))

CALLED_BY_B = Compare("eq", Attr("request", "peer"), Const("spiffe://a/b"))

KNOWN_LATE: dict[str, tuple[Condition, Origin, dict[str, Value], Truth3]] = {
    "an address within": (PODS, Origin(ip="10.20.3.4"), {}, Truth3.TRUE),
    "an address outside": (PODS, Origin(ip="10.21.0.0"), {}, Truth3.FALSE),
    "an IPv6 address outside": (PODS, Origin(ip="2001:db8::1"), {}, Truth3.FALSE),
    "an address nobody knows": (PODS, Origin(), {}, Truth3.UNKNOWN),
    "not in, of an address nobody knows": (No(PODS), Origin(), {}, Truth3.UNKNOWN),
    "whether there is an address": (Has(Attr("request", "ip")), Origin(), {}, Truth3.UNKNOWN),
    "a peer": (
        CALLED_BY_B,
        Origin(peer="spiffe://a/b"),
        {},
        Truth3.TRUE,
    ),
    "no peer is another one": (
        CALLED_BY_B,
        Origin(),
        {},
        Truth3.FALSE,
    ),
    "the gateway": (Compare("eq", Attr("request", "gateway"), Const("g")), Origin(gateway="g"), {}, Truth3.TRUE),
    "plain text": (Truth(Attr("request", "tls")), Origin(tls=False), {}, Truth3.FALSE),
    "tls that nobody knows": (Truth(Attr("request", "tls")), Origin(), {}, Truth3.UNKNOWN),
    "a reading": (Compare("lt", signal("risk"), Const(5)), Origin(), {"m.risk": 4}, Truth3.TRUE),
    "no reading": (Compare("lt", signal("risk"), Const(5)), Origin(), {}, Truth3.UNKNOWN),
    "another module's reading": (Compare("lt", signal("risk"), Const(5)), Origin(), {"n.risk": 4}, Truth3.UNKNOWN),
    "whether there is a reading": (Has(signal("risk")), Origin(), {}, Truth3.UNKNOWN),
}


@pytest.mark.parametrize("case", KNOWN_LATE)
def test_what_may_not_be_known(case: str) -> None:
    condition, origin, signals, want = KNOWN_LATE[case]
    assert worth(condition, ask("/accounts/a", GOOD, origin=origin, signals=signals)) is want


def test_deep_guards_are_no_trouble() -> None:
    program = build(SERVICES, ENDPOINTS, [WrittenRule("m.a", "allow", (Has(token("sub")),))], [USER])
    depth = 5_000
    guards: tuple[Guard, ...] = (Lit(0, negated=False),)
    guards += tuple(All((below,)) if below % 2 else AnyOf((below,)) for below in range(depth))
    body = Body((Clause("when 1", "deep", depth),), (), (), ())
    deep = replace(program, guards=guards, bodies=(body,), cells=(Cell(0, "user", (), (CellRule(0, 0),), (), ()),))
    assert decide(deep, ask("/accounts/a", GOOD)).outcome == "allow"
    never = replace(deep, guards=(Lit(0, negated=True), *guards[1:]))
    assert decide(never, ask("/accounts/a", GOOD)).rules[0].clauses[0].failed == "not (token has sub)"
