"""Until when a verdict holds if nothing but time passes: the next instant at which a condition on time changes.

In come the atoms of a cell that read the time and the inputs of a call, out goes the least instant after now at which
one of them is worth something else, or None where none ever is. Every operand that reads the time is a straight line
over it (`Shift` only adds and subtracts), so an atom changes only where a line meets a bound: these instants are worked
out, and at each the atom is asked.
INVARIANT: no atom changes between now and the instant returned; at that instant one does, or may (see below).
Source: language.md 5.4 "Validity horizon".

Decision (2026-11-21): all atoms of the cell count, whichever rule decided, those of shadow rules too; every evaluator
can then say the same instant without knowing what another one looked at.
Decision (2026-11-21): what changes after the year 9999 never does: a time that no timestamp can say helps nobody, and
every sum with the time leaves 64 bits some day.
Decision (2026-11-21): a lookup whose argument reads the time, a header whose value does, and a Casbin table of which
some row does, change with every millisecond as far as anybody may rely on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.ir import (
    CLOCK_SKEW_MS,
    Age,
    Atom,
    Attr,
    Cell,
    Compare,
    Const,
    Lookup,
    Member,
    Now,
    Operand,
    Program,
    Shift,
    Vote,
    atoms_of,
    guards_of,
    operands_of,
    set_headers_of,
)
from policy_lang.meaning.evaluation import Environment, truth_of_atom, value_of
from policy_lang.typesystem import INT_MAX, INT_MIN

LAST_INSTANT = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, Unix milliseconds."""


class Clockwork(Struct, frozen=True):
    """What of a cell reads the time. `ticking`: it changes with every millisecond. `tables` are the Casbin tables that
    are asked, of which some may read it.
    """

    atoms: tuple[Atom, ...]
    ticking: bool
    tables: frozenset[str] = frozenset()

    @classmethod
    def of(cls, program: Program, cell: Cell) -> Clockwork:
        """The clockwork of a cell."""
        found: dict[int, Atom] = {}
        tables: set[str] = set()
        for guard in dict.fromkeys(guards_of(program, cell)):
            for atom in atoms_of(program, guard):
                if isinstance(atom, Vote):
                    tables.add(atom.table)
                elif reads_time(atom):
                    found[id(atom)] = atom
        lookups = any(isinstance(atom, Lookup) for atom in found.values())
        headers = any(has_now(each.value) for each in set_headers_of(program, cell))
        return cls(tuple(found.values()), lookups or headers, frozenset(tables))


def valid_until(clockwork: Clockwork, environment: Environment) -> int | None:
    """The next instant, Unix milliseconds, at which something of the clockwork changes."""
    if clockwork.ticking or not clockwork.tables.isdisjoint(environment.tables.timed):
        return environment.now_ms + 1
    instants = (_next_change(atom, environment) for atom in clockwork.atoms)
    return min((instant for instant in instants if instant is not None), default=None)


def reads_time(atom: Atom) -> bool:
    """Whether what an atom is worth may depend on the time."""
    return isinstance(atom, Age) or any(has_now(operand) for operand in operands_of(atom))


def has_now(operand: Operand) -> bool:
    """Whether an operand is the time, or is worked out from it."""
    match operand:
        case Now():
            return True
        case Shift(left, _, right):
            return has_now(left) or has_now(right)
        case Attr() | Const():
            return False
        case _:
            assert_never(operand)


def _next_change(atom: Atom, environment: Environment) -> int | None:
    now_ms = environment.now_ms
    truth = truth_of_atom(atom, environment)
    for instant in sorted({each for each in _instants(atom, environment) if now_ms < each <= LAST_INSTANT}):
        if truth_of_atom(atom, replace(environment, now_ms=instant)) is not truth:
            return instant
    return None


# ---------------------------------------------------------------- straight lines


class _Line(Struct, frozen=True):
    """`slope * now + offset`."""

    slope: int
    offset: int

    def reaches(self, value: int) -> tuple[int, ...]:
        """The first instant at which the line is at `value` or past it, and the first at which it is past it."""
        if self.slope == 0:
            return ()
        distance = value - self.offset
        return -(-distance // self.slope), distance // self.slope + 1


def _instants(atom: Atom, environment: Environment) -> Iterator[int]:
    """The instants at which an atom may change."""
    match atom:
        case Age(at, most_ms):
            line = _line(at, environment)
            if line is not None:
                age = _Line(1 - line.slope, -line.offset)
                yield from age.reaches(-CLOCK_SKEW_MS)
                yield from () if most_ms is None else age.reaches(most_ms)
        case Compare(_, left, right):
            lines = _line(left, environment), _line(right, environment)
            if lines[0] is not None and lines[1] is not None:
                yield from _Line(lines[0].slope - lines[1].slope, lines[0].offset - lines[1].offset).reaches(0)
        case Member(item, among):
            line, members = _line(item, environment), value_of(among, environment)
            if line is not None and isinstance(members, frozenset):
                for each in members:
                    yield from line.reaches(each) if isinstance(each, int) else ()
        case _:
            pass
    yield from _overflows(operands_of(atom), environment)


def _line(operand: Operand, environment: Environment) -> _Line | None:
    match operand:
        case Now():
            return _Line(1, 0)
        case Shift(left, sign, right):
            lines = _line(left, environment), _line(right, environment)
            if lines[0] is None or lines[1] is None:
                return None
            return _Line(lines[0].slope + sign * lines[1].slope, lines[0].offset + sign * lines[1].offset)
        case Attr() | Const():
            value = value_of(operand, environment)
            return _Line(0, value) if type(value) is int else None
        case _:
            assert_never(operand)


def _overflows(operands: Iterable[Operand], environment: Environment) -> Iterator[int]:
    """The instants at which 64 bits begin or cease to hold a sum."""
    for operand in operands:
        if isinstance(operand, Shift):
            line = _line(operand, environment)
            if line is not None:
                yield from line.reaches(INT_MIN)
                yield from line.reaches(INT_MAX)
            yield from _overflows((operand.left, operand.right), environment)
