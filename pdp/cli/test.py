"""`pdp test`: run the test blocks of a policy, and say what they cover.

Decision: 2026-11-21. Without FOLDER it is the folder that `pdp.toml` names, else the one where the command is run, so
that `pdp test` in a policy's folder needs no words. A filter that no case fits is no success: nothing was tested.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from pdp.cli.junit import junit_xml
from pdp.cli.options import configured, json_option, path_type
from pdp.cli.results import coverage_lines, failure_lines, results_json
from pdp.errors import ConfigError
from pdp.runtime.bundle import read_folder
from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render
from policy_lang.trials.cases import TestCase
from policy_lang.trials.coverage import Coverage
from policy_lang.trials.runner import TestResult, run_tests

PROGRESS_AFTER_S = 1.0
"""How long a run may take before a terminal shows how far it is."""


@click.command()
@click.argument("folder", type=path_type, required=False)
@click.option("--settings", metavar="NAME", help="The environment: binds the settings of settings/NAME.toml.")
@click.option("--filter", "text", metavar="TEXT", help="Run only cases whose title, call or file has this text.")
@click.option("--coverage", "with_coverage", is_flag=True, help="Say which rules and conditions the cases have shown.")
@click.option("--junit", type=path_type, metavar="FILE", help="Write the results to FILE as JUnit XML.")
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    folder: Path | None,
    settings: str | None,
    text: str | None,
    junit: Path | None,
    *,
    with_coverage: bool,
    as_json: bool,
) -> None:
    """Run the `test` blocks of a policy.

    FOLDER is the policy's; without it, the one that pdp.toml names, or the current one.

    Ends 0 where every case came out as expected, 1 where one did not or there is none, 2 where the policy does not
    compile.
    """
    folder = folder or configured(None).policies or Path()
    bundle = read_folder(folder, settings)
    try:
        compiled = compile_policy(bundle.files, settings=settings)
    except CompileError as error:
        click.echo(render(error.diagnostics, sources_of(bundle.files)), err=True)
        ctx.exit(2)
    cases = [case for case in compiled.tests if text is None or _fits(case, text)]
    results = list(_running(compiled, cases, shown=sys.stderr.isatty() and not as_json))
    coverage = Coverage.of(compiled.program, results) if with_coverage else None
    if junit is not None:
        _write(junit, junit_xml(results, lambda result: failure_lines(result, compiled.program, compiled.sources)))
    if as_json:
        click.echo(json.dumps(results_json(results, compiled.program, coverage), indent=2))
    else:
        _show(folder, compiled, results, coverage, filtered=text is not None)
    ctx.exit(0 if results and all(result.passed for result in results) else 1)


def _fits(case: TestCase, text: str) -> bool:
    return any(text in each for each in (case.title, case.text, case.place.file))


def _running(compiled: Compiled, cases: Sequence[TestCase], *, shown: bool) -> Iterator[TestResult]:
    """The results as they come; on a terminal, a bar once they take longer than a moment."""
    running = run_tests(compiled.program, cases)
    if not shown:
        yield from running
        return
    progress = Progress(console=Console(stderr=True), transient=True)
    task = progress.add_task("testing", total=len(cases))
    started_s = time.monotonic()
    try:
        for done, result in enumerate(running, start=1):
            if time.monotonic() - started_s > PROGRESS_AFTER_S:
                progress.update(task, completed=done)
                progress.start()
            yield result
    finally:
        progress.stop()


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError("C208", f"cannot write the results to {path}: {error.strerror}") from error


def _show(
    folder: Path, compiled: Compiled, results: Sequence[TestResult], coverage: Coverage | None, *, filtered: bool
) -> None:
    failed = [result for result in results if not result.passed]
    for result in failed:
        first, *rest = failure_lines(result, compiled.program, compiled.sources).splitlines()
        click.echo("\n".join((click.style(first, fg="red"), *rest, "")))
    if coverage is not None:
        click.echo(f"{coverage_lines(coverage)}\n")
    click.echo(f"{folder}: {len(results) - len(failed)} passed, {len(failed)} failed")
    if not results and filtered and compiled.tests:
        click.echo("no case has the text of --filter in its title, its call or the name of its file")
    elif not results:
        click.echo("there is no test block in this policy: write one, for example as in `policies/shop`")
