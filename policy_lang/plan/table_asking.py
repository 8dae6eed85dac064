"""One request on its way through a plan, and what a version of a plan has in stock for all requests.

`Stock` is what the rows, links and patterns of a table became; it is never changed, and versions of a plan share what
is the same in it. `Asking` lives for one request: it remembers which values of a column may hold, so that every index
that needs to know asks once.
Source: language.md 6.4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from policy_lang.meaning.role_graphs import Roles
from policy_lang.plan.table_patterns import PatternIndex
from policy_lang.verdict import Truth3

Values = Sequence[str]
"""The columns of a row; empty where nothing of a row is read."""


class Asking:
    """One request. `lost`: a value is of a kind that no index answers for, and the rows have to be asked one by one."""

    __slots__ = ("answers", "lost", "now_ms", "ranks", "request", "stock", "values")

    def __init__(self, request: Sequence[object], now_ms: int, stock: Stock) -> None:
        self.request = request
        self.now_ms = now_ms
        self.stock = stock
        self.values = stock.values
        self.ranks = stock.ranks
        self.lost = False
        self.answers: list[Collection[str] | None] = [None] * len(stock.questions)

    def keys(self, question: int) -> Collection[str]:
        """The values of a column that may hold; none, and the request is lost, where that cannot be said."""
        keys = self.answers[question]
        if keys is None:
            keys = self.answers[question] = self.stock.questions[question](self)
        return keys


Reading = Callable[[Asking, Values], object]
"""The value of an expression; None where it has none."""

Condition = Callable[[Asking, Values], Truth3]

Check = Callable[[Asking, Values], bool]
"""Whether a condition holds: is TRUE, or is not FALSE, as the index wants it."""

Question = Callable[[Asking], Collection[str]]


class Stock(Struct, frozen=True):
    """`values` and `ranks` by slot: a slot is a row's own number, which it keeps while the rank may change; the rank is
    its place in the table. `texts` are the distinct values of columns, by column. `written` are by text.
    """

    values: Sequence[Values]
    ranks: Sequence[int]
    roles: tuple[Roles, ...]
    questions: tuple[Question, ...]
    patterns: tuple[PatternIndex, ...]
    texts: Mapping[int, frozenset[str]]
    written: Mapping[str, Reading]
