"""What identity costs: one token, a flood of keys that nobody has, and the tokens that are minted here.

    build/venv/bin/python -m benchmarks.identity

Medians of many calls in process. Each call brings its text anew, as a request does, so that nothing of it is known to
the interpreter; what making the text costs is measured by itself and taken off.

The flood comes in turns, with and without, while other tokens are decided at a steady rate; the issuer that is asked
for keys stands in the same event loop, so that what it costs counts against us. What a decision takes "from when due"
holds all that it waited for, other processes of the machine included; "loop" is the processor's time that went into the
event loop meanwhile, and says what the flood itself does to it.

Rotation runs by a clock of its own, at settings that leave it the least time: nothing there is measured but how many
tokens could not be verified.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import count, cycle, islice
from pathlib import Path
from typing import cast

from msgspec import Struct, field

from pdp.audit.writer import Receipt
from pdp.config_identity import IssuerConfig
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity, Proven
from pdp.identity.issuers import read_issuers
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verified, Verifier
from pdp.identity.network import trusted
from pdp.metrics import Metrics
from pdp.minting.key_store import KeyStore
from pdp.minting.keys import US, MintingAlgorithm, Rotation, base64url
from pdp.minting.minter import Minter, Subject
from pdp.model import EXT_AUTHZ, Inquiry, Json, Minted
from pdp.service import DecisionService, Receipts
from tests.support.cases import EDGE, engine
from tests.support.issuer_server import IssuerServer, saying
from tests.support.issuing import TestIssuer

ROUNDS = 20_001
FIRST_ROUNDS = 501
NEW_ROUNDS = 2_001

FLOOD = 10_000
TURNS = 10
QUIET_S = 0.5
EVERY_S = 0.005
"""How often another token comes while the flood does, and while it does not."""
OTHERS = 50
COOLDOWN_S = 1

ALGORITHMS: tuple[MintingAlgorithm, ...] = ("ES256", "EdDSA")
URL = "https://pdp.example"
ROTATIONS = 25
LOOK_EVERY_S = 20
SCOPES = ("orders:read", "orders:write")
START_S = 1_800_000_000


def median_us(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median time of one piece of work."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1e3


# ---------------------------------------------------------------- one token


def tokens() -> None:
    """A token that was seen before, and one that is new."""
    issuer, now = TestIssuer(), int(time.time())
    keys = cast("KeySet", read_key_set(json.dumps(issuer.key_set()).encode()))
    trusted_one = Issuer(url=issuer.url, keys=keys, algorithms=frozenset({"ES256"}), types=frozenset({"at+jwt"}))
    print("| characters of the token | seen before, µs | SHA-256 of it, µs | seen for the first time, µs |")
    print("|---|---|---|---|")
    for roles in (1, 40, 80):
        token = issuer.mint({"sub": "u1", "roles": [f"role-{number}" for number in range(roles)]}, now)
        seen, digest, new = _of_one(trusted_one, token, now)
        print(f"| {len(token)} | {seen:.2f} | {digest:.2f} | {new:.0f} |")


def _of_one(issuer: Issuer, token: str, now: int) -> tuple[float, float, float]:
    """Microseconds for a token that was seen before, for its SHA-256, and for its first sight."""
    known, forgetful = Identity(Verifier([issuer])), Identity(Verifier([issuer]), capacity=0)

    def value() -> tuple[str]:
        return ("".join(("Bearer ", token)),)

    if not isinstance(known.prove(value(), now), Proven):
        raise SystemExit("the token is refused")
    text = median_us(value)
    seen = median_us(lambda: known.prove(value(), now)) - text
    digest = median_us(lambda: hashlib.sha256(value()[0].encode("ascii")).digest()) - text
    new = median_us(lambda: forgetful.prove(value(), now), FIRST_ROUNDS) - text
    return seen, digest, new


# ---------------------------------------------------------------- a flood of unknown keys


class Taken(Struct):
    """Microseconds of each call of the other tokens, in the order they came."""

    identity: list[float] = field(default_factory=list)
    decision: list[float] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)


class Flood(Struct, frozen=True):
    """What both streams ask, and what they found."""

    service: DecisionService
    identity: Identity
    others: Iterator[Inquiry]
    unknown: Iterator[Inquiry]

    async def steady(self, taken: Taken, goes_on: Callable[[], bool]) -> None:
        """Another token every `EVERY_S`, however long the one before took."""
        due = time.perf_counter()
        while goes_on():
            due += EVERY_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            inquiry, now_us = next(self.others), time.time_ns() // 1_000
            began = time.perf_counter()
            proven = self.identity.prove((inquiry.headers[0][1],), now_us // US)
            between, used = time.perf_counter(), time.thread_time()
            decision = await self.service.decide(inquiry, now_us, None)
            ended, used = time.perf_counter(), time.thread_time() - used
            if not isinstance(proven, Proven) or decision.outcome != "allow":
                raise SystemExit(f"a token was refused: {decision.reason}")
            taken.identity.append((between - began) * 1e6)
            taken.decision.append((ended - between) * 1e6)
            taken.due.append((ended - due) * 1e6)
            taken.loop.append(used * 1e6)

    async def flood(self, tokens: int) -> float:
        """So many unknown keys, one after the other; the seconds it took."""
        began = time.perf_counter()
        for inquiry in islice(self.unknown, tokens):
            decision = await self.service.decide(inquiry, time.time_ns() // 1_000, None)
            if decision.reason != "token.key":
                raise SystemExit(f"an unknown key is {decision.outcome} by {decision.reason}")
        return time.perf_counter() - began


def inquiry_of(token: str) -> Inquiry:
    """A call that the policy allows, with this token."""
    return Inquiry(
        service="ledger",
        method="GET",
        path="/accounts/a1",
        host="ledger.example",
        headers=(("authorization", f"Bearer {token}"),),
        gateway="edge",
        identity=EDGE,
        capabilities=EXT_AUTHZ,
        ip="203.0.113.7",
    )


def with_unknown_keys(token: str) -> Iterator[str]:
    """The same token under one name of a key after another; nobody gets as far as its signature."""
    _, payload, signature = token.split(".")
    for number in count():
        header = {"alg": "ES256", "typ": "at+jwt", "kid": f"unknown-{number}"}
        yield f"{base64url(json.dumps(header).encode())}.{payload}.{signature}"


def at(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return sorted(values)[len(values) * percent // 100]


async def floods() -> None:
    """Other tokens with and without a flood of keys that nobody has."""
    issuer, now = TestIssuer(), int(time.time())
    minted = [issuer.mint({"sub": f"u{n}", "accounts": ["a1"], "aud": "ledger"}, now) for n in range(OTHERS)]
    answers = {"/keys": saying(json.dumps(issuer.key_set()).encode())}
    async with IssuerServer(answers, None) as server:
        url = f"http://127.0.0.1:{server.port}/keys"
        configured = [IssuerConfig(issuer.url, ("ES256",), jwks_url=url, cooldown_s=COOLDOWN_S)]
        with tempfile.TemporaryDirectory() as folder:
            async with trusted(configured, read_issuers(configured), Path(folder), lambda *_: None) as trust:
                running, began = asyncio.ensure_future(trust.run()), time.monotonic()
                await trust.settled(5)
                flood = Flood(
                    _service(trust.identity),
                    trust.identity,
                    cycle([inquiry_of(token) for token in minted]),
                    map(inquiry_of, with_unknown_keys(minted[0])),
                )
                quiet, flooded, flood_s = await _in_turns(flood)
                elapsed_s = time.monotonic() - began
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
    _print_flood(quiet, flooded, flood_s, len(server.asked), elapsed_s)


class Forgetful:
    """A log that has taken every record at once and keeps none, so that nothing grows while it is measured."""

    def __init__(self, settled: Callable[[Sequence[Receipt]], None]) -> None:
        self._settled, self._ids = settled, count()

    def boot(self) -> int:
        """It has run once."""
        return 1

    def unrecorded(self, counted: int) -> None:
        """Nothing is refused."""

    def append(
        self,
        kind: str,
        clear: Mapping[str, Json],
        inputs: bytes | None,
        strict: bool,
        same_id: str | None = None,
        counted: int | None = None,
    ) -> Receipt:
        """Take one leaf."""
        del kind, clear, inputs, same_id, counted
        receipt = Receipt(f"{next(self._ids):032x}", strict)
        receipt.settled = True
        self._settled([receipt])
        return receipt


def _service(identity: Identity) -> DecisionService:
    receipts = Receipts(asyncio.get_running_loop())
    return DecisionService(
        Evaluator(engine, identity, service_from_host=False),
        Forgetful(receipts.settled),
        receipts,
        Metrics(),
        strict_methods=frozenset(),
        monotonic=time.monotonic,
    )


async def _in_turns(flood: Flood) -> tuple[Taken, Taken, float]:
    """The other tokens without the flood, with it, and the seconds that the flood took."""
    quiet, flooded, flood_s = Taken(), Taken(), 0.0
    await _alone(flood, Taken())
    for _ in range(TURNS):
        await _alone(flood, quiet)
        flood_s += await _together(flood, flooded)
    return quiet, flooded, flood_s


async def _alone(flood: Flood, taken: Taken) -> None:
    until = time.perf_counter() + QUIET_S
    await flood.steady(taken, lambda: time.perf_counter() < until)


async def _together(flood: Flood, taken: Taken) -> float:
    under_way = asyncio.ensure_future(flood.flood(FLOOD // TURNS))
    await flood.steady(taken, lambda: not under_way.done())
    return await under_way


def _print_flood(quiet: Taken, flooded: Taken, flood_s: float, asked: int, elapsed_s: float) -> None:
    print(f"\n{FLOOD:,} tokens with unknown keys in {flood_s:.1f} s, other tokens {1 / EVERY_S:,.0f} a second:\n")
    measured = ("identity", "decision", "loop", "from when due")
    columns = [f"{name} p{percent}, µs" for name in measured for percent in (50, 99)]
    print(f"| other tokens | calls | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for name, taken in (("without the flood", quiet), ("with the flood", flooded)):
        all_of = (taken.identity, taken.decision, taken.loop, taken.due)
        figures = [at(each, percent) for each in all_of for percent in (50, 99)]
        print(f"| {name} | {len(taken.due)} | {' | '.join(f'{figure:.1f}' for figure in figures)} |")
    due_ms = (at(flooded.due, 99) - at(quiet.due, 99)) / 1e3
    loop_ms = (at(flooded.loop, 99) - at(quiet.loop, 99)) / 1e3
    most = 1 + int(elapsed_s // COOLDOWN_S)
    print(f"\nWith the flood p99 from when due rises by {due_ms:.2f} ms, and that of the loop by {loop_ms:.2f} ms.")
    print(f"The issuer was asked {asked} times in {elapsed_s:.1f} s; its cooldown of {COOLDOWN_S} s allows {most}.")
    print("None of the other tokens was refused.")


# ---------------------------------------------------------------- minting


def minting() -> None:
    """A token that is handed out again, and a new one."""
    print("\n| minted with | handed out again, µs | new, µs |\n|---|---|---|")
    for algorithm in ALGORITHMS:
        kept, new = _of_minter(algorithm)
        print(f"| {algorithm} | {kept:.2f} | {new:.0f} |")


def _of_minter(algorithm: MintingAlgorithm) -> tuple[float, float]:
    """Microseconds for a token that is kept, and for one that is made, and kept."""
    with tempfile.TemporaryDirectory() as folder, closing(_store(folder, Rotation(algorithm))) as store:
        minter = Minter(URL, "edge", 60, store.look(START_S * US, 0), os.urandom)
    names = (f"u{number}" for number in count())

    def token(name: str) -> Minted | str:
        return minter.token(Subject("https://id.example", name), "orders", SCOPES, START_S * US, None, "record")

    def made(name: str) -> None:
        minted = token(name)
        if isinstance(minted, str):
            raise SystemExit(f"no token: {minted}")
        minter.keep(minted)

    made("ann")
    if token("ann") is not token("ann"):
        raise SystemExit("the token is not kept")
    return median_us(lambda: token("ann")), median_us(lambda: made(next(names)), NEW_ROUNDS)


def _store(folder: str, settings: Rotation) -> KeyStore:
    return KeyStore(Path(folder) / "minting", settings, os.urandom)


def rotation() -> None:
    """Tokens minted while keys rotate, verified by who holds the published set for as long as it may."""
    print("\n| minted with | rotations | tokens | could not be minted | could not be verified |\n|---|---|---|---|---|")
    for algorithm in ALGORITHMS:
        settings = Rotation(algorithm, rotate_every_s=240, publish_ahead_s=120, token_life_s=60)
        with tempfile.TemporaryDirectory() as folder, closing(_store(folder, settings)) as store:
            figures = _rotated(store, settings)
        print(f"| {algorithm} | {' | '.join(f'{figure:,}' for figure in figures)} |")


def _rotated(store: KeyStore, settings: Rotation) -> tuple[int, int, int, int]:
    """Rotations, tokens, those that could not be minted, and those that could not be verified: by the set that is held
    when they are made, or by the one that is published in the last second of their life.
    """
    minter = Minter(URL, "edge", settings.token_life_s, store.look(START_S * US, 0), os.urandom)
    life_s = settings.token_life_s + settings.leeway_s
    kids, live, missing, unverified = set[str](), deque[tuple[int, str]](), 0, 0
    for second in range(ROTATIONS * settings.rotate_every_s):
        if second % LOOK_EVERY_S == 0:
            keys = store.look((START_S + second) * US, second * US)
            minter.use(keys)
            published = _verifier(keys.jwks, settings)
        if second % settings.max_age_s == 0:
            held = published
        minted = minter.token(
            Subject("https://id.example", f"u{second}"), "orders", (), (START_S + second) * US, None, "record"
        )
        if isinstance(minted, str):
            missing += 1
            continue
        kids.add(minted.kid)
        unverified += not isinstance(held.verify(minted.token, START_S + second), Verified)
        live.append((second + life_s - 1, minted.token))
        if live[0][0] == second:
            unverified += not isinstance(published.verify(live.popleft()[1], START_S + second), Verified)
    return len(kids) - 1, second + 1 - missing, missing, unverified


def _verifier(jwks: bytes, settings: Rotation) -> Verifier:
    keys = cast("KeySet", read_key_set(jwks))
    algorithms, types = frozenset({settings.algorithm}), frozenset({"at+jwt"})
    return Verifier([Issuer(URL, keys, algorithms, types, settings.leeway_s)])


def main() -> None:
    """Measure and print."""
    tokens()
    asyncio.run(floods())
    minting()
    rotation()


if __name__ == "__main__":
    main()
