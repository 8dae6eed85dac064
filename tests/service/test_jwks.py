"""Key sets: what is believed, and every reason for which a key or a whole set is not."""

from __future__ import annotations

import json
import random
from math import prod
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.jwks import MOST_BYTES, KeySet, SetRefusal, read_key_set
from pdp.identity.weak_keys import ed25519_weakness
from tests.support.tokens import b64, b64_number, key_set, signer

ES, RS, ED = signer("ES256"), signer("RS256"), signer("EdDSA")
P = 2**255 - 19


def read(*jwks: dict[str, Any]) -> KeySet:
    keys = read_key_set(key_set(*jwks))
    assert isinstance(keys, KeySet)
    return keys


def test_keys_of_the_three_algorithms_are_found_by_kid() -> None:
    keys = read(ES.jwk(), RS.jwk(), ED.jwk())
    assert not keys.refused
    for each in (ES, RS, ED):
        found = keys.find(each.kid)
        assert found is not None
        assert found.algorithm == each.algorithm
        assert found.public == each.private.public_key()
    assert keys.find(None) is None
    assert keys.find("ES256") is None


def test_members_that_say_nothing_of_the_key_are_ignored() -> None:
    assert read(ES.jwk(x5t="x", x5c=["x"], nbf=1, use=None, alg=None, key_ops=["verify"])).find(ES.kid) is not None


@pytest.mark.parametrize("kid", [None, "k1"])
def test_a_single_key_answers_tokens_without_kid(kid: str | None) -> None:
    keys = read(ES.jwk(kid=kid))
    assert keys.find(None) is keys.usable[0]
    assert keys.find("k1") is (keys.usable[0] if kid else None)


def test_the_last_key_that_remains_does_not_answer_tokens_without_kid() -> None:
    keys = read(ES.jwk(), RS.jwk(use="enc"))
    assert len(keys.usable) == 1
    assert keys.find(None) is None


