"""Profiles: the tokens that providers document conform, their ID tokens do not, and what conforms is never widened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.jwks import ALGORITHMS, KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verified, Verifier
from pdp.identity.profiles import PROFILES, Fixed, Form, FromClaim, Profile, StandIn, conform, type_name
from policy_lang.verdict import Json
from tests.support import provider_tokens as provider
from tests.support.provider_tokens import ACCESS, API, CLIENT, IDS, ISSUERS, Sample, mint
from tests.support.tokens import NOW, key_set, signer

KEY = signer("RS256")


def answer(profile: str | Profile, sample: Sample) -> Mapping[str, Json] | str:
    """What the profile says of the token, taken from its signed text."""
    token = jwt.decode_complete(
        mint(sample, KEY),
        KEY.private.public_key(),
        algorithms=["RS256"],
        options={
            "verify_aud": False,
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "verify_sub": False,
            "verify_jti": False,
        },
    )
    of = PROFILES[profile] if isinstance(profile, str) else profile
    return conform(of, token["header"], token["payload"])


def standing_in(profile: str, stand_in: StandIn | None) -> Profile:
    return msgspec.structs.replace(PROFILES[profile], stand_in=stand_in)


@pytest.mark.parametrize(("profile", "sample"), ACCESS.values(), ids=ACCESS)
def test_what_a_provider_issues_for_an_api_conforms(profile: str, sample: Sample) -> None:
    claims = answer(profile, sample)
    assert not isinstance(claims, str), claims
    assert {**claims, "aud": None} == {**sample.payload(), "aud": None}


@pytest.mark.parametrize(("profile", "sample"), ACCESS.values(), ids=ACCESS)
def test_what_a_provider_issues_for_an_api_is_no_id_token(profile: str, sample: Sample) -> None:
    assert isinstance(answer("oidc", sample), str)


@pytest.mark.parametrize(("profile", "sample"), IDS.values(), ids=IDS)
def test_an_id_token_is_no_access_token(profile: str, sample: Sample) -> None:
    assert answer(profile, sample) == "token.claims"


@pytest.mark.parametrize(("profile", "sample"), IDS.values(), ids=IDS)
def test_an_id_token_without_its_optional_claims_is_no_access_token(profile: str, sample: Sample) -> None:
    assert answer(profile, sample.but(nonce=..., at_hash=..., amr=..., idp=..., sid=...)) == "token.claims"


@pytest.mark.parametrize(("profile", "sample"), IDS.values(), ids=IDS)
def test_an_id_token_that_names_our_service_is_no_access_token(profile: str, sample: Sample) -> None:
    assert answer(profile, sample.but(aud=API)) == "token.claims"


@pytest.mark.parametrize(("profile", "sample"), IDS.values(), ids=IDS)
def test_an_id_token_is_taken_where_the_issuer_is_configured_for_them(profile: str, sample: Sample) -> None:
    assert answer("oidc", sample) == sample.payload()


@pytest.mark.parametrize("stand_in", [FromClaim(("azp",)), FromClaim(("client_id",)), Fixed(API)], ids=repr)
@pytest.mark.parametrize(("profile", "sample"), IDS.values(), ids=IDS)
def test_a_stand_in_opens_nothing_to_an_id_token(profile: str, sample: Sample, stand_in: StandIn) -> None:
    assert answer(standing_in(profile, stand_in), sample) == "token.claims"
    assert answer(standing_in(profile, stand_in), sample.but(aud=...)) == "token.claims"


@pytest.mark.parametrize(
    "sample", [provider.GOOGLE, provider.GOOGLE.but(azp=...), provider.GOOGLE_ID], ids=["account", "no azp", "sign-in"]
)
def test_id_tokens_of_google_conform(sample: Sample) -> None:
    assert answer("google", sample) == sample.payload()


REFUSED: dict[str, tuple[str, Sample, str]] = {
    # RFC 9068
    "rfc9068: typ JWT": ("rfc9068", provider.RFC9068.typed("JWT"), "token.type"),
    "rfc9068: typ of an ID token": ("rfc9068", provider.RFC9068.typed("id-token+jwt"), "token.type"),
    "rfc9068: typ dpop+jwt": ("rfc9068", provider.RFC9068.typed("dpop+jwt"), "token.type"),
    "rfc9068: typ secevent+jwt": ("rfc9068", provider.RFC9068.typed("secevent+jwt"), "token.type"),
    "rfc9068: typ application twice": (
        "rfc9068",
        provider.RFC9068.typed("application/application/at+jwt"),
        "token.type",
    ),
    "rfc9068: typ missing": ("rfc9068", provider.RFC9068.typed(None), "token.type"),
    "rfc9068: typ empty": ("rfc9068", provider.RFC9068.typed(""), "token.type"),
    **{
        f"rfc9068: {name} missing": ("rfc9068", provider.RFC9068.but(**{name: ...}), "token.claims")
        for name in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
    },
    **{
        f"rfc9068: {name} null": ("rfc9068", provider.RFC9068.but(**{name: None}), "token.claims")
        for name in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
    },
    **{
        f"rfc9068: {name} empty": ("rfc9068", provider.RFC9068.but(**{name: ""}), "token.claims")
        for name in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
    },
    "rfc9068: iat true": ("rfc9068", provider.RFC9068.but(iat=True), "token.claims"),
    "rfc9068: exp text": ("rfc9068", provider.RFC9068.but(exp=str(NOW)), "token.claims"),
    "rfc9068: jti a number": ("rfc9068", provider.RFC9068.but(jti=7), "token.claims"),
    "rfc9068: aud an empty list": ("rfc9068", provider.RFC9068.but(aud=[]), "token.claims"),
    "rfc9068: aud with an empty name": ("rfc9068", provider.RFC9068.but(aud=[API, ""]), "token.claims"),
    "rfc9068: aud with a number": ("rfc9068", provider.RFC9068.but(aud=[API, 7]), "token.claims"),
    "rfc9068: aud an object": ("rfc9068", provider.RFC9068.but(aud={API: 1}), "token.claims"),
    # OpenID Connect
    "oidc: typ at+jwt": ("oidc", provider.AUTH0_ID.typed("at+jwt"), "token.type"),
    "oidc: typ logout+jwt": ("oidc", provider.AUTH0_ID.typed("logout+jwt"), "token.type"),
    "oidc: aud missing": ("oidc", provider.AUTH0_ID.but(aud=...), "token.claims"),
    "oidc: aud empty": ("oidc", provider.AUTH0_ID.but(aud=[]), "token.claims"),
    "oidc: two audiences": ("oidc", provider.AUTH0_ID.but(aud=[CLIENT, API]), "token.claims"),
    "oidc: two audiences, azp one of them": ("oidc", provider.AUTH0_ID.but(aud=[CLIENT, API], azp=API), "token.claims"),
    "oidc: azp another client": ("oidc", provider.AUTH0_ID.but(aud=CLIENT, azp="other"), "token.claims"),
    "oidc: azp in another case": ("oidc", provider.AUTH0_ID.but(aud=CLIENT, azp=CLIENT.upper()), "token.claims"),
    "oidc: azp null": ("oidc", provider.AUTH0_ID.but(aud=CLIENT, azp=None), "token.claims"),
    "oidc: azp a list": ("oidc", provider.AUTH0_ID.but(aud=CLIENT, azp=[CLIENT]), "token.claims"),
    "oidc: sub missing": ("oidc", provider.AUTH0_ID.but(sub=...), "token.claims"),
    "oidc: a logout token": ("oidc", provider.AUTH0_ID.but(nonce=..., events={"logout": {}}), "token.claims"),
    "oidc: a scope": ("oidc", provider.AUTH0_ID.but(scope="openid"), "token.claims"),
    # Keycloak
    "keycloak: typ missing": ("keycloak", provider.KEYCLOAK.typed(None), "token.type"),
    "keycloak: a refresh token": ("keycloak", provider.KEYCLOAK.but(typ="Refresh"), "token.claims"),
    "keycloak: an offline token": ("keycloak", provider.KEYCLOAK.but(typ="Offline"), "token.claims"),
    "keycloak: a logout token": ("keycloak", provider.KEYCLOAK.but(typ="Logout", events={}), "token.claims"),
    "keycloak: bound by DPoP": ("keycloak", provider.KEYCLOAK.but(typ="DPoP"), "token.claims"),
    "keycloak: claim typ missing": ("keycloak", provider.KEYCLOAK.but(typ=...), "token.claims"),
    "keycloak: claim typ in another case": ("keycloak", provider.KEYCLOAK.but(typ="bearer"), "token.claims"),
    "keycloak: claim typ a list": ("keycloak", provider.KEYCLOAK.but(typ=["Bearer"]), "token.claims"),
    "keycloak: azp missing": ("keycloak", provider.KEYCLOAK.but(azp=...), "token.claims"),
    "keycloak: aud null": ("keycloak", provider.KEYCLOAK.but(aud=None), "token.claims"),
    "keycloak: aud an empty list": ("keycloak", provider.KEYCLOAK.but(aud=[]), "token.claims"),
    # Entra
    "entra: typ missing": ("entra", provider.ENTRA_V2.typed(None), "token.type"),
    "entra: typ at+jwt": ("entra", provider.ENTRA_V2.typed("at+jwt"), "token.type"),
    "entra: ver missing": ("entra", provider.ENTRA_V2.but(ver=...), "token.claims"),
    "entra: ver a number": ("entra", provider.ENTRA_V2.but(ver=2.0), "token.claims"),
    "entra: ver of the other form": ("entra", provider.ENTRA_V2.but(ver="1.0"), "token.claims"),
    "entra: ver 3.0": ("entra", provider.ENTRA_V2.but(ver="3.0"), "token.claims"),
    "entra: v2.0 with v1.0's appid": ("entra", provider.ENTRA_V2.but(azp=..., appid="x"), "token.claims"),
    "entra: v1.0 with v2.0's azp": ("entra", provider.ENTRA_V1.but(appid=..., azp="x"), "token.claims"),
    "entra: v1.0's claims, v2.0's issuer": (
        "entra",
        provider.ENTRA_V1.but(iss=ISSUERS["entra v2.0"]),
        "token.claims",
    ),
    "entra: v2.0's claims, v1.0's issuer": (
        "entra",
        provider.ENTRA_V2.but(iss=ISSUERS["entra v1.0"]),
        "token.claims",
    ),
    "entra: v1.0 with v2.0's ver": ("entra", provider.ENTRA_V1.but(ver="2.0"), "token.claims"),
    "entra: tid missing": ("entra", provider.ENTRA_V2.but(tid=...), "token.claims"),
    "entra: tid empty": ("entra", provider.ENTRA_V2.but(tid=""), "token.claims"),
    "entra: another tenant": ("entra", provider.ENTRA_V2.but(tid=provider.ENTRA_API), "token.claims"),
    "entra: tid the end of the tenant": ("entra", provider.ENTRA_V2.but(tid=provider.TENANT[-4:]), "token.claims"),
    "entra: tid more than the tenant": (
        "entra",
        provider.ENTRA_V2.but(tid=f"login.microsoftonline.com/{provider.TENANT}"),
        "token.claims",
    ),
    "entra: v1.0 of another tenant": ("entra", provider.ENTRA_V1.but(tid=provider.ENTRA_API), "token.claims"),
    "entra: v1.0 issuer without its slash": (
        "entra",
        provider.ENTRA_V1.but(iss=ISSUERS["entra v1.0"][:-1]),
        "token.claims",
    ),
    "entra: aud missing": ("entra", provider.ENTRA_V2.but(aud=...), "token.claims"),
    "entra: a nonce": ("entra", provider.ENTRA_V2.but(nonce="n"), "token.claims"),
    # Okta
    "okta: org authorization server": ("okta", provider.OKTA.typed("application/okta-internal-at+jwt"), "token.type"),
    "okta: typ JWT": ("okta", provider.OKTA.typed("JWT"), "token.type"),
    "okta: cid missing": ("okta", provider.OKTA.but(cid=...), "token.claims"),
    "okta: ver 2": ("okta", provider.OKTA.but(ver=2), "token.claims"),
    "okta: ver true": ("okta", provider.OKTA.but(ver=True), "token.claims"),
    "okta: ver text": ("okta", provider.OKTA.but(ver="1"), "token.claims"),
    "okta: aud missing": ("okta", provider.OKTA.but(aud=...), "token.claims"),
    "okta: at_hash": ("okta", provider.OKTA.but(at_hash="x"), "token.claims"),
    # Auth0
    "auth0: typ missing": ("auth0", provider.AUTH0.typed(None), "token.type"),
    "auth0: azp missing": ("auth0", provider.AUTH0.but(azp=...), "token.claims"),
    "auth0: typ at+jwt without client_id": ("auth0", provider.AUTH0.typed("at+jwt"), "token.claims"),
    "auth0: typ JWT with client_id in place of azp": ("auth0", provider.AUTH0_RFC9068.typed("JWT"), "token.claims"),
    "auth0: aud missing": ("auth0", provider.AUTH0.but(aud=...), "token.claims"),
    "auth0: an ID token with azp": ("auth0", provider.AUTH0_ID.but(azp=CLIENT), "token.claims"),
    # Cognito
    "cognito: typ JWT": ("cognito", provider.COGNITO.typed("JWT"), "token.type"),
    "cognito: token_use missing": ("cognito", provider.COGNITO.but(token_use=...), "token.claims"),
    "cognito: token_use in another case": (
        "cognito",
        provider.COGNITO.but(token_use="ACCESS".capitalize()),
        "token.claims",
    ),
    "cognito: token_use a list": ("cognito", provider.COGNITO.but(token_use=["access"]), "token.claims"),
    "cognito: client_id missing": ("cognito", provider.COGNITO.but(client_id=...), "token.claims"),
    "cognito: client_id empty": ("cognito", provider.COGNITO.but(client_id=""), "token.claims"),
    "cognito: aud null": ("cognito", provider.COGNITO.but(aud=None), "token.claims"),
    # Google
    "google: typ missing": ("google", provider.GOOGLE.typed(None), "token.type"),
    "google: aud missing": ("google", provider.GOOGLE.but(aud=...), "token.claims"),
    "google: two audiences": ("google", provider.GOOGLE.but(aud=[API, CLIENT]), "token.claims"),
    "google: a scope": ("google", provider.GOOGLE.but(scope="openid"), "token.claims"),
}


@pytest.mark.parametrize(("profile", "sample", "wanted"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_of_the_profile_is_refused_for_its_reason(profile: str, sample: Sample, wanted: str) -> None:
    assert answer(profile, sample) == wanted


@pytest.mark.parametrize("typ", [None, 7, True, ["JWT"], {"typ": "JWT"}, ["at+jwt"]], ids=repr)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_typ_that_is_no_text_is_refused_where_typ_may_be_absent_too(profile: Profile, typ: Json) -> None:
    assert conform(profile, {"alg": "RS256", "typ": typ}, provider.COGNITO.payload()) == "token.type"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_typ_is_read_as_a_media_type(typ: str) -> None:
    assert answer("rfc9068", provider.RFC9068.typed(typ)) == provider.RFC9068.payload()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_empty_claims_are_refused(profile: Profile) -> None:
    assert conform(profile, None, {}) == "token.claims"
    assert isinstance(conform(profile, {}, {}), str)


def test_nested_claims_reach_the_policy_as_they_are() -> None:
    claims = answer("keycloak", provider.KEYCLOAK)
    assert not isinstance(claims, str)
    assert claims["realm_access"] == {"roles": ["clerk", "offline_access"]}
    assert claims["resource_access"] == {"orders": {"roles": ["refund"]}, "account": {"roles": ["view-profile"]}}


FILLED: dict[str, tuple[Profile, Sample, Any]] = {
    "cognito fills in the client": (PROFILES["cognito"], provider.COGNITO, "1shop2client3shop4client5"),
    "cognito leaves an aud that is there": (PROFILES["cognito"], provider.COGNITO.but(aud=API), API),
    "azp where the configuration says so": (
        standing_in("keycloak", FromClaim(("azp",))),
        provider.KEYCLOAK.but(aud=...),
        CLIENT,
    ),
    "client_id where the configuration says so": (
        standing_in("keycloak", FromClaim(("client_id",))),
        provider.KEYCLOAK.but(aud=..., client_id="robot"),
        "robot",
    ),
    "a nested claim": (
        standing_in("keycloak", FromClaim(("shop", "services"))),
        provider.KEYCLOAK.but(aud=..., shop={"services": ["orders", "stock"]}),
        ["orders", "stock"],
    ),
    "a name with a dot is one name": (
        standing_in("keycloak", FromClaim(("shop.service",))),
        provider.KEYCLOAK.but(aud=..., **{"shop.service": "orders"}),
        "orders",
    ),
    "a fixed audience": (standing_in("keycloak", Fixed(API)), provider.KEYCLOAK.but(aud=...), API),
    "an aud that is there stays, beside azp": (
        standing_in("keycloak", FromClaim(("azp",))),
        provider.KEYCLOAK,
        [API, "account"],
    ),
    "an aud that is there stays, beside a fixed one": (
        standing_in("keycloak", Fixed("orders")),
        provider.KEYCLOAK.but(aud="account"),
        "account",
    ),
}


@pytest.mark.parametrize(("profile", "sample", "wanted"), FILLED.values(), ids=FILLED)
def test_aud_is_filled_in_where_it_is_missing(profile: Profile, sample: Sample, wanted: Any) -> None:
    assert answer(profile, sample) == {**sample.payload(), "aud": wanted}


UNFILLED: dict[str, tuple[StandIn, dict[str, Any]]] = {
    "the stand-in is missing": (FromClaim(("service",)), {}),
    "the stand-in is null": (FromClaim(("service",)), {"service": None}),
    "the stand-in is empty": (FromClaim(("service",)), {"service": ""}),
    "the stand-in is an empty list": (FromClaim(("service",)), {"service": []}),
    "the stand-in is a number": (FromClaim(("service",)), {"service": 7}),
    "the stand-in is true": (FromClaim(("service",)), {"service": True}),
    "the stand-in is an object": (FromClaim(("service",)), {"service": {"orders": 1}}),
    "the stand-in lists an object": (FromClaim(("service",)), {"service": ["orders", {}]}),
    "the path ends in text": (FromClaim(("azp", "0")), {}),
    "the path ends in a list": (FromClaim(("service", "0")), {"service": ["orders"]}),
    "the path is not split at dots": (FromClaim(("shop.service",)), {"shop": {"service": "orders"}}),
    "aud is null, so it is not missing": (Fixed(API), {"aud": None}),
    "aud is an empty list, so it is not missing": (Fixed(API), {"aud": []}),
    "aud is empty, so it is not missing": (Fixed(API), {"aud": ""}),
}


@pytest.mark.parametrize(("stand_in", "claims"), UNFILLED.values(), ids=UNFILLED)
def test_nothing_is_filled_in_for_want_of_an_audience(stand_in: StandIn, claims: dict[str, Any]) -> None:
    sample = provider.KEYCLOAK.but(**{"aud": ..., **claims})
    assert answer(standing_in("keycloak", stand_in), sample) == "token.claims"


@pytest.mark.parametrize("profile", ["rfc9068", "oidc", "entra", "okta", "auth0", "google"])
def test_no_stand_in_replaces_an_aud_that_the_profile_demands(profile: str) -> None:
    samples = dict(ACCESS.values()) | {
        "oidc": provider.AUTH0_ID,
        "google": provider.GOOGLE,
    }
    assert not isinstance(answer(standing_in(profile, Fixed(API)), samples[profile]), str)
    assert answer(standing_in(profile, Fixed(API)), samples[profile].but(aud=...)) == "token.claims"


def test_without_a_stand_in_a_missing_aud_stays_missing() -> None:
    claims = answer("keycloak", provider.KEYCLOAK.but(aud=...))
    assert "aud" not in claims
    assert answer(standing_in("cognito", None), provider.COGNITO) == provider.COGNITO.payload()


def test_the_claims_that_came_are_not_changed() -> None:
    given_claims = provider.COGNITO.payload()
    assert conform(PROFILES["cognito"], {}, given_claims) != given_claims
    assert given_claims == provider.COGNITO.payload()


@pytest.mark.parametrize(("profile", "sample"), ACCESS.values(), ids=ACCESS)
def test_claims_without_a_header_are_asked_for_their_form(profile: str, sample: Sample) -> None:
    assert not isinstance(conform(PROFILES[profile], None, sample.payload()), str)


@pytest.mark.parametrize(("profile", "sample"), IDS.values(), ids=IDS)
def test_claims_of_an_id_token_without_a_header_are_refused(profile: str, sample: Sample) -> None:
    assert conform(PROFILES[profile], None, sample.payload()) == "token.claims"


def test_numbers_that_came_as_doubles_are_the_same_numbers() -> None:
    assert not isinstance(conform(PROFILES["okta"], None, provider.OKTA.but(ver=1.0).payload()), str)


@pytest.mark.parametrize("claims", [{"tid": ""}, {"tid": None}, {}, {"tid": 7}], ids=repr)
def test_an_issuer_without_a_tenant_is_of_no_tenant(claims: dict[str, Json]) -> None:
    form = Form(frozenset({"jwt"}), (), tenant_before="/v2.0")
    profile = Profile("tenant", "access", frozenset({"RS256"}), (form,))
    assert conform(profile, None, {"iss": "https://id.example//v2.0", **claims}) == "token.claims"
    assert conform(profile, None, {**claims}) == "token.claims"


@pytest.mark.parametrize("path", [(), ("",), ("a", "")], ids=repr)
def test_a_path_of_no_names_is_a_mistake(path: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="a claim has a name"):
        FromClaim(path)


def test_an_empty_fixed_audience_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="an audience has a name"):
        Fixed("")


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_pins_algorithms_and_types_of_ours(name: str) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert profile.algorithms
    assert profile.algorithms <= set(ALGORITHMS)
    assert all(kind == type_name(kind) for kind in profile.types)
    assert profile.types or all(form.untyped for form in profile.forms)


@pytest.mark.parametrize(
    ("profile", "sample"), [each for each in ACCESS.values() if each[1].typ], ids=lambda each: str(each)[:20]
)
def test_the_pins_of_an_issuer_hold_beside_its_profile(profile: str, sample: Sample) -> None:
    """A token that verifies under the pins a profile names conforms to that profile, with the verified claims."""
    keys = read_key_set(key_set(KEY.jwk()))
    assert isinstance(keys, KeySet)
    issuer = Issuer(ISSUERS[sample.issuer], keys, frozenset({"RS256"}), PROFILES[profile].types)
    verified = Verifier([issuer]).verify(mint(sample, KEY), NOW)
    assert isinstance(verified, Verified), verified
    assert not isinstance(conform(PROFILES[profile], sample.header(KEY), verified.claims), str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["iss", "exp", "iat", "aud", "sub", "azp", "tid", "ver", "cid", "jti", "appid", "nonce", "events", "client_id"]
)
STAND_INS = st.sampled_from([None, FromClaim(("azp",)), FromClaim(("a", "b")), Fixed(API)])


@given(
    st.sampled_from(list(ACCESS.values())),
    st.sampled_from(sorted(PROFILES)),
    st.dictionaries(NAMES, JSON | st.just(...), max_size=3),
    STAND_INS,
)
def test_what_comes_out_is_what_came_in_but_for_a_missing_aud(
    of: tuple[str, Sample], other: str, changes: dict[str, Any], stand_in: StandIn | None
) -> None:
    """conform(p, h, c) is a reason, or c with nothing changed that was there, and nothing added but `aud`."""
    sample = of[1].but(**changes)
    claims = sample.payload()
    for name in (of[0], other):
        made = conform(standing_in(name, stand_in), sample.header(KEY), claims)
        if isinstance(made, str):
            assert made in {"token.type", "token.claims"}
        else:
            assert {k: v for k, v in made.items() if k in claims} == claims
            assert made.keys() - claims.keys() <= {"aud"}


@given(
    st.sampled_from(sorted(PROFILES)), st.dictionaries(NAMES, JSON), st.dictionaries(st.just("typ"), JSON), STAND_INS
)
def test_no_claims_raise(name: str, claims: dict[str, Any], header: dict[str, Any], stand_in: StandIn | None) -> None:
    made = conform(standing_in(name, stand_in), header, claims)
    assert isinstance(made, str | Mapping)
