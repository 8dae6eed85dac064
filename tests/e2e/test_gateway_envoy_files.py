"""Envoy with its shipped configuration: ways to the service, preflights, upgrades, gRPC upstreams.

What the check does with an answer is shown elsewhere, with the demo's configuration, which is this one.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Self

import grpc
import pytest
from msgspec import Struct
from msgspec.structs import replace

from pdp.gateway_files.envoy import CHECK_TIMEOUT, bootstrap, render
from pdp.gateway_files.setting import Behind, Mutual, Setting, Tcp, Unix, Way
from tests.support.certificates import TestAuthority
from tests.support.gateways import Edge, binary, running, sent, two_services
from tests.support.ports import free_port
from tests.support.raw_server import RawServer

PROGRAM = binary("PORTCULLIS_ENVOY", "envoy")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Envoy: make test installs it where there is one")
CHECK = "/envoy.service.auth.v3.Authorization/Check"
ORIGIN = "https://shop.example"
PATIENT = "5s"
QUIET = ("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning")


def configured(setting: Setting, folder: Path) -> list[str]:
    """The shipped file, with time for a check: a busy machine is none of the cases."""
    shipped = render(bootstrap(setting, str(folder / "access.log")))
    assert CHECK_TIMEOUT in shipped
    (folder / "envoy.json").write_text(shipped.replace(CHECK_TIMEOUT, PATIENT))
    return [str(PROGRAM), "-c", "envoy.json", *QUIET]


class Allowing:
    """A gRPC server that answers every call with the same bytes; empty ones are an allow. `calls` are the methods."""

    def __init__(self, address: str, credentials: grpc.ServerCredentials | None = None, answer: bytes = b"") -> None:
        self.calls: list[str] = []
        self._answer = answer
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        self._server.add_generic_rpc_handlers((self,))
        bound = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )
        self.port = int(bound)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(_: bytes, __: grpc.ServicerContext) -> bytes:
            self.calls.append(details.method)
            return self._answer

        return grpc.unary_unary_rpc_method_handler(answer)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()


@contextlib.contextmanager
def edge(folder: Path, way: Way, change: Callable[[Setting], Setting] = lambda setting: setting) -> Iterator[Edge]:
    port = free_port()
    with RawServer() as ledger, RawServer() as other:
        setting = change(two_services(port, way, (ledger.port, other.port), (ORIGIN,)))
        with running(configured(setting, folder), port, folder):
            yield Edge(port, ledger, {"ledger": ledger, "other": other})


class Whole(Struct, frozen=True):
    edge: Edge
    checks: Allowing


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    checks = Allowing("127.0.0.1:0")
    with checks, edge(tmp_path_factory.mktemp("envoy"), Tcp("127.0.0.1", checks.port)) as found:
        yield Whole(found, checks)


def preflight(origin: str, method: str = "POST") -> Sequence[bytes]:
    return (b"origin: " + origin.encode(), b"access-control-request-method: " + method.encode())


def test_a_preflight_is_answered_ahead_of_the_check(whole: Whole) -> None:
    whole.edge.clear()
    before = len(whole.checks.calls)
    answer = whole.edge.call(b"/a", *preflight(ORIGIN), method=b"OPTIONS")
    assert answer.status == 200
    assert answer.all("access-control-allow-origin") == [ORIGIN]
    assert answer.all("access-control-allow-methods") == ["GET, POST"]
    assert answer.all("access-control-allow-credentials") == []
    assert len(whole.checks.calls) == before
    assert whole.edge.upstreams["ledger"].taken() == []


@pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil.example", "null"])
def test_a_preflight_of_another_origin_meets_the_check(whole: Whole, origin: str) -> None:
    before = len(whole.checks.calls)
    answer = whole.edge.call(b"/a", *preflight(origin), method=b"OPTIONS")
    assert answer.all("access-control-allow-origin") == []
    assert len(whole.checks.calls) == before + 1


def test_a_preflight_at_a_host_of_no_service_meets_the_check(whole: Whole) -> None:
    before = len(whole.checks.calls)
    answer = whole.edge.call(b"/a", *preflight(ORIGIN), method=b"OPTIONS", host=b"elsewhere.example")
    assert (answer.status, answer.all("access-control-allow-origin")) == (404, [])
    assert len(whole.checks.calls) == before + 1


@pytest.mark.parametrize("service", ["ledger", "other"])
def test_each_service_has_its_upstream(whole: Whole, service: str) -> None:
    whole.edge.clear()
    assert whole.edge.call(b"/a", host=f"{service}.example".encode()).status == 200
    assert {name: len(each.taken()) for name, each in whole.edge.upstreams.items()} == {
        name: int(name == service) for name in whole.edge.upstreams
    }


def test_nothing_is_upgraded_and_no_tunnel_is_opened(whole: Whole) -> None:
    whole.edge.clear()
    lines = (b"host: ledger.example", b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13")
    assert sent(whole.edge.port, b"\r\n".join((b"GET /a HTTP/1.1", *lines)) + b"\r\n\r\n").status == 403
    for target in (b"/a", b"ledger.example:80", b"127.0.0.1:1"):
        assert whole.edge.call(target, method=b"CONNECT").status in {400, 403, 404}
    assert not any(each.taken() for each in whole.edge.upstreams.values())


def test_the_service_is_asked_by_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    with Allowing(f"unix:{path}") as checks, edge(tmp_path, Unix(str(path))) as found:
        assert found.call(b"/a").status == 200
        assert checks.calls == [CHECK]


def mutual(folder: Path, gateway: TestAuthority, trusted: TestAuthority, port: int) -> Mutual:
    """The gateway's files, with a certificate by `gateway`, which believes `trusted`."""
    certificate, key = gateway.gateway().write(folder, "gateway")
    (folder / "ca.pem").write_bytes(trusted.pem)
    return Mutual(Tcp("127.0.0.1", port), str(certificate), str(key), str(folder / "ca.pem"))


