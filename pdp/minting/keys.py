"""The signing keys of minted tokens, and the plan by which they follow each other. Pure.

Keys, what was seen of them and two clocks come in; what to make, promote, retire and delete goes out.
A key is made and published, waits, is promoted (signs), is retired (signs no more), and goes from the set when the last
token of its own is long over. There is always a next key in the set.

INVARIANT: a key is promoted only after it was in the published set for `publish_ahead_s` without a break, by both
clocks; a key leaves the set only when for that long no look would have let it sign and the host's clock says that its
tokens are over. What signs at an instant of the host's clock (`signing`) is a function of the keys and that instant
alone, so a clock that goes back finds the key that signed then.
Sources: RFC 7517; RFC 7638; RFC 8037. Design: issue "Service-scoped tokens".

Decision: 2026-11-21. The very first key of a folder without key files signs at once: nobody holds an older set that it
could be missing from. A folder whose key files are rubbish is not such a folder.
Decision: 2026-11-21. Waiting is counted by the monotonic clock of one process, beside the host's. A host's clock that
jumps ahead makes no key look long published and takes none from the set; after a restart the waiting begins anew, and
the key that signs goes on.
Decision: 2026-11-21. The next key is made when the one before it begins to sign, not `publish_ahead_s` before it ends:
missed runs of up to a day then cost nothing. Each key has an end fixed when it is made, three times `rotate_every_s`
later; past it none signs and none is promoted, whatever the settings say by then.
Decision: 2026-11-21. At most 32 keys are kept; beyond that, which takes a clock that leaps about, none is made.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from pdp.identity.jwt import MOST_LEEWAY_S

MintingAlgorithm = Literal["ES256", "EdDSA"]
PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey

SECRET_BYTES = 32
MOST_KEYS = 32
MOST_TOKEN_LIFE_S = 300
MOST_ROTATE_S = 90 * 86_400
LIVES = 3
"""How many times `rotate_every_s` a key may be old: it waits for one, signs for one, and one is for missed runs."""
US = 1_000_000

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_DRAW_BYTES = 40


class Rotation(Struct, frozen=True):
    """How keys follow each other. ValueError for settings by which a set could be too old for a token.

    `leeway_s` is the most that a service adds to the end of a token.
    """

    algorithm: MintingAlgorithm = "ES256"
    rotate_every_s: int = 86_400
    publish_ahead_s: int = 3_600
    token_life_s: int = 60
    leeway_s: int = MOST_LEEWAY_S

    def __post_init__(self) -> None:
        if not 1 <= self.token_life_s <= MOST_TOKEN_LIFE_S:
            raise ValueError(f"a minted token lives 1 to {MOST_TOKEN_LIFE_S} s")
        if not 0 <= self.leeway_s <= MOST_LEEWAY_S:
            raise ValueError(f"a leeway is 0 to {MOST_LEEWAY_S} s")
        if self.publish_ahead_s < self.token_life_s + self.leeway_s:
            raise ValueError("a key is published ahead for at least the life of a token and the leeway")
        if not 2 * self.publish_ahead_s <= self.rotate_every_s <= MOST_ROTATE_S:
            span = f"{2 * self.publish_ahead_s} (twice `publish_ahead_s`) to {MOST_ROTATE_S}"
            raise ValueError(f"keys rotate in turn: `rotate_every_s` is {span}: change one of them")

    @property
    def tail_us(self) -> int:
        """How long a key stays published after it signed last."""
        return (self.token_life_s + self.leeway_s + self.publish_ahead_s) * US

    @property
    def max_age_s(self) -> int:
        """How long a service may keep the published set: half the time that a key is in it before it signs."""
        return self.publish_ahead_s // 2


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and its times, in Unix microseconds of the host's clock; the private half is not shown.

    `kid` is the RFC 7638 thumbprint. `not_before_us`: when it may sign; `promoted_us`: since when it signs (None: it
    waits); `retired_us`: since when it does not (None: nothing took its place); `not_after_us`: past which it never
    does; `gone_us`: when the last token of its own is over and the set can do without it.
    """

    kid: str
    algorithm: MintingAlgorithm
    private: PrivateKey = field(repr=False, compare=False)
    made_us: int
    not_before_us: int
    promoted_us: int | None
    retired_us: int | None
    not_after_us: int
    gone_us: int

    def __post_init__(self) -> None:
        """ValueError for times in an order that no key lives through."""
        began = self.not_before_us if self.promoted_us is None else self.promoted_us
        ends = (began, self.not_after_us) if self.retired_us is None else (began, self.retired_us)
        if not 0 <= self.made_us <= self.not_before_us <= ends[0] <= ends[1] <= self.gone_us:
            raise ValueError("the times of a key are in no possible order")
        if self.retired_us is not None and self.promoted_us is None:
            raise ValueError("a key that never signed cannot be retired")

    def signs_at(self, now_us: int) -> bool:
        """Whether the key signs at `now_us`."""
        if self.promoted_us is None:
            return False
        return self.promoted_us <= now_us < self.ends_us

    @property
    def ends_us(self) -> int:
        """From when on it never signs."""
        return self.not_after_us if self.retired_us is None else min(self.not_after_us, self.retired_us)


