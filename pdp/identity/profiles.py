"""Profiles: what the tokens of an issuer look like beyond its key, its algorithms and its name.

A profile and the header and claims of a token that is otherwise good come in; the claims go out, with `aud` filled in
where the profile says what stands in for it, or a reason. Pure.
INVARIANT: a profile only refuses. What it fills in is `aud`, and only where the token has no member of that name: one
that is empty, null or of another service stays what it is. The pins of the issuer hold beside it.
INVARIANT: an ID token is no access token. A preset for access tokens refuses the same provider's ID token wherever the
two can be told apart; its docstring says by what, and where they cannot.
Sources: RFC 9068 2.1, 2.2, 4; OpenID Connect Core 1.0 2, 3.1.3.7; RFC 8725 3.11, 3.12. Design: security.md 2.1;
contracts.md "Audience".

(1) the header's `typ` is one of a form of the profile, or absent where a form allows it   `token.type`
(2) the claims fit one of the forms of that type   `token.claims`
(3) `aud`, or what stands in for it, where the profile names something   `token.claims`

Decision: 2026-11-21. Only Cognito's preset names a stand-in for `aud` of itself, because its documentation tells a
service to check that claim instead. In all others a stand-in is the operator's word: `azp` and `client_id` say who
asked for a token, not whom it is for, and opening a service by them must be meant.
Decision: 2026-11-21. Where a preset neither demands `aud` nor has a stand-in (Keycloak), a token without `aud` conforms
and opens nothing: it is refused by `audience`, as contracts.md has it.
Decision: 2026-11-21. An ID token has one audience. OpenID Connect Core 3.1.3.7 (3) refuses audiences that the client
does not trust, and beside the service that is called we know of none. Its rules on `azp` then come to this: where
it is there, it is that audience.
Decision: 2026-11-21. ID tokens with `scope`, `scp` or `appid` are refused: those claims are an access token's, and of
Entra's v1.0 tokens for applications `appid` alone says so.
Decision: 2026-11-21. Claims that a gateway verified come without a header (`Verifier.accept`); for them the type is the
gateway's to settle, and (2) is asked of every form.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, assert_never

from msgspec import Struct

from pdp.identity.jwks import ALGORITHMS, Algorithm
from policy_lang.verdict import Json

_INSTANTS = frozenset({"exp", "iat", "nbf", "auth_time"})
_ALWAYS = ("iss", "exp", "iat")
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})
_OF_EVENTS = frozenset({"events"})
"""What security event tokens and logout tokens have (RFC 8417 2.2; OpenID Connect Back-Channel Logout 1.0 2.4)."""
_NO_ACCESS_TOKEN = _OF_ID_TOKENS | _OF_EVENTS
_NO_ID_TOKEN = frozenset({"scope", "scp", "appid"}) | _OF_EVENTS
_RS256: frozenset[Algorithm] = frozenset({"RS256"})
_JWT = frozenset({"jwt"})
_AT_JWT = frozenset({"at+jwt"})


class FromClaim(Struct, frozen=True):
    """The claim that stands in for a missing `aud`, by the names that lead to it. ValueError where there are none."""

    path: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.path or not all(self.path):
            raise ValueError("a claim has a name")


class Fixed(Struct, frozen=True):
    """The audience of every token of the issuer that names none. ValueError for the empty one."""

    audience: str

    def __post_init__(self) -> None:
        if not self.audience:
            raise ValueError("an audience has a name")


StandIn = FromClaim | Fixed


class Form(Struct, frozen=True):
    """One form that tokens of a profile take.

    `types` are the media types of `typ`, in lower case without `application/`; `untyped`: it may be absent. `present`
    are claims that must be there: `aud` with an audience, instants as numbers, all others as text that is not empty.
    `equal` are claims with the one value they must have, `absent` claims that must not be there. `tenant_before`: the
    issuer ends in `/`, the token's `tid`, and this text. `audience`: `sole` is exactly one, `client` besides is `azp`
    wherever that is there.
    """

    types: frozenset[str]
    present: tuple[str, ...]
    untyped: bool = False
    equal: tuple[tuple[str, str | int], ...] = ()
    absent: frozenset[str] = frozenset()
    tenant_before: str | None = None
    audience: Literal["any", "sole", "client"] = "any"


class Profile(Struct, frozen=True):
    """What tokens of an issuer look like. `kind` is what they are; `algorithms` those that such an issuer uses.

    `stand_in` is what fills in for `aud` where a token has none; None leaves it out. A configuration changes it with
    `msgspec.structs.replace`.
    """

    name: str
    kind: Literal["access", "id"]
    algorithms: frozenset[Algorithm]
    forms: tuple[Form, ...]
    stand_in: StandIn | None = None

    @property
    def types(self) -> frozenset[str]:
        """The media types that any form has; empty where `typ` is always absent."""
        return frozenset().union(*(form.types for form in self.forms))


RFC9068 = Profile(
    name="rfc9068",
    kind="access",
    algorithms=frozenset(ALGORITHMS),
    forms=(Form(_AT_JWT, (*_ALWAYS, "aud", "sub", "client_id", "jti")),),
)
"""Access tokens of the standard's profile, told from all else by their type.

