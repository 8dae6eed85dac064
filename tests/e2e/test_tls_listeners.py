"""`pdp serve` with listeners for a network: gateways by certificate and by key, and certificates that change."""

from __future__ import annotations

import hashlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from msgspec import Struct

from pdp.transports.messages import CheckResponse
from tests.support.asking import CHECK, check_request
from tests.support.certificates import EDGE_ID, Pair, TestAuthority
from tests.support.http_serving import client
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp, eventually

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
KEY = "k" * 43
SERVERS, GATEWAYS, OTHERS = TestAuthority("servers"), TestAuthority("gateways"), TestAuthority("others")


class Network(Struct, frozen=True):
    """A service with a listener of each protocol for the network."""

    served: ServedPdp
    folder: Path
    grpc_port: int
    http_port: int

    def check(self, shown: Pair, trusted: TestAuthority = SERVERS) -> int:
        """The code of the answer to a call that the policy lets pass."""
        credentials = grpc.ssl_channel_credentials(trusted.pem, shown.key, shown.certificate)
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(f"127.0.0.1:{self.grpc_port}", credentials, options=options) as channel:
            ask = channel.unary_unary(CHECK)
            data = check_request("GET", "ledger.example", "/health", service="ledger")
            return int(CheckResponse.FromString(ask(data, timeout=10)).status.code)

    def lets_in(self, shown: Pair) -> bool:
        try:
            return self.check(shown) == 0
        except grpc.RpcError:
            return False

    def ask(self, path: str, headers: Mapping[str, str], data: bytes | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"https://127.0.0.1:{self.http_port}{path}", data, dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=10, context=client(SERVERS, self.folder)) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def readiness(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.served.http_port}/readyz", timeout=5) as answer:
            found = json.loads(answer.read())
        assert isinstance(found, dict)
        return found

    def is_in_doubt(self) -> bool:
        return any("not in use" in each for each in self.readiness()["warnings"])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    SERVERS.server().write(folder, "server")
    (folder / "clients.pem").write_bytes(GATEWAYS.pem)
    served = ServedPdp(folder, POLICY, [TestIssuer()], gateway=f'identity = "{EDGE_ID}"')
    found = Network(served, folder, free_port(), free_port())
    shown = 'certificate = "server.pem"\nprivate_key = "server.key"\n'
    declared = [
        served.config.read_text(),
        f'[[gateways]]\nname = "app"\nsubjects = true\nkeys_sha256 = ["{hashlib.sha256(KEY.encode()).hexdigest()}"]',
        f'[[listeners]]\naddress = "127.0.0.1:{found.grpc_port}"\nclient_ca = "clients.pem"\n{shown}',
        f'[[listeners]]\naddress = "127.0.0.1:{found.http_port}"\nprotocol = "http"\n{shown}',
    ]
    served.config.write_text("\n\n".join(declared))
    served.start()
    try:
        yield found
    finally:
        served.stop()


def test_a_gateway_is_known_by_its_certificate_and_nobodys_is_refused(network: Network) -> None:
    assert network.check(GATEWAYS.gateway()) == 0
    assert network.check(GATEWAYS.gateway(["spiffe://shop.example/other"])) != 0
    assert not network.lets_in(OTHERS.gateway())


def test_an_application_is_known_by_its_key(network: Network) -> None:
    asked = {"subject": {"type": "x", "id": "1"}, "action": {"name": "x"}, "resource": {"type": "x", "id": "1"}}
    headers = {"content-type": "application/json"}
    data = json.dumps(asked).encode()
    known = network.ask("/access/v1/evaluation", headers | {"authorization": f"Bearer {KEY}"}, data)
    assert known[0] == 200
    assert json.loads(known[1])["decision"] is False
    assert network.ask("/access/v1/evaluation", headers, data)[0] == 401
    assert network.ask("/metrics", {})[0] == 404


def test_readiness_names_the_policy_and_its_age(network: Network) -> None:
    found = network.readiness()
    assert len(found["policy"]["revision"]) == 64
    assert (found["log"], found["observed"], found["policy"]["age_s"] >= 0) == ("writable", ["trial"], True)


def test_new_certificates_are_taken_and_bad_ones_are_told_of(network: Network) -> None:
    sound = (network.folder / "server.key").read_bytes()
    (network.folder / "server.key").write_bytes(b"noise")
    eventually(network.is_in_doubt)
    assert network.check(GATEWAYS.gateway()) == 0
    (network.folder / "server.key").write_bytes(sound)
    eventually(lambda: not network.is_in_doubt())
    (network.folder / "clients.pem").write_bytes(OTHERS.pem)
    eventually(lambda: network.lets_in(OTHERS.gateway()))
    assert not network.lets_in(GATEWAYS.gateway())
    (network.folder / "clients.pem").write_bytes(GATEWAYS.pem)
    eventually(lambda: network.lets_in(GATEWAYS.gateway()))
    assert network.served.output.read_text().count("not in use") == 2  # once for each listener


def test_plain_text_is_no_tls(network: Network) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        urllib.request.urlopen(f"http://127.0.0.1:{network.http_port}/healthz", timeout=5)
