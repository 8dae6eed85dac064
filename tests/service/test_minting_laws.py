"""pdp.minting: what holds of every row of rotations, whatever the clocks do, and of every token."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import jwt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pdp.identity.jwks import KeySet, read_key_set
from pdp.minting.key_store import LocalSigner, Snapshot
from pdp.minting.keys import (
    MOST_KEYS,
    US,
    Birth,
    Rotation,
    Seen,
    SigningKey,
    changed,
    look,
    make_key,
    plan,
    published,
    signing,
)
from pdp.minting.minter import Minter, Subject
from pdp.minting.pairwise import pairwise_subject
from pdp.model import Minted

SETTINGS = Rotation(algorithm="EdDSA", rotate_every_s=40, publish_ahead_s=10, token_life_s=3, leeway_s=2)
AHEAD_US = SETTINGS.publish_ahead_s * US
OVER_US = (SETTINGS.token_life_s + SETTINGS.leeway_s) * US
START_US = 1_800_000_000 * US
ISSUER = "https://pdp.example"
SECRET = bytes(range(32))
LAW = settings(max_examples=100, deadline=None)


@dataclass
class Host:
    """A host with a folder of keys, one process that rotates, and one that reads; `real_us` is the time that passed,
    which no jump of the host's clock changes.
    """

    entropy: random.Random = field(default_factory=lambda: random.Random(7))
    real_us: int = 0
    offset_us: int = START_US
    keys: dict[str, SigningKey] = field(default_factory=dict)
    in_set_since: dict[str, int] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    snapshots: dict[str, tuple[SigningKey, int] | None] = field(default_factory=dict)
    first: str = ""
    tokens: list[tuple[str, int]] = field(default_factory=list)
    refused: int = 0

    @property
    def now_us(self) -> int:
        return self.offset_us + self.real_us

    def put(self, key: SigningKey) -> None:
        self.keys[key.kid] = key
        self.in_set_since.setdefault(key.kid, self.real_us)

    def run(self, steps: int | None = None) -> None:
        """One look of the process that rotates, which crashes after so many writes."""
        found = tuple(self.keys.values())
        self.seen = look(self.seen, found, self.now_us, self.real_us)
        what = plan(found, self.seen, self.now_us, self.real_us, SETTINGS, fresh=not found)
        for key in changed(found, what, self.now_us, SETTINGS)[:steps]:
            self.put(key)
        if steps is None:
            if what.make is not None:
                key = make_key(what.make, self.now_us, SETTINGS, self.entropy.randbytes)
                self.first = key.kid if what.make.first else self.first
                self.put(key)
            for kid in what.delete:
                del self.keys[kid]
                del self.in_set_since[kid]
            self.seen = look(self.seen, self.keys.values(), self.now_us, self.real_us)
            self.snapshots["rotates"] = self.read()
        else:
            self.restart()

    def read(self) -> tuple[SigningKey, int] | None:
        key = signing(self.keys.values(), self.now_us)
        return None if key is None else (key, min(key.ends_us, self.now_us + AHEAD_US))

    def restart(self) -> None:
        self.seen = {}
        self.snapshots.pop("rotates", None)

    def mint(self, who: str = "rotates") -> None:
        held = self.snapshots.get(who)
        if held is None or not (held[0].promoted_us or 0) <= self.now_us < held[1]:
            self.refused += 1
            return
        key = held[0]
        assert key.not_before_us <= self.now_us < key.not_after_us
        assert key.kid == self.first or self.real_us - self.in_set_since[key.kid] >= AHEAD_US
        self.tokens.append((key.kid, self.real_us))

    def check(self) -> None:
        assert {kid for kid, minted_us in self.tokens if self.real_us - minted_us <= OVER_US} <= self.keys.keys()
        assert len(self.keys) <= MOST_KEYS


PASSES = st.tuples(st.just("pass"), st.integers(1, 15 * US) | st.integers(1, 300 * US))
JUMPS = st.tuples(st.just("jump"), st.integers(-5 * US, 5 * US) | st.integers(-400 * US, 400 * US))
CRASHES = st.tuples(st.just("crash"), st.integers(0, 2))
ACTS = st.sampled_from([("run", 0), ("run", 0), ("mint", 0), ("mint", 0), ("restart", 0)])
HOUR_AHEAD = [("run", 0), ("mint", 0), ("jump", 200 * US), ("run", 0), ("pass", US), ("run", 0), ("mint", 0)]


@LAW
@example(steps=HOUR_AHEAD)
@example(steps=[*HOUR_AHEAD, ("jump", -200 * US), ("run", 0), ("mint", 0)])
@given(st.lists(PASSES | JUMPS | CRASHES | ACTS, max_size=60))
def test_what_signs_was_published_long_enough_and_what_lives_can_be_verified(steps: list[tuple[str, int]]) -> None:
    """For every row of steps: each token's key was in the set for `publish_ahead_s` of real time before it signed, and
    is in it until life and leeway of the token are over.
    """
    host = Host()
    for what, amount in steps:
        match what:
            case "pass":
                host.real_us += amount
            case "jump":
                host.offset_us += amount
            case "crash":
                host.run(amount)
            case "run":
                host.run()
            case "mint":
                host.mint()
            case "restart":
                host.restart()
        host.check()


READS = st.sampled_from([("read", 0), ("reader mints", 0)])


@LAW
@given(st.lists(PASSES | CRASHES | ACTS | READS, max_size=60))
def test_a_process_that_only_reads_keeps_the_same_promises(steps: list[tuple[str, int]]) -> None:
    host = Host()
    for what, amount in steps:
        match what:
            case "pass":
                host.real_us += amount
            case "crash":
                host.run(amount)
            case "run":
                host.run()
            case "read":
                host.snapshots["reads"] = host.read()
            case "restart":
                host.restart()
            case "mint" | "reader mints":
                host.mint("rotates" if what == "mint" else "reads")
        host.check()


def test_rotation_under_load_refuses_nothing_and_loses_nothing() -> None:
    """A service that keeps the set for as long as it is told to can verify every token of fifty rotations."""
    host = Host()
    kept: set[str] = set()
    host.run()
    host.run()
    for second in range(50 * SETTINGS.rotate_every_s):
        if second % SETTINGS.max_age_s == 0:
            kept = set(host.keys)
        host.run()
        host.mint()
        assert host.tokens[-1][0] in kept
        host.check()
        host.real_us += US
    assert host.refused == 0
    assert len({kid for kid, _ in host.tokens}) == 50
    assert len(host.keys) <= 3


def test_missed_runs_of_a_whole_rotation_cost_nothing() -> None:
    host = Host()
    host.run()
    host.run()
    host.real_us += 2 * SETTINGS.rotate_every_s * US - 1
    host.restart()
    host.run()
    host.mint()
    assert host.refused == 0


def test_after_missed_runs_beyond_every_key_nothing_signs_until_a_new_one_was_published() -> None:
    host = Host()
    host.run()
    host.run()
    host.real_us += 4 * SETTINGS.rotate_every_s * US
    host.restart()
    for waited_s in range(SETTINGS.publish_ahead_s + 1):
        host.run()
        host.mint()
        assert host.refused == min(waited_s + 1, SETTINGS.publish_ahead_s)
        host.real_us += US
    assert len(host.tokens) == 1


@pytest.mark.parametrize("days", [30, -30])
def test_a_clock_that_was_wrong_for_a_moment_changes_nothing(days: int) -> None:
    host = Host()
    host.run()
    host.run()
    before = host.read()
    assert before is not None
    host.offset_us += days * 86_400 * US
    host.run()
    assert host.read() is None
    host.mint()
    assert host.refused == 1
    host.offset_us -= days * 86_400 * US
    host.run()
    assert host.read() == before


@pytest.mark.parametrize("seed", range(20))
def test_long_rows_of_trouble_keep_the_promises_and_mint_most_of_the_time(seed: int) -> None:
    """The first law over rows too long to be found by chance, with few jumps, so that much is signed."""
    host, chance = Host(), random.Random(seed)
    for _ in range(1000):
        host.real_us += chance.randrange(2 * US)
        match chance.randrange(50):
            case 0:
                host.offset_us += chance.randrange(-100 * US, 100 * US)
            case 1:
                host.run(chance.randrange(3))
            case 2:
                host.real_us += chance.randrange(60 * US)
            case 3:
                host.restart()
            case _:
                host.run()
        host.mint()
        host.check()
    assert len({kid for kid, _ in host.tokens}) > 5
    assert len(host.tokens) > 300


def test_a_clock_that_leaps_about_makes_a_bounded_number_of_keys() -> None:
    host = Host()
    for _ in range(3 * MOST_KEYS):
        host.run()
        host.offset_us += 86_400 * US
    assert len(host.keys) == MOST_KEYS


@pytest.mark.parametrize("seed", range(10))
def test_long_rows_of_seldom_looks_keep_the_promises_for_who_only_reads(seed: int) -> None:
    host, chance = Host(), random.Random(seed)
    for _ in range(1500):
        host.real_us += chance.randrange(2 * US)
        host.run()
        if chance.randrange(12) == 0:
            host.snapshots["reads"] = host.read()
        host.mint("reads")
        host.check()
    assert len({kid for kid, _ in host.tokens}) > 20


def snapshot(key: SigningKey, secret: bytes = SECRET) -> Snapshot:
    return Snapshot(LocalSigner(key), key.promoted_us or 0, key.ends_us, secret, published([key]))


KEY = make_key(Birth(first=True), START_US, Rotation(algorithm="EdDSA"), random.Random(1).randbytes)
KEYS = read_key_set(published([KEY]))


def minter(keys: Snapshot | None = None, **changes: Any) -> Minter:
    base = {"issuer": ISSUER, "client_id": "edge", "token_life_s": 60, "entropy": random.Random(2).randbytes}
    return Minter(**{**base, **changes}, keys=snapshot(KEY) if keys is None else keys)


def minted(answer: Minted | str) -> Minted:
    assert isinstance(answer, Minted), answer
    return answer


def claims(token: str, audience: str) -> dict[str, Any]:
    """As a service reads them that checks everything but the time, which is not that of its own clock here."""
    assert isinstance(KEYS, KeySet)
    key = KEYS.find(KEY.kid)
    assert key is not None
    read: dict[str, Any] = jwt.decode(
        token,
        key.public,
        algorithms=["EdDSA"],
        audience=audience,
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False},
    )
    return read


DECISIONS = count()


def asked_of(
    here: Minter, subject: Subject, audience: str, scopes: tuple[str, ...], now_us: int, end_us: int | None
) -> Minted | str:
    """What the minter says; a new token is kept."""
    record = f"d{next(DECISIONS)}"
    answer = here.token(subject, audience, scopes, now_us, end_us, record)
    if isinstance(answer, Minted) and answer.record == record:
        here.keep(answer)
    return answer


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
SCOPES = st.lists(st.sampled_from(["orders:read", "orders:write", "a", "b", "c"]), max_size=6).map(tuple)


@LAW
@given(name=NAMES, issuer=NAMES, one=NAMES, other=NAMES)
def test_a_token_for_one_service_never_verifies_as_another(name: str, issuer: str, one: str, other: str) -> None:
    token = minted(asked_of(minter(), Subject(issuer, name), one, ("a",), START_US, None)).token
    assert claims(token, one)["aud"] == one
    if other != one:
        with pytest.raises(jwt.InvalidAudienceError):
            claims(token, other)


TRIPLES = st.tuples(*(st.text(max_size=4),) * 3)


@LAW
@example(one=("ab", "c", "d"), other=("a", "bc", "d"))
@example(one=("", "a", ""), other=("a", "", ""))
@example(one=("a", "b", "c"), other=("a", "c", "b"))
@given(one=TRIPLES, other=TRIPLES)
def test_names_are_equal_exactly_where_issuer_subject_and_service_are(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (pairwise_subject(SECRET, *one) == pairwise_subject(SECRET, *other)) == (one == other)


@dataclass
class Caller:
    """A caller that asks again and again, and what it was given."""

    name: str
    service: str
    scopes: tuple[str, ...]
    ends_in_us: int | None


CALLERS = st.builds(
    Caller,
    name=st.sampled_from(["ann", "bob"]),
    service=st.sampled_from(["orders", "payments"]),
    scopes=SCOPES,
    ends_in_us=st.none() | st.integers(-5 * US, 200 * US),
)
LATER = st.integers(0, 70 * US) | st.integers(0, US)


@LAW
@given(st.lists(st.tuples(CALLERS, LATER), max_size=40), st.integers(1, 4))
def test_every_token_handed_out_is_the_callers_and_lives_long_enough(
    asked: list[tuple[Caller, int]], capacity: int
) -> None:
    """exp <= the caller's end; exp - now >= half of the life, or exp is that end in whole seconds."""
    here = minter(capacity=capacity)
    now_us = START_US
    for caller, later_us in asked:
        now_us += later_us
        end_us = None if caller.ends_in_us is None else now_us + caller.ends_in_us
        answer = asked_of(
            here, Subject("https://id.example", caller.name), caller.service, caller.scopes, now_us, end_us
        )
        if isinstance(answer, str):
            assert answer == "mint.over"
            assert end_us is not None
            assert end_us // US * US <= now_us
            continue
        said = claims(answer.token, caller.service)
        assert said.keys() - {"scope"} == {"iss", "sub", "aud", "client_id", "iat", "exp", "jti"}
        assert said["sub"] == pairwise_subject(SECRET, "https://id.example", caller.name, caller.service)
        assert said.get("scope", "").split() == sorted(set(caller.scopes))
        assert said["iat"] * US <= now_us < said["exp"] * US <= now_us + 60 * US
        assert end_us is None or said["exp"] * US <= end_us
        assert said["exp"] * US - now_us >= 29_500_000 or (end_us is not None and said["exp"] == end_us // US)
        assert (said["exp"], said["jti"]) == (answer.expires_at, answer.jti)


@LAW
@given(st.permutations(["a", "b", "c", "b"]))
def test_one_scope_set_is_one_token_however_it_is_spelt(scopes: list[str]) -> None:
    here = minter()
    first = asked_of(here, Subject("i", "ann"), "orders", ("a", "b", "c"), START_US, None)
    assert asked_of(here, Subject("i", "ann"), "orders", tuple(scopes), START_US, None) is first


PLACES = st.tuples(*(st.sampled_from(["a", "b", "ab", "a b"]),) * 3, st.sampled_from([(), ("a",), ("a", "b"), ("ab",)]))


@LAW
@given(PLACES, PLACES)
def test_a_token_is_reused_exactly_for_the_same_subject_service_and_scopes(
    one: tuple[str, str, str, tuple[str, ...]], other: tuple[str, str, str, tuple[str, ...]]
) -> None:
    here = minter()
    first = asked_of(here, Subject(one[0], one[1]), one[2], one[3], START_US, None)
    second = asked_of(here, Subject(other[0], other[1]), other[2], other[3], START_US, None)
    assert (first is second) == (one == other)


@LAW
@given(st.integers(0, 200 * US))
def test_a_retired_key_hands_nothing_out(retired_in_us: int) -> None:
    retired = dataclasses.replace(KEY, retired_us=START_US + retired_in_us)
    here = minter(snapshot(retired))
    for now_us in range(START_US, START_US + 240 * US, 7 * US):
        answer = asked_of(here, Subject("i", "ann"), "orders", (), now_us, None)
        assert (answer == "mint.no_key") == (now_us >= START_US + retired_in_us)
