"""What a real Envoy says of a call, and what it makes of our answers: bodies, addresses, claims, TLS, gRPC callers."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from pdp.gateways import Gateway
from pdp.model import Body, Challenge, ClientCertificate, Decision
from tests.support.checked_envoy import GRPC_HOST, HOST, CheckedEnvoy, Manner, Running
from tests.support.deciders import ALLOW, ID, Behaviour, allow, returning
from tests.support.issuing import TestIssuer

BUFFER = 16
ISSUER = TestIssuer()
JWT = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


def _buffering(_: dict[str, Any], check: dict[str, Any]) -> None:
    check["with_request_body"] = {"max_request_bytes": BUFFER, "allow_partial_message": True, "pack_as_bytes": True}


def _buffering_text(_: dict[str, Any], check: dict[str, Any]) -> None:
    check["with_request_body"] = {"max_request_bytes": BUFFER, "allow_partial_message": True}


def _not_appending(manager: dict[str, Any], _: dict[str, Any]) -> None:
    manager["use_remote_address"] = False


def _telling_of_tls(_: dict[str, Any], check: dict[str, Any]) -> None:
    check["include_tls_session"] = True


def _verifying(manager: dict[str, Any], check: dict[str, Any]) -> None:
    provider = {
        "issuer": ISSUER.url,
        "local_jwks": {"inline_string": json.dumps(ISSUER.key_set())},
        "payload_in_metadata": "jwt_payload",
        "forward": False,
    }
    missing = {"requires_any": {"requirements": [{"provider_name": "users"}, {"allow_missing": {}}]}}
    rules = [{"match": {"prefix": "/"}, "requires": missing}]
    config = {"@type": f"type.googleapis.com/{JWT}", "providers": {"users": provider}, "rules": rules}
    manager["http_filters"].insert(0, {"name": "envoy.filters.http.jwt_authn", "typed_config": config})
    check["metadata_context_namespaces"] = ["envoy.filters.http.jwt_authn"]


def _self_signed(name: str) -> tuple[x509.Certificate, bytes]:
    """A certificate that is its own authority, and its key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return builder.sign(key, hashes.SHA256()), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


CLIENT = _self_signed("client")


def _certificate(*, asking: bool = False) -> dict[str, Any]:
    shown, private = _self_signed(HOST)
    chain, key = {"inline_string": _pem(shown)}, {"inline_string": private.decode()}
    context: dict[str, Any] = {"tls_certificates": [{"certificate_chain": chain, "private_key": key}]}
    if asking:
        context["validation_context"] = {"trusted_ca": {"inline_string": _pem(CLIENT[0])}}
    return context


MANNERS = {
    "demo": Manner(Gateway("demo", None)),
    "buffering": Manner(Gateway("buffering", None), _buffering),
    "buffering text": Manner(Gateway("text", None), _buffering_text),
    "verifying": Manner(Gateway("verifying", None, verified_claims="jwt_payload"), _verifying),
    "one hop": Manner(Gateway("hop", None, trusted_hops=1), proxied=True),
    "two hops": Manner(Gateway("hops", None, trusted_hops=2), proxied=True),
    "one hop, not appending": Manner(Gateway("still", None, trusted_hops=1), _not_appending, proxied=True),
    "no hop, not appending": Manner(Gateway("near", None), _not_appending, proxied=True),
    "one hop on this host": Manner(Gateway("here", None, trusted_hops=1)),
    "telling of TLS": Manner(Gateway("plain", None), _telling_of_tls),
    "TLS": Manner(Gateway("tls", None), _telling_of_tls, tls=_certificate()),
    "asking for a certificate": Manner(Gateway("mtls", None), tls=_certificate(asking=True)),
}


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with CheckedEnvoy(tmp_path_factory.mktemp("attributes"), MANNERS) as running:
        yield running


@pytest.fixture(autouse=True)
def _deciding(envoy: Running) -> None:
    envoy.decider.behaviour = allow


