"""`pdp test`: run the test blocks of a policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from pdp.cli.options import json_option, path_type
from pdp.runtime.bundle import read_folder
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render
from policy_lang.explain import sentence
from policy_lang.testing import TestResult, run_tests


@click.command()
@click.argument("folder", type=path_type)
@json_option
@click.pass_context
def test(ctx: click.Context, folder: Path, *, as_json: bool) -> None:
    """Run the `test` blocks of the policy in FOLDER.

    Ends 0 where every case came out as expected, 1 where one did not or there is none, 2 where the policy does not
    compile.
    """
    bundle = read_folder(folder)
    try:
        compiled = compile_policy(bundle.files)
    except CompileError as error:
        click.echo(render(error.diagnostics, sources_of(bundle.files)), err=True)
        ctx.exit(2)
    running = run_tests(compiled.program, compiled.tests)
    shown = Console(stderr=True)
    results = list(
        track(running, "testing", len(compiled.tests), console=shown, transient=True)
        if sys.stderr.isatty() and not as_json
        else running
    )
    failed = [result for result in results if not result.passed]
    if as_json:
        click.echo(json.dumps([_json(result) for result in results], indent=2))
    else:
        for result in failed:
            _show(result)
        click.echo(f"{folder}: {len(results) - len(failed)} passed, {len(failed)} failed")
        if not results:
            click.echo("there is no test block in this policy: write one, for example as in `policies/shop`")
    ctx.exit(1 if failed or not results else 0)


def _show(result: TestResult) -> None:
    case = result.case
    click.echo(click.style(f'FAILED "{case.title}"', fg="red"), nl=False)
    click.echo(f" {case.place.file}:{case.place.line}")
    click.echo(f"    {case.text}")
    click.echo(f"    expected  {result.expected}")
    click.echo(f"    got       {result.got}")
    click.echo(f"    {sentence(result.verdict)}\n")


def _json(result: TestResult) -> dict[str, object]:
    case = result.case
    return {
        "test": case.title,
        "file": case.place.file,
        "line": case.place.line,
        "call": case.text,
        "passed": result.passed,
        "expected": result.expected,
        "got": result.got,
    }
