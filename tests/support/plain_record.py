"""The record of a decision by its definition, member by member: what `pdp.audit.record` must come to on a shorter way.

What a box says is defined in two steps: all that was taken in (`plain_whole`), and what of it the clear part says
already or nobody has to say (`plain_inputs`). Whoever reads the two together is to have the first again.

Where a member of the record is defined anew, both change. The parts that are written once (bounds, texts within a
limit, shapes of paths, instants) are those of `pdp.audit`.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from pdp.audit.bounds import bounded, with_cut
from pdp.audit.inputs import (
    DEEPEST,
    LARGE,
    LETTERS,
    LONGEST,
    LONGEST_TEXT,
    Evidence,
    Sealable,
    ends_ms,
    json_of,
    limited_text,
)
from pdp.audit.record import LONGEST_ATOM, METHODS, MOST_RULES, Entry, decided_by, observed_words, shape_of
from pdp.model import EXT_AUTHZ, Decision, Inquiry, Json, Principal
from pdp.runtime.engine import Engine
from policy_lang.meaning.inputs import Inputs, Looked
from policy_lang.verdict import CAPABILITIES, NOWHERE, ActionCall, Duties, HttpCall, Origin, Question, RuleTrace, Truth3


def plain_entry(
    decision: Decision, evidence: Evidence, engine: Engine | None, now_us: int, gateway: str, context: str | None
) -> Entry:
    """The leaf of one decision. `context` is the id of the caller's context leaf."""
    clear, room = bounded(plain_clear(decision, evidence, engine, now_us, gateway, context))
    if decision.log.level == "minimal":
        return Entry("decision", clear, None)
    sealable = sealed_inputs(decision, evidence, clear, room)
    return Entry("decision", with_cut(clear, sealable.lost), sealable.data, whole=not sealable.lost)


def plain_clear(
    decision: Decision, evidence: Evidence, engine: Engine | None, now_us: int, gateway: str, context: str | None
) -> dict[str, Json]:
    """Its clear fields, before they are cut to what a leaf holds."""
    clear: dict[str, Json] = {
        "t": now_us,
        "gw": gateway,
        "d": decision.outcome,
        "by": list(decision.by),
        "rc": decision.reason,
        "pb": decision.policy,
    }
    clear |= _asked(decision, evidence, engine) | _stated(decision, engine)
    if context is not None:
        clear["cx"] = context
    return clear | explanation(decision)


def _asked(decision: Decision, evidence: Evidence, engine: Engine | None) -> dict[str, Json]:
    """What was asked, as far as policy and configuration have words for it."""
    inquiry, question, principal = evidence.inquiry, evidence.question, evidence.principal
    clear: dict[str, Json] = {}
    if decision.service is not None:
        clear["sv"] = decision.service
    if decision.endpoint is not None:
        clear["ep"] = decision.endpoint
    elif question is not None and engine is not None and isinstance(question.call, HttpCall):
        clear["rt"] = shape_of(question.call.path.segments, engine)
    if inquiry is not None and inquiry.method is not None:
        clear["m"] = inquiry.method if inquiry.method in METHODS else "other"
    if principal is not None and principal.name is not None:
        clear["pk"] = principal.name
    if inquiry is not None and inquiry.verified is not None:
        clear["gv"] = 1
    if inquiry is not None and inquiry.body is not None:
        clear["bs"] = inquiry.body.size
        if inquiry.body.truncated:
            clear["bt"] = 1
    peer = None if inquiry is None or engine is None else engine.vocabulary.workloads.get(inquiry.peer or "")
    if peer is not None:
        clear["pp"] = peer
    return clear


