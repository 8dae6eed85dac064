"""The client and the native API of a real `pdp serve`: decisions, their records, and a service that is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pdp.audit.leaf import parse
from pdp.audit.reader import find
from pdp.client import Action, Call, Client, Decision, Retries, Subject, UnreachableError
from tests.support.cases import POLICY, issuers
from tests.support.process import ServedPdp

NOTES = Call("GET", "/notes/u1", "desk.example", service="desk", capabilities=("set_header", "remove_header"))
DOCUMENT = Action(
    "read", "document", "d1", {"department": "legal"}, subject=Subject("employee", "e1", {"department": "legal"})
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPdp]:
    gateway = "subjects = true\nexplain = true"
    pdp = ServedPdp(tmp_path_factory.mktemp("served"), POLICY, list(issuers()), gateway=gateway)
    pdp.start()
    try:
        yield pdp
    finally:
        assert pdp.stop() == 0


@pytest.fixture(scope="module")
def client(served: ServedPdp) -> Iterator[Client]:
    with Client(served.address, timeout_s=20, retries=Retries(most=100)) as made:
        yield made


def with_token(call: Call) -> Call:
    return replace(call, authorization=f"Bearer {issuers()[0].mint({'sub': 'u1', 'aud': 'desk'}, int(time.time()))}")


def record(served: ServedPdp, decision: Decision) -> dict[str, Any]:
    found = find(served.state / "log", served.state / "wal", decision.id)
    assert found is not None
    return dict(parse(found.leaf).clear)


def test_an_allow_is_in_the_log_before_it_is_here(served: ServedPdp, client: Client) -> None:
    decision = client.decide(with_token(NOTES))
    assert decision.allowed
    assert decision.obligations.set_headers == (("x-desk-user", "u1"),)
    assert record(served, decision)["ep"] == "desk.read_notes"


def test_a_refusal_is_in_the_log(served: ServedPdp, client: Client) -> None:
    decision = client.decide(NOTES)
    assert not decision.allowed
    assert decision.answer is not None
    assert decision.answer.status == 401
    assert record(served, decision)["d"] == "deny"


def test_an_action_of_a_subject_is_decided(served: ServedPdp, client: Client) -> None:
    decision = client.decide(DOCUMENT)
    assert decision.allowed
    assert record(served, decision)["pk"] == "employee"


def test_a_batch_is_as_many_records(served: ServedPdp, client: Client) -> None:
    decisions = client.decide_batch([DOCUMENT, NOTES, with_token(NOTES)])
    assert [each.allowed for each in decisions] == [True, False, True]
    assert [record(served, each)["d"] for each in decisions] == ["allow", "deny", "allow"]


def test_why_is_told_and_recorded(served: ServedPdp, client: Client) -> None:
    explained = client.explain(replace(DOCUMENT, resource_properties={"department": "sales"}))
    assert explained.nearest == "desk.departments_read"
    assert record(served, explained.decision)["nr"] == "desk.departments_read"


def test_a_service_that_is_killed_gives_nothing_and_its_successor_is_found(served: ServedPdp, client: Client) -> None:
    assert client.decide(DOCUMENT).allowed
    served.kill()
    with Client(served.address, retries=Retries(most=1)) as other:
        assert isinstance(other.decide_or_refuse(DOCUMENT).cause, UnreachableError)
    served.start()
    assert client.decide(DOCUMENT).allowed
