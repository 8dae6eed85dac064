"""The engine: it exists only whole, explains one rule at a time, and tells a plan from its definition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdp.errors import PolicyError
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import load_engine, same, self_test
from pdp.runtime.warming import calls
from policy_lang.compile import compile_policy
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question, RuleTrace, Truth3, Verdict
from tests.support.cases import engine

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
    (trace,) = engine().primary(call, rule)
    assert isinstance(trace, RuleTrace)
    assert (trace.id, trace.applies) == (rule, True)
    assert {clause.truth for clause in trace.clauses} == {Truth3.TRUE}
    assert engine().primary(call, rule)[0] is trace


def test_a_deny_is_traced_by_its_clauses() -> None:
    _, call = _granted()
    (trace,) = engine().primary(call, "cases.suspended_users")
    assert [(clause.label, clause.truth) for clause in trace.clauses][-1] == ("when 1", Truth3.FALSE)


def test_a_rule_of_another_cell_has_no_trace() -> None:
    _, call = _granted()
    assert engine().primary(call, "nowhere.at_all") == ()


def test_evaluators_need_not_agree_on_traces_and_must_on_all_else() -> None:
    one = Verdict("allow", ("a.one", "a.two"), "rule", valid_until_ms=1, nearest="a.x", baselines=("route",))
    assert same(one, Verdict("allow", ("a.one",), "rule", valid_until_ms=1))
    assert not same(one, Verdict("allow", ("a.two",), "rule", valid_until_ms=1))
    assert not same(one, Verdict("allow", ("a.one",), "rule", valid_until_ms=2))
