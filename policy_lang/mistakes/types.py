"""Mistakes in expressions and types (E3xx), and expressions that grow too large (E801).

Decision: 2026-11-21. What to write instead depends on the form, the word or the type that a mistake is about, so that
some classes choose their remedy by it, in place of one `help` for all.
"""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic

_ORDER = "integers, times, durations and the values of an ordered enum have an order, each among its own"
_SETS = "both sides are sets of one type"
_COUNTED = "add a duration to a time or a duration, subtract a duration from either, or a time from a time"
_TOGETHER = {
    "==": "compare single values of one type; of sets ask `overlaps`, `covers` or `is empty`",
    "!=": "compare single values of one type; of sets ask `overlaps`, `covers` or `is empty`",
    **dict.fromkeys(("<", "<=", ">", ">="), _ORDER),
    "in": "right of `in` stands a set of what stands left, or, for an address, a network",
    **dict.fromkeys(("overlaps", "covers"), _SETS),
    **dict.fromkeys(("+", "-"), _COUNTED),
    "[ ]": "the members of a set are of one type",
}
_ASKED = {
    "unset": "only a test writes it, to take a value away; a rule asks whether it is there: `token has c`",
    "unknown": "only a test writes it, to take a reading away; a rule need not ask: what is not known grants nothing",
}
_WRITTEN = {"`uuid`": "a uuid is written as `2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11`"}


def _stated(*helps: str) -> tuple[str, ...]:
    return tuple(each for each in helps if each)


class ExpressionMistake(Diagnostic, frozen=True, kw_only=True):
    """A mistake that every environment and every use of a condition may show again; it is reported once a place."""


class TypesDiffer(ExpressionMistake, frozen=True, kw_only=True):
    code = "E301"
    title = "{left} cannot stand with {right} in `{form}`"

    form: str
    left: str
    right: str

    @property
    def helps(self) -> tuple[str, ...]:
        return _stated(_TOGETHER.get(self.form, ""), self.hint)


class WrongType(ExpressionMistake, frozen=True, kw_only=True):
    code = "E301"
    title = "{wanted} is wanted here, not {found}"

    wanted: str
    found: str


class NotAValue(ExpressionMistake, frozen=True, kw_only=True):
    code = "E302"
    title = "this is a condition, not a value"
    help = "a condition stands alone or beside `and`, `or`, `not`; it cannot be compared or passed on"


class UnsetOutsideTest(ExpressionMistake, frozen=True, kw_only=True):
    code = "E302"
    title = "`{word}` is not a value"

    word: str

    @property
    def helps(self) -> tuple[str, ...]:
        return _stated(_ASKED.get(self.word, ""), self.hint)


class NotScalar(ExpressionMistake, frozen=True, kw_only=True):
    code = "E303"
    title = "{where} holds single values, not {found}"
    help = "take the members one by one: a row for each, a member for each"

    where: str
    found: str


class OutOfPlace(ExpressionMistake, frozen=True, kw_only=True):
    code = "E304"
    title = "{what} is no value"
    help = "{remedy}"

    what: str
    remedy: str


class LiteralMisfit(ExpressionMistake, frozen=True, kw_only=True):
    code = "E305"
    title = "`{value}` is not of type {wanted}"

    value: str
    wanted: str

    @property
    def helps(self) -> tuple[str, ...]:
        return _stated(_WRITTEN.get(self.wanted, ""), self.hint)


class EmptyRange(ExpressionMistake, frozen=True, kw_only=True):
    code = "E306"
    title = "no integer is in the range {lowest}..{highest}"
    help = "write the lowest first"

    lowest: int
    highest: int


class NotLiteral(ExpressionMistake, frozen=True, kw_only=True):
    code = "E307"
    title = "a set in brackets holds constants only"
    help = "literals, settings, values of an enum, workloads; compare anything else on its own, joined by `or`"


class BadLike(ExpressionMistake, frozen=True, kw_only=True):
    code = "E308"
    title = "`{pattern}` is not a `like` pattern"
    help = "a pattern has `*` as its first character, its last or both, nowhere else, and something beside it"

    pattern: str


class ArgumentCount(ExpressionMistake, frozen=True, kw_only=True):
    code = "E309"
    title = "`{name}` takes {wanted} argument(s), not {found}"

    name: str
    wanted: int
    found: int


class MissingHere(ExpressionMistake, frozen=True, kw_only=True):
    code = "E310"
    title = "`{name}` does not exist {where}"
    label = "{missing}"
    help = "{remedy}"

    name: str
    where: str
    remedy: str
    missing: str = ""


class NotAClaim(ExpressionMistake, frozen=True, kw_only=True):
    code = "E311"
    title = "a factor was proved at a claim of its own kind, not at `{name}`"
    help = "write `at token.CLAIM` or `at subject.PROPERTY`, of type `time`; anything else says nothing of the caller"

    name: str


class RoleOfAnother(ExpressionMistake, frozen=True, kw_only=True):
    code = "E312"
    title = "`{role}` is a role of `{kind}`, and `{asked}` may be another kind's here"
    help = "say it of `{kind}` alone: {form} is {kind} and …, or `for any {kind}`"
    note = "two issuers may give one name to two callers; a column of an enum holds what belongs to no kind"

    role: str
    kind: str
    form: str
    asked: str


class MayBeMissing(ExpressionMistake, frozen=True, kw_only=True):
    code = "E330"
    title = "`{root}.{name}` may be missing here"
    help = "say what happens without it: {root} has {name} and …"

    root: str
    name: str


class TooLarge(ExpressionMistake, frozen=True, kw_only=True):
    code = "E801"
    title = "the expression is too large: {why}"
    help = "say it in smaller conditions, or keep the data in a relation"

    why: str
