"""AuthZEN: the bytes of a request become evaluations, an evaluation an `Inquiry`, a `Decision` the JSON of an answer.

All is pure. Reading accepts I-JSON alone and believes nothing: what is not of the form of the standard is `Malformed`,
with a message that says what to mend and repeats nothing of what was sent. Members that the standard does not know are
ignored wherever they stand. `write` is total.
INVARIANT: `"decision": true` is written for an allow with a record, and for nothing else.
INVARIANT: an answer names no rule and no reason; one that has nothing to add is `{"decision":true}` or
`{"decision":false}`, to the character.
Sources: OpenID AuthZEN Authorization API 1.0; Obligations Profile, draft 1 of 2026-07-03.
Design: gateways.md 2; contracts.md "Who decided", "Which service, which gateway, which caller", "Headers at Envoy".

What an answer adds, in `context`:

| member | says |
|---|---|
| `acr_values`, `max_age` | what would lift a refusal: all it takes, separated by spaces; the smallest age, in seconds |
| `obligations` | what must be done, each `{id, type, properties}`; of such a refusal a `step-up` for each `acr_value` |
| `advice` | in the same form, what should be done |
| `error` | `{status, message}`, of an item of a batch that was not decided |
| `decision_id` | the id of the record, in a batch whose `options` say `"portcullis.decision_ids": true` |

Our duties are obligations of type `custom`, told apart by `properties.action`:

| `action` | properties beside it |
|---|---|
| `portcullis.set_header` | `header`, `value` |
| `portcullis.remove_header` | `header` |
| `portcullis.redact` | `pointer` (RFC 6901) |
| `portcullis.answer` | `status`: what to answer the refused request with |

A caller says in `context.supported_obligations` which it carries out: `step-up`, and these by their action. An allow
that needs another one is refused, and so is every step-up of a caller that cannot ask for one.

Decision: 2026-11-21. A member of an item takes the place of the whole default, also where it lacks what the default
has: two halves of two resources are no resource anybody named. A default is looked at only where an item uses it, but
it must be an object.
Decision: 2026-11-21. An entity with a string that is longer than `LONGEST_TEXT` is malformed: as a default it would be
looked at once an item, and no policy tells such strings apart. A default is searched for them once.
Decision: 2026-11-21. `action.properties` are not read: an action of a policy has none.
Decision: 2026-11-21. The profile asks for registered types or `custom`: ours are `custom`, and callers list them by
their action all the same, since `custom` alone says nothing: who carries out something of its own does not therefore
redact. The metadata names both.
Decision: 2026-11-21. Each challenge is an obligation of its own with the profile's `acr_value`, since all of them are
to be met; `max_age` beside it is ours. Whoever knows the standard alone finds all of them in `acr_values`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, cast

from msgspec import Struct

from pdp.answers import DECISION_HEADER, check_code, http_answer, visible
from pdp.gateways import Gateway
from pdp.identity.strict import JsonRefusedError
from pdp.model import Asserted, Capability, Challenge, Decision, Inquiry, Json
from pdp.transports.limits import LONGEST_TEXT
from pdp.transports.strict_json import read_object
from policy_lang.verdict import Duties, Header

EVALUATION_PATH = "/access/v1/evaluation"
EVALUATIONS_PATH = "/access/v1/evaluations"
METADATA_PATH = "/.well-known/authzen-configuration"

MOST_DEPTH = 32
"""Nesting of a request; the request itself is 1."""

MOST_ITEMS = 100
"""Evaluations of one batch."""

SUPPORTED = "supported_obligations"
DECISION_IDS = "portcullis.decision_ids"
ABLE: Mapping[str, Capability] = MappingProxyType(
    {
        "step-up": "step_up",
        "portcullis.answer": "answer",
        "portcullis.redact": "redact",
        "portcullis.remove_header": "remove_header",
        "portcullis.set_header": "set_header",
    }
)
"""What a caller may list, and what it can do then. No token is issued: subjects are asserted here, and have none that
another could take the place of."""

UNAVAILABLE = "no decision can be given now"

Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
SEMANTICS: Mapping[str, Semantic] = MappingProxyType(
    {
        "execute_all": "execute_all",
        "deny_on_first_deny": "deny_on_first_deny",
        "permit_on_first_permit": "permit_on_first_permit",
    }
)

_ENTITIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}
)
"""The entities of an evaluation, and what each must have."""


class Malformed(Struct, frozen=True):
    """What is not of the form of the standard; `message` is for who asked."""

    message: str


class Evaluation(Struct, frozen=True):
    """One question. `supported` are the obligations that the caller says it carries out."""

    subject: Asserted
    action: str
    resource: Mapping[str, Json]
    context: Mapping[str, Json]
    supported: tuple[str, ...] = ()


class Batch(Struct, frozen=True):
    """Several questions, at least one; one that is malformed is refused by itself."""

    items: tuple[Evaluation | Malformed, ...]
    semantic: Semantic
    decision_ids: bool = False


class _MalformedError(Exception):
    """`args[0]` is the message."""


def is_json(content_types: Sequence[str]) -> bool:
    """Whether these values of `content-type` say JSON: one value, and no other character set than UTF-8."""
    if len(content_types) != 1:
        return False
    media_type, *parameters = (part.strip().lower() for part in content_types[0].split(";"))
    charsets = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")]
    return media_type == "application/json" and set(charsets) <= {"utf-8"}


def read_evaluation(data: bytes) -> Evaluation | Malformed:
    """What the body of an Access Evaluation request asks."""
    try:
        return _single(_object(data))
    except _MalformedError as error:
        return Malformed(error.args[0])


def read_evaluations(data: bytes, most_items: int = MOST_ITEMS) -> Evaluation | Batch | Malformed:
    """What the body of an Access Evaluations request asks; without items it is a single evaluation."""
    try:
        form = _object(data)
        items = form.get("evaluations", [])
        if not isinstance(items, list):
            return Malformed("`evaluations` must be an array")
        if len(items) > most_items:
            return Malformed(f"`evaluations` has more than {most_items} items: ask in several requests")
        return _batch(form, items) if items else _single(form)
    except _MalformedError as error:
        return Malformed(error.args[0])


def inquiry_of(evaluation: Evaluation, gateway: Gateway, request_id: str | None) -> Inquiry:
    """The question, asked by `gateway`, which may say who the subject is. Nothing in `context` is believed but the
    readings of a gateway whose readings are.
    """
    return Inquiry(
        service=None,
        method=None,
        path=None,
        host=None,
        headers=(),
        gateway=gateway.name,
        services=gateway.services,
        identity=gateway.identity,
        capabilities=gateway.listed(ABLE[word] for word in evaluation.supported if word in ABLE),
        asserted=evaluation.subject,
        signals={name: value for name, value in evaluation.context.items() if name != SUPPORTED}
        if gateway.signals
        else {},
        action=evaluation.action,
        resource=evaluation.resource,
        request_id=request_id,
    )


def _object(data: bytes) -> Mapping[str, Json]:
    """The JSON object that `data` holds. Errors: _MalformedError."""
    if not data:
        raise _MalformedError("the body is empty: send a JSON object")
    try:
        return read_object(data, MOST_DEPTH)
    except JsonRefusedError as error:
        raise _MalformedError(f"the body is no I-JSON object: {error}") from None


def _batch(form: Mapping[str, Json], items: Sequence[Json]) -> Batch:
    defaults: dict[str, Json] = {
        name: dict(_member(form, name, "")) for name in (*_ENTITIES, "context") if name in form
    }
    options = _member(form, "options", "") if "options" in form else {}
    semantic = options.get("evaluations_semantic", "execute_all")
    if not isinstance(semantic, str) or semantic not in SEMANTICS:
        raise _MalformedError(f"`options.evaluations_semantic` must be one of {', '.join(SEMANTICS)}")
    decision_ids = options.get(DECISION_IDS, False)
    if not isinstance(decision_ids, bool):
        raise _MalformedError(f"`options[{DECISION_IDS}]` must be true or false")
    long = frozenset(name for name in _ENTITIES if _is_long(name, defaults.get(name)))
    return Batch(tuple(_item(each, defaults, long) for each in items), SEMANTICS[semantic], decision_ids)


def _item(form: Json, defaults: Mapping[str, Json], long: frozenset[str]) -> Evaluation | Malformed:
    """One item. `long` are the defaults with a string that is too long."""
    if not isinstance(form, dict):
        return Malformed("an item of `evaluations` must be an object")
    try:
        evaluation = _evaluation({**defaults, **form})
        for name in _ENTITIES:
            _check_length(name, long=_is_long(name, form[name]) if name in form else name in long)
    except _MalformedError as error:
        return Malformed(error.args[0])
    return evaluation


def _single(form: Mapping[str, Json]) -> Evaluation:
    evaluation = _evaluation(form)
    for name in _ENTITIES:
        _check_length(name, long=_is_long(name, form[name]))
    return evaluation


def _check_length(name: str, *, long: bool) -> None:
    if long:
        raise _MalformedError(f"`{name}` has a string of more than {LONGEST_TEXT} characters")


def _is_long(name: str, entity: Json) -> bool:
    """Whether a string of what is read of an entity is too long."""
    read = (*_ENTITIES[name], "properties") if name != "action" else _ENTITIES[name]
    return isinstance(entity, dict) and any(_has_long_text(entity.get(key)) for key in read)


def _has_long_text(value: Json) -> bool:
    """Recursion ends because the depth was checked."""
    match value:
        case str():
            return len(value) > LONGEST_TEXT
        case list():
            return any(_has_long_text(each) for each in value)
        case dict():
            return any(_has_long_text(each) for each in value.values())
        case _:
            return False


def _evaluation(form: Mapping[str, Json]) -> Evaluation:
    entities = {name: _entity(form, name) for name in _ENTITIES}
    context = _member(form, "context", "") if "context" in form else {}
    supported = context.get(SUPPORTED, [])
    if not isinstance(supported, list) or not all(isinstance(each, str) for each in supported):
        raise _MalformedError(f"`context.{SUPPORTED}` must be an array of strings")
    subject, action = entities["subject"], entities["action"]
    return Evaluation(
        Asserted(str(subject["type"]), str(subject["id"]), cast("Mapping[str, Json]", subject["properties"])),
        str(action["name"]),
        entities["resource"],
        context,
        tuple(cast("list[str]", supported)),
    )


def _entity(form: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """A subject, action or resource with what it must have, and its properties. Errors: _MalformedError."""
    given, wanted = _member(form, name, f" with {' and '.join(f'`{each}`' for each in _ENTITIES[name])}"), {}
    for key in _ENTITIES[name]:
        if key not in given:
            raise _MalformedError(f"`{name}.{key}` is missing")
        if not isinstance(given[key], str):
            raise _MalformedError(f"`{name}.{key}` must be a string")
        wanted[key] = given[key]
    properties = given.get("properties", {})
    if not isinstance(properties, dict):
        raise _MalformedError(f"`{name}.properties` must be an object")
    return {**wanted, "properties": properties}


def _member(form: Mapping[str, Json], name: str, form_of_it: str) -> Mapping[str, Json]:
    if name not in form:
        raise _MalformedError(f"`{name}` is missing: it is an object{form_of_it}")
    value = form[name]
    if not isinstance(value, dict):
        raise _MalformedError(f"`{name}` must be an object")
    return value


# ---------------------------------------------------------------- writing


def is_undecided(decision: Decision) -> bool:
    """Whether nothing was decided: for want of a record, of time, or by a fault."""
    return check_code(decision) in {13, 14}


def write(decision: Decision, inquiry: Inquiry, acr_values: Mapping[str, str], *, item: bool) -> dict[str, Json]:
    """The answer to `inquiry`, by itself or as an item of a batch. `acr_values` as in `pdp.answers.http_answer`."""
    if item and is_undecided(decision):
        return write_error(503, UNAVAILABLE)
    code, able = check_code(decision), inquiry.capabilities
    context: dict[str, Json] = {}
    if code == 0:
        obligations = _duties(decision.duties)
        advice = _duties(_possible(decision.advice, decision.duties, able))
        if advice:
            context["advice"] = _numbered(advice)
    elif code == 16:
        context, obligations = _step_up(decision, acr_values)
    else:
        obligations = _concealing(decision, able)
    if obligations:
        context["obligations"] = _numbered(obligations)
    return _answer(context, decision=code == 0)


def write_error(status: int, message: str) -> dict[str, Json]:
    """The answer to an item that was not decided."""
    return _answer({"error": {"status": status, "message": message}}, decision=False)


def with_decision_id(answer: Mapping[str, Json], decision: Decision) -> dict[str, Json]:
    """`answer` with the id of its record, where there is one."""
    context = answer.get("context", {})
    if not decision.id or not isinstance(context, dict):
        return dict(answer)
    return {**answer, "context": {**context, "decision_id": visible(decision.id)}}


def metadata(public_url: str) -> dict[str, Json]:
    """The metadata document of the service that is known as `public_url`: what is served, and nothing else."""
    base = public_url.rstrip("/")
    return {
        "policy_decision_point": public_url,
        "access_evaluation_endpoint": base + EVALUATION_PATH,
        "access_evaluations_endpoint": base + EVALUATIONS_PATH,
        SUPPORTED: ["custom", *ABLE],
    }


def serialised(value: Json) -> bytes:
    """`value` as JSON in ASCII, without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def _answer(context: dict[str, Json], *, decision: bool) -> dict[str, Json]:
    return {"decision": decision, "context": context} if context else {"decision": decision}


