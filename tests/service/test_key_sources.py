"""The keys of an issuer over time: what replaces them, what does not, and how often anybody is asked for them."""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.identity.fetching import MOST_BYTES, FetchError
from pdp.identity.jwks import KeySet
from pdp.identity.key_sources import KeySource, KeySourceSettings, KeySourceStatus, StoredKeys
from tests.support.issuer_server import HOST
from tests.support.tokens import key_set, signer

ISSUER = f"https://{HOST}"
JWKS = f"{ISSUER}/keys"
DOCUMENT = f"{ISSUER}/.well-known/openid-configuration"
A, B = signer("ES256", "a"), signer("ES256", "b")
ONLY_A, ONLY_B, BOTH = key_set(A.jwk()), key_set(B.jwk()), key_set(A.jwk(), B.jwk())
DIRECT = KeySourceSettings(issuer=ISSUER, jwks_url=JWKS, jitter=0)
DISCOVERED = KeySourceSettings(issuer=ISSUER, jitter=0)
DOWN = FetchError("fetch.unreachable")


class Clock:
    """A monotonic clock that goes only when told; who sleeps by it wakes in order."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slept.append(seconds)
        heapq.heappush(self._sleepers, (self.now + seconds, len(self.slept), woken))
        await woken

    async def pass_by(self, seconds: float, source: KeySource) -> None:
        """Let time pass, with whatever the source does in it."""
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await steps()
                await rest(source)
        self.now = end


async def steps() -> None:
    """Let the loop do what is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


async def rest(source: KeySource) -> None:
    """Wait, in real time, for a fetch that is under way."""
    await asyncio.wait_for(source.settled(), 20)


class Network:
    """Answers from a map that may change, and notes the time of each question."""

    def __init__(self, clock: Clock, answers: Mapping[str, bytes | Exception]) -> None:
        self._clock = clock
        self.answers = dict(answers)
        self.asked: list[tuple[float, str]] = []
        self.given: list[tuple[float, bytes | Exception]] = []
        self.held: asyncio.Event | None = None

    async def __call__(self, url: str) -> bytes:
        began = self._clock.now
        self.asked.append((began, url))
        if self.held is not None:
            await self.held.wait()
        answer = self.answers[url]
        self.given.append((began, answer))
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.asked]


class Owner:
    """What a source tells its owner."""

    def __init__(self) -> None:
        self.told: list[KeySet] = []
        self.stored: list[bytes] = []
        self.failing: Exception | None = None

    def changed(self, keys: KeySet) -> None:
        if self.failing is not None:
            raise self.failing
        self.told.append(keys)

    def store(self, data: bytes) -> None:
        if self.failing is not None:
            raise self.failing
        self.stored.append(data)


class World:
    """A source, with all that it depends on."""

    def __init__(
        self,
        answers: Mapping[str, bytes | Exception] | None = None,
        setting: KeySourceSettings = DIRECT,
        *,
        initial: StoredKeys | None = None,
        random: Callable[[], float] = lambda: 0.0,
        storing: bool = True,
    ) -> None:
        self.clock = Clock()
        self.began = self.clock.now
        self.network = Network(self.clock, {JWKS: BOTH} if answers is None else answers)
        self.owner = Owner()
        self.source = KeySource(
            setting,
            self.network,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            random=random,
            changed=self.owner.changed,
            store=self.owner.store if storing else None,
            initial=initial,
        )

    @property
    def keys(self) -> KeySet | None:
        return self.source.keys(self.clock.now)

    @property
    def kids(self) -> set[str | None] | None:
        return None if self.keys is None else {key.kid for key in self.keys.usable}

    @property
    def status(self) -> KeySourceStatus:
        return self.source.status(self.clock.now)

    @property
    def times(self) -> list[float]:
        """When the network was asked, from the begin."""
        return [at - self.began for at in self.network.times]

    async def passes(self, seconds: float) -> None:
        await self.clock.pass_by(seconds, self.source)

    async def asks(self, seconds: float = 30) -> None:
        """A token names an unknown key, `seconds` from now; what that leads to is waited for."""
        await self.passes(seconds)
        self.source.wanted()
        await rest(self.source)
        await steps()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """The source runs, and its first fetch has ended."""
        task = asyncio.ensure_future(self.source.run())
        try:
            await rest(self.source)
            await steps()
            yield self
            assert not task.done(), "a source runs until it is cancelled"
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def live(world: World, work: Callable[[World], Awaitable[None]]) -> None:
    """`work` while the source runs."""

    async def once() -> None:
        async with world.running():
            await work(world)

    asyncio.run(asyncio.wait_for(once(), 60))


