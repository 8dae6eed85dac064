"""An issuer for tests: a fresh ES256 key, its key set, and tokens signed with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://id.example"


class TestIssuer:
    """Mints tokens; `write_keys` leaves the key set where a configuration can name it."""

    __test__ = False

    def __init__(self, url: str = ISSUER, kid: str = "k1") -> None:
        self.url = url
        self.kid = kid
        self._key = ec.generate_private_key(ec.SECP256R1())

    def key_set(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "ES256"}]}

    def write_keys(self, path: Path) -> Path:
        path.write_text(json.dumps(self.key_set()))
        return path

    def mint(self, claims: Mapping[str, Any], now: int, *, lifetime_s: int = 3600) -> str:
        """A token with `claims`; iss, iat and exp are added where missing. A claim that is None is left out."""
        whole = {"iss": self.url, "iat": now, "exp": now + lifetime_s, **claims}
        headers = {"typ": "at+jwt", "kid": self.kid}
        return jwt.encode(
            {k: v for k, v in whole.items() if v is not None}, self._key, algorithm="ES256", headers=headers
        )
