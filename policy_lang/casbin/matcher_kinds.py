"""What kind of value each part of a matcher gives, as far as that is known before any request.

In go expressions with their kinds, out come what an operator makes of them, and mistakes where two kinds never go
together (E616). A column and a constant in quotes are strings; what a parameter of the request is, or a function of the
program gives, is not known.
INVARIANT: nothing is refused here that has a value for some request, but for equality of two kinds, which is one answer
for all requests.

Decision (2026-11-21): a number or a string where a truth is needed is refused in `compat` too, and so is a truth
compared with something else: Casbin takes them for truths by Python's rules in some places and raises in others, and
the evaluators here know truths only (a fraction as the result of a whole matcher is what that costs). The other
mismatches pass in `compat`: Casbin raises there or answers as the evaluators do.
Source: language.md 6.6, item 24; simpleeval's operators.
"""

from __future__ import annotations

from typing import Literal, assert_never

from msgspec import Struct

from policy_lang.casbin.matcher_syntax import ArithmeticSign, CompareWord
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, TableScalar

Kind = Literal["truth", "number", "string", "list", "any"]

WORDS: dict[Kind, str] = {
    "truth": "a truth",
    "number": "a number",
    "string": "a string",
    "list": "a list",
    "any": "a value",
}

Comparer = Literal["eq", "ne", "lt", "le", "gt", "ge"]
_COMPARERS: dict[CompareWord, Comparer] = {
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
}


class Typed(Struct, frozen=True):
    """An expression and the kind of what it gives."""

    expression: Expression
    kind: Kind


NOTHING = Typed(tables.Constant(value=False), "any")
"""What stands for a part with a mistake: no other mistake follows from it."""


def constant(value: TableScalar) -> Typed:
    match value:
        case bool():
            return Typed(tables.Constant(value), "truth")
        case int() | float():
            return Typed(tables.Constant(value), "number")
        case str():
            return Typed(tables.Constant(value), "string")
        case _:
            assert_never(value)


def negative(of: Typed) -> Typed:
    """`-x`."""
    match of.expression:
        case tables.Constant(value) if of.kind == "number" and not isinstance(value, str):
            return Typed(tables.Constant(0 - value), "number")
        case _:
            return Typed(tables.Arithmetic("-", tables.Constant(0), of.expression), "number")


def compared(word: CompareWord, left: Typed, right: Typed) -> Expression:
    match word:
        case "in":
            return tables.Within(left.expression, right.expression)
        case "not in":
            return tables.Not(tables.Within(left.expression, right.expression))
        case _:
            return tables.Comparison(_COMPARERS[word], left.expression, right.expression)


def of_comparison(word: CompareWord, left: Kind, right: Kind) -> str:
    """What always comes of comparing these two kinds; empty where it depends on the values, or `in` tells."""
    if word in ("in", "not in"):
        return "nothing is in it" if right in ("truth", "number") else ""
    if "any" in (left, right):
        return ""
    if left == right:
        return "truths have no order" if left == "truth" and word not in ("==", "!=") else ""
    if "truth" in (left, right):
        return "a truth is the same as truths only, and has no order"
    return "it is always true" if word == "!=" else "it is never true"


def of_arithmetic(sign: ArithmeticSign, left: Kind, right: Kind) -> Kind | None:
    """The kind of the result; None where it never has one."""
    if sign == "+" and "number" not in (left, right) and {left, right} <= {"string", "any"}:
        return "any" if left == right == "any" else "string"
    return "number" if {left, right} <= {"number", "any"} else None
