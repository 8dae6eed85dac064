"""`pdp check`: read a policy, report every mistake in it, and say what it holds.

A folder comes in, in one environment or in each of them in turn; out goes what was found, on standard error for a
person, and on standard output what it came to, the inventory, or all of it for a program.
(0) read      the files of the folder
(1) compile   in each environment; errors end that environment here
(2) ages      of shadow rules, where git knows them
(3) facts     those that are there
(4) gateways  what each can do
(5) build     one environment to one file

Source: language.md 4.6, points G and H; contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. Without FOLDER it is the one that `pdp test` takes too: what `pdp.toml` names, else the current.
Decision: 2026-11-21. Facts that are there and do not fit are a warning (W821): a policy is right or wrong without them,
and they may be other ones where it is served. What is built holds its facts, so there they are refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import click
from msgspec.structs import replace
from rich.console import Console

from pdp.cli.check_ages import written_ms
from pdp.cli.check_gateway import as_served, complete_gateway, gateways_named
from pdp.cli.check_inventory import show_inventory
from pdp.cli.check_progress import working
from pdp.cli.check_report import BuiltFile, Checked, remarks, report_json, report_sarif, summary
from pdp.cli.options import AS_FOLDER, complete_settings, json_option, path_type, shown_path
from pdp.cli.policy_place import ALL, environments, given_folder, named
from pdp.errors import PolicyError
from pdp.runtime.built import write_built
from pdp.runtime.bundle import Bundle, bundle_of, read_folder
from policy_lang.capabilities import Gateway, check_gateway
from policy_lang.checking.warnings import DAY_MS, OLD_DAYS
from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, Diagnostic, ordered, render
from policy_lang.ir import Program, Relation
from policy_lang.meaning.facts import FOLDER, FactsError, load_facts
from policy_lang.mistakes.deployment import FactsMisfit
from policy_lang.source import Span

Format = Literal["text", "json", "sarif"]


@click.command(short_help="Report every mistake in a policy.")
@click.argument("folder", type=path_type, required=False)
@click.option(
    "--settings",
    metavar="NAME",
    shell_complete=complete_settings,
    help="The environment: settings/NAME.toml; `all` checks each in turn.",
)
@click.option(
    "--gateway",
    metavar="NAME",
    multiple=True,
    shell_complete=complete_gateway,
    help="Refuse what this gateway cannot do; may be repeated.",
)
@click.option("--inventory", is_flag=True, help="Show services and endpoints, who may reach them, and what it costs.")
@click.option("--build", type=path_type, metavar="FILE", help="Write the policy as one file that `pdp serve` takes.")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), help="How to report; text by default.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    folder: Path | None,
    settings: str | None,
    gateway: tuple[str, ...],
    build: Path | None,
    form: Format | None,
    *,
    inventory: bool,
    as_json: bool,
) -> None:
    """Report every mistake in a policy.

    FOLDER is the policy's; without it, the one that pdp.toml names, or the current one. Each mistake in it is shown
    with its place and remedy.

    A gateway is one of pdp.toml, or envoy, forward-auth, nginx, authzen; NAME=CAPABILITY,… says what it can do.

    Ends 0 where the policy compiles (warnings allowed), 1 where it does not. Facts files may be absent here; --build,
    `pdp serve` and `pdp decide` need them.
    """
    form = _form(form, as_json=as_json)
    if build is not None and settings == ALL:
        raise click.UsageError("--build writes one environment: name it with --settings")
    folder = given_folder(folder)
    gateways = gateways_named(gateway)
    bundle = read_folder(folder, None if settings == ALL else settings, AS_FOLDER)
    with working(f"checking {shown_path(folder)}"):
        found = [_checked(folder, bundle, name, gateways) for name in environments(bundle, settings)]
    if form == "text":
        _show(folder, found, inventory=inventory)
    built = _build(build, bundle, found[0]) if build is not None and found[0].passed else None
    if form == "json":
        click.echo(json.dumps(report_json(folder, found, built, inventory=inventory), indent=2))
    elif form == "sarif":
        click.echo(json.dumps(report_sarif(found), indent=2))
    elif build is not None:
        _show_built(built)
    ctx.exit(0 if all(checked.passed for checked in found) else 1)


def _form(form: Format | None, *, as_json: bool) -> Format:
    if as_json and form not in {None, "json"}:
        raise click.UsageError(f"--json goes with no --format {form}")
    return "json" if as_json else form or "text"


# ---------------------------------------------------------------- one environment


def _checked(folder: Path, bundle: Bundle, environment: str | None, gateways: tuple[Gateway, ...]) -> Checked:
    """What there is to say of a policy in one environment."""
    try:
        compiled = _compiled(folder, bundle, environment, time.time_ns() // 1_000_000)
    except CompileError as error:
        return Checked(environment, error.diagnostics, sources_of(bundle.files))
    program, sources = compiled.program, compiled.sources
    diagnostics: list[Diagnostic] = [*compiled.warnings, *_misfits(program, bundle.files)]
    for gateway in gateways:
        diagnostics += check_gateway(program, as_served(gateway, program), sources)
    absent = [f"{FOLDER}{relation.id}.csv" for relation in program.relations if not _has_facts(relation, bundle.files)]
    return Checked(environment, ordered(diagnostics), sources, compiled, tuple(absent), gateways)


def _compiled(folder: Path, bundle: Bundle, environment: str | None, today_ms: int) -> Compiled:
    """The policy compiled; once more where a shadow rule is old enough to be warned of, which is rare."""
    compiled = compile_policy(bundle.files, environment, today_ms)
    written = written_ms(folder, compiled.program, compiled.sources)
    if any(today_ms - at_ms > OLD_DAYS * DAY_MS for at_ms in written.values()):
        return compile_policy(bundle.files, environment, today_ms, written)
    return compiled


def _has_facts(relation: Relation, files: Mapping[str, bytes]) -> bool:
    return any(f"{FOLDER}{relation.id}.{ending}" in files for ending in ("csv", "json"))


def _misfits(program: Program, files: Mapping[str, bytes]) -> list[Diagnostic]:
    """What is wrong with the fact files that are there."""
    present = tuple(relation for relation in program.relations if _has_facts(relation, files))
    try:
        load_facts(replace(program, relations=present), files)
    except FactsError as error:
        return [FactsMisfit(span=Span(_file_of(problem, files), 0, 0), problem=problem) for problem in error.problems]
    return []


def _file_of(problem: str, files: Mapping[str, bytes]) -> str:
    return max((file for file in files if problem.startswith(f"{file}:")), key=len, default=FOLDER)


# ---------------------------------------------------------------- building


def _build(file: Path, bundle: Bundle, checked: Checked) -> BuiltFile | None:
    """Write a policy that passed, with its facts. Errors: PolicyError P110 where it has not all its facts."""
    if checked.compiled is None:
        return None
    try:
        load_facts(checked.compiled.program, bundle.files)
    except FactsError as error:
        told = "\n".join(error.problems)
        raise PolicyError("P110", f"nothing is built: the facts of the policy are not usable:\n{told}") from error
    digest = write_built(file, bundle, checked.compiled.program, checked.environment)
    return BuiltFile(file, digest, bundle_of(bundle.files, checked.environment).digest)


def _show_built(built: BuiltFile | None) -> None:
    if built is None:
        click.echo("nothing is built", err=True)
        return
    click.echo(f"built {built.file}")
    click.echo(f"policy {built.policy} (so `pdp serve` and `pdp admin status` name it)")
    click.echo("to serve the file, by its own digest, write in pdp.toml:")
    click.echo(f"policies = {json.dumps(str(built.file))}")
    click.echo(f'bundle_digest = "{built.digest}"')


# ---------------------------------------------------------------- text


def _show(folder: Path, found: Sequence[Checked], *, inventory: bool) -> None:
    """Diagnostics and failures on standard error, the rest on standard output."""
    for checked in found:
        name = named(folder, checked.environment)
        if checked.diagnostics:
            click.echo(render(checked.diagnostics, checked.sources), err=True)
        if inventory and checked.compiled is not None:
            show_inventory(checked.compiled.program, Console())
        for line in remarks(checked):
            click.echo(line)
        if checked.passed:
            click.echo(f"{name}: {summary(checked)}")
        else:
            click.echo(f"\n{name}: {summary(checked)}", err=True)
