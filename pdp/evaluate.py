"""Stations (0) to (3) of a request: from an inquiry to a decision, without a record.

    (0) engine     one read, held to the end
    (1) canonical  path, host, headers, address: refused by name, or exact; which service
    (2) principal  the credential, proved; which kind of principal
    (3) decision   the engine's verdict

(1) and (2) both run; the first of `token`, `path`, `route` that refuses is `by`. Pure but for what the identity
remembers. Anything unforeseen becomes a refusal by `internal`, here and nowhere else.
Design: architecture.md "The way of a request"; contracts.md "Which service", "Who decided".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from pdp.audit.record import Evidence
from pdp.canonical import Headers, Refusal, canonical_address, canonical_headers, canonical_host, canonical_method
from pdp.identity.bearer import Identity, Proven
from pdp.identity.jwt import TokenRefusal
from pdp.model import ANONYMOUS, Decision, Inquiry, Principal
from pdp.runtime.engine import Engine
from policy_lang.request import Path, PathRefusal, canonical_path
from policy_lang.verdict import Caller, Question, Verdict

log = logging.getLogger(__name__)

LONGEST_TARGET = 16_384
"""Characters of a path with its query: what a record can hold whole, so that every allow can be decided again."""

NOTHING = Evidence(inquiry=None, principal=None, question=None, inputs=None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A decision, what it was made of, and the engine that made it."""

    decision: Decision
    evidence: Evidence
    engine: Engine | None


@dataclass(frozen=True, slots=True)
class _Canonical:
    """Station (1), passed."""

    path: Path
    host: str
    method: str
    headers: Headers


