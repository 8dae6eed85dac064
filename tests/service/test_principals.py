"""Who calls, whoever says so: tokens, claims that a gateway verified, subjects; their records, and replaying them."""

from __future__ import annotations

import asyncio
import json
import time
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.audit.inputs import LONGEST
from pdp.audit.leaf import Leaf
from pdp.audit.replay import Undecidable, agrees, replay
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import LONGEST_CLAIMS, Issuer, Verified, Verifier
from pdp.metrics import Metrics
from pdp.model import EXT_AUTHZ, Asserted, Body, Decision, Inquiry, Json, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.service import DecisionService, Receipts
from tests.support.cases import NOW, engine
from tests.support.issuing import TestIssuer
from tests.support.memory_log import Appended, MemoryLog

USERS = "https://id.example"
CLAIMS: dict[str, Json] = {"iss": USERS, "sub": "u1", "aud": "desk", "iat": NOW - 60, "exp": NOW + 600}
NOTES = Inquiry("desk", "GET", "/notes/u1", "desk.example", (), "edge", capabilities=EXT_AUTHZ)
VERIFIED = replace(NOTES, verified=CLAIMS)
EMPLOYEE = Asserted("employee", "e1", {"department": "legal"})
DOCUMENT: dict[str, Json] = {"type": "document", "id": "d1", "properties": {"department": "legal"}}
READ = Inquiry("archive", None, None, None, (), "caller", asserted=EMPLOYEE, action="read", resource=DOCUMENT)


@cache
def minter(url: str) -> TestIssuer:
    return TestIssuer(url)


@cache
def verifier() -> Verifier:
    return Verifier([_issuer(url) for url in (USERS, "https://stranger.example")])


def _issuer(url: str) -> Issuer:
    keys = read_key_set(json.dumps(minter(url).key_set()).encode())
    assert isinstance(keys, KeySet)
    return Issuer(url, keys, frozenset({"ES256"}), frozenset({"at+jwt"}))


def decide(inquiry: Inquiry, by: Engine | None = None) -> tuple[Decision, Appended, list[Appended]]:
    """The decision, its record, and every leaf."""

    async def run() -> tuple[Decision, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = MemoryLog(receipts.settled)
        evaluator = Evaluator(lambda: by or engine(), Identity(verifier()), service_from_host=False, compare_every=1)
        service = DecisionService(
            evaluator, log, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic
        )
        return await service.decide(inquiry, NOW * 1_000_000, 5.0), log

    decision, log = asyncio.run(run())
    (record,) = log.decisions()
    return decision, record, log.leaves


def why(inquiry: Inquiry) -> tuple[str, str, str]:
    decision = decide(inquiry)[0]
    return decision.outcome, decision.by[0], decision.reason


def again(record: Appended, by: Engine | None = None) -> str:
    """What the record alone comes to: `same`, `another` or `undecidable`."""
    leaf = Leaf("decision", record.receipt.id, json.loads(json.dumps(record.clear)), None)
    verdict = replay(leaf, record.inputs or b"", by or engine())
    if isinstance(verdict, Undecidable):
        return "undecidable"
    return "same" if agrees(leaf, record.inputs or b"", verdict) else "another"


def sealed(record: Appended) -> dict[str, Json]:
    found = json.loads(record.inputs or b"")
    assert isinstance(found, dict)
    return found


# ---------------------------------------------------------------- how long it holds

UNTIL = """module m
token user { issuer "https://id.example"  claim until: time }
service desk { audience "desk"  host "desk.example"  endpoint note GET /notes/u1 }
allow for_a_time for any user on desk.note when now < token.until because "until then"
"""


@pytest.mark.parametrize(("until", "ends"), [(NOW + 300, NOW + 300), (NOW + 900, NOW + 600)])
def test_a_decision_holds_no_longer_than_its_rule_and_its_caller(until: int, ends: int) -> None:
    made = engine_of(bundle_of({"m.pol": UNTIL.encode()}), planned=True)
    decision, record, _ = decide(replace(VERIFIED, verified={**CLAIMS, "until": until}), made)
    assert (decision.outcome, decision.valid_until_ms, record.clear["vu"]) == ("allow", ends * 1_000, ends * 1_000)
    assert sealed(record)["ends"] == 600
    assert again(record, made) == "same"


def test_nothing_ends_a_caller_that_is_asserted() -> None:
    decision, record, _ = decide(READ)
    assert (decision.valid_until_ms, "vu" in record.clear, "ends" in sealed(record)) == (None, False, False)


# ---------------------------------------------------------------- two that say who calls

TOKEN = (("authorization", "Bearer x"),)
AMBIGUOUS: dict[str, Inquiry] = {
    "verified claims beside a token": replace(VERIFIED, headers=TOKEN),
    "verified claims beside an empty credential": replace(VERIFIED, headers=(("authorization", ""),)),
    "a subject beside a token": replace(READ, headers=TOKEN),
    "a subject beside verified claims": replace(READ, verified=CLAIMS),
    "a principal beside a token": replace(NOTES, principal=Principal("token", "user", CLAIMS), headers=TOKEN),
    "a principal beside a subject": replace(READ, principal=Principal("anonymous")),
    "a principal beside verified claims": replace(VERIFIED, principal=Principal("token", "user", CLAIMS)),
    "verified claims of nobody beside a token": replace(NOTES, verified={}, headers=TOKEN),
    "a path that is refused besides": replace(VERIFIED, headers=TOKEN, path="//"),
    "headers that are refused besides": replace(VERIFIED, headers=(*TOKEN, ("x\n", ""))),
}


@pytest.mark.parametrize("sentence", AMBIGUOUS)
def test_two_that_say_who_calls_are_believed_neither(sentence: str) -> None:
    decision, record, _ = decide(AMBIGUOUS[sentence])
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("token",), "token.ambiguous")
    assert not decision.authenticated
    assert again(record) == "undecidable"


