"""From a question to the answer of the policy: baselines, denies, scopes, allows, requires, obligations.

The rules are those of policy_lang/meaning/reference.py, baselines.py and obligations.py. What is unknown never helps
to allow. Traces, and until when the answer holds, are not worked out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pdp.audit.standalone.guards import all_of, guard, operand
from pdp.audit.standalone.policy import AUD, SCOPE, Policy, Rule, Service, whole_number
from pdp.audit.standalone.reading import Json, ReceiptError, Truth, Value, items, texts
from pdp.audit.standalone.routing import Refusal
from pdp.audit.standalone.typed_inputs import Call, Question, admitted, conformed


class Duties(NamedTuple):
    """What a gateway has to do, or may do."""

    headers: Mapping[str, str] = {}
    removed: Sequence[str] = ()
    redactions: Sequence[str] = ()
    scopes: Sequence[str] | None = None
    alerts: Sequence[str] = ()

    def words(self) -> list[str]:
        """As a record states them."""
        words = [f"set_header {name}" for name in sorted(self.headers)]
        words += [f"remove_header {name}" for name in self.removed] + [f"redact {each}" for each in self.redactions]
        return words + ([] if self.scopes is None else [" ".join(("issue_token", *self.scopes))])


class Verdict(NamedTuple):
    outcome: str
    by: Sequence[str]
    reason: str
    subject: str = ""
    endpoint: str | None = None
    challenges: Sequence[str] = ()
    log: str = "normal"
    duties: Duties = Duties()
    advice: Duties = Duties()
    status: int | None = None
    shadow: Sequence[str] = ()
    observed: Verdict | None = None


def refused(reached: Verdict, refusal: Refusal) -> Verdict:
    return reached._replace(by=[refusal.by], reason=refusal.reason, subject=refusal.subject)


def decide(policy: Policy, question: Question) -> Verdict:
    """The answer that the policy gives to a question."""
    endpoint, call = admitted(policy, question)
    reached = Verdict("deny", (), "", endpoint=None if endpoint is None else endpoint.id)
    verdict = refused(reached, call) if isinstance(call, Refusal) else by_baselines(call, reached)
    service = policy.services.get(question.service)
    until_ms = None if service is None else service.observe_until_ms
    if service is None or until_ms is None or question.now_ms >= until_ms or verdict.outcome == "allow":
        return verdict
    if isinstance(call, Refusal) and (call.reason == "route.host" or not is_meant(policy, service, question)):
        return verdict
    if verdict.reason != "rule" and verdict.by[0] not in {"route", "schema", "exclusive", "scope", "default"}:
        return verdict
    level = "normal" if verdict.log == "minimal" else verdict.log
    passed = Verdict("allow", ["observe"], "observe", "", verdict.endpoint, log=level, shadow=verdict.shadow)
    return passed._replace(observed=verdict)


def by_baselines(call: Call, reached: Verdict) -> Verdict:
    """What no rule can switch off, then the rules."""
    kind, held = call.kind, strings(call.inputs.get(("token", AUD)))
    if kind is not None and kind.form == "subject":
        if call.endpoint.form != "action" or kind.id not in call.service.accepts:
            return refused(reached, Refusal("audience", "audience.subject"))
    elif kind is not None and (reason := misaddressed(call.policy, call.service, held, call.question.multi_audience)):
        return refused(reached, Refusal("audience", reason))
    if kind is not None and kind.exclusive and isinstance(kind.role_claim, str):
        if (kind.form, kind.role_claim) in call.unread:
            return refused(reached, Refusal("exclusive", "exclusive.unknown", kind.role_claim))
        roles = strings(call.inputs.get((kind.form, kind.role_claim)))
        for left, left_values, right, right_values in map(items, kind.exclusive):
            if roles & {*texts(left_values)} and roles & {*texts(right_values)}:
                return refused(reached, Refusal("exclusive", "exclusive.roles", f"{left} {right}"))
    return by_rules(call, reached)


def strings(value: Value | None) -> set[str]:
    return {each for each in (value if isinstance(value, frozenset) else [value]) if isinstance(each, str)}


def misaddressed(policy: Policy, service: Service, named: set[str], multi_audience: bool) -> str | None:
    """Why a token for these audiences is not for the service."""
    if not service.audiences:
        return "audience.none_taken"
    if not named & {*service.audiences}:
        return "audience.mismatch" if named else "audience.missing"
    foreign = named - {*service.audiences}
    several = any(foreign & {*each.audiences} for each in policy.services.values())
    return "audience.several" if several and not multi_audience else None


def is_meant(policy: Policy, service: Service, question: Question) -> bool:
    """Whether the audience would let pass a caller whose call has no endpoint or does not conform."""
    kind = policy.kinds.get(question.kind or "")
    if kind is None or kind.form == "subject" or AUD in question.unread:
        return question.kind is None
    aud = conformed([each for each in kind.fields if each.implicit and each.name == AUD], question.claims, "claim")
    if isinstance(aud, Refusal):
        return False
    return misaddressed(policy, service, strings(aud[AUD]), question.multi_audience) is None


def applying(call: Call, rules: Iterable[Rule]) -> list[Rule]:
    """An allow applies where all its guards are true, a deny or a require where none is false."""
    found = []
    for rule in rules:
        worth: Truth = True
        for place in rule.body.guards:
            worth = all_of([worth, guard(call, place)])
            if worth is False:
                break
        found += [rule] if worth is True or (worth is None and rule.effect != "allow") else []
    return found


def by_rules(call: Call, reached: Verdict) -> Verdict:
    """Denies; the scopes of the endpoint; allows; requires; what they ask for."""
    cell, able = call.cell, call.question.able
    reached = reached._replace(shadow=sorted(rule.id for rule in applying(call, cell.shadow)))
    if denies := applying(call, cell.deny):
        musts, shoulds = asked(denies)
        alerts = {str(each[1]) for each in musts if each[0] == "alert"}
        others = {str(each[1]) for each in shoulds if each[0] == "alert"} - alerts
        statuses = {each[1] for each in musts if each[0] == "answer"}
        status = next((each for each in (404, 429, 451, 503, 403) if each in statuses), None)
        told = reached._replace(by=[rule.id for rule in denies], reason="rule", log=level(musts), status=status)
        return told._replace(duties=Duties(alerts=sorted(alerts)), advice=Duties(alerts=sorted(others)))
    if missing := sorted({*call.endpoint.scopes} - strings(call.inputs.get(("token", SCOPE)))):
        return refused(reached, Refusal("scope", "scope.missing", " ".join(missing)))
    if not (allows := applying(call, cell.allow)):
        return refused(reached, Refusal("default", "default.no_rule" if cell.allow else "default.no_cell_rule"))
    requires = applying(call, cell.require)
    musts, shoulds = asked(requires)
    unmet = [
        (each, need) for each in requires for need in each.body.needs if guard(call, whole_number(need[1])) is not True
    ]
    if unmet and able is not None and "step_up" not in able:
        return refused(reached, Refusal("capability", "capability.step_up"))
    if unmet:
        by = [*dict.fromkeys(rule.id for rule, _ in unmet)]
        names = [str(name) for name, _ in dict.fromkeys((need[2], str(need[3])) for _, need in unmet)]
        return reached._replace(outcome="step_up", by=by, reason="rule", challenges=names, log=level(musts))
    duties = merged(call, musts)
    if isinstance(duties, Refusal):
        return refused(reached, duties)
    with_token = call.kind is not None and call.kind.form == "token"
    kinds = {each[0] for each in musts}
    for kind, capability in (
        ("set", "set_header"),
        ("remove", "remove_header"),
        ("redact", "redact"),
        ("issue", "issue_token"),
    ):
        lacking = (able is not None and capability not in able) or (kind == "issue" and not with_token)
        if kind in kinds and lacking:
            return refused(reached, Refusal("capability", f"capability.{capability}"))
    advice = advised(call, [*asked(allows)[1], *shoulds], duties)
    allowed = reached._replace(outcome="allow", by=[rule.id for rule in allows], reason="rule", log=level(musts))
    return allowed._replace(duties=duties, advice=advice)


def asked(rules: Iterable[Rule]) -> tuple[list[list[Json]], list[list[Json]]]:
    """What rules must and what they should have done."""
    bodies = [rule.body for rule in rules]
    return [each for body in bodies for each in body.must], [each for body in bodies for each in body.should]


def level(musts: Iterable[list[Json]]) -> str:
    levels = ("minimal", "normal", "full")
    stated = [str(each[1]) for each in musts if each[0] == "log"]
    return max(stated, key=levels.index) if stated else "normal"


def headers_asked(call: Call, wanted: Iterable[list[Json]]) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for each in wanted:
        if each[0] == "set":
            found.setdefault(str(each[1]), set()).add(header_text(call, whole_number(each[2])))
    return found


def merged(call: Call, musts: Sequence[list[Json]]) -> Duties | Refusal:
    """What has to be done, all together, or why that cannot be."""
    headers = headers_asked(call, musts)
    for name, values in sorted(headers.items()):
        if None in values or len(values) > 1:
            return Refusal("conflict", "conflict.value" if None in values else "conflict.header", name)
    sets = [{*texts(each[1])} if len(each) > 1 else {*call.endpoint.scopes} for each in musts if each[0] == "issue"]
    held = strings(call.inputs.get(("token", SCOPE))) if call.kind is not None and call.kind.form == "token" else None
    scopes = set.intersection(*sets, *([] if held is None else [held])) if sets else None
    if scopes is not None and not scopes and any(sets):
        return Refusal("conflict", "conflict.scope", " ".join(sorted(set[str]().union(*sets))))
    return Duties(
        {name: value for name, values in headers.items() for value in values if value is not None},
        sorted({str(each[1]) for each in musts if each[0] == "remove"} - headers.keys()),
        sorted({str(pointer) for each in musts if each[0] == "redact" for pointer in each[1:]}),
        None if scopes is None else sorted(scopes),
        sorted({str(each[1]) for each in musts if each[0] == "alert"}),
    )


def advised(call: Call, shoulds: Sequence[list[Json]], duties: Duties) -> Duties:
    """What may be done besides; what cannot be sent or contradicts itself or a duty is left out."""
    headers, done = headers_asked(call, shoulds), {*duties.headers, *duties.removed}
    plain = merged(call, [each for each in shoulds if each[0] != "set"])
    if isinstance(plain, Refusal):
        raise ReceiptError("the compiled policy advises what only a duty can be")
    single = {name: values for name, values in headers.items() if len(values) == 1 and name not in done}
    return Duties(
        {name: value for name, values in single.items() for value in values if value is not None},
        [name for name in plain.removed if name not in headers and name not in done],
        [each for each in plain.redactions if each not in duties.redactions],
        None,
        [each for each in plain.alerts if each not in duties.alerts],
    )


def header_text(call: Call, place: int) -> str | None:
    """A value as a header holds it; None where it cannot be sent."""
    value = operand(call, place)
    match value:
        case bool():
            return "true" if value else "false"
        case int() if is_instant(call, place):
            try:
                at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
            except OverflowError:
                return None
            return at.isoformat(timespec="milliseconds" if value % 1000 else "seconds").replace("+00:00", "Z")
        case int():
            return str(value)
        case str() if len(value) <= 4096 and re.fullmatch(r"(?:[!-~](?:[\t -~]*[!-~])?)?", value):
            return value
        case _:
            return None


def is_instant(call: Call, place: int) -> bool:
    """Whether an operand is a time and no other integer."""
    match call.policy.operands[place]:
        case ["now"]:
            return True
        case ["shift", int() as left, int(), int() as right]:
            return is_instant(call, left) and not is_instant(call, right)
        case ["attr", "signal", str() as name]:
            return call.policy.signals.get(name) == ["time"]
        case ["attr", str() as root, str() as name]:
            declared = {
                "query": call.endpoint.query,
                "header": call.endpoint.headers,
                "resource": call.endpoint.properties,
            }
            own = call.kind.fields if call.kind is not None and root == call.kind.form else declared.get(root, [])
            return any(each.name == name and each.type == ["time"] for each in own)
        case _:
            return False
