"""pdp.minting under load: whatever the settings, who holds the published set as long as it may verifies every token.

What tests/service/test_minting_laws.py says of names of keys is said here of whole tokens: keys on the disk, two
processes that mint and publish, tokens made by `Minter`, and a service that verifies them with `Verifier`.
"""

from __future__ import annotations

import random
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import MOST_LEEWAY_S, Issuer, TokenRefusal, Verifier
from pdp.minting.key_store import KeyStore, Snapshot
from pdp.minting.keys import MOST_ROTATE_S, MOST_TOKEN_LIFE_S, US, MintingAlgorithm, Rotation
from pdp.minting.minter import Minter, Subject
from pdp.model import Minted

START_S = 1_800_000_000
URL = "https://pdp.example"
ROTATIONS = 4
LOADED = 12
"""Times, evenly spread over the time for which one key signs, at which each process mints a token."""
PROCESSES = 2
SUBJECTS = 2


class Process:
    """One process of a host: it looks at the keys every so often, mints with what it found, and publishes that."""

    def __init__(self, store: KeyStore, rotation: Rotation, every_s: int, entropy: Callable[[int], bytes]) -> None:
        self._store, self.every_s, self._looked_s = store, every_s, 0
        self.keys = store.look(START_S * US, 0)
        self.minter = Minter(URL, "edge", rotation.token_life_s, self.keys, entropy)

    def at(self, second: int) -> None:
        if second - self._looked_s >= self.every_s:
            self._looked_s = second
            self.keys = self._store.look((START_S + second) * US, second * US)
            self.minter.use(self.keys)


class Holder:
    """A service with the published set, which it asks for again before that is older than `keep_s`."""

    def __init__(self, rotation: Rotation, keep_s: int) -> None:
        self._rotation, self._keep_s, self._asked_s, self._held = rotation, keep_s, -keep_s - 1, b""

    def at(self, second: int, published: Snapshot) -> None:
        if second - self._asked_s <= self._keep_s:
            return
        self._asked_s = second
        if published.jwks != self._held:
            self._held = published.jwks
            keys = read_key_set(published.jwks)
            assert isinstance(keys, KeySet)
            algorithms, types = frozenset({self._rotation.algorithm}), frozenset({"at+jwt"})
            self._verifier = Verifier([Issuer(URL, keys, algorithms, types, self._rotation.leeway_s)])

    def refuses(self, token: str, second: int) -> str:
        """Why a token is refused, "" where it is good."""
        verified = self._verifier.verify(token, START_S + second)
        return verified.reason if isinstance(verified, TokenRefusal) else ""


class Load(Struct):
    """What became of a load: `new` tokens were made, `again` handed out again, `without` not to be had. `refused` has a
    reason for each time that one could not be verified.
    """

    new: int = 0
    again: int = 0
    without: int = 0
    kids: set[str] = field(default_factory=set)
    verified: int = 0
    refused: list[str] = field(default_factory=list)

    def take(self, minter: Minter, second: int) -> Minted | None:
        """A token, kept from its making on, for one of a few subjects; None where there is none."""
        asked = self.new + self.again
        subject, record = Subject("https://id.example", f"u{asked % SUBJECTS}"), f"record {asked}"
        minted = minter.token(subject, "orders", (), (START_S + second) * US, None, record)
        if isinstance(minted, str):
            self.without += 1
            return None
        if minted.record == record:
            minter.keep(minted)
            self.new += 1
        else:
            self.again += 1
        self.kids.add(minted.kid)
        return minted

    def verify(self, holders: Sequence[Holder], token: str, second: int) -> None:
        reasons = [holder.refuses(token, second) for holder in holders]
        self.verified += reasons.count("")
        self.refused += filter(None, reasons)


