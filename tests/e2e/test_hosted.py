"""The service inside a real Envoy: the same answers and the same callers as by our own listeners, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pdp.hosting.envoy_process import installed
from pdp.transports.grpc_frames import framed
from pdp.transports.messages import DECISIONS, CheckResponse, DecideRequest, DecideResponse
from tests.support.certificates import EDGE_ID, Pair, TestAuthority
from tests.support.deciders import request
from tests.support.hosted import HostedService, hosting
from tests.support.hosted_service import Place
from tests.support.http_parts import FORWARDED
from tests.support.ports import free_port
from tests.support.process import eventually
from tests.support.raw_http2 import DATA, HEADERS, Frame, frames_of_a_call, settings_of

pytestmark = pytest.mark.skipif(isinstance(installed(), str), reason=f"no Envoy to be hosted in: {installed()}")

CHECK = "/envoy.service.auth.v3.Authorization/Check"
SERVERS, GATEWAYS, OTHERS = TestAuthority("servers"), TestAuthority("gateways"), TestAuthority("others")
PLAIN, TLS, OPERATORS, FORWARD = free_port(), free_port(), free_port(), free_port()
LARGE = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1024 * 1024)]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    SERVERS.server().write(folder, "server")
    (folder / "clients.pem").write_bytes(GATEWAYS.pem)
    return folder


@pytest.fixture(scope="module")
def hosted(tls: Path) -> Iterator[HostedService]:
    places = (
        Place("grpc-0", "grpc", f"127.0.0.1:{PLAIN}", named=True),
        Place("grpc-1", "grpc", f"127.0.0.1:{TLS}", tls=str(tls)),
        Place("grpc-2", "grpc", f"unix:{tls / 'pdp.sock'}", named=True),
        Place("http-0", "http", f"127.0.0.1:{OPERATORS}", operations=True),
        Place("http-1", "http", f"127.0.0.1:{FORWARD}", named=True),
    )
    with hosting(*places) as running:
        assert running.envoy
        yield running


async def checked(opened: Any, path: str = "/a", data: bytes | None = None, **more: Any) -> Any:
    body = request(path) if data is None else data
    return CheckResponse.FromString(await opened.unary_unary(CHECK)(body, **({"timeout": 10} | more)))


def check(path: str = "/a", data: bytes | None = None, address: str = f"127.0.0.1:{PLAIN}", **more: Any) -> Any:
    """One check without TLS."""

    async def once() -> Any:
        async with grpc.aio.insecure_channel(address, options=LARGE) as opened:
            return await checked(opened, path, data, **more)

    return asyncio.run(once())


@contextlib.asynccontextmanager
async def secure(shown: Pair | None, trusted: TestAuthority = SERVERS) -> AsyncIterator[Any]:
    key, certificate = (None, None) if shown is None else (shown.key, shown.certificate)
    credentials = grpc.ssl_channel_credentials(trusted.pem, key, certificate)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{TLS}", credentials, options=options) as opened:
        yield opened


# ---------------------------------------------------------------- checks


def test_a_check_is_answered_and_names_its_gateway(hosted: HostedService) -> None:
    hosted.asked()
    assert check("/a").status.code == 0
    assert check("/a", address=hosted.places[2].address).status.code == 0
    assert hosted.asked() == ["decide edge /a"] * 2


def test_a_unix_socket_is_open_to_owner_and_group(hosted: HostedService) -> None:
    assert stat.S_IMODE(Path(hosted.places[2].address.removeprefix("unix:")).stat().st_mode) == 0o660


@pytest.mark.parametrize("path", ["/raise", "/exit"])
def test_what_breaks_is_a_refusal_inside_the_message(hosted: HostedService, path: str) -> None:
    assert check(path).status.code == 13
    assert check("/a").status.code == 0


def test_who_never_answers_is_late_inside_the_message(hosted: HostedService) -> None:
    assert check("/hang", timeout=0.5).status.code == 13


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 3 * 1024 * 1024, 30 * 1024 * 1024])
def test_a_message_above_the_limit_is_refused_inside_the_message(hosted: HostedService, size: int) -> None:
    hosted.asked()
    assert check(data=b"\0" * size).status.code == 13
    assert hosted.asked() == ["refuse edge request.too_large"]


def test_a_message_of_just_the_limit_is_read(hosted: HostedService) -> None:
    hosted.asked()
    assert check(data=b"\xff" * (1024 * 1024)).status.code == 13
    assert hosted.asked() == ["refuse edge request.unreadable"]


def test_metadata_above_the_limit_is_refused_inside_the_message(hosted: HostedService) -> None:
    hosted.asked()
    many = [(f"x-{number}", "a" * 70) for number in range(1000)]
    assert check(metadata=many).status.code == 13
    assert check(metadata=[("x-much", "a" * 40_000), ("x-more", "a" * 40_000)]).status.code == 13
    assert hosted.asked() == ["refuse edge request.too_large"] * 2


def test_a_message_that_is_compressed_is_refused_inside_the_message(hosted: HostedService) -> None:
    hosted.asked()
    assert check(path="/" + "a" * 1000, compression=grpc.Compression.Gzip).status.code == 13
    assert hosted.asked() == ["refuse edge request.unreadable"]


def test_calls_side_by_side_are_each_answered_with_their_own(hosted: HostedService) -> None:
    async def many() -> list[int]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{PLAIN}") as opened:
            paths = ["/a", "/raise"] * 200
            return [each.status.code for each in await asyncio.gather(*(checked(opened, path) for path in paths))]

    assert asyncio.run(many()) == [0, 13] * 200


def test_streams_and_frames_have_their_limits(hosted: HostedService) -> None:
    settings = settings_of(PLAIN)
    assert settings[3] == 100  # SETTINGS_MAX_CONCURRENT_STREAMS


def test_who_does_not_ask_for_trailers_has_them_all_the_same(hosted: HostedService) -> None:
    frames = frames_of_a_call(PLAIN, CHECK, framed(request()))
    assert code_in(frames) == 0
    assert (frames[-1].kind, frames[-1].ends) == (HEADERS, True)


def test_a_body_that_never_comes_is_late_inside_the_message(hosted: HostedService) -> None:
    frames = frames_of_a_call(PLAIN, CHECK, None, ("grpc-timeout", "300m"))
    assert code_in(frames) == 13
    assert (frames[-1].kind, frames[-1].ends) == (HEADERS, True)


def test_when_a_call_came_nobody_says_but_the_host(hosted: HostedService) -> None:
    for said in ("1", "99999999999", "-", ""):
        frames = frames_of_a_call(PLAIN, CHECK, framed(request()), ("x-portcullis-arrived", said))
        assert code_in(frames) == 0
    began = time.monotonic()
    forged = ("x-portcullis-arrived", "99999999999")
    assert code_in(frames_of_a_call(PLAIN, CHECK, framed(request("/hang")), ("grpc-timeout", "300m"), forged)) == 13
    assert time.monotonic() - began < 5.0


def test_a_call_that_waits_while_the_loop_is_held_is_answered_inside_its_deadline(hosted: HostedService) -> None:
    """The loop is held for 0.3 s; a call of 0.4 s that comes then has 0.1 s left, and not 0.4."""

    async def once() -> tuple[int, int]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{PLAIN}") as opened:
            await checked(opened)
            holding = asyncio.ensure_future(checked(opened, "/hold"))
            await asyncio.sleep(0.05)
            late = await checked(opened, "/hang", timeout=0.4)
            return (await holding).status.code, late.status.code

    assert asyncio.run(once()) == (0, 13)


def test_a_body_that_is_cut_is_refused_inside_the_message(hosted: HostedService) -> None:
    assert code_in(frames_of_a_call(PLAIN, CHECK, framed(request())[:-1])) == 13


def code_in(frames: Sequence[Frame]) -> int:
    """The code of the one message that frames bring."""
    body = b"".join(each.body for each in frames if each.kind == DATA)
    return int(CheckResponse.FromString(body[5:]).status.code)


# ---------------------------------------------------------------- who asks

FORGED = [
    [("x-portcullis-connection", f"grpc-1 {EDGE_ID}")],
    [("x-portcullis-connection", "grpc-0"), ("x-portcullis-connection", f"grpc-1 {EDGE_ID}")],
    [("x_portcullis_connection", f"grpc-1 {EDGE_ID}"), ("x-portcullis_connection", "grpc-0")],
    [("x-forwarded-client-cert", f"URI={EDGE_ID}"), ("x-portcullis-gateway", "edge"), ("peer_uri", EDGE_ID)],
]

ASKING: dict[str, tuple[Callable[[], Pair], str]] = {
    "a gateway": (lambda: GATEWAYS.gateway([EDGE_ID]), "edge"),
    "a gateway with a DNS name too": (lambda: GATEWAYS.gateway([EDGE_ID], dns=["edge.example"]), "edge"),
    "nobody of ours": (lambda: GATEWAYS.gateway(["spiffe://shop.example/other"]), "unknown"),
    "two identities": (lambda: GATEWAYS.gateway([EDGE_ID, "spiffe://shop.example/inner"]), "unknown"),
    "the same twice": (lambda: GATEWAYS.gateway([EDGE_ID, EDGE_ID]), "unknown"),
    "no names": (lambda: GATEWAYS.gateway([]), "unknown"),
    "a DNS name that spells an identity": (lambda: GATEWAYS.gateway([], dns=[EDGE_ID]), "unknown"),
    "another case": (lambda: GATEWAYS.gateway([EDGE_ID.upper()]), "unknown"),
    "a name that is no text": (lambda: GATEWAYS.gateway_of_bytes(EDGE_ID.encode() + b"\xff"), "unknown"),
    "a name with a line end": (lambda: GATEWAYS.gateway_of_bytes(EDGE_ID.encode() + b"\r\nx: y"), "unknown"),
    "a name with a zero": (lambda: GATEWAYS.gateway_of_bytes(EDGE_ID.encode() + b"\0x"), "unknown"),
    "a name with a comma": (lambda: GATEWAYS.gateway([f"{EDGE_ID},{EDGE_ID}"]), "unknown"),
}


@pytest.mark.parametrize("sentence", ASKING)
def test_the_one_uri_of_a_certificate_says_who_asks_and_nothing_that_is_sent(
    hosted: HostedService, sentence: str
) -> None:
    made, gateway = ASKING[sentence]
    hosted.asked()

    async def every_way() -> None:
        async with secure(made()) as opened:
            for forged in ([], *FORGED):
                assert (await checked(opened, metadata=forged)).status.code == 0

    asyncio.run(every_way())
    assert hosted.asked() == [f"decide {gateway} /a"] * (1 + len(FORGED))


def test_what_one_caller_left_behind_is_not_the_next_ones(hosted: HostedService, tmp_path: Path) -> None:
    """Inside, Envoy keeps connections that nobody has used yet: those of a caller that came and went."""
    other = GATEWAYS.gateway(["spiffe://shop.example/other"])
    hosted.asked()

    async def once() -> None:
        async with secure(other) as opened:
            await checked(opened)

    for _ in range(10):
        for _ in range(3):
            assert shown_by(ssl.TLSVersion.TLSv1_3, tmp_path)[0] == "TLSv1.3"
        asyncio.run(once())
        assert check("/a").status.code == 0
    assert hosted.asked() == ["decide unknown /a", "decide edge /a"] * 10


def test_an_address_keeps_its_gateway_whatever_is_sent(hosted: HostedService) -> None:
    hosted.asked()
    for forged in FORGED:
        check(metadata=forged)
    assert hosted.asked() == ["decide edge /a"] * len(FORGED)


KEPT_OUT: dict[str, Callable[[], Pair | None]] = {
    "no certificate": lambda: None,
    "another authority": OTHERS.gateway,
    "the authority of the servers": SERVERS.gateway,
    "expired": lambda: GATEWAYS.gateway(valid_for=timedelta(minutes=-1)),
    "for a server": lambda: GATEWAYS.gateway(as_server=True),
}


@pytest.mark.parametrize("sentence", KEPT_OUT)
def test_without_a_certificate_of_the_authorities_there_is_no_call(hosted: HostedService, sentence: str) -> None:
    hosted.asked()

    async def once() -> None:
        async with secure(KEPT_OUT[sentence]()) as opened:
            await checked(opened)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asyncio.run(once())
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert hosted.asked() == []


def shown_by(version: ssl.TLSVersion, folder: Path) -> tuple[str | None, bytes]:
    """The version of TLS that is spoken, and the certificate that is shown; none where there is no connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=SERVERS.pem.decode())
    context.load_cert_chain(*GATEWAYS.gateway().write(folder, "client"))
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection(("127.0.0.1", TLS), timeout=10) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as spoken,
        ):
            return spoken.version(), spoken.getpeercert(binary_form=True) or b""
    except (ssl.SSLError, ConnectionError):
        return None, b""


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_tls_is_1_2_or_later(hosted: HostedService, tmp_path: Path) -> None:
    versions = [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    assert [shown_by(each, tmp_path)[0] for each in versions] == [None, "TLSv1.2", "TLSv1.3"]


def test_new_files_of_a_certificate_are_shown_and_unsound_ones_are_not(
    hosted: HostedService, tls: Path, tmp_path: Path
) -> None:
    pair = SERVERS.server()
    pair.write(tls, "server")
    wanted = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    eventually(lambda: shown_by(ssl.TLSVersion.TLSv1_3, tmp_path)[1] == wanted)
    (tls / "server.key").write_bytes(OTHERS.server().key)
    eventually(lambda: "are not in use" in hosted.output.read_text())
    assert shown_by(ssl.TLSVersion.TLSv1_3, tmp_path)[1] == wanted
    pair.write(tls, "server")


# ---------------------------------------------------------------- other services


def test_health_reflection_and_the_native_api(hosted: HostedService) -> None:
    async def each() -> tuple[int, grpc.StatusCode, set[str], int]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{PLAIN}") as opened:
            health = health_pb2_grpc.HealthStub(opened)  # type: ignore[no-untyped-call]
            status = (await health.Check(health_pb2.HealthCheckRequest(service=DECISIONS))).status
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(service="x"))
            stub = reflection_pb2_grpc.ServerReflectionStub(opened)  # type: ignore[no-untyped-call]
            questions = [reflection_pb2.ServerReflectionRequest(list_services="")] * 2
            names = [
                {service.name for service in answer.list_services_response.service}
                async for answer in stub.ServerReflectionInfo(iter(questions))
            ]
            assert names[0] == names[1]
            inquiry = {"http": {"method": "GET", "path": "/a", "host": "orders.example"}}
            message = DecideRequest(inquiry=inquiry).SerializeToString()
            told = await opened.unary_unary(f"/{DECISIONS}/Decide")(message, timeout=5)
            return status, caught.value.code(), names[0], DecideResponse.FromString(told).decision.outcome

    status, missing, names, outcome = asyncio.run(each())
    assert (status, missing, outcome) == (1, grpc.StatusCode.NOT_FOUND, 1)
    assert {"envoy.service.auth.v3.Authorization", DECISIONS, "grpc.health.v1.Health"} <= names


