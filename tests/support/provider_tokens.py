"""Tokens as the providers of the presets document them: what they issue for an API, and what they issue to a client.

A `Sample` is a header and claims; `mint` signs it with an RS256 key. Nothing in it is a real account's.
SOURCE: the documents that `pdp/identity/profiles.py` names beside each preset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tests.support.tokens import NOW, Signer, compact, signer

CLIENT = "web-shop"
API = "https://orders.example"
TENANT = "5c9f1a3e-6d2b-4c57-9a61-0d2f7e8b4c10"
ENTRA_CLIENT = "0f2d6f7a-93b1-4c0e-8a55-7b1c9d3e2f46"
ENTRA_API = "7d41c0e9-2b8a-4f6d-b3c7-51e09a2d8f34"
GOOGLE_CLIENT = "100200300400-shop.apps.googleusercontent.com"
GOOGLE_ACCOUNT = "100000000000000000042"
ISSUERS: Mapping[str, str] = {
    "keycloak": "https://login.example/realms/shop",
    "entra v2.0": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "entra v1.0": f"https://sts.windows.net/{TENANT}/",
    "okta": "https://shop.okta.example/oauth2/default",
    "auth0": "https://shop.auth0.example/",
    "cognito": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3",
    "google": "https://accounts.google.com",
    "rfc9068": "https://id.example",
}

_TIMES = {"iat": NOW - 60, "exp": NOW + 600}


class Sample(Struct, frozen=True):
    """A token before it is signed; `issuer` is a key of `ISSUERS`, `typ` None where the header has none."""

    issuer: str
    typ: str | None
    claims: Mapping[str, Any]

    def header(self, by: Signer) -> dict[str, Any]:
        typed = {} if self.typ is None else {"typ": self.typ}
        return {"alg": by.algorithm, "kid": by.kid, **typed}

    def payload(self) -> dict[str, Any]:
        """The claims; one that is `...` is left out."""
        whole = {"iss": ISSUERS[self.issuer], **_TIMES, **self.claims}
        return {name: value for name, value in whole.items() if value is not ...}

    def but(self, **claims: Any) -> Sample:
        """The same with other claims; `...` takes one away."""
        return Sample(self.issuer, self.typ, {**self.claims, **claims})

    def typed(self, typ: str | None) -> Sample:
        return Sample(self.issuer, typ, self.claims)


def mint(sample: Sample, by: Signer | None = None) -> str:
    """The token, signed with RS256."""
    key = by or signer("RS256")
    return compact(key, json.dumps(sample.header(key)), json.dumps(sample.payload()))


KEYCLOAK = Sample(
    "keycloak",
    "JWT",
    {
        "auth_time": NOW - 300,
        "jti": "onrtac:3f0c7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "aud": [API, "account"],
        "sub": "9d1f1d5e-9c4e-4a4d-8f6f-7a9f2f9a5a3b",
        "typ": "Bearer",
        "azp": CLIENT,
        "sid": "b0a6c1de-9d7b-4d2e-8b57-5f3a1c2d4e6f",
        "acr": "1",
        "allowed-origins": ["https://shop.example"],
        "realm_access": {"roles": ["clerk", "offline_access"]},
        "resource_access": {"orders": {"roles": ["refund"]}, "account": {"roles": ["view-profile"]}},
        "scope": "openid email orders.read",
        "email_verified": True,
        "preferred_username": "ann",
    },
)
KEYCLOAK_ID = Sample(
    "keycloak",
    "JWT",
    {
        "auth_time": NOW - 300,
        "jti": "1a0f7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "aud": CLIENT,
        "sub": "9d1f1d5e-9c4e-4a4d-8f6f-7a9f2f9a5a3b",
        "typ": "ID",
        "azp": CLIENT,
        "nonce": "nonce-1",
        "sid": "b0a6c1de-9d7b-4d2e-8b57-5f3a1c2d4e6f",
        "at_hash": "AAECAwQFBgcICQoLDA0ODw",
        "acr": "1",
        "preferred_username": "ann",
    },
)
ENTRA_V2 = Sample(
    "entra v2.0",
    "JWT",
    {
        "aud": ENTRA_API,
        "nbf": NOW - 60,
        "aio": "opaque",
        "azp": ENTRA_CLIENT,
        "azpacr": "0",
        "name": "Ann",
        "oid": "2b1c9d3e-7b1c-4e0a-9c55-0f2d6f7a93b1",
        "preferred_username": "ann@shop.example",
        "rh": "opaque",
        "scp": "orders.read orders.write",
        "roles": ["Clerk"],
        "sub": "subject-of-ann-at-orders",
        "tid": TENANT,
        "uti": "use-1",
        "ver": "2.0",
    },
)
ENTRA_V2_ID = Sample(
    "entra v2.0",
    "JWT",
    {
        "aud": ENTRA_CLIENT,
        "nbf": NOW - 60,
        "name": "Ann",
        "nonce": "nonce-1",
        "oid": "2b1c9d3e-7b1c-4e0a-9c55-0f2d6f7a93b1",
        "preferred_username": "ann@shop.example",
        "roles": ["Clerk"],
        "sub": "subject-of-ann-at-web-shop",
        "tid": TENANT,
        "uti": "use-1",
        "ver": "2.0",
    },
)
ENTRA_V1 = Sample(
    "entra v1.0",
    "JWT",
    {
        "aud": f"api://{ENTRA_API}",
        "nbf": NOW - 60,
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "appid": ENTRA_CLIENT,
        "appidacr": "0",
        "oid": "2b1c9d3e-7b1c-4e0a-9c55-0f2d6f7a93b1",
        "scp": "orders.read",
        "sub": "subject-of-ann-at-orders",
        "tid": TENANT,
        "unique_name": "ann@shop.example",
        "ver": "1.0",
    },
)
ENTRA_V1_ID = Sample(
    "entra v1.0",
    "JWT",
    {
        "aud": ENTRA_CLIENT,
        "nbf": NOW - 60,
        "amr": ["pwd"],
        "nonce": "nonce-1",
        "oid": "2b1c9d3e-7b1c-4e0a-9c55-0f2d6f7a93b1",
        "sub": "subject-of-ann-at-web-shop",
        "tid": TENANT,
        "unique_name": "ann@shop.example",
        "ver": "1.0",
    },
)
OKTA = Sample(
    "okta",
    None,
    {
        "ver": 1,
        "jti": "AT.token-1",
        "aud": API,
        "cid": "0oa1shopclient2x4y6z",
        "uid": "00u1ann2x4y6z8a0b2c4",
        "scp": ["openid", "orders.read"],
        "auth_time": NOW - 300,
        "sub": "ann@shop.example",
    },
)
OKTA_ID = Sample(
    "okta",
    None,
    {
        "ver": 1,
        "jti": "ID.token-2",
        "aud": "0oa1shopclient2x4y6z",
        "amr": ["pwd", "mfa"],
        "idp": "00o1shop2x4y6z8a0b2c",
        "nonce": "nonce-1",
        "auth_time": NOW - 300,
        "at_hash": "AAECAwQFBgcICQoLDA0ODw",
        "sub": "00u1ann2x4y6z8a0b2c4",
    },
)
AUTH0 = Sample(
    "auth0",
    "JWT",
    {
        "sub": "auth0|ann",
        "aud": [API, "https://shop.auth0.example/userinfo"],
        "azp": "ShopClientShopClientShopClient01",
        "scope": "openid orders.read",
        "permissions": ["orders:read"],
    },
)
AUTH0_RFC9068 = Sample(
    "auth0",
    "at+jwt",
    {
        "sub": "auth0|ann",
        "aud": API,
        "client_id": "ShopClientShopClientShopClient01",
        "jti": "token-1",
        "scope": "orders.read",
    },
)
AUTH0_ID = Sample(
    "auth0",
    "JWT",
    {
        "sub": "auth0|ann",
        "aud": "ShopClientShopClientShopClient01",
        "nonce": "nonce-1",
        "sid": "session-1",
        "name": "Ann",
        "email": "ann@shop.example",
    },
)
COGNITO = Sample(
    "cognito",
    None,
    {
        "sub": "9d1f1d5e-9c4e-4a4d-8f6f-7a9f2f9a5a3b",
        "cognito:groups": ["clerks"],
        "client_id": "1shop2client3shop4client5",
        "origin_jti": "3f0c7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "event_id": "6c0c7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "token_use": "access",
        "scope": "openid orders/read",
        "auth_time": NOW - 60,
        "jti": "4a0c7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "username": "ann",
        "version": 2,
    },
)
COGNITO_ID = Sample(
    "cognito",
    None,
    {
        "sub": "9d1f1d5e-9c4e-4a4d-8f6f-7a9f2f9a5a3b",
        "cognito:groups": ["clerks"],
        "cognito:username": "ann",
        "aud": "1shop2client3shop4client5",
        "origin_jti": "3f0c7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "token_use": "id",
        "auth_time": NOW - 60,
        "jti": "5b0c7f42-58d2-4f8e-b6d3-2f1f0a9be0c1",
        "at_hash": "AAECAwQFBgcICQoLDA0ODw",
        "email": "ann@shop.example",
    },
)
GOOGLE = Sample(
    "google",
    "JWT",
    {
        "aud": API,
        "azp": GOOGLE_ACCOUNT,
        "sub": GOOGLE_ACCOUNT,
        "email": "caller@shop.iam.gserviceaccount.com",
        "email_verified": True,
    },
)
GOOGLE_ID = Sample(
    "google",
    "JWT",
    {
        "aud": GOOGLE_CLIENT,
        "azp": GOOGLE_CLIENT,
        "sub": "100000000000000000007",
        "at_hash": "AAECAwQFBgcICQoLDA0ODw",
        "hd": "shop.example",
        "nonce": "nonce-1",
        "email": "ann@shop.example",
        "email_verified": True,
    },
)
RFC9068 = Sample(
    "rfc9068",
    "at+jwt",
    {
        "sub": "ann",
        "aud": API,
        "client_id": CLIENT,
        "jti": "token-1",
        "scope": "orders.read",
    },
)

ACCESS: Mapping[str, tuple[str, Sample]] = {
    "Keycloak, somebody signed in": ("keycloak", KEYCLOAK),
    "Keycloak, an older server that puts the nonce in": ("keycloak", KEYCLOAK.but(nonce="nonce-1")),
    "Keycloak, a client set to at+jwt": ("keycloak", KEYCLOAK.typed("at+jwt")),
    "Keycloak, a service account": ("keycloak", KEYCLOAK.but(sid=..., auth_time=..., client_id=CLIENT)),
    "Keycloak, no audience mapped": ("keycloak", KEYCLOAK.but(aud=...)),
    "Keycloak, lightweight": ("keycloak", KEYCLOAK.but(aud=..., sub=..., realm_access=..., resource_access=...)),
    "Entra v2.0, somebody signed in": ("entra", ENTRA_V2),
    "Entra v2.0, an application": ("entra", ENTRA_V2.but(scp=..., preferred_username=..., azpacr="1")),
    "Entra v1.0, somebody signed in": ("entra", ENTRA_V1),
    "Entra v1.0, an application": ("entra", ENTRA_V1.but(scp=..., amr=..., unique_name=..., appidacr="1")),
    "Okta, somebody signed in": ("okta", OKTA),
    "Okta, a service": ("okta", OKTA.but(uid=..., auth_time=..., sub="0oa1shopclient2x4y6z")),
    "Auth0, its own profile": ("auth0", AUTH0),
    "Auth0, a machine": (
        "auth0",
        AUTH0.but(aud=API, sub="ShopClientShopClientShopClient01@clients", gty="client-credentials", scope=...),
    ),
    "Auth0, the profile of RFC 9068": ("auth0", AUTH0_RFC9068),
    "Cognito, somebody signed in": ("cognito", COGNITO),
    "Cognito, a machine": ("cognito", COGNITO.but(username=..., origin_jti=..., sub="1shop2client3shop4client5")),
    "Cognito, bound to a resource": ("cognito", COGNITO.but(aud=API)),
    "RFC 9068": ("rfc9068", RFC9068),
}
"""What is issued for an API: by its name, the profile it conforms to, and the token."""

IDS: Mapping[str, tuple[str, Sample]] = {
    "Keycloak": ("keycloak", KEYCLOAK_ID),
    "Entra v2.0": ("entra", ENTRA_V2_ID),
    "Entra v1.0": ("entra", ENTRA_V1_ID),
    "Okta": ("okta", OKTA_ID),
    "Auth0": ("auth0", AUTH0_ID),
    "Cognito": ("cognito", COGNITO_ID),
}
"""ID tokens of somebody who signed in to a client: the preset that must refuse them, and the token."""