def _stated(decision: Decision, engine: Engine | None) -> dict[str, Json]:
    """What was decided, beyond who decided and why."""
    clear: dict[str, Json] = {}
    if _is_said(decision.subject, engine):
        clear["sj"] = decision.subject
    if decision.challenges:
        clear["ch"] = [challenge.name for challenge in decision.challenges]
    if decision.log.level != "normal":
        clear["ll"] = decision.log.level
    if decision.observed is not None:
        clear["os"] = observed_words(decision.observed, sayable=_is_said(decision.observed.subject, engine))
    if decision.status is not None:
        clear["st"] = decision.status
    if decision.valid_until_ms is not None:
        clear["vu"] = decision.valid_until_ms
    named = {
        "ob": duty_words(decision.duties),
        "ad": duty_words(decision.advice),
        "al": sorted({*decision.duties.alerts, *decision.advice.alerts}),
        "sh": list(decision.shadow),
    }
    return clear | {name: list[Json](words) for name, words in named.items() if words}


def duty_words(duties: Duties) -> list[str]:
    """What a gateway has to do, one text each, without the values of headers; alerts are ours and not among them."""
    words = [f"set_header {header.name}" for header in duties.headers]
    words += [f"remove_header {name}" for name in duties.removed]
    words += [f"redact {pointer}" for pointer in duties.redactions]
    if duties.token_scopes is not None:
        words.append(" ".join(("issue_token", *duties.token_scopes)))
    return words


def explanation(decision: Decision) -> dict[str, Json]:
    """Clauses of the rules that matter, by label and truth: no texts (the bundle holds them), no values."""
    shown = decision.rules if decision.log.level == "full" else _primary(decision)
    stated: dict[str, Json] = {}
    if decision.nearest is not None:
        stated["nr"] = decision.nearest
    unexplained = decision.nearest is None and decided_by(decision) == ("default",) and not decision.rules
    untraced = decision.log.level == "normal" and "." in decided_by(decision)[0] and not shown
    if unexplained or (untraced and decision.nearest is None):
        stated["nx"] = 1
    if decision.log.level == "full" and not decision.baselines:  # nobody but the definition says which were passed
        stated["nx"] = 1
    if decision.log.level == "full" and shown:
        stated["rl"] = [_clauses(rule) for rule in shown[:MOST_RULES]]
    if decision.log.level == "normal" and shown:
        held = all(clause.truth is Truth3.TRUE for rule in shown for clause in rule.clauses)
        if decision.nearest is not None or not held:
            stated["rl"] = [_clauses(rule) for rule in shown[:MOST_RULES]]
    return stated


def _clauses(rule: RuleTrace) -> Json:
    """A rule by id, and each of its clauses by label, truth and the text (its beginning) of the atom that failed."""
    clauses: list[Json] = [
        [each.label, _letter(each.truth), *([each.failed[:LONGEST_ATOM]] if each.failed else [])]
        for each in rule.clauses
    ]
    return [rule.id, *clauses]


def _primary(decision: Decision) -> tuple[RuleTrace, ...]:
    wanted = decision.nearest if decision.nearest is not None else decided_by(decision)[0]
    found = [rule for rule in decision.rules if rule.id == wanted]
    # Of one `casbin` block there may be two: the nearest is an allow, and what decided applies.
    if decision.nearest is not None:
        return tuple(rule for rule in found if rule.effect == "allow")
    return tuple(rule for rule in found if rule.applies or len(found) == 1)


def _letter(truth: Truth3) -> str:
    return truth.value[0].upper()


def _is_said(subject: str, engine: Engine | None) -> bool:
    """Whether what a reason is about is made of the policy's own words; anything else came with the call."""
    return bool(subject) and engine is not None and engine.vocabulary.subjects.issuperset(subject.split(" "))


def sealed_inputs(decision: Decision, evidence: Evidence, clear: Mapping[str, Json], most_bytes: int) -> Sealable:
    """The bytes for the box of a decision: no more than `most_bytes`, if that takes leaving out what is large."""
    stated = plain_inputs(evidence, clear)
    sent = {header.name: header.value for header in (*decision.advice.headers, *decision.duties.headers)}
    if sent:
        stated["sent"] = dict[str, Json](sent)
    data = _dumped(stated)
    lost: list[str] = []
    for name in LARGE:
        if len(data) <= most_bytes:
            break
        if stated.get(name):
            del stated[name]
            lost.append(name)
            stated["cut"] = list[Json](sorted({*_cut(stated), name}))
            data = _dumped(stated)
    return Sealable(data, tuple(lost))


