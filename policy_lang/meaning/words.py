"""Operands and atoms in the words of a policy, as they were compiled: conditions stand expanded.

An atom goes in, with `Words`, what is known of the cell that it stands in; a text comes out. How a constant reads
hangs on its type (policy_lang/meaning/literals.py), and a constant has the type of what it stands beside. Pure; total
on every atom, whatever types are said.
Source: language.md 4.1, 6.1.

Decision: 2026-11-21. A comparison is told with what the call holds on the left and the constant on the right, as people
write it, whichever side it was compiled to. A workload is told by the plain name that the policy gives its identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import zip_longest
from typing import assert_never

from msgspec import Struct

from policy_lang.ir import (
    Age,
    Atom,
    Attr,
    Compare,
    Const,
    Cover,
    Empty,
    Endpoint,
    Has,
    InNetwork,
    Kind,
    Like,
    Lookup,
    Member,
    Now,
    Operand,
    Overlap,
    Program,
    Shift,
    Truth,
    Value,
    Vote,
    attrs_of,
)
from policy_lang.ir.well_typed import claims_of, given_by
from policy_lang.meaning.evaluation import Columns
from policy_lang.meaning.literals import duration_text, value_text
from policy_lang.typesystem import Scalar, SetType, Type, moved


class Words(Struct, frozen=True):
    """What the words of a cell rest on: the types of its inputs and of the columns of relations (by id), and the plain
    name of the workload that has an identity. Where a type is not known, a value is told as its looks say.
    """

    type_of: Callable[[Attr], Type | None]
    columns: Columns
    workload_of: Callable[[str], str | None]

    @classmethod
    def of(cls, program: Program, endpoint: Endpoint, kind: Kind | None, columns: Columns) -> Words:
        """The words of one endpoint and one kind of caller; nothing is worked out before it is asked for."""
        return cls(partial(_type_of, program, endpoint, kind), columns, partial(_workload_of, program))


UNTYPED = Words(lambda _: None, {}, lambda _: None)
"""Where nothing is known of the cell."""


def _type_of(program: Program, endpoint: Endpoint, kind: Kind | None, attr: Attr) -> Type | None:
    match attr.root:
        case "token" | "subject":
            return None if kind is None or kind.form != attr.root else claims_of(kind).get(attr.name)
        case "signal":
            return next((each.type for each in program.signals if each.id == attr.name), None)
        case "resource" | "path" | "query" | "header" | "request":
            return given_by(endpoint)[attr.root].get(attr.name)
        case _:
            assert_never(attr.root)


def _workload_of(program: Program, identity: str) -> str | None:
    return next((each.id.rpartition(".")[2] for each in program.workloads if each.identity == identity), None)


def read_types(program: Program, kind: str | None, endpoint: str | None) -> Mapping[str, Type]:
    """The types of all that a call of a kind of caller to an endpoint may read, by the names a trace has; `kind` and
    `endpoint` by id.
    """
    types: dict[str, Type] = {"now": Scalar.TIME}
    inputs: list[tuple[Attr, Type]] = [(Attr("signal", each.id), each.type) for each in program.signals]
    for each in program.kinds:
        if each.id == kind:
            inputs += [(Attr(each.form, name), type_) for name, type_ in claims_of(each).items()]
    for place in program.endpoints:
        if place.id == endpoint:
            inputs += [(Attr(root, name), type_) for root, of in given_by(place).items() for name, type_ in of.items()]
    return types | {attr_name(attr): type_ for attr, type_ in inputs}


# ---------------------------------------------------------------- operands


def attr_name(attr: Attr) -> str:
    """`token.accounts`; a signal by its plain name."""
    return f"{attr.root}.{attr.name.rpartition('.')[2] if attr.root == 'signal' else attr.name}"


def operand_text(operand: Operand, words: Words = UNTYPED, wanted: Type | None = None) -> str:
    """An operand as a policy would say it; a constant in it is of the type `wanted`."""
    match operand:
        case Attr():
            return attr_name(operand)
        case Now():
            return "now"
        case Const(value):
            return _constant(value, words, wanted)
        case Shift(left, sign, right):
            of_left, of_right = _terms(operand, words, wanted)
            text = operand_text(right, words, of_right)
            subtracted = f"({text})" if isinstance(right, Shift) else text
            return f"{operand_text(left, words, of_left)} {'+' if sign == 1 else '-'} {subtracted}"
        case _:
            assert_never(operand)


def _constant(value: Value, words: Words, wanted: Type | None) -> str:
    """A constant; of workloads the plain names."""
    if wanted is Scalar.WORKLOAD and isinstance(value, str):
        return words.workload_of(value) or value_text(value)
    if wanted == SetType(Scalar.WORKLOAD) and isinstance(value, frozenset):
        return f"[{', '.join(sorted(_constant(each, words, Scalar.WORKLOAD) for each in value))}]"
    return value_text(value, wanted)


def _type(operand: Operand, words: Words) -> Type | None:
    """The type of an operand; None of a constant, and where it hangs on one."""
    match operand:
        case Attr():
            return words.type_of(operand)
        case Now():
            return Scalar.TIME
        case Const():
            return None
        case Shift(left, sign, right):
            one, other = _type(left, words), _type(right, words)
            if one is not None and other is not None:
                return moved(one, "+" if sign == 1 else "-", other)
            if sign == 1 or one is Scalar.DURATION:
                return one
            return Scalar.DURATION if other is Scalar.TIME else None
        case _:
            assert_never(operand)


def _terms(shift: Shift, words: Words, wanted: Type | None) -> tuple[Type | None, Type | None]:
    """The types of the two terms of a sum that is of type `wanted`."""
    left, right = _type(shift.left, words), _type(shift.right, words)
    if shift.sign == -1 and wanted is Scalar.DURATION and Scalar.TIME in (left, right):
        return Scalar.TIME, Scalar.TIME
    return left or wanted, right or Scalar.DURATION


LONGEST_SPAN_MS = 100_000_000_000
"""Three years: a constant below it, in a sum of which nothing else tells, is taken for a duration, else for a time."""


def _beside(left: Operand, right: Operand, words: Words) -> Type | None:
    """The type of two operands that are of one."""
    known = _type(left, words) or _type(right, words)
    if known is not None:
        return known
    match left, right:
        case (Shift(), Const(int() as value)) | (Const(int() as value), Shift()):
            return Scalar.DURATION if abs(value) < LONGEST_SPAN_MS else Scalar.TIME
        case _:
            return None


# ---------------------------------------------------------------- atoms

_COMPARED = {("eq", False): "==", ("lt", False): "<", ("le", False): "<="}
_COMPARED |= {("eq", True): "!=", ("lt", True): ">=", ("le", True): ">"}
_TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def atom_text(atom: Atom, words: Words = UNTYPED, *, negated: bool = False) -> str:
    """An atom, or its negation, as a policy would say it."""
    match atom:
        case Compare(op, left, right):
            return _compared(_COMPARED[op, negated], left, right, words)
        case Member(item, among):
            element = _type(item, words)
            of_set = _type(among, words) if element is None or isinstance(element, SetType) else SetType(element)
            of_item = of_set.element if isinstance(of_set, SetType) else None
            texts = operand_text(item, words, of_item), operand_text(among, words, of_set)
            return f"{texts[0]} {'not in' if negated else 'in'} {texts[1]}"
        case InNetwork(of, network, _):
            return f"{operand_text(of, words)} {'not in' if negated else 'in'} {network}"
        case Truth(of):
            return f"not {operand_text(of, words)}" if negated else operand_text(of, words)
        case Lookup(relation, arguments):
            text = lookup_text(relation, arguments, words)
            return f"not {text}" if negated else text
        case Vote(_, vote, _):
            text = f"{asked_text(atom, words)} says {vote}"
            return f"not ({text})" if negated else text
        case _:
            return f"not ({_plain_text(atom, words)})" if negated else _plain_text(atom, words)


def _compared(op: str, left: Operand, right: Operand, words: Words) -> str:
    constant = isinstance(left, Const) and not isinstance(right, Const)
    if constant or (_reads(right) and not _reads(left)):
        left, op, right = right, _TURNED[op], left
    return _beside_text(op, left, right, words)


def _reads(operand: Operand) -> bool:
    """Whether an operand reads something of the call."""
    return next(attrs_of(operand), None) is not None


def _beside_text(op: str, left: Operand, right: Operand, words: Words) -> str:
    """Two operands of one type, with a word between them."""
    wanted = _beside(left, right, words)
    return f"{operand_text(left, words, wanted)} {op} {operand_text(right, words, wanted)}"


def _plain_text(atom: Overlap | Cover | Empty | Like | Has | Age, words: Words) -> str:
    match atom:
        case Overlap(left, right):
            return _beside_text("overlaps", left, right, words)
        case Cover(left, right):
            return _beside_text("covers", left, right, words)
        case Empty(of):
            return f"{operand_text(of, words)} is empty"
        case Like(of, pattern):
            return f"{operand_text(of, words)} like {value_text(pattern)}"
        case Has(attr):
            return f"{attr.root} has {attr.name}"
        case Age(at, most_ms):
            if most_ms is None:
                return f"{operand_text(at, words, Scalar.TIME)} not after now"
            return f"{operand_text(at, words, Scalar.TIME)} within {duration_text(most_ms)} of now"
        case _:
            assert_never(atom)


def asked_text(atom: Vote, words: Words) -> str:
    """A Casbin table asked about values, by the name of its block."""
    return f"{atom.table.rpartition('.')[2]}({', '.join(operand_text(each, words) for each in atom.arguments)})"


def lookup_text(relation: str, arguments: Iterable[Operand], words: Words) -> str:
    """A relation asked about a row; `relation` by id."""
    types = words.columns.get(relation, ())
    given = (operand_text(each, words, type_) for each, type_ in zip_longest(arguments, types) if each is not None)
    return f"{relation.rpartition('.')[2]}({', '.join(given)})"
