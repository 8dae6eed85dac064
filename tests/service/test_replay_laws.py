"""What is recorded decides the same again: over generated policies of the whole language, and questions near them."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from msgspec.structs import replace

from pdp.audit.inputs import Evidence
from pdp.audit.leaf import Leaf, encode
from pdp.audit.record import decision_entry
from pdp.audit.replay import Undecidable, agrees, replay
from pdp.model import Decision, Inquiry, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import Engine, load_engine
from policy_lang.verdict import HttpCall, Question, Verdict
from tests.support.generator.policies import draw_bundle
from tests.support.generator.pools import NOW_MS
from tests.support.generator.questions import Questioner

QUESTIONS = 40


def _inquiry(question: Question) -> Inquiry:
    """What a gateway would have asked, as far as a record needs it."""
    call = question.call
    target = None
    if isinstance(call, HttpCall):
        target = call.path.text if call.path.query is None else f"{call.path.text}?{call.path.query}"
    method, host = (call.method, call.host) if isinstance(call, HttpCall) else (None, None)
    return Inquiry(question.service, method, target, host, (), "edge")


def _decision(verdict: Verdict) -> Decision:
    return Decision(
        verdict.outcome,
        verdict.by,
        verdict.reason,
        verdict.subject,
        endpoint=verdict.endpoint,
        challenges=verdict.challenges,
        log=verdict.log,
        duties=verdict.duties,
        advice=verdict.advice,
        status=verdict.status,
        shadow=verdict.shadow,
        observed=verdict.observed,
        valid_until_ms=verdict.valid_until_ms,
    )


def _again(engine: Engine, question: Question) -> str:
    """What became of one question: `minimal`, `undecidable` or its outcome; asserts that the record agrees."""
    call = engine.admit(question)
    decision = _decision(engine.judge(question, call))
    evidence = Evidence(_inquiry(question), Principal("anonymous"), question, engine.inputs(question, call))
    entry = decision_entry(decision, evidence, engine, question.now_ms * 1_000, "edge", None)
    encode(entry.kind, "0" * 32, entry.clear, None)
    if entry.inputs is None:
        assert decision.log.level == "minimal"
        return "minimal"
    leaf = Leaf(entry.kind, "0" * 32, json.loads(json.dumps(entry.clear)), None)
    verdict = replay(leaf, entry.inputs, engine)
    if isinstance(verdict, Undecidable):
        assert decision.outcome == "deny" or decision.observed is not None, verdict.why
        return "undecidable"
    assert agrees(leaf, entry.inputs, verdict), f"{question}\n{decision}\n{verdict}"
    return decision.outcome


@pytest.mark.parametrize("seed", range(12))
def test_a_record_of_any_decision_decides_the_same_again(seed: int) -> None:
    """agrees(record(q), replay(record(q))), for every question that its record alone decides."""
    rng = random.Random(f"records {seed}")
    bundle = draw_bundle(rng)
    program = bundle.compiled().program
    engine = load_engine(bundle_of(bundle.files()), program)
    questioner = Questioner(program, engine.facts)
    seen = Counter(_again(engine, questioner.draw(rng)) for _ in range(QUESTIONS))
    assert seen["undecidable"] < QUESTIONS / 2
    for _ in range(QUESTIONS):
        hostile = questioner.hostile(rng)
        _again(engine, replace(hostile, now_ms=NOW_MS))  # our own clock gives no instant beyond 64 bits
