"""The engine: one compiled policy with its facts, immutable, and the functions that decide by it.

Pure: the same bundle and the same question give the same verdict. Built from serialised IR (`pdp.runtime.compiler`)
and the bundle's facts files; nothing here parses policy text. `judge` is what decides, by the compiled plans where the
engine has them; `explain` is the reference evaluator, with the whole trace; `primary` traces one rule.
State: traces and places to look up are kept once they were worked out; there are no more of them than rules in cells.
INVARIANT: an engine exists only whole: IR valid, every declared relation's facts at hand, the configuration's
conditions met, and the self-test passed, as far as it goes.

Decision: 2026-11-21. An engine for the command line has no plans: it decides a call or a few, and the reference
evaluator is the one that explains.
Decision: 2026-11-21. The rule that decided is traced by itself for its record, whoever decided: one rule costs little,
the whole cell may cost much. A rule of more than `MOST_TRACED` steps is not.
Decision: 2026-11-21. The self-test takes a bounded time, whatever the policy: it compares plans with their definition
up to `MOST_COMPARED` steps in all, and meets cells for the first time up to `MOST_MET` rules in all. What it did not
reach is said (`untested`); those cells are met by calls, and compared as each so-many-th decision is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from pdp.errors import PolicyError
from pdp.runtime.acceptance import UNCONDITIONAL, Conditions, hosts_of, refuse_unfit
from pdp.runtime.bundle import Bundle
from pdp.runtime.vocabulary import Vocabulary
from pdp.runtime.warming import calls
from pdp.runtime.work import MOST_COUNTED, MOST_TRACED, Work
from policy_lang.ir import Cell, CellRule, Effect, Endpoint, Kind, Program, Service, rules_of
from policy_lang.ir import codec as ir_codec
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.facts import FactsError, load_facts
from policy_lang.meaning.inputs import Inputs, Recorder
from policy_lang.meaning.reference import Reference
from policy_lang.meaning.tracing import trace_rule
from policy_lang.meaning.values import TRUE
from policy_lang.plan.plans import Plans
from policy_lang.request import Path
from policy_lang.verdict import ANONYMOUS, ClauseTrace, Facts, HttpCall, Outcome, Question, RuleTrace, Verdict

MOST_COMPARED = 100_000
"""Steps (pdp/runtime/work.py) that the reference evaluator takes in one self-test: about a second."""

MOST_MET = 150_000
"""Rules of all cells that one self-test asks for the first time."""

DECIDING: Mapping[Outcome, Effect] = {"allow": "allow", "deny": "deny", "step_up": "require"}
"""The effect of the rules that decide so. Of one `casbin` block there may be an allow and a deny."""

Going = Callable[[], bool]
"""Whether to go on: asked between the questions of a self-test, and before each phase of loading."""


def always() -> bool:
    """Nothing ends it."""
    return True


class Tested(Struct, frozen=True):
    """How far a self-test went: cells whose plans were asked, and those of them that were compared."""

    asked: int = 0
    compared: int = 0


class Engine(Struct, frozen=True):
    """A policy in force. `issuers` are the token kinds by issuer, `kinds` all kinds, `services`, `endpoints` by id;
    `hosts` lists the services of a host.

    `digest` names the bundle, `ir_digest` the compiled form (SHA-256 of its bytes); both hex.
    """

    digest: str
    ir_digest: str
    files: frozenset[str]
    program: Program
    facts: Facts
    reference: Reference
    plans: Plans | None
    recorder: Recorder
    issuers: Mapping[str, Kind]
    kinds: Mapping[str, Kind]
    services: Mapping[str, Service]
    endpoints: Mapping[str, Endpoint]
    hosts: Mapping[str, tuple[str, ...]]
    vocabulary: Vocabulary
    work: Work
    tested: Tested = Tested()
    _rules: dict[tuple[int, str | None], Mapping[tuple[str, Effect], CellRule]] = field(default_factory=dict)
    _granting: dict[CellRule, tuple[RuleTrace, ...]] = field(default_factory=dict)

    def admit(self, question: Question) -> Call | Refused:
        """The call that a question makes."""
        return self.reference.admission.admit(question)

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        """Decide a question that was admitted, or not."""
        return (self.reference if self.plans is None else self.plans).judge(question, call)

    def explain(self, question: Question, call: Call | Refused) -> Verdict:
        """The same by the reference evaluator, with its trace."""
        return self.reference.judge(question, call)

    def decide(self, question: Question) -> Verdict:
        """Decide one question by the reference evaluator: for a record that is decided again."""
        return self.reference.decide(question)

    def steps(self, call: Call | Refused) -> int:
        """How many steps the whole trace of a call takes; a call that was not admitted takes none."""
        return 0 if isinstance(call, Refused) else self.work.of_cell(call.cell)

    def inputs(self, question: Question, call: Call | Refused) -> Inputs:
        """What a decision took in, for its record."""
        return self.recorder.record(question, call)

    def primary(self, call: Call, rule: str, outcome: Outcome) -> tuple[RuleTrace, ...]:
        """The trace of the rule that decided a call so; nothing where its cell has none of that id.

        An allow decides where all its clauses are true, so its trace is known without asking them again.
        """
        found = self._rule(call.cell, rule, DECIDING[outcome])
        if found is None or self.work.of_rule(found) > MOST_TRACED:
            return ()
        if self.program.rules[found.rule].effect != "allow":
            return (trace_rule(self.program, found, call),)
        if found not in self._granting:
            self._granting[found] = (_all_true(self.program, found),)
        return self._granting[found]

    def _rule(self, cell: Cell, rule: str, effect: Effect) -> CellRule | None:
        place = (cell.endpoint, cell.kind)
        if place not in self._rules:
            rules = self.program.rules
            self._rules[place] = {(rules[each.rule].id, rules[each.rule].effect): each for each in rules_of(cell)}
        return self._rules[place].get((rule, effect))


def _all_true(program: Program, found: CellRule) -> RuleTrace:
    rule = program.rules[found.rule]
    clauses = tuple(ClauseTrace(each.label, each.text, TRUE) for each in program.bodies[found.body].clauses)
    return RuleTrace(
        rule.id, rule.effect, rule.because, f"{rule.place.file}:{rule.place.line}", applies=True, clauses=clauses
    )


def same(one: Verdict, other: Verdict) -> bool:
    """Whether two evaluators said the same, in all that they must agree on (policy_lang/verdict.py)."""
    return _compared(one) == _compared(other)


def _compared(verdict: Verdict) -> Verdict:
    return replace(verdict, by=verdict.by[:1], rules=(), nearest=None, baselines=())


def load_engine(
    bundle: Bundle,
    program: Program,
    conditions: Conditions = UNCONDITIONAL,
    *,
    planned: bool = True,
) -> Engine:
    """The engine of a bundle whose policy files were compiled to `program`; `planned`: it decides by compiled plans.

    Errors: PolicyError P110 for facts files that do not fit (every problem named), E411 and P113 for conditions that
        are not met, P111 when the self-test fails.
    """
    ir_digest = hashlib.sha256(ir_codec.dump(program)).hexdigest()
    return _engine(bundle, program, ir_digest, conditions, always, planned=planned)


def load_compiled(
    bundle: Bundle, compiled: bytes, conditions: Conditions = UNCONDITIONAL, going: Going = always
) -> Engine:
    """The same from serialised IR, for as long as `going` says.

    Errors: PolicyError P112 when the IR is not valid, P114 when it was not to go on.
    """
    try:
        program = ir_codec.load(compiled)
    except ValueError as error:
        raise PolicyError("P112", f"the compiled policy is not valid: {error}") from error
    return _engine(bundle, program, hashlib.sha256(compiled).hexdigest(), conditions, going, planned=True)


def _engine(
    bundle: Bundle, program: Program, ir_digest: str, conditions: Conditions, going: Going, *, planned: bool
) -> Engine:
    _go_on(going)
    refuse_unfit(program, conditions)
    try:
        facts = load_facts(program, bundle.files)
    except FactsError as error:
        raise PolicyError("P110", "the facts of the policy are not usable:\n" + "\n".join(error.problems)) from error
    _go_on(going)
    reference = Reference.of(program)
    engine = Engine(
        digest=bundle.digest,
        ir_digest=ir_digest,
        files=frozenset(bundle.files),
        program=program,
        facts=facts,
        reference=reference,
        plans=Plans.of(program, reference) if planned else None,
        recorder=Recorder(reference.admission),
        issuers={kind.name: kind for kind in program.kinds if kind.form == "token"},
        kinds={kind.id: kind for kind in program.kinds},
        services={service.id: service for service in program.services},
        endpoints={endpoint.id: endpoint for endpoint in program.endpoints},
        hosts=hosts_of(program),
        vocabulary=Vocabulary.of(program),
        work=Work(program),
    )
    return replace(engine, tested=self_test(engine, going))


def _go_on(going: Going) -> None:
    if not going():
        raise PolicyError("P114", "the policy is not loaded to its end, since the service ends")


def self_test(engine: Engine, going: Going = always) -> Tested:
    """Ask what must be refused, and one call for each cell: what fails, allows everything or contradicts its definition
    never serves. It is also the first call through code that was never run before. Errors: PolicyError P111, P114.
    """
    path = Path(text="/", segments=(), trailing_slash=False, escaped=frozenset(), query=None)
    nowhere = Question("", HttpCall("GET", path, ""), ANONYMOUS, 0, engine.facts)
    if engine.judge(nowhere, engine.admit(nowhere)).outcome != "deny":
        raise PolicyError("P111", "the compiled policy allows a call to no service: it is not put in force")
    asked = compared = met = steps = 0
    for question in () if engine.plans is None else calls(engine.program, engine.facts):
        _go_on(going)
        call = engine.admit(question)
        met += 0 if isinstance(call, Refused) else len(rules_of(call.cell))
        if met > MOST_MET and asked:
            break
        verdict = _first(engine, question, call)
        asked += 1
        needed = engine.steps(call)
        if needed > MOST_COUNTED or steps + needed > MOST_COMPARED:
            continue
        steps += needed
        compared += 1
        if not same(verdict, engine.explain(question, call)):
            detail = f"the compiled policy and its definition differ in a call for `{place_of(call)}`"
            raise PolicyError("P111", f"{detail}: it is not put in force")
    return Tested(asked, compared)


def _first(engine: Engine, question: Question, call: Call | Refused) -> Verdict:
    """The first call for a cell, through all that deciding and recording it needs. Errors: PolicyError P111."""
    try:
        verdict = engine.judge(question, call)
        engine.inputs(question, call)
        if isinstance(call, Call):
            engine.primary(call, "", verdict.outcome)
    except Exception as error:
        detail = f"the compiled policy fails in a call for `{place_of(call)}`: {type(error).__name__}"
        raise PolicyError("P111", f"{detail}: it is not put in force") from error
    return verdict


def untested(engine: Engine) -> str:
    """What the self-test of an engine did not reach, in a sentence; "" where it reached all."""
    cells, tested = len(engine.program.cells), engine.tested
    if engine.plans is None or tested.compared >= cells:
        return ""
    known = (
        f"of the {cells} pairs of endpoint and caller of policy {engine.digest[:12]} the self-test asked {tested.asked}"
    )
    return f"{known} and compared {tested.compared} with their definition"


def place_of(call: Call | Refused) -> str:
    """The endpoint of a call, for a message."""
    return call.endpoint or "no endpoint" if isinstance(call, Refused) else call.endpoint.id
