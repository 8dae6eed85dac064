"""The definition of the language: from a program and a question to a verdict, with the whole trace.

Every other evaluator must agree with this one on outcome, `by`, `reason`, challenges and log duty. To be read beside
language.md 5.2; admission (steps 1, 2) and the worth of guards (5.3) have modules of their own. Credentials and
canonical form (step 0) were settled before; exclusive roles, obligations but the log, and the capabilities of gateways
(steps 4, 9) are not in this version.

     1, 2  endpoint, captures; query and claims    else deny by route, path or schema
     3     the token is meant for this service     else deny by audience; an anonymous call has no token to ask
     5     denies whose guard is not FALSE         deny by them
     6     the endpoint's scopes are the token's   else deny by scope
     7     allows whose guard is TRUE              else deny by default
     8     requires whose guard is not FALSE       step_up by those with a need that is not TRUE
     10    allow by the allows

Reasons, beside those of routing and schema:

    rule                   the rules named decided
    audience.none_taken    the service takes no tokens, and one was presented
    audience.missing       the token names no audience
    audience.mismatch      none of its audiences is the service's
    audience.several       it names another declared service's audience as well, and its issuer may not do that
    scope.missing          the token lacks scopes of the endpoint; `subject` lists them
    default.no_rule        no allow applies
    default.no_cell_rule   no allow is written for this endpoint and this kind of caller

Rules speak in the order of their ids, wherever they stand; the first that decides is the primary one. `rules` traces
each group that was looked at (denies, allows, requires), of an allow all its clauses.
INVARIANT: total: for every valid program and question there is a verdict. What is UNKNOWN never helps to allow.

Decision (2026-11-21): an audience that the called service shares with another does not name that other one.
Decision (2026-11-21): the nearest allow has the fewest clauses that are not TRUE, all of them counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policy_lang.admission import Admission, Call, Refused
from policy_lang.ir import NORMAL_LOG, Attr, CellRule, LogDuty, LogLevel, Program
from policy_lang.tracing import trace_rule
from policy_lang.values import TRUE
from policy_lang.verdict import Caller, Challenge, Question, RuleTrace, Verdict

Traced = tuple[CellRule, RuleTrace]
LEVELS: tuple[LogLevel, ...] = ("minimal", "normal", "full")
"""From the lowest."""


@dataclass(frozen=True, slots=True)
class Reference:
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
        if isinstance(call, Refused):
            routed = () if call.endpoint is None else ("route",)
            return Verdict("deny", (call.by,), call.reason, call.subject, call.endpoint, baselines=routed)
        reason = self._audience(call, question.caller)
        if reason is not None:
            return Verdict("deny", ("audience",), reason, endpoint=call.endpoint.id, baselines=("route", "schema"))
        return self._by_rules(call, ("route", "schema", *(() if question.caller.kind is None else ("audience",))))

    def _audience(self, call: Call, caller: Caller) -> str | None:
        """Step 3: the reason of a refusal."""
        if caller.kind is None:
            return None
        if not call.service.audiences:
            return "audience.none_taken"
        named = _strings(call, "aud")
        if not named:
            return "audience.missing"
        if named.isdisjoint(call.service.audiences):
            return "audience.mismatch"
        foreign = named.difference(call.service.audiences)
        several = any(not foreign.isdisjoint(service.audiences) for service in self.program.services)
        return "audience.several" if several and not caller.multi_audience else None

    def _by_rules(self, call: Call, passed: tuple[str, ...]) -> Verdict:
        """Steps 5 to 10."""
        endpoint = call.endpoint.id
        denies = self._traced(call, call.cell.deny)
        deciding = [each for each in denies if each[1].applies]
        if deciding:
            log = self._log(deciding)
            return Verdict("deny", _ids(deciding), "rule", "", endpoint, (), log, _traces(denies), None, passed)

        missing = " ".join(sorted(set(call.endpoint.scopes) - _strings(call, "scope")))
        if missing:
            traces = _traces(denies)
            return Verdict("deny", ("scope",), "scope.missing", missing, endpoint, rules=traces, baselines=passed)
        passed = (*passed, "scope")

        allows = self._traced(call, call.cell.allow, whole=True)
        granting = [each for each in allows if each[1].applies]
        if not granting:
            reason, nearest = ("default.no_rule", _nearest(allows)) if allows else ("default.no_cell_rule", None)
            traces = _traces(denies, allows)
            return Verdict("deny", ("default",), reason, "", endpoint, (), NORMAL_LOG, traces, nearest, passed)

        requires = self._traced(call, call.cell.require)
        log = self._log(each for each in requires if each[1].applies)
        traces = _traces(denies, allows, requires)
        unmet = [(each, challenges) for each in requires if (challenges := _unmet(each))]
        if unmet:
            by = _ids(each for each, _ in unmet)
            asked = tuple(dict.fromkeys(challenge for _, challenges in unmet for challenge in challenges))
            return Verdict("step_up", by, "rule", "", endpoint, asked, log, traces, None, passed)
        return Verdict("allow", _ids(granting), "rule", "", endpoint, (), log, traces, None, passed)

    def _traced(self, call: Call, group: Sequence[CellRule], *, whole: bool = False) -> list[Traced]:
        ordered = sorted(group, key=lambda each: self.program.rules[each.rule].id)
        return [(each, trace_rule(self.program, each, call.environment, whole=whole)) for each in ordered]

    def _log(self, speaking: Iterable[Traced]) -> LogDuty:
        """The highest level and `strict` of what the rules say of the log; the normal duty where none does."""
        duties = [duty for each, _ in speaking if (duty := self.program.rules[each.rule].log) is not None]
        if not duties:
            return NORMAL_LOG
        return LogDuty(max((duty.level for duty in duties), key=LEVELS.index), any(duty.strict for duty in duties))


def decide(program: Program, question: Question) -> Verdict:
    """The verdict on one question."""
    return Reference.of(program).decide(question)


def _strings(call: Call, claim: str) -> frozenset[str]:
    """An implicit set of the token; empty where it is not at hand or nobody calls."""
    value = call.environment.values.get(Attr("token", claim))
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, frozenset) else frozenset()


def _unmet(traced: Traced) -> list[Challenge]:
    """The challenges of the needs that are not TRUE, of a require that applies."""
    cell_rule, rule = traced
    if not rule.applies:
        return []
    asked = zip(cell_rule.needs, rule.clauses[len(cell_rule.clauses) :], strict=True)
    return [Challenge(need.challenge, need.within_s) for need, clause in asked if clause.truth is not TRUE]


def _nearest(allows: Iterable[Traced]) -> str:
    """The id of the allow with the fewest clauses that are not TRUE, the first by id of equals."""
    return min((sum(clause.truth is not TRUE for clause in rule.clauses), rule.id) for _, rule in allows)[1]


def _ids(traced: Iterable[Traced]) -> tuple[str, ...]:
    return tuple(rule.id for _, rule in traced)


def _traces(*groups: Iterable[Traced]) -> tuple[RuleTrace, ...]:
    return tuple(rule for group in groups for _, rule in group)
