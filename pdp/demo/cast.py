"""Who appears in the demo: the tokens that are minted, as claims, and the configuration that believes their issuer.

In: the instant. Out: values alone; `__main__` writes them. The names of the tokens are the names of their files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pdp.demo.files import Stage
from pdp.demo.issuer import ALGORITHM, TOKEN_TYPE, URL
from pdp.demo.ports import LOOPBACK, Ports
from pdp.model import Json

SERVICES: Mapping[str, str] = {"orders": "orders.shop.example", "payments": "payments.shop.example"}
GATEWAY = "edge"
ORIGIN = "portcullis.demo/log"

LIFETIME_S = 3600
REMINT_S = 60
"""Tokens are minted anew this often: a second factor counts for five minutes, a demo takes longer."""


class TokenPlan(Struct, frozen=True):
    """A token to mint: the name of its file, its claims, and the Unix seconds of `iat` and `exp`."""

    name: str
    claims: Mapping[str, Json]
    issued_at: int
    expires_at: int


def tokens(now: int) -> tuple[TokenPlan, ...]:
    """Every token of the demo as it should be at `now`, in Unix seconds."""
    until = now + LIFETIME_S
    ann: dict[str, Json] = {"sub": "u-ann", "accounts": ["a-1001"], "email": "ann@mail.example", "amr": ["pwd"]}
    orders: dict[str, Json] = {"aud": "orders", "scope": "orders.read orders.write", "auth_time": now - 600}
    payments: dict[str, Json] = {"aud": "payments", "scope": "payments.read payments.write"}
    return (
        TokenPlan("ann", {**ann, **orders}, now, until),
        TokenPlan("ann-payments", {**ann, **payments, "auth_time": now - 7200}, now, until),
        TokenPlan("ann-payments-mfa", {**ann, **payments, "amr": ["pwd", "otp"], "auth_time": now}, now, until),
        TokenPlan("ann-expired", {**ann, **orders, "auth_time": now - 7200}, now - 7200, now - 3600),
        TokenPlan("ben", {**orders, "sub": "u-ben", "accounts": ["a-2001"], "amr": ["pwd"]}, now, until),
        TokenPlan(
            "sue", {**orders, "sub": "u-sue", "accounts": ["a-3001"], "amr": ["pwd"], "suspended": True}, now, until
        ),
    )


def configuration(stage: Stage, ports: Ports, policies: Path) -> str:
    """The text of pdp.toml: this folder as the state, one listener for one gateway, one issuer.

    Paths below the state folder stand relative to it, so that it may be moved; the policy folder stands absolute.
    """
    services = ", ".join(_text(service) for service in sorted(SERVICES))
    return f"""\
# Written by the demo at each start: changes are lost.
state = "."
policies = {_text(str(policies.resolve()))}

[log]
origin = {_text(ORIGIN)}

[http]
address = {_text(f"{LOOPBACK}:{ports.http}")}

[[gateways]]
name = {_text(GATEWAY)}
services = [{services}]

[[listeners]]
address = {_text(f"{LOOPBACK}:{ports.grpc}")}
gateway = {_text(GATEWAY)}

[[issuers]]
url = {_text(URL)}
keys = {_text(stage.key_set.relative_to(stage.state).as_posix())}
algorithms = [{_text(ALGORITHM)}]
types = [{_text(TOKEN_TYPE)}]
leeway_s = 30
"""


def _text(value: str) -> str:
    """A basic string of TOML: the string of JSON, and DEL, which TOML alone wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
