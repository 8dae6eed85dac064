"""Stations (0) to (3): what each reads of an inquiry, and that two evaluators that differ let nothing pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdp.evaluate import Evaluation, Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import EXT_AUTHZ, Inquiry, Json, Principal
from pdp.runtime.engine import Engine
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import ActionCall, Question, Verdict
from tests.support.cases import EDGE, NOW, engine

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


class _Wrong(Plans):
    """Allows what it should not."""

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow", by=("desk.users_read",), reason="rule")


def _wrong() -> Engine:
    return replace(engine(), plans=_Wrong.of(engine().program))


REFUSED = replace(NOTES, path="/hidden")


def test_a_decision_on_which_the_evaluators_differ_is_refused() -> None:
    decision = _evaluator(_wrong(), compare_every=1).evaluate(REFUSED, NOW * 1_000_000).decision
    assert (decision.outcome, decision.by, decision.reason) == ("deny", ("internal",), "internal.disagreement")


def test_each_so_many_th_decision_is_compared() -> None:
    evaluator = _evaluator(_wrong(), compare_every=3)
    reasons = [evaluator.evaluate(REFUSED, NOW * 1_000_000).decision.reason for _ in range(6)]
    assert reasons == ["rule", "rule", "internal.disagreement"] * 2


def test_none_is_compared_where_nobody_wants_it() -> None:
    evaluator = _evaluator(_wrong(), compare_every=0)
    assert {evaluator.evaluate(REFUSED, NOW * 1_000_000).decision.reason for _ in range(20)} == {"rule"}


def test_a_disagreement_is_logged_once_and_names_no_value(caplog: pytest.LogCaptureFixture) -> None:
    evaluator = _evaluator(_wrong(), compare_every=1)
    for _ in range(3):
        evaluator.evaluate(REFUSED, NOW * 1_000_000)
    assert len(caplog.records) == 1
    assert "u1" not in caplog.text


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
