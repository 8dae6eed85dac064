"""Published attacks on signatures and their algorithms, by cause; the tokens that all attacks are made from.

Each attack differs from a token that is allowed in the one thing that its sentence names. Keys are made anew in each
run; nothing else is drawn.
Sources: security.md 2.1; RFC 7515, 7518, 8017, 8032, 8725; the advisories named in the sentences.

Decision: 2026-11-21. The other half of an ECDSA signature (r, n - s) is no attack here: it verifies, as RFC 7518 3.4
has it, and is the same credential (tests/service/test_jwt.py).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.tokens import NOW, Signer, b64, claims_of, compact, header_of, key_set, signer, token_of

USERS, MACHINES = "https://id.example", "https://machines.example"
"""The first has a profile (RFC 9068), and is pinned to ES256 and EdDSA; the second has a limit to sessions and no
profile, and is pinned to RS256 and the type JWT. Either publishes keys of other algorithms, too."""

ES, ED, RS = signer("ES256"), signer("EdDSA"), signer("RS256")
OF_MACHINES = signer("ES256", "of-machines")
FOREIGN = signer("ES256", "foreign")

PUBLISHED: dict[str, tuple[Signer, ...]] = {USERS: (ES, ED, RS), MACHINES: (RS, ES, OF_MACHINES)}
"""The keys of each issuer."""

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_ED25519_PRIME = 2**255 - 19
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7

_USER = {"sub": "u1", "aud": "ledger", "accounts": ["a1"], "client_id": "web", "jti": "j1"}
_MACHINE = {"iss": MACHINES, "sub": "m1", "aud": "reports", "auth_time": NOW - 60}


def user(header: Mapping[str, Any] | None = None, by: Signer = ES, **claims: Any) -> str:
    """A good token of a user with changes; `...` leaves a member out."""
    return token_of(by, header, **{**_USER, **claims})


def machine(header: Mapping[str, Any] | None = None, by: Signer = RS, **claims: Any) -> str:
    """A good token of a machine with changes."""
    return token_of(by, {"typ": "JWT", **(header or {})}, **{**_MACHINE, **claims})


def payload(**changes: Any) -> str:
    """The claims of a good token of a user, as JSON, with changes."""
    return claims_of(**{**_USER, **changes})


def symmetric(by: Signer, secret: bytes, algorithm: str = "HS256", **header: Any) -> str:
    """A good token, but for its HMAC under the name of the key of `by`."""
    claims = claims_of(**(_MACHINE if by is RS else _USER))
    message = f"{b64(header_of(by, alg=algorithm, **header).encode())}.{b64(claims.encode())}"
    return f"{message}.{b64(hmac.digest(secret, message.encode(), f'sha{algorithm[2:]}'))}"


def public(by: Signer, encoding: Encoding, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return by.private.public_key().public_bytes(encoding, form)


def _resigned(token: str, signature: Callable[[bytes], bytes]) -> str:
    """The token with another signature, made from the text that was signed."""
    message = token.rpartition(".")[0]
    return f"{message}.{b64(signature(message.encode()))}"


def _number(by: Signer) -> str:
    jwk = by.jwk()
    return str(jwk["n"] if by is RS else jwk["x"])


_SECRETS: dict[str, Callable[[Signer], bytes]] = {
    "PEM (CVE-2016-10555)": lambda by: public(by, Encoding.PEM),
    "PEM without its last line end (CVE-2023-48223)": lambda by: public(by, Encoding.PEM).rstrip(),
    "PEM after white space (CVE-2026-34950)": lambda by: b"\n " + public(by, Encoding.PEM),
    "PEM after a byte order mark (security.md 2.1)": lambda by: b"\xef\xbb\xbf" + public(by, Encoding.PEM),
    "PEM with the line ends of Windows (RFC 7468 3)": lambda by: public(by, Encoding.PEM).replace(b"\n", b"\r\n"),
    "DER (security.md 2.1)": lambda by: public(by, Encoding.DER),
    "OpenSSH (CVE-2022-29217, CVE-2024-33663)": lambda by: public(by, Encoding.OpenSSH, PublicFormat.OpenSSH),
    "JWK (CVE-2026-48526)": lambda by: json.dumps(by.jwk()).encode(),
    "JWK without blanks (CVE-2026-48526)": lambda by: json.dumps(by.jwk(), separators=(",", ":")).encode(),
    "JWK set (CVE-2026-48526)": lambda by: key_set(by.jwk()),
    "bare number, its bytes (RFC 8725 2.1)": lambda by: base64.urlsafe_b64decode(_number(by) + "==="),
    "bare number, its base64url (RFC 8725 2.1)": lambda by: _number(by).encode(),
    "its name (RFC 8725 2.2)": lambda by: by.kid.encode(),
    "nothing at all (CVE-2019-20933)": lambda _: b"",
}

SYMMETRIC: dict[str, str] = {
    f"HS256 keyed with the public key of {by.algorithm} as {form}": symmetric(by, secret(by))
    for by in (ES, ED, RS)
    for form, secret in _SECRETS.items()
} | {
    f"{algorithm} keyed with the public key of {by.algorithm} as {form}": symmetric(by, secret, algorithm)
    for algorithm, by, form, secret in (
        ("HS256", RS, "PEM of PKCS#1 (CVE-2017-11424)", public(RS, Encoding.PEM, PublicFormat.PKCS1)),
        ("HS256", RS, "DER of PKCS#1 (security.md 2.1)", public(RS, Encoding.DER, PublicFormat.PKCS1)),
        ("HS256", ES, "a point (RFC 8725 2.1)", public(ES, Encoding.X962, PublicFormat.UncompressedPoint)),
        ("HS256", ES, "half a point (RFC 8725 2.1)", public(ES, Encoding.X962, PublicFormat.CompressedPoint)),
        ("HS384", RS, "PEM (CVE-2023-48238)", public(RS, Encoding.PEM)),
        ("HS512", RS, "PEM (CVE-2023-48238)", public(RS, Encoding.PEM)),
    )
}
"""Refused by `token.algorithm`: a public key is nobody's secret."""


