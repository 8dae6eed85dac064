"""Compiled plans decide what the definition decides: on every drawn policy and question, field by field.

The evaluators agree on all of a verdict but `rules`, `nearest`, `baselines`, and `by` beyond the primary rule. The
parts of a plan have laws of their own: a compiled guard is its guard, an index leaves out no rule that may apply.
Source: language.md 5.2, 5.3, 6.2, 6.3; contracts.md "Long tests".
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from policy_lang.ir import Cell, Program
from policy_lang.meaning.admission import Admission, Call
from policy_lang.meaning.evaluation import truth_of_guard
from policy_lang.meaning.values import FALSE, conjunction
from policy_lang.plan.always import always_present
from policy_lang.plan.index import MANNERS, Manner, asked, build, parts
from policy_lang.plan.shapes import Shapes
from policy_lang.plan.tables import TablePlan
from policy_lang.verdict import Truth3
from tests.support.generator.comparing import QUESTIONS, compare
from tests.support.generator.tally import Tally
from tests.support.generator.trial import Trial

PAIRS = 5_000


@pytest.fixture(scope="module")
def ran() -> Tally:
    """The differential run; a disagreement fails whoever asks for it."""
    tally = Tally()
    for number in range(PAIRS // QUESTIONS):
        compare(f"plan {number}", tally)
    print(tally.told())
    return tally


def test_plans_and_the_definition_agree_on_five_thousand_pairs(ran: Tally) -> None:
    """For all p, q: agreed(plans(p).decide(q)) = agreed(reference(p).decide(q))."""
    assert ran.pairs == PAIRS


def test_the_run_is_not_one_sided(ran: Tally) -> None:
    """Every outcome is frequent; every decider, duty and kind of atom was seen, true, false and unknown."""
    assert ran.lacks() == []


def admitted(trial: Trial, count: int) -> Iterator[Call]:
    admission = Admission.of(trial.program)
    for question in trial.questions(count, "parts"):
        call = admission.admit(question)
        if isinstance(call, Call) and not call.environment.unread:
            yield call


def groups(cell: Cell) -> Iterator[tuple[int, ...]]:
    """The bodies of each group of a cell."""
    for group in (cell.deny, cell.allow, cell.require, cell.shadow):
        yield tuple(rule.body for rule in group)


def clauses_of(program: Program, body: int) -> tuple[int, ...]:
    return tuple(clause.guard for clause in program.bodies[body].clauses)


@pytest.mark.parametrize("number", range(12))
def test_a_compiled_guard_is_sure_where_it_is_true_and_possible_where_it_is_not_false(number: int) -> None:
    """sure(g, e) iff worth(g, e) = T; possible(g, e) iff worth(g, e) != F."""
    trial = Trial.of(f"shape {number}")
    program = trial.program
    tables = {table.id: TablePlan.of(table) for table in program.tables}
    shapes = Shapes(program, always_present(program), tables)
    worths: set[Truth3] = set()
    for call in admitted(trial, 25):
        for body in {body for group in groups(call.cell) for body in group}:
            guards = clauses_of(program, body)
            compiled = shapes.whole(guards)
            assert compiled is not None, "a guard of this size is compiled"
            worth = conjunction(truth_of_guard(program, guard, call.environment) for guard in guards)
            worths.add(worth)
            assert compiled.sure(call.environment, compiled.constants) is (worth is Truth3.TRUE)
            assert compiled.possible(call.environment, compiled.constants) is (worth is not Truth3.FALSE)
    assert {Truth3.TRUE, Truth3.FALSE} <= worths


@pytest.mark.parametrize("number", range(12))
def test_an_index_holds_every_rule_that_may_apply_each_part_in_order(number: int) -> None:
    """{r : worth(r, e) != F} is within the union of parts(tree, e), each of which ascends."""
    trial = Trial.of(f"index {number}", crowded=1)
    program = trial.program
    for call in admitted(trial, 60):
        for group in groups(call.cell):
            tree = build([asked(program, clauses_of(program, body)) for body in group], range(len(group)))
            found = parts(tree, call.environment)
            worth = [
                conjunction(truth_of_guard(program, guard, call.environment) for guard in clauses_of(program, body))
                for body in group
            ]
            assert all(list(part) == sorted(set(part)) for part in found)
            assert {place for place, each in enumerate(worth) if each is not FALSE} <= set().union(*found)


def test_indexes_pass_over_most_rules_of_crowded_cells() -> None:
    """Of every kind of index some were built, and they left a part of the rules out: the law above is not idle."""
    built: set[Manner] = set()
    kept = asked_of = 0
    for number in range(12):
        trial = Trial.of(f"index {number}", crowded=1)
        for call in admitted(trial, 10):
            for group in groups(call.cell):
                tree = build(
                    [asked(trial.program, clauses_of(trial.program, body)) for body in group], range(len(group))
                )
                if isinstance(tree, tuple):
                    continue
                built.add(tree.how)
                kept += len(set().union(*parts(tree, call.environment)))
                asked_of += len(group)
    assert built == MANNERS
    assert kept < 0.7 * asked_of