def credentials(server: TestAuthority, clients: TestAuthority) -> grpc.ServerCredentials:
    pair = server.server()
    return grpc.ssl_server_credentials([(pair.key, pair.certificate)], clients.pem, require_client_auth=True)


def test_the_service_is_asked_over_tls_with_a_certificate_on_either_side(tmp_path: Path) -> None:
    servers, gateways, strangers = TestAuthority("servers"), TestAuthority("gateways"), TestAuthority("strangers")
    with Allowing("127.0.0.1:0", credentials(servers, gateways)) as checks:
        for name, ours, trusted, status in (
            ("both known", gateways, servers, 200),
            ("a stranger for a service", gateways, strangers, 503),
            ("a stranger for a gateway", strangers, servers, 503),
        ):
            folder = tmp_path / name.replace(" ", "-")
            folder.mkdir()
            with edge(folder, mutual(folder, ours, trusted, checks.port)) as found:
                assert found.call(b"/a").status == status, name
                assert len(found.upstreams["ledger"].taken()) == int(status == 200)
        assert checks.calls == [CHECK]


def test_a_certificate_of_another_name_is_not_the_services(tmp_path: Path) -> None:
    servers, gateways = TestAuthority("servers"), TestAuthority("gateways")
    with Allowing("127.0.0.1:0", credentials(servers, gateways)) as checks:
        way = mutual(tmp_path, gateways, servers, checks.port)
        with edge(tmp_path, replace(way, at=Tcp("127.0.0.2", checks.port))) as found:
            assert found.call(b"/a").status == 503
        assert checks.calls == []


@pytest.mark.parametrize("http", [True, False])
def test_a_grpc_service_is_spoken_to_over_http_2(tmp_path: Path, http: bool) -> None:
    with Allowing("127.0.0.1:0") as checks, Allowing("127.0.0.1:0", answer=b"said") as upstream:
        behind = Behind("stock", ("stock.example",), Tcp("127.0.0.1", upstream.port), ("POST",), http, grpc=True)
        with edge(tmp_path, Tcp("127.0.0.1", checks.port), lambda setting: replace(setting, behind=(behind,))) as found:
            options = (("grpc.default_authority", "stock.example"),)
            with grpc.insecure_channel(f"127.0.0.1:{found.port}", options) as channel:
                call = channel.unary_unary("/shop.stock.v1.Stock/Check")
                assert call(b"", timeout=10) == b"said"
        assert checks.calls == [CHECK]
        assert upstream.calls == ["/shop.stock.v1.Stock/Check"]


WAYS: dict[str, Way] = {
    "a port": Tcp("127.0.0.1", 9191),
    "a port by name": Tcp("localhost", 9191),
    "a socket": Unix("/run/pdp.sock"),
    "TLS by name": Mutual(Tcp("pdp.internal", 9191)),
    "TLS by address": Mutual(Tcp("192.0.2.7", 9191)),
    "TLS by a long address": Mutual(Tcp("2001:db8::7", 9191)),
}


@pytest.mark.parametrize("case", WAYS)
def test_envoy_takes_the_configuration(tmp_path: Path, case: str) -> None:
    authority = TestAuthority()
    pair = authority.gateway()
    for name, text in {
        "gateway.pem": pair.certificate,
        "gateway-key.pem": pair.key,
        "pdp-ca.pem": authority.pem,
    }.items():
        (tmp_path / name).write_bytes(text)
    command = [*configured(two_services(8080, WAYS[case], (1, 2), (ORIGIN,)), tmp_path), "--mode", "validate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()
