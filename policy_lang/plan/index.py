"""The index of a group of rules: from the inputs of a call to the few rules that may apply.

A rule can be passed over when one of its conjuncts is certainly FALSE. A node of the tree tells rules apart by one
input: rules that need it to be one of some values stand under those values, rules that ask nothing of it stand apart in
`rest`, which is always looked at too. An input without a value passes over no rule, so that UNKNOWN is left to the
rules themselves.

    by value     the input is one of some constants: `==`, `in [..]`; or a constant is in the input, a set; or the input
                 and a set of constants overlap (roles)
    by address   the input lies in some ranges: all ranges cut the line of addresses into pieces

INVARIANT: `parts` hold every rule of the group that is not FALSE; in a part, rules stand in the order of the group.
Source: language.md 6.2 (4), 6.5.

Decision: 2026-11-21. Thresholds of numbers and columns of relations are not told apart: a threshold leaves half of the
rules on the average, and rules that differ in a constant argument of a relation differ in other things too.
Decision: 2026-11-21. An index holds at most `MOST_ENTRIES` entries for each of its rules: a rule that asks for more
values than that stands in `rest`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, Literal, TypeVar, cast, get_args

from msgspec import Struct

from policy_lang import ir
from policy_lang.addresses import number
from policy_lang.meaning.evaluation import ROOTS, Environment, Values

T = TypeVar("T")

SMALL = 3
"""So few rules are asked one by one."""

MOST_DEEP = 3
MOST_ENTRIES = 64

WORTH = 0.75
"""A level is built where it leaves no larger share of the rules than this."""

Manner = Literal["one", "many", "address"]
MANNERS: frozenset[Manner] = frozenset(get_args(Manner))

Parts = tuple[tuple[T, ...], ...]
"""Rules that may apply, in parts; a rule may stand in several."""

Look = Callable[[Environment], Parts[T]]


class Branch(Struct, Generic[T], frozen=True):
    """Rules told apart by one input: `look` gives those that may apply."""

    how: Manner
    look: Look[T]


Tree = Parts[T] | Branch[T]


def parts(tree: Tree[T], environment: Environment) -> Parts[T]:
    """The rules that may apply."""
    return tree if isinstance(tree, tuple) else tree.look(environment)


# ---------------------------------------------------------------- looking up
#
# Functions over local names: an object would be asked for each of its fields in every decision.


def _by_value(read: _Read, under: _Under[T], rest: Tree[T], everything: Parts[T]) -> Look[T]:
    """By the value of an input that is no set."""
    roots, name = read
    scalars = cast("Callable[[Environment], Mapping[str, ir.ScalarValue]]", roots)
    find, further = under.leaves.get, under.branches.get
    others, more = _split(rest)

    def look(environment: Environment) -> Parts[T]:
        value = scalars(environment).get(name)
        if value is None:
            return everything
        found = others if more is None else more(environment)
        leaf = find(value)
        if leaf is not None:
            return leaf + found
        branch = further(value)
        return found if branch is None else branch(environment) + found

    return look


def _by_member(read: _Read, under: _Under[T], rest: Tree[T], everything: Parts[T]) -> Look[T]:
    """By the members of an input that is a set."""
    roots, name = read
    sets = cast("Callable[[Environment], Mapping[str, frozenset[ir.ScalarValue]]]", roots)
    find, further = under.leaves.get, under.branches.get
    keys = frozenset((*under.leaves, *under.branches))
    most = len(keys)
    others, more = _split(rest)

    def look(environment: Environment) -> Parts[T]:
        members = sets(environment).get(name)
        if members is None:
            return everything
        found = others if more is None else more(environment)
        # A caller chooses the set: the smaller of the two is walked.
        for member in members if len(members) <= most else keys & members:
            leaf = find(member)
            if leaf is not None:
                found = leaf + found
            elif (branch := further(member)) is not None:
                found = branch(environment) + found
        return found

    return look


def _by_address(read: _Read, pieces: _Pieces[T], rest: Tree[T], everything: Parts[T]) -> Look[T]:
    """By the piece of the line of addresses in which an input lies."""
    roots, name = read
    starts, between = pieces

    def look(environment: Environment) -> Parts[T]:
        value = roots(environment).get(name)
        address = number(value) if isinstance(value, str) else None
        if address is None:
            return everything
        return (between[bisect_right(starts, address)], *parts(rest, environment))

    return look


_Read = tuple[Callable[[Environment], Values], str]

_Pieces = tuple[tuple[int, ...], tuple[tuple[T, ...], ...]]
"""`pieces[1][n]` are the rules for addresses from `pieces[0][n - 1]` on, up to `pieces[0][n]`."""


class _Under(Struct, Generic[T], frozen=True):
    """What stands under each value: rules, or another level."""

    leaves: Mapping[ir.ScalarValue, Parts[T]]
    branches: Mapping[ir.ScalarValue, Look[T]]


def _split(tree: Tree[T]) -> tuple[Parts[T], Look[T] | None]:
    return (tree, None) if isinstance(tree, tuple) else ((), tree.look)


# ---------------------------------------------------------------- building


class Asked(Struct, frozen=True):
    """What one conjunct of a rule asks of one input."""

    how: Manner
    attr: ir.Attr
    values: frozenset[ir.ScalarValue]
    ranges: tuple[tuple[int, int], ...] = ()


Conjuncts = Mapping[tuple[Manner, ir.Attr], Asked]
"""What a rule asks, one conjunct for each input and manner."""


def asked(program: ir.Program, guards: Iterable[int]) -> Conjuncts:
    """What the conjunction of guards asks, as far as an index can use it."""
    found: dict[tuple[Manner, ir.Attr], Asked] = {}
    for guard in guards:
        for each in _asked(program, guard):
            key = (each.how, each.attr)
            if key not in found or len(each.values) < len(found[key].values):
                found[key] = each
    return found


def _asked(program: ir.Program, guard: int) -> Iterator[Asked]:
    match program.guards[guard]:
        case ir.All(parts):
            for part in parts:
                yield from _asked(program, part)
        case ir.Lit(atom, False):
            of = _of_atom(program.atoms[atom])
            if of is not None:
                yield of
        case ir.AnyOf(parts) if parts:
            merged = _merged([_of_part(program, part) for part in parts])
            if merged is not None:
                yield merged
        case _:
            return


def _of_part(program: ir.Program, part: int) -> Asked | None:
    """What one alternative asks, where it is a single atom."""
    match program.guards[part]:
        case ir.Lit(atom, False):
            return _of_atom(program.atoms[atom])
        case _:
            return None


def _merged(parts: Sequence[Asked | None]) -> Asked | None:
    """What one of several asks, where all ask the same input in the same manner."""
    first = parts[0]
    if first is None or first.how == "address":
        return None
    values: set[ir.ScalarValue] = set()
    for each in parts:
        if each is None or (each.how, each.attr) != (first.how, first.attr):
            return None
        values |= each.values
    return Asked(first.how, first.attr, frozenset(values))


def _of_atom(atom: ir.Atom) -> Asked | None:
    match atom:
        case ir.Compare("eq", ir.Attr() as attr, ir.Const(value)) | ir.Compare(
            "eq", ir.Const(value), ir.Attr() as attr
        ):
            return None if isinstance(value, frozenset) else Asked("one", attr, frozenset((value,)))
        case ir.Member(ir.Attr() as attr, ir.Const(frozenset() as members)):
            return Asked("one", attr, members)
        case ir.Member(ir.Const(value), ir.Attr() as attr):
            return None if isinstance(value, frozenset) else Asked("many", attr, frozenset((value,)))
        case ir.Overlap(ir.Attr() as attr, ir.Const(frozenset() as members)) | ir.Overlap(
            ir.Const(frozenset() as members), ir.Attr() as attr
        ):
            return Asked("many", attr, members)
        case ir.InNetwork(ir.Attr() as attr, _, ranges):
            return Asked("address", attr, frozenset(), ranges)
        case _:
            return None


def build(rules: Sequence[Conjuncts], items: Sequence[T]) -> Tree[T]:
    """The index of a group: what its rules ask, in its order, and what stands for each of them."""
    return _Builder(rules, items).build(tuple(range(len(rules))), MANNERS, MOST_DEEP)


class _Builder(Struct, Generic[T], frozen=True):
    rules: Sequence[Conjuncts]
    items: Sequence[T]

    def build(self, here: Rules, manners: frozenset[Manner], levels: int) -> Tree[T]:
        """The index of some of the rules, by some manners."""
        rules = self.rules
        best = _best(here, rules, manners) if len(here) > SMALL and levels else None
        if best is None:
            return self._leaf(here)
        how, attr = best
        apart = [rule for rule in here if is_told_apart(rules[rule].get(best))]
        others = tuple(rule for rule in here if not is_told_apart(rules[rule].get(best)))
        read, everything = (ROOTS[attr.root], attr.name), self._leaf(here)
        if how == "address":
            pieces = _pieces([(rule, rules[rule][best].ranges) for rule in apart])
            if pieces is None:
                return self.build(here, manners - {"address"}, levels)
            starts, between = pieces
            rest = self.build(others, manners, levels)
            cut = starts, tuple(map(self._items, between))
            return Branch(how, _by_address(read, cut, rest, everything))
        under: dict[ir.ScalarValue, list[int]] = {}
        for rule in apart:
            for value in rules[rule][best].values:
                under.setdefault(value, []).append(rule)
        leaves: dict[ir.ScalarValue, Parts[T]] = {}
        branches: dict[ir.ScalarValue, Look[T]] = {}
        for value, of in under.items():
            child = self.build(tuple(of), manners, levels - 1)
            if isinstance(child, tuple):
                leaves[value] = child
            else:
                branches[value] = child.look
        by = _by_value if how == "one" else _by_member
        rest = self.build(others, manners, levels)
        return Branch(how, by(read, _Under(leaves, branches), rest, everything))

    def _leaf(self, here: Rules) -> Parts[T]:
        return (self._items(here),) if here else ()

    def _items(self, here: Rules) -> tuple[T, ...]:
        return tuple([self.items[rule] for rule in here])


def is_told_apart(of: Asked | None) -> bool:
    """Whether a rule that asks this stands under what it asks for, and not in the rest."""
    return of is not None and len(of.values) <= MOST_ENTRIES and len(of.ranges) <= MOST_ENTRIES


Rules = tuple[int, ...]
"""Places of rules in their group, ascending."""


def _best(here: Rules, rules: Sequence[Conjuncts], manners: frozenset[Manner]) -> tuple[Manner, ir.Attr] | None:
    """The input that leaves the fewest rules; None where none leaves clearly fewer than all."""
    sizes: dict[tuple[Manner, ir.Attr], tuple[int, dict[object, int]]] = {}
    for rule in here:
        for key, each in rules[rule].items():
            if key[0] in manners and is_told_apart(each):
                holders, under = sizes.get(key, (0, {}))
                for value in each.values or each.ranges:
                    under[value] = under.get(value, 0) + 1
                sizes[key] = (holders + 1, under)
    left = {
        key: len(here) - holders + sum(n * n for n in under.values()) / max(1, sum(under.values()))
        for key, (holders, under) in sizes.items()
    }
    best = min(left, key=lambda key: (left[key], key[0], key[1].root, key[1].name), default=None)
    return None if best is None or left[best] > len(here) * WORTH else best


def _pieces(
    of: Sequence[tuple[int, tuple[tuple[int, int], ...]]],
) -> tuple[tuple[int, ...], tuple[Rules, ...]] | None:
    """The line of addresses, cut where any range begins or ends, with the rules that hold each piece.

    None where ranges lie in each other so deep that the pieces would list too many rules.
    """
    changes: dict[int, list[tuple[int, bool]]] = {}
    for rule, ranges in of:
        for first, last in ranges:
            changes.setdefault(first, []).append((rule, True))
            changes.setdefault(last + 1, []).append((rule, False))
    starts: list[int] = []
    pieces: list[Rules] = [()]
    held: set[int] = set()
    entries = 0
    for start in sorted(changes):
        for rule, begins in changes[start]:
            (held.add if begins else held.discard)(rule)
        entries += len(held)
        if entries > MOST_ENTRIES * len(of):
            return None
        starts.append(start)
        pieces.append(tuple(sorted(held)))
    return tuple(starts), tuple(pieces)
