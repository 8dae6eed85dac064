"""Laws of Casbin tables: what makes a table know less, or deny more, never makes it allow.

Tables, requests and instants are drawn; requests hold anything, objects that raise among them.
Source: policy_lang/ir/tables.py; language.md 5.3, 6.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from policy_lang.casbin.parts import all_in
from policy_lang.ir import tables
from policy_lang.ir.table_validity import check_table
from policy_lang.ir.tables import Expression, Row, Table
from policy_lang.meaning.tables import NOTHING, TableMeaning
from policy_lang.meaning.values import FALSE, TRUE
from policy_lang.verdict import Truth3
from tests.casbin.table_draws import FUNCTIONS, INSTANTS, NAMED, REQUESTS, Hidden, drawn_tables, shown, values

TABLES = drawn_tables()
ASKED = REQUESTS | NAMED


def vote(table: Table, request: tuple[object, ...], now_ms: int) -> str | None:
    return TableMeaning.of(table, FUNCTIONS).said(shown(request), now_ms=now_ms).vote


@given(TABLES, ASKED, INSTANTS)
def test_a_table_answers_anything(table: Table, request_: tuple[object, ...], now_ms: int) -> None:
    """said is total, names the row that cast the vote, and that row's condition bears it out."""
    check_table(table)
    meaning = TableMeaning.of(table, FUNCTIONS)
    said = meaning.said(shown(request_), now_ms=now_ms)
    if said.row is None:
        assert said == NOTHING or (table.effect == "deny_override" and said.vote == "allow")
        return
    truth = meaning.truth_of_row(said.row, shown(request_), now_ms=now_ms)
    assert said.vote is not None
    assert table.rows[said.row].vote == said.vote
    assert truth is TRUE if said.vote == "allow" else truth is not FALSE


@given(TABLES, ASKED, INSTANTS)
def test_a_table_without_rows_says_nothing(table: Table, request_: tuple[object, ...], now_ms: int) -> None:
    """rows(t) = () implies said(t, q) = nothing."""
    assert TableMeaning.of(replace(table, rows=()), FUNCTIONS).said(shown(request_), now_ms=now_ms) == NOTHING


@given(TABLES, ASKED, INSTANTS, values(), st.data())
def test_a_deny_row_more_never_allows(
    table: Table, request_: tuple[object, ...], now_ms: int, added: tuple[str, str], data: st.DataObject
) -> None:
    """vote(t + deny row, q) = allow implies vote(t, q) = allow; but for the first row of a table that allows what
    nobody denies.
    """
    at = data.draw(st.integers(0, len(table.rows)))
    more = replace(table, rows=(*table.rows[:at], Row(added, "deny"), *table.rows[at:]))
    if vote(more, request_, now_ms) == "allow" and (table.rows or table.effect != "deny_override"):
        assert vote(table, request_, now_ms) == "allow"


@given(TABLES, ASKED, INSTANTS, st.integers(0, 2))
def test_a_value_that_is_missing_never_allows(
    table: Table, request_: tuple[object, ...], now_ms: int, place: int
) -> None:
    """vote(t, q with one value missing) = allow implies vote(t, q) = allow."""
    less = (*request_[:place], None, *request_[place + 1 :])
    if vote(table, less, now_ms) == "allow":
        assert vote(table, request_, now_ms) == "allow"


@given(TABLES, ASKED, INSTANTS, st.integers(0, 2))
def test_knowing_less_only_makes_conditions_unknown(
    table: Table, request_: tuple[object, ...], now_ms: int, place: int
) -> None:
    """truth(row, q with one value missing) is that of q, or UNKNOWN (Kleene's order)."""
    meaning = TableMeaning.of(table, FUNCTIONS)
    less = (*request_[:place], None, *request_[place + 1 :])
    for row in range(len(table.rows)):
        known = meaning.truth_of_row(row, shown(request_), now_ms=now_ms)
        assert meaning.truth_of_row(row, shown(less), now_ms=now_ms) in {known, Truth3.UNKNOWN}


