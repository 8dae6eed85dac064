"""Runs the cases of `test` blocks: each is asked as a call would ask, and compared with what it expects.

In come a program and cases with names resolved, out come results one at a time, in the order of the cases, so that
whoever runs them can show how far they are. A case takes the way of a real call: canonical path, routing, schema,
rules. Nothing is raised for a case that fails, and a case that expects what the evaluator cannot say fails.

`by` with one name asks for the primary rule (or the word); with several, that all of them decided. `step_up X` asks
that X is among the challenges. `and OBLIGATION` asks that the gateway must or should do it: `log LEVEL` for that level,
and for `strict` where it says so; `redact` for these pointers at least; `issue token with scope` for these scopes and
no others; `answer` for the status of the refusal.
Source: language.md 5.7, point C.

Decision (2026-11-21): the host of a case that gives none is the first host its service declares. A case for a service
without hosts is refused by `route`, as every call to it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from msgspec import Struct

from policy_lang.ir import (
    Alert,
    Answer,
    Const,
    IssueToken,
    LogDuty,
    Program,
    Redact,
    RemoveHeader,
)
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.evaluation import value_of
from policy_lang.meaning.explain import (
    PRIVATE,
    duty_texts,
    header_value,
    outcome_text,
    private_headers,
    private_reads,
    reads_private,
)
from policy_lang.meaning.literals import value_text
from policy_lang.meaning.obligations import header_text
from policy_lang.meaning.reference import Reference
from policy_lang.meaning.tracing import trace_rule
from policy_lang.meaning.values import TRUE
from policy_lang.request import PathRefusal, canonical_path
from policy_lang.trials.cases import Expected, ExpectedHeader, FixedDuty, TestCase, WireCall
from policy_lang.verdict import ActionCall, Header, HttpCall, Question, RuleTrace, Verdict


class TestResult(Struct, frozen=True):
    """What became of one case; `got` and `expected` in the words of a test block.

    `question` is what was asked, None where the path was not canonical and nothing could be. `near_miss` is, where a
    case that names no rule was to be refused or asked for more and was not, the rule that came nearest to doing so,
    with all its clauses: a deny, or a require that needs something.
    """

    case: TestCase
    question: Question | None
    passed: bool
    verdict: Verdict
    got: str
    expected: str
    near_miss: RuleTrace | None = None

    __test__ = False  # not a pytest class


def run_tests(program: Program, cases: Iterable[TestCase]) -> Iterator[TestResult]:
    """The result of each case, as soon as it is known."""
    reference = Reference.of(program)
    hosts = {service.id: service.hosts[0] for service in program.services if service.hosts}
    for case in cases:
        question = _question(case, hosts)
        if isinstance(question, PathRefusal):
            yield _result(program, case, None, None, Verdict("deny", ("path",), question.reason))
        else:
            call = reference.admission.admit(question)
            yield _result(program, case, question, call, reference.judge(question, call))


def _question(case: TestCase, hosts: Mapping[str, str]) -> Question | PathRefusal:
    call = case.call
    asked: HttpCall | ActionCall
    if isinstance(call, WireCall):
        path = canonical_path(call.target)
        if isinstance(path, PathRefusal):
            return path
        host = hosts.get(case.service, "") if call.host is None else call.host
        asked = HttpCall(call.method, path, host, call.headers)
    else:
        asked = call
    return Question(case.service, asked, case.caller, case.now_ms, case.facts, case.origin, case.signals)


def _result(
    program: Program, case: TestCase, question: Question | None, call: Call | Refused | None, verdict: Verdict
) -> TestResult:
    expected = case.expected
    wanted = {each: _wanted(each, call) for each in expected.headers}
    passed = (
        verdict.outcome == expected.outcome
        and _is_by(expected, verdict)
        and (expected.challenge is None or expected.challenge in {each.name for each in verdict.challenges})
        and all(_is_done(each, verdict) for each in expected.obligations)
        and all(header is not None and header in verdict.duties.headers for header in wanted.values())
    )
    reason = f"{verdict.reason}: {verdict.subject}" if verdict.subject else verdict.reason
    private = private_reads(program, case.caller.kind, verdict.endpoint)
    whole = bool(expected.headers or expected.obligations)
    got = _all_done(program, verdict, private) if whole else _outcome(verdict)
    words = f"{got} ({reason})", f"{expected.text}{_worked_out(wanted, private)}"
    missed = None if passed else _near_miss(program, expected, call, verdict)
    return TestResult(case, question, passed, verdict, *words, missed)


def _near_miss(program: Program, expected: Expected, call: Call | Refused | None, verdict: Verdict) -> RuleTrace | None:
    """The rule with the fewest clauses that are not true, the first by id of equals, of those that would have made the
    outcome a case expects without naming who makes it.
    """
    if expected.by or not isinstance(call, Call) or verdict.outcome in {"deny", expected.outcome}:
        return None
    match expected.outcome:
        case "deny":
            group = call.cell.deny
        case "step_up":
            group = tuple(each for each in call.cell.require if program.bodies[each.body].needs)
        case "allow":
            return None
        case _:
            assert_never(expected.outcome)
    traces = (trace_rule(program, each, call, whole=True) for each in group)
    return min(traces, key=lambda rule: (sum(each.truth is not TRUE for each in rule.clauses), rule.id), default=None)


# ---------------------------------------------------------------- met or not


def _is_by(expected: Expected, verdict: Verdict) -> bool:
    if len(expected.by) == 1 or verdict.by == ("observe",):
        return verdict.by[:1] == expected.by
    return set(expected.by) <= set(verdict.by)


def _wanted(expected: ExpectedHeader, call: Call | Refused | None) -> Header | None:
    """The header with the value that the inputs of the call make; None where they make none."""
    if not isinstance(call, Call):
        return None
    text = header_text(value_of(expected.value, call.environment), instant=expected.instant)
    return None if text is None else Header(expected.name, text)


def _is_done(expected: FixedDuty, verdict: Verdict) -> bool:
    """Whether an obligation is among those of a verdict."""
    duties, advice = verdict.duties, verdict.advice
    match expected:
        case LogDuty(level, strict):
            return verdict.log.level == level and (verdict.log.strict or not strict)
        case RemoveHeader(name):
            return name in duties.removed
        case Redact(pointers):
            return set(pointers) <= set(duties.redactions)
        case IssueToken(scopes):
            issued = duties.token_scopes
            return issued is not None and (scopes is None or set(scopes) == set(issued))
        case Alert(channel):
            return channel in duties.alerts + advice.alerts
        case Answer(status):
            return verdict.status == status
        case _:
            assert_never(expected)


# ---------------------------------------------------------------- words


def _worked_out(wanted: Mapping[ExpectedHeader, Header | None], private: frozenset[str]) -> str:
    """What the headers come to whose values are read from the call, so that a person sees what was compared, but for
    those that are made of a private input.
    """
    read = {each: header for each, header in wanted.items() if not isinstance(each.value, Const)}
    texts = (
        f'"{each.name}": {PRIVATE if header is not None and reads_private(each.value, private) else _value(header)}'
        for each, header in read.items()
    )
    return f" ({', '.join(texts)})" if read else ""


def _value(header: Header | None) -> str:
    return "no value" if header is None else value_text(header.value)


def _outcome(verdict: Verdict) -> str:
    return outcome_text(verdict.outcome, verdict.by, verdict.challenges)


def _all_done(program: Program, verdict: Verdict, private: frozenset[str]) -> str:
    """An outcome with all that a gateway must or should do, what is logged and how it is answered."""
    hidden = private_headers(program, private)

    def shown(header: Header) -> str:
        return PRIVATE if header.name in hidden else header_value(header)

    duties = verdict.duties
    musts = outcome_text(verdict.outcome, verdict.by, verdict.challenges, verdict.log, duties, verdict.status, shown)
    return " and ".join((musts, *duty_texts(verdict.advice, shown)))
