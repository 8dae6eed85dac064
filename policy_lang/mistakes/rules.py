"""Mistakes in rules and their reach (E110, E4xx, E5xx), and what is legal but hardly meant (W8xx)."""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.types import ExpressionMistake


class ReservedRuleName(Diagnostic, frozen=True, kw_only=True):
    code = "E110"
    title = "a rule cannot be named `{name}`"
    label = "decisions that no rule made are attributed to this word"
    help = "choose another name"

    name: str


class CoversNothing(Diagnostic, frozen=True, kw_only=True):
    code = "E404"
    title = "the pattern covers no endpoint of `{service}`"
    help = "a rule speaks of declared endpoints; `**` stands for any number of segments"

    service: str


class CutsEndpoint(Diagnostic, frozen=True, kw_only=True):
    code = "E405"
    title = "the pattern cuts through the endpoint `{endpoint}`"
    label = "matches only part of {route}"
    help = "declare an endpoint for that part, or compare {input} in a `when`"

    endpoint: str
    route: str
    input: str


class UnclearTag(Diagnostic, frozen=True, kw_only=True):
    code = "E406"
    title = "`{tagged}` can be read as said of `{first}` too"
    label = "is said of the target before it alone"
    help = "if that is meant, write `on {whole}, {first}`; else `on {first} {tagged}, {whole}`"

    tagged: str
    whole: str
    first: str


class AmbiguousEndpoints(Diagnostic, frozen=True, kw_only=True):
    code = "E410"
    title = "`{one}` and `{other}` share paths, and neither is the more specific"
    help = "narrow one of them: literal, typed capture, capture, `*`, `**`, in this order at every segment"

    one: str
    other: str


class NoFor(Diagnostic, frozen=True, kw_only=True):
    code = "E501"
    title = "`{name}` does not say whom it is for"
    help = "an allow says it: write `for any KIND`, `for role R`, `for workload W` or `for anyone`"

    name: str


class NoBecause(Diagnostic, frozen=True, kw_only=True):
    code = "E502"
    title = "`{name}` gives no reason"
    help = 'write `because "…"`, the sentence an auditor reads'

    name: str


class DutyOnAllow(Diagnostic, frozen=True, kw_only=True):
    code = "E503"
    title = "an allow cannot carry `{clause}`"
    label = "move it to a rule that says when it applies: `require NAME for … on … {clause} …`"
    note = "otherwise a second allow for the same call would decide whether it holds"

    clause: str


class NoOn(Diagnostic, frozen=True, kw_only=True):
    code = "E504"
    title = "`{name}` does not say on what"
    help = "write `on any endpoint`, `on SERVICE`, `on SERVICE.ENDPOINT` or `on SERVICE METHOD /path`"

    name: str


class ClosedEndpoint(Diagnostic, frozen=True, kw_only=True):
    code = "E505"
    title = "`{endpoint}` is closed, so no allow may reach it"
    help = "narrow `on` to endpoints that are open, or take the `closed` away"

    endpoint: str


class NeedsOutsideRequire(Diagnostic, frozen=True, kw_only=True):
    code = "E507"
    title = "`needs` stands only on a require rule"
    help = "a deny refuses; what would lift the refusal belongs in `unless`"


class Misplaced(Diagnostic, frozen=True, kw_only=True):
    code = "E507"
    title = "`{how} {what}` means nothing on {rule}"
    help = "{remedy}"

    how: str
    what: str
    rule: str
    remedy: str


class UnknownLogWord(Diagnostic, frozen=True, kw_only=True):
    code = "E508"
    title = "`{word}` is no way to log"
    help = "write `log minimal`, `log normal` or `log full`, each with `strict` or without"

    word: str


class RepeatedClause(Diagnostic, frozen=True, kw_only=True):
    code = "E509"
    title = "`{clause}` stands twice"
    help = "{remedy}"

    clause: str
    remedy: str


class BadChallenge(Diagnostic, frozen=True, kw_only=True):
    code = "E510"
    title = "`{challenge}` cannot name a challenge"
    help = 'a challenge is sent to the client: visible ASCII characters, none of them a space, `"` or `\\`'

    challenge: str


class BadHeaderName(Diagnostic, frozen=True, kw_only=True):
    code = "E511"
    title = "`{name}` is no name of a header"
    help = "a name is made of letters, digits and any of !#$%&'*+-.^_`|~ (RFC 9110 5.1)"

    name: str