# ---------------------------------------------------------------- verified claims


def test_verified_claims_are_a_token_of_their_issuer() -> None:
    decision, record, leaves = decide(VERIFIED)
    assert (decision.outcome, decision.by, decision.authenticated) == ("allow", ("desk.users_read",), True)
    assert [header.value for header in decision.duties.headers] == ["u1"]
    assert (record.clear["pk"], record.clear["gv"]) == ("user", 1)
    assert again(record) == "same"
    context = next(leaf for leaf in leaves if leaf.kind == "context")
    assert record.clear["cx"] == context.receipt.id
    assert json.loads(context.inputs or b"")["sub"] == "u1"
    assert "u1" not in json.dumps([leaf.clear for leaf in leaves])


def test_a_token_that_is_verified_here_says_no_gateway_verified_it() -> None:
    token = minter(USERS).mint({"sub": "u1", "aud": "desk"}, NOW)
    decision, record, _ = decide(replace(NOTES, headers=(("authorization", f"Bearer {token}"),)))
    assert decision.outcome == "allow"
    assert "gv" not in record.clear


def deep(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


REFUSED: dict[str, tuple[dict[str, Json], str]] = {
    "no claims": ({}, "token.issuer"),
    "no issuer": ({"iss": None}, "token.issuer"),
    "an issuer that is a list": ({"iss": [USERS]}, "token.issuer"),
    "an issuer that is not configured": ({"iss": "https://id.example/"}, "token.issuer"),
    "an issuer that the policy has no kind of": ({"iss": "https://stranger.example"}, "token.issuer"),
    "no end": ({"exp": None}, "token.claims"),
    "an end in words": ({"exp": str(NOW + 600)}, "token.claims"),
    "an end that is a truth": ({"exp": True}, "token.claims"),
    "an end beyond the calendar": ({"exp": 253_402_300_800}, "token.claims"),
    "an end before the epoch": ({"exp": -1}, "token.claims"),
    "an end that was": ({"exp": NOW - 60, "iat": NOW - 120}, "token.expired"),
    "a beginning that is not yet": ({"nbf": NOW + 60}, "token.not_yet"),
    "issued in the future": ({"iat": NOW + 60}, "token.not_yet"),
    "no beginning": ({"iat": None}, "token.lifetime"),
    "a life too long": ({"exp": NOW + 48 * 3600}, "token.lifetime"),
    "a key to prove that nobody proved": ({"cnf": {"jkt": "x"}}, "token.unproved"),
    "a subject that is a number": ({"sub": 7}, "token.claims"),
    "an audience that is a number": ({"aud": [7]}, "token.claims"),
    "a number that may have been another": ({"account": 2.0**53}, "token.malformed"),
    "a negative number of that size": ({"account": -(2.0**53)}, "token.malformed"),
    "such a number deep inside": ({"a": {"b": [1, {"c": 1e300}]}}, "token.malformed"),
    "an integer of that size": ({"account": 2**53}, "token.malformed"),
    "no number": ({"account": float("nan")}, "token.malformed"),
    "a number without end": ({"account": float("inf")}, "token.malformed"),
    "half a character": ({"sub": "\ud800"}, "token.malformed"),
    "half a character in a name": ({"\ud800": 1}, "token.malformed"),
    "nested without end": ({"deep": deep(40)}, "token.malformed"),
    "too deep for any stack": ({"deep": deep(20_000)}, "token.malformed"),
    "larger than any token": ({"text": "x" * LONGEST_CLAIMS}, "token.too_large"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_verified_claims_are_refused_as_a_token_would_be(sentence: str) -> None:
    changes, reason = REFUSED[sentence]
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None} if changes else {}
    decision, record, _ = decide(replace(NOTES, verified=claims))
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("token",), reason)
    assert not decision.authenticated
    assert record.clear["gv"] == 1
    assert again(record) == "undecidable"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "cnf", "x"]), JSON, max_size=4))
