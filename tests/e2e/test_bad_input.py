"""What careless and hostile callers send to a real service, by every way in: an exact answer, one record, nothing told.

Each case is one request. Neither the answer nor the service's output says by what rule and for what reason it was
refused, or repeats a claim, a key or a token; the record says the reason. What gateways make of such calls before they
ask is in test_hostile_envoy.py, test_gateway_serve.py and test_decision_paths.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from msgspec import Struct

from pdp.model import Json
from pdp.transports.check_attributes import VERIFIED
from pdp.transports.messages import CheckRequest, DecideRequest
from tests.support.asking import CHECK, CLAIMS, check_request, read_answer
from tests.support.cases import POLICY, issuers
from tests.support.certificates import TestAuthority
from tests.support.gateways import sent
from tests.support.ports import free_port
from tests.support.process import ServedPdp, eventually
from tests.support.records import all_records

KEY = "a-key-for-the-application-of-this-test-of-43"
MUTE_KEY = "a-key-for-who-may-not-say-who-a-subject-is-4"
CANARY = "canary-4711"
FAR = "spiffe://example/far"
DECIDE = "/portcullis.v1.Decisions/Decide"
EXPLAIN = "/portcullis.v1.Decisions/Explain"
ONE, SEVERAL = b"/access/v1/evaluation", b"/access/v1/evaluations"
SAID = "x-portcullis-decision"

GATEWAYS = """[[gateways]]
name = "app"
services = ["ledger", "reports"]
subjects = true
keys_sha256 = ["{app}"]

[[gateways]]
name = "mute"
keys_sha256 = ["{mute}"]

[[gateways]]
name = "proxy"
services = ["desk"]

[[gateways]]
name = "far"
identity = "{far}"

[[listeners]]
address = "127.0.0.1:{proxy}"
gateway = "proxy"
protocol = "http"

[[listeners]]
address = "127.0.0.1:{https}"
protocol = "http"
certificate = "server.pem"
private_key = "server.key"
client_ca = "clients.pem"

