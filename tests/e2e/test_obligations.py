"""What rules ask of a gateway, carried out by a real Envoy: the upstream sees what we set, and nothing forged."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.envoy import EnvoyGateway
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
HOSTS = {"desk": "desk.example", "trial": "trial.example"}
FORGED = {"x-desk-user": "root", "X-Desk-Place": "vault", "x-debug": "1", "x-portcullis-decision": "forged"}


class Edge:
    """The service behind Envoy, and a caller with a token."""

    def __init__(self, gateway: EnvoyGateway, issuer: TestIssuer) -> None:
        self._gateway = gateway
        self._issuer = issuer

    def call(self, service: str, path: str, **headers: str) -> int:
        now = int(time.time())
        token = self._issuer.mint({"sub": "u1", "aud": service}, now)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._gateway.port}{path}",
            headers={"Host": HOSTS[service], "Authorization": f"Bearer {token}"} | headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def seen(self) -> Mapping[str, list[str]]:
        """The headers of the last call that reached the upstream."""
        values: dict[str, list[str]] = {}
        for name, value in self._gateway.upstream.received[-1][2]:
            values.setdefault(name, []).append(value)
        return values

    @property
    def passed(self) -> int:
        return len(self._gateway.upstream.received)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("edge")
    issuer = TestIssuer()
    served = ServedPdp(folder, POLICY, [issuer])
    served.start()
    try:
        with EnvoyGateway(folder, served.grpc_port, failure_mode_allow=False, services=HOSTS) as gateway:
            yield Edge(gateway, issuer)
    finally:
        served.stop()


def test_the_upstream_takes_the_user_from_us_alone(edge: Edge) -> None:
    assert edge.call("desk", "/notes/u1", **FORGED) == 200
    seen = edge.seen()
    assert seen["x-desk-user"] == ["u1"]
    assert seen["x-desk-place"] == ["front"]
    assert "x-debug" not in seen
    assert len(seen["x-portcullis-decision"]) == 1
    assert seen["x-portcullis-decision"] != ["forged"]


def test_where_no_rule_sets_a_header_of_ours_the_clients_is_gone(edge: Edge) -> None:
    assert edge.call("desk", "/files/plain", **FORGED) == 200
    assert not {"x-desk-user", "x-desk-place"} & set(edge.seen())


def test_what_passes_under_observation_carries_no_header_of_ours_and_none_of_the_clients(edge: Edge) -> None:
    assert edge.call("trial", "/try/u2", **FORGED) == 200
    assert not {"x-desk-user", "x-desk-place"} & set(edge.seen())
    assert edge.call("trial", "/try/u1", **FORGED) == 200
    assert edge.seen()["x-desk-user"] == ["u1"]


REFUSED = {
    "what is concealed is not found": ("/hidden", 404),
    "what this gateway cannot do does not pass undone": ("/masked", 403),
    "what is not known is refused": ("/risky", 403),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_refusal_reaches_no_upstream(sentence: str, edge: Edge) -> None:
    path, status = REFUSED[sentence]
    before = edge.passed
    assert edge.call("desk", path, **FORGED) == status
    assert edge.passed == before
