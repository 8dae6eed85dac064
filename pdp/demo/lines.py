"""The lines the demo prints to be copied, as data: what to run, what to expect, and how to tell.

In: ports and the paths of the state folder and of `pdp`. Out: `Line`s; each is one shell command for a terminal in the
folder the demo was started from. The tests run every one of them and hold it to what is printed beside it.

Where there is no gateway the calls are asked of `pdp decide` instead of being made.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pdp.demo.calls import ANN, EVERYDAY, EXPLAINED, ID_HEADER, REFUNDING, SCOPED, SESSION_CALL, STAFF, Call
from pdp.demo.cast import SERVICES, SESSION, STAFF_TOKEN
from pdp.demo.files import Stage
from pdp.demo.issuer import CUSTOMERS
from pdp.demo.ports import LOOPBACK, Ports


class Line(Struct, frozen=True):
    """A command, what it should say in words, and the marks of it: its exit code and what its output holds."""

    title: str
    command: str
    expect: str
    exit_code: int
    holds: tuple[str, ...]


class Part(Struct, frozen=True):
    """Lines that show one thing; some build on those before them."""

    title: str
    lines: tuple[Line, ...]


class Setting(Struct, frozen=True):
    """Where the commands find things."""

    stage: Stage
    ports: Ports
    pdp: Path


def lines(setting: Setting, *, gateway: bool) -> tuple[Line, ...]:
    """Every line, in the order printed."""
    return tuple(line for part in parts(setting, gateway=gateway) for line in part.lines)


def parts(setting: Setting, *, gateway: bool) -> tuple[Part, ...]:
    """What the demo shows. Without `gateway` the calls go to `pdp decide`, which knows of no revocation."""
    asked = _called if gateway else _decided
    return (
        Part("the policy decides", tuple(asked(setting, call) for call in EVERYDAY)),
        Part(
            "two issuers, one of which changes its keys every minute or so",
            (_issuer(setting), *(asked(setting, call) for call in STAFF)),
        ),
        Part(
            "a broad token stays at the gateway",
            (_reach(setting), _called(setting, SCOPED) if gateway else _issued(setting)),
        ),
        Part("a refund takes a second factor", tuple(asked(setting, call) for call in REFUNDING)),
        *([Part("a session is revoked", tuple(_revoking(setting)))] if gateway else []),
        Part("the log", (*(_explaining(setting) if gateway else ()), _verify(setting))),
    )


def _called(setting: Setting, call: Call) -> Line:
    return Line(
        call.title,
        _curl(setting, call, "-sSi"),
        _expected(call),
        0,
        (f"HTTP/1.1 {call.status} ", call.holds, *call.shows),
    )


def _expected(call: Call) -> str:
    if call.told:
        return f"{call.status} by {call.by}, and {call.told}"
    match call.status:
        case 200:
            return f"200 by {call.by}, and the upstream shows the headers it received"
        case 401:
            return ", ".join(("401", call.holds, *call.shows))
        case _:
            return f"{call.status} by {call.by}, the id of the record in the header {call.holds}"


def _decided(setting: Setting, call: Call) -> Line:
    exit_code = 0 if call.outcome == "allow" else 1
    expect = " ".join(word for word in (call.outcome, call.challenge, call.by and f"by {call.by}") if word)
    return Line(call.title, _decide(setting, call), f"{expect}, exit code {exit_code}", exit_code, (expect,))


def _issuer(setting: Setting) -> Line:
    return Line(
        "the keys of the staff's issuer are asked for over the network; look again in a minute",
        f"curl -sS http://{LOOPBACK}:{setting.ports.issuer}/",
        "the key that signs now, the next one, which is published already, and those that signed before",
        0,
        ("signs now", "signs next", "signed last"),
    )


def _reach(setting: Setting) -> Line:
    config = shlex.quote(str(setting.stage.config))
    return Line(
        "what sam's token opens at the gateway",
        f"{_pdp(setting)} decide --reach --token {_token(setting, STAFF_TOKEN)} --config {config}",
        "endpoints of two services",
        0,
        ("verified", "orders, payments"),
    )


def _issued(setting: Setting) -> Line:
    """What the call of the broad token comes with where nobody makes it."""
    line, duty = _decided(setting, SCOPED), 'must issue token with scope "orders.read"'
    return replace(line, expect=f"{line.expect}; {duty}", holds=(*line.holds, duty))


def _revoking(setting: Setting) -> Iterator[Line]:
    """The session of one token ends, that of another of the same person does not; and all is as before."""
    state = shlex.quote(str(setting.stage.state))
    revoke = f"{_pdp(setting)} admin revoke session {SESSION} --issuer {CUSTOMERS} --state {state}"
    refused = replace(
        SESSION_CALL,
        title="the next call of that session",
        status=401,
        outcome="deny",
        by="token",
        holds="invalid_token",
    )
    yield _called(setting, SESSION_CALL)
    yield Line("her phone is lost: revoke its session", revoke, "revoked", 0, ("revoked",))
    yield _called(setting, refused)
    yield _called(setting, replace(ANN, title="ann's other session goes on"))
    yield Line(
        "take it back, so that these lines can be run again", f"{revoke} --withdraw", "withdrawn", 0, ("withdrawn",)
    )


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
    decided = _decided(setting, ANN)
    yield Line(
        "decide a call without making it, with the trace of every rule",
        f"{decided.command} --explain",
        decided.expect,
        decided.exit_code,
        decided.holds,
    )


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
