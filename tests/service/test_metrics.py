"""What is counted is what was decided, in series that no caller can multiply."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from pdp.metrics import WORDS, Metrics, decided_by
from pdp.model import Decision
from policy_lang.verdict import Duties, Observed
from tests.support.decisions import DECISIONS


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of one series; None where there is none."""
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_decisions_are_counted_by_outcome_and_by_who_decided() -> None:
    metrics = Metrics()
    metrics.decided(Decision("allow", ("orders.own",), "", id="a"), 0.001)
    metrics.decided(Decision("allow", ("orders.other", "orders.own"), "", id="a"), 0.001)
    metrics.decided(Decision("deny", ("path",), "path.encoded_slash"), 0.001)
    assert value(metrics, "portcullis_decisions_total", outcome="allow", by="rule") == 2
    assert value(metrics, "portcullis_decisions_total", outcome="deny", by="path") == 1
    assert value(metrics, "portcullis_decision_seconds_count") == 3


def test_refusals_for_want_of_a_record_are_counted_apart() -> None:
    metrics = Metrics()
    assert value(metrics, "portcullis_audit_refusals_total") == 0
    metrics.decided(Decision("deny", ("audit",), "L201"), 0.001)
    metrics.decided(Decision("deny", ("default",), ""), 0.001)
    assert value(metrics, "portcullis_audit_refusals_total") == 1


def test_refusals_of_a_listener_are_counted_apart() -> None:
    metrics = Metrics()
    metrics.listener_refused("deadline")
    assert value(metrics, "portcullis_listener_refusals_total", by="deadline") == 1
    assert value(metrics, "portcullis_decision_seconds_count") == 0


def test_what_passes_under_observation_is_counted_by_who_would_have_refused_it() -> None:
    metrics = Metrics()
    passed = Decision("allow", ("observe",), "observe", id="a", observed=Observed("deny", ("orders.never",), "rule"))
    metrics.decided(passed, 0.001)
    metrics.decided(replace(passed, observed=Observed("deny", ("route",), "route.endpoint")), 0.001)
    assert value(metrics, "portcullis_observed_total", by="rule") == 1
    assert value(metrics, "portcullis_observed_total", by="route") == 1
    assert value(metrics, "portcullis_decisions_total", outcome="allow", by="observe") == 2


def test_shadow_rules_alerts_and_disagreements_are_counted() -> None:
    metrics = Metrics()
    alerted = Duties(alerts=("desk", "soc"))
    metrics.decided(Decision("deny", ("a.b",), "rule", duties=alerted, advice=Duties(alerts=("soc",))), 0.001)
    metrics.decided(Decision("allow", ("a.c",), "rule", id="a", shadow=("a.d", "a.e")), 0.001)
    metrics.decided(Decision("deny", ("internal",), "internal.disagreement"), 0.001)
    assert value(metrics, "portcullis_alerts_total", channel="soc") == 1
    assert value(metrics, "portcullis_alerts_total", channel="desk") == 1
    assert value(metrics, "portcullis_shadow_total") == 2
    assert value(metrics, "portcullis_disagreements_total") == 1


def test_that_the_definition_alone_decides_is_asked_when_it_is_read() -> None:
    metrics, distrusted = Metrics(), ["it differed"]
    metrics.watch_distrust(lambda: bool(distrusted))
    assert value(metrics, "portcullis_policy_distrusted") == 1
    distrusted.clear()
    assert value(metrics, "portcullis_policy_distrusted") == 0


def test_policies_that_were_not_put_in_force_are_counted() -> None:
    metrics = Metrics()
    metrics.policy_refused()
    assert value(metrics, "portcullis_policy_refusals_total") == 1


def test_latency_falls_into_the_bucket_above_it() -> None:
    metrics = Metrics()
    metrics.decided(Decision("allow", ("a.b",), ""), 0.0002)
    assert value(metrics, "portcullis_decision_seconds_bucket", le="0.0001") == 0
    assert value(metrics, "portcullis_decision_seconds_bucket", le="0.00025") == 1


def test_only_the_policy_in_force_is_shown() -> None:
    metrics = Metrics()
    metrics.policy_in_force("aa")
    metrics.policy_in_force("bb")
    assert value(metrics, "portcullis_policy_info", digest="aa") is None
    assert value(metrics, "portcullis_policy_info", digest="bb") == 1


def test_the_queue_of_the_log_is_asked_when_it_is_read() -> None:
    metrics, queue = Metrics(), [1, 2, 3]
    metrics.watch_pending(lambda: len(queue))
    assert value(metrics, "portcullis_log_pending") == 3
    queue.clear()
    assert value(metrics, "portcullis_log_pending") == 0


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.listener_refused("internal")
    assert value(other, "portcullis_listener_refusals_total", by="internal") is None


def test_nothing_is_in_the_global_registry() -> None:
    Metrics()
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("portcullis")]


def test_a_decision_by_nothing_is_counted_as_a_rule() -> None:
    assert decided_by(Decision("deny", (), "")) == "rule"


@given(st.lists(DECISIONS, max_size=20))
def test_labels_come_from_closed_lists(decisions: list[Decision]) -> None:
    """Labels(by) is a subset of WORDS + rule, Labels(outcome) of the three outcomes; the sum is the number decided."""
    metrics = Metrics()
    for decision in decisions:
        metrics.decided(decision, 0.001)
    families = {f.name: f for f in text_string_to_metric_families(metrics.exposition().decode())}
    samples = [s for s in families["portcullis_decisions"].samples if s.name.endswith("_total")]
    assert {sample.labels["by"] for sample in samples} <= WORDS | {"rule"}
    assert {sample.labels["outcome"] for sample in samples} <= {"allow", "deny", "step_up"}
    assert sum(sample.value for sample in samples) == len(decisions)
