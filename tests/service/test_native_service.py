"""The native API in front of the real service, with the policy of the decision cases and a log in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from pdp.client import Action, AsyncClient, Call, Capability, Explained, LateError, NotPermittedError, Subject
from pdp.client import Decision as Told
from pdp.config_identity import IssuerConfig
from pdp.evaluate import Evaluator
from pdp.gateways import Gateway
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.service import DecisionService, Receipts
from tests.support.cases import NOW, engine, issuers
from tests.support.memory_log import MemoryLog
from tests.support.native import APP, serving

ABLE: tuple[Capability, ...] = ("answer", "remove_header", "set_header", "step_up", "redact")
NOTES = Call("GET", "/notes/u1", "desk.example", service="desk", capabilities=ABLE)
DOCUMENT = Action(
    "read", "document", "d1", {"department": "legal"}, subject=Subject("employee", "e1", {"department": "legal"})
)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("issuers")
    return Identity(
        Verifier(
            read_issuers(
                [
                    IssuerConfig(url=each.url, keys=each.write_keys(folder / f"{number}.json"), algorithms=("ES256",))
                    for number, each in enumerate(issuers())
                ]
            )
        )
    )


Asking = Callable[[AsyncClient], Awaitable[Any]]


def asking(identity: Identity, act: Asking, gateway: Gateway = APP, **log_faults: Any) -> tuple[Any, MemoryLog]:
    """What `act` gets of the service, and what that left in the log."""

    async def once() -> tuple[Any, MemoryLog]:
        receipts = Receipts(asyncio.get_running_loop())
        log = MemoryLog(receipts.settled, **log_faults)
        service = DecisionService(
            Evaluator(engine, identity, service_from_host=False),
            log,
            receipts,
            Metrics(),
            strict_methods=frozenset(),
            monotonic=time.monotonic,
        )
        clock: dict[str, Any] = {"clock_us": lambda: NOW * 1_000_000}
        async with serving(service, gateway, **clock) as address, AsyncClient(address, timeout_s=10) as client:
            return await act(client), log

    return asyncio.run(once())


def token(**claims: Any) -> str:
    return f"Bearer {issuers()[0].mint({'sub': 'u1', 'aud': 'desk'} | claims, NOW)}"


def test_a_token_is_verified_and_the_allow_is_recorded(identity: Identity) -> None:
    call = replace(NOTES, authorization=token(), headers=[("x-desk-user", "root"), ("x-portcullis-decision", "1")])
    told, log = asking(identity, lambda client: client.decide(call))
    assert told.allowed
    assert told.obligations.set_headers == (("x-desk-user", "u1"),)
    assert told.obligations.remove_headers == ("x-debug", "x-desk-place", "x-portcullis-decision")
    assert told.advice.set_headers == (("x-desk-place", "front"),)
    assert told.policy_revision == engine().digest
    (record,) = log.decisions()
    assert (record.receipt.id, record.clear["gw"], record.clear["ep"]) == (told.id, "app", "desk.read_notes")


REFUSED: dict[str, tuple[Call | Action, str, int, str]] = {
    "nobody": (NOTES, "deny", 401, "a credential is required"),
    "a token that is none": (
        replace(NOTES, authorization="Bearer x"), "deny", 401, "the credential was not accepted",
    ),
    "two credentials": (
        replace(NOTES, authorization="Bearer x", headers=[("Authorization", "Bearer y")]), "deny", 401,
        "the credential was not accepted",
    ),
    "nothing said": (Call(None, None, None), "deny", 401, "a credential is required"),
    "a service that is none": (replace(NOTES, service="no"), "deny", 401, "a credential is required"),
    "an action that no service has": (replace(DOCUMENT, name="burn"), "deny", 403, "the request is not permitted"),
    "a subject of another department": (
        replace(DOCUMENT, resource_properties={"department": "sales"}), "deny", 403, "the request is not permitted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_each_refusal_is_answered_as_everywhere_and_recorded(identity: Identity, case: str) -> None:
    inquiry, outcome, status, title = REFUSED[case]
    told, log = asking(identity, lambda client: client.decide(inquiry))
    assert (told.outcome, told.answer.status, told.answer.title) == (outcome, status, title)
    assert [record.receipt.id for record in log.decisions()] == [told.id]


def test_an_action_of_a_subject_finds_its_service(identity: Identity) -> None:
    told, log = asking(identity, lambda client: client.decide(DOCUMENT))
    assert told.allowed
    assert log.decisions()[0].clear["ep"] == "archive.read_document"


def test_a_batch_leaves_a_record_for_each(identity: Identity) -> None:
    calls: list[Call | Action] = [replace(NOTES, authorization=token()), NOTES, DOCUMENT]
    told, log = asking(identity, lambda client: client.decide_batch(calls))
    assert [each.allowed for each in told] == [True, False, True]
    assert [record.receipt.id for record in log.decisions()] == [each.id for each in told]
    assert len({each.id for each in told}) == 3


def test_why_shows_the_clauses_and_no_value(identity: Identity) -> None:
    inquiry = replace(DOCUMENT, resource_properties={"department": "canary"})
    told, log = asking(identity, lambda client: client.explain(inquiry))
    assert isinstance(told, Explained)
    assert (told.by, told.nearest, told.endpoint) == (
        ("default",),
        "desk.departments_read",
        "archive.read_document",
    )
    (nearest,) = [rule for rule in told.rules if rule.id == told.nearest]
    assert (nearest.effect, nearest.applies) == ("allow", False)
    assert [clause.truth for clause in nearest.clauses][-1] == "false"
    assert "subject.department == resource.department" in nearest.clauses[-1].failed
    assert "canary" not in repr(told)
    assert [record.receipt.id for record in log.decisions()] == [told.decision.id]


def test_what_the_gateway_may_ask_about_binds(identity: Identity) -> None:
    gateway = structs.replace(APP, services=frozenset({"desk"}))
    told, log = asking(identity, lambda client: client.decide(DOCUMENT), gateway)
    assert not told.allowed
    assert log.decisions()[0].clear["rc"] == "route.no_service"


def test_a_subject_by_who_may_not_say_one_is_turned_away_with_a_record(identity: Identity) -> None:
    async def refused(client: AsyncClient) -> str:
        with pytest.raises(NotPermittedError) as caught:
            await client.decide(DOCUMENT)
        return str(caught.value)

    said, log = asking(identity, refused, structs.replace(APP, subjects=False))
    assert "`subjects`" in said
    (record,) = log.decisions()
    assert (record.clear["d"], record.clear["rc"], record.clear["gw"]) == ("deny", "request.subject", "app")


@pytest.mark.parametrize("fault", ["refuses", "fails"])
def test_what_cannot_be_recorded_is_refused(identity: Identity, fault: str) -> None:
    faults: dict[str, Any] = {fault: True}
    told, _ = asking(identity, lambda client: client.decide(replace(NOTES, authorization=token())), **faults)
    assert (told.allowed, told.id, told.answer.status) == (False, "", 503)


def test_a_log_that_stalls_is_a_refusal_in_time(identity: Identity) -> None:
    async def late(client: AsyncClient) -> Told:
        return await client.decide_or_refuse(replace(NOTES, authorization=token()), timeout_s=0.3)

    told, log = asking(identity, late, stalls=True)
    assert not told.allowed
    assert told.cause is None or isinstance(told.cause, LateError)
    assert "answer.changed" in {leaf.kind for leaf in log.leaves}
