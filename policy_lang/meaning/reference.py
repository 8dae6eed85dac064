"""The definition of the language: from a program and a question to a verdict, with the whole trace.

Every other evaluator must agree with this one (policy_lang/verdict.py says on what). To be read beside language.md 5.2.
Admission (steps 1, 2), baselines (3, 4, 6), guards (5.3), obligations (5.5) and the horizon (5.4) have modules of their
own, which name the reasons they give. Credentials and canonical form (step 0) were settled before.

     1, 2  endpoint, captures; query, headers, claims  else deny by route, path or schema
     3     the token is meant for this service         else deny by audience; nobody has no token to ask
     4     no two roles that exclude each other        else deny by exclusive
     5     denies whose guard is not FALSE             deny by them
     6     the endpoint's scopes are the token's       else deny by scope
     7     allows whose guard is TRUE                  else deny by default
     8     requires whose guard is not FALSE           step_up by those with a need that is not TRUE
     9     what they ask goes together and can be done else deny by conflict or capability
     10    allow by the allows

While a service is observed (point J), what policy refuses is an allow by observe, with the refusal beside it; not what
is refused by path, audience, conflict or capability, and no call for an undeclared service. Reasons of its own:

    rule                   the rules named decided
    default.no_rule        no allow applies
    default.no_cell_rule   no allow is written for this endpoint and this kind of caller
    capability.WORD        the gateway cannot do WORD, an obligation or `step_up`
    observe                policy refuses, but not yet

Rules speak in the order of their cell; the first that decides is the primary one. `rules` traces each group that was
looked at (denies, allows, requires), of an allow all its clauses, and every shadow rule.
INVARIANT: total: for every valid program and question there is a verdict. What is UNKNOWN never helps to allow.

Decision (2026-11-21): the nearest allow has the fewest clauses that are not TRUE, all of them counted.
Decision (2026-11-21): `exclusive` is among the baselines of a kind that has roles which exclude each other.
Decision (2026-11-21): a refusal by conflict or capability is logged as every refusal that no deny made, normally.
Decision (2026-11-21): the laws of language.md 5.3 are about what policy says; of an observed call that is `observed`.
Decision (2026-11-21): shadow rules send no alert and ask nothing of a gateway: they are counted, no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir import CellRule, LogDuty, Obligation, Program
from policy_lang.meaning import obligations
from policy_lang.meaning.admission import Admission, Call, Refused
from policy_lang.meaning.baselines import Refusal, audience_refusal, exclusive_refusal, observed_until, scope_refusal
from policy_lang.meaning.horizon import Clockwork, valid_until
from policy_lang.meaning.obligations import Conflict, merged_log
from policy_lang.meaning.tracing import trace_rule
from policy_lang.meaning.values import TRUE
from policy_lang.verdict import NO_DUTIES, Challenge, Observed, Question, RuleTrace, Verdict

Traced = tuple[CellRule, RuleTrace]
OBSERVABLE = frozenset({"route", "schema", "exclusive", "scope", "default"})
"""The words by which policy refuses, beside rules."""


class Reference(Struct, frozen=True):
    """The evaluator of one program."""

    program: Program
    admission: Admission

    @classmethod
    def of(cls, program: Program) -> Reference:
        """The evaluator of a program, to be kept by whoever asks many questions."""
        return cls(program, Admission.of(program))

    def decide(self, question: Question) -> Verdict:
        """The verdict on one question."""
        return self.judge(question, self.admission.admit(question))

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        """The verdict on a question that was admitted (or not), for whoever needs the admission besides."""
        verdict = refused(call) if isinstance(call, Refused) else self._by_baselines(question, call)
        until_ms = observed_until(self.admission, question, call)
        return verdict if until_ms is None else observed(verdict, until_ms)

    def _by_baselines(self, question: Question, call: Call) -> Verdict:
        """Steps 3 and 4, then the rules."""
        reached, kind = Verdict("deny", (), "", "", call.endpoint.id, baselines=("route", "schema")), call.kind
        if refusal := audience_refusal(call, self.program.services, multi_audience=question.caller.multi_audience):
            return _by(reached, refusal)
        reached = _passed(reached, *(() if kind is None else ("audience",)))
        if refusal := exclusive_refusal(call):
            return _by(reached, refusal)
        return self._by_rules(question, call, _passed(reached, *(("exclusive",) if kind and kind.exclusive else ())))

    def _by_rules(self, question: Question, call: Call, reached: Verdict) -> Verdict:
        """Steps 5 to 7; `reached` is what every verdict from here on says."""
        cell = call.cell
        shadow, denies = self._traced(call, cell.shadow), self._traced(call, cell.deny)
        until_ms = valid_until(Clockwork.of(self.program, cell), call.environment)
        quiet = tuple(sorted(_ids(_applying(shadow))))
        reached = replace(reached, shadow=quiet, valid_until_ms=until_ms, rules=_traces(denies, shadow))
        if deciding := _applying(denies):
            return self._denied(reached, deciding)
        if refusal := scope_refusal(call):
            return _by(reached, refusal)
        allows = self._traced(call, cell.allow, whole=True)
        reached = _passed(replace(reached, rules=_traces(denies, allows, shadow)), "scope")
        if granting := _applying(allows):
            requires = self._traced(call, cell.require)
            reached = replace(reached, rules=_traces(denies, allows, requires, shadow))
            return self._granted(question, call, reached, granting, _applying(requires))
        if not allows:
            return _by(reached, Refusal("default", "default.no_cell_rule"))
        return replace(_by(reached, Refusal("default", "default.no_rule")), nearest=_nearest(allows))

    def _denied(self, reached: Verdict, deciding: Sequence[Traced]) -> Verdict:
        """Step 5: all denies that apply speak."""
        musts, shoulds = self._asked(deciding)
        duties, advice = obligations.merged_alerts(musts, shoulds)
        refused = replace(reached, by=_ids(deciding), reason="rule", log=merged_log(musts), duties=duties)
        return replace(refused, advice=advice, status=obligations.merged_answer(musts))

    def _granted(
        self, question: Question, call: Call, reached: Verdict, granting: Sequence[Traced], asking: Sequence[Traced]
    ) -> Verdict:
        """Steps 8 to 10."""
        musts, shoulds = self._asked(asking)
        terms, log, able = obligations.terms_of(call, self.program.signals), merged_log(musts), question.capabilities
        unmet = [(each, challenges) for each in asking if (challenges := self._unmet(each))]
        if unmet and "step_up" in able:
            by = _ids(each for each, _ in unmet)
            asked = tuple(dict.fromkeys(challenge for _, challenges in unmet for challenge in challenges))
            return replace(reached, outcome="step_up", by=by, reason="rule", challenges=asked, log=log)
        if unmet:
            return _by(reached, Refusal("capability", "capability.step_up"))
        duties = obligations.merged_duties(musts, terms)
        if isinstance(duties, Conflict):
            return _by(reached, Refusal("conflict", duties.reason, duties.subject))
        if lack := obligations.lacking(musts, able, terms.held):
            return _by(reached, Refusal("capability", f"capability.{lack}"))
        advice = obligations.merged_advice((*self._asked(granting)[1], *shoulds), duties, terms)
        allowed = replace(reached, outcome="allow", by=_ids(granting), reason="rule", log=log)
        return replace(allowed, duties=duties, advice=advice)

    def _traced(self, call: Call, group: Sequence[CellRule], *, whole: bool = False) -> list[Traced]:
        return [(each, trace_rule(self.program, each, call, whole=whole)) for each in group]

    def _asked(self, speaking: Iterable[Traced]) -> tuple[list[Obligation], list[Obligation]]:
        """What rules must and what they should have done."""
        bodies = [self.program.bodies[each.body] for each, _ in speaking]
        return [each for body in bodies for each in body.must], [each for body in bodies for each in body.should]

    def _unmet(self, traced: Traced) -> list[Challenge]:
        """The challenges of the needs that are not TRUE, of a require that applies."""
        body = self.program.bodies[traced[0].body]
        asked = zip(body.needs, traced[1].clauses[len(body.clauses) :], strict=True)
        return [Challenge(need.challenge, need.within_s) for need, clause in asked if clause.truth is not TRUE]


def decide(program: Program, question: Question) -> Verdict:
    """The verdict on one question."""
    return Reference.of(program).decide(question)


def observed(verdict: Verdict, until_ms: int) -> Verdict:
    """What becomes of a verdict while its service is observed: a refusal by policy passes until then."""
    if verdict.outcome == "allow" or not (verdict.reason == "rule" or verdict.by[0] in OBSERVABLE):
        return verdict
    refusal = Observed(verdict.outcome, verdict.by, verdict.reason, verdict.subject)
    level = "normal" if verdict.log.level == "minimal" else verdict.log.level
    ends_ms = until_ms if verdict.valid_until_ms is None else min(until_ms, verdict.valid_until_ms)
    passed = replace(verdict, outcome="allow", by=("observe",), reason="observe", subject="", challenges=())
    quiet = replace(passed, duties=NO_DUTIES, advice=NO_DUTIES, status=None, log=LogDuty(level, verdict.log.strict))
    return replace(quiet, observed=refusal, valid_until_ms=ends_ms)


def refused(call: Refused) -> Verdict:
    """The verdict on a question that was not admitted."""
    passed = () if call.endpoint is None else ("route",)
    return Verdict("deny", (call.by,), call.reason, call.subject, call.endpoint, baselines=passed)


def _by(reached: Verdict, refusal: Refusal) -> Verdict:
    return replace(reached, by=(refusal.by,), reason=refusal.reason, subject=refusal.subject)


def _passed(reached: Verdict, *baselines: str) -> Verdict:
    return replace(reached, baselines=(*reached.baselines, *baselines))


def _applying(traced: Iterable[Traced]) -> list[Traced]:
    return [each for each in traced if each[1].applies]


def _nearest(allows: Iterable[Traced]) -> str:
    """The id of the allow with the fewest clauses that are not TRUE, the first by id of equals."""
    return min((rule.distance, rule.id) for _, rule in allows)[1]


def _ids(traced: Iterable[Traced]) -> tuple[str, ...]:
    return tuple(rule.id for _, rule in traced)


def _traces(*groups: Iterable[Traced]) -> tuple[RuleTrace, ...]:
    return tuple(rule for group in groups for _, rule in group)
