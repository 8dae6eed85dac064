"""Guards to functions: one code object for each shape, however many rules have it.

The shape of a guard is its structure with the constants taken out; guards of one shape share a function, which is
called with the inputs of a call and with the constants of the rule at hand. A function answers with a plain bool what
three values would say: `sure` functions are true where the guard is TRUE (an allow applies, a need is met), `possible`
ones where it is not FALSE (a deny, a require). Code is built from `ast` nodes, never from text, and every name in it is
one of ours.

How three values become two: negation stands only at atoms, so that "the guard is TRUE" is made of "this atom is TRUE"
and "this atom is FALSE" by plain `and` and `or`; an atom is neither where one of its operands has no value, and only
operands that may have none are tested for it. "Not FALSE" is the negation of the negated guard's TRUE, taken at the
atoms.

INVARIANT: `shape.sure(inputs, constants)` is `truth_of_guard(...) is TRUE`, `shape.possible` is `is not FALSE`, for
every well-typed program and every call that was admitted (tests/properties/test_plan_laws.py).
Source: language.md 5.3, 6.1, 6.3.

Decision: 2026-11-21. A guard of more than `MOST_PARTS` parts or `MOST_DEEP` levels is not compiled but walked: Python's
compiler recurses, and nobody writes such a guard by hand.
Decision: 2026-11-21. An atom's value is not kept for the next rule: with the index few rules are left, and storing
costs what reading twice does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.plan.operations import bounds
from policy_lang.plan.tables import TablePlan
from policy_lang.plan.writer import Key, Test, Writer

MOST_PARTS = 2_000
MOST_DEEP = 60

Constants = tuple[object, ...]

Tables = Mapping[str, TablePlan]
"""The plans of Casbin tables by id."""

_COST = {
    ir.Has: 0,
    ir.Truth: 1,
    ir.Compare: 1,
    ir.Empty: 1,
    ir.Age: 2,
    ir.Member: 2,
    ir.Like: 2,
    ir.Overlap: 3,
    ir.Cover: 3,
    ir.InNetwork: 4,
    ir.Lookup: 5,
    ir.Vote: 8,
}
"""Cheap atoms are asked first."""
_SIGNAL_COST = 10


class Compiled(Struct, frozen=True):
    """A guard's functions with its own constants."""

    sure: Test
    possible: Test
    constants: Constants


class _Abstract(Struct, frozen=True):
    """A guard without its constants: equal keys are equal shapes. `cost` orders the parts of a whole."""

    key: Key
    constants: Constants
    cost: int
    parts: int
    depth: int


class Shapes:
    """The functions of one program. Its state is what was built: each shape once, each guard once.

    `always` are the inputs that every call has wherever the program may read them; `tables` are the plans of its Casbin
    tables, by id.
    """

    def __init__(self, program: ir.Program, always: frozenset[ir.Attr], tables: Tables) -> None:
        self._program = program
        self._always = always
        self._tables = tables
        self._abstract: list[_Abstract] = []
        self._functions: dict[Key, tuple[Test, Test]] = {}
        self._wholes: dict[tuple[int, ...], Compiled | None] = {}

    def whole(self, guards: tuple[int, ...]) -> Compiled | None:
        """The functions of the conjunction of guards; None where it is too large for Python's compiler."""
        if guards not in self._wholes:
            self._wholes[guards] = self._compile(_joined("all", [self._of(guard) for guard in guards]))
        return self._wholes[guards]

    def unless(self, wanted: Iterable[ir.Atom], barring: ir.Atom, wholes: Iterable[tuple[int, ...]]) -> Compiled | None:
        """The functions of: all that is `wanted`, and neither `barring` nor any of these conjunctions of guards."""
        conjunctions = [_joined("all", [self._of(guard) for guard in guards]) for guards in wholes]
        barred = _joined("any", [self._lit(barring), *conjunctions])
        return self._compile(_joined("all", [*map(self._lit, wanted), replace(barred, key=("not", barred.key))]))

    def _compile(self, whole: _Abstract) -> Compiled | None:
        if whole.parts > MOST_PARTS or whole.depth > MOST_DEEP:
            return None
        if whole.key not in self._functions:
            self._functions[whole.key] = (
                Writer(self._always).function(whole.key, wanted=True, negated=False),
                Writer(self._always).function(whole.key, wanted=False, negated=True),
            )
        sure, possible = self._functions[whole.key]
        return Compiled(sure, possible, whole.constants)

    def _of(self, guard: int) -> _Abstract:
        """The abstract form of a guard; parts come before wholes, so that the list is filled from below."""
        while len(self._abstract) <= guard:
            self._abstract.append(self._next(self._program.guards[len(self._abstract)]))
        return self._abstract[guard]

    def _next(self, guard: ir.Guard) -> _Abstract:
        match guard:
            case ir.Lit(atom, negated):
                return self._lit(self._program.atoms[atom], negated=negated)
            case ir.All(parts):
                return _joined("all", [self._of(part) for part in parts])
            case ir.AnyOf(parts):
                return _joined("any", [self._of(part) for part in parts])
            case _:
                assert_never(guard)

    def _lit(self, atom: ir.Atom, *, negated: bool = False) -> _Abstract:
        key, constants = _atom(atom, self._tables)
        return _Abstract(("lit", negated, key), constants, _cost(atom), 1, 1)


