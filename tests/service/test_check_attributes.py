"""What is read of a CheckRequest beside its call: the client's address, encryption, bodies, verified claims."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.gateways import Gateway
from pdp.model import Body, Inquiry
from pdp.transports.ext_authz import read
from pdp.transports.messages import CheckRequest

EDGE = Gateway("edge", None)
VERIFYING = Gateway("edge", None, verified_claims="jwt_payload")
JWT = "envoy.filters.http.jwt_authn"
PEER = "10.0.0.9"


def behind(hops: int) -> Gateway:
    return Gateway("edge", None, trusted_hops=hops)


def check(*raw: tuple[str, bytes], peer: str = PEER) -> Any:
    message = CheckRequest()
    message.attributes.source.address.socket_address.address = peer
    for key, value in raw:
        message.attributes.request.http.header_map.headers.add(key=key, raw_value=value)
    return message


# ---------------------------------------------------------------- the client's address

ADDRESSES: dict[str, tuple[int, list[bytes], str | None]] = {
    "without proxies the connection's own, whatever the client writes": (0, [b"1.2.3.4, 10.0.0.9"], PEER),
    "one proxy: the entry before the peer": (1, [b"203.0.113.7, 10.0.0.9"], "203.0.113.7"),
    "what a client wrote stands further left": (1, [b"1.2.3.4, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
    "two proxies": (2, [b"1.2.3.4, 203.0.113.7, 10.0.0.1, 10.0.0.9"], "203.0.113.7"),
    "several headers are one list": (2, [b"1.2.3.4", b"203.0.113.7,10.0.0.1", b"10.0.0.9"], "203.0.113.7"),
    "without white space as Envoy appends": (1, [b"203.0.113.7,10.0.0.9"], "203.0.113.7"),
    "IPv6 in one spelling": (1, [b"2001:DB8:0::7, 10.0.0.9"], "2001:db8::7"),
    "a mapped IPv4 address is that address": (1, [b"::ffff:203.0.113.7, ::ffff:10.0.0.9"], "203.0.113.7"),
    "no header": (1, [], None),
    "an empty header": (1, [b""], None),
    "too few entries": (1, [b"10.0.0.9"], None),
    "too few for two": (2, [b"203.0.113.7, 10.0.0.9"], None),
    "the last entry is not the peer": (1, [b"1.2.3.4, 203.0.113.7"], None),
    "the peer stands elsewhere alone": (1, [b"10.0.0.9, 203.0.113.7"], None),
    "the peer stands last and nothing is between": (1, [b"203.0.113.7,, 10.0.0.9"], None),
    "nothing after the peer is nothing": (1, [b"203.0.113.7, 10.0.0.9,"], None),
    "an entry with a port": (1, [b"203.0.113.7:4711, 10.0.0.9"], None),
    "an IPv6 entry in brackets": (1, [b"[2001:db8::7]:80, 10.0.0.9"], None),
    "an entry that is a name": (1, [b"unknown, 10.0.0.9"], None),
    "an entry that is quoted": (1, [b'"203.0.113.7", 10.0.0.9'], None),
    "an entry with leading zeros": (1, [b"203.0.113.007, 10.0.0.9"], None),
    "an entry with a zone": (1, [b"fe80::1%eth0, 10.0.0.9"], None),
    "an entry of bytes": (1, [b"\xff\xfe, 10.0.0.9"], None),
    "the peer with a port": (1, [b"203.0.113.7, 10.0.0.9:80"], None),
}


@pytest.mark.parametrize("sentence", ADDRESSES)
def test_the_address_of_the_client(sentence: str) -> None:
    hops, forwarded, wanted = ADDRESSES[sentence]
    message = check(*(("x-forwarded-for", value) for value in forwarded))
    assert read(message, behind(hops)).ip == wanted


def test_a_peer_that_is_no_address_has_nobody_behind_it() -> None:
    assert read(check(("x-forwarded-for", b"203.0.113.7, garbage"), peer="garbage"), behind(1)).ip is None


def test_a_connection_without_an_address_has_nobody_behind_it() -> None:
    message = check(("x-forwarded-for", b"203.0.113.7, 10.0.0.9"), peer="")
    assert read(message, behind(1)).ip is None


def test_another_header_is_no_source_of_the_address() -> None:
    spoofed = [("x-envoy-external-address", b"1.2.3.4"), ("x-real-ip", b"1.2.3.4"), ("forwarded", b"for=1.2.3.4")]
    assert read(check(*spoofed), behind(1)).ip is None
    assert read(check(*spoofed), EDGE).ip == PEER


@given(st.lists(st.text("0123456789.:, ", max_size=20), max_size=4), st.integers(1, 3))
def test_what_a_client_prepends_never_becomes_the_address(spoofed: list[str], hops: int) -> None:
    """For all s and a true chain c of h proxies: ip(s ++ c, h) = ip(c, h)."""
    chain = ["203.0.113.7", *(f"10.0.0.{number}" for number in range(1, hops)), PEER]
    values = [value.encode() for value in (*spoofed, ", ".join(chain))]
    assert read(check(*(("x-forwarded-for", value) for value in values)), behind(hops)).ip == "203.0.113.7"


# ---------------------------------------------------------------- encryption


def test_a_session_without_a_name_says_nothing_of_encryption() -> None:
    """Envoy sends one for plain connections too (measured)."""
    message = check()
    message.attributes.tls_session.SetInParent()
    assert read(message, EDGE).tls is None
    message.attributes.tls_session.sni = "orders.example"
    assert read(message, EDGE).tls is True


@pytest.mark.parametrize("field", ["principal", "certificate"])
def test_a_client_with_a_certificate_is_encrypted(field: str) -> None:
    message = check()
    setattr(message.attributes.source, field, "x")
    assert read(message, EDGE).tls is True
    assert read(message, EDGE).peer is None


def test_a_scheme_is_the_clients_word() -> None:
    message = check((":scheme", b"https"), ("x-forwarded-proto", b"https"))
    message.attributes.request.http.scheme = "https"
    assert read(message, EDGE).tls is None


# ---------------------------------------------------------------- bodies

FLAG = "x-envoy-auth-partial-body"
WHOLE = ((FLAG, b"false"), ("content-length", b"5"))
BODIES: dict[str, tuple[bytes, tuple[tuple[str, bytes], ...], Body | None]] = {
    "none was sent along": (b"", (), None),
    "of a length without bytes nothing is known": (b"", (("content-length", b"5"),), None),
    "a whole one": (b"hello", WHOLE, Body(5, truncated=False)),
    "a whole one without the flag": (b"hello", (("content-length", b"5"),), Body(5, truncated=False)),
    "the flag says there is more": (b"hello", ((FLAG, b"true"), ("content-length", b"5")), Body(5, truncated=True)),
    "the length says there is more": (b"hello", ((FLAG, b"false"), ("content-length", b"9")), Body(5, truncated=True)),
    "in chunks, nobody knows": (b"hello", ((FLAG, b"false"),), Body(5, truncated=True)),
    "less than there are bytes": (b"hello", ((FLAG, b"false"), ("content-length", b"4")), Body(5, truncated=True)),
    "two lengths": (b"hello", (*WHOLE, ("content-length", b"5")), Body(5, truncated=True)),
    "a length in words": (b"hello", (("content-length", b"five"),), Body(5, truncated=True)),
    "a length with a sign": (b"hello", (("content-length", b"+5"),), Body(5, truncated=True)),
    "a length of other digits": (b"hello", (("content-length", "\u0665".encode()),), Body(5, truncated=True)),
    "a length without end": (b"hello", (("content-length", b"5" * 5000),), Body(5, truncated=True)),
    "two flags of which one says more": (b"hello", (*WHOLE, (FLAG, b"true")), Body(5, truncated=True)),
    "nothing came along of a body that is there": (b"", ((FLAG, b"true"), ("content-length", b"5")), None),
}


@pytest.mark.parametrize("sentence", BODIES)
def test_a_body(sentence: str) -> None:
    raw, sent, wanted = BODIES[sentence]
    message = check(*sent)
    message.attributes.request.http.raw_body = raw
    message.attributes.request.http.size = len(raw)
    assert read(message, EDGE).body == wanted


def test_a_body_as_text_counts_in_bytes() -> None:
    message = check(("content-length", b"6"))
    message.attributes.request.http.body = "h\u00e9ll\u00f6"[:4] + "!"
    assert read(message, EDGE).body == Body(6, truncated=False)


def test_more_bytes_received_than_sent_along_are_more() -> None:
    message = check(("content-length", b"5"))
    message.attributes.request.http.raw_body = b"hello"
    message.attributes.request.http.size = 6
    assert read(message, EDGE).body == Body(5, truncated=True)


def test_an_unknown_size_is_none() -> None:
    message = check(("content-length", b"5"))
    message.attributes.request.http.raw_body = b"hello"
    message.attributes.request.http.size = -1
    assert read(message, EDGE).body == Body(5, truncated=False)


def test_no_content_of_a_body_is_kept() -> None:
    message = check(*WHOLE)
    message.attributes.request.http.raw_body = b"canary"
    assert "canary" not in repr(read(message, EDGE))


# ---------------------------------------------------------------- verified claims


def verified(claims: Any, key: str = "jwt_payload", namespace: str = JWT, gateway: Gateway = VERIFYING) -> Inquiry:
    message = check()
    message.attributes.metadata_context.filter_metadata[namespace].update({key: claims})
    return read(message, gateway)


def test_verified_claims_are_read_where_the_configuration_names_their_key() -> None:
    claims = {"iss": "https://id.example", "exp": 1_800_000_000, "aud": ["a"], "deep": {"f": 1.5, "t": True, "n": None}}
    found = verified(claims).verified
    assert found == claims
    assert type(found["exp"]) is int


NOT_VERIFIED: dict[str, Inquiry] = {
    "where the configuration names no key": verified({"sub": "u1"}, gateway=EDGE),
    "under another key": verified({"sub": "u1"}, key="payload"),
    "in another namespace": verified({"sub": "u1"}, namespace="envoy.filters.http.lua"),
    "where nothing was verified": read(check(), VERIFYING),
}


@pytest.mark.parametrize("sentence", NOT_VERIFIED)
def test_nothing_is_verified(sentence: str) -> None:
    assert NOT_VERIFIED[sentence].verified is None


@pytest.mark.parametrize("claims", ["text", 7, ["a"], None, True], ids=repr)
def test_what_is_no_object_is_claims_of_nobody(claims: Any) -> None:
    assert verified(claims).verified == {}


def test_a_value_without_a_kind_is_claims_of_nobody() -> None:
    message = check()
    message.attributes.metadata_context.filter_metadata[JWT].fields["jwt_payload"].SetInParent()
    assert read(message, VERIFYING).verified == {}


def test_a_number_beyond_what_a_double_holds_stays_a_double() -> None:
    found = verified({"id": 2.0**53, "low": 2.0**53 - 1}).verified
    assert found is not None
    assert (type(found["id"]), type(found["low"])) == (float, int)


def test_claims_nested_deep_are_kept_for_whoever_refuses_them() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    found = verified({"deep": deep}).verified
    assert str(found).count("[") == 20


# ---------------------------------------------------------------- what gRPC's own ext_authz leaves out


def test_what_grpc_itself_does_not_say_is_not_known() -> None:
    """gRFC A92: `id`, `scheme`, headers, body, extensions and metadata may be absent."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.protocol, http.size = "POST", "/desk.Notes/Watch", "HTTP/2", -1
    asked = read(message, Gateway("edge", None, signals=True, trusted_hops=1, verified_claims="p"))
    assert (asked.method, asked.path) == ("POST", "/desk.Notes/Watch")
    absent = (asked.service, asked.host, asked.ip, asked.peer, asked.tls, asked.verified, asked.body, asked.request_id)
    assert absent == (None,) * 8
    assert (asked.headers, asked.signals) == ((), {})
