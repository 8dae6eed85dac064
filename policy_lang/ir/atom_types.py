"""The types that the operands of an atom must have.

An atom goes in, with the types of the inputs where it stands; a ValueError comes out where an operand is not what the
atom asks of it, which says what is wrong and leaves the place to whoever knows it. Pure.

    truth                a bool
    eq                   two scalars of one type
    lt, le               two of one type: integers, times or durations
    member               a scalar and a set of its type
    overlap, cover       two sets of one type
    empty                a set
    like                 a string; the pattern has `*` only as its first and/or its last character
    has                  an input, but no signal and nothing of the request: these are unknown, never missing
    net                  an address
    lookup               the types of the relation's columns
    age                  a time
    vote                 what is neither a time nor a duration, and no set of them
    the value of a header    a scalar

Types are one where `typesystem.same` says so. A constant has no type of its own: it stands beside every type whose
values look as it does, and a sum with a constant may come to a time or to a duration.
INVARIANT: of operands that pass, no operation of policy_lang/meaning/values.py is UNKNOWN for their types' sake, and
none of policy_lang/plan/operations.py raises.
Source: language.md 4.1, 6.1; policy_lang/typesystem.py says how the values of a type look.

Decision (2026-11-21): that an input which may be missing was asked for before it is read is the compiler's to see, not
asked here: without a value it is UNKNOWN to every evaluator, whatever is done with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import assert_never

from policy_lang import ir
from policy_lang.addresses import canonical
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, ScalarType, SetType, Type, moved, same

TypeOf = Callable[[ir.Attr], Type | None]
"""The type of an input; None where there is no such input."""

Columns = Mapping[str, Sequence[Type]]
"""The types of each relation's columns, by relation id."""

_Read = tuple[Type, ...] | ir.Const
"""What an operand may be: a value of one of these types, or a constant."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_atom(atom: ir.Atom, type_of: TypeOf, columns: Columns) -> None:
    """Check the operands of an atom. Errors: ValueError that says which is not what it must be."""
    match atom:
        case ir.Truth(of):
            _check(of, Scalar.BOOL, type_of, "a truth")
        case ir.Compare(op, left, right):
            _check_pair(op, left, right, type_of)
        case ir.Member(item, among):
            _check_sets("member", _alone(_read(item, type_of), item), _read(among, type_of), (item, among))
        case ir.Overlap(left, right):
            _check_sets("overlap", _read(left, type_of), _read(right, type_of), (left, right))
        case ir.Cover(left, right):
            _check_sets("cover", _read(left, type_of), _read(right, type_of), (left, right))
        case ir.Empty(of):
            if not _is_set(_read(of, type_of)):
                raise ValueError(f"`empty` of {_shown(of, type_of)}, which is no set")
        case ir.Like(of, pattern):
            _check(of, Scalar.STRING, type_of, "`like`")
            if "*" in pattern.removeprefix("*").removesuffix("*"):
                raise ValueError(f"`like` with a `*` within the pattern {pattern!r}")
        case ir.Has(attr):
            _read(attr, type_of)
            if attr.root in {"request", "signal"}:
                raise ValueError(f"`has` of {attr.root}.{attr.name}, which is never missing")
        case ir.InNetwork(of, network, _):
            _check(of, Scalar.IP, type_of, f"the network {network!r}")
        case ir.Lookup(relation, arguments):
            for argument, column in zip(arguments, columns[relation], strict=True):
                _check(argument, column, type_of, f"a column of {relation!r}")
        case ir.Age(at, _):
            _check(at, Scalar.TIME, type_of, "an age")
        case ir.Vote(table, _, arguments):
            for argument in arguments:
                if any(map(_is_of_time, _types(_read(argument, type_of)))):
                    raise ValueError(f"the table {table!r} is asked of {_shown(argument, type_of)}")
        case _:
            assert_never(atom)


def asks_of(declared: Type) -> bool:
    """Whether a table may be asked of values of a type: what Casbin compares as we do, so no times and durations."""
    return not _is_of_time(declared)


def _is_of_time(declared: Type) -> bool:
    element = declared.element if isinstance(declared, SetType) else declared
    return element is Scalar.TIME or element is Scalar.DURATION


def check_header(value: ir.Operand, type_of: TypeOf) -> None:
    """Check the value of a header. Errors: ValueError where it is no scalar."""
    if _is_set(_read(value, type_of)):
        raise ValueError(f"a header is set to {_shown(value, type_of)}, which is a set")


def is_value(value: ir.Value, declared: Type) -> bool:
    """Whether a value looks as a value of the type does; ranges of int are set aside, as in every comparison."""
    if not isinstance(declared, SetType):
        return type(value) is _python_type(declared) and _look_alike((value,), declared)
    if not isinstance(value, frozenset):
        return False
    return {*map(type, value)} <= {_python_type(declared.element)} and _look_alike(value, declared.element)


def _python_type(declared: ScalarType) -> type[ir.ScalarValue]:
    if isinstance(declared, IntType) or declared is Scalar.TIME or declared is Scalar.DURATION:
        return int
    return bool if declared is Scalar.BOOL else str


def _look_alike(values: Collection[ir.Value], declared: ScalarType) -> bool:
    """Whether values of the right Python type are in the form that the type's values have."""
    match declared:
        case Scalar.UUID:
            return all(map(_UUID.fullmatch, map(str, values)))
        case Scalar.IP:
            return all(canonical(text) == text for text in map(str, values))
        case EnumType(_, names, _) | RoleType(names):
            return frozenset(names).issuperset(values)
        case _:
            return True


