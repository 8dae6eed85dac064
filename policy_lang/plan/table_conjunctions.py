"""The matcher of a table as a disjunction of conjunctions, each sorted by what an index can use of it.

In comes an expression; out come conjunctions whose disjunction has the same truth for every row and request: Kleene's
connectives distribute, and negation stands before single conditions only. In a conjunction the conditions are

    alone    that read nothing of the row: asked once
    fixed    that read the row and nothing else: worked out when the index is built
    keyed    that can be looked up by one column: equal, held as a role, fitted as a pattern, listed, or asked of each
             distinct value
    rest     all others: asked of each row that is left

Source: language.md 6.4.

Decision (2026-11-21): what would distribute to more than `MOST_CONJUNCTIONS` stays whole, a condition like any other:
what remains beside it can still be looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct

from policy_lang.ir import tables

MOST_CONJUNCTIONS = 32

PATTERNED: frozenset[tables.FunctionName] = frozenset(
    ("keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "regexMatch", "globMatch", "ipMatch")
)
"""The functions of a name and a pattern."""


class Equal(Struct, frozen=True):
    """The column is `of`, which reads nothing of the row."""

    column: int
    of: tables.Expression


class Held(Struct, frozen=True):
    """`of` has the column as a role in `domain`; neither of them reads anything of the row."""

    column: int
    graph: int
    of: tables.Expression
    domain: tables.Expression | None


class Fits(Struct, frozen=True):
    """`of`, which reads nothing of the row, fits the column as a pattern."""

    column: int
    function: tables.FunctionName
    of: tables.Expression


class Among(Struct, frozen=True):
    """The column stands in a list that reads nothing of the row."""

    column: int
    condition: tables.Within


class Distinct(Struct, frozen=True):
    """A condition that reads one column and may be asked of each distinct value of it."""

    column: int
    condition: tables.Expression


Keyed = Equal | Held | Fits | Among | Distinct


class Conjunction(Struct, frozen=True):
    """Conditions by what an index can use of them (see above)."""

    alone: tuple[tables.Expression, ...]
    fixed: tuple[tables.Expression, ...]
    keyed: tuple[Keyed, ...]
    rest: tuple[tables.Expression, ...]


def conjunctions(matcher: tables.Expression, *, written_reads: bool) -> list[Conjunction]:
    """The conjunctions of a matcher; `written_reads`: what may stand under `Written` reads the row."""
    return [_sorted(each, written_reads=written_reads) for each in _distributed(_pushed(matcher, negated=False))]


def reads_row(of: tables.Expression | None) -> bool:
    """Whether an expression reads anything of the row."""
    return of is not None and not _reads(of).is_alone


# ---------------------------------------------------------------- normal form


def _pushed(of: tables.Expression, *, negated: bool) -> tables.Expression:
    """The expression, or its negation, with negations before single conditions only."""
    match of:
        case tables.Not(inner):
            return _pushed(inner, negated=not negated)
        case tables.And(parts) | tables.Or(parts):
            turned = tuple(_pushed(part, negated=negated) for part in parts)
            return tables.And(turned) if isinstance(of, tables.And) is not negated else tables.Or(turned)
        case _:
            return tables.Not(of) if negated else of


def _distributed(of: tables.Expression) -> list[tuple[tables.Expression, ...]]:
    """The conjunctions of an expression whose negations stand before single conditions."""
    match of:
        case tables.Or(parts):
            found = [each for part in parts for each in _distributed(part)]
            return found if len(found) <= MOST_CONJUNCTIONS else [(of,)]
        case tables.And(parts):
            whole: list[tuple[tables.Expression, ...]] = [()]
            for part in parts:
                several = _distributed(part)
                if len(whole) * len(several) > MOST_CONJUNCTIONS:
                    several = [(part,)]
                whole = [(*each, *more) for each in whole for more in several]
            return whole
        case _:
            return [(of,)]


# ---------------------------------------------------------------- what a condition reads


class _Reads(Struct, frozen=True):
    """`columns` of the row; `more` than the row alone, or not the same each time it is asked."""

    columns: frozenset[int]
    more: bool
    written: bool = False

    @property
    def is_alone(self) -> bool:
        return not self.columns


def _reads(of: tables.Expression) -> _Reads:
    match of:
        case tables.Parameter():
            return _Reads(frozenset(), more=True)
        case tables.Column(place):
            return _Reads(frozenset((place,)), more=False)
        case tables.Constant():
            return _Reads(frozenset(), more=False)
        case tables.Written(column):
            return _Reads(frozenset((column,)), more=True, written=True)
        case tables.Field(inner, _) | tables.Not(inner):
            return _reads(inner)
        case tables.Listed(parts) | tables.And(parts) | tables.Or(parts):
            return _together(parts)
        case tables.Comparison(_, left, right) | tables.Arithmetic(_, left, right) | tables.Within(left, right):
            return _together((left, right))
        case tables.BuiltIn(function, arguments):
            return _together(arguments, more=function == "timeMatch")
        case tables.Linked(_, arguments) | tables.Own(_, arguments):
            return _together(arguments, more=True)
        case _:
            assert_never(of)


def _together(parts: Iterable[tables.Expression], *, more: bool = False) -> _Reads:
    read = [_reads(part) for part in parts]
    return _Reads(
        frozenset().union(*(each.columns for each in read)),
        more or any(each.more for each in read),
        any(each.written for each in read),
    )


# ---------------------------------------------------------------- what an index can use


def _sorted(conditions: Iterable[tables.Expression], *, written_reads: bool) -> Conjunction:
    alone: list[tables.Expression] = []
    fixed: list[tables.Expression] = []
    others: list[tuple[tables.Expression, _Reads]] = []
    for condition in conditions:
        reads = _reads(condition)
        if reads.is_alone:
            alone.append(condition)
        elif not reads.more:
            fixed.append(condition)
        else:
            others.append((condition, reads))
    equal = {found.column: found.of for condition, _ in others if (found := _equal(condition)) is not None}
    keyed: list[Keyed] = []
    rest: list[tables.Expression] = []
    for condition, reads in others:
        key = _key(condition, equal)
        if key is not None:
            keyed.append(key)
        elif len(reads.columns) == 1 and not (reads.written and written_reads):
            keyed.append(Distinct(min(reads.columns), condition))
        else:
            rest.append(condition)
    return Conjunction(tuple(alone), tuple(fixed), tuple(keyed), tuple(rest))


def _key(condition: tables.Expression, equal: dict[int, tables.Expression]) -> Keyed | None:
    return _equal(condition) or _held(condition, equal) or _fits(condition) or _among(condition)


def _equal(condition: tables.Expression) -> Equal | None:
    match condition:
        case tables.Comparison("eq", of, tables.Column(column)) | tables.Comparison("eq", tables.Column(column), of):
            return Equal(column, of) if _reads(of).is_alone else None
        case _:
            return None


def _held(condition: tables.Expression, equal: dict[int, tables.Expression]) -> Held | None:
    """A domain that is a column is as good as what the same conjunction says that column equals."""
    match condition:
        case tables.Linked(graph, (of, tables.Column(column), *rest)) if _reads(of).is_alone:
            domain = rest[0] if rest else None
            if isinstance(domain, tables.Column):
                domain = equal.get(domain.place, domain)
            return Held(column, graph, of, domain) if domain is None or _reads(domain).is_alone else None
        case _:
            return None


def _fits(condition: tables.Expression) -> Fits | None:
    match condition:
        case tables.BuiltIn(function, (of, tables.Column(column))) if function in PATTERNED and _reads(of).is_alone:
            return Fits(column, function, of)
        case _:
            return None


def _among(condition: tables.Expression) -> Among | None:
    match condition:
        case tables.Within(tables.Column(column), among) if _reads(among).is_alone:
            return Among(column, condition)
        case _:
            return None