def _joined(word: str, parts: list[_Abstract]) -> _Abstract:
    ordered = sorted(parts, key=lambda part: part.cost)
    size = 1 + sum(part.parts for part in parts)
    depth = 1 + max((part.depth for part in parts), default=0)
    cost = max((part.cost for part in parts), default=0)
    if size > MOST_PARTS or depth > MOST_DEEP:  # never compiled: what it is made of need not be kept
        return _Abstract(("large",), (), cost, size, depth)
    key: Key = (word, *(part.key for part in ordered))
    return _Abstract(key, tuple(each for part in ordered for each in part.constants), cost, size, depth)


def _cost(atom: ir.Atom) -> int:
    reads = (attr for operand in ir.operands_of(atom) for attr in ir.attrs_of(operand))
    return _SIGNAL_COST if any(attr.root == "signal" for attr in reads) else _COST[type(atom)]


# ---------------------------------------------------------------- atoms without their constants


def _atom(atom: ir.Atom, tables: Tables) -> tuple[Key, Constants]:
    """An atom's kind and operands, and its constants in the order in which `writer` takes them."""
    match atom:
        case ir.Compare(op, left, right):
            return _with(("compare", op), (left, right))
        case ir.Member(item, among):
            return _with(("member",), (item, among))
        case ir.Overlap(left, right):
            return _with(("overlap",), (left, right))
        case ir.Cover(left, right):
            return _with(("cover",), (left, right))
        case ir.Truth(of):
            return _with(("truth",), (of,))
        case ir.Empty(of):
            return _with(("empty",), (of,))
        case ir.Like(of, pattern):
            core = pattern.removeprefix("*").removesuffix("*")
            return _with(("like", pattern.startswith("*"), pattern.endswith("*")), (of,), core)
        case ir.Has(attr):
            return ("has", attr.root, attr.name), ()
        case ir.InNetwork(of, _, ranges):
            return _with(("network",), (of,), bounds(ranges))
        case ir.Lookup(relation, arguments):
            return _with(("lookup", relation), arguments)
        case ir.Age(at, most_ms):
            return _with(("age", most_ms is None), (at,), *(() if most_ms is None else (most_ms,)))
        case ir.Vote(table, vote, arguments):
            return _with(("vote", vote), arguments, tables[table])
        case _:
            assert_never(atom)


def _with(head: Key, operands: tuple[ir.Operand, ...], *constants: object) -> tuple[Key, Constants]:
    read = [_operand(operand) for operand in operands]
    return (*head, *(key for key, _ in read)), (*(each for _, found in read for each in found), *constants)


def _operand(operand: ir.Operand) -> tuple[Key, Constants]:
    match operand:
        case ir.Attr(root, name):
            return ("attr", root, name), ()
        case ir.Now():
            return ("now",), ()
        case ir.Const(value):
            return ("const",), (value,)
        case ir.Shift(left, sign, right):
            left_key, left_constants = _operand(left)
            right_key, right_constants = _operand(right)
            return ("shift", sign, left_key, right_key), (*left_constants, *right_constants)
        case _:
            assert_never(operand)
