"""Trusted issuers whose keys are asked for: what a token is answered while keys turn over, are late, or stay away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pdp.identity.bearer import Proven
from pdp.identity.fetching import FetchError
from pdp.identity.jwks import KeySet
from pdp.identity.jwt import Issuer, TokenRefusal
from pdp.identity.key_sources import KeySource, KeySourceSettings, StoredKeys
from pdp.identity.trust import Trust
from tests.support.tokens import ISSUER, NOW, Signer, key_set, signer, token_of

OLD, NEW = signer("ES256"), Signer("new", "ES256", signer("ES256", "rotated").private)
MAX_STALE_S = 1_000.0


class World:
    """One issuer over a network in memory, and a clock that goes on where somebody sleeps."""

    def __init__(self, *keys: Signer, stored: StoredKeys | None = None) -> None:
        self.now = 100.0
        self.published: bytes | None = key_set(*(each.jwk() for each in keys)) if keys else None
        self.fetches = 0
        settings = KeySourceSettings(ISSUER, f"{ISSUER}/keys", refresh_s=300, cooldown_s=30, max_stale_s=MAX_STALE_S)

        def make(changed: Callable[[KeySet], None]) -> KeySource:
            return KeySource(
                settings, self._fetch, monotonic=lambda: self.now, sleep=self._sleep, random=lambda: 0.0,
                changed=changed, initial=stored,
            )  # fmt: skip

        issuer = Issuer(ISSUER, None, frozenset({"ES256"}), frozenset({"at+jwt"}))
        self.trust = Trust(
            [issuer], {ISSUER: make}, monotonic=lambda: self.now, sleep=self._sleep, standing=lambda _, __: None
        )

    async def _fetch(self, _: str) -> bytes:
        self.fetches += 1
        if self.published is None:
            raise FetchError("fetch.unreachable")
        return self.published

    async def _sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:  # noqa: ASYNC110 - the test moves the clock, step by step
            await asyncio.sleep(0)

    async def passes(self, seconds: float) -> None:
        """Time goes by, in steps in which everybody has a turn."""
        for _ in range(int(seconds)):
            self.now += 1
            await asyncio.sleep(0.0001)
        for _ in range(5):
            await asyncio.sleep(0.01)  # sets are read in a thread

    def says(self, token: str) -> str:
        """What a token is answered: good, or the reason."""
        proven = self.trust.identity.prove((f"Bearer {token}",), NOW)
        assert proven is not None
        return proven.reason if isinstance(proven, TokenRefusal) else "good"


def during(world: World, work: Callable[[World], Awaitable[Any]]) -> None:
    async def run() -> None:
        running = asyncio.ensure_future(world.trust.run())
        try:
            await asyncio.wait_for(world.trust.settled(5), 5)
            await work(world)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


OLDS, NEWS = token_of(OLD), token_of(NEW)


def test_a_key_that_was_just_rotated_in_is_looked_for_and_an_old_one_goes() -> None:
    async def work(world: World) -> None:
        assert (world.says(OLDS), world.says(NEWS), world.fetches) == ("good", "token.key", 1)
        world.published = key_set(OLD.jwk(), NEW.jwk())
        await world.passes(31)
        assert world.says(NEWS) == "token.key"  # which makes the source look for it
        await world.passes(2)
        assert (world.says(OLDS), world.says(NEWS), world.fetches) == ("good", "good", 2)
        world.published = key_set(NEW.jwk())
        await world.passes(301)
        assert (world.says(OLDS), world.says(NEWS)) == ("token.key", "good")

    during(World(OLD), work)


def test_a_set_that_stays_the_same_lets_its_tokens_be_remembered() -> None:
    async def work(world: World) -> None:
        first = world.trust.identity.prove((f"Bearer {OLDS}",), NOW)
        await world.passes(700)
        assert world.fetches >= 3
        assert isinstance(first, Proven)
        assert world.trust.identity.prove((f"Bearer {OLDS}",), NOW) is first

    during(World(OLD), work)


def test_a_start_while_the_issuer_is_down_goes_on_with_what_was_stored() -> None:
    stored = StoredKeys(key_set(OLD.jwk()), MAX_STALE_S - 100)

    async def work(world: World) -> None:
        assert world.says(OLDS) == "good"
        await world.passes(102)
        assert world.says(OLDS) == "token.key"

    during(World(stored=stored), work)


def test_without_any_keys_every_token_is_refused_and_it_is_said() -> None:
    async def work(world: World) -> None:
        assert world.says(OLDS) == "token.key"
        assert world.trust.misgivings() == [
            (
                f"no keys of the issuer {ISSUER} count (fetch.unreachable): its tokens are refused; "
                "see that it can be reached (docs/codes.md says what the reason is)"
            )
        ]

    during(World(), work)