[[listeners]]
address = "127.0.0.1:{grpcs}"
certificate = "server.pem"
private_key = "server.key"
client_ca = "clients.pem"
"""


class Got(Struct, frozen=True):
    """What came back: an HTTP status, or a status of gRPC by its name; and all that whoever asked was told."""

    status: int | str
    told: str


class Doors(Struct, frozen=True):
    """The service, its ways in, and a stranger's certificate, which the right authority has signed."""

    pdp: ServedPdp
    proxy: int
    https: int
    grpcs: int
    authority: TestAuthority
    stranger: tuple[Path, Path]

    def http(self, lines: Sequence[bytes], body: bytes = b"", port: int | None = None) -> Got:
        """One request over HTTP, as these lines."""
        whole = (*lines, b"host: pdp.example", b"connection: close", b"content-length: %d" % len(body))
        answer = sent(self.pdp.http_port if port is None else port, b"\r\n".join(whole) + b"\r\n\r\n" + body)
        return Got(answer.status, f"{answer.headers} {answer.body.decode()}")

    def authzen(self, body: bytes, *more: bytes, path: bytes = ONE, json_type: bool = True, key: str = KEY) -> Got:
        """An AuthZEN request; without a key where that is ""."""
        lines = [b"POST %s HTTP/1.1" % path, *more]
        lines += [b"content-type: application/json"] if json_type else []
        lines += [b"authorization: Bearer " + key.encode()] if key else []
        return self.http(lines, body)

    def forwarded(self, *more: bytes, service: bytes = b"desk", port: int | None = None, **said: bytes | None) -> Got:
        """What a gateway asks that passes calls on; a member that is None is not said."""
        whole: dict[str, bytes | None] = {"uri": b"/notes/u1", "host": b"desk.example", "method": b"GET"}
        whole |= {"proto": b"https", "for_": b"192.0.2.7"} | said
        spelt = {name.rstrip("_").encode(): value for name, value in whole.items()}
        lines = [b"x-forwarded-%s: %s" % (name, value) for name, value in spelt.items() if value is not None]
        place = self.proxy if port is None else port
        return self.http([b"GET /forward-auth/%s HTTP/1.1" % service, *lines, *more], port=place)

    def over_tls(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Got:
        """One request by the stranger."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.load_cert_chain(*self.stranger)
        connection = http.client.HTTPSConnection("127.0.0.1", self.https, timeout=10, context=context)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Got(answer.status, f"{answer.getheaders()} {answer.read().decode()}")

    def check(self, data: bytes, *, strange: bool = False) -> Got:
        """A CheckRequest; of the answer what the client of the gateway gets."""
        answer = read_answer(self._called(CHECK, data, strange=strange))
        return Got(answer.http_status, f"{answer.headers} {answer.body}")

    def native(self, data: bytes, method: str = DECIDE, *, strange: bool = False) -> Got:
        """A call of the native API that ends in an error."""
        try:
            return Got("OK", str(self._called(method, data, strange=strange)))
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return Got(error.code().name, str(error.details()))

    def _called(self, method: str, data: bytes, *, strange: bool) -> bytes:
        options = [("grpc.max_send_message_length", 64 << 20)]
        if not strange:
            opened = grpc.insecure_channel(self.pdp.address, options)
        else:
            certificate, key = (each.read_bytes() for each in self.stranger)
            trusted = grpc.ssl_channel_credentials(self.authority.pem, key, certificate)
            opened = grpc.secure_channel(f"localhost:{self.grpcs}", trusted, options)
        with opened as channel:
            reply: bytes = channel.unary_unary(method)(data, timeout=10, wait_for_ready=True)
            return reply


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    authority = TestAuthority()
    authority.server().write(folder, "server")
    (folder / "clients.pem").write_bytes(authority.pem)
    stranger = authority.gateway(("spiffe://example/stranger",)).write(folder, "stranger")
    ports = {name: free_port() for name in ("proxy", "https", "grpcs")}
    digests = {"app": hashlib.sha256(KEY.encode()).hexdigest(), "mute": hashlib.sha256(MUTE_KEY.encode()).hexdigest()}
    tables = GATEWAYS.format(far=FAR, **ports, **digests)
    pdp = ServedPdp(folder, POLICY, list(issuers()), extra=tables, gateway='services = ["ledger"]')
    pdp.start()
    eventually(lambda: "INFO ready" in pdp.output.read_text())  # its last line: what comes later is said of a call
    try:
        yield Doors(pdp, **ports, authority=authority, stranger=stranger)
        assert pdp.stop() == 0
    finally:
        pdp.kill()


# ---------------------------------------------------------------- what is sent


def token(**claims: object) -> str:
    """A good token, with a claim that must be seen nowhere."""
    whole = {"sub": "u1", "aud": "desk", "email": f"{CANARY}@example.org", **claims}
    return issuers()[0].mint(whole, int(time.time()))


def bearer(**claims: object) -> bytes:
    return b"authorization: Bearer " + token(**claims).encode()


def question(**members: Json) -> dict[str, Any]:
    """An evaluation of a service that the application may not ask about, where nothing else is said."""
    return {
        "subject": {"type": "employee", "id": CANARY, "properties": {"department": "legal"}},
        "action": {"name": "read"},
        "resource": {"type": "document", "id": CANARY, "properties": {"department": "legal"}},
        **members,
    }


WHOLE = json.dumps(question()).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in question().items() if key != name}).encode()


def native(**members: Any) -> bytes:
    """A DecideRequest about a call to the ledger."""
    call = {"method": "GET", "path": "/accounts/a1", "host": "ledger.example"}
    data: bytes = DecideRequest(inquiry={"service": "ledger", "http": call, **members}).SerializeToString()
    return data


def ledger(host: str = "ledger.example", service: str = "ledger", **headers: str) -> bytes:
    """A CheckRequest about an account."""
    return check_request("GET", host, "/accounts/a1", service=service, headers=headers)


def two_credentials() -> bytes:
    message = CheckRequest.FromString(ledger())
    for each in (token(aud="ledger"), token(aud="ledger", sub="u2")):
        message.attributes.request.http.header_map.headers.add(key="authorization", raw_value=f"Bearer {each}".encode())
    data: bytes = message.SerializeToString()
    return data


def claims_nobody_may_hand_on() -> bytes:
    message = CheckRequest.FromString(ledger())
    claims = {"iss": issuers()[0].url, "sub": "u1", "aud": "ledger", "exp": time.time() + 600}
    message.attributes.metadata_context.filter_metadata[VERIFIED].update({CLAIMS: claims})
    data: bytes = message.SerializeToString()
    return data


class Bad(Struct, frozen=True):
    """What is sent, the exact status, and what its one record says: the reason, and who asked."""

    ask: Callable[[Doors], Got]
    status: int | str
    reason: str
    gateway: str


def _authzen(body: bytes, *more: bytes, status: int = 400, reason: str = "request.unreadable", **how: Any) -> Bad:
    return Bad(lambda doors: doors.authzen(body, *more, **how), status, reason, "app")


AUTHZEN: dict[str, Bad] = {
    "no subject": _authzen(without("subject")),
    "no action": _authzen(without("action")),
    "no resource": _authzen(without("resource")),
    "a subject that is text": _authzen(json.dumps(question(subject=CANARY)).encode()),
    "an action whose name is a number": _authzen(json.dumps(question(action={"name": 7})).encode()),
    "a resource without an id": _authzen(json.dumps(question(resource={"type": "document"})).encode()),
    "properties that are a list": _authzen(json.dumps(question(action={"name": "read", "properties": []})).encode()),
    "a context that is null": _authzen(json.dumps(question(context=None)).encode()),
    "a member twice": _authzen(WHOLE.replace(b'"action"', b'"action": {}, "action"')),
    "a property twice": _authzen(WHOLE.replace(b'"department"', b'"department": "sales", "department"', 1)),
    "a lone surrogate": _authzen(WHOLE.replace(b'"legal"', b'"\\udfff"', 1)),
    "bytes that are no UTF-8": _authzen(WHOLE.replace(b'"legal"', b'"\xff"', 1)),
    "a number beyond I-JSON": _authzen(WHOLE.replace(b'"legal"', b"1e400", 1)),
    "ten million bytes": _authzen(WHOLE + b" " * 10_000_000, reason="request.too_large"),
    "text": _authzen(WHOLE, b"content-type: text/plain", json_type=False),
    "no content type": _authzen(WHOLE, json_type=False),
    "two content types": _authzen(WHOLE, b"content-type: text/plain"),
    "JSON that is compressed": _authzen(WHOLE, b"content-encoding: gzip"),
    "nothing": _authzen(b""),
    "a batch that is an object": _authzen(json.dumps(question(evaluations={})).encode(), path=SEVERAL),
    "a semantic of nobody": _authzen(
        json.dumps(question(evaluations=[{}], options={"evaluations_semantic": CANARY})).encode(), path=SEVERAL
    ),
    "a batch of one item that is text": _authzen(
        json.dumps({"evaluations": [CANARY]}).encode(), path=SEVERAL, status=200
    ),
    "an action of a service that is not the caller's": _authzen(WHOLE, status=200, reason="route.no_service"),
    "headers that would say another call": _authzen(
        WHOLE,
        *(b"x-forwarded-uri: /health", b"x-forwarded-host: ledger.example", b"x-portcullis-service: ledger"),
        status=200,
        reason="route.no_service",
    ),
}

NOBODY: dict[str, Bad] = {
    "no key": Bad(lambda doors: doors.authzen(WHOLE, key=""), 401, "request.gateway", "unknown"),
    "a key of nobody": Bad(lambda doors: doors.authzen(WHOLE, key="x" * 43), 401, "request.gateway", "unknown"),
    "a token in place of a key": Bad(
        lambda doors: doors.authzen(WHOLE, key=token()), 401, "request.gateway", "unknown"
    ),
    "two keys": Bad(
        lambda doors: doors.authzen(WHOLE, b"authorization: Bearer " + KEY.encode()), 401, "request.gateway", "unknown"
    ),
    "a key in the URL": Bad(
        lambda doors: doors.authzen(WHOLE, key="", path=ONE + b"?access_token=" + KEY.encode()),
        *(401, "request.gateway", "unknown"),
    ),
    "headers that would say who asks": Bad(
        lambda doors: doors.authzen(
            *(WHOLE, b"x-portcullis-gateway: app", b"x-forwarded-client-cert: URI=" + FAR.encode()), key=""
        ),
        *(401, "request.gateway", "unknown"),
    ),
    "who may not say who the subject is": Bad(
        lambda doors: doors.authzen(WHOLE, key=MUTE_KEY), 403, "request.subject", "mute"
    ),
    "a call forwarded to the address of the operators": Bad(
        lambda doors: doors.forwarded(bearer(), port=doors.pdp.http_port), 403, "request.gateway", "unknown"
    ),
    "a call forwarded with a key": Bad(
        lambda doors: doors.forwarded(b"authorization: Bearer " + KEY.encode(), port=doors.pdp.http_port),
        *(403, "request.gateway", "unknown"),
    ),
    "AuthZEN by a stranger's certificate": Bad(
        lambda doors: doors.over_tls(
            "POST", ONE.decode(), {"content-type": "application/json", "authorization": f"Bearer {KEY}"}, WHOLE
        ),
        *(401, "request.gateway", "unknown"),
    ),
    "a call forwarded by a stranger's certificate": Bad(
        lambda doors: doors.over_tls("GET", "/forward-auth/desk", {"x-forwarded-method": "GET"}),
        *(403, "request.gateway", "unknown"),
    ),
    "a check by a stranger's certificate": Bad(
        lambda doors: doors.check(ledger(authorization=f"Bearer {token(aud='ledger')}"), strange=True),
        *(403, "route.gateway", "unknown"),
    ),
    "the native API by a stranger's certificate": Bad(
        lambda doors: doors.native(native(), strange=True), "PERMISSION_DENIED", "request.gateway", "unknown"
    ),
}


def _forwarded(*more: bytes, status: int = 403, reason: str = "request.missing", **said: Any) -> Bad:
    return Bad(lambda doors: doors.forwarded(bearer(), *more, **said), status, reason, "proxy")


FORWARDED: dict[str, Bad] = {
    "a service that is not the gateway's": _forwarded(
        service=b"ledger", host=b"ledger.example", reason="route.gateway"
    ),
    "a service that nobody declares": _forwarded(service=b"payroll", reason="route.service"),
    "a host of another service": _forwarded(host=b"ledger.example", reason="route.host"),
    "two hosts in one": _forwarded(host=b"desk.example, ledger.example", reason="host.list"),
    "no path": _forwarded(uri=None),
    "no method": _forwarded(method=None),
    "no scheme": _forwarded(proto=None),
    "a scheme of nobody": _forwarded(proto=b"gopher"),
    "no address": _forwarded(for_=None),
    "an address that is none": _forwarded(for_=b"unknown", reason="address.malformed"),
    "two paths": _forwarded(b"x-forwarded-uri: /health"),
    "two methods": _forwarded(b"x-forwarded-method: POST"),
    "two hosts": _forwarded(b"x-forwarded-host: ledger.example"),
    "two addresses in two headers": _forwarded(b"x-forwarded-for: 192.0.2.8"),
    "another path in a header of another name": _forwarded(
        b"x-original-url: /notes/u1", uri=b"/shelves", reason="route.endpoint"
    ),
    "a header of ours with an underscore": _forwarded(b"x_desk_user: root", reason="header.alias"),
    "two credentials": _forwarded(b"authorization: Bearer a.b.c", status=401, reason="token.repeated"),
    "another scheme beside a token": _forwarded(b"authorization: Basic dTpw", status=401, reason="token.repeated"),
}

OVER_GRPC: dict[str, Bad] = {
    "a check of a service that is not the gateway's": Bad(
        lambda doors: doors.check(
            check_request(
                "GET", "desk.example", "/notes/u1", service="desk", headers={"authorization": f"Bearer {token()}"}
            )
        ),
        *(403, "route.gateway", "edge"),
    ),
    "a check with a host of another service": Bad(
        lambda doors: doors.check(ledger(host="reports.example", authorization=f"Bearer {token(aud='ledger')}")),
        *(403, "route.host", "edge"),
    ),
    "a check with two credentials": Bad(lambda doors: doors.check(two_credentials()), 401, "token.repeated", "edge"),
    "claims of a gateway that may hand on none": Bad(
        lambda doors: doors.check(claims_nobody_may_hand_on()), 401, "default.no_cell_rule", "edge"
    ),
    "ten million bytes for a check": Bad(
        lambda doors: doors.check(b"\x0a" * 10_000_000), 503, "request.too_large", "edge"
    ),
    "a subject by who may not say one": Bad(
        lambda doors: doors.native(native(subject={"type": "employee", "id": CANARY})),
        *("PERMISSION_DENIED", "request.subject", "edge"),
    ),
    "readings by who may give none": Bad(
        lambda doors: doors.native(native(readings={"risk": {"integer": 1}})),
        *("PERMISSION_DENIED", "request.readings", "edge"),
    ),
    "why, by who may not ask": Bad(
        lambda doors: doors.native(native(), EXPLAIN), "PERMISSION_DENIED", "request.explain", "edge"
    ),
    "bytes that are no inquiry": Bad(
        lambda doors: doors.native(b"\xff" * 64), "INVALID_ARGUMENT", "request.unreadable", "edge"
    ),
    "ten million bytes for the native API": Bad(
        lambda doors: doors.native(b"\x0a" * 10_000_000), "INVALID_ARGUMENT", "request.too_large", "edge"
    ),
}

BAD = {
    f"{way}: {sentence}": bad
    for way, table in {"AuthZEN": AUTHZEN, "nobody": NOBODY, "forwarded": FORWARDED, "gRPC": OVER_GRPC}.items()
    for sentence, bad in table.items()
}


@pytest.mark.parametrize("sentence", BAD)
def test_it_is_answered_recorded_and_nothing_is_told(sentence: str, doors: Doors) -> None:
    bad = BAD[sentence]
    before, said = all_records(doors.pdp.state), doors.pdp.output.read_text()
    got = bad.ask(doors)
    new = [each for id_, each in all_records(doors.pdp.state).items() if id_ not in before]
    assert got.status == bad.status, got
    (record,) = (each.clear for each in new if each.kind != "context")
    assert (record["d"], record["rc"], record["gw"]) == ("deny", bad.reason, bad.gateway)
    by = [str(each) for each in record["by"]] if isinstance(record["by"], list) else []
    hidden = (bad.reason, *(each for each in by if "." in each), KEY, MUTE_KEY, CANARY, "eyJ", "Traceback", ".pol")
    for text in (got.told, doors.pdp.output.read_text().removeprefix(said)):
        assert not [each for each in hidden if each in text], text
    assert CANARY not in json.dumps(dict(record))
    assert doors.pdp.output.read_text() == said


def test_what_a_client_says_of_decisions_is_not_repeated_to_the_gateway(doors: Doors) -> None:
    forged = (b"x-portcullis-decision: forged", b"x-desk-user: forged", b"x-portcullis-gateway: edge")
    got = doors.forwarded(bearer(), *forged)
    assert got.status == 200
    assert got.told.count(SAID) == 1
    assert "forged" not in got.told
    assert "('x-desk-user', 'u1')" in got.told
