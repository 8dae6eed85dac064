"""From a record and its inputs to the question that was asked; and whether the answer is the one on record."""

from __future__ import annotations

from collections.abc import Mapping

from pdp.audit.standalone.decision import Verdict, decide, refused
from pdp.audit.standalone.members import whole_members
from pdp.audit.standalone.policy import Policy
from pdp.audit.standalone.reading import Json, ReceiptError, UndecidedError, Value, items, mapping, shown, texts
from pdp.audit.standalone.request import read_target
from pdp.audit.standalone.routing import Act, Http, Refusal
from pdp.audit.standalone.typed_inputs import Question, admitted


def derived(policy: Policy, leaf: Mapping[str, Json], inputs: Mapping[str, Json]) -> Verdict:
    """The answer to the call of a record, derived again. Errors: UndecidedError where its inputs do not suffice."""
    if leaf.get("rc") in {"internal.disagreement", "internal.distrusted"}:
        raise UndecidedError("the call was refused since two evaluators differed: there is no answer of the policy")
    if leaf.get("by") in (["token"], ["internal"]):
        raise UndecidedError("a credential or a fault decided, and neither is part of a record")
    cut = [each for each in texts(inputs.get("cut", [])) if each not in {"rq", "who"}]
    if cut:
        raise UndecidedError(f"of the call these are in the record in part or not at all: {', '.join(map(shown, cut))}")
    inputs = whole_members(leaf, inputs)
    if "act" in inputs:
        service, action, resource, id_ = texts(inputs["act"])
        call: Http | Act = Act(action, resource, id_, mapping(inputs, "properties"))
        return answered(policy, question(inputs, service, call), inputs)
    if {"action", "as"} & inputs.keys() and "at" not in inputs:
        raise UndecidedError("what decided lies outside what the record holds of an action and its subject")
    if not {"path", "host", "method"} <= inputs.keys():
        return Verdict("deny", ["path"], "request.missing")
    target = read_target(str(inputs["path"]))
    if target is None:
        return Verdict("deny", ["path"], "path.")
    if "at" not in inputs:
        raise UndecidedError("what decided lies before the policy: the host, the method, a header or an address")
    service, host = texts(inputs["at"])
    headers = {name: texts(values) for name, values in mapping(inputs, "headers").items()}
    return answered(policy, question(inputs, service, Http(str(inputs["method"]), target, host, headers)), inputs)


def question(inputs: Mapping[str, Json], service: str, call: Http | Act) -> Question:
    facts: dict[str, frozenset[tuple[Value, ...]]] = {}
    for each in items(inputs.get("facts", [])):
        relation, arguments, found = items(each)
        if found is not None:
            row = tuple(each for each in items(arguments) if isinstance(each, bool | int | str))
            facts[str(relation)] = facts.get(str(relation), frozenset()) | ({row} if found is True else set())
    kind, now_ms = inputs.get("kind"), inputs.get("now")
    if not isinstance(kind, str | None) or not isinstance(now_ms, int):
        raise ReceiptError("the inputs state no kind of caller and no instant")
    return Question(
        service,
        call,
        kind,
        mapping(inputs, "claims"),
        inputs["multi"] is True,
        frozenset(texts(inputs["unread"])),
        now_ms,
        facts,
        mapping(inputs, "origin"),
        mapping(inputs, "signals"),
        frozenset(texts(inputs["can"])),
    )


def answered(policy: Policy, asked_: Question, inputs: Mapping[str, Json]) -> Verdict:
    """The answer; a subject of no kind of the policy is refused once its call has an endpoint."""
    subjects = [each.name for each in policy.kinds.values() if each.form == "subject"]
    if "as" not in inputs or inputs["as"] in subjects:
        return decide(policy, asked_)
    endpoint, call = admitted(policy, asked_)
    reached = Verdict("deny", ["schema"], "schema.subject", endpoint=None if endpoint is None else endpoint.id)
    return refused(reached, call) if isinstance(call, Refusal) and call.by != "schema" else reached


def differences(leaf: Mapping[str, Json], inputs: Mapping[str, Json], verdict: Verdict) -> list[str]:
    """Where the record states another answer than was derived."""
    seen, shadow = verdict.observed, [*verdict.shadow]
    stated_shadow = texts(leaf.get("sh", []))
    if "sh" in texts(leaf.get("ct", [])):
        shadow = shadow[: len(stated_shadow)]
    pairs: dict[str, tuple[object, object]] = {
        "decision": (leaf.get("d"), verdict.outcome),
        "primary rule": (texts(leaf.get("by"))[:1], [*verdict.by[:1]]),
        "reason": (leaf.get("rc"), verdict.reason),
        "endpoint": (leaf.get("ep"), verdict.endpoint),
        "challenges": (leaf.get("ch", []), [*verdict.challenges]),
        "log level": (leaf.get("ll", "normal"), verdict.log),
        "status": (leaf.get("st"), verdict.status),
        "shadow rules": ([*stated_shadow], [*shadow]),
        "obligations": (leaf.get("ob", []), [*verdict.duties.words()]),
        "advice": (leaf.get("ad", []), [*verdict.advice.words()]),
        "alerts": (leaf.get("al", []), sorted({*verdict.duties.alerts, *verdict.advice.alerts})),
        "headers": (mapping(inputs, "sent"), {**verdict.advice.headers, **verdict.duties.headers}),
    }
    if verdict.reason == "path." and str(leaf.get("rc")).startswith("path."):
        del pairs["reason"]
    was = leaf.get("os")
    stated = [was.get("d"), texts(was.get("by"))[:1], was.get("rc")] if isinstance(was, dict) else None
    pairs["observed refusal"] = (stated, None if seen is None else [seen.outcome, [*seen.by[:1]], seen.reason])
    return [
        f"{name}: {shown(one)} in the record, {shown(two)} derived" for name, (one, two) in pairs.items() if one != two
    ]
