"""What a cell reads: the walk over its guards and obligations."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lang.ir.atoms import (
    Age,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    Empty,
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
    Vote,
)
from policy_lang.ir.inventory import Program
from policy_lang.ir.rules import Cell, CellRule, SetHeader


def parts_of(program: Program, guard: int) -> tuple[int, ...]:
    """A guard and all it is made of, each once, in the order of reading."""
    found: dict[int, None] = {}
    todo = [guard]
    while todo:
        index = todo.pop()
        if index in found:
            continue
        found[index] = None
        node = program.guards[index]
        if not isinstance(node, Lit):
            todo.extend(reversed(node.parts))
    return tuple(found)


def atoms_of(program: Program, guard: int) -> Iterator[Atom]:
    """The atom of every literal below a guard, in the order of reading."""
    for index in parts_of(program, guard):
        node = program.guards[index]
        if isinstance(node, Lit):
            yield program.atoms[node.atom]


def operands_of(atom: Atom) -> tuple[Operand, ...]:
    """The operands of an atom."""
    match atom:
        case Truth(of) | Empty(of) | Like(of, _) | InNetwork(of, _, _):
            return (of,)
        case Compare(_, left, right) | Overlap(left, right) | Cover(left, right):
            return (left, right)
        case Member(item, among):
            return (item, among)
        case Has(attr):
            return (attr,)
        case Lookup(_, arguments) | Vote(_, _, arguments):
            return arguments
        case Age(at, _):
            return (at,)


def attrs_of(operand: Operand) -> Iterator[Attr]:
    """The inputs an operand reads."""
    match operand:
        case Attr():
            yield operand
        case Shift(left, _, right):
            yield from attrs_of(left)
            yield from attrs_of(right)
        case Now() | Const():
            return


def rules_of(cell: Cell) -> tuple[CellRule, ...]:
    """Every rule of a cell, shadow rules last."""
    return (*cell.deny, *cell.allow, *cell.require, *cell.shadow)


def guards_of(program: Program, cell: Cell) -> Iterator[int]:
    """Every guard of a cell, its clauses' and its needs'."""
    for rule in rules_of(cell):
        body = program.bodies[rule.body]
        for clause in body.clauses:
            yield clause.guard
        for need in body.needs:
            yield need.guard


def set_headers_of(program: Program, cell: Cell) -> Iterator[SetHeader]:
    """Every `set header` of a cell, whether it must or should be done."""
    for rule in rules_of(cell):
        body = program.bodies[rule.body]
        for obligation in (*body.must, *body.should):
            if isinstance(obligation, SetHeader):
                yield obligation


def reads_of(program: Program, cell: Cell) -> frozenset[Attr]:
    """The static read set of a cell: every input that any of its guards or obligations may read."""
    in_guards = (
        operand
        for guard in guards_of(program, cell)
        for atom in atoms_of(program, guard)
        for operand in operands_of(atom)
    )
    in_headers = (obligation.value for obligation in set_headers_of(program, cell))
    return frozenset(attr for operand in (*in_guards, *in_headers) for attr in attrs_of(operand))


def lookups_of(program: Program, cell: Cell) -> frozenset[Lookup]:
    """Every relation lookup that the guards of a cell may make."""
    return frozenset(
        atom for guard in guards_of(program, cell) for atom in atoms_of(program, guard) if isinstance(atom, Lookup)
    )