def test_taking_verified_claims_is_total(changes: dict[str, Json]) -> None:
    """For all c: accept(c) is claims within their time of a configured issuer, or a refusal by a reason of tokens."""
    taken = verifier().accept({**CLAIMS, **changes}, NOW)
    if isinstance(taken, Verified):
        assert taken.claims == {**CLAIMS, **changes}
        assert taken.claims["iss"] == taken.issuer.url
        assert taken.expires_at > NOW - taken.issuer.leeway_s
    else:
        assert taken.reason.startswith("token.")


def test_claims_are_one_credential_however_they_are_ordered_and_never_that_of_a_token() -> None:
    there, back = verifier().accept(CLAIMS, NOW), verifier().accept(dict(reversed(CLAIMS.items())), NOW)
    other = verifier().accept({**CLAIMS, "sub": "u2"}, NOW)
    token = verifier().verify(minter(USERS).mint(CLAIMS, NOW), NOW)
    for each in (there, back, other, token):
        assert isinstance(each, Verified)
    credentials = [each.credential for each in (there, back, other, token) if isinstance(each, Verified)]
    assert credentials[0] == credentials[1]
    assert len(set(credentials)) == 3


def test_the_audience_of_verified_claims_is_checked_as_of_any_token() -> None:
    assert why(replace(NOTES, verified={**CLAIMS, "aud": "ledger"})) == ("deny", "audience", "audience.mismatch")


# ---------------------------------------------------------------- asserted subjects


def test_a_subject_is_of_the_kind_whose_type_it_has() -> None:
    decision, record, leaves = decide(READ)
    assert (decision.outcome, decision.by) == ("allow", ("desk.departments_read",))
    assert record.clear["pk"] == "employee"
    assert (sealed(record)["who"], sealed(record)["as"]) == ("e1", "employee")
    assert again(record) == "same"
    assert not [leaf for leaf in leaves if leaf.kind == "context"]


def test_a_subject_says_nothing_by_a_property_named_id() -> None:
    decision, record, _ = decide(replace(READ, asserted=replace(EMPLOYEE, properties={"id": "e2"})))
    assert decision.by == ("default",)
    assert sealed(record)["who"] == "e1"


STRANGERS = {
    "a type that nobody declares": "robot",
    "the name of a token kind": "user",
    "the issuer of a token kind": USERS,
    "the type in another case": "Employee",
    "the type and a space": "employee ",
}


@pytest.mark.parametrize("sentence", STRANGERS)
def test_a_subject_of_no_kind_is_refused_by_schema(sentence: str) -> None:
    decision, record, _ = decide(
        replace(READ, asserted=Asserted(STRANGERS[sentence], "canary", {"department": "legal"}))
    )
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("schema",), "schema.subject")
    assert decision.endpoint == "archive.read_document"
    assert decision.authenticated
    assert "pk" not in record.clear
    assert "canary" not in json.dumps(record.clear)
    assert (sealed(record)["who"], sealed(record)["as"]) == ("canary", STRANGERS[sentence])
    assert again(record) == "same"