def roca_modulus() -> int:
    """A modulus as the flawed library made them (CVE-2017-15361): each prime is k*M + (65537**a mod M)."""
    rng = random.Random(2017)
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, n))]
    m = prod(primes)

    def factor() -> int:
        top = 2**1024 - 1
        return (top // m - rng.randrange(2**20)) * m + pow(65537, rng.randrange(2**64), m)

    return factor() * factor()


def rsa_jwk(n: int | None = None, e: int = 65537) -> dict[str, Any]:
    assert isinstance(RS.private, rsa.RSAPrivateKey)
    return RS.jwk(n=b64_number(n or RS.private.public_key().public_numbers().n), e=b64_number(e))


ORDER_8 = (
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
)


def ed_jwk(y: int) -> dict[str, Any]:
    return ED.jwk(x=b64(y.to_bytes(32, "little")))


REFUSED_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "use enc": (ES.jwk(use="enc"), "key.use"),
    "use of another type": (ES.jwk(use=["sig"]), "key.use"),
    "key_ops without verify": (ES.jwk(key_ops=["sign"]), "key.key_ops"),
    "key_ops mixed with encryption": (ES.jwk(key_ops=["verify", "encrypt"]), "key.key_ops"),
    "key_ops twice": (ES.jwk(key_ops=["verify", "verify"]), "key.key_ops"),
    "key_ops no list": (ES.jwk(key_ops="verify"), "key.key_ops"),
    "key_ops empty": (ES.jwk(key_ops=[]), "key.key_ops"),
    "key_ops of another type": (ES.jwk(key_ops=["verify", {}]), "key.key_ops"),
    "unknown kty": (ES.jwk(kty="EC2"), "key.type"),
    "no kty": (ES.jwk(kty=None), "key.type"),
    "kty no string": (ES.jwk(kty=["EC"]), "key.type"),
    "P-384": (ES.jwk(crv="P-384", alg=None), "key.curve"),
    "secp256k1": (ES.jwk(crv="secp256k1", alg=None), "key.curve"),
    "Ed448": (ED.jwk(crv="Ed448", alg=None), "key.curve"),
    "X25519": (ED.jwk(crv="X25519", alg=None), "key.curve"),
    "alg of another family": (ES.jwk(alg="RS256"), "key.algorithm"),
    "alg hs256 on rsa": (RS.jwk(alg="HS256"), "key.algorithm"),
    "alg ps256 on rsa": (RS.jwk(alg="PS256"), "key.algorithm"),
    "alg none": (ES.jwk(alg="none"), "key.algorithm"),
    "alg no string": (ES.jwk(alg=1), "key.algorithm"),
    "kid number": (ES.jwk(kid=1), "key.kid"),
    "kid empty": (ES.jwk(kid=""), "key.kid"),
    "kid of 257 characters": (ES.jwk(kid="k" * 257), "key.kid"),
    "kid with a control": (ES.jwk(kid="k\n"), "key.kid"),
    "kid null": ({**ES.jwk(), "kid": None}, "key.kid"),
    "point not on curve": (ES.jwk(y=b64_number(1, 32)), "key.point"),
    "point at infinity": (ES.jwk(x=b64(bytes(32)), y=b64(bytes(32))), "key.point"),
    "coordinate beyond the field": (ES.jwk(x=b64(b"\xff" * 32)), "key.point"),
    "coordinate short": (ES.jwk(x=b64(b"\x01" * 31)), "key.encoding"),
    "coordinate long": (ES.jwk(x=b64(b"\x00" * 33)), "key.encoding"),
    "coordinate padded": (ES.jwk(x=ES.jwk()["x"] + "="), "key.encoding"),
    "coordinate missing": (ES.jwk(y=None), "key.encoding"),
    "coordinate a number": (ES.jwk(x=7), "key.encoding"),
    "rsa 1024": (rsa_jwk(n=2**1023 + 1), "key.rsa_size"),
    "rsa 2047": (rsa_jwk(n=2**2047 - 1), "key.rsa_size"),
    "rsa 8193": (rsa_jwk(n=2**8192 + 1), "key.rsa_size"),
    "rsa e 1": (rsa_jwk(e=1), "key.rsa_exponent"),
    "rsa e 3": (rsa_jwk(e=3), "key.rsa_exponent"),
    "rsa e even": (rsa_jwk(e=65538), "key.rsa_exponent"),
    "rsa e beyond 32 bits": (rsa_jwk(e=2**32 + 1), "key.rsa_exponent"),
    "rsa n even": (rsa_jwk(n=2**2047 + 2), "key.rsa_modulus"),
    "rsa n with a small factor": (rsa_jwk(n=3 * (2**2047 + 1)), "key.rsa_modulus"),
    "rsa n a square": (rsa_jwk(n=(2**1031 - 1) ** 2), "key.rsa_modulus"),
    "rsa roca": (rsa_jwk(n=roca_modulus()), "key.rsa_roca"),
    "rsa n with a leading zero": (RS.jwk(n=b64(b"\0" + b"\xff" * 256)), "key.encoding"),
    "rsa n missing": (RS.jwk(n=None), "key.encoding"),
    "rsa e empty": (RS.jwk(e=""), "key.encoding"),
    "ed25519 of 31 bytes": (ED.jwk(x=b64(bytes(31))), "key.encoding"),
    "ed25519 not on curve": (ed_jwk(2), "key.point"),
    "ed25519 not reduced": (ed_jwk(P + 1), "key.point"),
    "ed25519 negative zero": (ed_jwk(1 | 1 << 255), "key.point"),
    "ed25519 neutral element": (ed_jwk(1), "key.small_order"),
    "ed25519 of order 2": (ed_jwk(P - 1), "key.small_order"),
    "ed25519 of order 4": (ed_jwk(0), "key.small_order"),
    "ed25519 of order 4, other sign": (ed_jwk(1 << 255), "key.small_order"),
    "ed25519 of order 8": (ed_jwk(ORDER_8[0]), "key.small_order"),
    "ed25519 of order 8, the other": (ed_jwk(ORDER_8[1] | 1 << 255), "key.small_order"),
}