def test_unknown_methods_are_not_implemented(hosted: HostedService) -> None:
    async def once() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{PLAIN}") as opened:
            await opened.unary_unary("/a.B/C")(b"", timeout=5)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asyncio.run(once())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


PATHS = {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/none": 404, "/%68ealthz": 404, "/%ff": 403}


@pytest.mark.parametrize("path", PATHS)
def test_http(hosted: HostedService, path: str) -> None:
    assert httpx.get(f"http://127.0.0.1:{OPERATORS}{path}", timeout=10).status_code == PATHS[path]


def test_what_a_client_says_of_its_connection_over_http_does_not_count(hosted: HostedService) -> None:
    forged = {"X-Portcullis-Connection": "http-0 127.0.0.1 127.0.0.1", "x_portcullis_connection": "http-0"}
    assert httpx.get(f"http://127.0.0.1:{FORWARD}/metrics", headers=forged, timeout=10).status_code == 404


FORWARDED_WRONGLY: dict[str, Sequence[tuple[str, str]]] = {
    "no scheme": [pair for pair in FORWARDED.items() if pair[0] != "x-forwarded-proto"],
    "two schemes": [*FORWARDED.items(), ("x-forwarded-proto", "https")],
    "a scheme of ours": [
        *(pair for pair in FORWARDED.items() if pair[0] != "x-forwarded-proto"),
        ("x-portcullis-forwarded-proto", "https"),
    ],
}


def forwarded(headers: Sequence[tuple[str, str]]) -> int:
    return httpx.get(f"http://127.0.0.1:{FORWARD}/forward-auth/todo", headers=list(headers), timeout=10).status_code


def test_forward_auth(hosted: HostedService) -> None:
    hosted.asked()
    assert forwarded(list(FORWARDED.items())) == 200
    assert hosted.asked() == ["decide edge /a"]


@pytest.mark.parametrize("sentence", FORWARDED_WRONGLY)
def test_a_scheme_that_is_missing_or_said_twice_is_not_made_up(hosted: HostedService, sentence: str) -> None:
    hosted.asked()
    forwarded(FORWARDED_WRONGLY[sentence])
    assert hosted.asked() == ["decide edge None"]


def test_processes_that_the_service_starts_have_nothing_of_the_host(hosted: HostedService) -> None:
    hosted.asked()
    check("/environment")
    kept = [name for name in ("LD_PRELOAD", "PYTHONHOME") if name in os.environ]
    assert hosted.asked() == ["decide edge /environment", " ".join(["environment", *kept])]


# ---------------------------------------------------------------- beginning and end


def test_the_end_waits_for_what_is_under_way_and_refuses_what_hangs() -> None:
    port = free_port()
    with hosting(Place("grpc-0", "grpc", f"127.0.0.1:{port}", named=True), grace_s=4.0) as running:
        assert running.envoy

        async def ending() -> tuple[int, int, bool]:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
                slow, hanging = (asyncio.ensure_future(checked(opened, path)) for path in ("/slow", "/hang"))
                await asyncio.to_thread(eventually, lambda: running.asked() != [])
                running.begin_to_end()
                answers = await asyncio.gather(slow, hanging)
                return answers[0].status.code, answers[1].status.code, slow.done()

        assert asyncio.run(ending()) == (0, 13, True)
        assert running.process.wait(30) == 0
        assert (running.folder / "closed").exists()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_it_ends_when_who_started_it_is_gone() -> None:
    with hosting(Place("grpc-0", "grpc", f"127.0.0.1:{free_port()}", named=True)) as running:
        envoy = running.envoy
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        eventually(lambda: not Path(f"/proc/{envoy}").exists() or is_over(envoy), within_s=30)
        assert (running.folder / "closed").exists()


def is_over(pid: int) -> bool:
    """Whether a process has ended, and nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_service_that_cannot_be_made_keeps_it_from_starting() -> None:
    port = free_port()
    with hosting(Place("grpc-0", "grpc", f"127.0.0.1:{port}", named=True), service="failing") as running:
        assert running.said.startswith("N204: ")
        assert running.process.wait(30) == 2
        assert "no service for {" in running.output.read_text()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port))


def test_a_port_in_use_names_the_port_and_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with hosting(Place("grpc-0", "grpc", address, named=True)) as running:
            assert f"cannot listen on {address}" in running.said
            assert "free it or change" in running.said


REFUSED = {
    "open to others": Place("grpc-0", "grpc", "0.0.0.0:9191", named=True),
    "nobody's": Place("grpc-0", "grpc", "127.0.0.1:9191"),
    "no port": Place("grpc-0", "grpc", "127.0.0.1:0", named=True),
    "HTTP open to others": Place("http-0", "http", "0.0.0.0:9191", named=True),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_listener_that_is_not_sound_keeps_it_from_starting(sentence: str) -> None:
    with hosting(REFUSED[sentence]) as running:
        assert running.said[:4] in {"N201", "N202", "N102"}
        assert running.process.wait(30) == 2
