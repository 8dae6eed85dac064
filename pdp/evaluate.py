"""Stations (0) to (3) of a request: from an inquiry to a decision, without a record.

    (0) engine     one read, held to the end
    (1) canonical  path, host, headers, address: refused by name, or exact; which service
    (2) principal  the credential, proved, or who the gateway says calls; which kind of principal
    (3) decision   the engine's verdict

(1) and (2) both run; the first of `token`, `path`, `route` that refuses is `by`. Pure but for what the identity
remembers, the counts of what is compared and explained, and which plans are distrusted. Anything unforeseen becomes a
refusal by `internal`, here and nowhere else.

Each so-many-th decision is asked of both evaluators, and so is every one that is explained; where they differ, the call
is refused (`internal.disagreement`): one of the two is wrong. The definition is right by definition, so from then on it
alone decides under that policy; where its cell is too large for that, calls are refused (`internal.distrusted`).
INVARIANT: explaining and comparing together take no more than `STEPS_PER_SECOND`, and at once no more than
`MOST_TRACED` steps (pdp/runtime/work.py): a twentieth of the loop, some 15 ms. What is beyond is not explained, and its
record says so; a comparison that was due is made at the next call that leaves room for it.
Design: architecture.md "The way of a request"; contracts.md "Which service", "Who decided".

Decision: 2026-11-21. A declared peer is known by its exact SPIFFE id, whether or not the rest of the request is
canonical: a refusal for it is 403, not a plain 401.
Decision: 2026-11-21. Plans that were once wrong are wrong until another program is put in force: they are known by the
digest of the program, so that a policy that comes back comes back distrusted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from pdp.allowance import Allowance
from pdp.audit.inputs import Evidence, ends_ms
from pdp.audit.record import DISAGREEMENT, DISTRUSTED, decided_by, earliest
from pdp.canonical import Refusal
from pdp.canonical_call import CanonicalCall, canonical_call, loose_headers
from pdp.identity.asserted import stranger_refused
from pdp.identity.bearer import Identity
from pdp.identity.jwt import TokenRefusal
from pdp.model import AUTHORIZATION, HEADERS, ISSUE, Capability, Decision, Inquiry, Principal
from pdp.principals import principal_of
from pdp.runtime.engine import Engine, place_of, same
from pdp.runtime.work import MOST_TRACED
from policy_lang.ir import Value
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.signals import read_signals
from policy_lang.verdict import ActionCall, Caller, Question, Verdict

log = logging.getLogger(__name__)

EXPLAINED_PER_SECOND = 50
COMPARE_EVERY = 1000
STEPS_PER_SECOND = 4_000
"""Steps of explanations and comparisons (pdp/runtime/work.py)."""

NOTHING = Evidence(inquiry=None, principal=None, question=None, inputs=None)
NO_SIGNALS: Mapping[str, Value] = {}


class Evaluation(Struct, frozen=True):
    """A decision, what it was made of, and the engine that made it."""

    decision: Decision
    evidence: Evidence
    engine: Engine | None


class JudgingError(Exception):
    """Judging a call failed, at an endpoint that is known."""

    def __init__(self, place: str, cause: Exception) -> None:
        super().__init__(place)
        self.place = place
        self.cause = cause


class Evaluator:
    """Decides inquiries by the engine that is in force when each begins.

    `explained_per_second` bounds the refusals by `default` whose nearest rule is looked for; all that is traced is
    bounded besides. `compare_every` 0 compares no others than those that are explained. An engine without plans
    explains every decision. `issues_tokens`: there is somebody who makes the tokens that rules ask for.
    """

    def __init__(
        self,
        engine: Callable[[], Engine | None],
        identity: Identity,
        *,
        service_from_host: bool,
        issues_tokens: bool = False,
        explained_per_second: int = EXPLAINED_PER_SECOND,
        compare_every: int = COMPARE_EVERY,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._service_from_host = service_from_host
        self._issues_tokens = issues_tokens
        self._compare_every = compare_every
        self._explained = Allowance(explained_per_second)
        self._steps = Allowance(STEPS_PER_SECOND)
        self._judged = 0
        self._distrusted: set[str] = set()
        self._told: set[tuple[str, str, str]] = set()

    def evaluate(self, inquiry: Inquiry, now_us: int) -> Evaluation:
        """Decide `inquiry` at `now_us` (Unix microseconds). Total: raises nothing."""
        engine = self._engine()
        try:
            if engine is None:
                return Evaluation(refusal("internal", "internal.no_policy"), replace(NOTHING, inquiry=inquiry), None)
            return self._evaluate(engine, inquiry, now_us)
        except Exception as error:  # noqa: BLE001 - the one place where anything unforeseen becomes a refusal
            policy = engine.digest if engine is not None else ""
            self._tell(policy, error)
            decision = replace(refusal("internal", "internal.error"), policy=policy)
            return Evaluation(decision, replace(NOTHING, inquiry=inquiry), engine)

    def misgiving(self) -> str:
        """What is to be said of how decisions are made now; "" where it is as it should be."""
        engine = self._engine()
        if engine is None or not self._is_distrusted(engine):
            return ""
        said = f"the compiled form of policy {engine.digest[:12]} differed from its definition"
        return f"{said}: the definition alone decides, and calls for large endpoints are refused"

    def _is_distrusted(self, engine: Engine) -> bool:
        return engine.ir_digest in self._distrusted

    def _tell(self, policy: str, error: Exception) -> None:
        """Each kind of failure is logged once a policy and endpoint: a flood of them must not fill the disk."""
        place, cause = (error.place, error.cause) if isinstance(error, JudgingError) else ("no endpoint", error)
        told = (type(cause).__qualname__, policy, place)
        if told not in self._told:
            self._told.add(told)
            log.error(
                "a decision by policy %s failed at %s and was refused; further %s there are only counted",
                *(policy[:12], place, told[0]),
                exc_info=cause,
            )

    def _distrust(self, engine: Engine, call: Call | Refused, verdict: Verdict, definition: Verdict) -> None:
        self._distrusted.add(engine.ir_digest)
        log.error(
            "the compiled form of policy %s says %s at %s, and its definition %s: the definition decides from now on",
            *(engine.digest[:12], verdict.by[0], place_of(call), definition.by[0]),
        )

    def _evaluate(self, engine: Engine, inquiry: Inquiry, now_us: int) -> Evaluation:
        canonical = canonical_call(inquiry, engine.vocabulary)
        principal = principal_of(self._identity, engine, inquiry, canonical, now_us // 1_000_000)
        if isinstance(principal, TokenRefusal):
            return _refused(engine, "token", principal.reason, Evidence(inquiry, None, None, None))
        evidence = Evidence(inquiry, principal if isinstance(principal, Principal) else None, None, None)
        if isinstance(canonical, Refusal):
            return _refused(engine, canonical.by, canonical.reason, evidence)
        if isinstance(principal, Refusal):
            return _refused(engine, principal.by, principal.reason, evidence)
        service = self._service(engine, inquiry, canonical)
        if isinstance(service, Refusal):
            return _refused(engine, service.by, service.reason, evidence)
        signals = engine.program.signals
        question = Question(
            service=service,
            call=canonical.call,
            caller=Caller(principal.name, principal.claims, principal.multi_audience),
            now_ms=now_us // 1_000,
            facts=engine.facts if inquiry.facts is None else inquiry.facts,
            origin=canonical.origin,
            signals=read_signals(signals, inquiry.signals) if signals else NO_SIGNALS,
            capabilities=self._able(engine, inquiry),
        )
        call = engine.admit(question)
        try:
            stranger = principal.kind == "subject" and principal.name is None
            verdict = stranger_refused(call) if stranger else self._judge(engine, question, call)
            evidence = Evidence(inquiry, principal, question, engine.inputs(question, call))
        except Exception as error:
            raise JudgingError(place_of(call), error) from error
        return Evaluation(_decision(engine, service, evidence, verdict), evidence, engine)

    def _able(self, engine: Engine, inquiry: Inquiry) -> frozenset[Capability]:
        """What the gateway can do; one whose own configuration is older than the policy sets and removes no header, and
        one that does not take the credential from our answer passes the caller's own on.
        """
        able, carries = inquiry.capabilities, inquiry.carries
        if not self._issues_tokens or (carries is not None and AUTHORIZATION not in carries):
            able -= ISSUE
        return able - HEADERS if loose_headers(inquiry, engine.vocabulary) else able

    def _judge(self, engine: Engine, question: Question, call: Call | Refused) -> Verdict:
        """Station (3): the verdict, with the clauses that its record is to show."""
        if engine.plans is None:
            return engine.explain(question, call)
        if self._is_distrusted(engine):
            small = engine.steps(call) <= MOST_TRACED
            return engine.explain(question, call) if small else _undecided(call, DISTRUSTED)
        verdict = engine.judge(question, call)
        self._judged += 1
        explained = self._is_explained(engine, call, verdict, question.now_ms)
        if explained or self._is_compared(engine, call, question.now_ms):
            definition = engine.explain(question, call)
            if not same(verdict, definition):
                self._distrust(engine, call, verdict, definition)
                return _undecided(call, DISAGREEMENT)
            if explained:
                return replace(definition, by=verdict.by)
        primary = decided_by(verdict)[0]
        if isinstance(call, Refused) or "." not in primary:
            return verdict
        outcome = verdict.outcome if verdict.observed is None else verdict.observed.outcome
        return replace(verdict, rules=engine.primary(call, primary, outcome))

    def _is_explained(self, engine: Engine, call: Call | Refused, verdict: Verdict, now_ms: int) -> bool:
        """Whether all clauses are looked at: where every one is to be recorded, and of refusals by `default`, of which
        the nearest rule is.
        """
        full = verdict.log.level == "full"
        if not full and decided_by(verdict) != ("default",):
            return False
        steps = engine.steps(call)
        if steps > MOST_TRACED or not (full or self._explained.take(1, now_ms)):
            return False
        return self._steps.take(steps, now_ms)

    def _is_compared(self, engine: Engine, call: Call | Refused, now_ms: int) -> bool:
        """Whether a comparison is due, and this call leaves room for it."""
        if not 0 < self._compare_every <= self._judged:
            return False
        steps = engine.steps(call)
        if steps > MOST_TRACED or not self._steps.take(steps, now_ms):
            return False
        self._judged = 0
        return True

    def _service(self, engine: Engine, inquiry: Inquiry, canonical: CanonicalCall) -> str | Refusal:
        """Which service the call is for: what the gateway says; else the one service that has this action, or the host
        where the configuration trusts it.
        """
        service = inquiry.service
        if service is None:
            candidates: tuple[str, ...] = ()
            if isinstance(canonical.call, ActionCall):
                candidates = _acting(engine, inquiry, canonical.call)
            elif self._service_from_host:
                candidates = engine.hosts.get(canonical.host, ())
            if len(candidates) != 1:
                return Refusal("route", "route.no_service")
            service = candidates[0]
        if service not in engine.services:
            return Refusal("route", "route.service")
        if inquiry.services is not None and service not in inquiry.services:
            return Refusal("route", "route.gateway")
        return service


def _acting(engine: Engine, inquiry: Inquiry, call: ActionCall) -> tuple[str, ...]:
    """The services, of those the gateway may ask about, that have an endpoint for an action."""
    actions = engine.reference.admission.router.actions
    asked = engine.services if inquiry.services is None else inquiry.services
    return tuple(service for service in asked if (service, call.action, call.resource) in actions)


def _undecided(call: Call | Refused, reason: str) -> Verdict:
    """The verdict on a call of which nobody may say what the policy says."""
    return Verdict(
        "deny", ("internal",), reason, endpoint=call.endpoint if isinstance(call, Refused) else call.endpoint.id
    )


def refusal(by: str, reason: str) -> Decision:
    """A refusal that no rule spoke."""
    return Decision(outcome="deny", by=(by,), reason=reason)


def _refused(engine: Engine, by: str, reason: str, evidence: Evidence) -> Evaluation:
    """A refusal before the engine was asked."""
    decision = replace(refusal(by, reason), policy=engine.digest, authenticated=_is_authenticated(engine, evidence))
    return Evaluation(decision, evidence, engine)


def _is_authenticated(engine: Engine, evidence: Evidence) -> bool:
    """Whether a valid credential or a declared peer stands behind a call."""
    principal, inquiry = evidence.principal, evidence.inquiry
    proved = principal is not None and principal.kind != "anonymous"
    return proved or (inquiry is not None and inquiry.peer in engine.vocabulary.workloads)


def verdict_of(decision: Decision) -> Verdict:
    """The same in the words of the language, for whoever explains it."""
    return Verdict(
        outcome=decision.outcome,
        by=decision.by,
        reason=decision.reason,
        subject=decision.subject,
        endpoint=decision.endpoint,
        challenges=decision.challenges,
        log=decision.log,
        duties=decision.duties,
        advice=decision.advice,
        status=decision.status,
        shadow=decision.shadow,
        observed=decision.observed,
        valid_until_ms=decision.valid_until_ms,
        rules=decision.rules,
        nearest=decision.nearest,
        baselines=decision.baselines,
    )


def _kept_back(engine: Engine, verdict: Verdict) -> frozenset[str]:
    """The headers that no upstream may see but as this decision sets them. Where a call passes that policy refuses, no
    rule is left to remove any: what one would is kept back as well.
    """
    words = engine.vocabulary
    return words.identity_headers if verdict.observed is None else words.guarded_headers


def _decision(engine: Engine, service: str, evidence: Evidence, verdict: Verdict) -> Decision:
    endpoint = engine.endpoints.get(verdict.endpoint or "")
    return Decision(
        outcome=verdict.outcome,
        by=verdict.by,
        reason=verdict.reason,
        subject=verdict.subject,
        policy=engine.digest,
        service=service,
        endpoint=verdict.endpoint,
        authenticated=_is_authenticated(engine, evidence),
        challenges=verdict.challenges,
        scopes=endpoint.scopes if endpoint is not None else (),
        log=verdict.log,
        duties=verdict.duties,
        advice=verdict.advice,
        status=verdict.status,
        shadow=verdict.shadow,
        observed=verdict.observed,
        valid_until_ms=earliest(verdict.valid_until_ms, ends_ms(evidence)),
        identity_headers=_kept_back(engine, verdict),
        rules=verdict.rules,
        nearest=verdict.nearest,
        baselines=verdict.baselines,
    )
