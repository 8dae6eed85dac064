"""What the service counts, in a registry of its own that is handed around; nothing global.

Decisions and states go in, the Prometheus text format comes out. Labels take their values from closed lists, so that no
caller can make the number of series grow (channels are the policy's, issuers the configuration's); no name of a rule, a
path, a token or a caller is in any of them.

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
    portcullis_log_aggregated                refusals that share a record with others, since the start
    portcullis_log_extended                  1 while the log is extended and signed, 0 while it is not to be
    portcullis_token_refusals_total{reason}  refusals by `token`; `reason` is one of `TOKEN_REASONS`, else `other`
    portcullis_issuer_keys_counted{issuer}   1 while keys of an issuer count that are asked for over a network, else 0
    portcullis_issuer_keys_age_seconds{issuer}  how old these keys are; no series while none count
    portcullis_revocations                   what is known to be revoked, in entries
    portcullis_shared_state_usable           1 while what the workers share can be read, else 0
    portcullis_minted_total{outcome}         tokens that rules asked for: `new`, `kept` (handed out again), `failed`
    portcullis_minting_key_signs             1 while a key signs tokens, else 0
    portcullis_minting_key_seconds           for how long that key signs at least; no series while none does
Where several workers serve, all of them are asked, and the sum is shown (pdp/metrics_sum.py), with
    portcullis_workers, portcullis_workers_ready   how many there are to be, and how many decide and record now
What is asked for when the metrics are read has no series before somebody says whom to ask.
Design: contracts.md "Who decided".

Decision: 2026-11-21. Where no keys count, or none signs, an age or a time has no series: any number in its place (-1)
would count in a sum or a comparison. The series beside it, 0 then, is what to be warned by.
Decision: 2026-11-21. Refused tokens are counted by reason alone: a decision does not say whose the token was, and what
a refused token says of its issuer is proved by nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pdp.audit.record import DISAGREEMENT
from pdp.model import Decision

CONTENT_TYPE = CONTENT_TYPE_LATEST

WORDS = frozenset({"token", "path", "route", "schema", "audience", "exclusive", "default", "scope"}) | frozenset(
    {"conflict", "capability", "internal", "deadline", "audit", "observe"}
)
"""The closed list of contracts.md "Who decided"."""

TOKEN_REASONS = frozenset(
    f"token.{reason}"
    for reason in (
        *("algorithm", "ambiguous", "certificate_over", "claims", "critical", "dpop", "embedded_key", "empty"),
        *("expired", "idle", "issuer", "key", "kind", "lifetime", "malformed", "not_yet", "repeated", "revoked"),
        *("scheme", "session", "session_unknown", "signature", "too_large", "type", "unproved"),
    )
) | {"mint.over"}
"""Why a token is refused: the reasons of pdp/identity, pdp/principals.py and what stands behind the credential; and
that it ends too soon for one that is to be minted.
"""

MintOutcome = Literal["new", "kept", "failed"]
MINT_OUTCOMES: tuple[MintOutcome, ...] = ("new", "kept", "failed")

BUCKETS_S = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0)


class Sample(Struct, frozen=True):
    """One line of the text format."""

    name: str
    labels: Mapping[str, str]
    value: float


class Family(Struct, frozen=True):
    """What has one name, as counted by one process or by several."""

    name: str
    said: str
    kind: str
    samples: Sequence[Sample]


class _Whole(Collector):
    """Families that were counted elsewhere."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Them, as they are."""
        for family in self._families:
            metric = Metric(family.name, family.said, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            yield metric


class _Asked(Collector):
    """Gauges whose values are asked for whenever the metrics are read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ask: Callable[[], Iterable[Metric]] = tuple
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The gauges as they are now."""
        return self.ask()


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._whole: Sequence[Family] | None = None
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
        self._aggregated = Gauge("portcullis_log_aggregated", "refusals that share a record", registry=self._registry)
        self._extended = Gauge("portcullis_log_extended", "the log is extended and signed", registry=self._registry)
        self._tokens = Counter(
            "portcullis_token_refusals", "refused tokens by reason", ("reason",), registry=self._registry
        )
        self._minted = Counter(
            "portcullis_minted", "tokens that rules asked for", ("outcome",), registry=self._registry
        )
        for outcome in MINT_OUTCOMES:
            self._minted.labels(outcome)
        self._counted: dict[tuple[str, str], Counter] = {}
        self._issuers, self._shared, self._signing = (_Asked(self._registry) for _ in range(3))

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count one answer of the service and the time it took."""
        by = decided_by(decision)
        counted = self._counted.get((decision.outcome, by))
        if counted is None:
            counted = self._counted[decision.outcome, by] = self._decisions.labels(decision.outcome, by)
        counted.inc()
        self._seconds.observe(seconds)
        if by == "audit":
            self._unrecorded.inc()
        if by == "token":
            self._tokens.labels(decision.reason if decision.reason in TOKEN_REASONS else "other").inc()
        if decision.observed is not None:
            self._observed.labels(_label(decision.observed.by)).inc()
        if decision.shadow:
            self._shadow.inc(len(decision.shadow))
        if decision.duties.alerts or decision.advice.alerts:
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

    def watch_log(self, aggregated: Callable[[], float], extended: Callable[[], bool]) -> None:
        """Ask how many refusals share a record, and whether the log is extended. See `watch_pending`."""
        self._aggregated.set_function(aggregated)
        self._extended.set_function(extended)

    def minted(self, outcome: MintOutcome) -> None:
        """Count one token that a rule asked for: made anew, handed out again, or not to be had."""
        self._minted.labels(outcome).inc()

    def watch_issuers(self, ages_s: Callable[[], Mapping[str, float | None]]) -> None:
        """Ask `ages_s` how old the keys are that count, in seconds, for each issuer whose keys are asked for over a
        network; None where none count. See `watch_pending`.
        """
        self._issuers.ask = partial(_of_issuers, ages_s)

    def watch_shared(self, shared: Callable[[], tuple[int, bool]]) -> None:
        """Ask `shared` how many revocations are known, and whether their store can be read. See `watch_pending`."""
        self._shared.ask = partial(_of_shared, shared)

    def watch_minting(self, left_s: Callable[[], float | None]) -> None:
        """Ask `left_s` for how many seconds the key that signs does so at least; None where none does. See
        `watch_pending`.
        """
        self._signing.ask = partial(_of_signing, left_s)

    def families(self) -> list[Family]:
        """All of it, to be added to what other workers count."""
        found = self._registry.collect()
        return [Family(each.name, each.documentation, each.type, _samples_of(each)) for each in found]

    def show(self, whole: Sequence[Family]) -> None:
        """Let the next `exposition` be of `whole`, what all workers count."""
        self._whole = whole

    def exposition(self) -> bytes:
        """All of it in the text format; `CONTENT_TYPE` is its type."""
        whole, self._whole = self._whole, None
        if whole is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        registry.register(_Whole(whole))
        return generate_latest(registry)


def _samples_of(metric: Metric) -> list[Sample]:
    return [Sample(each.name, each.labels, float(each.value)) for each in metric.samples]


def decided_by(decision: Decision) -> str:
    """Who decided, as a label: a word of the closed list, or "rule"."""
    return _label(decision.by)


def _label(by: tuple[str, ...]) -> str:
    primary = by[0] if by else ""
    return primary if primary in WORDS else "rule"


def _of_issuers(ages_s: Callable[[], Mapping[str, float | None]]) -> Iterator[Metric]:
    known = ages_s()
    said = "whether keys of an issuer that are asked for over a network count"
    counted = GaugeMetricFamily("portcullis_issuer_keys_counted", said, labels=("issuer",))
    said = "how old the keys of an issuer are; no series while none count"
    ages = GaugeMetricFamily("portcullis_issuer_keys_age_seconds", said, labels=("issuer",))
    for issuer, age_s in known.items():
        counted.add_metric([issuer], age_s is not None)
        if age_s is not None:
            ages.add_metric([issuer], age_s)
    yield counted
    yield ages


def _of_shared(shared: Callable[[], tuple[int, bool]]) -> Iterator[Metric]:
    entries, usable = shared()
    yield GaugeMetricFamily("portcullis_revocations", "what is known to be revoked", value=entries)
    yield GaugeMetricFamily("portcullis_shared_state_usable", "what the workers share can be read", value=usable)


def _of_signing(left_s: Callable[[], float | None]) -> Iterator[Metric]:
    left = left_s()
    yield GaugeMetricFamily("portcullis_minting_key_signs", "a key signs tokens", value=left is not None)
    said = "for how long the key that signs does so at least; no series while none does"
    if left is not None:
        yield GaugeMetricFamily("portcullis_minting_key_seconds", said, value=left)