# ---------------------------------------------------------------- what operands are


def _read(operand: ir.Operand, type_of: TypeOf) -> _Read:
    """What an operand may be."""
    match operand:
        case ir.Attr(root, name):
            type_ = type_of(operand)
            if type_ is None:
                raise ValueError(f"{root}.{name} is not declared there")
            return (type_,)
        case ir.Now():
            return (Scalar.TIME,)
        case ir.Const():
            return operand
        case ir.Shift(left, sign, right):
            terms = _spans(_read(left, type_of)), _spans(_read(right, type_of))
            sums = [moved(one, "+" if sign == 1 else "-", other) for one in terms[0] for other in terms[1]]
            types = tuple(dict.fromkeys(each for each in sums if each is not None))
            if not types:
                raise ValueError("a sum of what is no time and no duration")
            return types
        case _:
            assert_never(operand)


def _types(read: _Read) -> tuple[Type, ...]:
    """The types that an operand may be of; none of a constant."""
    return () if isinstance(read, ir.Const) else read


def _spans(read: _Read) -> tuple[Type, ...]:
    """What a term of a sum may be."""
    if isinstance(read, ir.Const):
        return (Scalar.TIME, Scalar.DURATION) if type(read.value) is int else ()
    return read


def _is_set(read: _Read) -> bool:
    return isinstance(read.value if isinstance(read, ir.Const) else read[0], frozenset | SetType)


def _alone(read: _Read, item: ir.Operand) -> _Read:
    """The set that has a scalar as its one member."""
    if isinstance(read, ir.Const):
        if not isinstance(read.value, frozenset):
            return ir.Const(frozenset((read.value,)))
    else:
        scalars = tuple(SetType(each) for each in read if not isinstance(each, SetType))
        if scalars:
            return scalars
    raise ValueError(f"`member` asks of a set ({_named(item)}) whether it is in a set")


def _alike(left: _Read, right: _Read) -> bool:
    """Whether two operands may be of one type."""
    if not isinstance(left, ir.Const):
        if isinstance(right, ir.Const):
            return any(map(partial(is_value, right.value), left))
        return any(same(one, other) for one in left for other in right)
    if not isinstance(right, ir.Const):
        return any(map(partial(is_value, left.value), right))
    one, other = left.value, right.value
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return len({*map(type, one), *map(type, other)}) <= 1
    return type(one) is type(other)


# ---------------------------------------------------------------- what atoms ask


def _check(operand: ir.Operand, wanted: Type, type_of: TypeOf, what: str) -> None:
    """An operand that must be of one type."""
    if not _alike(_read(operand, type_of), (wanted,)):
        raise ValueError(f"{what} asks for `{wanted}` and has {_shown(operand, type_of)}")


def _check_pair(op: str, left: ir.Operand, right: ir.Operand, type_of: TypeOf) -> None:
    """Two scalars of one type, with an order where that is asked for."""
    reads = _read(left, type_of), _read(right, type_of)
    fits = _alike(*reads) and not any(map(_is_set, reads))
    if not fits or (op != "eq" and not all(map(_ordered, reads))):
        raise ValueError(f"`{op}` of {_shown(left, type_of)} and {_shown(right, type_of)}")


def _ordered(read: _Read) -> bool:
    """Whether an operand is a number."""
    if isinstance(read, ir.Const):
        return type(read.value) is int
    return all(isinstance(each, IntType) or each in {Scalar.TIME, Scalar.DURATION} for each in read)


def _check_sets(word: str, left: _Read, right: _Read, operands: tuple[ir.Operand, ir.Operand]) -> None:
    """Two sets of one type."""
    if not (_is_set(left) and _is_set(right) and _alike(left, right)):
        raise ValueError(f"`{word}` of {' and '.join(map(_named, operands))}, which are of two types")


def _shown(operand: ir.Operand, type_of: TypeOf) -> str:
    """An operand for an error, with its type."""
    read = _read(operand, type_of)
    if isinstance(read, ir.Const):
        return _named(operand)
    return f"{_named(operand)} (`{'` or `'.join(map(str, read))}`)"


def _named(operand: ir.Operand) -> str:
    """An operand for an error."""
    match operand:
        case ir.Attr(root, name):
            return f"{root}.{name}"
        case ir.Now():
            return "now"
        case ir.Const(value):
            return f"a constant set of {len(value)}" if isinstance(value, frozenset) else "a constant"
        case ir.Shift():
            return "a sum"
        case _:
            assert_never(operand)
