"""The engine: it exists only whole, explains one rule at a time, and tells a plan from its definition."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pdp.errors import PolicyError
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import MOST_COMPARED, MOST_MET, load_compiled, load_engine, same, self_test, untested
from pdp.runtime.warming import calls
from pdp.runtime.work import Work
from policy_lang.compile import compile_policy
from policy_lang.ir import codec as ir_codec
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.reference import Reference
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question, RuleTrace, Truth3, Verdict
from tests.support.cases import engine
from tests.support.crowded import crowded, crowded_engine, multiplied, repeated

WHOLE = b"""module a
enum size = small < large
label any_label
workload front = "spiffe://example/front"
token user {
  issuer "https://id.example"
  claim text: string from "deep" "text"
  claim level: int 2..5
  claim since: time
  claim spent: duration
  claim key: uuid
  claim home: ip
  claim caller: workload
  claim how: size
  claim many: set of int
  claim sure: bool
}
subject employee {
  type "employee"
  property department: string
}
service s {
  audience "s"
  host "s.example"
  query strict
  header device: string
  header flags: set of string from "x-flags"
  endpoint a GET|POST /a/{x}/{n: int}/{u: uuid}/{o: opaque}/*/**  scope "r"
    query limit: int 1..9 query when: time
  endpoint b ANY /b%20c/
  endpoint c grpc p.S/M
}
service t {
  audience none
  accepts employee
  endpoint read action "read" on "thing" property owner: string
}
allow all_of_it
  for any user, any employee
  on s, t.read
  because "all"
"""


def test_a_call_is_made_up_for_every_cell_and_its_own_schema_takes_it() -> None:
    program = compile_policy({"a.pol": WHOLE}).program
    made = load_engine(bundle_of({"a.pol": WHOLE}), program)
    asked = list(calls(program, {}))
    assert len(asked) == len(program.cells)
    admitted = [made.admit(question) for question in asked]
    assert [call for call in admitted if isinstance(call, Refused)] == []
    reached = {(call.cell.endpoint, call.cell.kind) for call in admitted if isinstance(call, Call)}
    assert reached == {(cell.endpoint, cell.kind) for cell in program.cells}


class _Breaking(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        if isinstance(call, Call):
            raise RecursionError
        return super().judge(question, call)


class _Lenient(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow")


class _Careless(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        verdict = super().judge(question, call)
        return verdict if isinstance(call, Refused) else replace(verdict, outcome="allow")


FAULTY = {
    "a plan that fails": (_Breaking, "fails in a call for `"),
    "a plan that allows a call to no service": (_Lenient, "allows a call to no service"),
    "a plan that is not what its definition says": (_Careless, "differ in a call for `"),
}


@pytest.mark.parametrize("sentence", FAULTY)
def test_is_never_put_in_force(sentence: str) -> None:
    kind, word = FAULTY[sentence]
    faulty = replace(engine(), plans=kind.of(engine().program))
    with pytest.raises(PolicyError, match=word) as refused:
        self_test(faulty)
    assert refused.value.code == "P111"


def _granted() -> tuple[Question, Call]:
    for question in calls(engine().program, engine().facts):
        call = engine().admit(question)
        if isinstance(call, Call) and question.caller.kind == "user" and call.cell.allow:
            return question, call
    raise AssertionError


def test_an_allow_is_traced_as_what_it_is_when_it_decides() -> None:
    _, call = _granted()
    rule = engine().program.rules[call.cell.allow[0].rule].id
    (trace,) = engine().primary(call, rule, "allow")
    assert isinstance(trace, RuleTrace)
    assert (trace.id, trace.applies) == (rule, True)
    assert {clause.truth for clause in trace.clauses} == {Truth3.TRUE}
    assert engine().primary(call, rule, "allow")[0] is trace


def test_a_deny_is_traced_by_its_clauses() -> None:
    _, call = _granted()
    (trace,) = engine().primary(call, "cases.suspended_users", "deny")
    assert [(clause.label, clause.truth) for clause in trace.clauses][-1] == ("when 1", Truth3.FALSE)


def test_a_rule_of_another_cell_has_no_trace() -> None:
    _, call = _granted()
    assert engine().primary(call, "nowhere.at_all", "allow") == ()


def test_evaluators_need_not_agree_on_traces_and_must_on_all_else() -> None:
    one = Verdict("allow", ("a.one", "a.two"), "rule", valid_until_ms=1, nearest="a.x", baselines=("route",))
    assert same(one, Verdict("allow", ("a.one",), "rule", valid_until_ms=1))
    assert not same(one, Verdict("allow", ("a.two",), "rule", valid_until_ms=1))
    assert not same(one, Verdict("allow", ("a.one",), "rule", valid_until_ms=2))


class _Diverging(Plans):
    """Allows what nobody may, at the crowded endpoint only."""

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        verdict = super().judge(question, call)
        crowd = isinstance(call, Call) and call.endpoint.id == "s.crowd" and call.cell.allow
        return replace(verdict, outcome="allow") if crowd else verdict


@pytest.mark.parametrize(("times", "found"), [(1, True), (50, False)], ids=["a hundred rules", "thousands"])
def test_the_self_test_compares_cells_up_to_a_number_of_steps(times: int, found: bool) -> None:
    files = {"m.pol": crowded(100)}
    made = load_engine(bundle_of(files), repeated(compile_policy(files).program, times))
    differing = replace(made, plans=_Diverging.of(made.program))
    if found:
        with pytest.raises(PolicyError, match=r"differ in a call for `s\.crowd`"):
            self_test(differing)
    else:
        assert self_test(differing).compared < len(made.program.cells)


def test_a_short_policy_that_multiplies_is_tested_within_a_bound_and_what_was_not_reached_is_said() -> None:
    files = {"m.pol": multiplied(130, 4, 300)}
    program = ir_codec.load(ir_codec.dump(compile_policy(files).program))
    asked: list[Question] = []

    class Counting(Plans):
        def judge(self, question: Question, call: Call | Refused) -> Verdict:
            asked.append(question)
            return super().judge(question, call)

    class Definition(Reference):
        def judge(self, question: Question, call: Call | Refused) -> Verdict:
            if isinstance(call, Call):
                traced.append(work.of_cell(call.cell))
            return super().judge(question, call)

    traced, work = list[int](), Work(program)
    made = load_engine(bundle_of(files), program, planned=False)
    counting = replace(made, plans=Counting.of(program), reference=Definition(program, made.reference.admission))
    tested = self_test(counting)
    assert 0 < sum(traced) <= MOST_COMPARED
    assert len(asked) * 300 <= MOST_MET + 300
    assert untested(replace(counting, tested=tested)) == (
        f"of the 650 pairs of endpoint and caller of policy {made.digest[:12]} the self-test asked {tested.asked} "
        f"and compared {tested.compared} with their definition"
    )


def test_of_a_policy_that_was_tested_whole_nothing_is_said() -> None:
    assert untested(engine()) == ""
    assert engine().tested.compared == len(engine().program.cells)


def test_what_may_not_go_on_is_not_loaded() -> None:
    made = crowded_engine(3)
    with pytest.raises(PolicyError) as ended:
        load_compiled(bundle_of({"m.pol": crowded(3)}), ir_codec.dump(made.program), going=lambda: False)
    assert ended.value.code == "P114"


def test_a_self_test_ends_at_its_next_question() -> None:
    made, left = crowded_engine(3), [True, True]
    with pytest.raises(PolicyError, match="the service ends"):
        self_test(made, lambda: bool(left) and left.pop())
    assert left == []


def test_a_rule_that_is_itself_too_large_is_not_traced_while_calls_wait() -> None:
    members = ", ".join(f'"m{number}"' for number in range(10_000))
    text = crowded(1) + f'deny listed for any user on s.quiet when path.x in [{members}] because "r"\n'.encode()
    made = load_engine(bundle_of({"m.pol": text}), compile_policy({"m.pol": text}).program)
    cell = next(each for each in made.program.cells if each.deny and each.kind == "user")
    question = next(each for each in calls(made.program, {}) if each.call.path.segments[:1] == ("quiet",))  # type: ignore[union-attr]  # HTTP all
    call = made.admit(question)
    assert isinstance(call, Call)
    assert call.cell is cell
    assert made.primary(call, "m.listed", "deny") == ()
