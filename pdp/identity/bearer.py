"""Station (2) of a request: the credential it carries, proved once and remembered while it is good.

The canonical values of `authorization` come in; nobody (None), `Proven`, or `TokenRefusal` goes out. A credential that
is present and not good is refused, never treated as absent.

INVARIANT: for the same texts and the same instant, a remembered token and a fresh one get the same answer. What is
remembered is keyed by the exact text of the header's value but for the case of its scheme, holds only tokens that
verified, is asked for its time at each use, and is forgotten with the very issuer (pins and key set object) that
verified it.
Sources: RFC 6750 2.1; RFC 9110 11.2. Design: contracts.md "Who decided", row `token`; architecture.md station (2).

INVARIANT: a token with `cnf` is proven only together with the certificate that it names, and none that is revoked, or
whose session has ended at rest, is proven, at each use.

Beside the reasons of `pdp/identity/jwt.py` and `pdp/identity/confirmation.py`: `token.repeated` (two values, or two in
one), `token.scheme` (not Bearer), `token.empty` (nothing where the token should be), `token.malformed` (not the
characters of a token).

One event loop owns an `Identity`; it is not for several threads.

Decision: 2026-11-21. What is remembered is keyed by the text itself, not by a digest of it: nothing can confuse two
texts that differ in any byte, and a digest alone takes longer than the whole step may (benchmarks/identity.py). Memory
then holds tokens that are good, as it holds those of the calls under way in any case.
Decision: 2026-11-21. What a token stands on is asked last, when everything else is proved: who is asked counts a use of
the session, and a stolen token without its certificate is none.
Decision: 2026-11-21. Where sessions end at rest, nobody is proved for longer than that from now on: who goes by a
decision without asking again does not use the session, as far as we know.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping

from msgspec import Struct

from pdp.identity.confirmation import proved
from pdp.identity.jwt import LONGEST_TOKEN, TokenRefusal, Verified, Verifier
from pdp.model import ClientCertificate, Json, Principal

MOST_REMEMBERED = 10_000
MOST_REMEMBERED_CHARACTERS = 32 * 1024 * 1024
"""Of all texts that are remembered."""

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCHEME, _USUAL = "bearer", "Bearer "


class Proven(Struct, frozen=True):
    """A credential that is good now. The policy knows which of its token kinds the issuer stands for."""

    verified: Verified

    @property
    def issuer(self) -> str:
        """The issuer's name, as its `iss` and the configuration say it."""
        return self.verified.issuer.url

    def principal(self, name: str, now: int) -> Principal:
        """The principal, as the policy's token kind `name`, proved at `now` (Unix seconds)."""
        verified = self.verified
        ends_at, session = verified.ends_at(), verified.session
        return Principal(
            kind="token",
            name=name,
            claims=verified.claims,
            expires_at=ends_at if session is None else min(ends_at, now + session.idle_s),
            credential=verified.credential,
            multi_audience=verified.issuer.multi_audience,
        )


class _Remembered(Struct, frozen=True):
    """A proven credential, and the time for which it is good, leeway included: from `begins` until before `ends`."""

    proven: Proven
    begins: int
    ends: int


def _nothing(_: Verified, __: int) -> str | None:
    """Nothing is revoked, and no session ends at rest."""
    return None


class Identity:
    """Proves credentials, and remembers at most `capacity` of them, the least recently used going first."""

    def __init__(
        self,
        verifier: Verifier,
        capacity: int = MOST_REMEMBERED,
        standing: Callable[[Verified, int], str | None] = _nothing,
    ) -> None:
        """`standing` says at each use, at so many Unix seconds, why a token that is good is refused all the same; None
        where it is not, which is then a use of it.
        """
        self._verifier = verifier
        self._standing = standing
        self._capacity = capacity
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._characters = 0

    def replace(self, verifier: Verifier) -> None:
        """Trust the issuers of `verifier` from now on; tokens of issuers that are no longer the same are forgotten."""
        self._verifier = verifier
        for text, known in tuple(self._remembered.items()):
            if not verifier.trusts(known.proven.verified.issuer):
                self._forget(text)

    def prove(
        self, authorization: tuple[str, ...], now: int, certificate: ClientCertificate | None = None
    ) -> Proven | TokenRefusal | None:
        """Prove the credential of a request at `now`, Unix seconds, that came over a connection with this certificate.

        Shapes: `authorization` as `pdp.canonical.Headers` has it: one entry for each value. Empty is nobody: None.
            `certificate` is the client's, None where the gateway said none.
        """
        if len(authorization) != 1:
            return TokenRefusal("token.repeated") if authorization else None
        text = authorization[0]
        known = self._remembered.get(text)
        if known is None and not text.startswith(_USUAL):
            text = _usual(text)
            known = self._remembered.get(text)
        if known is not None:
            if known.begins <= now < known.ends:
                self._remembered.move_to_end(text)
                return self._held(known.proven, now, certificate)
            self._forget(text)
        proven = self._prove(text, now)
        return proven if isinstance(proven, TokenRefusal) else self._held(proven, now, certificate)

    def accept(
        self, claims: Mapping[str, Json], now: int, certificate: ClientCertificate | None = None
    ) -> Proven | TokenRefusal:
        """Take the claims of a token that the gateway verified; nothing of them is remembered."""
        verified = self._verifier.accept(claims, now)
        return verified if isinstance(verified, TokenRefusal) else self._held(Proven(verified), now, certificate)

    def _prove(self, text: str, now: int) -> Proven | TokenRefusal:
        """The answer for a text that is not known to be good, whoever holds its key."""
        token = _token(text)
        if isinstance(token, TokenRefusal):
            return token
        verified = self._verifier.verify(token, now)
        if isinstance(verified, TokenRefusal):
            return verified
        proven = Proven(verified)
        leeway_s = verified.issuer.leeway_s
        begins, ends = verified.not_before - leeway_s, verified.ends_at(leeway_s)
        self._remembered[text] = _Remembered(proven, begins, ends)
        self._characters += len(text)
        while len(self._remembered) > self._capacity or self._characters > MOST_REMEMBERED_CHARACTERS:
            self._forget(next(iter(self._remembered)))
        return proven

    def _held(self, proven: Proven, now: int, certificate: ClientCertificate | None) -> Proven | TokenRefusal:
        """The same where its key is held, if it is bound to one, and what it stands on still stands."""
        verified = proven.verified
        reason = proved(verified.claims, certificate, now) or self._standing(verified, now)
        return proven if reason is None else TokenRefusal(reason)

    def _forget(self, text: str) -> None:
        del self._remembered[text]
        self._characters -= len(text)


def _usual(value: str) -> str:
    """The same with the scheme in its usual spelling: however it is spelt, a token is remembered once."""
    scheme, space, token = value.partition(" ")
    return f"{_USUAL}{token}" if space and scheme.lower() == _SCHEME else value


def _token(value: str) -> str | TokenRefusal:
    """The token of one `authorization` value. Its size is checked before anything reads it."""
    scheme, space, token = value.partition(" ")
    if not value.strip(" \t"):
        return TokenRefusal("token.empty")
    if scheme.lower() != _SCHEME:
        return TokenRefusal("token.scheme")
    if not space or not token:
        return TokenRefusal("token.empty")
    if len(token) > LONGEST_TOKEN:
        return TokenRefusal("token.too_large")
    return token if _TOKEN68.fullmatch(token) else TokenRefusal("token.malformed")