def test_keys_are_fetched_at_once_told_and_stored() -> None:
    async def work(world: World) -> None:
        assert world.kids == {"a", "b"}
        assert world.owner.told == [world.keys]
        assert world.owner.stored == [BOTH]
        assert world.status == KeySourceStatus(0.0, True, "", (), 0, 1, True)

    world = World()
    assert world.keys is None
    assert world.status == KeySourceStatus(None, False, "", (), 0, 0, True)
    live(world, work)


SAME = {
    "the same bytes": BOTH,
    "in another order": key_set(B.jwk(), A.jwk()),
    "with blanks": BOTH.replace(b",", b" , "),
    "with members that say nothing": key_set(A.jwk(x5t="x"), B.jwk(nbf=1)),
    "with a key more that is not usable": key_set(A.jwk(), B.jwk(), A.jwk(kid="c", use="enc")),
}


@pytest.mark.parametrize("data", SAME.values(), ids=SAME.keys())
def test_the_same_keys_are_the_same_object(data: bytes) -> None:
    async def work(world: World) -> None:
        before = world.keys
        world.network.answers[JWKS] = data
        await world.passes(300)
        assert world.keys is before
        assert world.owner.told == [before]
        assert world.owner.stored == [BOTH, data]
        assert world.status.age_s == 0

    live(World(), work)


OTHER = {
    "one key less": ONLY_A,
    "another key of the same name": key_set(A.jwk(), signer("ES256", "other").jwk(kid="b")),
    "a key of another algorithm": key_set(A.jwk(), signer("RS256").jwk(kid="b")),
    "one key more": key_set(A.jwk(), B.jwk(), signer("EdDSA").jwk()),
    "another name": key_set(A.jwk(), B.jwk(kid="c")),
}


@pytest.mark.parametrize("data", OTHER.values(), ids=OTHER.keys())
def test_other_keys_are_told(data: bytes) -> None:
    async def work(world: World) -> None:
        before = world.keys
        world.network.answers[JWKS] = data
        await world.passes(300)
        assert world.keys is not before
        assert world.owner.told == [before, world.keys]

    live(World(), work)


def test_a_sole_key_and_the_one_usable_key_of_several_are_not_the_same() -> None:
    """Only the former answers tokens without `kid`."""

    async def work(world: World) -> None:
        assert world.keys is not None
        assert world.keys.find(None) is not None
        world.network.answers[JWKS] = key_set(A.jwk(), B.jwk(use="enc"))
        await world.passes(300)
        assert world.keys.find(None) is None
        assert len(world.owner.told) == 2
        assert [each.reason for each in world.status.refused] == ["key.use"]

    live(World({JWKS: ONLY_A}), work)


def test_a_key_that_is_absent_is_dropped() -> None:
    async def work(world: World) -> None:
        world.network.answers[JWKS] = ONLY_B
        await world.passes(299)
        assert world.kids == {"a", "b"}
        await world.passes(1)
        assert world.kids == {"b"}

    live(World(), work)


def test_a_key_that_was_rotated_in_is_there_when_settled() -> None:
    async def work(world: World) -> None:
        world.network.answers[JWKS] = ONLY_B
        await world.passes(30)
        world.source.wanted()
        assert world.kids == {"a"}
        await rest(world.source)
        assert world.kids == {"b"}

    live(World({JWKS: ONLY_A}), work)


def test_keys_are_fetched_again_and_again() -> None:
    async def work(world: World) -> None:
        await world.passes(1000)
        assert world.times == [0, 300, 600, 900]

    live(World(), work)


def test_a_fetch_that_was_wanted_puts_off_the_next() -> None:
    async def work(world: World) -> None:
        await world.asks(100)
        await world.passes(299)
        assert world.times == [0, 100]
        await world.passes(1)
        assert world.times == [0, 100, 400]

    live(World(), work)


