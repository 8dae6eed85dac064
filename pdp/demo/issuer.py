"""The demo's token issuers: a key of their own, the key set that a verifier needs, and signed tokens.

In: a folder, claims, the instant, randomness. Out: JWS compact tokens (ES256, `typ` `at+jwt`, RFC 9068) and a JWK set
(RFC 7517) with public keys alone. The key of the customers' issuer is made at the first start, kept with mode 0600
and never overwritten; the staff's issuer changes its own again and again (pdp/demo/rotating.py). The `kid` is the key's
thumbprint (RFC 7638), so that it changes when the key does.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pdp.demo.files import write_private
from pdp.errors import ConfigError
from pdp.model import Json

CUSTOMERS = "https://id.shop.example"
ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
KEY_FILE = "key.pem"
COORDINATE_BYTES = 32
JTI_BYTES = 16

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs, and with which key."""

    url: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)


def open_issuer(folder: Path) -> Issuer:
    """The customers' issuer, whose key is in `folder`, with a new key where there is none.

    Errors: ConfigError D110 when the key file is open to others, or holds no P-256 key.
    """
    path = folder / KEY_FILE
    if not path.exists():
        issuer = new_issuer(CUSTOMERS)
        write_private(path, issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return issuer
    if path.stat().st_mode & 0o077:
        raise ConfigError("D110", f"others may read the demo issuer's key: run chmod 600 {path}")
    try:
        loaded = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise ConfigError("D110", f"the demo issuer's key is damaged: remove {path}, a new one is made") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise ConfigError("D110", f"the demo issuer's key is no P-256 key: remove {path}, a new one is made")
    return Issuer(CUSTOMERS, loaded)


def new_issuer(url: str) -> Issuer:
    """The issuer `url` with a new key."""
    return Issuer(url, ec.generate_private_key(ec.SECP256R1()))


def key_set(*issuers: Issuer) -> bytes:
    """The JWK set with the public key of each, as JSON."""
    keys = [{**_public_members(each), "kid": key_id(each), "use": "sig", "alg": ALGORITHM} for each in issuers]
    return (json.dumps({"keys": keys}, indent=1) + "\n").encode()


def mint(issuer: Issuer, claims: Mapping[str, Json], issued_at: int, expires_at: int, entropy: Entropy) -> str:
    """A signed token with `claims` and the issuer's own: `iss`, `iat`, `exp` (Unix seconds), `jti`, `client_id`.

    `claims` cannot take the place of the issuer's own.
    """
    own = {
        "iss": issuer.url,
        "iat": issued_at,
        "exp": expires_at,
        "jti": entropy(JTI_BYTES).hex(),
        "client_id": "shop-app",
    }
    headers = {"kid": key_id(issuer), "typ": TOKEN_TYPE}
    return jwt.encode({**claims, **own}, issuer.key, algorithm=ALGORITHM, headers=headers)


def key_id(issuer: Issuer) -> str:
    """The `kid` of its key."""
    text = json.dumps(_public_members(issuer), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode()).digest())


def _public_members(issuer: Issuer) -> dict[str, str]:
    """The members that make the key, those and no others: the thumbprint is taken over them."""
    point = issuer.key.public_key().public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _coordinate(point.x), "y": _coordinate(point.y)}


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(COORDINATE_BYTES, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
