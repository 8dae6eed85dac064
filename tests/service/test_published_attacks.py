"""Every published attack on tokens, by cause, through the whole service: two listeners, its decision, its record.

A call with a good token is allowed; the same call with the attack in place of the token is refused, by the word and for
the reason that the record says and the answer does not, while nothing at all is opened, run or connected to.

Decision: 2026-11-21. The metadata of a CheckResponse names the reason, as contracts.md has it: they are for the
gateway's own log and reach no client. What a client gets is the same to the letter for every refusal of one word.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct
from msgspec.structs import replace
from starlette.types import ASGIApp, Message

from pdp.answers import DECISION_HEADER
from pdp.evaluate import Evaluator
from pdp.gateways import Connection, Gateway
from pdp.identity import bearer, confirmation, jwt
from pdp.identity.bearer import Identity
from pdp.identity.jwks import Algorithm, KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verifier
from pdp.identity.profiles import RFC9068
from pdp.metrics import Metrics
from pdp.service import DecisionService, Receipts
from pdp.transports.asking import CONNECTION
from pdp.transports.check import CheckCall
from pdp.transports.http_app import http_app
from pdp.transports.messages import CheckRequest
from tests.support.asking import Answer, read_answer
from tests.support.cases import EDGE, engine
from tests.support.certificates import TestAuthority
from tests.support.http_parts import parts
from tests.support.memory_log import Appended, MemoryLog
from tests.support.signature_attacks import MACHINES, PUBLISHED, USERS, user
from tests.support.token_attacks import ATTACKS, CONTROLS, LEDGER, LURES, SESSION_MAX_S, Attack, presented
from tests.support.tokens import NOW, b64, key_set

GATEWAY = Gateway("edge", None, EDGE)
CONTROL = CONTROLS["ES256"]
WATCHED = frozenset(
    {
        *("compile", "ctypes", "exec", "fcntl", "ftplib", "glob", "http", "import", "mmap", "open", "os", "pathlib"),
        *("pty", "shutil", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "syslog", "tempfile", "urllib"),
    }
)
"""The events of the interpreter that tell of files, connections, processes and code, by what stands before the dot."""


class Watch:
    """Hears what the interpreter says of the outside world, in all threads. No hook can be removed: it has a flag."""

    def __init__(self) -> None:
        self._seen: list[str] | None = None
        sys.addaudithook(self._heard)

    @contextlib.contextmanager
    def during(self) -> Iterator[list[str]]:
        seen: list[str] = []
        self._seen = seen
        try:
            yield seen
        finally:
            self._seen = None

    def _heard(self, event: str, about: tuple[object, ...]) -> None:
        if self._seen is not None and event.partition(".")[0] in WATCHED:
            self._seen.append(f"{event} {about}")


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def _keys(issuer: str) -> KeySet:
    keys = read_key_set(key_set(*(each.jwk() for each in PUBLISHED[issuer])))
    assert isinstance(keys, KeySet)
    return keys


@pytest.fixture(scope="module")
def identity() -> Identity:
    users = Issuer(USERS, _keys(USERS), frozenset({"ES256", "EdDSA"}), frozenset({"at+jwt"}), profile=RFC9068)
    pins = (frozenset[Algorithm]({"RS256"}), frozenset({"jwt"}))
    machines = Issuer(MACHINES, _keys(MACHINES), *pins, session_max_s=SESSION_MAX_S)
    return Identity(Verifier([users, machines]))


class HttpAnswer(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Outcome(Struct, frozen=True):
    """What one call came to over both listeners, with their records, and what was seen of the outside meanwhile."""

    check: Answer
    http: HttpAnswer
    records: tuple[Appended, Appended]
    seen: tuple[str, ...]


class Service:
    """The service with its listeners, and no sockets: what leaves is the bytes of each listener."""

    def __init__(self, identity: Identity, watch: Watch) -> None:
        receipts = Receipts(asyncio.get_running_loop())
        self._watch = watch
        self._log = MemoryLog(receipts.settled)
        evaluator = Evaluator(engine, identity, service_from_host=False)
        decider = DecisionService(
            evaluator, self._log, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic
        )

        def clock_us() -> int:
            return NOW * 1_000_000

        self._check = CheckCall(decider, GATEWAY, clock_us=clock_us, metrics=Metrics(), acr_values={})
        self._http = http_app(replace(parts(), decider=decider, clock_us=clock_us))

    async def ask(self, attack: Attack, certificate: str = "") -> Outcome:
        """`certificate` is the client's, URL-encoded, as the gateway of ext_authz saw it; the other one says none."""
        data = _check_request(attack, certificate)
        with self._watch.during() as seen:
            reply = await self._check.answer(data, (), 5.0)
            answer = await _forwarded(self._http, attack)
        first, second = self._log.decisions()[-2:]
        return Outcome(read_answer(reply), answer, (first, second), tuple(seen))


