"""The record: what is said in clear, what is sealed, and that it can always be written."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from msgspec.structs import replace

from pdp.audit.inputs import LETTERS, LONGEST, Evidence, Sealable, inputs_of, sealed_inputs, usual_abilities
from pdp.audit.leaf import Leaf, encode
from pdp.audit.record import LONGEST_ATOM, context_entry, decision_entry, explanation, shape_of
from pdp.audit.replay import Undecidable, agrees, replay
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import EXT_AUTHZ, Decision, Inquiry, Json, Principal
from policy_lang.ir import LogDuty
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import CAPABILITIES, ClauseTrace, RuleTrace, Verdict
from tests.support.cases import EDGE, NOW, engine
from tests.support.replays import POLICY, asks, recorded
from tests.support.replays import engine as policy_engine

SECRETS: dict[str, Json] = {
    "sub": "canary-subject-1",
    "accounts": ["canary-account-2"],
    "email": "canary@example.org",
    "aud": "ledger",
    "jti": "canary-token-3",
}
SHAPES = {
    "literals of the inventory in clear": (("accounts", "a1", "entries"), "/accounts/{word}/entries"),
    "integers and ids by kind": (("7", "-7", "0b0a8f7e-1111-4222-8333-444455556666"), "/{int}/{int}/{uuid}"),
    "text that only looks like a number": (("7a", "\u0667", "1e3"), "/{word}/{word}/{word}"),
    "the root": ((), "/"),
    "no more than sixteen segments": (("x",) * 20, "/" + "/".join(["{word}"] * 16) + "/…"),
}


@pytest.mark.parametrize(("segments", "shape"), SHAPES.values(), ids=SHAPES.keys())
def test_an_undeclared_path_is_shown_by_shape(segments: tuple[str, ...], shape: str) -> None:
    assert shape_of(segments, engine()) == shape


def _asked(path: str, **changes: object) -> Inquiry:
    whole: dict[str, object] = {
        "service": "ledger",
        "method": "GET",
        "path": path,
        "host": "ledger.example",
        "headers": (),
        "gateway": "edge",
        "ip": "203.0.113.77",
        "request_id": "canary-request-4",
        "principal": Principal("token", "user", SECRETS, credential=b"x" * 32),
        **changes,
    }
    return Inquiry(**whole)  # type: ignore[arg-type]  # the members are an Inquiry's


def _entry(inquiry: Inquiry) -> tuple[str, bytes | None]:
    evaluation = Evaluator(engine, Identity(Verifier([])), service_from_host=False).evaluate(inquiry, NOW * 1_000_000)
    entry = decision_entry(evaluation.decision, evaluation.evidence, engine(), NOW * 1_000_000, "edge", None)
    return encode(entry.kind, "0" * 32, entry.clear, None).decode(), entry.inputs


PATHS = ("/accounts/canary-account-2", "/canary-path-5", "/accounts/canary-account-2/entries?limit=canary-6", "/a%2fb")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_that_came_with_the_call_stands_in_clear(path: str) -> None:
    clear, _ = _entry(_asked(path))
    assert "canary" not in clear
    assert "203.0.113" not in clear


def test_a_method_and_a_service_of_the_callers_own_invention_are_not_shown() -> None:
    clear, sealed = _entry(_asked("/health", method="CANARY", service="canary-service"))
    assert "anary" not in clear.lower().replace('"other"', "")
    assert b"canary-service" in (sealed or b"")


def test_who_calls_is_sealed_in_the_context_leaf() -> None:
    entry = context_entry(Principal("token", "user", SECRETS), _asked("/health"), 1)
    assert "canary" not in json.dumps(entry.clear)
    assert json.loads(entry.inputs or b"")["sub"] == "canary-subject-1"


def test_only_claims_that_the_cell_may_read_are_kept() -> None:
    _, sealed = _entry(_asked("/accounts/canary-account-2"))
    kept = json.loads(sealed or b"")
    assert "email" not in kept["claims"]
    assert "jti" not in kept["claims"]
    assert "email" in kept["unread"]


def test_bytes_that_are_no_text_and_texts_that_never_end_can_be_recorded() -> None:
    inquiry = _asked("/" + "x" * 100_000, host="h\udcff", request_id="r" * 100_000)
    stated = inputs_of(Evidence(inquiry, None, None, None), {"t": NOW * 1_000_000})
    assert len(str(stated["path"])) == LONGEST["path"]
    assert stated["cut"] == ["host", "path", "rq"]
    assert json.dumps(stated).encode("utf-8")
    clear, sealed = _entry(inquiry)
    assert "path.too_long" in clear
    assert sealed is not None
    assert len(sealed) < 60_000 * 3 // 4 - 200


WORST = {
    "three bytes a character": "\u20ac",
    "four bytes": "\U0001f600",
    "a control": "\x01",
    "a quote": '"',
    "a backslash": "\\",
}


@pytest.mark.parametrize("character", WORST.values(), ids=WORST.keys())
def test_a_refusal_can_be_recorded_whatever_its_path_is_made_of(character: str) -> None:
    clear, sealed = _entry(_asked("/" + character * 16_000, host=character * 600, request_id=character * 600))
    assert '"by":["path"]' in clear
    assert sealed is not None
    assert len(sealed) < 40_000
    assert "path" in json.loads(sealed)["cut"]


def _judged(inquiry: Inquiry) -> tuple[dict[str, Json], dict[str, Json]]:
    """The clear fields and the opened box of the record of a call."""
    clear, sealed = _entry(inquiry)
    return json.loads(clear), json.loads(sealed or b"{}")


NOTES = Inquiry(
    service="desk",
    method="GET",
    path="/notes/canary-owner",
    host="desk.example",
    headers=(("x-device-id", "emu-canary"), ("cookie", "canary-cookie")),
    gateway="edge",
    identity=EDGE,
    capabilities=EXT_AUTHZ,
    ip="203.0.113.77",
    peer="spiffe://example/front",
    principal=Principal("token", "user", {"sub": "canary-subject", "aud": "desk"}),
)


def test_obligations_stand_by_their_words_and_values_are_sealed() -> None:
    clear, sealed = _judged(NOTES)
    assert clear["ob"] == ["set_header x-desk-user", "remove_header x-debug"]
    assert clear["ad"] == ["set_header x-desk-place"]
    assert clear["sh"] == ["desk.suspicious_devices"]
    assert clear["pp"] == "desk.front"
    assert "canary" not in json.dumps(clear)
    assert sealed["sent"] == {"x-desk-user": "canary-subject", "x-desk-place": "front"}
    assert sealed["headers"] == {"x-device-id": ["emu-canary"]}
    assert sealed["can"] == "arsu"


def test_of_the_origin_only_what_the_cell_reads_is_kept() -> None:
    assert "origin" not in _judged(NOTES)[1]
    assert _judged(replace(NOTES, path="/edge"))[1]["origin"] == {"gateway": EDGE}


def test_readings_are_kept_where_the_cell_reads_them() -> None:
    _, sealed = _judged(replace(NOTES, path="/risky", signals={"risk": 7, "other": "canary"}))
    assert sealed["signals"] == {"desk.risk": 7}


ARCHIVE = Inquiry(
    service="archive",
    method=None,
    path=None,
    host=None,
    headers=(),
    gateway="caller",
    principal=Principal(
        "subject", "employee", {"id": "canary-id", "department": "canary-dep", "email": "canary@example.org"}
    ),
    action="read",
    resource={"type": "document", "id": "canary-doc", "properties": {"department": "canary-dep", "owner": "canary"}},
)


def test_a_subject_is_private_as_a_token_is() -> None:
    clear, sealed = _judged(ARCHIVE)
    assert clear["pk"] == "employee"
    assert "canary" not in json.dumps(clear)
    assert sealed["who"] == "canary-id"
    assert sealed["act"] == ["read", "document", "canary-doc"]
    assert sealed["claims"] == {"department": "canary-dep"}
    assert sealed["properties"] == {"department": "canary-dep"}
    assert "canary@example.org" not in json.dumps(sealed)


def test_what_an_observed_call_passed_in_spite_of_is_stated() -> None:
    observed = replace(NOTES, service="trial", host="trial.example", path="/try/u2", peer=None)
    claims = {"sub": "canary-subject", "aud": "trial"}
    clear, _ = _judged(replace(observed, principal=Principal("token", "user", claims)))
    assert clear["os"] == {"d": "deny", "by": ["default"], "rc": "default.no_rule"}
    assert (clear["d"], clear["by"], clear["nr"]) == ("allow", ["observe"], "desk.owners_try")
    assert "vu" in clear


UNWRITABLE: dict[str, Json] = {
    "half a character": "\ud800canary",
    "a number beyond 64 bits": 2**70,
    "nesting without end": json.loads("[" * 200 + "]" * 200),
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_a_refusal_can_be_recorded_whatever_its_properties_are(value: Json) -> None:
    resource: dict[str, Json] = {"type": "document", "id": "d1", "properties": {"department": value}}
    clear, sealed = _judged(replace(ARCHIVE, resource=resource))
    assert clear["by"] == ["schema"]
    assert "canary" not in json.dumps(clear)
    assert sealed["act"] == ["read", "document", "d1"]


def test_an_id_that_is_no_text_can_be_recorded_and_says_so() -> None:
    clear, sealed = _judged(replace(ARCHIVE, resource={"type": "document", "id": "\ud800"}))
    assert clear["by"] == ["schema"]
    assert sealed["cut"] == ["act"]


def test_what_a_reason_is_about_is_said_only_in_words_of_the_policy() -> None:
    strange = replace(ARCHIVE, principal=Principal("subject", "employee", {"id": 7}))
    assert _judged(strange)[0]["sj"] == "id"
    lacking = replace(NOTES, path="/notes/canary-owner?canary-name=1", service="ledger", host="ledger.example")
    assert "sj" not in _judged(lacking)[0]


REPLAYED: dict[str, Inquiry] = {
    "an allow with obligations": NOTES,
    "a capability that lacks": replace(NOTES, capabilities=frozenset()),
    "a refusal through a gateway that may not": replace(NOTES, path="/edge", identity=None),
    "a reading that is there": replace(NOTES, path="/risky", signals={"risk": 10}),
    "a reading that is not": replace(NOTES, path="/risky"),
    "a refusal that conceals": replace(NOTES, path="/hidden"),
    "a long id of the request, which decides nothing": replace(NOTES, request_id="r" * 1_000),
    "an action": ARCHIVE,
    "an action on nothing that is declared": replace(ARCHIVE, action="shred"),
}


@pytest.mark.parametrize("inquiry", REPLAYED.values(), ids=REPLAYED.keys())
def test_a_record_decides_the_same_again(inquiry: Inquiry) -> None:
    clear, sealed = _judged(inquiry)
    leaf = Leaf("decision", "0" * 32, {k: v for k, v in clear.items() if k not in {"v", "k", "id"}}, None)
    again = replay(leaf, json.dumps(sealed).encode(), engine())
    assert isinstance(again, Verdict)
    assert agrees(leaf, json.dumps(sealed).encode(), again)


CHANGED: dict[str, tuple[Inquiry, str, Json]] = {
    "another outcome": (NOTES, "d", "deny"),
    "another rule": (NOTES, "by", ["desk.insiders"]),
    "another obligation": (NOTES, "ob", ["set_header x-desk-user"]),
    "other advice": (NOTES, "ad", []),
    "another shadow rule": (NOTES, "sh", []),
    "another status": (replace(NOTES, path="/hidden"), "st", 403),
    "another alert": (replace(NOTES, path="/hidden"), "al", ["other"]),
    "another instant": (NOTES, "vu", 1),
    "a refusal that was none": (NOTES, "os", {"d": "deny", "by": ["default"], "rc": "default.no_rule"}),
}


@pytest.mark.parametrize("sentence", CHANGED)
def test_a_record_does_not_agree_with(sentence: str) -> None:
    inquiry, field, value = CHANGED[sentence]
    clear, sealed = _judged(inquiry)
    leaf = Leaf("decision", "0" * 32, clear | {field: value}, None)
    again = replay(leaf, json.dumps(sealed).encode(), engine())
    assert isinstance(again, Verdict)
    assert not agrees(leaf, json.dumps(sealed).encode(), again)


def test_a_record_does_not_agree_with_another_value_of_a_header() -> None:
    clear, sealed = _judged(NOTES)
    leaf = Leaf("decision", "0" * 32, clear, None)
    forged = json.dumps(sealed | {"sent": {"x-desk-user": "root", "x-desk-place": "front"}}).encode()
    again = replay(leaf, forged, engine())
    assert isinstance(again, Verdict)
    assert not agrees(leaf, forged, again)


def test_a_usual_call_has_in_its_box_what_stands_nowhere_else() -> None:
    """Not the service, method, kind and instant, which are clear, nor what is as in a call that says nothing."""
    inquiry = replace(NOTES, capabilities=EXT_AUTHZ, peer=None)
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False, issues_tokens=True)
    made = evaluator.evaluate(inquiry, NOW * 1_000_000)
    entry = decision_entry(made.decision, made.evidence, engine(), NOW * 1_000_000, "edge", None)
    assert json.loads(entry.inputs or b"") == {
        "path": "/notes/canary-owner",
        "host": "desk.example",
        "ip": "203.0.113.77",
        "claims": {"sub": "canary-subject", "aud": "desk"},
        "headers": {"x-device-id": ["emu-canary"]},
        "sent": {"x-desk-user": "canary-subject", "x-desk-place": "front"},
    }


SAID: dict[str, tuple[Inquiry, dict[str, Json]]] = {
    "a service that the host said": (replace(NOTES, service=None), {"service": None}),
    "a service that is none": (replace(NOTES, service="canary"), {"service": "canary", "method": None}),
    "a method of the caller's own": (replace(NOTES, method="BREW"), {"method": "BREW"}),
    "a method by the name of the word for all others": (replace(NOTES, method="other"), {"method": "other"}),
    "a host that is not canonical as it came": (replace(NOTES, host="Desk.Example:443"), {"at": "desk.example"}),
    "a gateway that can do nothing": (replace(NOTES, capabilities=frozenset()), {"can": ""}),
    "a gateway that can do all": (replace(NOTES, capabilities=frozenset(LETTERS)), {"can": "adrsu"}),
    "a gateway that is known by its name": (replace(NOTES, path="/edge", identity=None), {"origin": {"gateway": True}}),
}


@pytest.mark.parametrize(("inquiry", "said"), SAID.values(), ids=SAID.keys())
def test_what_is_not_as_the_clear_part_has_it_is_said(inquiry: Inquiry, said: dict[str, Json]) -> None:
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=True)
    made = evaluator.evaluate(inquiry, NOW * 1_000_000)
    entry = decision_entry(made.decision, made.evidence, engine(), NOW * 1_000_000, "edge", None)
    sealed = json.loads(entry.inputs or b"")
    assert {name: sealed.get(name) for name in said} == said
    leaf = Leaf("decision", "0" * 32, entry.clear, None)
    again = replay(leaf, entry.inputs or b"", engine())
    assert isinstance(again, Undecidable) or agrees(leaf, entry.inputs or b"", again)


FRONT = "spiffe://example/front"
WHERE = POLICY.replace(
    "when owns(token.sub, path.id)",
    "when request.ip in 203.0.113.0/24 and not request.peer == front and not request.gateway == front",
).replace("token user {", f'workload front = "{FRONT}"\ntoken user {{', 1)
PLACES: dict[str, tuple[Inquiry, dict[str, Json]]] = {
    "an address and a peer as they came": (replace(asks(), peer="spiffe://example/x"), {"ip": True, "peer": True}),
    "an address that is written otherwise": (replace(asks(), ip="::ffff:203.0.113.7"), {"ip": "203.0.113.7"}),
    "no address": (replace(asks(), ip=None), {}),
}


@pytest.mark.parametrize(("inquiry", "said"), PLACES.values(), ids=PLACES.keys())
def test_where_a_call_came_from_is_said_once(inquiry: Inquiry, said: dict[str, Json]) -> None:
    decided_by = policy_engine(WHERE)
    entry = recorded(inquiry, decided_by)
    assert json.loads(entry.inputs or b"").get("origin", {}) == {"gateway": True, **said}
    leaf = Leaf("decision", "0" * 32, entry.clear, None)
    again = replay(leaf, entry.inputs or b"", decided_by)
    assert isinstance(again, Verdict)
    assert agrees(leaf, entry.inputs or b"", again)


def test_every_ability_has_a_letter_of_its_own() -> None:
    assert LETTERS.keys() == CAPABILITIES
    assert len({*LETTERS.values()}) == len(LETTERS)
    assert (usual_abilities(is_http=True), usual_abilities(is_http=False)) == (EXT_AUTHZ, CAPABILITIES)


def _bulky(**changes: object) -> Inquiry:
    """A call with more of one input than a leaf holds."""
    return replace(NOTES, **changes)


ACCOUNTS: list[Json] = [f"canary-{number:08}" for number in range(6_000)]
BULKY: dict[str, tuple[Inquiry, list[str]]] = {
    "a header": (_bulky(headers=(("x-device-id", "canary" * 10_000),)), ["headers"]),
    "a property": (
        replace(ARCHIVE, resource={"type": "document", "id": "d", "properties": {"department": "canary" * 10_000}}),
        ["properties"],
    ),
    "claims": (
        _asked("/accounts/a", principal=Principal("token", "user", SECRETS | {"accounts": ACCOUNTS})),
        ["claims"],
    ),
}


@pytest.mark.parametrize(("inquiry", "lost"), BULKY.values(), ids=BULKY.keys())
def test_what_is_too_large_for_a_record_keeps_nothing_else_out_of_it(inquiry: Inquiry, lost: list[str]) -> None:
    evaluation = Evaluator(engine, Identity(Verifier([])), service_from_host=False).evaluate(inquiry, NOW * 1_000_000)
    entry = decision_entry(evaluation.decision, evaluation.evidence, engine(), NOW * 1_000_000, "edge", None)
    assert (entry.whole, entry.clear["ct"]) == (False, lost)
    sealed = json.loads(entry.inputs or b"")
    assert sealed["cut"] == lost
    assert not set(lost) & set(sealed)
    assert "canary" not in json.dumps(entry.clear)
    leaf = Leaf("decision", "0" * 32, entry.clear, None)
    assert replay(leaf, entry.inputs or b"", engine()) == Undecidable(
        f"{lost[0]} of the call: in the record in another form or not at all, too large or no text"
    )


def test_of_inputs_that_are_all_too_large_as_much_is_left_out_as_must_be_in_a_fixed_order() -> None:
    evaluation = Evaluator(engine, Identity(Verifier([])), service_from_host=False).evaluate(NOTES, NOW * 1_000_000)
    clear: dict[str, Json] = {"t": NOW * 1_000_000}

    def sealed(most: int) -> Sealable:
        return sealed_inputs(evaluation.decision, evaluation.evidence, clear, most)

    whole = sealed(60_000)
    assert whole.lost == ()
    lost = [sealed(most).lost for most in range(len(whole.data), 0, -1)]
    assert sorted(set(lost), key=len) == [LARGE_OF_NOTES[:number] for number in range(len(LARGE_OF_NOTES) + 1)]
    assert lost == sorted(lost, key=len)


LARGE_OF_NOTES = ("headers", "claims", "sent")
"""What a record of `NOTES` has of the large members."""


def _traced(*clauses: ClauseTrace, level: Literal["minimal", "normal", "full"] = "normal") -> Json:
    """What a record says of how the clauses of the rule that decided came out."""
    trace = RuleTrace("a.b", "deny", "", "a.pol:1", applies=True, clauses=clauses)
    log = LogDuty(level, strict=False)
    return explanation(Decision("deny", ("a.b",), "rule", log=log, rules=(trace,), baselines=("route",))).get("rl")


HELD, NOT_KNOWN = ClauseTrace("for", "", TRUE), ClauseTrace("when 1", "", UNKNOWN, "signal.risk >= 60")


def test_of_a_rule_whose_clauses_all_held_only_a_full_record_says_so() -> None:
    assert _traced(HELD) is None
    assert _traced(HELD, level="minimal") is None
    assert _traced(HELD, level="full") == [["a.b", ["for", "T"]]]
    assert _traced(HELD, NOT_KNOWN) == [["a.b", ["for", "T"], ["when 1", "U", "signal.risk >= 60"]]]


def test_a_rule_that_was_not_looked_at_is_not_taken_for_one_that_held() -> None:
    assert explanation(Decision("deny", ("a.b",), "rule")) == {"nx": 1}
    assert explanation(Decision("deny", ("path",), "path.empty")) == {}


def test_the_nearest_rule_is_told_clause_by_clause() -> None:
    trace = RuleTrace("a.b", "allow", "", "a.pol:1", applies=True, clauses=(HELD,))
    stated = explanation(Decision("deny", ("default",), "default.no_rule", rules=(trace,), nearest="a.b"))
    assert stated == {"nr": "a.b", "rl": [["a.b", ["for", "T"]]]}


def test_a_long_condition_stands_with_its_beginning_in_a_record() -> None:
    trace = RuleTrace(
        "a.b", "allow", "", "a.pol:1", applies=False, clauses=(ClauseTrace("when 1", "", FALSE, "x" * 900),)
    )
    stated = explanation(Decision("deny", ("default",), "default.no_rule", rules=(trace,), nearest="a.b"))
    assert stated["rl"] == [["a.b", ["when 1", "F", "x" * LONGEST_ATOM]]]


def test_a_call_that_is_logged_in_full_and_not_traced_whole_says_so() -> None:
    full = Decision("allow", ("a.b",), "rule", log=LogDuty("full", strict=False))
    assert explanation(full) == {"nx": 1}
    assert explanation(replace(full, baselines=("route", "schema"))) == {}
