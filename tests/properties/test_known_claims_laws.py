"""Claims that come again with each call mean what they mean when they come once: nothing that is kept of them shows.

Two drawn programs are asked in turn about the same callers, whose claims are one object for all questions, so that what
was kept for one program is there when the other is asked.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from policy_lang.meaning.admission import Admission, Refused
from policy_lang.meaning.derived import Derived
from policy_lang.meaning.inputs import MOST_RECORDED, Inputs, Recorder
from policy_lang.verdict import KnownClaims, Question, Verdict
from tests.support.generator.trial import Trial

SEEDS = range(25)
QUESTIONS = 20


class Asked:
    """One program and what answers and records under it."""

    def __init__(self, seed: str) -> None:
        self.trial = Trial.of(seed)
        self.recorder = Recorder(self.trial.plans.admission)

    def answer(self, question: Question) -> tuple[Verdict, Inputs, object]:
        admission: Admission = self.trial.plans.admission
        call = admission.admit(question)
        claims = call if isinstance(call, Refused) else (call.environment.token, call.environment.subject)
        return self.trial.plans.judge(question, call), self.recorder.record(question, call), claims


def known(question: Question) -> Question:
    """The same with claims that come again."""
    return replace(question, caller=replace(question.caller, claims=KnownClaims(question.caller.claims)))


@pytest.mark.parametrize("seed", SEEDS)
def test_known_claims_are_decided_and_recorded_as_claims_that_come_once(seed: int) -> None:
    one, other = Asked(f"known {seed}"), Asked(f"known too {seed}")
    conforming = 0
    for question in one.trial.questions(QUESTIONS):
        again = known(question)
        before = dict(again.caller.claims)
        for asked in (one, one, other, one, other):
            assert asked.answer(again) == asked.answer(question)
        assert again.caller.claims == before
        conforming += not isinstance(one.trial.plans.admission.admit(question), Refused)
    assert conforming


def test_what_is_kept_of_a_caller_for_records_is_bounded() -> None:
    asked = Asked("known 0")
    claims = KnownClaims({})
    for question in asked.trial.questions(40 * MOST_RECORDED):
        asked.answer(replace(question, caller=replace(question.caller, claims=claims)))
        kept = claims.derived
        assert not isinstance(kept, Derived) or len(kept.recorded) <= MOST_RECORDED


def test_what_is_kept_is_used() -> None:
    """The typed values of the second call are the very ones of the first; of a caller without a kind there are none."""
    asked, kept = Asked("known 0"), 0
    for question in map(known, asked.trial.questions(QUESTIONS)):
        first, second = (asked.answer(question)[2] for _ in range(2))
        if isinstance(first, tuple) and isinstance(second, tuple) and any(first):
            assert all(one is other for one, other in zip(first, second, strict=True) if one)
            kept += 1
    assert kept
