"""What an expression of a table is made of: in goes an expression, out come all that stand in it.

Total over the closed union of ir/tables.py; no recursion, so that no depth is too deep.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from policy_lang.ir import tables
from policy_lang.ir.tables import Expression


def all_in(expression: Expression) -> Iterator[Expression]:
    """The expression and each part of it, from left to right."""
    left = [expression]
    while left:
        taken = left.pop()
        yield taken
        left += reversed(parts_of(taken))


def deeper_than(expression: Expression, most: int) -> bool:
    """Whether more than `most` expressions stand within one another."""
    level = [expression]
    for _ in range(most):
        level = [part for each in level for part in parts_of(each)]
    return bool(level)


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """The parts that an expression is made of directly, from left to right."""
    match expression:
        case tables.Parameter() | tables.Column() | tables.Constant() | tables.Written():
            return ()
        case tables.Field(of) | tables.Not(of):
            return (of,)
        case tables.Listed(parts) | tables.And(parts) | tables.Or(parts):
            return parts
        case tables.Comparison(_, left, right) | tables.Arithmetic(_, left, right) | tables.Within(left, right):
            return (left, right)
        case tables.Linked(_, arguments) | tables.BuiltIn(_, arguments) | tables.Own(_, arguments):
            return arguments
        case _:
            assert_never(expression)