def _dumped(stated: dict[str, Json]) -> bytes:
    try:
        return orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half a character, or a number beyond 64 bits: it was refused for it
        written = {name: _writable(value, 0) for name, value in stated.items()}
        changed = [name for name, value in stated.items() if written[name] != value]
        written["cut"] = list[Json](sorted({*changed, *_cut(stated)}))
        return orjson.dumps(written, option=orjson.OPT_SORT_KEYS)


def _cut(stated: Mapping[str, Json]) -> list[str]:
    cut = stated.get("cut")
    return [str(name) for name in cut] if isinstance(cut, list) else []


def plain_whole(evidence: Evidence, clear: Mapping[str, Json]) -> dict[str, Json]:
    """All that a decision took in, whatever was decided. Texts that stand in `clear` have no bound."""
    inquiry, question, inputs, principal = evidence.inquiry, evidence.question, evidence.inputs, evidence.principal
    stated: dict[str, Json] = {}
    if inquiry is not None:
        whole = {
            "service": inquiry.service,
            "method": inquiry.method,
            "path": inquiry.path,
            "host": inquiry.host,
            "ip": inquiry.ip,
            "peer": inquiry.peer,
            "rq": inquiry.request_id,
            **_subject(inquiry, principal),
            **(_action(inquiry) if question is None else {}),
        }
        in_clear = {"service": clear.get("sv"), "method": clear.get("m")}
        texts = {name: value for name, value in whole.items() if value is not None}
        shown = {
            name: value if value == in_clear.get(name) else limited_text(value, LONGEST[name])
            for name, value in texts.items()
        }
        stated |= shown
        cut = sorted(name for name, text in shown.items() if text != texts[name])
        if cut:
            stated["cut"] = list[Json](cut)
    if question is not None and inputs is not None:
        stated |= _called(question) | _read(inputs)
        is_http = isinstance(question.call, HttpCall)
        asked = inputs.capabilities != CAPABILITIES or question.capabilities == CAPABILITIES
        if asked and inputs.capabilities != (EXT_AUTHZ if is_http else CAPABILITIES):
            stated["can"] = "".join(sorted(LETTERS[each] for each in inputs.capabilities))
        ends = ends_ms(evidence)
        if ends is not None:
            stated["ends"] = ends
    return stated


def plain_inputs(evidence: Evidence, clear: Mapping[str, Json]) -> dict[str, Json]:
    """What of it a box says beside these clear fields."""
    whole = plain_whole(evidence, clear)
    box = dict(whole)
    if "service" not in whole and "sv" in clear:
        box["service"] = None
    if whole.get("service") == clear.get("sv"):
        box.pop("service", None)
    if whole.get("method") == clear.get("m") != "other":
        box.pop("method", None)
    called = whole.get("at", whole.get("act"))
    if isinstance(called, list):
        box |= _beside(box, called, clear)
        dropped = _dropped(whole, clear)
        return {name: value for name, value in box.items() if name not in dropped}
    return box | ({"for": None} if "sv" in clear else {})


def _beside(box: Mapping[str, Json], called: list[Json], clear: Mapping[str, Json]) -> dict[str, Json]:
    """The members of a question that are said shorter."""
    service, *rest = called
    said: dict[str, Json] = {} if service == clear.get("sv") else {"for": service}
    said |= {"act": rest} if "act" in box else {"at": rest[0]}
    instant_us, ends, origin = clear["t"], box.get("ends"), box.get("origin")
    assert isinstance(instant_us, int)
    if isinstance(ends, int):
        said["ends"] = ends // 1_000 - instant_us // 1_000_000
    if isinstance(origin, dict):
        beside = {"ip": box.get("ip"), "peer": box.get("peer"), "gateway": clear.get("gw"), "tls": None}
        said["origin"] = {name: True if value == beside[name] else value for name, value in origin.items()}
    return said


