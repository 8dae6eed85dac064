"""The configuration of the demo's Envoy: what it says, and what a real Envoy does with it.

The check is answered by a gRPC server that allows or says nothing at all, and keeps the bytes it was asked with: what
is shown here is the gateway, not the decision.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from msgspec import Struct, field

from pdp.demo.cast import SERVICES
from pdp.demo.children import accepts
from pdp.demo.envoy import configuration, render
from pdp.demo.ports import Ports, claim
from pdp.demo.upstream import running_upstream

ROOT = Path(__file__).resolve().parents[2]
CHECK = "/envoy.service.auth.v3.Authorization/Check"
ORDERS = "orders.shop.example"
START_LIMIT_S = 20.0
QUICK = ("--log-level", "warning", "--file-flush-interval-msec", "50")


def envoy_binary() -> Path | None:
    """The binary that the Makefile names, or the one under build/; None where the platform has none."""
    named = os.environ.get("PORTCULLIS_ENVOY", "")
    if named:
        return None if named == "none" else Path(named)
    return next(iter((ROOT / "build" / "envoy").glob("lib/python3*/site-packages/envoy/_bin/envoy")), None)


ENVOY = envoy_binary()
needs_envoy = pytest.mark.skipif(ENVOY is None, reason="there is no Envoy binary for this platform")


class Authorizer(Struct):
    """An ext_authz server that allows everything, and what it was asked."""

    asked: list[bytes] = field(default_factory=list)

    def check(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        self.asked.append(request)
        return b""  # a CheckResponse with nothing in it: status code 0


class Edge(Struct, frozen=True):
    """A running gateway."""

    port: int
    authorizer: Authorizer
    access_log: Path

    def call(
        self, method: str, path: str, host: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in (("Host", host), ("Connection", "close"), *headers):
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers

    def logged(self, method: str) -> dict[str, object]:
        """The line of the access log about the call with this method, once it is there."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            text = self.access_log.read_text() if self.access_log.exists() else ""
            for line in text.splitlines(keepends=True):
                if line.endswith("\n") and (entry := json.loads(line))["method"] == method:
                    return dict(entry)
            time.sleep(0.02)
        raise AssertionError(f"the access log has no call with {method}")


