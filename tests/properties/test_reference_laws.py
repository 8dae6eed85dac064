"""The laws of the reference evaluator (language.md 5.3), each a formula over generated programs and questions."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang.ir import Atom, Cell, Program
from policy_lang.meaning.admission import Admission, Call, Refused
from policy_lang.meaning.evaluation import truth_of_atom, truth_of_guard, value_of
from policy_lang.meaning.explain import outcome_text, sentence, trace_json
from policy_lang.meaning.inputs import Looked, ReadSet, Recorder, recorded_inputs, replay_question
from policy_lang.meaning.obligations import header_text
from policy_lang.meaning.reference import decide
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import (
    CAPABILITIES,
    NO_DUTIES,
    Capability,
    Facts,
    HttpCall,
    Json,
    Outcome,
    Question,
    Truth3,
    Verdict,
)
from tests.lang.programs import WrittenRule
from tests.properties.questions import (
    KINDS,
    RELATION_IDS,
    WELL_TYPED,
    conforming,
    program_of,
    programs,
    questions,
    rule_sets,
    rules,
)
from tests.support.read_sets import reads

LAW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = ("route", "path", "schema", "audience", "exclusive", "scope", "default", "conflict", "capability")


def told(verdict: Verdict) -> Verdict:
    """What evaluators must agree on (policy_lang/verdict.py)."""
    return replace(verdict, rules=(), nearest=None, by=verdict.by[:1])


def said(verdict: Verdict) -> Outcome:
    """What policy says, whether its service is observed or not."""
    return verdict.outcome if verdict.observed is None else verdict.observed.outcome


# ---------------------------------------------------------------- total


@LAW
@given(programs, questions)
def test_decide_is_total_and_its_verdict_is_whole(program: Program, question: Question) -> None:
    """For all p, q: decide(p, q) is a verdict whose parts agree with each other."""
    verdict = decide(program, question)
    if verdict.reason == "rule":
        effect = {"allow": "allow", "step_up": "require", "deny": "deny"}[verdict.outcome]
        found = {rule.id: rule for rule in program.rules}
        assert len(set(verdict.by)) == len(verdict.by) > 0
        assert all((found[each].effect, found[each].shadow) == (effect, False) for each in verdict.by)
    elif verdict.outcome == "allow":
        assert (verdict.by, verdict.reason) == (("observe",), "observe")
    else:
        assert verdict.outcome == "deny"
        assert verdict.by[0] in WORDS
        assert len(verdict.by) == 1
        assert verdict.reason.startswith(f"{verdict.by[0]}.")
    assert (verdict.observed is None) == (verdict.by != ("observe",))
    assert bool(verdict.challenges) == (verdict.outcome == "step_up")
    refused = verdict.observed or verdict
    assert (verdict.endpoint is None) == (refused.by in {("route",), ("path",)})
    assert set(verdict.shadow) <= {rule.id for rule in program.rules if rule.shadow}
    assert verdict.valid_until_ms is None or verdict.valid_until_ms > question.now_ms
    assert sentence(verdict).endswith(".")
    assert outcome_text(verdict.outcome, verdict.by, verdict.challenges, verdict.log, verdict.duties, verdict.status)
    assert trace_json(verdict, frozenset(), values=True)["decision"] == verdict.outcome


@LAW
@given(programs, questions)
def test_only_an_allow_has_duties_and_a_deny_alerts(program: Program, question: Question) -> None:
    """Duties are sorted, each once; no header is set and removed; every value can be sent; refusals only alert."""
    verdict = decide(program, question)
    for duties in (verdict.duties, verdict.advice):
        names = [header.name for header in duties.headers]
        assert names == sorted(set(names))
        assert not set(names) & set(duties.removed)
        assert all(header_text(header.value, instant=False) == header.value for header in duties.headers)
        for each in (duties.removed, duties.redactions, duties.token_scopes or (), duties.alerts):
            assert list(each) == sorted(set(each))
        if verdict.outcome != "allow":
            assert duties == replace(duties, headers=(), removed=(), redactions=(), token_scopes=None)
    if verdict.outcome == "step_up" or verdict.reason not in {"rule", "observe"}:
        assert (verdict.duties.alerts, verdict.advice.alerts) == ((), ())
    assert verdict.status is None or (verdict.outcome, verdict.reason) == ("deny", "rule")


@LAW
@given(programs, questions)
def test_a_trace_explains_its_clauses(program: Program, question: Question) -> None:
    """A clause names a failed atom exactly where it is not true; an allow applies exactly where all its clauses are."""
    verdict = decide(program, question)
    for rule in verdict.rules:
        assert all((clause.failed == "") == (clause.truth is Truth3.TRUE) for clause in rule.clauses)
        own = [clause.truth for clause in rule.clauses if clause.label.startswith("when")]
        if rule.effect == "allow":
            assert rule.applies == all(each is Truth3.TRUE for each in own)
        else:
            assert rule.applies == all(each is not Truth3.FALSE for each in own)
    assert set(verdict.shadow) == {rule.id for rule in verdict.rules if rule.shadow and rule.applies}


# ---------------------------------------------------------------- monotone in information

RELATIONS = st.frozensets(st.sampled_from(RELATION_IDS))
CLAIMS = st.frozensets(st.sampled_from([claim.name for kind in KINDS[::2] for claim in kind.claims] + ["aud", "scope"]))
READINGS = st.frozensets(st.sampled_from(["m.risk", "m.calm", "ip", "tls"]))


def hidden(question: Question, relations: frozenset[str], claims: frozenset[str], read: frozenset[str]) -> Question:
    """The question with less at hand: no facts of some relations, some claims unread, readings and origin unknown."""
    facts: Facts = {name: rows for name, rows in question.facts.items() if name not in relations}
    kept: dict[str, Json] = {name: value for name, value in question.caller.claims.items() if name not in claims}
    profile = kept.get("profile")
    if isinstance(profile, dict):
        kept["profile"] = {name: value for name, value in profile.items() if name not in claims}
    origin = question.origin
    if "ip" in read:
        origin = replace(origin, ip=None)
    if "tls" in read:
        origin = replace(origin, tls=None)
    signals = {name: value for name, value in question.signals.items() if name not in read}
    caller = replace(question.caller, claims=kept, unread=claims)
    return replace(question, facts=facts, caller=caller, origin=origin, signals=signals)


@LAW
@given(programs, conforming, RELATIONS, CLAIMS, READINGS)
def test_what_is_allowed_while_inputs_are_unknown_is_allowed_whatever_they_are(
    program: Program, question: Question, relations: frozenset[str], claims: frozenset[str], read: frozenset[str]
) -> None:
    """said(decide(p, less)) = allow implies said(decide(p, more)) = allow."""
    if said(decide(program, hidden(question, relations, claims, read))) == "allow":
        assert said(decide(program, question)) == "allow"


@LAW
@given(programs, conforming, RELATIONS, CLAIMS, READINGS)
def test_what_is_known_of_a_guard_stays_so_when_more_is_known(
    program: Program, question: Question, relations: frozenset[str], claims: frozenset[str], read: frozenset[str]
) -> None:
    """worth(g, less) in {U, worth(g, more)}."""
    admission = Admission.of(program)
    less, more = admission.admit(hidden(question, relations, claims, read)), admission.admit(question)
    assume(isinstance(more, Call))
    assert isinstance(less, Call)
    assert isinstance(more, Call)
    for guard in range(len(program.guards)):
        before = truth_of_guard(program, guard, less.environment)
        assert before in {Truth3.UNKNOWN, truth_of_guard(program, guard, more.environment)}


@LAW
@given(programs, conforming, st.frozensets(st.sampled_from(sorted(CAPABILITIES))))
def test_a_capability_that_is_lacking_never_turns_a_refusal_into_an_allow(
    program: Program, question: Question, fewer: frozenset[Capability]
) -> None:
    """decide(p, q - c) = allow implies decide(p, q) = the same; c matters to nothing but allow and step-up."""
    less = decide(program, replace(question, capabilities=question.capabilities & fewer))
    more = decide(program, question)
    if less.outcome != "deny" or less.by != ("capability",):
        assert told(less) == told(more)
    else:
        assert more.outcome != "deny" or more.by == ("capability",)


# ---------------------------------------------------------------- adding and ordering rules


@LAW
@given(rule_sets(), rules("deny", "m.new") | rules("require", "m.new"), questions)
def test_adding_a_deny_or_a_require_never_turns_anything_into_allow(
    written: tuple[WrittenRule, ...], more: WrittenRule, question: Question
) -> None:
    """said(decide(p + d, q)) = allow implies said(decide(p, q)) = allow; a refusal that a deny joins stays one."""
    before = decide(program_of(written), question)
    after = decide(program_of((*written, more)), question)
    if said(after) == "allow":
        assert said(before) == "allow"
    if said(before) == "deny" and more.effect == "deny":
        assert said(after) == "deny"


@LAW
@given(rule_sets(), rules("allow", "m.new"), questions)
def test_adding_an_allow_never_takes_an_allow_away(
    written: tuple[WrittenRule, ...], more: WrittenRule, question: Question
) -> None:
    """said(decide(p, q)) = allow implies said(decide(p + a, q)) = allow; another refusal stays what it was."""
    before = decide(program_of(written), question)
    after = decide(program_of((*written, more)), question)
    if said(before) == "allow":
        assert said(after) == "allow"
    elif (before.observed or before).by != ("default",):
        assert (after.outcome, after.by, after.reason) == (before.outcome, before.by, before.reason)
        assert after.observed == before.observed


@LAW
@given(rule_sets(), rules("allow", "m.new") | rules("deny", "m.new") | rules("require", "m.new"), questions)
def test_a_shadow_rule_changes_nothing(written: tuple[WrittenRule, ...], more: WrittenRule, question: Question) -> None:
    """decide(p + shadow(r), q) = decide(p, q), but for `shadow`, the trace and the horizon, which may come sooner."""
    before = decide(program_of(written), question)
    after = decide(program_of((*written, replace(more, shadow=True))), question)
    assert set(after.shadow) - {"m.new"} == set(before.shadow)
    same = replace(told(after), shadow=before.shadow, valid_until_ms=before.valid_until_ms)
    assert same == told(before)
    if before.valid_until_ms is not None:
        assert after.valid_until_ms is not None
        assert after.valid_until_ms <= before.valid_until_ms


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


@LAW
@given(programs, questions, st.randoms(use_true_random=False))
def test_the_order_within_a_group_says_no_more_than_who_is_primary(
    program: Program, question: Question, shuffled: random.Random
) -> None:
    """decide(shuffle the groups of p, q) = decide(p, q), but for the order of `by`, challenges and the trace."""

    def turned(cell: Cell) -> Cell:
        groups = [list(group) for group in (cell.deny, cell.allow, cell.require, cell.shadow)]
        for group in groups:
            shuffled.shuffle(group)
        return Cell(cell.endpoint, cell.kind, *map(tuple, groups))

    def ordered(verdict: Verdict) -> Verdict:
        challenges = tuple(sorted(verdict.challenges, key=repr))
        observed = verdict.observed and replace(verdict.observed, by=tuple(sorted(verdict.observed.by)))
        plain = replace(verdict, by=tuple(sorted(verdict.by)), challenges=challenges, observed=observed)
        return replace(plain, rules=tuple(sorted(verdict.rules, key=lambda rule: rule.id)))

    other = replace(program, cells=tuple(turned(cell) for cell in program.cells))
    assert ordered(decide(other, question)) == ordered(decide(program, question))


# ---------------------------------------------------------------- time


@LAW
@given(programs, questions, st.integers(1, 10**9))
def test_a_verdict_holds_until_its_horizon(program: Program, question: Question, passed_ms: int) -> None:
    """For all t in [now, horizon): decide(p, q at t) = decide(p, q); for ever where there is none."""
    verdict = decide(program, question)
    if verdict.valid_until_ms is None:
        later = question.now_ms + passed_ms
    else:
        later = question.now_ms + passed_ms % (verdict.valid_until_ms - question.now_ms)
        last = decide(program, replace(question, now_ms=verdict.valid_until_ms - 1))
        assert told(last) == told(verdict)
    if later <= YEAR_9999_MS:
        assert told(decide(program, replace(question, now_ms=later))) == told(verdict)


YEAR_9999_MS = 253_402_300_799_999


# ---------------------------------------------------------------- records


def replayed(program: Program, question: Question) -> Question:
    """The question made again from what is recorded of it."""
    call = question.call
    bare = replace(call, headers={}) if isinstance(call, HttpCall) else replace(call, properties={})
    inputs = recorded_inputs(program, question)
    return replay_question(inputs, service=question.service, call=bare, now_ms=question.now_ms)


@LAW
@given(programs, questions)
def test_a_replay_of_the_recorded_inputs_decides_the_same(program: Program, question: Question) -> None:
    """decide(p, replay(record(p, q))) = decide(p, q), and what is recorded of the replay is what was recorded."""
    again = replayed(program, question)
    assert told(decide(program, again)) == told(decide(program, question))
    assert recorded_inputs(program, again) == recorded_inputs(program, question)


@LAW
@given(programs, questions)
def test_a_record_holds_nothing_that_was_not_asked_for(program: Program, question: Question) -> None:
    """Claims of the record are claims of the caller and read by the cell; rows are rows of the facts and looked up."""
    inputs = recorded_inputs(program, question)
    assert "undeclared" not in inputs.caller.claims
    assert "cookie" not in inputs.headers
    assert "more" not in inputs.properties
    assert not set(inputs.caller.claims) & inputs.caller.unread
    read = reads(program, question)
    roots = {attr.root for attr in read}
    assert inputs.origin.ip is None or "request" in roots
    assert not inputs.signals or "signal" in roots
    for attr, value in read.items():
        assert attr.root not in {"token", "subject"} or value is None or attr.name not in inputs.caller.unread
    profile = inputs.caller.claims.get("profile")
    assert not isinstance(profile, dict) or "more" not in profile
    for looked in inputs.lookups:
        rows = question.facts.get(looked.relation)
        assert looked.found in ({None, looked.arguments in rows} if rows is not None else {None})


@LAW
@given(programs, questions)
def test_a_row_on_record_was_found_as_its_lookup_says(program: Program, question: Question) -> None:
    """looked(l) = (arguments of l, truth of l), for every lookup l of the cell, each once."""
    admission = Admission.of(program)
    call = admission.admit(question)
    if isinstance(call, Refused):
        return
    lookups = ReadSet.of(program, call.cell, call.endpoint, call.kind).lookups
    defined = {
        Looked(
            each.relation,
            tuple(value_of(argument, call.environment) for argument in each.arguments),
            {TRUE: True, FALSE: False, UNKNOWN: None}[truth_of_atom(each, call.environment)],
        ): None
        for each in lookups
    }
    assert Recorder(admission).record(question, call).lookups == tuple(defined)


# ---------------------------------------------------------------- the generators themselves


def _name(verdict: Verdict) -> str:
    return f"{verdict.outcome} by rule" if verdict.reason == "rule" else verdict.by[0]


def test_the_generators_are_not_one_sided() -> None:
    """Every outcome is frequent, every well-typed atom is seen true and false, horizons and replays say something."""
    outcomes: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    seen: dict[Atom, set[Truth3]] = {atom: set() for atom in WELL_TYPED}

    @settings(max_examples=800, deadline=None, database=None, derandomize=True)
    @given(programs, questions)
    def collect(program: Program, question: Question) -> None:
        verdict = decide(program, question)
        outcomes[_name(verdict)] += 1
        notes["duties"] += verdict.outcome == "allow" and verdict.duties != NO_DUTIES
        notes["scopes"] += verdict.duties.token_scopes is not None
        notes["status"] += verdict.status is not None
        notes["shadow"] += bool(verdict.shadow)
        notes["horizon"] += verdict.valid_until_ms is not None
        if verdict.valid_until_ms is not None:
            then = decide(program, replace(question, now_ms=verdict.valid_until_ms))
            notes["horizon needed"] += (then.outcome, then.by) != (verdict.outcome, verdict.by)
        kept = recorded_inputs(program, question).caller
        notes["replayed with fewer claims"] += verdict.reason == "rule" and len(kept.claims) < len(
            question.caller.claims
        )
        call = Admission.of(program).admit(question)
        if isinstance(call, Call):
            for atom, truths in seen.items():
                truths.add(truth_of_atom(atom, call.environment))

    collect()
    shares = {name: count / outcomes.total() for name, count in outcomes.items()}
    print({name: f"{share:.1%}" for name, share in sorted(shares.items())}, dict(notes))
    assert shares["allow by rule"] >= 0.20
    assert shares["deny by rule"] >= 0.15
    assert shares["step_up by rule"] >= 0.10
    assert set(WORDS) <= {*shares, "path"}
    assert {"observe"} <= set(shares)
    assert len(notes) == 7
    assert all(count >= 3 for count in notes.values())
    one_sided = [atom for atom, truths in seen.items() if not {Truth3.TRUE, Truth3.FALSE} <= truths]
    assert not one_sided
    always_at_hand = {atom for atom in WELL_TYPED if Truth3.UNKNOWN not in seen[atom]}
    assert len(always_at_hand) <= 8, always_at_hand