DRAWN = {"the least": (0.0, 300.0), "half": (0.5, 285.0), "the most": (math.nextafter(1, 0), 270.0)}


@pytest.mark.parametrize(("drawn", "wait_s"), DRAWN.values(), ids=DRAWN.keys())
def test_jitter_shortens_a_wait(drawn: float, wait_s: float) -> None:
    async def work(world: World) -> None:
        assert world.clock.slept == [pytest.approx(wait_s)]

    live(World(setting=KeySourceSettings(issuer=ISSUER, jwks_url=JWKS, jitter=0.1), random=lambda: drawn), work)


def test_jitter_never_shortens_a_wait_to_less_than_the_cooldown() -> None:
    async def work(world: World) -> None:
        assert world.clock.slept == [30]

    live(World({JWKS: DOWN}, KeySourceSettings(issuer=ISSUER, jwks_url=JWKS, jitter=1), random=lambda: 0.99), work)


def test_failures_are_tried_again_ever_later_but_no_later_than_a_refresh() -> None:
    async def work(world: World) -> None:
        await world.passes(1400)
        assert world.times == [0, 30, 90, 210, 450, 750, 1050, 1350]
        assert world.status.failures == 8
        world.network.answers[JWKS] = BOTH
        await world.passes(300)
        assert world.status.failures == 0
        assert world.kids == {"a", "b"}
        world.network.answers[JWKS] = DOWN
        await world.passes(300 + 30)
        assert world.times[-3:] == [1650, 1950, 1980]

    live(World({JWKS: DOWN}), work)


def test_days_of_failures_are_no_failure_of_ours() -> None:
    async def work(world: World) -> None:
        await world.passes(300 * 1200)
        assert world.status.failures > 1100

    live(World({JWKS: DOWN}, KeySourceSettings(issuer=ISSUER, jwks_url=JWKS, cooldown_s=30.0)), work)


REFUSED: dict[str, tuple[bytes | Exception, str]] = {
    "HTML": (b"<!DOCTYPE html><html><body>We'll be right back</body></html>", "set.json"),
    "nothing": (b"", "set.json"),
    "half a set": (BOTH[:-10], "set.json"),
    "an empty object": (b"{}", "set.shape"),
    "an empty set": (b'{"keys": []}', "set.empty"),
    "a set with a secret": (b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "set.symmetric"),
    "a set with private parts": (key_set(A.jwk(), B.jwk(d="AAAA")), "set.private"),
    "keys for something else": (key_set(A.jwk(use="enc")), "set.no_usable_key"),
    "a set too large": (b" " * (MOST_BYTES + 1), "set.too_large"),
    "keys without end": (b'{"keys":[' + b"{}," * 100_000 + b"{}]}", "set.too_many"),
    "an issuer that is down": (DOWN, "fetch.unreachable"),
    "an issuer that is slow": (FetchError("fetch.timeout"), "fetch.timeout"),
    "an error nobody foresaw": (RuntimeError("unforeseen"), "source.internal"),
    "no memory": (MemoryError(), "source.internal"),
}


@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_the_last_good_keys_stay(answer: bytes | Exception, reason: str) -> None:
    async def work(world: World) -> None:
        before = world.keys
        world.network.answers[JWKS] = answer
        await world.passes(300)
        assert len(world.times) == 2
        assert world.keys is before
        assert world.owner.told == [before]
        assert world.owner.stored == [BOTH]
        assert (world.status.reason, world.status.failures, world.status.age_s) == (reason, 1, 300)
        world.network.answers[JWKS] = ONLY_B
        await world.asks()
        assert world.kids == {"b"}
        assert (world.status.reason, world.status.failures) == ("", 0)

    live(World(), work)


def test_without_a_good_set_there_are_no_keys() -> None:
    async def work(world: World) -> None:
        await world.passes(1000)
        assert world.keys is None
        assert world.owner.told == []
        assert world.owner.stored == []
        assert [each.reason for each in world.status.refused] == ["key.use"]

    live(World({JWKS: key_set(A.jwk(use="enc"))}), work)


