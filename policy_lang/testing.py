"""Runs the cases of `test` blocks: each is asked as a call would ask, and compared with what it expects.

In come a program and cases with names resolved, out come results one at a time, in the order of the cases, so that
whoever runs them can show how far they are. A case takes the way of a real call: canonical path, routing, schema,
rules. Nothing is raised for a case that fails, and a case that expects what the evaluator cannot say fails.

`by` with one name asks for the primary rule (or the word); with several, that all of them decided. `step_up X` asks
that X is among the challenges. `and log LEVEL` asks for that level, and for `strict` where it says so.
Source: language.md 5.7, point C.

Decision (2026-11-21): the host of a case is the first host its service declares. A case for a service without hosts is
refused by `route`, as every call to it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policy_lang.cases import Expected, TestCase
from policy_lang.explain import outcome_text
from policy_lang.ir import Program
from policy_lang.reference import Reference
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.verdict import Caller, Challenge, Question, Verdict


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of one case; `got` and `expected` in the words of a test block."""

    case: TestCase
    passed: bool
    verdict: Verdict
    got: str
    expected: str

    __test__ = False  # not a pytest class


def run_tests(program: Program, cases: Iterable[TestCase]) -> Iterator[TestResult]:
    """The result of each case, as soon as it is known."""
    reference = Reference.of(program)
    hosts = {service.id: service.hosts[0] for service in program.services if service.hosts}
    for case in cases:
        verdict = _asked(reference, case, hosts.get(case.service, ""))
        log = verdict.log if case.expected.log is not None else None
        got = f"{outcome_text(verdict.outcome, verdict.by, verdict.challenges, log)} ({_finer(verdict)})"
        yield TestResult(case, _met(case.expected, verdict), verdict, got, _expected_text(case.expected))


def _asked(reference: Reference, case: TestCase, host: str) -> Verdict:
    path = canonical_path(case.target)
    if isinstance(path, PathRefusal):
        return Verdict("deny", ("path",), path.reason)
    caller = Caller(case.kind, case.claims)
    return reference.decide(Question(case.service, case.method, path, host, caller, case.now_ms, case.facts))


def _met(expected: Expected, verdict: Verdict) -> bool:
    if verdict.outcome != expected.outcome:
        return False
    if expected.challenge is not None and expected.challenge not in {each.name for each in verdict.challenges}:
        return False
    if expected.log is not None:
        level_met = verdict.log.level == expected.log.level
        if not level_met or (expected.log.strict and not verdict.log.strict):
            return False
    if len(expected.by) == 1:
        return verdict.by[:1] == expected.by
    return set(expected.by) <= set(verdict.by)


def _finer(verdict: Verdict) -> str:
    return f"{verdict.reason}: {verdict.subject}" if verdict.subject else verdict.reason


def _expected_text(expected: Expected) -> str:
    challenges = () if expected.challenge is None else (Challenge(expected.challenge, None),)
    return outcome_text(expected.outcome, expected.by, challenges, expected.log)