def test_of_a_subject_of_no_kind_the_route_is_refused_first() -> None:
    stranger = Asserted("robot", "r1")
    assert why(replace(READ, asserted=stranger, action="shred")) == ("deny", "route", "route.action")
    assert why(replace(READ, asserted=stranger, service=None, action="shred"))[:2] == ("deny", "route")
    assert why(replace(NOTES, asserted=stranger)) == ("deny", "schema", "schema.subject")


OBSERVED = b"""module m
subject robot {
  type "robot"
  property rank: int optional
}
service s {
  audience none
  accepts robot
  observe until 2099-01-01
  endpoint open action "open" on "door"
                property width: int optional
}
allow robots
  for any robot
  on s.open
  when subject has rank and subject.rank > 3
  because "Robots of rank"
"""


def test_a_subject_of_no_kind_does_not_pass_under_observation() -> None:
    made = engine_of(bundle_of({"m.pol": OBSERVED}), planned=True)
    call = replace(
        READ, service="s", action="open", resource={"type": "door", "id": "d"}, asserted=Asserted("robot", "r")
    )
    assert decide(call, made)[0].by == ("observe",)
    for asked in (call, replace(call, resource={"type": "door", "id": "d", "properties": {"width": "wide"}})):
        decision, record, _ = decide(replace(asked, asserted=Asserted("human", "h")), made)
        assert (decision.outcome, decision.by, decision.reason) == ("deny", ("schema",), "schema.subject")
        assert again(record, made) == "same"


UNSAID: dict[str, tuple[Asserted, str]] = {
    "an empty type": (Asserted("", "e1"), "request.missing"),
    "an empty id": (Asserted("employee", ""), "request.missing"),
    "an id without end": (Asserted("employee", "e" * 1025), "request.too_long"),
    "a type without end": (Asserted("e" * 1025, "e1"), "request.too_long"),
}


@pytest.mark.parametrize("sentence", UNSAID)
def test_a_subject_that_no_record_holds_is_refused_by_path(sentence: str) -> None:
    asserted, reason = UNSAID[sentence]
    decision, record, _ = decide(replace(READ, asserted=asserted))
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("path",), reason)
    assert again(record) == "undecidable"


def test_an_id_of_many_bytes_is_cut_in_the_record_and_decided_again_all_the_same() -> None:
    decision, record, _ = decide(replace(READ, asserted=replace(EMPLOYEE, id="\u20ac" * 1024)))
    assert decision.outcome == "allow"
    assert len(str(sealed(record)["who"]).encode()) <= LONGEST["who"]
    assert sealed(record)["cut"] == ["who"]
    assert again(record) == "same"


def test_a_subject_opens_no_path() -> None:
    assert why(replace(NOTES, asserted=EMPLOYEE)) == ("deny", "audience", "audience.subject")


def test_what_was_asked_of_an_action_stands_in_the_record_though_it_never_became_a_question() -> None:
    asked = replace(READ, service=None, action="shred")
    decision, record, _ = decide(asked)
    assert decision.reason == "route.no_service"
    held = sealed(record)
    assert [held[name] for name in ("action", "type", "id")] == ["shred", "document", "d1"]
    assert again(record) == "undecidable"


@pytest.mark.parametrize("resource", [None, {}, {"type": 7, "id": None}, {"type": [], "id": "d1"}], ids=repr)
def test_a_resource_of_any_form_can_be_recorded(resource: dict[str, Json] | None) -> None:
    decision, record, _ = decide(replace(READ, resource=resource))
    assert decision.reason == "request.missing"
    assert sealed(record)["action"] == "read"
    assert again(record) == "undecidable"


# ---------------------------------------------------------------- bodies

KEPT: dict[str, tuple[Body | None, dict[str, Any]]] = {
    "none": (None, {}),
    "a whole one": (Body(5, truncated=False), {"bs": 5}),
    "one that may go on": (Body(5, truncated=True), {"bs": 5, "bt": 1}),
    "an empty one": (Body(0, truncated=False), {"bs": 0}),
}


@pytest.mark.parametrize("sentence", KEPT)
def test_a_body_is_recorded_by_its_size(sentence: str) -> None:
    body, wanted = KEPT[sentence]
    decision, record, _ = decide(replace(VERIFIED, body=body))
    assert decision.outcome == "allow"
    assert {name: record.clear[name] for name in ("bs", "bt") if name in record.clear} == wanted
    assert again(record) == "same"
