"""The record of a decision: what is said in clear, and what is sealed.

A `Decision` and what it was made of go in; `Entry` comes out: the kind of leaf, its clear fields, and the bytes for
the sealed box. Clear fields name only what the policy or the configuration names (endpoints, rules, claims by name)
and shapes; what the request or the token brought along (path, host, claims, addresses, ids) is in the box.

    clear   v schema version  t instant, Unix microseconds  gw gateway  sv service  ep endpoint  m method
            rt shape of an undeclared path  d outcome  by who decided  rc reason  sj what the reason is about
            pk kind of principal  pb policy digest  ch challenges  ll log level  nr nearest rule
            nx 1 where the nearest was not looked for  rl clauses of the primary (or nearest) rule, of every rule
            looked at under `full`  cx id of the context leaf
    box     the inputs, from which the decision can be made again: see `inputs_of`

INVARIANT: no value that came with the request or the token stands in clear.
Design: contracts.md "The log, from the first commit"; audit.md 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from pdp.model import Decision, Inquiry, Json, Principal
from pdp.runtime.engine import Engine
from policy_lang.inputs import Inputs, Looked
from policy_lang.verdict import Question, RuleTrace, Truth3

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
"""Methods shown in clear; any other is the caller's own word and stands in the box only."""

LONGEST = {"service": 256, "method": 64, "path": 16_384, "host": 512, "ip": 64, "rq": 256}
"""Bytes of each member of the request that a record holds; the rest of a longer one is cut, and that is said. With the
claims of the largest token they stay below the 60,000 bytes of a leaf, so that every refusal can be recorded."""

MOST_RULES = 32
"""Rules whose clauses one record shows."""

MOST_SHAPED = 16
"""Segments of an undeclared path that its shape shows."""

