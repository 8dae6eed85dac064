"""From CheckRequest to Inquiry and from Decision to CheckResponse: each trap of the wire by its name, then the laws."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.answers import lacks_token
from pdp.gateways import Gateway
from pdp.model import EXT_AUTHZ, Challenge, Decision, Inquiry
from pdp.transports.ext_authz import read, write
from pdp.transports.messages import OVERWRITE, CheckRequest, CheckResponse
from policy_lang.verdict import Duties, Header, Observed
from tests.support.decisions import DECISIONS

EDGE = Gateway("edge", frozenset({"orders"}))
ID = "0000000100000000002a0123456789ab"
ALLOW = Decision("allow", ("orders.own",), "rule", id=ID, policy="ab" * 32, authenticated=True)
DENY = replace(ALLOW, outcome="deny", by=("default",), reason="default")


def request(**http: object) -> Any:
    """A CheckRequest: `method`, `path`, `host` and others as of `HttpRequest`, `headers` a dict, `raw` a list."""
    raw = http.pop("raw", [])
    headers = http.pop("headers", {})
    check = CheckRequest()
    for name, value in ({"method": "GET", "path": "/a?b=c", "host": "orders.example"} | http).items():
        setattr(check.attributes.request.http, name, value)
    check.attributes.request.http.headers.update(headers)
    assert isinstance(raw, list)
    for key, value in raw:
        check.attributes.request.http.header_map.headers.add(key=key, raw_value=value)
    return check


def inquiry(**http: object) -> Inquiry:
    return read(request(**http), EDGE)


# ---------------------------------------------------------------- reading


def test_an_empty_message_says_nothing() -> None:
    assert read(CheckRequest(), EDGE) == Inquiry(
        service=None,
        method=None,
        path=None,
        host=None,
        headers=(),
        gateway="edge",
        services=frozenset({"orders"}),
        capabilities=EXT_AUTHZ,
    )


def test_reading_leaves_the_message_as_it_was() -> None:
    check = CheckRequest()
    read(check, EDGE)
    assert check.SerializeToString() == b""


def test_the_request_line_is_taken_as_it_came() -> None:
    asked = inquiry(method="GeT", path="/A/../b?x=%2F#y", host="EXAMPLE:443")
    assert (asked.method, asked.path, asked.host) == ("GeT", "/A/../b?x=%2F#y", "EXAMPLE:443")


def test_the_gateway_is_who_its_listener_says() -> None:
    asked = read(request(headers={"x-portcullis-gateway": "other"}), Gateway("edge", None))
    assert (asked.gateway, asked.services) == ("edge", None)


def test_the_service_is_the_extension_of_the_route() -> None:
    check = request()
    check.attributes.context_extensions["portcullis.service"] = "orders"
    check.attributes.context_extensions["service"] = "other"
    assert read(check, EDGE).service == "orders"


def test_an_empty_service_is_said_and_not_left_to_the_host() -> None:
    check = request()
    check.attributes.context_extensions["portcullis.service"] = ""
    assert read(check, EDGE).service == ""


def test_the_service_of_the_peer_is_no_service_and_no_peer() -> None:
    check = request()
    check.attributes.source.service = "spiffe://mesh/forged"
    assert (read(check, EDGE).service, read(check, EDGE).peer) == (None, None)


PRINCIPALS: dict[str, tuple[str, str | None]] = {
    "a SPIFFE id is a peer": ("spiffe://mesh.example/ns/shop/sa/cart", "spiffe://mesh.example/ns/shop/sa/cart"),
    "a DNS name is none": ("cart.shop.example", None),
    "a subject is none": ("CN=spiffe://mesh.example/x", None),
    "another scheme is none": ("https://mesh.example/x", None),
    "upper case is none": ("SPIFFE://mesh.example/x", None),
    "nothing is none": ("", None),
}


@pytest.mark.parametrize("sentence", PRINCIPALS)
def test_a_peer(sentence: str) -> None:
    principal, peer = PRINCIPALS[sentence]
    check = request()
    check.attributes.source.principal = principal
    assert read(check, EDGE).peer == peer


def test_the_address_is_that_of_the_connection() -> None:
    check = request(headers={"x-forwarded-for": "10.0.0.1"})
    check.attributes.source.address.socket_address.address = "203.0.113.7"
    assert read(check, EDGE).ip == "203.0.113.7"


def test_a_pipe_has_no_address() -> None:
    check = request()
    check.attributes.source.address.pipe.path = "/run/10.0.0.1"
    assert read(check, EDGE).ip is None


def test_the_address_of_the_destination_is_not_that_of_the_source() -> None:
    check = request()
    check.attributes.destination.address.socket_address.address = "127.0.0.1"
    assert read(check, EDGE).ip is None


def test_the_request_id_is_a_header_and_not_the_stream() -> None:
    assert inquiry(id="17", headers={"x-request-id": "abc"}).request_id == "abc"
    assert inquiry(id="17").request_id is None


def test_two_request_ids_are_none() -> None:
    assert inquiry(raw=[("x-request-id", b"a"), ("x-request-id", b"b")]).request_id is None


def test_raw_headers_keep_their_order_and_repeats() -> None:
    asked = inquiry(raw=[("accept", b"a"), ("X-Two", b"1"), ("accept", b"b"), ("x-two", b"2")])
    assert asked.headers == (("accept", "a"), ("x-two", "1"), ("accept", "b"), ("x-two", "2"))


def test_bytes_that_are_not_utf8_stay_what_they_are() -> None:
    ((_, value),) = inquiry(raw=[("x-a", b"a\xff\xc3(")]).headers
    assert value.encode("utf-8", "surrogateescape") == b"a\xff\xc3("


def test_a_header_map_with_text_values_is_read_too() -> None:
    check = request()
    check.attributes.request.http.header_map.headers.add(key="x-a", value="text")
    assert read(check, EDGE).headers == (("x-a", "text"),)


def test_a_raw_value_stands_before_a_text_value() -> None:
    check = request()
    check.attributes.request.http.header_map.headers.add(key="x-a", value="text", raw_value=b"raw")
    assert read(check, EDGE).headers == (("x-a", "raw"),)


def test_joined_headers_are_read_where_there_is_no_header_map() -> None:
    assert inquiry(headers={"Accept": "a,b"}).headers == (("accept", "a,b"),)


def test_an_empty_header_map_does_not_hide_the_headers() -> None:
    check = request(headers={"authorization": "Bearer a"})
    check.attributes.request.http.header_map.SetInParent()
    assert read(check, EDGE).headers == (("authorization", "Bearer a"),)


def test_pseudo_headers_are_no_headers() -> None:
    pseudo = {":method": "GET", ":path": "/a?b=c", ":authority": "orders.example", ":scheme": "https", ":new": "x"}
    asked = inquiry(headers=pseudo | {"accept": "a"})
    assert asked.headers == (("accept", "a"),)
    assert (asked.method, asked.path, asked.host) == ("GET", "/a?b=c", "orders.example")


DOUBTS: dict[str, tuple[list[tuple[str, bytes]], str]] = {
    "another method": ([(":method", b"POST")], "method"),
    "another path": ([(":path", b"/admin")], "path"),
    "a path without its query": ([(":path", b"/a")], "path"),
    "another authority": ([(":authority", b"admin.example")], "host"),
    "another host": ([("host", b"admin.example")], "host"),
    "two authorities of which one differs": ([(":authority", b"orders.example"), (":authority", b"x")], "host"),
    "an authority and another host": ([(":authority", b"orders.example"), ("Host", b"x")], "host"),
    "an empty method": ([(":method", b"")], "method"),
    "upper-case name of the path": ([(":PATH", b"/admin")], "path"),
}


@pytest.mark.parametrize("sentence", DOUBTS)
def test_what_is_said_twice_and_differs_is_not_said(sentence: str) -> None:
    raw, attribute = DOUBTS[sentence]
    asked = inquiry(raw=raw)
    said = {"method": asked.method, "path": asked.path, "host": asked.host}
    assert [name for name, value in said.items() if value is None] == [attribute]


def test_a_pseudo_header_beside_a_missing_attribute_is_not_taken_for_it() -> None:
    assert inquiry(path="", raw=[(":path", b"/a")]).path is None


def credentials(asked: Inquiry) -> list[str]:
    return [value for name, value in asked.headers if name == "authorization"]


def test_repeated_credentials_stay_repeated() -> None:
    raw = [("authorization", b"Bearer good"), ("Authorization", b"Bearer evil")]
    assert credentials(inquiry(raw=raw)) == ["Bearer good", "Bearer evil"]


def test_both_forms_that_agree_are_one() -> None:
    asked = inquiry(raw=[("authorization", b"Bearer a"), ("x", b"1")], headers={"authorization": "Bearer a", "y": "2"})
    assert asked.headers == (("authorization", "Bearer a"), ("x", "1"))


BOTH_FORMS: dict[str, tuple[list[tuple[str, bytes]], dict[str, str]]] = {
    "they differ": ([("authorization", b"Bearer a")], {"authorization": "Bearer b"}),
    "only the map has one": ([("accept", b"x")], {"authorization": "Bearer b"}),
    "only the header map has one": ([("authorization", b"Bearer a")], {"accept": "x"}),
    "the map has it in another case": ([("accept", b"x")], {"Authorization": "Bearer b"}),
}


@pytest.mark.parametrize("sentence", BOTH_FORMS)
def test_both_forms_that_disagree_about_the_credential_are_repeats(sentence: str) -> None:
    raw, headers = BOTH_FORMS[sentence]
    assert len(credentials(inquiry(raw=raw, headers=headers))) >= 2


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_reading_is_total(value: bytes, noise: bytes) -> None:
    """For every message that parses, `read` gives an Inquiry."""
    check = request(raw=[("x", value), ("authorization", noise)])
    assert read(CheckRequest.FromString(check.SerializeToString()), EDGE).gateway == "edge"


def test_the_identity_and_the_capabilities_are_those_of_the_listener() -> None:
    gateway = Gateway("edge", None, identity="spiffe://example/edge", capabilities=frozenset({"answer"}))
    asked = read(request(headers={"x-portcullis-identity": "spiffe://example/other"}), gateway)
    assert (asked.identity, asked.capabilities) == ("spiffe://example/edge", frozenset({"answer"}))


def _metered(value: Any, namespace: str = "portcullis.signals") -> Any:
    check = request()
    check.attributes.metadata_context.filter_metadata[namespace].update({"risk": value})
    return check


BELIEVING = Gateway("edge", None, signals=True)
READINGS: dict[str, tuple[Any, object]] = {
    "a whole number is an integer": (60, 60),
    "a fraction stays one": (0.5, 0.5),
    "a number too large to be exact stays a float": (2.0**60, 2.0**60),
    "a text": ("high", "high"),
    "a truth": (True, True),
    "a list": (["a", "b"], ["a", "b"]),
    "an object": ({"a": 1}, {"a": 1}),
    "nothing": (None, None),
}


@pytest.mark.parametrize("sentence", READINGS)
def test_a_reading(sentence: str) -> None:
    value, wanted = READINGS[sentence]
    found = read(_metered(value), BELIEVING).signals["risk"]
    assert (type(found), found) == (type(wanted), wanted)


def test_a_reading_is_not_believed_unless_the_listener_says_so() -> None:
    assert read(_metered(1), EDGE).signals == {}


def test_metadata_of_another_name_holds_no_reading() -> None:
    assert read(_metered(1, "envoy.filters.http.jwt_authn"), BELIEVING).signals == {}


def test_a_reading_nested_without_end_is_cut() -> None:
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    shown = json.dumps(read(_metered(deep), BELIEVING).signals["risk"])
    assert shown.count("[") < 20
    assert "null" in shown


# ---------------------------------------------------------------- writing


def reply(decision: Decision, asked: Inquiry | None = None, acr_values: dict[str, str] | None = None) -> Any:
    return CheckResponse.FromString(write(decision, asked, acr_values or {}))


def headers(options: Any) -> dict[str, str]:
    found = {option.header.key: option.header.value for option in options}
    assert len(found) == len(options)
    return found


def as_envoy_reads(response: Any) -> str:
    """`allow` or `deny`: security.md 0.1."""
    return "allow" if response.status.code == 0 else "deny"


def test_an_allow_passes_with_its_decision_id() -> None:
    response = reply(ALLOW)
    assert as_envoy_reads(response) == "allow"
    assert response.WhichOneof("http_response") == "ok_response"
    assert headers(response.ok_response.headers) == {"x-portcullis-decision": ID}


@pytest.mark.parametrize("decision", [ALLOW, DENY], ids=["allow", "deny"])
def test_every_header_is_overwritten_in_both_forms(decision: Decision) -> None:
    response = reply(decision)
    options = [*response.ok_response.headers, *response.denied_response.headers]
    assert options
    for option in options:
        assert option.HasField("append")
        assert option.append.value is False
        assert option.append_action == OVERWRITE


def test_our_headers_from_a_client_are_removed() -> None:
    asked = inquiry(raw=[("x-portcullis-subject", b"root"), ("X-Portcullis-Z", b""), ("x-port", b""), ("accept", b"")])
    assert list(reply(ALLOW, asked).ok_response.headers_to_remove) == ["x-portcullis-subject", "x-portcullis-z"]


def test_a_header_that_is_set_is_not_removed() -> None:
    asked = inquiry(raw=[("x-portcullis-decision", b"forged"), ("x-portcullis-decision", b"again")])
    response = reply(ALLOW, asked)
    assert list(response.ok_response.headers_to_remove) == []
    assert headers(response.ok_response.headers) == {"x-portcullis-decision": ID}


def test_a_name_that_is_no_header_name_is_not_sent_back() -> None:
    asked = Inquiry(None, None, None, None, (("x-portcullis-\r\nx: 1", ""), ("x-portcullis-é", "")), "edge")
    assert list(reply(ALLOW, asked).ok_response.headers_to_remove) == []


IDENTITY = frozenset({"x-user", "x-place"})
DUTIES = Duties(headers=(Header("x-user", "u1"),), removed=("x-debug",))


def test_headers_are_set_as_rules_say_and_the_others_of_theirs_are_removed() -> None:
    decision = replace(ALLOW, duties=DUTIES, identity_headers=IDENTITY)
    ok = reply(decision, inquiry(raw=[("x-user", b"root"), ("x-portcullis-x", b"1")])).ok_response
    assert headers(ok.headers) == {"x-portcullis-decision": ID, "x-user": "u1"}
    assert list(ok.headers_to_remove) == ["x-debug", "x-place", "x-portcullis-x"]


def test_an_identity_header_is_removed_whether_or_not_the_client_sent_it() -> None:
    ok = reply(replace(ALLOW, identity_headers=IDENTITY), inquiry()).ok_response
    assert list(ok.headers_to_remove) == ["x-place", "x-user"]


def test_a_call_that_passes_under_observation_sets_nothing_and_removes_every_identity_header() -> None:
    observed = Observed("deny", ("default",), "default.no_rule")
    decision = replace(ALLOW, by=("observe",), reason="observe", observed=observed, identity_headers=IDENTITY)
    response = reply(decision, inquiry(raw=[("x-user", b"root")]))
    assert headers(response.ok_response.headers) == {"x-portcullis-decision": ID}
    assert list(response.ok_response.headers_to_remove) == ["x-place", "x-user"]
    assert "rule" not in dict(response.dynamic_metadata)


def test_advice_is_followed_as_far_as_the_gateway_can_and_a_duty_goes_before_it() -> None:
    advice = Duties(headers=(Header("x-place", "front"), Header("x-user", "advised")), removed=("x-old",))
    decision = replace(ALLOW, duties=DUTIES, advice=advice, identity_headers=IDENTITY)
    ok = reply(decision, inquiry()).ok_response
    assert headers(ok.headers) == {"x-portcullis-decision": ID, "x-place": "front", "x-user": "u1"}
    assert list(ok.headers_to_remove) == ["x-debug", "x-old"]
    unable = replace(inquiry(), capabilities=frozenset())
    ok = reply(decision, unable).ok_response
    assert headers(ok.headers) == {"x-portcullis-decision": ID, "x-user": "u1"}
    assert list(ok.headers_to_remove) == ["x-debug", "x-place"]


def test_a_refusal_has_the_status_of_a_rule_where_the_gateway_can_answer_so() -> None:
    decision = replace(DENY, by=("orders.conceal",), reason="rule", status=404)
    assert reply(decision, inquiry()).denied_response.status.code == 404
    unable = replace(inquiry(), capabilities=frozenset())
    assert reply(decision, unable).denied_response.status.code == 403


def test_a_refusal_sets_no_header_of_a_rule() -> None:
    response = reply(replace(DENY, duties=DUTIES, identity_headers=IDENTITY), inquiry())
    assert response.WhichOneof("http_response") == "denied_response"
    assert "x-user" not in headers(response.denied_response.headers)


def test_a_step_up_says_how_old_a_login_may_be() -> None:
    decision = replace(ALLOW, outcome="step_up", challenges=(Challenge("login", 300), Challenge("mfa", 60)))
    assert 'max_age="60"' in headers(reply(decision).denied_response.headers)["www-authenticate"]


def test_a_cache_is_told_until_when_a_decision_holds() -> None:
    assert dict(reply(replace(ALLOW, valid_until_ms=1_800_000_000_000)).dynamic_metadata)["valid_until"] == (
        "1800000000000"
    )


@given(DECISIONS)
def test_no_header_is_both_set_and_removed(decision: Decision) -> None:
    """set(d) and removed(d) are disjoint: Envoy would remove it (measured)."""
    ok = reply(decision, inquiry(raw=[("x-portcullis-decision", b"forged")])).ok_response
    assert set(headers(ok.headers)).isdisjoint(ok.headers_to_remove)


@given(DECISIONS)
def test_every_identity_header_of_an_allow_is_ours_or_gone(decision: Decision) -> None:
    """identity(d) is a subset of set(d) | removed(d), whenever the call passes."""
    response = reply(decision, inquiry())
    if as_envoy_reads(response) == "allow":
        ok = response.ok_response
        assert decision.identity_headers <= {*headers(ok.headers), *ok.headers_to_remove}


def test_a_refusal_has_status_headers_and_a_body() -> None:
    response = reply(DENY)
    denied = response.denied_response
    assert (response.status.code, denied.status.code) == (7, 403)
    assert headers(denied.headers) == {"content-type": "application/problem+json", "x-portcullis-decision": ID}
    assert json.loads(denied.body) == {"title": "the request is not permitted", "decision": ID}


GRPC_TYPES = {
    "gRPC": ("application/grpc", True),
    "gRPC with a codec": ("application/grpc+proto", True),
    "gRPC-Web is HTTP": ("application/grpc-web+proto", False),
    "with a parameter it is none to Envoy": ("application/grpc;a=b", False),
    "JSON": ("application/json", False),
}


@pytest.mark.parametrize("sentence", GRPC_TYPES)
def test_a_caller_that_speaks_grpc_is_refused_with_the_title_alone(sentence: str) -> None:
    content_type, speaks = GRPC_TYPES[sentence]
    denied = reply(DENY, inquiry(headers={"content-type": content_type})).denied_response
    assert denied.status.code == 403
    assert (denied.body == "the request is not permitted") is speaks
    assert ("content-type" in headers(denied.headers)) is not speaks
    assert headers(denied.headers)["x-portcullis-decision"] == ID


def test_a_content_type_that_is_repeated_is_not_grpc() -> None:
    denied = reply(DENY, inquiry(raw=[("content-type", b"application/grpc")] * 2)).denied_response
    assert json.loads(denied.body)["title"] == "the request is not permitted"


@given(DECISIONS)
def test_a_grpc_caller_is_told_a_short_title_in_ascii(decision: Decision) -> None:
    """For all refusals d: body(d) is one of the titles of the table, whatever d holds."""
    response = reply(decision, inquiry(headers={"content-type": "application/grpc"}))
    if as_envoy_reads(response) == "deny":
        assert 0 < len(response.denied_response.body) < 80
        assert response.denied_response.body.isascii()
        assert "{" not in response.denied_response.body


@given(DECISIONS)
def test_nothing_is_written_for_the_client_of_an_allow_and_no_query_is_changed(decision: Decision) -> None:
    ok = reply(decision, inquiry()).ok_response
    assert not ok.response_headers_to_add
    assert not ok.query_parameters_to_set
    assert not ok.query_parameters_to_remove


def test_a_refusal_changes_nothing_on_the_request() -> None:
    response = reply(DENY, inquiry(raw=[("x-portcullis-subject", b"root")]))
    assert response.WhichOneof("http_response") == "denied_response"


def test_a_refusal_of_bytes_nobody_could_read_is_one() -> None:
    response = reply(Decision("deny", ("internal",), "request.unreadable", id=ID), None)
    assert (response.status.code, response.denied_response.status.code) == (13, 503)


def test_a_step_up_asks_in_the_words_of_the_issuer() -> None:
    decision = replace(ALLOW, outcome="step_up", challenges=(Challenge("mfa", 300),))
    response = reply(decision, None, {"mfa": "urn:x:mfa"})
    assert response.status.code == 16
    assert 'acr_values="urn:x:mfa"' in headers(response.denied_response.headers)["www-authenticate"]


def test_a_full_log_asks_to_come_back() -> None:
    response = reply(Decision("deny", ("audit",), "L201"))
    assert (response.status.code, response.denied_response.status.code) == (14, 503)
    assert headers(response.denied_response.headers)["retry-after"] == "1"


def test_what_is_shown_to_a_client_names_no_rule_and_no_reason() -> None:
    decision = replace(DENY, by=("secret.rule",), reason="secret.reason", subject="secret", nearest="secret.other")
    assert "secret" not in str(reply(decision).denied_response)


def test_metadata_names_the_decision_for_the_access_log() -> None:
    known = {"decision_id": ID, "policy_revision": "ab" * 32, "rule": "orders.own", "reason": "rule"}
    assert dict(reply(ALLOW).dynamic_metadata) == known


def test_metadata_holds_nothing_that_is_not_known() -> None:
    assert dict(reply(Decision("deny", ("deadline",), "")).dynamic_metadata) == {}
    assert dict(reply(Decision("deny", ("path",), "path.dot")).dynamic_metadata) == {"reason": "path.dot"}


@given(DECISIONS)
def test_a_reply_is_an_allow_only_for_an_allow_with_a_record(decision: Decision) -> None:
    """envoy(write(d)) = allow  <=>  d.outcome = allow, d.id, and the token that is due;  every other reply has a
    denied_response.
    """
    response = reply(decision)
    passes = decision.outcome == "allow" and bool(decision.id) and not lacks_token(decision)
    assert as_envoy_reads(response) == ("allow" if passes else "deny")
    assert response.WhichOneof("http_response") == ("ok_response" if passes else "denied_response")
    assert response.HasField("status")


@given(DECISIONS)
def test_no_reply_holds_a_field_that_must_not_be_written(decision: Decision) -> None:
    """Neither `error_response` (5) nor the metadata inside `ok_response` (3) is on the wire, nor anything unknown."""
    response = reply(decision)
    assert len(UnknownFieldSet(response)) == 0
    assert len(UnknownFieldSet(response.ok_response)) == 0


@given(DECISIONS)
def test_everything_in_a_reply_is_printable(decision: Decision) -> None:
    """Every header value, the body and the metadata are in 0x20..0x7e."""
    response = reply(decision)
    said = [option.header.value for option in [*response.ok_response.headers, *response.denied_response.headers]]
    said += [
        response.denied_response.body,
        *(value.string_value for value in response.dynamic_metadata.fields.values()),
    ]
    assert all(" " <= character <= "~" for text in said for character in text)