def _step_up(decision: Decision, acr_values: Mapping[str, str]) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """The context and the obligations of a step-up; nothing where the caller is not to be told."""
    if decision.outcome != "step_up" or not decision.authenticated or decision.by[:1] == ("token",):
        return {}, []
    named = [(_text(acr_values.get(each.name, each.name)), each) for each in decision.challenges]
    context: dict[str, Json] = {"acr_values": " ".join(dict.fromkeys(name for name, _ in named))} if named else {}
    ages = [each.within_s for each in decision.challenges if each.within_s is not None]
    if ages:
        context["max_age"] = min(ages)
    return context, [_challenge(name, each) for name, each in named]


def _concealing(decision: Decision, able: frozenset[Capability]) -> list[dict[str, Json]]:
    """What a rule wants a refusal to be answered with."""
    if decision.status is None or "answer" not in able:
        return []
    return [_custom("answer", status=http_answer(decision, {}).status)]


def _challenge(acr_value: str, challenge: Challenge) -> dict[str, Json]:
    properties: dict[str, Json] = {"acr_value": acr_value}
    if challenge.within_s is not None:
        properties["max_age"] = challenge.within_s
    return {"type": "step-up", "properties": properties}


def _possible(advice: Duties, duties: Duties, able: frozenset[Capability]) -> Duties:
    """What the caller can do of what is advised, without what duties speak of."""
    named = {*duties.removed, *(each.name for each in duties.headers)}
    return Duties(
        headers=tuple(each for each in advice.headers if "set_header" in able and each.name not in named),
        removed=tuple(each for each in advice.removed if "remove_header" in able and each not in named),
        redactions=tuple(each for each in advice.redactions if "redact" in able and each not in duties.redactions),
    )


def _duties(duties: Duties) -> list[dict[str, Json]]:
    return [
        *(_custom("set_header", header=_text(each.name), value=visible(each.value)) for each in _ours(duties.headers)),
        *(_custom("remove_header", header=_text(each)) for each in duties.removed),
        *(_custom("redact", pointer=_text(each)) for each in duties.redactions),
    ]


def _ours(headers: Iterable[Header]) -> list[Header]:
    """The id of the decision is nobody else's to set."""
    return [each for each in headers if each.name != DECISION_HEADER]


def _custom(action: str, **properties: Json) -> dict[str, Json]:
    return {"type": "custom", "properties": {"action": f"portcullis.{action}", **properties}}


def _numbered(obligations: Iterable[Mapping[str, Json]]) -> list[Json]:
    return [{"id": str(number), **each} for number, each in enumerate(obligations, 1)]


def _text(text: str) -> str:
    """`text` as JSON can hold it: what is no Unicode is a `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
