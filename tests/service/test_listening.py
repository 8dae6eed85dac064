"""Every listener that a configuration declares, opened together: who is known where, over what, and what is not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from msgspec.structs import replace

from pdp.config import Config, parse_config
from pdp.errors import ConfigError
from pdp.gateways import Gateways
from pdp.listening import Listeners, Running
from pdp.metrics import Metrics
from pdp.transports.messages import CheckResponse
from pdp.transports.tls import read_file
from tests.support.certificates import EDGE_ID, TestAuthority
from tests.support.deciders import MemoryDecider, request
from tests.support.http_parts import ASKED, EVALUATION, FORWARDED, KEY, NOW_US, SHOWN
from tests.support.http_serving import client

SERVERS, GATEWAYS = TestAuthority("servers"), TestAuthority("gateways")
CHECK = "/envoy.service.auth.v3.Authorization/Check"

DECLARED = f"""
[http]
address = "127.0.0.1:0"
public_url = "https://pdp.example"

[[gateways]]
name = "edge"
identity = "{EDGE_ID}"
subjects = true

[[gateways]]
name = "app"
subjects = true
keys_sha256 = ["{hashlib.sha256(KEY.encode()).hexdigest()}"]
requests_per_second = 2

[[listeners]]
address = "127.0.0.1:0"
gateway = "edge"

[[listeners]]
address = "127.0.0.1:0"
certificate = "server.pem"
private_key = "server.key"
client_ca = "clients.pem"

[[listeners]]
address = "127.0.0.1:0"
gateway = "edge"
protocol = "http"

[[listeners]]
address = "127.0.0.1:0"
protocol = "http"
certificate = "server.pem"
private_key = "server.key"
client_ca = "clients.pem"

[[listeners]]
address = "127.0.0.1:0"
protocol = "http"
certificate = "server.pem"
private_key = "server.key"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    SERVERS.server().write(tmp_path, "server")
    (tmp_path / "clients.pem").write_bytes(GATEWAYS.pem)
    return parse_config(DECLARED, tmp_path)


@asynccontextmanager
async def opened(config: Config, decider: MemoryDecider, said: pytest.LogCaptureFixture) -> AsyncIterator[list[int]]:
    """The ports: gRPC, gRPC by certificate; the operators'; HTTP of a gateway, by certificate, by key."""
    gateways = Gateways.of(config.gateways)
    running = Running(
        decider,
        gateways,
        Metrics(),
        ready=lambda: True,
        shown=lambda: replace(SHOWN, warnings=("a warning",)),
        clock_us=lambda: NOW_US,
        monotonic=lambda: 0.0,
    )
    with said.at_level(logging.INFO, logger="pdp.listening"):
        async with Listeners(config, gateways, read_file).open(running):
            found = [re.fullmatch(r"(gRPC|HTTP) on .*:(\d+)", record.getMessage()) for record in said.records]
            yield [int(each[2]) for each in found if each is not None]


async def checked(port: int, credentials: grpc.ChannelCredentials | None) -> int:
    address = f"127.0.0.1:{port}"
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    channel = (
        grpc.aio.insecure_channel(address)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options=options)
    )
    async with channel:
        return int(CheckResponse.FromString(await channel.unary_unary(CHECK)(request(), timeout=5)).status.code)


