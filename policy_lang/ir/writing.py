"""A program as the tables of its serialised form, which codec.py describes. For codec.py only."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import assert_never

from policy_lang import ir
from policy_lang.ir.declarations import (
    written_endpoint,
    written_kind,
    written_relation,
    written_service,
    written_signal,
    written_workload,
)
from policy_lang.ir.json_values import JsonValue
from policy_lang.ir.obligations import written_needs, written_obligations
from policy_lang.ir.table_json import written_table

EFFECTS: tuple[ir.Effect, ...] = ("allow", "deny", "require")
"""By their number in the table of rules."""

TAGS = ("eq", "lt", "le", "member", "overlap", "cover", "truth", "empty", "has", "other")
"""By their number in the table of atoms; the first six have two operands, the next three one."""


class _Table:
    """Values in the order in which they were met, each once."""

    def __init__(self) -> None:
        self.written: list[JsonValue] = []
        self._index: dict[Hashable, int] = {}

    def place(self, key: Hashable, written: JsonValue) -> int:
        """The index of what `key` stands for."""
        index = self._index.setdefault(key, len(self.written))
        if index == len(self.written):
            self.written.append(written)
        return index


class Writer:
    """The tables of one program while it is written."""

    def __init__(self, program: ir.Program) -> None:
        self._program = program
        self._texts, self._operands, self._clauses = _Table(), _Table(), _Table()
        self._placed, self._groups, self._others = _Table(), _Table(), _Table()

    def document(self) -> dict[str, JsonValue]:
        """The whole document."""
        program = self._program
        kinds = {None: 0} | {kind.id: index for index, kind in enumerate(program.kinds, start=1)}
        return {
            "version": program.version,
            "modules": list(program.modules),
            "kinds": [written_kind(each) for each in program.kinds],
            "relations": [written_relation(each) for each in program.relations],
            "signals": [written_signal(each) for each in program.signals],
            "workloads": [written_workload(each) for each in program.workloads],
            "services": [written_service(each) for each in program.services],
            "endpoints": [written_endpoint(each) for each in program.endpoints],
            "atoms": [number for each in program.atoms for number in self._atom(each)],
            "guards": [number for each in program.guards for number in _guard(each)],
            "bodies": [number for each in program.bodies for number in self._clauses_of(each)],
            "duties": [self._duties(index, each) for index, each in enumerate(program.bodies) if _has_duties(each)],
            "rules": [number for each in program.rules for number in self._rule(each)],
            "cells": [number for each in program.cells for number in self._cell(each, kinds)],
            "clauses": _flat(self._clauses),
            "placed": _flat(self._placed),
            "groups": _flat(self._groups),
            "others": self._others.written,
            "operands": self._operands.written,
            "texts": self._texts.written,
            "tables": [written_table(each) for each in program.tables],
        }

    def _text(self, text: str) -> int:
        return self._texts.place(text, text)

    def _operand(self, operand: ir.Operand) -> int:
        match operand:
            case ir.Attr(root, name):
                written: JsonValue = ["attr", root, name]
            case ir.Now():
                written = ["now"]
            case ir.Const(frozenset() as members):
                written = ["set", *sorted(members)]
            case ir.Const(bool() | int() | str() as value):
                written = value
            case ir.Shift(left, sign, right):
                written = ["shift", self._operand(left), sign, self._operand(right)]
            case _:
                raise ValueError(f"not an operand: {operand!r}")
        # True and 1 are equal in Python and two constants here, alone and in a set.
        kinds = tuple(map(type, written)) if isinstance(written, list) else (type(written),)
        key = (kinds, tuple(written) if isinstance(written, list) else written)
        return self._operands.place(key, written)

    def _atom(self, atom: ir.Atom) -> tuple[int, int, int]:
        match atom:
            case ir.Compare(op, left, right):
                return self._tagged(op, left, right)
            case ir.Member(item, among):
                return self._tagged("member", item, among)
            case ir.Overlap(left, right):
                return self._tagged("overlap", left, right)
            case ir.Cover(left, right):
                return self._tagged("cover", left, right)
            case ir.Truth(of):
                return self._tagged("truth", of)
            case ir.Empty(of):
                return self._tagged("empty", of)
            case ir.Has(attr):
                return self._tagged("has", attr)
            case _:
                other = self._other(atom)
                return TAGS.index("other"), self._others.place(tuple(other), other), 0

    def _tagged(self, tag: str, left: ir.Operand, right: ir.Operand | None = None) -> tuple[int, int, int]:
        return TAGS.index(tag), self._operand(left), 0 if right is None else self._operand(right)

    def _other(self, atom: ir.Like | ir.InNetwork | ir.Lookup | ir.Age | ir.Vote) -> list[str | int | None]:
        match atom:
            case ir.Like(of, pattern):
                return ["like", self._operand(of), pattern]
            case ir.InNetwork(of, network, ranges):
                return ["net", self._operand(of), network, *(f"{end:x}" for pair in ranges for end in pair)]
            case ir.Lookup(relation, arguments):
                return ["lookup", relation, *(self._operand(each) for each in arguments)]
            case ir.Age(at, most_ms):
                return ["age", self._operand(at), most_ms]
            case ir.Vote(table, vote, arguments):
                return ["vote", table, vote, *(self._operand(each) for each in arguments)]
            case _:
                assert_never(atom)

    def _clauses_of(self, body: ir.Body) -> tuple[int, ...]:
        rows = ((self._text(each.label), self._text(each.text), each.guard) for each in body.clauses)
        return (len(body.clauses), *(self._clauses.place(row, row) for row in rows))

    def _duties(self, index: int, body: ir.Body) -> JsonValue:
        must, should = (written_obligations(each, self._operand) for each in (body.must, body.should))
        return [index, written_needs(body.needs), must, should]

    def _rule(self, rule: ir.Rule) -> tuple[int, ...]:
        place, text = rule.place, self._text
        texts = (text(rule.id), EFFECTS.index(rule.effect), text(rule.because), text(place.file))
        return (*texts, place.line, place.column, int(rule.shadow))

    def _cell(self, cell: ir.Cell, kinds: Mapping[str | None, int]) -> tuple[int, ...]:
        groups = (self._group(each) for each in (cell.deny, cell.allow, cell.require, cell.shadow))
        return (cell.endpoint, kinds[cell.kind], *groups)

    def _group(self, rules: tuple[ir.CellRule, ...]) -> int:
        rows = [(each.rule, each.body) for each in rules]
        run = (len(rows), *(self._placed.place(row, row) for row in rows))
        return self._groups.place(run, run)


def _flat(rows: _Table) -> list[JsonValue]:
    return [number for row in rows.written if isinstance(row, tuple) for number in row]


def _has_duties(body: ir.Body) -> bool:
    return bool(body.needs or body.must or body.should)


def _guard(guard: ir.Guard) -> tuple[int, ...]:
    match guard:
        case ir.Lit(atom, negated):
            return (4 * atom + negated,)
        case ir.All(parts):
            return (4 * len(parts) + 2, *parts)
        case ir.AnyOf(parts):
            return (4 * len(parts) + 3, *parts)
        case _:
            assert_never(guard)
