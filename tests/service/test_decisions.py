"""Every decision case by the reference evaluator, the compiled plan and the service, with the record it wants.

The paths that need a running service are in tests/e2e/test_decision_paths.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from pdp.answers import check_code, http_answer
from pdp.audit.leaf import Leaf
from pdp.audit.replay import Undecidable, agrees, replay
from pdp.config_identity import IssuerConfig
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.model import Decision
from pdp.runtime.engine import same
from pdp.service import DecisionService, Receipts
from policy_lang.meaning.signals import read_signals
from policy_lang.request import Path as RequestPath
from policy_lang.request import canonical_path
from policy_lang.verdict import ANONYMOUS, ActionCall, Caller, HttpCall, Origin, Question
from tests.support.cases import (
    EDGE,
    NOW,
    Case,
    cases,
    check_record,
    check_want,
    claims_at,
    engine,
    inquiry,
    issuers,
)
from tests.support.memory_log import MemoryLog

ALL = list(cases())
EVERY = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
BEFORE_THE_ENGINE = (["token"], ["path"])


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("issuers")
    return Identity(Verifier(read_issuers(configured_issuers(folder))))


def configured_issuers(folder: Path) -> list[IssuerConfig]:
    return [
        IssuerConfig(url=each.url, keys=each.write_keys(folder / f"{number}.json"), algorithms=("ES256",))
        for number, each in enumerate(issuers())
    ]


def _call(case: Case) -> HttpCall | ActionCall | None:
    if case.action is not None:
        resource = case.resource or {}
        return ActionCall(case.action, resource["type"], resource["id"], resource.get("properties", {}))
    path = canonical_path(case.path)
    if not isinstance(path, RequestPath) or case.method is None or case.host is None:
        return None
    host = case.host.lower().partition(":")[0].rstrip(".")
    return HttpCall(case.method, path, host, {name: (value,) for name, value in case.headers.items()})


def _question(case: Case) -> Question | None:
    """The question the engine is asked, where a case gets that far with nothing but canonical parts."""
    call = _call(case)
    if case.want["by"] in BEFORE_THE_ENGINE or case.service is None or call is None or _is_stranger(case):
        return None
    kind = {"https://id.example": "user", "https://machines.example": "machine"}.get(case.issuer)
    claims = {name: value for name, value in claims_at(case, NOW).items() if value is not None}
    caller = ANONYMOUS if case.claims is None else Caller(kind, claims)
    if case.subject is not None:
        caller = Caller("employee", {**case.subject.properties, "id": case.subject.id})
    return Question(
        case.service,
        call,
        caller,
        NOW * 1000,
        engine().facts,
        Origin("203.0.113.7", case.peer or "", EDGE),
        read_signals(engine().program.signals, case.signals),
        case.capabilities,
    )


def _is_stranger(case: Case) -> bool:
    """Whether a subject is of no kind of the policy, which is known before the engine is asked."""
    return case.subject is not None and case.subject.type != "employee"


@EVERY
def test_the_reference_evaluator_decides_it(case: Case) -> None:
    question = _question(case)
    if question is None:
        assert case.want["by"] in (["token"], ["path"], ["route"]) or _is_stranger(case)  # nothing to evaluate yet
        return
    verdict = engine().decide(question)
    check_want(
        case,
        {
            "decision": verdict.outcome,
            "by": list(verdict.by),
            "reason": verdict.reason,
            "subject": verdict.subject,
            "challenges": [challenge.name for challenge in verdict.challenges],
            "headers": {header.name: header.value for header in (*verdict.duties.headers, *verdict.advice.headers)},
            "redactions": list(verdict.duties.redactions),
        },
    )


@EVERY
def test_the_compiled_plan_decides_it_the_same(case: Case) -> None:
    question = _question(case)
    if question is not None:
        call = engine().admit(question)
        assert same(engine().judge(question, call), engine().explain(question, call))


def _decide(case: Case, identity: Identity) -> tuple[Decision, MemoryLog]:
    async def run() -> tuple[Decision, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = MemoryLog(receipts.settled)
        service = DecisionService(
            Evaluator(engine, identity, service_from_host=False),
            log,
            receipts,
            Metrics(),
            strict_methods=frozenset(),
            monotonic=time.monotonic,
        )
        return await service.decide(inquiry(case, NOW), NOW * 1_000_000, 1.0), log

    return asyncio.run(run())


@EVERY
def test_the_service_decides_and_records_it(case: Case, identity: Identity) -> None:
    decision, log = _decide(case, identity)
    answer = http_answer(decision, {})
    challenge = dict(answer.headers).get("www-authenticate", "")
    check_want(
        case,
        {
            "decision": decision.outcome,
            "by": list(decision.by),
            "reason": decision.reason,
            "subject": decision.subject,
            "challenges": [each.name for each in decision.challenges],
            "code": check_code(decision),
            "status": 200 if decision.outcome == "allow" else answer.status,
            "headers": {h.name: h.value for h in (*decision.duties.headers, *decision.advice.headers)},
            "redactions": list(decision.duties.redactions),
        },
    )
    assert str(case.want.get("challenge", "")) in challenge
    (record,) = log.decisions()
    check_record(case, record.clear)
    assert record.receipt.id == decision.id


@EVERY
def test_what_is_recorded_decides_the_same_again(case: Case, identity: Identity) -> None:
    _, log = _decide(case, identity)
    (record,) = log.decisions()
    assert record.inputs is not None
    leaf = Leaf("decision", record.receipt.id, json.loads(json.dumps(record.clear)), None)
    again = replay(leaf, record.inputs, engine())
    if isinstance(again, Undecidable):
        assert case.want["by"] in (["token"], ["path"], ["route"]) or _is_stranger(case), again.why
    else:
        assert agrees(leaf, record.inputs, again)


@EVERY
def test_no_value_of_the_request_or_the_token_stands_in_clear(case: Case, identity: Identity) -> None:
    _, log = _decide(case, identity)
    clear = json.dumps([leaf.clear for leaf in log.leaves])
    asserted = {} if case.subject is None else case.subject.properties
    told = (*(case.claims or {}).values(), *asserted.values(), *case.headers.values())
    values = [value for value in told if isinstance(value, str) and len(value) > 3]
    for value in (*values, "203.0.113.7", "4711", "0b0a8f7e", "canary"):
        assert value in engine().services or value not in clear
