"""The tables of a serialised program, which codec.py describes, as values. For codec.py only.

Every error is a ValueError that names the place. What comes out has its parts in place; that it keeps the invariants of
a program is for validity.py to see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar, cast

from policy_lang import ir
from policy_lang.ir.declarations import (
    read_endpoint,
    read_kind,
    read_relation,
    read_service,
    read_signal,
    read_workload,
)
from policy_lang.ir.json_values import JsonValue, Reader
from policy_lang.ir.obligations import read_needs, read_obligations
from policy_lang.ir.table_json import read_table
from policy_lang.ir.writing import EFFECTS, TAGS
from policy_lang.typesystem import INT_MAX, INT_MIN

T = TypeVar("T")

_ROOTS: Mapping[str, ir.Root] = {
    "token": "token",
    "subject": "subject",
    "resource": "resource",
    "path": "path",
    "query": "query",
    "header": "header",
    "request": "request",
    "signal": "signal",
}
MOST_TERMS = 256
"""Terms of one sum. Sums are walked by recursion, and may share their parts: without a bound a small file could hold
one that no walk ends.
"""

_HEX = re.compile(r"0|[1-9a-f][0-9a-f]{0,31}")

KEYS = (
    *("atoms", "bodies", "cells", "clauses", "duties", "endpoints", "groups", "guards", "kinds", "modules"),
    *("operands", "others", "placed", "relations", "rules", "services", "signals", "tables", "texts", "version"),
    "workloads",
)


class Loader:
    """Reads one document, table by table, what is referred to first."""

    def __init__(self, document: Reader) -> None:
        whole = document.value
        if not isinstance(whole, dict) or whole.keys() != set(KEYS):
            raise document.refused(f"an object of {', '.join(KEYS)}")
        self._tables = {name: Reader(whole[name], name, document) for name in KEYS}
        version = self._tables["version"].integer()
        if version != ir.VERSION:
            raise ValueError(f"a program of version {version}: this reader knows version {ir.VERSION} only")
        self._texts = self._tables["texts"].texts()
        self._operands: list[ir.Operand] = []

    def program(self) -> ir.Program:
        """The program, not checked yet."""
        tables = self._tables
        kinds = tables["kinds"].each(read_kind)
        self._operands = self._read_operands()
        return ir.Program(
            version=ir.VERSION,
            modules=tables["modules"].texts(),
            kinds=kinds,
            relations=tables["relations"].each(read_relation),
            signals=tables["signals"].each(read_signal),
            workloads=tables["workloads"].each(read_workload),
            services=tables["services"].each(read_service),
            endpoints=tables["endpoints"].each(read_endpoint),
            atoms=self._atoms(),
            guards=self._guards(),
            rules=self._rules(),
            bodies=self._bodies(),
            cells=self._cells((None, *(kind.id for kind in kinds))),
            tables=tables["tables"].each(read_table),
        )

    def _list(self, name: str) -> list[JsonValue]:
        """A table."""
        value = self._tables[name].value
        if not isinstance(value, list):
            raise self._tables[name].refused("a list")
        return value

    def _numbers(self, name: str) -> list[int]:
        """A flat table of integers, none below 0."""
        numbers = self._tables[name].value
        if not isinstance(numbers, list) or not _integers(numbers) or (numbers and not min(numbers) >= 0):
            raise self._tables[name].refused("a list of integers, none below 0")
        return numbers

    def _at(self, name: str, index: int) -> Reader:
        """A place in a table, for an error."""
        return Reader(None, index, self._tables[name])

    def _runs(self, name: str, among: Sequence[T]) -> tuple[tuple[T, ...], ...]:
        """A table of runs, a count and as many indices each, as what they refer to."""
        numbers, runs, at = self._numbers(name), [], 0
        while at < len(numbers):
            end = at + 1 + numbers[at]
            indices = numbers[at + 1 : end]
            if end > len(numbers) or (indices and max(indices) >= len(among)):
                raise self._at(name, at).refused(f"a count and as many indices: there are {len(among)}")
            runs.append(tuple(map(among.__getitem__, indices)))
            at = end
        return tuple(runs)

    def _columns(self, name: str, *ends: int) -> list[list[int]]:
        """The columns of a flat table of integers, each from 0 to its end, that left out."""
        numbers, width = self._numbers(name), len(ends)
        if len(numbers) % width:
            raise self._tables[name].refused(f"a list of integers, {width} for each row")
        columns = [numbers[column::width] for column in range(width)]
        for column, (values, end) in enumerate(zip(columns, ends, strict=True)):
            if values and not max(values) < end:
                row = next(index for index, value in enumerate(values) if value >= end)
                raise self._at(name, row * width + column).refused(f"an index: there are {end}")
        return columns

    # ------------------------------------------------------------ operands and atoms

    def _read_operands(self) -> list[ir.Operand]:
        operands: list[ir.Operand] = []
        terms: dict[int, int] = {}
        for index, each in enumerate(self._list("operands")):
            operand = _operand(each, operands)
            if operand is None:
                raise self._at("operands", index).refused("an operand")
            if isinstance(operand, ir.Shift):
                terms[id(operand)] = terms.get(id(operand.left), 1) + terms.get(id(operand.right), 1)
                if terms[id(operand)] > MOST_TERMS:
                    raise self._at("operands", index).refused(f"an operand of at most {MOST_TERMS} terms")
            operands.append(operand)
        return operands

    def _atoms(self) -> tuple[ir.Atom, ...]:
        others: list[ir.Atom] = []
        for index, each in enumerate(self._list("others")):
            other = _other(each, self._operands)
            if other is None:
                raise self._at("others", index).refused("an atom")
            others.append(other)
        atoms: list[ir.Atom] = []
        for tag, left, right in zip(*self._columns("atoms", len(TAGS), INT_MAX, INT_MAX), strict=True):
            atom = _atom(tag, left, right, self._operands, others)
            if atom is None:
                raise self._at("atoms", 3 * len(atoms)).refused("an atom")
            atoms.append(atom)
        return tuple(atoms)

    def _guards(self) -> tuple[ir.Guard, ...]:
        numbers, at = self._numbers("guards"), 0
        guards: list[ir.Guard] = []
        while at < len(numbers):
            count, joint = divmod(numbers[at], 4)
            if joint < 2:
                guards.append(ir.Lit(count, joint == 1))
                at += 1
                continue
            parts = tuple(numbers[at + 1 : at + 1 + count])
            if len(parts) != count:
                raise self._at("guards", at).refused("a count and as many parts")
            guards.append(ir.All(parts) if joint == 2 else ir.AnyOf(parts))
            at += 1 + count
        return tuple(guards)

    # ------------------------------------------------------------ rules, bodies, cells

    def _rules(self) -> tuple[ir.Rule, ...]:
        texts = len(self._texts)
        ends = (texts, len(EFFECTS), texts, texts, INT_MAX, INT_MAX, 2)
        ids, effects, becauses, files, lines, columns, shadows = self._columns("rules", *ends)
        text = self._texts.__getitem__
        places = map(ir.Place, map(text, files), lines, columns)
        effect = map(EFFECTS.__getitem__, effects)
        return tuple(map(ir.Rule, map(text, ids), effect, map(text, becauses), places, map(bool, shadows)))

    def _bodies(self) -> tuple[ir.Body, ...]:
        texts = len(self._texts)
        labels, lines, guards = self._columns("clauses", texts, texts, INT_MAX)
        text = self._texts.__getitem__
        clauses = tuple(map(ir.Clause, map(text, labels), map(text, lines), guards))
        bodies = [ir.Body(each, (), (), ()) for each in self._runs("bodies", clauses)]
        for each in self._tables["duties"].all_items():
            place, needs, must, should = each.items(4)
            index = place.index(len(bodies))
            musts, shoulds = (read_obligations(part, self._operands) for part in (must, should))
            bodies[index] = ir.Body(bodies[index].clauses, read_needs(needs), musts, shoulds)
        return tuple(bodies)

    def _cells(self, kinds: Sequence[str | None]) -> tuple[ir.Cell, ...]:
        rules, bodies = self._columns("placed", INT_MAX, INT_MAX)
        groups = self._runs("groups", tuple(map(ir.CellRule, rules, bodies)))
        end = len(groups)
        endpoints, kind_places, *places = self._columns("cells", INT_MAX, len(kinds), end, end, end, end)
        of_group = (map(groups.__getitem__, each) for each in places)
        return tuple(map(ir.Cell, endpoints, map(kinds.__getitem__, kind_places), *of_group))


def _integers(values: Sequence[JsonValue]) -> bool:
    return set(map(type, values)) <= {int}


def _at(index: JsonValue, operands: Sequence[ir.Operand]) -> ir.Operand | None:
    """The operand at an index; None where there is none."""
    return operands[index] if type(index) is int and 0 <= index < len(operands) else None


def _all_at(places: Sequence[JsonValue], operands: Sequence[ir.Operand]) -> tuple[ir.Operand, ...] | None:
    """The operands at some indices; None where one is none."""
    found = [operand for place in places if (operand := _at(place, operands)) is not None]
    return tuple(found) if len(found) == len(places) else None


def _operand(written: JsonValue, before: Sequence[ir.Operand]) -> ir.Operand | None:
    """An operand, which refers to none but those before it; None where it is none."""
    if not isinstance(written, list):
        scalar = isinstance(written, bool | str) or (type(written) is int and INT_MIN <= written <= INT_MAX)
        return ir.Const(cast("ir.ScalarValue", written)) if scalar else None
    match written:
        case ["attr", str() as word, str() as name]:
            root = _ROOTS.get(word)
            return None if root is None else ir.Attr(root, name)
        case ["set", *members]:
            return _set(members)
        case ["now"]:
            return ir.Now()
        case ["shift", left, int() as sign, right] if type(sign) is int and sign in {1, -1}:
            terms = _at(left, before), _at(right, before)
            return (
                None if terms[0] is None or terms[1] is None else ir.Shift(terms[0], 1 if sign == 1 else -1, terms[1])
            )
        case _:
            return None


def _set(members: list[JsonValue]) -> ir.Const | None:
    """A set of scalars of one type, each once."""
    kinds = set(map(type, members))
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        return None
    scalars = frozenset(cast("list[ir.ScalarValue]", members))
    if len(scalars) != len(members) or (kinds == {int} and not all(map(_fits, scalars))):
        return None
    return ir.Const(scalars)


def _fits(number: ir.ScalarValue) -> bool:
    return isinstance(number, int) and INT_MIN <= number <= INT_MAX


_TWO: Sequence[Callable[[ir.Operand, ir.Operand], ir.Atom]] = (
    partial(ir.Compare, "eq"),
    partial(ir.Compare, "lt"),
    partial(ir.Compare, "le"),
    ir.Member,
    ir.Overlap,
    ir.Cover,
)
"""What the first tags of TAGS make of two operands."""


def _atom(tag: int, left: int, right: int, operands: Sequence[ir.Operand], others: Sequence[ir.Atom]) -> ir.Atom | None:
    """An atom of the flat table."""
    if left >= (len(others) if TAGS[tag] == "other" else len(operands)) or right >= max(len(operands), 1):
        return None
    if tag < len(_TWO):
        return _TWO[tag](operands[left], operands[right])
    if right:
        return None
    match TAGS[tag]:
        case "truth":
            return ir.Truth(operands[left])
        case "empty":
            return ir.Empty(operands[left])
        case "has":
            attr = operands[left]
            return ir.Has(attr) if isinstance(attr, ir.Attr) else None
        case _:
            return others[left]


def _other(written: JsonValue, operands: Sequence[ir.Operand]) -> ir.Atom | None:
    """An atom that has more than operands."""
    match written:
        case ["lookup", str() as relation, *places]:
            arguments = _all_at(places, operands)
            return None if arguments is None else ir.Lookup(relation, arguments)
        case ["vote", str() as table, "allow" | "deny" as vote, *places]:
            arguments = _all_at(places, operands)
            return None if arguments is None else ir.Vote(table, vote, arguments)
        case [tag, place, *words]:
            operand = _at(place, operands)
            return None if operand is None else _worded(tag, operand, words)
        case _:
            return None


def _worded(tag: JsonValue, of: ir.Operand, words: Sequence[JsonValue]) -> ir.Atom | None:
    match tag, words:
        case "like", [str() as pattern]:
            return ir.Like(of, pattern)
        case "age", [None]:
            return ir.Age(of, None)
        case "age", [int() as most_ms] if type(most_ms) is int and 0 <= most_ms <= INT_MAX:
            return ir.Age(of, most_ms)
        case "net", [str() as network, *ends]:
            numbers = [int(end, 16) for end in ends if isinstance(end, str) and _HEX.fullmatch(end)]
            if len(numbers) != len(ends) or len(ends) % 2:
                return None
            return ir.InNetwork(of, network, tuple(zip(numbers[::2], numbers[1::2], strict=True)))
        case _:
            return None
