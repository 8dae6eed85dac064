"""What the service counts, in a registry of its own that is handed around; nothing global.

Decisions and states go in, the Prometheus text format comes out. Labels take their values from closed lists, so that no
caller can make the number of series grow (channels are the policy's); no name of a rule, a path, a token or a caller
is in any of them.

    portcullis_decisions_total{outcome,by}   answers of the service; `by` is "rule" or a word of the closed list
    portcullis_audit_refusals_total          answers refused because the log could not take the record
    portcullis_listener_refusals_total{by}   answers a listener gave without the service: `deadline`, `internal`
    portcullis_observed_total{by}            calls that passed under `observe until`; `by` would have refused them
    portcullis_shadow_total                  shadow rules that applied, whatever was decided
    portcullis_alerts_total{channel}         alerts that rules asked for, by channel: a word of the policy
    portcullis_disagreements_total           calls refused because the two evaluators differed
    portcullis_policy_distrusted             1 while the definition alone decides, since its compiled form differed
    portcullis_policy_refusals_total         policies that were not put in force
    portcullis_decision_seconds              time from the inquiry to the recorded answer
    portcullis_policy_info{digest}           1 for the policy in force; no series while there is none
    portcullis_log_pending                   records handed to the log and not yet acknowledged
Design: contracts.md "Who decided".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pdp.audit.record import DISAGREEMENT
from pdp.model import Decision

CONTENT_TYPE = CONTENT_TYPE_LATEST

WORDS = frozenset({"token", "path", "route", "schema", "audience", "exclusive", "default", "scope"}) | frozenset(
    {"conflict", "capability", "internal", "deadline", "audit", "observe"}
)
"""The closed list of contracts.md "Who decided"."""

BUCKETS_S = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._decisions = Counter(
            "portcullis_decisions", "answers of the service", ("outcome", "by"), registry=self._registry
        )
        self._unrecorded = Counter(
            "portcullis_audit_refusals", "answers refused for want of a record", registry=self._registry
        )
        self._listener = Counter(
            "portcullis_listener_refusals", "answers a listener gave itself", ("by",), registry=self._registry
        )
        self._observed = Counter(
            "portcullis_observed", "calls that passed under observation", ("by",), registry=self._registry
        )
        self._shadow = Counter("portcullis_shadow", "shadow rules that applied", registry=self._registry)
        self._alerts = Counter("portcullis_alerts", "alerts asked for", ("channel",), registry=self._registry)
        self._disagreements = Counter(
            "portcullis_disagreements", "calls on which the evaluators differed", registry=self._registry
        )
        self._distrusted = Gauge(
            "portcullis_policy_distrusted", "the definition alone decides", registry=self._registry
        )
        self._refused = Counter("portcullis_policy_refusals", "policies not put in force", registry=self._registry)
        self._seconds = Histogram(
            "portcullis_decision_seconds", "from inquiry to answer", buckets=BUCKETS_S, registry=self._registry
        )
        self._policy = Gauge("portcullis_policy_info", "the policy in force", ("digest",), registry=self._registry)
        self._pending = Gauge("portcullis_log_pending", "records not yet acknowledged", registry=self._registry)

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count one answer of the service and the time it took."""
        by = decided_by(decision)
        self._decisions.labels(decision.outcome, by).inc()
        self._seconds.observe(seconds)
        if by == "audit":
            self._unrecorded.inc()
        if decision.observed is not None:
            self._observed.labels(_label(decision.observed.by)).inc()
        if decision.shadow:
            self._shadow.inc(len(decision.shadow))
        for channel in {*decision.duties.alerts, *decision.advice.alerts}:
            self._alerts.labels(channel).inc()
        if decision.reason == DISAGREEMENT:
            self._disagreements.inc()

    def policy_refused(self) -> None:
        """Count one policy that was not put in force."""
        self._refused.inc()

    def listener_refused(self, by: Literal["deadline", "internal"]) -> None:
        """Count one refusal that a listener gave without an answer of the service."""
        self._listener.labels(by).inc()

    def policy_in_force(self, digest: str) -> None:
        """State the digest of the policy that decides from now on."""
        self._policy.clear()
        self._policy.labels(digest).set(1)

    def watch_distrust(self, distrusted: Callable[[], bool]) -> None:
        """Ask `distrusted` whether the definition alone decides whenever the metrics are read; see `watch_pending`."""
        self._distrusted.set_function(distrusted)

    def watch_pending(self, pending: Callable[[], float]) -> None:
        """Ask `pending` for the length of the log's queue whenever the metrics are read; it may run on any thread."""
        self._pending.set_function(pending)

    def exposition(self) -> bytes:
        """All of it in the text format; `CONTENT_TYPE` is its type."""
        return generate_latest(self._registry)


def decided_by(decision: Decision) -> str:
    """Who decided, as a label: a word of the closed list, or "rule"."""
    return _label(decision.by)


def _label(by: tuple[str, ...]) -> str:
    primary = by[0] if by else ""
    return primary if primary in WORDS else "rule"
