"""The ways by which a decision case reaches a running service: each asks in its own words, and says what it was told.

Through a gateway, headers that only we may set are forged in every call, and seen by no upstream.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from pdp.client import Action, Call, Client, Decision, Subject
from pdp.transports.authzen import ABLE, SUPPORTED
from tests.support.asking import Asker, check_request
from tests.support.cases import Case, authorization, headers_at, verified_claims
from tests.support.certificates import TestAuthority
from tests.support.served_paths import KEY, READING, VERIFY, Served

PATIENCE_S = 20.0
GUARDED = ("x-desk-user", "x-desk-place")
"""The headers that some rule of the cases sets."""
FORGED = "forged"
DECISION = "x-portcullis-decision"


class Told(Struct, frozen=True):
    """What a path shows of a decision: members of `want`, `www-authenticate`, and the id of the record."""

    shown: Mapping[str, Any]
    challenge: str = ""
    record: str | None = None


# ---------------------------------------------------------------- Envoy and nginx


def through_envoy(served: Served, case: Case, now: int) -> Told:
    """A call to the shipped listener, or to the other one where a case needs more of it."""
    if not (case.peer or case.signals or case.verified or case.body):
        return _called(served, served.ports["envoy"], case, _sent(case, now))
    headers = _sent(case, now)
    for name, value in case.signals.items():
        headers[f"{READING}-{name}-{'number' if isinstance(value, int) else 'string'}"] = str(value)
    if case.verified:
        headers |= {VERIFY: "1", "authorization": authorization(case, now) or ""}
    return _called(served, served.informed, case, headers, _client(served, case.peer))


def _client(served: Served, peer: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=served.authority.pem.decode())
    if peer is not None:
        context.load_cert_chain(*_certificate(served.authority, peer, served.folder))
    return context


@cache
def _certificate(authority: TestAuthority, peer: str, folder: Path) -> tuple[Path, Path]:
    return authority.gateway((peer,)).write(folder, "client-" + peer.rpartition("/")[2])


def through_nginx(served: Served, case: Case, now: int) -> Told:
    return _called(served, served.ports["nginx"], case, _sent(case, now))


def _sent(case: Case, now: int) -> dict[str, str]:
    """The headers of the call, and forged ones that no upstream may see."""
    forged = (*GUARDED, *case.want.get("removed", ()), DECISION)
    return {**dict.fromkeys(forged, FORGED), **headers_at(case, now)}


def _called(
    served: Served, port: int, case: Case, headers: Mapping[str, str], tls: ssl.SSLContext | None = None
) -> Told:
    """What comes of a call: of one that passes, what the upstream saw of it; of any other, what the client was told."""
    served.passed()
    status, answer, body = _exchanged(port, case, headers, tls)
    passed = served.passed()
    if not passed:
        shown = {"status": status, "passed": False}
        if DECISION in answer:
            assert json.loads(body) == {"title": json.loads(body)["title"], "decision": answer[DECISION]}
        return Told(shown, answer.get("www-authenticate", ""), answer.get(DECISION))
    ((method, target, seen),) = passed
    assert (method, target) == (case.method, case.want.get("target", case.path))
    values = {name: [value for key, value in seen if key == name] for name, _ in seen}
    assert not [pair for pair in seen if FORGED in pair[1] or "_" in pair[0]], seen
    guarded = {name: values[name][0] for name in (*GUARDED, *case.want.get("removed", ())) if name in values}
    assert all(len(values[name]) == 1 for name in (*guarded, DECISION))
    assert DECISION not in answer
    return Told({"status": status, "headers": guarded, "passed": True}, record=values[DECISION][0])


def _exchanged(
    port: int, case: Case, headers: Mapping[str, str], tls: ssl.SSLContext | None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to one call."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=tls)
    assert case.method is not None
    assert case.path is not None
    body = b"" if case.body is None else b"x" * (case.body.size + case.body.truncated)
    with contextlib.closing(connection):
        connection.putrequest(case.method, case.path, skip_host=True, skip_accept_encoding=True)
        length = {"content-length": str(len(body))} if case.method == "POST" else {}
        for name, value in {"host": case.host or "", **headers, **length}.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


# ---------------------------------------------------------------- ext_authz


def over_ext_authz(served: Served, case: Case, now: int) -> Told:
    """A CheckRequest over gRPC."""
    assert case.method is not None
    assert case.host is not None
    assert case.path is not None
    headers, body = headers_at(case, now), b""
    if case.body is not None:
        body = b"x" * case.body.size
        headers["content-length"] = str(case.body.size + case.body.truncated)
    data = check_request(
        *(case.method, case.host, case.path),
        service=case.service,
        headers=headers,
        peer=case.peer,
        signals=case.signals,
        verified=verified_claims(case, now),
        body=body,
    )
    with Asker(served.pdp.address) as asker:
        answer = asker.ask(data)
    assert answer.metadata["decision_id"] == answer.decision_id
    sent = {name: value for name, value in answer.headers.items() if name != DECISION}
    shown: dict[str, Any] = {"code": answer.code, "passed": answer.code == 0}
    shown |= {"status": answer.http_status} if answer.code else {"headers": sent, "removed": list(answer.removed)}
    return Told(shown, answer.headers.get("www-authenticate", ""), answer.decision_id)


# ---------------------------------------------------------------- AuthZEN


def evaluation(case: Case) -> dict[str, Any]:
    """A case as an evaluation."""
    assert case.subject is not None
    able = [word for word, capability in ABLE.items() if capability in case.capabilities]
    subject = {"type": case.subject.type, "id": case.subject.id, "properties": case.subject.properties}
    context = {**case.signals, SUPPORTED: able}
    return {"subject": subject, "action": {"name": case.action}, "resource": case.resource, "context": context}


def ask_authzen(served: Served, path: str, form: Mapping[str, Any]) -> httpx.Response:
    """An AuthZEN request by who says the key."""
    return httpx.post(
        f"http://127.0.0.1:{served.pdp.http_port}{path}",
        json=form,
        headers={"authorization": f"Bearer {KEY}"},
        timeout=PATIENCE_S,
    )


def over_authzen(served: Served, case: Case, _now: int) -> Told:
    answer = ask_authzen(served, "/access/v1/evaluation", evaluation(case))
    assert answer.status_code == 200
    return Told(authzen_shown(answer.json()), record=answer.headers[DECISION])


def authzen_shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as members of `want`; `context` is None where there is none."""
    assert set(answer) <= {"decision", "context"}
    return {"passed": answer["decision"], "context": answer.get("context")}


