"""`pdp check`: read a policy and report every mistake in it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pdp.cli.options import json_option, path_type
from pdp.runtime.bundle import Bundle, read_folder
from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, Diagnostic, render
from policy_lang.diagnostics import as_json as diagnostics_json


@click.command()
@click.argument("folder", type=path_type)
@json_option
@click.pass_context
def check(ctx: click.Context, folder: Path, *, as_json: bool) -> None:
    """Report every mistake in a policy.

    Each mistake in FOLDER is shown with its place and remedy.

    Ends 0 where it compiles (warnings allowed), 1 where it does not. Facts files may be absent here; `pdp serve` and
    `pdp decide` need them.
    """
    bundle = read_folder(folder)
    try:
        compiled = compile_policy(bundle.files)
    except CompileError as error:
        _report(error.diagnostics, bundle, as_json=as_json)
        if not as_json:
            click.echo(f"\n{folder}: {_count(len(error.diagnostics), 'problem')}", err=True)
        ctx.exit(1)
    _report(compiled.warnings, bundle, as_json=as_json)
    if not as_json:
        _summary(folder, bundle, compiled)


def _report(diagnostics: tuple[Diagnostic, ...], bundle: Bundle, *, as_json: bool) -> None:
    sources = sources_of(bundle.files)
    if as_json:
        click.echo(json.dumps(diagnostics_json(diagnostics, sources), indent=2))
    elif diagnostics:
        click.echo(render(diagnostics, sources), err=True)


def _summary(folder: Path, bundle: Bundle, compiled: Compiled) -> None:
    program = compiled.program
    absent = [r.id for r in program.relations if not any(f"facts/{r.id}{s}" in bundle.files for s in (".csv", ".json"))]
    if absent:
        click.echo(f"facts absent: {', '.join(f'facts/{name}.csv' for name in absent)}")
    if compiled.proofs:
        click.echo(f"{_count(len(compiled.proofs), 'proof')} not run: this version parses `prove` and does not run it")
    parts = (
        _count(len(program.services), "service"),
        _count(len(program.endpoints), "endpoint"),
        _count(len(program.rules), "rule"),
        _count(len(compiled.tests), "test case"),
        _count(len(compiled.warnings), "warning"),
    )
    click.echo(f"{folder}: no problems ({', '.join(parts)})")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