def _check_request(attack: Attack, certificate: str) -> bytes:
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.host, http.path = "GET", attack.call.host, attack.call.path
    for name, value in attack.headers:
        http.header_map.headers.add(key=name, raw_value=value)
    message.attributes.source.address.socket_address.address = "203.0.113.7"
    message.attributes.source.certificate = certificate
    message.attributes.context_extensions["portcullis.service"] = attack.call.service
    return bytes(message.SerializeToString())


async def _forwarded(app: ASGIApp, attack: Attack) -> HttpAnswer:
    """The call as nginx would ask about it, straight into the application."""
    said = {"method": "GET", "uri": attack.call.path, "host": attack.call.host, "proto": "https", "for": "203.0.113.7"}
    path = f"/forward-auth/{attack.call.service}"
    sent: list[Message] = []
    forwarded = [(f"x-forwarded-{name}".encode(), value.encode()) for name, value in said.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [*forwarded, *((name.encode(), value) for name, value in attack.headers)],
        CONNECTION: Connection(GATEWAY, private=True),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return HttpAnswer(start["status"], headers, b"".join(message["body"] for message in rest))


def decided(identity: Identity, watch: Watch, *attacks: Attack) -> list[Outcome]:
    async def run() -> list[Outcome]:
        service = Service(identity, watch)
        return [await service.ask(attack) for attack in attacks]

    return asyncio.run(run())


class Refused(Struct, frozen=True):
    """All that a client is told of a refusal, but for the id of its record."""

    code: int
    status: int
    title: str
    challenge: str = ""


INVALID = Refused(16, 401, "the credential was not accepted", 'Bearer error="invalid_token"')
NOBODY = Refused(16, 401, "a credential is required", "Bearer")
FORBIDDEN = Refused(7, 403, "the request is not permitted")
BY_WORD = {"token": INVALID, "path": NOBODY, "default": NOBODY, "audience": FORBIDDEN, "schema": FORBIDDEN}


def hold(attack: Attack, outcome: Outcome) -> None:
    """Refused on both listeners, told in the record and nowhere else, with nothing touched."""
    hold_on_check(attack, outcome)
    wanted, record = BY_WORD[attack.by], outcome.records[1]
    _hold_recorded(attack, record)
    body = _body(wanted, record)
    assert (outcome.http.status, outcome.http.body.decode()) == (wanted.status, body)
    assert outcome.http.headers == _headers(wanted, record) | {"content-length": str(len(body))}


def hold_on_check(attack: Attack, outcome: Outcome) -> None:
    """The same, on ext_authz alone."""
    wanted, record, answer = BY_WORD[attack.by], outcome.records[0], outcome.check
    assert outcome.seen == ()
    _hold_recorded(attack, record)
    assert (answer.code, answer.http_status, answer.body) == (wanted.code, wanted.status, _body(wanted, record))
    assert (answer.headers, answer.removed) == (_headers(wanted, record), ())
    proved = {"valid_until": str((NOW + 600) * 1000)} if wanted is FORBIDDEN else {}
    metadata = {"decision_id": record.receipt.id, "policy_revision": engine().digest, "reason": attack.reason}
    assert answer.metadata == metadata | proved


def _headers(wanted: Refused, record: Appended) -> dict[str, str]:
    challenge = {"www-authenticate": wanted.challenge} if wanted.challenge else {}
    return {"content-type": "application/problem+json", **challenge, DECISION_HEADER: record.receipt.id}


def _body(wanted: Refused, record: Appended) -> str:
    return json.dumps({"title": wanted.title, "decision": record.receipt.id})


def _hold_recorded(attack: Attack, record: Appended) -> None:
    """The record tells the reason, and no credential nor the name of an issuer, in clear or sealed."""
    assert (record.clear["d"], record.clear["by"], record.clear["rc"]) == ("deny", [attack.by], attack.reason)
    clear, sealed = json.dumps(record.clear), (record.inputs or b"").decode()
    for _, value in attack.headers:
        credential = value.rpartition(b" ")[2].decode("utf-8", "replace")
        if len(credential) > 16:
            assert credential not in clear
            assert credential not in sealed
    assert USERS not in clear
    assert MACHINES not in clear


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS.keys())
def test_what_the_attacks_are_made_from_is_allowed(identity: Identity, watch: Watch, control: Attack) -> None:
    first, again = decided(identity, watch, control, control)
    for outcome in (first, again):
        assert (outcome.check.code, outcome.http.status) == (0, 200)
        for record in outcome.records:
            assert (record.clear["d"], record.clear["rc"]) == ("allow", "rule")
    assert again.seen == ()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_published_attack_is_refused(identity: Identity, watch: Watch, attack: Attack) -> None:
    control, refused = decided(identity, watch, CONTROL, attack)
    assert (control.check.code, control.http.status) == (0, 200)
    hold(attack, refused)