# ---------------------------------------------------------------- the native API


def asked_natively(case: Case, now: int) -> Call | Action:
    """A case as an inquiry of the client."""
    subject = None if case.subject is None else Subject(case.subject.type, case.subject.id, case.subject.properties)
    said: dict[str, Any] = {
        "service": case.service,
        "authorization": authorization(case, now),
        "subject": subject,
        "ip": "203.0.113.7",
        "peer": case.peer,
        "readings": case.signals,
        "capabilities": case.capabilities,
    }
    if case.action is not None:
        resource = case.resource or {}
        return Action(case.action, resource["type"], resource["id"], resource.get("properties", {}), **said)
    return Call(case.method, case.path, case.host, headers=list(case.headers.items()), **said)


def over_native(served: Served, case: Case, now: int) -> Told:
    with Client(served.pdp.address, timeout_s=PATIENCE_S) as client:
        return native_told(client.decide(asked_natively(case, now)))


def native_told(decision: Decision) -> Told:
    """A decision as the client has it."""
    assert decision.cause is None
    shown: dict[str, Any] = {
        "decision": decision.outcome,
        "challenges": [each.name for each in decision.challenges],
        "passed": decision.allowed,
    }
    if decision.answer is None:
        both: Sequence[tuple[str, str]] = (*decision.obligations.set_headers, *decision.advice.set_headers)
        removed = {*decision.obligations.remove_headers, *decision.advice.remove_headers}.difference(dict(both))
        redactions = [*decision.obligations.redactions, *decision.advice.redactions]
        shown |= {"headers": dict(both), "removed": sorted(removed), "redactions": redactions}
        return Told(shown, record=decision.id)
    challenge = dict(decision.answer.headers).get("www-authenticate", "")
    return Told(shown | {"status": decision.answer.status}, challenge, decision.id)
