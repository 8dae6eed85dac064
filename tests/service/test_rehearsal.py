"""The rehearsal: every transport of every gateway, through the real evaluator, and nothing of it is left behind."""

from __future__ import annotations

from collections.abc import Mapping

from pdp.evaluate import Evaluation, Evaluator
from pdp.gateways import Gateway
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import Inquiry
from pdp.rehearsal import rehearse
from tests.support.crowded import crowded_engine
from tests.support.http_parts import NOW_US

GATEWAYS = (Gateway("edge", None), Gateway("app", frozenset({"s"}), subjects=True), Gateway("none", frozenset()))
CHALLENGES: Mapping[str, str] = {"mfa": "urn:example:mfa"}


class Watched(Evaluator):
    """The evaluator, and what it was asked and said."""

    asked: list[tuple[Inquiry, Evaluation]]

    def evaluate(self, inquiry: Inquiry, now_us: int) -> Evaluation:
        made = super().evaluate(inquiry, now_us)
        self.asked.append((inquiry, made))
        return made


def watched(*, policy: bool) -> Watched:
    engine = crowded_engine(1) if policy else None
    evaluator = Watched(
        lambda: engine,
        Identity(Verifier({})),
        service_from_host=False,
        explained_per_second=0,
        compare_every=0,
    )
    evaluator.asked = []
    return evaluator


def test_each_gateway_asks_over_each_transport_and_nothing_is_allowed() -> None:
    evaluator = watched(policy=True)
    rehearse(evaluator, GATEWAYS, NOW_US, CHALLENGES)
    asked = [(inquiry.gateway, inquiry.method, inquiry.action) for inquiry, _ in evaluator.asked]
    for gateway in GATEWAYS:
        assert [each[1:] for each in asked if each[0] == gateway.name] == [
            (None, None),
            ("GET", None),
            (None, None),
            (None, "read"),
        ]
    assert {made.decision.outcome for _, made in evaluator.asked} == {"deny"}


def test_without_a_policy_and_without_gateways_it_goes_as_well() -> None:
    evaluator = watched(policy=False)
    rehearse(evaluator, GATEWAYS, NOW_US, CHALLENGES)
    assert {made.decision.outcome for _, made in evaluator.asked} == {"deny"}
    rehearse(evaluator, (), NOW_US, CHALLENGES)
    assert len(evaluator.asked) == 12
