"""Mistakes in `test` blocks (E7xx)."""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic


class CannotSet(Diagnostic, frozen=True, kw_only=True):
    code = "E701"
    title = "a test cannot set `{name}`: {why}"

    name: str
    why: str


class NotATestValue(Diagnostic, frozen=True, kw_only=True):
    code = "E701"
    title = "a test takes a value here: a literal, the name of one, or `now` with a duration"


class NotAHeaderValue(Diagnostic, frozen=True, kw_only=True):
    code = "E701"
    title = "no rule sets a header to this: {why}"
    help = "write a literal, or what the rule reads, such as `token.sub`"

    why: str


class RaggedTable(Diagnostic, frozen=True, kw_only=True):
    code = "E702"
    title = "this row has {cells} cell(s), the table {columns} column(s)"
    help = "a row has a cell for each column"

    cells: int
    columns: int


class DuplicateTest(Diagnostic, frozen=True, kw_only=True):
    code = "E703"
    title = "two tests are named `{title_}`"
    help = "a test is known by its name: give each one of its own"

    title_: str


class UnknownDecider(Diagnostic, frozen=True, kw_only=True):
    code = "E704"
    title = "nothing named `{name}` decides"
    help = "name a rule of this module, a rule of another as `module.rule`, or one of: {words}"

    name: str
    words: str


class ShadowDecider(Diagnostic, frozen=True, kw_only=True):
    code = "E704"
    title = "`{name}` is a shadow rule, which decides nothing"
    help = "name what decides while the rule is in the shadow"

    name: str


class UnknownChallenge(Diagnostic, frozen=True, kw_only=True):
    code = "E704"
    title = "no rule asks for `{name}`"
    help = "a step-up names a factor or a challenge of a require rule"

    name: str


class NotAMethod(Diagnostic, frozen=True, kw_only=True):
    code = "E705"
    title = "a call has one method, not `{method}`"
    help = "write the one that is called by, such as `GET`"

    method: str


class GivenTwice(Diagnostic, frozen=True, kw_only=True):
    code = "E706"
    title = "{what} is given twice"
    help = "keep one of them"

    what: str


class WrongCell(Diagnostic, frozen=True, kw_only=True):
    code = "E707"
    title = "the column `{column}` holds {wanted}"

    column: str
    wanted: str


class LackingColumn(Diagnostic, frozen=True, kw_only=True):
    code = "E708"
    title = "the table has no column `{column}`"
    help = "a table has one column `call`, one column `expect`, and a column for each input that its rows change"

    column: str


class LackingArgument(Diagnostic, frozen=True, kw_only=True):
    code = "E709"
    title = "`{endpoint}` cannot be called without {what}"
    help = "{remedy}"

    endpoint: str
    what: str
    remedy: str
