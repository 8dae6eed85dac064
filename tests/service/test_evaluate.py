"""Stations (0) to (3): what each reads of an inquiry, and that two evaluators that differ let nothing pass."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from pdp.audit.leaf import Leaf
from pdp.audit.record import decision_entry
from pdp.audit.replay import agrees, replay
from pdp.evaluate import STEPS_PER_SECOND, Evaluation, Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Issuer, Verifier
from pdp.model import EXT_AUTHZ, ClientCertificate, Inquiry, Json, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.runtime.work import Work
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.reference import Reference
from policy_lang.plan.plans import Plans
from policy_lang.verdict import ActionCall, Question, Verdict
from tests.support.cases import EDGE, NOW, engine
from tests.support.crowded import crowded_engine, to
from tests.support.tokens import b64

USERS, RESTING = "https://id.example", "https://resting.example"
DESK = f"""module m
workload front = "spiffe://example/front"
token user {{ issuer "{USERS}" }}
token guest {{ issuer "{RESTING}" }}
service desk {{ audience "desk"  host "desk.example"  endpoint note GET /notes/u1 }}
allow users_read for any user on desk.note because "notes are theirs"
allow guests_read for any guest on desk.note because "notes are shown"
"""
USER = Principal("token", "user", {"sub": "u1", "aud": "desk"})
EMPLOYEE = Principal("subject", "employee", {"id": "e1", "department": "legal"})
DOCUMENT: dict[str, Json] = {"type": "document", "id": "d1", "properties": {"department": "legal"}}
NOTES = Inquiry(
    service="desk",
    method="GET",
    path="/notes/u1",
    host="desk.example",
    headers=(),
    gateway="edge",
    capabilities=EXT_AUTHZ,
    principal=USER,
)
READ = Inquiry(
    service="archive",
    method=None,
    path=None,
    host=None,
    headers=(),
    gateway="caller",
    principal=EMPLOYEE,
    action="read",
    resource=DOCUMENT,
)


def _evaluator(made: Engine | None = None, **options: int) -> Evaluator:
    return Evaluator(lambda: made or engine(), Identity(Verifier([])), service_from_host=True, **options)


def _evaluate(inquiry: Inquiry) -> Evaluation:
    return _evaluator().evaluate(inquiry, NOW * 1_000_000)


def _why(inquiry: Inquiry) -> tuple[str, str, str]:
    decision = _evaluate(inquiry).decision
    return decision.outcome, decision.by[0], decision.reason


def test_an_action_on_a_resource_is_decided() -> None:
    evaluation = _evaluate(READ)
    assert evaluation.decision.outcome == "allow"
    question = evaluation.evidence.question
    assert question is not None
    assert question.call == ActionCall("read", "document", "d1", {"department": "legal"})


def test_an_action_names_its_service_where_one_alone_has_it() -> None:
    assert _why(replace(READ, service=None))[0] == "allow"
    assert _why(replace(READ, service=None, services=frozenset({"desk"}))) == ("deny", "route", "route.no_service")
    assert _why(replace(READ, service=None, action="shred")) == ("deny", "route", "route.no_service")


ACTIONS: dict[str, tuple[Inquiry, str]] = {
    "an action beside a path": (replace(READ, path="/notes/u1"), "request.ambiguous"),
    "an action beside a host": (replace(READ, host="desk.example"), "request.ambiguous"),
    "an action without a resource": (replace(READ, resource=None), "request.missing"),
    "an empty action": (replace(READ, action=""), "request.missing"),
    "a resource without an id": (replace(READ, resource={"type": "document"}), "request.missing"),
    "a resource whose id is a number": (replace(READ, resource={"type": "document", "id": 7}), "request.missing"),
    "a resource with an empty id": (replace(READ, resource={"type": "document", "id": ""}), "request.missing"),
    "properties that are a list": (replace(READ, resource=DOCUMENT | {"properties": []}), "request.missing"),
    "a member that nobody knows": (replace(READ, resource=DOCUMENT | {"owner": "u1"}), "request.missing"),
    "an id without end": (replace(READ, resource=DOCUMENT | {"id": "d" * 2000}), "request.too_long"),
    "an address that is none": (replace(READ, ip="nowhere"), "address.malformed"),
    "a peer that is none": (replace(READ, peer="spiffe://Example/x"), "address.peer"),
    "a call that names nothing": (replace(READ, action=None), "request.missing"),
}


@pytest.mark.parametrize("sentence", ACTIONS)
def test_is_refused_by_name(sentence: str) -> None:
    inquiry, reason = ACTIONS[sentence]
    assert _why(inquiry) == ("deny", "path", reason)


@pytest.mark.parametrize("name", ["x_desk_user", "x-desk_user", "x_debug", "x_portcullis_decision"])
def test_a_header_that_rules_set_or_remove_cannot_be_sent_by_another_spelling(name: str) -> None:
    assert _why(replace(NOTES, headers=((name, "u1"),))) == ("deny", "path", "header.alias")


@pytest.mark.parametrize("name", ["x-desk-user", "x-debug", "x_trace"])
def test_a_header_by_its_own_name_may_be_sent(name: str) -> None:
    assert _why(replace(NOTES, headers=((name, "u1"),)))[0] == "allow"


TRIED = replace(NOTES, service="trial", path="/try/u2", host="trial.example")
SET_BY_RULES = {"x-desk-place", "x-desk-user"}


def test_where_a_call_passes_under_observation_what_rules_remove_is_kept_back_too() -> None:
    """No rule is left to remove it; of a call that rules allow, they say themselves what is removed."""
    passed = _evaluate(
        replace(TRIED, headers=(("x-debug", "1"),), principal=replace(USER, claims={"sub": "u1", "aud": "trial"}))
    )
    assert passed.decision.by == ("observe",)
    assert passed.decision.identity_headers == SET_BY_RULES | {"x-debug"}
    assert _evaluate(NOTES).decision.identity_headers == SET_BY_RULES
    spelt = replace(TRIED, headers=(("x_debug", "1"),))
    assert _why(spelt) == ("deny", "path", "header.alias")


KINDS: dict[str, Principal] = {
    "a token that is said to be a subject": Principal("subject", "user", {"id": "u1"}),
    "a subject that is said to be a token": Principal("token", "employee", {"id": "e1"}),
    "a kind that nobody declares": Principal("token", "root", {}),
    "a token of no kind": Principal("token", None, {}),
    "nobody with a name": Principal("anonymous", "user"),
}


@pytest.mark.parametrize("sentence", KINDS)
def test_is_no_caller(sentence: str) -> None:
    assert _why(replace(NOTES, principal=KINDS[sentence])) == ("deny", "token", "token.kind")


def test_a_subject_opens_no_path() -> None:
    assert _why(replace(NOTES, principal=EMPLOYEE)) == ("deny", "audience", "audience.subject")


def test_the_gateway_is_known_to_policy_by_its_identity_and_not_by_its_name() -> None:
    call = replace(NOTES, path="/edge")
    assert _why(call)[:2] == ("deny", "desk.elsewhere")
    assert _why(replace(call, identity=EDGE))[0] == "allow"
    assert _why(replace(call, gateway=EDGE))[0] == "allow"
    assert _why(replace(call, peer=EDGE))[:2] == ("deny", "desk.elsewhere")


def test_a_repeated_header_reaches_the_policy_as_one_that_is_repeated() -> None:
    assert _why(replace(NOTES, headers=(("x-device-id", "a"), ("x-device-id", "b")))) == (
        "deny",
        "schema",
        "schema.header_repeated",
    )


def test_headers_that_no_endpoint_reads_do_not_reach_the_evaluators() -> None:
    question = _evaluate(replace(NOTES, headers=(("cookie", "secret"), ("x-device-id", "a")))).evidence.question
    assert question is not None
    assert not isinstance(question.call, ActionCall)
    assert question.call.headers == {"x-device-id": ("a",)}


def test_a_gateway_that_can_do_nothing_gets_no_allow_that_asks_something_of_it() -> None:
    assert _why(replace(NOTES, capabilities=frozenset())) == ("deny", "capability", "capability.set_header")


def test_who_is_behind_a_call_is_said_of_every_refusal() -> None:
    nobody = replace(NOTES, principal=None, path="//")
    assert not _evaluate(nobody).decision.authenticated
    assert _evaluate(replace(nobody, peer="spiffe://example/front")).decision.authenticated
    assert not _evaluate(replace(nobody, peer="spiffe://example/other")).decision.authenticated


FRONT, MINUTE = "spiffe://example/front", 60
BOUND: dict[str, Json] = {"cnf": {"x5t#S256": b64(bytes(32))}}
ENDS: dict[str, tuple[dict[str, Json], str | None, int | None, int]] = {
    "a bound token ends with its certificate": (BOUND, None, 1, 1),
    "a bound token ends before its certificate": (BOUND, None, 20, 10),
    "a token that is not bound knows nothing of a certificate": ({}, None, 1, 10),
    "a call of a peer ends with its certificate": ({}, FRONT, 1, 1),
    "a call of a peer whose certificate nobody told ends with its token": ({}, FRONT, None, 10),
    "a bound token of a peer ends with the certificate of both": (BOUND, FRONT, 2, 2),
    "a session that may rest for five minutes ends before all": ({"iss": RESTING, "sid": "s1"}, FRONT, 9, 5),
    "a session ends after the certificate of its peer": ({"iss": RESTING, "sid": "s1"}, FRONT, 3, 3),
}


def _proving() -> Evaluator:
    pins: dict[str, Any] = {"algorithms": frozenset({"ES256"}), "types": frozenset({"at+jwt"})}
    issuers = [Issuer(USERS, None, **pins), Issuer(RESTING, None, session_idle_s=5 * MINUTE, **pins)]
    return Evaluator(_desk, Identity(Verifier(issuers)), service_from_host=False)


@cache
def _desk() -> Engine:
    return engine_of(bundle_of({"m.pol": DESK.encode()}), planned=True)


@pytest.mark.parametrize("sentence", ENDS)
def test_how_long_a_decision_holds_is_recorded_and_found_again(sentence: str) -> None:
    claims, peer, certificate_min, ends_min = ENDS[sentence]
    certificate = None if certificate_min is None else ClientCertificate(bytes(32), NOW + certificate_min * MINUTE)
    token = {"iss": USERS, "sub": "u1", "aud": "desk", "iat": NOW - MINUTE, "exp": NOW + 10 * MINUTE, **claims}
    inquiry = replace(NOTES, principal=None, verified=token, peer=peer, certificate=certificate)
    made = _proving().evaluate(inquiry, AT)
    ends_ms = (NOW + ends_min * MINUTE) * 1_000
    assert (made.decision.outcome, made.decision.valid_until_ms) == ("allow", ends_ms)
    entry = decision_entry(made.decision, made.evidence, made.engine, AT, "edge", None)
    assert entry.inputs is not None
    assert (json.loads(entry.inputs)["ends"], entry.clear["vu"]) == (ends_min * MINUTE, ends_ms)
    leaf = Leaf(entry.kind, "0" * 32, json.loads(json.dumps(entry.clear)), None)
    verdict = replay(leaf, entry.inputs, _desk())
    assert isinstance(verdict, Verdict)
    assert agrees(leaf, entry.inputs, verdict)
    longer = replace(leaf, clear={**leaf.clear, "vu": ends_ms + 1})
    assert not agrees(longer, entry.inputs, verdict)


OVER = ClientCertificate(bytes(32), NOW)
PROVED_NO_MORE: dict[str, Inquiry] = {
    "a token beside a peer whose certificate is over": replace(NOTES, peer=FRONT, certificate=OVER),
    "nobody beside a peer whose certificate is over": replace(NOTES, principal=None, peer=FRONT, certificate=OVER),
    "a bound token whose certificate is over": replace(
        NOTES, principal=None, verified={"iss": USERS, "iat": NOW, "exp": NOW + 60, **BOUND}, certificate=OVER
    ),
    "a path that is refused besides": replace(NOTES, peer=FRONT, certificate=OVER, path="//"),
}


@pytest.mark.parametrize("sentence", PROVED_NO_MORE)
def test_is_refused_as_who_is_proved_no_more(sentence: str) -> None:
    decision = _proving().evaluate(PROVED_NO_MORE[sentence], AT).decision
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("token",), "token.certificate_over")


def test_a_certificate_that_proved_nobody_may_be_over() -> None:
    assert _why(replace(NOTES, certificate=OVER))[0] == "allow"


class _Wrong(Plans):
    """Allows what it should not."""

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow", by=("desk.users_read",), reason="rule")


def _wrong() -> Engine:
    return replace(engine(), plans=_Wrong.of(engine().program))


REFUSED = replace(NOTES, path="/hidden")
AT = NOW * 1_000_000


def _reasons(evaluator: Evaluator, count: int) -> list[str]:
    return [evaluator.evaluate(REFUSED, AT).decision.reason for _ in range(count)]


def test_a_decision_on_which_the_evaluators_differ_is_refused() -> None:
    decision = _evaluator(_wrong(), compare_every=1).evaluate(REFUSED, AT).decision
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("internal",), "internal.disagreement")


def test_each_so_many_th_decision_is_compared_and_after_one_difference_the_definition_alone_decides() -> None:
    evaluator = _evaluator(_wrong(), compare_every=3)
    decisions = [evaluator.evaluate(REFUSED, AT).decision for _ in range(3000)]
    said = [(decision.outcome, decision.by[0]) for decision in decisions]
    assert said[:3] == [("allow", "desk.users_read"), ("allow", "desk.users_read"), ("deny", "internal")]
    assert set(said[3:]) == {("deny", "desk.conceal")}


def test_none_is_compared_where_nobody_wants_it() -> None:
    assert set(_reasons(_evaluator(_wrong(), compare_every=0), 20)) == {"rule"}


def test_a_difference_leaves_the_evidence_of_any_other_refusal() -> None:
    made = _evaluator(_wrong(), compare_every=1).evaluate(REFUSED, AT)
    assert made.evidence.question is not None
    assert made.evidence.inputs is not None
    assert made.evidence.principal == USER
    assert (made.decision.service, made.decision.endpoint) == ("desk", "desk.hidden")
    assert made.decision.authenticated


def test_a_policy_that_comes_back_comes_back_distrusted_and_another_does_not() -> None:
    wrong, right = _wrong(), replace(engine(), ir_digest="another")
    in_force = [wrong]
    evaluator = Evaluator(lambda: in_force[0], Identity(Verifier([])), service_from_host=True, compare_every=1)
    assert evaluator.misgiving() == ""
    assert _reasons(evaluator, 1) == ["internal.disagreement"]
    assert "the definition alone decides" in evaluator.misgiving()
    in_force[0] = right
    assert evaluator.misgiving() == ""
    in_force[0] = _wrong()
    assert _reasons(evaluator, 3) == ["rule"] * 3
    assert evaluator.misgiving()


def test_a_disagreement_is_logged_once_a_policy_and_names_no_value(caplog: pytest.LogCaptureFixture) -> None:
    in_force = [_wrong()]
    evaluator = Evaluator(lambda: in_force[0], Identity(Verifier([])), service_from_host=True, compare_every=1)
    _reasons(evaluator, 3)
    assert len(caplog.records) == 1
    in_force[0] = replace(_wrong(), ir_digest="another", digest="d" * 64)
    _reasons(evaluator, 3)
    assert [record.message.count("desk.hidden") for record in caplog.records] == [1, 1]
    assert "u1" not in caplog.text


class _Broken(Plans):
    """Fails."""

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        raise RecursionError


def test_a_fault_is_logged_once_an_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    evaluator = _evaluator(replace(engine(), plans=_Broken.of(engine().program)))
    for path in ("/hidden", "/hidden", "/notes/u1"):
        assert evaluator.evaluate(replace(NOTES, path=path), AT).decision.reason == "internal.error"
    assert ["desk.hidden" in record.message for record in caplog.records] == [True, False]


def test_refusals_by_default_are_explained_so_many_times_a_second() -> None:
    evaluator = _evaluator(explained_per_second=2)
    stranger = replace(NOTES, path="/notes/nobody")
    told = [evaluator.evaluate(stranger, NOW * 1_000_000).decision.nearest for _ in range(3)]
    assert told == ["desk.users_read", "desk.users_read", None]
    assert evaluator.evaluate(stranger, (NOW + 1) * 1_000_000).decision.nearest == "desk.users_read"


def test_a_refusal_that_passes_under_observation_is_explained_as_any_other() -> None:
    call = replace(NOTES, service="trial", host="trial.example", path="/try/u2", principal=replace(USER, claims={
        "sub": "u1", "aud": "trial",
    }))  # fmt: skip
    decision = _evaluate(call).decision
    assert (decision.outcome, decision.by, decision.nearest) == ("allow", ("observe",), "desk.owners_try")
    assert decision.duties.headers == ()


def test_the_rule_that_decided_is_traced() -> None:
    allowed, denied = _evaluate(NOTES).decision, _evaluate(REFUSED).decision
    assert [trace.id for trace in allowed.rules] == ["desk.users_read"]
    assert [trace.id for trace in denied.rules] == ["desk.conceal"]


class _Asked(Reference):
    """The definition, counting the rules that it traces."""

    steps: ClassVar[list[int]]

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        self.steps.append(Work(self.program).of_cell(call.cell) if isinstance(call, Call) else 0)
        return super().judge(question, call)


def _counted(rules: int, **options: int) -> tuple[Evaluator, list[int]]:
    """An evaluator of a crowded policy, and the steps of each question that the definition is asked."""
    made = crowded_engine(rules)

    class Counting(_Asked):
        steps: ClassVar[list[int]] = []

    counting = Counting(made.program, made.reference.admission)
    return _evaluator(replace(made, reference=counting), **options), Counting.steps


def test_an_endpoint_with_very_many_rules_is_neither_explained_nor_compared() -> None:
    evaluator, steps = _counted(600, compare_every=1)
    decision = evaluator.evaluate(to("/a/zz"), AT).decision
    assert (decision.by, decision.nearest, decision.rules) == (("default",), None, ())
    assert steps == []


def test_a_comparison_that_was_due_at_a_large_endpoint_is_made_at_the_next_small_one() -> None:
    evaluator, steps = _counted(600, compare_every=3, explained_per_second=0)
    for path in ("/a/x1", "/a/x2", "/a/x3", "/a/x4", "/quiet/u1", "/quiet/u1"):
        evaluator.evaluate(to(path), AT)
    assert len(steps) == 1


def test_explaining_takes_no_more_steps_than_there_are_for_a_second() -> None:
    evaluator, steps = _counted(100, explained_per_second=1_000)
    told = [evaluator.evaluate(to("/a/zz"), AT).decision.nearest is not None for _ in range(200)]
    assert told == sorted(told, reverse=True)
    assert 0 < sum(steps) <= STEPS_PER_SECOND
    assert sum(told) == len(steps) < 50
    for second in range(1, 11):
        for _ in range(50):
            evaluator.evaluate(to("/a/zz"), AT + second * 1_000_000)
    assert sum(steps) <= 11 * STEPS_PER_SECOND


def test_a_call_that_is_logged_in_full_is_traced_within_the_same_bound_and_else_by_its_primary_rule() -> None:
    evaluator, steps = _counted(100)
    decisions = [evaluator.evaluate(to("/full/zz"), AT).decision for _ in range(100)]
    traced = [len(decision.rules) for decision in decisions]
    assert {decision.by for decision in decisions} == {("m.everybody",)}
    assert traced[0] > 100
    assert traced[-1] == 1
    assert sum(steps) <= STEPS_PER_SECOND
    assert [bool(decision.baselines) for decision in decisions] == [size > 1 for size in traced]


def test_comparing_takes_no_more_steps_than_there_are_for_a_second() -> None:
    evaluator, steps = _counted(100, compare_every=1, explained_per_second=0)
    for _ in range(200):
        evaluator.evaluate(to("/a/zz"), AT)
    assert 0 < sum(steps) <= STEPS_PER_SECOND


class _Lenient(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow", by=("m.own",), reason="rule")


def test_a_distrusted_policy_is_refused_where_its_definition_takes_too_long() -> None:
    made = crowded_engine(600)
    evaluator = _evaluator(replace(made, plans=_Lenient.of(made.program)), compare_every=1)
    paths = ("/quiet/zz", "/quiet/zz", "/quiet/u1", "/a/x1", "/nowhere")
    decisions = [evaluator.evaluate(to(path), AT).decision for path in paths]
    assert [decision.reason for decision in decisions] == [
        "internal.disagreement",
        "default.no_rule",
        "rule",
        "internal.distrusted",
        "route.endpoint",
    ]
    assert [decision.outcome for decision in decisions] == ["deny", "deny", "allow", "deny", "deny"]
