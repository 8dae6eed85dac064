"""The name of a subject at one service: the same each time, another one at each service, and saying nothing.

INVARIANT: no two triples (issuer, subject, service) are one message of the HMAC; each part stands behind its length.
Without the secret, names of one subject at two services cannot be told from names of two subjects.
Sources: OpenID Connect Core 8.1; RFC 2104.

Decision: 2026-11-21. An HMAC under a secret, where the example of OIDC Core 8.1 hashes with a salt: who has names and
guesses subjects can try none of them. The secret is never renewed, because every name would change with it.
"""

from __future__ import annotations

import hmac

from pdp.minting.keys import base64url

LEAST_SECRET_BYTES = 32


def pairwise_subject(secret: bytes, issuer: str, subject: str, service: str) -> str:
    """The name of `subject` of `issuer` at `service`: 43 characters of base64url.

    Shapes: `secret` at least 32 bytes (ValueError for fewer); the texts are any, lone surrogates included.
    """
    if len(secret) < LEAST_SECRET_BYTES:
        raise ValueError(f"the secret of pairwise names has at least {LEAST_SECRET_BYTES} bytes")
    parts = [text.encode("utf-8", "surrogatepass") for text in (issuer, subject, service)]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return base64url(hmac.digest(secret, message, "sha256"))
