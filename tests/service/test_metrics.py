"""What is counted is what was decided, in series that no caller can multiply."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from pdp.metrics import TOKEN_REASONS, WORDS, Metrics, decided_by
from pdp.model import Decision
from policy_lang.verdict import Duties, Observed
from tests.support.decisions import DECISIONS
from tests.support.process import ROOT

AGE = "portcullis_issuer_keys_age_seconds"
COUNTED = "portcullis_issuer_keys_counted"
ISSUER = "https://id.example"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of one series; None where there is none."""
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def labels(metrics: Metrics, name: str, label: str) -> set[str]:
    """The values of one label of the series of one name."""
    return {each[label] for sample, each in series(metrics) if sample == name}


def series(metrics: Metrics) -> list[tuple[str, dict[str, str]]]:
    """Names and labels of all series but those that say when a counter was made."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    samples = [sample for family in families for sample in family.samples]
    return [(sample.name, sample.labels) for sample in samples if not sample.name.endswith("_created")]


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
    metrics.watch_log(lambda: 7, lambda: False)
    assert value(metrics, "portcullis_log_aggregated") == 7
    assert value(metrics, "portcullis_log_extended") == 0
    queue.clear()
    assert value(metrics, "portcullis_log_pending") == 0


# ---------------------------------------------------------------- tokens


def test_refused_tokens_are_counted_by_reason_and_nothing_else_is() -> None:
    metrics = Metrics()
    for reason in ("token.expired", "token.expired", "token.key"):
        metrics.decided(Decision("deny", ("token",), reason), 0.001)
    metrics.decided(Decision("deny", ("path",), "path.encoded_slash"), 0.001)
    metrics.decided(Decision("allow", ("orders.own",), "rule", id="a"), 0.001)
    assert value(metrics, "portcullis_token_refusals_total", reason="token.expired") == 2
    assert value(metrics, "portcullis_token_refusals_total", reason="token.key") == 1
    assert labels(metrics, "portcullis_token_refusals_total", "reason") == {"token.expired", "token.key"}


def test_a_token_that_ends_too_soon_for_a_minted_one_is_counted_as_that() -> None:
    metrics = Metrics()
    metrics.decided(Decision("deny", ("token",), "mint.over", id="a"), 0.001)
    assert labels(metrics, "portcullis_token_refusals_total", "reason") == {"mint.over"}


def test_a_reason_that_is_not_known_makes_no_series_of_its_own() -> None:
    metrics = Metrics()
    for number in range(3):
        metrics.decided(Decision("deny", ("token",), f"token.{number}"), 0.001)
    assert labels(metrics, "portcullis_token_refusals_total", "reason") == {"other"}
    assert value(metrics, "portcullis_token_refusals_total", reason="other") == 3


def test_every_reason_for_which_a_token_is_refused_is_one_of_the_closed_list() -> None:
    said: set[str] = set()
    for path in (ROOT / "pdp").rglob("*.py"):
        said |= set(re.findall(r'"(token\.[a-z_]+)"', path.read_text()))
    said -= {"token.aud"}  # a claim, as policies call it
    assert said == TOKEN_REASONS - {"mint.over"}


def test_minted_tokens_are_counted_from_the_start_by_what_became_of_them() -> None:
    metrics = Metrics()
    assert value(metrics, "portcullis_minted_total", outcome="failed") == 0
    metrics.minted("new")
    metrics.minted("kept")
    metrics.minted("kept")
    assert value(metrics, "portcullis_minted_total", outcome="new") == 1
    assert value(metrics, "portcullis_minted_total", outcome="kept") == 2
    assert labels(metrics, "portcullis_minted_total", "outcome") == {"new", "kept", "failed"}


# ---------------------------------------------------------------- what is asked for when the metrics are read


def test_the_age_of_an_issuers_keys_is_shown_while_they_count() -> None:
    metrics, ages = Metrics(), dict[str, float | None]({ISSUER: 12.5, "https://other.example": None})
    metrics.watch_issuers(lambda: ages)
    assert (value(metrics, AGE, issuer=ISSUER), value(metrics, COUNTED, issuer=ISSUER)) == (12.5, 1)
    assert value(metrics, AGE, issuer="https://other.example") is None
    assert value(metrics, COUNTED, issuer="https://other.example") == 0
    ages[ISSUER] = None
    assert (value(metrics, AGE, issuer=ISSUER), value(metrics, COUNTED, issuer=ISSUER)) == (None, 0)


def test_keys_that_were_just_fetched_are_no_seconds_old_and_count() -> None:
    metrics = Metrics()
    metrics.watch_issuers(lambda: {ISSUER: 0.0})
    assert (value(metrics, AGE, issuer=ISSUER), value(metrics, COUNTED, issuer=ISSUER)) == (0, 1)


def test_the_name_of_an_issuer_cannot_leave_its_label() -> None:
    metrics, hostile = Metrics(), 'https://id.example/"} 7\nportcullis_log_pending 9\\'
    metrics.watch_issuers(lambda: {hostile: 1.0})
    assert value(metrics, AGE, issuer=hostile) == 1
    assert value(metrics, "portcullis_log_pending") == 0


def test_what_is_revoked_and_whether_it_can_be_read_are_shown_together() -> None:
    metrics, shared = Metrics(), [(3, True)]
    metrics.watch_shared(lambda: shared[-1])
    assert value(metrics, "portcullis_revocations") == 3
    assert value(metrics, "portcullis_shared_state_usable") == 1
    shared.append((3, False))
    assert value(metrics, "portcullis_revocations") == 3
    assert value(metrics, "portcullis_shared_state_usable") == 0


def test_how_long_the_signing_key_signs_is_shown_while_one_does() -> None:
    metrics, left = Metrics(), list[float | None]([90.5])
    metrics.watch_minting(lambda: left[-1])
    assert value(metrics, "portcullis_minting_key_seconds") == 90.5
    assert value(metrics, "portcullis_minting_key_signs") == 1
    left.append(None)
    assert value(metrics, "portcullis_minting_key_seconds") is None
    assert value(metrics, "portcullis_minting_key_signs") == 0


def test_a_key_that_is_replaced_this_second_still_signs() -> None:
    metrics = Metrics()
    metrics.watch_minting(lambda: 0)
    assert value(metrics, "portcullis_minting_key_signs") == 1


UNWATCHED = (
    AGE,
    COUNTED,
    "portcullis_revocations",
    "portcullis_shared_state_usable",
    "portcullis_minting_key_signs",
    "portcullis_minting_key_seconds",
)


@pytest.mark.parametrize("name", UNWATCHED)
def test_before_anybody_says_whom_to_ask_there_is_no_series(name: str) -> None:
    assert name not in Metrics().exposition().decode()


WATCHES: dict[str, Callable[[Metrics, str], None]] = {
    "issuers": lambda metrics, who: metrics.watch_issuers(lambda: {who: 1.0}),
    "shared state": lambda metrics, who: metrics.watch_shared(lambda: (len(who), True)),
    "minting": lambda metrics, who: metrics.watch_minting(lambda: len(who)),
}


@pytest.mark.parametrize("what", WATCHES)
def test_who_is_asked_about_is_replaced_not_added(what: str) -> None:
    replaced, fresh = Metrics(), Metrics()
    WATCHES[what](replaced, "one")
    WATCHES[what](replaced, "another")
    WATCHES[what](fresh, "another")
    assert series(replaced) == series(fresh)


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.listener_refused("internal")
    assert value(other, "portcullis_listener_refusals_total", by="internal") is None


def test_nothing_is_in_the_global_registry() -> None:
    Metrics()
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("portcullis")]


def test_a_decision_by_nothing_is_counted_as_a_rule() -> None:
    assert decided_by(Decision("deny", (), "")) == "rule"


@given(st.lists(DECISIONS, max_size=4))
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
    assert labels(metrics, "portcullis_token_refusals_total", "reason") <= TOKEN_REASONS | {"other"}
