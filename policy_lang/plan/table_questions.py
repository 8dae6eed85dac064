"""What an index asks a request: which values of a column may hold.

In comes a condition that can be looked up by one column (`table_conjunctions.Keyed`); out comes the question that names
the values of the column for which it holds, and the check that asks the same of one row. An index that is `sure` wants
the values for which the condition is TRUE; one that is not wants those for which it is not FALSE, and where that is all
of them, or cannot be said from the columns' texts alone, the request is lost to indexes (`Asking.lost`).
INVARIANT: of the texts in stock, the question names those for which the condition holds, or the request is lost.
Source: language.md 6.4.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.ir import tables
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.object_values import members, plain, same
from policy_lang.meaning.values import FALSE, TRUE
from policy_lang.plan.table_asking import Asking, Check, Condition, Question, Values
from policy_lang.plan.table_conditions import Maker
from policy_lang.plan.table_conjunctions import Among, Distinct, Equal, Fits, Held, Keyed, reads_row

NONE: tuple[str, ...] = ()

DATA: Sequence[type] = (type(None), bool, int, float, list, tuple, set, frozenset, dict)
"""Types of values that say alike of all strings whether they equal them."""


class Questions(Struct):
    """The questions of a plan, each once. Its state is what was asked for."""

    asked: list[Question] = field(default_factory=list)
    numbers: dict[tuple[bool, str], int] = field(default_factory=dict)


class Asker(Struct, frozen=True):
    """Makes questions and checks. `pattern_indexes` number the pattern indexes in stock, by column and function."""

    maker: Maker
    sure: bool
    pattern_indexes: Mapping[tuple[int, tables.FunctionName], int]
    questions: Questions

    def number(self, of: Keyed) -> int:
        """The number of a question, which is made where there is none yet."""
        # Not by equality: Python holds the constants 1 and True for one.
        key = self.sure, repr(of)
        if key not in self.questions.numbers:
            question = self.question(of)  # which may number others
            self.questions.numbers[key] = len(self.questions.asked)
            self.questions.asked.append(question)
        return self.questions.numbers[key]

    def question(self, of: Keyed) -> Question:
        """Which values of its column may hold."""
        match of:
            case Equal():
                return self._equal(of)
            case Held():
                return self._held(of)
            case Fits():
                return self._fits(of)
            case Among():
                return self._among(of)
            case Distinct():
                return self._distinct(of)
            case _:
                assert_never(of)

    def check(self, of: Keyed, question: int) -> Check:
        """Whether the condition holds for one row. What would be asked of many values for the sake of few rows is asked
        of the rows, unless it was asked already.
        """
        column = of.column
        match of:
            case Equal() | Held() | Among():
                return lambda asking, row: row[column] in asking.keys(question)
            case Distinct():
                return _known_or(question, column, self._asks(of))
            case Fits(_, function, name):
                here = self.pattern_indexes[column, function]
                condition = tables.BuiltIn(function, (name, tables.Column(column)))
                holds = _known_or(question, column, self.holds(self.maker.condition(condition)))

                def check(asking: Asking, row: Values) -> bool:
                    if asking.stock.patterns[here].slow:
                        return holds(asking, row)
                    return row[column] in asking.keys(question)

                return check
            case _:
                assert_never(of)

    def holds(self, condition: Condition) -> Check:
        """Whether a condition is as this index wants it."""
        if self.sure:
            return lambda asking, row: condition(asking, row) is TRUE
        return lambda asking, row: condition(asking, row) is not FALSE

    # ---------------------------------------------------------------- questions

    def _equal(self, of: Equal) -> Question:
        reading, mode, sure = self.maker.reading(of.of), self.maker.mode, self.sure

        def question(asking: Asking) -> Collection[str]:
            value = reading(asking, NONE)
            if type(value) is str:
                return (value,)
            # In compat an object says itself what it equals.
            asks_itself = mode == "compat" and not _is_data(value)
            if asks_itself or not (sure or same(value, "", mode=mode) is FALSE):
                asking.lost = True
            return NONE

        return question

    def _held(self, of: Held) -> Question:
        member_of = self.maker.reading(of.of)
        domain_of = self.maker.reading(tables.Constant("") if of.domain is None else of.domain)
        graph, zone, mode, sure = of.graph, self.maker.zone, self.maker.mode, self.sure

        def question(asking: Asking) -> Collection[str]:
            member, domain = member_of(asking, NONE), domain_of(asking, NONE)
            if type(member) is str and type(domain) is str:
                roles, now = asking.stock.roles[graph], LocalTime.of(asking.now_ms, zone)
                held = roles.held(member, domain, now=now)
                return held if sure else held | roles.doubted(member, domain, now=now)
            # An object may equal the column of a row for which it stands here.
            if not sure or (mode == "compat" and type(domain) is not str and not _is_data(domain)):
                asking.lost = True
            return NONE

        return question

    def _fits(self, of: Fits) -> Question:
        reading, sure = self.maker.reading(of.of), self.sure
        here = self.pattern_indexes[of.column, of.function]

        def question(asking: Asking) -> Collection[str]:
            name, index = reading(asking, NONE), asking.stock.patterns[here]
            if type(name) is str and index.takes(name):
                fitting = index.fitting(name)
                return fitting if sure else fitting | index.left_open(name) | index.unreadable
            if not sure:
                asking.lost = True
            return NONE

        return question

    def _among(self, of: Among) -> Question:
        reading, mode, sure, column = self.maker.reading(of.condition.among), self.maker.mode, self.sure, of.column
        each_asked = self._distinct(Distinct(column, of.condition))

        def question(asking: Asking) -> Collection[str]:
            value = reading(asking, NONE)
            if mode == "compat" and type(value) is str:
                return each_asked(asking)
            listed = members(value)
            values = [] if listed is None else list(map(plain, listed))
            others = [each for each in values if type(each) is not str]
            if mode == "compat" and not all(map(_is_data, others)):
                return each_asked(asking)
            # What is unknown of one string is unknown of all.
            if not sure and (listed is None or any(same(each, "", mode=mode) is not FALSE for each in others)):
                return asking.stock.texts[column]
            return frozenset(each for each in values if type(each) is str)

        return question

    def _asks(self, of: Distinct) -> Check:
        """Whether the condition holds for one row. A list that the column must not stand in is read once for all rows:
        surely outside is what is not even perhaps inside, and perhaps outside what is not surely inside.
        """
        holds, column = self.holds(self.maker.condition(of.condition)), of.column
        match of.condition:
            case tables.Not(tables.Within(tables.Column(), among) as inside) if not reads_row(among):
                reading, mode = self.maker.reading(among), self.maker.mode
                listed = replace(self, sure=not self.sure).number(Among(column, inside))

                def check(asking: Asking, row: Values) -> bool:
                    # A part of a string is no key: all texts would be asked for the sake of this row.
                    if mode == "compat" and type(reading(asking, NONE)) is str:
                        return holds(asking, row)
                    return row[column] not in asking.keys(listed)

                return check
            case _:
                return holds

    def _distinct(self, of: Distinct) -> Question:
        holds, column = self._asks(of), of.column

        def question(asking: Asking) -> Collection[str]:
            # The condition reads one column, so that the others may hold anything.
            return frozenset(text for text in asking.stock.texts[column] if holds(asking, (text,) * (column + 1)))

        return question


def _is_data(value: object) -> bool:
    # Not by `in`: a class may be of a class that compares or hashes by raising.
    return any(type(value) is kind for kind in DATA)


def _known_or(question: int, column: int, holds: Check) -> Check:
    def check(asking: Asking, row: Values) -> bool:
        keys = asking.answers[question]
        return holds(asking, row) if keys is None else row[column] in keys

    return check
