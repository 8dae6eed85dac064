"""Proof of possession: whether a token that is bound to a key came from who holds that key.

The claims of a token, the certificate of the connection it came over and the instant go in; None, or the reason of a
refusal, goes out. Pure.
INVARIANT: a token with `cnf` passes only with a certificate whose SHA-256 is the one that `cnf` names, and nothing else
in `cnf`, while that certificate is not over. A binding that is not understood is not proved.
Sources: RFC 7800 3.1; RFC 8705 3.1 (`x5t#S256`), RFC 9449 6.1 (`jkt`); RFC 7468 5 (PEM); RFC 5280 4.1.2.5 (`notAfter`).
Design: security.md 2.1, row "sender constraint".

SECURITY: the certificate is the one the gateway saw in its own handshake with the client (Envoy: `source.certificate`,
with `include_peer_certificate`), never a header: any client can write one, and a certificate is no secret. The
handshake is the proof.
SECURITY: it belongs to the connection and not to the token. A token that was proved before is asked again at each use,
since a connection outlives the certificate that opened it.

`token.unproved`: no certificate, another one, an unknown member, several members, or a malformed `cnf`.
`token.certificate_over`: the right certificate, and its time is over.
`token.dpop`: exactly a `jkt`, well formed. DPoP is recognised and not supported.

Decision: 2026-11-21. A certificate that its library only warns of (a serial number that is not positive, RFC 5280
4.1.2.2) is not well formed, whether warnings are errors or not.
Decision: 2026-11-21. Every certificate of a chain must be well formed, though the first alone is hashed: what is
appended to it may not be rubbish that another reader would take for something.
Decision: 2026-11-21. A certificate is over at `notAfter`, which RFC 5280 still counts in: so a decision that holds
until then is asked about again when it is over, and the second is the bearer's loss. There is no leeway. Whether its
time has begun, and who signed it, was the gateway's to check in the handshake.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from pdp.identity.strict import decode_base64url
from pdp.model import ClientCertificate
from policy_lang.verdict import Json

MOST_CHARACTERS = 32 * 1024
"""Of URL-encoded certificates: the largest ordinary one, with an RSA key of 8192 bits, has about 5,000."""

MOST_REMEMBERED = 256
"""Certificates that are remembered by their text: a connection shows the same one with each call, and taking it
apart takes 40 µs."""

_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)
UNREADABLE = ClientCertificate(b"", 0)
"""What a gateway said of a certificate and nobody can read: it proves no key, and its time is over."""

_DIGEST_CHARACTERS = 43
_ENCODED = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END CERTIFICATE-----\n")


def proved(claims: Mapping[str, Json], certificate: ClientCertificate | None, now: int) -> str | None:
    """None for a token that is bound to nothing, or to this certificate; else the reason. Total.

    Shapes: `certificate` as `client_certificate` gives it; None where the client showed none. `now` in Unix seconds.
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
    if wanted is None or certificate is None or not hmac.compare_digest(wanted, certificate.digest):
        return "token.unproved"
    return None if now < certificate.ends_s else "token.certificate_over"


def client_certificate(pem_url_encoded: str) -> ClientCertificate:
    """The leaf of a URL-encoded PEM chain; `UNREADABLE` for anything else. Total.

    Shapes: at most `MOST_CHARACTERS`; one or more certificates one after the other, the leaf first, nothing before,
        between or after them, in lines of at most 64 that end in LF; all but letters, digits and `._~-` is encoded.
        Envoy 1.40 writes exactly this, and of a client's chain the leaf alone (measured).
    """
    leaf = None if len(pem_url_encoded) > MOST_CHARACTERS else _leaf(pem_url_encoded)
    return UNREADABLE if leaf is None else leaf


@lru_cache(maxsize=MOST_REMEMBERED)
def _leaf(pem_url_encoded: str) -> ClientCertificate | None:
    if not _ENCODED.fullmatch(pem_url_encoded):
        return None
    text = unquote(pem_url_encoded, errors="replace")
    leaf: ClientCertificate | None = None
    at = 0
    while at < len(text):
        found = _CERTIFICATE.match(text, at)
        certificate = None if found is None else _certificate(found[1])
        if found is None or certificate is None:
            return None
        leaf = leaf or certificate
        at = found.end()
    return leaf


def _digest(text: str) -> bytes | None:
    """The 32 bytes that `text` spells in base64url, in the one spelling they have."""
    return decode_base64url(text) if len(text) == _DIGEST_CHARACTERS else None


def _certificate(body: str) -> ClientCertificate | None:
    """One certificate; None where the text is none, or is spelt as nobody spells them."""
    joined = body.replace("\n", "")
    try:
        der = base64.b64decode(joined, validate=True)
        read = x509.load_der_x509_certificate(der)
        serial, ends = read.serial_number, read.not_valid_after_utc
    except (binascii.Error, ValueError, x509.InvalidVersion, CryptographyDeprecationWarning):
        return None
    if serial <= 0 or base64.b64encode(der).decode("ascii") != joined:
        return None
    return ClientCertificate(hashlib.sha256(der).digest(), (ends - _EPOCH) // _SECOND)
