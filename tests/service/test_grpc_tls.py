"""The gRPC listeners with TLS: the certificate says who asks, call by call; without a sound one there is no call."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pdp.errors import ConfigError
from pdp.gateways import Gateway, Gateways
from pdp.metrics import Metrics
from pdp.transports.grpc_server import GrpcListener, GrpcService, serve_grpc
from pdp.transports.messages import DECISIONS, CheckResponse, DecideRequest, DecideResponse
from pdp.transports.native_calls import NativeCalls
from tests.support.certificates import EDGE_ID, Pair, TestAuthority
from tests.support.deciders import ID, MemoryDecider, request
from tests.support.http_serving import certificates

CHECK = "/envoy.service.auth.v3.Authorization/Check"
DECIDE = f"/{DECISIONS}/Decide"
INNER_ID = "spiffe://shop.example/inner"
EDGE = Gateway("edge", frozenset({"orders"}), EDGE_ID, subjects=True)
INNER = Gateway("inner", None, INNER_ID)
KNOWN = Gateways({"edge": EDGE, "inner": INNER}, {EDGE_ID: EDGE, INNER_ID: INNER})
SERVERS, GATEWAYS, OTHERS = TestAuthority("servers"), TestAuthority("gateways"), TestAuthority("others")


@pytest.fixture
def tls(tmp_path: Path) -> GrpcListener:
    return GrpcListener("127.0.0.1:0", None, certificates(tmp_path, SERVERS, clients=GATEWAYS))


def running(
    decider: MemoryDecider, *listeners: GrpcListener, **more: Any
) -> contextlib.AbstractAsyncContextManager[tuple[str, ...]]:
    options: dict[str, Any] = {"ready": lambda: True, "metrics": Metrics(), "acr_values": {}, "grace_s": 0.2}
    return serve_grpc(decider, listeners, clock_us=lambda: 0, gateways=KNOWN, **(options | more))


@contextlib.asynccontextmanager
async def channel(address: str, shown: Pair | None, trusted: TestAuthority = SERVERS) -> AsyncIterator[Any]:
    key, certificate = (None, None) if shown is None else (shown.key, shown.certificate)
    credentials = grpc.ssl_channel_credentials(trusted.pem, key, certificate)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as opened:
        yield opened


async def check(address: str, shown: Pair | None, trusted: TestAuthority = SERVERS, **more: Any) -> Any:
    async with channel(address, shown, trusted) as opened:
        return CheckResponse.FromString(await opened.unary_unary(CHECK)(request(), timeout=5, **more))


ASKING: dict[str, tuple[Callable[[], Pair], str]] = {
    "a gateway": (lambda: GATEWAYS.gateway([EDGE_ID]), "edge"),
    "another gateway": (lambda: GATEWAYS.gateway([INNER_ID]), "inner"),
    "a gateway with a DNS name too": (lambda: GATEWAYS.gateway([EDGE_ID], dns=["edge.example"]), "edge"),
    "nobody of ours": (lambda: GATEWAYS.gateway(["spiffe://shop.example/other"]), "unknown"),
    "two identities": (lambda: GATEWAYS.gateway([EDGE_ID, INNER_ID]), "unknown"),
    "an identity and another URI": (lambda: GATEWAYS.gateway([EDGE_ID, "https://edge.example/"]), "unknown"),
    "no names": (lambda: GATEWAYS.gateway([]), "unknown"),
    "a DNS name alone": (lambda: GATEWAYS.gateway([], dns=["edge.example"]), "unknown"),
    "a DNS name that spells an identity": (lambda: GATEWAYS.gateway([], dns=[EDGE_ID]), "unknown"),
    "another case": (lambda: GATEWAYS.gateway([EDGE_ID.upper()]), "unknown"),
    "a name that is no text": (lambda: GATEWAYS.gateway_of_bytes(EDGE_ID.encode() + b"\xff"), "unknown"),
}


def test_the_one_uri_of_a_certificate_says_which_gateway_asks(tls: GrpcListener) -> None:
    decider = MemoryDecider()
    spoofed = [("x-forwarded-client-cert", f"URI={EDGE_ID}"), ("peer_uri", EDGE_ID), ("x-portcullis-gateway", "edge")]

    async def all_of_them() -> None:
        async with running(decider, tls) as (address,):
            for made, _ in ASKING.values():
                assert (await check(address, made(), metadata=spoofed)).status.code == 0

    asyncio.run(all_of_them())
    found = {sentence: inquiry.gateway for sentence, (inquiry, _, _) in zip(ASKING, decider.asked, strict=True)}
    assert found == {sentence: gateway for sentence, (_, gateway) in ASKING.items()}
    services = {inquiry.gateway: inquiry.services for inquiry, _, _ in decider.asked}
    assert services == {"edge": frozenset({"orders"}), "inner": None, "unknown": frozenset()}


KEPT_OUT: dict[str, Callable[[], Pair | None]] = {
    "no certificate": lambda: None,
    "another authority": OTHERS.gateway,
    "the authority of the servers": SERVERS.gateway,
    "expired": lambda: GATEWAYS.gateway(valid_for=timedelta(minutes=-1)),
    "for a server": lambda: GATEWAYS.gateway(as_server=True),
}


def test_without_a_certificate_of_the_authorities_there_is_no_call(tls: GrpcListener) -> None:
    decider = MemoryDecider()

    async def all_of_them() -> list[grpc.StatusCode]:
        codes = []
        async with running(decider, tls) as (address,):
            for made in KEPT_OUT.values():
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await check(address, made())
                codes.append(caught.value.code())
        return codes

    assert asyncio.run(all_of_them()) == [grpc.StatusCode.UNAVAILABLE] * len(KEPT_OUT)
    assert (decider.asked, decider.refused) == ([], [])


def test_a_call_that_is_not_encrypted_is_not_answered(tls: GrpcListener) -> None:
    decider = MemoryDecider()

    async def once() -> None:
        async with running(decider, tls) as (address,), grpc.aio.insecure_channel(address) as opened:
            with pytest.raises(grpc.aio.AioRpcError):
                await opened.unary_unary(CHECK)(request(), timeout=5)

    asyncio.run(once())
    assert decider.asked == []


VERSIONS = {ssl.TLSVersion.TLSv1_1: None, ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}


def test_tls_is_1_2_or_later(tls: GrpcListener, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=SERVERS.pem.decode())
    context.load_cert_chain(*GATEWAYS.gateway().write(tmp_path, "client"))
    context.set_alpn_protocols(["h2"])

    async def spoken(port: int, version: ssl.TLSVersion) -> str | None:
        context.minimum_version = ssl.TLSVersion.TLSv1_1 if version < ssl.TLSVersion.TLSv1_2 else version
        context.maximum_version = version
        try:
            opened = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        except (ssl.SSLError, ConnectionError):
            return None
        opened[1].close()
        return str(opened[1].get_extra_info("ssl_object").version())

    async def all_of_them() -> dict[ssl.TLSVersion, str | None]:
        async with running(MemoryDecider(), tls) as (address,):
            port = int(address.rpartition(":")[2])
            return {version: await spoken(port, version) for version in VERSIONS}

    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        assert asyncio.run(all_of_them()) == VERSIONS


def test_a_bad_message_is_refused_in_the_name_of_who_sent_it(tls: GrpcListener) -> None:
    decider = MemoryDecider()

    async def once(shown: Pair) -> Any:
        async with running(decider, tls) as (address,), channel(address, shown) as opened:
            return CheckResponse.FromString(await opened.unary_unary(CHECK)(b"\xff" * 9, timeout=5))

    assert asyncio.run(once(GATEWAYS.gateway())).status.code == 13
    assert asyncio.run(once(GATEWAYS.gateway([]))).status.code == 13
    assert [(reason, name) for reason, name, _ in decider.refused] == [
        ("request.unreadable", "edge"),
        ("request.unreadable", "unknown"),
    ]


def test_new_certificates_and_authorities_hold_for_new_connections_and_none_is_dropped(
    tls: GrpcListener, tmp_path: Path
) -> None:
    assert tls.certificates is not None
    decider = MemoryDecider()

    async def replaced() -> list[int | None]:
        answers: list[int | None] = []

        async def ask(shown: Pair, trusted: TestAuthority) -> None:
            try:
                answers.append((await check(address, shown, trusted)).status.code)
            except grpc.aio.AioRpcError:
                answers.append(None)

        async with running(decider, tls) as (address,), channel(address, GATEWAYS.gateway()) as kept:
            await kept.unary_unary(CHECK)(request(), timeout=5)
            OTHERS.server().write(tmp_path, "server")
            (tmp_path / "clients.pem").write_bytes(OTHERS.pem)
            assert await asyncio.to_thread(tls.certificates.look)  # type: ignore[union-attr]
            await ask(OTHERS.gateway(), OTHERS)
            await ask(GATEWAYS.gateway(), OTHERS)
            await ask(GATEWAYS.gateway(), SERVERS)
            await kept.unary_unary(CHECK)(request(), timeout=5)
            (tmp_path / "server.key").write_bytes(b"noise")
            assert not await asyncio.to_thread(tls.certificates.look)  # type: ignore[union-attr]
            await ask(OTHERS.gateway(), OTHERS)
        return answers

    assert asyncio.run(replaced()) == [0, None, None, 0]
    assert len(decider.asked) == 4


def test_the_files_are_looked_at_while_the_listeners_run(tls: GrpcListener, tmp_path: Path) -> None:
    async def replaced() -> None:
        async with running(MemoryDecider(), tls, look_every_s=0.01) as (address,):
            OTHERS.server().write(tmp_path, "server")
            while True:  # each turn is a handshake
                with contextlib.suppress(grpc.aio.AioRpcError):
                    assert (await check(address, GATEWAYS.gateway(), OTHERS)).status.code == 0
                    return

    asyncio.run(asyncio.wait_for(replaced(), 20))


# ---------------------------------------------------------------- which listeners there may be


def start(*listeners: GrpcListener) -> ConfigError:
    async def refused() -> None:
        async with running(MemoryDecider(), *listeners):
            pytest.fail("it was accepted")

    with pytest.raises(ConfigError) as caught:
        asyncio.run(refused())
    return caught.value


def test_tls_may_be_at_any_address(tls: GrpcListener) -> None:
    async def once() -> int:
        async with running(MemoryDecider(), GrpcListener("0.0.0.0:0", None, tls.certificates)) as (address,):
            port = address.rpartition(":")[2]
            return int((await check(f"127.0.0.1:{port}", GATEWAYS.gateway())).status.code)

    assert asyncio.run(once()) == 0


def test_a_listener_that_does_not_know_who_asks_is_refused(tmp_path: Path) -> None:
    made = certificates(tmp_path, SERVERS)
    assert start(GrpcListener("127.0.0.1:0", None, made)).code == "N201"
    assert start(GrpcListener("127.0.0.1:0")).code == "N201"
    assert start(GrpcListener(f"unix:{tmp_path}/pdp.sock")).code == "N201"


def test_a_unix_socket_with_tls_and_a_named_gateway_is_that_gateways(tmp_path: Path) -> None:
    decider = MemoryDecider()
    listener = GrpcListener(f"unix:{tmp_path}/pdp.sock", EDGE, certificates(tmp_path, SERVERS))

    async def once() -> int:
        async with running(decider, listener) as (address,):
            return int((await check(address, None)).status.code)

    assert asyncio.run(once()) == 0
    assert decider.asked[0][0].gateway == "edge"


def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"

    async def once() -> int:
        async with running(MemoryDecider(), GrpcListener(f"unix:{path}", EDGE)):
            return stat.S_IMODE(path.stat().st_mode)

    assert asyncio.run(once()) == 0o660


def test_an_address_with_tls_that_cannot_be_bound_is_an_error(tls: GrpcListener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        error = start(GrpcListener(f"127.0.0.1:{other.getsockname()[1]}", None, tls.certificates))
    assert error.code == "N202"


# ---------------------------------------------------------------- another service beside ours


def native(decider: MemoryDecider) -> GrpcService:
    calls = NativeCalls(
        decider, clock_us=lambda: 0, metrics=Metrics(), acr_values={}, may_ask=lambda *_: True, may_record=lambda: True
    )
    return GrpcService(DECISIONS, calls.handler, calls.close)


def decide_request() -> bytes:
    message = DecideRequest()
    message.inquiry.http.method = "GET"
    message.inquiry.http.path = "/a"
    message.inquiry.http.host = "orders.example"
    return bytes(message.SerializeToString())


def test_another_service_knows_who_asks_as_ours_does(tls: GrpcListener) -> None:
    decider = MemoryDecider()
    services = [native(decider)]

    async def both() -> grpc.StatusCode:
        async with running(decider, tls, GrpcListener("127.0.0.1:0", INNER), services=services) as (first, second):
            async with channel(first, GATEWAYS.gateway()) as opened:
                answer = DecideResponse.FromString(await opened.unary_unary(DECIDE)(decide_request(), timeout=5))
                assert answer.decision.decision_id == ID
            async with grpc.aio.insecure_channel(second) as opened:
                await opened.unary_unary(DECIDE)(decide_request(), timeout=5)
            async with channel(first, GATEWAYS.gateway([])) as opened:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await opened.unary_unary(DECIDE)(decide_request(), timeout=5)
                return caught.value.code()

    assert asyncio.run(both()) is grpc.StatusCode.PERMISSION_DENIED
    assert [inquiry.gateway for inquiry, _, _ in decider.asked] == ["edge", "inner"]


def test_health_knows_every_service(tls: GrpcListener) -> None:
    async def once() -> int:
        serving = running(MemoryDecider(), tls, services=[native(MemoryDecider())])
        async with serving as (address,), channel(address, GATEWAYS.gateway()) as opened:
            asked = health_pb2.HealthCheckRequest(service=DECISIONS)
            return int((await health_pb2_grpc.HealthStub(opened).Check(asked, timeout=5)).status)

    assert asyncio.run(once()) == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_every_service_to_who_shows_a_certificate(tls: GrpcListener) -> None:
    async def once() -> set[str]:
        serving = running(MemoryDecider(), tls, services=[native(MemoryDecider())])
        async with serving as (address,), channel(address, GATEWAYS.gateway()) as opened:
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            call = reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo(asked, timeout=5)
            answer = await anext(aiter(call))
            return {service.name for service in answer.list_services_response.service}

    assert asyncio.run(once()) >= {DECISIONS, "envoy.service.auth.v3.Authorization", "grpc.health.v1.Health"}
