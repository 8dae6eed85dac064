"""One running service with everything before and behind it that the decision cases need (tests/support/paths.py).

Envoy and nginx are real, stand in front of recording upstreams, and have the files that `pdp new --gateway` writes.
Envoy has a second listener besides, made of the shipped one as whoever needs more of it would change it: it looks at
certificates, takes readings from headers of the tests, verifies tokens and sends bodies along.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from msgspec import Struct

from pdp.audit.leaf import parse
from pdp.audit.reader import find
from pdp.cli import main
from pdp.gateway_files.envoy import FILTER_NAME
from pdp.model import Json
from pdp.transports.check_attributes import SIGNALS, VERIFIED
from tests.support.asking import CLAIMS
from tests.support.cases import EDGE, POLICY, issuers
from tests.support.certificates import TestAuthority
from tests.support.gateways import binary, running
from tests.support.ports import free_port
from tests.support.process import ServedPdp
from tests.support.raw_server import RawServer

KEY = "a-key-for-the-application-of-the-cases-of-43"
READING, VERIFY = "x-test-reading", "x-test-verify"
BUFFER = 16
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"

PROGRAMS: Mapping[str, Path | None] = {
    "envoy": binary("PORTCULLIS_ENVOY", "envoy"),
    "nginx": binary("PORTCULLIS_NGINX", "nginx"),
}
"""The gateways; None where there is none for this platform."""

CONFIG = f"""[[gateways]]
name = "app"
subjects = true
signals = true
keys_sha256 = ["{hashlib.sha256(KEY.encode()).hexdigest()}"]
"""
EDGE_TABLE = f'identity = "{EDGE}"\nsignals = true\nsubjects = true\npeers = true\nverified_claims = "{CLAIMS}"'


class GrpcUpstream:
    """A gRPC server that keeps method and metadata of every call, and answers none of them."""

    def __init__(self) -> None:
        self.received: list[tuple[str, list[tuple[str, str]]]] = []
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        self.port = int(self._server.add_insecure_port("127.0.0.1:0"))

    def service(self, details: grpc.HandlerCallDetails) -> None:
        pairs = [(name, str(value)) for name, value in details.invocation_metadata]
        self.received.append((details.method, pairs))

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()


class Served(Struct, frozen=True):
    """The service, the ports of what stands before it, and what stands behind that."""

    pdp: ServedPdp
    ports: Mapping[str, int]
    informed: int
    authority: TestAuthority
    upstream: RawServer
    grpc_upstream: GrpcUpstream
    folder: Path

    def record(self, id_: str) -> dict[str, Json]:
        """The clear fields of a record."""
        found = find(self.pdp.state / "log", self.pdp.state / "wal", id_)
        assert found is not None, id_
        return dict(parse(found.leaf).clear)

    def passed(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """What reached an upstream since the last time: method, target, headers."""
        whole = [(each.method.decode(), each.target.decode(), list(each.headers)) for each in self.upstream.taken()]
        calls = [("POST", method, headers) for method, headers in self.grpc_upstream.received]
        self.grpc_upstream.received.clear()
        return whole + calls


@contextlib.contextmanager
def serving(folder: Path, listener: str = "grpcio") -> Iterator[Served]:
    """The service with everything before and behind it; `listener` speaks the wire for it."""
    pdp = ServedPdp(folder, POLICY, list(issuers()), extra=CONFIG, gateway=EDGE_TABLE)
    pdp.listener = listener
    authority, grpc_upstream = TestAuthority(), GrpcUpstream()
    ports, informed = {kind: free_port() for kind in PROGRAMS}, free_port()
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(RawServer())
        stack.callback(grpc_upstream.stop)
        grpc_upstream.start()
        _new(folder, "envoy", ports["envoy"], pdp.grpc_port, upstream.port)
        _new(folder, "nginx", ports["nginx"], free_port(), upstream.port)
        with pdp.config.open("a") as config:
            config.write("\n" + (folder / "nginx" / "gateway.toml").read_text())
        _change(folder / "envoy", informed, grpc_upstream.port, authority)
        stack.callback(pdp.kill)
        pdp.start()
        for kind, port in ports.items():
            if PROGRAMS[kind] is not None:
                stack.enter_context(running(_command(kind, folder / kind), port, folder / kind))
        yield Served(pdp, ports, informed, authority, upstream, grpc_upstream, folder)


def _new(folder: Path, kind: str, listen: int, asked: int, upstream: int) -> None:
    """The files of a gateway, as the command writes them."""
    places = [f"--listen=127.0.0.1:{listen}", f"--pdp=127.0.0.1:{asked}", f"--upstream=127.0.0.1:{upstream}"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(["new", str(folder / kind), "--gateway", kind, f"--policies={POLICY}", f"--name={kind}", *places])


def _command(kind: str, folder: Path) -> list[str]:
    program = str(PROGRAMS[kind])
    if kind == "envoy":
        return [program, "-c", "envoy.json", "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
    as_root = "user root;" if os.geteuid() == 0 else ""
    return [program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log", "-g", f"daemon off; {as_root}"]


# ---------------------------------------------------------------- Envoy


def _change(folder: Path, informed: int, grpc_upstream: int, authority: TestAuthority) -> None:
    """Calls over gRPC go to an upstream of their own, and there is a second listener, which asks and says more."""
    file = folder / "envoy.json"
    value = json.loads(file.read_text())
    resources = value["static_resources"]
    (cluster,) = (each for each in resources["clusters"] if each["name"] == "desk (gRPC)")
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"]["port_value"] = grpc_upstream
    (shipped,) = resources["listeners"]
    _check(shipped)["grpc_service"]["timeout"] = "5s"  # a busy machine is none of the cases
    listener = copy.deepcopy(shipped)
    listener["name"], listener["address"]["socket_address"]["port_value"] = "informed", informed
    (chain,) = listener["filter_chains"]
    chain["transport_socket"] = _tls(authority)
    manager, check = chain["filters"][0]["typed_config"], _check(listener)
    check["metadata_context_namespaces"] = [SIGNALS, VERIFIED]
    check["with_request_body"] = {"max_request_bytes": BUFFER, "allow_partial_message": True, "pack_as_bytes": True}
    manager["http_filters"][:0] = [_readings(), _verifying()]
    resources["listeners"].append(listener)
    file.write_text(json.dumps(value))


def _check(listener: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a listener's check."""
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    found: dict[str, Any] = next(each for each in filters if each["name"] == FILTER_NAME)["typed_config"]
    return found