def under_load(rotation: Rotation, every_s: Sequence[int], keep_s: int, seed: int = 0) -> Load:
    """Mint through all rotations. Each token is verified when it is handed out, and in the last second of its life, by
    a service that holds the set for up to `keep_s` and by one that has just asked for it, of any of the processes.
    """
    chance, load = random.Random(seed), Load()
    last_s, life_s = ROTATIONS * rotation.rotate_every_s, rotation.token_life_s + rotation.leeway_s
    loaded = {last_s * number // (ROTATIONS * LOADED) for number in range(ROTATIONS * LOADED)}
    over = {second + life_s - 1 for second in loaded}
    looks = {second for each in every_s for second in range(0, last_s + life_s, each)}
    holders, live = (Holder(rotation, keep_s), Holder(rotation, -1)), deque[Minted]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "minting"
        stores = [stack.enter_context(closing(KeyStore(folder, rotation, chance.randbytes))) for _ in every_s]
        processes = [Process(store, rotation, s, chance.randbytes) for store, s in zip(stores, every_s, strict=True)]
        for second in sorted(looks | loaded | over):
            for process in processes:
                process.at(second)
            for holder in holders:
                holder.at(second, chance.choice(processes).keys)
            for process in processes if second in loaded else ():
                minted = load.take(process.minter, second)
                if minted is not None:
                    load.verify(holders, minted.token, second)
                    live.append(minted)
            while live and (ends_s := live[0].expires_at - START_S + rotation.leeway_s - 1) <= second:
                load.verify(holders, live.popleft().token, ends_s)
    assert not live
    return load


@st.composite
def rotations(draw: st.DrawFn) -> Rotation:
    """Every setting that is admitted, but for keys that sign more than twice as long as they must."""
    life_s, leeway_s = draw(st.integers(1, MOST_TOKEN_LIFE_S)), draw(st.integers(0, MOST_LEEWAY_S))
    least_s = max(2, life_s + leeway_s)
    ahead_s = draw(st.just(least_s) | st.integers(least_s, 4 * least_s) | st.integers(least_s, MOST_ROTATE_S // 2))
    rotate_s = draw(st.just(2 * ahead_s) | st.integers(2 * ahead_s, min(4 * ahead_s, MOST_ROTATE_S)))
    return Rotation(draw(st.sampled_from(["ES256", "EdDSA"])), rotate_s, ahead_s, life_s, leeway_s)


@settings(max_examples=25, deadline=None)
@given(st.data(), rotations(), st.integers(0, 2**32))
def test_rotation_under_load_makes_no_token_that_who_holds_the_set_cannot_verify(
    data: st.DataObject, rotation: Rotation, seed: int
) -> None:
    """For all settings, and all processes that look at the keys at least twice while one waits: refused = 0."""
    half_s = rotation.publish_ahead_s // 2
    every_s = [data.draw(st.integers(max(1, half_s // 4), half_s)) for _ in range(PROCESSES)]
    load = under_load(rotation, every_s, rotation.max_age_s, seed)
    assert load.refused == []
    assert load.without == 0
    assert load.new + load.again == PROCESSES * ROTATIONS * min(LOADED, rotation.rotate_every_s)
    assert load.verified == 4 * (load.new + load.again)
    assert len(load.kids) == ROTATIONS


def test_a_service_that_keeps_the_set_for_longer_than_it_may_is_found_out() -> None:
    """The load above sees what it is to see."""
    rotation = Rotation("EdDSA", rotate_every_s=240, publish_ahead_s=120, token_life_s=60)
    load = under_load(rotation, (20, 20), keep_s=rotation.rotate_every_s)
    assert set(load.refused) == {"token.key"}


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_settings_as_they_are_served_rotate_without_a_loss(algorithm: MintingAlgorithm) -> None:
    rotation = Rotation(algorithm, rotate_every_s=86_400, publish_ahead_s=3_600, token_life_s=60)
    load = under_load(rotation, (600, 1_800), rotation.max_age_s)
    assert (load.refused, load.without, len(load.kids)) == ([], 0, ROTATIONS)


def test_tokens_that_are_handed_out_again_outlive_no_key() -> None:
    """One that is kept goes on being handed out while keys rotate beneath it."""
    rotation = Rotation("EdDSA", rotate_every_s=720, publish_ahead_s=360, token_life_s=300)
    load = under_load(rotation, (20, 20), rotation.max_age_s)
    assert (load.refused, load.without, len(load.kids)) == ([], 0, ROTATIONS)
    assert min(load.new, load.again) > ROTATIONS * LOADED // 3
