"""Access tokens (JWS, compact): verified under the pins of their issuer, or refused by a named reason.

The text of a token and the instant come in; `Verified` or `TokenRefusal` goes out. Pure: no fetch, no clock, no state.
PyJWT checks the signature and nothing else; everything it leaves open is decided here. It is asked for its algorithms
alone: its own way through a token reads every character of it again, a third of the time of a first sight.
INVARIANT: algorithm, key and type are fixed by the configuration of the issuer. A token only selects among them.
Sources: RFC 7515; RFC 7519; RFC 8725; RFC 9068. Design: security.md 2.1; contracts.md "Who decided", row `token`.

(0) size                  `token.too_large`
(1) three parts, base64url, two strict JSON objects   `token.malformed`
(2) header: what must not stand in it   `token.critical` `token.embedded_key` `token.malformed` `token.type` (nested)
(3) issuer, looked up by the unverified `iss`   `token.issuer`
(4) algorithm, type, key  `token.algorithm` `token.type` `token.key`
(5) signature             `token.signature`
(6) claims                `token.claims` `token.lifetime` `token.session` (it names no session, where those end at rest)
(7) time                  `token.not_yet` `token.expired` `token.session` (the login it came of is too long ago)

Whether a token with `cnf` came from who holds its key is not asked here: it belongs to the connection, and is asked
again at each use (`pdp.identity.bearer`). Nor is how long its session was not used: that is not in the token
(`pdp/sessions.py`).

Claims that a gateway verified and hands on without their token (`Verifier.accept`) take steps (0), (1), (3), (6) and
(7). Steps (2), (4) and (5), what signs a token and what type it is, are then the gateway's configuration to settle.

SECURITY: (3) reads `iss` before anything vouches for it. That is safe because it only picks one entry of a closed map,
and (5) then checks, with a key of that entry, a signature over the very bytes `iss` was read from: whoever names an
issuer whose key he does not hold fails there.

Decision: 2026-11-21. Times count in whole seconds, rounded against the bearer: `exp` down, `nbf` and `iat` up.
Decision: 2026-11-21. Lifetimes are always limited (24 h unless the issuer says otherwise), counted from `iat`, else
from `nbf`; a token with neither is refused by `token.lifetime`, because its age cannot be told.
Decision: 2026-11-21. Claims that came as doubles (protobuf's JSON) hold no number of 2^53 or more, fractions included:
another one may have been signed, and so they are `token.malformed`. No claims are larger than the largest token's.
Decision: 2026-11-21. `credential` hashes the decoded header and payload, not the signature: of one ECDSA signature
anybody can make a second valid one, and both must be the same credential. Of claims alone it hashes their JSON in one
order; it is never that of a token.
Decision: 2026-11-21. Where sessions end at rest, a token without `auth_time` must have `iat`, and its `nbf` does not
stand in for that: it is no instant at which anybody did anything. An `auth_time` after the token's own beginning counts
as that beginning, so that none lies further ahead than the leeway.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence

from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError
from msgspec import Struct

from pdp.identity.jwks import ALGORITHMS, Algorithm, Key, KeySet, is_kid
from pdp.identity.profiles import Profile, conform, type_name
from pdp.identity.strict import JsonRefusedError, decode_base64url, decode_json_object
from policy_lang.verdict import Json, KnownClaims

LONGEST_TOKEN = 16 * 1024
LONGEST_CLAIMS = LONGEST_TOKEN // 4 * 3
"""Bytes of JSON that fit the largest token."""
MOST_DEEP = 16
MOST_LEEWAY_S = 60
DEFAULT_LEEWAY_S = 30
DEFAULT_LIFETIME_S = 24 * 60 * 60
LATEST = 253_402_300_799
"""9999-12-31T23:59:59Z; a later instant in a token is a mistake."""
EXACT = 2**53
"""Whole numbers below it are themselves as a double."""
LONGEST_SID = 1_024
"""Characters of the name of a session."""

_EMBEDDED = ("jku", "x5u", "jwk", "x5c")


class TokenRefusal(Struct, frozen=True):
    """Why a credential is refused: a reason such as `token.signature`."""

    reason: str


class Issuer(Struct, frozen=True):
    """An issuer and its pins. `url` is compared with `iss` code point by code point. `keys` None: none count now.

    `types` are media types without `application/`, in lower case (see `type_name`); `profile` says what its tokens look
    like besides. `max_lifetime_s` limits `exp` minus `iat`, `session_max_s` the time since `auth_time`, which then must
    be there, `session_idle_s` the time for which the session (`sid`, which then must be there) was not used. ValueError
    for pins that are none.
    """

    url: str
    keys: KeySet | None
    algorithms: frozenset[Algorithm]
    types: frozenset[str]
    leeway_s: int = DEFAULT_LEEWAY_S
    max_lifetime_s: int = DEFAULT_LIFETIME_S
    multi_audience: bool = False
    session_max_s: int | None = None
    session_idle_s: int | None = None
    profile: Profile | None = None

    def __post_init__(self) -> None:
        if not self.url or not self.algorithms or not self.algorithms <= set(ALGORITHMS):
            raise ValueError("an issuer needs a name, and algorithms of ours")
        if not self.types and self.profile is None:
            raise ValueError("an issuer needs types, or a profile that says when there is none")
        if any(name != type_name(name) for name in self.types):
            raise ValueError("types stand in lower case, without application/")
        if not 0 <= self.leeway_s <= MOST_LEEWAY_S or self.max_lifetime_s <= 0:
            raise ValueError(f"a leeway is 0 to {MOST_LEEWAY_S} s, a lifetime above 0")
        if any(limit_s is not None and limit_s <= 0 for limit_s in (self.session_max_s, self.session_idle_s)):
            raise ValueError("a session lasts longer than nothing")


class Session(Struct, frozen=True):
    """The session of a token whose issuer ends those that are not used for `idle_s`.

    `key` is `session_key`. `began_at`, in Unix seconds, is all that the token says of when it was used: the login where
    it tells that (`by_login`), else when the token was issued.
    """

    key: bytes
    idle_s: int
    leeway_s: int
    began_at: int
    by_login: bool


def session_key(issuer: str, sid: str) -> bytes:
    """The 32 bytes by which a session is known among those of all issuers: SHA-256 over both names, the length of the
    first before it, which keeps the border between the two.
    """
    first = issuer.encode()
    return hashlib.sha256(len(first).to_bytes(8, "big") + first + sid.encode()).digest()


class Verified(Struct, frozen=True):
    """A token that passed all but the time, which passes again at each use.

    `expires_at` and `not_before` in Unix seconds, as the token says them, without leeway (the later of
    `iat` and `nbf`). `session_ends_at`: from then on the login that the token came of is too old, None where
    that is not limited. `credential` is 32 bytes. `kid` is that of the key that verified it. `session` is None where
    sessions do not end at rest.
    """

    issuer: Issuer
    claims: Mapping[str, Json]
    expires_at: int
    not_before: int
    credential: bytes
    session_ends_at: int | None = None
    kid: str | None = None
    session: Session | None = None

    def ends_at(self, leeway_s: int = 0) -> int:
        """The first second, in Unix seconds, at which the token is no longer good; only its own end has a leeway."""
        expires_at = self.expires_at + leeway_s
        return expires_at if self.session_ends_at is None else min(expires_at, self.session_ends_at)

    def refused_at(self, now: int) -> TokenRefusal | None:
        """Step (7), at `now` in Unix seconds: None while the token is good."""
        leeway_s = self.issuer.leeway_s
        if self.not_before > now + leeway_s:
            return TokenRefusal("token.not_yet")
        if self.expires_at <= now - leeway_s:
            return TokenRefusal("token.expired")
        over = self.session_ends_at is not None and self.session_ends_at <= now
        return TokenRefusal("token.session") if over else None


class _Parts(Struct, frozen=True):
    """A token taken apart: header and payload decoded, the text that was signed (RFC 7515 5.2), its signature."""

    header_bytes: bytes
    payload_bytes: bytes
    header: Mapping[str, Json]
    claims: Mapping[str, Json]
    signed: bytes
    signature: bytes


class _RefusedError(Exception):
    """Ends a verification from within; never leaves this module. `args[0]` is the reason."""


def _nobody(_: str) -> None:
    """Nobody looks for a key."""


class Verifier:
    """Verifies tokens of a fixed list of issuers. ValueError when two issuers have one name.

    `missing` is told the name of an issuer of which a token, whose signature nobody has checked, names a key that is
    not there; it must be quick and must not raise.
    """

    def __init__(self, issuers: Sequence[Issuer], missing: Callable[[str], None] = _nobody) -> None:
        self._missing = missing
        self._issuers = {issuer.url: issuer for issuer in issuers}
        if len(self._issuers) != len(issuers):
            raise ValueError("two issuers have one name")
        self._jws = PyJWS(algorithms=ALGORITHMS)

    def trusts(self, issuer: Issuer) -> bool:
        """Whether exactly this issuer, with these pins and this key set object, is among ours."""
        return self._issuers.get(issuer.url) is issuer

    def verify(self, token: str, now: int) -> Verified | TokenRefusal:
        """Verify `token` at `now`, Unix seconds. Total: every text has an answer. The steps are the module's."""
        try:
            verified = self._verify(token)
        except _RefusedError as refused:
            return TokenRefusal(str(refused.args[0]))
        return verified.refused_at(now) or verified

    def accept(self, claims: Mapping[str, Json], now: int) -> Verified | TokenRefusal:
        """Take the claims, with numbers as doubles, of a token that a gateway verified, at `now`. Total."""
        try:
            verified = self._accept(claims)
        except _RefusedError as refused:
            return TokenRefusal(str(refused.args[0]))
        return verified.refused_at(now) or verified

    def _accept(self, given: Mapping[str, Json]) -> Verified:
        text = _json(given)
        if len(text) > LONGEST_CLAIMS:  # (0)
            raise _RefusedError("token.too_large")
        claims = _strict(text)  # (1)
        if not _is_exact(claims):
            raise _RefusedError("token.malformed")
        issuer = self._issuer(claims)  # (3)
        credential = hashlib.sha256(b"claims " + text).digest()
        return _with_claims(_conforming(issuer, None, claims), issuer, credential, None)  # (6)

    def _issuer(self, claims: Mapping[str, Json]) -> Issuer:
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise _RefusedError("token.issuer")
        return issuer

    def _verify(self, token: str) -> Verified:
        if len(token) > LONGEST_TOKEN:  # (0)
            raise _RefusedError("token.too_large")
        parts = _taken_apart(token)  # (1)
        _check_header(parts.header)  # (2)
        issuer = self._issuer(parts.claims)  # (3)
        key = _pinned_key(parts.header, issuer, self._missing)  # (4)
        self._check_signature(parts, key)  # (5)
        claims = _conforming(issuer, parts.header, parts.claims)
        return _with_claims(claims, issuer, _credential(parts), key.kid)  # (6)

    def _check_signature(self, parts: _Parts, key: Key) -> None:
        algorithm = self._jws.get_algorithm_by_name(key.algorithm)
        try:
            good = algorithm.verify(parts.signed, algorithm.prepare_key(key.public), parts.signature)
        except PyJWTError:
            good = False
        if good is not True:
            raise _RefusedError("token.signature")


