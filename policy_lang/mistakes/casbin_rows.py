"""Mistakes in Casbin policies, and in what a model asks of its rows (E602, E604, E605, E607, E609, E610, E614, E615,
E617, E621, E623, W625, W627).

A class whose name ends in `Passed` is the warning of the same number: what `compat` lets through, as Casbin takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTooLarge(Diagnostic):
    code = "E602"
    about = _FORM
    title = "the policy has {size} bytes, more than {most}"
    help = "split it into policies of their own, each with its model"

    size: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWithoutType(Diagnostic):
    code = "E602"
    about = _FORM
    title = "the row does not begin with its type"
    help = "write the policy type first, as in `p, alice, data1, read`"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayBracket(Diagnostic):
    """`why` says what the bracket lacks."""

    code = "E602"
    about = _FORM
    title = "`{bracket}` {why}"
    label = "commas within brackets belong to the value"
    help = "give each bracket its other half within one value"

    bracket: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayBracketPassed(StrayBracket):
    code = "W602"
    about = _ODD_FORM
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenInRow(Diagnostic):
    """`named` is the code point as U+XXXX."""

    code = "E602"
    about = _FORM
    title = "{named} is a control or invisible character"
    label = "it may make the text look like another"
    help = "delete it"

    named: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenInRowPassed(HiddenInRow):
    code = "W602"
    about = _ODD_FORM
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkBeforeRow(Diagnostic):
    code = "W602"
    about = _ODD_FORM
    title = "a byte order mark stands before the first row"
    label = "Casbin loses this row in silence; here it counts"
    help = "save the file as UTF-8 without a byte order mark"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoleInRecord(Diagnostic):
    code = "E602"
    about = _FORM
    title = "the record has a value after one that is NULL"
    label = "Casbin for Python drops all that follows"
    help = "write an empty string for a value that is empty; NULL only where the row has ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreInPolicy(Diagnostic):
    code = "E602"
    about = _FORM
    title = "{count} more problems in this policy"
    help = "those above come first in it"

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreInPolicyPassed(MoreInPolicy):
    code = "W602"
    about = _ODD_FORM
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeclaredType(Diagnostic):
    code = "E614"
    title = "the model defines no `{name}`"
    label = "Casbin drops the row in silence"
    help = "define it in the model, or delete the row"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeclaredTypePassed(UndeclaredType):
    code = "W614"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteInValue(Diagnostic):
    code = "E615"
    title = 'the value has a `"`'
    label = "Casbin for Python keeps it as a character, Casbin for Go reads it as quoting"
    help = "write the value without it: a comma within brackets needs no quotes, a string in a rule may stand in `'`"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteInValuePassed(QuoteInValue):
    code = "W615"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongColumns(Diagnostic):
    """`written`: the definition."""

    code = "E617"
    about = _COLUMNS
    title = "the row has {given}, where `{kind}` takes {takes}"
    help = "`{kind}` is defined as  {written}"

    given: str
    kind: str
    takes: int
    written: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnsCutPassed(WrongColumns):
    code = "W617"
    about = _READ_OTHERWISE
    severity = "warning"
    label = "Casbin leaves out what is too many"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoNumber(Diagnostic):
    code = "E617"
    about = _COLUMNS
    title = "the priority `{value}` is no whole number"
    help = "write digits, at most {most}, with `-` before them below nought; the smallest ranks first"

    value: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativePriority(Diagnostic):
    code = "W617"
    about = _READ_OTHERWISE
    title = "the priority `{value}` is below nought"
    label = "here a number; Casbin for Python compares it as a text, or fails"
    help = "number the rows from 0"
    severity = "warning"

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownVote(Diagnostic):
    code = "E607"
    title = "`{value}` is neither `allow` nor `deny`"
    label = "Casbin passes the row over in silence"
    help = "an effect is written `allow` or `deny`"

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownVotePassed(UnknownVote):
    code = "W607"
    severity = "warning"


# ---------------------------------------------------------------- roles


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingOfUnknown(Diagnostic):
    """`why` it can have none."""

    code = "E605"
    about = _MATCHING
    title = "no matching function for `{name}`: {why}"
    help = "name a role definition of the model"

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMatchingFunction(Diagnostic):
    code = "E604"
    about = "a function that does not compare a name with a pattern"
    title = "`{function}` is no matching function"
    help = "take one of  {known}"

    function: str
    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainBesideConditional(Diagnostic):
    code = "E609"
    about = _CONDITIONS
    title = "`{name}` has no conditions, and another role definition has"
    label = "Casbin then compares two names only, and asks none of its links"
    help = "give both conditions, with `_, _` in the rows that hold always, or make two models of it"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainBesideConditionalPassed(PlainBesideConditional):
    code = "W609"
    severity = "warning"
    label = "as in Casbin for Python, it compares two names only, and none of its links holds"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoConditions(Diagnostic):
    """A link that stands there before, under another condition."""

    code = "E609"
    about = _CONDITIONS
    title = "`{member}` has the role `{role}` under another condition too"
    label = "Casbin keeps the last of the conditions"
    help = "keep one of the rows, or let the second lead through a role of its own"

    member: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoConditionsPassed(TwoConditions):
    code = "W609"
    severity = "warning"
    label = "as in Casbin, only the last of the conditions is asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnaskedCondition(Diagnostic):
    code = "E609"
    about = _CONDITIONS
    title = "a condition of `{name}` has {count}"
    label = "no function is known that asks this"
    help = "write `(_, _)`: the two times of `timeMatch`"

    name: str
    count: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionsAsDomains(Diagnostic):
    code = "E609"
    about = _CONDITIONS
    title = "subject priority does not know the conditions of `{name}`"
    label = "Casbin takes the first of them for a domain"
    help = "rank the rows by a column `priority`"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCycle(Diagnostic):
    code = "E623"
    about = _SUBJECTS
    title = "the roles of `{name}` lead back to it"
    label = "so that it has no depth, and its rows no rank"
    help = "take one of these links away"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoles(Diagnostic):
    code = "E623"
    about = _SUBJECTS
    title = "subject priority without a role definition `g`"
    help = "define `g = _, _` under `[role_definition]`, or take the effect `priority(p.eft) || deny`"


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainsApart(Diagnostic):
    """`which` of the two has domains."""

    code = "E623"
    about = _SUBJECTS
    title = "subject priority finds no depth: only `{which}` has domains"
    label = "every row ranks as it stands in the policy"
    help = "let both have domains, `g = _, _, _` and a column `dom`, or neither"

    which: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainsApartPassed(DomainsApart):
    code = "W623"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class LongChain(Diagnostic):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrickyPattern(Diagnostic):
    """`said`: what is wrong with it; `remedy`: what to write."""

    code = "E610"
    about = _PATTERNS
    title = "`{text}` under `{function}`: {said}"
    help = "{remedy}"

    text: str
    function: str
    said: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrickyPatternPassed(TrickyPattern):
    code = "W610"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTime(Diagnostic):
    code = "E610"
    about = _PATTERNS
    title = "`{text}` is no time"
    label = "Casbin raises whenever it is asked"
    help = "write `YYYY-MM-DD hh:mm:ss`, or `_` for a side that is open"

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTimePassed(NoTime):
    code = "W610"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoZone(Diagnostic):
    code = "E621"
    about = _ZONES
    title = "times are compared, and no time zone is given"
    label = "Casbin takes the clock of the machine it runs on"
    help = "give the time zone that the times are written for, such as `Europe/Berlin` or `UTC`"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoZonePassed(NoZone):
    code = "W621"
    severity = "warning"
    label = "Casbin takes the clock of the machine it runs on; here it is UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownZone(Diagnostic):
    code = "E621"
    about = _ZONES
    title = "unknown time zone `{zone}`"
    help = "give a name of the IANA time zone database, such as `Europe/Berlin` or `UTC`"

    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRow(Diagnostic):
    """`why` it says nothing."""

    code = "W627"
    title = "this row never says anything"
    label = "{why}"
    help = "delete it"
    severity = "warning"

    why: str