def unsigned(alg: str) -> str:
    """A good token, but for its algorithm and its empty signature."""
    return f"{b64(header_of(ES, alg=alg).encode())}.{b64(payload().encode())}."


def _ecdsa(r: int, s: int) -> Callable[[bytes], bytes]:
    return lambda _: r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _ecdsa_with(*, r: int | None = None, s: int | None = None) -> Callable[[bytes], bytes]:
    """A sound signature with one of its numbers replaced."""

    def made(message: bytes) -> bytes:
        sound = ES.sign(message)
        first = sound[:32] if r is None else r.to_bytes(32, "big")
        return first + (sound[32:] if s is None else s.to_bytes(32, "big"))

    return made


def _ecdsa_over(digest: SHA384 | SHA512) -> Callable[[bytes], bytes]:
    def made(message: bytes) -> bytes:
        assert isinstance(ES.private, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(ES.private.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return made


def _ecdsa_wide(width: int) -> Callable[[bytes], bytes]:
    """The two numbers in so many bytes each."""

    def made(message: bytes) -> bytes:
        sound = ES.sign(message)
        return sound[:32].rjust(width, b"\0") + sound[32:].rjust(width, b"\0")

    return made


def _ecdsa_exchanged(message: bytes) -> bytes:
    sound = ES.sign(message)
    return sound[32:] + sound[:32]


def _eddsa(y: int, s: int = 0) -> Callable[[bytes], bytes]:
    return lambda _: y.to_bytes(32, "little") + s.to_bytes(32, "little")


def _eddsa_beyond_order(message: bytes) -> bytes:
    sound = ED.sign(message)
    return sound[:32] + (int.from_bytes(sound[32:], "little") + _ED25519_ORDER).to_bytes(32, "little")


def _rsa() -> rsa.RSAPrivateKey:
    assert isinstance(RS.private, rsa.RSAPrivateKey)
    return RS.private


def _rsa_pss(message: bytes) -> bytes:
    return _rsa().sign(message, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())


def _rsa_over(digest: SHA384 | SHA512) -> Callable[[bytes], bytes]:
    return lambda message: _rsa().sign(message, padding.PKCS1v15(), digest)


def _rsa_of(encoded: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The private operation on what `encoded` makes of the digest (RFC 8017 5.2.1)."""

    def made(message: bytes) -> bytes:
        numbers = _rsa().private_numbers()
        representative = int.from_bytes(encoded(hashlib.sha256(message).digest()), "big")
        return pow(representative, numbers.d, numbers.public_numbers.n).to_bytes(256, "big")

    return made


_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def _padded(digest: bytes, ones: int = 202, block: int = 1) -> bytes:
    """256 bytes like EMSA-PKCS1-v1_5 (RFC 8017 9.2): where they do not fill up, rubbish follows."""
    made = bytes([0, block]) + b"\xff" * ones + b"\x00" + _INFO + digest
    return made + b"\x5a" * (256 - len(made))


ALGORITHMS: dict[str, str] = {
    f"alg {spelling}, without a signature (RFC 8725 2.1, 3.1; CVE-2021-22160)": unsigned(spelling)
    for spelling in map("".join, itertools.product(*zip("none", "NONE", strict=True)))
} | {
    "alg none, with a sound signature (RFC 8725 3.1)": user({"alg": "none"}),
    "alg none and a blank (RFC 7515 4.1.1)": unsigned("none "),
    "alg none behind a character of no width (RFC 7515 4.1.1)": unsigned("\u200bnone"),
    "alg empty (RFC 7515 4.1.1)": user({"alg": ""}),
    "alg missing (CVE-2022-23540)": user({"alg": ...}),
    "alg null (RFC 7515 4.1.1)": user({"alg": None}),
    "alg a number (RFC 7515 4.1.1)": user({"alg": 256}),
    "alg true (RFC 7515 4.1.1)": user({"alg": True}),
    "alg a list (RFC 7515 4.1.1)": user({"alg": ["ES256", "none"]}),
    "alg an object (RFC 7515 4.1.1)": user({"alg": {"ES256": 1}}),
    "alg in lower case (RFC 7515 4.1.1)": user({"alg": "es256"}),
    "alg in mixed case (RFC 7515 4.1.1)": user({"alg": "Es256"}),
    "alg after a blank (RFC 7515 4.1.1)": user({"alg": " ES256"}),
    "alg with a NUL (RFC 7515 4.1.1)": user({"alg": "ES256\0"}),
    "the member Alg for alg (RFC 7515 4)": compact(ES, header_of(ES, alg=..., Alg="ES256"), payload()),
    "alg ES384 on a key of ES256 (RFC 8725 3.1)": user({"alg": "ES384"}),
    "alg ES256K on a key of ES256 (RFC 8812 3.2)": user({"alg": "ES256K"}),
    "alg dir, of encryption (RFC 7518 4.1)": user({"alg": "dir"}),
    "alg RSA1_5, of encryption (RFC 7518 4.1)": machine({"alg": "RSA1_5"}),
    "alg ES256 for the key of EdDSA (CVE-2026-48523)": user({"kid": ED.kid}),
    "alg EdDSA for the key of ES256 (CVE-2026-48523)": user({"kid": ES.kid}, by=ED),
    "alg ES256 over a signature of EdDSA (CVE-2026-48523)": user({"alg": "ES256"}, by=ED),
    "alg RS256 over a token of ES256 (CVE-2022-23541)": user({"alg": "RS256"}),
    "alg RS256 over a token of ES256, the key published and not pinned (CVE-2026-48523)": machine(
        {"alg": "RS256"}, by=OF_MACHINES
    ),
    "a token of ES256 under an issuer pinned to RS256 (RFC 8725 3.1)": machine(by=ES),
    "a token of EdDSA under an issuer pinned to RS256 (RFC 8725 3.1)": machine(by=ED),
    "a token of RS256 under an issuer pinned to ES256 (RFC 8725 3.1)": user(by=RS),
    "alg PS256 on a key of RS256, soundly signed so (RFC 8725 3.1)": _resigned(machine({"alg": "PS256"}), _rsa_pss),
    "alg RS512 on a key of RS256, soundly signed so (RFC 8725 3.1)": _resigned(
        machine({"alg": "RS512"}), _rsa_over(SHA512())
    ),
    "iss of one issuer, all else of another (RFC 8725 2.7)": machine(iss=USERS),
}
"""Refused by `token.algorithm`."""

_OF_ECDSA: dict[str, Callable[[bytes], bytes]] = {
    "ECDSA with r = s = 0 (CVE-2022-21449)": _ecdsa(0, 0),
    "ECDSA with r = s = n (CVE-2022-21449)": _ecdsa(_P256_ORDER, _P256_ORDER),
    "ECDSA with r = 0 and s = n (CVE-2022-21449)": _ecdsa(0, _P256_ORDER),
    "ECDSA with r = s = 1 (RFC 8725 3.4)": _ecdsa(1, 1),
    "ECDSA with r = 0 (CVE-2022-21449)": _ecdsa_with(r=0),
    "ECDSA with s = 0 (CVE-2022-21449)": _ecdsa_with(s=0),
    "ECDSA with r = n (CVE-2022-21449)": _ecdsa_with(r=_P256_ORDER),
    "ECDSA with s = n (CVE-2022-21449)": _ecdsa_with(s=_P256_ORDER),
    "ECDSA of bits that are all 1 (CVE-2022-21449)": lambda _: b"\xff" * 64,
    "ECDSA in DER, not in 64 bytes (RFC 7518 3.4)": ES.sign_der,
    "ECDSA in 96 bytes, as of P-384 (RFC 7518 3.4)": _ecdsa_wide(48),
    "ECDSA with a zero byte before each number (RFC 7518 3.4)": _ecdsa_wide(33),
    "ECDSA with r and s exchanged (RFC 7518 3.4)": _ecdsa_exchanged,
    "ECDSA with its bytes reversed (RFC 7518 3.4)": lambda m: ES.sign(m)[::-1],
    "ECDSA over SHA-384 under ES256 (RFC 7518 3.4)": _ecdsa_over(SHA384()),
    "ECDSA over SHA-512 under ES256 (RFC 7518 3.4)": _ecdsa_over(SHA512()),
    "ECDSA cut by a byte (RFC 7518 3.4)": lambda m: ES.sign(m)[:-1],
    "ECDSA with a byte more (RFC 7518 3.4)": lambda m: ES.sign(m) + b"\0",
    "ECDSA empty (RFC 7515 5.2)": lambda _: b"",
    "ECDSA of a stranger's key, under the kid of the issuer's (RFC 8725 3.3)": FOREIGN.sign,
    "ECDSA over the payload alone (RFC 7515 5.1)": lambda m: ES.sign(m.partition(b".")[2]),
}

_OF_EDDSA: dict[str, Callable[[bytes], bytes]] = {
    "EdDSA with S + L (RFC 8032 5.1.7; CVE-2024-48949)": _eddsa_beyond_order,
    "EdDSA with R neutral and S = L (RFC 8032 5.1.7)": _eddsa(1, _ED25519_ORDER),
    "EdDSA with R neutral and S = 0 (RFC 8032 5.1.7)": _eddsa(1),
    "EdDSA with R of order 2 and S = 0 (RFC 8032 5.1.7)": _eddsa(_ED25519_PRIME - 1),
    "EdDSA with R of order 4 and S = 0, all zeros (RFC 8032 5.1.7; CVE-2022-21449)": _eddsa(0),
    "EdDSA with R of order 8 and S = 0 (RFC 8032 5.1.7)": _eddsa(_ORDER_8),
    "EdDSA with R not reduced (RFC 8032 5.1.3)": _eddsa(_ED25519_PRIME + 1),
    "EdDSA with R not on the curve (RFC 8032 5.1.3)": _eddsa(2),
    "EdDSA of 63 bytes (RFC 8037 3.1)": lambda m: ED.sign(m)[:63],
    "EdDSA of 65 bytes (RFC 8037 3.1)": lambda m: ED.sign(m) + b"\0",
    "EdDSA empty (RFC 7515 5.2)": lambda _: b"",
    "EdDSA over the digest of the text (RFC 8032 5.1)": lambda m: ED.sign(hashlib.sha512(m).digest()),
}

_OF_RSA: dict[str, Callable[[bytes], bytes]] = {
    "RSA-PSS under RS256 (RFC 7518 3.3)": _rsa_pss,
    "RSA over SHA-512 under RS256 (RFC 7518 3.3)": _rsa_over(SHA512()),
    "RSA of zeros (RFC 8017 8.2.2)": lambda _: bytes(256),
    "RSA with s = 1 (RFC 8017 8.2.2)": lambda _: bytes(255) + b"\x01",
    "RSA beyond the modulus (RFC 8017 5.2.2)": lambda _: b"\xff" * 256,
    "RSA empty (RFC 8017 8.2.2)": lambda _: b"",
    "RSA with a zero byte before it (RFC 8017 8.2.2)": lambda m: b"\0" + RS.sign(m),
    "RSA of the bare digest (RFC 8017 8.2.2)": _rsa_of(lambda digest: digest),
    "RSA with rubbish after the digest (CVE-2006-4339)": _rsa_of(lambda digest: _padded(digest, 8)),
    "RSA with the padding of encryption (RFC 8017 9.2)": _rsa_of(lambda digest: _padded(digest, block=2)),
}

SIGNATURES: dict[str, str] = {
    name: _resigned(token, made)
    for token, table in ((user(), _OF_ECDSA), (user(by=ED), _OF_EDDSA), (machine(), _OF_RSA))
    for name, made in table.items()
}
"""Refused by `token.signature`."""


def control_of_the_padding() -> str:
    """A token whose signature is put together as those of `_OF_RSA`, soundly: it must verify."""
    return _resigned(machine(), _rsa_of(_padded))