SOURCE: RFC 9068 2.1 "Header", 2.2 "Data Structure", 4 "Validating JWT Access Tokens".
"""

OIDC = Profile(
    name="oidc",
    kind="id",
    algorithms=frozenset(ALGORITHMS),
    forms=(Form(_JWT, (*_ALWAYS, "aud", "sub"), untyped=True, absent=_NO_ID_TOKEN, audience="client"),),
)
"""ID tokens, for issuers that are configured for them and nobody else. `nonce` is between the client and the issuer.

SOURCE: OpenID Connect Core 1.0, 2 "ID Token", 3.1.3.7 "ID Token Validation".
"""

KEYCLOAK = Profile(
    name="keycloak",
    kind="access",
    algorithms=frozenset(ALGORITHMS),
    forms=(Form(_JWT | _AT_JWT, (*_ALWAYS, "azp", "jti"), equal=(("typ", "Bearer"),)),),
)
"""Access tokens of a Keycloak realm. Their claim `typ` says `Bearer`; an ID token's says `ID`, a refresh token's
`Refresh`, a logout token's `Logout`. `nonce` tells nothing: older servers put it into access tokens too. The header's
`typ` is `JWT`, or `at+jwt` where a client is set so. A lightweight token may have neither `sub` nor `aud`.

SOURCE: Keycloak Server Administration Guide, "Audience support", "Using lightweight access token"; Upgrading Guide,
"Nonce claim is only added to the ID token"; keycloak/keycloak pull request 37573 (header type).
"""

ENTRA = Profile(
    name="entra",
    kind="access",
    algorithms=_RS256,
    forms=(
        Form(
            _JWT,
            (*_ALWAYS, "aud", "sub", "tid", "azp"),
            equal=(("ver", "2.0"),),
            absent=_NO_ACCESS_TOKEN,
            tenant_before="/v2.0",
        ),
        Form(
            _JWT,
            (*_ALWAYS, "aud", "sub", "tid", "appid"),
            equal=(("ver", "1.0"),),
            absent=_NO_ACCESS_TOKEN,
            tenant_before="/",
        ),
    ),
)
"""Access tokens of Microsoft Entra ID, v2.0 (issuer `https://login.microsoftonline.com/TENANT/v2.0`) and v1.0
(`https://sts.windows.net/TENANT/`), in any of its clouds. Only access tokens say which application asked: `azp` in
v2.0, `appid` in v1.0. `roles` tells nothing, ID tokens have it too. A tenant is an issuer of its own; tokens of Azure
AD B2C, which name no tenant, are refused.

SOURCE: Microsoft identity platform, "Access token claims reference", "Payload claims"; "ID token claims reference",
"Payload claims"; "Access tokens in the Microsoft identity platform", "Token formats".
"""

OKTA = Profile(
    name="okta",
    kind="access",
    algorithms=_RS256,
    forms=(
        Form(
            frozenset(),
            (*_ALWAYS, "aud", "sub", "cid", "jti"),
            untyped=True,
            equal=(("ver", 1),),
            absent=_NO_ACCESS_TOKEN,
        ),
    ),
)
"""Access tokens of an Okta custom authorization server: no `typ`, and `cid`, which an ID token has not. Those of the
org authorization server are for Okta alone; where their header says so by its `typ`, they are refused.

SOURCE: Okta, "OpenID Connect & OAuth 2.0 API", "Access token", "ID token"; "Validate Access Tokens", note on the org
authorization server.
"""

AUTH0 = Profile(
    name="auth0",
    kind="access",
    algorithms=_RS256,
    forms=(
        Form(_JWT, (*_ALWAYS, "aud", "sub", "azp"), absent=_NO_ACCESS_TOKEN),
        Form(_AT_JWT, (*_ALWAYS, "aud", "sub", "client_id", "jti")),
    ),
)
"""Access tokens of Auth0, in its own profile (`typ` is `JWT`, `azp`) or in that of RFC 9068. An ID token has the type
of the former and no `azp`. OpenID Connect would let it have one; without `nonce` and `at_hash` such an ID token could
be told from an access token by `aud` alone, the client's id, which is why `aud` is demanded.

SOURCE: Auth0, "Access Token Profiles", "Token profile differences"; "ID Token Structure", "Sample ID Token".
"""

COGNITO = Profile(
    name="cognito",
    kind="access",
    algorithms=_RS256,
    forms=(
        Form(
            frozenset(),
            (*_ALWAYS, "sub", "client_id", "jti"),
            untyped=True,
            equal=(("token_use", "access"),),
            absent=_OF_EVENTS,
        ),
    ),
    stand_in=FromClaim(("client_id",)),
)
"""Access tokens of an Amazon Cognito user pool: no `typ`, `token_use` is `access` where an ID token's is `id`. `aud` is
there only where a client asked for a resource; else `client_id` stands in for it.