def test_every_listener_knows_who_asks_there(config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    decider, shown = MemoryDecider(), GATEWAYS.gateway()
    key = {"authorization": f"Bearer {KEY}"}

    async def all_of_them() -> list[int]:
        async with opened(config, decider, caplog) as ports:
            plain, encrypted, operators, named, by_certificate, by_key = ports
            assert await checked(plain, None) == 0
            credentials = grpc.ssl_channel_credentials(SERVERS.pem, shown.key, shown.certificate)
            assert await checked(encrypted, credentials) == 0
            statuses = []
            async with httpx.AsyncClient(verify=client(SERVERS, tmp_path, shown)) as http:
                for url, headers in (
                    (f"http://127.0.0.1:{operators}", {}),
                    (f"http://127.0.0.1:{operators}", key),
                    (f"http://127.0.0.1:{named}", {}),
                    (f"https://127.0.0.1:{by_certificate}", {}),
                    (f"https://127.0.0.1:{by_key}", {}),
                    (f"https://127.0.0.1:{by_key}", key),
                    (f"https://127.0.0.1:{by_key}", key),
                ):
                    statuses.append((await http.post(url + EVALUATION, json=ASKED, headers=headers)).status_code)
            return statuses

    assert asyncio.run(all_of_them()) == [401, 200, 200, 200, 401, 200, 429]
    assert [inquiry.gateway for inquiry, _, _ in decider.asked] == ["edge", "edge", "app", "edge", "edge", "app"]


def test_forwarded_calls_are_believed_of_a_connection_alone(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    decider = MemoryDecider()
    headers = FORWARDED | {"authorization": f"Bearer {KEY}"}

    async def all_of_them() -> list[int]:
        async with (
            opened(config, decider, caplog) as (_, _, operators, named, by_certificate, by_key),
            httpx.AsyncClient(verify=client(SERVERS, tmp_path, GATEWAYS.gateway())) as http,
        ):
            urls = [f"http://127.0.0.1:{port}" for port in (operators, named)]
            urls += [f"https://127.0.0.1:{port}" for port in (by_certificate, by_key)]
            return [(await http.get(f"{url}/forward-auth/todo", headers=headers)).status_code for url in urls]

    assert asyncio.run(all_of_them()) == [403, 200, 200, 403]


def test_what_is_for_operators_is_at_their_address_alone(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def all_of_them() -> tuple[list[int], list[bool]]:
        async with (
            opened(config, MemoryDecider(), caplog) as (_, _, operators, named, by_certificate, by_key),
            httpx.AsyncClient(verify=client(SERVERS, tmp_path, GATEWAYS.gateway())) as http,
        ):
            urls = [f"http://127.0.0.1:{port}" for port in (operators, named)]
            urls += [f"https://127.0.0.1:{port}" for port in (by_certificate, by_key)]
            metrics = [(await http.get(f"{url}/metrics")).status_code for url in urls]
            ready = ["a warning" in (await http.get(f"{url}/readyz")).text for url in urls]
            return metrics, ready

    assert asyncio.run(all_of_them()) == ([200, 404, 404, 404], [True, False, False, False])


def test_a_rate_is_counted_over_all_transports_and_listeners(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = ASKED | {"evaluations": [{}, {}]}

    async def both() -> list[int]:
        key = {"authorization": f"Bearer {KEY}"}
        async with (
            opened(config, MemoryDecider(), caplog) as (_, _, operators, _, _, by_key),
            httpx.AsyncClient(verify=client(SERVERS, tmp_path), headers=key) as http,
        ):
            first = await http.post(f"http://127.0.0.1:{operators}{EVALUATION}s", json=batch)
            second = await http.post(f"https://127.0.0.1:{by_key}{EVALUATION}", json=ASKED)
            return [first.status_code, second.status_code]

    assert asyncio.run(both()) == [200, 429]


def test_a_certificate_that_cannot_be_used_opens_nothing(config: Config, tmp_path: Path) -> None:
    (tmp_path / "server.key").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        Listeners(config, Gateways.of(config.gateways), read_file)
    assert caught.value.code == "N110"


def test_what_is_to_be_said_of_certificates_is_said_once(tmp_path: Path, config: Config) -> None:
    listeners = Listeners(config, Gateways.of(config.gateways), read_file)
    assert listeners.misgivings(0) == []
    SERVERS.server(valid_for=timedelta(minutes=-1)).write(tmp_path, "server")
    expired = Listeners(config, Gateways.of(config.gateways), read_file)
    (said,) = expired.misgivings(2**62)
    assert "server.pem has expired" in said
