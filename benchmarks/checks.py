"""Checks a second and their latency, over real gRPC, of the service as it is served: log on, one process.

    build/venv/bin/python benchmarks/checks.py [--seconds 5] [--in-flight 16]

Starts `pdp serve` on free loopback ports with the policy of the decision cases, asks one allowed call again and again,
checks every answer, and prints a line of Markdown. The client shares the machine with the service: the figures say how
one build compares with another in the same run, nothing more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.asking import CHECK, check_request, read_answer  # noqa: E402 - the path is set above
from tests.support.issuing import TestIssuer  # noqa: E402
from tests.support.process import ServedPdp  # noqa: E402

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"


async def load(address: str, data: bytes, seconds: float, in_flight: int) -> list[float]:
    """Ask until the time is over; the latency of each call in seconds. Any answer but an allow ends it."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(CHECK)

        async def ask() -> None:
            while time.perf_counter() < until:
                began = time.perf_counter()
                answer = read_answer(await check(data, timeout=5))
                latencies.append(time.perf_counter() - began)
                if answer.code != 0:
                    raise SystemExit(f"refused: {answer}")

        await asyncio.gather(*(ask() for _ in range(in_flight)))
    return sorted(latencies)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="checks a second over real gRPC, log on")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--in-flight", type=int, default=16)
    given = parser.parse_args()
    issuer = TestIssuer()
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger"}, int(time.time()))
    headers = {"authorization": f"Bearer {token}"}
    data = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
    with tempfile.TemporaryDirectory() as folder:
        served = ServedPdp(Path(folder), POLICY, [issuer])
        served.start()
        try:
            asyncio.run(load(served.address, data, 1, given.in_flight))
            latencies = asyncio.run(load(served.address, data, given.seconds, given.in_flight))
        finally:
            served.stop()
    count = len(latencies)
    p50, p99 = latencies[count // 2] * 1e3, latencies[count * 99 // 100] * 1e3
    print("| listener | in flight | checks/s | p50 ms | p99 ms |\n|---|---|---|---|---|")
    print(f"| grpcio | {given.in_flight} | {count / given.seconds:.0f} | {p50:.2f} | {p99:.2f} |")


if __name__ == "__main__":
    main()
