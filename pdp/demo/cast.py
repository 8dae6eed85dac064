"""Who appears in the demo: the tokens that are minted, as claims, and the configuration that believes their issuers.

In: the instant. Out: values alone; `prepare` writes them. The names of the tokens are the names of their files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pdp.demo.files import Stage
from pdp.demo.issuer import ALGORITHM, CUSTOMERS, TOKEN_TYPE
from pdp.demo.ports import LOOPBACK, Ports
from pdp.demo.rotating import STAFF, keys_url, life_s
from pdp.model import Json

SERVICES: Mapping[str, str] = {"orders": "orders.shop.example", "payments": "payments.shop.example"}
GATEWAY = "edge"
ORIGIN = "portcullis.demo/log"
MINTER = "https://pdp.shop.example"
"""What the decision service is called as the issuer of the tokens that services get."""

LIFETIME_S = 3600
REMINT_S = 60
"""Tokens are minted anew this often: a second factor counts for five minutes, a demo takes longer."""
SESSION = "s-ann-phone"
"""The session that the lines revoke; the other tokens of ann belong to another."""
STAFF_TOKEN = "sam"  # noqa: S105 - the name of a file
EARLIER_STAFF_TOKEN = "sam-before"  # noqa: S105 - the name of a file
"""What `STAFF_TOKEN` was before the keys of the staff's issuer changed."""
MOST_REFRESH_S = 15


class TokenPlan(Struct, frozen=True):
    """A token to mint: the name of its file, its claims, and the Unix seconds of `iat` and `exp`."""

    name: str
    claims: Mapping[str, Json]
    issued_at: int
    expires_at: int


def customers_tokens(now: int) -> tuple[TokenPlan, ...]:
    """Every token of a customer as it should be at `now`, in Unix seconds."""
    until = now + LIFETIME_S
    ann: dict[str, Json] = {"sub": "u-ann", "accounts": ["a-1001"], "email": "ann@mail.example", "amr": ["pwd"]}
    orders: dict[str, Json] = {"aud": "orders", "scope": "orders.read orders.write", "auth_time": now - 600}
    payments: dict[str, Json] = {"aud": "payments", "scope": "payments.read payments.write", "auth_time": now}
    return (
        TokenPlan("ann", {**ann, **orders, "sid": "s-ann-laptop"}, now, until),
        TokenPlan("ann-phone", {**ann, **orders, "sid": SESSION}, now, until),
        TokenPlan("ann-payments", {**ann, **payments, "amr": ["pwd", "otp"]}, now, until),
        TokenPlan("ann-expired", {**ann, **orders, "auth_time": now - 7200}, now - 7200, now - 3600),
        TokenPlan("ben", {**orders, "sub": "u-ben", "accounts": ["a-2001"], "amr": ["pwd"]}, now, until),
        TokenPlan(
            "sue", {**orders, "sub": "u-sue", "accounts": ["a-3001"], "amr": ["pwd"], "suspended": True}, now, until
        ),
    )


def staff_tokens(now: int, every_s: int) -> tuple[TokenPlan, ...]:
    """Every token of the staff as it should be at `now`, in Unix seconds: each opens two services, for an issuer whose
    keys change every `every_s` seconds.
    """
    until = now + life_s(every_s)
    sam: dict[str, Json] = {
        "sub": "u-sam",
        "groups": ["support"],
        "aud": list(SERVICES),
        "scope": "orders.read orders.write payments.read payments.refund",
    }
    password: dict[str, Json] = {"amr": ["pwd"], "auth_time": now - 600}
    return (
        TokenPlan(STAFF_TOKEN, {**sam, **password}, now, until),
        TokenPlan("sam-second-factor", {**sam, "amr": ["pwd", "hwk"], "auth_time": now}, now, until),
    )


def configuration(stage: Stage, ports: Ports, policies: Path, every_s: int) -> str:
    """The text of pdp.toml: this folder as the state, one listener for one gateway, two issuers, and tokens of our own.

    Paths below the state folder stand relative to it, so that it may be moved; the policy folder stands absolute.
    The staff's issuer is asked at least four times between two changes of its keys, which are every `every_s` seconds.
    """
    services = ", ".join(_text(service) for service in sorted(SERVICES))
    refresh_s = max(1, min(MOST_REFRESH_S, every_s // 4))
    return f"""\
# Written by the demo at each start: changes are lost.
state = "."
policies = {_text(str(policies.resolve()))}

[log]
origin = {_text(ORIGIN)}

[http]
address = {_text(f"{LOOPBACK}:{ports.http}")}

[minting]
url = {_text(MINTER)}
client_id = {_text(GATEWAY)}

[[gateways]]
name = {_text(GATEWAY)}
services = [{services}]

[[listeners]]
address = {_text(f"{LOOPBACK}:{ports.grpc}")}
gateway = {_text(GATEWAY)}

# The customers' issuer: its keys stand in a file.
[[issuers]]
url = {_text(CUSTOMERS)}
keys = {_text(stage.key_set.relative_to(stage.state).as_posix())}
algorithms = [{_text(ALGORITHM)}]
types = [{_text(TOKEN_TYPE)}]
leeway_s = 30

# The staff's issuer: its keys change, and are asked for. Its tokens open more than one service.
[[issuers]]
url = {_text(STAFF)}
jwks_url = {_text(keys_url(ports.issuer))}
refresh_s = {refresh_s}
cooldown_s = {min(5, refresh_s)}
algorithms = [{_text(ALGORITHM)}]
types = [{_text(TOKEN_TYPE)}]
leeway_s = 30
allow_multi_audience = true
"""


def _text(value: str) -> str:
    """A basic string of TOML: the string of JSON, and DEL, which TOML alone wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
