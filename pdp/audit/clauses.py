"""The rule that decided a call, from its record and its policy, where the record says no more than that it held.

A record and the compiled form of its policy go in, the trace of the rule that decided comes out, each clause true. No
key is needed: what the trace says stands in the policy, and that the clauses held is what the record means by not
saying how they came out.
Design: contracts.md "The log, from the first commit" (`show --why` without the key).
"""

from __future__ import annotations

from typing import cast, get_args

from pdp.audit.leaf import Leaf
from pdp.model import Json, Outcome
from pdp.runtime.engine import DECIDING
from policy_lang.ir import CellRule, Program, rules_of
from policy_lang.meaning.values import TRUE
from policy_lang.verdict import ClauseTrace, RuleTrace


def rule_that_held(leaf: Leaf) -> str | None:
    """The rule of whose clauses a record says, by not saying how they came out, that all were true; None where it says
    how they did, where no rule decided, and where it says nothing of rules.
    """
    clear = leaf.clear
    cut = clear.get("ct")
    says = {"rl", "nr", "nx", "ll"} & clear.keys()  # a level that is stated is another than `normal`
    if leaf.kind != "decision" or says or (isinstance(cut, list) and "rl" in cut):
        return None
    by = _decided(leaf).get("by")
    primary = by[0] if isinstance(by, list) and by else None
    return primary if isinstance(primary, str) and "." in primary else None


def trace_that_held(leaf: Leaf, program: Program) -> RuleTrace | None:
    """The trace of that rule by the record's own policy; None where there is none, or the policy has no such rule
    there.
    """
    id_, outcome = rule_that_held(leaf), _decided(leaf).get("d")
    if id_ is None or outcome not in get_args(Outcome):
        return None
    effect = DECIDING[cast("Outcome", outcome)]
    for each in _rules_there(leaf, program):
        rule = program.rules[each.rule]
        if (rule.id, rule.effect) == (id_, effect):
            clauses = tuple(ClauseTrace(one.label, one.text, TRUE) for one in program.bodies[each.body].clauses)
            place = f"{rule.place.file}:{rule.place.line}"
            return RuleTrace(rule.id, rule.effect, rule.because, place, applies=True, clauses=clauses)
    return None


def _decided(leaf: Leaf) -> dict[str, Json]:
    """Who decided and how, or would have where the service were not observed."""
    observed = leaf.clear.get("os")
    return observed if isinstance(observed, dict) else dict(leaf.clear)


def _rules_there(leaf: Leaf, program: Program) -> tuple[CellRule, ...]:
    """The rules for the endpoint and the kind of caller that a record names."""
    endpoint, kind = leaf.clear.get("ep"), leaf.clear.get("pk")
    for cell in program.cells:
        if program.endpoints[cell.endpoint].id == endpoint and cell.kind == kind:
            return rules_of(cell)
    return ()
