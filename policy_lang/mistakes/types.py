"""Mistakes in expressions and types (E3xx), and expressions that grow too large (E801)."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionMistake(Diagnostic):
    """A mistake that every environment and every use of a condition may show again; it is reported once a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypesDiffer(ExpressionMistake):
    code = "E301"
    title = "{left} cannot stand with {right} in `{form}`"

    form: str
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongType(ExpressionMistake):
    code = "E301"
    title = "{wanted} is wanted here, not {found}"

    wanted: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAValue(ExpressionMistake):
    code = "E302"
    title = "this is a condition, not a value"
    help = "a condition stands alone or beside `and`, `or`, `not`; it cannot be compared or passed on"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsetOutsideTest(ExpressionMistake):
    code = "E302"
    title = "`unset` is not a value"
    help = "only a test may write it, in place of a claim; a rule asks `token has c`"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotScalar(ExpressionMistake):
    code = "E303"
    title = "{where} holds single values, not {found}"

    where: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteralMisfit(ExpressionMistake):
    code = "E305"
    title = "`{value}` is not of type {wanted}"

    value: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyRange(ExpressionMistake):
    code = "E306"
    title = "no integer is in the range {lowest}..{highest}"

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLiteral(ExpressionMistake):
    code = "E307"
    title = "a set in brackets holds literals only"
    help = "compare each on its own, joined by `or`"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLike(ExpressionMistake):
    code = "E308"
    title = "`{pattern}` is not a `like` pattern"
    help = "a pattern has `*` only as its first and/or last character, and something beside it"

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentCount(ExpressionMistake):
    code = "E309"
    title = "`{name}` takes {wanted} argument(s), not {found}"

    name: str
    wanted: int
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingHere(ExpressionMistake):
    code = "E310"
    title = "`{name}` does not exist {where}"
    help = "{remedy}"

    name: str
    where: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAClaim(ExpressionMistake):
    code = "E311"
    title = "a factor was proved at a claim of its token, not at `{name}`"
    help = "write `at token.CLAIM`, a claim of type `time`; at anything else it would always be fresh"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MayBeMissing(ExpressionMistake):
    code = "E330"
    title = "`{root}.{name}` may be missing here"
    help = "say what happens without it: {root} has {name} and …"

    root: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLarge(ExpressionMistake):
    code = "E801"
    title = "the expression is too large: {why}"
    help = "say it in smaller conditions, or keep the data in a relation"

    why: str
