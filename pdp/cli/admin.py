"""`pdp admin`: speak to the running service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from pdp.admin import ask
from pdp.cli.options import config_option, configured, json_option, state_option
from pdp.model import Json
from pdp.state import State


@click.group()
def admin() -> None:
    """Administer the running service."""


@admin.command()
@click.option("--confirm", is_flag=True, help="Also where files vanished from the policy folder.")
@config_option
@state_option
@json_option
@click.pass_context
def reload(ctx: click.Context, *, confirm: bool, config_path: Path | None, state: Path | None, as_json: bool) -> None:
    """Look at the policy folder now, and put in force what compiles.

    Ends 0 where the policy of the folder is in force afterwards, 1 where it was refused or waits.
    """
    answer = _ask(config_path, state, {"verb": "reload", "confirm": confirm})
    _show(answer, as_json=as_json)
    ctx.exit(0 if answer.get("ok") else 1)


@admin.command()
@config_option
@state_option
@json_option
@click.pass_context
def status(ctx: click.Context, config_path: Path | None, state: Path | None, *, as_json: bool) -> None:
    """Say which policy is in force and whether the log can be written. Ends 0 where the service is ready."""
    answer = _ask(config_path, state, {"verb": "status"})
    _show(answer, as_json=as_json)
    ctx.exit(0 if answer.get("ok") else 1)


def _ask(config_path: Path | None, state: Path | None, request: Mapping[str, Json]) -> Mapping[str, Json]:
    folder = state or configured(config_path).state
    return ask(State(folder).admin_socket, request)


def _show(answer: Mapping[str, Json], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
        return
    width = max(len(name) for name in answer)
    for name, value in answer.items():
        if name != "ok":
            click.echo(f"{name:<{width}}  {value}")
