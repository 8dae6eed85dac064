"""Every decision case by every path that can carry it, to one running service: the answer, and the record it wants.

ext_authz over real gRPC, a real Envoy and a real nginx with the shipped configurations, AuthZEN over real HTTP, the
native API by its client. The reference evaluator, the compiled plan and the service are in
tests/service/test_decisions.py; where a path differs, the case says how, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from msgspec.structs import replace

from pdp.client import Client
from pdp.hosting.envoy_process import installed
from tests.support.cases import Case, PathName, cannot_carry, cases, check_record, check_want
from tests.support.paths import (
    PATIENCE_S,
    Told,
    ask_authzen,
    asked_natively,
    authzen_shown,
    evaluation,
    native_told,
    over_authzen,
    over_ext_authz,
    over_native,
    through_envoy,
    through_nginx,
)
from tests.support.records import all_records
from tests.support.served_paths import PROGRAMS, Served, serving

Asking = Callable[[Served, Case, int], Told]
ASKING: Mapping[PathName, Asking] = {
    "ext_authz": over_ext_authz,
    "envoy": through_envoy,
    "authzen": over_authzen,
    "nginx": through_nginx,
    "native": over_native,
}
FLOORS: Mapping[PathName, int] = {"ext_authz": 74, "envoy": 72, "authzen": 16, "nginx": 60, "native": 87}
"""How many cases each path must have."""

ALL = list(cases())
CARRIED = {
    f"{path}: {case.name}": (path, case.on(path)) for path in ASKING for case in ALL if cannot_carry(path, case) is None
}
AUTHZEN = [case for path, case in CARRIED.values() if path == "authzen"]


@pytest.fixture(scope="module", params=["grpcio", "envoy"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service behind each listener; inside Envoy, too, where that is for this machine."""
    missing = installed()
    if request.param == "envoy" and isinstance(missing, str):
        pytest.skip(missing)
    with serving(tmp_path_factory.mktemp("paths"), request.param) as found:
        yield found


@pytest.mark.parametrize("name", CARRIED)
def test_it_is_decided_answered_and_recorded(name: str, served: Served) -> None:
    path, case = CARRIED[name]
    if path in PROGRAMS and PROGRAMS[path] is None:
        pytest.skip(f"no {path}: make test installs it where there is one for this platform")
    if case.answers is None:
        check_told(served, case, ASKING[path](served, case, int(time.time())))
        return
    before = all_records(served.pdp.state)
    told = ASKING[path](served, case, int(time.time()))
    assert (told.shown["status"], told.record, told.shown["passed"]) == (case.answers, None, False)
    assert all_records(served.pdp.state).keys() == before.keys()


def check_told(served: Served, case: Case, told: Told) -> None:
    """What was told is what the case wants, and so is the record."""
    check_want(case, told.shown)
    assert told.shown["passed"] == (case.want["decision"] == "allow")
    if "context" in told.shown:  # over AuthZEN, which has no challenge beside it
        assert told.shown["context"] == case.want.get("context")
    else:
        assert str(case.want.get("challenge", "")) in told.challenge
    assert told.record
    clear = served.record(told.record)
    if "nx" in clear:  # more refusals in this second than the service has time to explain, and its record says so
        case = replace(case, record={field: wanted for field, wanted in case.record.items() if field != "nr"})
    check_record(case, clear)


def test_the_cases_of_authzen_in_one_batch(served: Served) -> None:
    form = {
        "options": {"portcullis.decision_ids": True},
        "evaluations": [evaluation(case) for case in AUTHZEN],
    }
    answers = ask_authzen(served, "/access/v1/evaluations", form).json()["evaluations"]
    for case, answer in zip(AUTHZEN, answers, strict=True):
        context = answer.pop("context")
        id_ = context.pop("decision_id")
        check_told(served, case, Told(authzen_shown(answer | ({"context": context} if context else {})), record=id_))


def test_the_cases_of_the_native_api_in_one_batch(served: Served) -> None:
    now = int(time.time())
    batch = [case for path, case in CARRIED.values() if path == "native"]
    with Client(served.pdp.address, timeout_s=PATIENCE_S) as client:
        decisions = client.decide_batch([asked_natively(case, now) for case in batch])
    for case, decision in zip(batch, decisions, strict=True):
        check_told(served, case, native_told(decision))


@pytest.mark.parametrize("path", FLOORS)
def test_no_path_has_fewer_cases_than_it_had(path: PathName) -> None:
    count = sum(each == path for each, _ in CARRIED.values())
    assert count >= FLOORS[path], count


def test_what_a_path_cannot_carry_another_does() -> None:
    for case in ALL:
        assert [path for path in ASKING if cannot_carry(path, case) is None], case.name


def test_each_difference_is_one_of_a_path_and_has_its_reason() -> None:
    for case in ALL:
        assert set(case.paths) <= set(ASKING), case.name
        for path, other in case.paths.items():
            assert len(other.why) > 20, case.name
            there = case.on(path)
            same = (there.want, there.record, there.answers) == (case.want, case.record, None)
            assert same != other.stands, case.name
