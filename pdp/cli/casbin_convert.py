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

from pdp.authoring.casbin_convert import Converted, converted
from pdp.authoring.casbin_entries import Refused
from pdp.authoring.model import AuthoringError
from pdp.authoring.scaffold import service_name
from pdp.cli.casbin_input import Wishes, casbin_options, program_of, taken
from pdp.cli.new_folder import write_folder
from pdp.cli.options import path_type, shown_path
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError, printable
from policy_lang.meaning.facts import FactsError, load_facts
from policy_lang.trials.runner import run_tests

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
    _hold(made)
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


def _hold(made: Converted) -> None:
    """Hold the policy to its own tests. Errors: AuthoringError I442."""
    try:
        compiled = compile_policy({"policy.pol": made.files["policy.pol"].encode()})
    except CompileError as error:
        first = error.diagnostics[0]
        raise AuthoringError(
            "I442", f"the policy that was made does not compile: {first.code} {first.message}"
        ) from error
    try:
        load_facts(compiled.program, {name: text.encode() for name, text in made.files.items()})
    except FactsError as error:
        raise AuthoringError("I442", f"the facts that were made cannot be loaded: {error.problems[0]}") from error
    failed = [each for each in run_tests(compiled.program, compiled.tests) if not each.passed]
    if failed:
        case = failed[0].case
        said = f"{case.text}: expected {failed[0].expected}, got {failed[0].got}"
        raise AuthoringError("I442", f"the policy that was made answers otherwise than the rows: {said}")
