"""Steps 3, 4 and 6 of a decision: what no rule can switch off.

In comes an admitted call, out goes the reason of a refusal and what it is about, or None.

    audience.none_taken    the service takes no tokens, and one was presented
    audience.missing       the token names no audience
    audience.mismatch      none of its audiences is the service's
    audience.several       it names another declared service's audience as well, and its issuer may not do that
    audience.subject       a subject is asserted where the service or the endpoint takes none of its kind
    exclusive.roles        the roles held exclude each other; `subject` names the two
    exclusive.unknown      the claim that gives roles is not at hand; `subject` is its name
    scope.missing          the token lacks scopes of the endpoint; `subject` lists them

Source: language.md 5.2, points B and D; contracts.md "Which service…".

Decision (2026-11-21): an audience that the called service shares with another does not name that other one.
Decision (2026-11-21): roles that a relation gives are not looked at in step 4: they are held for one resource, and no
list of them is at hand. A caller whose optional role claim is absent holds no role.
Decision (2026-11-21): while a service is observed, a call to a host that is not the service's does not pass: the policy
never saw the back end that the host chooses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from policy_lang.ir import Action, Attr, Service, Value
from policy_lang.meaning.admission import Admission, Call, Refused
from policy_lang.meaning.schema import AUDIENCE, conform_claim, root_of
from policy_lang.verdict import Caller, Question


class Refusal(Struct, frozen=True):
    """`by` is a word of the closed list."""

    by: str
    reason: str
    subject: str = ""


def audience_refusal(call: Call, services: Iterable[Service], *, multi_audience: bool) -> Refusal | None:
    """Step 3; nobody has no token to ask."""
    if call.kind is None:
        return None
    if call.kind.form == "subject":
        taken = isinstance(call.endpoint.route, Action) and call.kind.id in call.service.accepts
        return None if taken else Refusal("audience", "audience.subject")
    reason = _audience(call.service, strings(call, "aud"), services, multi_audience=multi_audience)
    return None if reason is None else Refusal("audience", reason)


def _audience(
    service: Service, named: frozenset[str], services: Iterable[Service], *, multi_audience: bool
) -> str | None:
    """Why a token that names these audiences is not for the service."""
    if not service.audiences:
        return "audience.none_taken"
    if not named:
        return "audience.missing"
    if named.isdisjoint(service.audiences):
        return "audience.mismatch"
    foreign = named.difference(service.audiences)
    several = bool(foreign) and any(not foreign.isdisjoint(each.audiences) for each in services)
    return "audience.several" if several and not multi_audience else None


def observed_until(admission: Admission, question: Question, call: Call | Refused) -> int | None:
    """Until when what policy refuses passes for this question (language.md, point J); None where nothing does.

    SECURITY: routes and schema are judged before the audience, and what they refuse passes only where the audience
    would not refuse it, else a stolen token would be let in by a query that does not fit.
    """
    service = admission.router.services.get(question.service)
    if service is None or service.observe_until_ms is None or question.now_ms >= service.observe_until_ms:
        return None
    passes = isinstance(call, Call) or (call.reason != "route.host" and _is_meant(admission, service, question.caller))
    return service.observe_until_ms if passes else None


def _is_meant(admission: Admission, service: Service, caller: Caller) -> bool:
    """Whether step 3 lets a caller pass whose call was not admitted: nobody, or a token for the service."""
    if caller.kind is None:
        return True
    kind = admission.kinds.get(caller.kind)
    if kind is None or kind.form == "subject" or "aud" in caller.unread:
        return False
    named = conform_claim(AUDIENCE, caller.claims)
    if not isinstance(named, frozenset):
        return False
    services, several = admission.program.services, caller.multi_audience
    return _audience(service, _members(named), services, multi_audience=several) is None


def exclusive_refusal(call: Call) -> Refusal | None:
    """Step 4."""
    kind = call.kind
    if kind is None or not kind.exclusive or kind.role_claim is None:
        return None
    claim = Attr(root_of(kind), kind.role_claim)
    if claim in call.environment.unread:
        return Refusal("exclusive", "exclusive.unknown", kind.role_claim)
    held = _members(call.environment.value(claim))
    for pair in kind.exclusive:
        if not held.isdisjoint(pair.left_values) and not held.isdisjoint(pair.right_values):
            return Refusal("exclusive", "exclusive.roles", f"{pair.left} {pair.right}")
    return None


def scope_refusal(call: Call) -> Refusal | None:
    """Step 6; who has no token has no scope."""
    missing = sorted(set(call.endpoint.scopes) - strings(call, "scope"))
    return Refusal("scope", "scope.missing", " ".join(missing)) if missing else None


def strings(call: Call, claim: str) -> frozenset[str]:
    """An implicit set of the token; empty where it is not at hand or there is no token."""
    return _members(call.environment.token.get(claim))


def _members(value: Value | None) -> frozenset[str]:
    """The texts of a set, or of one text."""
    if isinstance(value, frozenset) and not [each for each in value if type(each) is not str]:
        return cast("frozenset[str]", value)
    texts = value if isinstance(value, frozenset) else {value}
    return frozenset(each for each in texts if isinstance(each, str))
