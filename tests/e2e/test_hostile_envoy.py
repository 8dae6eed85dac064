"""Thousands of hostile targets, hosts and headers through a real Envoy: nothing protected is reached.

What counts is what the upstream receives, under every reading that some back end is known to have
(tests/support/corpus/readings.py). Half of the targets is asked of each policy of tests/golden/hostile.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.corpus.readings import host_of, reaches
from tests.support.corpus.targets import clean_targets, hostile_targets
from tests.support.envoy import EnvoyGateway
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp
from tests.support.raw_http import RawHttp

POLICY = ROOT / "tests" / "golden" / "hostile"
HOSTS = {"wide": "wide.example", "narrow": "narrow.example", "shut": "shut.example"}
Pairs = list[tuple[bytes, bytes]]


class Edge:
    """The service behind Envoy, and a caller with a good token."""

    def __init__(self, gateway: EnvoyGateway, token: str, wire: RawHttp) -> None:
        self._gateway = gateway
        self._wire = wire
        self.authorization = (b"authorization", b"Bearer " + token.encode())

    def ask(
        self, target: bytes, host: bytes = b"wide.example", *headers: tuple[bytes, bytes], method: bytes = b"GET"
    ) -> int:
        """The status of one call with the token, and `headers` besides."""
        return self._wire.ask(method, target, [(b"host", host), self.authorization, *headers])

    def ask_with(self, target: bytes, headers: Pairs, method: bytes = b"GET", body: bytes = b"") -> int:
        """The same with these headers and no others."""
        return self._wire.ask(method, target, headers, body)

    def passed(self) -> list[tuple[str, bytes, list[tuple[str, str]]]]:
        """What reached the upstream since the last time: method, target, headers."""
        received = [
            (method, target.encode("latin-1"), headers) for method, target, headers in self._gateway.upstream.received
        ]
        self._gateway.upstream.received.clear()
        return received


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    issuer = TestIssuer()
    served = ServedPdp(folder, POLICY, [issuer])
    served.start()
    try:
        token = issuer.mint({"sub": "u1", "aud": "site"}, int(time.time()))
        envoy = EnvoyGateway(folder, served.grpc_port, failure_mode_allow=False, services=HOSTS)
        with envoy as gateway, RawHttp(gateway.port) as wire:
            yield Edge(gateway, token, wire)
    finally:
        served.stop()


@pytest.mark.parametrize("host", [b"wide.example", b"narrow.example"])
def test_no_hostile_target_reaches_what_is_protected(edge: Edge, host: bytes) -> None:
    statuses, reaching = Counter[int](), 0
    edge.passed()
    for target in hostile_targets(2 if host == b"wide.example" else 3, 1_500):
        statuses[edge.ask(target, host)] += 1
        reaching += reaches(target, "/admin")
        for _, received, headers in edge.passed():
            assert not reaches(received, "/admin"), (target, received)
            assert dict(headers)["host"] == host.decode()
            assert host_of(received) is None
    assert reaching > 700
    assert statuses[403] > 300  # not all of them were refused by Envoy alone
    assert statuses[200] > 0
    assert 500 not in statuses


def test_clean_targets_pass_as_they_were_sent(edge: Edge) -> None:
    edge.passed()
    sent = list(clean_targets(4, 1_000))
    statuses = Counter(edge.ask(target) for target in sent)
    assert statuses[200] >= 999, statuses
    received = [target for _, target, _ in edge.passed()]
    assert len(received) == statuses[200]
    assert set(received) <= set(sent)


HOSTILE_HOSTS: dict[str, Pairs] = {
    "the host of a service that is shut": [(b"host", b"shut.example")],
    "in capitals": [(b"host", b"SHUT.EXAMPLE")],
    "with a dot": [(b"host", b"shut.example.")],
    "with a port": [(b"host", b"shut.example:80")],
    "with a port that is none": [(b"host", b"shut.example:")],
    "two hosts": [(b"host", b"wide.example"), (b"host", b"shut.example")],
    "two hosts, the other way": [(b"host", b"shut.example"), (b"host", b"wide.example")],
    "two hosts in one": [(b"host", b"wide.example,shut.example")],
    "two hosts in one, with a blank": [(b"host", b"wide.example shut.example")],
    "a name and a host": [(b"host", b"wide.example@shut.example")],
    "a host and a name": [(b"host", b"shut.example@wide.example")],
    "a host behind a fragment": [(b"host", b"shut.example#@wide.example")],
    "a host behind a path": [(b"host", b"shut.example/wide.example")],
    "an escaped dot": [(b"host", b"shut%2eexample")],
    "a tab": [(b"host", b"wide.example\tshut.example")],
    "a blank before the colon": [(b"host", b"wide.example"), (b"host ", b"shut.example")],
    "a folded line": [(b"host", b"wide.example\r\n shut.example")],
    "wide letters": [(b"host", "\uff53hut.example".encode())],
    "no host": [],
    "an empty host": [(b"host", b"")],
    "an address": [(b"host", b"127.0.0.1")],
    "the other name of a host": [(b"host", b"localhost")],
}


@pytest.mark.parametrize("case", HOSTILE_HOSTS)
def test_no_host_passes_for_another(edge: Edge, case: str) -> None:
    edge.passed()
    status = edge.ask_with(b"/public/a", [*HOSTILE_HOSTS[case], edge.authorization, (b"content-length", b"0")])
    assert status in {400, 401, 403, 404, 0}, edge.passed()
    assert edge.passed() == []


SAYS_MORE: dict[str, tuple[bytes, bytes]] = {
    name.decode(): (name, value)
    for value, names in {
        b"/admin": (
            *(b"x-original-url", b"x-rewrite-url", b"x-original-uri", b"x-forwarded-uri", b"x-forwarded-path"),
            *(b"x-forwarded-prefix", b"x-envoy-original-path", b"x-override-url", b"x-forwarded-url"),
        ),
        b"DELETE": (b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-forwarded-method"),
        b"shut.example": (
            *(b"x-forwarded-host", b"x-host", b"x-original-host", b"x-forwarded-server", b"x-http-host-override"),
        ),
        b"host=shut.example;for=127.0.0.1": (b"forwarded",),
        b"192.0.2.250": (b"x-real-ip", b"x-client-ip", b"true-client-ip", b"x-envoy-external-address"),
        b"By=spiffe://a/b;URI=spiffe://a/c": (b"x-forwarded-client-cert",),
        b"forged": (b"x-portcullis-decision", b"x-portcullis-user", b"x-envoy-auth-failure-mode-allowed"),
    }.items()
    for name in names
}


@pytest.mark.parametrize("case", SAYS_MORE)
def test_no_header_tells_the_upstream_of_another_call_than_was_decided(edge: Edge, case: str) -> None:
    name, value = SAYS_MORE[case]
    edge.passed()
    assert edge.ask(b"/public/a", b"wide.example", (name, value)) in {200, 400, 403}
    for method, target, headers in edge.passed():
        assert (method, target) == ("GET", b"/public/a")
        assert (case, value.decode()) not in headers


SMUGGLED = b"GET /admin HTTP/1.1\r\nhost: wide.example\r\n\r\n"
TWO_LENGTHS: dict[str, Pairs] = {
    "a length and chunks": [(b"content-length", b"4"), (b"transfer-encoding", b"chunked")],
    "chunks and a length": [(b"transfer-encoding", b"chunked"), (b"content-length", b"4")],
    "chunks spelt otherwise": [(b"content-length", b"4"), (b"transfer-encoding", b"xchunked")],
    "chunks twice": [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity")],
    "chunks behind a tab": [(b"content-length", b"4"), (b"transfer-encoding", b"\tchunked")],
    "two lengths": [(b"content-length", b"0"), (b"content-length", b"47")],
    "a length with a sign": [(b"content-length", b"+4")],
    "a length below none": [(b"content-length", b"-1")],
}


@pytest.mark.parametrize("case", TWO_LENGTHS)
def test_no_second_request_hides_in_a_body(edge: Edge, case: str) -> None:
    edge.passed()
    headers = [(b"host", b"wide.example"), edge.authorization, *TWO_LENGTHS[case]]
    edge.ask_with(b"/public/a", headers, b"POST", b"0\r\n\r\n" + SMUGGLED)
    edge.ask(b"/public/a")
    assert not [target for _, target, _ in edge.passed() if reaches(target, "/admin")]


CREDENTIALS: dict[str, list[bytes]] = {
    "none": [],
    "one that is none": [b"Bearer x"],
    "a good one and another": [b"GOOD", b"Bearer x"],
    "another and a good one": [b"Bearer x", b"GOOD"],
    "two good ones": [b"GOOD", b"GOOD"],
    "two in one": [b"GOOD,Bearer x"],
    "another scheme": [b"Basic dTpw"],
    "no scheme": [b"x"],
    "an empty one": [b""],
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_one_good_credential_or_none_passes(edge: Edge, case: str) -> None:
    edge.passed()
    good = edge.authorization[1]
    said = [(b"authorization", value.replace(b"GOOD", good)) for value in CREDENTIALS[case]]
    assert edge.ask_with(b"/public/a", [(b"host", b"wide.example"), *said]) == 401
    assert edge.passed() == []


METHODS = (b"CONNECT", b"TRACE", b"OPTIONS", b"PURGE", b"get", b"G\x00T", b"GET\tX", b"DEBUG", b"TRACK", b"PRI")


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reaches_what_is_protected(edge: Edge, method: bytes) -> None:
    edge.passed()
    for target in (b"/admin", b"*", b"wide.example:80", b"http://wide.example/admin"):
        edge.ask_with(target, [(b"host", b"wide.example"), edge.authorization], method)
    assert edge.passed() == []