class ForbiddenHeader(Diagnostic, frozen=True, kw_only=True):
    code = "E512"
    title = "a rule may not touch the header `{name}`"
    label = "{why}"
    help = "use a header of your own"

    name: str
    why: str


class BadPointer(Diagnostic, frozen=True, kw_only=True):
    code = "E513"
    title = "`{pointer}` is no JSON pointer"
    help = "a pointer is `/` and a member's name for each step, `~` and `/` in a name written `~0` and `~1` (RFC 6901)"

    pointer: str


class BadChannel(Diagnostic, frozen=True, kw_only=True):
    code = "E514"
    title = "`{channel}` cannot name a channel for alerts"
    help = "write a short word: up to 64 letters, digits and any of `._-`, the first a letter or a digit"

    channel: str


class UnwritableHeader(ExpressionMistake, frozen=True, kw_only=True):
    code = "E515"
    title = "no header can hold this value"
    help = "visible ASCII characters, with spaces and tabs inside, at most {longest}"

    longest: int


class NoTokenToReplace(Diagnostic, frozen=True, kw_only=True):
    code = "E516"
    title = "nobody whom this rule is for has a token"
    help = "`issue token` replaces the caller's own; say `for any KIND` with a kind of token"


class NoProofClause(Diagnostic, frozen=True, kw_only=True):
    code = "E517"
    title = "a proof has no `{clause}`"
    help = "a proof says `for`, `on`, `when` and `unless`"

    clause: str


class TwoSpellings(Diagnostic, frozen=True, kw_only=True):
    code = "E519"
    title = "`{name}` is the header `{other}` to many servers"
    help = "spell a header in one way throughout the policy; servers that know no `_` in a header read `-`"

    name: str
    other: str


class BadStatus(Diagnostic, frozen=True, kw_only=True):
    code = "E521"
    title = "a refusal cannot be answered with {status}"
    help = "write 403, 404, 429, 451 or 503"

    status: int


class TooCostly(Diagnostic, frozen=True, kw_only=True):
    code = "E801"
    title = "one call of `{endpoint}` may have to look at {atoms} conditions, more than {most}"
    help = "tell rules apart by a constant (a role, a value, a network), or keep the data in a relation"

    endpoint: str
    atoms: int
    most: int


class TooManyTogether(Diagnostic, frozen=True, kw_only=True):
    code = "E802"
    title = "`{name}` and the rest are too much together: {why}"
    label = "{where}"
    help = "{remedy}"
    note = "what rules, endpoints and callers multiply to is limited, so that no policy takes long to check"

    name: str
    why: str
    where: str
    remedy: str


class NeverApplies(Diagnostic, frozen=True, kw_only=True):
    code = "W801"
    severity = "warning"
    title = "`{name}` can never apply"
    help = "correct what it says, or delete it; a rule that waits for its endpoints may stay"

    name: str


class UnreachableEndpoint(Diagnostic, frozen=True, kw_only=True):
    code = "W803"
    severity = "warning"
    title = "no allow can reach `{endpoint}`"
    label = "every call to it is refused"
    help = "write an allow for it, or `closed` where that is meant"

    endpoint: str


class AlwaysTrue(Diagnostic, frozen=True, kw_only=True):
    code = "W804"
    severity = "warning"
    title = "this condition is always true"
    help = "delete it, or correct what it compares"


class NeverExempts(Diagnostic, frozen=True, kw_only=True):
    """An `unless` whose condition is false whatever is asked: as a clause, it is always true."""

    code = "W804"
    severity = "warning"
    title = "this `unless` never keeps the rule from applying"
    label = "always false"
    help = "delete it, or correct what it compares"


class AlwaysFalse(Diagnostic, frozen=True, kw_only=True):
    code = "W805"
    severity = "warning"
    title = "this condition is always false"
    help = "correct what it compares"


class AlwaysExempts(Diagnostic, frozen=True, kw_only=True):
    """An `unless` whose condition is true whatever is asked: as a clause, it is always false."""

    code = "W805"
    severity = "warning"
    title = "this `unless` always keeps the rule from applying"
    label = "always true"
    help = "correct what it compares"


class Unused(Diagnostic, frozen=True, kw_only=True):
    code = "W806"
    severity = "warning"
    title = "the {what} `{name}` is not used"
    help = "delete it, or say where it matters"

    what: str
    name: str


