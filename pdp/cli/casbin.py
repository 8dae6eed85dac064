"""`pdp casbin`: models and policies of Casbin, checked, asked, converted, and held against Casbin itself.

MODEL is a `model.conf`. POLICY is a file of rows, `sqlite:FILE[?table=NAME]` or `postgresql://…[?table=NAME]`, a
`casbin_rule` table. Out goes what the verb says; diagnostics go to standard error.
Source: language.md 6.4 to 6.6.

Decision (2026-11-21): `check` ends 1 where the model or the policy has errors, as `pdp check` does. The other verbs
need a program to ask, so there the same errors are bad input (2).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from pdp import __version__
from pdp.cli.casbin_convert import convert
from pdp.cli.casbin_input import Taken, Wishes, casbin_options, program_of, taken
from pdp.cli.casbin_report import report_json, report_lines, summary
from pdp.cli.casbin_requests import Request, request_of_words, requests_of_file
from pdp.cli.casbin_verify import verify
from pdp.cli.options import json_option, path_type
from policy_lang.diagnostics import printable, render
from policy_lang.ir.tables import Table
from policy_lang.meaning.tables import Said
from policy_lang.plan.tables import TablePlan
from policy_lang.sarif import as_sarif

Format = Literal["text", "json", "sarif"]


@click.group(short_help="Check, ask and convert Casbin models.")
def casbin() -> None:
    """Check, ask and convert Casbin models.

    MODEL is a model.conf; POLICY a file of rows, or a casbin_rule table: sqlite:FILE[?table=NAME], where FILE is a
    path, or postgresql://…[?table=NAME] (with the extra `postgres`).
    """


casbin.add_command(convert)
casbin.add_command(verify)


# ---------------------------------------------------------------- check


@casbin.command(short_help="Report every mistake and every trap in a model and a policy.")
@casbin_options
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), help="How to report; text by default.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    model: Path,
    policy: str,
    wishes: Wishes,
    form: Format | None,
    *,
    as_json: bool,
) -> None:
    """Report every mistake and every trap in a model and a policy.

    Then say what is defined, how many rows there are, and how each part of the matcher is answered.

    Ends 0 where they compile (warnings allowed), 1 where they do not.
    """
    if as_json and form not in {None, "json"}:
        raise click.UsageError(f"--json goes with no --format {form}")
    found = taken(model, policy, wishes)
    match "json" if as_json else form or "text":
        case "json":
            click.echo(json.dumps(report_json(found), indent=2))
        case "sarif":
            click.echo(json.dumps(as_sarif(found.diagnostics, found.sources, __version__), indent=2))
        case _:
            _show(found)
    ctx.exit(0 if found.table is not None else 1)


def _show(found: Taken) -> None:
    """Diagnostics and failures on standard error, the rest on standard output."""
    if found.diagnostics:
        click.echo(render(found.diagnostics, found.sources) + "\n", err=True)
    for line in report_lines(found):
        click.echo(line)
    click.echo(f"{found.source.name}, {printable(found.place)}: {summary(found)}", err=found.table is None)


# ---------------------------------------------------------------- enforce


@casbin.command(short_help="Answer requests, with the row that decided each.")
@casbin_options
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@click.option("--requests", "file", type=path_type, metavar="FILE", help="A file of requests, a line each; - is stdin.")
@click.option("--request", "one", is_flag=True, help="Answer one request: the VALUEs.")
@json_option
@click.pass_context
def enforce(
    ctx: click.Context,
    model: Path,
    policy: str,
    wishes: Wishes,
    values: tuple[str, ...],
    file: Path | None,
    *,
    one: bool,
    as_json: bool,
) -> None:
    """Answer requests, with the row that decided each.

    A request is written as a row is, without a type: alice, data1, read. Quotes are characters of a value. One that
    begins with { is a JSON object, for models that ask for r.sub.Age. With --json each answer is a line of JSON.

    Ends 0 where every request is allowed, 1 where one is not.
    """
    if one is (file is not None) or bool(values) is not one:
        raise click.UsageError("give --requests FILE, or --request and its values, one of the two")
    table = program_of(taken(model, policy, wishes))
    if file is not None:
        asked = requests_of_file(file, table.parameters)
    else:
        asked = [request_of_words(values, table.parameters)]
    plan, now_ms = TablePlan.of(table), time.time_ns() // 1_000_000
    answers = [(request, plan.said(request.values, now_ms=now_ms)) for request in asked]
    for line in _json_lines(answers, table) if as_json else _text_lines(answers, table):
        click.echo(line)
    ctx.exit(0 if all(said.vote == "allow" for _, said in answers) else 1)


def _text_lines(answers: Sequence[tuple[Request, Said]], table: Table) -> list[str]:
    """A line for each: the answer, the request, the row that decided and where it stands."""
    width = max((len(printable(request.written)) for request, _ in answers), default=0)
    lines = []
    for request, said in answers:
        answer = "allow" if said.vote == "allow" else "deny"
        row = "no row" if said.row is None else f"{', '.join(table.rows[said.row].values)}  {_place(table, said.row)}"
        lines.append(f"{answer:<5}  {printable(request.written).ljust(width)}  {printable(row)}")
    return lines


def _json_lines(answers: Sequence[tuple[Request, Said]], table: Table) -> list[str]:
    lines = []
    for request, said in answers:
        row = None if said.row is None else table.rows[said.row]
        answer: dict[str, object] = {
            "request": list(request.values),
            "line": request.line or None,
            "allowed": said.vote == "allow",
            "vote": said.vote,
            "row": None if row is None else {"values": list(row.values), "file": table.file, "line": row.line},
        }
        lines.append(json.dumps(answer))
    return lines


def _place(table: Table, row: int) -> str:
    return f"{table.file}:{table.rows[row].line}"
