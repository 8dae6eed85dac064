"""Attacks on what the transports read and write, without a socket: who a subject is, what a message says twice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.gateways import Gateway
from pdp.model import Asserted
from pdp.transports import authzen, ext_authz, forward_auth
from pdp.transports.messages import CheckRequest

APP = Gateway("app", frozenset({"orders"}), subjects=True)
FORM = '{"subject":{"type":"user","id":"1"},"action":{"name":"read"},"resource":{"type":"thing","id":"1"}}'

UNREADABLE: dict[str, str] = {
    "a second id in another spelling": FORM.replace('"id":"1"}', '"id":"1","\\u0069d":"2"}', 1),
    "a second subject behind the rest": FORM[:-1] + ',"subject":{"type":"user","id":"2"}}',
    "a member twice in what is ignored": FORM[:-1] + ',"ignored":{"a":1,"a":2}}',
    "half a character in what is ignored": FORM[:-1] + ',"ignored":"\\udc00"}',
    "half a character in a name": FORM[:-1] + ',"\\ud800":1}',
    "an integer that is another one to many": FORM[:-1] + ',"context":{"n":9007199254740993}}',
    "a byte order mark": "\ufeff" + FORM,
    "a second object": FORM + FORM,
}


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_json_that_two_readers_read_in_two_ways_is_read_by_none(sentence: str) -> None:
    assert isinstance(authzen.read_evaluation(UNREADABLE[sentence].encode()), authzen.Malformed)


def test_an_item_takes_nothing_from_a_default_that_it_replaces() -> None:
    batch = authzen.read_evaluations(
        json.dumps(
            {**json.loads(FORM), "evaluations": [{"subject": {"type": "user"}}, {"resource": {"id": "2"}}]}
        ).encode()
    )
    assert isinstance(batch, authzen.Batch)
    assert all(isinstance(item, authzen.Malformed) for item in batch.items)


WORDS = st.sampled_from(["step-up", "portcullis.answer", "portcullis.redact", "issue_token", "set_header", "custom"])


@given(st.lists(WORDS))
def test_no_list_of_obligations_gives_an_application_more_than_its_configuration(words: list[str]) -> None:
    evaluation = authzen.Evaluation(Asserted("user", "1"), "read", {}, {}, tuple(words))
    limited = Gateway("app", None, capabilities=frozenset({"step_up"}), subjects=True)
    assert authzen.inquiry_of(evaluation, limited, None).capabilities <= {"step_up"}
    assert "issue_token" not in authzen.inquiry_of(evaluation, APP, None).capabilities


def test_a_context_says_nothing_of_the_caller_or_the_call() -> None:
    names = ("ip", "peer", "tls", "principal", "verified", "host", "method", "path", "service", "gateway")
    evaluation = authzen.Evaluation(Asserted("user", "1"), "read", {}, dict.fromkeys(names, "spiffe://a/b"))
    inquiry = authzen.inquiry_of(evaluation, APP, None)
    assert (inquiry.ip, inquiry.peer, inquiry.tls, inquiry.principal, inquiry.verified) == (None,) * 5
    assert (inquiry.host, inquiry.method, inquiry.path, inquiry.service) == (None,) * 4
    assert inquiry.signals == {}
    assert inquiry.gateway == "app"


def test_claims_in_metadata_are_nothing_where_the_gateway_is_not_configured_for_them() -> None:
    check = CheckRequest()
    claims = check.attributes.metadata_context.filter_metadata["envoy.filters.http.jwt_authn"]
    claims.fields["jwt_payload"].struct_value.fields["iss"].string_value = "https://id.example"
    assert ext_authz.read(check, Gateway("edge", None)).verified is None
    assert ext_authz.read(check, Gateway("edge", None, verified_claims="other")).verified is None
    assert ext_authz.read(check, Gateway("edge", None, verified_claims="jwt_payload")).verified is not None


def test_headers_of_a_client_are_no_metadata_and_no_extension() -> None:
    check = CheckRequest()
    for name in ("portcullis.service", "jwt_payload", "envoy.filters.http.jwt_authn", "portcullis.signals", "x-peer"):
        check.attributes.request.http.headers[name] = "spiffe://shop.example/front"
    inquiry = ext_authz.read(check, Gateway("edge", None, signals=True, verified_claims="jwt_payload"))
    assert (inquiry.service, inquiry.verified, inquiry.signals, inquiry.peer) == (None, None, {}, None)


ALIASES = (
    "x_forwarded_uri",
    "x-forwarded_uri",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
    "host",
)


@pytest.mark.parametrize("name", ALIASES)
def test_no_other_header_says_what_is_forwarded(name: str) -> None:
    said = {"method": "GET", "uri": "/a", "host": "a.example", "proto": "https", "for": "192.0.2.1"}
    headers = tuple((f"x-forwarded-{key}", value) for key, value in said.items())
    inquiry = forward_auth.read(((name, "/evil"), *headers), "orders", Gateway("edge", None))
    assert (inquiry.method, inquiry.path, inquiry.host, inquiry.ip) == ("GET", "/a", "a.example", "192.0.2.1")
    without = tuple(pair for pair in headers if pair[0] != "x-forwarded-uri")
    assert forward_auth.read(((name, "/evil"), *without), "orders", Gateway("edge", None)).path is None
