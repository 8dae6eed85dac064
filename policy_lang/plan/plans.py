"""The compiled evaluator: `Plans` of a program decides what `reference` decides, without a trace.

    judge     a question that was admitted: baselines, denies, scope, allows, requires, duties (language.md 5.2)
    decide    the same with admission

The steps stand in `reference`, which is the definition; what does not run for most calls (why a baseline refuses, what
rules together ask of a gateway, the horizon) is the same code here and there, so that the two can differ only in which
rules apply. `by` of an allow names the primary rule alone; `rules`, `nearest` and `baselines` are left out.

Verdicts that depend on nothing but which rules apply are kept, by those rules, at most `MOST_KEPT` a cell.
Source: language.md 6.1 to 6.3; contracts.md "The time of one check".

Decision: 2026-11-21. A question with claims that are not at hand is a replay's and goes to `reference`: compiled code
takes a claim without a value for an absent one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.ir import (
    Atom,
    Attr,
    Cell,
    CellRule,
    Const,
    Cover,
    Empty,
    Endpoint,
    IssueToken,
    Kind,
    LogDuty,
    Need,
    Obligation,
    Program,
    SetHeader,
)
from policy_lang.meaning import obligations
from policy_lang.meaning.admission import Admission, Call, Refused
from policy_lang.meaning.baselines import Refusal, audience_refusal, exclusive_refusal, observed_until, scope_refusal
from policy_lang.meaning.evaluation import Environment, truth_of_guard
from policy_lang.meaning.horizon import Clockwork
from policy_lang.meaning.reference import Reference, observed, refused
from policy_lang.meaning.values import FALSE, TRUE
from policy_lang.meaning.voters import timed_tables
from policy_lang.plan.always import always_present
from policy_lang.plan.clock import Clock
from policy_lang.plan.index import Conjuncts, Look, Parts, asked, build
from policy_lang.plan.shapes import Constants, Shapes
from policy_lang.plan.tables import TablePlan
from policy_lang.plan.writer import Test
from policy_lang.uncollected import uncollected
from policy_lang.verdict import Challenge, Question, Verdict

MOST_KEPT = 1_024

MOST_INLINE = 8
"""Denies of a cell that are asked in one function, none of which is told."""

Key = tuple[object, ...]


class Row(Struct, frozen=True):
    """A rule of a group: the test of its clauses, and of each of its needs."""

    id: str
    test: Test
    constants: Constants
    needs: tuple[tuple[Test, Constants, Challenge], ...]
    must: tuple[Obligation, ...]
    should: tuple[Obligation, ...]


Entry = tuple[int, Test, Constants]
"""A rule by its place in its group, and its test."""


class Group(Struct, frozen=True):
    """Rules of one effect in one cell, in primary order. `look` is their index, None where `entries` are so few that
    all are asked. `advising` are the places of rules with advice.
    """

    rows: tuple[Row, ...]
    entries: Parts[Entry]
    look: Look[Entry] | None
    advising: tuple[int, ...]

    def applying(self, environment: Environment) -> tuple[int, ...]:
        """Every rule that applies."""
        if not self.rows:
            return ()
        found: set[int] = set()
        for part in self.entries if self.look is None else self.look(environment):
            for place, test, constants in part:
                if test(environment, constants):
                    found.add(place)
        return tuple(sorted(found)) if found else ()

    def first(self, environment: Environment) -> int | None:
        """The primary rule of those that apply."""
        least: int | None = None
        for part in self.entries if self.look is None else self.look(environment):
            for place, test, constants in part:
                if least is not None and place > least:
                    break
                if test(environment, constants):
                    least = place
                    break
        return least


class _Wanted(Struct, frozen=True):
    """What rules of a cell ask for together. `sets`: a header, whose value comes from the call; `issues`: a token,
    whose scopes hang on those of the caller.
    """

    musts: tuple[Obligation, ...]
    shoulds: tuple[Obligation, ...]
    log: LogDuty
    sets: bool
    issues: bool


class Plan(Struct, frozen=True):
    """What is asked in one cell. `kept` are verdicts and `wanted` what rules ask for, both by the rules that apply.

    `passing` is true of a token for no other service, with every scope, that no deny can apply to: what is left to ask
    is whether an allow grants. It is None where more has to be looked at: no token or one of an exclusive kind,
    observation, many denies. `alone`: then an allow is all there is; nothing is required or advised, no shadow rules
    are asked, nothing hangs on the time. `granted` holds the verdict of each that granted so far.
    """

    endpoint: str
    deny: Group
    allow: Group
    require: Group
    shadow: Group
    scopes: frozenset[str]
    clock: Clock
    passing: tuple[Test, Constants] | None
    alone: bool
    granted: dict[int, Verdict] = field(default_factory=dict)
    kept: dict[Key, Verdict] = field(default_factory=dict)
    wanted: dict[tuple[tuple[int, ...], tuple[int, ...]], _Wanted] = field(default_factory=dict)


class Plans:
    """The compiled evaluator of one program; immutable but for the verdicts it keeps."""

    def __init__(self, program: Program, reference: Reference, plans: Sequence[Plan]) -> None:
        self.program = program
        self.admission: Admission = reference.admission
        self._reference = reference
        self._plans = plans

    @classmethod
    def of(cls, program: Program, reference: Reference | None = None) -> Plans:
        """The plans of a program; `reference` is its definition where that is at hand."""
        with uncollected():
            builder = _Builder(program)
            plans = [builder.plan(cell) for cell in program.cells]
        return cls(program, Reference.of(program) if reference is None else reference, plans)

    def decide(self, question: Question) -> Verdict:
        """The verdict on one question."""
        return self.judge(question, self.admission.admit(question))

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        """The verdict on a question that was admitted (or not)."""
        if isinstance(call, Refused):
            return self._unless_observed(question, call, refused(call))
        environment, place = call.environment, call.place
        plan = None if place is None else self._plans[place]
        if plan is not None and plan.passing is not None and not environment.unread:
            # What most calls are: no baseline and no deny speaks, and one rule grants. What is not goes the whole way.
            test, constants = plan.passing
            if test(environment, constants):
                granting = plan.allow.first(environment)
                if granting is not None:
                    if plan.alone:
                        return plan.granted.get(granting) or _alone(plan, granting)
                    until_ms = plan.clock.next_change(environment) if plan.clock.ticks else None
                    reached = _Reached(plan.shadow.applying(environment), until_ms, granting)
                    return _granted(self.program, question, call, plan, reached)
        if environment.unread:
            return replace(self._reference.judge(question, call), rules=(), nearest=None, baselines=())
        verdict = self._judge(question, call, plan)
        return verdict if call.service.observe_until_ms is None else self._unless_observed(question, call, verdict)

    def _unless_observed(self, question: Question, call: Call | Refused, verdict: Verdict) -> Verdict:
        until_ms = observed_until(self.admission, question, call)
        return verdict if until_ms is None else observed(verdict, until_ms)

    def _judge(self, question: Question, call: Call, plan: Plan | None) -> Verdict:
        """Steps 3 to 10."""
        environment, kind = call.environment, call.kind
        refusal = None if kind is None else self._baseline(question, call, kind)
        if refusal is not None:
            return Verdict("deny", (refusal.by,), refusal.reason, refusal.subject, call.endpoint.id)
        if plan is None:
            return Verdict("deny", ("default",), "default.no_cell_rule", "", call.endpoint.id)
        shadow = plan.shadow.applying(environment)
        until_ms = plan.clock.next_change(environment) if plan.clock.ticks else None
        deciding = plan.deny.applying(environment)
        if deciding:
            key = ("deny", shadow, deciding)
            return _kept(plan, key, until_ms) or _keep(plan, key, _denied(plan, shadow, deciding), until_ms)
        if plan.scopes:
            missing = scope_refusal(call)
            if missing is not None:
                return _by(missing, plan, shadow, until_ms)
        granting = plan.allow.first(environment)
        if granting is None:
            reason = "default.no_rule" if plan.allow.rows else "default.no_cell_rule"
            return _by(Refusal("default", reason), plan, shadow, until_ms)
        if plan.alone:
            return plan.granted.get(granting) or _alone(plan, granting)
        return _granted(self.program, question, call, plan, _Reached(shadow, until_ms, granting))

    def _baseline(self, question: Question, call: Call, kind: Kind) -> Refusal | None:
        """Steps 3 and 4."""
        services, multi_audience = self.program.services, question.caller.multi_audience
        refusal = audience_refusal(call, services, multi_audience=multi_audience)
        return exclusive_refusal(call) if refusal is None and kind.exclusive else refusal


# ---------------------------------------------------------------- verdicts


class _Reached(Struct, frozen=True):
    """A call that some allow grants: which shadow rules apply, until when that holds, the primary allow."""

    shadow: tuple[int, ...]
    until_ms: int | None
    granting: int


def _kept(plan: Plan, key: Key, until_ms: int | None) -> Verdict | None:
    found = plan.kept.get(key)
    return found if found is None or until_ms is None else replace(found, valid_until_ms=until_ms)


def _keep(plan: Plan, key: Key, verdict: Verdict, until_ms: int | None) -> Verdict:
    """Keep a verdict without its instant, and give it with it."""
    if len(plan.kept) >= MOST_KEPT:
        plan.kept.clear()
    plan.kept[key] = verdict
    return verdict if until_ms is None else replace(verdict, valid_until_ms=until_ms)


def _names(group: Group, places: Iterable[int]) -> tuple[str, ...]:
    return tuple(group.rows[place].id for place in places)


def _quiet(plan: Plan, shadow: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(sorted(_names(plan.shadow, shadow)))


def _denied(plan: Plan, shadow: tuple[int, ...], deciding: tuple[int, ...]) -> Verdict:
    """Step 5."""
    rows = [plan.deny.rows[place] for place in deciding]
    musts = [each for row in rows for each in row.must]
    duties, advice = obligations.merged_alerts(musts, (each for row in rows for each in row.should))
    return Verdict(
        "deny",
        tuple(row.id for row in rows),
        "rule",
        "",
        plan.endpoint,
        log=obligations.merged_log(musts),
        duties=duties,
        advice=advice,
        status=obligations.merged_answer(musts),
        shadow=_quiet(plan, shadow),
    )


def _by(refusal: Refusal, plan: Plan, shadow: tuple[int, ...], until_ms: int | None) -> Verdict:
    key = ("word", refusal, shadow)
    verdict = _kept(plan, key, until_ms)
    if verdict is not None:
        return verdict
    made = Verdict("deny", (refusal.by,), refusal.reason, refusal.subject, plan.endpoint, shadow=_quiet(plan, shadow))
    return _keep(plan, key, made, until_ms)


def _alone(plan: Plan, granting: int) -> Verdict:
    verdict = Verdict("allow", (plan.allow.rows[granting].id,), "rule", "", plan.endpoint)
    plan.granted[granting] = verdict
    return verdict


def _granted(program: Program, question: Question, call: Call, plan: Plan, reached: _Reached) -> Verdict:
    """Steps 8 to 10."""
    environment, allow, require = call.environment, plan.allow, plan.require
    asking, advising = require.applying(environment), _advising(allow, environment)
    wanted = plan.wanted.get((asking, advising)) or _want(plan, asking, advising)
    unmet = tuple([need for place in asking for need in _unmet(place, require.rows[place], environment)])
    able, held = question.capabilities, environment.token.get("scope") if wanted.issues else None
    key = ("allow", reached.shadow, reached.granting, asking, advising, unmet, able, held)
    verdict = _kept(plan, key, reached.until_ms)
    if verdict is not None:
        return verdict
    shadow, endpoint = _quiet(plan, reached.shadow), plan.endpoint
    musts, log = wanted.musts, wanted.log
    if unmet:
        if "step_up" not in able:
            return _by(Refusal("capability", "capability.step_up"), plan, reached.shadow, reached.until_ms)
        by = _names(require, dict.fromkeys(place for place, _ in unmet))
        challenges = tuple(dict.fromkeys(challenge for _, challenge in unmet))
        stepped = Verdict("step_up", by, "rule", "", endpoint, challenges, log, shadow=shadow)
        return _keep(plan, key, stepped, reached.until_ms)
    terms = obligations.terms_of(call, program.signals)
    duties = obligations.merged_duties(musts, terms)
    if isinstance(duties, obligations.Conflict):
        made = Verdict("deny", ("conflict",), duties.reason, duties.subject, endpoint, shadow=shadow)
        return replace(made, valid_until_ms=reached.until_ms)
    lack = obligations.lacking(musts, able, terms.held)
    if lack is not None:
        return _by(Refusal("capability", f"capability.{lack}"), plan, reached.shadow, reached.until_ms)
    advice = obligations.merged_advice(wanted.shoulds, duties, terms)
    by = (allow.rows[reached.granting].id,)
    allowed = Verdict(
        "allow", by, "rule", "", endpoint, log=log, duties=duties, advice=advice, shadow=shadow,
        valid_until_ms=reached.until_ms,
    )  # fmt: skip
    if wanted.sets:
        return allowed  # what it holds comes from this call
    return _keep(plan, key, replace(allowed, valid_until_ms=None), reached.until_ms)


def _advising(allow: Group, environment: Environment) -> tuple[int, ...]:
    """The rules with advice that grant."""
    if not allow.advising:
        return ()
    rows = [(place, allow.rows[place]) for place in allow.advising]
    return tuple([place for place, row in rows if row.test(environment, row.constants)])


def _want(plan: Plan, asking: tuple[int, ...], advising: tuple[int, ...]) -> _Wanted:
    """What these rules ask for, worked out for the first time."""
    musts = [each for place in asking for each in plan.require.rows[place].must]
    shoulds = [each for place in advising for each in plan.allow.rows[place].should]
    shoulds += [each for place in asking for each in plan.require.rows[place].should]
    kinds = {type(each) for each in (*musts, *shoulds)}
    log = obligations.merged_log(musts)
    made = _Wanted(tuple(musts), tuple(shoulds), log, sets=SetHeader in kinds, issues=IssueToken in kinds)
    if len(plan.wanted) >= MOST_KEPT:
        plan.wanted.clear()
    plan.wanted[asking, advising] = made
    return made


def _unmet(place: int, row: Row, environment: Environment) -> list[tuple[int, Challenge]]:
    return [(place, challenge) for test, constants, challenge in row.needs if not test(environment, constants)]


# ---------------------------------------------------------------- building


class _Builder:
    """Builds the plans of one program; equal groups are built once.

    What cells share in a loaded program is one object, and known here by its identity first: to compare or to walk the
    rules of every cell again costs rules times cells.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        tables = {table.id: TablePlan.of(table) for table in program.tables}
        self._timed = timed_tables(program)
        self._shapes = Shapes(program, always_present(program), tables)
        self._groups: dict[tuple[CellRule, ...], Group] = {}
        self._shared: dict[int, Group] = {}
        self._clocks: dict[tuple[int, ...], Clock] = {}
        self._asked: dict[int, Conjuncts] = {}
        self._services = {service.id: service for service in program.services}
        self._kinds = {kind.id: kind for kind in program.kinds}

    def plan(self, cell: Cell) -> Plan:
        """The plan of one cell."""
        allow, require, shadow = self._group(cell.allow), self._group(cell.require), self._group(cell.shadow)
        clock = self._clock(cell)
        endpoint = self._program.endpoints[cell.endpoint]
        more = require.rows or shadow.rows or allow.advising or clock.ticks
        return Plan(
            endpoint=endpoint.id,
            deny=self._group(cell.deny),
            allow=allow,
            require=require,
            shadow=shadow,
            scopes=frozenset(endpoint.scopes),
            clock=clock,
            passing=self._passing(cell, endpoint),
            alone=not more,
        )

    def _passing(self, cell: Cell, endpoint: Endpoint) -> tuple[Test, Constants] | None:
        kind, service = self._kinds.get(cell.kind or ""), self._services[endpoint.service]
        observed = service.observe_until_ms is not None
        if kind is None or kind.form != "token" or kind.exclusive or observed or len(cell.deny) > MOST_INLINE:
            return None
        audience = Attr("token", "aud")
        wanted: list[Atom] = [Cover(Const(frozenset(service.audiences)), audience)]
        if endpoint.scopes:
            wanted.append(Cover(Attr("token", "scope"), Const(frozenset(endpoint.scopes))))
        denying = [tuple(clause.guard for clause in self._program.bodies[each.body].clauses) for each in cell.deny]
        compiled = self._shapes.unless(wanted, Empty(audience), denying)
        return None if compiled is None else (compiled.sure, compiled.constants)

    def _clock(self, cell: Cell) -> Clock:
        shared = tuple(map(id, (cell.deny, cell.allow, cell.require, cell.shadow)))
        if shared not in self._clocks:
            self._clocks[shared] = Clock.of(Clockwork.of(self._program, cell), self._timed)
        return self._clocks[shared]

    def _group(self, rules: tuple[CellRule, ...]) -> Group:
        if id(rules) not in self._shared:
            self._shared[id(rules)] = self._equal_group(rules)
        return self._shared[id(rules)]

    def _equal_group(self, rules: tuple[CellRule, ...]) -> Group:
        if rules not in self._groups:
            rows = tuple(self._row(each) for each in rules)
            entries = [(place, row.test, row.constants) for place, row in enumerate(rows)]
            tree = build([self._conjuncts(each.body) for each in rules], entries)
            advising = tuple(place for place, row in enumerate(rows) if row.should)
            listed, look = (tree, None) if isinstance(tree, tuple) else ((), tree.look)
            self._groups[rules] = Group(rows, listed, look, advising)
        return self._groups[rules]

    def _row(self, rule: CellRule) -> Row:
        declared, body = self._program.rules[rule.rule], self._program.bodies[rule.body]
        test, constants = self._test(tuple(clause.guard for clause in body.clauses), sure=declared.effect == "allow")
        return Row(declared.id, test, constants, tuple(map(self._need, body.needs)), body.must, body.should)

    def _need(self, need: Need) -> tuple[Test, Constants, Challenge]:
        return (*self._test((need.guard,), sure=True), Challenge(need.challenge, need.within_s))

    def _test(self, guards: tuple[int, ...], *, sure: bool) -> tuple[Test, Constants]:
        """Whether a conjunction is TRUE (`sure`), or not FALSE."""
        compiled = self._shapes.whole(guards)
        if compiled is not None:
            return (compiled.sure if sure else compiled.possible), compiled.constants
        return _walked(self._program, guards, sure=sure), ()

    def _conjuncts(self, body: int) -> Conjuncts:
        if body not in self._asked:
            clauses = self._program.bodies[body].clauses
            self._asked[body] = asked(self._program, (clause.guard for clause in clauses))
        return self._asked[body]


def _walked(program: Program, guards: tuple[int, ...], *, sure: bool) -> Test:
    """The same of guards that are too large to be compiled."""

    def test(environment: Environment, _: Constants) -> bool:
        worth = [truth_of_guard(program, guard, environment) for guard in guards]
        return all(each is TRUE for each in worth) if sure else all(each is not FALSE for each in worth)

    return test
