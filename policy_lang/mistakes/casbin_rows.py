"""Mistakes in Casbin policies, and in what a model asks of its rows (E602, E604, E605, E607, E609, E610, E614, E615,
E617, E621, E623, W625, W627).

A class whose name ends in `Passed` is the warning of the same number: what `compat` lets through, as Casbin takes it.
"""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic

_FORM = "a line of the policy is malformed, or the policy is too large"
_ODD_FORM = "a line of the policy that looks otherwise than it is read"
_MATCHING = "a matching function for what is no role definition, or cannot have one"
_CONDITIONS = "roles under conditions that Casbin does not ask as written"
_PATTERNS = "a pattern or a time that cannot be read, or means otherwise than it looks"
_COLUMNS = "a row with too few or too many values, or one that is no number"
_READ_OTHERWISE = "a link with too many values, or a priority that Casbin for Python reads otherwise"
_ZONES = "`timeMatch` without a time zone that is known"
_SUBJECTS = "subjects that have no rank under subject priority"


# ---------------------------------------------------------------- lines


class PolicyTooLarge(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "the policy has {size} bytes, more than {most}"
    help = "split it into policies of their own, each with its model"

    size: int
    most: int


class RowWithoutType(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "the row does not begin with its type"
    help = "write the policy type first, as in `p, alice, data1, read`"


class StrayBracket(Diagnostic, frozen=True, kw_only=True):
    """`why` says what the bracket lacks."""

    code = "E602"
    about = _FORM
    title = "`{bracket}` {why}"
    label = "commas within brackets belong to the value"
    help = "give each bracket its other half within one value"

    bracket: str
    why: str


class StrayBracketPassed(StrayBracket, frozen=True, kw_only=True):
    code = "W602"
    about = _ODD_FORM
    severity = "warning"


class HiddenInRow(Diagnostic, frozen=True, kw_only=True):
    """`named` is the code point as U+XXXX."""

    code = "E602"
    about = _FORM
    title = "{named} is a control or invisible character"
    label = "it may make the text look like another"
    help = "delete it"

    named: str


class HiddenInRowPassed(HiddenInRow, frozen=True, kw_only=True):
    code = "W602"
    about = _ODD_FORM
    severity = "warning"


class MarkBeforeRow(Diagnostic, frozen=True, kw_only=True):
    code = "W602"
    about = _ODD_FORM
    title = "a byte order mark stands before the first row"
    label = "Casbin loses this row in silence; here it counts"
    help = "save the file as UTF-8 without a byte order mark"
    severity = "warning"


class HoleInRecord(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "the record has a value after one that is NULL"
    label = "Casbin for Python drops all that follows"
    help = "write an empty string for a value that is empty; NULL only where the row has ended"


class MoreInPolicy(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "{count} more problems in this policy"
    help = "those above come first in it"

    count: int


class MoreInPolicyPassed(MoreInPolicy, frozen=True, kw_only=True):
    code = "W602"
    about = _ODD_FORM
    severity = "warning"


class UndeclaredType(Diagnostic, frozen=True, kw_only=True):
    code = "E614"
    title = "the model defines no `{name}`"
    label = "Casbin drops the row in silence"
    help = "define it in the model, or delete the row"

    name: str


class UndeclaredTypePassed(UndeclaredType, frozen=True, kw_only=True):
    code = "W614"
    severity = "warning"


class QuoteInValue(Diagnostic, frozen=True, kw_only=True):
    code = "E615"
    title = 'the value has a `"`'
    label = "Casbin for Python keeps it as a character, Casbin for Go reads it as quoting"
    help = "write the value without it: a comma within brackets needs no quotes, a string in a rule may stand in `'`"


class QuoteInValuePassed(QuoteInValue, frozen=True, kw_only=True):
    code = "W615"
    severity = "warning"


class WrongColumns(Diagnostic, frozen=True, kw_only=True):
    """`written`: the definition."""

    code = "E617"
    about = _COLUMNS
    title = "the row has {given}, where `{kind}` takes {takes}"
    help = "`{kind}` is defined as  {written}"

    given: str
    kind: str
    takes: int
    written: str


class ColumnsCutPassed(WrongColumns, frozen=True, kw_only=True):
    code = "W617"
    about = _READ_OTHERWISE
    severity = "warning"
    label = "Casbin leaves out what is too many"


class NoNumber(Diagnostic, frozen=True, kw_only=True):
    code = "E617"
    about = _COLUMNS
    title = "the priority `{value}` is no whole number"
    help = "write digits, at most {most}, with `-` before them below nought; the smallest ranks first"

    value: str
    most: int


class NegativePriority(Diagnostic, frozen=True, kw_only=True):
    code = "W617"
    about = _READ_OTHERWISE
    title = "the priority `{value}` is below nought"
    label = "here a number; Casbin for Python compares it as a text, or fails"
    help = "number the rows from 0"
    severity = "warning"

    value: str


class UnknownVote(Diagnostic, frozen=True, kw_only=True):
    code = "E607"
    title = "`{value}` is neither `allow` nor `deny`"
    label = "Casbin passes the row over in silence"
    help = "an effect is written `allow` or `deny`"

    value: str


class UnknownVotePassed(UnknownVote, frozen=True, kw_only=True):
    code = "W607"
    severity = "warning"


# ---------------------------------------------------------------- roles


class MatchingOfUnknown(Diagnostic, frozen=True, kw_only=True):
    """`why` it can have none."""

    code = "E605"
    about = _MATCHING
    title = "no matching function for `{name}`: {why}"
    help = "name a role definition of the model"

    name: str
    why: str


class NoMatchingFunction(Diagnostic, frozen=True, kw_only=True):
    code = "E604"
    about = "a function that does not compare a name with a pattern"
    title = "`{function}` is no matching function"
    help = "take one of  {known}"

    function: str
    known: str


class PlainBesideConditional(Diagnostic, frozen=True, kw_only=True):
    code = "E609"
    about = _CONDITIONS
    title = "`{name}` has no conditions, and another role definition has"
    label = "Casbin then compares two names only, and asks none of its links"
    help = "give both conditions, with `_, _` in the rows that hold always, or make two models of it"

    name: str


class PlainBesideConditionalPassed(PlainBesideConditional, frozen=True, kw_only=True):
    code = "W609"
    severity = "warning"
    label = "as in Casbin for Python, it compares two names only, and none of its links holds"


class TwoConditions(Diagnostic, frozen=True, kw_only=True):
    """A link that stands there before, under another condition."""

    code = "E609"
    about = _CONDITIONS
    title = "`{member}` has the role `{role}` under another condition too"
    label = "Casbin keeps the last of the conditions"
    help = "keep one of the rows, or let the second lead through a role of its own"

    member: str
    role: str


class TwoConditionsPassed(TwoConditions, frozen=True, kw_only=True):
    code = "W609"
    severity = "warning"
    label = "as in Casbin, only the last of the conditions is asked"


class UnaskedCondition(Diagnostic, frozen=True, kw_only=True):
    code = "E609"
    about = _CONDITIONS
    title = "a condition of `{name}` has {count}"
    label = "no function is known that asks this"
    help = "write `(_, _)`: the two times of `timeMatch`"

    name: str
    count: str


class ConditionsAsDomains(Diagnostic, frozen=True, kw_only=True):
    code = "E609"
    about = _CONDITIONS
    title = "subject priority does not know the conditions of `{name}`"
    label = "Casbin takes the first of them for a domain"
    help = "rank the rows by a column `priority`"

    name: str


class RoleCycle(Diagnostic, frozen=True, kw_only=True):
    code = "E623"
    about = _SUBJECTS
    title = "the roles of `{name}` lead back to it"
    label = "so that it has no depth, and its rows no rank"
    help = "take one of these links away"

    name: str


class NoRoles(Diagnostic, frozen=True, kw_only=True):
    code = "E623"
    about = _SUBJECTS
    title = "subject priority without a role definition `g`"
    help = "define `g = _, _` under `[role_definition]`, or take the effect `priority(p.eft) || deny`"


class DomainsApart(Diagnostic, frozen=True, kw_only=True):
    """`which` of the two has domains."""

    code = "E623"
    about = _SUBJECTS
    title = "subject priority finds no depth: only `{which}` has domains"
    label = "every row ranks as it stands in the policy"
    help = "let both have domains, `g = _, _, _` and a column `dom`, or neither"

    which: str


class DomainsApartPassed(DomainsApart, frozen=True, kw_only=True):
    code = "W623"
    severity = "warning"


class LongChain(Diagnostic, frozen=True, kw_only=True):
    """`followed` is what becomes of it."""

    code = "W625"
    title = "`{member}` has the role `{role}` only through more than {most} links"
    label = "{followed}"
    help = "give the role by a shorter way"
    severity = "warning"

    member: str
    role: str
    most: int
    followed: str


# ---------------------------------------------------------------- values


class TrickyPattern(Diagnostic, frozen=True, kw_only=True):
    """`said`: what is wrong with it; `remedy`: what to write."""

    code = "E610"
    about = _PATTERNS
    title = "`{text}` under `{function}`: {said}"
    help = "{remedy}"

    text: str
    function: str
    said: str
    remedy: str


class TrickyPatternPassed(TrickyPattern, frozen=True, kw_only=True):
    code = "W610"
    severity = "warning"


class NoTime(Diagnostic, frozen=True, kw_only=True):
    code = "E610"
    about = _PATTERNS
    title = "`{text}` is no time"
    label = "Casbin raises whenever it is asked"
    help = "write `YYYY-MM-DD hh:mm:ss`, or `_` for a side that is open"

    text: str


class NoTimePassed(NoTime, frozen=True, kw_only=True):
    code = "W610"
    severity = "warning"


class NoZone(Diagnostic, frozen=True, kw_only=True):
    code = "E621"
    about = _ZONES
    title = "times are compared, and no time zone is given"
    label = "Casbin takes the clock of the machine it runs on"
    help = "give the time zone that the times are written for, such as `Europe/Berlin` or `UTC`"


class NoZonePassed(NoZone, frozen=True, kw_only=True):
    code = "W621"
    severity = "warning"
    label = "Casbin takes the clock of the machine it runs on; here it is UTC"


class UnknownZone(Diagnostic, frozen=True, kw_only=True):
    code = "E621"
    about = _ZONES
    title = "unknown time zone `{zone}`"
    help = "give a name of the IANA time zone database, such as `Europe/Berlin` or `UTC`"

    zone: str


class DeadRow(Diagnostic, frozen=True, kw_only=True):
    """`why` it says nothing."""

    code = "W627"
    title = "this row never says anything"
    label = "{why}"
    help = "delete it"
    severity = "warning"

    why: str
