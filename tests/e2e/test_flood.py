"""Callers who are refused cannot keep good callers waiting, however many rules stand at the endpoint they ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from pdp.transports.messages import CheckResponse
from tests.support.asking import CHECK, check_request
from tests.support.crowded import crowded
from tests.support.issuing import TestIssuer
from tests.support.process import ServedPdp

GOOD_CALLS = 40
WITHIN_S = 0.25
ATTACKERS = 4


@pytest.fixture(scope="module")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, issuer: TestIssuer) -> Iterator[ServedPdp]:
    folder: Path = tmp_path_factory.mktemp("flood")
    (folder / "policies").mkdir()
    (folder / "policies" / "m.pol").write_bytes(crowded(1_000))
    pdp = ServedPdp(folder, folder / "policies", [issuer])
    pdp.start()
    try:
        yield pdp
    finally:
        pdp.stop()


async def _answered(address: str, message: bytes) -> int:
    """How many of some calls, one after another, are allowed in time."""
    allowed = 0
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        check = channel.unary_unary(CHECK)
        for _ in range(GOOD_CALLS):
            try:
                allowed += CheckResponse.FromString(await check(message, timeout=WITHIN_S)).status.code == 0
            except grpc.RpcError:
                continue
    return allowed


@asynccontextmanager
async def _attack(address: str, message: bytes) -> AsyncIterator[None]:
    """Ask for what is refused, without end, over connections of their own."""

    async def ask() -> None:
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            check = channel.unary_unary(CHECK)
            while True:
                try:
                    await check(message, timeout=WITHIN_S)
                except grpc.RpcError:
                    continue
                await asyncio.sleep(0.02)

    attackers = [asyncio.ensure_future(ask()) for _ in range(ATTACKERS)]
    try:
        yield
    finally:
        for attacker in attackers:
            attacker.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)


PLACES = {"an endpoint with a thousand rules": "/a/zz", "one where every call is logged in full": "/full/zz"}


@pytest.mark.parametrize("path", PLACES.values(), ids=PLACES.keys())
def test_good_calls_are_answered_while_others_are_asked_without_end_at(
    path: str, served: ServedPdp, issuer: TestIssuer
) -> None:
    token = issuer.mint({"sub": "u1", "aud": "s", "team": "none"}, int(time.time()))
    headers = {"authorization": f"Bearer {token}"}
    good, other = (
        check_request("GET", "s.example", each, service="s", headers=headers) for each in ("/quiet/u1", path)
    )

    async def run() -> tuple[int, int]:
        quiet = await _answered(served.address, good)
        async with _attack(served.address, other):
            return quiet, await _answered(served.address, good)

    quiet, attacked = asyncio.run(run())
    assert quiet > 0
    assert attacked >= quiet * 3 / 4
