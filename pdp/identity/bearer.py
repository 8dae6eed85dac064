"""Station (2) of a request: the credential it carries, proved once and remembered while it is good.

The canonical values of `authorization` come in; nobody (None), `Proven`, or `TokenRefusal` goes out. A credential that
is present and not good is refused, never treated as absent.

INVARIANT: for the same texts and the same instant, a remembered token and a fresh one get the same answer. What is
remembered is keyed by SHA-256 of the exact text, holds only tokens that verified, is asked for its time at each use,
and counts only while the very issuer (pins and key set object) that verified it is still trusted.
Sources: RFC 6750 2.1; RFC 9110 11.2. Design: contracts.md "Who decided", row `token`; architecture.md station (2).

Beside the reasons of `pdp/identity/jwt.py`: `token.repeated` (two values, or two in one), `token.scheme` (not Bearer),
`token.empty` (nothing where the token should be), `token.malformed` (not the characters of a token).

One event loop owns an `Identity`; it is not for several threads.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping

from msgspec import Struct

from pdp.identity.jwt import LONGEST_TOKEN, TokenRefusal, Verified, Verifier
from pdp.model import Json, Principal

MOST_REMEMBERED = 10_000

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCHEME = "bearer"


class Proven(Struct, frozen=True):
    """A credential that is good now. The policy knows which of its token kinds the issuer stands for."""

    verified: Verified

    @property
    def issuer(self) -> str:
        """The issuer's name, as its `iss` and the configuration say it."""
        return self.verified.issuer.url

    def principal(self, name: str) -> Principal:
        """The principal, as the policy's token kind `name`."""
        verified = self.verified
        return Principal(
            kind="token",
            name=name,
            claims=verified.claims,
            expires_at=verified.expires_at,
            credential=verified.credential,
            multi_audience=verified.issuer.multi_audience,
        )


class Identity:
    """Proves credentials, and remembers at most `capacity` of them, the least recently used going first."""

    def __init__(self, verifier: Verifier, capacity: int = MOST_REMEMBERED) -> None:
        self._verifier = verifier
        self._capacity = capacity
        self._remembered: OrderedDict[bytes, Proven] = OrderedDict()

    def replace(self, verifier: Verifier) -> None:
        """Trust the issuers of `verifier` from now on; tokens of issuers that are no longer the same are forgotten."""
        self._verifier = verifier
        for digest, proven in tuple(self._remembered.items()):
            if not verifier.trusts(proven.verified.issuer):
                del self._remembered[digest]

    def prove(self, authorization: tuple[str, ...], now: int) -> Proven | TokenRefusal | None:
        """Prove the credential of a request at `now`, Unix seconds.

        Shapes: `authorization` as `pdp.canonical.Headers` has it: one entry for each value. Empty is nobody: None.
        """
        if not authorization:
            return None
        if len(authorization) > 1:
            return TokenRefusal("token.repeated")
        token = _token(authorization[0])
        return token if isinstance(token, TokenRefusal) else self._prove(token, now)

    def accept(self, claims: Mapping[str, Json], now: int) -> Proven | TokenRefusal:
        """Take the claims of a token that the gateway verified; nothing of them is remembered."""
        verified = self._verifier.accept(claims, now)
        return verified if isinstance(verified, TokenRefusal) else Proven(verified)

    def _prove(self, token: str, now: int) -> Proven | TokenRefusal:
        """The answer for a token of ASCII characters; only texts not yet known to be good are looked at closely."""
        digest = hashlib.sha256(token.encode("ascii")).digest()
        known = self._remembered.get(digest)
        if known is not None and self._verifier.trusts(known.verified.issuer):
            refusal = known.verified.refused_at(now)
            if refusal is None:
                self._remembered.move_to_end(digest)
                return known
            del self._remembered[digest]
            return refusal
        if not _TOKEN68.fullmatch(token):
            return TokenRefusal("token.malformed")
        verified = self._verifier.verify(token, now)
        if isinstance(verified, TokenRefusal):
            return verified
        proven = Proven(verified)
        self._remembered[digest] = proven
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)
        return proven


def _token(value: str) -> str | TokenRefusal:
    """The token of one `authorization` value, in ASCII. Its size is checked before anything reads it."""
    scheme, space, token = value.partition(" ")
    if not value.strip(" \t"):
        return TokenRefusal("token.empty")
    if scheme.lower() != _SCHEME:
        return TokenRefusal("token.scheme")
    if not space or not token:
        return TokenRefusal("token.empty")
    if len(token) > LONGEST_TOKEN:
        return TokenRefusal("token.too_large")
    return token if token.isascii() else TokenRefusal("token.malformed")
