"""The record of a decision: what is said in clear, and what is sealed.

A `Decision` and what it was made of go in; `Entry` comes out: the kind of leaf, its clear fields, and the bytes for
the sealed box. Clear fields name only what the policy or the configuration names (endpoints, rules, claims by name)
and shapes; what the request or the token brought along (path, host, claims, addresses, ids) is in the box.

    clear   v schema version  t instant, Unix microseconds  gw gateway  sv service  ep endpoint  m method
            rt shape of an undeclared path  d outcome  by who decided  rc reason  sj what the reason is about
            pk kind of principal  pp declared workload that called  pb policy digest  ch challenges  ll log level
            gv 1 where the gateway verified the token, of which only the claims came
            bs bytes of the body that came along  bt 1 where there may be more
            nr nearest rule  nx 1 where not all was looked at that is to be shown: the nearest, the clauses of the rule
            that decided, under `full` every rule
            rl clauses of the primary (or nearest) rule, of every rule looked at under `full`: label, T F or U, and of
            one that is not true the atom that failed. Absent where a rule decided: each of its clauses was true
            cx id of the context leaf
            ob obligations  ad advice  al alerts
            st status that rules want a refusal answered with  sh shadow rules that applied
            os the refusal that a call passed in spite of, while its service is observed: d, by, rc, sj
            vu instant until which the decision holds if nothing but time passes, Unix milliseconds
            ct what was cut since no leaf could hold it: members of the box (`LARGE` of `pdp.audit.inputs`), `rl`, and
            names of rules beyond the first in `by`, `sh` and `os`
    box     the inputs, from which the decision can be made again: see `pdp.audit.inputs`

Obligations and advice stand by their words, headers without their values: these may be claims and are in the box.
INVARIANT: no value that came with the request or the token stands in clear. Of a body nothing stands anywhere but how
much of it there was.
Design: contracts.md "The log, from the first commit"; audit.md 4.2.

Decision: 2026-11-21. A subject that a caller asserts has no context leaf: nothing proves that two calls with one id are
of one caller. Its id is in the box of each record.
Decision: 2026-11-21. Of a rule that decided since all its clauses were true, the clauses are not said: it is named in
`by`, and its policy has them. Absence of `rl` means that, but for `nx`, `ct` and the level: `minimal` says of no rule
how it came out, `full` says it of every one.
Decision: 2026-11-21. Of what one record cannot hold a part is left out, and that is said, in clear too: there must be a
record either way. Whether the call may then pass is the service's to say: it may not where the box lost anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from msgspec import Struct

from pdp.audit.bounds import bounded, with_cut
from pdp.audit.form import Form
from pdp.audit.inputs import LONGEST, OTHER_METHOD, Evidence, limited_text, sealed_inputs
from pdp.model import Decision, Inquiry, Json, Principal
from pdp.runtime.engine import Engine
from policy_lang.meaning.values import TRUE
from policy_lang.verdict import NO_DUTIES, ClauseTrace, Duties, HttpCall, Observed, RuleTrace, Truth3, Verdict

DISAGREEMENT = "internal.disagreement"
DISTRUSTED = "internal.distrusted"
"""Reasons of `internal` for calls whose evidence is whole: what the policy says of them can be told from the record."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
"""Methods shown in clear; any other is the caller's own word and stands in the box only."""

MOST_RULES = 32
"""Rules whose clauses one record shows."""

LONGEST_ATOM = 256
"""Characters of the text of an atom that failed."""

MOST_SHAPED = 16
"""Segments of an undeclared path that its shape shows."""

