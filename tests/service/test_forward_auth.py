"""Forward-auth: what a gateway's headers ask, and what a decision is over HTTP. No server runs here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.answers import lacks_token
from pdp.gateways import Gateway
from pdp.model import Decision, Inquiry
from pdp.transports.forward_auth import read, write
from pdp.transports.forwarded import client_address
from policy_lang.verdict import Duties, Header
from tests.support.decisions import DECISIONS

EDGE = Gateway("edge", frozenset({"orders"}), "spiffe://shop.example/edge")
ID = "0000000100000000002a0123456789ab"

FORWARDED = {
    "x-forwarded-method": "GET",
    "x-forwarded-uri": "/orders/4711?full=yes",
    "x-forwarded-host": "orders.example",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "203.0.113.7",
}


def asked(*more: tuple[str, str], gateway: Gateway = EDGE, **changed: str | None) -> Inquiry:
    """The inquiry of a whole request, with some of its headers changed (None: left out) and more behind them."""
    by_name = FORWARDED | {"x-forwarded-" + name.rstrip("_"): value for name, value in changed.items()}
    headers = [(name, value) for name, value in by_name.items() if value is not None]
    return read((*headers, *more), "orders", gateway)


def test_a_whole_request_is_read() -> None:
    inquiry = asked(("authorization", "Bearer t"), ("accept", "*/*"), ("x-request-id", "r1"))
    assert inquiry == Inquiry(
        service="orders",
        method="GET",
        path="/orders/4711?full=yes",
        host="orders.example",
        headers=(("authorization", "Bearer t"), ("accept", "*/*"), ("x-request-id", "r1")),
        gateway="edge",
        services=frozenset({"orders"}),
        identity="spiffe://shop.example/edge",
        capabilities=frozenset({"answer", "remove_header", "set_header", "step_up"}),
        ip="203.0.113.7",
        tls=True,
        request_id="r1",
    )


UNBELIEVED: dict[str, Inquiry] = {
    "no method": asked(method=None),
    "no target": asked(uri=None),
    "no host": asked(host=None),
    "no scheme": asked(proto=None),
    "no address": asked(for_=None),
    "an empty method": asked(method=""),
    "an empty target": asked(uri=""),
    "an empty host": asked(host=""),
    "an empty address": asked(for_=""),
    "two methods": asked(("x-forwarded-method", "POST")),
    "two targets": asked(("x-forwarded-uri", "/")),
    "the same target twice": asked(("x-forwarded-uri", FORWARDED["x-forwarded-uri"])),
    "two hosts": asked(("x-forwarded-host", "public.example")),
    "two schemes": asked(("x-forwarded-proto", "http")),
    "two lists of addresses": asked(("x-forwarded-for", "127.0.0.1")),
    "a scheme that is none": asked(proto="gopher"),
    "two schemes in one": asked(proto="https,http"),
}


@pytest.mark.parametrize("inquiry", UNBELIEVED.values(), ids=UNBELIEVED.keys())
def test_what_is_not_said_exactly_once_is_not_believed(inquiry: Inquiry) -> None:
    assert (inquiry.method, inquiry.path, inquiry.host, inquiry.ip, inquiry.tls) == (None, None, None, None, None)
    assert inquiry.service == "orders"


@pytest.mark.parametrize("addresses", ["203.0.113.7,", "203.0.113.7, ", ",", " "])
def test_where_the_last_address_is_empty_the_address_alone_is_unknown(addresses: str) -> None:
    assert asked(for_=addresses) == replace(asked(), ip=None)


def test_nothing_but_the_forwarded_headers_says_what_was_asked() -> None:
    spoofed = (
        *(("x-original-uri", "/public"), ("x-original-method", "GET"), ("x-rewrite-url", "/public")),
        *(("x-original-host", "public.example"), ("forwarded", "host=public.example"), ("host", "public.example")),
        *(("x-http-method-override", "GET"), ("x-portcullis-service", "public"), ("x-real-ip", "127.0.0.1")),
    )
    plain, inquiry = asked(method="DELETE"), asked(*spoofed, method="DELETE")
    assert replace(inquiry, headers=()) == replace(plain, headers=())


def test_headers_of_the_gateways_own_request_are_not_the_clients() -> None:
    own = (("host", "pdp"), ("connection", "close"), ("content-length", "0"), ("te", "trailers"))
    assert asked(*own, ("cookie", "a=b"), ("x-forwarded-server", "edge-1")).headers == (("cookie", "a=b"),)


ENCRYPTED = {"https": True, "HTTPS": True, "wss": True, "http": False, "ws": False}


@pytest.mark.parametrize("scheme", ENCRYPTED)
def test_the_scheme_says_whether_the_call_came_encrypted(scheme: str) -> None:
    assert asked(proto=scheme).tls is ENCRYPTED[scheme]


ADDRESSES: dict[str, tuple[list[str], int, str | None]] = {
    "the last one": (["203.0.113.7"], 0, "203.0.113.7"),
    "not what the client wrote before it": (["127.0.0.1, 203.0.113.7"], 0, "203.0.113.7"),
    "the one before a proxy of ours": (["127.0.0.1, 203.0.113.7, 192.0.2.1"], 1, "203.0.113.7"),
    "in several headers": (["127.0.0.1", "203.0.113.7", "192.0.2.1"], 1, "203.0.113.7"),
    "fewer entries than proxies": (["203.0.113.7"], 1, None),
    "an empty entry": (["127.0.0.1,, 192.0.2.1"], 1, None),
    "nothing at all": ([], 0, None),
    "an empty header": ([""], 0, None),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_the_address_is_counted_from_the_right(case: str) -> None:
    values, hops, address = ADDRESSES[case]
    assert client_address(values, hops) == address
    gateway = replace(EDGE, trusted_hops=hops)
    if len(values) == 1 and values[0]:
        assert asked(gateway=gateway, for_=values[0]).ip == address


ALLOW = Decision(
    "allow",
    ("orders.own",),
    "rule",
    id=ID,
    authenticated=True,
    duties=Duties(headers=(Header("x-user", "u1"),), removed=("x-debug",)),
    advice=Duties(headers=(Header("x-user", "advised"), Header("x-place", "front"))),
)


def test_an_allow_holds_what_the_upstream_is_to_get_and_nothing_of_the_rule() -> None:
    reply = write(ALLOW, asked(), {})
    assert (reply.status, reply.body) == (200, b"")
    assert dict(reply.headers) == {"x-portcullis-decision": ID, "x-place": "front", "x-user": "u1"}


def test_a_gateway_that_answers_401_and_403_alone_gets_no_other_refusal() -> None:
    concealed = Decision("deny", ("orders.hide",), "rule", id=ID, authenticated=True, status=404)
    assert write(concealed, asked(), {}).status == 404
    unable = replace(EDGE, capabilities=frozenset({"set_header"}))
    assert write(concealed, asked(gateway=unable), {}).status == 403


def test_a_refusal_shows_a_title_and_the_decision() -> None:
    reply = write(Decision("deny", ("orders.secret_rule",), "rule", id=ID, authenticated=True), asked(), {})
    assert json.loads(reply.body) == {"title": "the request is not permitted", "decision": ID}
    assert dict(reply.headers)["content-type"] == "application/problem+json"


@given(DECISIONS)
def test_only_an_allow_with_a_record_is_a_200(decision: Decision) -> None:
    reply = write(decision, asked(), {})
    sound = bool(decision.id) and not lacks_token(decision)
    assert (reply.status == 200) == (decision.outcome == "allow" and sound)
    assert reply.status in {200, 401, 403, 404, 429, 451, 503}
    for name, value in reply.headers:
        assert (name + value).isascii()
        assert (name + value).isprintable()


HEADERS = st.lists(
    st.tuples(st.sampled_from([*FORWARDED, "authorization", "x-a", ""]), st.text(max_size=8)), max_size=9
)


@given(HEADERS)
def test_any_headers_are_read(headers: list[tuple[str, str]]) -> None:
    inquiry = read(tuple(headers), "orders", EDGE)
    once = all(len([1 for name, value in headers if name == wanted and value]) == 1 for wanted in FORWARDED)
    assert once or inquiry.path is None
