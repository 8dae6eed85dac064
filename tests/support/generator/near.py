"""Which values of an input lie near what a program asks of it: the constants it is compared with, and some beside.

A program goes in, `Near` comes out, which proposes values by input, as the JSON of a token holds them. It is read from
the atoms of the program, so it serves any program, drawn or written by hand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from policy_lang.addresses import HIGHEST, text_of
from policy_lang.ir import (
    Age,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    InNetwork,
    Like,
    Member,
    Operand,
    Overlap,
    Program,
    ScalarValue,
    Shift,
    Vote,
    attrs_of,
    operands_of,
)
from policy_lang.ir.atom_types import is_value
from policy_lang.ir.tables import Table
from policy_lang.typesystem import IntType, Scalar, ScalarType, SetType, Type
from policy_lang.verdict import Json
from tests.support.generator.pools import json_value


class Near:
    """Proposes values for the inputs of one program; `spans_ms` are lengths of time that it asks about."""

    def __init__(self, program: Program) -> None:
        found: dict[Attr, dict[ScalarValue, None]] = {}
        spans: dict[int, None] = {0: None}
        instants: dict[int, None] = {}
        tables = {table.id: table for table in program.tables}
        for atom in program.atoms:
            near = _in_rows(atom, tables[atom.table]) if isinstance(atom, Vote) else _constants(atom)
            for attr, value in near:
                found.setdefault(attr, {})[value] = None
            for number in _spans(atom):
                (spans if number < 10**11 else instants)[number] = None
        self._values: Mapping[Attr, tuple[ScalarValue, ...]] = {attr: tuple(of) for attr, of in found.items()}
        self.spans_ms = tuple(spans)
        self.instants_ms = tuple(instants)

    def json(self, rng: random.Random, attr: Attr, type_: Type, now_ms: int) -> Json:
        """A value of the type, near what is asked of the input in most draws."""
        if isinstance(type_, SetType):
            count = rng.choice([0, 1, 1, 2, 2, 3])
            return [self._scalar(rng, attr, type_.element, now_ms) for _ in range(count)]
        return self._scalar(rng, attr, type_, now_ms)

    def _scalar(self, rng: random.Random, attr: Attr, type_: ScalarType, now_ms: int) -> Json:
        if type_ is Scalar.TIME:
            return self.instant_ms(rng, now_ms) // 1000
        if type_ is Scalar.DURATION:
            return rng.choice(self.spans_ms) // 1000 + rng.choice([0, 0, 1]) if rng.random() < 0.98 else 9 * 10**15
        known = [value for value in self._values.get(attr, ()) if is_value(value, type_)]
        if not known or rng.random() < 0.35:
            return json_value(rng, type_)
        value = rng.choice(known)
        if isinstance(type_, IntType) and isinstance(value, int):
            moved = value + rng.choice([0, 0, -1, 1])
            lowest, highest = type_.lowest, type_.highest
            return moved if lowest is None or highest is None or lowest <= moved <= highest else value
        return value

    def instant_ms(self, rng: random.Random, now_ms: int) -> int:
        """An instant at or beside one at which some condition changes."""
        beside = rng.choice([0, 0, 1000, -1000, 1, -1])
        if self.instants_ms and rng.random() < 0.2:
            return rng.choice(self.instants_ms) + beside
        return (
            now_ms
            + rng.choice([-1, -1, -1, 1]) * (rng.choice(self.spans_ms) + rng.choice([0, 0, 30_000, 60_000]))
            + beside
        )


def _constants(atom: Atom) -> Iterator[tuple[Attr, ScalarValue]]:
    """The inputs of an atom, each with what it is compared with."""
    match atom:
        case Compare(_, left, right) | Member(left, right) | Overlap(left, right) | Cover(left, right):
            for one, other in ((left, right), (right, left)):
                if isinstance(one, Attr) and isinstance(other, Const):
                    yield from ((one, value) for value in _members(other))
        case Like(Attr() as of, pattern):
            core = pattern.removeprefix("*").removesuffix("*")
            yield from ((of, text) for text in (core, f"x{core}", f"{core}y", f"x{core}y", core[:-1]))
        case InNetwork(Attr() as of, _, ranges):
            for first, last in ranges:
                for number in (first, last, first - 1, last + 1):
                    if 0 <= number <= HIGHEST:
                        yield of, text_of(number)
        case _:
            pass


def _in_rows(atom: Vote, table: Table) -> Iterator[tuple[Attr, ScalarValue]]:
    """The inputs that a table is asked about, each with what stands in the column of the same place."""
    for place, argument in enumerate(atom.arguments):
        if isinstance(argument, Attr):
            yield from ((argument, row.values[place]) for row in table.rows if place < len(row.values))


def _members(constant: Const) -> Iterator[ScalarValue]:
    if isinstance(constant.value, frozenset):
        yield from sorted(constant.value, key=repr)
    else:
        yield constant.value


def _spans(atom: Atom) -> Iterator[int]:
    """The lengths of time and the instants that an atom holds inputs of time against."""
    if isinstance(atom, Age):
        yield from () if atom.most_ms is None else (atom.most_ms,)
        return
    if any(isinstance(operand, Shift) or not list(attrs_of(operand)) for operand in operands_of(atom)):
        for operand in operands_of(atom):
            yield from _integers(operand)


def _integers(operand: Operand) -> Iterator[int]:
    match operand:
        case Const(value) if type(value) is int:
            yield abs(value)
        case Shift(left, _, right):
            yield from _integers(left)
            yield from _integers(right)
        case _:
            pass
