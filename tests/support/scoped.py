"""A policy whose rules ask for tokens of ours, and what a service makes of one: as it would with any issuer's."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from tests.support.issuing import ISSUER

PDP = "https://pdp.example"
MINTING = f'[minting]\nurl = "{PDP}"\nclient_id = "edge"\n'
HOSTS = {"orders": "orders.example", "stock": "stock.example"}
POLICY = f"""language 1
module scoped

token user {{
  issuer "{ISSUER}"
  claim sub: string
  claim sid: string optional
  claim email: string optional private
}}

service orders {{
  audience "orders", "orders-v2"
  host "orders.example"
  endpoint read    GET /orders/{{id}}   scope "orders:read"
  endpoint change  PUT /orders/{{id}}   scope "orders:write"
  endpoint own     GET /own
  endpoint public  GET /public
}}

service stock {{
  audience "stock"
  host "stock.example"
  endpoint count  GET /count/{{id}}   scope "stock:read"
}}

allow users
  for any user
  on orders, stock
  because "Users use what they have a scope for"

allow passers_by
  for anyone
  on orders.public
  because "Anybody may look"

require service_tokens
  for any user
  on orders.read, orders.change, stock
  must issue token
  because "A service gets a token that opens it alone"

require bare_tokens
  for any user
  on orders.own
  when token.sub == "bare"
  must issue token with scope "orders:read"
  because "One scope and no more"
"""


def write_policy(folder: Path) -> Path:
    """The policy as a folder."""
    folder.mkdir(parents=True)
    (folder / "scoped.pol").write_text(POLICY)
    return folder


def claims_of(authorization: str, key_set: Mapping[str, Any], audience: str, *, leeway_s: int = 0) -> dict[str, Any]:
    """The claims of a `Bearer` token, as the service `audience` verifies it by a published key set (PyJWT)."""
    token = authorization.removeprefix("Bearer ")
    keys = {each["kid"]: jwt.PyJWK(each) for each in key_set["keys"]}
    header = jwt.get_unverified_header(token)
    claims: dict[str, Any] = jwt.decode(
        token,
        keys[header["kid"]].key,
        algorithms=["ES256", "EdDSA"],
        audience=audience,
        issuer=PDP,
        leeway=leeway_s,
        options={"require": ["iss", "sub", "aud", "client_id", "exp", "iat", "jti"]},
    )
    return claims


def published(port: int) -> dict[str, Any]:
    """The key set that a service at this port publishes."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/jwks.json", timeout=5) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found