class EndsSoon(Diagnostic, frozen=True, kw_only=True):
    code = "W807"
    severity = "warning"
    title = "`{name}` {ends}"
    help = "say a later date, or delete the rule"

    name: str
    ends: str


class OpenToAnyone(Diagnostic, frozen=True, kw_only=True):
    code = "W808"
    severity = "warning"
    title = "`{name}` lets anyone reach `{endpoint}`, whose sensitivity is `{sensitivity}`"
    help = "say whom the rule is for, or tag the endpoint `{lowest}`"

    name: str
    endpoint: str
    sensitivity: str
    lowest: str


class NoAudience(Diagnostic, frozen=True, kw_only=True):
    code = "W809"
    severity = "warning"
    title = "service `{name}` takes no tokens"
    help = "only callers without a token pass (workloads among them); name an audience where callers have tokens"

    name: str


class HopefulFallback(Diagnostic, frozen=True, kw_only=True):
    code = "W810"
    severity = "warning"
    title = "`{name}` takes the fallback of the signal `{signal}` for a reading"
    label = "so it may not refuse while the signal is not heard of"
    help = "declare the signal `else unknown`, if being refused is the lesser harm"

    name: str
    signal: str


class OldShadow(Diagnostic, frozen=True, kw_only=True):
    code = "W814"
    severity = "warning"
    title = "`{name}` has been a shadow for {days} days"
    help = "let it speak by taking `shadow` away, or delete it"

    name: str
    days: int


class ManyGuards(Diagnostic, frozen=True, kw_only=True):
    code = "W816"
    severity = "warning"
    title = "{count} rules of `{endpoint}` have nothing to be told apart by"
    label = "every call looks at all of them"
    help = "compare with a constant: a role, a value, a network, or look the caller up in a relation"

    endpoint: str
    count: int


class UnreachableService(Diagnostic, frozen=True, kw_only=True):
    code = "W815"
    severity = "warning"
    title = "service `{name}` has no {what}, so no call reaches it"
    help = "declare one by `{what}`"

    name: str
    what: str


class RequiresNothing(Diagnostic, frozen=True, kw_only=True):
    code = "W817"
    severity = "warning"
    title = "`{name}` requires nothing"
    help = "a require rule has `needs` or `must`"

    name: str


class FactorOutOfReach(Diagnostic, frozen=True, kw_only=True):
    code = "W811"
    severity = "warning"
    title = "{said}"
    help = "every such call is a step-up that cannot succeed: {remedy}"

    said: str
    remedy: str


class HeadComesToo(Diagnostic, frozen=True, kw_only=True):
    code = "W818"
    severity = "warning"
    title = "HEAD calls reach `{endpoint}` too"
    label = "says nothing of HEAD, which follows GET"
    help = 'write `request.method in ["GET", "HEAD"]`, or say it by `on`, where GET includes its HEAD'

    endpoint: str


class MethodNeverComes(Diagnostic, frozen=True, kw_only=True):
    code = "W819"
    severity = "warning"
    title = "no call that this rule is about has the method `{method}`"
    label = "so this always comes out the same"
    help = "methods are compared with their case; correct it, or widen `on`"

    method: str


class Observed(Diagnostic, frozen=True, kw_only=True):
    code = "W820"
    severity = "warning"
    title = "service `{name}` lets pass what the policy would refuse, until {until}"
    label = "refusals are recorded, not made"
    help = "take it away once what is recorded is what you mean to refuse"

    name: str
    until: str


class LooksLikeCapture(Diagnostic, frozen=True, kw_only=True):
    code = "W822"
    severity = "warning"
    title = "the segment `{segment}` is this very text, not a capture"
    help = "write `{{{name}}}` for a segment of any text; leave it where the path has this text"

    segment: str
    name: str


class LooksLikeRegex(Diagnostic, frozen=True, kw_only=True):
    code = "W823"
    severity = "warning"
    title = "`{pattern}` asks for a text with `{character}` in it"
    label = "this is no regular expression"
    help = "delete it: where a pattern has no `*`, it is the beginning or the end of the text"

    pattern: str
    character: str


class LooksPersonal(Diagnostic, frozen=True, kw_only=True):
    code = "W824"
    severity = "warning"
    title = "the {word} `{name}` looks personal, and is not `private`"
    label = "its values may be shown in traces, and passed on in tokens that are made here"
    help = "write `{written}`: then no command shows its value, and no token that is made here carries it"

    word: str
    name: str
    written: str