_INT = re.compile(r"-?[0-9]+\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


class Entry(Struct, frozen=True):
    """One leaf to be: its kind, its clear fields, and the bytes to seal (None: nothing is). `whole`: nothing of what is
    to be sealed was left out for its size. `form` writes a leaf of just these fields, where there is one.
    """

    kind: str
    clear: Mapping[str, Json]
    inputs: bytes | None
    whole: bool = True
    form: Form | None = None


def decision_entry(
    decision: Decision, evidence: Evidence, engine: Engine | None, now_us: int, gateway: str, context: str | None
) -> Entry:
    """The leaf of one decision. `context` is the id of the caller's context leaf."""
    clear = decision_fields(decision, evidence, engine, now_us, gateway)
    if context is not None:
        clear["cx"] = context
    clear, room = bounded(clear)
    if decision.log.level == "minimal":
        return Entry("decision", clear, None)
    data, lost = sealed_inputs(decision, evidence, clear, room)
    return Entry("decision", with_cut(clear, lost) if lost else clear, data, not lost)


def decision_fields(
    decision: Decision, evidence: Evidence, engine: Engine | None, now_us: int, gateway: str
) -> dict[str, Json]:
    """The clear fields of one decision, not bounded yet; a refusal that joins others in one leaf needs no more."""
    clear: dict[str, Json] = {
        "t": now_us,
        "gw": gateway,
        "d": decision.outcome,
        "by": [*decision.by],
        "rc": decision.reason,
        "pb": decision.policy,
    }
    _add_asked(clear, decision, evidence, engine)
    _add_stated(clear, decision, engine)
    return clear | explanation(decision)


def _add_asked(clear: dict[str, Json], decision: Decision, evidence: Evidence, engine: Engine | None) -> None:
    """Add what was asked, as far as policy and configuration have words for it."""
    inquiry, question, principal = evidence.inquiry, evidence.question, evidence.principal
    if decision.service is not None:
        clear["sv"] = decision.service
    if decision.endpoint is not None:
        clear["ep"] = decision.endpoint
    elif question is not None and engine is not None and isinstance(question.call, HttpCall):
        clear["rt"] = shape_of(question.call.path.segments, engine)
    if principal is not None and principal.name is not None:
        clear["pk"] = principal.name
    if inquiry is not None:
        if inquiry.method is not None:
            clear["m"] = inquiry.method if inquiry.method in METHODS else OTHER_METHOD
        if inquiry.verified is not None:
            clear["gv"] = 1
        if inquiry.body is not None:
            clear["bs"] = inquiry.body.size
            if inquiry.body.truncated:
                clear["bt"] = 1
        peer = None if engine is None else engine.vocabulary.workloads.get(inquiry.peer or "")
        if peer is not None:
            clear["pp"] = peer


def _add_stated(clear: dict[str, Json], decision: Decision, engine: Engine | None) -> None:
    """Add what was decided, beyond who decided and why."""
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
    if decision.shadow:
        clear["sh"] = [*decision.shadow]
    for name, duties in (("ob", decision.duties), ("ad", decision.advice)):
        if duties != NO_DUTIES and (words := duty_words(duties)):
            clear[name] = [*words]
    alerts = decision.duties.alerts + decision.advice.alerts
    if alerts:
        clear["al"] = [*sorted({*alerts})]


def earliest(one_ms: int | None, other_ms: int | None) -> int | None:
    """The first of two instants, of which either may never come."""
    if one_ms is None or other_ms is None:
        return other_ms if one_ms is None else one_ms
    return min(one_ms, other_ms)


def duty_words(duties: Duties) -> list[str]:
    """What a gateway has to do, one text each, without the values of headers; alerts are ours and not among them."""
    words = [f"set_header {header.name}" for header in duties.headers] if duties.headers else []
    words += [f"remove_header {name}" for name in duties.removed] if duties.removed else ()
    words += [f"redact {pointer}" for pointer in duties.redactions] if duties.redactions else ()
    if duties.token_scopes is not None:
        words.append(" ".join(("issue_token", *duties.token_scopes)))
    return words


def observed_words(observed: Observed, *, sayable: bool) -> dict[str, Json]:
    """The refusal that an observed call passed in spite of."""
    words: dict[str, Json] = {"d": observed.outcome, "by": list(observed.by), "rc": observed.reason}
    return words | ({"sj": observed.subject} if sayable else {})


def context_entry(principal: Principal, inquiry: Inquiry, now_us: int) -> Entry:
    """The leaf that says once per token and address who calls: subject, session, address, all sealed."""
    claims = principal.claims
    sealed = {
        "ip": None if inquiry.ip is None else limited_text(inquiry.ip, LONGEST["ip"]),
        "peer": None if inquiry.peer is None else limited_text(inquiry.peer, LONGEST["peer"]),
        **{name: claims[name] for name in ("iss", "sub", "sid", "jti", "client_id", "azp") if name in claims},
    }
    clear: dict[str, Json] = {"t": now_us}
    if principal.name is not None:
        clear["pk"] = principal.name
    return Entry("context", clear, orjson.dumps(sealed, option=orjson.OPT_SORT_KEYS))


def explanation(decision: Decision) -> dict[str, Json]:
    """Clauses of the rules that matter, by label and truth: no texts (the bundle holds them), no values."""
    level = decision.log.level
    shown = decision.rules if level == "full" else _primary(decision)
    stated: dict[str, Json] = {}
    if decision.nearest is not None:
        stated["nr"] = decision.nearest
    if _lacks(decision, shown):
        stated["nx"] = 1
    if shown and level != "minimal" and not (level == "normal" and decision.nearest is None and _have_held(shown)):
        stated["rl"] = [_clauses(rule) for rule in shown[:MOST_RULES]]
    return stated


def _lacks(decision: Decision, shown: tuple[RuleTrace, ...]) -> bool:
    """Whether not all was looked at that is to be shown."""
    by, level = decided_by(decision), decision.log.level
    if level == "full" and not decision.baselines:  # nobody but the definition says which were passed
        return True
    if decision.nearest is not None:
        return False
    if by == ("default",):
        return not decision.rules
    return level == "normal" and not shown and "." in by[0]  # a rule of more clauses than are looked at


def _have_held(rules: tuple[RuleTrace, ...]) -> bool:
    """Whether all clauses of all these rules are true."""
    return not [clause for rule in rules for clause in rule.clauses if clause.truth is not TRUE]


def _clauses(rule: RuleTrace) -> Json:
    """A rule by id, and each of its clauses by label, truth and the text (its beginning) of the atom that failed."""
    return [rule.id, *[_clause(each) for each in rule.clauses]]


def _clause(clause: ClauseTrace) -> Json:
    if clause.failed:
        return [clause.label, _letter(clause.truth), clause.failed[:LONGEST_ATOM]]
    return [clause.label, _letter(clause.truth)]


def _primary(decision: Decision) -> tuple[RuleTrace, ...]:
    rules = decision.rules
    wanted = decision.nearest if decision.nearest is not None else decided_by(decision)[0]
    if len(rules) == 1 and rules[0].id == wanted and decision.nearest is None:
        return rules
    found = tuple([rule for rule in rules if rule.id == wanted])  # faster than of a generator
    # Of one `casbin` block there may be two: the nearest is an allow, and what decided applies.
    if decision.nearest is not None:
        return tuple([rule for rule in found if rule.effect == "allow"])
    return found if len(found) == 1 else tuple([rule for rule in found if rule.applies])


def decided_by(told: Decision | Verdict) -> tuple[str, ...]:
    """Who decided, or would have where the service were not observed."""
    return told.by if told.observed is None else told.observed.by


def _letter(truth: Truth3) -> str:
    return truth.value[0].upper()


def _is_said(subject: str, engine: Engine | None) -> bool:
    """Whether what a reason is about is made of the policy's own words; anything else came with the call."""
    return bool(subject) and engine is not None and engine.vocabulary.subjects.issuperset(subject.split(" "))


def shape_of(segments: tuple[str, ...], engine: Engine) -> str:
    """An undeclared path by shape: segments the inventory knows in clear, others as {int}, {uuid} or {word}."""
    shapes = [_shape(segment, engine.vocabulary.literals) for segment in segments[:MOST_SHAPED]]
    more = ["…"] if len(segments) > MOST_SHAPED else []
    return "/" + "/".join(shapes + more)


def _shape(segment: str, known: frozenset[str]) -> str:
    if segment in known:
        return segment
    if _INT.match(segment):
        return "{int}"
    return "{uuid}" if _UUID.match(segment) else "{word}"
