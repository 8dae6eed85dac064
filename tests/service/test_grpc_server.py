"""The listeners over real gRPC on loopback: whatever comes, and whatever breaks, the answer stands in the message."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pdp.errors import ConfigError
from pdp.gateways import Gateway
from pdp.metrics import Metrics
from pdp.model import Decision, Inquiry
from pdp.transports.check import MARGIN_S, PATIENCE_S
from pdp.transports.grpc_server import GrpcListener, serve_grpc
from pdp.transports.messages import CheckRequest, CheckResponse
from tests.support.deciders import (
    ALLOW,
    ID,
    Behaviour,
    Exiting,
    MemoryDecider,
    allow,
    hang,
    never_give_up,
    raising,
    request,
    returning,
)

CHECK = "/envoy.service.auth.v3.Authorization/Check"
NOW_US = 1_767_225_600_000_000


EDGE = (GrpcListener("127.0.0.1:0", Gateway("edge", None)),)


def running(
    decider: MemoryDecider, listeners: Sequence[GrpcListener] = EDGE, **more: Any
) -> contextlib.AbstractAsyncContextManager[tuple[str, ...]]:
    options: dict[str, Any] = {"ready": lambda: True, "metrics": Metrics(), "acr_values": {}, "grace_s": 0.2}
    return serve_grpc(decider, listeners, clock_us=lambda: NOW_US, **(options | more))


@contextlib.asynccontextmanager
async def channel(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as opened:
        yield opened


async def check(address: str, data: bytes, timeout_s: float | None = 5.0, **more: Any) -> Any:
    """One check; a gRPC status that is not OK raises."""
    async with channel(address) as opened:
        return CheckResponse.FromString(await opened.unary_unary(CHECK)(data, timeout=timeout_s, **more))


def ask(decider: MemoryDecider, data: bytes, timeout_s: float | None = 5.0, **more: Any) -> Any:
    """One check of a server that is started for it."""

    async def once() -> Any:
        async with running(decider) as (address,):
            return await check(address, data, timeout_s, **more)

    return asyncio.run(once())


# ---------------------------------------------------------------- what is asked


def test_an_allow_travels_with_its_id() -> None:
    response = ask(MemoryDecider(), request())
    assert response.status.code == 0
    assert response.ok_response.headers[0].header.value == ID


def test_a_decider_hears_what_was_asked_when_and_how_long_it_may_take() -> None:
    decider = MemoryDecider()
    ask(decider, request("/a?b"), timeout_s=60.0)
    ((inquiry, now_us, budget_s),) = decider.asked
    assert (inquiry.path, inquiry.gateway, now_us) == ("/a?b", "edge", NOW_US)
    assert budget_s is not None
    assert 10.0 < budget_s <= 61.0 - MARGIN_S  # the wire rounds a deadline up


def test_a_caller_without_a_deadline_is_given_one() -> None:
    decider = MemoryDecider()
    assert ask(decider, request(), timeout_s=None).status.code == 0
    budget = decider.asked[0][2]
    assert budget is not None
    assert budget < PATIENCE_S


def test_an_empty_message_is_asked_and_nothing_in_it_is_known() -> None:
    decider = MemoryDecider()
    ask(decider, b"")
    assert (decider.asked[0][0].method, decider.refused) == (None, [])


def test_each_listener_knows_its_gateway_and_services() -> None:
    decider = MemoryDecider()
    listeners = (
        GrpcListener("127.0.0.1:0", Gateway("edge", frozenset({"orders"}))),
        GrpcListener("[::1]:0", Gateway("inner", None)),
    )

    async def both() -> None:
        async with running(decider, listeners) as addresses:
            for address in addresses:
                await check(address, request())

    asyncio.run(both())
    seen = [(inquiry.gateway, inquiry.services) for inquiry, _, _ in decider.asked]
    assert seen == [("edge", frozenset({"orders"})), ("inner", None)]


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 20, b"\x0a\x05ab", b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["noise", "cut_short", "endless_length", "another_protocol"],
)
def test_bytes_that_are_no_message_are_refused_and_recorded(data: bytes) -> None:
    decider = MemoryDecider()
    assert ask(decider, data).status.code == 13
    assert decider.refused == [("request.unreadable", "edge", NOW_US)]


def test_a_name_that_is_not_utf8_is_unreadable() -> None:
    decider = MemoryDecider()
    data = request("/PATH").replace(b"/PATH", b"/\xff\xff\xff\xff")
    assert ask(decider, data).status.code == 13
    assert decider.refused[0][0] == "request.unreadable"


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5_000_000])
def test_a_message_above_the_limit_is_refused_inside_the_message(size: int) -> None:
    decider = MemoryDecider()
    assert ask(decider, b"\x00" * size).status.code == 13
    assert decider.refused == [("request.too_large", "edge", NOW_US)]


def test_the_limit_can_be_raised_where_bodies_are_on() -> None:
    message = CheckRequest()
    message.attributes.request.http.raw_body = b"x" * 2_000_000
    decider = MemoryDecider()

    async def once() -> Any:
        async with running(decider, message_bytes=4_000_000) as (address,):
            return await check(address, message.SerializeToString())

    assert asyncio.run(once()).status.code == 0


def test_metadata_above_the_limit_is_refused_inside_the_message() -> None:
    decider = MemoryDecider()
    assert ask(decider, request(), metadata=[("x-large", "a" * 100_000)]).status.code == 13
    assert decider.refused == [("request.too_large", "edge", NOW_US)]


# ---------------------------------------------------------------- what breaks


BREAKING: dict[str, Behaviour] = {
    "it raises": raising(RuntimeError("broken")),
    "it runs out of memory": raising(MemoryError()),
    "it recurses too deep": raising(RecursionError()),
    "it raises what is no Exception": raising(Exiting()),
    "it exits": raising(SystemExit(0)),
    "it is interrupted": raising(KeyboardInterrupt()),
    "it is cancelled inside": raising(asyncio.CancelledError()),
    "it times out inside": raising(TimeoutError()),
    "it returns nothing": returning(None),
    "it returns something else": returning("allow"),
}


@pytest.mark.parametrize("sentence", BREAKING)
def test_a_decider_that_breaks_is_a_refusal(sentence: str) -> None:
    response = ask(MemoryDecider(BREAKING[sentence]), request())
    assert (response.status.code, response.denied_response.status.code) == (13, 503)


def test_a_decider_that_breaks_on_refusing_is_a_refusal() -> None:
    class Broken(MemoryDecider):
        async def refuse(self, reason: str, gateway: str, now_us: int, budget_s: float | None) -> Decision:
            raise RuntimeError(reason)

    assert ask(Broken(), b"\xff").status.code == 13


def test_a_decider_that_is_no_coroutine_is_a_refusal() -> None:
    class Plain(MemoryDecider):
        def decide(self, inquiry: Inquiry, now_us: int, budget_s: float | None) -> Any:
            raise RuntimeError("at once")

    assert ask(Plain(), request()).status.code == 13


def test_a_server_goes_on_after_a_failure() -> None:
    decider = MemoryDecider(raising(Exiting()))

    async def twice() -> list[int]:
        async with running(decider) as (address,):
            first = await check(address, request())
            decider.behaviour = allow
            return [first.status.code, (await check(address, request())).status.code]

    assert asyncio.run(twice()) == [13, 0]


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("behaviour", [hang, never_give_up], ids=["hangs", "ignores_its_cancellation"])
def test_a_decider_that_overruns_is_answered_inside_the_deadline(behaviour: Behaviour) -> None:
    async def once() -> tuple[Any, float]:
        async with running(MemoryDecider(behaviour)) as (address,), channel(address) as opened:
            await opened.channel_ready()
            began = time.monotonic()
            reply = await opened.unary_unary(CHECK)(request(), timeout=0.1)
            return CheckResponse.FromString(reply), time.monotonic() - began

    response, took_s = asyncio.run(once())
    assert (response.status.code, response.denied_response.status.code) == (13, 503)
    assert took_s > 0.05  # and within 0.1, or the call itself had failed


# ---------------------------------------------------------------- listeners


def test_unknown_methods_are_not_implemented() -> None:
    async def once() -> grpc.StatusCode:
        async with running(MemoryDecider()) as (address,), channel(address) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened.unary_unary("/envoy.service.auth.v2.Authorization/Check")(b"", timeout=5)
            return caught.value.code()

    assert asyncio.run(once()) is grpc.StatusCode.UNIMPLEMENTED


UNUSABLE: dict[str, str] = {
    "every address": "0.0.0.0:0",
    "every IPv6 address": "[::]:0",
    "an address of the network": "192.0.2.1:9191",
    "a name": "localhost:9191",
    "no port": "127.0.0.1",
    "a port that is none": "127.0.0.1:http",
    "a port out of range": "127.0.0.1:65536",
    "another scheme": "dns:127.0.0.1:1",
    "nothing": "",
}


async def start(listeners: Sequence[GrpcListener]) -> None:
    async with running(MemoryDecider(), listeners):
        pytest.fail("it was accepted")


@pytest.mark.parametrize("sentence", UNUSABLE)
def test_only_addresses_of_this_host_are_accepted(sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asyncio.run(start([GrpcListener(UNUSABLE[sentence], Gateway("edge", None))]))
    assert caught.value.code == "N201"
    assert "gateway edge" in caught.value.detail


def test_a_port_in_use_names_the_port_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            asyncio.run(start([GrpcListener(address, Gateway("edge", None))]))
    assert caught.value.code == "N202"
    assert address in caught.value.detail
    assert "change the address" in caught.value.detail


def test_a_port_of_another_listener_of_ours_is_in_use_too() -> None:
    async def twice() -> None:
        async with running(MemoryDecider()) as (address,):
            await start([GrpcListener(address, Gateway("inner", None))])

    with pytest.raises(ConfigError):
        asyncio.run(twice())


def test_one_address_that_is_not_accepted_leaves_none_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listeners = [
        GrpcListener(f"127.0.0.1:{port}", Gateway("edge", None)),
        GrpcListener("0.0.0.0:0", Gateway("inner", None)),
    ]
    with pytest.raises(ConfigError) as caught:
        asyncio.run(start(listeners))
    assert caught.value.code == "N201"
    socket.create_server(("127.0.0.1", port)).close()


def unix(path: Path) -> list[GrpcListener]:
    return [GrpcListener(f"unix:{path}", Gateway("edge", None))]


def test_a_unix_socket_is_served_and_its_stale_file_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def once() -> Any:
        async with running(MemoryDecider(), unix(path)) as (address,):
            assert address == f"unix:{path}"
            return await check(address, request())

    assert asyncio.run(once()).status.code == 0


def test_a_unix_socket_in_use_is_left_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        owner.listen()
        with pytest.raises(ConfigError) as caught:
            asyncio.run(start(unix(path)))
        assert caught.value.code == "N202"
        assert path.is_socket()


def test_a_file_in_the_place_of_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError):
        asyncio.run(start(unix(path)))
    assert path.read_text() == "precious"


def test_a_unix_socket_in_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        asyncio.run(start(unix(tmp_path / "none" / "pdp.sock")))


# ---------------------------------------------------------------- health and reflection


def cannot_say() -> bool:
    raise RuntimeError("the log is gone")


SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

HEALTH: dict[str, tuple[Callable[[], bool], str, int]] = {
    "ready, asked of all": (lambda: True, "", SERVING),
    "ready, asked of the service": (lambda: True, "envoy.service.auth.v3.Authorization", SERVING),
    "not ready": (lambda: False, "", NOT_SERVING),
    "a check that fails": (cannot_say, "", NOT_SERVING),
}


async def health(address: str, service: str) -> int:
    async with channel(address) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)


@pytest.mark.parametrize("sentence", HEALTH)
def test_health(sentence: str) -> None:
    ready, service, status = HEALTH[sentence]

    async def once() -> int:
        async with running(MemoryDecider(), ready=ready) as (address,):
            return await health(address, service)

    assert asyncio.run(once()) == status


def test_health_of_an_unknown_service_is_not_found() -> None:
    async def once() -> grpc.StatusCode:
        async with running(MemoryDecider()) as (address,):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health(address, "other")
            return caught.value.code()

    assert asyncio.run(once()) is grpc.StatusCode.NOT_FOUND


async def reflect(address: str, **wanted: str) -> Any:
    async with channel(address) as opened:
        stub = reflection_pb2_grpc.ServerReflectionStub(opened)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**wanted)]), timeout=5)
        return await anext(aiter(call))


def test_reflection_shows_our_own_descriptors() -> None:
    async def once() -> tuple[Any, Any]:
        async with running(MemoryDecider()) as (address,):
            names = await reflect(address, list_services="")
            files = await reflect(address, file_containing_symbol="envoy.service.auth.v3.Authorization")
            return names, files

    names, files = asyncio.run(once())
    services = {service.name for service in names.list_services_response.service}
    assert {"envoy.service.auth.v3.Authorization", "grpc.health.v1.Health"} <= services
    found = [FileDescriptorProto.FromString(data) for data in files.file_descriptor_response.file_descriptor_proto]
    assert "envoy/service/auth/v3/external_auth.proto" in {file.name for file in found}
    assert "google/protobuf/struct.proto" in {file.name for file in found}


def test_reflection_can_be_off() -> None:
    async def once() -> grpc.StatusCode:
        async with running(MemoryDecider(), reflection=False) as (address,):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reflect(address, list_services="")
            return caught.value.code()

    assert asyncio.run(once()) is grpc.StatusCode.UNIMPLEMENTED


# ---------------------------------------------------------------- ending


async def reply_at_the_end(behaviour: Behaviour, grace_s: float) -> Any:
    """The reply to a call that is under way when its server ends."""
    began = asyncio.Event()

    async def behave() -> Decision:
        began.set()
        return await behaviour()

    async with contextlib.AsyncExitStack() as stack:
        (address,) = await stack.enter_async_context(running(MemoryDecider(behave), grace_s=grace_s))
        async with channel(address) as opened:
            call = opened.unary_unary(CHECK)(request(), timeout=10)
            await began.wait()
            await stack.aclose()
            return CheckResponse.FromString(await call)


async def soon() -> Decision:
    await asyncio.sleep(0.1)
    return ALLOW


def test_calls_under_way_are_answered_at_the_end() -> None:
    assert asyncio.run(reply_at_the_end(soon, grace_s=5.0)).status.code == 0


def test_a_call_that_outlasts_the_grace_is_refused_and_not_cut_off() -> None:
    assert asyncio.run(reply_at_the_end(hang, grace_s=0.5)).status.code == 13


def test_the_port_is_free_again_afterwards() -> None:
    async def once(address: str) -> str:
        async with running(MemoryDecider(), [GrpcListener(address, Gateway("edge", None))]) as (bound,):
            assert (await check(bound, request())).status.code == 0
            return bound

    assert asyncio.run(once(asyncio.run(once("127.0.0.1:0"))))