def _taken_apart(token: str) -> _Parts:
    texts = token.split(".", 3)
    decoded = [decode_base64url(text) for text in texts]
    if len(decoded) != 3 or decoded[0] is None or decoded[1] is None or decoded[2] is None:
        raise _RefusedError("token.malformed")
    signed = f"{texts[0]}.{texts[1]}".encode("ascii")
    return _Parts(decoded[0], decoded[1], _strict(decoded[0]), _strict(decoded[1]), signed, decoded[2])


def _strict(data: bytes) -> Mapping[str, Json]:
    try:
        return decode_json_object(data, MOST_DEEP)
    except JsonRefusedError:
        raise _RefusedError("token.malformed") from None


def _json(claims: Mapping[str, Json]) -> bytes:
    """Claims as JSON in one order."""
    try:
        text = json.dumps(claims, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        raise _RefusedError("token.malformed") from None


def _is_exact(value: Json | Mapping[str, Json]) -> bool:
    """Whether no number in `value` may have been another one before it became a double."""
    match value:
        case bool():
            return True
        case int() | float():
            return abs(value) < EXACT
        case list():
            return all(_is_exact(item) for item in value)
        case Mapping():
            return all(_is_exact(item) for item in value.values())
        case _:
            return True


def _check_header(header: Mapping[str, Json]) -> None:
    if "crit" in header or "b64" in header:
        raise _RefusedError("token.critical")
    if any(name in header for name in _EMBEDDED):
        raise _RefusedError("token.embedded_key")
    if "zip" in header or "enc" in header:
        raise _RefusedError("token.malformed")
    content_type = header.get("cty", "")
    if not isinstance(content_type, str) or "jwt" in content_type.lower():
        raise _RefusedError("token.type")


def _pinned_key(header: Mapping[str, Json], issuer: Issuer, missing: Callable[[str], None]) -> Key:
    algorithm, media_type, kid = header.get("alg"), header.get("typ"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise _RefusedError("token.algorithm")
    typed = isinstance(media_type, str) and type_name(media_type) in issuer.types
    if not typed and ("typ" in header or issuer.profile is None):  # whether it may be absent, the profile says
        raise _RefusedError("token.type")
    if "kid" in header and not (isinstance(kid, str) and is_kid(kid)):
        raise _RefusedError("token.key")
    key = None if issuer.keys is None else issuer.keys.find(kid if isinstance(kid, str) else None)
    if key is None:
        missing(issuer.url)
        raise _RefusedError("token.key")
    if key.algorithm != algorithm:
        raise _RefusedError("token.algorithm")
    return key


def _conforming(issuer: Issuer, header: Mapping[str, Json] | None, claims: Mapping[str, Json]) -> Mapping[str, Json]:
    """The claims as the issuer's profile has them."""
    if issuer.profile is None:
        return claims
    found = conform(issuer.profile, header, claims)
    if isinstance(found, str):
        raise _RefusedError(found)
    return found


def _with_claims(claims: Mapping[str, Json], issuer: Issuer, credential: bytes, kid: str | None) -> Verified:
    if not isinstance(claims.get("sub", ""), str) or not _is_audience(claims.get("aud", "")):
        raise _RefusedError("token.claims")
    expires_at = math.floor(_instant(claims, "exp"))
    begins = [math.ceil(_instant(claims, name)) for name in ("iat", "nbf") if name in claims]
    if not begins or expires_at - begins[0] > issuer.max_lifetime_s:
        raise _RefusedError("token.lifetime")
    limit_s = issuer.session_max_s
    return Verified(
        issuer=issuer,
        claims=KnownClaims(claims),
        expires_at=expires_at,
        not_before=max(begins),
        credential=credential,
        session_ends_at=None if limit_s is None else math.floor(_instant(claims, "auth_time")) + limit_s,
        kid=kid,
        session=None if issuer.session_idle_s is None else _session(claims, issuer, issuer.session_idle_s, max(begins)),
    )


def _session(claims: Mapping[str, Json], issuer: Issuer, idle_s: int, not_before: int) -> Session:
    sid, by_login = claims.get("sid"), "auth_time" in claims
    if not isinstance(sid, str) or not 0 < len(sid) <= LONGEST_SID or not (by_login or "iat" in claims):
        raise _RefusedError("token.session")
    began_at = math.floor(_instant(claims, "auth_time" if by_login else "iat"))
    return Session(session_key(issuer.url, sid), idle_s, issuer.leeway_s, min(began_at, not_before), by_login)


def _is_audience(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str)


def _instant(claims: Mapping[str, Json], name: str) -> int | float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise _RefusedError("token.claims")
    return value


def _credential(parts: _Parts) -> bytes:
    """The length keeps the border between the two parts in the hash."""
    length = len(parts.header_bytes).to_bytes(8, "big")
    return hashlib.sha256(length + parts.header_bytes + parts.payload_bytes).digest()
