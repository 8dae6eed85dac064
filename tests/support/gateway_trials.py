"""What every gateway that asks over plain HTTP has to hold with its shipped configuration: one class of tests for all.

The gateway is real, and so is the reading of what it asks (`forward_auth.read`); the double behind it decides by path,
so that each answer can be had at will.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from pdp.gateway_files.setting import SAYING_MORE, Mutual, Tcp, Unix
from pdp.gateways import Gateway
from pdp.model import Inquiry
from pdp.transports import forward_auth
from tests.support.certificates import TestAuthority
from tests.support.gateways import Configure, Edge, edge
from tests.support.raw_server import RawServer, Received, Reply

EDGE = Gateway("edge", None)
PREFIX = "/forward-auth/"
SERVICES = (b"ledger", b"other", b"-")
PROBLEM = (("content-type", "application/problem+json"), ("x-portcullis-decision", "d-refused"))
BEARER = ("www-authenticate", 'Bearer error="invalid_token"')
ANSWERS: dict[str, Reply] = {
    "/refused": Reply(403, PROBLEM, b'{"title": "the request is not permitted", "decision": "d-refused"}'),
    "/challenged": Reply(401, (*PROBLEM, BEARER), b'{"title": "the credential was not accepted"}'),
    "/unknown": Reply(503, (("retry-after", "1"),), b'{"title": "no decision can be given now"}'),
    "/moved": Reply(302, (("location", "/allowed"),), b""),
    "/silent": Reply(0),
    "/garbled": Reply(200, (("content-length", "nonsense"),), b""),
    "/nobody": Reply(200, (("x-portcullis-decision", "d-allowed"),), b""),
}
ALLOWED = Reply(200, (("x-portcullis-decision", "d-allowed"), ("x-subject", "u1")), b"")


def inquiry_of(received: Received) -> Inquiry:
    """What the service would understand."""
    service = received.target.decode("latin-1").removeprefix(PREFIX).partition("?")[0]
    return forward_auth.read(received.headers, service, EDGE)


def decide(received: Received) -> Reply:
    """The answer that the beginning of the path asks for; else an allow."""
    path = inquiry_of(received).path or "/refused"
    return next((reply for begin, reply in ANSWERS.items() if path.startswith(begin)), ALLOWED)


def double(path: str | None = None) -> RawServer:
    """The double, on a free port or a socket, before it listens."""
    return RawServer(decide, path)


def passes_nothing_alone(configure: Configure, folder: Path) -> None:
    """Nothing passes while the service is down."""
    with edge(configure, folder, double(), listening=False) as running:
        assert running.call(b"/a").status in {500, 502, 503, 504}
        assert not any(each.taken() for each in running.upstreams.values())


def asks_by_a_socket(configure: Configure, folder: Path) -> None:
    """The service is asked by a Unix socket as it is by a port."""
    path = str(folder / "pdp.sock")
    with edge(configure, folder, double(path), Unix(path)) as running:
        running.clear()
        assert running.call(b"/a").status == 200
        assert running.call(b"/refused/a").status == 403
        assert [inquiry_of(each).path for each in running.asked.taken()] == ["/a", "/refused/a"]
        assert [each.target for each in running.upstreams["ledger"].taken()] == [b"/a"]


def asks_over_tls(configure: Configure, folder: Path) -> None:
    """The service is asked over TLS, and only where each side believes the other's certificate."""
    servers, gateways, strangers = TestAuthority("servers"), TestAuthority("gateways"), TestAuthority("strangers")
    for name, ours, believed, passes in (
        ("both-known", gateways, servers, True),
        ("a-stranger-for-a-service", gateways, strangers, False),
        ("a-stranger-for-a-gateway", strangers, servers, False),
    ):
        place = folder / name
        place.mkdir()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*servers.server().write(place, "server"))
        context.load_verify_locations(cadata=gateways.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        asked = RawServer(decide, tls=context)
        certificate, key = ours.gateway().write(place, "gateway")
        (place / "ca.pem").write_bytes(believed.pem)
        way = Mutual(Tcp("localhost", asked.port), str(certificate), str(key), str(place / "ca.pem"))
        with edge(configure, place, asked, way) as running:
            running.clear()
            assert (running.call(b"/a").status == 200) == passes, name
            assert len(running.upstreams["ledger"].taken()) == int(passes), name


TARGETS: tuple[bytes, ...] = (
    *(b"/a/b?x=1", b"/a%2fb", b"/a%2Fb", b"/a/../b", b"/a/./b", b"/a/%2e%2e/b", b"/a/%2E/b", b"//a//b", b"/a//b"),
    *(b"/a;v=1/b", b"/a/..;/b", b"/a%20b", b"/a%5cb", b"/a\\b", b"/a?x=1?y=2", b"/a?", b"/a?x=%2f..", b"/a?x=1;y=2"),
    *(b"/a%zz", b"/a%", b"/caf%c3%a9", b"/caf\xc3\xa9", b"/a#b", b"/a?x#b", b"/a%23b", b"/a%3fb", b"/a[b]", b"/a|b"),
    *(b'/a"b', b"/a<b>", b"/a^b`{}", b"/a%00b", b"/a%0d%0ab", b"/..", b"/../x", b"/%2e", b"/a+b:@!$&'()*,=~", b"/a%41"),
    *(b"/a?a=b&c=%00", b"/a?x=\xff", b"/%ff", b"/a?x=1&&y", b"/a?x=%zz", b"/a%252fb", b"/a%c0%afb", b"/a%u002fb"),
    *(b"http://ledger.example/abs?x=1", b"HTTP://ledger.example//x/../y", b"http://ledger.example", b"http:///a"),
    *(b"http://other.example/a", b"http://ledger.example@other.example/a", b"ledger.example:80", b"x:healthz"),
    *(b"x:/healthz", b"x:///a", b"http:a", b"*", b"a/b", b"?x=1", b"/a\tb", b"/a b", b"/ /a"),
    *(b"/.portcullis/check", b"/%2eportcullis/check", b"//other.example/a", b"/a\x0bb", b"/a\x00b"),
)

FORGED: dict[str, bytes] = {
    "an identity header": b"x-subject: evil",
    "an identity header in capitals": b"X-SUBJECT: evil",
    "an identity header with an underscore": b"x_subject: evil",
    "an identity header that the answer has not": b"x-mask: evil",
    "an identity header with a blank before the colon": b"x-subject : evil",
    "a folded identity header": b"x-note: a\r\n x-subject: evil",
    "the decision": b"x-portcullis-decision: evil",
    "another name of ours": b"x-portcullis-user: evil",
    "the decision with underscores": b"x_portcullis_decision: evil",
    "the decision in capitals": b"X-PORTCULLIS-DECISION: evil",
    "the path": b"x-forwarded-uri: /evil",
    "the path with underscores": b"x_forwarded_uri: /evil",
    "the method": b"x-forwarded-method: EVIL",
    "the host": b"x-forwarded-host: evil",
    "the scheme": b"x-forwarded-proto: evil",
    "the address": b"x-forwarded-for: 192.0.2.66",
    **{f"`{name}`": name.encode() + b": evil" for name in SAYING_MORE},
}

NAMED_IN_CONNECTION = (
    *(b"x-subject", b"x-portcullis-decision"),
    *(b"x-forwarded-for", b"x-forwarded-uri", b"x-forwarded-host"),
)

ODD_HOSTS: dict[str, bytes] = {
    "a host of no service": b"elsewhere.example",
    "a host and a name": b"evil@ledger.example",
    "two hosts in one": b"ledger.example,other.example",
    "a fragment": b"ledger.example#other.example",
    "an escaped dot": b"ledger%2eexample",
    "a blank": b"ledger.example other.example",
    "a longer name": b"ledger.example.evil.example",
    "none": b"",
}


class ForwardAuth:
    """The tests. A subclass gives the fixture `edge`, and says where its gateway differs."""

    keeps_body = True
    """Whether a refusal's body is the service's own."""
    passes_ours = False
    """Whether it lets the client's `x-portcullis-*` pass, the decision apart."""
    waits_for_ever = False
    """Whether it cannot be told how long to wait for an answer."""

    def test_an_allowed_call_passes_with_the_headers_of_the_answer(self, edge: Edge) -> None:
        edge.clear()
        answer = edge.call(b"/a/b?x=1", b"authorization: Bearer good", b"x-note: kept")
        (asked,), (passed,) = edge.asked.taken(), edge.upstreams["ledger"].taken()
        assert (answer.status, answer.body) == (200, b"ok")
        assert (passed.method, passed.target) == (b"GET", b"/a/b?x=1")
        assert passed.all("x-subject") == ["u1"]
        assert passed.all("x-portcullis-decision") == ["d-allowed"]
        assert passed.all("x-mask") == []
        assert passed.all("x-note") == ["kept"]
        assert passed.all("authorization") == ["Bearer good"]
        inquiry = inquiry_of(asked)
        assert (inquiry.service, inquiry.method, inquiry.path) == ("ledger", "GET", "/a/b?x=1")
        assert (inquiry.host, inquiry.ip, inquiry.tls) == ("ledger.example", "127.0.0.1", False)
        assert ("authorization", "Bearer good") in inquiry.headers
        assert asked.method == b"GET"
        assert asked.body == b""

    @pytest.mark.parametrize("service", ["ledger", "other"])
    def test_the_host_says_the_service_and_the_upstream(self, edge: Edge, service: str) -> None:
        edge.clear()
        assert edge.call(b"/a", host=f"{service}.example".encode()).status == 200
        assert [inquiry_of(each).service for each in edge.asked.taken()] == [service]
        assert {name: len(each.taken()) for name, each in edge.upstreams.items()} == {
            name: int(name == service) for name in edge.upstreams
        }

    @pytest.mark.parametrize("target", TARGETS, ids=repr)
    def test_what_is_decided_about_is_what_is_sent(self, edge: Edge, target: bytes) -> None:
        edge.clear()
        edge.call(target)
        questions = edge.asked.taken()
        assert {each.target.partition(b"?")[0] for each in questions} <= {PREFIX.encode() + each for each in SERVICES}
        asked = [inquiry_of(each) for each in questions]
        passed = {name: each.taken() for name, each in edge.upstreams.items()}
        for name, received in passed.items():
            for each in received:
                (inquiry,) = asked
                assert (inquiry.path or "").encode("utf-8", "surrogateescape") == each.target
                assert each.all("host") == [inquiry.host]
                assert inquiry.service == name
                assert (inquiry.host or "").partition(":")[0] == f"{name}.example"

    @pytest.mark.parametrize("case", FORGED)
    def test_no_forged_header_passes(self, edge: Edge, case: str) -> None:
        if case == "another name of ours" and self.passes_ours:
            pytest.skip("plain nginx takes no header away by the beginning of its name")
        edge.clear()
        line = FORGED[case]
        assert edge.call(b"/nobody/a", line).status in {200, 400}
        for asked in edge.asked.taken():
            inquiry = inquiry_of(asked)
            assert (inquiry.method, inquiry.path, inquiry.host) == ("GET", "/nobody/a", "ledger.example")
            assert (inquiry.ip, inquiry.tls) == ("127.0.0.1", False)
        for passed in edge.upstreams["ledger"].taken():
            texts = [value for name, value in passed.headers if name != "x-note"]
            assert not any("evil" in text for text in texts), passed
            assert "192.0.2.66" not in ",".join(passed.all("x-forwarded-for"))
            assert passed.all("x-portcullis-decision") == ["d-allowed"]
            assert passed.all("x-subject") == []

    @pytest.mark.parametrize("named", NAMED_IN_CONNECTION)
    def test_no_client_takes_away_what_the_gateway_says(self, edge: Edge, named: bytes) -> None:
        edge.clear()
        request = b"GET /a HTTP/1.1\r\nhost: ledger.example\r\nconnection: %s, close\r\n\r\n" % named
        edge.send(request)
        for asked in edge.asked.taken():
            assert inquiry_of(asked).path == "/a"
        for passed in edge.upstreams["ledger"].taken():
            assert passed.all("x-subject") == ["u1"]
            assert passed.all("x-portcullis-decision") == ["d-allowed"]
            assert named.decode() not in ",".join(passed.all("connection"))

    def test_two_credentials_arrive_as_two_or_not_at_all(self, edge: Edge) -> None:
        edge.clear()
        answer = edge.call(b"/a", b"authorization: Bearer one", b"authorization: Bearer two")
        asked = edge.asked.taken()
        assert answer.status == 400 or [each.all("authorization") for each in asked] == [["Bearer one", "Bearer two"]]

    @pytest.mark.parametrize("path", ["/refused/a", "/challenged/a"])
    def test_a_refusal_reaches_the_client_and_nothing_else_does(self, edge: Edge, path: str) -> None:
        edge.clear()
        answer = edge.call(path.encode())
        wanted = ANSWERS[path.removesuffix("/a")]
        assert answer.status == wanted.status
        assert answer.all("x-portcullis-decision") == ["d-refused"]
        assert answer.all("www-authenticate") == [value for name, value in wanted.headers if name == BEARER[0]]
        assert answer.all("content-type") == ["application/problem+json"]
        assert json.loads(answer.body)["title"]
        if self.keeps_body:
            assert answer.body == wanted.body
        assert edge.upstreams["ledger"].taken() == []

    def test_no_decision_is_no_passage(self, edge: Edge) -> None:
        edge.clear()
        assert edge.call(b"/unknown/a").status == 503
        assert edge.call(b"/garbled/a").status in {500, 502, 503}
        assert edge.call(b"/moved/a").status != 200
        if not self.waits_for_ever:
            assert edge.call(b"/silent/a").status in {500, 502, 503, 504}
        assert edge.upstreams["ledger"].taken() == []

    @pytest.mark.parametrize("case", ODD_HOSTS)
    def test_a_host_of_no_service_reaches_nothing(self, edge: Edge, case: str) -> None:
        edge.clear()
        answer = edge.call(b"/a", host=ODD_HOSTS[case])
        assert answer.status >= 400 or answer.status == 0
        services = [inquiry_of(each).service for each in edge.asked.taken()]
        assert services == ["-"] if case == "a host of no service" else services in ([], ["-"])
        assert not any(each.taken() for each in edge.upstreams.values())

    def test_two_hosts_reach_nothing(self, edge: Edge) -> None:
        edge.clear()
        assert edge.call(b"/a", b"host: other.example").status == 400
        assert not any(each.taken() for each in edge.upstreams.values())

    @pytest.mark.parametrize("method", [b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PURGE"])
    def test_the_method_is_asked_about(self, edge: Edge, method: bytes) -> None:
        edge.clear()
        answer = edge.call(b"/a", method=method)
        asked, passed = edge.asked.taken(), edge.upstreams["ledger"].taken()
        assert [inquiry_of(each).method for each in asked] == [method.decode()]
        assert [each.method for each in passed] == [method]
        assert answer.status == 200

    def test_connect_opens_nothing(self, edge: Edge) -> None:
        edge.clear()
        for target in (b"/a", b"ledger.example:80", b"127.0.0.1:1"):
            assert edge.call(target, method=b"CONNECT").status in {0, 400, 403, 404, 405, 418, 501}
        assert not any(each.taken() for each in edge.upstreams.values())

    def test_nothing_is_upgraded(self, edge: Edge) -> None:
        edge.clear()
        lines = (b"host: ledger.example", b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13")
        key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        edge.send(b"\r\n".join((b"GET /a HTTP/1.1", *lines, key)) + b"\r\n\r\n")
        for passed in edge.upstreams["ledger"].taken():
            assert passed.all("upgrade") == []
            assert "upgrade" not in ",".join(passed.all("connection")).lower()

    @pytest.mark.parametrize(
        ("framing", "body"),
        {b"content-length: 5": b"hello", b"transfer-encoding: chunked": b"5\r\nhello\r\n0\r\n\r\n"}.items(),
    )
    def test_a_body_passes_and_the_question_bears_none(self, edge: Edge, framing: bytes, body: bytes) -> None:
        edge.clear()
        assert edge.call(b"/a", framing, method=b"POST", body=body).status == 200
        assert [each.body for each in edge.asked.taken()] == [b""]
        assert [each.body for each in edge.upstreams["ledger"].taken()] == [b"hello"]

    def test_big_headers_are_asked_about_or_refused(self, edge: Edge) -> None:
        for size in (2_000, 12_000, 60_000, 300_000):
            edge.clear()
            answer = edge.call(b"/a", b"x-big: " + b"a" * size)
            asked = [len("".join(each.all("x-big"))) for each in edge.asked.taken()]
            passed = [len("".join(each.all("x-big"))) for each in edge.upstreams["ledger"].taken()]
            assert passed in ([], [size])
            assert asked == passed or (answer.status >= 400 and not passed)
