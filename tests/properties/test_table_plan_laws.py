"""A table's plan says what its definition says: on every drawn table and request, of every effect, after every change.

Source: language.md 6.3, 6.4; policy_lang/meaning/tables.py.
"""

from __future__ import annotations

from collections import Counter

import pytest

from policy_lang.ir import tables
from policy_lang.ir.tables import Table
from policy_lang.meaning.key_functions import call
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.tables import Asked, TableMeaning, values_of
from policy_lang.meaning.values import UNKNOWN, conjunction, disjunction
from policy_lang.plan.table_asking import Asking
from policy_lang.plan.table_conditions import Maker
from policy_lang.plan.table_conjunctions import MOST_CONJUNCTIONS, Conjunction, Equal, Fits, Held, conjunctions
from policy_lang.plan.table_patterns import PatternIndex
from policy_lang.plan.tables import TablePlan
from policy_lang.verdict import Truth3
from tests.casbin.drawn_tables import FUNCTIONS, NOW_MS, PATHS, PATTERNS, Draw

BY_EXPRESSION = ("keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5")

TABLES = 150
REQUESTS = 12


def agree(table: Table, plan: TablePlan, draw: Draw, seen: Counter[str]) -> None:
    """Some requests, asked of the plan and of the definition."""
    meaning = TableMeaning.of(table, FUNCTIONS)
    for _ in range(REQUESTS):
        request = draw.request()
        want = meaning.said(request, now_ms=NOW_MS)
        assert plan.said(request, now_ms=NOW_MS) == want, (table, request)
        seen[f"{table.mode} {table.effect} {want.vote}"] += 1


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """The differential run; a disagreement fails whoever asks for it."""
    counted: Counter[str] = Counter()
    for number in range(TABLES):
        draw = Draw.of(f"table {number}")
        table = draw.table()
        plan = TablePlan.of(table, FUNCTIONS)
        agree(table, plan, draw, counted)
        for _ in range(3):
            table = draw.changed(table)
            plan = plan.changed(table)
            agree(table, plan, draw, counted)
    return counted


def test_plans_and_the_definition_agree(seen: Counter[str]) -> None:
    """For all t, q: said(plan(t), q) = said(meaning(t), q); and of t' = changed(t) the same of changed(plan(t), t')."""
    assert seen.total() == TABLES * REQUESTS * 4


def test_the_run_is_not_one_sided(seen: Counter[str]) -> None:
    """Every mode and effect says everything that it can say, often."""
    print(seen)
    for mode in ("strict", "compat"):
        for effect in ("allow_override", "allow_and_deny", "deny_override", "priority"):
            votes = {"allow", "None"} | (set() if effect == "allow_override" else {"deny"})
            assert all(seen[f"{mode} {effect} {vote}"] > 20 for vote in votes), (mode, effect)


@pytest.mark.parametrize("number", range(60))
def test_a_condition_made_into_a_function_is_the_condition(number: int) -> None:
    """condition(e)(q, row) = truth(e), for every expression, request and row."""
    draw = Draw.of(f"condition {number}")
    table = draw.table(8)
    plan, meaning = TablePlan.of(table, FUNCTIONS), TableMeaning.of(table, FUNCTIONS)
    maker = Maker(table.mode, table.zone, FUNCTIONS)
    for _ in range(20):
        expression, request = draw.matcher(), draw.request()
        condition = maker.condition(expression)
        for index, row in enumerate(table.rows):
            asking = Asking(values_of(table, request), NOW_MS, plan.stock)
            want = meaning.asked(index, request, now_ms=NOW_MS).truth(expression)
            assert condition(asking, row.values) is want, (expression, request, row)


@pytest.mark.parametrize("number", range(60))
def test_the_conjunctions_of_a_matcher_are_the_matcher(number: int) -> None:
    """truth(m) = or over conjunctions(m) of and over their conditions, and no more than `MOST_CONJUNCTIONS` of them.

    Where a column is said to equal what has no truth, a role in that domain may be unknown instead of not held.
    """
    draw = Draw.of(f"normal {number}")
    table = draw.table(8)
    meaning = TableMeaning.of(table, FUNCTIONS)
    for _ in range(20):
        matcher, request = draw.matcher(4), draw.request()
        parts = conjunctions(matcher, written_reads=True)
        assert len(parts) <= MOST_CONJUNCTIONS
        for index in range(len(table.rows)):
            asked = meaning.asked(index, request, now_ms=NOW_MS)
            found, want = disjunction(_truth(part, asked) for part in parts), asked.truth(matcher)
            odd = len(request) < 4 or not isinstance(request[3], str)
            assert found is want or (odd and found is UNKNOWN), matcher


def _truth(part: Conjunction, asked: Asked) -> Truth3:
    """The truth of a conjunction, by the definition of each of its conditions."""
    return conjunction(map(asked.truth, [*part.alone, *part.fixed, *part.rest, *map(_written, part.keyed)]))


def _written(key: object) -> tables.Expression:
    """What a key stands for, as an expression."""
    match key:
        case Equal(column, of):
            return tables.Comparison("eq", of, tables.Column(column))
        case Held(column, graph, of, domain):
            more = () if domain is None else (domain,)
            return tables.Linked(graph, (of, tables.Column(column), *more))
        case Fits(column, function, of):
            return tables.BuiltIn(function, (of, tables.Column(column)))
        case _:
            assert hasattr(key, "condition")
            return key.condition  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize(
    "function",
    ["keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "globMatch", "regexMatch", "ipMatch"],
)
def test_an_index_of_patterns_finds_those_that_a_name_fits(function: tables.FunctionName, mode: tables.Mode) -> None:
    """fitting(n) = {t : call(f, n, t) is True}, however the texts came in; no value for unreadable ones, nor for names
    that are not taken, nor for those of left_open(n).
    """
    now = LocalTime.of(NOW_MS, "UTC")
    at_once = PatternIndex.of(function, PATTERNS, mode=mode)
    one_by_one = PatternIndex.of(function, (), mode=mode)
    for text in PATTERNS:
        one_by_one = one_by_one.having((text,))
    met = left_open = 0
    for name in (*PATHS, *PATTERNS, "", "/" * 300):
        values = {text: call(function, (name, text), mode=mode, now=now) for text in PATTERNS}
        want = {text for text, value in values.items() if value is True}
        assert at_once.fitting(name) == one_by_one.fitting(name) == want
        open_ended = at_once.left_open(name)
        assert at_once.left_open(name) == one_by_one.left_open(name) == open_ended
        assert at_once.takes(name) or not set(values.values()) - {None}
        if at_once.takes(name):
            assert {text for text, value in values.items() if value is None} == at_once.unreadable | open_ended
        met += len(want)
        left_open += len(open_ended)
    assert met
    assert bool(left_open) == (function == "regexMatch" or (mode == "compat" and function in BY_EXPRESSION))
