"""Every decision case by the reference evaluator, by the service, and over real gRPC, with the record it wants."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.answers import check_code, http_answer
from pdp.audit.leaf import Leaf, parse
from pdp.audit.reader import find
from pdp.audit.replay import Undecidable, agrees, replay
from pdp.config_tables import IssuerConfig
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.model import EXT_AUTHZ, Decision, Json
from pdp.runtime.engine import same
from pdp.service import DecisionService, Receipts
from policy_lang.meaning.signals import read_signals
from policy_lang.request import Path as RequestPath
from policy_lang.request import canonical_path
from policy_lang.verdict import ANONYMOUS, ActionCall, Caller, HttpCall, Origin, Question
from tests.support.asking import Asker, check_request
from tests.support.cases import (
    EDGE,
    NOW,
    POLICY,
    Case,
    authorization,
    cases,
    check_record,
    check_want,
    claims_at,
    engine,
    inquiry,
    issuers,
)
from tests.support.memory_log import MemoryLog
from tests.support.process import ServedPdp

ALL = list(cases())
ASKED = pytest.mark.parametrize("case", [case for case in ALL if case.subject is None], ids=lambda case: case.name)
EVERY = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
BEFORE_THE_ENGINE = {"token", "path"}


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
    if case.want["by"][0] in BEFORE_THE_ENGINE or case.service is None or call is None:
        return None
    kind = {"https://id.example": "user", "https://machines.example": "machine"}.get(case.issuer)
    claims = {name: value for name, value in claims_at(case, NOW).items() if value is not None}
    caller = ANONYMOUS if case.claims is None else Caller(kind, claims)
    if case.subject is not None:
        caller = Caller("employee", case.subject)
    return Question(
        case.service,
        call,
        caller,
        NOW * 1000,
        engine().facts,
        Origin("203.0.113.7", case.peer or "", EDGE),
        read_signals(engine().program.signals, case.signals),
        EXT_AUTHZ,
    )


@EVERY
def test_the_reference_evaluator_decides_it(case: Case) -> None:
    question = _question(case)
    if question is None:
        assert case.want["by"] in (["token"], ["path"], ["route"])  # refused before there is anything to evaluate
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
        assert case.want["by"] in (["token"], ["path"], ["route"]), again.why
    else:
        assert agrees(leaf, record.inputs, again)


@EVERY
def test_no_value_of_the_request_or_the_token_stands_in_clear(case: Case, identity: Identity) -> None:
    _, log = _decide(case, identity)
    clear = json.dumps([leaf.clear for leaf in log.leaves])
    told = (*(case.claims or {}).values(), *(case.subject or {}).values(), *case.headers.values())
    values = [value for value in told if isinstance(value, str) and len(value) > 3]
    for value in (*values, "203.0.113.7", "4711", "0b0a8f7e", "canary"):
        assert value in engine().services or value not in clear


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPdp]:
    gateway = f'identity = "{EDGE}"\nsignals = true'
    pdp = ServedPdp(tmp_path_factory.mktemp("served"), POLICY, list(issuers()), gateway=gateway)
    pdp.start()
    try:
        yield pdp
    finally:
        pdp.stop()


@ASKED
def test_real_grpc_answers_it_and_the_log_holds_it(case: Case, served: ServedPdp) -> None:
    now = int(time.time())
    header = authorization(case, now)
    headers = {**case.headers, **({} if header is None else {"authorization": header})}
    assert case.method is not None
    assert case.host is not None
    assert case.path is not None
    data = check_request(
        case.method, case.host, case.path, service=case.service, headers=headers, peer=case.peer, signals=case.signals
    )
    with Asker(served.address) as asker:
        answer = asker.ask(data)
    sent = {name: value for name, value in answer.headers.items() if name != "x-portcullis-decision"}
    refused = {"code": answer.code, "status": answer.http_status}
    check_want(case, refused if answer.code else {"code": 0, "headers": sent, "removed": list(answer.removed)})
    assert str(case.want.get("challenge", "")) in answer.headers.get("www-authenticate", "")
    assert answer.decision_id is not None
    assert answer.metadata["decision_id"] == answer.decision_id
    found = find(served.state / "log", served.state / "wal", answer.decision_id)
    assert found is not None
    clear: dict[str, Json] = dict(parse(found.leaf).clear)
    check_record(case, clear)