SOURCE: Amazon Cognito Developer Guide, "Understanding the access token", "Verifying JSON web tokens".
"""

GOOGLE = Profile(
    name="google",
    kind="id",
    algorithms=_RS256,
    forms=(Form(_JWT, (*_ALWAYS, "aud", "sub"), absent=_NO_ID_TOKEN, audience="sole"),),
)
"""ID tokens of Google, for services and for people: its access tokens are opaque, so that none is a JWT. What tells a
token that a service account made for this service from somebody's sign-in elsewhere is `aud` alone, which must be there
and be one. `azp` may differ from it: it is the account, or another application of the same project. Tokens of the
Identity-Aware Proxy have another issuer and are not covered.

SOURCE: Google Cloud, "Token types", "Access tokens", "ID tokens"; Google Identity, "OpenID Connect", "An ID token's
payload".
"""

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {profile.name: profile for profile in (RFC9068, OIDC, KEYCLOAK, ENTRA, OKTA, AUTH0, COGNITO, GOOGLE)}
)
"""The profiles by the names that a configuration calls them."""


def conform(
    profile: Profile, header: Mapping[str, Json] | None, claims: Mapping[str, Json]
) -> Mapping[str, Json] | str:
    """The claims of a token of this profile, or why it is none: `token.type` or `token.claims`. The steps are the
    module's.

    Shapes: `header` and `claims` as their JSON held them, signature and pins checked elsewhere; `header` is None for
        claims that came without one. `claims` are not changed: with a stand-in for `aud` a copy goes out.
    """
    forms = profile.forms if header is None else tuple(form for form in profile.forms if _has_type(form, header))
    if not forms:
        return "token.type"
    if not any(_fits(form, claims) for form in forms):
        return "token.claims"
    if "aud" in claims or profile.stand_in is None:
        return claims
    audience = _standing_in(profile.stand_in, claims)
    return {**claims, "aud": audience} if _audiences(audience) else "token.claims"


def type_name(text: str) -> str:
    """A media type as `typ` and the configuration may spell it, folded: RFC 7515 4.1.9, RFC 8725 3.11."""
    return text.lower().removeprefix("application/")


def _has_type(form: Form, header: Mapping[str, Json]) -> bool:
    if "typ" not in header:
        return form.untyped
    media_type = header["typ"]
    return isinstance(media_type, str) and type_name(media_type) in form.types


def _fits(form: Form, claims: Mapping[str, Json]) -> bool:
    return (
        all(name in claims and _is_filled(name, claims[name]) for name in form.present)
        and all(_is(claims.get(name), wanted) for name, wanted in form.equal)
        and form.absent.isdisjoint(claims)
        and ("aud" not in claims or _is_meant(form, claims))
        and (form.tenant_before is None or _is_of_tenant(form.tenant_before, claims))
    )


def _is_filled(name: str, value: Json) -> bool:
    if name == "aud":
        return bool(_audiences(value))
    if name in _INSTANTS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) and value != ""


def _is(value: Json, wanted: str | int) -> bool:
    """Whether it is that value; true is not 1."""
    return value == wanted and not isinstance(value, bool)


def _is_meant(form: Form, claims: Mapping[str, Json]) -> bool:
    audiences = _audiences(claims["aud"])
    match form.audience:
        case "any":
            return bool(audiences)
        case "sole":
            return len(audiences) == 1
        case "client":
            return len(audiences) == 1 and claims.get("azp", audiences[0]) == audiences[0]
        case _:
            assert_never(form.audience)


def _is_of_tenant(suffix: str, claims: Mapping[str, Json]) -> bool:
    issuer, tenant = claims.get("iss"), claims.get("tid")
    if not isinstance(issuer, str) or not isinstance(tenant, str) or not issuer.endswith(suffix):
        return False
    return tenant != "" and issuer.removesuffix(suffix).rpartition("/")[2] == tenant


def _audiences(value: Json) -> tuple[str, ...]:
    """The audiences that `value` names; none where it is anything but a name or a list of names."""
    each = value if isinstance(value, list) else [value]
    names = tuple(name for name in each if isinstance(name, str) and name)
    return names if len(names) == len(each) else ()


def _standing_in(stand_in: StandIn, claims: Mapping[str, Json]) -> Json:
    match stand_in:
        case Fixed():
            return stand_in.audience
        case FromClaim():
            value: Json = dict(claims)
            for name in stand_in.path:
                value = value.get(name) if isinstance(value, dict) else None
            return value
        case _:
            assert_never(stand_in)
