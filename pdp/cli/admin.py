"""`pdp admin`: speak to the running service, over the socket in its state folder or over a network.

A verb's words come in; what the service answers is printed, and says how the command ends. Which service it is and how
it is asked: pdp/cli/admin_place.py.
Design: contracts.md "Command line".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from pdp.cli.admin_place import Service, asked, of_a_service
from pdp.cli.options import json_option
from pdp.errors import printable_lines
from pdp.model import Json
from pdp.shared_state.model import KINDS


@click.group(short_help="Administer the running service.")
def admin() -> None:
    """Administer the running service: that of the state folder here, or with --at one elsewhere.

    Every call is in the decision log, with who made it.
    """


@admin.command(short_help="Look at the policy folder now.")
@click.option("--confirm", is_flag=True, help="Also where files vanished from the policy folder.")
@of_a_service
@json_option
@click.pass_context
def reload(ctx: click.Context, *, confirm: bool, service: Service, as_json: bool) -> None:
    """Look at the policy folder now, and put in force what compiles.

    Ends 0 where the policy of the folder is in force afterwards, 1 where it was refused or waits.
    """
    answer = asked(service, {"verb": "reload", "confirm": confirm})
    show_answer(answer, as_json=as_json)
    ctx.exit(0 if answer.get("ok") else 1)


@admin.command(short_help="Revoke a token, a subject, a session, a key or an issuer.")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("value", default="")
@click.option("--issuer", required=True, help="The issuer, as `url` of pdp.toml names it.")
@click.option("--outright", is_flag=True, help="Of a subject: also the tokens of later logins.")
@click.option("--withdraw", is_flag=True, help="Take it back.")
@of_a_service
@json_option
@click.pass_context
def revoke(
    ctx: click.Context,
    *,
    kind: str,
    value: str,
    issuer: str,
    outright: bool,
    withdraw: bool,
    service: Service,
    as_json: bool,
) -> None:
    """Refuse, from the next decision on, what stands on the KIND called VALUE of an issuer.

    VALUE is the `jti` of a token; the `sub` of a subject, whose tokens of before are refused; the `sid` of a session;
    the `kid` of a key. An issuer needs none. What is revoked stays so across restarts.

    Ends 0 where it is done, 1 where it is not.
    """
    if kind != "issuer" and not value:
        raise click.UsageError(f"name the {kind}: its VALUE is missing")
    if kind == "issuer" and value:
        raise click.UsageError("an issuer has no VALUE: --issuer names it")
    if outright and kind != "subject":
        raise click.UsageError(f"--outright is for a subject: a {kind} is always revoked so")
    request: dict[str, Json] = {"verb": "revoke", "kind": kind, "issuer": issuer, "value": value}
    answer = asked(service, request | {"outright": outright, "withdraw": withdraw})
    show_answer(answer, as_json=as_json)
    ctx.exit(0 if answer.get("ok") else 1)


@admin.command(short_help="Say which policy is in force.")
@of_a_service
@json_option
@click.pass_context
def status(ctx: click.Context, *, service: Service, as_json: bool) -> None:
    """Say which policy is in force and whether the log can be written. Ends 0 where the service is ready."""
    answer = asked(service, {"verb": "status"})
    show_answer(answer, as_json=as_json)
    ctx.exit(0 if answer.get("ok") else 1)


def show_answer(answer: Mapping[str, Json], *, as_json: bool) -> None:
    """Print an answer: a line for each thing it says, or JSON."""
    if as_json:
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
        return
    told = {name: _told(value) for name, value in answer.items() if name != "ok" and value != ""}
    width = max(map(len, told), default=0)
    for name, value in told.items():
        shown = printable_lines(value).replace("\n", f"\n{'':<{width}}  ")
        click.echo(f"{name:<{width}}  {shown}")


def _told(value: Json) -> str:
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"
