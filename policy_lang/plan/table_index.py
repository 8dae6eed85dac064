"""The rows of one vote under one conjunction, as a tree by the values of columns.

A level of the tree tells rows apart by one column: a request names the values of it that may hold (`Asking.keys`), and
only what stands under these is looked at. Few rows stand in a plain tuple, wherever they are in the tree, and are asked
the conditions that the levels above have not answered. A tree is never changed: `edited` gives another one, which
shares what is the same.
INVARIANT: `Index.least` is the least rank of the rows for which the conjunction holds: is TRUE where the index is
`sure`, is not FALSE where it is not; unless the request is lost to indexes (`Asking.lost`).
Source: language.md 6.4.

Decision (2026-11-21): the order of the levels is one for the whole tree, and is chosen once: the column that leaves the
fewest rows on the average first. Rows that come later may make another order better, never this one wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.plan.table_asking import Asking, Check, Stock
from policy_lang.plan.table_conjunctions import Conjunction, Distinct, Keyed
from policy_lang.plan.table_questions import Asker

SMALL = 4
"""So few rows are asked one by one."""

MOST_ASKED = 64
"""So many distinct values of a column are asked one by one, if that leaves out more rows than it asks values."""

Tree = tuple[int, ...] | Mapping[str, "Tree"]
"""Slots of rows in the order of their ranks, or what stands under each value of a column."""


class Level(Struct, frozen=True):
    """A column, and the number of the question (`Asking.keys`) that names its values."""

    column: int
    question: int


class Index(Struct, frozen=True):
    """`alone` are asked before all else, `fixed` of a row before it comes in; `checks[n]` are what a row under the
    first n levels is asked.
    """

    sure: bool
    alone: tuple[Check, ...]
    fixed: tuple[Check, ...]
    levels: tuple[Level, ...]
    checks: tuple[tuple[Check, ...], ...]
    tree: Tree

    def least(self, asking: Asking, best: int) -> int:
        """The least rank below `best` of a row for which the conjunction holds; `best` where there is none."""
        for check in self.alone:
            if not check(asking, ()):
                return best
        return self._least(self.tree, 0, asking, best)

    def _least(self, tree: Tree, depth: int, asking: Asking, best: int) -> int:
        if isinstance(tree, tuple):
            return _first(tree, self.checks[depth], asking, best)
        keys = asking.keys(self.levels[depth].question)
        if len(keys) <= len(tree):
            for key in keys:
                below = tree.get(key)
                if below is not None:
                    best = self._least(below, depth + 1, asking, best)
            return best
        for key, below in tree.items():
            if key in keys:
                best = self._least(below, depth + 1, asking, best)
        return best

    def edited(self, more: Iterable[int], gone: Collection[int], stock: Stock) -> Index:
        """The index with more rows in it and without others; `stock` has the values and ranks of both."""
        kept = admitted(more, self.fixed, stock)
        trees = _Trees(self.levels, stock, frozenset(gone))
        return replace(self, tree=trees.edited(self.tree, kept, gone, 0))


def _first(slots: tuple[int, ...], checks: tuple[Check, ...], asking: Asking, best: int) -> int:
    ranks, values = asking.ranks, asking.values
    for slot in slots:
        rank = ranks[slot]
        if rank >= best:
            return best
        row = values[slot]
        for check in checks:
            if not check(asking, row):
                break
        else:
            return rank
    return best


# ---------------------------------------------------------------- building


def index_of(conjunction: Conjunction, slots: Iterable[int], stock: Stock, asker: Asker) -> Index:
    """The index of the rows in these slots, in the order of their ranks."""
    fixed = tuple(asker.holds(asker.maker.condition(each)) for each in conjunction.fixed)
    taken = admitted(slots, fixed, stock)
    numbered = [(each, asker.number(each)) for each in conjunction.keyed]
    levels = tuple(Level(each.column, asker.number(each)) for each in _ordered(conjunction.keyed, taken, stock))
    asked_anyway = tuple(asker.holds(asker.maker.condition(each)) for each in conjunction.rest)
    checks = tuple(
        (*(asker.check(each, number) for each, number in numbered if number not in answered), *asked_anyway)
        for answered in ({level.question for level in levels[:depth]} for depth in range(len(levels) + 1))
    )
    alone = tuple(asker.holds(asker.maker.condition(each)) for each in conjunction.alone)
    tree = _Trees(levels, stock, frozenset()).built(taken, 0)
    return Index(asker.sure, alone, fixed, levels, checks, tree)


def admitted(slots: Iterable[int], fixed: Sequence[Check], stock: Stock) -> list[int]:
    """The rows that hold as far as nothing but the row matters."""
    if not fixed:
        return list(slots)
    asking = Asking((), 0, stock)
    return [slot for slot in slots if all(check(asking, stock.values[slot]) for check in fixed)]


def _ordered(keyed: Iterable[Keyed], slots: Sequence[int], stock: Stock) -> list[Keyed]:
    """The conditions that make levels, one a column, those that leave the fewest rows first."""
    left: dict[int, float] = {}
    distinct: dict[int, int] = {}
    for column in {each.column for each in keyed}:
        counts = Counter(stock.values[slot][column] for slot in slots)
        distinct[column] = len(counts)
        left[column] = sum(count * count for count in counts.values()) / max(1, len(slots))
    levels: list[Keyed] = []
    expected = float(len(slots))
    for each in sorted(keyed, key=lambda each: (isinstance(each, Distinct), left[each.column], each.column)):
        if each.column in {level.column for level in levels}:
            continue
        if isinstance(each, Distinct) and not distinct[each.column] <= min(MOST_ASKED, expected / 2):
            continue
        levels.append(each)
        expected *= left[each.column] / max(1, len(slots))
    return levels


class _Trees(Struct, frozen=True):
    """Builds and edits trees with these levels; `gone` are the slots to leave out."""

    levels: tuple[Level, ...]
    stock: Stock
    gone: frozenset[int]

    def built(self, slots: Sequence[int], depth: int) -> Tree:
        """The tree of slots that stand in the order of their ranks."""
        if len(slots) <= SMALL or depth == len(self.levels):
            return tuple(slots)
        return {value: self.built(under, depth + 1) for value, under in self._under(slots, depth).items()}

    def edited(self, tree: Tree, more: Sequence[int], gone: Collection[int], depth: int) -> Tree:
        """A tree with more slots in it, and without some."""
        if isinstance(tree, tuple):
            slots = [slot for slot in tree if slot not in self.gone] if gone else tree
            return self.built(sorted((*slots, *more), key=self.stock.ranks.__getitem__), depth)
        added, lost = self._under(more, depth), self._under(gone, depth)
        branches = dict(tree)
        for value in {**added, **lost}:
            below = self.edited(branches.get(value, ()), added.get(value, ()), lost.get(value, ()), depth + 1)
            if below:
                branches[value] = below
            else:
                branches.pop(value, None)
        return branches or ()

    def _under(self, slots: Iterable[int], depth: int) -> dict[str, list[int]]:
        """The slots by their value in the column of a level."""
        column = self.levels[depth].column
        found: dict[str, list[int]] = {}
        for slot in slots:
            found.setdefault(self.stock.values[slot][column], []).append(slot)
        return found
