"""What a clause is made of, as a person counts it: each role, factor, row or comparison that was written is one.

A guard of a program goes in, with its clause and what was written (`Compiled.written`); `Unit`s come out, in the order
of reading. What was written at once and came to several atoms is one unit with the words written; any other atom is one
with its own.
Source: language.md 5.7.

Decision: 2026-11-21. Atoms are taken for what was written where a clause has all of them, all as written or all
negated. An atom whose own words stand in the clause is one besides: of `token has roles and role a` both are asked for,
and `token.roles overlaps ["a"]` is not told as `role a` where a person wrote it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from msgspec import Struct

from policy_lang.checking.guards import Every, Formula, Leaf, Some, leaves
from policy_lang.ir import Lit, Program
from policy_lang.meaning.evaluation import Environment, truth_of_atom
from policy_lang.meaning.values import conjunction, disjunction, negation, truth
from policy_lang.meaning.words import Words, atom_text
from policy_lang.verdict import Truth3

_Literals = frozenset[tuple[int, bool]]
"""Atoms by index, each with whether it is negated."""


class Unit(Struct, frozen=True):
    """One condition in a clause: its words and what it stands for."""

    text: str
    formula: Formula

    def truth(self, environment: Environment) -> Truth3:
        """What it is worth in a call."""
        return _worth(self.formula, environment)


class _Written(Struct, frozen=True):
    text: str
    formula: Formula
    literals: _Literals


class Units:
    """Takes the clauses of one program apart. Its state is what was written, by its last atom."""

    def __init__(self, program: Program, written: Mapping[Formula, str]) -> None:
        self._program = program
        self._by_atom: dict[int, list[_Written]] = {}
        indices = {atom: index for index, atom in enumerate(program.atoms)}
        for formula, text in written.items():
            found = [(indices.get(leaf.atom), leaf.negated) for leaf in leaves(formula)]
            literals = frozenset((index, negated) for index, negated in found if index is not None)
            if literals and len(literals) == len(set(found)):
                self._by_atom.setdefault(max(literals)[0], []).append(_Written(text, formula, literals))

    def of(self, guard: int, clause: str, words: Words) -> tuple[Unit, ...]:
        """What a guard is made of; `clause` is the text of the clause it is of, `words` those of its cell."""
        read = tuple(self._literals(guard))
        found = {each: None for index, _ in read for each in self._by_atom.get(index, ())}
        whole, covered = frozenset(read), set[tuple[int, bool]]()
        placed: list[tuple[int, Unit]] = []
        for each in sorted(found, key=lambda written: -len(written.literals)):
            literals = each.literals if each.literals <= whole else _negated(each.literals)
            if literals <= whole and not literals <= covered and not self._is_spelt_out(each, clause, words):
                covered |= literals
                placed.append((min(map(read.index, literals)), Unit(each.text, each.formula)))
        told = {unit.text for _, unit in placed}
        for place, literal in enumerate(read):
            atom = self._program.atoms[literal[0]]
            text = atom_text(atom, words)
            if literal not in covered or (text in clause and text not in told):
                placed.append((place, Unit(text, Leaf(atom))))
        placed.sort(key=lambda each: (each[0], clause.find(each[1].text)))
        return tuple(unit for _, unit in placed)

    def _literals(self, guard: int) -> Iterator[tuple[int, bool]]:
        """The literals below a guard, in the order of reading, each once."""
        seen: set[int] = set()
        todo = [guard]
        while todo:
            index = todo.pop()
            if index in seen:
                continue
            seen.add(index)
            node = self._program.guards[index]
            if isinstance(node, Lit):
                yield node.atom, node.negated
            else:
                todo.extend(reversed(node.parts))

    def _is_spelt_out(self, written: _Written, clause: str, words: Words) -> bool:
        """Whether a clause has all the atoms in their own words, and not in those that stand for them."""
        return written.text not in clause and all(
            atom_text(self._program.atoms[index], words) in clause for index, _ in written.literals
        )


def _negated(literals: _Literals) -> _Literals:
    return frozenset((atom, not negated) for atom, negated in literals)


def _worth(formula: Formula, environment: Environment) -> Truth3:
    match formula:
        case bool():
            return truth(formula)
        case Leaf(atom, negated):
            plain = truth_of_atom(atom, environment)
            return negation(plain) if negated else plain
        case Every(parts):
            return conjunction(_worth(part, environment) for part in parts)
        case Some(parts):
            return disjunction(_worth(part, environment) for part in parts)
        case _:
            assert_never(formula)
