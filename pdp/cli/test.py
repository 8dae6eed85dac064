"""`pdp test`: run the test blocks of a policy, and say what they cover.

Decision: 2026-11-21. Without FOLDER it is the folder that `pdp.toml` names, else the one where the command is run, so
that `pdp test` in a policy's folder needs no words. A filter that no case fits is no success: nothing was tested.
Decision: 2026-11-21. The file of --junit never holds the results of another run: where the policy cannot be read or
does not compile, it says so.
Decision: 2026-11-21. `--settings all` runs every case in every environment, as `check` takes it. The JSON of one run is
as it always was; of `all` it holds one for each of the `environments`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from msgspec import Struct, field
from rich.console import Console
from rich.progress import Progress

from pdp.cli.junit import Broken, Ran, junit_xml
from pdp.cli.options import AS_FOLDER, complete_settings, json_option, path_type
from pdp.cli.policy_place import ALL, environments, given_folder, named
from pdp.cli.results import coverage_lines, failure_lines, results_json
from pdp.errors import ConfigError, PolicyError
from pdp.runtime.bundle import Bundle, read_folder
from policy_lang.compile import Compiled, compile_policy, settings_mentioned, sources_of
from policy_lang.declared.mentioned import NOTHING_MENTIONED, Mentioned
from policy_lang.diagnostics import CompileError, render
from policy_lang.trials.cases import TestCase
from policy_lang.trials.coverage import Coverage
from policy_lang.trials.runner import TestResult, run_tests
from policy_lang.verdict import Json

PROGRESS_AFTER_S = 1.0
"""How long a run may take before a terminal shows how far it is."""


@click.command(short_help="Run the `test` blocks of a policy.")
@click.argument("folder", type=path_type, required=False)
@click.option(
    "--settings",
    metavar="NAME",
    shell_complete=complete_settings,
    help="The environment: settings/NAME.toml; `all` runs the tests in each.",
)
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
    try:
        folder = given_folder(folder)
        bundle = read_folder(folder, None if settings == ALL else settings, AS_FOLDER)
    except PolicyError as error:
        _write(junit, [Broken(str(folder or Path()), "the policy cannot be read", error.detail)])
        raise
    shown = sys.stderr.isatty() and not as_json
    runs = [
        _tested(bundle, environment, text, covered=with_coverage, shown=shown)
        for environment in environments(bundle, settings)
    ]
    _write(junit, [_for_junit(folder, run) for run in runs])
    for run in runs:
        if run.problems:
            click.echo(run.problems, err=True)
    if as_json:
        if settings == ALL or not runs[0].problems:
            each: list[Json] = [{"settings": run.environment, **_as_json(run)} for run in runs]
            click.echo(json.dumps({"environments": each} if settings == ALL else _as_json(runs[0]), indent=2))
    else:
        for run in runs:
            _show(folder, run, filtered=text is not None)
    ctx.exit(max(run.code for run in runs))


class _Run(Struct, frozen=True):
    """The tests in one environment; of a policy that does not compile there, its rendered `problems`."""

    environment: str | None
    problems: str = ""
    compiled: Compiled | None = None
    results: Sequence[TestResult] = ()
    coverage: Coverage | None = None
    settings: Mentioned = field(default_factory=dict)

    @property
    def code(self) -> int:
        """What the command ends with."""
        if self.compiled is None:
            return 2
        return 0 if self.results and all(result.passed for result in self.results) else 1


def _tested(bundle: Bundle, environment: str | None, text: str | None, *, covered: bool, shown: bool) -> _Run:
    """Run the cases that have `text`; with a bar where `shown`."""
    try:
        compiled = compile_policy(bundle.files, settings=environment)
    except CompileError as error:
        return _Run(environment, render(error.diagnostics, sources_of(bundle.files)))
    cases = [case for case in compiled.tests if text is None or _fits(case, text)]
    results = list(_running(compiled, cases, shown=shown))
    coverage = Coverage.of(compiled.program, results, compiled.written) if covered else None
    failed = any(not result.passed for result in results)
    mentioned = settings_mentioned(bundle.files, environment) if failed else NOTHING_MENTIONED
    return _Run(environment, "", compiled, results, coverage, mentioned)


def _as_json(run: _Run) -> dict[str, Json]:
    if run.compiled is None:
        return {"compiles": False}
    return results_json(run.results, run.compiled.program, run.coverage)


def _for_junit(folder: Path, run: _Run) -> Ran | Broken:
    compiled = run.compiled
    if compiled is None:
        return Broken(named(folder, run.environment), "the policy does not compile", run.problems)

    def why(result: TestResult) -> str:
        return failure_lines(result, compiled.program, compiled.sources, run.settings)

    return Ran(run.environment, run.results, why)


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


def _write(junit: Path | None, runs: Sequence[Ran | Broken]) -> None:
    if junit is None:
        return
    try:
        junit.write_bytes(junit_xml(runs))
    except OSError as error:
        raise ConfigError("C208", f"cannot write the results to {junit}: {error.strerror}") from error


def _show(folder: Path, run: _Run, *, filtered: bool) -> None:
    compiled, results, coverage = run.compiled, run.results, run.coverage
    if compiled is None:
        return
    failed = [result for result in results if not result.passed]
    for result in failed:
        first, *rest = failure_lines(result, compiled.program, compiled.sources, run.settings).splitlines()
        click.echo("\n".join((click.style(first, fg="red"), *rest, "")))
    if coverage is not None:
        click.echo(f"{coverage_lines(coverage)}\n")
    click.echo(f"{named(folder, run.environment)}: {len(results) - len(failed)} passed, {len(failed)} failed")
    if not results and filtered and compiled.tests:
        click.echo("no case has the text of --filter in its title, its call or the name of its file")
    elif not results:
        click.echo("there is no test block in this policy: write one, as in the policy that `pdp new DIR` makes")
