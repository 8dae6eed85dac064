"""Tables compiled: what the definition says of a request, without asking every row.

In come a table, the functions of an embedding program, a request and an instant; out comes what
`meaning.tables.TableMeaning` says (tests/properties/test_table_plan_laws.py holds the two together).

How: the matcher is taken apart into conjunctions (`table_conjunctions`); each has an index over the allow rows, which
finds the first one for which it is TRUE, and one over the deny rows, which finds the first one for which it is not
FALSE (`table_index`). A request that no index answers for is asked of every row.
INVARIANT: a plan is never changed, and is safe from many threads; `changed` makes another one, which shares what is the
same.
Source: language.md 6.3, 6.4.

Decision (2026-11-21): a value that is missing or an object that compares itself (compat) loses a request to the indexes
over deny rows, where each row may then hold; allow rows for which a condition has no truth do not, so that most tables
are never walked.
Decision (2026-11-21): a plan is built anew where a change touches more than a quarter of its rows, and where it has
grown to twice its size: the order of the levels fits the rows again, and numbers of rows that are gone are freed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir.tables import Row, Table, Vote
from policy_lang.meaning.tables import NO_FUNCTIONS, NOTHING, Functions, Said, values_of
from policy_lang.plan.table_asking import Asking, Check, Stock
from policy_lang.plan.table_index import Index, index_of
from policy_lang.plan.table_questions import Asker, Questions
from policy_lang.plan.table_slots import Realigned, realigned
from policy_lang.plan.table_stock import Design, restocked, same_design, stocked

VOTES: tuple[Vote, ...] = ("allow", "deny")

FEW = 64
"""Tables with so few rows are not built anew because they have grown."""


class Side(Struct, frozen=True):
    """The rows of one vote: an index for each conjunction, and what a row is asked where there is no index for it."""

    vote: Vote
    indexes: tuple[Index, ...]
    asks: Check

    def first(self, asking: Asking, rows: Sequence[Row], best: int) -> int:
        """The least rank below `best` of a row of this vote that holds; `best` where there is none."""
        found = best
        asking.lost = False
        for index in self.indexes:
            if index.tree:
                found = index.least(asking, found)
                if asking.lost:
                    return self._walked(asking, rows, best)
        return found

    def _walked(self, asking: Asking, rows: Sequence[Row], best: int) -> int:
        for rank in range(best):
            if rows[rank].vote == self.vote and self.asks(asking, rows[rank].values):
                return rank
        return best


class TablePlan(Struct, frozen=True):
    """A table that answers fast. `slots` by rank, `built` is how many rows it was built for."""

    table: Table
    functions: Functions
    design: Design
    stock: Stock
    slots: Sequence[int]
    built: int
    allows: Side
    denies: Side

    @classmethod
    def of(cls, table: Table, functions: Functions = NO_FUNCTIONS) -> TablePlan:
        """The plan of a table that keeps the invariant of `ir.tables`. `functions` as for its meaning."""
        return _built(table, functions)

    def said(self, request: Sequence[object], *, now_ms: int) -> Said:
        """What the table says of a request; milliseconds since 1970-01-01 UTC."""
        table = self.table
        rows = table.rows
        if not rows:
            return NOTHING
        asking = Asking(_values(table, request), now_ms, self.stock)
        none = len(rows)
        match table.effect:
            case "allow_override":
                allowed = self.allows.first(asking, rows, none)
                return NOTHING if allowed == none else Said("allow", allowed)
            case "allow_and_deny":
                denied = self.denies.first(asking, rows, none)
                if denied != none:
                    return Said("deny", denied)
                allowed = self.allows.first(asking, rows, none)
                return NOTHING if allowed == none else Said("allow", allowed)
            case "deny_override":
                denied = self.denies.first(asking, rows, none)
                return Said("allow", None) if denied == none else Said("deny", denied)
            case "priority":
                denied = self.denies.first(asking, rows, none)
                allowed = self.allows.first(asking, rows, denied)
                if allowed != denied:
                    return Said("allow", allowed)
                return NOTHING if denied == none else Said("deny", denied)
            case _:
                assert_never(table.effect)

    def changed(self, table: Table) -> TablePlan:
        """The plan of another table, which shares with this one what the two tables have in common."""
        if not same_design(self.table, table):
            return TablePlan.of(table, self.functions)
        rows = realigned(self.table.rows, table.rows, self.slots, len(self.stock.values))
        size = len(table.rows)
        touched = len(rows.added) + len(rows.gone)
        used = len(self.stock.values) + len(rows.added)
        if touched > max(FEW, size) // 4 or used > max(FEW, 2 * self.built):
            return TablePlan.of(table, self.functions)
        stock = restocked(self.stock, self.design, self.table, table, rows)
        return replace(
            self,
            table=table,
            stock=stock,
            slots=rows.slots,
            allows=_edited(self.allows, rows, stock),
            denies=_edited(self.denies, rows, stock),
        )


def _values(table: Table, request: Sequence[object]) -> Sequence[object]:
    """As `values_of`, fast for the right number of strings."""
    if len(request) != len(table.parameters):
        return values_of(table, request)
    for value in request:
        if type(value) is not str:
            return values_of(table, request)
    return request


# ---------------------------------------------------------------- building


def _built(table: Table, functions: Functions) -> TablePlan:
    design = Design.of(table, functions)
    stock = stocked(table, design)
    questions = Questions()
    numbers = {key: number for number, key in enumerate(design.indexed)}
    allows, denies = (
        _side(vote, table, design, stock, Asker(design.maker, vote == "allow", numbers, questions)) for vote in VOTES
    )
    stock = replace(stock, questions=tuple(questions.asked))
    return TablePlan(table, functions, design, stock, range(len(table.rows)), len(table.rows), allows, denies)


def _side(vote: Vote, table: Table, design: Design, stock: Stock, asker: Asker) -> Side:
    slots = [slot for slot, row in enumerate(table.rows) if row.vote == vote]
    indexes = tuple(index_of(part, slots, stock, asker) for part in design.parts)
    return Side(vote, indexes, asker.holds(design.maker.condition(table.matcher)))


def _edited(side: Side, rows: Realigned, stock: Stock) -> Side:
    more = [slot for slot, row in rows.added if row.vote == side.vote]
    gone = [slot for slot, row in rows.gone if row.vote == side.vote]
    if not more and not gone:
        return side
    return replace(side, indexes=tuple(index.edited(more, gone, stock) for index in side.indexes))