class Evaluator:
    """Decides inquiries by the engine that is in force when each begins."""

    def __init__(self, engine: Callable[[], Engine | None], identity: Identity, *, service_from_host: bool) -> None:
        self._engine = engine
        self._identity = identity
        self._service_from_host = service_from_host
        self._told: set[str] = set()

    def evaluate(self, inquiry: Inquiry, now_us: int) -> Evaluation:
        """Decide `inquiry` at `now_us` (Unix microseconds). Total: raises nothing."""
        engine = self._engine()
        try:
            if engine is None:
                return Evaluation(refusal("internal", "internal.no_policy"), replace(NOTHING, inquiry=inquiry), None)
            return self._evaluate(engine, inquiry, now_us)
        except Exception as error:  # noqa: BLE001 - the one place where anything unforeseen becomes a refusal
            self._tell(error)
            policy = engine.digest if engine is not None else ""
            decision = replace(refusal("internal", "internal.error"), policy=policy)
            return Evaluation(decision, replace(NOTHING, inquiry=inquiry), engine)

    def _tell(self, error: Exception) -> None:
        """Each kind of failure is logged once, with its trace: a flood of them must not fill the disk."""
        kind = type(error).__qualname__
        if kind not in self._told:
            self._told.add(kind)
            log.error("a decision failed and was refused; further %s are only counted", kind, exc_info=error)

    def _evaluate(self, engine: Engine, inquiry: Inquiry, now_us: int) -> Evaluation:
        canonical = _canonicalise(inquiry)
        principal = self._principal(engine, inquiry, canonical, now_us // 1_000_000)
        evidence = replace(NOTHING, inquiry=inquiry)
        if isinstance(principal, TokenRefusal):
            return self._refused(engine, "token", principal.reason, evidence)
        evidence = replace(evidence, principal=principal)
        if isinstance(canonical, Refusal):
            return self._refused(engine, canonical.by, canonical.reason, evidence)
        service = self._service(engine, inquiry, canonical.host)
        if isinstance(service, Refusal):
            return self._refused(engine, service.by, service.reason, evidence)
        question = Question(
            service=service,
            method=canonical.method,
            path=canonical.path,
            host=canonical.host,
            caller=Caller(principal.name, principal.claims, principal.multi_audience),
            now_ms=now_us // 1_000,
            facts=engine.facts if inquiry.facts is None else inquiry.facts,
        )
        verdict, inputs = engine.decide_and_note(question)
        evidence = replace(evidence, question=question, inputs=inputs)
        return Evaluation(_decision(engine, service, principal, verdict), evidence, engine)

    def _principal(
        self, engine: Engine, inquiry: Inquiry, canonical: _Canonical | Refusal, now: int
    ) -> Principal | TokenRefusal:
        """Station (2). Headers that are not canonical prove nobody: the refusal of station (1) then decides."""
        if inquiry.principal is not None:
            known = inquiry.principal.name is None or any(k.id == inquiry.principal.name for k in engine.program.kinds)
            return inquiry.principal if known else TokenRefusal("token.kind")
        if isinstance(canonical, Refusal):
            headers = canonical_headers(inquiry.headers, frozenset())
            if isinstance(headers, Refusal):
                return ANONYMOUS
        else:
            headers = canonical.headers
        proven = self._identity.prove(headers.authorization, now)
        if isinstance(proven, Proven):
            kind = engine.kinds.get(proven.issuer)
            return TokenRefusal("token.issuer") if kind is None else proven.principal(kind.id)
        return ANONYMOUS if proven is None else proven

    def _service(self, engine: Engine, inquiry: Inquiry, host: str) -> str | Refusal:
        """Which service the call is for: what the gateway says, or the host where the configuration trusts it."""
        service = inquiry.service
        if service is None:
            candidates = engine.hosts.get(host, ()) if self._service_from_host else ()
            if len(candidates) != 1:
                return Refusal("route", "route.no_service")
            service = candidates[0]
        if service not in engine.services:
            return Refusal("route", "route.service")
        if inquiry.services is not None and service not in inquiry.services:
            return Refusal("route", "route.gateway")
        return service

    def _refused(self, engine: Engine, by: str, reason: str, evidence: Evidence) -> Evaluation:
        authenticated = evidence.principal is not None and evidence.principal.kind != "anonymous"
        decision = replace(refusal(by, reason), policy=engine.digest, authenticated=authenticated)
        return Evaluation(decision, evidence, engine)


def refusal(by: str, reason: str) -> Decision:
    """A refusal that no rule spoke."""
    return Decision(outcome="deny", by=(by,), reason=reason)


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
        rules=decision.rules,
        nearest=decision.nearest,
    )


def _canonicalise(inquiry: Inquiry) -> _Canonical | Refusal:
    """Station (1), but for the service. The first refusal of path, host, method, headers, address."""
    if inquiry.path is None or inquiry.host is None or inquiry.method is None:
        return Refusal("path", "request.missing")
    if len(inquiry.path) > LONGEST_TARGET:
        return Refusal("path", "path.too_long")
    path = canonical_path(inquiry.path)
    if isinstance(path, PathRefusal):
        return Refusal("path", path.reason)
    host = canonical_host(inquiry.host)
    if isinstance(host, Refusal):
        return host
    method = canonical_method(inquiry.method)
    if isinstance(method, Refusal):
        return method
    headers = canonical_headers(inquiry.headers, frozenset())
    if isinstance(headers, Refusal):
        return headers
    address = canonical_address(inquiry.ip)
    return address if isinstance(address, Refusal) else _Canonical(path, host, method, headers)


def _decision(engine: Engine, service: str, principal: Principal, verdict: Verdict) -> Decision:
    endpoint = engine.endpoints.get(verdict.endpoint or "")
    return Decision(
        outcome=verdict.outcome,
        by=verdict.by,
        reason=verdict.reason,
        subject=verdict.subject,
        policy=engine.digest,
        service=service,
        endpoint=verdict.endpoint,
        authenticated=principal.kind != "anonymous",
        challenges=verdict.challenges,
        scopes=endpoint.scopes if endpoint is not None else (),
        log=verdict.log,
        rules=verdict.rules,
        nearest=verdict.nearest,
    )
