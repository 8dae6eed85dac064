"""Mistakes in `test` blocks (E7xx)."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotSet(Diagnostic):
    code = "E701"
    title = "a test cannot set `{name}`: {why}"

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotATestValue(Diagnostic):
    code = "E701"
    title = "a test takes a value here: a literal, the name of one, or `now` with a duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAHeaderValue(Diagnostic):
    code = "E701"
    title = "no rule sets a header to this: {why}"
    help = "write a literal, or what the rule reads, such as `token.sub`"

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RaggedTable(Diagnostic):
    code = "E702"
    title = "this row has {cells} cell(s), the table {columns} column(s)"
    help = "a row has a cell for each column"

    cells: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateTest(Diagnostic):
    code = "E703"
    title = "two tests are named `{title_}`"
    help = "a test is known by its name: give each one of its own"

    title_: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownDecider(Diagnostic):
    code = "E704"
    title = "nothing named `{name}` decides"
    help = "name a rule of this module, a rule of another as `module.rule`, or one of: {words}"

    name: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowDecider(Diagnostic):
    code = "E704"
    title = "`{name}` is a shadow rule, which decides nothing"
    help = "name what decides while the rule is in the shadow"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownChallenge(Diagnostic):
    code = "E704"
    title = "no rule asks for `{name}`"
    help = "a step-up names a factor or a challenge of a require rule"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAMethod(Diagnostic):
    code = "E705"
    title = "a call has one method, not `{method}`"
    help = "write the one that is called by, such as `GET`"

    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTwice(Diagnostic):
    code = "E706"
    title = "{what} is given twice"
    help = "keep one of them"

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCell(Diagnostic):
    code = "E707"
    title = "the column `{column}` holds {wanted}"

    column: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LackingColumn(Diagnostic):
    code = "E708"
    title = "the table has no column `{column}`"
    help = "a table has one column `call`, one column `expect`, and a column for each input that its rows change"

    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LackingArgument(Diagnostic):
    code = "E709"
    title = "`{endpoint}` cannot be called without {what}"
    help = "{remedy}"

    endpoint: str
    what: str
    remedy: str