def _tls(authority: TestAuthority) -> dict[str, Any]:
    """A certificate of a client is looked at where there is one."""
    pair = authority.server()
    own = {
        "certificate_chain": {"inline_string": pair.certificate.decode()},
        "private_key": {"inline_string": pair.key.decode()},
    }
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [own],
            "validation_context": {"trusted_ca": {"inline_string": authority.pem.decode()}},
        },
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _readings() -> dict[str, Any]:
    """Readings out of headers: `x-test-reading-risk-number`, `x-test-reading-risk-string`."""
    rules = [
        {
            "header": f"{READING}-risk-{type_.lower()}",
            "on_header_present": {"metadata_namespace": SIGNALS, "key": "risk", "type": type_},
            "remove": True,
        }
        for type_ in ("NUMBER", "STRING")
    ]
    config = {"@type": f"{FILTERS}.header_to_metadata.v3.Config", "request_rules": rules}
    return {"name": "envoy.filters.http.header_to_metadata", "typed_config": config}


def _verifying() -> dict[str, Any]:
    """Tokens of the first issuer are verified here and taken away, where a header of the tests asks for that."""
    issuer = issuers()[0]
    users = {
        "issuer": issuer.url,
        "local_jwks": {"inline_string": json.dumps(issuer.key_set())},
        "payload_in_metadata": CLAIMS,
        "forward": False,
    }
    asked = {"prefix": "/", "headers": [{"name": VERIFY, "present_match": True}]}
    config = {
        "@type": f"{FILTERS}.jwt_authn.v3.JwtAuthentication",
        "providers": {"users": users},
        "rules": [{"match": asked, "requires": {"provider_name": "users"}}],
    }
    return {"name": VERIFIED, "typed_config": config}
