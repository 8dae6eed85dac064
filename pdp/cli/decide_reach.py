"""`pdp decide --token FILE --reach`: what a token is, what it opens under the policy, and what in it looks personal.

A file with a token, the engine and what proves tokens come in; a report goes out, as text or as JSON. A token that does
not prove itself is told too, as what it would open if it did: whoever found one wants to know. No value of a claim is
shown but its issuer, audiences, scopes and times; of `cnf` only the ways in which it binds.

The JSON: `verified`, `reason` ("" where it is verified, else such as `token.expired`), `at`, `issuer`, `kind`,
`audience`, `scopes`, `issued_at`, `not_before`, `expires_at`, `seconds_left` (Unix seconds; null where the token does
not say), `bound` (members of `cnf`), `personal` (each with `claim`, `declared`, `private`), `reach` (`endpoints`,
`endpoints_opened`, `services`, `services_opened`, `opens`, `opens_after_step_up`, `may_open`, `closed`), and
`endpoints` (each with `id`, `service`, `call`, `state`, `reason`, `subject`, `rules`, `challenges`, and `unsettled`:
`rule`, `clause`, `inputs`). A state is one of the four counts of `reach`. Where the issuer's keys are asked for over a
network, there is also `keys` (`issuer`, `source`, `age_s`, `failure`).
Source: issue "Zero trust", "No personal data in tokens"; pdp/token_reach.py says what the states promise.

Decision: 2026-11-21. All that is not closed counts as opened: how far a stolen token leads is told at its widest. For
the same reason a token of an issuer that is not configured may name several services.
Decision: 2026-11-21. What a verified token opens is told until it ends, leeway included; of others for ever.
Decision: 2026-11-21. Verified is a token that its issuer signed and that is valid now. Who may carry one that is bound
is settled by the connection of each call; here it is told that it is bound, and to what.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import Struct
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdp.config_identity import IssuerConfig
from pdp.errors import ConfigError
from pdp.identity.jwt import LATEST, LONGEST_TOKEN, MOST_DEEP, TokenRefusal, Verified
from pdp.identity.once import KeysOnce
from pdp.identity.strict import JsonRefusedError, decode_base64url, decode_json_object
from pdp.model import Json
from pdp.runtime.engine import Engine
from pdp.token_personal import PersonalClaim, personal_in
from pdp.token_reach import STATES, Opening, Unsettled, openings
from policy_lang.diagnostics import printable
from policy_lang.ir import Kind
from policy_lang.meaning.schema import AUDIENCE, SCOPE, conform_claim
from policy_lang.verdict import Caller

WIDEST = 1000
"""Columns of a table that no terminal shows."""

_WHY = {
    "token.issuer": "no issuer of the configuration and of the policy has this name",
    "token.expired": "it has expired",
    "token.not_yet": "it is not valid yet",
    "token.signature": "its signature is not the issuer's",
    "token.key": "the issuer has no key of this name",
    "token.lifetime": "it lives longer than its issuer's tokens may",
}


class Shown(Struct, frozen=True):
    """A token as it is told: `reason` is "" where it is verified; `opened` stand in the order of the policy, which has
    this many `services`.
    """

    reason: str
    now: int
    claims: Mapping[str, Json]
    kind: Kind | None
    personal: tuple[PersonalClaim, ...]
    opened: tuple[Opening, ...]
    services: int

    @property
    def verified(self) -> bool:
        """Whether it was proved, and the policy knows its kind."""
        return not self.reason

    def members(self, name: str) -> list[str]:
        """The members of `aud` or `scope`; none of what is malformed."""
        held = conform_claim({"aud": AUDIENCE, "scope": SCOPE}[name], self.claims)
        return sorted(str(each) for each in held) if isinstance(held, frozenset) else []

    def instant(self, name: str) -> int | None:
        """The time of a claim in Unix seconds, rounded down; None where the token does not say one."""
        said = self.claims.get(name)
        told = isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= LATEST
        return int(said) if told and isinstance(said, int | float) else None

    @property
    def seconds_left(self) -> int | None:
        """How long until it expires, negative where it has."""
        ends = self.instant("exp")
        return None if ends is None else ends - self.now

    @property
    def bound(self) -> tuple[str, ...]:
        """The ways in which it is bound."""
        said = self.claims.get("cnf")
        return tuple(sorted(said)) if isinstance(said, dict) else () if said is None else ("malformed",)


def read_token(path: Path) -> str:
    """The token in a file, `-` for standard input. Errors: ConfigError C207, also for what is too large to be one."""
    try:
        with click.open_file(str(path), "rb") as file:
            data: bytes = file.read(LONGEST_TOKEN + 2)
        text = data.decode("ascii").strip()
    except OSError as error:
        raise ConfigError("C207", f"cannot read the token in {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("C207", f"the token in {path} is none: it is not ASCII") from error
    if len(text) > LONGEST_TOKEN:
        raise ConfigError("C207", f"the token in {path} is none: it has more than {LONGEST_TOKEN} characters")
    return text


def shown(
    engine: Engine,
    verified: Verified | TokenRefusal,
    issuers: Sequence[IssuerConfig],
    text: str,
    path: Path,
    now_us: int,
) -> Shown:
    """What there is to tell at an instant, Unix microseconds, of a token that stood in a file, and was then verified or
    refused. Errors: ConfigError C207 for what is no token at all.
    """
    now = now_us // 1_000_000
    claims, until_ms = _claims(text, path), None
    if isinstance(verified, TokenRefusal):
        name, reason = _issuer(claims) or "", verified.reason
        several = {each.url: each.allow_multi_audience for each in issuers}.get(name, True)
    else:
        name, reason, claims = verified.issuer.url, "", verified.claims
        several = verified.issuer.multi_audience
        until_ms = (verified.expires_at + verified.issuer.leeway_s) * 1000
    kind = engine.issuers.get(name)
    if kind is None:
        reason = reason or "token.issuer"
    caller = Caller(None if kind is None else kind.id, claims, several)
    opened = openings(engine.program, kind, caller, now_us // 1_000, until_ms)
    return Shown(reason, now, claims, kind, personal_in(claims, kind), opened, len(engine.services))


def _claims(text: str, path: Path) -> Mapping[str, Json]:
    """The claims of a token as it says them, proved by nothing."""
    parts = text.split(".")
    payload = decode_base64url(parts[1]) if len(parts) == 3 else None
    if payload is None:
        raise ConfigError("C207", f"the token in {path} is none: it is not three parts of base64url with dots between")
    try:
        return decode_json_object(payload, MOST_DEEP)
    except JsonRefusedError as error:
        raise ConfigError("C207", f"the token in {path} is none: its second part is no JSON object: {error}") from error


def _issuer(claims: Mapping[str, Json]) -> str | None:
    """The issuer that claims name, None where that is no text."""
    said = claims.get("iss")
    return said if isinstance(said, str) else None


# ---------------------------------------------------------------- text


def keys_text(keys: KeysOnce) -> str:
    """Where keys came from that are asked for over a network, and how old they are."""
    if keys.source == "asked":
        return "asked for just now"
    in_vain = f"; the issuer was asked in vain ({keys.failure})" if keys.failure else ""
    return f"kept by the service, {keys.age_s:.0f} s old{in_vain}"


def show(told: Shown, keys: KeysOnce | None) -> None:
    """Print what there is to tell: drawn where standard output is a terminal, else in columns."""
    console = Console()
    if told.verified:
        click.echo(click.style("verified", fg="green"))
    else:
        why = f"{_WHY[told.reason]} ({told.reason})" if told.reason in _WHY else told.reason
        click.echo(f"{click.style('not verified', fg='red')}: {why}; what it would open if it were:")
    for name, value in _lines(told, keys):
        click.echo(f"{name:<9} {printable(value)}")
    click.echo(blast(told))
    _print(console, told.opened)


def _lines(told: Shown, keys: KeysOnce | None) -> list[tuple[str, str]]:
    return [
        ("issuer", _issuer(told.claims) or "none"),
        *([] if keys is None else [("keys", keys_text(keys))]),
        ("kind", "none" if told.kind is None else told.kind.id),
        ("audience", ", ".join(told.members("aud")) or "none"),
        ("scopes", ", ".join(told.members("scope")) or "none"),
        ("expires", _expiry(told)),
        ("bound", ", ".join(told.bound) or "no: whoever holds it can use it"),
        ("personal", ", ".join(map(_personal_text, told.personal)) or "nothing that looks so"),
    ]


def _expiry(told: Shown) -> str:
    ends, left = told.instant("exp"), told.seconds_left
    if ends is None or left is None:
        return "not said"
    at = datetime.fromtimestamp(ends, UTC).isoformat().replace("+00:00", "Z")
    return f"{at} ({left} s left)" if left > 0 else f"{at} ({-left} s ago)"


def _personal_text(claim: PersonalClaim) -> str:
    told = "private" if claim.private else "not declared" if claim.declared is None else "declared, not private"
    return f"{'.'.join(claim.way)} ({told})"


def blast(told: Shown) -> str:
    """How far a token leads, in one line."""
    counts = _counts(told)
    whole = f"opens {counts['endpoints_opened']} of {counts['endpoints']} endpoints"
    of_services = f"in {counts['services_opened']} of {counts['services']} services"
    parts = {"always": "opens", "after step-up": "opens_after_step_up", "depending on the call": "may_open"}
    of_these = ", ".join(f"{counts[key]} {words}" for words, key in parts.items() if counts[key])
    return f"{whole} {of_services}{f' ({of_these})' if of_these else ''}"


def _counts(told: Shown) -> dict[str, int]:
    passing = [each for each in told.opened if each.state != "closed"]
    return {
        "endpoints": len(told.opened),
        "endpoints_opened": len(passing),
        "services": told.services,
        "services_opened": len({each.service for each in passing}),
        **{_key(state): sum(each.state == state for each in told.opened) for state in STATES},
    }


def _key(state: str) -> str:
    return state.replace(" ", "_").replace("-", "_")


def _print(console: Console, opened: Sequence[Opening]) -> None:
    between = "\n" if console.is_terminal else "; "
    table = Table(box=HEAVY_HEAD if console.is_terminal else None, show_lines=console.is_terminal, pad_edge=False)
    for name in ("endpoint", "call", "state", "why"):
        table.add_column(name, overflow="fold")
    for each in opened:
        cells = (each.endpoint, each.route, each.state, between.join(map(printable, _why(each))))
        table.add_row(*(Text(cell) for cell in cells))
    if not console.is_terminal:
        console.width = WIDEST
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def _why(opening: Opening) -> list[str]:
    """Why an endpoint is not simply open: the refusal, what is not settled, what is asked for."""
    if opening.state == "closed":
        subject = f": {opening.subject}" if opening.subject else ""
        by = f" by {', '.join(opening.rules)}" if opening.rules else ""
        return [f"{opening.reason}{by}{subject}"]
    asked = [f"asks for {', '.join(opening.challenges)}"] if opening.challenges else []
    return [*map(_unsettled_text, opening.unsettled), *asked]


def _unsettled_text(open_: Unsettled) -> str:
    said = f"{open_.rule} {open_.clause}".strip()
    return f"{said}: {', '.join(open_.inputs)}" if open_.inputs else said


# ---------------------------------------------------------------- JSON


def keys_json(keys: KeysOnce) -> Json:
    """Where keys came from that are asked for over a network, and how old they are, in whole seconds."""
    return {"issuer": keys.issuer, "source": keys.source, "age_s": int(keys.age_s), "failure": keys.failure}


def reach_json(told: Shown, keys: KeysOnce | None) -> dict[str, Json]:
    """The same for programs; its members stand in the module's docstring."""
    personal: list[Json] = [
        {"claim": ".".join(each.way), "declared": each.declared, "private": each.private} for each in told.personal
    ]
    return {
        "verified": told.verified,
        "reason": told.reason,
        "at": told.now,
        "issuer": _issuer(told.claims),
        "kind": None if told.kind is None else told.kind.id,
        "audience": list[Json](told.members("aud")),
        "scopes": list[Json](told.members("scope")),
        "issued_at": told.instant("iat"),
        "not_before": told.instant("nbf"),
        "expires_at": told.instant("exp"),
        "seconds_left": told.seconds_left,
        "bound": list[Json](told.bound),
        "personal": personal,
        "reach": dict[str, Json](_counts(told)),
        "endpoints": [_opening_json(each) for each in told.opened],
        **({} if keys is None else {"keys": keys_json(keys)}),
    }


def _opening_json(opening: Opening) -> Json:
    unsettled: list[Json] = [
        {"rule": each.rule, "clause": each.clause, "inputs": list[Json](each.inputs)} for each in opening.unsettled
    ]
    return {
        "id": opening.endpoint,
        "service": opening.service,
        "call": opening.route,
        "state": _key(opening.state),
        "reason": opening.reason,
        "subject": opening.subject,
        "rules": list[Json](opening.rules),
        "challenges": list[Json](opening.challenges),
        "unsettled": unsettled,
    }


def report(told: Shown, keys: KeysOnce | None, *, as_json: bool) -> int:
    """Print what there is to tell; the exit code: 0 for a token that is verified, 1 for another."""
    if as_json:
        click.echo(json.dumps(reach_json(told, keys), indent=2))
    else:
        show(told, keys)
    return 0 if told.verified else 1
