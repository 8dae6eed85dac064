"""Comparisons of ordered enums come to memberships that mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import ir, tree
from policy_lang.checking.comparisons import compared
from policy_lang.checking.guards import Every, Formula, Leaf, Some
from policy_lang.declared.literals_typed import Typed
from policy_lang.meaning.values import compare, conjunction, disjunction, member, negation, truth
from policy_lang.typesystem import EnumType
from policy_lang.verdict import Truth3

A, B = ir.Attr("token", "a"), ir.Attr("token", "b")
OPS: tuple[tree.CompareOp, ...] = ("==", "!=", "<", "<=", ">", ">=")


def value(operand: ir.Operand, inputs: Mapping[ir.Operand, str]) -> ir.Value | None:
    return operand.value if isinstance(operand, ir.Const) else inputs.get(operand)


def outcome(formula: Formula, inputs: Mapping[ir.Operand, str]) -> Truth3:
    match formula:
        case bool():
            return truth(formula)
        case Leaf(ir.Compare(op, left, right), negated):
            out = compare(op, value(left, inputs), value(right, inputs))
        case Leaf(ir.Member(item, among), negated):
            out = member(value(item, inputs), value(among, inputs))
        case Every(parts):
            return conjunction(outcome(part, inputs) for part in parts)
        case Some(parts):
            return disjunction(outcome(part, inputs) for part in parts)
        case _:
            raise AssertionError(formula)
    return negation(out) if negated else out


def means(left: int, op: tree.CompareOp, right: int) -> bool:
    return {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[op]


@given(st.integers(1, 6), st.sampled_from(OPS))
def test_an_ordered_enum_is_compared_by_the_places_of_its_values(size: int, op: tree.CompareOp) -> None:
    """For all values a, b: outcome(a op b) = place(a) op place(b), each side an input or a constant."""
    values = tuple(f"v{n}" for n in range(size))
    type_ = EnumType("m.e", values, ordered=True)
    for (i, left), (j, right) in product(enumerate(values), repeat=2):
        inputs: dict[ir.Operand, str] = {A: left, B: right}
        sides: product[tuple[ir.Operand, ir.Operand]] = product((A, ir.Const(left)), (B, ir.Const(right)))
        for one, other in sides:
            formula = compared(Typed(one, type_), op, Typed(other, type_))
            assert outcome(formula, inputs) is truth(means(i, op, j)), formula


@given(st.integers(1, 6), st.sampled_from(OPS))
def test_what_is_said_while_a_side_is_unknown_holds_for_every_value_of_it(size: int, op: tree.CompareOp) -> None:
    values = tuple(f"v{n}" for n in range(size))
    type_ = EnumType("m.e", values, ordered=True)
    formula = compared(Typed(A, type_), op, Typed(B, type_))
    for each in values:
        for known, other in ((A, B), (B, A)):
            early = outcome(formula, {known: each})
            late = {outcome(formula, {known: each, other: filled}) for filled in values}
            assert early is Truth3.UNKNOWN or late == {early}


@pytest.mark.parametrize("size", [1000, 2000])
def test_a_large_enum_takes_space_in_proportion(size: int) -> None:
    values = tuple(f"v{n}" for n in range(size))
    type_ = EnumType("m.e", values, ordered=True)
    formula = compared(Typed(A, type_), "<", Typed(B, type_))
    assert isinstance(formula, Some)
    sets = [
        leaf.atom.among.value
        for part in formula.parts
        if isinstance(part, Every)
        for leaf in part.parts
        if isinstance(leaf, Leaf) and isinstance(leaf.atom, ir.Member) and isinstance(leaf.atom.among, ir.Const)
    ]
    assert sum(len(each) for each in sets if isinstance(each, frozenset)) < size * 12