@contextlib.contextmanager
def running_authorizer(port: int) -> Iterator[Authorizer]:
    authorizer = Authorizer()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    method = grpc.unary_unary_rpc_method_handler(authorizer.check)
    service, _, name = CHECK[1:].partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield authorizer
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def running_edge(folder: Path, *, authorizer: bool = True, failure_mode_allow: bool = False) -> Iterator[Edge]:
    ports = claim(Ports(0, 0, 0, 0, 0))
    access_log, config = folder / "access.log", folder / "envoy.json"
    config.write_text(render(configuration(ports, SERVICES, access_log, failure_mode_allow=failure_mode_allow)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(running_upstream(ports.upstream))
        answering = stack.enter_context(running_authorizer(ports.grpc)) if authorizer else Authorizer()
        command = [str(ENVOY), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", *QUICK]
        with (folder / "envoy.log").open("wb") as log:
            envoy = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
        stack.callback(envoy.terminate)
        deadline = time.monotonic() + START_LIMIT_S
        while not accepts(ports.gateway):
            assert envoy.poll() is None, (folder / "envoy.log").read_text()
            assert time.monotonic() < deadline, (folder / "envoy.log").read_text()
            time.sleep(0.05)
        yield Edge(ports.gateway, answering, access_log)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


def extension(service: str) -> bytes:
    """The entry of `context_extensions` as it stands in a serialised CheckRequest."""
    key, value = b"portcullis.service", service.encode()
    return bytes([0x0A, len(key)]) + key + bytes([0x12, len(value)]) + value


@needs_envoy
def test_envoy_takes_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "envoy.json"
    config.write_text(render(configuration(Ports(), SERVICES, tmp_path / "access.log")))
    done = subprocess.run(
        [str(ENVOY), "--mode", "validate", "-c", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()
    assert "warning" not in done.stderr.lower()


def test_the_traps_stay_closed() -> None:
    text = render(configuration(Ports(), SERVICES, Path("access.log")))
    assert '"failure_mode_allow": false' in text
    assert '"encode_raw_headers": true' in text
    assert '"merge_slashes": false' in text
    assert '"admin"' not in text
    assert "0.0.0.0" not in text
    for secret in ("AUTHORIZATION", "COOKIE", "PATH", "DOWNSTREAM_REMOTE"):
        assert secret not in text.replace(":AUTHORITY", "")


@needs_envoy
class TestAnsweredCheck:
    @pytest.mark.parametrize("service", sorted(SERVICES))
    def test_the_route_names_the_service(self, edge: Edge, service: str) -> None:
        status, body, _ = edge.call("GET", "/a", SERVICES[service])
        assert status == 200
        assert f"host: {SERVICES[service]}" in body
        assert extension(service) in edge.authorizer.asked[-1]

    def test_a_client_cannot_name_the_service(self, edge: Edge) -> None:
        edge.call("GET", "/a", ORDERS, (("portcullis.service", "payments"),))
        assert extension("orders") in edge.authorizer.asked[-1]
        assert extension("payments") not in edge.authorizer.asked[-1]

    def test_a_port_in_the_host_meets_the_same_service(self, edge: Edge) -> None:
        status, body, _ = edge.call("GET", "/a", f"{ORDERS}:8080")
        assert (status, f"host: {ORDERS}:8080" in body) == (200, True)
        assert extension("orders") in edge.authorizer.asked[-1]

    @pytest.mark.parametrize("port", ["", ":8080"])
    def test_a_final_dot_is_taken_off_the_host_before_the_check(self, edge: Edge, port: str) -> None:
        status, body, _ = edge.call("GET", "/a", f"{ORDERS}.{port}")
        assert (status, f"host: {ORDERS}{port}" in body.splitlines()) == (200, True)
        assert extension("orders") in edge.authorizer.asked[-1]
        assert f"{ORDERS}.".encode() not in edge.authorizer.asked[-1]

    @pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1", "orders.shop.example.evil.example"])
    def test_a_host_of_no_service_is_asked_about_without_one_and_reaches_nothing(self, edge: Edge, host: str) -> None:
        before = len(edge.authorizer.asked)
        status, _, _ = edge.call("GET", "/a", host)
        assert status == 404
        assert len(edge.authorizer.asked) == before + 1
        assert b"portcullis.service" not in edge.authorizer.asked[-1]

    def test_repeated_headers_and_raw_bytes_arrive_as_they_came(self, edge: Edge) -> None:
        edge.call("GET", "/a", ORDERS, (("x-note", "one"), ("x-note", "two"), ("x-raw", "caf\xe9")))
        asked = edge.authorizer.asked[-1]
        assert asked.count(b"x-note") == 2
        assert b"caf\xe9" in asked

    def test_two_authorization_headers_arrive_joined_for_the_service_to_take_apart(self, edge: Edge) -> None:
        """Measured, Envoy 1.40: it joins this one as it reads it, raw headers or not. Were that to end, look again."""
        edge.call("GET", "/a", ORDERS, (("Authorization", "Bearer one"), ("Authorization", "Bearer two")))
        assert b"Bearer one,Bearer two" in edge.authorizer.asked[-1]

    @pytest.mark.parametrize(
        ("path", "seen"),
        {
            "/a/../b": "/b",
            "/a/./b": "/a/b",
            "/a//b": "/a//b",
            "/a%20b?x=%2F..": "/a%20b?x=%2F..",
            "/a;v=1": "/a;v=1",
        }.items(),
    )
    def test_the_check_and_the_upstream_see_the_same_path(self, edge: Edge, path: str, seen: str) -> None:
        status, body, _ = edge.call("GET", path, ORDERS)
        assert status == 200
        assert body.splitlines()[1] == f"GET {seen}"
        assert seen.encode() in edge.authorizer.asked[-1]

    @pytest.mark.parametrize("path", ["/a%2Fb", "/a%2fb", "/a%5Cb"])
    def test_an_escaped_slash_is_refused_before_the_check(self, edge: Edge, path: str) -> None:
        before = len(edge.authorizer.asked)
        assert edge.call("GET", path, ORDERS)[0] == 400
        assert len(edge.authorizer.asked) == before

    def test_a_header_name_with_an_underscore_is_refused_before_the_check(self, edge: Edge) -> None:
        before = len(edge.authorizer.asked)
        assert edge.call("GET", "/a", ORDERS, (("x_portcullis_decision", "forged"),))[0] == 400
        assert len(edge.authorizer.asked) == before

    def test_forwarding_headers_of_a_client_are_not_believed(self, edge: Edge) -> None:
        _, body, headers = edge.call(
            "GET", "/a", ORDERS, (("x-forwarded-for", "203.0.113.7"), ("x-envoy-internal", "true"))
        )
        assert "x-envoy-internal" not in body
        assert "x-envoy-external-address: 127.0.0.1\n" in body
        assert "x-forwarded-for: 203.0.113.7," in body
        assert not [name for name in headers if name.lower().startswith("x-envoy-")]

    def test_the_access_log_names_the_decision_and_holds_no_path(self, edge: Edge) -> None:
        edge.call("PURGE", "/accounts/secret-account?token=secret", ORDERS, (("Authorization", "Bearer secret"),))
        entry = edge.logged("PURGE")
        assert {"host", "status", "flags", "decision", "rule", "reason"} <= entry.keys()
        assert (entry["host"], entry["status"]) == (ORDERS, 501)
        assert "secret" not in edge.access_log.read_text()


@needs_envoy
def test_without_an_answer_to_the_check_nothing_passes(tmp_path: Path) -> None:
    with running_edge(tmp_path, authorizer=False) as edge:
        for host in (*SERVICES.values(), "elsewhere.example"):
            status, body, _ = edge.call("GET", "/a", host)
            assert status == 503
            assert "the upstream received" not in body


@needs_envoy
def test_the_same_gateway_told_to_fail_open_lets_the_call_through(tmp_path: Path) -> None:
    """What makes the test above able to fail."""
    with running_edge(tmp_path, authorizer=False, failure_mode_allow=True) as edge:
        status, body, _ = edge.call("GET", "/a", ORDERS)
        assert status == 200
        assert "the upstream received" in body