class Seen(Struct, frozen=True):
    """What this process saw of a key at every look, by the monotonic clock: since when it is in the set, and since when
    the host's clock says that it may go (None: it does not).
    """

    since_us: int
    overdue_since_us: int | None


class Birth(Struct, frozen=True):
    """A key to make. `first`: it signs at once."""

    first: bool


class Plan(Struct, frozen=True):
    """What to do now, keys by `kid`. Promote before retiring: a crash between the two then leaves a key that signs."""

    make: Birth | None = None
    promote: str | None = None
    retire: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()


def look(seen: Mapping[str, Seen], keys: Iterable[SigningKey], now_us: int, monotonic_us: int) -> Mapping[str, Seen]:
    """What was seen, after one more look. A key that was not there at one look is new at the next."""
    return {key.kid: _seen(seen.get(key.kid), now_us >= key.gone_us, monotonic_us) for key in keys}


def _seen(before: Seen | None, overdue: bool, monotonic_us: int) -> Seen:
    if before is None:
        return Seen(monotonic_us, monotonic_us if overdue else None)
    if not overdue:
        return Seen(before.since_us, None)
    return Seen(before.since_us, monotonic_us if before.overdue_since_us is None else before.overdue_since_us)


def signing(keys: Iterable[SigningKey], now_us: int) -> SigningKey | None:
    """The key that signs at `now_us`: of those that may, the last promoted. None: nothing can be signed."""
    able = [(key.promoted_us or 0, key.kid, key) for key in keys if key.signs_at(now_us)]
    return max(able, key=lambda each: each[:2])[2] if able else None


def plan(
    keys: tuple[SigningKey, ...],
    seen: Mapping[str, Seen],
    now_us: int,
    monotonic_us: int,
    settings: Rotation,
    *,
    fresh: bool,
) -> Plan:
    """What to do at `now_us`, after the look at `monotonic_us` that made `seen`. `fresh`: no key file is here."""
    if fresh and not keys:
        return Plan(make=Birth(first=True))
    ahead_us = settings.publish_ahead_s * US
    current = signing(keys, now_us)
    chosen = None
    if current is None or _is_due(current, now_us, settings):
        able = [key for key in keys if _is_able(key, seen, now_us, monotonic_us, ahead_us)]
        chosen = min(able, key=lambda key: (key.made_us, key.kid), default=None)
    after = chosen or current
    began_us = now_us if chosen is not None else (current.promoted_us if current is not None else None)
    waits = [key for key in keys if key is not chosen and _waits(key, now_us, ahead_us)]
    retire = [key.kid for key in keys if key is not after and _is_succeeded(key, began_us)]
    delete = [key.kid for key in keys if _is_over(seen[key.kid], monotonic_us, ahead_us)]
    return Plan(
        make=Birth(first=False) if not waits and len(keys) < MOST_KEYS else None,
        promote=None if chosen is None else chosen.kid,
        retire=tuple(retire),
        delete=tuple(delete),
    )


def _is_due(current: SigningKey, now_us: int, settings: Rotation) -> bool:
    """Whether it is time for the next key: `current` signed long enough, or its end is near."""
    signed_us = now_us - (current.promoted_us or 0)
    return signed_us >= settings.rotate_every_s * US or now_us >= current.not_after_us - settings.publish_ahead_s * US


def _is_able(key: SigningKey, seen: Mapping[str, Seen], now_us: int, monotonic_us: int, ahead_us: int) -> bool:
    """Whether a key may be promoted: both clocks say that it waited, and its time is not past."""
    waited = monotonic_us - seen[key.kid].since_us >= ahead_us
    return key.promoted_us is None and waited and key.not_before_us <= now_us < key.not_after_us


