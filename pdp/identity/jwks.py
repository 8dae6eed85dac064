"""The public keys of an issuer: a JWK set, read strictly, of which only sound signature keys remain.

The bytes of a set come in; a `KeySet`, or the reason why the whole set is refused, goes out. Pure.
INVARIANT: a `Key` has one algorithm, fixed by its type and curve, never by a token, and is public.
Sources: RFC 7517; RFC 7518 6; RFC 8037 2; RFC 8725 3.1, 3.5. Design: security.md 2.1.

The whole set is refused: `set.too_large` (over 1 MiB), `set.json`, `set.shape`, `set.too_many` (over 100 keys),
`set.empty`, `set.symmetric` (an `oct` key or a member `k`), `set.private` (private parts), `set.no_usable_key`. A set
that holds a secret has been published by mistake or is somebody's attack; none of its keys is believed.

One key is refused, the others stay: `key.kid`, `key.no_kid` (among several), `key.duplicate_kid` (all that share it),
`key.type`, `key.curve`, `key.use`, `key.key_ops`, `key.algorithm`, `key.encoding`, `key.point`, `key.small_order`,
`key.rsa_size`, `key.rsa_exponent`, `key.rsa_modulus`, `key.rsa_roca`.

Decision: 2026-11-21. A set without `kid` answers tokens without `kid` only when it holds one key in all, refused ones
counted: which key was meant is never worked out from what remains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from msgspec import Struct

from pdp.identity.strict import JsonRefusedError, decode_base64url, decode_json_object
from pdp.identity.weak_keys import ed25519_weakness, rsa_weakness
from policy_lang.verdict import Json

Algorithm = Literal["ES256", "RS256", "EdDSA"]
PublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey

ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "RS256", "EdDSA")
MOST_BYTES = 1024 * 1024
MOST_KEYS = 100
MOST_DEEP = 8
LONGEST_KID = 256
COORDINATE_BYTES = 32

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_OPERATIONS = frozenset({"verify", "sign"})


class Key(Struct, frozen=True):
    """A public key and the only algorithm it verifies. `kid` is None for the sole key of a set."""

    kid: str | None
    algorithm: Algorithm
    public: PublicKey


class KeyRefusal(Struct, frozen=True):
    """A key that was left out: its place in the set from 0, its `kid` where it has one, and the reason."""

    index: int
    kid: str | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The usable keys of one issuer, at least one. Compared by identity: another object is another set.

    `sole` is the key for tokens without `kid`: set only when the JWK set held exactly one key.
    """

    usable: tuple[Key, ...]
    sole: Key | None
    refused: tuple[KeyRefusal, ...] = ()
    _by_kid: Mapping[str, Key] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_kid", {key.kid: key for key in self.usable if key.kid is not None})

    def find(self, kid: str | None) -> Key | None:
        """The key a token means: by exact `kid`, or the sole one where it names none."""
        return self.sole if kid is None else self._by_kid.get(kid)


class SetRefusal(Struct, frozen=True):
    """Why no key of the set is believed; `refused` holds the single reasons of `set.no_usable_key`."""

    reason: str
    refused: tuple[KeyRefusal, ...] = ()


def read_key_set(data: bytes) -> KeySet | SetRefusal:
    """The usable keys of the JWK set `data`, or why there are none."""
    if len(data) > MOST_BYTES:
        return SetRefusal("set.too_large")
    try:
        entries = decode_json_object(data, MOST_DEEP).get("keys")
    except JsonRefusedError:
        return SetRefusal("set.json")
    if not isinstance(entries, list):
        return SetRefusal("set.shape")
    jwks = [entry for entry in entries if isinstance(entry, dict)]
    reason = _suspicion(jwks, len(entries))
    return SetRefusal(reason) if reason is not None else _usable(jwks)


def _suspicion(jwks: Sequence[Mapping[str, Json]], count: int) -> str | None:
    if len(jwks) != count:
        return "set.shape"
    if not jwks:
        return "set.empty"
    if count > MOST_KEYS:
        return "set.too_many"
    if any(jwk.get("kty") == "oct" or "k" in jwk for jwk in jwks):
        return "set.symmetric"
    if any(_PRIVATE & jwk.keys() for jwk in jwks):
        return "set.private"
    return None