@pytest.mark.parametrize(("reason", "made"), LURES.values(), ids=LURES.keys())
def test_a_place_that_a_token_names_is_never_looked_at(
    identity: Identity, watch: Watch, tmp_path: Path, reason: str, made: Any
) -> None:
    """A listener lies in wait, and a file that would do as a key."""
    path = tmp_path / "key.pem"
    path.write_bytes(b"secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        attack = Attack(presented(f"Bearer {made(url, str(path))}"), reason)
        control, refused = decided(identity, watch, CONTROL, attack)
        assert control.check.code == 0
        hold(attack, refused)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


AUTHORITY = TestAuthority()


def _certificate(ends_s: int) -> str:
    """A client's certificate that is over at so many Unix seconds, as Envoy hands it on."""
    valid_for = datetime.fromtimestamp(ends_s, UTC) - datetime.now(UTC)
    return quote(AUTHORITY.gateway(valid_for=valid_for).certificate, safe="")


def _bound_to(certificate: str) -> Attack:
    der = x509.load_pem_x509_certificate(unquote(certificate).encode()).public_bytes(Encoding.DER)
    return Attack(presented(f"Bearer {user(cnf={'x5t#S256': b64(hashlib.sha256(der).digest())})}"), "token.unproved")


OWN, OTHER, OVER = _certificate(NOW + 3_600), _certificate(NOW + 3_600), _certificate(NOW - 60)
BOUND: dict[str, tuple[Attack, str, str]] = {
    "a stolen token over a connection without a certificate (RFC 8705 3)": (_bound_to(OWN), "", "token.unproved"),
    "a stolen token over a thief's connection (RFC 8705 3)": (_bound_to(OWN), OTHER, "token.unproved"),
    "a stolen token, its certificate appended to a thief's (RFC 8705 3)": (
        _bound_to(OWN),
        OTHER + OWN,
        "token.unproved",
    ),
    "a certificate that is over (RFC 5280 4.1.2.5)": (_bound_to(OVER), OVER, "token.certificate_over"),
}


@pytest.mark.parametrize(("attack", "certificate", "reason"), BOUND.values(), ids=BOUND.keys())
def test_a_bound_token_is_good_on_its_own_connection_alone(
    identity: Identity, watch: Watch, attack: Attack, certificate: str, reason: str
) -> None:
    """The token was proved on its own connection before, and is again after."""

    async def run() -> list[Outcome]:
        service, own = Service(identity, watch), _bound_to(OWN)
        return [await service.ask(each, shown) for each, shown in ((own, OWN), (attack, certificate), (own, OWN))]

    before, refused, after = asyncio.run(run())
    assert (before.check.code, after.check.code) == (0, 0)
    hold_on_check(replace(attack, reason=reason), refused)
    assert [outcome.http.status for outcome in (before, refused, after)] == [401] * 3


def _opened() -> None:
    Path(os.devnull).read_bytes()


def _connected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname()).close()


def _resolved() -> None:
    socket.getaddrinfo("127.0.0.1", 80)


def _ran() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def _called() -> None:
    os.system("true")  # noqa: S605 - the text is ours


def _compiled() -> None:
    compile("1", "<test>", "eval")


def _executed() -> None:
    exec("")  # noqa: S102 - the text is ours


TOUCHES = {
    "open": _opened,
    "socket.connect": _connected,
    "socket.getaddrinfo": _resolved,
    "subprocess.Popen": _ran,
    "os.system": _called,
    "compile": _compiled,
    "exec": _executed,
}


@pytest.mark.parametrize(("event", "touch"), TOUCHES.items(), ids=TOUCHES.keys())
def test_the_watch_sees_what_it_is_there_for(watch: Watch, event: str, touch: Any) -> None:
    with watch.during() as seen:
        touch()
    assert event in {each.partition(" ")[0] for each in seen}
    touch()
    with watch.during() as later:
        pass
    assert later == []


def test_every_reason_of_a_token_has_an_attack() -> None:
    documented = re.findall(r"`(token\.\w+)`", "\n".join(str(module.__doc__) for module in (jwt, bearer, confirmation)))
    attacked = {attack.reason for attack in ATTACKS.values() if attack.by == "token"}
    assert set(documented) == attacked | {reason for _, _, reason in BOUND.values()}


def test_a_token_of_each_issuer_opens_nothing_of_the_other(identity: Identity, watch: Watch) -> None:
    """The controls are refused where they are not meant for: the attacks do not fail for want of a target."""
    (outcome,) = decided(identity, watch, replace(CONTROLS["RS256"], call=LEDGER))
    hold(Attack((), "audience.mismatch", "audience"), outcome)


def test_what_was_refused_hundreds_of_times_is_refused(identity: Identity, watch: Watch) -> None:
    """Nothing of an attack is remembered as good, and nothing good is forgotten for it."""
    attack = ATTACKS["the payload exchanged (RFC 8725 3.3)"]
    outcomes = decided(identity, watch, CONTROL, *[attack] * 300, CONTROL)
    for outcome in outcomes[1:-1]:
        hold(attack, outcome)
    assert (outcomes[0].check.code, outcomes[-1].check.code) == (0, 0)