_LENGTHENED = re.compile(r'[\x00-\x1f"\\]')
_INT = re.compile(r"-?[0-9]+\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a decision was made of: as far as it came.

    `question` is None where the request never became one; `inputs` where no cell was reached.
    """

    inquiry: Inquiry | None
    principal: Principal | None
    question: Question | None
    inputs: Inputs | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf to be: its kind, its clear fields, and the bytes to seal (None: nothing is)."""

    kind: str
    clear: Mapping[str, Json]
    inputs: bytes | None


def decision_entry(
    decision: Decision, evidence: Evidence, engine: Engine | None, now_us: int, gateway: str, context: str | None
) -> Entry:
    """The leaf of one decision. `context` is the id of the caller's context leaf."""
    clear: dict[str, Json] = {
        "t": now_us,
        "gw": gateway,
        "d": decision.outcome,
        "by": list(decision.by),
        "rc": decision.reason,
        "pb": decision.policy,
    }
    inquiry = evidence.inquiry
    if decision.service is not None:
        clear["sv"] = decision.service
    if decision.endpoint is not None:
        clear["ep"] = decision.endpoint
    elif evidence.question is not None and engine is not None:
        clear["rt"] = shape_of(evidence.question.path.segments, engine)
    if inquiry is not None and inquiry.method is not None:
        clear["m"] = inquiry.method if inquiry.method in METHODS else "other"
    if evidence.principal is not None and evidence.principal.name is not None:
        clear["pk"] = evidence.principal.name
    if decision.subject and engine is not None and decision.subject in declared_words(engine, decision):
        clear["sj"] = decision.subject
    if decision.challenges:
        clear["ch"] = [challenge.name for challenge in decision.challenges]
    if decision.log.level != "normal":
        clear["ll"] = decision.log.level
    if context is not None:
        clear["cx"] = context
    clear |= explanation(decision)
    sealed = None if decision.log.level == "minimal" else orjson.dumps(inputs_of(evidence), option=orjson.OPT_SORT_KEYS)
    return Entry("decision", clear, sealed)


def context_entry(principal: Principal, inquiry: Inquiry, now_us: int) -> Entry:
    """The leaf that says once per token and address who calls: subject, session, address, all sealed."""
    claims = principal.claims
    sealed = {
        "ip": inquiry.ip,
        "peer": inquiry.peer,
        **{name: claims[name] for name in ("iss", "sub", "sid", "jti", "client_id", "azp") if name in claims},
    }
    clear: dict[str, Json] = {"t": now_us}
    if principal.name is not None:
        clear["pk"] = principal.name
    return Entry("context", clear, orjson.dumps(sealed, option=orjson.OPT_SORT_KEYS))


def explanation(decision: Decision) -> dict[str, Json]:
    """Clauses of the rules that matter, by label and truth: no texts (the bundle holds them), no values."""
    shown = decision.rules if decision.log.level == "full" else _primary(decision)
    stated: dict[str, Json] = {}
    if decision.nearest is not None:
        stated["nr"] = decision.nearest
    elif decision.by == ("default",) and not decision.rules:
        stated["nx"] = 1
    if shown and decision.log.level != "minimal":
        stated["rl"] = [_clauses(rule) for rule in shown[:MOST_RULES]]
    return stated


def _clauses(rule: RuleTrace) -> Json:
    """A rule by id, and each of its clauses by label, truth and the text of the atom that failed."""
    clauses: list[Json] = [[clause.label, _letter(clause.truth), clause.failed] for clause in rule.clauses]
    return [rule.id, *clauses]


def _primary(decision: Decision) -> tuple[RuleTrace, ...]:
    wanted = decision.nearest if decision.nearest is not None else decision.by[0]
    return tuple(rule for rule in decision.rules if rule.id == wanted)


def _letter(truth: Truth3) -> str:
    return truth.value[0].upper()


def declared_words(engine: Engine, decision: Decision) -> frozenset[str]:
    """Names of claims, query parameters and scopes that the policy itself declares."""
    endpoint = engine.endpoints.get(decision.endpoint or "")
    if endpoint is None:
        return engine.claims
    parameters = {parameter.name for parameter in endpoint.query}
    return engine.claims | parameters | {" ".join(endpoint.scopes), *endpoint.scopes}


def shape_of(segments: tuple[str, ...], engine: Engine) -> str:
    """An undeclared path by shape: segments the inventory knows in clear, others as {int}, {uuid} or {word}."""
    shapes = [_shape(segment, engine.words) for segment in segments[:MOST_SHAPED]]
    more = ["…"] if len(segments) > MOST_SHAPED else []
    return "/" + "/".join(shapes + more)


def _shape(segment: str, known: frozenset[str]) -> str:
    if segment in known:
        return segment
    if _INT.match(segment):
        return "{int}"
    return "{uuid}" if _UUID.match(segment) else "{word}"


def inputs_of(evidence: Evidence) -> dict[str, Json]:
    """What the decision can be made again from: the request as it came, and what the cell's guards may read.

    `claims` are those read, as the token held them; `unread` names the declared ones that conformed and were not.
    `facts` are the rows looked up, [relation, arguments, found]. `cut` names the members that do not stand there as
    they came, being too long or not text (only of refusals: see LONGEST_TARGET in pdp/evaluate.py).
    """
    inquiry, question, inputs = evidence.inquiry, evidence.question, evidence.inputs
    stated: dict[str, Json] = {}
    if inquiry is not None:
        whole = {
            "service": inquiry.service,
            "method": inquiry.method,
            "path": inquiry.path,
            "host": inquiry.host,
            "ip": inquiry.ip,
            "rq": inquiry.request_id,
        }
        shown = {name: _text(value, LONGEST[name]) for name, value in whole.items() if value is not None}
        stated |= shown
        cut = sorted(name for name, text in shown.items() if text != whole[name])
        if cut:
            stated["cut"] = list[Json](cut)
    if question is not None and inputs is not None:
        stated["now"] = question.now_ms
        stated["at"] = [question.service, question.host]
        stated["kind"] = inputs.caller.kind
        stated["multi"] = inputs.caller.multi_audience
        stated["claims"] = dict(inputs.caller.claims)
        stated["unread"] = list[Json](sorted(inputs.caller.unread))
        stated["facts"] = [_row(each) for each in inputs.lookups]
    return stated


def _row(looked: Looked) -> Json:
    """A row that was asked for; its arguments are scalars by their columns' types."""
    arguments: list[Json] = [None if isinstance(each, frozenset) else each for each in looked.arguments]
    return [looked.relation, arguments, looked.found]


def _text(value: str, most_bytes: int) -> str:
    """A string that can always be written down and takes at most so many bytes of JSON.

    Lone surrogates (bytes that were not UTF-8) stand as escapes. A text with characters that JSON would make longer
    (controls, `"`, backslashes) has every control and every character outside ASCII spelt out, `/` for a backslash.
    """
    if _LENGTHENED.search(value) is None:
        encoded = value[:most_bytes].encode("utf-8", "backslashreplace")
    else:
        encoded = value[:most_bytes].replace("\\", "/").replace('"', "'").encode("unicode_escape").replace(b"\\", b"/")
    return encoded[:most_bytes].decode("utf-8", "ignore")
