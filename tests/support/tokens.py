"""Signers with fresh keys, and tokens put together byte by byte, so that tests can make ones no library would."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

ISSUER = "https://id.example"
NOW = 1_800_000_000

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64_number(number: int, length: int | None = None) -> str:
    return b64(number.to_bytes(length or (number.bit_length() + 7) // 8, "big"))


class Signer(Struct, frozen=True):
    kid: str
    algorithm: Literal["ES256", "RS256", "EdDSA"]
    private: Private

    def sign(self, message: bytes) -> bytes:
        match self.private:
            case ec.EllipticCurvePrivateKey():
                r, s = decode_dss_signature(self.sign_der(message))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case rsa.RSAPrivateKey():
                return self.private.sign(message, padding.PKCS1v15(), SHA256())
            case ed25519.Ed25519PrivateKey():
                return self.private.sign(message)

    def sign_der(self, message: bytes) -> bytes:
        assert isinstance(self.private, ec.EllipticCurvePrivateKey)
        return self.private.sign(message, ec.ECDSA(SHA256()))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key as a JWK; a change to None leaves the member out."""
        match self.private:
            case ec.EllipticCurvePrivateKey():
                point = self.private.public_key().public_numbers()
                members = {"kty": "EC", "crv": "P-256", "x": b64_number(point.x, 32), "y": b64_number(point.y, 32)}
            case rsa.RSAPrivateKey():
                numbers = self.private.public_key().public_numbers()
                members = {"kty": "RSA", "n": b64_number(numbers.n), "e": b64_number(numbers.e)}
            case ed25519.Ed25519PrivateKey():
                members = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
        whole = {**members, "kid": self.kid, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in whole.items() if value is not None}


@cache
def signer(algorithm: Literal["ES256", "RS256", "EdDSA"], kid: str = "") -> Signer:
    """The signer of this name, the same one all through a run of the tests."""
    private: Private
    match algorithm:
        case "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            private = rsa.generate_private_key(65537, 2048)
        case "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
    return Signer(kid or algorithm.lower(), algorithm, private)


def key_set(*jwks: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": jwks}).encode()


def compact(by: Signer, header: bytes | str, payload: bytes | str) -> str:
    """A token over exactly these bytes, signed."""
    parts = [b64(part.encode() if isinstance(part, str) else part) for part in (header, payload)]
    message = ".".join(parts)
    return f"{message}.{b64(by.sign(message.encode()))}"


def header_of(by: Signer, **changes: Any) -> str:
    return _json({"alg": by.algorithm, "typ": "at+jwt", "kid": by.kid}, changes)


def claims_of(**changes: Any) -> str:
    return _json({"iss": ISSUER, "sub": "ann", "aud": "orders", "iat": NOW - 60, "exp": NOW + 600}, changes)


def token_of(by: Signer, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """A good token with changes; a change to `...` leaves the member out."""
    return compact(by, header_of(by, **(header or {})), claims_of(**claims))


def _json(base: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in {**base, **changes}.items() if value is not ...})
