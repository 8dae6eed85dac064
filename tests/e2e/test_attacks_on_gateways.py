"""Attacks on a running service by whoever is around it: next to a listener, behind a gateway, with a key of its own.

Everything goes over real sockets, to the policy of the decision cases. What an attack comes to is read from the answer
and from the log.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from msgspec import Struct

from pdp.transports.messages import CheckResponse
from tests.support.asking import CHECK, check_request
from tests.support.certificates import EDGE_ID, TestAuthority
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp
from tests.support.records import all_records

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
KEY, PLAIN_KEY = "k" * 43, "p" * 43
PLAIN_ID = "spiffe://shop.example/plain"
PATIENCE_S = 15.0
AUTHORITY = TestAuthority()
EMPLOYEE = {"type": "employee", "id": "e1", "properties": {"department": "sales"}}
READ = {
    "subject": EMPLOYEE,
    "action": {"name": "read"},
    "resource": {"type": "document", "id": "d1", "properties": {"department": "sales"}},
}
OTHERS = {"resource": {"type": "document", "id": "d2", "properties": {"department": "law"}}}
EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
FORWARDED = {
    "x-forwarded-method": "GET",
    "x-forwarded-uri": "/health",
    "x-forwarded-host": "ledger.example",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "192.0.2.1",
}


class Around(Struct, frozen=True):
    """A service: `named` is the HTTP port of the gateway `edge`, `proved` one that asks for a certificate, `said` one
    with TLS for keys, `checked` the gRPC port that asks for a certificate.
    """

    served: ServedPdp
    folder: Path
    named: int
    proved: int
    said: int
    checked: int

    def tls(self, *, shown: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        if shown:
            context.load_cert_chain(self.folder / "plain.pem", self.folder / "plain.key")
        return context

    def evaluated(
        self, body: object, key: str | None, path: str = EVALUATION, *, port: int = 0, shown: bool | None = None
    ) -> tuple[int, Any]:
        """An AuthZEN answer; `shown`: over TLS, with a certificate or without. Errors are text."""
        to = port or self.served.http_port
        connection = http.client.HTTPConnection("127.0.0.1", to, timeout=PATIENCE_S)
        if shown is not None:
            connection = http.client.HTTPSConnection("localhost", to, timeout=PATIENCE_S, context=self.tls(shown=shown))
        said = {} if key is None else {"authorization": f"Bearer {key}"}
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **said})
            answer = connection.getresponse()
            data = answer.read().decode()
        return answer.status, json.loads(data) if answer.status == 200 else data

    def sent(self, port: int, request: bytes, answers: int = 1) -> list[int]:
        """The statuses of the answers to these bytes on one connection, in order, until all are here."""
        data = b""
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(request)
            while data.count(b"HTTP/1.1 ") < answers and (more := connection.recv(65_536)):
                data += more
        return [int(each[:3]) for each in data.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    folder = tmp_path_factory.mktemp("around")
    AUTHORITY.server().write(folder, "server")
    AUTHORITY.gateway([PLAIN_ID]).write(folder, "plain")
    (folder / "clients.pem").write_bytes(AUTHORITY.pem)
    served = ServedPdp(folder, POLICY, [TestIssuer()], gateway=f'identity = "{EDGE_ID}"')
    found = Around(served, folder, free_port(), free_port(), free_port(), free_port())
    shown = 'certificate = "server.pem"\nprivate_key = "server.key"\n'
    asks = 'client_ca = "clients.pem"\n'
    served.config.write_text(
        "\n\n".join(
            [
                served.config.read_text(),
                f'[[gateways]]\nname = "app"\nsubjects = true\nservices = ["archive"]\n{_digest(KEY)}',
                f'[[gateways]]\nname = "plain"\nidentity = "{PLAIN_ID}"\nservices = ["desk"]\n{_digest(PLAIN_KEY)}',
                f'[[listeners]]\naddress = "127.0.0.1:{found.named}"\nprotocol = "http"\ngateway = "edge"',
                f'[[listeners]]\naddress = "127.0.0.1:{found.proved}"\nprotocol = "http"\n{asks}{shown}',
                f'[[listeners]]\naddress = "127.0.0.1:{found.said}"\nprotocol = "http"\n{shown}',
                f'[[listeners]]\naddress = "127.0.0.1:{found.checked}"\n{asks}{shown}',
            ]
        )
    )
    served.start()
    try:
        yield found
    finally:
        served.stop()


def _digest(key: str) -> str:
    return f'keys_sha256 = ["{hashlib.sha256(key.encode()).hexdigest()}"]'


def forwarded(headers: Mapping[str, str], target: str = "/forward-auth/ledger", *more: str) -> bytes:
    lines = [f"GET {target} HTTP/1.1", "host: pdp", *(f"{name}: {value}" for name, value in headers.items()), *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_a_key_of_another_gateway_is_nothing_beside_a_certificate(around: Around) -> None:
    assert around.evaluated(READ, KEY)[1] == {"decision": True}
    assert around.evaluated(READ, KEY, port=around.said, shown=False)[1] == {"decision": True}
    status, said = around.evaluated(READ, KEY, port=around.proved, shown=True)
    assert status == 403
    assert "subject" in said


def test_who_may_not_name_subjects_may_not_by_any_way(around: Around) -> None:
    assert around.evaluated(READ, PLAIN_KEY)[0] == 403
    assert around.evaluated({**READ, "evaluations": [{}]}, PLAIN_KEY, EVALUATIONS)[0] == 403


def test_nobody_without_a_certificate_gets_in_where_one_is_asked_for(around: Around) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        around.evaluated(READ, KEY, port=around.proved, shown=False)


def test_a_certificate_does_not_reach_beyond_its_services(around: Around) -> None:
    pair = (around.folder / "plain.pem").read_bytes(), (around.folder / "plain.key").read_bytes()
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, pair[1], pair[0])
    with grpc.secure_channel(f"localhost:{around.checked}", credentials) as channel:
        ask = channel.unary_unary(CHECK)
        for service in ("ledger", None, "", "-", "LEDGER", "archive"):
            data = check_request("GET", "ledger.example", "/health", service=service)
            assert CheckResponse.FromString(ask(data, timeout=10)).status.code != 0, service
    edge = grpc.insecure_channel(around.served.address)
    with edge:
        data = check_request("GET", "ledger.example", "/health", service="ledger")
        assert CheckResponse.FromString(edge.unary_unary(CHECK)(data, timeout=10)).status.code == 0


def test_a_key_passes_no_call_on(around: Around) -> None:
    assert around.sent(around.named, forwarded(FORWARDED)) == [200]
    for key in (KEY, PLAIN_KEY):
        said = {**FORWARDED, "authorization": f"Bearer {key}"}
        assert around.sent(around.served.http_port, forwarded(said)) == [403]


ALTERED: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "a second target": ({}, ("x-forwarded-uri: /health",)),
    "a second target in another case": ({}, ("X-Forwarded-URI: /health",)),
    "a second host": ({}, ("x-forwarded-host: ledger.example",)),
    "two hosts in one": ({"x-forwarded-host": "ledger.example, ledger.example"}, ()),
    "a second method": ({}, ("x-forwarded-method: GET",)),
    "two methods in one": ({"x-forwarded-method": "GET, GET"}, ()),
    "two schemes in one": ({"x-forwarded-proto": "https,https"}, ()),
    "a scheme of nobody": ({"x-forwarded-proto": "ftp"}, ()),
    "a second address": ({}, ("x-forwarded-for: 192.0.2.9",)),
    "an address with a port": ({"x-forwarded-for": "192.0.2.1:80"}, ()),
    "a target that is no path": ({"x-forwarded-uri": "http://ledger.example/health"}, ()),
    "a target with a fragment": ({"x-forwarded-uri": "/health#x"}, ()),
    "the host of another service": ({"x-forwarded-host": "desk.example"}, ()),
    "no target": ({"x-forwarded-uri": ""}, ()),
}


@pytest.mark.parametrize("sentence", ALTERED)
def test_what_is_forwarded_and_leaves_a_choice_never_passes(sentence: str, around: Around) -> None:
    changed, more = ALTERED[sentence]
    (status,) = around.sent(around.named, forwarded({**FORWARDED, **changed}, "/forward-auth/ledger", *more))
    assert status in {401, 403}


TARGETS = ("/forward-auth/desk", "/forward-auth/ledge%72", "/forward-auth//ledger", "/forward-auth/ledger/", "*")


@pytest.mark.parametrize("target", TARGETS)
def test_another_url_is_no_way_to_the_service(target: str, around: Around) -> None:
    assert around.sent(around.named, forwarded(FORWARDED, target))[0] >= 400


def test_answers_come_in_the_order_of_the_questions_on_one_connection(around: Around) -> None:
    refused = {**FORWARDED, "x-forwarded-uri": "/nothing"}
    asked = [FORWARDED, refused, refused, FORWARDED, refused, FORWARDED]
    statuses = around.sent(around.named, b"".join(map(forwarded, asked)), len(asked))
    assert [status == 200 for status in statuses] == [each is FORWARDED for each in asked]


@pytest.mark.parametrize("semantic", ["execute_all", "deny_on_first_deny", "permit_on_first_permit"])
def test_each_answer_of_a_batch_is_that_of_its_own_record(semantic: str, around: Around) -> None:
    items = [{}, OTHERS, {}, {"action": {"name": "shred"}}, OTHERS, {}] * 6
    options = {"evaluations_semantic": semantic, "portcullis.decision_ids": True}
    status, said = around.evaluated({**READ, "evaluations": items, "options": options}, KEY, EVALUATIONS)
    assert status == 200
    answers = said["evaluations"]
    assert len(answers) == {"execute_all": 36, "deny_on_first_deny": 2, "permit_on_first_permit": 1}[semantic]
    assert [each["decision"] for each in answers] == [not each for each in items[: len(answers)]]
    ids = [each["context"]["decision_id"] for each in answers]
    records = all_records(around.served.state)
    assert len(set(ids)) == len(ids)
    assert [records[each].clear["d"] == "allow" for each in ids] == [each["decision"] for each in answers]


def test_who_leaves_in_the_middle_of_a_batch_leaves_a_sound_log(around: Around) -> None:
    body = json.dumps({**READ, "evaluations": [{}] * 50}).encode()
    head = (
        f"POST {EVALUATIONS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
    )
    request = head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", around.served.http_port)) as connection:
            connection.sendall(request)
    assert around.evaluated(READ, KEY)[1] == {"decision": True}
    verified = around.served.run("audit", "verify", "--state", str(around.served.state))
    assert verified.returncode == 0, verified.stdout