@pytest.mark.parametrize(("jwk", "reason"), REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_a_key_that_is_refused_leaves_the_others(jwk: dict[str, Any], reason: str) -> None:
    other = signer("ES256", "other")
    keys = read(jwk, other.jwk())
    assert [(refusal.index, refusal.reason) for refusal in keys.refused] == [(0, reason)]
    assert [key.kid for key in keys.usable] == ["other"]


@pytest.mark.parametrize(("jwk", "reason"), REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_a_set_of_only_a_refused_key_is_refused(jwk: dict[str, Any], reason: str) -> None:
    refusal = read_key_set(key_set(jwk))
    assert isinstance(refusal, SetRefusal)
    assert refusal.reason == "set.no_usable_key"
    assert [r.reason for r in refusal.refused] == [reason]


def test_neither_of_two_keys_with_one_kid_is_believed() -> None:
    twins = (signer("ES256", "twin").jwk(), signer("RS256", "twin").jwk())
    keys = read(*twins, ES.jwk())
    assert [(r.index, r.kid, r.reason) for r in keys.refused] == [
        (0, "twin", "key.duplicate_kid"),
        (1, "twin", "key.duplicate_kid"),
    ]
    assert keys.find("twin") is None


def test_a_key_without_kid_among_several_is_refused() -> None:
    keys = read(ES.jwk(kid=None), RS.jwk())
    assert [r.reason for r in keys.refused] == ["key.no_kid"]


OCT = {"kty": "oct", "kid": "s", "k": b64(b"x" * 32)}

REFUSED_SETS: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "set.json"),
    "not JSON": (b"{", "set.json"),
    "an array": (b"[]", "set.json"),
    "byte order mark": (b"\xef\xbb\xbf" + key_set(ES.jwk()), "set.json"),
    "not UTF-8": (b'{"keys":["\xff"]}', "set.json"),
    "keys twice": (key_set(ES.jwk())[:-1] + b',"keys":[]}', "set.json"),
    "a member of a key twice": (key_set(ES.jwk()).replace(b'"kty"', b'"kid":"a","kty"'), "set.json"),
    "deep": (b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "set.json"),
    "no keys member": (b"{}", "set.shape"),
    "keys an object": (b'{"keys":{}}', "set.shape"),
    "a key that is a string": (b'{"keys":["k"]}', "set.shape"),
    "a single JWK": (json.dumps(ES.jwk()).encode(), "set.shape"),
    "empty": (b'{"keys":[]}', "set.empty"),
    "too large": (key_set(ES.jwk()) + b" " * MOST_BYTES, "set.too_large"),
    "too many": (key_set(*(ES.jwk(kid=str(n)) for n in range(101))), "set.too_many"),
    "oct": (key_set(OCT), "set.symmetric"),
    "oct without k": (key_set({"kty": "oct"}, ES.jwk()), "set.symmetric"),
    "mixed": (key_set(ES.jwk(), OCT), "set.symmetric"),
    "k beside an EC key": (key_set(ES.jwk(k="AAAA")), "set.symmetric"),
    "private EC key": (key_set(ES.jwk(d="AAAA"), RS.jwk()), "set.private"),
    "private RSA prime": (key_set(RS.jwk(p="AAAA")), "set.private"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED_SETS.values(), ids=REFUSED_SETS)
def test_no_key_of_a_suspicious_set_is_believed(data: bytes, reason: str) -> None:
    assert read_key_set(data) == SetRefusal(reason)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert isinstance(read_key_set(data), SetRefusal)


def test_fresh_keys_are_never_called_weak() -> None:
    keys = [ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(20)]
    assert {ed25519_weakness(key) for key in keys} == {None}
