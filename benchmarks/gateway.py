"""What a check adds to a call through a real Envoy: latency at a steady rate, with the check and without.

    build/venv/bin/python -m benchmarks.gateway [--rate 200] [--seconds 5] [--rounds 6]

One Envoy with the demo's configuration, one `pdp serve` with its log on, the policy of the decision cases. Two virtual
hosts lead to the same upstream (a listener of the same Envoy that answers at once): `ledger.example` with the check,
`plain.example` with the filter switched off for its route. A second Envoy asks `benchmarks.constant`, which allows
whatever parses: what the transport alone costs. In turn each is asked at the rate for some seconds, at instants that
are fixed beforehand, so that a slow answer delays no later call; every status is compared. The client, Envoy and the
service share the machine's cores: the figures are of one run on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from pdp.demo.envoy import EXT_AUTHZ, FILTER_NAME, configuration, typed
from pdp.demo.ports import Ports
from tests.support.envoy import envoy_binary
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
CHECKED, PLAIN = "ledger.example", "plain.example"


class Latency(Struct, frozen=True):
    """Of many calls, in milliseconds."""

    count: int
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """Quantiles of latencies in seconds."""
        ordered = sorted(seconds)
        return cls(len(ordered), *(ordered[len(ordered) * share // 100] * 1e3 for share in (50, 99)))


def with_plain_host(bootstrap: dict[str, Any], upstream: int) -> dict[str, Any]:
    """The configuration with a second host that is not checked, and an upstream of Envoy's own."""
    edge = bootstrap["static_resources"]["listeners"][0]
    manager = edge["filter_chains"][0]["filters"][0]["typed_config"]
    checked = manager["route_config"]["virtual_hosts"][0]
    off = typed(f"{EXT_AUTHZ}.ExtAuthzPerRoute", {"disabled": True})
    plain = checked | {"name": "plain", "domains": [PLAIN], "typed_per_filter_config": {FILTER_NAME: off}}
    manager["route_config"]["virtual_hosts"].append(plain)
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    answering = manager | {
        "stat_prefix": "upstream",
        "http_filters": manager["http_filters"][1:],
        "access_log": [],
        "route_config": {"name": "all", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
    }
    listener = {
        "name": "upstream",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": answering}]}],
    }
    bootstrap["static_resources"]["listeners"].append(listener)
    return bootstrap


@contextmanager
def envoy(folder: Path, grpc_port: int) -> Iterator[int]:
    """Envoy in front of the service; gives its port."""
    ports = Ports(gateway=free_port(), grpc=grpc_port, http=0, upstream=free_port())
    bootstrap = configuration(ports, {"ledger": CHECKED}, folder / "access.log")
    path = folder / "envoy.json"
    path.write_text(json.dumps(with_plain_host(dict(bootstrap), ports.upstream)))
    command = [
        str(envoy_binary()),
        "-c",
        str(path),
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(command)
    try:
        yield ports.gateway
    finally:
        process.kill()
        process.wait()


class Pool:
    """Connections that are kept open to one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, request: bytes) -> tuple[int, float]:
        """The status of one call, and how long it took in seconds."""
        stream = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = stream
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        took = time.perf_counter() - began
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or b"0"))
        self._free.append(stream)
        return int(head.split(b" ", 2)[1]), took


async def at_rate(pool: Pool, request: bytes, rate: int, seconds: float) -> list[float]:
    """Latencies of calls at fixed instants; SystemExit for any answer but 200."""
    loop = asyncio.get_running_loop()
    start = loop.time() + 0.05

    async def one(number: int) -> float:
        await asyncio.sleep(max(0.0, start + number / rate - loop.time()))
        status, took = await pool.call(request)
        if status != 200:
            raise SystemExit(f"answered {status}")
        return took

    return await asyncio.gather(*(one(number) for number in range(int(rate * seconds))))


async def measure(
    ports: Mapping[str, int], token: str, rate: int, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Latencies by way, each asked in each round; `ports` are those of Envoy by way."""
    pools = {way: Pool(port) for way, port in ports.items()}
    head = f"GET /accounts/a1 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nHost: "
    requests = {way: f"{head}{PLAIN if way == 'plain' else CHECKED}\r\n\r\n".encode() for way in ports}
    found: dict[str, list[float]] = {way: [] for way in ports}
    for way in (*ports, *ports):
        await at_rate(pools[way], requests[way], rate, 1.0)
    for number in range(rounds):
        for way in sorted(ports, reverse=bool(number % 2)):
            found[way] += await at_rate(pools[way], requests[way], rate, seconds)
    return found


@contextmanager
def constant() -> Iterator[int]:
    """The server that allows whatever parses; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.constant", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        wait_for(port)
        yield port
    finally:
        process.communicate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="latency that a check adds to a call through Envoy")
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    issuer = TestIssuer()
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "constant").mkdir()
        served = ServedPdp(folder, POLICY, [issuer])
        served.start()
        stack.callback(served.stop)
        port = stack.enter_context(envoy(folder, served.grpc_port))
        beside = stack.enter_context(envoy(folder / "constant", stack.enter_context(constant())))
        wait_for(port)
        wait_for(beside)
        print(f"asking for {3 * given.rounds * given.seconds:.0f} s", file=sys.stderr)
        ports = {"plain": port, "constant": beside, "checked": port}
        found = asyncio.run(measure(ports, token, given.rate, given.seconds, given.rounds))
    without, constantly, checked = (Latency.of(found[way]) for way in ports)
    print(f"Through Envoy at {given.rate} calls/s, {checked.count} calls each, milliseconds:\n")
    print("| | p50 | p99 | added p50 | added p99 |\n|---|---|---|---|---|")
    print(f"| without a check | {without.p50:.2f} | {without.p99:.2f} | | |")
    for words, each in (
        ("a check that grpcio answers with a constant", constantly),
        ("a check by us, its record in the log", checked),
    ):
        added = f"{each.p50 - without.p50:.2f} | {each.p99 - without.p99:.2f}"
        print(f"| {words} | {each.p50:.2f} | {each.p99:.2f} | {added} |")


def wait_for(port: int) -> None:
    """Until something listens; SystemExit after 20 s."""
    until = time.monotonic() + 20

    async def probe() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    while True:
        try:
            asyncio.run(probe())
        except OSError as error:
            if time.monotonic() > until:
                raise SystemExit("Envoy does not listen") from error
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
