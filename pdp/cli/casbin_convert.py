"""`pdp casbin convert`: policy text that says what a Casbin model and its rows say.

In go a model and a policy; out go a policy and its facts, to a folder or, the policy alone, to standard output; what is
left out goes to standard error.
INVARIANT: nothing is written that does not compile, or whose tests do not pass, or whose facts cannot be loaded.
Source: language.md 2, 6.4.

Decision (2026-11-21): it ends 1 where a row was left out, as `pdp import` does, and 2 where nothing was converted: a
table whose refusals cannot be said, or whose effect no policy has.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from pdp.authoring.casbin_convert import converted
from pdp.authoring.casbin_entries import Refused
from pdp.authoring.model import AuthoringError
from pdp.authoring.scaffold import service_name
from pdp.cli.casbin_input import Wishes, casbin_options, program_of, taken
from pdp.cli.new_folder import hold, write_folder
from pdp.cli.options import path_type, shown_path
from policy_lang.diagnostics import printable

MOST_SHOWN = 100
"""Findings that are shown; the others are counted."""


@click.command(short_help="Write the policy that says what a model and its rows say.")
@casbin_options
@click.option("--output", type=path_type, metavar="DIR", help="Write an empty folder, with the facts of its roles.")
@click.option("--service", metavar="NAME", help="The name of its service, in place of the model's.")
@click.pass_context
def convert(
    ctx: click.Context, model: Path, policy: str, wishes: Wishes, output: Path | None, service: str | None
) -> None:
    """Write the policy that says what a model and its rows say, with tests.

    Rows of paths and methods become endpoints and rules; rows of names and actions become questions that an
    application asks. Roles become a relation, whose facts --output writes. What cannot be said is named.

    Ends 0 where all was said, 1 where rows were left out, 2 where nothing could be converted.
    """
    found = taken(model, policy, wishes)
    table = program_of(found)
    name = service_name(service, output.resolve().name if output else model.stem)
    made = converted(table, name, time.time_ns() // 1_000_000)
    if isinstance(made, Refused):
        why = f"{made.why}; `pdp new --from-casbin` keeps the model as it is"
        raise AuthoringError("I441", f"{found.source.name}, {found.place}: nothing is converted: {why}")
    hold(made.files)
    if output is None:
        click.echo(made.files["policy.pol"], nl=False)
        for facts in sorted(set(made.files) - {"policy.pol"}):
            click.echo(f"the policy needs {facts}: --output DIR writes it", err=True)
    else:
        write_folder(output, made.files)
        click.echo(f"{shown_path(output)}: {len(made.files)} file{'' if len(made.files) == 1 else 's'}")
    for finding in made.findings[:MOST_SHOWN]:
        click.echo(f"left out {printable(f'{finding.place}  {finding.message}')}", err=True)
    if len(made.findings) > MOST_SHOWN:
        click.echo(f"left out {len(made.findings) - MOST_SHOWN} more not shown", err=True)
    ctx.exit(1 if made.findings else 0)
