"""The laws of the whole language (language.md 5.3, 5.4), over drawn policies and questions; tests state formulas.

Laws about what policy says look through `observe`: of an observed call the refusal it passed in spite of is meant.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
from msgspec.structs import replace

from policy_lang.compile import Compiled, compile_policy
from policy_lang.ir import Program, guards_of
from policy_lang.ir.codec import dump, load
from policy_lang.layout.formatter import formatted
from policy_lang.meaning.admission import Call
from policy_lang.meaning.evaluation import truth_of_guard
from policy_lang.meaning.explain import sentence, trace_json
from policy_lang.meaning.inputs import recorded_inputs, replay_question
from policy_lang.meaning.reference import Reference
from policy_lang.meaning.schema import fields_of
from policy_lang.plan.plans import Plans
from policy_lang.verdict import CAPABILITIES, ActionCall, Question, Truth3, Verdict
from tests.support.generator.agreement import agreed, difference, policy_says
from tests.support.generator.policies import ENVIRONMENT, Bundle
from tests.support.generator.rules import RuleText
from tests.support.generator.tally import DECIDERS
from tests.support.generator.trial import Trial, compiled_or_told, refute

POLICIES = range(24)
"""Policies that each law is tried on, one test each."""

QUESTIONS = 25


@cache
def trial(number: int) -> Trial:
    """The drawn policy of a number, which several laws share."""
    return Trial.of(f"law {number}")


each_policy = pytest.mark.parametrize("number", POLICIES)


def decided(program: Program, question: Question) -> Verdict:
    """What the definition says; compiled plans agree with it (test_plan_laws.py)."""
    return Reference.of(program).decide(question)


def said(program: Program, question: Question) -> str:
    return policy_says(decided(program, question))


# ---------------------------------------------------------------- total


@each_policy
def test_decide_is_total_and_its_verdict_is_whole(number: int) -> None:
    """For all p, q, hostile q too: decide(p, q) is a verdict whose parts agree with each other."""
    of = trial(number)
    rules = {(rule.id, rule.effect) for rule in of.program.rules}
    endpoints = {endpoint.id for endpoint in of.program.endpoints}
    for question in of.questions(2 * QUESTIONS, "total", hostile=0.5):
        verdict = of.reference.decide(question)
        refusal = verdict if verdict.observed is None else verdict.observed
        if refusal.reason == "rule":
            wanted = {"allow": "allow", "step_up": "require", "deny": "deny"}[refusal.outcome]
            assert {(each, wanted) for each in refusal.by} <= rules
        else:
            assert len(refusal.by) == 1
            assert refusal.by[0] in DECIDERS
            assert refusal.reason.startswith(f"{refusal.by[0]}.")
        assert (verdict.by == ("observe",)) == (verdict.observed is not None)
        assert bool(verdict.challenges) == (verdict.outcome == "step_up")
        assert verdict.endpoint is None or verdict.endpoint in endpoints
        assert (verdict.endpoint is None) == (refusal.by[0] in {"route", "path"})
        assert verdict.valid_until_ms is None or verdict.valid_until_ms > question.now_ms
        assert not {header.name for header in verdict.duties.headers} & set(verdict.duties.removed)
        assert verdict.status is None or verdict.outcome == "deny"
        assert sentence(verdict).endswith(".")
        assert trace_json(verdict, frozenset(), values=True)["decision"] == verdict.outcome
        assert agreed(of.plans.decide(question)) == agreed(verdict)


@each_policy
def test_a_policy_reads_nothing_that_is_missing(number: int) -> None:
    """Where every signal, fact and attribute of the request is at hand, no clause is UNKNOWN (language.md 4.2)."""
    of = trial(number)
    for question in of.questions(2 * QUESTIONS, "complete", hostile=0):
        if not _is_complete(of, question):
            continue
        clauses = [clause for rule in of.reference.decide(question).rules for clause in rule.clauses]
        unknown = [clause.text for clause in clauses if clause.truth is Truth3.UNKNOWN]
        assert unknown == [], f"{of.seed}: {question}"


def _is_complete(of: Trial, question: Question) -> bool:
    """Whether all is at hand, and nothing so large that 64 bits do not hold a sum of it."""
    signals = {signal.id for signal in of.program.signals} == set(question.signals)
    facts = {relation.id for relation in of.program.relations} == set(question.facts)
    told = isinstance(question.call, ActionCall) or bool(question.call.host)
    origin = question.origin.ip is not None and question.origin.tls is not None and told
    large = _LARGE.search(repr((question.signals, question.caller.claims, question.call)))
    return signals and facts and origin and not large and not question.caller.unread


_LARGE = re.compile("[0-9]{15}")
"""A number that no instant or length of time among people is."""


# ---------------------------------------------------------------- information


def hidden(of: Trial, question: Question, rng: random.Random) -> Question:
    """The question with less at hand: signals, facts, attributes of the request, claims."""

    def some(names: Iterator[str]) -> list[str]:
        return [name for name in sorted(names) if rng.random() < 0.4]

    kind = next((kind for kind in of.program.kinds if kind.id == question.caller.kind), None)
    unread = (
        frozenset(some(field.name for field in fields_of(kind))) if kind and rng.random() < 0.5 else frozenset[str]()
    )
    facts = {name: question.facts[name] for name in some(iter(question.facts))}
    signals = {name: question.signals[name] for name in some(iter(question.signals))}
    origin = replace(
        question.origin,
        ip=question.origin.ip if rng.random() < 0.7 else None,
        tls=question.origin.tls if rng.random() < 0.5 else None,
    )
    caller = replace(question.caller, unread=question.caller.unread | unread)
    return replace(question, facts=facts, signals=signals, origin=origin, caller=caller)


@each_policy
def test_what_is_allowed_in_ignorance_is_allowed_in_knowledge(number: int) -> None:
    """q conforms, less <= q: says(p, less) = allow implies says(p, q) = allow."""
    of = trial(number)
    rng = random.Random(number)
    for question in of.questions(2 * QUESTIONS, "monotone"):
        less = hidden(of, question, rng)
        if not isinstance(of.reference.admission.admit(question), Call):
            continue

        if policy_says(of.plans.decide(less)) == "allow" != policy_says(of.plans.decide(question)):

            def again(bundle: Bundle, more: Question = question, less: Question = less) -> str:
                program = bundle.compiled().program
                gained = said(program, less) == "allow" != said(program, more)
                return f"allowed with less at hand: {less}" if gained else ""

            refute(of, question, f"allowed with less at hand: {less}", again)


@each_policy
def test_what_is_known_of_a_guard_stays_known(number: int) -> None:
    """less <= q: worth(g, less) in {U, worth(g, q)}."""
    of = trial(number)
    rng = random.Random(number)
    admission = of.reference.admission
    for question in of.questions(QUESTIONS, "guards", hostile=0):
        more, less = admission.admit(question), admission.admit(hidden(of, question, rng))
        if not isinstance(more, Call):
            continue
        assert isinstance(less, Call)
        for guard in sorted(set(guards_of(of.program, more.cell))):
            before = truth_of_guard(of.program, guard, less.environment)
            assert before in {Truth3.UNKNOWN, truth_of_guard(of.program, guard, more.environment)}


# ---------------------------------------------------------------- adding rules


def with_spare(of: Trial, *effects: str) -> tuple[RuleText, ...]:
    """Rules of these effects that the bundle could have and has not; none of them a shadow."""
    return tuple(replace(rule, shadow=False) for rule in of.bundle.spare if rule.effect in effects)


def compiled_with(of: Trial, rule: RuleText) -> Compiled:
    return compiled_or_told(of.seed, of.bundle.with_rules((*of.bundle.rules, rule)))


@each_policy
def test_adding_a_deny_or_a_require_never_adds_an_allow(number: int) -> None:
    """says(p + d, q) = allow implies says(p, q) = allow."""
    of = trial(number)
    for rule in with_spare(of, "deny", "require"):
        after = compiled_with(of, rule).program
        plans = Plans.of(after)
        for question in of.questions(QUESTIONS, rule.id):
            if policy_says(plans.decide(question)) == "allow" != said(of.program, question):

                def again(bundle: Bundle, rule: RuleText = rule, q: Question = question) -> str:
                    more = bundle.with_rules((*bundle.rules, rule)).compiled().program
                    gained = said(more, q) == "allow" != said(bundle.compiled().program, q)
                    return f"allowed with one rule more:\n{rule.text()}" if gained else ""

                refute(of, question, "a rule that only refuses or asks opened a call", again)


@each_policy
def test_adding_an_allow_never_takes_one_away(number: int) -> None:
    """says(p, q) = allow implies says(p + a, q) = allow; what a deny or a baseline refused is refused as before."""
    of = trial(number)
    for rule in with_spare(of, "allow"):
        after = Reference.of(compiled_with(of, rule).program)
        for question in of.questions(QUESTIONS, rule.id):
            before, now = of.reference.decide(question), after.decide(question)
            what = _lost(before, now)
            if what:

                def again(bundle: Bundle, rule: RuleText = rule, q: Question = question) -> str:
                    more = bundle.with_rules((*bundle.rules, rule)).compiled().program
                    return _lost(decided(bundle.compiled().program, q), decided(more, q))

                refute(of, question, f"{what}\nwith one allow more:\n{rule.text()}", again)


def _lost(before: Verdict, now: Verdict) -> str:
    """What an allow more has taken away or changed that it should not, "" for nothing."""
    if policy_says(before) == "allow":
        return "" if policy_says(now) == "allow" else "an allow is gone"
    refused = before if before.observed is None else before.observed
    if refused.by[0] in {"default", "conflict", "capability"} or refused.outcome == "step_up":
        return ""
    changed = replace(now, valid_until_ms=before.valid_until_ms, shadow=before.shadow)
    return difference(before, changed)


@each_policy
def test_a_shadow_rule_changes_nothing_but_the_list_of_shadow_rules(number: int) -> None:
    """decide(p + shadow r, q) = decide(p, q) but for `shadow` and the instant."""
    of = trial(number)
    for rule in of.bundle.spare:
        after = Reference.of(compiled_with(of, replace(rule, shadow=True)).program)
        for question in of.questions(10, rule.id):
            before, now = of.reference.decide(question), after.decide(question)
            assert set(before.shadow) <= set(now.shadow) <= {*before.shadow, rule.id}
            same = replace(now, shadow=before.shadow, valid_until_ms=before.valid_until_ms)
            assert difference(before, same) == "", f"{of.seed}\n{rule.text()}\n{question}"


# ---------------------------------------------------------------- order and form


@each_policy
def test_the_order_of_files_declarations_rules_and_clauses_never_matters(number: int) -> None:
    """decide(shuffle(p), q) = decide(p, q), challenges taken as a set."""
    of = trial(number)
    turned = compiled_or_told(of.seed, of.bundle, random.Random(number))
    reference, plans = Reference.of(turned.program), Plans.of(turned.program)
    for question in of.questions(QUESTIONS, "order"):
        want = of.reference.decide(question)
        for verdict in (reference.decide(question), plans.decide(question)):
            assert difference(_unordered(want), _unordered(verdict)) == "", f"{of.seed}: {question}"
        assert _unordered(reference.decide(question)).by == _unordered(want).by


def _unordered(verdict: Verdict) -> Verdict:
    return replace(verdict, challenges=tuple(sorted(verdict.challenges, key=repr)))


@each_policy
def test_a_program_written_and_read_is_the_program(number: int) -> None:
    """load(dump(p)) = p, and it decides the same."""
    of = trial(number)
    read = load(dump(of.program))
    assert read == of.program
    plans = Plans.of(read)
    for question in of.questions(10, "codec"):
        assert difference(of.reference.decide(question), plans.decide(question)) == ""


@each_policy
def test_the_canonical_layout_decides_the_same(number: int) -> None:
    """decide(compile(format(text)), q) = decide(compile(text), q), places set aside."""
    of = trial(number)
    laid_out = {name: _formatted(name, data) for name, data in of.bundle.files().items()}
    program = compile_policy(laid_out, settings=ENVIRONMENT).program
    reference = Reference.of(program)
    for question in of.questions(10, "layout"):
        assert difference(of.reference.decide(question), reference.decide(question)) == ""
    assert (program.atoms, program.guards, program.cells) == (of.program.atoms, of.program.guards, of.program.cells)


def _formatted(name: str, data: bytes) -> bytes:
    text = formatted(name, data) if name.endswith(".pol") else data
    assert isinstance(text, str | bytes), text
    return text.encode() if isinstance(text, str) else text


# ---------------------------------------------------------------- gateways, time, records


@each_policy
def test_a_gateway_that_can_do_less_never_opens_a_call(number: int) -> None:
    """able <= all: says(p, q with able) = allow implies says(p, q with all) = allow."""
    of = trial(number)
    rng = random.Random(number)
    for question in of.questions(2 * QUESTIONS, "able"):
        able = frozenset(rng.sample(sorted(CAPABILITIES), rng.randint(0, len(CAPABILITIES) - 1)))
        less, whole = replace(question, capabilities=able), replace(question, capabilities=CAPABILITIES)
        if policy_says(of.plans.decide(less)) == "allow":
            assert policy_says(of.plans.decide(whole)) == "allow", f"{of.seed}: {sorted(able)} {question}"


@each_policy
def test_nothing_changes_before_the_instant_that_a_verdict_names(number: int) -> None:
    """now <= t < valid_until(decide(p, q at now)): decide(p, q at t) = decide(p, q at now)."""
    of = trial(number)
    rng = random.Random(number)
    for question in of.questions(QUESTIONS, "horizon", hostile=0):
        verdict = of.reference.decide(question)
        end = question.now_ms + 10**9 if verdict.valid_until_ms is None else verdict.valid_until_ms
        for at in {end - 1, rng.randrange(question.now_ms, end)}:
            later = of.reference.decide(replace(question, now_ms=at))
            assert difference(verdict, later) == "", f"{of.seed}: at {at}: {question}"


@each_policy
def test_a_replay_of_the_recorded_inputs_decides_the_same(number: int) -> None:
    """decide(p, replay(record(p, q))) = decide(p, q)."""
    of = trial(number)
    for question in of.questions(QUESTIONS, "replay", hostile=0):
        inputs = recorded_inputs(of.program, question)
        again = replay_question(inputs, service=question.service, call=question.call, now_ms=question.now_ms)
        assert difference(of.reference.decide(question), of.reference.decide(again)) == "", f"{of.seed}: {question}"


def test_the_laws_are_tried_on_policies_of_every_size() -> None:
    """Few rules and many, one module and several, are among the policies of this file."""
    bundles = [trial(number).bundle for number in POLICIES]
    sizes: Mapping[str, list[int]] = {
        "rules": [len(bundle.rules) for bundle in bundles],
        "modules": [len(bundle.modules) for bundle in bundles],
    }
    assert min(sizes["rules"]) < 12
    assert max(sizes["rules"]) > 25
    assert set(sizes["modules"]) == {1, 2, 3, 4}