def _waits(key: SigningKey, now_us: int, ahead_us: int) -> bool:
    """Whether it is a next key; one of a future that the clock went back from is none."""
    return key.promoted_us is None and key.not_before_us <= now_us + ahead_us and now_us < key.not_after_us


def _is_succeeded(key: SigningKey, began_us: int | None) -> bool:
    """Whether another key took the place of `key`, at `began_us`."""
    if key.promoted_us is None or key.retired_us is not None or began_us is None:
        return False
    return key.promoted_us <= began_us


def _is_over(seen: Seen, monotonic_us: int, ahead_us: int) -> bool:
    return seen.overdue_since_us is not None and monotonic_us - seen.overdue_since_us >= ahead_us


def changed(keys: Iterable[SigningKey], what: Plan, now_us: int, settings: Rotation) -> tuple[SigningKey, ...]:
    """The keys that `what` changes, as they are after it, the promoted one first."""
    promoted = [dataclasses.replace(key, promoted_us=now_us) for key in keys if key.kid == what.promote]
    retired = [
        dataclasses.replace(key, retired_us=now_us, gone_us=now_us + settings.tail_us)
        for key in keys
        if key.kid in what.retire
    ]
    return (*promoted, *retired)


def make_key(birth: Birth, now_us: int, settings: Rotation, entropy: Callable[[int], bytes]) -> SigningKey:
    """A new key, published from `now_us` on. `entropy(n)` gives n random bytes."""
    match settings.algorithm:
        case "ES256":  # FIPS 186-5 A.2.1: 64 bits more than the order has leave no bias
            number = int.from_bytes(entropy(_P256_DRAW_BYTES), "big") % (_P256_ORDER - 1) + 1
            secret = number.to_bytes(SECRET_BYTES, "big")
        case "EdDSA":
            secret = entropy(SECRET_BYTES)
    private = private_key(settings.algorithm, secret)
    not_after_us = now_us + LIVES * settings.rotate_every_s * US
    return SigningKey(
        kid=thumbprint(private),
        algorithm=settings.algorithm,
        private=private,
        made_us=now_us,
        not_before_us=now_us if birth.first else now_us + settings.publish_ahead_s * US,
        promoted_us=now_us if birth.first else None,
        retired_us=None,
        not_after_us=not_after_us,
        gone_us=not_after_us + settings.tail_us,
    )


def private_key(algorithm: MintingAlgorithm, secret: bytes) -> PrivateKey:
    """The key whose private half is these 32 bytes (RFC 7518 6.2.2.1, RFC 8037 2). ValueError when there is none."""
    match algorithm:
        case "ES256":
            number = int.from_bytes(secret, "big")
            if len(secret) != SECRET_BYTES or not 0 < number < _P256_ORDER:
                raise ValueError("no private key of P-256")
            return derive_private_key(number, SECP256R1())
        case "EdDSA":
            return Ed25519PrivateKey.from_private_bytes(secret)


def public_members(private: PrivateKey) -> Mapping[str, str]:
    """The members of the public half's JWK that RFC 7638 3.2 and RFC 8037 2 require, in the order of their names."""
    match private:
        case EllipticCurvePrivateKey():
            point = private.public_key().public_numbers()
            x, y = (base64url(each.to_bytes(32, "big")) for each in (point.x, point.y))
            return {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        case Ed25519PrivateKey():
            return {"crv": "Ed25519", "kty": "OKP", "x": base64url(private.public_key().public_bytes_raw())}


def thumbprint(private: PrivateKey) -> str:
    """RFC 7638, SHA-256: a name that no other key has."""
    return base64url(hashlib.sha256(orjson.dumps(public_members(private))).digest())


def published(keys: Iterable[SigningKey]) -> bytes:
    """The JWK set of `keys` (RFC 7517 5): their public halves and nothing else, the oldest first."""
    ordered = sorted(keys, key=lambda key: (key.made_us, key.kid))
    return orjson.dumps(
        {
            "keys": [
                {**public_members(key.private), "kid": key.kid, "use": "sig", "alg": key.algorithm} for key in ordered
            ]
        }
    )


def base64url(data: bytes) -> str:
    """Without padding: RFC 7515 2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
