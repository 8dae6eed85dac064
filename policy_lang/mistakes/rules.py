"""Mistakes in rules and their reach (E110, E4xx, E5xx), and what is legal but hardly meant (W8xx)."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedRuleName(Diagnostic):
    code = "E110"
    title = "a rule cannot be named `{name}`"
    label = "decisions that no rule made are attributed to this word"
    help = "choose another name"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoversNothing(Diagnostic):
    code = "E404"
    title = "the pattern covers no endpoint of `{service}`"
    help = "a rule speaks of declared endpoints; `**` stands for any number of segments"

    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutsEndpoint(Diagnostic):
    code = "E405"
    title = "the pattern cuts through the endpoint `{endpoint}`"
    label = "holds only part of {route}"
    help = "declare an endpoint for that part, or compare in a `when`"

    endpoint: str
    route: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmbiguousEndpoints(Diagnostic):
    code = "E410"
    title = "`{one}` and `{other}` share paths, and neither is the more specific"
    help = "narrow one of them: literal, typed capture, capture, `*`, `**`, in this order at every segment"

    one: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFor(Diagnostic):
    code = "E501"
    title = "an allow says whom it is for"
    help = "write `for any KIND`, or `for anyone`"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBecause(Diagnostic):
    code = "E502"
    title = "`{name}` gives no reason"
    help = 'write `because "…"`, the sentence an auditor reads'

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyOnAllow(Diagnostic):
    code = "E503"
    title = "an allow cannot carry `{clause}`"
    help = "move it to a require rule that says when it applies"

    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOn(Diagnostic):
    code = "E504"
    title = "`{name}` does not say on what"
    help = "write `on any endpoint`, `on SERVICE`, `on SERVICE.ENDPOINT` or `on SERVICE METHOD /path`"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MayNotGrant(Diagnostic):
    code = "E506"
    title = "module `{module}` may not grant on service `{service}`"
    help = "only the module that declares a service grants on it; deny and require are open to all"

    module: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsOutsideRequire(Diagnostic):
    code = "E507"
    title = "`needs` stands only on a require rule"
    help = "a deny refuses; what would lift the refusal belongs in `unless`"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownLogWord(Diagnostic):
    code = "E508"
    title = "`{word}` is no way to log"
    help = "write `log minimal`, `log normal` or `log full`, each with `strict` or without"

    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedClause(Diagnostic):
    code = "E509"
    title = "`{clause}` stands twice in one rule"
    help = "join the two with a comma, or make two rules"

    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadChallenge(Diagnostic):
    code = "E510"
    title = "`{challenge}` cannot name a challenge"
    help = 'a challenge is sent to the client: visible ASCII characters, none of them a space, `"` or `\\`'

    challenge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverApplies(Diagnostic):
    code = "W801"
    severity = "warning"
    title = "`{name}` can never apply"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableEndpoint(Diagnostic):
    code = "W803"
    severity = "warning"
    title = "no allow can reach `{endpoint}`"
    label = "every call to it is refused"

    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysTrue(Diagnostic):
    code = "W804"
    severity = "warning"
    title = "this condition is always true"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysFalse(Diagnostic):
    code = "W805"
    severity = "warning"
    title = "this condition is always false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused(Diagnostic):
    code = "W806"
    severity = "warning"
    title = "the {what} `{name}` is not used"

    what: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAudience(Diagnostic):
    code = "W809"
    severity = "warning"
    title = "service `{name}` takes no tokens"
    help = "with `audience none` only anonymous calls can pass"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableService(Diagnostic):
    code = "W815"
    severity = "warning"
    title = "service `{name}` has no {what}, so no call reaches it"

    name: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiresNothing(Diagnostic):
    code = "W817"
    severity = "warning"
    title = "`{name}` requires nothing"
    help = "a require rule has `needs` or `must`"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorOutOfReach(Diagnostic):
    code = "W811"
    severity = "warning"
    title = "no caller of this rule can have the factor `{name}`"
    help = "the need is never met, so every call is a step-up that cannot succeed"

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadComesToo(Diagnostic):
    code = "W818"
    severity = "warning"
    title = "HEAD calls reach `{endpoint}` too"
    label = "says nothing of HEAD, which follows GET"
    help = 'write `request.method in ["GET", "HEAD"]`, or say it by `on`, where GET includes its HEAD'

    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodNeverComes(Diagnostic):
    code = "W819"
    severity = "warning"
    title = "no call that this rule is about has the method `{method}`"
    label = "so this always comes out the same"
    help = "methods are compared with their case; correct it, or widen `on`"

    method: str
