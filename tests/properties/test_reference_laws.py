"""The laws of the reference evaluator (language.md 5.3), each a formula over generated programs and questions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_lang.admission import Admission, Call
from policy_lang.evaluation import truth_of_atom, truth_of_guard
from policy_lang.explain import sentence, trace_json
from policy_lang.inputs import recorded_inputs, replay_question
from policy_lang.ir import Atom, Program
from policy_lang.reference import decide
from policy_lang.verdict import Facts, Json, Question, Truth3, Verdict
from tests.lang.programs import WrittenRule
from tests.properties.questions import (
    KINDS,
    WELL_TYPED,
    conforming,
    program_of,
    programs,
    questions,
    rule_sets,
    rules,
)

LAW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(verdict: Verdict) -> tuple[object, ...]:
    """What evaluators must agree on."""
    return verdict.outcome, verdict.by, verdict.reason, verdict.subject, verdict.challenges, verdict.log


# ---------------------------------------------------------------- total


@LAW
@given(programs, questions)
def test_decide_is_total_and_its_verdict_is_whole(program: Program, question: Question) -> None:
    """For all p, q: decide(p, q) is a verdict whose parts agree with each other."""
    verdict = decide(program, question)
    effects = {rule.id: rule.effect for rule in program.rules}
    wanted = {"allow": {"allow"}, "step_up": {"require"}, "deny": {"deny"}}[verdict.outcome]
    if verdict.reason == "rule":
        assert {effects[each] for each in verdict.by} == wanted
        assert list(verdict.by) == sorted(set(verdict.by))
    else:
        assert verdict.outcome == "deny"
        assert len(verdict.by) == 1
        assert verdict.reason.startswith(f"{verdict.by[0]}.")
    assert bool(verdict.challenges) == (verdict.outcome == "step_up")
    assert (verdict.endpoint is None) == (verdict.by in {("route",), ("path",)})
    assert sentence(verdict).endswith(".")
    assert trace_json(verdict, frozenset(), values=True)["decision"] == verdict.outcome


@LAW
@given(programs, questions)
def test_a_trace_explains_its_clauses(program: Program, question: Question) -> None:
    """A clause names a failed atom exactly where it is not true; an allow applies exactly where all its clauses are."""
    for rule in decide(program, question).rules:
        assert all((clause.failed == "") == (clause.truth is Truth3.TRUE) for clause in rule.clauses)
        own = [clause.truth for clause in rule.clauses if clause.label.startswith("when")]
        if rule.effect == "allow":
            assert rule.applies == all(each is Truth3.TRUE for each in own)
        else:
            assert rule.applies == all(each is not Truth3.FALSE for each in own)


# ---------------------------------------------------------------- monotone in information

RELATIONS = st.frozensets(st.sampled_from(["m.shared", "m.blocked"]))
CLAIMS = st.frozensets(st.sampled_from([claim.name for claim in KINDS[0].claims] + ["aud", "scope"]))


def hidden(question: Question, relations: frozenset[str], claims: frozenset[str]) -> Question:
    """The question with less at hand: no facts of some relations, some claims unread."""
    facts: Facts = {name: rows for name, rows in question.facts.items() if name not in relations}
    kept: dict[str, Json] = {name: value for name, value in question.caller.claims.items() if name not in claims}
    profile = kept.get("profile")
    if isinstance(profile, dict):
        kept["profile"] = {name: value for name, value in profile.items() if name not in claims}
    return replace(question, facts=facts, caller=replace(question.caller, claims=kept, unread=claims))


@LAW
@given(programs, conforming, RELATIONS, CLAIMS)
def test_what_is_allowed_while_inputs_are_unknown_is_allowed_whatever_they_are(
    program: Program, question: Question, relations: frozenset[str], claims: frozenset[str]
) -> None:
    """decide(p, less) = allow implies decide(p, more) = allow."""
    if decide(program, hidden(question, relations, claims)).outcome == "allow":
        assert decide(program, question).outcome == "allow"


@LAW
@given(programs, conforming, RELATIONS, CLAIMS)
def test_what_is_known_of_a_guard_stays_so_when_more_is_known(
    program: Program, question: Question, relations: frozenset[str], claims: frozenset[str]
) -> None:
    """worth(g, less) in {U, worth(g, more)}."""
    admission = Admission.of(program)
    less, more = admission.admit(hidden(question, relations, claims)), admission.admit(question)
    assert isinstance(less, Call)
    assert isinstance(more, Call)
    for guard in range(len(program.guards)):
        before = truth_of_guard(program, guard, less.environment)
        assert before in {Truth3.UNKNOWN, truth_of_guard(program, guard, more.environment)}


# ---------------------------------------------------------------- adding and ordering rules


@LAW
@given(rule_sets(), rules("deny", "m.new") | rules("require", "m.new"), questions)
def test_adding_a_deny_or_a_require_never_turns_anything_into_allow(
    written: tuple[WrittenRule, ...], more: WrittenRule, question: Question
) -> None:
    """decide(p + d, q) = allow implies decide(p, q) = allow; and a deny decided before stays decided."""
    before = decide(program_of(written), question)
    after = decide(program_of((*written, more)), question)
    if after.outcome == "allow":
        assert before.outcome == "allow"
    if before.outcome == "deny":
        assert after.outcome == "deny"


@LAW
@given(rule_sets(), rules("allow", "m.new"), questions)
def test_adding_an_allow_never_takes_an_allow_away(
    written: tuple[WrittenRule, ...], more: WrittenRule, question: Question
) -> None:
    """decide(p, q) = allow implies decide(p + a, q) = allow; a refusal by a rule or a baseline stays what it was."""
    before = decide(program_of(written), question)
    after = decide(program_of((*written, more)), question)
    if before.outcome == "allow":
        assert after.outcome == "allow"
    if before.outcome == "deny" and before.by != ("default",):
        assert told(after) == told(before)


@LAW
@given(rule_sets(), questions, st.randoms(use_true_random=False))
def test_the_order_of_rules_cells_and_claims_never_matters(
    written: tuple[WrittenRule, ...], question: Question, shuffled: random.Random
) -> None:
    """decide(shuffle(p), shuffle(q)) = decide(p, q), traces included but for the indices they are made from."""
    program = program_of(written)
    others, cells = list(written), list(program_of(written).cells)
    shuffled.shuffle(others)
    shuffled.shuffle(cells)
    claims = list(question.caller.claims.items())
    shuffled.shuffle(claims)
    asked = replace(question, caller=replace(question.caller, claims=dict(claims)))
    want = decide(program, question)
    assert decide(program_of(tuple(others)), asked) == want
    assert decide(replace(program, cells=tuple(cells)), asked) == want


# ---------------------------------------------------------------- records


@LAW
@given(programs, questions)
def test_a_replay_of_the_recorded_inputs_decides_the_same(program: Program, question: Question) -> None:
    """decide(p, replay(record(p, q))) = decide(p, q), and what is recorded of the replay is what was recorded."""
    inputs = recorded_inputs(program, question)
    replayed = replay_question(
        inputs,
        service=question.service,
        method=question.method,
        path=question.path,
        host=question.host,
        now_ms=question.now_ms,
    )
    assert told(decide(program, replayed)) == told(decide(program, question))
    assert recorded_inputs(program, replayed) == inputs


@LAW
@given(programs, questions)
def test_a_record_holds_nothing_that_was_not_asked_for(program: Program, question: Question) -> None:
    """Claims of the record are claims of the caller and read by the cell; rows are rows of the facts and looked up."""
    inputs = recorded_inputs(program, question)
    assert "undeclared" not in inputs.caller.claims
    assert not set(inputs.caller.claims) & inputs.caller.unread
    for attr, value in inputs.reads.items():
        assert attr.root != "token" or value is None or attr.name not in inputs.caller.unread
    profile = inputs.caller.claims.get("profile")
    assert not isinstance(profile, dict) or "more" not in profile
    for looked in inputs.lookups:
        rows = question.facts.get(looked.relation)
        assert looked.found in ({None, looked.arguments in rows} if rows is not None else {None})


# ---------------------------------------------------------------- the generators themselves


def test_the_generators_are_not_one_sided() -> None:
    """Every outcome is frequent, and every well-typed atom is seen true, false and unknown."""
    outcomes: Counter[str] = Counter()
    seen: dict[Atom, set[Truth3]] = {atom: set() for atom in WELL_TYPED}

    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    @given(programs, questions)
    def collect(program: Program, question: Question) -> None:
        verdict = decide(program, question)
        outcomes[f"{verdict.outcome} by rule" if verdict.reason == "rule" else verdict.by[0]] += 1
        call = Admission.of(program).admit(question)
        if isinstance(call, Call):
            for atom, truths in seen.items():
                truths.add(truth_of_atom(atom, call.environment))

    collect()
    shares = {name: count / outcomes.total() for name, count in outcomes.items()}
    print({name: f"{share:.0%}" for name, share in sorted(shares.items())})
    assert shares["allow by rule"] >= 0.20
    assert shares["deny by rule"] >= 0.15
    assert shares["step_up by rule"] >= 0.10
    assert {"route", "schema", "audience", "scope", "default"} <= set(shares)
    always_at_hand = {atom for atom in WELL_TYPED if Truth3.UNKNOWN not in seen[atom]}
    assert all({Truth3.TRUE, Truth3.FALSE} <= truths for truths in seen.values()), seen
    assert len(always_at_hand) <= 6, always_at_hand