@given(TABLES, ASKED, INSTANTS)
def test_functions_that_are_gone_never_allow(table: Table, request_: tuple[object, ...], now_ms: int) -> None:
    """vote(t without functions, q) = allow implies vote(t, q) = allow."""
    if TableMeaning.of(table).said(shown(request_), now_ms=now_ms).vote == "allow":
        assert vote(table, request_, now_ms) == "allow"


@given(drawn_tables(("allow_override", "allow_and_deny")), ASKED, INSTANTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_of_no_account_where_none_ranks(
    table: Table, request_: tuple[object, ...], now_ms: int, random: object
) -> None:
    """For all permutations s: vote(s(t), q) = vote(t, q), under the effects that do not rank."""
    rows = list(table.rows)
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert vote(replace(table, rows=tuple(rows)), request_, now_ms) == vote(table, request_, now_ms)


@given(TABLES, ASKED, INSTANTS)
def test_strict_allows_nothing_that_compat_does_not(table: Table, request_: tuple[object, ...], now_ms: int) -> None:
    """truth(strict) is truth(compat) or UNKNOWN, without Casbin's functions, whose patterns differ by mode, and where
    no boolean stands beside a number, no item is called as a method of mappings, and no sequence has an equality of its
    own: compat reads these as Python does.
    """
    if table.mode == "compat" or "BuiltIn" in repr((table.matcher, table.expressions)) or "Linked" in repr(table):
        return
    written = (each for _, each in table.expressions if each is not None)
    if any(map(_reads_as_python, (table.matcher, *written))) or any(map(_means_more_to_python, request_)):
        return
    strict = TableMeaning.of(table, FUNCTIONS)
    compat = TableMeaning.of(replace(table, mode="compat"), FUNCTIONS)
    for row in range(len(table.rows)):
        known = compat.truth_of_row(row, shown(request_), now_ms=now_ms)
        assert strict.truth_of_row(row, shown(request_), now_ms=now_ms) in {known, Truth3.UNKNOWN}


def _reads_as_python(expression: Expression) -> bool:
    """Whether something is compared that may be a boolean."""
    sides: list[Expression] = []
    for part in all_in(expression):
        match part:
            case tables.Comparison(_, left, tables.Listed(parts)) | tables.Within(left, tables.Listed(parts)):
                sides += [left, *parts]
            case tables.Comparison(_, left, right) | tables.Within(left, right):
                sides += [left, right]
            case _:
                pass
    constants = [side.value for side in sides if isinstance(side, tables.Constant)]
    return any(isinstance(value, bool) for value in constants) or not all(isinstance(s, _NO_BOOLEANS) for s in sides)


_NO_BOOLEANS = (tables.Parameter, tables.Column, tables.Field, tables.Constant, tables.Arithmetic)
"""Expressions that are no booleans where the request holds none; constants are looked at."""


def _means_more_to_python(value: object) -> bool:
    if isinstance(value, Hidden):
        return value.case == "a sequence that is equal to everything"
    if isinstance(value, Mapping):
        return "items" in value or any(map(_means_more_to_python, value.values()))
    return type(value) is bool


@pytest.fixture(scope="module")
def seen() -> Counter[object]:
    """What drawn tables say and their rows are."""
    counted: Counter[object] = Counter()

    @settings(max_examples=300, database=None, derandomize=True)
    @given(TABLES, ASKED)
    def count(table: Table, request_: tuple[object, ...]) -> None:
        meaning = TableMeaning.of(table, FUNCTIONS)
        counted[meaning.said(shown(request_), now_ms=0).vote] += 1
        counted.update(meaning.truth_of_row(row, shown(request_), now_ms=0) for row in range(len(table.rows)))

    count()
    return counted


def test_the_draws_are_not_one_sided(seen: Counter[object]) -> None:
    """Every vote and every truth is seen, each at least one time in twenty."""
    for of in (("allow", "deny", None), tuple(Truth3)):
        counts = {each: seen[each] for each in of}
        print(counts)
        assert min(counts.values()) >= sum(counts.values()) / 20
