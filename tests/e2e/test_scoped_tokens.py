"""A broad token stays at the edge: behind a real Envoy the service receives one that opens it alone."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from pdp.client import Call, Client
from tests.support.envoy import EnvoyGateway
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT, ServedPdp
from tests.support.scoped import HOSTS, MINTING, claims_of, published, write_policy


class Edge:
    """The service behind Envoy, and callers with tokens that open both services."""

    def __init__(self, served: ServedPdp, gateway: EnvoyGateway, issuer: TestIssuer) -> None:
        self.served = served
        self._gateway = gateway
        self._issuer = issuer

    def token(self, subject: str, service: str) -> str:
        now = int(time.time())
        scope = "orders:read orders:write stock:read"
        claims = {"sub": subject, "aud": service, "scope": scope, "email": f"{subject}@shop.example"}
        return self._issuer.mint(claims, now)

    def call(self, service: str, path: str, token: str | None, **headers: str) -> int:
        own = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self._gateway.port}{path}"
        request = urllib.request.Request(url, headers={"Host": HOSTS[service]} | own | headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def credentials(self) -> list[str]:
        """What the upstream saw as `authorization` with the last call that reached it."""
        return [value for name, value in self._gateway.upstream.received[-1][2] if name == "authorization"]

    @property
    def passed(self) -> int:
        return len(self._gateway.upstream.received)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("scoped")
    issuer = TestIssuer()
    served = ServedPdp(folder, write_policy(folder / "policy"), [issuer], extra=MINTING)
    served.start()
    try:
        with EnvoyGateway(folder, served.grpc_port, failure_mode_allow=False, services=HOSTS) as gateway:
            yield Edge(served, gateway, issuer)
    finally:
        served.stop()


def test_the_service_gets_a_token_for_itself_and_nothing_of_the_callers(edge: Edge) -> None:
    broad = edge.token("ann", "orders")
    assert edge.call("orders", "/orders/1", broad) == 200
    (seen,) = edge.credentials()
    claims = claims_of(seen, published(edge.served.http_port), "orders")
    assert (claims["aud"], claims["scope"], claims["client_id"]) == ("orders", "orders:read", "edge")
    assert claims["exp"] - claims["iat"] <= 60
    assert broad not in seen
    assert not {"ann", "ann@shop.example"} & set(map(str, claims.values()))


def test_a_token_of_one_service_is_worth_nothing_at_another_nor_here(edge: Edge) -> None:
    assert edge.call("orders", "/orders/1", edge.token("ann", "orders")) == 200
    (seen,) = edge.credentials()
    with pytest.raises(jwt.InvalidAudienceError):
        claims_of(seen, published(edge.served.http_port), "stock")
    before = edge.passed
    assert edge.call("stock", "/count/1", seen.removeprefix("Bearer ")) == 401
    assert edge.call("orders", "/orders/1", seen.removeprefix("Bearer ")) == 401
    assert edge.passed == before


def test_one_subject_has_one_name_at_a_service_and_another_at_the_next(edge: Edge) -> None:
    names = []
    for service, path in (("orders", "/orders/1"), ("orders", "/orders/2"), ("stock", "/count/1")):
        assert edge.call(service, path, edge.token("ann", service)) == 200
        (seen,) = edge.credentials()
        names.append(claims_of(seen, published(edge.served.http_port), service)["sub"])
    assert names[0] == names[1] != names[2]


def test_where_no_rule_asks_for_one_the_callers_own_goes_on(edge: Edge) -> None:
    broad = edge.token("ann", "orders")
    assert edge.call("orders", "/own", broad) == 200
    assert edge.credentials() == [f"Bearer {broad}"]
    assert edge.call("orders", "/public", None) == 200
    assert edge.credentials() == []


def test_a_program_that_asks_for_itself_gets_the_token_too(edge: Edge) -> None:
    token = edge.token("ann", "orders")
    call = Call("GET", "/orders/1", HOSTS["orders"], service="orders", authorization=f"Bearer {token}")
    with Client(edge.served.address) as client:
        told = client.decide(replace(call, capabilities=["issue_token"]))
        assert not client.decide(call).allowed
    ((name, value),) = told.obligations.set_headers
    claims = claims_of(value, published(edge.served.http_port), "orders")
    assert (told.allowed, name, claims["aud"]) == (True, "authorization", "orders")
    assert value not in repr(told)


def test_a_refused_call_gets_no_token(edge: Edge) -> None:
    before = edge.passed
    assert edge.call("orders", "/orders/1", edge.token("ann", "stock")) == 403
    assert edge.passed == before


def test_keys_are_ours_alone_and_outlive_a_restart(edge: Edge) -> None:
    folder = edge.served.state / "keys" / "minting"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (stat.S_IMODE(folder.stat().st_mode), modes) == (0o700, {0o600})
    assert edge.call("orders", "/orders/7", edge.token("bob", "orders")) == 200
    (seen,) = edge.credentials()
    before = published(edge.served.http_port)
    name = claims_of(seen, before, "orders")["sub"]
    edge.served.stop()
    edge.served.start()
    after = published(edge.served.http_port)
    assert after == before
    assert edge.call("orders", "/orders/7", edge.token("bob", "orders")) == 200
    (again,) = edge.credentials()
    assert claims_of(again, after, "orders")["sub"] == name


def test_the_published_set_has_no_private_half_and_says_how_long_it_may_be_kept(edge: Edge) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.served.http_port}/.well-known/jwks.json", timeout=5) as answer:
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["cache-control"] == "public, max-age=1800"
    key_set = published(edge.served.http_port)
    assert all(set(key) <= {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in key_set["keys"])
    assert len(key_set["keys"]) == 2  # the one that signs, and the next


def test_the_log_is_sound_and_says_which_record_each_token_was_made_for(edge: Edge) -> None:
    edge.served.stop()
    try:
        command = [sys.executable, "-m", "pdp", "audit", "verify", "--state", str(edge.served.state)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        edge.served.start()