def _call(
    envoy: Running,
    manner: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    chunks: list[bytes] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """One call: status, headers and body of the answer. `chunks` go out one after the other, each in a write."""
    connection = http.client.HTTPConnection("127.0.0.1", envoy.ports[manner], timeout=10)
    try:
        method = "GET" if body is None and chunks is None else "POST"
        sent: Any = iter(chunks) if chunks is not None else body
        connection.request(
            method, "/a", body=sent, headers={"Host": HOST, **(headers or {})}, encode_chunked=chunks is not None
        )
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


# ---------------------------------------------------------------- bodies

BODIES = {
    "a body": (b"hello", Body(5, truncated=False)),
    "one that fills the buffer exactly": (b"x" * BUFFER, Body(BUFFER, truncated=False)),
    "one byte more": (b"x" * (BUFFER + 1), Body(BUFFER, truncated=True)),
    "much more": (b"x" * 500, Body(BUFFER, truncated=True)),
    "an empty one": (b"", None),
}


@pytest.mark.parametrize("sentence", BODIES)
def test_a_body_of_known_length(sentence: str, envoy: Running) -> None:
    body, wanted = BODIES[sentence]
    assert _call(envoy, "buffering", body=body)[0] == 200
    assert envoy.asked().body == wanted


CHUNKS = {
    "chunks that fit": [b"x" * 5],
    "chunks that fill the buffer exactly, and more that Envoy does not tell of": [b"x" * BUFFER, b"y"],
    "chunks beyond the buffer": [b"x" * 10, b"y" * 10],
}


@pytest.mark.parametrize("sentence", CHUNKS)
def test_of_a_body_in_chunks_nobody_says_that_it_is_whole(sentence: str, envoy: Running) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    assert _call(envoy, "buffering", headers, chunks=CHUNKS[sentence])[0] == 200
    body = envoy.asked().body
    assert body is not None
    assert body.truncated
    assert 0 < body.size <= BUFFER


def test_what_a_client_says_of_its_body_is_not_envoys_word(envoy: Running) -> None:
    forged = {"x-envoy-auth-partial-body": "false"}
    _call(envoy, "buffering", forged, body=b"x" * 500)
    assert envoy.asked().body == Body(BUFFER, truncated=True)
    _call(envoy, "demo", forged, body=b"hello")
    assert envoy.asked().body is None


def test_a_body_as_text_is_counted_too(envoy: Running) -> None:
    _call(envoy, "buffering text", body=b"hello")
    assert envoy.asked().body == Body(5, truncated=False)


def test_without_a_buffer_nothing_is_said_of_a_body(envoy: Running) -> None:
    _call(envoy, "demo", body=b"hello")
    assert envoy.asked().body is None


# ---------------------------------------------------------------- addresses

FROM = "198.51.100.9"
ADDRESSES: dict[str, tuple[str, str | None, str | None]] = {
    "behind one proxy, the client": ("one hop", "203.0.113.7", "203.0.113.7"),
    "what the client wrote before that is not read": ("one hop", "1.2.3.4, 203.0.113.7", "203.0.113.7"),
    "a proxy that says nobody": ("one hop", None, None),
    "an entry with a port": ("one hop", "203.0.113.7:4711", None),
    "behind two proxies, the client": ("two hops", "203.0.113.7, 192.0.2.8", "203.0.113.7"),
    "one proxy where there should be two": ("two hops", "203.0.113.7", None),
    "an Envoy that appends nothing": ("one hop, not appending", "1.2.3.4, 203.0.113.7", None),
    "without proxies, the connection": ("no hop, not appending", "1.2.3.4", FROM),
}


def _proxied(envoy: Running, manner: str, forwarded: str | None) -> None:
    """A call that comes from `FROM`, by the PROXY protocol."""
    header = "" if forwarded is None else f"X-Forwarded-For: {forwarded}\r\n"
    text = (
        f"PROXY TCP4 {FROM} 127.0.0.1 4711 80\r\nGET /a HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{header}\r\n"
    )
    with socket.create_connection(("127.0.0.1", envoy.ports[manner]), timeout=10) as connection:
        connection.sendall(text.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sentence", ADDRESSES)
def test_the_address_of_the_client(sentence: str, envoy: Running) -> None:
    manner, forwarded, wanted = ADDRESSES[sentence]
    _proxied(envoy, manner, forwarded)
    assert envoy.asked().ip == wanted


def test_a_proxy_on_the_gateways_own_host_says_nobody(envoy: Running) -> None:
    """Envoy appends an address of the host for a peer on loopback: what stands before it is not told from a forgery."""
    _call(envoy, "one hop on this host", {"X-Forwarded-For": "203.0.113.7"})
    assert envoy.asked().ip is None


# ---------------------------------------------------------------- encryption


def test_a_plain_connection_is_not_taken_for_an_encrypted_one(envoy: Running) -> None:
    _call(envoy, "telling of TLS", {"X-Forwarded-Proto": "https"})
    assert envoy.asked().tls is None


@pytest.mark.parametrize("shows", [True, False], ids=["a certificate", "none"])
def test_the_certificate_that_a_client_shows_is_told_and_no_header_about_one(
    shows: bool, envoy: Running, tmp_path: Path
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shows:
        (tmp_path / "client.pem").write_text(_pem(CLIENT[0]))
        (tmp_path / "client.key").write_bytes(CLIENT[1])
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    forged = f"X-Forwarded-Client-Cert: Hash={'ab' * 32}\r\n"
    with (
        socket.create_connection(("127.0.0.1", envoy.ports["asking for a certificate"]), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        connection.sendall(f"GET /a HTTP/1.1\r\nHost: {HOST}\r\n{forged}Connection: close\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 200")
    ends_s = int(CLIENT[0].not_valid_after_utc.timestamp())
    shown = ClientCertificate(CLIENT[0].fingerprint(hashes.SHA256()), ends_s)
    assert envoy.asked().certificate == (shown if shows else None)


@pytest.mark.parametrize(("name", "known"), [(HOST, True), (None, None)], ids=["a name", "no name"])
def test_an_encrypted_connection_is_known_by_the_name_it_asked_for(
    name: str | None, known: bool | None, envoy: Running
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", envoy.ports["TLS"]), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        connection.sendall(f"GET /a HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 200")
    assert envoy.asked().tls is known


# ---------------------------------------------------------------- verified claims


def test_the_claims_of_a_token_that_envoy_verified_and_took_away(envoy: Running) -> None:
    claims = {"sub": "u1", "aud": ["ledger"], "auth_time": 1_700_000_000, "id": 2**60 + 1, "deep": {"a": [1.5, None]}}
    token = ISSUER.mint(claims, int(time.time()))
    assert _call(envoy, "verifying", {"Authorization": f"Bearer {token}"})[0] == 200
    asked = envoy.asked()
    assert asked.verified is not None
    assert {name: asked.verified[name] for name in claims} == claims | {"id": float(2**60)}
    assert asked.verified["iss"] == ISSUER.url
    assert isinstance(asked.verified["exp"], int)
    assert not [name for name, _ in asked.headers if name == "authorization"]


def test_without_a_token_nothing_is_verified(envoy: Running) -> None:
    assert _call(envoy, "verifying")[0] == 200
    assert envoy.asked().verified is None


def test_a_token_that_envoy_refuses_never_reaches_us(envoy: Running) -> None:
    before = len(envoy.decider.asked)
    token = TestIssuer().mint({"sub": "u1"}, int(time.time()))
    assert _call(envoy, "verifying", {"Authorization": f"Bearer {token}"})[0] == 401
    assert len(envoy.decider.asked) == before


# ---------------------------------------------------------------- answers

REFUSAL = Decision("deny", ("orders.conceal",), "rule", id=ID, authenticated=True)
REFUSALS: dict[str, tuple[Decision, int, grpc.StatusCode, str]] = {
    "a rule": (REFUSAL, 403, grpc.StatusCode.PERMISSION_DENIED, "the request is not permitted"),
    "nobody": (
        replace(REFUSAL, authenticated=False),
        401,
        grpc.StatusCode.UNAUTHENTICATED,
        "a credential is required",
    ),
    "a bad credential": (
        replace(REFUSAL, by=("token",)),
        401,
        grpc.StatusCode.UNAUTHENTICATED,
        "the credential was not accepted",
    ),
    "a fault": (
        replace(REFUSAL, by=("internal",)),
        503,
        grpc.StatusCode.UNAVAILABLE,
        "no decision can be given now",
    ),
    "a log that is full": (
        Decision("deny", ("audit",), "audit.full"),
        503,
        grpc.StatusCode.UNAVAILABLE,
        "no decision can be given now",
    ),
    "a step-up": (
        replace(REFUSAL, outcome="step_up", challenges=(Challenge("mfa", 300),)),
        401,
        grpc.StatusCode.UNAUTHENTICATED,
        "a stronger or more recent authentication is required",
    ),
    "what is concealed": (replace(REFUSAL, status=404), 404, grpc.StatusCode.UNIMPLEMENTED, "there is nothing here"),
    "too many": (replace(REFUSAL, status=429), 429, grpc.StatusCode.UNAVAILABLE, "too many requests"),
    "for the law": (replace(REFUSAL, status=451), 451, grpc.StatusCode.UNKNOWN, "not available for legal reasons"),
    "not now": (replace(REFUSAL, status=503), 503, grpc.StatusCode.UNAVAILABLE, "not available now"),
}


def _answering(envoy: Running, decision: Decision) -> None:
    behaviour: Behaviour = returning(decision)
    envoy.decider.behaviour = behaviour


@pytest.mark.parametrize("sentence", REFUSALS)
def test_a_refusal_over_http(sentence: str, envoy: Running) -> None:
    decision, status, _, title = REFUSALS[sentence]
    _answering(envoy, decision)
    before = len(envoy.upstream.received)
    got, headers, body = _call(envoy, "demo")
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body) == {"title": title} | ({"decision": ID} if decision.id else {})
    assert headers.get("x-portcullis-decision") == decision.id
    assert len(envoy.upstream.received) == before


def test_a_step_up_over_http_is_the_challenge_of_rfc_9470(envoy: Running) -> None:
    _answering(envoy, REFUSALS["a step-up"][0])
    challenge = _call(envoy, "demo")[1]["www-authenticate"]
    assert challenge == 'Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="300"'


def _watch(envoy: Running) -> Any:
    """One call of gRPC through Envoy: the reply, or grpc.RpcError."""
    options = [("grpc.default_authority", GRPC_HOST)]
    with grpc.insecure_channel(f"127.0.0.1:{envoy.ports['demo']}", options=options) as opened:
        channel: Any = opened
        return channel.unary_unary("/desk.Notes/Watch")(b"hello", timeout=10)


@pytest.mark.parametrize("sentence", REFUSALS)
def test_a_refusal_of_a_grpc_caller(sentence: str, envoy: Running) -> None:
    decision, _, code, title = REFUSALS[sentence]
    _answering(envoy, decision)
    before = len(envoy.received)
    with pytest.raises(grpc.RpcError) as raised:
        _watch(envoy)
    error: Any = raised.value
    assert (error.code(), error.details()) == (code, title)
    told = dict([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])
    assert told.get("x-portcullis-decision") == decision.id
    assert len(envoy.received) == before


def test_a_step_up_of_a_grpc_caller_brings_its_challenge(envoy: Running) -> None:
    _answering(envoy, REFUSALS["a step-up"][0])
    with pytest.raises(grpc.RpcError) as raised:
        _watch(envoy)
    error: Any = raised.value
    told = dict([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])
    assert 'error="insufficient_user_authentication"' in told["www-authenticate"]


def test_a_grpc_caller_passes_and_its_upstream_knows_the_decision(envoy: Running) -> None:
    assert _watch(envoy) == b"hello"
    assert envoy.received[-1] == ALLOW.id
    asked = envoy.asked()
    assert (asked.service, asked.method, asked.path) == ("watch", "POST", "/desk.Notes/Watch")


def test_an_allow_tells_the_client_nothing(envoy: Running) -> None:
    status, headers, _ = _call(envoy, "demo")
    assert status == 200
    assert not [name for name in headers if name.startswith("x-portcullis")]
    assert dict(envoy.upstream.received[-1][2])["x-portcullis-decision"] == ALLOW.id
