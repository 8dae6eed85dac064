"""Mistakes in Casbin models and matchers (E602 to E606, E608, E611 to E613, E616, E618 to E620, W626).

A class whose name ends in `Passed` is the warning of the same number: what `compat` lets through, as Casbin takes it.
"""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic

_FORM = "a section or definition of the model is missing, double, unknown or malformed"
_IGNORED_FORM = "a section or definition of the model is double, or one that Casbin ignores"
_SYNTAX = "the matcher cannot be read"
_CALLS = "an unknown function, or a wrong number of arguments"
_NAMES = "an unknown name in a matcher"
_REWRITTEN = "Casbin rewrites or cuts the text of the matcher"
_NO_TRUTH = "what stands in the matcher gives no truth"


# ---------------------------------------------------------------- the model file


class ModelTooLarge(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "the model has {size} characters, more than {most}"
    help = "a model is a few lines; rows belong in the policy"

    size: int
    most: int


class HiddenInModel(Diagnostic, frozen=True, kw_only=True):
    """`named` is the code point as U+XXXX."""

    code = "E602"
    about = _FORM
    title = "{named} is a control or invisible character"
    label = "it may make the text look like another"
    help = "delete it"

    named: str


class StrayLine(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "the line is neither a section nor a definition"
    help = "write `[section]` or `key = value`; a comment opens with `#`; a line that goes on ends with `\\`"


class NoDefinition(Diagnostic, frozen=True, kw_only=True):
    """`example` is a definition as one may look."""

    code = "E602"
    about = _FORM
    title = "the model does not define `{key}`"
    help = "write under `[{section}]` a line such as  {example}"

    key: str
    section: str
    example: str


class BadDefinition(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "`{key}` cannot be read: {why}"
    help = "write a line such as  {example}"

    key: str
    why: str
    example: str


class Twice(Diagnostic, frozen=True, kw_only=True):
    code = "E602"
    about = _FORM
    title = "`{name}` stands twice"
    label = "Casbin takes {taken}"
    help = "keep one of them"

    name: str
    taken: str


class TwicePassed(Twice, frozen=True, kw_only=True):
    code = "W602"
    about = _IGNORED_FORM
    severity = "warning"


class Ignored(Diagnostic, frozen=True, kw_only=True):
    """`what` names the thing and what is wrong with it."""

    code = "E602"
    about = _FORM
    title = "{what}"
    label = "Casbin ignores it"
    help = "{remedy}"

    what: str
    remedy: str


class IgnoredPassed(Ignored, frozen=True, kw_only=True):
    code = "W602"
    about = _IGNORED_FORM
    severity = "warning"


class NewerSection(Diagnostic, frozen=True, kw_only=True):
    code = "E613"
    title = "`[{name}]` is not enforced"
    label = "pycasbin ignores it in silence"
    help = (
        "say it in the policy around the model: roles that exclude one another by `exclusive`, the rest by `deny` rules"
    )

    name: str


class NewerSectionPassed(NewerSection, frozen=True, kw_only=True):
    code = "W613"
    severity = "warning"


# ---------------------------------------------------------------- effects


class DefaultAllow(Diagnostic, frozen=True, kw_only=True):
    code = "E606"
    title = "`{name}` allows whatever no row denies"
    label = "a request that meets no row would be allowed"
    help = (
        "write `some(where (p.eft == allow)) && !some(where (p.eft == deny))`, and a row for each thing that is allowed"
    )

    name: str


class DefaultAllowPassed(DefaultAllow, frozen=True, kw_only=True):
    code = "W606"
    severity = "warning"


class OtherEffect(Diagnostic, frozen=True, kw_only=True):
    code = "E608"
    title = "`{name}` differs from `e`"
    label = "Casbin asks `e` instead"
    help = "write the same effect for both, or one model for each"

    name: str


class OtherEffectPassed(OtherEffect, frozen=True, kw_only=True):
    code = "W608"
    severity = "warning"


class UnknownEffect(Diagnostic, frozen=True, kw_only=True):
    code = "E618"
    title = "the effect of `{name}` is none of those that Casbin knows"
    help = (
        "the effects are `some(where (p.eft == allow))`, "
        "`some(where (p.eft == allow)) && !some(where (p.eft == deny))`, `priority(p.eft) || deny`, "
        "`subjectPriority(p.eft) || deny`, and `!some(where (p.eft == deny))` in compat"
    )

    name: str


# ---------------------------------------------------------------- matchers: syntax


class Unreadable(Diagnostic, frozen=True, kw_only=True):
    code = "E603"
    about = _SYNTAX
    title = "the matcher cannot be read: {what}"
    help = "{remedy}"

    what: str
    remedy: str


class MatcherTooDeep(Diagnostic, frozen=True, kw_only=True):
    code = "E603"
    about = _SYNTAX
    title = "the matcher is nested deeper than {most}"
    help = "take parentheses away, or several policy types with a matcher each"

    most: int


class TwoEscapes(Diagnostic, frozen=True, kw_only=True):
    code = "E603"
    about = _SYNTAX
    title = "`{escape}` has two readings in a string"
    label = "Python keeps the backslash or makes a control of it, Go drops it"
    help = "escapes are `\\\\`, `\\'` and `\\\"`; write `\\\\` for a backslash, as in  '^/v\\\\d+$'"

    escape: str


class TwoEscapesPassed(TwoEscapes, frozen=True, kw_only=True):
    code = "W603"
    about = "an escape that Python and Go read otherwise"
    severity = "warning"


class CutByComment(Diagnostic, frozen=True, kw_only=True):
    code = "E611"
    about = _REWRITTEN
    title = "Casbin cuts the text at `#`"
    label = "all behind it is lost, continued lines too"
    help = "put comments on lines of their own, before the definition"


class CutByCommentPassed(CutByComment, frozen=True, kw_only=True):
    code = "W611"
    about = _REWRITTEN
    severity = "warning"


class BrokenString(Diagnostic, frozen=True, kw_only=True):
    code = "E611"
    about = _REWRITTEN
    title = "`{found}` breaks the matcher in Casbin"
    label = "{why}"
    help = "put the value into a column of the policy, or into the request"

    found: str
    why: str


class RewrittenString(Diagnostic, frozen=True, kw_only=True):
    code = "E611"
    about = _REWRITTEN
    title = "Casbin rewrites what stands in the string"
    label = "it compares with `{becomes}`"
    help = "put the value into a column of the policy, or into the request"

    becomes: str


class RewrittenStringPassed(RewrittenString, frozen=True, kw_only=True):
    code = "W611"
    about = _REWRITTEN
    severity = "warning"


class TwoReadings(Diagnostic, frozen=True, kw_only=True):
    """`chain`: of a chain of comparisons, else of `!` before one."""

    code = "E619"
    title = "`{written}` has two readings"
    help = "write `{first}`, as Casbin for Python reads it, or `{second}`, as Casbin for Go does"

    written: str
    first: str
    second: str


class TwoReadingsPassed(TwoReadings, frozen=True, kw_only=True):
    code = "W619"
    severity = "warning"
    label = "taken as `{first}`"


# ---------------------------------------------------------------- matchers: names and calls


class UnknownFunction(Diagnostic, frozen=True, kw_only=True):
    code = "E604"
    about = _CALLS
    title = "unknown function `{name}`"
    label = "neither one of Casbin's, nor a role definition, nor given by the program"

    name: str


class MethodCalled(Diagnostic, frozen=True, kw_only=True):
    code = "E604"
    about = _CALLS
    title = "a method of a value is called"
    help = 'call one of Casbin\'s functions, such as `keyMatch(r.obj, "/docs/*")`'


class WrongArguments(Diagnostic, frozen=True, kw_only=True):
    """`takes` in words."""

    code = "E604"
    about = _CALLS
    title = "`{name}` takes {takes}, not {given}"

    name: str
    takes: str
    given: int


class GraphArguments(Diagnostic, frozen=True, kw_only=True):
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


class GraphArgumentsPassed(GraphArguments, frozen=True, kw_only=True):
    code = "W604"
    severity = "warning"
    about = "a role definition called with more or fewer arguments than it has places"


class UnknownMatcherName(Diagnostic, frozen=True, kw_only=True):
    """`known`: what there is, in words."""

    code = "E605"
    about = _NAMES
    title = "unknown name `{name}`"
    label = "{known}"

    name: str
    known: str


class NoParts(Diagnostic, frozen=True, kw_only=True):
    code = "E605"
    about = _NAMES
    title = "`{name}` is no value with parts, so it has no `{part}`"
    help = "only parameters of the request have parts, as in `r.sub.Age`"

    name: str
    part: str


# ---------------------------------------------------------------- matchers: kinds and traps


class Substring(Diagnostic, frozen=True, kw_only=True):
    code = "E612"
    title = "`in` on a string looks for a part of it"
    label = "`ali`, and the empty string, are in `alice`"
    help = 'compare by `==`, or list two values or more: `r.sub in ("alice", "bob")`'


class SubstringPassed(Substring, frozen=True, kw_only=True):
    code = "W612"
    severity = "warning"


class NoTruth(Diagnostic, frozen=True, kw_only=True):
    """`kind`: what it gives, in words."""

    code = "E616"
    about = _NO_TRUTH
    title = "`{written}` gives {kind}, where the matcher needs a truth"
    help = "compare it with something, as in `r.sub.Age > 18`"

    written: str
    kind: str


class NoString(Diagnostic, frozen=True, kw_only=True):
    code = "E616"
    about = _NO_TRUTH
    title = "`{written}` gives {kind}, where `{name}` needs a string"
    label = "it has no value"
    help = "a column is a string, and so is what stands in quotes"

    written: str
    kind: str
    name: str


class NoStringPassed(NoString, frozen=True, kw_only=True):
    code = "W616"
    about = _NO_TRUTH
    severity = "warning"


class Mismatch(Diagnostic, frozen=True, kw_only=True):
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


class MismatchPassed(Mismatch, frozen=True, kw_only=True):
    code = "W616"
    about = _NO_TRUTH
    severity = "warning"


class PatternFromRequest(Diagnostic, frozen=True, kw_only=True):
    code = "E620"
    title = "the pattern of `{name}` comes from the request"
    label = "whoever asks chooses what it fits"
    help = "the pattern is the second argument: a column of the policy, or a constant"

    name: str


class PatternFromRequestPassed(PatternFromRequest, frozen=True, kw_only=True):
    code = "W620"
    severity = "warning"


class ReadsNoRow(Diagnostic, frozen=True, kw_only=True):
    code = "W626"
    title = "a part of the matcher reads no row"
    label = "where this holds, every row applies"
    help = "read a column in it, or say it by a rule of its own"
    severity = "warning"