def test_keys_stay_while_the_issuer_is_down_until_they_are_too_old() -> None:
    async def work(world: World) -> None:
        before = world.keys
        world.network.answers[JWKS] = DOWN
        await world.passes(86_400)
        at_the_end = world.status
        assert world.keys is before
        assert at_the_end.counts
        await world.passes(0.001)
        after = world.status
        assert world.keys is None
        assert not after.counts
        assert after.age_s == pytest.approx(86_400.001)
        world.network.answers[JWKS] = BOTH
        await world.passes(300)
        assert world.keys is before
        assert world.owner.told == [before, before], "whoever dropped them must hear that they count again"

    live(World(), work)


def test_keys_are_as_old_as_the_begin_of_their_fetch() -> None:
    async def work(world: World) -> None:
        world.network.held = asyncio.Event()
        world.clock.now += 30
        world.source.wanted()
        await steps()
        world.clock.now += 7
        world.network.held.set()
        await rest(world.source)
        assert world.status.age_s == 7

    live(World(), work)


def test_the_wall_clock_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        before = world.keys
        for jump in (-1e9, 1e9, 0.0, -1e6):
            monkeypatch.setattr(time, "time", lambda jump=jump: 1_800_000_000 + jump)
            world.source.wanted()
            await world.passes(1)
            assert world.keys is before
        assert world.times == [0]
        await world.passes(296)
        assert world.times == [0, 300]

    live(World(), work)


def test_ten_thousand_unknown_keys_in_a_minute_that_html_answers_are_a_fetch_for_each_cooldown() -> None:
    async def work(world: World) -> None:
        world.network.answers[JWKS] = b"<html>"
        for _ in range(10_000):
            world.source.wanted()
            await rest(world.source)
            await world.passes(0.006)
        begun = world.times
        assert 2 <= len(begun) <= 3
        assert all(later - earlier >= 30 for earlier, later in pairwise(begun))
        assert world.kids == {"a", "b"}

    live(World(), work)


def test_ten_thousand_unknown_keys_during_one_fetch_are_that_fetch() -> None:
    async def work(world: World) -> None:
        world.network.held = asyncio.Event()
        for _ in range(10_000):
            await world.passes(0.006)
            world.source.wanted()
            await asyncio.sleep(0)
        await steps()
        assert world.times == [0, pytest.approx(30, abs=0.1)]
        world.network.held.set()
        await rest(world.source)
        await steps()
        assert world.status.fetches == 2

    live(World(), work)


@pytest.mark.parametrize("answer", [BOTH, DOWN], ids=["did well", "failed"])
def test_the_cooldown_counts_from_the_begin_of_a_fetch(answer: bytes | Exception) -> None:
    async def work(world: World) -> None:
        await world.asks(29.9)
        assert world.times == [0]
        await world.asks(0.1)
        assert world.times == [0, 30]
        await world.asks(29.9)
        assert len(world.times) == 2
        await world.asks(0.1)
        assert world.times == [0, 30, 60]

    live(World({JWKS: answer}, KeySourceSettings(issuer=ISSUER, jwks_url=JWKS, cooldown_s=30, refresh_s=3000)), work)


def test_a_source_that_does_not_run_fetches_nothing() -> None:
    world = World()
    world.source.wanted()
    assert world.status.fetches == 0

    async def work(world: World) -> None:
        assert world.times == [0]

    live(world, work)
    world.clock.now += 1000
    world.source.wanted()
    assert world.status.fetches == 1


def test_waiting_for_a_fetch_ends_with_the_time_of_who_waits_and_the_fetch_goes_on() -> None:
    async def work(world: World) -> None:
        world.network.held = asyncio.Event()
        world.network.answers[JWKS] = ONLY_B
        world.clock.now += 30
        world.source.wanted()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.source.settled(), 0.01)
        world.network.held.set()
        await rest(world.source)
        assert world.kids == {"b"}
        assert len(world.times) == 2

    live(World(), work)


def test_nobody_waits_for_a_source_that_was_cancelled() -> None:
    async def once() -> bool:
        world = World()
        world.network.held = asyncio.Event()
        running = asyncio.ensure_future(world.source.run())
        waiting = asyncio.ensure_future(world.source.settled())
        await steps()
        before = waiting.done()
        running.cancel()
        await asyncio.wait_for(waiting, 5)
        assert running.cancelled()
        return before

    assert asyncio.run(once()) is False


