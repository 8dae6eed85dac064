"""What is said to come out the same does. What a person is told is tests/golden/check/rules.chunks."""

from __future__ import annotations

from itertools import product
from typing import Literal

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from policy_lang import ir, tree
from policy_lang.addresses import HIGHEST, Intervals, number
from policy_lang.checking.environment import Environment
from policy_lang.checking.guards import Every, Formula, Leaf, Some, every, negate, some
from policy_lang.checking.outcomes import settled
from policy_lang.declared.entries import KindEntry
from policy_lang.declared.fields import Slot
from policy_lang.meaning.values import compare, covers, in_network, member, overlaps
from policy_lang.source import Span
from policy_lang.typesystem import EnumType, IntType, Scalar, SetType, Type
from policy_lang.verdict import Truth3

N, M, S, T, E, IP = (ir.Attr("token", name) for name in ("n", "m", "s", "t", "e", "i"))
SIZE = EnumType("m.size", ("small", "medium", "large"), ordered=True)
STRINGS = SetType(Scalar.STRING)
TYPES: dict[str, Type] = {
    "n": IntType(0, 2),
    "m": IntType(2, 3),
    "s": STRINGS,
    "t": Scalar.STRING,
    "e": SIZE,
    "i": Scalar.IP,
}
KIND = KindEntry(
    kind=ir.Kind("user", "token", "i", (), None, ()),
    module="m",
    slots={name: Slot(of, False, None) for name, of in TYPES.items()},
    factors={},
    role_source=None,
    decl=tree.Name(tree.NodeId(0), Span("m.pol", 0, 0), "user"),
)
HERE = Environment(KIND, None)

VALUES: dict[ir.Attr, tuple[ir.Value, ...]] = {
    N: (0, 1, 2),
    M: (2, 3),
    S: (frozenset(), frozenset("x"), frozenset("xy")),
    T: ("x", "y"),
    E: SIZE.values,
    IP: ("10.0.0.1", "::1"),
}
Inputs = dict[ir.Attr, ir.Value]

INTEGERS = st.sampled_from([N, M, *(ir.Const(value) for value in (-1, 0, 1, 2, 3, 4))])
SETS = st.sampled_from([S, ir.Const(frozenset()), ir.Const(frozenset("x"))])
STRING = st.sampled_from([T, ir.Const("x")])
SIZES = st.frozensets(st.sampled_from(SIZE.values)).map(ir.Const)
TEN = number("10.0.0.1") or 0
RANGES = st.sampled_from([(), ((0, HIGHEST),), ((TEN, TEN),), ((0, TEN - 1), (TEN + 1, HIGHEST))])
OPS = st.sampled_from(["eq", "lt", "le"])
ATOMS = (
    st.builds(ir.Compare, OPS, INTEGERS, INTEGERS)
    | st.builds(ir.Compare, st.just("eq"), STRING, STRING)
    | st.builds(ir.Member, STRING, SETS)
    | st.builds(ir.Member, st.just(E), SIZES)
    | st.builds(ir.InNetwork, st.just(IP), st.just("net"), RANGES)
    | st.builds(ir.Overlap, SETS, SETS)
    | st.builds(ir.Cover, SETS, SETS)
)
FORMULAS = st.recursive(
    st.builds(Leaf, ATOMS, st.booleans()) | st.booleans(),
    lambda inner: (
        inner.map(negate)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: every(tuple(parts)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: some(tuple(parts)))
    ),
    max_leaves=6,
)


def value(operand: ir.Operand, inputs: Inputs) -> ir.Value:
    assert isinstance(operand, ir.Attr | ir.Const)
    return inputs[operand] if isinstance(operand, ir.Attr) else operand.value


def holds_of(atom: ir.Atom, inputs: Inputs) -> bool:
    match atom:
        case ir.Compare(op, left, right):
            return compare(op, value(left, inputs), value(right, inputs)) is Truth3.TRUE
        case ir.Member(item, among):
            return member(value(item, inputs), value(among, inputs)) is Truth3.TRUE
        case ir.InNetwork(of, _, ranges):
            return in_network(value(of, inputs), ranges) is Truth3.TRUE
        case ir.Overlap(left, right):
            return overlaps(value(left, inputs), value(right, inputs)) is Truth3.TRUE
        case ir.Cover(left, right):
            return covers(value(left, inputs), value(right, inputs)) is Truth3.TRUE
        case _:
            raise AssertionError(atom)


def outcome(formula: Formula, inputs: Inputs) -> bool:
    match formula:
        case bool():
            return formula
        case Leaf(atom, negated):
            return holds_of(atom, inputs) != negated
        case Every(parts):
            return all(outcome(part, inputs) for part in parts)
        case Some(parts):
            return any(outcome(part, inputs) for part in parts)


@given(FORMULAS)
@settings(max_examples=400, deadline=None)
def test_settling_changes_no_outcome(formula: Formula) -> None:
    """For all inputs of their types: outcome(settled(f)) = outcome(f)."""
    left = settled(formula, HERE)
    event(type(left).__name__)
    for values in product(*VALUES.values()):
        inputs = dict(zip(VALUES, values, strict=True))
        assert outcome(left, inputs) == outcome(formula, inputs), inputs


@given(OPS, INTEGERS, INTEGERS)
@settings(max_examples=400, deadline=None)
def test_a_comparison_of_ranges_that_never_changes_is_seen(
    op: Literal["eq", "lt", "le"], left: ir.Operand, right: ir.Operand
) -> None:
    """One outcome for all inputs, one of which is read => settled to it."""
    assume(isinstance(left, ir.Attr) or isinstance(right, ir.Attr))
    atom = ir.Compare(op, left, right)
    outcomes = {holds_of(atom, {N: n, M: m}) for n, m in product(VALUES[N], VALUES[M])}
    event(f"{len(outcomes)} outcome(s)")
    assert settled(Leaf(atom), HERE) == (outcomes.pop() if len(outcomes) == 1 else Leaf(atom))


@given(st.frozensets(st.sampled_from(SIZE.values)), RANGES)
def test_all_values_of_an_enum_and_all_addresses_are_seen(among: frozenset[str], ranges: Intervals) -> None:
    """One outcome for all inputs => settled to it."""
    for atom, attr in ((ir.Member(E, ir.Const(among)), E), (ir.InNetwork(IP, "net", ranges), IP)):
        outcomes = {holds_of(atom, {attr: each}) for each in VALUES[attr]}
        whole = among in (frozenset(), frozenset(SIZE.values)) if attr == E else ranges in ((), ((0, HIGHEST),))
        assert settled(Leaf(atom), HERE) == (outcomes.pop() if whole else Leaf(atom))
