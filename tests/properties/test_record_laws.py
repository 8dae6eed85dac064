"""The record on its short way is the one by its definition (tests/support/plain_record.py), whatever it is made of; and
leaf and box together say all that the definition says there is.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.audit.inputs import USUAL, Evidence, inputs_of
from pdp.audit.leaf import Sealed, encode
from pdp.audit.record import Entry, decision_entry
from pdp.audit.replay_stated import whole_inputs
from pdp.audit.usual_record import Records
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import EXT_AUTHZ, Asserted, Body, ClientCertificate, Decision, Inquiry, Json, Principal
from pdp.runtime.engine import Engine
from policy_lang.ir import NORMAL_LOG, LogDuty
from policy_lang.meaning.inputs import Inputs, Looked
from policy_lang.request import Path
from policy_lang.verdict import (
    CAPABILITIES,
    NO_DUTIES,
    NOWHERE,
    ActionCall,
    Caller,
    Challenge,
    ClauseTrace,
    Duties,
    Header,
    HttpCall,
    Observed,
    Origin,
    Question,
    RuleTrace,
    Truth3,
)
from tests.support.cases import NOW, Case, cases, engine, inquiry
from tests.support.plain_record import plain_clear, plain_entry, plain_inputs, plain_whole

NOW_US = NOW * 1_000_000

WORDS = ["", "plain-1", "GET", 'a "quoted', "back\\slash", "\x01", "\x7f", "\u20ac", "\udc80", "accounts"]
long = st.sampled_from([64, 65, USUAL + 1, 1_025]).map(lambda size: "x" * size)
words = st.sampled_from(WORDS) | long
own = st.sampled_from(["m.a", "accounts", "\u20ac", 'a "quoted', "\x7f"])
"""Words of the policy, which stand in clear."""
rules = st.sampled_from(["desk.insiders", "default", "route", "m.a"])
flags = st.booleans()
scalars = st.one_of(st.none(), flags, st.integers(-(2**65), 2**65), st.floats(), words)
claims = st.dictionaries(words, scalars | st.lists(scalars, max_size=2), max_size=3)


def _some(one: st.SearchStrategy[object], most: int = 2) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(one, max_size=most).map(tuple)


clauses = st.builds(ClauseTrace, label=own, text=own, truth=st.sampled_from(Truth3), failed=own)
traces = st.builds(
    RuleTrace,
    id=rules,
    effect=st.sampled_from(["allow", "deny", "require"]),
    because=own,
    place=own,
    applies=flags,
    clauses=_some(clauses),
)
duties = st.builds(
    Duties,
    headers=_some(st.builds(Header, name=own, value=own)),
    removed=_some(own),
    redactions=_some(own),
    token_scopes=st.none() | _some(own),
    alerts=_some(own),
)
outcomes = st.sampled_from(["deny", "step_up"])
decisions = st.builds(
    Decision,
    outcome=outcomes | st.just("allow"),
    by=st.lists(rules, min_size=1, max_size=3).map(tuple),
    reason=own,
    subject=own,
    policy=words,
    service=st.none() | st.just("accounts") | own,
    endpoint=st.none() | own,
    challenges=_some(st.builds(Challenge, name=own, within_s=st.none())),
    log=st.builds(LogDuty, level=st.sampled_from(["minimal", "normal", "full"]), strict=flags),
    duties=duties,
    advice=duties,
    status=st.none() | st.just(404),
    shadow=_some(rules),
    observed=st.none()
    | st.builds(Observed, outcome=outcomes, by=st.lists(rules, min_size=1, max_size=2).map(tuple), reason=own),
    valid_until_ms=st.none() | st.integers(0, 2**40),
    rules=_some(traces, 3),
    nearest=st.none() | rules,
    baselines=_some(own),
)
inquiries = st.builds(
    Inquiry,
    service=st.none() | st.just("accounts") | words,
    method=st.none() | st.sampled_from(["GET", "POST", "other"]) | words,
    path=st.none() | words,
    host=st.none() | st.just("accounts") | words,
    headers=st.just(()),
    gateway=words,
    ip=st.none() | st.just("GET") | words,
    peer=st.none() | words | st.just("spiffe://example/front"),
    certificate=st.none() | st.builds(ClientCertificate, digest=st.just(b"x"), ends_s=st.integers(0, 2**33)),
    asserted=st.none() | st.builds(Asserted, type=words, id=words),
    verified=st.none() | claims,
    body=st.none() | st.builds(Body, size=st.integers(0, 9), truncated=flags),
    action=st.none() | words,
    resource=st.none() | st.dictionaries(st.sampled_from(["type", "id", "properties"]), scalars),
    request_id=st.none() | words,
)
principals = st.builds(
    Principal,
    kind=st.sampled_from(["token", "subject", "anonymous"]),
    name=st.none() | st.just("accounts") | words,
    claims=claims | st.dictionaries(st.sampled_from(["id", "cnf"]), scalars),
    expires_at=st.none() | st.integers(0, 2**33),
)
abilities = st.sampled_from([CAPABILITIES, EXT_AUTHZ]) | st.frozensets(st.sampled_from(sorted(CAPABILITIES)))
calls = st.builds(ActionCall, action=words, resource=words, id=words) | st.builds(
    HttpCall,
    method=words,
    host=st.just("accounts") | words,
    path=st.builds(
        Path, text=words, segments=_some(words, 20), trailing_slash=flags, escaped=st.just(frozenset()), query=st.none()
    ),
)
questions = st.builds(
    Question,
    service=st.just("accounts") | words,
    call=calls,
    caller=st.just(Caller(None)),
    now_ms=st.just(NOW_US // 1_000) | st.integers(0, 2**40),
    facts=st.just({}),
    capabilities=abilities,
)
values = st.one_of(flags, st.integers(-5, 5), words, st.frozensets(words, max_size=3))
looked = st.builds(Looked, relation=words, arguments=_some(st.none() | values), found=st.none() | flags)
inputs = st.builds(
    Inputs,
    caller=st.builds(
        Caller,
        kind=st.none() | st.just("accounts") | words,
        claims=claims,
        multi_audience=flags,
        unread=st.frozensets(words, max_size=3),
    ),
    lookups=_some(looked),
    headers=st.dictionaries(words, _some(words), max_size=2),
    properties=claims,
    origin=st.just(NOWHERE)
    | st.builds(
        Origin,
        ip=st.none() | st.just("GET") | words,
        peer=st.just("spiffe://example/front") | words,
        gateway=st.just("edge") | words,
        tls=st.none() | flags,
    ),
    signals=st.dictionaries(words, values, max_size=2),
    capabilities=abilities,
)
evidences = st.builds(
    Evidence,
    inquiry=st.none() | inquiries,
    principal=st.none() | principals,
    question=st.none() | questions,
    inputs=st.none() | inputs,
)

contexts = st.none() | st.just("0" * 32)

Way = Callable[[Decision, Evidence, Engine | None, int, str, str | None], Entry]


def _made(way: Way, decision: Decision, evidence: Evidence, known: Engine | None, context: str | None) -> object:
    """What a way comes to: an entry, or the kind of its error."""
    try:
        entry = way(decision, evidence, known, NOW_US, "edge", context)
    except Exception as error:  # noqa: BLE001 - the law is that both fail alike
        return type(error)
    return entry.kind, dict(entry.clear), entry.inputs, entry.whole


@settings(deadline=None, max_examples=200)
@given(decisions, evidences, flags, contexts)
def test_the_short_way_comes_to_the_record_of_the_definition(
    decision: Decision, evidence: Evidence, is_known: bool, context: str | None
) -> None:
    """decision_entry(x) == plain_entry(x), errors included."""
    known = engine() if is_known else None
    assert _made(decision_entry, decision, evidence, known, context) == _made(
        plain_entry, decision, evidence, known, context
    )


UNUSUAL = {
    "subject": "", "challenges": (), "log": NORMAL_LOG, "duties": NO_DUTIES, "advice": NO_DUTIES, "status": None,
    "shadow": (), "observed": None, "nearest": None,
}  # fmt: skip
RECORDS = Records()
"""One for all calls: what it keeps of one must not show in another."""


def _usual(decision: Decision, endpoint: str, unusual: set[str]) -> Decision:
    """An allow that is usual but for what is named."""
    usual = {name: value for name, value in UNUSUAL.items() if name not in unusual}
    return replace(decision, outcome="allow", endpoint=endpoint, **usual)


allows = st.builds(_usual, decisions, rules, st.sets(st.sampled_from(sorted(UNUSUAL)), max_size=1))


@settings(deadline=None, max_examples=300)
@given(
    allows, evidences, flags, st.none() | st.just("0" * 32), st.integers(0, 2**44), st.none() | st.integers(0, 2**41)
)
def test_the_record_of_a_usual_allow_is_that_of_any_other(
    decision: Decision, evidence: Evidence, is_known: bool, context: str | None, now_us: int, until_ms: int | None
) -> None:
    """records(x) == decision_entry(x), and its form writes its leaf, the first time and the second, later."""
    known = engine() if is_known else None
    later = replace(decision, valid_until_ms=None if decision.valid_until_ms is None else until_ms)
    for each, at_us in ((decision, NOW_US), (later, now_us), (decision, NOW_US)):
        assert _made(_at(RECORDS.entry, at_us), each, evidence, known, context) == _made(
            _at(decision_entry, at_us), each, evidence, known, context
        )


def _at(way: Way, now_us: int) -> Way:
    """A way at another instant; where it gives a form, the form writes what `encode` writes."""

    def made(
        decision: Decision, evidence: Evidence, known: Engine | None, _: int, gateway: str, cx: str | None
    ) -> Entry:
        entry = way(decision, evidence, known, now_us, gateway, cx)
        if entry.form is not None:
            sealed = Sealed("Ym94", "c" * 64)
            leaf = entry.form.leaf("1" * 32, entry.clear, sealed)
            assert leaf == encode(entry.kind, "1" * 32, entry.clear, sealed)
        return entry

    return made


def test_usual_allows_have_forms() -> None:
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False)
    records, formed = Records(), 0
    for case in cases():
        made = evaluator.evaluate(inquiry(case, NOW), NOW_US)
        for at_us in (NOW_US, NOW_US + 1):
            entry = records.entry(made.decision, made.evidence, made.engine, at_us, "edge", None)
            assert entry.clear == decision_entry(made.decision, made.evidence, made.engine, at_us, "edge", None).clear
            formed += entry.form is not None
    assert formed > 3


def _text(members: dict[str, Json]) -> str:
    """For comparing: NaN is not itself."""
    return repr(sorted(members.items()))


@settings(deadline=None, max_examples=200)
@given(decisions, evidences)
def test_the_inputs_of_the_short_way_are_those_of_the_definition(decision: Decision, evidence: Evidence) -> None:
    """inputs_of(x, clear(x)) == plain_inputs(x, clear(x)), by their text."""
    clear = plain_clear(decision, evidence, None, NOW_US, "edge", None)
    assert _text(inputs_of(evidence, clear)) == _text(plain_inputs(evidence, clear))


@settings(deadline=None, max_examples=200)
@given(decisions, evidences)
def test_leaf_and_box_together_say_all_that_there_is(decision: Decision, evidence: Evidence) -> None:
    """whole_inputs(inputs_of(x, clear(x)), clear(x)) == plain_whole(x), by their text."""
    clear = plain_clear(decision, evidence, None, NOW_US, "edge", None)
    assert _text(whole_inputs(inputs_of(evidence, clear), clear)) == _text(plain_whole(evidence, clear))


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_every_decision_case_is_recorded_alike(case: Case) -> None:
    evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False)
    evaluation = evaluator.evaluate(inquiry(case, NOW), NOW_US)
    one, other = (
        _made(way, evaluation.decision, evaluation.evidence, evaluation.engine, None)
        for way in (decision_entry, plain_entry)
    )
    assert isinstance(one, tuple)
    assert one == other


TEXTS = {
    "nothing": {},
    "all that a usual call says": {"service": "orders", "method": "GET", "path": "/a", "ip": "203.0.113.7"},
    "a method at its bound": {"method": "x" * 64},
    "a method beyond its bound": {"method": "x" * 65},
    "an address at its bound": {"ip": "x" * 64},
    "an address beyond its bound": {"ip": "x" * 65},
    "as much as all are usually": {"path": "x" * USUAL},
    "more than that": {"path": "x" * (USUAL + 1)},
    "a service beyond its bound": {"service": "x" * 257},
    "a path beyond its bound": {"path": "x" * 16_385},
    "a quote": {"path": '"'},
    "a backslash": {"path": "\\"},
    "a control": {"host": "\x1f"},
    "DEL, which stands as it is": {"host": "\x7f"},
    "a character beyond ASCII": {"rq": "\u20ac"},
    "half a character": {"rq": "\ud800"},
}


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
def test_the_request_of_a_record_stands_as_by_definition_with(texts: dict[str, str]) -> None:
    named = {"request_id" if name == "rq" else name: text for name, text in texts.items()}
    whole = dict.fromkeys(("service", "method", "path", "host"), None) | {"headers": (), "gateway": "edge"} | named
    evidence = Evidence(Inquiry(**whole), None, None, None)  # type: ignore[arg-type]  # the members are an Inquiry's
    clear = plain_clear(Decision("deny", ("path",), "path"), evidence, None, NOW_US, "edge", None)
    assert inputs_of(evidence, clear) == plain_inputs(evidence, clear)