def _dropped(whole: Mapping[str, Json], clear: Mapping[str, Json]) -> set[str]:
    """The members of a question that are not said at all."""
    instant_us = clear["t"]
    assert isinstance(instant_us, int)
    dropped = {name for name in ("claims", "facts", "unread") if not whole[name]}
    dropped |= {"multi"} if whole["multi"] is False else set()
    dropped |= {"kind"} if whole["kind"] == clear.get("pk") else set()
    dropped |= {"now"} if whole["now"] == instant_us // 1_000 else set()
    at = whole.get("at")
    return dropped | ({"at"} if isinstance(at, list) and at[1] == whole.get("host") else set())


def _subject(inquiry: Inquiry, principal: Principal | None) -> dict[str, str | None]:
    """Who the subject is said to be."""
    if inquiry.asserted is not None:
        return {"who": inquiry.asserted.id, "as": inquiry.asserted.type}
    said = principal.claims.get("id") if principal is not None and principal.kind == "subject" else None
    return {"who": said if isinstance(said, str) else None}


def _action(inquiry: Inquiry) -> dict[str, str | None]:
    """What is said of an action and its resource, as far as it is text."""
    said = {name: (inquiry.resource or {}).get(name) for name in ("type", "id")}
    return {"action": inquiry.action} | {name: text if isinstance(text, str) else None for name, text in said.items()}


def _called(question: Question) -> dict[str, Json]:
    call = question.call
    if isinstance(call, ActionCall):
        return {"now": question.now_ms, "act": [question.service, call.action, call.resource, call.id]}
    return {"now": question.now_ms, "at": [question.service, call.host]}


def _read(inputs: Inputs) -> dict[str, Json]:
    """What the decision took in; what is as in a call that says nothing is left out."""
    caller = inputs.caller
    stated: dict[str, Json] = {
        "kind": caller.kind,
        "multi": caller.multi_audience,
        "claims": dict(caller.claims),
        "unread": list[Json](sorted(caller.unread)),
        "facts": [_row(each) for each in inputs.lookups],
    }
    if inputs.headers:
        stated["headers"] = {name: list[Json](values) for name, values in inputs.headers.items()}
    if inputs.properties:
        stated["properties"] = dict(inputs.properties)
    if inputs.signals:
        stated["signals"] = {name: json_of(value) for name, value in inputs.signals.items()}
    if inputs.origin != NOWHERE:
        stated["origin"] = _origin(inputs.origin)
    return stated


def _origin(origin: Origin) -> dict[str, Json]:
    """What is said of it: nothing of an address that is not known, and of no peer and no gateway."""
    said: Mapping[str, Json] = {
        "ip": origin.ip, "peer": origin.peer or None, "gateway": origin.gateway or None, "tls": origin.tls,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def _row(looked: Looked) -> Json:
    """A row that was asked for; its arguments are scalars by their columns' types."""
    arguments: list[Json] = [None if isinstance(each, frozenset) else each for each in looked.arguments]
    return [looked.relation, arguments, looked.found]


def _writable(value: Json, depth: int) -> Json:
    """The same with everything that JSON cannot hold spelt out, and no deeper than `DEEPEST`."""
    match value:
        case _ if depth > DEEPEST:
            return "too deep"
        case str():
            return value if _is_text(value) else limited_text(value, LONGEST_TEXT)
        case int() if not -(2**63) <= value < 2**63:
            return "a number beyond 64 bits"
        case list():
            return [_writable(each, depth + 1) for each in value]
        case dict():
            return {limited_text(name, LONGEST_TEXT): _writable(each, depth + 1) for name, each in value.items()}
        case _:
            return value


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
