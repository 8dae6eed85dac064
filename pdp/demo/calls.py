"""The calls that the demo has people make, as data: who calls what, and what comes of it.

Values alone; pdp/demo/lines.py makes commands of them. The tests make every call, and ask the policy about each.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from pdp.demo.cast import MINTER

ORDERS = "/accounts/a-1001/orders"
PAYMENTS = "/accounts/a-1001/payments"
ORDER = f"{ORDERS}/2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11"
REFUNDS = f"{PAYMENTS}/7d1f6c9e-58b1-4c1e-8f5e-3f4b3a2c1d00/refunds"
ID_HEADER = "x-portcullis-decision"

Outcome = Literal["allow", "deny", "step_up"]


class Call(Struct, frozen=True):
    """A call to try: who makes it (the name of a token, or None), and what comes of it.

    `by` is the word or the rule that decides; `holds` stands in the answer of the gateway beside the status;
    `challenge` is what a step-up asks for. `shows` stand there, too, and `told` says so in words.
    """

    title: str
    service: str
    method: str
    path: str
    token: str | None
    status: int
    outcome: Outcome
    by: str
    holds: str
    challenge: str = ""
    told: str = ""
    shows: tuple[str, ...] = ()


ANN = Call(
    "ann lists the orders of her own account",
    *("orders", "GET", ORDERS, "ann", 200, "allow", "shop.owners_use_their_orders", ID_HEADER),
)
EXPLAINED = Call(
    "ann asks for the orders of somebody else's account",
    *("orders", "GET", "/accounts/a-2001/orders", "ann", 403, "deny", "default", ID_HEADER),
)
"""The refusal that the lines about the log explain: nobody granted it, and one rule came near."""

EVERYDAY = (
    ANN,
    Call(
        "ben lists them too: the account is shared with him",
        *("orders", "GET", ORDERS, "ben", 200, "allow", "shop.guests_read_shared_orders", ID_HEADER),
    ),
    Call(
        "anyone looks at the catalogue",
        *("orders", "GET", "/catalogue", None, 200, "allow", "shop.anyone_browses_the_catalogue", ID_HEADER),
    ),
    Call(
        "ann pays, her second factor just used",
        *("payments", "POST", PAYMENTS, "ann-payments", 200, "allow", "shop.owners_use_their_payments", ID_HEADER),
    ),
    EXPLAINED,
    Call(
        "a token for payments is worth nothing at orders",
        *("orders", "GET", ORDERS, "ann-payments", 403, "deny", "audience", ID_HEADER),
    ),
    Call(
        "a path that no policy declares",
        *("orders", "GET", "/admin/users", "ann", 403, "deny", "route", ID_HEADER),
    ),
    Call(
        "sue has a good token and is suspended",
        *("orders", "GET", "/accounts/a-3001/orders", "sue", 403, "deny", "shop.suspended_users", ID_HEADER),
    ),
    Call(
        "no token",
        *("orders", "GET", ORDERS, None, 401, "deny", "", "www-authenticate: Bearer"),
    ),
    Call(
        "a token that expired an hour ago",
        *("orders", "GET", ORDERS, "ann-expired", 401, "deny", "token", "invalid_token"),
    ),
)

STAFF = (
    Call(
        "sam of the support desk has a token of that issuer, of the key that signs now",
        *("orders", "GET", ORDERS, "sam", 200, "allow", "shop.support_reads_orders", ID_HEADER),
    ),
    Call(
        "and one of the key that signed before: it is good until it is over",
        *("orders", "GET", ORDERS, "sam-before", 200, "allow", "shop.support_reads_orders", ID_HEADER),
    ),
)

SCOPED = Call(
    "what the service gets in its place",
    *("orders", "GET", ORDER, "sam", 200, "allow", "shop.support_reads_orders", ID_HEADER),
    told="another token: for orders alone and one scope, a minute long, with a name for sam that no other service has;"
    " payments refuses it",
    shows=(f"iss   {MINTER}", "aud   orders\n", "scope orders.read\n", "at orders: taken", "at payments: refused"),
)

REFUNDING = (
    Call(
        "sam refunds a payment, logged in with a password: a second factor is asked for",
        *("payments", "POST", REFUNDS, "sam", 401, "step_up", "shop.mfa_for_money"),
        *("insufficient_user_authentication", "mfa"),
        shows=('acr_values="mfa"', 'max_age="300"'),
    ),
    Call(
        "the same call, with the token that he gets after the second factor",
        *("payments", "POST", REFUNDS, "sam-second-factor", 200, "allow", "shop.support_refunds", ID_HEADER),
    ),
)

SESSION_CALL = Call(
    "ann calls from her phone",
    *("orders", "GET", ORDERS, "ann-phone", 200, "allow", "shop.owners_use_their_orders", ID_HEADER),
)

CALLS = (*EVERYDAY, *STAFF, SCOPED, *REFUNDING, SESSION_CALL)
"""All of them. Each is decided by the policy and the token alone."""
