"""Proof of possession: whether a token that is bound to a key came from who holds that key.

The claims of a token and the certificate of the connection it came over go in; None, or the reason of a refusal, goes
out. Pure.
INVARIANT: a token with `cnf` passes only with a certificate whose SHA-256 is the one that `cnf` names, and nothing else
in `cnf`. A binding that is not understood is not proved.
Sources: RFC 7800 3.1; RFC 8705 3.1 (`x5t#S256`), RFC 9449 6.1 (`jkt`); RFC 7468 5 (PEM). Design: security.md 2.1, row
"sender constraint".

SECURITY: the certificate is the one the gateway saw in its own handshake with the client (Envoy: `source.certificate`,
with `include_peer_certificate`), never a header: any client can write one, and a certificate is no secret. The
handshake is the proof.
SECURITY: it belongs to the connection and not to the token. A token that was proved before is asked again at each use.

`token.unproved`: no certificate, another one, an unknown member, several members, or a malformed `cnf`.
`token.dpop`: exactly a `jkt`, well formed. DPoP is recognised and not supported.

Decision: 2026-11-21. A certificate that its library only warns of (a serial number that is not positive, RFC 5280
4.1.2.2) is not well formed, whether warnings are errors or not.
Decision: 2026-11-21. Every certificate of a chain must be well formed, though the first alone is hashed: what is
appended to it may not be rubbish that another reader would take for something.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from pdp.identity.strict import decode_base64url
from policy_lang.verdict import Json

MOST_CHARACTERS = 32 * 1024
"""Of URL-encoded certificates: the largest ordinary one, with an RSA key of 8192 bits, has about 5,000."""

MOST_REMEMBERED = 256
"""Certificates whose digest is remembered by their text: a connection shows the same one with each call, and taking it
apart takes 40 µs."""

_DIGEST_CHARACTERS = 43
_ENCODED = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END CERTIFICATE-----\n")


def proved(claims: Mapping[str, Json], certificate_sha256: bytes | None) -> str | None:
    """None for a token that is bound to nothing, or to this certificate; else the reason. Total.

    Shapes: `certificate_sha256` is the SHA-256 of the DER of the client's certificate, 32 bytes (`thumbprint`); None
        where the client showed none.
    Source: RFC 8705 3.1.
    """
    if "cnf" not in claims:
        return None
    match claims["cnf"]:
        case {"x5t#S256": str(text), **others} if not others:
            wanted = _digest(text)
        case {"jkt": str(text), **others} if not others and _digest(text) is not None:
            return "token.dpop"
        case _:
            return "token.unproved"
    if wanted is None or certificate_sha256 is None or not hmac.compare_digest(wanted, certificate_sha256):
        return "token.unproved"
    return None


def thumbprint(pem_url_encoded: str) -> bytes | None:
    """The SHA-256 of the DER of the leaf, 32 bytes, from a URL-encoded PEM chain; None for anything else. Total.

    Shapes: at most `MOST_CHARACTERS`; one or more certificates one after the other, the leaf first, nothing before,
        between or after them, in lines of at most 64 that end in LF; all but letters, digits and `._~-` is encoded.
        Envoy 1.40 writes exactly this, and of a client's chain the leaf alone (measured).
    """
    return None if len(pem_url_encoded) > MOST_CHARACTERS else _thumbprint(pem_url_encoded)


@lru_cache(maxsize=MOST_REMEMBERED)
def _thumbprint(pem_url_encoded: str) -> bytes | None:
    if not _ENCODED.fullmatch(pem_url_encoded):
        return None
    text = unquote(pem_url_encoded, errors="replace")
    leaf: bytes | None = None
    at = 0
    while at < len(text):
        found = _CERTIFICATE.match(text, at)
        der = None if found is None else _der(found[1])
        if found is None or der is None:
            return None
        leaf = leaf or der
        at = found.end()
    return None if leaf is None else hashlib.sha256(leaf).digest()


def _digest(text: str) -> bytes | None:
    """The 32 bytes that `text` spells in base64url, in the one spelling they have."""
    return decode_base64url(text) if len(text) == _DIGEST_CHARACTERS else None


def _der(body: str) -> bytes | None:
    """The bytes of one certificate; None where they are none, or are spelt as nobody spells them."""
    joined = body.replace("\n", "")
    try:
        der = base64.b64decode(joined, validate=True)
        serial = x509.load_der_x509_certificate(der).serial_number
    except (binascii.Error, ValueError, x509.InvalidVersion, CryptographyDeprecationWarning):
        return None
    return der if serial > 0 and base64.b64encode(der).decode("ascii") == joined else None
