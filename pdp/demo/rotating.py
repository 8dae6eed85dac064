"""The issuer of the staff: its keys change again and again, and are to be asked for over HTTP.

In: a monotonic clock, how often keys change. Out: the key that signs, the JWK set at `/keys`, and a page at `/` that
says which key is what.
INVARIANT: a key is published for a whole period before it signs, and until the last token that it signed is over.

Decision: 2026-11-21. Keys are held in memory alone: the demo mints its tokens anew at each start.
Decision: 2026-11-21. However late a turn comes, it is one: the key that signs next has been published, no other has.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from pdp.demo.issuer import Issuer, key_id, key_set, new_issuer
from pdp.demo.ports import LOOPBACK
from pdp.demo.web import Answered, Asked

STAFF = "https://staff.shop.example"
LEAST_LIFE_S = 120
PERIODS_OF_LIFE = 5
CLOCKS_DIFFER_S = 60
"""For so long a key stays published after the last of its tokens: verifiers allow for clocks that differ."""


def keys_url(port: int) -> str:
    """Where the key set of the issuer on that port is."""
    return f"http://{LOOPBACK}:{port}/keys"


def life_s(every_s: int) -> int:
    """How long a token of this issuer lives, where its keys change every `every_s` seconds."""
    return max(LEAST_LIFE_S, PERIODS_OF_LIFE * every_s)


class Retired(Struct, frozen=True):
    """A key that signs no more, and until when it is published."""

    issuer: Issuer
    until: float


class KeyRing(Struct, frozen=True):
    """The keys at one instant; `before`, the newest first, has at least one. `since` is when `signer` began to sign.
    Times in seconds of the monotonic clock.
    """

    signer: Issuer
    following: Issuer
    before: tuple[Retired, ...]
    since: float
    every_s: int

    @property
    def turns_at(self) -> float:
        """When the key that follows begins to sign."""
        return self.since + self.every_s

    @property
    def published(self) -> bytes:
        """The JWK set."""
        return key_set(self.signer, self.following, *(each.issuer for each in self.before))


def first_ring(now: float, every_s: int) -> KeyRing:
    """The keys of an issuer that has just turned."""
    before = Retired(new_issuer(STAFF), _published_until(now, every_s))
    return KeyRing(new_issuer(STAFF), new_issuer(STAFF), (before,), now, every_s)


def turned(ring: KeyRing, now: float) -> KeyRing:
    """The keys at `now`: the same object until `turns_at`."""
    if now < ring.turns_at:
        return ring
    kept = tuple(each for each in ring.before if each.until > now)
    retired = Retired(ring.signer, _published_until(now, ring.every_s))
    return replace(ring, signer=ring.following, following=new_issuer(STAFF), before=(retired, *kept), since=now)


def _published_until(now: float, every_s: int) -> float:
    return now + life_s(every_s) + CLOCKS_DIFFER_S


def page(ring: KeyRing, now: float, keys_url: str) -> str:
    """What there is to know of the keys, for people."""
    newest, *older = ring.before
    lines = [
        f"the issuer {STAFF}, its keys at {keys_url}",
        f"signs now    {key_id(ring.signer)}  for {max(0, ring.turns_at - now):.0f} s more",
        f"signs next   {key_id(ring.following)}  published {now - ring.since:.0f} s ago",
        f"signed last  {key_id(newest.issuer)}  published for {newest.until - now:.0f} s more",
        *(f"signed once  {key_id(each.issuer)}  published for {each.until - now:.0f} s more" for each in older),
    ]
    return "".join(f"{line}\n" for line in lines)


class StaffIssuer:
    """The issuer on 127.0.0.1:`port`. One thread turns it, any may ask it. `monotonic` in seconds."""

    def __init__(self, port: int, every_s: int, monotonic: Callable[[], float]) -> None:
        self._keys_url = keys_url(port)
        self._monotonic = monotonic
        self.ring = first_ring(monotonic(), every_s)

    def turn(self) -> bool:
        """Let the next key sign once it is time; whether it was."""
        earlier, self.ring = self.ring, turned(self.ring, self._monotonic())
        return earlier is not self.ring

    def answer(self, asked: Asked) -> Answered:
        """The page or the set."""
        ring = self.ring
        match asked.target:
            case "/":
                return Answered(page(ring, self._monotonic(), self._keys_url))
            case "/keys":
                return Answered(ring.published.decode(), "application/jwk-set+json")
            case _:
                return Answered("there is a page at / and a key set at /keys\n", status=404)
