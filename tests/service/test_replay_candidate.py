"""History under a candidate: what it is said to answer is what it answers, and what it lacks is named."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping

import pytest
from msgspec import Struct
from msgspec.structs import replace

from pdp.audit.inputs import Evidence
from pdp.audit.leaf import Leaf
from pdp.audit.record import Entry, decision_entry
from pdp.audit.replay_candidate import Answer, Candidate, FactsFrom
from pdp.audit.replay_engines import Asked
from pdp.audit.replay_evidence import BrokenError, UndecidableError
from pdp.errors import PolicyError
from pdp.model import EXT_AUTHZ, Asserted, Decision, Inquiry, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import Engine, load_engine
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import HttpCall, Question, Verdict
from tests.support.generator.policies import draw_bundle
from tests.support.generator.pools import NOW_MS
from tests.support.generator.questions import Questioner
from tests.support.replays import POLICY, asks, engine, recorded

QUESTIONS = 40
LATEST_MS = 2**52


def _leaf(entry: Entry) -> Leaf:
    return Leaf(entry.kind, "0" * 32, json.loads(json.dumps(entry.clear)), None)


# ---------------------------------------------------------------- laws


def _inquiry(question: Question) -> Inquiry:
    """What a gateway would have asked, as far as a record needs it."""
    call, origin = question.call, question.origin
    if not isinstance(call, HttpCall):
        return Inquiry(question.service, None, None, None, (), "edge", ip=origin.ip, peer=origin.peer or None)
    target = call.path.text if call.path.query is None else f"{call.path.text}?{call.path.query}"
    asked = Inquiry(question.service, call.method, target, call.host, (), "edge")
    return replace(asked, ip=origin.ip, peer=origin.peer or None)


def _entry(own: Engine, question: Question) -> Entry:
    call = own.admit(question)
    verdict = own.judge(question, call)
    decision = Decision(
        verdict.outcome,
        verdict.by,
        verdict.reason,
        verdict.subject,
        endpoint=verdict.endpoint,
        challenges=verdict.challenges,
        log=verdict.log,
        duties=verdict.duties,
        advice=verdict.advice,
        status=verdict.status,
        observed=verdict.observed,
    )
    evidence = Evidence(_inquiry(question), Principal("anonymous"), question, own.inputs(question, call))
    return decision_entry(decision, evidence, own, question.now_ms * 1_000, "edge", None)


def _drawn(questioner: Questioner, rng: random.Random) -> Question:
    """A question as a gateway like Envoy asks it."""
    question = questioner.draw(rng)
    able = EXT_AUTHZ if isinstance(question.call, HttpCall) else question.capabilities
    now_ms = question.now_ms if abs(question.now_ms) < LATEST_MS else NOW_MS  # what our own clock may say
    return replace(question, caller=replace(question.caller, unread=frozenset()), capabilities=able, now_ms=now_ms)


def _said(verdict: Verdict) -> tuple[object, ...]:
    return verdict.duties, verdict.advice, verdict.status, verdict.challenges, verdict.log.level


def _held(own: Engine, other: Engine, rng: random.Random, seen: Counter[str]) -> None:
    """Assert that what is said of questions to `own` under `other` is what `other` answers, and count what was said."""
    questioner, candidate, asked = Questioner(own.program, own.facts), Candidate(Asked(other), "recorded"), Asked(own)
    for _ in range(QUESTIONS):
        question = _drawn(questioner, rng)
        entry = _entry(own, question)
        if entry.inputs is None:
            continue
        wanted = other.explain(question, other.admit(question))
        try:
            answer = candidate.answer(_leaf(entry), entry.inputs, asked)
        except UndecidableError as why:
            assert why.inputs or entry.clear["d"] == "deny" or "os" in entry.clear, why
            seen["missing" if why.inputs else "undecidable"] += 1
            continue
        assert answer.verdict is not None
        assert answer.verdict.outcome == wanted.outcome, f"{question}\n{answer}\n{wanted}"
        assert answer.verdict.by[0] in wanted.by, f"{question}\n{answer}\n{wanted}"
        if not answer.asks_hang_on:
            assert _said(answer.verdict) == _said(wanted), f"{question}\n{answer}\n{wanted}"
        seen["same" if wanted.outcome == entry.clear["d"] else "flip"] += 1


@pytest.mark.parametrize("kept", [0.2, 0.8])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_said_of_a_candidate_is_what_it_answers(seed: int, kept: float) -> None:
    """answer(record(q, own), other) = decide(q, other), where anything is said; `kept` of the rules are in `own`."""
    rng = random.Random(f"candidates {seed} {kept}")
    seen: Counter[str] = Counter()
    for _ in range(3):
        whole = draw_bundle(rng)
        rules = [*whole.rules, *whole.spare]
        parts = [whole.with_rules([rule for rule in rules if rng.random() < share]) for share in (kept, 0.9)]
        own, other = (load_engine(bundle_of(each.files()), each.compiled().program) for each in parts)
        _held(own, other, rng, seen)
    assert seen["same"] + seen["flip"] > seen.total() * 0.4, seen
    assert seen["flip"], seen
    assert seen["missing"] or kept > 0.5, seen


@pytest.mark.parametrize("seed", range(6))
def test_under_its_own_policy_nothing_flips_and_nothing_is_missing(seed: int) -> None:
    """answer(record(q, own), own) = decide(q, own), and no input is missing."""
    rng = random.Random(f"own {seed}")
    whole = draw_bundle(rng)
    own = load_engine(bundle_of(whole.files()), whole.compiled().program)
    seen: Counter[str] = Counter()
    _held(own, own, rng, seen)
    assert (seen["flip"], seen["missing"]) == (0, 0), seen
    assert seen["same"], seen


# ---------------------------------------------------------------- one by one


class Case(Struct, frozen=True):
    """A call, what of the policy the candidate has otherwise, and what is said of it: an outcome with who decides, or
    the inputs that are missing.
    """

    change: Mapping[str, str]
    asked: Inquiry
    wanted: str | tuple[str, ...]
    facts: FactsFrom = "recorded"
    own: str = POLICY


OWN, TEAMS = "when owns(token.sub, path.id)", 'token.team == "ops"'
LATE = 'because "own"\n'
FILE = Inquiry(
    service="archive",
    method=None,
    path=None,
    host=None,
    headers=(),
    gateway="edge",
    asserted=Asserted("employee", "eve", {"department": "legal"}),
    action="open",
    resource={"type": "file", "id": "7", "properties": {"area": "legal"}},
)
CASES: dict[str, Case] = {
    "the same policy": Case({}, asks(), "allow by shop.own"),
    "a rule that is gone": Case({"allow own": "shadow allow own"}, asks(), "deny by default"),
    "a rule that reads what the old one read": Case(
        {TEAMS: 'token.team == "dev"'}, asks("/orders/9", team="dev"), "allow by shop.teams"
    ),
    "a claim that was absent, and is known to be": Case(
        {TEAMS: 'token.team == "dev"'}, asks("/orders/9"), "deny by default"
    ),
    "a claim that was there and not read": Case(
        {TEAMS: 'token.tenant == "t"', "token has team": "token has tenant"},
        asks("/orders/9", tenant="t"),
        ("token.tenant",),
    ),
    "a claim that was not read, and another rule allows": Case(
        {TEAMS: 'token.tenant == "t"', "token has team": "token has tenant"}, asks(tenant="t"), "allow by shop.own"
    ),
    "a deny that reads a claim that was not": Case(
        {"on orders.write when token has level and token.level": "on orders when token has level and token.level"},
        asks(level=3),
        ("token.level",),
    ),
    "a deny that is certain beside one that is not": Case(
        {
            "on orders.write when token has level and token.level": "on orders when token has level and token.level",
            LATE: LATE + 'deny shut for any user on orders because "shut"\n',
        },
        asks(level=3),
        "deny by shop.shut",
    ),
    "a claim that the old policy did not declare": Case(
        {"claim level": "claim born: int optional\n  claim level", TEAMS: "token.born > 3", "has team": "has born"},
        asks("/orders/9"),
        ("token.born",),
    ),
    "a new claim that is demanded": Case({"claim level": "claim born: int\n  claim level"}, asks(), ("token.born",)),
    "a new claim that is demanded, of a call that is refused anyway": Case(
        {"claim level": "claim born: int\n  claim level"}, asks("/orders/9"), "deny by default"
    ),
    "a new claim that may be absent and that nobody reads": Case(
        {"claim level": "claim born: int optional\n  claim level"}, asks(), "allow by shop.own"
    ),
    "a claim of another type": Case({"claim tenant: string": "claim tenant: int"}, asks(tenant="t"), ("token.tenant",)),
    "a claim of another name for what stands at the same place": Case(
        {
            "claim team: string optional": 'claim crew: string optional from "team"',
            "token has team": "token has crew",
            "token.team": "token.crew",
        },
        asks("/orders/9", team="ops"),
        "allow by shop.teams",
    ),
    "a header that was not read": Case(
        {OWN: 'when header has device and header.device == "d"'}, asks(), ("header.device",)
    ),
    "a header that is demanded": Case({"device: string optional": "device: string"}, asks(), ("header.device",)),
    "a property that was not read": Case(
        {"on archive because": 'on archive when resource has area and resource.area == "legal" because'},
        FILE,
        ("resource.area",),
    ),
    "a property of the subject that was not read": Case(
        {"on archive because": 'on archive when subject has department and subject.department == "legal" because'},
        FILE,
        ("subject.department",),
    ),
    "the id of the subject, which every record holds": Case(
        {"on archive because": 'on archive when subject.id == "eve" because'}, FILE, "allow by shop.employees"
    ),
    "a signal that was not read": Case({OWN: "when signal.risk < 50"}, asks(), ("signal.risk",)),
    "the address, which every record holds": Case(
        {OWN: "when request.ip in 203.0.113.0/24"}, asks(), "allow by shop.own"
    ),
    "the gateway, which no record holds as policies know it": Case(
        {"token user {": 'workload edge = "spiffe://example/edge"\ntoken user {', OWN: "when request.gateway == edge"},
        asks(),
        ("request.gateway",),
    ),
    "a fact that was looked up": Case(
        {OWN: "when not owns(token.sub, path.id)"}, asks("/orders/9"), "allow by shop.own"
    ),
    "a fact that was not": Case({OWN: "when lends(token.sub, path.id)"}, asks(), ("facts lends",)),
    "a fact that was not, now": Case(
        {OWN: "when lends(token.sub, path.id)"}, asks("/orders/2", sub="bob"), "allow by shop.own", "current"
    ),
    "a fact that was not, now, and is none": Case(
        {OWN: "when lends(token.sub, path.id)"}, asks(), "deny by default", "current"
    ),
    "step-up that is asked of all": Case(
        {
            LATE: LATE
            + 'require device for any user on orders needs request.method == "POST" else challenge "d" because "m"\n'
        },
        asks(),
        "step_up by shop.device",
    ),
    "a requirement on a claim that was not read": Case(
        {LATE: LATE + 'require device for any user on orders needs token has level else challenge "d" because "m"\n'},
        asks(level=3),
        ("token.level",),
    ),
    "a header made of a claim that was not read": Case(
        {
            LATE: LATE + "require named for any user on orders when token has tenant "
            'must set header "x-tenant" to token.tenant because "named"\n'
        },
        asks(tenant="t"),
        ("token.tenant",),
    ),
    "an issuer that is gone": Case({"https://id.example": "https://new.example"}, asks(), "deny by token"),
    "a host that is another service's": Case(
        {'host "orders.example"': 'host "sales.example"'}, asks(), "deny by route"
    ),
    "an endpoint that is gone": Case({"/orders/{id}": "/sales/{id}"}, asks(), "deny by route"),
    "a subject whose kind is gone": Case({'type "employee"': 'type "person"'}, FILE, "deny by schema"),
    "a path that is not canonical": Case({}, asks("/orders/../1"), "deny by path"),
    "a kind of subject that is new": Case(
        {}, FILE, "allow by shop.employees", own=POLICY.replace('type "employee"', 'type "person"')
    ),
    "a service that the old policy did not know": Case(
        {}, asks(), (), own=POLICY.replace("service orders", "service sales").replace("on orders", "on sales")
    ),
}


def _changed(change: Mapping[str, str]) -> str:
    policy = POLICY
    for old, new in change.items():
        assert old in policy, old
        policy = policy.replace(old, new)
    return policy


def _answer(case: Case) -> Answer:
    own = engine(case.own)
    entry = recorded(case.asked, own)
    assert entry.inputs is not None
    candidate = Candidate(Asked(engine(_changed(case.change))), case.facts)
    return candidate.answer(_leaf(entry), entry.inputs, Asked(own))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_candidate_answers_or_names_what_it_lacks(case: Case) -> None:
    if isinstance(case.wanted, tuple):
        with pytest.raises(UndecidableError) as lacking:
            _answer(case)
        assert lacking.value.inputs == case.wanted
        return
    verdict = _answer(case).verdict
    assert verdict is not None
    assert f"{verdict.outcome} by {verdict.by[0]}" == case.wanted


def test_a_refusal_that_no_policy_has_a_say_in_stands() -> None:
    entry = recorded(asks(), engine())
    leaf = _leaf(entry)
    expired = replace(leaf, clear={**leaf.clear, "d": "deny", "by": ["token"], "rc": "token.expired"})
    candidate = Candidate(Asked(engine()), "recorded")
    assert candidate.answer(expired, entry.inputs or b"", Asked(engine())).verdict is None


def test_a_token_of_an_issuer_that_was_unknown_is_undecidable() -> None:
    entry = recorded(asks(), engine())
    leaf = _leaf(entry)
    unknown = replace(leaf, clear={**leaf.clear, "d": "deny", "by": ["token"], "rc": "token.issuer"})
    with pytest.raises(UndecidableError, match="the credential"):
        Candidate(Asked(engine()), "recorded").answer(unknown, entry.inputs or b"", Asked(engine()))


def test_what_the_gateway_can_do_is_said_to_be_assumed_where_no_record_says_it() -> None:
    asking = LATE + 'require trace for any user on orders must remove header "x-debug" because "t"\n'
    answer = _answer(Case({LATE: asking}, asks(), "allow"))
    assert (answer.assumed, answer.verdict is not None and answer.verdict.duties.removed) == (True, ("x-debug",))
    assert not _answer(Case({}, asks(), "allow")).assumed
    known = POLICY.replace(LATE, asking)
    unable = replace(asks(), capabilities=frozenset({"step_up"}))
    answer = _answer(Case({LATE: asking}, unable, "deny", own=known))
    assert (answer.assumed, answer.verdict is not None and answer.verdict.reason) == (False, "capability.remove_header")


def test_what_a_program_can_do_that_asks_about_actions_is_missing() -> None:
    masked = POLICY + 'require mask for any employee on archive must redact "/name" because "masked"\n'
    entry = recorded(FILE, engine())
    with pytest.raises(UndecidableError) as lacking:
        Candidate(Asked(engine(masked)), "recorded").answer(_leaf(entry), entry.inputs or b"", Asked(engine()))
    assert lacking.value.inputs == ("what the caller can do",)


class _Lenient(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow")


def test_a_candidate_whose_compiled_form_is_wrong_says_nothing() -> None:
    made = engine()
    wrong = replace(made, plans=_Lenient.of(made.program))
    entry = recorded(asks("/orders/9"), made)
    with pytest.raises(PolicyError, match=r"differ in a call for `orders\.read`"):
        Candidate(Asked(wrong), "recorded").answer(_leaf(entry), entry.inputs or b"", Asked(made))


def test_inputs_that_are_none_are_damaged() -> None:
    entry = recorded(asks(), engine())
    with pytest.raises(BrokenError, match="not JSON"):
        Candidate(Asked(engine()), "recorded").answer(_leaf(entry), b"no JSON", Asked(engine()))
