"""What operands, atoms and guards are worth in one call: Kleene's three values (language.md 5.3).

In come the inputs of a call that is routed and conforms (`Environment`) and the index of a guard, out goes a `Truth3`.
Total on every program whose indices are in range; no order of evaluation shows, since nothing here has an effect and
Kleene's connectives do not care.

UNKNOWN comes from four places only: a claim that is not at hand (`Environment.unread`), a signal or an attribute of the
request that is not known, a relation whose facts are not at hand, and time arithmetic outside 64 bits. A well-typed
policy never reads what is not there (4.2). What is unknown within a Casbin table its own rules settle
(policy_lang/meaning/tables.py): asked about values that are there, it casts a vote or casts none.

INVARIANT (monotone in information): putting a value where one was not known, or facts where there were none, turns no
TRUE or FALSE into anything else.

Decision (2026-11-21): signals and attributes of the request are never absent: one without a value is unknown, and so is
whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import assert_never, get_args

from msgspec import Struct

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
    Has,
    InNetwork,
    Like,
    Lit,
    Lookup,
    Member,
    Now,
    Operand,
    Overlap,
    Program,
    Root,
    Shift,
    Truth,
    Value,
    Vote,
)
from policy_lang.ir.reads import parts_of
from policy_lang.meaning.values import (
    UNKNOWN,
    among_rows,
    boolean,
    compare,
    conjunction,
    covers,
    disjunction,
    empty,
    fresh,
    in_network,
    like,
    member,
    negation,
    overlaps,
    shift,
    truth,
)
from policy_lang.meaning.voters import Voters
from policy_lang.typesystem import Type
from policy_lang.verdict import Facts, Truth3

Columns = Mapping[str, tuple[Type, ...]]
"""The types of each relation's columns, by relation id."""


Values = Mapping[str, Value]


class Environment(Struct):
    """The inputs of one call: typed values by root and name, what is known to be there but not at hand, the instant,
    the facts, the tables. An input without a value has no entry.

    Made for each decision and never changed. It is not frozen, and its inputs stand under plain names, because both
    evaluators read it in every decision: a frozen one takes three times as long to make, and a string keeps its hash.
    """

    token: Values
    subject: Values
    resource: Values
    path: Values
    query: Values
    header: Values
    request: Values
    signal: Values
    unread: frozenset[Attr]
    now_ms: int
    facts: Facts
    columns: Columns
    tables: Voters

    def value(self, attr: Attr) -> Value | None:
        """The value of an input, None where it has none."""
        return ROOTS[attr.root](self).get(attr.name)


ROOTS: Mapping[Root, Callable[[Environment], Values]] = {root: attrgetter(root) for root in get_args(Root)}
"""The inputs under each root."""


def value_of(operand: Operand, environment: Environment) -> Value | None:
    """The value of an operand; None where it is absent, not at hand or outside 64 bits."""
    match operand:
        case Attr():
            return environment.value(operand)
        case Now():
            return environment.now_ms
        case Const(value):
            return value
        case Shift(left, sign, right):
            return shift(value_of(left, environment), sign, value_of(right, environment))
        case _:
            assert_never(operand)


def truth_of_atom(atom: Atom, environment: Environment) -> Truth3:
    """What one atom is worth."""

    def value(operand: Operand) -> Value | None:
        return value_of(operand, environment)

    match atom:
        case Truth(of):
            return boolean(value(of))
        case Compare(op, left, right):
            return compare(op, value(left), value(right))
        case Member(item, among):
            return member(value(item), value(among))
        case Overlap(left, right):
            return overlaps(value(left), value(right))
        case Cover(left, right):
            return covers(value(left), value(right))
        case Empty(of):
            return empty(value(of))
        case Like(of, pattern):
            return like(value(of), pattern)
        case Has(attr):
            there = environment.value(attr) is not None
            unknown = attr in environment.unread or (attr.root in {"request", "signal"} and not there)
            return UNKNOWN if unknown else truth(there)
        case InNetwork(of, _, ranges):
            return in_network(value(of), ranges)
        case Lookup(relation, arguments):
            rows, columns = environment.facts.get(relation), environment.columns.get(relation, ())
            return among_rows([value(each) for each in arguments], rows, columns)
        case Age(at, most_ms):
            return fresh(value(at), environment.now_ms, most_ms)
        case Vote(_, _, arguments):
            return environment.tables.truth(atom, [value(each) for each in arguments], environment.now_ms)
        case _:
            assert_never(atom)


def truth_of_guard(program: Program, guard: int, environment: Environment) -> Truth3:
    """What a guard is worth."""
    return truths(program, guard, environment)[guard]


def truths(program: Program, guard: int, environment: Environment) -> dict[int, Truth3]:
    """What a guard and each part of it, at any depth, is worth, by index.

    Parts come before what they are parts of (their indices are smaller), so that one walk upwards suffices and no
    nesting is too deep.
    """
    worth: dict[int, Truth3] = {}
    for index in sorted(parts_of(program, guard)):
        node = program.guards[index]
        match node:
            case Lit(atom, negated):
                plain = truth_of_atom(program.atoms[atom], environment)
                worth[index] = negation(plain) if negated else plain
            case All(parts):
                worth[index] = conjunction(worth[part] for part in parts)
            case AnyOf(parts):
                worth[index] = disjunction(worth[part] for part in parts)
            case _:
                assert_never(node)
    return worth
