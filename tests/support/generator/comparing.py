"""The differential run: both evaluators are asked the same about drawn policies, and what was covered is counted.

`compare` asks about one policy; a disagreement is shrunk and raised with all it takes to see it again.
"""

from __future__ import annotations

from functools import partial

from policy_lang.meaning.admission import Call
from tests.support.generator.agreement import difference
from tests.support.generator.tally import Tally
from tests.support.generator.trial import Trial, disagreement, refute

QUESTIONS = 40
"""Questions asked of one policy."""

ATOMS_EVERY = 10
"""Atoms are counted for one question in so many."""


def compare(seed: str, tally: Tally, count: int = QUESTIONS) -> None:
    """Ask both evaluators of the policy of a seed; AssertionError where they differ."""
    trial = Trial.of(seed)
    tally.policies += 1
    for number, question in enumerate(trial.questions(count)):
        admitted = trial.reference.admission.admit(question)
        defined = trial.reference.judge(question, admitted)
        what = difference(defined, trial.plans.judge(question, admitted))
        if what:
            refute(trial, question, what, partial(disagreement, question))
        tally.verdict(defined)
        if number % ATOMS_EVERY == 0 and isinstance(admitted, Call):
            tally.call(trial.program, question, admitted)