def document(**changes: Any) -> bytes:
    whole = {"issuer": ISSUER, "jwks_uri": JWKS, "token_endpoint": f"{ISSUER}/token", **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def test_discovery_says_where_the_keys_are_each_time() -> None:
    async def work(world: World) -> None:
        assert [url for _, url in world.network.asked] == [DOCUMENT, JWKS]
        world.network.answers |= {DOCUMENT: document(jwks_uri=f"{ISSUER}/new"), f"{ISSUER}/new": ONLY_B}
        await world.passes(300)
        assert world.kids == {"b"}
        assert world.status.fetches == 2

    live(World({DOCUMENT: document(), JWKS: ONLY_A}, DISCOVERED), work)


PLACES = {
    "no path": (ISSUER, DOCUMENT),
    "a slash at the end": (f"{ISSUER}/", DOCUMENT),
    "a path": (f"{ISSUER}/tenant/v2.0", f"{ISSUER}/tenant/v2.0/.well-known/openid-configuration"),
    "a path with a slash at the end": (f"{ISSUER}/t/", f"{ISSUER}/t/.well-known/openid-configuration"),
}


@pytest.mark.parametrize(("issuer", "url"), PLACES.values(), ids=PLACES.keys())
def test_the_document_stands_below_the_issuer(issuer: str, url: str) -> None:
    assert KeySourceSettings(issuer=issuer).discovery_url == url


def test_a_document_that_does_not_come_leads_nowhere() -> None:
    async def work(world: World) -> None:
        before = world.keys
        world.network.answers |= {DOCUMENT: DOWN, JWKS: ONLY_B}
        await world.passes(300)
        assert [url for _, url in world.network.asked] == [DOCUMENT, JWKS, DOCUMENT]
        assert world.keys is before
        assert world.status.reason == "fetch.unreachable"

    live(World({DOCUMENT: document(), JWKS: ONLY_A}, DISCOVERED), work)


def test_stored_keys_count_at_once_and_while_the_issuer_is_down() -> None:
    async def work(world: World) -> None:
        assert world.kids == {"a", "b"}
        assert world.status.age_s == 86_000
        assert world.owner.told == []
        await world.passes(400)
        assert world.kids == {"a", "b"}
        await world.passes(0.001)
        assert world.keys is None

    world = World({JWKS: DOWN}, initial=StoredKeys(BOTH, 86_000))
    assert world.kids == {"a", "b"}, "before anything runs"
    live(world, work)


def test_stored_keys_that_are_still_the_keys_stay_the_same_object() -> None:
    world = World(initial=StoredKeys(BOTH, 60))
    before = world.keys

    async def work(world: World) -> None:
        assert world.keys is before
        assert world.owner.told == []
        assert world.owner.stored == [BOTH]
        assert world.status.age_s == 0

    live(world, work)


def test_stored_keys_that_are_not_the_keys_are_replaced() -> None:
    async def work(world: World) -> None:
        assert world.kids == {"b"}
        assert world.owner.told == [world.keys]

    live(World({JWKS: ONLY_B}, initial=StoredKeys(BOTH, 60)), work)


STORED = {
    "older than they may be": (StoredKeys(BOTH, 86_401), ""),
    "from the future": (StoredKeys(BOTH, -1), "stored.age"),
    "of no age": (StoredKeys(BOTH, math.nan), "stored.age"),
    "of an age without end": (StoredKeys(BOTH, math.inf), "stored.age"),
    "rubbish": (StoredKeys(b"\x00\xff", 1), "set.json"),
    "an empty file": (StoredKeys(b"", 1), "set.json"),
    "an empty set": (StoredKeys(b'{"keys": []}', 1), "set.empty"),
    "a set with a secret": (StoredKeys(b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', 1), "set.symmetric"),
}


@pytest.mark.parametrize(("initial", "reason"), STORED.values(), ids=STORED.keys())
def test_stored_keys_do_not_count_when_they_are(initial: StoredKeys, reason: str) -> None:
    world = World(initial=initial)
    assert world.keys is None
    assert world.status.reason == reason

    async def work(world: World) -> None:
        assert world.kids == {"a", "b"}
        assert world.owner.told == [world.keys]
        assert world.status.reason == ""

    live(world, work)


def test_keys_that_cannot_be_stored_count_and_it_is_said() -> None:
    async def work(world: World) -> None:
        world.owner.failing = OSError("no space left")
        await world.passes(300)
        assert (world.kids, world.status.stored, world.status.reason) == ({"a", "b"}, False, "")
        assert world.status.age_s == 0
        world.owner.failing = None
        await world.passes(300)
        assert world.status.stored

    live(World(), work)


def test_keys_need_no_store() -> None:
    async def work(world: World) -> None:
        assert world.kids == {"a", "b"}
        assert world.status.stored

    live(World(storing=False), work)


def test_an_owner_that_fails_is_told_again() -> None:
    async def work(world: World) -> None:
        world.owner.failing = RuntimeError("not now")
        world.network.answers[JWKS] = ONLY_B
        await world.passes(300)
        assert world.kids == {"b"}
        assert world.status.reason == "source.internal"
        world.owner.failing = None
        await world.asks()
        assert world.owner.told[1:] == [world.keys]
        await world.asks()
        assert len(world.owner.told) == 2

    live(World(), work)


def test_a_reason_is_logged_when_it_changes_and_an_end_of_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        world.network.answers[JWKS] = DOWN
        for _ in range(5):
            await world.asks()
        world.network.answers[JWKS] = b"<html>"
        await world.asks()
        world.network.answers[JWKS] = BOTH
        await world.asks()
        await world.asks()

    caplog.set_level(logging.INFO, "pdp.identity.key_sources")
    live(World(), work)
    assert [each.getMessage() for each in caplog.records] == [
        f"the keys of {ISSUER} stay as they are: fetch.unreachable",
        f"the keys of {ISSUER} stay as they are: set.json",
        f"the keys of {ISSUER} are fetched again",
    ]


UNFIT: dict[str, dict[str, Any]] = {
    "no cooldown": {"cooldown_s": 0},
    "a cooldown longer than a refresh": {"cooldown_s": 301},
    "a refresh longer than keys count": {"refresh_s": 90_000},
    "keys that count for ever": {"max_stale_s": math.inf},
    "times that are no numbers": {"cooldown_s": math.nan},
    "more jitter than wait": {"jitter": 1.5},
    "jitter that lengthens": {"jitter": -0.1},
    "no issuer": {"issuer": ""},
    "an issuer with a query": {"issuer": f"{ISSUER}?x"},
    "an issuer with a fragment": {"issuer": f"{ISSUER}#x"},
}


@pytest.mark.parametrize("changes", UNFIT.values(), ids=UNFIT.keys())
def test_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cooldown_s|jitter|issuer"):
        KeySourceSettings(**{"issuer": ISSUER, **changes})


EVENTS = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from([ONLY_A, ONLY_B, BOTH, b"<html>", DOWN])),
    st.tuples(st.just("wanted"), st.none()),
    st.tuples(st.just("wait"), st.floats(0.1, 700)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=25), st.floats(0, 1, exclude_max=True))
def test_whatever_comes_fetches_are_apart_and_keys_are_the_last_good_ones(
    events: Sequence[tuple[str, Any]], drawn: float
) -> None:
    """begun[i+1] - begun[i] >= cooldown, and keys(t) = the last good set if t - its begin <= max_stale, else none."""
    good: dict[bytes | Exception, set[str]] = {ONLY_A: {"a"}, ONLY_B: {"b"}, BOTH: {"a", "b"}}

    async def work(world: World) -> None:
        for event, value in events:
            if event == "answer":
                world.network.answers[JWKS] = value
            elif event == "wanted":
                await world.asks(0)
            else:
                await world.passes(value)
            at, answer = [each for each in world.network.given if each[1] in good][-1]
            assert world.kids == (good[answer] if world.clock.now - at <= 1000 else None)
        assert all(later - earlier >= 30 - 1e-6 for earlier, later in pairwise(world.times))

    setting = KeySourceSettings(issuer=ISSUER, jwks_url=JWKS, max_stale_s=1000, jitter=0.5)
    live(World(setting=setting, random=lambda: drawn), work)
