"""Mistakes in Casbin models and matchers (E602 to E606, E608, E611 to E613, E616, E618 to E620, W626).

A class whose name ends in `Passed` is the warning of the same number: what `compat` lets through, as Casbin takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic

_FORM = "a section or definition of the model is missing, double, unknown or malformed"
_IGNORED_FORM = "a section or definition of the model is double, or one that Casbin ignores"
_SYNTAX = "the matcher cannot be read"
_CALLS = "an unknown function, or a wrong number of arguments"
_NAMES = "an unknown name in a matcher"
_REWRITTEN = "Casbin rewrites or cuts the text of the matcher"
_NO_TRUTH = "what stands in the matcher gives no truth"


# ---------------------------------------------------------------- the model file


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTooLarge(Diagnostic):
    code = "E602"
    about = _FORM
    title = "the model has {size} characters, more than {most}"
    help = "a model is a few lines; rows belong in the policy"

    size: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenInModel(Diagnostic):
    """`named` is the code point as U+XXXX."""

    code = "E602"
    about = _FORM
    title = "{named} is a control or invisible character"
    label = "it may make the text look like another"
    help = "delete it"

    named: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayLine(Diagnostic):
    code = "E602"
    about = _FORM
    title = "the line is neither a section nor a definition"
    help = "write `[section]` or `key = value`; a comment opens with `#`; a line that goes on ends with `\\`"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDefinition(Diagnostic):
    """`example` is a definition as one may look."""

    code = "E602"
    about = _FORM
    title = "the model does not define `{key}`"
    help = "write under `[{section}]` a line such as  {example}"

    key: str
    section: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadDefinition(Diagnostic):
    code = "E602"
    about = _FORM
    title = "`{key}` cannot be read: {why}"
    help = "write a line such as  {example}"

    key: str
    why: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice(Diagnostic):
    code = "E602"
    about = _FORM
    title = "`{name}` stands twice"
    label = "Casbin takes {taken}"
    help = "keep one of them"

    name: str
    taken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwicePassed(Twice):
    code = "W602"
    about = _IGNORED_FORM
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored(Diagnostic):
    """`what` names the thing and what is wrong with it."""

    code = "E602"
    about = _FORM
    title = "{what}"
    label = "Casbin ignores it"
    help = "{remedy}"

    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredPassed(Ignored):
    code = "W602"
    about = _IGNORED_FORM
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerSection(Diagnostic):
    code = "E613"
    title = "`[{name}]` is not enforced"
    label = "pycasbin ignores it in silence"
    help = (
        "say it in the policy around the model: roles that exclude one another by `exclusive`, the rest by `deny` rules"
    )

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerSectionPassed(NewerSection):
    code = "W613"
    severity = "warning"


# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAllow(Diagnostic):
    code = "E606"
    title = "`{name}` allows whatever no row denies"
    label = "a request that meets no row would be allowed"
    help = (
        "write `some(where (p.eft == allow)) && !some(where (p.eft == deny))`, and a row for each thing that is allowed"
    )

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAllowPassed(DefaultAllow):
    code = "W606"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEffect(Diagnostic):
    code = "E608"
    title = "`{name}` differs from `e`"
    label = "Casbin asks `e` instead"
    help = "write the same effect for both, or one model for each"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEffectPassed(OtherEffect):
    code = "W608"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEffect(Diagnostic):
    code = "E618"
    title = "the effect of `{name}` is none of those that Casbin knows"
    help = (
        "the effects are `some(where (p.eft == allow))`, "
        "`some(where (p.eft == allow)) && !some(where (p.eft == deny))`, `priority(p.eft) || deny`, "
        "`subjectPriority(p.eft) || deny`, and `!some(where (p.eft == deny))` in compat"
    )

    name: str


# ---------------------------------------------------------------- matchers: syntax


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(Diagnostic):
    code = "E603"
    about = _SYNTAX
    title = "the matcher cannot be read: {what}"
    help = "{remedy}"

    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherTooDeep(Diagnostic):
    code = "E603"
    about = _SYNTAX
    title = "the matcher is nested deeper than {most}"
    help = "take parentheses away, or several policy types with a matcher each"

    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoEscapes(Diagnostic):
    code = "E603"
    about = _SYNTAX
    title = "`{escape}` has two readings in a string"
    label = "Python keeps the backslash or makes a control of it, Go drops it"
    help = "escapes are `\\\\`, `\\'` and `\\\"`; write `\\\\` for a backslash, as in  '^/v\\\\d+$'"

    escape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoEscapesPassed(TwoEscapes):
    code = "W603"
    about = "an escape that Python and Go read otherwise"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutByComment(Diagnostic):
    code = "E611"
    about = _REWRITTEN
    title = "Casbin cuts the text at `#`"
    label = "all behind it is lost, continued lines too"
    help = "put comments on lines of their own, before the definition"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutByCommentPassed(CutByComment):
    code = "W611"
    about = _REWRITTEN
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenString(Diagnostic):
    code = "E611"
    about = _REWRITTEN
    title = "`{found}` breaks the matcher in Casbin"
    label = "{why}"
    help = "put the value into a column of the policy, or into the request"

    found: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenString(Diagnostic):
    code = "E611"
    about = _REWRITTEN
    title = "Casbin rewrites what stands in the string"
    label = "it compares with `{becomes}`"
    help = "put the value into a column of the policy, or into the request"

    becomes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenStringPassed(RewrittenString):
    code = "W611"
    about = _REWRITTEN
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoReadings(Diagnostic):
    """`chain`: of a chain of comparisons, else of `!` before one."""

    code = "E619"
    title = "`{written}` has two readings"
    help = "write `{first}`, as Casbin for Python reads it, or `{second}`, as Casbin for Go does"

    written: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoReadingsPassed(TwoReadings):
    code = "W619"
    severity = "warning"
    label = "taken as `{first}`"


# ---------------------------------------------------------------- matchers: names and calls


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownFunction(Diagnostic):
    code = "E604"
    about = _CALLS
    title = "unknown function `{name}`"
    label = "neither one of Casbin's, nor a role definition, nor given by the program"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCalled(Diagnostic):
    code = "E604"
    about = _CALLS
    title = "a method of a value is called"
    help = 'call one of Casbin\'s functions, such as `keyMatch(r.obj, "/docs/*")`'


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongArguments(Diagnostic):
    """`takes` in words."""

    code = "E604"
    about = _CALLS
    title = "`{name}` takes {takes}, not {given}"

    name: str
    takes: str
    given: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphArguments(Diagnostic):
    """`taken` is what Casbin makes of it."""

    code = "E604"
    about = _CALLS
    title = "`{name}` is defined with {takes} places and called with {given} arguments"
    label = "{taken}"
    help = "call it with as many arguments as its definition has places"

    name: str
    takes: int
    given: int
    taken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphArgumentsPassed(GraphArguments):
    code = "W604"
    severity = "warning"
    about = "a role definition called with more or fewer arguments than it has places"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownMatcherName(Diagnostic):
    """`known`: what there is, in words."""

    code = "E605"
    about = _NAMES
    title = "unknown name `{name}`"
    label = "{known}"

    name: str
    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParts(Diagnostic):
    code = "E605"
    about = _NAMES
    title = "`{name}` is no value with parts, so it has no `{part}`"
    help = "only parameters of the request have parts, as in `r.sub.Age`"

    name: str
    part: str


# ---------------------------------------------------------------- matchers: kinds and traps


@dataclass(frozen=True, slots=True, kw_only=True)
class Substring(Diagnostic):
    code = "E612"
    title = "`in` on a string looks for a part of it"
    label = "`ali`, and the empty string, are in `alice`"
    help = 'compare by `==`, or list two values or more: `r.sub in ("alice", "bob")`'


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstringPassed(Substring):
    code = "W612"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTruth(Diagnostic):
    """`kind`: what it gives, in words."""

    code = "E616"
    about = _NO_TRUTH
    title = "`{written}` gives {kind}, where the matcher needs a truth"
    help = "compare it with something, as in `r.sub.Age > 18`"

    written: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoString(Diagnostic):
    code = "E616"
    about = _NO_TRUTH
    title = "`{written}` gives {kind}, where `{name}` needs a string"
    label = "it has no value"
    help = "a column is a string, and so is what stands in quotes"

    written: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoStringPassed(NoString):
    code = "W616"
    about = _NO_TRUTH
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch(Diagnostic):
    """`outcome`: what always comes of it."""

    code = "E616"
    about = _NO_TRUTH
    title = "`{written}` puts together {left} and {right}"
    label = "{outcome}"
    help = "a column is a string; compare values of one type, or give the number as a part of the request"

    written: str
    left: str
    right: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MismatchPassed(Mismatch):
    code = "W616"
    about = _NO_TRUTH
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternFromRequest(Diagnostic):
    code = "E620"
    title = "the pattern of `{name}` comes from the request"
    label = "whoever asks chooses what it fits"
    help = "the pattern is the second argument: a column of the policy, or a constant"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternFromRequestPassed(PatternFromRequest):
    code = "W620"
    severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadsNoRow(Diagnostic):
    code = "W626"
    title = "a part of the matcher reads no row"
    label = "where this holds, every row applies"
    help = "read a column in it, or say it by a rule of its own"
    severity = "warning"
