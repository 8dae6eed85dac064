"""Minted tokens: for one service, one scope set and one subject under its name there, and for a minute.

Who it is for, when, and until when the caller's own credential is good come in; a `Minted` or the reason against it
goes out: `mint.no_key` (nothing can sign now), `mint.signer` (the signer failed), `mint.over` (the caller's end is
here), `mint.subject`, `mint.audience`, `mint.scope` (one that no token can carry).

INVARIANT: the claims are `iss sub aud client_id iat exp jti scope` and no other; none is the caller's. `exp` is never
beyond the caller's end. What is remembered is keyed by everything that went into it, as it was, and by the key; it is
handed out again only once it is kept, in the first half of its life and while that key signs.
Sources: RFC 9068 2; RFC 7515; RFC 7518 3.4; RFC 6749 3.3. Design: language.md point D.

Decision: 2026-11-21. `client_id` is one name for all tokens, of those who carry them to services: the gateways of this
service. The caller's own client would tie its names at two services together.
Decision: 2026-11-21. A token for no scope has no claim `scope`: RFC 6749 3.3 knows no empty one.
Decision: 2026-11-21. Ends count in whole seconds, rounded down, against the bearer. A token that the caller's end cut
short is handed out again only for that end: another session of the subject gets its own.
Decision: 2026-11-21. The random number within an ECDSA signature is the library's; all other entropy is given.

One event loop owns a `Minter`; it is not for several threads.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

import orjson
from msgspec import Struct

from pdp.minting.key_store import Signer, Snapshot
from pdp.minting.keys import US, base64url
from pdp.minting.pairwise import pairwise_subject
from pdp.model import Minted

MOST_REMEMBERED = 10_000
JTI_BYTES = 16

_SCOPE = re.compile(r"[!#-\[\]-~]+")
"""RFC 6749 3.3: `scope-token`."""

_Place = tuple[str, str, str, tuple[str, ...], str, int | None]
"""Issuer, subject, audience, scopes, kid, and the second at which the caller's end cuts the token (None: it does not).
"""


class Subject(Struct, frozen=True):
    """Who calls: the name of the issuer that vouches for it, and what that issuer calls it."""

    issuer: str
    name: str


class _Kept(Struct, frozen=True):
    """A token that may be handed out again from `from_us` until before `half_us`."""

    minted: Minted
    from_us: int
    half_us: int


class Minter:
    """Mints with the keys of the last snapshot, and remembers at most `capacity` tokens, the least recently used going
    first.

    `issuer` is the URL whose `/.well-known/jwks.json` is the snapshot's set. `entropy(n)` gives n random bytes.
    ValueError when a name is empty or a number is not above 0.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        token_life_s: int,
        keys: Snapshot,
        entropy: Callable[[int], bytes],
        capacity: int = MOST_REMEMBERED,
    ) -> None:
        if not issuer or not client_id or token_life_s <= 0 or capacity <= 0:
            raise ValueError("a minter needs an issuer, a client, and a life and a capacity above 0")
        self._issuer = issuer
        self._client_id = client_id
        self._life_us = token_life_s * US
        self._entropy = entropy
        self._capacity = capacity
        self._kept: OrderedDict[_Place, _Kept] = OrderedDict()
        self._new: OrderedDict[str, tuple[_Place, _Kept]] = OrderedDict()
        self.use(keys)

    def use(self, keys: Snapshot) -> None:
        """Sign with the key of `keys` from now on; tokens of any other are not handed out again."""
        self._keys = keys
        self._header = b"" if keys.signer is None else _header(keys.signer)

    def token(
        self,
        subject: Subject,
        audience: str,
        scopes: tuple[str, ...],
        now_us: int,
        deadline_us: int | None,
        record: str,
    ) -> Minted | str:
        """A token for `subject` at the service `audience`, or the reason why there is none.

        Units: Unix microseconds; `deadline_us` is when the caller's token or session ends (None: it has no end).
            `record` is the id of the decision that needs it; one that is handed out again keeps that of its first.
        """
        keys = self._keys
        signer, secret = keys.signer, keys.secret
        if signer is None or secret is None or not keys.from_us <= now_us < keys.until_us:
            return "mint.no_key"
        cut_s = None if deadline_us is None or deadline_us >= now_us + self._life_us else deadline_us // US
        place = (subject.issuer, subject.name, audience, scopes, signer.kid, cut_s)
        kept = self._kept.get(place)
        if kept is None and len(scopes) > 1:  # what is kept stands under its scopes in order, each once
            words = tuple(sorted(set(scopes)))
            place = (subject.issuer, subject.name, audience, words, signer.kid, cut_s)
            kept = self._kept.get(place)
        if kept is not None and kept.from_us <= now_us < kept.half_us:
            self._kept.move_to_end(place)
            return kept.minted
        expires_at = (now_us + self._life_us) // US if cut_s is None else cut_s
        refusal = _refusal(subject, audience, scopes) if expires_at * US > now_us else "mint.over"
        if refusal is not None:
            return refusal
        name = pairwise_subject(secret, subject.issuer, subject.name, audience)
        return self._mint(signer, place, name, now_us, expires_at, record)

    def keep(self, minted: Minted) -> None:
        """Hand `minted` out again from now on: its making is on record. One that too many came after is not kept."""
        new = self._new.pop(minted.jti, None)
        if new is None:
            return
        place, kept = new
        self._kept[place] = kept
        self._kept.move_to_end(place)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def drop(self, minted: Minted) -> None:
        """Forget a token that left with nobody."""
        self._new.pop(minted.jti, None)

    def _mint(
        self, signer: Signer, place: _Place, name: str, now_us: int, expires_at: int, record: str
    ) -> Minted | str:
        audience, scopes = place[2], place[3]
        jti = base64url(self._entropy(JTI_BYTES))
        claims = {
            "iss": self._issuer,
            "sub": name,
            "aud": audience,
            "client_id": self._client_id,
            "iat": now_us // US,
            "exp": expires_at,
            "jti": jti,
        }
        if scopes:
            claims["scope"] = " ".join(scopes)
        signed = self._header + base64url(orjson.dumps(claims)).encode("ascii")
        try:
            signature = signer.sign(signed)
        except OSError:
            return "mint.signer"
        token = f"{signed.decode('ascii')}.{base64url(signature)}"
        minted = Minted(token, jti, signer.kid, audience, expires_at, record)
        self._new[jti] = (place, _Kept(minted, now_us, now_us + (expires_at * US - now_us) // 2))
        if len(self._new) > self._capacity:
            self._new.popitem(last=False)
        return minted


def _header(signer: Signer) -> bytes:
    """The first part of every token of `signer`, with its dot: RFC 9068 2.1."""
    header = {"alg": signer.algorithm, "kid": signer.kid, "typ": "at+jwt"}
    return base64url(orjson.dumps(header)).encode("ascii") + b"."


def _refusal(subject: Subject, audience: str, scopes: tuple[str, ...]) -> str | None:
    if not subject.issuer or not subject.name:
        return "mint.subject"
    if not audience or not audience.isprintable():
        return "mint.audience"
    return None if all(_SCOPE.fullmatch(scope) for scope in scopes) else "mint.scope"