def _usable(jwks: Sequence[Mapping[str, Json]]) -> KeySet | SetRefusal:
    times = Counter(kid for jwk in jwks if isinstance(kid := jwk.get("kid"), str))
    keys: list[Key] = []
    refused: list[KeyRefusal] = []
    for index, jwk in enumerate(jwks):
        kid = jwk.get("kid")
        key = _read_key(jwk, times, alone=len(jwks) == 1)
        if isinstance(key, Key):
            keys.append(key)
        else:
            refused.append(KeyRefusal(index, kid if isinstance(kid, str) else None, key))
    if not keys:
        return SetRefusal("set.no_usable_key", tuple(refused))
    return KeySet(usable=tuple(keys), sole=keys[0] if len(jwks) == 1 else None, refused=tuple(refused))


def _read_key(jwk: Mapping[str, Json], times: Mapping[str, int], *, alone: bool) -> Key | str:
    """The key, or the reason against it."""
    kid = jwk.get("kid")
    if "kid" not in jwk:
        if not alone:
            return "key.no_kid"
    elif not (isinstance(kid, str) and is_kid(kid)):
        return "key.kid"
    elif times[kid] > 1:
        return "key.duplicate_kid"
    reason = _purpose(jwk)
    if reason is not None:
        return reason
    made = _public_key(jwk)
    if isinstance(made, str):
        return made
    algorithm, public = made
    if jwk.get("alg", algorithm) != algorithm:
        return "key.algorithm"
    return Key(kid if isinstance(kid, str) else None, algorithm, public)


def is_kid(text: str) -> bool:
    """Whether `text` may name a key: 1 to 256 printable ASCII characters."""
    return 0 < len(text) <= LONGEST_KID and text.isascii() and text.isprintable()


def _purpose(jwk: Mapping[str, Json]) -> str | None:
    """RFC 7517 4.2, 4.3: a key for anything but signatures is none of ours, whatever else it says."""
    if jwk.get("use", "sig") != "sig":
        return "key.use"
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return "key.key_ops"
    names = [name for name in operations if isinstance(name, str) and name in _OPERATIONS]
    return None if len(operations) == len(names) == len(set(names)) else "key.key_ops"


def _public_key(jwk: Mapping[str, Json]) -> tuple[Algorithm, PublicKey] | str:
    match jwk.get("kty"):
        case "EC":
            return _ec(jwk)
        case "RSA":
            return _rsa(jwk)
        case "OKP":
            return _okp(jwk)
        case _:
            return "key.type"


def _ec(jwk: Mapping[str, Json]) -> tuple[Algorithm, PublicKey] | str:
    if jwk.get("crv") != "P-256":
        return "key.curve"
    x, y = _octets(jwk.get("x")), _octets(jwk.get("y"))
    if x is None or y is None or len(x) != COORDINATE_BYTES or len(y) != COORDINATE_BYTES:
        return "key.encoding"
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1())
    try:
        return "ES256", numbers.public_key()
    except ValueError:
        return "key.point"


def _rsa(jwk: Mapping[str, Json]) -> tuple[Algorithm, PublicKey] | str:
    modulus, exponent = _octets(jwk.get("n")), _octets(jwk.get("e"))
    if not modulus or not exponent or modulus[0] == 0 or exponent[0] == 0:
        return "key.encoding"
    n, e = int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
    weakness = rsa_weakness(n, e)
    return weakness if weakness is not None else ("RS256", RSAPublicNumbers(e, n).public_key())


def _okp(jwk: Mapping[str, Json]) -> tuple[Algorithm, PublicKey] | str:
    if jwk.get("crv") != "Ed25519":
        return "key.curve"
    x = _octets(jwk.get("x"))
    if x is None or len(x) != COORDINATE_BYTES:
        return "key.encoding"
    weakness = ed25519_weakness(x)
    return weakness if weakness is not None else ("EdDSA", Ed25519PublicKey.from_public_bytes(x))


def _octets(value: Json | None) -> bytes | None:
    return decode_base64url(value) if isinstance(value, str) else None
