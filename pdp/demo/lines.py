"""The lines the demo prints to be copied, as data: what to run, what to expect, and how to tell.

In: ports and the paths of the state folder and of `pdp`. Out: `Line`s; each is one shell command for a terminal in the
folder the demo was started from. The tests run every one of them and hold it to what is printed beside it.

Where there is no gateway the calls are asked of `pdp decide` instead of being made.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pdp.demo.cast import SERVICES
from pdp.demo.files import Stage
from pdp.demo.ports import LOOPBACK, Ports

ORDERS = "/accounts/a-1001/orders"
PAYMENTS = "/accounts/a-1001/payments"
ID_HEADER = "x-portcullis-decision"

Outcome = Literal["allow", "deny", "step_up"]


class Call(Struct, frozen=True):
    """A call to try: who makes it (the name of a token, or None), and what comes of it.

    `by` is the word or the rule that decides; `holds` stands in the answer of the gateway beside the status;
    `challenge` is what a step-up asks for.
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


class Line(Struct, frozen=True):
    """A command, what it should say in words, and the marks of it: its exit code and what its output holds."""

    title: str
    command: str
    expect: str
    exit_code: int
    holds: tuple[str, ...]


class Setting(Struct, frozen=True):
    """Where the commands find things."""

    stage: Stage
    ports: Ports
    pdp: Path


CALLS = (
    Call(
        "ann lists the orders of her own account",
        *("orders", "GET", ORDERS, "ann", 200, "allow", "shop.owners_use_their_orders", ID_HEADER),
    ),
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
        *("payments", "POST", PAYMENTS, "ann-payments-mfa", 200, "allow", "shop.owners_use_their_payments", ID_HEADER),
    ),
    Call(
        "ann pays on a login of two hours ago: a second factor is asked for",
        *("payments", "POST", PAYMENTS, "ann-payments", 401, "step_up", "shop.mfa_for_money"),
        *("insufficient_user_authentication", "mfa"),
    ),
    Call(
        "ann asks for the orders of somebody else's account",
        *("orders", "GET", "/accounts/a-2001/orders", "ann", 403, "deny", "default", ID_HEADER),
    ),
    Call(
        "a token for payments is worth nothing at orders",
        *("orders", "GET", ORDERS, "ann-payments-mfa", 403, "deny", "audience", ID_HEADER),
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
EXPLAINED = CALLS[5]
"""The refusal that the lines after the calls explain: nobody granted it, and one rule came near."""


def lines(setting: Setting, *, gateway: bool) -> tuple[Line, ...]:
    """Every line, in the order printed. Without `gateway` the calls go to `pdp decide`."""
    if not gateway:
        return (*(_decided(setting, call) for call in CALLS), _verify(setting))
    return (*(_called(setting, call) for call in CALLS), *_explaining(setting))


def _called(setting: Setting, call: Call) -> Line:
    return Line(
        call.title,
        _curl(setting, call, "-sSi"),
        _expected(call),
        0,
        (f"HTTP/1.1 {call.status} ", call.holds),
    )


def _expected(call: Call) -> str:
    match call.status:
        case 200:
            return f"200 by {call.by}, and the upstream shows the headers it received"
        case 401:
            return f"401, {call.holds}"
        case _:
            return f"{call.status} by {call.by}, the id of the record in the header {call.holds}"


def _decided(setting: Setting, call: Call) -> Line:
    exit_code = 0 if call.outcome == "allow" else 1
    expect = " ".join(word for word in (call.outcome, call.challenge, call.by and f"by {call.by}") if word)
    return Line(call.title, _decide(setting, call), f"{expect}, exit code {exit_code}", exit_code, (expect,))


def _explaining(setting: Setting) -> Iterator[Line]:
    """What the command line says of what just happened."""
    state = shlex.quote(str(setting.stage.state))
    ask = f"{_curl(setting, EXPLAINED, '-sS -o /dev/null -D -')} | tr -d '\\r' | sed -n 's/^{ID_HEADER}: //p'"
    yield Line(
        f"make a refused call and explain it from the log; the id stands in its answer, header {ID_HEADER}",
        f'{_pdp(setting)} audit show "$({ask})" --why --state {state}',
        "no rule allowed it, and the rule that came nearest",
        0,
        ("No rule allowed this", "owners_use_their_orders"),
    )
    decided = _decided(setting, CALLS[0])
    yield Line(
        "decide a call without making it, with the trace of every rule",
        f"{decided.command} --explain",
        decided.expect,
        decided.exit_code,
        decided.holds,
    )
    yield _verify(setting)


def _verify(setting: Setting) -> Line:
    return Line(
        "prove that the log is whole and unchanged",
        f"{_pdp(setting)} audit verify --state {shlex.quote(str(setting.stage.state))}",
        "sound, exit code 0",
        0,
        ("sound",),
    )


def _curl(setting: Setting, call: Call, options: str) -> str:
    method = "" if call.method == "GET" else f" -X {call.method}"
    url = f"http://{LOOPBACK}:{setting.ports.gateway}{call.path}"
    parts = [f"curl {options}{method} {shlex.quote(url)}", f"-H 'Host: {SERVICES[call.service]}'"]
    if call.token is not None:
        parts.append(f'-H "Authorization: Bearer $(cat {_token(setting, call.token)})"')
    return " ".join(parts)


def _decide(setting: Setting, call: Call) -> str:
    url = shlex.quote(f"https://{SERVICES[call.service]}{call.path}")
    token = "" if call.token is None else f" --token {_token(setting, call.token)}"
    config = shlex.quote(str(setting.stage.config))
    return f"{_pdp(setting)} decide {call.method} {url}{token} --config {config}"


def _pdp(setting: Setting) -> str:
    return shlex.quote(str(setting.pdp))


def _token(setting: Setting, name: str) -> str:
    return shlex.quote(str(setting.stage.tokens / name))
