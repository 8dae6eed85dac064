"""Formulas over atoms, and their places in a program: negation normal form, folding, hash-consing.

A formula is built bottom up by `holds`, `negate`, `every`, `some`; it is in negation normal form and free of constants
below its top at any time, because the builders keep it so. `Interner` gives equal atoms and guards one index for a
whole program, parts before wholes.
INVARIANT: folding decides only atoms all of whose operands are constants, by the operations of values.py themselves,
so that a folded formula has the value of the written one for every input, unknown ones included.
Formulas nest and are put into sets at every level, so each keeps its hash: building one takes time linear in its size.
Source: language.md 6.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, assert_never

from policy_lang.ir import (
    Age,
    All,
    AnyOf,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    Empty,
    Guard,
    Has,
    InNetwork,
    Like,
    Lit,
    Lookup,
    Member,
    Now,
    Operand,
    Overlap,
    Shift,
    Truth,
    Value,
    Vote,
    attrs_of,
    operands_of,
)
from policy_lang.meaning import values
from policy_lang.verdict import Truth3


@dataclass(frozen=True, slots=True)
class Leaf:
    """An atom, or its negation."""

    atom: Atom
    negated: bool = False
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.atom, self.negated)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Every:
    """All of two or more parts, none of them constant or an `Every`."""

    parts: tuple[Formula, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(("every", self.parts)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Some:
    """One of two or more parts, none of them constant or a `Some`."""

    parts: tuple[Formula, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(("some", self.parts)))

    def __hash__(self) -> int:
        return self._hash


Formula = bool | Leaf | Every | Some

# ---------------------------------------------------------------- building


def holds(atom: Atom) -> Formula:
    """The atom as a formula; a constant where all its operands are."""
    match _folded(atom):
        case Truth3.TRUE:
            return True
        case Truth3.FALSE:
            return False
        case _:
            return Leaf(atom)


def negate(formula: Formula) -> Formula:
    """`not formula`, pushed down to the atoms."""
    match formula:
        case bool():
            return not formula
        case Leaf(atom, negated):
            return Leaf(atom, not negated)
        case Every(parts):
            return Some(tuple(negate(part) for part in parts))
        case Some(parts):
            return Every(tuple(negate(part) for part in parts))
        case _:
            assert_never(formula)


def every(parts: tuple[Formula, ...]) -> Formula:
    """`and` over the parts; true of nothing."""
    kept: dict[Formula, None] = {}
    for part in parts:
        match part:
            case False:
                return False
            case True:
                pass
            case Every(inner):
                kept.update(dict.fromkeys(inner))
            case _:
                kept[part] = None
    if len(kept) < 2:
        return next(iter(kept), True)
    return Every(tuple(kept))


def some(parts: tuple[Formula, ...]) -> Formula:
    """`or` over the parts; false of nothing."""
    kept: dict[Formula, None] = {}
    for part in parts:
        match part:
            case True:
                return True
            case False:
                pass
            case Some(inner):
                kept.update(dict.fromkeys(inner))
            case _:
                kept[part] = None
    if len(kept) < 2:
        return next(iter(kept), False)
    return Some(tuple(kept))


def leaves(formula: Formula) -> Iterator[Leaf]:
    """The atoms of a formula, negated or not, in the order of reading; one that stands twice comes twice."""
    match formula:
        case bool():
            return
        case Leaf():
            yield formula
        case Every(parts) | Some(parts):
            for part in parts:
                yield from leaves(part)
        case _:
            assert_never(formula)


# ---------------------------------------------------------------- folding


def shifted(left: Operand, sign: Literal[1, -1], right: Operand) -> Operand:
    """`left + right` (sign 1) or `left - right`; a constant where both are and 64 bits hold the result."""
    if isinstance(left, Const) and isinstance(right, Const):
        moved = values.shift(left.value, sign, right.value)
        if moved is not None:
            return Const(moved)
    return Shift(left, sign, right)


def _folded(atom: Atom) -> Truth3:
    """The value of an atom over constants, UNKNOWN of any other."""
    match atom:
        case Truth(Const(value)):
            return values.boolean(value)
        case Compare(op, Const(left), Const(right)):
            return values.compare(op, left, right)
        case Member(Const(item), Const(among)):
            return values.member(item, among)
        case Overlap(Const(left), Const(right)):
            return values.overlaps(left, right)
        case Cover(Const(left), Const(right)):
            return values.covers(left, right)
        case Empty(Const(value)):
            return values.empty(value)
        case Like(Const(value), pattern):
            return values.like(value, pattern)
        case InNetwork(Const(value), _, ranges):
            return values.in_network(value, ranges)
        case Truth() | Compare() | Member() | Overlap() | Cover() | Empty() | Like() | InNetwork():
            return Truth3.UNKNOWN
        case Has() | Lookup() | Age() | Vote():
            return Truth3.UNKNOWN
        case _:
            assert_never(atom)


# ---------------------------------------------------------------- hash-consing

Key = tuple[object, ...]


class Interner:
    """The atoms and guards of one program, each once."""

    def __init__(self) -> None:
        self._atoms: dict[Key, int] = {}
        self._guards: dict[Guard, int] = {}
        self._atom_list: list[Atom] = []
        self._signals: list[bool] = []

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The atoms by index."""
        return tuple(self._atom_list)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The guards by index."""
        return tuple(self._guards)

    def guard(self, formula: Formula) -> int:
        """The index of a formula; equal formulas have one."""
        match formula:
            case bool():
                return self._place(All(()) if formula else AnyOf(()))
            case Leaf(atom, negated):
                return self._place(Lit(self._atom(atom), negated))
            case Every(parts):
                return self._place(All(tuple(self.guard(part) for part in parts)))
            case Some(parts):
                return self._place(AnyOf(tuple(self.guard(part) for part in parts)))
            case _:
                assert_never(formula)

    def reads_signal(self, guard: int) -> bool:
        """Whether an atom below a guard reads a signal."""
        return self._signals[guard]

    def _place(self, guard: Guard) -> int:
        index = self._guards.get(guard)
        if index is None:
            index = self._guards[guard] = len(self._guards)
            self._signals.append(self._any_signal(guard))
        return index

    def _any_signal(self, guard: Guard) -> bool:
        if isinstance(guard, Lit):
            return any(operand_reads_signal(operand) for operand in operands_of(self._atom_list[guard.atom]))
        return any(self._signals[part] for part in guard.parts)

    def _atom(self, atom: Atom) -> int:
        key = _key(atom)
        index = self._atoms.get(key)
        if index is None:
            index = self._atoms[key] = len(self._atom_list)
            self._atom_list.append(atom)
        return index


def _key(atom: Atom) -> Key:
    """What makes two atoms one. Python's `True == 1` must not: constants carry their type."""
    match atom:
        case Truth(of):
            return ("truth", operand_key(of))
        case Compare(op, left, right):
            return (op, operand_key(left), operand_key(right))
        case Member(item, among):
            return ("member", operand_key(item), operand_key(among))
        case Overlap(left, right):
            return ("overlap", operand_key(left), operand_key(right))
        case Cover(left, right):
            return ("cover", operand_key(left), operand_key(right))
        case Empty(of):
            return ("empty", operand_key(of))
        case Like(of, pattern):
            return ("like", operand_key(of), pattern)
        case Has(attr):
            return ("has", attr.root, attr.name)
        case InNetwork(of, network, ranges):
            return ("net", operand_key(of), network, ranges)
        case Lookup(relation, arguments):
            return ("lookup", relation, *(operand_key(each) for each in arguments))
        case Age(at, most_ms):
            return ("age", operand_key(at), most_ms)
        case Vote(table, vote, arguments):
            return ("vote", table, vote, *(operand_key(each) for each in arguments))
        case _:
            assert_never(atom)


def operand_reads_signal(operand: Operand) -> bool:
    """Whether an operand reads a signal."""
    return any(attr.root == "signal" for attr in attrs_of(operand))


def operand_key(operand: Operand) -> Key:
    """What makes two operands one; constants carry their type."""
    match operand:
        case Attr(root, name):
            return (root, name)
        case Now():
            return ("now",)
        case Const(value):
            return ("const", *_value_key(value))
        case Shift(left, sign, right):
            return ("shift", sign, operand_key(left), operand_key(right))
        case _:
            assert_never(operand)


def _value_key(value: Value) -> Key:
    if isinstance(value, frozenset):
        # The members are of one type, so one of them tells it; a large set keeps its hash and is not walked again.
        return ("set", type(next(iter(value), None)).__name__, value)
    return (type(value).__name__, value)
